//! Structured MIME values: `token; name=value; ...` (RFC 2045 section 5.1, RFC 2183, RFC 2231).

use std::collections::BTreeMap;

use crate::charset;
use crate::parsed::Param;
use crate::words::decode_text_or;

/// Parameters read of one field; more are left out.
pub(crate) const MAX_PARAMS: usize = 64;

/// A structured value taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Structured {
    /// What stands before the first semicolon: lower-case, comments and white space removed.
    pub(crate) head: String,
    /// The parameters.
    pub(crate) params: Vec<Param>,
}

/// Reads an unfolded value. RFC 2231 continuations are joined under one name: plain if all pieces are plain, else
/// `name*` with the value in extended notation (`charset'language'%41...`), as IMAP passes them on.
pub(crate) fn read(value: &[u8]) -> Structured {
    let mut lexer = Lexer { rest: value };
    let head = lexer.head().to_ascii_lowercase();
    let mut params: Vec<Param> = Vec::new();
    let mut pieces: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
    let mut count = 0;
    while let Some(byte) = lexer.skip_blank() {
        if byte == b';' {
            lexer.rest = &lexer.rest[1..];
            continue;
        }
        count += 1;
        if count > MAX_PARAMS {
            break;
        }
        let Some((name, value)) = lexer.param() else {
            continue;
        };
        match continuation(&name) {
            Some((base, number, extended)) => {
                if !pieces.contains_key(base) {
                    // Holds the place, so that the order stays.
                    params.push(Param { name: base.to_owned(), value: Vec::new() });
                }
                pieces.entry(base.to_owned()).or_default().push(Piece { number, extended, value });
            }
            None => params.push(Param { name, value }),
        }
    }
    for (base, list) in pieces {
        if let Some(param) = params.iter_mut().find(|param| param.name == base && param.value.is_empty()) {
            *param = join(base, list);
        }
    }
    Structured { head, params }
}

/// What stands before the first semicolon as it is written, comments and white space removed.
pub(crate) fn written_head(value: &[u8]) -> String {
    Lexer { rest: value }.head()
}

struct Piece {
    number: u32,
    extended: bool,
    value: Vec<u8>,
}

/// `name*0`, `name*0*` → base name, number, whether in extended notation. `name*` alone is kept as it is.
fn continuation(name: &str) -> Option<(&str, u32, bool)> {
    let (rest, extended) = match name.strip_suffix('*') {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let (base, number) = rest.split_once('*')?;
    if base.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((base, number.parse().ok()?, extended))
}

fn join(base: String, mut pieces: Vec<Piece>) -> Param {
    pieces.sort_by_key(|piece| piece.number);
    if !pieces.iter().any(|piece| piece.extended) {
        let value = pieces.into_iter().flat_map(|piece| piece.value).collect();
        return Param { name: base, value };
    }
    let mut value = Vec::new();
    for (at, piece) in pieces.into_iter().enumerate() {
        if at == 0 && !piece.extended {
            value.extend_from_slice(b"''");
        }
        if piece.extended {
            value.extend_from_slice(&piece.value);
        } else {
            // A plain piece among extended ones: its specials must not be taken for escapes.
            for byte in piece.value {
                if byte.is_ascii_alphanumeric() || b".-_ ".contains(&byte) {
                    value.push(byte);
                } else {
                    value.extend_from_slice(format!("%{byte:02X}").as_bytes());
                }
            }
        }
    }
    Param { name: base + "*", value }
}

/// A parameter's value for people: RFC 2231 notation, RFC 2047 words (forbidden there, yet common) and raw 8-bit text
/// are decoded.
pub(crate) fn decoded(params: &[Param], name: &str, hint: Option<&str>) -> Option<String> {
    let extended = params
        .iter()
        .find(|param| param.name.len() == name.len() + 1 && param.name.ends_with('*') && param.name.starts_with(name));
    if let Some(param) = extended {
        return Some(decode_extended(&param.value, hint));
    }
    let plain = params.iter().find(|param| param.name == name)?;
    Some(decode_text_or(&plain.value, hint))
}

fn decode_extended(value: &[u8], hint: Option<&str>) -> String {
    let mut parts = value.splitn(3, |b| *b == b'\'');
    let (charset, text) = match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_language), Some(text)) => (charset, text),
        _ => (&b""[..], value),
    };
    let bytes = charset::unescape(text, b'%');
    let charset = std::str::from_utf8(charset).ok().filter(|c| !c.is_empty());
    charset::decode_charset_or(charset, hint, &bytes).replace(|c: char| c.is_control(), " ")
}

struct Lexer<'a> {
    rest: &'a [u8],
}

