//! The queue's records: adding, claiming and settling. All functions work within one commit, so that a message is
//! always complete: its record, its legs, their due entries, its deadline and its reference to the body.

use prost::Message as _;
use store::{BodyId, Order, Read, RealmId, Tx};

use crate::schema::{
    self, DueRecord, LegId, LegRecord, MessageRecord, RecipientRecord, deadline_key, due_key, leg_key, legs_prefix,
    message_key,
};
use crate::{DeliveryError, QueueId, Refusal, Result};

/// The queue's realm.
pub const QUEUE: RealmId = RealmId::QUEUE;

/// Most legs of one message that are read at once: more than any message can have.
const MAX_LEGS: usize = 100_000;

/// A message's record.
pub fn message<R: Read + ?Sized>(read: &R, id: QueueId) -> Result<Option<MessageRecord>> {
    match read.get(QUEUE, &message_key(id))? {
        None => Ok(None),
        Some(bytes) => {
            let record = MessageRecord::decode(bytes).map_err(|e| damaged(&format!("message {id}"), &e))?;
            Ok(Some(record))
        }
    }
}

/// A leg's record.
pub fn leg<R: Read + ?Sized>(read: &R, leg: LegId) -> Result<Option<LegRecord>> {
    match read.get(QUEUE, &leg_key(leg))? {
        None => Ok(None),
        Some(bytes) => {
            let record =
                LegRecord::decode(bytes).map_err(|e| damaged(&format!("leg {} of {}", leg.leg, leg.id), &e))?;
            Ok(Some(record))
        }
    }
}

/// All legs of a message.
pub fn legs<R: Read + ?Sized>(read: &R, id: QueueId) -> Result<Vec<(LegId, LegRecord)>> {
    let mut found = Vec::new();
    for row in read.prefix(QUEUE, &legs_prefix(id), Order::Ascending)?.take(MAX_LEGS) {
        let (key, value) = row?;
        let leg = schema::leg_key_id(&key)
            .ok_or_else(|| DeliveryError::damaged(store::Cause::Decoding, format!("a leg key of {id}")))?;
        found.push((leg, LegRecord::decode(value).map_err(|e| damaged(&format!("leg {} of {id}", leg.leg), &e))?));
    }
    Ok(found)
}

/// The body of a queued message.
pub fn body_id(record: &MessageRecord) -> Result<BodyId> {
    let bytes: [u8; 32] = record
        .body
        .as_slice()
        .try_into()
        .map_err(|_| DeliveryError::damaged(store::Cause::Decoding, "a queued message's body id".to_owned()))?;
    Ok(BodyId::from_bytes(bytes))
}

/// Put a message with its legs into the queue. The body must be staged or known.
pub fn enqueue_in(tx: &mut Tx<'_>, id: QueueId, mut record: MessageRecord, legs: Vec<LegRecord>) -> Result<()> {
    debug_assert!(!legs.is_empty(), "a message without legs would stay for ever");
    if tx.get(QUEUE, &message_key(id))?.is_some() {
        // Two ids of one millisecond met after a restart: the client is told to try again.
        return Err(Refusal::unavailable().into());
    }
    tx.ref_body(QUEUE, &body_id(&record)?, &schema::body_owner(id));
    record.next_leg = 0;
    for leg_record in legs {
        add_leg_in(tx, id, &mut record, &leg_record);
    }
    put_message(tx, id, &record);
    put_deadline(tx, id, &record);
    Ok(())
}

/// Add a leg to a message; the caller writes the message's record afterwards.
fn add_leg_in(tx: &mut Tx<'_>, id: QueueId, record: &mut MessageRecord, leg_record: &LegRecord) {
    let leg = LegId { id, leg: record.next_leg };
    record.next_leg += 1;
    put_leg(tx, leg, leg_record);
    if !record.held {
        put_due(tx, leg, leg_record, record);
    }
}

