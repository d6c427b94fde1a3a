//! Send is pressed: a finished message goes out once, however often it is asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use directory::AccountId;
use mailkit::{EmailAddress, Parsed, narrow, trace};
use mailstore::{
    EmailId, FlagChange, Flags, Keyword, MAX_PREFIX_BYTES, MailError, MailboxId, NewMessage, Role, SystemFlag, Uid,
};
use prost::Message as _;
use store::{StagedBody, Tx};

use crate::dispatch::{CommitError, Destination, Dispatch, Dispatched, Routed};
use crate::filing::{LocalCopy, mailbox_of_role_in};
use crate::head::Head;
use crate::judge::{Spooled, Verdict};
use crate::receipts::{forget_receipts_in, load_receipt};
use crate::schema::delivery_key;
use crate::schema::{self, CopyRecord, MessageRecord, ReceiptRecord, ret_number, tls_wish};
use crate::sign::Signed;
use crate::{
    Authors, Delivery, DeliveryError, Envelope, Origin, QueueId, Recipient, RecipientOutcome, Refusal, Result, Ret,
    decide, queue,
};

/// Longest idempotency key.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 64;

/// A message that an account sends through the web or another door that builds messages.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Whose it is.
    pub account: AccountId,
    /// Names this Send: the same key again gives the same receipt and sends nothing.
    /// 1..=[`MAX_IDEMPOTENCY_KEY_BYTES`] bytes; at least 16 random ones are advised.
    pub idempotency_key: Vec<u8>,
    /// The reverse-path; the account must be allowed to send as it.
    pub from: EmailAddress,
    /// All recipients, Bcc included.
    pub recipients: Vec<Recipient>,
    /// How much of the message a report returns.
    pub ret: Option<Ret>,
    /// The finished message (RFC 5322), without Bcc lines. Bytes are cheap to clone.
    pub message: Bytes,
    /// Keep a copy in Sent, marked seen: the message, below [`Self::copy_prefix`].
    pub keep_copy: bool,
    /// Header fields above that copy and no other, or nothing: the Bcc, which nobody else is to see.
    pub copy_prefix: Bytes,
    /// Remove this draft in the same commit, if it is still there.
    pub remove_draft: Option<(MailboxId, Uid)>,
    /// Mark the message that this one answers or forwards, in the same commit, if it is still there.
    pub responds_to: Option<RespondsTo>,
    /// Wait this long before anything leaves, so that [`Delivery::cancel_submission`] can take it back.
    /// Zero: at once. At most [`MAX_HOLD`].
    pub hold: Duration,
    /// Display names and addresses to remember for completion; see `MailStore::correspondents`.
    pub correspondents: Vec<(String, String)>,
}

impl Submission {
    /// Whether an address of the envelope can only go where SMTPUTF8 is known.
    fn has_utf8_addresses(&self) -> bool {
        self.from.needs_smtputf8() || self.recipients.iter().any(|recipient| recipient.address.needs_smtputf8())
    }

    fn origin(&self) -> Origin {
        Origin { auth: Some(self.account), ..Origin::default() }
    }

    /// As a door that takes envelopes would have it.
    fn envelope(&self) -> Envelope {
        Envelope {
            from: Some(self.from.clone()),
            recipients: self.recipients.clone(),
            ret: self.ret,
            envid: None,
            body_8bit: !self.message.is_ascii(),
            smtputf8: false,
            require_tls: false,
            origin: self.origin(),
        }
    }
}

/// The message of the same account that a submission answers or forwards. It is marked wherever it is filed, with
/// `\\Answered` (RFC 9051 section 2.3.2) or `$Forwarded` (RFC 5788); a recall takes off the marks that it set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RespondsTo {
    /// It is a reply to this one.
    Reply(EmailId),
    /// It forwards this one.
    Forward(EmailId),
}

impl RespondsTo {
    const fn email(self) -> EmailId {
        match self {
            Self::Reply(email) | Self::Forward(email) => email,
        }
    }
}

