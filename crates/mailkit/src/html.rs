//! HTML of strangers, made harmless.
//!
//! An allow-list (ammonia) decides on tags and attributes; `style` attributes pass a filter of our own that knows a
//! list of properties and a few forms of values, so nothing in it can load, cover or script anything. The result is
//! still to be shown in a sandboxed frame under a strict content security policy: one wall may have a hole, two not in
//! the same place.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ammonia::{Builder, UrlRelative};

use crate::{charset, style, tame};

/// Longest HTML cleaned, in bytes; the rest is cut.
pub const MAX_HTML_BYTES: usize = 5 * 1024 * 1024;

/// Most tags looked at; the rest is cut.
pub const MAX_TAGS: usize = 40_000;

/// Longest HTML turned into laid-out text; longer ones become plain words.
const MAX_LAYOUT_BYTES: usize = 512 * 1024;

/// Columns of text made from HTML.
const TEXT_WIDTH: usize = 78;

/// How to clean.
pub struct CleanOptions<'a> {
    /// Keep images from the net.
    pub remote_images: bool,
    /// The address for a `cid:` link (given without `cid:`); `None` drops the image.
    pub inline_url: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

/// Cleaned HTML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// Safe to put into a page (a sandboxed frame besides, for depth).
    pub html: String,
    /// Remote images without their address: what stands in their place is the text that the writer gave for them.
    pub remote_images_blocked: usize,
}

/// Tags beyond ammonia's own list: what HTML mail is built of.
const MORE_TAGS: [&str; 4] = ["font", "big", "tfoot", "label"];

/// Attributes allowed anywhere. `style` and `background` are rewritten or dropped by the filter.
const ATTRIBUTES: [&str; 22] = [
    "lang",
    "title",
    "dir",
    "style",
    "align",
    "valign",
    "bgcolor",
    "color",
    "width",
    "height",
    "border",
    "cellpadding",
    "cellspacing",
    "colspan",
    "rowspan",
    "nowrap",
    "face",
    "size",
    "alt",
    "type",
    "start",
    "background",
];

/// Cleans a message's HTML by an allow-list.
pub fn clean(html: &str, options: &CleanOptions<'_>) -> Cleaned {
    let html = within_limits(html);
    let filter = Arc::new(Filter {
        remote_images: options.remote_images,
        blocked: AtomicUsize::new(0),
        inline_ids: Mutex::new(Vec::new()),
        mark: format!("cid:{:032x}-", rand::random::<u128>()),
    });
    let shared = Arc::clone(&filter);
    let mut builder = Builder::default();
    builder
        .add_tags(MORE_TAGS)
        .clean_content_tags(tame::DROPPED.into_iter().collect())
        .generic_attributes(ATTRIBUTES.into_iter().collect())
        .url_schemes(["http", "https", "mailto", "tel", "cid", "data"].into_iter().collect())
        // Relative addresses are the attribute filter's to refuse, for it counts those of images.
        .url_relative(UrlRelative::PassThrough)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank")
        .set_tag_attribute_value("img", "referrerpolicy", "no-referrer")
        .strip_comments(true)
        .attribute_filter(move |tag, name, value| shared.attribute(tag, name, value));
    let cleaned = builder.clean(&html).to_string();
    let ids = filter.inline_ids.lock().unwrap_or_else(PoisonError::into_inner);
    Cleaned {
        html: put_in(&cleaned, &filter.mark, &ids, options.inline_url),
        remote_images_blocked: filter.blocked.load(Ordering::Relaxed),
    }
}

/// Within the limits of length, tags, nesting and attributes (see [`tame`]).
fn within_limits(html: &str) -> String {
    tame::tame(&html[..html.floor_char_boundary(MAX_HTML_BYTES)], MAX_TAGS)
}

struct Filter {
    remote_images: bool,
    blocked: AtomicUsize,
    /// Content ids met, in order.
    inline_ids: Mutex<Vec<String>>,
    /// Stands, with a number, for an address that is put in afterwards; the message can not know it.
    mark: String,
}

