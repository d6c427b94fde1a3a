//! Two-step sign-in: time-based codes (RFC 6238) and recovery codes.

use prost::Message as _;
use totp_rs::{Builder, Secret};

use crate::{AccountId, Directory, DirectoryError, Result, schema};

const SECRET_BYTES: usize = 20;
const RECOVERY_CODES: usize = 10;

/// The data for an authenticator app.
#[derive(Clone)]
pub struct TotpEnrolment {
    /// The secret in base32, for typing.
    pub secret: String,
    /// The same as an `otpauth:` address, for a QR code.
    pub url: String,
}

pub(crate) enum CodeError {
    Wrong,
    Other(DirectoryError),
}

impl From<DirectoryError> for CodeError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::WrongCode => Self::Wrong,
            other => Self::Other(other),
        }
    }
}

/// The time step that a code is of, if it fits now (or one step away).
fn step_of(secret: &[u8], code: &str, now_ms: i64) -> Option<u64> {
    let code: String = code.chars().filter(char::is_ascii_digit).collect();
    if code.len() != 6 {
        return None;
    }
    let totp = Builder::new().with_secret(Secret::from(secret)).build_noncompliant();
    totp.check(&code, (now_ms / 1000).try_into().ok()?)
}

fn normal_recovery(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

impl Directory {
    /// Whether an account uses two-step sign-in.
    ///
    /// # Errors
    /// Those of the store.
    pub fn totp_enabled(&self, id: AccountId) -> Result<bool> {
        let record = crate::schema::credentials(&self.store().snapshot(), id)?;
        Ok(record.is_some_and(|record| record.totp_enabled))
    }

    /// Begins enrolment: makes a secret, which counts once [`Directory::enable_totp`] has seen a code of it.
    ///
    /// # Errors
    /// The account does not exist.
    pub async fn enrol_totp(&self, id: AccountId) -> Result<TotpEnrolment> {
        let account = self.account(id)?.ok_or_else(|| DirectoryError::no_account(id))?;
        let secret: [u8; SECRET_BYTES] = rand::random();
        self.store()
            .transact(move |tx| {
                let mut record = crate::schema::credentials(tx, id)?.unwrap_or_default();
                if !record.totp_enabled {
                    record.totp_secret = secret.to_vec();
                    tx.put(id.realm(), schema::CREDENTIALS.to_vec(), record.encode_to_vec());
                }
                Ok::<_, DirectoryError>(())
            })
            .await?;
        let secret = Secret::from(&secret[..]).to_base32();
        let label = account.address.to_string().replace('%', "%25").replace('@', "%40").replace(' ', "%20");
        let url = format!("otpauth://totp/Holdfast:{label}?secret={secret}&issuer=Holdfast");
        Ok(TotpEnrolment { secret, url })
    }

    /// Ends enrolment: from now on a code is asked for. Gives recovery codes, each good once, the only time they are
    /// seen.
    ///
    /// # Errors
    /// [`DirectoryError::WrongCode`].
    pub async fn enable_totp(&self, id: AccountId, code: &str) -> Result<Vec<String>> {
        let codes: Vec<String> = (0..RECOVERY_CODES)
            .map(|_| {
                let random: [u8; 5] = rand::random();
                let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{}-{}", &hex[..5], &hex[5..])
            })
            .collect();
        let hashes = codes.iter().map(|code| self.recovery_hash(id, code)).collect();
        let code = code.to_owned();
        self.store()
            .transact(move |tx| {
                let mut record = crate::schema::credentials(tx, id)?.unwrap_or_default();
                let step = step_of(&record.totp_secret, &code, tx.now_ms()).ok_or(DirectoryError::WrongCode)?;
                if record.totp_secret.is_empty() || record.totp_enabled {
                    return Err(DirectoryError::WrongCode);
                }
                record.totp_enabled = true;
                record.totp_last_step = step;
                record.recovery_hashes = hashes;
                tx.put(id.realm(), schema::CREDENTIALS.to_vec(), record.encode_to_vec());
                Ok(())
            })
            .await?;
        self.inner.remembered.forget(id);
        Ok(codes)
    }

    /// Ends two-step sign-in.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn disable_totp(&self, id: AccountId) -> Result<()> {
        self.store()
            .transact(move |tx| {
                if let Some(mut record) = crate::schema::credentials(tx, id)? {
                    record.totp_enabled = false;
                    record.totp_secret.clear();
                    record.recovery_hashes.clear();
                    tx.put(id.realm(), schema::CREDENTIALS.to_vec(), record.encode_to_vec());
                }
                Ok(())
            })
            .await
    }

    fn recovery_hash(&self, id: AccountId, code: &str) -> Vec<u8> {
        self.keyed_hash("recovery", format!("{}\0{}", id.0, normal_recovery(code)).as_bytes()).to_vec()
    }

    /// Uses a code up: no time step and no recovery code is good twice.
    pub(crate) async fn use_code(&self, id: AccountId, code: &str) -> Result<(), CodeError> {
        let recovery = self.recovery_hash(id, code);
        let code = code.to_owned();
        self.store()
            .transact(move |tx| {
                let mut record = crate::schema::credentials(tx, id)?.unwrap_or_default();
                match step_of(&record.totp_secret, &code, tx.now_ms()) {
                    Some(step) if step > record.totp_last_step => record.totp_last_step = step,
                    Some(_) => return Err(DirectoryError::WrongCode),
                    None => {
                        let place = record.recovery_hashes.iter().position(|hash| *hash == recovery);
                        record.recovery_hashes.remove(place.ok_or(DirectoryError::WrongCode)?);
                    }
                }
                tx.put(id.realm(), schema::CREDENTIALS.to_vec(), record.encode_to_vec());
                Ok(())
            })
            .await
            .map_err(CodeError::from)
    }
}
