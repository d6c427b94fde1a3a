//! Strings with what is replaced in them: encoded characters (RFC 5228 section 2.4.2.4) when a script is checked, and
//! variables (RFC 5229 section 3) when it runs.

use crate::limits::MAX_VARIABLE_NAME;

/// A string as it stands in a checked script.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Fixed(String),
    Pieces(Vec<Piece>),
}

/// A piece of a string.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    /// A variable, in lower case; `global.` in front of those that scripts share by that name.
    Variable(String),
    Match(usize),
}

impl Template {
    /// A string in which nothing is replaced.
    pub(crate) fn fixed(text: impl Into<String>) -> Self {
        Self(Kind::Fixed(text.into()))
    }

    /// The string, if nothing is replaced in it.
    pub fn as_fixed(&self) -> Option<&str> {
        match &self.0 {
            Kind::Fixed(text) => Some(text),
            Kind::Pieces(_) => None,
        }
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        match &self.0 {
            Kind::Fixed(_) => &[],
            Kind::Pieces(pieces) => pieces,
        }
    }

    /// Reads a string with variables.
    ///
    /// # Errors
    /// A variable of a namespace that there is not.
    pub(crate) fn with_variables(text: &str, shares: bool) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut fixed = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            fixed.push_str(&rest[..at]);
            let after = &rest[at + 2..];
            let name = after.find('}').map(|end| &after[..end]);
            let Some(piece) = name.map(|name| variable(name, shares)).transpose()?.flatten() else {
                fixed.push_str("${");
                rest = after;
                continue;
            };
            if !fixed.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut fixed)));
            }
            pieces.push(piece);
            rest = &after[name.unwrap_or_default().len() + 1..];
        }
        fixed.push_str(rest);
        if pieces.is_empty() {
            return Ok(Self::fixed(fixed));
        }
        if !fixed.is_empty() {
            pieces.push(Piece::Text(fixed));
        }
        Ok(Self(Kind::Pieces(pieces)))
    }
}

/// What stands in `${}`; `None` if that is no name, so that it is text.
fn variable(name: &str, shares: bool) -> Result<Option<Piece>, String> {
    if !name.is_empty() && name.bytes().all(|c| c.is_ascii_digit()) {
        let Ok(number) = name.parse::<usize>() else {
            return Err(format!("the match variable ${{{name}}} is out of range"));
        };
        if number > crate::limits::MAX_MATCH_VALUES {
            return Err(format!(
                "the match variable ${{{name}}} is out of range: there are {}",
                crate::limits::MAX_MATCH_VALUES
            ));
        }
        return Ok(Some(Piece::Match(number)));
    }
    let (space, bare) = name.rsplit_once('.').map_or(("", name), |(space, bare)| (space, bare));
    let bare_is_number = !space.is_empty() && !bare.is_empty() && bare.bytes().all(|c| c.is_ascii_digit());
    if !(is_name(bare) || bare_is_number) || !space.split('.').all(|part| space.is_empty() || is_name(part)) {
        return Ok(None);
    }
    if bare.len() > MAX_VARIABLE_NAME {
        return Err(format!("the name of the variable {bare} is longer than {MAX_VARIABLE_NAME} characters"));
    }
    match space {
        "" => Ok(Some(Piece::Variable(bare.to_ascii_lowercase()))),
        space if shares && space.eq_ignore_ascii_case("global") => {
            Ok(Some(Piece::Variable(format!("global.{}", bare.to_ascii_lowercase()))))
        }
        space => Err(format!("there is no namespace {space} for the variable {name}")),
    }
}

/// Whether that can be the name of a variable.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// Replaces `${hex:...}` and `${unicode:...}`.
///
/// # Errors
/// A code point that there is not.
pub(crate) fn decode_characters(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let after = &rest[at + 2..];
        match after.find('}').map(|end| (decoded(&after[..end]), end)) {
            Some((Some(bytes), end)) => {
                out.extend(bytes?);
                rest = &after[end + 1..];
            }
            _ => {
                out.extend_from_slice(b"${");
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The bytes of one encoded sequence; `None` if it is none, so that it is text.
fn decoded(inside: &str) -> Option<Result<Vec<u8>, String>> {
    let (kind, digits) = inside.split_once(':')?;
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let numbers: Vec<&str> = digits.split(is_space).filter(|digits| !digits.is_empty()).collect();
    if numbers.is_empty() || !numbers.iter().all(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit())) {
        return None;
    }
    if kind.eq_ignore_ascii_case("hex") {
        let byte = |digits: &&str| if digits.len() <= 2 { u8::from_str_radix(digits, 16).ok() } else { None };
        return numbers.iter().map(byte).collect::<Option<Vec<u8>>>().map(Ok);
    }
    if !kind.eq_ignore_ascii_case("unicode") {
        return None;
    }
    let character = |digits: &&str| {
        let number = u32::from_str_radix(digits.trim_start_matches('0'), 16)
            .or_else(|error| if digits.trim_start_matches('0').is_empty() { Ok(0) } else { Err(error) });
        number.ok().and_then(char::from_u32).ok_or_else(|| format!("there is no Unicode character {digits}"))
    };
    Some(numbers.iter().map(character).collect::<Result<String, String>>().map(String::into_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_characters_are_replaced_and_the_rest_is_text() {
        for (text, decoded) in [
            ("$${hex:40}", "$@"),
            ("${hex: 40 }", "@"),
            ("${HEX: 40}", "@"),
            ("${hex:40", "${hex:40"),
            ("${hex:400}", "${hex:400}"),
            ("${hex:4${hex:30}}", "${hex:40}"),
            ("${unicode:40}", "@"),
            ("${ unicode:40}", "${ unicode:40}"),
            ("${UNICODE:40}", "@"),
            ("${UnICoDE:0000040}", "@"),
            ("${Unicode:40}", "@"),
            ("${Unicode:Cool}", "${Unicode:Cool}"),
            ("${hex:24 24}", "$$"),
        ] {
            assert_eq!(decode_characters(text).unwrap(), decoded, "{text}");
        }
        for wrong in ["${unicode:200000}", "${Unicode:DF01}"] {
            assert!(decode_characters(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_name_of_a_variable_is_text() {
        for text in ["${", "${}", "${a b}", "${a-b}", "$a", "${a", "${9a}", "&%${}!", "${doh!}"] {
            assert_eq!(Template::with_variables(text, false).unwrap().as_fixed(), Some(text));
        }
        assert!(Template::with_variables("${x.y}", true).is_err());
        assert_eq!(
            Template::with_variables("a${B}${1}c", false).unwrap().pieces(),
            [Piece::Text("a".into()), Piece::Variable("b".into()), Piece::Match(1), Piece::Text("c".into())]
        );
    }
}
