//! `tls.acme`: `true`, or a table for what is not as usual.

use std::{fmt, path::PathBuf};

use certificates::Proof;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::Listen;

/// Whether certificates are obtained from an authority, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acme {
    /// Set when they are.
    pub settings: Option<AcmeSettings>,
}

/// How certificates are obtained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcmeSettings {
    /// The authority's directory.
    pub directory: String,
    /// Addresses that the authority may write to.
    pub contact: Vec<String>,
    /// Whether the authority's terms are agreed to.
    pub agree_to_terms: bool,
    /// How the authority is shown that the names are ours.
    pub challenge: Challenge,
    /// The command that makes and removes DNS records, for `dns-01`.
    pub dns_hook: Option<PathBuf>,
    /// PEM file with the roots of a private authority's own server.
    pub ca_file: Option<PathBuf>,
    /// The customer's id at an authority that asks for it.
    pub external_account_id: Option<String>,
    /// The file with that customer's key, as the authority gives it (base64url).
    pub external_account_key_file: Option<PathBuf>,
}

impl Default for AcmeSettings {
    fn default() -> Self {
        Self {
            directory: certificates::LETS_ENCRYPT.to_owned(),
            contact: Vec::new(),
            agree_to_terms: true,
            challenge: Challenge::Auto,
            dns_hook: None,
            ca_file: None,
            external_account_id: None,
            external_account_key_file: None,
        }
    }
}

/// How the authority is shown that the names are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// By what the listeners and settings make possible.
    Auto,
    /// By the web listener on port 80.
    #[serde(rename = "http-01")]
    Http01,
    /// By the TLS listener on port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By `dns_hook`.
    #[serde(rename = "dns-01")]
    Dns01,
}

/// Authorities by the domain of their directory, and as CAA records name them.
const ISSUERS: [(&str, &str); 7] = [
    ("letsencrypt.org", "letsencrypt.org"),
    ("zerossl.com", "sectigo.com"),
    ("sectigo.com", "sectigo.com"),
    ("buypass.com", "buypass.com"),
    ("pki.goog", "pki.goog"),
    ("ssl.com", "ssl.com"),
    ("digicert.com", "digicert.com"),
];

impl AcmeSettings {
    /// The authority as CAA records name it, if it is one of those that are known.
    pub fn issuer(&self) -> Option<&'static str> {
        let host = super::host_of(&self.directory)?.to_ascii_lowercase();
        let is_at = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        ISSUERS.iter().find(|(domain, _)| is_at(domain)).map(|(_, issuer)| *issuer)
    }

    /// The proofs that can be given, the preferred one first. Empty when there is none.
    pub fn proofs(&self, listen: &Listen) -> Vec<Proof> {
        let on = |addresses: &[std::net::SocketAddr], port| addresses.iter().any(|address| address.port() == port);
        match self.challenge {
            Challenge::Http01 => vec![Proof::Http01],
            Challenge::TlsAlpn01 => vec![Proof::TlsAlpn01],
            Challenge::Dns01 => vec![Proof::Dns01],
            Challenge::Auto if self.dns_hook.is_some() => vec![Proof::Dns01],
            Challenge::Auto => {
                let usual = [(Proof::Http01, on(&listen.http, 80)), (Proof::TlsAlpn01, on(&listen.https, 443))];
                // On other ports, something forwards to them, or the authority is a private one.
                let any = [(Proof::Http01, !listen.http.is_empty()), (Proof::TlsAlpn01, !listen.https.is_empty())];
                let possible = |all: [(Proof, bool); 2]| {
                    all.into_iter().filter(|(_, possible)| *possible).map(|(proof, _)| proof).collect::<Vec<_>>()
                };
                let usual = possible(usual);
                if usual.is_empty() { possible(any) } else { usual }
            }
        }
    }
}

impl Serialize for Acme {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.settings {
            None => serializer.serialize_bool(false),
            Some(settings) if *settings == AcmeSettings::default() => serializer.serialize_bool(true),
            Some(settings) => settings.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Acme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Acme;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean or a section")
            }

            fn visit_bool<E>(self, on: bool) -> Result<Acme, E> {
                Ok(Acme { settings: on.then(AcmeSettings::default) })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Acme, A::Error> {
                let settings = AcmeSettings::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Acme { settings: Some(settings) })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn it_is_a_switch_or_a_section() {
        assert_eq!(read("").tls.acme.settings, None);
        assert_eq!(read("[tls]\nacme = false\n").tls.acme.settings, None);
        assert_eq!(read("[tls]\nacme = true\n").tls.acme.settings, Some(AcmeSettings::default()));
        assert_eq!(read("[tls.acme]\n").tls.acme.settings, Some(AcmeSettings::default()));
        let section = "[tls.acme]\ndirectory = \"https://ca.example/dir\"\nchallenge = \"tls-alpn-01\"\n";
        let settings = read(section).tls.acme.settings.unwrap();
        assert_eq!((settings.directory.as_str(), settings.challenge), ("https://ca.example/dir", Challenge::TlsAlpn01));
        assert!(toml::from_str::<Config>("[tls]\nacme = 5\n").is_err());
        assert!(toml::from_str::<Config>("[tls.acme]\ndirektory = \"x\"\n").is_err());
        for text in ["[tls]\nacme = true\n", section] {
            let config = read(text);
            assert_eq!(read(&toml::to_string(&config).unwrap()).tls.acme, config.tls.acme, "{text}");
        }
    }

    #[test]
    fn what_can_be_proved_follows_from_the_listeners() {
        let proofs = |more: &str, acme: &str| {
            let config = read(&format!("[listen]\n{more}\n[tls.acme]\n{acme}\n"));
            config.tls.acme.settings.unwrap().proofs(&config.listen)
        };
        let both = "http = [\"0.0.0.0:80\"]\nhttps = [\"0.0.0.0:443\"]";
        assert_eq!(proofs(both, ""), [Proof::Http01, Proof::TlsAlpn01]);
        assert_eq!(proofs("https = [\"[::]:443\"]", ""), [Proof::TlsAlpn01], "a trial port for http");
        assert_eq!(proofs("http = []\nhttps = [\"127.0.0.1:8443\"]", ""), [Proof::TlsAlpn01]);
        assert_eq!(proofs("http = []\nhttps = []", ""), []);
        assert_eq!(proofs(both, "dns_hook = \"/bin/hook\""), [Proof::Dns01]);
        assert_eq!(proofs(both, "challenge = \"http-01\"\ndns_hook = \"/bin/hook\""), [Proof::Http01]);
    }

    #[test]
    fn the_issuer_is_known_by_the_directory() {
        let of = |directory: &str| AcmeSettings { directory: directory.to_owned(), ..AcmeSettings::default() }.issuer();
        assert_eq!(AcmeSettings::default().issuer(), Some("letsencrypt.org"));
        assert_eq!(of("https://acme-staging-v02.api.LETSENCRYPT.org/directory"), Some("letsencrypt.org"));
        assert_eq!(of("https://acme.zerossl.com/v2/DV90"), Some("sectigo.com"));
        assert_eq!(of("https://dv.acme-v02.api.pki.goog/directory"), Some("pki.goog"));
        for other in
            ["https://ca.internal:14000/dir", "https://notletsencrypt.org/dir", "https://letsencrypt.org.evil/", ""]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
