//! The pages of rules, without scripts: what is made there is a Sieve script, and what is in a script is shown there.

use axum::http::StatusCode;
use mailstore::Role;
use rules::{Action, Book, Condition, Folder, How, Of, Rule, Rules};

use crate::world::{Answer, Browser, World, multipart};

const HERE: &str = "/settings/rules";

fn kept(world: &World) -> Rules {
    Rules::new(world.store.clone())
}

/// The script of an account as its page reads it.
fn book(world: &World) -> (String, Book) {
    let current = kept(world).current(world.id("ann").realm()).unwrap();
    (current.name, Book::read(&current.text).unwrap())
}

fn rules(world: &World) -> Vec<Rule> {
    let (_, book) = book(world);
    (0..book.parts().len()).filter_map(|at| book.rule(at).cloned()).collect()
}

/// Sends the form of a rule that a page has, with some fields filled in.
async fn send(browser: &mut Browser, page: &Answer, fields: &[(&str, &str)]) -> Answer {
    let mut all: Vec<(&str, String)> = ["csrf", "key", "at", "seen"].map(|name| (name, page.value(name))).into();
    all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
    browser.post("/settings/rules/rule", &all).await
}

async fn press(browser: &mut Browser, verb: &str, at: usize) -> Answer {
    let page = browser.get(HERE).await;
    let fields = ["csrf", "key", "seen"].map(|name| (name, page.value(name)));
    let mut all: Vec<(&str, String)> = fields.into();
    all.extend([("verb", verb.to_owned()), ("at", at.to_string())]);
    browser.post(HERE, &all).await
}

