//! A connection with its buffers: bytes and lines in, answers out, within limits of time and size.
//!
//! One for all doors. What is particular to a protocol is data: [`WireOptions`]. Both buffers are given back while the
//! client is quiet.

use std::{future::poll_fn, io, pin::Pin, task::ready, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _, ReadBuf},
    time::Instant,
};

use crate::{Conn, Tls, deflate::Deflate};

/// Most bytes read at a time: one TLS record.
const READ_BYTES: usize = 16 << 10;
/// A buffer larger than this is freed when it is empty.
const KEEP_CAPACITY: usize = 512;
/// Most bytes that have to be taken within [`WireOptions::write_timeout`].
const PIECE_BYTES: usize = 64 << 10;
/// How long the goodbye of a connection may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);
/// How much is gathered before it is sent, unless the client is waiting.
pub const FLUSH_BYTES: usize = 32 << 10;

/// What is particular to a protocol.
#[derive(Debug, Clone, Copy)]
pub struct WireOptions {
    /// How long a client may take to read a piece of what it was sent.
    pub write_timeout: Duration,
    /// How lines end.
    pub line_ends: LineEnds,
    /// What the time for a line is for.
    pub line_time: LineTime,
    /// What becomes of what was to be said when the connection has ended from our side.
    pub at_end: AtEnd,
}

/// How lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnds {
    /// With CRLF; one that ends with LF alone is [`Line::BareLf`].
    Strict,
    /// With CRLF or LF.
    Tolerant,
}

/// What the time for a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineTime {
    /// All of it: a client that sends it byte by byte is silent too.
    Whole,
    /// Each byte of it.
    EachRead,
}

/// What becomes of what was to be said when [`Wire::end_when`] ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
    /// It is not said.
    Drop,
    /// It is said, before the goodbye.
    Say,
}

/// A line that came in, without its line end, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The line.
    Text(Bytes),
    /// It ends with LF alone, where it must end with CRLF.
    BareLf,
    /// It was longer than allowed, and was read over in constant memory.
    TooLong,
}

/// A connection, what was read from it and not used yet, and what is to be said.
pub struct Wire {
    conn: Option<Conn>,
    input: Vec<u8>,
    used: usize,
    /// What the client is to get: see [`Wire::flush`].
    pub out: Vec<u8>,
    options: WireOptions,
    deflate: Option<Box<Deflate>>,
    torn: bool,
}

impl Wire {
    /// Around a connection.
    pub const fn new(conn: Conn, options: WireOptions) -> Self {
        Self { conn: Some(conn), input: Vec::new(), used: 0, out: Vec::new(), options, deflate: None, torn: false }
    }

    /// The connection.
    ///
    /// # Errors
    /// There is none after a handshake that failed, and after [`Wire::shut_down`].
    pub fn conn(&self) -> io::Result<&Conn> {
        self.conn.as_ref().ok_or_else(closed)
    }

    fn conn_mut(&mut self) -> io::Result<&mut Conn> {
        self.conn.as_mut().ok_or_else(closed)
    }

    /// From now on reading and writing fail once `end` is done: see [`Conn::end_when`].
    ///
    /// # Errors
    /// There is no connection.
    pub fn end_when(&mut self, end: impl Future<Output = io::Error> + Send + Sync + 'static) -> io::Result<()> {
        self.conn_mut()?.end_when(end);
        Ok(())
    }

    /// Goes on, whatever [`Wire::end_when`] waited for.
    pub fn end_with_nothing(&mut self) {
        if let Some(conn) = &mut self.conn {
            conn.end_with_nothing();
        }
    }

    /// Whether the connection goes on: for those who have work to do before they read or write.
    ///
    /// # Errors
    /// What [`Wire::end_when`] gave, once.
    pub fn check_end(&mut self) -> io::Result<()> {
        let checked = self.conn_mut()?.check_end();
        if checked.is_err() && self.options.at_end == AtEnd::Drop {
            self.out.clear();
        }
        checked
    }

    /// Whether something was sent in part, so that a client would not understand a word of goodbye.
    pub const fn is_torn(&self) -> bool {
        self.torn
    }

    /// Read, but not used yet.
    pub fn buffered(&self) -> &[u8] {
        &self.input[self.used..]
    }

    /// Marks `count` bytes of [`Wire::buffered`] as used.
    pub fn consume(&mut self, count: usize) {
        self.used += count;
        if self.used >= self.input.len() {
            self.used = 0;
            release(&mut self.input);
        }
    }

    /// Waits for more bytes. 0 at the end of the stream. Safe to cancel. Holds no buffer while it waits.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn fill(&mut self) -> io::Result<usize> {
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

