//! The crate's public entry point.

use std::sync::Arc;

use directory::Directory;
use doorkit::{Conn, Tls};
use mailstore::MailStore;
use tokio::sync::Semaphore;

use crate::options::ImapOptions;
use crate::session::Session;

/// What all connections share.
pub(crate) struct Door {
    pub(crate) directory: Directory,
    pub(crate) mailstore: MailStore,
    pub(crate) options: ImapOptions,
    pub(crate) tls: Option<Tls>,
    /// Held while a large message is read as a whole.
    pub(crate) large_messages: Arc<Semaphore>,
}

/// How many large messages are read as a whole at a time, over all connections.
const LARGE_MESSAGES_AT_A_TIME: usize = 2;

/// Serves IMAP connections. Cheap to clone.
#[derive(Clone)]
pub struct ImapDoor {
    door: Arc<Door>,
}

impl ImapDoor {
    /// A door to the mail in `mailstore` for the accounts in `directory`. Without TLS, see [`ImapDoor::with_tls`].
    pub fn new(directory: Directory, mailstore: MailStore, options: ImapOptions) -> Self {
        Self::of(directory, mailstore, options, None)
    }

    /// A door that offers STARTTLS on connections that begin in plain text.
    pub fn with_tls(directory: Directory, mailstore: MailStore, options: ImapOptions, tls: Tls) -> Self {
        Self::of(directory, mailstore, options, Some(tls))
    }

    fn of(directory: Directory, mailstore: MailStore, options: ImapOptions, tls: Option<Tls>) -> Self {
        let large_messages = Arc::new(Semaphore::new(LARGE_MESSAGES_AT_A_TIME));
        Self { door: Arc::new(Door { directory, mailstore, options, tls, large_messages }) }
    }

    /// Serves one client, from the greeting until it leaves, is silent for too long, or
    /// [`ImapOptions::shutdown`] is cancelled. What was acknowledged by a tagged OK is durable.
    pub async fn serve_connection(&self, conn: Conn) {
        let _open = OpenConnection::new();
        Session::new(Arc::clone(&self.door), conn).run().await;
    }
}

/// Counts a connection while it lives.
struct OpenConnection;

impl OpenConnection {
    fn new() -> Self {
        metrics::gauge!("holdfast_imap_connections").increment(1.0);
        Self
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        metrics::gauge!("holdfast_imap_connections").decrement(1.0);
    }
}
