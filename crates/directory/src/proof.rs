//! What a login is recognised by later.

use crate::schema::{self, CredentialsRecord};

/// Identifies the credential of a login later: derived from the password or app password itself, not from its name or
/// number, which may be reused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof(pub(crate) [u8; 16]);

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof")
    }
}

impl Proof {
    pub(crate) fn of(parts: [&[u8]; 2]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
        }
        Self(*hasher.finalize().as_bytes().first_chunk().expect("a hash is 32 bytes"))
    }

    /// Of the account's password. Changes with it, and with nothing else.
    pub(crate) fn password(record: &CredentialsRecord) -> Self {
        Self::of([&record.hash, &record.salt])
    }

    /// Of an app password.
    pub(crate) fn app_password(record: &schema::AppPasswordRecord) -> Self {
        Self::of([&record.hash, &record.created_ms.to_be_bytes()])
    }
}
