//! What an account's rules do besides filing a message: replies and notifications are queued, and what was decided is
//! remembered, all in the commit that files the message.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use directory::AccountId;
use mailkit::EmailAddress;
use mailstore::{MailError, MailStore};
use prost::Message as _;
use store::{Read as _, StagedBody, Tx};

use crate::filing::{LocalCopy, file_local_in};
use crate::hint::Hint;
use crate::schema::{
    LOCAL_DESTINATION, LegId, LegRecord, MarkRecord, MessageRecord, RecipientRecord, ReplyRecord, VerdictRecord,
    notify_bits,
};
use crate::{Delivery, Notify, QueueId, Result, queue};

/// The first bytes of keys under which an account's rules remember something. Values are [`Remembered`].
pub const MARK_KEYS: RangeInclusive<u8> = 0x9A..=0x9B;

/// The value of a mark.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Remembered {
    /// It holds until then, milliseconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    pub until_ms: i64,
}

/// The replies that are ready, by account, in the verdict's order; `None` for one that can't be sent.
pub type Replies = BTreeMap<AccountId, Vec<Option<Ready>>>;

/// A reply whose body is staged.
pub struct Ready {
    id: QueueId,
    record: MessageRecord,
    legs: Vec<LegRecord>,
    #[expect(dead_code, reason = "it is held, not read")]
    body: StagedBody,
    /// What is filed of it in the account, and where.
    copy: Option<(LocalCopy, VerdictRecord)>,
}

impl Delivery {
    /// Gets the replies of one verdict ready. Blocking.
    pub(crate) fn ready(&self, account: AccountId, verdict: &VerdictRecord, replies: &mut Replies) {
        if verdict.replies.is_empty() || replies.contains_key(&account) {
            return;
        }
        let one = |reply: &ReplyRecord| {
            self.ready_one(reply)
                .map_err(|error| tracing::error!(account = account.0, %error, "could not make a reply"))
                .ok()
        };
        replies.insert(account, verdict.replies.iter().map(one).collect());
    }

    fn ready_one(&self, reply: &ReplyRecord) -> Result<Ready> {
        let (id, now_ms, bytes) = (self.next_id(), self.now_ms(), &reply.message);
        let mut by_destination: BTreeMap<String, Vec<RecipientRecord>> = BTreeMap::new();
        let mut smtputf8 = false;
        for to in reply.to.iter().filter_map(|to| EmailAddress::parse(to).ok()) {
            smtputf8 |= to.needs_smtputf8();
            let here = self.is_in_our_domain(&to)?;
            let destination = if here { LOCAL_DESTINATION.to_owned() } else { to.domain().to_owned() };
            let notify = notify_bits(Notify::NEVER);
            let recipient = RecipientRecord { address: to.to_string(), notify, ..RecipientRecord::default() };
            by_destination.entry(destination).or_default().push(recipient);
        }
        let leg =
            |(destination, recipients)| LegRecord { destination, recipients, due_ms: now_ms, ..LegRecord::default() };
        let author: Vec<EmailAddress> = EmailAddress::parse(&reply.author).into_iter().collect();
        let signed = self.sign(&author, bytes);
        let body = self.inner.store.put_body(bytes)?;
        let record = self.own_record(&body, bytes, signed, smtputf8);
        let copy = reply.copy.as_ref().map(|copy| {
            let verdict = VerdictRecord {
                role: copy.role.clone(),
                mailbox: copy.mailbox.clone(),
                flags: copy.flags.clone(),
                create: reply.create,
                ..VerdictRecord::default()
            };
            (LocalCopy::new(body.clone(), bytes, [Bytes::new(), Bytes::new()], now_ms), verdict)
        });
        Ok(Ready { id, record, legs: by_destination.into_iter().map(leg).collect(), body, copy })
    }
}

/// Remembers and sends what a verdict says, within the commit, and takes it out of the verdict, so that it is done once
/// although the copy may have to wait. Hints for the runner.
///
/// # Errors
/// Those of the store.
pub fn remember_and_reply_in(
    tx: &mut Tx<'_>,
    account: AccountId,
    verdict: &mut VerdictRecord,
    (mailstore, ready): (&MailStore, Option<&Vec<Option<Ready>>>),
) -> Result<Vec<Hint>> {
    for mark in std::mem::take(&mut verdict.marks) {
        put_in(tx, account, &mark);
    }
    let mut hints = Vec::new();
    for (reply, ready) in std::mem::take(&mut verdict.replies).into_iter().zip(ready.into_iter().flatten()) {
        let Some(ready) = ready.as_ref().filter(|ready| !ready.legs.is_empty()) else { continue };
        if let Some(once) = &reply.once {
            let known = tx.get(account.realm(), &once.key)?.and_then(|value| Remembered::decode(value).ok());
            if known.is_some_and(|known| known.until_ms > tx.now_ms()) {
                continue;
            }
            put_in(tx, account, once);
        }
        queue::enqueue_in(tx, ready.id, ready.record.clone(), ready.legs.clone())?;
        if let Some((copy, verdict)) = &ready.copy {
            match file_local_in(tx, mailstore, account, (copy, &[]), verdict) {
                Ok(_) => {}
                // The reply is sent although there is no room for its copy.
                Err(MailError::OverQuota { .. }) => tracing::info!(%account, "no room for the copy of a reply"),
                Err(error) => return Err(error.into()),
            }
        }
        metrics::counter!("holdfast_delivery_replies_total").increment(1);
        hints.extend(ready.legs.iter().enumerate().map(|(at, leg)| Hint {
            destination: leg.destination.as_str().into(),
            due_ms: leg.due_ms,
            fresh: Some((LegId { id: ready.id, leg: at as u32 }, 0)),
        }));
    }
    Ok(hints)
}

fn put_in(tx: &mut Tx<'_>, account: AccountId, mark: &MarkRecord) {
    if mark.key.first().is_some_and(|first| MARK_KEYS.contains(first)) {
        tx.put(account.realm(), mark.key.clone(), Remembered { until_ms: mark.until_ms }.encode_to_vec());
    }
}
