//! The stored record of a message: everything needed without reading the message again.
//!
//! All offsets are bytes from the start of the raw message. Header values are raw (unfolded, otherwise as sent:
//! encoded-words stay encoded, 8-bit bytes stay) because IMAP needs them so; `subject`, `from`, `to` … are the decoded
//! forms for people.

use std::ops::Range;

use prost::{Message as _, bytes::Bytes};

/// Everything lists and IMAP need of one message (made by [`crate::parse()`], stored beside the body).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Parsed {
    /// Length of the raw message in bytes.
    #[prost(uint64, tag = "1")]
    pub size: u64,
    /// The header fields of RFC 9051 section 7.5.2 `ENVELOPE`, raw.
    #[prost(message, required, tag = "2")]
    pub envelope: Envelope,
    /// The root of the body structure. `root.header_start` is 0 and `root.body_end` is [`Parsed::size`].
    #[prost(message, required, tag = "3")]
    pub root: Part,
    /// Subject, decoded and on one line; empty if there is none.
    #[prost(string, tag = "4")]
    pub subject: String,
    /// Authors, decoded.
    #[prost(message, repeated, tag = "5")]
    pub from: Vec<DisplayAddress>,
    /// Primary recipients, decoded.
    #[prost(message, repeated, tag = "6")]
    pub to: Vec<DisplayAddress>,
    /// Carbon-copy recipients, decoded.
    #[prost(message, repeated, tag = "7")]
    pub cc: Vec<DisplayAddress>,
    /// Where replies should go, decoded; empty if the message does not say (then: `from`).
    #[prost(message, repeated, tag = "8")]
    pub reply_to: Vec<DisplayAddress>,
    /// First words of the readable text, at most [`crate::parse::MAX_PREVIEW_CHARS`] characters, white space collapsed.
    #[prost(string, tag = "9")]
    pub preview: String,
    /// Base subject of RFC 5256 section 2.1 (no `Re:`, `Fwd:`, `[list]`), lower-cased; for threads and sorting.
    #[prost(string, tag = "10")]
    pub base_subject: String,
    /// Message-ID without the angle brackets; empty if there is none.
    #[prost(string, tag = "11")]
    pub message_id: String,
    /// Ids of the ancestors, oldest first, without angle brackets: References, then In-Reply-To if not in it.
    #[prost(string, repeated, tag = "12")]
    pub references: Vec<String>,
    /// Whether [`crate::display::files`] has any that the page does not show in the text.
    #[prost(bool, tag = "13")]
    pub has_attachment: bool,
    /// The Date field in milliseconds since the epoch, if it could be read; within the years 1970 to 9999.
    #[prost(int64, optional, tag = "14")]
    pub date_ms: Option<i64>,
    /// The message is a reply or forward by its subject or its In-Reply-To/References.
    #[prost(bool, tag = "15")]
    pub is_reply: bool,
    /// Blind-copy recipients, decoded (present in drafts and in copies of sent mail).
    #[prost(message, repeated, tag = "16")]
    pub bcc: Vec<DisplayAddress>,
    /// The fields among [`crate::parse::LISTED_FIELDS`], raw and in their order, as [`crate::headers::select`] gives them.
    /// `None` if they are longer than [`crate::parse::MAX_LISTED_BYTES`], or the record is older than this field.
    #[prost(bytes = "vec", optional, tag = "18")]
    pub listed_header: Option<Vec<u8>>,
    /// The character set in which raw 8-bit text of the header is read; empty if it has none that is not UTF-8.
    #[prost(string, tag = "19")]
    pub header_charset: String,
    /// A limit of [`crate::parse`] was reached: the structure is cut, the rest shows as part of the last piece.
    #[prost(bool, tag = "17")]
    pub truncated: bool,
}

/// Of [`Parsed`], what [`Parsed::listed_header_of`] reads.
#[derive(Clone, PartialEq, prost::Message)]
struct ListedHeader {
    #[prost(bytes = "bytes", optional, tag = "18")]
    listed_header: Option<Bytes>,
}

/// Of [`Parsed`], what [`Parsed::structure_of`] reads.
#[derive(Clone, PartialEq, prost::Message)]
struct StructureOnly {
    #[prost(uint64, tag = "1")]
    size: u64,
    #[prost(message, required, tag = "3")]
    root: Part,
}

/// Of [`Parsed`], what [`Parsed::envelope_of`] reads.
#[derive(Clone, PartialEq, prost::Message)]
struct EnvelopeOnly {
    #[prost(message, required, tag = "2")]
    envelope: Envelope,
}

/// An address as shown to people; `address` may be anything a stranger wrote, also invalid or empty.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DisplayAddress {
    /// Decoded display name, on one line; may be empty.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `local@domain` as written.
    #[prost(string, tag = "2")]
    pub address: String,
}

