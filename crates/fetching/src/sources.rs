//! Sources are added, changed, paused and removed.

use directory::{AccountId, DirectoryError};
use prost::Message as _;
use store::{Order, Read, RealmId, StoreError, Tx};

use crate::schema::{RemoteRecord, SOURCE, SourceRecord, all_seen_key, remotes_key, source_key};
use crate::source::{Security, Settings, Source, State, put_settings};
use crate::{Fetching, filing};

/// Longest name of a server.
pub const MAX_HOST_BYTES: usize = 255;
/// Longest name to sign in with.
pub const MAX_USER_BYTES: usize = 320;
/// Longest password.
pub const MAX_PASSWORD_BYTES: usize = 4096;
/// Notes of messages that are removed by one commit.
const NOTES_PER_COMMIT: usize = 500;

/// Why a source could not be added or changed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory: the password can't be sealed.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// It is switched off.
    #[error("fetching from other accounts is switched off on this server")]
    Off,
    /// There is none of that id.
    #[error("there is no such account to fetch from")]
    NoSuchSource,
    /// Too many.
    #[error("you can fetch from {0} accounts; remove one first")]
    TooMany(usize),
    /// The same account is there already.
    #[error("mail of {0} is fetched already")]
    Already(String),
    /// The server's name can't be used.
    #[error("enter the name of a server, such as imap.example.org")]
    BadHost,
    /// The port can't be used.
    #[error("{0}")]
    BadPort(String),
    /// Plain text is not allowed.
    #[error("this server does not send passwords in plain text; choose TLS or STARTTLS")]
    PlainText,
    /// The name can't be used.
    #[error("enter the user name, in one line of at most {MAX_USER_BYTES} bytes")]
    BadUser,
    /// The password can't be used.
    #[error("enter the password, at most {MAX_PASSWORD_BYTES} bytes")]
    BadPassword,
}

pub(crate) fn sources<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Vec<(u64, SourceRecord)>, StoreError> {
    let mut out = Vec::new();
    for row in read.prefix(account, &[SOURCE], Order::Ascending)? {
        let (key, value) = row?;
        // What can't be read is reported by the part's check.
        if let (Ok(id), Ok(record)) = (<[u8; 8]>::try_from(&key[1..]), SourceRecord::decode(value)) {
            out.push((u64::from_be_bytes(id), record));
        }
    }
    Ok(out)
}

fn remotes<R: Read + ?Sized>(read: &R, account: RealmId, id: u64) -> Result<Vec<RemoteRecord>, StoreError> {
    let mut out = Vec::new();
    for row in read.prefix(account, &remotes_key(id), Order::Ascending)? {
        out.extend(RemoteRecord::decode(row?.1).ok());
    }
    out.sort_by(|one: &RemoteRecord, other| {
        (one.name != "INBOX", &one.name).cmp(&(other.name != "INBOX", &other.name))
    });
    Ok(out)
}

impl Fetching {
    /// The sources of an account, in the order in which they were added.
    ///
    /// # Errors
    /// Those of reading.
    pub fn list(&self, account: AccountId) -> Result<Vec<Source>, FetchError> {
        let snapshot = self.store().snapshot();
        let one = |(id, record)| {
            let mut source = Source::of(id, record, remotes(&snapshot, account.realm(), id)?);
            source.now = self.inner.under_way.lock().get(&(account, id)).map(|run| run.mailbox.clone());
            Ok(source)
        };
        sources(&snapshot, account.realm())?.into_iter().map(one).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`FetchError::NoSuchSource`]; those of reading.
    pub fn source(&self, account: AccountId, id: u64) -> Result<Source, FetchError> {
        self.list(account)?.into_iter().find(|source| source.id == id).ok_or(FetchError::NoSuchSource)
    }

