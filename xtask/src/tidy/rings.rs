//! Rings: files of one crate that use each other in a circle. Of two files that is a matter of taste; more can't be understood
//! one after another.
//!
//! What counts as an arrow from file A to file B: a `use` or a path in A's code (tests left out) that begins with `crate`,
//! `super`, `self`, a child module or a name that a `use` brought in, and leads to something that B defines. A path through a
//! module that only hands on what another defines (`pub use`) leads to that other. So declaring a module, or handing on what it
//! has, is no arrow; neither is a method's call, since the type says where it stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{
    modules::{Module, ModulePath, modules},
    violation::Violation,
};

/// How many arrows of a ring are named.
const MAX_NAMED: usize = 12;

/// The files of a crate and whom each uses.
#[derive(Debug, Default)]
pub(super) struct Arrows {
    /// From and to, with each place: its line, and what is taken there.
    arrows: BTreeMap<(PathBuf, PathBuf), Vec<(usize, String)>>,
}

/// Checks the crate with this root file: no ring is longer than `most`.
///
/// # Errors
/// A file that can't be read.
pub(super) fn check(root: &Path, most: usize) -> Result<Vec<Violation>> {
    let all = arrows(root)?;
    let dir = root.parent().unwrap_or(Path::new(""));
    let short = |file: &PathBuf| file.strip_prefix(dir).unwrap_or(file).display().to_string();
    let mut found = Vec::new();
    for ring in all.rings().into_iter().filter(|ring| ring.len() > most) {
        let is_in = |file: &PathBuf| ring.contains(file);
        let within: Vec<_> = all.arrows.iter().filter(|((from, to), _)| is_in(from) && is_in(to)).collect();
        let Some(((file, _), places)) = within.first() else { continue };
        let named = within.iter().take(MAX_NAMED).map(|((from, to), places)| {
            let names: BTreeSet<&str> = places.iter().map(|(_, name)| name.as_str()).collect();
            let names: Vec<&str> = names.into_iter().take(3).collect();
            format!("\n    {} -> {}: {}", short(from), short(to), names.join(", "))
        });
        let what = format!(
            "{} files use each other in a circle: move what several need into a file below them{}{}",
            ring.len(),
            named.collect::<String>(),
            if within.len() > MAX_NAMED { "\n    …" } else { "" }
        );
        found.push(Violation { file: file.clone(), line: places[0].0, rule: "ring", what });
    }
    Ok(found)
}

/// More hops than any name is handed on over.
const MAX_HOPS: usize = 16;

/// The arrows between the files of the crate with this root file.
///
/// # Errors
/// A file that can't be read.
fn arrows(root: &Path) -> Result<Arrows> {
    let modules = modules(root)?;
    let mut found = Arrows::default();
    for (path, module) in &modules {
        let mut note = |target: Option<PathBuf>, line: usize, name: &[String]| {
            if let Some(file) = target
                && file != module.file
            {
                let places = found.arrows.entry((module.file.clone(), file)).or_default();
                places.push((line, name.join("::")));
            }
        };
        for one in module.uses.iter().filter(|one| !one.handed_on) {
            note(resolve(&modules, path, &one.path, 0), one.line, &one.path);
        }
        for one in &module.paths {
            note(resolve(&modules, path, &one.path, 0), one.line, &one.path);
        }
    }
    Ok(found)
}

/// The file that defines what `wanted` names in the module `from`; `None` for what is not of this crate, and for a module as such.
fn resolve(
    modules: &BTreeMap<ModulePath, Module>,
    from: &ModulePath,
    wanted: &[String],
    hops: usize,
) -> Option<PathBuf> {
    if hops > MAX_HOPS {
        return None;
    }
    let mut rest = wanted;
    let first = rest.first()?;
    let mut at = from.clone();
    match first.as_str() {
        "crate" => {
            at = Vec::new();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                at.pop();
                rest = &rest[1..];
            }
        }
        name => {
            let module = modules.get(from)?;
            if !module.children.iter().any(|child| child == name) {
                return imported(modules, from, rest, hops).or_else(|| defined(module, name));
            }
        }
    }
    // Down the modules, as far as they go.
    while let Some(segment) = rest.first() {
        let module = modules.get(&at)?;
        if module.children.contains(segment) {
            at.push(segment.clone());
            rest = &rest[1..];
            continue;
        }
        if segment == "*" || module.defines.contains(segment) {
            return Some(module.file.clone());
        }
        return imported(modules, &at, rest, hops);
    }
    None
}

fn defined(module: &Module, name: &str) -> Option<PathBuf> {
    module.defines.iter().any(|own| own == name).then(|| module.file.clone())
}

/// What a module knows by a `use` of its own.
fn imported(modules: &BTreeMap<ModulePath, Module>, at: &ModulePath, rest: &[String], hops: usize) -> Option<PathBuf> {
    let module = modules.get(at)?;
    let name = rest.first()?;
    for one in &module.uses {
        let path = if one.name == *name {
            [&one.path[..], &rest[1..]].concat()
        } else if one.name == "*" {
            [&one.path[..one.path.len() - 1], rest].concat()
        } else {
            continue;
        };
        // `use x::x` in x itself, and names of other crates, lead nowhere.
        if path != rest
            && let Some(file) = resolve(modules, at, &path, hops + 1)
        {
            return Some(file);
        }
    }
    None
}

impl Arrows {
    /// The circles of more than one file, each in order of names.
    fn rings(&self) -> Vec<Vec<PathBuf>> {
        let mut next: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = BTreeMap::new();
        for (from, to) in self.arrows.keys() {
            next.entry(from).or_default().insert(to);
        }
        let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
            next.keys().map(|from| (*from, reachable(&next, from))).collect();
        let mut rings = BTreeSet::new();
        for (from, all) in &reached {
            let back = |to: &&&PathBuf| reached.get(*to).is_some_and(|its| its.contains(from));
            let ring: BTreeSet<PathBuf> = all.iter().filter(back).map(|file| (*file).clone()).collect();
            if ring.len() > 1 {
                rings.insert(ring.into_iter().collect());
            }
        }
        rings.into_iter().collect()
    }
}

/// All that can be reached from a file, itself only if a circle leads back.
fn reachable<'a>(next: &BTreeMap<&'a PathBuf, BTreeSet<&'a PathBuf>>, from: &'a PathBuf) -> BTreeSet<&'a PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for to in next.get(file).into_iter().flatten() {
            if found.insert(*to) {
                open.push(to);
            }
        }
    }
    found
}
