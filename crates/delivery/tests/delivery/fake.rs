//! A mail server that behaves as a test wants it to, and remembers everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Among the EHLO keywords: the server speaks TLS from the first byte.
pub const IMPLICIT_TLS: &str = "X-IMPLICIT-TLS";

/// What the client said, and where.
pub struct Turn {
    /// Connection, from 0.
    pub connection: usize,
    /// The line without CRLF; `.` for the end of a message.
    pub command: String,
}

/// What the server does about it.
pub enum Answer {
    /// Says this; CRLF is added.
    Say(&'static str),
    /// Says this, then hangs up.
    SayAndClose(&'static str),
    /// Hangs up.
    Close,
    /// Says nothing more, and keeps the connection open.
    Silence,
    /// Goes on with something that is not TLS after STARTTLS.
    BreakTls,
}

/// A message that was taken or at least sent whole.
#[derive(Clone, Debug)]
pub struct Taken {
    pub from: String,
    pub recipients: Vec<String>,
    /// As it was sent, dots unstuffed.
    pub message: String,
    pub tls: bool,
}

type Behaviour = dyn Fn(&Turn) -> Option<Answer> + Send + Sync;

struct Inner {
    ehlo: Vec<&'static str>,
    behaviour: Box<Behaviour>,
    tls: Option<TlsAcceptor>,
    connections: AtomicUsize,
    commands: Mutex<Vec<String>>,
    taken: watch::Sender<Vec<Taken>>,
}

#[derive(Clone)]
pub struct Fake {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

impl Fake {
    /// A server that takes everything, except where `behaviour` says otherwise.
    pub async fn start(
        ehlo: &[&'static str],
        behaviour: impl Fn(&Turn) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::secured(ehlo, acceptor(), behaviour).await
    }

    /// The same with a certificate of the test's choice.
    pub async fn secured(
        ehlo: &[&'static str],
        tls: TlsAcceptor,
        behaviour: impl Fn(&Turn) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = ehlo.contains(&"STARTTLS").then_some(tls);
        let inner = Arc::new(Inner {
            ehlo: ehlo.to_vec(),
            behaviour: Box::new(behaviour),
            tls,
            connections: AtomicUsize::new(0),
            commands: Mutex::default(),
            taken: watch::channel(Vec::new()).0,
        });
        let serving = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&serving);
                let connection = inner.connections.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                tokio::spawn(async move { inner.serve(stream, connection).await });
            }
        });
        Self { address, inner }
    }

    /// A server that takes everything.
    pub async fn obliging() -> Self {
        Self::start(&["PIPELINING", "8BITMIME"], |_| None).await
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.inner.taken.borrow().clone()
    }

    pub fn commands(&self) -> Vec<String> {
        self.inner.commands.lock().clone()
    }

    pub fn connections(&self) -> usize {
        self.inner.connections.load(Ordering::SeqCst)
    }

    /// Wait until so many messages were sent whole.
    pub async fn wait_for(&self, count: usize) -> Vec<Taken> {
        let mut taken = self.inner.taken.subscribe();
        let waiting = taken.wait_for(|taken| taken.len() >= count);
        tokio::time::timeout(super::world::PATIENCE, waiting).await.expect("messages arrive in time").unwrap().clone()
    }

    /// Wait until a command was heard.
    pub async fn wait_for_command(&self, command: &str) {
        let heard = async {
            while !self.commands().iter().any(|c| c == command) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(super::world::PATIENCE, heard).await.expect("the command is heard in time");
    }
}

impl Inner {
    async fn serve(&self, stream: tokio::net::TcpStream, connection: usize) {
        if self.ehlo.contains(&IMPLICIT_TLS) {
            let Ok(stream) = acceptor().accept(stream).await else { return };
            self.talk(&mut BufReader::new(stream), connection, true, true).await;
            return;
        }
        let mut stream = BufReader::new(stream);
        if self.talk(&mut stream, connection, false, true).await == Some(Next::Tls) {
            let Some(acceptor) = &self.tls else { return };
            let Ok(stream) = acceptor.accept(stream.into_inner()).await else { return };
            self.talk(&mut BufReader::new(stream), connection, true, false).await;
        }
    }

    async fn talk<S>(&self, stream: &mut BufReader<S>, connection: usize, tls: bool, greet: bool) -> Option<Next>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if greet && !self.answer(stream, connection, "(greeting)", "220-fake at your service\r\n220 go on").await? {
            return None;
        }
        let (mut from, mut recipients) = (String::new(), Vec::new());
        loop {
            let line = read_line(stream).await?;
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let ehlo = self.ehlo_reply(tls);
            let usual = match verb.as_str() {
                "EHLO" => ehlo.as_str(),
                "DATA" => "354 go ahead",
                "QUIT" => "221 bye",
                "STARTTLS" => "220 ready",
                "AUTH" => "235 welcome",
                _ => "250 fine",
            };
            let positive = self.answer(stream, connection, &line, usual).await?;
            match verb.as_str() {
                "MAIL" if positive => (from, recipients) = (line.clone(), Vec::new()),
                "RCPT" if positive => recipients.push(line.clone()),
                "DATA" if positive => {
                    let mut message = String::new();
                    loop {
                        let line = read_line(stream).await?;
                        if line == "." {
                            break;
                        }
                        message.push_str(line.strip_prefix('.').unwrap_or(&line));
                        message.push_str("\r\n");
                    }
                    // Without a recipient it is the empty message of a client that had sent DATA ahead (RFC 2920 §3.1).
                    if !recipients.is_empty() {
                        let taken = Taken { from: from.clone(), recipients: recipients.clone(), message, tls };
                        self.taken.send_modify(|all| all.push(taken));
                    }
                    self.answer(stream, connection, ".", "250 taken").await?;
                }
                "STARTTLS" if positive => return Some(Next::Tls),
                "QUIT" => return None,
                _ => {}
            }
        }
    }

    /// Whether the answer was positive; `None` when the connection ends.
    async fn answer<S>(&self, stream: &mut BufReader<S>, connection: usize, heard: &str, usual: &str) -> Option<bool>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.commands.lock().push(heard.to_owned());
        let turn = Turn { connection, command: heard.to_owned() };
        let (text, close) = match (self.behaviour)(&turn) {
            None => (usual.to_owned(), false),
            Some(Answer::Say(text)) => (text.to_owned(), false),
            Some(Answer::SayAndClose(text)) => (text.to_owned(), true),
            Some(Answer::Close) => return None,
            Some(Answer::Silence) => std::future::pending().await,
            Some(Answer::BreakTls) => ("220 ready\r\nthis is not TLS, is it?".to_owned(), true),
        };
        stream.get_mut().write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
        if close {
            let _ = stream.get_mut().shutdown().await;
            return None;
        }
        Some(text.starts_with('2') || text.starts_with('3'))
    }

    fn ehlo_reply(&self, tls: bool) -> String {
        let mut lines = vec!["fake.example greets you"];
        lines.extend(self.ehlo.iter().filter(|keyword| !(tls && **keyword == "STARTTLS")));
        let last = lines.len() - 1;
        let line = |(index, text): (usize, &&str)| format!("250{}{text}", if index == last { ' ' } else { '-' });
        lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n")
    }
}

#[derive(PartialEq)]
enum Next {
    Tls,
}

async fn read_line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await.ok().filter(|&n| n > 0)?;
    assert!(line.ends_with(b"\r\n"), "only CRLF ends lines: {line:?}");
    line.truncate(line.len() - 2);
    assert!(!line.contains(&b'\r'), "no bare CR: {line:?}");
    Some(String::from_utf8_lossy(&line).into_owned())
}

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["fake.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Arc::new(config).into()
}
