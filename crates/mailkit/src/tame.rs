//! Normalizes HTML so that no later step can be made to work hard.
//!
//! HTML parsers recover from anything, and some recoveries take quadratic time in the nesting or in the number of
//! attributes: a message of 300 KB could keep a processor busy for a minute. So HTML is first rewritten, in one linear
//! pass, into tags that are closed in order, nested no deeper than [`MAX_NESTING`], with few attributes, quoted.
//! Comments, and elements whose content is not text of the message, are removed. This does not make HTML safe: that is
//! [`crate::html::clean`]'s task.

use crate::css::sheet::MAX_SHEET_BYTES;

/// Deepest nesting of elements; the tags of deeper ones are left out, their text stays.
pub(crate) const MAX_NESTING: usize = 150;

/// Most character references (`&amp;`) looked at; the rest is cut.
const MAX_REFERENCES: usize = 100_000;

/// Most attributes of one tag; the rest is left out.
const MAX_ATTRIBUTES: usize = 40;

/// Most `<style>` elements looked at.
const MAX_STYLES: usize = 50;

/// Longest name of a tag or attribute.
const MAX_NAME_BYTES: usize = 40;

/// Elements without content.
const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// Elements that are left out with all that is in them.
pub(crate) const DROPPED: [&str; 20] = [
    "script",
    "style",
    "title",
    "template",
    "iframe",
    "object",
    "applet",
    "svg",
    "math",
    "noembed",
    "noframes",
    "noscript",
    "textarea",
    "select",
    "audio",
    "video",
    "canvas",
    "xmp",
    "plaintext",
    "frameset",
];

/// Across these, elements do not close each other.
const BARRIERS: [&str; 3] = ["table", "td", "th"];

/// HTML in a known shape, and what stood around its content.
#[derive(Debug, Default)]
pub(crate) struct Tamed {
    /// What is in the body.
    pub(crate) html: String,
    /// The contents of `<style>`, as they are written, each with its `media`.
    pub(crate) styles: Vec<(String, Option<String>)>,
    /// Attributes of `<html>` and `<body>`, as they are written: the first of each name; the style of both.
    pub(crate) root: Vec<(String, String)>,
    /// What relative addresses are relative to.
    pub(crate) base: Option<String>,
}

/// Rewrites HTML; looks at no more than `max_tags` tags. Writes `link` for the `href` of links.
pub(crate) fn tame(html: &str, max_tags: usize, link: &str) -> Tamed {
    let mut tamer = Tamer {
        link,
        out: String::with_capacity(html.len()),
        around: Tamed::default(),
        style_bytes: 0,
        open: Vec::new(),
        unclosed: Vec::new(),
        tags_left: max_tags,
    };
    let end = memchr::memchr_iter(b'&', html.as_bytes()).nth(MAX_REFERENCES).unwrap_or(html.len());
    tamer.run(&html[..end]);
    while let Some(name) = tamer.open.pop() {
        tamer.close(&name);
    }
    Tamed { html: tamer.out, ..tamer.around }
}

struct Tamer<'a> {
    link: &'a str,
    out: String,
    around: Tamed,
    /// Bytes of style sheets so far.
    style_bytes: usize,
    open: Vec<String>,
    /// Dropped elements of which no end tag is left: searched for once, not again and again.
    unclosed: Vec<String>,
    tags_left: usize,
}

/// Name and value, as they are written.
type Attribute<'a> = (&'a str, &'a str);

/// The attributes of a start tag, the first [`MAX_ATTRIBUTES`] of them as far as they are names, and what follows the tag;
/// `None` if it is not closed.
fn attributes(mut rest: &str) -> Option<(Vec<Attribute<'_>>, &str)> {
    let mut found = Vec::new();
    let mut count = 0;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return None;
        }
        if let Some(tail) = rest.strip_prefix('>') {
            return Some((found, tail));
        }
        let (attribute, value, tail) = attribute(rest);
        rest = tail;
        count += 1;
        if count <= MAX_ATTRIBUTES && is_name(attribute) {
            found.push((attribute, value));
        }
    }
}

