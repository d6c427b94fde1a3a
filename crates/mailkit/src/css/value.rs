//! Property values: parsed token by token, kept if every token is known to be harmless, rewritten.

use cssparser::{BasicParseErrorKind, ParseError, Parser, Token};

use super::colour::{self, Colour, Number};
use super::is_plain_name;

/// Most tokens of one value.
const MAX_PIECES: usize = 400;

/// Functions that are colours.
const COLOURS: [&str; 10] = ["rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "color"];

/// Functions that choose or mix colours.
const OF_COLOURS: [&str; 2] = ["color-mix", "light-dark"];

/// Functions that paint a ground without loading anything.
const GRADIENTS: [&str; 8] = [
    "linear-gradient",
    "radial-gradient",
    "conic-gradient",
    "repeating-linear-gradient",
    "repeating-radial-gradient",
    "repeating-conic-gradient",
    "-webkit-linear-gradient",
    "-webkit-radial-gradient",
];

/// Functions that name a picture to be loaded. As plain words they mean nothing, and look like half of an attack.
const PICTURES: [&str; 9] =
    ["url", "src", "image", "image-set", "-webkit-image-set", "cross-fade", "-webkit-cross-fade", "element", "paint"];

/// Whether a word can stand in a value or a media query.
pub(crate) fn is_word(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_plain_name(name) && !PICTURES.contains(&&*lower) && lower != "expression"
}

/// A token, or a function with what is in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// A keyword, a number, a quoted name: as it is written.
    Word(String),
    /// A length of so many pixels, about; and how it is written.
    Length(f32, String),
    /// A colour and how it is written; the colour is unknown if it depends on what surrounds it.
    Colour(Option<Colour>, String),
    /// A gradient: its colours, and how it is written.
    Gradient(Vec<Colour>, String),
    /// `var(--name, fallback)`: the name, the fallback, and how it is written.
    Variable(String, Vec<Piece>, String),
    /// A picture that is not loaded; whether it has an address.
    Picture(bool),
    Comma,
    Slash,
    /// `!important`, at the end.
    Important,
}

/// Why a value is not kept: something in it is not known, or there is too much of it.
pub(crate) struct Unknown;

type Refused = ParseError<()>;

fn unknown<T>() -> Result<T, Refused> {
    Err(ParseError::from_basic_kind(BasicParseErrorKind::EndOfInput))
}

/// Reads a value up to where `input` ends.
pub(crate) fn read(input: &mut Parser<'_>) -> Result<Vec<Piece>, Unknown> {
    let mut pieces = Vec::new();
    read_into(input, &mut pieces, true).map_err(|_| Unknown)?;
    Ok(pieces)
}

fn read_into(input: &mut Parser<'_>, pieces: &mut Vec<Piece>, is_outermost: bool) -> Result<(), Refused> {
    loop {
        input.skip_whitespace();
        let start = input.position();
        let Ok(token) = input.next().cloned() else { return Ok(()) };
        if pieces.len() >= MAX_PIECES || matches!(pieces.last(), Some(Piece::Important)) {
            return unknown();
        }
        let piece = match token {
            Token::Ident(name) if is_word(&name) => match colour::named(&name) {
                Some(colour) => Piece::Colour(Some(colour), name.to_string()),
                None if name.eq_ignore_ascii_case("currentcolor") => Piece::Colour(None, name.to_string()),
                None => Piece::Word(name.to_string()),
            },
            Token::Hash(digits) | Token::IDHash(digits) => match colour::hash(&digits) {
                Some(colour) => Piece::Colour(Some(colour), format!("#{digits}")),
                None => return unknown(),
            },
            Token::Number { value, .. } => Piece::Length(value, number_as_written(input.slice_from(start))?),
            Token::Percentage { unit_value, .. } => {
                Piece::Length(unit_value * 16.0, number_as_written(input.slice_from(start))?)
            }
            Token::Dimension { value, unit, .. } => {
                Piece::Length(value * pixels(&unit), number_as_written(input.slice_from(start))?)
            }
            Token::QuotedString(text) if is_plain_text(&text) => Piece::Word(format!("'{text}'")),
            Token::Comma => Piece::Comma,
            Token::Delim('/') => Piece::Slash,
            Token::Delim('!') if is_outermost => match input.expect_ident_matching("important") {
                Ok(()) => Piece::Important,
                Err(_) => return unknown(),
            },
            Token::UnquotedUrl(address) => Piece::Picture(!address.trim().is_empty()),
            Token::Function(name) => function(&name.to_ascii_lowercase(), input)?,
            _ => return unknown(),
        };
        pieces.push(piece);
    }
}

