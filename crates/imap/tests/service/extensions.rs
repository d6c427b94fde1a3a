//! UIDONLY, INPROGRESS, UNAUTHENTICATE, and how they go with what else a client has enabled.

use std::time::Duration;

use crate::client::Client;
use crate::server::{MESSAGE, PASSWORD, Server, USER};

/// Two sessions on a mailbox with the UIDs 2 to 4, the first of them with UIDONLY.
async fn uid_only(server: &Server, also: &str) -> (Client, Client) {
    let (mut a, mut b) = (server.login().await, server.login().await);
    for _ in 0..4 {
        a.append("INBOX", MESSAGE).await.ok();
    }
    b.run("SELECT INBOX").await.ok();
    b.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    b.run("EXPUNGE").await.ok();
    let answer = a.run(format!("ENABLE UIDONLY{also}")).await.ok();
    assert!(answer.find("ENABLED").contains("UIDONLY"));
    a.run("SELECT INBOX").await.ok().has("3 EXISTS").lacks("OK [UNSEEN");
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_uidonly_messages_have_no_numbers_in_commands() {
    let server = Server::start().await;
    let (mut a, mut b) = uid_only(&server, "").await;
    for command in [
        "FETCH 1 (FLAGS)",
        "FETCH $ (FLAGS)",
        "FETCH 1:* (FLAGS) (CHANGEDSINCE 1)",
        "STORE 1 +FLAGS (\\Seen)",
        "STORE 1:* (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)",
        "COPY 1 Archive",
        "MOVE * Archive",
        "SEARCH ALL",
        "SEARCH RETURN (COUNT) UID 2",
        "UID SEARCH 1:2",
        "UID SEARCH OR SEEN NOT (ANSWERED 1)",
        "SORT (DATE) UTF-8 ALL",
        "UID SORT (DATE) UTF-8 1:*",
        "THREAD REFS UTF-8 ALL",
        "UID THREAD REFS UTF-8 *",
    ] {
        a.run(command).await.is("BAD [UIDREQUIRED]");
    }
    for command in [
        "UID FETCH 1:* (FLAGS)",
        "UID SEARCH RETURN (SAVE) UID 1:3",
        "UID SEARCH $",
        "UID FETCH $ (UID)",
        "UID SORT (DATE) UTF-8 UID 1:*",
        "UID THREAD REFS UTF-8 ALL",
        "UID COPY 2 Archive",
        "UID EXPUNGE 2",
        "EXPUNGE",
    ] {
        a.run(command).await.ok();
    }
    // Others go on with numbers, and it is off again for the next one who logs in.
    b.run("FETCH 1 (UID)").await.ok().has("1 FETCH (UID 2)");
    a.run("UNAUTHENTICATE").await.ok();
    a.run(format!("LOGIN {USER} {PASSWORD}")).await.ok();
    a.run("SELECT INBOX").await.ok();
    a.run("FETCH 1 (FLAGS)").await.ok().has("1 FETCH (FLAGS ())");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_uidonly_messages_have_no_numbers_in_answers() {
    let server = Server::start().await;
    let (mut a, mut b) = uid_only(&server, "").await;
    let size = MESSAGE.len();
    a.run("UID FETCH 3 (FLAGS)").await.ok().has("3 UIDFETCH (FLAGS ())");
    a.run("UID FETCH 3 (UID FLAGS RFC822.SIZE)")
        .await
        .ok()
        .has(&format!("3 UIDFETCH (UID 3 FLAGS () RFC822.SIZE {size})"));
    a.run("UID STORE 4 +FLAGS (\\Flagged)").await.ok().has("4 UIDFETCH (FLAGS (\\Flagged))");
    let answer = a.run("UID FETCH 2 (BODY[TEXT])").await.ok();
    assert_eq!(answer.untagged, ["2 UIDFETCH (BODY[TEXT] {13}\r\nhello world\r\n FLAGS (\\Seen))"]);
    b.run("UID STORE 3 +FLAGS (\\Answered)").await.ok();
    b.run("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await.ok();
    b.run("UID EXPUNGE 2").await.ok();
    let answer = a.run("NOOP").await.ok();
    assert_eq!(answer.untagged, ["VANISHED 2", "3 UIDFETCH (FLAGS (\\Answered))"]);
    a.run("NOTIFY SET (SELECTED (MessageNew (FLAGS) MessageExpunge))").await.ok();
    b.append("INBOX", MESSAGE).await.ok();
    assert_eq!(a.line().await, "* 3 EXISTS");
    assert_eq!(a.line().await, "* 5 UIDFETCH (FLAGS ())");
}

#[tokio::test(flavor = "multi_thread")]
async fn uidonly_goes_with_mod_sequences_and_resynchronising() {
    let server = Server::start().await;
    let (mut a, mut b) = uid_only(&server, " QRESYNC").await;
    let answer = a.run("SELECT INBOX").await.ok();
    let number = |start: &str| answer.find(start)[start.len()..].split(']').next().expect("a number").to_owned();
    let (validity, modseq) = (number("OK [UIDVALIDITY "), number("OK [HIGHESTMODSEQ "));
    let stored = a.run("UID STORE 3 +FLAGS.SILENT (\\Seen)").await.ok();
    assert!(stored.untagged[0].starts_with("3 UIDFETCH (MODSEQ ("), "{stored:?}");
    a.run("UNSELECT").await.ok();
    b.run("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await.ok();
    b.run("UID EXPUNGE 2").await.ok();
    a.run(format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:4 (1:3 2:4)))")).await.is("BAD [UIDREQUIRED]");
    let answer = a.run(format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:4))")).await.ok();
    let answer = answer.has("VANISHED (EARLIER) 2");
    assert!(answer.find("3 UIDFETCH").starts_with("3 UIDFETCH (FLAGS (\\Seen) MODSEQ ("), "{answer:?}");
    let answer = a.run("UID STORE 3 (UNCHANGEDSINCE 1) +FLAGS (\\Flagged)").await.is("OK [MODIFIED 3]");
    answer.lacks("3 FETCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_command_says_that_it_is_in_progress() {
    let server = Server::start_with(|options| options.progress_interval = Duration::ZERO).await;
    let mut c = server.login().await;
    for _ in 0..2 {
        c.append("INBOX", MESSAGE).await.ok();
    }
    c.run("CAPABILITY").await.ok().find("CAPABILITY").contains(" INPROGRESS").then_some(()).expect("offered");
    c.run("SELECT INBOX").await.ok();
    for command in [
        "SEARCH TEXT hello",
        "SORT (SUBJECT) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "STORE 1 +FLAGS (\\Seen)",
        "COPY 1:2 Archive",
        "MOVE 1 Trash",
        "EXPUNGE",
        "UID EXPUNGE 2",
    ] {
        let tag = c.start(command).await;
        let answer = c.finish(&tag).await.ok();
        assert!(answer.untagged[0].starts_with(&format!("OK [INPROGRESS (\"{tag}\" NIL NIL)] ")), "{answer:?}");
    }
    // What is quick says nothing, in the ordinary case.
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("SELECT INBOX").await.ok();
    c.run("SEARCH ALL").await.ok().lacks("OK [INPROGRESS");
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthenticate_leads_back_to_before_the_login() {
    let server = Server::start().await;
    let (mut c, _) = Client::connect(server.address).await;
    c.run("UNAUTHENTICATE").await.is("BAD ");
    c.run(format!("LOGIN {USER} {PASSWORD}")).await.ok();
    c.append("INBOX", MESSAGE).await.ok();
    c.run("ENABLE QRESYNC UTF8=ACCEPT").await.ok();
    c.run("SELECT INBOX").await.ok();
    c.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    c.run("NOTIFY SET (PERSONAL (MessageNew MessageExpunge))").await.ok();
    c.run("UNAUTHENTICATE now").await.is("BAD ");
    let answer = c.run("UNAUTHENTICATE").await.is("OK [CAPABILITY ");
    assert!(answer.code().contains("AUTH=PLAIN") && !answer.code().contains("IDLE"), "{answer:?}");
    for command in
        ["SELECT INBOX", "NOOP EXTRA", "FETCH 1 FLAGS", "ENABLE QRESYNC", "UNAUTHENTICATE", "STATUS INBOX (MESSAGES)"]
    {
        c.run(command).await.is("BAD ");
    }
    c.run("NOOP").await.ok();
    c.run(format!("LOGIN {USER} wrong")).await.is("NO [AUTHENTICATIONFAILED]");
    let answer = c.run(format!("LOGIN {USER} {PASSWORD}")).await.is("OK [CAPABILITY ");
    assert!(answer.code().contains(" UNAUTHENTICATE"), "{answer:?}");
    // Nothing was expunged, and nothing is enabled or told any more.
    c.run("SELECT INBOX").await.ok().has("1 EXISTS");
    c.run("FETCH 1 (FLAGS)").await.ok().has("1 FETCH (FLAGS (\\Deleted))");
    c.run("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)").await.is("BAD ENABLE QRESYNC");
    c.run("EXPUNGE").await.ok().has("1 EXPUNGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_before_login_hold_again_after_unauthenticate() {
    let server = Server::start().await;
    let mut c = server.login().await;
    let long = format!("ID (\"name\" \"{}\")", "x".repeat(900));
    c.run(&long).await.ok();
    c.run("UNAUTHENTICATE").await.ok();
    // The limits are those of a client that has not logged in.
    let too_long = format!("LOGIN {USER} {{60000}}");
    c.run(too_long).await.is("NO [TOOBIG]");
    c.run(format!("LOGIN {USER} {PASSWORD}")).await.ok();
}
