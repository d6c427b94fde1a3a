//! A script as a page shows it: rules one after another, the vacation reply, and what was written by hand.
//!
//! Only what is changed is written again; everything else stays byte by byte. A rule has its name in a comment before it,
//! `# rule:[Name]`, as other programs write it, too.

use std::collections::BTreeSet;

use sieve::{Literal, Node, Problems, Syntax};

use crate::form::{REPLIED, Rule, command, list, rule, settled_name, test};
use crate::vacation::Vacation;

/// What the comment of the vacation reply says.
const VACATION: &str = "Vacation";

/// A script in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Comments before the first part.
    head: String,
    /// What the script requires.
    required: BTreeSet<String>,
    parts: Vec<Part>,
    /// What stands behind the last part.
    tail: String,
}

/// A part of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As it is written, with the comments before it.
    pub source: String,
    /// As it is shown.
    pub shown: Shown,
}

/// How a part is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As a rule.
    Rule(Rule),
    /// As the vacation reply.
    Vacation(Vacation),
    /// As text, with the name that stands above it.
    ByHand(String),
}

/// Why a script can't be written as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// Rules that answer need variables, and with them this text would be taken for one.
    #[error("a text has the characters ${{, which stand for something else in this script")]
    Dollar,
}

impl Book {
    /// Reads a script.
    ///
    /// # Errors
    /// What is wrong with its grammar.
    pub fn read(text: &str) -> Result<Self, Problems> {
        let (syntax, pieces) = Syntax::read_pieces(text)?;
        let mut book = Self::default();
        let (mut done, mut kept_to, mut in_head) = (0, 0, true);
        let places: Vec<_> = pieces.iter().map(|piece| piece.bytes.clone()).collect();
        for (at, (node, piece)) in syntax.commands.iter().zip(&pieces).enumerate() {
            let lead = text[done..piece.bytes.start].trim_matches(['\r', '\n', ' ', '\t', '\u{feff}']);
            let next = places.get(at + 1).map_or(text.len(), |next| next.start);
            let before = done;
            done = line_end(text, piece.bytes.end, next);
            let own = text[piece.bytes.start..done].trim_end();
            in_head &= node.name.eq_ignore_ascii_case("require");
            if in_head {
                book.required.extend(strings(node));
                let kept = if piece.has_comments || own.len() > piece.bytes.len() { own } else { "" };
                for text in [lead, kept].into_iter().filter(|text| !text.is_empty()) {
                    book.head.push_str(text);
                    book.head.push_str("\r\n");
                }
                continue;
            }
            let whole = text[before..done].trim_start_matches(['\r', '\n', ' ', '\t', '\u{feff}']);
            let source = whole.trim_end().to_owned();
            let goes_on = ["elsif", "else"].iter().any(|word| node.name.eq_ignore_ascii_case(word));
            let alone = !places.get(at + 1).is_some_and(|_| {
                let next = &syntax.commands[at + 1].name;
                ["elsif", "else"].iter().any(|word| next.eq_ignore_ascii_case(word))
            });
            let may_show = alone && !goes_on && !piece.has_comments;
            let shown =
                if may_show { book.shown(node, lead) } else { Shown::ByHand(name_of(lead).unwrap_or_default()) };
            book.push(Part { source, shown }, goes_on, &text[kept_to..done]);
            kept_to = text[..done].trim_end().len();
        }
        text[done..].trim().clone_into(&mut book.tail);
        Ok(book)
    }

    fn shown(&self, node: &Node, lead: &str) -> Shown {
        let name = name_of(lead).unwrap_or_default();
        let in_strings = self.required.contains("variables") || self.required.contains("encoded-character");
        if in_strings && has_dollar(node) {
            return Shown::ByHand(name);
        }
        let has_vacation = self.vacation().is_some();
        if let Some(vacation) = Vacation::read(node).filter(|_| !has_vacation) {
            return Shown::Vacation(vacation);
        }
        rule(node, &name).map_or(Shown::ByHand(name), Shown::Rule)
    }

    /// Adds a part that was read; `whole` is all that stands behind the part before. Parts without a name that can't be
    /// shown are one.
    fn push(&mut self, part: Part, goes_on: bool, whole: &str) {
        if let Some(Part { source, shown: last @ Shown::ByHand(_) }) = self.parts.last_mut() {
            let unnamed = *last == Shown::ByHand(String::new()) && part.shown == *last;
            if goes_on || unnamed {
                source.push_str(if goes_on || whole.starts_with(['\r', '\n']) { "" } else { "\r\n" });
                source.push_str(whole.trim_end());
                return;
            }
        }
        self.parts.push(part);
    }

    /// The parts, in their order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The rule at a place.
    pub fn rule(&self, at: usize) -> Option<&Rule> {
        match &self.parts.get(at)?.shown {
            Shown::Rule(rule) => Some(rule),
            _ => None,
        }
    }

