//! Administrators keep the lists of the service and of its domains.

use axum::http::StatusCode;

use super::{act, trail};
use crate::world::World;

fn spam_of(world: &World) -> filter::spam::Spam {
    filter::spam::Spam::new(world.store.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_the_service_and_of_each_domain_are_kept_apart_and_noted() {
    let world = World::new().await;
    world.directory.add_domain("münchen.example").await.unwrap();
    let munich = "xn--mnchen-3ya.example";
    let mut ann = world.signed_in("ann").await;
    for (domain, page, allowed, blocked) in [
        ("", "/admin/spam".to_owned(), "Good@Example.net", "bad.example, *.worse.example"),
        (munich, format!("/admin/spam?domain={munich}"), "bad.example", ""),
        ("example.org", "/admin/spam?domain=example.org".to_owned(), "", "@müll.example"),
    ] {
        let fields = [("domain", domain), ("allowed", allowed), ("blocked", blocked)];
        let answer = act(&mut ann, &page, "/admin/spam", &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{domain}: {}", answer.text());
        assert!(answer.location().starts_with(&page), "{}", answer.location());
        let noted = trail(&world).len();
        act(&mut ann, &page, "/admin/spam", &fields).await;
        assert_eq!(trail(&world).len(), noted, "nothing has changed");
    }
    let of = |domain: Option<&str>| -> Vec<(String, bool)> {
        let entries = spam_of(&world).lists_of(domain).unwrap();
        entries.into_iter().map(|entry| (entry.pattern.to_string(), entry.allowed)).collect()
    };
    let entry = |text: &str, allowed| (text.to_owned(), allowed);
    let service = [entry("good@example.net", true), entry("bad.example", false), entry("worse.example", false)];
    assert_eq!(of(None), service);
    assert_eq!(of(Some(munich)), [entry("bad.example", true)]);
    assert_eq!(of(Some("example.org")), [entry("xn--mll-hoa.example", false)]);
    let page = ann.get("/admin/spam?domain=example.org").await.text();
    assert!(page.contains("müll.example") && page.contains("münchen.example") && page.contains("id=\"base\""));
    assert_eq!(act(&mut ann, "/admin/spam", "/admin/spam", &[("domain", "")]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(of(None), []);
    assert_eq!(of(Some(munich)).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_sender_is_told_beside_its_list_and_nothing_changes() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let many: String = (0..1_001).map(|number| format!("s{number}.example\n")).collect();
    for wrong in ["nobody", "a b.example", "ann@", "*", many.as_str()] {
        let fields = [("domain", ""), ("allowed", "fine.example"), ("blocked", wrong)];
        let answer = act(&mut ann, "/admin/spam", "/admin/spam", &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong:.20}");
        assert!(answer.text().contains("fine.example") && answer.text().contains("aria-invalid"), "{wrong:.20}");
    }
    assert!(spam_of(&world).lists_of(None).unwrap().is_empty());
    for domain in ["elsewhere.example", "..", "%00"] {
        let answer = act(&mut ann, "/admin/spam", "/admin/spam", &[("domain", domain), ("blocked", "x.example")]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{domain}");
    }
    let mut bob = world.signed_in("bob").await;
    assert_eq!(bob.get("/admin/spam").await.status, StatusCode::FORBIDDEN);
    let csrf = bob.get("/settings").await.csrf();
    let answer = bob.post("/admin/spam", &[("csrf", csrf), ("blocked", "x.example".to_owned())]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}
