//! Sealing, by the public suite of signings, and against our own verifier.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dnskit::DnsError;
use filter::sender::{Algorithm, Keys, NotSealed, Outcome, Reading, Sealer};
use mailkit::dkim::{KeyKind, SigningKey};
use mailkit::results;
use num_bigint::BigUint;

use crate::vectors;
use crate::yaml::Yaml;

/// Cases of the public suite.
const CASES: usize = 17;

/// The suite's key has 1024 bits, which our own signer rightly doesn't take: the arithmetic of RFC 8017 section 8.2.
struct SmallKey {
    modulus: BigUint,
    exponent: BigUint,
}

impl SmallKey {
    fn read(pem: &str) -> Self {
        let text: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("---")).collect();
        let der = STANDARD.decode(text).unwrap();
        // SEQUENCE of INTEGERs: version, n, e, d, …
        let mut rest = content(&der).0;
        let mut numbers = Vec::new();
        while !rest.is_empty() {
            let (number, after) = content(rest);
            numbers.push(BigUint::from_bytes_be(number));
            rest = after;
        }
        Self { modulus: numbers[1].clone(), exponent: numbers[3].clone() }
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        const SHA256_INFO: [u8; 19] =
            [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 5, 0, 4, 0x20];
        let size = usize::try_from(self.modulus.bits().div_ceil(8)).unwrap();
        let hash = digest(&SHA256, bytes);
        let filling = size - 3 - SHA256_INFO.len() - hash.as_ref().len();
        let padded = [&[0, 1][..], &vec![0xff; filling], &[0], &SHA256_INFO, hash.as_ref()].concat();
        let signature = BigUint::from_bytes_be(&padded).modpow(&self.exponent, &self.modulus).to_bytes_be();
        [vec![0; size - signature.len()], signature].concat()
    }
}

/// The content of the first DER element, and what follows it.
fn content(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, begin) = match der[1] {
        short @ ..0x80 => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            (der[2..2 + count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), 2 + count)
        }
    };
    (&der[begin..begin + length], &der[begin + length..])
}

fn checked(message: &[u8], records: &HashMap<String, Vec<u8>>) -> Outcome {
    let mut reading = Reading::default();
    reading.push(message);
    let read = reading.finish();
    let key = |name: String| {
        let found = records.get(&name).map(|text| vec![text.clone()]).ok_or(DnsError::NoSuchDomain);
        (name, found)
    };
    let keys = Keys(read.key_names().into_iter().map(key).collect());
    read.arc(&keys, 1_500_000_000).outcome
}

/// The tags of a field with all white space taken out, in the order of their names.
fn tags(text: &str) -> Vec<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut tags: Vec<String> = text.split(';').filter(|tag| !tag.is_empty()).map(ToOwned::to_owned).collect();
    tags.sort();
    tags
}

