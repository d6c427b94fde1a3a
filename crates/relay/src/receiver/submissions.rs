//! What people sent by a relay while this machine was away: submitted here as if they had sent it now, once each.
//!
//! The relay says who signed in; what it is believed is bounded: only accounts that allow it, only while the app password that
//! let them in is still one of theirs, only their own addresses, within their limits.

use std::time::Instant;

use delivery::{QueueId, Recipient, Refusal, Submission};
use directory::AccountId;
use mailkit::EmailAddress;

use super::{Receiver, intake::answer};
use crate::wire::{self, Done, Letter, Submitter};

/// A message that somebody sends, as it comes.
pub(super) struct Sending {
    pub account: AccountId,
    from: EmailAddress,
    recipients: Vec<Recipient>,
    /// The relay's trace, then what has come of the message.
    pub bytes: Vec<u8>,
}

impl Receiver {
    /// What is told of a message that somebody sends, as it begins.
    pub(super) fn sending(&self, letter: &Letter, submitter: &Submitter) -> Result<Sending, Refusal> {
        let envelope = wire::envelope_of(letter)?;
        let no = |text: &str| Refusal::new(550, (5, 7, 1), text);
        if !self.options.submissions {
            return Err(no("This server does not let relays take mail that people send"));
        }
        let account = AccountId(submitter.account);
        let known = self.directory.relay_verifiers_of(account).map_err(|_| Refusal::unavailable())?;
        if !known.iter().any(|verifier| verifier.fingerprint[..] == submitter.fingerprint[..]) {
            return Err(no("The account no longer sends by relays, or its app password was revoked"));
        }
        if letter.bytes > self.delivery.max_message_bytes() {
            return Err(Refusal::too_large(self.delivery.max_message_bytes()));
        }
        let from = envelope.from.ok_or_else(|| no("The null sender is not accepted here"))?;
        Ok(Sending { account, from, recipients: envelope.recipients, bytes: letter.trace.clone() })
    }

    /// Submits it. The relay's id names it: however often it is given, it is sent once.
    pub(super) async fn submit(&self, relay: [u8; 16], id: u64, sending: Sending) -> Done {
        let begun = Instant::now();
        let submission = Submission {
            account: sending.account,
            idempotency_key: [&b"relay"[..], &relay, &id.to_be_bytes()].concat(),
            from: sending.from,
            recipients: sending.recipients,
            ret: None,
            message: sending.bytes.into(),
            keep_copy: true,
            copy_prefix: bytes::Bytes::new(),
            remove_draft: None,
            responds_to: None,
            hold: std::time::Duration::ZERO,
            correspondents: Vec::new(),
        };
        let submitted = self.delivery.submit(submission).await;
        let mut seen = self.seen.lock();
        seen.slowest = seen.slowest.max(begun.elapsed());
        match submitted {
            Ok(receipt) => {
                seen.taken += 1;
                let result = if receipt.repeated { "before" } else { "submitted" };
                metrics::counter!("holdfast_relay_taken_total", "result" => result).increment(1);
                // It is not offered again to a machine that was restored: what went out would go out twice.
                Done { id, outcome: wire::TAKEN, why: String::new(), seq: 0 }
            }
            Err(error) => {
                let refusal = error.refusal();
                // A limit of the account says nothing about this machine.
                tracing::warn!(%error, relayed = %QueueId(id), "a message that somebody sent by a relay was not taken");
                answer(id, &refusal)
            }
        }
    }
}
