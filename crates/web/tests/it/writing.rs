//! Promises about writing: drafts, replies, Send.

use crate::world::{Browser, World, multipart};
use axum::http::StatusCode;
use mailstore::{Role, SystemFlag};

pub async fn key_and_csrf(browser: &mut Browser, path: &str) -> (String, String) {
    let page = browser.get(path).await;
    (page.value("key"), page.csrf())
}

pub fn letter(key: &str, csrf: &str, to: &str) -> Vec<(&'static str, String)> {
    vec![
        ("csrf", csrf.to_owned()),
        ("key", key.to_owned()),
        ("back", "/mail/inbox".to_owned()),
        ("from", "ann@example.org".to_owned()),
        ("to", to.to_owned()),
        ("cc", String::new()),
        ("bcc", String::new()),
        ("subject", "Tide tables".to_owned()),
        ("text", "High water at noon.\nAnn".to_owned()),
        ("do", "send".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn send_posted_ten_times_at_once_sends_once_and_answers_the_same() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let (key, csrf) = key_and_csrf(&mut browser, "/compose").await;
    let tries = (0..10).map(|_| {
        let mut browser = browser.clone();
        let fields = letter(&key, &csrf, "Bob <bob@example.org>");
        async move { browser.compose(&fields, &[("map.txt", b"N 54")]).await }
    });
    let answers = futures_util::future::join_all(tries).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        assert_eq!(answer.location(), answers[0].location());
    }
    assert_eq!(world.mailbox("ann", Role::Sent).total, 1);
    assert_eq!(world.mailbox("ann", Role::Drafts).total, 0);
    let page = browser.get(&answers[0].location()).await.text();
    assert!(page.contains("Sent.") && page.contains(">Undo</button>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sent_message_can_be_taken_back_and_is_a_draft_again() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let (key, csrf) = key_and_csrf(&mut browser, "/compose").await;
    let sent = browser.compose(&letter(&key, &csrf, "bob@example.org"), &[]).await;
    let action = sent.location().split("done=").nth(1).unwrap().to_owned();
    let undone = browser.post("/undo", &[("csrf", csrf), ("action", action), ("back", "/mail/inbox".into())]).await;
    assert!(undone.location().starts_with("/compose?draft="), "{}", undone.text());
    let draft = browser.get(&undone.location()).await.text();
    assert!(draft.contains("High water at noon.") && draft.contains("value=\"bob@example.org\""), "{draft}");
    assert_eq!(world.mailbox("bob", Role::Inbox).total, 0);
    assert_eq!(world.mailbox("ann", Role::Sent).total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_send_keeps_what_was_typed_and_attached() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let (key, csrf) = key_and_csrf(&mut browser, "/compose").await;
    for (to, code, says) in [
        ("", "recipient-missing", ""),
        ("bob@example.org, carl", "recipients-invalid", "carl"),
        ("bob@exa mple", "recipients-invalid", "exa mple"),
    ] {
        let answer = browser.compose(&letter(&key, &csrf, to), &[("map.txt", b"N 54")]).await;
        let text = answer.text();
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{to}");
        assert!(answer.has_code(code) && text.contains(says), "{to}: {text}");
        assert!(text.contains("High water") && text.contains("map.txt"), "{to}: {text}");
    }
    assert_eq!(world.mailbox("ann", Role::Sent).total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_saved_again_takes_its_own_place_and_keeps_its_files() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let (key, csrf) = key_and_csrf(&mut browser, "/compose").await;
    let mut draft = String::new();
    for round in 0..3 {
        let mut fields = letter(&key, &csrf, "bob@example.org");
        fields.retain(|(name, _)| *name != "do" && *name != "text" && *name != "bcc");
        fields.extend([("do", "save".into()), ("text", format!("round {round}")), ("draft", draft.clone())]);
        fields.push(("bcc", "secret@example.org".into()));
        let files: &[(&str, &[u8])] = if round == 0 { &[("map.txt", b"N 54")] } else { &[] };
        let mut request = multipart("/compose", &fields, files);
        request.headers_mut().insert("accept", "application/json".parse().unwrap());
        let answer = browser.send(request).await;
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        draft = json["draft"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned();
        assert_eq!(json["files"][0]["name"], "map.txt");
        assert_eq!(world.mailbox("ann", Role::Drafts).total, 1);
    }
    let page = browser.get(&format!("/compose?draft={draft}")).await.text();
    assert!(page.contains("round 2") && page.contains("secret@example.org") && page.contains("map.txt"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_quotes_and_joins_the_conversation() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let raw = b"From: Bob <bob@example.org>\r\nTo: ann@example.org, carl@example.com\r\nSubject: Boat\r\n\
        Message-ID: <1@example.org>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\nIs it afloat?\r\n";
    let asked = world.file("ann", inbox, raw).await;
    let mut browser = world.signed_in("ann").await;
    let page = browser.get(&format!("/compose?reply-all={}", asked.email_id)).await;
    let text = page.text();
    assert!(text.contains("value=\"Bob &#60;bob@example.org&#62;, carl@example.com\""), "{text}");
    assert!(text.contains("value=\"Re: Boat\"") && text.contains("&#62; Is it afloat?"), "{text}");
    let mut fields = letter(&page.value("key"), &page.csrf(), "bob@example.org");
    fields.retain(|(name, _)| *name != "subject");
    fields.extend([("subject", "Re: Boat".to_owned()), ("answers", page.value("answers"))]);
    assert_eq!(browser.compose(&fields, &[]).await.status, StatusCode::SEE_OTHER);
    let realm = world.id("ann").realm();
    let thread = world.mail.thread(realm, asked.thread_id).unwrap();
    assert_eq!(thread.len(), 2, "the copy in Sent is of the conversation");
    assert!(thread[0].flags.contains(SystemFlag::Answered));
}

/// What a field of the compose page is filled with.
fn filled(page: &str, field: &str) -> String {
    let (_, input) = page.split_once(&format!("<input id=\"{field}\"")).expect("the field");
    let (_, value) = input.split_once("value=\"").unwrap();
    let value = value.split('"').next().unwrap();
    [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
        .into_iter()
        .fold(value.to_owned(), |text, (entity, c)| text.replace(entity, c))
}

/// A letter with all its recipients, to be saved or sent.
fn letter_to(key: &str, csrf: &str, [to, cc, bcc]: [&str; 3], wish: &str) -> Vec<(&'static str, String)> {
    let mut fields = letter(key, csrf, to);
    fields.retain(|(name, _)| !["cc", "bcc", "do"].contains(name));
    fields.extend([("cc", cc.to_owned()), ("bcc", bcc.to_owned()), ("do", wish.to_owned())]);
    fields
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_can_be_sent_as_it_is_filled_in_whatever_the_sender_wrote() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let mut browser = world.signed_in("ann").await;
    for (header, to, cc) in [
        (
            "From: orders@shop.example via Desk <t+42@desk.example>",
            "\"orders@shop.example via Desk\" <t+42@desk.example>",
            "",
        ),
        (
            "From: x@y\r\nReply-To: kunde@web.example (form) <case-77@shop.example>",
            "\"kunde@web.example\" <case-77@shop.example>",
            "",
        ),
        (
            "From: =?utf-8?Q?K=C3=B6nig_@_Werk?= <koenig@corp.example>",
            "\"K\u{f6}nig @ Werk\" <koenig@corp.example>",
            "",
        ),
        ("From: Dubois, Pierre <pierre@corp.example>", "\"Dubois, Pierre\" <pierre@corp.example>", ""),
        ("From: =?utf-8?Q?M=C3=BCller,_Hans?= <hans@corp.example>", "\"M\u{fc}ller, Hans\" <hans@corp.example>", ""),
        (
            "From: =?utf-8?B?SsO8cmdlbiBCZWlzcGllbCA8anVlcmdlbkBjb3JwLmV4YW1wbGU+?=",
            "J\u{fc}rgen Beispiel <juergen@corp.example>",
            "",
        ),
        (
            "From: Ines <ines@x.example>\r\nCc: Weber, Uta <uta@corp.example>, Kim <kim@corp.example>, nobody",
            "Ines <ines@x.example>",
            "\"Weber, Uta\" <uta@corp.example>, Kim <kim@corp.example>",
        ),
        ("From: Support: Billing <billing@corp.example>", "\"Support: Billing\" <billing@corp.example>", ""),
        ("From: taro..yamada@phone.example", "\"taro..yamada\"@phone.example", ""),
        ("From: \"a b\"@x.example", "\"a b\"@x.example", ""),
        ("From: Bob <b@mail_out.example.>", "Bob <b@mail_out.example>", ""),
        ("From: Bob <b@x.example>\r\nReply-To: (none)", "Bob <b@x.example>", ""),
        ("From: Bob <b@x.example>\r\nReply-To: nobody", "Bob <b@x.example>", ""),
    ] {
        let raw = format!("{header}\r\nTo: ann@example.org\r\nSubject: Re[2]: Boat\r\n\r\nAfloat?\r\n");
        let asked = world.file("ann", inbox, raw.as_bytes()).await;
        let page = browser.get(&format!("/compose?reply-all={}", asked.email_id)).await;
        let text = page.text();
        assert_eq!((filled(&text, "to").as_str(), filled(&text, "cc").as_str()), (to, cc), "{header}");
        assert_eq!(filled(&text, "subject"), "Re: Boat");
        let fields = letter_to(&page.value("key"), &page.csrf(), [to, cc, ""], "send");
        let answer = browser.compose(&fields, &[]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{header}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_gives_back_what_was_typed() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    for typed in [
        ["M\u{fc}ller, Hans <hans@corp.example>, kim", "", ""],
        ["half typed", "gra", "bo"],
        ["Team S\u{fc}d; anna@test.example", "a@x, , b@y,", " c@x"],
        ["support@corp.example via Desk <ticket@desk.example>", "\"open", "<a@b"],
        ["foo@@bar, not-an-address, ok@ok.example", "", "'jane@x'"],
        ["ann@example.org", "Bob <bob@example.org>", "secret@example.org"],
        ["a@x; b@x", "a@x\nb@x", ""],
    ] {
        for wish in ["save", "send"] {
            let (key, csrf) = key_and_csrf(&mut browser, "/compose").await;
            let answer = browser.compose(&letter_to(&key, &csrf, typed, wish), &[]).await;
            let at = match (wish, answer.status) {
                ("save", StatusCode::SEE_OTHER) => answer.location(),
                ("send", StatusCode::UNPROCESSABLE_ENTITY) => {
                    let shown = answer.text();
                    assert_eq!(
                        ["to", "cc", "bcc"].map(|field| filled(&shown, field)).each_ref().map(String::as_str),
                        typed
                    );
                    format!("/compose?draft={}", answer.value("draft"))
                }
                ("send", StatusCode::SEE_OTHER) => continue,
                (_, status) => panic!("{typed:?}: {status}"),
            };
            let page = browser.get(&at).await.text();
            assert_eq!(["to", "cc", "bcc"].map(|field| filled(&page, field)).each_ref().map(String::as_str), typed);
            // Saved again by a page that was left alone, it is still so.
            let again = letter_to(
                &key,
                &csrf,
                ["to", "cc", "bcc"].map(|field| filled(&page, field)).each_ref().map(String::as_str),
                "save",
            );
            let at = browser.compose(&again, &[]).await.location();
            assert_eq!(filled(&browser.get(&at).await.text(), "to"), typed[0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_a_page_on_which_nothing_was_written() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    for wish in ["send", "save"] {
        let (key, csrf) = key_and_csrf(&mut browser, "/compose").await;
        let mut fields = letter_to(&key, &csrf, [" ", "", ""], wish);
        fields.retain(|(name, _)| *name != "subject" && *name != "text");
        fields.push(("text", "\n \n".to_owned()));
        browser.compose(&fields, &[]).await;
        assert_eq!(world.mailbox("ann", Role::Drafts).total, 0, "{wish}");
        fields.push(("subject", "Tides".to_owned()));
        let kept = browser.compose(&fields, &[]).await;
        assert_eq!(world.mailbox("ann", Role::Drafts).total, 1, "{wish}");
        let draft = if wish == "save" { kept.location() } else { format!("draft={}", kept.value("draft")) };
        let draft = draft.split("draft=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        // Emptied again, it goes.
        fields.retain(|(name, _)| *name != "subject");
        fields.push(("draft", draft));
        browser.compose(&fields, &[]).await;
        assert_eq!(world.mailbox("ann", Role::Drafts).total, 0, "{wish}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blind_copies_are_in_the_copy_of_the_sender_and_nowhere_else() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let (key, csrf) = key_and_csrf(&mut browser, "/compose").await;
    let fields = letter_to(&key, &csrf, ["bob@example.org", "", "Cy <ann@example.org>"], "send");
    assert_eq!(browser.compose(&fields, &[]).await.status, StatusCode::SEE_OTHER);
    let bcc = |name: &str, role| {
        let (realm, mailbox) = (world.id(name).realm(), world.mailbox(name, role).id);
        let view = world.mail.view(realm, mailbox).unwrap();
        let entries = world.mail.entries(realm, mailbox, view.uids()).unwrap();
        let read = |id| String::from_utf8_lossy(&world.mail.body(realm, id).unwrap().read_all().unwrap()).into_owned();
        entries.iter().map(|entry| read(entry.email_id)).map(|raw| raw.contains("Bcc:")).collect::<Vec<_>>()
    };
    assert_eq!(bcc("ann", Role::Sent), [true]);
    for (name, role) in [("bob", Role::Inbox), ("ann", Role::Inbox)] {
        assert!(!bcc(name, role).contains(&true), "{name}");
    }
}
