//! Header fields: `header`, `address`, `exists`, with `:index` (RFC 5260) and `:mime` (RFC 5703).

use mailkit::headers;

use super::Run;
use crate::address;
use crate::error::RunError;
use crate::tree::Step;

/// Longest field that is looked at, in bytes.
const MAX_FIELD: usize = 64 * 1024;

impl Run<'_> {
    pub(super) fn header_test(&mut self, step: &Step) -> Result<bool, RunError> {
        let names = self.texts(step, 0)?;
        let values = self.field_values(step, &names)?;
        self.compare(step, &values)
    }

    pub(super) fn address_test(&mut self, step: &Step) -> Result<bool, RunError> {
        let names = self.texts(step, 0)?;
        let separators = self.host.separators();
        let mut values = Vec::new();
        for value in self.raw_values(step, &names)? {
            let text = String::from_utf8_lossy(&value);
            values.extend(address::list(&text).iter().filter_map(|entry| entry.part(step.part, &separators)));
        }
        self.compare(step, &values)
    }

    pub(super) fn exists(&mut self, step: &Step) -> Result<bool, RunError> {
        for name in self.texts(step, 0)? {
            if self.raw_values(step, std::slice::from_ref(&name))?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The values of fields, decoded; with `:mime` what of them is meant.
    pub(super) fn field_values(&mut self, step: &Step, names: &[String]) -> Result<Vec<String>, RunError> {
        if !step.has("mime") {
            let mut values = Vec::new();
            for name in names {
                let found: Vec<&str> = self.state.message.headers(name).collect();
                values.extend(chosen(step, found).into_iter().map(ToOwned::to_owned));
            }
            self.spend(step, values.iter().map(String::len).sum())?;
            return Ok(values);
        }
        let mut out = Vec::new();
        let params = self.state.tag_texts(step, "param");
        for value in self.raw_values(step, names)? {
            let text = || headers::decode_text(&value).trim().to_owned();
            let structured = Structured::read(&String::from_utf8_lossy(&value));
            if let Some(params) = &params {
                out.extend(params.iter().filter_map(|name| structured.param(name)));
            } else if step.has("type") {
                out.push(structured.kind.split('/').next().unwrap_or_default().trim().to_owned());
            } else if step.has("subtype") {
                out.push(structured.kind.split_once('/').map_or("", |(_, sub)| sub.trim()).to_owned());
            } else if step.has("contenttype") {
                out.push(structured.kind);
            } else {
                out.push(text());
            }
        }
        Ok(out)
    }

    /// The values of fields, unfolded, as they are written.
    fn raw_values(&mut self, step: &Step, names: &[String]) -> Result<Vec<Vec<u8>>, RunError> {
        let message = &self.state.message;
        let mut values: Vec<Vec<u8>> = Vec::new();
        if step.has("mime") {
            let parts = message.parts();
            let at = self.state.loops.last().map_or(0, |&(at, _)| at);
            let end = match parts.get(at) {
                Some(part) if step.has("anychild") => part.end,
                _ => at + 1,
            };
            for part in parts.get(at..end.min(parts.len())).unwrap_or_default() {
                let header = message.slice(part.part.header_start..part.part.body_start);
                for name in names {
                    let found: Vec<_> = headers::fields(header).filter(|field| field.is(name)).collect();
                    values.extend(chosen(step, found).into_iter().map(|field| headers::unfold(field.value)));
                }
            }
        } else {
            for name in names {
                let found: Vec<_> = message.fields(name).collect();
                values.extend(chosen(step, found).into_iter().map(|field| field.unfolded()));
            }
        }
        for value in &mut values {
            value.truncate(MAX_FIELD);
        }
        let bytes = values.iter().map(Vec::len).sum();
        self.spend(step, bytes)?;
        Ok(values)
    }
}

/// `:index` and `:last`.
fn chosen<T>(step: &Step, found: Vec<T>) -> Vec<T> {
    let Some(index) = step.number("index") else { return found };
    let Some(before) = usize::try_from(index).ok().and_then(|index| index.checked_sub(1)) else { return Vec::new() };
    if step.has("last") { found.into_iter().rev().nth(before) } else { found.into_iter().nth(before) }
        .into_iter()
        .collect()
}

/// A value with parameters: `text/plain; charset=utf-8`.
struct Structured {
    kind: String,
    params: Vec<(String, String)>,
}

impl Structured {
    fn read(value: &str) -> Self {
        let mut pieces = Vec::new();
        let (mut begin, mut quoted, mut escaped) = (0, false, false);
        for (at, c) in value.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ';' if !quoted => {
                    pieces.push(&value[begin..at]);
                    begin = at + 1;
                }
                _ => {}
            }
        }
        pieces.push(&value[begin..]);
        let params = pieces[1..].iter().filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
        });
        Self { params: params.collect(), kind: pieces[0].split('(').next().unwrap_or_default().trim().to_owned() }
    }

    /// A parameter; one in pieces is joined (RFC 2231).
    fn param(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        let find = |name: &str| self.params.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        if let Some(value) = find(&name) {
            return Some(headers::decode_text(value.as_bytes()));
        }
        if let Some(value) = find(&format!("{name}*")) {
            return Some(percent_decoded(value.splitn(3, '\'').last().unwrap_or_default()));
        }
        let mut out = String::new();
        for index in 0..100 {
            if let Some(value) = find(&format!("{name}*{index}")) {
                out.push_str(&value);
            } else if let Some(value) = find(&format!("{name}*{index}*")) {
                let bare = if index == 0 { value.splitn(3, '\'').last().unwrap_or_default() } else { &value };
                out.push_str(&percent_decoded(bare));
            } else {
                break;
            }
        }
        (!out.is_empty()).then_some(out)
    }
}

fn unquoted(value: &str) -> String {
    let Some(inside) = value.strip_prefix('"') else {
        return value.split('(').next().unwrap_or_default().trim().to_owned();
    };
    let mut out = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

fn percent_decoded(text: &str) -> String {
    crate::notify::percent_decoded(text)
}
