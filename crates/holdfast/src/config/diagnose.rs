//! What is wrong in a configuration file, where, and what to do about it.

use std::path::{Path, PathBuf};

/// Why a configuration was not accepted. The text of each is complete: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or not readable.
    #[error("{}: cannot be read: {error}\n  remedy: correct the path after --config, or leave it out to run on defaults", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not TOML, has an unknown key or a value of the wrong kind.
    #[error("{}:{line}: {message}\n    {source_line}\n  remedy: {remedy}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// The line as it stands.
        source_line: String,
        /// What to do.
        remedy: String,
    },
    /// A value that is well-formed and still can't be.
    #[error("{}:{line}: `{key}` {message}\n  remedy: {remedy}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 1 when the key is not in the file.
        line: usize,
        /// The dotted key.
        key: String,
        /// What is wrong.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// An environment variable that can't be applied.
    #[error("environment variable {name}: {message}\n  remedy: correct or unset it")]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong.
        message: String,
    },
}

/// Turns a TOML error into one that names the line and suggests the nearest key.
pub(super) fn explain(text: &str, path: &Path, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text[..start].matches('\n').count() + 1;
    let source_line = text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
    let message = error.message().trim().to_owned();
    let remedy = unknown_key(&message).map_or_else(
        || "see docs/configuration.md for what this key takes".to_owned(),
        |(key, known)| match nearest(key, &known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("remove it; known here: {}", known.join(", ")),
        },
    );
    ConfigError::Parse { path: path.to_owned(), line, message, source_line, remedy }
}

/// The key and the known ones of serde's "unknown field `x`, expected one of `a`, `b`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.collect()))
}

fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The line that sets `key` in the `number`th table (from 0) of the array of tables `section`; that table's first line
/// when the key is not there.
pub(super) fn line_in(text: &str, section: &str, number: usize, key: &str) -> usize {
    let mut seen = 0;
    let mut begin = 1;
    for (line, content) in text.lines().enumerate() {
        let content = content.trim();
        if content.starts_with('[') {
            if seen == number + 1 {
                break;
            }
            if content
                .strip_prefix("[[")
                .and_then(|rest| rest.split(']').next())
                .is_some_and(|name| name.trim() == section)
            {
                seen += 1;
                begin = line + 1;
            }
        } else if seen == number + 1 && content.split('=').next().is_some_and(|left| left.trim() == key) {
            return line + 1;
        }
    }
    begin
}

/// The line that sets the dotted `key`, or 1 when none does.
pub(super) fn line_of(text: &str, key: &str) -> usize {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut current = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            header.trim().clone_into(&mut current);
        } else if current == section && line.split('=').next().is_some_and(|left| left.trim().trim_matches('"') == name)
        {
            return number + 1;
        }
    }
    1
}
