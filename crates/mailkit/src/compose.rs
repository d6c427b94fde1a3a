//! Building messages that people write.

use std::collections::HashSet;

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};

use crate::{EmailAddress, NamedAddress, date};

/// Longest line that may travel unencoded (RFC 5322 section 2.1.1).
const MAX_LINE_BYTES: usize = 998;

/// Most ids written into a References field.
const MAX_REFERENCES: usize = 50;

/// Fields in which a draft may keep To, Cc and Bcc as they were typed. They are for Drafts only: a program that passes a message on
/// takes them out with Bcc.
pub const TYPED_FIELDS: [&str; 3] = ["Holdfast-Typed-To", "Holdfast-Typed-Cc", "Holdfast-Typed-Bcc"];

/// The field in which a draft may keep which message it answers or forwards; for Drafts only, like [`TYPED_FIELDS`].
pub const DRAFT_OF_FIELD: &str = "Holdfast-Draft-Of";

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
        self.build_message(false)
    }

    /// The message to keep in Drafts or Sent: Bcc left in.
    pub fn build_with_bcc(&self) -> Result<Vec<u8>, ComposeError> {
        self.build_message(true)
    }

    /// The Bcc field that [`Self::build`] leaves out, to be put above the copy in Sent; empty if there is none.
    pub fn bcc_field(&self) -> Result<Vec<u8>, ComposeError> {
        if self.bcc.is_empty() {
            return Ok(Vec::new());
        }
        let header = Self {
            message_id: self.message_id.clone(),
            from: self.from.clone(),
            reply_to: Vec::new(),
            to: Vec::new(),
            cc: Vec::new(),
            bcc: self.bcc.clone(),
            subject: String::new(),
            text: String::new(),
            html: None,
            attachments: Vec::new(),
            in_reply_to: None,
            references: Vec::new(),
            date_ms: self.date_ms,
        };
        let built = header.build_with_bcc()?;
        let field = crate::headers::fields(&built).find(|field| field.is("bcc")).map(|field| field.raw.to_vec());
        Ok(field.unwrap_or_default())
    }

    /// All recipients, each once.
    pub fn recipients(&self) -> Vec<EmailAddress> {
        let mut seen = HashSet::new();
        self.to
            .iter()
            .chain(&self.cc)
            .chain(&self.bcc)
            .filter(|named| seen.insert(named.address.canonical()))
            .map(|named| named.address.clone())
            .collect()
    }

    fn build_message(&self, with_bcc: bool) -> Result<Vec<u8>, ComposeError> {
        if !is_id(&self.message_id) {
            return Err(ComposeError::Field {
                field: "the Message-ID",
                reason: "it is empty or has a character that is not allowed",
            });
        }
        let mut message = MessageBuilder::new()
            .header("Date", Raw::new(date::format(self.date_ms)))
            .from(address(&self.from))
            .message_id(MessageId::new(self.message_id.as_str()));
        for (name, list) in [("Reply-To", &self.reply_to), ("To", &self.to), ("Cc", &self.cc)] {
            if !list.is_empty() {
                message = message.header(name, addresses(list));
            }
        }
        if with_bcc && !self.bcc.is_empty() {
            message = message.bcc(addresses(&self.bcc));
        }
        // Ids come out of other people's messages: those that can not be written are left out.
        if let Some(id) = self.in_reply_to.as_deref().filter(|id| is_id(id)) {
            message = message.in_reply_to(MessageId::new(id));
        }
        let references = self.usable_references();
        if !references.is_empty() {
            message = message.references(MessageId::new_list(references.into_iter()));
        }
        let mut out = Vec::new();
        message.subject(one_line(&self.subject)).body(self.body()).serialize(&mut out);
        Ok(out)
    }

    /// References of the answered message, and its id (RFC 5322 section 3.6.4).
    fn usable_references(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let mut ids: Vec<&str> = self
            .references
            .iter()
            .chain(&self.in_reply_to)
            .map(String::as_str)
            .filter(|id| is_id(id) && seen.insert(*id))
            .collect();
        if ids.len() > MAX_REFERENCES {
            ids.drain(1..=ids.len() - MAX_REFERENCES);
        }
        ids
    }

    fn body(&self) -> MimePart<'_> {
        let text = MimePart::new("text/plain", BodyPart::Text(crlf(&self.text).into()));
        let (inline, attached): (Vec<_>, Vec<_>) =
            self.attachments.iter().partition(|a| self.html.is_some() && a.inline_id.as_deref().is_some_and(is_id));
        let mut body = text;
        if let Some(html) = &self.html {
            let mut shown = MimePart::new("text/html", BodyPart::Text(crlf(html).into()));
            if !inline.is_empty() {
                let mut parts = vec![shown];
                parts.extend(inline.into_iter().map(NewAttachment::to_part));
                shown = MimePart::new(ContentType::new("multipart/related").attribute("type", "text/html"), parts);
            }
            body = MimePart::new("multipart/alternative", vec![body, shown]);
        }
        if !attached.is_empty() {
            let mut parts = vec![body];
            parts.extend(attached.into_iter().map(NewAttachment::to_part));
            body = MimePart::new("multipart/mixed", parts);
        }
        body
    }
}

