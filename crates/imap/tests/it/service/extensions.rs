//! UIDONLY, INPROGRESS, UNAUTHENTICATE, SAVEDATE, REPLACE, and how they go with what else a client has enabled.

use std::time::Duration;

use crate::service::client::Client;
use crate::service::server::{MESSAGE, PASSWORD, Server, USER};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_save_date_is_when_a_message_came_into_its_mailbox() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.append("INBOX \"17-Jul-1996 02:44:25 +0000\"", MESSAGE).await.ok();
    c.append("INBOX", MESSAGE).await.ok();
    c.run("SELECT INBOX").await.ok();
    let now = jiff::Timestamp::now();
    let date = |time: jiff::Timestamp| time.strftime("%-d-%b-%Y").to_string();
    // Midnight may pass while this runs.
    let (before, after) =
        (date(now - jiff::SignedDuration::from_hours(24)), date(now + jiff::SignedDuration::from_hours(48)));
    let answer = c.run("FETCH 1 (INTERNALDATE SAVEDATE)").await.ok();
    let line = answer.find("1 FETCH");
    assert!(
        line.starts_with("1 FETCH (INTERNALDATE \"17-Jul-1996 02:44:25 +0000\" SAVEDATE \"")
            && !line.ends_with("1996 02:44:25 +0000\")"),
        "{line}"
    );
    for (key, numbers) in [
        (format!("SAVEDSINCE {before}"), "SEARCH 1 2"),
        (format!("SAVEDBEFORE {before}"), "SEARCH"),
        (format!("SAVEDBEFORE {after} SAVEDSINCE {before}"), "SEARCH 1 2"),
        (format!("SAVEDSINCE {after}"), "SEARCH"),
        ("SAVEDON 17-Jul-1996".to_owned(), "SEARCH"),
        ("ON 17-Jul-1996".to_owned(), "SEARCH 1"),
        ("SAVEDATESUPPORTED".to_owned(), "SEARCH 1 2"),
        (format!("NOT SAVEDSINCE {before}"), "SEARCH"),
        (format!("OR SAVEDON 1-Jan-1990 SAVEDBEFORE \"{after}\""), "SEARCH 1 2"),
    ] {
        let answer = c.run(format!("SEARCH {key}")).await.ok();
        assert_eq!(answer.untagged, [numbers], "{key}");
    }
    for wrong in ["SAVEDON", "SAVEDON yesterday", "SAVEDBEFORE 32-Jan-2020", "SAVEDSINCE"] {
        c.run(format!("SEARCH {wrong}")).await.is("BAD ");
    }
    // A copy has a save date of its own, and keeps the internal date; changing flags does not change it.
    let saved = |line: &str| line.split_once("SAVEDATE ").expect("a save date").1.to_owned();
    let first = saved(line);
    c.run("STORE 1 +FLAGS.SILENT (\\Seen)").await.ok();
    assert_eq!(saved(c.run("FETCH 1 (SAVEDATE)").await.ok().find("1 FETCH")), first);
    c.run("COPY 1 Archive").await.ok();
    c.run("SELECT Archive").await.ok();
    c.run(format!("SEARCH ON 17-Jul-1996 SAVEDSINCE {before}")).await.ok().has("SEARCH 1");
}

