//! A connection, plain or TLS.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{Tls, listener::Slot};

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// What was agreed on in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite's IANA name.
    pub cipher: String,
    /// The client went on with an earlier session.
    pub resumed: bool,
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
}

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
        Ok(Self { peer: stream.peer_addr()?, local: stream.local_addr()?, stream: Stream::Plain(stream), slot: None })
    }

    pub(crate) fn counted(stream: TcpStream, peer: SocketAddr, slot: Slot) -> io::Result<Self> {
        Ok(Self { peer, local: stream.local_addr()?, stream: Stream::Plain(stream), slot: Some(slot) })
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

    /// Whether what is said here is encrypted.
    pub const fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// What was agreed on; `None` in plain text.
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
        })
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

    /// Negotiates TLS on a plain connection. The caller must have seen to it that nothing was read past the command
    /// that asked for it: what came in plain text must not count as said under TLS (CVE-2011-0411).
    ///
    /// # Errors
    /// When the connection is TLS already, the handshake fails, or takes longer than 30 seconds.
    pub async fn starttls(self, tls: &Tls) -> io::Result<Self> {
        let Self { stream, peer, local, slot } = self;
        let Stream::Plain(stream) = stream else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the connection is TLS already"));
        };
        let accept = TlsAcceptor::from(tls.config()).accept(stream);
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, accept)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))??;
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let kind = if resumed { "resumed" } else { "full" };
        metrics::counter!("holdfast_doorkit_handshakes_total", "kind" => kind).increment(1);
        Ok(Self { stream: Stream::Tls(Box::new(stream)), peer, local, slot })
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted = if self.slot.is_some() { "" } else { ", uncounted" };
        write!(f, "Conn({} -> {}, tls: {}{counted})", self.peer, self.local, self.is_tls())
    }
}

macro_rules! on_stream {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().stream {
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
        on_stream!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_stream!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => stream.poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, stream => stream.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
