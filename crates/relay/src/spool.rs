//! What a relay stores: one realm of its own store.
//!
//! | key | value |
//! |---|---|
//! | `p` id | [`Letter`]: a message that waits for the primary; it refers to its body |
//! | `d` id | [`GivenRecord`]: one that the primary has, or has refused; kept for a while, with its body |
//! | `v` address | [`AnswerRecord`]: what a primary of another make said of an address |
//! | `m` | [`PointRecord`]: the last point of the primary's log that it told |

use std::ops::Bound;

use bytes::Bytes;
use delivery::Handed;
use prost::Message as _;
use store::{BodyId, Order, Read, RealmId, StoreError, Tx};

use crate::{
    agenda::Item,
    asking::Answer,
    wire::{Beat, Letter, RefusedRecipient},
};

/// The realm: none of the services that a primary has is in it.
pub const SPOOL: RealmId = RealmId::from_raw(64);

const WAITING: u8 = b'p';
const GIVEN: u8 = b'd';
const ANSWER: u8 = b'v';
const POINT: &[u8] = b"m";
/// The most that is stored of why a message was refused.
const MAX_WHY_BYTES: usize = 4_000;

/// A message that was given to the primary.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GivenRecord {
    /// The message.
    #[prost(message, required, tag = "1")]
    pub letter: Letter,
    /// A commit of the primary's log by which it is there.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// When, milliseconds since 1970 UTC.
    #[prost(int64, tag = "3")]
    pub at_ms: i64,
    /// Why the primary refused it for good; empty if it has it.
    #[prost(string, tag = "4")]
    pub refused: String,
}

/// What a primary of another make said of an address.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AnswerRecord {
    /// It takes mail for it.
    #[prost(bool, tag = "1")]
    pub taken: bool,
    /// When, milliseconds since 1970 UTC.
    #[prost(int64, tag = "2")]
    pub at_ms: i64,
}

/// A point of the primary's log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PointRecord {
    /// The commit.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The chain there.
    #[prost(bytes = "vec", tag = "2")]
    pub chain: Vec<u8>,
}

/// What became of a message.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which.
    pub id: u64,
    /// A commit of the primary by which it is there.
    pub seq: u64,
    /// Why it was refused; empty if it was taken.
    pub refused: String,
}

fn key(kind: u8, id: u64) -> Vec<u8> {
    [&[kind][..], &id.to_be_bytes()].concat()
}

fn id_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

fn decoded<M: prost::Message + Default>(value: &Bytes) -> Result<M, StoreError> {
    M::decode(value.clone()).map_err(|error| StoreError::refused(format!("a stored message of the relay: {error}")))
}

/// The body that a message refers to.
pub fn body_of(letter: &Letter) -> Result<BodyId, StoreError> {
    let bytes = letter.body.as_slice().try_into();
    bytes.map(BodyId::from_bytes).map_err(|_| StoreError::refused("a stored message of the relay has no body"))
}

/// How it is on the agenda.
pub const fn item_of(letter: &Letter) -> Item {
    Item { id: letter.id, account: letter.account, bytes: letter.bytes }
}

/// Stores a message that waits.
pub fn keep_in(tx: &mut Tx<'_>, letter: &Letter) -> Result<(), StoreError> {
    tx.ref_body(SPOOL, &body_of(letter)?, &letter.id.to_be_bytes());
    tx.put(SPOOL, key(WAITING, letter.id), letter.encode_to_vec());
    Ok(())
}

/// A message that waits.
pub fn waiting(read: &impl Read, id: u64) -> Result<Option<Letter>, StoreError> {
    read.get(SPOOL, &key(WAITING, id))?.map(|value| decoded(&value)).transpose()
}

/// All that waits, by arrival.
pub fn all_waiting(read: &impl Read) -> Result<Vec<Item>, StoreError> {
    let rows = read.prefix(SPOOL, &[WAITING], Order::Ascending)?;
    rows.map(|row| Ok(item_of(&decoded(&row?.1)?))).collect()
}

/// All that was given and is kept, by arrival: id, the primary's commit, when, whether it was refused.
pub fn all_given(read: &impl Read) -> Result<Vec<(u64, u64, i64, bool)>, StoreError> {
    let rows = read.prefix(SPOOL, &[GIVEN], Order::Ascending)?;
    rows.map(|row| {
        let (key, value) = row?;
        let record: GivenRecord = decoded(&value)?;
        let id = id_of(&key).ok_or_else(|| StoreError::refused("a stored key of the relay"))?;
        Ok((id, record.seq, record.at_ms, !record.refused.is_empty()))
    })
    .collect()
}

/// Up to `limit` messages that wait, from that id on.
pub fn waiting_from(read: &impl Read, from: u64, limit: usize) -> Result<Vec<Letter>, StoreError> {
    let range = (Bound::Included(key(WAITING, from)), Bound::Excluded(vec![WAITING + 1]));
    read.range(SPOOL, range, Order::Ascending)?.take(limit).map(|row| decoded(&row?.1)).collect()
}

/// Up to `limit` messages that the primary refused, from that id on.
pub fn refused_from(read: &impl Read, from: u64, limit: usize) -> Result<Vec<GivenRecord>, StoreError> {
    let range = (Bound::Included(key(GIVEN, from)), Bound::Excluded(vec![GIVEN + 1]));
    let records = read.range(SPOOL, range, Order::Ascending)?.map(|row| decoded::<GivenRecord>(&row?.1));
    records.filter(|record| record.as_ref().map_or(true, |record| !record.refused.is_empty())).take(limit).collect()
}

