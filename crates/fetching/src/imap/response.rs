//! What IMAP servers answer (RFC 9051 section 7). Pure: pieces in, a [`Response`] out.
//!
//! A response is a line, or several with literals between them. [`literal_of`] says whether a line goes on with one; the caller reads
//! it, or reads it over, and gives [`parse`] all pieces. Nesting is limited, and nothing is looked at twice.

/// Lists within lists that are read.
const MAX_DEPTH: usize = 16;
/// Values of one response that are read.
const MAX_VALUES: usize = 20_000;

/// A piece of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A line, or what follows a literal, without the line end.
    Text(Vec<u8>),
    /// A literal.
    Literal(Vec<u8>),
    /// A literal that was too large to be read: its length.
    Passed(u64),
}

/// A value within parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NIL.
    Nil,
    /// A word or number.
    Atom(Vec<u8>),
    /// A string.
    Text(Vec<u8>),
    /// A string that was too large to be read: its length.
    Passed(u64),
    /// A list.
    List(Vec<Value>),
}

/// How a command, or the server, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Refused.
    No,
    /// Not understood.
    Bad,
    /// Signed in by other means.
    Preauth,
    /// The connection ends.
    Bye,
}

/// An answer of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// `+`: go on.
    Continue,
    /// The end of a command.
    Tagged(Vec<u8>, Status, Said),
    /// A state of the server.
    Status(Status, Said),
    /// What it can do, in capitals.
    Capability(Vec<String>),
    /// A mailbox.
    List(Listed),
    /// Numbers of messages.
    Search(Vec<u32>),
    /// How many messages the mailbox has.
    Exists(u32),
    /// A message is gone.
    Expunge(u32),
    /// What a message is, by names in capitals.
    Fetch(u32, Vec<(String, Value)>),
    /// Something that is of no interest.
    Other,
}

/// What a server says with a status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The response code, in brackets, as words.
    pub code: Vec<String>,
    /// The text.
    pub text: Vec<u8>,
}

/// A mailbox as LIST tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Attributes, in lower case.
    pub attributes: Vec<String>,
    /// What stands between levels; none in a flat namespace.
    pub delimiter: Option<char>,
    /// Its name as the server writes it.
    pub name: Vec<u8>,
}

