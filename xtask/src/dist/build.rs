//! What a package is made from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::root;

/// One build, ready to be packed.
pub(super) struct Build {
    /// The stripped binary.
    pub binary: PathBuf,
    pub version: String,
    /// Where packages are put.
    pub out: PathBuf,
}

/// Copies a file, and makes the folders above the copy.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    write(to, fs::read(from).with_context(|| from.display().to_string())?)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    Ok(())
}

/// The configuration of an installed service: every key commented, but for the data folder.
pub(super) fn configuration() -> Result<String> {
    let all = fs::read_to_string(root().join("docs/holdfast.toml"))?;
    let ours = all.replace("#: data_dir = \"holdfast-data\"", "data_dir = \"/var/lib/holdfast\"");
    ensure!(ours != all, "docs/holdfast.toml has no data_dir to replace");
    Ok(ours)
}

/// Writes a file, and the folders above it.
pub(super) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let parent = path.parent().context("a path without a folder")?;
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    fs::write(path, content).with_context(|| path.display().to_string())
}

/// What a command writes to its standard output.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| shown.clone())?;
    ensure!(output.status.success(), "{shown}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).with_context(|| shown)
}

/// The shared libraries that a binary needs, as paths on this machine.
pub(super) fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let said = output(Command::new("ldd").arg(binary))?;
    let mut found = Vec::new();
    for line in said.lines() {
        // `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)`, or the loader's own path; `linux-vdso` has none.
        if line.contains("not found") {
            bail!("{}", line.trim());
        }
        found.extend(line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(found)
}
