//! DKIM signatures: verified here by a small verifier written from RFC 6376, and, for the messages in `tests/dkim`, by
//! another implementation (dkimpy 1.1.8) when they were made.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailkit::dkim::{KeyKind, SigningKey, sign};
use mailkit::headers;
use proptest::prelude::*;

/// The body as relaxed canonicalisation has it (RFC 6376 section 3.4.4).
fn relaxed_body(body: &str) -> String {
    let mut lines: Vec<String> = body
        .split("\r\n")
        .map(|line| {
            let words: Vec<&str> = line.split([' ', '\t']).collect();
            let mut out = String::new();
            for (at, word) in words.iter().enumerate() {
                if at > 0 && !out.ends_with(' ') {
                    out.push(' ');
                }
                out.push_str(word);
            }
            out.trim_end_matches(' ').to_owned()
        })
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.iter().flat_map(|line| [line, "\r\n"]).collect()
}

/// A field as relaxed canonicalisation has it (RFC 6376 section 3.4.2), without its line end.
fn relaxed_field(name: &str, value: &str) -> String {
    let value = value.replace("\r\n", "");
    let words: Vec<_> = value.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
    format!("{}:{}", name.trim().to_lowercase(), words.join(" "))
}

fn tag(value: &str, name: &str) -> String {
    value
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
        .find(|(n, _)| n.trim() == name)
        .map(|(_, v)| v.chars().filter(|c| !c.is_whitespace()).collect())
        .expect("the signature has the tag")
}

/// Verifies one signature field over a message.
fn verifies(signature: &str, message: &str, record: &str) -> bool {
    let (_, value) = signature.split_once(':').unwrap();
    let value = value.trim_end_matches("\r\n");
    let (header, body) = message.split_at(headers::header_range(message.as_bytes()).end);
    let hash = digest::digest(&digest::SHA256, relaxed_body(body).as_bytes());
    if tag(value, "bh") != STANDARD.encode(hash.as_ref()) {
        return false;
    }
    let mut fields: Vec<(String, String)> = headers::fields(header.as_bytes())
        .map(|f| {
            let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
            (text(f.name), text(f.value))
        })
        .collect();
    let mut signed = String::new();
    for name in tag(value, "h").split(':') {
        if let Some(at) = fields.iter().rposition(|(n, _)| n.eq_ignore_ascii_case(name)) {
            let (name, value) = fields.remove(at);
            signed.push_str(&relaxed_field(&name, &value));
            signed.push_str("\r\n");
        }
    }
    // The b= tag is last, and empty in what is signed.
    let without = &value[..value.rfind("b=").unwrap() + 2];
    signed.push_str(&relaxed_field("dkim-signature", without));
    let tail: String = value[value.rfind("b=").unwrap()..].chars().filter(|c| *c == ';').collect();
    signed.push_str(&tail);
    let bytes = STANDARD.decode(tag(value, "b")).unwrap();
    let key = STANDARD.decode(tag(record, "p")).unwrap();
    if record.contains("k=ed25519") {
        let hash = digest::digest(&digest::SHA256, signed.as_bytes());
        UnparsedPublicKey::new(&ED25519, key).verify(hash.as_ref(), &bytes).is_ok()
    } else {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(signed.as_bytes(), &bytes).is_ok()
    }
}

