//! Recovers a queue from records any of which may be missing, and adds its messages to this queue.

use std::collections::BTreeMap;

use directory::AccountId;
use prost::Message as _;
use store::{BodyId, Order, Read, RealmId, StagedBody, Tx};

use crate::schema::{
    self, ACCOUNT_KEYS, LegRecord, MessageRecord, ReceiptRecord, leg_key_id, message_key_id, salvaged_key,
};
use crate::{Delivery, DeliveryError, QueueId, Result, queue};

/// A message that waited to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SalvagedQueued {
    /// Its queue id.
    pub id: QueueId,
    /// The reverse-path without brackets; empty is the null sender.
    pub from: String,
    /// The account there that sent it, if one did.
    pub account: Option<AccountId>,
    /// Its arrival, milliseconds since 1970 UTC.
    pub created_ms: i64,
    /// Recipients that were still to be served.
    pub recipients: Vec<String>,
    /// The name of its bytes, where it is known.
    pub body: Option<BodyId>,
    /// The key under which it was sent, and what the Send led to.
    receipt: Option<(Vec<u8>, ReceiptRecord)>,
    record: MessageRecord,
    legs: Vec<LegRecord>,
}

/// The result for a salvaged message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SalvagedFate {
    /// It is in the queue, held.
    Held,
    /// It is in the queue here, or was.
    Known,
}

/// The messages of a salvaged queue, oldest first.
///
/// # Errors
/// If `read` fails; a record that can't be decoded is passed over.
pub fn salvaged_queue<R: Read + ?Sized>(read: &R) -> Result<Vec<SalvagedQueued>> {
    let mut queued: BTreeMap<QueueId, SalvagedQueued> = BTreeMap::new();
    let mut senders: BTreeMap<AccountId, Vec<(Vec<u8>, ReceiptRecord)>> = BTreeMap::new();
    for row in read.prefix(RealmId::QUEUE, b"m", Order::Ascending)? {
        let (key, value) = row?;
        let (Some(id), Ok(record)) = (message_key_id(&key), MessageRecord::decode(value)) else { continue };
        let account = record.account.map(AccountId);
        if let Some(account) = account
            && !senders.contains_key(&account)
        {
            senders.insert(account, receipts(read, account)?);
        }
        let sent = account.and_then(|account| senders.get(&account));
        queued.insert(
            id,
            SalvagedQueued {
                id,
                from: record.from.clone(),
                account,
                created_ms: record.created_ms,
                recipients: Vec::new(),
                body: record.body.as_slice().try_into().ok().map(BodyId::from_bytes),
                receipt: sent.and_then(|sent| sent.iter().find(|(_, receipt)| receipt.id == id.0).cloned()),
                record,
                legs: Vec::new(),
            },
        );
    }
    for row in read.prefix(RealmId::QUEUE, b"l", Order::Ascending)? {
        let (key, value) = row?;
        if let (Some(leg), Ok(record)) = (leg_key_id(&key), LegRecord::decode(value))
            && let Some(message) = queued.get_mut(&leg.id)
        {
            message.recipients.extend(record.recipients.iter().map(|recipient| recipient.address.clone()));
            message.legs.push(record);
        }
    }
    Ok(queued.into_values().collect())
}

/// The Sends that an account's records know of.
fn receipts<R: Read + ?Sized>(read: &R, account: AccountId) -> Result<Vec<(Vec<u8>, ReceiptRecord)>> {
    let mut all = Vec::new();
    for row in read.prefix(account.realm(), &[ACCOUNT_KEYS, b'r'], Order::Ascending)? {
        let (key, value) = row?;
        if let Ok(record) = ReceiptRecord::decode(value) {
            all.push((key[2..].to_vec(), record));
        }
    }
    Ok(all)
}

impl Delivery {
    /// Whether a salvaged message is in the queue here, or was: under its id, or as a Send under its key.
    ///
    /// # Errors
    /// Those of the store.
    pub fn knows_salvaged(&self, message: &SalvagedQueued, account: Option<AccountId>) -> Result<bool> {
        is_known(&self.inner.store.snapshot(), message, account)
    }

    /// Puts a salvaged message into the queue, held, under its id, and its Send under its key, so that pressing it again
    /// sends nothing: once, however often it is called. `account` is who sent it here.
    ///
    /// # Errors
    /// Those of the store; [`DeliveryError::Damaged`] for one without recipients.
    pub async fn hold_salvaged(
        &self,
        message: SalvagedQueued,
        account: Option<AccountId>,
        body: StagedBody,
    ) -> Result<SalvagedFate> {
        let this = self.clone();
        let outcome = self.inner.store.transact(move |tx| this.hold_salvaged_in(tx, &message, account, &body)).await?;
        self.inner.hints.rescan();
        Ok(outcome)
    }

    fn hold_salvaged_in(
        &self,
        tx: &mut Tx<'_>,
        message: &SalvagedQueued,
        account: Option<AccountId>,
        body: &StagedBody,
    ) -> Result<SalvagedFate> {
        if is_known(tx, message, account)? {
            return Ok(SalvagedFate::Known);
        }
        let now_ms = tx.now_ms();
        let legs: Vec<LegRecord> = message.legs.iter().filter_map(|leg| begun_anew(leg, now_ms)).collect();
        if legs.is_empty() {
            return Err(DeliveryError::damaged(
                store::Cause::Reference,
                format!("message {}: its recipients are unknown", message.id),
            ));
        }
        let times = self.new_record(message.record.created_ms, now_ms);
        let record = MessageRecord {
            account: account.map(|account| account.0),
            body: body.id().as_bytes().to_vec(),
            held: true,
            held_since_ms: now_ms,
            release_ms: 0,
            expires_ms: times.expires_ms,
            warn_ms: times.warn_ms,
            ..message.record.clone()
        };
        queue::enqueue_in(tx, message.id, record, legs)?;
        tx.put(queue::QUEUE, salvaged_key(message.id), Vec::new());
        if let (Some(account), Some((key, receipt))) = (account, &message.receipt) {
            // Where its copy in Sent is and whose mailboxes it went to is told by numbers of the other machine.
            let recipients = vec![0; receipt.recipients.len()];
            let receipt = ReceiptRecord { sent_copy: None, held_until_ms: 0, recipients, ..receipt.clone() };
            self.keep_receipt_in(tx, account, key, &receipt, now_ms);
        }
        Ok(SalvagedFate::Held)
    }
}

fn is_known<R: Read + ?Sized>(read: &R, message: &SalvagedQueued, account: Option<AccountId>) -> Result<bool> {
    if queue::message(read, message.id)?.is_some() || read.get(queue::QUEUE, &salvaged_key(message.id))?.is_some() {
        return Ok(true);
    }
    Ok(match (account, &message.receipt) {
        (Some(account), Some((key, _))) => read.get(account.realm(), &schema::receipt_key(key))?.is_some(),
        _ => false,
    })
}

/// A leg as if nothing had been tried yet.
fn begun_anew(leg: &LegRecord, now_ms: i64) -> Option<LegRecord> {
    let mut recipients = leg.recipients.clone();
    for recipient in &mut recipients {
        // Whose it is here is looked up when it is delivered.
        recipient.account = None;
    }
    (!recipients.is_empty()).then(|| LegRecord {
        destination: leg.destination.clone(),
        recipients,
        due_ms: now_ms,
        ..LegRecord::default()
    })
}
