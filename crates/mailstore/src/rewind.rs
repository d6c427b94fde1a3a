//! Rewind: restores a mailbox, some messages or all mail to an earlier time, and keeps everything newer.
//!
//! A rewind deletes nothing. A message that was in a mailbox then and is not there now is restored with its old flags,
//! under a new UID: moved back if it is in another mailbox now, filed again if it was deleted. Deleted mailboxes are
//! recreated. Newer messages are kept, and so are the flags of messages that were not moved or deleted, unless the
//! caller asks for those too; only a `\Deleted` flag set since then is removed. So running it twice changes nothing.
//!
//! [`MailStore::plan_rewind`] returns what would be done; [`MailStore::rewind`] does it in commits of
//! [`MAX_ROWS_PER_COMMIT`], each with its undo data, and can be called again after a crash: each message is restored at
//! most once. [`MailStore::undo_rewind`] undoes it.

mod apply;
mod elsewhere;

pub use apply::RewindId;
pub use elsewhere::{BodySource, HeldElsewhere};

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mailkit::Parsed;
use prost::Message;
use store::{Order, Past, Read, RealmId};

use crate::mailbox::{id_at, state_of};
use crate::metadata::metadata_of;
use crate::rows::{email_record, parsed};
use crate::schema::{self, EntryRecord, MailboxRecord, MetadataRecord, key};
use crate::{EmailId, Flags, MAX_ROWS_PER_COMMIT, MailError, MailStore, MailboxId, Result, SystemFlag, Uid};

/// Most messages that a preview names.
pub const MAX_PREVIEW: usize = 200;
/// Most messages that one rewind changes.
pub const MAX_REWIND_MESSAGES: usize = 2_000_000;

/// What is taken back. Mailboxes and messages are those of then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewindScope {
    /// All mail.
    Everything,
    /// One mailbox.
    Mailbox(MailboxId),
    /// Single messages, each in the mailbox where it was.
    Messages(Vec<(MailboxId, EmailId)>),
    /// No mail: a rewind of something else in the account, which is noted here.
    Nothing,
}

impl RewindScope {
    fn has(&self, mailbox: MailboxId) -> bool {
        match self {
            Self::Everything => true,
            Self::Mailbox(one) => *one == mailbox,
            Self::Messages(all) => all.iter().any(|(one, _)| *one == mailbox),
            Self::Nothing => false,
        }
    }
}

/// What is taken back, and from where.
#[derive(Clone, Copy)]
pub struct RewindFrom<'a> {
    /// The account as it was.
    pub past: &'a Past,
    /// Who has the bytes of messages that are not here any more; nobody, when they must still be here.
    pub bodies: Option<&'a dyn BodySource>,
}

impl<'a> From<&'a Past> for RewindFrom<'a> {
    fn from(past: &'a Past) -> Self {
        Self { past, bodies: None }
    }
}

/// What a rewind would do to a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxPlan {
    /// Which it was.
    pub id: MailboxId,
    /// What it is called: now, or if it is gone, then.
    pub name: String,
    /// It is gone, and is made again.
    pub made: bool,
    /// Messages that are gone and come back.
    pub back: usize,
    /// Messages that lie elsewhere now and come back.
    pub moved: usize,
    /// Messages whose flags change.
    pub flagged: usize,
}

/// A message that would come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePlan {
    /// The mailbox it was in.
    pub mailbox: MailboxId,
    /// Which.
    pub email: EmailId,
    /// It lies elsewhere now.
    pub moved: bool,
    /// Who it is from, as shown.
    pub from: String,
    /// What it is about.
    pub subject: String,
    /// INTERNALDATE, milliseconds since 1970 UTC.
    pub internal_date_ms: i64,
}

