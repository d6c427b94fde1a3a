//! Mail that the service itself sends: reports about others' mail and servers. Nobody is told when it can't be delivered.

use mailkit::EmailAddress;
use store::{StagedBody, StoreError, Tx};

use crate::hint::Hint;
use crate::schema::{LOCAL_DESTINATION, LegId, LegRecord, MessageRecord, RecipientRecord, notify_bits, tls_wish};
use crate::sign::Signed;
use crate::{Delivery, DeliveryError, Notify, QueueId, Result, queue};

/// A message of the service, finished but for its signatures.
#[derive(Clone, Debug)]
pub struct ServiceMail {
    /// Who gets it.
    pub to: EmailAddress,
    /// The message. Its From is [`Delivery::service_sender`].
    pub bytes: Vec<u8>,
    /// It goes out over a way whose TLS is not as demanded, too: it tells of broken TLS (RFC 8460 §3).
    pub tls_optional: bool,
}

/// A message on its way into the queue.
struct Queued {
    id: QueueId,
    record: MessageRecord,
    leg: LegRecord,
    _body: StagedBody,
}

impl Queued {
    fn hint(&self) -> Hint {
        Hint {
            destination: self.leg.destination.as_str().into(),
            due_ms: self.leg.due_ms,
            fresh: Some((LegId { id: self.id, leg: 0 }, 0)),
        }
    }
}

impl Delivery {
    /// The address that such mail comes from.
    ///
    /// # Errors
    /// Those of reading, and a host name that can't be in an address.
    pub fn service_sender(&self) -> Result<EmailAddress> {
        self.reporter()
    }

    /// The domain of that address: the one our host name is in, or else our first one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn service_domain(&self) -> Result<String> {
        self.reporting_domain()
    }

    /// Signs the messages and puts them into the queue, in one commit with what `along` writes: all of it, or nothing.
    /// Returns their queue ids.
    ///
    /// # Errors
    /// Those of reading and of the commit; nothing was queued then.
    pub async fn send_service_mail(
        &self,
        mails: Vec<ServiceMail>,
        along: impl Fn(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Vec<QueueId>> {
        let queued = mails.iter().map(|mail| self.queued(mail)).collect::<Result<Vec<_>>>()?;
        let hints: Vec<Hint> = queued.iter().map(Queued::hint).collect();
        let records: Vec<_> = queued.iter().map(|one| (one.id, one.record.clone(), one.leg.clone())).collect();
        let written = self.inner.store.transact(move |tx| {
            along(tx)?;
            for (id, record, leg) in records {
                queue::enqueue_in(tx, id, record, vec![leg])?;
            }
            Ok::<_, DeliveryError>(())
        });
        written.await?;
        self.hint(&hints);
        Ok(queued.iter().map(|one| one.id).collect())
    }

    /// The queue record of a message that the service itself made, staged as `body`: what the way of its bytes is, and no word of
    /// a delay. `utf8` says whether an address of a recipient needs SMTPUTF8.
    pub(crate) fn own_record(&self, body: &StagedBody, bytes: &[u8], signed: Signed, utf8: bool) -> MessageRecord {
        let now_ms = self.now_ms();
        MessageRecord {
            body: body.id().as_bytes().to_vec(),
            body_bytes: body.len(),
            signatures: signed.lines,
            unsigned: signed.later,
            eight_bit: !bytes.is_ascii(),
            smtputf8: utf8,
            long_lines: mailkit::narrow::has_long_lines(bytes),
            warn_ms: 0,
            ..self.new_record(now_ms, now_ms)
        }
    }

    /// Its return address is empty.
    fn queued(&self, mail: &ServiceMail) -> Result<Queued> {
        let (id, at_ms) = (self.next_id(), self.now_ms());
        let body = self.inner.store.put_body(&mail.bytes)?;
        let is_ours = matches!(self.lookup(&mail.to), Ok(Some(_)));
        let signed = self.sign(&[self.reporter()?], &mail.bytes);
        let own = self.own_record(&body, &mail.bytes, signed, mail.to.needs_smtputf8());
        let record = MessageRecord { tls_wish: tls_wish(false, mail.tls_optional), ..own };
        let recipient = RecipientRecord {
            address: mail.to.to_string(),
            notify: notify_bits(Notify::NEVER),
            ..RecipientRecord::default()
        };
        let destination = if is_ours { LOCAL_DESTINATION.to_owned() } else { mail.to.domain().to_owned() };
        let leg = LegRecord { destination, recipients: vec![recipient], due_ms: at_ms, ..LegRecord::default() };
        Ok(Queued { id, record, leg, _body: body })
    }
}
