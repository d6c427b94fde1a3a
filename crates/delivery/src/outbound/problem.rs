//! What went wrong with securing a connection: for the queue, for reports to senders, and for reports by RFC 8460.

use rustls::CertificateError;

/// A kind of failure, as reports name it (RFC 8460 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsFailure {
    /// The server doesn't offer STARTTLS, or refuses it.
    StarttlsNotSupported,
    /// The certificate is for other names.
    CertificateHostMismatch,
    /// The certificate is out of date.
    CertificateExpired,
    /// No authority that is trusted here has issued the certificate.
    CertificateNotTrusted,
    /// Anything else, also hosts that the policy doesn't name.
    ValidationFailure,
    /// No certificate of the server fits its TLSA records.
    TlsaInvalid,
    /// The DNS answer about TLSA records can't be trusted.
    DnssecInvalid,
    /// The policy could not be fetched.
    StsPolicyFetchError,
    /// The policy that was fetched is none.
    StsPolicyInvalid,
    /// The policy's web server has no certificate to trust.
    StsWebpkiInvalid,
}

impl TlsFailure {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::StarttlsNotSupported,
        Self::CertificateHostMismatch,
        Self::CertificateExpired,
        Self::CertificateNotTrusted,
        Self::ValidationFailure,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
        Self::StsPolicyFetchError,
        Self::StsPolicyInvalid,
        Self::StsWebpkiInvalid,
    ];

    /// The `result-type` of a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}

/// What went wrong, and how a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TlsProblem {
    /// Of what kind.
    pub kind: TlsFailure,
    /// For people.
    pub text: String,
}

impl TlsProblem {
    /// With a text for people.
    pub fn new(kind: TlsFailure, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// From an error of a handshake.
    pub fn of(error: &std::io::Error, prefix: &str) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let (kind, text) = inner.map_or((TlsFailure::ValidationFailure, error.to_string()), explained);
        Self { kind, text: format!("{prefix}: {text}") }
    }
}

/// Kind and words of an error of rustls.
pub fn explained(error: &rustls::Error) -> (TlsFailure, String) {
    let rustls::Error::InvalidCertificate(why) = error else {
        return (TlsFailure::ValidationFailure, error.to_string());
    };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            (TlsFailure::CertificateExpired, "its certificate has expired".to_owned())
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (TlsFailure::CertificateExpired, "its certificate is not valid yet".to_owned())
        }
        CertificateError::NotValidForName => {
            (TlsFailure::CertificateHostMismatch, "its certificate is for another name".to_owned())
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "no name".to_owned() } else { shortened(&presented.join(", ")) };
            let text = format!("its certificate is for {names}, not for {}", expected.to_str());
            (TlsFailure::CertificateHostMismatch, text)
        }
        CertificateError::UnknownIssuer => {
            (TlsFailure::CertificateNotTrusted, "its certificate is not from a trusted authority".to_owned())
        }
        CertificateError::ApplicationVerificationFailure => {
            (TlsFailure::TlsaInvalid, "no TLSA record fits its certificate".to_owned())
        }
        other => (TlsFailure::CertificateNotTrusted, format!("its certificate can't be trusted: {other}")),
    }
}

/// What strangers sent does not make lines grow.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 120 { text.to_owned() } else { text.chars().take(119).chain(['…']).collect() }
}
