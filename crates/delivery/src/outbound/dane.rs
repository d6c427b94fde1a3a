//! DANE for SMTP (RFC 7672): the certificates of a mail host, as DNSSEC proves them.

use std::sync::Arc;

use aws_lc_rs::digest;
use dnskit::{Answer, Data, DnsError, Kind, Resolver, Tlsa};
use doorkit::{CertificateCheck, Seen};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Most TLSA records of a host that are looked at.
const MAX_RECORDS: usize = 40;
/// Most CNAMEs on the way from a host's name.
const MAX_CNAMES: usize = 8;
/// An issuer (RFC 7672 §3.1.2).
const TRUST_ANCHOR: u8 = 2;
/// The server's own certificate (RFC 7672 §3.1.1).
const END_ENTITY: u8 = 3;

/// What a host's certificate must fit. Records are usable ones, and at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dane {
    /// The name that the records belong to: asked for in the handshake.
    pub base: String,
    /// As in the DNS: usage, selector, matching type, data.
    pub records: Vec<(u8, u8, u8, Vec<u8>)>,
    /// Names of which a certificate must have one, if it is its issuer that the records name.
    pub names: Vec<String>,
}

/// What the DNS demands of a connection to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: it isn't signed, or there are no records.
    Nothing,
    /// TLS, with whatever certificate: there are records, none of which anybody can use (RFC 7672 §2.2).
    Encryption,
    /// A certificate that fits.
    Certificate(Arc<Dane>),
    /// The answer can't be trusted, or there was none: the host is not to be used now.
    Untrusted(String),
}

/// What the DNS demands of a connection to `host`, a mail host of `domain`. The MX record must be proved already.
pub async fn demand(resolver: &dyn Resolver, host: &str, port: u16, domain: &str) -> Demand {
    let (bases, is_secure) = match names_of(resolver, host).await {
        Ok(found) => found,
        Err(why) => return Demand::Untrusted(format!("the address of {host} can't be validated: {why}")),
    };
    if !is_secure {
        return Demand::Nothing;
    }
    for base in &bases {
        let name = format!("_{port}._tcp.{base}");
        let answer = match resolver.lookup(&name, Kind::Tlsa).await {
            Ok(answer) => answer,
            Err(error) if error.is_final() => continue,
            Err(error) => return Demand::Untrusted(format!("the TLSA records of {name} can't be validated: {error}")),
        };
        if !answer.secure {
            continue;
        }
        let records = usable(&answer);
        if records.is_empty() {
            return Demand::Encryption;
        }
        let mut names = vec![base.clone()];
        names.extend([host, domain].into_iter().filter(|name| name != base).map(str::to_owned));
        return Demand::Certificate(Arc::new(Dane { base: base.clone(), records, names }));
    }
    Demand::Nothing
}

/// The names whose TLSA records count, best first (RFC 7672 §2.2.2), and whether any is proved.
async fn names_of(resolver: &dyn Resolver, host: &str) -> Result<(Vec<String>, bool), String> {
    if addresses_are_secure(resolver, host).await? {
        let mut expanded = host.to_owned();
        for _ in 0..MAX_CNAMES {
            match alias(resolver, &expanded).await? {
                Some((next, true)) => expanded = next,
                _ => break,
            }
        }
        let mut names = vec![expanded];
        if names[0] != host {
            names.push(host.to_owned());
        }
        return Ok((names, true));
    }
    // A name that is proved itself, and leads to where nothing is proved.
    let proved = alias(resolver, host).await?.is_some_and(|(_, secure)| secure);
    Ok((vec![host.to_owned()], proved))
}

async fn addresses_are_secure(resolver: &dyn Resolver, host: &str) -> Result<bool, String> {
    let mut failed = None;
    for kind in [Kind::A, Kind::Aaaa] {
        match resolver.lookup(host, kind).await {
            Ok(answer) => return Ok(answer.secure),
            Err(DnsError::Temporary(why)) => failed = Some(why),
            Err(_) => {}
        }
    }
    failed.map_or(Ok(false), Err)
}

/// What a name is another name for, and whether that is proved.
async fn alias(resolver: &dyn Resolver, name: &str) -> Result<Option<(String, bool)>, String> {
    match resolver.lookup(name, Kind::Cname).await {
        Ok(Answer { records, secure }) => Ok(records.into_iter().find_map(|data| match data {
            Data::Name(name) => Some((name, secure)),
            _ => None,
        })),
        Err(DnsError::Temporary(why)) => Err(why),
        Err(_) => Ok(None),
    }
}

