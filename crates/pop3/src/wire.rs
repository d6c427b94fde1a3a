//! The connection with its buffers: lines in, replies out.

use std::{io, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use directory::Access;
use doorkit::{Conn, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What is read at a time, and about what is written at a time.
pub(crate) const PIECE_BYTES: usize = 64 << 10;
const READ_BYTES: usize = 4 << 10;
/// How long the goodbye of a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line without its line end.
    Text(Bytes),
    /// A line that was longer than allowed; it was read over.
    TooLong,
}

pub(crate) struct Wire {
    conn: Conn,
    input: BytesMut,
    /// Pending output. Sent when the client's commands are used up, or by [`Wire::flush`].
    pub(crate) out: Vec<u8>,
    write_timeout: Duration,
    /// An answer was sent in part.
    pub(crate) torn: bool,
}

impl Wire {
    pub(crate) fn new(conn: Conn, write_timeout: Duration) -> Self {
        Self { conn, input: BytesMut::new(), out: Vec::new(), write_timeout, torn: false }
    }

    pub(crate) const fn conn(&self) -> &Conn {
        &self.conn
    }

    /// Ends with `access`: reading and writing fail with its [`Ended`](directory::Ended) then.
    pub(crate) fn end_with(&mut self, mut access: Access) {
        self.conn.end_when(async move { io::Error::new(io::ErrorKind::PermissionDenied, access.ended().await) });
    }

    /// # Errors
    /// The access has ended.
    pub(crate) fn check_access(&mut self) -> io::Result<()> {
        self.conn.check_end()
    }

    /// The next line. Pending output is sent before waiting, so pipelined commands are answered together.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] at the stream's end, [`io::ErrorKind::TimedOut`] when nothing came for `timeout`.
    pub(crate) async fn line(&mut self, max_bytes: usize, timeout: Duration) -> io::Result<Line> {
        // Many short commands can have long answers.
        if self.out.len() >= PIECE_BYTES {
            self.flush().await?;
        }
        let mut searched = 0;
        let mut too_long = false;
        loop {
            if let Some(end) = self.input[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.input.split_to(searched + end + 1).freeze();
                if too_long || line.len() > max_bytes {
                    return Ok(Line::TooLong);
                }
                let text = line.strip_suffix(b"\r\n").unwrap_or(&line[..line.len() - 1]).len();
                return Ok(Line::Text(line.slice(..text)));
            }
            searched = self.input.len();
            if searched > max_bytes {
                // The rest of it is read over, in constant memory.
                too_long = true;
                self.input.advance(searched);
                searched = 0;
            }
            self.fill(timeout).await?;
        }
    }

    async fn fill(&mut self, timeout: Duration) -> io::Result<()> {
        self.flush().await?;
        if self.input.is_empty() {
            // An idle connection holds no buffers.
            self.input = BytesMut::new();
            self.out = Vec::new();
        }
        self.input.reserve(READ_BYTES);
        match tokio::time::timeout(timeout, self.conn.read_buf(&mut self.input)).await {
            Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Sends pending output.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        // Checked before anything is sent: a final message can follow the pending output.
        if !self.out.is_empty()
            && let Err(error) = self.conn.check_end()
        {
            self.out.clear();
            return Err(error);
        }
        self.torn = true;
        for piece in self.out.chunks(PIECE_BYTES) {
            tokio::time::timeout(self.write_timeout, self.conn.write_all(piece))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        }
        if !self.out.is_empty() {
            self.out.clear();
            tokio::time::timeout(self.write_timeout, self.conn.flush())
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        }
        self.torn = false;
        Ok(())
    }

    /// Sends a last line and closes. In the middle of a response nothing is sent: it would look like part of it.
    pub(crate) async fn part(mut self, last: impl FnOnce(&mut Vec<u8>)) {
        if self.torn {
            self.out.clear();
        } else {
            last(&mut self.out);
        }
        self.close().await;
    }

    /// Switches to TLS.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if the client sent more in plain text after STLS: it must not be treated as sent under
    /// TLS (CVE-2011-0411).
    pub(crate) async fn start_tls(mut self, tls: &Tls) -> io::Result<Self> {
        if !self.input.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain text after STLS"));
        }
        self.flush().await?;
        self.conn = self.conn.starttls(tls).await?;
        Ok(self)
    }

    /// Sends pending output and closes.
    pub(crate) async fn close(mut self) {
        let farewell = async {
            self.flush().await?;
            self.conn.shutdown().await
        };
        // Best effort: the client may already be gone.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
    }
}
