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
        const BOUNDARY: &str = "----form-boundary-of-a-test";
        let mut body = String::new();
        for (name, value) in form {
            body += &format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        body += &format!("--{BOUNDARY}--\r\n");
        let head = format!("POST /compose HTTP/1.1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
        let page = self.request(&head, body.as_bytes())?;
        match page.status {
            200 | 303 => Ok(()),
            // Stopping or not ready: as good as no answer.
            503 => Err(io::ErrorKind::ConnectionAborted.into()),
            status => panic!("Send was refused with {status}: {}", page.body),
        }
    }

    fn request(&mut self, head: &str, body: &[u8]) -> io::Result<Page> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = format!("{head}Host: {}\r\nConnection: close\r\n", self.address);
        if !cookies.is_empty() {
            request += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        if head.starts_with("POST") {
            request += &format!("Origin: http://{}\r\nContent-Length: {}\r\n", self.address, body.len());
        }
        request += "\r\n";
        stream.write_all(request.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return Err(io::ErrorKind::UnexpectedEof.into()) };
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
        let page = Page { status: status.unwrap_or_default(), headers, body: body.to_owned() };
        // A body that was cut off is no answer.
        let whole = page.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if whole.is_some_and(|length| length > page.body.len()) {
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
