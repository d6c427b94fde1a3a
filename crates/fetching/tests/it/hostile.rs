//! Servers that mean no good: every answer ends the run with a reason, and nothing is filed.

use fetching::{State, Trouble};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::world::World;

/// A server that says each of these, whatever it is told, and waits for a line in between; then it goes on saying the last one.
async fn saying(parts: Vec<Vec<u8>>, endless: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let parts = parts.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                for (at, part) in parts.iter().enumerate() {
                    if at > 0 && stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                        return;
                    }
                    if stream.write_all(part).await.is_err() {
                        return;
                    }
                }
                while endless && stream.write_all(parts.last().unwrap()).await.is_ok() {}
            });
        }
    });
    port
}

fn parts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

const HELLO: &str = "* OK hi\r\n";
const CAPA: &str = "* CAPABILITY IMAP4rev1\r\nh1 OK\r\n";
const IN: &str = "h2 OK [CAPABILITY IMAP4rev1] in\r\n";
const LISTED: &str = "* LIST () \"/\" INBOX\r\nh3 OK\r\n";
const OPEN: &str = "* 2 EXISTS\r\n* OK [UIDVALIDITY 7]\r\nh4 OK\r\n";
const FOUND: &str = "* SEARCH 1 2\r\nh5 OK\r\n";
const METAS: &str = "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"x\" RFC822.SIZE 5)\r\n* 2 FETCH (UID 2 FLAGS NIL RFC822.SIZE 99999999999999999999)\r\nh6 OK\r\n";

#[tokio::test]
async fn every_bad_answer_ends_the_run_and_files_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |policy| policy.max_message_bytes = 100_000).await;
    let deep = format!("{HELLO}* 1 FETCH ({}\r\n", "(".repeat(200_000));
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("greets with BYE", parts(&["* BYE go away\r\n"])),
        ("greets as SMTP", parts(&["220 mail ESMTP\r\n"])),
        ("says nothing and closes", parts(&[""])),
        ("is binary", vec![vec![0, 255, 13, 10, 0, 7, 10]]),
        ("answers another tag", parts(&[HELLO, "x9 OK\r\n"])),
        ("nests too deeply", parts(&[&deep])),
        ("says BYE in between", parts(&[HELLO, "* BYE over\r\n"])),
        ("asks for more at the wrong time", parts(&[HELLO, "+ go on\r\n"])),
        ("has no UIDVALIDITY", parts(&[HELLO, CAPA, IN, LISTED, "* 2 EXISTS\r\nh4 OK\r\n"])),
        ("lists with a broken literal", parts(&[HELLO, CAPA, IN, "* LIST () \"/\" {999999999}\r\n"])),
        ("lists a name in half", parts(&[HELLO, CAPA, IN, "* LIST () \"/\" \"INB\r\nh3 OK\r\n"])),
        ("refuses LIST", parts(&[HELLO, CAPA, IN, "h3 BAD no\r\n"])),
        ("refuses SEARCH", parts(&[HELLO, CAPA, IN, LISTED, OPEN, "h5 NO no\r\n"])),
        (
            "a literal that is too short",
            parts(&[
                HELLO,
                CAPA,
                IN,
                LISTED,
                OPEN,
                FOUND,
                METAS,
                "* 1 FETCH (UID 1 BODY[] {3}\r\nabcdef)\r\nh7 OK\r\n",
            ]),
        ),
        (
            "a literal that never ends",
            parts(&[HELLO, CAPA, IN, LISTED, OPEN, FOUND, METAS, "* 1 FETCH (UID 1 BODY[] {50}\r\nabc"]),
        ),
        (
            "a literal of an absurd size",
            parts(&[HELLO, CAPA, IN, LISTED, OPEN, FOUND, METAS, "* 1 FETCH (UID 1 BODY[] {999999999999}\r\nabc"]),
        ),
        (
            "a text after the end of time",
            parts(&[HELLO, CAPA, IN, LISTED, OPEN, FOUND, METAS, "h7 OK\r\nh7 OK\r\n* 1 FETCH\r\n"]),
        ),
    ];
    let realm = world.account.realm();
    for (what, says) in cases {
        let port = saying(says, false).await;
        let id = world.add(World::settings(port)).await;
        let ended = world.fetching.fetch(world.account, id).await.unwrap();
        assert!(ended.trouble.is_some(), "{what}");
        assert_eq!(
            (ended.source.state.clone(), ended.source.filed()),
            (State::Active, 0),
            "{what}: {:?}",
            ended.trouble
        );
        let (why, _) = ended.source.error.expect(what);
        assert!(why.len() < 400, "{what}: {why}");
        world.fetching.remove(world.account, id).await.unwrap();
    }
    assert_eq!(world.mail.quota(realm).unwrap().messages, 0);
}

#[tokio::test]
async fn what_has_no_end_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let long = "x".repeat(60_000);
    for (what, says) in [
        ("a line", vec![long.clone().into_bytes()]),
        ("greetings", parts(&["* OK hello\r\n"])),
        ("capabilities", parts(&[HELLO, "* CAPABILITY X\r\n"])),
        ("mailboxes", parts(&[HELLO, CAPA, IN, "* LIST () \"/\" a\r\n"])),
        ("a list in a line", vec![HELLO.into(), CAPA.into(), IN.into(), format!("* LIST ({long}").into_bytes()]),
    ] {
        let port = saying(says, true).await;
        let id = world.add(World::settings(port)).await;
        let ended = world.fetching.fetch(world.account, id).await.unwrap();
        let gave_up = matches!(ended.trouble, Some(Trouble::Protocol(_) | Trouble::Hopeless(_) | Trouble::Lost(_)));
        assert!(gave_up, "{what}: {:?}", ended.trouble);
        world.fetching.remove(world.account, id).await.unwrap();
    }
}

#[tokio::test]
async fn a_large_mailbox_is_searched_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let uids: Vec<String> = (1..=100_000u32).map(|uid| uid.to_string()).collect();
    let search = format!("* SEARCH {}\r\nh5 OK\r\n", uids.join(" "));
    let open = "* 100000 EXISTS\r\n* OK [UIDVALIDITY 7]\r\nh4 OK\r\n";
    let port = saying(parts(&[HELLO, CAPA, IN, LISTED, open, &search]), false).await;
    let id = world.add(World::settings(port)).await;
    let ended = world.fetching.fetch(world.account, id).await.unwrap();
    assert!(matches!(ended.trouble, Some(Trouble::Lost(_))), "{:?}", ended.trouble);
    assert_eq!(ended.source.progress(), (0, 100_000));
}
