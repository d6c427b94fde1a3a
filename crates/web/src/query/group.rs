//! How terms stand together: `a (b OR c) -d`.

use mailstore::SearchQuery;

use super::{Kind, Term};

/// Groups within one another that are kept apart; deeper ones are as if they had no parentheses.
const MAX_DEPTH: usize = 20;

/// A group that is being read.
#[derive(Default)]
struct Group {
    all: Vec<SearchQuery>,
    /// Whether the last one is a disjunction that was typed, and may grow.
    grows: bool,
    /// `OR` was read last.
    or: bool,
    /// `NOT` was read last.
    not: bool,
    /// What was before its parenthesis.
    is_negated: bool,
    /// The operator before its parenthesis, with its colon: all terms in it are such.
    name: String,
}

impl Group {
    fn add(&mut self, query: SearchQuery) {
        match (std::mem::take(&mut self.or), self.all.last_mut()) {
            (true, Some(SearchQuery::Or(either))) if self.grows => either.push(query),
            (true, Some(last)) => {
                let before = std::mem::replace(last, SearchQuery::All);
                *last = SearchQuery::Or(vec![before, query]);
                self.grows = true;
            }
            (_, None) | (false, _) => {
                self.all.push(query);
                self.grows = false;
            }
        }
    }

    /// What is found by it; `None` if it has no condition.
    fn query(mut self) -> Option<SearchQuery> {
        let query = match self.all.len() {
            0 => return None,
            1 => self.all.remove(0),
            _ => SearchQuery::And(self.all),
        };
        Some(if self.is_negated { negated(query) } else { query })
    }
}

fn negated(query: SearchQuery) -> SearchQuery {
    SearchQuery::Not(Box::new(query))
}

/// Reads terms. `condition` gives what a term is.
pub(super) fn read(terms: Vec<Term>, mut condition: impl FnMut(&Term) -> Option<SearchQuery>) -> SearchQuery {
    let mut open = vec![Group::default()];
    for term in terms {
        let depth = open.len();
        let Some(group) = open.last_mut() else { break };
        match term.kind {
            Kind::Opens if depth < MAX_DEPTH => {
                let not = std::mem::take(&mut group.not);
                let name = if term.text.is_empty() { group.name.clone() } else { term.text };
                open.push(Group { is_negated: not != term.not, name, ..Group::default() });
            }
            Kind::Opens => {}
            Kind::Closes => {
                if depth > 1 {
                    close(&mut open);
                }
            }
            Kind::Text => match term.text.as_str() {
                "OR" if !term.quoted && !term.not => group.or = !group.all.is_empty(),
                "AND" if !term.quoted && !term.not => {}
                "NOT" if !term.quoted && !term.not => group.not = !group.not,
                _ => {
                    let not = std::mem::take(&mut group.not) != term.not;
                    let is_plain = group.name.is_empty();
                    let term = if is_plain {
                        Term { not, ..term }
                    } else {
                        Term { text: group.name.clone() + &term.text, quoted: false, not, ..term }
                    };
                    if let Some(query) = condition(&term) {
                        group.add(if not { negated(query) } else { query });
                    }
                }
            },
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().and_then(Group::query).unwrap_or(SearchQuery::All)
}

/// Ends the innermost group.
fn close(open: &mut Vec<Group>) {
    let ended = open.pop().and_then(Group::query);
    if let (Some(query), Some(group)) = (ended, open.last_mut()) {
        match query {
            // The same as its terms, unless it is one of two.
            SearchQuery::And(all) if !group.or => all.into_iter().for_each(|query| group.add(query)),
            query => group.add(query),
        }
    }
}
