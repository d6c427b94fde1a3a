//! Why a run ended before its end, by what follows from it.

use delivery::DeliveryError;
use directory::DirectoryError;
use mailstore::MailError;
use store::StoreError;

/// Longest text of a server that is repeated.
const MAX_SAID_CHARS: usize = 200;

/// Why a run ended. Its text is for the owner of the account; it never has the password.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The server can't be reached now.
    #[error("{0}")]
    Unreachable(String),
    /// The server must not be asked from here, or can't do what is needed: trying again does not help.
    #[error("{0}")]
    Hopeless(String),
    /// TLS failed.
    #[error("{0}")]
    Tls(String),
    /// The server refused user name or password.
    #[error("the server refused the user name or password{}", said(.0))]
    SignIn(String),
    /// The server says that it can't just now.
    #[error("the server refused for now{}", said(.0))]
    Busy(String),
    /// What the server sends can't be understood.
    #[error("the server sent something that can't be understood: {0}")]
    Protocol(String),
    /// The connection was lost, or nothing came.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The account here is full.
    #[error(
        "your mailbox here is full: it has no space for the next message ({needed} bytes); fetching goes on when there is space"
    )]
    Full {
        /// How large that message is.
        needed: u64,
    },
    /// The password can't be opened.
    #[error("the password of this account can't be read at the moment; ask the administrator, or enter it again")]
    Sealed,
    /// It was paused or removed, or the service stops.
    #[error("stopped")]
    Stopped,
    /// It is being fetched already.
    #[error("it is being fetched already")]
    UnderWay,
    /// The mail could not be filed.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Delivery has failed.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// The directory has failed.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Mail(error.into())
    }
}

impl Trouble {
    /// Of a filing that was refused.
    pub(crate) fn of_filing(error: Self) -> Self {
        match error {
            Self::Mail(MailError::OverQuota { needed, .. }) => Self::Full { needed },
            other => other,
        }
    }

    /// What the account's owner reads. What is wrong inside is for the log.
    pub fn for_people(&self) -> String {
        match self {
            Self::Mail(MailError::Store(_)) | Self::Delivery(_) | Self::Directory(_) => {
                "something went wrong here; it is tried again".to_owned()
            }
            other => other.to_string(),
        }
    }

    /// Whether it says something about the server, not about us or the user.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Hopeless(_) => "refused",
            Self::Tls(_) => "tls",
            Self::SignIn(_) => "sign-in",
            Self::Busy(_) => "busy",
            Self::Protocol(_) => "protocol",
            Self::Lost(_) => "lost",
            Self::Full { .. } => "full",
            Self::Sealed => "sealed",
            Self::Stopped | Self::UnderWay => "stopped",
            Self::Mail(_) | Self::Delivery(_) | Self::Directory(_) => "failed",
        }
    }
}

/// What a server said, as the end of a sentence.
fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// A text of a server: one line, not long.
pub(crate) fn quoted(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SAID_CHARS).collect();
    clean.trim().to_owned()
}
