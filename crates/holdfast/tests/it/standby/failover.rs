//! The primary is lost, and the standby takes over: what was acknowledged, and how long it takes.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use super::{ANNA, Machines, SYNC, machines};
use crate::support::{
    Server,
    archive::{archive, shipped},
    comes_about,
    imap::Imap,
    ms, port, proved,
    standby::{Primary, Standby, deliver, has_all, numbers, run, said, subjects},
    wait_for,
};

/// A failover's time, as a proof states it.
fn to_mailbox(took: Duration) -> String {
    format!("{} from the command to a mailbox read", ms(took))
}

#[test]
fn when_the_primary_burns_in_sync_mode_nothing_acknowledged_is_lost() {
    let Machines { dirs, primary } = machines(SYNC);
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    let smtp = primary.server.address("smtp");
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let acknowledged = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (stop, count) = (&stop, &count);
                scope.spawn(move || {
                    let mut sent = Vec::new();
                    for number in 0.. {
                        let subject = format!("{sender}-{number}");
                        match deliver(smtp, ANNA, &subject) {
                            Ok(reply) if reply.starts_with("250") => sent.push(subject),
                            _ => break,
                        }
                        count.fetch_add(1, Ordering::SeqCst);
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                    }
                    sent
                })
            })
            .collect();
        comes_about(|| count.load(Ordering::SeqCst) > 100);
        primary.server.kill();
        stop.store(true, Ordering::SeqCst);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(acknowledged.len() > 100, "{} messages were acknowledged", acknowledged.len());
    let begun = Instant::now();
    let promoted = said(dirs[1].path(), &["promote"]);
    assert!(
        promoted.contains("epoch 2") && promoted.contains("is missing here (it waited for this machine)"),
        "{promoted}"
    );
    let imap = standby.promoted();
    let there = subjects(imap, ANNA);
    let took = begun.elapsed();
    for subject in &acknowledged {
        assert_eq!(there.iter().filter(|found| *found == subject).count(), 1, "{subject}");
    }
    proved("the primary burns, sync", &format!("0 of {} acknowledged", acknowledged.len()), &to_mailbox(took));
    // Whatever starts `holdfast standby` there after a reboot starts the service.
    standby.kill();
    let again = Standby::spawn(dirs[1].path(), &[]);
    assert!(said(dirs[1].path(), &["account", "list"]).contains(ANNA));
    let verify = {
        let standby_dir = dirs[1].path().to_owned();
        drop(again);
        run(&standby_dir, &["verify"])
    };
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

#[test]
fn when_the_primary_burns_in_async_mode_only_the_last_commits_are_lost_and_salvage_brings_them_back() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    let smtp = primary.server.address("smtp");
    let sender = std::thread::spawn(move || {
        let mut sent = Vec::new();
        // Until the machine dies under it.
        while deliver(smtp, ANNA, &format!("m{}", sent.len())).is_ok_and(|reply| reply.starts_with("250")) {
            sent.push(format!("m{}", sent.len()));
        }
        sent
    });
    wait_for("some are there", || numbers(&standby.status()).is_some_and(|(received, _)| received > 60));
    primary.server.kill();
    let acknowledged = sender.join().unwrap();
    let (received, _) = numbers(&standby.status()).unwrap();
    let begun = Instant::now();
    let promoted = said(dirs[1].path(), &["promote"]);
    assert!(promoted.contains(&format!("commits from {} on", received + 1)), "{promoted}");
    assert!(promoted.contains("last contact 20") && !promoted.contains("WARNING"), "{promoted}");
    let imap = standby.promoted();
    let there = subjects(imap, ANNA);
    let took = begun.elapsed();
    // One sender, one message a commit: what came across is a beginning of what was acknowledged, without a gap, and
    // perhaps the message that was in flight.
    let shared = there.len().min(acknowledged.len());
    assert_eq!(there[..shared], acknowledged[..shared]);
    assert!(there.len() <= acknowledged.len() + 1, "{} of {}", there.len(), acknowledged.len());
    let lost = acknowledged.len() - shared;
    // The old primary's disk is found: what only it had comes back, once.
    let scratch = dirs[1].path().join("scratch");
    let old = dirs[0].path().join("data");
    let salvage = ["salvage", old.to_str().unwrap(), "--scratch", scratch.to_str().unwrap()];
    let report = said(dirs[1].path(), &salvage);
    let end =
        report.split("up to commit ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_else(|| panic!("{report}"));
    let behind = end.parse::<usize>().unwrap() - received as usize;
    assert!(lost <= behind, "{lost} lost, {behind} commits behind");
    said(dirs[1].path(), &salvage);
    let there = subjects(imap, ANNA);
    for subject in &acknowledged {
        assert_eq!(there.iter().filter(|found| *found == subject).count(), 1, "{subject}");
    }
    let lost = format!(
        "{lost} of {} acknowledged, the last ones, {behind} commits behind; 0 after salvage of the old disk",
        acknowledged.len()
    );
    proved("the primary burns, async", &lost, &to_mailbox(took));
}

