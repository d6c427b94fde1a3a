//! How a relay is, for people: on the relay, and on the primary.

use std::{net::IpAddr, time::Duration};

use continuity::link::Fingerprint;

use crate::wire::State;

/// What waits on a relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait for the primary.
    pub waiting: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest came, milliseconds since 1970; none if nothing waits.
    pub oldest_ms: Option<i64>,
    /// How long it takes to clear, at the present pace; none if that is not known.
    pub left: Option<Duration>,
    /// Messages given since it began to shrink.
    pub given: u64,
    /// Messages that the primary refused for good; they are kept for a while.
    pub refused: u64,
    /// Messages that the primary has and that are kept in case it is restored.
    pub kept: u64,
}

impl From<&State> for Backlog {
    fn from(state: &State) -> Self {
        Self {
            waiting: state.waiting,
            bytes: state.waiting_bytes,
            oldest_ms: (state.oldest_ms > 0).then_some(state.oldest_ms),
            left: (state.left_ms > 0).then(|| Duration::from_millis(state.left_ms)),
            given: state.given,
            refused: state.refused,
            kept: state.kept,
        }
    }
}

/// A relay, as it sees itself.
#[derive(Debug, Clone)]
pub struct RelayStatus {
    /// The primary's address.
    pub primary: String,
    /// It is connected.
    pub connected: bool,
    /// Why it is not.
    pub why: String,
    /// How much the primary lets it give at once; 0 is nothing now.
    pub streams: u32,
    /// What waits.
    pub backlog: Backlog,
    /// Addresses in the list of recipients; none while there is no list.
    pub addresses: Option<usize>,
    /// App passwords that people can sign in with here while the primary is away.
    pub app_passwords: usize,
    /// How long ago the primary confirmed the list; none while there is none.
    pub list_age: Option<Duration>,
    /// The disk has no room.
    pub full: bool,
    /// The primary does not accept this relay: it takes no mail either.
    pub revoked: bool,
}

/// A relay, as the primary sees it.
#[derive(Debug, Clone)]
pub struct OfRelay {
    /// Its name.
    pub name: String,
    /// Its certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// It is connected.
    pub connected: bool,
    /// Where it connected from last.
    pub peer: Option<IpAddr>,
    /// How long ago it was heard of, or how long this machine has been waiting to hear of it.
    pub silent: Duration,
    /// What it said last; none if nothing since this machine began.
    pub backlog: Option<Backlog>,
    /// Its disk has no room.
    pub full: bool,
    /// It has the list as it is now.
    pub list_is_current: bool,
    /// It is in the network of this machine: what takes that away takes both.
    pub is_near: bool,
}