/// IMAP `ENVELOPE` (RFC 9051 section 7.5.2). `None` is `NIL`.
///
/// `sender` and `reply_to` are already filled from `from` where the message leaves them out.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// Date field, raw.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub date: Option<Vec<u8>>,
    /// Subject field, raw.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub subject: Option<Vec<u8>>,
    /// From.
    #[prost(message, repeated, tag = "3")]
    pub from: Vec<Address>,
    /// Sender, or From.
    #[prost(message, repeated, tag = "4")]
    pub sender: Vec<Address>,
    /// Reply-To, or From.
    #[prost(message, repeated, tag = "5")]
    pub reply_to: Vec<Address>,
    /// To.
    #[prost(message, repeated, tag = "6")]
    pub to: Vec<Address>,
    /// Cc.
    #[prost(message, repeated, tag = "7")]
    pub cc: Vec<Address>,
    /// Bcc.
    #[prost(message, repeated, tag = "8")]
    pub bcc: Vec<Address>,
    /// In-Reply-To, raw.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub in_reply_to: Option<Vec<u8>>,
    /// Message-ID, raw (with its angle brackets).
    #[prost(bytes = "vec", optional, tag = "10")]
    pub message_id: Option<Vec<u8>>,
}

/// One IMAP address structure (RFC 9051 section 7.5.2).
///
/// A group begins with an address whose `host` is `None` and whose `mailbox` is the group's name, and ends with one
/// where both are `None`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Address {
    /// Display name, raw (encoded-words stay), quotes and escapes removed.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub name: Option<Vec<u8>>,
    /// Source route (`@a,@b`), obsolete.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub route: Option<Vec<u8>>,
    /// Local part, or the group's name.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub mailbox: Option<Vec<u8>>,
    /// Domain.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub host: Option<Vec<u8>>,
}

/// A node of the body structure: one MIME part.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Part {
    /// Where this part's own header begins.
    #[prost(uint64, tag = "1")]
    pub header_start: u64,
    /// Where its body begins: just after the empty line that ends the header.
    #[prost(uint64, tag = "2")]
    pub body_start: u64,
    /// Where its body ends (exclusive); the line break before a boundary belongs to the boundary.
    #[prost(uint64, tag = "3")]
    pub body_end: u64,
    /// Lines of the body, as IMAP counts them for `TEXT` and `MESSAGE/RFC822`: the LFs in it.
    #[prost(uint64, tag = "4")]
    pub lines: u64,
    /// Media type, lower-case ASCII (`text`).
    #[prost(string, tag = "5")]
    pub media_type: String,
    /// Media subtype, lower-case ASCII (`plain`).
    #[prost(string, tag = "6")]
    pub subtype: String,
    /// Content-Type parameters in their order. RFC 2231 pieces are joined under one name; extended ones keep their
    /// notation and star (`name*` = `utf-8''%41`), as IMAP passes them on. Decoded: [`Part::file_name`].
    #[prost(message, repeated, tag = "7")]
    pub params: Vec<Param>,
    /// Content-ID, raw (with its angle brackets).
    #[prost(bytes = "vec", optional, tag = "8")]
    pub content_id: Option<Vec<u8>>,
    /// Content-Description, raw.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, lower-case, not empty; `7bit` if the part does not say.
    #[prost(string, tag = "10")]
    pub encoding: String,
    /// Content-MD5, raw.
    #[prost(bytes = "vec", optional, tag = "11")]
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition.
    #[prost(message, optional, tag = "12")]
    pub disposition: Option<Disposition>,
    /// Content-Language tags.
    #[prost(string, repeated, tag = "13")]
    pub languages: Vec<String>,
    /// Content-Location, raw.
    #[prost(bytes = "vec", optional, tag = "14")]
    pub location: Option<Vec<u8>>,
    /// Children. Of a multipart: its parts, at least one (see `scan` for multiparts without any). Of a `message/rfc822`: exactly one, the root of the message inside.
    #[prost(message, repeated, tag = "15")]
    pub parts: Vec<Part>,
    /// Of a `message/rfc822` part: the envelope of the message inside.
    #[prost(message, optional, tag = "16")]
    pub envelope: Option<Box<Envelope>>,
}

/// A parameter of Content-Type or Content-Disposition.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Param {
    /// Name, lower-case.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value without quotes and escapes, otherwise raw.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// Content-Disposition (RFC 2183).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Disposition {
    /// `inline`, `attachment` or whatever was written, lower-case.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its parameters.
    #[prost(message, repeated, tag = "2")]
    pub params: Vec<Param>,
}

/// What of a section is meant (RFC 9051 section 6.4.5.1 `BODY[section]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SectionText {
    /// `BODY[]` or `BODY[1.2]`: the whole message, or the body of a part.
    Whole,
    /// `HEADER`: header of the message, or of the message inside a `message/rfc822` part; with the empty line.
    Header,
    /// `TEXT`: the body of the message, or of the message inside a `message/rfc822` part.
    Text,
    /// `1.2.MIME`: the part's own header; with the empty line.
    Mime,
}

