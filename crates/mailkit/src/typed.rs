//! Addresses that people type or paste: the strict parser. Also for the From field of messages from authenticated
//! clients.
//!
//! It accepts what people copy from mail apps, and nothing ambiguous: an entry that is not fully understood is reported
//! as wrong, never read as another address.

use std::fmt;

use crate::addrlist::{Kind, Origin, Token, scheme, tokens};
use crate::words::decode_text;
use crate::{AddressError, EmailAddress, NamedAddress};

/// Longest list read at once, in bytes.
pub const MAX_TYPED_BYTES: usize = 256 * 1024;

/// Most addresses read from one list.
pub const MAX_TYPED_ADDRESSES: usize = 2_000;

/// How much of a wrong entry is repeated, in characters.
const MAX_SHOWN_CHARS: usize = 80;

/// What a list of recipients says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// The addresses, in order.
    pub people: Vec<NamedAddress>,
    /// Every entry that is none.
    pub wrong: Vec<WrongEntry>,
}

/// An entry that is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongEntry {
    /// As typed, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: AddressError,
}

impl fmt::Display for WrongEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\u{201c}{}\u{201d} isn't a valid address: {}", self.text, self.reason)
    }
}

/// Reads a list of recipients as people type and paste it.
///
/// Commas, semicolons and line ends separate; one too many does no harm. Entries are addresses, alone or in `<...>` behind
/// a name, which may have commas, an `@` and anything else in it; apostrophes and quotes around either are taken off.
/// Groups give their members. An empty list is no error.
pub fn read_typed(text: &str) -> Typed {
    read(text, false)
}

fn read(text: &str, nested: bool) -> Typed {
    let mut typed = Typed::default();
    if text.len() > MAX_TYPED_BYTES {
        typed.wrong.push(wrong(text, AddressError::TooLong));
        return typed;
    }
    let text = text.replace("\r\n", "\n");
    let (tokens, complete) = tokens(text.as_bytes(), Origin::Typed);
    let mut reader = Reader { text: &text, tokens: &tokens, typed: &mut typed, start: 0, nested };
    reader.run();
    if !complete || typed.people.len() > MAX_TYPED_ADDRESSES {
        typed.people.truncate(MAX_TYPED_ADDRESSES);
        typed.wrong.push(wrong(&text, AddressError::TooMany));
    }
    typed
}

fn wrong(text: &str, reason: AddressError) -> WrongEntry {
    let one_line = text.replace(|c: char| c.is_control(), " ");
    let mut shown: String = one_line.trim().chars().take(MAX_SHOWN_CHARS).collect();
    if shown.len() < one_line.trim().len() {
        shown.push('\u{2026}');
    }
    WrongEntry { text: shown, reason }
}

struct Reader<'a> {
    text: &'a str,
    tokens: &'a [Token],
    typed: &'a mut Typed,
    /// The first token of no entry yet: words before a comma may be the beginning of a name.
    start: usize,
    nested: bool,
}

