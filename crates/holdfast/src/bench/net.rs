//! Connections of the load generator: plain, TLS from the start, or TLS after a command.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use delivery::TlsClients;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::common::{Common, Encryption};

/// Longest line accepted from a server, in bytes.
const MAX_LINE: u64 = 1 << 20;

const BUFFER: usize = 64 * 1024;

/// A byte stream of either kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How to connect; cheap to clone.
#[derive(Clone)]
pub(super) struct Dialer {
    target: String,
    name: ServerName<'static>,
    connector: TlsConnector,
    pub(super) encryption: Encryption,
    patience: Duration,
}

impl Dialer {
    pub(super) fn new(common: &Common) -> Result<Self> {
        let (host, _) = common.target.rsplit_once(':').context("--target must be HOST:PORT")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host} is not a host name"))?;
        let clients = TlsClients::new(&[])?;
        Ok(Self {
            target: common.target.clone(),
            name,
            connector: if common.insecure { clients.unverified } else { clients.verified },
            encryption: common.tls,
            patience: Duration::from_secs(common.timeout),
        })
    }

    /// A byte stream, encrypted if it is to be from the start.
    pub(super) async fn stream(&self) -> Result<Box<dyn Io>> {
        let tcp = timeout(self.patience, TcpStream::connect(&self.target))
            .await
            .context("connecting took too long")?
            .with_context(|| format!("connect to {}", self.target))?;
        tcp.set_nodelay(true)?;
        match self.encryption {
            Encryption::Implicit => self.encrypt(Box::new(tcp)).await,
            Encryption::None | Encryption::Starttls => Ok(Box::new(tcp)),
        }
    }

    async fn encrypt(&self, stream: Box<dyn Io>) -> Result<Box<dyn Io>> {
        let tls = timeout(self.patience, self.connector.connect(self.name.clone(), stream))
            .await
            .context("the TLS handshake took too long")?
            .context("TLS handshake")?;
        Ok(Box::new(tls))
    }

    /// A connection for a protocol of lines.
    pub(super) async fn lines(&self) -> Result<Lines> {
        let stream = BufReader::with_capacity(BUFFER, self.stream().await?);
        Ok(Lines { stream, line: String::new(), patience: self.patience, bytes: 0 })
    }
}

/// A connection for a protocol of lines.
pub(super) struct Lines {
    stream: BufReader<Box<dyn Io>>,
    line: String,
    patience: Duration,
    /// Bytes received so far.
    pub(super) bytes: u64,
}

impl Lines {
    /// Turns to TLS, after the server has agreed to.
    pub(super) async fn encrypt(self, dialer: &Dialer) -> Result<Self> {
        ensure!(
            self.stream.buffer().is_empty(),
            "the server sent data between its STARTTLS reply and the TLS handshake"
        );
        let stream = dialer.encrypt(self.stream.into_inner()).await?;
        Ok(Self { stream: BufReader::with_capacity(BUFFER, stream), ..self })
    }

    /// Sends bytes.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        timeout(self.patience, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
        .context("sending took too long")?
        .context("send")
    }

    /// Reads a line, without its end.
    pub(super) async fn line(&mut self) -> Result<&str> {
        let patience = self.patience;
        self.line_within(patience).await
    }

    /// Reads a line for which the server may take its time.
    pub(super) async fn line_within(&mut self, patience: Duration) -> Result<&str> {
        let mut bytes = std::mem::take(&mut self.line).into_bytes();
        bytes.clear();
        let mut limited = (&mut self.stream).take(MAX_LINE);
        let read =
            timeout(patience, limited.read_until(b'\n', &mut bytes)).await.context("no reply")?.context("receive")?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        self.bytes += read as u64;
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        self.line = String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Ok(&self.line)
    }

    /// Reads that many bytes and forgets them.
    pub(super) async fn skip(&mut self, mut count: u64) -> Result<()> {
        self.bytes += count;
        while count > 0 {
            let available = timeout(self.patience, self.stream.fill_buf()).await.context("no reply")??.len();
            ensure!(available > 0, "the server closed the connection");
            let used = available.min(usize::try_from(count).unwrap_or(usize::MAX));
            self.stream.consume(used);
            count -= used as u64;
        }
        Ok(())
    }
}
