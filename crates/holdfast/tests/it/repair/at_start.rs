//! A service whose log is too damaged to start fetches what it lacks, and starts; or does not, and says what to type.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use super::{
    ANNA, HARMS, Harm, MESSAGES, copy, cut, deliver, flip, health, log, mailbox, pack, said, stopped_with_archive,
};
use crate::support::{
    Server, holdfast, limited,
    standby::{Primary, Standby, has_all, primary, run},
    wait_for, write_config,
};

/// Every byte of the log.
fn log_files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(dir.join("data/log")).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// The entries of the audit trail that tell of it.
fn audited(server: &Server) -> usize {
    let output = server.command(&["audit", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    entries.filter(|entry| entry["who"] == "the service").count()
}

/// `serve` on a folder that can't be opened: it ends, and names what can be typed.
#[track_caller]
fn refused(dir: &Path, what: &str) -> Output {
    let output = holdfast(dir, &["serve"], "");
    assert!(!output.status.success(), "{what}: {}", said(&output));
    let text = said(&output);
    assert!(text.contains("holdfast repair --from-") && text.contains("holdfast verify --repair"), "{what}: {text}");
    output
}

/// Whether the folder can't be opened as it is. A command that opens it repairs nothing.
fn is_shut(dir: &Path) -> bool {
    !run(dir, &["account", "list"]).status.success()
}

#[test]
fn a_log_that_keeps_a_service_from_starting_comes_from_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let (more, before) = stopped_with_archive(dir.path());
    let folders = ["data", "target"].map(|name| (dir.path().join(name), dir.path().join(format!("{name}.good"))));
    for (is, good) in &folders {
        copy(is, good);
    }
    let more_harms: [(&str, Harm); 3] = [
        ("the log ends one byte early", |dir| cut(&log(dir), |len| len - 1)),
        ("the end of the log, and the index", |dir| {
            cut(&log(dir), |len| len * 9 / 10);
            fs::remove_dir_all(dir.join("data/index")).unwrap();
        }),
        ("a flip near the end, and the index", |dir| {
            flip(&log(dir), |len| len - 40);
            fs::remove_dir_all(dir.join("data/index")).unwrap();
        }),
    ];
    let mut shut = Vec::new();
    for (what, harm) in HARMS.iter().chain(&more_harms) {
        for (is, good) in &folders {
            copy(good, is);
        }
        harm(dir.path());
        let was_shut = is_shut(dir.path());
        if !was_shut {
            continue;
        }
        shut.push(*what);
        let server = Server::start_with(dir.path(), &more);
        assert!(audited(&server) > 0, "{what}");
        // Damaged messages come one by one, when somebody reads them.
        wait_for(what, || mailbox(&server) == before);
        wait_for("nothing is damaged", || health(&server)["status"] == "ok");
        deliver(&server);
        assert_eq!(mailbox(&server).len(), before.len() + MESSAGES, "{what}");
        server.kill();
        let verified = holdfast(dir.path(), &["verify"], "");
        assert!(verified.status.success(), "{what}: {}", said(&verified));
    }
    println!("{shut:?}");
    assert!(shut.len() >= 5, "{shut:?}");
}

#[test]
fn a_service_that_can_not_be_made_whole_does_not_start_and_its_log_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (more, before) = stopped_with_archive(dir.path());
    let (data, target, away) = (dir.path().join("data"), dir.path().join("target"), dir.path().join("away"));
    // Somebody else's archive, of the same look.
    let stranger = tempfile::tempdir().unwrap();
    stopped_with_archive(stranger.path());
    let runs = |at: &Path| -> Vec<PathBuf> {
        let found = limited("find").arg(at).args(["-name", "*.run"]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
    };
    cut(&log(dir.path()), |len| len / 2);
    let left = log_files(dir.path());
    let stays = |what: &str| {
        refused(dir.path(), what);
        assert!(log_files(dir.path()) == left, "{what}: the log has changed");
        assert!(is_shut(dir.path()), "{what}");
    };
    write_config(dir.path(), &format!("{more}[repair]\nat_start = false\n"));
    stays("told not to");
    write_config(dir.path(), &more);
    copy(&target, &away);
    fs::remove_dir_all(&target).unwrap();
    stays("the archive is away");
    copy(&stranger.path().join("target"), &target);
    stays("somebody else's archive");
    copy(&away, &target);
    for run in runs(&target) {
        flip(&run, |len| len / 2);
    }
    stays("the archive is damaged too");
    copy(&away, &target);
    for run in runs(&target) {
        fs::remove_file(run).unwrap();
    }
    stays("the archive has no log");
    write_config(dir.path(), "");
    let alone = holdfast(dir.path(), &["serve"], "");
    assert!(!alone.status.success() && said(&alone).contains("holdfast verify --repair"), "{}", said(&alone));
    // And once it is there again, it starts.
    copy(&away, &target);
    let server = Server::start_with(dir.path(), &more);
    assert!(mailbox(&server) == before && audited(&server) > 0);
    assert!(data.join("damaged").exists(), "what was replaced is set aside");
}

#[test]
fn a_log_that_keeps_a_service_from_starting_comes_from_a_standby_unless_that_has_taken_over() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let machine = primary(one.path(), "");
    let standby = Standby::pair(two.path(), &machine, "");
    standby.line("following");
    machine.server.add_account(ANNA);
    deliver(&machine.server);
    let before = mailbox(&machine.server);
    wait_for("the standby has all", || has_all(&machine, &standby));
    let address = machine.address;
    machine.server.stop();
    let listens = [("HOLDFAST_LISTEN__STANDBY", address.to_string())];
    // A part that the standby has, which was there before the account was.
    cut(&log(one.path()), |len| len * 2 / 3);
    fs::remove_dir_all(one.path().join("data/index")).unwrap();
    assert!(is_shut(one.path()));
    let server = Server::start_with_env(one.path(), "", &listens);
    assert!(mailbox(&server) == before && audited(&server) > 0);
    let machine = Primary { server, address };
    deliver(&machine.server);
    wait_for("the standby follows it again", || has_all(&machine, &standby));
    assert!(pack(one.path()).exists());
    machine.server.stop();

    // The standby is made the primary while this machine is down: what it has is no longer this machine's to take.
    let promoted = run(two.path(), &["promote"]);
    assert!(promoted.status.success(), "{}", said(&promoted));
    standby.line("ready");
    cut(&log(one.path()), |len| len / 2);
    let left = log_files(one.path());
    let config = one.path().join("holdfast.toml");
    let output = limited(env!("CARGO_BIN_EXE_holdfast"))
        .args(["--config", config.to_str().unwrap(), "serve"])
        .env(listens[0].0, &listens[0].1)
        .output()
        .unwrap();
    assert!(!output.status.success() && said(&output).contains("holdfast repair --from-standby"), "{}", said(&output));
    assert!(log_files(one.path()) == left, "the log has changed");
}
