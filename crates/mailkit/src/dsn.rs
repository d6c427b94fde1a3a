//! Delivery status notifications (RFC 3464, RFC 6522, RFC 3461; RFC 6533 where addresses are not ASCII).

use std::fmt::Write as _;

use mail_builder::headers::Header as _;
use mail_builder::headers::text::Text;

use crate::{EmailAddress, charset, date, headers};

/// Longest original returned in full, in bytes; of longer ones the header is returned.
pub const MAX_RETURNED_BYTES: usize = 256 * 1024;

/// Longest header returned, in bytes; the rest is cut at a line end.
pub const MAX_RETURNED_HEADER_BYTES: usize = 64 * 1024;

/// Longest subject of a message that a report names, in bytes.
const MAX_SUBJECT_BYTES: usize = 300;

/// Longest piece of it that stands in the report's own subject, in bytes.
const MAX_NAMED_SUBJECT_BYTES: usize = 120;

/// Longest line of what another server said.
const MAX_DIAGNOSTIC_BYTES: usize = 900;

/// What became of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Given up.
    Failed,
    /// Still trying.
    Delayed,
    /// In the mailbox.
    Delivered,
    /// Passed to a host that sends no notifications.
    Relayed,
    /// Passed on to several others.
    Expanded,
}

impl Action {
    /// Its name in the `Action` field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

/// One recipient's report.
#[derive(Clone, Debug)]
pub struct RecipientReport {
    /// The address tried.
    pub recipient: EmailAddress,
    /// ORCPT as the client gave it (`rfc822;...`).
    pub original_recipient: Option<String>,
    /// What became of it.
    pub action: Action,
    /// Enhanced status (`5.1.1`).
    pub status: String,
    /// What the other server said.
    pub diagnostic: Option<String>,
    /// Its name.
    pub remote_mta: Option<String>,
    /// Last attempt, milliseconds since the epoch.
    pub last_attempt_ms: Option<i64>,
    /// If delayed: when we will give up.
    pub will_retry_until_ms: Option<i64>,
}

/// A report to be built.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Our host name.
    pub reporting_mta: &'a str,
    /// From whom the report comes (usually `mailer-daemon@` our domain).
    pub from: &'a EmailAddress,
    /// The sender of the original.
    pub to: &'a EmailAddress,
    /// ENVID as the client gave it.
    pub envelope_id: Option<&'a str>,
    /// When the original arrived.
    pub arrival_ms: i64,
    /// When the report is made.
    pub date_ms: i64,
    /// Message-ID of the report, without angle brackets.
    pub message_id: &'a str,
    /// The recipients; not empty.
    pub recipients: &'a [RecipientReport],
    /// The original, raw.
    pub original: &'a [u8],
    /// An account here sent it: the subject of the report names it by its own. What a stranger wrote is not spread as a subject
    /// of ours.
    pub of_own: bool,
    /// Return all of it (RET=FULL, and it is small enough); else the header only.
    pub return_full: bool,
}

