//! What HTML is made of: the text that is seen, its tags, and where its links lead. Not for showing: what can't be
//! understood is passed over.

use super::words::{Section, Sink, Words};

/// Longest tag that is looked at, in bytes.
const MAX_TAG_BYTES: usize = 2 * 1024;

/// Takes features of HTML; `link` is called with each address that it leads to or loads.
pub(crate) fn features(html: &str, words: &mut Words<'_>, sink: &mut Sink, link: &mut dyn FnMut(&str, &mut Sink)) {
    let mut rest = html;
    let mut text = String::new();
    while !sink.is_full() {
        let Some(start) = rest.find('<') else { break };
        push_text(&rest[..start], &mut text);
        rest = &rest[start..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            sink.section = Section::Html;
            sink.add("html", "comment");
            sink.section = Section::Text;
            // A comment within a word hides the word.
            let end = comment.find("-->").map_or(comment.len(), |at| at + 3);
            rest = &comment[end..];
            continue;
        }
        let Some(end) = rest.find('>') else { break };
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        let tag = &tag[..tag.floor_char_boundary(MAX_TAG_BYTES)];
        let tag_name = TagName::of(tag);
        let name = tag_name.as_str();
        if !tag_name.is_within_words() {
            text.push(' ');
        }
        if !name.starts_with('/') && !name.is_empty() {
            sink.section = Section::Html;
            sink.add("html", name);
            attributes(name, &tag[name.len()..], sink, link);
            sink.section = Section::Text;
        }
        rest = &rest[tag_name.hidden(rest)..];
        if text.len() > 4096 {
            words.text(&text, sink);
            text.clear();
        }
    }
    push_text(rest, &mut text);
    words.text(&text, sink);
}

/// Adds the text of HTML or plain text as it is seen: without tags, comments and what stands in scripts, with blanks once, up to `most`
/// bytes altogether.
pub(super) fn see(text: &str, out: &mut Vec<u8>, most: usize) {
    let mut rest = text;
    let mut piece = String::new();
    while out.len() < most {
        let start = memchr::memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
        // A long text is cut to what there is room for.
        let wanted = rest.floor_char_boundary(start.min(4 * most));
        push_text(&rest[..wanted], &mut piece);
        push_blanks_once(&piece, out);
        piece.clear();
        rest = &rest[start..];
        if rest.is_empty() {
            break;
        }
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |at| &comment[at + 3..]);
            continue;
        }
        let Some(end) = rest.find('>') else { break };
        let name = TagName::of(&rest[1..end]);
        rest = &rest[end + 1..];
        if !name.is_within_words() {
            push_blanks_once(" ", out);
        }
        rest = &rest[name.hidden(rest)..];
    }
    out.truncate(most);
}

fn push_blanks_once(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        if !byte.is_ascii_whitespace() {
            out.push(byte);
        } else if out.last().is_some_and(|last| !last.is_ascii_whitespace()) {
            out.push(b' ');
        }
    }
}

/// The beginning of the name of a tag, in lower case; with its slash, if it ends something.
struct TagName {
    bytes: [u8; 12],
    len: usize,
}

impl TagName {
    fn of(tag: &str) -> Self {
        let mut name = Self { bytes: [0; 12], len: 0 };
        for byte in tag.bytes().take(12).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'/') {
            name.bytes[name.len] = byte.to_ascii_lowercase();
            name.len += 1;
        }
        name
    }

    fn as_str(&self) -> &str {
        // ASCII alone was taken.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// Whether it parts no words.
    fn is_within_words(&self) -> bool {
        matches!(self.as_str().trim_start_matches('/'), "b" | "i" | "font" | "span" | "u" | "em" | "strong")
    }

    /// How much of what follows the tag is not shown.
    fn hidden(&self, rest: &str) -> usize {
        let close = match self.as_str() {
            "style" => "</style",
            "script" => "</script",
            _ => return 0,
        };
        find_no_case(rest, close).unwrap_or(rest.len())
    }
}

fn find_no_case(text: &str, what: &str) -> Option<usize> {
    text.as_bytes().windows(what.len()).position(|window| window.eq_ignore_ascii_case(what.as_bytes()))
}

/// Text with its most frequent entities resolved.
fn push_text(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.bytes().take(10).position(|b| b == b';');
        let Some(end) = end else {
            out.push('&');
            continue;
        };
        let name = &rest[..end];
        let number = name.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        });
        match (number.and_then(char::from_u32), name) {
            (Some(c), _) => out.push(c),
            (None, "amp") => out.push('&'),
            (None, _) => out.push(' '),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
}

fn attributes(tag: &str, mut rest: &str, sink: &mut Sink, link: &mut dyn FnMut(&str, &mut Sink)) {
    for _ in 0..24 {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let Some(end) = rest.find(['=', ' ', '\n', '\t', '\r']) else { return };
        let name = rest[..end].to_ascii_lowercase();
        let after = rest[end..].trim_start();
        let Some(after) = after.strip_prefix('=') else {
            rest = after;
            continue;
        };
        let after = after.trim_start();
        let (value, next) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
            Some(_) => after.split_once(char::is_whitespace).unwrap_or((after, "")),
            None => return,
        };
        rest = next;
        match name.as_str() {
            "href" | "src" | "action" | "background" => {
                sink.add("attr", &format!("{tag} {name}"));
                link(value.trim(), sink);
            }
            "color" | "bgcolor" | "size" | "face" | "width" | "height" | "border" | "align" | "type" | "method"
            | "style" | "class" | "cellpadding" => {
                let value = value[..value.floor_char_boundary(40)].to_ascii_lowercase();
                sink.add("attr", &format!("{tag} {name} {value}"));
            }
            _ => {}
        }
    }
}