impl Tamer<'_> {
    fn run(&mut self, html: &str) {
        let mut rest = html;
        while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
            self.out.push_str(&rest[..at]);
            rest = &rest[at..];
            let next = rest.as_bytes().get(1).copied().unwrap_or(0);
            rest = match next {
                b'!' if rest.starts_with("<!--") => after(rest, 4, "-->"),
                b'!' | b'?' => after(rest, 2, ">"),
                b'/' if rest.as_bytes().get(2).is_some_and(u8::is_ascii_alphabetic) => self.end_tag(rest),
                b'/' => after(rest, 2, ">"),
                b if b.is_ascii_alphabetic() => self.start_tag(rest),
                _ => {
                    self.tags_left -= 1;
                    self.out.push_str("&lt;");
                    &rest[1..]
                }
            };
            if self.tags_left == 0 {
                return;
            }
        }
        self.out.push_str(rest);
    }

    /// Reads `<name attributes>`; gives what follows.
    fn start_tag<'a>(&mut self, html: &'a str) -> &'a str {
        self.tags_left -= 1;
        let (name, rest) = name(&html[1..]);
        // A tag that is not closed is no tag.
        let Some((attributes, rest)) = attributes(rest) else { return "" };
        if DROPPED.contains(&name.as_str()) {
            if self.unclosed.contains(&name) {
                return rest;
            }
            // Left open: only the tag goes, else a stray one would swallow the message.
            let Some(tail) = after_element(rest, &name) else {
                self.unclosed.push(name);
                return rest;
            };
            if name == "style" {
                let content = &rest[..rest.len() - tail.len()];
                self.style(&content[..content.rfind("</").unwrap_or(content.len())], &attributes);
            }
            return tail;
        }
        match name.as_str() {
            "html" | "body" => {
                self.root(&attributes);
                return rest;
            }
            "base" => {
                let href = attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case("href"));
                self.around.base = self.around.base.take().or_else(|| Some(href?.1.replace("&amp;", "&")));
                return rest;
            }
            _ => {}
        }
        if !is_name(&name) {
            return rest;
        }
        let is_void = VOID.contains(&name.as_str());
        if !is_void {
            self.close_implied(&name);
            if self.open.len() >= MAX_NESTING {
                return rest;
            }
        }
        self.push_tag(&name, &attributes);
        if !is_void {
            self.open.push(name);
        }
        rest
    }

    /// Writes a start tag.
    fn push_tag(&mut self, tag: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(tag);
        for (name, value) in attributes {
            let is_link = matches!(tag, "a" | "area") && name.eq_ignore_ascii_case("href");
            self.out.push(' ');
            self.out.push_str(if is_link { self.link } else { name });
            self.out.push_str("=\"");
            push_quoted(value, &mut self.out);
            self.out.push('"');
        }
        self.out.push('>');
    }

    /// Keeps a style sheet, as long as there is room.
    fn style(&mut self, css: &str, attributes: &[(&str, &str)]) {
        let find = |wanted: &str| {
            attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
        };
        let is_css =
            find("type").is_none_or(|kind| kind.trim().is_empty() || kind.trim().eq_ignore_ascii_case("text/css"));
        let room = MAX_SHEET_BYTES - self.style_bytes;
        if !is_css || room == 0 || self.around.styles.len() >= MAX_STYLES {
            return;
        }
        let css = &css[..css.floor_char_boundary(room)];
        self.style_bytes += css.len();
        let media = find("media").filter(|media| !media.trim().is_empty()).map(str::to_owned);
        self.around.styles.push((css.to_owned(), media));
    }

    /// Keeps what `<html>` or `<body>` says of itself.
    fn root(&mut self, attributes: &[(&str, &str)]) {
        for (name, value) in attributes {
            let name = name.to_ascii_lowercase();
            let has_room = self.around.root.len() < MAX_ATTRIBUTES;
            match self.around.root.iter_mut().find(|(known, _)| *known == name) {
                None if has_room => self.around.root.push((name, (*value).to_owned())),
                Some((_, known)) if name == "style" && known.len() < MAX_SHEET_BYTES => {
                    known.push_str("; ");
                    known.push_str(value);
                }
                Some((_, known)) if name == "class" && known.len() < 1_000 => {
                    known.push(' ');
                    known.push_str(value);
                }
                _ => {}
            }
        }
    }

    fn end_tag<'a>(&mut self, html: &'a str) -> &'a str {
        self.tags_left -= 1;
        let (name, rest) = name(&html[2..]);
        let rest = after(rest, 0, ">");
        let is_table_part = matches!(name.as_str(), "table" | "tbody" | "thead" | "tfoot" | "tr" | "td" | "th");
        let barriers: &[&str] = if is_table_part { &["table"] } else { &BARRIERS };
        self.close_up_to(&[&name], barriers);
        rest
    }

    /// Closes what the start of an element closes without saying so.
    fn close_implied(&mut self, name: &str) {
        match name {
            "p" => self.close_up_to(&["p"], &BARRIERS),
            "li" => self.close_up_to(&["li"], &["ul", "ol", "table", "td", "th"]),
            "dt" | "dd" => self.close_up_to(&["dt", "dd"], &["dl", "table", "td", "th"]),
            "td" | "th" => self.close_up_to(&["td", "th"], &["table"]),
            "tr" => self.close_up_to(&["tr"], &["table"]),
            "tbody" | "thead" | "tfoot" => self.close_up_to(&["tbody", "thead", "tfoot"], &["table"]),
            "a" => self.close_up_to(&["a"], &BARRIERS),
            _ => {}
        }
    }

    /// Closes the innermost of the named elements and all in it, unless a barrier stands before it.
    fn close_up_to(&mut self, names: &[&str], barriers: &[&str]) {
        for at in (0..self.open.len()).rev() {
            let open = self.open[at].as_str();
            if names.contains(&open) {
                for name in self.open.split_off(at).iter().rev() {
                    self.close(name);
                }
                return;
            }
            if barriers.contains(&open) {
                return;
            }
        }
    }

    fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }
}

