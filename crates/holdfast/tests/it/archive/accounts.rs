//! One account out of the archive into the service that runs: whatever became of it since, nothing that it has now goes,
//! and nothing is there twice.

use std::{collections::BTreeMap, path::Path};

use super::{next_second, ok, second};
use crate::support::{
    PASSWORD, Server,
    archive::{archive, shipped},
    holdfast,
    imap::Imap,
    wait_for,
};

const ANNA: &str = "anna@example.org";
const BERT: &str = "bert@example.org";

/// Subjects in each mailbox, with the flags that matter, sorted.
fn mail(server: &Server, who: &str) -> BTreeMap<String, Vec<String>> {
    let mut imap = Imap::login(server.address("imap"), who).unwrap();
    let list = imap.command("LIST \"\" \"*\"").unwrap().ok();
    let mut all = BTreeMap::new();
    for line in list.untagged.iter().filter(|line| line.starts_with("* LIST")) {
        let name = line.rsplit(' ').next().unwrap().trim_matches('"').to_owned();
        imap.command(&format!("EXAMINE \"{name}\"")).unwrap().ok();
        let fetched = imap.command("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap().untagged;
        let of = |line: &String| {
            let subject = line.split("Subject: ").nth(1)?.lines().next()?.trim().to_owned();
            let flagged = if line.contains("\\Flagged") { " flagged" } else { "" };
            Some(format!("{subject}{flagged}"))
        };
        let mut found: Vec<String> = fetched.iter().filter_map(of).collect();
        // What the service itself writes when a password is set.
        found.retain(|subject| !subject.starts_with("Your password"));
        found.sort();
        if !found.is_empty() {
            all.insert(name, found);
        }
    }
    all
}

fn append(server: &Server, who: &str, mailbox: &str, subject: &str) {
    let mut imap = Imap::login(server.address("imap"), who).unwrap();
    let _ = imap.command(&format!("CREATE {mailbox}"));
    let message = format!("From: a@example.net\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nof {who}\r\n");
    imap.append(mailbox, message).unwrap().ok();
}

fn expunge(server: &Server, who: &str, mailbox: &str) {
    let mut imap = Imap::login(server.address("imap"), who).unwrap();
    imap.command(&format!("SELECT {mailbox}")).unwrap().ok();
    imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
}

fn contacts(server: &Server, who: &str) -> usize {
    let file = server.dir().join("people out.vcf");
    ok(&server.command(&["people", "export", who, file.to_str().unwrap()]));
    std::fs::read_to_string(file).unwrap().matches("BEGIN:VCARD").count()
}

fn add_contacts(server: &Server, who: &str, count: usize) {
    let file = server.dir().join("people in.vcf");
    let card = |n| {
        format!("BEGIN:VCARD\r\nVERSION:4.0\r\nUID:u{n}\r\nFN:Person {n}\r\nEMAIL:p{n}@example.com\r\nEND:VCARD\r\n")
    };
    std::fs::write(&file, (0..count).map(card).collect::<String>()).unwrap();
    ok(&server.command(&["people", "import", who, file.to_str().unwrap()]));
}

/// A service with an archive in which Anna has two mailboxes and three contacts; gives a moment when she had.
fn world(dir: &Path) -> (Server, String, String) {
    let more = archive(dir);
    let server = Server::start_with(dir, &more);
    server.add_account(ANNA);
    server.add_account(BERT);
    for n in 0..3 {
        append(&server, ANNA, "INBOX", &format!("i{n}"));
    }
    for n in 0..2 {
        append(&server, ANNA, "Work", &format!("w{n}"));
    }
    append(&server, BERT, "INBOX", "b0");
    add_contacts(&server, ANNA, 3);
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1 +FLAGS.SILENT (\\Flagged)").unwrap().ok();
    shipped(server.dir());
    wait_for("a snapshot", || server.command(&["archive", "snapshot"]).status.success());
    let at = next_second();
    (server, more, at)
}

fn as_before() -> BTreeMap<String, Vec<String>> {
    let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    BTreeMap::from([("INBOX".to_owned(), list(&["i0 flagged", "i1", "i2"])), ("Work".to_owned(), list(&["w0", "w1"]))])
}

fn refused(output: &std::process::Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{said}");
    said
}

fn json(server: &Server, args: &[&str]) -> serde_json::Value {
    let output = server.command(args);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn lets_in(server: &Server, who: &str) -> bool {
    let mut imap = Imap::connect(server.address("imap")).unwrap();
    imap.command(&format!("LOGIN {who} \"{PASSWORD}\"")).unwrap().tagged.starts_with("OK")
}

fn scratch_is_gone(server: &Server) {
    let left = std::fs::read_dir(server.dir().join("data")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("restore-account-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_an_account_lost_comes_back_beside_what_it_has_once_and_can_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _, at) = world(dir.path());
    expunge(&server, ANNA, "INBOX");
    expunge(&server, ANNA, "Work");
    Imap::login(server.address("imap"), ANNA).unwrap().command("DELETE Work").unwrap().ok();
    append(&server, ANNA, "INBOX", "new");
    shipped(server.dir());
    let empty = mail(&server, ANNA);
    let restore = ["restore", "--account", ANNA, "--at", &at];

    let preview = json(&server, &[&restore[..], &["--preview", "--json"]].concat());
    assert_eq!(preview["messages_back"], 5, "{preview}");
    assert_eq!((&preview["preview"], &preview["account_is"]), (&true.into(), &"there".into()));
    let work = preview["mailboxes"].as_array().unwrap().iter().find(|one| one["name"] == "Work").unwrap();
    assert_eq!((&work["made_again"], &work["back"]), (&true.into(), &2.into()));
    assert_eq!(mail(&server, ANNA), empty, "a preview changes nothing");
    let said = ok(&server.command(&[&restore[..], &["--preview"]].concat()));
    assert!(said.contains("Work") && said.contains("recreated") && said.contains("nothing was changed"), "{said}");

    let said = ok(&server.command(&restore));
    assert!(said.contains("5 messages restored") && said.contains("--undo"), "{said}");
    let mut whole = as_before();
    whole.get_mut("INBOX").unwrap().push("new".to_owned());
    assert_eq!(mail(&server, ANNA), whole);
    let again = json(&server, &[&restore[..], &["--json"]].concat());
    assert_eq!(again["changed"], false, "{again}");
    assert_eq!(mail(&server, ANNA), whole);

    ok(&server.command(&["rewind", ANNA, "--undo"]));
    assert_eq!(mail(&server, ANNA), empty);
    // By the commit that the preview names, a part of it, with another identity file, and in another scratch folder.
    let commit = format!("commit:{}", preview["commit"]);
    let identity = dir.path().join("a copy of the identity");
    std::fs::copy(dir.path().join("identity"), &identity).unwrap();
    let (identity, scratch) = (identity.display().to_string(), dir.path().display().to_string());
    let args = ["restore", "--account", ANNA, "--at", &commit, "--mailbox", "Work", "--json", "--archive", "here"];
    let part = json(&server, &[&args[..], &["--identity", &identity, "--scratch", &scratch]].concat());
    assert_eq!((&part["messages_back"], &part["mailboxes_made"]), (&2.into(), &1.into()), "{part}");
    assert_eq!(mail(&server, ANNA)["Work"], ["w0", "w1"]);
    assert_eq!(mail(&server, BERT)["INBOX"], ["b0"], "others are not touched");
    scratch_is_gone(&server);
    // What came back is shipped, and restorable.
    shipped(server.dir());
    server.stop();
    super::assert_sound(dir.path());
}

#[test]
fn flags_and_the_address_book_come_back_when_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _, at) = world(dir.path());
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1:* FLAGS.SILENT ()").unwrap().ok();
    drop(imap);
    add_contacts(&server, BERT, 1);
    let restore = ["restore", "--account", ANNA, "--at", &at, "--json"];
    let done = json(&server, &restore);
    assert_eq!(done["changed"], false, "flags of what stayed are its owner's: {done}");
    let done = json(&server, &[&restore[..], &["--flags"]].concat());
    assert_eq!(done["messages_flagged"], 1, "{done}");
    assert_eq!(mail(&server, ANNA), as_before());
    // Into another's book: both are there, and his own stays.
    let done = json(&server, &[&restore[..], &["--address-book", "--into", BERT]].concat());
    assert_eq!((&done["messages_back"], &done["account_is"]), (&0.into(), &"another".into()), "{done}");
    assert!(contacts(&server, BERT) >= 3);
    assert_eq!(mail(&server, BERT)["INBOX"], ["b0"]);
}

#[test]
fn an_account_is_found_whatever_it_is_called_and_made_again_when_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (server, more, at) = world(dir.path());
    ok(&server.command(&["account", "rename", ANNA, "anna.new@example.org", "--drop-old"]));
    expunge(&server, "anna.new@example.org", "Work");
    // Renamed: by the address of then and by that of now.
    for address in [ANNA, "anna.new@example.org"] {
        let preview = json(&server, &["restore", "--account", address, "--at", &at, "--preview", "--json"]);
        assert_eq!(
            (&preview["into"], &preview["messages_back"]),
            (&"anna.new@example.org".into(), &2.into()),
            "{preview}"
        );
    }
    ok(&server.command(&["restore", "--account", ANNA, "--at", &at]));
    assert_eq!(mail(&server, "anna.new@example.org"), as_before());

    // Another one has the address since: nothing of the old one's goes there unless that is said.
    server.add_account(ANNA);
    let done = json(&server, &["restore", "--account", ANNA, "--at", &at, "--json"]);
    assert_eq!((&done["into"], &done["changed"]), (&"anna.new@example.org".into(), &false.into()), "{done}");
    ok(&server.command(&["account", "delete", "anna.new@example.org", "--yes"]));
    let said = refused(&server.command(&["restore", "--account", ANNA, "--at", &at]));
    assert!(said.contains("--into") && said.contains("another account"), "{said}");
    assert!(mail(&server, ANNA).is_empty());
    append(&server, ANNA, "Work", "own");
    append(&server, ANNA, "INBOX", "own too");
    let into = ["restore", "--account", ANNA, "--at", &at, "--into", ANNA];
    ok(&server.command(&into));
    let mut both = as_before();
    both.get_mut("Work").unwrap().insert(0, "own".to_owned());
    both.get_mut("INBOX").unwrap().push("own too".to_owned());
    assert_eq!(mail(&server, ANNA), both);
    assert_eq!(contacts(&server, ANNA), 3);
    ok(&server.command(&into));
    assert_eq!(mail(&server, ANNA), both, "nothing is there twice");
    ok(&server.command(&["rewind", ANNA, "--undo"]));
    assert_eq!(mail(&server, ANNA).values().flatten().collect::<Vec<_>>(), ["own too", "own"]);

    // Deleted, and its data still here: it is that account again, with its password, once it is let in.
    ok(&server.command(&["account", "delete", ANNA, "--yes"]));
    let preview = json(&server, &["restore", "--account", ANNA, "--at", &at, "--preview", "--json"]);
    assert_eq!(preview["account_is"], "deleted", "{preview}");
    let said = ok(&server.command(&["restore", "--account", ANNA, "--at", &at]));
    assert!(said.contains("account enable"), "{said}");
    assert!(!lets_in(&server, "anna.new@example.org"), "not yet");
    ok(&server.command(&["account", "enable", "anna.new@example.org"]));
    assert_eq!(mail(&server, "anna.new@example.org"), as_before());
    shipped(server.dir());
    server.stop();

    // On a service that knows nothing of it: made again, disabled, without a password.
    let root = {
        let listed = ok(&holdfast(dir.path(), &["archive", "list"], ""));
        listed.lines().find_map(|line| Some(line.strip_prefix("line ")?.split(',').next()?.to_owned())).unwrap()
    };
    let fresh = second(dir.path(), "fresh", &more);
    let other = Server::start_with(&fresh, &more);
    other.add_account("carl@example.org");
    let gone = ["restore", "--account", ANNA, "--at", &at, "--line", &root];
    let preview = json(&other, &[&gone[..], &["--preview", "--json"]].concat());
    assert_eq!((&preview["account_is"], &preview["messages_back"]), (&"gone".into(), &5.into()), "{preview}");
    let said = ok(&other.command(&gone));
    assert!(said.contains("account passwd"), "{said}");
    assert!(!lets_in(&other, ANNA));
    assert!(other.command_with_input(&["account", "passwd", ANNA, "--password-stdin"], PASSWORD).status.success());
    ok(&other.command(&["account", "enable", ANNA]));
    assert_eq!(mail(&other, ANNA), as_before());
    assert_eq!(contacts(&other, ANNA), 3);
    scratch_is_gone(&other);
    other.stop();
    super::assert_sound(&fresh);
}

#[test]
fn what_came_after_the_moment_that_a_service_was_put_back_to_is_found_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let (server, more, at) = world(dir.path());
    append(&server, ANNA, "INBOX", "late");
    append(&server, ANNA, "Late", "later");
    shipped(server.dir());
    let late = next_second();
    server.kill();
    let machine = second(dir.path(), "back", &more);
    let line = {
        let listed = ok(&holdfast(dir.path(), &["archive", "list"], ""));
        listed.lines().find_map(|line| Some(line.strip_prefix("line ")?.split(',').next()?.to_owned())).unwrap()
    };
    let server = Server::start_as(&machine, &more, &["restore", "--from", "here", "--at", &at], &[]);
    assert_eq!(mail(&server, ANNA), as_before());
    // The same numbers mean other messages here since.
    append(&server, ANNA, "INBOX", "here");
    append(&server, ANNA, "Here", "here too");
    shipped(server.dir());
    let done = json(&server, &["restore", "--account", ANNA, "--at", &late, "--line", &line, "--json"]);
    assert_eq!((&done["messages_back"], &done["mailboxes_made"]), (&2.into(), &1.into()), "{done}");
    let found = mail(&server, ANNA);
    assert_eq!(found["INBOX"], ["here", "i0 flagged", "i1", "i2", "late"]);
    assert_eq!((&found["Late"], &found["Here"]), (&vec!["later".to_owned()], &vec!["here too".to_owned()]));
    server.stop();
    super::assert_sound(&machine);
}

