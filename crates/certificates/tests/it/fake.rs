//! An authority that answers orders as a test wants it: what pebble can't be made to say.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls::{ServerConnection, StreamOwned};

use crate::{pebble::server_certificate, tls::server_config};

/// The authority. It ends with the test program.
pub struct Fake {
    port: u16,
    dir: PathBuf,
    orders: Arc<AtomicUsize>,
}

impl Fake {
    /// Every order gets this answer: status line, header lines, body.
    pub fn start(dir: &Path, status: &'static str, headers: &'static str, body: &'static str) -> Self {
        server_certificate(dir);
        let config = server_config(dir);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let orders = Arc::<AtomicUsize>::default();
        let counted = orders.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(connection, stream));
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|bytes| bytes > 0) {}
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let at = |path: &str| format!("https://127.0.0.1:{port}{path}");
                let (status, headers, body) = match path.as_str() {
                    "/dir" => {
                        let body = format!(
                            r#"{{"newNonce":"{}","newAccount":"{}","newOrder":"{}"}}"#,
                            at("/nonce"),
                            at("/account"),
                            at("/order")
                        );
                        ("200 OK", String::new(), body)
                    }
                    "/nonce" => ("200 OK", String::new(), String::new()),
                    "/account" => ("201 Created", format!("Location: {}\r\n", at("/account/1")), "{}".to_owned()),
                    _ => {
                        counted.fetch_add(1, Ordering::SeqCst);
                        (status, headers.to_owned(), body.to_owned())
                    }
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nReplay-Nonce: AAAA\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
                    body.len()
                );
                let stream = stream.get_mut();
                let _ = stream.write_all(answer.as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Self { port, dir: dir.to_owned(), orders }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// The file with its root.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The orders that it got.
    pub fn orders(&self) -> usize {
        self.orders.load(Ordering::SeqCst)
    }
}
