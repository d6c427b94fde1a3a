//! Promises about a browser's session and its end.

use crate::world::{PASSWORD, World};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use mailstore::Role;

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_session_cookie_belongs_to_this_host_alone() {
    let world = World::new().await;
    let mut browser = world.browser();
    browser.tls = true;
    let csrf = browser.get("/signin").await.csrf();
    let fields = [("csrf", csrf), ("login", "ann@example.org".into()), ("password", PASSWORD.into())];
    let done = browser.post("/signin", &fields).await;
    let cookie = done.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-holdfast="), "{cookie}");
    for part in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(browser.get("/mail/inbox").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_everywhere() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let mut stolen = browser.clone();
    let csrf = browser.get("/mail/inbox").await.csrf();
    assert_eq!(browser.post("/signout", &[("csrf", csrf)]).await.location(), "/signin");
    assert!(stolen.get("/mail/inbox").await.location().starts_with("/signin"));
}

/// The ways by which a browser's session ends from elsewhere.
const WAYS: [&str; 5] = ["signed out", "signed out everywhere", "password", "disabled", "deleted"];

async fn end(world: &World, way: &str, name: &str) {
    let (directory, id) = (&world.directory, world.id(name));
    match way {
        "signed out" => {
            let session = directory.sessions(id).unwrap().into_iter().next().unwrap();
            directory.end_session(id, session.id).await.unwrap();
        }
        "signed out everywhere" => directory.end_all_sessions(id, None).await.unwrap(),
        "password" => directory.set_password(id, "another good one").await.unwrap(),
        "disabled" => directory.set_enabled(id, false).await.unwrap(),
        "deleted" => directory.delete_account(id).await.unwrap(),
        "role" => directory.set_role(id, directory::Role::User).await.unwrap(),
        other => panic!("{other}"),
    }
}

/// What is still to come of an answer, or where it broke off.
async fn next_piece(body: &mut Body) -> Option<Result<Vec<u8>, axum::Error>> {
    let piece = tokio::time::timeout(std::time::Duration::from_secs(30), body.frame()).await.expect("in time")?;
    Some(piece.map(|frame| frame.into_data().unwrap_or_default().to_vec()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_hears_of_the_end_of_its_session_at_once() {
    for way in WAYS.into_iter().chain(["role"]) {
        let world = World::new().await;
        world.account("cay", directory::Role::Admin).await;
        let name = if way == "role" { "ann" } else { "bob" };
        let browser = world.signed_in(name).await;
        let mut live = browser.open(Request::get("/live").body(Body::empty()).unwrap()).await.into_body();
        // Also while changes come all the time.
        let inbox = world.mailbox(name, Role::Inbox).id;
        world.file(name, inbox, b"Subject: news\r\n\r\nx\r\n").await;
        let first = next_piece(&mut live).await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&first).contains("event: change"));
        end(&world, way, name).await;
        let mut said = String::new();
        while let Some(Ok(piece)) = next_piece(&mut live).await {
            said.push_str(&String::from_utf8_lossy(&piece));
        }
        assert!(said.contains("event: ended"), "{way}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_being_uploaded_when_the_session_ends_does_nothing() {
    for (nr, way) in WAYS.into_iter().enumerate() {
        for (whole, begun) in [(true, true), (false, true), (true, false), (true, false), (true, false)] {
            let world = World::new().await;
            let mut browser = world.signed_in("bob").await;
            let page = browser.get("/compose").await;
            let text = str::to_owned;
            let fields = [
                ("csrf", page.csrf()),
                ("key", page.value("key")),
                ("from", text("bob@example.org")),
                ("to", text("ann@example.org")),
                ("subject", text("late")),
                ("text", text("x")),
                ("do", text("send")),
            ];
            let (head, body) = crate::world::multipart("/compose", &fields, &[]).into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let (sender, mut received) = tokio::sync::mpsc::channel::<Vec<u8>>(4);
            let asked = std::sync::Arc::new(tokio::sync::Notify::new());
            let pieces = futures_util::stream::poll_fn({
                let asked = asked.clone();
                move |context| {
                    asked.notify_one();
                    received.poll_recv(context)
                }
            });
            let pieces = pieces.map(Ok::<_, std::io::Error>);
            let request = Request::from_parts(head, Body::from_stream(pieces));
            let sending = tokio::spawn(async move { browser.send(request).await });
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            sender.send(first.to_vec()).await.unwrap();
            if begun {
                asked.notified().await;
            } else {
                // Anywhere between the look at the session and the first look at the form.
                tokio::time::sleep(std::time::Duration::from_micros(150 * nr as u64)).await;
            }
            end(&world, way, "bob").await;
            if whole {
                let _ = sender.send(rest.to_vec()).await;
                drop(sender);
            }
            let answer = tokio::time::timeout(std::time::Duration::from_secs(30), sending).await.unwrap().unwrap();
            assert!(answer.location().starts_with("/signin"), "{way}, {whole}: {} {}", answer.status, answer.text());
            let got = world.mail.quota(world.id("ann").realm()).unwrap().messages;
            assert_eq!(got, 0, "{way}, {whole}");
            if way != "deleted" {
                assert_eq!(world.mail.quota(world.id("bob").realm()).unwrap().messages, 0, "not even a draft");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_breaks_off_when_its_session_ends() {
    for way in WAYS {
        let world = World::new().await;
        let mut browser = world.signed_in("bob").await;
        let large = [b"Subject: large\r\n\r\n".to_vec(), b"0123456789abcdef\r\n".repeat(200_000)].concat();
        let filed = world.file("bob", world.mailbox("bob", Role::Inbox).id, &large).await;
        for path in ["download", "source"] {
            let path = format!("/message/{}/{path}", filed.email_id);
            assert_eq!(browser.get(&path).await.status, StatusCode::OK);
        }
        let path = format!("/message/{}/download", filed.email_id);
        let mut download = browser.open(Request::get(path).body(Body::empty()).unwrap()).await.into_body();
        let first = next_piece(&mut download).await.unwrap().unwrap();
        assert!(first.len() < large.len());
        end(&world, way, "bob").await;
        let next = next_piece(&mut download).await;
        assert!(matches!(next, Some(Err(_))), "{way}: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_are_listed_with_what_is_new_until_their_owner_knows_it() {
    let world = World::new().await;
    let id = world.id("bob");
    let mut browser = world.signed_in("bob").await;
    let page = browser.get("/settings/sessions").await;
    assert!(!page.has_code("new-sign-in") && page.text().contains("data-result=\"ok\""), "{}", page.text());
    let csrf = browser.get("/settings/sessions").await.csrf();
    let mut other = world.browser();
    let token = other.get("/signin").await.csrf();
    let wrong = [("csrf", token), ("login", "bob@example.org".into()), ("password", "not this one".into())];
    assert_eq!(other.post("/signin", &wrong).await.status, StatusCode::UNAUTHORIZED);
    let app = world.directory.create_app_password(id, "<Tablet>").await.unwrap();
    for peer in ["192.0.2.1", "198.51.100.1"] {
        let (login, secret) = ("bob@example.org", directory::Secret::Password(&app.password));
        let (peer, service) = (peer.parse().unwrap(), directory::Service::Imap);
        let attempt = directory::LoginAttempt { login, secret, peer, service };
        let login = world.directory.authenticate(attempt).await.unwrap();
        world.directory.note_program(&login, service, peer, "K-9 <b>Mail</b>");
        world.directory.write_sign_ins(true).await;
    }
    let page = browser.get("/settings/sessions").await;
    let text = page.text();
    assert!(page.has_code("new-sign-in") && text.contains("data-result=\"wrong-password\""), "{text}");
    assert!(text.contains("K-9 &#60;b&#62;Mail") && text.contains("&#60;Tablet&#62;") && text.contains("198.51.100.1"));
    // Of others nothing is to be seen or changed.
    let mut ann = world.signed_in("ann").await;
    assert!(!ann.get("/settings/sessions?all=1").await.text().contains("198.51.100.1"));
    let csrf_of_ann = ann.get("/settings/sessions").await.csrf();
    ann.post("/settings/sessions/known", &[("csrf", csrf_of_ann), ("id", "all".into())]).await;
    assert!(browser.get("/settings/sessions").await.has_code("new-sign-in"));
    for id in ["", "zz", "00", &"0".repeat(5_000)] {
        browser.post("/settings/sessions/known", &[("csrf", csrf.clone()), ("id", id.into())]).await;
    }
    assert!(browser.get("/settings/sessions").await.has_code("new-sign-in"));
    let done = browser.post("/settings/sessions/known", &[("csrf", csrf), ("id", "all".into())]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert!(!browser.get("/settings/sessions").await.has_code("new-sign-in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_password_is_made_for_the_uses_that_were_chosen() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let csrf = browser.get("/settings/apps").await.csrf();
    let made = |uses: &[&'static str], name: &str| {
        let mut fields = vec![("csrf", csrf.clone()), ("name", name.to_owned()), ("password", PASSWORD.to_owned())];
        fields.push(("uses", "1".to_owned()));
        fields.extend(uses.iter().map(|one| (*one, "1".to_owned())));
        fields
    };
    let none = browser.post("/settings/apps", &made(&[], "none")).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
    let web = browser.post("/settings/apps", &made(&["use-web"], "web")).await;
    assert_eq!(web.status, StatusCode::UNPROCESSABLE_ENTITY);
    for (uses, all) in
        [(&["use-imap", "use-smtp"][..], false), (&["use-imap", "use-pop3", "use-smtp", "use-managesieve"], true)]
    {
        let done = browser.post("/settings/apps", &made(uses, &uses.join(" "))).await;
        assert!(done.has_code("app-password-created"), "{}", done.text());
        let kept = world.directory.app_passwords(world.id("ann")).unwrap().pop().unwrap();
        assert_eq!(kept.scopes.is_all(), all);
        let named: Vec<String> = kept.scopes.services().map(|service| format!("use-{}", service.name())).collect();
        assert_eq!(named, uses);
    }
}
