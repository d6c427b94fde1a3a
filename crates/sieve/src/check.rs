//! From the generic tree to what runs: each word is known, required, and has the arguments that it takes.

mod arguments;
mod meaning;

use std::collections::HashSet;

use crate::error::{Found, Position, Problems};
use crate::spec::{Spec, Tests, WORDS, Word};
use crate::syntax::{Literal, Node, Syntax};
use crate::tree::{Script, Step};

/// The capabilities that scripts can require, by their names.
pub const CAPABILITIES: &[&str] = &[
    "body",
    "comparator-i;ascii-casemap",
    "comparator-i;ascii-numeric",
    "comparator-i;octet",
    "comparator-i;unicode-casemap",
    "copy",
    "date",
    "duplicate",
    "editheader",
    "enclose",
    "encoded-character",
    "enotify",
    "envelope",
    "environment",
    "ereject",
    "extlists",
    "extracttext",
    "fcc",
    "fileinto",
    "foreverypart",
    "ihave",
    "imap4flags",
    "include",
    "index",
    "mailbox",
    "mailboxid",
    "mboxmetadata",
    "mime",
    "regex",
    "reject",
    "relational",
    "replace",
    "servermetadata",
    "spamtest",
    "spamtestplus",
    "special-use",
    "subaddress",
    "vacation",
    "vacation-seconds",
    "variables",
    "virustest",
    "vnd.cyrus.snooze",
];

/// The capabilities that `ihave` never has.
pub(crate) const NOT_ASKED_FOR: &[&str] = &["encoded-character", "variables"];

/// Words and capabilities that a host adds to the language.
#[derive(Debug)]
pub struct Dialect {
    /// Its words; each is [`Word::Foreign`].
    pub words: &'static [Spec],
    /// Its capabilities.
    pub capabilities: &'static [&'static str],
}

/// Checks a script.
///
/// # Errors
/// All that is wrong with it.
pub fn compile(text: &str) -> Result<Script, Problems> {
    compile_with(text, None)
}

/// Checks a script that may use the words of a dialect.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(text: &str, dialect: Option<&'static Dialect>) -> Result<Script, Problems> {
    let mut found = Found::default();
    let syntax = Syntax::read_into(text, &mut found);
    let mut checker = Checker {
        found,
        dialect,
        allowed: HashSet::new(),
        asked_for_unknown: false,
        begun: false,
        loops: Vec::new(),
        globals: Vec::new(),
        variables: HashSet::new(),
    };
    let steps = checker.block(&syntax.commands, true);
    if !checker.found.problems.is_empty() {
        checker.found.problems.sort_by_key(|problem| problem.at);
        return Err(Problems(checker.found.problems));
    }
    let mut capabilities: Vec<String> = checker.allowed.into_iter().collect();
    capabilities.sort();
    Ok(Script { steps: steps.into(), capabilities: capabilities.into(), globals: checker.globals.into() })
}

struct Checker {
    found: Found,
    dialect: Option<&'static Dialect>,
    /// What was required so far, and asked for with `ihave`.
    allowed: HashSet<String>,
    /// An `ihave` asked for something that there is not: what is unknown behind it never runs.
    asked_for_unknown: bool,
    /// A command other than `require` came.
    begun: bool,
    /// The names of the loops that are open.
    loops: Vec<Option<String>>,
    globals: Vec<String>,
    variables: HashSet<String>,
}

impl Checker {
    fn has(&self, capability: &str) -> bool {
        self.allowed.contains(capability)
    }

    fn knows(&self, capability: &str) -> bool {
        CAPABILITIES.contains(&capability) || self.dialect.is_some_and(|it| it.capabilities.contains(&capability))
    }

    fn allow(&mut self, capability: &str) {
        self.allowed.insert(capability.to_owned());
        // What brings another with it.
        let with: &[&str] = match capability {
            "vacation-seconds" => &["vacation"],
            "spamtestplus" => &["spamtest"],
            _ => &[],
        };
        self.allowed.extend(with.iter().map(|&name| name.to_owned()));
    }

