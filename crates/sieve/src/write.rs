//! Header fields and MIME entities that scripts make.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::message::Message;
use crate::pieces::Stretch;

/// Where lines are folded, in bytes.
const FOLD: usize = 78;
/// Bytes of text in one encoded-word.
const WORD: usize = 42;

/// A header field with its line break: folded, and encoded where it is not ASCII (RFC 2047).
pub(crate) fn field(name: &str, value: &str) -> String {
    let value: Vec<&str> = value.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect();
    let value = value.join(" ");
    let is_plain = value.bytes().all(|c| (b' '..=b'~').contains(&c) || c == b'\t');
    let value = if is_plain { value } else { encoded(&value) };
    let mut out = format!("{name}:");
    let mut length = out.len();
    for word in value.split(' ') {
        if length + 1 + word.len() > FOLD && length > name.len() + 1 && !word.is_empty() {
            out.push_str("\r\n");
            length = 0;
        }
        out.push(' ');
        out.push_str(word);
        length += 1 + word.len();
    }
    out + "\r\n"
}

fn encoded(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    let mut words = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let mut end = rest.len().min(WORD);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(&rest[..end])));
        rest = &rest[end..];
    }
    words.join(" ")
}

/// A text as a MIME entity, in lines of base64 where it is not plain ASCII.
pub(crate) fn text_entity(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let is_plain = text.is_ascii() && text.lines().all(|line| line.len() < 990);
    if is_plain {
        return format!("Content-Type: text/plain; charset=us-ascii\r\n\r\n{text}");
    }
    format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        base64_lines(text.as_bytes())
    )
}

fn base64_lines(bytes: &[u8]) -> String {
    bytes.chunks(57).map(|chunk| STANDARD.encode(chunk) + "\r\n").collect()
}

/// The message's header around another entity.
pub(crate) fn around(message: &Message, entity: &str, subject: Option<&str>, from: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    let is = |name: &str, of: &str| name.eq_ignore_ascii_case(of);
    for kept in message.all() {
        let name = kept.name.as_str();
        if name.is_empty() {
            continue;
        }
        let is_new = (is(name, "Subject") && subject.is_some()) || (is(name, "From") && from.is_some());
        if is_new || is(name, "MIME-Version") || name.to_ascii_lowercase().starts_with("content-") {
            continue;
        }
        out.extend_from_slice(&kept.raw);
        if !kept.raw.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    for (name, value) in [("Subject", subject), ("From", from)] {
        out.extend(value.map(|value| field(name, value)).unwrap_or_default().into_bytes());
    }
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    out.extend_from_slice(entity.as_bytes());
    out
}

/// A text, with the message as an attachment. Fields named in `fields` are copied from the message.
pub(crate) fn enclosed(message: &Message, text: &str, subject: Option<&str>, fields: &[String]) -> Vec<Stretch> {
    let original = message.bytes();
    let mut boundary = format!("enclosed-{:x}", original.len());
    while memchr::memmem::find(&original, boundary.as_bytes()).is_some() {
        boundary.push('x');
    }
    let mut out = Vec::new();
    let always = ["From", "To", "Cc", "Date", "Message-ID"];
    for kept in message.all() {
        let is_wanted = |name: &str| kept.name.eq_ignore_ascii_case(name);
        let is_subject = is_wanted("Subject");
        let copied = always.iter().any(|name| is_wanted(name)) || fields.iter().any(|name| is_wanted(name));
        if (copied && !(is_subject && subject.is_some())) || (is_subject && subject.is_none()) {
            out.extend_from_slice(&kept.raw);
        }
    }
    out.extend(subject.map(|subject| field("Subject", subject)).unwrap_or_default().into_bytes());
    out.extend_from_slice(
        format!("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n")
            .as_bytes(),
    );
    out.extend_from_slice(text_entity(text).as_bytes());
    out.extend_from_slice(format!("\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n").as_bytes());
    let end = format!("\r\n--{boundary}--\r\n").into_bytes();
    vec![Stretch::Text(out), Stretch::Original(0..original.len() as u64), Stretch::Text(end)]
}
