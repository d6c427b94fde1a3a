//! The test suite of Pigeonhole, which Debian's source package of dovecot carries. It is fetched into `target/` and run
//! through an adapter for its test-only commands; nothing of it is in this repository.

mod adapter;
mod fetch;
mod left_out;
mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use adapter::Tester;
use left_out::{FILES, TESTS};

/// All `.svtest` files below a folder, by their paths from there.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).unwrap().map(Result::unwrap) {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "svtest") {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_suite_of_pigeonhole_passes_but_for_what_is_listed() {
    let root = match fetch::suite() {
        Ok(root) => root,
        Err(why) => {
            println!("NOT RUN: the suite can't be fetched from Debian's archive: {why}");
            return;
        }
    };
    let listed: BTreeSet<(&str, &str)> = TESTS.iter().flat_map(|(_, tests)| tests.iter().copied()).collect();
    let (mut passed, mut left_out) = (0, 0);
    let mut wrong = Vec::new();
    let mut failed: BTreeSet<(String, String)> = BTreeSet::new();
    for file in files(&root) {
        if FILES.iter().any(|(prefix, _)| file.starts_with(prefix)) {
            left_out += Tester::names(&root.join(&file)).len();
            continue;
        }
        for (name, result) in Tester::run(&root.join(&file)) {
            let Err(why) = result else {
                passed += 1;
                continue;
            };
            if listed.contains(&(file.as_str(), name.as_str())) {
                left_out += 1;
            } else {
                wrong.push(format!("{file}: {name}: {why}"));
            }
            failed.insert((file.clone(), name));
        }
    }
    for (file, name) in listed {
        if !failed.contains(&(file.to_owned(), name.to_owned())) {
            wrong.push(format!("{file}: {name}: passes, but is listed as left out"));
        }
    }
    println!("{passed} passed, {left_out} left out, {} failed", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed > 400, "{passed} tests are not the suite");
}
