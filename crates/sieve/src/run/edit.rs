//! Changing the message: `editheader` (RFC 5293), and `replace`, `enclose` and `extracttext` (RFC 5703).

use super::{Run, fail, strings};
use crate::check::{PROTECTED_FIELDS, field_name, field_value};
use crate::error::RunError;
use crate::limits::{MAX_ADDED_HEADERS, MAX_STRING_BYTES};
use crate::pieces::Stretch;
use crate::tree::Step;
use crate::write;

impl Run<'_> {
    pub(super) fn add_header(&mut self, step: &Step) -> Result<(), RunError> {
        let name = self.text(step, 0)?;
        let value = self.text(step, 1)?;
        field_name(&name).map_err(|text| RunError { at: step.at, text })?;
        field_value(&value).map_err(|text| RunError { at: step.at, text })?;
        let line = write::field(&name, &value);
        self.state.added_fields += 1;
        if self.state.added_fields > MAX_ADDED_HEADERS {
            return fail(step, format!("the script adds more than {MAX_ADDED_HEADERS} header fields"));
        }
        self.state.message.add(&name, line.into_bytes(), step.has("last"));
        Ok(())
    }

    pub(super) fn delete_header(&mut self, step: &Step) -> Result<(), RunError> {
        let name = self.text(step, 0)?;
        field_name(&name).map_err(|text| RunError { at: step.at, text })?;
        // Such a command is without effect (RFC 5293 section 6).
        if PROTECTED_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(&name)) {
            return Ok(());
        }
        let fields = self.state.message.all().iter().enumerate();
        let mut chosen: Vec<(usize, String)> = fields
            .filter(|(_, field)| field.name.eq_ignore_ascii_case(&name))
            .map(|(at, field)| (at, field.text().to_owned()))
            .collect();
        if let Some(index) = step.number("index") {
            let Some(at) = usize::try_from(index).ok().and_then(|index| index.checked_sub(1)) else {
                return fail(step, "':index' counts from 1");
            };
            let one = if step.has("last") { chosen.into_iter().rev().nth(at) } else { chosen.into_iter().nth(at) };
            chosen = one.into_iter().collect();
        }
        let mut gone = Vec::new();
        if step.places.len() > 1 {
            let keys = self.texts(step, 1)?;
            let counts = step.matcher.as_ref().is_some_and(|it| matches!(it.kind, crate::compare::MatchType::Count(_)));
            if counts {
                let values: Vec<String> = chosen.iter().map(|(_, value)| value.clone()).collect();
                if self.compare_with(step, &values, &keys)? {
                    gone = chosen.into_iter().map(|(at, _)| at).collect();
                }
            } else {
                for (at, value) in chosen {
                    if self.compare_with(step, std::slice::from_ref(&value), &keys)? {
                        gone.push(at);
                    }
                }
            }
        } else {
            gone = chosen.into_iter().map(|(at, _)| at).collect();
        }
        if !gone.is_empty() {
            self.state.message.retain(|at| !gone.contains(&at));
        }
        Ok(())
    }

    pub(super) fn extract_text(&mut self, step: &Step) -> Result<(), RunError> {
        let name = self.text(step, 0)?;
        let Some(&(at, _)) = self.state.loops.last() else {
            return fail(step, "extracttext must stand within foreverypart");
        };
        let message = &self.state.message;
        let part = message.parts().get(at);
        let mut text = part.and_then(|part| message.text_of(&part.part, MAX_STRING_BYTES)).unwrap_or_default();
        if let Some(first) = step.number("first") {
            text = text.chars().take(usize::try_from(first).unwrap_or(usize::MAX)).collect();
        }
        self.spend(step, text.len())?;
        let text = strings::modified(step, text);
        self.state.set_variable(&name, text);
        Ok(())
    }

    /// The part that the loop is at, or the whole message, becomes another.
    pub(super) fn replace(&mut self, step: &Step) -> Result<(), RunError> {
        let text = self.text(step, 0)?;
        let entity = if step.has("mime") { text } else { write::text_entity(&text) };
        let pieces = match self.state.loops.last() {
            Some(&(at, _)) if at > 0 => {
                let message = &self.state.message;
                let Some(part) = message.parts().get(at).map(|part| part.part.clone()) else {
                    return fail(step, "the part is no longer there");
                };
                let all = message.bytes().len() as u64;
                let (begin, end) = (part.header_start, part.body_end.min(all));
                if end == all && message.is_cut() {
                    return fail(step, "the part is too large to be replaced");
                }
                vec![Stretch::Original(0..begin), Stretch::Text(entity.into_bytes()), Stretch::Original(end..all)]
            }
            _ => {
                let (subject, from) = (self.tag_text(step, "subject")?, self.tag_text(step, "from")?);
                vec![Stretch::Text(write::around(&self.state.message, &entity, subject.as_deref(), from.as_deref()))]
            }
        };
        self.rebuild(step, &pieces)
    }

    fn rebuild(&mut self, step: &Step, pieces: &[Stretch]) -> Result<(), RunError> {
        self.spend(step, self.state.message.bytes().len())?;
        self.state.message.become_pieces(pieces);
        Ok(())
    }

    /// The message becomes an attachment of a new one.
    pub(super) fn enclose(&mut self, step: &Step) -> Result<(), RunError> {
        let text = self.text(step, 0)?;
        let subject = self.tag_text(step, "subject")?;
        let fields = self.state.tag_texts(step, "headers").unwrap_or_default();
        let pieces = write::enclosed(&self.state.message, &text, subject.as_deref(), &fields);
        self.rebuild(step, &pieces)
    }
}
