//! Which parts of a message are its text and which its attachments (the algorithm of RFC 8621 section 4.1.4).

use crate::parsed::{Param, Parsed, Part};

/// A part with its IMAP number.
#[derive(Clone)]
pub(crate) struct Leaf<'a> {
    pub(crate) path: String,
    pub(crate) part: &'a Part,
    /// It stands in a `multipart/related`, that is, the HTML beside it may show it.
    pub(crate) in_related: bool,
}

/// The parts sorted by their use.
#[derive(Default)]
pub(crate) struct Layout<'a> {
    /// What a reader of plain text sees: `text/plain`, and `text/html` where there is nothing else.
    pub(crate) text: Vec<Leaf<'a>>,
    /// What a reader of HTML sees: `text/html`, inline images, and `text/plain` where there is nothing else.
    pub(crate) html: Vec<Leaf<'a>>,
    pub(crate) attachments: Vec<Leaf<'a>>,
}

/// Sorts the parts of a message.
pub(crate) fn layout(parsed: &Parsed) -> Layout<'_> {
    let root = &parsed.root;
    let mut walk = Walk { out: Layout::default(), want_text: true, want_html: true };
    if root.is_multipart() {
        walk.children(root, "", root.subtype == "alternative");
    } else {
        let leaf = Leaf { path: "1".into(), part: root, in_related: false };
        walk.leaf(leaf, 0, "mixed", false);
    }
    walk.out
}

struct Walk<'a> {
    out: Layout<'a>,
    want_text: bool,
    want_html: bool,
}

impl<'a> Walk<'a> {
    fn children(&mut self, parent: &'a Part, prefix: &str, in_alternative: bool) {
        let texts = self.out.text.len();
        let htmls = self.out.html.len();
        let wanted = (self.want_text, self.want_html);
        for (at, part) in parent.parts.iter().enumerate() {
            let path = format!("{prefix}{}", at + 1);
            if part.is_multipart() {
                let wanted = (self.want_text, self.want_html);
                let in_alternative = in_alternative || part.subtype == "alternative";
                self.children(part, &format!("{path}."), in_alternative);
                (self.want_text, self.want_html) = wanted;
            } else {
                let leaf = Leaf { path, part, in_related: parent.subtype == "related" };
                self.leaf(leaf, at, &parent.subtype, in_alternative);
            }
        }
        (self.want_text, self.want_html) = wanted;
        if parent.subtype == "alternative" && self.want_text && self.want_html {
            let (text, html) = (&mut self.out.text, &mut self.out.html);
            if text.len() == texts {
                text.extend_from_slice(&html[htmls..]);
            } else if html.len() == htmls {
                html.extend_from_slice(&text[texts..]);
            }
        }
    }

    fn leaf(&mut self, leaf: Leaf<'a>, at: usize, siblings: &str, in_alternative: bool) {
        let part = leaf.part;
        let is_media = matches!(part.media_type.as_str(), "image" | "audio" | "video");
        let is_plain = part.media_type == "text" && part.subtype == "plain";
        let is_html = part.media_type == "text" && part.subtype == "html";
        let is_attachment = part.disposition.as_ref().is_some_and(|d| d.kind == "attachment");
        let inline = !is_attachment
            && (is_plain || is_html || is_media)
            && (at == 0 || (siblings != "related" && (is_media || part.file_name().is_none())));
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

/// Types that come along with a message without anybody having attached them.
const NOT_ATTACHED: [&str; 6] = [
    "application/pgp-signature",
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
    "application/pgp-encrypted",
    "message/delivery-status",
    "message/disposition-notification",
];

/// Whether a person would say that the message has attachments.
pub(crate) fn has_attachment(layout: &Layout<'_>) -> bool {
    layout.attachments.iter().any(|leaf| {
        let part = leaf.part;
        let shown_inline = part.content_id.is_some()
            && (leaf.in_related || part.disposition.as_ref().is_some_and(|d| d.kind == "inline"));
        !shown_inline && !NOT_ATTACHED.contains(&part.content_type().as_str())
    })
}

impl Part {
    /// The file name it was given (`filename` of Content-Disposition, or `name` of Content-Type), decoded; as the
    /// sender wrote it, so not to be trusted.
    pub fn file_name(&self) -> Option<String> {
        let of = |params: &[Param], name| crate::params::decoded(params, name);
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
}
