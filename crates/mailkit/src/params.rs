//! Structured MIME values: `token; name=value; ...` (RFC 2045 section 5.1, RFC 2183, RFC 2231).

use std::collections::BTreeMap;

use crate::charset;
use crate::parsed::Param;
use crate::words::decode_text;

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
pub(crate) fn decoded(params: &[Param], name: &str) -> Option<String> {
    let extended = params
        .iter()
        .find(|param| param.name.len() == name.len() + 1 && param.name.ends_with('*') && param.name.starts_with(name));
    if let Some(param) = extended {
        return Some(decode_extended(&param.value));
    }
    let plain = params.iter().find(|param| param.name == name)?;
    Some(decode_text(&plain.value))
}

fn decode_extended(value: &[u8]) -> String {
    let mut parts = value.splitn(3, |b| *b == b'\'');
    let (charset, text) = match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_language), Some(text)) => (charset, text),
        _ => (&b""[..], value),
    };
    let bytes = charset::unescape(text, b'%');
    let charset = std::str::from_utf8(charset).ok().filter(|c| !c.is_empty());
    charset::decode_charset(charset, &bytes).replace(|c: char| c.is_control(), " ")
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

    fn quoted(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 1;
        while at < self.rest.len() {
            match self.rest[at] {
                b'"' => {
                    at += 1;
                    break;
                }
                b'\\' if at + 1 < self.rest.len() => {
                    at += 1;
                    out.push(self.rest[at]);
                }
                byte => out.push(byte),
            }
            at += 1;
        }
        self.rest = &self.rest[at..];
        // What follows the closing quote, up to the semicolon, means nothing.
        let junk = memchr::memchr(b';', self.rest).unwrap_or(self.rest.len());
        self.rest = &self.rest[junk..];
        out
    }

    /// An unquoted value. Spaces in it are kept: many write `name=my file.pdf`.
    fn token(&mut self) -> Vec<u8> {
        let end = self.rest.iter().position(|b| matches!(b, b';' | b'(')).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token.trim_ascii().to_vec()
    }
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
            assert_eq!(decoded(&read.params, "filename").as_deref(), Some("€.txt"), "{value}");
        }
    }
}
