//! Parses what a person types into the search field into a search of the mail store.
//!
//! A message must contain every word; `OR` between two terms means either of them, parentheses keep terms together, a
//! minus or `NOT` before a term or a group means 'not'. `from:` `to:` `cc:` `bcc:` `subject:` `body:` `filename:` look in
//! that field (`me` is the searcher), `in:` in that mailbox, `label:` is a label, `has:` a kind of file,
//! `is:unread|read|starred|answered|forwarded|draft` a state; `before:` `after:` `on:` take a day as people type it,
//! `newer_than:` and `older_than:` a span such as `7d`, `larger:` and `smaller:` a size such as `5m`. Quotes keep words
//! together; a star at the end of a word is the rest of it, which is there without it as well. A term of this kind with a
//! value that can't be understood is left out and reported ([`Asked::problems`]), and so is how a date was read that can
//! be read in two ways; anything else is searched as text.

pub mod day;
mod files;
mod group;

use jiff::civil::Date;
use mailstore::{Keyword, SearchQuery, SystemFlag};

/// Most terms of one search; later ones are ignored.
const MAX_TERMS: usize = 24;
/// Most problems that are shown.
const MAX_PROBLEMS: usize = 6;

/// The searcher and the date of the search.
#[derive(Clone, Debug)]
pub struct Searcher {
    /// The addresses that `me` stands for.
    pub addresses: Vec<String>,
    /// Today in the searcher's time zone.
    pub today: Date,
    /// How the searcher writes days.
    pub custom: day::Custom,
}

/// A search: the condition, and the mailbox if one is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The condition.
    pub query: SearchQuery,
    /// The name after `in:`.
    pub mailbox: Option<String>,
    /// Sentences that say what was not understood, and what to type instead.
    pub problems: Vec<String>,
}

impl Asked {
    /// Whether nothing was understood, not even a mailbox.
    pub fn is_unclear(&self) -> bool {
        self.query == SearchQuery::All && self.mailbox.is_none() && !self.problems.is_empty()
    }
}

/// Parses what was typed.
pub fn understand(typed: &str, searcher: &Searcher) -> Asked {
    let mut asked = Asked { query: SearchQuery::All, mailbox: None, problems: Vec::new() };
    let terms = terms(typed).into_iter().take(MAX_TERMS).collect();
    asked.query = group::read(terms, |term| condition(term, searcher, &mut asked.mailbox, &mut asked.problems));
    asked.problems.truncate(MAX_PROBLEMS);
    asked
}

/// The condition that a term is; `None` if it is none, or was not understood.
fn condition(
    term: &Term,
    searcher: &Searcher,
    mailbox: &mut Option<String>,
    problems: &mut Vec<String>,
) -> Option<SearchQuery> {
    let meaning = if term.quoted { Meaning::Query(text(&term.text)) } else { meaning(&term.text, searcher) };
    match meaning {
        Meaning::Query(query) if term.has_quotes => Some(literally(query)),
        Meaning::Query(query) => Some(query),
        Meaning::Mailbox(name) => {
            match mailbox {
                _ if term.not => problems.push(not_in(&name)),
                Some(other) if *other != name => problems.push(only_one(other, &name)),
                _ => *mailbox = Some(name),
            }
            None
        }
        Meaning::Unclear(problem) => {
            problems.push(problem);
            None
        }
        Meaning::Guess(query, problem) => {
            problems.push(problem);
            Some(query)
        }
    }
}

/// What a term means.
enum Meaning {
    /// A condition.
    Query(SearchQuery),
    /// Where to look.
    Mailbox(String),
    /// Not understood: a sentence that says so, and what to type instead.
    Unclear(String),
    /// A condition, with a sentence about what else may have been meant.
    Guess(SearchQuery, String),
}

/// A word in quotes is looked for as it stands there; without them other forms of it are found as well.
fn literally(query: SearchQuery) -> SearchQuery {
    match &query {
        SearchQuery::Text(word) | SearchQuery::Subject(word) | SearchQuery::Body(word)
            if mailkit::stem::is_word(word) =>
        {
            SearchQuery::Literal(Box::new(query))
        }
        _ => query,
    }
}

