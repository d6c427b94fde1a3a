//! Passkeys: what they are, who made them, and signing in with one, alone or after the password.
//!
//! A passkey is bound to the domain that it was made at (its relying party); one service may have several names. Browsers hand back the
//! account's handle with it, which is the account's number and a keyed hash, so no index over all accounts is needed.

use std::net::IpAddr;

use prost::Message as _;
use store::{Order, Read, Tx};
use subtle::ConstantTimeEq as _;
use webauthn::{Answer, Credential, Expected, Refusal, Registered};

use crate::{
    AccountId, AuthError, Directory, DirectoryError, Login, Result, Service,
    error::unavailable,
    ids::PasskeyId,
    schema::{self, PasskeyRecord, SessionRecord, decode},
    totp::CodeError,
};

/// Passkeys of one account.
pub const MAX_PASSKEYS: usize = 20;
/// The longest name.
pub const MAX_PASSKEY_NAME_BYTES: usize = 100;
/// The most bytes of what an authenticator can be reached by.
const MAX_TRANSPORT_BYTES: usize = 20;
/// How many of these are kept.
const MAX_TRANSPORTS: usize = 8;
/// Bytes of an account's handle.
const HANDLE_BYTES: usize = 32;
/// Between two notes of the use of a passkey without a counter.
const NOTE_USE_EVERY_MS: i64 = 3_600_000;

/// A passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its name within the account.
    pub id: PasskeyId,
    /// The name given by its owner.
    pub name: String,
    /// The domain that it is for.
    pub rp_id: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last used; `None` is never.
    pub last_used_ms: Option<i64>,
    /// It signs in without the password; others only do after it.
    pub is_alone: bool,
    /// It is kept in more than one place, such as an account of its maker.
    pub backed_up: bool,
    /// What browsers know it by.
    pub credential: Vec<u8>,
    /// What browsers reach it by.
    pub transports: Vec<String>,
}

/// A passkey that was just made.
#[derive(Debug, Clone)]
pub struct NewPasskey {
    /// The name given by its owner.
    pub name: String,
    /// The domain that it is for.
    pub rp_id: String,
    /// What the browser brought, verified.
    pub registered: Registered,
    /// It is to sign in without the password; only where the authenticator has verified its user.
    pub is_alone: bool,
    /// What browsers reach it by.
    pub transports: Vec<String>,
}

/// What a browser sent when a passkey was used, and what it was asked.
#[derive(Clone, Copy)]
pub struct PasskeyAnswer<'a> {
    /// The credential's id.
    pub credential: &'a [u8],
    /// The account's handle; may be empty after the password.
    pub handle: &'a [u8],
    /// What was signed.
    pub answer: Answer<'a>,
    /// The challenge that was given, not used before.
    pub challenge: &'a [u8],
    /// The origins of our pages.
    pub origins: &'a [String],
    /// The domain that the page is at.
    pub rp_id: &'a str,
}

/// How an account's second step can be taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecondSteps {
    /// By the code of an authenticator app.
    pub app: bool,
    /// A passkey is asked for, although there may be no app.
    pub passkey: bool,
    /// Recovery codes that are left.
    pub codes_left: usize,
}

impl SecondSteps {
    /// Whether a second step is asked for at all.
    pub const fn is_on(self) -> bool {
        self.app || self.passkey
    }
}

fn id_of(credential: &[u8]) -> PasskeyId {
    PasskeyId(*blake3::hash(credential).as_bytes().first_chunk().expect("a hash is 32 bytes"))
}

fn key(id: PasskeyId) -> Vec<u8> {
    [&[schema::PASSKEY][..], &id.0].concat()
}

fn record(reader: &(impl Read + ?Sized), account: AccountId, id: PasskeyId) -> Result<Option<PasskeyRecord>> {
    reader.get(account.realm(), &key(id))?.map(|value| decode("a passkey", &value)).transpose()
}

fn all(reader: &impl Read, account: AccountId) -> Result<Vec<(PasskeyId, PasskeyRecord)>> {
    let mut all = Vec::new();
    for row in reader.prefix(account.realm(), &[schema::PASSKEY], Order::Ascending)? {
        let (_, value) = row?;
        let record: PasskeyRecord = decode("a passkey", &value)?;
        all.push((id_of(&record.credential), record));
    }
    all.sort_by_key(|(_, record)| record.created_ms);
    Ok(all)
}

/// Ends the sessions that began with a passkey.
fn end_sessions_in(tx: &mut Tx<'_>, account: AccountId, id: PasskeyId) -> Result<()> {
    let mut begun = Vec::new();
    for row in tx.prefix(account.realm(), &[schema::SESSION], Order::Ascending)? {
        let (key, value) = row?;
        if decode::<SessionRecord>("a session", &value)?.passkey == id.0 {
            begun.push(key.to_vec());
        }
    }
    for key in begun {
        tx.delete(account.realm(), key);
    }
    Ok(())
}

