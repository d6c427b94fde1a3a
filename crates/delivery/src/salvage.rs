//! What a queue held, from records any of which may be missing.

use std::collections::BTreeMap;

use prost::Message as _;
use store::{BodyId, Order, Read, RealmId};

use crate::schema::{LegRecord, MessageRecord, leg_key_id, message_key_id};
use crate::{QueueId, Result};

/// A message that waited to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvagedQueued {
    /// The reverse-path without brackets; empty is the null sender.
    pub from: String,
    /// Recipients that were still to be served.
    pub recipients: Vec<String>,
    /// The name of its bytes, where it is known.
    pub body: Option<BodyId>,
}

/// What waited in a queue, oldest first.
///
/// # Errors
/// If `read` fails; a record that can't be decoded is passed over.
pub fn salvaged_queue<R: Read + ?Sized>(read: &R) -> Result<Vec<SalvagedQueued>> {
    let mut queued: BTreeMap<QueueId, SalvagedQueued> = BTreeMap::new();
    for row in read.prefix(RealmId::QUEUE, b"m", Order::Ascending)? {
        let (key, value) = row?;
        if let (Some(id), Ok(record)) = (message_key_id(&key), MessageRecord::decode(value)) {
            let body = record.body.as_slice().try_into().ok().map(BodyId::from_bytes);
            queued.insert(id, SalvagedQueued { from: record.from, recipients: Vec::new(), body });
        }
    }
    for row in read.prefix(RealmId::QUEUE, b"l", Order::Ascending)? {
        let (key, value) = row?;
        if let (Some(leg), Ok(record)) = (leg_key_id(&key), LegRecord::decode(value))
            && let Some(message) = queued.get_mut(&leg.id)
        {
            message.recipients.extend(record.recipients.into_iter().map(|recipient| recipient.address));
        }
    }
    Ok(queued.into_values().collect())
}