#[test]
fn a_primary_that_comes_back_after_a_promotion_is_told_and_rejoins_without_losing_what_only_it_has() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    deliver(primary.server.address("smtp"), ANNA, "shared").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    // The standby loses sight of the primary, which goes on.
    standby.kill();
    deliver(primary.server.address("smtp"), ANNA, "only here").unwrap();
    let address = primary.address;
    primary.server.kill();
    let begun = Instant::now();
    let promoted = said(dirs[1].path(), &["promote"]);
    assert!(promoted.contains("epoch 2"), "{promoted}");
    let second = port();
    let second_address = SocketAddr::from(([127, 0, 0, 1], second));
    let server =
        Server::start_with_env(dirs[1].path(), "", &[("HOLDFAST_LISTEN__STANDBY", second_address.to_string())]);
    let new = Primary { server, address: second_address };
    assert_eq!(subjects(new.server.address("imap"), ANNA), ["shared"]);
    let took = begun.elapsed();
    deliver(new.server.address("smtp"), ANNA, "new epoch").unwrap();

    // The old one starts as if nothing had been, is told, and acknowledges nothing any more.
    let old = Server::start_with_env(dirs[0].path(), "", &[("HOLDFAST_LISTEN__STANDBY", address.to_string())]);
    let refused =
        |server: &Server| deliver(server.address("smtp"), ANNA, "split").is_ok_and(|reply| reply.starts_with('4'));
    wait_for("the old one is fenced", || refused(&old));
    // It says so at once, and scripts see it.
    let told = run(dirs[0].path(), &["status"]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(1), "{text}");
    assert!(text.contains("STOPPED") && text.contains("was made the primary (epoch 2)"), "{text}");
    assert!(text.contains("ALARM: Store: writes are stopped"), "{text}");
    old.kill();
    let again = run(dirs[0].path(), &["serve"]);
    let why = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && why.contains("was made the primary (epoch 2)"), "{why}");

    // It follows from now on; what only it had is in files.
    let refused = run(dirs[0].path(), &["standby", "--primary", &new.address.to_string(), "--code", "x"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--rejoin"), "{refused:?}");
    let code = said(dirs[1].path(), &["standby", "code"]);
    let code = code.lines().next().unwrap();
    let back = Standby::spawn(dirs[0].path(), &["--primary", &new.address.to_string(), "--code", code, "--rejoin"]);
    wait_for("it has all", || has_all(&new, &back));
    assert!(said(dirs[0].path(), &["compare"]).contains("3 realms are identical"));
    let data = dirs[0].path().join("data");
    let kept = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    let kept = kept.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("unshared-after-"));
    let folder = kept.collect::<Vec<_>>().pop().expect("a folder of what only it had");
    let account = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    for _ in 0..2 {
        said(dirs[1].path(), &["import", ANNA, account.as_ref().unwrap().to_str().unwrap()]);
    }
    let mut there = subjects(new.server.address("imap"), ANNA);
    there.retain(|subject| subject != "split");
    there.sort();
    assert_eq!(there, ["new epoch", "only here", "shared"]);
    new.server.stop();
    proved("split brain", "0 of 3 acknowledged, once the old primary rejoined", &to_mailbox(took));
}

