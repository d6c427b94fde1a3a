//! How the connection to the primary is, for people.

use parking_lot::Mutex;

use crate::Error;

/// How the connection is.
#[derive(Debug, Clone, Default)]
pub struct Connected {
    /// It is there.
    pub connected: bool,
    /// Why not.
    pub why: String,
    /// What the primary grants.
    pub streams: u32,
}

/// The primary's address, and how the connection to it is.
pub struct Link {
    /// HOST:PORT.
    pub address: String,
    now: Mutex<Connected>,
}

impl Link {
    /// Not connected yet.
    pub fn new(address: String) -> Self {
        let now = Connected { why: "not connected yet".to_owned(), ..Connected::default() };
        Self { address, now: Mutex::new(now) }
    }

    /// How it is now.
    pub fn now(&self) -> Connected {
        self.now.lock().clone()
    }

    /// It is there.
    pub fn opens(&self) {
        tracing::info!(primary = self.address, "connected to the primary");
        *self.now.lock() = Connected { connected: true, ..Connected::default() };
    }

    /// The primary grants so much.
    pub fn grants(&self, streams: u32) {
        self.now.lock().streams = streams;
    }

    /// It has ended, or was not made; says whether there was one.
    pub fn ends(&self, error: Option<Error>) -> bool {
        let why = error.map(|error| error.to_string()).unwrap_or_default();
        let ended = Connected { why: why.clone(), ..Connected::default() };
        let before = std::mem::replace(&mut *self.now.lock(), ended);
        if before.connected || before.why != why {
            tracing::warn!(primary = self.address, why, "not connected to the primary");
        }
        before.connected
    }
}
