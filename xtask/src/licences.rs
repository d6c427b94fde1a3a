//! What may be linked: licences, banned crates and sources, as `deny.toml` says.
//!
//! The same three checks as `cargo deny check licenses bans sources`, which takes minutes to install where it is not there.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context, Result, ensure};

use crate::run::root;

/// The only registry that crates may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every crate that a build of the workspace may use, on this platform.
///
/// # Errors
/// Names each crate that may not be used, and why.
pub fn check() -> Result<()> {
    let text = std::fs::read_to_string(root().join("deny.toml")).context("deny.toml")?;
    let rules: toml::Table = text.parse().context("deny.toml")?;
    let texts = |list: &toml::Value, key: &str| -> BTreeSet<String> {
        let items = list.as_array().into_iter().flatten();
        let text = |item: &toml::Value| Some(item.get(key).unwrap_or(item).as_str()?.to_owned());
        items.filter_map(text).collect()
    };
    let allowed = texts(&rules["licenses"]["allow"], "");
    let banned = texts(&rules["bans"]["deny"], "crate");
    ensure!(!allowed.is_empty() && !banned.is_empty(), "deny.toml has no licenses.allow or no bans.deny");

    let mut wrong = Vec::new();
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock"))?.parse().context("Cargo.lock")?;
    for package in lock["package"].as_array().into_iter().flatten() {
        // Those of the workspace have no source.
        let source = package.get("source").and_then(toml::Value::as_str).unwrap_or(REGISTRY);
        if source != REGISTRY {
            wrong.push(format!("{} comes from {source}", package["name"]));
        }
    }
    let used = used()?;
    for (name, version, licence) in &used {
        if banned.contains(name) {
            wrong.push(format!("{name} {version} is banned"));
        }
        if !is_allowed(licence, &allowed) {
            wrong.push(format!("{name} {version} has the licence {licence:?}"));
        }
    }
    ensure!(used.len() > 100, "cargo tree named {} crates only", used.len());
    ensure!(wrong.is_empty(), "not as deny.toml says:\n  {}", wrong.join("\n  "));
    println!("{} crates have licences and come from where deny.toml allows", used.len());
    Ok(())
}

/// Name, version and licence of every crate that a build for this platform uses, tests and build scripts included.
fn used() -> Result<BTreeSet<(String, String, String)>> {
    let tree = [
        "tree",
        "--workspace",
        "--locked",
        "--edges=normal,build,dev",
        "--prefix=none",
        "--format={p}\t{l}",
        "--target",
    ];
    let output = Command::new("cargo").args(tree).arg(host()?).current_dir(root()).output()?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let mut used = BTreeSet::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((package, licence)) = line.split_once('\t') else { continue };
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        // What was listed above is marked.
        used.insert((name.to_owned(), version.to_owned(), licence.trim_end_matches(" (*)").to_owned()));
    }
    Ok(used)
}

/// The platform that this is, as rustc names it.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say its host")?.to_owned())
}

/// Whether an SPDX expression can be fulfilled with licences of `allowed`. `OR` needs one side, `AND` both; the old `A/B`
/// is `A OR B`; `A WITH B` must be allowed as a whole.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let fulfilled = any(&mut words, allowed);
    fulfilled && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut fulfilled = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        fulfilled |= all(words, allowed);
    }
    fulfilled
}

fn all(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut fulfilled = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        fulfilled &= one(words, allowed);
    }
    fulfilled
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    match words.next() {
        Some("(") => any(words, allowed) & words.next_if_eq(&")").is_some(),
        Some(name) => match words.next_if_eq(&"WITH") {
            Some(_) => allowed.contains(&format!("{name} WITH {}", words.next().unwrap_or_default())),
            None => allowed.contains(name),
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_fulfilled_by_what_is_allowed() {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "MIT AND Apache-2.0",
            "(MIT OR GPL-3.0) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "MIT WITH LLVM-exception",
            "(MIT",
            "MIT GPL-3.0",
            "(MIT OR GPL-3.0) AND GPL-3.0",
        ] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }
}
