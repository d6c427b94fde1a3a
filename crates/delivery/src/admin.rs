//! The queue as an operator sees it: look, push, hold, drop.

use directory::AccountId;

use crate::{Delivery, QueueId, Result};

/// Which messages [`Delivery::queue_list`] shows.
#[derive(Clone, Debug, Default)]
pub struct QueueFilter {
    /// Only with a recipient in this domain (lower case).
    pub domain: Option<String>,
    /// Only with this reverse-path; `<>` for reports.
    pub sender: Option<String>,
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only held ones, or only those not held.
    pub held: Option<bool>,
}

/// A page of the queue, oldest first.
#[derive(Clone, Debug, Default)]
pub struct QueuePage {
    /// The messages.
    pub messages: Vec<QueuedMessage>,
    /// Give this as `after` for the next page; `None`: this was the last.
    pub next: Option<QueueId>,
}

/// A message in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMessage {
    /// What it is known by.
    pub id: QueueId,
    /// The reverse-path; `None` is `<>`.
    pub from: Option<String>,
    /// The account that sent it, if one of ours did.
    pub account: Option<AccountId>,
    /// Size as it goes out, bytes.
    pub size: u64,
    /// When it came, milliseconds since 1970 UTC.
    pub created_ms: i64,
    /// When it is given up.
    pub expires_ms: i64,
    /// An operator holds it: it is not tried.
    pub held: bool,
    /// Recipients still to be served.
    pub recipients: Vec<QueuedRecipient>,
}

/// A recipient still to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// The forward-path.
    pub address: String,
    /// Domain or account that it waits for.
    pub destination: String,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried next.
    pub next_attempt_ms: i64,
    /// It is being tried now, or was when the server stopped, since then.
    pub in_flight_since_ms: Option<i64>,
    /// What the last attempt met, in the remote server's words where there were any.
    pub last_error: Option<String>,
}

/// What is in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages.
    pub messages: u64,
    /// Recipients still to be served.
    pub recipients: u64,
    /// Messages held by an operator.
    pub held: u64,
    /// Destinations that something waits for.
    pub destinations: u64,
    /// When the oldest message came, milliseconds since 1970 UTC.
    pub oldest_ms: Option<i64>,
}

/// What happens to the sender of a dropped message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropMode {
    /// Nothing: the message disappears.
    Silent,
    /// The sender gets a failure report.
    Bounce,
}

impl Delivery {
    /// A page of the queue: up to `limit` messages after `after`. Reads up to 10,000 messages; with a narrow filter a
    /// page may hold fewer than `limit` and still have a `next`.
    pub fn queue_list(&self, filter: &QueueFilter, after: Option<QueueId>, limit: usize) -> Result<QueuePage> {
        let _ = (filter, after, limit);
        todo!()
    }

    /// One message of the queue.
    pub fn queue_show(&self, id: QueueId) -> Result<QueuedMessage> {
        let _ = id;
        todo!()
    }

    /// The first `limit` bytes of a queued message as it goes out.
    pub fn queue_content(&self, id: QueueId, limit: usize) -> Result<Vec<u8>> {
        let _ = (id, limit);
        todo!()
    }

    /// Try the message now, whatever the schedule says. Releases nothing that is held.
    pub async fn queue_retry(&self, id: QueueId) -> Result<()> {
        let _ = id;
        todo!()
    }

    /// Try all messages now. Returns how many.
    pub async fn queue_retry_all(&self) -> Result<u64> {
        todo!()
    }

    /// Keep the message, and try it no more until [`Self::queue_release`]. It does not expire meanwhile.
    pub async fn queue_hold(&self, id: QueueId) -> Result<()> {
        let _ = id;
        todo!()
    }

    /// Let a held message go on, at once.
    pub async fn queue_release(&self, id: QueueId) -> Result<()> {
        let _ = id;
        todo!()
    }

    /// Give the message up.
    ///
    /// # Errors
    /// [`crate::DeliveryError::InFlight`] while an attempt runs.
    pub async fn queue_drop(&self, id: QueueId, mode: DropMode) -> Result<()> {
        let _ = (id, mode);
        todo!()
    }

    /// Counts over the whole queue: reads all of it, use from a blocking thread.
    pub fn queue_stats(&self) -> Result<QueueStats> {
        todo!()
    }
}
