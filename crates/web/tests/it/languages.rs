//! Promises of the languages that pages are in, without scripts.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use mailstore::Role;
use texts::{Language, Texts};

use crate::world::{Answer, Browser, World};

const DISPLAY: &str = "/settings/display";

async fn get(browser: &mut Browser, path: &str, accepted: &str) -> Answer {
    browser.send(Request::get(path).header("accept-language", accepted).body(Body::empty()).unwrap()).await
}

async fn choose(browser: &mut Browser, language: &str) {
    let csrf = browser.get(DISPLAY).await.csrf();
    let done = browser.post(DISPLAY, &[("csrf", csrf), ("language", language.to_owned())]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
}

/// A text as a page has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&#38;").replace('\'', "&#39;").replace('"', "&#34;")
}

#[tokio::test(flavor = "multi_thread")]
async fn before_signing_in_the_browser_says_which_language() {
    let world = World::new().await;
    for (accepted, language) in [
        ("de-AT,de;q=0.9,en;q=0.5", Language::German),
        ("fr", Language::French),
        ("pt,es;q=0.8", Language::Spanish),
        ("ar-EG", Language::Arabic),
        ("zh", Language::English),
        ("", Language::English),
    ] {
        let t = Texts::of(language);
        let mut stranger = world.browser();
        let page = get(&mut stranger, "/signin", accepted).await;
        let text = page.text();
        assert!(text.contains(&format!("<html lang=\"{}\" dir=\"{}\"", t.tag(), t.dir())), "{accepted}");
        assert!(text.contains(&escaped(&t.signin_password())), "{accepted}: {text}");
        // What is wrong is told in it too.
        let fields = [("csrf", page.csrf()), ("login", "ann@example.org".into()), ("password", "not it".into())];
        let mut request = crate::world::form("/signin", &fields);
        request.headers_mut().insert("accept-language", accepted.parse().unwrap());
        let refused = stranger.send(request).await;
        assert!(refused.has_code("login-wrong") && refused.text().contains(&escaped(&t.signin_wrong())), "{accepted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_s_language_holds_on_its_pages_whatever_the_browser_wants() {
    let world = World::new().await;
    let inbox = world.mailbox("bob", Role::Inbox).id;
    let raw = b"From: Zoe <zoe@x.test>\r\nTo: bob@example.org\r\nDate: Tue, 10 Mar 2026 18:25:00 +0000\r\nSubject: Tides\r\n\r\nhello\r\n";
    let filed = world.file("bob", inbox, raw).await;
    let (mut bob, mut ann) = (world.signed_in("bob").await, world.signed_in("ann").await);
    for language in Language::ALL {
        let t = Texts::of(language);
        choose(&mut bob, t.tag()).await;
        let thread = format!("/mail/inbox/{}", filed.thread_id);
        for (path, said) in [
            ("/mail/inbox", t.inbox()),
            ("/mail/drafts", t.empty_drafts()),
            (thread.as_str(), t.message_reply()),
            ("/compose", t.compose_subject()),
            ("/search?q=nowhere", t.search_nothing()),
            ("/settings", t.general_signature()),
            (DISPLAY, t.display_density()),
            ("/mail/m999", t.fault_not_found()),
        ] {
            // French of the browser counts for nothing.
            let page = get(&mut bob, path, "fr").await;
            let text = page.text();
            let head = format!("<html lang=\"{}\" dir=\"{}\"", t.tag(), t.dir());
            assert!(text.contains(&head) && text.contains(&escaped(&said)), "{path} {}: {text}", t.tag());
        }
        // What is not in the catalogue says that it is English.
        for path in ["/people", "/help", "/settings/security", "/rewind"] {
            let text = get(&mut bob, path, "fr").await.text();
            let (_, body) = text.split_once("<body").unwrap();
            let marked = body.contains(" lang=\"en\" dir=\"ltr\"");
            assert_eq!(marked, language != Language::English, "{path} {}", t.tag());
        }
    }
    assert!(ann.get("/mail/inbox").await.text().contains("<html lang=\"en\""), "another account");
    choose(&mut bob, "").await;
    assert!(get(&mut bob, "/mail/inbox", "es").await.text().contains("<html lang=\"es\""), "the browser's again");
    choose(&mut bob, "tlh").await;
    assert!(get(&mut bob, "/mail/inbox", "es").await.text().contains("<html lang=\"es\""), "none of ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_sizes_counts_and_quotations_are_the_language_s() {
    let world = World::new().await;
    let inbox = world.mailbox("bob", Role::Inbox).id;
    let raw = format!(
        "From: Zoe <zoe@x.test>\r\nTo: bob@example.org\r\nDate: Tue, 10 Mar 2026 18:25:00 +0000\r\nSubject: Tides\r\n\r\n{}",
        "hello there\r\n".repeat(120)
    );
    let filed = world.file("bob", inbox, raw.as_bytes()).await;
    let mut bob = world.signed_in("bob").await;
    for (tag, full, quoted, size) in [
        ("en", "Tuesday 10 March 2026, 18:25", "On 10 March 2026 at 18:25, Zoe wrote:", "1.7 KB"),
        ("de", "Dienstag, 10. März 2026, 18:25", "Am 10. März 2026 um 18:25 schrieb Zoe:", "1,7 KB"),
        ("fr", "mardi 10 mars 2026 à 18:25", "Le 10 mars 2026 à 18:25, Zoe a écrit :", "1,7 Ko"),
        ("es", "martes, 10 de marzo de 2026, 18:25", "El 10 de marzo de 2026 a las 18:25, Zoe escribió:", "1,7 kB"),
        ("ar", "الثلاثاء، 10 مارس 2026، 18:25", "في 10 مارس 2026 الساعة 18:25 كتب Zoe:", "1.7 ك.ب"),
    ] {
        choose(&mut bob, tag).await;
        let list = bob.get("/mail/inbox").await.text();
        assert!(list.contains(full), "{tag}: {list}");
        let read = bob.get(&format!("/mail/inbox/{}", filed.thread_id)).await.text();
        assert!(read.contains(&format!("<dd>{size}</dd>")), "{tag}: {read}");
        let reply = bob.get(&format!("/compose?reply={}", filed.email_id)).await.text();
        assert!(reply.contains(quoted), "{tag}: {reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_act_did_is_told_in_the_language_and_scripts_get_their_texts() {
    let world = World::new().await;
    let inbox = world.mailbox("bob", Role::Inbox).id;
    let filed = world.file("bob", inbox, b"From: Zoe <zoe@x.test>\r\nSubject: Tides\r\n\r\nhello\r\n").await;
    let mut bob = world.signed_in("bob").await;
    choose(&mut bob, "de").await;
    let page = bob.get("/mail/inbox").await;
    assert!(page.text().contains("data-texts=\"{") && page.text().contains("Wird gesendet"));
    let fields = [
        ("csrf", page.csrf()),
        ("key", page.value("key")),
        ("mailbox", inbox.to_string()),
        ("back", "/mail/inbox".into()),
        ("verb", "archive".into()),
        ("id", filed.thread_id.to_string()),
    ];
    let done = bob.post("/act", &fields).await;
    let told = bob.get(&done.location()).await.text();
    assert!(told.contains("1 Unterhaltung archiviert.") && told.contains("Rückgängig"), "{told}");
}
