//! A connection with timeouts in both directions: a machine that hangs, or whose network is cut, would otherwise keep
//! the connection open for a quarter of an hour or more.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// Reading and writing fail when nothing at all has moved for a while. However slow a line is, it is not cut as long as
/// something moves.
pub struct Patient<S> {
    inner: S,
    reading: Option<Patience>,
    writing: Patience,
}

/// How long nothing may move; can be changed while a connection lasts.
#[derive(Clone)]
pub struct Limit(Arc<AtomicU64>);

impl Limit {
    /// That long.
    pub fn new(limit: Duration) -> Self {
        let this = Self(Arc::default());
        this.set(limit);
        this
    }

    /// Counts from the next time on that something has to be waited for.
    pub fn set(&self, limit: Duration) {
        self.0.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct Patience {
    limit: Limit,
    sleep: Pin<Box<Sleep>>,
    waits: bool,
}

impl Patience {
    fn new(limit: Limit) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(limit.get())), limit, waits: false }
    }

    /// What came of trying: an error instead of waiting when there was nothing for too long.
    fn look<T>(&mut self, tried: Poll<io::Result<T>>, cx: &mut Context<'_>, what: &str) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.waits = false;
            return tried;
        }
        if !self.waits {
            self.waits = true;
            self.sleep.as_mut().reset(Instant::now() + self.limit.get());
        }
        match self.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let why = format!("the other side {what} for {} s", self.limit.get().as_secs());
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S> Patient<S> {
    /// `reading`: how long nothing may come while something is waited for; `None` is for ever. `writing`: how long nothing
    /// may be taken.
    pub fn new(inner: S, reading: Option<Duration>, writing: Limit) -> Self {
        let reading = reading.map(|limit| Patience::new(Limit::new(limit)));
        Self { inner, reading, writing: Patience::new(writing) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let tried = Pin::new(&mut this.inner).poll_read(cx, into);
        match &mut this.reading {
            Some(patience) => patience.look(tried, cx, "has sent nothing"),
            None => tried,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let tried = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.writing.look(tried, cx, "has read nothing")
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let tried = Pin::new(&mut this.inner).poll_flush(cx);
        this.writing.look(tried, cx, "has read nothing")
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_side_that_takes_nothing_or_says_nothing_is_given_up_once_the_time_is_over() {
        let limit = Duration::from_millis(50);
        let (here, mut there) = tokio::io::duplex(64);
        let mut here = Patient::new(here, Some(limit), Limit::new(limit));
        // What moves is not concerned.
        there.write_all(&[1; 64]).await.unwrap();
        here.read_exact(&mut [0; 64]).await.unwrap();
        here.write_all(&[7; 64]).await.unwrap();
        there.read_exact(&mut [0; 64]).await.unwrap();
        here.write_all(&[7; 64]).await.unwrap();
        assert_eq!(here.write_all(&[7; 64]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(here.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // Nor is reading where no limit was asked for.
        let (here, mut there) = tokio::io::duplex(64);
        let mut here = Patient::new(here, None, Limit::new(limit));
        assert!(tokio::time::timeout(limit * 4, here.read_u8()).await.is_err());
        there.write_u8(3).await.unwrap();
        assert_eq!(here.read_u8().await.unwrap(), 3);
    }
}
