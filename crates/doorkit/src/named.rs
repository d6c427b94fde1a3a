//! Certificates that are chosen by the name that a client asks for (SNI, RFC 6066 section 3), and answers to the questions of a
//! certificate authority (TLS-ALPN-01, RFC 8737).

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use x509_parser::{
    extensions::ParsedExtension,
    prelude::{FromDer as _, X509Certificate},
};

use crate::{Certificate, TlsError};

/// What a certificate authority speaks when it asks (RFC 8737 section 6.2).
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// A certificate with its key, as clients are shown it. Cheap to clone.
#[derive(Clone)]
pub struct Presented {
    pub(crate) key: Arc<CertifiedKey>,
    leaf: Arc<Certificate>,
}

impl Presented {
    /// Of a chain, leaf first, and its key.
    ///
    /// # Errors
    /// The certificate can't be read, or the key is another one's.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        let first = chain.first().ok_or_else(|| TlsError::Chain("contains no certificate".to_owned()))?;
        let leaf = Certificate::parse(first).map_err(TlsError::Chain)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider)?;
        Ok(Self { key: Arc::new(key), leaf: Arc::new(leaf) })
    }

    /// The same of texts in PEM.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let wrong = |error: rustls_pki_types::pem::Error| TlsError::Chain(error.to_string());
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        Self::new(chain, PrivateKeyDer::from_pem_slice(key).map_err(wrong)?)
    }

    /// The certificate itself.
    pub fn certificate(&self) -> &Arc<Certificate> {
        &self.leaf
    }

    /// The issuer's key identifier and the serial number, as they are written in the certificate: by these an authority knows
    /// it (RFC 9773 section 4.1). None when it lacks the first.
    pub fn authority_key_and_serial(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let (_, read) = X509Certificate::from_der(self.key.cert.first()?).ok()?;
        let key = read.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => Some(authority.key_identifier.as_ref()?.0.to_vec()),
            _ => None,
        })?;
        Some((key, read.raw_serial().to_vec()))
    }
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Presented({})", self.leaf.names.join(", "))
    }
}

/// The certificates by name, and the answers to open questions.
#[derive(Default)]
pub(crate) struct Named {
    by_name: RwLock<HashMap<String, Presented>>,
    /// For clients that name nothing, or something that there is no certificate for.
    first: RwLock<Option<Presented>>,
    questions: RwLock<HashMap<String, Arc<ServerConfig>>>,
}

impl Named {
    /// From now on these are presented. Of several for one name the one that ends last is.
    pub(crate) fn set(&self, all: &[Presented], first: Option<&str>) {
        let mut by_name: HashMap<String, Presented> = HashMap::new();
        for one in all {
            for name in &one.leaf.names {
                let better = by_name.get(name).is_none_or(|other| other.leaf.not_after < one.leaf.not_after);
                if better {
                    by_name.insert(name.clone(), one.clone());
                }
            }
        }
        *self.first.write() = first.and_then(|name| chosen(&by_name, name));
        *self.by_name.write() = by_name;
    }

    pub(crate) fn first(&self) -> Option<Presented> {
        self.first.read().clone()
    }

    pub(crate) fn of(&self, name: &str) -> Option<Presented> {
        chosen(&self.by_name.read(), name)
    }

    pub(crate) fn is_asked(&self) -> bool {
        !self.questions.read().is_empty()
    }

    /// How to answer an authority; none if this is no question, or one that we did not expect.
    pub(crate) fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut offered = hello.alpn()?;
        if !offered.any(|protocol| protocol == ACME_TLS_ALPN) {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.questions.read().get(&name).cloned()
    }

    pub(crate) fn expect(self: &Arc<Self>, name: &str, digest: &[u8]) -> Result<ChallengeAnswer, TlsError> {
        let name = name.to_ascii_lowercase();
        let mut params = rcgen::CertificateParams::new(vec![name.clone()])?;
        params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
        let pair = rcgen::KeyPair::generate()?;
        let made = params.self_signed(&pair)?;
        let key = PrivateKeyDer::try_from(pair.serialize_der()).map_err(|why| TlsError::Chain(why.to_owned()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        // Not checked against its key, as other certificates are: that check knows nothing of the extension that is the answer.
        let key = CertifiedKey::new(vec![made.der().clone()], provider.key_provider.load_private_key(key)?);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![ACME_TLS_ALPN.to_vec()];
        let config = Arc::new(config);
        self.questions.write().insert(name.clone(), config.clone());
        Ok(ChallengeAnswer { of: Arc::downgrade(self), name, config })
    }
}

/// The certificate for a name: its own, or a wildcard of the domain above.
fn chosen(by_name: &HashMap<String, Presented>, name: &str) -> Option<Presented> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let above = || by_name.get(&format!("*.{}", name.split_once('.')?.1));
    by_name.get(&name).or_else(above).cloned()
}

/// As long as it lives, an authority that asks for its name on any TLS listener is answered.
pub struct ChallengeAnswer {
    of: Weak<Named>,
    name: String,
    config: Arc<ServerConfig>,
}

impl Drop for ChallengeAnswer {
    fn drop(&mut self) {
        let Some(named) = self.of.upgrade() else { return };
        let mut questions = named.questions.write();
        // A later question about the same name stays.
        if questions.get(&self.name).is_some_and(|config| Arc::ptr_eq(config, &self.config)) {
            questions.remove(&self.name);
        }
    }
}

/// Chooses among the certificates; the one of the files is for everything else.
pub(crate) struct ByName {
    pub(crate) named: Arc<Named>,
    pub(crate) otherwise: Arc<CertifiedKey>,
}

impl std::fmt::Debug for ByName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByName")
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = hello.server_name().and_then(|name| self.named.of(name)).or_else(|| self.named.first());
        Some(own.map_or_else(|| self.otherwise.clone(), |own| own.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str], until: i32) -> Presented {
        let mut params =
            rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 7, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        Presented::from_pem(made.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn a_name_has_the_certificate_that_ends_last_and_others_the_first() {
        let named = Named::default();
        let all = [
            made(&["mx.example.org"], 2030),
            made(&["MX.example.org", "mail.example.net"], 2032),
            made(&["*.example.com"], 2031),
        ];
        named.set(&all, Some("mx.example.org"));
        let year = |name: &str| named.of(name).map(|one| one.leaf.not_after / 31_556_952 + 1970);
        assert_eq!(year("mx.example.org"), Some(2032));
        assert_eq!(year("MAIL.example.net."), Some(2032));
        assert_eq!(year("a.example.com"), Some(2031));
        assert_eq!((year("a.b.example.com"), year("example.com"), year("other.example")), (None, None, None));
        assert!(named.first().is_some_and(|first| first.leaf.covers("mail.example.net")));
        named.set(&all, Some("not.there"));
        assert!(named.first().is_none(), "the certificate of the files is for it");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let own = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&own).unwrap();
        assert!(Presented::from_pem(made.pem().as_bytes(), own.serialize_pem().as_bytes()).is_ok());
        assert!(Presented::from_pem(made.pem().as_bytes(), key.as_bytes()).is_err());
        for wrong in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Presented::from_pem(wrong, own.serialize_pem().as_bytes()).is_err());
        }
    }

    #[test]
    fn an_answer_ends_with_its_question() {
        let named = Arc::new(Named::default());
        let first = named.expect("Mail.example.org", &[7; 32]).unwrap();
        assert!(named.is_asked());
        let second = named.expect("mail.example.org", &[8; 32]).unwrap();
        drop(first);
        assert!(named.is_asked(), "the second question is still open");
        drop(second);
        assert!(!named.is_asked());
    }
}
