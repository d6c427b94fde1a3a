//! Address lists of header fields, read leniently (RFC 5322 section 3.4 with its obsolete forms, and worse).

use crate::parsed::Address;

/// Reads an unfolded address-list value onto `out`, until `max` addresses are in it. Returns false if that cut it.
///
/// Names and local parts lose their quotes and escapes but stay otherwise raw. An entry without `@` becomes an address
/// with an empty host. Semicolons outside a group separate entries too, as people type them.
pub(crate) fn read(value: &[u8], out: &mut Vec<Address>, max: usize) -> bool {
    let mut reader = Reader { lexer: Lexer { rest: value }, entry: Entry::default(), in_group: false };
    loop {
        if out.len() >= max {
            return reader.lexer.rest.trim_ascii().is_empty();
        }
        if !reader.step(out) {
            return true;
        }
    }
}

/// What has been read of one entry.
#[derive(Default)]
struct Entry {
    /// Words not assigned yet: a display name, or a local part.
    words: Vec<Word>,
    /// The last comment: the display name of `a@b (Name)`.
    comment: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    route: Option<Vec<u8>>,
    local: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
}

struct Word {
    text: Vec<u8>,
    /// White space (or a comment) stood before it.
    spaced: bool,
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    entry: Entry,
    in_group: bool,
}

impl Reader<'_> {
    /// Reads one token; false at the end.
    fn step(&mut self, out: &mut Vec<Address>) -> bool {
        let Some(Spaced { token, spaced }) = self.lexer.next() else {
            self.finish_entry(out);
            if std::mem::take(&mut self.in_group) {
                out.push(Address::default());
            }
            return false;
        };
        match token {
            Token::Word(text) => {
                if self.entry.local.is_none() {
                    self.entry.words.push(Word { text, spaced });
                }
                // Words after the address mean nothing that could be shown.
            }
            Token::Comment(text) => self.entry.comment = Some(text),
            Token::Special(b'<') => {
                if self.entry.local.is_none() {
                    self.entry.name = self.entry.take_phrase();
                    self.angle();
                }
            }
            Token::Special(b'@') => {
                if self.entry.local.is_none() {
                    self.entry.local = Some(self.entry.take_local());
                    self.entry.host = Some(self.domain());
                }
            }
            Token::Special(b':') => {
                if !self.in_group && self.entry.local.is_none() {
                    self.in_group = true;
                    let name = self.entry.take_phrase().unwrap_or_default();
                    self.entry = Entry::default();
                    out.push(Address { mailbox: Some(name), ..Address::default() });
                }
            }
            Token::Special(b',') => self.finish_entry(out),
            Token::Special(b';') => {
                self.finish_entry(out);
                if std::mem::take(&mut self.in_group) {
                    out.push(Address::default());
                }
            }
            Token::Special(_) => {}
        }
        true
    }

    /// What follows a `<`.
    fn angle(&mut self) {
        let mut words = Vec::new();
        let mut route = Vec::new();
        let mut local = None;
        while let Some(Spaced { token, .. }) = self.lexer.peek() {
            match token {
                Token::Special(b'>') => {
                    self.lexer.next();
                    break;
                }
                // An unclosed bracket does not swallow the list.
                Token::Special(b',' | b';') if local.is_some() => break,
                _ => {}
            }
            let Some(Spaced { token, .. }) = self.lexer.next() else {
                break;
            };
            match token {
                Token::Word(text) => words.extend_from_slice(&text),
                Token::Special(b'@') if words.is_empty() && local.is_none() => {
                    if !route.is_empty() {
                        route.push(b',');
                    }
                    route.push(b'@');
                    route.extend_from_slice(&self.domain());
                }
                Token::Special(b'@') if local.is_none() => {
                    local = Some(std::mem::take(&mut words));
                    self.entry.host = Some(self.domain());
                }
                _ => {}
            }
        }
        let local = local.unwrap_or(words);
        if !route.is_empty() {
            self.entry.route = Some(route);
        }
        self.entry.local = Some(local);
    }

    /// What follows an `@`: dot-joined words or a domain literal.
    fn domain(&mut self) -> Vec<u8> {
        let mut domain: Vec<u8> = Vec::new();
        while let Some(Spaced { token, spaced }) = self.lexer.peek() {
            let Token::Word(text) = token else {
                if let Token::Comment(text) = token {
                    self.entry.comment = Some(text);
                    self.lexer.next();
                    continue;
                }
                break;
            };
            // "example . com" is one domain, "example.com foo" is not.
            let joins = domain.is_empty() || !spaced || domain.ends_with(b".") || text.starts_with(b".");
            if !joins {
                break;
            }
            domain.extend_from_slice(&text);
            self.lexer.next();
        }
        domain
    }

    fn finish_entry(&mut self, out: &mut Vec<Address>) {
        let mut entry = std::mem::take(&mut self.entry);
        if entry.local.is_none() {
            if entry.words.is_empty() {
                return;
            }
            // A word alone: an address whose domain is missing.
            entry.local = entry.take_phrase();
        }
        let local = entry.local.unwrap_or_default();
        let host = entry.host.unwrap_or_default();
        if local.is_empty() && host.is_empty() && entry.name.is_none() {
            return;
        }
        out.push(Address {
            name: entry.name.or(entry.comment).filter(|n| !n.is_empty()),
            route: entry.route,
            mailbox: Some(local),
            host: Some(host),
        });
    }
}

