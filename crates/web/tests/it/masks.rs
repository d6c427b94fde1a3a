//! Masked addresses and aliases of one's own on their page.

use crate::world::World;
use axum::http::StatusCode;

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_address_is_made_once_for_two_presses_and_blocked_and_deleted() {
    let world = World::new().await;
    let mut browser = world.signed_in("bob").await;
    let id = world.id("bob");
    let page = browser.get("/settings/aliases").await;
    let fields = [("csrf", page.csrf()), ("key", page.value("key")), ("site", "<b>Shop</b>".into())];
    for _ in 0..2 {
        let made = browser.post("/settings/aliases/mask", &fields).await;
        assert!(made.has_code("mask-created"), "{}", made.text());
        assert!(made.text().contains("&#60;b&#62;Shop") && !made.text().contains("<b>Shop"));
    }
    let masks = world.directory.masks(id).unwrap();
    assert_eq!(masks.len(), 1);
    let mask = masks[0].address.clone();
    let compose = browser.get("/compose").await;
    assert!(compose.text().contains(&mask), "one can write from it");
    let mut ann = world.signed_in("ann").await;
    let csrf_of_ann = ann.get("/settings/aliases").await.csrf();
    let change =
        |csrf: &str, act: &str| [("csrf", csrf.to_owned()), ("address", mask.clone()), ("act", act.to_owned())];
    for act in ["block", "delete"] {
        assert_eq!(
            ann.post("/settings/aliases/change", &change(&csrf_of_ann, act)).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    let csrf = page.csrf();
    assert_eq!(browser.post("/settings/aliases/change", &change(&csrf, "sell")).await.status, StatusCode::BAD_REQUEST);
    for (act, blocked) in [("block", true), ("unblock", false), ("block", true)] {
        assert_eq!(browser.post("/settings/aliases/change", &change(&csrf, act)).await.status, StatusCode::SEE_OTHER);
        assert_eq!(world.directory.masks(id).unwrap()[0].blocked, blocked);
    }
    assert!(!browser.get("/compose").await.text().contains(&mask));
    assert_eq!(browser.post("/settings/aliases/change", &change(&csrf, "delete")).await.status, StatusCode::SEE_OTHER);
    assert!(world.directory.masks(id).unwrap().is_empty());
    let refused = [("csrf", csrf), ("alias", "robert".into())];
    let page = browser.post("/settings/aliases/add", &refused).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "nobody has allowed it");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_mail_goes_by_its_address_is_chosen() {
    let world = World::new().await;
    let mut browser = world.signed_in("bob").await;
    let csrf = browser.get("/settings/aliases").await.csrf();
    for (by_detail, blocked, stored) in [("1", "spam", 1), ("1", "discard", 2), ("", "refuse", 0), ("1", "nonsense", 0)]
    {
        let fields = [("csrf", csrf.clone()), ("by-detail", by_detail.to_owned()), ("blocked", blocked.to_owned())];
        assert_eq!(browser.post("/settings/aliases/arriving", &fields).await.status, StatusCode::SEE_OTHER);
        let settings = world.directory.settings(world.id("bob")).unwrap();
        assert_eq!((settings.files_by_detail, settings.blocked_masks), (by_detail == "1", stored), "{blocked}");
    }
    world.directory.set_addressing("example.org", Some(false), None).await.unwrap();
    assert_eq!(browser.get("/settings/aliases").await.status, StatusCode::OK);
}
