//! A text preview of HTML: blocks separated, hidden content omitted. One pass, without layout.

use crate::html;

/// Elements that go on within a line: their tags separate no words.
const INLINE: [&str; 26] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "code", "del", "em", "font", "i", "ins", "kbd", "label", "mark",
    "q", "s", "small", "span", "strike", "strong", "sub", "sup", "u", "wbr",
];

/// Elements whose content is no text of the page.
const UNSEEN: [&str; 9] = ["head", "title", "style", "script", "template", "noscript", "svg", "object", "select"];

/// Elements without an end.
const VOID: [&str; 8] = ["br", "hr", "img", "input", "meta", "link", "col", "base"];

/// The words that a page shows.
pub(crate) fn words(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    // The element that hides what is in it, and how many of its name are open.
    let mut hiding: Option<(String, usize)> = None;
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        if hiding.is_none() {
            out.push_str(&rest[..at]);
        }
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let is_end = rest.starts_with("</");
        let inner = &rest[1 + usize::from(is_end)..];
        if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?') {
            if hiding.is_none() {
                out.push_str("&lt;");
            }
            rest = &rest[1..];
            continue;
        }
        let end = inner.find('>').unwrap_or(inner.len());
        let tag = &inner[..end];
        rest = inner.get(end + 1..).unwrap_or_default();
        let name_end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let name = tag[..name_end].to_ascii_lowercase();
        match &mut hiding {
            Some((hider, open)) if *hider == name => {
                *open = if is_end { *open - 1 } else { *open + 1 };
                if *open == 0 {
                    hiding = None;
                }
            }
            // A head that nobody closed ends here.
            Some((hider, _)) if name == "body" && hider == "head" => hiding = None,
            Some(_) => {}
            None => {
                if !INLINE.contains(&name.as_str()) {
                    out.push(' ');
                }
                let closed = tag.ends_with('/') || VOID.contains(&name.as_str());
                if !is_end && !closed && (UNSEEN.contains(&name.as_str()) || is_hidden(&tag[name_end..])) {
                    hiding = Some((name, 1));
                }
            }
        }
    }
    if hiding.is_none() {
        out.push_str(rest);
    }
    // Without tags now; this undoes the entities.
    html::to_search_text(&out)
}

/// Whether attributes hide an element.
fn is_hidden(attributes: &str) -> bool {
    let plain: String = attributes.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
    ["display:none", "visibility:hidden", "mso-hide:all"].iter().any(|style| plain.contains(style))
        || attributes.split_ascii_whitespace().any(|attribute| attribute.eq_ignore_ascii_case("hidden"))
}
