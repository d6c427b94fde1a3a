//! Replies, and what errors become (RFC 2449 §8, RFC 3206).

use directory::AuthError;
use mailstore::{MailError, Unavailable};

/// A response code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The client's name or password is to blame.
    Auth,
    /// Too many sessions of the account.
    InUse,
    /// The same may work later.
    SysTemp,
    /// Somebody has to mend something.
    SysPerm,
}

impl Code {
    const fn text(self) -> &'static str {
        match self {
            Self::Auth => "[AUTH] ",
            Self::InUse => "[IN-USE] ",
            Self::SysTemp => "[SYS/TEMP] ",
            Self::SysPerm => "[SYS/PERM] ",
        }
    }
}

/// An `-ERR` reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: Option<Code>,
    text: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code: Some(code), text: text.into() }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { code: None, text: text.into() }
    }

    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"-ERR ");
        out.extend_from_slice(self.code.map_or("", Code::text).as_bytes());
        line(out, &self.text);
    }
}

/// Writes `+OK` and a text.
pub(crate) fn ok(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"+OK ");
    line(out, text);
}

/// Writes a line. Texts with parts from elsewhere stay one line.
pub(crate) fn line(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let code = match error {
            AuthError::Invalid | AuthError::TotpRequired | AuthError::NotAllowed { .. } => Code::Auth,
            AuthError::Throttled { .. } | AuthError::Unavailable | AuthError::CodeUnavailable => Code::SysTemp,
            AuthError::Disabled => Code::SysPerm,
        };
        if error == AuthError::TotpRequired {
            return Self::new(code, "This account uses two-step sign-in: create an app password for this mail app");
        }
        if let AuthError::NotAllowed { .. } = error {
            return Self::new(code, "This app password isn't allowed to use POP3: create one for it on the web page");
        }
        Self::new(code, error.to_string())
    }
}

impl From<MailError> for Refusal {
    fn from(error: MailError) -> Self {
        match error {
            MailError::NoSuchEmail(_) | MailError::NoSuchMessage { .. } => {
                Self::plain("Another client has deleted this message")
            }
            MailError::Store(error) => match Unavailable::of(&error) {
                Unavailable::Quarantined => {
                    Self::new(Code::SysPerm, "This account is read-only until your administrator has repaired it")
                }
                Unavailable::Damaged => {
                    Self::new(Code::SysPerm, "This message is damaged; ask your administrator to repair it")
                }
                // What the system said is for the log, not for the client.
                _ => Self::new(Code::SysTemp, "Mail can't be read or changed at the moment; try again soon"),
            },
            MailError::Damaged(_) => {
                Self::new(Code::SysPerm, "The stored mail is damaged; ask your administrator to repair it")
            }
            other => Self::new(Code::SysPerm, other.to_string()),
        }
    }
}