impl Lexer<'_> {
    /// Up to the first semicolon.
    fn head(&mut self) -> String {
        let mut head = String::new();
        while let Some(byte) = self.skip_blank() {
            if byte == b';' {
                break;
            }
            self.rest = &self.rest[1..];
            if byte.is_ascii_graphic() {
                head.push(char::from(byte));
            }
        }
        head
    }

    /// Skips white space and comments; the byte that follows.
    fn skip_blank(&mut self) -> Option<u8> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            let first = *self.rest.first()?;
            if first != b'(' {
                return Some(first);
            }
            self.skip_comment();
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0u32;
        let mut at = 0;
        while at < self.rest.len() {
            match self.rest[at] {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\\' => at += 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        self.rest = &self.rest[at.min(self.rest.len())..];
    }

    /// `name=value` up to the next semicolon. `None` if there is no `=`.
    fn param(&mut self) -> Option<(String, Vec<u8>)> {
        let end = self.rest.iter().position(|b| matches!(b, b'=' | b';')).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if !rest.starts_with(b"=") {
            return None;
        }
        self.rest = &rest[1..];
        let name: String =
            name.iter().filter(|b| b.is_ascii_graphic()).map(|b| char::from(b.to_ascii_lowercase())).collect();
        let value = match self.skip_blank() {
            Some(b'"') => self.quoted(),
            _ => self.token(),
        };
        (!name.is_empty()).then_some((name, value))
    }

    /// A quoted value. Quotes that senders forgot to escape belong to it, and so do backslashes before anything but a
    /// quote or a backslash: they are what paths are made of, and half of characters in several sets.
    fn quoted(&mut self) -> Vec<u8> {
        let body = &self.rest[1..];
        let closing = closing_quotes(body);
        let mut out = Vec::new();
        let mut at = 0;
        while at < closing.end {
            match &body[at..closing.end] {
                [b'\\', escaped @ (b'"' | b'\\'), ..] => {
                    out.push(*escaped);
                    at += 1;
                }
                [byte, ..] => out.push(*byte),
                [] => break,
            }
            at += 1;
        }
        self.rest = &body[closing.next..];
        out
    }

    /// An unquoted value. Spaces in it are kept, and parentheses that are no comment at its end: many write
    /// `name=my file (1).pdf`.
    fn token(&mut self) -> Vec<u8> {
        let end = memchr::memchr(b';', self.rest).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        let token = token.trim_ascii();
        let comment = memchr::memchr(b'(', token).filter(|at| token.ends_with(b")") && !token[..*at].is_empty());
        comment.map_or(token, |at| token[..at].trim_ascii_end()).to_vec()
    }
}

/// Where a quoted value ends, and what follows it begins.
struct Closing {
    end: usize,
    next: usize,
}

/// Finds the quote that ends a quoted value: the first that the end or a semicolon follows, but for space and a comment.
/// If there is none before the next parameter, it is the first of all.
fn closing_quotes(body: &[u8]) -> Closing {
    let mut first: Option<usize> = None;
    let mut escaped_last: Option<usize> = None;
    let mut at = 0;
    while at < body.len() {
        match &body[at..] {
            [b'\\', b'\\', ..] => at += 2,
            [b'\\', b'"', ..] => {
                // `"C:\dir\"`: the last backslash escapes the quote that was meant to end the value.
                if ends_value(&body[at + 2..]) {
                    escaped_last.get_or_insert(at + 1);
                }
                at += 2;
            }
            [b'"', rest @ ..] => {
                if ends_value(rest) {
                    return Closing { end: at, next: at + 1 + to_semicolon(rest) };
                }
                first.get_or_insert(at);
                at += 1;
            }
            [b';', rest @ ..] if first.is_some() && begins_param(rest) => break,
            _ => at += 1,
        }
    }
    match first.or(escaped_last) {
        // What follows the closing quote, up to the semicolon, means nothing.
        Some(end) => Closing { end, next: end + 1 + to_semicolon(&body[end + 1..]) },
        None => Closing { end: body.len(), next: body.len() },
    }
}

fn to_semicolon(rest: &[u8]) -> usize {
    memchr::memchr(b';', rest).unwrap_or(rest.len())
}

/// Most white space looked at after a quote.
const MAX_BLANKS: usize = 80;

/// Whether nothing but space, and one comment, stands before the end or a semicolon.
fn ends_value(rest: &[u8]) -> bool {
    let blank = |rest: &[u8]| rest.iter().take(MAX_BLANKS).take_while(|b| b.is_ascii_whitespace()).count();
    let rest = &rest[blank(rest)..];
    let rest = match rest {
        [b'(', ..] => match rest.iter().take(MAX_BLANKS).position(|b| *b == b')') {
            Some(end) => &rest[end + 1..],
            None => rest,
        },
        _ => rest,
    };
    matches!(rest[blank(rest)..], [] | [b';', ..])
}

