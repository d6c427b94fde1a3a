//! Limits on turning messages into pages.
//!
//! Rendering a message of several megabytes takes a good part of a second and several times its size in memory. So
//! requests that render take turns, a few per account and for the whole service; cleaned messages are cached, so that a
//! page and its frame clean one only once; and the bytes of answers that a client has not read yet count against its
//! account.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::http::header;
use axum::response::Response;
use bytes::Bytes;
use directory::{AccountId, AccountRealm};
use futures_util::{Stream, StreamExt, stream};
use mailkit::display::Attachment;
use mailstore::EmailId;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one account that may render at once; others wait for their turn.
const TURNS_EACH: usize = 2;
/// Requests that may render at once over all accounts: twice the processors, and at least this many.
const TURNS_LEAST: usize = 4;
/// Bytes of unread answers that one account may have; further requests wait.
const HELD_EACH_BYTES: usize = 32 * 1024 * 1024;
/// The same over all accounts, see [`HELD_EACH_BYTES`].
const HELD_BYTES: usize = 512 * 1024 * 1024;
/// Bytes that one permit stands for.
const HELD_UNIT_BYTES: usize = 1024;
/// Answers are sent in pieces of this size, so that only what the client asks for is queued.
const PIECE_BYTES: usize = 64 * 1024;
/// Most bytes of cleaned messages in the cache.
const KEPT_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes of one cleaned message in the cache.
const KEPT_EACH_BYTES: usize = 12 * 1024 * 1024;
/// Most messages in the cache.
const KEPT: usize = 4_096;

/// A message as it is shown, its HTML cleaned.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// Its HTML for the frame, if it has any.
    pub html: Option<Bytes>,
    /// Its text, if it has no HTML.
    pub text: String,
    /// Notes shown above it.
    pub notes: Vec<String>,
    /// How many remote images were left out.
    pub blocked: usize,
    /// Whether it sets no colours of its own.
    pub adapts: bool,
    /// The attachments listed below it.
    pub attachments: Vec<Attachment>,
}

impl Cleaned {
    fn bytes(&self) -> usize {
        self.html.as_ref().map_or(0, Bytes::len) + self.text.len()
    }
}

/// The account, the message, and whether remote images are shown.
pub type Key = (AccountRealm, EmailId, bool);

/// The limits and the cache, see the module.
pub struct Rendering {
    turns: Arc<Semaphore>,
    held: Arc<Semaphore>,
    accounts: Arc<Mutex<HashMap<AccountId, Arc<Bounds>>>>,
    kept: Mutex<Kept>,
}

/// The limits of one account.
struct Bounds {
    turns: Arc<Semaphore>,
    held: Arc<Semaphore>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(TURNS_EACH)),
            held: Arc::new(Semaphore::new(HELD_EACH_BYTES / HELD_UNIT_BYTES)),
        }
    }
}

/// A share of an account's limits. Dropping it gives the share back.
pub struct Held {
    permits: [Option<OwnedSemaphorePermit>; 2],
    account: AccountId,
    accounts: Arc<Mutex<HashMap<AccountId, Arc<Bounds>>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.permits = [None, None];
        let mut accounts = self.accounts.lock();
        // An account that holds nothing needs no entry.
        let unused = accounts.get(&self.account).is_some_and(|bounds| {
            Arc::strong_count(bounds) == 1
                && bounds.turns.available_permits() == TURNS_EACH
                && bounds.held.available_permits() == HELD_EACH_BYTES / HELD_UNIT_BYTES
        });
        if unused {
            accounts.remove(&self.account);
        }
    }
}

impl Default for Rendering {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            turns: Arc::new(Semaphore::new((2 * processors).max(TURNS_LEAST))),
            held: Arc::new(Semaphore::new(HELD_BYTES / HELD_UNIT_BYTES)),
            accounts: Arc::default(),
            kept: Mutex::default(),
        }
    }
}

impl Rendering {
    /// Waits for a turn of an account.
    pub async fn turn(&self, account: AccountId) -> Held {
        let bounds = self.bounds(account);
        let own = bounds.turns.clone().acquire_owned().await.ok();
        let all = self.turns.clone().acquire_owned().await.ok();
        self.hold(account, [own, all])
    }

    /// An answer that counts against its account until the client has read it. Waits until the limits allow it.
    pub async fn held(&self, account: AccountId, response: Response) -> Response {
        let (mut parts, body) = response.into_parts();
        let said = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let Some(bytes) = said.or_else(|| usize::try_from(body.size_hint().exact()?).ok()) else {
            return Response::from_parts(parts, body);
        };
        // A single answer may be larger than the limit; then it is the only one.
        let units = |most: usize| bytes.min(most).div_ceil(HELD_UNIT_BYTES) as u32;
        let bounds = self.bounds(account);
        let own = bounds.held.clone().acquire_many_owned(units(HELD_EACH_BYTES)).await.ok();
        let all = self.held.clone().acquire_many_owned(units(HELD_BYTES)).await.ok();
        let held = self.hold(account, [own, all]);
        drop(bounds);
        parts.headers.insert(header::CONTENT_LENGTH, bytes.into());
        let pieces = body.into_data_stream().flat_map(|whole| match whole {
            Ok(whole) => in_pieces(whole).map(Ok).left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        });
        // Released with the stream.
        let pieces = pieces.map(move |piece| {
            let _ = &held;
            piece
        });
        Response::from_parts(parts, Body::from_stream(pieces))
    }

    fn hold(&self, account: AccountId, permits: [Option<OwnedSemaphorePermit>; 2]) -> Held {
        Held { permits, account, accounts: self.accounts.clone() }
    }

    fn bounds(&self, account: AccountId) -> Arc<Bounds> {
        self.accounts.lock().entry(account).or_default().clone()
    }

