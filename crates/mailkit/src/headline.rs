//! What most searches look at, read from the stored record without all the rest.

use prost::Message as _;
use prost::bytes::Bytes;

use crate::parsed::{DisplayAddress, Envelope};

/// Of [`Parsed`](crate::Parsed), what the header tells. Its fields are those of the same names there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Headline {
    /// The header fields of `ENVELOPE`, raw.
    #[prost(message, required, tag = "2")]
    pub envelope: Envelope,
    /// Subject, decoded.
    #[prost(string, tag = "4")]
    pub subject: String,
    /// Authors.
    #[prost(message, repeated, tag = "5")]
    pub from: Vec<DisplayAddress>,
    /// Primary recipients.
    #[prost(message, repeated, tag = "6")]
    pub to: Vec<DisplayAddress>,
    /// Carbon-copy recipients.
    #[prost(message, repeated, tag = "7")]
    pub cc: Vec<DisplayAddress>,
    /// Blind-copy recipients.
    #[prost(message, repeated, tag = "16")]
    pub bcc: Vec<DisplayAddress>,
    /// The fields among [`crate::parse::LISTED_FIELDS`], raw.
    #[prost(bytes = "bytes", optional, tag = "18")]
    pub listed_header: Option<Bytes>,
}

/// Of a [`Headline`], the subject.
#[derive(Clone, PartialEq, prost::Message)]
struct Subject {
    #[prost(string, tag = "4")]
    subject: String,
}

impl Headline {
    /// Reads it from the stored form of a [`Parsed`](crate::Parsed).
    ///
    /// # Errors
    /// If the bytes are not such a record.
    pub fn of(stored: Bytes) -> Result<Self, prost::DecodeError> {
        Self::decode(stored)
    }

    /// Reads the subject alone; all else is left empty.
    ///
    /// # Errors
    /// If the bytes are not such a record.
    pub fn subject_of(stored: Bytes) -> Result<Self, prost::DecodeError> {
        let Subject { subject } = Subject::decode(stored)?;
        Ok(Self { subject, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_was_parsed() {
        let parsed =
            crate::parse(b"Subject: a\r\nTo: b@x.org\r\nBcc: c@x.org\r\nDate: Mon, 1 Jun 2026 10:00:00 +0000\r\n\r\n");
        let stored: Bytes = parsed.to_bytes().into();
        let headline = Headline::of(stored.clone()).unwrap();
        assert_eq!((&headline.subject, &headline.to, &headline.bcc), (&parsed.subject, &parsed.to, &parsed.bcc));
        assert_eq!(headline.envelope, parsed.envelope);
        assert_eq!(headline.listed_header.as_deref(), parsed.listed_header.as_deref());
        assert_eq!(Headline::subject_of(stored).unwrap(), Headline { subject: "a".into(), ..Headline::default() });
    }
}
