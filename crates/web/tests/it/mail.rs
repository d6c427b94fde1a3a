//! Promises about reading, acting and sending.

mod strangers;

use crate::world::{Browser, World, form, multipart};
use crate::writing::{key_and_csrf, letter};
use axum::http::StatusCode;
use mailstore::{Role, SystemFlag};

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
        assert_eq!(marked.contains("Has an attachment"), *listed, "{name}");
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
        "texts.js",
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
