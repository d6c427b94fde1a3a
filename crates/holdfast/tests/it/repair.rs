//! Reading everything while the service runs, and fetching what is damaged from a standby or an archive.

mod at_start;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use crate::support::{
    Server,
    archive::{archive, shipped},
    holdfast,
    imap::Imap,
    limited,
    smtp::Smtp,
    standby::{Standby, has_all, primary},
    wait_for, write_config,
};

const ANNA: &str = "anna@example.org";
const MESSAGES: usize = 6;

fn deliver(server: &Server) {
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    for number in 0..MESSAGES {
        let text: String = (0..200).map(|at| format!("{:x} ", (at + number * 1_000) * 0x9e37_79b9)).collect();
        let message = format!("Subject: message {number}\r\n\r\n{text}\r\n");
        assert!(smtp.send("carl@example.com", &[ANNA], &message).unwrap().starts_with("250"));
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

fn status(server: &Server) -> serde_json::Value {
    json(&server.command(&["status", "--json"]))
}

fn health(server: &Server) -> serde_json::Value {
    serde_json::from_str(&server.page("/health")).unwrap()
}

fn pack(dir: &Path) -> PathBuf {
    dir.join("data/packs/0000000001.pack")
}

fn log(dir: &Path) -> PathBuf {
    dir.join("data/log/00000000000000000001.log")
}

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, keep: impl Fn(u64) -> u64) {
    let len = fs::metadata(path).unwrap().len();
    fs::File::options().write(true).open(path).unwrap().set_len(keep(len)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// All messages, as a mail program sees them.
fn mailbox(server: &Server) -> Vec<String> {
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("ENABLE IMAP4rev2").unwrap().ok();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("FETCH 1:* (UID FLAGS BODY.PEEK[])").unwrap().ok().untagged
}

#[test]
fn everything_is_read_while_the_service_runs_and_what_came_of_it_stays() {
    let (dir, server) = Server::with_accounts(&[ANNA]);
    assert!(status(&server)["verify"]["last"].is_null());
    deliver(&server);
    let verified = server.command(&["verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
    assert!(said(&verified).contains("ok: no damage found"), "{}", said(&verified));
    let last = status(&server)["verify"]["last"].clone();
    let count = |what: &str| last[what].as_u64().unwrap();
    assert_eq!((count("damage_count"), count("bodies")), (0, MESSAGES as u64), "{last}");
    assert!(count("commits") > MESSAGES as u64 && count("records") > 0 && count("realms") >= 2, "{last}");
    assert!(last["ended_ms"].as_i64() >= last["started_ms"].as_i64() && last["while_running"] == true, "{last}");
    // What needs a stopped service is refused by one that runs.
    let refused = server.command(&["verify", "--repair"]);
    assert!(!refused.status.success() && said(&refused).contains("stop the service"), "{}", said(&refused));
    // It is found although nobody reads it, and known over a restart.
    flip(&pack(dir.path()), |len| len - 10);
    let verified = server.command(&["verify", "--json"]);
    assert_eq!((verified.status.code(), json(&verified)["damage_count"].as_u64()), (Some(1), Some(1)));
    let known = |server: &Server| {
        let now = status(server);
        assert_eq!(now["verify"]["last"]["damage_count"], 1, "{now}");
        assert_eq!((now["damage"]["count"].as_u64(), now["alarms"].as_array().unwrap().len()), (Some(1), 1), "{now}");
        let health = health(server);
        assert_eq!((health["status"].as_str(), health["verify"]["damage"].as_u64()), (Some("degraded"), Some(1)));
    };
    known(&server);
    server.stop();
    known(&Server::start(dir.path()));
}

#[test]
fn reading_everything_goes_on_without_who_asked_and_two_who_ask_get_one_answer() {
    let (dir, server) = Server::with_accounts(&[ANNA]);
    deliver(&server);
    // Whoever asked is gone before it can have ended.
    let config = dir.path().join("holdfast.toml");
    let mut asks = limited(env!("CARGO_BIN_EXE_holdfast"))
        .args(["--config", config.to_str().unwrap(), "verify"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    {
        use std::io::BufRead as _;
        let mut line = String::new();
        std::io::BufReader::new(asks.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("while the service runs"), "{line}");
    }
    asks.kill().unwrap();
    asks.wait().unwrap();
    wait_for("it is read to its end all the same", || status(&server)["verify"]["last"]["ended_ms"].is_i64());
    let answers: Vec<Output> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..3).map(|_| scope.spawn(|| server.command(&["verify", "--json"]))).collect();
        asking.into_iter().map(|asks| asks.join().unwrap()).collect()
    });
    for answer in answers {
        assert!(answer.status.success(), "{}", said(&answer));
        assert_eq!(json(&answer)["bodies"].as_u64(), Some(MESSAGES as u64));
    }
    server.stop();
}

/// What can happen to a folder.
type Harm = fn(&Path);

/// A service that was stopped when its archive had all: its configuration beyond the usual, and its mail.
fn stopped_with_archive(dir: &Path) -> (String, Vec<String>) {
    let more = archive(dir);
    let server = Server::start_with(dir, &more);
    server.add_account(ANNA);
    deliver(&server);
    let before = mailbox(&server);
    shipped(dir);
    server.stop();
    (more, before)
}

const HARMS: [(&str, Harm); 9] = [
    ("the log is gone", |dir| fs::remove_file(log(dir)).unwrap()),
    ("the log is cut", |dir| cut(&log(dir), |len| len / 2)),
    ("the log is empty", |dir| cut(&log(dir), |_| 0)),
    ("the log's header", |dir| flip(&log(dir), |_| 10)),
    ("the log's middle", |dir| flip(&log(dir), |len| len / 2)),
    ("log and index", |dir| {
        flip(&log(dir), |len| len / 3);
        fs::remove_dir_all(dir.join("data/index")).unwrap();
    }),
    ("a message", |dir| flip(&pack(dir), |len| len - 10)),
    ("all messages", |dir| fs::remove_file(pack(dir)).unwrap()),
    ("log, index and messages", |dir| {
        fs::remove_file(log(dir)).unwrap();
        fs::remove_dir_all(dir.join("data/index")).unwrap();
        cut(&pack(dir), |len| len / 2);
    }),
];

#[test]
fn what_is_damaged_in_a_stopped_folder_comes_from_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let (more, before) = stopped_with_archive(dir.path());
    let (data, good, target) = (dir.path().join("data"), dir.path().join("good"), dir.path().join("target"));
    copy(&data, &good);
    let repair = |args: &[&str]| holdfast(dir.path(), &[&["repair", "--from-archive"], args].concat(), "");
    for (what, harm) in HARMS {
        copy(&good, &data);
        harm(dir.path());
        let found = holdfast(dir.path(), &["verify"], "");
        assert_eq!(found.status.code(), Some(1), "{what}: {}", said(&found));
        assert!(said(&found).contains("holdfast repair --from-archive"), "{what}: {}", said(&found));
        let repaired = repair(&["--json"]);
        assert!(repaired.status.success(), "{what}: {}", said(&repaired));
        let told = json(&repaired);
        assert!(
            told["left"] == serde_json::json!([]) && !told["mended"].as_array().unwrap().is_empty(),
            "{what}: {told}"
        );
        let verified = holdfast(dir.path(), &["verify"], "");
        assert!(verified.status.success(), "{what}: {}", said(&verified));
        let again = repair(&[]);
        assert!(again.status.success() && !said(&again).contains("REPAIRED"), "{what}: {}", said(&again));
        let server = Server::start_with(dir.path(), &more);
        assert!(mailbox(&server) == before, "{what}: it is not what it was");
        server.kill();
    }

    // A service that may not fetch it at its start says what to type.
    copy(&good, &data);
    HARMS[1].1(dir.path());
    write_config(dir.path(), &format!("{more}[repair]\nat_start = false\n"));
    let refused = holdfast(dir.path(), &["serve"], "");
    assert!(
        !refused.status.success() && said(&refused).contains("holdfast repair --from-archive"),
        "{}",
        said(&refused)
    );
    write_config(dir.path(), &more);

    // An archive that is not there, is not this one's, or can't be read, does no harm.
    for args in [["--archive", "nowhere"], ["--archive", "file:///nowhere/at/all"]] {
        let repaired = repair(&args);
        assert_eq!(repaired.status.code(), Some(1), "{args:?}: {}", said(&repaired));
    }
    fs::rename(&target, dir.path().join("elsewhere")).unwrap();
    let lost = log(dir.path());
    let left = fs::read(&lost).unwrap();
    let repaired = repair(&["--json"]);
    assert_eq!(repaired.status.code(), Some(1), "{}", said(&repaired));
    assert!(!json(&repaired)["left"].as_array().unwrap().is_empty());
    assert!(fs::read(&lost).unwrap() == left, "the log stays as it is while somebody else may have the rest");
    // By its URL, wherever it is.
    let url = format!("file://{}", dir.path().join("elsewhere").display());
    let identity = dir.path().join("identity").display().to_string();
    let repaired = repair(&["--archive", &url, "--identity", &identity]);
    assert!(repaired.status.success() && said(&repaired).contains("REPAIRED"), "{}", said(&repaired));
}

#[test]
fn what_is_damaged_in_a_stopped_folder_comes_from_a_standby_that_waits() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let machine = primary(one.path(), "");
    // What was committed before a standby made its first copy is not in its log.
    let standby = Standby::pair(two.path(), &machine, "");
    standby.line("following");
    machine.server.add_account(ANNA);
    deliver(&machine.server);
    let before = mailbox(&machine.server);
    wait_for("the standby has all", || has_all(&machine, &standby));
    let address = machine.address.to_string();
    machine.server.stop();
    let (data, good) = (one.path().join("data"), one.path().join("good"));
    copy(&data, &good);
    let config = one.path().join("holdfast.toml");
    let listens = [("HOLDFAST_LISTEN__STANDBY", address)];
    let repair = || {
        limited(env!("CARGO_BIN_EXE_holdfast"))
            .args(["--config", config.to_str().unwrap(), "repair", "--from-standby"])
            .env(listens[0].0, &listens[0].1)
            .output()
            .unwrap()
    };
    let worst: Harm = |dir| {
        cut(&log(dir), |len| len * 2 / 3);
        fs::remove_dir_all(dir.join("data/index")).unwrap();
        cut(&pack(dir), |len| len / 2);
    };
    for (what, harm) in [HARMS[1], HARMS[4], HARMS[7], ("a part of everything", worst)] {
        copy(&good, &data);
        harm(one.path());
        let repaired = repair();
        assert!(repaired.status.success() && said(&repaired).contains("REPAIRED"), "{what}: {}", said(&repaired));
        let verified = holdfast(one.path(), &["verify"], "");
        assert!(verified.status.success(), "{what}: {}", said(&verified));
    }
    let server = Server::start_with_env(one.path(), "", &listens);
    assert!(mailbox(&server) == before, "it is not what it was");
    wait_for("the standby follows it again", || standby.status().contains("following"));
    // A standby's folder is not repaired: it has a primary.
    drop(standby);
    let refused = holdfast(two.path(), &["repair", "--from-archive"], "");
    assert!(!refused.status.success() && said(&refused).contains("standby"), "{}", said(&refused));
}

#[test]
fn a_service_that_runs_mends_messages_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let server = Server::start_with(dir.path(), &more);
    server.add_account(ANNA);
    deliver(&server);
    let before = mailbox(&server);
    shipped(dir.path());
    flip(&pack(dir.path()), |len| len - 10);
    let repaired = server.command(&["repair", "--from-archive"]);
    assert!(repaired.status.success(), "{}", said(&repaired));
    assert!(mailbox(&server) == before, "it is not what it was");
    assert_eq!(health(&server)["damage"], 0);
    let repaired = server.command(&["repair", "--from-archive", "--archive", "here", "--json"]);
    assert!(repaired.status.success() && json(&repaired)["found"]["damage_count"] == 0, "{}", said(&repaired));
    assert!(!server.command(&["repair"]).status.success(), "whom to ask is said");
    server.stop();
}
