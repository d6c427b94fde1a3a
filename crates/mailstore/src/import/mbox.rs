//! Reads mbox files.
//!
//! A message starts with a `From ` line and ends before the next one. Within a message, either all lines that started
//! with `From `, `>From `, `>>From ` and so on have an extra `>` (mboxrd), or only the first kind (mboxo); one `>` is
//! removed in both cases. `Content-Length` fields are not trusted.
//!
//! A `From ` line that does not end with the usual date starts a message only between an empty line and a header field.

use std::io::{self, BufRead};

use super::from_line::{self, FromLine, Reading};
use super::gmail;
use crate::{Flags, Keyword, SystemFlag};

/// Why a message could not be read.
#[derive(Debug)]
pub enum Error {
    /// The file does not begin with a `From ` line: it is no mbox.
    NoFromLine,
    /// A message is larger than allowed; reading goes on with the next one.
    TooLarge {
        /// Where its text begins, in bytes from the start.
        offset: u64,
    },
    /// The file can not be read.
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One message of an mbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MboxMessage {
    /// Its bytes, quotes taken off.
    pub bytes: Vec<u8>,
    /// The date of its `From ` line.
    pub date_ms: Option<i64>,
    /// Where it ends, in bytes from the start of the file.
    pub end: u64,
}

/// Reads message by message; holds one in memory.
pub struct Reader<R> {
    source: R,
    limit: u64,
    offset: u64,
    /// The `From ` line that was read last, and whether it ended with CRLF.
    begun: Option<(FromLine, bool)>,
    /// A line that was looked at and not yet taken.
    ahead: Option<Vec<u8>>,
    started: bool,
}

impl<R: BufRead> Reader<R> {
    /// Read from `source`, messages of at most `limit` bytes.
    pub fn new(source: R, limit: u64) -> Self {
        Self { source, limit, offset: 0, begun: None, ahead: None, started: false }
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// See [`Error`]; after [`Error::TooLarge`] the next message can be read.
    pub fn next_message(&mut self) -> Result<Option<MboxMessage>, Error> {
        let mut line = Vec::new();
        if !self.started {
            self.started = true;
            // Some programs leave empty lines or a byte order mark at the start.
            loop {
                if self.read_line(&mut line)? == 0 {
                    return Ok(None);
                }
                if let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf") {
                    line = rest.to_vec();
                }
                if !matches!(&line[..], b"\n" | b"\r\n" | b"") {
                    break;
                }
            }
            self.begun = Some(self.begins(&line, true)?.ok_or(Error::NoFromLine)?);
        }
        let Some((from, crlf)) = self.begun.take() else { return Ok(None) };
        let start = self.offset;
        let mut bytes = Vec::new();
        let mut too_large = false;
        let mut after_empty = true;
        let end = loop {
            let end = self.offset;
            if self.read_line(&mut line)? == 0 {
                break end;
            }
            if let Some(begun) = self.begins(&line, after_empty)? {
                self.begun = Some(begun);
                break end;
            }
            after_empty = matches!(&line[..], b"\n" | b"\r\n");
            if (bytes.len() + line.len()) as u64 > self.limit {
                too_large = true;
                bytes.clear();
            }
            if !too_large {
                let quotes = line.iter().take_while(|b| **b == b'>').count();
                let quoted = quotes > 0 && line[quotes..].starts_with(b"From ");
                bytes.extend_from_slice(&line[usize::from(quoted)..]);
            }
        };
        if too_large {
            return Err(Error::TooLarge { offset: start });
        }
        // The empty line before the next `From ` line is not the message's.
        let (line_end, empty_line): (&[u8], &[&[u8]]) =
            if crlf { (b"\r\n", &[b"\r\n\r\n"]) } else { (b"\n", &[b"\n\n", b"\n\r\n"]) };
        if from.ours {
            if bytes.ends_with(b"\n") {
                bytes.pop();
            }
        } else if empty_line.iter().any(|empty| bytes.ends_with(empty)) || bytes == line_end {
            bytes.truncate(bytes.len() - line_end.len());
        }
        Ok(Some(MboxMessage { bytes, date_ms: from.date_ms, end }))
    }

