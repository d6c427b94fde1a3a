//! Automatic replies (RFC 5230, RFC 3834): whether one may be sent, and what it says; and notifications by mail (RFC 5436).

use mailkit::{EmailAddress, srs};

use crate::action::{Notification, Vacation};
use crate::address;
use crate::host::Envelope;
use crate::message::Message;
use crate::notify::Mailto;
use crate::write;

/// Most characters of the subject of a reply.
const MAX_SUBJECT: usize = 256;
/// Most message ids in the References of a reply.
const MAX_REFERENCES: usize = 20;
/// How often one person gets a reply if the script does not say, in seconds.
pub const DEFAULT_PERIOD: u64 = 7 * 86_400;

/// Why no reply is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// The message has no sender: it is a report.
    NullSender,
    /// The sender's address is that of a program.
    Robot,
    /// The message came over a mailing list.
    List,
    /// The message was not written by a person.
    Automatic,
    /// The sender is the account itself.
    Self_,
    /// None of the account's addresses is among the recipients.
    NotAddressed,
}

/// To whom a reply to a message from that sender goes: a return address that a forwarding server has made (SRS) stands for the
/// one who wrote. None for the null sender.
pub fn person(sender: &str) -> Option<String> {
    let made = EmailAddress::parse(sender).ok().and_then(|address| srs::original(&address));
    made.map(|address| address.to_string()).or_else(|| Some(sender.to_owned())).filter(|sender| !sender.is_empty())
}

/// Whether a message gets no reply. `own`: the addresses of the account.
pub fn no_reply(vacation: &Vacation, message: &Message, envelope: &Envelope, own: &[String]) -> Option<NoReply> {
    let Some(sender) = person(&envelope.from) else { return Some(NoReply::NullSender) };
    if is_robot(&envelope.from) || is_robot(&sender) {
        return Some(NoReply::Robot);
    }
    let is = |name: &str, of: &[&str]| {
        message.headers(name).any(|value| of.iter().any(|word| value.trim().eq_ignore_ascii_case(word)))
    };
    let lists =
        ["List-Id", "List-Unsubscribe", "List-Post", "List-Help", "List-Subscribe", "List-Owner", "List-Archive"];
    if lists.iter().any(|name| message.header(name).is_some()) || is("Precedence", &["list", "bulk", "junk"]) {
        return Some(NoReply::List);
    }
    let is_automatic = message
        .headers("Auto-Submitted")
        .any(|value| !value.split([';', '(', ' ']).next().unwrap_or_default().eq_ignore_ascii_case("no"));
    let mut suppressed = message.headers("X-Auto-Response-Suppress").flat_map(|value| value.split(','));
    if is_automatic
        || suppressed.any(|word| ["all", "oof", "autoreply"].iter().any(|it| word.trim().eq_ignore_ascii_case(it)))
    {
        return Some(NoReply::Automatic);
    }
    let mut all = vec![canonical(&envelope.to)];
    all.extend(own.iter().chain(&vacation.addresses).map(|text| canonical(text)));
    if all.contains(&canonical(&sender)) {
        return Some(NoReply::Self_);
    }
    addressed_as(vacation, message, envelope, own).is_none().then_some(NoReply::NotAddressed)
}

/// The account's address that a message was written to.
fn addressed_as(vacation: &Vacation, message: &Message, envelope: &Envelope, own: &[String]) -> Option<String> {
    let mut all = vec![canonical(&envelope.to)];
    all.extend(own.iter().chain(&vacation.addresses).map(|text| canonical(text)));
    let fields = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"];
    let fields = fields.iter().flat_map(|name| message.fields(name));
    let mut found = fields.flat_map(|field| address::list(&String::from_utf8_lossy(&field.unfolded())));
    found.find(|entry| all.contains(&canonical(&entry.text))).map(|entry| entry.text)
}

fn canonical(text: &str) -> String {
    address::one(text).map_or_else(|_| text.trim().to_ascii_lowercase(), |address| address.canonical())
}

/// RFC 3834 section 2 and RFC 5230 section 4.6: addresses behind which nobody reads.
fn is_robot(sender: &str) -> bool {
    let local = sender.rsplit_once('@').map_or(sender, |(local, _)| local).to_ascii_lowercase();
    let bare: String = local.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let names = ["mailerdaemon", "listserv", "majordomo", "noreply", "donotreply", "postmaster", "bounce", "bounces"];
    names.contains(&bare.as_str())
        || local.starts_with("owner-")
        || ["-request", "-owner", "-bounces", "-relay"].iter().any(|end| local.ends_with(end))
        || ["noreply-", "no-reply", "noreply+", "donotreply", "bounces+", "bounce+"]
            .iter()
            .any(|begin| local.starts_with(begin))
}

