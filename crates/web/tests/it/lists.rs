//! Promises of lists: what a row says, and acts on all of a mailbox.

use crate::world::{Answer, Browser, World};
use axum::http::StatusCode;
use mailstore::{Role, SystemFlag, Uid};

async fn file_many(world: &World, from: usize, to: usize) {
    let inbox = world.mailbox("ann", Role::Inbox).id;
    for n in from..to {
        let raw = format!("From: bob@example.org\r\nTo: ann@example.org\r\nSubject: Letter {n}\r\n\r\nNumber {n}\r\n");
        world.file("ann", inbox, raw.as_bytes()).await;
    }
}

/// Press a button of the list with everything ticked.
async fn press(browser: &mut Browser, page: &Answer, button: (&'static str, &str), all: bool) -> Answer {
    let mut fields = vec![
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("mailbox", page.value("mailbox")),
        ("back", "/mail/inbox".to_owned()),
        ("upto", page.value("upto")),
        ("id", first_row(page)),
        (button.0, button.1.to_owned()),
    ];
    if all {
        fields.push(("all", "1".to_owned()));
    }
    browser.post("/act", &fields).await
}

fn first_row(page: &Answer) -> String {
    let text = page.text();
    let at = text.find("name=\"id\" value=\"").unwrap() + "name=\"id\" value=\"".len();
    text[at..].split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_mailbox_is_offered_where_it_is_more_than_a_page() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    file_many(&world, 0, 3).await;
    assert!(!ann.get("/mail/inbox").await.text().contains("name=\"all\""));
    file_many(&world, 3, 60).await;
    let first = ann.get("/mail/inbox").await.text();
    assert!(first.contains("name=\"all\"") && first.contains("60 messages in Inbox"), "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_on_all_reaches_every_page_and_nothing_that_came_since() {
    for (verb, target) in [("archive", Role::Archive), ("delete", Role::Trash), ("junk", Role::Junk)] {
        let world = World::new().await;
        let mut ann = world.signed_in("ann").await;
        file_many(&world, 0, 60).await;
        let page = ann.get("/mail/inbox").await;
        file_many(&world, 60, 62).await;
        let done = press(&mut ann, &page, ("verb", verb), true).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{verb}");
        assert_eq!(world.mailbox("ann", Role::Inbox).total, 2, "{verb}: what came since stays");
        assert_eq!(world.mailbox("ann", target).total, 60, "{verb}");
        let told = ann.get(&done.location()).await;
        assert!(told.text().contains("60 messages"), "{verb}");
        // The same press again does nothing more.
        press(&mut ann, &page, ("verb", verb), true).await;
        assert_eq!(world.mailbox("ann", Role::Inbox).total, 2, "{verb}");
        let undo = [("csrf", told.csrf()), ("action", told.value("action")), ("back", "/mail/inbox".into())];
        ann.post("/undo", &undo).await;
        assert_eq!(world.mailbox("ann", Role::Inbox).total, 62, "{verb}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_on_all_change_what_is_not_so_yet_and_say_how_many() {
    let world = World::new().await;
    let realm = world.id("ann").realm();
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let mut ann = world.signed_in("ann").await;
    file_many(&world, 0, 50).await;
    world.mail.mark_seen(realm, inbox, &(1..=20).map(Uid).collect::<Vec<_>>()).await.unwrap();
    for (button, all, changed, unread) in [
        (("only", "read-all:all"), false, "30 messages marked as read", 0),
        (("verb", "unread"), true, "50 messages marked as unread", 50),
        (("verb", "read"), true, "50 messages marked as read", 0),
    ] {
        let page = ann.get("/mail/inbox").await;
        if button.0 == "only" {
            assert!(page.text().contains("Mark 30 messages as read"), "the button says how many");
        }
        let done = press(&mut ann, &page, button, all).await;
        assert!(ann.get(&done.location()).await.text().contains(changed), "{changed}");
        assert_eq!(world.mailbox("ann", Role::Inbox).unread, unread, "{changed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_touches_one_conversation_whatever_is_ticked() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    file_many(&world, 0, 45).await;
    let page = ann.get("/mail/inbox").await;
    let star = format!("star:{}", first_row(&page));
    press(&mut ann, &page, ("only", &star), true).await;
    let view = world.mail.view(world.id("ann").realm(), world.mailbox("ann", Role::Inbox).id).unwrap();
    let starred = (0..view.len()).filter(|at| view.flags(*at).contains(SystemFlag::Flagged)).count();
    assert_eq!(starred, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_on_all_of_no_mailbox_or_of_someone_else_s_does_nothing() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    file_many(&world, 0, 5).await;
    let page = ann.get("/mail/inbox").await;
    for mailbox in ["all", "", "m999", "t1"] {
        let fields = [
            ("csrf", page.csrf()),
            ("key", page.value("key")),
            ("mailbox", mailbox.to_owned()),
            ("back", "/mail/inbox".to_owned()),
            ("upto", page.value("upto")),
            ("all", "1".to_owned()),
            ("verb", "archive".to_owned()),
        ];
        ann.post("/act", &fields).await;
        assert_eq!(world.mailbox("ann", Role::Inbox).total, 5, "{mailbox}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_says_how_many_of_a_conversation_it_found() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let trash = world.mailbox("ann", Role::Trash).id;
    for (n, words) in ["tide", "tide", "ebb", "flood", "tide"].into_iter().enumerate() {
        let raw = format!(
            "From: bob@example.org\r\nTo: ann@example.org\r\nSubject: Water\r\nMessage-ID: <{n}@x>\r\n\
             References: <0@x>\r\n\r\n{words}\r\n"
        );
        world.file("ann", if n == 4 { trash } else { inbox }, raw.as_bytes()).await;
    }
    let mut ann = world.signed_in("ann").await;
    let count = |text: String| {
        let at = text.find("class=\"count\">").unwrap() + "class=\"count\">".len();
        text[at..].split('<').next().unwrap().to_owned()
    };
    assert_eq!(count(ann.get("/search?q=tide").await.text()), "2 of 4", "what is in Trash is no part of it");
    assert_eq!(count(ann.get("/search?q=ebb").await.text()), "1 of 4");
    assert_eq!(count(ann.get("/search?q=subject:water").await.text()), "4");
    assert_eq!(count(ann.get("/mail/inbox").await.text()), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_list_says_of_itself_is_said_once() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    for path in ["inbox", "drafts", "sent", "archive", "junk", "trash"] {
        let text = ann.get(&format!("/mail/{path}")).await.text();
        let at = text.find("<strong>").unwrap() + "<strong>".len();
        let title = text[at..].split('<').next().unwrap();
        assert_eq!(text.matches(&format!("<strong>{title}</strong>")).count(), 1, "{path}: {title}");
    }
    let nothing = ann.get("/search?q=nothing").await.text();
    let reading = &nothing[nothing.find("id=\"reading\"").unwrap()..];
    assert!(!reading.contains("<strong>"), "{reading}");
}