/// The records that can be used; of two digests of one thing, the stronger (RFC 7671 §9).
fn usable(answer: &Answer) -> Vec<(u8, u8, u8, Vec<u8>)> {
    let is_usable = |tlsa: &&Tlsa| {
        matches!(tlsa.usage, TRUST_ANCHOR | END_ENTITY)
            && tlsa.selector <= 1
            && match tlsa.matching {
                0 => is_whole(tlsa),
                1 => tlsa.data.len() == 32,
                2 => tlsa.data.len() == 64,
                _ => false,
            }
    };
    let tlsas = answer.records.iter().filter_map(|data| if let Data::Tlsa(tlsa) = data { Some(tlsa) } else { None });
    let usable: Vec<&Tlsa> = tlsas.filter(is_usable).take(MAX_RECORDS).collect();
    let has_stronger = |tlsa: &Tlsa| {
        let same = |other: &&&Tlsa| (other.usage, other.selector, other.matching) == (tlsa.usage, tlsa.selector, 2);
        tlsa.matching == 1 && usable.iter().any(|other| same(&other))
    };
    usable
        .iter()
        .filter(|tlsa| !has_stronger(tlsa))
        .map(|tlsa| (tlsa.usage, tlsa.selector, tlsa.matching, tlsa.data.clone()))
        .collect()
}

/// Whether data that is not a digest is what the selector says.
fn is_whole(tlsa: &Tlsa) -> bool {
    match tlsa.selector {
        0 => X509Certificate::from_der(&tlsa.data).is_ok(),
        _ => x509_parser::x509::SubjectPublicKeyInfo::from_der(&tlsa.data).is_ok(),
    }
}

/// Lets certificates pass that fit the records.
pub fn verifier(dane: Arc<Dane>, provider: Arc<CryptoProvider>) -> Arc<CertificateCheck> {
    let own = Arc::clone(&provider);
    CertificateCheck::seeing(provider, move |seen| accepts(&dane, &own, seen))
}

fn accepts(dane: &Dane, provider: &Arc<CryptoProvider>, seen: &Seen<'_>) -> Result<(), rustls::Error> {
    // The server's own certificate: names and dates don't matter (RFC 7672 §3.1.1).
    if dane.records.iter().any(|record| record.0 == END_ENTITY && fits(seen.certificate, record)) {
        return Ok(());
    }
    let mut failure = None;
    for record in dane.records.iter().filter(|record| record.0 == TRUST_ANCHOR) {
        let whole = (record.1 == 0 && record.2 == 0).then(|| CertificateDer::from(record.3.clone()));
        let sent = seen.intermediates.iter().filter(|sent| fits(sent, record));
        for anchor in sent.chain(whole.as_ref()) {
            match is_issued_by(dane, provider, anchor, seen) {
                Ok(()) => return Ok(()),
                Err(error) => failure = Some(error),
            }
        }
    }
    Err(failure.unwrap_or(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)))
}

/// Whether the certificate was issued, under one of the names, by an authority that a record names.
fn is_issued_by(
    dane: &Dane,
    provider: &Arc<CryptoProvider>,
    anchor: &CertificateDer<'_>,
    seen: &Seen<'_>,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone().into_owned())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut failure = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
    for name in &dane.names {
        let Ok(name) = ServerName::try_from(name.as_str()) else { continue };
        match verifier.verify_server_cert(seen.certificate, seen.intermediates, &name, &[], seen.now) {
            Ok(_) => return Ok(()),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn fits(certificate: &[u8], (_, selector, matching, data): &(u8, u8, u8, Vec<u8>)) -> bool {
    let parsed;
    let selected = match selector {
        0 => certificate,
        _ => {
            let Ok((_, read)) = X509Certificate::from_der(certificate) else { return false };
            parsed = read.tbs_certificate.subject_pki.raw.to_vec();
            &parsed
        }
    };
    match matching {
        0 => selected == data.as_slice(),
        1 => digest::digest(&digest::SHA256, selected).as_ref() == data.as_slice(),
        _ => digest::digest(&digest::SHA512, selected).as_ref() == data.as_slice(),
    }
}

#[cfg(test)]
mod tests;
