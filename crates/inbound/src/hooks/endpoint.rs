//! Where a scanner listens.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A socket of a scanner: `127.0.0.1:3310`, `scanner.example.org:11332` or `/run/clamav/clamd.ctl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Host and port.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What is wrong with an [`Endpoint`] that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is neither host:port nor the path of a socket")]
pub struct BadEndpoint;

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadEndpoint)?;
        let port_is_one = port.parse::<u16>().is_ok_and(|port| port > 0);
        let host_is_one = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || ".-_:[]".contains(c));
        if port_is_one && host_is_one { Ok(Self::Tcp(text.to_owned())) } else { Err(BadEndpoint) }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A connection to a scanner.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Endpoint {
    /// Connects; the caller has a time limit.
    ///
    /// # Errors
    /// Those of the system, with the endpoint in the text.
    pub async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let connected: io::Result<Box<dyn Stream>> = match self {
            Self::Tcp(address) => TcpStream::connect(address).await.map(|stream| Box::new(stream) as Box<dyn Stream>),
            Self::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::new(stream) as Box<dyn Stream>),
        };
        connected.map_err(|error| io::Error::new(error.kind(), format!("{self}: {error}")))
    }
}
