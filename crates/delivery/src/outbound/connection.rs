//! A connection to another server: greeted, secured, signed in, and ready for one transaction after another.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::dane;
use super::hosts::Host;
use super::problem::{TlsFailure, TlsProblem};
use super::reply::{Reply, ReplyError, ReplyParser};
use super::tls::TlsClients;
use super::transaction::{Capabilities, Fate, Mail, Step, Transaction, Wait};
use super::wire::WireEncoder;
use crate::{Credentials, DeliveryOptions, Timeouts, TlsPolicy};

/// Bytes given to the socket at a time.
const BLOCK_BYTES: usize = 64 << 10;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why a connection was not made, or broke.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// No connection, or it was lost.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side was silent too long.
    #[error("no reply {0} within {1:?}")]
    Timeout(&'static str, Duration),
    /// The remote server does not speak SMTP.
    #[error("{0}")]
    Protocol(#[from] ReplyError),
    /// The remote server refused the session.
    #[error("{0}")]
    Refused(Reply),
    /// TLS was demanded and is not to be had, or not as demanded.
    #[error("{0}")]
    Tls(TlsProblem),
}

impl ConnectionError {
    /// Enhanced status for a report (RFC 3463): always of the class that may succeed later.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Io(_) | Self::Timeout(..) => "4.4.1",
            Self::Protocol(_) => "4.5.0",
            Self::Refused(_) => "4.3.2",
            Self::Tls(_) => "4.7.5",
        }
    }
}

/// Gives a message's bytes, piece by piece, from the start.
#[async_trait::async_trait]
pub trait MessageSource: Send {
    /// The next piece; `None` at the end.
    async fn next_piece(&mut self) -> io::Result<Option<Bytes>>;
}

/// A connection that waits for a transaction.
pub struct Connection {
    stream: Box<dyn Io>,
    parser: ReplyParser,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
    capabilities: Capabilities,
    timeouts: Timeouts,
    peer: SocketAddr,
    tls: bool,
    /// What the handshake agreed on.
    agreed: String,
    /// What is wrong with the certificate, where it was looked at although nothing depends on it; or why there is no TLS.
    flaw: Option<TlsProblem>,
    transactions: usize,
}

/// The result of a transaction.
pub struct Sent {
    /// One per recipient, in order.
    pub fates: Vec<Fate>,
    /// Another transaction may follow.
    pub reusable: bool,
    /// The connection broke before any of the message was sent: it is safe to try on another one at once.
    pub untouched: bool,
}

impl Connection {
    /// Connect and get to where a transaction can begin. Under [`TlsPolicy::Opportunistic`] a failing handshake is
    /// followed by a second connection in plain text.
    pub async fn open(
        host: &Host,
        address: SocketAddr,
        options: &DeliveryOptions,
        tls: &TlsClients,
    ) -> Result<Self, ConnectionError> {
        match Self::open_with(host, address, options, tls, host.tls).await {
            Err(ConnectionError::Tls(why)) if host.may_be_plain() => {
                tracing::info!(host = host.name, %address, %why, "TLS failed, continuing in plain text");
                metrics::counter!("holdfast_delivery_tls_fallback_total").increment(1);
                let plain = Self::open_with(host, address, options, tls, TlsPolicy::Off).await;
                plain.map(|connection| Self { flaw: Some(why), ..connection })
            }
            other => other,
        }
    }

    async fn open_with(
        host: &Host,
        address: SocketAddr,
        options: &DeliveryOptions,
        tls: &TlsClients,
        policy: TlsPolicy,
    ) -> Result<Self, ConnectionError> {
        let timeouts = &options.timeouts;
        let tcp = timeout(timeouts.connect, connect(address, options))
            .await
            .map_err(|_| ConnectionError::Timeout("to the connection", timeouts.connect))??;
        let _ = tcp.set_nodelay(true);
        let (stream, agreed, flaw) = if host.implicit_tls {
            handshake(tcp, host, policy, timeouts, tls).await?
        } else {
            (Box::new(tcp) as Box<dyn Io>, String::new(), None)
        };
        let mut this = Self {
            stream,
            parser: ReplyParser::default(),
            buffer: vec![0; 4096],
            filled: 0..0,
            capabilities: Capabilities::default(),
            timeouts: timeouts.clone(),
            peer: address,
            tls: host.implicit_tls,
            agreed,
            flaw,
            transactions: 0,
        };
        let greeting = this.read("to the connection", timeouts.greeting).await?;
        if !greeting.is_positive() {
            this.quit().await;
            return Err(ConnectionError::Refused(greeting));
        }
        this.hello(&options.hostname).await?;
        if !this.tls {
            this = this.secure(host, policy, options, tls).await?;
        }
        if let Some(credentials) = &host.credentials {
            this.sign_in(credentials).await?;
        }
        Ok(this)
    }