impl Report<'_> {
    /// The `multipart/report` message, ready to be sent with a null return path.
    pub fn build(&self) -> Vec<u8> {
        // 128 random bits: it does not occur in the original.
        let boundary = format!("report-{:032x}", rand::random::<u128>());
        let mut out = self.header(&boundary);
        let _ = write!(
            out,
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n{}\r\n--{boundary}\r\nContent-Type: message/{}\r\n\
             Content-Description: Technical details\r\n\r\n{}",
            self.for_people(),
            if self.is_global() { "global-delivery-status" } else { "delivery-status" },
            self.for_machines(),
        );
        let mut out = out.into_bytes();
        let (kind, original) = self.returned();
        out.extend_from_slice(
            format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Description: Your message\r\n").as_bytes(),
        );
        if !original.is_ascii() {
            out.extend_from_slice(b"Content-Transfer-Encoding: 8bit\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(original);
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        out
    }

    fn header(&self, boundary: &str) -> String {
        let mut subject = Vec::new();
        // Into memory: can't fail.
        Text::new(self.subject()).write_header(&mut subject, "Subject: ".len());
        let subject = String::from_utf8_lossy(&subject);
        let mut out = format!(
            "Date: {}\r\nFrom: Mail Delivery System <{}>\r\nTo: <{}>\r\nSubject: {}\r\n\
             Message-ID: <{}>\r\n",
            date::format(self.date_ms),
            self.from,
            self.to,
            subject.trim_end(),
            one_line(self.message_id, MAX_DIAGNOSTIC_BYTES),
        );
        if let Some(id) = headers::value(self.original, "message-id") {
            let id = one_line(&String::from_utf8_lossy(&id), MAX_DIAGNOSTIC_BYTES);
            let _ = write!(out, "In-Reply-To: {id}\r\nReferences: {id}\r\n");
        }
        let _ = write!(
            out,
            "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n"
        );
        out
    }

    /// What happened, to whom, and to which message: `Undelivered to bob@y.org and 2 others: Minutes`.
    fn subject(&self) -> String {
        let worst = self.worst();
        let concerned: Vec<&RecipientReport> = self.recipients.iter().filter(|r| r.action == worst).collect();
        let what = match worst {
            Action::Failed => "Undelivered",
            Action::Delayed => "Delayed",
            _ => "Delivered",
        };
        let mut out = what.to_owned();
        if let Some(first) = concerned.first().or(self.recipients.first().as_ref()) {
            let joined = if worst == Action::Delayed { "for" } else { "to" };
            let _ = write!(out, " {joined} {}", first.recipient);
        }
        match concerned.len() {
            0 | 1 => {}
            2 => out.push_str(" and one other"),
            n => {
                let _ = write!(out, " and {} others", n - 1);
            }
        }
        let subject = headers::value(self.original, "subject").map(|subject| headers::decode_text(&subject));
        let subject = subject.filter(|subject| self.of_own && !subject.trim().is_empty());
        if let Some(subject) = subject {
            let _ = write!(out, ": {}", one_line(&subject, MAX_NAMED_SUBJECT_BYTES));
        }
        out
    }

    /// Failed if any failed, else delayed if any is.
    fn worst(&self) -> Action {
        let any = |action| self.recipients.iter().any(|r| r.action == action);
        [Action::Failed, Action::Delayed].into_iter().find(|action| any(*action)).unwrap_or(Action::Delivered)
    }

    fn is_global(&self) -> bool {
        self.recipients.iter().any(|r| r.recipient.needs_smtputf8())
    }

    fn for_people(&self) -> String {
        let mut out = format!("This is the mail system at {}.\r\n", one_line(self.reporting_mta, 255));
        let subject = headers::value(self.original, "subject").map(|subject| headers::decode_text(&subject));
        if let Some(subject) = subject.filter(|subject| !subject.trim().is_empty()) {
            let _ = write!(out, "\r\nSubject of your message: {}\r\n", one_line(&subject, MAX_SUBJECT_BYTES));
        }
        for (action, text) in [
            (Action::Failed, "Your message could not be delivered to:"),
            (
                Action::Delayed,
                "Your message has not been delivered yet. You don't need to do anything: this server keeps trying. Recipients:",
            ),
            (Action::Delivered, "Your message has been delivered to:"),
            (
                Action::Relayed,
                "Your message has been relayed to a server that doesn't send delivery confirmations, for:",
            ),
            (Action::Expanded, "Your message has been forwarded to several people by:"),
        ] {
            let mut recipients = self.recipients.iter().filter(|r| r.action == action).peekable();
            if recipients.peek().is_none() {
                continue;
            }
            let _ = write!(out, "\r\n{text}\r\n");
            for recipient in recipients {
                let _ = write!(out, "\r\n  {}\r\n", recipient.recipient);
                if let Some(said) = &recipient.diagnostic {
                    let said = one_line(said, MAX_DIAGNOSTIC_BYTES);
                    match &recipient.remote_mta {
                        Some(host) => {
                            let _ = write!(out, "    {} replied: {said}\r\n", one_line(host, 255));
                        }
                        None => {
                            let _ = write!(out, "    {said}\r\n");
                        }
                    }
                }
                if let Some(until) = recipient.will_retry_until_ms {
                    let _ = write!(out, "    This server keeps trying until {}.\r\n", date::format(until));
                }
            }
        }
        out
    }

    fn for_machines(&self) -> String {
        let mut out = format!("Reporting-MTA: dns;{}\r\n", one_line(self.reporting_mta, 255));
        if let Some(id) = self.envelope_id {
            let _ = write!(out, "Original-Envelope-Id: {}\r\n", ascii(id));
        }
        let _ = write!(out, "Arrival-Date: {}\r\n", date::format(self.arrival_ms));
        for recipient in self.recipients {
            out.push_str("\r\n");
            recipient.write(self.is_global(), &mut out);
        }
        out
    }

    /// Type and bytes of what is returned of the original.
    fn returned(&self) -> (&'static str, &[u8]) {
        let header = headers::header_range(self.original);
        if self.return_full && self.original.len() <= MAX_RETURNED_BYTES {
            let kind = if self.original[header].is_ascii() { "message/rfc822" } else { "message/global" };
            return (kind, self.original);
        }
        let mut header = &self.original[header];
        if header.len() > MAX_RETURNED_HEADER_BYTES {
            let cut = &header[..MAX_RETURNED_HEADER_BYTES];
            let end = memchr::memrchr(b'\n', cut).map_or(cut.len(), |at| at + 1);
            header = &cut[..end];
        }
        let kind = if header.is_ascii() { "text/rfc822-headers" } else { "message/global-headers" };
        (kind, header)
    }
}

impl RecipientReport {
    fn write(&self, is_global: bool, out: &mut String) {
        let kind = if self.recipient.needs_smtputf8() { "utf-8" } else { "rfc822" };
        if let Some(orcpt) = &self.original_recipient {
            let _ = write!(out, "Original-Recipient: {}\r\n", original_recipient(orcpt, is_global));
        }
        let _ = write!(
            out,
            "Final-Recipient: {kind};{}\r\nAction: {}\r\nStatus: {}\r\n",
            self.recipient,
            self.action.as_str(),
            ascii(&self.status),
        );
        if let Some(host) = &self.remote_mta {
            let _ = write!(out, "Remote-MTA: dns;{}\r\n", ascii(host));
        }
        if let Some(said) = &self.diagnostic {
            let _ = write!(out, "Diagnostic-Code: smtp;{}\r\n", ascii(said));
        }
        if let Some(at) = self.last_attempt_ms {
            let _ = write!(out, "Last-Attempt-Date: {}\r\n", date::format(at));
        }
        if let Some(until) = self.will_retry_until_ms {
            let _ = write!(out, "Will-Retry-Until: {}\r\n", date::format(until));
        }
    }
}

/// What ORCPT says: without its xtext (RFC 3461 §4.2), and, where the report may hold it, in UTF-8 (RFC 6533 §3).
fn original_recipient(orcpt: &str, is_global: bool) -> String {
    let Some((kind, address)) = orcpt.split_once(';') else { return ascii(orcpt) };
    let address = charset::unescape(address.as_bytes(), b'+');
    let address = String::from_utf8_lossy(&address);
    if is_global && kind.eq_ignore_ascii_case("utf-8") {
        return one_line(&format!("{kind};{}", without_embedded(&address)), MAX_DIAGNOSTIC_BYTES);
    }
    ascii(&format!("{kind};{address}"))
}

/// `\x{F6}` and its like undone (RFC 6533 §3).
fn without_embedded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x{") {
        let (before, embedded) = rest.split_at(at);
        out.push_str(before);
        let found = embedded[3..].split_once('}').and_then(|(digits, tail)| {
            let number = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 6)?;
            Some((char::from_u32(number)?, tail))
        });
        match found {
            Some((c, tail)) => {
                out.push(c);
                rest = tail;
            }
            None => {
                out.push_str(&embedded[..3]);
                rest = &embedded[3..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// A stranger's text on one line, not too long.
fn one_line(text: &str, max: usize) -> String {
    let mut out = text.replace(|c: char| c.is_control(), " ");
    out.truncate(out.floor_char_boundary(max));
    out.trim().to_owned()
}

fn ascii(text: &str) -> String {
    one_line(text, MAX_DIAGNOSTIC_BYTES).replace(|c: char| !c.is_ascii(), "?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    fn failed() -> RecipientReport {
        RecipientReport {
            recipient: address("nobody@y.org"),
            original_recipient: Some("rfc822;Nobody@y.org".into()),
            action: Action::Failed,
            status: "5.1.1".into(),
            diagnostic: Some("550 5.1.1 no such user\r\nInjected: yes".into()),
            remote_mta: Some("mx.y.org".into()),
            last_attempt_ms: Some(1_795_445_410_000),
            will_retry_until_ms: None,
        }
    }

    const ORIGINAL: &[u8] = b"Subject: hi\r\nMessage-ID: <o@x>\r\n\r\nbody\r\n";

    fn build(recipients: &[RecipientReport], original: &[u8], return_full: bool) -> Vec<u8> {
        Report {
            reporting_mta: "mx.x.org",
            from: &address("mailer-daemon@x.org"),
            to: &address("me@x.org"),
            envelope_id: Some("env1"),
            arrival_ms: 1_795_445_410_000,
            date_ms: 1_795_445_410_000,
            message_id: "r@x.org",
            recipients,
            original,
            of_own: true,
            return_full,
        }
        .build()
    }

    fn types(raw: &[u8]) -> Vec<String> {
        parse(raw).root.parts.iter().map(|p| p.content_type()).collect()
    }

    #[test]
    fn a_failure_report_has_its_three_parts() {
        let raw = build(&[failed()], ORIGINAL, true);
        assert_eq!(types(&raw), ["text/plain", "message/delivery-status", "message/rfc822"]);
        let parsed = parse(&raw);
        assert_eq!(parsed.references, ["o@x"]);
        assert!(parsed.root.parts.iter().skip(1).all(|part| part.description.is_some()));
        assert!(String::from_utf8_lossy(&raw).contains("your message: hi\r\n"));
        assert!(!parsed.truncated);
        let part = &parsed.root.parts[1];
        let status = String::from_utf8(raw[part.body_start as usize..part.body_end as usize].to_vec()).unwrap();
        assert_eq!(
            status,
            "Reporting-MTA: dns;mx.x.org\r\nOriginal-Envelope-Id: env1\r\n\
             Arrival-Date: Mon, 23 Nov 2026 14:50:10 +0000\r\n\r\n\
             Original-Recipient: rfc822;Nobody@y.org\r\nFinal-Recipient: rfc822;nobody@y.org\r\n\
             Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns;mx.y.org\r\n\
             Diagnostic-Code: smtp;550 5.1.1 no such user  Injected: yes\r\n\
             Last-Attempt-Date: Mon, 23 Nov 2026 14:50:10 +0000\r\n"
        );
        let returned = &parsed.root.parts[2];
        assert_eq!(&raw[returned.body_start as usize..returned.body_end as usize], ORIGINAL);
    }

    #[test]
    fn the_original_recipient_is_told_as_it_was_before_it_was_encoded() {
        assert_eq!(original_recipient("rfc822;a+2Bb+3Dc@x.org", false), "rfc822;a+b=c@x.org");
        assert_eq!(original_recipient("rfc822;a+0D+0AX:y@x.org", false), "rfc822;a  X:y@x.org");
        assert_eq!(original_recipient("utf-8;j\\x{F6}rg@x.org", true), "utf-8;jörg@x.org");
        assert_eq!(original_recipient("utf-8;j\\x{F6}rg@x.org", false), "utf-8;j\\x{F6}rg@x.org");
        assert_eq!(original_recipient("utf-8;\\x{FFFFFFFF}\\x{", true), "utf-8;\\x{FFFFFFFF}\\x{");
        assert_eq!(original_recipient("rfc822;a+zz+", false), "rfc822;a+zz+");
    }

    #[test]
    fn header_only_and_international_reports_say_so() {
        assert_eq!(types(&build(&[failed()], ORIGINAL, false))[2], "text/rfc822-headers");
        let big = [ORIGINAL, &vec![b'x'; MAX_RETURNED_BYTES]].concat();
        assert_eq!(types(&build(&[failed()], &big, true))[2], "text/rfc822-headers");
        let international = RecipientReport { recipient: address("jörg@y.org"), ..failed() };
        assert_eq!(
            types(&build(&[international], "Subject: ä\r\n\r\n".as_bytes(), true))[1..],
            ["message/global-delivery-status", "message/global"]
        );
    }

    #[test]
    fn subjects_tell_what_happened() {
        let delayed =
            RecipientReport { action: Action::Delayed, will_retry_until_ms: Some(1_795_445_410_000), ..failed() };
        let to = |who: &str| RecipientReport { recipient: address(who), ..failed() };
        let done = RecipientReport { action: Action::Delivered, ..failed() };
        let named = "Subject: Grüße und mehr\r\n\r\n".as_bytes();
        for (recipients, original, subject) in [
            (vec![failed()], ORIGINAL, "Undelivered to nobody@y.org: hi"),
            (vec![delayed.clone()], ORIGINAL, "Delayed for nobody@y.org: hi"),
            (vec![done.clone()], ORIGINAL, "Delivered to nobody@y.org: hi"),
            (vec![delayed, to("b@y.org"), done], ORIGINAL, "Undelivered to b@y.org: hi"),
            (vec![to("a@y.org"), to("b@y.org")], ORIGINAL, "Undelivered to a@y.org and one other: hi"),
            (vec![to("a@y.org"), to("b@y.org"), to("c@y.org")], ORIGINAL, "Undelivered to a@y.org and 2 others: hi"),
            (vec![failed()], named, "Undelivered to nobody@y.org: Grüße und mehr"),
            (vec![to("jörg@y.org")], named, "Undelivered to jörg@y.org: Grüße und mehr"),
            (vec![failed()], b"Subject:  \r\n\r\n", "Undelivered to nobody@y.org"),
            (vec![failed()], b"From: x\r\n\r\n", "Undelivered to nobody@y.org"),
        ] {
            assert_eq!(parse(&build(&recipients, original, false)).subject, subject);
        }
        let long = [b"Subject: ", "x".repeat(5_000).as_bytes(), b"\r\nX: y\r\n\r\n"].concat();
        let raw = build(&[failed()], &long, false);
        assert!(parse(&raw).subject.len() < 200 && parse(&raw).subject.ends_with("xxx"));
    }

    #[test]
    fn a_stranger_s_words_are_no_subject_of_ours() {
        let report = Report {
            reporting_mta: "mx.x.org",
            from: &address("mailer-daemon@x.org"),
            to: &address("me@x.org"),
            envelope_id: None,
            arrival_ms: 0,
            date_ms: 0,
            message_id: "r@x.org",
            recipients: &[failed()],
            original: b"Subject: BUY\r\n\r\n",
            of_own: false,
            return_full: false,
        };
        assert_eq!(parse(&report.build()).subject, "Undelivered to nobody@y.org");
    }
}
