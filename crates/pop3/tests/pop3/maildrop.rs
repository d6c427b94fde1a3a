//! Reading and deleting.

use std::time::Duration;

use doorkit::PlaintextLogins;
use pop3::Pop3Options;
use tokio_util::sync::CancellationToken;

use crate::world::World;

const FIRST: &[u8] = b"Subject: one\r\n\r\nHello\r\n";
const SECOND: &[u8] = b"Subject: two\r\n\r\n.dots\r\n..\r\n.\r\nend\r\n";

#[tokio::test]
async fn messages_are_listed_and_come_byte_for_byte() {
    let world = World::new().await;
    let large = [b"Subject: large\r\n\r\n".to_vec(), b".23456789 lines of text\r\n".repeat(60_000)].concat();
    let messages: [&[u8]; 6] =
        [FIRST, SECOND, b"no header, no line end, \0 and \xFF", b"bare\nLF\n.\n.\nlines\n", b"\r\n", &large];
    for message in messages {
        world.file(message).await;
    }
    let mut client = world.logged_in().await;
    let total: usize = messages.iter().map(|message| message.len()).sum();
    assert_eq!(client.ok("STAT").await, format!("6 {total}"));
    let sizes: Vec<String> = (1..).zip(messages).map(|(n, message)| format!("{n} {}", message.len())).collect();
    assert_eq!(client.lines("LIST").await, sizes);
    assert_eq!(client.ok("LIST 2").await, sizes[1]);
    for (number, message) in (1..).zip(messages) {
        let added = if message.ends_with(b"\r\n") { &b""[..] } else { b"\r\n" };
        let got = client.multi(&format!("RETR {number}")).await;
        assert!(got == [message, added].concat(), "message {number}: {} bytes", got.len());
    }
    assert_eq!(client.multi("TOP 2 1").await, b"Subject: two\r\n\r\n.dots\r\n");
    assert_eq!(client.multi("TOP 6 0").await, b"Subject: large\r\n\r\n");
    for command in ["RETR 7", "LIST 7", "UIDL 7", "DELE 7", "TOP 7 1", "RETR 0", "RETR x"] {
        client.err(command).await;
    }
    client.ok("QUIT").await;
    client.closed().await;
    assert_eq!(world.uids().len(), 6);
}

#[tokio::test]
async fn what_was_deleted_goes_at_quit_and_only_then() {
    let world = World::new().await;
    let uids = [world.file(FIRST).await, world.file(SECOND).await, world.file(FIRST).await];

    // Dropped without QUIT.
    let mut client = world.logged_in().await;
    client.ok("DELE 1").await;
    drop(client);

    // Taken back.
    let mut client = world.logged_in().await;
    client.ok("DELE 1").await;
    client.err("DELE 1").await;
    client.err("RETR 1").await;
    assert_eq!(client.lines("LIST").await.len(), 2);
    client.ok("RSET").await;
    assert_eq!(client.lines("LIST").await.len(), 3);
    client.ok("QUIT").await;
    assert_eq!(world.uids(), uids);

    // Meant.
    let mut client = world.logged_in().await;
    client.ok("DELE 2").await;
    assert_eq!(world.uids(), uids);
    client.ok("QUIT").await;
    assert_eq!(world.uids(), [uids[0], uids[2]]);
}

#[tokio::test]
async fn a_message_has_one_unique_id_for_ever() {
    let world = World::new().await;
    for _ in 0..3 {
        world.file(FIRST).await;
    }
    let mut client = world.logged_in().await;
    let before = client.lines("UIDL").await;
    assert_eq!(client.ok("UIDL 3").await, before[2]);
    client.ok("DELE 2").await;
    client.ok("QUIT").await;
    world.file(FIRST).await;
    let mut client = world.logged_in().await;
    let after = client.lines("UIDL").await;
    let id = |line: &String| line.split_once(' ').unwrap().1.to_owned();
    assert_eq!(after.len(), 3);
    assert_eq!(id(&after[0]), id(&before[0]));
    assert_eq!(id(&after[1]), id(&before[2]));
    assert!(!before.iter().map(id).any(|old| old == id(&after[2])));
}

