//! The queue as an operator sees it: look, push, hold, drop.

use std::collections::HashSet;
use std::ops::Bound;

use directory::AccountId;
use prost::Message as _;
use store::{Order, Read};

use crate::schema::{LegId, LegRecord, MessageRecord, VerdictRecord, leg_key_id, message_key, message_key_id};
use crate::source::QueuedBody;
use crate::{Delivery, DeliveryError, QueueId, Result, queue};

/// Messages that one call of [`Delivery::queue_list`] looks at.
const MAX_LOOKED_AT: usize = 10_000;
/// Messages that one commit of [`Delivery::queue_retry_all`] touches.
const RETRIES_PER_COMMIT: usize = 200;

/// Which messages [`Delivery::queue_list`] shows.
#[derive(Clone, Debug, Default)]
pub struct QueueFilter {
    /// Only with a recipient in this domain (lower case).
    pub domain: Option<String>,
    /// Only with this reverse-path; `<>` for reports.
    pub sender: Option<String>,
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only held ones, or only those not held.
    pub held: Option<bool>,
}

/// A page of the queue, oldest first.
#[derive(Clone, Debug, Default)]
pub struct QueuePage {
    /// The messages.
    pub messages: Vec<QueuedMessage>,
    /// Give this as `after` for the next page; `None`: this was the last.
    pub next: Option<QueueId>,
}

/// A message in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Its queue id.
    pub id: QueueId,
    /// The reverse-path; `None` is `<>`.
    pub from: Option<String>,
    /// The account that sent it, if one of ours did.
    pub account: Option<AccountId>,
    /// Size as it goes out, bytes.
    pub size: u64,
    /// Its arrival, milliseconds since 1970 UTC.
    pub created_ms: i64,
    /// When it is given up.
    pub expires_ms: i64,
    /// It is on hold: it is not tried.
    pub held: bool,
    /// It is on hold because its account's sending is stopped.
    pub stopped: bool,
    /// Recipients still to be served.
    pub recipients: Vec<QueuedRecipient>,
}

/// A recipient still to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// The forward-path.
    pub address: String,
    /// Domain or account that it waits for.
    pub destination: String,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried next.
    pub next_attempt_ms: i64,
    /// It is being tried now, or was when the server stopped, since then.
    pub in_flight_since_ms: Option<i64>,
    /// The last error, with the remote server's reply if there was one.
    pub last_error: Option<String>,
    /// What was decided when the message came, and why: `Junk (spam: 7.1 points)`.
    pub verdict: Option<String>,
    /// How the way to the destination was secured at the last attempt; `None` before the first.
    pub security: Option<Secured>,
}

/// What was demanded of the way to a destination, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// The policy that applies: `DANE`, `MTA-STS enforce`, `MTA-STS testing`, `REQUIRETLS`, `none`, ….
    pub policy: String,
    /// TLS version and cipher, or what went wrong.
    pub result: String,
    /// It was not as demanded: the message waits for that.
    pub failed: bool,
    /// The operator's exception for the domain, with its reason and end.
    pub exception: Option<String>,
}

/// The contents of the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages.
    pub messages: u64,
    /// Recipients still to be served.
    pub recipients: u64,
    /// Messages held by an operator.
    pub held: u64,
    /// Destinations that something waits for.
    pub destinations: u64,
    /// The arrival of the oldest message, milliseconds since 1970 UTC.
    pub oldest_ms: Option<i64>,
}

/// What happens to the sender of a dropped message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropMode {
    /// Nothing: the message disappears.
    Silent,
    /// The sender gets a failure report.
    Bounce,
}

impl Delivery {
    /// A page of the queue: up to `limit` messages after `after`, oldest first. Looks at up to 10,000 messages: with a
    /// narrow filter a page may hold fewer than `limit` and still have a `next`.
    pub fn queue_list(&self, filter: &QueueFilter, after: Option<QueueId>, limit: usize) -> Result<QueuePage> {
        let snapshot = self.inner.store.snapshot();
        let mut page = QueuePage::default();
        for (looked_at, row) in messages_after(&snapshot, after)?.enumerate() {
            let (id, record) = row?;
            if page.messages.len() >= limit || looked_at >= MAX_LOOKED_AT {
                page.next = page.next.or(after);
                return Ok(page);
            }
            page.next = Some(id);
            if !filter.admits_record(&record) {
                continue;
            }
            let legs = queue::legs(&snapshot, id)?;
            if filter.domain.as_ref().is_none_or(|domain| legs.iter().any(|(_, leg)| leg.destination == *domain)) {
                page.messages.push(shown(id, &record, &legs));
            }
        }
        page.next = None;
        Ok(page)
    }

    /// One message of the queue.
    pub fn queue_show(&self, id: QueueId) -> Result<QueuedMessage> {
        let snapshot = self.inner.store.snapshot();
        let record = queue::message(&snapshot, id)?.ok_or(DeliveryError::NotQueued(id))?;
        Ok(shown(id, &record, &queue::legs(&snapshot, id)?))
    }

