//! For shells and `man`: completions and manual pages, made from the same description that parses the command line.

use std::{io::Write as _, path::Path};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// `holdfast completions SHELL`: to standard output.
pub fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "holdfast", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

/// `holdfast man DIR`: `holdfast.1`, and a page for each command.
pub fn pages(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    clap_mangen::generate_to(Cli::command(), dir).with_context(|| dir.display().to_string())?;
    println!("manual pages written to {}; read them with: man {}/holdfast.1", dir.display(), dir.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_a_completion() {
        let dir = tempfile::tempdir().unwrap();
        pages(dir.path()).unwrap();
        let page = std::fs::read_to_string(dir.path().join("holdfast-queue-drop.1")).unwrap();
        assert!(page.contains("Send a bounce to the sender"), "{page}");
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "holdfast", &mut script);
        assert!(String::from_utf8(script).unwrap().contains("rebuild-index"));
    }
}
