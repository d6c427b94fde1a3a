//! Promises of the page of what one sees, without scripts.

use axum::http::StatusCode;
use directory::{Display, Settings};
use jiff::Timestamp;
use mailstore::Role;

use crate::world::{Answer, Browser, World};

const HERE: &str = "/settings/display";

async fn save(browser: &mut Browser, fields: &[(&str, &str)]) -> Answer {
    let mut all = vec![("csrf", browser.get(HERE).await.csrf())];
    all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
    browser.post(HERE, &all).await
}

fn letter(date: &str, subject: &str) -> Vec<u8> {
    format!("From: Zoe <zoe@x.test>\r\nTo: bob@example.org\r\nDate: {date}\r\nSubject: {subject}\r\n\r\nhello\r\n")
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_holds_on_all_pages_of_the_account_alone() {
    let world = World::new().await;
    let (mut bob, mut ann) = (world.signed_in("bob").await, world.signed_in("ann").await);
    let fields = [
        ("density", "compact"),
        ("theme", "dark"),
        ("zone", "Asia/Kolkata"),
        ("weekday", "7"),
        ("dates", "month-first"),
        ("clock", "12"),
    ];
    let saved = save(&mut bob, &fields).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER);
    assert!(bob.get(&saved.location()).await.has_code("settings"));
    let page = bob.get(HERE).await.text();
    for (name, value) in fields {
        let (_, after) = page.split_once(&format!("name=\"{name}\"")).unwrap();
        let chosen = after.split("</select>").next().unwrap();
        assert!(chosen.contains(&format!("value=\"{value}\" selected")), "{name}: {chosen}");
    }
    for path in
        ["/mail/inbox", "/compose", "/people", "/settings", HERE, "/search?q=x", "/rewind", "/mailboxes", "/help"]
    {
        let text = bob.get(path).await.text();
        assert!(text.contains("data-theme=\"dark\" data-density=\"compact\""), "{path}");
        let text = ann.get(path).await.text();
        assert!(text.contains("data-theme=\"auto\" data-density=\"normal\""), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_not_is_no_choice() {
    let world = World::new().await;
    let mut bob = world.signed_in("bob").await;
    save(&mut bob, &[("density", "compact"), ("zone", "Europe/Berlin")]).await;
    let long = "x".repeat(5_000);
    for zone in ["Mars/Phobos", "../../etc/passwd", "Europe/Berlin\0", "<b>", &long] {
        let refused = save(&mut bob, &[("density", "comfortable"), ("zone", zone)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{zone:?}");
        assert!(!refused.wrong("zone").is_empty(), "{zone:?}");
        assert!(refused.text().contains("value=\"comfortable\" selected"), "what was chosen beside it is kept");
    }
    let kept = world.directory.display(world.id("bob")).unwrap();
    assert_eq!((kept.density.as_str(), kept.time_zone.as_str()), ("compact", "Europe/Berlin"));
    // Anything else that is no choice is the default.
    let fields = [("density", "huge"), ("theme", "pink"), ("weekday", "9"), ("dates", "roman"), ("clock", "13")];
    assert_eq!(save(&mut bob, &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(world.directory.display(world.id("bob")).unwrap(), Display::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_are_shown_searched_and_quoted_in_the_zone_of_the_account() {
    let world = World::new().await;
    let inbox = world.mailbox("bob", Role::Inbox).id;
    let mut bob = world.signed_in("bob").await;
    // Five minutes before and after midnight in Kolkata, half an hour away from any full hour of UTC.
    world.file("bob", inbox, &letter("Tue, 10 Mar 2026 18:25:00 +0000", "Evening")).await;
    let night = world.file("bob", inbox, &letter("Tue, 10 Mar 2026 18:35:00 +0000", "Night")).await;
    save(&mut bob, &[("zone", "Asia/Kolkata"), ("dates", "iso"), ("clock", "12")]).await;
    let list = bob.get("/mail/inbox").await.text();
    assert!(
        list.contains("title=\"Tuesday 2026-03-10, 11:55 PM\"")
            && list.contains("title=\"Wednesday 2026-03-11, 12:05 AM\"")
    );
    for (query, evening, night) in [
        ("on:2026-03-10", true, false),
        ("on:2026-03-11", false, true),
        ("before:2026-03-11", true, false),
        ("after:2026-03-11", false, true),
        ("-on:2026-03-11 subject:evening", true, false),
        ("on:2026-03-10 OR on:2026-03-11", true, true),
    ] {
        let found = bob.get(&format!("/search?q={}", query.replace(' ', "%20"))).await.text();
        assert_eq!((found.contains(">Evening<"), found.contains(">Night<")), (evening, night), "{query}");
    }
    let reply = bob.get(&format!("/compose?reply={}", night.email_id)).await.text();
    assert!(reply.contains("2026-03-11 at 12:05 AM"), "{reply}");
    // The same in a zone in which it was still the day before.
    save(&mut bob, &[("zone", "America/New_York"), ("dates", "day-first")]).await;
    let found = bob.get("/search?q=on:10/03/2026").await;
    let text = found.text();
    assert!(text.contains(">Evening<") && text.contains(">Night<"));
    assert!(!found.has_code("search-not-understood"), "the reader has said which number is the day");
    let reply = bob.get(&format!("/compose?reply={}", night.email_id)).await.text();
    assert!(reply.contains("10/03/2026 at 14:35"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_s_zone_holds_until_one_is_chosen_and_is_told_where_it_differs() {
    let world = World::new().await;
    let mut bob = world.signed_in("bob").await;
    bob.cookie("tz", "Asia/Tokyo");
    assert!(bob.get(HERE).await.text().contains("(Asia/Tokyo)"));
    let inbox = world.mailbox("bob", Role::Inbox).id;
    world.file("bob", inbox, &letter("Tue, 10 Mar 2026 18:25:00 +0000", "Morning")).await;
    assert!(bob.get("/mail/inbox").await.text().contains("Wednesday 11 March 2026, 03:25"));
    save(&mut bob, &[("zone", "Europe/Berlin")]).await;
    assert!(bob.get("/mail/inbox").await.text().contains("Tuesday 10 March 2026, 19:25"));
    assert!(bob.get(HERE).await.text().contains("time zone is Asia/Tokyo"));
    bob.cookie("tz", "No/Where");
    assert!(!bob.get(HERE).await.text().contains("No/Where"), "what a browser says is no text of the page");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_chosen_before_there_was_this_page_still_holds() {
    let world = World::new().await;
    let old = Settings { theme: "dark".into(), time_zone: "Asia/Tokyo".into(), ..Settings::default() };
    world.directory.set_settings(world.id("bob"), old).await.unwrap();
    let mut bob = world.signed_in("bob").await;
    let page = bob.get(HERE).await.text();
    assert!(page.contains("data-theme=\"dark\"") && page.contains("value=\"Asia/Tokyo\" selected"));
    save(&mut bob, &[("theme", "light")]).await;
    assert!(bob.get("/mail/inbox").await.text().contains("data-theme=\"light\""));
    // The general page knows nothing of it, and changes nothing of it.
    let csrf = bob.get("/settings").await.csrf();
    bob.post("/settings", &[("csrf", csrf), ("name", "Bob".into()), ("theme", "dark".into())]).await;
    assert!(bob.get("/mail/inbox").await.text().contains("data-theme=\"light\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_brings_back_what_was_chosen_then_and_undoing_it_what_was_chosen_since() {
    let world = World::new().await;
    let mut bob = world.signed_in("bob").await;
    save(&mut bob, &[("density", "compact"), ("zone", "Asia/Tokyo")]).await;
    let before = Timestamp::now().as_millisecond();
    while Timestamp::now().as_millisecond() <= before + 1 {
        std::hint::spin_loop();
    }
    save(&mut bob, &[("density", "comfortable"), ("zone", "Europe/Berlin")]).await;
    let density = || world.directory.display(world.id("bob")).unwrap().density;
    let page = bob.get(&format!("/rewind/preview?moment={before}&what=all")).await;
    assert!(page.text().contains("display setting"), "{}", page.text());
    let mut fields: Vec<(&str, String)> =
        ["csrf", "key", "moment", "what"].into_iter().map(|name| (name, page.value(name))).collect();
    fields.push(("do", "all".into()));
    let done = bob.post("/rewind/run", &fields).await;
    assert_eq!((done.status, density().as_str()), (StatusCode::SEE_OTHER, "compact"));
    let told = bob.get(&done.location()).await;
    let undo = [("csrf", told.csrf()), ("action", told.value("action")), ("back", "/rewind".into())];
    assert_eq!(bob.post("/undo", &undo).await.status, StatusCode::SEE_OTHER);
    assert_eq!(density(), "comfortable");
}
