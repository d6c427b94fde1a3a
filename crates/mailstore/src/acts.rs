//! User actions on messages: done only once, however often they are requested, and undoable.
//!
//! An act has a key. The first commit under the key changes messages and writes an [`ActRecord`] of the changes; the
//! same key again changes nothing and returns the same receipt. [`MailStore::undo`] reads the record and reverts
//! everything that has not been changed since.

use std::collections::HashMap;

use prost::Message;
use store::{Order, Read, RealmId, Tx};

use crate::rows::entry_records;
use crate::schema::{self, DAY_MS, key};
use crate::{
    Appended, FlagChange, Flags, MAX_ROWS_PER_COMMIT, MailError, MailStore, MailboxId, NewMessage, Result, Uid,
};

/// Longest key of an act.
pub const MAX_ACT_KEY_BYTES: usize = 256;
/// Most messages that one act changes.
pub const MAX_ACT_MESSAGES: usize = 20_000;
/// For how many days an act can be undone, and its key is known.
pub const ACT_DAYS: i64 = 14;

/// A change to some messages of one mailbox.
#[derive(Clone, Debug)]
pub struct ActStep {
    /// Where they are.
    pub mailbox: MailboxId,
    /// Which; those that are gone are passed over.
    pub uids: Vec<Uid>,
    /// What becomes of them.
    pub change: ActChange,
}

/// What becomes of messages.
#[derive(Clone, Debug)]
pub enum ActChange {
    /// They go to that mailbox.
    Move(MailboxId),
    /// Their flags change. Taking it back touches those flags only that it changed.
    Flags(FlagChange),
    /// They go to that mailbox, where their flags change.
    MoveWith(MailboxId, FlagChange),
    /// They go to that mailbox, which is that of snoozed messages, and return to INBOX at that time, milliseconds since 1970
    /// UTC.
    Snooze(MailboxId, i64),
    /// They are gone for good.
    Expunge,
}

/// What an act did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActReceipt {
    /// The note that the act was given.
    pub note: String,
    /// How many messages it changed.
    pub changed: u32,
    /// Whether [`MailStore::undo`] can take it back.
    pub undoable: bool,
    /// Whether that was done.
    pub undone: bool,
    /// An earlier call did it.
    pub repeated: bool,
}

/// `32`: an act, and how to take it back.
#[derive(Clone, PartialEq, Message)]
pub struct ActRecord {
    /// When, milliseconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    pub at_ms: i64,
    /// The caller's note, for people.
    #[prost(string, tag = "2")]
    pub note: String,
    /// Messages changed.
    #[prost(uint32, tag = "3")]
    pub changed: u32,
    /// It has been taken back.
    #[prost(bool, tag = "4")]
    pub undone: bool,
    /// What has to be done to take it back.
    #[prost(message, repeated, tag = "5")]
    pub way_back: Vec<WayBack>,
}

/// One step back.
#[derive(Clone, PartialEq, Message)]
pub struct WayBack {
    /// Where the messages are now.
    #[prost(uint32, tag = "1")]
    pub mailbox: u32,
    /// Which.
    #[prost(uint32, repeated, tag = "2")]
    pub uids: Vec<u32>,
    /// Where they have to go; 0 if they stay.
    #[prost(uint32, tag = "3")]
    pub to: u32,
    /// System flags to set again.
    #[prost(uint32, tag = "4")]
    pub add_system: u32,
    /// Keywords to set again.
    #[prost(string, repeated, tag = "5")]
    pub add_keywords: Vec<String>,
    /// System flags to clear again.
    #[prost(uint32, tag = "6")]
    pub remove_system: u32,
    /// Keywords to clear again.
    #[prost(string, repeated, tag = "7")]
    pub remove_keywords: Vec<String>,
}

impl ActRecord {
    fn receipt(&self, repeated: bool) -> ActReceipt {
        ActReceipt {
            note: self.note.clone(),
            changed: self.changed,
            undoable: !self.way_back.is_empty() && !self.undone,
            undone: self.undone,
            repeated,
        }
    }
}

