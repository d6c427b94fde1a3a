//! A disk that is full to the last byte: what is answered, what goes on, and that nothing acknowledged is lost.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{
    Server,
    archive::{archive, shipped},
    holdfast,
    imap::Imap,
    limited,
    mounts::{SmallDisk, with_own_mounts},
    port,
    smtp::Smtp,
    standby::{Primary, Standby, deliver, has_all, primary, said, subjects},
    wait_for,
    web::Web,
    write_config,
};

const ANNA: &str = "anna@example.org";
const BERT: &str = "bert@example.org";
/// The least that may be configured: what the index needs to go on.
const RESERVE: u64 = 32 << 20;
const SMALL: &str = "[store]\nreserve = \"32 MiB\"\ncache = \"16 MiB\"\n";

/// The code of `/health`, and its `status`.
fn health(http: SocketAddr) -> (u16, String) {
    let page = Web::new(http).get("/health").unwrap();
    let body: Value = serde_json::from_str(&page.body).unwrap();
    (page.status, body["status"].as_str().unwrap().to_owned())
}

/// A message that can't be made smaller.
fn message(subject: &str, kib: usize) -> String {
    use std::fmt::Write as _;
    let mut text = format!("From: x@example.net\r\nSubject: {subject}\r\n\r\n");
    for _ in 0..kib * 16 {
        write!(text, "{:032x}{:030x}\r\n", rand::random::<u128>(), rand::random::<u128>() >> 8).unwrap();
    }
    text
}

/// What came of one act at a door.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Done,
    /// As the documents have it for a full disk.
    Full,
}

fn by_smtp(server: &Server, subject: &str) -> Said {
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let reply = smtp.send("x@example.net", &[ANNA], &message(subject, 256)).unwrap();
    match &reply[..3] {
        "250" => Said::Done,
        _ => {
            assert!(reply.starts_with("452 4.3.1"), "{reply}");
            Said::Full
        }
    }
}

fn by_imap(server: &Server, subject: &str) -> Said {
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    let answer = imap.append("INBOX", message(subject, 256)).unwrap();
    if answer.tagged.starts_with("OK") {
        return Said::Done;
    }
    assert!(answer.tagged.starts_with("NO [UNAVAILABLE]"), "{answer:?}");
    Said::Full
}

fn by_web(web: &mut Web, subject: &str) -> Said {
    let form = web.compose(ANNA, subject, &message("", 64)).unwrap();
    let page = web.post_compose(&form, None).unwrap();
    match page.status {
        303 => Said::Done,
        status => {
            assert_eq!(status, 503, "{}", page.body);
            Said::Full
        }
    }
}

/// Sends by every door until each has refused; gives the subjects of what was acknowledged.
fn fill_by_mail(server: &Server, phase: &str) -> Vec<String> {
    let mut web = Web::sign_in(server.address("http"), BERT).unwrap();
    let mut acknowledged = Vec::new();
    let mut refused = [false; 3];
    for number in 0.. {
        if refused == [true; 3] {
            break;
        }
        assert!(number < 2_000, "it does not get full: {refused:?}");
        let door = number % 3;
        let subject = format!("{phase} {number}");
        let said = match door {
            0 => by_smtp(server, &subject),
            1 => by_imap(server, &subject),
            _ => by_web(&mut web, &subject),
        };
        match said {
            Said::Done => acknowledged.push(subject),
            Said::Full => refused[door] = true,
        }
    }
    acknowledged
}

/// What was sent by the web is in the queue for the time of the undo, and longer where there is no room.
fn by_web_too(acknowledged: &[String]) -> (Vec<String>, Vec<String>) {
    let is_web = |subject: &String| subject.rsplit(' ').next().unwrap().parse::<usize>().unwrap() % 3 == 2;
    acknowledged.iter().cloned().partition(|subject| !is_web(subject))
}

/// Each is there once, and can be read to its last byte.
#[track_caller]
fn all_there(server: &Server, acknowledged: &[String]) {
    let there = subjects(server.address("imap"), ANNA);
    for subject in acknowledged {
        assert_eq!(there.iter().filter(|found| *found == subject).count(), 1, "{subject}");
    }
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("EXAMINE INBOX").unwrap().ok();
    imap.command("FETCH 1:* BODY.PEEK[]").unwrap().ok();
}

