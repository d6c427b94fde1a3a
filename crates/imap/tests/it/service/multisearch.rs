//! MULTISEARCH (RFC 7377): ESEARCH over several mailboxes.

use crate::service::client::Client;
use crate::service::damaged::{damage, message};
use crate::service::server::{MESSAGE, Server};

/// What an ESEARCH told, as `mailbox: results`, with its tag and the UIDVALIDITY looked at.
async fn found(c: &mut Client, command: &str) -> Vec<String> {
    let tag = c.start(format!("ESEARCH {command}")).await;
    let answer = c.finish(&tag).await.is("OK ESEARCH completed");
    let mut found = Vec::new();
    for line in answer.untagged.iter().filter(|line| line.starts_with("ESEARCH ")) {
        let start = format!("ESEARCH (TAG \"{tag}\" MAILBOX \"");
        let rest = line.strip_prefix(&start).unwrap_or_else(|| panic!("{command}: {line}"));
        let (name, rest) = rest.split_once("\" UIDVALIDITY ").expect("a UIDVALIDITY");
        let (validity, results) = rest.split_once(')').expect("the end of the correlators");
        let status = c.run(format!("STATUS \"{name}\" (UIDVALIDITY)")).await.ok();
        status.has(&format!("STATUS \"{name}\" (UIDVALIDITY {validity})"));
        found.push(format!("{name}:{results}"));
    }
    found
}

