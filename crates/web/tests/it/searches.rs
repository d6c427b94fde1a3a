//! Saved and recent searches, and what the search field suggests.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use mailstore::Role;

use crate::world::{Answer, Browser, World};

const HERE: &str = "/searches";

async fn act(browser: &mut Browser, fields: &[(&str, &str)]) -> Answer {
    let page = browser.get(HERE).await;
    let mut all = vec![("csrf", page.csrf())];
    all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
    browser.post(HERE, &all).await
}

/// The names of the saved searches in the side bar.
async fn names(browser: &mut Browser) -> Vec<String> {
    let page = browser.get("/mail/inbox").await.text();
    let list = page.split_once("id=\"searches\"").unwrap().1.split("</ul>").next().unwrap().to_owned();
    list.split("class=\"name\">").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

/// A search as one of our pages makes it.
async fn search(browser: &mut Browser, query: &str, site: &str) -> Answer {
    let request = Request::get(format!("/search?q={query}")).header("sec-fetch-site", site);
    browser.send(request.body(Body::empty()).unwrap()).await
}

async fn suggested(browser: &mut Browser, typed: &str) -> Vec<(String, String)> {
    let answer = browser.get(&format!("/search/suggest?q={typed}")).await;
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    json.as_array().unwrap().iter().map(|offer| (text(&offer["kind"]), text(&offer["query"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_saved_renamed_ordered_deleted_and_brought_back() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    assert!(search(&mut ann, "is:unread", "same-origin").await.text().contains("/searches?q=is%3Aunread"));
    assert!(ann.get("/searches?q=is%3Aunread").await.text().contains("value=\"is:unread\""));
    for (name, query) in [("New <1>", "is:unread"), ("Bob", "from:bob OR to:bob"), ("Big", "larger:5m")] {
        let done = act(&mut ann, &[("verb", "save"), ("name", name), ("query", query)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
        assert!(done.location().starts_with("/search?q="), "{}", done.location());
    }
    assert_eq!(names(&mut ann).await, ["New &#60;1&#62;", "Bob", "Big"]);
    // The same again is there already.
    act(&mut ann, &[("verb", "save"), ("name", "Bob"), ("query", "from:bob OR to:bob")]).await;
    let saved = saved::SavedSearches::new(world.store.clone());
    let ids: Vec<String> = saved.list(world.id("ann").realm()).unwrap().iter().map(|it| it.id.to_string()).collect();
    assert_eq!(ids.len(), 3);
    act(&mut ann, &[("verb", "up"), ("id", &ids[2])]).await;
    act(&mut ann, &[("verb", "down"), ("id", &ids[0])]).await;
    assert_eq!(names(&mut ann).await, ["Big", "New &#60;1&#62;", "Bob"]);
    act(&mut ann, &[("verb", "change"), ("id", &ids[2]), ("name", "Large"), ("query", "larger:9m")]).await;
    assert_eq!(names(&mut ann).await[0], "Large");
    let gone = act(&mut ann, &[("verb", "delete"), ("id", &ids[2])]).await;
    assert_eq!(names(&mut ann).await, ["New &#60;1&#62;", "Bob"]);
    let page = ann.get(&gone.location()).await;
    let undo = [("csrf", page.csrf()), ("action", page.value("action")), ("back", HERE.to_owned())];
    assert_eq!(ann.post("/undo", &undo).await.status, StatusCode::SEE_OTHER);
    assert_eq!(names(&mut ann).await, ["Large", "New &#60;1&#62;", "Bob"]);
    for (field, name, query) in [("name", " ", "x"), ("query", "x", ""), ("query", "x", &"y".repeat(401))] {
        let wrong = act(&mut ann, &[("verb", "save"), ("name", name), ("query", query)]).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!wrong.wrong(field).is_empty(), "{field}");
    }
    // Nobody else has them.
    let mut bob = world.signed_in("bob").await;
    assert!(names(&mut bob).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn recent_searches_are_those_of_our_own_pages() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let saved = saved::SavedSearches::new(world.store.clone());
    let recent = || saved.recent(world.id("ann").realm()).unwrap();
    for (query, site) in [
        ("one", "same-origin"),
        ("two", "cross-site"),
        ("three", "none"),
        ("four", "same-origin"),
        ("one", "same-origin"),
    ] {
        assert_eq!(search(&mut ann, query, site).await.status, StatusCode::OK);
    }
    assert_eq!(recent(), ["one", "four"]);
    assert!(ann.get("/mail/inbox").await.text().contains("<option value=\"four\">"));
    for at in 0..20 {
        search(&mut ann, &format!("q{at}"), "same-origin").await;
    }
    assert_eq!((recent().len(), recent()[0].as_str()), (saved::MAX_RECENT, "q19"));
    act(&mut ann, &[("verb", "forget")]).await;
    assert!(recent().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_field_suggests_people_mailboxes_words_and_earlier_searches() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let raw =
        b"From: Carla Tide <carla@example.net>\r\nTo: ann@example.org\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\nHi\r\n";
    world.file("ann", inbox, raw).await;
    search(&mut ann, "harbour%20fees", "same-origin").await;
    act(&mut ann, &[("verb", "save"), ("name", "Fees"), ("query", "subject:fees")]).await;
    let has =
        |offers: &[(String, String)], kind: &str, query: &str| offers.iter().any(|(k, q)| k == kind && q == query);
    for (typed, kind, query) in [
        ("", "recent", "harbour fees"),
        ("fees", "saved", "subject:fees"),
        ("harb", "recent", "harbour fees"),
        ("from:car", "person", "from:carla@example.net"),
        ("x%20from:Tid", "person", "x from:carla@example.net"),
        ("carl", "person", "from:carla@example.net"),
        ("to:m", "person", "to:me"),
        ("in:arch", "mailbox", "in:archive"),
        ("tides%20is:un", "word", "tides is:unread"),
        ("bef", "word", "before:"),
    ] {
        let offers = suggested(&mut ann, typed).await;
        assert!(has(&offers, kind, query), "{typed}: {offers:?}");
        assert!(offers.len() <= 8);
    }
    assert!(suggested(&mut ann, "zzzz").await.is_empty());
}
