//! Strings and variables (RFC 5229).

use super::{Run, State};
use crate::error::RunError;
use crate::limits::{MAX_STRING_BYTES, MAX_VARIABLE_BYTES};
use crate::template::{Piece, Template};
use crate::tree::{Step, Value};

impl State {
    /// A string with its variables replaced.
    pub fn expand(&self, template: &Template) -> String {
        if let Some(text) = template.as_fixed() {
            return text.to_owned();
        }
        let mut out = String::new();
        for piece in template.pieces() {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Variable(name) => out.push_str(self.variable(name)),
                Piece::Match(number) => out.push_str(self.captures.get(*number).map_or("", String::as_str)),
            }
        }
        cut(&mut out, MAX_STRING_BYTES);
        out
    }

    pub(super) fn variable(&self, name: &str) -> &str {
        let found = match name.strip_prefix("global.") {
            Some(name) => self.shared.get(name),
            None if self.scope.globals.contains(name) => self.shared.get(name),
            None => self.scope.variables.get(name),
        };
        found.map_or("", String::as_str)
    }

    pub(super) fn set_variable(&mut self, name: &str, mut value: String) {
        cut(&mut value, MAX_VARIABLE_BYTES);
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("global.") {
            Some(name) => self.shared.insert(name.to_owned(), value),
            None if self.scope.globals.contains(&name) => self.shared.insert(name, value),
            None => self.scope.variables.insert(name, value),
        };
    }

    /// The strings of a positional argument.
    pub fn texts(&self, step: &Step, place: usize) -> Vec<String> {
        let list = step.places.get(place).map(Value::templates).unwrap_or_default();
        list.iter().map(|text| self.expand(text)).collect()
    }

    /// The string of a positional argument.
    pub fn text(&self, step: &Step, place: usize) -> String {
        let list = step.places.get(place).map(Value::templates).unwrap_or_default();
        list.first().map(|text| self.expand(text)).unwrap_or_default()
    }

    /// The strings of a tag.
    pub fn tag_texts(&self, step: &Step, tag: &str) -> Option<Vec<String>> {
        let list = step.tag(tag).map(Value::templates)?;
        Some(list.iter().map(|text| self.expand(text)).collect())
    }
}

impl Run<'_> {
    pub(super) fn texts(&mut self, step: &Step, place: usize) -> Result<Vec<String>, RunError> {
        let texts = self.state.texts(step, place);
        self.spend(step, texts.iter().map(String::len).sum())?;
        Ok(texts)
    }

    pub(super) fn text(&mut self, step: &Step, place: usize) -> Result<String, RunError> {
        let text = self.state.text(step, place);
        self.spend(step, text.len())?;
        Ok(text)
    }

    pub(super) fn tag_text(&mut self, step: &Step, tag: &str) -> Result<Option<String>, RunError> {
        let text = self.state.tag_texts(step, tag).and_then(|texts| texts.into_iter().next());
        self.spend(step, text.as_ref().map_or(0, String::len))?;
        Ok(text)
    }

    pub(super) fn set(&mut self, step: &Step) -> Result<(), RunError> {
        let name = self.text(step, 0)?;
        let value = self.text(step, 1)?;
        let value = modified(step, value);
        self.state.set_variable(&name, value);
        Ok(())
    }
}

/// Applies the modifiers of a step, highest precedence first.
pub(super) fn modified(step: &Step, mut value: String) -> String {
    if step.has("lower") {
        value = value.to_lowercase();
    }
    if step.has("upper") {
        value = value.to_uppercase();
    }
    let first = value.chars().next();
    if let Some(c) = first {
        if step.has("lowerfirst") {
            value = c.to_lowercase().chain(value.chars().skip(1)).collect();
        }
        if step.has("upperfirst") {
            value = c.to_uppercase().chain(value.chars().skip(1)).collect();
        }
    }
    if step.has("quotewildcard") {
        value = quoted(&value, "*?\\");
    }
    if step.has("quoteregex") {
        value = quoted(&value, "\\.^$*+?()[]{}|");
    }
    if step.has("encodeurl") {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~".contains(&c);
        value =
            value.bytes().map(|c| if is_plain(c) { char::from(c).to_string() } else { format!("%{c:02X}") }).collect();
    }
    if step.has("length") {
        value = value.chars().count().to_string();
    }
    value
}

fn quoted(value: &str, special: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Cuts a text to at most so many bytes, between characters.
pub(crate) fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
