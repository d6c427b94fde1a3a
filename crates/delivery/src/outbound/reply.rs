//! Replies of other servers, parsed as they arrive and kept verbatim for reports (RFC 5321 §4.2).

use std::fmt;

/// Longest reply line, CRLF included. RFC 5321 says 512; servers send more.
pub const MAX_LINE_BYTES: usize = 4_096;
/// Most lines of one reply.
pub const MAX_LINES: usize = 128;
/// How much text of a reply is kept; the rest is discarded.
pub const MAX_KEPT_BYTES: usize = 4_096;

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200..=599.
    pub code: u16,
    /// The text of each line, after code and separator; not ASCII for certain, but valid UTF-8.
    pub lines: Vec<String>,
}

/// The received data is not a reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line does not begin with three digits and a space or hyphen.
    #[error("not an SMTP reply: \u{201c}{0}\u{201d}")]
    Malformed(String),
    /// The lines of one reply have different codes.
    #[error("a multi-line SMTP reply changes its code from {0} to {1}")]
    CodeChanges(u16, u16),
    /// Longer than [`MAX_LINE_BYTES`] or [`MAX_LINES`].
    #[error("SMTP reply too long")]
    TooLong,
}

impl Reply {
    /// A reply generated here, without a server.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, lines: vec![text.into()] }
    }

    /// 2xx.
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 3xx.
    pub fn is_intermediate(&self) -> bool {
        (300..400).contains(&self.code)
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// The enhanced status code that the first line begins with (RFC 2034), if its class fits the reply code.
    pub fn enhanced(&self) -> Option<(u8, u16, u16)> {
        let word = self.lines.first()?.split(' ').next()?;
        let mut parts = word.split('.');
        let class = number(parts.next()?, 1)?;
        let subject = number(parts.next()?, 3)?;
        let detail = number(parts.next()?, 3)?;
        if parts.next().is_some() || u16::from(class as u8) != self.code / 100 || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        Some((class as u8, subject, detail))
    }
}

fn number(text: &str, digits: usize) -> Option<u16> {
    if text.is_empty() || text.len() > digits || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for Reply {
    /// In one line, as a report's `Diagnostic-Code` wants it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" "))
    }
}

/// Puts replies together from whatever pieces the network gives.
#[derive(Debug, Default)]
pub struct ReplyParser {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<String>,
    kept: usize,
    count: usize,
}

impl ReplyParser {
    /// Take bytes up to the end of the first complete reply: how many were taken, and the reply if it is complete.
    /// Call again with the rest.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut taken = 0;
        while let Some(end) = bytes[taken..].iter().position(|&b| b == b'\n') {
            self.extend(&bytes[taken..taken + end])?;
            taken += end + 1;
            if let Some(reply) = self.finish_line()? {
                return Ok((taken, Some(reply)));
            }
        }
        self.extend(&bytes[taken..])?;
        Ok((bytes.len(), None))
    }

    /// Nothing of a next reply has come yet.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty() && self.code.is_none()
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), ReplyError> {
        if self.line.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(ReplyError::TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn finish_line(&mut self) -> Result<Option<Reply>, ReplyError> {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let malformed = || ReplyError::Malformed(printable(&line).chars().take(120).collect());
        let digits = line.get(..3).ok_or_else(malformed)?;
        let code = std::str::from_utf8(digits).ok().and_then(|d| number(d, 3)).ok_or_else(malformed)?;
        if !(200..600).contains(&code) {
            return Err(malformed());
        }
        let last = match line.get(3) {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return Err(malformed()),
        };
        if let Some(before) = self.code
            && before != code
        {
            return Err(ReplyError::CodeChanges(before, code));
        }
        self.code = Some(code);
        self.count += 1;
        if self.count > MAX_LINES {
            return Err(ReplyError::TooLong);
        }
        let text = printable(line.get(4..).unwrap_or_default());
        if self.kept + text.len() <= MAX_KEPT_BYTES {
            self.kept += text.len();
            self.lines.push(text);
        }
        if !last {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        *self = Self::default();
        Ok(Some(Reply { code, lines }))
    }
}

/// The text as valid UTF-8 without control characters.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(input: &[u8], step: usize) -> Result<Vec<Reply>, ReplyError> {
        let mut parser = ReplyParser::default();
        let mut replies = Vec::new();
        for piece in input.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (taken, reply) = parser.push(rest)?;
                rest = &rest[taken..];
                replies.extend(reply);
            }
        }
        Ok(replies)
    }

    #[test]
    fn replies_are_the_same_however_they_are_cut() {
        let input = b"220-mx.example ESMTP\r\n220-we do not\r\n220 like spam\r\n250\r\n550 5.1.1 No such user\r\n";
        for step in 1..input.len() {
            let replies = all(input, step).unwrap();
            assert_eq!(replies.len(), 3);
            assert_eq!(replies[0].lines, ["mx.example ESMTP", "we do not", "like spam"]);
            assert_eq!(replies[1], Reply { code: 250, lines: vec![String::new()] });
            assert_eq!(replies[2].enhanced(), Some((5, 1, 1)));
            assert_eq!(replies[2].to_string(), "550 5.1.1 No such user");
        }
    }

    #[test]
    fn what_is_no_reply_is_named() {
        for bad in ["hello\r\n", "\r\n", "25\r\n", "2500 ok\r\n", "199 x\r\n", "250_x\r\n"] {
            assert!(matches!(all(bad.as_bytes(), 64), Err(ReplyError::Malformed(_))), "{bad}");
        }
        assert_eq!(all(b"250-a\r\n550 b\r\n", 64), Err(ReplyError::CodeChanges(250, 550)));
        assert_eq!(all(&[b'2'; MAX_LINE_BYTES + 1], 64), Err(ReplyError::TooLong));
        assert_eq!(all("250-x\r\n".repeat(MAX_LINES + 1).as_bytes(), 64), Err(ReplyError::TooLong));
    }

    #[test]
    fn an_enhanced_code_of_another_class_is_ignored() {
        for text in ["2.1.0 fine", "5.1 no", "5.1.1.1 no", "5.1.x no", "", "5.1.1000 no"] {
            assert_eq!(Reply::new(550, text).enhanced(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_keeps_much(bytes in prop::collection::vec(any::<u8>(), 0..4000), step in 1usize..64) {
            if let Ok(replies) = all(&bytes, step) {
                for reply in replies {
                    prop_assert!(reply.lines.iter().map(String::len).sum::<usize>() <= MAX_KEPT_BYTES);
                    prop_assert!(!reply.to_string().contains(['\r', '\n']));
                }
            }
        }
    }
}
