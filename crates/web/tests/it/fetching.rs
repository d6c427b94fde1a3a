//! Accounts elsewhere, and everything as a ZIP.

use axum::http::StatusCode;
use mailstore::Role;

use crate::world::{Answer, Browser, PASSWORD, World};

const HERE: &str = "/settings/fetching";

async fn post(browser: &mut Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
    let page = browser.get("/settings").await;
    let mut all = vec![("csrf", page.csrf())];
    all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
    browser.post(path, &all).await
}

fn states(page: &str) -> Vec<String> {
    page.split("data-fetch=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_elsewhere_are_added_paused_and_removed_and_their_passwords_never_shown() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let add = "/settings/fetching/add";
    for (fields, field) in [
        (&[("user", ""), ("secret", "x")][..], "user"),
        (&[("user", "a@b.example"), ("secret", "")], "secret"),
        (&[("user", "a@nowhere.example"), ("secret", "x")], "host"),
        (&[("user", "a"), ("secret", "x"), ("host", "a b")], "host"),
        (&[("user", "a"), ("secret", "x"), ("host", "imap.b.example"), ("port", "22")], "port"),
        (&[("user", "a"), ("secret", "x"), ("host", "imap.b.example"), ("port", "many")], "port"),
        (&[("user", "a"), ("secret", "x"), ("host", "imap.b.example"), ("security", "plain")], "security"),
    ] {
        let answer = post(&mut ann, add, fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        assert!(!answer.wrong(field).is_empty(), "{fields:?}: {}", answer.text());
    }
    assert!(states(&ann.get(HERE).await.text()).is_empty());
    world.zone.address("imap.there.example", "192.0.2.7");
    let secret = "Zx-unusual-Zx";
    let done = post(&mut ann, add, &[("user", "ann@there.example"), ("secret", secret), ("keep", "yes")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let page = ann.get(&done.location()).await;
    assert_eq!(states(&page.text()), ["active"]);
    assert!(page.text().contains("imap.there.example") && !page.text().contains(secret));
    let again = post(&mut ann, add, &[("user", "ann@there.example"), ("secret", secret)]).await;
    assert!(!again.wrong("user").is_empty() && !again.text().contains(secret));
    let id = page.value("id");
    // Nobody else's.
    let mut bob = world.signed_in("bob").await;
    assert_eq!(post(&mut bob, HERE, &[("id", &id), ("verb", "remove")]).await.status, StatusCode::NOT_FOUND);
    for (verb, state) in [("pause", "paused"), ("resume", "active"), ("pause", "paused")] {
        post(&mut ann, HERE, &[("id", &id), ("verb", verb)]).await;
        assert_eq!(states(&ann.get(HERE).await.text()), [state]);
    }
    post(&mut ann, HERE, &[("id", &id), ("verb", "remove")]).await;
    assert!(states(&ann.get(HERE).await.text()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_as_a_zip_after_the_password() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    for number in 0..30 {
        let text = format!("Subject: n{number}\r\n\r\n{}", "words ".repeat(5_000 * (number % 3)));
        world.file("ann", inbox, text.as_bytes()).await;
    }
    let mut ann = world.signed_in("ann").await;
    assert_eq!(ann.get("/settings/export").await.status, StatusCode::OK);
    let wrong = post(&mut ann, "/settings/export", &[("password", "not it")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let zip = post(&mut ann, "/settings/export", &[("password", PASSWORD)]).await;
    assert_eq!((zip.status, zip.header("content-type")), (StatusCode::OK, "application/zip"));
    assert!(zip.header("content-disposition").contains("ann@example.org.zip"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &zip.body).unwrap();
    let read = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nprint(sum(n.endswith('.eml') for n in z.namelist()), 'options.json' in z.namelist())";
    let output = std::process::Command::new("python3").arg("-c").arg(read).arg(file.path()).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "30 True",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