/// Flips one bit in the middle of every file below a folder that is not empty.
fn corrupt(dir: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += corrupt(&path);
            continue;
        }
        let Ok(length) = path.metadata().map(|metadata| metadata.len()) else { continue };
        if length > 200 {
            use std::os::unix::fs::FileExt as _;
            let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
            let mut byte = [0];
            // Not the end, where a process may be writing.
            file.read_exact_at(&mut byte, length / 3).unwrap();
            file.write_all_at(&[byte[0] ^ 4], length / 3).unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn what_is_corrupt_on_the_primary_does_not_become_corrupt_on_the_standby() {
    let Machines { dirs, primary } = machines(SYNC);
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    let mut acknowledged = Vec::new();
    let mut send = |count: usize, phase: &str| {
        for number in 0..count {
            let subject = format!("{phase}-{number}");
            if deliver(primary.server.address("smtp"), ANNA, &subject).is_ok_and(|reply| reply.starts_with("250")) {
                acknowledged.push(subject);
            }
        }
    };
    send(50, "before");
    let data = dirs[0].path().join("data");
    let corrupted: usize = ["packs", "log", "index"].into_iter().map(|part| corrupt(&data.join(part))).sum();
    assert!(corrupted >= 3, "{corrupted} files");
    // The primary goes on as well as it can; what it acknowledges, the standby has.
    send(50, "after");
    primary.server.kill();
    let verify = run(dirs[0].path(), &["verify"]);
    let found = String::from_utf8_lossy(&verify.stdout).into_owned() + &String::from_utf8_lossy(&verify.stderr);
    assert!(!verify.status.success(), "the corruption is noticed: {found}");
    let begun = Instant::now();
    said(dirs[1].path(), &["promote"]);
    let imap = standby.promoted();
    let there = subjects(imap, ANNA);
    let took = begun.elapsed();
    for subject in &acknowledged {
        assert_eq!(there.iter().filter(|found| *found == subject).count(), 1, "{subject}");
    }
    let mut reader = Imap::login(imap, ANNA).unwrap();
    reader.command("EXAMINE INBOX").unwrap().ok();
    let texts = reader.command("FETCH 1:* BODY.PEEK[TEXT]").unwrap().ok();
    assert_eq!(texts.untagged.iter().filter(|text| text.contains("Text.")).count(), there.len());
    drop(reader);
    drop(standby);
    let verify = run(dirs[1].path(), &["verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
    let lost = format!(
        "0 of {} acknowledged; {corrupted} files corrupted on the primary, 0 on the standby",
        acknowledged.len()
    );
    proved("corruption does not replicate", &lost, &to_mailbox(took));
}

#[test]
fn both_machines_burn_after_a_failover_and_the_archive_has_one_history() {
    let kept = tempfile::tempdir().unwrap();
    let more = archive(kept.path());
    let Machines { dirs, primary } = machines(&more);
    let standby = Standby::pair(dirs[1].path(), &primary, &more);
    standby.line("following");
    deliver(primary.server.address("smtp"), ANNA, "before the failover").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    said(dirs[0].path(), &["archive", "snapshot"]);
    primary.server.kill();
    said(dirs[1].path(), &["promote"]);
    let lines = standby.line("ready");
    let door = |name: &str| -> SocketAddr {
        let line = lines.iter().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    deliver(door("smtp "), ANNA, "after the failover").unwrap();
    shipped(dirs[1].path());
    standby.kill();

    let third = tempfile::tempdir().unwrap();
    crate::support::write_config(third.path(), &more);
    let begun = Instant::now();
    said(third.path(), &["restore", "--offline", "--from", "here"]);
    let server = Server::start_with(third.path(), &more);
    assert_eq!(subjects(server.address("imap"), ANNA), ["before the failover", "after the failover"]);
    proved("both machines burn after a failover", "0 of 2 acknowledged", &to_mailbox(begun.elapsed()));
}