    /// Whether there is something, and nothing of it is a rule or a vacation reply: someone wrote it by hand.
    pub fn is_by_hand(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|part| matches!(part.shown, Shown::ByHand(_)))
    }

    /// The vacation reply.
    pub fn vacation(&self) -> Option<&Vacation> {
        self.parts.iter().find_map(|part| match &part.shown {
            Shown::Vacation(vacation) => Some(vacation),
            _ => None,
        })
    }

    /// Puts a rule in a place, or behind all others. Rules that refuse messages come before all that files them: a message
    /// that was filed or answered can't be refused. The place where it is then.
    pub fn set_rule(&mut self, at: Option<usize>, rule: Rule) -> usize {
        let rule = rule.settled();
        let at = at.filter(|at| *at < self.parts.len());
        let lead = at.map(|at| other_comments(&self.parts[at])).unwrap_or_default();
        let source = format!("{lead}{}", written(&command(&rule), &rule.name));
        let part = Part { source, shown: Shown::Rule(rule) };
        let at = match at {
            Some(at) => {
                self.parts[at] = part;
                at
            }
            None => {
                self.parts.push(part);
                self.parts.len() - 1
            }
        };
        let id = self.parts[at].clone();
        self.arrange();
        self.parts.iter().position(|part| *part == id).unwrap_or(at)
    }

    /// Changes a part that is text. The text may be several parts, or none.
    ///
    /// # Errors
    /// What is wrong with its grammar.
    pub fn set_text(&mut self, at: usize, text: &str) -> Result<(), Problems> {
        let new = Self::read(text)?;
        self.required.extend(new.required);
        let mut parts = new.parts;
        let loose = [new.head.trim(), new.tail.as_str()].into_iter().filter(|text| !text.is_empty());
        for text in loose {
            match parts.first_mut() {
                Some(first) => first.source = format!("{text}\r\n{}", first.source),
                None => self.tail = format!("{}\r\n{text}", self.tail).trim().to_owned(),
            }
        }
        if at < self.parts.len() {
            self.parts.splice(at..=at, parts);
        } else {
            self.parts.extend(parts);
        }
        Ok(())
    }

    /// Takes a part out.
    pub fn remove(&mut self, at: usize) {
        if at < self.parts.len() {
            self.parts.remove(at);
        }
    }

    /// Moves a part one place, over the vacation reply, which has its own place.
    pub fn shift(&mut self, at: usize, up: bool) {
        let is_vacation = |part: &Part| matches!(part.shown, Shown::Vacation(_));
        let mut others = (0..self.parts.len()).filter(|other| !is_vacation(&self.parts[*other]));
        let to = if up { others.take_while(|other| *other < at).last() } else { others.find(|other| *other > at) };
        if let Some(to) = to.filter(|_| at < self.parts.len()) {
            self.parts.swap(at, to);
            self.arrange();
        }
    }

    /// Whether a part can move.
    pub fn can_shift(&self, at: usize, up: bool) -> bool {
        let mut moved = self.clone();
        moved.shift(at, up);
        moved.parts != self.parts
    }

    /// Switches a rule on or off.
    pub fn switch(&mut self, at: usize, off: bool) {
        if let Some(rule) = self.rule(at).cloned() {
            self.set_rule(Some(at), Rule { off, ..rule });
        }
    }

    /// Sets the vacation reply, or takes it out.
    pub fn set_vacation(&mut self, vacation: Option<Vacation>) {
        let found = self.parts.iter().position(|part| matches!(part.shown, Shown::Vacation(_)));
        let lead = found.map(|at| other_comments(&self.parts.remove(at))).unwrap_or_default();
        if let Some(vacation) = vacation {
            let vacation = vacation.settled();
            let source = format!("{lead}{}", written(&vacation.command(), VACATION));
            self.parts.insert(0, Part { source, shown: Shown::Vacation(vacation) });
            self.arrange();
        }
    }

    /// Rules that refuse come first among the rules; the vacation reply comes after those at the top that let no message
    /// through, so that it answers none of them, and before all others, so that none of them can keep it from answering.
    fn arrange(&mut self) {
        let rejects = |part: &Part| matches!(&part.shown, Shown::Rule(rule) if rule.rejects());
        let is_rule = |part: &Part| matches!(part.shown, Shown::Rule(_));
        let places: Vec<usize> = (0..self.parts.len()).filter(|at| is_rule(&self.parts[*at])).collect();
        let mut rules: Vec<Part> = places.iter().map(|at| self.parts[*at].clone()).collect();
        rules.sort_by_key(|part| !rejects(part));
        for (at, part) in places.iter().zip(rules) {
            self.parts[*at] = part;
        }
        if let Some(at) = self.parts.iter().position(|part| matches!(part.shown, Shown::Vacation(_))) {
            let vacation = self.parts.remove(at);
            let ends_mail = |part: &Part| matches!(&part.shown, Shown::Rule(rule) if rule.ends_mail());
            let to = self.parts.iter().take_while(|part| ends_mail(part)).count();
            self.parts.insert(to, vacation);
        }
    }

    /// The script.
    ///
    /// # Errors
    /// [`Clash`].
    pub fn text(&self) -> Result<String, Clash> {
        let by_hand = self.parts.iter().any(|part| matches!(part.shown, Shown::ByHand(_)));
        let mut required = if by_hand { self.required.clone() } else { BTreeSet::new() };
        let mut dollar_by_hand = false;
        let mut dollar_in_rules = false;
        for part in &self.parts {
            let nodes = Syntax::read(&part.source).map(|syntax| syntax.commands).unwrap_or_default();
            for node in &nodes {
                needs(node, &mut required);
            }
            let dollar = nodes.iter().any(has_dollar);
            if matches!(part.shown, Shown::ByHand(_)) { dollar_by_hand |= dollar } else { dollar_in_rules |= dollar }
        }
        let has = |names: &BTreeSet<String>, name: &str| names.contains(name);
        let new_variables = has(&required, "variables") && !has(&self.required, "variables");
        if (dollar_in_rules && (has(&required, "variables") || has(&required, "encoded-character")))
            || (dollar_by_hand && new_variables)
        {
            return Err(Clash::Dollar);
        }
        let mut out = self.head.clone();
        if !required.is_empty() {
            let names: Vec<String> = required.into_iter().collect();
            out += &Syntax { commands: vec![test("require", [list(&names)])], comments: Vec::new() }.to_string();
        }
        for part in &self.parts {
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            out.push_str(part.source.trim_end());
            out.push_str("\r\n");
        }
        if !self.tail.is_empty() {
            out.push_str("\r\n");
            out.push_str(&self.tail);
            out.push_str("\r\n");
        }
        Ok(out)
    }
}

