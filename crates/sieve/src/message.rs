//! The message that a script looks at and edits.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use mailkit::{Parsed, Part, headers};

/// A message with its header as it is now. Cheap to clone.
#[derive(Clone)]
pub struct Message {
    raw: Arc<[u8]>,
    fields: Arc<Vec<Field>>,
    header_end: usize,
    is_edited: bool,
    /// The size of the whole of it, where only the beginning is looked at.
    whole: Option<u64>,
    parts: Arc<OnceLock<Parts>>,
}

/// A header field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub name: String,
    /// As it stands in the message, with its line break.
    pub raw: Vec<u8>,
    /// Unfolded, words decoded.
    pub text: Arc<OnceLock<String>>,
}

/// The MIME parts, in the order in which they begin.
struct Parts {
    raw: Arc<[u8]>,
    parts: Vec<FlatPart>,
}

/// A MIME part, without its children.
#[derive(Clone)]
pub(crate) struct FlatPart {
    pub part: Part,
    /// The first part that is not within it.
    pub end: usize,
}

impl Field {
    fn new(name: &[u8], raw: &[u8]) -> Self {
        Self { name: String::from_utf8_lossy(name).into_owned(), raw: raw.to_vec(), text: Arc::default() }
    }

    /// The value without folds, otherwise as written.
    pub fn unfolded(&self) -> Vec<u8> {
        let colon = self.raw.iter().position(|&c| c == b':').map_or(self.raw.len(), |at| at + 1);
        headers::unfold(&self.raw[colon..])
    }

    pub fn text(&self) -> &str {
        self.text.get_or_init(|| headers::decode_text(&self.unfolded()).trim().to_owned())
    }
}

impl Message {
    /// A message of bytes.
    pub fn new(raw: impl Into<Arc<[u8]>>) -> Self {
        let raw = raw.into();
        let header_end = headers::header_range(&raw).end;
        let fields = headers::fields(&raw[..header_end]).map(|field| Field::new(field.name, field.raw)).collect();
        Self { raw, fields: Arc::new(fields), header_end, is_edited: false, whole: None, parts: Arc::default() }
    }

    /// Its size in bytes, as it is now.
    pub fn size(&self) -> u64 {
        match self.whole {
            _ if self.is_edited => self.bytes().len() as u64,
            Some(size) => size,
            None => self.raw.len() as u64,
        }
    }

    /// Of that size, although only its beginning is looked at.
    #[must_use]
    pub fn of_size(self, bytes: u64) -> Self {
        Self { whole: Some(bytes), ..self }
    }

    /// Whether a script changed it.
    pub fn is_edited(&self) -> bool {
        self.is_edited
    }

    /// Its bytes as they are now.
    pub fn bytes(&self) -> Arc<[u8]> {
        if !self.is_edited {
            return Arc::clone(&self.raw);
        }
        let mut out = Vec::with_capacity(self.raw.len() + 256);
        for field in self.fields.iter() {
            out.extend_from_slice(&field.raw);
            if !field.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
        let body = &self.raw[self.header_end..];
        let before = &self.raw[..self.header_end];
        out.extend_from_slice(if before.ends_with(b"\n\n") && !before.ends_with(b"\r\n\n") { b"\n" } else { b"\r\n" });
        out.extend_from_slice(body);
        out.into()
    }

    /// The fields of a name, first to last.
    pub(crate) fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
    }

    /// The first field of that name, unfolded and decoded.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(Field::text)
    }

    /// The values of all fields of that name, unfolded and decoded.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields(name).map(Field::text)
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, name: &str, line: Vec<u8>, last: bool) {
        let field = Field { name: name.to_owned(), raw: line, text: Arc::default() };
        let fields = Arc::make_mut(&mut self.fields);
        if last {
            fields.push(field);
        } else {
            fields.insert(0, field);
        }
        self.changed();
    }

    /// Keeps the fields for which `keep` is true; it gets their place among all fields.
    pub(crate) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let mut at = 0;
        Arc::make_mut(&mut self.fields).retain(|_| {
            at += 1;
            keep(at - 1)
        });
        self.changed();
    }

    /// All fields.
    pub(crate) fn all(&self) -> &[Field] {
        &self.fields
    }

    fn changed(&mut self) {
        self.is_edited = true;
        self.parts = Arc::default();
    }

    /// Other bytes in place of all of it (`enclose`, `replace`).
    pub(crate) fn become_bytes(&mut self, bytes: Vec<u8>) {
        *self = Self { is_edited: true, ..Self::new(bytes) };
    }

    fn parsed(&self) -> &Parts {
        self.parts.get_or_init(|| {
            let raw = self.bytes();
            let parsed: Parsed = mailkit::parse(&raw);
            let mut parts = Vec::new();
            flatten(&parsed.root, &mut parts);
            Parts { raw, parts }
        })
    }

    /// The MIME parts; the message itself is the first.
    pub(crate) fn parts(&self) -> &[FlatPart] {
        &self.parsed().parts
    }

    /// Bytes of the message that [`Self::parts`] are of.
    pub(crate) fn slice(&self, range: Range<u64>) -> &[u8] {
        self.parsed().raw.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// The body as it is; `None` if not even an empty line ends the header (RFC 5173 section 4).
    pub(crate) fn body(&self) -> Option<&[u8]> {
        let header = &self.raw[..self.header_end];
        let has_end = header.ends_with(b"\n\r\n") || header.ends_with(b"\n\n") || matches!(header, b"\n" | b"\r\n");
        has_end.then(|| &self.raw[self.header_end..])
    }

    /// The text of a part: decoded, and of HTML what can be read.
    pub(crate) fn text_of(&self, part: &Part, max: usize) -> Option<String> {
        let text = match mailkit::decoded_text(&self.parsed().raw, part, max) {
            Some(text) => text,
            None if part.media_type == "application" && part.subtype == "xhtml+xml" => {
                return Some(mailkit::html::to_text(&self.content_of(part, max)));
            }
            None => return None,
        };
        Some(if part.subtype == "html" { mailkit::html::to_text(&text) } else { text })
    }

    /// The content of a part as text, decoded but not read as HTML; of anything, not only of text.
    pub(crate) fn content_of(&self, part: &Part, max: usize) -> String {
        if let Some(text) = mailkit::decoded_text(&self.parsed().raw, part, max) {
            return text;
        }
        let body = self.slice(part.body_start..part.body_end);
        let body = &body[..body.len().min(max)];
        let decoded = mailkit::charset::decode_transfer(&part.encoding, body).unwrap_or(body.into());
        String::from_utf8_lossy(&decoded).into_owned()
    }
}

fn flatten(part: &Part, out: &mut Vec<FlatPart>) {
    let at = out.len();
    out.push(FlatPart { part: Part { parts: Vec::new(), ..part.clone() }, end: 0 });
    for child in &part.parts {
        flatten(child, out);
    }
    out[at].end = out.len();
}
