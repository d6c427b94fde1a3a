//! Gathering the bytes of one command, up to each literal header.

use std::fmt;

/// `{n}`, `{n+}` or `~{n}` at the end of a line (RFC 9051 section 4.3, RFC 7888, RFC 3516).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiteralHeader {
    /// How many bytes follow.
    pub len: u64,
    /// The client waits for `+` before it sends them.
    pub synchronizing: bool,
    /// `~{n}`: the bytes may contain NUL.
    pub binary: bool,
}

/// What a [`Frame`] needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes from the client.
    More,
    /// A decision about the literal that follows: [`Frame::accept_literal`], [`Frame::discard`], or
    /// [`Frame::resume`] after reading it elsewhere.
    Literal(LiteralHeader),
    /// Nothing: the command is complete in [`Frame::bytes`].
    Complete,
}

/// Why a frame can not go on. The connection must be closed: where the next command starts is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The command is longer than the limit, in bytes.
    TooLong(usize),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(limit) => write!(f, "Command too long: the limit is {limit} bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Largest buffer kept for the next command; more is given back at [`Frame::reset`].
const KEEP_CAPACITY: usize = 512;

/// The bytes of one command as they arrive, in pieces of any size.
///
/// Literals that were accepted stand in [`Frame::bytes`] as on the wire, header included. Lines end in CRLF; a bare
/// LF is taken too, since people type commands by hand.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    line_start: usize,
    literal_left: u64,
    skipping: bool,
    limit: usize,
}

impl Frame {
    /// A frame for commands of at most `limit` bytes, accepted literals included.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), line_start: 0, literal_left: 0, skipping: false, limit }
    }

    /// Changes the limit, from the next byte on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes from `input` what belongs to this command, up to the next decision. Returns how much was taken.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Progress), FrameError> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            if rest.is_empty() {
                return Ok((taken, Progress::More));
            }
            if self.literal_left > 0 {
                let n = usize::try_from(self.literal_left).unwrap_or(usize::MAX).min(rest.len());
                if !self.skipping {
                    self.bytes.extend_from_slice(&rest[..n]);
                }
                self.literal_left -= n as u64;
                taken += n;
                continue;
            }
            let (n, line_done) = match rest.iter().position(|&b| b == b'\n') {
                Some(at) => (at + 1, true),
                None => (rest.len(), false),
            };
            if n > self.room() {
                // What fits is kept: the tag, to answer with.
                self.bytes.extend_from_slice(&rest[..self.room()]);
                return Err(FrameError::TooLong(self.limit));
            }
            self.bytes.extend_from_slice(&rest[..n]);
            taken += n;
            if !line_done {
                return Ok((taken, Progress::More));
            }
            let header = literal_header(&self.bytes[self.line_start..]);
            if self.skipping {
                self.bytes.clear();
                match header {
                    // A client that waits for `+` has been answered: this was the end.
                    Some(header) if !header.synchronizing => self.literal_left = header.len,
                    _ => self.reset(),
                }
                continue;
            }
            return Ok((taken, header.map_or(Progress::Complete, Progress::Literal)));
        }
    }

    /// What arrived so far: whole lines and accepted literals.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// No byte of a command has arrived yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.literal_left == 0 && !self.skipping
    }

    /// How long a literal may still be accepted into this frame.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// Takes the literal just announced into [`Frame::bytes`]. Check [`Frame::room`] before.
    pub fn accept_literal(&mut self, header: LiteralHeader) {
        self.literal_left = header.len;
        self.line_start = self.bytes.len() + usize::try_from(header.len).unwrap_or(usize::MAX / 2);
    }

    /// Throws the announced literal away, and every following byte of this command: it was answered already.
    /// The frame is ready for the next command by itself.
    pub fn discard(&mut self, header: LiteralHeader) {
        self.skipping = true;
        self.bytes.clear();
        self.line_start = 0;
        self.literal_left = header.len;
    }

    /// The literal was read elsewhere; the frame goes on with the rest of the line.
    pub fn resume(&mut self) {
        self.line_start = self.bytes.len();
    }

    /// The command was answered: ready for the next one. Gives big buffers back.
    pub fn reset(&mut self) {
        if self.bytes.capacity() > KEEP_CAPACITY {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
        self.line_start = 0;
        self.literal_left = 0;
        self.skipping = false;
    }
}

/// The tag of a command, if its first word is one.
pub fn tag_of(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|b| matches!(b, b' ' | b'\r' | b'\n')).unwrap_or(bytes.len());
    let tag = &bytes[..end];
    let good = !tag.is_empty() && tag.len() <= super::MAX_TAG && tag.iter().all(|&b| super::cursor::is_tag_char(b));
    if good { std::str::from_utf8(tag).ok() } else { None }
}

/// The literal header that ends `line`, unless it stands inside a quoted string.
fn literal_header(line: &[u8]) -> Option<LiteralHeader> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let body = line.strip_suffix(b"}")?;
    let open = body.iter().rposition(|&b| b == b'{')?;
    let digits = &body[open + 1..];
    let (digits, synchronizing) = match digits.strip_suffix(b"+") {
        Some(d) => (d, false),
        None => (digits, true),
    };
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if in_quotes(&line[..open]) {
        return None;
    }
    let len = digits.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0'));
    Some(LiteralHeader { len, synchronizing, binary: open > 0 && line[open - 1] == b'~' })
}

/// Whether a quoted string is open at the end of `text`.
fn in_quotes(text: &[u8]) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for &b in text {
        if escaped {
            escaped = false;
        } else if quoted && b == b'\\' {
            escaped = true;
        } else if b == b'"' {
            quoted = !quoted;
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(line: &str) -> Option<(u64, bool, bool)> {
        literal_header(line.as_bytes()).map(|h| (h.len, h.synchronizing, h.binary))
    }

    #[test]
    fn literal_headers_are_told_from_text() {
        assert_eq!(header("a LOGIN {5}\r\n"), Some((5, true, false)));
        assert_eq!(header("a LOGIN {5+}\r\n"), Some((5, false, false)));
        assert_eq!(header("a APPEND x ~{12+}\r\n"), Some((12, false, true)));
        assert_eq!(header("a LOGIN \"x {5}\r\n"), None);
        assert_eq!(header("a LOGIN \"x\\\" {5}\r\n"), None);
        assert_eq!(header("a LOGIN \"x\" {5}\n"), Some((5, true, false)));
        assert_eq!(header("a LOGIN {}\r\n"), None);
        assert_eq!(header("a LOGIN {5-}\r\n"), None);
        assert_eq!(header("a LOGIN {99999999999999999999}\r\n"), None);
    }

    #[test]
    fn a_refused_literal_is_swallowed_with_the_rest_of_its_command() {
        let mut frame = Frame::new(100);
        let input = b"a LOGIN {5+}\r\nhello {3+}\r\nabc x\r\nb NOOP\r\n";
        let (n, Progress::Literal(h)) = frame.feed(input).unwrap() else { panic!("literal") };
        frame.discard(h);
        let (m, p) = frame.feed(&input[n..]).unwrap();
        assert_eq!((n + m, p), (input.len(), Progress::Complete));
        assert_eq!(frame.bytes(), b"b NOOP\r\n");
    }

    #[test]
    fn a_line_beyond_the_limit_is_an_error() {
        let mut frame = Frame::new(10);
        assert_eq!(frame.feed(b"a 12345678901234").unwrap_err(), FrameError::TooLong(10));
    }
}