    fn spec(&self, name: &str, is_test: bool) -> Option<&'static Spec> {
        let foreign = self.dialect.map_or(&[][..], |dialect| dialect.words);
        let same = |spec: &&Spec| spec.is_test == is_test && spec.name.eq_ignore_ascii_case(name);
        WORDS.iter().chain(foreign).find(same)
    }

    fn block(&mut self, nodes: &[Node], is_top: bool) -> Vec<Step> {
        let mut out: Vec<Step> = Vec::with_capacity(nodes.len());
        let mut before: Option<Word> = None;
        for node in nodes {
            let step = self.command(node, before, is_top);
            before = step.as_ref().map(|step| step.word).or_else(|| self.spec(&node.name, false).map(|spec| spec.word));
            match step {
                Some(step) if step.word == Word::Require => {}
                Some(step) => out.push(step),
                None => {}
            }
        }
        out
    }

    fn command(&mut self, node: &Node, before: Option<Word>, is_top: bool) -> Option<Step> {
        let Some(spec) = self.spec(&node.name, false) else {
            return self.unknown(node, false);
        };
        if !self.is_required(spec, node.at) {
            return None;
        }
        match spec.word {
            Word::Require => {
                if !is_top || self.begun {
                    self.found.add(node.at, "require must stand before all other commands");
                    return None;
                }
            }
            Word::Elsif | Word::Else if !matches!(before, Some(Word::If | Word::Elsif)) => {
                self.found.add(node.at, format!("the {} must stand after an if or elsif command", spec.title()));
                self.begun = true;
                return None;
            }
            _ => self.begun = true,
        }
        let problems = self.found.problems.len();
        let mut step = self.bind(spec, node);
        self.shape(spec, node);
        step.tests = self.tests(spec, node);
        if problems == self.found.problems.len() {
            self.mean(spec, &step, node);
        }
        if spec.word == Word::ForEveryPart {
            self.loops.push(step.template("name").and_then(|name| name.as_fixed()).map(ToOwned::to_owned));
        }
        if let Some(block) = &node.block
            && spec.block
        {
            step.block = self.block(block, false);
        }
        if spec.word == Word::ForEveryPart {
            self.loops.pop();
        }
        Some(step)
    }

    fn test(&mut self, node: &Node) -> Option<Step> {
        let Some(spec) = self.spec(&node.name, true) else {
            return self.unknown(node, true);
        };
        if !self.is_required(spec, node.at) {
            return None;
        }
        let problems = self.found.problems.len();
        let mut step = self.bind(spec, node);
        self.shape(spec, node);
        step.tests = self.tests(spec, node);
        if problems == self.found.problems.len() {
            self.mean(spec, &step, node);
        }
        Some(step)
    }

    /// What is no word; behind an `ihave` that asked for something unknown it may be one elsewhere.
    fn unknown(&mut self, node: &Node, is_test: bool) -> Option<Step> {
        static UNKNOWN: Spec = Spec::command(Word::Unknown, "unknown", &[]);
        self.begun = true;
        if self.asked_for_unknown {
            return Some(Step::new(&UNKNOWN, node.at));
        }
        let text = match (self.spec(&node.name, !is_test), is_test) {
            (Some(_), true) => format!("can't use command '{}' as a test", node.name),
            (Some(_), false) => format!("can't use test '{}' as a command", node.name),
            (None, true) => format!("unknown test '{}'", node.name),
            (None, false) => format!("unknown command '{}'", node.name),
        };
        self.found.add(node.at, text);
        None
    }

    fn is_required(&mut self, spec: &Spec, at: Position) -> bool {
        if spec.needs.is_empty() || spec.needs.iter().any(|needs| self.has(needs)) {
            return true;
        }
        self.found.add(
            at,
            format!("the {} needs require \"{}\" at the beginning of the script", spec.title(), spec.needs[0]),
        );
        false
    }

    /// Block or no block, where there must be one or none.
    fn shape(&mut self, spec: &Spec, node: &Node) {
        match (&node.block, spec.block) {
            (Some(_), false) => self.found.add(node.at, format!("the {} has no block", spec.title())),
            (None, true) => self.found.add(node.at, format!("the {} must have a block in braces", spec.title())),
            _ => {}
        }
    }

    fn tests(&mut self, spec: &Spec, node: &Node) -> Vec<Step> {
        let title = spec.title();
        match spec.tests {
            Tests::No => {
                if let Some(first) = node.tests.first() {
                    self.extra_test(spec, first, node);
                }
                return Vec::new();
            }
            Tests::One if node.tests.len() != 1 || node.in_parentheses => {
                self.found.add(node.at, format!("the {title} requires exactly one test"));
                return Vec::new();
            }
            Tests::Some if node.tests.is_empty() || !node.in_parentheses => {
                self.found.add(node.at, format!("the {title} requires a list of tests in parentheses"));
                return Vec::new();
            }
            Tests::One | Tests::Some => {}
        }
        node.tests.iter().filter_map(|test| self.test(test)).collect()
    }

    /// A test where there can be none: mostly a semicolon or the colon of a tag was forgotten.
    fn extra_test(&mut self, spec: &Spec, test: &Node, node: &Node) {
        let is_tag = ["is", "contains", "matches", "regex", "count", "value", "comparator"]
            .contains(&test.name.as_str())
            || spec.tags.iter().any(|tag| tag.name == test.name);
        let text = if spec.is_test && is_tag {
            format!("missing colon ':' before the '{}' tag in the {}", test.name, spec.title())
        } else if !spec.is_test && !node.in_parentheses && self.spec(&test.name, true).is_none() {
            format!("missing semicolon ';' after the {}", spec.title())
        } else if spec.is_test {
            format!("the {} accepts no sub-tests, but tests are specified", spec.title())
        } else {
            format!("the {} accepts no tests, but tests are specified", spec.title())
        };
        self.found.add(node.at, text);
    }

    /// `require` and `ihave`: what is asked for.
    fn ask(&mut self, node: &Node, must: bool) {
        for argument in &node.arguments {
            let names = match &argument.value {
                Literal::Text(name) => std::slice::from_ref(name),
                Literal::List(names) => names,
                Literal::Tag(_) | Literal::Number(_) => &[],
            };
            for name in names {
                // What changes how strings are read can't be asked for when a script runs (RFC 5463 section 4).
                let is_of_grammar = !must && NOT_ASKED_FOR.contains(&name.as_str());
                if self.knows(name) && !is_of_grammar {
                    self.allow(name);
                } else if must {
                    self.found.add(argument.at, format!("the capability '{name}' is not known here"));
                } else {
                    self.asked_for_unknown = true;
                }
            }
        }
    }
}

pub(crate) use meaning::{PROTECTED_FIELDS, field_name, field_value, mailbox_name};
