//! Snoozed messages: they lie in the mailbox with the role [`Role::Snoozed`] and go back to INBOX, unread, at their time.
//!
//! The time is a record of its own under the email's id. It counts only while the message lies in that mailbox: one that is
//! moved elsewhere, by whatever client, is no longer snoozed. On its return a message counts as new: it stands at the top of
//! the list.

pub(crate) mod part;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message as _;
use store::{Order, Read, RealmId, Store, Tx};
use tokio::sync::Notify;

use crate::rows::entry_records;
use crate::schema::{self, EntryRecord, key};
use crate::{
    EmailId, FlagChange, Flags, MAX_ROWS_PER_COMMIT, MailError, MailStore, MailboxId, MailboxName, Result, Role, Uid,
};

/// `A8` email id → [`Snooze`].
pub(crate) const SNOOZE: u8 = 0xA8;
/// Most messages that return in one commit.
const MAX_AT_ONCE: usize = 200;
const _: () = assert!(MAX_AT_ONCE <= MAX_ROWS_PER_COMMIT);
/// Longest time without a look at the clock: it may be set.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long an account in which it failed is left alone.
const AFTER_FAILURE_MS: i64 = 60_000;

/// When a snoozed message returns, and how.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Snooze {
    /// Milliseconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    pub until_ms: i64,
    /// The name of the mailbox that it returns to; INBOX if it is empty or there is none of that name.
    #[prost(string, tag = "2")]
    pub mailbox: String,
    /// Flags that it gets when it returns.
    #[prost(string, repeated, tag = "3")]
    pub add: Vec<String>,
    /// Flags that it loses then, besides `\Seen`.
    #[prost(string, repeated, tag = "4")]
    pub remove: Vec<String>,
}

pub(crate) fn snooze_key(email: EmailId) -> Vec<u8> {
    [&[SNOOZE][..], &email.0.to_be_bytes()].concat()
}

fn email_of(key: &[u8]) -> Option<EmailId> {
    key.get(1..)?.try_into().ok().map(u64::from_be_bytes).map(EmailId)
}

impl MailStore {
    /// The mailbox of snoozed messages, made if there is none.
    ///
    /// # Errors
    /// As [`Self::create_mailbox_in`].
    pub fn snoozed_mailbox_in(&self, tx: &mut Tx<'_>, account: RealmId) -> Result<MailboxId> {
        if let Some(mailbox) = self.mailbox_by_role_in(tx, account, Role::Snoozed)? {
            return Ok(mailbox.id);
        }
        let name = MailboxName::from_stored(Role::Snoozed.standard_name().to_owned());
        tx.put(account, key::subscription(name.as_str()), Vec::new());
        match self.mailbox_by_name_in(tx, account, &name)? {
            Some(mailbox) => {
                self.set_role_in(tx, account, mailbox.id, Some(Role::Snoozed))?;
                Ok(mailbox.id)
            }
            None => self.create_mailbox_in(tx, account, &name, Some(Role::Snoozed)),
        }
    }

    /// [`Self::snoozed_mailbox_in`] as a commit of its own.
    pub async fn snoozed_mailbox(&self, account: RealmId) -> Result<MailboxId> {
        self.commit(move |this, tx| this.snoozed_mailbox_in(tx, account)).await
    }

    /// Notes when a message that lies in the mailbox of snoozed messages returns.
    pub fn note_snoozed_in(&self, tx: &mut Tx<'_>, account: RealmId, email: EmailId, snooze: &Snooze) {
        tx.put(account, snooze_key(email), snooze.encode_to_vec());
    }

    /// When messages return, milliseconds since 1970 UTC, by their ids.
    pub fn snoozed_until(&self, account: RealmId) -> Result<BTreeMap<EmailId, i64>> {
        snoozed(&self.store().snapshot(), account)
    }

    /// Brings back what is due. When the next message is.
    pub async fn wake(&self, account: RealmId, now_ms: i64) -> Result<Option<i64>> {
        loop {
            let all = snoozed(&self.store().snapshot(), account)?;
            let due: Vec<EmailId> = all.iter().filter(|(_, until)| **until <= now_ms).map(|(id, _)| *id).collect();
            if due.is_empty() {
                return Ok(all.values().min().copied());
            }
            let some: Vec<EmailId> = due.into_iter().take(MAX_AT_ONCE).collect();
            self.commit(move |this, tx| this.return_in(tx, account, &some, now_ms)).await?;
        }
    }

    fn return_in(&self, tx: &mut Tx<'_>, account: RealmId, due: &[EmailId], now_ms: i64) -> Result<()> {
        let snoozed = self.mailbox_by_role_in(tx, account, Role::Snoozed)?.map(|mailbox| mailbox.id);
        let mut there: BTreeMap<Uid, Snooze> = BTreeMap::new();
        for &email in due {
            // Its time may have been changed since it was read.
            let record: Option<Snooze> = schema::load(tx, account, &snooze_key(email))?;
            let Some(record) = record.filter(|record| record.until_ms <= now_ms) else { continue };
            tx.delete(account, snooze_key(email));
            for (at, _) in schema::rows(tx, account, &key::places(email), usize::MAX)? {
                let (mailbox, uid) = key::place_of(&at)?;
                if snoozed == Some(mailbox) {
                    there.insert(uid, record.clone());
                }
            }
        }
        let Some(snoozed) = snoozed else { return Ok(()) };
        let uids: Vec<Uid> = there.keys().copied().collect();
        let entries = entry_records(tx, account, snoozed, &uids)?;
        // The newest of each conversation stands in the list as if it came now.
        let newest: BTreeMap<u64, Uid> = entries.iter().map(|(uid, entry)| (entry.thread, *uid)).collect();
        for (uid, entry) in &entries {
            let snooze = there.get(uid).cloned().unwrap_or_default();
            let flags = returned(entry.flags(), &snooze).unwrap_or_else(|_| entry.flags());
            let is_newest = newest.get(&entry.thread) == Some(uid);
            let back = EntryRecord {
                system: flags.system_bits(),
                keywords: flags.keyword_names(),
                internal_date_ms: if is_newest { tx.now_ms() } else { entry.internal_date_ms },
                ..entry.clone()
            };
            let to = self.returns_to(tx, account, &snooze.mailbox)?;
            Self::add_entries(tx, account, to, &[back])?;
        }
        Self::remove_entries(tx, account, snoozed, &entries)
    }

