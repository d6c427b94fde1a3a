//! Applies and undoes a rewind: each commit records what it did, so that nothing is done twice or lost in between.

use std::collections::{BTreeMap, btree_map::Entry};
use std::sync::Arc;

use mailkit::Parsed;
use prost::Message as _;
use store::{BodyId, Order, Read, RealmId, StagedBody, StoreError, Tx};

use super::{
    EmailId, EntryRecord, Kind, MAX_ROWS_PER_COMMIT, MadeAgain, MailError, MailStore, MailboxId, Result, RewindFrom,
    RewindPart, RewindPlan, RewindRecord, RewindStep, Step, Target, Uid, flags_of,
};
use crate::mailbox::{counters_of, id_at, mailbox_record, state_of};
use crate::rows::{body_id, email_record, entry_records, parsed};
use crate::schema::{self, DAY_MS, EmailRecord, key};
use crate::{ACT_DAYS, FlagChange, MAX_ACT_KEY_BYTES, MailboxName, ModSeq, Role, ThreadId, threads};

/// Names a rewind in an account: made of the key that it was asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RewindId([u8; 32]);

impl RewindId {
    /// The rewind that is asked for with `act_key`, at most [`MAX_ACT_KEY_BYTES`].
    ///
    /// # Errors
    /// [`MailError::TooLarge`]; also for an empty one.
    pub fn of(act_key: &[u8]) -> Result<Self> {
        if act_key.is_empty() || act_key.len() > MAX_ACT_KEY_BYTES {
            return Err(MailError::TooLarge { what: "the key of an act", limit: MAX_ACT_KEY_BYTES as u64 });
        }
        Ok(Self(*blake3::hash(act_key).as_bytes()))
    }

    /// As it is kept and shown.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From [`Self::as_bytes`].
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// An email with what finds its conversation, read before the commit.
struct Then {
    record: EmailRecord,
    parsed: Arc<Parsed>,
    /// Its bytes are there.
    whole: bool,
}

/// How many messages one commit brings back: fewer where what was parsed of them is long, so that the commit stays far
/// below what the log takes.
fn rows_at_once(emails: &BTreeMap<EmailId, Then>) -> usize {
    /// Bytes of what was parsed that one commit may write again.
    const MAX_BYTES: usize = 8 << 20;
    let longest =
        emails.values().map(|then| then.record.parsed.len() + then.record.prefix.len()).max().unwrap_or_default();
    (MAX_BYTES / longest.max(1)).clamp(1, MAX_ROWS_PER_COMMIT)
}

impl MailStore {
    /// What is known of a rewind, for [`ACT_DAYS`].
    pub fn rewind_record(&self, account: RealmId, id: RewindId) -> Result<Option<RewindRecord>> {
        schema::load(&self.store().snapshot(), account, &key::rewind(&id.0))
    }

    /// The rewinds that are known, newest first.
    pub fn rewinds(&self, account: RealmId) -> Result<Vec<(RewindId, RewindRecord)>> {
        let mut all = Vec::new();
        for (at, value) in schema::rows(&self.store().snapshot(), account, &[key::REWIND], usize::MAX)? {
            let id = at[1..]
                .try_into()
                .map_err(|_| MailError::damaged(store::Cause::Decoding, format!("the key {at:02x?}")))?;
            all.push((RewindId(id), schema::decode::<RewindRecord>(&at, value)?));
        }
        all.sort_by_key(|(id, record)| (std::cmp::Reverse(record.at_ms), *id));
        Ok(all)
    }

