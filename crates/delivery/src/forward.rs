//! A message that is sent on in an account's name, by its forwarding or its rules: unchanged, with a return address that leads
//! back here, and in the commit that decides about the account's own copy.
//!
//! The message keeps its original sender in the queue. The return address that the next server sees is made at each attempt
//! ([`srs`]).

pub mod srs;

use std::collections::BTreeMap;

use directory::AccountId;
use filter::sender::{Algorithm, NotSealed, Outcome, Sealer};
use mailkit::dkim::{KeyKind, SigningKey};
use mailkit::results::{self, MethodResult};
use mailkit::{EmailAddress, headers, trace};
use store::{StagedBody, Tx};

use crate::dispatch::{Destination, Routed};
use crate::head::Head;
use crate::hint::Hint;
use crate::outbound::wire::{WireEncoder, has_bare_line_ends};
use crate::schema::{
    ForwardedRecord, LOCAL_DESTINATION, LegId, LegRecord, MessageRecord, RecipientRecord, VerdictRecord, notify_bits,
    ret_number,
};
use crate::sign::Signed;
use crate::{Delivery, DeliveryError, Notify, QueueId, Result, Ret, queue};

/// The mark by which a message is recognized that was sent on in an account's name before (RFC 9228).
const MARK: &str = "Delivered-To";
/// Tells why a message was not sent on.
const NOT_FORWARDED: &str = "X-Holdfast-Not-Forwarded";

/// What is sent on for each account that a message comes to.
pub type Onwards = BTreeMap<AccountId, Onward>;

/// A message as it is sent on in an account's name.
pub enum Onward {
    /// It can be: as it came, and as the account's rules changed it.
    Ready(Vec<Copy>),
    /// It can't, for this reason.
    Not(String),
}

/// The queue entry.
pub struct Copy {
    id: QueueId,
    record: MessageRecord,
    targets: Vec<Routed>,
    #[expect(dead_code, reason = "it is held, not read")]
    body: Option<StagedBody>,
}

impl Delivery {
    /// What is sent on of a message for an account, if anything. `base` is the message's own record, `message` its bytes.
    /// Blocking.
    pub(crate) fn onward(
        &self,
        account: AccountId,
        verdict: &VerdictRecord,
        base: &MessageRecord,
        message: &[u8],
    ) -> Option<Onward> {
        if verdict.forwards.is_empty() && verdict.changed_forwards.is_empty() {
            return None;
        }
        let copies = self.copies_of(account, verdict, base, message);
        Some(copies.map_or_else(Onward::Not, Onward::Ready))
    }

    fn copies_of(
        &self,
        account: AccountId,
        verdict: &VerdictRecord,
        base: &MessageRecord,
        message: &[u8],
    ) -> Result<Vec<Copy>, String> {
        let (owner, mark) = self.owner_and_mark(account)?;
        if is_marked(&[&base.trace[..], &message[headers::header_range(message)]].concat(), &mark) {
            return Err("it was sent on from here before: a mail loop".to_owned());
        }
        let mut copies = Vec::new();
        if !verdict.forwards.is_empty() {
            copies.push(self.copy_of(
                (account, &owner, &mark),
                (&verdict.forwards, &verdict.headers),
                base,
                message,
            )?);
        }
        for (number, version) in (1..).zip(&verdict.versions) {
            let here = verdict.changed_forwards.iter().filter(|forward| forward.version == number);
            let to: Vec<String> = here.map(|forward| forward.address.clone()).collect();
            if to.is_empty() {
                continue;
            }
            let bytes = version.sent_on(message);
            let body = self.inner.store.put_body(&bytes).map_err(|error| {
                tracing::error!(account = account.0, %error, "could not keep a message that is sent on");
                "it could not be kept".to_owned()
            })?;
            let base = MessageRecord {
                body: body.id().as_bytes().to_vec(),
                body_bytes: body.len(),
                skip_bytes: 0,
                eight_bit: !bytes.is_ascii(),
                long_lines: mailkit::narrow::has_long_lines(&bytes),
                ..base.clone()
            };
            let copy = self.copy_of((account, &owner, &mark), (&to, &verdict.headers), &base, &bytes)?;
            copies.push(Copy { body: Some(body), ..copy });
        }
        Ok(copies)
    }

    /// The account's address, and the mark of what is sent on in its name.
    fn owner_and_mark(&self, account: AccountId) -> Result<(EmailAddress, String), String> {
        let found = self.inner.directory.account(account).map_err(|error| unavailable(account, &error))?;
        let owner = found.ok_or("the account is gone")?.address;
        let mark = if owner.needs_smtputf8() {
            format!("account-{}@{}", account.0, self.inner.options.hostname)
        } else {
            owner.to_string()
        };
        Ok((owner, mark))
    }