impl Directory {
    /// What browsers know an account by: says nothing about it, and is the same for all of its passkeys.
    pub fn passkey_handle(&self, account: AccountId) -> Vec<u8> {
        let number = account.0.to_be_bytes();
        let hash = self.keyed_hash("passkey handle", &number);
        [&number[..], &hash[..HANDLE_BYTES - number.len()]].concat()
    }

    fn account_of_handle(&self, handle: &[u8]) -> Option<AccountId> {
        let account = AccountId(u32::from_be_bytes(*handle.first_chunk()?));
        bool::from(self.passkey_handle(account).ct_eq(handle)).then_some(account)
    }

    /// An account's passkeys, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn passkeys(&self, account: AccountId) -> Result<Vec<Passkey>> {
        let all = all(&self.store().snapshot(), account)?.into_iter();
        Ok(all
            .map(|(id, record)| Passkey {
                id,
                name: record.name,
                rp_id: record.rp_id,
                created_ms: record.created_ms,
                last_used_ms: (record.last_used_ms > 0).then_some(record.last_used_ms),
                is_alone: record.alone,
                backed_up: record.backed_up,
                credential: record.credential,
                transports: record.transports,
            })
            .collect())
    }

    /// How the second step of an account's sign-in can be taken.
    ///
    /// # Errors
    /// Those of the store.
    pub fn second_steps(&self, account: AccountId) -> Result<SecondSteps> {
        let record = schema::credentials(&self.store().snapshot(), account)?.unwrap_or_default();
        let (app, passkey) = (record.totp_enabled, record.passkey_step);
        Ok(SecondSteps { app, passkey, codes_left: record.recovery_hashes.len() })
    }

    /// The same of a login name, with the account's passkeys: for someone who has typed the right password. Nothing for a name that is none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn second_steps_of_login(&self, login: &str) -> Result<(SecondSteps, Vec<Passkey>)> {
        let claimed = self.claim(login).ok().and_then(|claim| claim.account);
        let Some(account) = claimed else { return Ok(Default::default()) };
        Ok((self.second_steps(account.id)?, self.passkeys(account.id)?))
    }

    /// Adds a passkey to an account.
    ///
    /// # Errors
    /// The name is empty or too long, the account has this passkey already, or has as many as it may have.
    pub async fn add_passkey(&self, account: AccountId, new: NewPasskey) -> Result<PasskeyId> {
        let name = new.name.trim().to_owned();
        if name.len() > MAX_PASSKEY_NAME_BYTES {
            return Err(DirectoryError::TooLong { what: "the name", limit: MAX_PASSKEY_NAME_BYTES });
        }
        let mut transports = new.transports;
        transports.retain(|way| way.len() <= MAX_TRANSPORT_BYTES && way.bytes().all(|b| b.is_ascii_graphic()));
        transports.truncate(MAX_TRANSPORTS);
        let id = id_of(&new.registered.id);
        let added = PasskeyRecord {
            credential: new.registered.id,
            key: new.registered.key,
            name,
            rp_id: new.rp_id,
            counter: new.registered.counter,
            created_ms: 0,
            last_used_ms: 0,
            alone: new.is_alone && new.registered.user_verified,
            backed_up: new.registered.backed_up,
            transports,
        };
        self.store()
            .transact(move |tx| {
                crate::account::live_record(tx, account)?;
                let existing = all(tx, account)?;
                if existing.len() >= MAX_PASSKEYS {
                    return Err(DirectoryError::TooMany { what: "passkeys", limit: MAX_PASSKEYS });
                }
                if existing.iter().any(|(known, _)| *known == id) {
                    return Err(DirectoryError::PasskeyKnown);
                }
                let added = PasskeyRecord { created_ms: tx.now_ms(), ..added };
                tx.put(account.realm(), key(id), added.encode_to_vec());
                Ok(id)
            })
            .await
    }

    /// Removes a passkey; browsers that signed in with it are signed out. Gives its name; `None` if there was no such passkey.
    ///
    /// # Errors
    /// [`DirectoryError::LastSecondStep`]: two-step sign-in would have nothing left to ask for.
    pub async fn remove_passkey(&self, account: AccountId, id: PasskeyId) -> Result<Option<String>> {
        let removed = self
            .store()
            .transact(move |tx| {
                let Some(gone) = record(tx, account, id)? else { return Ok(None) };
                let credentials = schema::credentials(tx, account)?.unwrap_or_default();
                if credentials.passkey_step && !credentials.totp_enabled && all(tx, account)?.len() == 1 {
                    return Err(DirectoryError::LastSecondStep);
                }
                tx.delete(account.realm(), key(id));
                end_sessions_in(tx, account, id)?;
                Ok(Some(gone.name))
            })
            .await?;
        self.unkept().forget_of_passkey(account, &id.0);
        self.inner.watched.wake(account);
        Ok(removed)
    }

    /// Removes all passkeys of an account, after a theft; gives their names. Two-step sign-in stays on: until it is set up again, recovery
    /// codes are its second step.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_all_passkeys(&self, account: AccountId) -> Result<Vec<String>> {
        let removed = self
            .store()
            .transact(move |tx| {
                let gone = all(tx, account)?;
                for (id, _) in &gone {
                    tx.delete(account.realm(), key(*id));
                    end_sessions_in(tx, account, *id)?;
                }
                Ok::<_, DirectoryError>(gone)
            })
            .await?;
        for (id, _) in &removed {
            self.unkept().forget_of_passkey(account, &id.0);
        }
        self.inner.watched.wake(account);
        Ok(removed.into_iter().map(|(_, record)| record.name).collect())
    }

    /// Checks a sign-in with a passkey alone: the authenticator has verified its user, now and when the passkey was made.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate_passkey(
        &self,
        answer: &PasskeyAnswer<'_>,
        peer: IpAddr,
        program: &str,
    ) -> Result<Login, AuthError> {
        self.count_login();
        let Some(id) = self.account_of_handle(answer.handle) else { return Err(AuthError::Invalid) };
        self.restored(id).await.map_err(unavailable)?;
        let result = self.verify_passkey_alone(id, answer).await;
        self.note_sign_in(id, (Service::Web, peer), program, &result);
        let word = match &result {
            Ok(_) => "ok",
            Err(AuthError::Invalid) => "failed",
            Err(_) => "refused",
        };
        metrics::counter!("holdfast_directory_logins_total", "service" => Service::Web.name(), "result" => word)
            .increment(1);
        result
    }

    async fn verify_passkey_alone(&self, id: AccountId, answer: &PasskeyAnswer<'_>) -> Result<Login, AuthError> {
        let Some(account) = self.account(id).map_err(unavailable)? else { return Err(AuthError::Invalid) };
        let used = match self.use_passkey(id, answer, true).await {
            Ok(used) => used,
            Err(CodeError::Wrong) => return Err(AuthError::Invalid),
            Err(CodeError::NotChecked(error)) => return Err(error),
        };
        if !account.enabled {
            return Err(AuthError::Disabled);
        }
        let credentials = schema::credentials(&self.store().snapshot(), id).map_err(unavailable)?.unwrap_or_default();
        Ok(Login { with_code: true, passkey: Some(used), ..Login::of_password(id, &credentials) })
    }

    /// Verifies an answer by a passkey of an account, and keeps its counter.
    pub(crate) async fn use_passkey(
        &self,
        account: AccountId,
        answer: &PasskeyAnswer<'_>,
        alone: bool,
    ) -> Result<PasskeyId, CodeError> {
        let id = id_of(answer.credential);
        let found = record(&self.store().snapshot(), account, id)?;
        // With an account's handle it must be that account's, with none the password has told whose it is.
        let is_own = answer.handle.is_empty() || self.account_of_handle(answer.handle) == Some(account);
        let Some(found) = found.filter(|found| is_own && found.rp_id == answer.rp_id && (found.alone || !alone)) else {
            return Err(CodeError::Wrong);
        };
        let PasskeyAnswer { challenge, origins, rp_id, .. } = *answer;
        let expected = Expected { challenge, origins, rp_id, verified: alone };
        let credential = Credential { key: &found.key, counter: found.counter };
        let asserted = match webauthn::assert(&expected, &credential, &answer.answer) {
            Ok(asserted) => asserted,
            Err(refusal) => {
                self.note_refused(account, &found.name, &refusal).await;
                return Err(CodeError::Wrong);
            }
        };
        let now_ms = self.now_ms();
        let is_noted = (0..NOTE_USE_EVERY_MS).contains(&(now_ms - found.last_used_ms));
        if asserted.counter == 0 && is_noted && asserted.backed_up == found.backed_up {
            return Ok(id);
        }
        self.store()
            .transact(move |tx| {
                tx.keeps_books();
                // It may have been removed, or used elsewhere, in between.
                let Some(mut record) = record(tx, account, id)? else { return Err(DirectoryError::WrongCode) };
                if asserted.counter != 0 && asserted.counter <= record.counter {
                    return Err(DirectoryError::WrongCode);
                }
                record.counter = asserted.counter;
                record.last_used_ms = tx.now_ms();
                record.backed_up = asserted.backed_up;
                tx.put(account.realm(), key(id), record.encode_to_vec());
                Ok(id)
            })
            .await
            .map_err(CodeError::from)
    }

    async fn note_refused(&self, account: AccountId, name: &str, refusal: &Refusal) {
        tracing::info!(account = account.0, %refusal, "a passkey was refused");
        if !matches!(refusal, Refusal::Counter { .. }) {
            return;
        }
        let what = format!("the passkey {name} was refused, it may have been copied: {refusal}");
        if let Err(error) = self.audit(Some(account), "service", &what, "").await {
            tracing::warn!(account = account.0, %error, "could not write the audit trail");
        }
    }
}