/// The flag of an answered, or of a forwarded message.
fn mark(forwarded: bool) -> Result<Flags> {
    if !forwarded {
        return Ok(Flags::of(&[SystemFlag::Answered]));
    }
    let mut flags = Flags::NONE;
    flags.insert_keyword(Keyword::new("$Forwarded")?)?;
    Ok(flags)
}

/// Longest hold of a submission: 30 days, enough for "send later".
pub const MAX_HOLD: Duration = Duration::from_hours(30 * 24);

/// The result of a Send; the same for every repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitReceipt {
    /// The message's queue id.
    pub id: QueueId,
    /// The time of acceptance, milliseconds since 1970 UTC.
    pub submitted_ms: i64,
    /// Until when it can be recalled, if it was held.
    pub held_until_ms: Option<i64>,
    /// The location of the copy in Sent.
    pub sent_copy: Option<SentCopy>,
    /// It was recalled by [`Delivery::cancel_submission`].
    pub cancelled: bool,
    /// One outcome per recipient, in order.
    pub recipients: Vec<RecipientOutcome>,
    /// This call sent nothing, for an earlier one with the same key did.
    pub repeated: bool,
}

/// The copy that the sender keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentCopy {
    /// The mailbox with the role Sent at that time.
    pub mailbox: MailboxId,
    /// Its UID there.
    pub uid: Uid,
    /// Its identity in the account.
    pub email: EmailId,
}

impl Delivery {
    /// Send: receipt, copy in Sent, queue entries, local filings, removal of the draft and the mark on the message that is
    /// answered, in one commit. When it
    /// returns Ok all that is durable. Called again with the same key, at once or after a crash, it sends nothing and
    /// returns the first receipt.
    ///
    /// # Errors
    /// [`DeliveryError::Refused`] names the recipient or the rule; nothing was sent, and the key is free.
    pub async fn submit(&self, submission: Submission) -> Result<SubmitReceipt> {
        check_key(&submission.idempotency_key)?;
        let account = submission.account;
        if let Some(receipt) = self.receipt(account, &submission.idempotency_key)? {
            // What was read may be durable here alone.
            self.inner.store.acknowledged_in(account.realm()).await?;
            return Ok(receipt);
        }
        self.check_submission(&submission)?;
        self.check_allowance(account, &submission.recipients).await?;
        let (this, id) = (self.clone(), self.next_id());
        let verdicts = self.judge_submission(&submission, id).await?;
        let permit = self.permit(submission.message.len() as u64).await;
        let prepared = tokio::task::spawn_blocking(move || this.prepare_submission(submission, id, verdicts))
            .await
            .map_err(|_| Refusal::unavailable())??;
        drop(permit);
        let (dispatch, rest) = (Arc::new(prepared.dispatch), prepared.rest);
        let this = self.clone();
        let receipt = self
            .commit_dispatch(dispatch, move |tx, dispatch_in| {
                // Two Sends with one key may have come this far: the second finds the first one's receipt.
                if let Some(record) = load_receipt(tx, account, &rest.idempotency_key)? {
                    return Ok((receipt_of(&record, true), Vec::new()));
                }
                let Dispatched { outcomes, hints } = dispatch_in(tx)?;
                let receipt = this.write_rest_in(tx, &rest, outcomes).map_err(CommitError::Other)?;
                Ok((receipt, hints))
            })
            .await?;
        if !receipt.repeated {
            metrics::counter!("holdfast_delivery_submitted_total").increment(1);
            tracing::info!(id = %receipt.id, account = account.0, recipients = receipt.recipients.len(), "submitted");
        }
        Ok(receipt)
    }

