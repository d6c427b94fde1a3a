//! An archive in a folder, and a service that ships there.

use std::{path::Path, process::Command};

use super::{standby::said, wait_for};

/// Makes an identity in `dir`; gives the configuration of a service that ships to an archive beside it, named `here`.
pub fn archive(dir: &Path) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["archive", "new-identity", &dir.join("identity").display().to_string()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let printed = String::from_utf8(made.stdout).unwrap();
    let recipients = printed.lines().find(|line| line.starts_with("recipients")).unwrap();
    format!(
        "[[archive]]\nname = \"here\"\nurl = \"file://{0}/target\"\n{recipients}\nidentity_file = \"{0}/identity\"\n\
         ship_every = \"0 s\"\n",
        dir.display()
    )
}

/// Waits until everything so far of the service in `dir` is in its archive.
#[track_caller]
pub fn shipped(dir: &Path) {
    wait_for("shipping", || {
        let status = said(dir, &["archive", "status"]);
        let line = status.lines().find(|line| line.contains("shipped up to")).unwrap_or_default();
        let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
        numbers.len() > 1 && numbers[0] == numbers[1]
    });
}
