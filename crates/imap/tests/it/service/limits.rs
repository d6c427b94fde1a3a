//! What happens to clients that are wrong, too big, too slow, or ahead.

use std::time::Duration;

use crate::service::client::Client;
use crate::service::server::{PASSWORD, Server, USER};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_commands_get_precise_answers_and_too_many_end_it() {
    let server = Server::start_with(|options| options.max_mistakes = 4).await;
    let mut c = server.login().await;
    c.run("FROB").await.is("BAD Unknown command FROB");
    c.run("SELECT").await.is("BAD Syntax error: expected a space at position 10, found the end of the line");
    c.run("NOOP").await.ok();
    for _ in 0..3 {
        c.run("FROB").await.is("BAD Unknown command FROB");
    }
    c.send("\r\n").await;
    assert!(c.line().await.starts_with("* BAD Syntax error: expected a tag"));
    assert!(c.line().await.starts_with("* BYE [CLIENTBUG]"));
    assert_eq!(c.line().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_never_ends_is_cut_off() {
    let server = Server::start().await;
    let (mut c, _) = Client::connect(server.address).await;
    c.send(format!("t1 LOGIN {}", "x".repeat(50_000))).await;
    assert!(c.line().await.starts_with("t1 BAD [LIMIT] Command too long: the limit is 40960 bytes"));
    assert!(c.line().await.starts_with("* BYE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_literal_that_is_too_long_is_refused_before_it_is_sent() {
    let server = Server::start().await;
    let (mut c, _) = Client::connect(server.address).await;
    c.run("LOGIN {100000}").await.is("NO [TOOBIG]");
    // The same for one that does not wait: its bytes are skipped.
    let tag = c.start(format!("LOGIN {{100000+}}\r\n{} y", "x".repeat(100_000))).await;
    c.finish(&tag).await.is("NO [TOOBIG]");
    c.run("APPEND INBOX {5}").await.is("BAD Log in first");
    c.run(format!("LOGIN {USER} {PASSWORD}")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_may_be_sent_ahead() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.send("a SELECT INBOX\r\nb APPEND INBOX {3+}\r\nxyz\r\nc FETCH 1 BODY.PEEK[]\r\nd LOGOUT\r\n").await;
    let a = c.finish("a").await.ok();
    a.find("0 EXISTS");
    c.finish("b").await.ok().has("1 EXISTS");
    c.finish("c").await.ok().has("1 FETCH (BODY[] {3}\r\nxyz)");
    c.finish("d").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_told_goodbye() {
    let server = Server::start_with(|options| options.login_timeout = Duration::from_millis(50)).await;
    let (mut c, _) = Client::connect(server.address).await;
    assert!(c.line().await.starts_with("* BYE Autologout: login time limit reached"));
    assert_eq!(c.line().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn talking_without_logging_in_gains_no_time() {
    let server = Server::start_with(|options| options.login_timeout = Duration::from_millis(200)).await;
    let (mut c, _) = Client::connect(server.address).await;
    // Each answer is waited for, so that the client is never silent for long; in the end it is told to go.
    loop {
        c.send("a NOOP\r\n").await;
        let line = c.line().await;
        if line.starts_with("* BYE Autologout: login time limit reached") {
            break;
        }
        assert!(line.starts_with("a OK"), "{line}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_with_all_that_it_may_have_is_read_before_login() {
    let server = Server::start().await;
    let (mut c, _) = Client::connect(server.address).await;
    let field = format!("\"{}\" \"{}\"", "f".repeat(30), "v".repeat(1024));
    c.run(format!("ID ({})", vec![field; 30].join(" "))).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_says_goodbye() {
    let server = Server::start().await;
    let mut c = server.login().await;
    server.stop();
    assert!(c.line().await.starts_with("* BYE [UNAVAILABLE]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_can_be_compressed_and_holds_up_against_what_is_no_stream() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("COMPRESS LZW").await.is("BAD Unsupported compression mechanism");
    c.run("COMPRESS DEFLATE").await.ok();
    // 64 bytes that no deflate stream begins with: the connection ends, and the door serves others.
    c.send([0xFF; 64]).await;
    assert_eq!(c.line().await, "");
    server.login().await.run("NOOP").await.ok();
}
