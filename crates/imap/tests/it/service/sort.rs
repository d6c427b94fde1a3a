//! SORT, THREAD and PARTIAL.

use crate::service::client::Client;
use crate::service::server::Server;

/// A message with that header, and a body of so many bytes.
fn message(header: &str, body: usize) -> Vec<u8> {
    format!("{}\r\n\r\n{}", header.replace('|', "\r\n"), "x".repeat(body)).into_bytes()
}

async fn filled(server: &Server) -> Client {
    let mut c = server.login().await;
    for (header, body, date) in [
        (
            "From: Zoe <a@x.org>|Subject: Re: plans|Message-ID: <2@x>|References: <1@x>",
            30,
            "03-Jan-2026 10:00:00 +0000",
        ),
        (
            "From: b@x.org|Subject: plans|Message-ID: <1@x>|Date: Thu, 1 Jan 2026 10:00:00 +0000",
            10,
            "04-Jan-2026 10:00:00 +0000",
        ),
        ("From: =?utf-8?q?=C3=84nne?= <c@x.org>|Subject: apples|Message-ID: <3@x>", 20, "01-Jan-2026 10:00:00 +0000"),
        (
            "From: Bob <a@x.org>|Subject: [x] Fwd: plans|Message-ID: <4@x>|In-Reply-To: <2@x>",
            20,
            "02-Jan-2026 10:00:00 +0000",
        ),
    ] {
        c.append(&format!("INBOX \"{date}\""), &message(header, body)).await.ok();
    }
    c.run("SELECT INBOX").await.ok();
    c
}

#[tokio::test(flavor = "multi_thread")]
async fn sort_puts_what_it_finds_in_the_order_asked_for() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    c.run("STORE 2 +FLAGS (\\Seen)").await.ok();
    for (line, want) in [
        ("SORT (ARRIVAL) US-ASCII ALL", "SORT 3 4 1 2"),
        ("SORT (REVERSE ARRIVAL) UTF-8 ALL", "SORT 2 1 4 3"),
        ("SORT (DATE) UTF-8 UNSEEN", "SORT 3 4 1"),
        ("SORT (DATE) UTF-8 ALL", "SORT 2 3 4 1"),
        ("SORT (SUBJECT REVERSE DATE) UTF-8 ALL", "SORT 3 1 4 2"),
        ("SORT (FROM REVERSE SIZE) UTF-8 ALL", "SORT 1 4 2 3"),
        ("SORT (DISPLAYFROM) UTF-8 ALL", "SORT 3 2 4 1"),
        ("UID SORT (SIZE) UTF-8 1:2", "SORT 2 1"),
        ("SORT (SIZE) UTF-8 SUBJECT nothing-such", "SORT"),
    ] {
        assert_eq!(c.run(line).await.ok().untagged, [want], "{line}");
    }
    c.run("SORT (DATE) KOI8-R ALL").await.is("NO [BADCHARSET (US-ASCII UTF-8)]");
    c.run("SORT (COLOUR) UTF-8 ALL").await.is("BAD Syntax error: expected ARRIVAL");
    c.run("SORT () UTF-8 ALL").await.is("BAD Syntax error: expected at least one");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_told_as_asked_for_and_in_part() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    for (line, want) in [
        ("SORT RETURN (MIN MAX COUNT) (ARRIVAL) UTF-8 ALL", "MIN 3 MAX 2 COUNT 4"),
        ("UID SORT RETURN (ALL) (REVERSE ARRIVAL) UTF-8 ALL", "UID ALL 2,1,4,3"),
        ("SORT RETURN (PARTIAL 2:3) (ARRIVAL) UTF-8 ALL", "PARTIAL (2:3 4,1)"),
        ("SEARCH RETURN (PARTIAL 3:2) ALL", "PARTIAL (2:3 2:3)"),
        ("SEARCH RETURN (PARTIAL -1:-2 COUNT) ALL", "PARTIAL (-1:-2 3:4) COUNT 4"),
        ("SEARCH RETURN (PARTIAL 5:9) ALL", "PARTIAL (5:9 NIL)"),
    ] {
        let tag = c.start(line).await;
        let answer = c.finish(&tag).await.ok();
        assert_eq!(answer.untagged, [format!("ESEARCH (TAG \"{tag}\") {want}")], "{line}");
    }
    let uids = |answer: crate::service::client::Answer| answer.ok().untagged;
    assert_eq!(uids(c.run("UID FETCH 1:* (UID) (PARTIAL -1:-2)").await), ["3 FETCH (UID 3)", "4 FETCH (UID 4)"]);
    assert_eq!(uids(c.run("UID FETCH 1:* (UID) (PARTIAL 2:2)").await), ["2 FETCH (UID 2)"]);
    assert!(uids(c.run("UID FETCH 1:* (UID) (PARTIAL 7:9)").await).is_empty());
    c.run("SEARCH RETURN (SAVE PARTIAL -1:-1) ALL").await.ok();
    assert_eq!(uids(c.run("FETCH $ (UID)").await), ["4 FETCH (UID 4)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_are_told_as_trees() {
    let server = Server::start().await;
    let mut c = filled(&server).await;
    for (line, want) in [
        ("THREAD REFERENCES UTF-8 ALL", "THREAD (2 1 4)(3)"),
        ("THREAD REFS UTF-8 ALL", "THREAD (3)(2 1 4)"),
        ("THREAD ORDEREDSUBJECT UTF-8 ALL", "THREAD (2 (4)(1))(3)"),
        ("UID THREAD REFERENCES UTF-8 SUBJECT apples", "THREAD (3)"),
        ("THREAD REFERENCES UTF-8 SUBJECT nothing-such", "THREAD"),
    ] {
        assert_eq!(c.run(line).await.ok().untagged, [want], "{line}");
    }
    c.run("THREAD BY-COLOUR UTF-8 ALL").await.is("BAD Syntax error: expected ORDEREDSUBJECT");
}
