//! Promises of going back on the web.

use crate::world::{Answer, Browser, World};
use axum::http::StatusCode;
use jiff::Timestamp;
use mailstore::{Role, Uid};

fn moment() -> i64 {
    let now = Timestamp::now().as_millisecond();
    while Timestamp::now().as_millisecond() <= now + 1 {
        std::hint::spin_loop();
    }
    now
}

/// Bob with three messages in the inbox, which are then all gone; the moment before.
async fn emptied(world: &World) -> i64 {
    let inbox = world.mailbox("bob", Role::Inbox).id;
    for n in 0..3 {
        let raw =
            format!("From: Ann <ann@example.org>\r\nSubject: Letter <{n}>\r\nMessage-ID: <{n}@x>\r\n\r\ntext\r\n");
        world.file("bob", inbox, raw.as_bytes()).await;
    }
    let before = moment();
    let uids: Vec<Uid> = (1..=3).map(Uid).collect();
    world.mail.expunge(world.id("bob").realm(), inbox, &uids).await.unwrap();
    before
}

async fn press(browser: &mut Browser, page: &Answer, more: &[(&str, String)]) -> Answer {
    let mut fields: Vec<(&str, String)> =
        ["csrf", "key", "moment", "what"].into_iter().map(|name| (name, page.value(name))).collect();
    fields.extend(more.iter().cloned());
    browser.post("/rewind/run", &fields).await
}

fn inbox(world: &World) -> u32 {
    world.mailbox("bob", Role::Inbox).total
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_seen_first_brought_back_once_and_can_be_undone() {
    let world = World::new().await;
    let at = emptied(&world).await;
    let mut bob = world.signed_in("bob").await;
    assert!(bob.get("/rewind").await.text().contains("action=\"/rewind/preview\""));
    let page = bob.get(&format!("/rewind/preview?moment={at}&what=all")).await;
    let text = page.text();
    assert!(text.contains("Letter &#60;2&#62;") && text.contains("3 messages") && page.has_code("preview"));
    assert_eq!(inbox(&world), 0);

    let none = press(&mut bob, &page, &[("do", "chosen".into())]).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(none.has_code("nothing-selected"));
    let one = page.value("id");
    let done = press(&mut bob, &page, &[("do", "chosen".into()), ("id", one)]).await;
    assert_eq!((done.status, inbox(&world)), (StatusCode::SEE_OTHER, 1));
    for _ in 0..2 {
        let done = press(&mut bob, &page, &[("do", "all".into())]).await;
        assert_eq!((done.status, inbox(&world)), (StatusCode::SEE_OTHER, 3));
        let told = bob.get(&done.location()).await;
        assert!(told.text().contains("2 messages restored."), "{}", told.text());
    }
    let again = bob.get(&format!("/rewind/preview?moment={at}&what=all")).await;
    assert!(again.has_code("nothing-to-restore"));

    let done = press(&mut bob, &page, &[("do", "all".into())]).await;
    let told = bob.get(&done.location()).await;
    let undo = [("csrf", told.csrf()), ("action", told.value("action")), ("back", "/rewind".into())];
    assert_eq!(bob.post("/undo", &undo).await.status, StatusCode::SEE_OTHER);
    assert_eq!(inbox(&world), 1);
    let list = bob.get("/rewind").await;
    let undo = [("csrf", list.csrf()), ("id", list.value("id"))];
    assert_eq!(bob.post("/rewind/undo", &undo).await.status, StatusCode::SEE_OTHER);
    assert_eq!(inbox(&world), 0, "the one before it is undone from the list");
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_that_can_not_be_are_told() {
    let world = World::new().await;
    let mut bob = world.signed_in("bob").await;
    for (query, told) in [
        ("at=soon&what=all", "a date such as 29 November"),
        ("at=&what=all", "a date such as 29 November"),
        ("date=11%2F12%2F2020&time=10&what=all", "11 December 2020"),
        ("date=soon&time=10&what=all", "isn\u{2019}t a date"),
        ("date=yesterday&time=late&what=all", "isn\u{2019}t a time"),
        ("date=1+March+2001&time=18%3A05&what=all", "did not exist"),
        ("moment=x&what=all", "a date such as 29 November"),
        ("at=2999-01-01T00:00&what=all", "in the future"),
        ("at=2001-01-01T00:00&what=all", "did not exist"),
        ("moment=9223372036854775807&what=all", "in the future"),
        ("moment=-9223372036854775808&what=all", "did not exist"),
    ] {
        let page = bob.get(&format!("/rewind/preview?{query}")).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert!(page.text().contains(told), "{query}: {}", page.text());
    }
    let now = moment();
    let page = bob.get(&format!("/rewind/preview?moment={now}&what=mailbox:Nope")).await;
    assert!(page.text().contains("no mailbox named"), "{}", page.text());
    let page = bob.get("/rewind").await;
    let fields = [("csrf", page.csrf()), ("moment", "x".into())];
    assert_eq!(bob.post("/rewind/run", &fields).await.status, StatusCode::BAD_REQUEST);
    let fields = [("csrf", page.csrf()), ("id", "00".into())];
    assert_eq!(bob.post("/rewind/undo", &fields).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_take_any_account_back_and_do_not_see_what_it_says() {
    let world = World::new().await;
    let at = emptied(&world).await;
    let (mut ann, mut bob) = (world.signed_in("ann").await, world.signed_in("bob").await);
    let whose = world.id("bob");
    let query = format!("/rewind/preview?moment={at}&what=all&account={whose}");
    let annas = query.replace(&format!("account={whose}"), &format!("account={}", world.id("ann")));
    assert_eq!(bob.get(&annas).await.status, StatusCode::FORBIDDEN);
    let page = ann.get(&query).await;
    assert!(page.text().contains("bob@example.org") && page.text().contains("3 messages"), "{}", page.text());
    assert!(!page.text().contains("Letter"));
    let forged = press(&mut bob, &page, &[("do", "all".into()), ("account", world.id("ann").to_string())]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let done = press(&mut ann, &page, &[("do", "all".into()), ("account", whose.to_string())]).await;
    assert_eq!((done.status, inbox(&world)), (StatusCode::SEE_OTHER, 3));
    let told = ann.get(&done.location()).await;
    assert!(told.text().contains("3 messages restored."), "{}", told.text());
    let fields = [("csrf", told.csrf()), ("id", told.value("id")), ("account", whose.to_string())];
    assert_eq!(ann.post("/rewind/undo", &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(inbox(&world), 0);
    let trail = world.directory.audit_trail(Some(whose), None, 10).unwrap();
    assert!(trail.iter().any(|entry| entry.who == "ann@example.org" && entry.what.contains("everything taken back")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_is_brought_back_by_an_administrator() {
    let world = World::new().await;
    let inbox_id = world.mailbox("bob", Role::Inbox).id;
    world.file("bob", inbox_id, b"Subject: kept\r\n\r\nkept\r\n").await;
    let whose = world.id("bob");
    moment();
    world.directory.delete_account(whose).await.unwrap();
    let mut ann = world.signed_in("ann").await;
    let page = ann.get("/admin").await;
    assert!(page.text().contains("Deleted accounts"));
    let fields = [("csrf", page.csrf()), ("id", whose.to_string()), ("do", "restore".into())];
    let done = ann.post("/admin/accounts", &fields).await;
    assert!(ann.get(&done.location()).await.has_code("broughtback"), "{}", done.text());
    world.signed_in("bob").await;
    assert_eq!((world.id("bob"), inbox(&world)), (whose, 1));
    let again = ann.post("/admin/accounts", &fields).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
}
