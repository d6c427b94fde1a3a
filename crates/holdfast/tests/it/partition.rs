//! The network between two machines is cut, in one direction or both, and comes back: what is acknowledged while it is
//! away, what is told, and that both end with one history.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use crate::support::{
    Server, port,
    standby::{Primary, Standby, deliver, has_all, primary, run, said, subjects},
    wait_for,
    web::Web,
    wire::{BOTH, Way, Wire},
    write_config,
};

const ANNA: &str = "anna@example.org";
const DEGRADE: &str = "[standby]\nmode = \"sync\"\nwhen_away = \"degrade\"\naway_after = \"1 second\"\n";
const WAIT: &str = "[standby]\nmode = \"sync\"\nwhen_away = \"wait\"\naway_after = \"1 second\"\n";

/// A primary, its standby, and the wire by which the standby reaches it.
struct Pair {
    dirs: [tempfile::TempDir; 2],
    primary: Primary,
    standby: Standby,
    /// The standby's own page for monitoring.
    watched: SocketAddr,
    /// Where it listens for standbys once it is the primary.
    own: SocketAddr,
    wire: Wire,
}

fn pair(more: &str) -> Pair {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // The account is made before commits wait for a standby that is not there yet.
    let Primary { server, address } = primary(dirs[0].path(), "");
    server.add_account(ANNA);
    server.stop();
    let env = [("HOLDFAST_LISTEN__STANDBY", address.to_string())];
    let server = Server::start_with_env(dirs[0].path(), more, &env);
    let primary = Primary { server, address };
    let wire = Wire::before(address);
    let (watched, own) = (loopback(), loopback());
    let code = said(dirs[0].path(), &["standby", "code"]);
    write_config(dirs[1].path(), more);
    let env = [("HOLDFAST_LISTEN__STANDBY_HTTP", watched.to_string()), ("HOLDFAST_LISTEN__STANDBY", own.to_string())];
    let args = ["--primary", &wire.address.to_string(), "--code", code.lines().next().unwrap()];
    let standby = Standby::spawn_with_env(dirs[1].path(), &args, &env);
    standby.line("following");
    wait_for("the standby has all", || has_all(&primary, &standby));
    wait_for("commits wait for it", || !json(dirs[0].path())["degraded"].as_bool().unwrap());
    Pair { dirs, primary, standby, watched, own, wire }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port()))
}

