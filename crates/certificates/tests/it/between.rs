//! Stands between the service and pebble, and has the authority say what pebble does not: when to renew (ARI), too many
//! requests, and another time of day.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rustls::{RootCertStore, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    pebble::{Pebble, handshake},
    tls::server_config,
};

/// What is said in place of pebble.
#[derive(Default)]
pub struct Says {
    /// The window in which certificates are to be renewed: begin and end (RFC 3339). None: the authority knows no ARI.
    pub window: Option<(String, String)>,
    /// Requests whose path has this in it get this answer (status and headers, body) so many times.
    pub refuses: Option<(&'static str, &'static str, &'static str, usize)>,
}

/// It ends with the test program.
pub struct Between {
    port: u16,
    dir: PathBuf,
    pub says: Arc<Mutex<Says>>,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Request {
    head: String,
    path: String,
    body: Vec<u8>,
}

impl Between {
    /// In front of `pebble`, whose files are in `dir`.
    pub fn start(dir: &Path, pebble: &Pebble) -> Self {
        let dir = dir.join("pebble");
        let (config, listener) = (server_config(&dir), TcpListener::bind("127.0.0.1:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap()).unwrap();
        let (says, asked) = (Arc::<Mutex<Says>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (said, noted, authority) = (says.clone(), asked.clone(), pebble.address());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                // Clients that hang up in the middle harm nobody.
                let Some(request) = read(&mut stream) else { continue };
                noted.lock().push(request.path.clone());
                let answer = answer(&said, &request, port, authority, &roots);
                let _ = stream.write_all(&answer);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Self { port, dir, says, asked }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// The file with its root.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// How many requests had this in their path.
    pub fn asked(&self, part: &str) -> usize {
        self.asked.lock().iter().filter(|path| path.contains(part)).count()
    }
}

fn read(stream: &mut impl std::io::Read) -> Option<Request> {
    let (mut reader, mut head) = (BufReader::new(stream), String::new());
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some(Request { head, path, body })
}

fn plain(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nReplay-Nonce: AAAA\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn answer(says: &Mutex<Says>, request: &Request, port: u16, authority: SocketAddr, roots: &RootCertStore) -> Vec<u8> {
    let mut says = says.lock();
    if let Some((part, status, body, left)) = &mut says.refuses
        && request.path.contains(*part)
        && *left > 0
    {
        *left -= 1;
        return plain(status, body);
    }
    if request.path.starts_with("/ari/") {
        let Some((start, end)) = &says.window else { return plain("404 Not Found", "") };
        let body = format!(r#"{{"suggestedWindow":{{"start":"{start}","end":"{end}"}}}}"#);
        return plain("200 OK\r\nRetry-After: 21600\r\nContent-Type: application/json", &body);
    }
    let knows_ari = says.window.is_some();
    drop(says);
    let answer = passed_on(request, authority, roots);
    if request.path != "/dir" || !knows_ari {
        return answer;
    }
    let start = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    let mut directory: serde_json::Value = serde_json::from_slice(&answer[start..]).unwrap();
    directory["renewalInfo"] = format!("https://127.0.0.1:{port}/ari").into();
    plain("200 OK\r\nContent-Type: application/json", &directory.to_string())
}

/// Pebble makes its URLs from the host that it is asked under, which stays as it is.
fn passed_on(request: &Request, authority: SocketAddr, roots: &RootCertStore) -> Vec<u8> {
    let Ok(mut stream) = handshake(authority, "127.0.0.1", roots.clone()) else { return plain("502 Bad Gateway", "") };
    let head = request.head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&request.body));
    let mut answer = Vec::new();
    let _ = sent.and_then(|()| stream.read_to_end(&mut answer));
    answer
}
