//! Promises about all that a contact holds, about books, duplicates, the preview of an import, and the sender's card.

use crate::world::{Browser, World, multipart};
use axum::http::StatusCode;
use mailstore::Role;

/// A form of all fields, as the page has it.
async fn form(browser: &mut Browser, at: &str) -> Vec<(&'static str, String)> {
    let page = browser.get(at).await;
    vec![
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("full", "1".to_owned()),
        ("seen", page.value("seen")),
        ("do", "save".to_owned()),
    ]
}

fn with(form: &[(&'static str, String)], more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    form.iter().cloned().chain(more.iter().map(|(name, value)| (*name, (*value).to_owned()))).collect()
}

async fn add(browser: &mut Browser, more: &[(&'static str, &str)]) -> String {
    let fields = with(&form(browser, "/people/new").await, more);
    let done = browser.post("/people/new", &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    done.location().split('?').next().unwrap().to_owned()
}

fn png() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x02".to_vec();
    bytes.extend([0; 40]);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn all_fields_are_saved_shown_and_kept() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let at = add(
        &mut ann,
        &[
            ("given", "Zoe"),
            ("family", "Quill"),
            ("title", "Captain"),
            ("organisation", "Port"),
            ("address", "zoe@x.org"),
            ("address-label", "home"),
            ("place-street", "1 Quay"),
            ("place-extended", ""),
            ("place-box", ""),
            ("place-code", "4711"),
            ("place-city", "Harbour"),
            ("place-region", ""),
            ("place-country", "Norway"),
            ("place-label", "home"),
            ("birthday-day", "23"),
            ("birthday-month", "11"),
            ("birthday-year", ""),
            ("website", "https://zoe.example/"),
            ("website-label", "Blog \u{627}"),
            ("chat", "xmpp:zoe@x.org"),
            ("chat-label", ""),
        ],
    )
    .await;
    let card = ann.get(&at).await.text();
    for shown in
        ["Zoe Quill", "Captain, Port", "1 Quay\n4711 Harbour\nNorway", "23 November", "href=\"https://zoe.example/\""]
    {
        assert!(card.contains(shown), "{shown}: {card}");
    }
    let edit = ann.get(&format!("{at}/edit")).await.text();
    for held in
        ["value=\"Quill\"", "value=\"4711\"", "<option value=\"11\" selected>", "Blog \u{627}", "xmpp:zoe@x.org"]
    {
        assert!(edit.contains(held), "{held}: {edit}");
    }
    // A row of each kind is added without a script.
    for (kind, field) in
        [("address", "address"), ("phone", "phone"), ("place", "place-city"), ("website", "website"), ("chat", "chat")]
    {
        let mut fields = form(&mut ann, "/people/new").await;
        fields.retain(|(name, _)| *name != "do");
        let label: &'static str = match kind {
            "address" => "address-label",
            "phone" => "phone-label",
            "website" => "website-label",
            "chat" => "chat-label",
            _ => "place-label",
        };
        let verb = format!("more-{kind}");
        let fields = with(&fields, &[(field, "filled"), (label, ""), ("do", &verb)]);
        let text = ann.post("/people/new", &fields).await.text();
        assert_eq!(text.matches(&format!("name=\"{field}\"")).count(), 2, "{kind}: {text}");
        assert!(text.contains("filled"), "{kind}");
    }
    // A day that there is not is told beside it.
    let wrong = with(
        &form(&mut ann, &format!("{at}/edit")).await,
        &[("name", "Zoe"), ("birthday-day", "31"), ("birthday-month", "2")],
    );
    let refused = ann.post(&at, &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("id=\"birthday-wrong\""), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_that_change_one_contact_lose_nothing() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let at = add(&mut ann, &[("name", "Zoe"), ("note", "first")]).await;
    let (one, two) = (form(&mut ann, &format!("{at}/edit")).await, form(&mut ann, &format!("{at}/edit")).await);
    let saved = ann.post(&at, &with(&one, &[("name", "Zoe"), ("note", "from the first tab")])).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER);
    let late = ann.post(&at, &with(&two, &[("name", "Zoe"), ("note", "from the second tab")])).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    let text = late.text();
    assert!(late.has_code("conflict") && late.has_code("contact-changed"), "{text}");
    assert!(text.contains("from the first tab") && text.contains("from the second tab"), "{text}");
    assert!(ann.get(&at).await.text().contains("from the first tab"), "nothing is overwritten");
    // Seen, it may be.
    let seen =
        vec![("csrf", late.csrf()), ("key", late.value("key")), ("full", "1".into()), ("seen", late.value("seen"))];
    let over = ann.post(&at, &with(&seen, &[("name", "Zoe"), ("note", "from the second tab")])).await;
    assert_eq!(over.status, StatusCode::SEE_OTHER);
    assert!(ann.get(&at).await.text().contains("from the second tab"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_shown_as_a_picture_or_refused() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let at = add(&mut ann, &[("name", "Zoe"), ("address", "zoe@x.org"), ("address-label", "")]).await;
    let (path, csrf) = (format!("{at}/picture"), ann.get(&at).await.csrf());
    let bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\xff\xff\xff\0\xff\xff\xff".to_vec();
    let large = [png(), vec![0; 400_000]].concat();
    for bad in [&b"<svg onload=alert(1)>"[..], b"<html>", b"GIF8", &bomb, &large] {
        let request = multipart(&path, &[("csrf", csrf.clone())], &[("face.png", bad)]);
        let refused = ann.send(request).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.has_code("picture-refused"), "{}", refused.text());
    }
    assert_eq!(ann.get(&path).await.status, StatusCode::NOT_FOUND);
    let forged = multipart(&path, &[("csrf", String::new())], &[("face.png", &png())]);
    assert_eq!(ann.send(forged).await.status, StatusCode::FORBIDDEN);
    let done = ann.send(multipart(&path, &[("csrf", csrf.clone())], &[("face.html", &png())])).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let face = ann.get(&path).await;
    assert_eq!((face.status, face.header("content-type")), (StatusCode::OK, "image/png"));
    assert_eq!(face.header("x-content-type-options"), "nosniff");
    let offered = ann.get("/complete?q=zoe").await.text();
    assert!(
        offered.contains(&format!("\"picture\":\"{path}\"")) && offered.contains("\"book\":\"Contacts\""),
        "{offered}"
    );
    assert!(ann.get("/people/export/people-3.vcf").await.text().contains("PHOTO;ENCODING=b;TYPE=PNG:"));
    let gone = ann.send(multipart(&path, &[("csrf", csrf), ("do", "remove".into())], &[])).await;
    assert_eq!(gone.status, StatusCode::SEE_OTHER);
    assert_eq!(ann.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.signed_in("bob").await.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn books_hold_contacts_apart_and_deleting_one_can_be_undone() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let zoe = add(&mut ann, &[("name", "Zoe"), ("address", "zoe@x.org"), ("address-label", "")]).await;
    add(&mut ann, &[("name", "Yan")]).await;
    let page = ann.get("/people").await;
    let make = [("csrf", page.csrf()), ("key", "k1".into()), ("do", "create".into()), ("name", "Club".into())];
    assert_eq!(ann.post("/people/books", &make).await.status, StatusCode::SEE_OTHER);
    let again = [("csrf", page.csrf()), ("key", "k2".into()), ("do", "create".into()), ("name", "club".into())];
    assert!(ann.post("/people/books", &again).await.has_code("book-taken"));
    let text = ann.get("/people").await.text();
    let club = text.split("/people?book=b").nth(1).unwrap().split('"').next().unwrap();
    let club = format!("b{club}");
    let id = zoe.rsplit('/').next().unwrap();
    let moved = [
        ("csrf", page.csrf()),
        ("key", "k3".into()),
        ("do", format!("move:{club}")),
        ("id", id.to_owned()),
        ("back", "/people".into()),
    ];
    assert_eq!(ann.post("/people", &moved).await.status, StatusCode::SEE_OTHER);
    let has = async |ann: &mut Browser, book: &str| {
        let text = ann.get(&format!("/people?book={book}")).await.text();
        (text.contains("Select Zoe"), text.contains("Select Yan"))
    };
    assert_eq!(has(&mut ann, &club).await, (true, false));
    assert_eq!(has(&mut ann, "first").await, (false, true));
    let only = ann.get(&format!("/people/export/people.vcf?book={club}")).await.text();
    assert!(only.contains("FN:Zoe") && !only.contains("FN:Yan"), "{only}");
    assert!(ann.get("/complete?q=zoe").await.text().contains("\"book\":\"Club\""));
    let gone = [("csrf", page.csrf()), ("key", "k4".into()), ("do", "delete".into()), ("book", club.clone())];
    let gone = ann.post("/people/books", &gone).await;
    assert_eq!(has(&mut ann, "first").await, (true, true), "nobody is deleted with a book");
    assert_eq!(ann.get(&format!("/people?book={club}")).await.status, StatusCode::NOT_FOUND);
    let told = ann.get(&gone.location()).await;
    ann.post("/undo", &[("csrf", told.csrf()), ("action", told.value("action")), ("back", "/people".into())]).await;
    assert_eq!(has(&mut ann, &club).await, (true, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_shown_as_what_merging_makes_of_them() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    for address in ["one@x.org", "two@x.org", "three@x.org"] {
        add(&mut ann, &[("name", "Zoe"), ("address", address), ("address-label", "")]).await;
    }
    let page = ann.get("/people/duplicates").await;
    let look =
        page.text().split("href=\"/people/merge?").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let preview = ann.get(&format!("/people/merge?{look}")).await;
    let text = preview.text();
    assert!(text.contains("one@x.org\n") || text.contains("two@x.org\n"), "{text}");
    let ids: Vec<String> = look.split('&').filter_map(|pair| pair.strip_prefix("id=")).map(str::to_owned).collect();
    assert_eq!(ids.len(), 3);
    let mut merge =
        vec![("csrf", preview.csrf()), ("key", preview.value("key")), ("back", "/people/duplicates".into())];
    merge.extend(ids.iter().map(|id| ("id", id.clone())));
    merge.push(("do", "merge".into()));
    let done = ann.post("/people", &merge).await;
    let told = ann.get(&done.location()).await;
    assert!(told.has_code("no-duplicates"), "{}", told.text());
    ann.post("/undo", &[("csrf", told.csrf()), ("action", told.value("action")), ("back", "/people".into())]).await;
    assert!(!ann.get("/people/duplicates").await.has_code("no-duplicates"));
    let mut apart = merge.clone();
    apart.retain(|(name, _)| !matches!(*name, "do" | "key"));
    apart.extend([("do", "apart".to_owned()), ("key", "other".to_owned())]);
    ann.post("/people", &apart).await;
    assert!(ann.get("/people/duplicates").await.has_code("no-duplicates"));
    assert_eq!(ann.get("/people/merge?id=x").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_previewed_and_then_done_with_the_same_file() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let csrf = ann.get("/people/import").await.csrf();
    let table = b"Name,E-mail Address,Home City\nZoe,zoe@x.org,Harbour\nYan,nobody,Town\n";
    let fields = [("csrf", csrf.clone()), ("do", "preview".to_owned())];
    let preview = ann.send(multipart("/people/import", &fields, &[("x.csv", table)])).await;
    let text = preview.text();
    assert!(preview.has_code("preview") && text.contains("data-counts=\"2 0 0\""), "{text}");
    assert!(
        text.contains("postal address, home") && text.contains("Harbour \u{b7} Town") && text.contains("Line 3:"),
        "{text}"
    );
    assert!(ann.get("/people").await.text().contains("id=\"none-h\""), "a preview changes nothing");
    let staged = preview.value("staged");
    let go = [("csrf", csrf.clone()), ("do", "import".to_owned()), ("staged", staged.clone())];
    let mut bob = world.signed_in("bob").await;
    let theirs = bob.get("/people/import").await.csrf();
    let stolen = [("csrf", theirs), ("do", "import".to_owned()), ("staged", staged)];
    assert_eq!(bob.send(multipart("/people/import", &stolen, &[])).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(ann.send(multipart("/people/import", &go, &[])).await.text().contains("data-counts=\"2 0 0\""));
    let late = ann.send(multipart("/people/import", &go, &[])).await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY, "the file is asked for again");
    let huge = vec![b'x'; people::import::MAX_IMPORT_BYTES + 100_000];
    let refused = ann.send(multipart("/people/import", &[("csrf", csrf)], &[("x.vcf", &huge)])).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.text().contains("32 MB") || refused.text().contains("MiB") || refused.text().contains("MB"),
        "{}",
        refused.text()
    );
    let paper = ann.get("/people/print").await.text();
    assert!(paper.contains("Zoe") && paper.contains("Harbour"), "{paper}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sender_of_a_message_is_a_contact_or_becomes_one() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    world.file("ann", inbox, b"From: Zoe <zoe@x.org>\r\nTo: ann@example.org\r\nSubject: Hi\r\n\r\nx\r\n").await;
    let mut ann = world.signed_in("ann").await;
    let list = ann.get("/mail/inbox").await.text();
    let href = list.split("href=\"/mail/").find(|rest| rest.split('"').next().unwrap().contains("/t")).unwrap();
    let at = format!("/mail/{}", href.split('"').next().unwrap());
    let text = ann.get(&at).await.text();
    assert!(text.contains("class=\"menu who\"") && text.contains("Add to contacts"), "{text}");
    let contact =
        add(&mut ann, &[("name", "Zoe Quill"), ("title", "Captain"), ("address", "zoe@x.org"), ("address-label", "")])
            .await;
    let text = ann.get(&at).await.text();
    assert!(text.contains(&format!("href=\"{contact}\"")) && text.contains("Captain"), "{text}");
    assert!(!text.contains("Add to contacts"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_written_to_are_listed_promoted_forgotten_and_switched_off() {
    let world = World::new().await;
    let realm = world.id("ann").realm();
    let mail = world.mail.clone();
    let people =
        [("Zoe", "zoe@x.org"), ("Yan", "yan@x.org")].map(|(name, address)| (name.to_owned(), address.to_owned()));
    world.store.transact(move |tx| mail.remember_correspondents_in(tx, realm, &people)).await.unwrap();
    let mut ann = world.signed_in("ann").await;
    let page = ann.get("/people/written").await;
    assert!(page.text().contains("zoe@x.org") && page.text().contains("yan@x.org"), "{}", page.text());
    let add = [
        ("csrf", page.csrf()),
        ("key", "k".into()),
        ("name", "Zoe".into()),
        ("address", "zoe@x.org".into()),
        ("back", "/people/written".into()),
    ];
    ann.post("/people/add", &add).await;
    let text = ann.get("/people/written").await.text();
    assert!(!text.contains("value=\"zoe@x.org\"") && text.contains("value=\"yan@x.org\""), "{text}");
    let hide = [("csrf", page.csrf()), ("do", "hide".into())];
    ann.post("/people/written", &hide).await;
    assert!(ann.get("/people/written").await.has_code("written-off"));
    assert_eq!(ann.get("/complete?q=yan").await.text(), "[]");
    assert!(ann.get("/complete?q=zoe").await.text().contains("zoe@x.org"), "a contact is offered");
    ann.post("/people/written", &[("csrf", page.csrf()), ("do", "show".into())]).await;
    assert!(ann.get("/complete?q=yan").await.text().contains("yan@x.org"));
    ann.post("/people/written", &[("csrf", page.csrf()), ("do", "forget".into()), ("address", "yan@x.org".into())])
        .await;
    assert!(ann.get("/people/written").await.has_code("nobody"));
}
