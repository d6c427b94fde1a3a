//! Send is pressed: a finished message goes out once, however often it is asked for.

use std::time::Duration;

use bytes::Bytes;
use directory::AccountId;
use mailkit::EmailAddress;
use mailstore::{EmailId, MailboxId, Uid};

use crate::{Delivery, QueueId, Recipient, RecipientOutcome, Ret, Result};

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
    /// Keep a copy in Sent, marked seen.
    pub keep_copy: bool,
    /// Remove this draft in the same commit, if it is still there.
    pub remove_draft: Option<(MailboxId, Uid)>,
    /// Wait this long before anything leaves, so that [`Delivery::cancel_submission`] can take it back.
    /// Zero: at once. At most [`MAX_HOLD`].
    pub hold: Duration,
    /// Display names and addresses to remember for completion; see `MailStore::correspondents`.
    pub correspondents: Vec<(String, String)>,
}

/// Longest hold of a submission: 30 days, enough for "send later".
pub const MAX_HOLD: Duration = Duration::from_hours(30 * 24);

/// What a Send led to. The same for every repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitReceipt {
    /// What the message is known by.
    pub id: QueueId,
    /// When it was taken, milliseconds since 1970 UTC.
    pub submitted_ms: i64,
    /// Until when it can be taken back, if it was held.
    pub held_until_ms: Option<i64>,
    /// Where the copy in Sent is.
    pub sent_copy: Option<SentCopy>,
    /// It was taken back by [`Delivery::cancel_submission`].
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
    /// Send: receipt, copy in Sent, queue entries, local filings and removal of the draft, in one commit. When it
    /// returns Ok all that is durable. Called again with the same key, at once or after a crash, it sends nothing and
    /// returns the first receipt.
    ///
    /// # Errors
    /// [`crate::DeliveryError::Refused`] names the recipient or the rule; nothing was sent, and the key is free.
    pub async fn submit(&self, submission: Submission) -> Result<SubmitReceipt> {
        let _ = submission;
        todo!()
    }

    /// Take back a held submission: nothing leaves, and the copy in Sent becomes a draft again. Idempotent.
    ///
    /// # Errors
    /// [`crate::DeliveryError::TooLate`] once the hold is over, [`crate::DeliveryError::UnknownSubmission`].
    pub async fn cancel_submission(&self, account: AccountId, idempotency_key: &[u8]) -> Result<SubmitReceipt> {
        let _ = (account, idempotency_key);
        todo!()
    }

    /// The receipt under a key, if there was such a Send within `keep_receipts`.
    pub fn receipt(&self, account: AccountId, idempotency_key: &[u8]) -> Result<Option<SubmitReceipt>> {
        let _ = (account, idempotency_key);
        todo!()
    }
}
