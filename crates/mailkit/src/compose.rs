//! Building messages that people write.

use crate::{EmailAddress, NamedAddress};

/// A message being written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The author.
    pub from: NamedAddress,
    /// Where replies go, if not to the author.
    pub reply_to: Vec<NamedAddress>,
    /// Primary recipients.
    pub to: Vec<NamedAddress>,
    /// Carbon copies.
    pub cc: Vec<NamedAddress>,
    /// Blind copies: recipients, but not in the message that is sent.
    pub bcc: Vec<NamedAddress>,
    /// Subject; line breaks become spaces.
    pub subject: String,
    /// Text body.
    pub text: String,
    /// HTML alternative.
    pub html: Option<String>,
    /// Attached files.
    pub attachments: Vec<NewAttachment>,
    /// Message-ID answered, without angle brackets.
    pub in_reply_to: Option<String>,
    /// Ids of the conversation, oldest first, without angle brackets.
    pub references: Vec<String>,
    /// Our Message-ID without angle brackets (see [`message_id`]).
    pub message_id: String,
    /// Date, milliseconds since the epoch.
    pub date_ms: i64,
}

/// A file to attach.
#[derive(Clone, Debug)]
pub struct NewAttachment {
    /// File name.
    pub name: String,
    /// `type/subtype`; empty: guessed from the name.
    pub content_type: String,
    /// The bytes.
    pub content: Vec<u8>,
    /// Content-ID, if the HTML shows it inline.
    pub inline_id: Option<String>,
}

/// Why a draft could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// A value that would become header text is not usable.
    #[error("{field} is not valid: {reason}")]
    Field {
        /// Which.
        field: &'static str,
        /// Why.
        reason: &'static str,
    },
}

impl Draft {
    /// The message to send: Bcc left out.
    pub fn build(&self) -> Result<Vec<u8>, ComposeError> {
        todo!()
    }

    /// The message to keep in Drafts or Sent: Bcc left in.
    pub fn build_with_bcc(&self) -> Result<Vec<u8>, ComposeError> {
        todo!()
    }

    /// All recipients, each once.
    pub fn recipients(&self) -> Vec<EmailAddress> {
        todo!()
    }
}

/// A new Message-ID without angle brackets: 128 random bits at our domain.
pub fn message_id(_domain: &str) -> String {
    todo!()
}