    fn copy_of(
        &self,
        (account, owner, mark): (AccountId, &EmailAddress, &str),
        (to, headers): (&[String], &str),
        base: &MessageRecord,
        message: &[u8],
    ) -> Result<Copy, String> {
        let mut targets = Vec::new();
        for address in to {
            let address = EmailAddress::parse(address).map_err(|_| "an address can't be used".to_owned())?;
            targets.push(self.target(&address).map_err(|error| unavailable(account, &error))?);
        }
        let head = Head::read(message, &self.inner.options.hostname);
        let found = results::merged(headers.as_bytes(), &self.inner.options.hostname).unwrap_or_default();
        let said = results::read(headers.as_bytes(), &self.inner.options.hostname).unwrap_or_default();
        let of_ours = base.account.is_some();
        let forwarded = ForwardedRecord {
            owner: owner.to_string(),
            is_proven: of_ours || is_proven(&base.from, &said),
            results: found,
            of_ours,
        };
        let any_utf8 = targets.iter().any(|target| !target.record.address.is_ascii());
        let signed = self.sign_forwarded(&forwarded, message);
        let now_ms = self.now_ms();
        let record = MessageRecord {
            from: base.from.clone(),
            account: Some(account.0),
            body: base.body.clone(),
            body_bytes: base.body_bytes,
            skip_bytes: base.skip_bytes,
            signatures: signed.lines,
            unsigned: signed.later,
            trace: [format!("{MARK}: {mark}\r\n").as_bytes(), &base.trace].concat(),
            ret: ret_number(Some(Ret::Headers)),
            eight_bit: base.eight_bit,
            smtputf8: head.eight_bit || !base.from.is_ascii() || any_utf8,
            long_lines: base.long_lines,
            tls_wish: base.tls_wish,
            warn_ms: 0,
            forwarded: Some(forwarded),
            ..self.new_record(now_ms, now_ms)
        };
        Ok(Copy { id: self.next_id(), record, targets, body: None })
    }

    /// Where a message is sent on to.
    fn target(&self, address: &EmailAddress) -> Result<Routed> {
        let destination = if self.is_in_our_domain(address)? {
            Destination::LocalQueue
        } else {
            Destination::Domain(address.domain().to_owned())
        };
        let notify = Notify { delay: false, ..Notify::default() };
        let record =
            RecipientRecord { address: address.to_string(), notify: notify_bits(notify), ..RecipientRecord::default() };
        Ok(Routed { destination, record })
    }

    /// Signs a message that is sent on: as its author if it is by one of ours, otherwise by a seal over what was seen of it.
    /// Blocking.
    pub(crate) fn sign_forwarded(&self, forwarded: &ForwardedRecord, message: &[u8]) -> Signed {
        if forwarded.of_ours {
            return self.sign(&Head::read(message, &self.inner.options.hostname).from, message);
        }
        let Ok(owner) = EmailAddress::parse(&forwarded.owner) else { return Signed::default() };
        let domain = owner.domain();
        let keys = match self.inner.directory.domain(domain) {
            Ok(Some(found)) => found.dkim,
            Ok(None) => Vec::new(),
            Err(error) => {
                tracing::error!(domain, %error, "could not read the DKIM keys: sending a message on without a seal");
                Vec::new()
            }
        };
        if keys.is_empty() {
            return Signed::default();
        }
        // RSA comes first, which every verifier knows.
        let Some(key) = keys.iter().find_map(|key| key.signing().ok()) else {
            return Signed { lines: Vec::new(), later: true };
        };
        let made;
        let message = if has_bare_line_ends(message) {
            let (mut encoder, mut out) = (WireEncoder::without_dots(), Vec::new());
            encoder.encode(message, &mut out);
            encoder.finish_lines(&mut out);
            made = out;
            &made[..]
        } else {
            message
        };
        match seal(key, domain, forwarded, message, self.now_ms() / 1_000) {
            Ok(lines) => Signed { lines: lines.into_bytes(), later: false },
            Err(why) => {
                tracing::debug!(domain, %why, "a message is sent on without a seal");
                Signed::default()
            }
        }
    }
}

fn unavailable(account: AccountId, error: &dyn std::fmt::Display) -> String {
    tracing::error!(account = account.0, %error, "could not read an account that a message is sent on for");
    "the account could not be read".to_owned()
}

/// Whether a message was sent on with that mark before.
fn is_marked(header: &[u8], mark: &str) -> bool {
    headers::fields(header).any(|field| {
        let value = headers::unfold(field.value);
        let said = String::from_utf8_lossy(&value).trim().trim_matches(['<', '>']).to_owned();
        field.is(MARK) && said.eq_ignore_ascii_case(mark)
    })
}

