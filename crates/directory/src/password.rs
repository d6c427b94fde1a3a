//! Slow hashing of passwords, by whom [`Admission`] lets.

use std::net::{IpAddr, Ipv4Addr};

use argon2::{Algorithm, Argon2, Params, Version};
use doorkit::sasl::ScramKeys;
use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization as _;

use crate::{
    DirectoryError, Result,
    admission::{Admission, Turn},
    schema::CredentialsRecord,
};

/// argon2id's memory: OWASP's second recommendation, 19 MiB and two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const HASH_BYTES: usize = 32;

/// The network that this machine's own work is counted by.
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The record of a new password. `scram` is the salt and the iterations of the account's SCRAM keys, if it has any.
pub(crate) async fn hash(
    admission: &Admission,
    password: String,
    scram: Option<(Vec<u8>, u32)>,
    now_ms: i64,
) -> Result<CredentialsRecord> {
    let turn = admission.turn(OWN, "new password").await.map_err(|busy| failed(&busy.to_string()))?;
    let work = move || {
        let salt: [u8; 16] = rand::random();
        let hash =
            derive(&password, &salt, MEMORY_KIB, PASSES).ok_or_else(|| failed("this password can't be hashed"))?;
        let mut record = CredentialsRecord {
            hash: hash.to_vec(),
            salt: salt.to_vec(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            changed_ms: now_ms,
            ..CredentialsRecord::default()
        };
        record.set_scram(scram_keys(&password, scram));
        Ok(record)
    };
    admission.run(turn, work).await.unwrap_or_else(|| Err(failed("hashing failed")))
}

/// The SCRAM keys of a password. Slow.
pub(crate) fn scram_keys(password: &str, like: Option<(Vec<u8>, u32)>) -> ScramKeys {
    let password: String = password.nfc().collect();
    match like {
        Some((salt, iterations)) => ScramKeys::with(&password, &salt, iterations),
        None => ScramKeys::of(&password),
    }
}

fn failed(what: &str) -> DirectoryError {
    DirectoryError::BadPassword(what.to_owned())
}

/// Whether the password is right. Without a record it takes the same time, and is false.
pub(crate) async fn verify(
    admission: &Admission,
    turn: Turn,
    password: String,
    record: Option<CredentialsRecord>,
) -> Result<bool> {
    let work = move || {
        let record = record.filter(|record| !record.hash.is_empty());
        let (salt, memory, passes) =
            record.as_ref().map_or((&[0; 16][..], MEMORY_KIB, PASSES), |r| (&r.salt, r.memory_kib, r.passes));
        let derived = derive(&password, salt, memory, passes);
        match (derived, &record) {
            (Some(derived), Some(record)) => bool::from(derived[..].ct_eq(&record.hash)),
            _ => false,
        }
    };
    admission.run(turn, work).await.ok_or_else(|| failed("hashing failed"))
}

fn derive(password: &str, salt: &[u8], memory_kib: u32, passes: u32) -> Option<[u8; HASH_BYTES]> {
    // Keyboards differ in how they compose letters (RFC 8265 section 4.2).
    let password: String = password.nfc().collect();
    let params = Params::new(memory_kib, passes, 1, Some(HASH_BYTES)).ok()?;
    let mut out = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut out)
        .ok()?;
    Some(out)
}