    /// Whether such settings can be used.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, settings: &Settings) -> Result<(), FetchError> {
        let policy = self.policy();
        let host = &settings.host;
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || host.len() > MAX_HOST_BYTES || !host.chars().all(name) {
            return Err(FetchError::BadHost);
        }
        policy.check(settings.port).map_err(FetchError::BadPort)?;
        let is_local = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if settings.security == Security::Plain && !policy.allow_plaintext && !is_local {
            return Err(FetchError::PlainText);
        }
        let user = &settings.user;
        if user.is_empty() || user.len() > MAX_USER_BYTES || user.chars().any(char::is_control) {
            return Err(FetchError::BadUser);
        }
        Ok(())
    }

    /// Adds a source. It is fetched at once, as soon as the runner comes to it.
    ///
    /// # Errors
    /// The settings can't be used; there are too many, or it is there already.
    pub async fn add(&self, account: AccountId, settings: Settings, password: &str) -> Result<u64, FetchError> {
        if !self.policy().enabled {
            return Err(FetchError::Off);
        }
        self.check(&settings)?;
        let password = checked(password)?;
        let (directory, most) = (self.inner.services.directory.clone(), self.policy().each);
        let id = self
            .store()
            .transact(move |tx: &mut Tx<'_>| {
                let there = sources(tx, account.realm())?;
                if there.len() >= most {
                    return Err(FetchError::TooMany(most));
                }
                let same = |record: &SourceRecord| {
                    record.host.eq_ignore_ascii_case(&settings.host)
                        && record.port == u32::from(settings.port)
                        && record.user == settings.user
                };
                if there.iter().any(|(_, record)| same(record)) {
                    return Err(FetchError::Already(settings.user));
                }
                let last = there.iter().map(|(id, _)| *id).max().unwrap_or_default();
                let id = u64::try_from(tx.now_ms()).unwrap_or_default().max(last + 1);
                let now_ms = tx.now_ms();
                let mut record = SourceRecord { added_ms: now_ms, due_ms: now_ms, ..SourceRecord::default() };
                put_settings(&mut record, &settings);
                tx.put(account.realm(), source_key(id), record.encode_to_vec());
                directory.hold_secret_in(tx, account, id, password.as_bytes())?;
                Ok(id)
            })
            .await?;
        self.is_due(account, id, self.now_ms());
        Ok(id)
    }

    /// Changes settings, and the password if one is given. It is fetched again at once.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub async fn change(
        &self,
        account: AccountId,
        id: u64,
        settings: Settings,
        password: Option<&str>,
    ) -> Result<(), FetchError> {
        self.check(&settings)?;
        let password = password.map(checked).transpose()?;
        self.stop_run(account, id);
        let directory = self.inner.services.directory.clone();
        self.alter(account, id, move |tx, record| {
            // A password goes to the server that it was typed for, and to no other.
            let elsewhere = record.host != settings.host || record.user != settings.user;
            if elsewhere && password.is_none() {
                return Err(FetchError::BadPassword);
            }
            put_settings(record, &settings);
            if let Some(password) = password {
                directory.hold_secret_in(tx, account, id, password.as_bytes())?;
            }
            begin_again(record, tx.now_ms());
            Ok(())
        })
        .await
    }

    /// Pauses a source. A run that is under way ends.
    ///
    /// # Errors
    /// [`FetchError::NoSuchSource`]; those of the store.
    pub async fn pause(&self, account: AccountId, id: u64) -> Result<(), FetchError> {
        self.stop_run(account, id);
        self.alter(account, id, |_, record| {
            if record.state == State::Active.number() {
                record.state = State::Paused.number();
            }
            Ok(())
        })
        .await
    }

    /// Goes on with a source, at once; also with one that is done.
    ///
    /// # Errors
    /// [`FetchError::NoSuchSource`]; those of the store.
    pub async fn resume(&self, account: AccountId, id: u64) -> Result<(), FetchError> {
        self.alter(account, id, |tx, record| {
            begin_again(record, tx.now_ms());
            Ok(())
        })
        .await
    }

    async fn alter<F>(&self, account: AccountId, id: u64, change: F) -> Result<(), FetchError>
    where
        F: FnOnce(&mut Tx<'_>, &mut SourceRecord) -> Result<(), FetchError> + Send + 'static,
    {
        self.store()
            .transact(move |tx: &mut Tx<'_>| {
                let key = source_key(id);
                let before: SourceRecord = filing::load(tx, account.realm(), &key)?.ok_or(FetchError::NoSuchSource)?;
                let mut record = before.clone();
                change(tx, &mut record)?;
                if record != before {
                    tx.put(account.realm(), key, record.encode_to_vec());
                }
                Ok::<_, FetchError>(())
            })
            .await?;
        self.is_due(account, id, self.now_ms());
        Ok(())
    }

    /// Removes a source. The mail that was fetched stays.
    ///
    /// # Errors
    /// [`FetchError::NoSuchSource`]; those of the store.
    pub async fn remove(&self, account: AccountId, id: u64) -> Result<(), FetchError> {
        self.stop_run(account, id);
        let directory = self.inner.services.directory.clone();
        self.store()
            .transact(move |tx: &mut Tx<'_>| {
                let key = source_key(id);
                tx.get(account.realm(), &key)?.ok_or(FetchError::NoSuchSource)?;
                tx.delete(account.realm(), key);
                directory.forget_secret_in(tx, account, id);
                Ok::<_, FetchError>(())
            })
            .await?;
        self.inner.agenda.lock().remove(&(account, id));
        // What a crash leaves of these is cleared away by the daily upkeep.
        clear(self.store(), account.realm(), id).await?;
        Ok(())
    }
}

/// From the beginning of its patience.
fn begin_again(record: &mut SourceRecord, now_ms: i64) {
    record.state = State::Active.number();
    (record.failures, record.due_ms, record.told) = (0, now_ms, false);
    record.error.clear();
}

fn checked(password: &str) -> Result<zeroize::Zeroizing<String>, FetchError> {
    if password.is_empty() || password.len() > MAX_PASSWORD_BYTES || password.contains(['\0', '\r', '\n']) {
        return Err(FetchError::BadPassword);
    }
    Ok(zeroize::Zeroizing::new(password.to_owned()))
}

/// Clears away what is remembered of a source's messages, step by step.
pub(crate) async fn clear(store: &store::Store, account: RealmId, id: u64) -> Result<(), StoreError> {
    for prefix in [remotes_key(id), all_seen_key(id)] {
        loop {
            let prefix = prefix.clone();
            let cleared = store.transact(move |tx: &mut Tx<'_>| {
                tx.keeps_books();
                let mut keys = Vec::new();
                for row in tx.prefix(account, &prefix, Order::Ascending)?.take(NOTES_PER_COMMIT) {
                    keys.push(row?.0.to_vec());
                }
                let count = keys.len();
                for key in keys {
                    tx.delete(account, key);
                }
                Ok::<_, StoreError>(count)
            });
            if cleared.await? < NOTES_PER_COMMIT {
                break;
            }
        }
    }
    Ok(())
}