fn seal(
    key: &SigningKey,
    domain: &str,
    forwarded: &ForwardedRecord,
    message: &[u8],
    at: i64,
) -> Result<String, NotSealed> {
    let sign = |bytes: &[u8]| key.sign_bytes(bytes).ok();
    let sealer = Sealer {
        domain,
        selector: key.selector(),
        algorithm: if key.kind() == KeyKind::Ed25519 { Algorithm::Ed25519 } else { Algorithm::RsaSha256 },
        sign: &sign,
        at: u64::try_from(at).unwrap_or(0),
        folds: true,
    };
    let chain = chain_in(&forwarded.results);
    if forwarded.results.is_empty() {
        // We have not looked: then there is nothing to vouch for.
        return Err(NotSealed::Unchecked);
    }
    sealer.seal(message, &forwarded.results, chain)
}

/// What the chain of a message came to, by our own results.
fn chain_in(merged: &str) -> Outcome {
    let field = format!("{}: {merged}\r\n", results::FIELD);
    let host = merged.split(';').next().unwrap_or_default();
    let said = results::read(field.as_bytes(), host).unwrap_or_default();
    let arc = said.iter().find(|result| result.method == "arc");
    arc.and_then(|arc| Outcome::read(&arc.result)).unwrap_or(Outcome::None)
}

/// Whether the sender of the envelope is who it says: by SPF, or by a signature of its domain.
fn is_proven(from: &str, said: &[MethodResult]) -> bool {
    let Some((_, domain)) = from.rsplit_once('@') else { return false };
    let is_it = |name: Option<&str>| {
        name.is_some_and(|name| name.rsplit('@').next().is_some_and(|name| name.eq_ignore_ascii_case(domain)))
    };
    said.iter().filter(|result| result.result == "pass").any(|result| match result.method.as_str() {
        "spf" => is_it(result.get("smtp.mailfrom")),
        "dkim" => is_it(result.get("header.d")),
        _ => false,
    })
}

/// Sends a message on for an account, within the commit, and changes `verdict` to what is left to do: the own copy, if there is
/// to be one. Hints for the runner.
///
/// # Errors
/// Those of the store. A limit of the account is none: then there is a copy that says so.
pub fn send_on_in(
    tx: &mut Tx<'_>,
    delivery: &Delivery,
    onward: Option<&Onward>,
    verdict: &mut VerdictRecord,
) -> Result<Vec<Hint>> {
    let (forwards, changed) = (std::mem::take(&mut verdict.forwards), std::mem::take(&mut verdict.changed_forwards));
    if forwards.is_empty() && changed.is_empty() {
        return Ok(Vec::new());
    }
    let why = match onward {
        Some(Onward::Ready(copies)) => match write_all_in(copies, tx, delivery) {
            Ok(hints) => return Ok(hints),
            Err(DeliveryError::Refused(refusal)) => refusal.text,
            Err(error) => return Err(error),
        },
        Some(Onward::Not(why)) => why.clone(),
        None => "it could not be prepared".to_owned(),
    };
    metrics::counter!("holdfast_delivery_not_forwarded_total").increment(1);
    tracing::warn!(why, "a message was not sent on");
    verdict.no_copy = false;
    let why: String = why.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(600).collect();
    verdict.headers.push_str(&trace::added_field(NOT_FORWARDED, &why).unwrap_or_default());
    Ok(Vec::new())
}

fn write_all_in(copies: &[Copy], tx: &mut Tx<'_>, delivery: &Delivery) -> Result<Vec<Hint>> {
    let mut hints = Vec::new();
    for copy in copies {
        hints.extend(copy.write_in(tx, delivery)?);
    }
    Ok(hints)
}

impl Copy {
    fn write_in(&self, tx: &mut Tx<'_>, delivery: &Delivery) -> Result<Vec<Hint>> {
        let stopped = delivery.count_in(tx, &self.record, &self.targets)?;
        let now_ms = tx.now_ms();
        let mut by_destination: BTreeMap<&str, Vec<RecipientRecord>> = BTreeMap::new();
        for target in &self.targets {
            let name = match &target.destination {
                Destination::Domain(domain) => domain.as_str(),
                Destination::LocalQueue | Destination::Account(_) => LOCAL_DESTINATION,
            };
            by_destination.entry(name).or_default().push(target.record.clone());
        }
        let leg = |(destination, recipients): (&str, Vec<RecipientRecord>)| LegRecord {
            destination: destination.to_owned(),
            recipients,
            due_ms: now_ms,
            ..LegRecord::default()
        };
        let legs: Vec<LegRecord> = by_destination.into_iter().map(leg).collect();
        let record = MessageRecord {
            held: stopped,
            stopped,
            held_since_ms: if stopped { now_ms } else { 0 },
            ..self.record.clone()
        };
        let owner = record.owner();
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let hint = |(at, leg): (usize, &LegRecord)| Hint {
            destination: leg.destination.as_str().into(),
            due_ms: now_ms,
            fresh: Some((LegId { id: self.id, leg: number(at) }, owner)),
        };
        let hints = legs.iter().enumerate().map(hint).collect();
        queue::enqueue_in(tx, self.id, record, legs)?;
        metrics::counter!("holdfast_delivery_forwarded_total").increment(1);
        Ok(hints)
    }
}
