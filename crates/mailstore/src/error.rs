//! Errors, grouped by what the caller can do about them.

use store::{Cause, Damaged, Part, StoreError};

use crate::{MailboxId, NameError, Uid};

/// Why a mail operation was refused or failed. Nothing was written, unless the operation says that it goes in steps.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The account has no mailbox of that name. IMAP `[NONEXISTENT]` or `[TRYCREATE]`.
    #[error("there is no mailbox named \u{201c}{0}\u{201d}")]
    NoSuchMailbox(String),
    /// The mailbox was deleted meanwhile. IMAP `[NONEXISTENT]`.
    #[error("mailbox {0} no longer exists")]
    MailboxGone(MailboxId),
    /// A mailbox of that name exists already. IMAP `[ALREADYEXISTS]`.
    #[error("a mailbox named \u{201c}{0}\u{201d} already exists")]
    MailboxExists(String),
    /// The name can not be a mailbox name. IMAP `[CANNOT]`.
    #[error("\u{201c}{name}\u{201d} is not a valid mailbox name: {reason}")]
    BadName {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// The account has as many mailboxes as it may have. IMAP `[LIMIT]`.
    #[error("too many mailboxes: the limit is {0} per account")]
    TooManyMailboxes(usize),
    /// A mailbox, or the account, has as many metadata entries as it may have. IMAP `[METADATA TOOMANY]`.
    #[error("too many metadata entries: the limit is {0}")]
    TooManyEntries(usize),
    /// This mailbox must stay: INBOX can not be deleted, nor moved below itself. IMAP `[CANNOT]`.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Another mailbox has that role already. IMAP `[USEATTR]`.
    #[error("another mailbox already has the role {0}")]
    RoleTaken(crate::Role),
    /// The message does not fit. IMAP `[OVERQUOTA]`, SMTP 452 4.2.2.
    #[error("over quota: the account uses {used} of {limit} bytes and has no space for {needed} more")]
    OverQuota {
        /// Bytes in use.
        used: u64,
        /// Bytes that may be used.
        limit: u64,
        /// Bytes that were asked for.
        needed: u64,
    },
    /// The mailbox has given out its last UID (4,294,967,295): move its messages to a new mailbox.
    #[error("mailbox {0} has no UIDs left")]
    OutOfUids(MailboxId),
    /// A keyword breaks the rules or the limits of [`crate::Keyword`]. IMAP `[LIMIT]` or `BAD`.
    #[error("invalid keyword: {0}")]
    BadKeyword(String),
    /// The message is not there (any more). IMAP `[EXPUNGEISSUED]`.
    #[error("message {uid} is no longer in mailbox {mailbox}")]
    NoSuchMessage {
        /// Where it was looked for.
        mailbox: MailboxId,
        /// Which.
        uid: Uid,
    },
    /// The message is not in the account (any more).
    #[error("message {0} is no longer in this account")]
    NoSuchEmail(crate::EmailId),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A value is larger than its named limit.
    #[error("{what} is too large: the limit is {limit}")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// The limit, in the unit of the value.
        limit: u64,
    },
    /// A stored record does not make sense: run `holdfast verify`.
    #[error("stored mail is damaged: {0}")]
    Damaged(Box<Damaged>),
    /// The store refused or failed: [`Unavailable::of`] says how, as far as those who asked can do something about it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MailError {
    /// A stored record does not make sense.
    pub(crate) fn damaged(cause: Cause, what: impl std::fmt::Display) -> Self {
        Self::Damaged(Box::new(Damaged::new(Part::Record, cause).because(what)))
    }

    /// The same, where it is known which one.
    pub(crate) fn damaged_at(cause: Cause, key: &[u8], what: impl std::fmt::Display) -> Self {
        Self::Damaged(Box::new(Damaged::new(Part::Record, cause).key(key).because(what)))
    }

    /// As an error of a transaction that other crates take part in: damage stays damage, and a rule of the mailboxes, such
    /// as a full quota, is none.
    pub fn into_store_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Damaged(what) => (*what).into(),
            other => StoreError::refused(other.to_string()),
        }
    }

    /// Whether what is stored of something is damaged: of others it may be good.
    pub fn is_damage(&self) -> bool {
        use StoreError::{BodyDamaged, BodyMissing, Damaged};
        matches!(self, Self::Damaged(_) | Self::Store(Damaged { .. } | BodyDamaged { .. } | BodyMissing { .. }))
    }
}