impl NewAttachment {
    fn to_part(&self) -> MimePart<'_> {
        let name = file_name(&self.name);
        let content_type = self.usable_type();
        let content = BodyPart::Binary(self.content.as_slice().into());
        let mut part = MimePart::new(ContentType::new(content_type.clone()).attribute("name", name.clone()), content);
        if content_type == "message/rfc822" {
            // RFC 2046 section 5.2.1 allows no encoding here.
            part = part.transfer_encoding(if self.content.is_ascii() { "7bit" } else { "8bit" });
        }
        match self.inline_id.as_deref().filter(|id| is_id(id)) {
            Some(id) => part
                .header("Content-Disposition", ContentType::new("inline").attribute("filename", name))
                .cid(id.to_owned()),
            None => part.attachment(name),
        }
    }

    /// The type given or guessed; `application/octet-stream` where it would not travel.
    fn usable_type(&self) -> String {
        let given = self.content_type.trim().to_ascii_lowercase();
        let given = given.split(';').next().unwrap_or_default().trim();
        let content_type = match given.split_once('/') {
            Some((kind, sub)) if is_token(kind) && is_token(sub) => given.to_owned(),
            _ => mime_guess::from_path(&self.name).first_or_octet_stream().essence_str().to_owned(),
        };
        let unusable = match content_type.as_str() {
            "message/rfc822" => !travels_unencoded(&self.content),
            other => other.starts_with("multipart/") || other.starts_with("message/"),
        };
        if unusable {
            return "application/octet-stream".to_owned();
        }
        content_type
    }
}

/// A new Message-ID without angle brackets: 128 random bits at our domain.
pub fn message_id(domain: &str) -> String {
    format!("{:032x}@{domain}", rand::random::<u128>())
}

fn address(named: &NamedAddress) -> Address<'static> {
    let name = Some(one_line(&named.name)).filter(|name| !name.is_empty());
    Address::new_address(name, named.address.to_string())
}

fn addresses(list: &[NamedAddress]) -> Address<'static> {
    Address::new_list(list.iter().map(address).collect())
}

/// Whether a text can stand between the angle brackets of an id.
fn is_id(id: &str) -> bool {
    (1..=MAX_LINE_BYTES / 2).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}

fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ").trim().to_owned()
}

/// The last component of a file name, on one line.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    match one_line(last) {
        empty if empty.is_empty() => "attachment".to_owned(),
        name => name,
    }
}

fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

