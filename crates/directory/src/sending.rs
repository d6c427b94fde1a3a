//! What an account may send, as far as it is the account's own: limits that differ from the service's, and whether its
//! sending is stopped. How much it sends is counted by delivery.

use prost::Message as _;
use store::{Order, Read, RealmId, Tx};

use crate::{
    AccountId, Directory, DirectoryError, Result,
    account::record,
    audit,
    schema::{self, AccountRecord, AuditRecord, LimitsRecord, SendingRecord, account_key},
};

/// The longest reason for stopping, in characters.
const MAX_REASON_CHARS: usize = 300;
/// The actor in the audit trail where the service stops an account.
const SERVICE: &str = "service";

/// An account's own limits on what it sends; `None` where the service's apply. 0 is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnLimits {
    /// Messages within an hour.
    pub messages_per_hour: Option<u32>,
    /// Messages within a day.
    pub messages_per_day: Option<u32>,
    /// Recipients within an hour.
    pub recipients_per_hour: Option<u32>,
    /// Recipients within a day.
    pub recipients_per_day: Option<u32>,
    /// Recipients within an hour who were never written to before.
    pub new_per_hour: Option<u32>,
    /// The same within a day.
    pub new_per_day: Option<u32>,
}

/// Why and since when an account's sending is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// One sentence without a full stop, for its owner and administrators.
    pub why: String,
}

/// What the directory knows about an account's sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Its own limits.
    pub limits: OwnLimits,
    /// Sending is stopped.
    pub stopped: Option<Stopped>,
    /// From when on its limits grow, milliseconds since 1970: when it was made, or when it was last allowed to send again.
    pub since_ms: i64,
    /// The account's owner has been told that sending is stopped, and its queued messages are on hold.
    pub told: bool,
}

impl Sending {
    fn of(record: &AccountRecord) -> Self {
        let sending = record.sending.clone().unwrap_or_default();
        let own = sending.limits.unwrap_or_default();
        let stopped = sending.is_stopped().then(|| Stopped { at_ms: sending.stopped_ms, why: sending.why.clone() });
        Self {
            limits: OwnLimits {
                messages_per_hour: own.messages_per_hour,
                messages_per_day: own.messages_per_day,
                recipients_per_hour: own.recipients_per_hour,
                recipients_per_day: own.recipients_per_day,
                new_per_hour: own.new_per_hour,
                new_per_day: own.new_per_day,
            },
            stopped,
            since_ms: record.created_ms.max(sending.allowed_ms),
            told: sending.told,
        }
    }
}

impl SendingRecord {
    const fn is_stopped(&self) -> bool {
        self.stopped_ms != 0
    }
}

impl Directory {
    /// What is known about an account's sending; `None` if there is no such account (any more). Quick: for use inside
    /// commits.
    ///
    /// # Errors
    /// Those of reading.
    pub fn sending_in(reader: &(impl Read + ?Sized), id: AccountId) -> Result<Option<Sending>> {
        let record = record(reader, id)?.filter(|record| record.deleted_ms.is_none());
        Ok(record.map(|record| Sending::of(&record)))
    }

    /// The same, read now.
    ///
    /// # Errors
    /// Those of reading.
    pub fn sending(&self, id: AccountId) -> Result<Option<Sending>> {
        Self::sending_in(&self.store().snapshot(), id)
    }

    /// Accounts whose sending is stopped.
    ///
    /// # Errors
    /// Those of reading.
    pub fn stopped_accounts(&self) -> Result<Vec<(AccountId, Stopped)>> {
        let snapshot = self.store().snapshot();
        let mut found = Vec::new();
        for row in snapshot.prefix(RealmId::DIRECTORY, &[schema::ACCOUNT], Order::Ascending)? {
            let (key, value) = row?;
            let number = key[1..].try_into().map(u32::from_be_bytes);
            let id =
                number.map_err(|_| DirectoryError::damaged(store::Cause::Decoding, "an account's key".to_owned()))?;
            let record: AccountRecord = schema::decode("an account", &value)?;
            if record.deleted_ms.is_none() {
                found.extend(Sending::of(&record).stopped.map(|stopped| (AccountId(id), stopped)));
            }
        }
        Ok(found)
    }

