//! From commands to a rule. What is read is written again and compared: only what says the same is a rule.

use sieve::{Literal, Node};

use super::alike::alike;
use super::types::{Action, Condition, Folder, How, Join, Of, Rule, matching, settled_text};
use super::write::command;

/// The rule that a command is; `None` if a form can't show it exactly.
pub(crate) fn rule(node: &Node, name: &str) -> Option<Rule> {
    let (inner, off) = match switched_off(node) {
        Some(inner) => (inner, true),
        None => (node, false),
    };
    let mut rule = enabled(inner)?;
    (rule.name, rule.off) = (name.to_owned(), off);
    alike(&command(&rule), node).then_some(rule)
}

/// What is in an `if false`.
pub(super) fn switched_off(node: &Node) -> Option<&Node> {
    match (is(node, "if"), node.tests.as_slice(), node.block.as_deref()) {
        (true, [test], Some([inner])) if is(test, "false") => Some(inner),
        _ => None,
    }
}

fn enabled(node: &Node) -> Option<Rule> {
    let (true, [test], Some(block)) = (is(node, "if"), node.tests.as_slice(), node.block.as_deref()) else {
        return None;
    };
    let (join, tests) = match test.name.to_ascii_lowercase().as_str() {
        "true" => (Join::Every, &[][..]),
        "allof" => (Join::All, test.tests.as_slice()),
        "anyof" => (Join::Any, test.tests.as_slice()),
        _ => (Join::All, std::slice::from_ref(test)),
    };
    let conditions = tests.iter().map(condition).collect::<Option<Vec<_>>>()?;
    let mut actions = Vec::new();
    for node in block {
        actions.extend(action(node)?);
    }
    let join = if conditions.len() == 1 { Join::All } else { join };
    Some(Rule { name: String::new(), off: false, join, conditions, actions })
}

fn is(node: &Node, name: &str) -> bool {
    node.name.eq_ignore_ascii_case(name)
}

fn condition(node: &Node) -> Option<Condition> {
    if is(node, "not") {
        let [inner] = node.tests.as_slice() else { return None };
        return Some(match condition(inner)? {
            Condition::Text { of, how, not: false, values } => Condition::Text { of, how, not: true, values },
            Condition::Attachment(true) => Condition::Attachment(false),
            Condition::Known(true) => Condition::Known(false),
            Condition::Spam(true) => Condition::Spam(false),
            _ => return None,
        });
    }
    let has = |tag: &str| {
        node.arguments.iter().any(|arg| matches!(&arg.value, Literal::Tag(name) if name.eq_ignore_ascii_case(tag)))
    };
    match node.name.to_ascii_lowercase().as_str() {
        "size" => match node.arguments.as_slice() {
            [_, number] => match number.value {
                Literal::Number(bytes) => Some(Condition::Size { over: has("over"), bytes }),
                _ => None,
            },
            _ => None,
        },
        "spamtest" => Some(Condition::Spam(true)),
        "header" if has("mime") => Some(Condition::Attachment(true)),
        "address" if has("list") => Some(Condition::Known(true)),
        name @ ("header" | "address" | "envelope" | "body") => compared(node, name, &has),
        _ => None,
    }
}

/// The strings of an argument.
fn strings(literal: &Literal) -> Option<Vec<String>> {
    match literal {
        Literal::Text(text) => Some(vec![text.clone()]),
        Literal::List(list) => Some(list.clone()),
        Literal::Tag(_) | Literal::Number(_) => None,
    }
}

fn compared(node: &Node, name: &str, has: &dyn Fn(&str) -> bool) -> Option<Condition> {
    let values = strings(&node.arguments.last()?.value)?;
    let (how, values) = match (has("contains"), has("matches")) {
        (true, _) => (How::Contains, values),
        (_, true) => matching(values),
        _ => (How::Is, values),
    };
    let of = if name == "body" {
        Of::Body
    } else {
        let at = node.arguments.len().checked_sub(2)?;
        let mut fields = strings(&node.arguments[at].value)?;
        let lower: Vec<String> = fields.iter().map(|field| field.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let of_people = if how == How::Contains { "header" } else { "address" };
        match lower.as_slice() {
            ["to"] if name == "envelope" => Of::Recipient,
            ["from"] if name == of_people => Of::From,
            ["to", "cc"] if name == of_people => Of::To,
            ["subject"] => Of::Subject,
            ["list-id"] => Of::List,
            [_] if name == "header" => Of::Header(fields.remove(0)),
            _ => return None,
        }
    };
    Some(Condition::Text { of, how, not: false, values })
}

fn action(node: &Node) -> Option<Vec<Action>> {
    let arguments: Vec<&Literal> = node.arguments.iter().map(|argument| &argument.value).collect();
    let has =
        |tag: &str| arguments.iter().any(|arg| matches!(arg, Literal::Tag(name) if name.eq_ignore_ascii_case(tag)));
    let last = || strings(arguments.last()?).filter(|texts| texts.len() == 1).map(|mut texts| texts.remove(0));
    Some(vec![match node.name.to_ascii_lowercase().as_str() {
        "addflag" => return strings(arguments.first()?).map(|flags| flags.into_iter().map(flag).collect()),
        "fileinto" => {
            let mut id = String::new();
            for pair in arguments.windows(2) {
                if let [Literal::Tag(tag), Literal::Text(text)] = pair
                    && tag.eq_ignore_ascii_case("mailboxid")
                {
                    id.clone_from(text);
                }
            }
            let folder = Folder { name: last()?, id };
            if has("copy") { Action::CopyTo(folder) } else { Action::MoveTo(folder) }
        }
        "redirect" => Action::Forward { to: last()?, keep: has("copy") },
        "snooze" => {
            let weekday = match arguments.as_slice() {
                [Literal::Tag(_), Literal::Text(weekday), _] => weekday.clone(),
                _ => String::new(),
            };
            Action::Snooze { time: last()?, weekday }
        }
        "if" => reply(node)?,
        "keep" => Action::Keep,
        "reject" => Action::Reject(settled_text(&last()?)),
        "discard" => Action::Discard,
        "stop" => Action::Stop,
        _ => return None,
    }])
}

fn flag(flag: String) -> Action {
    match flag.to_ascii_lowercase().as_str() {
        "\\seen" => Action::MarkRead,
        "\\flagged" => Action::Star,
        _ => Action::Label(flag),
    }
}

fn reply(node: &Node) -> Option<Action> {
    let vacation = node.block.as_deref()?.first().filter(|first| is(first, "vacation"))?;
    let mut subject = String::new();
    for pair in vacation.arguments.windows(2) {
        if let [Literal::Tag(tag), Literal::Text(text)] = [&pair[0].value, &pair[1].value]
            && tag.eq_ignore_ascii_case("subject")
        {
            subject.clone_from(text);
        }
    }
    let text = strings(&vacation.arguments.last()?.value)?.into_iter().next()?;
    Some(Action::Reply { subject, text: settled_text(&text) })
}
