//! GETMETADATA and SETMETADATA (RFC 5464), and entries in the RETURN of a LIST (RFC 9590).

use bytes::Bytes;
use mailstore::{EntryName, EntryNameError, MetadataDepth};

use super::super::command::{Command, GetMetadata};
use super::{
    Cursor,
    words::{Result, mailbox},
};

/// `[(options)] mailbox [(options)] entries`: the RFC's grammar has options before the mailbox, its examples behind it.
pub(super) fn get(c: &mut Cursor<'_>) -> Result<GetMetadata> {
    let mut get = GetMetadata::default();
    let mut ahead = c.clone();
    ahead.space()?;
    if ahead.peek() == Some(b'(') {
        *c = ahead;
        options(c, &mut get)?;
    }
    get.mailbox = mailbox(c)?;
    c.space()?;
    let mut ahead = c.clone();
    if ahead.eat(b'(') && (ahead.eat_word("MAXSIZE") || ahead.eat_word("DEPTH")) {
        options(c, &mut get)?;
        c.space()?;
    }
    get.entries = entries(c)?;
    Ok(get)
}

/// `(MAXSIZE 1024 DEPTH infinity)`.
fn options(c: &mut Cursor<'_>, get: &mut GetMetadata) -> Result<()> {
    let mut count = 0;
    c.list(|c| {
        count += 1;
        if c.eat_word("MAXSIZE") {
            c.space()?;
            get.max_size = Some(c.number()?);
        } else if c.eat_word("DEPTH") {
            c.space()?;
            let at = c.position();
            get.depth = match c.keyword("0, 1 or infinity")?.as_str() {
                "0" => MetadataDepth::Zero,
                "1" => MetadataDepth::One,
                "INFINITY" => MetadataDepth::Infinity,
                _ => return c.expected_at(at, "0, 1 or infinity"),
            };
        } else {
            return c.expected("MAXSIZE or DEPTH");
        }
        Ok(())
    })?;
    if count == 0 { c.expected("MAXSIZE or DEPTH") } else { Ok(()) }
}

/// One entry, or several in parentheses.
pub(super) fn entries(c: &mut Cursor<'_>) -> Result<Vec<EntryName>> {
    let mut entries = Vec::new();
    if c.peek() != Some(b'(') {
        return Ok(vec![entry(c)?]);
    }
    c.list(|c| {
        entries.push(entry(c)?);
        Ok(())
    })?;
    if entries.is_empty() { c.expected("at least one entry") } else { Ok(entries) }
}

/// `mailbox (entry value ...)`.
pub(super) fn set(c: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = mailbox(c)?;
    c.space()?;
    let mut changes = Vec::new();
    c.list(|c| {
        let at = c.position();
        let entry = entry(c)?;
        if entry.is_top() {
            return c.expected_at(at, "an entry below /private or /shared");
        }
        c.space()?;
        changes.push((entry, value(c)?));
        Ok(())
    })?;
    if changes.is_empty() { c.expected("at least one entry") } else { Ok(Command::SetMetadata { mailbox, changes }) }
}

fn entry(c: &mut Cursor<'_>) -> Result<EntryName> {
    let at = c.position();
    let name = c.astring("an entry such as /private/comment")?;
    EntryName::new(&name).or_else(|error| {
        let expected = match error {
            EntryNameError::Scope => "an entry that begins with /private/ or /shared/",
            EntryNameError::Empty => "an entry without empty parts",
            EntryNameError::Character => "an entry of ASCII characters without wildcards",
            EntryNameError::TooLong => "an entry of at most 255 bytes",
            EntryNameError::TooDeep => "an entry of at most 20 parts",
        };
        c.expected_at(at, expected)
    })
}

/// `nstring` or `literal8`.
fn value(c: &mut Cursor<'_>) -> Result<Option<Bytes>> {
    if c.eat_word("NIL") {
        return Ok(None);
    }
    let value = if c.peek() == Some(b'~') { c.literal8()? } else { c.string_bytes("a string, a literal or NIL")? };
    Ok(Some(value.into()))
}
