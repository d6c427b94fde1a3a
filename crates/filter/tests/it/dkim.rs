//! DKIM: what was signed holds, what was changed does not.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use dnskit::{Answer, DnsError, Kind, Resolver, Zone};
use filter::sender::dmarc::check as dmarc;
use filter::sender::{Flaw, Keys, Lookups, MAX_QUESTIONS, Outcome, Reading, SignatureResult, spf};
use mailkit::dkim::{KeyKind, SigningKey, sign};

use crate::now;

const NOW: u64 = 1_900_000_000;
const MESSAGE: &str =
    "From: Ann <ann@good.test>\r\nTo: bob@hold.test\r\nSubject: a  b\r\nDate: x\r\n\r\nHello,\r\n\r\nyou  \r\n";

struct Signer {
    zone: Zone,
    keys: Vec<SigningKey>,
}

impl Signer {
    fn new() -> Self {
        let zone = Zone::new();
        let kinds = [KeyKind::Rsa2048, KeyKind::Ed25519];
        let keys: Vec<SigningKey> = kinds
            .into_iter()
            .map(|kind| SigningKey::generate(kind, &format!("{kind:?}").to_lowercase()).unwrap())
            .collect();
        for key in &keys {
            zone.text(&key.dns_name("good.test"), &key.dns_record().unwrap());
        }
        Self { zone, keys }
    }

    fn signed(&self, message: &str) -> String {
        sign(message.as_bytes(), &self.keys, "good.test").unwrap() + message
    }

    fn results(&self, message: &str) -> Vec<SignatureResult> {
        let mut reading = Reading::default();
        message.as_bytes().chunks(7).for_each(|piece| {
            reading.push(piece);
        });
        let read = reading.finish();
        let key = |name: String| {
            let found = now(self.zone.txt(&name));
            (name, found)
        };
        read.dkim(&Keys(read.key_names().into_iter().map(key).collect()), NOW)
    }

    fn outcomes(&self, message: &str) -> Vec<Outcome> {
        self.results(message).into_iter().map(|result| result.outcome).collect()
    }
}

#[test]
fn several_signatures_hold_over_whatever_white_space_does() {
    let signer = Signer::new();
    let body = |text: &str| format!("From: a@good.test\r\nSubject: x\r\n\r\n{text}");
    for message in [
        MESSAGE.to_owned(),
        body(""),
        body("\r\n"),
        body(" \r\n\t\r\n"),
        body("Hello!\r\n  \r\n\r\n"),
        body("a \t b\r\n"),
    ] {
        assert_eq!(signer.outcomes(&signer.signed(&message)), [Outcome::Pass; 2], "{message:?}");
    }
    let signed = signer.signed(MESSAGE);
    for (from, to) in [("Subject: a  b", "SUBJECT:  a\r\n b"), ("you  \r\n", "you\r\n\r\n\r\n"), ("Hello,", "Hello, ")]
    {
        assert_eq!(signer.outcomes(&signed.replace(from, to)), [Outcome::Pass; 2], "{from}");
    }
}

#[test]
fn a_change_is_noticed() {
    let signer = Signer::new();
    let signed = signer.signed(MESSAGE);
    for (from, to, flaw) in [
        ("Hello,", "Hallo,", Flaw::BodyHash),
        ("you", "you\r\n--\r\nbuy", Flaw::BodyHash),
        ("Subject: a", "Subject: b", Flaw::Mismatch),
        ("From: Ann", "From: Eve <eve@evil.test>\r\nFrom: Ann", Flaw::Mismatch),
        ("To: bob", "Reply-To: eve@evil.test\r\nTo: bob", Flaw::Mismatch),
        ("v=1;", "v=2;", Flaw::Unknown),
        ("d=good.test", "d=gone.test", Flaw::NoKey),
    ] {
        let changed = signed.replace(from, to);
        assert_ne!(changed, signed, "{from}");
        let flaws: Vec<Option<Flaw>> = signer.results(&changed).into_iter().map(|result| result.flaw).collect();
        assert_eq!(flaws, [Some(flaw); 2], "{from}");
    }
}

#[test]
fn more_signatures_than_are_looked_at_cost_nothing() {
    let signer = Signer::new();
    let many = signer.signed(MESSAGE).split(MESSAGE).next().unwrap().repeat(500) + MESSAGE;
    assert_eq!(signer.outcomes(&many), [Outcome::Pass; filter::sender::dkim::MAX_SIGNATURES]);
    let long = format!("DKIM-Signature: {}\r\n", "v=1; ".repeat(99_999));
    assert!(signer.outcomes(&(long.clone() + MESSAGE)).len() <= 1);
    let endless = "X: y\r\n".repeat(200_000) + MESSAGE;
    assert!(signer.outcomes(&endless).is_empty());
}

#[test]
fn keys_say_what_they_are_for() {
    let signer = Signer::new();
    let signed = signer.signed(MESSAGE);
    let name = signer.keys[0].dns_name("good.test");
    let record = signer.keys[0].dns_record().unwrap();
    for (text, outcome) in [
        (record.clone(), Outcome::Pass),
        (record.replace("v=DKIM1; ", ""), Outcome::Pass),
        (format!("{record}; t=y:s; s=email; h=sha256; n=note"), Outcome::Pass),
        (format!("{record}; s=other"), Outcome::PermError),
        (format!("{record}; h=sha1"), Outcome::PermError),
        (record.replace("k=rsa", "k=ed25519"), Outcome::PermError),
        ("v=DKIM1; p=".to_owned(), Outcome::PermError),
        ("v=DKIM1; k=rsa; p=AAAA".to_owned(), Outcome::PermError),
        ("nothing".to_owned(), Outcome::PermError),
    ] {
        signer.zone.remove(&name);
        signer.zone.text(&name, &text);
        assert_eq!(signer.outcomes(&signed)[0], outcome, "{text}");
    }
    signer.zone.say(&name, Kind::Txt, Err(DnsError::Temporary("SERVFAIL".to_owned())));
    assert_eq!(signer.outcomes(&signed), [Outcome::TempError, Outcome::Pass]);
}

/// Counts, and has an answer to everything that leads to further questions.
#[derive(Default)]
struct Endless(std::sync::atomic::AtomicUsize);

#[async_trait]
impl Resolver for Endless {
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let text = format!("v=spf1 include:a{name} include:b{name} mx:{name} redirect=c{name}");
        let data = match kind {
            Kind::Txt => dnskit::Data::Text(text.into_bytes()),
            Kind::Mx => dnskit::Data::Mx(dnskit::Mx { preference: 1, host: format!("m{name}") }),
            _ => dnskit::Data::Address(IpAddr::from([192, 0, 2, 1])),
        };
        Ok(Answer { records: vec![data; 9], secure: false })
    }
}

#[test]
fn a_hostile_dns_is_asked_only_so_much() {
    let endless = Arc::new(Endless::default());
    let lookups = Lookups::new(Arc::clone(&endless) as Arc<dyn Resolver>);
    for number in 0..200 {
        let domain = format!("d{number}.evil.test");
        let query = spf::Query {
            ip: IpAddr::from([198, 51, 100, 1]),
            helo: &domain,
            local: "a",
            domain: &domain,
            receiver: "mx.test",
            now: 0,
        };
        now(spf::check(&query, &lookups));
        now(dmarc(&format!("a.b.c.d.e.f.g.h.i.{domain}"), &[], &lookups));
    }
    assert!(endless.0.load(std::sync::atomic::Ordering::Relaxed) <= MAX_QUESTIONS);
}