/// What a rewind would do; nothing of it is done.
#[derive(Clone, Debug, Default)]
pub struct RewindPlan {
    /// The mailboxes that something is done to, by name.
    pub mailboxes: Vec<MailboxPlan>,
    /// The first messages that come back, at most [`MAX_PREVIEW`], newest first within a mailbox.
    pub first: Vec<MessagePlan>,
    /// Messages that are gone and come back.
    pub back: usize,
    /// Messages that lie elsewhere now and come back.
    pub moved: usize,
    /// Messages whose flags change.
    pub flagged: usize,
    /// Bytes that come back.
    pub bytes: u64,
    made: Vec<MadeAgain>,
    steps: Vec<Step>,
}

impl RewindPlan {
    /// Whether everything is as it was already.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.made.is_empty()
    }
}

/// A mailbox that is gone.
#[derive(Clone, Debug)]
struct MadeAgain {
    then: MailboxId,
    record: MailboxRecord,
    subscribed: bool,
    metadata: Vec<MetadataRecord>,
}

/// Where a message goes: a mailbox there is, or one that is made again, by the id that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Now(MailboxId),
    Made(MailboxId),
}

#[derive(Clone, Debug)]
struct Step {
    then: MailboxId,
    to: Target,
    kind: Kind,
    /// As it was.
    entry: EntryRecord,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Filed: it is gone, or still elsewhere where it belongs.
    Add,
    /// Comes from elsewhere.
    Move(MailboxId, Uid),
    /// Stays, with other flags; unless its MODSEQ has gone on.
    Flags(Uid, u64),
}

/// `33`: a rewind.
#[derive(Clone, PartialEq, Message)]
pub struct RewindRecord {
    /// When it was begun, milliseconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    pub at_ms: i64,
    /// The moment gone back to, milliseconds since 1970 UTC.
    #[prost(int64, tag = "2")]
    pub moment_ms: i64,
    /// What was taken back, for people.
    #[prost(string, tag = "3")]
    pub what: String,
    /// Messages that were gone.
    #[prost(uint32, tag = "4")]
    pub back: u32,
    /// Messages that were elsewhere.
    #[prost(uint32, tag = "5")]
    pub moved: u32,
    /// Messages whose flags changed.
    #[prost(uint32, tag = "6")]
    pub flagged: u32,
    /// Mailboxes made again.
    #[prost(uint32, repeated, tag = "7")]
    pub made: Vec<u32>,
    /// Steps with a way back.
    #[prost(uint32, tag = "8")]
    pub steps: u32,
    /// It went through.
    #[prost(bool, tag = "9")]
    pub done: bool,
    /// It was taken back, or is being.
    #[prost(bool, tag = "10")]
    pub undone: bool,
    /// The commit of the realm that took the address book and other parts back; 0 is none.
    #[prost(uint64, tag = "11")]
    pub book_seq: u64,
    /// When that was, milliseconds since 1970 UTC.
    #[prost(int64, tag = "12")]
    pub book_ms: i64,
    /// Contacts, groups and records of other parts that changed.
    #[prost(uint32, tag = "13")]
    pub book: u32,
    /// Messages that could not come back: their bytes are gone or damaged.
    #[prost(uint32, tag = "14")]
    pub lost: u32,
}

impl RewindRecord {
    /// Whether it changed anything.
    pub fn changed(&self) -> bool {
        self.back + self.moved + self.flagged + self.book > 0 || !self.made.is_empty()
    }
}

/// `34`: the way back of one commit of a rewind.
#[derive(Clone, PartialEq, Message)]
pub struct RewindStep {
    /// The commit's MODSEQ: messages that have another were changed since.
    #[prost(uint64, tag = "1")]
    pub modseq: u64,
    /// The messages, mailbox by mailbox.
    #[prost(message, repeated, tag = "2")]
    pub parts: Vec<RewindPart>,
}

