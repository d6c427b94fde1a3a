//! How fast a mailbox of 20,000 messages is fetched, over a real socket: `cargo run --release -p imap --example
//! fetch_speed`.

#[path = "../tests/it/service/client.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod client;
#[path = "../tests/it/service/server.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod server;

use std::io::Write;
use std::time::Instant;

use mailstore::{Flags, NewMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use server::{PASSWORD, Server, USER};

const MESSAGES: usize = 20_000;

fn message(n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for hop in 0..3 {
        let _ = write!(
            out,
            "Received: from relay{hop}.example.net (relay{hop}.example.net [192.0.2.{hop}])\r\n\tby mx.example.org with \
             ESMTPS id {n:08x}{hop}\r\n\tfor <user@example.org>; Mon, 1 Jun 2026 10:00:0{hop} +0000\r\n"
        );
    }
    let _ = write!(
        out,
        "From: \"Sender {n}\" <sender{n}@example.net>\r\nTo: user@example.org\r\nCc: other@example.org\r\nSubject: Message \
         number {n} about something\r\nDate: Mon, 1 Jun 2026 10:00:00 +0000\r\nMessage-ID: <{n}.mail@example.net>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    for line in 0..30 {
        let _ = write!(out, "This is line {line} of message {n}, which says little of interest.\r\n");
    }
    out
}

/// Fills our own door's INBOX, past the protocol.
async fn fill(server: &Server) {
    let mailstore = server.mailstore.clone();
    let realm = server.realm;
    let inbox = mailstore.mailbox_by_name(realm, &mailstore::MailboxName::inbox()).expect("read").expect("inbox").id;
    let mut waiting = Vec::new();
    for n in 0..MESSAGES {
        let raw = message(n);
        let new = NewMessage {
            body: mailstore.stage(&raw).expect("staged"),
            parsed: std::sync::Arc::new(mailkit::parse(&raw)),
            flags: Flags::NONE,
            internal_date_ms: 1_780_000_000_000,
            delivery_key: None,
            ignore_quota: false,
        };
        let mailstore = mailstore.clone();
        waiting.push(tokio::spawn(async move { mailstore.append(realm, inbox, new).await }));
        if waiting.len() == 200 || n + 1 == MESSAGES {
            for append in waiting.drain(..) {
                append.await.expect("ran").expect("appended");
            }
        }
    }
}

/// Fills another server's INBOX by APPEND, if it is empty.
async fn fill_by_append(address: &str, user: &str, password: &str) {
    let address = address.parse().expect("an address");
    let (mut c, _) = client::Client::connect(address).await;
    c.run(format!("LOGIN {user} {password}")).await.ok();
    if c.run("STATUS INBOX (MESSAGES)").await.ok().find("STATUS").contains("MESSAGES 0") {
        for n in 0..MESSAGES {
            c.append("INBOX", &message(n)).await.ok();
        }
    }
}

#[tokio::main]
async fn main() {
    let start = Instant::now();
    // With HOST:PORT USER PASSWORD another server is measured in our place.
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut own = None;
    let (address, user, password) = if let [address, user, password] = &args[..] {
        fill_by_append(address, user, password).await;
        (address.clone(), user.as_str(), password.as_str())
    } else {
        let server = own.insert(Server::start().await);
        fill(server).await;
        (server.address.to_string(), USER, PASSWORD)
    };
    println!("filled with {MESSAGES} messages in {:?}", start.elapsed());

    let mut stream = TcpStream::connect(&address).await.expect("connected");
    let mut commands = vec![
        ("a", format!("LOGIN {user} {password}")),
        ("b", "SELECT INBOX".to_owned()),
        ("c", "FETCH 1:* (FLAGS UID)".to_owned()),
        ("d", "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)".to_owned()),
        ("e", "FETCH 1:* BODY.PEEK[HEADER]".to_owned()),
        ("f", "FETCH 1:* BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)]".to_owned()),
        ("g", "FETCH 1:* BODY.PEEK[]".to_owned()),
        ("h", "FETCH 1:* (UID BODYSTRUCTURE)".to_owned()),
        ("d", "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)".to_owned()),
        ("e", "FETCH 1:* BODY.PEEK[HEADER]".to_owned()),
        ("i", "UID SEARCH SUBJECT 19999".to_owned()),
    ];
    // REPEAT names one command to be measured again and again, for profiles.
    if let Ok(command) = std::env::var("REPEAT") {
        commands.truncate(2);
        commands.extend((0..20).map(|_| ("r", command.clone())));
    }
    for (tag, command) in commands {
        let start = Instant::now();
        stream.write_all(format!("{tag} {command}\r\n").as_bytes()).await.expect("sent");
        let end = format!("\r\n{tag} OK");
        let mut tail = Vec::new();
        let mut buffer = vec![0; 256 << 10];
        let mut total = 0;
        loop {
            let n = stream.read(&mut buffer).await.expect("read");
            assert!(n > 0, "the connection ended");
            total += n;
            tail.extend_from_slice(&buffer[..n]);
            let keep = tail.len().saturating_sub(2000);
            tail.drain(..keep);
            let text = String::from_utf8_lossy(&tail);
            if text.ends_with("\r\n") && (text.contains(&end) || text.starts_with(&end[2..])) {
                break;
            }
        }
        println!("{:>8.1} ms {:>10} bytes  {command}", start.elapsed().as_secs_f64() * 1e3, total);
    }
}
