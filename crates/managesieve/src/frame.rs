//! Commands as they come: words on lines, and literals between them (RFC 5804 §4).

use crate::reply::Refusal;

/// Most words of one command; none has more than three.
const MAX_WORDS: usize = 4;
/// Longest name of a command or number, in bytes.
const MAX_ATOM_BYTES: usize = 32;

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// The name of a command, as it came.
    Atom(String),
    /// A number.
    Number(u64),
    /// A quoted string or a literal.
    Text(String),
}

/// What follows a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follows {
    /// Nothing: the command is complete.
    End,
    /// A literal of so many bytes, then a further line.
    Literal(u64),
}

/// A command that is being gathered. What is wrong with it is told when it is complete, so that client and server agree where
/// the next one begins.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    words: Vec<Word>,
    wrong: Option<Refusal>,
}

impl Frame {
    /// Takes a line, without its line end.
    pub(crate) fn line(&mut self, line: &[u8]) -> Follows {
        let (line, follows) = cut_literal(line);
        let (line, follows) = match follows {
            Ok(length) => (line, length.map_or(Follows::End, Follows::Literal)),
            Err(why) => {
                self.refuse(Refusal::plain(why));
                return Follows::End;
            }
        };
        if self.wrong.is_none()
            && let Err(why) = self.read(line, follows == Follows::End)
        {
            self.refuse(Refusal::plain(why));
        }
        follows
    }

    /// Takes the literal after a line.
    pub(crate) fn literal(&mut self, bytes: Vec<u8>) {
        let text = String::from_utf8(bytes).map_err(|_| "Text is not valid UTF-8");
        if let Err(why) = text.and_then(|text| self.push(Word::Text(text))) {
            self.refuse(Refusal::plain(why));
        }
    }

    /// Notes why the command is refused, unless it is refused already.
    pub(crate) fn refuse(&mut self, why: Refusal) {
        self.wrong.get_or_insert(why);
        self.words.clear();
    }

    /// Whether what comes is read over.
    pub(crate) const fn is_refused(&self) -> bool {
        self.wrong.is_some()
    }

    /// The name of the command, if it has come.
    pub(crate) fn name(&self) -> Option<&str> {
        match self.words.first() {
            Some(Word::Atom(name)) => Some(name),
            _ => None,
        }
    }

    /// The complete command, or what is wrong with it. The next begins.
    pub(crate) fn take(&mut self) -> Result<Vec<Word>, Refusal> {
        let Self { words, wrong } = std::mem::take(self);
        wrong.map_or(Ok(words), Err)
    }

    fn push(&mut self, word: Word) -> Result<(), &'static str> {
        if self.wrong.is_some() {
            return Ok(());
        }
        if self.words.len() >= MAX_WORDS {
            return Err("Too many arguments");
        }
        self.words.push(word);
        Ok(())
    }

    /// Reads the words of a line, or of its part before a literal.
    fn read(&mut self, line: &[u8], is_end: bool) -> Result<(), &'static str> {
        let mut rest = std::str::from_utf8(line).map_err(|_| "Command is not valid UTF-8")?;
        // A word follows a blank, but for the first.
        let mut apart = self.words.is_empty();
        loop {
            let trimmed = rest.trim_start_matches(' ');
            apart |= trimmed.len() < rest.len();
            rest = trimmed;
            if rest.is_empty() {
                // The literal is the next word.
                return if apart || is_end { Ok(()) } else { Err("Arguments are separated by a space") };
            }
            if !apart {
                return Err("Arguments are separated by a space");
            }
            let (word, after) = if rest.starts_with('"') { quoted(rest)? } else { atom(rest)? };
            self.push(word)?;
            (rest, apart) = (after, false);
        }
    }
}

/// The line without the announcement of a literal at its end, and the length that this announces.
fn cut_literal(line: &[u8]) -> (&[u8], Result<Option<u64>, &'static str>) {
    let found = line.strip_suffix(b"}").and_then(|inner| {
        let start = inner.iter().rposition(|byte| *byte == b'{')?;
        Some((&line[..start], &inner[start + 1..]))
    });
    let Some((before, length)) = found else { return (line, Ok(None)) };
    let (digits, is_right) = length.strip_suffix(b"+").map_or((length, false), |digits| (digits, true));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return (line, Ok(None));
    }
    if !is_right {
        return (line, Err("A client announces a literal as {number+}"));
    }
    // What is no number here is too long for every limit.
    let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX);
    (before, Ok(Some(length)))
}