    /// Where it leads.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Version and cipher of TLS; empty without.
    pub fn agreed(&self) -> &str {
        &self.agreed
    }

    /// What is wrong with how it is secured, where nothing depends on it.
    pub fn flaw(&self) -> Option<&TlsProblem> {
        self.flaw.as_ref()
    }

    /// The server's capabilities.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// How many transactions it has carried.
    pub fn transactions(&self) -> usize {
        self.transactions
    }

    /// Carry a message.
    pub async fn send(&mut self, mail: Mail, message: &mut dyn MessageSource) -> Sent {
        self.transactions += 1;
        let mut transaction = Transaction::new(mail, &self.capabilities);
        let mut broken = false;
        loop {
            let done = match transaction.next() {
                Step::Done => break,
                Step::Send(bytes) => self.write(&bytes).await,
                Step::SendMessage => self.write_message(message).await,
                Step::Read(wait) => {
                    let (what, wait) = match wait {
                        Wait::Command => ("to a command", self.timeouts.command),
                        Wait::Data => ("to DATA", self.timeouts.data),
                        Wait::Done => ("to the message", self.timeouts.done),
                    };
                    self.read(what, wait).await.map(|reply| transaction.reply(&reply))
                }
            };
            if let Err(error) = done {
                broken = true;
                // Read a final reply (421, or a refusal of the message) of a server that then closes.
                let last_word = self.read("", Duration::from_millis(200)).await.ok().filter(|r| r.code >= 400);
                let text = if transaction.message_sent() {
                    format!("4.4.2 the connection was lost before the server confirmed the message: {error}")
                } else {
                    format!("4.4.2 the connection was lost: {error}")
                };
                transaction.lose(&last_word.unwrap_or_else(|| Reply::new(451, text)));
            }
        }
        let untouched = broken && !transaction.message_sent();
        let (fates, usable) = transaction.finish();
        Sent { fates, reusable: usable && !broken, untouched }
    }

    /// Send QUIT; the reply does not matter.
    pub async fn quit(&mut self) {
        let wait = self.timeouts.quit;
        let _ = timeout(wait, async {
            self.write(b"QUIT\r\n").await?;
            self.read("to QUIT", wait).await
        })
        .await;
    }

    async fn hello(&mut self, hostname: &str) -> Result<(), ConnectionError> {
        let reply = self.command(format!("EHLO {hostname}\r\n").as_bytes()).await?;
        if reply.is_positive() {
            self.capabilities = Capabilities::from_ehlo(&reply);
            return Ok(());
        }
        if reply.code == 421 {
            return Err(ConnectionError::Refused(reply));
        }
        let reply = self.command(format!("HELO {hostname}\r\n").as_bytes()).await?;
        self.capabilities = Capabilities::default();
        if reply.is_positive() { Ok(()) } else { Err(ConnectionError::Refused(reply)) }
    }

    async fn secure(
        mut self,
        host: &Host,
        policy: TlsPolicy,
        options: &DeliveryOptions,
        tls: &TlsClients,
    ) -> Result<Self, ConnectionError> {
        let demanded = policy != TlsPolicy::Off && !host.may_be_plain();
        if policy == TlsPolicy::Off {
            return Ok(self);
        }
        let missing = |text: String| TlsProblem::new(TlsFailure::StarttlsNotSupported, text);
        if !self.capabilities.starttls {
            let why = missing(format!("{} does not offer STARTTLS, but TLS is required", host.name));
            if demanded {
                self.quit().await;
                return Err(ConnectionError::Tls(why));
            }
            self.flaw = Some(missing(format!("{} does not offer STARTTLS", host.name)));
            return Ok(self);
        }
        let reply = self.command(b"STARTTLS\r\n").await?;
        if reply.code != 220 {
            let why = missing(format!("{} refused STARTTLS: {reply}", host.name));
            if demanded {
                self.quit().await;
                return Err(ConnectionError::Tls(why));
            }
            self.flaw = Some(why);
            return Ok(self);
        }
        if !self.filled.is_empty() || !self.parser.is_idle() {
            // Bytes sent in plain text must not count as part of the encrypted session.
            let text = format!("{} sent data before the TLS handshake", host.name);
            return Err(ConnectionError::Tls(TlsProblem::new(TlsFailure::ValidationFailure, text)));
        }
        (self.stream, self.agreed, self.flaw) = handshake(self.stream, host, policy, &options.timeouts, tls).await?;
        self.tls = true;
        // State from the plain text phase is discarded (RFC 3207 §4.2).
        self.hello(&options.hostname).await?;
        Ok(self)
    }

