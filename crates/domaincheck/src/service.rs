//! What this service is, as the DNS should tell it to others.

use std::net::IpAddr;

/// This service as others see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Its host name, to which mail and mail programs go.
    pub hostname: String,
    /// Other names of it.
    pub also_known_as: Vec<String>,
    /// Its public addresses, where they are known.
    pub addresses: Vec<IpAddr>,
    /// What mail programs connect to.
    pub mail: Vec<MailService>,
    /// Whether it has web pages under TLS.
    pub web: bool,
    /// Other servers that take mail for it, by name.
    pub relays: Vec<String>,
    /// The server through which all its mail goes out.
    pub smarthost: Option<String>,
    /// Who issues its certificates, as CAA records name it.
    pub authority: Option<String>,
    /// Its certificate, where it is known.
    pub certificate: Option<Certificate>,
}

/// Something that mail programs find by an SRV record (RFC 6186, RFC 8314).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailService {
    /// As the record has it, such as `_imaps`.
    pub label: &'static str,
    /// Where it listens.
    pub port: u16,
}

/// What is said of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The names it is for; one may begin with `*.`. None of one that nobody trusts.
    pub names: Vec<String>,
    /// SHA-256 of its public key (SubjectPublicKeyInfo), in hexadecimal digits; empty if it is not known.
    pub key_digest: String,
}

impl Certificate {
    /// Whether it is for this host.
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
            None => name == host,
        })
    }
}

impl Service {
    /// All names of the service itself.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.hostname.as_str()).chain(self.also_known_as.iter().map(String::as_str))
    }

    /// Whether that is one of its names.
    pub fn is_named(&self, host: &str) -> bool {
        self.names().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Whether that is one of its relays.
    pub fn is_relay(&self, host: &str) -> bool {
        self.relays.iter().any(|relay| relay.trim_end_matches('.').eq_ignore_ascii_case(host))
    }
}
