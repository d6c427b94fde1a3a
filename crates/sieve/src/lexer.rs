//! Tokens (RFC 5228 section 8.1).

use crate::error::{Found, Position};
use crate::limits::MAX_IDENTIFIER_BYTES;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Identifier(String),
    /// A tag without its colon.
    Tag(String),
    Number(u64),
    /// A string; whether it was written with `text:`.
    Text(String, bool),
    /// One of `[](){},;`.
    Mark(char),
    /// What is no token; told already.
    Bad,
}

/// A token with its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub token: Token,
    pub at: Position,
    /// Where it stands in the script, in bytes.
    pub bytes: std::ops::Range<usize>,
    /// The comments before it, each without its marks.
    pub comments: Vec<String>,
}

/// All tokens, and the comments after the last.
pub(crate) fn tokens(text: &str, found: &mut Found) -> (Vec<Placed>, Vec<String>) {
    let mut lexer = Lexer { text, at: 0, position: Position { line: 1, column: 1 }, found, comments: Vec::new() };
    let mut out = Vec::new();
    while let Some(placed) = lexer.next() {
        out.push(placed);
    }
    (out, lexer.comments)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    position: Position,
    found: &'a mut Found,
    comments: Vec<String>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn advance(&mut self, bytes: usize) {
        for c in self.text[self.at..self.at + bytes].chars() {
            if c == '\n' {
                self.position.line += 1;
                self.position.column = 1;
            } else {
                self.position.column += 1;
            }
        }
        self.at += bytes;
    }

    fn next(&mut self) -> Option<Placed> {
        self.skip_space();
        let (at, begin) = (self.position, self.at);
        let first = self.rest().chars().next()?;
        let token = match first {
            '[' | ']' | '(' | ')' | '{' | '}' | ',' | ';' => {
                self.advance(1);
                Token::Mark(first)
            }
            '"' => self.quoted(at),
            ':' => match self.identifier(1) {
                Some(name) => Token::Tag(name),
                None => self.bad(at, "a colon must be followed by the name of a tag"),
            },
            '0'..='9' => self.number(at),
            _ => match self.identifier(0) {
                Some(name) if name.eq_ignore_ascii_case("text") && self.rest().starts_with(':') => self.multi_line(at),
                Some(name) => Token::Identifier(name),
                None => self.bad(at, format!("the character {first:?} does not belong here")),
            },
        };
        if let Token::Identifier(name) | Token::Tag(name) = &token
            && name.len() > MAX_IDENTIFIER_BYTES
        {
            self.found.add(at, format!("the name is longer than {MAX_IDENTIFIER_BYTES} characters"));
            return Some(self.placed(Token::Bad, at, begin));
        }
        Some(self.placed(token, at, begin))
    }

    fn placed(&mut self, token: Token, at: Position, begin: usize) -> Placed {
        Placed { token, at, bytes: begin..self.at, comments: std::mem::take(&mut self.comments) }
    }

    /// Tells it, and skips what is no token up to where one can begin again.
    fn bad(&mut self, at: Position, why: impl Into<String>) -> Token {
        self.found.add(at, why);
        let stops = |c: char| c.is_ascii_whitespace() || c.is_ascii_alphanumeric() || "[](){},;\"#_:".contains(c);
        let first = self.rest().chars().next().map_or(0, char::len_utf8);
        let more = self.rest()[first..].find(stops).map_or(self.rest().len(), |at| at + first);
        self.advance(more);
        Token::Bad
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let space = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{feff}']).len();
            self.advance(space);
            let rest = self.rest();
            if let Some(comment) = rest.strip_prefix('#') {
                let line = comment.lines().next().unwrap_or_default().to_owned();
                self.advance(1 + line.len());
                self.comments.push(line.trim().to_owned());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                if let Some(end) = comment.find("*/") {
                    let text = comment[..end].to_owned();
                    self.advance(end + 4);
                    self.comments
                        .extend(text.lines().map(|line| line.trim().trim_start_matches('*').trim().to_owned()));
                } else {
                    self.found.add(self.position, "the comment that begins here has no end: */ is missing");
                    self.advance(self.rest().len());
                }
            } else if space == 0 {
                return;
            }
        }
    }

    fn identifier(&mut self, skip: usize) -> Option<String> {
        let rest = &self.rest()[skip..];
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = rest[..len].to_owned();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.advance(skip + len);
        Some(name)
    }

    fn number(&mut self, at: Position) -> Token {
        let len = self.rest().find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest().len());
        let digits: Option<u64> = self.rest()[..len].parse().ok();
        self.advance(len);
        let shift = match self.rest().bytes().next().map(|c| c.to_ascii_lowercase()) {
            Some(b'k') => 10,
            Some(b'm') => 20,
            Some(b'g') => 30,
            _ => 0,
        };
        if shift > 0 {
            self.advance(1);
        }
        if self.rest().starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return self.bad(at, "a number is followed by K, M, G or nothing");
        }
        match digits.and_then(|number| number.checked_mul(1 << shift)) {
            Some(number) => Token::Number(number),
            None => {
                self.found.add(at, "the number is larger than 18446744073709551615");
                Token::Bad
            }
        }
    }

    fn quoted(&mut self, at: Position) -> Token {
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        let mut end = None;
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    end = Some(index + 1);
                    break;
                }
                '\\' => out.extend(chars.next().map(|(_, c)| c)),
                c => out.push(c),
            }
        }
        let Some(end) = end else {
            self.found.add(at, "the string that begins here has no end: \" is missing");
            self.advance(self.rest().len());
            return Token::Bad;
        };
        self.advance(end);
        self.checked(at, &out, false)
    }

    fn checked(&mut self, at: Position, text: &str, multi_line: bool) -> Token {
        if text.contains('\0') {
            self.found.add(at, "a string can't hold NUL characters");
            return Token::Bad;
        }
        Token::Text(text.replace("\r\n", "\n").replace('\n', "\r\n"), multi_line)
    }

    /// After `text`: the colon, the rest of the line, and lines up to one with a dot alone.
    fn multi_line(&mut self, at: Position) -> Token {
        self.advance(1);
        let line_end = self.rest().find('\n').map_or(self.rest().len(), |at| at + 1);
        let after = self.rest()[..line_end].trim().to_owned();
        if !after.is_empty() && !after.starts_with('#') {
            return self.bad(at, "after text: the text begins on the next line");
        }
        self.advance(line_end);
        let mut out = String::new();
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                self.found.add(at, "the text that begins here has no end: a line with a dot alone is missing");
                return Token::Bad;
            }
            let len = rest.find('\n').map_or(rest.len(), |at| at + 1);
            let line = rest[..len].to_owned();
            self.advance(len);
            let bare = line.trim_end_matches(['\r', '\n']);
            if bare == "." {
                return self.checked(at, &out, true);
            }
            out.push_str(if line.starts_with("..") { &line[1..] } else { &line });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Token>, usize) {
        let mut found = Found::default();
        let (tokens, _) = tokens(text, &mut found);
        (tokens.into_iter().map(|placed| placed.token).collect(), found.problems.len())
    }

    #[test]
    fn tokens_are_read_with_their_forms() {
        let (tokens, problems) = read("if :is 10K \"a\\\"\\b\" text: # c\r\nx\r\n..y\r\n.\r\n;");
        assert_eq!(problems, 0);
        assert_eq!(
            tokens,
            [
                Token::Identifier("if".into()),
                Token::Tag("is".into()),
                Token::Number(10_240),
                Token::Text("a\"b".into(), false),
                Token::Text("x\r\n.y\r\n".into(), true),
                Token::Mark(';')
            ]
        );
    }

    #[test]
    fn what_is_no_token_is_told_with_its_place() {
        for (text, line, column) in [
            ("\n  \"abc", 2, 3),
            ("/* abc", 1, 1),
            ("a\n text:\nabc", 2, 2),
            ("é", 1, 1),
            ("99999999999999999999", 1, 1),
            ("12x", 1, 1),
        ] {
            let mut found = Found::default();
            tokens(text, &mut found);
            assert_eq!(found.problems[0].at, Position { line, column }, "{text}");
        }
    }
}