/// `status --json` of the machine in `dir`; its exit code agrees with what is in it.
#[track_caller]
fn json(dir: &Path) -> Value {
    let output = run(dir, &["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let alarmed = !status["alarms"].as_array().unwrap().is_empty();
    assert_eq!(output.status.code(), Some(i32::from(alarmed)), "{status}");
    status
}

fn health(http: SocketAddr) -> (u16, String) {
    let page = Web::new(http).get("/health").unwrap();
    let body: Value = serde_json::from_str(&page.body).unwrap();
    (page.status, body["status"].as_str().unwrap().to_owned())
}

/// Whether a message was acknowledged; anything but a clear yes is none.
fn sent(smtp: SocketAddr, subject: &str) -> bool {
    deliver(smtp, ANNA, subject).is_ok_and(|reply| reply.starts_with("250"))
}

/// The listeners of a standby that was promoted.
struct Promoted {
    smtp: SocketAddr,
    imap: SocketAddr,
    http: SocketAddr,
}

fn promoted(standby: &Standby) -> Promoted {
    let lines = standby.line("ready");
    let door = |name: &str| -> SocketAddr {
        let line = lines.iter().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    Promoted { smtp: door("smtp "), imap: door("imap "), http: door("http ") }
}

#[test]
fn a_primary_that_may_go_on_alone_does_whichever_direction_is_cut_and_has_one_history_afterwards() {
    let Pair { dirs, primary, standby, watched, own, wire } = pair(DEGRADE);
    let (smtp, http) = (primary.server.address("smtp"), primary.server.address("http"));
    let mut acknowledged = Vec::new();
    for ways in [&BOTH[..], &[Way::There], &[Way::Back]] {
        for number in 0..3 {
            let subject = format!("{ways:?} {number}");
            assert!(sent(smtp, &subject));
            acknowledged.push(subject);
        }
        wire.hold(ways);
        let subject = format!("{ways:?} cut");
        assert!(sent(smtp, &subject), "it goes on alone");
        acknowledged.push(subject);
        let status = json(dirs[0].path());
        assert_eq!(status["degraded"], true, "{ways:?}: {status}");
        assert_eq!(health(http), (200, "ok".to_owned()), "people can work");
        wait_for("the alarm", || !json(dirs[0].path())["alarms"].as_array().unwrap().is_empty());
        if *ways == [Way::Back] {
            // It hears nothing, and must not say that all is well for ever.
            wait_for("the standby tells", || health(watched) == (503, "away".to_owned()));
        }
        wire.heal();
        wait_for("commits wait for it again", || !json(dirs[0].path())["degraded"].as_bool().unwrap());
        wait_for("the standby has all", || has_all(&primary, &standby));
        wait_for("the standby tells that all is well", || health(watched) == (200, "ok".to_owned()));
    }
    assert!(said(dirs[1].path(), &["compare"]).contains("realms are identical"));

    // Cut, and the other one is made the primary: both take mail, as this mode has it, until the network is back.
    wire.hold(&BOTH);
    assert!(sent(smtp, "only on the old one"));
    said(dirs[1].path(), &["promote"]);
    let new = promoted(&standby);
    assert!(sent(new.smtp, "only on the new one") && sent(smtp, "on the old one too"));
    acknowledged.extend(["only on the old one", "only on the new one", "on the old one too"].map(str::to_owned));
    wire.heal();
    wait_for("the old one stops", || health(http) == (503, "stopped".to_owned()));
    // From then on only one of them acknowledges.
    for number in 0..5 {
        assert!(!sent(smtp, &format!("fenced {number}")));
        let subject = format!("afterwards {number}");
        assert!(sent(new.smtp, &subject));
        acknowledged.push(subject);
    }
    let told = json(dirs[0].path());
    assert!(told["stopped"].is_string(), "{told}");
    primary.server.kill();
    assert!(!run(dirs[0].path(), &["serve"]).status.success(), "it no longer starts as a primary");
    // It follows, and what only it has is merged.
    let code = said(dirs[1].path(), &["standby", "code"]);
    let args = ["--primary", &own.to_string(), "--code", code.lines().next().unwrap(), "--rejoin"];
    let old = Standby::spawn(dirs[0].path(), &args);
    old.line("following");
    let unshared = std::fs::read_dir(dirs[0].path().join("data")).unwrap().map(|entry| entry.unwrap().path());
    let unshared = unshared.into_iter().find(|path| path.to_string_lossy().contains("unshared-after-")).unwrap();
    let scratch = dirs[1].path().join("scratch");
    for _ in 0..2 {
        said(dirs[1].path(), &["salvage", unshared.to_str().unwrap(), "--scratch", scratch.to_str().unwrap()]);
    }
    let mut there = subjects(new.imap, ANNA);
    there.sort();
    acknowledged.sort();
    assert_eq!(there, acknowledged, "all of them, once");
    wait_for("one history", || run(dirs[1].path(), &["standby", "status"]).status.success());
    wait_for("both are the same", || run(dirs[0].path(), &["compare"]).status.success());
    assert_eq!(health(new.http).0, 200);
}

#[test]
fn a_primary_that_waits_acknowledges_nothing_while_it_is_cut_off_and_nothing_after_another_took_over() {
    let Pair { dirs, primary, standby, wire, .. } = pair(WAIT);
    let (smtp, imap, http) =
        (primary.server.address("smtp"), primary.server.address("imap"), primary.server.address("http"));
    let mut acknowledged = Vec::new();
    for ways in [&[Way::There][..], &[Way::Back], &BOTH] {
        wire.hold(ways);
        let subject = format!("{ways:?}");
        let sending = std::thread::spawn({
            let subject = subject.clone();
            move || sent(smtp, &subject)
        });
        wait_for("the commit", || subjects(imap, ANNA).contains(&subject));
        wait_for("it is told", || health(http) == (503, "waiting".to_owned()));
        assert!(json(dirs[0].path())["waiting"].is_string());
        assert!(!sending.is_finished(), "{ways:?}: nobody has said that the other one has it");
        wire.heal();
        assert!(sending.join().unwrap(), "{ways:?}: it was only late");
        acknowledged.push(subject);
        wait_for("all is well", || health(http) == (200, "ok".to_owned()));
    }
    wire.hold(&BOTH);
    let senders: Vec<_> =
        (0..3).map(|number| std::thread::spawn(move || sent(smtp, &format!("in doubt {number}")))).collect();
    wait_for("it is told", || health(http) == (503, "waiting".to_owned()));
    said(dirs[1].path(), &["promote", "--alone"]);
    let new = promoted(&standby);
    for number in 0..3 {
        let subject = format!("new {number}");
        assert!(sent(new.smtp, &subject));
        acknowledged.push(subject);
    }
    assert!(senders.iter().all(|sender| !sender.is_finished()));
    wire.heal();
    wait_for("the old one stops", || health(http) == (503, "stopped".to_owned()));
    for sender in senders {
        assert!(!sender.join().unwrap(), "two machines have acknowledged");
    }
    assert!(!sent(smtp, "fenced"));
    let there = subjects(new.imap, ANNA);
    for subject in &acknowledged {
        assert_eq!(there.iter().filter(|found| *found == subject).count(), 1, "{subject}");
    }
}

#[test]
fn a_network_that_flaps_delays_and_drops_connections_loses_nothing_acknowledged() {
    let seed = std::env::var("HOLDFAST_FLAP_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    println!("HOLDFAST_FLAP_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let Pair { dirs, primary, standby, wire, .. } = pair(WAIT);
    let smtp = primary.server.address("smtp");
    let (acknowledged, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for sender in 0..3 {
            let (acknowledged, stop) = (&acknowledged, &stop);
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let subject = format!("{sender} {number}");
                    if sent(smtp, &subject) {
                        acknowledged.lock().unwrap().push(subject);
                    }
                }
            });
        }
        for _ in 0..12 {
            match random.random_range(0..5) {
                0 => wire.hold(&[Way::There]),
                1 => wire.hold(&[Way::Back]),
                2 => wire.hold(&BOTH),
                3 => wire.delay(Duration::from_millis(random.random_range(1..40))),
                _ => wire.break_all(),
            }
            std::thread::park_timeout(Duration::from_millis(random.random_range(1..150)));
            if random.random_bool(0.3) {
                wire.break_all();
            }
            wire.heal();
            // Something gets through in between.
            let before = acknowledged.lock().unwrap().len();
            wait_for("more is acknowledged", || acknowledged.lock().unwrap().len() > before);
        }
        stop.store(true, Ordering::SeqCst);
    });
    wait_for("the standby has all", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("realms are identical"));
    primary.server.kill();
    said(dirs[1].path(), &["promote", "--alone"]);
    let there = subjects(promoted(&standby).imap, ANNA);
    for subject in acknowledged.into_inner().unwrap() {
        assert_eq!(there.iter().filter(|found| **found == subject).count(), 1, "{subject}");
    }
}
