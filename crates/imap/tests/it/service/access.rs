//! What is open ends when what it was opened with no longer holds, whatever the connection is doing.

use directory::AppPasswordId;

use crate::service::client::Client;
use crate::service::server::{PASSWORD, Server, USER};

/// What a connection is doing.
const STATES: [&str; 9] = [
    "quiet",
    "mailbox selected",
    "half a command",
    "IDLE",
    "NOTIFY",
    "in a literal",
    "in a large literal",
    "between two literals",
    "compressed",
];

/// How access is taken away from a connection that was opened with the password, or with the app password.
const WAYS: [(&str, bool); 5] =
    [("password", true), ("app password", false), ("second factor", true), ("disabled", true), ("deleted", false)];

async fn log_in(server: &Server, password: &str) -> Client {
    let (mut client, _) = Client::connect(server.address).await;
    client.run(format!("LOGIN {USER} \"{password}\"")).await.ok();
    client
}

async fn put_into(client: &mut Client, state: &str) {
    match state {
        "quiet" => {}
        "mailbox selected" => drop(client.run("SELECT INBOX").await.ok()),
        "half a command" => client.send("t9 SELECT IN").await,
        "IDLE" => {
            client.run("SELECT INBOX").await.ok();
            client.start("IDLE").await;
            assert_eq!(client.line().await, "+ idling");
        }
        "NOTIFY" => drop(client.run("NOTIFY SET (PERSONAL (MessageNew MessageExpunge))").await.ok()),
        "in a literal" => {
            client.start("APPEND INBOX {1000}").await;
            assert!(client.line().await.starts_with('+'));
            client.send("Subject: half").await;
        }
        "in a large literal" => {
            client.start("APPEND INBOX {5000000}").await;
            assert!(client.line().await.starts_with('+'));
            client.send(vec![b'x'; 300_000]).await;
        }
        "between two literals" => {
            client.start("APPEND INBOX {3}").await;
            assert!(client.line().await.starts_with('+'));
            client.send("abc {3}\r\n").await;
            assert!(client.line().await.starts_with('+'));
        }
        "compressed" => drop(client.run("COMPRESS DEFLATE").await.ok()),
        other => panic!("{other}"),
    }
}

async fn take_away(server: &Server, way: &str, app: AppPasswordId) {
    let (directory, id) = (&server.directory, server.account);
    match way {
        "password" => directory.set_password(id, "another good one").await.unwrap(),
        "app password" => directory.revoke_app_password(id, app).await.unwrap(),
        "second factor" => {
            let enrolment = directory.enrol_totp(id).await.unwrap();
            let secret = totp_rs::Secret::try_from_base32(&enrolment.secret).unwrap();
            let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
            directory.enable_totp(id, &totp.generate_current().to_string()).await.unwrap();
        }
        "disabled" => directory.set_enabled(id, false).await.unwrap(),
        "deleted" => directory.delete_account(id).await.unwrap(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_ends_with_bye_by_every_way_in_every_state() {
    for (way, by_password) in WAYS {
        let server = Server::start().await;
        let app = server.directory.create_app_password(server.account, "phone").await.unwrap();
        let (used, other) = if by_password { (PASSWORD, &*app.password) } else { (&*app.password, PASSWORD) };
        let mut clients = Vec::new();
        for state in STATES {
            let mut client = log_in(&server, used).await;
            put_into(&mut client, state).await;
            clients.push((state, client));
        }
        let mut bystander = log_in(&server, other).await;
        let before = server.mailstore.quota(server.realm).unwrap().messages;
        take_away(&server, way, app.id).await;
        for (state, mut client) in clients {
            if state != "compressed" {
                let line = client.line().await;
                assert!(line.starts_with("* BYE ["), "{way}, {state}: {line}");
            }
            while !client.line().await.is_empty() {}
        }
        let goes_on = !matches!(way, "disabled" | "deleted");
        if goes_on {
            bystander.run("NOOP").await.ok();
        } else {
            assert!(bystander.line().await.starts_with("* BYE ["), "{way}");
        }
        assert_eq!(server.mailstore.quota(server.realm).unwrap().messages, before, "{way}: nothing was filed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_were_sent_in_advance_are_not_obeyed() {
    let server = Server::start().await;
    let mut client = log_in(&server, PASSWORD).await;
    client.run("SELECT INBOX").await.ok();
    // The server waits for the literal; what is piled up behind it comes with it.
    client.start("APPEND INBOX {3}").await;
    assert!(client.line().await.starts_with('+'));
    server.directory.set_password(server.account, "another good one").await.unwrap();
    let _ = client.try_send("abc\r\nt2 CREATE More\r\nt3 FETCH 1:* FLAGS\r\n").await;
    let mut said = Vec::new();
    loop {
        match client.line().await {
            line if line.is_empty() => break,
            line => said.push(line),
        }
    }
    assert!(said.iter().all(|line| line.starts_with("* BYE")), "{said:?}");
    assert_eq!(server.mailstore.quota(server.realm).unwrap().messages, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_being_sent_breaks_off() {
    let server = Server::start().await;
    let mut client = log_in(&server, PASSWORD).await;
    // More than the buffers of the connection hold.
    let message = [b"Subject: large\r\n\r\n".to_vec(), vec![b'x'; 30_000_000]].concat();
    client.append("INBOX", &message).await.ok();
    client.run("SELECT INBOX").await.ok();
    client.start("FETCH 1 BODY[]").await;
    let first = client.bytes(100).await;
    assert!(String::from_utf8_lossy(&first).contains("{30000018}"));
    server.directory.set_enabled(server.account, false).await.unwrap();
    let rest = client.rest().await;
    assert!(rest.len() < message.len(), "it came to its end");
    assert!(!rest.windows(5).any(|window| window == b"* BYE"), "a goodbye in the middle of a message is part of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_unauthenticate_the_access_of_before_ends_nothing() {
    let server = Server::start().await;
    let app = server.directory.create_app_password(server.account, "phone").await.unwrap();
    let mut client = log_in(&server, &app.password).await;
    client.run("UNAUTHENTICATE").await.ok();
    client.run(format!("LOGIN {USER} {PASSWORD}")).await.ok();
    server.directory.revoke_app_password(server.account, app.id).await.unwrap();
    client.run("NOOP").await.ok();
    server.directory.set_password(server.account, "another good one").await.unwrap();
    assert!(client.line().await.starts_with("* BYE ["));
}
