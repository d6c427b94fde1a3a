//! From a rule to commands.

use sieve::Node;

use super::commands::{list, number, one_or_many, tag, test, text, with};
use super::types::{ADDRESS_BOOK, Action, Condition, Folder, How, Join, Of, REPLIED, REPLY_DAYS, Rule, written_text};

/// The command of a rule.
pub(crate) fn command(rule: &Rule) -> Node {
    let tests: Vec<Node> = rule.conditions.iter().map(condition).collect();
    let test = match rule.join {
        Join::Any if tests.len() > 1 => with("anyof", tests, true),
        _ => all_of(tests),
    };
    let block = rule.actions.iter().flat_map(action).collect();
    let node = Node { block: Some(block), ..with("if", vec![test], false) };
    if rule.off { off(node) } else { node }
}

/// All of the tests; nothing has to hold if there are none.
pub(crate) fn all_of(mut tests: Vec<Node>) -> Node {
    match tests.len() {
        0 => test("true", []),
        1 => tests.remove(0),
        _ => with("allof", tests, true),
    }
}

/// A command that is kept but not used.
pub(crate) fn off(node: Node) -> Node {
    Node { block: Some(vec![node]), ..with("if", vec![test("false", [])], false) }
}

fn condition(condition: &Condition) -> Node {
    let unless = |not: bool, node: Node| if not { with("not", vec![node], false) } else { node };
    match condition {
        Condition::Text { of, how, not, values } => unless(*not, compared(of, *how, values)),
        Condition::Size { over, bytes } => test("size", [tag(if *over { "over" } else { "under" }), number(*bytes)]),
        Condition::Attachment(is) => {
            let arguments =
                [tag("mime"), tag("anychild"), tag("contains"), text("Content-Disposition"), text("attachment")];
            unless(!is, test("header", arguments))
        }
        Condition::Known(is) => unless(!is, test("address", [tag("list"), text("from"), text(ADDRESS_BOOK)])),
        Condition::Spam(is) => {
            let numbers = [tag("comparator"), text("i;ascii-numeric")];
            let mut node = test("spamtest", [tag("percent"), tag("value"), text("ge")]);
            node.arguments.extend(numbers);
            node.arguments.push(text("50"));
            unless(!is, node)
        }
    }
}

fn compared(of: &Of, how: How, values: &[String]) -> Node {
    let by = tag(match how {
        How::Contains => "contains",
        How::Is => "is",
        How::Begins | How::Ends | How::Matches => "matches",
    });
    let keys: Vec<String> = values
        .iter()
        .map(|value| match how {
            How::Begins => format!("{}*", plain(value)),
            How::Ends => format!("*{}", plain(value)),
            How::Contains | How::Is | How::Matches => value.clone(),
        })
        .collect();
    let keys = one_or_many(&keys);
    // A name is part of what people see as the sender, and no part of an address.
    let of_people = if how == How::Contains { "header" } else { "address" };
    match of {
        Of::From => test(of_people, [by, text("from"), keys]),
        Of::To => test(of_people, [by, list(&["to", "cc"]), keys]),
        Of::Subject => test("header", [by, text("subject"), keys]),
        Of::List => test("header", [by, text("list-id"), keys]),
        Of::Header(name) => test("header", [by, text(name), keys]),
        Of::Body => test("body", [tag("text"), by, keys]),
        Of::Recipient => test("envelope", [by, text("to"), keys]),
    }
}

/// A text in which no character stands for others.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn action(action: &Action) -> Vec<Node> {
    vec![match action {
        Action::MarkRead => test("addflag", [text("\\Seen")]),
        Action::Star => test("addflag", [text("\\Flagged")]),
        Action::Label(label) => test("addflag", [text(label)]),
        Action::CopyTo(folder) => filed(folder, true),
        Action::MoveTo(folder) => filed(folder, false),
        Action::Forward { to, keep: true } => test("redirect", [tag("copy"), text(to)]),
        Action::Forward { to, keep: false } => test("redirect", [text(to)]),
        Action::Reply { subject, text } => reply(subject, text),
        Action::Snooze { time, weekday } if weekday.is_empty() => test("snooze", [text(time)]),
        Action::Snooze { time, weekday } => test("snooze", [tag("weekdays"), text(weekday), text(time)]),
        Action::Keep => test("keep", []),
        Action::Reject(why) => test("reject", [text(written_text(why))]),
        Action::Discard => test("discard", []),
        Action::Stop => test("stop", []),
    }]
}

fn filed(folder: &Folder, copy: bool) -> Node {
    let mut node = test("fileinto", []);
    if copy {
        node.arguments.push(tag("copy"));
    }
    if !folder.id.is_empty() {
        node.arguments.extend([tag("mailboxid"), text(&folder.id)]);
    }
    node.arguments.push(text(&folder.name));
    node
}

/// A reply, unless the message has got one already.
fn reply(subject: &str, words: &str) -> Node {
    let mut vacation = test("vacation", [tag("days"), number(REPLY_DAYS)]);
    if !subject.is_empty() {
        vacation.arguments.extend([tag("subject"), text(subject)]);
    }
    vacation.arguments.push(text(written_text(words)));
    let has = test("string", [tag("is"), text(format!("${{{REPLIED}}}")), text("yes")]);
    let block = vec![vacation, test("set", [text(REPLIED), text("yes")])];
    Node { block: Some(block), ..with("if", vec![with("not", vec![has], false)], false) }
}
