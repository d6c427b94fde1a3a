//! Both machines are lost: what the archive has is a service again, on an empty folder.

mod accounts;
mod moments;
mod reach;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    Server,
    archive::{archive, shipped},
    holdfast,
    imap::Imap,
    smtp::Smtp,
    wait_for,
    web::Web,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

const READER: &str = "reader@example.org";

fn deliver(server: &Server, subject: &str, size: usize) {
    let body = "The archive keeps what the machine loses.\r\n".repeat(size / 43 + 1);
    let message = format!("From: <a@example.net>\r\nTo: <{READER}>\r\nSubject: {subject}\r\n\r\n{body}");
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let reply = smtp.send("a@example.net", &[READER], &message).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

fn ok(output: &std::process::Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

/// Everything a mail program would see: UIDVALIDITY, and of each message flags and bytes.
fn mailbox(server: &Server) -> (String, Vec<String>) {
    let mut imap = Imap::login(server.address("imap"), READER).unwrap();
    // It knows no \Recent, which depends on who came first.
    imap.command("ENABLE IMAP4rev2").unwrap().ok();
    let selected = imap.command("SELECT INBOX").unwrap().ok();
    let validity = selected.untagged.iter().find(|line| line.contains("UIDVALIDITY")).unwrap().clone();
    let fetched = imap.command("FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])").unwrap();
    (validity, fetched.untagged)
}

/// A second machine: an empty folder, the same configuration.
fn second(dir: &Path, name: &str, more: &str) -> PathBuf {
    let second = dir.join(name);
    std::fs::create_dir(&second).unwrap();
    std::fs::write(
        second.join("holdfast.toml"),
        format!("data_dir = \"{}\"\nhostname = \"mx.example.org\"\n{more}", second.join("data").display()),
    )
    .unwrap();
    second
}

fn assert_sound(dir: &Path) {
    let said = ok(&holdfast(dir, &["verify"], ""));
    assert!(said.contains("ok: no damage found"), "{said}");
}

#[test]
fn both_machines_burn_and_every_message_comes_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let server = Server::start_with(dir.path(), &more);
    server.add_account(READER);
    for number in 0..10 {
        deliver(&server, &format!("before {number}"), number * 3000);
    }
    let said = ok(&server.command(&["archive", "snapshot"]));
    assert!(said.contains("verified: "), "{said}");
    for number in 0..10 {
        deliver(&server, &format!("after {number}"), 100);
    }
    let mut imap = Imap::login(server.address("imap"), READER).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 3 +FLAGS (\\Flagged \\Seen)").unwrap().ok();
    drop(imap);
    let (validity, before) = mailbox(&server);
    assert_eq!(before.iter().filter(|line| line.contains("FETCH")).count(), 20);
    shipped(server.dir());
    assert!(ok(&server.command(&["archive", "verify"])).contains("ok, everything is intact"));
    server.kill();
    std::fs::remove_dir_all(dir.path().join("data")).unwrap();

    let begun = Instant::now();
    let second = second(dir.path(), "second", &more);
    let said = ok(&holdfast(&second, &["restore", "--from", "here", "--offline"], ""));
    assert!(said.contains("20 bodies"), "{said}");
    assert_sound(&second);
    let restored = Server::start_with(&second, &more);
    let (new_validity, after) = mailbox(&restored);
    let took = begun.elapsed();
    assert_eq!(after, before);
    assert_ne!(new_validity, validity, "what clients saw after that moment must not be taken for what comes now");
    // The service goes on: new mail, a new line in the same archive, and that can be restored too.
    deliver(&restored, "on the new machine", 10);
    shipped(restored.dir());
    restored.stop();
    let third = self::second(dir.path(), "third", &more);
    ok(&holdfast(&third, &["restore", "--from", "here", "--offline"], ""));
    assert_sound(&third);
    let third = Server::start_with(&third, &more);
    assert_eq!(mailbox(&third).1.len(), before.len() + 1);
    crate::support::proved(
        "both burn, restored before it serves",
        "0 of 20 messages, byte for byte",
        &format!("{} to a mailbox read, with a verify between", crate::support::ms(took)),
    );
}

#[test]
fn one_second_before_a_bad_write_can_be_had_and_what_waits_to_be_sent_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let more = format!("[delivery.routes]\n\"far.example\" = \"127.0.0.1:9\"\n{}", archive(dir.path()));
    let server = Server::start_with(dir.path(), &more);
    server.add_account(READER);
    for number in 0..5 {
        deliver(&server, &format!("message {number}"), 500);
    }
    let mut submit = Smtp::connect(server.address("submission")).unwrap();
    let login = support_login();
    submit.command(&login).unwrap();
    let sent = submit
        .send(READER, &["someone@far.example"], &format!("From: <{READER}>\r\nSubject: out\r\n\r\nhello\r\n"))
        .unwrap();
    assert!(sent.starts_with("250"), "{sent}");
    let (_, before) = mailbox(&server);
    // The bad write comes in a later second than all that was before.
    let at = next_second();
    let mut imap = Imap::login(server.address("imap"), READER).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    assert_eq!(mailbox(&server).1.len(), 0);
    shipped(server.dir());
    server.stop();

    let begun = Instant::now();
    let second = second(dir.path(), "second", &more);
    let said = ok(&holdfast(&second, &["restore", "--from", "here", "--offline", "--at", &at], ""));
    assert!(said.contains("1 messages in the queue are on hold"), "{said}");
    assert_sound(&second);
    let restored = Server::start_with(&second, &more);
    assert_eq!(mailbox(&restored).1, before);
    let took = begun.elapsed();
    let queue = ok(&restored.command(&["queue", "list"]));
    assert!(queue.contains(READER) && queue.contains("on hold"), "{queue}");
    crate::support::proved(
        "one second before a bad write",
        "0 of 5 messages; what waited to be sent is held",
        &format!("{} to a mailbox read, with a verify between", crate::support::ms(took)),
    );
}

