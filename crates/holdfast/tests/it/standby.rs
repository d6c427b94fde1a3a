//! A second machine follows, compares, is damaged or deceived, and takes over: real processes over real sockets.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::support::{
    Server,
    archive::{archive, shipped},
    comes_about,
    imap::Imap,
    ms, port, proved,
    standby::{Primary, Standby, deliver, has_all, numbers, primary, run, said, status, subjects},
    wait_for,
    web::Web,
};

const ANNA: &str = "anna@example.org";
const BERT: &str = "bert@example.org";
const SYNC: &str = "[standby]\nmode = \"sync\"\nwhen_away = \"wait\"\n";

/// A failover's time, as a proof states it.
fn to_mailbox(took: Duration) -> String {
    format!("{} from the command to a mailbox read", ms(took))
}

struct Machines {
    dirs: [tempfile::TempDir; 2],
    primary: Primary,
}

fn machines(more: &str) -> Machines {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let primary = primary(dirs[0].path(), "");
    for address in [ANNA, BERT] {
        primary.server.add_account(address);
    }
    if more.is_empty() {
        return Machines { dirs, primary };
    }
    // Accounts are made before commits wait for a standby that is not there yet.
    let address = primary.address;
    primary.server.stop();
    let server = Server::start_with_env(dirs[0].path(), more, &[("HOLDFAST_LISTEN__STANDBY", address.to_string())]);
    Machines { dirs, primary: Primary { server, address } }
}

