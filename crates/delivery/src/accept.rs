//! Accepting mail: from the envelope to the durable commit.

mod elsewhere;
mod fetched;
mod relayed;

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use mailkit::results::Cleaner;
use mailkit::{EmailAddress, date, headers, narrow, trace};
use store::{BodyWriter, StagedBody};

use crate::dispatch::RecipientOutcome;
use crate::dispatch::{Destination, Dispatch, Dispatched, Routed};
use crate::filing::LocalCopy;
use crate::head::{self, Gatherer, Head};
use crate::judge::{Spooled, Verdict};
use crate::judging::Bench;
use crate::reports_budget::network;
use crate::schema::delivery_key;
use crate::schema::{MessageRecord, ret_number, tls_wish};
use crate::sign::Signed;
pub use elsewhere::{Elsewhere, Kept, SignedIn};
pub use relayed::{Relayed, Taken};

use crate::{Delivery, Envelope, MAX_IN_MEMORY_BYTES, MAX_IN_MEMORY_CROWDED_BYTES, QueueId, Refusal, Result, decide};

/// An accepted message: it is durable, and this server is responsible for it.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its queue id.
    pub id: QueueId,
    /// One outcome per recipient of the envelope, in its order.
    pub recipients: Vec<RecipientOutcome>,
}

/// A message being received: write its bytes (as received, dots unstuffed), then call [`Incoming::finish`].
/// Dropping it accepts nothing.
pub struct Incoming {
    delivery: Delivery,
    envelope: Envelope,
    id: QueueId,
    at_ms: i64,
    /// It was taken by a relay of ours before.
    relayed: Option<Relayed>,
    /// The judges that see the message, if any want to.
    bench: Option<Bench>,
    /// Takes out what others wrote in our name.
    cleaner: Option<Cleaner>,
    /// Until the header section is complete.
    gatherer: Option<Gatherer>,
    head: Head,
    sink: Sink,
    held: Held,
    received_bytes: u64,
    eight_bit: bool,
    /// The header section was longer than is looked at.
    header_cut: bool,
    /// The Return-Path line, which is for copies filed here only.
    return_path: Bytes,
    /// What else is put above the message wherever it goes.
    trace: Bytes,
}

/// The bytes of a message that has come whole.
struct Whole {
    spooled: Spooled,
    /// Its body, where it was spooled to disk.
    staged: Option<StagedBody>,
}

/// A message's share of the memory for all incoming messages; released when dropped.
struct Held {
    all: Arc<AtomicUsize>,
    own: usize,
    most: usize,
}

