//! Accepting, routing, queueing, retrying, bouncing: the path of a message from the listener to the mailbox or the
//! remote server.
//!
//! * [`Delivery::rcpt`], [`Delivery::incoming`]: a protocol crate submits a message; one commit files it to local
//!   recipients and queues it for the others.
//! * [`Judge`]: what looks at a message before it is accepted, and decides about each recipient.
//! * [`Elsewhere`]: on a relay, which keeps mail for another machine; [`Delivery::incoming_relayed`] takes it from one.
//! * [`Delivery::submit`]: a user presses Send; the same key sends only once.
//! * [`Delivery::run`]: processes the queue until cancelled.
//! * `queue_*`: queue management for the operator.
//!
//! What this crate must never do: report a message as accepted before it is durable; lose one without telling its
//! sender; send a report about a report; connect to itself; reveal one recipient's address to another.
//!
//! Start reading at [`Incoming::finish`] for incoming mail, `schema` for the stored records, `runner` and `attempt` for
//! outgoing mail, `outbound` for connections to other servers.

mod accept;
mod access_notice;
mod admin;
mod along;
mod attempt;
mod changed;
mod claims;
mod deadline;
mod decide;
mod dispatch;
mod envelope;
mod error;
mod estimate;
mod filing;
mod forward;
mod forwarding;
#[doc(hidden)]
pub mod fuzzing;
mod handover;
mod head;
mod hint;
mod invariants;
mod judge;
mod judging;
mod notices;
mod options;
mod outbound;
mod owed;
mod part;
mod passed_on;
mod progress;
mod queue;
mod queue_id;
mod quota_notice;
mod receipts;
mod refusal;
mod reply;
mod report;
mod reports_budget;
mod route;
mod runner;
mod salvage;
mod schema;
mod sending;
mod service_mail;
mod sign;
mod source;
mod submit;
mod suit;
mod tls_report;
mod versions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use directory::Directory;
use mailstore::MailStore;
use parking_lot::Mutex;
use rand::RngExt as _;
use store::Store;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use accept::{Accepted, Elsewhere, Incoming, Kept, Relayed, SignedIn, Taken};
pub use access_notice::AccessChange;
pub use admin::{DropMode, QueueFilter, QueuePage, QueueStats, QueuedMessage, QueuedRecipient, Secured};
pub use changed::{MAX_VERSIONS, Piece, Version};
pub use dispatch::RecipientOutcome;
pub use envelope::{AtRelay, Envelope, Forwarder, Notify, Origin, Recipient, Ret};
pub use error::{DeliveryError, Result};
pub use estimate::{Amount, Shrinking};
pub use forwarding::{
    Asked, CONFIRM_WITHIN, ForwardError, ForwardState, ForwardTarget, Forwarding, ForwardingPart,
    MAX_CONFIRMATIONS_PER_DAY, MAX_FORWARD_TARGETS, PAUSED_AFTER,
};
pub use handover::{AskedOf, Handed, Handover, HandoverMail};
pub use invariants::QueueInvariants;
pub use judge::{
    Case, Fallback, FileInto, FurtherCopy, Hearing, Judge, JudgeError, MAX_FINDINGS_BYTES, MAX_FORWARDS,
    MAX_REASON_CHARS, MAX_VERDICT_BYTES, Mark, Reply, Spooled, Verdict,
};
pub use options::{
    Authors, Credentials, DaneUse, DeliveryOptions, NextHop, RetrySchedule, Smarthost, Timeouts, TlsException,
    TlsPolicy, Unsigned,
};
pub use outbound::sts::fetch::Unread as UnreadPolicy;
pub use outbound::tls::TlsClients;
pub use part::{ReceiptsPart, SUBMISSION};
pub use progress::QueueProgress;
pub use queue_id::{ParseQueueIdError, QueueId};
pub use refusal::Refusal;
pub use reply::{MARK_KEYS, Remembered};
pub use route::RecipientRoute;
pub use salvage::{SalvagedFate, SalvagedQueued, salvaged_queue};
pub use sending::{Allowance, Counted, SendingLimits, SendingPart, SendingUse, Window};
pub use service_mail::ServiceMail;
pub use submit::{MAX_HOLD, MAX_IDEMPOTENCY_KEY_BYTES, RespondsTo, SentCopy, Submission, SubmitReceipt};

use outbound::security::Security;
use schema::MessageRecord;

