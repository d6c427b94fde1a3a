//! Decides which parts of a message are its text, which are files, and which are secondary parts that are only
//! mentioned (the algorithm of RFC 8621 section 4.1.4, and the cases it leaves open).

use crate::parsed::{Param, Parsed, Part};

/// A part with its IMAP number.
#[derive(Clone)]
pub(crate) struct Leaf<'a> {
    pub(crate) path: String,
    pub(crate) part: &'a Part,
    /// Subtype of the multipart it stands in (`related`: the HTML beside it may show it); empty if it is all there is.
    pub(crate) siblings: &'a str,
}

/// Why a part is neither text nor file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aside {
    /// Another form of the text that is shown (RFC 2046 section 5.1.4): AMP, rich text.
    OtherForm,
    /// A signature of the parts beside it.
    Signature,
    /// The part that says how the one beside it is encrypted.
    EncryptionHead,
    /// An invitation: what it says is shown.
    Calendar,
    /// The Macintosh half of a file (RFC 1740).
    ResourceFork,
}

/// The parts sorted by their use.
#[derive(Default)]
pub(crate) struct Layout<'a> {
    /// What a reader of plain text sees: `text/plain`, and `text/html` where there is nothing else.
    pub(crate) text: Vec<Leaf<'a>>,
    /// What a reader of HTML sees: `text/html`, inline images, and `text/plain` where there is nothing else.
    pub(crate) html: Vec<Leaf<'a>>,
    /// All else that may be a file; pictures among them may be shown by the HTML.
    pub(crate) attachments: Vec<Leaf<'a>>,
    /// What is told of, not listed.
    pub(crate) aside: Vec<(Aside, Leaf<'a>)>,
}

/// Sorts the parts of a message.
pub(crate) fn layout(parsed: &Parsed) -> Layout<'_> {
    let root = &parsed.root;
    let mut walk = Walk { out: Layout::default(), want_text: true, want_html: true };
    if root.is_multipart() {
        walk.children(root, "", root.subtype == "alternative");
    } else {
        let leaf = Leaf { path: "1".into(), part: root, siblings: "" };
        walk.leaf(leaf, true, false);
    }
    walk.out
}

impl Layout<'_> {
    /// Whether HTML is shown rather than text.
    pub(crate) fn has_html(&self) -> bool {
        self.html.iter().any(|leaf| leaf.part.is_text("html"))
    }
}

struct Walk<'a> {
    out: Layout<'a>,
    want_text: bool,
    want_html: bool,
}

impl<'a> Walk<'a> {
    fn children(&mut self, parent: &'a Part, prefix: &str, in_alternative: bool) {
        let (texts, htmls, asides) = (self.out.text.len(), self.out.html.len(), self.out.aside.len());
        let wanted = (self.want_text, self.want_html);
        let first = first_shown(parent);
        for (at, part) in parent.parts.iter().enumerate() {
            let path = format!("{prefix}{}", at + 1);
            if part.is_multipart() {
                let wanted = (self.want_text, self.want_html);
                let in_alternative = in_alternative || part.subtype == "alternative";
                self.children(part, &format!("{path}."), in_alternative);
                (self.want_text, self.want_html) = wanted;
            } else {
                let leaf = Leaf { path, part, siblings: &parent.subtype };
                self.leaf(leaf, at == first, in_alternative);
            }
        }
        (self.want_text, self.want_html) = wanted;
        if parent.subtype != "alternative" {
            return;
        }
        if self.want_text && self.want_html {
            let (text, html) = (&mut self.out.text, &mut self.out.html);
            if text.len() == texts {
                text.extend_from_slice(&html[htmls..]);
            } else if html.len() == htmls {
                html.extend_from_slice(&text[texts..]);
            }
        }
        if self.out.text.len() == texts && self.out.html.len() == htmls {
            // None of the forms can be shown: each is a file.
            for at in (asides..self.out.aside.len()).rev() {
                if self.out.aside[at].0 == Aside::OtherForm {
                    let (_, leaf) = self.out.aside.remove(at);
                    self.out.attachments.push(leaf);
                }
            }
        }
    }

    fn leaf(&mut self, leaf: Leaf<'a>, is_first: bool, in_alternative: bool) {
        let (part, siblings) = (leaf.part, leaf.siblings);
        if let Some(aside) = aside(part, siblings) {
            self.out.aside.push((aside, leaf));
            return;
        }
        let is_media = matches!(part.media_type.as_str(), "image" | "audio" | "video");
        let is_html = part.is_text("html");
        let is_plain = part.is_text("plain") || is_readable(part, siblings);
        let inline = !part.is_attachment()
            && (is_plain || is_html || is_media)
            && (is_first || (siblings != "related" && (is_media || part.file_name().is_none())));
        if !inline {
            self.out.attachments.push(leaf);
            return;
        }
        if siblings == "alternative" {
            if is_plain {
                self.out.text.push(leaf);
            } else if is_html {
                self.out.html.push(leaf);
            } else {
                self.out.attachments.push(leaf);
            }
            return;
        }
        if in_alternative {
            self.want_html &= !is_plain;
            self.want_text &= !is_html;
        }
        if self.want_text {
            self.out.text.push(leaf.clone());
        }
        if self.want_html {
            self.out.html.push(leaf.clone());
        }
        if is_media {
            // Shown in HTML at most; it must be possible to save it too.
            self.out.attachments.push(leaf);
        }
    }
}

