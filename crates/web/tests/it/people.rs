//! Promises of the address book's pages.

use crate::world::{Browser, World, multipart};
use axum::http::StatusCode;
use mailstore::Role;

async fn add(browser: &mut Browser, name: &str, address: &str) -> String {
    let page = browser.get("/people/new").await;
    let fields = [
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("name", name.to_owned()),
        ("address", address.to_owned()),
        ("address-label", "home".to_owned()),
    ];
    let done = browser.post("/people/new", &fields).await;
    let again = browser.post("/people/new", &fields).await;
    assert_eq!(done.location(), again.location(), "posted twice it is made once: {}", done.text());
    done.location().split('?').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_added_changed_deleted_and_brought_back() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    assert!(ann.get("/people").await.text().contains("id=\"none-h\""));
    let at = add(&mut ann, "Zoe <Quill>", "zoe@x.org").await;
    let list = ann.get("/people").await.text();
    assert!(list.contains("Zoe &#60;Quill&#62;") && list.contains("1 contact"), "{list}");
    let page = ann.get(&at).await;
    let fields = [("csrf", page.csrf()), ("key", page.value("key")), ("name", "Zoe".into()), ("note", "sails".into())];
    assert_eq!(ann.post(&at, &fields).await.status, StatusCode::SEE_OTHER);
    let page = ann.get(&at).await;
    assert!(page.text().contains("sails") && !page.text().contains("zoe@x.org"));
    let gone = ann.post(&at, &[("csrf", page.csrf()), ("key", page.value("key")), ("do", "delete".into())]).await;
    assert_eq!(ann.get(&at).await.status, StatusCode::NOT_FOUND);
    let told = ann.get(&gone.location()).await;
    assert!(told.text().contains("Zoe deleted."));
    let undo = [("csrf", told.csrf()), ("action", told.value("action")), ("back", "/people".into())];
    ann.post("/undo", &undo).await;
    assert_eq!(ann.get(&at).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_told_and_what_was_typed_stays() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let page = ann.get("/people/new").await;
    let fields = |address: &str| {
        let (csrf, key) = (page.csrf(), page.value("key"));
        [
            ("csrf", csrf),
            ("key", key),
            ("name", "Zoe".into()),
            ("address", address.into()),
            ("address-label", String::new()),
        ]
    };
    let refused = ann.post("/people/new", &fields("zoe at x")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("address-wrong-1") && refused.text().contains("value=\"zoe at x\""));
    let empty = [("csrf", page.csrf()), ("key", page.value("key")), ("name", " ".into())];
    assert!(ann.post("/people/new", &empty).await.text().contains("id=\"name-wrong\""));
    let mut forged = fields("zoe@x.org");
    forged[0].1.clear();
    assert_eq!(ann.post("/people/new", &forged).await.status, StatusCode::FORBIDDEN);
    for path in ["/people/c0", "/people/c0000000000000000", "/people/export/x", "/people?group=g0000000000000000"] {
        assert_eq!(ann.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_sees_nothing_of_it() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let at = add(&mut ann, "Zoe", "zoe@x.org").await;
    let mut bob = world.signed_in("bob").await;
    assert_eq!(bob.get(&at).await.status, StatusCode::NOT_FOUND);
    assert!(!bob.get("/people/export/people.vcf").await.text().contains("zoe"));
    assert_eq!(bob.get("/complete?q=zoe").await.text(), "[]");
    assert!(world.browser().get("/people").await.location().starts_with("/signin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_added_from_the_message_and_offered_while_writing() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let raw = b"From: \"Quill, Zoe\" <zoe@x.org>\r\nTo: ann@example.org\r\nSubject: hi\r\n\r\ntext\r\n";
    let filed = world.file("ann", inbox, raw).await;
    let mut ann = world.signed_in("ann").await;
    let at = format!("/mail/inbox/{}", filed.thread_id);
    let page = ann.get(&at).await;
    assert!(page.text().contains("action=\"/people/add\""));
    let fields = [
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("name", page.value("name")),
        ("address", page.value("address")),
        ("back", at.clone()),
    ];
    let done = ann.post("/people/add", &fields).await;
    assert!(ann.get(&done.location()).await.text().contains("Quill, Zoe added to your address book."));
    assert!(!ann.get(&at).await.text().contains("action=\"/people/add\""));
    let offered = ann.get("/complete?q=zo").await.text();
    assert!(offered.contains(r#""value":"\"Quill, Zoe\" <zoe@x.org>""#), "{offered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_completes_as_all_its_members() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let ids: Vec<String> = [add(&mut ann, "Zoe", "zoe@x.org").await, add(&mut ann, "Yan", "yan@x.org").await]
        .iter()
        .map(|at| at.trim_start_matches("/people/").to_owned())
        .collect();
    let page = ann.get("/people").await;
    let make = [("csrf", page.csrf()), ("key", page.value("key")), ("do", "create".into()), ("name", "Crew".into())];
    ann.post("/people/groups", &make).await;
    let twice =
        [("csrf", page.csrf()), ("key", "another-key".into()), ("do", "create".into()), ("name", "crew".into())];
    assert_eq!(ann.post("/people/groups", &twice).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let page = ann.get("/people").await.text();
    let group = page.split("join:").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let csrf = ann.get("/people").await.csrf();
    let join = [
        ("csrf", csrf.clone()),
        ("do", format!("join:{group}")),
        ("id", ids[0].clone()),
        ("id", ids[1].clone()),
        ("back", "/people".into()),
    ];
    assert_eq!(ann.post("/people", &join).await.status, StatusCode::SEE_OTHER);
    let offered = ann.get("/complete?q=cre").await.text();
    assert!(offered.contains("Yan <yan@x.org>") && offered.contains("Zoe <zoe@x.org>"), "{offered}");
    assert!(offered.contains("group, 2 members"), "{offered}");
    let of_group = ann.get(&format!("/people?group={group}")).await.text();
    assert!(of_group.contains(&format!("href=\"/compose?group={group}\"")), "{of_group}");
    let writing = ann.get(&format!("/compose?group={group}")).await.text();
    assert!(writing.contains("yan@x.org") && writing.contains("zoe@x.org"), "{writing}");
    let merge = [
        ("csrf", csrf),
        ("key", "k".into()),
        ("do", "merge".into()),
        ("id", ids[0].clone()),
        ("id", ids[1].clone()),
        ("back", "/people".into()),
    ];
    let done = ann.post("/people", &merge).await;
    assert!(ann.get(&done.location()).await.text().contains("2 contacts merged into Zoe."));
    assert!(ann.get("/people").await.text().contains("zoe@x.org and 1 more"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_in_once_and_go_out_again() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let csrf = ann.get("/people/import").await.csrf();
    let cards = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Zoe\r\nEMAIL:zoe@x.org\r\nX-KEPT:yes\r\nEND:VCARD\r\n";
    for counts in ["1 0 0", "0 0 1"] {
        let request = multipart("/people/import", &[("csrf", csrf.clone())], &[("people.vcf", cards)]);
        let done = ann.send(request).await;
        assert!(done.text().contains(&format!("data-counts=\"{counts}\"")), "{}", done.text());
    }
    let request = multipart("/people/import", &[("csrf", csrf.clone())], &[("x.csv", b"Colour\nred\n")]);
    assert!(ann.send(request).await.text().contains("Line 1:"));
    let request = multipart("/people/import", &[("csrf", csrf)], &[]);
    assert_eq!(ann.send(request).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let out = ann.get("/people/export/people.vcf").await;
    assert!(out.header("content-disposition").starts_with("attachment; filename=\"people.vcf\""));
    assert!(out.text().contains("X-KEPT:yes") && out.text().contains("VERSION:4.0"));
    assert!(ann.get("/people/export/people.csv").await.text().contains("zoe@x.org"));
    let found = ann.get("/people?q=ZOE").await.text();
    assert!(found.contains("zoe@x.org"));
    assert!(ann.get("/people?q=nobody").await.has_code("no-contacts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_opens_as_a_card_with_what_its_vcard_said() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let csrf = ann.get("/people/import").await.csrf();
    // A picture of one point.
    let picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let card = format!(
        "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Zoe <b>Quill\r\nEMAIL:zoe@x.org\r\nEMAIL;TYPE=work:z@corp.example\r\nTEL:+47 555 1\r\n\
         ADR;TYPE=home:;;1 Quay;Harbour;;4711;Norway\r\nBDAY:1970-11-23\r\nTITLE:Harbour master\r\nORG:Port\r\n\
         URL:javascript:alert(1)\r\nURL:https://zoe.example/\r\nPHOTO;ENCODING=b;TYPE=PNG:{picture}\r\nEND:VCARD\r\n"
    );
    ann.send(multipart("/people/import", &[("csrf", csrf)], &[("people.vcf", card.as_bytes())])).await;
    let list = ann.get("/people").await.text();
    let at = format!("/people/c{}", list.split("href=\"/people/c").nth(1).unwrap().split('"').next().unwrap());
    assert!(list.contains(&format!("src=\"{at}/picture\"")), "{list}");
    let text = ann.get(&at).await.text();
    for shown in [
        "Zoe &#60;b&#62;Quill",
        "Harbour master, Port",
        "zoe@x.org",
        "z@corp.example",
        "href=\"tel:+475551\"",
        "1 Quay\n4711 Harbour\nNorway",
        "23 November 1970",
        "href=\"https://zoe.example/\"",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains("href=\"javascript"), "{text}");
    assert!(!text.contains("name=\"address\""), "a card is no form");
    let face = ann.get(&format!("{at}/picture")).await;
    assert_eq!((face.status, face.header("content-type")), (StatusCode::OK, "image/png"));
    assert!(face.header("content-security-policy").contains("sandbox"));
    // Changing the name keeps what the form does not show.
    let page = ann.get(&format!("{at}/edit")).await;
    let fields = [("csrf", page.csrf()), ("key", page.value("key")), ("name", "Zoe".into()), ("do", "save".into())];
    ann.post(&at, &fields).await;
    let text = ann.get(&at).await.text();
    assert!(text.contains("23 November 1970") && !text.contains("zoe@x.org"), "{text}");
    assert!(ann.get("/people/export/people.vcf").await.text().contains("ADR;TYPE=home:;;1 Quay;Harbour;;4711;Norway"));
    let mut bob = world.signed_in("bob").await;
    for path in [at.clone(), format!("{at}/edit"), format!("{at}/picture")] {
        assert_eq!(bob.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_field_is_added_before_anything_is_saved() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let page = ann.get("/people/new").await;
    let mut fields = vec![("csrf", page.csrf()), ("key", page.value("key")), ("name", "Zoe".to_owned())];
    let mut filled = 0;
    for address in ["one@x.org", "two@x.org", "not yet an addr", "four@x.org"] {
        fields.extend([("address", address.to_owned()), ("address-label", "home".to_owned())]);
        filled += 1;
        let more: Vec<_> = fields.iter().cloned().chain([("do", "more-address".to_owned())]).collect();
        let page = ann.post("/people/new", &more).await;
        assert_eq!(page.status, StatusCode::OK);
        let text = page.text();
        assert_eq!(text.matches("name=\"address\"").count(), filled + 1, "{text}");
        assert!(text.contains(&format!("value=\"{address}\"")) && text.contains("value=\"Zoe\""), "{text}");
        assert_eq!(page.value("key"), fields[1].1, "it is the same form");
    }
    assert!(!ann.get("/people").await.text().contains("class=\"person\""), "nothing was saved");
    let more = [
        ("csrf", fields[0].1.clone()),
        ("phone", "1".into()),
        ("phone-label", String::new()),
        ("do", "more-phone".into()),
    ];
    assert_eq!(ann.post("/people/new", &more).await.text().matches("name=\"phone\"").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_that_is_wrong_is_told_beside_it_all_at_once() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let page = ann.get("/people/new").await;
    let mut fields = vec![("csrf", page.csrf()), ("key", page.value("key")), ("name", "Zoe".to_owned())];
    for address in ["zoe at x", "ok@x.org", "@x.org"] {
        fields.extend([("address", address.to_owned()), ("address-label", String::new())]);
    }
    let refused = ann.post("/people/new", &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = refused.text();
    for (at, wrong) in [(1, true), (2, false), (3, true)] {
        assert_eq!(text.contains(&format!("id=\"address-wrong-{at}\"")), wrong, "{at}: {text}");
    }
    assert_eq!(text.matches("aria-invalid").count(), 2);
    // The same on the other pages of one's own.
    let csrf = page.csrf();
    for (path, fields, wrong) in [
        (
            "/settings",
            vec![("name", "n".repeat(300)), ("signature", "s".repeat(11_000))],
            vec!["name-wrong", "signature-wrong"],
        ),
        ("/settings", vec![("signature", "s".repeat(11_000))], vec!["signature-wrong"]),
        ("/settings/display", vec![("zone", "Mars/Phobos".into())], vec!["zone-wrong"]),
        ("/mailboxes", vec![("do", "create".into()), ("name", "  ".into())], vec!["box-wrong"]),
        ("/mailboxes", vec![("do", "create".into()), ("name", "a//b".into())], vec!["box-wrong"]),
    ] {
        let mut all = vec![("csrf", csrf.clone())];
        all.extend(fields);
        let refused = ann.post(path, &all).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        let text = refused.text();
        assert_eq!(text.matches("aria-invalid=\"true\"").count(), wrong.len(), "{path}: {text}");
        for id in wrong {
            assert!(text.contains(&format!("id=\"{id}\"")), "{path}: {id}");
        }
    }
}
