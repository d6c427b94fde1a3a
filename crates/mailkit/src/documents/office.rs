//! The text of office files: ECMA-376 (DOCX, XLSX, PPTX) and OpenDocument, ZIP archives of XML.

use super::budget::{Budget, Reading};
use super::zip::Archive;

/// What of XML is text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    /// What stands in elements called `t`, and numbers of cells in `v`.
    Runs,
    /// All that stands between tags.
    All,
}

/// Reads an office file.
pub fn read(bytes: &[u8], budget: &mut Budget) -> Option<Reading> {
    let archive = Archive::open(bytes)?;
    let mut names: Vec<&str> = archive.names().filter(|name| says_something(name)).collect();
    // slide2 before slide10
    names.sort_by_key(|name| (name.len(), *name));
    let is_open_document = archive.names().any(|name| name == "mimetype");
    let mut reading = Reading::default();
    if is_open_document
        && let Some(manifest) = archive.content("META-INF/manifest.xml", budget)
        && memchr::memmem::find(&manifest, b"encryption-data").is_some()
    {
        return None;
    }
    let texts = if is_open_document { Texts::All } else { Texts::Runs };
    let mut read = 0;
    for name in names {
        match archive.content(name, budget) {
            Some(xml) => {
                read += 1;
                if xml_text(&decoded(xml), texts, budget, &mut reading.text).is_none() {
                    reading.is_partial = true;
                    break;
                }
            }
            None => reading.is_partial = true,
        }
    }
    (read > 0).then_some(reading)
}

/// Whether a file of the archive has text that people see.
fn says_something(name: &str) -> bool {
    let Some(name) = name.strip_suffix(".xml") else { return false };
    let within = |folder: &str, begins: &[&str]| {
        name.strip_prefix(folder)
            .is_some_and(|file| !file.contains('/') && begins.iter().any(|begins| file.starts_with(begins)))
    };
    matches!(name, "content" | "styles" | "docProps/core" | "meta")
        || within("word/", &["document", "footnotes", "endnotes", "comments", "header", "footer"])
        || within("xl/", &["sharedStrings", "workbook", "comments"])
        || within("xl/worksheets/", &["sheet"])
        || within("ppt/slides/", &["slide"])
        || within("ppt/notesSlides/", &["notesSlide"])
        || within("ppt/comments/", &[""])
}

fn decoded(xml: Vec<u8>) -> String {
    match xml.get(..2) {
        Some([0xff, 0xfe] | [0xfe, 0xff]) => crate::charset::decode_charset_or(Some("utf-16"), None, &xml),
        _ => String::from_utf8(xml).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

/// Adds the text of XML; `None` if the budget is used up.
fn xml_text(xml: &str, texts: Texts, budget: &mut Budget, out: &mut String) -> Option<()> {
    let mut rest = xml;
    let (mut is_text, mut is_shared) = (texts == Texts::All, false);
    while let Some(at) = rest.find('<') {
        budget.step()?;
        if is_text {
            unescaped(&rest[..at], out);
        }
        rest = &rest[at..];
        if out.len() > budget.text {
            return None;
        }
        if let Some(section) = rest.strip_prefix("<![CDATA[") {
            let end = section.find("]]>").unwrap_or(section.len());
            if is_text {
                out.push_str(&section[..end]);
            }
            rest = section.get(end + 3..).unwrap_or_default();
            continue;
        }
        let Some(end) = rest.find('>') else { break };
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        let (closes, is_empty) = (tag.starts_with('/'), tag.ends_with('/'));
        let tag = tag.trim_matches('/');
        let name = tag.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
        let name = name.rsplit(':').next().unwrap_or_default();
        if texts == Texts::Runs && !is_empty {
            match name {
                // What a cell of type `s` holds is the number of a shared text.
                "c" if !closes => is_shared = tag.contains("t=\"s\""),
                "t" | "title" | "subject" | "keywords" | "description" | "text" => is_text = !closes,
                "v" => is_text = !closes && !is_shared,
                _ => {}
            }
        }
        match name {
            "sheet" => {
                if let Some(name) = tag.split("name=\"").nth(1).and_then(|rest| rest.split('"').next()) {
                    unescaped(name, out);
                    out.push('\n');
                }
            }
            "tab" | "s" | "br" | "cr" | "line-break" | "v" => space(out, ' '),
            "p" | "h" | "si" | "row" | "table-row" | "c" | "table-cell" | "title" | "text" if closes || is_empty => {
                space(out, '\n');
            }
            _ => {}
        }
    }
    // Cut off in the middle of a text.
    if is_text {
        unescaped(&rest[..rest.floor_char_boundary(budget.text)], out);
    }
    Some(())
}

fn space(out: &mut String, space: char) {
    if !out.is_empty() && !out.ends_with(char::is_whitespace) {
        out.push(space);
    }
}

/// Adds text with its references resolved.
fn unescaped(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|b| b == b';');
        let found = end.and_then(|end| reference(&rest[1..end]).map(|c| (c, end)));
        match found {
            Some((c, end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
}

fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
