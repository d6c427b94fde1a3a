//! The spam filter as users meet it: mail goes to Spam, and what they do with it teaches, through whatever door.

use std::path::Path;

use crate::support::{Server, imap::Imap, smtp::Smtp, wait_for};

const ANNA: &str = "anna@example.org";

fn said(server: &Server, args: &[&str]) -> String {
    let output = server.command(args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn shown(server: &Server) -> serde_json::Value {
    serde_json::from_str(&said(server, &["spam", "show", ANNA, "--json"])).unwrap()
}

/// A message of a kind: wanted or not, each a little different.
fn message(kind: &str, number: usize) -> String {
    let (from, subject, text) = match kind {
        "offer" => (
            format!("offers{number}@cheap-pills.example"),
            format!("Cheap pills, order now #{number}"),
            "Order cheap pills now! No prescription needed. Click http://cheap-pills.example/buy and save 80%.",
        ),
        _ => (
            format!("colleague{number}@work.example"),
            format!("Minutes of the meeting {number}"),
            "Dear Anna,\r\nattached are the minutes of our project meeting on Tuesday. Please send your corrections.",
        ),
    };
    format!(
        "From: {from}\r\nTo: {ANNA}\r\nSubject: {subject}\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{kind}-{number}@mail.example>\r\n\r\n{text}\r\n"
    )
}

fn deliver(server: &Server, kind: &str, number: usize) {
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    smtp.send("someone@elsewhere.example", &[ANNA], &message(kind, number)).unwrap();
}

/// How many messages a mailbox has.
fn count(server: &Server, mailbox: &str) -> usize {
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    let answer = imap.command(&format!("STATUS {mailbox} (MESSAGES)")).unwrap();
    let text = answer.untagged.join("\n");
    text.rsplit_once("MESSAGES ").unwrap().1.split(')').next().unwrap().parse().unwrap()
}

fn write(dir: &Path, kind: &str, number: usize) -> String {
    let path = dir.join(format!("{kind}-{number}.eml"));
    std::fs::write(&path, message(kind, number)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn moving_mail_to_and_from_spam_teaches_through_imap_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    (0..4).for_each(|number| deliver(&server, "offer", number));
    (0..4).for_each(|number| deliver(&server, "minutes", number));
    assert_eq!((count(&server, "INBOX"), count(&server, "Junk")), (8, 0), "nothing is known yet");

    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 5:8 +FLAGS (\\Seen)").unwrap().ok();
    imap.command("MOVE 1:4 Junk").unwrap().ok();
    wait_for("the lesson", || shown(&server)["learned_spam"] == 4 && shown(&server)["learned_kept"] == 4);

    deliver(&server, "offer", 10);
    deliver(&server, "minutes", 10);
    assert_eq!((count(&server, "INBOX"), count(&server, "Junk")), (5, 5));
    server.stop();

    let server = Server::start(dir.path());
    let before = shown(&server);
    assert_eq!((&before["learned_spam"], &before["learned_kept"]), (&4.into(), &4.into()), "each once");
    deliver(&server, "offer", 11);
    assert_eq!(count(&server, "Junk"), 6);

    // Out of Spam again: the user's word, from now on, for that very message too.
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SELECT Junk").unwrap().ok();
    let field = imap.command("FETCH 6 (BODY.PEEK[HEADER.FIELDS (X-Holdfast-Spam)])").unwrap();
    assert!(field.untagged.join("\n").contains("X-Holdfast-Spam: spam; score="), "{:?}", field.untagged);
    imap.command("MOVE 6 INBOX").unwrap().ok();
    wait_for("the user's word", || shown(&server)["learned_wanted"] == 1);
    deliver(&server, "offer", 11);
    assert_eq!((count(&server, "INBOX"), count(&server, "Junk")), (7, 5));
    server.stop();
}

#[test]
fn the_last_word_counts_when_a_keyword_and_the_mailbox_differ() {
    let (_dir, server) = Server::with_accounts(&[ANNA]);
    deliver(&server, "offer", 0);
    deliver(&server, "offer", 1);
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1 +FLAGS ($NotJunk)").unwrap().ok();
    wait_for("the keyword", || shown(&server)["learned_wanted"] == 1);
    imap.command("MOVE 1 Junk").unwrap().ok();
    wait_for("the later move", || shown(&server)["learned_spam"] == 1 && shown(&server)["learned_wanted"] == 0);
    imap.command("SELECT Junk").unwrap().ok();
    imap.command("STORE 1 -FLAGS ($NotJunk)").unwrap().ok();
    // What happened between two looks can't be told: once the move after it is learned, the removal was seen too.
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("MOVE 1 Junk").unwrap().ok();
    wait_for("a move after the removal", || shown(&server)["learned_spam"] == 2);
    imap.command("SELECT Junk").unwrap().ok();
    imap.command("STORE 1 +FLAGS ($NotJunk)").unwrap().ok();
    wait_for("the later keyword", || shown(&server)["learned_wanted"] == 1);
    server.stop();
}

#[test]
fn lists_levels_and_training_by_command_decide_where_mail_goes() {
    let (dir, server) = Server::with_accounts(&[ANNA]);
    let spam = |args: &[&str]| said(&server, &[&["spam"], args].concat());
    spam(&["block", ANNA, "work.example"]);
    deliver(&server, "minutes", 1);
    assert_eq!((count(&server, "INBOX"), count(&server, "Junk")), (0, 1), "a block list wins");
    spam(&["allow", ANNA, "colleague2@work.example"]);
    deliver(&server, "minutes", 2);
    assert_eq!((count(&server, "INBOX"), count(&server, "Junk")), (1, 1), "and the more exact entry over it");
    spam(&["unlist", ANNA, "work.example"]);
    deliver(&server, "minutes", 3);
    assert_eq!(count(&server, "INBOX"), 2);
    spam(&["level", ANNA, "known"]);
    deliver(&server, "minutes", 4);
    assert_eq!(count(&server, "Junk"), 2);
    spam(&["level", ANNA, "normal"]);

    let files: Vec<String> = (20..24).map(|number| write(dir.path(), "offer", number)).collect();
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    spam(&[&["train", ANNA, "--spam"], &names[..]].concat());
    let files: Vec<String> = (20..24).map(|number| write(dir.path(), "minutes", number)).collect();
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    spam(&[&["train", ANNA, "--ham"], &names[..]].concat());
    let explained = spam(&["explain", ANNA, &write(dir.path(), "offer", 30), "--json"]);
    let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
    assert_eq!(explained["spam"], true, "{explained}");
    let tenths = |text: &serde_json::Value| (text.as_str().unwrap().parse::<f64>().unwrap() * 10.0).round();
    let sum: f64 = explained["reasons"].as_array().unwrap().iter().map(|reason| tenths(&reason["points"])).sum();
    assert!((sum - tenths(&explained["score"])).abs() < 0.5, "the reasons add up: {explained}");

    assert!(spam(&["reset", ANNA]).starts_with("8 "));
    let explained = spam(&["explain", ANNA, &write(dir.path(), "offer", 30), "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&explained).unwrap()["spam"], false);
    server.stop();
}

#[test]
fn lists_of_the_domain_and_of_the_service_win_and_the_accounts_own_win_over_them() {
    let (_dir, server) = Server::with_accounts(&[ANNA]);
    let spam = |args: &[&str]| said(&server, &[&["spam"], args].concat());
    spam(&["block", "@", "work.example"]);
    deliver(&server, "minutes", 1);
    assert_eq!((count(&server, "INBOX"), count(&server, "Junk")), (0, 1), "the service blocks it");
    spam(&["allow", "@example.org", "work.example"]);
    deliver(&server, "minutes", 2);
    assert_eq!((count(&server, "INBOX"), count(&server, "Junk")), (1, 1), "the domain wants it");
    spam(&["block", ANNA, "work.example"]);
    deliver(&server, "minutes", 3);
    assert_eq!((count(&server, "INBOX"), count(&server, "Junk")), (1, 2), "the account doesn't");
    spam(&["unlist", ANNA, "work.example"]);
    spam(&["level", ANNA, "off"]);
    spam(&["unlist", "@example.org", "work.example"]);
    deliver(&server, "minutes", 4);
    assert_eq!((count(&server, "INBOX"), count(&server, "Junk")), (1, 3), "lists count where the filter is off");
    spam(&["unlist", "@", "work.example"]);
    let shown: serde_json::Value = serde_json::from_str(&spam(&["show", "@", "--json"])).unwrap();
    assert_eq!(shown["blocked"], serde_json::json!([]));
    assert!(!server.command(&["spam", "block", "@elsewhere.example", "work.example"]).status.success());
    server.stop();
}

#[test]
fn a_dns_list_is_tried_out_and_shown() {
    let (dir, dns) = (tempfile::tempdir().unwrap(), crate::support::dns::Dns::start());
    dns.a("2.0.0.127.list.test", std::net::Ipv4Addr::new(127, 0, 0, 2));
    dns.a("2.0.0.127.odd.test", std::net::Ipv4Addr::new(127, 255, 255, 254));
    let more = format!("{}[spam]\ndns_lists = [\"list.test\", \"odd.test\"]\n", dns.config());
    let server = Server::start_with(dir.path(), &more);
    let states = || {
        let shown: serde_json::Value = serde_json::from_str(&said(&server, &["spam", "dns-lists", "--json"])).unwrap();
        let of = |at: usize| shown["dns_lists"][at]["state"].as_str().unwrap().to_owned();
        [of(0), of(1)]
    };
    wait_for("the trial", || states() == ["works", "off"]);
    server.stop();
}

#[test]
fn an_account_that_has_learned_nothing_is_judged_by_what_others_taught() {
    let (dir, server) = Server::with_accounts(&[ANNA, "ben@example.org", "eva@example.org"]);
    for (who, from) in [("ben@example.org", 20), ("eva@example.org", 40)] {
        for (kind, flag) in [("offer", "--spam"), ("minutes", "--ham")] {
            let files: Vec<String> = (from..from + 8).map(|number| write(dir.path(), kind, number)).collect();
            let names: Vec<&str> = files.iter().map(String::as_str).collect();
            said(&server, &[&["spam", "train", who, flag], &names[..]].concat());
        }
    }
    server.stop();
    let server = Server::start(dir.path());
    let base = |kind: &str| -> f64 {
        let explained = said(&server, &["spam", "explain", ANNA, &write(dir.path(), kind, 90), "--json"]);
        let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
        let reason = explained["reasons"].as_array().unwrap().iter().find(|reason| reason["code"] == "base").cloned();
        reason.map_or(0.0, |reason| reason["points"].as_str().unwrap().parse().unwrap())
    };
    wait_for("the base", || base("offer") > 0.0);
    assert!(base("minutes") < 0.0);
    server.stop();
}
