//! The contents of a certificate: its names and its validity.

use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

/// A server's own certificate, without the chain above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The host names and addresses it is for, in lower case; a name may begin with `*.`.
    pub names: Vec<String>,
    /// The issuer's common name, or the organisation.
    pub issuer: String,
    /// Whether it is self-signed.
    pub self_signed: bool,
    /// When it begins to be good, in seconds since 1970.
    pub not_before: i64,
    /// When it ends to be good, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of its public key (SubjectPublicKeyInfo), as TLSA records have it.
    pub key_sha256: [u8; 32],
}

impl Certificate {
    /// Parses a certificate's DER; the error is a text.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, String> {
        let (_, read) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let alternative = read.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
            },
            _ => None,
        });
        let issuer = read.issuer();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, read.public_key().raw);
        let said = issuer.iter_common_name().chain(issuer.iter_organization()).find_map(|name| name.as_str().ok());
        Ok(Self {
            names: names.collect(),
            issuer: said.map_or_else(|| issuer.to_string(), ToOwned::to_owned),
            self_signed: read.issuer() == read.subject(),
            not_before: read.validity().not_before.timestamp(),
            not_after: read.validity().not_after.timestamp(),
            key_sha256: digest.as_ref().try_into().unwrap_or_default(),
        })
    }

    /// Whether clients that connect to `host` find it among the names. A `*.` stands for one label (RFC 6125, 6.4.3).
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
            None => *name == host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> Certificate {
        let mut params =
            rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test");
        let key = rcgen::KeyPair::generate().unwrap();
        Certificate::parse(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn names_and_dates_are_read() {
        let made = made(&["Mail.example.org", "127.0.0.1", "::1"]);
        assert_eq!(made.names, ["mail.example.org", "127.0.0.1", "::1"]);
        assert_eq!((made.not_before, made.not_after), (1_767_225_600, 1_775_001_600));
        assert!(made.self_signed);
        assert_eq!(made.issuer, "Test");
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let made = made(&["*.example.org", "mx.example.net"]);
        assert!(made.covers("mail.example.org") && made.covers("MX.example.net."));
        assert!(!made.covers("example.org") && !made.covers("a.b.example.org") && !made.covers(".example.org"));
        assert!(!made.covers("mx.example.org.evil"));
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        assert!(Certificate::parse(b"no certificate").is_err());
        assert!(Certificate::parse(&[]).is_err());
    }
}