fn not_in(name: &str) -> String {
    let name = short(name);
    format!(
        "A mailbox can\u{2019}t be left out: \u{201c}-in:{name}\u{201d} is ignored. Trash and Spam are left out \
         anyway; name the mailbox you want, for example in:inbox."
    )
}

fn only_one(one: &str, other: &str) -> String {
    let (one, other) = (short(one), short(other));
    format!(
        "One search looks in one mailbox: in:{one} counts, in:{other} is ignored. For all of them write in:anywhere."
    )
}

fn text(term: &str) -> SearchQuery {
    SearchQuery::Text(without_star(term).to_owned())
}

/// A word without the star that stands for its rest: parts of words are found in any case.
fn without_star(word: &str) -> &str {
    match word.strip_suffix('*') {
        Some(rest) if rest.ends_with(char::is_alphanumeric) => rest,
        _ => word,
    }
}

/// The names of terms. A mistyped name is compared with them in this order.
const NAMES: [&str; 18] = [
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "body",
    "filename",
    "label",
    "has",
    "is",
    "in",
    "before",
    "after",
    "on",
    "larger",
    "smaller",
    "newer_than",
    "older_than",
];

fn meaning(term: &str, searcher: &Searcher) -> Meaning {
    let Some((name, value)) = term.split_once(':') else { return Meaning::Query(text(term)) };
    let name = name.to_ascii_lowercase();
    if value.is_empty() {
        let known = NAMES.contains(&name.as_str());
        return if known { Meaning::Unclear(no_value(&name)) } else { Meaning::Query(text(term)) };
    }
    let value = without_star(value);
    let own = value.to_owned();
    let query = match name.as_str() {
        "from" | "sender" => people(value, searcher, SearchQuery::From),
        "to" | "recipient" => {
            people(value, searcher, |who| SearchQuery::Or(vec![SearchQuery::To(who.clone()), SearchQuery::Cc(who)]))
        }
        "cc" => people(value, searcher, SearchQuery::Cc),
        "bcc" => people(value, searcher, SearchQuery::Bcc),
        "subject" => SearchQuery::Subject(own),
        "body" => SearchQuery::Body(own),
        "filename" | "file" | "attachment" => SearchQuery::FileName(own),
        "in" | "folder" | "mailbox" => return Meaning::Mailbox(own),
        "label" | "tag" | "keyword" => match Keyword::new(value) {
            Ok(keyword) => SearchQuery::Keyword(keyword),
            Err(_) => return unclear(term, "isn\u{2019}t a label. Labels are single words: try label:work."),
        },
        "has" => match files::kind(value) {
            Some(query) => query,
            None => {
                let advice = "isn\u{2019}t something a message can have. Try has:attachment, has:image, has:document or has:pdf.";
                return unclear(term, advice);
            }
        },
        "is" => match state(value) {
            Some(query) => query,
            None => return unclear(term, "isn\u{2019}t a state. Try is:unread, is:read, is:starred or is:answered."),
        },
        "before" | "older" | "until" => return date(term, "before", value, searcher),
        "after" | "newer" | "since" => return date(term, "after", value, searcher),
        "on" | "date" => return date(term, "on", value, searcher),
        "newer_than" | "older_than" => match day::ago(value, searcher.today) {
            Some(day) if name == "newer_than" => SearchQuery::Since(day),
            Some(day) => SearchQuery::Before(day),
            None => return unclear(term, "isn\u{2019}t a span of time. Try 7d, 2w, 3m or 1y."),
        },
        "larger" | "bigger" | "smaller" => match size(value) {
            Some(bytes) if name != "smaller" => SearchQuery::Larger(bytes),
            Some(bytes) => SearchQuery::Smaller(bytes),
            None => return unclear(term, "isn\u{2019}t a size. Try 5m for 5 MB."),
        },
        _ => return other(term, &name),
    };
    Meaning::Query(query)
}

