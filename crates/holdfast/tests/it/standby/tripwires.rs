//! Deletions that nobody meant stop at the standby.

use std::{net::SocketAddr, time::Instant};

use super::{ANNA, BERT, Machines, machines};
use crate::support::{
    imap::Imap,
    ms, proved,
    standby::{Standby, deliver, has_all, numbers, run, said, status, subjects},
    wait_for,
    web::Web,
};

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
    // What came in for her since then is in files.
    let kept = std::fs::read_dir(dirs[1].path().join("data")).unwrap().map(|entry| entry.unwrap().path());
    let folder = kept.into_iter().find(|path| path.to_string_lossy().contains("discarded-after-")).unwrap();
    let account = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    said(dirs[1].path(), &["import", ANNA, account.unwrap().to_str().unwrap()]);
    assert!(subjects(imap, ANNA).contains(&"came after".to_owned()));
    drop(standby);
    let verify = run(dirs[1].path(), &["verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}
