//! What a message is made of, as hashes: words of its header by field, words and pairs of words of its text, hosts of
//! links, tags of HTML, kinds of files.

use std::collections::BTreeMap;

use mailkit::{Parsed, Part, headers};

use super::html;
use super::texts::Texts;
use super::words::{Section, Sink, Words};

/// Most features of one message. Of more, pairs of words are left out first, then words of the text.
pub const MAX_FEATURES: usize = 3_000;
/// Most header fields that are looked at.
const MAX_FIELDS: usize = 150;
/// Longest value of a header field that is looked at, in bytes.
const MAX_FIELD_BYTES: usize = 2 * 1024;
/// Most features that the header gives.
const MAX_HEADER_FEATURES: usize = 1_200;
/// Most parts whose kind is looked at.
const MAX_PARTS: usize = 100;

/// Fields that other filters or this service write: what they say must not be learned as if the sender had said it.
const NOT_THE_SENDERS: [&str; 12] = [
    "return-path",
    "authentication-results",
    "arc-authentication-results",
    "x-spam-status",
    "x-spam-level",
    "x-spam-flag",
    "x-spam-score",
    "x-spam-report",
    "x-spam-checker-version",
    "x-bogosity",
    "x-holdfast-spam",
    "status",
];

/// Whether a field (name in lower case) is what the sender wrote.
pub(super) fn is_the_senders(name: &str) -> bool {
    !NOT_THE_SENDERS.contains(&name)
}

/// The features of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Each once, in ascending order.
    pub hashes: Vec<u32>,
    /// Of those that are words of people what they are; empty if it wasn't asked for.
    pub names: BTreeMap<u32, String>,
}

/// The features of a message, with their names if `named`. Linear in the message's size, and bounded.
pub fn features(raw: &[u8], parsed: &Parsed, named: bool) -> Features {
    features_of(raw, parsed, &Texts::of(raw, parsed), named)
}

/// The same of a message whose texts are decoded.
pub(super) fn features_of(raw: &[u8], parsed: &Parsed, texts: &Texts, named: bool) -> Features {
    let mut sink = Sink { most: MAX_HEADER_FEATURES * 2, names: named.then(BTreeMap::new), ..Sink::default() };
    let end = (parsed.root.body_start as usize).min(raw.len());
    header(&raw[..end], parsed, &mut sink);
    // Repeated features count once: the limits are for different ones as nearly as is cheap.
    sink.hashes.sort_unstable();
    sink.hashes.dedup();
    sink.hashes.truncate(MAX_HEADER_FEATURES);
    sink.most = MAX_FEATURES * 3;
    body(&parsed.root, &mut sink, texts, &mut 0);
    let mut hashes = sink.hashes;
    hashes.sort_unstable();
    hashes.dedup();
    leave_out_text(&mut hashes);
    hashes.truncate(MAX_FEATURES);
    Features { hashes, names: sink.names.unwrap_or_default() }
}

/// Of too many features those of the text are left out, pairs of words first: there are most of them, and each tells least. Which ones
/// follows from their hashes, so of two messages that are alike the same ones stay.
fn leave_out_text(hashes: &mut Vec<u32>) {
    for section in [Section::Pair, Section::Text, Section::Html, Section::Link] {
        let too_many = hashes.len().saturating_sub(MAX_FEATURES);
        let first = hashes.partition_point(|feature| Section::of(*feature) < section as usize);
        let end = hashes.partition_point(|feature| Section::of(*feature) <= section as usize);
        hashes.drain(end - too_many.min(end - first)..end);
    }
}

