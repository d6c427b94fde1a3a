//! Sanitizes untrusted HTML.
//!
//! An allow-list (ammonia) decides on tags and attributes; styles, including those in `<style>`, are parsed token by
//! token and rewritten ([`crate::css`]), so nothing in them can load, cover or script anything; addresses are checked
//! ([`crate::meant`]). The result must still be shown in a sandboxed frame under a strict content security policy: one
//! layer may have a hole, but hardly two in the same place.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ammonia::{Builder, UrlRelative};

use crate::css::sheet::{ROOT, Sheet, prefixed};
use crate::css::{colour, declarations, is_plain_name};
use crate::links::{Link, LinkKind, links};
use crate::meant::{self, Meant};
use crate::{charset, ground, tame, wording};

/// Longest HTML cleaned, in bytes; the rest is cut.
pub const MAX_HTML_BYTES: usize = 5 * 1024 * 1024;

/// Most tags looked at; the rest is cut.
pub const MAX_TAGS: usize = 40_000;

/// Longest HTML turned into laid-out text; longer ones become plain words.
const MAX_LAYOUT_BYTES: usize = 512 * 1024;

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

/// Tags beyond ammonia's own list: what HTML mail is built of, and the box around its content.
const MORE_TAGS: [&str; 5] = ["font", "big", "tfoot", "label", ROOT];

/// Attributes allowed anywhere. `style`, `class`, `id` and `background` are rewritten or dropped by the filter.
const ATTRIBUTES: [&str; 25] = [
    "lang",
    "title",
    "dir",
    "style",
    "class",
    "id",
    "hidden",
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

/// Most characters of a class attribute.
const MAX_CLASS_BYTES: usize = 500;

/// For links to elsewhere.
const REL: &str = "noopener noreferrer nofollow";

/// Cleans a message's HTML by an allow-list.
pub fn clean(html: &str, options: &CleanOptions<'_>) -> Cleaned {
    let (mut html, sheet, remote_images_blocked) = clean_apart(html, options);
    if !sheet.css.is_empty() {
        html.insert_str(0, &format!("<style>{}</style>", sheet.css));
    }
    Cleaned { html, remote_images_blocked }
}

/// [`clean`], the style sheet apart.
fn clean_apart(html: &str, options: &CleanOptions<'_>) -> (String, Sheet, usize) {
    // Links bear a name that the message can not know until they have been judged: all of them come to the filter.
    let link = format!("m-{:032x}", rand::random::<u128>());
    let tamed = within_limits(html, &link);
    let sheet = sheet_of(&tamed);
    let filter = Arc::new(Filter {
        remote_images: options.remote_images,
        blocked: AtomicUsize::new(if options.remote_images { 0 } else { sheet.addresses }),
        lost_ground: AtomicBool::new(sheet.rules.iter().any(|rule| rule.declarations.lost_ground)),
        inline_ids: Mutex::new(Vec::new()),
        mark: format!("cid:{:032x}-", rand::random::<u128>()),
        base: tamed.base.clone(),
        link: link.clone(),
    });
    let shared = Arc::clone(&filter);
    let mut builder = Builder::default();
    builder
        .add_tags(MORE_TAGS)
        .clean_content_tags(tame::DROPPED.into_iter().collect())
        .generic_attributes(ATTRIBUTES.into_iter().collect())
        .add_tag_attributes("img", ["usemap"])
        .add_tag_attributes("map", ["name"])
        .add_tag_attributes("area", ["shape", "coords", link.as_str()])
        .add_tag_attributes("a", [link.as_str()])
        .url_schemes(["http", "https", "cid", "data"].into_iter().collect())
        // Relative addresses are the attribute filter's to judge.
        .url_relative(UrlRelative::PassThrough)
        .link_rel(Some(REL))
        .set_tag_attribute_value("a", "target", "_blank")
        .set_tag_attribute_value("area", "target", "_blank")
        .set_tag_attribute_value("img", "referrerpolicy", "no-referrer")
        .strip_comments(true)
        .attribute_filter(move |tag, name, value| shared.attribute(tag, name, value));
    let boxed = boxed(&tamed, &sheet);
    let mut cleaned = builder.clean(&boxed).to_string();
    if filter.lost_ground.load(Ordering::Relaxed) {
        cleaned = ground::keep(&cleaned, &sheet);
    }
    let (title, href) = (format!(" {link}=\"{link}"), format!(" {link}=\""));
    let cleaned = cleaned.replace(&title, " title=\"").replace(&href, " href=\"");
    let ids = filter.inline_ids.lock().unwrap_or_else(PoisonError::into_inner);
    let html = put_in(&cleaned, &filter.mark, &ids, options.inline_url);
    (html, sheet, filter.blocked.load(Ordering::Relaxed))
}

/// Within the limits of length, tags, nesting and attributes (see [`tame`]).
fn within_limits(html: &str, link: &str) -> tame::Tamed {
    tame::tame(&html[..html.floor_char_boundary(MAX_HTML_BYTES)], MAX_TAGS, link)
}

/// The style sheet of a message: what attributes of its `<body>` say of colours, then its own.
fn sheet_of(tamed: &tame::Tamed) -> Sheet {
    let mut css = String::new();
    let attribute = |name: &str| tamed.root.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    for (name, rule) in [("bgcolor", "body{background-color:"), ("text", "body{color:"), ("link", "a:link{color:")] {
        if let Some(colour) = attribute(name).and_then(colour::legacy) {
            let _ = write!(css, "{rule}{colour}}}");
        }
    }
    let mut sheet = Sheet::default();
    sheet.add(&css, None);
    for (css, media) in &tamed.styles {
        sheet.add(css, media.as_deref());
    }
    sheet
}

/// The content of a message in the box that stands for its `<body>`, if anything is said of that.
fn boxed<'t>(tamed: &'t tame::Tamed, sheet: &Sheet) -> Cow<'t, str> {
    const OF_BOX: [&str; 6] = ["style", "class", "id", "background", "dir", "lang"];
    let attributes: Vec<_> = tamed.root.iter().filter(|(name, _)| OF_BOX.contains(&name.as_str())).collect();
    // What was cleaned before has its box.
    let has_box = tamed.html.contains(&format!("<{ROOT}"));
    if attributes.is_empty() && (!sheet.names_root || has_box) {
        return Cow::Borrowed(&tamed.html);
    }
    let mut out = format!("<{ROOT}");
    for (name, value) in attributes {
        let _ = write!(out, " {name}=\"{}\"", value.replace('"', "&quot;"));
    }
    let _ = write!(out, ">{}</{ROOT}>", tamed.html);
    Cow::Owned(out)
}