    /// Take back a held submission: nothing leaves, and the copy in Sent becomes a draft again. Idempotent.
    ///
    /// # Errors
    /// [`DeliveryError::TooLate`] once the hold is over, [`DeliveryError::UnknownSubmission`].
    pub async fn cancel_submission(&self, account: AccountId, idempotency_key: &[u8]) -> Result<SubmitReceipt> {
        let receipt = self.receipt(account, idempotency_key)?.ok_or(DeliveryError::UnknownSubmission)?;
        if receipt.cancelled {
            self.inner.store.acknowledged_in(account.realm()).await?;
            return Ok(receipt);
        }
        let legs = queue::legs(&self.inner.store.snapshot(), receipt.id)?;
        // The holder of a claim is delivering it right now.
        let _claims = self.inner.claims.claim_all(legs.iter().map(|(leg, _)| *leg)).ok_or(DeliveryError::TooLate)?;
        let (this, key) = (self.clone(), idempotency_key.to_vec());
        let cancelled = self.inner.store.transact(move |tx| this.cancel_in(tx, account, &key)).await?;
        tracing::info!(id = %cancelled.id, account = account.0, "submission recalled");
        Ok(cancelled)
    }

    /// The receipt under a key, if there was such a Send within `keep_receipts`. A quick read: of a Send that
    /// may not be acknowledged yet.
    pub fn receipt(&self, account: AccountId, idempotency_key: &[u8]) -> Result<Option<SubmitReceipt>> {
        check_key(idempotency_key)?;
        let record = load_receipt(&self.inner.store.snapshot(), account, idempotency_key)?;
        Ok(record.map(|record| receipt_of(&record, true)))
    }

    fn check_submission(&self, submission: &Submission) -> Result<()> {
        let options = &self.inner.options;
        let bytes = submission.message.len() as u64;
        if bytes > options.max_message_bytes {
            return Err(Refusal::too_large(options.max_message_bytes).into());
        }
        if submission.recipients.is_empty() {
            return Err(Refusal::no_recipients().into());
        }
        if submission.recipients.len() > options.max_recipients {
            return Err(Refusal::too_many_recipients(options.max_recipients).into());
        }
        self.mail_from(Some(&submission.from), Some(submission.account))?;
        self.check_authors(submission.account, &Head::read(&submission.message, &options.hostname))
    }

    /// What the judges say of it; an error if none of its recipients takes it.
    async fn judge_submission(&self, submission: &Submission, id: QueueId) -> Result<Vec<Verdict>> {
        let envelope = submission.envelope();
        let Some(mut bench) = self.bench(id, &envelope, self.now_ms()) else { return Ok(Vec::new()) };
        bench.bytes(&submission.message);
        let message = Spooled::in_memory(submission.message.clone());
        let verdicts = bench.verdicts(&message, self.inner.options.verdict_time).await;
        if let Some(Err(refusal)) = decide::nothing_to_take(&verdicts, false) {
            tracing::info!(%id, verdicts = decide::summary(&verdicts), "refused by a check");
            return Err(refusal.into());
        }
        Ok(verdicts)
    }

    /// Stage, parse, sign, route. Blocking.
    fn prepare_submission(&self, submission: Submission, id: QueueId, verdicts: Vec<Verdict>) -> Result<Prepared> {
        let Submission { account, from, message, .. } = &submission;
        let (store, options, at_ms) = (&self.inner.store, &self.inner.options, self.now_ms());
        let release_ms = release_ms(submission.hold, at_ms);
        let head = Head::read(message, &options.hostname);

        let along = Verdict::all_along(&verdicts);
        let mut recipients = self.route(&submission.recipients, Some(*account))?;
        for (recipient, verdict) in recipients.iter_mut().zip(verdicts) {
            decide::apply(recipient, verdict, &submission.origin());
        }
        if release_ms > 0 {
            file_later(&mut recipients);
        }
        let trace_line = self.trace_line(&submission, id, at_ms);
        let body = store.put_body(message)?;
        let is_remote = |r: &Routed| matches!(r.destination, Destination::Domain(_));
        let signed = if recipients.iter().any(is_remote) { self.sign(&head.from, message) } else { Signed::default() };
        let is_here = |r: &Routed| matches!(r.destination, Destination::Account(_));
        let parsed = Arc::new(mailkit::parse(message));
        let filing = recipients.iter().any(is_here).then(|| {
            let above = [trace::return_path(Some(from)).into(), trace_line.clone().into()];
            LocalCopy::of_parsed(body.clone(), (message, &parsed), above, at_ms).once(delivery_key(id))
        });
        let utf8 = head.eight_bit || submission.has_utf8_addresses();
        let due_ms = release_ms.max(at_ms);
        let record = MessageRecord {
            from: from.to_string(),
            account: Some(account.0),
            body: body.id().as_bytes().to_vec(),
            body_bytes: body.len(),
            signatures: signed.lines,
            unsigned: signed.later,
            trace: trace_line.into_bytes(),
            ret: ret_number(submission.ret),
            eight_bit: !message.is_ascii(),
            smtputf8: utf8,
            long_lines: narrow::has_long_lines(message),
            tls_wish: tls_wish(false, head.tls_is_optional()),
            release_ms,
            ..self.new_record(at_ms, due_ms)
        };
        let sent_copy =
            if submission.keep_copy { Some(self.sent_copy(&submission, &body, &parsed, at_ms)?) } else { None };
        let dispatch = Dispatch {
            id,
            versions: self.versions_of(&recipients, filing.as_ref(), message)?,
            onwards: self.onwards_of(&recipients, &record, message),
            replies: self.replies_of(&recipients),
            record,
            queue_body: body,
            filing,
            recipients,
            due_ms,
            retry_ms: due_ms,
            refuse_if_full: false,
            along,
        };
        let rest = Rest {
            account: submission.account,
            idempotency_key: submission.idempotency_key,
            id,
            release_ms,
            sent_copy,
            remove_draft: submission.remove_draft,
            responds_to: submission.responds_to,
            correspondents: submission.correspondents,
        };
        Ok(Prepared { dispatch, rest })
    }

