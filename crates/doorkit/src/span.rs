//! Which connection a log event belongs to: one span per connection, with the listener's name, the peer, an id and, after the
//! login, the account.

use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::task::JoinHandle;
use tracing::{Span, field};

/// A name for one connection or one web request, in log events and on error pages. Never the same twice, also after a
/// restart, as long as the clock moves by a second between two starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    started: u64,
    number: u64,
}

impl ConnId {
    /// A new one.
    pub fn new() -> Self {
        /// Seconds since 1970 when the process began to accept connections.
        static STARTED: LazyLock<u64> =
            LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { started: *STARTED, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Default for ConnId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.started, self.number)
    }
}

/// The span of a connection or request. Its `account` is empty until [`note_account`].
pub fn span(door: &'static str, peer: impl fmt::Display, id: ConnId) -> Span {
    tracing::info_span!("conn", door, %peer, %id, account = field::Empty)
}

/// Adds the account to the current span, once its login has succeeded.
pub fn note_account(account: impl Into<u64>) {
    Span::current().record("account", account.into());
}

/// [`tokio::task::spawn_blocking`] whose events belong to the current span.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::{Arc, Mutex},
    };

    use tracing::Instrument as _;

    use super::*;

    #[test]
    fn ids_are_never_the_same_twice() {
        let ids: HashSet<String> = (0..1000).map(|_| ConnId::new().to_string()).collect();
        assert_eq!(ids.len(), 1000);
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_name_the_connection_and_the_account_also_where_work_may_block() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let id = ConnId::new();
        // For the threads of the runtime too.
        tracing::subscriber::set_global_default(subscriber).unwrap();
        runtime.block_on(
            async {
                tracing::info!("before");
                note_account(7_u32);
                spawn_blocking(|| tracing::info!("after")).await.unwrap();
            }
            .instrument(span("imap", "192.0.2.1:4711", id)),
        );
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let (before, after) = text.trim().split_once('\n').unwrap();
        assert!(before.contains(&format!("conn{{door=\"imap\" peer=192.0.2.1:4711 id={id}}}")), "{before}");
        assert!(after.contains(&format!("id={id} account=7}}")), "{after}");
    }
}
