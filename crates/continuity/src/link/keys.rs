//! Identity: each machine has its own key, and recognizes the other by its certificate's fingerprint.

use std::{fmt, io, path::Path, str::FromStr, sync::Arc};

use doorkit::CertificateCheck;
use rustls::{ClientConfig, ServerConfig, crypto::CryptoProvider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    fn begins_with(&self, pin: &[u8]) -> bool {
        !pin.is_empty() && self.0.starts_with(pin)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| format!("{text} is not a fingerprint"))?;
        Ok(Self(bytes))
    }
}

/// The pairing code: a part of the primary's fingerprint, and a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingCode {
    pin: [u8; 16],
    secret: [u8; 16],
}

/// A pairing code has another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a pairing code: enter it exactly as it was printed on the primary")]
pub struct NotACode;

impl PairingCode {
    /// A new one for a primary.
    pub fn new(primary: &Fingerprint) -> Self {
        let mut pin = [0; 16];
        pin.copy_from_slice(&primary.0[..16]);
        Self { pin, secret: rand::random() }
    }

    /// The part that only the primary and its operator know.
    pub const fn secret(&self) -> &[u8; 16] {
        &self.secret
    }
}

impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = hex::encode([self.pin, self.secret].concat());
        for (at, group) in text.as_bytes().chunks(8).enumerate() {
            let group = std::str::from_utf8(group).expect("hex is ASCII");
            write!(f, "{}{group}", if at == 0 { "" } else { "-" })?;
        }
        Ok(())
    }
}

impl FromStr for PairingCode {
    type Err = NotACode;

    fn from_str(text: &str) -> Result<Self, NotACode> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits.to_ascii_lowercase(), &mut bytes).map_err(|_| NotACode)?;
        let (pin, secret) = bytes.split_at(16);
        Ok(Self { pin: pin.try_into().map_err(|_| NotACode)?, secret: secret.try_into().map_err(|_| NotACode)? })
    }
}

/// The expected identity of the other side.
#[derive(Clone)]
pub enum Pin {
    /// This very one.
    Whole(Fingerprint),
    /// The one that a code speaks of.
    Code(PairingCode),
}

/// The key and certificate of this machine.
pub struct Keys {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl Keys {
    /// The keys stored in `dir`, created at the first call.
    ///
    /// # Errors
    /// Names the file.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let names = ["holdfast-standby".to_owned()];
        doorkit::Tls::self_signed(dir, &names).map_err(io::Error::other)?;
        let pem = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", dir.display()));
        let chain: Vec<_> = CertificateDer::pem_file_iter(dir.join("certificate.pem"))
            .and_then(Iterator::collect)
            .map_err(|error| pem(format!("{error}")))?;
        let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).map_err(|error| pem(format!("{error}")))?;
        let fingerprint = chain.first().map(Fingerprint::of).ok_or_else(|| pem("no certificate".to_owned()))?;
        Ok(Self { chain, key, fingerprint, provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()) })
    }

    /// How others know this machine.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// For taking connections: any certificate is taken, and its fingerprint looked at afterwards.
    ///
    /// # Errors
    /// Those of rustls.
    pub fn server(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let anyone = CertificateCheck::any(self.provider.clone());
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(anyone)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        Ok(Arc::new(config))
    }

    /// For connecting to the machine of that pin, and to no other.
    ///
    /// # Errors
    /// Those of rustls.
    pub fn client(&self, pin: Pin) -> Result<Arc<ClientConfig>, rustls::Error> {
        let pinned = CertificateCheck::by(self.provider.clone(), move |certificate| {
            let found = Fingerprint::of(certificate);
            let is_it = match &pin {
                Pin::Whole(wanted) => found == *wanted,
                Pin::Code(code) => found.begins_with(&code.pin),
            };
            if is_it {
                Ok(())
            } else {
                Err(format!("another machine responds at this address: its fingerprint is {found}"))
            }
        });
        let config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(pinned)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_is_printed_and_nothing_else_is() {
        let code = PairingCode::new(&Fingerprint([7; 32]));
        assert!(code.to_string().parse() == Ok(code.clone()));
        assert!(format!(" {} ", code.to_string().to_uppercase().replace('-', " ")).parse() == Ok(code));
        for wrong in ["", "0011", "zz", "00112233-44"] {
            assert!(wrong.parse::<PairingCode>().is_err(), "{wrong}");
        }
    }
}
