//! The test of an account on its page, and the strength of a password while it is typed.

use axum::http::StatusCode;
use mailstore::Role;

use crate::world::{PASSWORD, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_is_wrong_mends_it_and_sends_a_message() {
    let world = World::new().await;
    let mut browser = world.signed_in("bob").await;
    let sent = world.mailbox("bob", Role::Sent).id;
    world.mail.set_role(world.id("bob").realm(), sent, None).await.unwrap();
    let page = browser.get("/settings/check").await;
    assert!(page.has_code("check-wrong"), "{}", page.text());
    assert!(page.text().contains("data-check=\"mailboxes\" data-state=\"wrong\""));
    assert!(page.text().contains("data-check=\"storage\" data-state=\"ok\""));
    let fields = |code: &str, about: &str| {
        [("csrf", page.csrf()), ("code", code.to_owned()), ("about", about.to_owned()), ("key", page.value("key"))]
    };
    let mended = browser.post("/settings/check/mend", &fields("mailboxes", "Sent")).await;
    assert!(mended.location().contains("mended"), "{}", mended.text());
    let page_after = browser.get("/settings/check").await;
    assert!(page_after.text().contains("data-check=\"mailboxes\" data-state=\"ok\""));
    // What is no longer so, or never was, is left alone; forwarding asks for the password.
    assert_eq!(browser.post("/settings/check/mend", &fields("mailboxes", "Sent")).await.location(), "/settings/check");
    assert_eq!(browser.post("/settings/check/mend", &fields("storage", "")).await.location(), "/settings/check");
    let asked = browser.post("/settings/check/mend", &fields("forward-paused", "x@y.example")).await;
    assert!(asked.text().contains("ask-password"));
    // Pressed twice, one message is sent.
    let sent = browser.post("/settings/check/message", &fields("", "")).await;
    assert!(sent.has_code("test-arrived"), "{}", sent.text());
    assert_eq!(browser.post("/settings/check/message", &fields("", "")).await.location(), "/settings/check");
    assert_eq!(world.mailbox("bob", Role::Inbox).total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_strength_of_a_password_is_the_server_s_word() {
    let world = World::new().await;
    let mut browser = world.signed_in("bob").await;
    let csrf = browser.get("/settings/security").await.csrf();
    for (typed, good) in [
        ("", false),
        ("short", false),
        ("password1", false),
        ("bob@example.org", false),
        ("mail.example.org", false),
        ("Holdfast1", false),
        (PASSWORD, true),
        ("tidal lamp orchard seven", true),
    ] {
        let answer = browser.post("/settings/password/check", &[("csrf", csrf.clone()), ("new", typed.into())]).await;
        assert_eq!(answer.status, StatusCode::OK);
        let said = answer.text();
        assert_eq!(said.contains("\"ok\":true"), good, "{typed}: {said}");
        // What the form itself says.
        let fields = [("csrf", csrf.clone()), ("old", String::new()), ("new", typed.into()), ("again", typed.into())];
        assert_eq!(browser.post("/settings/password", &fields).await.wrong("new").is_empty(), good, "{typed}");
    }
    assert_eq!(
        world.browser().post("/settings/password/check", &[("new", "x".into())]).await.status,
        StatusCode::SEE_OTHER
    );
}