impl Held {
    fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.own, bytes);
        self.all.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_sub(before, Ordering::Relaxed);
    }

    fn is_crowded(&self) -> bool {
        self.all.load(Ordering::Relaxed) > self.most
    }

    /// The bytes the message can keep in memory now.
    fn limit(&self) -> usize {
        if self.is_crowded() { MAX_IN_MEMORY_CROWDED_BYTES } else { MAX_IN_MEMORY_BYTES }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The destination of the bytes.
enum Sink {
    Memory(Vec<u8>),
    Disk(Box<BodyWriter>),
}

impl Delivery {
    /// Start receiving a message, and tell the judges that it is about to come. The Received and Return-Path lines are
    /// made here.
    pub fn incoming(&self, envelope: Envelope) -> Result<Incoming> {
        self.incoming_by(envelope, None)
    }

    fn incoming_by(&self, mut envelope: Envelope, relayed: Option<Relayed>) -> Result<Incoming> {
        let limit = self.inner.options.max_recipients;
        if envelope.recipients.len() > limit {
            return Err(Refusal::too_many_recipients(limit).into());
        }
        if envelope.recipients.is_empty() {
            return Err(Refusal::no_recipients().into());
        }
        if envelope.origin.auth.is_none() {
            envelope.forget_wishes_of_a_stranger();
        }
        let id = self.next_id();
        let at_ms = relayed.as_ref().map_or_else(|| self.now_ms(), |relayed| relayed.at_ms);
        let keeps_results = envelope.origin.lmtp && self.inner.options.trust_lmtp_results;
        let hosts = || vec![self.inner.options.hostname.clone()];
        Ok(Incoming {
            delivery: self.clone(),
            cleaner: (!keeps_results).then(|| Cleaner::new(hosts())),
            bench: self.bench(id, &envelope, at_ms),
            envelope,
            id,
            at_ms,
            relayed,
            gatherer: Some(Gatherer::default()),
            head: Head::default(),
            sink: Sink::Memory(Vec::new()),
            held: Held {
                all: self.inner.incoming_bytes.clone(),
                own: 0,
                most: self.inner.options.max_incoming_memory_bytes,
            },
            received_bytes: 0,
            eight_bit: false,
            header_cut: false,
            return_path: Bytes::new(),
            trace: Bytes::new(),
        })
    }

    /// Take a message that is in memory: [`Self::incoming`] for callers without a stream.
    pub async fn accept(&self, envelope: Envelope, message: &[u8]) -> Result<Accepted> {
        let mut incoming = self.incoming(envelope)?;
        // Too large is found again by `finish`, which knows the right refusal.
        match incoming.write_all(message) {
            Err(error) if error.kind() != io::ErrorKind::FileTooLarge => Err(error.into()),
            _ => incoming.finish().await,
        }
    }
}

impl Incoming {
    /// The future queue id of the message.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Ask the judges, then file it to all local recipients and queue it for the others, in one commit. When it returns
    /// Ok the message is durable for every recipient whose outcome is not [`RecipientOutcome::Refused`]; on any error
    /// nothing was accepted.
    ///
    /// Only LMTP has outcomes that are refused. One reply for all recipients, as in SMTP, is a refusal if all of them
    /// refuse; otherwise the message is accepted, and who refuses it gets it in Junk, or, where the sender is signed in,
    /// not at all and the sender a report.
    pub async fn finish(mut self) -> Result<Accepted> {
        let delivery = self.delivery.clone();
        self.look_at_the_head()?;
        let lmtp = self.envelope.origin.lmtp;
        let (whole, verdicts) = self.judged().await?;
        let (id, said) = (self.id, decide::summary(&verdicts));
        // A server that kept it for us has answered the client long ago: it would send a bounce, perhaps to a forged sender.
        let is_answered = self.envelope.origin.relay.is_some();
        if let Some(answer) = decide::nothing_to_take(&verdicts, lmtp).filter(|_| !is_answered) {
            tracing::info!(%id, verdicts = said, "refused by a check");
            return Ok(Accepted { id, recipients: answer? });
        }
        if let Some(elsewhere) = delivery.inner.elsewhere.clone() {
            let found = verdicts.into_iter().map(|verdict| verdict.findings).find(|findings| !findings.is_empty());
            return self.keep(whole, found.unwrap_or_default(), elsewhere).await;
        }
        let refused: Vec<Option<Refusal>> = verdicts
            .iter()
            .map(|verdict| verdict.refusal.clone().filter(|_| decide::is_answered(verdict, lmtp)))
            .collect();
        let dispatch = self.prepared(whole, verdicts).await?;
        let taken = delivery
            .commit_dispatch(Arc::clone(&dispatch), |tx, dispatch_in| {
                let Dispatched { outcomes, hints } = dispatch_in(tx)?;
                Ok((outcomes, hints))
            })
            .await?;
        metrics::counter!("holdfast_delivery_accepted_total").increment(1);
        tracing::info!(
            id = %id,
            from = dispatch.record.from,
            recipients = taken.len(),
            bytes = dispatch.record.body_bytes,
            verdicts = said,
            "accepted"
        );
        Ok(Accepted { id, recipients: decide::outcomes(taken, refused) })
    }

    /// All bytes are here: whether their number and the header are acceptable.
    fn look_at_the_head(&mut self) -> Result<()> {
        let delivery = self.delivery.clone();
        let options = &delivery.inner.options;
        if self.received_bytes > delivery.max_message_bytes() {
            return Err(Refusal::too_large(delivery.max_message_bytes()).into());
        }
        if let Some(gatherer) = self.gatherer.take() {
            self.write_head(gatherer.into_bytes())?;
        }
        if let Some(mut cleaner) = self.cleaner.take() {
            let mut rest = Vec::new();
            cleaner.finish(&mut rest);
            self.sink_write(&rest)?;
            if cleaner.removed() > 0 {
                tracing::info!(id = %self.id, count = cleaner.removed(), "took Authentication-Results in our name out");
            }
        }
        if self.head.hops > options.max_hops || self.head.own_hops > options.max_own_hops {
            metrics::counter!("holdfast_delivery_loops_total").increment(1);
            return Err(Refusal::too_many_hops(self.head.hops).into());
        }
        if let Some(account) = self.envelope.origin.auth {
            if self.header_cut {
                // A Bcc or a From behind the limit would go out unseen.
                return Err(Refusal::header_too_long(head::MAX_HEADER_BYTES).into());
            }
            delivery.check_authors(account, &self.head)?;
        }
        Ok(())
    }

    /// The bytes, and what the judges say of them.
    async fn judged(&mut self) -> Result<(Whole, Vec<Verdict>)> {
        let (whole, bench) = (self.whole().await?, self.bench.take());
        let verdicts = match bench {
            Some(bench) => bench.verdicts(&whole.spooled, self.delivery.inner.options.verdict_time).await,
            None => Vec::new(),
        };
        Ok((whole, verdicts))
    }

    /// [`Self::prepare`], off the async threads and a few at a time.
    async fn prepared(self, whole: Whole, verdicts: Vec<Verdict>) -> Result<Arc<Dispatch>> {
        let delivery = self.delivery.clone();
        let _permit = delivery.permit(self.received_bytes).await;
        let dispatch = tokio::task::spawn_blocking(move || self.prepare(whole, verdicts))
            .await
            .map_err(|_| Refusal::unavailable())??;
        Ok(Arc::new(dispatch))
    }

    /// The bytes are here: what judges and `prepare` read.
    async fn whole(&mut self) -> Result<Whole> {
        Ok(match std::mem::replace(&mut self.sink, Sink::Memory(Vec::new())) {
            Sink::Memory(bytes) => Whole { spooled: Spooled::in_memory(bytes.into()), staged: None },
            Sink::Disk(writer) => {
                let finished = tokio::task::spawn_blocking(move || (*writer).finish()).await;
                let body = finished.map_err(|_| Refusal::unavailable())??;
                let spooled = Spooled::on_disk(&self.delivery.inner.store, body.id(), body.len());
                Whole { spooled, staged: Some(body) }
            }
        })
    }

    /// Stage, parse, sign, route: all that is to be done before the commit. Blocking.
    fn prepare(self, whole: Whole, verdicts: Vec<Verdict>) -> Result<Dispatch> {
        let Self { delivery, envelope, id, at_ms, head, eight_bit, return_path, trace, held, relayed, .. } = self;
        // Until the message is where it belongs.
        let _held = held;
        let bytes = whole.spooled.read_all()?;
        let body = match whole.staged {
            Some(body) => body,
            None => delivery.inner.store.put_body(&bytes)?,
        };
        let auth = envelope.origin.auth;
        let along = Verdict::all_along(&verdicts);
        let recipients = delivery.route_judged(&envelope, verdicts)?;
        let is_remote = |r: &Routed| matches!(r.destination, Destination::Domain(_));
        let signed = if auth.is_some() && recipients.iter().any(is_remote) {
            delivery.sign(&head.from, &bytes)
        } else {
            Signed::default()
        };
        let mut filing =
            LocalCopy::new(body.clone(), &bytes, [return_path, trace.clone()], at_ms).once(delivery_key(id));
        if relayed.is_some() {
            // There was room when the relay took it, and nobody else has it any longer.
            filing = filing.whatever_the_quota();
        }
        let now_ms = delivery.now_ms();
        let utf8_needed = head.eight_bit || envelope_needs_utf8(&envelope);
        let record = MessageRecord {
            from: envelope.from.as_ref().map(ToString::to_string).unwrap_or_default(),
            account: auth.map(|account| account.0),
            peer: envelope.origin.peer.filter(|_| auth.is_none()).map(network).unwrap_or_default(),
            body: body.id().as_bytes().to_vec(),
            body_bytes: body.len(),
            signatures: signed.lines,
            unsigned: signed.later,
            trace: trace.into(),
            ret: ret_number(envelope.ret),
            envid: envelope.envid.clone(),
            eight_bit,
            smtputf8: envelope.smtputf8 && utf8_needed,
            long_lines: narrow::has_long_lines(&bytes),
            tls_wish: tls_wish(envelope.require_tls, head.tls_is_optional()),
            ..delivery.new_record(at_ms, if relayed.is_some() { now_ms } else { at_ms })
        };
        let versions = delivery.versions_of(&recipients, Some(&filing), &bytes)?;
        let onwards = delivery.onwards_of(&recipients, &record, &bytes);
        let replies = delivery.replies_of(&recipients);
        Ok(Dispatch {
            id,
            versions,
            onwards,
            replies,
            record,
            queue_body: body,
            filing: Some(filing),
            recipients,
            due_ms: now_ms,
            retry_ms: now_ms + delivery.retry_wait_ms(1),
            refuse_if_full: relayed.is_none(),
            along,
        })
    }

    /// The header section is complete: write our header lines above it and continue.
    fn write_head(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        let options = &self.delivery.inner.options;
        self.head = Head::read(&bytes, &options.hostname);
        let signed_in = self.envelope.origin.auth.is_some();
        self.return_path = trace::return_path(self.envelope.from.as_ref()).into();
        let (mut above, mut completed) = (self.received(), String::new());
        if signed_in {
            // What a submission server adds if the client did not (RFC 6409 §8): part of the message that is signed.
            if !self.head.has_date {
                completed.push_str(&format!("Date: {}\r\n", date::format(self.at_ms)));
            }
            if !self.head.has_message_id {
                completed.push_str(&format!("Message-ID: <{}@{}>\r\n", self.id, options.hostname));
            }
            if !self.head.has_from
                && let Some(from) = &self.envelope.from
            {
                completed.push_str(&format!("From: <{from}>\r\n"));
                self.head.from.push(from.clone());
            }
            bytes = head::without_bcc(bytes);
        }
        let kept = self.cleaned(&bytes);
        if let Some(relayed) = &self.relayed {
            above = relayed.above(&self.delivery, self.id);
        } else if !is_header_start(&kept) {
            // No header of its own: keep its first line from becoming part of ours.
            let last = if completed.is_empty() { &mut above } else { &mut completed };
            last.push_str("\r\n");
        }
        self.trace = above.into();
        self.show_judges(completed.as_bytes());
        self.show_judges(&bytes);
        self.sink_write(completed.as_bytes())?;
        self.sink_write(&kept)
    }

    fn show_judges(&mut self, bytes: &[u8]) {
        if let Some(bench) = &mut self.bench {
            bench.bytes(bytes);
        }
    }

    /// What is kept of the bytes.
    fn cleaned<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(cleaner) = self.cleaner.as_mut().filter(|cleaner| !cleaner.is_done()) else { return bytes.into() };
        let mut kept = Vec::with_capacity(bytes.len());
        cleaner.push(bytes, &mut kept);
        kept.into()
    }

    fn received(&self) -> String {
        let origin = &self.envelope.origin;
        let id = self.id.to_string();
        let recipient = match self.envelope.recipients.as_slice() {
            [only] => Some(&only.address),
            _ => None,
        };
        let forwarder = origin.relay.as_ref().and_then(|relay| relay.forwarder.as_ref());
        let (peer, helo) = forwarder.map_or((origin.peer, &origin.helo), |server| (server.peer, &server.helo));
        trace::Received {
            helo: helo.as_deref().unwrap_or("unknown"),
            // The location of an authenticated sender is private.
            peer: if origin.auth.is_some() { None } else { peer },
            by: &self.delivery.inner.options.hostname,
            with: &origin.protocol(self.envelope.smtputf8),
            tls: origin.tls.as_deref(),
            id: &id,
            recipient,
            at_ms: self.at_ms,
        }
        .to_header()
    }

    fn sink_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Sink::Memory(held) = &mut self.sink {
            if held.len() + bytes.len() <= self.held.limit() {
                held.extend_from_slice(bytes);
                return Ok(());
            }
            let mut writer = self.delivery.inner.store.body_writer().map_err(io::Error::other)?;
            writer.write_all(held)?;
            self.sink = Sink::Disk(Box::new(writer));
        }
        match &mut self.sink {
            Sink::Disk(writer) => writer.write_all(bytes),
            Sink::Memory(_) => Ok(()),
        }
    }
}

