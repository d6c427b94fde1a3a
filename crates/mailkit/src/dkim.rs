//! DKIM signing (RFC 6376, RFC 8463): relaxed/relaxed, RSA-2048 and Ed25519.

/// Kind of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA with 2048 bits, SHA-256.
    Rsa2048,
    /// Ed25519 (RFC 8463).
    Ed25519,
}

/// A private key with its selector.
#[derive(Clone)]
pub struct SigningKey {
    kind: KeyKind,
    selector: String,
    pkcs8: Vec<u8>,
}

/// Why signing or reading a key failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DkimError {
    /// The key can not be used.
    #[error("the DKIM key for selector {selector} can not be used: {reason}")]
    Key {
        /// The selector.
        selector: String,
        /// What was wrong.
        reason: String,
    },
    /// The message could not be signed.
    #[error("the message could not be signed: {0}")]
    Sign(String),
}

impl SigningKey {
    /// Makes a new key.
    pub fn generate(_kind: KeyKind, _selector: &str) -> Result<Self, DkimError> {
        todo!()
    }

    /// Reads a stored key (PKCS#8 DER).
    pub fn from_pkcs8(_kind: KeyKind, _selector: &str, _der: &[u8]) -> Result<Self, DkimError> {
        todo!()
    }

    /// The stored form (PKCS#8 DER). Secret.
    pub fn to_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Its selector.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// Name of the DNS record: `selector._domainkey.domain`.
    pub fn dns_name(&self, domain: &str) -> String {
        format!("{}._domainkey.{domain}", self.selector)
    }

    /// Text of the DNS TXT record: `v=DKIM1; k=rsa; p=...`.
    pub fn dns_record(&self) -> Result<String, DkimError> {
        todo!()
    }
}

/// Signs a raw message with each key; the `DKIM-Signature:` fields (CRLF included) to put on top.
pub fn sign(_raw: &[u8], _keys: &[SigningKey], _domain: &str) -> Result<String, DkimError> {
    todo!()
}