    /// The first `limit` bytes of a queued message as it goes out. Blocking.
    pub fn queue_content(&self, id: QueueId, limit: usize) -> Result<Vec<u8>> {
        let record = queue::message(&self.inner.store.snapshot(), id)?.ok_or(DeliveryError::NotQueued(id))?;
        QueuedBody::outgoing(&self.inner.store, &record)?.start(limit)
    }

    /// Try the message now, whatever the schedule says. Releases nothing that is held by an operator.
    pub async fn queue_retry(&self, id: QueueId) -> Result<()> {
        let found = self.inner.store.transact(move |tx| retry_in(tx, id)).await?;
        self.inner.hints.rescan();
        if found { Ok(()) } else { Err(DeliveryError::NotQueued(id)) }
    }

    /// Try all messages now. Returns how many there are.
    pub async fn queue_retry_all(&self) -> Result<u64> {
        self.queue_retry_those(|_| true).await
    }

    /// Try all messages now that wait for their signature. Returns how many there are.
    pub async fn queue_retry_unsigned(&self) -> Result<u64> {
        self.queue_retry_those(|record| record.unsigned).await
    }

    async fn queue_retry_those(&self, which: fn(&MessageRecord) -> bool) -> Result<u64> {
        let (mut count, mut after) = (0, None);
        loop {
            let (mut ids, mut last): (Vec<QueueId>, _) = (Vec::new(), None);
            for row in messages_after(&self.inner.store.snapshot(), after)?.take(RETRIES_PER_COMMIT) {
                let (id, record) = row?;
                last = Some(id);
                ids.extend(which(&record).then_some(id));
            }
            if last.is_none() {
                break;
            }
            after = last;
            count += ids.len() as u64;
            if !ids.is_empty() {
                let retry_all =
                    move |tx: &mut store::Tx<'_>| ids.into_iter().try_for_each(|id| retry_in(tx, id).map(|_| ()));
                self.inner.store.transact(retry_all).await?;
            }
        }
        self.inner.hints.rescan();
        Ok(count)
    }

    /// Puts the message on hold until [`Self::queue_release`]. It does not expire during that time. A running attempt
    /// continues.
    pub async fn queue_hold(&self, id: QueueId) -> Result<()> {
        self.inner
            .store
            .transact(move |tx| {
                tx.keeps_books();
                queue::hold_in(tx, id)
            })
            .await
    }

    /// Releases a held message for delivery at once.
    pub async fn queue_release(&self, id: QueueId) -> Result<()> {
        self.inner.store.transact(move |tx| queue::release_in(tx, id)).await?;
        self.inner.hints.rescan();
        Ok(())
    }

    /// Give the message up.
    ///
    /// # Errors
    /// [`DeliveryError::InFlight`] while an attempt runs.
    pub async fn queue_drop(&self, id: QueueId, mode: DropMode) -> Result<()> {
        let legs = queue::legs(&self.inner.store.snapshot(), id)?;
        let _claims =
            self.inner.claims.claim_all(legs.iter().map(|(leg, _)| *leg)).ok_or(DeliveryError::InFlight(id))?;
        match mode {
            DropMode::Bounce => self.return_to_sender(id).await?,
            DropMode::Silent => {
                let remove = move |tx: &mut store::Tx<'_>| {
                    let record = queue::message(tx, id)?.ok_or(DeliveryError::NotQueued(id))?;
                    queue::remove_in(tx, id, &record)
                };
                self.inner.store.transact(remove).await?;
            }
        }
        tracing::info!(%id, ?mode, "dropped from the queue");
        Ok(())
    }

    /// Puts everything on hold that waits of an account whose sending is stopped. Returns how many messages.
    pub(crate) async fn queue_hold_stopped(&self, account: AccountId) -> Result<u64> {
        self.each_of(account, |record| !record.held, queue::hold_stopped_in).await
    }

    /// Releases what was put on hold when an account's sending was stopped. Returns how many messages.
    pub(crate) async fn queue_release_stopped(&self, account: AccountId) -> Result<u64> {
        let count = self.each_of(account, |record| record.held && record.stopped, queue::release_in).await?;
        self.inner.hints.rescan();
        Ok(count)
    }

    /// Does something with each message of an account, some hundreds in one commit.
    async fn each_of(
        &self,
        account: AccountId,
        which: fn(&MessageRecord) -> bool,
        act: fn(&mut store::Tx<'_>, QueueId) -> Result<()>,
    ) -> Result<u64> {
        let (mut count, mut after) = (0, None);
        loop {
            let (mut ids, mut last): (Vec<QueueId>, _) = (Vec::new(), None);
            for row in messages_after(&self.inner.store.snapshot(), after)?.take(MAX_LOOKED_AT) {
                let (id, record) = row?;
                last = Some(id);
                ids.extend((record.account == Some(account.0) && which(&record)).then_some(id));
                if ids.len() >= RETRIES_PER_COMMIT {
                    break;
                }
            }
            let Some(last) = last else { return Ok(count) };
            after = Some(last);
            count += ids.len() as u64;
            if ids.is_empty() {
                continue;
            }
            let all = move |tx: &mut store::Tx<'_>| {
                tx.keeps_books();
                ids.into_iter().try_for_each(|id| match act(tx, id) {
                    // It was delivered or dropped in between.
                    Err(DeliveryError::NotQueued(_)) => Ok(()),
                    done => done,
                })
            };
            self.inner.store.transact(all).await?;
        }
    }

    /// Counts over the whole queue: reads all of it, use from a blocking thread. Also sets the gauges
    /// `holdfast_delivery_queue_messages` and `holdfast_delivery_queue_oldest_seconds`.
    pub fn queue_stats(&self) -> Result<QueueStats> {
        let snapshot = self.inner.store.snapshot();
        let mut stats = QueueStats::default();
        for row in messages_after(&snapshot, None)? {
            let (_, record) = row?;
            stats.messages += 1;
            stats.held += u64::from(record.held);
            stats.oldest_ms = Some(stats.oldest_ms.map_or(record.created_ms, |oldest| oldest.min(record.created_ms)));
        }
        let mut destinations: HashSet<String> = HashSet::new();
        for row in snapshot.prefix(queue::QUEUE, b"l", Order::Ascending)? {
            let (key, value) = row?;
            let Some(leg) = leg_key_id(&key) else { continue };
            let record = LegRecord::decode(value).map_err(|error| {
                DeliveryError::damaged(store::Cause::Decoding, format!("leg {} of {}: {error}", leg.leg, leg.id))
            })?;
            stats.recipients += record.recipients.len() as u64;
            destinations.insert(record.destination);
        }
        stats.destinations = destinations.len() as u64;
        metrics::gauge!("holdfast_delivery_queue_messages").set(stats.messages as f64);
        let age_ms = stats.oldest_ms.map_or(0, |oldest| (self.now_ms() - oldest).max(0));
        metrics::gauge!("holdfast_delivery_queue_oldest_seconds").set(age_ms as f64 / 1_000.0);
        Ok(stats)
    }
}

