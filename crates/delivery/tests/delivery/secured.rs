//! Certificates, and a web server for policies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::world::PATIENCE;

/// An authority of the test's own.
pub struct Authority {
    pub certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let name = format!("Test authority {:?}", key.serialize_der().last_chunk::<8>());
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `names`, and a server that has it.
    pub fn server(&self, names: &[&str]) -> Server {
        self.issued(names, |_| {})
    }

    /// The same, years out of date.
    pub fn expired(&self, names: &[&str]) -> Server {
        self.issued(names, |params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        })
    }

    fn issued(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Server {
        let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Server {
            certificate: certificate.der().clone(),
            acceptor: acceptor(vec![certificate.der().clone(), self.certificate.clone()], &key),
        }
    }
}

/// A server's certificate.
pub struct Server {
    pub certificate: CertificateDer<'static>,
    pub acceptor: TlsAcceptor,
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config).into()
}

/// Head and body of a request that is here whole.
fn whole(request: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(request[..end].to_vec()).unwrap();
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let body = request[end..].to_vec();
    (body.len() >= length.unwrap_or(0)).then_some((head, body))
}

/// An HTTPS server that always says the same, until it is told otherwise.
pub struct Web {
    pub address: SocketAddr,
    said: Arc<Mutex<Vec<u8>>>,
    requests: Arc<AtomicUsize>,
    /// Head and body of each.
    posts: watch::Sender<Vec<(String, Vec<u8>)>>,
}

impl Web {
    pub async fn start(tls: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (said, requests) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let posts = watch::Sender::new(Vec::new());
        let posted = posts.clone();
        let (saying, counting) = (Arc::clone(&said), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, saying, counting) = (tls.clone(), Arc::clone(&saying), Arc::clone(&counting));
                let posted = posted.clone();
                tokio::spawn(async move {
                    counting.fetch_add(1, Ordering::SeqCst);
                    let Ok(mut stream) = tls.accept(stream).await else { return };
                    let mut request = Vec::new();
                    let Some((head, body)) = (loop {
                        if let Some(whole) = whole(&request) {
                            break Some(whole);
                        }
                        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            break None;
                        }
                    }) else {
                        return;
                    };
                    if head.starts_with("POST ") {
                        posted.send_modify(|posts| posts.push((head, body)));
                    } else {
                        assert!(head.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), "{head}");
                    }
                    let answer = saying.lock().clone();
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, said, requests, posts }
    }

    /// Says this from now on.
    pub fn say(&self, status: &str, kind: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
        self.say_bytes(&format!("{head}Location: /elsewhere\r\n\r\n{body}"));
    }

    pub fn say_bytes(&self, answer: &str) {
        *self.said.lock() = answer.as_bytes().to_vec();
    }

    pub fn policy(&self, mode: &str, mx: &str, max_age: u32) {
        let body = format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {max_age}\r\n");
        self.say("200 OK", "text/plain", &body);
    }

    /// Waits until so many things were handed to it.
    pub async fn wait_for_posts(&self, count: usize) -> Vec<(String, Vec<u8>)> {
        let mut posts = self.posts.subscribe();
        let found = tokio::time::timeout(PATIENCE, posts.wait_for(|posts| posts.len() >= count)).await;
        found.expect("they come in time").unwrap().clone()
    }

    /// Connections so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}
