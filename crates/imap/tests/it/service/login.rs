//! Greeting, CAPABILITY, LOGIN, AUTHENTICATE, STARTTLS, LOGOUT, ID, ENABLE.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::service::client::Client;
use crate::service::server::{PASSWORD, Server, USER};

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_follow_the_state() {
    let server = Server::start().await;
    let (mut c, greeting) = Client::connect(server.address).await;
    assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR"), "{greeting}");
    assert!(greeting.contains("AUTH=PLAIN") && !greeting.contains("IDLE"));
    let answer = c.run(format!("LOGIN {USER} {PASSWORD}")).await.is("OK [CAPABILITY ");
    assert!(answer.tagged.contains(" IDLE ") && answer.tagged.contains(" QRESYNC "));
    let answer = c.run("CAPABILITY").await.ok();
    let line = answer.find("CAPABILITY ");
    for name in ["UIDPLUS", "MOVE", "LIST-STATUS", "ESEARCH", "BINARY", "OBJECTID", "PREVIEW", "APPENDLIMIT=52428800"] {
        assert!(line.split(' ').any(|have| have == name), "{name} in {line}");
    }
    c.run("LOGIN x y").await.is("BAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_repeated_ones_end_the_connection() {
    let server = Server::start().await;
    let (mut c, _) = Client::connect(server.address).await;
    c.run(format!("LOGIN {USER} wrong")).await.is("NO [AUTHENTICATIONFAILED]");
    c.run("LOGIN nobody@example.org wrong").await.is("NO [AUTHENTICATIONFAILED]");
    c.run("SELECT INBOX").await.is("BAD Log in first");
    c.run(format!("LOGIN {USER} {PASSWORD}")).await.ok();

    let server = Server::start_with(|options| options.max_failed_logins = 2).await;
    let (mut c, _) = Client::connect(server.address).await;
    c.run(format!("LOGIN {USER} wrong")).await.is("NO [AUTHENTICATIONFAILED]");
    c.run(format!("LOGIN {USER} wrong")).await.is("NO [AUTHENTICATIONFAILED]");
    assert_eq!(c.line().await, "* BYE Too many failed logins");
    assert_eq!(c.line().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn authenticate_speaks_plain_and_login_with_and_without_initial_response() {
    let server = Server::start().await;
    let plain = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));

    let (mut c, _) = Client::connect(server.address).await;
    c.run(format!("AUTHENTICATE PLAIN {plain}")).await.ok();

    let (mut c, _) = Client::connect(server.address).await;
    let tag = c.start("AUTHENTICATE plain").await;
    assert!(c.line().await.starts_with('+'));
    c.send(format!("{plain}\r\n")).await;
    c.finish(&tag).await.ok();

    let (mut c, _) = Client::connect(server.address).await;
    let tag = c.start("AUTHENTICATE LOGIN").await;
    assert!(c.line().await.starts_with('+'));
    c.send(format!("{}\r\n", STANDARD.encode(USER))).await;
    assert!(c.line().await.starts_with('+'));
    c.send(format!("{}\r\n", STANDARD.encode(PASSWORD))).await;
    c.finish(&tag).await.ok();

    let (mut c, _) = Client::connect(server.address).await;
    let tag = c.start("AUTHENTICATE PLAIN").await;
    assert!(c.line().await.starts_with('+'));
    c.send("*\r\n").await;
    c.finish(&tag).await.is("BAD");
    let tag = c.start("AUTHENTICATE PLAIN").await;
    assert!(c.line().await.starts_with('+'));
    c.send("!!!\r\n").await;
    c.finish(&tag).await.is("BAD");
    c.run("AUTHENTICATE CRAM-MD5").await.is("NO [CANNOT]");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_not_taken_in_plain_text() {
    let server = Server::start_with(|options| options.plaintext_logins = doorkit::PlaintextLogins::Never).await;
    let (mut c, greeting) = Client::connect(server.address).await;
    assert!(greeting.contains("LOGINDISABLED") && !greeting.contains("AUTH="), "{greeting}");
    c.run(format!("LOGIN {USER} {PASSWORD}")).await.is("NO [PRIVACYREQUIRED]");
    c.run("AUTHENTICATE PLAIN AGEAYg==").await.is("NO [PRIVACYREQUIRED]");
}

#[tokio::test(flavor = "multi_thread")]
async fn id_enable_and_logout_answer() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("ID (\"name\" \"test\")").await.ok().find("ID (\"name\" \"Holdfast\" \"version\" ");
    c.run("ENABLE CONDSTORE X").await.ok().has("ENABLED CONDSTORE");
    c.run("ENABLE CONDSTORE").await.ok().has("ENABLED");
    c.run("LOGOUT").await.ok().has("BYE Goodbye");
    assert_eq!(c.line().await, "", "the connection is closed");
}