/// Why the store did not do something, by what can be told to who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unavailable {
    /// It can't be said whether it was done: neither yes nor no is answered, and a connection ends without an answer.
    Unknown,
    /// The disk is full. Nothing was changed.
    DiskFull,
    /// The account is damaged: it can be read as far as it is good, and not be changed until it is repaired.
    Quarantined,
    /// What is stored of it is damaged or missing.
    Damaged,
    /// It has not come back from the backup yet: try again in a moment.
    NotRestored,
    /// The account was deleted.
    Closed,
    /// It is larger than what can be kept.
    TooLarge,
    /// Somebody else was quicker: try again.
    Conflict,
    /// The service is stopping. Nothing was changed.
    Stopping,
    /// The moment asked for is before those that can still be read.
    BeforeWindow {
        /// The first one that can be, in milliseconds since 1970.
        first_ms: i64,
    },
    /// Anything else; what it is, is for the log.
    Other,
}

impl Unavailable {
    /// What an error of the store comes to, in whatever crate's error it is.
    pub fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Unknown { .. } => Self::Unknown,
            StoreError::Full => Self::DiskFull,
            StoreError::Quarantined { .. } => Self::Quarantined,
            StoreError::Damaged { .. } | StoreError::BodyDamaged { .. } | StoreError::BodyMissing { .. } => {
                Self::Damaged
            }
            StoreError::NotRestored { .. } => Self::NotRestored,
            StoreError::RealmClosed { .. } => Self::Closed,
            StoreError::TooLarge { .. } => Self::TooLarge,
            StoreError::Conflict { .. } => Self::Conflict,
            StoreError::Stopped { .. } => Self::Stopping,
            StoreError::BeforeWindow { first_ms, .. } => Self::BeforeWindow { first_ms: *first_ms },
            _ => Self::Other,
        }
    }
}

/// The usual result of this crate.
pub type Result<T, E = MailError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use store::ErrorClass;

    use super::*;

    #[test]
    fn a_rule_of_the_mailboxes_is_no_damage_and_damage_stays_damage_in_a_transaction_of_others() {
        let refusals = [
            MailError::OverQuota { used: 9, limit: 10, needed: 5 },
            MailError::TooManyMailboxes(1),
            MailError::TooManyEntries(1),
            MailError::MailboxExists("a".to_owned()),
            MailError::NoSuchMailbox("a".to_owned()),
            MailError::MailboxGone(MailboxId(1)),
            MailError::OutOfUids(MailboxId(1)),
            MailError::Forbidden("no"),
            MailError::Cancelled,
        ];
        for refusal in refusals {
            let (text, is_damage) = (refusal.to_string(), refusal.is_damage());
            let error = refusal.into_store_error();
            assert_eq!((error.class(), is_damage), (ErrorClass::Refused, false), "{text}");
            assert_eq!(error.to_string(), text, "it says why");
        }
        let damaged = MailError::damaged_at(Cause::Decoding, b"\x01", "a record");
        assert!(damaged.is_damage());
        let StoreError::Damaged(damage) = damaged.into_store_error() else { panic!("it is damage") };
        assert_eq!((damage.cause, damage.key.as_deref()), (Cause::Decoding, Some(&b"\x01"[..])));
        for (error, class) in [
            (StoreError::Full, ErrorClass::Full),
            (StoreError::Stopped { reason: String::new() }, ErrorClass::Stopped),
            (Damaged::new(Part::Record, Cause::Checksum).into(), ErrorClass::Damage),
        ] {
            assert_eq!(MailError::from(error).into_store_error().class(), class);
        }
    }
}
