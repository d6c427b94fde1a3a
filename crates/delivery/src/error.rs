//! Errors, grouped by what the caller can do about them.

use directory::DirectoryError;
use mailstore::MailError;
use store::{Cause, Damaged, Part, StoreError};

use crate::{QueueId, Refusal};

/// Why mail was not accepted, or the queue was not changed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The message or the envelope is not acceptable: give the refusal to the client.
    #[error("{0}")]
    Refused(Refusal),
    /// The queue has no such message (any more).
    #[error("the queue has no message {0}: it was delivered, bounced or dropped")]
    NotQueued(QueueId),
    /// The message is being delivered right now: try again in a minute.
    #[error("message {0} is being delivered right now: try again in a minute")]
    InFlight(QueueId),
    /// The submission can no longer be recalled: it was already sent, or was never held.
    #[error("the message has already been sent and can't be recalled")]
    TooLate,
    /// No submission is known under that key.
    #[error("no submission has this key")]
    UnknownSubmission,
    /// An option contradicts itself or another one.
    #[error("delivery option {option}: {problem}")]
    BadOption {
        /// Which option.
        option: &'static str,
        /// The problem and its fix.
        problem: String,
    },
    /// A stored queue record does not make sense: run `holdfast verify`.
    #[error("the stored queue is damaged: {0}")]
    Damaged(Box<Damaged>),
    /// The mail store refused or failed.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The directory refused or failed.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Spooling the message failed.
    #[error("could not write the message to disk: {0}")]
    Io(#[from] std::io::Error),
}

impl DeliveryError {
    /// A stored record does not make sense.
    pub(crate) fn damaged(cause: Cause, what: impl std::fmt::Display) -> Self {
        Self::Damaged(Box::new(Damaged::new(Part::Record, cause).because(what)))
    }

    /// Whether the outcome is unknown: the client must get no reply.
    pub const fn is_unknown(&self) -> bool {
        match self {
            Self::Store(error)
            | Self::Mail(MailError::Store(error))
            | Self::Directory(DirectoryError::Store(error)) => error.is_unknown(),
            _ => false,
        }
    }

    /// The SMTP reply to this error. Details of internal failures go to the log, not to the client.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal.clone(),
            Self::Mail(MailError::OverQuota { .. }) => Refusal::new(452, (4, 2, 2), "Mailbox full, try again later"),
            Self::Store(StoreError::Full) | Self::Mail(MailError::Store(StoreError::Full)) => {
                Refusal::new(452, (4, 3, 1), "Insufficient system storage, try again later")
            }
            _ => Refusal::unavailable(),
        }
    }
}

impl From<Refusal> for DeliveryError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The usual result of this crate.
pub type Result<T, E = DeliveryError> = std::result::Result<T, E>;
