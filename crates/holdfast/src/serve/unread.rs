//! Detects unread responses on an HTTP connection.
//!
//! doorkit closes a connection on which bytes can't be written. But with HTTP/2, a client can keep the connection alive
//! and still not read a response, by granting it no flow-control window. So each response body records whether its next
//! piece waits for the client, and a connection on which nothing else happens is closed.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use hyper::body::{Body as _, Bytes, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How many times longer one response may wait while others are read.
const FACTOR_FOR_ONE: u32 = 10;

/// The answers of one connection. Cheap to clone.
#[derive(Clone)]
pub struct Unread {
    state: Arc<Mutex<State>>,
    /// How long a client may read nothing of any response while one waits.
    patience: Duration,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Since when each answer whose next piece is the client's to take waits.
    waiting: HashMap<u64, Instant>,
    /// When a piece was last read.
    taken: Option<Instant>,
}

impl Unread {
    /// Of a connection on which nothing was asked yet.
    pub fn new(patience: Duration) -> Self {
        Self { state: Arc::default(), patience }
    }

    /// An answer's body, watched.
    pub fn watch(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        state.waiting.insert(id, Instant::now());
        drop(state);
        Body::new(Watched { body, id, unread: self.clone() })
    }

    /// When the connection has to be looked at again; `None` when it is to be closed.
    pub fn check(&self, now: Instant) -> Option<Instant> {
        let state = self.state.lock();
        let Some(oldest) = state.waiting.values().min().copied() else { return Some(now + self.patience) };
        let quiet_since = state.taken.map_or(oldest, |taken| taken.max(oldest));
        let ends = (quiet_since + self.patience).min(oldest + self.patience * FACTOR_FOR_ONE);
        (ends > now).then_some(ends)
    }

    fn turn(&self, id: u64, is_clients: bool) {
        let now = Instant::now();
        let mut state = self.state.lock();
        // The next piece is requested, so the previous one was read.
        state.taken = Some(now);
        if is_clients {
            state.waiting.insert(id, now);
        } else {
            state.waiting.remove(&id);
        }
    }
}

struct Watched {
    body: Body,
    id: u64,
    unread: Unread,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.unread.turn(self.id, matches!(polled, Poll::Ready(Some(Ok(_)))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.unread.state.lock().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn poll(body: &mut Body) -> bool {
        Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn pieces(count: usize) -> Body {
        let pieces = (0..count).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"piece")));
        Body::from_stream(futures_util::stream::iter(pieces))
    }

    #[test]
    fn a_connection_ends_when_nothing_is_taken_and_not_while_the_service_is_slow() {
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        let unread = Unread::new(doorkit::PATIENCE);
        assert!(unread.check(later(3600)).is_some(), "nothing was asked");
        // A response that is never read.
        let body = unread.watch(pieces(3));
        assert!(unread.check(later(50)).is_some());
        assert!(unread.check(later(61)).is_none());
        drop(body);
        assert!(unread.check(later(3600)).is_some(), "it is over");
        // One that is read in part, next to one that waits for the server.
        let mut quiet =
            unread.watch(Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()));
        assert!(!poll(&mut quiet));
        assert!(unread.check(later(3600)).is_some(), "it is our turn");
        let mut body = unread.watch(pieces(3));
        assert!(poll(&mut body));
        assert!(unread.check(later(61)).is_none());
        while poll(&mut body) && !body.is_end_stream() && unread.state.lock().waiting.len() == 1 {}
        drop(body);
        assert!(unread.check(later(3600)).is_some());
    }

    #[test]
    fn one_answer_that_is_never_taken_ends_a_busy_connection_after_a_while() {
        let unread = Unread::new(doorkit::PATIENCE);
        let _never = unread.watch(pieces(3));
        let begun = Instant::now();
        unread.state.lock().taken = Some(begun + Duration::from_secs(590));
        assert!(unread.check(begun + Duration::from_secs(595)).is_some());
        unread.state.lock().taken = Some(begun + Duration::from_secs(605));
        assert!(unread.check(begun + Duration::from_secs(606)).is_none());
    }
}
