//! What relays need to check app passwords while this machine is away. Only accounts that an administrator has allowed are in
//! it, and only their app passwords: never a main password, and nothing that lets anyone in here.

use std::fmt;

use doorkit::sasl::ScramKeys;

use crate::{
    AccountId, Directory, Result, Scopes, Service, account,
    app_password::regrouped,
    schema::{self},
    secrets,
};

/// What the fingerprints are for: they are of no use anywhere else.
const PURPOSE: &str = "holdfast 2026 submission through a relay: the key of an app password";

/// What recognises one app password.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayVerifier {
    /// Whose it is.
    pub account: AccountId,
    /// The salt of the slow hash (PBKDF2 with SHA-256, as for SCRAM).
    pub salt: Vec<u8>,
    /// Its iterations.
    pub iterations: u32,
    /// A hash of the SCRAM StoredKey: neither the password nor a SCRAM key follows from it.
    pub fingerprint: [u8; 32],
}

impl fmt::Debug for RelayVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayVerifier").field("account", &self.account).finish_non_exhaustive()
    }
}

fn fingerprint(stored_key: &[u8]) -> [u8; 32] {
    blake3::derive_key(PURPOSE, stored_key)
}

impl RelayVerifier {
    /// The fingerprint of an app password as it was typed; spaces and hyphens do not count. Slow.
    pub fn fingerprint_of(typed: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
        let keys = ScramKeys::with(&regrouped(typed), salt, iterations);
        keys.secrets.first().map(|secret| fingerprint(&secret.stored_key)).unwrap_or_default()
    }
}

impl Directory {
    /// Whether relays may take mail that this account sends while this machine is away.
    ///
    /// # Errors
    /// Those of the store.
    pub fn sends_by_relay(&self, account: AccountId) -> Result<bool> {
        let record = account::record(&self.store().snapshot(), account)?;
        Ok(record.is_some_and(|record| record.sends_by_relay && !record.disabled && record.deleted_ms.is_none()))
    }

    /// The verifiers of an account's app passwords that open SMTP, if relays may take mail that it sends. An app password without SCRAM keys
    /// has none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn relay_verifiers_of(&self, account: AccountId) -> Result<Vec<RelayVerifier>> {
        if !self.sends_by_relay(account)? {
            return Ok(Vec::new());
        }
        let (keys, snapshot) = (self.keys(), self.store().snapshot());
        let mut found = Vec::new();
        for (id, record) in schema::app_passwords(&snapshot, account)? {
            let sends = Scopes::from_bits(record.scopes).allows(Service::Smtp);
            if sends && let Some(secret) = secrets::app_scram(&keys, (account, crate::AppPasswordId(id)), &record) {
                found.push(RelayVerifier {
                    account,
                    salt: record.scram_salt.clone(),
                    iterations: record.scram_iterations,
                    fingerprint: fingerprint(&secret.stored_key),
                });
            }
        }
        Ok(found)
    }

    /// Those of all accounts.
    ///
    /// # Errors
    /// Those of the store.
    pub fn relay_verifiers(&self) -> Result<Vec<RelayVerifier>> {
        let mut all = Vec::new();
        for account in self.accounts()? {
            all.extend(self.relay_verifiers_of(account.id)?);
        }
        Ok(all)
    }
}
