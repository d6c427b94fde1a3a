//! IMAP URLs of messages and their parts (RFC 5092), as far as they name what an account has itself.

use mailstore::Uid;

use crate::syntax::{Section, SectionForm, SectionText, section};

/// `/mailbox;UIDVALIDITY=n/;UID=n/;SECTION=x/;PARTIAL=a.b`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MessageUrl {
    /// `None`: the selected one.
    pub(super) mailbox: Option<String>,
    pub(super) uid_validity: Option<u32>,
    pub(super) uid: Uid,
    pub(super) section: Section,
    /// Offset and length.
    pub(super) partial: Option<(u64, u64)>,
}

impl MessageUrl {
    /// Reads a URL that begins with `/mailbox`, or with `;UID=` or `/;UID=` for the selected mailbox. URLs that name a
    /// server or a user, or that need an authorisation, are not ours.
    pub(super) fn read(url: &str) -> Option<Self> {
        let at = find(url, ";UID=")?;
        let (mailbox, rest) = (&url[..at], &url[at..]);
        let mailbox = mailbox.strip_suffix('/').unwrap_or(mailbox);
        let (name, uid_validity) = match find(mailbox, ";UIDVALIDITY=") {
            Some(at) => (&mailbox[..at], Some(number(&mailbox[at + ";UIDVALIDITY=".len()..])?)),
            None => (mailbox, None),
        };
        let mailbox = match name.strip_prefix('/') {
            _ if name.is_empty() => None,
            Some("") | None => return None,
            // `//host/...` is a server.
            Some(name) if name.starts_with('/') => return None,
            Some(name) => Some(decoded(name)?),
        };
        let mut parts = rest.split("/;");
        let uid = number(parameter(parts.next()?, ";UID=")?)?;
        let whole =
            Section { form: SectionForm::Body, peek: true, part: Vec::new(), text: SectionText::Whole, partial: None };
        let mut url = Self { mailbox, uid_validity, uid: Uid(uid), section: whole, partial: None };
        let mut left = parts.next();
        if let Some(text) = left.and_then(|part| parameter(part, "SECTION=")) {
            url.section = section(&decoded(text)?).filter(|section| section.partial.is_none())?;
            left = parts.next();
        }
        if let Some(text) = left.and_then(|part| parameter(part, "PARTIAL=")) {
            let (offset, length) = text.split_once('.').map_or((text, None), |(a, b)| (a, Some(b)));
            let length = length.map_or(Some(u64::MAX), |length| digits(length).filter(|length| *length > 0))?;
            url.partial = Some((digits(offset)?, length));
            left = parts.next();
        }
        left.is_none().then_some(url)
    }
}

/// Where `word` begins, in any case. Other characters of a URL may be anything.
fn find(text: &str, word: &str) -> Option<usize> {
    text.as_bytes().windows(word.len()).position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.get(..name.len())?;
    head.eq_ignore_ascii_case(name).then(|| &text[name.len()..])
}

fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// A number above 0.
fn number(text: &str) -> Option<u32> {
    digits(text).and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0)
}

/// `%41` undone; UTF-8 must come of it.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let (hex, after) = after.split_at_checked(2)?;
            let hex = std::str::from_utf8(hex).ok().filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_messages_are_read() {
        let url = MessageUrl::read("/INBOX/;uid=3").unwrap();
        assert_eq!((url.mailbox.as_deref(), url.uid, url.uid_validity), (Some("INBOX"), Uid(3), None));
        let url = MessageUrl::read("/a%20b/c%C3%A9;UIDVALIDITY=7/;UID=20/;SECTION=1.2.MIME/;PARTIAL=10.5").unwrap();
        assert_eq!((url.mailbox.as_deref(), url.uid_validity), (Some("a b/c\u{e9}"), Some(7)));
        assert_eq!((url.section.part, url.section.text, url.partial), (vec![1, 2], SectionText::Mime, Some((10, 5))));
        let url = MessageUrl::read(";UID=1/;section=HEADER.FIELDS%20(DATE)").unwrap();
        assert_eq!(url.mailbox, None);
        assert!(matches!(url.section.text, SectionText::Fields { not: false, .. }));
        assert_eq!(MessageUrl::read("/;uid=1/;partial=5").unwrap().partial, Some((5, u64::MAX)));
    }

    #[test]
    fn what_is_no_url_of_an_own_message_is_refused() {
        for wrong in [
            "",
            "/INBOX",
            "/INBOX/;uid=",
            "/INBOX/;uid=0",
            "/INBOX/;uid=x",
            "/INBOX/;uid=4294967296",
            "INBOX/;uid=1",
            "imap://host/INBOX/;uid=1",
            "imap://user@host/INBOX/;uid=1",
            "//host/INBOX/;uid=1",
            "http://host/",
            "/IN%BOX/;uid=1",
            "/IN%F/;uid=1",
            "/IN%FF/;uid=1",
            "/INBOX;uidvalidity=x/;uid=1",
            "/INBOX/;uid=1/;section=NOTHING",
            "/INBOX/;uid=1/;section=1.",
            "/INBOX/;uid=1/;section=HEADER]",
            "/INBOX/;uid=1/;section=TEXT%5D%3C0.1%3E",
            "/INBOX/;uid=1/;partial=x",
            "/INBOX/;uid=1/;partial=1.0",
            "/INBOX/;uid=1/;partial=1.",
            "/INBOX/;uid=1/;urlauth=anonymous:internal:0",
            "/INBOX/;uid=1/;partial=1.2/;section=TEXT",
        ] {
            assert_eq!(MessageUrl::read(wrong), None, "{wrong}");
        }
    }
}