    fn returns_to(&self, tx: &Tx<'_>, account: RealmId, name: &str) -> Result<MailboxId> {
        let named = match MailboxName::new(name) {
            Ok(name) => self.mailbox_by_name_in(tx, account, &name)?,
            Err(_) => None,
        };
        let mailbox = match named.filter(|mailbox| mailbox.role != Some(Role::Snoozed)) {
            Some(mailbox) => Some(mailbox),
            None => self.mailbox_by_role_in(tx, account, Role::Inbox)?,
        };
        mailbox.map(|mailbox| mailbox.id).ok_or_else(|| MailError::NoSuchMailbox("INBOX".to_owned()))
    }

    /// Moves messages to the mailbox of snoozed messages, and notes when they return. The new UIDs.
    pub(crate) fn snooze_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        (from, uids): (MailboxId, &[Uid]),
        (to, until_ms): (MailboxId, i64),
    ) -> Result<Vec<Uid>> {
        for (_, entry) in entry_records(tx, account, from, uids)? {
            let snooze = Snooze { until_ms, ..Snooze::default() };
            self.note_snoozed_in(tx, account, EmailId(entry.email), &snooze);
        }
        if from == to {
            return Ok(uids.to_vec());
        }
        let moved = self.move_in(tx, account, from, uids, to)?;
        Ok(moved.uids.into_iter().map(|(_, new)| new).collect())
    }
}

fn snoozed<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<BTreeMap<EmailId, i64>> {
    let mut all = BTreeMap::new();
    for row in read.prefix(account, &[SNOOZE], Order::Ascending)? {
        let (key, value) = row?;
        if let Some((email, record)) = email_of(&key).zip(Snooze::decode(value).ok()) {
            all.insert(email, record.until_ms);
        }
    }
    Ok(all)
}

/// The flags of a message that returns: it is unread.
fn returned(flags: Flags, snooze: &Snooze) -> Result<Flags> {
    let removed = snooze.remove.iter().map(String::as_str).chain(["\\Seen"]);
    let flags = flags.changed(&FlagChange::Remove(Flags::parse(removed)?))?;
    flags.changed(&FlagChange::Add(Flags::parse(snooze.add.iter().map(String::as_str))?))
}

/// When accounts have messages that return.
#[derive(Default)]
pub struct Snoozes {
    due: Mutex<BTreeMap<RealmId, i64>>,
    wake: Notify,
}

impl Snoozes {
    /// Told of all commits to a store.
    pub fn of(store: &Store) -> Arc<Self> {
        let snoozes = Arc::new(Self::default());
        let told = Arc::clone(&snoozes);
        store.on_commit(Arc::new(move |commit| {
            for part in &commit.realms {
                for op in part.ops.iter().filter(|op| op.key.first() == Some(&SNOOZE)) {
                    let record = op.value.as_ref().and_then(|value| Snooze::decode(&value[..]).ok());
                    if let Some(record) = record.filter(|_| part.realm().account_number().is_some()) {
                        told.note(part.realm(), record.until_ms);
                    }
                }
            }
        }));
        snoozes
    }

    fn note(&self, account: RealmId, until_ms: i64) {
        let mut due = self.due.lock();
        let at = due.entry(account).or_insert(until_ms);
        *at = until_ms.min(*at);
        self.wake.notify_one();
    }

    /// Brings messages back at their time, until it is dropped. First what became due while nothing ran.
    pub async fn run(&self, mail: &MailStore, now_ms: impl Fn() -> i64) {
        for realm in mail.store().realms().into_iter().filter(|realm| realm.account_number().is_some()) {
            self.look(mail, realm, now_ms()).await;
        }
        loop {
            let now = now_ms();
            let next = self.due.lock().iter().min_by_key(|(_, at)| **at).map(|(account, at)| (*account, *at));
            let Some((account, _)) = next.filter(|(_, at)| *at <= now) else {
                let wait = next.map_or(MAX_WAIT, |(_, at)| Duration::from_millis(at.abs_diff(now)).min(MAX_WAIT));
                drop(tokio::time::timeout(wait, self.wake.notified()).await);
                continue;
            };
            self.due.lock().remove(&account);
            self.look(mail, account, now).await;
        }
    }

    async fn look(&self, mail: &MailStore, account: RealmId, now: i64) {
        match mail.wake(account, now).await {
            Ok(Some(at)) => self.note(account, at),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%account, %error, "snoozed messages could not be brought back yet");
                self.note(account, now.saturating_add(AFTER_FAILURE_MS));
            }
        }
    }
}
