//! Changing existing messages: flags, copies, moves, expunge.

use store::{RealmId, StoreError, Tx};

use crate::mailbox::{counters_of, mailbox_record, state_of};
use crate::rows::{body_id, email_record, entry_records};
use crate::schema::{self, EntryRecord, VanishedRecord, key};
use crate::{
    EmailId, FlagChange, Flags, MAX_ROWS_PER_COMMIT, MailError, MailStore, MailboxId, ModSeq, Result, SystemFlag, Uid,
    UidSet,
    counter::{less, stepped},
    threads,
};

/// What STORE did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagsChanged {
    /// Messages with their flags after the operation. Those whose flags were so already have kept their MODSEQ.
    pub changed: Vec<(Uid, Flags, ModSeq)>,
    /// Messages left alone because they had changed after `unchanged_since` (RFC 7162 MODIFIED).
    pub modified: Vec<Uid>,
}

/// What COPY or MOVE did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target mailbox.
    pub uid_validity: u32,
    /// Old and new UIDs, ascending. Messages that were gone already are left out.
    pub uids: Vec<(Uid, Uid)>,
    /// MODSEQ of the (last) commit.
    pub modseq: ModSeq,
}

impl MailStore {
    /// Change flags of at most [`MAX_ROWS_PER_COMMIT`] messages. UIDs that are not there are passed over.
    pub fn set_flags_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        mailbox: MailboxId,
        uids: &[Uid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<FlagsChanged> {
        bounded(uids)?;
        let mut counters = counters_of(tx, account, mailbox)?;
        let modseq = ModSeq::from(tx.next_realm_seq(account));
        let mut result = FlagsChanged::default();
        let mut written = false;
        for (uid, old) in entry_records(tx, account, mailbox, uids)? {
            if unchanged_since.is_some_and(|since| old.modseq > since.0) {
                result.modified.push(uid);
                continue;
            }
            let flags = old.flags();
            let wanted = flags.changed(change)?;
            if wanted == flags {
                result.changed.push((uid, flags, ModSeq(old.modseq)));
                continue;
            }
            let new = EntryRecord {
                modseq: modseq.0,
                system: wanted.system_bits(),
                keywords: wanted.keyword_names(),
                ..old.clone()
            };
            schema::save(tx, account, key::entry(mailbox, uid), &new);
            tx.delete(account, key::by_modseq(mailbox, ModSeq(old.modseq), uid));
            tx.put(account, key::by_modseq(mailbox, modseq, uid), Vec::new());
            counters.count(&old, -1);
            counters.count(&new, 1);
            threads::reflag(tx, account, mailbox, &old, &new)?;
            result.changed.push((uid, wanted, modseq));
            written = true;
        }
        if written {
            counters.highest_modseq = modseq.0;
            schema::save(tx, account, key::counters(mailbox), &counters);
        }
        Ok(result)
    }

    /// Adds flags to a message in every mailbox where it is filed, and returns the entries that lacked one of them. An entry
    /// that can't take another keyword, and places beyond the first [`MAX_ROWS_PER_COMMIT`], stay as they are.
    pub fn mark_everywhere_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        email: EmailId,
        flags: &Flags,
    ) -> Result<Vec<(MailboxId, Uid)>> {
        let change = FlagChange::Add(flags.clone());
        let mut marked = Vec::new();
        for (row, _) in schema::rows(tx, account, &key::places(email), MAX_ROWS_PER_COMMIT)? {
            let (mailbox, uid) = key::place_of(&row)?;
            for (_, entry) in entry_records(tx, account, mailbox, &[uid])? {
                let before = entry.flags();
                match before.changed(&change) {
                    Ok(after) if after != before => {}
                    Ok(_) | Err(MailError::BadKeyword(_)) => continue,
                    Err(error) => return Err(error),
                }
                self.set_flags_in(tx, account, mailbox, &[uid], &change, None)?;
                marked.push((mailbox, uid));
            }
        }
        Ok(marked)
    }

    /// Change flags, in steps of [`MAX_ROWS_PER_COMMIT`].
    pub async fn set_flags(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        uids: &[Uid],
        change: FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<FlagsChanged> {
        let mut sum = FlagsChanged::default();
        for step in steps(uids) {
            let change = change.clone();
            let done = self
                .commit(move |this, tx| this.set_flags_in(tx, account, mailbox, &step, &change, unchanged_since))
                .await?;
            sum.changed.extend(done.changed);
            sum.modified.extend(done.modified);
        }
        self.if_nothing(uids, account).await?;
        Ok(sum)
    }

    /// Copy at most [`MAX_ROWS_PER_COMMIT`] messages; copies share the body, keep flags and internal date, and cost no
    /// quota. UIDs that are not there are passed over. Copying within one mailbox is permitted.
    pub fn copy_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
    ) -> Result<Copied> {
        bounded(uids)?;
        counters_of(tx, account, from)?;
        let entries = entry_records(tx, account, from, uids)?;
        Self::copy_entries(tx, account, &entries, to)
    }