/// Whether `name=` stands here.
fn begins_param(rest: &[u8]) -> bool {
    let rest = rest[..rest.len().min(MAX_BLANKS)].trim_ascii_start();
    let name = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"-_*".contains(b)).count();
    name > 0 && rest[name..].trim_ascii_start().starts_with(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: &str) -> Vec<(String, String)> {
        read(value.as_bytes())
            .params
            .into_iter()
            .map(|p| (p.name, String::from_utf8_lossy(&p.value).into_owned()))
            .collect()
    }

    #[test]
    fn content_types_of_real_mail_are_read() {
        let read = read(b"Text/Plain ; CharSet=\"utf-8\" (c;x) ; format=flowed;");
        assert_eq!(read.head, "text/plain");
        assert_eq!(
            params("text/plain; charset = utf-8; name=my file.pdf; x; =y"),
            [("charset".into(), "utf-8".into()), ("name".into(), "my file.pdf".into())]
        );
        assert_eq!(
            params(r#"a/b; boundary="x\"y;z" junk; c=d"#),
            [("boundary".into(), "x\"y;z".into()), ("c".into(), "d".into())]
        );
        assert_eq!(params(r#"a/b; n="open"#), [("n".into(), "open".into())]);
    }

    #[test]
    fn quotes_and_backslashes_in_names_are_kept() {
        for (value, name) in [
            (r#"a; n="The "last" offer.pdf""#, r#"The "last" offer.pdf"#),
            (r#"a; n="The "last" offer.pdf"; c=d"#, r#"The "last" offer.pdf"#),
            (r#"a; n="The "last" offer.pdf" (x) ; c=d"#, r#"The "last" offer.pdf"#),
            (r#"a; n=""quoted".pdf""#, r#""quoted".pdf"#),
            (r#"a; n="5" pipe.pdf"; c="d""#, r#"5" pipe.pdf"#),
            (r#"a; n="say "a; b" now.pdf""#, r#"say "a; b" now.pdf"#),
            (r#"a; n="x" junk; c="d""#, "x"),
            (r#"a; n="a (1).pdf"; c=d"#, "a (1).pdf"),
            (r#"a; n="The \"last\" offer.pdf""#, r#"The "last" offer.pdf"#),
            (r#"a; n="C:\Users\ines\report.pdf""#, r"C:\Users\ines\report.pdf"),
            (r#"a; n="C:\\Users\\ines\\report.pdf""#, r"C:\Users\ines\report.pdf"),
            (r#"a; n="C:\dir\"; c=d"#, r"C:\dir\"),
            (r"a; n=C:\Users\report.pdf; c=d", r"C:\Users\report.pdf"),
            ("a; n=report (1).pdf; c=d", "report (1).pdf"),
            ("a; n=x (comment); c=d", "x"),
            (r#"a; n="""#, ""),
            (r#"a; n="; c=d"#, "; c=d"),
        ] {
            let read = params(value);
            assert_eq!(read[0], ("n".into(), name.into()), "{value}");
            if value.contains("; c=") && !name.contains("c=") {
                assert_eq!(read.get(1), Some(&("c".into(), "d".into())), "{value}");
            }
        }
        // Two of these are a character of Shift_JIS.
        let read = read(b"a; n=\"\x97\x5c\x92\xe8\"");
        assert_eq!(read.params[0].value, b"\x97\x5c\x92\xe8");
    }

    #[test]
    fn continuations_are_joined_in_number_order() {
        assert_eq!(params("a/b; url*1=\"world\"; url*0=\"hello \""), [("url".into(), "hello world".into())]);
        assert_eq!(
            params("a/b; t*0*=us-ascii'en'This%20is%20; t*1*=%2A%2Afun; t*2=\" it's\""),
            [("t*".into(), "us-ascii'en'This%20is%20%2A%2Afun it%27s".into())]
        );
    }

    #[test]
    fn values_for_people_are_decoded_whatever_the_notation() {
        for value in [
            "a; filename*=utf-8''%e2%82%ac.txt",
            "a; filename=\"=?utf-8?B?4oKsLnR4dA==?=\"",
            "a; filename=\"€.txt\"",
            "a; filename*0*=utf-8''%e2%82; filename*1*=%ac.txt",
            "a; filename=x; filename*=utf-8''%e2%82%ac.txt",
        ] {
            let read = read(value.as_bytes());
            assert_eq!(decoded(&read.params, "filename", None).as_deref(), Some("€.txt"), "{value}");
        }
    }
}
