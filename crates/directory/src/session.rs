//! Browsers that are signed in.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use prost::Message as _;
use store::{Order, Read as _, Snapshot, StoreError, Tx};

use crate::ids::{PasskeyId, SessionId};
use crate::{
    AccountId, Directory, DirectoryError, Result,
    schema::{self, SessionRecord, decode},
};

const TOKEN_BYTES: usize = 32;
/// A session that is not used ends.
const IDLE_MS: i64 = 14 * 86_400_000;
/// A session ends, used or not.
const ABSOLUTE_MS: i64 = 90 * 86_400_000;
/// For how long a password that was asked for again need not be asked for again: ten minutes.
pub const CONFIRMED_FOR_MS: i64 = 600_000;
/// Between two notes of its use.
const NOTE_USE_EVERY_MS: i64 = 600_000;
/// Sessions of one account; the oldest end when there are more.
const MAX_SESSIONS: usize = 100;
/// The most characters kept of a browser's name.
const MAX_AGENT_BYTES: usize = 200;

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// When it began, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last seen, to ten minutes.
    pub seen_ms: i64,
    /// The address it began at.
    pub peer: String,
    /// The browser's name.
    pub agent: String,
    /// When its user last typed the password again, in milliseconds since 1970; 0 is never.
    pub confirmed_ms: i64,
    /// The passkey that it began with, if one was used.
    pub passkey: Option<PasskeyId>,
}

fn key(id: SessionId) -> Vec<u8> {
    [&[schema::SESSION][..], &id.0].concat()
}

const fn is_over(record: &SessionRecord, now_ms: i64) -> bool {
    now_ms - record.seen_ms > IDLE_MS || now_ms - record.created_ms > ABSOLUTE_MS
}

fn session(account: AccountId, id: SessionId, record: SessionRecord) -> Session {
    let SessionRecord { created_ms, seen_ms, peer, agent, confirmed_ms, passkey } = record;
    let passkey = passkey.try_into().ok().map(PasskeyId);
    Session { id, account, created_ms, seen_ms, peer, agent, confirmed_ms, passkey }
}

/// The account that a token says it is of, and its secret.
fn parts(token: &str) -> Option<(AccountId, Vec<u8>)> {
    let bytes = BASE64.decode(token).ok()?;
    let (account, secret) = bytes.split_first_chunk::<4>().filter(|(_, secret)| secret.len() == TOKEN_BYTES)?;
    Some((AccountId(u32::from_be_bytes(*account)), secret.to_vec()))
}

/// Ends all sessions of an account but one.
pub(crate) fn end_all_in(tx: &mut Tx<'_>, account: AccountId, keep: Option<SessionId>) -> Result<()> {
    let keys: Vec<Vec<u8>> = tx
        .prefix(account.realm(), &[schema::SESSION], Order::Ascending)?
        .map(|row| row.map(|(key, _)| key.to_vec()))
        .collect::<Result<_, _>>()?;
    for key in keys {
        if keep.is_none_or(|keep| key[1..] != keep.0) {
            tx.delete(account.realm(), key);
        }
    }
    Ok(())
}

