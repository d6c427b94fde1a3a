//! The part of a message that a `BODY[...]` item names, and its name in the response.

use std::ops::Range;

use mailkit::Parsed;
use mailkit::parsed::SectionText as Place;
use mailkit::transfer::Encoding;

use crate::response::text;
use crate::syntax::{Section, SectionForm, SectionText};

/// Where the bytes of a section come from.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) enum Content {
    /// These bytes of the message, as they are.
    Raw(Range<u64>),
    /// Some fields of the header that lies there.
    Fields(Range<u64>),
    /// These bytes, their transfer encoding undone.
    Decoded(Range<u64>, Encoding),
    /// These bytes have a transfer encoding that nobody knows (RFC 3516 section 4.3 `UNKNOWN-CTE`).
    Undecodable,
    /// There is no such part.
    Nothing,
}

/// What `section` means in this message.
pub(in crate::session) fn content(parsed: &Parsed, section: &Section) -> Content {
    if section.form == SectionForm::Binary {
        return binary(parsed, &section.part);
    }
    let place = match section.text {
        SectionText::Whole => Place::Whole,
        SectionText::Header | SectionText::Fields { .. } => Place::Header,
        SectionText::Text => Place::Text,
        SectionText::Mime => Place::Mime,
    };
    match (parsed.section(&section.part, place), &section.text) {
        (Some(range), SectionText::Fields { .. }) => Content::Fields(range),
        (Some(range), _) => Content::Raw(range),
        (None, _) => Content::Nothing,
    }
}

/// What `BINARY[part]` means.
pub(super) fn binary(parsed: &Parsed, path: &[u32]) -> Content {
    if path.is_empty() {
        return Content::Raw(0..parsed.size);
    }
    let Some(part) = parsed.part(path) else { return Content::Nothing };
    if part.is_multipart() {
        return Content::Raw(part.body());
    }
    match Encoding::named(&part.encoding) {
        Some(Encoding::Identity) => Content::Raw(part.body()),
        Some(encoding) => Content::Decoded(part.body(), encoding),
        None => Content::Undecodable,
    }
}

/// The bytes `<offset.length>` of something `len` long, as a range within it.
pub(in crate::session) fn clip(len: u64, partial: Option<(u64, u64)>) -> Range<u64> {
    match partial {
        None => 0..len,
        Some((offset, length)) => offset.min(len)..offset.saturating_add(length).min(len),
    }
}

/// Writes `BODY[1.HEADER.FIELDS (DATE)]<0>`.
pub(super) fn write_name(out: &mut Vec<u8>, section: &Section) {
    let name: &[u8] = match section.form {
        SectionForm::Rfc822 => b"RFC822",
        SectionForm::Rfc822Header => b"RFC822.HEADER",
        SectionForm::Rfc822Text => b"RFC822.TEXT",
        SectionForm::Body => b"BODY",
        SectionForm::Binary => b"BINARY",
    };
    out.extend_from_slice(name);
    if !matches!(section.form, SectionForm::Body | SectionForm::Binary) {
        return;
    }
    out.push(b'[');
    write_part(out, &section.part);
    let word: &[u8] = match &section.text {
        SectionText::Whole => b"",
        SectionText::Header => b"HEADER",
        SectionText::Fields { not: false, .. } => b"HEADER.FIELDS",
        SectionText::Fields { not: true, .. } => b"HEADER.FIELDS.NOT",
        SectionText::Text => b"TEXT",
        SectionText::Mime => b"MIME",
    };
    if !section.part.is_empty() && !word.is_empty() {
        out.push(b'.');
    }
    out.extend_from_slice(word);
    if let SectionText::Fields { names, .. } = &section.text {
        out.extend_from_slice(b" (");
        for (i, name) in names.iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            let atom = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) && !name.is_empty();
            if atom {
                out.extend_from_slice(name.as_bytes());
            } else {
                text::string(out, name.as_bytes(), false);
            }
        }
        out.push(b')');
    }
    out.push(b']');
    if let Some((offset, _)) = section.partial {
        out.push(b'<');
        text::number(out, offset);
        out.push(b'>');
    }
}

/// Writes `1.2.3`.
pub(super) fn write_part(out: &mut Vec<u8>, part: &[u32]) {
    for (i, number) in part.iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        text::number(out, u64::from(*number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_ranges_stay_within_the_bytes() {
        assert_eq!(clip(10, None), 0..10);
        assert_eq!(clip(10, Some((2, 3))), 2..5);
        assert_eq!(clip(10, Some((8, 30))), 8..10);
        assert_eq!(clip(10, Some((50, 30))), 10..10);
        assert_eq!(clip(10, Some((u64::MAX, u64::MAX))), 10..10);
    }

    #[test]
    fn answers_name_sections_as_they_were_asked_for() {
        let name = |section: Section| {
            let mut out = Vec::new();
            write_name(&mut out, &section);
            String::from_utf8(out).unwrap()
        };
        let section = |part: &[u32], text, partial| Section {
            form: SectionForm::Body,
            peek: true,
            part: part.to_vec(),
            text,
            partial,
        };
        let names = vec!["DATE".to_owned(), "X Y".to_owned()];
        assert_eq!(
            name(section(&[1, 2], SectionText::Fields { not: true, names }, Some((5, 9)))),
            "BODY[1.2.HEADER.FIELDS.NOT (DATE \"X Y\")]<5>"
        );
        assert_eq!(name(section(&[], SectionText::Whole, None)), "BODY[]");
        assert_eq!(name(section(&[3], SectionText::Mime, None)), "BODY[3.MIME]");
    }
}
