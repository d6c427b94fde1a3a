//! FETCH: items, macros, sections, modifiers.

use super::super::command::{Fetch, FetchItem, Section, SectionForm, SectionText};
use super::super::{MAX_LIST_ITEMS, MAX_SECTION_DEPTH};
use super::{
    Cursor,
    words::{Result, set},
};

pub(super) fn fetch(c: &mut Cursor<'_>, uid: bool) -> Result<Fetch> {
    let set = set(c)?;
    c.space()?;
    let mut items = Vec::new();
    if c.peek() == Some(b'(') {
        c.list(|c| {
            items.push(item(c)?);
            Ok(())
        })?;
        if items.is_empty() {
            return c.expected("at least one FETCH item");
        }
    } else if c.eat_word("ALL") {
        items = vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size, FetchItem::Envelope];
    } else if c.eat_word("FAST") {
        items = vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size];
    } else if c.eat_word("FULL") {
        items = vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size, FetchItem::Envelope, FetchItem::Body];
    } else {
        items.push(item(c)?);
    }
    let mut fetch = Fetch { uid, set, items, changed_since: None, vanished: false, partial: None };
    if !c.at_end() {
        c.space()?;
        let at = c.position();
        c.list(|c| {
            if c.eat_word("CHANGEDSINCE") {
                c.space()?;
                fetch.changed_since = Some(c.number64()?);
                Ok(())
            } else if c.eat_word("VANISHED") {
                fetch.vanished = true;
                Ok(())
            } else if uid && c.eat_word("PARTIAL") {
                c.space()?;
                fetch.partial = Some(super::search::partial(c)?);
                Ok(())
            } else {
                c.expected("CHANGEDSINCE, VANISHED, or in UID FETCH, PARTIAL")
            }
        })?;
        if fetch.vanished && (!uid || fetch.changed_since.is_none()) {
            return c.expected_at(at, "VANISHED only in UID FETCH and together with CHANGEDSINCE");
        }
    }
    Ok(fetch)
}

pub(super) fn item(c: &mut Cursor<'_>) -> Result<FetchItem> {
    let at = c.position();
    let name = c.take_while(|b| b.is_ascii_alphanumeric() || b == b'.').to_ascii_uppercase();
    Ok(match name.as_slice() {
        b"UID" => FetchItem::Uid,
        b"FLAGS" => FetchItem::Flags,
        b"INTERNALDATE" => FetchItem::InternalDate,
        b"SAVEDATE" => FetchItem::SaveDate,
        b"RFC822.SIZE" => FetchItem::Size,
        b"ENVELOPE" => FetchItem::Envelope,
        b"BODYSTRUCTURE" => FetchItem::BodyStructure,
        b"MODSEQ" => FetchItem::ModSeq,
        b"EMAILID" => FetchItem::EmailId,
        b"THREADID" => FetchItem::ThreadId,
        b"PREVIEW" => {
            // `PREVIEW (LAZY)`: ours is always at hand, so the modifier changes nothing (RFC 8970 section 3.1).
            if c.eat_text(" (") {
                if !c.eat_word("LAZY") {
                    return c.expected("LAZY");
                }
                c.close()?;
            }
            FetchItem::Preview
        }
        b"RFC822" => legacy(SectionForm::Rfc822, SectionText::Whole, false),
        b"RFC822.HEADER" => legacy(SectionForm::Rfc822Header, SectionText::Header, true),
        b"RFC822.TEXT" => legacy(SectionForm::Rfc822Text, SectionText::Text, false),
        b"BODY" if c.peek() != Some(b'[') => FetchItem::Body,
        b"BODY" => body_section(c, false)?,
        b"BODY.PEEK" => body_section(c, true)?,
        b"BINARY" => binary_section(c, false)?,
        b"BINARY.PEEK" => binary_section(c, true)?,
        b"BINARY.SIZE" => {
            c.byte(b'[', "\"[\"")?;
            let part = part(c)?;
            c.byte(b']', "a part number or \"]\"")?;
            FetchItem::BinarySize(part)
        }
        _ => {
            return c.expected_at(
                at,
                "a FETCH item such as UID, FLAGS, INTERNALDATE, RFC822.SIZE, ENVELOPE, BODYSTRUCTURE, BODY[section]",
            );
        }
    })
}