impl MailStore {
    /// Do `steps` under `act_key`. The first [`MAX_ROWS_PER_COMMIT`] messages are one commit together with the record of
    /// the act; further ones follow in commits of that size. After a crash in between the rest is not done, and the
    /// record says so truly.
    ///
    /// # Errors
    /// [`MailError::TooLarge`] for more than [`MAX_ACT_MESSAGES`]; [`MailError::MailboxGone`].
    pub async fn act(&self, account: RealmId, act_key: &[u8], note: &str, steps: Vec<ActStep>) -> Result<ActReceipt> {
        if act_key.is_empty() || act_key.len() > MAX_ACT_KEY_BYTES {
            return Err(MailError::TooLarge { what: "the key of an act", limit: MAX_ACT_KEY_BYTES as u64 });
        }
        if steps.iter().map(|step| step.uids.len()).sum::<usize>() > MAX_ACT_MESSAGES {
            return Err(MailError::TooLarge {
                what: "the number of messages of one act",
                limit: MAX_ACT_MESSAGES as u64,
            });
        }
        let at = key::act(blake3::hash(act_key).as_bytes());
        let mut commits = in_commits(steps).into_iter();
        let first = commits.next().unwrap_or_default();
        let (record_at, note) = (at.clone(), note.to_owned());
        let mut receipt = self
            .commit(move |this, tx| {
                if let Some(record) = schema::load::<ActRecord, _>(tx, account, &record_at)? {
                    return Ok(record.receipt(true));
                }
                let mut record = ActRecord { at_ms: tx.now_ms(), note, ..ActRecord::default() };
                this.act_in(tx, account, &first, &mut record)?;
                schema::save(tx, account, record_at, &record);
                Ok(record.receipt(false))
            })
            .await?;
        if receipt.repeated {
            return Ok(receipt);
        }
        for steps in commits {
            let record_at = at.clone();
            receipt = self
                .commit(move |this, tx| {
                    let mut record = schema::load::<ActRecord, _>(tx, account, &record_at)?.unwrap_or_default();
                    // Undone while it was still going on: what is left stays as it is.
                    if !record.undone {
                        this.act_in(tx, account, &steps, &mut record)?;
                        schema::save(tx, account, record_at, &record);
                    }
                    Ok(record.receipt(false))
                })
                .await?;
        }
        Ok(receipt)
    }

    /// What the act under that key did, if there was one within [`ACT_DAYS`].
    pub fn act_receipt(&self, account: RealmId, act_key: &[u8]) -> Result<Option<ActReceipt>> {
        let at = key::act(blake3::hash(act_key).as_bytes());
        let record = schema::load::<ActRecord, _>(&self.store().snapshot(), account, &at)?;
        Ok(record.map(|record| record.receipt(true)))
    }

    /// Take an act back: moved messages return to where they were, changed flags become what they were. Messages that
    /// have gone elsewhere since, and mailboxes deleted since, are passed over. Idempotent. `None` if no act is known
    /// under the key.
    pub async fn undo(&self, account: RealmId, act_key: &[u8]) -> Result<Option<ActReceipt>> {
        let at = key::act(blake3::hash(act_key).as_bytes());
        loop {
            let record_at = at.clone();
            // One step back and what is left of the way are one commit: a crash in between leaves the rest to do.
            let more = self
                .commit(move |this, tx| {
                    let Some(mut record) = schema::load::<ActRecord, _>(tx, account, &record_at)? else {
                        return Ok(None);
                    };
                    let back = record.way_back.pop();
                    if let Some(back) = &back {
                        this.step_back(tx, account, back)?;
                    }
                    record.undone |= back.is_some();
                    let more = !record.way_back.is_empty();
                    schema::save(tx, account, record_at, &record);
                    Ok(Some(more))
                })
                .await?;
            match more {
                None => return Ok(None),
                Some(true) => {}
                Some(false) => break,
            }
        }
        self.act_receipt(account, act_key)
    }

