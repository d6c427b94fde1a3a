//! Each restore gives the moment that was asked for, and no archive hides another.

use super::{READER, deliver, next_second, ok, second};
use crate::support::{
    Server,
    archive::{archive, shipped},
    holdfast,
    imap::Imap,
    wait_for,
    web::Web,
};

/// Subjects in the reader's INBOX.
fn subjects(server: &Server) -> Vec<String> {
    let mut imap = Imap::login(server.address("imap"), READER).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    let fetched = imap.command("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap().untagged.concat();
    fetched.split("Subject: ").skip(1).map(|rest| rest.lines().next().unwrap().trim().to_owned()).collect()
}

#[test]
fn each_restore_gives_the_moment_that_it_was_asked_for_or_names_the_lines_to_choose_from() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let server = Server::start_with(dir.path(), &more);
    server.add_account(READER);
    let mut moments = Vec::new();
    for number in 1..=4 {
        deliver(&server, &format!("t{number}"), 100);
        moments.push(next_second());
    }
    shipped(server.dir());
    server.kill();
    let lines = |count: usize| {
        let found = std::fs::read_dir(dir.path().join("target/lines")).unwrap().count();
        assert_eq!(found, count);
    };
    let restored = |name: &str, more_args: &[&str]| {
        let machine = second(dir.path(), name, &more);
        let args: Vec<&str> = ["restore", "--from", "here"].iter().chain(more_args).copied().collect();
        Server::start_as(&machine, &more, &args, &[])
    };
    let expected = |count: usize| (1..=count).map(|number| format!("t{number}")).collect::<Vec<_>>();
    // A try-out ships nothing, over restarts too, until it is kept.
    let tried = restored("tried", &["--try", "--at", &moments[0]]);
    assert_eq!(subjects(&tried), expected(1));
    let status = tried.command(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("ALARM") && !status.status.success(), "{status:?}");
    assert!(!tried.command(&["archive", "snapshot"]).status.success());
    let machine = tried.dir().to_owned();
    tried.stop();
    let tried = Server::start_with(&machine, &more);
    assert_eq!(subjects(&tried), expected(1));
    tried.stop();
    lines(1);
    // One moment after the other, as people look for the right one; each looked at, each shipping.
    for (number, at) in [(2, &moments[1]), (3, &moments[2]), (1, &moments[0]), (4, &moments[3]), (3, &moments[2])] {
        let name = format!("look {number} {}", rand::random::<u32>());
        let server = restored(&name, &["--at", at]);
        assert_eq!(subjects(&server), expected(number), "{at}");
        let mut web = Web::sign_in(server.address("http"), READER).unwrap();
        assert!(web.get("/mail/inbox").unwrap().body.contains("t1"));
        shipped(server.dir());
        server.stop();
    }
    lines(6);
    let newest = restored("newest", &[]);
    assert_eq!(subjects(&newest), expected(4), "they hold nothing of anybody's");
    newest.kill();
    // One is lived in.
    let lived = restored("lived", &["--at", &moments[1]]);
    deliver(&lived, "lived", 100);
    let after = next_second();
    shipped(lived.dir());
    lived.stop();
    let root = {
        let listed = ok(&holdfast(dir.path(), &["restore", "--from", "here", "--list-moments"], ""));
        let root = listed.lines().find(|line| line.contains("from its first commit")).unwrap();
        root.split([' ', ',']).nth(1).unwrap().to_owned()
    };
    for at in [&moments[2], &moments[3]] {
        let machine = second(dir.path(), &format!("refused {}", rand::random::<u32>()), &more);
        let refused = holdfast(&machine, &["restore", "--from", "here", "--at", at], "");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(&root) && said.matches("--line ").count() == 2 && said.contains(", made 20"), "{said}");
        assert!(!machine.join("data/restoring").exists());
    }
    let before = restored("before the fork", &["--at", &moments[0]]);
    assert_eq!(subjects(&before), expected(1));
    before.kill();
    let asked = restored("asked", &["--line", &root, "--at", &moments[2]]);
    assert_eq!(subjects(&asked), expected(3));
    asked.kill();
    for args in [vec!["--at", after.as_str()], vec![]] {
        let machine = second(dir.path(), &format!("lived {}", args.len()), &more);
        let args: Vec<&str> = ["restore", "--from", "here", "--offline"].into_iter().chain(args).collect();
        let said = ok(&holdfast(&machine, &args, ""));
        assert!(said.contains(&format!("line {root} continues after the fork")) && said.contains("salvage"), "{said}");
        let server = Server::start_with(&machine, &more);
        assert_eq!(subjects(&server), ["t1", "t2", "lived"]);
        server.kill();
    }
}

