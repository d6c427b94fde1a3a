//! Rules in words.

use mailstore::Mailbox;
use rules::{Action, Condition, Folder, How, Join, Of, Rule};

use crate::shell::label;

/// The days of the week as scripts number them.
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// What a rule does, in one sentence a half: which messages, and what happens to them.
pub fn sentences(rule: &Rule, mailboxes: &[Mailbox]) -> (String, String) {
    let conditions: Vec<String> = rule.conditions.iter().map(condition).collect();
    let which = match rule.join {
        Join::Every => "Every message".to_owned(),
        Join::All => conditions.join(", and "),
        Join::Any => conditions.join(", or "),
    };
    let done: Vec<String> = rule.actions.iter().filter_map(|act| action(act, mailboxes)).collect();
    let done = if done.is_empty() { "do nothing".to_owned() } else { done.join(", ") };
    let end = if rule.actions.contains(&Action::Stop) { "" } else { ", then go on with the next rule" };
    (capital(&which), capital(&format!("{done}{end}")))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Text { of, how, not, values } => {
            let quoted: Vec<String> = values.iter().map(|value| format!("“{value}”")).collect();
            let of = match of {
                Of::Header(name) => format!("the field {name}"),
                of => of_name(of).to_owned(),
            };
            format!("{of} {} {}", how_name(*how, *not), quoted.join(" or "))
        }
        Condition::Size { over, bytes } => {
            format!("the message is {} than {}", if *over { "larger" } else { "smaller" }, size_exact(*bytes))
        }
        Condition::Attachment(true) => "the message has an attachment".to_owned(),
        Condition::Attachment(false) => "the message has no attachment".to_owned(),
        Condition::Known(true) => "the sender is in your address book".to_owned(),
        Condition::Known(false) => "the sender isn’t in your address book".to_owned(),
        Condition::Spam(true) => "the message looks like spam".to_owned(),
        Condition::Spam(false) => "the message doesn’t look like spam".to_owned(),
    }
}

fn of_name(of: &Of) -> &'static str {
    match of {
        Of::From => "the sender",
        Of::To => "To or Cc",
        Of::Subject => "the subject",
        Of::Body => "the text",
        Of::List => "the mailing list",
        Of::Recipient => "the address it was sent to",
        Of::Header(_) => "a field",
    }
}

fn how_name(how: How, not: bool) -> &'static str {
    match (how, not) {
        (How::Contains, false) => "contains",
        (How::Contains, true) => "doesn’t contain",
        (How::Is, false) => "is",
        (How::Is, true) => "isn’t",
        (How::Begins, false) => "begins with",
        (How::Begins, true) => "doesn’t begin with",
        (How::Ends, false) => "ends with",
        (How::Ends, true) => "doesn’t end with",
        (How::Matches, false) => "matches",
        (How::Matches, true) => "doesn’t match",
    }
}

/// What an action does; nothing for *stop*.
pub fn action(action: &Action, mailboxes: &[Mailbox]) -> Option<String> {
    Some(match action {
        Action::MarkRead => "mark as read".to_owned(),
        Action::Star => "add a star".to_owned(),
        Action::Label(name) => format!("add the label {name}"),
        Action::CopyTo(folder) => format!("put a copy in {}", folder_name(folder, mailboxes)),
        Action::MoveTo(folder) => format!("move to {}", folder_name(folder, mailboxes)),
        Action::Forward { to, keep: true } => format!("forward to {to}"),
        Action::Forward { to, keep: false } => format!("forward to {to} and keep no copy"),
        Action::Reply { .. } => "reply to the sender".to_owned(),
        Action::Snooze { time, weekday } => match weekday.parse().ok().and_then(|day: usize| DAYS.get(day)) {
            Some(day) => format!("snooze until {day}, {time}"),
            None => format!("snooze until {time}"),
        },
        Action::Keep => "keep in the inbox".to_owned(),
        Action::Reject(_) => "reject".to_owned(),
        Action::Discard => "delete".to_owned(),
        Action::Stop => return None,
    })
}

/// The mailbox that a rule means, if it is there.
pub fn mailbox<'m>(folder: &Folder, mailboxes: &'m [Mailbox]) -> Option<&'m Mailbox> {
    let by_id = mailboxes.iter().find(|mailbox| mailbox.id.to_string() == folder.id);
    by_id.or_else(|| mailboxes.iter().find(|mailbox| is_named(mailbox, &folder.name)))
}

fn is_named(mailbox: &Mailbox, name: &str) -> bool {
    mailbox.name.as_str() == name
        || (mailbox.name.as_str().eq_ignore_ascii_case("inbox") && name.eq_ignore_ascii_case("inbox"))
}

fn folder_name(folder: &Folder, mailboxes: &[Mailbox]) -> String {
    match mailbox(folder, mailboxes) {
        Some(found) => label(found),
        None => format!("{} (there is no such mailbox: the message stays in the inbox)", folder.name),
    }
}

/// The units of sizes, largest first where one is a multiple of another.
const UNITS: [(&str, u64); 6] =
    [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A size that reads back as the same number of bytes.
pub fn size_exact(bytes: u64) -> String {
    match UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

/// A size as people type it: a number, and a unit; megabytes without one.
pub fn size_typed(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let number: f64 = text[..end].replace(',', ".").parse().ok()?;
    let unit = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "m" | "mb" => 1_000_000,
        "k" | "kb" => 1_000,
        "g" | "gb" => 1_000_000_000,
        "b" | "byte" | "bytes" => 1,
        name => UNITS.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name))?.1,
    };
    let bytes = number * unit as f64;
    // Sizes of messages are far below where a float loses bytes.
    (bytes.is_finite() && (0.0..1e15).contains(&bytes)).then_some(bytes.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_back_as_they_are_shown() {
        for bytes in [0, 1, 999, 1_000, 1_024, 5_000_000, 5 << 20, 1 << 30, 2_500_000, 123_456_789] {
            assert_eq!(size_typed(&size_exact(bytes)), Some(bytes), "{}", size_exact(bytes));
        }
        assert_eq!(size_typed("5"), Some(5_000_000));
        assert_eq!(size_typed("2,5 MB"), Some(2_500_000));
        for wrong in ["", "large", "5 elephants", "-3", "1.2.3", "9e99"] {
            assert_eq!(size_typed(wrong), None, "{wrong}");
        }
    }
}
