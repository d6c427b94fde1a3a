//! What the tests of several subjects need.

use std::{
    fs,
    path::{Path, PathBuf},
};

use store::{
    Commit, Seq, Store,
    log::{RunWriter, read_run},
};

/// In memory where there is such a place: many syncs prove nothing here.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// All files below a folder, sorted.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Makes `to` what `from` is, whatever was there.
pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The commits of a store from `from` to its end, by way of a run in memory: as they leave a machine. And the chain there.
pub fn run(store: &Store, from: Seq) -> (Vec<Commit>, [u8; 32]) {
    let (before, _) = store.log_point(Seq(from.0 - 1)).unwrap();
    let mut writer = RunWriter::new(from, before);
    let mut follower = store.follow(from).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in from.0..=store.seq().0 {
        writer.push(&runtime.block_on(follower.next()).unwrap()).unwrap();
    }
    let mut commits = Vec::new();
    let run = read_run(writer.finish(), |commit, _| {
        commits.push(commit);
        Ok(())
    })
    .unwrap();
    assert_eq!((run.first, run.last, run.before), (from, store.seq(), before));
    (commits, run.after)
}
