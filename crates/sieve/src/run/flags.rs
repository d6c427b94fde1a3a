//! Flags (RFC 5232).

use super::{Run, State};
use crate::error::RunError;
use crate::limits::MAX_FLAGS;
use crate::spec::Word;
use crate::tree::Step;

/// The flags in strings: each may hold several, with spaces between them. Each counts once, whatever its case.
pub(super) fn flags<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for flag in texts.into_iter().flat_map(str::split_whitespace).filter(|flag| is_flag(flag)) {
        if out.len() < MAX_FLAGS && !out.iter().any(|other| other.eq_ignore_ascii_case(flag)) {
            out.push(flag.to_owned());
        }
    }
    out
}

/// A system flag, or an IMAP atom.
fn is_flag(flag: &str) -> bool {
    const SYSTEM: [&str; 5] = ["answered", "flagged", "deleted", "seen", "draft"];
    if let Some(name) = flag.strip_prefix('\\') {
        return SYSTEM.iter().any(|known| known.eq_ignore_ascii_case(name));
    }
    flag.bytes().all(|c| c.is_ascii_graphic() && !b"(){%*\"\\]".contains(&c))
}

impl State {
    /// Sets the flags that copies get if nothing else is said.
    pub fn set_flags(&mut self, texts: &[String]) {
        self.flags = flags(texts.iter().map(String::as_str));
    }

    fn flags_of(&self, variable: Option<&str>) -> Vec<String> {
        match variable {
            Some(name) => flags([self.variable(&name.to_ascii_lowercase())]),
            None => self.flags.clone(),
        }
    }
}

impl Run<'_> {
    pub(super) fn change_flags(&mut self, step: &Step) -> Result<(), RunError> {
        let variable = if step.places.len() == 2 { Some(self.text(step, 0)?) } else { None };
        let given = self.texts(step, step.places.len() - 1)?;
        let given = flags(given.iter().map(String::as_str));
        let present = self.state.flags_of(variable.as_deref());
        let is_given = |flag: &String| given.iter().any(|other| other.eq_ignore_ascii_case(flag));
        let new = match step.word {
            Word::SetFlag => given,
            Word::AddFlag => flags(present.iter().chain(&given).map(String::as_str)),
            _ => present.into_iter().filter(|flag| !is_given(flag)).collect(),
        };
        match variable {
            Some(name) => self.state.set_variable(&name, new.join(" ")),
            None => self.state.flags = new,
        }
        Ok(())
    }

    /// The flags that an action's copy gets.
    pub(super) fn action_flags(&mut self, step: &Step) -> Vec<String> {
        match self.state.tag_texts(step, "flags") {
            Some(texts) => flags(texts.iter().map(String::as_str)),
            None => self.state.flags.clone(),
        }
    }

    pub(super) fn has_flag(&mut self, step: &Step) -> Result<bool, RunError> {
        let values: Vec<String> = if step.places.len() == 2 {
            let names = self.texts(step, 0)?;
            names.iter().flat_map(|name| self.state.flags_of(Some(name))).collect()
        } else {
            self.state.flags.clone()
        };
        let keys = self.texts(step, step.places.len() - 1)?;
        let keys: Vec<String> =
            keys.iter().flat_map(|key| key.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>()).collect();
        self.compare_with(step, &values, &keys)
    }
}
