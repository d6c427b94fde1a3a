//! Rewind: restores an account's mail, a mailbox, single messages or the address book to an earlier time, and keeps
//! everything newer.
//!
//! [`Rewinds::preview`] shows what would be done, [`Rewinds::run`] does it under an idempotency key, only once even if
//! repeated, [`Rewinds::undo`] undoes it. The earlier state comes from [`store::Store::realm_at`];
//! [`mailstore::rewind`] and the other parts of the realm ([`realm::RealmPart`]) decide how it is restored. All of this
//! blocks: call it from a blocking thread.

use std::fmt::Write as _;

use mailstore::rewind::{BodySource, RewindFrom, RewindId, RewindPlan, RewindRecord, RewindScope};
use mailstore::{EmailId, MailError, MailStore, MailboxId, MailboxName};
pub use realm::{Coming, PartError};
use realm::{InCommit, Parts, Rewind, Rewindable};
use store::{Past, Read as _, RealmId, RealmSeq, Seq, Store, StoreError};

/// The name of the part that [`What::AddressBook`] is.
const ADDRESS_BOOK: &str = "people";

/// The scope of a rewind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Mail, address book, and every other part that can be rewound.
    Everything,
    /// A mailbox, by the name that it had, or has.
    Mailbox(String),
    /// Single messages, each in the mailbox where it was.
    Messages(Vec<(MailboxId, EmailId)>),
    /// The address book.
    AddressBook,
}

/// A rewind request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The scope of a rewind.
    pub what: What,
    /// The time to go back to, in milliseconds since 1970.
    pub moment_ms: i64,
    /// Also restore the flags of messages that were not moved or deleted.
    pub flags: bool,
}

/// A preview of a rewind; nothing is changed.
#[derive(Debug, Clone, Default)]
pub struct Preview {
    /// To the mail.
    pub mail: RewindPlan,
    /// To the other parts, by what their records are called. All of them are here, also those that nothing is done to.
    pub parts: Vec<Coming>,
    /// Why it can't be done as it is: it does not fit.
    pub problem: Option<String>,
    /// Commits that count although they carry later times than they had, as the clock was ahead: the first and the last.
    pub mistimed: Option<(Seq, Seq)>,
}

impl Preview {
    /// Whether everything is there already.
    pub fn is_empty(&self) -> bool {
        self.mail.is_empty() && self.has_only_mail()
    }

    /// Whether nothing is done to anything but the mail.
    pub fn has_only_mail(&self) -> bool {
        self.parts.iter().all(Coming::is_empty)
    }
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    /// The time is in the future.
    #[error("that time is in the future")]
    Future,
    /// The account did not exist at that time.
    #[error("the account did not exist at that time")]
    NotYet,
    /// There was no such mailbox.
    #[error("there was no mailbox named \u{201c}{0}\u{201d} at that time")]
    NoSuchMailbox(String),
    /// There was no such message.
    #[error("there was no message {0}.{1} at that time")]
    NoSuchMessage(MailboxId, EmailId),
    /// The mail's own reasons.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Another part's own reasons.
    #[error(transparent)]
    Part(PartError),
    /// Errors of the store; [`StoreError::BeforeWindow`] for a time too long ago.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PartError> for RewindError {
    fn from(error: PartError) -> Self {
        match error {
            PartError::Store(error) => Self::Store(error),
            own @ PartError::Own(_) => Self::Part(own),
        }
    }
}

type Result<T, E = RewindError> = std::result::Result<T, E>;

/// What was asked for, resolved as of then.
struct Then<'a> {
    past: &'a Past,
    scope: RewindScope,
    parts: Following,
}

/// Which parts are rewound besides the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Following {
    All,
    One(&'static str),
    None,
}

/// What was asked for, and how it is told to people.
struct Asked<'a> {
    wish: &'a Wish,
    what: String,
}

/// Takes accounts back. Cheap to make and clone.
#[derive(Clone)]
pub struct Rewinds {
    store: Store,
    mailstore: MailStore,
    parts: Parts,
}

impl Rewinds {
    /// For the accounts of a store, their mail in it, and the parts of their realms.
    pub fn new(store: Store, mailstore: MailStore, parts: Parts) -> Self {
        Self { store, mailstore, parts }
    }

    /// The parts that follow the mail when it is rewound, and whether they are concerned.
    fn following(&self, which: Following) -> impl Iterator<Item = (&'static dyn Rewind, bool)> {
        self.parts.iter().filter_map(move |part| match part.rewindable() {
            Rewindable::Follows(rewind) => {
                Some((rewind, which == Following::All || which == Following::One(part.name())))
            }
            Rewindable::Never | Rewindable::Leads => None,
        })
    }