/// Messages of a [`RewindStep`]. Lists are as long as `uids`, or empty.
#[derive(Clone, PartialEq, Message)]
pub struct RewindPart {
    /// Where they are.
    #[prost(uint32, tag = "1")]
    pub mailbox: u32,
    /// Which.
    #[prost(uint32, repeated, tag = "2")]
    pub uids: Vec<u32>,
    /// Where they came from; 0 if from nowhere.
    #[prost(uint32, tag = "3")]
    pub from: u32,
    /// They have stayed, and only their flags changed.
    #[prost(bool, tag = "4")]
    pub stayed: bool,
    /// System flags that they had.
    #[prost(uint32, repeated, tag = "5")]
    pub system: Vec<u32>,
    /// Keywords that they had, with spaces between.
    #[prost(string, repeated, tag = "6")]
    pub keywords: Vec<String>,
}

/// By mailbox of that time: where its messages belong today, and the name there.
type Targets = BTreeMap<MailboxId, (Target, String)>;

/// What is to be taken back, and to when.
struct Asked<'a> {
    account: RealmId,
    past: &'a Past,
    scope: &'a RewindScope,
    /// Only these, if single messages were asked for.
    chosen: Option<&'a HashSet<(MailboxId, EmailId)>>,
    targets: &'a Targets,
}

impl MailStore {
    /// What taking `scope` back to `past` would do. With `flags` the flags of messages that stayed are taken back too.
    /// Blocks for as long as looking at everything that changed since takes.
    ///
    /// # Errors
    /// [`MailError::TooLarge`] beyond [`MAX_REWIND_MESSAGES`].
    pub fn plan_rewind(&self, account: RealmId, past: &Past, scope: &RewindScope, flags: bool) -> Result<RewindPlan> {
        let mut plan = RewindPlan::default();
        let targets = Self::targets(account, past, scope, &mut plan)?;
        let chosen: Option<HashSet<(MailboxId, EmailId)>> = match scope {
            RewindScope::Messages(all) => Some(all.iter().copied().collect()),
            _ => None,
        };
        let missing = Self::missing(account, past, scope, &targets, flags, &mut plan)?;
        let asked = Asked { account, past, scope, chosen: chosen.as_ref(), targets: &targets };
        for email in missing {
            asked.plan_email(email, &mut plan)?;
            if plan.steps.len() > MAX_REWIND_MESSAGES {
                let what = "the number of messages of one rewind";
                return Err(MailError::TooLarge { what, limit: MAX_REWIND_MESSAGES as u64 });
            }
        }
        if chosen.is_some() {
            // A mailbox is made again for those of its messages only that were asked for.
            let used: BTreeSet<Target> = plan.steps.iter().map(|step| step.to).collect();
            plan.made.retain(|made| used.contains(&Target::Made(made.then)));
        }
        plan.steps.sort_by_key(|step| (step.to, step.entry.internal_date_ms, step.entry.email));
        Self::count(account, past, &targets, &mut plan)?;
        plan.first = first_messages(account, past, &plan, &targets)?;
        Ok(plan)
    }

    /// Where what was in each mailbox belongs today; mailboxes that are to be made again are added to the plan.
    fn targets(account: RealmId, past: &Past, scope: &RewindScope, plan: &mut RewindPlan) -> Result<Targets> {
        let now = past.now();
        let mut targets = Targets::new();
        for (at, value) in schema::rows(past, account, &[key::MAILBOX], usize::MAX)? {
            let id = key::mailbox_of(&at)?;
            let record: MailboxRecord = schema::decode(&at, value)?;
            let same = schema::load::<MailboxRecord, _>(now, account, &key::mailbox(id))?;
            // Renaming INBOX moves its mail elsewhere (RFC 9051 section 6.3.6): what was in INBOX belongs there again.
            let target = match same.filter(|now| (record.name == "INBOX") == (now.name == "INBOX")) {
                Some(now) => (Target::Now(id), now.name),
                None => match id_at(now, account, &key::name(&record.name))? {
                    Some(other) => (Target::Now(other), record.name),
                    None => {
                        let name = record.name.clone();
                        if scope.has(id) {
                            let subscribed = past.get(account, &key::subscription(&name))?.is_some();
                            let metadata = metadata_of(past, account, id)?;
                            plan.made.push(MadeAgain { then: id, record, subscribed, metadata });
                        }
                        (Target::Made(id), name)
                    }
                },
            };
            targets.insert(id, target);
        }
        Ok(targets)
    }