impl io::Write for Incoming {
    /// Blocks for disk only when a message outgrows memory ([`MAX_IN_MEMORY_BYTES`], or less while many come in).
    ///
    /// Fails with [`io::ErrorKind::FileTooLarge`] if the message is larger than `max_message_bytes`: drop the rest of it,
    /// then call [`Incoming::finish`], which returns the refusal.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.received_bytes = self.received_bytes.saturating_add(bytes.len() as u64);
        if self.received_bytes > self.delivery.max_message_bytes() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.eight_bit |= !bytes.is_ascii();
        match &mut self.gatherer {
            None => {
                self.show_judges(bytes);
                let kept = self.cleaned(bytes);
                self.sink_write(&kept)?;
            }
            Some(gatherer) => {
                // The header of someone who is signed in is looked at as a whole, however many come at once.
                let crowded = self.held.is_crowded() && self.envelope.origin.auth.is_none();
                let most = if crowded { MAX_IN_MEMORY_CROWDED_BYTES } else { head::MAX_HEADER_BYTES };
                if gatherer.push(bytes, most) {
                    let gatherer = self.gatherer.take().unwrap_or_default();
                    self.header_cut = !gatherer.is_whole(head::MAX_HEADER_BYTES);
                    self.write_head(gatherer.into_bytes())?;
                }
            }
        }
        let in_memory = match &self.sink {
            Sink::Memory(bytes) => bytes.len(),
            Sink::Disk(_) => 0,
        };
        self.held.set(in_memory + self.gatherer.as_ref().map_or(0, Gatherer::len));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn envelope_needs_utf8(envelope: &Envelope) -> bool {
    envelope.from.as_ref().is_some_and(EmailAddress::needs_smtputf8)
        || envelope.recipients.iter().any(|recipient| recipient.address.needs_smtputf8())
}

/// Whether the bytes begin with a header section, be it an empty one.
fn is_header_start(bytes: &[u8]) -> bool {
    let is_empty_line = bytes.starts_with(b"\r\n") || bytes.starts_with(b"\n");
    bytes.is_empty() || is_empty_line || headers::fields(bytes).next().is_some()
}
