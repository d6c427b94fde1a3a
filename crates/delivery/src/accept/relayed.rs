//! Mail that a relay of ours took while we were away: it was told 250, so it is not refused any more.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use mailkit::trace;
use store::{Order, Read as _, RealmId, StoreError};

use super::Incoming;
use crate::dispatch::Dispatched;
use crate::schema::relayed_key;
use crate::{AtRelay, Delivery, Envelope, Notify, QueueId, Result, decide};

/// Receipts that are removed in one commit.
const FORGOTTEN_AT_ONCE: usize = 5_000;

/// How a message reached the relay, and the relay us.
#[derive(Debug, Clone)]
pub struct Relayed {
    /// Which relay.
    pub relay: [u8; 16],
    /// Its id of the message.
    pub id: QueueId,
    /// When the message reached it, milliseconds since 1970 UTC: the INTERNALDATE.
    pub at_ms: i64,
    /// The Received line of the relay, with its line end.
    pub trace: String,
    /// What the relay calls itself.
    pub name: String,
    /// Where it connects from.
    pub peer: Option<IpAddr>,
    /// What was found out about the message there, see [`crate::AtRelay`].
    pub findings: Bytes,
}

/// What became of a relayed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the mailboxes, or the queue, durably.
    Now,
    /// It had been taken before.
    Before,
}

impl Relayed {
    /// The header lines that are put above the message.
    pub(super) fn above(&self, delivery: &Delivery, id: QueueId) -> String {
        let ours = trace::Received {
            helo: &self.name,
            peer: self.peer,
            by: &delivery.inner.options.hostname,
            with: "HOLDFAST-RELAY",
            tls: None,
            id: &id.to_string(),
            recipient: None,
            at_ms: delivery.now_ms(),
        };
        ours.to_header() + &self.trace
    }
}

impl Delivery {
    /// Start receiving a message that a relay took. `envelope` is what the relay was told by its client: judges see that
    /// client, never the relay. Nobody is sent a report: the sender may be forged.
    ///
    /// # Errors
    /// As [`Self::incoming`].
    pub fn incoming_relayed(&self, mut envelope: Envelope, relayed: Relayed) -> Result<Incoming> {
        (envelope.origin.auth, envelope.origin.lmtp) = (None, false);
        envelope.origin.relay = Some(AtRelay { findings: relayed.findings.clone(), forwarder: None });
        for recipient in &mut envelope.recipients {
            recipient.notify = Notify::NEVER;
        }
        self.incoming_by(envelope, Some(relayed))
    }

    /// Which of a relay's messages were not taken, or are no longer: this machine was restored to an earlier moment.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn lacks(&self, relay: [u8; 16], ids: Vec<QueueId>) -> Result<Vec<QueueId>> {
        self.inner.store.acknowledged_in(RealmId::QUEUE).await?;
        let snapshot = self.inner.store.snapshot();
        let is_lacking = |id: &QueueId| -> Result<bool, StoreError> {
            Ok(snapshot.get(RealmId::QUEUE, &relayed_key(&relay, id.0))?.is_none())
        };
        let mut lacking = Vec::new();
        for id in ids {
            if is_lacking(&id)? {
                lacking.push(id);
            }
        }
        Ok(lacking)
    }

    /// A relay has forgotten its messages before `oldest`, and will not offer them again: nor need we remember them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn forget_relayed(&self, relay: [u8; 16], oldest: QueueId) -> Result<()> {
        loop {
            let removed = self.inner.store.transact(move |tx| {
                tx.keeps_books();
                let prefix = &relayed_key(&relay, 0)[..17];
                let end = relayed_key(&relay, oldest.0);
                let mut old = Vec::new();
                for row in tx.prefix(RealmId::QUEUE, prefix, Order::Ascending)? {
                    let (key, _) = row?;
                    if key[..] >= end[..] || old.len() >= FORGOTTEN_AT_ONCE {
                        break;
                    }
                    old.push(key.to_vec());
                }
                let count = old.len();
                for key in old {
                    tx.delete(RealmId::QUEUE, key);
                }
                Ok::<_, StoreError>(count)
            });
            if removed.await? < FORGOTTEN_AT_ONCE {
                return Ok(());
            }
        }
    }
}

impl Incoming {
    /// [`Self::finish`] for a message of a relay: it is filed exactly once, however often the relay gives it. What the
    /// judges refuse goes to Junk with the reason: the client that could have been told is gone.
    ///
    /// # Errors
    /// On any error nothing was accepted. A refusal for good says that nobody here can have the message.
    pub async fn finish_relayed(mut self) -> Result<Taken> {
        let delivery = self.delivery.clone();
        self.look_at_the_head()?;
        let (whole, verdicts) = self.judged().await?;
        let (id, said) = (self.id, decide::summary(&verdicts));
        let (relay, number) = self.relayed.as_ref().map_or(([0; 16], QueueId(0)), |from| (from.relay, from.id));
        let key = relayed_key(&relay, number.0);
        let dispatch = self.prepared(whole, verdicts).await?;
        let taken = delivery
            .commit_dispatch(Arc::clone(&dispatch), move |tx, dispatch_in| {
                if tx.get(RealmId::QUEUE, &key)?.is_some() {
                    return Ok((Taken::Before, Vec::new()));
                }
                tx.put(RealmId::QUEUE, key.clone(), Vec::new());
                let Dispatched { hints, .. } = dispatch_in(tx)?;
                Ok((Taken::Now, hints))
            })
            .await?;
        if taken == Taken::Before {
            delivery.inner.store.acknowledged_in(RealmId::QUEUE).await?;
            return Ok(taken);
        }
        metrics::counter!("holdfast_delivery_accepted_total").increment(1);
        tracing::info!(%id, relayed = %number, from = dispatch.record.from, verdicts = said, "accepted from a relay");
        Ok(taken)
    }
}