#[test]
fn every_case_of_the_public_suite_is_sealed_as_it_says() {
    let Some(text) = vectors("arc/arc-draft-sign-tests.yml") else { return };
    let (mut cases, mut wrong) = (0, Vec::new());
    for scenario in Yaml::documents(&text) {
        let one = |name: &str| scenario.get(name).unwrap().text().trim().to_owned();
        let (domain, selector, key) = (one("domain"), one("sel"), SmallKey::read(&one("privatekey")));
        let records: HashMap<String, Vec<u8>> = scenario
            .get("txt-records")
            .unwrap()
            .entries()
            .iter()
            .map(|(name, text)| (name.clone(), text.text().trim().as_bytes().to_vec()))
            .collect();
        for (name, case) in scenario.get("tests").unwrap().entries() {
            cases += 1;
            let one = |name: &str| case.get(name).map(|value| value.text().trim().to_owned()).unwrap_or_default();
            let message = case.get("message").unwrap().text().trim_start_matches('\n').replace('\n', "\r\n");
            let names = one("sig-headers");
            let sign = |bytes: &[u8]| Some(key.sign(bytes));
            let at = one("t").parse().unwrap();
            let sealer = Sealer {
                domain: &domain,
                selector: &selector,
                algorithm: Algorithm::RsaSha256,
                sign: &sign,
                at,
                folds: false,
            };
            // What the host found stands above the message.
            let host = one("srv-id");
            let found = results::merged(message.as_bytes(), &host).unwrap();
            let said = results::read(message.as_bytes(), &host).unwrap();
            let chain = said
                .iter()
                .find(|result| result.method == "arc")
                .map_or(Outcome::None, |arc| Outcome::read(&arc.result).unwrap());
            let fields: Vec<&str> = names.split(':').collect();
            let sealed = match sealer.seal_fields(message.as_bytes(), &found, chain, &fields) {
                Ok(sealed) => sealed,
                Err(NotSealed::Failed | NotSealed::Unchecked) => String::new(),
                Err(error) => panic!("{name}: {error}"),
            };
            let value = |field: &str| {
                let found = mailkit::headers::value(sealed.as_bytes(), field);
                found.map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default()
            };
            for (field, wanted) in
                [("ARC-Seal", "AS"), ("ARC-Message-Signature", "AMS"), ("ARC-Authentication-Results", "AAR")]
            {
                let (got, wanted) = (tags(&value(field)), tags(&one(wanted)));
                if got != wanted {
                    wrong.push(format!("{name}, {field}:\n  got    {got:?}\n  wanted {wanted:?}"));
                }
            }
            if chain != Outcome::Fail && !sealed.is_empty() {
                let whole = [sealed.as_bytes(), message.as_bytes()].concat();
                assert_eq!(checked(&whole, &records), Outcome::Pass, "{name}");
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(cases, CASES);
}

const MESSAGE: &str = "DKIM-Signature: v=1; a=rsa-sha256; d=far.example; s=x; h=from; bh=AA==; b=AA==\r\n\
     From: A <a@far.example>\r\nTo: b@here.example\r\nTo: c@here.example\r\nSubject: folded\r\n\there\r\n\
     Date: Thu, 14 Jan 2015 15:00:01 -0800\r\nMessage-ID: <1@far.example>\r\nIn-Reply-To: <0@far.example>\r\n\
     References: <0@far.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\
     Content-Transfer-Encoding: 7bit\r\nList-Id: <l.far.example>\r\nList-Unsubscribe: <https://far.example/u>\r\n\
     \r\nHello  there \r\n\r\n\r\n";

#[test]
fn a_message_is_sealed_at_each_stop_and_the_chain_holds_until_somebody_changes_it() {
    let mut records = HashMap::new();
    let stops: Vec<(String, SigningKey)> = (0..6)
        .map(|number| {
            let kind = if number % 2 == 0 { KeyKind::Rsa2048 } else { KeyKind::Ed25519 };
            let (domain, key) = (format!("hop{number}.example"), SigningKey::generate(kind, "s1").unwrap());
            records.insert(key.dns_name(&domain), key.dns_record().unwrap().into_bytes());
            (domain, key)
        })
        .collect();
    let seal = |message: &str, stop: usize, chain: Outcome| {
        let (domain, key) = &stops[stop];
        let sign = |bytes: &[u8]| key.sign_bytes(bytes).ok();
        let algorithm = if key.kind() == KeyKind::Ed25519 { Algorithm::Ed25519 } else { Algorithm::RsaSha256 };
        let sealer =
            Sealer { domain, selector: key.selector(), algorithm, sign: &sign, at: 1_400_000_000, folds: true };
        let found = format!("{domain}; spf=pass smtp.mailfrom=a@far.example; arc={}", chain.code());
        sealer.seal(message.as_bytes(), &found, chain)
    };
    let mut message = MESSAGE.to_owned();
    let mut chain = Outcome::None;
    for stop in 0..stops.len() {
        let sealed = seal(&message, stop, chain).unwrap();
        assert!(sealed.lines().all(|line| line.len() <= 78), "{sealed}");
        // The next stop adds its trace between.
        message = format!("Received: by hop{stop}.example\r\n{sealed}{message}");
        chain = checked(message.as_bytes(), &records);
        assert_eq!(chain, Outcome::Pass, "{stop}");
    }
    // White space that relays change does no harm; anything else breaks the chain.
    let harmless =
        [("Subject: folded\r\n\there", "subject:   folded here"), ("Hello  there \r\n\r\n\r\n", "Hello there\r\n")];
    for (before, after) in harmless {
        assert_eq!(checked(message.replace(before, after).as_bytes(), &records), Outcome::Pass, "{after}");
    }
    let harmful = [
        ("Subject: folded", "Subject: other"),
        ("Hello", "Hallo"),
        ("To: c@here", "To: d@here"),
        ("DKIM-Signature: v=1", "DKIM-Signature: v=2"),
        ("i=3; hop2.example;\r\n\tspf=pass", "i=3; hop2.example;\r\n\tspf=fail"),
    ];
    for (before, after) in harmful {
        let changed = message.replacen(before, after, 1);
        assert!(changed != message, "{before}");
        assert_eq!(checked(changed.as_bytes(), &records), Outcome::Fail, "{after}");
        // That is marked, once, by a set that covers nothing before it; nobody seals after that.
        let marked = seal(&changed, 0, Outcome::Fail).unwrap();
        assert!(marked.contains("cv=fail") && marked.contains("i=7"), "{marked}");
        let marked = format!("{marked}{changed}");
        assert_eq!(checked(marked.as_bytes(), &records), Outcome::Fail);
        for chain in [Outcome::Fail, Outcome::Pass, Outcome::None] {
            let again = seal(&marked, 1, chain);
            assert!(matches!(again, Err(NotSealed::Failed | NotSealed::Unchecked)), "{again:?}");
        }
    }
    for unchecked in [Outcome::None, Outcome::TempError, Outcome::Neutral] {
        assert_eq!(seal(&message, 0, unchecked), Err(NotSealed::Unchecked));
    }
    let headless = message.replacen("ARC-Authentication-Results: i=2;", "X-Gone: i=2;", 1);
    assert_eq!(seal(&headless, 0, Outcome::Fail), Err(NotSealed::Unreadable));
}