    /// Counts what the plan does, mailbox by mailbox and in all.
    fn count(account: RealmId, past: &Past, targets: &Targets, plan: &mut RewindPlan) -> Result<()> {
        let mut back: HashSet<EmailId> = HashSet::new();
        let mut counts: BTreeMap<Target, MailboxPlan> = BTreeMap::new();
        for (id, (target, name)) in targets {
            let made = plan.made.iter().any(|made| made.then == *id);
            counts.entry(*target).or_insert_with(|| MailboxPlan {
                id: *id,
                name: name.clone(),
                made,
                back: 0,
                moved: 0,
                flagged: 0,
            });
        }
        for step in &plan.steps {
            let Some(mailbox) = counts.get_mut(&step.to) else { continue };
            match step.kind {
                Kind::Add => {
                    mailbox.back += 1;
                    plan.back += 1;
                    let email = EmailId(step.entry.email);
                    let is_gone = past.now().get(account, &key::email(email))?.is_none();
                    if is_gone && back.insert(email) {
                        plan.bytes += step.entry.size;
                    }
                }
                Kind::Move(..) => (mailbox.moved, plan.moved) = (mailbox.moved + 1, plan.moved + 1),
                Kind::Flags(..) => (mailbox.flagged, plan.flagged) = (mailbox.flagged + 1, plan.flagged + 1),
            }
        }
        let something = |m: &MailboxPlan| m.made || m.back + m.moved + m.flagged > 0;
        plan.mailboxes = counts.into_values().filter(something).collect();
        plan.mailboxes.sort_by_key(|mailbox| (mailbox.name != "INBOX", mailbox.name.to_lowercase()));
        Ok(())
    }

    /// The emails of which a place is gone, and those steps that change flags only.
    fn missing(
        account: RealmId,
        past: &Past,
        scope: &RewindScope,
        targets: &Targets,
        flags: bool,
        plan: &mut RewindPlan,
    ) -> Result<BTreeSet<EmailId>> {
        let mut missing = BTreeSet::new();
        for (id, (target, _)) in targets.iter().filter(|(id, _)| scope.has(**id)) {
            if *target != Target::Now(*id) {
                // Gone as a whole; its entries may still be there, to be cleared away.
                for row in past.prefix(account, &key::entries(*id), Order::Ascending)? {
                    let (at, value) = row?;
                    missing.insert(EmailId(schema::decode::<EntryRecord>(&at, value)?.email));
                }
                continue;
            }
            for row in past.changed(&key::entries(*id)) {
                let (at, then) = row?;
                let Some(then) = then else { continue };
                let then: EntryRecord = schema::decode(&at, then)?;
                let Some(now) = schema::load::<EntryRecord, _>(past.now(), account, &at)? else {
                    missing.insert(EmailId(then.email));
                    continue;
                };
                if now.email != then.email {
                    // Since a restore its number is another message's.
                    missing.insert(EmailId(then.email));
                    continue;
                }
                let deleted_since = now.flags().deleted() && !then.flags().deleted();
                let differs = (now.system, &now.keywords) != (then.system, &then.keywords);
                let asked = !matches!(scope, RewindScope::Messages(_)) && differs && (flags || deleted_since);
                if asked {
                    let system = if flags { then.system } else { now.system & !(SystemFlag::Deleted as u32) };
                    let keywords = if flags { then.keywords } else { now.keywords.clone() };
                    let entry = EntryRecord { system, keywords, ..now.clone() };
                    let kind = Kind::Flags(key::entry_uid(&at)?, now.modseq);
                    plan.steps.push(Step { then: *id, to: *target, kind, entry });
                }
            }
        }
        Ok(missing)
    }

