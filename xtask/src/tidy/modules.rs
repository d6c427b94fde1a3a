//! The modules of a crate: which file each lies in, what it defines and what it takes from elsewhere.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::tokens::{Token, closing, tokens, without_tests};

/// A module's path below the crate, root first; empty for the root.
pub(super) type ModulePath = Vec<String>;

/// A module that lies in a file of its own or in its parent's.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// The file.
    pub file: PathBuf,
    /// The names of its child modules.
    pub children: Vec<String>,
    /// What it defines itself, by name.
    pub defines: Vec<String>,
    /// Its `use` declarations.
    pub uses: Vec<Use>,
    /// The paths in its code (`a::b`), without those of `use`.
    pub paths: Vec<PathAt>,
}

/// One name that a `use` declaration brings in.
#[derive(Debug, Clone)]
pub(super) struct Use {
    /// What is taken: `crate::log::Chain`. The last segment is `*` for all.
    pub path: Vec<String>,
    /// How it is called here.
    pub name: String,
    /// Whether it is handed on (`pub use`, in any visibility).
    pub handed_on: bool,
    /// Where.
    pub line: usize,
}

/// A path in code, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct PathAt {
    /// Its segments.
    pub path: Vec<String>,
    /// Where.
    pub line: usize,
}

/// All modules of the crate whose root is the file `root`, but for those that only tests have.
///
/// # Errors
/// A file that can't be read.
pub(super) fn modules(root: &Path) -> Result<BTreeMap<ModulePath, Module>> {
    let mut found = BTreeMap::new();
    let source = std::fs::read_to_string(root).with_context(|| root.display().to_string())?;
    let dir = root.parent().unwrap_or(Path::new("")).to_owned();
    let mut reading = Reading { found: &mut found };
    reading.file(Vec::new(), root.to_owned(), &dir, &without_tests(&tokens(&source)))?;
    Ok(found)
}

struct Reading<'a> {
    found: &'a mut BTreeMap<ModulePath, Module>,
}

impl Reading<'_> {
    /// Reads a module's tokens. `dir` is where its children's files lie.
    fn file(&mut self, path: ModulePath, file: PathBuf, dir: &Path, tokens: &[Token]) -> Result<()> {
        let mut module = Module { file: file.clone(), ..Module::default() };
        let mut at = 0;
        let mut depth = 0_usize;
        while at < tokens.len() {
            let next = |n: usize| tokens.get(at + n).map_or("", |token| token.text.as_str());
            match next(0) {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "mod" if depth == 0 && next(2) == ";" => {
                    self.declared(&mut module, &path, dir, next(1))?;
                    at += 2;
                }
                "mod" if depth == 0 && next(2) == "{" => {
                    let end = closing(tokens, at + 2);
                    let name = next(1).to_owned();
                    let child = [path.clone(), vec![name.clone()]].concat();
                    self.file(child, file.clone(), &dir.join(&name), &tokens[at + 3..end])?;
                    module.children.push(name);
                    at = end;
                }
                "use" if next(1) != "<" => {
                    let handed_on = depth == 0 && at > 0 && matches!(tokens[at - 1].text.as_str(), "pub" | ")");
                    let line = tokens[at].line;
                    at = use_tree(tokens, at + 1, &[], &mut |path, name| {
                        module.uses.push(Use { path, name, handed_on, line });
                    });
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" if depth == 0 => {
                    let skip = if matches!(next(1), "mut" | "fn" | "unsafe") { 2 } else { 1 };
                    module.defines.push(next(skip).to_owned());
                }
                "macro_rules" => module.defines.push(next(2).to_owned()),
                "::" if at > 0 && tokens[at - 1].is_word() => {
                    let (path, end) = path_at(tokens, at - 1);
                    module.paths.push(PathAt { path, line: tokens[at].line });
                    at = end - 1;
                }
                _ => {}
            }
            at += 1;
        }
        self.found.insert(path, module);
        Ok(())
    }

    /// Reads the file of a child that is declared (`mod name;`).
    fn declared(&mut self, module: &mut Module, path: &ModulePath, dir: &Path, name: &str) -> Result<()> {
        let file = dir.join(format!("{name}.rs"));
        let source = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        module.children.push(name.to_owned());
        let child = [path.clone(), vec![name.to_owned()]].concat();
        self.file(child, file, &dir.join(name), &without_tests(&tokens(&source)))
    }
}

/// Reads one tree of a `use` declaration from `at` on, giving each path and the name it gets; gives where it ends.
fn use_tree(tokens: &[Token], start: usize, before: &[String], give: &mut impl FnMut(Vec<String>, String)) -> usize {
    let mut path = before.to_vec();
    let mut at = start;
    while at < tokens.len() {
        let text = tokens[at].text.as_str();
        match text {
            "::" => at += 1,
            "{" => {
                let end = closing(tokens, at);
                at += 1;
                while at < end {
                    at = use_tree(tokens, at, &path, give);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.is(",")));
                }
                return end + 1;
            }
            "as" => {
                let name = tokens.get(at + 1).map(|token| token.text.clone()).unwrap_or_default();
                give(path, name);
                return at + 2;
            }
            "," | ";" | "}" => {
                // `{self, …}` names the module before it.
                if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                    path.pop();
                }
                let name = path.last().cloned().unwrap_or_default();
                if path.len() > before.len() || !before.is_empty() {
                    give(path, name);
                }
                return at;
            }
            _ => {
                path.push(text.to_owned());
                at += 1;
            }
        }
    }
    at
}

/// The path that begins at `start`, and the token after it. Type arguments end it.
fn path_at(tokens: &[Token], start: usize) -> (Vec<String>, usize) {
    let mut path = vec![tokens[start].text.clone()];
    let mut at = start + 1;
    while tokens.get(at).is_some_and(|token| token.is("::")) && tokens.get(at + 1).is_some_and(Token::is_word) {
        path.push(tokens[at + 1].text.clone());
        at += 2;
    }
    (path, at.max(start + 2))
}