impl Parsed {
    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// [`Self::header_charset`], if there is one.
    pub fn header_hint(&self) -> Option<&str> {
        Some(self.header_charset.as_str()).filter(|name| !name.is_empty())
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If the bytes are not such a record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        Self::decode(bytes)
    }

    /// [`Parsed::listed_header`] alone, from the stored form: for long lists, where reading all of it would be most of
    /// the work.
    ///
    /// # Errors
    /// If the bytes are not such a record.
    pub fn listed_header_of(stored: Bytes) -> Result<Option<Bytes>, prost::DecodeError> {
        Ok(ListedHeader::decode(stored)?.listed_header)
    }

    /// The structure alone ([`Parsed::size`] and [`Parsed::root`]), from the stored form; all else is left empty.
    ///
    /// # Errors
    /// If the bytes are not such a record.
    pub fn structure_of(stored: Bytes) -> Result<Self, prost::DecodeError> {
        let StructureOnly { size, root } = StructureOnly::decode(stored)?;
        Ok(Self { size, root, ..Self::default() })
    }

    /// [`Parsed::envelope`] alone, from the stored form.
    ///
    /// # Errors
    /// If the bytes are not such a record.
    pub fn envelope_of(stored: Bytes) -> Result<Envelope, prost::DecodeError> {
        Ok(EnvelopeOnly::decode(stored)?.envelope)
    }

    /// The same message with `bytes` more of header at its very top: whole fields that [`crate::trace::may_add`] allows,
    /// which change nothing but where everything else is.
    #[must_use]
    pub fn with_more_above(&self, bytes: u64) -> Self {
        let mut below = self.clone();
        below.size += bytes;
        below.root.body_start += bytes;
        below.root.body_end += bytes;
        for part in &mut below.root.parts {
            part.move_down(bytes);
        }
        below
    }

    /// The part with an IMAP part number (`&[1, 2]` is `1.2`); the empty path is the root.
    ///
    /// Part 1 of a message that is not multipart is its only body, that is, the root itself. Numbers below a
    /// `message/rfc822` part count the parts of the message inside.
    pub fn part(&self, path: &[u32]) -> Option<&Part> {
        let mut part = &self.root;
        // True while `part` is the root of a message (outer or embedded) whose own number has not been used yet.
        let mut at_message_root = true;
        for &number in path {
            if number == 0 {
                return None;
            }
            if !at_message_root && part.is_message() {
                part = part.parts.first()?;
                at_message_root = true;
            }
            if part.is_multipart() {
                part = part.parts.get(number as usize - 1)?;
                at_message_root = false;
            } else if at_message_root && number == 1 {
                at_message_root = false;
            } else {
                return None;
            }
        }
        Some(part)
    }

    /// The byte range of a section in the raw message; `None` if there is no such section.
    pub fn section(&self, path: &[u32], text: SectionText) -> Option<Range<u64>> {
        let part = self.part(path)?;
        if path.is_empty() {
            return match text {
                SectionText::Whole => Some(0..self.size),
                SectionText::Header => Some(part.header()),
                SectionText::Text => Some(part.body()),
                SectionText::Mime => None,
            };
        }
        match text {
            SectionText::Whole => Some(part.body()),
            SectionText::Mime => Some(part.header()),
            SectionText::Header => part.embedded_message().map(Part::header),
            SectionText::Text => part.embedded_message().map(Part::body),
        }
    }
}

impl Part {
    fn move_down(&mut self, bytes: u64) {
        self.header_start += bytes;
        self.body_start += bytes;
        self.body_end += bytes;
        for part in &mut self.parts {
            part.move_down(bytes);
        }
    }

    /// Whether it is `multipart/*`.
    pub fn is_multipart(&self) -> bool {
        self.media_type == "multipart"
    }

    /// Whether it is a `message/rfc822` or `message/global` whose inside was parsed.
    pub fn is_message(&self) -> bool {
        self.envelope.is_some()
    }

    /// The root part of the message inside a `message/rfc822`.
    pub fn embedded_message(&self) -> Option<&Part> {
        if self.is_message() { self.parts.first() } else { None }
    }

    /// Byte range of its header, the empty line included.
    pub fn header(&self) -> Range<u64> {
        self.header_start..self.body_start
    }

    /// Byte range of its body.
    pub fn body(&self) -> Range<u64> {
        self.body_start..self.body_end
    }

    /// Size of the body in octets, still encoded, as `BODYSTRUCTURE` gives it.
    pub fn octets(&self) -> u64 {
        self.body_end - self.body_start
    }

    /// A Content-Type parameter by its lower-case name.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        find(&self.params, name)
    }

    /// `type/subtype`, lower-case.
    pub fn content_type(&self) -> String {
        format!("{}/{}", self.media_type, self.subtype)
    }
}

impl Disposition {
    /// A parameter by its lower-case name.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        find(&self.params, name)
    }
}

fn find<'a>(params: &'a [Param], name: &str) -> Option<&'a [u8]> {
    params.iter().find(|param| param.name == name).map(|param| param.value.as_slice())
}
