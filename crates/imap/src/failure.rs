//! How errors become IMAP answers: the one place where response codes are chosen.

use std::borrow::Cow;
use std::io;

use directory::{AuthError, Ended};
use mailstore::{MailError, Unavailable};

use crate::response::Code;
use crate::syntax::ParseError;
use mailstore::MAX_METADATA_VALUE_BYTES;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// `NO`: understood, but can not be done.
    No(Option<Code>, Cow<'static, str>),
    /// `BAD`: the client is wrong.
    Bad(Option<Code>, Cow<'static, str>),
    /// `BYE`, and the connection ends.
    Bye(Option<Code>, Cow<'static, str>),
    /// The connection is broken: nobody to answer.
    Gone(io::Error),
}

impl Failure {
    pub(crate) fn no(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self::No(Some(code), text.into())
    }

    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Bad(None, text.into())
    }

    pub(crate) fn bye(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Bye(None, text.into())
    }

    /// The mailbox named as target of APPEND, COPY or MOVE is not there: the client may create it (RFC 9051
    /// section 6.3.12).
    pub(crate) fn try_create(self) -> Self {
        match self {
            Self::No(Some(code), text) if code == Code::NONEXISTENT => Self::No(Some(Code::TRY_CREATE), text),
            other => other,
        }
    }

    /// A background job of this process died: a defect, or the process is ending.
    pub(crate) fn lost_job() -> Self {
        Self::no(Code::SERVER_BUG, "Internal server error; please report it")
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Ended>()) {
            Some(ended) => (*ended).into(),
            None => Self::Gone(error),
        }
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        let code = match ended {
            Ended::Deleted | Ended::Disabled => Code::CONTACT_ADMIN,
            _ => Code::AUTHENTICATION_FAILED,
        };
        Self::Bye(Some(code), format!("Session ended: {ended}").into())
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        Self::Bad(None, error.to_string().into())
    }
}

impl From<MailError> for Failure {
    fn from(error: MailError) -> Self {
        let text = capitalised(&error.to_string());
        let code = match error {
            MailError::NoSuchMailbox(_) | MailError::MailboxGone(_) => Code::NONEXISTENT,
            MailError::MailboxExists(_) => Code::ALREADY_EXISTS,
            MailError::BadName { .. } | MailError::Forbidden(_) => Code::CANNOT,
            MailError::TooManyMailboxes(_)
            | MailError::OutOfUids(_)
            | MailError::BadKeyword(_)
            | MailError::TooLarge { .. } => Code::LIMIT,
            MailError::TooManyEntries(_) => Code::METADATA_TOO_MANY,
            MailError::RoleTaken(_) => Code::USE_ATTR,
            MailError::OverQuota { .. } => Code::OVER_QUOTA,
            MailError::NoSuchMessage { .. } | MailError::NoSuchEmail(_) => Code::EXPUNGE_ISSUED,
            MailError::Cancelled => Code::UNAVAILABLE,
            MailError::Damaged(_) => Code::CORRUPTION,
            MailError::Store(error) => {
                tracing::warn!(%error, "the store refused an IMAP command");
                match Unavailable::of(&error) {
                    Unavailable::Unknown => {
                        // Neither OK nor NO would be known to be true.
                        tracing::error!(%error, "closing an IMAP connection without a reply: the outcome of a command is unknown");
                        return Self::Gone(io::Error::other(error));
                    }
                    Unavailable::Quarantined | Unavailable::Damaged => Code::CORRUPTION,
                    Unavailable::Closed => Code::NO_PERM,
                    Unavailable::TooLarge => Code::LIMIT,
                    Unavailable::Conflict => Code::IN_USE,
                    _ => Code::UNAVAILABLE,
                }
            }
        };
        Self::No(Some(code), text.into())
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        let (code, text) = match error {
            AuthError::Invalid => {
                (Code::AUTHENTICATION_FAILED, "Authentication failed: wrong user name or password".into())
            }
            AuthError::Throttled { retry_after } => {
                let wait = retry_after.as_secs().max(1);
                (Code::UNAVAILABLE, format!("Too many failed logins; try again in {wait} seconds"))
            }
            AuthError::Disabled => (Code::CONTACT_ADMIN, "This account is disabled".into()),
            AuthError::NotAllowed { .. } => (
                Code::AUTHORIZATION_FAILED,
                "This app password isn't allowed to use IMAP: create one for it on the web page".into(),
            ),
            AuthError::TotpRequired => (
                Code::AUTHENTICATION_FAILED,
                "This account uses two-step sign-in: create an app password on the web page and use it here".into(),
            ),
            AuthError::Unavailable | AuthError::CodeUnavailable => {
                (Code::UNAVAILABLE, "The server can't check logins at the moment; try again soon".into())
            }
        };
        Self::No(Some(code), text.into())
    }
}

/// Status texts begin with a capital.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A value is longer than one may be.
pub(crate) fn metadata_too_long() -> Failure {
    let code = Code::MetadataMaxSize(MAX_METADATA_VALUE_BYTES as u64);
    Failure::no(code, format!("Annotation value too large: the limit is {MAX_METADATA_VALUE_BYTES} bytes"))
}
