//! The connection with its buffers: lines in, replies out.

use std::{io, time::Duration};

use directory::Access;
use doorkit::{Conn, Tls};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

/// Bytes read at a time.
const READ_BYTES: usize = 16 << 10;

/// A line, or why there is none.
pub(crate) enum Line {
    Text(String),
    /// It ends with a bare LF, or holds bytes that are not UTF-8.
    Malformed(&'static str),
    TooLong,
}

pub(crate) struct Wire {
    conn: Option<Conn>,
    input: Vec<u8>,
    used: usize,
    pub(crate) out: Vec<u8>,
    write_timeout: Duration,
}

impl Wire {
    pub(crate) const fn new(conn: Conn, write_timeout: Duration) -> Self {
        Self { conn: Some(conn), input: Vec::new(), used: 0, out: Vec::new(), write_timeout }
    }

    pub(crate) fn conn(&self) -> io::Result<&Conn> {
        self.conn.as_ref().ok_or_else(closed)
    }

    /// Ends with `access`: reading and writing fail with its [`Ended`](directory::Ended) then.
    pub(crate) fn end_with(&mut self, mut access: Access) -> io::Result<()> {
        let conn = self.conn.as_mut().ok_or_else(closed)?;
        conn.end_when(async move { io::Error::new(io::ErrorKind::PermissionDenied, access.ended().await) });
        Ok(())
    }

    /// # Errors
    /// The access has ended.
    pub(crate) fn check_access(&mut self) -> io::Result<()> {
        self.conn.as_mut().ok_or_else(closed)?.check_end()
    }

    /// Bytes that were read but not consumed yet.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.input[self.used..]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.used += count;
        if self.used >= self.input.len() {
            self.used = 0;
            self.input.clear();
            self.input.shrink_to(READ_BYTES);
        }
    }

    /// Waits for more bytes; an error at the end of the stream. Flushes pending replies first.
    pub(crate) async fn fill(&mut self, timeout: Duration) -> io::Result<()> {
        self.flush().await?;
        let Self { conn, input, used, .. } = self;
        let conn = conn.as_mut().ok_or_else(closed)?;
        input.drain(..*used);
        *used = 0;
        let start = input.len();
        input.resize(start + READ_BYTES, 0);
        let read = tokio::time::timeout(timeout, conn.read(&mut input[start..])).await;
        let count = match &read {
            Ok(Ok(count)) => *count,
            _ => 0,
        };
        input.truncate(start + count);
        match read {
            Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// The next line, without its CRLF. The timeout covers the whole line, so sending it byte by byte does not extend it.
    pub(crate) async fn line(&mut self, max_bytes: usize, timeout: Duration) -> io::Result<Line> {
        let deadline = Instant::now() + timeout;
        let mut searched = 0;
        let mut too_long = false;
        loop {
            if let Some(end) = self.buffered()[searched..].iter().position(|byte| *byte == b'\n') {
                let end = searched + end + 1;
                let line = if too_long || end > max_bytes {
                    Line::TooLong
                } else {
                    match self.buffered()[..end].strip_suffix(b"\r\n") {
                        None => Line::Malformed("Bare LF: a line must end with CRLF"),
                        Some(text) => match std::str::from_utf8(text) {
                            Ok(text) => Line::Text(text.to_owned()),
                            Err(_) => Line::Malformed("Command is not valid UTF-8"),
                        },
                    }
                };
                self.consume(end);
                return Ok(line);
            }
            searched = self.buffered().len();
            if searched > max_bytes {
                // The rest of the line is skipped in constant memory.
                too_long = true;
                self.consume(searched);
                searched = 0;
            }
            self.fill(deadline.saturating_duration_since(Instant::now())).await?;
        }
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let conn = self.conn.as_mut().ok_or_else(closed)?;
        // Checked before anything is sent: the pending replies stay in the buffer, and the 421 follows them.
        conn.check_end()?;
        let out = std::mem::take(&mut self.out);
        let send = async {
            conn.write_all(&out).await?;
            conn.flush().await
        };
        tokio::time::timeout(self.write_timeout, send).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    pub(crate) async fn start_tls(&mut self, tls: &Tls) -> io::Result<()> {
        self.flush().await?;
        let conn = self.conn.take().ok_or_else(closed)?;
        self.conn = Some(conn.starttls(tls).await?);
        Ok(())
    }

    pub(crate) async fn shut_down(&mut self) {
        let _ = self.flush().await;
        if let Some(mut conn) = self.conn.take() {
            // Best effort: the peer may already be gone.
            let _ = tokio::time::timeout(Duration::from_secs(5), conn.shutdown()).await;
        }
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}
