//! The structure scanner: one pass over the raw bytes gives the tree of MIME parts with exact offsets.
//!
//! Written here rather than taken from a library because IMAP's promises hang on every byte of it, for broken mail as
//! well. The rules, which are those of the widespread servers:
//!
//! * A header ends at the first empty line, at a boundary of an enclosing multipart, or at the end.
//! * A boundary line begins with `--` and the boundary; what follows it on the line does not matter (RFC 2046
//!   section 5.1.1). If several enclosing boundaries match, the longest does. The line break before it belongs to it.
//! * A boundary of an outer multipart ends all inner parts, closed or not. So does the end of the message.
//! * A multipart in which no boundary occurs gets one `text/plain` child that covers its body, for there must be one.

use memchr::{memchr_iter, memmem};

use crate::envelope;
use crate::headers::{self, is_empty_line, line_end, unfold};
use crate::params;
use crate::parsed::{Disposition, Envelope, Param, Part};

/// Deepest nesting of parts; deeper ones are not looked into. Stored records nest likewise (prost's limit is 100).
pub const MAX_DEPTH: usize = 50;

/// Most parts of one message; after the last the rest belongs to it.
pub const MAX_PARTS: usize = 1_000;

/// Bytes of one header that are read for fields. (Offsets are exact for headers of any size.)
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// Longest value kept of one MIME field or parameter.
pub const MAX_VALUE_BYTES: usize = 4 * 1024;

/// Raw header bytes kept of one message in all, so that its record stays well below a store value's limit.
pub const MAX_KEPT_BYTES: usize = 384 * 1024;

/// Longest boundary heeded. RFC 2046 allows 70.
const MAX_BOUNDARY_BYTES: usize = 256;

/// Longest type, subtype or encoding name.
const MAX_NAME_BYTES: usize = 100;

/// What a scan gives.
pub(crate) struct Scanned {
    pub(crate) root: Part,
    pub(crate) envelope: Envelope,
    pub(crate) truncated: bool,
}

/// Scans a raw message.
pub(crate) fn scan(raw: &[u8]) -> Scanned {
    let mut scanner = Scanner {
        raw,
        pos: 0,
        line_feeds: 0,
        open: Vec::new(),
        active: 0,
        parts: 0,
        budget: Budget::new(),
        delimiter: memmem::Finder::new(b"\n--"),
    };
    let envelope = scanner.enter(Implied::Text, true);
    while let Some(found) = scanner.next_delimiter() {
        scanner.close_above(found.level, found.line.start);
        scanner.advance(found.line.end);
        if found.closing {
            scanner.open[found.level].boundary = None;
            scanner.active -= 1;
        } else {
            let default = scanner.open[found.level].default;
            scanner.enter(default, false);
        }
    }
    scanner.advance(raw.len());
    let root = scanner.close_all();
    Scanned { root, envelope: envelope.unwrap_or_default(), truncated: scanner.budget.exceeded }
}

/// The header bytes that may still be kept.
pub(crate) struct Budget {
    left: usize,
    /// Something was cut or left out.
    pub(crate) exceeded: bool,
}

impl Budget {
    fn new() -> Self {
        Self { left: MAX_KEPT_BYTES, exceeded: false }
    }

    /// Cuts a value to what may be kept.
    pub(crate) fn keep(&mut self, mut value: Vec<u8>) -> Vec<u8> {
        let allowed = MAX_VALUE_BYTES.min(self.left);
        if value.len() > allowed {
            value.truncate(allowed);
            self.exceeded = true;
        }
        self.left -= value.len();
        value
    }

    /// Counts what costs space beside its bytes; false if nothing is left.
    pub(crate) fn charge(&mut self, bytes: usize) -> bool {
        if self.left < bytes {
            self.exceeded = true;
            return false;
        }
        self.left -= bytes;
        true
    }
}

/// What a part without Content-Type is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Implied {
    Text,
    /// In `multipart/digest`.
    Message,
}