impl Entry {
    /// The words so far as a display name.
    fn take_phrase(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for (at, word) in std::mem::take(&mut self.words).into_iter().enumerate() {
            if at > 0 && word.spaced {
                out.push(b' ');
            }
            out.extend_from_slice(&word.text);
        }
        let trimmed = out.trim_ascii();
        (!trimmed.is_empty()).then(|| trimmed.to_vec())
    }

    /// The words so far as a local part: the last of them, and those joined to it by dots.
    fn take_local(&mut self) -> Vec<u8> {
        let mut words = std::mem::take(&mut self.words);
        let mut start = words.len().saturating_sub(1);
        while start > 0 {
            let joined =
                !words[start].spaced || words[start].text.starts_with(b".") || words[start - 1].text.ends_with(b".");
            if !joined {
                break;
            }
            start -= 1;
        }
        let local = words.split_off(start);
        self.words = words;
        self.name = self.take_phrase();
        local.into_iter().flat_map(|word| word.text).collect()
    }
}

#[derive(Clone)]
enum Token {
    Word(Vec<u8>),
    Comment(Vec<u8>),
    Special(u8),
}

#[derive(Clone)]
struct Spaced {
    token: Token,
    spaced: bool,
}

#[derive(Clone)]
struct Lexer<'a> {
    rest: &'a [u8],
}

impl Lexer<'_> {
    /// The next token without consuming it. A token is read at most twice, so this stays linear.
    fn peek(&self) -> Option<Spaced> {
        self.clone().next()
    }

    fn next(&mut self) -> Option<Spaced> {
        let before = self.rest.len();
        self.rest = self.rest.trim_ascii_start();
        let spaced = self.rest.len() != before;
        let (&first, tail) = self.rest.split_first()?;
        let token = match first {
            b'"' => Token::Word(self.delimited(b'"')),
            b'[' => {
                let mut literal = vec![b'['];
                literal.extend(self.delimited(b']'));
                literal.push(b']');
                Token::Word(literal)
            }
            b'(' => Token::Comment(self.comment()),
            _ if is_special(first) => {
                self.rest = tail;
                Token::Special(first)
            }
            _ => {
                let end = self
                    .rest
                    .iter()
                    .position(|b| is_special(*b) || b.is_ascii_whitespace() || matches!(b, b'"' | b'('))
                    .unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                Token::Word(word.to_vec())
            }
        };
        Some(Spaced { token, spaced })
    }

    /// Text up to a closing byte, escapes undone; without a closing byte it goes to the end.
    fn delimited(&mut self, close: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let mut bytes = self.rest[1..].iter().enumerate();
        while let Some((at, &byte)) = bytes.next() {
            if byte == close {
                self.rest = &self.rest[at + 2..];
                return out;
            }
            if byte == b'\\' {
                if let Some((_, &escaped)) = bytes.next() {
                    out.push(escaped);
                }
            } else {
                out.push(byte);
            }
        }
        self.rest = &[];
        out
    }

    /// A comment with comments in it; outermost parentheses removed.
    fn comment(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut depth = 0u32;
        let mut bytes = self.rest.iter().enumerate();
        while let Some((at, &byte)) = bytes.next() {
            match byte {
                b'(' => {
                    depth += 1;
                    if depth > 1 {
                        out.push(byte);
                    }
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        self.rest = &self.rest[at + 1..];
                        return out.trim_ascii().to_vec();
                    }
                    out.push(byte);
                }
                b'\\' => {
                    if let Some((_, &escaped)) = bytes.next() {
                        out.push(escaped);
                    }
                }
                _ => out.push(byte),
            }
        }
        self.rest = &[];
        out.trim_ascii().to_vec()
    }
}

