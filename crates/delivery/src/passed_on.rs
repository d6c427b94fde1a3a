//! Mail that was sent on to an account here: it is judged for that account as it comes, as mail from elsewhere is, so that its
//! rules, its spam filter and its own forwarding act on it.

use bytes::Bytes;
use mailkit::EmailAddress;
use mailkit::results;

use crate::decide;
use crate::dispatch::{Destination, Routed};
use crate::judge::{Spooled, Verdict};
use crate::schema::{ForwardedRecord, MessageRecord, RecipientRecord};
use crate::source::read_all;
use crate::{Delivery, Envelope, Origin, QueueId, Recipient, queue};

impl Delivery {
    /// Gives those recipients of a message that is sent on their verdicts about whom nothing was said yet. What goes wrong
    /// keeps no mail away: then it is filed as if nobody had been asked.
    pub(crate) async fn judge_passed_on(
        &self,
        id: QueueId,
        record: &MessageRecord,
        recipients: &mut [RecipientRecord],
    ) {
        let Some(forwarded) = &record.forwarded else { return };
        let open: Vec<(usize, EmailAddress)> = recipients
            .iter()
            .enumerate()
            .filter(|(_, recipient)| recipient.verdict.is_none())
            .filter_map(|(at, recipient)| Some((at, EmailAddress::parse(&recipient.address).ok()?)))
            .collect();
        if open.is_empty() {
            return;
        }
        let envelope = Envelope {
            from: EmailAddress::parse(&record.from).ok(),
            recipients: open.iter().map(|(_, address)| Recipient::new(address.clone())).collect(),
            ret: None,
            envid: None,
            body_8bit: record.eight_bit,
            require_tls: false,
            smtputf8: record.smtputf8,
            origin: Origin { esmtp: true, passed_on: !forwarded.of_ours, ..Origin::default() },
        };
        let Some(bench) = self.bench(id, &envelope, record.created_ms) else { return };
        let Some(message) = self.message_of(id, record).await else { return };
        let mut bench = bench.after(vec![seen_before(forwarded); open.len()]);
        if let Ok(bytes) = message.read_all() {
            bench.bytes(&bytes);
        }
        let verdicts = bench.verdicts(&message, self.inner.options.verdict_time).await;
        tracing::info!(%id, verdicts = decide::summary(&verdicts), "judged a message that is sent on to an account here");
        for ((at, _), verdict) in open.iter().zip(verdicts) {
            let mut routed = Routed { destination: Destination::LocalQueue, record: recipients[*at].clone() };
            decide::apply(&mut routed, verdict, &envelope.origin);
            recipients[*at] = routed.record;
        }
    }

    /// A queued message as judges see it.
    async fn message_of(&self, id: QueueId, record: &MessageRecord) -> Option<Spooled> {
        let _permit = self.permit(record.body_bytes).await;
        let (store, record) = (self.inner.store.clone(), record.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let bytes = read_all(&store, &queue::body_id(&record)?)?;
            let skipped = bytes.len().min(record.skip_bytes as usize);
            Ok::<_, crate::DeliveryError>(Bytes::from(bytes).slice(skipped..))
        });
        match reading.await {
            Ok(Ok(bytes)) => Some(Spooled::in_memory(bytes)),
            Ok(Err(error)) => {
                tracing::error!(%id, %error, "could not read a message that is sent on");
                None
            }
            Err(_) => None,
        }
    }
}

/// What was found about its sender when it came: the judges go by that, and the copy shows it.
fn seen_before(forwarded: &ForwardedRecord) -> Verdict {
    let mut verdict = Verdict::default();
    if !forwarded.results.is_empty() {
        // What can't stand in a header is left out.
        drop(verdict.add_header(results::FIELD, &forwarded.results));
    }
    verdict
}
