//! The commit that accepts a message: it is filed to local recipients and queued for remote ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use directory::{AccountId, Directory, count_mask_in};
use mailstore::MailError;
use store::{RealmId, StagedBody, StoreError, Tx};

use crate::along::Along;
use crate::filing::{LocalCopy, file_local_in};
use crate::forward::{Onwards, send_on_in};
use crate::hint::Hint;
use crate::reply::{Replies, remember_and_reply_in};
use crate::schema::{LOCAL_DESTINATION, LegId, LegRecord, MessageRecord, RecipientRecord, VerdictRecord};
use crate::versions::Versions;
use crate::{Delivery, DeliveryError, QueueId, Refusal, Result, queue};

/// Most accounts that one commit files to; further local recipients are served from the queue.
pub const MAX_FILINGS_PER_COMMIT: usize = 32;

/// Most recipients of one leg: its record must fit the store even if each has a long story to tell.
pub const MAX_RECIPIENTS_PER_LEG: usize = 200;

/// A message with everything decided except what only the commit can show.
pub struct Dispatch {
    pub id: QueueId,
    /// For the queue, without legs.
    pub record: MessageRecord,
    /// The body that `record` names, kept staged until the commit is durable.
    #[expect(dead_code, reason = "it is held, not read")]
    pub queue_body: StagedBody,
    /// For mailboxes here; `None`: local recipients are served from the queue.
    pub filing: Option<LocalCopy>,
    /// What the rules of accounts here made of it.
    pub versions: Versions,
    /// What is sent on in the name of accounts here.
    pub onwards: Onwards,
    /// What the rules of accounts here send.
    pub replies: Replies,
    /// All recipients, in the envelope's order.
    pub recipients: Vec<Routed>,
    /// When the queue's legs are first due.
    pub due_ms: i64,
    /// When a local recipient that can not be filed to now is tried again.
    pub retry_ms: i64,
    /// Refuse the message instead of queueing it, if it can't be filed for anyone and has no remote recipients.
    pub refuse_if_full: bool,
    /// What judges want to have written in the same commit.
    pub along: Vec<Along>,
}

/// A recipient with its destination.
#[derive(Clone)]
pub struct Routed {
    pub destination: Destination,
    pub record: RecipientRecord,
}

/// The location of a recipient.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// Here, and can be filed to at once.
    Account(AccountId),
    /// Local, but served from the queue: it requires a report, or must be looked up again.
    LocalQueue,
    /// At another server.
    Domain(String),
}

/// Why the commit was not made.
#[derive(Debug)]
pub enum CommitError {
    /// One account can not be filed to; without it the others can.
    Account(AccountId, MailError),
    /// Nothing can be done.
    Other(DeliveryError),
}

