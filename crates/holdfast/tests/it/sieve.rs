//! Rules as Sieve scripts: kept, made active and run when mail comes.

mod changes;
mod snooze;

use std::path::Path;

use crate::support::{Server, imap::Imap, smtp::Smtp, wait_for};

const ANNA: &str = "anna@example.org";
const BOB: &str = "bob@example.org";

fn said(server: &Server, args: &[&str]) -> String {
    let output = server.command(args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a script the active one of an account.
fn activate(server: &Server, dir: &Path, account: &str, script: &str) {
    let path = dir.join("script.sieve");
    std::fs::write(&path, script).unwrap();
    said(server, &["sieve", "put", account, "main", path.to_str().unwrap()]);
    said(server, &["sieve", "activate", account, "main"]);
}

fn deliver(server: &Server, from: &str, subject: &str, more: &str) -> Result<(), String> {
    let message = format!("From: {from}\r\nTo: {ANNA}\r\nSubject: {subject}\r\n{more}\r\nText\r\n");
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let reply = smtp.send(from, &[ANNA], &message).unwrap();
    if reply.starts_with("250") { Ok(()) } else { Err(reply) }
}

/// How many messages a mailbox has; `None` if there is none.
fn count(server: &Server, account: &str, mailbox: &str) -> Option<usize> {
    let mut imap = Imap::login(server.address("imap"), account).unwrap();
    let answer = imap.command(&format!("STATUS {mailbox} (MESSAGES)")).unwrap();
    let text = answer.untagged.join("\n");
    text.rsplit_once("MESSAGES ").map(|(_, rest)| rest.split(')').next().unwrap().parse().unwrap())
}

#[test]
fn the_active_script_files_discards_refuses_sends_on_and_answers_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    server.add_account(BOB);
    activate(
        &server,
        dir.path(),
        ANNA,
        "require [\"fileinto\", \"mailbox\", \"imap4flags\", \"copy\", \"reject\", \"vacation\"];\n\
         if header :is \"subject\" \"list\" { fileinto :create :flags \"\\\\Seen\" \"Lists/A\"; fileinto \"Archive\"; stop; }\n\
         if header :is \"subject\" \"drop\" { discard; stop; }\n\
         if header :is \"subject\" \"no\" { reject \"not wanted\"; stop; }\n\
         if header :is \"subject\" \"both\" { redirect :copy \"bob@example.org\"; stop; }\n\
         if header :is \"subject\" \"away\" { vacation \"I am away\"; }\n",
    );
    let stranger = "someone@elsewhere.example";
    deliver(&server, stranger, "list", "").unwrap();
    assert_eq!(count(&server, ANNA, "Lists/A"), Some(1));
    assert_eq!(count(&server, ANNA, "Archive"), Some(1), "two copies of one message");
    deliver(&server, stranger, "drop", "").unwrap();
    assert_eq!(count(&server, ANNA, "INBOX"), Some(0));
    let refused = deliver(&server, stranger, "no", "").unwrap_err();
    assert!(refused.contains("550") && refused.contains("5.7.1"), "{refused}");
    deliver(&server, stranger, "both", "").unwrap();
    assert_eq!(count(&server, ANNA, "INBOX"), Some(1));
    wait_for("the message that is sent on", || count(&server, BOB, "INBOX") == Some(1));

    // Twice within the period: one answer. A list gets none.
    deliver(&server, BOB, "away", "List-Id: <x>\r\n").unwrap();
    deliver(&server, BOB, "away", "").unwrap();
    deliver(&server, BOB, "away", "").unwrap();
    wait_for("the answer", || count(&server, BOB, "INBOX") == Some(2));
    assert_eq!(count(&server, ANNA, "INBOX"), Some(4));
    said(&server, &["sieve", "activate", ANNA, "--none"]);
    deliver(&server, stranger, "drop", "").unwrap();
    assert_eq!(count(&server, ANNA, "INBOX"), Some(5));
}

#[test]
fn a_script_that_fails_loses_no_mail_and_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    activate(
        &server,
        dir.path(),
        ANNA,
        "require [\"fileinto\", \"ihave\"];\nfileinto \"Archive\";\nerror \"too bad\";\n",
    );
    deliver(&server, "someone@elsewhere.example", "one", "").unwrap();
    wait_for("the letter", || count(&server, ANNA, "INBOX") == Some(2));
    deliver(&server, "someone@elsewhere.example", "two", "").unwrap();
    assert_eq!(count(&server, ANNA, "INBOX"), Some(3), "told once");
    assert_eq!(count(&server, ANNA, "Archive"), Some(0));
}

#[test]
fn scripts_are_checked_listed_and_kept_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    let wrong = dir.path().join("wrong.sieve");
    std::fs::write(&wrong, "keep;\n  fileinto \"x\";\n").unwrap();
    let output = server.command(&["sieve", "check", ANNA, wrong.to_str().unwrap(), "--json"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["errors"][0]["line"], &first["errors"][0]["column"]), (&2.into(), &3.into()));
    assert!(!server.command(&["sieve", "put", ANNA, "main", wrong.to_str().unwrap()]).status.success());
    activate(&server, dir.path(), ANNA, "# mine\nkeep;\n");
    assert!(!server.command(&["sieve", "delete", ANNA, "main"]).status.success(), "it is active");
    server.stop();

    let server = Server::start(dir.path());
    let listed: serde_json::Value = serde_json::from_str(&said(&server, &["sieve", "list", ANNA, "--json"])).unwrap();
    assert_eq!((&listed["scripts"][0]["name"], &listed["scripts"][0]["active"]), (&"main".into(), &true.into()));
    assert!(said(&server, &["sieve", "get", ANNA, "main"]).starts_with("# mine"));
}
