//! SORT and THREAD (RFC 5256), SORT with `RETURN` (RFC 5267).

use mailstore::{SortField, SortKey, ThreadAlgorithm};

use super::super::command::{Search, SearchKey, Sort, Thread};
use super::{Cursor, search, words::Result};

/// Most criteria of one SORT; there are ten different ones.
const MAX_SORT_KEYS: usize = 20;

pub(super) fn sort(c: &mut Cursor<'_>, uid: bool) -> Result<Sort> {
    c.space()?;
    let mut program = Search { uid, returns: None, has_charset: false, unknown_charset: None, key: SearchKey::All };
    if c.eat_word("RETURN") {
        c.space()?;
        program.returns = Some(search::returns(c)?);
        c.space()?;
    }
    let mut keys = Vec::new();
    c.list(|c| {
        if keys.len() == MAX_SORT_KEYS {
            return c.expected("fewer sort criteria");
        }
        let reverse = c.eat_word("REVERSE");
        if reverse {
            c.space()?;
        }
        keys.push(SortKey { field: field(c)?, reverse });
        Ok(())
    })?;
    if keys.is_empty() {
        return c.expected("at least one sort criterion");
    }
    c.space()?;
    let at = c.position();
    let search = search::in_charset(c, program)?;
    let is_scored = keys.iter().any(|key| key.field == SortField::Relevancy);
    if is_scored && search.unknown_charset.is_none() && !search.key.is_fuzzy() {
        // RFC 6203 section 6.
        return c.expected_at(at, "a search with FUZZY, as it is to be sorted by RELEVANCY");
    }
    Ok(Sort { keys, search })
}

fn field(c: &mut Cursor<'_>) -> Result<SortField> {
    let at = c.position();
    Ok(match c.keyword("a sort criterion")?.as_str() {
        "ARRIVAL" => SortField::Arrival,
        "CC" => SortField::Cc,
        "DATE" => SortField::Date,
        "FROM" => SortField::From,
        "SIZE" => SortField::Size,
        "SUBJECT" => SortField::Subject,
        "TO" => SortField::To,
        "DISPLAYFROM" => SortField::DisplayFrom,
        "DISPLAYTO" => SortField::DisplayTo,
        "RELEVANCY" => SortField::Relevancy,
        _ => {
            let want = "ARRIVAL, CC, DATE, DISPLAYFROM, DISPLAYTO, FROM, RELEVANCY, SIZE, SUBJECT or TO, perhaps after \
                        REVERSE";
            return c.expected_at(at, want);
        }
    })
}

pub(super) fn thread(c: &mut Cursor<'_>, uid: bool) -> Result<Thread> {
    c.space()?;
    let at = c.position();
    let algorithm = match c.keyword("a thread algorithm")?.as_str() {
        "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
        "REFERENCES" => ThreadAlgorithm::References,
        "REFS" => ThreadAlgorithm::Refs,
        _ => return c.expected_at(at, "ORDEREDSUBJECT, REFERENCES or REFS"),
    };
    c.space()?;
    let program = Search { uid, returns: None, has_charset: false, unknown_charset: None, key: SearchKey::All };
    Ok(Thread { algorithm, search: search::in_charset(c, program)? })
}
