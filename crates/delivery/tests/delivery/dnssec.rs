//! DANE over a DNS that is really signed: what the service's own resolver proves, disproves or leaves open, and what becomes of
//! mail then.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use delivery::{DeliveryOptions, QueueFilter};
use dnskit::{DnsError, Kind, Resolver};
use rustls::pki_types::CertificateDer;
use store::RealmId;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::fake::Fake;
use crate::knot::{self, Knot, Zone};
use crate::posttls::Finger;
use crate::secured::{Authority, Server};
use crate::world::{MESSAGE, World, envelope, options};

/// The one mail server of all domains has a certificate for this name alone.
const NAME: &str = "mx.named.test";

/// What must become of mail to a domain.
enum Fate {
    Arrives,
    /// It waits, and the queue says this.
    Waits(&'static str),
}
use Fate::{Arrives, Waits};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn sha512(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA512, bytes).as_ref())
}

fn key_of(certificate: &CertificateDer<'_>) -> Vec<u8> {
    X509Certificate::from_der(certificate).unwrap().1.tbs_certificate.subject_pki.raw.to_vec()
}

/// TLSA records as they stand in a zone.
struct Records {
    own_key: String,
    own_whole: String,
    next_key: String,
    issuer: String,
    other_issuer: String,
}

impl Records {
    fn of(server: &Server, authority: &Authority) -> Self {
        let other = Authority::new();
        Self {
            own_key: format!("TLSA 3 1 1 {}", sha256(&key_of(&server.certificate))),
            own_whole: format!("TLSA 3 0 2 {}", sha512(&server.certificate)),
            next_key: format!("TLSA 3 1 1 {}", sha256(b"a key to come")),
            issuer: format!("TLSA 2 0 1 {}", sha256(&authority.certificate)),
            other_issuer: format!("TLSA 2 1 1 {}", sha256(&key_of(&other.certificate))),
        }
    }
}

/// Domains in the signed root: `$D` is the domain, `$P` the owner label of its host's TLSA records.
fn signed_domains(records: &Records) -> Vec<(&'static str, String, Fate)> {
    let Records { own_key, own_whole, next_key, issuer, other_issuer } = records;
    let usual = "$D MX 10 mx.$D\nmx.$D A 127.0.0.1\n";
    let with = |tlsa: &[&str]| {
        let lines = tlsa.iter().map(|tlsa| format!("$P.mx.$D {tlsa}\n"));
        format!("{usual}{}", lines.collect::<String>())
    };
    let no_fit = Waits("no TLSA record fits");
    vec![
        ("key.test.", with(&[own_key]), Arrives),
        ("whole.test.", with(&[own_whole]), Arrives),
        ("wrong.test.", with(&[next_key]), no_fit),
        ("rollover.test.", with(&[next_key, own_key]), Arrives),
        ("named.test.", with(&[issuer]), Arrives),
        ("misnamed.test.", with(&[issuer]), Waits("certificate")),
        ("foreign.test.", with(&[other_issuer]), Waits("no TLSA record fits")),
        // Nobody can use them: TLS is demanded, whatever the certificate.
        ("unusable.test.", with(&["TLSA 1 1 1 00", "TLSA 3 1 9 00"]), Arrives),
        ("none.test.", usual.to_owned(), Arrives),
        ("implicit.test.", format!("$D A 127.0.0.1\n$P.$D {own_key}\n"), Arrives),
        ("implicit-wrong.test.", format!("$D A 127.0.0.1\n$P.$D {next_key}\n"), Waits("no TLSA record fits")),
        // The records are elsewhere, under another name.
        ("elsewhere.test.", format!("{usual}$P.mx.$D CNAME tlsa.$D\ntlsa.$D {own_key}\n"), Arrives),
        (
            "elsewhere-wrong.test.",
            format!("{usual}$P.mx.$D CNAME tlsa.$D\ntlsa.$D {next_key}\n"),
            Waits("no TLSA record fits"),
        ),
        // The host is another name for one whose records count.
        (
            "alias.test.",
            format!("$D MX 10 mx.$D\nmx.$D CNAME real.$D\nreal.$D A 127.0.0.1\n$P.real.$D {own_key}\n"),
            Arrives,
        ),
        (
            "alias-wrong.test.",
            format!("$D MX 10 mx.$D\nmx.$D CNAME real.$D\nreal.$D A 127.0.0.1\n$P.real.$D {next_key}\n"),
            Waits("no TLSA record fits"),
        ),
        ("wild.test.", format!("{usual}*.mx.$D {next_key}\n"), Waits("no TLSA record fits")),
        // Its host is in a zone that is not signed: what that says of certificates counts for nothing.
        ("to-plain.test.", "$D MX 10 mx.plain.\n".to_owned(), Arrives),
        ("to-child.test.", "$D MX 10 mx.child.\n".to_owned(), Arrives),
        ("to-child-wrong.test.", "$D MX 10 wrong.child.\n".to_owned(), Waits("no TLSA record fits")),
        ("to-bogus.test.", "$D MX 10 mx.bogus.\n".to_owned(), Waits("DNSSEC")),
        ("tlsa-bogus.test.", format!("{usual}$P.mx.$D CNAME mx.bogus.\n"), Waits("DNSSEC")),
    ]
}