    /// Whether a line begins a message; `after_empty` if the line before it is empty.
    fn begins(&mut self, line: &[u8], after_empty: bool) -> io::Result<Option<(FromLine, bool)>> {
        if !line.starts_with(b"From ") {
            return Ok(None);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let (text, crlf) = text.strip_suffix(b"\r").map_or((text, false), |text| (text, true));
        Ok(match from_line::read(text) {
            Some(Reading::Certain(from)) => Some((from, crlf)),
            Some(Reading::Perhaps(from)) if after_empty && self.header_follows()? => Some((from, crlf)),
            _ => None,
        })
    }

    /// Whether the next line is a header field.
    fn header_follows(&mut self) -> io::Result<bool> {
        if self.ahead.is_none() {
            let (mut line, offset) = (Vec::new(), self.offset);
            self.read_line(&mut line)?;
            self.offset = offset;
            self.ahead = Some(line);
        }
        Ok(self.ahead.as_deref().is_some_and(is_field))
    }

    /// Read a line with its end. Of a line beyond the limit only so much is kept that the limit is noticed.
    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<usize> {
        line.clear();
        if let Some(ahead) = self.ahead.take() {
            *line = ahead;
            self.offset += line.len() as u64;
            return Ok(line.len());
        }
        let mut length = 0;
        loop {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let (used, done) = match buffer.iter().position(|b| *b == b'\n') {
                Some(end) => (end + 1, true),
                None => (buffer.len(), false),
            };
            if line.len() as u64 <= self.limit {
                line.extend_from_slice(&buffer[..used]);
            }
            self.source.consume(used);
            length += used;
            if done {
                break;
            }
        }
        self.offset += length as u64;
        Ok(length)
    }
}

/// Whether a line is a header field: a name of printable characters, and a colon.
pub(super) fn is_field(line: &[u8]) -> bool {
    /// Longer names are text.
    const MAX_NAME: usize = 76;
    let end = line.iter().take(MAX_NAME + 1).position(|b| *b == b':');
    end.is_some_and(|end| end > 0 && line[..end].iter().all(u8::is_ascii_graphic))
}

/// What a message's own header says of how its owner had it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub flags: Flags,
    /// Its owner deleted it, and the program only left it in the file until the folder is compacted.
    pub deleted: bool,
    /// Where Gmail had it.
    pub target: Option<gmail::Target>,
    /// Labels and keywords that could not be kept.
    pub lost: u64,
}

/// Bits of `X-Mozilla-Status:`.
const MOZILLA: [(u32, SystemFlag); 3] =
    [(0x0001, SystemFlag::Seen), (0x0002, SystemFlag::Answered), (0x0004, SystemFlag::Flagged)];
const MOZILLA_DELETED: u32 = 0x0008;
const MOZILLA_FORWARDED: u32 = 0x1000;
/// Bits of `X-Mozilla-Status2:` where old versions kept one label, 1 to 5.
const MOZILLA_LABEL_SHIFT: u32 = 25;

/// What mail programs keep in `Status:`, `X-Status:` and `X-Keywords:` (mutt, Dovecot, Alpine), `X-Mozilla-Status:`,
/// `X-Mozilla-Status2:` and `X-Mozilla-Keys:` (Thunderbird), `X-Gmail-Labels:` (Gmail's export).
///
/// The latter two write their fields above all that came with the message. Further down they are somebody else's words,
/// who must not decide what is left out.
pub(super) fn kept_of(message: &[u8]) -> Kept {
    let header = &message[mailkit::headers::header_range(message)];
    let value = |name: &str| mailkit::headers::value(header, name);
    let on_top = |name: &str| {
        let mut top = mailkit::headers::fields(header)
            .take_while(|field| field.name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"x-")));
        top.find(|field| field.is(name)).map(|field| mailkit::headers::unfold(field.value))
    };
    let mut kept = Kept::default();
    if let Some(labels) = on_top("X-Gmail-Labels") {
        let labels = gmail::read(&mailkit::headers::decode_text(&labels));
        kept = Kept { flags: labels.flags, deleted: false, target: Some(labels.target), lost: labels.lost };
    }
    for letter in ["Status", "X-Status"].into_iter().filter_map(value).flatten() {
        match letter {
            b'R' => kept.flags.insert(SystemFlag::Seen),
            b'A' => kept.flags.insert(SystemFlag::Answered),
            b'F' => kept.flags.insert(SystemFlag::Flagged),
            b'D' => kept.flags.insert(SystemFlag::Deleted),
            b'T' => kept.flags.insert(SystemFlag::Draft),
            _ => {}
        }
    }
    let hex = |name: &str| {
        let digits = on_top(name)?;
        u32::from_str_radix(String::from_utf8_lossy(&digits).trim(), 16).ok()
    };
    let (status, status2) = (hex("X-Mozilla-Status").unwrap_or(0), hex("X-Mozilla-Status2").unwrap_or(0));
    for (bit, flag) in MOZILLA {
        if status & bit != 0 {
            kept.flags.insert(flag);
        }
    }
    kept.deleted = status & MOZILLA_DELETED != 0;
    let mut words: Vec<String> = Vec::new();
    if status & MOZILLA_FORWARDED != 0 {
        words.push("$Forwarded".to_owned());
    }
    let label = status2 >> MOZILLA_LABEL_SHIFT & 7;
    if (1..=5).contains(&label) {
        words.push(format!("$Label{label}"));
    }
    for found in [value("X-Keywords"), on_top("X-Mozilla-Keys")].into_iter().flatten() {
        words.extend(String::from_utf8_lossy(&found).split([' ', ',', '\t']).map(str::to_owned));
    }
    for word in words.iter().filter(|word| !word.is_empty()) {
        let fits = Keyword::new(word).is_ok_and(|keyword| kept.flags.insert_keyword(keyword).is_ok());
        kept.lost += u64::from(!fits);
    }
    kept
}

