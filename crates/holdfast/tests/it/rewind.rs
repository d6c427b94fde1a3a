//! Going back, on the real service: a client that deletes everything, an address book that was emptied, an account that
//! was deleted, a kill -9 in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use crate::support::{PASSWORD, PATIENCE, Server, imap::Imap, smtp::Smtp, web::Web};
use jiff::Timestamp;

const ANNA: &str = "anna@example.org";

/// A moment that everything until now is before, and everything from now on after.
fn moment() -> String {
    let now = Timestamp::now();
    while Timestamp::now().as_millisecond() <= now.as_millisecond() + 1 {
        std::hint::spin_loop();
    }
    format!("{now:.3}")
}

fn said(server: &Server, args: &[&str]) -> String {
    let output = server.command(args);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {out}{}", String::from_utf8_lossy(&output.stderr));
    out
}

fn message(n: usize) -> Vec<u8> {
    let bytes = format!("From: carl@example.com\r\nSubject: number {n}\r\nMessage-ID: <{n}@example.com>\r\n\r\n");
    // Not only text: what comes back must be the same bytes.
    [bytes.as_bytes(), &[0xFF, n as u8, b'\t', 0xC3], format!(" body of {n}\r\n").as_bytes()].concat()
}

/// Every message of the account, by mailbox: how often its bytes are there.
fn all(server: &Server) -> BTreeMap<String, BTreeMap<Vec<u8>, u32>> {
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    let list = imap.command("LIST \"\" \"*\"").unwrap().ok();
    let mut all = BTreeMap::new();
    for line in list.untagged.iter().filter(|line| line.starts_with("* LIST")) {
        let name = line.rsplit(' ').next().unwrap().trim_matches('"').to_owned();
        let selected = imap.command(&format!("EXAMINE \"{name}\"")).unwrap().ok();
        let exists = selected.untagged.iter().find_map(|line| line.strip_prefix("* ")?.strip_suffix(" EXISTS"));
        let count: u32 = exists.unwrap().parse().unwrap();
        let messages: &mut BTreeMap<Vec<u8>, u32> = all.entry(name).or_default();
        for n in 1..=count {
            *messages.entry(imap.literal(&format!("FETCH {n} BODY.PEEK[]")).unwrap()).or_default() += 1;
        }
    }
    all
}

/// What a client with a bug does.
fn delete_everything(server: &Server) {
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    for name in ["INBOX", "Work", "Archive"] {
        imap.command(&format!("SELECT {name}")).unwrap().ok();
        imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted \\Seen)").unwrap();
        imap.command("EXPUNGE").unwrap().ok();
        imap.command("CLOSE").unwrap().ok();
    }
    imap.command("DELETE Work").unwrap().ok();
}

fn people(server: &Server, name: &str) -> String {
    let file = server.dir().join(name);
    said(server, &["people", "export", ANNA, file.to_str().unwrap()]);
    let text = std::fs::read_to_string(file).unwrap();
    // What says when it was written, or in which order, is no part of the book.
    let mut cards: Vec<String> = text.split("BEGIN:VCARD").map(str::to_owned).collect();
    cards.sort();
    cards.concat()
}

