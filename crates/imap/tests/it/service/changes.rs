//! What sessions see of each other: EXISTS, EXPUNGE, FETCH, VANISHED; CONDSTORE and QRESYNC.

use crate::service::client::Client;
use crate::service::server::{MESSAGE, Server};

/// Two sessions on a mailbox with three messages.
async fn pair(server: &Server) -> (Client, Client) {
    let (mut a, mut b) = (server.login().await, server.login().await);
    for _ in 0..3 {
        a.append("INBOX", MESSAGE).await.ok();
    }
    a.run("SELECT INBOX").await.ok().has("3 EXISTS");
    b.run("SELECT INBOX").await.ok().has("3 EXISTS");
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_set_by_one_are_told_to_the_other_and_not_twice_to_the_first() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    let answer = a.run("STORE 2 +FLAGS (\\Flagged)").await.ok();
    assert_eq!(answer.untagged, ["2 FETCH (UID 2 FLAGS (\\Flagged))"]);
    assert_eq!(a.run("NOOP").await.ok().untagged, Vec::<String>::new());
    assert_eq!(b.run("NOOP").await.ok().untagged, ["2 FETCH (UID 2 FLAGS (\\Flagged))"]);
    assert_eq!(a.run("STORE 1:3 +FLAGS.SILENT (\\Seen)").await.ok().untagged, Vec::<String>::new());
    assert_eq!(a.run("NOOP").await.ok().untagged, Vec::<String>::new());
    assert_eq!(b.run("NOOP").await.ok().untagged.len(), 3);
    a.run("STORE 2 -FLAGS \\Flagged").await.ok().has("2 FETCH (UID 2 FLAGS (\\Seen))");
    a.run("UID STORE 3 FLAGS ($New \\Draft)").await.ok().has("3 FETCH (UID 3 FLAGS (\\Draft $New))");
    let told = b.run("NOOP").await.ok();
    let told = told.has("FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $New)");
    told.has("3 FETCH (UID 3 FLAGS (\\Draft $New))");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_do_not_shift_under_a_command_that_uses_them() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    a.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    a.run("EXPUNGE").await.ok().has("1 EXPUNGE");
    // Still three messages for b, and 3 is still UID 3.
    let answer = b.run("FETCH 3 UID").await.ok();
    assert_eq!(answer.untagged, ["3 FETCH (UID 3)"]);
    b.run("FETCH 1 ENVELOPE").await.is("OK [EXPUNGEISSUED]").lacks("1 EXPUNGE");
    b.run("STORE 1:2 FLAGS (\\Seen)")
        .await
        .is("OK [EXPUNGEISSUED]")
        .has("2 FETCH (UID 2 FLAGS (\\Seen))")
        .lacks("1 EXPUNGE");
    b.run("STORE 1 FLAGS (\\Seen)").await.is("NO [EXPUNGEISSUED]").lacks("1 EXPUNGE");
    b.run("STORE 1 FLAGS.SILENT (\\Seen)").await.is("OK [EXPUNGEISSUED]").lacks("1 EXPUNGE");
    assert_eq!(b.run("SEARCH ALL").await.ok().untagged, ["SEARCH 2 3"]);
    // Now it may be told.
    assert_eq!(b.run("NOOP").await.ok().untagged, ["1 EXPUNGE"]);
    assert_eq!(b.run("FETCH 2 UID").await.ok().untagged, ["2 FETCH (UID 3)"]);
    b.run("FETCH 3 UID").await.is("BAD No such message: the mailbox has 2 messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn uid_commands_tell_expunges() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    a.run("UID STORE 1,3 +FLAGS.SILENT (\\Deleted)").await.ok();
    let answer = a.run("UID EXPUNGE 3").await.ok();
    assert_eq!(answer.untagged, ["3 EXPUNGE"]);
    let answer = b.run("UID FETCH 1:* FLAGS").await.ok();
    assert!(answer.untagged.contains(&"3 EXPUNGE".to_owned()), "{answer:?}");
    a.run("CLOSE").await.ok().lacks("1 EXPUNGE");
    b.run("NOOP").await.ok().has("1 EXPUNGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_tells_as_it_happens() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    let tag = b.start("IDLE").await;
    assert_eq!(b.line().await, "+ idling");
    a.append("INBOX", MESSAGE).await.ok();
    assert_eq!(b.line().await, "* 4 EXISTS");
    a.run("STORE 1 +FLAGS (\\Seen \\Deleted)").await.ok();
    assert_eq!(b.line().await, "* 1 FETCH (UID 1 FLAGS (\\Deleted \\Seen))");
    a.run("EXPUNGE").await.ok();
    assert_eq!(b.line().await, "* 1 EXPUNGE");
    b.send("DONE\r\n").await;
    b.finish(&tag).await.ok();
    let tag = b.start("IDLE").await;
    assert_eq!(b.line().await, "+ idling");
    b.send("WHAT\r\n").await;
    b.finish(&tag).await.is("BAD Expected DONE");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_and_move_tell_where_messages_went() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    let answer = a.run("COPY 2:3 Archive").await.ok();
    assert!(answer.code().starts_with("COPYUID ") && answer.code().ends_with(" 2:3 1:2"), "{answer:?}");
    a.run("COPY 1 nowhere").await.is("NO [TRYCREATE]");
    a.run("UID COPY 99 Archive").await.ok();
    let answer = a.run("MOVE 1 Trash").await.ok();
    assert!(answer.untagged[0].starts_with("OK [COPYUID "), "{answer:?}");
    assert_eq!(answer.untagged[1], "1 EXPUNGE");
    assert_eq!(b.run("NOOP").await.ok().untagged, ["1 EXPUNGE"]);
    a.run("UID MOVE 2 Trash").await.ok().has("1 EXPUNGE");
    a.run("STATUS Trash (MESSAGES)").await.ok().has("STATUS \"Trash\" (MESSAGES 2)");
    a.run("STATUS INBOX (MESSAGES)").await.ok().has("STATUS \"INBOX\" (MESSAGES 1)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_mailbox_ends_the_sessions_in_it() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.login().await, server.login().await);
    a.run("CREATE x").await.ok();
    a.run("SELECT x").await.ok();
    b.run("SELECT x").await.ok();
    let answer = a.run("DELETE x").await.ok();
    answer.find("OK [CLOSED]");
    a.run("NOOP").await.ok();
    b.send("t9 NOOP\r\n").await;
    assert!(b.line().await.starts_with("* BYE [NONEXISTENT]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_store_leaves_alone_what_changed() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    let answer = a.run("FETCH 1:3 MODSEQ").await.ok();
    let modseq: u64 = answer.find("3 FETCH").split(['(', ')']).nth(2).expect("a modseq").parse().expect("a number");
    b.run("STORE 2 +FLAGS (\\Flagged)").await.ok();
    let answer =
        a.run(format!("STORE 1:3 (UNCHANGEDSINCE {modseq}) +FLAGS.SILENT (\\Seen)")).await.is("OK [MODIFIED 2]");
    assert!(answer.find("1 FETCH (UID 1 MODSEQ (").len() > 10);
    let answer = a.run(format!("FETCH 1:3 (FLAGS) (CHANGEDSINCE {modseq})")).await.ok();
    assert!(answer.find("2 FETCH (FLAGS (\\Flagged) MODSEQ (").len() > 10);
    let answer = a.run(format!("SEARCH MODSEQ {modseq}")).await.ok();
    assert!(answer.find("SEARCH ").contains("(MODSEQ "), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn qresync_brings_a_client_up_to_date() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    b.run("ENABLE QRESYNC").await.ok().has("ENABLED QRESYNC");
    let answer = b.run("SELECT INBOX").await.ok();
    let number = |start: &str| -> u64 {
        let line = answer.find(start);
        line[start.len()..].split(']').next().expect("a number").parse().expect("a number")
    };
    let (validity, modseq) = (number("OK [UIDVALIDITY "), number("OK [HIGHESTMODSEQ "));
    b.run("UNSELECT").await.ok();
    a.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    a.run("EXPUNGE").await.ok();
    a.run("UID STORE 3 +FLAGS (\\Flagged)").await.ok();
    a.append("INBOX", MESSAGE).await.ok();
    let answer = b.run(format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:3))")).await.ok();
    let answer = answer.has("VANISHED (EARLIER) 1").has("3 EXISTS");
    assert!(answer.find("2 FETCH (UID 3 FLAGS (\\Flagged) MODSEQ (").len() > 10);
    // And from now on VANISHED takes the place of EXPUNGE.
    a.run("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await.ok();
    a.run("EXPUNGE").await.ok();
    b.run("NOOP").await.ok().has("VANISHED 2").lacks("1 EXPUNGE");
    let answer = b.run(format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")).await.ok();
    answer.find("VANISHED (EARLIER) 1:2");
}

#[tokio::test(flavor = "multi_thread")]
async fn close_tells_a_client_that_counts_changes_up_to_where_it_knows_the_mailbox() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    a.run("ENABLE CONDSTORE").await.ok();
    a.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    let code = a.run("CLOSE").await.ok().code().to_owned();
    let modseq = code.strip_prefix("HIGHESTMODSEQ ").expect("a mod-sequence").to_owned();
    let answer = b.run("STATUS INBOX (HIGHESTMODSEQ)").await.ok();
    assert_eq!(answer.find("STATUS"), format!("STATUS \"INBOX\" (HIGHESTMODSEQ {modseq})"));
    // Nothing goes, nothing is told.
    a.run("SELECT INBOX").await.ok();
    a.run("CLOSE").await.is("OK CLOSE completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_search_that_found_nothing_is_a_set_for_every_command() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    a.run("SEARCH RETURN (SAVE) SUBJECT zz").await.ok();
    for command in [
        "COPY $ Archive",
        "MOVE $ Archive",
        "UID COPY $ Archive",
        "UID MOVE $ Archive",
        "STORE $ +FLAGS (\\Seen)",
        "STORE $ +FLAGS.SILENT (\\Seen)",
        "UID STORE $ FLAGS ()",
        "STORE $ (UNCHANGEDSINCE 1) +FLAGS (\\Seen)",
        "FETCH $ (UID FLAGS)",
        "UID FETCH $ (BODY[])",
        "SEARCH $",
        "UID SEARCH RETURN (COUNT) $",
        "SORT (DATE) UTF-8 $",
        "THREAD REFERENCES UTF-8 $",
        "UID EXPUNGE $",
    ] {
        a.run(command).await.ok();
    }
    // What it found and is gone is another matter: these are believed to be there.
    a.run("SEARCH RETURN (SAVE) 2").await.ok();
    b.run("STORE 2 +FLAGS.SILENT (\\Deleted)").await.ok();
    b.run("EXPUNGE").await.ok();
    a.run("COPY 2 Archive").await.is("NO [EXPUNGEISSUED]");
    let (mut a, mut b) = (server.login().await, b);
    a.run("SELECT INBOX").await.ok();
    b.run("STORE 2 +FLAGS.SILENT (\\Deleted)").await.ok();
    b.run("EXPUNGE").await.ok();
    // The change is held back before the command, which names its message by number.
    a.run("MOVE 2 Archive").await.is("NO [EXPUNGEISSUED]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_says_when_no_keyword_can_be_added() {
    let server = Server::start().await;
    let (mut a, mut b) = pair(&server).await;
    let keywords = |numbers: std::ops::Range<usize>| numbers.map(|n| format!("k{n}")).collect::<Vec<_>>().join(" ");
    let last = mailstore::MAX_KEYWORDS;
    a.run(format!("STORE 1 +FLAGS.SILENT ({})", keywords(0..last - 1))).await.ok();
    b.run("SELECT INBOX").await.ok().find("OK [PERMANENTFLAGS (").contains("\\*").then_some(()).expect("room for one");
    a.run(format!("STORE 2 +FLAGS.SILENT ({})", keywords(last - 1..last))).await.ok();
    for mailbox in ["SELECT INBOX", "SELECT INBOX"] {
        let answer = b.run(mailbox).await.ok();
        assert!(!answer.find("OK [PERMANENTFLAGS (").contains("\\*"), "{answer:?}");
    }
    b.run("STORE 3 +FLAGS (one-more)").await.is("NO [LIMIT]");
    b.run("STORE 3 FLAGS (\\Seen one-more)").await.is("NO [LIMIT]");
    // Known ones can be used, and all be taken away.
    b.run("STORE 3 +FLAGS (k0 k1)").await.ok();
    b.run("STORE 3 -FLAGS (one-more)").await.ok();
    b.run("STORE 2 FLAGS ()").await.ok();
    b.run("SELECT INBOX").await.ok();
    b.run("STORE 3 +FLAGS (one-more)").await.ok();
    // What is no flag of a client's is no flag at all, and changes nothing.
    for wrong in ["FLAGS (\\Recent)", "+FLAGS (\\Recent)", "-FLAGS \\Recent", "FLAGS (\\Seen \\Unknown)", "FLAGS (\\*)"]
    {
        b.run(format!("STORE 3 {wrong}")).await.is("BAD ");
    }
    let answer = b.run("FETCH 3 FLAGS").await.ok();
    assert!(answer.untagged[0].contains("one-more"), "{answer:?}");
}

/// The store stops while a change waits for its acknowledgement: whether it was made nobody can say, so neither OK nor NO
/// is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_which_nobody_knows_what_became_gets_no_answer() {
    let append = format!("APPEND INBOX {{{}+}}\r\n{}", MESSAGE.len(), String::from_utf8_lossy(MESSAGE));
    let commands = [
        "STORE 1 +FLAGS (\\Flagged)",
        "UID EXPUNGE 1",
        "EXPUNGE",
        "MOVE 1 Trash",
        "COPY 1 Trash",
        "CREATE New",
        &append,
    ];
    for command in commands {
        let server = Server::start().await;
        let mut client = server.login().await;
        client.append("INBOX", MESSAGE).await.ok();
        client.run("SELECT INBOX").await.ok();
        client.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
        let store = server.store.clone();
        store.hold_acknowledgements(true);
        let tag = client.start(command).await;
        let begun = std::time::Instant::now();
        while store.waits_for_acknowledgement().is_none() {
            assert!(begun.elapsed().as_secs() < 60, "{command} commits nothing");
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| store.fence("another machine is the primary").unwrap());
        loop {
            let line = client.line().await;
            assert!(!line.starts_with(&tag), "{command}: {line}");
            if line.is_empty() {
                break;
            }
        }
    }
}