#[test]
fn a_standby_copies_follows_compares_and_resumes_after_every_break() {
    let Machines { dirs, primary } = machines("");
    for number in 0..20 {
        deliver(primary.server.address("smtp"), ANNA, &format!("before {number}")).unwrap();
    }
    let wrong = run(dirs[1].path(), &["standby", "--primary", "127.0.0.1:1", "--code", "no-code"]);
    assert!(!wrong.status.success());
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    deliver(primary.server.address("smtp"), BERT, "after").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("3 realms are identical"));

    // The standby dies, and comes back without a code.
    standby.kill();
    deliver(primary.server.address("smtp"), BERT, "while it was away").unwrap();
    let standby = Standby::spawn(dirs[1].path(), &[]);
    wait_for("the standby has all again", || has_all(&primary, &standby));
    // The primary dies, and comes back.
    let address = primary.address;
    primary.server.kill();
    let server = Server::start_with_env(dirs[0].path(), "", &[("HOLDFAST_LISTEN__STANDBY", address.to_string())]);
    let primary = Primary { server, address };
    deliver(primary.server.address("smtp"), BERT, "after the crash").unwrap();
    wait_for("the standby has all once more", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("3 realms are identical"));
    // Nobody else is let in, and the standby's folder is nobody else's.
    let stranger = tempfile::tempdir().unwrap();
    crate::support::write_config(stranger.path(), "");
    let code = said(dirs[0].path(), &["standby", "code"]);
    let good = code.lines().next().unwrap().to_owned();
    let mut code = good.clone();
    code.replace_range(70..71, if &code[70..71] == "0" { "1" } else { "0" });
    let refused = run(stranger.path(), &["standby", "--primary", &address.to_string(), "--code", &code]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("the code is wrong"), "{why}");
    // A stranger's guess does not spoil it. One that is forgotten is not only let in no more, but cut off.
    let third =
        Standby::spawn(stranger.path(), &["--primary", &address.to_string(), "--code", &good, "--name", "three"]);
    third.line("following");
    assert!(status(dirs[0].path()).contains("three: received"));
    said(dirs[0].path(), &["standby", "forget", "three"]);
    wait_for("it is cut off", || third.status().contains("does not know yours"));
    drop(third);
    let refused = run(dirs[1].path(), &["account", "list"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is a standby"), "{refused:?}");
    primary.server.stop();
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

#[test]
fn a_client_that_deletes_everything_stops_at_a_tripwire() {
    let Machines { dirs, primary } = machines("");
    let wires = "[standby]\ntripwire_account_messages = 20\n";
    let standby = Standby::pair(dirs[1].path(), &primary, wires);
    standby.line("following");
    for number in 0..30 {
        deliver(primary.server.address("smtp"), ANNA, &format!("m{number}")).unwrap();
    }
    deliver(primary.server.address("smtp"), BERT, "other").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    let mut imap = Imap::login(primary.server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    let begun = Instant::now();
    wait_for("the wire", || standby.status().contains("ALARM") && standby.status().contains("lost 30 messages"));
    let took = begun.elapsed();
    let (received, applied) = numbers(&standby.status()).unwrap();
    assert!(applied < received, "what was received is not lost, and not applied");
    assert!(status(dirs[0].path()).contains("holds back changes"));
    // It goes on receiving; and is not promoted over what nobody has looked at, nor does a restart let it through.
    deliver(primary.server.address("smtp"), BERT, "later").unwrap();
    wait_for("it receives", || numbers(&standby.status()).unwrap().0 > received);
    standby.kill();
    let refused = run(dirs[1].path(), &["promote"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("lost 30 messages"), "{refused:?}");
    let standby = Standby::spawn(dirs[1].path(), &[]);
    standby.line("following");
    assert!(standby.status().contains("lost 30 messages") && numbers(&standby.status()).unwrap().1 == applied);
    let refused = run(dirs[1].path(), &["compare"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a tripwire holds"), "{refused:?}");
    let refused = run(dirs[1].path(), &["promote"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("standby release"), "{refused:?}");
    said(dirs[1].path(), &["standby", "release"]);
    wait_for("it applies", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("3 realms are identical"));
    primary.server.stop();
    proved("a bad write does not win", "0 of 30 deleted, on the standby", &format!("held after {}", ms(took)));
}

#[test]
fn an_address_book_that_is_emptied_stops_at_a_tripwire() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "[standby]\ntripwire_contacts = 25\n");
    standby.line("following");
    let cards: String =
        (0..30).map(|number| format!("BEGIN:VCARD\nVERSION:4.0\nFN:Friend {number}\nEND:VCARD\n")).collect();
    let file = dirs[0].path().join("contacts.vcf");
    std::fs::write(&file, cards).unwrap();
    said(dirs[0].path(), &["people", "import", ANNA, file.to_str().unwrap()]);
    wait_for("the standby has all", || has_all(&primary, &standby));
    assert!(!standby.status().contains("ALARM"), "what comes in trips nothing");
    let mut web = Web::sign_in(primary.server.address("http"), ANNA).unwrap();
    // As a buggy program would: one after the other, without looking.
    for _ in 0..30 {
        let page = web.get("/people").unwrap().body;
        let Some(at) = page.split("href=\"/people/c").nth(1).and_then(|rest| rest.split('"').next()) else { break };
        let contact = web.get(&format!("/people/c{at}")).unwrap();
        let (csrf, key) = (contact.input("csrf").unwrap(), contact.input("key").unwrap());
        web.post(&format!("/people/c{at}"), &[("csrf", &csrf), ("key", &key), ("do", "delete")]).unwrap();
    }
    wait_for("the wire", || standby.status().contains("25 contacts were deleted"));
    let chief = ["account", "add", "chief@example.org", "--admin", "--password-stdin"];
    assert!(primary.server.command_with_input(&chief, crate::support::PASSWORD).status.success());
    let mut pages = Web::sign_in(primary.server.address("http"), "chief@example.org").unwrap();
    wait_for("the page", || pages.get("/admin").unwrap().body.contains("a tripwire holds"));
    wait_for("the mail", || {
        let told = subjects(primary.server.address("imap"), "chief@example.org");
        // One, or two when midnight comes in between.
        !told.is_empty() && told.iter().all(|subject| subject == "Holdfast alarm: standby (tripwire)")
    });
    let (received, applied) = numbers(&standby.status()).unwrap();
    assert!(applied < received, "what was received is not lost, and not applied");
    primary.server.kill();
    said(dirs[1].path(), &["promote", "--discard"]);
    standby.promoted();
    let kept = dirs[1].path().join("kept.vcf");
    said(dirs[1].path(), &["people", "export", ANNA, kept.to_str().unwrap()]);
    let left = std::fs::read_to_string(kept).unwrap().matches("BEGIN:VCARD").count();
    // What went one by one before the wire is for rewind.
    assert_eq!(left, 6, "she has what she had when the wire tripped");
}

#[test]
fn accounts_deleted_one_after_the_other_stop_at_a_tripwire_and_come_back_by_a_promotion() {
    let Machines { dirs, primary } = machines("");
    let people: Vec<String> = (0..4).map(|number| format!("p{number}@example.org")).collect();
    for address in &people {
        primary.server.add_account(address);
        deliver(primary.server.address("smtp"), address, "kept").unwrap();
    }
    let standby = Standby::pair(dirs[1].path(), &primary, "[standby]\ntripwire_accounts = 3\n");
    standby.line("following");
    // One is deleted before, as it happens; that it is counted must not be forgotten by a restart.
    said(dirs[0].path(), &["account", "delete", &people[0], "--yes"]);
    wait_for("the standby has all", || has_all(&primary, &standby));
    standby.kill();
    let standby = Standby::spawn(dirs[1].path(), &[]);
    standby.line("following");
    said(dirs[0].path(), &["account", "delete", &people[1], "--yes"]);
    wait_for("the standby has all again", || has_all(&primary, &standby));
    assert!(!standby.status().contains("ALARM"), "two are not three");
    said(dirs[0].path(), &["account", "delete", &people[2], "--yes"]);
    wait_for("the wire", || standby.status().contains("3 accounts were deleted"));
    said(dirs[0].path(), &["account", "delete", &people[3], "--yes"]);
    let end = status(dirs[0].path());
    let end: u64 = end.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    wait_for("all is received", || numbers(&standby.status()).unwrap().0 == end);
    primary.server.kill();
    said(dirs[1].path(), &["promote", "--discard"]);
    let imap = standby.promoted();
    for address in &people[2..] {
        assert_eq!(subjects(imap, address), ["kept"], "{address} is as it was before the wire");
    }
    let list = said(dirs[1].path(), &["account", "list"]);
    assert!(people[..2].iter().all(|address| !list.contains(address.as_str())), "before it nobody was held: {list}");
    drop(standby);
    let verify = run(dirs[1].path(), &["verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

#[test]
fn what_breaks_a_rule_with_right_digests_is_noticed_and_the_others_go_on() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    // Not to her: a realm that was just looked at is not looked at again for a minute.
    deliver(primary.server.address("smtp"), BERT, "before").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    let address = primary.address;
    primary.server.stop();
    // A mistake of the program: a count that counts nothing, properly committed.
    let store = store::Store::open(&dirs[0].path().join("data"), store::StoreOptions::default()).unwrap();
    let anna = store.realms().into_iter().find(|realm| realm.account_number() == Some(1)).unwrap();
    let wrong = store.transact(move |tx| {
        tx.put(anna, vec![0x50], vec![0x08, 7]);
        Ok::<_, store::StoreError>(())
    });
    tokio::runtime::Runtime::new().unwrap().block_on(wrong).unwrap();
    store.close();
    drop(store);
    let server = Server::start_with_env(dirs[0].path(), "", &[("HOLDFAST_LISTEN__STANDBY", address.to_string())]);
    let primary = Primary { server, address };
    wait_for("the rule", || {
        let said = standby.status();
        said.contains("account 1") && said.contains('7')
    });
    println!("{}", standby.status());
    assert!(status(dirs[0].path()).contains("account 1"), "both sides name it");
    deliver(primary.server.address("smtp"), BERT, "goes on").unwrap();
    wait_for("the others go on", || has_all(&primary, &standby));
}

#[test]
fn what_a_tripwire_holds_can_be_left_out_by_a_promotion() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "[standby]\ntripwire_account_messages = 20\n");
    standby.line("following");
    for number in 0..30 {
        deliver(primary.server.address("smtp"), ANNA, &format!("m{number}")).unwrap();
    }
    deliver(primary.server.address("smtp"), BERT, "other").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    let before = subjects(primary.server.address("imap"), ANNA);
    let validity = |imap: SocketAddr| {
        let mut imap = Imap::login(imap, ANNA).unwrap();
        let answer = imap.command("STATUS INBOX (UIDVALIDITY)").unwrap().ok().untagged.concat();
        answer.split("UIDVALIDITY ").nth(1).unwrap().split(')').next().unwrap().parse::<u64>().unwrap()
    };
    let old_validity = validity(primary.server.address("imap"));
    let mut imap = Imap::login(primary.server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    wait_for("the wire", || standby.status().contains("ALARM"));
    deliver(primary.server.address("smtp"), ANNA, "came after").unwrap();
    deliver(primary.server.address("smtp"), BERT, "later").unwrap();
    let end = status(dirs[0].path());
    let end: u64 = end.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    wait_for("all is received", || numbers(&standby.status()).unwrap().0 == end);
    primary.server.kill();
    said(dirs[1].path(), &["promote", "--discard", "--nothing-lost"]);
    let imap = standby.promoted();
    assert_eq!(subjects(imap, ANNA), before, "she has what she had");
    assert_eq!(subjects(imap, BERT), ["other", "later"], "nobody else is concerned");
    assert!(validity(imap) > old_validity, "her programs must not believe what they saw of the lost state");
    // What came in for her meanwhile is in files.
    let kept = std::fs::read_dir(dirs[1].path().join("data")).unwrap().map(|entry| entry.unwrap().path());
    let folder = kept.into_iter().find(|path| path.to_string_lossy().contains("discarded-after-")).unwrap();
    let account = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    said(dirs[1].path(), &["import", ANNA, account.unwrap().to_str().unwrap()]);
    assert!(subjects(imap, ANNA).contains(&"came after".to_owned()));
    drop(standby);
    let verify = run(dirs[1].path(), &["verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

#[test]
fn a_standby_that_is_away_makes_sync_mode_wait_or_go_on_with_an_alarm() {
    let degrade = "[standby]\nmode = \"sync\"\nwhen_away = \"degrade\"\naway_after = \"1 second\"\n";
    let Machines { dirs, primary } = machines(degrade);
    assert!(status(dirs[0].path()).contains("ALARM"));
    assert!(deliver(primary.server.address("smtp"), ANNA, "alone").unwrap().starts_with("250"));
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    wait_for("no alarm", || !status(dirs[0].path()).contains("ALARM"));
    assert!(deliver(primary.server.address("smtp"), ANNA, "together").unwrap().starts_with("250"));
    wait_for("both have it", || has_all(&primary, &standby));
    standby.kill();
    assert!(deliver(primary.server.address("smtp"), ANNA, "alone again").unwrap().starts_with("250"));
    wait_for("the alarm", || status(dirs[0].path()).contains("ALARM"));
    primary.server.stop();

    // `wait`: what is sent is acknowledged only once the standby is back.
    let server =
        Server::start_with_env(dirs[0].path(), SYNC, &[("HOLDFAST_LISTEN__STANDBY", primary.address.to_string())]);
    let smtp = server.address("smtp");
    let imap = server.address("imap");
    let sending = std::thread::spawn(move || deliver(smtp, ANNA, "waits").unwrap());
    // Readers see it a moment before: the commit is made, and only the standby is waited for.
    wait_for("the commit", || subjects(imap, ANNA).contains(&"waits".to_owned()));
    assert!(!sending.is_finished(), "nobody else has it yet");
    let _standby = Standby::spawn(dirs[1].path(), &[]);
    assert!(sending.join().unwrap().starts_with("250"));
    server.stop();
}

#[test]
fn a_standby_that_hangs_while_it_is_sent_something_large_does_not_keep_degrade_mode_from_going_on() {
    let degrade = "[standby]\nmode = \"sync\"\nwhen_away = \"degrade\"\naway_after = \"1 second\"\n";
    let Machines { dirs, primary } = machines(degrade);
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    wait_for("no alarm", || !status(dirs[0].path()).contains("ALARM"));
    standby.signal("STOP");
    // More than fits into the buffers on the way.
    let mut text = String::with_capacity(24 << 20);
    while text.len() < 24 << 20 {
        text.push_str(&format!("{:032x}{:032x}\r\n", rand::random::<u128>(), rand::random::<u128>()));
    }
    let message = format!("From: x@example.net\r\nSubject: large\r\n\r\n{text}");
    let mut smtp = crate::support::smtp::Smtp::connect(primary.server.address("smtp")).unwrap();
    let reply = smtp.send("x@example.net", &[ANNA], &message).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    assert!(status(dirs[0].path()).contains("ALARM"));
    standby.signal("CONT");
    wait_for("it has all", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("3 realms are identical"));
    primary.server.stop();
}

#[test]
fn of_two_standbys_none_counts_while_the_other_believes_that_it_decides_alone() {
    let Machines { dirs, primary } = machines(SYNC);
    let first = Standby::pair(dirs[1].path(), &primary, "");
    first.line("following");
    assert!(deliver(primary.server.address("smtp"), ANNA, "both").unwrap().starts_with("250"));
    first.kill();
    let third = tempfile::tempdir().unwrap();
    let code = said(dirs[0].path(), &["standby", "code"]);
    crate::support::write_config(third.path(), "");
    let args = ["--primary", &primary.address.to_string(), "--code", code.lines().next().unwrap(), "--name", "three"];
    let second = Standby::spawn(third.path(), &args);
    second.line("following");
    assert!(status(dirs[0].path()).contains("ALARM: two: it still assumes that writes wait"));
    let smtp = primary.server.address("smtp");
    let sending = std::thread::spawn(move || deliver(smtp, ANNA, "waits").unwrap());
    wait_for("the commit", || subjects(primary.server.address("imap"), ANNA).contains(&"waits".to_owned()));
    wait_for("it has it", || has_all(&primary, &second));
    assert!(!sending.is_finished(), "the first one could be promoted, and would give numbers twice");
    // Once it knows, the second one is enough.
    let first = Standby::spawn(dirs[1].path(), &[]);
    wait_for("it knows", || !status(dirs[0].path()).contains("ALARM"));
    assert!(sending.join().unwrap().starts_with("250"));
    first.kill();
    assert!(deliver(smtp, ANNA, "one of two").unwrap().starts_with("250"));
    primary.server.kill();
    assert!(said(third.path(), &["promote"]).contains("epoch 2"));
    let lines = second.line("ready").concat();
    assert!(lines.contains("have a new UIDVALIDITY"), "of two, one may lack what the other has: {lines}");
}

#[test]
fn a_realm_that_the_standby_has_lost_is_named_and_copied_anew() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    for number in 0..5 {
        deliver(primary.server.address("smtp"), ANNA, &format!("m{number}")).unwrap();
    }
    deliver(primary.server.address("smtp"), BERT, "other").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    standby.kill();
    let data = dirs[1].path().join("data");
    let store = store::Store::open_replica(&data, store::StoreOptions::default()).unwrap();
    let anna = store::RealmId::account(1);
    let summary = store.summary(anna).unwrap();
    // A copy that ended in the middle.
    store.replace_realm(anna, summary.seq, summary.stated, std::iter::empty()).unwrap_err();
    store.close();
    drop(store);
    let standby = Standby::spawn(dirs[1].path(), &[]);
    standby.line("following");
    wait_for("both name it", || {
        standby.status().contains("ALARM: changes to account 1")
            && status(dirs[0].path()).contains("can't apply changes to account 1")
    });
    let compared = run(dirs[1].path(), &["compare"]);
    let (found, why) = (String::from_utf8_lossy(&compared.stdout), String::from_utf8_lossy(&compared.stderr));
    assert!(!compared.status.success() && found.contains("account 1: changes can't be applied here"), "{found}{why}");
    said(dirs[1].path(), &["standby", "resync", "account 1"]);
    deliver(primary.server.address("smtp"), ANNA, "goes on").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("3 realms are identical"));
    // What is done once a day is done here too.
    let maintained = said(dirs[1].path(), &["maintain"]);
    assert!(maintained.contains("checkpoint:") && !maintained.contains("FAILED"), "{maintained}");
    primary.server.stop();
    drop(standby);
    let verify = run(dirs[1].path(), &["verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

#[test]
fn a_standby_says_over_http_how_it_is_until_it_serves() {
    let Machines { dirs, primary } = machines("");
    let watched = SocketAddr::from(([127, 0, 0, 1], port()));
    let code = said(dirs[0].path(), &["standby", "code"]);
    crate::support::write_config(dirs[1].path(), "[standby]\ntripwire_account_messages = 3\n");
    let at = primary.address.to_string();
    let args = ["--primary", &at, "--code", code.lines().next().unwrap()];
    let standby =
        Standby::spawn_with_env(dirs[1].path(), &args, &[("HOLDFAST_LISTEN__STANDBY_HTTP", watched.to_string())]);
    let health = || -> (u16, serde_json::Value) {
        let page = Web::new(watched).get("/health").unwrap();
        assert_eq!(page.header("x-holdfast-stage"), Some("off"), "nobody is to read mail here");
        (page.status, serde_json::from_str(&page.body).unwrap())
    };
    let metric = |name: &str| -> Option<f64> {
        let page = Web::new(watched).get("/metrics").unwrap().body;
        let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next().unwrap().parse().ok()
    };
    wait_for("it follows", || health().0 == 200);
    for number in 0..5 {
        deliver(primary.server.address("smtp"), ANNA, &format!("m{number}")).unwrap();
    }
    wait_for("the standby has all", || has_all(&primary, &standby));
    let (received, applied) = numbers(&standby.status()).unwrap();
    let (_, said_so) = health();
    assert_eq!(said_so["status"], "ok");
    assert_eq!((&said_so["received"], &said_so["applied"]), (&received.into(), &applied.into()));
    assert_eq!(metric("holdfast_standby_received_seq"), Some(received as f64));
    assert_eq!(metric("holdfast_standby_applied_seq"), Some(applied as f64));
    assert_eq!(metric("holdfast_role{role=\"standby\"}"), Some(1.0));
    assert_eq!(metric("holdfast_standby_following"), Some(1.0));
    assert_eq!(metric("holdfast_standby_epoch"), Some(1.0));
    assert_eq!(metric("holdfast_alarms"), Some(0.0));
    assert!(metric("holdfast_disk_free_bytes").unwrap() > 0.0);
    wait_for("how old what it has is", || metric("holdfast_standby_behind_seconds").is_some_and(|s| s < 60.0));

    // Something is held.
    let mut imap = Imap::login(primary.server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    wait_for("the wire", || health().0 == 503);
    let (_, said_so) = health();
    assert_eq!((&said_so["status"], &said_so["alarms"]), (&"held".into(), &1.into()));
    assert!(said_so["reason"].as_str().unwrap().contains("lost 5 messages"), "{said_so}");
    assert_eq!(metric("holdfast_standby_tripped"), Some(1.0));
    assert!(metric("holdfast_standby_unapplied_commits").unwrap() > 0.0);
    said(dirs[1].path(), &["standby", "release"]);
    wait_for("nothing is held", || health().0 == 200);

    // It follows nobody.
    primary.server.kill();
    wait_for("it is alone", || health().0 == 503);
    let (_, said_so) = health();
    assert_eq!(said_so["status"], "away");
    assert!(said_so["reason"].as_str().unwrap().contains("not following the primary"), "{said_so}");
    assert_eq!(metric("holdfast_standby_following"), Some(0.0));

    // Made the primary, it serves at its own doors; the address is free for others.
    said(dirs[1].path(), &["promote"]);
    let lines = standby.line("ready");
    let http = lines.iter().find(|line| line.trim_start().starts_with("http ")).unwrap();
    let http: SocketAddr = http.split_whitespace().nth(1).unwrap().parse().unwrap();
    std::net::TcpListener::bind(watched).expect("the address is free");
    assert_eq!(Web::new(http).get("/health").unwrap().status, 200);
    // The service measures itself now and then.
    for line in
        ["holdfast_role{role=\"primary\"} 1", "holdfast_role{role=\"standby\"} 0", "holdfast_standby_following 0"]
    {
        wait_for(line, || Web::new(http).get("/metrics").unwrap().body.lines().any(|found| found == line));
    }
}

/// Flips a bit of every body in a folder's packs.
fn damage_bodies(data: &Path) -> usize {
    use std::os::unix::fs::FileExt as _;
    let mut count = 0;
    for pack in std::fs::read_dir(data.join("packs")).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&pack).unwrap();
        let file = std::fs::File::options().write(true).open(&pack).unwrap();
        let begins = bytes.windows(4).enumerate().filter(|(_, window)| window == b"HFBD").map(|(at, _)| at);
        // A body ends where the next one begins.
        for end in begins.skip(1).chain([bytes.len()]) {
            file.write_all_at(&[bytes[end - 5] ^ 1], end as u64 - 5).unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn messages_that_the_standbys_disk_has_let_go_of_are_fetched_anew_and_both_sides_say_so() {
    const MESSAGES: usize = 120;
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    for number in 0..MESSAGES {
        deliver(primary.server.address("smtp"), ANNA, &format!("m{number}")).unwrap();
    }
    wait_for("the standby has all", || has_all(&primary, &standby));
    assert_eq!(damage_bodies(&dirs[1].path().join("data")), MESSAGES);
    // The daily work reads a seventh of all, and finds those.
    let found = run(dirs[1].path(), &["maintain"]);
    let text = String::from_utf8_lossy(&found.stdout);
    assert!(!found.status.success() && text.contains("scrub: FAILED"), "{text}");
    wait_for("those are mended", || {
        let said = standby.status();
        !said.contains("ALARM") && said.contains("that got damaged here")
    });
    wait_for("the primary knows", || status(dirs[0].path()).contains("that got damaged there"));
    let again = said(dirs[1].path(), &["maintain"]);
    assert!(again.contains("scrub:") && !again.contains("FAILED"), "{again}");
    // All others are found when all are read.
    let done = said(dirs[1].path(), &["standby", "resync", "account 1"]);
    assert!(done.contains("messages that were missing or damaged here"), "{done}");
    let done = said(dirs[1].path(), &["standby", "resync", "account 1"]);
    assert!(!done.contains("damaged"), "{done}");

    // What neither has is an alarm, on both sides, and no other bytes are taken for it.
    assert!(damage_bodies(&dirs[1].path().join("data")) >= MESSAGES);
    assert_eq!(damage_bodies(&dirs[0].path().join("data")), MESSAGES);
    let lost = run(dirs[1].path(), &["standby", "resync", "account 1"]);
    let why = String::from_utf8_lossy(&lost.stderr);
    assert!(!lost.status.success() && why.contains("120 messages are damaged here"), "{why}");
    wait_for("the alarm", || standby.status().contains("ALARM: 120 messages are damaged here"));
    wait_for("the primary's", || status(dirs[0].path()).contains("ALARM: two: 120 messages are damaged there"));
    // A restart does not forget it.
    standby.kill();
    let standby = Standby::spawn(dirs[1].path(), &[]);
    assert!(standby.status().contains("ALARM: 120 messages are damaged here"));
    // The same bits again: the primary's disk has been put right.
    damage_bodies(&dirs[0].path().join("data"));
    standby.kill();
    let standby = Standby::spawn(dirs[1].path(), &[]);
    wait_for("all are mended", || {
        let said = standby.status();
        !said.contains("ALARM") && said.contains("repaired 120 messages")
    });
    drop(standby);
    let verify = run(dirs[1].path(), &["verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
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

#[test]
fn a_primary_without_the_standby_that_it_waits_for_says_so_everywhere_and_a_promotion_asks() {
    let waits = format!("{SYNC}away_after = \"1 second\"\n");
    let Machines { dirs, primary } = machines(&waits);
    let health = |address: SocketAddr| Web::new(address).get("/health").unwrap();
    let is_waiting = |dir: &Path, http: SocketAddr| {
        wait_for("the alarm", || status(dir).contains("ALARM: nothing is acknowledged"));
        let overview = run(dir, &["status"]);
        let text = String::from_utf8_lossy(&overview.stdout).into_owned();
        assert_eq!(overview.status.code(), Some(1), "{text}");
        assert!(text.contains("WAITING") && text.contains("ALARM: Standby: nothing is acknowledged"), "{text}");
        let page = health(http);
        assert_eq!(page.status, 503, "{}", page.body);
        assert!(page.body.contains("\"status\":\"waiting\"") && page.body.contains("standby"), "{}", page.body);
        assert!(said(dir, &["stage", "show"]).contains("WAITING: nothing is acknowledged"));
    };
    let http = primary.server.address("http");
    is_waiting(dirs[0].path(), http);
    // People sign in and read all the same.
    let mut web = Web::sign_in(http, ANNA).unwrap();
    assert_eq!(web.get("/mail/inbox").unwrap().status, 200);
    // A command says what it waits for.
    let config = dirs[0].path().join("holdfast.toml");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["--config", config.to_str().unwrap(), "domain", "add", "example.net"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(command.stderr.take().unwrap()));
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("waiting for a standby to acknowledge (Ctrl-C to stop waiting)"), "{line}");
    // Told to go on without one it does, over restarts too.
    said(dirs[0].path(), &["standby", "alone"]);
    assert!(command.wait().unwrap().success());
    assert_eq!(health(http).status, 200);
    assert!(status(dirs[0].path()).contains("ALARM: no standby is following"));
    let address = primary.address;
    primary.server.stop();
    let env = [("HOLDFAST_LISTEN__STANDBY", address.to_string())];
    let server = Server::start_with_env(dirs[0].path(), &waits, &env);
    assert!(deliver(server.address("smtp"), ANNA, "alone").unwrap().starts_with("250"));
    // Until a standby has everything.
    let code = said(dirs[0].path(), &["standby", "code"]);
    let code = code.lines().next().unwrap();
    crate::support::write_config(dirs[1].path(), &waits);
    let own = [("HOLDFAST_LISTEN__STANDBY", SocketAddr::from(([127, 0, 0, 1], port())).to_string())];
    let args = ["--primary", &address.to_string(), "--code", code];
    let standby = Standby::spawn_with_env(dirs[1].path(), &args, &own);
    wait_for("no alarm", || !status(dirs[0].path()).contains("ALARM"));
    assert!(deliver(server.address("smtp"), ANNA, "both").unwrap().starts_with("250"));
    standby.signal("STOP");
    is_waiting(dirs[0].path(), server.address("http"));
    standby.signal("CONT");
    wait_for("no alarm again", || !status(dirs[0].path()).contains("ALARM"));

    // The standby's own configuration has it wait, for one that it does not have.
    server.kill();
    let refused = run(dirs[1].path(), &["promote"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("--alone") && why.contains("--wait"), "{why}");
    assert!(run(dirs[1].path(), &["standby", "status"]).status.success(), "nothing has happened");
    let promoted = said(dirs[1].path(), &["promote", "--alone"]);
    assert!(promoted.contains("epoch 2") && promoted.contains("acknowledged without a standby"), "{promoted}");
    let lines = standby.line("ready");
    let door = |name: &str| -> SocketAddr {
        let line = lines.iter().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(deliver(door("smtp "), ANNA, "after").unwrap().starts_with("250"));
    assert_eq!(subjects(door("imap "), ANNA), ["alone", "both", "after"]);
    assert!(status(dirs[1].path()).contains("ALARM: no standby is following"));
}

#[test]
fn a_promotion_that_waits_says_so_and_one_beside_a_primary_that_answers_warns() {
    let Machines { dirs, primary } = machines("");
    let waits = format!("{SYNC}away_after = \"1 second\"\n");
    let code = said(dirs[0].path(), &["standby", "code"]);
    crate::support::write_config(dirs[1].path(), &waits);
    let own = [("HOLDFAST_LISTEN__STANDBY", SocketAddr::from(([127, 0, 0, 1], port())).to_string())];
    let args = ["--primary", &primary.address.to_string(), "--code", code.lines().next().unwrap()];
    let standby = Standby::spawn_with_env(dirs[1].path(), &args, &own);
    standby.line("following");
    wait_for("the standby has all", || has_all(&primary, &standby));
    let promoted = said(dirs[1].path(), &["promote", "--wait"]);
    assert!(promoted.contains("WARNING: the old primary at 127.0.0.1"), "{promoted}");
    assert!(promoted.contains("acknowledges NOTHING") && promoted.contains("holdfast standby alone"), "{promoted}");
    standby.line("ready");
    wait_for("the alarm", || status(dirs[1].path()).contains("ALARM: nothing is acknowledged"));
    let fenced = || run(dirs[0].path(), &["status"]);
    wait_for("the old one is told", || String::from_utf8_lossy(&fenced().stdout).contains("STOPPED"));
    said(dirs[1].path(), &["standby", "alone"]);
    wait_for("it goes on", || status(dirs[1].path()).contains("ALARM: no standby is following"));
    primary.server.kill();
}

#[test]
fn machines_are_compared_at_one_commit_while_mail_comes_in() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    let smtp = primary.server.address("smtp");
    let stop = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for to in [ANNA, BERT, ANNA, BERT] {
            let (stop, sent) = (&stop, &sent);
            scope.spawn(move || {
                let mut smtp = crate::support::smtp::Smtp::connect(smtp).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    let number = sent.fetch_add(1, Ordering::SeqCst);
                    let message = format!("From: x@example.net\r\nSubject: {number}\r\n\r\nText.\r\n");
                    assert!(smtp.send("x@example.net", &[to], &message).unwrap().starts_with("250"));
                }
            });
        }
        wait_for("mail comes in", || sent.load(Ordering::SeqCst) > 200);
        let outcomes: Vec<_> = (0..3).map(|_| run(dirs[1].path(), &["compare"])).collect();
        stop.store(true, Ordering::SeqCst);
        for outcome in outcomes {
            let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
            assert!(outcome.status.success() && text.contains("3 realms are identical"), "{text}{outcome:?}");
        }
    });
    wait_for("the standby has all", || has_all(&primary, &standby));
    primary.server.stop();
}

/// Between a standby and its primary: on each connection it lets so many bytes of the standby's through, and then none until
/// it is opened.
struct Narrow {
    address: std::net::SocketAddr,
    open: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Narrow {
    fn before(primary: std::net::SocketAddr, limit: usize) -> Self {
        use std::{
            io::{Read as _, Write as _},
            net::{TcpListener, TcpStream},
            sync::Arc,
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicBool::new(false));
        let opened = open.clone();
        std::thread::spawn(move || {
            for standby in listener.incoming().map_while(Result::ok) {
                let Ok(primary) = TcpStream::connect(primary) else { continue };
                let (mut from, mut to) = (primary.try_clone().unwrap(), standby.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
                let (mut from, mut to, open) = (standby, primary, opened.clone());
                std::thread::spawn(move || {
                    let (mut bytes, mut through) = ([0; 16 * 1024], 0);
                    while let Ok(n) = from.read(&mut bytes) {
                        while !open.load(Ordering::SeqCst) && through + n > limit {
                            std::thread::park_timeout(Duration::from_millis(5));
                        }
                        through += n;
                        if n == 0 || to.write_all(&bytes[..n]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { address, open }
    }
}

#[test]
fn a_first_copy_says_on_the_primary_how_far_it_is_and_how_long_one_machine_has_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    std::fs::create_dir_all(&one).unwrap();
    std::fs::create_dir_all(&two).unwrap();
    let primary = primary(&one, "");
    primary.server.add_account("anna@example.org");
    // Twice as many as are asked for at once.
    let text: String = (0..30).map(|_| format!("{:064x}\n", rand::random::<u128>())).collect();
    let mail: String =
        (0..500).map(|n| format!("From a@x Mon Nov 23 00:00:00 2026\nSubject: {n}\n\n{text}\n")).collect();
    std::fs::write(dir.path().join("mail.mbox"), mail).unwrap();
    let file = dir.path().join("mail.mbox").display().to_string();
    said(&one, &["import", "anna@example.org", &file]);
    // The first 256 names of messages pass, the next ones don't.
    let narrow = Narrow::before(primary.address, 15_000);
    let near = Primary { server: primary.server, address: narrow.address };
    let standby = Standby::pair(&two, &near, "");
    let look = || {
        let output = near.server.command(&["status", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["standbys"][0]["first_copy"].clone()
    };
    let mut seen = serde_json::Value::Null;
    wait_for("messages on their way", || {
        seen = look();
        seen["percent"].as_u64().is_some_and(|percent| (1..100).contains(&percent))
    });
    wait_for("all of the first ones", || {
        seen = look();
        seen["percent"] == 51
    });
    let total = seen["bytes_total"].as_u64().unwrap();
    assert!((900_000..1_200_000).contains(&total) && seen["left_seconds"].is_u64(), "{seen}");
    for command in [&["status"][..], &["standby", "status"]] {
        let said = String::from_utf8(near.server.command(command).stdout).unwrap();
        assert!(said.contains("first copy: ") && said.contains("only this machine has the newest mail"), "{said}");
        assert!(!said.to_lowercase().contains("not connected"), "{said}");
    }
    narrow.open.store(true, std::sync::atomic::Ordering::SeqCst);
    wait_for("everything there", || has_all(&near, &standby));
    assert!(look().is_null(), "it is done");
    let said = String::from_utf8(near.server.command(&["status"]).stdout).unwrap();
    assert!(!said.contains("only this machine has"), "{said}");
}
