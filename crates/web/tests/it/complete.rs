//! Promises about completing an address: who is offered, who never, in which order.

use crate::world::{Browser, World};
use mailstore::{MailboxId, Role};

/// A message from someone to someone, so many days before the present.
async fn mail(world: &World, mailbox: MailboxId, from: &str, to: &str, days_ago: i64) {
    let now = jiff::Timestamp::now().as_millisecond();
    let date = mailkit::date::format(now - days_ago * 86_400_000);
    let raw = format!("From: {from}\r\nTo: {to}\r\nSubject: x\r\nDate: {date}\r\n\r\nx\r\n");
    world.file("ann", mailbox, raw.as_bytes()).await;
}

async fn offered(browser: &mut Browser, prefix: &str) -> Vec<String> {
    let prefix: String = form_urlencoded::byte_serialize(prefix.as_bytes()).collect();
    let answer = browser.get(&format!("/complete?q={prefix}")).await;
    let people: Vec<serde_json::Value> = serde_json::from_slice(&answer.body).unwrap();
    people.iter().map(|person| person["address"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_and_who_was_written_to_is_offered_and_spam_never() {
    let world = World::new().await;
    let of = |role| world.mailbox("ann", role).id;
    let (inbox, sent, junk, trash) = (of(Role::Inbox), of(Role::Sent), of(Role::Junk), of(Role::Trash));
    let me = "ann@example.org";
    mail(&world, inbox, "=?utf-8?q?Bj=C3=B6rk?= <bjork@x.example>", me, 1).await;
    mail(&world, of(Role::Archive), "Archie <archie@x.example>", me, 1).await;
    mail(&world, sent, me, "Sven <sven@x.example>, undisclosed: ;", 1).await;
    mail(&world, inbox, "Ann herself <ann@example.org>", me, 1).await;
    mail(&world, junk, "Rich Prince <prince@spam.example>", me, 1).await;
    mail(&world, junk, "Known <known@x.example>", me, 1).await;
    mail(&world, sent, me, "known@x.example", 2).await;
    // One who spams and slips through is known by what lies in Junk.
    mail(&world, junk, "Slippery <slip@spam.example>", me, 1).await;
    mail(&world, inbox, "Slippery <slip@spam.example>", me, 1).await;
    mail(&world, trash, "Gone <gone@x.example>", me, 1).await;
    mail(&world, inbox, "Robot <no-reply@shop.example>", me, 1).await;
    mail(&world, inbox, "Broken <nowhere>", me, 1).await;
    let mut ann = world.signed_in("ann").await;
    for (prefix, wanted) in [
        ("bjo", vec!["bjork@x.example"]),
        ("Bj\u{f6}", vec!["bjork@x.example"]),
        ("BJORK@", vec!["bjork@x.example"]),
        ("arch", vec!["archie@x.example"]),
        ("sve", vec!["sven@x.example"]),
        ("kno", vec!["known@x.example"]),
        ("prin", vec![]),
        ("rich", vec![]),
        ("slip", vec![]),
        ("gone", vec![]),
        ("rob", vec![]),
        ("no-", vec![]),
        ("broken", vec![]),
        ("ann", vec![]),
        ("zzz", vec![]),
    ] {
        assert_eq!(offered(&mut ann, prefix).await, wanted, "{prefix}");
    }
    assert_eq!(offered(&mut world.signed_in("bob").await, "bjo").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn often_and_lately_comes_first_and_the_address_book_has_its_say() {
    let world = World::new().await;
    let of = |role| world.mailbox("ann", role).id;
    let (inbox, sent, me) = (of(Role::Inbox), of(Role::Sent), "ann@example.org");
    for (who, received, written, days) in
        [("once", 1, 0, 1), ("often", 3, 0, 1), ("written", 0, 1, 1), ("long-ago", 6, 0, 300), ("both", 2, 1, 1)]
    {
        let person = format!("Kim {who} <{who}@x.example>");
        for _ in 0..received {
            mail(&world, inbox, &person, me, days).await;
        }
        for _ in 0..written {
            mail(&world, sent, me, &person, days).await;
        }
    }
    let mut ann = world.signed_in("ann").await;
    let people = |names: &[&str]| names.iter().map(|name| format!("{name}@x.example")).collect::<Vec<_>>();
    assert_eq!(offered(&mut ann, "kim").await, people(&["both", "written", "often", "once", "long-ago"]));
    let page = ann.get("/people/new").await;
    for (name, address) in [("Kim Contact", "contact@x.example"), ("Kimberly", "once@x.example")] {
        let (csrf, key) = (page.csrf(), format!("{name}-0123456789abcdef"));
        let fields = [
            ("csrf", csrf),
            ("key", key),
            ("name", name.into()),
            ("address", address.into()),
            ("address-label", String::new()),
        ];
        ann.post("/people/new", &fields).await;
    }
    assert_eq!(offered(&mut ann, "kim").await, people(&["both", "written", "often", "once", "long-ago", "contact"]));
    let answer = ann.get("/complete?q=kimb").await.text();
    assert!(answer.contains("Kimberly <once@x.example>"), "the name of the address book: {answer}");
    for n in 0..8 {
        mail(&world, sent, me, &format!("Kim busy <busy{n}@x.example>"), 0).await;
    }
    // A browser asks again within seconds; what came since shows a little later, or to who asks first.
    let mut fresh = World::browser(&world);
    assert!(fresh.get("/complete?q=kim").await.location().starts_with("/signin"));
    let offers = offered(&mut ann, "kim").await;
    assert!(offers.len() <= 7 && offers.contains(&"contact@x.example".to_owned()), "{offers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_mail_is_looked_at() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    mail(&world, inbox, "Olive Oldest <olive@x.example>", "ann@example.org", 9).await;
    let one = || mail(&world, inbox, "Nora Newest <nora@x.example>", "ann@example.org", 1);
    futures_util::future::join_all((0..1_000).map(|_| one())).await;
    let people = world.mail.acquaintances(world.id("ann").realm()).unwrap();
    let known: Vec<_> = people.iter().map(|who| (who.address.as_str(), who.received)).collect();
    assert_eq!(known, [("nora@x.example", 1_000)]);
}