impl QueueFilter {
    fn admits_record(&self, record: &MessageRecord) -> bool {
        let sender = match self.sender.as_deref() {
            None => true,
            Some("<>") => record.from.is_empty(),
            Some(sender) => record.from.eq_ignore_ascii_case(sender),
        };
        sender
            && self.account.is_none_or(|account| record.account == Some(account.0))
            && self.held.is_none_or(|held| record.held == held)
    }
}

fn messages_after<R: Read + ?Sized>(
    read: &R,
    after: Option<QueueId>,
) -> Result<impl Iterator<Item = Result<(QueueId, MessageRecord)>> + '_> {
    let start = after.map_or(Bound::Included(b"m".to_vec()), |id| Bound::Excluded(message_key(id)));
    let rows = read.range(queue::QUEUE, (start, Bound::Excluded(b"n".to_vec())), Order::Ascending)?;
    Ok(rows.map(|row| {
        let (key, value) = row?;
        let id = message_key_id(&key)
            .ok_or_else(|| DeliveryError::damaged(store::Cause::Decoding, "a message key of the queue".to_owned()))?;
        let record = MessageRecord::decode(value)
            .map_err(|error| DeliveryError::damaged(store::Cause::Decoding, format!("message {id}: {error}")))?;
        Ok((id, record))
    }))
}

/// Whether there is such a message.
fn retry_in(tx: &mut store::Tx<'_>, id: QueueId) -> Result<bool> {
    let Some(record) = queue::message(tx, id)? else { return Ok(false) };
    let now_ms = tx.now_ms();
    for (leg_id, leg) in queue::legs(tx, id)? {
        if leg.due_ms > now_ms {
            queue::reschedule_in(tx, leg_id, leg, &record, now_ms);
        }
    }
    Ok(true)
}

fn shown(id: QueueId, record: &MessageRecord, legs: &[(LegId, LegRecord)]) -> QueuedMessage {
    let recipients = legs.iter().flat_map(|(_, leg)| {
        leg.recipients.iter().map(|recipient| QueuedRecipient {
            address: recipient.address.clone(),
            destination: leg.destination.clone(),
            attempts: leg.attempts,
            next_attempt_ms: leg.due_ms,
            in_flight_since_ms: (leg.attempt_token != 0).then_some(leg.attempt_ms),
            last_error: recipient.last_error.clone(),
            verdict: recipient.verdict.as_ref().map(VerdictRecord::summary),
            security: leg.security.as_ref().map(|security| Secured {
                policy: security.policy.clone(),
                result: security.result.clone(),
                failed: security.failed,
                exception: Some(security.exception.clone()).filter(|exception| !exception.is_empty()),
            }),
        })
    });
    QueuedMessage {
        id,
        from: Some(record.from.clone()).filter(|from| !from.is_empty()),
        account: record.account.map(AccountId),
        size: record.outgoing_bytes(),
        created_ms: record.created_ms,
        expires_ms: record.expires_ms,
        held: record.held,
        stopped: record.stopped,
        recipients: recipients.collect(),
    }
}
