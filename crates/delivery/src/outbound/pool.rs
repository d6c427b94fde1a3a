//! Open connections, kept for the next message to the same host.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::connection::Connection;
use super::hosts::{Grade, Host};

/// Most idle connections in all; the longest idle makes room.
const MAX_IDLE: usize = 64;

/// A host, and how the connections to it are secured.
type Key = (String, u16, Grade);

/// Idle connections by host name, port, and how they are secured: one that was opened without looking at the certificate is
/// not used for mail that demands one.
pub struct Pool {
    keep: Duration,
    max_transactions: usize,
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
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
    pub fn take(&self, host: &Host) -> Option<Connection> {
        let key = key(host);
        let mut idle = self.idle.lock();
        let waiting = idle.get_mut(&key)?;
        let found = waiting.pop().filter(|one| one.since.elapsed() < self.keep);
        if waiting.is_empty() {
            idle.remove(&key);
        }
        found.map(|one| one.connection)
    }

    /// Keep a connection that is ready for another transaction, or say goodbye if it has done enough.
    pub fn give(&self, host: &Host, mut connection: Connection) {
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
        idle.entry(key(host)).or_default().push(Idle { connection, since: Instant::now() });
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

fn key(host: &Host) -> Key {
    (host.name.clone(), host.port, host.grade())
}

fn goodbye(mut idle: Idle) {
    tokio::spawn(async move { idle.connection.quit().await });
}