fn quoted(text: &str) -> Result<(Word, &str), &'static str> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Word::Text(out), &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                _ => return Err("A backslash in a quoted string stands before a quote or a backslash"),
            },
            '\0' | '\r' => return Err("A quoted string must not contain NUL or CR"),
            c => out.push(c),
        }
    }
    Err("Missing quote at the end of a string")
}

fn atom(text: &str) -> Result<(Word, &str), &'static str> {
    let end = text.find(' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let is_atom = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if word.len() > MAX_ATOM_BYTES || !word.chars().all(is_atom) {
        return Err("A text is sent in quotes or as a literal");
    }
    let word = match word.parse::<u64>() {
        Ok(number) => Word::Number(number),
        Err(_) => Word::Atom(word.to_owned()),
    };
    Ok((word, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads commands from a stream of bytes, as the connection does.
    fn all(mut bytes: &[u8]) -> Vec<Result<Vec<Word>, ()>> {
        let (mut out, mut frame) = (Vec::new(), Frame::default());
        while let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[2..];
            match frame.line(line) {
                Follows::End => out.push(frame.take().map_err(|_| ())),
                Follows::Literal(length) => {
                    let Some((literal, rest)) = bytes.split_at_checked(usize::try_from(length).unwrap()) else { break };
                    frame.literal(literal.to_vec());
                    bytes = rest;
                }
            }
        }
        out
    }

    fn text(text: &str) -> Word {
        Word::Text(text.to_owned())
    }

    #[test]
    fn strings_are_quoted_or_literal_anywhere() {
        let name = Word::Atom("PutScript".to_owned());
        for script in ["\"a\\\"b\\\\\"", "{4+}\r\na\"b\\"] {
            for before in ["\"n m\"", "{3+}\r\nn m"] {
                let read = all(format!("PutScript {before} {script}\r\nNOOP\r\n").as_bytes());
                let noop = vec![Word::Atom("NOOP".to_owned())];
                assert_eq!(read, [Ok(vec![name.clone(), text("n m"), text("a\"b\\")]), Ok(noop)], "{before} {script}");
            }
        }
        let read = all(b"HAVESPACE  \"x\"   99 \r\nCHECKSCRIPT {0+}\r\n\r\n");
        let have = vec![Word::Atom("HAVESPACE".to_owned()), text("x"), Word::Number(99)];
        assert_eq!(read, [Ok(have), Ok(vec![Word::Atom("CHECKSCRIPT".to_owned()), text("")])]);
    }

    #[test]
    fn after_a_wrong_command_the_next_begins_where_the_client_thinks() {
        for wrong in [
            "X \"a\"\"b\" {4+}\r\nLOGO\r\n",
            "X \u{7f} {7+}\r\nNOOP\r\n\"\r\n",
            "X \"\\n\"\r\n",
            "X \"open\r\n",
            "X a b c d e f\r\n",
            "X {3+}\r\nabc{3+}\r\nabc\r\n",
            "X\"a\"\r\n",
            "X {5}\r\n",
            "X {2+}\r\n\u{e4}x\r\n",
        ] {
            let mut bytes = wrong.as_bytes().to_vec();
            if wrong.contains('\u{e4}') {
                // Half a character.
                bytes = b"X {2+}\r\n\xc3x\r\n".to_vec();
            }
            bytes.extend_from_slice(b"NOOP\r\n");
            let read = all(&bytes);
            assert_eq!(read, [Err(()), Ok(vec![Word::Atom("NOOP".to_owned())])], "{wrong:?}");
        }
    }

    #[test]
    fn a_length_that_no_number_holds_is_too_long() {
        assert_eq!(Frame::default().line(b"X {99999999999999999999999+}"), Follows::Literal(u64::MAX));
        for plain in ["X {+}", "X {a+}", "X 1+}", "X {-1+}"] {
            assert_eq!(Frame::default().line(plain.as_bytes()), Follows::End);
        }
    }
}