impl Filter {
    fn attribute<'v>(&self, tag: &str, name: &str, value: &'v str) -> Option<Cow<'v, str>> {
        match (tag, name) {
            ("img", "src") => self.image(value.trim()),
            (_, "background") => {
                self.block(value);
                None
            }
            (_, "style") => {
                let filtered = style::filter(value);
                for _ in 0..filtered.addresses {
                    self.blocked.fetch_add(1, Ordering::Relaxed);
                }
                (!filtered.css.is_empty()).then_some(Cow::Owned(filtered.css))
            }
            ("a", "href") => has_scheme(value, &["http", "https", "mailto", "tel"]).then_some(Cow::Borrowed(value)),
            (_, "cite" | "href" | "src" | "longdesc") => None,
            _ => Some(Cow::Borrowed(value)),
        }
    }

    /// The address to load an image from, if it may be loaded.
    fn image<'v>(&self, value: &'v str) -> Option<Cow<'v, str>> {
        if has_scheme(value, &["cid"]) {
            // Content ids in links are percent-encoded (RFC 2392).
            let id = String::from_utf8_lossy(&charset::unescape(&value.as_bytes()[4..], b'%')).into_owned();
            let mut ids = self.inline_ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.push(id);
            return Some(Cow::Owned(format!("{}{}-", self.mark, ids.len() - 1)));
        }
        if has_scheme(value, &["data"]) {
            let lower: String = value.chars().take(32).collect::<String>().to_ascii_lowercase();
            let safe = ["png", "gif", "jpeg", "jpg", "webp"]
                .iter()
                .any(|kind| lower.starts_with(&format!("data:image/{kind};base64,")));
            return safe.then_some(Cow::Borrowed(value));
        }
        if self.remote_images && has_scheme(value, &["http", "https"]) {
            return Some(Cow::Borrowed(value));
        }
        self.block(value);
        None
    }

    fn block(&self, address: &str) {
        if has_scheme(address, &["http", "https"]) || address.starts_with("//") {
            self.blocked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn has_scheme(address: &str, schemes: &[&str]) -> bool {
    address
        .trim_start()
        .split_once(':')
        .is_some_and(|(scheme, _)| schemes.iter().any(|s| scheme.eq_ignore_ascii_case(s)))
}

/// Puts the addresses of inline images in place of their marks; none for one that the message does not hold.
fn put_in(html: &str, mark: &str, ids: &[String], inline_url: &(dyn Fn(&str) -> Option<String> + Sync)) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(mark) {
        out.push_str(&rest[..at]);
        rest = &rest[at + mark.len()..];
        let (number, tail) = rest.split_once('-').unwrap_or((rest, ""));
        rest = tail;
        let url = number.parse().ok().and_then(|number: usize| inline_url(ids.get(number)?));
        escape_into(url.as_deref().unwrap_or_default(), &mut out);
    }
    out.push_str(rest);
    out
}

/// HTML to plain text (links as footnotes), for the text alternative and quotes.
pub fn to_text(html: &str) -> String {
    if html.len() <= MAX_LAYOUT_BYTES {
        let html = within_limits(html);
        if let Ok(text) = html2text::from_read(html.as_bytes(), TEXT_WIDTH) {
            return text;
        }
    }
    to_search_text(html)
}

/// HTML to words for searching and previews: quick, without layout.
pub fn to_search_text(html: &str) -> String {
    let html = &html[..html.floor_char_boundary(MAX_HTML_BYTES)];
    mail_parser::decoders::html::html_to_text(html)
}

/// Plain text to HTML: escaped, links made clickable, quotes marked.
pub fn from_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut depth = 0;
    for line in text.lines() {
        let (quoted, content) = quote_depth(line);
        while depth < quoted {
            out.push_str("<blockquote>");
            depth += 1;
        }
        while depth > quoted {
            out.push_str("</blockquote>");
            depth -= 1;
        }
        link_into(content, &mut out);
        out.push_str("<br>\n");
    }
    for _ in 0..depth {
        out.push_str("</blockquote>");
    }
    out
}

/// Deepest quoting marked.
const MAX_QUOTE_DEPTH: usize = 10;

/// How deep a line is quoted, and what is quoted.
fn quote_depth(line: &str) -> (usize, &str) {
    let mut rest = line;
    let mut depth = 0;
    while depth < MAX_QUOTE_DEPTH
        && let Some(tail) = rest.strip_prefix('>')
    {
        depth += 1;
        rest = tail.strip_prefix(' ').unwrap_or(tail);
    }
    (depth, rest)
}

/// Escapes a line and makes its web addresses clickable.
fn link_into(line: &str, out: &mut String) {
    let mut rest = line;
    while let Some(at) = find_link(rest) {
        escape_into(&rest[..at], out);
        rest = &rest[at..];
        let end = rest.find(|c: char| c.is_whitespace() || "<>\"".contains(c)).unwrap_or(rest.len());
        let link = rest[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'']);
        let mut escaped = String::new();
        escape_into(link, &mut escaped);
        let _ =
            write!(out, "<a href=\"{escaped}\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">{escaped}</a>");
        rest = &rest[link.len()..];
    }
    escape_into(rest, out);
}

/// Where the next web address begins. One search for both schemes: one that never comes must not be looked for to the
/// end of the text after each of the other.
fn find_link(text: &str) -> Option<usize> {
    memchr::memmem::find_iter(text.as_bytes(), b"http").find(|at| {
        let rest = &text[at + b"http".len()..];
        rest.starts_with("://") || rest.starts_with("s://")
    })
}

/// Escapes text for HTML content and attributes.
pub(crate) fn escape_into(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}