/// Messages whose bodies and headers have been signed wrongly by somebody once.
fn samples() -> Vec<(&'static str, &'static str)> {
    vec![
        ("plain", "From: a@example.org\r\nTo: b@example.com\r\nSubject: hi\r\n\r\nHello!\r\n"),
        ("blank-tail", "From: a@example.org\r\nSubject: hi\r\n\r\nHello!\r\n  \r\n\r\n"),
        ("only-blanks", "From: a@example.org\r\nSubject: hi\r\n\r\n \t\r\n  \r\n"),
        ("empty-body", "From: a@example.org\r\nSubject: hi\r\n\r\n"),
        ("no-last-newline", "From: a@example.org\r\nSubject: hi\r\n\r\nHello"),
        ("inner-blanks", "From: a@example.org\r\nSubject: hi\r\n\r\na  b\t c \r\n\r\n \r\n d\r\n"),
        (
            "folded",
            "From:  A  <a@example.org>\r\nTo: b@example.com,\r\n\tc@example.com\r\nSubject:\r\n folded \t subject \r\n\r\nx\r\n",
        ),
        (
            "twice",
            "Received: x\r\nTo: b@example.com\r\nFrom: a@example.org\r\nSubject: one\r\nSubject: two\r\n\r\nx\r\n",
        ),
        (
            "mime",
            "From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nSubject: hi\r\n\r\ngr\u{fc}n\r\n",
        ),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/dkim")
}

fn keys() -> [SigningKey; 2] {
    [SigningKey::generate(KeyKind::Rsa2048, "rsa1").unwrap(), SigningKey::generate(KeyKind::Ed25519, "ed1").unwrap()]
}

/// Makes the files again: `cargo test -p mailkit --test it dkim:: -- --ignored`, then have another implementation verify
/// every signature in `tests/dkim/*.eml` against `tests/dkim/records.txt`.
#[test]
#[ignore = "writes the vectors; run by hand when the signer changes"]
fn write_vectors() {
    fs::create_dir_all(folder()).unwrap();
    let keys = keys();
    let mut records = String::new();
    for key in &keys {
        for text in [key.dns_name("example.org"), ".\t".into(), key.dns_record().unwrap(), "\n".into()] {
            records.push_str(&text);
        }
    }
    fs::write(folder().join("records.txt"), records).unwrap();
    for (name, message) in samples() {
        let signed = sign(message.as_bytes(), &keys, "example.org").unwrap() + message;
        fs::write(folder().join(format!("{name}.eml")), signed).unwrap();
    }
}

#[test]
fn signatures_another_implementation_accepted_have_the_body_hash_we_make() {
    let keys = keys();
    for (name, message) in samples() {
        let stored = fs::read_to_string(folder().join(format!("{name}.eml"))).unwrap();
        let original = stored.strip_suffix(message).expect("the sample, signed");
        let fresh = sign(message.as_bytes(), &keys, "example.org").unwrap();
        let hashes = |fields: &str| -> Vec<String> {
            headers::fields(fields.as_bytes()).map(|f| tag(std::str::from_utf8(f.value).unwrap(), "bh")).collect()
        };
        assert_eq!(hashes(original), hashes(&fresh), "{name}");
        let records = fs::read_to_string(folder().join("records.txt")).unwrap();
        for (field, record) in headers::fields(original.as_bytes()).zip(records.lines()) {
            let field = std::str::from_utf8(field.raw).unwrap();
            assert!(verifies(field, message, record), "{name}: {record}");
        }
    }
}

#[test]
fn no_line_of_a_signature_holds_a_semicolon_alone() {
    let (_, message) = samples()[0];
    let made = SigningKey::generate(KeyKind::Rsa2048, "s").unwrap();
    // A longer selector moves all that follows, to every place in a line.
    for length in 1..=63 {
        let key = SigningKey::from_pkcs8(KeyKind::Rsa2048, &"s".repeat(length), made.to_pkcs8()).unwrap();
        let field = sign(message.as_bytes(), std::slice::from_ref(&key), "example.org").unwrap();
        assert!(field.lines().all(|line| line.trim() != ";" && line.len() < 250), "{field}");
        assert!(verifies(&field, message, &key.dns_record().unwrap()), "{field}");
    }
}

#[test]
fn a_changed_message_does_not_verify() {
    let keys = keys();
    let message = samples()[0].1;
    let fields = sign(message.as_bytes(), &keys, "example.org").unwrap();
    for (field, key) in headers::fields(fields.as_bytes()).zip(&keys) {
        let field = std::str::from_utf8(field.raw).unwrap();
        let record = key.dns_record().unwrap();
        assert!(verifies(field, message, &record));
        for changed in [
            message.replace("Hello!", "Hello?"),
            message.replace("Subject: hi", "Subject: ho"),
            format!("Cc: added@example.com\r\n{message}"),
        ] {
            assert!(!verifies(field, &changed, &record), "{changed}");
        }
        // Neither a field that is missing nor a second one can be put on top of what was signed.
        for name in ["From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To"] {
            let changed = format!("{name}: added@example.com\r\n{message}");
            assert!(!verifies(field, &changed, &record), "{name}");
        }
        assert!(verifies(field, &format!("Received: by x; today\r\nList-Id: <l.example>\r\n{message}"), &record));
    }
}

#[test]
fn signing_refuses_a_domain_that_is_none() {
    let key = SigningKey::generate(KeyKind::Ed25519, "s").unwrap();
    for domain in ["", "a b", "x;d=y", "a\r\nb"] {
        assert!(sign(b"From: a@b\r\n\r\n", std::slice::from_ref(&key), domain).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_signed_verifies(
        subject in "[ -~]{0,40}",
        body in proptest::collection::vec("[ \ta-c.]{0,6}", 0..8),
        last_newline: bool,
    ) {
        let key = SigningKey::generate(KeyKind::Ed25519, "s").unwrap();
        let mut message = format!("From: a@example.org\r\nSubject: {subject}\r\n\r\n{}", body.join("\r\n"));
        if last_newline {
            message.push_str("\r\n");
        }
        let field = sign(message.as_bytes(), std::slice::from_ref(&key), "example.org").unwrap();
        prop_assert!(verifies(&field, &message, &key.dns_record().unwrap()), "{message:?} {field}");
    }
}