fn header(header: &[u8], parsed: &Parsed, sink: &mut Sink) {
    sink.section = Section::Header;
    let mut before = String::new();
    let mut received = 0;
    for field in headers::fields(header).take(MAX_FIELDS) {
        let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
        if !is_the_senders(&name) || name.len() > 60 {
            continue;
        }
        if name == "received" {
            received += 1;
            if received <= 8 {
                sink.section = Section::Trace;
                hosts("rcvd", &String::from_utf8_lossy(cut(field.value)), sink);
                sink.section = Section::Header;
            }
            continue;
        }
        sink.add("field", &name);
        sink.add("after", &format!("{before}>{name}"));
        let value = String::from_utf8_lossy(cut(field.value));
        sink.section = match name.as_str() {
            "from" | "reply-to" | "sender" | "errors-to" | "to" | "cc" => Section::People,
            _ => Section::Header,
        };
        match name.as_str() {
            // Read decoded, below.
            "subject" | "dkim-signature" | "domainkey-signature" | "arc-seal" | "arc-message-signature" => {}
            "references" | "in-reply-to" => hosts("ref", &value, sink),
            "from" | "reply-to" | "sender" | "errors-to" => {
                let text = mailkit::decode_text(cut(field.value));
                Words::new("from", 1).text(&text, sink);
                hosts("addr", &text.to_lowercase(), sink);
            }
            "to" | "cc" => {
                let text = mailkit::decode_text(cut(field.value));
                Words::new("to", 0).text(&text, sink);
                sink.add("to count", &text.matches('@').count().min(10).to_string());
            }
            "message-id" => message_id(&value, sink),
            "date" => {
                let zone = value.trim().rsplit_once(' ').map_or("", |(_, zone)| zone);
                sink.add("zone", &zone[..zone.floor_char_boundary(8)]);
                sink.add("date", &shape(value.trim(), 40));
            }
            "content-type" | "mime-version" => {
                let value = value.to_ascii_lowercase();
                let (before, boundary) = value.split_once("boundary").unwrap_or((&value, ""));
                Words::new("type", 1).text(before, sink);
                if !boundary.is_empty() {
                    sink.add("boundary", &shape(boundary, 40));
                }
            }
            _ => Words::new(&name, 1).text(&mailkit::decode_text(cut(field.value)), sink),
        }
        before = name;
        sink.section = Section::Header;
    }
    sink.add("received", &received.min(9).to_string());
    subject(&parsed.subject, sink);
}

fn subject(subject: &str, sink: &mut Sink) {
    sink.section = Section::Subject;
    Words::new("subject", 2).text(subject, sink);
    let shouted = subject.chars().filter(|c| c.is_uppercase()).count() * 2
        > subject.chars().filter(|c| c.is_alphabetic()).count();
    if shouted {
        sink.add("subject", "shouted");
    }
    if let Some(mark) = subject.chars().last().filter(|c| matches!(c, '!' | '?' | '.')) {
        sink.add("subject end", &mark.to_string());
    }
    if subject.contains("     ") {
        sink.add("subject", "gap");
    }
}

fn cut(value: &[u8]) -> &[u8] {
    &value[..value.len().min(MAX_FIELD_BYTES)]
}

/// Letters and digits as what they are, runs of them once: `----=_NextPart_000` is `-=_a_0`.
fn shape(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut last = ' ';
    for c in text.chars().take(most * 3) {
        let kind = if c.is_ascii_digit() {
            '0'
        } else if c.is_lowercase() {
            'a'
        } else if c.is_uppercase() {
            'A'
        } else {
            c
        };
        if kind != last {
            out.push(kind);
        }
        last = kind;
    }
    out.truncate(out.floor_char_boundary(most));
    out
}

fn message_id(value: &str, sink: &mut Sink) {
    let (local, host) = value.trim().trim_matches(['<', '>']).split_once('@').unwrap_or((value.trim(), ""));
    sink.add("mid", &shape(local, 30));
    hosts("mid host", host, sink);
}

/// Names of hosts and addresses of networks in a text.
fn hosts(kind: &str, text: &str, sink: &mut Sink) {
    let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | ':')));
    for word in parts.filter(|word| word.len() > 2).take(60) {
        let word = word.trim_matches(['.', '-', ':']);
        if let Ok(std::net::Ipv4Addr { .. }) = word.parse::<std::net::Ipv4Addr>() {
            let network = word.rsplit_once('.').map_or(word, |(network, _)| network);
            sink.add(kind, network);
            if let Some((wider, _)) = network.rsplit_once('.') {
                sink.add(kind, wider);
            }
        } else if word.contains('.') || word.contains('@') {
            let word = word.to_ascii_lowercase();
            sink.add(kind, &word);
            let host = word.rsplit_once('@').map_or(word.as_str(), |(_, host)| host);
            domains(kind, host, sink);
        } else if !word.bytes().any(|b| b.is_ascii_digit()) {
            sink.add(kind, word);
        }
    }
}

/// The last two and three labels of a host.
fn domains(kind: &str, host: &str, sink: &mut Sink) {
    let dots: Vec<usize> = host.rmatch_indices('.').map(|(at, _)| at).take(3).collect();
    for at in dots.iter().skip(1) {
        sink.add(kind, &host[at + 1..]);
    }
    if let Some(at) = dots.first() {
        sink.add(kind, &host[*at..]);
    }
}