/// Whether a line goes on with a literal, and how long that is. `first` is the first line of the response: only some responses can
/// have literals, and the text of others may end like one.
pub fn literal_of(first: &[u8], line: &[u8]) -> Option<u64> {
    if !can_have_literals(first) {
        return None;
    }
    let inner = line.strip_suffix(b"}")?;
    let at = inner.iter().rposition(|byte| *byte == b'{')?;
    let digits = inner[at + 1..].strip_suffix(b"+").unwrap_or(&inner[at + 1..]);
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn can_have_literals(first: &[u8]) -> bool {
    let mut words = first.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    if words.next() != Some(b"*") {
        return false;
    }
    let Some(second) = words.next() else { return false };
    let word = if second.iter().all(u8::is_ascii_digit) { words.next().unwrap_or_default() } else { second };
    [&b"LIST"[..], b"LSUB", b"STATUS", b"FETCH", b"XLIST"].iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether the literal that `line` ends with is the text of a message: `BODY[] {5}`.
pub fn is_message(line: &[u8]) -> bool {
    let Some(at) = line.iter().rposition(|byte| *byte == b'{') else { return false };
    let before = line[..at].trim_ascii_end();
    let before = before.strip_suffix(b"~").unwrap_or(before).trim_ascii_end();
    let ends =
        |with: &[u8]| before.len() >= with.len() && before[before.len() - with.len()..].eq_ignore_ascii_case(with);
    ends(b"BODY[]") || ends(b"RFC822")
}

/// Reads a response.
///
/// # Errors
/// It is none: what was expected.
pub fn parse(pieces: &[Piece]) -> Result<Response, &'static str> {
    let mut cursor = Cursor { pieces, piece: 0, at: 0, values: 0 };
    match cursor.peek() {
        Some(b'+') => Ok(Response::Continue),
        Some(b'*') => {
            cursor.word();
            cursor.spaces();
            untagged(&mut cursor)
        }
        Some(_) => {
            let tag = cursor.word();
            cursor.spaces();
            let status = status_of(&cursor.word()).ok_or("a status after the tag")?;
            Ok(Response::Tagged(tag, status, said(&mut cursor)))
        }
        None => Err("an answer, not an empty line"),
    }
}

fn status_of(word: &[u8]) -> Option<Status> {
    Some(match word.to_ascii_uppercase().as_slice() {
        b"OK" => Status::Ok,
        b"NO" => Status::No,
        b"BAD" => Status::Bad,
        b"PREAUTH" => Status::Preauth,
        b"BYE" => Status::Bye,
        _ => return None,
    })
}

fn untagged(cursor: &mut Cursor<'_>) -> Result<Response, &'static str> {
    let word = cursor.word().to_ascii_uppercase();
    if let Some(status) = status_of(&word) {
        return Ok(Response::Status(status, said(cursor)));
    }
    if let Some(number) = number(&word) {
        cursor.spaces();
        return match cursor.word().to_ascii_uppercase().as_slice() {
            b"EXISTS" => Ok(Response::Exists(number)),
            b"EXPUNGE" => Ok(Response::Expunge(number)),
            b"FETCH" => fetch(number, cursor),
            _ => Ok(Response::Other),
        };
    }
    match word.as_slice() {
        b"CAPABILITY" => Ok(Response::Capability(words(&cursor.rest()))),
        b"LIST" => list(cursor),
        b"SEARCH" => Ok(Response::Search(numbers(&cursor.rest()))),
        b"" => Err("a word after the star"),
        _ => Ok(Response::Other),
    }
}

/// A number of a message, which fits 32 bits.
fn number(word: &[u8]) -> Option<u32> {
    if word.is_empty() || word.len() > 10 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn words(text: &[u8]) -> Vec<String> {
    let words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).take(500).collect()
}

/// Numbers up to the first word that is none: `(MODSEQ 5)` may follow.
fn numbers(text: &[u8]) -> Vec<u32> {
    text.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map_while(number).collect()
}

fn said(cursor: &mut Cursor<'_>) -> Said {
    let rest = cursor.rest();
    let rest = rest.trim_ascii_start();
    if let Some(inner) = rest.strip_prefix(b"[")
        && let Some(end) = inner.iter().position(|byte| *byte == b']')
    {
        return Said { code: words(&inner[..end]), text: inner[end + 1..].trim_ascii().to_vec() };
    }
    Said { code: Vec::new(), text: rest.trim_ascii().to_vec() }
}

fn list(cursor: &mut Cursor<'_>) -> Result<Response, &'static str> {
    let Value::List(attributes) = cursor.value(0)? else { return Err("attributes of a mailbox in parentheses") };
    let word = |value: Value| match value {
        Value::Atom(word) => Some(String::from_utf8_lossy(&word).to_ascii_lowercase()),
        _ => None,
    };
    let delimiter = match cursor.value(0)? {
        Value::Nil => None,
        Value::Text(text) | Value::Atom(text) => match std::str::from_utf8(&text).ok().map(|text| text.chars()) {
            Some(mut chars) => match (chars.next(), chars.next()) {
                (Some(delimiter), None) => Some(delimiter),
                (None, _) => None,
                _ => return Err("one character between levels of names"),
            },
            None => return Err("one character between levels of names"),
        },
        _ => return Err("what stands between levels of names"),
    };
    let name = match cursor.value(0)? {
        Value::Atom(name) | Value::Text(name) => name,
        Value::Nil => b"NIL".to_vec(),
        _ => return Err("the name of a mailbox"),
    };
    Ok(Response::List(Listed { attributes: attributes.into_iter().filter_map(word).collect(), delimiter, name }))
}

fn fetch(number: u32, cursor: &mut Cursor<'_>) -> Result<Response, &'static str> {
    let Value::List(values) = cursor.value(0)? else { return Err("what a message is, in parentheses") };
    let mut found = Vec::new();
    let mut values = values.into_iter();
    while let Some(name) = values.next() {
        let Value::Atom(name) = name else { return Err("the name of what is told of a message") };
        let Some(value) = values.next() else { return Err("a value after a name") };
        found.push((String::from_utf8_lossy(&name).to_ascii_uppercase(), value));
    }
    Ok(Response::Fetch(number, found))
}

/// Where reading is.
struct Cursor<'a> {
    pieces: &'a [Piece],
    piece: usize,
    at: usize,
    values: usize,
}

impl Cursor<'_> {
    /// What is left of the text at hand.
    fn text(&self) -> &[u8] {
        match self.pieces.get(self.piece) {
            Some(Piece::Text(text)) => &text[self.at..],
            _ => &[],
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text().first().copied()
    }

    fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// The next word; may be empty.
    fn word(&mut self) -> Vec<u8> {
        let text = self.text();
        let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        let word = text[..end].to_vec();
        self.at += end;
        word
    }

    fn rest(&mut self) -> Vec<u8> {
        let rest = self.text().to_vec();
        self.at += rest.len();
        rest
    }

    fn value(&mut self, depth: usize) -> Result<Value, &'static str> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Err("fewer values, and fewer within another");
        }
        self.spaces();
        match self.peek() {
            Some(b'(') => self.list(depth),
            Some(b'"') => self.quoted(),
            Some(b'{' | b'~') => self.literal(),
            Some(b')') | None => Err("a value"),
            Some(_) => {
                let atom = self.atom();
                Ok(if atom.eq_ignore_ascii_case(b"NIL") { Value::Nil } else { Value::Atom(atom) })
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, &'static str> {
        self.at += 1;
        let mut values = Vec::new();
        loop {
            self.spaces();
            match self.peek() {
                Some(b')') => {
                    self.at += 1;
                    return Ok(Value::List(values));
                }
                None => return Err("the end of a list"),
                Some(_) => values.push(self.value(depth + 1)?),
            }
        }
    }

    fn quoted(&mut self) -> Result<Value, &'static str> {
        let text = self.text();
        let mut out = Vec::new();
        let mut bytes = text.iter().enumerate().skip(1);
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.at += at + 1;
                    return Ok(Value::Text(out));
                }
                b'\\' => out.push(*bytes.next().ok_or("the end of a string")?.1),
                other => out.push(*other),
            }
        }
        Err("the end of a string")
    }

    /// The text ends here: what follows is a literal, then more text.
    fn literal(&mut self) -> Result<Value, &'static str> {
        let value = match self.pieces.get(self.piece + 1) {
            Some(Piece::Literal(bytes)) => Value::Text(bytes.clone()),
            Some(Piece::Passed(length)) => Value::Passed(*length),
            _ => return Err("a literal"),
        };
        self.piece += 2;
        self.at = 0;
        Ok(value)
    }

    /// An atom; what stands in brackets belongs to it, blanks too: `BODY[HEADER.FIELDS (DATE)]<0>`.
    fn atom(&mut self) -> Vec<u8> {
        let text = self.text();
        let mut inside = false;
        let end = text.iter().position(|byte| {
            match byte {
                b'[' => inside = true,
                b']' => inside = false,
                b' ' | b'(' | b')' if !inside => return true,
                _ => {}
            }
            false
        });
        let atom = text[..end.unwrap_or(text.len())].to_vec();
        self.at += atom.len();
        atom
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Result<Response, &'static str> {
        parse(&[Piece::Text(line.as_bytes().to_vec())])
    }

    #[test]
    fn responses_are_read() {
        assert_eq!(one("* 23 EXISTS"), Ok(Response::Exists(23)));
        assert_eq!(one("* 4 expunge"), Ok(Response::Expunge(4)));
        assert_eq!(one("+ idling"), Ok(Response::Continue));
        assert_eq!(one("* SEARCH 2 5 9 (MODSEQ 3)"), Ok(Response::Search(vec![2, 5, 9])));
        assert_eq!(one("* SEARCH"), Ok(Response::Search(Vec::new())));
        let Ok(Response::Tagged(tag, Status::No, said)) = one("a1 NO [AUTHENTICATIONFAILED x] Wrong {5}") else {
            panic!()
        };
        assert_eq!(
            (tag.as_slice(), said.code[0].as_str(), said.text.as_slice()),
            (&b"a1"[..], "AUTHENTICATIONFAILED", &b"Wrong {5}"[..])
        );
        for (line, delimiter, name) in [
            (r#"* LIST (\HasNoChildren \Sent) "/" "Gesendet""#, Some('/'), "Gesendet"),
            (r#"* LIST () "." INBOX.a"#, Some('.'), "INBOX.a"),
            ("* LIST () NIL flat", None, "flat"),
            (r#"* LIST () "\\" "a\\b\"c""#, Some('\\'), r#"a\b"c"#),
        ] {
            let Ok(Response::List(listed)) = one(line) else { panic!("{line}") };
            assert_eq!((listed.delimiter, listed.name.as_slice()), (delimiter, name.as_bytes()), "{line}");
        }
        for wrong in [
            "",
            "*",
            "* 3 FETCH",
            "* 3 FETCH (UID",
            "* 3 FETCH (UID)",
            "* LIST x",
            "a1",
            "a1 MAYBE",
            r#"* LIST () "ab" x"#,
        ] {
            assert!(one(wrong).is_err(), "{wrong}");
        }
        assert!(one(&format!("* 1 FETCH ({}", "(".repeat(100_000))).is_err());
    }

    #[test]
    fn a_message_comes_as_a_literal_between_other_things() {
        let line = b"* 3 FETCH (UID 7 FLAGS (\\Seen $x) BODY[] {5}".to_vec();
        assert_eq!(literal_of(&line, &line), Some(5));
        assert!(is_message(&line) && is_message(b"* 1 FETCH (RFC822 {1}") && !is_message(b"* 1 FETCH (BODY[TEXT] {1}"));
        let pieces = [
            Piece::Text(line),
            Piece::Literal(b"a{9}\r".to_vec()),
            Piece::Text(b" BODY[HEADER.FIELDS (DATE)] NIL)".to_vec()),
        ];
        let Ok(Response::Fetch(3, found)) = parse(&pieces) else { panic!() };
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["UID", "FLAGS", "BODY[]", "BODY[HEADER.FIELDS (DATE)]"]);
        assert_eq!(found[2].1, Value::Text(b"a{9}\r".to_vec()));
    }

    #[test]
    fn only_responses_that_can_have_literals_have_some() {
        for (line, literal) in [
            ("* OK hello {5}", None),
            ("a1 OK FETCH {5}", None),
            ("* 1 FETCH (BODY[] {5+}", Some(5)),
            ("* 1 FETCH (BODY[] {x}", None),
            ("* 1 FETCH (BODY[] {99999999999999999999}", None),
            ("* LIST () \"/\" {3}", Some(3)),
        ] {
            assert_eq!(literal_of(line.as_bytes(), line.as_bytes()), literal, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_pieces_give_a_result(texts in prop::collection::vec(prop_oneof![
            "[ -~]{0,40}".prop_map(|text| Piece::Text(text.into_bytes())),
            "\\* [0-9]{1,3} FETCH \\(.{0,30}".prop_map(|text| Piece::Text(text.into_bytes())),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Piece::Literal),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Piece::Text),
            any::<u64>().prop_map(Piece::Passed),
        ], 0..5)) {
            let _ = parse(&texts);
        }
    }
}