/// Messages up to this size are held in memory while they come in; larger ones are spooled to disk.
pub const MAX_IN_MEMORY_BYTES: usize = 1 << 20;
/// The same while many come in at once ([`DeliveryOptions::max_incoming_memory_bytes`]).
pub const MAX_IN_MEMORY_CROWDED_BYTES: usize = 64 << 10;
/// A failure report returns the whole message up to this size, otherwise its headers.
pub const MAX_RETURNED_BYTES: u64 = 256 << 10;
/// Messages above [`MAX_IN_MEMORY_BYTES`] that are parsed at once, each in memory for that time.
const MAX_LARGE_AT_ONCE: usize = 4;

/// Messages that fit into memory prepared at once: enough to use what cores a machine has while some wait for the disk.
const MAX_USUAL_AT_ONCE: usize = 8;

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
    resolver: Option<Arc<dyn dnskit::Resolver>>,
    /// Gives proved answers, for DANE.
    validating: Option<Arc<dyn dnskit::Resolver>>,
    judges: Vec<Arc<dyn Judge>>,
    /// This machine is a relay: there are no accounts here.
    elsewhere: Option<Arc<dyn Elsewhere>>,
    hints: hint::Hints,
    claims: claims::Claims,
    last_id: AtomicU64,
    /// Bytes of messages that are coming in and are held in memory.
    incoming_bytes: Arc<AtomicUsize>,
    large: Semaphore,
    usual: Semaphore,
    reports: reports_budget::ReportsBudget,
    /// What is due in the queue, as it was counted last.
    progress: Mutex<progress::Progress>,
    /// A commit that is about to be made stops an account's sending.
    stopping: AtomicBool,
    owed: owed::Owed,
    /// Held while TLS reports are made.
    reporting: tokio::sync::Mutex<()>,
}

impl Delivery {
    /// Delivery over `store`, asking the machine's DNS. Does nothing by itself: [`Self::run`] works the queue off.
    pub fn new(store: Store, directory: Directory, mailstore: MailStore, options: DeliveryOptions) -> Result<Self> {
        Self::build(store, directory, mailstore, options, None)
    }

    /// The same, asking `resolver`.
    pub fn with_resolver(
        store: Store,
        directory: Directory,
        mailstore: MailStore,
        options: DeliveryOptions,
        resolver: Arc<dyn dnskit::Resolver>,
    ) -> Result<Self> {
        Self::build(store, directory, mailstore, options, Some(resolver))
    }

