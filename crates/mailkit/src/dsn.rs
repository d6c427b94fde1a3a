//! Delivery status notifications (RFC 3464, RFC 6522, RFC 3461).

use crate::EmailAddress;

/// What became of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Given up.
    Failed,
    /// Still trying.
    Delayed,
    /// In the mailbox.
    Delivered,
    /// Passed to a host that sends no notifications.
    Relayed,
    /// Passed on to several others.
    Expanded,
}

/// One recipient's report.
#[derive(Clone, Debug)]
pub struct RecipientReport {
    /// The address tried.
    pub recipient: EmailAddress,
    /// ORCPT as the client gave it (`rfc822;...`).
    pub original_recipient: Option<String>,
    /// What became of it.
    pub action: Action,
    /// Enhanced status (`5.1.1`).
    pub status: String,
    /// What the other server said.
    pub diagnostic: Option<String>,
    /// Its name.
    pub remote_mta: Option<String>,
    /// Last attempt, milliseconds since the epoch.
    pub last_attempt_ms: Option<i64>,
    /// If delayed: when we will give up.
    pub will_retry_until_ms: Option<i64>,
}

/// A report to be built.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Our host name.
    pub reporting_mta: &'a str,
    /// From whom the report comes (usually `mailer-daemon@` our domain).
    pub from: &'a EmailAddress,
    /// The sender of the original.
    pub to: &'a EmailAddress,
    /// ENVID as the client gave it.
    pub envelope_id: Option<&'a str>,
    /// When the original arrived.
    pub arrival_ms: i64,
    /// When the report is made.
    pub date_ms: i64,
    /// Message-ID of the report, without angle brackets.
    pub message_id: &'a str,
    /// The recipients; not empty.
    pub recipients: &'a [RecipientReport],
    /// The original, raw.
    pub original: &'a [u8],
    /// Return all of it (RET=FULL, and it is small enough); else the header only.
    pub return_full: bool,
}

impl Report<'_> {
    /// The `multipart/report` message, ready to be sent with a null return path.
    pub fn build(&self) -> Vec<u8> {
        todo!()
    }
}
