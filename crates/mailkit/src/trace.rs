//! Trace fields that the service writes on top of a message.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::parse::LISTED_FIELDS;
use crate::{EmailAddress, date, headers};

/// Longest text of a stranger's (a HELO name) put into a trace field.
const MAX_WORD_BYTES: usize = 255;
/// Longest line of an added field (RFC 5322 section 2.1.1).
const MAX_ADDED_LINE_BYTES: usize = 998;

/// A `Received:` field (RFC 5321 section 4.4).
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// What the client called itself.
    pub helo: &'a str,
    /// Where it connected from; `None` for mail made by the service itself (web).
    pub peer: Option<IpAddr>,
    /// Our name.
    pub by: &'a str,
    /// Protocol by RFC 3848/6531: `SMTP`, `ESMTP`, `ESMTPS`, `ESMTPSA`, `UTF8SMTPS`, `HTTPS` …
    pub with: &'a str,
    /// TLS version and cipher, as a comment.
    pub tls: Option<&'a str>,
    /// Our id of this transaction.
    pub id: &'a str,
    /// The recipient, if there is one only (several: left out so that none learns of the others).
    pub recipient: Option<&'a EmailAddress>,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
}

impl Received<'_> {
    /// The field with folds and final CRLF. Whatever the client sent can not break out of it.
    pub fn to_header(&self) -> String {
        let mut out = String::from("Received: ");
        let helo = word(self.helo);
        if !helo.is_empty() || self.peer.is_some() {
            out.push_str("from ");
            out.push_str(if helo.is_empty() { "unknown" } else { &helo });
            if let Some(peer) = self.peer {
                let _ = write!(out, " ({})", literal(peer));
            }
            out.push_str("\r\n\t");
        }
        let _ = write!(out, "by {} with {}", word(self.by), word(self.with));
        if let Some(tls) = self.tls {
            let _ = write!(out, " ({})", comment(tls));
        }
        let _ = write!(out, "\r\n\tid {}", word(self.id));
        if let Some(recipient) = self.recipient {
            let _ = write!(out, "\r\n\tfor <{recipient}>");
        }
        let _ = write!(out, ";\r\n\t{}\r\n", date::format(self.at_ms));
        out
    }
}

/// An address literal of RFC 5321 section 4.1.3. IPv4 addresses mapped into IPv6 show as what they are.
pub fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}

/// A stranger's word: printable ASCII without what would end or comment it.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() && !"()<>;,\\\"".contains(*c)).take(MAX_WORD_BYTES).collect()
}

fn comment(text: &str) -> String {
    text.chars().filter(|c| (c.is_ascii_graphic() || *c == ' ') && !"()\\".contains(*c)).take(MAX_WORD_BYTES).collect()
}

/// `Return-Path: <...>` CRLF; `None` is the null path `<>`.
pub fn return_path(from: Option<&EmailAddress>) -> String {
    match from {
        Some(from) => format!("Return-Path: <{from}>\r\n"),
        None => "Return-Path: <>\r\n".to_owned(),
    }
}

/// `Authentication-Results:` (RFC 8601) with CRLF; each result a method clause such as `auth=pass smtp.auth=...`.
///
/// Control characters and semicolons in a clause are taken out, so that no clause can forge another.
pub fn authentication_results(by: &str, results: &[String]) -> String {
    let mut out = format!("Authentication-Results: {}", word(by));
    if results.is_empty() {
        out.push_str("; none");
    }
    for result in results {
        out.push_str(";\r\n\t");
        out.extend(result.chars().filter(|c| !c.is_control() && *c != ';'));
    }
    out.push_str("\r\n");
    out
}

/// Whether a field of that name can be put above a message without changing what the message says: results of checks and
/// traces of the way, but nothing that mail programs show as the sender's word or list messages by.
pub fn may_add(name: &str) -> bool {
    const NAMES: [&str; 4] = ["Authentication-Results", "Received", "Received-SPF", "Return-Path"];
    let begins = |start: &str| name.get(..start.len()).is_some_and(|part| part.eq_ignore_ascii_case(start));
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    let is_listed = LISTED_FIELDS.iter().any(|listed| name.eq_ignore_ascii_case(listed));
    let is_trace = NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) || begins("X-") || begins("ARC-");
    is_name && is_trace && !is_listed
}

