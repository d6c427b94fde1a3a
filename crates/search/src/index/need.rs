//! What a search needs a message to have.

use std::collections::BTreeSet;

use mailkit::stem::{Forms, Language};
use mailstore::{Folding, SearchQuery};

use super::lookup::Lookup;
use super::postings::{ANY, BODY, DOCUMENT, FILE, FROM, Fields, HEADER, SUBJECT, TO};
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
    /// A form of a word.
    Form(Forms, Fields),
    /// To be this message.
    Message(u64),
}

impl Need {
    /// Of a query; `None` if any message may match.
    pub fn of(query: &SearchQuery, folding: Folding) -> Option<Self> {
        let documents = if folding == Folding::Case { 0 } else { DOCUMENT };
        let words = |text: &str, plain, fields| Self::words(text, folding, (plain, fields));
        match query {
            SearchQuery::And(queries) => {
                Self::all(queries.iter().filter_map(|query| Self::of(query, folding)).collect())
            }
            SearchQuery::Or(queries) => {
                queries.iter().map(|query| Self::of(query, folding)).collect::<Option<_>>().map(Self::Either)
            }
            SearchQuery::Literal(_) | SearchQuery::Fuzzy(_) => {
                let (query, folding) = query.within(folding)?;
                Self::of(query, folding)
            }
            SearchQuery::Subject(text) => words(text, SUBJECT, SUBJECT),
            SearchQuery::From(text) => Self::text(text, FROM),
            SearchQuery::To(text) | SearchQuery::Cc(text) | SearchQuery::Bcc(text) => Self::text(text, TO),
            SearchQuery::Header { contains, .. } => Self::text(contains, HEADER),
            SearchQuery::Body(text) => words(text, BODY | documents, SUBJECT | BODY),
            SearchQuery::Text(text) => words(text, ANY | documents, SUBJECT | BODY),
            SearchQuery::FileName(text) => Self::text(text, FILE),
            SearchQuery::Email(id) => Some(Self::Message(id.0)),
            _ => None,
        }
    }

    /// A text in some fields, or another form of a word in others.
    fn words(text: &str, folding: Folding, (plain, forms): (Fields, Fields)) -> Option<Self> {
        let text_there = Self::text(text, plain)?;
        match Forms::of(text).filter(|_| folding == Folding::Loose) {
            Some(word) => Some(Self::Either(vec![text_there, Self::Form(word, forms)])),
            None => Some(text_there),
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
            Self::Form(..) => 3,
            Self::All(needs) => needs.iter().map(Self::cost).min().unwrap_or_default(),
            Self::Either(needs) => needs.iter().map(Self::cost).sum(),
        }
    }

    /// The messages in the index, ascending, that may have it; `None` if they are too many to be worth it.
    pub fn messages(&self, lookup: &Lookup<'_>) -> Result<Option<Vec<u64>>> {
        match self {
            Self::Message(id) => Ok(Some(vec![*id])),
            Self::Term(pattern, fields) => lookup.messages(pattern, *fields),
            Self::Form(forms, fields) => {
                let mut terms = BTreeSet::new();
                for language in Language::of_bits(lookup.state.languages) {
                    let stem = forms.stem(language);
                    terms.extend([words::of_stem(&stem), stem]);
                }
                let needs = terms.into_iter().map(|term| Self::Term(Pattern::Exact(term), *fields)).collect();
                Self::Either(needs).messages(lookup)
            }
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
        let needed = |query| Need::of(&query, Folding::Case);
        let term = |word: &str| Need::Term(Pattern::Contains(word.into()), ANY);
        assert_eq!(needed(SearchQuery::All), None);
        assert_eq!(needed(word("--")), None, "no letter is in it");
        assert_eq!(needed(SearchQuery::Not(Box::new(word("a")))), None);
        assert_eq!(needed(SearchQuery::And(vec![SearchQuery::HasAttachment, word("a")])), Some(term("a")));
        assert_eq!(needed(SearchQuery::Or(vec![SearchQuery::HasAttachment, word("a")])), None);
        assert_eq!(needed(SearchQuery::Or(vec![word("a"), word("b")])), Some(Need::Either(vec![term("a"), term("b")])));
    }

    #[test]
    fn people_are_given_other_forms_of_a_word_and_documents() {
        let query = SearchQuery::Text("running".into());
        let plain = |fields| Need::Term(Pattern::Contains("running".into()), fields);
        let Some(Need::Either(either)) = Need::of(&query, Folding::Loose) else { panic!() };
        assert_eq!(either[0], plain(ANY | DOCUMENT));
        assert!(matches!(either[1], Need::Form(..)));
        let literal = SearchQuery::Literal(Box::new(query.clone()));
        assert_eq!(Need::of(&literal, Folding::Loose), Some(plain(ANY | DOCUMENT)));
        assert_eq!(Need::of(&literal, Folding::Case), Some(plain(ANY)));
        let fuzzy = SearchQuery::Fuzzy(Box::new(query));
        assert!(matches!(Need::of(&fuzzy, Folding::Case), Some(Need::Either(_))));
    }
}