    /// Do what `plan` says, under `id`; `what` says it to people. Blocks. Goes in commits of [`MAX_ROWS_PER_COMMIT`];
    /// after a crash in between a new plan under the same id does the rest. A rewind that went through or was taken back
    /// is not done again. The caller ends it with [`MailStore::finish_rewind`].
    ///
    /// # Errors
    /// [`MailError::OverQuota`] before anything is changed.
    pub fn rewind(
        &self,
        account: RealmId,
        id: RewindId,
        from: RewindFrom<'_>,
        plan: &RewindPlan,
        (moment_ms, what): (i64, &str),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RewindRecord> {
        self.check_rewind(account, plan)?;
        let (this, made, what) = (self.clone(), plan.made.clone(), what.to_owned());
        let (begun, made) = self
            .store()
            .transact(move |tx| {
                let mut record: RewindRecord = schema::load(tx, account, &key::rewind(&id.0))?
                    .unwrap_or_else(|| RewindRecord { at_ms: tx.now_ms(), moment_ms, what, ..Default::default() });
                let mut ids = BTreeMap::new();
                if !record.done && !record.undone {
                    for made in made {
                        ids.insert(made.then, this.make_again(tx, account, &made, &mut record)?);
                    }
                    schema::save(tx, account, key::rewind(&id.0), &record);
                }
                Ok::<_, MailError>((record, ids))
            })
            .wait()?;
        if begun.done || begun.undone {
            return Ok(begun);
        }
        let mut record = begun;
        let total = plan.steps.len() as u64;
        for (number, steps) in plan.steps.chunks(MAX_ROWS_PER_COMMIT).enumerate() {
            let (emails, brought) = self.emails_then(account, from, steps)?;
            let emails = Arc::new(emails);
            for steps in steps.chunks(rows_at_once(&emails)) {
                let mut work = Vec::with_capacity(steps.len());
                for step in steps {
                    let to = match step.to {
                        Target::Now(id) => Some(id),
                        Target::Made(then) => made.get(&then).copied(),
                    };
                    work.extend(to.map(|to| (to, step.clone())));
                }
                let (this, emails) = (self.clone(), emails.clone());
                record = self.store().transact(move |tx| step_in(&this, tx, account, id, &work, &emails)).wait()?;
                if record.undone {
                    return Ok(record);
                }
            }
            // What was brought stays until the commits that refer to it are there.
            drop(brought);
            progress((number * MAX_ROWS_PER_COMMIT + steps.len()) as u64, total);
        }
        Ok(record)
    }

    /// Note that a rewind went through; `others` says how many records of other parts this commit changed.
    pub fn finish_rewind_in(tx: &mut Tx<'_>, account: RealmId, id: RewindId, others: u32) -> Result<RewindRecord> {
        let at = key::rewind(&id.0);
        let mut record: RewindRecord = schema::load(tx, account, &at)?.unwrap_or_default();
        if record.done || record.undone {
            return Ok(record);
        }
        if others > 0 {
            record.book = others;
            record.book_seq = tx.next_realm_seq(account).0;
            record.book_ms = tx.now_ms();
        }
        record.done = true;
        schema::save(tx, account, at, &record);
        Ok(record)
    }

    /// Note that the other parts of a rewind were taken back, in the commit that does it. Tells whether it is still to be
    /// done.
    pub fn end_parts_in(tx: &mut Tx<'_>, account: RealmId, id: RewindId) -> Result<bool> {
        let at = key::rewind(&id.0);
        let mut record: RewindRecord = schema::load(tx, account, &at)?.unwrap_or_default();
        let due = record.book_seq != 0;
        if due {
            record.book_seq = 0;
            schema::save(tx, account, at, &record);
        }
        Ok(due)
    }

    /// [`MailStore::rewind_record`] as `read` sees it.
    pub fn rewind_record_in<R: Read + ?Sized>(
        read: &R,
        account: RealmId,
        id: RewindId,
    ) -> Result<Option<RewindRecord>> {
        schema::load(read, account, &key::rewind(&id.0))
    }

    /// Take the mail of a rewind back: what it filed goes again, what it moved returns, flags become what they were;
    /// except what was changed since. Blocks. Idempotent; goes on after a crash. `None` if it is not known.
    pub fn undo_rewind(&self, account: RealmId, id: RewindId) -> Result<Option<RewindRecord>> {
        let at = key::rewind(&id.0);
        let begun = self
            .store()
            .transact({
                let at = at.clone();
                move |tx| {
                    let Some(mut record) = schema::load::<RewindRecord, _>(tx, account, &at)? else { return Ok(None) };
                    record.undone = true;
                    schema::save(tx, account, at, &record);
                    Ok::<_, MailError>(Some(record))
                }
            })
            .wait()?;
        let Some(record) = begun else { return Ok(None) };
        loop {
            let this = self.clone();
            let more = self
                .store()
                .transact(move |tx| {
                    let last = tx.prefix(account, &key::rewind_steps(&id.0), Order::Descending)?.next().transpose()?;
                    let Some((at, value)) = last else { return Ok(false) };
                    this.undo_step(tx, account, &schema::decode(&at, value)?)?;
                    tx.delete(account, at.to_vec());
                    Ok::<_, MailError>(true)
                })
                .wait()?;
            if !more {
                break;
            }
        }
        for mailbox in record.made.iter().rev() {
            self.unmake(account, MailboxId(*mailbox))?;
        }
        self.rewind_record(account, id)
    }

    /// Makes a mailbox again, or finds the one that has its name since.
    fn make_again(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        made: &MadeAgain,
        record: &mut RewindRecord,
    ) -> Result<MailboxId> {
        let name = MailboxName::from_stored(made.record.name.clone());
        if let Some(there) = id_at(tx, account, &key::name(name.as_str()))? {
            return Ok(there);
        }
        let role = Role::from_number(made.record.role);
        let role = match role {
            Some(role) if tx.get(account, &key::role(role.number()))?.is_none() => Some(role),
            _ => None,
        };
        let id = self.create_mailbox_in(tx, account, &name, role)?;
        if made.subscribed {
            tx.put(account, key::subscription(name.as_str()), Vec::new());
        }
        self.restore_metadata_in(tx, account, id, &made.metadata)?;
        record.made.push(id.0);
        Ok(id)
    }

    /// Deletes a mailbox that a rewind made, if nothing is in it or below it.
    fn unmake(&self, account: RealmId, mailbox: MailboxId) -> Result<()> {
        self.store()
            .transact(move |tx| {
                let Ok(record) = mailbox_record(tx, account, mailbox) else { return Ok::<_, MailError>(()) };
                let below = key::name(&format!("{}/", record.name));
                let is_free = counters_of(tx, account, mailbox)?.total == 0
                    && schema::rows(tx, account, &below, 1)?.is_empty()
                    && Role::from_number(record.role) != Some(Role::Inbox);
                if is_free {
                    Self::unlink(tx, account, &[mailbox])?;
                }
                Ok(())
            })
            .wait()
    }

    /// The emails that come back, and the bodies that were brought for them.
    fn emails_then(
        &self,
        account: RealmId,
        from: RewindFrom<'_>,
        steps: &[Step],
    ) -> Result<(BTreeMap<EmailId, Then>, Vec<StagedBody>)> {
        let (past, mut emails, mut missing) = (from.past, BTreeMap::new(), BTreeMap::<BodyId, Vec<EmailId>>::new());
        for step in steps.iter().filter(|step| matches!(step.kind, Kind::Add)) {
            let id = EmailId(step.entry.email);
            if let Entry::Vacant(place) = emails.entry(id) {
                let record = email_record(past, account, id)?;
                let parsed = parsed(id, &record)?;
                // One damaged message must not keep all others from coming back.
                let body = body_id(id, &record)?;
                let whole = match self.store().body(&body) {
                    Ok(_) => true,
                    Err(StoreError::BodyMissing { .. } | StoreError::BodyDamaged { .. }) => {
                        missing.entry(body).or_default().push(id);
                        false
                    }
                    Err(error) => return Err(error.into()),
                };
                place.insert(Then { record, parsed, whole });
            }
        }
        let mut brought = Vec::new();
        if let Some(bodies) = from.bodies.filter(|_| !missing.is_empty()) {
            let wanted: Vec<BodyId> = missing.keys().copied().collect();
            brought = bodies.bring(&wanted)?;
            for id in brought.iter().filter_map(|body| missing.get(&body.id())).flatten() {
                if let Some(then) = emails.get_mut(id) {
                    then.whole = true;
                }
            }
        }
        Ok((emails, brought))
    }

    fn undo_step(&self, tx: &mut Tx<'_>, account: RealmId, step: &RewindStep) -> Result<()> {
        for part in &step.parts {
            let mailbox = MailboxId(part.mailbox);
            if tx.get(account, &key::mailbox(mailbox))?.is_none() {
                continue;
            }
            let uids: Vec<Uid> = part.uids.iter().copied().map(Uid).collect();
            let mut there = entry_records(tx, account, mailbox, &uids)?;
            there.retain(|(_, entry)| entry.modseq == step.modseq);
            let had = |uid: Uid| {
                let at = part.uids.iter().position(|one| *one == uid.0)?;
                let keywords = part.keywords.get(at)?.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
                Some((*part.system.get(at)?, keywords))
            };
            if part.stayed {
                for (uid, _) in there {
                    if let Some((system, keywords)) = had(uid) {
                        let change = FlagChange::Replace(flags_of(system, &keywords));
                        self.set_flags_in(tx, account, mailbox, &[uid], &change, None)?;
                    }
                }
                continue;
            }
            if part.from != 0 {
                let from = MailboxId(part.from);
                if tx.get(account, &key::mailbox(from))?.is_none() {
                    continue;
                }
                let entries: Vec<EntryRecord> = there
                    .iter()
                    .map(|(uid, entry)| match had(*uid) {
                        Some((system, keywords)) => EntryRecord { system, keywords, ..entry.clone() },
                        None => entry.clone(),
                    })
                    .collect();
                if !entries.is_empty() {
                    Self::add_entries(tx, account, from, &entries)?;
                }
            }
            Self::remove_entries(tx, account, mailbox, &there)?;
        }
        Ok(())
    }

    /// Forget rewinds past [`ACT_DAYS`].
    pub(crate) async fn forget_rewinds(&self, account: RealmId, now_ms: i64) -> Result<()> {
        for (id, record) in self.rewinds(account)? {
            if record.at_ms >= now_ms - ACT_DAYS * DAY_MS {
                continue;
            }
            loop {
                let more = self
                    .commit(move |_, tx| {
                        let steps = schema::rows(tx, account, &key::rewind_steps(&id.0), MAX_ROWS_PER_COMMIT)?;
                        let more = !steps.is_empty();
                        for (at, _) in steps {
                            tx.delete(account, at.to_vec());
                        }
                        if !more {
                            tx.delete(account, key::rewind(&id.0));
                        }
                        Ok(more)
                    })
                    .await?;
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// One commit of a rewind. What is not as the plan found it is passed over.
fn step_in(
    mail: &MailStore,
    tx: &mut Tx<'_>,
    account: RealmId,
    id: RewindId,
    work: &[(MailboxId, Step)],
    emails: &BTreeMap<EmailId, Then>,
) -> Result<RewindRecord> {
    let at = key::rewind(&id.0);
    let mut record: RewindRecord = schema::load(tx, account, &at)?.unwrap_or_default();
    if record.undone {
        return Ok(record);
    }
    let modseq = ModSeq::from(tx.next_realm_seq(account));
    let mut done = RewindStep { modseq: modseq.0, parts: Vec::new() };
    for chunk in work.chunk_by(|(a, _), (b, _)| a == b) {
        let mailbox = chunk[0].0;
        if tx.get(account, &key::mailbox(mailbox))?.is_none() {
            continue;
        }
        let mut added = RewindPart { mailbox: mailbox.0, ..RewindPart::default() };
        let mut moved: BTreeMap<MailboxId, RewindPart> = BTreeMap::new();
        let mut stayed = RewindPart { mailbox: mailbox.0, stayed: true, ..RewindPart::default() };
        for (_, step) in chunk {
            let email = EmailId(step.entry.email);
            match step.kind {
                Kind::Flags(uid, was) => {
                    let now = schema::load::<EntryRecord, _>(tx, account, &key::entry(mailbox, uid))?;
                    let Some(now) = now.filter(|now| now.modseq == was) else { continue };
                    let change = FlagChange::Replace(flags_of(step.entry.system, &step.entry.keywords));
                    mail.set_flags_in(tx, account, mailbox, &[uid], &change, None)?;
                    push(&mut stayed, uid, &now);
                    record.flagged += 1;
                }
                _ if is_in(tx, account, email, mailbox)? => {}
                Kind::Add => {
                    let Some(then) = emails.get(&email) else { continue };
                    if !then.whole {
                        record.lost += 1;
                        continue;
                    }
                    let thread = thread_for(tx, account, email, then)?;
                    let entry = EntryRecord { thread: thread.0, ..step.entry.clone() };
                    added.uids.extend(MailStore::add_entries(tx, account, mailbox, &[entry])?.iter().map(|uid| uid.0));
                    record.back += 1;
                }
                Kind::Move(from, uid) => {
                    let Some((new, had)) = move_in(tx, account, mailbox, &step.entry, (from, uid))? else { continue };
                    let part = moved.entry(from).or_insert_with(|| RewindPart {
                        mailbox: mailbox.0,
                        from: from.0,
                        ..RewindPart::default()
                    });
                    push(part, new, &had);
                    record.moved += 1;
                }
            }
        }
        done.parts.extend([added, stayed].into_iter().chain(moved.into_values()).filter(|part| !part.uids.is_empty()));
    }
    if !done.parts.is_empty() {
        schema::save(tx, account, key::rewind_step(&id.0, record.steps), &done);
        record.steps += 1;
    }
    schema::save(tx, account, at, &record);
    Ok(record)
}

/// Moves a message back from where it is now: its new UID, and the entry that it had there. `None` if it is no longer there.
fn move_in(
    tx: &mut Tx<'_>,
    account: RealmId,
    to: MailboxId,
    then: &EntryRecord,
    (from, uid): (MailboxId, Uid),
) -> Result<Option<(Uid, EntryRecord)>> {
    let now: Option<EntryRecord> = schema::load(tx, account, &key::entry(from, uid))?;
    let Some(now) = now.filter(|now| now.email == then.email) else { return Ok(None) };
    if tx.get(account, &key::mailbox(from))?.is_none() {
        return Ok(None);
    }
    let entry = EntryRecord { thread: now.thread, ..then.clone() };
    let new = MailStore::add_entries(tx, account, to, &[entry])?[0];
    MailStore::remove_entries(tx, account, from, &[(uid, now.clone())])?;
    Ok(Some((new, now)))
}

fn push(part: &mut RewindPart, uid: Uid, had: &EntryRecord) {
    part.uids.push(uid.0);
    part.system.push(had.system);
    part.keywords.push(had.keywords.join(" "));
}

fn is_in(tx: &Tx<'_>, account: RealmId, email: EmailId, mailbox: MailboxId) -> Result<bool> {
    for (at, _) in schema::rows(tx, account, &key::places(email), usize::MAX)? {
        if key::place_of(&at)?.0 == mailbox {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The conversation of an email that comes back; files the email itself again if it is gone.
fn thread_for(tx: &mut Tx<'_>, account: RealmId, email: EmailId, then: &Then) -> Result<ThreadId> {
    if tx.get(account, &key::email(email))?.is_some() {
        let places = schema::rows(tx, account, &key::places(email), 1)?;
        let (mailbox, uid) = match places.first() {
            Some((at, _)) => key::place_of(at)?,
            None => {
                return Err(MailError::damaged(store::Cause::Reference, format!("message {email} is in no mailbox")));
            }
        };
        let entry: Option<EntryRecord> = schema::load(tx, account, &key::entry(mailbox, uid))?;
        let damaged = || {
            MailError::damaged(
                store::Cause::Reference,
                format!("{uid} of {mailbox} is referred to, but does not exist"),
            )
        };
        return entry.map(|entry| ThreadId(entry.thread)).ok_or_else(damaged);
    }
    let mut state = state_of(tx, account)?;
    state.emails += 1;
    state.used_bytes += then.record.size;
    state.last_email = state.last_email.max(email.0);
    schema::save(tx, account, key::state(), &state);
    tx.put(account, key::email(email), then.record.encode_to_vec());
    tx.ref_body(account, &body_id(email, &then.record)?, &email.0.to_be_bytes());
    // The conversation that it began, when others are still in it.
    let began = ThreadId(email.0);
    if tx.get(account, &key::thread(began))?.is_some() {
        return Ok(began);
    }
    threads::find(tx, account, email, &threads::hashes(&then.parsed))
}
