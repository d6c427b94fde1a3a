//! Running commands in the repository.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// Runs a command, which gets an empty standard input, and makes failure an error that names it.
pub fn run(command: &mut Command) -> Result<()> {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let status = command.stdin(Stdio::null()).status().with_context(|| words.join(" "))?;
    ensure!(status.success(), "`{}` ended with {status}", words.join(" "));
    Ok(())
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").to_owned()
}
