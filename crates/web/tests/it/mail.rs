//! Promises about reading, acting and sending.

mod strangers;

use crate::world::{Browser, World, form, multipart};
use axum::http::StatusCode;
use mailstore::{Role, SystemFlag};

async fn key_and_csrf(browser: &mut Browser, path: &str) -> (String, String) {
    let page = browser.get(path).await;
    (page.value("key"), page.csrf())
}

fn letter(key: &str, csrf: &str, to: &str) -> Vec<(&'static str, String)> {
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

const HOSTILE: &[u8] = b"From: \"<script>alert(1)</script>\" <x@example.com>\r\nTo: ann@example.org\r\n\
    Subject: <img src=x onerror=alert(1)>\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <p>hello</p><script>alert(1)</script><img src=x onerror=alert(1)><a href=\"javascript:alert(1)\">a</a>\
    <iframe src=\"https://evil.example\"></iframe><form action=\"https://evil.example\"><input></form>\
    <img src=\"https://tracker.example/p.gif\"><style>@import url(https://evil.example)</style>\
    <meta http-equiv=refresh content=\"0;url=https://evil.example\"><base href=\"https://evil.example\">\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn hostile_html_is_harmless_in_every_page_it_reaches() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let filed = world.file("ann", inbox, HOSTILE).await;
    let mut browser = world.signed_in("ann").await;
    let thread = format!("/mail/inbox/{}", filed.thread_id);
    for path in ["/mail/inbox", &thread, "/search?q=img", &format!("/compose?reply={}", filed.email_id)] {
        let text = browser.get(path).await.text();
        assert!(!text.contains("<script>alert") && !text.contains("<img src=x"), "{path}: {text}");
    }
    let page = browser.get(&thread).await.text();
    assert!(page.contains("sandbox=\"allow-same-origin allow-popups allow-popups-to-escape-sandbox\""));
    assert!(!page.contains("allow-scripts"));
    for (query, loads) in [("images=0", false), ("images=1", true)] {
        let frame = browser.get(&format!("/message/{}/html?{query}", filed.email_id)).await;
        let policy = frame.header("content-security-policy").to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox allow-same-origin"), "{policy}");
        assert!(!policy.contains("script") && policy.contains("frame-ancestors 'self'"), "{policy}");
        assert_eq!(policy.contains("https:"), loads);
        let text = frame.text();
        assert!(text.contains("hello"));
        for bad in ["<script", "onerror", "javascript:", "<iframe", "<form", "@import", "evil.example", "http-equiv"] {
            assert!(!text.contains(bad), "{bad} in {text}");
        }
        assert_eq!(text.contains("tracker.example"), loads, "{text}");
    }
    let source = browser.get(&format!("/message/{}/source", filed.email_id)).await;
    assert!(source.header("content-type").starts_with("text/plain"));
    assert!(source.header("content-security-policy").ends_with("sandbox"));
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_downloads_whatever_they_say_they_are() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let raw = b"From: x@example.com\r\nSubject: files\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsee\r\n\
        --b\r\nContent-Type: text/html; name=\"page.html\"\r\nContent-Disposition: attachment; filename=\"page.html\"\r\n\r\n\
        <script>alert(1)</script>\r\n--b--\r\n";
    let filed = world.file("ann", inbox, raw).await;
    let mut browser = world.signed_in("ann").await;
    let page = browser.get(&format!("/mail/inbox/{}", filed.thread_id)).await.text();
    let href = page.split("href=\"").find(|part| part.contains("/part/")).unwrap().split('"').next().unwrap();
    let file = browser.get(href).await;
    assert_eq!(file.status, StatusCode::OK);
    assert!(file.header("content-disposition").starts_with("attachment; filename=\"page.html\""));
    assert_eq!(file.header("content-type"), "application/octet-stream");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    assert!(file.header("content-security-policy").ends_with("sandbox"));
    assert!(file.text().contains("<script>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn list_page_search_and_forward_agree_about_files() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let part = |kind: &str, more: &str| format!("--b\r\nContent-Type: {kind}\r\n{more}\r\niVBORw0KGgo=\r\n");
    let (base64, inline) = ("Content-Transfer-Encoding: base64\r\n", "Content-Disposition: inline\r\n");
    let id = format!("Content-ID: <sign>\r\n{base64}{inline}");
    let cases = [
        (part("application/pdf; name=plan.pdf", inline), "plan.pdf", true),
        (part("text/csv; name=plan.csv", inline), "plan.csv", true),
        (part("message/rfc822", inline), "message.eml", true),
        (part("image/heic; name=plan.heic", &id), "plan.heic", true),
        (part("application/octet-stream; name=sign.png", &id), "sign.png", false),
        (part("application/octet-stream", &id), "attachment.bin", false),
    ];
    let mut browser = world.signed_in("ann").await;
    for (at, (file, name, listed)) in cases.iter().enumerate() {
        let raw = format!(
            "From: x@example.com\r\nSubject: case{at}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/html\r\n\r\n<p>See <img src=\"cid:sign\"></p>\r\n{file}--b--\r\n"
        );
        let filed = world.file("ann", inbox, raw.as_bytes()).await;
        let marked = browser.get(&format!("/search?q=subject:case{at}+has:attachment")).await.text();
        assert_eq!(marked.contains("has an attachment"), *listed, "{name}");
        let page = browser.get(&format!("/mail/inbox/{}", filed.thread_id)).await.text();
        let href =
            page.split("href=\"").find(|part| part.contains("/part/")).map(|part| part.split('"').next().unwrap());
        assert_eq!(href.is_some_and(|href| href.ends_with(name)), *listed, "{name} in {page}");
        if let Some(href) = href {
            assert_eq!(browser.get(href).await.status, StatusCode::OK, "{href}");
        } else {
            let frame = browser.get(&format!("/message/{}/html", filed.email_id)).await.text();
            let src = frame.split("src=\"").find(|part| part.contains("/inline/")).unwrap().split('"').next().unwrap();
            let picture = browser.get(src).await;
            assert_eq!((picture.status, picture.header("content-type")), (StatusCode::OK, "image/png"), "{src}");
        }
        let forward = browser.get(&format!("/compose?forward={}", filed.email_id)).await.text();
        assert!(forward.contains(name), "{name} is forwarded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_packed_in_a_part_is_read_quoted_and_saved() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let block = "begin 644 note.txt\r\n;5&AE<V4@=V]R9',@=V5R92!U=65N8V]D960N\r\n`\r\nend\r\n";
    let raw = format!("From: x@example.com\r\nSubject: uu\r\n\r\nPlease find it.\r\n{block}");
    let filed = world.file("ann", inbox, raw.as_bytes()).await;
    let mut browser = world.signed_in("ann").await;
    let page = browser.get(&format!("/mail/inbox/{}", filed.thread_id)).await.text();
    assert!(!page.contains("begin 644"), "{page}");
    let href = page.split("href=\"").find(|part| part.contains("/part/")).unwrap().split('"').next().unwrap();
    assert_eq!(browser.get(href).await.text(), "These words were uuencoded.");
    let event = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Budget round\r\nDTSTART:20261201T090000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let raw =
        format!("From: x@example.com\r\nSubject: call\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\n{event}");
    let filed = world.file("ann", inbox, raw.as_bytes()).await;
    let paths = [
        format!("/mail/inbox/{}", filed.thread_id),
        format!("/compose?reply={}", filed.email_id),
        "/mail/inbox".to_owned(),
    ];
    for path in paths {
        let page = browser.get(&path).await.text();
        assert!(page.contains("Budget round") && page.contains("1 Dec 2026, 09:00"), "{path}: {page}");
    }
    let raw = b"From: x@example.com\r\nContent-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\nContent-Type: application/octet-stream; name=encrypted.asc\r\n\r\nx\r\n--b--\r\n";
    let filed = world.file("ann", inbox, raw).await;
    let page = browser.get(&format!("/mail/inbox/{}", filed.thread_id)).await.text();
    assert!(page.contains("OpenPGP") && page.contains("encrypted.asc") && !page.contains("attachment.pgp"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_posted_twice_is_done_once_and_undone_by_its_banner() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let filed = world.file("ann", inbox, b"From: x@example.com\r\nSubject: one\r\n\r\ntext\r\n").await;
    world.file("ann", inbox, b"From: x@example.com\r\nSubject: two\r\n\r\ntext\r\n").await;
    let mut browser = world.signed_in("ann").await;
    let (key, csrf) = key_and_csrf(&mut browser, "/mail/inbox").await;
    let fields = [
        ("csrf", csrf.clone()),
        ("key", key),
        ("mailbox", inbox.to_string()),
        ("id", filed.thread_id.to_string()),
        ("verb", "delete".into()),
        ("back", "/mail/inbox".into()),
    ];
    let tries = (0..5).map(|_| {
        let (mut browser, request) = (browser.clone(), form("/act", &fields));
        async move { browser.send(request).await }
    });
    let answers = futures_util::future::join_all(tries).await;
    assert!(answers.iter().all(|a| a.status == StatusCode::SEE_OTHER && a.location() == answers[0].location()));
    assert_eq!((world.mailbox("ann", Role::Inbox).total, world.mailbox("ann", Role::Trash).total), (1, 1));
    let page = browser.get(&answers[0].location()).await;
    assert!(page.text().contains("1 conversation moved to Trash."), "{}", page.text());
    let action = page.value("action");
    for _ in 0..2 {
        let undo = [("csrf", csrf.clone()), ("action", action.clone()), ("back", "/mail/inbox".into())];
        assert_eq!(browser.post("/undo", &undo).await.location(), "/mail/inbox?done=undone");
        assert_eq!((world.mailbox("ann", Role::Inbox).total, world.mailbox("ann", Role::Trash).total), (2, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_shows_every_conversation_once_and_goes_back() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    for n in 0..125 {
        let (hour, minute) = (n / 60, n % 60);
        let raw = format!(
            "From: x{n}@example.com\r\nSubject: number {n}.\r\nDate: Mon, 23 Nov 2026 {hour:02}:{minute:02}:00 +0000\r\n\r\nx\r\n"
        );
        world.file("ann", inbox, raw.as_bytes()).await;
    }
    let mut browser = world.signed_in("ann").await;
    let (mut path, mut seen, mut pages) = ("/mail/inbox".to_owned(), Vec::new(), Vec::new());
    let link = |text: &str, rel: &str| {
        let before = text.split(&format!("\" rel=\"{rel}\"")).next().filter(|before| before.len() < text.len())?;
        Some(before.rsplit("href=\"").next()?.replace("&#38;", "&"))
    };
    loop {
        let text = browser.get(&path).await.text();
        let rows = (0..125).filter(|n| text.contains(&format!("<span class=\"subject\">number {n}.<")));
        let rows: Vec<_> = rows.collect();
        seen.extend(rows.iter().copied());
        pages.push(rows);
        match link(&text, "next") {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [40, 40, 40, 5]);
    seen.sort_unstable();
    assert_eq!(seen, (0..125).collect::<Vec<_>>());
    let last = browser.get(&path).await.text();
    let back = browser.get(&link(&last, "prev").unwrap()).await.text();
    assert!(pages[2].iter().all(|n| back.contains(&format!(">number {n}.<"))));
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_mailbox_is_marked_as_read_and_back() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    for n in 0..50 {
        world.file("ann", inbox, format!("Subject: {n}\r\n\r\nx\r\n").as_bytes()).await;
    }
    let mut browser = world.signed_in("ann").await;
    let page = browser.get("/mail/inbox").await;
    let fields = [
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("mailbox", inbox.to_string()),
        ("back", "/mail/inbox".to_owned()),
        ("only", "read-all:all".to_owned()),
    ];
    let done = browser.post("/act", &fields).await.location();
    assert_eq!(world.mailbox("ann", Role::Inbox).unread, 0);
    let told = browser.get(&done).await;
    assert!(told.text().contains("50 messages marked as read."), "{done}");
    let undo = [("csrf", told.csrf()), ("action", told.value("action")), ("back", "/mail/inbox".to_owned())];
    browser.post("/undo", &undo).await;
    assert_eq!(world.mailbox("ann", Role::Inbox).unread, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_long_conversation_the_newest_messages_are_shown_first() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let mut thread = String::new();
    for n in 0..100 {
        let reference = if n == 0 { String::new() } else { "References: <0@x>\r\n".to_owned() };
        let raw = format!(
            "From: c@example.com\r\nMessage-ID: <{n}@x>\r\n{reference}Subject: Minutes\r\n\
             Date: Mon, 23 Nov 2026 10:{:02}:{:02} +0000\r\n\r\nminute {n}.\r\n",
            n / 60,
            n % 60
        );
        let filed = world.file("ann", inbox, raw.as_bytes()).await;
        let seen = mailstore::FlagChange::Add(mailstore::Flags::of(&[SystemFlag::Seen]));
        world.mail.set_flags(world.id("ann").realm(), inbox, &[filed.uid], seen, None).await.unwrap();
        thread = filed.thread_id.to_string();
    }
    let mut browser = world.signed_in("ann").await;
    let page = browser.get(&format!("/mail/inbox/{thread}")).await.text();
    assert!(page.contains("Show 95 earlier messages") && page.contains("minute 99.") && page.contains("minute 95."));
    assert!(!page.contains("minute 94."));
    // The list beside it names the newest message too.
    let at = |page: &str, what: &str| page.rfind(what).unwrap();
    let anchor = "<a id=\"first\"";
    assert!(at(&page, anchor) > at(&page, "minute 98.") && at(&page, anchor) < at(&page, "minute 99."));
    // A new one in the middle is where the page opens; the list leads there.
    let list = browser.get("/mail/inbox").await.text();
    assert!(list.contains(&format!("/{thread}#first\"")));
    let unseen = mailstore::FlagChange::Remove(mailstore::Flags::of(&[SystemFlag::Seen]));
    world.mail.set_flags(world.id("ann").realm(), inbox, &[mailstore::Uid(98)], unseen, None).await.unwrap();
    let page = browser.get(&format!("/mail/inbox/{thread}")).await.text();
    assert!(at(&page, anchor) > at(&page, "minute 96.") && at(&page, anchor) < at(&page, "minute 97."));
    let all = browser.get(&format!("/mail/inbox/{thread}?open=all")).await.text();
    assert!(all.contains("minute 0.") && !all.contains("earlier messages"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_was_moved_is_told_where_it_was() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let trash = world.mailbox("ann", Role::Trash).id;
    let filed = world.file("ann", inbox, b"From: c@example.com\r\nSubject: Gone\r\n\r\nx\r\n").await;
    world.mail.move_(world.id("ann").realm(), inbox, &[filed.uid], trash).await.unwrap();
    let mut browser = world.signed_in("ann").await;
    let answer = browser.get(&format!("/mail/inbox/{}", filed.thread_id)).await;
    assert_eq!(answer.status, 303);
    let to = answer.location();
    let page = browser.get(&to).await.text();
    assert!(page.contains(&format!("/mail/{trash}/{}\"", filed.thread_id)), "the notice leads there: {page}");
    assert_eq!(browser.get("/mail/inbox/t999").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_leads_to_those_beside_it_in_the_list() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let mut threads = Vec::new();
    for n in 0..3 {
        let raw = format!("Subject: number {n}\r\nDate: Mon, 23 Nov 2026 10:0{n}:00 +0000\r\n\r\ntide\r\n");
        threads.push(world.file("ann", inbox, raw.as_bytes()).await.thread_id.to_string());
    }
    let mut browser = world.signed_in("ann").await;
    for (tail, anchor) in [("", ""), ("?q=tide", "#first")] {
        let link = |thread: &String| format!("href=\"/mail/{inbox}/{thread}{tail}{anchor}\" data-step");
        for (at, newer, older) in [(2, None, Some(1)), (1, Some(2), Some(0)), (0, Some(1), None)] {
            let page = browser.get(&format!("/mail/inbox/{}{tail}", threads[at])).await.text();
            for (n, thread) in threads.iter().enumerate() {
                assert_eq!(page.contains(&link(thread)), newer == Some(n) || older == Some(n), "{at} {n} {tail}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_stays_below_60_kb_with_all_that_it_needs() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    for n in 0..60 {
        let raw = format!(
            "From: Somebody with a name {n} <somebody.{n}@example.com>\r\nSubject: A subject of ordinary length, number {n}\r\n\r\n\
             What a message begins with is shown below its subject, up to some two hundred and fifty-six characters, \
             of which the list shows one line: here is enough text to fill it in any window.\r\n"
        );
        world.file("ann", inbox, raw.as_bytes()).await;
    }
    let mut browser = world.signed_in("ann").await;
    let mut total = 0;
    assert!(browser.get("/mail/inbox").await.body.len() < 60_000, "before compression");
    let mut paths = vec!["/mail/inbox".to_owned()];
    let page = browser.get("/mail/inbox").await.text();
    for name in [
        "app.css",
        "app.js",
        "pages.js",
        "list.js",
        "keys.js",
        "live.js",
        "compose.js",
        "zone.js",
        "icons.svg",
        "mark.svg",
    ] {
        let base =
            page.split("href=\"").find(|part| part.contains("app.css")).unwrap().split("app.css").next().unwrap();
        paths.push(format!("{base}{name}"));
    }
    for path in paths {
        let mut request = axum::http::Request::get(&path).body(axum::body::Body::empty()).unwrap();
        request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
        let answer = browser.send(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        if path.starts_with("/assets/") {
            assert!(answer.header("cache-control").contains("immutable"), "{path}");
        }
        total += answer.body.len();
    }
    assert!(total < 60_000, "{total} bytes travel for the first page");
}

/// Presses a button, in a browser of its own.
fn press(
    browser: &Browser,
    request: axum::http::Request<axum::body::Body>,
) -> tokio::task::JoinHandle<crate::world::Answer> {
    let mut browser = browser.clone();
    tokio::spawn(async move { browser.send(request).await })
}

/// Returns once `pressed` waits for another machine, as one more than `others`; fails when it is answered instead.
async fn waits(world: &World, others: usize, what: &str, pressed: &tokio::task::JoinHandle<crate::world::Answer>) {
    while world.store.waiting_for_acknowledgement() <= others {
        assert!(!pressed.is_finished(), "{what}: answered before the other machine had it");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_pressed_again_is_answered_no_earlier_than_the_first_time() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let filed = world.file("ann", inbox, b"From: x@example.com\r\nSubject: one\r\n\r\ntext\r\n").await;
    let mut browser = world.signed_in("ann").await;
    let page = browser.get("/mail/inbox").await;
    let csrf = page.csrf();
    let store = world.store.clone();
    let act = |verb: &str| {
        let key = web_key(verb);
        form(
            "/act",
            &[
                ("csrf", csrf.clone()),
                ("key", key),
                ("mailbox", inbox.to_string()),
                ("id", filed.thread_id.to_string()),
                ("verb", verb.to_owned()),
                ("back", "/mail/inbox".to_owned()),
            ],
        )
    };
    let compose = |wish: &str, key: &str| {
        let mut fields = letter(&web_key(key), &csrf, "Bob <bob@example.org>");
        fields.retain(|(name, _)| *name != "do");
        fields.push(("do", wish.to_owned()));
        multipart("/compose", &fields, &[])
    };
    let undo = |action: String| {
        form("/undo", &[("csrf", csrf.clone()), ("action", action), ("back", "/mail/inbox".to_owned())])
    };
    let contact = || {
        form(
            "/people/new",
            &[
                ("csrf", csrf.clone()),
                ("key", web_key("contact")),
                ("name", "Zoe".to_owned()),
                ("address", "zoe@x.org".to_owned()),
                ("address-label", "home".to_owned()),
            ],
        )
    };
    let settings =
        || form("/settings", &[("csrf", csrf.clone()), ("name", "Ann".to_owned()), ("hold", "30".to_owned())]);
    let unread = world.file("ann", inbox, b"From: y@example.com\r\nSubject: two\r\n\r\ntext\r\n").await;
    store.hold_acknowledgements(true);
    store.acknowledge(store.seq());
    // Reading waits for nobody, although it marks as read.
    let before = world.mailbox("ann", Role::Inbox).unread;
    assert_eq!(browser.get(&format!("/mail/inbox/{}", unread.thread_id)).await.status, StatusCode::OK);
    assert_eq!((world.mailbox("ann", Role::Inbox).unread, store.waiting_for_acknowledgement()), (before - 1, 0));
    store.acknowledge(store.seq());
    let (mut sent, mut starred, mut made) = (String::new(), String::new(), String::new());
    for what in ["send", "unsend", "star", "delete", "undelete", "contact", "uncontact", "settings", "save", "out"] {
        let request = || match what {
            "send" => compose("send", "send"),
            "unsend" => undo(sent.clone()),
            "star" => act("star"),
            "delete" => act("delete"),
            "undelete" => undo(starred.clone()),
            "contact" => contact(),
            "uncontact" => undo(made.clone()),
            "settings" => settings(),
            "save" => compose("save", "save"),
            _ => form("/signout", &[("csrf", csrf.clone())]),
        };
        let seq = store.snapshot().seq().unwrap();
        let first = press(&browser, request());
        waits(&world, 0, what, &first).await;
        assert!(store.snapshot().seq().unwrap() > seq, "{what}: it can be read");
        let others = store.waiting_for_acknowledgement();
        let again = press(&browser, request());
        waits(&world, others, what, &again).await;
        assert!(!first.is_finished(), "{what}");
        let done = tokio::spawn(async move { (first.await.unwrap(), again.await.unwrap()) });
        // A Send or an act may be more than one commit.
        while !done.is_finished() {
            store.acknowledge(store.snapshot().seq().unwrap());
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let (first, again) = done.await.unwrap();
        assert!(first.status.is_redirection() || first.status.is_success(), "{what}: {}", first.text());
        if what != "out" {
            assert_eq!((first.status, first.location()), (again.status, again.location()), "{what}");
        }
        let action = first.location().split("done=").nth(1).unwrap_or_default().to_owned();
        match what {
            "send" => sent = action,
            "delete" => starred = action,
            "contact" => made = action,
            _ => {}
        }
    }
}

/// A key as a page makes one.
fn web_key(name: &str) -> String {
    name.bytes().cycle().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The store stops while a Send waits for its acknowledgement: the connection ends, so that the page tries again with the
/// same key, and nobody is told what nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_of_which_nobody_knows_what_became_is_marked_to_end_without_an_answer() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let (key, csrf) = key_and_csrf(&mut browser, "/compose").await;
    let store = world.store.clone();
    store.hold_acknowledgements(true);
    let fields = letter(&key, &csrf, "bob@example.org");
    let sending = tokio::spawn(async move { browser.compose(&fields, &[]).await });
    let begun = std::time::Instant::now();
    while store.waits_for_acknowledgement().is_none() {
        assert!(begun.elapsed().as_secs() < 60, "nothing is committed");
        tokio::task::yield_now().await;
    }
    tokio::task::block_in_place(|| store.fence("another machine is the primary").unwrap());
    assert!(sending.await.unwrap().ends_without_answer);
}
