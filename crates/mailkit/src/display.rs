//! What a reader page needs of a message.

use crate::Parsed;

/// How to show a message.
pub struct ReadOptions<'a> {
    /// Load images from the net (they tell the sender who reads when).
    pub remote_images: bool,
    /// The address of an inline image, given its part number (`1.2`); shown in place of `cid:` links.
    pub inline_url: &'a (dyn Fn(&str) -> String + Sync),
}

/// A message made ready to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The text; made from the HTML if the message has no text part.
    pub text: String,
    /// The HTML, cleaned, if the message has any.
    pub html: Option<String>,
    /// Remote images left out of `html`.
    pub remote_images_blocked: usize,
    /// Attachments, inline images that the HTML shows left out.
    pub attachments: Vec<Attachment>,
}

/// An attachment (or any part that one may want to save).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// IMAP part number (`2`, `1.3`).
    pub part: String,
    /// File name, decoded, without any path; made up if the message gives none.
    pub name: String,
    /// `type/subtype`.
    pub content_type: String,
    /// Decoded size in bytes (near enough, from the encoded size).
    pub size: u64,
    /// Content-ID without angle brackets.
    pub content_id: Option<String>,
    /// Meant to be shown inside the text.
    pub inline: bool,
}

/// Makes a message ready to be read.
pub fn show(_raw: &[u8], _parsed: &Parsed, _options: &ReadOptions<'_>) -> Shown {
    todo!()
}

/// The attachments alone, from the stored record.
pub fn attachments(_parsed: &Parsed) -> Vec<Attachment> {
    todo!()
}

/// The decoded bytes of a part by its number, for downloads. `None` if there is no such part.
pub fn part_content(_raw: &[u8], _parsed: &Parsed, _part: &str) -> Option<Vec<u8>> {
    todo!()
}

/// All readable text of a message for searching: text parts, HTML as text; not the header.
pub fn search_text(_raw: &[u8], _parsed: &Parsed) -> String {
    todo!()
}

/// The text of a reply: an attribution line and the original with `> ` before each line.
pub fn quote(_text: &str, _attribution: &str) -> String {
    todo!()
}

/// `Re: ` (or `Fwd: `) once, whatever the subject had.
pub fn reply_subject(_subject: &str, _prefix: &str) -> String {
    todo!()
}
