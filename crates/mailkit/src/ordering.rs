//! The fields needed for ordering messages (RFC 5256 SORT and THREAD), read from the stored record without the rest.

use prost::Message as _;
use prost::bytes::Bytes;

use crate::parsed::Address;
use crate::words::decode_text;
use crate::{headers, parse, subject};

/// Of [`Parsed`](crate::Parsed), what lists are sorted and threads are made by. Its fields are those of the same names there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ordering {
    #[prost(message, required, tag = "2")]
    envelope: People,
    /// Subject, decoded.
    #[prost(string, tag = "4")]
    pub subject: String,
    /// Base subject, lower-cased.
    #[prost(string, tag = "10")]
    pub base_subject: String,
    /// Message-ID without its angle brackets; empty if there is none.
    #[prost(string, tag = "11")]
    pub message_id: String,
    #[prost(string, repeated, tag = "12")]
    references: Vec<String>,
    /// The Date field, milliseconds since the epoch.
    #[prost(int64, optional, tag = "14")]
    pub date_ms: Option<i64>,
    #[prost(bytes = "bytes", optional, tag = "18")]
    listed_header: Option<Bytes>,
}

/// Of an [`Envelope`](crate::Envelope), who is in it.
#[derive(Clone, PartialEq, prost::Message)]
struct People {
    #[prost(message, repeated, tag = "3")]
    from: Vec<Address>,
    #[prost(message, repeated, tag = "6")]
    to: Vec<Address>,
    #[prost(message, repeated, tag = "7")]
    cc: Vec<Address>,
}

/// The first author or recipient, for sorting by. Of a group, it is the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstAddress {
    /// Local part, or the group's name: `addr-mailbox` of RFC 5256 section 3.
    pub mailbox: String,
    /// Name, decoded, or what stands for it in a list: the address, or the group's name (RFC 5957 section 3.1).
    pub shown: String,
}

impl FirstAddress {
    fn of(list: &[Address]) -> Self {
        let Some(first) = list.first() else { return Self::default() };
        let text = |field: &Option<Vec<u8>>| String::from_utf8_lossy(field.as_deref().unwrap_or_default()).into_owned();
        let mailbox = text(&first.mailbox);
        let name = decode_text(first.name.as_deref().unwrap_or_default()).trim().to_owned();
        let shown = match first.host.as_deref() {
            _ if !name.is_empty() => name,
            None => decode_text(mailbox.as_bytes()),
            Some([]) => mailbox.clone(),
            Some(_) => format!("{mailbox}@{}", text(&first.host)),
        };
        Self { mailbox, shown }
    }
}

impl Ordering {
    /// First author.
    pub fn from(&self) -> FirstAddress {
        FirstAddress::of(&self.envelope.from)
    }

    /// First primary recipient.
    pub fn to(&self) -> FirstAddress {
        FirstAddress::of(&self.envelope.to)
    }

    /// First carbon-copy recipient.
    pub fn cc(&self) -> FirstAddress {
        FirstAddress::of(&self.envelope.cc)
    }

    /// Reads it from the stored form of a [`Parsed`](crate::Parsed).
    ///
    /// # Errors
    /// If the bytes are not such a record.
    pub fn of(stored: Bytes) -> Result<Self, prost::DecodeError> {
        Self::decode(stored)
    }

    /// The ancestors by which RFC 5256 threads, oldest first: those of `References:`, or, if it names none, the first
    /// of `In-Reply-To:`. [`Parsed::references`](crate::Parsed::references) has both, which makes better conversations, but other threads.
    pub fn ancestors(&self) -> Vec<String> {
        let Some(header) = &self.listed_header else { return self.references.clone() };
        let field = |name: &str| headers::value(header, name).unwrap_or_default();
        let named: Vec<String> = parse::ids(&field("references")).collect();
        if named.is_empty() { parse::ids(&field("in-reply-to")).take(1).collect() } else { named }
    }

    /// Whether the subject alone says that the message is a reply or forward (RFC 5256 section 2.1).
    pub fn is_reply_by_subject(&self) -> bool {
        subject::base(&self.subject).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordering(header: &str) -> Ordering {
        let parsed = crate::parse(format!("Message-ID: <me@x>\r\n{header}\r\nbody\r\n").as_bytes());
        Ordering::of(parsed.to_bytes().into()).unwrap()
    }

    fn ancestors(header: &str) -> Vec<String> {
        ordering(header).ancestors()
    }

    #[test]
    fn the_first_address_is_shown_by_its_name_and_a_group_by_its_own() {
        let shown = |to: &str| ordering(&format!("To: {to}\r\n")).to();
        let first = |mailbox: &str, shown: &str| FirstAddress { mailbox: mailbox.into(), shown: shown.into() };
        assert_eq!(shown("=?utf-8?q?J=C3=B6?= <jo@x.org>, b@x.org"), first("jo", "J\u{f6}"));
        assert_eq!(shown("b@x.org"), first("b", "b@x.org"));
        assert_eq!(shown("friends: a@x.org, b@x.org;"), first("friends", "friends"));
        assert_eq!(ordering("").cc(), FirstAddress::default());
    }

    #[test]
    fn in_reply_to_counts_only_without_references() {
        assert_eq!(ancestors("References: <a@x> <b@x>\r\nIn-Reply-To: <c@x>\r\n"), ["a@x", "b@x"]);
        assert_eq!(ancestors("References:\r\nIn-Reply-To: <c@x> <d@x>\r\n"), ["c@x"]);
        assert_eq!(ancestors(""), Vec::<String>::new());
    }
}