fn function(name: &str, input: &mut Parser<'_>) -> Result<Piece, Refused> {
    if name == "var" {
        return input.parse_nested_block(variable);
    }
    if PICTURES.contains(&name) {
        let has_address = input.parse_nested_block(|input| {
            let empty = matches!(input.next(), Ok(Token::QuotedString(text)) if text.trim().is_empty());
            while input.next().is_ok() {}
            Ok::<_, Refused>(!empty)
        })?;
        return Ok(Piece::Picture(has_address));
    }
    let is_colour = COLOURS.contains(&name);
    if !is_colour && !OF_COLOURS.contains(&name) && !GRADIENTS.contains(&name) {
        return unknown();
    }
    let inner = input.parse_nested_block(|input| {
        let mut inner = Vec::new();
        read_into(input, &mut inner, false)?;
        Ok::<_, Refused>(inner)
    })?;
    if inner.iter().any(|piece| matches!(piece, Piece::Picture(_) | Piece::Gradient(..) | Piece::Important))
        || inner.is_empty()
    {
        return unknown();
    }
    let written = format!("{name}({})", write(&inner));
    if GRADIENTS.contains(&name) {
        let colours =
            inner.iter().filter_map(|piece| if let Piece::Colour(colour, _) = piece { *colour } else { None });
        return Ok(Piece::Gradient(colours.collect(), written));
    }
    let colour = if is_colour { colour_of(name, &inner) } else { first_colour(&inner) };
    Ok(Piece::Colour(colour, written))
}

fn colour_of(name: &str, inner: &[Piece]) -> Option<Colour> {
    let mut numbers = Vec::new();
    for piece in inner {
        match piece {
            Piece::Length(value, written) => {
                let percent = written.ends_with('%');
                numbers.push(Number { value: if percent { value / 16.0 } else { *value }, percent });
            }
            Piece::Word(word) if word == "none" => numbers.push(Number { value: 0.0, percent: false }),
            Piece::Comma | Piece::Slash => {}
            Piece::Word(_) if name == "color" => {}
            _ => return None,
        }
    }
    if name == "color" {
        let [r, g, b, rest @ ..] = numbers.as_slice() else { return None };
        let alpha = rest.first().map_or(1.0, |alpha| alpha.value).clamp(0.0, 1.0);
        return Some(Colour { rgb: [r, g, b].map(|level| level.value.clamp(0.0, 1.0)), alpha });
    }
    colour::function(name, &numbers)
}

fn first_colour(inner: &[Piece]) -> Option<Colour> {
    inner.iter().find_map(|piece| if let Piece::Colour(colour, _) = piece { *colour } else { None })
}

fn variable(input: &mut Parser<'_>) -> Result<Piece, Refused> {
    let name = match input.next() {
        Ok(Token::Ident(name)) if is_variable(name) => name.to_string(),
        _ => return unknown(),
    };
    let mut fallback = Vec::new();
    let mut written = format!("var({name}");
    if input.next().is_ok_and(|token| *token == Token::Comma) {
        read_into(input, &mut fallback, false)?;
        if fallback.iter().any(|piece| matches!(piece, Piece::Picture(_))) {
            return unknown();
        }
        if !fallback.is_empty() {
            written.push_str(", ");
            written.push_str(&write(&fallback));
        }
    } else if !input.is_exhausted() {
        return unknown();
    }
    written.push(')');
    Ok(Piece::Variable(name, fallback, written))
}

/// A name of a custom property.
pub(crate) fn is_variable(name: &str) -> bool {
    name.strip_prefix("--").is_some_and(|rest| {
        !rest.is_empty()
            && rest.len() <= 60
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    })
}

/// The pieces as text.
pub(crate) fn write(pieces: &[Piece]) -> String {
    let mut out = String::new();
    for piece in pieces {
        let text = match piece {
            Piece::Word(text)
            | Piece::Length(_, text)
            | Piece::Colour(_, text)
            | Piece::Gradient(_, text)
            | Piece::Variable(_, _, text) => text.as_str(),
            Piece::Picture(_) => "none",
            Piece::Comma => {
                out.push(',');
                continue;
            }
            Piece::Slash => {
                out.push('/');
                continue;
            }
            Piece::Important => "!important",
        };
        if !out.is_empty() && !out.ends_with('/') {
            out.push(' ');
        }
        out.push_str(text);
    }
    out
}

fn number_as_written(text: &str) -> Result<String, Refused> {
    let text = text.trim();
    let plain =
        text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'%' | b'-' | b'+'));
    if plain { Ok(text.to_owned()) } else { unknown() }
}

/// What may stand in quotation marks: names of fonts.
fn is_plain_text(text: &str) -> bool {
    text.len() <= 100 && text.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '+'))
}

/// Pixels of a unit, about: enough to tell what is far off.
fn pixels(unit: &str) -> f32 {
    match unit.to_ascii_lowercase().as_str() {
        "px" | "deg" | "s" | "ms" | "fr" => 1.0,
        "pt" => 1.33,
        "cm" => 38.0,
        "mm" => 3.8,
        "in" => 96.0,
        "vw" | "vh" => 9.0,
        _ => 16.0,
    }
}