#[tokio::test]
async fn a_session_keeps_its_numbers_whatever_others_do() {
    let world = World::new().await;
    let first = world.file(FIRST).await;
    world.file(SECOND).await;
    let mut client = world.logged_in().await;
    world.mail.expunge(world.account.realm(), world.inbox, &[first]).await.unwrap();
    world.file(FIRST).await;
    assert_eq!(client.ok("STAT").await, format!("2 {}", FIRST.len() + SECOND.len()));
    client.err("RETR 1").await;
    assert_eq!(client.multi("RETR 2").await, SECOND);
    client.ok("DELE 1").await;
    client.ok("QUIT").await;
    assert_eq!(world.uids().len(), 2);
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let world = World::new().await;
    world.file(FIRST).await;
    let mut client = world.logged_in().await;
    client.send(b"STAT\r\nRETR 1\r\nNOOP\r\nDELE 1\r\nBOGUS\r\nTOP 1 0\r\nQUIT\r\n").await;
    let mut answers = Vec::new();
    for number in 0..7 {
        answers.push(client.line().await.unwrap().split(' ').next().unwrap().to_owned());
        if number == 1 {
            assert_eq!(client.data().await, FIRST);
        }
    }
    assert_eq!(answers, ["+OK", "+OK", "+OK", "+OK", "-ERR", "-ERR", "+OK"]);
    client.closed().await;
    assert!(world.uids().is_empty());
}

#[tokio::test]
async fn retrieved_messages_are_seen_after_quit() {
    let world = World::new().await;
    world.file(FIRST).await;
    world.file(SECOND).await;
    let seen = || {
        let view = world.mail.view(world.account.realm(), world.inbox).unwrap();
        [view.flags(0).seen(), view.flags(1).seen()]
    };
    let mut client = world.logged_in().await;
    client.multi("RETR 1").await;
    client.multi("TOP 2 10").await;
    drop(client);
    assert_eq!(seen(), [false, false]);
    let mut client = world.logged_in().await;
    client.multi("RETR 1").await;
    client.multi("TOP 2 10").await;
    client.ok("QUIT").await;
    assert_eq!(seen(), [true, false]);
}

#[tokio::test]
async fn a_silent_client_is_left_and_nothing_is_deleted() {
    // Long enough for a login on a busy machine, which has pauses of its own.
    let options = Pop3Options {
        plaintext_logins: PlaintextLogins::Loopback,
        idle_timeout: Duration::from_secs(3),
        ..Pop3Options::default()
    };
    let world = World::with(options).await;
    world.file(FIRST).await;
    let mut client = world.logged_in().await;
    client.send(b"DELE 1\r\n").await;
    client.closed().await;
    assert_eq!(world.uids().len(), 1);
}

#[tokio::test]
async fn a_shutdown_ends_sessions_and_deletes_nothing() {
    let shutdown = CancellationToken::new();
    let options = Pop3Options {
        plaintext_logins: PlaintextLogins::Loopback,
        shutdown: shutdown.clone(),
        ..Pop3Options::default()
    };
    let world = World::with(options).await;
    world.file(FIRST).await;
    let mut client = world.logged_in().await;
    client.ok("DELE 1").await;
    shutdown.cancel();
    client.closed().await;
    assert_eq!(world.uids().len(), 1);
}

#[tokio::test]
async fn an_endless_line_costs_a_refusal_and_endless_nonsense_the_connection() {
    let world = World::new().await;
    let mut client = world.logged_in().await;
    client.send(&b"x".repeat(200_000)).await;
    client.err("").await;
    client.ok("NOOP").await;
    let mut answers = 0;
    for _ in 0..100 {
        client.send(b"WHAT\r\n").await;
        match client.line().await {
            Some(answer) => assert!(answer.starts_with("-ERR"), "{answer}"),
            None => break,
        }
        answers += 1;
        if answers == 19 {
            break;
        }
    }
    assert_eq!(answers, 19);
    client.closed().await;
}
