//! How many messages a second pass a script of fifty rules, on one core: `cargo run --release -p sieve --example fifty_rules`.
//!
//! Each message is read as it comes at delivery, its header fields and its structure too, and meets one of the rules or none.

use std::time::{Duration, Instant};

use sieve::{Envelope, Host, Message, compile, run};

struct Plain;

impl Host for Plain {
    fn now_ms(&self) -> i64 {
        1_800_000_000_000
    }

    fn mailbox_exists(&mut self, _: &str) -> bool {
        true
    }
}

/// Rules as people have them: lists, senders, subjects, sizes, words with wildcards, a few regular expressions.
fn rules() -> String {
    let mut script =
        "require [\"fileinto\", \"imap4flags\", \"regex\", \"envelope\", \"subaddress\", \"copy\"];\n".to_owned();
    for number in 0..50 {
        let test = match number % 5 {
            0 => format!("header :contains \"List-Id\" \"<list{number}.example.org>\""),
            1 => format!("address :is :domain \"From\" [\"shop{number}.example\", \"store{number}.example\"]"),
            2 => format!("header :matches \"Subject\" [\"*invoice {number}*\", \"*order ?{number} *\"]"),
            3 => format!("allof (envelope :is :detail \"to\" \"box{number}\", size :over {number}K)"),
            _ => format!("header :regex \"Subject\" \"\\\\[ticket #{number}[0-9]+\\\\]\""),
        };
        script += &format!("if {test} {{ addflag \"rule{number}\"; fileinto \"Folder {number}\"; stop; }}\n");
    }
    script
}

fn message(number: usize) -> Vec<u8> {
    let received = "Received: from mx1.example.net (mx1.example.net [192.0.2.7]) by mx.example.org with ESMTPS id 4711;\r\n\
                    \tMon, 30 Nov 2026 10:00:00 +0000\r\n";
    let subject = match number % 4 {
        0 => format!("About [ticket #{}9] and more", number % 50),
        1 => format!("Your invoice {} of November", number % 50),
        _ => "=?utf-8?Q?Caf=C3=A9_am_Freitag?= around the corner".to_owned(),
    };
    let mut text = received.repeat(4);
    text += &format!(
        "From: Someone <someone{number}@shop{}.example>\r\nTo: Anna <anna+box3@example.org>, bert@example.org\r\n\
         Subject: {subject}\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@example.net>\r\n\
         List-Id: News <list{}.example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
        number % 90,
        number % 120,
    );
    text += &"A line of text such as people write it, with some words in it.\r\n".repeat(60);
    text += "--b\r\nContent-Type: text/html\r\n\r\n";
    text += &"<p>A line of text such as people write it.</p>\r\n".repeat(60);
    (text + "--b--\r\n").into_bytes()
}

fn main() {
    let script = compile(&rules()).expect("the rules are right");
    let messages: Vec<Vec<u8>> = (0..500).map(message).collect();
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let (began, mut count, mut filed) = (Instant::now(), 0_u32, 0_u32);
    while began.elapsed() < Duration::from_secs(3) {
        for message in &messages {
            let envelope = Envelope {
                from: "someone@example.net".into(),
                to: "anna+box3@example.org".into(),
                ..Envelope::default()
            };
            let outcome = run(&script, Message::new(message.clone()), envelope, &mut Plain).expect("it ends well");
            filed += u32::from(!outcome.actions.iter().all(|taken| taken.action.is_in_inbox()));
            count += 1;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{:.0} messages a second on one core, of {} bytes each on average; {:.0} % met a rule",
        f64::from(count) / seconds,
        bytes / messages.len(),
        f64::from(filed) / f64::from(count) * 100.0,
    );
}
