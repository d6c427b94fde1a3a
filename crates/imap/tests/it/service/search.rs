//! SEARCH in its forms.

use crate::service::client::Client;
use crate::service::server::{MESSAGE, Server};

async fn filled(server: &Server) -> Client {
    let mut c = server.login().await;
    c.append("INBOX (\\Seen) \"01-Feb-2020 12:00:00 +0000\"", MESSAGE).await.ok();
    let other = "From: J\u{f6}rg <joerg@example.org>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\nein Gru\u{df}\r\n";
    c.append("INBOX ($Work) \"03-Feb-2020 12:00:00 +0000\"", other.as_bytes()).await.ok();
    c.append("INBOX (\\Flagged)", b"Subject: third\r\n\r\nbody\r\n").await.ok();
    c.run("SELECT INBOX").await.ok();
    c
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_find_what_they_name() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    for (key, found) in [
        ("ALL", "1 2 3"),
        ("SEEN", "1"),
        ("UNSEEN", "2 3"),
        ("KEYWORD $work", "2"),
        ("FLAGGED", "3"),
        ("NOT FLAGGED", "1 2"),
        ("OR SEEN FLAGGED", "1 3"),
        ("2:*", "2 3"),
        ("UID 2", "2"),
        ("7:9", ""),
        ("BEFORE 3-Feb-2020", "1"),
        ("ON 3-Feb-2020", "2"),
        ("SINCE 2-Feb-2020", "2 3"),
        ("YOUNGER 3600", "3"),
        ("OLDER 3600", "1 2"),
        ("SUBJECT third", "3"),
        ("SUBJECT {7+}\r\ngr\u{fc}\u{df}e", "2"),
        ("FROM joerg", "2"),
        ("BODY gru\u{df}", "2"),
        ("TEXT nowhere-to-be-found", ""),
        ("LARGER 1000000", ""),
        ("RECENT", "1 2 3"),
        ("NEW SUBJECT third", "3"),
        ("OLD", ""),
        ("HEADER Subject third", "3"),
    ] {
        let answer = c.run(format!("SEARCH {key}")).await.ok();
        let want = if found.is_empty() { "SEARCH".to_owned() } else { format!("SEARCH {found}") };
        assert_eq!(answer.untagged, [want], "{key}");
    }
    c.run("SEARCH CHARSET KOI8-R TEXT x").await.is("NO [BADCHARSET (US-ASCII UTF-8)]");
}

