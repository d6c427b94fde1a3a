//! Frames: a length, and as many bytes.
//!
//! ```text
//! frame = length(u32, little-endian) bytes
//! ```

use std::io;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Writes one message of at most `limit` bytes. Call `flush` when nothing follows.
///
/// # Errors
/// Those of the connection; the message is too large.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), message: &impl Message, limit: usize) -> io::Result<()> {
    let length = message.encoded_len();
    if length > limit {
        return Err(invalid(format!("invalid frame length: {length} bytes")));
    }
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    message.encode(&mut bytes).expect("a Vec has room");
    to.write_all(&bytes).await
}

/// Reads one frame of at most `limit` bytes. Not cancel-safe: a partial frame is lost.
///
/// # Errors
/// Those of the connection; the frame is too large.
pub async fn read(from: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<Vec<u8>> {
    let length = from.read_u32_le().await? as usize;
    if length > limit {
        return Err(invalid(format!("invalid frame length: {length} bytes")));
    }
    // Allocate memory as data arrives, not as announced.
    let mut bytes = Vec::with_capacity(length.min(1 << 20));
    if from.take(length as u64).read_to_end(&mut bytes).await? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// The other side has sent what makes no sense.
pub fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
