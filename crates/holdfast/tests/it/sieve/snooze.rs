//! Rules that snooze a message, and what becomes of it while the service is down.

use super::{ANNA, activate, count, deliver};
use crate::support::{Server, imap::Imap, wait_for};

/// Times of day from now on, some seconds apart: there is always a next one.
fn soon() -> String {
    let now = jiff::Timestamp::now();
    let times: Vec<String> = (1..=24)
        .map(|n| {
            let at = now + jiff::SignedDuration::from_secs(5 * n);
            format!("\"{}\"", at.strftime("%H:%M:%S"))
        })
        .collect();
    times.join(",")
}

#[test]
fn a_rule_snoozes_and_the_message_returns_unread_although_the_service_was_down() {
    let (dir, server) = Server::with_accounts(&[ANNA]);
    let script = "require [\"vnd.cyrus.snooze\", \"imap4flags\"];\naddflag \"\\\\Seen\";\n\
                  if header :is \"subject\" \"later\" { snooze :tzid \"UTC\" [TIMES]; }\n\
                  else { snooze :weekdays [\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"] :addflags \"\\\\Flagged\" \"00:00\"; }\n";
    activate(&server, dir.path(), ANNA, &script.replace("TIMES", &soon()));
    deliver(&server, "someone@elsewhere.example", "later", "").unwrap();
    deliver(&server, "someone@elsewhere.example", "midnight", "").unwrap();
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    let listed = imap.command("LIST \"\" \"Snoozed\"").unwrap().ok().untagged.join("\n");
    assert!(listed.contains("\\Snoozed"), "{listed}");
    server.stop();
    let server = Server::start(dir.path());
    wait_for("the message to return", || count(&server, ANNA, "INBOX") >= Some(1));
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    assert!(!imap.command("SEARCH UNSEEN SUBJECT later").unwrap().ok().numbers().is_empty());
    let both = count(&server, ANNA, "INBOX").unwrap() + count(&server, ANNA, "Snoozed").unwrap();
    assert_eq!(both, 2);
    assert!(server.command(&["verify"]).status.success());
}
