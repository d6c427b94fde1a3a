//! Reports to senders (RFC 3464): made before the commit that they belong to, filed or queued within it.

use bytes::Bytes;
use directory::AccountId;
use mailkit::{EmailAddress, dsn, headers, trace};
use mailstore::MailError;
use rand::RngExt as _;
use store::Tx;

use crate::filing::{LocalCopy, file_local_in};
use crate::hint::Hint;
use crate::outbound::Reply;
use crate::schema::delivery_key;
use crate::schema::{
    LOCAL_DESTINATION, LegId, LegRecord, MessageRecord, RecipientRecord, VerdictRecord, notify_bits, ret_from_number,
};
use crate::sign::Signed;
use crate::source::QueuedBody;
use crate::{Delivery, MAX_RETURNED_BYTES, Notify, QueueId, Result, Ret, queue};

/// Headers that are read for a report that does not return the whole message.
const RETURNED_HEADER_BYTES: usize = 64 << 10;

/// Fields of a stranger's message that a report repeats: those that name it.
const NAMING_FIELDS: [&str; 5] = ["From", "To", "Date", "Message-ID", "Subject"];

/// Longest of these, in bytes.
const MAX_NAMING_FIELD_BYTES: usize = 512;

/// Of a message, the first field of each kind that names it.
fn naming_fields(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in NAMING_FIELDS {
        let field = headers::fields(message).find(|field| field.is(name));
        if let Some(field) = field.filter(|field| field.raw.len() <= MAX_NAMING_FIELD_BYTES) {
            out.extend_from_slice(field.raw.trim_ascii_end());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A report's entry for one recipient.
#[derive(Clone, Debug)]
pub struct Finding {
    pub recipient: RecipientRecord,
    pub action: dsn::Action,
    /// Enhanced status, `5.1.1`.
    pub status: String,
    /// In the remote server's words, or ours.
    pub text: String,
    pub remote: Option<String>,
}

impl Finding {
    /// From a reply, by its enhanced status if it has one. `class` is the first digit for those that have none or one
    /// of another class.
    pub fn new(
        recipient: RecipientRecord,
        action: dsn::Action,
        class: u8,
        reply: &Reply,
        remote: Option<String>,
    ) -> Self {
        Self { recipient, action, status: status_of(reply, class), text: reply.to_string(), remote }
    }

    /// Whether the sender requested a report.
    pub fn is_wanted(&self) -> bool {
        let notify = crate::schema::notify_from_bits(self.recipient.notify);
        match self.action {
            dsn::Action::Failed => notify.failure,
            dsn::Action::Delayed => notify.delay,
            _ => notify.success,
        }
    }
}

/// The status for a report's `Status:` field.
pub fn status_of(reply: &Reply, class: u8) -> String {
    match reply.enhanced() {
        Some((_, subject, detail)) => format!("{class}.{subject}.{detail}"),
        None => format!("{class}.0.0"),
    }
}

/// A report that is staged and knows where it goes. Cheap to clone; keep one until its commit is durable.
#[derive(Clone)]
pub struct PreparedReport {
    id: QueueId,
    message: LocalCopy,
    place: Place,
    record: MessageRecord,
    leg: LegRecord,
}

#[derive(Clone)]
enum Place {
    /// Into the sender's mailbox.
    Here(AccountId),
    /// To the sender's server, or to a mailbox that can not be written to now.
    Queue,
}

impl Delivery {
    /// Makes the report about `findings` of a message, if the sender requested it and can receive it. Blocking.
    ///
    /// The null sender never gets a report: reports about reports would never end (RFC 5321 §4.5.5).
    pub(crate) fn prepare_report(
        &self,
        original_id: QueueId,
        original: &MessageRecord,
        findings: &[Finding],
    ) -> Result<Option<PreparedReport>> {
        let wanted: Vec<&Finding> = findings.iter().filter(|finding| finding.is_wanted()).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let reader = original.reports_to();
        if reader.is_empty() {
            tracing::warn!(id = %original_id, recipients = wanted.len(), "dropping a bounce that can't be delivered");
            metrics::counter!("holdfast_delivery_double_bounces_total").increment(1);
            return Ok(None);
        }
        let Ok(to) = EmailAddress::parse(reader) else {
            tracing::warn!(id = %original_id, "can't send a bounce: could not read the sender's address");
            return Ok(None);
        };
        let Some(place) = self.place_of(&to) else {
            tracing::warn!(id = %original_id, sender = %to, "can't send a bounce: the sender's address no longer exists here");
            return Ok(None);
        };
        let is_ours = matches!(self.lookup(&to), Ok(Some(_)) | Err(_));
        if !is_ours && original.is_strange() && !self.may_report(original, &to) {
            tracing::warn!(id = %original_id, sender = %to, "not sending a bounce: too many within an hour");
            metrics::counter!("holdfast_delivery_reports_withheld_total").increment(1);
            return Ok(None);
        }
        let id = self.next_id();
        let at_ms = self.now_ms();
        let bytes = self.report_bytes(id, at_ms, original, &to, &wanted)?;
        let body = self.inner.store.put_body(&bytes)?;
        let destination = if is_ours { LOCAL_DESTINATION.to_owned() } else { to.domain().to_owned() };
        let from = self.reporter()?;
        let signed = if is_ours { Signed::default() } else { self.sign(&[from], &bytes) };
        // What was not to be read on its way out isn't on its way back (RFC 8689 §5).
        let tls_wish = original.tls_wish;
        let record = MessageRecord { tls_wish, ..self.own_record(&body, &bytes, signed, to.needs_smtputf8()) };
        let leg = LegRecord {
            destination,
            recipients: vec![RecipientRecord {
                address: to.to_string(),
                notify: notify_bits(Notify::NEVER),
                ..RecipientRecord::default()
            }],
            due_ms: at_ms,
            ..LegRecord::default()
        };
        let above = [trace::return_path(None).into(), Bytes::new()];
        // Reports about the user's own mail are filed even if the mailbox is full.
        let message = LocalCopy::new(body, &bytes, above, at_ms).once(delivery_key(id)).whatever_the_quota();
        Ok(Some(PreparedReport { id, message, place, record, leg }))
    }

    /// Where a report goes first; `None` when its reader is no address here any more.
    fn place_of(&self, to: &EmailAddress) -> Option<Place> {
        match self.lookup(to) {
            Ok(Some(account)) if !self.is_quarantined(account) => Some(Place::Here(account)),
            Err(refusal) if !refusal.is_temporary() => None,
            Ok(_) | Err(_) => Some(Place::Queue),
        }
    }

    /// Whether another report about incoming mail is allowed; counts it.
    fn may_report(&self, original: &MessageRecord, to: &EmailAddress) -> bool {
        let options = &self.inner.options;
        let mut keys = vec![(to.domain().to_owned(), options.max_reports_per_destination)];
        if !original.peer.is_empty() {
            keys.push((original.peer.clone(), options.max_reports_per_peer));
        }
        self.inner.reports.take(self.now_ms(), &keys)
    }

    /// Files or queues a report. Returns hints for the runner.
    pub(crate) fn write_report_in(&self, tx: &mut Tx<'_>, report: &PreparedReport) -> Result<Vec<Hint>> {
        metrics::counter!("holdfast_delivery_reports_total").increment(1);
        if let Place::Here(account) = report.place {
            match file_local_in(tx, &self.inner.mailstore, account, (&report.message, &[]), &VerdictRecord::default()) {
                Ok(_) => return Ok(Vec::new()),
                Err(MailError::OverQuota { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        queue::enqueue_in(tx, report.id, report.record.clone(), vec![report.leg.clone()])?;
        Ok(vec![Hint {
            destination: report.leg.destination.as_str().into(),
            due_ms: report.leg.due_ms,
            fresh: Some((LegId { id: report.id, leg: 0 }, 0)),
        }])
    }

    fn report_bytes(
        &self,
        id: QueueId,
        at_ms: i64,
        original: &MessageRecord,
        to: &EmailAddress,
        findings: &[&Finding],
    ) -> Result<Vec<u8>> {
        // The sender may be forged: include only the fields that identify the message.
        let is_strange = original.is_strange();
        let full = !is_strange
            && ret_from_number(original.ret) != Some(Ret::Headers)
            && original.outgoing_bytes() <= MAX_RETURNED_BYTES
            && findings.iter().any(|finding| finding.action == dsn::Action::Failed);
        let limit =
            if full { usize::try_from(MAX_RETURNED_BYTES).unwrap_or(usize::MAX) } else { RETURNED_HEADER_BYTES };
        // An unreadable body must not prevent the report.
        let returned = QueuedBody::outgoing(&self.inner.store, original).and_then(|body| body.start(limit));
        let returned = returned.unwrap_or_else(|error| {
            tracing::error!(%error, "could not read a message to return in a bounce");
            Vec::new()
        });
        let returned = if is_strange { naming_fields(&returned) } else { returned };
        let options = &self.inner.options;
        let recipients: Vec<dsn::RecipientReport> = findings
            .iter()
            .filter_map(|finding| {
                let mut text = finding.text.clone();
                let mut address = &finding.recipient.address;
                if let Some(forwarded) = original.forwarded.as_ref().filter(|_| is_strange) {
                    // Where it was sent on to is the owner's business.
                    text = text.replace(address.as_str(), &forwarded.owner);
                    address = &forwarded.owner;
                }
                Some(dsn::RecipientReport {
                    recipient: EmailAddress::parse(address).ok()?,
                    original_recipient: finding.recipient.orcpt.clone().filter(|_| !is_strange),
                    action: finding.action,
                    status: finding.status.clone(),
                    diagnostic: Some(text).filter(|text| !text.is_empty()),
                    remote_mta: finding.remote.clone(),
                    last_attempt_ms: Some(at_ms),
                    will_retry_until_ms: (finding.action == dsn::Action::Delayed).then_some(original.expires_ms),
                })
            })
            .collect();
        let from = self.reporter()?;
        let message_id = format!("{id}.{:08x}@{}", rand::rng().random::<u32>(), options.hostname);
        let report = dsn::Report {
            reporting_mta: &options.hostname,
            from: &from,
            to,
            envelope_id: original.envid.as_deref().filter(|_| !is_strange),
            arrival_ms: original.created_ms,
            date_ms: at_ms,
            message_id: &message_id,
            recipients: &recipients,
            original: &returned,
            of_own: !is_strange,
            return_full: full,
        };
        Ok(report.build())
    }

    /// The sender of reports: `mailer-daemon` of our first domain.
    pub(crate) fn reporter(&self) -> Result<EmailAddress> {
        let text = format!("mailer-daemon@{}", self.reporting_domain()?);
        EmailAddress::parse(&text)
            .or_else(|_| EmailAddress::parse("mailer-daemon@localhost"))
            .map_err(|error| crate::DeliveryError::BadOption { option: "hostname", problem: error.to_string() })
    }

    pub(crate) fn is_quarantined(&self, account: AccountId) -> bool {
        self.inner.store.quarantined().iter().any(|(realm, _)| *realm == account.realm())
    }
}
