//! Two-step sign-in: time-based codes (RFC 6238) and recovery codes.

use prost::Message as _;
use totp_rs::{Builder, Secret};
use zeroize::Zeroizing;

use crate::{
    AccountId, AuthError, Directory, DirectoryError, Result, error::unavailable, letters::grouped, schema, secrets,
};

const SECRET_BYTES: usize = 20;
const RECOVERY_CODES: usize = 10;
/// Letters of a recovery code: 16 of 32, 80 bits, in groups of four. Their hashes are not slow, and the key of the hashes lies
/// beside them: the code itself must be beyond guessing.
const RECOVERY_LETTERS: usize = 16;

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
    NotChecked(AuthError),
}

impl From<DirectoryError> for CodeError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::WrongCode => Self::Wrong,
            DirectoryError::NoSecretsKey(why) => {
                tracing::error!(why, "could not check a two-step code: run `holdfast secrets status`");
                Self::NotChecked(AuthError::CodeUnavailable)
            }
            other => Self::NotChecked(unavailable(other)),
        }
    }
}

/// Whether a code is of an authenticator app, and not a recovery code, which has letters.
fn looks_like_totp(code: &str) -> bool {
    code.chars().filter(char::is_ascii_digit).count() == 6 && !code.chars().any(char::is_alphabetic)
}

/// The time step that a code is of, if it fits now (or one step away).
fn step_of(secret: &[u8], code: &str, now_ms: i64) -> Option<u64> {
    if secret.is_empty() || !looks_like_totp(code) {
        return None;
    }
    let code: String = code.chars().filter(char::is_ascii_digit).collect();
    let totp = Builder::new().with_secret(Secret::from(secret)).build_noncompliant();
    totp.check(&code, (now_ms / 1000).try_into().ok()?)
}

