//! How far an archive can be restored is said as it is, and what it lost is stored again.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{READER, deliver, ok, second};
use crate::support::{
    Server,
    archive::{archive, shipped},
    holdfast, wait_for,
};

/// Objects of an archive, the largest first.
fn objects(dir: &Path, folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.join("target").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| (std::cmp::Reverse(std::fs::metadata(path).unwrap().len()), path.clone()));
    found
}

fn remove(paths: impl IntoIterator<Item = PathBuf>) {
    let mut removed = 0;
    for path in paths {
        std::fs::remove_file(path).unwrap();
        removed += 1;
    }
    assert!(removed > 0);
}

fn cut(path: &Path, to: impl Fn(u64) -> u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(to(file.metadata().unwrap().len())).unwrap();
}

type Damage = (&'static str, fn(&Path));

/// What can be lost of an archive, so that not everything can be restored.
const LOSSES: &[Damage] = &[
    ("the largest pack", |dir| remove(objects(dir, "bodies", ".pack").into_iter().take(1))),
    ("a pack and its index", |dir| {
        let pack = objects(dir, "bodies", ".pack").remove(0);
        let name = pack.file_stem().unwrap().to_str().unwrap().to_owned();
        remove(objects(dir, "bodies", ".index").into_iter().filter(|path| path.to_str().unwrap().contains(&name)));
        remove([pack]);
    }),
    ("all packs", |dir| remove(objects(dir, "bodies", ".pack"))),
    ("all indexes", |dir| remove(objects(dir, "bodies", ".index"))),
    ("an empty pack", |dir| cut(&objects(dir, "bodies", ".pack")[0], |_| 0)),
    ("a pack without its last byte", |dir| cut(&objects(dir, "bodies", ".pack")[0], |len| len - 1)),
    ("all runs", |dir| remove(objects(dir, "log", ".run"))),
    ("the first run after the snapshot and all before it", |dir| {
        let mut runs = objects(dir, "log", ".run");
        runs.sort();
        runs.pop();
        remove(runs);
    }),
    ("the last run", |dir| {
        let mut runs = objects(dir, "log", ".run");
        runs.sort();
        remove(runs.pop());
    }),
    ("an empty run", |dir| {
        let mut runs = objects(dir, "log", ".run");
        runs.sort();
        cut(runs.last().unwrap(), |_| 0);
    }),
    ("half of a run", |dir| {
        let mut runs = objects(dir, "log", ".run");
        runs.sort();
        cut(runs.last().unwrap(), |len| len / 2);
    }),
    ("the bodies' folder", |dir| std::fs::remove_dir_all(dir.join("target/bodies")).unwrap()),
    ("snapshots and the first runs", |dir| {
        remove(objects(dir, "snapshots", ".manifest"));
        let mut runs = objects(dir, "log", ".run");
        runs.sort();
        remove(runs.into_iter().take(1));
    }),
];

/// The number behind "restorable up to commit"; 0 when nothing is.
fn restorable(said: &str) -> u64 {
    let Some((_, rest)) = said.split_once("restorable up to commit ") else {
        assert!(said.contains("nothing can be restored"), "{said}");
        return 0;
    };
    rest.split([',', ':', ' ', '\n']).next().unwrap().parse().unwrap()
}

#[test]
fn an_archive_that_can_not_be_restored_whole_is_never_called_well_and_the_service_stores_again_what_it_lost() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let blind = more.lines().filter(|line| !line.starts_with("identity_file")).collect::<Vec<_>>().join("\n") + "\n";
    let server = Server::start_with(dir.path(), &more);
    server.add_account(READER);
    for number in 0..3 {
        deliver(&server, &format!("before {number}"), 3000);
    }
    ok(&server.command(&["archive", "snapshot"]));
    for number in 0..6 {
        // Nothing that compresses well: these packs are the largest.
        let mut random = StdRng::seed_from_u64(number);
        let noise: String = (0..300).map(|_| format!("{:032x}", random.random::<u128>())).collect();
        deliver(&server, &format!("after {number} {}", &noise[..9000 - number as usize * 1000]), 100);
        shipped(server.dir());
    }
    let whole = restorable(&ok(&server.command(&["archive", "status"])));
    server.stop();
    // The last commits of a service that stops are shipped too.
    let end = restorable(&ok(&holdfast(dir.path(), &["archive", "status"], "")));
    assert!(end >= whole);
    let said = ok(&holdfast(dir.path(), &["archive", "verify"], ""));
    assert_eq!(restorable(&said), end, "{said}");
    let (target, copy) = (dir.path().join("target"), dir.path().join("copy"));
    let put_back = |from: &Path, to: &Path| {
        let _ = std::fs::remove_dir_all(to);
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    put_back(&target, &copy);
    let config = dir.path().join("holdfast.toml");
    let with_identity = std::fs::read_to_string(&config).unwrap();
    let without = with_identity.replace(&more, &blind);
    assert_ne!(with_identity, without);
    let mut losing = 0;
    for (number, (what, damage)) in LOSSES.iter().enumerate() {
        put_back(&copy, &target);
        damage(dir.path());
        // What a restore says is the truth.
        let machine = second(dir.path(), &format!("machine {number}"), &more);
        let restored = holdfast(&machine, &["restore", "--from", "here", "--offline"], "");
        let reached = String::from_utf8_lossy(&restored.stdout).contains(&format!("after commit {end} "));
        let all = restored.status.success() && reached;
        losing += usize::from(!all);
        let output = holdfast(dir.path(), &["archive", "verify"], "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(all || output.status.code() == Some(1), "{what}: verify: {said}");
        assert_eq!(restorable(&said) == end, all, "{what}: verify: {said} {restored:?}");
        std::fs::write(&config, &without).unwrap();
        // Without an identity: what a listing tells, and what is noted of packs beside the store.
        let output = holdfast(dir.path(), &["archive", "status"], "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if *what != "half of a run" {
            assert!(all || output.status.code() == Some(1), "{what}: blind status: {said}");
            assert!(all || restorable(&said) < end, "{what}: blind status: {said}");
        }
        std::fs::write(&config, &with_identity).unwrap();
    }
    assert!(losing > 9, "{losing}");
    // The service still has all of it.
    for (what, damage) in LOSSES {
        put_back(&copy, &target);
        damage(dir.path());
        let server = Server::start_with(dir.path(), &more);
        if *what == "half of a run" {
            // Only reading tells; that the hash in its name is wrong.
            continue;
        }
        wait_for(what, || {
            let output = server.command(&["archive", "status"]);
            output.status.success() && restorable(&String::from_utf8_lossy(&output.stdout)) >= end
        });
        let output = server.command(&["archive", "verify", "--newest"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let old = ["empty", "last byte"].iter().any(|left| what.contains(left));
        assert!(old || output.status.success(), "{what}: {said}");
        assert!(restorable(&said) >= end, "{what}: {said}");
        assert!(ok(&server.command(&["status"])).contains("restorable up to commit"));
        server.stop();
    }
}
