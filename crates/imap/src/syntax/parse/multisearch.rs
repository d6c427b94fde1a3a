//! ESEARCH, the command (RFC 7377).

use super::super::MAX_LIST_ITEMS;
use super::super::command::{MultiSearch, SearchSource};
use super::notify::mailboxes;
use super::search::options_and_program;
use super::{Cursor, words::Result};

/// `[IN (source ...)] [RETURN (...)] [CHARSET ...] program`.
pub(super) fn multisearch(c: &mut Cursor<'_>) -> Result<MultiSearch> {
    c.space()?;
    let mut sources = vec![SearchSource::Selected];
    if c.eat_word("IN") {
        c.space()?;
        sources = self::sources(c)?;
        c.space()?;
    }
    let at = c.position();
    let multi = MultiSearch { sources, search: options_and_program(c, true)? };
    if multi.search.returns.is_some_and(|returns| returns.save) && !multi.is_of_selected_alone() {
        // RFC 7377 section 2.2.1: what is saved are messages of the selected mailbox.
        return c.expected_at(at, "SAVE only where the selected mailbox alone is searched");
    }
    Ok(multi)
}

/// `(mailboxes (a b) subtree c personal)`.
fn sources(c: &mut Cursor<'_>) -> Result<Vec<SearchSource>> {
    let mut sources = Vec::new();
    c.open()?;
    loop {
        if sources.len() == MAX_LIST_ITEMS {
            return c.expected("fewer items in this list");
        }
        if c.peek() == Some(b'(') {
            return c.expected("a source such as PERSONAL; there are no scope options");
        }
        sources.push(source(c)?);
        if c.eat(b')') {
            return Ok(sources);
        }
        c.space()?;
    }
}

fn source(c: &mut Cursor<'_>) -> Result<SearchSource> {
    let at = c.position();
    Ok(match c.keyword("a source such as PERSONAL or MAILBOXES")?.as_str() {
        "SELECTED" => SearchSource::Selected,
        "INBOXES" => SearchSource::Inboxes,
        "PERSONAL" => SearchSource::Personal,
        "SUBSCRIBED" => SearchSource::Subscribed,
        "SUBTREE" => SearchSource::Subtree(mailboxes(c)?),
        "SUBTREE-ONE" => SearchSource::SubtreeOne(mailboxes(c)?),
        "MAILBOXES" => SearchSource::Mailboxes(mailboxes(c)?),
        // SELECTED-DELAYED, which NOTIFY has, means nothing here (RFC 7377 section 2.2).
        _ => {
            let want = "SELECTED, INBOXES, PERSONAL, SUBSCRIBED, SUBTREE, SUBTREE-ONE or MAILBOXES";
            return c.expected_at(at, want);
        }
    })
}