/// A condition about a day, or several.
fn date(term: &str, name: &str, value: &str, searcher: &Searcher) -> Meaning {
    let Some(days) = day::read_as(value, searcher.today, searcher.custom) else {
        let advice = "isn\u{2019}t a date. Try 2026-11-01, yesterday, \u{201c}last week\u{201d}, monday or 7d.";
        return unclear(term, advice);
    };
    let read_as = (searcher.custom.day_first.is_none() && day::is_ambiguous(value)).then(|| {
        let day = days.start.strftime("%-d %B %Y");
        let other = days.start.strftime("%Y-%m-%d");
        format!("\u{201c}{}\u{201d} is read as {day}. To be sure, write it as {other}.", short(term))
    });
    let query = match name {
        "before" => SearchQuery::Before(days.start),
        "on" => during(days),
        _ => SearchQuery::Since(days.start),
    };
    match read_as {
        Some(note) => Meaning::Guess(query, note),
        None => Meaning::Query(query),
    }
}

fn unclear(term: &str, advice: &str) -> Meaning {
    Meaning::Unclear(format!("\u{201c}{}\u{201d} {advice}", short(term)))
}

fn no_value(name: &str) -> String {
    let example = match name {
        "before" | "after" | "on" => "2026-11-01",
        "larger" | "smaller" => "5m",
        "newer_than" | "older_than" => "7d",
        "has" => "attachment",
        "is" => "unread",
        "in" => "sent",
        "filename" => "pdf",
        "subject" | "body" => "invoice",
        "label" => "work",
        _ => "anna",
    };
    format!("Nothing follows \u{201c}{name}:\u{201d}. Write it without a space, for example {name}:{example}.")
}

/// A term with an unknown name: text, with a hint if the name looks mistyped.
fn other(term: &str, name: &str) -> Meaning {
    let near = |known: &str| strsim::damerau_levenshtein(name, known) <= 1 + usize::from(known.len() > 5);
    let slip = name.len() >= 2 && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    let web = term[name.len() + 1..].starts_with("//");
    match NAMES
        .iter()
        .find(|known| near(known))
        .filter(|_| slip && !web && !matches!(name, "re" | "fw" | "fwd" | "so" | "no"))
    {
        Some(known) => {
            let problem = format!(
                "\u{201c}{}\u{201d} is searched as text. Did you mean {known}:{}?",
                short(term),
                short(&term[name.len() + 1..])
            );
            Meaning::Guess(text(term), problem)
        }
        None => Meaning::Query(text(term)),
    }
}

/// A term, shortened so that it fits into a sentence.
fn short(term: &str) -> String {
    const MOST: usize = 60;
    if term.chars().count() <= MOST {
        return term.to_owned();
    }
    term.chars().take(MOST).chain(['\u{2026}']).collect()
}

/// A condition about people: `me` is each of the searcher's addresses.
fn people(value: &str, searcher: &Searcher, with: impl Fn(String) -> SearchQuery) -> SearchQuery {
    if !value.eq_ignore_ascii_case("me") || searcher.addresses.is_empty() {
        return with(value.to_owned());
    }
    SearchQuery::Or(searcher.addresses.iter().take(MAX_TERMS).cloned().map(with).collect())
}

fn state(value: &str) -> Option<SearchQuery> {
    let flag = |flag| Some(SearchQuery::Flag(flag));
    match value.to_ascii_lowercase().as_str() {
        "unread" | "unseen" | "new" => Some(SearchQuery::Not(Box::new(SearchQuery::Flag(SystemFlag::Seen)))),
        "read" | "seen" => flag(SystemFlag::Seen),
        "starred" | "flagged" | "star" => flag(SystemFlag::Flagged),
        "answered" | "replied" => flag(SystemFlag::Answered),
        "unstarred" | "unflagged" => Some(SearchQuery::Not(Box::new(SearchQuery::Flag(SystemFlag::Flagged)))),
        "unanswered" | "unreplied" => Some(SearchQuery::Not(Box::new(SearchQuery::Flag(SystemFlag::Answered)))),
        "draft" => flag(SystemFlag::Draft),
        "forwarded" => Keyword::new("$Forwarded").ok().map(SearchQuery::Keyword),
        _ => None,
    }
}