    async fn sign_in(&mut self, credentials: &Credentials) -> Result<(), ConnectionError> {
        if !self.tls {
            let text = "refusing to send the password without TLS";
            return Err(ConnectionError::Tls(TlsProblem::new(TlsFailure::StarttlsNotSupported, text)));
        }
        let offers = |mechanism: &str| self.capabilities.auth.iter().any(|m| m == mechanism);
        let reply = if offers("PLAIN") {
            let response = BASE64.encode(format!("\0{}\0{}", credentials.username, credentials.password));
            self.command(format!("AUTH PLAIN {response}\r\n").as_bytes()).await?
        } else if offers("LOGIN") {
            let mut reply = self.command(b"AUTH LOGIN\r\n").await?;
            for answer in [&credentials.username, &credentials.password] {
                if reply.code != 334 {
                    break;
                }
                reply = self.command(format!("{}\r\n", BASE64.encode(answer)).as_bytes()).await?;
            }
            reply
        } else {
            Reply::new(504, "the server offers neither AUTH PLAIN nor AUTH LOGIN")
        };
        if reply.code == 235 { Ok(()) } else { Err(ConnectionError::Refused(reply)) }
    }

    /// Sends a command, and reads its reply.
    pub async fn command(&mut self, command: &[u8]) -> Result<Reply, ConnectionError> {
        self.write(command).await?;
        self.read("to a command", self.timeouts.command).await
    }

    async fn read(&mut self, what: &'static str, wait: Duration) -> Result<Reply, ConnectionError> {
        timeout(wait, self.read_reply()).await.map_err(|_| ConnectionError::Timeout(what, wait))?
    }

    async fn read_reply(&mut self) -> Result<Reply, ConnectionError> {
        loop {
            let (taken, reply) = self.parser.push(&self.buffer[self.filled.clone()])?;
            self.filled.start += taken;
            if let Some(reply) = reply {
                return Ok(reply);
            }
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection").into());
            }
            self.filled = 0..read;
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let wait = self.timeouts.block;
        timeout(wait, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
        .map_err(|_| ConnectionError::Timeout("while sending", wait))??;
        Ok(())
    }

    async fn write_message(&mut self, message: &mut dyn MessageSource) -> Result<(), ConnectionError> {
        let mut encoder = WireEncoder::default();
        let mut block = Vec::with_capacity(BLOCK_BYTES * 2);
        while let Some(piece) = message.next_piece().await? {
            for part in piece.chunks(BLOCK_BYTES) {
                encoder.encode(part, &mut block);
                if block.len() >= BLOCK_BYTES {
                    self.write(&block).await?;
                    block.clear();
                }
            }
        }
        encoder.finish(&mut block);
        self.write(&block).await
    }
}

/// A connection to an address, from where the options say.
pub async fn connect(address: SocketAddr, options: &DeliveryOptions) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(bind) = options.bind {
        socket.bind(SocketAddr::new(bind, 0))?;
    }
    socket.connect(address).await
}

/// The stream, what was agreed on, and what is wrong with a certificate on which nothing depends.
async fn handshake(
    stream: impl Io + 'static,
    host: &Host,
    policy: TlsPolicy,
    timeouts: &Timeouts,
    tls: &TlsClients,
) -> Result<(Box<dyn Io>, String, Option<TlsProblem>), ConnectionError> {
    let prefix = format!("TLS with {} failed", host.name);
    let failed =
        |why: String| ConnectionError::Tls(TlsProblem::new(TlsFailure::ValidationFailure, format!("{prefix}: {why}")));
    let name = host.dane.as_ref().map_or(&host.name, |dane| &dane.base);
    let name = ServerName::try_from(name.clone()).map_err(|e| failed(e.to_string()))?;
    let own;
    let mut watched = None;
    let connector = match (&host.dane, policy) {
        (Some(dane), _) => {
            let verifier = dane::verifier(dane.clone(), tls.provider().clone());
            own = tls.verifying_by(verifier).map_err(|e| failed(e.to_string()))?;
            &own
        }
        (None, TlsPolicy::Verify) => &tls.verified,
        (None, _) if host.watched => {
            let (connector, watch) = tls.watched().map_err(|e| failed(e.to_string()))?;
            watched = Some(watch);
            own = connector;
            &own
        }
        (None, _) => &tls.unverified,
    };
    match timeout(timeouts.tls, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => {
            let session = stream.get_ref().1;
            let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
            let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
            let agreed = format!("{} {cipher}", version.replace('_', "."));
            let flaw = watched.and_then(|watched| watched.problem());
            let flaw = flaw.map(|problem| TlsProblem::new(problem.kind, format!("{}: {}", host.name, problem.text)));
            Ok((Box::new(stream), agreed, flaw))
        }
        Ok(Err(error)) => Err(ConnectionError::Tls(TlsProblem::of(&error, &prefix))),
        Err(_) => Err(failed(format!("no reply within {:?}", timeouts.tls))),
    }
}
