//! Mail that an account fetches from another one: by our own doors as the server elsewhere, with the process killed on the way.

use serde_json::Value;

use crate::support::{PASSWORD, Server, imap::Imap, wait_for};

const OLD: &str = "old@there.test";
const ANNA: &str = "anna@here.test";
const COUNT: u32 = 120;

fn json(server: &Server, args: &[&str]) -> Vec<Value> {
    let output = server.command(&[args, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn source(server: &Server) -> Value {
    json(server, &["account", "fetch", "list", ANNA]).remove(0)
}

/// The subjects in a mailbox, sorted.
fn subjects(server: &Server, user: &str, mailbox: &str) -> Vec<String> {
    let mut imap = Imap::login(server.address("imap"), user).unwrap();
    let selected = imap.command(&format!("SELECT {mailbox}")).unwrap();
    if !selected.tagged.starts_with("OK") {
        return Vec::new();
    }
    let all = imap.command("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap();
    let subject = |line: &String| Some(line.split_once("Subject: ")?.1.lines().next()?.to_owned());
    let mut found: Vec<String> = all.untagged.iter().filter_map(subject).collect();
    found.sort();
    found
}

fn fill(server: &Server, mailbox: &str, count: u32) {
    let mut imap = Imap::login(server.address("imap"), OLD).unwrap();
    let _ = imap.command(&format!("CREATE {mailbox}")).unwrap();
    for number in 0..count {
        let message = format!("From: a@b.test\r\nSubject: {mailbox} {number:04}\r\n\r\n{}\r\n", "text ".repeat(200));
        imap.append(mailbox, message).unwrap().ok();
    }
}

fn add(here: &Server, there: &Server, door: &str, more: &[&str]) -> u64 {
    let port = there.address(door).port().to_string();
    let args = ["account", "fetch", "add", ANNA, OLD, "--host", "127.0.0.1", "--port", &port, "--security", "plain"];
    let output = here.command_with_input(&[&args[..], more, &["--json"]].concat(), PASSWORD);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["id"].as_u64().unwrap()
}

fn config(there: &Server) -> String {
    let ports: Vec<String> = ["imap", "pop3"].map(|door| there.address(door).port().to_string()).to_vec();
    format!("[fetch]\nallow_private = true\nports = [{}]\n", ports.join(", "))
}

#[test]
fn a_move_goes_on_where_a_killed_process_left_it() {
    let (_there_dir, there) = Server::with_accounts(&[OLD]);
    fill(&there, "INBOX", COUNT);
    fill(&there, "Sent", 10);
    fill(&there, "Work/2024", 10);
    let dir = tempfile::tempdir().unwrap();
    let here = Server::start_with(dir.path(), &config(&there));
    here.add_account(ANNA);
    let id = add(&here, &there, "imap", &[]);
    wait_for("some mail", || source(&here)["done"].as_u64().unwrap() > 0);
    here.kill();
    let here = Server::start_with(dir.path(), &config(&there));
    wait_for("the end of the move", || source(&here)["state"] == "done");
    let shown = source(&here);
    assert_eq!((&shown["done"], &shown["total"], &shown["error"]), (&140.into(), &140.into(), &Value::Null), "{shown}");
    for mailbox in ["INBOX", "Sent", "Work/2024"] {
        assert_eq!(subjects(&here, ANNA, mailbox), subjects(&there, OLD, mailbox), "{mailbox}");
    }
    assert!(!shown.to_string().contains(PASSWORD));
    // By the command, which waits; what is new comes, and nothing else.
    fill(&there, "INBOX2", 3);
    let ran = here.command(&["account", "fetch", "run", ANNA, &id.to_string(), "--json"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(source(&here)["filed"], 143);
    assert!(here.command(&["account", "fetch", "remove", ANNA, &id.to_string()]).status.success());
    assert_eq!(subjects(&here, ANNA, "INBOX").len(), COUNT as usize, "mail that was fetched stays");
    let gone = here.command(&["account", "fetch", "pause", ANNA, &id.to_string(), "--json"]);
    assert!(String::from_utf8_lossy(&gone.stderr).contains("not-found"));
    let verified = here.command(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn by_pop3_the_inbox_comes_and_is_deleted_there_if_chosen() {
    let (_there_dir, there) = Server::with_accounts(&[OLD]);
    fill(&there, "INBOX", 7);
    let dir = tempfile::tempdir().unwrap();
    let here = Server::start_with(dir.path(), &config(&there));
    here.add_account(ANNA);
    let expected = subjects(&there, OLD, "INBOX");
    add(&here, &there, "pop3", &["--protocol", "pop3", "--delete"]);
    wait_for("the end of the move", || source(&here)["state"] == "done");
    assert_eq!(subjects(&here, ANNA, "INBOX"), expected);
    assert_eq!(subjects(&there, OLD, "INBOX"), [""; 0]);
}

#[test]
fn a_wrong_password_and_a_network_of_our_own_are_told() {
    let (_there_dir, there) = Server::with_accounts(&[OLD]);
    let dir = tempfile::tempdir().unwrap();
    let here = Server::start_with(dir.path(), &config(&there));
    here.add_account(ANNA);
    let port = there.address("imap").port().to_string();
    let args = ["account", "fetch", "add", ANNA, OLD, "--host", "127.0.0.1", "--port", &port, "--security", "plain"];
    assert!(here.command_with_input(&args, "not it").status.success());
    wait_for("the refusal", || source(&here)["state"] == "refused");
    assert_eq!(subjects(&here, ANNA, "INBOX").len(), 1);
    let log = std::fs::read_to_string(dir.path().join("stderr.log")).unwrap();
    assert!(!log.contains("not it"));
    here.stop();
    let here = Server::start_with(dir.path(), "");
    assert!(!here.command_with_input(&args, PASSWORD).status.success(), "the port is not allowed");
    let args = ["account", "fetch", "add", ANNA, "x", "--host", "127.0.0.1"];
    assert!(here.command_with_input(&args, PASSWORD).status.success());
    wait_for("the second refusal", || json(&here, &["account", "fetch", "list", ANNA])[1]["state"] == "broken");
}
