//! Slow hashing of passwords, by no more threads at once than there are cores.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization as _;

use crate::{DirectoryError, Result, schema::CredentialsRecord};

/// argon2id's memory: OWASP's second recommendation, 19 MiB and two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const HASH_BYTES: usize = 32;

/// Bounds how much is hashed at once: each takes 19 MiB and a core.
pub(crate) struct Pool {
    slots: Arc<Semaphore>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { slots: Arc::new(Semaphore::new(cores)) }
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self) -> Turn {
        Turn { slot: self.slots.clone().acquire_owned().await.expect("the semaphore is never closed") }
    }

    /// The record of a new password.
    pub(crate) async fn hash(&self, password: String, now_ms: i64) -> Result<CredentialsRecord> {
        let turn = self.turn().await;
        turn.run(move || {
            let salt: [u8; 16] = rand::random();
            let hash = derive(&password, &salt, MEMORY_KIB, PASSES)
                .ok_or_else(|| DirectoryError::BadPassword("this password can't be hashed".to_owned()))?;
            Ok(CredentialsRecord {
                hash: hash.to_vec(),
                salt: salt.to_vec(),
                memory_kib: MEMORY_KIB,
                passes: PASSES,
                changed_ms: now_ms,
                ..CredentialsRecord::default()
            })
        })
        .await?
    }
}

/// Leave to hash one password.
pub(crate) struct Turn {
    slot: OwnedSemaphorePermit,
}

impl Turn {
    async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let unavailable =
            |error: tokio::task::JoinError| DirectoryError::BadPassword(format!("hashing failed: {error}"));
        tokio::task::spawn_blocking(move || {
            let _slot = self.slot;
            work()
        })
        .await
        .map_err(unavailable)
    }

    /// Whether the password is right. For no record at all it takes as long, and is not.
    pub(crate) async fn verify(self, password: String, record: Option<CredentialsRecord>) -> Result<bool> {
        self.run(move || {
            let record = record.filter(|record| !record.hash.is_empty());
            let (salt, memory, passes) =
                record.as_ref().map_or((&[0; 16][..], MEMORY_KIB, PASSES), |r| (&r.salt, r.memory_kib, r.passes));
            let derived = derive(&password, salt, memory, passes);
            match (derived, &record) {
                (Some(derived), Some(record)) => bool::from(derived[..].ct_eq(&record.hash)),
                _ => false,
            }
        })
        .await
    }
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
