//! Promises about the search of the pages.

use crate::world::World;
use mailstore::Role;

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_by_operators_and_text() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    world.file("ann", inbox, b"From: Noor <noor@example.com>\r\nSubject: Ladder\r\n\r\nbehind the shed\r\n").await;
    world.file("ann", inbox, b"From: Ines <ines@example.com>\r\nSubject: Photos\r\n\r\nof the harbour\r\n").await;
    let mut browser = world.signed_in("ann").await;
    for (query, ladder, photos) in [
        ("from:noor", true, false),
        ("subject:photos", false, true),
        ("shed", true, false),
        ("the", true, true),
        ("-from:noor", false, true),
        ("is:unread+in:inbox", true, true),
        ("in:trash", false, false),
    ] {
        let text = browser.get(&format!("/search?q={query}")).await.text();
        assert_eq!(text.contains(">Ladder<"), ladder, "{query}");
        assert_eq!(text.contains(">Photos<"), photos, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_words_as_people_type_them() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let text = "Content-Type: text/plain; charset=utf-8\r\n\r\nTreffpunkt Caf\u{e9} \u{c9}lys\u{e9}e, Stra\u{df}e nach \u{141}\u{f3}d\u{17a}. \
        \u{39f}\u{394}\u{39f}\u{3a3}\u{397}\u{39c}\u{391}\u{39d}\u{3a3}\u{397}. \u{130}stanbul. Rech\u{ad}nung\r\nKunden\r\nNummer\r\n";
    let raw = format!("From: N\u{f8}\u{f8}r <noor@example.com>\r\nSubject: Bahnhof Z\u{fc}rich\r\n{text}");
    world.file("ann", inbox, raw.as_bytes()).await;
    let mut browser = world.signed_in("ann").await;
    for query in [
        "zurich",
        "ZU\u{308}RICH",
        "cafe",
        "elysee",
        "strasse",
        "STRASSE",
        "lodz",
        "\u{3bf}\u{3b4}\u{3bf}\u{3c2}",
        "\u{39f}\u{394}\u{39f}\u{3a3}",
        "istanbul",
        "rechnung",
        "\"kunden nummer\"",
        "from:noor",
        "from:n\u{f6}\u{f6}r",
        "subject:zurich",
        "nothere OR cafe",
    ] {
        let typed = form_urlencoded::byte_serialize(query.as_bytes()).collect::<String>();
        let text = browser.get(&format!("/search?q={typed}")).await.text();
        assert!(text.contains("<ol class=\"rows\""), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_search_does_not_understand_is_told() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    world.file("ann", inbox, b"From: noor@example.com\r\nSubject: Ladder\r\n\r\nshed\r\n").await;
    let mut browser = world.signed_in("ann").await;
    for (query, found) in [
        ("before:foo", false),
        ("before:foo+shed", true),
        ("is:foo", false),
        ("in:nonexistent+shed", true),
        ("frm:ada", false),
        ("larger:x", false),
    ] {
        let text = browser.get(&format!("/search?q={query}")).await.text();
        assert!(text.contains("data-code=\"search-not-understood\""), "{query}");
        assert_eq!(text.contains(">Ladder<"), found, "{query}");
    }
    for query in ["shed", "after:yesterday+shed", "to:me", "filename:pdf", "http://x"] {
        let text = browser.get(&format!("/search?q={query}")).await.text();
        assert!(!text.contains("data-code=\"search-not-understood\""), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_search_finds_is_shown_page_by_page() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    for n in 0..95 {
        let raw = format!("From: x{n}@example.com\r\nSubject: number {n}.\r\n\r\ntide\r\n");
        world.file("ann", inbox, raw.as_bytes()).await;
    }
    let mut browser = world.signed_in("ann").await;
    let (mut path, mut seen) = ("/search?q=tide".to_owned(), Vec::new());
    for shown in ["1\u{2013}40 of 95", "41\u{2013}80 of 95", "81\u{2013}95 of 95"] {
        let text = browser.get(&path).await.text();
        assert!(text.contains(shown), "{path}: {text}");
        let on_it = (0..95).filter(|n| text.contains(&format!("<span class=\"subject\">number {n}.<")));
        seen.extend(on_it);
        if let Some((before, _)) = text.split_once("\" rel=\"next\"") {
            path = before.rsplit("href=\"").next().unwrap().replace("&#38;", "&");
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..95).collect::<Vec<_>>());
}
