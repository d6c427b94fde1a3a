//! Where mail goes: catch-alls of domains, forwarding of accounts, keys that sign it.

use axum::http::StatusCode;
use mailkit::EmailAddress;

use super::{act, trail};
use crate::world::World;

const DOMAIN: &str = "/admin/domains/example.org";

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_has_one_catch_all_or_none() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let stranger = EmailAddress::parse("anything@example.org").unwrap();
    let gets = || match world.directory.resolve(&stranger).unwrap() {
        directory::Resolved::Account(id) => Some(id),
        _ => None,
    };
    for (typed, account) in [
        ("bob", Some("bob")),
        ("bob@example.org", Some("bob")),
        (" ANN ", Some("ann")),
        ("", None),
        ("", None),
        ("ann", Some("ann")),
    ] {
        let done = act(&mut ann, DOMAIN, DOMAIN, &[("do", "catch-all"), ("catch-all", typed)]).await;
        assert_eq!(done.location(), format!("{DOMAIN}?done=saved"), "{typed}");
        assert_eq!(gets(), account.map(|name| world.id(name)), "{typed}");
        let page = ann.get(DOMAIN).await;
        let shown = account.map_or_else(String::new, |name| format!("{name}@example.org"));
        assert_eq!(
            page.text().split("id=\"catch-all\"").nth(1).unwrap().split("value=\"").nth(1).unwrap().split('"').next(),
            Some(shown.as_str())
        );
    }
    assert_eq!(
        trail(&world),
        [
            "made it the catch-all of the domain example.org [ann@example.org]",
            "ended the catch-all of the domain example.org [ann@example.org]",
            "made it the catch-all of the domain example.org [ann@example.org]",
            "ended the catch-all of the domain example.org [bob@example.org]",
            "made it the catch-all of the domain example.org [bob@example.org]",
        ]
        .map(|what| format!("ann@example.org: {what}")),
        "what changes nothing is not noted"
    );
    for typed in ["nobody", "x@elsewhere.example", "a b", "@example.org"] {
        let answer = act(&mut ann, DOMAIN, DOMAIN, &[("do", "catch-all"), ("catch-all", typed)]).await;
        assert!(!answer.wrong("catch-all").is_empty() && answer.text().contains(typed), "{typed}");
        assert_eq!(gets(), Some(world.id("ann")), "{typed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domains_addresses_lead_to_their_accounts() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    world.directory.add_alias(world.id("bob"), "info@example.org").await.unwrap();
    let page = ann.get(DOMAIN).await.text();
    for what in ["<strong>info@example.org</strong>", "alias of bob@example.org", "<strong>ann@example.org</strong>"] {
        assert!(page.contains(what), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stolen_keys_are_replaced_after_what_that_means_was_said() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let selectors = || {
        let domain = world.directory.domain("example.org").unwrap().unwrap();
        domain.dkim.iter().map(|key| key.selector().to_owned()).collect::<Vec<_>>()
    };
    let before = selectors();
    let asked = act(&mut ann, DOMAIN, DOMAIN, &[("do", "replace-keys")]).await;
    assert!(asked.status == StatusCode::OK && asked.text().contains("name=\"sure\"") && selectors() == before);
    act(&mut ann, DOMAIN, DOMAIN, &[("do", "replace-keys"), ("sure", "1")]).await;
    assert_ne!(selectors(), before);
    assert_eq!(trail(&world)[0], "ann@example.org: replaced the DKIM keys of the domain example.org at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarding_of_an_account_is_seen_and_ended() {
    let world = World::new().await;
    let (mut ann, bob) = (world.signed_in("ann").await, world.id("bob"));
    let target = EmailAddress::parse("thief@far.example").unwrap();
    world.delivery.add_forward(bob, &target).await.unwrap();
    let page = format!("/admin/accounts/{bob}");
    assert!(ann.get(&page).await.text().contains("thief@far.example"));
    let fields = [("do", "end-forward"), ("id", &*bob.to_string()), ("target", "thief@far.example")];
    let number = trail(&world).len();
    for _ in 0..2 {
        assert_eq!(act(&mut ann, &page, "/admin/accounts", &fields).await.status, StatusCode::SEE_OTHER);
        assert!(world.delivery.forwarding(bob).unwrap().targets.is_empty());
        assert_eq!(trail(&world)[0], "ann@example.org: ended forwarding to thief@far.example [bob@example.org]");
        assert_eq!(trail(&world).len(), number + 1, "pressed twice, noted once");
    }
    for (verb, on) in [("relay-on", true), ("relay-on", true), ("relay-off", false)] {
        act(&mut ann, &page, "/admin/accounts", &[("do", verb), ("id", &bob.to_string())]).await;
        assert_eq!(world.directory.sends_by_relay(bob).unwrap(), on);
    }
}
