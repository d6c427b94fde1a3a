//! Comparators (RFC 4790, RFC 5051) and match types (RFC 5228 section 2.7.1, RFC 5231, RFC 6134).

mod glob;

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};

use crate::limits::{MAX_REGEX_BYTES, MAX_REGEX_TEXT};

/// A comparator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparator {
    /// `i;octet`
    Octet,
    /// `i;ascii-casemap`
    #[default]
    AsciiCasemap,
    /// `i;ascii-numeric`
    AsciiNumeric,
    /// `i;unicode-casemap`
    UnicodeCasemap,
}

/// How values and keys are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatchType {
    /// `:is`
    #[default]
    Is,
    /// `:contains`
    Contains,
    /// `:matches`
    Matches,
    /// `:regex`
    Regex,
    /// `:count`
    Count(Relation),
    /// `:value`
    Value(Relation),
    /// `:list`
    List,
}

/// A relation of two values (RFC 5231).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of the language.
pub enum Relation {
    Gt,
    Ge,
    Lt,
    Le,
    Eq,
    Ne,
}

impl Relation {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [
            ("gt", Self::Gt),
            ("ge", Self::Ge),
            ("lt", Self::Lt),
            ("le", Self::Le),
            ("eq", Self::Eq),
            ("ne", Self::Ne),
        ];
        all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, relation)| relation)
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
        }
    }
}

impl Comparator {
    /// The names, as they are written.
    pub(crate) const NAMES: [(&'static str, Self); 4] = [
        ("i;octet", Self::Octet),
        ("i;ascii-casemap", Self::AsciiCasemap),
        ("i;ascii-numeric", Self::AsciiNumeric),
        ("i;unicode-casemap", Self::UnicodeCasemap),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, comparator)| comparator)
    }

    fn equal(self, a: &str, b: &str) -> bool {
        match self {
            Self::Octet => a == b,
            Self::AsciiCasemap => a.eq_ignore_ascii_case(b),
            Self::AsciiNumeric => number(a) == number(b),
            Self::UnicodeCasemap => mailkit::fold::casemap(a) == mailkit::fold::casemap(b),
        }
    }

    fn order(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Octet => a.cmp(b),
            Self::AsciiCasemap => {
                a.bytes().map(|c| c.to_ascii_uppercase()).cmp(b.bytes().map(|c| c.to_ascii_uppercase()))
            }
            Self::AsciiNumeric => match (number(a), number(b)) {
                (Some(a), Some(b)) => (a.len(), a).cmp(&(b.len(), b)),
                // What is no number is larger than all numbers (RFC 4790 section 9.1).
                (a, b) => a.is_none().cmp(&b.is_none()),
            },
            Self::UnicodeCasemap => mailkit::fold::casemap(a).cmp(&mailkit::fold::casemap(b)),
        }
    }

    fn contains(self, value: &str, key: &str) -> bool {
        match self {
            Self::Octet => value.contains(key),
            Self::AsciiCasemap => contains_ignoring_case(value.as_bytes(), key.as_bytes()),
            Self::UnicodeCasemap => mailkit::fold::casemap(value).contains(&mailkit::fold::casemap(key)),
            Self::AsciiNumeric => false,
        }
    }

    fn same_char(self, a: char, b: char) -> bool {
        match self {
            Self::UnicodeCasemap => a == b || a.to_lowercase().eq(b.to_lowercase()),
            Self::AsciiCasemap => a.eq_ignore_ascii_case(&b),
            Self::Octet | Self::AsciiNumeric => a == b,
        }
    }
}

/// The digits that a value begins with, without zeros in front; `None` if there are none.
fn number(text: &str) -> Option<&str> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    (len > 0).then(|| text[..len].trim_start_matches('0'))
}

fn contains_ignoring_case(value: &[u8], key: &[u8]) -> bool {
    let Some((&first, rest)) = key.split_first() else { return true };
    if value.len() < key.len() {
        return false;
    }
    let (low, high) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let ends = value.len() - rest.len();
    memchr::memchr2_iter(low, high, &value[..ends]).any(|at| value[at + 1..at + key.len()].eq_ignore_ascii_case(rest))
}

/// What values are compared by, with the keys that are known when a script is checked.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    /// How.
    pub kind: MatchType,
    /// By what order.
    pub comparator: Comparator,
    /// The expressions of fixed keys, in their order; `None` for a key with variables.
    pub(crate) regexes: Vec<Option<Regex>>,
}