#[tokio::test(flavor = "multi_thread")]
async fn esearch_tells_what_was_asked_for() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    let mut esearch = async |line: &str| {
        let tag = c.start(line).await;
        let answer = c.finish(&tag).await.ok();
        answer.untagged.join("|").replace(&format!("(TAG \"{tag}\")"), "(T)")
    };
    assert_eq!(esearch("SEARCH RETURN (MIN MAX COUNT) ALL").await, "ESEARCH (T) MIN 1 MAX 3 COUNT 3");
    assert_eq!(esearch("UID SEARCH RETURN () UNSEEN").await, "ESEARCH (T) UID ALL 2:3");
    assert_eq!(esearch("SEARCH RETURN (COUNT) LARGER 1000000").await, "ESEARCH (T) COUNT 0");
    assert_eq!(esearch("SEARCH RETURN (ALL) LARGER 1000000").await, "ESEARCH (T)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_result_can_be_used_in_place_of_a_set() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    assert_eq!(c.run("SEARCH RETURN (SAVE) UNSEEN").await.ok().untagged, Vec::<String>::new());
    assert_eq!(c.run("FETCH $ UID").await.ok().untagged, ["2 FETCH (UID 2)", "3 FETCH (UID 3)"]);
    assert_eq!(c.run("SEARCH $ FLAGGED").await.ok().untagged, ["SEARCH 3"]);
    c.run("UID STORE $ +FLAGS.SILENT (\\Deleted)").await.ok();
    c.run("EXPUNGE").await.ok();
    assert_eq!(c.run("FETCH $ UID").await.ok().untagged, Vec::<String>::new());
    c.run("SEARCH RETURN (SAVE MIN) ALL").await.ok();
    assert_eq!(c.run("UID FETCH $ UID").await.ok().untagged, ["1 FETCH (UID 1)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_names_no_charset_once_utf8_is_accepted_and_no_part_beside_all() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("SELECT INBOX").await.ok();
    for command in
        ["SEARCH CHARSET UTF-8 ALL", "UID SEARCH CHARSET US-ASCII ALL", "SEARCH RETURN (COUNT) CHARSET UTF-8 ALL"]
    {
        c.run(command).await.ok();
    }
    for options in ["PARTIAL 1:2 ALL", "ALL PARTIAL 1:2", "MIN ALL PARTIAL -1:-2 COUNT"] {
        for command in ["SEARCH", "UID SEARCH"] {
            c.run(format!("{command} RETURN ({options}) ALL")).await.is("BAD ");
        }
        c.run(format!("SORT RETURN ({options}) (DATE) UTF-8 ALL")).await.is("BAD ");
    }
    c.run("SEARCH RETURN (PARTIAL 1:2 MIN COUNT SAVE) ALL").await.ok();
    // Where the charset is a part of the command it stays.
    c.run("ENABLE UTF8=ACCEPT").await.ok();
    for command in ["SEARCH CHARSET UTF-8 ALL", "UID SEARCH CHARSET UTF-8 ALL", "SEARCH CHARSET KOI8-R ALL"] {
        c.run(command).await.is("BAD ");
    }
    for command in ["SEARCH ALL", "SORT (DATE) UTF-8 ALL", "THREAD REFS UTF-8 ALL"] {
        c.run(command).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fuzzy_searches_find_more_and_say_how_well_it_matches() {
    let server = Server::start().await;
    let mut c = server.login().await;
    assert!(c.run("CAPABILITY").await.ok().untagged[0].contains(" SEARCH=FUZZY"));
    for (subject, text) in [
        ("Running late", "I was running along the river before we went to work in the morning."),
        ("A letter", "The children run to their school, and we have seen them from the window."),
        ("Das Cafe", "nothing here"),
        ("Das Caf\u{e9}", "running"),
    ] {
        let raw = format!("Subject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n");
        c.append("INBOX", raw.as_bytes()).await.ok();
    }
    c.run("SELECT INBOX").await.ok();
    for (key, found) in [
        ("TEXT running", "1 4"),
        ("FUZZY TEXT running", "1 2 4"),
        ("FUZZY FUZZY TEXT running", "1 2 4"),
        ("NOT FUZZY TEXT running", "3"),
        ("FUZZY NOT TEXT running", "3"),
        ("FUZZY (TEXT running SUBJECT letter)", "2"),
        ("FUZZY TEXT running SUBJECT running", "1"),
        ("OR FUZZY SUBJECT cafe BODY children", "2 3 4"),
        ("SUBJECT cafe", "3"),
        ("FUZZY ALL", "1 2 3 4"),
        ("FUZZY UID 2:3", "2 3"),
    ] {
        assert_eq!(c.run(format!("SEARCH {key}")).await.ok().untagged, [format!("SEARCH {found}")], "{key}");
    }
    for (line, told) in [
        ("SEARCH RETURN (RELEVANCY ALL) FUZZY TEXT running", "ALL 1:2,4 RELEVANCY (100 50 100)"),
        ("SEARCH RETURN (ALL RELEVANCY COUNT MIN) FUZZY SUBJECT cafe", "MIN 3 ALL 3:4 RELEVANCY (100 50) COUNT 2"),
        ("UID SEARCH RETURN (PARTIAL 2:3 RELEVANCY) FUZZY TEXT running", "UID PARTIAL (2:3 2,4) RELEVANCY (50 100)"),
        ("SEARCH RETURN (COUNT) FUZZY TEXT running", "COUNT 3"),
        ("SORT RETURN (ALL RELEVANCY) (RELEVANCY) UTF-8 FUZZY TEXT running", "ALL 1,4,2 RELEVANCY (100 100 50)"),
    ] {
        let tag = c.start(line).await;
        assert_eq!(c.finish(&tag).await.ok().untagged, [format!("ESEARCH (TAG \"{tag}\") {told}")], "{line}");
    }
    for (line, sorted) in [
        ("SORT (RELEVANCY) UTF-8 FUZZY TEXT running", "SORT 1 4 2"),
        ("SORT (REVERSE RELEVANCY) UTF-8 FUZZY TEXT running", "SORT 2 1 4"),
        ("SORT (RELEVANCY REVERSE ARRIVAL) UTF-8 FUZZY SUBJECT cafe", "SORT 3 4"),
    ] {
        assert_eq!(c.run(line).await.ok().untagged, [sorted], "{line}");
    }
    // RFC 6203 sections 4 and 6: without FUZZY there are no scores, neither to tell nor to sort by.
    for line in [
        "SEARCH RETURN (RELEVANCY) TEXT running",
        "UID SEARCH RETURN (COUNT RELEVANCY) ALL",
        "SEARCH RETURN (RELEVANCY) CHARSET UTF-8 SUBJECT cafe",
        "SORT (RELEVANCY) UTF-8 TEXT running",
        "UID SORT (REVERSE RELEVANCY) UTF-8 ALL",
        "SORT (ARRIVAL RELEVANCY) US-ASCII TEXT running",
        "SORT RETURN (COUNT) (RELEVANCY) UTF-8 TEXT running",
        "SORT RETURN (ALL RELEVANCY) (ARRIVAL) UTF-8 TEXT running",
        "ESEARCH IN (mailboxes INBOX) RETURN (RELEVANCY) TEXT running",
    ] {
        c.run(line).await.is("BAD Syntax error: expected a search with FUZZY");
        c.run("NOOP").await.ok();
    }
    c.run("SEARCH FUZZY").await.is("BAD");
}
