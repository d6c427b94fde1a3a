//! Snoozing from the pages, without scripts.

use axum::http::StatusCode;
use mailstore::Role;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_snoozed_told_snoozed_otherwise_and_brought_back() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let filed = world
        .file("ann", inbox, b"From: bob@example.net\r\nTo: ann@example.org\r\nSubject: Tides\r\n\r\nHigh at noon\r\n")
        .await;
    let mut browser = world.signed_in("ann").await;
    let here = format!("/mail/inbox/{}", filed.thread_id);
    let page = browser.get(&here).await;
    let text = page.text();
    let verb = text.split("value=\"snooze:").nth(1).expect("times are offered").split('"').next().unwrap().to_owned();
    let fields = |page: &crate::world::Answer, verb: &str, until: &str| {
        vec![
            ("csrf", page.csrf()),
            ("key", page.value("key")),
            ("mailbox", page.value("mailbox")),
            ("id", filed.thread_id.to_string()),
            ("back", "/mail/inbox".to_owned()),
            ("verb", verb.to_owned()),
            ("until", until.to_owned()),
        ]
    };
    let answer = browser.post("/act", &fields(&page, &format!("snooze:{verb}"), "")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!((world.mailbox("ann", Role::Inbox).total, world.mailbox("ann", Role::Snoozed).total), (0, 1));
    let realm = world.id("ann").realm();
    let until = *world.mail.snoozed_until(realm).unwrap().values().next().unwrap();
    assert_eq!(until.to_string(), verb);
    assert!(browser.get("/mail/snoozed").await.text().contains("Snoozed until "));

    // Another time, by the field for date and time.
    let there = format!("/mail/snoozed/{}", filed.thread_id);
    let page = browser.get(&there).await;
    assert!(page.text().contains("id=\"snoozed\""));
    let answer = browser.post("/act", &fields(&page, "snooze:date", "2031-05-06T07:08")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let until = *world.mail.snoozed_until(realm).unwrap().values().next().unwrap();
    assert_eq!(until, 1_935_817_680_000);
    for wrong in ["", "2001-01-01T00:00", "9999-01-01T00:00", "tomorrow"] {
        let page = browser.get(&there).await;
        let answer = browser.post("/act", &fields(&page, "snooze:date", wrong)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(world.mail.snoozed_until(realm).unwrap().into_values().collect::<Vec<_>>(), [until]);

    // Back by hand.
    let page = browser.get(&there).await;
    browser.post("/act", &fields(&page, "inbox", "")).await;
    assert_eq!((world.mailbox("ann", Role::Inbox).total, world.mailbox("ann", Role::Snoozed).total), (1, 0));
}
