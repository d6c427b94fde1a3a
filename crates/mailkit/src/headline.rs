//! The fields used by most searches, read from the stored record without the rest.

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
    /// The character set of raw 8-bit text in them; empty if it has none that is not UTF-8.
    #[prost(string, tag = "19")]
    pub header_charset: String,
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

    use crate::{Parsed, parsed::Address};

    /// A record in which no two fields are alike, so that none can be read as another.
    fn filled() -> Parsed {
        let person = |name: &str| DisplayAddress { name: name.into(), address: format!("{name}@x.example") };
        let raw = |name: &str| Address { mailbox: Some(name.into()), ..Address::default() };
        Parsed {
            size: 1,
            envelope: Envelope {
                date: Some(b"date".to_vec()),
                subject: Some(b"raw subject".to_vec()),
                from: vec![raw("from")],
                sender: vec![raw("sender")],
                reply_to: vec![raw("reply to")],
                to: vec![raw("to")],
                cc: vec![raw("cc")],
                bcc: vec![raw("bcc")],
                in_reply_to: Some(b"in reply to".to_vec()),
                message_id: Some(b"raw message id".to_vec()),
            },
            root: crate::parse(b"Subject: a\r\n\r\nb").root,
            subject: "subject".into(),
            from: vec![person("anna")],
            to: vec![person("bert"), person("ben")],
            cc: vec![person("carl")],
            reply_to: vec![person("rosa")],
            preview: "preview".into(),
            base_subject: "base subject".into(),
            message_id: "message id".into(),
            references: vec!["reference".into()],
            has_attachment: true,
            date_ms: Some(2),
            is_reply: true,
            bcc: vec![person("dora")],
            listed_header: Some(b"listed".to_vec()),
            header_charset: "header charset".into(),
            truncated: true,
        }
    }

    #[test]
    fn each_of_its_fields_is_that_of_the_same_name_in_the_record() {
        let parsed = filled();
        let stored: Bytes = parsed.to_bytes().into();
        // All of them by name: a new one has to be compared here too.
        let Headline { envelope, subject, from, to, cc, bcc, listed_header, header_charset } =
            Headline::of(stored.clone()).unwrap();
        assert_eq!(envelope, parsed.envelope);
        assert_eq!(subject, parsed.subject);
        assert_eq!(from, parsed.from);
        assert_eq!(to, parsed.to);
        assert_eq!(cc, parsed.cc);
        assert_eq!(bcc, parsed.bcc);
        assert_eq!(listed_header.as_deref(), parsed.listed_header.as_deref());
        assert_eq!(header_charset, parsed.header_charset);
        assert_eq!(Headline::subject_of(stored).unwrap(), Headline { subject: parsed.subject, ..Headline::default() });
    }
}
