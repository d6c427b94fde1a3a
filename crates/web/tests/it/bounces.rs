//! Promises about mail that came back: it can be written again to those whom it did not reach, and to nobody else.

use crate::world::{Browser, World};
use axum::http::StatusCode;
use mailstore::{EmailId, Role};

/// What Ann sent, as it lies in her Sent.
const SENT: &str = "From: Ann <ann@example.org>\r\nTo: Bo <bo@y.example>, kim@y.example\r\nCc: lea@z.example\r\n\
    Subject: Minutes\r\nMessage-ID: <sent@example.org>\r\nReferences: <first@y.example>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n--m\r\n\
    Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=minutes.txt\r\n\r\nAll agreed.\r\n--m--\r\n";

/// A report that returns a message, or its header.
fn report(failed: &[&str], action: &str, kind: &str, returned: &str) -> String {
    let mut out = "From: <mailer-daemon@y.example>\r\nTo: ann@example.org\r\nSubject: Not delivered\r\n\
         Message-ID: <r@y.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;y.example\r\n"
        .to_owned();
    for address in failed {
        out.push_str(&format!("\r\nFinal-Recipient: rfc822;{address}\r\nAction: {action}\r\nStatus: 5.1.1\r\n"));
    }
    if !kind.is_empty() {
        out.push_str(&format!("\r\n--b\r\nContent-Type: {kind}\r\n\r\n{returned}"));
    }
    out + "\r\n--b--\r\n"
}

/// The header of a message.
fn header(message: &str) -> &str {
    &message[..message.find("\r\n\r\n").unwrap() + 2]
}

async fn offered(ann: &mut Browser, id: EmailId) -> bool {
    let page = ann.get(&format!("/message/{id}")).await;
    ann.get(&page.location()).await.text().contains(&format!("/compose?again={id}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_back_is_written_again_to_those_it_did_not_reach() {
    let world = World::new().await;
    world.file("ann", world.mailbox("ann", Role::Sent).id, SENT.as_bytes()).await;
    let raw = report(&["BO@y.example", "lea@z.example"], "failed", "text/rfc822-headers", header(SENT));
    let report = world.file("ann", world.mailbox("ann", Role::Inbox).id, raw.as_bytes()).await;
    let mut ann = world.signed_in("ann").await;
    assert!(offered(&mut ann, report.email_id).await);
    let page = ann.get(&format!("/compose?again={}", report.email_id)).await;
    let text = page.text();
    assert!(text.contains("value=\"Bo &#60;bo@y.example&#62;, lea@z.example\""), "{text}");
    assert!(
        text.contains("value=\"Minutes\"") && text.contains("See the file.") && text.contains("minutes.txt"),
        "{text}"
    );
    let fields = [
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("answers", page.value("answers")),
        ("from", page.value("from")),
        ("to", "bob@example.org".to_owned()),
        ("subject", "Minutes".to_owned()),
        ("text", "See the file.".to_owned()),
        ("do", "send".to_owned()),
    ];
    let done = ann.compose(&fields, &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let sent = world.mailbox("ann", Role::Sent);
    let realm = world.id("ann").realm();
    let uids = world.mail.view(realm, sent.id).unwrap().uids().to_vec();
    let row = world.mail.rows(realm, sent.id, &uids).unwrap().pop().unwrap();
    assert_eq!(row.parsed.references, ["first@y.example"], "it belongs to the conversation of the first one");
    let raw = world.mail.body(realm, row.email_id).unwrap().read_all().unwrap();
    assert!(String::from_utf8_lossy(&raw).contains("minutes.txt"), "the files go along");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_account_sent_to_those_people_is_offered() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    world.file("ann", world.mailbox("ann", Role::Sent).id, SENT.as_bytes()).await;
    let mut ann = world.signed_in("ann").await;
    let forged = SENT.replace("ann@example.org", "eve@evil.example").replace("sent@", "other@");
    let unknown = SENT.replace("sent@", "gone@");
    let (part, whole) = ("text/rfc822-headers", "message/rfc822");
    for (raw, wanted, what) in [
        (report(&["bo@y.example"], "failed", part, header(SENT)), true, "one of them"),
        (report(&["bo@y.example"], "failed", whole, SENT), true, "one of them, the whole message"),
        (report(&["eve@evil.example"], "failed", part, header(SENT)), false, "somebody else"),
        (report(&["bo@y.example"], "delayed", part, header(SENT)), false, "still on its way"),
        (report(&["bo@y.example"], "delivered", part, header(SENT)), false, "arrived"),
        (report(&[], "failed", part, header(SENT)), false, "nobody"),
        (report(&["bo@y.example"], "failed", "", ""), false, "nothing is said of the message"),
        (report(&["bo@y.example"], "failed", part, header(&unknown)), false, "what is not there"),
        (report(&["bo@y.example"], "failed", whole, &unknown), true, "what comes back with it"),
        (report(&["bo@y.example"], "failed", whole, &forged), false, "what somebody else wrote"),
    ] {
        let filed = world.file("ann", inbox, raw.as_bytes()).await;
        assert_eq!(offered(&mut ann, filed.email_id).await, wanted, "{what}");
        let page = ann.get(&format!("/compose?again={}", filed.email_id)).await;
        assert_eq!(page.status == StatusCode::OK, wanted, "{what}");
        assert!(!page.text().contains("eve@evil.example"), "{what}");
    }
    let letter = world.file("ann", inbox, b"From: bo@y.example\r\nSubject: hi\r\n\r\nx").await;
    assert!(!offered(&mut ann, letter.email_id).await);
    let mut bob = world.signed_in("bob").await;
    assert_eq!(bob.get(&format!("/compose?again={}", letter.email_id)).await.status, StatusCode::NOT_FOUND);
}
