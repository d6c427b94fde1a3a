//! A plain web client: forms and a cookie, no scripts.

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use super::PATIENCE;

/// A browser of the poorest kind, signed in.
pub struct Web {
    address: SocketAddr,
    cookies: HashMap<String, String>,
}

/// What came back.
pub struct Page {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The body's bytes, as they came.
    pub content: Vec<u8>,
}

impl Page {
    /// The value of an input of the page's forms, by name: the last one.
    pub fn input(&self, name: &str) -> Option<String> {
        let mark = format!("name=\"{name}\" value=\"");
        let start = self.body.rfind(&mark)? + mark.len();
        let end = self.body[start..].find('"')?;
        Some(self.body[start..start + end].replace("&#38;", "&").replace("&amp;", "&"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Web {
    /// A client that has no cookies yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, cookies: HashMap::new() }
    }

    /// The same browser, the same service, another port.
    pub fn move_to(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Signs in by the form.
    pub fn sign_in(address: SocketAddr, user: &str) -> io::Result<Self> {
        let mut web = Self::new(address);
        let page = web.get("/signin")?;
        let csrf = page.input("csrf").unwrap_or_default();
        let fields = [("csrf", csrf.as_str()), ("login", user), ("password", super::PASSWORD), ("next", "/")];
        let page = web.post("/signin", &fields)?;
        assert_eq!(page.status, 303, "not signed in: {}", page.body);
        Ok(web)
    }

    pub fn get(&mut self, path: &str) -> io::Result<Page> {
        self.request(&format!("GET {path} HTTP/1.1\r\n"), b"")
    }

    /// Posts a form.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> io::Result<Page> {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        self.request(&head, body.join("&").as_bytes())
    }

    /// The compose form, filled in: post it with [`Web::post_send`], as often as wanted.
    pub fn compose(&mut self, to: &str, subject: &str, text: &str) -> io::Result<Vec<(String, String)>> {
        let page = self.get("/compose")?;
        assert_eq!(page.status, 200, "{}", page.body);
        let mut form: Vec<(String, String)> = ["csrf", "key", "draft", "answers", "back", "from"]
            .iter()
            .map(|name| ((*name).to_owned(), page.input(name).unwrap_or_default()))
            .collect();
        for (name, value) in [("to", to), ("cc", ""), ("bcc", ""), ("subject", subject), ("text", text), ("do", "send")]
        {
            form.push((name.to_owned(), value.to_owned()));
        }
        Ok(form)
    }

    /// Presses Send. Ok only when the service says that the message is sent.
    pub fn post_send(&mut self, form: &[(String, String)]) -> io::Result<()> {
        let page = self.post_compose(form, None)?;
        match page.status {
            200 | 303 => Ok(()),
            // Stopping or not ready: as good as no answer.
            503 => Err(io::ErrorKind::ConnectionAborted.into()),
            status => panic!("Send was refused with {status}: {}", page.body),
        }
    }

    /// Posts the compose form, with a file if there is one.
    pub fn post_compose(&mut self, form: &[(String, String)], file: Option<(&str, &[u8])>) -> io::Result<Page> {
        const BOUNDARY: &str = "----form-boundary-of-a-test";
        let mut body = Vec::new();
        for (name, value) in form {
            write!(body, "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")?;
        }
        if let Some((name, content)) = file {
            let disposition = format!("form-data; name=\"attach\"; filename=\"{name}\"");
            write!(body, "--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n")?;
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        write!(body, "--{BOUNDARY}--\r\n")?;
        let head = format!("POST /compose HTTP/1.1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
        self.request(&head, &body)
    }

    /// The answer to a GET, its bytes still to be read.
    pub fn open(&self, path: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let cookies = self.cookie_header();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{cookies}\r\n", self.address)?;
        Ok(stream)
    }

    fn cookie_header(&self) -> String {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) }
    }

    fn request(&mut self, head: &str, body: &[u8]) -> io::Result<Page> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut request = format!("{head}Host: {}\r\nConnection: close\r\n{}", self.address, self.cookie_header());
        if head.starts_with("POST") {
            request += &format!("Origin: http://{}\r\nContent-Length: {}\r\n", self.address, body.len());
        }
        request += "\r\n";
        stream.write_all(request.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let mut content = answer.split_off(end + 4);
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (name, value) in &headers {
            if name.eq_ignore_ascii_case("set-cookie")
                && let Some((name, value)) = value.split(';').next().and_then(|pair| pair.split_once('='))
            {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
            content = unchunked(&content).ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        let body = String::from_utf8_lossy(&content).into_owned();
        let page = Page { status: status.unwrap_or_default(), headers, body, content };
        // A body that was cut off is no answer.
        let whole = page.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if whole.is_some_and(|length| length > page.content.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(page)
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The content of a chunked body (RFC 9112 section 7.1); `None` when its end is missing.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(body.len());
    loop {
        let line = body.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(content);
        }
        content.extend_from_slice(body.get(line + 2..line + 2 + size)?);
        body = body.get(line + 2 + size + 2..)?;
    }
}
