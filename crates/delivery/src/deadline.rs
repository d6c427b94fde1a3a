//! Deadlines: sends one delay warning to the sender of a message that takes long, and returns messages that took too
//! long.

use std::time::Duration;

use mailkit::dsn;
use store::{Order, Read as _};

use crate::claims::Claim;
use crate::report::Finding;
use crate::schema::{self, LegId, LegRecord, MessageRecord, RecipientRecord};
use crate::{Delivery, DeliveryError, QueueId, Refusal, Result, queue};

/// Messages processed before the runner continues with other work.
const MESSAGES_PER_LOOK: usize = 200;

impl Delivery {
    /// Processes messages whose deadline has passed. Returns whether some must be checked again because they are in progress.
    pub(crate) async fn look_at_deadlines(&self) -> bool {
        let mut under_way = false;
        let due = match self.due_deadlines() {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "could not read the queue's deadlines");
                tokio::time::sleep(Duration::from_secs(30)).await;
                return under_way;
            }
        };
        for id in due {
            match self.look_at(id).await {
                Ok(is_under_way) => under_way |= is_under_way,
                Err(error) => {
                    tracing::error!(%id, %error, "could not expire a queued message or send a delay warning yet");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        under_way
    }

    fn due_deadlines(&self) -> Result<Vec<QueueId>> {
        let (snapshot, now_ms) = (self.inner.store.snapshot(), self.now_ms());
        let mut due = Vec::new();
        for row in snapshot.prefix(queue::QUEUE, b"x", Order::Ascending)?.take(MESSAGES_PER_LOOK) {
            let (key, _) = row?;
            match schema::deadline_key_parts(&key) {
                Some((when, id)) if when <= now_ms => due.push(id),
                _ => break,
            }
        }
        Ok(due)
    }

    async fn look_at(&self, id: QueueId) -> Result<bool> {
        let snapshot = self.inner.store.snapshot();
        let Some(record) = queue::message(&snapshot, id)? else { return Ok(false) };
        let legs = queue::legs(&snapshot, id)?;
        drop(snapshot);
        let now_ms = self.now_ms();
        if record.held {
            return Ok(false);
        }
        if record.expires_ms <= now_ms {
            return self.expire(id, record, legs).await;
        }
        if record.warn_ms > 0 && record.warn_ms <= now_ms {
            self.warn(id, record, &legs).await?;
        }
        Ok(false)
    }

    async fn warn(&self, id: QueueId, record: MessageRecord, legs: &[(LegId, LegRecord)]) -> Result<()> {
        let findings: Vec<Finding> = legs
            .iter()
            .filter(|(_, leg)| leg.attempts > 0)
            .flat_map(|(_, leg)| leg.recipients.iter())
            .map(|recipient| finding(recipient, dsn::Action::Delayed, &recipient.last_status, "4.4.0", ""))
            .collect();
        let (this, before) = (self.clone(), record.clone());
        let report = blocking(move || this.prepare_report(id, &before, &findings)).await?;
        let _staged = report.clone();
        let this = self.clone();
        let hints = self
            .inner
            .store
            .transact(move |tx| {
                let Some(now) = queue::message(tx, id)? else { return Ok::<_, DeliveryError>(Vec::new()) };
                if now.warn_ms != record.warn_ms || now.held {
                    return Ok(Vec::new());
                }
                queue::update_message_in(tx, id, &now, &MessageRecord { warn_ms: 0, ..now.clone() });
                report.as_ref().map_or(Ok(Vec::new()), |report| this.write_report_in(tx, report))
            })
            .await?;
        self.hint(&hints);
        Ok(())
    }

    /// Gives up the legs that are not in progress; returns whether some are. A leg in progress notices that its time is over,
    /// or is given up at the next check.
    async fn expire(&self, id: QueueId, record: MessageRecord, legs: Vec<(LegId, LegRecord)>) -> Result<bool> {
        let all = legs.len();
        let claimed: Vec<(LegId, LegRecord, Claim)> = legs
            .into_iter()
            .filter_map(|(leg_id, leg)| self.inner.claims.claim(leg_id).map(|claim| (leg_id, leg, claim)))
            .collect();
        let under_way = claimed.len() < all;
        if claimed.is_empty() {
            return Ok(under_way);
        }
        let findings: Vec<Finding> = claimed
            .iter()
            .flat_map(|(_, leg, _)| leg.recipients.iter().map(|recipient| given_up(recipient, leg.attempts)))
            .collect();
        tracing::info!(%id, recipients = findings.len(), "gave up on a queued message: it is too old");
        metrics::counter!("holdfast_delivery_recipients_total", "outcome" => "expired")
            .increment(findings.len() as u64);
        let this = self.clone();
        let report = blocking(move || this.prepare_report(id, &record, &findings)).await?;
        let _staged = report.clone();
        let this = self.clone();
        let legs: Vec<(LegId, LegRecord)> = claimed.iter().map(|(id, leg, _)| (*id, leg.clone())).collect();
        let hints = self
            .inner
            .store
            .transact(move |tx| {
                let Some(now) = queue::message(tx, id)? else { return Ok::<_, DeliveryError>(Vec::new()) };
                for (leg_id, leg) in &legs {
                    if queue::leg(tx, *leg_id)?.as_ref() != Some(leg) || now.held {
                        // Changed since it was looked at: look again.
                        return Err(Refusal::unavailable().into());
                    }
                    queue::settle_leg_in(tx, *leg_id, leg.clone(), Vec::new(), 0)?;
                }
                report.as_ref().map_or(Ok(Vec::new()), |report| this.write_report_in(tx, report))
            })
            .await?;
        self.hint(&hints);
        drop(claimed);
        Ok(under_way)
    }

    /// Gives up a message on an operator's request, and tells its sender. The caller holds the claims.
    pub(crate) async fn return_to_sender(&self, id: QueueId) -> Result<()> {
        let snapshot = self.inner.store.snapshot();
        let record = queue::message(&snapshot, id)?.ok_or(DeliveryError::NotQueued(id))?;
        let text = "the administrator of this server cancelled the delivery";
        let findings: Vec<Finding> = queue::legs(&snapshot, id)?
            .iter()
            .flat_map(|(_, leg)| leg.recipients.iter())
            .map(|recipient| finding(recipient, dsn::Action::Failed, "", "5.7.0", text))
            .collect();
        drop(snapshot);
        let (this, before) = (self.clone(), record);
        let report = blocking(move || this.prepare_report(id, &before, &findings)).await?;
        let _staged = report.clone();
        let this = self.clone();
        let hints = self
            .inner
            .store
            .transact(move |tx| {
                let now = queue::message(tx, id)?.ok_or(DeliveryError::NotQueued(id))?;
                queue::remove_in(tx, id, &now)?;
                report.as_ref().map_or(Ok(Vec::new()), |report| this.write_report_in(tx, report))
            })
            .await?;
        self.hint(&hints);
        Ok(())
    }
}

fn given_up(recipient: &RecipientRecord, attempts: u32) -> Finding {
    let last = recipient.last_error.as_deref().unwrap_or("no attempt could be made");
    let text = format!("gave up after {attempts} attempts; the last error was: {last}");
    finding(recipient, dsn::Action::Failed, "", "5.4.7", &text)
}

fn finding(recipient: &RecipientRecord, action: dsn::Action, status: &str, otherwise: &str, text: &str) -> Finding {
    let text = if text.is_empty() { recipient.last_error.as_deref().unwrap_or_default() } else { text };
    Finding {
        recipient: recipient.clone(),
        action,
        status: if status.is_empty() { otherwise } else { status }.to_owned(),
        text: text.to_owned(),
        remote: Some(recipient.last_remote.clone()).filter(|remote| !remote.is_empty()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::unavailable())?
}