/// The name server of all cases, for a mail server at `port`.
fn serve(port: u16, records: &Records, cases: &[(&str, String, Fate)]) -> Knot {
    let fill = |domain: &str, text: &str| text.replace("$D", domain).replace("$P", &format!("_{port}._tcp"));
    let mut root = "ns. A 127.0.0.1\nplain. NS ns.\nchild. NS ns.\nbogus. NS ns.\n".to_owned();
    // No key of that zone is this one's.
    root += &format!("bogus. DS 12345 13 2 {}\n", sha256(b"no key"));
    for (domain, text, _) in cases {
        root += &fill(domain, text);
    }
    let Records { own_key, next_key, .. } = records;
    let host = |name: &str, tlsa: &str| fill(name, &format!("$D A 127.0.0.1\n$P.$D {tlsa}\n"));
    let plain = format!("plain. MX 10 mx.plain.\n{}", host("mx.plain.", next_key));
    let child = format!("{}{}", host("mx.child.", own_key), host("wrong.child.", next_key));
    let bogus = format!("bogus. MX 10 mx.bogus.\n{}", host("mx.bogus.", own_key));
    let mut zones = [
        Zone { name: ".", signed: true, records: root },
        Zone { name: "plain.", signed: false, records: plain },
        Zone { name: "child.", signed: true, records: child },
        Zone { name: "bogus.", signed: true, records: bogus },
    ];
    Knot::start(&mut zones, &["child."])
}

/// Of each domain in the queue that was tried, why it waits.
fn waiting(world: &World) -> BTreeMap<String, String> {
    let page = world.delivery.queue_list(&QueueFilter::default(), None, 100).unwrap();
    let recipients = page.messages.into_iter().flat_map(|message| message.recipients);
    let tried = recipients.filter_map(|recipient| {
        let policy = recipient.security.map_or_else(String::new, |secured| secured.policy);
        let domain = recipient.address.split_once('@')?.1.to_owned();
        Some((format!("{domain}."), format!("{policy}: {}", recipient.last_error?)))
    });
    tried.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_by_what_a_signed_dns_proves_of_certificates() {
    if !knot::is_here("mail_goes_by_what_a_signed_dns_proves_of_certificates") {
        return;
    }
    let authority = Authority::new();
    let server = authority.server(&[NAME]);
    let fake = Fake::secured(&["STARTTLS"], server.acceptor.clone(), |_| None).await;
    let records = Records::of(&server, &authority);
    let mut cases = signed_domains(&records);
    cases.push(("plain.", String::new(), Arrives));
    cases.push(("bogus.", String::new(), Waits("DNSSEC")));
    let knot = tokio::task::block_in_place(|| serve(fake.address.port(), &records, &cases));
    let options = DeliveryOptions {
        mx_port: fake.address.port(),
        allow_loopback_mx: true,
        keep_connection: std::time::Duration::ZERO,
        ..options(None)
    };
    let resolver: Arc<dyn Resolver> = Arc::new(knot.resolver());
    assert!(resolver.lookup(".", Kind::Ns).await.unwrap().secure, "the root is proved");
    assert!(!resolver.lookup("mx.plain", Kind::A).await.unwrap().secure);
    assert!(matches!(resolver.lookup("mx.bogus", Kind::A).await, Err(DnsError::Temporary(_))));
    assert_eq!(resolver.lookup("mx.none.test", Kind::Tlsa).await, Err(DnsError::NoRecords), "a proved denial");
    assert_eq!(resolver.lookup("nobody.test", Kind::Tlsa).await, Err(DnsError::NoSuchDomain), "a proved denial");
    let mut world = World::stopped(options.clone()).await.with_validating(options, resolver);
    world.start();
    for (domain, _, _) in &cases {
        let to = format!("x@{}", domain.trim_end_matches('.'));
        world.delivery.accept(envelope("alice@here.example", &[&to], Some(world.alice)), MESSAGE).await.unwrap();
    }
    let arrives = |fate: &Fate| matches!(fate, Arrives);
    let count = cases.iter().filter(|(_, _, fate)| arrives(fate)).count();
    let taken = fake.wait_for(count).await;
    assert!(taken.iter().all(|taken| taken.tls));
    world.until(RealmId::QUEUE, |world| waiting(world).len() == cases.len() - count).await;
    let waiting = waiting(&world);
    for (domain, _, fate) in &cases {
        match (fate, waiting.get(*domain)) {
            (Arrives, None) => {}
            (Waits(why), Some(found)) => assert!(found.contains(why), "{domain} {found}"),
            (_, found) => panic!("{domain}: {found:?}"),
        }
    }
    world.check();
}

/// Where the oracle goes another way: without a record that it can use it demands a certificate of a known authority, where
/// RFC 7672 section 2.2 demands TLS alone; and what its resolver has not proved it can't know to be forged.
const OTHERWISE: [&str; 5] = ["unusable.test.", "none.test.", "to-plain.test.", "to-bogus.test.", "tlsa-bogus.test."];

#[tokio::test(flavor = "multi_thread")]
async fn what_postfix_verifies_mail_goes_to_and_what_it_rejects_mail_waits_for() {
    const TEST: &str = "what_postfix_verifies_mail_goes_to_and_what_it_rejects_mail_waits_for";
    if !knot::is_here(TEST) {
        return;
    }
    let authority = Authority::new();
    let server = authority.server(&[NAME]);
    let fake = Fake::secured(&["STARTTLS"], server.acceptor.clone(), |_| None).await;
    let port = fake.address.port();
    let records = Records::of(&server, &authority);
    let cases = signed_domains(&records);
    let looked = tokio::task::spawn_blocking(move || {
        let knot = serve(port, &records, &cases);
        let finger = Finger::new(TEST, knot.port(), &["plain", "bogus"])?;
        for (domain, _, fate) in cases.iter().filter(|(domain, ..)| !OTHERWISE.contains(domain)) {
            // What becomes of our mail to these is another test's, over the same table.
            let (verifies, said) = finger.verifies(domain, port);
            assert_eq!(verifies, matches!(fate, Arrives), "{domain}: {said}");
        }
        Some(cases.len() - OTHERWISE.len())
    });
    if let Some(count) = looked.await.unwrap() {
        println!("posttls-finger agrees about {count} domains");
    }
}
