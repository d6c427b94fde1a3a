//! App passwords: one for each program, random, named, revocable.

use doorkit::sasl::ScramKeys;
use prost::Message as _;
use store::Read;
use subtle::ConstantTimeEq as _;

use crate::ids::AppPasswordId;
use crate::{
    AccountId, Directory, DirectoryError, Login, Result, Scopes,
    letters::grouped,
    password,
    proof::Proof,
    schema::{self, AppPasswordRecord, decode},
    secrets,
};

/// App passwords of one account.
const MAX_APP_PASSWORDS: usize = 50;
/// The longest name.
const MAX_NAME_BYTES: usize = 100;
/// Letters of an app password: 20 of 32, 100 bits, in groups of five.
const LENGTH: usize = 20;
/// Letters of a group.
const GROUP: usize = 5;
/// Between two notes of its use.
const NOTE_USE_EVERY_MS: i64 = 3_600_000;

/// An app password, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPassword {
    /// Its number.
    pub id: AppPasswordId,
    /// The name given by its owner.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last used, to the hour; `None` is never.
    pub last_used_ms: Option<i64>,
    /// The protocols that it opens.
    pub scopes: Scopes,
}

/// A new app password: the only time that it is seen.
#[derive(Clone)]
pub struct NewAppPassword {
    /// Its number.
    pub id: AppPasswordId,
    /// The password. Spaces and hyphens in it do not count.
    pub password: String,
}

fn key(id: AppPasswordId) -> Vec<u8> {
    schema::app_password_key(id.0)
}

fn all(reader: &impl Read, account: AccountId) -> Result<Vec<(AppPasswordId, AppPasswordRecord)>> {
    let all = schema::app_passwords(reader, account)?;
    Ok(all.into_iter().map(|(id, record)| (AppPasswordId(id), record)).collect())
}

/// What an app password is recognised by; `None` when it is not there.
pub(crate) fn proof_of(reader: &impl Read, account: AccountId, id: AppPasswordId) -> Result<Option<Proof>> {
    let Some(value) = reader.get(account.realm(), &key(id))? else { return Ok(None) };
    Ok(Some(Proof::app_password(&decode("an app password", &value)?)))
}

/// The name of the app password that is recognised by this, if it is still there.
pub(crate) fn name_of(reader: &impl Read, account: AccountId, proof: Proof) -> Result<Option<String>> {
    let found = all(reader, account)?.into_iter().find(|(_, record)| Proof::app_password(record) == proof);
    Ok(found.map(|(_, record)| record.name))
}

/// What people put between the groups.
fn plain(password: &str) -> String {
    password.chars().filter(|c| !matches!(c, '-' | ' ')).collect()
}

