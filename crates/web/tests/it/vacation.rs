//! The page of the vacation reply, without scripts, and the line above all pages while it answers.

use axum::http::StatusCode;
use rules::{Book, Rule, Rules, Vacation};

use crate::world::{Answer, Browser, World};

const HERE: &str = "/settings/vacation";

fn kept(world: &World) -> Book {
    let current = Rules::new(world.store.clone()).current(world.id("ann").realm()).unwrap();
    Book::read(&current.text).unwrap()
}

fn vacation(world: &World) -> Option<Vacation> {
    kept(world).vacation().cloned()
}

async fn send(browser: &mut Browser, page: &Answer, fields: &[(&str, &str)]) -> Answer {
    let mut all: Vec<(&str, String)> = ["csrf", "key", "seen"]
        .map(|name| {
            // The first of each name that belongs to this form and not to the line above the page.
            let text = page.text();
            let (_, form) = text.split_once("action=\"/settings/vacation\" class=\"stack\"").unwrap();
            let (_, value) = form.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
            (name, value.split('"').next().unwrap().to_owned())
        })
        .into();
    all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
    browser.post(HERE, &all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reply_is_written_beside_the_rules_and_ended_with_one_press() {
    let world = World::new().await;
    world.directory.add_alias(world.id("ann"), "desk@example.org").await.unwrap();
    let mut ann = world.signed_in("ann").await;
    let realm = world.id("ann").realm();
    let mut book = Book::default();
    book.set_rule(None, Rule { actions: vec![rules::Action::Star], ..Rule::default() });
    Rules::new(world.store.clone()).put(realm, "mine", &book.text().unwrap()).await.unwrap();
    Rules::new(world.store.clone()).activate(realm, Some("mine")).await.unwrap();

    let page = ann.get(HERE).await;
    let mut fields = vec![
        ("on", "1"),
        ("from", "2026-01-01"),
        ("known", "1"),
        ("days", "3"),
        ("subject", "Away"),
        ("text", "Back on Monday.\n\n.\nAnn"),
        ("address-0", "ann@example.org"),
        ("subject-0", ""),
        ("text-0", ""),
        ("address-1", "desk@example.org"),
        ("subject-1", "The desk is empty"),
        ("text-1", "Ask <Bob>."),
        ("press", "preview"),
    ];
    let preview = send(&mut ann, &page, &fields).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text());
    assert!(preview.text().contains("id=\"preview\"") && preview.text().contains("Ask &#60;Bob&#62;."));
    assert!(vacation(&world).is_none() && !ann.get("/mail/inbox").await.has_code("vacation-on"));

    fields.retain(|(name, _)| *name != "press");
    fields.push(("press", "save"));
    let done = send(&mut ann, &preview, &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let now = vacation(&world).unwrap();
    assert_eq!((now.off, now.known_only, now.days, now.own.len()), (false, true, 3, 1));
    assert_eq!(now.text, "Back on Monday.\r\n\r\n.\r\nAnn");
    assert_eq!(now.from.as_ref().map(|day| day.date.as_str()), Some("2026-01-01"));
    assert_eq!(kept(&world).parts().len(), 2, "the rule is still there");
    assert!(Rules::new(world.store.clone()).active(realm).unwrap().is_some());

    // The form shows what is kept.
    let page = ann.get(HERE).await.text();
    for shown in ["value=\"2026-01-01\"", "Ask &#60;Bob&#62;.", "value=\"The desk is empty\"", "value=\"3\" selected"] {
        assert!(page.contains(shown), "{shown} {page}");
    }
    let inbox = ann.get("/mail/inbox").await;
    assert!(inbox.has_code("vacation-on"));
    let (_, line) =
        inbox.text().split_once("data-code=\"vacation-on\"").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let key = line.split_once("name=\"key\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let fields =
        [("csrf", inbox.csrf()), ("key", key), ("back", "/mail/inbox".to_owned()), ("press", "end".to_owned())];
    let ended = ann.post(HERE, &fields).await;
    assert_eq!((ended.status, ended.location().starts_with("/mail/inbox")), (StatusCode::SEE_OTHER, true));
    assert!(!ann.get("/mail/inbox").await.has_code("vacation-on"));
    assert_eq!(vacation(&world), Some(Vacation { off: true, ..now }), "all of it is kept for the next time");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_make_no_sense_and_replies_without_text_are_told() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    for (field, fields) in [
        ("text", vec![("on", "1"), ("text", " \n")]),
        ("until", vec![("on", "1"), ("text", "x"), ("from", "2999-02-02"), ("until", "2999-02-01")]),
        ("until", vec![("on", "1"), ("text", "x"), ("until", "2001-02-01")]),
        ("from", vec![("on", "1"), ("text", "x"), ("from", "soon")]),
    ] {
        let page = ann.get(HERE).await;
        let answer = send(&mut ann, &page, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        assert!(!answer.wrong(field).is_empty(), "{fields:?}");
    }
    assert!(vacation(&world).is_none());
    // A reply that has not begun, or is over, is no news above the pages.
    for (from, until, shown) in
        [("2999-01-01", "", false), ("2001-01-01", "2999-01-01", true), ("", "2999-01-01", true)]
    {
        let page = ann.get(HERE).await;
        let fields = [("on", "1"), ("text", "x"), ("from", from), ("until", until), ("days", "7"), ("press", "save")];
        let done = send(&mut ann, &page, &fields).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
        assert_eq!(ann.get("/mail/inbox").await.has_code("vacation-on"), shown, "{from} {until}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_an_older_version_changes_nothing_and_shows_both() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let page = ann.get(HERE).await;
    let fields = |text| [("on", "1"), ("text", text), ("days", "7"), ("press", "save")];
    assert_eq!(send(&mut ann, &page, &fields("first")).await.status, StatusCode::SEE_OTHER);
    let late = send(&mut ann, &page, &fields("second")).await;
    assert_eq!((late.status, late.has_code("rules-changed")), (StatusCode::CONFLICT, true));
    assert!(late.text().contains("first") && late.text().contains("second"), "{}", late.text());
    assert_eq!(vacation(&world).unwrap().text, "first");
    assert_eq!(send(&mut ann, &late, &fields("second")).await.status, StatusCode::SEE_OTHER);
    assert_eq!(vacation(&world).unwrap().text, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_of_a_script_by_hand_is_not_doubled() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let (rules, realm) = (Rules::new(world.store.clone()), world.id("ann").realm());
    let by_hand = "require \"vacation\";\nvacation :days 3 \"Away\";\n";
    rules.put(realm, "own", by_hand).await.unwrap();
    rules.activate(realm, Some("own")).await.unwrap();
    let page = ann.get(HERE).await;
    let answer = send(&mut ann, &page, &[("on", "1"), ("text", "x"), ("press", "save")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!answer.wrong("on").is_empty());
    assert_eq!(rules.get(realm, "own").unwrap(), by_hand);
}