/// A leg to attempt at `now_ms`. `None` if there is nothing to attempt: the leg is gone, held, or not due.
pub fn due_leg<R: Read + ?Sized>(read: &R, leg_id: LegId, now_ms: i64) -> Result<Option<(MessageRecord, LegRecord)>> {
    let (Some(record), Some(leg_record)) = (message(read, leg_id.id)?, leg(read, leg_id)?) else {
        return Ok(None);
    };
    let due = !record.held && leg_record.due_ms <= now_ms;
    Ok(due.then_some((record, leg_record)))
}

/// Record that an attempt named `token` starts. The caller holds the claim on the leg, so it can't be removed; if it was
/// put on hold, this attempt still continues. False if the leg no longer exists.
pub fn begin_attempt_in(tx: &mut Tx<'_>, leg_id: LegId, token: u64) -> Result<bool> {
    let Some(mut leg_record) = leg(tx, leg_id)? else { return Ok(false) };
    leg_record.attempts = leg_record.attempts.saturating_add(1);
    leg_record.attempt_token = token;
    leg_record.attempt_ms = tx.now_ms();
    put_leg(tx, leg_id, &leg_record);
    Ok(true)
}

/// Whether the attempt named `token` is still the one under way; then its leg.
pub fn current_attempt<R: Read + ?Sized>(read: &R, leg_id: LegId, token: u64) -> Result<Option<LegRecord>> {
    Ok(leg(read, leg_id)?.filter(|record| record.attempt_token == token))
}

/// Ends the running attempt: the leg continues with `remaining` recipients at `due_ms`, or is removed if there are none,
/// and the message with its last leg. True if the message was removed.
pub fn settle_leg_in(
    tx: &mut Tx<'_>,
    leg_id: LegId,
    mut record: LegRecord,
    remaining: Vec<RecipientRecord>,
    due_ms: i64,
) -> Result<bool> {
    let Some(message_record) = message(tx, leg_id.id)? else {
        return Err(DeliveryError::damaged(
            store::Cause::Reference,
            format!("leg {} of {} has no message", leg_id.leg, leg_id.id),
        ));
    };
    tx.delete(QUEUE, due_key(&record.destination, record.due_ms, leg_id));
    if remaining.is_empty() {
        tx.delete(QUEUE, leg_key(leg_id));
        return remove_if_done_in(tx, leg_id.id, &message_record);
    }
    record.recipients = remaining;
    record.attempt_token = 0;
    record.attempt_ms = 0;
    record.due_ms = due_ms;
    put_leg(tx, leg_id, &record);
    if !message_record.held {
        put_due(tx, leg_id, &record, &message_record);
    }
    Ok(false)
}

/// Give a leg a new time; nothing else about it changes.
pub fn reschedule_in(
    tx: &mut Tx<'_>,
    leg_id: LegId,
    mut record: LegRecord,
    message_record: &MessageRecord,
    due_ms: i64,
) {
    tx.delete(QUEUE, due_key(&record.destination, record.due_ms, leg_id));
    record.due_ms = due_ms;
    put_leg(tx, leg_id, &record);
    if !message_record.held {
        put_due(tx, leg_id, &record, message_record);
    }
}

/// Change a message's record, keeping its deadline in step. `before` is the record as stored.
pub fn update_message_in(tx: &mut Tx<'_>, id: QueueId, before: &MessageRecord, after: &MessageRecord) {
    if !before.held {
        tx.delete(QUEUE, deadline_key(before.deadline_ms(), id));
    }
    put_message(tx, id, after);
    put_deadline(tx, id, after);
}

/// Hold a message: no leg is due, nothing expires.
pub fn hold_in(tx: &mut Tx<'_>, id: QueueId) -> Result<()> {
    hold_because_in(tx, id, false)
}

/// The same, because its account's sending is stopped: it is released when the account may send again.
pub fn hold_stopped_in(tx: &mut Tx<'_>, id: QueueId) -> Result<()> {
    hold_because_in(tx, id, true)
}