#[test]
fn a_client_that_deletes_everything_is_taken_back_and_new_mail_stays() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("CREATE Work").unwrap().ok();
    for n in 0..40 {
        let mailbox = ["INBOX (\\Flagged $Own)", "Work", "Archive ()"][n % 3];
        imap.append(mailbox, message(n)).unwrap().ok();
    }
    let cards = dir.path().join("people.vcf");
    let mut text = String::new();
    for n in 0..30 {
        text += &format!(
            "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:u{n}\r\nFN:Person {n}\r\nEMAIL:p{n}@example.com\r\nCATEGORIES:Friends\r\n\
             END:VCARD\r\n"
        );
    }
    std::fs::write(&cards, &text).unwrap();
    said(&server, &["people", "import", ANNA, cards.to_str().unwrap()]);
    let (before, book) = (all(&server), people(&server, "before.vcf"));
    let good = moment();

    delete_everything(&server);
    let mut web = Web::sign_in(server.address("http"), ANNA).unwrap();
    let list = web.get("/people").unwrap();
    let (csrf, key) = (list.input("csrf").unwrap(), list.input("key").unwrap());
    let ids = list.body.split("name=\"id\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut fields = vec![("csrf", csrf.as_str()), ("key", key.as_str()), ("do", "delete")];
    fields.extend(ids.map(|id| ("id", id)));
    web.post("/people", &fields).unwrap();
    assert!(!people(&server, "none.vcf").contains("Person"), "the address book is empty");
    Smtp::connect(server.address("smtp"))
        .unwrap()
        .send("new@example.com", &[ANNA], "Subject: new\r\n\r\nnew\r\n")
        .unwrap();
    let empty = all(&server);
    assert_eq!(empty.values().flatten().count(), 1, "everything is deleted, and one came: {empty:?}");

    let at = good.as_str();
    let preview = said(&server, &["rewind", ANNA, "--at", at, "--preview"]);
    assert!(preview.contains("nothing was changed") && preview.contains("recreated"), "{preview}");
    assert_eq!(all(&server), empty);
    let begun = std::time::Instant::now();
    let done = said(&server, &["rewind", ANNA, "--at", at]);
    let took = begun.elapsed();
    assert!(done.contains("40 messages restored"), "{done}");
    let mut expected = before.clone();
    for (mailbox, messages) in &empty {
        expected.get_mut(mailbox).unwrap().extend(messages.clone());
    }
    let after = all(&server);
    assert_eq!(after, expected, "every message once, byte for byte, and the new one");
    assert_eq!(people(&server, "after.vcf"), book);
    crate::support::proved(
        "a client deletes everything",
        "0 of 40 messages, 0 of 30 contacts, after rewind",
        &crate::support::ms(took),
    );
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    assert_eq!(imap.command("SEARCH KEYWORD $Own FLAGGED NOT DELETED").unwrap().numbers().len(), 14);

    let again = said(&server, &["rewind", ANNA, "--at", at]);
    assert!(again.contains("Nothing to restore"), "{again}");
    assert_eq!(all(&server), expected);
    // The last rewind changed nothing; the one before it is the one to take back.
    said(&server, &["rewind", ANNA, "--undo"]);
    assert_eq!(all(&server), empty);
    assert!(!people(&server, "undone.vcf").contains("Person"));
    let one = preview.lines().find_map(|line| line.trim().split(' ').next().filter(|id| id.contains(".e"))).unwrap();
    said(&server, &["rewind", ANNA, "--at", at, "--message", one]);
    assert_eq!(all(&server).values().flatten().count(), 2);
    said(&server, &["rewind", ANNA, "--at", at, "--mailbox", "Work"]);
    assert_eq!(all(&server)["Work"], before["Work"]);

    for (args, told) in [
        (vec!["--at", "2020-01-01 00:00"], "did not exist"),
        (vec!["--at", "2999-01-01 00:00"], "in the future"),
        (vec!["--at", at, "--mailbox", "Nope"], "no mailbox"),
        (vec!["--at", "soon"], "not a valid time"),
        (vec!["--at", at, "--message", "x"], "not a message id"),
        (vec!["--at", at, "--message", "m1.e9999"], "there was no message m1.e9999"),
    ] {
        let output = server.command(&[&["rewind", ANNA][..], &args].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(told), "{args:?}: {error}");
    }
    server.stop();
    let verified = crate::support::holdfast(dir.path(), &["verify"], "");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_deleted_account_comes_back_with_its_password_addresses_and_mail() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    said(&server, &["account", "alias", ANNA, "office@example.org"]);
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    smtp.send("carl@example.com", &["office@example.org"], "Subject: kept\r\n\r\nkept\r\n").unwrap();
    let before = all(&server);
    said(&server, &["account", "delete", ANNA, "--yes"]);
    let mut imap = Imap::connect(server.address("imap")).unwrap();
    assert!(!imap.command(&format!("LOGIN {ANNA} \"{PASSWORD}\"")).unwrap().tagged.starts_with("OK"));
    let preview = said(&server, &["rewind", ANNA, "--deleted", "--preview"]);
    assert!(preview.contains("1 messages"), "{preview}");
    said(&server, &["rewind", ANNA, "--deleted"]);
    assert_eq!(all(&server), before);
    smtp.send("carl@example.com", &["office@example.org"], "Subject: kept\r\n\r\nmore\r\n").unwrap();
    assert_eq!(all(&server)["INBOX"].len(), 2);
    let again = server.command(&["rewind", ANNA, "--deleted"]);
    assert!(!again.status.success(), "it is not deleted any more");
    server.stop();
    let verified = crate::support::holdfast(dir.path(), &["verify"], "");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_rewind_that_was_killed_goes_on_and_brings_each_message_once() {
    const MESSAGES: usize = 6_000;
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path());
    server.add_account(ANNA);
    let mbox = dir.path().join("many.mbox");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&mbox).unwrap());
    for n in 0..MESSAGES {
        write!(file, "From x Mon Nov 23 14:50:10 2026\nSubject: many\nMessage-ID: <{n}@many>\n\nbody {n}\n\n").unwrap();
    }
    file.into_inner().unwrap();
    said(&server, &["import", ANNA, mbox.to_str().unwrap()]);
    let good = moment();
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    let count = |imap: &mut Imap| -> usize {
        let status = imap.command("STATUS INBOX (MESSAGES)").unwrap().ok();
        let number = status.untagged.concat();
        number.split("MESSAGES ").nth(1).unwrap().split(')').next().unwrap().parse().unwrap()
    };
    let args = ["rewind", ANNA, "--at", &good];
    let mut killed = 0;
    for round in 0..3 {
        let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
        let begun = count(&mut imap);
        let cut_off = std::thread::scope(|scope| {
            let (server, args) = (&server, &args);
            let rewind = scope.spawn(move || server.command(args));
            let deadline = std::time::Instant::now() + PATIENCE;
            loop {
                let now = count(&mut imap);
                if now >= begun + 500 || now == MESSAGES {
                    // SIGKILL by number: the handle is still needed to see it end.
                    let pid = server.pid().to_string();
                    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
                    break;
                }
                assert!(std::time::Instant::now() < deadline, "nothing comes back");
            }
            !rewind.join().unwrap().status.success()
        });
        killed += usize::from(cut_off);
        server.kill();
        server = Server::start(dir.path());
        let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
        assert!(count(&mut imap) >= begun, "round {round}");
    }
    assert!(killed > 0, "it was never cut off: nothing was tried");
    said(&server, &args);
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    assert_eq!(count(&mut imap), MESSAGES);
    imap.command("SELECT INBOX").unwrap().ok();
    let fetched = imap.command("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])").unwrap().ok();
    let ids: BTreeSet<&str> =
        fetched.untagged.iter().filter_map(|row| row.split('<').nth(1)?.split('>').next()).collect();
    assert_eq!(ids.len(), MESSAGES, "each once");
    // One press takes all of it back, whatever was between.
    said(&server, &["rewind", ANNA, "--undo"]);
    assert_eq!(count(&mut Imap::login(server.address("imap"), ANNA).unwrap()), 0);
    server.stop();
    let verified = crate::support::holdfast(dir.path(), &["verify"], "");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