/// What a comparison found: whether it holds, and what the wildcards stood for.
pub(crate) struct Matched {
    pub holds: bool,
    /// `${0}`, `${1}` …; `None` where the match type sets none.
    pub values: Option<Vec<String>>,
    /// Work done, in bytes.
    pub work: usize,
}

impl Matcher {
    /// Compares one value with one key; not for `:count` and `:list`. `regex`: the key's expression.
    pub(crate) fn compare(&self, value: &str, key: &str, regex: Option<&Regex>) -> Matched {
        let mut work = value.len() + key.len();
        let mut values = None;
        let holds = match self.kind {
            MatchType::Is => self.comparator.equal(value, key),
            MatchType::Contains => self.comparator.contains(value, key),
            MatchType::Value(relation) => relation.holds(self.comparator.order(value, key)),
            MatchType::Matches => {
                let (found, steps) = glob::find(value, key, |a, b| self.comparator.same_char(a, b));
                work += steps;
                values = found;
                values.is_some()
            }
            MatchType::Regex => {
                let found = regex.and_then(|regex| regex.captures(value));
                work += value.len() * 4;
                values = found.map(|found| {
                    let text =
                        |group: Option<regex::Match<'_>>| group.map_or(String::new(), |it| it.as_str().to_owned());
                    found.iter().take(crate::limits::MAX_MATCH_VALUES + 1).map(text).collect()
                });
                values.is_some()
            }
            MatchType::Count(_) | MatchType::List => false,
        };
        Matched { holds, values, work }
    }

    /// Compares how many values there are with a key (`:count`).
    pub(crate) fn compare_count(&self, count: usize, key: &str) -> bool {
        let MatchType::Count(relation) = self.kind else { return false };
        relation.holds(self.comparator.order(&count.to_string(), key))
    }

    /// Makes an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn expression(&self, text: &str) -> Result<Regex, String> {
        if text.len() > MAX_REGEX_TEXT {
            return Err(format!("the regular expression is longer than {MAX_REGEX_TEXT} bytes"));
        }
        RegexBuilder::new(text)
            .case_insensitive(self.comparator != Comparator::Octet)
            .dot_matches_new_line(true)
            .size_limit(MAX_REGEX_BYTES)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    format!("the regular expression takes more than {MAX_REGEX_BYTES} bytes of memory")
                }
                error => {
                    let said = error.to_string();
                    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it can't be read");
                    format!("invalid regular expression: {}", line.trim().trim_start_matches("error: "))
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(kind: MatchType, comparator: Comparator, value: &str, key: &str) -> bool {
        Matcher { kind, comparator, regexes: Vec::new() }.compare(value, key, None).holds
    }

    #[test]
    fn comparators_order_as_their_rfcs_say() {
        use Comparator::{AsciiCasemap, AsciiNumeric, Octet, UnicodeCasemap};
        for (comparator, a, b, equal) in [
            (Octet, "a", "A", false),
            (AsciiCasemap, "a", "A", true),
            (AsciiCasemap, "ä", "Ä", false),
            (UnicodeCasemap, "ä", "Ä", true),
            (AsciiNumeric, "0010", "10x", true),
            (AsciiNumeric, "10", "11", false),
            (AsciiNumeric, "x", "y", true),
            (AsciiNumeric, "99999999999999999999999", "99999999999999999999999", true),
        ] {
            assert_eq!(holds(MatchType::Is, comparator, a, b), equal, "{comparator:?} {a} {b}");
        }
        let gt = MatchType::Value(Relation::Gt);
        for (comparator, a, b, greater) in [
            (AsciiNumeric, "10", "9", true),
            (AsciiNumeric, "x", "9", true),
            (AsciiNumeric, "9", "x", false),
            (AsciiNumeric, "100000000000000000000000", "99999999999999999999999", true),
            (Octet, "10", "9", false),
            (AsciiCasemap, "b", "A", true),
        ] {
            assert_eq!(holds(gt, comparator, a, b), greater, "{comparator:?} {a} {b}");
        }
    }

    #[test]
    fn contains_finds_at_each_place() {
        for (value, key, found) in [
            ("abc", "C", true),
            ("abc", "", true),
            ("", "a", false),
            ("aab", "AB", true),
            ("abc", "abcd", false),
            ("xay", "a", true),
        ] {
            assert_eq!(holds(MatchType::Contains, Comparator::AsciiCasemap, value, key), found, "{value} {key}");
        }
    }
}