    fn build(
        store: Store,
        directory: Directory,
        mailstore: MailStore,
        options: DeliveryOptions,
        resolver: Option<Arc<dyn dnskit::Resolver>>,
    ) -> Result<Self> {
        options.check()?;
        let inner = Inner {
            store,
            directory,
            mailstore,
            options,
            resolver,
            validating: None,
            judges: Vec::new(),
            elsewhere: None,
            hints: hint::Hints::default(),
            claims: claims::Claims::default(),
            last_id: AtomicU64::new(0),
            incoming_bytes: Arc::default(),
            large: Semaphore::new(MAX_LARGE_AT_ONCE),
            usual: Semaphore::new(MAX_USUAL_AT_ONCE),
            reports: reports_budget::ReportsBudget::default(),
            progress: Mutex::default(),
            stopping: AtomicBool::new(false),
            owed: owed::Owed::default(),
            reporting: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Every message is seen by these judges, in their order, before it is accepted. For the start: before any clone.
    ///
    /// # Errors
    /// [`DeliveryError::BadOption`] if it is shared already.
    pub fn with_judges(mut self, judges: Vec<Arc<dyn Judge>>) -> Result<Self> {
        let inner = Arc::get_mut(&mut self.inner);
        let problem = || "judges have to be set before anything uses the delivery".to_owned();
        inner.ok_or_else(|| DeliveryError::BadOption { option: "judges", problem: problem() })?.judges = judges;
        Ok(self)
    }

    /// Mail is taken for accounts elsewhere, and kept for them. For the start: before any clone.
    ///
    /// # Errors
    /// [`DeliveryError::BadOption`] if it is shared already.
    pub fn with_elsewhere(mut self, elsewhere: Arc<dyn Elsewhere>) -> Result<Self> {
        let inner = Arc::get_mut(&mut self.inner);
        let problem = || "a relay has to be set up before anything uses the delivery".to_owned();
        let inner = inner.ok_or_else(|| DeliveryError::BadOption { option: "elsewhere", problem: problem() })?;
        inner.elsewhere = Some(elsewhere);
        Ok(self)
    }

    /// Where the accounts are, if not here.
    pub fn elsewhere(&self) -> Option<Arc<dyn Elsewhere>> {
        self.inner.elsewhere.clone()
    }

    /// Certificates that DNSSEC proves are demanded (RFC 7672) where this resolver says that an answer is proved. For the
    /// start: before any clone.
    ///
    /// # Errors
    /// [`DeliveryError::BadOption`] if it is shared already.
    pub fn with_validating(mut self, resolver: Arc<dyn dnskit::Resolver>) -> Result<Self> {
        let inner = Arc::get_mut(&mut self.inner);
        let problem = || "a resolver has to be set before anything uses the delivery".to_owned();
        inner.ok_or_else(|| DeliveryError::BadOption { option: "dane", problem: problem() })?.validating =
            Some(resolver);
        Ok(self)
    }

    /// The options in use.
    pub fn options(&self) -> &DeliveryOptions {
        &self.inner.options
    }

    /// The largest message that is taken, in bytes.
    pub fn max_message_bytes(&self) -> u64 {
        let there = self.inner.elsewhere.as_ref().and_then(|elsewhere| elsewhere.max_message_bytes());
        there.unwrap_or(u64::MAX).min(self.inner.options.max_message_bytes)
    }

    /// Memory that messages take up which are coming in now, in bytes.
    pub fn incoming_bytes(&self) -> usize {
        self.inner.incoming_bytes.load(Ordering::Relaxed)
    }

    /// The MTA-STS policy of a domain as other servers read it now: mode and hosts. To check one's own; nothing is kept.
    ///
    /// # Errors
    /// It can't be read: why, and whether its host was reached.
    pub async fn look_at_policy(&self, domain: &str) -> std::result::Result<(&'static str, Vec<String>), UnreadPolicy> {
        let options = &self.inner.options;
        let tls = TlsClients::new(&options.further_authorities)
            .map_err(|error| UnreadPolicy { why: error.to_string(), reached: false })?;
        let policy = outbound::sts::fetch::looked_at(domain, options, &*self.resolver(), &tls.verified).await?;
        Ok((policy.mode.name(), policy.mx))
    }

    fn resolver(&self) -> Arc<dyn dnskit::Resolver> {
        if let Some(resolver) = &self.inner.resolver {
            return Arc::clone(resolver);
        }
        match dnskit::SystemResolver::new() {
            Ok(resolver) => Arc::new(resolver),
            Err(error) => {
                tracing::error!(%error, "DNS is not available: mail for other domains waits in the queue");
                Arc::new(dnskit::NoResolver(error))
            }
        }
    }

    /// What talks to other servers.
    fn outbound(&self) -> Result<outbound::attempt::Outbound> {
        let (options, resolver) = (self.inner.options.clone(), self.resolver());
        let tls = TlsClients::new(&options.further_authorities)
            .map_err(|e| DeliveryError::BadOption { option: "tls", problem: e.to_string() })?;
        let validating = self.inner.validating.clone();
        let security =
            Security::load(self.inner.store.clone(), Arc::clone(&resolver), validating, options.clone(), &tls)?;
        Ok(outbound::attempt::Outbound::new(options, resolver, tls, security))
    }

    fn now_ms(&self) -> i64 {
        self.inner.store.clock().now_ms()
    }

    fn next_id(&self) -> QueueId {
        QueueId::next(&self.inner.last_id, self.now_ms(), rand::rng().random())
    }

    /// How long a leg waits after its attempt number `attempt`.
    fn retry_wait_ms(&self, attempt: u32) -> i64 {
        let wait = self.inner.options.retry.wait(attempt, rand::rng().random());
        i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 4)
    }

    /// A queue record with its times: it begins to wait at `from_ms`.
    fn new_record(&self, created_ms: i64, from_ms: i64) -> MessageRecord {
        let options = &self.inner.options;
        let after =
            |wait: std::time::Duration| from_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 4));
        MessageRecord {
            created_ms,
            expires_ms: after(options.expiry),
            warn_ms: after(options.delay_warning),
            ..MessageRecord::default()
        }
    }

    /// Messages are prepared a few at a time: large ones for their memory, others so that a burst does not start a
    /// thread for each. Neither kind waits for the other.
    async fn permit(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let is_usual = bytes <= MAX_IN_MEMORY_BYTES as u64;
        let permits = if is_usual { &self.inner.usual } else { &self.inner.large };
        permits.acquire().await.ok()
    }
}
