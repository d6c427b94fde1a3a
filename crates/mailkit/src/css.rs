//! CSS of untrusted mail: parsed token by token and rewritten.
//!
//! Nothing is decided by matching text. A style is tokenized as in browsers (strings, escapes, comments, addresses,
//! functions, blocks: cssparser, which comes from a browser), each token is checked, and the kept tokens are written
//! again in one unambiguous form. So an address hidden by an escape, a comment or a quotation mark is recognized like
//! any other, and no address is ever written: not `url()`, not `image-set()`, not `@import`, `@font-face` or `src()`.
//!
//! [`value`] handles values, [`declarations`] lists of them, [`sheet`] the content of `<style>`; [`colour`] parses
//! colours, and [`cascade`] estimates what applies to an element.

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