/// What a reply or notification is made with.
#[derive(Clone, Debug)]
pub struct Writer<'a> {
    /// The account's address, with or without a name.
    pub from: &'a str,
    /// The account's addresses: the reply comes from the one that the message was written to.
    pub own: &'a [String],
    /// The time of its Date field, milliseconds since 1970 UTC.
    pub now_ms: i64,
    /// Its Message-ID, without angle brackets.
    pub message_id: &'a str,
}

/// A reply to the sender of a message.
pub fn reply(vacation: &Vacation, message: &Message, envelope: &Envelope, writer: &Writer<'_>) -> Vec<u8> {
    let subject =
        vacation.subject.clone().filter(|subject| !subject.trim().is_empty()).unwrap_or_else(|| {
            match message.header("Subject").map(str::trim).filter(|subject| !subject.is_empty()) {
                Some(subject) => format!("Auto: {subject}"),
                None => "Automated reply".to_owned(),
            }
        });
    let subject: String = subject.chars().take(MAX_SUBJECT).collect();
    // A message to another of the account's addresses is answered from there.
    let addressed = addressed_as(vacation, message, envelope, writer.own);
    let other = addressed.filter(|address| canonical(address) != canonical(writer.from));
    let from = vacation.from.clone().or(other).unwrap_or_else(|| writer.from.to_owned());
    let mut out = head(writer, &from, &subject);
    out += &write::field("To", &format!("<{}>", person(&envelope.from).unwrap_or_default()));
    if let Some(id) = message.header("Message-ID").filter(|id| id.starts_with('<') && id.is_ascii()) {
        let before = message.header("References").or_else(|| message.header("In-Reply-To")).unwrap_or_default();
        let before: Vec<&str> = before.split_whitespace().filter(|id| id.starts_with('<') && id.is_ascii()).collect();
        let mut ids: Vec<&str> = before[before.len().saturating_sub(MAX_REFERENCES)..].to_vec();
        ids.push(id);
        out += &write::field("In-Reply-To", id);
        out += &write::field("References", &ids.join(" "));
    }
    out += "Auto-Submitted: auto-replied (vacation)\r\nX-Auto-Response-Suppress: All\r\nPrecedence: bulk\r\nMIME-Version: 1.0\r\n";
    out += &if vacation.mime { vacation.reason.clone() } else { write::text_entity(&vacation.reason) };
    if !out.ends_with("\r\n") {
        out += "\r\n";
    }
    out.into_bytes()
}

/// A notification of a message; `None` if the message is one itself, or the method can't be used.
pub fn notification(notification: &Notification, message: &Message, writer: &Writer<'_>) -> Option<Vec<u8>> {
    let is_automatic = message.headers("Auto-Submitted").any(|value| !value.trim().eq_ignore_ascii_case("no"));
    let mailto = Mailto::read(&notification.method).ok().filter(|_| !is_automatic)?;
    let of_uri = |name: &str| mailto.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let sender = message.header("From").unwrap_or("an unknown sender");
    let subject = notification
        .message
        .clone()
        .or_else(|| of_uri("subject"))
        .unwrap_or_else(|| format!("[SIEVE] New message from {sender}"));
    let subject: String = subject.chars().take(MAX_SUBJECT).collect();
    let mut out = head(writer, notification.from.as_deref().unwrap_or(writer.from), &subject);
    for (name, list) in [("To", &mailto.to), ("Cc", &mailto.cc)] {
        let list: Vec<String> = list.iter().map(|address| format!("<{address}>")).collect();
        if !list.is_empty() {
            out += &write::field(name, &list.join(", "));
        }
    }
    // RFC 5436 section 2.7: these are not for the script to say.
    const KEPT: [&str; 10] =
        ["from", "to", "cc", "bcc", "subject", "date", "message-id", "auto-submitted", "received", "mime-version"];
    for (name, value) in &mailto.fields {
        if !KEPT.contains(&name.as_str()) && !name.starts_with("content-") && crate::check::field_name(name).is_ok() {
            out += &write::field(name, value);
        }
    }
    let (priority, importance) = match notification.importance {
        1 => ("1 (Highest)", "High"),
        3 => ("5 (Lowest)", "Low"),
        _ => ("3 (Normal)", "Normal"),
    };
    out += &format!("X-Priority: {priority}\r\nImportance: {importance}\r\n");
    out += &write::field("Auto-Submitted", &format!("auto-notified; owner-email=\"{}\"", bare(writer.from)));
    out += "X-Sieve: Holdfast\r\nMIME-Version: 1.0\r\n";
    let text = mailto.body.clone().unwrap_or_else(|| {
        format!(
            "You have a new message.\r\n\r\nFrom: {sender}\r\nSubject: {}\r\n",
            message.header("Subject").unwrap_or_default()
        )
    });
    out += &write::text_entity(&text);
    if !out.ends_with("\r\n") {
        out += "\r\n";
    }
    Some(out.into_bytes())
}

