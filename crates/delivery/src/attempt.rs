//! One attempt at one leg: recorded before it starts, made, and its result recorded together with the resulting
//! reports.
//!
//! The record before the attempt tells an operator what was in progress when the process died. The result is one
//! commit: delivered recipients are removed, others get their next time, reports are filed or queued. If the process
//! crashes between a server's "250" and that commit, the message is delivered a second time; SMTP can't avoid this (RFC
//! 1047).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use directory::{AccountId, count_mask_in};
use mailkit::{EmailAddress, dsn, trace};
use mailstore::MailError;
use rand::RngExt as _;
use store::{StoreError, Tx};
use tracing::Instrument as _;

use crate::dispatch::CommitError;
use crate::filing::{LocalCopy, file_local_in};
use crate::forward::{Onwards, send_on_in};
use crate::forwarding::failing::{Tried, note_in};
use crate::hint::Hint;
use crate::outbound::Reply;
use crate::outbound::attempt::{HostAnswer, Outbound};
use crate::outbound::transaction::{Fate, Mail, MailRecipient};
use crate::reply::{Replies, remember_and_reply_in};
use crate::report::{Finding, PreparedReport, status_of};
use crate::route::RecipientRoute;
use crate::schema::delivery_key;
use crate::schema::{
    LOCAL_DESTINATION, LegId, LegRecord, MessageRecord, RecipientRecord, SecurityRecord, VerdictRecord,
    notify_from_bits, ret_from_number,
};
use crate::source::{QueuedBody, read_all};
use crate::suit::Outgoing;
use crate::versions::Versions;
use crate::{Delivery, DeliveryError, Refusal, Result, queue};

/// Longest wait between tries to record a result that the store does not take.
const LONGEST_SETTLE_WAIT: Duration = Duration::from_secs(30);

/// How much of a server's reply is kept in the queue.
const MAX_KEPT_ERROR_CHARS: usize = 500;

/// An attempt under way.
#[derive(Clone)]
struct Attempt {
    leg_id: LegId,
    token: u64,
    record: MessageRecord,
    leg: LegRecord,
}

impl Attempt {
    /// Notes what became of a message at addresses that an account forwards to. The account, if one is paused by it.
    fn note_forwarded_in(&self, tx: &mut Tx<'_>, result: &Outcome) -> Result<Option<AccountId>> {
        let (Some(account), true) = (self.record.account.map(AccountId), self.record.forwarded.is_some()) else {
            return Ok(None);
        };
        let mut is_paused = false;
        for recipient in &self.leg.recipients {
            let is_it = |one: &RecipientRecord| one.address == recipient.address;
            if result.remaining.iter().any(is_it) {
                continue;
            }
            let failed = |finding: &&Finding| finding.action == dsn::Action::Failed && is_it(&finding.recipient);
            let failure = result.findings.iter().find(failed).map(|finding| finding.text.as_str());
            let tried = Tried { address: &recipient.address, failure };
            is_paused |= note_in(tx, account, &tried)?;
        }
        Ok(is_paused.then_some(account))
    }
}

/// What came of talking to a destination.
struct Talk {
    answers: Vec<HostAnswer>,
    /// A host responded.
    reached: bool,
    security: Option<SecurityRecord>,
}

impl Talk {
    /// There was none, for a reason of ours.
    fn none(attempt: &Attempt, fate: Fate) -> Self {
        let answer = HostAnswer { fate, remote: None, reports: false };
        Self { answers: vec![answer; attempt.leg.recipients.len()], reached: true, security: None }
    }
}

/// The result of an attempt to record.
#[derive(Default)]
struct Outcome {
    remaining: Vec<RecipientRecord>,
    findings: Vec<Finding>,
}

impl Outcome {
    /// Recipients whose server, or the DNS, said that the message never reaches them.
    fn refused_for_good(&self) -> u32 {
        let is_it = |finding: &&Finding| finding.action == dsn::Action::Failed && finding.status != "5.4.7";
        u32::try_from(self.findings.iter().filter(is_it).count()).unwrap_or(u32::MAX)
    }
}

