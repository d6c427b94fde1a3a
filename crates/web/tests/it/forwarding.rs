//! Forwarding on the settings page, and the page of the link, both without scripts.

use axum::http::StatusCode;
use mailstore::Role;
use tokio_util::sync::CancellationToken;

use crate::world::{Browser, PASSWORD, World};

async fn post(browser: &mut Browser, path: &str, fields: &[(&str, &str)]) -> crate::world::Answer {
    let page = browser.get("/settings/forwarding").await;
    let mut all = vec![("csrf", page.csrf())];
    all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
    browser.post(path, &all).await
}

/// The link in the newest message of an inbox.
async fn link(world: &World, name: &str, count: usize) -> String {
    let (account, mailbox) = (world.id(name).realm(), world.mailbox(name, Role::Inbox).id);
    let mut commits = world.store.watch(account);
    loop {
        let view = world.mail.view(account, mailbox).unwrap();
        let entries = world.mail.entries(account, mailbox, view.uids()).unwrap();
        if entries.len() >= count {
            let body = world.mail.body(account, entries[count - 1].email_id).unwrap().read_all().unwrap();
            let text = String::from_utf8_lossy(&body).replace("=\r\n", "").replace("=3D", "=");
            let (_, rest) = text.split_once("https://mail.example.org").or(text.split_once("https://")).unwrap();
            return rest.split_whitespace().next().map(|path| path[path.find('/').unwrap()..].to_owned()).unwrap();
        }
        commits.changed().await.unwrap();
    }
}

fn state(page: &str) -> Vec<String> {
    page.split("data-forward=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_added_confirmed_by_its_owner_and_removed() {
    let world = World::new().await;
    let (delivery, stop) = (world.delivery.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let running = tokio::spawn(async move { delivery.run(stopped).await.unwrap() });
    let mut ann = world.signed_in("ann").await;

    for wrong in ["", "nobody", "ann@example.org"] {
        let answer = post(&mut ann, "/settings/forwarding/add", &[("address", wrong), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(!answer.wrong("address").is_empty(), "{wrong}");
        assert_eq!(state(&answer.text()), [""; 0]);
    }
    // The first time the password is asked for, unless it was typed a moment ago.
    let done =
        post(&mut ann, "/settings/forwarding/add", &[("address", "bob@example.org"), ("password", PASSWORD)]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let page = ann.get(&done.location()).await;
    assert_eq!(state(&page.text()), ["unconfirmed"]);

    let link = link(&world, "bob", 1).await;
    let (path, code) = link.split_once("?code=").unwrap();
    assert_eq!(path, "/forwarding");
    // Strangers learn nothing, whatever they ask for.
    let mut stranger = world.browser();
    let unknown = stranger.get("/forwarding?code=x").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let number = code.split_once('-').unwrap().0;
    let forged = format!("{number}-{}", "0".repeat(40));
    let plain = |page: &crate::world::Answer| page.text();
    for wrong in [forged.as_str(), "999999-0000000000000000000000000000000000000000", "", number] {
        let answer = stranger.get(&format!("/forwarding?code={wrong}")).await;
        assert_eq!((answer.status, answer.has_code("forwarding-unknown")), (StatusCode::NOT_FOUND, true), "{wrong}");
        assert_eq!(plain(&answer), plain(&unknown), "{wrong}");
    }
    // Opening the link changes nothing, even often.
    for _ in 0..2 {
        let asked = stranger.get(&link).await;
        assert!(asked.has_code("forwarding-asked"), "{}", asked.text());
        assert_eq!(state(&ann.get("/settings/forwarding").await.text()), ["unconfirmed"]);
    }
    let asked = stranger.get(&link).await;
    let fields = |code: &str| [("csrf", asked.csrf()), ("code", code.to_owned())];
    assert_eq!(world.browser().post("/forwarding", &fields(code)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(stranger.post("/forwarding", &fields(&forged)).await.status, StatusCode::NOT_FOUND);
    for _ in 0..2 {
        let agreed = stranger.post("/forwarding", &fields(code)).await;
        assert!(agreed.has_code("forwarding-confirmed"), "{}", agreed.text());
    }
    let page = ann.get("/settings/forwarding").await;
    assert_eq!(state(&page.text()), ["on"]);
    let forwarding = world.delivery.forwarding(world.id("ann")).unwrap();
    assert_eq!((forwarding.active().len(), forwarding.keep_copy), (1, true));

    post(&mut ann, "/settings/forwarding", &[("copy", "no")]).await;
    assert!(!world.delivery.forwarding(world.id("ann")).unwrap().keep_copy);
    post(&mut ann, "/settings/forwarding", &[("copy", "yes")]).await;
    assert!(world.delivery.forwarding(world.id("ann")).unwrap().keep_copy);
    // The password was typed a moment ago.
    let more = post(&mut ann, "/settings/forwarding/add", &[("address", "x@there.example")]).await;
    assert_eq!(more.status, StatusCode::SEE_OTHER, "{}", more.text());
    let done = post(&mut ann, "/settings/forwarding/remove", &[("address", "bob@example.org")]).await;
    assert_eq!(state(&ann.get(&done.location()).await.text()), ["unconfirmed"]);
    assert_eq!(stranger.get(&link).await.status, StatusCode::NOT_FOUND, "the link of what was removed is dead");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarding_is_not_begun_at_a_browser_that_somebody_left_open() {
    let world = World::new().await;
    let mut bob = world.signed_in("bob").await;
    for password in ["", "wrong"] {
        let asked =
            post(&mut bob, "/settings/forwarding/add", &[("address", "x@there.example"), ("password", password)]).await;
        assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(asked.text().contains("id=\"ask-password\""), "{}", asked.text());
        assert_eq!(asked.value("address"), "x@there.example");
    }
    assert!(world.delivery.forwarding(world.id("bob")).unwrap().targets.is_empty());
}