impl Reader<'_> {
    fn run(&mut self) {
        let last_semicolon = self.tokens.iter().rposition(|token| token.kind == Kind::Semicolon);
        let (mut piece, mut addressed, mut in_group) = (0, false, false);
        for at in 0..self.tokens.len() {
            match self.tokens[at].kind {
                Kind::At | Kind::Angle { .. } => addressed = true,
                Kind::Comma => {
                    self.piece(piece, at);
                    (piece, addressed) = (at + 1, false);
                }
                Kind::Semicolon | Kind::Break => {
                    in_group &= self.tokens[at].kind == Kind::Break;
                    self.piece(piece, at);
                    self.flush(at);
                    (piece, addressed) = (at + 1, false);
                    self.start = piece;
                }
                Kind::Colon if !addressed && !in_group && self.begins_group(piece, at, last_semicolon) => {
                    self.flush(piece);
                    (in_group, piece) = (true, at + 1);
                    self.start = piece;
                }
                _ => {}
            }
        }
        self.piece(piece, self.tokens.len());
        self.flush(self.tokens.len());
    }

    /// Whether the colon at `at` ends the name of a group, which has its end, and is not that of `mailto:`.
    fn begins_group(&self, from: usize, at: usize, last_semicolon: Option<usize>) -> bool {
        let is_scheme = at == from + 1 && scheme(self.slice(from, at + 1).as_bytes()).is_some();
        !is_scheme && last_semicolon.is_some_and(|end| end > at)
    }

    /// The text from one token to another.
    fn slice(&self, from: usize, to: usize) -> &str {
        let tokens = &self.tokens[from..to];
        match (tokens.first(), tokens.last()) {
            (Some(first), Some(last)) => self.text.get(first.at.start..last.at.end).unwrap_or_default(),
            _ => "",
        }
    }

    fn refuse(&mut self, from: usize, to: usize, reason: AddressError) {
        let entry = wrong(self.slice(from, to), reason);
        self.typed.wrong.push(entry);
    }

    /// What is between two separators.
    fn piece(&mut self, from: usize, to: usize) {
        if from >= to {
            return;
        }
        let is_angle = |at: &usize| matches!(self.tokens[*at].kind, Kind::Angle { .. });
        let angles: Vec<usize> = (from..to).filter(is_angle).collect();
        if !angles.is_empty() {
            self.start = self.start.min(from);
            for at in angles {
                self.in_brackets(at);
            }
            let ends_quote = |token: &Token| token.kind == Kind::Comment || token.raw(self.text.as_bytes()) == b"'";
            if !self.tokens[self.start..to].iter().all(ends_quote) {
                self.refuse(self.start, to, AddressError::Behind);
            }
        } else if self.tokens[from..to].iter().any(|token| token.kind == Kind::At) {
            self.flush(from);
            self.bare(from, to);
        } else if !self.nested
            && let [token] = &self.tokens[from..to]
            && token.kind == Kind::Quoted
            && let Some(inside) = inside_quotes(&token.text(self.text.as_bytes()))
        {
            self.flush(from);
            self.typed.people.extend(inside);
        } else {
            // No address: perhaps the beginning of a name with a comma in it.
            return;
        }
        self.start = to;
    }

    /// `name <address>`, the name being all that belongs to no other entry.
    fn in_brackets(&mut self, at: usize) {
        let Kind::Angle { inner: (from, to), closed } = self.tokens[at].kind else { return };
        let start = std::mem::replace(&mut self.start, at + 1);
        let lacks = |token: &Token| token.kind == Kind::Stray && token.raw(self.text.as_bytes()) == b"\"";
        let reason = if !closed {
            AddressError::Unclosed
        } else if self.tokens[start..at].iter().any(lacks) {
            AddressError::Quotes
        } else {
            match EmailAddress::parse(bare_text(&self.text[from..to])) {
                Ok(address) => {
                    let name = self.name(start, at);
                    self.typed.people.push(NamedAddress::new(&name, address));
                    return;
                }
                Err(reason) => reason,
            }
        };
        self.refuse(start, at + 1, reason);
    }

    fn name(&self, from: usize, to: usize) -> String {
        let mut out: Vec<u8> = Vec::new();
        for token in &self.tokens[from..to] {
            if token.spaced && !out.is_empty() {
                out.push(b' ');
            }
            let value = self.text.as_bytes();
            out.extend_from_slice(&if token.kind == Kind::Comment {
                token.raw(value).into()
            } else {
                token.text(value)
            });
        }
        let decoded = decode_text(&out);
        let edge = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
        let name = without_quotes(decoded.trim_matches(edge)).trim_matches(edge);
        // 'Jane Doe <jane@example.org>': the other half is behind the address.
        let name = name.strip_prefix('\'').filter(|rest| !rest.contains('\'')).unwrap_or(name);
        name.to_owned()
    }

    /// Addresses without brackets: one, or several with nothing but white space between them.
    fn bare(&mut self, from: usize, to: usize) {
        let comments: Vec<usize> = (from..to).filter(|at| self.tokens[*at].kind == Kind::Comment).collect();
        let comment = match comments.as_slice() {
            [] => None,
            [only] if *only == from || *only == to - 1 => Some(*only),
            _ => return self.refuse(from, to, AddressError::Behind),
        };
        let (start, end) = match comment {
            Some(at) if at == from => (from + 1, to),
            Some(at) => (from, at),
            None => (from, to),
        };
        // A quoted local part may have white space in it: tokens are what is separated.
        let mut words: Vec<(usize, usize)> = Vec::new();
        for at in start..end {
            match words.last_mut() {
                Some(word) if !self.tokens[at].spaced => word.1 = at + 1,
                _ => words.push((at, at + 1)),
            }
        }
        let read: Result<Vec<_>, _> =
            words.iter().map(|(from, to)| EmailAddress::parse(bare_text(self.slice(*from, *to)))).collect();
        match read {
            Ok(addresses) => {
                let name = comment.map(|at| self.tokens[at].text(self.text.as_bytes()).into_owned());
                let name = name.map(|name| decode_text(&name)).filter(|_| addresses.len() == 1).unwrap_or_default();
                self.typed.people.extend(addresses.into_iter().map(|address| NamedAddress::new(&name, address)));
            }
            Err(reason) if words.len() == 1 => self.refuse(from, to, reason),
            // "Jane Doe jane@example.org": which of its words are the name is not for us to say.
            Err(_) => self.refuse(from, to, AddressError::Brackets),
        }
    }

    /// Entries that stayed without an address, up to a token.
    fn flush(&mut self, to: usize) {
        let mut from = self.start;
        while from < to {
            let end = (from..to).find(|at| self.tokens[*at].kind == Kind::Comma).unwrap_or(to);
            if end > from {
                self.refuse(from, end, AddressError::NoDomain);
            }
            from = end + 1;
        }
        self.start = self.start.max(to);
    }
}

