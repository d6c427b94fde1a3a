//! Open connections, kept for the next message to the same host.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::connection::Connection;

/// Most idle connections in all; the longest idle makes room.
const MAX_IDLE: usize = 64;

/// Idle connections by host name and port.
pub struct Pool {
    keep: Duration,
    max_transactions: usize,
    idle: Mutex<HashMap<(String, u16), Vec<Idle>>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// Connections are kept for `keep`, and for at most `max_transactions` in all.
    pub fn new(keep: Duration, max_transactions: usize) -> Self {
        Self { keep, max_transactions, idle: Mutex::new(HashMap::new()) }
    }

    /// The connection to the host that was used last, if one waits.
    pub fn take(&self, host: &str, port: u16) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let waiting = idle.get_mut(&(host.to_owned(), port))?;
        let found = waiting.pop().filter(|one| one.since.elapsed() < self.keep);
        if waiting.is_empty() {
            idle.remove(&(host.to_owned(), port));
        }
        found.map(|one| one.connection)
    }

    /// Keep a connection that is ready for another transaction, or say goodbye if it has done enough.
    pub fn give(&self, host: &str, port: u16, mut connection: Connection) {
        if connection.transactions() >= self.max_transactions || self.keep.is_zero() {
            tokio::spawn(async move { connection.quit().await });
            return;
        }
        let mut idle = self.idle.lock();
        if idle.values().map(Vec::len).sum::<usize>() >= MAX_IDLE {
            let oldest = idle.iter().min_by_key(|(_, w)| w.first().map(|one| one.since)).map(|(key, _)| key.clone());
            for connection in oldest.and_then(|key| idle.remove(&key)).into_iter().flatten() {
                goodbye(connection);
            }
        }
        idle.entry((host.to_owned(), port)).or_default().push(Idle { connection, since: Instant::now() });
    }

    /// Close connections that were idle for long enough; `all` of them at the end.
    pub fn sweep(&self, all: bool) {
        let mut idle = self.idle.lock();
        for waiting in idle.values_mut() {
            for one in waiting.extract_if(.., |one| all || one.since.elapsed() >= self.keep) {
                goodbye(one);
            }
        }
        idle.retain(|_, waiting| !waiting.is_empty());
    }
}

fn goodbye(mut idle: Idle) {
    tokio::spawn(async move { idle.connection.quit().await });
}
