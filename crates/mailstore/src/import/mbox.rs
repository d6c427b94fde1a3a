//! Reading mbox files.
//!
//! A message begins with a `From ` line and goes up to the next. Within it, lines that began with `From ` have had a
//! `>` put before them, as well as those that began with `>From `, `>>From ` and so on (mboxrd), or only the former
//! (mboxo); one `>` is taken off either way. `Content-Length` fields are not believed.

use std::io::{self, BufRead};

use super::from_line;
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
    begun: Option<(from_line::FromLine, bool)>,
    started: bool,
}

impl<R: BufRead> Reader<R> {
    /// Read from `source`, messages of at most `limit` bytes.
    pub fn new(source: R, limit: u64) -> Self {
        Self { source, limit, offset: 0, begun: None, started: false }
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// See [`Error`]; after [`Error::TooLarge`] the next message can be read.
    pub fn next_message(&mut self) -> Result<Option<MboxMessage>, Error> {
        let mut line = Vec::new();
        if !self.started {
            self.started = true;
            // Some programs leave empty lines at the start.
            loop {
                if self.read_line(&mut line)? == 0 {
                    return Ok(None);
                }
                if !matches!(&line[..], b"\n" | b"\r\n") {
                    break;
                }
            }
            self.begun = Some(begin(&line).ok_or(Error::NoFromLine)?);
        }
        let Some((from, crlf)) = self.begun.take() else { return Ok(None) };
        let start = self.offset;
        let mut bytes = Vec::new();
        let mut too_large = false;
        let end = loop {
            let end = self.offset;
            if self.read_line(&mut line)? == 0 {
                break end;
            }
            if let Some(begun) = begin(&line) {
                self.begun = Some(begun);
                break end;
            }
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
        Ok(Some(MboxMessage { bytes, date_ms: Some(from.date_ms), end }))
    }

    /// Read a line with its end. Of a line beyond the limit only so much is kept that the limit is noticed.
    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<usize> {
        line.clear();
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

fn begin(line: &[u8]) -> Option<(from_line::FromLine, bool)> {
    if !line.starts_with(b"From ") {
        return None;
    }
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let (text, crlf) = text.strip_suffix(b"\r").map_or((text, false), |text| (text, true));
    from_line::read(text).map(|from| (from, crlf))
}

/// The flags that mail programs keep in `Status:`, `X-Status:` and `X-Keywords:` fields.
pub(super) fn flags_of(message: &[u8]) -> Flags {
    let header = &message[mailkit::headers::header_range(message)];
    let mut flags = Flags::NONE;
    for name in ["Status", "X-Status"] {
        for letter in mailkit::headers::value(header, name).unwrap_or_default() {
            match letter {
                b'R' => flags.insert(SystemFlag::Seen),
                b'A' => flags.insert(SystemFlag::Answered),
                b'F' => flags.insert(SystemFlag::Flagged),
                b'D' => flags.insert(SystemFlag::Deleted),
                b'T' => flags.insert(SystemFlag::Draft),
                _ => {}
            }
        }
    }
    let keywords = mailkit::headers::value(header, "X-Keywords").unwrap_or_default();
    for word in String::from_utf8_lossy(&keywords).split([' ', ',', '\t']) {
        if let Ok(keyword) = Keyword::new(word) {
            // Those beyond the limit are left out.
            _ = flags.insert_keyword(keyword);
        }
    }
    flags
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
    fn other_files_are_refused() {
        assert!(matches!(Reader::new(&b"Return-Path: <a>\n"[..], 100).next_message(), Err(Error::NoFromLine)));
        assert!(Reader::new(&b"\n\n"[..], 100).next_message().unwrap().is_none());
    }
}
