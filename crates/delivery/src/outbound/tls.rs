//! TLS towards other servers: any certificate where the alternative is plain text, a true one where it is demanded.

use std::sync::Arc;

use doorkit::CertificateCheck;
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::problem::{TlsProblem, explained};

/// The ways of connecting under TLS. The verifier that takes every certificate can't be had from elsewhere: who
/// connects says by name which of them is meant.
pub struct TlsClients {
    /// Encrypts, whoever is at the other end.
    pub unverified: TlsConnector,
    /// Encrypts to a host that an authority vouches for.
    pub verified: TlsConnector,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl TlsClients {
    /// All, with TLS 1.2 and 1.3. Trusted are the authorities of the machine, or those of Mozilla where it has none, and
    /// `further` ones.
    ///
    /// # Errors
    /// Those of rustls.
    pub fn new(further: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let unverified = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(CertificateCheck::any(Arc::clone(&provider)))
            .with_no_client_auth();
        let roots = Arc::new(roots(further)?);
        let verified = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&roots))
            .with_no_client_auth();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { unverified: Arc::new(unverified).into(), verified: Arc::new(verified).into(), provider, verifier })
    }

    /// Encrypts, whoever is at the other end, and tells what [`Self::verified`] would have said. For one connection.
    ///
    /// # Errors
    /// Those of rustls.
    pub fn watched(&self) -> Result<(TlsConnector, Arc<Watched>), rustls::Error> {
        let watched = Arc::new(Watched::default());
        let (verifier, noted) = (Arc::clone(&self.verifier), Arc::clone(&watched));
        let check = CertificateCheck::seeing(Arc::clone(&self.provider), move |seen| {
            let Some(name) = seen.name else { return Ok(()) };
            if let Err(error) =
                verifier.verify_server_cert(seen.certificate, seen.intermediates, name, seen.ocsp, seen.now)
            {
                let (kind, text) = explained(&error);
                *noted.0.lock() = Some(TlsProblem::new(kind, text));
            }
            Ok(())
        });
        Ok((self.verifying_by(check)?, watched))
    }

    /// Encrypts to whom `verifier` lets pass. For one connection: sessions are not resumed, so that the verifier sees each.
    ///
    /// # Errors
    /// Those of rustls.
    pub fn verifying_by(&self, verifier: Arc<dyn ServerCertVerifier>) -> Result<TlsConnector, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config).into())
    }

    /// The cryptography in use.
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }
}

fn roots(further: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "could not read a certificate of the machine's authorities");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        roots.roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for certificate in further {
        roots.add(certificate.clone())?;
    }
    Ok(roots)
}

/// What is wrong with a certificate that was let pass.
#[derive(Default)]
pub struct Watched(Mutex<Option<TlsProblem>>);

impl Watched {
    /// What is wrong with the certificate that was seen.
    pub fn problem(&self) -> Option<TlsProblem> {
        self.0.lock().clone()
    }
}
