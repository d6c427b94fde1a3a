//! Error messages for a configuration file: what is wrong, where, and how to fix it.

use std::path::{Path, PathBuf};

use super::finding::Finding;

/// Why a configuration was not accepted. The text of each is complete: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or not readable.
    #[error("{}: cannot be read: {error}\n  remedy: correct the path after --config, or omit --config to use the defaults", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The file is not TOML, has an unknown key or a value of the wrong kind.
    #[error("{}:{line}: {message}\n    {source_line}\n  remedy: {remedy}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The message.
        message: String,
        /// The source line.
        source_line: String,
        /// The remedy.
        remedy: String,
    },
    /// A value that is well-formed and still can't be.
    #[error("{}: `{key}` {message}\n  remedy: {remedy}", place(path, *line))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line, from 1; none when the key is not in the file.
        line: Option<usize>,
        /// The dotted key.
        key: String,
        /// The message.
        message: String,
        /// The remedy.
        remedy: String,
    },
    /// An environment variable that can't be applied.
    #[error("environment variable {name}: {message}")]
    Environment {
        /// The variable.
        name: String,
        /// The message.
        message: String,
    },
    /// More than one of these.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<ConfigError>),
}

fn place(path: &Path, line: Option<usize>) -> String {
    line.map_or_else(|| path.display().to_string(), |line| format!("{}:{line}", path.display()))
}

/// Where a finding is in `text`; `set` has the keys that came from the environment.
pub(super) fn wrong(text: &str, path: &Path, set: &[(String, String)], finding: Finding) -> ConfigError {
    let Finding { key, archive, message, remedy } = finding;
    if let Some((_, name)) = set.iter().find(|(from_environment, _)| *from_environment == key) {
        return ConfigError::Environment { name: name.clone(), message: format!("{message}\n  remedy: {remedy}") };
    }
    let line = match archive {
        Some(number) => Some(line_in(text, "archive", number, key.trim_start_matches("archive."))),
        None => line_of(text, &key),
    };
    ConfigError::Wrong { path: path.to_owned(), line, key, message, remedy }
}

/// The same for what may be meant, in words.
pub fn doubt(text: &str, path: &Path, finding: Finding) -> String {
    format!("warning: {}", wrong(text, path, &[], finding))
}

/// The most errors of one file that are reported.
const MAX_MISTAKES: usize = 20;

/// Reads a file; an error in one line does not hide others.
///
/// # Errors
/// Every line whose key or value is wrong, as far as the others can be read without it.
pub(super) fn read<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    let mut mistakes: Vec<ConfigError> = Vec::new();
    // Lines that are wrong are emptied, so that the others keep their numbers.
    let mut lines: Vec<&str> = text.lines().collect();
    loop {
        let rest = lines.join("\n");
        let error = match toml::from_str::<T>(&rest) {
            Ok(read) if mistakes.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(error) => error,
        };
        let start = error.span().map_or(0, |span| span.start.min(rest.len()));
        let at = rest[..start].matches('\n').count();
        mistakes.push(explain(&rest, path, &error));
        // Without its head the lines of a section would be another's.
        let Some(line) = lines.get_mut(at).filter(|line| is_plain(line)) else { break };
        *line = "";
        if mistakes.len() == MAX_MISTAKES {
            break;
        }
    }
    if mistakes.len() == 1 { Err(mistakes.remove(0)) } else { Err(ConfigError::Several(mistakes)) }
}

/// Whether a line sets one key and does not continue on the next line.
fn is_plain(line: &str) -> bool {
    let Some((_, value)) = line.split_once('=') else { return false };
    let opens = |open: char, close: char| value.matches(open).count() > value.matches(close).count();
    !line.trim_start().starts_with('[') && !opens('[', ']') && !opens('{', '}') && !value.contains("\"\"\"")
}

/// Turns a TOML error into one that names the line and suggests the nearest key.
fn explain(text: &str, path: &Path, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text[..start].matches('\n').count() + 1;
    let source_line = text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
    let (message, remedy) = advice(error.message());
    ConfigError::Parse { path: path.to_owned(), line, message, source_line, remedy }
}

/// The parser's message and the remedy. Some of our own types provide both.
pub(super) fn advice(message: &str) -> (String, String) {
    let message = message.trim();
    match message.split_once("; write it as ") {
        Some((wrong, example)) => (wrong.to_owned(), format!("write it as {example}")),
        None => (message.to_owned(), remedy(message)),
    }
}

fn remedy(message: &str) -> String {
    if let Some((found, known)) = unknown(message) {
        return match nearest(found, &known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if message.starts_with("unknown variant") => format!("write one of: {}", known.join(", ")),
            None => format!("remove it; valid keys here: {}", known.join(", ")),
        };
    }
    let known = [
        ("invalid socket address", "write address and port, such as \"0.0.0.0:25\" or \"[::]:25\""),
        ("invalid IP address", "write an address, such as \"192.0.2.1\" or \"2001:db8::1\""),
        ("expected usize", "write a whole number, without quotes"),
        ("expected u64", "write a whole number, without quotes"),
        ("expected a boolean", "write true or false, without quotes"),
        ("wanted string or table", "write one of the allowed values, in quotes; see `holdfast help holdfast.toml`"),
        ("expected a sequence", "write a list, such as [\"0.0.0.0:25\"]; [] disables the listener"),
        ("expected a string", "write the value in quotes"),
        ("expected path string", "write the value in quotes"),
        ("duplicate key", "the key appears twice: remove one of them"),
        ("string values must be quoted", "write the value in quotes"),
        ("invalid float", "write the value in quotes"),
    ];
    let found = known.iter().find(|(said, _)| message.contains(said));
    found
        .map_or("write `key = value` below a `[section]`; `holdfast help holdfast.toml` has all keys", |(_, remedy)| {
            remedy
        })
        .to_owned()
}

/// The found and the expected names in serde's "unknown field `x`, expected one of `a`, `b`", also for variants.
pub(super) fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.collect()))
}

pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The line that sets `key` in the `number`th table (from 0) of the array of tables `section`; that table's first line
/// when the key is not there.
fn line_in(text: &str, section: &str, number: usize, key: &str) -> usize {
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

/// The line that sets the dotted `key`.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut current = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            header.trim().clone_into(&mut current);
        } else if current == section && line.split('=').next().is_some_and(|left| left.trim().trim_matches('"') == name)
        {
            return Some(number + 1);
        }
    }
    None
}
