//! The rules of the house that a machine can check: which crate may use which, files in a circle, and how long files,
//! functions and parameter lists may be.
//!
//! * [`floors`]: a crate uses only crates of lower floors; `tidy.toml` has the floors of ARCHITECTURE.md as data.
//! * [`rings`]: no ring of files longer than two within a crate.
//! * [`functions`]: a function fits on a screen and takes at most six parameters.
//! * Files have at most [`MAX_FILE_LINES`] lines, tests too.
//!
//! `tidy.toml` also lists the exceptions, each with its reason and the number of places it may cover, so that none grows.

use violation::Violation;
mod floors;
mod functions;
mod modules;
mod rings;
mod rules;
#[cfg(test)]
mod tests;
mod tokens;
mod violation;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::run::root;
use rules::Rules;

/// The longest file.
const MAX_FILE_LINES: usize = 600;
/// The most files that may use each other in a circle.
const MAX_RING: usize = 2;

/// Checks the whole repository.
///
/// # Errors
/// Says how many rules are broken, after each was printed with its place.
pub fn check() -> Result<()> {
    let left = look(&root())?;
    for one in &left {
        println!("{}:{}: [{}] {}", one.file.display(), one.line, one.rule, one.what);
    }
    ensure!(left.is_empty(), "places that are not as the rules of the house say (see xtask/tidy.toml): {}", left.len());
    println!("crates, files and functions are as the rules of the house say");
    Ok(())
}

/// What is not as it should be below `root`, but for the exceptions.
fn look(root: &Path) -> Result<Vec<Violation>> {
    let path = root.join("xtask/tidy.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let rules = Rules::read(&text)?;
    let mut found = Vec::new();
    for dir in folders(&root.join("crates"))?.into_iter().chain([root.join("xtask")]) {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if dir.parent().is_some_and(|parent| parent.ends_with("crates")) {
            found.extend(floors::check(&rules, &name, &dir)?);
        }
        let roots = ["src/lib.rs", "src/main.rs"].map(|file| dir.join(file));
        for file in roots.iter().filter(|file| file.exists()) {
            found.extend(rings::check(file, MAX_RING)?);
        }
        for file in rust_files(&dir)? {
            let source = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let lines = source.lines().count();
            if lines > MAX_FILE_LINES {
                let what = format!(
                    "the file has {lines} lines; more than {MAX_FILE_LINES} are more than one thought: split it"
                );
                found.push(Violation { file: file.clone(), line: lines, rule: "file", what });
            }
            if file.starts_with(dir.join("src")) && !file.ends_with("tests.rs") {
                found.extend(functions::check(&file, &source));
            }
        }
    }
    for one in &mut found {
        one.file = one.file.strip_prefix(root).unwrap_or(&one.file).to_owned();
    }
    found.sort();
    Ok(rules.without_exceptions(found))
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(dir)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut paths: Vec<PathBuf> = read.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// The Rust files below a folder, but for what builds and tools leave there.
fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(dir)? {
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                found.extend(rust_files(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}