    fn act_in(&self, tx: &mut Tx<'_>, account: RealmId, steps: &[ActStep], record: &mut ActRecord) -> Result<()> {
        for step in steps {
            let done = match &step.change {
                ActChange::Move(to) if *to == step.mailbox => continue,
                ActChange::Move(to) => {
                    let moved = self.move_in(tx, account, step.mailbox, &step.uids, *to)?;
                    let uids: Vec<u32> = moved.uids.iter().map(|(_, new)| new.0).collect();
                    record.changed += uids.len() as u32;
                    WayBack { mailbox: to.0, uids, to: step.mailbox.0, ..WayBack::default() }
                }
                ActChange::Snooze(to, until_ms) => {
                    let there = (*to, *until_ms);
                    let uids = self.snooze_in(tx, account, (step.mailbox, &step.uids), there)?;
                    record.changed += uids.len() as u32;
                    if *to == step.mailbox {
                        continue;
                    }
                    let uids = uids.into_iter().map(|uid| uid.0).collect();
                    WayBack { mailbox: to.0, uids, to: step.mailbox.0, ..WayBack::default() }
                }
                ActChange::Flags(change) => {
                    record.way_back.extend(self.reflag(tx, account, step, change, &mut record.changed)?);
                    continue;
                }
                ActChange::MoveWith(to, change) => {
                    let uids = if *to == step.mailbox {
                        step.uids.clone()
                    } else {
                        let moved = self.move_in(tx, account, step.mailbox, &step.uids, *to)?;
                        moved.uids.iter().map(|(_, new)| *new).collect()
                    };
                    let back: Vec<u32> = uids.iter().map(|uid| uid.0).collect();
                    let mut changed = 0;
                    // Taken back, the flags come first: they are those of the messages where these are now.
                    if *to != step.mailbox && !back.is_empty() {
                        record.changed += back.len() as u32;
                        let (mailbox, to) = (to.0, step.mailbox.0);
                        record.way_back.push(WayBack { mailbox, uids: back, to, ..WayBack::default() });
                    }
                    let there = ActStep { mailbox: *to, uids, change: ActChange::Flags(change.clone()) };
                    record.way_back.extend(self.reflag(tx, account, &there, change, &mut changed)?);
                    if *to == step.mailbox {
                        record.changed += changed;
                    }
                    continue;
                }
                ActChange::Expunge => {
                    record.changed += self.expunge_in(tx, account, step.mailbox, &step.uids)?.len() as u32;
                    continue;
                }
            };
            if !done.uids.is_empty() {
                record.way_back.push(done);
            }
        }
        Ok(())
    }

    /// Change flags, and give the ways back: one for all messages in which the same flags changed.
    fn reflag(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        step: &ActStep,
        change: &FlagChange,
        changed: &mut u32,
    ) -> Result<Vec<WayBack>> {
        let before: HashMap<Uid, Flags> = entry_records(tx, account, step.mailbox, &step.uids)?
            .into_iter()
            .map(|(uid, entry)| (uid, entry.flags()))
            .collect();
        let after = self.set_flags_in(tx, account, step.mailbox, &step.uids, change, None)?;
        let mut ways: HashMap<(Flags, Flags), Vec<u32>> = HashMap::new();
        for (uid, after, _) in after.changed {
            let Some(before) = before.get(&uid).filter(|before| **before != after) else { continue };
            let lost = before.changed(&FlagChange::Remove(after.clone()))?;
            let gained = after.changed(&FlagChange::Remove(before.clone()))?;
            ways.entry((lost, gained)).or_default().push(uid.0);
            *changed += 1;
        }
        let way = |((lost, gained), uids): ((Flags, Flags), Vec<u32>)| WayBack {
            mailbox: step.mailbox.0,
            uids,
            to: 0,
            add_system: lost.system_bits(),
            add_keywords: lost.keyword_names(),
            remove_system: gained.system_bits(),
            remove_keywords: gained.keyword_names(),
        };
        Ok(ways.into_iter().map(way).collect())
    }