#[test]
fn a_clock_that_was_ahead_is_an_alarm_and_hides_nothing_from_rewind_and_restore() {
    struct Ahead;
    impl store::Clock for Ahead {
        fn now_ms(&self) -> i64 {
            jiff::Timestamp::now().as_millisecond() + 2 * 86_400_000
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let server = Server::start_with(dir.path(), &more);
    server.add_account(READER);
    deliver(&server, "before", 100);
    server.stop();
    let options = store::StoreOptions { clock: std::sync::Arc::new(Ahead), ..store::StoreOptions::default() };
    let store = store::Store::open(&dir.path().join("data"), options).unwrap();
    for put in [true, false] {
        let write = move |tx: &mut store::Tx<'_>| {
            let key = b"\x7funder a wrong clock".to_vec();
            if put {
                tx.put(store::RealmId::QUEUE, key, Vec::new());
            } else {
                tx.delete(store::RealmId::QUEUE, key);
            }
            Ok::<_, store::StoreError>(())
        };
        store.transact(write).wait().unwrap();
    }
    store.close();
    drop(store);
    let server = Server::start_with(dir.path(), &more);
    let alarmed = || {
        let status = server.command(&["status"]);
        !status.status.success() && String::from_utf8_lossy(&status.stdout).contains("ALARM: Clock")
    };
    wait_for("the alarm", alarmed);
    deliver(&server, "after", 100);
    let at = next_second();
    let mut imap = Imap::login(server.address("imap"), READER).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    drop(imap);
    let preview = ok(&server.command(&["rewind", READER, "--at", &at, "--preview"]));
    assert!(preview.contains("later times than they should"), "{preview}");
    ok(&server.command(&["rewind", READER, "--at", &at]));
    let mut back = subjects(&server);
    back.sort();
    assert_eq!(back, ["after", "before"]);
    assert!(alarmed(), "commits still carry later times");
    shipped(server.dir());
    server.kill();
    let second = second(dir.path(), "second", &more);
    let said = ok(&holdfast(&second, &["restore", "--from", "here", "--offline", "--at", &at], ""));
    assert!(said.contains("later times than they should"), "{said}");
    assert_eq!(subjects(&Server::start_with(&second, &more)), ["before", "after"]);
}

#[test]
fn one_target_that_fails_hides_none_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let good = archive(dir.path());
    let bad = good.replace("name = \"here\"", "name = \"broken\"").replace("/target\"", "/in the way\"");
    let more = format!("{bad}{good}");
    std::fs::write(dir.path().join("in the way"), "not a folder").unwrap();
    let server = Server::start_with(dir.path(), &more);
    server.add_account(READER);
    deliver(&server, "kept", 100);
    wait_for("a snapshot", || server.command(&["archive", "snapshot", "--target", "here"]).status.success());
    let scratch = dir.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let scratch = scratch.display().to_string();
    let identity = dir.path().join("identity").display().to_string();
    for (args, reached) in [
        (vec!["archive", "verify"], "here: ok, everything is intact"),
        (vec!["archive", "list"], "last commit: "),
        (vec!["archive", "status"], "restorable up to commit"),
        (vec!["drill", "--dir", &scratch], " in total: ok"),
    ] {
        let output = server.command(&args);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains(reached) && said.contains("broken"), "{args:?}: {said}");
        if args[0] == "archive" && args[1] == "status" {
            assert_eq!(said.matches("ALARM: archive broken").count(), 1, "one fact in one line: {said}");
        }
    }
    // Another machine needs a URL and an identity, nothing else.
    let bare = second(dir.path(), "bare", "");
    let url = format!("file://{}/target", dir.path().display());
    let said = ok(&holdfast(&bare, &["drill", "--from", &url, "--identity", &identity, "--dir", &scratch], ""));
    assert!(said.contains(" in total: ok"), "{said}");
    assert!(!bare.join("data").exists(), "nothing is made there");
    let blind = good.lines().filter(|line| !line.starts_with("identity_file")).collect::<Vec<_>>().join("\n");
    let two = second(dir.path(), "two", &format!("{}\n{good}", blind.replace("\"here\"", "\"blind\"")));
    let output = holdfast(&two, &["drill", "--dir", &scratch], "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains(" in total: ok") && said.contains("blind: no drill"), "{said}");
}