/// A part whose end has not been seen.
struct Open {
    part: Part,
    /// The boundary that separates its children; `None` if it is no multipart or its last boundary was seen.
    boundary: Option<Vec<u8>>,
    /// For its children.
    default: Implied,
    line_feeds_at_body: u64,
}

struct Delimiter {
    line: std::ops::Range<usize>,
    /// Index into the open parts of the multipart it belongs to.
    level: usize,
    closing: bool,
}

struct Scanner<'a> {
    raw: &'a [u8],
    /// Start of a line, or the end.
    pos: usize,
    /// LFs before `pos`.
    line_feeds: u64,
    /// Root first; each is the parent of the next.
    open: Vec<Open>,
    /// Open parts with a boundary.
    active: usize,
    parts: usize,
    budget: Budget,
    delimiter: memmem::Finder<'static>,
}

impl Scanner<'_> {
    fn advance(&mut self, to: usize) {
        self.line_feeds += memchr_iter(b'\n', &self.raw[self.pos..to]).count() as u64;
        self.pos = to;
    }

    /// Opens the part whose header begins here, and if it is a message, the one inside, and so on. Gives the envelope
    /// if the part is the root of a message.
    fn enter(&mut self, default: Implied, is_message_root: bool) -> Option<Envelope> {
        let own = self.open_part(default, is_message_root);
        while self.open.last().is_some_and(|open| open.part.is_message()) {
            let at = self.open.len() - 1;
            let envelope = self.open_part(Implied::Text, true);
            self.open[at].part.envelope = envelope.map(Box::new);
        }
        own
    }

    fn open_part(&mut self, default: Implied, is_message_root: bool) -> Option<Envelope> {
        self.parts += 1;
        let header_start = self.pos;
        let is_cut = self.skip_header();
        let header = &self.raw[header_start..self.pos];
        // The line break before a boundary belongs to it, also where no empty line ends the header (RFC 2046 section
        // 5.1.1).
        let ending = if is_cut { line_break_at_end(header) } else { 0 };
        let header = &header[..header.len().min(MAX_HEADER_BYTES)];
        let mut part = read_part(header, default, &mut self.budget);
        part.header_start = header_start as u64;
        part.body_start = (self.pos - ending) as u64;
        let line_feeds_at_body = self.line_feeds - u64::from(ending > 0);
        let mut open = Open { part, boundary: None, default: Implied::Text, line_feeds_at_body };
        // Room for this part, a child and that child's message root.
        let room = self.open.len() + 3 <= MAX_DEPTH && self.parts < MAX_PARTS;
        let is_message = open.part.media_type == "message" && matches!(open.part.subtype.as_str(), "rfc822" | "global");
        if (is_message || open.part.is_multipart()) && !room {
            self.budget.exceeded = true;
            open.part.media_type = "application".into();
            open.part.subtype = "octet-stream".into();
        } else if is_message {
            // Marks it as a message; the caller puts the true one in its place.
            open.part.envelope = Some(Box::default());
        } else if open.part.is_multipart() {
            open.boundary = boundary_of(&open.part);
            self.active += usize::from(open.boundary.is_some());
            if open.part.subtype == "digest" {
                open.default = Implied::Message;
            }
        }
        self.open.push(open);
        is_message_root.then(|| envelope::read(header, &mut self.budget))
    }

    /// Goes past the header that begins here; `true` if a boundary ends it, not an empty line.
    fn skip_header(&mut self) -> bool {
        let mut is_cut = false;
        let mut end = self.pos;
        while end < self.raw.len() {
            let rest = &self.raw[end..];
            let line = line_end(rest);
            if is_empty_line(rest) {
                end += line;
                break;
            }
            if self.active > 0 && rest.starts_with(b"--") && self.boundary_at(&rest[..line]).is_some() {
                is_cut = true;
                break;
            }
            end += line;
        }
        self.advance(end);
        is_cut
    }

    /// The next boundary line at or after `pos`.
    fn next_delimiter(&mut self) -> Option<Delimiter> {
        let mut start = self.pos;
        while self.active > 0 && start < self.raw.len() {
            if !self.raw[start..].starts_with(b"--") {
                start += self.delimiter.find(&self.raw[start..])? + 1;
            }
            let end = start + line_end(&self.raw[start..]);
            if let Some((level, closing)) = self.boundary_at(&self.raw[start..end]) {
                if closing || self.parts < MAX_PARTS {
                    return Some(Delimiter { line: start..end, level, closing });
                }
                self.budget.exceeded = true;
            }
            start = end;
        }
        None
    }

    /// To which open multipart a line that begins with `--` belongs, and whether it is its last.
    fn boundary_at(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?;
        let mut best: Option<(usize, &[u8])> = None;
        for (level, open) in self.open.iter().enumerate().rev() {
            if let Some(boundary) = &open.boundary
                && let Some(tail) = line.strip_prefix(boundary.as_slice())
                && best.is_none_or(|(_, shortest)| tail.len() < shortest.len())
            {
                best = Some((level, tail));
                // "foo--" can end the boundary "foo" or continue the boundary "foo--": exact matches end the search.
                if matches!(tail.trim_ascii_end(), b"" | b"--") {
                    break;
                }
            }
        }
        best.map(|(level, tail)| (level, tail.starts_with(b"--")))
    }

    /// Closes all parts inside the one at `level`, because a boundary line begins at `line_start`.
    fn close_above(&mut self, level: usize, line_start: usize) {
        self.advance(line_start);
        while self.open.len() > level + 1 {
            self.close_last(true);
        }
    }

    fn close_all(&mut self) -> Part {
        loop {
            if let Some(root) = self.close_last(false) {
                return root;
            }
        }
    }

    /// Closes the innermost part here; gives it back if it was the root. `delimited`: a boundary follows, to which
    /// the line break before it belongs.
    fn close_last(&mut self, delimited: bool) -> Option<Part> {
        let open = self.open.pop().expect("the root is open until it is given back");
        self.active -= usize::from(open.boundary.is_some());
        let mut part = open.part;
        let floor = part.parts.last().map_or(part.body_start, |child| child.body_end);
        let mut end = self.pos;
        let mut line_feeds = self.line_feeds;
        let line_break = if delimited { line_break_at_end(&self.raw[..end]) } else { 0 };
        if line_break > 0 {
            end -= line_break;
            line_feeds -= 1;
        }
        if (end as u64) < floor {
            // An empty body: the line break is the empty line that ended its header.
            end = self.pos;
            line_feeds = self.line_feeds;
        }
        part.body_end = end as u64;
        part.lines = line_feeds - open.line_feeds_at_body;
        if part.is_multipart() && part.parts.is_empty() {
            part.parts.push(only_child(&part));
        }
        match self.open.last_mut() {
            Some(parent) => {
                parent.part.parts.push(part);
                None
            }
            None => Some(part),
        }
    }
}

