//! Mailboxes, messages, threads, flags, search: the contents of a mail account.
//!
//! All data of an account is in its realm of the store, keys `0x10..=0x3F` (see [`schema`]). Protocol crates translate
//! their protocol into calls of [`MailStore`]; this crate knows no protocol, and does I/O only through the store.
//!
//! * **Writes** are commits. Each exists as `*_in(tx, ..)`, to be combined with other writes in one commit, and as an
//!   `async` method that makes its own commit and returns when it is durable and visible. After a crash a commit is
//!   there completely or not at all. Operations on many messages are done in steps of [`MAX_ROWS_PER_COMMIT`]; their
//!   documentation says so.
//! * **Reads** are blocking and see one consistent snapshot per call. Calls that may visit more than about a thousand
//!   rows say so: call them from a blocking thread.
//! * A message's **bytes** are stored and returned unchanged. Copies share them.
//!
//! What this crate must never do: reuse a UID, a UIDVALIDITY or a mailbox id; write a count without the counted
//! records; parse messages inside a commit; expose the store: doors see mail, and errors as [`MailError`] and
//! [`Unavailable`].
//!
//! Start reading at [`schema`] for the stored records, [`MailStore::append`] for adding a message, [`MailStore::view`]
//! for the state a session works on, and [`MailStore::act`] for user actions.

mod acquaintances;
mod acts;
mod append;
mod bodies;
mod change;
mod changes;
mod conversations;
mod correspondents;
mod counter;
mod delete;
mod error;
pub mod export;
mod flags;
mod ids;
pub mod import;
pub mod invariants;
mod mailbox;
mod metadata;
mod name;
mod part;
mod quota;
mod recent;
mod rename;
mod renumber;
pub mod rewind;
mod role;
mod rows;
pub mod salvage;
pub mod schema;
mod search;
mod snooze;
mod sort;
mod threading;
mod threads;
mod uidset;
mod view;
mod watch;

use std::sync::{Arc, OnceLock};

use store::{Store, Tx};

pub use acquaintances::Acquaintance;
pub use acts::{ACT_DAYS, ActChange, ActReceipt, ActRecord, ActStep, MAX_ACT_KEY_BYTES, MAX_ACT_MESSAGES, WayBack};
pub use append::{Appended, NewMessage};
pub use bodies::{BodyReader, BodyRef, BodyWriter, MAX_PREFIX_BYTES, StagedBody};
pub use change::{Copied, FlagsChanged};
pub use conversations::{ConversationRow, MAX_PAGE, Page, PageKey, Participant};
pub use correspondents::{Correspondent, MAX_CORRESPONDENTS};
pub use delete::Children;
pub use error::{MailError, Result, Unavailable};
pub use flags::{FlagChange, Flags, Keyword, MAX_KEYWORD_BYTES, MAX_KEYWORDS, SystemFlag};
pub use ids::{EmailId, MailboxId, ModSeq, ParseIdError, ThreadId, Uid};
pub use mailbox::Mailbox;
pub use metadata::{
    EntryName, EntryNameError, MAX_ENTRY_DEPTH, MAX_ENTRY_NAME_BYTES, MAX_METADATA_BYTES, MAX_METADATA_ENTRIES,
    MAX_METADATA_OF_ONE, MAX_METADATA_VALUE_BYTES, MetadataDepth, MetadataMarks, MetadataValue, SPECIAL_USE_ENTRY,
};
pub use name::{MAX_MAILBOXES, MAX_NAME_BYTES, MAX_NAME_DEPTH, MailboxName, NameError};
pub use part::{EMAIL, MAILBOX, MailPart, THREAD};
pub use quota::{Quota, QuotaLimit};
pub use role::Role;
pub use rows::{Email, EncodedRow, MessageEntry, MessageRow};
pub use search::{Folding, MessageTexts, Narrowing, SearchHit, SearchOptions, SearchQuery, SearchScope, UidsFound};
pub use snooze::{Snooze, Snoozes, part::SnoozePart};
pub use sort::{Scores, SortField, SortKey};
pub use threading::{ThreadAlgorithm, ThreadForest, ThreadNode};
pub use uidset::UidSet;
pub use view::{Changes, MailboxView, ViewDiff};
pub use watch::Watch;

/// Most messages that one commit changes: larger operations are split, so that others get their turn in between.
pub const MAX_ROWS_PER_COMMIT: usize = 500;

/// The mail of all accounts of a store. Cheap to clone.
///
/// Methods take the account as its realm: `account_id.realm()`.
#[derive(Clone)]
pub struct MailStore {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    quota_limit: Option<QuotaLimit>,
    views: view::Cache,
    recent: recent::Lines,
    narrowing: OnceLock<Arc<dyn Narrowing>>,
}

impl MailStore {
    /// The mail in `store`, without quota limits.
    pub fn new(store: Store) -> Self {
        Self::of(store, None)
    }

    /// The mail in `store`, with `limit` telling how many bytes an account may use. It is called within commits: it
    /// must be quick and must not wait.
    pub fn with_quota_limit(store: Store, limit: QuotaLimit) -> Self {
        Self::of(store, Some(limit))
    }

    fn of(store: Store, quota_limit: Option<QuotaLimit>) -> Self {
        let (views, recent) = (view::Cache::default(), recent::Lines::default());
        Self { inner: Arc::new(Inner { store, quota_limit, views, recent, narrowing: OnceLock::new() }) }
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Make a commit of `write`.
    async fn commit<T, F>(&self, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let this = self.clone();
        self.inner.store.transact(move |tx| write(&this, tx)).await
    }
}