/// Where a command's line ends, if nothing but space and a comment stands behind it; otherwise where the command does.
fn line_end(text: &str, end: usize, next: usize) -> usize {
    let rest = &text[end..next];
    let line = rest.split_inclusive('\n').next().unwrap_or_default();
    let bare = line.trim();
    if bare.is_empty() || bare.starts_with('#') { end + line.len() } else { end }
}

/// What the comment with a rule's name says.
fn name_of(lead: &str) -> Option<String> {
    lead.lines().rev().find_map(marker).map(|name| settled_name(&name))
}

fn marker(line: &str) -> Option<String> {
    let comment = line.trim().strip_prefix('#')?.trim();
    comment.strip_prefix("rule:[")?.strip_suffix(']').map(str::to_owned)
}

/// The comments before a part but the one with its name.
fn other_comments(part: &Part) -> String {
    let begins = Syntax::read_pieces(&part.source).ok().and_then(|(_, pieces)| Some(pieces.first()?.bytes.start));
    let lead = &part.source[..begins.unwrap_or_default()];
    let kept = lead.lines().filter(|line| marker(line).is_none() && !line.trim().is_empty());
    kept.map(|line| format!("{line}\r\n")).collect()
}

/// A command below the comment with its name.
fn written(node: &Node, name: &str) -> String {
    let comments = if name.is_empty() { Vec::new() } else { vec![format!("rule:[{name}]")] };
    Syntax { commands: vec![Node { comments, ..node.clone() }], comments: Vec::new() }.to_string()
}

fn strings(node: &Node) -> Vec<String> {
    let of = |literal: &Literal| match literal {
        Literal::Text(text) => vec![text.clone()],
        Literal::List(list) => list.clone(),
        Literal::Tag(_) | Literal::Number(_) => Vec::new(),
    };
    node.arguments.iter().flat_map(|argument| of(&argument.value)).collect()
}

fn each(node: &Node, look: &mut dyn FnMut(&Node)) {
    look(node);
    node.tests.iter().for_each(|test| each(test, look));
    node.block.iter().flatten().for_each(|node| each(node, look));
}

/// Whether a string would mean something else with variables; the one in our own replies is meant so.
fn has_dollar(node: &Node) -> bool {
    let own = format!("${{{REPLIED}}}");
    let mut found = false;
    each(node, &mut |node| found |= strings(node).iter().any(|text| *text != own && text.contains("${")));
    found
}

/// What a command has to require.
fn needs(node: &Node, required: &mut BTreeSet<String>) {
    each(node, &mut |node| {
        let mut need = |name: &str| {
            required.insert(name.to_owned());
        };
        match node.name.to_ascii_lowercase().as_str() {
            word @ ("fileinto" | "reject" | "ereject" | "vacation" | "envelope" | "body" | "include") => need(word),
            "addflag" | "setflag" | "removeflag" => need("imap4flags"),
            "currentdate" | "date" => need("date"),
            "set" | "string" => need("variables"),
            "spamtest" => need("spamtestplus"),
            "snooze" => need("vnd.cyrus.snooze"),
            _ => {}
        }
        for argument in &node.arguments {
            match &argument.value {
                Literal::Tag(name) => match name.to_ascii_lowercase().as_str() {
                    word @ ("copy" | "mailboxid" | "mime" | "regex") => need(word),
                    "create" => need("mailbox"),
                    "list" => need("extlists"),
                    "value" | "count" => need("relational"),
                    "flags" => need("imap4flags"),
                    _ => {}
                },
                Literal::Text(text) if text == "i;ascii-numeric" => need("comparator-i;ascii-numeric"),
                _ => {}
            }
        }
    });
}