/// A rule that moves what a sender writes to the archive.
async fn add(browser: &mut Browser, name: &str, sender: &str, archive: &str) -> Answer {
    let page = browser.get("/settings/rules/rule").await;
    let fields = [
        ("name", name),
        ("join", "all"),
        ("stop", "1"),
        ("what-0", "from"),
        ("how-0", "contains"),
        ("value-0", sender),
        ("do-0", "move"),
        ("folder-0", archive),
        ("press", "save"),
    ];
    send(browser, &page, &fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_made_changed_moved_turned_off_deleted_and_brought_back() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let archive = world.mailbox("ann", Role::Archive);
    let id = archive.id.to_string();
    let done = add(&mut ann, "From Bob", "bob", &id).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert!(ann.get(&done.location()).await.has_code("rules"));
    let folder = Folder { name: archive.name.as_str().to_owned(), id: id.clone() };
    let condition =
        |value: &str| Condition::Text { of: Of::From, how: How::Contains, not: false, values: vec![value.to_owned()] };
    let rule = Rule {
        name: "From Bob".to_owned(),
        conditions: vec![condition("bob")],
        actions: vec![Action::MoveTo(folder), Action::Stop],
        ..Rule::default()
    };
    assert_eq!((book(&world).0.as_str(), rules(&world)), ("Rules", vec![rule.clone()]));
    assert!(kept(&world).active(world.id("ann").realm()).unwrap().is_some(), "it is used at once");

    add(&mut ann, "Second", "carl", &id).await;
    let names = |world: &World| rules(world).into_iter().map(|rule| rule.name).collect::<Vec<_>>();
    assert_eq!(press(&mut ann, "up", 1).await.status, StatusCode::SEE_OTHER);
    assert_eq!(names(&world), ["Second", "From Bob"]);
    press(&mut ann, "down", 0).await;
    assert_eq!(names(&world), ["From Bob", "Second"]);
    press(&mut ann, "off", 0).await;
    assert!(rules(&world)[0].off && ann.get(HERE).await.text().contains("data-off"));
    press(&mut ann, "on", 0).await;
    assert_eq!(rules(&world)[0], rule);

    // Change: the form has what is kept.
    let page = ann.get("/settings/rules/rule?at=0").await;
    assert!(page.text().contains("value=\"From Bob\""), "{}", page.text());
    let fields = [
        ("name", "Bob or Carl"),
        ("join", "any"),
        ("what-0", "from"),
        ("how-0", "contains"),
        ("value-0", "bob"),
        ("what-1", "subject"),
        ("how-1", "not-begins"),
        ("value-1", "a*b\nc"),
        ("do-0", "read"),
        ("do-1", "label"),
        ("label-1", "work"),
        ("press", "save"),
    ];
    assert_eq!(send(&mut ann, &page, &fields).await.status, StatusCode::SEE_OTHER);
    let values = vec!["a*b".to_owned(), "c".to_owned()];
    let changed = &rules(&world)[0];
    assert_eq!(changed.conditions[1], Condition::Text { of: Of::Subject, how: How::Begins, not: true, values });
    assert_eq!(changed.actions, [Action::MarkRead, Action::Label("work".to_owned())]);

    let (_, before) = book(&world);
    let gone = press(&mut ann, "delete", 0).await;
    assert_eq!(names(&world), ["Second"]);
    let page = ann.get(&gone.location()).await;
    let undo = [("csrf", page.csrf()), ("action", page.value("action")), ("back", HERE.to_owned())];
    assert_eq!(ann.post("/undo", &undo).await.status, StatusCode::SEE_OTHER);
    assert_eq!(book(&world).1, before, "all of it is as it was");
    // What has changed since is not taken back.
    let gone = press(&mut ann, "delete", 0).await;
    let page = ann.get(&gone.location()).await;
    let undo = [("csrf", page.csrf()), ("action", page.value("action")), ("back", HERE.to_owned())];
    add(&mut ann, "Third", "x", &id).await;
    assert_eq!(ann.post("/undo", &undo).await.status, StatusCode::NOT_FOUND);
    assert_eq!(names(&world), ["Second", "Third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_added_and_taken_out_by_buttons_and_nothing_typed_is_lost() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let page = ann.get("/settings/rules/rule").await;
    let mut fields = vec![
        ("name", "Mine <&>"),
        ("join", "any"),
        ("what-0", "header"),
        ("header-0", "X-Mood"),
        ("how-0", "is"),
        ("value-0", "good"),
        ("do-0", "star"),
        ("press", "condition"),
    ];
    let page = send(&mut ann, &page, &fields).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("value-1") && page.text().contains("value=\"X-Mood\""), "{}", page.text());
    assert!(page.text().contains("Mine &#60;&#38;&#62;"), "{}", page.text());
    fields.retain(|(name, _)| *name != "press");
    fields.extend([("what-1", "size"), ("size-1", "large"), ("than-1", "over"), ("press", "save")]);
    // What is wrong stands beside its field.
    let page = send(&mut ann, &page, &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!page.wrong("size-1").is_empty() && rules(&world).is_empty());
    fields.retain(|(name, _)| *name != "press");
    fields.push(("press", "dropcondition-0"));
    let page = send(&mut ann, &page, &fields).await;
    assert!(!page.text().contains("X-Mood") && page.text().contains("value=\"large\""), "{}", page.text());
    for (name, fields) in [
        ("value-0", vec![("what-0", "from"), ("value-0", " \n "), ("do-0", "star")]),
        ("header-0", vec![("what-0", "header"), ("header-0", "a b"), ("value-0", "x"), ("do-0", "star")]),
        ("what-0", vec![("what-0", ""), ("do-0", "star")]),
        ("folder-0", vec![("what-0", "spam"), ("do-0", "move"), ("folder-0", "m999")]),
        ("label-0", vec![("what-0", "spam"), ("do-0", "label"), ("label-0", "two words")]),
        ("text-0", vec![("what-0", "known"), ("do-0", "reply"), ("text-0", " ")]),
        ("to-0", vec![("what-0", "known"), ("do-0", "forward"), ("to-0", "carl@example.net")]),
        ("do-0", vec![("what-0", "known"), ("do-0", "reject"), ("text-0", "no"), ("do-1", "star")]),
        ("do-0", vec![("what-0", "known"), ("do-0", "")]),
    ] {
        let page = ann.get("/settings/rules/rule").await;
        let mut fields = fields.clone();
        fields.extend([("join", "all"), ("press", "save")]);
        let answer = send(&mut ann, &page, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        assert!(!answer.wrong(name).is_empty(), "{fields:?} {}", answer.text());
    }
    assert!(rules(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_an_older_version_changes_nothing_and_shows_both() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let archive = world.mailbox("ann", Role::Archive).id.to_string();
    add(&mut ann, "Mine", "bob", &archive).await;
    let form = ann.get("/settings/rules/rule?at=0").await;
    let list = ann.get(HERE).await;
    // Another program changes the script meanwhile.
    let text = "require \"fileinto\";\r\n# rule:[Mine]\r\nif header :contains \"from\" \"theirs\" { fileinto \"Trash\"; }\r\n# rule:[Other]\r\nif true { keep; }\r\n";
    kept(&world).put(world.id("ann").realm(), "Rules", text).await.unwrap();
    let fields = [
        ("name", "Mine"),
        ("join", "all"),
        ("what-0", "from"),
        ("value-0", "typed"),
        ("do-0", "star"),
        ("press", "save"),
    ];
    let answer = send(&mut ann, &form, &fields).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text());
    assert!(answer.has_code("rules-changed"));
    assert!(answer.text().contains("theirs") && answer.text().contains("typed"), "{}", answer.text());
    assert_eq!(kept(&world).get(world.id("ann").realm(), "Rules").unwrap(), text);
    for verb in ["delete", "off", "up", "down"] {
        let mut all: Vec<(&str, String)> = ["csrf", "key", "seen"].map(|name| (name, list.value(name))).into();
        all.extend([("verb", verb.to_owned()), ("at", "0".to_owned())]);
        let answer = ann.post(HERE, &all).await;
        assert_eq!((answer.status, answer.has_code("rules-changed")), (StatusCode::CONFLICT, true), "{verb}");
    }
    assert_eq!(kept(&world).get(world.id("ann").realm(), "Rules").unwrap(), text);
    // Sent again, it takes the place of what was shown; the other rule stays.
    assert_eq!(send(&mut ann, &answer, &fields).await.status, StatusCode::SEE_OTHER);
    let now = rules(&world);
    assert_eq!((now.len(), &now[0].actions, now[1].name.as_str()), (2, &vec![Action::Star], "Other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_by_hand_is_shown_as_text_and_rules_can_stand_beside_it() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let realm = world.id("ann").realm();
    let by_hand = "require [\"fileinto\", \"variables\"];\nset \"a\" \"b\"; # <why>\nif address :domain :is \"from\" \"x.example\" { fileinto \"X\"; } else { keep; }\n";
    kept(&world).put(realm, "my \"own\"", by_hand).await.unwrap();
    kept(&world).activate(realm, Some("my \"own\"")).await.unwrap();
    let page = ann.get(HERE).await;
    assert!(
        page.text().contains("data-script=\"by-hand\"") && page.text().contains("# &#60;why&#62;"),
        "{}",
        page.text()
    );
    let fields = [
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("name", "my \"own\"".to_owned()),
        ("verb", "beside".to_owned()),
    ];
    let done = ann.post("/settings/rules/scripts", &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let archive = world.mailbox("ann", Role::Archive).id.to_string();
    add(&mut ann, "Mine", "bob", &archive).await;
    let (name, book) = book(&world);
    assert_eq!((name.as_str(), book.parts().len()), ("Rules", 2));
    assert!(book.parts()[0].source.contains("include :personal \"my \\\"own\\\"\";"), "{}", book.parts()[0].source);
    assert_eq!(kept(&world).get(realm, "my \"own\"").unwrap(), by_hand);

    // A part that is text is changed as text; what is wrong is told with its line and column.
    let page = ann.get("/settings/rules/text?at=0").await;
    let fields = |text: &str| {
        let mut all: Vec<(&str, String)> = ["csrf", "key", "at", "seen"].map(|name| (name, page.value(name))).into();
        all.push(("text", text.to_owned()));
        all
    };
    let answer = ann.post("/settings/rules/text", &fields("keep;\nif size { stop; }\n\nfrobnicate;")).await;
    assert_eq!((answer.status, answer.has_code("script-invalid")), (StatusCode::UNPROCESSABLE_ENTITY, true));
    assert!(answer.text().contains("ine 2, column") && answer.text().contains("ine 4, column 1"), "{}", answer.text());
    assert!(answer.text().contains("frobnicate;"));
    let done =
        ann.post("/settings/rules/text", &fields("# mine\nif size :over 3 { keep; } elsif true { stop; }")).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert_eq!(rules(&world).len(), 1);
    let text = kept(&world).get(realm, "Rules").unwrap();
    assert!(text.contains("# mine\nif size :over 3 { keep; } elsif true { stop; }"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_go_to_files_and_come_from_them_checked() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let realm = world.id("ann").realm();
    let script = "# täst\r\nkeep;\r\n";
    let import = |page: &Answer, content: &[u8]| {
        multipart(
            "/settings/rules/scripts/import",
            &[("csrf", page.csrf()), ("key", page.value("key"))],
            &[("Sort ed.sieve", content)],
        )
    };
    let page = ann.get("/settings/rules/scripts").await;
    let done = ann.send(import(&page, script.as_bytes())).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert_eq!(kept(&world).get(realm, "Sort ed").unwrap(), script);
    assert!(kept(&world).active(realm).unwrap().is_none(), "it is not used yet");
    let out = ann.get("/settings/rules/export?name=Sort%20ed").await;
    assert_eq!((out.text().as_str(), out.header("content-type")), (script, "application/sieve"));
    // A wrong file is in the editor, with its errors; what is there is not overwritten.
    for (content, code) in [(&b"stop\n"[..], "script-invalid"), (b"stop;", "script-taken"), (b"\xff", "field-invalid")]
    {
        let page = ann.get("/settings/rules/scripts").await;
        let answer = ann.send(import(&page, content)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.has_code(code) || !answer.wrong("file").is_empty(), "{code} {}", answer.text());
    }
    assert_eq!(kept(&world).get(realm, "Sort ed").unwrap(), script);
    let verb = async |ann: &mut Browser, verb: &str| {
        let page = ann.get("/settings/rules/scripts").await;
        let fields = [("csrf", page.csrf()), ("name", "Sort ed".to_owned()), ("verb", verb.to_owned())];
        ann.post("/settings/rules/scripts", &fields).await
    };
    verb(&mut ann, "activate").await;
    assert!(kept(&world).active(realm).unwrap().is_some());
    assert!(verb(&mut ann, "delete").await.has_code("script-active"));
    verb(&mut ann, "deactivate").await;
    assert_eq!(verb(&mut ann, "delete").await.status, StatusCode::SEE_OTHER);
    assert!(kept(&world).list(realm).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_begun_from_a_message() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let raw = b"From: Carl <carl@example.net>\r\nTo: ann@example.org\r\nSubject: Re: AW: Tides\r\nList-Id: \"Tides, high\" <tides.example.net>\r\nMessage-ID: <1@x>\r\n\r\nHi\r\n";
    let email = world.file("ann", inbox, raw).await.email_id;
    for (by, value) in [("", "tides.example.net"), ("&by=sender", "carl@example.net"), ("&by=subject", "\nTides")] {
        let page = ann.get(&format!("/settings/rules/rule?message={email}{by}")).await;
        assert!(page.text().contains(&format!("{value}</textarea>")), "{by} {}", page.text());
    }
    assert_eq!(ann.get("/settings/rules/rule?message=e999").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_tried_on_mail_that_is_here_and_applied_to_it_with_a_way_back() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let (realm, inbox) = (world.id("ann").realm(), world.mailbox("ann", Role::Inbox).id);
    let archive = world.mailbox("ann", Role::Archive);
    for (at, from) in ["bob", "carl", "bob", "dora"].iter().enumerate() {
        let raw = format!("From: {from}@example.net\r\nSubject: Letter {at}\r\nMessage-ID: <{at}@x>\r\n\r\nHi\r\n");
        world.file("ann", inbox, raw.as_bytes()).await;
    }
    let mut book = Book::default();
    book.set_rule(
        None,
        Rule {
            name: "Bob’s".to_owned(),
            off: true,
            conditions: vec![Condition::Text {
                of: Of::From,
                how: How::Begins,
                not: false,
                values: vec!["BOB@".to_owned()],
            }],
            actions: vec![
                Action::Star,
                Action::Reply { subject: String::new(), text: "Thanks".to_owned() },
                Action::MoveTo(Folder { name: archive.name.as_str().to_owned(), id: String::new() }),
                Action::Stop,
            ],
            ..Rule::default()
        },
    );
    kept(&world).put(realm, "Rules", &book.text().unwrap()).await.unwrap();
    kept(&world).activate(realm, Some("Rules")).await.unwrap();
    let counts = || {
        let of = |mailbox| world.mail.view(realm, mailbox).unwrap().uids().len();
        (of(inbox), of(archive.id))
    };
    let page = ann.get("/settings/rules/try?at=0").await;
    let text = page.text();
    assert!(text.contains("data-found=\"2 messages\""), "{text}");
    assert!(text.contains("Letter 0") && text.contains("Letter 2") && !text.contains("Letter 1"), "{text}");
    assert_eq!(counts(), (4, 0), "trying changes nothing");
    // What comes after the page was made was not meant.
    let late = b"From: bob@example.net\r\nSubject: Letter 9\r\nMessage-ID: <9@x>\r\n\r\nHi\r\n";
    world.file("ann", inbox, late).await;
    let names = ["csrf", "key", "at", "seen", "in", "upto", "from", "next"];
    let fields = names.map(|name| {
        let (_, form) = text.split_once("method=\"post\" action=\"/settings/rules/try\"").unwrap();
        let (_, value) = form.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
        (name, value.split('"').next().unwrap().to_owned())
    });
    let done = ann.post("/settings/rules/try", &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert_eq!(counts(), (3, 2));
    let view = world.mail.view(realm, archive.id).unwrap();
    assert!((0..2).all(|at| view.flags(at).flagged()));
    // Twice is once.
    ann.post("/settings/rules/try", &fields).await;
    assert_eq!(counts(), (3, 2));
    let page = ann.get(&done.location()).await;
    let undo = [("csrf", page.csrf()), ("action", page.value("action")), ("back", HERE.to_owned())];
    assert_eq!(ann.post("/undo", &undo).await.status, StatusCode::SEE_OTHER);
    assert_eq!(counts(), (5, 0));
    let view = world.mail.view(realm, inbox).unwrap();
    assert!((0..5).all(|at| !view.flags(at).flagged()), "stars are gone as well");
    for wrong in ["at=7", "at=0&in=m999"] {
        assert_eq!(ann.get(&format!("/settings/rules/try?{wrong}")).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_tried_on_the_inbox_before_it_is_kept() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    for sender in ["bob@example.net", "carol@example.net", "bob@example.net"] {
        let raw = format!("From: {sender}\r\nTo: ann@example.org\r\nSubject: From {sender}\r\n\r\nText\r\n");
        world.file("ann", inbox, raw.as_bytes()).await;
    }
    let mut browser = world.signed_in("ann").await;
    let page = browser.get("/settings/rules/rule").await;
    let fields = |value, press| {
        vec![
            ("name", "Bob"),
            ("join", "all"),
            ("what-0", "from"),
            ("how-0", "contains"),
            ("value-0", value),
            ("do-0", "star"),
            ("press", press),
        ]
    };
    for (value, found) in [("bob@", 2), ("carol@", 1), ("@example.net", 3), ("nobody@", 0)] {
        let tried = send(&mut browser, &page, &fields(value, "try")).await;
        assert_eq!(tried.status, StatusCode::OK);
        let text = tried.text();
        let said = text.split("data-found=\"").nth(1).expect("what was found").split('"').next().unwrap();
        assert!(said.starts_with(&found.to_string()), "{value}: {said}");
        assert_eq!(text.matches("<td><a href=\"/message/").count(), found, "{value}");
        assert!(text.contains(value), "what was typed is still there");
    }
    // What can't be a rule is told, and nothing was kept or done.
    let wrong = send(&mut browser, &page, &fields("", "try")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(kept(&world).active(world.id("ann").realm()).unwrap().is_none());
    send(&mut browser, &page, &fields("bob@", "save")).await;
    assert_eq!(rules(&world).len(), 1);
}
