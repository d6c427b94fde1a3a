//! What a person types into the search field, as a search of the mail store.
//!
//! Words must all occur. `from:` `to:` `cc:` `subject:` look in that field, `in:` in that mailbox, `has:attachment`,
//! `is:unread|read|starred|answered`, `before:` and `after:` take a date, `larger:` and `smaller:` a size as `5m`.
//! Quotes keep words together, a minus before a term means 'not'. What is not understood is looked for as text.

use jiff::civil::Date;
use mailstore::{SearchQuery, SystemFlag};

/// Most terms of one search; further ones are left out.
const MAX_TERMS: usize = 24;

/// A search: what, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// All of this.
    pub query: SearchQuery,
    /// The name after `in:`.
    pub mailbox: Option<String>,
}

/// Understand what was typed.
pub fn understand(typed: &str) -> Asked {
    let mut all = Vec::new();
    let mut mailbox = None;
    for term in terms(typed).into_iter().take(MAX_TERMS) {
        let (not, body) = match term.strip_prefix('-') {
            Some(rest) if !rest.is_empty() => (true, rest),
            _ => (false, term.as_str()),
        };
        if let Some(name) = body.strip_prefix("in:").filter(|name| !name.is_empty()) {
            mailbox = Some(name.to_owned());
            continue;
        }
        let query = meaning(body);
        all.push(if not { SearchQuery::Not(Box::new(query)) } else { query });
    }
    let query = match all.len() {
        0 => SearchQuery::All,
        1 => all.remove(0),
        _ => SearchQuery::And(all),
    };
    Asked { query, mailbox }
}

fn meaning(term: &str) -> SearchQuery {
    let text = || SearchQuery::Text(term.to_owned());
    let Some((name, value)) = term.split_once(':').filter(|(_, value)| !value.is_empty()) else {
        return text();
    };
    let own = value.to_owned();
    match name.to_ascii_lowercase().as_str() {
        "from" => SearchQuery::From(own),
        "to" => SearchQuery::Or(vec![SearchQuery::To(own.clone()), SearchQuery::Cc(own)]),
        "cc" => SearchQuery::Cc(own),
        "bcc" => SearchQuery::Bcc(own),
        "subject" => SearchQuery::Subject(own),
        "body" => SearchQuery::Body(own),
        "has" if value.starts_with("attach") => SearchQuery::HasAttachment,
        "is" => match value.to_ascii_lowercase().as_str() {
            "unread" | "unseen" => SearchQuery::Not(Box::new(SearchQuery::Flag(SystemFlag::Seen))),
            "read" | "seen" => SearchQuery::Flag(SystemFlag::Seen),
            "starred" | "flagged" => SearchQuery::Flag(SystemFlag::Flagged),
            "answered" => SearchQuery::Flag(SystemFlag::Answered),
            _ => text(),
        },
        "before" => date(value).map_or_else(text, SearchQuery::Before),
        "after" | "since" => date(value).map_or_else(text, SearchQuery::Since),
        "on" => date(value).map_or_else(text, SearchQuery::On),
        "larger" => size(value).map_or_else(text, SearchQuery::Larger),
        "smaller" => size(value).map_or_else(text, SearchQuery::Smaller),
        _ => text(),
    }
}

/// `2026-11-23`, `2026/11/23`, `2026-11` or `2026`.
fn date(text: &str) -> Option<Date> {
    let mut numbers = text.split(['-', '/']).map(|part| part.parse::<i16>());
    let year = numbers.next()?.ok()?;
    let month = numbers.next().unwrap_or(Ok(1)).ok()?;
    let day = numbers.next().unwrap_or(Ok(1)).ok()?;
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// Bytes: `700`, `20k`, `5m`, `5MB`, `5GiB`.
pub fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &lower[digits.len()..] {
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
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Terms between spaces, quotes taken off: `subject:"two words"` is one term.
fn terms(typed: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut term = String::new();
    let mut quoted = false;
    for c in typed.chars() {
        match c {
            '"' | '\u{201c}' | '\u{201d}' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !term.is_empty() {
                    terms.push(std::mem::take(&mut term));
                }
            }
            c => term.push(c),
        }
    }
    if !term.is_empty() {
        terms.push(term);
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(typed: &str) -> SearchQuery {
        understand(typed).query
    }

    #[test]
    fn operators_look_in_their_field() {
        assert_eq!(query("from:ann"), SearchQuery::From("ann".into()));
        assert_eq!(query("subject:\"two words\""), SearchQuery::Subject("two words".into()));
        assert_eq!(query("has:attachment"), SearchQuery::HasAttachment);
        assert_eq!(query("-is:unread"), SearchQuery::Not(Box::new(query("is:unread"))));
        assert_eq!(query("before:2026-11-23"), SearchQuery::Before(Date::constant(2026, 11, 23)));
        assert_eq!(query("after:2026"), SearchQuery::Since(Date::constant(2026, 1, 1)));
        assert_eq!(query("larger:5MB"), SearchQuery::Larger(5_000_000));
    }

    #[test]
    fn what_is_not_understood_is_text() {
        for typed in ["http://x", "before:soon", "is:nice", "a:b", "larger:many", "-", "99999999999999999999:x"] {
            assert_eq!(query(typed), SearchQuery::Text(typed.into()), "{typed}");
        }
        assert_eq!(query("  "), SearchQuery::All);
    }

    #[test]
    fn in_names_a_mailbox_and_is_no_condition() {
        assert_eq!(
            understand("in:Sent boat"),
            Asked { query: SearchQuery::Text("boat".into()), mailbox: Some("Sent".into()) }
        );
    }

    #[test]
    fn a_search_has_a_bounded_number_of_terms() {
        let SearchQuery::And(all) = query(&"x ".repeat(1000)) else { panic!() };
        assert_eq!(all.len(), MAX_TERMS);
    }
}