/// REPLACE with a literal that is not waited for.
async fn replace(c: &mut Client, words: &str, message: &[u8]) -> crate::service::client::Answer {
    let command = [format!("{words} {{{}+}}\r\n", message.len()).as_bytes(), message].concat();
    c.run(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_replaced_in_one_step() {
    const OTHER: &[u8] = b"Subject: second draft\r\n\r\nbetter\r\n";
    let server = Server::start().await;
    let (mut c, mut b) = (server.login().await, server.login().await);
    for _ in 0..3 {
        c.append("Drafts (\\Draft)", MESSAGE).await.ok();
    }
    c.run("SELECT Drafts").await.ok();
    b.run("SELECT Drafts").await.ok();
    let answer = replace(&mut c, "REPLACE 2 Drafts (\\Seen \\Draft) \"17-Jul-1996 02:44:25 +0000\"", OTHER)
        .await
        .is("OK REPLACE");
    assert!(answer.untagged[0].starts_with("OK [APPENDUID ") && answer.untagged[0].contains(" 4] "), "{answer:?}");
    assert_eq!(answer.untagged[1..], ["2 EXPUNGE", "3 EXISTS"]);
    c.run("FETCH 3 (UID FLAGS INTERNALDATE BODY.PEEK[])").await.ok().has(&format!(
        "3 FETCH (UID 4 FLAGS (\\Seen \\Draft) INTERNALDATE \"17-Jul-1996 02:44:25 +0000\" BODY[] {{{}}}\r\n{})",
        OTHER.len(),
        String::from_utf8_lossy(OTHER)
    ));
    assert_eq!(b.run("NOOP").await.ok().untagged, ["2 EXPUNGE", "3 EXISTS"]);
    // Into another mailbox, by UID, the last one, and with a literal that waits.
    replace(&mut c, "UID REPLACE 4 Sent", OTHER).await.ok().has("3 EXPUNGE");
    replace(&mut c, "REPLACE * Drafts", OTHER).await.ok().has("2 EXPUNGE").has("2 EXISTS");
    let tag = c.start(format!("UID REPLACE 1 Drafts {{{}}}", OTHER.len())).await;
    assert_eq!(c.line().await, "+ OK");
    c.send([OTHER, b"\r\n"].concat()).await;
    c.finish(&tag).await.ok().has("1 EXPUNGE");
    c.run("STATUS Sent (MESSAGES)").await.ok().has("STATUS \"Sent\" (MESSAGES 1)");
    c.run("UID SEARCH ALL").await.ok().has("SEARCH 5 6");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_refused_changes_nothing() {
    let server = Server::start().await;
    let (mut c, mut b) = (server.login().await, server.login().await);
    replace(&mut c, "REPLACE 1 Drafts", MESSAGE).await.is("BAD ");
    for _ in 0..2 {
        c.append("Drafts", MESSAGE).await.ok();
    }
    c.run("SELECT Drafts").await.ok();
    for (words, code) in [
        ("REPLACE 3 Drafts", "BAD "),
        ("REPLACE 0 Drafts", "BAD "),
        ("REPLACE 1:2 Drafts", "BAD "),
        ("REPLACE $ Drafts", "BAD "),
        ("REPLACE Drafts", "BAD "),
        ("UID REPLACE Drafts", "BAD "),
        ("REPLACE 1 Drafts (\\Recent)", "BAD "),
        ("UID REPLACE 99 Drafts", "NO [NONEXISTENT]"),
        ("REPLACE 1 nowhere", "NO [TRYCREATE]"),
        ("UID REPLACE 1 nowhere", "NO [TRYCREATE]"),
    ] {
        replace(&mut c, words, MESSAGE).await.is(code).lacks("1 EXPUNGE");
    }
    c.run("REPLACE 1 Drafts").await.is("BAD ");
    replace(&mut c, "REPLACE 1 Drafts", b"with\0nul").await.is("NO [CANNOT]").lacks("1 EXPUNGE");
    let two = "REPLACE 1 Drafts {2+}\r\nx\n {2+}\r\ny\n".to_string();
    c.run(two).await.is("BAD ");
    c.run("NOOP").await.ok();
    c.run("EXAMINE Drafts").await.ok().has("2 EXISTS");
    replace(&mut c, "REPLACE 1 Drafts", MESSAGE).await.is("NO [NOPERM]");
    // One that another took away meanwhile is not there to be replaced, and nothing comes.
    c.run("SELECT Drafts").await.ok();
    b.run("SELECT Drafts").await.ok();
    b.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    b.run("EXPUNGE").await.ok();
    replace(&mut c, "REPLACE 1 Drafts", MESSAGE).await.is("NO [EXPUNGEISSUED]").has("1 EXPUNGE").lacks("2 EXISTS");
    c.run("ENABLE UIDONLY QRESYNC").await.ok();
    replace(&mut c, "REPLACE 1 Drafts", MESSAGE).await.is("BAD [UIDREQUIRED]");
    let answer = replace(&mut c, "UID REPLACE 2 Drafts", MESSAGE).await.is("OK [HIGHESTMODSEQ ");
    answer.has("VANISHED 2").has("1 EXISTS").lacks("1 EXPUNGE");
}

const ONE: &[u8] = b"From: foo@example.com\r\n\r\nHello world body\r\n";
const TWO: &[u8] =
    b"Content-Type: multipart/mixed; boundary=b\r\nSubject: two\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
first\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\nsecond\r\n--b--\r\n";

/// A mailbox with two messages, selected, and its UIDVALIDITY.
async fn parts(server: &Server) -> (Client, String) {
    let mut c = server.login().await;
    c.run("CREATE \"a b\"").await.ok();
    c.append("\"a b\"", ONE).await.ok();
    c.append("\"a b\"", TWO).await.ok();
    let answer = c.run("SELECT \"a b\"").await.ok();
    let validity = answer.find("OK [UIDVALIDITY ")["OK [UIDVALIDITY ".len()..].split(']').next().expect("a number");
    (c, validity.to_owned())
}

/// The messages of a mailbox, in their order.
async fn texts(server: &Server, mailbox: &str) -> Vec<String> {
    let mut c = server.login().await;
    c.run(format!("EXAMINE {mailbox}")).await.ok();
    let answer = c.run("UID FETCH 1:* (BODY.PEEK[])").await.ok();
    let body = |line: &String| line.split_once("}\r\n").expect("a literal").1.trim_end_matches(')').to_owned();
    answer.untagged.iter().filter(|line| line.contains(" FETCH ")).map(body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_put_together_from_texts_and_parts_of_others() {
    let server = Server::start().await;
    let (mut c, validity) = parts(&server).await;
    let (one, two) = (String::from_utf8_lossy(ONE).into_owned(), String::from_utf8_lossy(TWO).into_owned());
    let text = |text: &str| format!("TEXT {{{}+}}\r\n{text}", text.len());
    let mut expected = Vec::new();
    for (parts, message) in [
        (text("A: b\r\n\r\nall of it\r\n"), "A: b\r\n\r\nall of it\r\n".to_owned()),
        ("URL \"/a%20b/;uid=1\"".to_owned(), one.clone()),
        ("URL \"/a%20b/;UID=2\"".to_owned(), two.clone()),
        ("url ;uid=1 URL /;uid=2/;section=2".to_owned(), format!("{one}second")),
        (
            format!("URL \"/a%20b;UIDVALIDITY={validity}/;uid=1/;section=HEADER\" {}", text("new\r\n")),
            "From: foo@example.com\r\n\r\nnew\r\n".to_owned(),
        ),
        (
            format!("{} URL \"/a%20b/;uid=1/;section=TEXT\" {}", text("B: c\r\n\r\n"), text("end\r\n")),
            "B: c\r\n\r\nHello world body\r\nend\r\n".to_owned(),
        ),
        (
            "URL \"/a%20b/;uid=2/;section=HEADER.FIELDS%20(SUBJECT)\" URL \"/a%20b/;uid=2/;section=1\"".to_owned(),
            "Subject: two\r\n\r\nfirst".to_owned(),
        ),
        (
            "URL \"/a%20b/;uid=1/;section=TEXT/;partial=6.5\" URL \"/a%20b/;uid=1/;partial=100000.1\"".to_owned(),
            "world".to_owned(),
        ),
        ("URL {14+}\r\n/a%20b/;uid=01 TEXT {2}\r\n\r\n".replace("{2}", "{2+}"), format!("{one}\r\n")),
        ("TEXT ~{4+}\r\na\0\r\n".to_owned(), "a\0\r\n".to_owned()),
    ] {
        let answer = c.run(format!("APPEND Archive (\\Seen) CATENATE ({parts})")).await;
        assert!(answer.tagged.starts_with("OK [APPENDUID "), "{parts}: {answer:?}");
        expected.push(message);
    }
    // Literals that wait, one after the other.
    let tag = c.start("APPEND Archive CATENATE (TEXT {6}").await;
    assert_eq!(c.line().await, "+ OK");
    c.send("C: d\r\n URL \"/a%20b/;uid=1/;section=TEXT\" TEXT {5}\r\n").await;
    assert_eq!(c.line().await, "+ OK");
    c.send("end\r\n)\r\n").await;
    c.finish(&tag).await.is("OK [APPENDUID ");
    expected.push("C: d\r\nHello world body\r\nend\r\n".to_owned());
    // Several at once, also with one that comes whole.
    let several = "APPEND Archive CATENATE (URL ;uid=1) (\\Answered) CATENATE (URL ;uid=2) (\\Flagged) {4+}\r\nx\r\n.";
    assert!(c.run(several).await.ok().code().ends_with(" 12:14"));
    expected.extend([one.clone(), two, "x\r\n.".to_owned()]);
    assert_eq!(texts(&server, "Archive").await, expected);
    // In place of another, and in the selected mailbox, which hears of it.
    c.run("UID REPLACE 1 \"a b\" CATENATE (URL ;uid=1/;section=HEADER TEXT {3+}\r\nx\r\n)").await.ok().has("1 EXPUNGE");
    assert_eq!(texts(&server, "\"a b\"").await[1], "From: foo@example.com\r\n\r\nx\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_put_together_leaves_nothing() {
    let server = Server::start_with(|options| {
        options.max_message_bytes = 2_000;
        options.max_catenate_text_bytes = 1_000;
        options.max_command_bytes = 1_000;
    })
    .await;
    let (mut c, _) = parts(&server).await;
    let good = "URL \"/a%20b/;uid=1\"";
    for bad in [
        "URL \"/a%20b/;uid=9\"",
        "URL \"/a%20b;uidvalidity=12345/;uid=1\"",
        "URL \"/nowhere/;uid=1\"",
        "URL \"/a%20b/;uid=1/;section=7.7\"",
        "URL \"/a%20b/;uid=1/;section=NONE\"",
        "URL \"imap://other.example/INBOX/;uid=1\"",
        "URL \"http://example.org/\"",
        "URL \"/a%20b/;uid=1;urlauth=anonymous:internal:00\"",
        "URL \"\"",
    ] {
        for parts in [bad.to_owned(), format!("{good} {bad}"), format!("{bad} TEXT {{2+}}\r\nx\n {good}")] {
            c.run(format!("APPEND Archive CATENATE ({parts})")).await.is("NO [BADURL ");
            c.run(format!("APPEND Archive CATENATE ({good}) CATENATE ({parts})")).await.is("NO [BADURL ");
        }
    }
    for (command, code) in [
        (format!("APPEND nowhere CATENATE ({good})"), "NO [TRYCREATE]"),
        (format!("APPEND nowhere CATENATE (TEXT {{2+}}\r\nx\n {good})"), "NO [TRYCREATE]"),
        (format!("APPEND Archive (\\Recent) CATENATE ({good})"), "BAD "),
        ("APPEND Archive CATENATE ()".to_owned(), "BAD "),
        ("APPEND Archive CATENATE".to_owned(), "BAD "),
        (format!("APPEND Archive CATENATE ({good}"), "BAD "),
        (format!("APPEND Archive CATENATE ({good} TEXT x)"), "BAD "),
        (format!("APPEND Archive CATENATE ({good} OTHER {{2+}}\r\nx\n)"), "BAD "),
        (format!("APPEND Archive CATENATE ({good}) more"), "BAD "),
        ("APPEND Archive CATENATE (TEXT {3+}\r\na\0\n)".to_owned(), "BAD "),
        (format!("APPEND Archive CATENATE ({})", ["URL ;uid=2"; 15].join(" ")), "NO [TOOBIG]"),
        (format!("REPLACE 1 Archive CATENATE ({good}) CATENATE ({good})"), "BAD "),
        (format!("REPLACE 7 Archive CATENATE ({good})"), "BAD "),
        (format!("UID REPLACE 7 Archive CATENATE ({good})"), "NO [NONEXISTENT]"),
    ] {
        c.run(command.clone()).await.is(code);
    }
    // More text than a command may bring is refused before it comes.
    c.run("APPEND Archive CATENATE (TEXT {5000}").await.is("NO [TOOBIG]");
    let tag = c.start("APPEND Archive CATENATE (TEXT {1500}").await;
    assert_eq!(c.line().await, "+ OK");
    c.send([vec![b'x'; 1_500].as_slice(), b")\r\n"].concat()).await;
    c.finish(&tag).await.ok();
    // Another command has no more than before.
    c.run("LIST \"\" {1500}").await.is("NO [TOOBIG]");
    c.run("STATUS Archive (MESSAGES)").await.ok().has("STATUS \"Archive\" (MESSAGES 1)");
    c.run("STATUS \"a b\" (MESSAGES)").await.ok().has("STATUS \"a b\" (MESSAGES 2)");
}