fn body(part: &Part, sink: &mut Sink, texts: &Texts, parts: &mut usize) {
    *parts += 1;
    if *parts > MAX_PARTS || sink.is_full() {
        return;
    }
    sink.section = Section::Html;
    let kind = part.content_type();
    sink.add("part", &kind);
    sink.add("encoding", &part.encoding);
    if let Some(charset) = part.charset() {
        sink.add("charset", &charset[..charset.floor_char_boundary(30)].to_ascii_lowercase());
    }
    if let Some(name) = part.file_name() {
        let end = name.rsplit_once('.').map_or("", |(_, end)| end);
        sink.add("file", &end[..end.floor_char_boundary(8)].to_lowercase());
    }
    if let Some(text) = texts.get(part) {
        sink.section = Section::Text;
        let mut words = Words::new("", 1);
        let looks = part.subtype != "plain" || begins_like_html(text);
        if part.subtype == "html" || (looks && text.contains('<')) {
            html::features(text, &mut words, sink, &mut |url, sink| link(url, sink));
        } else {
            plain(text, &mut words, sink);
        }
    }
    for child in &part.parts {
        body(child, sink, texts, parts);
    }
}

fn begins_like_html(text: &str) -> bool {
    let start = text.trim_start();
    let start = &start.as_bytes()[..start.len().min(64)];
    [&b"<html"[..], b"<!doctype", b"<body", b"<head", b"<table", b"<center"]
        .iter()
        .any(|tag| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag))
}

fn plain(text: &str, words: &mut Words<'_>, sink: &mut Sink) {
    words.text(text, sink);
    for (at, _) in text.match_indices("://").take(40) {
        let start = text[..at].rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
        let start = text.ceil_char_boundary(start);
        let end =
            text[at..].find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"')).unwrap_or(text.len() - at);
        link(&text[start..at + end], sink);
    }
    for (at, _) in text.match_indices('@').take(40) {
        let end = text[at + 1..].find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-')));
        let host = &text[at + 1..end.map_or(text.len(), |end| at + 1 + end)];
        if host.contains('.') {
            domains("mailto", &host[..host.floor_char_boundary(100)].to_ascii_lowercase(), sink);
        }
    }
}

/// Where a link leads.
fn link(url: &str, sink: &mut Sink) {
    let url = &url[..url.floor_char_boundary(300)];
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    if scheme.len() > 10 {
        return;
    }
    let section = std::mem::replace(&mut sink.section, Section::Link);
    link_parts((scheme, rest), sink);
    sink.section = section;
}

fn link_parts((scheme, rest): (&str, &str), sink: &mut Sink) {
    sink.add("scheme", &scheme.to_ascii_lowercase());
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if host.contains('@') && scheme.eq_ignore_ascii_case("mailto") {
        hosts("mailto", &host.to_ascii_lowercase(), sink);
        return;
    }
    if host.contains('@') {
        sink.add("url", "user");
    }
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host).to_ascii_lowercase();
    let (host, port) = host.split_once(':').unwrap_or((&host, ""));
    if !port.is_empty() {
        sink.add("port", &port[..port.floor_char_boundary(5)]);
    }
    if host.parse::<std::net::Ipv4Addr>().is_ok() || host.bytes().all(|b| b.is_ascii_digit()) {
        sink.add("url", "address");
    }
    sink.add("host", host);
    domains("host", host, sink);
    Words::new("path", 0).text(&path[..path.floor_char_boundary(100)], sink);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(features: &Features, section: Section) -> usize {
        features.hashes.iter().filter(|feature| Section::of(**feature) == section as usize).count()
    }

    #[test]
    fn a_long_text_pushes_out_pairs_of_words_and_nothing_of_the_header() {
        let mail = |text: &str| {
            let raw = format!(
                "From: Ann <ann@far.example>\r\nTo: bob@here.example\r\nSubject: About numbers\r\n\r\n{text} http://far.example/x\r\n"
            );
            features(raw.as_bytes(), &mailkit::parse(raw.as_bytes()), false)
        };
        let word = |number: u32| -> String {
            (0..4).map(|at| char::from(b'a' + (number.wrapping_mul(0x9E37_79B9) >> (8 * at) & 15) as u8)).collect()
        };
        let text: String = (0..20_000).map(|number| word(number) + " ").collect();
        let (short, long) = (mail("few words"), mail(&text));
        assert_eq!(long.hashes.len(), MAX_FEATURES);
        assert!(long.hashes.is_sorted());
        assert!(count(&long, Section::Text) > 1_000 && count(&long, Section::Pair) == 0);
        for section in [Section::Header, Section::Subject, Section::People] {
            assert!(count(&short, section) > 0);
            assert_eq!(count(&short, section), count(&long, section), "{section:?}");
        }
    }
}
