//! TLS towards other servers: any certificate where the alternative is plain text, a true one where it is demanded.

use std::sync::Arc;

use doorkit::CertificateCheck;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// The two ways of connecting under TLS. The verifier that takes every certificate can't be had from elsewhere: who
/// connects says by name which of the two is meant.
pub struct TlsClients {
    /// Encrypts, whoever is at the other end.
    pub unverified: TlsConnector,
    /// Encrypts to a host that a public authority vouches for.
    pub verified: TlsConnector,
}

impl TlsClients {
    /// Both, with TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// Those of rustls.
    pub fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let unverified = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(CertificateCheck::any(Arc::clone(&provider)))
            .with_no_client_auth();
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let verified = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { unverified: Arc::new(unverified).into(), verified: Arc::new(verified).into() })
    }
}
