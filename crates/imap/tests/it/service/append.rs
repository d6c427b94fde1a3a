//! APPEND: what goes in comes out, byte for byte.

use crate::service::client::Client;
use crate::service::server::{MESSAGE, Server};

async fn body(c: &mut Client, number: u32) -> String {
    let answer = c.run(format!("FETCH {number} BODY.PEEK[]")).await.ok();
    let line = answer.find(&format!("{number} FETCH (BODY[] {{"));
    let (_, body) = line.split_once("}\r\n").expect("a literal");
    body.strip_suffix(')').expect("the end of the response").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_back_as_it_went_in() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("SELECT INBOX").await.ok();
    let odd: [&[u8]; 4] = [MESSAGE, b"", b"no header at all", b"Subject: x\n\nbare\nline\rfeeds\r\n"];
    for (i, message) in odd.iter().enumerate() {
        let answer = c.append("INBOX", message).await.ok();
        assert!(answer.code().starts_with("APPENDUID ") && answer.code().ends_with(&format!(" {}", i + 1)));
        assert!(answer.untagged.contains(&format!("{} EXISTS", i + 1)), "told before the tagged answer: {answer:?}");
        assert_eq!(body(&mut c, i as u32 + 1).await.as_bytes(), *message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_and_date_are_kept() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.append("INBOX (\\Seen \\Flagged $Work) \"17-Jul-1996 02:44:25 -0700\"", MESSAGE).await.ok();
    c.run("SELECT INBOX").await.ok();
    c.run("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)").await.ok().has(&format!(
        "1 FETCH (FLAGS (\\Flagged \\Seen $Work) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE {})",
        MESSAGE.len()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_before_the_message() {
    let server = Server::start_with(|options| options.max_message_bytes = 1000).await;
    let mut c = server.login().await;
    // Answered without "+", so the client sends nothing.
    c.append("nowhere", MESSAGE).await.is("NO [TRYCREATE]");
    let tag = c.start("APPEND INBOX {1001}").await;
    c.finish(&tag).await.is("NO [TOOBIG]");
    let tag = c.start("APPEND INBOX (\\Bogus) {10}").await;
    c.finish(&tag).await.is("BAD Syntax error: expected \\Seen");
    // A client that does not wait has its bytes thrown away, and can go on.
    let tag = c.start(format!("APPEND INBOX {{1001+}}\r\n{}", "x".repeat(1001))).await;
    c.finish(&tag).await.is("NO [TOOBIG]");
    c.run("NOOP").await.ok();
    c.run("STATUS INBOX (MESSAGES)").await.ok().has("STATUS \"INBOX\" (MESSAGES 0)");
}

#[tokio::test(flavor = "multi_thread")]
async fn literals_come_in_all_their_forms() {
    let server = Server::start().await;
    let mut c = server.login().await;
    let tag = c.start(format!("APPEND {{5+}}\r\nINBOX (\\Seen) ~{{{}+}}\r\n{}", 6, "a\r\n\0\r\n")).await;
    c.finish(&tag).await.ok();
    c.run("ENABLE UTF8=ACCEPT").await.ok();
    let tag = c.start("APPEND INBOX UTF8 (~{4+}\r\nabcd)").await;
    c.finish(&tag).await.ok();
    let tag = c.start("APPEND INBOX UTF8 (~{4+}\r\nabcd").await;
    c.finish(&tag).await.is("BAD Syntax error: expected ')'");
    let tag = c.start("APPEND INBOX {4+}\r\nabcd x {4+}\r\nabcd").await;
    c.finish(&tag).await.is("BAD Syntax error: expected a literal");
    let tag = c.start("APPEND INBOX {4+}\r\nabcd x").await;
    c.finish(&tag).await.is("BAD Syntax error: expected the end of the line");
    c.run("STATUS INBOX (MESSAGES)").await.ok().has("STATUS \"INBOX\" (MESSAGES 2)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_passes_through_in_pieces() {
    let server = Server::start().await;
    let mut c = server.login().await;
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    while message.len() < 3_000_000 {
        let line = format!("line {} of a large message that does not fit into any buffer\r\n", message.len());
        message.extend_from_slice(line.as_bytes());
    }
    c.append("INBOX", &message).await.ok();
    c.run("SELECT INBOX").await.ok();
    assert_eq!(body(&mut c, 1).await.as_bytes(), message);
    let part = c.run("FETCH 1 BODY.PEEK[TEXT]<1000000.40>").await.ok();
    let text = &message[b"Subject: large\r\n\r\n".len()..];
    let wanted = String::from_utf8_lossy(&text[1_000_000..1_000_040]).into_owned();
    part.has(&format!("1 FETCH (BODY[TEXT]<1000000> {{40}}\r\n{wanted})"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_append_files_all_its_messages_or_none() {
    let server = Server::start_with(|options| options.max_message_bytes = 1_000).await;
    let mut c = server.login().await;
    c.run("SELECT INBOX").await.ok();
    let words = "(\\Seen) \"17-Jul-1996 02:44:25 +0000\"";
    let tag = c.start(format!("APPEND INBOX {words} {{3+}}\r\none (\\Draft) {{3+}}\r\ntwo {{5+}}\r\nthree")).await;
    let answer = c.finish(&tag).await.ok().has("3 EXISTS");
    assert!(answer.code().starts_with("APPENDUID ") && answer.code().ends_with(" 1:3"), "{answer:?}");
    c.run("FETCH 1:3 (FLAGS BODY.PEEK[])")
        .await
        .ok()
        .has("1 FETCH (FLAGS (\\Seen) BODY[] {3}\r\none)")
        .has("2 FETCH (FLAGS (\\Draft) BODY[] {3}\r\ntwo)")
        .has("3 FETCH (FLAGS () BODY[] {5}\r\nthree)");
    // The second is too long, the third is never looked at.
    let long = "x".repeat(2_000);
    let tag = c.start(format!("APPEND INBOX {{4+}}\r\nfour {{2000+}}\r\n{long} {{3+}}\r\nsix")).await;
    c.finish(&tag).await.is("NO [TOOBIG]").lacks("4 EXISTS");
    // One that waits before each is told before it sends.
    let tag = c.start("APPEND INBOX {4}").await;
    assert!(c.line().await.starts_with('+'));
    c.send("four (\\Seen) {2000}\r\n").await;
    c.finish(&tag).await.is("NO [TOOBIG]");
    c.run("STATUS INBOX (MESSAGES)").await.ok().has("STATUS \"INBOX\" (MESSAGES 3)");
}

#[tokio::test(flavor = "multi_thread")]
async fn nul_comes_in_and_goes_out_in_binary_literals_alone() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("SELECT INBOX").await.ok();
    let large = [&b"A: b\r\n\r\n"[..], &vec![b'x'; 300_000], b"\0", &vec![b'y'; 300_000]].concat();
    let refused: [&[u8]; 4] = [b"\0", b"A: b\0c\r\n\r\nx\r\n", b"A: b\r\n\r\nwith\0nul\r\n", &large];
    for message in refused {
        c.append("INBOX", message).await.is("NO [CANNOT]");
        let plain = [format!("APPEND INBOX {{{}+}}\r\n", message.len()).as_bytes(), message].concat();
        c.run(&plain).await.is("NO [CANNOT]").lacks("1 EXISTS");
        // One of several is enough: they come together or not at all.
        let two = [b"APPEND INBOX {1+}\r\nx".as_slice(), &plain[b"APPEND INBOX".len()..]].concat();
        c.run(two).await.is("NO [CANNOT]").lacks("1 EXISTS");
    }
    for (i, message) in refused.iter().enumerate() {
        let binary = [format!("APPEND INBOX ~{{{}+}}\r\n", message.len()).as_bytes(), message].concat();
        c.run(binary).await.ok();
        let answer = c.run(format!("FETCH {} BODY.PEEK[]", i + 1)).await.ok();
        let text = String::from_utf8_lossy(message);
        let literal = format!("{} FETCH (BODY[] ~{{{}}}\r\n{text})", i + 1, message.len());
        assert!(answer.untagged[0] == literal, "{:.100}", answer.untagged[0]);
    }
    // What a section has decides, not the message; and where it is all plain, the literal is.
    for (asked, begins) in [
        ("2 BODY.PEEK[HEADER]", "2 FETCH (BODY[HEADER] ~{10}"),
        ("2 RFC822.HEADER", "2 FETCH (RFC822.HEADER ~{10}"),
        ("2 BODY.PEEK[HEADER.FIELDS (A)]", "2 FETCH (BODY[HEADER.FIELDS (A)] ~{10}"),
        ("2 BODY.PEEK[TEXT]", "2 FETCH (BODY[TEXT] {3}"),
        ("3 BODY.PEEK[HEADER]", "3 FETCH (BODY[HEADER] {8}"),
        ("3 BODY.PEEK[1]", "3 FETCH (BODY[1] ~{10}"),
        ("3 BODY.PEEK[1]<0.4>", "3 FETCH (BODY[1]<0> {4}"),
        ("3 BODY.PEEK[1]<3.4>", "3 FETCH (BODY[1]<3> ~{4}"),
        ("3 BINARY.PEEK[1]", "3 FETCH (BINARY[1] ~{10}"),
        ("4 BODY.PEEK[]<0.300000>", "4 FETCH (BODY[]<0> {300000}"),
        ("4 BODY.PEEK[TEXT]", "4 FETCH (BODY[TEXT] ~{600001}"),
    ] {
        let answer = c.run(format!("FETCH {asked}")).await.ok();
        assert!(answer.untagged[0].starts_with(begins), "{asked}: {:.80}", answer.untagged[0]);
    }
}