    /// Whether a message was in a mailbox.
    pub fn was_in(past: &Past, account: RealmId, mailbox: MailboxId, email: EmailId) -> Result<bool> {
        for (at, _) in schema::rows(past, account, &key::places(email), usize::MAX)? {
            if key::place_of(&at)?.0 == mailbox {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what a plan brings back fits.
    ///
    /// # Errors
    /// [`MailError::OverQuota`].
    pub fn check_rewind(&self, account: RealmId, plan: &RewindPlan) -> Result<()> {
        let used = state_of(&self.store().snapshot(), account)?.used_bytes;
        match self.quota_limit(account) {
            Some(limit) if plan.bytes > 0 && used.saturating_add(plan.bytes) > limit => {
                Err(MailError::OverQuota { used, limit, needed: plan.bytes })
            }
            _ => Ok(()),
        }
    }
}

impl Asked<'_> {
    /// The steps that bring one email back to where it was.
    fn plan_email(&self, email: EmailId, plan: &mut RewindPlan) -> Result<()> {
        let mut now: Vec<(MailboxId, Uid)> = Vec::new();
        for (at, _) in schema::rows(self.past.now(), self.account, &key::places(email), usize::MAX)? {
            let (mailbox, uid) = key::place_of(&at)?;
            // Those of deleted mailboxes are on their way out.
            if self.past.now().get(self.account, &key::mailbox(mailbox))?.is_some() {
                now.push((mailbox, uid));
            }
        }
        let mut wanted: BTreeMap<Target, (MailboxId, Uid)> = BTreeMap::new();
        for (at, _) in schema::rows(self.past, self.account, &key::places(email), usize::MAX)? {
            let (mailbox, uid) = key::place_of(&at)?;
            // One of a mailbox that was deleted then already has no target.
            if let Some((target, _)) = self.targets.get(&mailbox) {
                wanted.entry(*target).or_insert((mailbox, uid));
            }
        }
        let mut elsewhere: Vec<(MailboxId, Uid)> =
            now.iter().copied().filter(|(mailbox, _)| !wanted.contains_key(&Target::Now(*mailbox))).collect();
        for (target, (mailbox, uid)) in wanted {
            let is_there = now.iter().any(|(now, _)| Target::Now(*now) == target);
            let is_asked =
                self.scope.has(mailbox) && self.chosen.is_none_or(|chosen| chosen.contains(&(mailbox, email)));
            if is_there || !is_asked {
                continue;
            }
            let at = key::entry(mailbox, uid);
            let entry: EntryRecord = schema::load(self.past, self.account, &at)?.ok_or_else(|| {
                MailError::damaged(
                    store::Cause::Reference,
                    format!("message {email} was in {mailbox}, but has no entry there"),
                )
            })?;
            let kind = elsewhere.pop().map_or(Kind::Add, |(from, uid)| Kind::Move(from, uid));
            plan.steps.push(Step { then: mailbox, to: target, kind, entry });
        }
        Ok(())
    }
}

/// The first messages of a plan, for people.
fn first_messages(account: RealmId, past: &Past, plan: &RewindPlan, targets: &Targets) -> Result<Vec<MessagePlan>> {
    let mut first = Vec::new();
    for mailbox in &plan.mailboxes {
        let Some((target, _)) = targets.get(&mailbox.id) else { continue };
        let steps = plan.steps.iter().rev().filter(|step| step.to == *target && !matches!(step.kind, Kind::Flags(..)));
        for step in steps.take(MAX_PREVIEW - first.len()) {
            let email = EmailId(step.entry.email);
            let parsed: std::sync::Arc<Parsed> = parsed(email, &email_record(past, account, email)?)?;
            let from = parsed.from.first();
            first.push(MessagePlan {
                mailbox: step.then,
                email,
                moved: matches!(step.kind, Kind::Move(..)),
                from: from
                    .map(|from| if from.name.is_empty() { &from.address } else { &from.name })
                    .cloned()
                    .unwrap_or_default(),
                subject: parsed.subject.clone(),
                internal_date_ms: step.entry.internal_date_ms,
            });
        }
    }
    Ok(first)
}

fn flags_of(system: u32, keywords: &[String]) -> Flags {
    Flags::from_parts(system, keywords)
}