    /// The earliest possible time, in milliseconds since 1970.
    ///
    /// # Errors
    /// Those of the store.
    pub fn window_start_ms(&self) -> Result<i64> {
        Ok(self.store.window_start_ms()?)
    }

    /// What a rewind would do.
    ///
    /// # Errors
    /// [`RewindError`] says for what moments and mailboxes nothing can be done.
    pub fn preview(&self, account: RealmId, wish: &Wish) -> Result<Preview> {
        self.preview_of(account, &self.past(account, wish.moment_ms)?, wish)
    }

    /// The same, of a past that comes from elsewhere.
    ///
    /// # Errors
    /// As [`Rewinds::preview`].
    pub fn preview_of(&self, account: RealmId, past: &Past, wish: &Wish) -> Result<Preview> {
        let then = self.then(account, past, wish)?;
        let mail = self.mailstore.plan_rewind(account, then.past, &then.scope, wish.flags)?;
        let mut parts = Vec::new();
        for (part, is_concerned) in self.following(then.parts) {
            if is_concerned {
                parts.extend(part.plan(account, then.past)?);
            } else {
                parts.extend(part.nouns().iter().copied().map(Coming::none));
            }
        }
        let problem = match self.mailstore.check_rewind(account, &mail) {
            Ok(()) => None,
            Err(error @ MailError::OverQuota { .. }) => Some(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        Ok(Preview { mail, parts, problem, mistimed: then.past.mistimed() })
    }

    /// Runs the rewind. The same key runs it only once; after a crash the same key does the rest. `progress` receives the
    /// numbers of processed and total messages.
    ///
    /// # Errors
    /// As [`Rewinds::preview`]; [`MailError::OverQuota`] before anything is changed.
    pub fn run(
        &self,
        account: RealmId,
        key: &[u8],
        wish: &Wish,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RewindRecord> {
        let id = RewindId::of(key)?;
        if let Some(record) = self.done_already(account, id)? {
            return Ok(record);
        }
        let asked = Asked { wish, what: name_of(&wish.what) };
        self.run_from(account, id, (&self.past(account, wish.moment_ms)?).into(), &asked, progress)
    }

    /// The same, of a past that comes from elsewhere. `what` says it to people.
    ///
    /// # Errors
    /// As [`Rewinds::run`].
    pub fn run_of(
        &self,
        account: RealmId,
        key: &[u8],
        (past, bodies): (&Past, &dyn BodySource),
        (wish, what): (&Wish, String),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RewindRecord> {
        let id = RewindId::of(key)?;
        match self.done_already(account, id)? {
            Some(record) => Ok(record),
            None => {
                let from = RewindFrom { past, bodies: Some(bodies) };
                self.run_from(account, id, from, &Asked { wish, what }, progress)
            }
        }
    }

    fn done_already(&self, account: RealmId, id: RewindId) -> Result<Option<RewindRecord>> {
        let known = self.mailstore.rewind_record(account, id)?.filter(|record| record.done || record.undone);
        if known.is_some() {
            self.store.acknowledged_in(account).wait()?;
        }
        Ok(known)
    }

    fn run_from(
        &self,
        account: RealmId,
        id: RewindId,
        from: RewindFrom<'_>,
        Asked { wish, what }: &Asked<'_>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RewindRecord> {
        let then = self.then(account, from.past, wish)?;
        let plan = self.mailstore.plan_rewind(account, then.past, &then.scope, wish.flags)?;
        let record = self.mailstore.rewind(account, id, from, &plan, (wish.moment_ms, what), progress)?;
        if record.done || record.undone {
            return Ok(record);
        }
        let mut others: Vec<InCommit> = Vec::new();
        for (part, _) in self.following(then.parts).filter(|(_, is_concerned)| *is_concerned) {
            others.push(part.go_back(account, then.past)?);
        }
        let done = self.store.transact(move |tx| {
            let record = MailStore::rewind_record_in(tx, account, id)?.unwrap_or_default();
            if record.done || record.undone {
                return Ok(record);
            }
            let mut changed = 0;
            for go_back in others {
                changed += go_back(tx)?;
            }
            let changed = u32::try_from(changed).unwrap_or(u32::MAX);
            Ok::<_, RewindError>(MailStore::finish_rewind_in(tx, account, id, changed)?)
        });
        let record = done.wait()?;
        metrics::counter!("holdfast_rewinds_total").increment(1);
        tracing::info!(%account, back = record.back, moved = record.moved, book = record.book, "rewound");
        Ok(record)
    }

    /// Undoes a rewind, except for later changes. Idempotent. `None` if the rewind is no longer known.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::BeforeWindow`] when the log behind it is gone.
    pub fn undo(&self, account: RealmId, id: RewindId) -> Result<Option<RewindRecord>> {
        let Some(record) = self.mailstore.undo_rewind(account, id)? else { return Ok(None) };
        if record.book_seq != 0 {
            let (before, after) = self.store.realm_around(account, RealmSeq(record.book_seq), record.book_ms)?;
            // A part that the rewind did not change is the same before and after it: that leaves it as it is.
            let mut others: Vec<InCommit> = Vec::new();
            for (part, _) in self.following(Following::All) {
                others.push(part.undo(account, &before, &after)?);
            }
            let undone = self.store.transact(move |tx| {
                if MailStore::end_parts_in(tx, account, id)? {
                    for undo in others {
                        undo(tx)?;
                    }
                }
                Ok::<_, RewindError>(())
            });
            undone.wait()?;
        }
        metrics::counter!("holdfast_rewinds_undone_total").increment(1);
        Ok(self.mailstore.rewind_record(account, id)?)
    }

    /// Commits that are included although their stated times are too late: see [`Preview::mistimed`].
    ///
    /// # Errors
    /// As [`Rewinds::preview`].
    pub fn mistimed(&self, account: RealmId, wish: &Wish) -> Result<Option<(Seq, Seq)>> {
        Ok(self.past(account, wish.moment_ms)?.mistimed())
    }

    fn past(&self, account: RealmId, moment_ms: i64) -> Result<Past> {
        if moment_ms > self.store.clock().now_ms() {
            return Err(RewindError::Future);
        }
        let past = self.store.realm_made_at(account, moment_ms)?;
        if past.realm_seq(account) == RealmSeq(0) { Err(RewindError::NotYet) } else { Ok(past) }
    }

    fn then<'a>(&self, account: RealmId, past: &'a Past, wish: &Wish) -> Result<Then<'a>> {
        let (scope, parts) = match &wish.what {
            What::Everything => (RewindScope::Everything, Following::All),
            What::AddressBook => (RewindScope::Nothing, Following::One(ADDRESS_BOOK)),
            What::Messages(messages) => {
                for (mailbox, email) in messages {
                    if !MailStore::was_in(past, account, *mailbox, *email)? {
                        return Err(RewindError::NoSuchMessage(*mailbox, *email));
                    }
                }
                (RewindScope::Messages(messages.clone()), Following::None)
            }
            What::Mailbox(name) => (RewindScope::Mailbox(self.mailbox_then(account, past, name)?), Following::None),
        };
        Ok(Then { past, scope, parts })
    }

    fn mailbox_then(&self, account: RealmId, past: &Past, name: &str) -> Result<MailboxId> {
        let missing = || RewindError::NoSuchMailbox(name.to_owned());
        let parsed = MailboxName::new(name).map_err(|_| missing())?;
        if let Some(then) = self.mailstore.mailbox_by_name_in(past, account, &parsed)? {
            return Ok(then.id);
        }
        // It had another name.
        let now = self.mailstore.mailbox_by_name_in(past.now(), account, &parsed)?.ok_or_else(missing)?;
        match self.mailstore.mailbox_in(past, account, now.id)? {
            Some(then) => Ok(then.id),
            None => Err(missing()),
        }
    }
}

/// The scope as text.
pub fn name_of(what: &What) -> String {
    match what {
        What::Everything => "everything".to_owned(),
        What::Mailbox(name) => format!("mailbox {name}"),
        What::Messages(messages) => count(messages.len(), "message"),
        What::AddressBook => "the address book".to_owned(),
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// The result of a rewind in a sentence.
pub fn told(record: &RewindRecord) -> String {
    if record.undone {
        return "Undone. Later changes were kept.".to_owned();
    }
    let mut text = String::new();
    let parts = [
        (record.back as usize, "message", "restored"),
        (record.moved as usize, "message", "moved back"),
        (record.flagged as usize, "message", "with restored flags"),
        (record.made.len(), "mailbox", "recreated"),
        (record.book as usize, "contact or group", "restored"),
        (record.lost as usize, "message", "skipped because their contents are damaged or missing"),
    ];
    for (n, what, became) in parts.into_iter().filter(|(n, _, _)| *n > 0) {
        let between = if text.is_empty() { "" } else { ", " };
        let what = match (n, what) {
            (1, what) => format!("1 {what}"),
            (n, "mailbox") => format!("{n} mailboxes"),
            (n, "contact or group") => format!("{n} contacts and groups"),
            (n, what) => count(n, what),
        };
        let _ = write!(text, "{between}{what} {became}");
    }
    match (text.is_empty(), record.done) {
        (true, true) => "Nothing to restore: everything is still there.".to_owned(),
        (false, true) => format!("{text}."),
        (_, false) => format!("Not finished yet: {}.", if text.is_empty() { "nothing done yet" } else { &text }),
    }
}