    /// Sets an account's own limits.
    ///
    /// # Errors
    /// The account does not exist.
    pub async fn set_sending_limits(&self, id: AccountId, limits: OwnLimits) -> Result<()> {
        self.change_sending(id, move |_, sending| {
            sending.limits = (limits != OwnLimits::default()).then_some(LimitsRecord {
                messages_per_hour: limits.messages_per_hour,
                messages_per_day: limits.messages_per_day,
                recipients_per_hour: limits.recipients_per_hour,
                recipients_per_day: limits.recipients_per_day,
                new_per_hour: limits.new_per_hour,
                new_per_day: limits.new_per_day,
            });
        })
        .await
    }

    /// Stops an account's sending, and writes so into the audit trails. False if it was stopped already, or is gone.
    ///
    /// # Errors
    /// Those of the store.
    pub fn stop_sending_in(tx: &mut Tx<'_>, id: AccountId, who: Option<&str>, why: &str, peer: &str) -> Result<bool> {
        let Some(mut record) = record(tx, id)?.filter(|record| record.deleted_ms.is_none()) else { return Ok(false) };
        let mut sending = record.sending.take().unwrap_or_default();
        if sending.is_stopped() {
            return Ok(false);
        }
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON_CHARS).collect();
        let audited = AuditRecord {
            who: who.unwrap_or(SERVICE).to_owned(),
            what: format!("stopped sending: {why}"),
            peer: peer.to_owned(),
            account: Some(id.0),
            address: record.address.clone(),
        };
        sending.stopped_ms = tx.now_ms().max(1);
        sending.why = why;
        sending.told = false;
        record.sending = Some(sending);
        tx.put(RealmId::DIRECTORY, account_key(id), record.encode_to_vec());
        audit::write_both_in(tx, id, &audited)?;
        Ok(true)
    }

    /// Lets an account send again. Its limits are those of a new account from now on. Returns what it was stopped for.
    ///
    /// # Errors
    /// The account does not exist.
    pub async fn allow_sending(&self, id: AccountId) -> Result<Option<Stopped>> {
        self.change_sending(id, |tx, sending| {
            if !sending.is_stopped() {
                return None;
            }
            let stopped = Stopped { at_ms: sending.stopped_ms, why: std::mem::take(&mut sending.why) };
            (sending.stopped_ms, sending.told) = (0, false);
            sending.allowed_ms = tx.now_ms();
            Some(stopped)
        })
        .await
    }

    /// Notes that the account's owner was told that sending is stopped. False if that has been noted, or it isn't stopped.
    ///
    /// # Errors
    /// Those of the store.
    pub fn mark_told_of_stop_in(tx: &mut Tx<'_>, id: AccountId) -> Result<bool> {
        let Some(mut record) = record(tx, id)?.filter(|record| record.deleted_ms.is_none()) else { return Ok(false) };
        let Some(sending) = record.sending.as_mut().filter(|sending| sending.is_stopped() && !sending.told) else {
            return Ok(false);
        };
        sending.told = true;
        tx.put(RealmId::DIRECTORY, account_key(id), record.encode_to_vec());
        Ok(true)
    }

    async fn change_sending<T, F>(&self, id: AccountId, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>, &mut SendingRecord) -> T + Send + 'static,
    {
        self.store()
            .transact(move |tx| {
                let found = record(tx, id)?.filter(|record| record.deleted_ms.is_none());
                let mut record = found.ok_or_else(|| DirectoryError::no_account(id))?;
                let mut sending = record.sending.take().unwrap_or_default();
                let value = change(tx, &mut sending);
                record.sending = (sending != SendingRecord::default()).then_some(sending);
                tx.put(RealmId::DIRECTORY, account_key(id), record.encode_to_vec());
                Ok(value)
            })
            .await
    }
}
