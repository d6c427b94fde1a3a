//! APPEND and REPLACE of assembled messages (RFC 4469), once the whole command was received.

use super::super::MAX_LIST_ITEMS;
use super::super::command::{CatMessage, CatPart, Catenate, Replaced};
use super::{
    Cursor,
    words::{Result, append_words, mailbox},
};

/// After the name of the command: mailbox and messages, at least one of them put together.
pub(super) fn catenate(c: &mut Cursor<'_>, replaces: Option<Replaced>) -> Result<Catenate> {
    let mailbox = mailbox(c)?;
    let mut messages = Vec::new();
    loop {
        let at = c.position();
        if messages.len() == MAX_LIST_ITEMS || (replaces.is_some() && !messages.is_empty()) {
            return c.expected("no further message");
        }
        let words = append_words(c)?;
        let parts = if c.eat_word("CATENATE") {
            c.space()?;
            parts(c)?
        } else if messages.is_empty() {
            return c.expected_at(at, "a literal with the message, or CATENATE");
        } else {
            // With the first one put together, all have come with the command.
            vec![CatPart::Text(c.literal8()?)]
        };
        messages.push(CatMessage { words, parts });
        if c.at_end() {
            return Ok(Catenate { replaces, mailbox, messages });
        }
    }
}

/// `(URL "..." TEXT {n} ...)`.
fn parts(c: &mut Cursor<'_>) -> Result<Vec<CatPart>> {
    let mut parts = Vec::new();
    c.list(|c| {
        if c.eat_word("URL") {
            c.space()?;
            parts.push(CatPart::Url(c.astring("an IMAP URL")?));
        } else if c.eat_word("TEXT") {
            c.space()?;
            parts.push(CatPart::Text(c.literal8()?));
        } else {
            return c.expected("URL or TEXT");
        }
        Ok(())
    })?;
    if parts.is_empty() { c.expected("at least one part") } else { Ok(parts) }
}