fn support_login() -> String {
    use base64::Engine as _;
    let plain = format!("\0{READER}\0{}", crate::support::PASSWORD);
    format!("AUTH PLAIN {}", base64::engine::general_purpose::STANDARD.encode(plain))
}

/// Waits for the next second of the clock to begin; gives the one that has ended, whole.
fn next_second() -> String {
    let now = jiff::Timestamp::now();
    while jiff::Timestamp::now().as_second() <= now.as_second() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    jiff::Timestamp::from_millisecond(now.as_second() * 1000 + 999).unwrap().to_string()
}

#[test]
fn kill_9_while_shipping_and_while_restoring_loses_nothing() {
    let seed =
        std::env::var("HOLDFAST_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    let rounds: u32 = std::env::var("HOLDFAST_ARCHIVE_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    println!("HOLDFAST_CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let mut acknowledged = 0;
    for round in 0..rounds {
        let server = Server::start_with(dir.path(), &more);
        if round == 0 {
            server.add_account(READER);
        }
        let until = Instant::now() + Duration::from_millis(random.random_range(100..1500));
        while Instant::now() < until {
            deliver(&server, &format!("message {acknowledged}"), random.random_range(0..40_000));
            acknowledged += 1;
        }
        if random.random_bool(0.5) {
            // Killed in the middle of a snapshot.
            let mut taking = Command::new(env!("CARGO_BIN_EXE_holdfast"))
                .args(["--config", &dir.path().join("holdfast.toml").display().to_string(), "archive", "snapshot"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::park_timeout(Duration::from_millis(random.random_range(1..60)));
            server.kill();
            taking.wait().unwrap();
        } else {
            server.kill();
        }
    }
    let server = Server::start_with(dir.path(), &more);
    shipped(server.dir());
    let (_, before) = mailbox(&server);
    assert_eq!(before.len(), acknowledged, "seed {seed}");
    let said = ok(&server.command(&["archive", "verify"]));
    assert!(said.contains("ok, everything is intact"), "seed {seed}: {said}");
    server.stop();

    let second = second(dir.path(), "second", &more);
    let config = second.join("holdfast.toml").display().to_string();
    for _ in 0..rounds {
        let mut restoring = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(["--config", &config, "restore", "--offline", "--from", "here"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::park_timeout(Duration::from_millis(random.random_range(5..250)));
        let _ = restoring.kill();
        restoring.wait().unwrap();
        if second.join("data/restoring").exists() {
            let refused = holdfast(&second, &["account", "list"], "");
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains("was not finished"), "seed {seed}: {said}");
        }
    }
    if second.join("data/restoring").exists() || !second.join("data/format").exists() {
        ok(&holdfast(&second, &["restore", "--from", "here", "--offline"], ""));
    }
    assert_sound(&second);
    let restored = Server::start_with(&second, &more);
    assert_eq!(mailbox(&restored).1, before, "seed {seed}");
    crate::support::proved(
        "kill -9 while shipping and restoring",
        &format!("0 of {acknowledged} acknowledged"),
        &format!("{rounds} kills each"),
    );
}

#[test]
fn what_is_wrong_is_said_with_an_exit_code_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let none = second(dir.path(), "none", "");
    let refused = |dir: &Path, args: &[&str]| {
        let output = holdfast(dir, args, "");
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&none, &["archive", "list"]).contains("[[archive]]"));
    assert!(refused(&none, &["restore", "--from", "nowhere"]).contains("file:///"));
    assert!(refused(&none, &["restore", "--from", "file:///does/not/exist"]).contains("no such folder"));
    let fresh = second(dir.path(), "fresh", &more);
    assert!(refused(&fresh, &["archive", "list"]).contains("there is no archive"));
    assert!(refused(&fresh, &["archive", "list", "--target", "other"]).contains("configured archives: here"));
    assert!(refused(&fresh, &["restore", "--from", "here", "--at", "noon"]).contains("ago"));
    assert!(refused(&fresh, &["archive", "status"]).contains("no data folder found"));
    let server = Server::start_with(dir.path(), &more);
    server.add_account(READER);
    ok(&server.command(&["archive", "snapshot"]));
    shipped(server.dir());
    let target = format!("file://{}/target", dir.path().display());
    assert!(refused(&none, &["restore", "--from", &target]).contains("--identity"));
    let early = refused(
        &none,
        &[
            "restore",
            "--from",
            &target,
            "--identity",
            &dir.path().join("identity").display().to_string(),
            "--at",
            "2020-01-01 00:00",
        ],
    );
    assert!(early.contains("is before the restorable part"), "{early}");
    let occupied = holdfast(dir.path(), &["restore", "--from", "here"], "");
    assert!(String::from_utf8_lossy(&occupied.stderr).contains("in use"), "{occupied:?}");
    server.stop();
    let occupied = holdfast(dir.path(), &["restore", "--from", "here"], "");
    assert!(String::from_utf8_lossy(&occupied.stderr).contains("empty folder"), "{occupied:?}");
    // A target that can't be written to is an alarm, and the service goes on.
    let target = dir.path().join("target");
    std::fs::rename(&target, dir.path().join("away")).unwrap();
    std::fs::write(&target, "in the way").unwrap();
    let server = Server::start_with(dir.path(), &more);
    deliver(&server, "in spite of it", 10);
    let status = server.command(&["archive", "status"]);
    assert!(!status.status.success());
    assert!(String::from_utf8_lossy(&status.stdout).contains("ALARM"), "{status:?}");
}

#[test]
fn a_drill_restores_reads_and_searches_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let server = Server::start_with(dir.path(), &more);
    server.add_account(READER);
    for number in 0..5 {
        deliver(&server, &format!("message {number}"), number * 1000);
    }
    shipped(server.dir());
    ok(&server.command(&["archive", "snapshot"]));
    let scratch = dir.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let drill = ["drill", "--dir", &scratch.display().to_string()];
    // While the service runs, beside it.
    let said = ok(&server.command(&drill));
    assert!(said.contains("5 bodies, 1 accounts tested") && said.contains(": ok"), "{said}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "what was restored is taken away");
    assert!(ok(&server.command(&["archive", "status"])).contains(" in total: ok"));
    // A folder refuses nothing: that is said where somebody asks, and is no warning.
    let noted = std::fs::read_to_string(dir.path().join("data/drills.jsonl")).unwrap();
    assert!(noted.contains("\"deletes\":\"folder\""), "{noted}");
    let said = ok(&server.command(&["archive", "status"]));
    assert!(said.contains("NOTE: it is a folder") && !said.contains("WARNING"), "{said}");
    // A full disk of the machine that tests is an alarm too: what it ends with says nothing here.
    let printed = |command: &[&str]| String::from_utf8(server.command(command).stdout).unwrap();
    assert!(!printed(&["status"]).contains("WARNING"));
    // What the last drill could delete with this machine's keys is a warning, over restarts too, and no alarm.
    for (deletes, warns) in [("refused", false), ("keeps_versions", true), ("deleted", true), ("folder", false)] {
        let line = noted.replace("\"deletes\":\"folder\"", &format!("\"deletes\":\"{deletes}\""));
        std::fs::write(dir.path().join("data/drills.jsonl"), line).unwrap();
        for command in [&["archive", "status"][..], &["status"]] {
            let said = printed(command);
            assert_eq!(said.contains("WARNING: archive here"), warns, "{deletes}: {said}");
        }
        let status = server.command(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(status["archives"][0]["warning"].is_string(), warns, "{deletes}: {status}");
        assert_eq!(status["archives"][0]["last_drill"]["deletes"], deletes);
    }
    std::fs::write(dir.path().join("data/drills.jsonl"), noted).unwrap();

    for entry in std::fs::read_dir(dir.path().join("target/bodies")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.iter_mut().step_by(100).for_each(|byte| *byte ^= 1);
        std::fs::write(path, bytes).unwrap();
    }
    let failed = server.command(&drill);
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(!failed.status.success() && said.contains("PROBLEM: account") && said.contains("body"), "{said}");
    // One that can't run is a failure too, and is remembered.
    std::fs::rename(dir.path().join("target"), dir.path().join("away")).unwrap();
    assert!(!server.command(&drill).status.success());
    let chief = ["account", "add", "chief@example.org", "--admin", "--password-stdin"];
    assert!(server.command_with_input(&chief, crate::support::PASSWORD).status.success());
    let mut web = Web::sign_in(server.address("http"), "chief@example.org").unwrap();
    wait_for("the drills on the administrators' page", || {
        web.get("/admin/continuity").unwrap().body.matches("<li>drill ").count() == 3
    });
    let history = std::fs::read_to_string(dir.path().join("data/drills.jsonl")).unwrap();
    let problems: Vec<bool> = history.lines().map(|line| !line.contains("\"problems\":[]")).collect();
    assert_eq!(problems, [false, true, true]);
}

#[test]
fn administrators_are_told_by_mail_and_on_their_pages_when_the_last_good_snapshot_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let more = format!("{}alarm_after = \"0 s\"\n", archive(dir.path()));
    let server = Server::start_with(dir.path(), &more);
    server.add_account(READER);
    let admin = "chief@example.org";
    let made =
        server.command_with_input(&["account", "add", admin, "--admin", "--password-stdin"], crate::support::PASSWORD);
    assert!(made.status.success(), "{made:?}");
    let told = || {
        let mut imap = Imap::login(server.address("imap"), admin).unwrap();
        imap.command("SELECT INBOX").unwrap().ok();
        imap.command("SEARCH SUBJECT \"Holdfast alarm: archive\"").unwrap().ok().numbers().len()
    };
    let today = || jiff::Timestamp::now().as_second() / 86_400;
    let begun = today();
    wait_for("a message to the administrator", || told() > 0);
    // Midnight may come in between.
    assert!(told() as i64 <= 1 + today() - begun, "once a day is enough");
    assert_eq!(mailbox(&server).1.len(), 0, "others are not told");
    let mut web = Web::sign_in(server.address("http"), admin).unwrap();
    let page = web.get("/admin").unwrap();
    assert!(page.body.contains("newest good snapshot is"), "{}", page.body);
    assert!(!server.command(&["archive", "status"]).status.success());
}
