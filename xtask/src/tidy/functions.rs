//! Functions: how long they are, and how many parameters they take.
//!
//! A function's lines are those from its `fn` to its closing brace. `self` is no parameter here. Functions that only tests
//! have are left out: a test may tell a long story.

use std::path::Path;

use super::{
    tokens::{Token, closing, tokens, without_tests},
    violation::Violation,
};

/// The longest function.
const MAX_LINES: usize = 70;
/// The most parameters.
const MAX_PARAMETERS: usize = 6;

/// Checks the functions of a file.
pub(super) fn check(file: &Path, source: &str) -> Vec<Violation> {
    let tokens = without_tests(&tokens(source));
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.is("fn")) {
        // `fn(u8) -> u8` is a type.
        let Some(name) = tokens.get(at + 1).filter(|next| next.is_word()) else { continue };
        let Some(open) = parameters_at(&tokens, at + 2) else { continue };
        let broken = |what: String| Violation { file: file.to_owned(), line: token.line, rule: "function", what };
        let end = closing(&tokens, open);
        let count = parameters(&tokens[open + 1..end.min(tokens.len())]);
        if count > MAX_PARAMETERS {
            found.push(broken(format!(
                "`{}` takes {count} parameters, more than {MAX_PARAMETERS}: make those that belong together a struct",
                name.text
            )));
        }
        let Some(body) = body_at(&tokens, end + 1) else { continue };
        let lines = tokens.get(closing(&tokens, body)).map_or(0, |last| last.line + 1 - token.line);
        if lines > MAX_LINES {
            found.push(broken(format!(
                "`{}` has {lines} lines, more than {MAX_LINES}: give its steps names of their own",
                name.text
            )));
        }
    }
    found
}

/// Where the parameters begin, after the type parameters.
fn parameters_at(tokens: &[Token], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "<" => depth += 1,
            ">" => depth = depth.saturating_sub(1),
            "(" if depth == 0 => return Some(at),
            "{" | ";" if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Where the body begins, after the result's type (`-> [u8; 32]`) and conditions; `None` for a promise of a trait.
fn body_at(tokens: &[Token], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match tokens.get(at)?.text.as_str() {
            "{" => return Some(at),
            ";" => return None,
            "(" | "[" => at = closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
}

/// How many parameters stand between the parentheses, without `self`.
fn parameters(tokens: &[Token]) -> usize {
    let (mut count, mut depth, mut is_in_one) = (0, 0_usize, false);
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "(" | "[" | "{" => {
                at = closing(tokens, at);
                is_in_one = true;
            }
            "<" => depth += 1,
            ">" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                count += usize::from(is_in_one);
                is_in_one = false;
            }
            _ => is_in_one = true,
        }
        at += 1;
    }
    count += usize::from(is_in_one);
    // `self`, `&self`, `mut self`, `self: Arc<Self>`; a lifetime is no token.
    let is_self = tokens.iter().find(|token| !token.is("&") && !token.is("mut")).is_some_and(|token| token.is("self"));
    count - usize::from(is_self)
}