/// How long the line break is that ends `text`.
fn line_break_at_end(text: &[u8]) -> usize {
    match text {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// The child of a multipart in which no boundary occurs.
fn only_child(parent: &Part) -> Part {
    Part {
        header_start: parent.body_start,
        body_start: parent.body_start,
        body_end: parent.body_end,
        lines: parent.lines,
        encoding: "7bit".into(),
        ..default_type(Implied::Text)
    }
}

fn boundary_of(part: &Part) -> Option<Vec<u8>> {
    let boundary = part.param("boundary")?.trim_ascii_end();
    (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()).then(|| boundary.to_vec())
}

fn default_type(default: Implied) -> Part {
    match default {
        Implied::Text => {
            Part { media_type: "text".into(), subtype: "plain".into(), params: vec![us_ascii()], ..Part::default() }
        }
        Implied::Message => Part { media_type: "message".into(), subtype: "rfc822".into(), ..Part::default() },
    }
}

fn us_ascii() -> Param {
    Param { name: "charset".into(), value: b"us-ascii".to_vec() }
}

/// Reads the MIME fields of a part's header. The first of each name counts.
fn read_part(header: &[u8], default: Implied, budget: &mut Budget) -> Part {
    let mut part = default_type(default);
    let mut seen = 0u8;
    for field in headers::fields(header) {
        let Some(rest) = strip_prefix_ignore_case(field.name, b"content-") else {
            continue;
        };
        let Some(bit) = MIME_FIELDS.iter().position(|name| rest.eq_ignore_ascii_case(name)) else {
            continue;
        };
        if seen & (1 << bit) != 0 {
            continue;
        }
        seen |= 1 << bit;
        let value = unfold(field.value);
        match bit {
            0 => read_type(&value, &mut part, budget),
            1 => {
                let name = params::read(&value).head;
                let name = name.trim_matches('"');
                if (1..=MAX_NAME_BYTES).contains(&name.len()) {
                    name.clone_into(&mut part.encoding);
                }
            }
            2 => part.disposition = read_disposition(&value, budget),
            3 => part.content_id = Some(budget.keep(value)),
            4 => part.description = Some(budget.keep(value)),
            5 => part.md5 = Some(budget.keep(value)),
            6 => part.location = Some(budget.keep(value)),
            _ => {
                part.languages = params::written_head(&value)
                    .split(',')
                    .filter(|tag| (1..=MAX_NAME_BYTES).contains(&tag.len()))
                    .take(params::MAX_PARAMS)
                    .filter(|tag| budget.charge(tag.len()))
                    .map(str::to_owned)
                    .collect();
            }
        }
    }
    if part.encoding.is_empty() {
        part.encoding = "7bit".into();
    }
    part
}

/// Names after `Content-`; their places are used in [`read_part`].
const MIME_FIELDS: [&[u8]; 8] =
    [b"type", b"transfer-encoding", b"disposition", b"id", b"description", b"md5", b"location", b"language"];

fn strip_prefix_ignore_case<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = name.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Content-Type. One that can not be read leaves the default, as RFC 2045 section 5.2 says.
fn read_type(value: &[u8], part: &mut Part, budget: &mut Budget) {
    let read = params::read(value);
    let Some((media_type, subtype)) = read.head.split_once('/') else {
        return;
    };
    let is_name = |name: &str| {
        (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(|c: char| "()<>@,;:\\\"/[]?=".contains(c))
    };
    if !is_name(media_type) || !is_name(subtype) {
        return;
    }
    media_type.clone_into(&mut part.media_type);
    subtype.clone_into(&mut part.subtype);
    part.params = keep_params(read.params, budget);
    let names_charset = part.params.iter().any(|param| matches!(param.name.as_str(), "charset" | "charset*"));
    if part.media_type == "text" && !names_charset {
        part.params.push(us_ascii());
    }
}

fn read_disposition(value: &[u8], budget: &mut Budget) -> Option<Disposition> {
    let read = params::read(value);
    if read.head.is_empty() && read.params.is_empty() {
        return None;
    }
    // Unknown kinds are treated as attachments (RFC 2183 section 2.8); so is a missing one.
    let kind = match read.head.as_str() {
        head if (1..=MAX_NAME_BYTES).contains(&head.len()) => head.to_owned(),
        _ => "attachment".to_owned(),
    };
    Some(Disposition { kind, params: keep_params(read.params, budget) })
}

fn keep_params(params: Vec<Param>, budget: &mut Budget) -> Vec<Param> {
    let mut kept = Vec::with_capacity(params.len());
    for param in params {
        if param.name.len() <= MAX_NAME_BYTES && budget.charge(param.name.len()) {
            kept.push(Param { name: param.name, value: budget.keep(param.value) });
        }
    }
    kept
}
