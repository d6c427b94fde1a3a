//! Styles of strangers: what is read of them, token by token, and written anew.
//!
//! Nothing is judged by its letters. A style is tokenised as browsers do it (strings, escapes, comments, addresses,
//! functions, blocks: cssparser, which came out of a browser), each token is looked at, and what is kept is written out of the
//! tokens, in one way that can't be misread. So an address hidden by an escape, a comment or a quotation mark is an address like
//! any other, and none is ever written: not `url()`, not `image-set()`, not `@import`, `@font-face` or `src()`.
//!
//! [`value`] keeps values, [`declarations`] lists of them, [`sheet`] the content of `<style>`; [`colour`] knows what
//! colours are, and [`cascade`] guesses what applies to an element.

pub(crate) mod cascade;
pub(crate) mod colour;
pub(crate) mod declarations;
pub(crate) mod sheet;
pub(crate) mod value;

/// Deepest nesting of functions and blocks.
const MAX_NESTING: u8 = 12;

/// Longest name of anything: keyword, class, property.
const MAX_NAME_BYTES: usize = 80;

/// A parser over `text` with limits.
pub(crate) fn parser(text: &str) -> cssparser::Parser<'_> {
    let mut parser = cssparser::Parser::new(text);
    parser.set_nested_block_limit(MAX_NESTING);
    parser
}

/// Whether a name can be written as it is, without escapes.
pub(crate) fn is_plain_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (!c.is_ascii() && c.is_alphanumeric()))
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.trim_start_matches('-').starts_with(|c: char| !c.is_ascii_digit())
}
