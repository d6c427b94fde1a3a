//! Arrows between crates: they point down only.
//!
//! What counts is what a crate's program is built from, `[dependencies]` and `[build-dependencies]`. Tests may use whatever
//! they need.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use toml::Table;

use super::{rules::Rules, violation::Violation};

/// Checks the arrows of one crate.
///
/// # Errors
/// A manifest that can't be read.
pub(super) fn check(rules: &Rules, name: &str, dir: &Path) -> Result<Vec<Violation>> {
    let file = dir.join("Cargo.toml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let table: Table = text.parse().with_context(|| file.display().to_string())?;
    let broken = |needle: &str, what: String| {
        let line = text.lines().position(|line| line.starts_with(needle)).map_or(1, |at| at + 1);
        Violation { file: file.clone(), line, rule: "arrow", what }
    };
    let floor_of = |name: &str| rules.floors.iter().position(|floor| floor.iter().any(|one| one == name));
    let Some(own) = floor_of(name) else {
        return Ok(vec![broken("name", format!("the crate `{name}` has no floor: give it one in xtask/tidy.toml"))]);
    };
    let mut found = Vec::new();
    for section in ["dependencies", "build-dependencies"] {
        for used in table.get(section).and_then(toml::Value::as_table).into_iter().flat_map(Table::keys) {
            let Some(floor) = floor_of(used) else { continue };
            if floor >= own {
                let what = format!(
                    "`{name}` uses `{used}`, which is not on a lower floor: move what both need further down, or have the \
                     binary pass it in"
                );
                found.push(broken(used, what));
            } else if rules.never.iter().any(|(from, to)| from == name && to == used) {
                let what = format!("`{name}` must not use `{used}`: ask a crate in between for what is needed");
                found.push(broken(used, what));
            }
        }
    }
    Ok(found)
}