/// The same search with days as they begin in the searcher's time zone: `begin` gives when, in milliseconds since 1970 UTC.
pub fn in_zone(query: SearchQuery, begin: &impl Fn(Date) -> i64) -> SearchQuery {
    let all = |queries: Vec<SearchQuery>| queries.into_iter().map(|query| in_zone(query, begin)).collect();
    match query {
        SearchQuery::And(queries) => SearchQuery::And(all(queries)),
        SearchQuery::Or(queries) => SearchQuery::Or(all(queries)),
        SearchQuery::Not(query) => SearchQuery::Not(Box::new(in_zone(*query, begin))),
        SearchQuery::Before(day) => SearchQuery::Received(i64::MIN, begin(day)),
        SearchQuery::Since(day) => SearchQuery::Received(begin(day), i64::MAX),
        other => other,
    }
}

/// From the start of the first day to the start of the second.
fn during(days: std::ops::Range<Date>) -> SearchQuery {
    SearchQuery::And(vec![SearchQuery::Since(days.start), SearchQuery::Before(days.end)])
}

/// A size in bytes: `700`, `20k`, `5m`, `5MB`, `1.5GB`, `5GiB`.
pub fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, part) = digits.trim_end().split_once('.').unwrap_or((digits.trim_end(), ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if part.is_empty() {
        return Some(whole);
    }
    // Three decimals are enough.
    let part = part.bytes().all(|b| b.is_ascii_digit()).then(|| format!("{part:0<3}"))?;
    whole.checked_add(factor / 1_000 * part.get(..3)?.parse::<u64>().ok()?)
}

/// A term between spaces, or a parenthesis.
struct Term {
    text: String,
    /// It began with a quotation mark, so nothing in it has a special meaning.
    quoted: bool,
    /// There is a quotation mark somewhere in it.
    has_quotes: bool,
    /// `-` before it, or before the group that it opens.
    not: bool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Opens,
    Closes,
}

impl Term {
    const fn new(kind: Kind) -> Self {
        Self { text: String::new(), quoted: false, has_quotes: false, not: false, kind }
    }
}

/// Splits at spaces and removes quotes: `subject:"two words"` is one term. Parentheses open and close groups where words
/// begin and end; one that a word opens, it closes.
fn terms(typed: &str) -> Vec<Term> {
    let mut terms = Vec::new();
    let mut term = Term::new(Kind::Text);
    let (mut quoted, mut within) = (false, 0usize);
    let mut chars = typed.chars().peekable();
    while let Some(c) = chars.next() {
        let is_first = term.text.is_empty() && !term.quoted;
        match c {
            '"' | '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => {
                quoted = !quoted;
                term.has_quotes = true;
                term.quoted |= quoted && term.text.is_empty();
            }
            '-' if !quoted && is_first && !term.not && chars.peek().is_some_and(|next| !next.is_whitespace()) => {
                term.not = true;
            }
            '(' if !quoted && is_first => {
                let not = std::mem::take(&mut term.not);
                terms.push(Term { not, ..Term::new(Kind::Opens) });
            }
            // `from:(ann OR bob)`
            '(' if !quoted && is_name(&term.text) => {
                let name = std::mem::replace(&mut term, Term::new(Kind::Text));
                terms.push(Term { kind: Kind::Opens, ..name });
            }
            ')' if !quoted && within == 0 => {
                end(&mut terms, &mut term);
                terms.push(Term::new(Kind::Closes));
            }
            c if c.is_whitespace() && !quoted => {
                end(&mut terms, &mut term);
                within = 0;
            }
            c => {
                within = match c {
                    '(' => within + 1,
                    ')' => within.saturating_sub(1),
                    _ => within,
                };
                term.text.push(c);
            }
        }
    }
    end(&mut terms, &mut term);
    terms
}

/// Whether a text is the name of an operator with its colon.
fn is_name(text: &str) -> bool {
    text.strip_suffix(':').is_some_and(|name| NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)))
}

fn end(terms: &mut Vec<Term>, term: &mut Term) {
    let ended = std::mem::replace(term, Term::new(Kind::Text));
    if !ended.text.is_empty() {
        terms.push(ended);
    } else if ended.not {
        terms.push(Term { text: "-".to_owned(), ..Term::new(Kind::Text) });
    }
}

#[cfg(test)]
mod tests;