/// As it was shown, however it was typed.
pub(crate) fn regrouped(typed: &str) -> String {
    let letters: Vec<char> = plain(typed).chars().collect();
    letters.chunks(GROUP).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

impl Directory {
    /// Makes an app password for every protocol.
    ///
    /// # Errors
    /// Those of [`Directory::create_scoped_app_password`].
    pub async fn create_app_password(&self, account: AccountId, name: &str) -> Result<NewAppPassword> {
        self.create_scoped_app_password(account, name, Scopes::ALL).await
    }

    /// Makes an app password.
    ///
    /// # Errors
    /// The name is too long, or there are as many as there may be.
    pub async fn create_scoped_app_password(
        &self,
        account: AccountId,
        name: &str,
        scopes: Scopes,
    ) -> Result<NewAppPassword> {
        if name.len() > MAX_NAME_BYTES {
            return Err(DirectoryError::TooLong { what: "the name", limit: MAX_NAME_BYTES });
        }
        let password = grouped(&rand::random::<[u8; LENGTH]>(), GROUP);
        let hash = self.keyed_hash("app password", plain(&password).as_bytes()).to_vec();
        // SCRAM clients use what was typed, so the keys are of the password with its hyphens.
        let like =
            crate::schema::credentials(&self.store().snapshot(), account)?.and_then(|record| record.scram_salt());
        let typed = password.clone();
        let scram = tokio::task::spawn_blocking(move || password::scram_keys(&typed, like))
            .await
            .map_err(|_| DirectoryError::BadPassword("hashing failed".to_owned()))?;
        let (name, keys) = (name.trim().to_owned(), self.keys());
        let id = self
            .store()
            .transact(move |tx| {
                let existing = all(tx, account)?;
                if existing.len() >= MAX_APP_PASSWORDS {
                    return Err(DirectoryError::TooMany { what: "app passwords", limit: MAX_APP_PASSWORDS });
                }
                let id = AppPasswordId(existing.last().map_or(1, |(last, _)| last.0 + 1));
                let secret = scram.secrets.into_iter().next();
                let (stored_key, server_key) = secret.map(|one| (one.stored_key, one.server_key)).unwrap_or_default();
                let mut record = AppPasswordRecord {
                    name,
                    hash,
                    created_ms: tx.now_ms(),
                    last_used_ms: 0,
                    scram_salt: scram.salt,
                    scram_iterations: scram.iterations,
                    scram_stored_key: stored_key,
                    scram_server_key: server_key,
                    scram_sealed: Vec::new(),
                    scopes: scopes.bits(),
                };
                secrets::close_app_scram_in(tx, &keys, (account, id), &mut record)?;
                tx.put(account.realm(), key(id), record.encode_to_vec());
                Ok(id)
            })
            .await?;
        Ok(NewAppPassword { id, password })
    }

    /// An account's app passwords, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn app_passwords(&self, account: AccountId) -> Result<Vec<AppPassword>> {
        let records = all(&self.store().snapshot(), account)?;
        Ok(records
            .into_iter()
            .map(|(id, record)| AppPassword {
                id,
                name: record.name,
                created_ms: record.created_ms,
                last_used_ms: (record.last_used_ms > 0).then_some(record.last_used_ms),
                scopes: Scopes::from_bits(record.scopes),
            })
            .collect())
    }

    /// Revokes an app password at once. Does nothing if it does not exist.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revoke_app_password(&self, account: AccountId, id: AppPasswordId) -> Result<()> {
        self.store()
            .transact(move |tx| {
                tx.delete(account.realm(), key(id));
                Ok::<_, DirectoryError>(())
            })
            .await?;
        self.inner.remembered.forget(account);
        Ok(())
    }

    pub(crate) fn verify_app_password(&self, account: AccountId, password: &str) -> Result<Option<(Login, Scopes)>> {
        let hash = self.keyed_hash("app password", plain(password).as_bytes());
        let found = all(&self.store().snapshot(), account)?;
        let found = found.into_iter().find(|(_, record)| bool::from(record.hash.ct_eq(&hash[..])));
        Ok(found.map(|(id, record)| (Login::of_app(account, id, &record), Scopes::from_bits(record.scopes))))
    }

    /// The scopes of the app password of a login, if it was one.
    pub(crate) fn scopes_of(&self, login: &Login) -> Result<Option<Scopes>> {
        let Some(id) = login.app_password else { return Ok(None) };
        let value = self.store().snapshot().get(login.account.realm(), &key(id))?;
        let record: Option<AppPasswordRecord> = value.map(|value| decode("an app password", &value)).transpose()?;
        Ok(record.map(|record| Scopes::from_bits(record.scopes)))
    }

    /// The SCRAM keys of an account, each with what it lets in: of its password, unless a code is asked for with it, and of
    /// its app passwords; none is possible. Those made with another salt, before there was one for all, can't be offered beside them; where
    /// there is no other, that of the newest is.
    pub(crate) fn scram_keys_of(&self, account: AccountId) -> Result<Option<(Vec<Login>, ScramKeys)>> {
        let snapshot = self.store().snapshot();
        let own = crate::schema::credentials(&snapshot, account)?.unwrap_or_default();
        let apps = all(&snapshot, account)?;
        let newest = || apps.last().map(|(_, app)| (app.scram_salt.clone(), app.scram_iterations));
        let Some((salt, iterations)) = own.scram_salt().or_else(newest) else { return Ok(None) };
        let (mut found, keys) = (Vec::new(), self.keys());
        if !own.has_two_steps()
            && let Some(secret) = secrets::scram(&keys, account, &own)
        {
            found.push((Login::of_password(account, &own), secret));
        }
        for (id, app) in apps {
            if app.scram_salt == salt
                && app.scram_iterations == iterations
                && let Some(secret) = secrets::app_scram(&keys, (account, id), &app)
            {
                found.push((Login::of_app(account, id, &app), secret));
            }
        }
        let (logins, secrets) = found.into_iter().unzip();
        Ok(Some((logins, ScramKeys { salt, iterations, secrets })))
    }

    /// Notes the use, at most once an hour. Nobody waits for it.
    pub(crate) fn note_app_password_use(&self, account: AccountId, id: AppPasswordId) {
        let noted = self.app_passwords(account).is_ok_and(|all| {
            let used = all.iter().find(|app| app.id == id).and_then(|app| app.last_used_ms);
            used.is_some_and(|used| self.now_ms() - used <= NOTE_USE_EVERY_MS)
        });
        if noted {
            return;
        }
        drop(self.store().transact(move |tx| {
            tx.keeps_books();
            let Some(value) = tx.get(account.realm(), &key(id))? else { return Ok(()) };
            let mut record: AppPasswordRecord = decode("an app password", &value)?;
            if tx.now_ms() - record.last_used_ms > NOTE_USE_EVERY_MS {
                record.last_used_ms = tx.now_ms();
                tx.put(account.realm(), key(id), record.encode_to_vec());
            }
            Ok::<_, DirectoryError>(())
        }));
    }
}