fn bare(address: &str) -> String {
    address::one(address).map_or_else(|_| address.to_owned(), |address| address.to_string())
}

fn head(writer: &Writer<'_>, from: &str, subject: &str) -> String {
    let from =
        if from.contains(['<', '"']) || !from.contains('@') { from.to_owned() } else { format!("<{}>", from.trim()) };
    format!(
        "{}{}Message-ID: <{}>\r\n{}",
        write::field("From", &from),
        write::field("Subject", subject),
        writer.message_id,
        write::field("Date", &mailkit::date::format(writer.now_ms)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(header: &str, from: &str) -> Option<NoReply> {
        let message = Message::new(format!("{header}\r\n\r\nText\r\n").into_bytes());
        let envelope = Envelope { from: from.to_owned(), to: "me@example.org".to_owned(), ..Envelope::default() };
        let vacation = Vacation { addresses: vec!["Other@Example.Net".to_owned()], ..Vacation::default() };
        no_reply(&vacation, &message, &envelope, &["me@example.org".to_owned()])
    }

    #[test]
    fn replies_go_to_people_who_wrote_to_the_account() {
        for (header, from, why) in [
            ("To: me@example.org", "a@example.com", None),
            ("To: X <ME@example.org>", "a@example.com", None),
            ("Cc: other@example.net", "a@example.com", None),
            ("To: all@example.org", "a@example.com", Some(NoReply::NotAddressed)),
            ("To: me@example.org", "", Some(NoReply::NullSender)),
            ("To: me@example.org", "me@example.org", Some(NoReply::Self_)),
            ("To: me@example.org", "other@example.net", Some(NoReply::Self_)),
            ("To: me@example.org", "MAILER-DAEMON@example.com", Some(NoReply::Robot)),
            ("To: me@example.org", "no-reply@example.com", Some(NoReply::Robot)),
            ("To: me@example.org", "owner-x@example.com", Some(NoReply::Robot)),
            ("To: me@example.org", "list-bounces@example.com", Some(NoReply::Robot)),
            ("To: me@example.org\r\nList-Id: <x>", "a@example.com", Some(NoReply::List)),
            ("To: me@example.org\r\nPrecedence: BULK", "a@example.com", Some(NoReply::List)),
            ("To: me@example.org\r\nAuto-Submitted: auto-replied", "a@example.com", Some(NoReply::Automatic)),
            ("To: me@example.org\r\nAuto-Submitted: no", "a@example.com", None),
            ("To: me@example.org\r\nX-Auto-Response-Suppress: DR, OOF", "a@example.com", Some(NoReply::Automatic)),
            // Forwarded by a server that made the return address.
            ("To: me@example.org", "SRS0=abcd=2W=example.com=a@forward.example", None),
            ("To: me@example.org", "SRS0=abcd=2W=example.com=no-reply@forward.example", Some(NoReply::Robot)),
            ("To: me@example.org", "SRS0=abcd=2W=example.org=me@forward.example", Some(NoReply::Self_)),
            ("To: me@example.org", "SRS1=ab=f.example==cd=2W=example.org=me@forward.example", Some(NoReply::Self_)),
        ] {
            assert_eq!(asked(header, from), why, "{header} from {from}");
        }
    }

    #[test]
    fn a_reply_goes_to_the_one_who_wrote_and_not_to_the_address_of_a_forwarding_server() {
        for (sender, to) in [
            ("a@example.com", "a@example.com"),
            ("SRS0=abcd=2W=example.com=a@forward.example", "a@example.com"),
            ("SRS1=ab=f.example==cd=2W=example.com=a.b+c@forward.example", "a.b+c@example.com"),
            ("SRS0=odd@forward.example", "SRS0=odd@forward.example"),
        ] {
            let message = Message::new(b"To: me@example.org\r\nSubject: Hi\r\n\r\nText\r\n".to_vec());
            let envelope = Envelope { from: sender.to_owned(), to: "me@example.org".to_owned(), ..Envelope::default() };
            let own = ["me@example.org".to_owned()];
            let writer = Writer { from: "me@example.org", own: &own, now_ms: 0, message_id: "1@example.org" };
            let text = String::from_utf8(reply(&Vacation::default(), &message, &envelope, &writer)).unwrap();
            assert!(text.contains(&format!("\r\nTo: <{to}>\r\n")), "{sender}: {text}");
            assert_eq!(person(sender).as_deref(), Some(to));
        }
        assert_eq!(person(""), None);
    }
}