/// A header field to be put above a message, with CRLF, if [`may_add`] allows its name and its value is visible ASCII,
/// blanks, and folds that are followed by a blank.
pub fn added_field(name: &str, value: &str) -> Option<String> {
    let unfolded = value.replace("\r\n ", " ").replace("\r\n\t", "\t");
    let is_clean = unfolded.bytes().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\t'));
    let is_short = value.split("\r\n").all(|line| name.len() + 2 + line.len() <= MAX_ADDED_LINE_BYTES);
    let blank = |line: &str| line.trim_matches([' ', '\t']).is_empty();
    let has_text = !value.split("\r\n").skip(1).any(blank);
    (may_add(name) && is_clean && is_short && has_text).then(|| format!("{name}: {value}\r\n"))
}

/// Number of `Received:` fields on top of a raw message: the loop detector's measure.
pub fn hops(raw: &[u8]) -> usize {
    headers::fields(raw).filter(|field| field.is("received")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> Received<'static> {
        Received {
            helo: "client.example",
            peer: Some("192.0.2.1".parse().unwrap()),
            by: "mx.example.org",
            with: "ESMTPS",
            tls: Some("TLS1.3 TLS_AES_256_GCM_SHA384"),
            id: "abc123",
            recipient: None,
            at_ms: 1_795_445_410_000,
        }
    }

    #[test]
    fn only_clean_fields_of_our_own_can_be_added() {
        for (name, value, is_allowed) in [
            ("Authentication-Results", "mx.example; spf=pass\r\n\tsmtp.mailfrom=a.example", true),
            ("X-Spam-Score", "4.2", true),
            ("x-anything", "", true),
            ("ARC-Seal", "i=1; b=abc", true),
            ("Subject", "spam", false),
            ("X-Label", "listed by programs", false),
            ("X-Priority", "1", false),
            ("Content-Type", "text/html", false),
            ("X-Bad Name", "x", false),
            ("X-Bad:Name", "x", false),
            ("", "x", false),
            ("X-Ends", "a\r\n\r\nbody", false),
            ("X-Second", "a\r\nSubject: b", false),
            ("X-Blank-Fold", "a\r\n \r\n b", false),
            ("X-Bare", "a\nb", false),
            ("X-Bare", "a\rb", false),
            ("X-Nul", "a\0b", false),
            ("X-Utf8", "\u{e9}", false),
        ] {
            assert_eq!(added_field(name, value).is_some(), is_allowed, "{name}: {value:?}");
        }
        assert!(added_field("X-Long", &"x".repeat(990)).is_some());
        assert!(added_field("X-Long", &"x".repeat(991)).is_none());
        assert!(added_field(&format!("X-{}", "x".repeat(2_000)), "v").is_none());
    }

    #[test]
    fn received_has_the_form_of_rfc_5321() {
        let to = EmailAddress::parse("a@b.org").unwrap();
        let field = Received { recipient: Some(&to), ..received() };
        assert_eq!(
            field.to_header(),
            "Received: from client.example ([192.0.2.1])\r\n\
             \tby mx.example.org with ESMTPS (TLS1.3 TLS_AES_256_GCM_SHA384)\r\n\
             \tid abc123\r\n\
             \tfor <a@b.org>;\r\n\
             \tMon, 23 Nov 2026 14:50:10 +0000\r\n"
        );
    }

    #[test]
    fn a_hostile_helo_can_not_break_out() {
        let field = Received { helo: "x) by evil; Mon\r\nX-Forged: yes\r\n\r\n", ..received() };
        let header = field.to_header();
        assert!(header.starts_with("Received: from xbyevilMonX-Forged:yes ([192.0.2.1])\r\n"));
        assert_eq!(headers::fields(header.as_bytes()).count(), 1);
    }

    #[test]
    fn mail_made_by_the_service_names_no_client() {
        let field = Received { helo: "", peer: None, with: "HTTPS", tls: None, ..received() };
        assert!(field.to_header().starts_with("Received: by mx.example.org with HTTPS\r\n"));
    }

    #[test]
    fn clauses_can_not_forge_clauses() {
        let field = authentication_results("mx.example.org", &["auth=pass; dkim=pass\r\nX: y".into()]);
        assert_eq!(field, "Authentication-Results: mx.example.org;\r\n\tauth=pass dkim=passX: y\r\n");
        assert_eq!(authentication_results("mx", &[]), "Authentication-Results: mx; none\r\n");
    }

    #[test]
    fn hops_are_counted_in_the_header_only() {
        assert_eq!(hops(b"Received: a\r\nRECEIVED: b\r\n c\r\n\r\nReceived: d\r\n"), 2);
    }
}
