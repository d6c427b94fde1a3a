//! Messages whose stored bytes are damaged: they are named and left out, and hide no other.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::service::client::Client;
use crate::service::server::Server;

/// A message whose bytes can't be compressed, so that they stand in the pack as they are.
pub fn message(number: u32, len: usize) -> Vec<u8> {
    let mut text = format!("Subject: number {number}\r\n\r\n").into_bytes();
    let mut state = u64::from(number) + 1;
    while text.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Any byte but NUL.
        text.push(((state >> 33) as u8).max(1));
    }
    text
}

/// Flips a bit at `at` in the stored bytes of a message.
pub fn damage(dir: &Path, message: &[u8], at: usize) {
    let wanted = &message[at..at + 24];
    for pack in fs::read_dir(dir.join("packs")).expect("packs").map(|entry| entry.expect("a pack").path()) {
        let bytes = fs::read(&pack).expect("a pack");
        if let Some(at) = bytes.windows(wanted.len()).position(|window| window == wanted) {
            let file = fs::File::options().write(true).open(&pack).expect("a pack");
            return file.write_all_at(&[bytes[at] ^ 4], at as u64).expect("written");
        }
    }
    panic!("the message is in no pack as it is");
}

const SIZES: [usize; 7] = [300, 40_000, 300, 700_000, 300, 2_000, 300];

/// Seven messages; of them 2 and 6 are damaged near the beginning, 4 near the end.
async fn damaged(server: &Server) -> Client {
    let mut c = server.login().await;
    for (i, len) in SIZES.iter().enumerate() {
        c.append("INBOX", &message(i as u32, *len)).await.ok();
    }
    damage(server.dir(), &message(1, SIZES[1]), 100);
    damage(server.dir(), &message(3, SIZES[3]), 690_000);
    damage(server.dir(), &message(5, SIZES[5]), 100);
    c.run("SELECT INBOX").await.ok().has("7 EXISTS");
    c
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_hides_no_other_from_fetch() {
    let server = Server::start().await;
    let mut c = damaged(&server).await;
    let answer = c.run("FETCH 1:* (UID BODY.PEEK[])").await.is("OK [CORRUPTION] ");
    assert!(answer.tagged.ends_with("UID 2,4,6"), "{}", answer.tagged);
    let whole = answer.untagged.iter().filter(|line| line.contains("BODY[] {")).count();
    assert_eq!(whole, 4);
    // What is known of them without their bytes is told.
    answer.has("2 FETCH (UID 2)").has("4 FETCH (UID 4)").has("6 FETCH (UID 6)");
    for (command, code, given) in [
        ("FETCH 1:* BODY.PEEK[]", "OK [CORRUPTION] ", 4),
        ("UID FETCH 1:* (BODY.PEEK[TEXT])", "OK [CORRUPTION] ", 7),
        ("FETCH 1:* (RFC822.SIZE ENVELOPE BODYSTRUCTURE BINARY.SIZE[1] PREVIEW)", "OK FETCH", 7),
        ("FETCH 2 BODY.PEEK[]", "NO [CORRUPTION] ", 0),
        ("FETCH 4 BODY.PEEK[]<0.100>", "OK FETCH", 1),
        ("FETCH 6:7 BODY.PEEK[]", "OK [CORRUPTION] ", 1),
        ("FETCH 1:* (FLAGS INTERNALDATE ENVELOPE)", "OK FETCH", 7),
    ] {
        let answer = c.run(command).await;
        assert!(answer.tagged.starts_with(code), "{command}: {}", answer.tagged);
        assert_eq!(answer.untagged.len(), given, "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_hides_no_other_from_what_looks_into_bytes() {
    let server = Server::start().await;
    let mut c = damaged(&server).await;
    let found = |line: &str| line.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>();
    for (command, numbers) in [
        ("SEARCH NOT BODY zzz", vec!["1", "3", "5", "7"]),
        ("SEARCH NOT TEXT zzz", vec!["1", "3", "5", "7"]),
        ("SEARCH NOT HEADER X-Other zzz UID 1:3", vec!["1", "3"]),
        ("UID SEARCH OR UID 7 BODY zzz", vec!["7"]),
    ] {
        let answer = c.run(command).await.is("OK [CORRUPTION] ");
        assert_eq!(found(answer.find("SEARCH")), numbers, "{command}");
        assert!(answer.tagged.contains("UID 2"), "{}", answer.tagged);
    }
    c.run("SORT (REVERSE SUBJECT) UTF-8 NOT BODY zzz").await.is("OK [CORRUPTION] ").has("SORT 7 5 3 1");
    c.run("THREAD REFERENCES UTF-8 NOT BODY zzz").await.is("OK [CORRUPTION] ").find("THREAD ");
    // Where the bytes are not needed, nothing is left out.
    c.run("SEARCH SUBJECT number").await.is("OK SEARCH").has("SEARCH 1 2 3 4 5 6 7");
    c.run("SORT (SUBJECT) UTF-8 ALL").await.is("OK SORT").has("SORT 1 2 3 4 5 6 7");
    c.run("COPY 1:* Archive").await.is("OK [COPYUID ");
    c.run("MOVE 2:6 Trash").await.is("OK ");
    c.run("STATUS Trash (MESSAGES)").await.ok().has("STATUS \"Trash\" (MESSAGES 5)");
}
