//! Certificates and the TLS configuration made of them.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use rustls::{ServerConfig, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{
    Certificate, ChallengeAnswer, Presented, TicketKeys,
    named::{ByName, Named},
};

/// How long a self-signed certificate is good for. Clients pin it, so it must not change often.
const SELF_SIGNED_YEARS: i32 = 20;

/// Errors of TLS setup.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file has wrong contents.
    #[error("{}: {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The problem.
        what: String,
    },
    /// A certificate that is in no file can't be used.
    #[error("the certificate can't be used: {0}")]
    Chain(String),
    /// The key is another certificate's.
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Certificate and key are of a kind that is not supported.
    #[error("certificate and key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// A certificate could not be made.
    #[error("could not create a self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
}

/// A certificate in use. Cheap to clone; [`Tls::reload`] changes it for all clones and every connection after. Sessions
/// that were begun under the old one can be gone on with.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    tickets: Arc<TicketKeys>,
    named: Arc<Named>,
    loaded: RwLock<Loaded>,
}

#[derive(Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    own: Arc<CertifiedKey>,
    leaf: Arc<Certificate>,
}

impl Tls {
    /// Reads a certificate chain, leaf first, and its key from PEM files. TLS sessions end with the process, unless
    /// [`Tls::with_tickets`] is called.
    ///
    /// # Errors
    /// The file and its problem.
    pub fn from_pem(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::load(certificate, key, TicketKeys::in_process())
    }

    /// The same certificate, with session tickets under these keys.
    ///
    /// # Errors
    /// As [`Tls::from_pem`]: the files are read again.
    pub fn with_tickets(self, tickets: Arc<TicketKeys>) -> Result<Self, TlsError> {
        Self::load(&self.inner.certificate, &self.inner.key, tickets)
    }

    fn load(certificate: &Path, key: &Path, tickets: Arc<TicketKeys>) -> Result<Self, TlsError> {
        let named = Arc::<Named>::default();
        let loaded = RwLock::new(load(certificate, key, &tickets, &named)?);
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Ok(Self { inner: Arc::new(Inner { certificate, key, tickets, named, loaded }) })
    }

    /// The self-signed certificate in `dir`, created at the first call for `names`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn self_signed(dir: &Path, names: &[String]) -> Result<Self, TlsError> {
        let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
        if !certificate.exists() || !key.exists() {
            let io = |path: &Path| {
                let path = path.to_owned();
                move |error| TlsError::Io { path, error }
            };
            fs::create_dir_all(dir).map_err(io(dir))?;
            let mut params = rcgen::CertificateParams::new(names.to_vec())?;
            let now = rcgen::date_time_ymd(2026, 1, 1);
            params.not_before = now;
            params.not_after = rcgen::date_time_ymd(2026 + SELF_SIGNED_YEARS, 1, 1);
            let mut name = rcgen::DistinguishedName::new();
            name.push(rcgen::DnType::CommonName, names.first().map_or("holdfast", String::as_str));
            params.distinguished_name = name;
            let pair = rcgen::KeyPair::generate()?;
            let made = params.self_signed(&pair)?;
            // The key first: a certificate without its key would never be replaced.
            let mut file =
                fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&key).map_err(io(&key))?;
            io::Write::write_all(&mut file, pair.serialize_pem().as_bytes()).map_err(io(&key))?;
            fs::write(&certificate, made.pem()).map_err(io(&certificate))?;
        }
        Self::from_pem(&certificate, &key)
    }

    /// Reads the files again. On error the old certificate stays in use.
    ///
    /// # Errors
    /// As [`Tls::from_pem`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = load(&self.inner.certificate, &self.inner.key, &self.inner.tickets, &self.inner.named)?;
        *self.inner.loaded.write() = loaded;
        Ok(())
    }

    /// The certificate in use for clients that name nothing.
    pub fn certificate(&self) -> Arc<Certificate> {
        let first = self.inner.named.first();
        first.map_or_else(|| self.inner.loaded.read().leaf.clone(), |first| first.certificate().clone())
    }

    /// From now on these certificates are presented to clients that ask for one of their names, and the one for `first` to
    /// those that name nothing or something else. Where there is none, the certificate of the files is.
    pub fn present(&self, all: &[Presented], first: Option<&str>) {
        self.inner.named.set(all, first);
    }

    /// A document signed with the certificate that `host` has, in DER (CMS, RFC 5652), at `now_s` in seconds since 1970. `None`
    /// where nobody would believe the signature: the certificate is self-signed, over, not yet good or another name's, or its key
    /// is of a kind that signs no documents.
    pub fn sign(&self, host: &str, document: &[u8], now_s: i64) -> Option<Vec<u8>> {
        let named = &self.inner.named;
        let (own, leaf) = match named.of(host).or_else(|| named.first()) {
            Some(found) => (found.key.clone(), found.certificate().clone()),
            None => {
                let loaded = self.inner.loaded.read();
                (loaded.own.clone(), loaded.leaf.clone())
            }
        };
        let is_good = !leaf.self_signed && (leaf.not_before..=leaf.not_after).contains(&now_s) && leaf.covers(host);
        if is_good { crate::signed::signed(&own, document, now_s) } else { None }
    }

    /// Answers a certificate authority that asks for `name` by TLS-ALPN-01; `digest` is the SHA-256 of the key authorization.
    ///
    /// # Errors
    /// Those of making the certificate that is the answer.
    pub fn answer_challenge(&self, name: &str, digest: &[u8]) -> Result<ChallengeAnswer, TlsError> {
        self.inner.named.expect(name, digest)
    }

    pub(crate) fn named(&self) -> &Named {
        &self.inner.named
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.inner.loaded.read().config.clone()
    }
}

fn load(certificate: &Path, key: &Path, tickets: &Arc<TicketKeys>, named: &Arc<Named>) -> Result<Loaded, TlsError> {
    let pem = |path: &Path, error: rustls_pki_types::pem::Error| match error {
        rustls_pki_types::pem::Error::Io(error) => TlsError::Io { path: path.to_owned(), error },
        rustls_pki_types::pem::Error::NoItemsFound => {
            TlsError::Pem { path: path.to_owned(), what: "has no such PEM section".to_owned() }
        }
        other => TlsError::Pem { path: path.to_owned(), what: other.to_string() },
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem(certificate, error))?;
    if chain.is_empty() {
        return Err(TlsError::Pem { path: certificate.to_owned(), what: "contains no certificate".to_owned() });
    }
    let leaf = Certificate::parse(&chain[0]).map_err(|what| TlsError::Pem {
        path: certificate.to_owned(),
        what: format!("is not a certificate: {what}"),
    })?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| pem(key, error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let own = Arc::new(CertifiedKey::from_der(chain, private, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        other => other.into(),
    })?);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName { named: named.clone(), otherwise: own.clone() }));
    // Stateless tickets: clients that come back skip most of the handshake, and nothing is kept for those that do not.
    config.ticketer = tickets.clone();
    // Idle connections are many: records are not gathered beyond what is being sent.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(Loaded { config: Arc::new(config), own, leaf: Arc::new(leaf) })
}
