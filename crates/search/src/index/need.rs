//! What a search needs a message to have.

use mailstore::SearchQuery;

use super::lookup::Lookup;
use super::postings::{ANY, BODY, FILE, FROM, Fields, HEADER, SUBJECT, TO};
use crate::Result;
use crate::words::{self, Pattern};

/// With so few messages left it is quicker to look at them than to rule out more.
const FEW: usize = 64;

/// Terms that a message must have to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// All of them.
    All(Vec<Need>),
    /// One of them.
    Either(Vec<Need>),
    /// A term like this.
    Term(Pattern, Fields),
    /// To be this message.
    Message(u64),
}

impl Need {
    /// Of a query; `None` if any message may match.
    pub fn of(query: &SearchQuery) -> Option<Self> {
        match query {
            SearchQuery::And(queries) => Self::all(queries.iter().filter_map(Self::of).collect()),
            SearchQuery::Or(queries) => queries.iter().map(Self::of).collect::<Option<_>>().map(Self::Either),
            SearchQuery::Subject(text) => Self::text(text, SUBJECT),
            SearchQuery::From(text) => Self::text(text, FROM),
            SearchQuery::To(text) | SearchQuery::Cc(text) | SearchQuery::Bcc(text) => Self::text(text, TO),
            SearchQuery::Header { contains, .. } => Self::text(contains, HEADER),
            SearchQuery::Body(text) => Self::text(text, BODY),
            SearchQuery::Text(text) => Self::text(text, ANY),
            SearchQuery::FileName(text) => Self::text(text, FILE),
            SearchQuery::Email(id) => Some(Self::Message(id.0)),
            _ => None,
        }
    }

    fn text(text: &str, fields: Fields) -> Option<Self> {
        let patterns = words::patterns(&mailkit::fold::loose(text));
        Self::all(patterns.into_iter().map(|pattern| Self::Term(pattern, fields)).collect())
    }

    fn all(mut needs: Vec<Self>) -> Option<Self> {
        match needs.len() {
            0 => None,
            1 => needs.pop(),
            _ => {
                needs.sort_by_key(Self::cost);
                Some(Self::All(needs))
            }
        }
    }

    /// What is cheap is looked up first.
    fn cost(&self) -> u32 {
        match self {
            Self::Message(_) => 0,
            Self::Term(Pattern::Exact(_), _) => 1,
            Self::Term(Pattern::Prefix(_), _) => 2,
            Self::Term(..) => 4,
            Self::All(needs) => needs.iter().map(Self::cost).min().unwrap_or_default(),
            Self::Either(needs) => needs.iter().map(Self::cost).sum(),
        }
    }

    /// The messages in the index, ascending, that may have it; `None` if they are too many to be worth it.
    pub fn messages(&self, lookup: &Lookup<'_>) -> Result<Option<Vec<u64>>> {
        match self {
            Self::Message(id) => Ok(Some(vec![*id])),
            Self::Term(pattern, fields) => lookup.messages(pattern, *fields),
            Self::All(needs) => {
                let mut left: Option<Vec<u64>> = None;
                for need in needs {
                    if left.as_ref().is_some_and(|left| left.len() <= FEW) {
                        break;
                    }
                    if let Some(found) = need.messages(lookup)? {
                        left = Some(match left {
                            Some(left) => left.into_iter().filter(|id| found.binary_search(id).is_ok()).collect(),
                            None => found,
                        });
                    }
                }
                Ok(left)
            }
            Self::Either(needs) => {
                let mut all = Vec::new();
                for need in needs {
                    let Some(found) = need.messages(lookup)? else { return Ok(None) };
                    all.extend(found);
                }
                all.sort_unstable();
                all.dedup();
                Ok(Some(all))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_match_must_have_is_needed() {
        let word = |word: &str| SearchQuery::Text(word.into());
        let needed = |query| Need::of(&query);
        let term = |word: &str| Need::Term(Pattern::Contains(word.into()), ANY);
        assert_eq!(needed(SearchQuery::All), None);
        assert_eq!(needed(word("--")), None, "no letter is in it");
        assert_eq!(needed(SearchQuery::Not(Box::new(word("a")))), None);
        assert_eq!(needed(SearchQuery::And(vec![SearchQuery::HasAttachment, word("a")])), Some(term("a")));
        assert_eq!(needed(SearchQuery::Or(vec![SearchQuery::HasAttachment, word("a")])), None);
        assert_eq!(needed(SearchQuery::Or(vec![word("a"), word("b")])), Some(Need::Either(vec![term("a"), term("b")])));
    }
}