/// What follows the first `end` after `from` bytes; nothing if there is none.
fn after<'a>(html: &'a str, from: usize, end: &str) -> &'a str {
    let tail = html.get(from..).unwrap_or_default();
    memchr::memmem::find(tail.as_bytes(), end.as_bytes()).map_or("", |at| &tail[at + end.len()..])
}

/// What follows the element's end tag.
fn after_element<'a>(html: &'a str, element: &str) -> Option<&'a str> {
    let mut rest = html;
    while let Some(at) = memchr::memmem::find(rest.as_bytes(), b"</") {
        rest = &rest[at + 2..];
        if rest.get(..element.len()).is_some_and(|head| head.eq_ignore_ascii_case(element))
            && !rest.as_bytes().get(element.len()).is_some_and(u8::is_ascii_alphanumeric)
        {
            return Some(after(rest, 0, ">"));
        }
    }
    None
}

/// A tag's name, lower-case, and what follows.
fn name(html: &str) -> (String, &str) {
    let end = html.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(html.len());
    (html[..end].to_ascii_lowercase(), &html[end..])
}

/// `name`, `name=value`, `name="value"`; what follows. The text is not empty.
fn attribute(html: &str) -> (&str, &str, &str) {
    let first = html.chars().next().map_or(0, char::len_utf8);
    let end = html[first..]
        .find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='))
        .map_or(html.len(), |at| at + first);
    let (name, rest) = html.split_at(end);
    let Some(value) = rest.trim_ascii_start().strip_prefix('=') else {
        return (name, "", rest);
    };
    let value = value.trim_ascii_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            return match quoted.split_once(quote) {
                Some((inside, tail)) => (name, inside, tail),
                None => (name, "", ""),
            };
        }
    }
    let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len());
    (name, &value[..end], &value[end..])
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':' | b'_'))
}

fn push_quoted(value: &str, out: &mut String) {
    for (at, piece) in value.split('"').enumerate() {
        if at > 0 {
            out.push_str("&quot;");
        }
        out.push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tamed(html: &str) -> String {
        tame(html, 1_000, "href").html
    }

    #[test]
    fn tags_are_closed_in_order() {
        for (html, expected) in [
            ("a<b>c", "a<b>c</b>"),
            ("<b><i>x</b>y</i>", "<b><i>x</i></b>y"),
            ("<p>x<p>y", "<p>x</p><p>y</p>"),
            ("<ul><li>a<li>b<ul><li>c</ul></ul>", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
            (
                "<table><tr><td>a<td>b<tr><td>c</table>",
                "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
            ),
            ("<div><table><td></div>x", "<div><table><td>x</td></table></div>"),
            ("x</p>y<br>z</br>", "xy<br>z"),
            ("<BR/><img src=a alt='b\"c'>", "<br><img src=\"a\" alt=\"b&quot;c\">"),
        ] {
            assert_eq!(tamed(html), expected, "{html}");
        }
    }

    #[test]
    fn what_is_no_text_goes() {
        for (html, expected) in [
            ("a<!-- <b> -->c", "ac"),
            ("a<!DOCTYPE html>b<?xml x?>c", "abc"),
            ("a<style>x<b></style>c", "ac"),
            ("a<SCRIPT>if (a</b>) x</ScRiPt >c", "ac"),
            ("a<svg>b", "ab"),
            ("1 < 2 <3", "1 &lt; 2 &lt;3"),
            ("a<b", "a"),
        ] {
            assert_eq!(tamed(html), expected, "{html}");
        }
    }

    #[test]
    fn what_stands_around_the_content_is_kept_beside_it() {
        let tamed = tame(
            "<html style='a:b'><head><base href='https://x.example/?a&amp;b'><style media=screen>.a{color:red}</style><STYLE type='text/x'>no</STYLE>\
             <style>/*</styles>*/ b{}</style ></head><body class=c BGCOLOR=red style='c:d'>x<body text=blue bgcolor=green></html>y",
            100,
            "href",
        );
        assert_eq!(tamed.html, "<head></head>xy");
        assert_eq!(
            tamed.styles,
            [(".a{color:red}".to_owned(), Some("screen".to_owned())), ("/*</styles>*/ b{}".to_owned(), None)]
        );
        let root: Vec<String> = tamed.root.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(root, ["style=a:b; c:d", "class=c", "bgcolor=red", "text=blue"]);
        assert_eq!(tamed.base.as_deref(), Some("https://x.example/?a&b"));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(tamed(&"<div>".repeat(900)).matches("<div>").count(), MAX_NESTING);
        assert_eq!(tame(&"<br>".repeat(50), 10, "href").html.matches("<br>").count(), 10);
        let many: String = (0..500).map(|n| ["a", &n.to_string(), " "].concat()).collect();
        assert_eq!(tamed(&["<b ", &many, ">"].concat()).matches('=').count(), MAX_ATTRIBUTES);
    }
}