    /// A cleaned message from the cache.
    pub fn kept(&self, key: Key) -> Option<Arc<Cleaned>> {
        self.kept.lock().get(key)
    }

    /// Puts a cleaned message into the cache.
    pub fn keep(&self, key: Key, cleaned: &Arc<Cleaned>) {
        self.kept.lock().put(key, cleaned.clone());
    }
}

/// Splits bytes into pieces without copying them.
fn in_pieces(mut whole: Bytes) -> impl Stream<Item = Bytes> {
    stream::iter(std::iter::from_fn(move || (!whole.is_empty()).then(|| whole.split_to(whole.len().min(PIECE_BYTES)))))
}

/// An answer of several pieces, without copying them, with its `Content-Length`.
pub fn answer_of(pieces: Vec<Bytes>) -> Response {
    let bytes: usize = pieces.iter().map(Bytes::len).sum();
    let mut response = Response::new(Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>))));
    response.headers_mut().insert(header::CONTENT_LENGTH, bytes.into());
    response
}

/// A cache of cleaned messages that drops the least recently used.
#[derive(Default)]
struct Kept {
    all: HashMap<Key, (Arc<Cleaned>, u64)>,
    /// Keys in the order of use, each with a number; an older number of the same key is stale.
    used: VecDeque<(Key, u64)>,
    bytes: usize,
    number: u64,
}

impl Kept {
    fn get(&mut self, key: Key) -> Option<Arc<Cleaned>> {
        self.number += 1;
        let (cleaned, number) = self.all.get_mut(&key)?;
        *number = self.number;
        let cleaned = cleaned.clone();
        self.used.push_back((key, self.number));
        self.shrink();
        Some(cleaned)
    }

    fn put(&mut self, key: Key, cleaned: Arc<Cleaned>) {
        if cleaned.bytes() > KEPT_EACH_BYTES {
            return;
        }
        self.number += 1;
        self.bytes += cleaned.bytes();
        if let Some((old, _)) = self.all.insert(key, (cleaned, self.number)) {
            self.bytes -= old.bytes();
        }
        self.used.push_back((key, self.number));
        self.shrink();
    }

    /// Drops the least recently used messages and stale numbers.
    fn shrink(&mut self) {
        while self.bytes > KEPT_BYTES || self.all.len() > KEPT || self.used.len() > 4 * KEPT {
            let Some((key, number)) = self.used.pop_front() else { return };
            if self.all.get(&key).is_some_and(|(_, newest)| *newest == number)
                && let Some((old, _)) = self.all.remove(&key)
            {
                self.bytes -= old.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(bytes: usize) -> Arc<Cleaned> {
        Arc::new(Cleaned { html: Some(vec![b'x'; bytes].into()), ..Cleaned::default() })
    }

    fn key(number: u64) -> Key {
        (AccountId(1).realm(), EmailId(number), false)
    }

    #[test]
    fn what_is_kept_stays_within_its_bounds_and_what_is_used_stays() {
        let mut kept = Kept::default();
        for number in 0..200 {
            kept.put(key(number), cleaned(1024 * 1024));
            assert!(kept.get(key(0)).is_some(), "{number}");
        }
        assert!(kept.bytes <= KEPT_BYTES);
        assert_eq!(kept.bytes, kept.all.values().map(|(c, _)| c.bytes()).sum::<usize>());
        kept.put(key(999), cleaned(KEPT_EACH_BYTES + 1));
        assert!(kept.get(key(999)).is_none());
        for number in 0..3 * KEPT as u64 {
            kept.put(key(number), cleaned(1));
            kept.get(key(number));
        }
        assert!(kept.all.len() <= KEPT && kept.used.len() <= 4 * KEPT);
    }

    #[tokio::test]
    async fn turns_are_given_to_each_account() {
        let rendering = Rendering { turns: Arc::new(Semaphore::new(100)), ..Rendering::default() };
        let first = rendering.turn(AccountId(1)).await;
        let second = rendering.turn(AccountId(1)).await;
        assert!(futures_util::FutureExt::now_or_never(rendering.turn(AccountId(1))).is_none(), "has all its turns");
        let other = futures_util::FutureExt::now_or_never(rendering.turn(AccountId(2)));
        assert!(other.is_some());
        drop(first);
        let third = futures_util::FutureExt::now_or_never(rendering.turn(AccountId(1)));
        assert!(third.is_some());
        drop((second, third, other));
        assert!(rendering.accounts.lock().is_empty(), "nothing is kept of those who have nothing");
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_count_until_they_are_read() {
        let rendering = Rendering::default();
        let answer = || Response::new(Body::from(vec![b'x'; HELD_EACH_BYTES / 4]));
        let mut unread = Vec::new();
        for _ in 0..4 {
            unread.push(futures_util::FutureExt::now_or_never(rendering.held(AccountId(1), answer())).expect("room"));
        }
        assert!(futures_util::FutureExt::now_or_never(rendering.held(AccountId(1), answer())).is_none());
        assert!(futures_util::FutureExt::now_or_never(rendering.held(AccountId(2), answer())).is_some());
        let read = unread.pop().unwrap();
        assert_eq!(read.headers()[header::CONTENT_LENGTH], (HELD_EACH_BYTES / 4).to_string());
        let mut pieces = read.into_body().into_data_stream();
        let mut bytes = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.unwrap();
            assert!(piece.len() <= PIECE_BYTES);
            bytes += piece.len();
        }
        assert_eq!(bytes, HELD_EACH_BYTES / 4);
        drop(pieces);
        assert!(futures_util::FutureExt::now_or_never(rendering.held(AccountId(1), answer())).is_some());
    }
}