/// A message that was given.
pub fn given(read: &impl Read, id: u64) -> Result<Option<GivenRecord>, StoreError> {
    read.get(SPOOL, &key(GIVEN, id))?.map(|value| decoded(&value)).transpose()
}

/// Those of the messages that the primary refused.
pub fn only_refused(read: &impl Read, ids: &[u64]) -> Result<Vec<u64>, StoreError> {
    let mut refused = Vec::new();
    for id in ids {
        if given(read, *id)?.is_some_and(|record| !record.refused.is_empty()) {
            refused.push(*id);
        }
    }
    Ok(refused)
}

/// What became of messages; those that do not wait any longer are passed over.
pub fn give_in(tx: &mut Tx<'_>, outcomes: &[Outcome]) -> Result<(), StoreError> {
    let at_ms = tx.now_ms();
    for Outcome { id, seq, refused } in outcomes {
        let Some(letter) = waiting(tx, *id)? else { continue };
        tx.delete(SPOOL, key(WAITING, *id));
        let record = GivenRecord { letter, seq: *seq, at_ms, refused: refused.clone() };
        tx.put(SPOOL, key(GIVEN, *id), record.encode_to_vec());
    }
    Ok(())
}

/// What a primary of another make said about recipients of a message. Those that it takes later wait on. If none does,
/// gives why it was refused; empty if all have it.
pub fn settle_in(tx: &mut Tx<'_>, id: u64, outcomes: &[(String, Handed)]) -> Result<Option<String>, StoreError> {
    let Some(mut letter) = waiting(tx, id)? else { return Ok(Some(String::new())) };
    for (address, handed) in outcomes {
        if matches!(handed, Handed::Later(_)) {
            continue;
        }
        letter.recipients.retain(|recipient| recipient != address);
        if let Handed::Refused(why) = handed {
            letter.refused.push(RefusedRecipient { address: address.clone(), why: why.clone() });
        }
    }
    if !letter.recipients.is_empty() {
        tx.put(SPOOL, key(WAITING, id), letter.encode_to_vec());
        return Ok(None);
    }
    let refused = std::mem::take(&mut letter.refused);
    let mut why = match refused.as_slice() {
        [only] => only.why.clone(),
        some => some.iter().map(|one| format!("<{}>: {}", one.address, one.why)).collect::<Vec<_>>().join("; "),
    };
    why.truncate(why.floor_char_boundary(MAX_WHY_BYTES));
    // Those who have it are not given it again.
    letter.recipients = refused.into_iter().map(|one| one.address).collect();
    tx.delete(SPOOL, key(WAITING, id));
    let record = GivenRecord { letter, seq: 0, at_ms: tx.now_ms(), refused: why.clone() };
    tx.put(SPOOL, key(GIVEN, id), record.encode_to_vec());
    Ok(Some(why))
}

/// All answers about addresses.
pub fn answers(read: &impl Read) -> Result<Vec<(String, Answer)>, StoreError> {
    let rows = read.prefix(SPOOL, &[ANSWER], Order::Ascending)?;
    rows.map(|row| {
        let (key, value) = row?;
        let record: AnswerRecord = decoded(&value)?;
        let address = String::from_utf8_lossy(&key[1..]).into_owned();
        Ok((address, Answer { taken: record.taken, at_ms: record.at_ms }))
    })
    .collect()
}

fn answer_key(address: &str) -> Vec<u8> {
    [&[ANSWER], address.as_bytes()].concat()
}

/// Stores an answer.
pub fn put_answer_in(tx: &mut Tx<'_>, address: &str, answer: Answer) {
    tx.keeps_books();
    let record = AnswerRecord { taken: answer.taken, at_ms: answer.at_ms };
    tx.put(SPOOL, answer_key(address), record.encode_to_vec());
}

/// Forgets an answer.
pub fn forget_answer_in(tx: &mut Tx<'_>, address: &str) {
    tx.delete(SPOOL, answer_key(address));
}

/// Messages that the primary lacks although it had them wait again.
pub fn take_back_in(tx: &mut Tx<'_>, ids: &[u64]) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::new();
    for id in ids {
        let Some(value) = tx.get(SPOOL, &key(GIVEN, *id))? else { continue };
        let record: GivenRecord = decoded(&value)?;
        tx.delete(SPOOL, key(GIVEN, *id));
        tx.put(SPOOL, key(WAITING, *id), record.letter.encode_to_vec());
        items.push(item_of(&record.letter));
    }
    Ok(items)
}

/// Forgets messages that were given.
pub fn forget_in(tx: &mut Tx<'_>, ids: &[u64]) -> Result<(), StoreError> {
    for id in ids {
        let Some(value) = tx.get(SPOOL, &key(GIVEN, *id))? else { continue };
        let record: GivenRecord = decoded(&value)?;
        tx.delete(SPOOL, key(GIVEN, *id));
        tx.unref_body(SPOOL, &body_of(&record.letter)?, &id.to_be_bytes());
    }
    Ok(())
}

/// The last point of the primary's log.
pub fn point(read: &impl Read) -> Result<PointRecord, StoreError> {
    Ok(read.get(SPOOL, POINT)?.map(|value| decoded(&value)).transpose()?.unwrap_or_default())
}

/// Stores a point.
pub fn set_point_in(tx: &mut Tx<'_>, beat: &Beat) {
    tx.keeps_books();
    let record = PointRecord { seq: beat.seq, chain: beat.chain.clone() };
    tx.put(SPOOL, POINT.to_vec(), record.encode_to_vec());
}
