//! HTML of strangers, made harmless.

/// Longest HTML cleaned, in bytes; the rest is cut.
pub const MAX_HTML_BYTES: usize = 5 * 1024 * 1024;

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
    /// Remote images replaced.
    pub remote_images_blocked: usize,
}

/// Cleans a message's HTML by an allow-list.
pub fn clean(_html: &str, _options: &CleanOptions<'_>) -> Cleaned {
    todo!()
}

/// HTML to plain text (links as footnotes), for the text alternative and quotes.
pub fn to_text(_html: &str) -> String {
    todo!()
}

/// HTML to words for searching and previews: quick, without layout.
pub fn to_search_text(html: &str) -> String {
    mail_parser::decoders::html::html_to_text(html)
}

/// Plain text to HTML: escaped, links made clickable, quotes marked.
pub fn from_text(_text: &str) -> String {
    todo!()
}
