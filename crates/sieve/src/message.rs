//! The message that a script looks at and edits.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use mailkit::{Parsed, Part, headers};

use crate::pieces::{self, Stretch};

/// A message with its header as it is now. Cheap to clone.
#[derive(Clone)]
pub struct Message {
    raw: Arc<[u8]>,
    fields: Arc<Vec<Field>>,
    header_end: usize,
    /// What `raw` is made of, where it is not the message as it came.
    made_of: Option<Arc<Vec<Stretch>>>,
    /// Its length as it came, as far as it is looked at.
    came_bytes: u64,
    is_edited: bool,
    /// The size of the whole of it, where only the beginning is looked at.
    whole: Option<u64>,
    parts: Arc<OnceLock<Parts>>,
}

/// A header field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Empty for lines of the header that are no field.
    pub name: String,
    /// As it stands in the message, with its line break.
    pub raw: Vec<u8>,
    /// Where it stands in the message; `None` if a script added it.
    at: Option<usize>,
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

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("size", &self.size())
            .field("is_edited", &self.is_edited)
            .finish_non_exhaustive()
    }
}

impl Field {
    fn new(name: &[u8], raw: &[u8], at: usize) -> Self {
        Self { name: String::from_utf8_lossy(name).into_owned(), raw: raw.to_vec(), at: Some(at), text: Arc::default() }
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
        let fields = fields_with_gaps(&raw, header_end);
        Self {
            header_end,
            fields: Arc::new(fields),
            made_of: None,
            came_bytes: raw.len() as u64,
            raw,
            is_edited: false,
            whole: None,
            parts: Arc::default(),
        }
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
        for piece in self.own_pieces() {
            match piece {
                Stretch::Original(range) => out.extend_from_slice(&self.raw[range.start as usize..range.end as usize]),
                Stretch::Text(text) => out.extend_from_slice(&text),
            }
        }
        out.into()
    }

    /// What it is made of now: pieces of the message as it came, all of it, and texts.
    pub fn pieces(&self) -> Vec<Stretch> {
        let mut pieces = self.whole_pieces();
        if let Some(whole) = self.whole.filter(|whole| *whole > self.came_bytes) {
            // The rest, which is not looked at, follows what comes before it.
            for piece in &mut pieces {
                if let Stretch::Original(range) = piece
                    && range.end == self.came_bytes
                {
                    range.end = whole;
                }
            }
        }
        pieces
    }

    fn whole_pieces(&self) -> Vec<Stretch> {
        let own = if self.is_edited { self.own_pieces() } else { vec![Stretch::Original(0..self.raw.len() as u64)] };
        match &self.made_of {
            Some(made_of) => pieces::within(&own, made_of),
            None => own,
        }
    }

    /// Whether it became another message, of which the old one is a part at most (`replace`, `enclose`).
    pub fn is_rebuilt(&self) -> bool {
        self.made_of.is_some()
    }

    /// Whether only the beginning of it is here.
    pub(crate) fn is_cut(&self) -> bool {
        self.whole.is_some_and(|whole| whole > self.came_bytes)
    }

    /// What it is made of now, by places in `raw`.
    fn own_pieces(&self) -> Vec<Stretch> {
        let mut out = Vec::new();
        for field in self.fields.iter() {
            match field.at {
                Some(at) => pieces::push(&mut out, Stretch::Original(at as u64..(at + field.raw.len()) as u64)),
                None => pieces::push(&mut out, Stretch::Text(field.raw.clone())),
            }
            if !field.raw.ends_with(b"\n") {
                pieces::push(&mut out, Stretch::Text(b"\r\n".to_vec()));
            }
        }
        let (end, all) = (self.header_end as u64, self.raw.len() as u64);
        let header = &self.raw[..self.header_end];
        if !header.is_empty() && headers::fields(header).next().is_none() && !is_blank(header) {
            // There is no header: what was read as one is text.
            pieces::push(&mut out, Stretch::Text(b"\r\n".to_vec()));
            pieces::push(&mut out, Stretch::Original(0..all));
            return out;
        }
        match blank_bytes(header) {
            0 => pieces::push(&mut out, Stretch::Text(b"\r\n".to_vec())),
            bytes => pieces::push(&mut out, Stretch::Original(end - bytes..end)),
        }
        pieces::push(&mut out, Stretch::Original(end..all));
        out
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
        let field = Field { name: name.to_owned(), raw: line, at: None, text: Arc::default() };
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

    /// Becomes another message, made of pieces of what it is now (`enclose`, `replace`).
    pub(crate) fn become_pieces(&mut self, pieces: &[Stretch]) {
        let now = self.bytes();
        let mut raw = Vec::new();
        for piece in pieces {
            match piece {
                Stretch::Original(range) => raw.extend_from_slice(&now[range.start as usize..range.end as usize]),
                Stretch::Text(text) => raw.extend_from_slice(text),
            }
        }
        let made_of = pieces::within(pieces, &self.whole_pieces());
        let (came_bytes, whole) = (self.came_bytes, self.whole);
        *self = Self { made_of: Some(Arc::new(made_of)), came_bytes, whole, is_edited: true, ..Self::new(raw) };
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

/// The fields of a header, and between them the lines that are none.
fn fields_with_gaps(raw: &[u8], header_end: usize) -> Vec<Field> {
    let header = &raw[..header_end];
    let end = header_end - blank_bytes(header) as usize;
    let (mut out, mut at) = (Vec::new(), 0);
    for field in headers::fields(header) {
        let begin = field.raw.as_ptr() as usize - raw.as_ptr() as usize;
        if begin > at {
            out.push(Field::new(b"", &raw[at..begin], at));
        }
        out.push(Field::new(field.name, field.raw, begin));
        at = begin + field.raw.len();
    }
    if !out.is_empty() && end > at {
        out.push(Field::new(b"", &raw[at..end], at));
    }
    out
}

fn is_blank(header: &[u8]) -> bool {
    matches!(header, b"\n" | b"\r\n")
}

/// The length of the empty line that ends a header; 0 if none does.
fn blank_bytes(header: &[u8]) -> u64 {
    if is_blank(header) {
        header.len() as u64
    } else if header.ends_with(b"\n\r\n") {
        2
    } else {
        u64::from(header.ends_with(b"\n\n"))
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