    fn copy_entries(
        tx: &mut Tx<'_>,
        account: RealmId,
        entries: &[(Uid, EntryRecord)],
        to: MailboxId,
    ) -> Result<Copied> {
        let uid_validity = mailbox_record(tx, account, to)?.uid_validity;
        let modseq = ModSeq::from(tx.next_realm_seq(account));
        let (old, copies): (Vec<Uid>, Vec<EntryRecord>) = entries.iter().cloned().unzip();
        let new = if copies.is_empty() { Vec::new() } else { Self::add_entries(tx, account, to, &copies)? };
        Ok(Copied { uid_validity, uids: old.into_iter().zip(new).collect(), modseq })
    }

    /// Copy messages. One commit if they are no more than [`MAX_ROWS_PER_COMMIT`], else in steps of that size, and what
    /// was copied is removed again if a step fails (RFC 9051 §6.4.7), unless the machine stops in between.
    pub async fn copy(&self, account: RealmId, from: MailboxId, uids: &[Uid], to: MailboxId) -> Result<Copied> {
        let mut sum: Option<Copied> = None;
        for step in steps(uids) {
            let done = self.commit(move |this, tx| this.copy_in(tx, account, from, &step, to)).await;
            match (done, &mut sum) {
                (Ok(done), Some(sum)) => sum.extend(done),
                (Ok(done), None) => sum = Some(done),
                (Err(error), Some(sum)) => {
                    let copies: Vec<Uid> = sum.uids.iter().map(|(_, copy)| *copy).collect();
                    if let Err(undo) = self.expunge(account, to, &copies).await {
                        tracing::warn!(%account, mailbox = %to, %undo, "could not undo a failed copy");
                    }
                    return Err(error);
                }
                (Err(error), None) => return Err(error),
            }
        }
        self.or_nothing(sum, account, from, to).await
    }

