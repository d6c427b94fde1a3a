//! TLS between machines that know each other by other means than public authorities, or not at all.

use std::{fmt, sync::Arc};

use rustls::{
    DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// What the other side has shown in a handshake.
pub struct Seen<'a> {
    /// Its own certificate.
    pub certificate: &'a CertificateDer<'a>,
    /// The certificates that it sent with it.
    pub intermediates: &'a [CertificateDer<'a>],
    /// The name that it was asked for; none of a client.
    pub name: Option<&'a ServerName<'a>>,
    /// What it says about the revocation of its certificate.
    pub ocsp: &'a [u8],
    /// The time by which it is judged.
    pub now: UnixTime,
}

/// Decides by what was shown.
type Accepts = dyn Fn(&Seen<'_>) -> Result<(), rustls::Error> + Send + Sync;

/// Decides about the other side's certificate by what the certificate is, not by who signed it. That the other side has
/// the certificate's key is checked always, so that the session is with its holder.
pub struct CertificateCheck {
    provider: Arc<CryptoProvider>,
    accepts: Box<Accepts>,
}

impl CertificateCheck {
    /// Takes the certificates for which `accepts` gives `Ok`, by all that was shown.
    pub fn seeing(
        provider: Arc<CryptoProvider>,
        accepts: impl Fn(&Seen<'_>) -> Result<(), rustls::Error> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { provider, accepts: Box::new(accepts) })
    }

    /// Takes the certificates for which `accepts` gives `Ok`; otherwise it says why not.
    pub fn by(
        provider: Arc<CryptoProvider>,
        accepts: impl Fn(&CertificateDer<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::seeing(provider, move |seen| accepts(seen.certificate).map_err(rustls::Error::General))
    }

    /// Takes every certificate: for connections that would else be in plain text, and for those whose certificate is looked
    /// at after the handshake.
    pub fn any(provider: Arc<CryptoProvider>) -> Arc<Self> {
        Self::seeing(provider, |_| Ok(()))
    }
}

impl fmt::Debug for CertificateCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateCheck")
    }
}

impl ServerCertVerifier for CertificateCheck {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Seen { certificate, intermediates, name: Some(name), ocsp, now };
        (self.accepts)(&seen).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for CertificateCheck {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let seen = Seen { certificate, intermediates, name: None, ocsp: &[], now };
        (self.accepts)(&seen).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
