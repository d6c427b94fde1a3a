//! Promises about writing as one of one's addresses: name, Reply-To, Bcc and signature.

use axum::http::StatusCode;
use mailstore::Role;

use crate::world::{Browser, World};
use crate::writing::key_and_csrf;

const DESK: &str = "desk@example.org";

async fn with_alias(world: &World) -> Browser {
    world.directory.add_alias(world.id("ann"), DESK).await.unwrap();
    world.signed_in("ann").await
}

/// Saves the page with these fields of the alias; all others are empty.
async fn save(browser: &mut Browser, from: &str, fields: &[(&str, &str)]) -> crate::world::Answer {
    let csrf = browser.get("/settings/addresses").await.csrf();
    let named: Vec<(String, String)> =
        fields.iter().map(|(name, value)| (format!("{name}:{DESK}"), (*value).to_owned())).collect();
    let mut all = vec![("csrf", csrf), ("from", from.to_owned())];
    all.extend(named.iter().map(|(name, value)| (name.as_str(), value.clone())));
    browser.post("/settings/addresses", &all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_written_as_its_address_says() {
    let world = World::new().await;
    let mut browser = with_alias(&world).await;
    let fields = [
        ("name", "The Desk"),
        ("reply", "bob@example.org"),
        ("bcc", "Bob <bob@example.org>"),
        ("signature", "Desk\nHarbour 1"),
    ];
    assert_eq!(save(&mut browser, DESK, &fields).await.status, StatusCode::SEE_OTHER);
    let page = browser.get("/compose").await;
    assert!(page.text().contains(&format!("value=\"{DESK}\" data-bcc=\"Bob ")), "{}", page.text());
    let bcc = page.text().split("id=\"bcc\"").nth(1).unwrap().split('>').next().unwrap().to_owned();
    assert!(page.text().contains("-- \nDesk\nHarbour 1") && bcc.contains("bob@example.org"), "{bcc}");
    let sent = [
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("back", "/mail/inbox".to_owned()),
        ("from", DESK.to_owned()),
        ("to", "ann@example.org".to_owned()),
        ("cc", String::new()),
        ("bcc", "bob@example.org".to_owned()),
        ("subject", "Tides".to_owned()),
        ("text", "Noon".to_owned()),
        ("do", "send".to_owned()),
    ];
    assert_eq!(browser.compose(&sent, &[]).await.status, StatusCode::SEE_OTHER);
    let (realm, mailbox) = (world.id("ann").realm(), world.mailbox("ann", Role::Sent).id);
    let view = world.mail.view(realm, mailbox).unwrap();
    let entry = world.mail.entries(realm, mailbox, view.uids()).unwrap().remove(0);
    let raw = world.mail.body(realm, entry.email_id).unwrap().read_all().unwrap();
    let raw = String::from_utf8_lossy(&raw).into_owned();
    for (field, value) in
        [("From", DESK), ("From", "The Desk"), ("Reply-To", "bob@example.org"), ("Bcc", "bob@example.org")]
    {
        let line = raw.lines().find(|line| line.starts_with(&format!("{field}:"))).unwrap_or_default();
        assert!(line.contains(value), "{field}: {line}");
    }
    // The login writes as before.
    let page = browser.get("/settings/addresses").await.text();
    assert!(page.contains(&format!("value=\"{DESK}\" checked")), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_from_the_address_that_was_written_to_with_its_signature() {
    let world = World::new().await;
    let mut browser = with_alias(&world).await;
    save(&mut browser, "ann@example.org", &[("signature", "Desk")]).await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    for (to, from, signed) in
        [("desk", DESK, true), ("ann", "ann@example.org", false), ("list", "ann@example.org", false)]
    {
        let raw = format!("From: bob@example.org\r\nTo: {to}@example.org\r\nSubject: Q\r\n\r\nA question\r\n");
        let filed = world.file("ann", inbox, raw.as_bytes()).await;
        let page = browser.get(&format!("/compose?reply={}", filed.email_id)).await;
        assert!(page.text().contains(&format!("value=\"{from}\" data-bcc=\"\"")), "{to}");
        let selected = page.text().split("<option").find(|option| option.contains(" selected")).map(str::to_owned);
        assert!(selected.as_deref().unwrap_or_default().contains(from), "{to}: {selected:?}");
        assert_eq!(page.text().contains("\n\n-- \nDesk\n"), signed, "{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_to_is_said_beside_its_field_and_nothing_is_kept() {
    let world = World::new().await;
    let mut browser = with_alias(&world).await;
    let many = "bob@example.org, a@a.example, b@a.example, c@a.example, d@a.example, e@a.example";
    let long = "x".repeat(20_000);
    for (field, value) in [
        ("reply", "no address"),
        ("reply", "bob@example.org, ann@example.org"),
        ("reply", "bob@example.org\r\nBcc: eve@example.org"),
        ("bcc", "bob@example.org, carl"),
        ("bcc", many),
        ("name", long.as_str()),
        ("signature", long.as_str()),
    ] {
        let answer = save(&mut browser, DESK, &[(field, value)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {}", &value[..value.len().min(60)]);
        assert!(!answer.wrong(&format!("{field}-2")).is_empty(), "{field}");
    }
    let settings = world.directory.settings(world.id("ann")).unwrap();
    assert!(settings.identities.is_empty() && settings.writes_from.is_empty());
    // Addresses that are not the account's are not taken, whatever the form says.
    save(&mut browser, "bob@example.org", &[]).await;
    let csrf = browser.get("/settings/addresses").await.csrf();
    let foreign = [("csrf", csrf), ("from", "bob@example.org".to_owned()), ("name:bob@example.org", "B".to_owned())];
    browser.post("/settings/addresses", &foreign).await;
    let settings = world.directory.settings(world.id("ann")).unwrap();
    assert!(settings.identities.is_empty() && settings.writes_from.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_a_page_that_an_address_filled_in() {
    let world = World::new().await;
    let mut browser = with_alias(&world).await;
    save(&mut browser, DESK, &[("bcc", "bob@example.org"), ("signature", "Desk")]).await;
    let (key, csrf) = key_and_csrf(&mut browser, "/compose").await;
    let fields = [
        ("csrf", csrf),
        ("key", key),
        ("back", "/mail/inbox".to_owned()),
        // Another address was chosen without a script: the text below is still that of the first.
        ("from", "ann@example.org".to_owned()),
        ("to", String::new()),
        ("cc", String::new()),
        ("bcc", "bob@example.org".to_owned()),
        ("subject", String::new()),
        ("text", "\r\n\r\n-- \r\nDesk".to_owned()),
        ("do", "save".to_owned()),
    ];
    browser.compose(&fields, &[]).await;
    assert_eq!(world.mailbox("ann", Role::Drafts).total, 0);
}
