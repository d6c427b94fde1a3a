//! Promises about the looks of what a reply quotes.

use crate::world::{Answer, Browser, World};
use axum::http::StatusCode;
use mailstore::{Appended, Role};

const ASKED: &str = "From: Bob <bob@example.org>\r\nTo: ann@example.org\r\nSubject: Boat\r\nMessage-ID: <asked@example.org>\r\n\
    Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <p>Is it <b>afloat</b>?</p><script>alert(1)</script><table><tr><td>Yes</td><td>No</td></tr></table>\r\n";

/// The parts of what Ann sent last, as text.
fn sent(world: &World) -> String {
    let (realm, sent) = (world.id("ann").realm(), world.mailbox("ann", Role::Sent));
    let uids = world.mail.view(realm, sent.id).unwrap().uids().to_vec();
    let row = world.mail.rows(realm, sent.id, &uids).unwrap().pop().unwrap();
    let raw = world.mail.body(realm, row.email_id).unwrap().read_all().unwrap();
    let parsed = mailkit::parse(&raw);
    let inline = |_: &str| String::new();
    let options = mailkit::display::ReadOptions { remote_images: false, inline_url: &inline };
    let shown = mailkit::display::show(&raw, &parsed, &options);
    assert_eq!(parsed.references.last().unwrap(), "asked@example.org");
    shown.html.unwrap_or_default()
}

/// Reply to a message with what `edit` makes of the text that the form begins with.
async fn reply(world: &World, browser: &mut Browser, asked: &Appended, edit: impl Fn(&str) -> String) -> String {
    let page = browser.get(&format!("/compose?reply={}", asked.email_id)).await;
    let text = page.text();
    let at = text.find("<textarea").unwrap();
    let text = text[at..].split_once('>').unwrap().1.split("</textarea>").next().unwrap();
    let text = text.strip_prefix('\n').unwrap_or(text).replace("&#62;", ">").replace("&gt;", ">");
    let fields = [
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("answers", page.value("answers")),
        ("from", "ann@example.org".to_owned()),
        ("to", "bob@example.org".to_owned()),
        ("subject", "Re: Boat".to_owned()),
        ("text", edit(&text)),
        ("do", "send".to_owned()),
    ];
    let done = browser.compose(&fields, &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    sent(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_html_quotes_it_as_it_looks_while_it_is_quoted_whole() {
    let world = World::new().await;
    let asked = world.file("ann", world.mailbox("ann", Role::Inbox).id, ASKED.as_bytes()).await;
    let mut ann = world.signed_in("ann").await;
    let html = reply(&world, &mut ann, &asked, |quote| format!("It <floats>.{quote}")).await;
    assert!(html.contains("It &lt;floats&gt;.") && html.contains("<b>afloat</b>") && html.contains("<td>"), "{html}");
    assert!(!html.contains("<script") && html.contains("m-quoted"), "{html}");
    let realm = world.id("ann").realm();
    let row = world.mail.view(realm, world.mailbox("ann", Role::Sent).id).unwrap().uids()[0];
    let email = world.mail.rows(realm, world.mailbox("ann", Role::Sent).id, &[row]).unwrap()[0].email_id;
    let frame = ann.get(&format!("/message/{email}/html")).await.text();
    assert!(frame.contains("<details class=\"m-fold\">"), "what is quoted is folded away: {frame}");
    let below = reply(&world, &mut ann, &asked, |quote| format!("{quote}\n\nBelow it.")).await;
    assert!(below.contains("<b>afloat</b>") && below.contains("Below it.") && !below.contains("m-quoted"), "{below}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quotation_that_was_edited_is_the_text_that_was_typed() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let asked = world.file("ann", inbox, ASKED.as_bytes()).await;
    let plain = ASKED.replace("text/html", "text/plain");
    let plain = world.file("ann", inbox, plain.as_bytes()).await;
    let mut ann = world.signed_in("ann").await;
    type Edit = (&'static str, fn(&str) -> String);
    let edits: [Edit; 3] = [
        ("answered between", |quote| quote.replace("\n> Yes", "\nHere!\n> Yes").replace("afloat", "afloat (yes)")),
        ("taken out", |_| "It floats.".to_owned()),
        ("shortened", |quote| quote[..quote.len() - 6].to_owned()),
    ];
    for (what, edit) in edits {
        assert_eq!(reply(&world, &mut ann, &asked, edit).await, "", "{what}");
    }
    assert_eq!(reply(&world, &mut ann, &plain, |quote| format!("Yes.{quote}")).await, "", "text is quoted as text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_remembers_what_it_answers_until_it_is_sent() {
    for (how, asked) in [("reply", false), ("reply-all", false), ("forward", true), ("forward&as=file", true)] {
        let world = World::new().await;
        let inbox = world.mailbox("ann", Role::Inbox).id;
        let raw = b"From: Bob <bob@example.org>\r\nTo: ann@example.org\r\nSubject: Boat\r\n\
            Message-ID: <1@example.org>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\nIs it afloat?\r\n";
        let filed = world.file("ann", inbox, raw).await;
        let mut browser = world.signed_in("ann").await;
        let (name, extra) = how.split_once('&').map_or((how, String::new()), |(name, more)| (name, format!("&{more}")));
        let page = browser.get(&format!("/compose?{name}={}{extra}", filed.email_id)).await;
        let fields = |page: &Answer, draft: &str, does: &str| {
            vec![
                ("csrf", page.csrf()),
                ("key", page.value("key")),
                ("draft", draft.to_owned()),
                ("answers", page.value("answers")),
                ("from", "ann@example.org".to_owned()),
                ("to", "bob@example.org".to_owned()),
                ("subject", "about it".to_owned()),
                ("text", "Look".to_owned()),
                ("do", does.to_owned()),
            ]
        };
        // Saved, closed, and opened again another day.
        let saved = browser.compose(&fields(&page, "", "save"), &[]).await;
        let draft = saved.location().split("draft=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let again = browser.get(&format!("/compose?draft={draft}")).await;
        assert_eq!(again.value("answers"), page.value("answers"), "{how}");
        assert!(browser.compose(&fields(&again, &draft, "send"), &[]).await.location().contains("done=sent"));
        let realm = world.id("ann").realm();
        let entry = world.mail.entries(realm, inbox, &[filed.uid]).unwrap().remove(0);
        let forwarded = mailstore::Keyword::new("$Forwarded").unwrap();
        assert_eq!(entry.flags.contains_keyword(&forwarded), asked, "{how}");
        assert_eq!(entry.flags.contains(mailstore::SystemFlag::Answered), !asked, "{how}");
        let sent = world.mailbox("ann", Role::Sent).id;
        let view = world.mail.view(realm, sent).unwrap();
        let copy = world.mail.entries(realm, sent, view.uids()).unwrap().remove(0);
        let source = browser.get(&format!("/message/{}/download", copy.email_id)).await.text();
        assert!(
            source.contains("Subject: about it") && !source.to_lowercase().contains("holdfast-"),
            "{how}: {source}"
        );
    }
}
