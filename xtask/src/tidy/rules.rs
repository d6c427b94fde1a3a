//! `tidy.toml`: the floors of the house, and the exceptions from its rules.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use toml::{Table, Value};

use super::violation::Violation;

/// More exceptions would be another set of rules.
const MAX_EXCEPTIONS: usize = 10;

/// What `tidy.toml` says.
#[derive(Debug)]
pub(super) struct Rules {
    /// Crates by floor, the ground first. A crate uses those of lower floors alone.
    pub floors: Vec<Vec<String>>,
    /// Arrows that must not be although they point down: from, to.
    pub never: Vec<(String, String)>,
    exceptions: Vec<Exception>,
}

/// Where a rule does not hold, and why.
#[derive(Debug)]
struct Exception {
    rule: String,
    /// A file, or a folder with all that it holds.
    path: PathBuf,
    at_most: usize,
}

impl Rules {
    /// # Errors
    /// Says what of the text can't be understood.
    pub fn read(text: &str) -> Result<Self> {
        let table: Table = text.parse().context("xtask/tidy.toml")?;
        let floors = list(&table, "floors")?.iter().map(texts).collect::<Result<_>>().context("floors")?;
        let pair = |value: &Value| -> Result<(String, String)> {
            let [from, to] = <[String; 2]>::try_from(texts(value)?).ok().context("a pair of crates")?;
            Ok((from, to))
        };
        let never = list(&table, "never")?.iter().map(pair).collect::<Result<_>>().context("never")?;
        let none = Vec::new();
        let exceptions = table.get("exceptions").and_then(Value::as_array).unwrap_or(&none);
        let exceptions: Vec<Exception> = exceptions.iter().map(exception).collect::<Result<_>>()?;
        ensure!(exceptions.len() <= MAX_EXCEPTIONS, "xtask/tidy.toml has more than {MAX_EXCEPTIONS} exceptions");
        Ok(Self { floors, never, exceptions })
    }

    /// What is left of `found`. An exception that covers more places than it says, or fewer, is itself a violation.
    pub fn without_exceptions(&self, mut found: Vec<Violation>) -> Vec<Violation> {
        for exception in &self.exceptions {
            let is_covered = |one: &Violation| one.rule == exception.rule && one.file.starts_with(&exception.path);
            let count = found.iter().filter(|one| is_covered(one)).count();
            if count <= exception.at_most {
                found.retain(|one| !is_covered(one));
            }
            if count < exception.at_most {
                let what = format!(
                    "the exception from `{}` for {} is for {} places, and there are {count}: lower its number, or remove it",
                    exception.rule,
                    exception.path.display(),
                    exception.at_most
                );
                found.push(Violation { file: "xtask/tidy.toml".into(), line: 1, rule: "exception", what });
            }
        }
        found
    }
}

fn exception(value: &Value) -> Result<Exception> {
    let text =
        |key: &str| value.get(key).and_then(Value::as_str).with_context(|| format!("an exception has no `{key}`"));
    ensure!(!text("reason")?.trim().is_empty(), "an exception has no reason");
    let at_most = value.get("at_most").and_then(Value::as_integer).context("an exception has no `at_most`")?;
    Ok(Exception { rule: text("rule")?.to_owned(), path: text("path")?.into(), at_most: at_most.try_into()? })
}

fn list<'a>(table: &'a Table, key: &str) -> Result<&'a Vec<Value>> {
    table.get(key).and_then(Value::as_array).with_context(|| format!("xtask/tidy.toml has no list `{key}`"))
}

fn texts(value: &Value) -> Result<Vec<String>> {
    let items = value.as_array().context("a list")?;
    items.iter().map(|item| item.as_str().map(str::to_owned).context("a text")).collect()
}
