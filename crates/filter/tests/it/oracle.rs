//! dkimpy as an oracle, both ways: it checks what we sign and seal, and we check what it signs and seals.
//!
//! It comes from PyPI; `cargo xtask test` puts it into `target/python`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dnskit::{Resolver as _, Zone};
use filter::sender::{Algorithm, Keys, Outcome, Read, Reading, Sealer};
use mailkit::dkim::{KeyKind, SigningKey, sign};

use crate::now;

const HEAD: &str = "From: Ann <ann@good.test>\r\nTo: bob@hold.test\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n\
     Message-ID: <1@good.test>\r\n";

/// Messages in which white space, folds and ends of bodies are as they come.
fn messages() -> Vec<String> {
    let fields = [
        "Subject: plain\r\n",
        "Subject:  folded\r\n\t over \r\n   lines\r\nX-Other:  odd \r\n",
        "subject: =?utf-8?q?=C3=A4?=\r\nReply-To: c@good.test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain;\r\n charset=utf-8\r\n",
        "Subject:\r\n empty first line\r\nTo: second@hold.test\r\nReceived: by a\r\n\tfor b\r\n",
    ];
    let bodies = [
        "",
        "\r\n",
        "\r\n\r\n\r\n",
        "Hello.\r\n",
        "Hello  \t there \r\n\r\n",
        ".\r\n..\r\n leading\r\n\ttab\r\n \t \r\n\r\n",
        "no end of line",
        "  \r\n\t\r\n",
    ];
    let each = |field: &&str| bodies.map(|body| format!("{HEAD}{field}\r\n{body}"));
    fields.iter().flat_map(each).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What the oracle says; `None`, visibly, where it is not there.
fn ask(lines: &str) -> Option<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = || {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", here.join("../../target/python"));
        command
    };
    if !python().args(["-c", "import authres, dkim, nacl"]).output().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "dkimpy is not installed; cargo xtask test installs it");
        eprintln!("dkimpy is not installed: passed over");
        return None;
    }
    let mut child =
        python().arg(here.join("tests/it/oracle.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

fn read(message: &[u8], zone: &Zone) -> (Read, Keys) {
    let mut reading = Reading::default();
    message.chunks(13).for_each(|piece| {
        reading.push(piece);
    });
    let read = reading.finish();
    let key = |name: String| {
        let found = now(zone.txt(&name));
        (name, found)
    };
    let keys = Keys(read.key_names().into_iter().map(key).collect());
    (read, keys)
}

#[test]
fn dkimpy_accepts_what_we_sign_and_seal_and_we_what_it_does() {
    const NOW: u64 = 1_900_000_000;
    let (zone, mut asked) = (Zone::new(), String::new());
    let mut add = |key: &SigningKey, domain: &str| {
        let record = key.dns_record().unwrap();
        zone.text(&key.dns_name(domain), &record);
        asked += &format!("record {} {record}\n", key.dns_name(domain));
    };
    let ours: Vec<SigningKey> = [(KeyKind::Rsa2048, "r"), (KeyKind::Ed25519, "e")]
        .into_iter()
        .map(|(kind, selector)| SigningKey::generate(kind, selector).unwrap())
        .collect();
    for key in &ours {
        add(key, "good.test");
    }
    let theirs = [(KeyKind::Rsa2048, "rsa"), (KeyKind::Ed25519, "ed25519")]
        .map(|(kind, selector)| SigningKey::generate(kind, selector).unwrap());
    for key in &theirs {
        add(key, "other.test");
    }
    // Without what PKCS#8 puts around them.
    asked += &format!("rsa {}\n", STANDARD.encode(&theirs[0].to_pkcs8()[26..]));
    asked += &format!("ed25519 {}\n", STANDARD.encode(&theirs[1].to_pkcs8()[16..48]));

    let messages = messages();
    let by_us = |bytes: &[u8]| ours[0].sign_bytes(bytes).ok();
    let sealer = Sealer {
        domain: "good.test",
        selector: "r",
        algorithm: Algorithm::RsaSha256,
        sign: &by_us,
        at: 1_790_000_000,
        folds: true,
    };
    for message in &messages {
        let signed = sign(message.as_bytes(), &ours, "good.test").unwrap() + message;
        asked += &format!("check {}\n", hex(signed.as_bytes()));
        let found = "good.test; spf=pass smtp.mailfrom=ann@good.test; dkim=none";
        let once = sealer.seal(signed.as_bytes(), found, Outcome::None).unwrap() + &signed;
        let found = format!("{found}; arc=pass");
        let twice = sealer.seal(once.as_bytes(), &found, Outcome::Pass).unwrap() + "Received: by good.test\r\n" + &once;
        for sealed in [once, twice] {
            asked += &format!("arc {}\n", hex(sealed.as_bytes()));
        }
    }
    for message in &messages {
        asked += &format!("message {}\n", hex(message.as_bytes()));
    }
    let Some(answer) = ask(&asked) else { return };
    let mut counts = [0; 4];
    for line in answer.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "checked" => {
                assert_eq!(words[1..], ["pass", "pass"], "message {}", counts[0]);
                counts[0] += 1;
            }
            "arc" => {
                assert_eq!(words[1], "pass", "message {}: {line}", counts[1] / 2);
                counts[1] += 1;
            }
            "signed" => {
                let (read, keys) = read(&bytes(words[2]), &zone);
                let found = read.dkim(&keys, NOW);
                assert!(
                    !found.is_empty() && found.iter().all(|one| one.outcome == Outcome::Pass),
                    "{}: {found:?}",
                    words[1]
                );
                counts[2] += 1;
            }
            "sealed" => {
                let (read, keys) = read(&bytes(words[2]), &zone);
                assert_eq!(read.arc(&keys, NOW).outcome, Outcome::Pass, "{}", words[1]);
                counts[3] += 1;
            }
            other => panic!("{other}"),
        }
    }
    let all = messages.len();
    assert_eq!(counts, [all, 2 * all, 17 * all, all]);
}
