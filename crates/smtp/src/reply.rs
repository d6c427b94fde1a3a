//! Replies: the one place where codes and enhanced status codes (RFC 3463, RFC 5248) are chosen.

use delivery::Refusal;
use directory::{AuthError, Ended};

/// A reply: code, enhanced code where there is one, and a text of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    code: u16,
    enhanced: Option<(u8, u16, u16)>,
    text: String,
}

impl Reply {
    pub(crate) fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self { code, enhanced: Some(enhanced), text: text.into() }
    }

    /// A reply that has no enhanced code: greetings, 354, 334.
    pub(crate) fn plain(code: u16, text: impl Into<String>) -> Self {
        Self { code, enhanced: None, text: text.into() }
    }

    pub(crate) fn ok(text: &str) -> Self {
        Self::new(250, (2, 0, 0), text)
    }

    pub(crate) fn syntax(text: impl Into<String>) -> Self {
        Self::new(501, (5, 5, 2), text)
    }

    pub(crate) fn out_of_order(text: &str) -> Self {
        Self::new(503, (5, 5, 1), text)
    }

    pub(crate) fn closing(hostname: &str, why: &str) -> Self {
        Self::new(421, (4, 3, 2), format!("{hostname} {why}"))
    }

    /// The client's login is no longer valid.
    pub(crate) fn ended(hostname: &str, ended: Ended) -> Self {
        Self::new(421, (4, 7, 0), format!("{hostname} Session ended: {ended}"))
    }

    pub(crate) const fn is_error(&self) -> bool {
        self.code >= 400
    }

    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        let line = match self.enhanced {
            Some((class, subject, detail)) => format!("{} {class}.{subject}.{detail} {}\r\n", self.code, self.text),
            None => format!("{} {}\r\n", self.code, self.text),
        };
        out.extend_from_slice(line.as_bytes());
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.enhanced, refusal.text)
    }
}

impl From<AuthError> for Reply {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid => Self::new(535, (5, 7, 8), "Authentication failed: wrong login or password"),
            AuthError::Throttled { retry_after } => {
                let wait = retry_after.as_secs().max(1);
                Self::new(454, (4, 7, 0), format!("Too many failed logins, try again in {wait} seconds"))
            }
            AuthError::Disabled => Self::new(535, (5, 7, 13), "Account disabled"),
            AuthError::NotAllowed { .. } => Self::new(
                535,
                (5, 7, 0),
                "This app password isn't allowed to send mail: create one for SMTP on the web page",
            ),
            AuthError::TotpRequired => Self::new(
                535,
                (5, 7, 9),
                "This account uses two-step sign-in: create an app password on the web page and use it here",
            ),
            AuthError::Unavailable | AuthError::CodeUnavailable => {
                Self::new(454, (4, 7, 0), "Temporary authentication failure, try again soon")
            }
        }
    }
}