    /// The line that tells that we took the message over the web.
    fn trace_line(&self, submission: &Submission, id: QueueId, at_ms: i64) -> String {
        let text_id = id.to_string();
        let only = match submission.recipients.as_slice() {
            [only] => Some(&only.address),
            _ => None,
        };
        trace::Received {
            helo: "webmail",
            peer: None,
            by: &self.inner.options.hostname,
            with: "HTTP",
            tls: None,
            id: &text_id,
            recipient: only,
            at_ms,
        }
        .to_header()
    }

    /// What is filed in Sent; `body` is the message as it goes out.
    fn sent_copy(
        &self,
        submission: &Submission,
        body: &StagedBody,
        parsed: &Arc<Parsed>,
        at_ms: i64,
    ) -> Result<NewMessage> {
        let (prefix, body) = (&submission.copy_prefix, body.clone());
        let (body, parsed) = if prefix.is_empty() {
            (body.into(), Arc::clone(parsed))
        } else {
            let whole = [&prefix[..], &submission.message].concat();
            let body = if prefix.len() <= MAX_PREFIX_BYTES {
                mailstore::StagedBody::from(body).under(prefix.clone())?
            } else {
                // To more people than fit above a body that others share.
                self.inner.store.put_body(&whole)?.into()
            };
            (body, Arc::new(mailkit::parse(&whole)))
        };
        Ok(NewMessage {
            body,
            parsed,
            flags: Flags::of(&[SystemFlag::Seen]),
            internal_date_ms: at_ms,
            delivery_key: None,
            // The message goes out: its copy must not be what fails.
            ignore_quota: true,
        })
    }

