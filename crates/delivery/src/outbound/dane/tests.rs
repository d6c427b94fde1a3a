use dnskit::Zone;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::UnixTime;

use super::*;

const HOST: &str = "mx.far.example";
const DOMAIN: &str = "far.example";

#[expect(clippy::unnecessary_wraps, reason = "what a zone is told")]
fn proved(records: Vec<Data>) -> std::result::Result<Answer, DnsError> {
    Ok(Answer { records, secure: true })
}

fn tlsa(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Data {
    Data::Tlsa(Tlsa { usage, selector, matching, data: data.to_vec() })
}

/// A host with a proved address.
fn zone() -> Zone {
    let zone = Zone::new();
    zone.say(HOST, Kind::A, proved(vec![Data::Address([192, 0, 2, 1].into())]));
    zone
}

async fn demanded(zone: &Zone) -> Demand {
    demand(zone, HOST, 25, DOMAIN).await
}

const NAME: &str = "_25._tcp.mx.far.example";

#[tokio::test]
async fn only_what_is_proved_demands_anything() {
    let records = || vec![tlsa(3, 1, 1, &[7; 32])];
    let zone = zone();
    assert_eq!(demanded(&zone).await, Demand::Nothing, "no records");
    zone.say(NAME, Kind::Tlsa, Ok(Answer { records: records(), secure: false }));
    assert_eq!(demanded(&zone).await, Demand::Nothing, "not proved");
    zone.say(NAME, Kind::Tlsa, proved(records()));
    let Demand::Certificate(dane) = demanded(&zone).await else { panic!() };
    assert_eq!((dane.base.as_str(), dane.records.len()), (HOST, 1));
    zone.say(HOST, Kind::A, Ok(Answer { records: vec![Data::Address([192, 0, 2, 1].into())], secure: false }));
    assert_eq!(demanded(&zone).await, Demand::Nothing, "the address is not proved");
}

#[tokio::test]
async fn no_answer_is_not_no_record() {
    let zone = zone();
    zone.say(NAME, Kind::Tlsa, Err(DnsError::Temporary("SERVFAIL".into())));
    assert!(matches!(demanded(&zone).await, Demand::Untrusted(why) if why.contains("SERVFAIL")));
    for kind in [Kind::A, Kind::Aaaa] {
        zone.say(HOST, kind, Err(DnsError::Temporary("bogus".into())));
    }
    assert!(matches!(demanded(&zone).await, Demand::Untrusted(why) if why.contains("bogus")));
    for none in [DnsError::NoRecords, DnsError::NoSuchDomain] {
        let zone = self::zone();
        zone.say(NAME, Kind::Tlsa, Err(none));
        assert_eq!(demanded(&zone).await, Demand::Nothing);
    }
}

#[tokio::test]
async fn records_that_nobody_can_use_demand_encryption() {
    let zone = zone();
    let unusable = [
        tlsa(0, 1, 1, &[7; 32]),
        tlsa(1, 1, 1, &[7; 32]),
        tlsa(3, 2, 1, &[7; 32]),
        tlsa(3, 1, 3, &[7; 32]),
        tlsa(3, 1, 1, &[7; 31]),
        tlsa(3, 1, 2, &[7; 32]),
        tlsa(3, 0, 0, b"no certificate"),
        tlsa(3, 1, 0, b""),
    ];
    zone.say(NAME, Kind::Tlsa, proved(unusable.to_vec()));
    assert_eq!(demanded(&zone).await, Demand::Encryption);
    zone.say(NAME, Kind::Tlsa, proved([&unusable[..], &[tlsa(3, 1, 1, &[7; 32])]].concat()));
    assert!(matches!(demanded(&zone).await, Demand::Certificate(dane) if dane.records.len() == 1));
    // Of two digests of one thing the stronger counts.
    zone.say(NAME, Kind::Tlsa, proved(vec![tlsa(3, 1, 1, &[7; 32]), tlsa(3, 1, 2, &[7; 64]), tlsa(2, 1, 1, &[7; 32])]));
    let Demand::Certificate(dane) = demanded(&zone).await else { panic!() };
    let kinds: Vec<_> = dane.records.iter().map(|record| (record.0, record.2)).collect();
    assert_eq!(kinds, [(3, 2), (2, 1)]);
}

#[tokio::test]
async fn a_host_that_is_another_name_has_the_records_of_either() {
    for target_has_them in [true, false] {
        let zone = zone();
        let alias = |name: &str| proved(vec![Data::Name(name.to_owned())]);
        zone.say(HOST, Kind::Cname, alias("real.far.example"));
        let owner = if target_has_them { "_25._tcp.real.far.example" } else { NAME };
        zone.say(owner, Kind::Tlsa, proved(vec![tlsa(3, 1, 1, &[7; 32])]));
        let Demand::Certificate(dane) = demanded(&zone).await else { panic!() };
        assert_eq!(dane.base, if target_has_them { "real.far.example" } else { HOST });
        assert!(dane.names.contains(&HOST.to_owned()) && dane.names.contains(&DOMAIN.to_owned()));
        // It leads to where nothing is proved: the records of the name itself count.
        zone.say(HOST, Kind::A, Ok(Answer { records: vec![Data::Address([192, 0, 2, 1].into())], secure: false }));
        let demanded = demanded(&zone).await;
        assert_eq!(matches!(demanded, Demand::Certificate(_)), !target_has_them, "{demanded:?}");
    }
}

struct Made {
    authority: CertificateDer<'static>,
    server: CertificateDer<'static>,
}

fn made(names: &[&str], expired: bool) -> Made {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "An authority");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    if expired {
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let server = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
    Made { authority, server }
}

fn selected(certificate: &[u8], selector: u8, matching: u8) -> Vec<u8> {
    let (_, read) = X509Certificate::from_der(certificate).unwrap();
    let selected = if selector == 0 { certificate } else { read.tbs_certificate.subject_pki.raw };
    match matching {
        0 => selected.to_vec(),
        1 => digest::digest(&digest::SHA256, selected).as_ref().to_vec(),
        _ => digest::digest(&digest::SHA512, selected).as_ref().to_vec(),
    }
}

fn passes(made: &Made, sent: &[CertificateDer<'_>], records: Vec<(u8, u8, u8, Vec<u8>)>) -> bool {
    let dane = Dane { base: HOST.into(), records, names: vec![HOST.into(), DOMAIN.into()] };
    let verifier = verifier(Arc::new(dane), Arc::new(default_provider()));
    let name = ServerName::try_from(HOST).unwrap();
    verifier.verify_server_cert(&made.server, sent, &name, &[], UnixTime::now()).is_ok()
}

#[test]
fn a_certificate_fits_by_what_the_records_say() {
    let (good, other) = (made(&[HOST], false), made(&["other.example"], true));
    for selector in [0, 1] {
        for matching in [0, 1, 2] {
            let record =
                |usage, of: &CertificateDer<'_>| vec![(usage, selector, matching, selected(of, selector, matching))];
            let what = format!("selector {selector}, matching {matching}");
            assert!(passes(&good, &[], record(3, &good.server)), "{what}");
            // The certificate itself: its names and dates don't matter.
            assert!(passes(&other, &[], record(3, &other.server)), "{what}");
            assert!(!passes(&good, &[], record(3, &other.server)), "{what}");
            assert!(!passes(&good, std::slice::from_ref(&good.authority), record(3, &good.authority)), "{what}");
            // Its issuer: they do.
            assert!(passes(&good, std::slice::from_ref(&good.authority), record(2, &good.authority)), "{what}");
            assert!(!passes(&other, std::slice::from_ref(&other.authority), record(2, &other.authority)), "{what}");
            assert!(!passes(&good, std::slice::from_ref(&good.authority), record(2, &other.authority)), "{what}");
            // While a certificate is changed, two records stand side by side.
            let both = [record(3, &other.server), record(3, &good.server)].concat();
            assert!(passes(&good, &[], both), "{what}");
        }
    }
    // An issuer need not be sent where the record has it whole.
    assert!(passes(&good, &[], vec![(2, 0, 0, good.authority.to_vec())]));
    assert!(!passes(&good, &[], vec![(2, 0, 1, selected(&good.authority, 0, 1))]));
    // The name may be the domain's.
    let domain = made(&[DOMAIN], false);
    let issuer = vec![(2, 0, 1, selected(&domain.authority, 0, 1))];
    assert!(passes(&domain, std::slice::from_ref(&domain.authority), issuer));
}