    fn step_back(&self, tx: &mut Tx<'_>, account: RealmId, back: &WayBack) -> Result<()> {
        let mailbox = MailboxId(back.mailbox);
        let uids: Vec<Uid> = back.uids.iter().copied().map(Uid).collect();
        let there = |tx: &Tx<'_>, id| Ok::<_, MailError>(tx.get(account, &key::mailbox(id))?.is_some());
        if !there(tx, mailbox)? {
            return Ok(());
        }
        if back.to != 0 {
            let to = MailboxId(back.to);
            if there(tx, to)? {
                self.move_in(tx, account, mailbox, &uids, to)?;
            }
            return Ok(());
        }
        for (system, keywords, add) in
            [(back.remove_system, &back.remove_keywords, false), (back.add_system, &back.add_keywords, true)]
        {
            let flags = Flags::from_parts(system, keywords);
            if !flags.is_empty() {
                let change = if add { FlagChange::Add(flags) } else { FlagChange::Remove(flags) };
                self.set_flags_in(tx, account, mailbox, &uids, &change, None)?;
            }
        }
        Ok(())
    }

    /// File `message` in `mailbox` and remove what it takes the place of, in one commit: saving a draft again. If the
    /// message's delivery key was seen before, nothing is done.
    pub async fn replace(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        old: Option<(MailboxId, Uid)>,
        message: NewMessage,
    ) -> Result<Appended> {
        self.commit(move |this, tx| {
            let appended = this.append_in(tx, account, mailbox, &message)?;
            if let Some((mailbox, uid)) = old.filter(|_| !appended.duplicate) {
                this.expunge_in(tx, account, mailbox, &[uid])?;
            }
            Ok(appended)
        })
        .await
    }

    /// Forget acts past [`ACT_DAYS`].
    pub(crate) async fn forget_acts(&self, account: RealmId, now_ms: i64) -> Result<()> {
        let snapshot = self.store().snapshot();
        let mut over = Vec::new();
        for row in snapshot.prefix(account, &[key::ACT], Order::Ascending)? {
            let (at, value) = row?;
            if schema::decode::<ActRecord>(&at, value)?.at_ms < now_ms - ACT_DAYS * DAY_MS {
                over.push(at.to_vec());
            }
        }
        drop(snapshot);
        self.forget_rows(account, &over).await
    }
}

/// Split steps so that each group changes at most [`MAX_ROWS_PER_COMMIT`] messages.
fn in_commits(steps: Vec<ActStep>) -> Vec<Vec<ActStep>> {
    let mut commits: Vec<Vec<ActStep>> = Vec::new();
    let mut room = 0;
    for step in steps {
        let mut uids = step.uids.as_slice();
        while !uids.is_empty() {
            if room == 0 {
                commits.push(Vec::new());
                room = MAX_ROWS_PER_COMMIT;
            }
            let (now, later) = uids.split_at(uids.len().min(room));
            room -= now.len();
            uids = later;
            let part = ActStep { uids: now.to_vec(), change: step.change.clone(), mailbox: step.mailbox };
            commits.last_mut().expect("pushed above").push(part);
        }
    }
    commits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_commit_changes_more_than_it_may() {
        let step = |n: u32| ActStep {
            mailbox: MailboxId(1),
            uids: (1..=n).map(Uid).collect(),
            change: ActChange::Flags(FlagChange::Add(Flags::NONE)),
        };
        let commits = in_commits(vec![step(300), step(0), step(900)]);
        let sizes: Vec<usize> = commits.iter().map(|steps| steps.iter().map(|s| s.uids.len()).sum()).collect();
        assert_eq!(sizes, [500, 500, 200]);
        assert!(in_commits(vec![]).is_empty());
    }
}
