//! A connection to a server elsewhere: found, allowed, secured; lines and bytes within limits of time and size.

use std::net::SocketAddr;
use std::time::Duration;

use dnskit::{DnsError, Resolver};
use doorkit::Reach;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::Policy;
use crate::source::Security;
use crate::trouble::Trouble;

/// How long each address may take to connect, and TLS to be agreed on.
const CONNECT_TIME: Duration = Duration::from_secs(20);
/// How long a server may be silent within an answer.
const READ_TIME: Duration = Duration::from_secs(90);
/// From so long on an answer has to come at [`SLOWEST_BYTES_PER_SECOND`] at least.
const GRACE: Duration = Duration::from_secs(180);
/// See [`GRACE`].
const SLOWEST_BYTES_PER_SECOND: u64 = 256;
/// How long a server may take to read what it is sent.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// Bytes read at a time.
const READ_BYTES: usize = 32 << 10;
/// Most addresses of a server that are tried.
const MAX_ADDRESSES: usize = 4;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection.
pub(crate) struct Link {
    stream: Box<dyn Io>,
    buffer: Vec<u8>,
    used: usize,
    /// When the current answer began, and what came of it.
    answer: (Instant, u64),
}

/// Where to.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub host: &'a str,
    pub port: u16,
    pub security: Security,
}

/// By which means.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub resolver: &'a dyn Resolver,
    pub tls: &'a TlsConnector,
    pub policy: &'a Policy,
}

impl Link {
    /// Connects; with [`Security::Tls`] the connection is secured.
    ///
    /// # Errors
    /// The server can't be found, must not be asked, does not answer, or is not who it should be.
    pub(crate) async fn open(target: Target<'_>, means: Means<'_>) -> Result<Self, Trouble> {
        let addresses = addresses_of(target, means).await?;
        let mut last = String::new();
        for address in addresses {
            let tcp = match timeout(CONNECT_TIME, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => tcp,
                Ok(Err(error)) => {
                    last = error.to_string();
                    continue;
                }
                Err(_) => {
                    "no answer".clone_into(&mut last);
                    continue;
                }
            };
            let _ = tcp.set_nodelay(true);
            let link = Self::on(tcp);
            return if target.security == Security::Tls {
                link.secured(target.host, means.tls).await
            } else {
                Ok(link)
            };
        }
        Err(Trouble::Unreachable(format!("can't connect to {} on port {}: {last}", target.host, target.port)))
    }

    fn on(stream: impl Io + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new(), used: 0, answer: (Instant::now(), 0) }
    }

    /// Goes on under TLS.
    ///
    /// # Errors
    /// The server has said more in plain text, which must not count as said under TLS; TLS failed.
    pub(crate) async fn secured(self, host: &str, tls: &TlsConnector) -> Result<Self, Trouble> {
        if self.used < self.buffer.len() {
            return Err(Trouble::Tls(format!("{host} sent data before TLS was agreed on")));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Trouble::Hopeless(format!("{host} is not the name of a server")))?;
        match timeout(CONNECT_TIME, tls.connect(name, self.stream)).await {
            Ok(Ok(stream)) => Ok(Self::on(stream)),
            Ok(Err(error)) => Err(Trouble::Tls(format!("no secure connection to {host}: {error}"))),
            Err(_) => Err(Trouble::Unreachable(format!("{host} does not answer"))),
        }
    }

    /// Sends.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.answer = (Instant::now(), 0);
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_TIME, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Trouble::Lost(error.to_string())),
            Err(_) => Err(Trouble::Lost("the server does not read".to_owned())),
        }
    }

    async fn fill(&mut self) -> Result<(), Trouble> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let read = timeout(READ_TIME, self.stream.read(&mut self.buffer[before..])).await;
        let count = *read.as_ref().ok().and_then(|read| read.as_ref().ok()).unwrap_or(&0);
        self.buffer.truncate(before + count);
        match read {
            Ok(Ok(0)) => Err(Trouble::Lost("the server closed it".to_owned())),
            Ok(Ok(_)) => self.keep_pace(count as u64),
            Ok(Err(error)) => Err(Trouble::Lost(error.to_string())),
            Err(_) => Err(Trouble::Lost(format!("nothing came for {} seconds", READ_TIME.as_secs()))),
        }
    }

    fn keep_pace(&mut self, count: u64) -> Result<(), Trouble> {
        self.answer.1 += count;
        let since = self.answer.0.elapsed();
        if since > GRACE && self.answer.1 < since.as_secs() * SLOWEST_BYTES_PER_SECOND {
            return Err(Trouble::Lost("the server sends too slowly".to_owned()));
        }
        Ok(())
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// It is longer than `most`; the connection is lost.
    pub(crate) async fn line(&mut self, most: usize) -> Result<Vec<u8>, Trouble> {
        let mut searched = 0;
        loop {
            let waiting = &self.buffer[self.used..];
            if let Some(end) = waiting[searched..].iter().position(|byte| *byte == b'\n').map(|at| at + searched) {
                let mut line = waiting[..end].to_vec();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                self.used += end + 1;
                return if line.len() > most { Err(too_long()) } else { Ok(line) };
            }
            searched = waiting.len();
            if searched > most {
                return Err(too_long());
            }
            self.fill().await?;
        }
    }

    /// Some of the next bytes, at most so many.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) async fn some(&mut self, most: u64) -> Result<Vec<u8>, Trouble> {
        if self.used == self.buffer.len() {
            self.fill().await?;
        }
        let waiting = &self.buffer[self.used..];
        let count = waiting.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let taken = waiting[..count].to_vec();
        self.used += count;
        Ok(taken)
    }
}

fn too_long() -> Trouble {
    Trouble::Protocol("an endless line".to_owned())
}

/// The addresses of a server that may be connected to. What is not allowed is not told apart by what answers there.
async fn addresses_of(target: Target<'_>, means: Means<'_>) -> Result<Vec<SocketAddr>, Trouble> {
    let Target { host, port, security } = target;
    means.policy.check(port).map_err(Trouble::Hopeless)?;
    let found = match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) if host.eq_ignore_ascii_case("localhost") => vec![[127, 0, 0, 1].into()],
        Err(_) => means.resolver.addresses(host).await.map_err(|error| match error {
            DnsError::NoSuchDomain | DnsError::NoRecords => {
                Trouble::Unreachable(format!("there is no server {host}; check the name"))
            }
            DnsError::Temporary(why) => Trouble::Unreachable(format!("can't look up {host}: {why}")),
        })?,
    };
    let allowed = found.into_iter().filter(|ip| means.policy.allow_private || Reach::of(*ip) == Reach::Public);
    let mut allowed: Vec<SocketAddr> = allowed.map(|ip| SocketAddr::new(ip, port)).collect();
    allowed.truncate(MAX_ADDRESSES);
    if allowed.is_empty() {
        return Err(Trouble::Hopeless(format!(
            "{host} is in a network that this service is not allowed to fetch from"
        )));
    }
    let is_local = allowed.iter().all(|address| address.ip().is_loopback());
    if security == Security::Plain && !means.policy.allow_plaintext && !is_local {
        return Err(Trouble::Hopeless(format!("{host} can only be asked over a secure connection")));
    }
    Ok(allowed)
}