    /// The writes of a Send in the sender's account.
    fn write_rest_in(&self, tx: &mut Tx<'_>, rest: &Rest, outcomes: Vec<RecipientOutcome>) -> Result<SubmitReceipt> {
        let (mailstore, realm, now_ms) = (&self.inner.mailstore, rest.account.realm(), tx.now_ms());
        let sent_copy = match &rest.sent_copy {
            None => None,
            Some(message) => {
                let mailbox = self.mailbox_of_role_in(tx, rest.account, Role::Sent)?;
                let filed = mailstore.append_in(tx, realm, mailbox, message)?;
                Some(CopyRecord { mailbox: mailbox.0, uid: filed.uid.0, email: filed.email_id.0 })
            }
        };
        if let Some((mailbox, uid)) = rest.remove_draft {
            match mailstore.expunge_in(tx, realm, mailbox, &[uid]) {
                // Another session may have removed it already.
                Ok(_) | Err(MailError::MailboxGone(_) | MailError::NoSuchMessage { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut marked = Vec::new();
        let forwarded = matches!(rest.responds_to, Some(RespondsTo::Forward(_)));
        if let Some(email) = rest.responds_to.map(RespondsTo::email) {
            let places = mailstore.mark_everywhere_in(tx, realm, email, &mark(forwarded)?)?;
            marked.extend(places.iter().map(|(at, uid)| CopyRecord { mailbox: at.0, uid: uid.0, email: email.0 }));
        }
        if !rest.correspondents.is_empty() {
            mailstore.remember_correspondents_in(tx, realm, &rest.correspondents)?;
        }
        let record = ReceiptRecord {
            id: rest.id.0,
            submitted_ms: now_ms,
            held_until_ms: rest.release_ms,
            sent_copy,
            cancelled: false,
            recipients: outcomes.iter().map(outcome_number).collect(),
            marked,
            forwarded,
        };
        self.keep_receipt_in(tx, rest.account, &rest.idempotency_key, &record, now_ms.max(rest.release_ms));
        forget_receipts_in(tx, rest.account.realm(), now_ms)?;
        Ok(receipt_of(&record, false))
    }

    /// Keep the receipt of a Send for its time, counted from `from_ms`.
    pub(crate) fn keep_receipt_in(
        &self,
        tx: &mut Tx<'_>,
        account: AccountId,
        idempotency_key: &[u8],
        record: &ReceiptRecord,
        from_ms: i64,
    ) {
        let keep_ms = i64::try_from(self.inner.options.keep_receipts.as_millis()).unwrap_or(i64::MAX);
        let forget_ms = from_ms.saturating_add(keep_ms);
        tx.put(account.realm(), schema::receipt_key(idempotency_key), record.encode_to_vec());
        tx.put(account.realm(), schema::receipt_expiry_key(forget_ms, idempotency_key), Vec::new());
    }

    fn cancel_in(&self, tx: &mut Tx<'_>, account: AccountId, idempotency_key: &[u8]) -> Result<SubmitReceipt> {
        let mut receipt = load_receipt(tx, account, idempotency_key)?.ok_or(DeliveryError::UnknownSubmission)?;
        if receipt.cancelled {
            return Ok(receipt_of(&receipt, true));
        }
        let id = QueueId(receipt.id);
        let Some(record) = queue::message(tx, id)? else { return Err(DeliveryError::TooLate) };
        let untried = queue::legs(tx, id)?.iter().all(|(_, leg)| leg.attempts == 0);
        if record.release_ms <= tx.now_ms() || !untried {
            return Err(DeliveryError::TooLate);
        }
        queue::remove_in(tx, id, &record)?;
        if let Some(copy) = receipt.sent_copy {
            self.make_draft_in(tx, account, copy)?;
        }
        self.unmark_in(tx, account, &receipt)?;
        receipt.cancelled = true;
        tx.put(account.realm(), schema::receipt_key(idempotency_key), receipt.encode_to_vec());
        Ok(receipt_of(&receipt, false))
    }

    /// Takes off the marks that a Send set, where the messages still are.
    fn unmark_in(&self, tx: &mut Tx<'_>, account: AccountId, receipt: &ReceiptRecord) -> Result<()> {
        let (mailstore, realm) = (&self.inner.mailstore, account.realm());
        let change = FlagChange::Remove(mark(receipt.forwarded)?);
        for place in &receipt.marked {
            let mailbox = MailboxId(place.mailbox);
            if mailstore.mailbox_in(tx, realm, mailbox)?.is_some() {
                mailstore.set_flags_in(tx, realm, mailbox, &[Uid(place.uid)], &change, None)?;
            }
        }
        Ok(())
    }

    /// The copy in Sent becomes a draft, if it is still where it was filed.
    fn make_draft_in(&self, tx: &mut Tx<'_>, account: AccountId, copy: CopyRecord) -> Result<()> {
        let (mailstore, realm) = (&self.inner.mailstore, account.realm());
        let drafts = self.mailbox_of_role_in(tx, account, Role::Drafts)?;
        let (sent, uid) = (MailboxId(copy.mailbox), Uid(copy.uid));
        if mailstore.mailbox_in(tx, realm, sent)?.is_none() || sent == drafts {
            return Ok(());
        }
        let flags = FlagChange::Add(Flags::of(&[SystemFlag::Draft, SystemFlag::Seen]));
        mailstore.set_flags_in(tx, realm, sent, &[uid], &flags, None)?;
        mailstore.move_in(tx, realm, sent, &[uid], drafts)?;
        Ok(())
    }

    fn mailbox_of_role_in(&self, tx: &mut Tx<'_>, account: AccountId, role: Role) -> Result<MailboxId> {
        let mailbox = mailbox_of_role_in(tx, &self.inner.mailstore, account, role)?;
        mailbox.ok_or_else(|| MailError::NoSuchMailbox(role.standard_name().to_owned()).into())
    }

    /// Whether the From field has only addresses that the account may use, and can't be read differently.
    pub(crate) fn check_authors(&self, account: AccountId, head: &Head) -> Result<()> {
        let authors = self.inner.options.authors;
        if authors == Authors::Any {
            return Ok(());
        }
        if let Some(problem) = &head.from_problem {
            return Err(Refusal::author_not_understood(problem).into());
        }
        if head.from.is_empty() {
            return Err(Refusal::author_not_understood("it has none").into());
        }
        for author in &head.from {
            if authors == Authors::Own || self.is_in_our_domain(author)? {
                self.mail_from(Some(author), Some(account))?;
            }
        }
        Ok(())
    }
}

/// Everything a Send needs, made before its commit.
struct Prepared {
    dispatch: Dispatch,
    rest: Rest,
}

/// The data for the sender's account.
struct Rest {
    account: AccountId,
    idempotency_key: Vec<u8>,
    id: QueueId,
    release_ms: i64,
    sent_copy: Option<NewMessage>,
    remove_draft: Option<(MailboxId, Uid)>,
    responds_to: Option<RespondsTo>,
    correspondents: Vec<(String, String)>,
}

/// A message that can be recalled is not filed to anyone yet.
fn file_later(recipients: &mut [Routed]) {
    for recipient in recipients.iter_mut().filter(|r| matches!(r.destination, Destination::Account(_))) {
        recipient.destination = Destination::LocalQueue;
    }
}

/// When a message that is held goes out, in milliseconds since 1970; 0 if it goes at once.
fn release_ms(hold: Duration, at_ms: i64) -> i64 {
    let hold = hold.min(MAX_HOLD);
    if hold.is_zero() { 0 } else { at_ms + i64::try_from(hold.as_millis()).unwrap_or(i64::MAX) }
}

fn check_key(key: &[u8]) -> Result<()> {
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        let text = format!("An idempotency key must have 1 to {MAX_IDEMPOTENCY_KEY_BYTES} bytes");
        return Err(Refusal::new(554, (5, 5, 4), text).into());
    }
    Ok(())
}

fn outcome_number(outcome: &RecipientOutcome) -> u64 {
    match outcome {
        // A Send refuses no recipient: those without a mailbox here are in the queue.
        RecipientOutcome::Queued | RecipientOutcome::Refused(_) => 0,
        RecipientOutcome::Filed(account) => u64::from(account.0) + 1,
    }
}

fn receipt_of(record: &ReceiptRecord, repeated: bool) -> SubmitReceipt {
    let outcome = |&number: &u64| match u32::try_from(number.wrapping_sub(1)) {
        Ok(account) => RecipientOutcome::Filed(AccountId(account)),
        Err(_) => RecipientOutcome::Queued,
    };
    SubmitReceipt {
        id: QueueId(record.id),
        submitted_ms: record.submitted_ms,
        held_until_ms: (record.held_until_ms > 0).then_some(record.held_until_ms),
        sent_copy: record.sent_copy.map(|copy| SentCopy {
            mailbox: MailboxId(copy.mailbox),
            uid: Uid(copy.uid),
            email: EmailId(copy.email),
        }),
        cancelled: record.cancelled,
        recipients: record.recipients.iter().map(outcome).collect(),
        repeated,
    }
}