impl CommitError {
    /// The realm that the commit has to wait for, while the service is being restored.
    pub fn not_restored(&self) -> Option<RealmId> {
        match self {
            Self::Account(_, MailError::Store(StoreError::NotRestored { realm, .. }))
            | Self::Other(
                DeliveryError::Store(StoreError::NotRestored { realm, .. })
                | DeliveryError::Mail(MailError::Store(StoreError::NotRestored { realm, .. })),
            ) => *realm,
            _ => None,
        }
    }
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

impl From<DeliveryError> for CommitError {
    fn from(error: DeliveryError) -> Self {
        Self::Other(error)
    }
}

/// What became of a message for accounts here.
#[derive(Default)]
struct Here {
    /// Whether it is done with for an account.
    filed: BTreeMap<AccountId, bool>,
    /// Those that were deleted since.
    gone: BTreeSet<AccountId>,
    /// Those whose copy was filed, or tried to be.
    handed: BTreeSet<AccountId>,
    hints: Vec<Hint>,
}

/// Counts the message on the masked address that it came to, once. What is not counted here is when the queue files it.
fn count_in(tx: &mut Tx<'_>, account: AccountId, record: &mut RecipientRecord) -> Result<(), StoreError> {
    let verdict = record.verdict.get_or_insert_default();
    if !std::mem::replace(&mut verdict.counted, true) {
        count_mask_in(tx, account, &record.address)?;
    }
    Ok(())
}

/// Dispatches the message within a commit.
pub type DispatchIn<'a> = &'a dyn Fn(&mut Tx<'_>) -> Result<Dispatched, CommitError>;

/// The result of the commit.
#[derive(Default)]
pub struct Dispatched {
    /// Per recipient, in the envelope's order.
    pub outcomes: Vec<RecipientOutcome>,
    /// Hints for the runner.
    pub hints: Vec<Hint>,
}

impl Dispatch {
    /// Write it all. Accounts in `avoid` are served from the queue.
    pub fn write_in(
        &self,
        tx: &mut Tx<'_>,
        delivery: &Delivery,
        avoid: &BTreeSet<AccountId>,
    ) -> Result<Dispatched, CommitError> {
        let stopped = delivery.count_in(tx, &self.record, &self.recipients)?;
        let mut outcomes = Vec::with_capacity(self.recipients.len());
        let mut here = Here::default();
        let mut legs: BTreeMap<Destination, Vec<RecipientRecord>> = BTreeMap::new();
        let mut later: Vec<RecipientRecord> = Vec::new();
        for recipient in &self.recipients {
            let outcome = match &recipient.destination {
                Destination::Account(account) => {
                    let mut record = recipient.record.clone();
                    let done = self.file_here(tx, delivery, (*account, avoid), &mut record, &mut here)?;
                    if done {
                        RecipientOutcome::Filed(*account)
                    } else {
                        later.push(record);
                        RecipientOutcome::Queued
                    }
                }
                elsewhere => {
                    legs.entry(elsewhere.clone()).or_default().push(recipient.record.clone());
                    RecipientOutcome::Queued
                }
            };
            outcomes.push(outcome);
        }
        let Here { filed, gone, hints: mut onward_hints, .. } = here;
        let is_nowhere = onward_hints.is_empty() && legs.is_empty();
        if self.refuse_if_full && is_nowhere && avoid.is_empty() && filed.values().all(|done| !done) {
            let refusal = match self.recipients.first() {
                Some(first) if gone.len() == filed.len() => Refusal::no_such_address(&first.record.address),
                Some(first) => Refusal::mailbox_full(&first.record.address),
                None => Refusal::no_recipients(),
            };
            return Err(DeliveryError::Refused(refusal).into());
        }
        let mut records: Vec<LegRecord> = Vec::new();
        for (destination, recipients) in legs {
            let name = match destination {
                Destination::Domain(domain) => domain,
                Destination::LocalQueue | Destination::Account(_) => LOCAL_DESTINATION.to_owned(),
            };
            records.extend(legs_of(&name, recipients, self.due_ms));
        }
        records.extend(legs_of(LOCAL_DESTINATION, later, self.retry_ms.max(self.due_ms)));
        onward_hints.extend(self.hints(&records));
        if !records.is_empty() {
            let held_since_ms = if stopped { tx.now_ms() } else { self.record.held_since_ms };
            let held = stopped || self.record.held;
            let record = MessageRecord { stopped, held, held_since_ms, ..self.record.clone() };
            queue::enqueue_in(tx, self.id, record, records)?;
        }
        self.along.iter().try_for_each(|along| along.write_in(tx))?;
        Ok(Dispatched { outcomes, hints: onward_hints })
    }

    /// Whether the message is done with for a recipient here; false if its copy has to wait. An account gets it once, and each masked
    /// address counts it.
    fn file_here(
        &self,
        tx: &mut Tx<'_>,
        delivery: &Delivery,
        (account, avoid): (AccountId, &BTreeSet<AccountId>),
        record: &mut RecipientRecord,
        here: &mut Here,
    ) -> Result<bool, CommitError> {
        let done = match here.filed.get(&account).copied() {
            Some(done) => {
                if here.handed.contains(&account) {
                    count_in(tx, account, record)?;
                }
                done
            }
            // Deleted since the recipient was accepted: the queue looks the address up again.
            None if Directory::is_deleted_in(tx, account) => {
                here.gone.insert(account);
                false
            }
            None if here.filed.len() >= MAX_FILINGS_PER_COMMIT || avoid.contains(&account) => false,
            None => {
                here.handed.insert(account);
                count_in(tx, account, record)?;
                self.hand_in(tx, delivery, account, record, &mut here.hints)?
            }
        };
        here.filed.insert(account, done);
        Ok(done)
    }

    /// Sends the message on for an account, and files its copy; `record` becomes what is left to do. False if the copy has to
    /// wait.
    fn hand_in(
        &self,
        tx: &mut Tx<'_>,
        delivery: &Delivery,
        account: AccountId,
        record: &mut RecipientRecord,
        hints: &mut Vec<Hint>,
    ) -> Result<bool, CommitError> {
        let verdict = record.verdict.get_or_insert_default();
        hints.extend(send_on_in(tx, delivery, self.onwards.get(&account), verdict)?);
        let ready = (&delivery.inner.mailstore, self.replies.get(&account));
        hints.extend(remember_and_reply_in(tx, account, verdict, ready)?);
        self.file_in(tx, delivery, account, verdict)
    }

    /// Whether the message could be filed, or is not to be; false if it has to wait.
    fn file_in(
        &self,
        tx: &mut Tx<'_>,
        delivery: &Delivery,
        account: AccountId,
        verdict: &VerdictRecord,
    ) -> Result<bool, CommitError> {
        if verdict.no_copy {
            return Ok(true);
        }
        let Some(copy) = &self.filing else { return Ok(false) };
        let versions = self.versions.get(&account).map(Vec::as_slice).unwrap_or_default();
        match file_local_in(tx, &delivery.inner.mailstore, account, (copy, versions), verdict) {
            Ok(_) => Ok(true),
            Err(MailError::OverQuota { .. }) => {
                delivery.note_full(account);
                Ok(false)
            }
            Err(error) => Err(CommitError::Account(account, error)),
        }
    }

    fn hints(&self, legs: &[LegRecord]) -> Vec<Hint> {
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let hint = |(index, leg): (usize, &LegRecord)| Hint {
            destination: leg.destination.as_str().into(),
            due_ms: leg.due_ms,
            fresh: Some((LegId { id: self.id, leg: number(index) }, self.record.owner())),
        };
        legs.iter().enumerate().map(hint).collect()
    }
}

/// Legs of at most [`MAX_FILINGS_PER_COMMIT`] recipients for accounts here, [`MAX_RECIPIENTS_PER_LEG`] elsewhere.
fn legs_of(destination: &str, recipients: Vec<RecipientRecord>, due_ms: i64) -> Vec<LegRecord> {
    let most = if destination == LOCAL_DESTINATION { MAX_FILINGS_PER_COMMIT } else { MAX_RECIPIENTS_PER_LEG };
    let leg = |part: &[RecipientRecord]| LegRecord {
        destination: destination.to_owned(),
        recipients: part.to_vec(),
        due_ms,
        ..LegRecord::default()
    };
    recipients.chunks(most).map(leg).collect()
}

impl Delivery {
    /// What is sent on of a message with that record for those of its recipients who are filed to at once. Blocking.
    pub(crate) fn onwards_of(&self, recipients: &[Routed], record: &MessageRecord, message: &[u8]) -> Onwards {
        let mut onwards = Onwards::new();
        for recipient in recipients {
            let Destination::Account(account) = recipient.destination else { continue };
            let Some(verdict) = recipient.record.verdict.as_ref() else { continue };
            if !onwards.contains_key(&account)
                && let Some(onward) = self.onward(account, verdict, record, message)
            {
                onwards.insert(account, onward);
            }
        }
        onwards
    }

    /// Gets the changed messages of those recipients ready who are filed to at once. Blocking.
    pub(crate) fn versions_of(&self, recipients: &[Routed], copy: Option<&LocalCopy>, came: &[u8]) -> Result<Versions> {
        let mut versions = Versions::new();
        let Some(copy) = copy else { return Ok(versions) };
        for recipient in recipients {
            if let (Destination::Account(account), Some(verdict)) = (&recipient.destination, &recipient.record.verdict)
            {
                self.change((*account, verdict), copy, came, &mut versions)?;
            }
        }
        Ok(versions)
    }

    /// Gets the replies of those recipients ready who are filed to at once. Blocking.
    pub(crate) fn replies_of(&self, recipients: &[Routed]) -> Replies {
        let mut replies = Replies::new();
        for recipient in recipients {
            if let (Destination::Account(account), Some(verdict)) = (&recipient.destination, &recipient.record.verdict)
            {
                self.ready(*account, verdict, &mut replies);
            }
        }
        replies
    }

    /// Commit what `write` does; it calls the function given to it to dispatch the message at the right moment. Accounts
    /// that can not be filed to are left to the queue, so that one damaged account does not keep mail from the others.
    pub(crate) async fn commit_dispatch<T, F>(&self, dispatch: Arc<Dispatch>, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>, DispatchIn<'_>) -> Result<(T, Vec<Hint>), CommitError> + Send + Sync + 'static,
    {
        let write = Arc::new(write);
        let mut avoid: BTreeSet<AccountId> = BTreeSet::new();
        loop {
            let (this, what, write, without) = (self.clone(), Arc::clone(&dispatch), Arc::clone(&write), avoid.clone());
            let ticket = self.inner.store.transact(move |tx| {
                let dispatch_in = |tx: &mut Tx<'_>| what.write_in(tx, &this, &without);
                write(tx, &dispatch_in)
            });
            let error: CommitError = match ticket.await {
                Ok((value, hints)) => {
                    self.hint(&hints);
                    self.may_owe(dispatch.accounts());
                    return Ok(value);
                }
                Err(error) => error,
            };
            if let Some(realm) = error.not_restored()
                && self.inner.store.restored(realm).await.is_ok()
            {
                continue;
            }
            let (account, error) = match error {
                CommitError::Account(account, error) => (Some(account), DeliveryError::Mail(error)),
                CommitError::Other(DeliveryError::Store(
                    error
                    @ (StoreError::Quarantined { realm, .. } | StoreError::NotRestored { realm: Some(realm), .. }),
                )) => (dispatch.account_of(realm), error.into()),
                CommitError::Other(error) => (None, error),
            };
            match account {
                Some(account) if avoid.insert(account) => {
                    tracing::warn!(account = account.0, %error, "could not file mail to this account; it stays in the queue");
                }
                _ => return Err(error),
            }
        }
    }
}

impl Dispatch {
    /// The accounts that it goes to.
    fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.recipients.iter().filter_map(|recipient| match recipient.destination {
            Destination::Account(account) => Some(account),
            _ => None,
        })
    }

    fn account_of(&self, realm: RealmId) -> Option<AccountId> {
        self.recipients.iter().find_map(|recipient| match recipient.destination {
            Destination::Account(account) if account.realm() == realm => Some(account),
            _ => None,
        })
    }
}

/// The result for one recipient of an accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// In the recipient's mailbox, durably, or wherever else its owner wants it.
    Filed(AccountId),
    /// In the queue, durably.
    Queued,
    /// Not accepted for this recipient, by LMTP: the client is told.
    Refused(Refusal),
}