#[test]
fn a_commit_is_restored_by_its_number_and_deletions_name_the_address_of_their_moment() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let server = Server::start_with(dir.path(), &more);
    let expunge = |server: &Server, who: &str| {
        let mut imap = Imap::login(server.address("imap"), who).unwrap();
        imap.command("SELECT INBOX").unwrap().ok();
        imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
        imap.command("EXPUNGE").unwrap().ok();
    };
    let fill = |server: &Server, who: &str, count: usize| {
        let mut imap = Imap::login(server.address("imap"), who).unwrap();
        for n in 0..count {
            imap.append("INBOX", format!("Subject: {n}\r\n\r\nof {who}\r\n")).unwrap().ok();
        }
    };
    for who in [READER, "old@example.org", "gone@example.org"] {
        server.add_account(who);
    }
    fill(&server, READER, 5);
    expunge(&server, READER);
    fill(&server, "old@example.org", 3);
    expunge(&server, "old@example.org");
    ok(&server.command(&["account", "rename", "old@example.org", "new@example.org", "--drop-old"]));
    fill(&server, "gone@example.org", 1);
    expunge(&server, "gone@example.org");
    ok(&server.command(&["account", "delete", "gone@example.org", "--yes"]));
    shipped(server.dir());
    wait_for("a snapshot", || server.command(&["archive", "snapshot"]).status.success());
    server.kill();
    let listed = ok(&holdfast(dir.path(), &["restore", "--from", "here", "--list-moments"], ""));
    for wanted in [
        "reader@example.org: 5 messages deleted",
        "old@example.org: 3 messages deleted",
        "gone@example.org: 1 message deleted",
    ] {
        assert!(listed.contains(wanted), "{wanted}: {listed}");
    }
    assert!(!listed.contains("account ") && !listed.contains("new@example.org"), "{listed}");
    // What it names is what restores it: all is there before, and not after.
    let line = listed.lines().find(|line| line.contains("reader@example.org")).unwrap();
    let before: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    let moments = [("a", before.to_string(), 5), ("b", format!("commit:{}", before + 1), 0)];
    // Both before either of them starts and ships commits of its own under the same numbers.
    let machines = moments.map(|(name, at, count)| {
        let machine = second(dir.path(), name, &more);
        let said = ok(&holdfast(&machine, &["restore", "--from", "here", "--offline", "--at", &at], ""));
        let number = at.trim_start_matches("commit:");
        assert!(said.contains(&format!("the state after commit {number} of line")), "{said}");
        (machine, at, count)
    });
    for (machine, at, count) in machines {
        let server = Server::start_with(&machine, &more);
        assert_eq!(subjects(&server).len(), count, "{at}");
        server.kill();
    }
    // Behind open doors, cut off, and gone on with.
    let machine = second(dir.path(), "serving", &more);
    let at = before.to_string();
    let server = Server::start_as(&machine, &more, &["restore", "--from", "here", "--at", &at], &[]);
    assert_eq!(subjects(&server).len(), 5);
    server.kill();
    assert_eq!(subjects(&Server::start_with(&machine, &more)).len(), 5);
    for (at, wanted) in [("99999999", "is not in the archive"), ("0", "number 1"), ("20261123", "commit:20261123")] {
        let machine = second(dir.path(), &format!("refused {at}"), &more);
        let output = holdfast(&machine, &["restore", "--from", "here", "--offline", "--at", at], "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(wanted), "{at}: {said}");
    }
}