struct Filter {
    remote_images: bool,
    blocked: AtomicUsize,
    /// A picture that was the ground of something is not loaded.
    lost_ground: AtomicBool,
    /// Content ids met, in order.
    inline_ids: Mutex<Vec<String>>,
    /// Stands, with a number, for an address that is put in afterwards; the message can not know it.
    mark: String,
    /// What relative addresses of links are relative to.
    base: Option<String>,
    /// The name that links bear (see [`clean`]).
    link: String,
}

impl Filter {
    fn attribute<'v>(&self, tag: &str, name: &str, value: &'v str) -> Option<Cow<'v, str>> {
        match (tag, name) {
            ("img", "src") => self.image(value.trim()),
            (_, "background") => {
                self.block(value);
                self.lost_ground.store(true, Ordering::Relaxed);
                // A mark for what follows, which takes it out.
                Some(Cow::Borrowed(""))
            }
            (_, "style") => {
                let declarations = declarations::of_attribute(value);
                if !self.remote_images {
                    self.blocked.fetch_add(declarations.addresses, Ordering::Relaxed);
                }
                let lost = declarations.lost_ground && declarations.ground_is_seen_through();
                let mut css = declarations.css;
                if lost {
                    self.lost_ground.store(true, Ordering::Relaxed);
                    css.push_str(if css.is_empty() { ground::MARK } else { "; " });
                    if !css.ends_with(ground::MARK) {
                        css.push_str(ground::MARK);
                    }
                }
                (!css.is_empty()).then_some(Cow::Owned(css))
            }
            (_, "class") => {
                let names = value[..value.floor_char_boundary(MAX_CLASS_BYTES)].split_ascii_whitespace();
                let names: Vec<String> = names.filter(|name| is_plain_name(name)).map(prefixed).collect();
                (!names.is_empty()).then(|| Cow::Owned(names.join(" ")))
            }
            (_, "id") | ("map", "name") => is_plain_name(value.trim()).then(|| Cow::Owned(prefixed(value.trim()))),
            ("img", "usemap") => {
                let map = value.trim().trim_start_matches('#');
                is_plain_name(map).then(|| Cow::Owned(format!("#{}", prefixed(map))))
            }
            ("a" | "area", link) if link == self.link => match meant::of(value, self.base.as_deref()) {
                Meant::Address(address) => Some(Cow::Owned(address)),
                // What was meant can be seen, and not followed.
                Meant::Nothing => meant::told(value).map(|told| Cow::Owned(format!("{}{told}", self.link))),
            },
            (_, "cite" | "href" | "src" | "longdesc" | "usemap" | "name") => None,
            (_, "hidden") => Some(Cow::Borrowed("")),
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
        let there = meant::of_picture(value);
        if self.remote_images {
            return there.map(Cow::Owned);
        }
        if there.is_some() {
            self.blocked.fetch_add(1, Ordering::Relaxed);
        }
        None
    }

    /// Counts a picture that is not loaded until the reader asks, and one that never is.
    fn block(&self, address: &str) {
        if !self.remote_images && meant::of_picture(address).is_some() {
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

/// HTML as lines of words, for the text alternative and quotes.
pub fn to_text(html: &str) -> String {
    if html.len() > MAX_LAYOUT_BYTES {
        return to_search_text(html);
    }
    let (html, sheet, _) = clean_apart(html, &CleanOptions { remote_images: false, inline_url: &|_| None });
    wording::lines(&html, &sheet)
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
    let mut done = 0;
    for Link { range, kind } in links(line) {
        let scheme = match kind {
            LinkKind::Web => "",
            LinkKind::WithoutScheme => "https://",
            LinkKind::Mail => "mailto:",
        };
        escape_into(&line[done..range.start], out);
        let mut link = String::new();
        escape_into(&line[range.clone()], &mut link);
        let _ =
            write!(out, "<a href=\"{scheme}{link}\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">{link}</a>");
        done = range.end;
    }
    escape_into(&line[done..], out);
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