    /// Move at most [`MAX_ROWS_PER_COMMIT`] messages: each is in exactly one of the two mailboxes at any moment.
    pub fn move_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
    ) -> Result<Copied> {
        bounded(uids)?;
        counters_of(tx, account, from)?;
        let entries = entry_records(tx, account, from, uids)?;
        let copied = Self::copy_entries(tx, account, &entries, to)?;
        Self::remove_entries(tx, account, from, &entries)?;
        Ok(copied)
    }

    /// Move messages, in steps of [`MAX_ROWS_PER_COMMIT`]. If it fails, each message is in either mailbox, whole.
    pub async fn move_(&self, account: RealmId, from: MailboxId, uids: &[Uid], to: MailboxId) -> Result<Copied> {
        let mut sum: Option<Copied> = None;
        for step in steps(uids) {
            let done = self.commit(move |this, tx| this.move_in(tx, account, from, &step, to)).await?;
            match &mut sum {
                Some(sum) => sum.extend(done),
                None => sum = Some(done),
            }
        }
        self.or_nothing(sum, account, from, to).await
    }

    async fn or_nothing(
        &self,
        sum: Option<Copied>,
        account: RealmId,
        from: MailboxId,
        to: MailboxId,
    ) -> Result<Copied> {
        if let Some(sum) = sum {
            return Ok(sum);
        }
        let snapshot = self.store().snapshot();
        let modseq = ModSeq(counters_of(&snapshot, account, from)?.highest_modseq);
        let uid_validity = mailbox_record(&snapshot, account, to)?.uid_validity;
        drop(snapshot);
        self.if_nothing(&[], account).await?;
        Ok(Copied { uid_validity, uids: Vec::new(), modseq })
    }

    /// Set `\Seen` because messages are read: what is read is given whether that can be written now or not. It waits for
    /// no other machine, and where the disk is full nothing is marked.
    ///
    /// # Errors
    /// As [`Self::set_flags`], but for [`StoreError::Full`].
    pub async fn mark_seen(&self, account: RealmId, mailbox: MailboxId, uids: &[Uid]) -> Result<FlagsChanged> {
        let mut sum = FlagsChanged::default();
        for step in steps(uids) {
            let this = self.clone();
            let seen = FlagChange::Add(Flags::of(&[SystemFlag::Seen]));
            let write = move |tx: &mut Tx<'_>| this.set_flags_in(tx, account, mailbox, &step, &seen, None);
            match self.store().transact_here(write).await {
                Ok(done) => sum.changed.extend(done.changed),
                Err(MailError::Store(StoreError::Full)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sum)
    }

    /// That there is nothing to do was read, and not asked of the writer: it is said once that is acknowledged.
    async fn if_nothing(&self, uids: &[Uid], account: RealmId) -> Result<()> {
        if uids.is_empty() {
            self.store().acknowledged_in(account).await?;
        }
        Ok(())
    }

    /// Remove at most [`MAX_ROWS_PER_COMMIT`] messages from a mailbox, whatever their flags. Returns those that were
    /// there. A message whose last copy goes is gone, and its body is released.
    pub fn expunge_in(&self, tx: &mut Tx<'_>, account: RealmId, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<Uid>> {
        bounded(uids)?;
        counters_of(tx, account, mailbox)?;
        let entries = entry_records(tx, account, mailbox, uids)?;
        Self::remove_entries(tx, account, mailbox, &entries)?;
        Ok(entries.into_iter().map(|(uid, _)| uid).collect())
    }

    /// Remove messages, whatever their flags, in steps of [`MAX_ROWS_PER_COMMIT`].
    pub async fn expunge(&self, account: RealmId, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<Uid>> {
        let mut sum = Vec::new();
        for step in steps(uids) {
            sum.extend(self.commit(move |this, tx| this.expunge_in(tx, account, mailbox, &step)).await?);
        }
        self.if_nothing(uids, account).await?;
        Ok(sum)
    }

    /// Remove those messages among `uids` (all, if `None`) that are `\Deleted` at the moment they are removed: EXPUNGE
    /// and UID EXPUNGE. In steps of [`MAX_ROWS_PER_COMMIT`].
    pub async fn expunge_deleted(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        uids: Option<&[Uid]>,
    ) -> Result<Vec<Uid>> {
        let candidates: Vec<Uid> = if let Some(uids) = uids {
            uids.to_vec()
        } else {
            let view = self.view(account, mailbox)?;
            (0..view.len()).filter(|&i| view.flags(i).deleted()).map(|i| view.uids()[i]).collect()
        };
        let mut sum = Vec::new();
        for step in steps(&candidates) {
            let gone = self
                .commit(move |_, tx| {
                    counters_of(tx, account, mailbox)?;
                    let mut entries = entry_records(tx, account, mailbox, &step)?;
                    entries.retain(|(_, entry)| entry.flags().deleted());
                    Self::remove_entries(tx, account, mailbox, &entries)?;
                    Ok(entries.into_iter().map(|(uid, _)| uid).collect::<Vec<_>>())
                })
                .await?;
            sum.extend(gone);
        }
        self.if_nothing(&candidates, account).await?;
        Ok(sum)
    }

    /// Take entries out of a mailbox that lives on: counted, and kept in its history.
    pub(crate) fn remove_entries(
        tx: &mut Tx<'_>,
        account: RealmId,
        mailbox: MailboxId,
        entries: &[(Uid, EntryRecord)],
    ) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let modseq = ModSeq::from(tx.next_realm_seq(account));
        // Read now: a move within one mailbox has just written them.
        let mut counters = counters_of(tx, account, mailbox)?;
        for (_, entry) in entries {
            counters.count(entry, -1);
        }
        counters.highest_modseq = modseq.0;
        schema::save(tx, account, key::counters(mailbox), &counters);
        // Several expunges composed into one commit share one record.
        let at = key::vanished(mailbox, modseq);
        let before = schema::load::<VanishedRecord, _>(tx, account, &at)?.unwrap_or_default().uids();
        let uids: UidSet = entries.iter().map(|(uid, _)| *uid).collect();
        schema::save(tx, account, at, &VanishedRecord::new(&before.union(&uids), tx.now_ms()));
        Self::erase_entries(tx, account, mailbox, entries)
    }

    /// Delete entries with their indexes, and emails that have no other place.
    pub(crate) fn erase_entries(
        tx: &mut Tx<'_>,
        account: RealmId,
        mailbox: MailboxId,
        entries: &[(Uid, EntryRecord)],
    ) -> Result<()> {
        threads::leave(tx, account, mailbox, entries)?;
        let mut state = state_of(tx, account)?;
        for (uid, entry) in entries {
            let email = EmailId(entry.email);
            tx.delete(account, key::entry(mailbox, *uid));
            tx.delete(account, key::by_modseq(mailbox, ModSeq(entry.modseq), *uid));
            tx.delete(account, key::place(email, mailbox, *uid));
            if schema::rows(tx, account, &key::places(email), 1)?.is_empty() {
                let record = email_record(tx, account, email)?;
                tx.unref_body(account, &body_id(email, &record)?, &email.0.to_be_bytes());
                tx.delete(account, key::email(email));
                state.emails = stepped("account messages", state.emails, -1);
                state.used_bytes = less("account bytes", state.used_bytes, record.size);
            }
        }
        schema::save(tx, account, key::state(), &state);
        Ok(())
    }
}

impl Copied {
    fn extend(&mut self, later: Self) {
        self.uids.extend(later.uids);
        self.modseq = later.modseq;
    }
}

/// `uids` in ascending order, each once, in pieces that one commit may change.
fn steps(uids: &[Uid]) -> Vec<Vec<Uid>> {
    let mut sorted = uids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.chunks(MAX_ROWS_PER_COMMIT).map(<[Uid]>::to_vec).collect()
}

fn bounded(uids: &[Uid]) -> Result<()> {
    if uids.len() > MAX_ROWS_PER_COMMIT {
        return Err(MailError::TooLarge {
            what: "the number of messages in one commit",
            limit: MAX_ROWS_PER_COMMIT as u64,
        });
    }
    Ok(())
}
