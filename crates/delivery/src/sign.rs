//! DKIM signatures on what our users and we ourselves send (RFC 6376).
//!
//! A message is signed when it is taken. If the domain's keys are sealed and can't be opened then, the queue keeps it unsigned
//! ([`MessageRecord::unsigned`]), and it is signed right before an attempt: until that is possible it is deferred
//! ([`Unsigned::Defer`]) or goes out as it is ([`Unsigned::Send`]).

use std::borrow::Cow;

use mailkit::{EmailAddress, dkim};

use crate::head::Head;
use crate::options::Unsigned;
use crate::outbound::Reply;
use crate::outbound::transaction::Fate;
use crate::outbound::wire::{WireEncoder, has_bare_line_ends};
use crate::schema::MessageRecord;
use crate::{Delivery, DeliveryError, QueueId, Result, queue, source};

/// What became of signing a message.
#[derive(Debug, Default)]
pub(crate) struct Signed {
    /// The signature lines; none if the domain is not ours or has no keys, and if signing failed.
    pub(crate) lines: Vec<u8>,
    /// It is to be signed, and the keys can't be opened now.
    pub(crate) later: bool,
}

impl Delivery {
    /// Signs a message as it goes out, by the keys of the first author's domain. A message that can't be signed for another
    /// reason than a missing secrets key goes out without: that is seen in the log. Blocking.
    pub(crate) fn sign(&self, authors: &[EmailAddress], message: &[u8]) -> Signed {
        let Some(domain) = authors.first().map(EmailAddress::domain) else { return Signed::default() };
        let found = match self.inner.directory.domain(domain) {
            Ok(Some(found)) if !found.dkim.is_empty() => found.dkim,
            Ok(_) => return Signed::default(),
            Err(error) => {
                tracing::error!(domain, %error, "could not read the DKIM keys: sending the message unsigned");
                return Signed::default();
            }
        };
        let keys: Vec<_> = found.iter().filter_map(|key| key.signing().ok().cloned()).collect();
        if keys.is_empty() {
            return Signed { lines: Vec::new(), later: true };
        }
        // What is signed is what is sent: with line ends made right.
        let signed = if has_bare_line_ends(message) {
            let (mut encoder, mut out) = (WireEncoder::without_dots(), Vec::new());
            encoder.encode(message, &mut out);
            encoder.finish_lines(&mut out);
            dkim::sign(&out, &keys, domain)
        } else {
            dkim::sign(message, &keys, domain)
        };
        match signed {
            Ok(lines) => Signed { lines: lines.into_bytes(), later: false },
            Err(error) => {
                tracing::error!(domain, %error, "DKIM signing failed: sending the message unsigned");
                metrics::counter!("holdfast_delivery_unsigned_total").increment(1);
                Signed::default()
            }
        }
    }

    /// A queued message's record as it goes out now: one that waits for its signature gets it.
    ///
    /// # Errors
    /// It can't go out yet.
    pub(crate) async fn signed_now<'a>(
        &self,
        id: QueueId,
        record: &'a MessageRecord,
    ) -> Result<Cow<'a, MessageRecord>, Fate> {
        if !record.unsigned {
            return Ok(Cow::Borrowed(record));
        }
        match self.sign_queued(id, record).await {
            Ok(Some(signed)) => return Ok(Cow::Owned(signed)),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%id, %error, "could not read a queued message");
                return Err(Fate::Deferred(Reply::new(451, "4.3.0 the message can't be read at the moment")));
            }
        }
        match self.inner.options.unsigned {
            Unsigned::Send => {
                tracing::error!(%id, "the DKIM keys can't be opened: sending the message unsigned");
                metrics::counter!("holdfast_delivery_unsigned_total").increment(1);
                Ok(Cow::Borrowed(record))
            }
            Unsigned::Defer => {
                metrics::counter!("holdfast_delivery_deferred_unsigned_total").increment(1);
                let why = "4.7.5 this server can't sign the message at the moment: its secrets key is missing, and its \
                           administrators know of it";
                Err(Fate::Deferred(Reply::new(451, why)))
            }
        }
    }

    /// Signs a message in the queue and keeps the signature; none when the keys can't be opened.
    async fn sign_queued(&self, id: QueueId, record: &MessageRecord) -> Result<Option<MessageRecord>> {
        let (this, record) = (self.clone(), record.clone());
        let signing = tokio::task::spawn_blocking(move || {
            let bytes = source::read_all(&this.inner.store, &queue::body_id(&record)?)?;
            let message = bytes.get(record.skip_bytes as usize..).unwrap_or_default();
            let head = Head::read(message, &this.inner.options.hostname);
            let signed = match &record.forwarded {
                Some(forwarded) => this.sign_forwarded(forwarded, message),
                None => this.sign(&head.from, message),
            };
            Ok::<_, DeliveryError>((signed, record))
        });
        let (signed, record) = signing.await.map_err(|_| crate::Refusal::unavailable())??;
        if signed.later {
            return Ok(None);
        }
        let lines = signed.lines.clone();
        let kept = self.inner.store.transact(move |tx| {
            let Some(before) = queue::message(tx, id)? else { return Ok(()) };
            let after = MessageRecord { signatures: lines, unsigned: false, ..before.clone() };
            queue::update_message_in(tx, id, &before, &after);
            Ok::<_, DeliveryError>(())
        });
        kept.await?;
        Ok(Some(MessageRecord { signatures: signed.lines, unsigned: false, ..record }))
    }
}