fn is_special(b: u8) -> bool {
    matches!(b, b'<' | b'>' | b'@' | b',' | b';' | b':' | b'[')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name|route|mailbox|host` each, `-` for NIL.
    fn list(value: &str) -> Vec<String> {
        let mut out = Vec::new();
        read(value.as_bytes(), &mut out, 100);
        let text = |bytes: Option<Vec<u8>>| bytes.map_or("-".to_owned(), |b| String::from_utf8(b).unwrap());
        out.into_iter()
            .map(|a| format!("{}|{}|{}|{}", text(a.name), text(a.route), text(a.mailbox), text(a.host)))
            .collect()
    }

    #[test]
    fn plain_named_and_quoted_addresses_are_read() {
        assert_eq!(list("a@b.c"), ["-|-|a|b.c"]);
        assert_eq!(list("A. B. See <a@b.c>"), ["A. B. See|-|a|b.c"]);
        assert_eq!(list(r#""See, \"A\"" <a@b.c>, x@y"#), [r#"See, "A"|-|a|b.c"#, "-|-|x|y"]);
        assert_eq!(list(r#""a b"@c.d"#), ["-|-|a b|c.d"]);
        assert_eq!(list("a@b.c (The Name)"), ["The Name|-|a|b.c"]);
        assert_eq!(list("(x (y) z) a . b @ c . d"), ["x (y) z|-|a.b|c.d"]);
        assert_eq!(list("a@[127.0.0.1]"), ["-|-|a|[127.0.0.1]"]);
        assert_eq!(list("=?utf-8?q?J=C3=B6?= <j@x>"), ["=?utf-8?q?J=C3=B6?=|-|j|x"]);
    }

    #[test]
    fn groups_open_and_close_with_the_marks_imap_wants() {
        assert_eq!(list("Team: a@b, C <c@d>;, e@f"), ["-|-|Team|-", "-|-|a|b", "C|-|c|d", "-|-|-|-", "-|-|e|f"]);
        assert_eq!(list("undisclosed-recipients:;"), ["-|-|undisclosed-recipients|-", "-|-|-|-"]);
        assert_eq!(list("Open: a@b"), ["-|-|Open|-", "-|-|a|b", "-|-|-|-"]);
    }

    #[test]
    fn routes_are_kept_apart() {
        assert_eq!(list("<@r1,@r2:a@b>"), ["-|@r1,@r2|a|b"]);
    }

    #[test]
    fn broken_entries_lose_nothing_else() {
        assert_eq!(list("nobody, a@b"), ["-|-|nobody|", "-|-|a|b"]);
        assert_eq!(list("a@b; c@d;"), ["-|-|a|b", "-|-|c|d"]);
        assert_eq!(list("<a@b, c@d"), ["-|-|a|b", "-|-|c|d"]);
        assert_eq!(list("X <a@b> junk, c@d"), ["X|-|a|b", "-|-|c|d"]);
        assert_eq!(list("\"open <a@b>"), ["-|-|open <a@b>|"]);
        assert_eq!(list(",,  ,"), Vec::<String>::new());
        assert_eq!(list("<>"), Vec::<String>::new());
        assert_eq!(list("@"), Vec::<String>::new());
        assert_eq!(list("Foo Bar a@b"), ["Foo Bar|-|a|b"]);
    }

    #[test]
    fn the_limit_is_reported() {
        let mut out = Vec::new();
        assert!(!read(b"a@b, c@d, e@f", &mut out, 2));
        assert_eq!(out.len(), 2);
    }
}