/// Which child of a multipart is shown first. Of a `multipart/related` it is the one that `start` names (RFC 2387
/// section 3.2), or if the first can't be shown, the first that is text.
fn first_shown(parent: &Part) -> usize {
    if parent.subtype != "related" {
        return 0;
    }
    let start = parent.param("start").map(|id| id.trim_ascii());
    let named = start.filter(|id| !id.is_empty()).and_then(|start| {
        let bare = |id: &[u8]| String::from_utf8_lossy(id).trim().trim_matches(['<', '>']).to_owned();
        parent.parts.iter().position(|part| part.content_id.as_deref().is_some_and(|id| bare(id) == bare(start)))
    });
    named.unwrap_or_else(|| {
        let shows = |part: &Part| part.is_multipart() || part.is_text("html") || part.is_text("plain");
        parent.parts.iter().position(shows).unwrap_or(0)
    })
}

/// Text of a kind that is not known by name: it is read like `text/plain` (RFC 2046 section 4.1.4) where it is the
/// message's own words and no file. In a `multipart/alternative` the known forms are preferred.
fn is_readable(part: &Part, siblings: &str) -> bool {
    /// What is no prose, whatever it says of itself.
    const NO_PROSE: [&str; 14] = [
        "calendar",
        "rtf",
        "vcard",
        "x-vcard",
        "directory",
        "css",
        "javascript",
        "xml",
        "csv",
        "x-amp-html",
        "watch-html",
        "x-watch-html",
        "rfc822-headers",
        "rfc822-header",
    ];
    let subtype = part.subtype.as_str();
    part.media_type == "text"
        && subtype != "html"
        && siblings != "alternative"
        && !NO_PROSE.contains(&subtype)
        && (siblings.is_empty() || part.file_name().is_none())
}

fn aside(part: &Part, siblings: &str) -> Option<Aside> {
    match part.content_type().as_str() {
        "application/pgp-signature" | "application/pkcs7-signature" | "application/x-pkcs7-signature" => {
            return Some(Aside::Signature);
        }
        "application/pgp-encrypted" => return Some(Aside::EncryptionHead),
        "application/applefile" if siblings == "appledouble" => return Some(Aside::ResourceFork),
        _ => {}
    }
    if part.media_type != "text" || part.is_attachment() {
        return None;
    }
    let unnamed = || part.file_name().is_none();
    if part.is_text("calendar") {
        return (siblings == "alternative" || siblings.is_empty() || unnamed()).then_some(Aside::Calendar);
    }
    let other = siblings == "alternative" && !matches!(part.subtype.as_str(), "plain" | "html") && unnamed();
    other.then_some(Aside::OtherForm)
}

impl Part {
    /// The file name it was given (`filename` of Content-Disposition, or `name` of Content-Type), decoded; as the
    /// sender wrote it, so not to be trusted.
    pub fn file_name(&self) -> Option<String> {
        self.file_name_or(None)
    }

    /// [`Self::file_name`], given the character set of raw 8-bit text ([`Parsed::header_charset`]).
    pub fn file_name_or(&self, hint: Option<&str>) -> Option<String> {
        let of = |params: &[Param], name| crate::params::decoded(params, name, hint);
        self.disposition
            .as_ref()
            .and_then(|d| of(&d.params, "filename"))
            .or_else(|| of(&self.params, "name"))
            .filter(|name| !name.trim().is_empty())
    }

    /// The character set named by the part.
    pub fn charset(&self) -> Option<&str> {
        std::str::from_utf8(self.param("charset")?).ok()
    }

    /// Content-ID without its angle brackets.
    pub fn bare_content_id(&self) -> Option<&str> {
        let id = std::str::from_utf8(self.content_id.as_deref()?).ok()?.trim();
        let id = id.strip_prefix('<').unwrap_or(id);
        Some(id.strip_suffix('>').unwrap_or(id)).filter(|id| !id.is_empty())
    }

    /// Whether it is `text/` of that subtype.
    pub(crate) fn is_text(&self, subtype: &str) -> bool {
        self.media_type == "text" && self.subtype == subtype
    }

    /// Whether the sender wants it to be a file, not a part of the text.
    pub(crate) fn is_attachment(&self) -> bool {
        self.disposition.as_ref().is_some_and(|d| d.kind == "attachment")
    }
}
