//! The vacation reply as a page shows it: when, to whom, what it says.

use sieve::{Literal, Node};

use crate::form::{
    ADDRESS_BOOK, REPLIED, alike, all_of, number, off, settled_text, tag, test, text, with, written_text,
};

/// How often one person gets the reply, in days, unless another choice is made.
pub const DEFAULT_DAYS: u64 = 7;

/// A vacation reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vacation {
    /// Whether it is kept but not used.
    pub off: bool,
    /// The first day.
    pub from: Option<Day>,
    /// The last day.
    pub until: Option<Day>,
    /// Only people in the address book get it.
    pub known_only: bool,
    /// How often one person gets it, in days.
    pub days: u64,
    /// Empty: made of the message's own.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// What it says where a message came to one of these addresses.
    pub own: Vec<OwnReply>,
}

impl Default for Vacation {
    fn default() -> Self {
        Self {
            off: true,
            from: None,
            until: None,
            known_only: false,
            days: DEFAULT_DAYS,
            subject: String::new(),
            text: String::new(),
            own: Vec::new(),
        }
    }
}

/// A day, with the time zone in which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// As `2026-12-24`.
    pub date: String,
    /// As `+0100`.
    pub zone: String,
}

/// The reply to messages that came to one of the account's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnReply {
    /// The address.
    pub address: String,
    /// Empty: made of the message's own.
    pub subject: String,
    /// What it says.
    pub text: String,
}

impl Vacation {
    /// With the line breaks that scripts have.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.text = settled_text(&self.text);
        for own in &mut self.own {
            own.text = settled_text(&own.text);
        }
        self
    }

    /// Whether it answers at that time: days are compared as texts, in the zone of each.
    pub fn answers_on(&self, date_in: impl Fn(&str) -> String) -> bool {
        let begun = self.from.as_ref().is_none_or(|day| date_in(&day.zone) >= day.date);
        let over = self.until.as_ref().is_some_and(|day| date_in(&day.zone) > day.date);
        !self.off && begun && !over
    }

    /// Its command.
    pub(crate) fn command(&self) -> Node {
        let day = |day: &Day, relation: &str| {
            let mut node = test("currentdate", [tag("zone"), text(&day.zone), tag("value"), text(relation)]);
            node.arguments.extend([text("date"), text(&day.date)]);
            node
        };
        let mut tests = Vec::new();
        tests.extend(self.from.as_ref().map(|from| day(from, "ge")));
        tests.extend(self.until.as_ref().map(|until| day(until, "le")));
        if self.known_only {
            tests.push(test("address", [tag("list"), text("from"), text(ADDRESS_BOOK)]));
        }
        let mut block = Vec::new();
        for (at, own) in self.own.iter().enumerate() {
            let came = test("envelope", [tag("is"), text("to"), text(&own.address)]);
            let reply = vec![self.reply(&own.subject, &own.text)];
            block.push(Node { block: Some(reply), ..with(if at == 0 { "if" } else { "elsif" }, vec![came], false) });
        }
        let reply = self.reply(&self.subject, &self.text);
        if self.own.is_empty() {
            block.push(reply);
        } else {
            block.push(Node { block: Some(vec![reply]), ..test("else", []) });
        }
        block.push(test("set", [text(REPLIED), text("yes")]));
        let node = Node { block: Some(block), ..with("if", vec![all_of(tests)], false) };
        if self.off { off(node) } else { node }
    }

    fn reply(&self, subject: &str, words: &str) -> Node {
        let mut node = test("vacation", [tag("days"), number(self.days)]);
        if !subject.is_empty() {
            node.arguments.extend([tag("subject"), text(subject)]);
        }
        node.arguments.push(text(written_text(words)));
        node
    }

    /// The vacation reply that a command is, if it is exactly one.
    pub(crate) fn read(node: &Node) -> Option<Self> {
        let is = |node: &Node, name: &str| node.name.eq_ignore_ascii_case(name);
        let (inner, off) = match (node.tests.as_slice(), node.block.as_deref()) {
            ([test], Some([inner])) if is(node, "if") && is(test, "false") => (inner, true),
            _ => (node, false),
        };
        let mut vacation = Self { off, ..Self::default() };
        let [test] = inner.tests.as_slice() else { return None };
        let tests = if is(test, "allof") { test.tests.as_slice() } else { std::slice::from_ref(test) };
        for test in tests {
            match (test.name.to_ascii_lowercase().as_str(), texts(test).as_slice()) {
                ("currentdate", [zone, relation, _, date]) => {
                    let day = Some(Day { date: date.clone(), zone: zone.clone() });
                    if relation == "ge" { vacation.from = day } else { vacation.until = day }
                }
                ("address", _) => vacation.known_only = true,
                ("true", _) => {}
                _ => return None,
            }
        }
        for command in inner.block.as_deref()? {
            let replies = command.block.as_deref().unwrap_or(std::slice::from_ref(command));
            let Some(reply) = replies.first().filter(|reply| is(reply, "vacation")) else { continue };
            vacation.days = reply.arguments.iter().find_map(|argument| match argument.value {
                Literal::Number(days) => Some(days),
                _ => None,
            })?;
            let mut words = texts(reply);
            let words_last = settled_text(&words.pop()?);
            let subject = words.pop().unwrap_or_default();
            match command.tests.first().map(texts).as_deref() {
                Some([.., address]) => {
                    vacation.own.push(OwnReply { address: address.clone(), subject, text: words_last });
                }
                _ => (vacation.subject, vacation.text) = (subject, words_last),
            }
        }
        alike(&vacation.command(), node).then_some(vacation)
    }
}

/// The strings among the arguments.
fn texts(node: &Node) -> Vec<String> {
    let text = |literal: &Literal| match literal {
        Literal::Text(text) => Some(text.clone()),
        _ => None,
    };
    node.arguments.iter().filter_map(|argument| text(&argument.value)).collect()
}
