//! A connection, plain or TLS.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

use crate::{
    Tls,
    listener::Slot,
    patience::{PATIENCE, Patience},
};

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// The result of the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite's IANA name.
    pub cipher: String,
    /// The client went on with an earlier session.
    pub resumed: bool,
    /// The name that the client came by (SNI), in lower case.
    pub server_name: Option<String>,
}

/// Who may log in over a connection without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlaintextLogins {
    /// Nobody.
    #[default]
    Never,
    /// Clients on this machine (loopback addresses), whose passwords cross no network.
    Loopback,
    /// Everybody. For closed networks, and behind a proxy that does TLS.
    Always,
}

/// A connection of a client. Counts against its listener's limits until it is dropped.
pub struct Conn {
    stream: Stream,
    peer: SocketAddr,
    local: SocketAddr,
    slot: Option<Slot>,
    patience: Patience,
    end: Option<End>,
}

/// Gives the error that ends a connection.
type End = Pin<Box<dyn Future<Output = io::Error> + Send + Sync>>;

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Conn {
    /// A connection that no listener counts: for tests and clients of other kinds.
    ///
    /// # Errors
    /// When the socket is no longer connected.
    pub fn from_tcp(stream: TcpStream) -> io::Result<Self> {
        let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        Ok(Self::of(Stream::Plain(stream), (peer, local), None, PATIENCE))
    }

    fn of(stream: Stream, (peer, local): (SocketAddr, SocketAddr), slot: Option<Slot>, patience: Duration) -> Self {
        Self { stream, peer, local, slot, patience: Patience::new(patience), end: None }
    }

    pub(crate) fn counted(stream: TcpStream, peer: SocketAddr, slot: Slot, patience: Duration) -> io::Result<Self> {
        let local = stream.local_addr()?;
        Ok(Self::of(Stream::Plain(stream), (peer, local), Some(slot), patience))
    }

    /// The client's address.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our address.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether a login may be made here.
    pub fn may_log_in(&self, without_tls: PlaintextLogins) -> bool {
        self.is_tls()
            || match without_tls {
                PlaintextLogins::Never => false,
                PlaintextLogins::Loopback => self.peer.ip().to_canonical().is_loopback(),
                PlaintextLogins::Always => true,
            }
    }

    /// Whether the connection is encrypted.
    pub const fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The result of the handshake; `None` in plain text.
    pub fn handshake(&self) -> Option<Handshake> {
        let Stream::Tls(stream) = &self.stream else { return None };
        let session = stream.get_ref().1;
        let version = match session.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
            _ => "TLS",
        };
        let cipher = session.negotiated_cipher_suite()?.suite();
        Some(Handshake {
            version,
            cipher: cipher.as_str().map_or_else(|| "unknown".to_owned(), |name| name.replacen("TLS13_", "TLS_", 1)),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            server_name: self.server_name().map(str::to_ascii_lowercase),
        })
    }

    /// The name that the client came by (SNI), as it wrote it.
    pub fn server_name(&self) -> Option<&str> {
        let Stream::Tls(stream) = &self.stream else { return None };
        stream.get_ref().1.server_name()
    }

    /// Which of our names the client came by (SNI); none if it named none of these.
    pub fn came_by<'a>(&self, own: &'a [String]) -> Option<&'a str> {
        let named = self.server_name()?;
        own.iter().map(String::as_str).find(|name| name.eq_ignore_ascii_case(named))
    }

    /// The channel binding `tls-exporter` (RFC 9266), for SCRAM-SHA-256-PLUS; `None` before TLS 1.3.
    pub fn tls_exporter(&self) -> Option<[u8; 32]> {
        let Stream::Tls(stream) = &self.stream else { return None };
        let session = stream.get_ref().1;
        if session.protocol_version()? != rustls::ProtocolVersion::TLSv1_3 {
            return None;
        }
        session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
    }

    /// Makes reading and writing fail once `end` is done, with its error: the next call, or the one waiting right now. They
    /// fail once; after that the connection can be used for a final message.
    pub fn end_when(&mut self, end: impl Future<Output = io::Error> + Send + Sync + 'static) {
        self.end = Some(Box::pin(end));
    }

    /// Goes on, whatever [`Conn::end_when`] waited for.
    pub fn end_with_nothing(&mut self) {
        self.end = None;
    }

    /// The error by which the connection has ended, if it has and this was not told yet: for those who have work to do and
    /// nothing to read or write.
    ///
    /// # Errors
    /// What the future of [`Conn::end_when`] gave.
    pub fn check_end(&mut self) -> io::Result<()> {
        // Reading and writing, which come next, have their own waker put in place of this one.
        self.poll_end(&mut Context::from_waker(Waker::noop()))
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(end) = &mut self.end else { return Ok(()) };
        match end.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(error) => {
                self.end = None;
                Err(error)
            }
        }
    }

    /// What a write has come to: see [`Patience`].
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match &outcome {
            Poll::Ready(Ok(done)) => self.patience.taken(bytes(done)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if self.patience.poll_over(context).is_ready() {
                    metrics::counter!("holdfast_doorkit_deaf_clients_total").increment(1);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")));
                }
            }
        }
        outcome
    }

    /// Negotiates TLS on a plain connection. The caller must make sure that nothing was read past the command that requested
    /// it: plain text data must not be treated as sent under TLS (CVE-2011-0411).
    ///
    /// # Errors
    /// When the connection is TLS already, the handshake fails, or takes longer than 30 seconds.
    pub async fn starttls(self, tls: &Tls) -> io::Result<Self> {
        let Self { stream, peer, local, slot, patience, end } = self;
        let Stream::Plain(stream) = stream else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the connection already uses TLS"));
        };
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, accept(tls, stream))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))??;
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let kind = if resumed { "resumed" } else { "full" };
        metrics::counter!("holdfast_doorkit_handshakes_total", "kind" => kind).increment(1);
        let conn = Self::of(Stream::Tls(Box::new(stream)), (peer, local), slot, patience.all());
        Ok(Self { end, ..conn })
    }
}

/// The handshake. While an authority may ask (see [`Tls::answer_challenge`]), its questions are told from clients; a question is
/// answered by the handshake alone.
async fn accept(tls: &Tls, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    if !tls.named().is_asked() {
        return TlsAcceptor::from(tls.config()).accept(stream).await;
    }
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let Some(answer) = tls.named().answer(&start.client_hello()) else {
        return start.into_stream(tls.config()).await;
    };
    let mut stream = start.into_stream(answer).await?;
    stream.shutdown().await?;
    Err(io::Error::other("a certificate authority asked, and was answered"))
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted = if self.slot.is_some() { "" } else { ", uncounted" };
        write!(f, "Conn({} -> {}, tls: {}{counted})", self.peer, self.local, self.is_tls())
    }
}

macro_rules! on_stream {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.stream {
            Stream::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Stream::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_end(context)?;
        on_stream!(this, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.poll_end(context)?;
        let written = on_stream!(this, stream => stream.poll_write(context, bytes));
        this.written(context, written, |count| *count)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_end(context)?;
        let flushed = on_stream!(this, stream => stream.poll_flush(context));
        this.written(context, flushed, |()| 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = on_stream!(this, stream => stream.poll_shutdown(context));
        this.written(context, shut, |()| 0)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.poll_end(context)?;
        let written = on_stream!(this, stream => stream.poll_write_vectored(context, bytes));
        this.written(context, written, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
