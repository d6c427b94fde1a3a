//! A password that an administrator has set, and that its owner has to change.

use axum::http::StatusCode;

use super::{act, trail};
use crate::world::{PASSWORD, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_must_be_changed_opens_nothing_but_the_page_that_changes_it() {
    let world = World::new().await;
    let (mut ann, bob) = (world.signed_in("ann").await, world.id("bob"));
    let page = format!("/admin/accounts/{bob}");
    let fields = [("do", "password"), ("id", &*bob.to_string()), ("password", PASSWORD), ("must", "1")];
    assert_eq!(act(&mut ann, &page, "/admin/accounts", &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(trail(&world)[0], "ann@example.org: set a password that must be changed [bob@example.org]");
    assert!(world.directory.account(bob).unwrap().unwrap().must_change_password);
    let mut browser = world.signed_in("bob").await;
    for path in ["/", "/mail/inbox", "/settings", "/settings/apps", "/people", "/compose", "/help", "/live"] {
        let answer = browser.get(path).await;
        let to = answer.location();
        assert!(to == "/settings/security" || path == "/" && to == "/mail/inbox", "{path}: {} {to}", answer.status);
    }
    let form = browser.get("/settings/security").await;
    assert!(form.has_code("password-must-change"));
    let forwarded = browser.post("/settings/forwarding/add", &[("csrf", form.csrf())]).await;
    assert_eq!(forwarded.location(), "/settings/security", "forms do nothing either");
    let new = [("old", PASSWORD), ("new", "another fine passphrase"), ("again", "another fine passphrase")];
    let done = act(&mut browser, "/settings/security", "/settings/password", &new).await;
    assert_eq!(done.location(), "/settings/security?done=password");
    assert!(!browser.get("/settings/security").await.has_code("password-must-change"));
    assert_eq!(browser.get("/mail/inbox").await.status, StatusCode::OK);
    assert!(!world.directory.account(bob).unwrap().unwrap().must_change_password);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_to_change_a_password_that_they_set_themselves() {
    let world = World::new().await;
    let (mut ann, id) = (world.signed_in("ann").await, world.id("ann"));
    let page = format!("/admin/accounts/{id}");
    let fields = [("do", "password"), ("id", &*id.to_string()), ("password", "a fine new passphrase"), ("must", "1")];
    act(&mut ann, &page, "/admin/accounts", &fields).await;
    assert!(!world.directory.account(id).unwrap().unwrap().must_change_password);
}