/// Addresses that are in quotes as a whole.
fn inside_quotes(text: &[u8]) -> Option<Vec<NamedAddress>> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.contains('@'))?;
    let typed = read(text, true);
    (typed.wrong.is_empty() && !typed.people.is_empty()).then_some(typed.people)
}

/// An address without what mail programs and web pages put around it.
fn bare_text(text: &str) -> &str {
    let trim = |text| str::trim_matches(text, |c: char| c.is_whitespace() || is_invisible(c));
    let text = trim(text);
    let text = scheme(text.as_bytes()).and_then(|rest| std::str::from_utf8(rest).ok()).unwrap_or(text);
    let text = if text.starts_with('"') { text } else { without_quotes(text) };
    trim(text)
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

/// A text without the pair of quotes around it.
fn without_quotes(text: &str) -> &str {
    let pairs = ['\'', '"', '\u{2018}', '\u{201a}', '\u{201c}', '\u{201e}', '\u{ab}', '\u{2039}', '`'];
    let ends = ["'", "\"", "\u{2019}", "\u{2018}", "\u{201d}", "\u{201c}\u{201d}", "\u{bb}", "\u{203a}", "'`"];
    let Some(first) = text.chars().next() else { return text };
    let Some(at) = pairs.iter().position(|pair| *pair == first) else { return text };
    match text[first.len_utf8()..].strip_suffix(|c| ends[at].contains(c)) {
        Some(inner) if !inner.is_empty() => inner,
        _ => text,
    }
}

/// Why the From field of a message is not taken from someone who is signed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FromError {
    /// It has control characters, or bytes that are not UTF-8.
    #[error("the From field has a character that is not allowed")]
    Characters,
    /// There is something in it that is no part of an address: other programs may see another author than we do.
    #[error("the From field is not valid: write it as name <address>")]
    NotUnderstood,
    /// It is empty, or something in it is no address.
    #[error("the From field has no valid address: {0}")]
    Address(AddressError),
}