fn hold_because_in(tx: &mut Tx<'_>, id: QueueId, stopped: bool) -> Result<()> {
    let before = message(tx, id)?.ok_or(DeliveryError::NotQueued(id))?;
    if before.held {
        return Ok(());
    }
    for (leg_id, record) in legs(tx, id)? {
        tx.delete(QUEUE, due_key(&record.destination, record.due_ms, leg_id));
    }
    let after = MessageRecord { held: true, held_since_ms: tx.now_ms(), stopped, ..before.clone() };
    update_message_in(tx, id, &before, &after);
    Ok(())
}

/// Releases a held message: all legs are due now, and the time on hold does not count.
pub fn release_in(tx: &mut Tx<'_>, id: QueueId) -> Result<()> {
    let before = message(tx, id)?.ok_or(DeliveryError::NotQueued(id))?;
    if !before.held {
        return Ok(());
    }
    let now_ms = tx.now_ms();
    let held_ms = now_ms.saturating_sub(before.held_since_ms).max(0);
    let mut after = MessageRecord { held: false, held_since_ms: 0, stopped: false, ..before.clone() };
    after.expires_ms = after.expires_ms.saturating_add(held_ms);
    if after.warn_ms > 0 {
        after.warn_ms = after.warn_ms.saturating_add(held_ms);
    }
    update_message_in(tx, id, &before, &after);
    for (leg_id, record) in legs(tx, id)? {
        reschedule_in(tx, leg_id, record, &after, now_ms);
    }
    Ok(())
}

/// Remove a message whatever its state.
pub fn remove_in(tx: &mut Tx<'_>, id: QueueId, record: &MessageRecord) -> Result<()> {
    for (leg_id, leg_record) in legs(tx, id)? {
        tx.delete(QUEUE, due_key(&leg_record.destination, leg_record.due_ms, leg_id));
        tx.delete(QUEUE, leg_key(leg_id));
    }
    remove_record_in(tx, id, record)
}

fn remove_if_done_in(tx: &mut Tx<'_>, id: QueueId, record: &MessageRecord) -> Result<bool> {
    let mut rest = tx.prefix(QUEUE, &legs_prefix(id), Order::Ascending)?;
    let done = match rest.next() {
        None => true,
        Some(row) => row.map(|_| false)?,
    };
    drop(rest);
    if done {
        remove_record_in(tx, id, record)?;
    }
    Ok(done)
}

fn remove_record_in(tx: &mut Tx<'_>, id: QueueId, record: &MessageRecord) -> Result<()> {
    tx.delete(QUEUE, message_key(id));
    if !record.held {
        tx.delete(QUEUE, deadline_key(record.deadline_ms(), id));
    }
    tx.unref_body(QUEUE, &body_id(record)?, &schema::body_owner(id));
    Ok(())
}

fn put_message(tx: &mut Tx<'_>, id: QueueId, record: &MessageRecord) {
    tx.put(QUEUE, message_key(id), record.encode_to_vec());
}

fn put_deadline(tx: &mut Tx<'_>, id: QueueId, record: &MessageRecord) {
    if !record.held {
        tx.put(QUEUE, deadline_key(record.deadline_ms(), id), Vec::new());
    }
}

fn put_leg(tx: &mut Tx<'_>, leg_id: LegId, record: &LegRecord) {
    tx.put(QUEUE, leg_key(leg_id), record.encode_to_vec());
}

fn put_due(tx: &mut Tx<'_>, leg_id: LegId, record: &LegRecord, message_record: &MessageRecord) {
    let due = DueRecord { owner: message_record.owner() };
    tx.put(QUEUE, due_key(&record.destination, record.due_ms, leg_id), due.encode_to_vec());
}

fn damaged(what: &str, error: &prost::DecodeError) -> DeliveryError {
    DeliveryError::damaged(store::Cause::Decoding, format!("{what} can't be decoded: {error}"))
}

#[cfg(test)]
mod tests;
