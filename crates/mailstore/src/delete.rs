//! Deleting mailboxes: hidden at once, purged in steps. Also purges everything older than the retention time.

use std::ops::Bound;

use store::{Order, Read, RealmId, Tx};

use crate::mailbox::{counters_of, mailbox_record, state_of};
use crate::schema::{
    self, DAY_MS, DeliveryRecord, EntryRecord, MAX_VANISHED_RECORDS, State, VANISHED_DAYS, VanishedRecord, key,
};
use crate::{
    MAX_MAILBOXES, MAX_ROWS_PER_COMMIT, MailError, MailStore, MailboxId, MailboxName, Result, Role, counter::stepped,
};

/// What deleting a mailbox does to those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// They stay, as IMAP wants it (RFC 9051 §6.3.5); the name then is only a level of theirs.
    Keep,
    /// They are deleted too.
    Delete,
}

/// Steps of clearing away that a delete waits for.
const STEPS_AT_ONCE: usize = 8;

impl MailStore {
    /// Delete a mailbox with its messages. It is gone for all at the first commit; its messages are then cleared
    /// away in steps, those of a large one in the background, and after a crash by [`Self::maintain`]. Subscriptions
    /// stay (RFC 9051 §6.3.7).
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`]; [`MailError::Forbidden`] for INBOX.
    pub async fn delete_mailbox(&self, account: RealmId, name: MailboxName, children: Children) -> Result<()> {
        let gone = self.commit(move |this, tx| this.unlink_mailboxes(tx, account, &name, children)).await?;
        let mut left = Vec::new();
        let mut steps = 0;
        for mailbox in gone {
            while steps < STEPS_AT_ONCE {
                steps += 1;
                if self.commit(move |_, tx| Self::clear_step(tx, account, mailbox)).await? {
                    break;
                }
            }
            left.push(mailbox);
        }
        if steps == STEPS_AT_ONCE {
            let this = self.clone();
            tokio::spawn(async move {
                for mailbox in left {
                    if let Err(error) = this.clear_mailbox(account, mailbox).await {
                        tracing::warn!(%account, %mailbox, %error, "could not purge a deleted mailbox yet");
                    }
                }
            });
        }
        Ok(())
    }

    fn unlink_mailboxes(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        name: &MailboxName,
        children: Children,
    ) -> Result<Vec<MailboxId>> {
        if name.is_inbox() {
            return Err(MailError::Forbidden("INBOX can't be deleted"));
        }
        let mut doomed: Vec<MailboxId> = self.mailbox_by_name_in(tx, account, name)?.iter().map(|m| m.id).collect();
        if children == Children::Delete {
            let below = key::name(&format!("{name}/"));
            for (at, value) in schema::rows(tx, account, &below, MAX_MAILBOXES)? {
                doomed.push(MailboxId(u32::from_be_bytes(schema::number(&at, &value)?)));
            }
        }
        if doomed.is_empty() {
            return Err(MailError::NoSuchMailbox(name.to_string()));
        }
        Self::unlink(tx, account, &doomed)?;
        Ok(doomed)
    }

    /// Take mailboxes away, and note that what they held is to be cleared away.
    pub(crate) fn unlink(tx: &mut Tx<'_>, account: RealmId, doomed: &[MailboxId]) -> Result<()> {
        let mut state = state_of(tx, account)?;
        for &mailbox in doomed {
            let record = mailbox_record(tx, account, mailbox)?;
            tx.delete(account, key::mailbox(mailbox));
            tx.delete(account, key::counters(mailbox));
            tx.delete(account, key::name(&record.name));
            if let Some(role) = Role::from_number(record.role) {
                tx.delete(account, key::role(role.number()));
            }
            Self::drop_metadata(tx, account, &mut state, mailbox)?;
            tx.put(account, key::deleted(mailbox), Vec::new());
            state.mailboxes = stepped("mailboxes", state.mailboxes, -1);
        }
        schema::save(tx, account, key::state(), &state);
        Ok(())
    }

    /// Delete all mail of an account, INBOX included, and what it remembers of people and deliveries: for when the
    /// account is deleted. Goes in steps; call it again if it was interrupted.
    pub async fn purge(&self, account: RealmId) -> Result<()> {
        let gone = self
            .commit(move |this, tx| {
                tx.clears(account);
                let all: Vec<MailboxId> = this.mailboxes_in(tx, account)?.iter().map(|mailbox| mailbox.id).collect();
                Self::unlink(tx, account, &all)?;
                Ok(all)
            })
            .await?;
        for mailbox in gone {
            self.clear_mailbox(account, mailbox).await?;
        }
        self.maintain(account).await?;
        for kind in [
            key::SUBSCRIPTION,
            key::METADATA,
            key::DELIVERY,
            key::CORRESPONDENT,
            key::ACT,
            key::REWIND,
            key::REWIND_STEP,
        ] {
            while !self.commit(move |_, tx| Self::clear_rows(tx, account, &[kind])).await? {}
        }
        self.commit(move |_, tx| {
            tx.clears(account);
            let state = State { correspondents: 0, metadata_entries: 0, metadata_bytes: 0, ..state_of(tx, account)? };
            schema::save(tx, account, key::state(), &state);
            Ok(())
        })
        .await
    }

    /// Clear away what a deleted mailbox held.
    async fn clear_mailbox(&self, account: RealmId, mailbox: MailboxId) -> Result<()> {
        while !self.commit(move |_, tx| Self::clear_step(tx, account, mailbox)).await? {}
        Ok(())
    }

    /// One step of clearing; tells whether it was the last.
    fn clear_step(tx: &mut Tx<'_>, account: RealmId, mailbox: MailboxId) -> Result<bool> {
        tx.clears(account);
        let mut entries: Vec<(_, EntryRecord)> = Vec::new();
        for (at, value) in schema::rows(tx, account, &key::entries(mailbox), MAX_ROWS_PER_COMMIT)? {
            entries.push((key::entry_uid(&at)?, schema::decode(&at, value)?));
        }
        if !entries.is_empty() {
            Self::erase_entries(tx, account, mailbox, &entries)?;
            return Ok(false);
        }
        let last = Self::clear_rows(tx, account, &key::vanisheds(mailbox))?;
        if last {
            tx.delete(account, key::deleted(mailbox));
        }
        Ok(last)
    }

    /// Delete rows with that prefix, as many as one commit may; tells whether those were all.
    fn clear_rows(tx: &mut Tx<'_>, account: RealmId, prefix: &[u8]) -> Result<bool> {
        let rows = schema::rows(tx, account, prefix, MAX_ROWS_PER_COMMIT)?;
        let last = rows.len() < MAX_ROWS_PER_COMMIT;
        for (at, _) in rows {
            tx.delete(account, at.to_vec());
        }
        Ok(last)
    }

    /// [`Self::maintain`] for every account, one after the other. What fails for one is logged and tried again the next
    /// time; the others go on.
    pub async fn maintain_all(&self) {
        for account in self.store().realms().into_iter().filter(|realm| realm.account_number().is_some()) {
            if let Err(error) = self.maintain(account).await {
                tracing::warn!(%account, %error, "could not purge old history");
            }
        }
    }

    /// Clear away what is no longer needed: messages of deleted mailboxes, expunge history and delivery keys past
    /// their time. Goes in small steps; call it once a day, and after a start.
    pub async fn maintain(&self, account: RealmId) -> Result<()> {
        let snapshot = self.store().snapshot();
        for (at, _) in schema::rows(&snapshot, account, &[key::DELETED], usize::MAX)? {
            self.clear_mailbox(account, key::mailbox_of(&at)?).await?;
        }
        let now_ms = self.store().clock().now_ms();
        for (at, _) in schema::rows(&snapshot, account, &[key::MAILBOX], MAX_MAILBOXES)? {
            self.forget_vanished(account, key::mailbox_of(&at)?, now_ms - VANISHED_DAYS * DAY_MS).await?;
        }
        self.forget_acts(account, now_ms).await?;
        self.forget_rewinds(account, now_ms).await?;
        self.forget_deliveries(account, now_ms).await
    }

    /// Forget expunges before `before_ms` and those that are too many, oldest first.
    async fn forget_vanished(&self, account: RealmId, mailbox: MailboxId, before_ms: i64) -> Result<()> {
        let snapshot = self.store().snapshot();
        let mut old = Vec::new();
        let mut count = 0;
        for row in snapshot.prefix(account, &key::vanisheds(mailbox), Order::Descending)? {
            let (at, value) = row?;
            count += 1;
            if count > MAX_VANISHED_RECORDS || schema::decode::<VanishedRecord>(&at, value)?.at_ms < before_ms {
                old.push((at.to_vec(), key::vanished_modseq(&at)?));
            }
        }
        drop(snapshot);
        // Oldest first, so that the floor is true after each step.
        old.reverse();
        for step in old.chunks(MAX_ROWS_PER_COMMIT) {
            let step = step.to_vec();
            let forgotten = self
                .commit(move |_, tx| {
                    tx.clears(account);
                    let mut counters = counters_of(tx, account, mailbox)?;
                    for (at, modseq) in step {
                        tx.delete(account, at);
                        counters.vanished_floor = counters.vanished_floor.max(modseq.0);
                    }
                    schema::save(tx, account, key::counters(mailbox), &counters);
                    Ok(())
                })
                .await;
            match forgotten {
                Err(MailError::MailboxGone(_)) => return Ok(()),
                other => other?,
            }
        }
        Ok(())
    }

    /// Forget delivery keys whose time is over.
    async fn forget_deliveries(&self, account: RealmId, now_ms: i64) -> Result<()> {
        /// Rows looked at between pauses for others.
        const LOOK: usize = 10_000;
        let end = key::after(vec![key::DELIVERY]);
        let mut from = Bound::Included(vec![key::DELIVERY]);
        loop {
            let snapshot = self.store().snapshot();
            let range = (from.clone(), Bound::Excluded(end.clone()));
            let mut over = Vec::new();
            let mut seen = 0;
            for row in snapshot.range(account, range, Order::Ascending)?.take(LOOK) {
                let (at, value) = row?;
                seen += 1;
                from = Bound::Excluded(at.to_vec());
                if schema::decode::<DeliveryRecord>(&at, value)?.keep_until_ms < now_ms {
                    over.push(at.to_vec());
                }
            }
            drop(snapshot);
            self.forget_rows(account, &over).await?;
            if seen < LOOK {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Delete rows that nothing counts, in steps.
    pub(crate) async fn forget_rows(&self, account: RealmId, keys: &[Vec<u8>]) -> Result<()> {
        for step in keys.chunks(MAX_ROWS_PER_COMMIT) {
            let step = step.to_vec();
            self.commit(move |_, tx| {
                for at in step {
                    tx.delete(account, at);
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}