/// A queued message for accounts here.
#[derive(Clone)]
struct Here {
    message: LocalCopy,
    /// As the rules of accounts changed it.
    versions: Arc<Versions>,
    /// As it is sent on.
    onwards: Arc<Onwards>,
    replies: Arc<Replies>,
}

impl Delivery {
    /// Attempt a leg. The caller holds the claim on it. `answered` is called once it is known whether a host responded,
    /// before the result is recorded: the connection is free for the next message by then. It is not called if there was
    /// nothing to attempt. Errors are handled here.
    pub(crate) async fn attempt(&self, outbound: &Outbound, leg_id: LegId, answered: impl FnOnce(bool) + Send) {
        let span = tracing::info_span!("attempt", id = %leg_id.id, leg = leg_id.leg);
        self.attempt_within(outbound, leg_id, answered).instrument(span).await;
    }

    async fn attempt_within(&self, outbound: &Outbound, leg_id: LegId, answered: impl FnOnce(bool) + Send) {
        let found = queue::due_leg(&self.inner.store.snapshot(), leg_id, self.now_ms());
        let (record, mut leg) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(error) => return self.not_begun(leg_id, &error).await,
        };
        if self.is_stopped(&record) {
            let id = leg_id.id;
            match self.inner.store.transact(move |tx| queue::hold_stopped_in(tx, id)).await {
                Ok(()) | Err(DeliveryError::NotQueued(_)) => {}
                Err(error) => self.not_begun(leg_id, &error).await,
            }
            return;
        }
        leg.attempts = leg.attempts.saturating_add(1);
        let token = rand::rng().random::<u64>() | 1;
        let begun = self.inner.store.transact(move |tx| queue::begin_attempt_in(tx, leg_id, token));
        let mut attempt = Attempt { leg_id, token, record, leg };
        metrics::counter!("holdfast_delivery_attempts_total").increment(1);
        if attempt.leg.destination == LOCAL_DESTINATION {
            match begun.await {
                Ok(_) => self.attempt_here(attempt).await,
                Err(error) => self.not_begun(leg_id, &error).await,
            }
            return answered(true);
        }
        // That an attempt began is recorded while it runs: the record is for people, nothing waits for it.
        let (talk, begun) = tokio::join!(self.attempt_elsewhere(outbound, &attempt), begun);
        answered(talk.reached);
        if let Err(error) = begun {
            tracing::error!(id = %leg_id.id, %error, "could not record the start of a delivery attempt");
        }
        attempt.leg.security = talk.security;
        let result = self.consequences(&attempt, talk.answers);
        self.settle(attempt, result).await;
    }

    /// Whether the sending of a message's account is stopped.
    fn is_stopped(&self, record: &MessageRecord) -> bool {
        let Some(account) = record.account.map(AccountId) else { return false };
        let sending = self.inner.directory.sending(account);
        sending.is_ok_and(|sending| sending.is_some_and(|sending| sending.stopped.is_some()))
    }

    async fn not_begun(&self, leg_id: LegId, error: &DeliveryError) {
        tracing::error!(id = %leg_id.id, %error, "could not start a delivery attempt");
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.inner.hints.rescan();
    }

    async fn attempt_elsewhere(&self, outbound: &Outbound, attempt: &Attempt) -> Talk {
        let record = match self.signed_now(attempt.leg_id.id, &attempt.record).await {
            Ok(record) => record,
            Err(fate) => return Talk::none(attempt, fate),
        };
        let recipient = |r: &RecipientRecord| MailRecipient {
            address: r.address.clone(),
            notify: notify_from_bits(r.notify),
            orcpt: r.orcpt.clone(),
        };
        let from = match self.sender_outside(&record).await {
            Ok(from) => from,
            Err(fate) => return Talk::none(attempt, fate),
        };
        let mail = Mail {
            from,
            recipients: attempt.leg.recipients.iter().map(recipient).collect(),
            size: record.outgoing_bytes(),
            eight_bit: record.eight_bit,
            long_lines: record.long_lines,
            smtputf8: record.smtputf8,
            ret: ret_from_number(record.ret),
            envid: record.envid.clone(),
            tls: record.wish(),
        };
        match QueuedBody::outgoing(&self.inner.store, &record) {
            Ok(body) => {
                let outgoing = Outgoing::new(self.clone(), record.into_owned(), body);
                let done = outbound.deliver(&attempt.leg.destination, &mail, &outgoing).await;
                Talk { answers: done.answers, reached: done.reached, security: done.security }
            }
            Err(error) => {
                tracing::error!(id = %attempt.leg_id.id, %error, "could not read a queued message");
                Talk::none(attempt, Fate::Deferred(Reply::new(451, "4.3.0 the message can't be read at the moment")))
            }
        }
    }

    /// The consequences of the answers for each recipient.
    fn consequences(&self, attempt: &Attempt, answers: Vec<HostAnswer>) -> Outcome {
        let now_ms = self.now_ms();
        let expired = now_ms >= attempt.record.expires_ms;
        let mut result = Outcome::default();
        for (recipient, answer) in attempt.leg.recipients.iter().zip(answers) {
            let HostAnswer { fate, remote, reports } = answer;
            let (outcome, reply) = match &fate {
                Fate::Delivered(reply) => ("delivered", reply),
                Fate::Failed(reply) => ("failed", reply),
                Fate::Deferred(reply) if expired => ("expired", reply),
                Fate::Deferred(reply) => ("deferred", reply),
            };
            metrics::counter!("holdfast_delivery_recipients_total", "outcome" => outcome).increment(1);
            tracing::info!(
                id = %attempt.leg_id.id,
                to = recipient.address,
                outcome,
                remote = remote.as_deref().unwrap_or("-"),
                security = attempt.leg.security.as_ref().map_or("-", |security| &security.policy),
                tls = attempt.leg.security.as_ref().map_or("-", |security| &security.result),
                attempt = attempt.leg.attempts,
                %reply,
                "delivery"
            );
            let recipient = recipient.clone();
            match (&fate, outcome) {
                // A server that promised reports makes them itself.
                (Fate::Delivered(_), _) if reports => {}
                (Fate::Delivered(_), _) => {
                    let here = remote.is_none();
                    let action = if here { dsn::Action::Delivered } else { dsn::Action::Relayed };
                    result.findings.push(Finding::new(recipient, action, 2, reply, remote));
                }
                (_, "failed") => {
                    result.findings.push(Finding::new(recipient, dsn::Action::Failed, 5, reply, remote));
                }
                (_, "expired") => {
                    let tried = attempt.leg.attempts;
                    let text = format!("gave up after {tried} attempts; the last error was: {reply}");
                    let (action, status) = (dsn::Action::Failed, "5.4.7".to_owned());
                    result.findings.push(Finding { recipient, action, status, text, remote });
                }
                _ => result.remaining.push(RecipientRecord {
                    last_error: Some(reply.to_string().chars().take(MAX_KEPT_ERROR_CHARS).collect()),
                    last_status: status_of(reply, 4),
                    last_remote: remote.unwrap_or_default(),
                    last_attempt_ms: now_ms,
                    ..recipient
                }),
            }
        }
        result
    }

    /// Record the result, however long it takes: otherwise the delivery would be made a second time.
    async fn settle(&self, attempt: Attempt, result: Outcome) {
        let (attempt, result) = (Arc::new(attempt), Arc::new(result));
        let due_ms = self.next_due_ms(&attempt);
        let mut wait = Duration::from_millis(200);
        loop {
            match self.try_settle(&attempt, &result, due_ms).await {
                Ok(()) => return,
                Err(DeliveryError::Store(StoreError::Stopped { reason })) => {
                    tracing::error!(id = %attempt.leg_id.id, reason, "lost a delivery result: the store has stopped");
                    return;
                }
                Err(error) => {
                    tracing::error!(id = %attempt.leg_id.id, %error, "could not record a delivery result yet");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_SETTLE_WAIT);
        }
    }

    async fn try_settle(&self, attempt: &Arc<Attempt>, result: &Arc<Outcome>, due_ms: i64) -> Result<()> {
        let report = self.prepare_report_for(attempt, result).await?;
        let _staged = report.clone();
        let (this, attempt, result) = (self.clone(), Arc::clone(attempt), Arc::clone(result));
        let (hints, paused) = self
            .inner
            .store
            .transact(move |tx| {
                // The claim excludes others: the leg is unchanged except for the recorded start.
                let Some(leg) = queue::leg(tx, attempt.leg_id)? else {
                    return Ok::<_, DeliveryError>(Default::default());
                };
                let (attempts, security) = (leg.attempts.max(attempt.leg.attempts), attempt.leg.security.clone());
                let leg = LegRecord { attempts, security: security.or(leg.security), ..leg };
                let destination: Arc<str> = leg.destination.as_str().into();
                let mut hints = vec![Hint { destination, due_ms, fresh: None }];
                queue::settle_leg_in(tx, attempt.leg_id, leg, result.remaining.clone(), due_ms)?;
                if let (Some(account), bounced @ 1..) = (attempt.record.account, result.refused_for_good())
                    && attempt.record.forwarded.is_none()
                {
                    this.count_bounces_in(tx, AccountId(account), bounced)?;
                }
                if let Some(report) = &report {
                    hints.extend(this.write_report_in(tx, report)?);
                }
                Ok((hints, attempt.note_forwarded_in(tx, &result)?))
            })
            .await?;
        self.hint(&hints);
        self.may_owe(paused);
        Ok(())
    }

    async fn prepare_report_for(
        &self,
        attempt: &Arc<Attempt>,
        result: &Arc<Outcome>,
    ) -> Result<Option<PreparedReport>> {
        if !result.findings.iter().any(Finding::is_wanted) {
            return Ok(None);
        }
        let (this, attempt, result) = (self.clone(), Arc::clone(attempt), Arc::clone(result));
        tokio::task::spawn_blocking(move || this.prepare_report(attempt.leg_id.id, &attempt.record, &result.findings))
            .await
            .map_err(|_| Refusal::unavailable())?
    }

    /// When the leg is tried next: by the schedule, and once more just when it expires.
    fn next_due_ms(&self, attempt: &Attempt) -> i64 {
        let now_ms = self.now_ms();
        let due_ms = now_ms + self.retry_wait_ms(attempt.leg.attempts);
        if now_ms < attempt.record.expires_ms { due_ms.min(attempt.record.expires_ms) } else { due_ms }
    }

    /// File a leg for accounts here. Filing and recording are one commit: nothing is ever filed twice.
    async fn attempt_here(&self, mut attempt: Attempt) {
        self.judge_passed_on(attempt.leg_id.id, &attempt.record, &mut attempt.leg.recipients).await;
        let attempt = Arc::new(attempt);
        let mut avoid: BTreeMap<AccountId, Refusal> = BTreeMap::new();
        let mut wait = Duration::from_millis(200);
        loop {
            match self.try_file(&attempt, &avoid).await {
                Ok(()) => return,
                Err(error) if self.has_come(&error).await => continue,
                Err(CommitError::Account(account, error)) => {
                    if matches!(error, MailError::OverQuota { .. }) {
                        self.note_full(account);
                    }
                    let refusal = DeliveryError::Mail(error).refusal();
                    if avoid.insert(account, refusal).is_none() {
                        continue;
                    }
                }
                Err(CommitError::Other(DeliveryError::Store(StoreError::Stopped { .. }))) => return,
                Err(CommitError::Other(DeliveryError::Store(
                    StoreError::Quarantined { realm, .. } | StoreError::NotRestored { realm: Some(realm), .. },
                ))) => {
                    let accounts = self.inner.directory.accounts().unwrap_or_default();
                    let damaged = accounts.iter().find(|account| account.id.realm() == realm).map(|account| account.id);
                    if let Some(account) = damaged
                        && avoid.insert(account, Refusal::unavailable()).is_none()
                    {
                        continue;
                    }
                }
                Err(CommitError::Other(error)) => {
                    tracing::error!(id = %attempt.leg_id.id, %error, "could not file a queued message yet");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_SETTLE_WAIT);
        }
    }

    /// Whether what an error says is not restored yet is there now.
    async fn has_come(&self, error: &CommitError) -> bool {
        match error.not_restored() {
            Some(realm) => self.inner.store.restored(realm).await.is_ok(),
            None => false,
        }
    }

    async fn try_file(&self, attempt: &Arc<Attempt>, avoid: &BTreeMap<AccountId, Refusal>) -> Result<(), CommitError> {
        let answers: Vec<(Option<AccountId>, HostAnswer)> =
            attempt.leg.recipients.iter().map(|recipient| self.answer_here(recipient, avoid)).collect();
        let accounts: Vec<(AccountId, VerdictRecord)> = answers
            .iter()
            .zip(&attempt.leg.recipients)
            .filter_map(|((account, _), recipient)| Some(((*account)?, recipient.verdict.clone().unwrap_or_default())))
            .collect();
        let uncounted: Vec<(AccountId, String)> = answers
            .iter()
            .zip(&attempt.leg.recipients)
            .filter(|(_, recipient)| recipient.verdict.as_ref().is_none_or(|verdict| !verdict.counted))
            .filter_map(|((account, _), recipient)| Some(((*account)?, recipient.address.clone())))
            .collect();
        let result = Arc::new(self.consequences(attempt, answers.into_iter().map(|(_, answer)| answer).collect()));
        let report = self.prepare_report_for(attempt, &result).await.map_err(CommitError::Other)?;
        let message = if accounts.is_empty() { None } else { Some(self.local_copy(attempt, &accounts).await?) };
        let due_ms = self.next_due_ms(attempt);
        let _staged = (message.clone(), report.clone());
        let (this, task) = (self.clone(), Arc::clone(attempt));
        let to: Vec<AccountId> = accounts.iter().map(|(account, _)| *account).collect();
        let (hints, paused) = self
            .inner
            .store
            .transact(move |tx| {
                let Some(leg) = queue::current_attempt(tx, task.leg_id, task.token)? else {
                    return Ok::<_, CommitError>(Default::default());
                };
                for (account, address) in &uncounted {
                    count_mask_in(tx, *account, address)?;
                }
                let (mut filed, mut onward_hints) = (Vec::new(), Vec::new());
                for (account, mut verdict) in accounts {
                    if let Some(Here { message, versions, onwards, replies }) = &message
                        && !filed.contains(&account)
                    {
                        onward_hints.extend(send_on_in(tx, &this, onwards.get(&account), &mut verdict)?);
                        let ready = (&this.inner.mailstore, replies.get(&account));
                        onward_hints.extend(remember_and_reply_in(tx, account, &mut verdict, ready)?);
                        filed.push(account);
                        if verdict.no_copy {
                            continue;
                        }
                        let versions = versions.get(&account).map(Vec::as_slice).unwrap_or_default();
                        file_local_in(tx, &this.inner.mailstore, account, (message, versions), &verdict)
                            .map_err(|error: MailError| CommitError::Account(account, error))?;
                    }
                }
                let mut hints = onward_hints;
                hints.push(Hint { destination: LOCAL_DESTINATION.into(), due_ms, fresh: None });
                queue::settle_leg_in(tx, task.leg_id, leg, result.remaining.clone(), due_ms)?;
                if let Some(report) = &report {
                    hints.extend(this.write_report_in(tx, report)?);
                }
                Ok((hints, task.note_forwarded_in(tx, &result)?))
            })
            .await?;
        self.hint(&hints);
        self.may_owe(paused.into_iter().chain(to));
        Ok(())
    }

    /// Where a local recipient stands: its account and the answer for the case that filing succeeds.
    fn answer_here(
        &self,
        recipient: &RecipientRecord,
        avoid: &BTreeMap<AccountId, Refusal>,
    ) -> (Option<AccountId>, HostAnswer) {
        let address = &recipient.address;
        let refused = recipient.verdict.as_ref().and_then(|verdict| verdict.refusal.as_ref());
        let route = match (refused, EmailAddress::parse(address)) {
            (Some(refusal), _) => Err(refusal.into()),
            (None, Ok(address)) => self.rcpt(&address, None),
            (None, Err(error)) => Err(Refusal::address_not_usable(address, &error.to_string())),
        };
        let route = match route {
            Ok(RecipientRoute::Local(account)) => avoid.get(&account).map_or(Ok(account), |why| Err(why.clone())),
            Ok(RecipientRoute::Remote) => Err(Refusal::relaying_denied(address)),
            Err(refusal) => Err(refusal),
        };
        let (account, fate) = match route {
            Ok(account) => (Some(account), Fate::Delivered(Reply::new(250, "2.1.5 delivered"))),
            Err(refusal) => {
                let (class, subject, detail) = refusal.enhanced;
                let reply = Reply::new(refusal.code, format!("{class}.{subject}.{detail} {}", refusal.text));
                (None, if refusal.is_temporary() { Fate::Deferred(reply) } else { Fate::Failed(reply) })
            }
        };
        (account, HostAnswer { fate, remote: None, reports: false })
    }

    /// The message as it is filed here: with Return-Path and trace, without signatures; as rules changed it; and as it is
    /// sent on for accounts.
    async fn local_copy(
        &self,
        attempt: &Arc<Attempt>,
        accounts: &[(AccountId, VerdictRecord)],
    ) -> Result<Here, CommitError> {
        let (this, attempt, accounts) = (self.clone(), Arc::clone(attempt), accounts.to_vec());
        let made = tokio::task::spawn_blocking(move || {
            let (store, record) = (&this.inner.store, &attempt.record);
            let body = read_all(store, &queue::body_id(record)?)?;
            let return_path = if record.skip_bytes > 0 {
                // A message taken by an older version has the line in its body.
                Bytes::new()
            } else {
                trace::return_path(EmailAddress::parse(&record.from).ok().as_ref()).into()
            };
            let above = [return_path, record.trace.clone().into()];
            let copy = LocalCopy::new(store.put_body(&body)?, &body, above, this.now_ms());
            let message = body.get(record.skip_bytes as usize..).unwrap_or_default();
            let onward = |(account, verdict): &(AccountId, VerdictRecord)| {
                Some((*account, this.onward(*account, verdict, record, message)?))
            };
            let onwards = accounts.iter().filter_map(onward).collect();
            let copy = copy.once(delivery_key(attempt.leg_id.id));
            let (mut replies, mut versions) = (Replies::new(), Versions::new());
            for (account, verdict) in &accounts {
                this.ready(*account, verdict, &mut replies);
                this.change((*account, verdict), &copy, message, &mut versions)?;
            }
            let (versions, onwards, replies) = (Arc::new(versions), Arc::new(onwards), Arc::new(replies));
            Ok::<_, DeliveryError>(Here { message: copy, versions, onwards, replies })
        });
        made.await.map_err(|_| CommitError::Other(Refusal::unavailable().into()))?.map_err(CommitError::Other)
    }
}
