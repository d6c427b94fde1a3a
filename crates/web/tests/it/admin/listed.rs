//! The list of accounts: found, narrowed, sorted and turned over.

use std::net::IpAddr;

use axum::http::StatusCode;
use directory::{LoginAttempt, Role, Secret, Service};
use mailstore::Role as MailboxRole;

use crate::world::{Answer, PASSWORD, World};

/// The accounts on a page, in their order.
fn shown(answer: &Answer) -> Vec<String> {
    let text = answer.text();
    let rows = text.split("<tr data-account=\"").skip(1);
    rows.map(|row| row.split("<strong>").nth(1).unwrap().split(['@', '<']).next().unwrap().to_owned()).collect()
}

async fn sign_in(world: &World, name: &str, service: Service, password: &str) {
    let peer: IpAddr = "192.0.2.9".parse().unwrap();
    let login = format!("{name}@example.org");
    let secret = Secret::Password(password);
    let _ = world.directory.authenticate(LoginAttempt { login: &login, secret, service, peer }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_narrowed_and_sorted() {
    let world = World::new().await;
    for name in ["dora", "carl", "emil"] {
        world.account(name, Role::User).await;
    }
    let mut ann = world.signed_in("ann").await;
    sign_in(&world, "dora", Service::Imap, PASSWORD).await;
    sign_in(&world, "carl", Service::Pop3, "wrong, quite wrong").await;
    world.directory.set_enabled(world.id("emil"), false).await.unwrap();
    // He is told by mail.
    world.delivery.stop_sending(world.id("carl"), "test", "it was tried", "").await.unwrap();
    let inbox = world.mailbox("bob", MailboxRole::Inbox).id;
    let raw = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(5_000));
    world.file("bob", inbox, raw.as_bytes()).await;
    world.directory.set_quota(world.id("bob"), 5_200).await.unwrap();
    for (query, names) in [
        ("", vec!["ann", "bob", "carl", "dora", "emil"]),
        ("?sort=-address", vec!["emil", "dora", "carl", "bob", "ann"]),
        ("?sort=name", vec!["ann", "bob", "carl", "dora", "emil"]),
        ("?sort=used", vec!["bob", "carl", "ann", "dora", "emil"]),
        ("?sort=-used", vec!["ann", "dora", "emil", "carl", "bob"]),
        ("?state=administrator", vec!["ann"]),
        ("?state=disabled", vec!["emil"]),
        ("?state=stopped", vec!["carl"]),
        ("?state=full", vec!["bob"]),
        ("?state=idle", vec!["bob", "carl", "emil"]),
        ("?state=one-step&q=o", vec!["ann", "bob", "carl", "dora", "emil"]),
        ("?q=DOR", vec!["dora"]),
        ("?q=nobody", vec![]),
        ("?state=disabled&q=dora", vec![]),
        ("?sort=nothing&state=nothing&page=x", vec!["ann", "bob", "carl", "dora", "emil"]),
    ] {
        let page = ann.get(&format!("/admin{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        assert_eq!(shown(&page), names, "{query}");
    }
    let seen = shown(&ann.get("/admin?sort=seen").await);
    assert_eq!(seen[2..], ["bob", "carl", "emil"], "those who signed in stand first");
    let text = ann.get("/admin?q=dora").await.text();
    assert!(text.contains("data-label=\"Last sign-in\">just now, IMAP<"), "{text}");
    // What failed is no sign-in, and stands on the account's page.
    let page = ann.get(&format!("/admin/accounts/{}", world.id("carl"))).await.text();
    assert!(page.contains("data-result=\"wrong-password\"") && page.contains("POP3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_turned_over_page_by_page() {
    let world = World::new().await;
    for number in 0..110 {
        let new = directory::NewAccount {
            address: mailkit::EmailAddress::parse(&format!("u{number:03}@example.org")).unwrap(),
            name: format!("User {number}"),
            password: PASSWORD.to_owned(),
            role: Role::User,
            quota_bytes: 0,
        };
        world.directory.create_account(new).await.unwrap();
    }
    let mut ann = world.signed_in("ann").await;
    let (mut address, mut seen, mut pages) = ("/admin?q=u&sort=-name".to_owned(), Vec::new(), 0);
    loop {
        let page = ann.get(&address).await;
        seen.extend(shown(&page));
        pages += 1;
        let text = page.text();
        let Some(at) = text.find("rel=\"next\"") else { break };
        let link = text[..at].rsplit("href=\"").next().unwrap();
        address = link.split('"').next().unwrap().replace("&#38;", "&");
    }
    assert_eq!((pages, seen.len()), (3, 110));
    assert_eq!(seen[0], "u099", "by the name, the other way round: User 99");
    let number = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), number, "each once");
    // Beyond the end is the last page.
    assert_eq!(shown(&ann.get("/admin?page=9999999999999").await).len(), 12);
    assert_eq!(shown(&ann.get("/admin?page=999").await).len(), 12);
}