impl Directory {
    /// Begins a session; gives the token for the cookie, which is nowhere stored.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn create_session(&self, account: AccountId, peer: &str, agent: &str) -> Result<String> {
        self.create_session_by(account, None, peer, agent).await
    }

    /// The same for someone who has used a passkey: it ends when the passkey is removed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn create_session_by(
        &self,
        account: AccountId,
        passkey: Option<PasskeyId>,
        peer: &str,
        agent: &str,
    ) -> Result<String> {
        let secret: [u8; TOKEN_BYTES] = rand::random();
        let id = SessionId(self.keyed_hash("session", &secret));
        let token = BASE64.encode([&account.0.to_be_bytes()[..], &secret].concat());
        let mut end = agent.len().min(MAX_AGENT_BYTES);
        while !agent.is_char_boundary(end) {
            end -= 1;
        }
        let (peer, agent) = (peer.to_owned(), agent[..end].to_owned());
        let now = self.now_ms();
        let passkey = passkey.map(|id| id.0.to_vec()).unwrap_or_default();
        let begun = SessionRecord { created_ms: now, seen_ms: now, peer, agent, confirmed_ms: 0, passkey };
        let unkept = begun.clone();
        let kept = self
            .store()
            // Who can't be signed in can't read either: that must not wait for another machine.
            .transact_here(move |tx| {
                tx.keeps_books();
                let now = tx.now_ms();
                let mut existing = Vec::new();
                for row in tx.prefix(account.realm(), &[schema::SESSION], Order::Ascending)? {
                    let (key, value) = row?;
                    let record: SessionRecord = decode("a session", &value)?;
                    existing.push((record.seen_ms, is_over(&record, now), key.to_vec()));
                }
                existing.sort_unstable();
                let excess = (existing.len() + 1).saturating_sub(MAX_SESSIONS);
                for (number, (_, over, key)) in existing.into_iter().enumerate() {
                    if over || number < excess {
                        tx.delete(account.realm(), key);
                    }
                }
                let record = SessionRecord { created_ms: now, seen_ms: now, ..begun };
                tx.put(account.realm(), key(id), record.encode_to_vec());
                Ok::<_, DirectoryError>(())
            })
            .await;
        match kept {
            Ok(()) => {}
            Err(DirectoryError::Store(StoreError::Full)) if self.unkept().add(account, id, unkept) => {
                tracing::warn!(account = account.0, "the disk is full: keeping a session in memory only");
            }
            Err(error) => return Err(error),
        }
        Ok(token)
    }

    /// Nobody is signed in, or was lately, by what the account's credentials were.
    pub(crate) fn forget_logins(&self, account: AccountId) {
        self.inner.remembered.forget(account);
        self.unkept().forget(account, None);
        self.inner.watched.wake(account);
    }

    /// Whether a session goes on, in the store or in memory only.
    pub(crate) fn goes_on(&self, snapshot: &Snapshot, account: AccountId, id: SessionId) -> Result<bool> {
        let record = match snapshot.get(account.realm(), &key(id))? {
            Some(value) => Some(decode("a session", &value)?),
            None => self.unkept().of(account, id),
        };
        Ok(record.is_some_and(|record| !is_over(&record, self.now_ms())))
    }

    /// Stores a session that is in memory only, once disk space is free. Nobody waits for it.
    fn keep_session(&self, account: AccountId, id: SessionId) {
        let this = self.clone();
        drop(self.store().transact_here(move |tx| {
            tx.keeps_books();
            // It may have been ended in between.
            if let Some(record) = this.unkept().take(account, id) {
                tx.put(account.realm(), key(id), record.encode_to_vec());
            }
            Ok::<_, DirectoryError>(())
        }));
    }

    /// The session of a token, if it is valid.
    ///
    /// # Errors
    /// Those of the store.
    pub fn session(&self, token: &str) -> Result<Option<Session>> {
        let Some((account, secret)) = parts(token) else { return Ok(None) };
        let id = SessionId(self.keyed_hash("session", &secret));
        let record: SessionRecord = match self.store().snapshot().get(account.realm(), &key(id))? {
            Some(value) => decode("a session", &value)?,
            None => {
                let Some(record) = self.unkept().of(account, id) else { return Ok(None) };
                if self.store().has_room() {
                    self.keep_session(account, id);
                }
                record
            }
        };
        let now = self.now_ms();
        if is_over(&record, now) || self.account(account)?.is_none_or(|account| !account.enabled) {
            return Ok(None);
        }
        if now - record.seen_ms > NOTE_USE_EVERY_MS {
            // Nobody waits for it.
            drop(self.store().transact(move |tx| {
                tx.keeps_books();
                if let Some(value) = tx.get(account.realm(), &key(id))? {
                    let mut record: SessionRecord = decode("a session", &value)?;
                    record.seen_ms = tx.now_ms();
                    tx.put(account.realm(), key(id), record.encode_to_vec());
                }
                Ok::<_, DirectoryError>(())
            }));
        }
        Ok(Some(session(account, id, record)))
    }

    /// As [`Directory::session`], once the account's data is restored: see [`Directory::restored`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn session_when_restored(&self, token: &str) -> Result<Option<Session>> {
        if let Some((account, _)) = parts(token) {
            self.restored(account).await?;
        }
        self.session(token)
    }

    /// An account's active sessions, last seen first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn sessions(&self, account: AccountId) -> Result<Vec<Session>> {
        let now = self.now_ms();
        let snapshot = self.store().snapshot();
        let mut sessions = Vec::new();
        for row in snapshot.prefix(account.realm(), &[schema::SESSION], Order::Ascending)? {
            let (key, value) = row?;
            let record: SessionRecord = decode("a session", &value)?;
            let id = key[1..]
                .try_into()
                .map_err(|_| DirectoryError::damaged(store::Cause::Decoding, "a session's key".to_owned()))?;
            if !is_over(&record, now) {
                sessions.push(session(account, SessionId(id), record));
            }
        }
        let unkept = self.unkept().all_of(account).into_iter().filter(|(_, record)| !is_over(record, now));
        sessions.extend(unkept.map(|(id, record)| session(account, id, record)));
        sessions.sort_by_key(|session| std::cmp::Reverse(session.seen_ms));
        Ok(sessions)
    }

    /// Notes that the password was asked for again in a session, and was right: for some minutes it counts for what lasts.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn confirm_session(&self, account: AccountId, id: SessionId) -> Result<()> {
        self.store()
            .transact(move |tx| {
                tx.keeps_books();
                let Some(value) = tx.get(account.realm(), &key(id))? else { return Ok(()) };
                let mut record: SessionRecord = decode("a session", &value)?;
                record.confirmed_ms = tx.now_ms();
                tx.put(account.realm(), key(id), record.encode_to_vec());
                Ok(())
            })
            .await
    }

    /// Whether the password was asked for again in a session within the last [`CONFIRMED_FOR_MS`].
    pub fn is_confirmed(&self, session: &Session) -> bool {
        session.confirmed_ms > 0 && (0..CONFIRMED_FOR_MS).contains(&(self.now_ms() - session.confirmed_ms))
    }

    /// Ends a session. Does nothing when it is over.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end_session(&self, account: AccountId, id: SessionId) -> Result<()> {
        let was_unkept = self.unkept().take(account, id).is_some();
        self.inner.watched.wake(account);
        if was_unkept && !self.store().has_room() {
            return Ok(());
        }
        self.store()
            .transact(move |tx| {
                tx.keeps_books();
                tx.delete(account.realm(), key(id));
                Ok(())
            })
            .await
    }

    /// Ends all of an account's sessions but, if given, one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end_all_sessions(&self, account: AccountId, keep: Option<SessionId>) -> Result<()> {
        self.unkept().forget(account, keep);
        self.inner.watched.wake(account);
        self.store().transact(move |tx| end_all_in(tx, account, keep)).await
    }
}