/// Whether bytes are lines of CRLF, none too long, no NUL: fit for 8bit transport.
fn travels_unencoded(bytes: &[u8]) -> bool {
    let lines = bytes.split(|b| *b == b'\n').collect::<Vec<_>>();
    let last = lines.len() - 1;
    lines.iter().enumerate().all(|(at, line)| {
        let text = line.strip_suffix(b"\r");
        let text = if at == last { Some(*line) } else { text };
        text.is_some_and(|text| text.len() <= MAX_LINE_BYTES && !text.iter().any(|b| matches!(b, 0 | b'\r')))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::display::{self, ReadOptions};
    use crate::{headers, parse};

    fn named(name: &str, address: &str) -> NamedAddress {
        NamedAddress::new(name, EmailAddress::parse(address).unwrap())
    }

    fn draft() -> Draft {
        Draft {
            from: named("Jörg \"J\" Müller", "jo@x.org"),
            reply_to: vec![],
            to: vec![named("", "a@b.org"), named("C, D", "c@d.org")],
            cc: vec![named("", "A@b.org")],
            bcc: vec![named("Hidden", "hidden@x.org")],
            subject: "Grüße\r\nBcc: evil@x.org".into(),
            text: "Hello\nwörld\n\n.\n".into(),
            html: None,
            attachments: vec![],
            in_reply_to: Some("p@x".into()),
            references: vec!["o@x".into(), "bad id>".into(), "p@x".into()],
            message_id: message_id("x.org"),
            date_ms: 1_795_445_410_000,
        }
    }

    fn show(raw: &[u8]) -> display::Shown {
        display::show(
            raw,
            &parse(raw),
            &ReadOptions { remote_images: false, inline_url: &|part| format!("/part/{part}") },
        )
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let draft = draft();
        let raw = draft.build().unwrap();
        let parsed = parse(&raw);
        assert_eq!(parsed.subject, "Grüße  Bcc: evil@x.org");
        assert_eq!(parsed.from[0].name, "Jörg \"J\" Müller");
        assert_eq!(parsed.from[0].address, "jo@x.org");
        assert_eq!(parsed.to[1].name, "C, D");
        assert_eq!(parsed.message_id, draft.message_id);
        assert_eq!(parsed.references, ["o@x", "p@x"]);
        assert_eq!(parsed.date_ms, Some(draft.date_ms));
        assert_eq!(show(&raw).text, "Hello\nwörld\n\n.\n");
    }

    #[test]
    fn bcc_is_in_the_kept_copy_only() {
        let draft = draft();
        let sent = draft.build().unwrap();
        assert!(headers::value(&sent, "bcc").is_none());
        assert!(!String::from_utf8_lossy(&sent).contains("hidden@x.org"));
        let kept = draft.build_with_bcc().unwrap();
        assert_eq!(parse(&kept).bcc[0].address, "hidden@x.org");
        let to: Vec<_> = draft.recipients().iter().map(ToString::to_string).collect();
        assert_eq!(to, ["a@b.org", "c@d.org", "hidden@x.org"]);
    }

    #[test]
    fn attachments_come_out_as_they_went_in() {
        let file = |name: &str, content_type: &str, content: &[u8]| NewAttachment {
            name: name.into(),
            content_type: content_type.into(),
            content: content.to_vec(),
            inline_id: None,
        };
        let original = b"Subject: in\r\n\r\nbody\r\n";
        let draft = Draft {
            html: Some("<p>Hi <img src=\"cid:i1\"></p>".into()),
            attachments: vec![
                file("../päth/ü.pdf", "", b"\0\xff\r\n"),
                file("m.eml", "message/rfc822", original),
                file("bad.eml", "message/rfc822", b"\nbare\n"),
                NewAttachment { inline_id: Some("i1".into()), ..file("i.png", "image/png", b"png") },
            ],
            ..draft()
        };
        let raw = draft.build().unwrap();
        let parsed = parse(&raw);
        let shown = show(&raw);
        let html = shown.html.unwrap();
        assert!(html.contains("src=\"/part/1.2.2\""), "{html}");
        let files: Vec<_> = shown
            .attachments
            .iter()
            .map(|a| {
                let content = display::part_content(&raw, &parsed, &a.part).unwrap();
                (a.name.clone(), a.content_type.clone(), content)
            })
            .collect();
        assert_eq!(
            files,
            [
                ("ü.pdf".into(), "application/pdf".into(), b"\0\xff\r\n".to_vec()),
                ("m.eml".into(), "message/rfc822".into(), original.to_vec()),
                ("bad.eml".into(), "application/octet-stream".into(), b"\nbare\n".to_vec()),
            ]
        );
        assert!(parsed.has_attachment);
    }

    #[test]
    fn a_forged_message_id_is_refused() {
        let draft = Draft { message_id: "a>\r\nBcc: <x@y".into(), ..draft() };
        assert!(draft.build().is_err());
    }

    proptest! {
        #[test]
        fn any_text_makes_a_sound_message(subject: String, text: String, name: String, file: String, content: Vec<u8>, html: Option<String>) {
            let mut draft = draft();
            draft.subject = subject;
            draft.text = text;
            draft.html = html;
            // Set past the constructor, which would take line ends out.
            draft.from.name.clone_from(&name);
            draft.to[0].name = name;
            draft.attachments = vec![NewAttachment { name: file, content_type: String::new(), content: content.clone(), inline_id: None }];
            let raw = draft.build().unwrap();
            let parsed = parse(&raw);
            let from = headers::value(&raw, "from").unwrap();
            prop_assert_eq!(crate::typed::authors(&from), Ok(vec![draft.from.address.clone()]), "{}", String::from_utf8_lossy(&from));
            let names: Vec<String> = headers::fields(&raw)
                .map(|f| String::from_utf8_lossy(f.name).into_owned())
                .collect();
            prop_assert_eq!(
                names.join(" "),
                "Date From Message-ID To Cc In-Reply-To References Subject MIME-Version Content-Type"
            );
            for line in raw.split(|b| *b == b'\n') {
                prop_assert!(line.len() <= 999);
            }
            prop_assert_eq!(parsed.root.parts.len(), 2);
            prop_assert_eq!(display::part_content(&raw, &parsed, "2").unwrap(), content);
        }
    }
}