/// The authors that a From field names (unfolded), if it is a mailbox list of RFC 5322 section 3.6.2 and nothing else: no
/// reader can take it for something else.
///
/// # Errors
/// Says what is not understood.
pub fn authors(value: &[u8]) -> Result<Vec<EmailAddress>, FromError> {
    let text = std::str::from_utf8(value).map_err(|_| FromError::Characters)?;
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err(FromError::Characters);
    }
    let (tokens, complete) = tokens(value, Origin::Field);
    let mut authors = Vec::new();
    for piece in tokens.split(|token| token.kind == Kind::Comma) {
        let piece: Vec<&Token> = piece.iter().filter(|token| token.kind != Kind::Comment).collect();
        let Some((last, phrase)) = piece.split_last() else { return Err(FromError::Address(AddressError::Empty)) };
        let address = match last.kind {
            Kind::Angle { inner: (from, to), closed: true } if last.raw(value) == &value[from - 1..=to] => {
                let is_word =
                    |token: &&Token| matches!(token.kind, Kind::Atom | Kind::Quoted | Kind::Encoded | Kind::Literal);
                if value[from - 1] != b'<' || !phrase.iter().all(is_word) {
                    return Err(FromError::NotUnderstood);
                }
                text[from..to].trim()
            }
            Kind::Angle { .. } => return Err(FromError::NotUnderstood),
            _ if piece.iter().skip(1).any(|token| token.spaced) => return Err(FromError::NotUnderstood),
            _ => &text[piece[0].at.start..last.at.end],
        };
        authors.push(EmailAddress::parse(address).map_err(FromError::Address)?);
    }
    if complete { Ok(authors) } else { Err(FromError::NotUnderstood) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read, or the entries that are named as wrong.
    fn typed(text: &str) -> Result<Vec<String>, Vec<String>> {
        let typed = read_typed(text);
        match typed.wrong.as_slice() {
            [] => Ok(typed.people.iter().map(ToString::to_string).collect()),
            wrong => Err(wrong.iter().map(|entry| entry.text.clone()).collect()),
        }
    }

    #[test]
    fn what_people_type_and_paste_is_taken() {
        for (text, people) in [
            ("", &[][..]),
            (" ,; \n", &[]),
            ("ann@x.org", &["ann@x.org"]),
            (
                "ann@x.org, Bob <bob@x.org>; \"Lee, C\" <c@x.org>,",
                &["ann@x.org", "Bob <bob@x.org>", "\"Lee, C\" <c@x.org>"],
            ),
            ("a@x\r\nb@x\r\n", &["a@x", "b@x"]),
            ("a@x b@x\tc@x", &["a@x", "b@x", "c@x"]),
            ("a@x;b@x;", &["a@x", "b@x"]),
            ("a@x\u{ff0c}b@x\u{ff1b}c@x\u{3001}d@x", &["a@x", "b@x", "c@x", "d@x"]),
            // Names with commas and more, as Outlook shows people.
            ("Doe, Jane <jane@x>", &["\"Doe, Jane\" <jane@x>"]),
            ("Müller, Hans <hans@x>, Kim <kim@x>", &["\"Müller, Hans\" <hans@x>", "Kim <kim@x>"]),
            ("ann@x, Doe, Jane, Dr. <jane@x>", &["ann@x", "\"Doe, Jane, Dr.\" <jane@x>"]),
            ("'Doe, Jane' <jane@x>", &["\"Doe, Jane\" <jane@x>"]),
            ("Support: Billing <b@x>", &["\"Support: Billing\" <b@x>"]),
            ("Foo [Bar] (Baz) <b@x>", &["\"Foo [Bar] (Baz)\" <b@x>"]),
            // An @ before the brackets.
            (
                "support@corp.example via Desk <ticket@desk.example>",
                &["\"support@corp.example via Desk\" <ticket@desk.example>"],
            ),
            ("Jane @ Work <jane@corp.example>", &["\"Jane @ Work\" <jane@corp.example>"]),
            ("jane@x <jane@x>", &["\"jane@x\" <jane@x>"]),
            ("=?utf-8?Q?M=C3=BCller,_Hans?= <hans@x>", &["\"Müller, Hans\" <hans@x>"]),
            // Quotes, apostrophes and schemes around.
            ("'jane@x'", &["jane@x"]),
            ("'jane@x', 'bob@x'", &["jane@x", "bob@x"]),
            ("'Jane' <jane@x>", &["Jane <jane@x>"]),
            ("'Jane Doe <jane@x>'", &["Jane Doe <jane@x>"]),
            ("Jane <'jane@x'>", &["Jane <jane@x>"]),
            ("\"jane@x\"", &["jane@x"]),
            ("\"Jane Doe <jane@x>\"", &["Jane Doe <jane@x>"]),
            ("\u{201c}Jane\u{201d} <jane@x>", &["Jane <jane@x>"]),
            ("mailto:jane@x", &["jane@x"]),
            ("<mailto:jane@x>", &["jane@x"]),
            ("Jane Doe [mailto:jane@x]", &["Jane Doe <jane@x>"]),
            ("jane@x<mailto:jane@x>; bob@x<mailto:bob@x>", &["\"jane@x\" <jane@x>", "\"bob@x\" <bob@x>"]),
            ("\u{feff}jane@x\u{a0}\u{200b}", &["jane@x"]),
            ("<jane@x>", &["jane@x"]),
            ("jane@x (Jane Doe)", &["Jane Doe <jane@x>"]),
            ("Bob <b@x> Carol <c@x>", &["Bob <b@x>", "Carol <c@x>"]),
            ("Team: e@x, F <f@x>;", &["e@x", "F <f@x>"]),
            ("\"a, b\"@x.org", &["\"a, b\"@x.org"]),
            ("taro..yamada@phone.example", &["\"taro..yamada\"@phone.example"]),
            ("ann@mail_out.x.org.", &["ann@mail_out.x.org"]),
        ] {
            assert_eq!(
                typed(text).as_deref(),
                Ok(people.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice()),
                "{text}"
            );
        }
    }

    #[test]
    fn every_entry_that_is_not_understood_is_named_and_none_is_read_as_another() {
        for (text, wrong) in [
            ("carl", &["carl"][..]),
            ("ann@x.org, carl, dora", &["carl", "dora"]),
            ("not-an-address, foo@@bar, ok@ok.example", &["not-an-address", "foo@@bar"]),
            ("Team Süd; anna@x", &["Team Süd"]),
            ("kim\nJane <jane@x>", &["kim"]),
            ("Müller, Hans <hans@x>, kim", &["kim"]),
            ("bob@exa mple", &["bob@exa mple"]),
            ("no@body@x", &["no@body@x"]),
            ("ann bob@x.org", &["ann bob@x.org"]),
            ("Jane @ Work", &["Jane @ Work"]),
            ("Bob <>", &["Bob <>"]),
            ("<bob>", &["<bob>"]),
            ("Bob <bob>, a@x", &["Bob <bob>"]),
            ("anna@x <Anna>", &["anna@x <Anna>"]),
            ("Bob <b@x", &["Bob <b@x"]),
            ("<a@x, b@x>", &["<a@x", "b@x>"]),
            ("\"Doe, Jane <jane@x>", &["\"Doe, Jane <jane@x>"]),
            ("\"Doe, Jane\", bob@x", &["\"Doe, Jane\""]),
            ("Bob <b@x> junk, a@x", &["junk"]),
            ("Bob <b c@x>", &["Bob <b c@x>"]),
            ("Bob <b@x y>", &["Bob <b@x y>"]),
            ("a@x c@, b@x", &["a@x c@"]),
            ("half: typed", &["half: typed"]),
            ("Team: carl, e@x;", &["carl"]),
            ("a@b, c@d..e", &["c@d..e"]),
            ("a\u{202e}b@c", &["a\u{202e}b@c"]),
            ("\"x\" y@z", &["\"x\" y@z"]),
            ("@x", &["@x"]),
            ("x@", &["x@"]),
        ] {
            assert_eq!(typed(text), Err(wrong.iter().map(ToString::to_string).collect()), "{text}");
        }
        let long = format!("{}@x", "a".repeat(2_000));
        assert!(read_typed(&long).wrong[0].text.len() < 300);
        assert!(!read_typed(&"a@x,".repeat(MAX_TYPED_ADDRESSES + 1)).wrong.is_empty());
        assert!(!read_typed(&"a".repeat(MAX_TYPED_BYTES + 1)).wrong.is_empty());
    }

    #[test]
    fn a_from_field_is_understood_wholly_or_not_at_all() {
        for (field, expected) in [
            ("anna@x.org", &["anna@x.org"][..]),
            ("  Anna <anna@x.org> ", &["anna@x.org"]),
            ("\"Doe, Anna\" <anna@x.org> (home)", &["anna@x.org"]),
            ("\"boss@x.org\" <anna@x.org>", &["anna@x.org"]),
            ("=?utf-8?Q?boss=40x.org,_=3Cx=3E?= <anna@x.org>", &["anna@x.org"]),
            ("A. B. Müller <anna@x.org>, bob@x.org", &["anna@x.org", "bob@x.org"]),
            ("boss@x.org.", &["boss@x.org"]),
            ("<anna@x.org>", &["anna@x.org"]),
        ] {
            let found = authors(field.as_bytes()).unwrap_or_else(|error| panic!("{field}: {error}"));
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{field}");
        }
        for field in [
            "",
            "anna",
            "\\\"x\\\" <boss@x.org>",
            "\"anna@x.org <boss@x.org>",
            "boss@x.org\0",
            "anna@x.org\0 <boss@x.org>",
            "boss@x.org <anna@x.org>",
            "anna@x.org <boss@x.org",
            "anna@x.org, ",
            "Doe, Anna <anna@x.org>",
            "anna@x.org; boss@x.org",
            "Team: anna@x.org, boss@x.org;",
            "Team: anna@x.org",
            "anna@x.org <anna@x.org> boss@x.org",
            "<@boss.x.org:anna@x.org>",
            "<<anna@x.org>>",
            "<anna@x.org>>",
            "Anna [mailto:anna@x.org]",
            "[mailto:anna@x.org]",
            "<mailto:anna@x.org>",
            "anna@x.org boss@x.org",
            "anna @x.org",
            "anna@x.org(boss@x.org",
            "<anna@x.org> x",
            "'anna@x.org'",
            "anna@x.org\r\nSender: x",
        ] {
            assert!(authors(field.as_bytes()).is_err(), "{field:?}");
        }
        assert_eq!(authors(b"Andr\xe9 <anna@x.org>"), Err(FromError::Characters));
    }

    /// Local parts of any printable characters, and of those that mean something in a list.
    const LOCALS: &str = "\\PC{1,12}|[a-z .,;:@\"'<>()\\[\\]\\\\\u{e4}\u{ff0c}\u{ff1b}\u{3001}]{1,12}";

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[ -~\n\"<>@,;:()\\[\\]=?äQ.'\u{ff0c}\u{ff1b}\u{3001}]{0,60}") {
            let read = read_typed(&text);
            for person in &read.people {
                let again = read_typed(&person.to_string()).people;
                prop_assert_eq!(again.len(), 1);
                prop_assert_eq!(&again[0].address, &person.address);
            }
            let _ = authors(text.as_bytes());
        }

        #[test]
        fn what_is_filled_in_can_be_sent(name in "\\PC{0,20}", local in LOCALS) {
            if let Ok(address) = EmailAddress::from_parts(&local, "x.org") {
                let named = NamedAddress::new(&name, address.clone());
                let read = read_typed(&format!("{named}, {named}"));
                prop_assert_eq!(read.wrong, vec![]);
                let found: Vec<_> = read.people.into_iter().map(|person| person.address).collect();
                prop_assert_eq!(found, vec![address.clone(), address]);
            }
        }

        #[test]
        fn each_address_that_is_read_was_written(text in "[a-c@<>,; \"]{0,30}") {
            for person in read_typed(&text).people {
                // `"a"@b` is `a@b`: quotes that need not be are taken off.
                let bare = |text: &str| text.replace('"', "");
                prop_assert!(bare(&text).contains(&bare(&person.address.to_string())), "{:?}", person);
            }
        }
    }
}
