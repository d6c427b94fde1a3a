//! Who gets to the administrators' pages, tried at each address that the router has.

use std::time::Duration;

use axum::http::StatusCode;
use directory::Role;

use super::{act, trail};
use crate::world::{Browser, PASSWORD, World};

/// The addresses with something in the place of each name.
fn addresses(world: &World) -> Vec<String> {
    let account = world.id("ann").to_string();
    let filled = |path: &str| {
        let id = if path.starts_with("/admin/accounts") { account.as_str() } else { "x" };
        path.replace("{id}", id).replace("{name}", "example.org")
    };
    web::admin_paths().into_iter().map(filled).collect()
}

async fn statuses(browser: &mut Browser, address: &str, csrf: &str) -> [StatusCode; 2] {
    let seen = browser.get(address).await;
    let fields = [("csrf", csrf.to_owned()), ("do", "delete".to_owned()), ("id", "1".to_owned())];
    let done = browser.post(address, &fields).await;
    [seen, done].map(|answer| answer.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_is_for_administrators_alone() {
    let world = World::new().await;
    let addresses = addresses(&world);
    assert!(addresses.len() >= 15 && addresses.iter().all(|address| address.starts_with("/admin")));
    let (mut visitor, mut bob, mut ann) = (world.browser(), world.signed_in("bob").await, world.signed_in("ann").await);
    let csrf = bob.get("/settings").await.csrf();
    let own = ann.get("/admin").await.csrf();
    for address in &addresses {
        let [seen, done] = statuses(&mut visitor, address, &csrf).await;
        assert_eq!([seen, done], [StatusCode::SEE_OTHER; 2], "a visitor at {address}");
        assert_eq!(visitor.get(address).await.location().split('?').next(), Some("/signin"), "{address}");
        let of_bob = statuses(&mut bob, address, &csrf).await;
        assert_eq!(of_bob, [StatusCode::FORBIDDEN; 2], "a person at {address}");
        let seen = ann.get(address).await.status;
        assert_ne!(seen, StatusCode::FORBIDDEN, "an administrator at {address}");
        // A form of another page of the same browser, and one that no page made.
        for token in ["", &csrf, &own[2..]] {
            let done = ann.post(address, &[("csrf", token.to_owned()), ("do", "delete".to_owned())]).await.status;
            let refused = [StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED];
            assert!(refused.contains(&done), "a form with the token {token:?} at {address}: {done}");
        }
    }
    assert_eq!(world.directory.accounts().unwrap().len(), 2, "nothing was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_stays_one_whoever_tries() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let id = world.id("ann").to_string();
    let page = format!("/admin/accounts/{id}");
    for verb in ["disable", "delete"] {
        let answer = act(&mut ann, &page, "/admin/accounts", &[("do", verb), ("id", &id)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{verb}");
    }
    let save = [("do", "save"), ("id", &*id), ("name", "ann"), ("quota", "")];
    let answer = act(&mut ann, &page, "/admin/accounts", &save).await;
    assert!(!answer.wrong("admin").is_empty(), "{}", answer.text());
    let is_admin = |world: &World| {
        let account = world.directory.account(world.id("ann")).unwrap().unwrap();
        account.role == Role::Admin && account.enabled
    };
    assert!(is_admin(&world));
    // Another one who is disabled is no help.
    let clara = world.account("clara", Role::Admin).await;
    world.directory.set_enabled(clara, false).await.unwrap();
    let answer = act(&mut ann, &page, "/admin/accounts", &save).await;
    assert!(!answer.wrong("admin").is_empty() && is_admin(&world));
    // With a second one it may be given up, and then these pages are closed.
    world.directory.set_enabled(clara, true).await.unwrap();
    let answer = act(&mut ann, &page, "/admin/accounts", &save).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(ann.get("/admin").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gives_access_or_ends_something_asks_for_the_password_again() {
    let world = World::new().await;
    world.directory.add_domain("empty.example").await.unwrap();
    let (mut ann, bob) = (world.signed_in("ann").await, world.id("bob").to_string());
    let page = format!("/admin/accounts/{bob}");
    let accounts = "/admin/accounts";
    // While the sign-in is fresh nobody is asked.
    let done =
        act(&mut ann, &page, accounts, &[("do", "password"), ("id", &bob), ("password", "a new passphrase")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let domain = "/admin/domains/example.org";
    let dangerous: Vec<(&str, Vec<(&str, &str)>)> = vec![
        (accounts, vec![("do", "password"), ("id", &bob), ("password", "another passphrase")]),
        (accounts, vec![("do", "totp-off"), ("id", &bob)]),
        (accounts, vec![("do", "save"), ("id", &bob), ("name", "bob"), ("quota", ""), ("admin", "1")]),
        (accounts, vec![("do", "delete"), ("id", &bob)]),
        (accounts, vec![("do", "create"), ("address", "eve"), ("password", PASSWORD), ("admin", "1")]),
        ("/admin/domains", vec![("do", "remove"), ("domain", "empty.example"), ("sure", "1")]),
        (domain, vec![("do", "replace-keys"), ("sure", "1")]),
        ("/admin/queue", vec![("do", "drop"), ("id", "all"), ("sure", "1"), ("typed", "all")]),
    ];
    for (to, fields) in &dangerous {
        world.pass(Duration::from_secs(11 * 60));
        let before = trail(&world);
        let asked = act(&mut ann, "/admin", to, fields).await;
        assert!(asked.status == StatusCode::UNPROCESSABLE_ENTITY && asked.has_code("password-asked"), "{fields:?}");
        for (name, value) in fields {
            assert!(asked.text().contains(&format!("name=\"{name}\" value=\"{value}\"")), "{name} waits");
        }
        let mut wrong = fields.clone();
        wrong.push(("own-password", "not hers at all"));
        assert!(!act(&mut ann, "/admin", to, &wrong).await.wrong("own-password").is_empty(), "{fields:?}");
        assert_eq!(trail(&world), before, "nothing was done: {fields:?}");
    }
    // With the right one it is done, and for some minutes the rest is too.
    let (to, fields) = &dangerous[2];
    let mut right = fields.clone();
    right.push(("own-password", PASSWORD));
    assert_eq!(act(&mut ann, "/admin", to, &right).await.status, StatusCode::SEE_OTHER);
    assert!(trail(&world)[0].contains("made it an administrator"));
    let (to, fields) = &dangerous[5];
    assert_eq!(act(&mut ann, "/admin", to, fields).await.location(), "/admin/domains?done=domaingone");
    // What can be taken back never asks.
    world.pass(Duration::from_secs(11 * 60));
    for verb in ["disable", "enable", "end-sessions"] {
        let done = act(&mut ann, "/admin", accounts, &[("do", verb), ("id", &bob)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{verb}");
    }
}
