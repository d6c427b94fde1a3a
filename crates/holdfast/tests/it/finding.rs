//! Searches while the index is being written by a service that is killed again and again.

use std::fmt::Write as _;

use crate::support::{Server, imap::Imap, wait_for};

const ANNA: &str = "anna@example.org";
/// Messages of one import.
const MESSAGES: usize = 600;

/// A mailbox file whose messages have a word that all have, one that every third has, and one of its own each.
fn mailbox_file(round: usize) -> String {
    let mut text = String::new();
    for n in 0..MESSAGES {
        let third = if n % 3 == 0 { "thirdling" } else { "otherwise" };
        let _ = write!(
            text,
            "From x Mon Nov 23 10:00:00 2026\nFrom: bob@example.net\nSubject: number {n}\nMessage-ID: <{round}.{n}@x>\n\n\
             Commonplace {third} single{round}x{n}y and words: {}\n\n",
            (0..20).map(|word| format!("w{round}a{n}b{word} ")).collect::<String>()
        );
    }
    text
}

fn found(server: &Server, keys: &str) -> usize {
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("EXAMINE INBOX").unwrap().ok();
    imap.command(&format!("SEARCH {keys}")).unwrap().ok().numbers().len()
}

fn indexed(server: &Server) -> f64 {
    let page = server.page("/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix("holdfast_search_indexed_total "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0.0)
}

#[test]
fn answers_are_complete_although_the_service_is_killed_while_it_indexes() {
    let (dir, mut server) = Server::with_accounts(&[ANNA]);
    for round in 0..3 {
        let path = dir.path().join("mail.mbox");
        std::fs::write(&path, mailbox_file(round)).unwrap();
        let output = server.command(&["import", ANNA, path.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        if round > 0 {
            wait_for("the index to have begun", || indexed(&server) > 0.0);
        }
        server.kill();
        server = Server::start(dir.path());
        let all = (round + 1) * MESSAGES;
        assert_eq!(found(&server, "BODY commonplace"), all);
        assert_eq!(found(&server, "TEXT thirdling"), all / 3);
        assert_eq!(found(&server, "FUZZY TEXT thirdling"), all / 3);
        assert_eq!(found(&server, "NOT BODY thirdling"), all - all / 3);
        for (round, n) in [(0, 0), (round, MESSAGES / 2), (round, MESSAGES - 1)] {
            assert_eq!(found(&server, &format!("BODY single{round}x{n}y")), 1, "{round} {n}");
        }
        assert_eq!(found(&server, "BODY nowhere"), 0);
    }
    assert!(server.command(&["verify"]).status.success());
}
