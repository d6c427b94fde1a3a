//! The connection with its two buffers. Both are given back while the client is quiet.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;
use std::time::Duration;

use directory::Access;
use doorkit::{Conn, Tls};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::deflate::Deflate;

/// Most bytes read at a time: one TLS record.
const READ_BYTES: usize = 16 << 10;
/// A buffer larger than this is freed when it is empty.
const KEEP_CAPACITY: usize = 512;
/// How much output is gathered before it is sent, unless the client is waiting.
pub(crate) const FLUSH_BYTES: usize = 32 << 10;

/// A connection, what was read from it and not yet used, and what is to be written.
pub(crate) struct Wire {
    conn: Option<Conn>,
    input: Vec<u8>,
    used: usize,
    /// What the client is to get; see [`Wire::flush`].
    pub(crate) out: Vec<u8>,
    write_timeout: Duration,
    deflate: Option<Box<Deflate>>,
    /// Something was sent in part: nothing said now would be understood.
    torn: bool,
}

impl Wire {
    pub(crate) fn new(conn: Conn, write_timeout: Duration) -> Self {
        Self {
            conn: Some(conn),
            input: Vec::new(),
            used: 0,
            out: Vec::new(),
            write_timeout,
            deflate: None,
            torn: false,
        }
    }

    /// The connection; an error after a failed STARTTLS.
    pub(crate) fn conn(&self) -> io::Result<&Conn> {
        self.conn.as_ref().ok_or_else(closed)
    }

    /// Ends with `access`: reading and writing fail with its [`Ended`](directory::Ended) then.
    pub(crate) fn end_with(&mut self, mut access: Access) -> io::Result<()> {
        let conn = self.conn.as_mut().ok_or_else(closed)?;
        conn.end_when(async move { io::Error::new(io::ErrorKind::PermissionDenied, access.ended().await) });
        Ok(())
    }

    /// Goes on without the access that it would have ended with.
    pub(crate) fn forget_access(&mut self) {
        if let Some(conn) = &mut self.conn {
            conn.end_with_nothing();
        }
    }

    /// # Errors
    /// The access has ended. What was not sent yet is not sent any more.
    pub(crate) fn check_access(&mut self) -> io::Result<()> {
        let checked = self.conn.as_mut().ok_or_else(closed)?.check_end();
        if checked.is_err() {
            self.out.clear();
        }
        checked
    }

    /// Whether the client would understand a word of goodbye.
    pub(crate) const fn is_torn(&self) -> bool {
        self.torn
    }

    /// Read, but not used yet.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.input[self.used..]
    }

    /// Marks `n` bytes of [`Wire::buffered`] as used.
    pub(crate) fn consume(&mut self, n: usize) {
        self.used += n;
        if self.used >= self.input.len() {
            self.used = 0;
            if self.input.capacity() > KEEP_CAPACITY {
                self.input = Vec::new();
            } else {
                self.input.clear();
            }
        }
    }

    /// Waits for more bytes. 0 at the end of the stream. Safe to cancel. Holds no buffer while it waits.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        if self.deflate.is_none() {
            return self.fill_plain().await;
        }
        loop {
            let Self { input, used, deflate: Some(deflate), .. } = self else { return Err(closed()) };
            input.drain(..*used);
            *used = 0;
            let inflated = deflate.inflate(input)?;
            if inflated > 0 {
                return Ok(inflated);
            }
            deflate.rest();
            let len = input.len();
            // Cancelled while it waits, this has read nothing; afterwards nothing waits.
            if self.fill_plain().await? == 0 {
                return Ok(0);
            }
            if let Some(deflate) = &mut self.deflate {
                deflate.take(&self.input[len..]);
            }
            self.input.truncate(len);
        }
    }

    async fn fill_plain(&mut self) -> io::Result<usize> {
        let Self { conn, input, used, .. } = self;
        let conn = conn.as_mut().ok_or_else(closed)?;
        poll_fn(|cx| {
            let mut space = [0u8; READ_BYTES];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *conn).poll_read(cx, &mut read))?;
            input.drain(..*used);
            *used = 0;
            input.extend_from_slice(read.filled());
            Ok(read.filled().len()).into()
        })
        .await
    }

    /// Sends everything in [`Wire::out`].
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return self.conn().map(drop);
        }
        self.check_access()?;
        let conn = self.conn.as_mut().ok_or_else(closed)?;
        if let Some(deflate) = &mut self.deflate {
            self.out = deflate.compressed(&self.out)?;
        }
        let send = async {
            conn.write_all(&self.out).await?;
            conn.flush().await
        };
        self.torn = true;
        tokio::time::timeout(self.write_timeout, send)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.torn = false;
        if self.out.capacity() > KEEP_CAPACITY {
            self.out = Vec::new();
        } else {
            self.out.clear();
        }
        Ok(())
    }

    /// Sends if enough has gathered.
    pub(crate) async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.out.len() >= FLUSH_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Sends `chunk` after what is waiting; its buffer comes back empty, to be used again.
    pub(crate) async fn send(&mut self, mut chunk: Vec<u8>) -> io::Result<Vec<u8>> {
        // In the middle of a literal.
        if let Err(error) = self.flush().await {
            self.torn = true;
            return Err(error);
        }
        self.torn = true;
        let conn = self.conn.as_mut().ok_or_else(closed)?;
        if let Some(deflate) = &mut self.deflate {
            chunk = deflate.compressed(&chunk)?;
        }
        tokio::time::timeout(self.write_timeout, conn.write_all(&chunk))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.torn = false;
        chunk.clear();
        Ok(chunk)
    }

    /// Negotiates TLS. Bytes that came before the handshake are an injection, and end the connection.
    pub(crate) async fn start_tls(&mut self, tls: &Tls) -> io::Result<()> {
        if !self.buffered().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plaintext after STARTTLS"));
        }
        let conn = self.conn.take().ok_or_else(closed)?;
        self.conn = Some(conn.starttls(tls).await?);
        Ok(())
    }

    /// Whether [`Wire::start_deflate`] was called.
    pub(crate) fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// Sends what is waiting, then goes on compressed, both ways. What was read and not used is compressed already.
    pub(crate) async fn start_deflate(&mut self) -> io::Result<()> {
        self.flush().await?;
        let mut deflate = Box::new(Deflate::new());
        deflate.take(self.buffered());
        self.input = Vec::new();
        self.used = 0;
        self.deflate = Some(deflate);
        Ok(())
    }

    /// Says goodbye on the transport, too.
    pub(crate) async fn shut_down(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            // The peer may be gone already; there is nobody to tell.
            let _ = tokio::time::timeout(Duration::from_secs(5), conn.shutdown()).await;
        }
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}