fn legacy(form: SectionForm, text: SectionText, peek: bool) -> FetchItem {
    FetchItem::Section(Section { form, peek, part: Vec::new(), text, partial: None })
}

fn body_section(c: &mut Cursor<'_>, peek: bool) -> Result<FetchItem> {
    c.byte(b'[', "\"[\"")?;
    let part = part(c)?;
    // After a part number stands a dot before the text; `part` has taken it.
    let text = if c.peek() == Some(b']') {
        SectionText::Whole
    } else if c.eat_text("HEADER.FIELDS.NOT") {
        fields(c, true)?
    } else if c.eat_text("HEADER.FIELDS") {
        fields(c, false)?
    } else if c.eat_text("HEADER") {
        SectionText::Header
    } else if c.eat_text("TEXT") {
        SectionText::Text
    } else if !part.is_empty() && c.eat_text("MIME") {
        SectionText::Mime
    } else if part.is_empty() {
        return c.expected("a part number, HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or \"]\"");
    } else {
        return c.expected("a part number, HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME or \"]\"");
    };
    c.byte(b']', "\"]\"")?;
    let partial = partial(c)?;
    Ok(FetchItem::Section(Section { form: SectionForm::Body, peek, part, text, partial }))
}

fn binary_section(c: &mut Cursor<'_>, peek: bool) -> Result<FetchItem> {
    c.byte(b'[', "\"[\"")?;
    let part = part(c)?;
    c.byte(b']', "a part number or \"]\"")?;
    let partial = partial(c)?;
    Ok(FetchItem::Section(Section { form: SectionForm::Binary, peek, part, text: SectionText::Whole, partial }))
}

/// `1.2.3`, or nothing. A dot before a word is taken.
fn part(c: &mut Cursor<'_>) -> Result<Vec<u32>> {
    let mut part = Vec::new();
    while c.peek().is_some_and(|b| b.is_ascii_digit()) {
        if part.len() == MAX_SECTION_DEPTH {
            return c.expected("a shorter part number");
        }
        part.push(c.nz_number()?);
        if !c.eat(b'.') {
            if c.peek() != Some(b']') {
                return c.expected("\".\" or \"]\"");
            }
            break;
        }
        if c.peek() == Some(b']') {
            return c.expected("a part number or a word such as TEXT after \".\"");
        }
    }
    Ok(part)
}

fn fields(c: &mut Cursor<'_>, not: bool) -> Result<SectionText> {
    let mut names = Vec::new();
    c.space()?;
    c.list(|c| {
        names.push(c.astring("a header field name")?);
        Ok(())
    })?;
    if names.is_empty() || names.len() > MAX_LIST_ITEMS {
        return c.expected("at least one header field name");
    }
    Ok(SectionText::Fields { not, names })
}

fn partial(c: &mut Cursor<'_>) -> Result<Option<(u64, u64)>> {
    if !c.eat(b'<') {
        return Ok(None);
    }
    let offset = c.number64()?;
    c.byte(b'.', "\".\" and a length")?;
    let at = c.position();
    let length = c.number64()?;
    if length == 0 {
        return c.expected_at(at, "a length above 0");
    }
    c.byte(b'>', "\">\"")?;
    Ok(Some((offset, length)))
}

/// A section as it stands between the brackets of `BODY[...]`, or in an IMAP URL; `None` if it is none.
pub fn section(text: &str) -> Option<Section> {
    let text = format!("[{text}]");
    let mut c = Cursor::new(text.as_bytes());
    match body_section(&mut c, true) {
        Ok(FetchItem::Section(section)) if c.at_end() => Some(section),
        _ => None,
    }
}