#[test]
fn what_can_not_be_had_is_said_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (server, more, at) = world(dir.path());
    let before = mail(&server, ANNA);
    let blind: String =
        more.lines().filter(|line| !line.starts_with("identity_file")).map(|l| format!("{l}\n")).collect();
    let account = |args: &[&str]| refused(&server.command(&[&["restore", "--account"], args].concat()));
    for (args, wanted) in [
        (
            vec!["nobody@example.org", "--at", &at],
            &["no account nobody@example.org", "anna@example.org, bert@example.org"][..],
        ),
        (vec![ANNA, "--at", "2001-01-01"], &["before the restorable part", "commit 1"]),
        (vec![ANNA, "--at", "2999-01-01"], &["in the future"]),
        (vec![ANNA, "--at", "commit:99999999"], &["commit 99999999 is not in the archive", "ends with commit"]),
        (vec![ANNA, "--at", "20261123"], &["commit:20261123", "2026-11-23"]),
        (vec![ANNA, "--at", "1"], &["no account"]),
        (vec![ANNA, "--archive", "elsewhere"], &["no archive named elsewhere", "here"]),
        (vec![ANNA, "--line", "0123456789abcdef"], &["no line 0123456789abcdef"]),
        (vec![ANNA, "--into", "nobody@example.org"], &["no account nobody@example.org to restore it into"]),
        (vec![ANNA, "--mailbox", "Nowhere"], &["no mailbox named"]),
        (vec!["not an address"], &["not an address"]),
        (vec![ANNA, "--identity", "/nowhere/at all"], &["/nowhere/at all"]),
    ] {
        let said = account(&args);
        assert!(wanted.iter().all(|wanted| said.contains(wanted)), "{args:?}: {said}");
    }
    assert_eq!(mail(&server, ANNA), before);
    scratch_is_gone(&server);
    server.stop();
    // Without a running service it works too; and needs an identity.
    std::fs::write(
        dir.path().join("holdfast.toml"),
        std::fs::read_to_string(dir.path().join("holdfast.toml")).unwrap().replace(&more, &blind),
    )
    .unwrap();
    let said = refused(&holdfast(dir.path(), &["restore", "--account", ANNA, "--at", &at], ""));
    assert!(said.contains("--identity"), "{said}");
    let identity = dir.path().join("identity").display().to_string();
    let args = ["restore", "--account", ANNA, "--at", &at, "--identity", &identity, "--json"];
    let done: serde_json::Value = serde_json::from_slice(&holdfast(dir.path(), &args, "").stdout).unwrap();
    assert_eq!(done["changed"], false, "{done}");
    let other = dir.path().join("other identity").display().to_string();
    ok(&holdfast(dir.path(), &["archive", "new-identity", &other], ""));
    let said = refused(&holdfast(dir.path(), &["restore", "--account", ANNA, "--at", &at, "--identity", &other], ""));
    assert!(said.contains("can't be decrypted"), "{said}");
}