    /// Says what is to be said, then waits for more bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] at the end of the stream, [`io::ErrorKind::TimedOut`] when nothing came in time.
    pub async fn fill_within(&mut self, timeout: Duration) -> io::Result<()> {
        self.flush().await?;
        match tokio::time::timeout(timeout, self.fill()).await {
            Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// The next line of at most `max_bytes`, its end included. What is to be said is said before waiting, so that commands
    /// sent together are answered together. Safe to cancel while it waits.
    ///
    /// # Errors
    /// Those of [`Wire::fill_within`].
    pub async fn line(&mut self, max_bytes: usize, timeout: Duration) -> io::Result<Line> {
        // Many short commands can have long answers.
        self.flush_if_full().await?;
        let deadline = Instant::now() + timeout;
        let (mut searched, mut too_long) = (0, false);
        loop {
            if let Some(end) = self.buffered()[searched..].iter().position(|byte| *byte == b'\n') {
                let end = searched + end + 1;
                let line = &self.buffered()[..end];
                let line = match line.strip_suffix(b"\r\n") {
                    _ if too_long || end > max_bytes => Line::TooLong,
                    Some(text) => Line::Text(Bytes::copy_from_slice(text)),
                    None if self.options.line_ends == LineEnds::Strict => Line::BareLf,
                    None => Line::Text(Bytes::copy_from_slice(&line[..end - 1])),
                };
                self.consume(end);
                return Ok(line);
            }
            searched = self.buffered().len();
            if searched > max_bytes {
                too_long = true;
                self.consume(searched);
                searched = 0;
            }
            let patience = match self.options.line_time {
                LineTime::Whole => deadline.saturating_duration_since(Instant::now()),
                LineTime::EachRead => timeout,
            };
            self.fill_within(patience).await?;
        }
    }

    /// Sends everything in [`Wire::out`].
    ///
    /// # Errors
    /// Those of the connection; [`io::ErrorKind::TimedOut`] when the client does not take it.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return self.conn().map(drop);
        }
        // Before anything is sent: a goodbye can follow what was said before.
        self.check_end()?;
        if let Some(deflate) = &mut self.deflate {
            self.out = deflate.compressed(&self.out)?;
        }
        let conn = self.conn.as_mut().ok_or_else(closed)?;
        self.torn = true;
        send(conn, &self.out, self.options.write_timeout).await?;
        in_time(self.options.write_timeout, conn.flush()).await?;
        self.torn = false;
        release(&mut self.out);
        Ok(())
    }

    /// Sends if enough has gathered.
    ///
    /// # Errors
    /// Those of [`Wire::flush`].
    pub async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.out.len() >= FLUSH_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Sends `chunk`, a piece of something longer, after what is waiting; its buffer comes back empty, to be used again.
    ///
    /// # Errors
    /// Those of [`Wire::flush`]; the client is in the middle of something then.
    pub async fn send(&mut self, mut chunk: Vec<u8>) -> io::Result<Vec<u8>> {
        if let Err(error) = self.flush().await {
            self.torn = true;
            return Err(error);
        }
        self.torn = true;
        if let Some(deflate) = &mut self.deflate {
            chunk = deflate.compressed(&chunk)?;
        }
        let conn = self.conn.as_mut().ok_or_else(closed)?;
        send(conn, &chunk, self.options.write_timeout).await?;
        self.torn = false;
        chunk.clear();
        Ok(chunk)
    }

    /// Says what is to be said, then goes on under TLS.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the client said more in plain text: it must not count as said under TLS
    /// (CVE-2011-0411). Those of the handshake; there is no connection after it.
    pub async fn start_tls(&mut self, tls: &Tls) -> io::Result<()> {
        if !self.buffered().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain text after the command that starts TLS"));
        }
        self.flush().await?;
        let conn = self.conn.take().ok_or_else(closed)?;
        self.conn = Some(conn.starttls(tls).await?);
        Ok(())
    }

    /// Whether [`Wire::start_deflate`] was called.
    pub const fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// Says what is to be said, then goes on compressed, both ways (RFC 4978). What was read and not used is compressed
    /// already.
    ///
    /// # Errors
    /// Those of [`Wire::flush`].
    pub async fn start_deflate(&mut self) -> io::Result<()> {
        self.flush().await?;
        let mut deflate = Box::new(Deflate::new());
        deflate.take(self.buffered());
        self.input = Vec::new();
        self.used = 0;
        self.deflate = Some(deflate);
        Ok(())
    }

    /// Says what is left, unless it would be taken for a part of something, and closes.
    pub async fn shut_down(&mut self) {
        if self.torn {
            self.out.clear();
        }
        let farewell = async {
            self.flush().await?;
            self.conn_mut()?.shutdown().await
        };
        // The client may be gone already; there is nobody to tell.
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await;
        self.conn = None;
    }
}

/// Sends all of it, each piece in time.
async fn send(conn: &mut Conn, bytes: &[u8], timeout: Duration) -> io::Result<()> {
    for piece in bytes.chunks(PIECE_BYTES) {
        in_time(timeout, conn.write_all(piece)).await?;
    }
    Ok(())
}

async fn in_time(timeout: Duration, work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Empties a buffer, and frees it if it is large.
fn release(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEEP_CAPACITY {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

#[cfg(test)]
mod tests;