/// A new recovery code. One without a letter, which chance hardly makes, would look like another kind.
fn new_recovery() -> String {
    loop {
        let code = grouped(&rand::random::<[u8; RECOVERY_LETTERS]>(), 4);
        if code.chars().any(char::is_alphabetic) {
            return code;
        }
    }
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
        Ok(record.is_some_and(|record| record.has_two_steps()))
    }

    /// Begins enrolment: makes a secret, which counts once [`Directory::enable_totp`] has seen a code of it.
    ///
    /// # Errors
    /// The account does not exist.
    pub async fn enrol_totp(&self, id: AccountId) -> Result<TotpEnrolment> {
        let account = self.account(id)?.ok_or_else(|| DirectoryError::no_account(id))?;
        let secret = Zeroizing::new(rand::random::<[u8; SECRET_BYTES]>());
        let (keys, stored) = (self.keys(), secret.clone());
        self.store()
            .transact(move |tx| {
                let mut record = crate::schema::credentials(tx, id)?.unwrap_or_default();
                if !record.totp_enabled {
                    secrets::put_totp_in(tx, &keys, id, &mut record, &stored[..])?;
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
        let (codes, hashes) = self.new_codes(id);
        let (keys, code) = (self.keys(), code.to_owned());
        self.store()
            .transact(move |tx| {
                let mut record = crate::schema::credentials(tx, id)?.unwrap_or_default();
                if record.totp_enabled {
                    return Err(DirectoryError::WrongCode);
                }
                let secret = secrets::totp(&keys, id, &record)
                    .map_err(|error| DirectoryError::NoSecretsKey(error.to_string()))?
                    .ok_or(DirectoryError::WrongCode)?;
                let step = step_of(&secret, &code, tx.now_ms()).ok_or(DirectoryError::WrongCode)?;
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

    /// Turns two-step sign-in on with passkeys: after the password one of them is asked for, or a code if there is an authenticator app.
    /// Gives recovery codes, the only time they are seen; none where there were some already.
    ///
    /// # Errors
    /// [`DirectoryError::WrongCode`]: there is no passkey.
    pub async fn enable_passkey_step(&self, id: AccountId) -> Result<Vec<String>> {
        if self.passkeys(id)?.is_empty() {
            return Err(DirectoryError::WrongCode);
        }
        let (codes, hashes) = self.new_codes(id);
        let made = self
            .store()
            .transact(move |tx| {
                let mut record = crate::schema::credentials(tx, id)?.unwrap_or_default();
                let made = !record.has_two_steps();
                if made {
                    record.recovery_hashes = hashes;
                }
                record.passkey_step = true;
                tx.put(id.realm(), schema::CREDENTIALS.to_vec(), record.encode_to_vec());
                Ok::<_, DirectoryError>(made)
            })
            .await?;
        self.inner.remembered.forget(id);
        Ok(if made { codes } else { Vec::new() })
    }

    /// Makes new recovery codes in place of those that are left.
    ///
    /// # Errors
    /// [`DirectoryError::WrongCode`]: two-step sign-in is off.
    pub async fn renew_recovery_codes(&self, id: AccountId) -> Result<Vec<String>> {
        let (codes, hashes) = self.new_codes(id);
        self.store()
            .transact(move |tx| {
                let mut record = crate::schema::credentials(tx, id)?.unwrap_or_default();
                if !record.has_two_steps() {
                    return Err(DirectoryError::WrongCode);
                }
                record.recovery_hashes = hashes;
                tx.put(id.realm(), schema::CREDENTIALS.to_vec(), record.encode_to_vec());
                Ok(())
            })
            .await?;
        Ok(codes)
    }

    /// Recovery codes, and what is kept of them.
    fn new_codes(&self, id: AccountId) -> (Vec<String>, Vec<Vec<u8>>) {
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| new_recovery()).collect();
        let hashes = codes.iter().map(|code| self.recovery_hash(id, code)).collect();
        (codes, hashes)
    }

    /// Ends two-step sign-in, by codes and by passkeys. Passkeys stay.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn disable_totp(&self, id: AccountId) -> Result<()> {
        self.store()
            .transact(move |tx| {
                if let Some(mut record) = crate::schema::credentials(tx, id)? {
                    record.totp_enabled = false;
                    record.passkey_step = false;
                    record.totp_secret.clear();
                    record.totp_sealed.clear();
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
        let (keys, code) = (self.keys(), code.to_owned());
        self.store()
            .transact(move |tx| {
                let mut record = crate::schema::credentials(tx, id)?.unwrap_or_default();
                let secret = secrets::totp(&keys, id, &record);
                let step = match &secret {
                    Ok(Some(secret)) => step_of(secret, &code, tx.now_ms()),
                    Ok(None) | Err(_) => None,
                };
                match (step, record.recovery_hashes.iter().position(|hash| *hash == recovery)) {
                    (Some(step), _) if step > record.totp_last_step => record.totp_last_step = step,
                    (Some(_), _) => return Err(DirectoryError::WrongCode),
                    (None, Some(place)) => drop(record.recovery_hashes.remove(place)),
                    (None, None) => {
                        // It may be right: that it can't be checked is not the user's fault.
                        secret
                            .map_err(|error| DirectoryError::NoSecretsKey(error.to_string()))
                            .or_else(|error| if looks_like_totp(&code) { Err(error) } else { Ok(None) })?;
                        return Err(DirectoryError::WrongCode);
                    }
                }
                tx.put(id.realm(), schema::CREDENTIALS.to_vec(), record.encode_to_vec());
                Ok(())
            })
            .await
            .map_err(CodeError::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_apps_and_recovery_codes_are_told_apart() {
        for code in ["123456", " 123 456 ", "123-456", "000000"] {
            assert!(looks_like_totp(code), "{code}");
        }
        // Older recovery codes are hexadecimal, in two groups of five.
        for code in ["", "12345", "1234567", "a1b2c-3d4e5", "12c34-5e6ff", "abcd-2345-67gh-jkmn", "123456x"] {
            assert!(!looks_like_totp(code), "{code}");
        }
        for _ in 0..1_000 {
            assert!(!looks_like_totp(&new_recovery()));
        }
    }
}
