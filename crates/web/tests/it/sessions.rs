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