/// The date of the `Date:` field.
pub(super) fn date_of(message: &[u8]) -> Option<i64> {
    let header = &message[mailkit::headers::header_range(message)];
    let date = mailkit::headers::value(header, "Date")?;
    mailkit::date::parse(&String::from_utf8_lossy(&date))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(mbox: &[u8]) -> Vec<Vec<u8>> {
        let mut reader = Reader::new(mbox, 1_000);
        std::iter::from_fn(|| reader.next_message().unwrap()).map(|message| message.bytes).collect()
    }

    #[test]
    fn messages_are_told_apart_and_unquoted() {
        let mbox = b"From a@b Mon Nov 23 14:50:10 2026\nA: 1\n\n>From x\n>>From y\n> From z\nFrom here on\n\n\
            From a@b Mon Nov 23 14:50:10 2026\n\nlast";
        let expected: [&[u8]; 2] = [b"A: 1\n\nFrom x\n>From y\n> From z\nFrom here on\n", b"\nlast"];
        assert_eq!(messages(mbox), expected);
    }

    #[test]
    fn an_empty_line_at_the_end_is_the_files_and_a_line_end_the_messages() {
        let from = "From a@b Mon Nov 23 14:50:10 2026\n";
        assert_eq!(messages(format!("{from}a\n\n{from}b\n").as_bytes()), [b"a\n", b"b\n"]);
        assert_eq!(messages(format!("{from}a\n{from}b\n\n").as_bytes()), [b"a\n", b"b\n"]);
        assert_eq!(messages(format!("{from}\n{from}").as_bytes()), [b"", b""]);
        let from = "From a@b Mon Nov 23 14:50:10 2026\r\n";
        assert_eq!(messages(format!("{from}a\r\n\r\n{from}b\r\n").as_bytes()), [b"a\r\n", b"b\r\n"]);
    }

    #[test]
    fn a_message_too_large_is_passed_over_and_the_next_one_read() {
        let from = "From a@b Mon Nov 23 14:50:10 2026\n";
        let mbox = format!("{from}{}\n{}\n\n{from}b\n", "x".repeat(600), "y".repeat(600));
        let mut reader = Reader::new(mbox.as_bytes(), 1_000);
        assert!(matches!(reader.next_message(), Err(Error::TooLarge { offset: 34 })));
        assert_eq!(reader.next_message().unwrap().unwrap().bytes, b"b\n");
        assert!(reader.next_message().unwrap().is_none());
    }

    #[test]
    fn uncommon_from_lines_begin_a_message_between_an_empty_line_and_a_header() {
        let rfc = "From a@b Tue, 03 Mar 2020 08:32:00 +0100\n";
        let mbox =
            format!("From a@b.example\nA: 1\n\nx\n\n{rfc}B: 2\n\ny\n{rfc}C: 3\n\n{rfc}no field here\n\n{rfc}D: 4\n");
        let expected =
            ["A: 1\n\nx\n".to_owned(), format!("B: 2\n\ny\n{rfc}C: 3\n\n{rfc}no field here\n"), "D: 4\n".into()];
        assert_eq!(messages(mbox.as_bytes()), expected.map(String::into_bytes));
        assert_eq!(messages(b"\xef\xbb\xbf\nFrom a@b Tue Mar  3 08:30 2020\nA: 1\n"), [b"A: 1\n"]);
    }

    #[test]
    fn what_programs_keep_in_headers_is_read() {
        for (header, flags) in [
            ("Status: RO\nX-Status: AF\n", "\\Answered \\Flagged \\Seen"),
            ("X-Mozilla-Status: 0001\nX-Mozilla-Keys: $label1 work      \n", "\\Seen $Label1 work"),
            ("X-Mozilla-Status: 0007\n", "\\Answered \\Flagged \\Seen"),
            ("X-Mozilla-Status: 1003\n", "\\Answered \\Seen $Forwarded"),
            ("X-Mozilla-Status: 0000\nX-Mozilla-Status2: 04000000\n", "$Label2"),
            ("X-Mozilla-Status: 0000\n", ""),
            ("X-Mozilla-Status: zzzz\n", ""),
            ("X-Gmail-Labels: Inbox,Starred,\n Opened\n", "\\Flagged \\Seen"),
            ("X-Gmail-Labels: =?UTF-8?Q?Archived,Opened,R=C3=A9union?=\n", "\\Seen"),
            ("X-Keywords: a, b\n", "a b"),
            ("Subject: none\n", ""),
        ] {
            let kept = kept_of(format!("{header}\ntext\n").as_bytes());
            assert_eq!((kept.flags.to_string().as_str(), kept.deleted), (flags, false), "{header}");
        }
        let foreign = b"Received: by x\nX-Mozilla-Status: 0009\nX-Gmail-Labels: Trash\n\n";
        assert_eq!(kept_of(foreign), Kept::default());
        for status in ["0008", "0009", "100f", "000A"] {
            assert!(kept_of(format!("X-Mozilla-Status: {status}\n\n").as_bytes()).deleted, "{status}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(Reader::new(&b"Return-Path: <a>\n"[..], 100).next_message(), Err(Error::NoFromLine)));
        assert!(Reader::new(&b"\n\n"[..], 100).next_message().unwrap().is_none());
    }
}