/// Everything that tells how the service is tells that the disk is full.
fn says_that_it_is_full(server: &Server) {
    assert_eq!(health(server.address("http")), (503, "full".to_owned()));
    wait_for("the alarm", || {
        let output = server.command(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        output.status.code() == Some(1) && !status["alarms"].as_array().unwrap().is_empty()
    });
    let metrics = server.page("/metrics");
    let refused = metrics.lines().find_map(|line| line.strip_prefix("holdfast_store_refused_full_total "));
    assert!(refused.is_some_and(|count| count.parse::<f64>().unwrap() > 0.0), "{refused:?}");
}

#[test]
fn a_disk_that_mail_fills_refuses_new_mail_and_lets_people_read_and_delete() {
    with_own_mounts("full::a_disk_that_mail_fills_refuses_new_mail_and_lets_people_read_and_delete", || {
        let dir = tempfile::tempdir().unwrap();
        let disk = SmallDisk::under(&dir.path().join("data"), 72);
        let server = Server::start_with(dir.path(), SMALL);
        for address in [ANNA, BERT] {
            server.add_account(address);
        }
        disk.fill(RESERVE + (8 << 20));
        let filled = fill_by_mail(&server, "first");
        assert!(filled.len() > 10, "{filled:?}");
        let (mut acknowledged, queued) = by_web_too(&filled);
        assert!(disk.free() < RESERVE);
        says_that_it_is_full(&server);
        all_there(&server, &acknowledged);
        // People come in, read, mark and delete.
        let mut web = Web::sign_in(server.address("http"), ANNA).unwrap();
        assert_eq!(web.get("/mail/inbox").unwrap().status, 200);
        let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
        imap.command("SELECT INBOX").unwrap().ok();
        imap.command("STORE 1 +FLAGS (\\Deleted)").unwrap().ok();
        imap.command("EXPUNGE").unwrap().ok();
        let gone = acknowledged.remove(0);
        let there = subjects(server.address("imap"), ANNA);
        assert!(!there.contains(&gone));
        // The daily work does what it can, and says what it could not.
        let maintained = server.command(&["maintain"]);
        assert_eq!(maintained.status.code(), Some(1), "{maintained:?}");
        // To the last byte, and not one less: nothing changes any more, and nothing ends.
        disk.fill(RESERVE / 4);
        // The writer refuses, and so is done with what it had begun.
        let refuses = |imap: &mut Imap| {
            let answer = imap.command("STORE 1 +FLAGS (\\Flagged)").unwrap();
            assert!(answer.tagged.starts_with("NO [UNAVAILABLE]"), "{answer:?}");
        };
        refuses(&mut imap);
        disk.fill(0);
        refuses(&mut imap);
        assert_eq!(by_smtp(&server, "no room"), Said::Full);
        let mut late = Web::sign_in(server.address("http"), ANNA).unwrap();
        assert_eq!(late.get("/mail/inbox").unwrap().status, 200, "a session that is kept in memory");
        all_there(&server, &acknowledged);
        let _ = server.command(&["maintain"]);
        assert_eq!(health(server.address("http")), (503, "full".to_owned()));
        // It dies, and starts without a byte to spare.
        server.kill();
        let server = Server::start_with(dir.path(), SMALL);
        all_there(&server, &acknowledged);
        assert_eq!(by_smtp(&server, "no room"), Said::Full);
        assert_eq!(health(server.address("http")), (503, "full".to_owned()));
        // Room is made: everything goes on at once.
        disk.make_room();
        disk.grow(160);
        for (number, said) in [by_smtp(&server, "after 0"), by_imap(&server, "after 1")].into_iter().enumerate() {
            assert_eq!(said, Said::Done);
            acknowledged.push(format!("after {number}"));
        }
        let mut web = Web::sign_in(server.address("http"), BERT).unwrap();
        assert_eq!(by_web(&mut web, "after 2"), Said::Done);
        acknowledged.push("after 2".to_owned());
        assert_eq!(health(server.address("http")), (200, "ok".to_owned()));
        let maintained = server.command(&["maintain"]);
        assert!(maintained.status.success(), "{maintained:?}");
        wait_for("what waited in the queue", || {
            let there = subjects(server.address("imap"), ANNA);
            queued.iter().all(|subject| there.contains(subject))
        });
        acknowledged.extend(queued);
        wait_for("what was sent last", || subjects(server.address("imap"), ANNA).contains(&"after 2".to_owned()));
        all_there(&server, &acknowledged);
        server.stop();
        // Another program takes the rest: it starts all the same.
        disk.fill(0);
        let server = Server::start_with(dir.path(), SMALL);
        all_there(&server, &acknowledged);
        assert_eq!(by_smtp(&server, "no room"), Said::Full);
        server.stop();
        let server = Server::start_with(dir.path(), SMALL);
        disk.make_room();
        assert_eq!(by_smtp(&server, "at the end"), Said::Done);
        server.stop();
        let verified = holdfast(dir.path(), &["verify"], "");
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    });
}

/// A log on a disk of its own, which alone is full.
#[test]
fn a_log_whose_own_disk_is_full_refuses_and_says_so() {
    with_own_mounts("full::a_log_whose_own_disk_is_full_refuses_and_says_so", || {
        for part in ["log", "packs"] {
            let dir = tempfile::tempdir().unwrap();
            let server = Server::start_with(dir.path(), SMALL);
            server.add_account(ANNA);
            server.stop();
            let (place, kept) = (dir.path().join("data").join(part), dir.path().join("kept"));
            std::fs::rename(&place, &kept).unwrap();
            let disk = SmallDisk::under(&place, 128);
            let copied = limited("cp").args(["-a", &format!("{}/.", kept.display())]).arg(&place).status().unwrap();
            assert!(copied.success());
            let server = Server::start_with(dir.path(), SMALL);
            assert_eq!(by_smtp(&server, "before"), Said::Done);
            disk.fill(0);
            assert_eq!((by_smtp(&server, "no room"), by_imap(&server, "no room")), (Said::Full, Said::Full));
            says_that_it_is_full(&server);
            all_there(&server, &["before".to_owned()]);
            server.kill();
            let server = Server::start_with(dir.path(), SMALL);
            assert_eq!(by_smtp(&server, "no room"), Said::Full, "{part}");
            disk.make_room();
            assert_eq!(by_smtp(&server, "after"), Said::Done, "{part}");
            assert_eq!(health(server.address("http")), (200, "ok".to_owned()));
            assert_eq!(subjects(server.address("imap"), ANNA), ["before", "after"], "{part}");
            server.stop();
        }
    });
}

#[test]
fn an_archive_whose_disk_is_full_is_an_alarm_and_nothing_that_mail_waits_for() {
    with_own_mounts("full::an_archive_whose_disk_is_full_is_an_alarm_and_nothing_that_mail_waits_for", || {
        let dir = tempfile::tempdir().unwrap();
        let disk = SmallDisk::under(&dir.path().join("target"), 16);
        let more = archive(dir.path());
        let server = Server::start_with(dir.path(), &more);
        server.add_account(ANNA);
        assert_eq!(by_smtp(&server, "before"), Said::Done);
        shipped(dir.path());
        assert!(server.command(&["archive", "snapshot"]).status.success());
        disk.fill(0);
        for number in 0..5 {
            assert_eq!(by_smtp(&server, &format!("during {number}")), Said::Done);
        }
        assert_eq!(server.command(&["archive", "snapshot"]).status.code(), Some(1));
        wait_for("it is told", || {
            let status = server.command(&["status", "--json"]);
            let status: Value = serde_json::from_slice(&status.stdout).unwrap();
            !status["archives"][0]["failing"].as_array().unwrap().is_empty()
        });
        assert_eq!(server.command(&["archive", "status"]).status.code(), Some(1));
        assert_eq!(health(server.address("http")), (200, "ok".to_owned()), "people are not concerned");
        // What came since is there once there is room.
        server.kill();
        let server = Server::start_with(dir.path(), &more);
        assert_eq!(by_smtp(&server, "during 5"), Said::Done);
        disk.make_room();
        wait_for("the failure is over", || server.command(&["archive", "status"]).status.success());
        shipped(dir.path());
        assert!(server.command(&["archive", "snapshot"]).status.success());
        let verified = server.command(&["archive", "verify"]);
        assert!(verified.status.success(), "{verified:?}");
        let before = subjects(server.address("imap"), ANNA);
        assert_eq!(before.len(), 7);
        server.kill();
        let other = tempfile::tempdir().unwrap();
        write_config(other.path(), &more);
        said(other.path(), &["restore", "--offline", "--from", "here"]);
        let server = Server::start_with(other.path(), &more);
        assert_eq!(subjects(server.address("imap"), ANNA), before);
    });
}

#[test]
fn a_standby_whose_disk_is_full_says_so_and_goes_on_when_there_is_room() {
    with_own_mounts("full::a_standby_whose_disk_is_full_says_so_and_goes_on_when_there_is_room", || {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let disk = SmallDisk::under(&two.path().join("data"), 96);
        let Primary { server, address } = primary(one.path(), "");
        server.add_account(ANNA);
        let watched = SocketAddr::from(([127, 0, 0, 1], port()));
        let code = said(one.path(), &["standby", "code"]);
        write_config(two.path(), SMALL);
        let at = address.to_string();
        let args = ["--primary", &at, "--code", code.lines().next().unwrap()];
        let own = [("HOLDFAST_LISTEN__STANDBY_HTTP", watched.to_string())];
        let standby = Standby::spawn_with_env(two.path(), &args, &own);
        standby.line("following");
        server.stop();
        let mut acknowledged = Vec::new();
        let mut standby = Some(standby);
        for when_away in ["degrade", "wait"] {
            let more = format!("[standby]\nmode = \"sync\"\nwhen_away = \"{when_away}\"\naway_after = \"1 second\"\n");
            let env = [("HOLDFAST_LISTEN__STANDBY", at.clone())];
            let primary = Primary { server: Server::start_with_env(one.path(), &more, &env), address };
            let following = standby.take().unwrap();
            let http = primary.server.address("http");
            wait_for("the standby has all", || has_all(&primary, &following));
            wait_for("all is well", || primary.server.command(&["status", "--json"]).status.success());
            let subject = format!("before {when_away}");
            assert_eq!(by_smtp(&primary.server, &subject), Said::Done);
            acknowledged.push(subject);
            disk.fill(0);
            let subject = format!("during {when_away}");
            let sending = {
                let (smtp, subject) = (primary.server.address("smtp"), subject.clone());
                std::thread::spawn(move || deliver(smtp, ANNA, &subject).unwrap())
            };
            acknowledged.push(subject);
            wait_for("the primary says it", || {
                let status: Value =
                    serde_json::from_slice(&primary.server.command(&["status", "--json"]).stdout).unwrap();
                status["standbys"][0]["full"] == true && !status["alarms"].as_array().unwrap().is_empty()
            });
            wait_for("the standby says it", || health(watched) == (503, "full".to_owned()));
            if when_away == "wait" {
                wait_for("nothing is acknowledged", || health(http) == (503, "waiting".to_owned()));
                assert!(!sending.is_finished());
            } else {
                wait_for("it goes on", || sending.is_finished());
                assert_eq!(health(http), (200, "ok".to_owned()));
            }
            // It dies with a full disk, and says the same when it is started again.
            following.kill();
            let following = Standby::spawn_with_env(two.path(), &[], &own);
            wait_for("it says it still", || health(watched) == (503, "full".to_owned()));
            disk.make_room();
            assert!(sending.join().unwrap().starts_with("250"));
            wait_for("the standby has all", || has_all(&primary, &following));
            wait_for("it says that all is well", || health(watched) == (200, "ok".to_owned()));
            wait_for("the primary too", || primary.server.command(&["status", "--json"]).status.success());
            assert!(said(two.path(), &["compare"]).contains("realms are identical"));
            standby = Some(following);
            primary.server.stop();
        }
        said(two.path(), &["promote", "--alone"]);
        assert_eq!(subjects(standby.unwrap().promoted(), ANNA), acknowledged);
    });
}