/// Messages in INBOX, Archive, Lists/a, Lists/a/deep, Lists/b and Other; there is no mailbox Lists, and Trash is empty.
async fn filled(server: &Server) -> Client {
    let mut c = server.login().await;
    for name in ["Lists/a", "Lists/a/deep", "Lists/b", "Other"] {
        c.run(format!("CREATE {name}")).await.ok();
    }
    c.run("DELETE Lists").await;
    c.run("SUBSCRIBE Lists/b").await.ok();
    c.run("SUBSCRIBE Gone").await.ok();
    for (words, subject) in [
        ("INBOX (\\Seen)", "apple"),
        ("INBOX", "pear"),
        ("INBOX (\\Flagged)", "apple tree"),
        ("Archive", "apple"),
        ("Archive", "plum"),
        ("Lists/a", "pear"),
        ("Lists/a", "apple"),
        ("Lists/a/deep", "apple"),
        ("Lists/b (\\Seen)", "apple"),
        ("Other", "apple"),
    ] {
        c.append(words, format!("Subject: {subject}\r\n\r\nbody\r\n").as_bytes()).await.ok();
    }
    c
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_means_its_mailboxes_each_once_and_none_that_has_nothing() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    let all = "INBOX:1,3 Archive:1 Lists/a:2 Lists/a/deep:1 Lists/b:1 Other:1";
    for (sources, want) in [
        ("inboxes", "INBOX:1,3"),
        ("personal", all),
        ("subscribed", "INBOX:1,3 Archive:1 Lists/b:1"),
        ("mailboxes Archive", "Archive:1"),
        ("mailboxes inbox", "INBOX:1,3"),
        ("mailboxes (Other Archive Trash Nowhere \"a*\" &x- Archive/ Archive)", "Archive:1 Other:1"),
        ("mailboxes Trash", ""),
        ("mailboxes Nowhere", ""),
        ("mailboxes Lists", ""),
        ("subtree Lists", "Lists/a:2 Lists/a/deep:1 Lists/b:1"),
        ("subtree Lists/a", "Lists/a:2 Lists/a/deep:1"),
        ("subtree (Lists/a/deep Other Nowhere)", "Lists/a/deep:1 Other:1"),
        ("subtree \"\"", all),
        ("subtree List", ""),
        ("subtree-one Lists", "Lists/a:2 Lists/b:1"),
        ("subtree-one Lists/a", "Lists/a:2 Lists/a/deep:1"),
        ("subtree-one (Lists/b Other)", "Lists/b:1 Other:1"),
        ("subtree-one \"\"", "INBOX:1,3 Archive:1 Other:1"),
        ("subtree Lists mailboxes (INBOX Lists/a) subtree-one Lists inboxes", {
            "INBOX:1,3 Lists/a:2 Lists/a/deep:1 Lists/b:1"
        }),
        ("personal mailboxes Other subscribed", all),
    ] {
        let got = found(&mut c, &format!("IN ({sources}) SUBJECT apple")).await;
        let got: Vec<String> = got.iter().map(|line| line.replace(" UID ALL ", "")).collect();
        assert_eq!(got.join(" "), want, "{sources}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_return_options_are_told_for_each_mailbox() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    for (command, want) in [
        ("RETURN () ALL", ["INBOX: UID ALL 1:3", "Archive: UID ALL 1:2"]),
        ("RETURN (ALL) ALL", ["INBOX: UID ALL 1:3", "Archive: UID ALL 1:2"]),
        ("RETURN (COUNT) ALL", ["INBOX: UID COUNT 3", "Archive: UID COUNT 2"]),
        ("RETURN (MIN MAX) UNFLAGGED", ["INBOX: UID MIN 1 MAX 2", "Archive: UID MIN 1 MAX 2"]),
        ("RETURN (MIN MAX COUNT ALL) UNSEEN", {
            ["INBOX: UID MIN 2 MAX 3 ALL 2:3 COUNT 2", "Archive: UID MIN 1 MAX 2 ALL 1:2 COUNT 2"]
        }),
        ("RETURN (PARTIAL -1:-1 COUNT) ALL", {
            ["INBOX: UID PARTIAL (-1:-1 3) COUNT 3", "Archive: UID PARTIAL (-1:-1 2) COUNT 2"]
        }),
        ("RETURN (PARTIAL 3:9) ALL", ["INBOX: UID PARTIAL (3:9 3)", "Archive: UID PARTIAL (3:9 NIL)"]),
    ] {
        assert_eq!(found(&mut c, &format!("IN (mailboxes (INBOX Archive Trash)) {command}")).await, want, "{command}");
    }
    // Nothing found is nothing told, whatever was asked.
    for command in ["RETURN (COUNT) SUBJECT nothing", "RETURN (MIN MAX ALL) SUBJECT nothing", "SUBJECT nothing"] {
        assert_eq!(found(&mut c, &format!("IN (personal) {command}")).await, Vec::<String>::new(), "{command}");
    }
    let told = found(&mut c, "IN (mailboxes (INBOX Other)) RETURN (COUNT) MODSEQ 1").await;
    assert!(
        told.len() == 2 && told.iter().all(|line| line.contains(" COUNT ") && line.contains(" MODSEQ ")),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_selected_mailbox_is_searched_as_the_client_knows_it_and_stays_selected() {
    let server = Server::start().await;
    let (mut c, mut other) = (filled(&server).await, server.login().await);
    for command in ["ESEARCH ALL", "ESEARCH IN (selected) ALL", "ESEARCH IN (inboxes selected) ALL"] {
        c.run(command).await.is("BAD No mailbox selected");
    }
    c.run("SELECT Archive").await.ok();
    for command in ["SUBJECT apple", "IN (selected) SUBJECT apple", "IN (selected selected) RETURN (ALL) SUBJECT apple"]
    {
        assert_eq!(found(&mut c, command).await, ["Archive: UID ALL 1"], "{command}");
    }
    let both = ["INBOX: UID ALL 1,3", "Archive: UID ALL 1"];
    assert_eq!(found(&mut c, "IN (selected inboxes) SUBJECT apple").await, both);
    // What others did is told with the answer, and found.
    other.append("Archive", b"Subject: apple\r\n\r\n").await.ok();
    other.run("SELECT Archive").await.ok();
    other.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    other.run("EXPUNGE").await.ok();
    let answer = c.run("ESEARCH IN (personal) RETURN (COUNT) SUBJECT apple").await.ok();
    answer.has("1 EXPUNGE").has("2 EXISTS");
    let both = ["INBOX: UID ALL 1,3", "Archive: UID ALL 3"];
    assert_eq!(found(&mut c, "IN (inboxes selected) SUBJECT apple").await, both);
    assert_eq!(c.run("FETCH 1:* UID").await.ok().untagged, ["1 FETCH (UID 2)", "2 FETCH (UID 3)"]);
    // No flag is set by it, and nothing is selected by it.
    c.run("UNSELECT").await.ok();
    assert_eq!(found(&mut c, "IN (inboxes) BODY body UNSEEN").await, ["INBOX: UID ALL 2:3"]);
    c.run("FETCH 1 UID").await.is("BAD No mailbox selected");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_saved_where_the_selected_mailbox_alone_is_searched() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    c.run("SELECT INBOX").await.ok();
    assert_eq!(found(&mut c, "RETURN (SAVE) SUBJECT apple").await, Vec::<String>::new());
    assert_eq!(c.run("UID FETCH $ UID").await.ok().untagged, ["1 FETCH (UID 1)", "3 FETCH (UID 3)"]);
    assert_eq!(found(&mut c, "IN (selected) RETURN (SAVE COUNT) FLAGGED").await, ["INBOX: UID COUNT 1"]);
    assert_eq!(found(&mut c, "$").await, ["INBOX: UID ALL 3"]);
    // Only in the selected mailbox `$` has messages.
    assert_eq!(found(&mut c, "IN (inboxes mailboxes Archive) $").await, ["INBOX: UID ALL 3"]);
    assert_eq!(found(&mut c, "IN (inboxes mailboxes Other) NOT $").await, ["INBOX: UID ALL 1:2", "Other: UID ALL 1"]);
    c.run("ESEARCH IN (inboxes) RETURN (SAVE) ALL").await.is("BAD ");
    c.run("ESEARCH IN (selected) RETURN (SAVE) CHARSET KOI8-R ALL").await.is("NO [BADCHARSET");
    assert_eq!(c.run("UID FETCH $ UID").await.ok().untagged, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_recent_mean_in_each_mailbox_what_they_would_if_it_were_selected() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    for (key, want) in [
        ("*", ["INBOX: UID ALL 3", "Archive: UID ALL 2"]),
        ("2:*", ["INBOX: UID ALL 2:3", "Archive: UID ALL 2"]),
        ("UID *", ["INBOX: UID ALL 3", "Archive: UID ALL 2"]),
        ("UID 2:9", ["INBOX: UID ALL 2:3", "Archive: UID ALL 2"]),
        ("RECENT", ["INBOX: UID ALL 1:3", "Archive: UID ALL 1:2"]),
        ("NOT 1", ["INBOX: UID ALL 2:3", "Archive: UID ALL 2"]),
    ] {
        assert_eq!(found(&mut c, &format!("IN (mailboxes (INBOX Archive)) {key}")).await, want, "{key}");
    }
    assert_eq!(found(&mut c, "IN (personal) UID 3").await, ["INBOX: UID ALL 3"]);
    c.run("ENABLE UIDONLY").await.ok();
    c.run("ESEARCH IN (personal) NOT 1:2").await.is("BAD [UIDREQUIRED]");
    assert_eq!(found(&mut c, "IN (personal) UID 3").await, ["INBOX: UID ALL 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn charsets_and_names_are_as_in_other_commands() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("CREATE &AOk-t&AOk-").await.ok();
    c.append("&AOk-t&AOk-", "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\n".as_bytes()).await.ok();
    let want = ["&AOk-t&AOk-: UID ALL 1"];
    assert_eq!(found(&mut c, "IN (mailboxes &AOk-t&AOk-) ALL").await, want);
    assert_eq!(found(&mut c, "IN (personal) CHARSET UTF-8 SUBJECT {7+}\r\ngr\u{fc}\u{df}e").await, want);
    assert_eq!(found(&mut c, "IN (subtree {6+}\r\n\u{e9}t\u{e9}X) ALL").await, Vec::<String>::new());
    let refused = "NO [BADCHARSET (US-ASCII UTF-8)]";
    c.run("ESEARCH IN (personal) CHARSET KOI8-R TEXT x").await.is(refused);
    c.run("ESEARCH IN (personal) RETURN (COUNT) CHARSET X {3+}\r\n\u{ff}y").await.is(refused);
    c.run("ENABLE UTF8=ACCEPT").await.ok();
    assert_eq!(found(&mut c, "IN (mailboxes \"\u{e9}t\u{e9}\") ALL").await, ["\u{e9}t\u{e9}: UID ALL 1"]);
    c.run("ESEARCH IN (personal) CHARSET UTF-8 ALL").await.is("BAD CHARSET not allowed: UTF8=ACCEPT");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_logged_in_searches_nothing() {
    let server = Server::start().await;
    let (mut c, _) = Client::connect(server.address).await;
    c.run("ESEARCH IN (personal) ALL").await.is("BAD Log in first");
    let mut c = server.login().await;
    assert!(c.run("CAPABILITY").await.ok().find("CAPABILITY").contains(" MULTISEARCH"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_hides_no_other_and_no_other_mailbox() {
    let server = Server::start().await;
    let mut c = server.login().await;
    for (number, mailbox) in ["INBOX", "INBOX", "Archive", "Archive", "Sent"].into_iter().enumerate() {
        c.append(mailbox, &message(number as u32, 2_000)).await.ok();
    }
    damage(server.dir(), &message(1, 2_000), 100);
    damage(server.dir(), &message(2, 2_000), 100);
    let answer = c.run("ESEARCH IN (personal) NOT BODY zzz").await.is("OK [CORRUPTION] ");
    assert!(answer.tagged.ends_with("Skipped damaged messages: UID 2 in INBOX, UID 1 in Archive"), "{}", answer.tagged);
    for (line, (mailbox, uid)) in answer.untagged.iter().zip([("INBOX", 1), ("Archive", 2), ("Sent", 1)]) {
        let fits = line.contains(&format!(" MAILBOX \"{mailbox}\" ")) && line.ends_with(&format!(") UID ALL {uid}"));
        assert!(fits, "{mailbox} {uid}: {answer:?}");
    }
    assert_eq!(answer.untagged.len(), 3, "{answer:?}");
    c.run("ESEARCH IN (mailboxes Sent) NOT BODY zzz").await.is("OK ESEARCH completed");
    // Where the bytes are not needed, nothing is left out.
    c.run("ESEARCH IN (personal) SUBJECT number").await.is("OK ESEARCH completed");
    c.run("SELECT INBOX").await.ok();
    let answer = c.run("ESEARCH NOT BODY zzz").await.is("OK [CORRUPTION] ");
    assert!(answer.tagged.ends_with("UID 2"), "{}", answer.tagged);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_mailboxes_are_searched_and_who_waits_is_told() {
    let server = Server::start_with(|options| options.progress_interval = std::time::Duration::ZERO).await;
    let mut c = server.login().await;
    for number in 0..120 {
        c.run(format!("CREATE Many/{number:03}")).await.ok();
        c.append(&format!("Many/{number:03}"), MESSAGE).await.ok();
    }
    let names: Vec<String> = (0..120).map(|number| format!("Many/{number:03}")).collect();
    for sources in ["personal".to_owned(), "subtree Many".to_owned(), format!("mailboxes ({})", names.join(" "))] {
        let tag = c.start(format!("ESEARCH IN ({sources}) RETURN (COUNT) TEXT world")).await;
        let answer = c.finish(&tag).await.ok();
        answer.find(&format!("OK [INPROGRESS (\"{tag}\" NIL NIL)]"));
        let count = answer.untagged.iter().filter(|line| line.ends_with(") UID COUNT 1")).count();
        assert_eq!(count, 120, "{sources}");
    }
}
