//! Scripts of accounts.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message as _;
use sieve::{Problems, Script, limits::MAX_SCRIPT_BYTES};
use store::{BodyId, Order, Read, RealmId, Store, StoreError, Tx};

use crate::edits::version;
use crate::schema::{
    REPLIED, SCRIPT, SEEN, STATE, ScriptRecord, StateRecord, UntilRecord, is_long, name_of, script_key,
};

/// Most scripts of one account.
pub const MAX_SCRIPTS: usize = 50;
/// Longest name of a script, in bytes (RFC 5804 section 1.6 wants 128 characters at least).
pub const MAX_NAME_BYTES: usize = 512;
/// Most bytes of all scripts of one account together.
pub const MAX_TOTAL_BYTES: usize = 2 * 1024 * 1024;
/// Checked scripts that are kept in memory.
const MAX_CHECKED: usize = 500;

/// Why scripts could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The script has errors.
    #[error("the script has errors:\n{0}")]
    Invalid(Problems),
    /// There is none of that name.
    #[error("there is no script named {0:?}")]
    NoSuchScript(String),
    /// There is one of that name already.
    #[error("there is a script named {0:?} already")]
    Exists(String),
    /// The active script can't be deleted.
    #[error("the script {0:?} is active: activate another first, or none")]
    Active(String),
    /// Someone else has changed, deleted or made it in between.
    #[error("the script {0:?} has been changed elsewhere: read it again before you change it")]
    Changed(String),
    /// The name can't be used.
    #[error("a script's name has 1 to {MAX_NAME_BYTES} bytes and no control characters or line separators")]
    BadName,
    /// Too many.
    #[error("an account can have {MAX_SCRIPTS} scripts")]
    TooMany,
    /// One is too large.
    #[error("a script can have {MAX_SCRIPT_BYTES} bytes")]
    ScriptTooLarge,
    /// Too large together.
    #[error("the scripts of an account can have {MAX_TOTAL_BYTES} bytes together")]
    TooLarge,
}

/// Result of this module.
pub type Result<T, E = RulesError> = std::result::Result<T, E>;

/// A script without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptSummary {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it is the active one.
    pub active: bool,
    /// When it was written, milliseconds since 1970 UTC.
    pub changed_ms: i64,
    /// Which version of it this is: see [`Edit::seen`](crate::Edit::seen).
    pub version: String,
}

/// The capabilities that scripts can require here, by their names.
pub fn capabilities() -> impl Iterator<Item = &'static str> {
    sieve::CAPABILITIES.iter().copied()
}

/// Checks a script.
///
/// # Errors
/// All that is wrong with it.
pub fn check(text: &str) -> Result<Script, Problems> {
    sieve::compile(text)
}

/// The key under which it is remembered that a person got a reply.
pub fn vacation_key(handle: &str, person: &str) -> Vec<u8> {
    hashed(REPLIED, handle, person)
}

/// The key under which it is remembered that a message was seen.
pub fn duplicate_key(handle: &str, id: &str) -> Vec<u8> {
    hashed(SEEN, handle, id)
}

fn hashed(kind: u8, first: &str, second: &str) -> Vec<u8> {
    let hash = BodyId::of(format!("{}:{first}{second}", first.len()).as_bytes());
    [&[kind], &hash.as_bytes()[..16]].concat()
}

pub(crate) fn load<R: Read + ?Sized, M: prost::Message + Default>(
    read: &R,
    account: RealmId,
    key: &[u8],
) -> Result<M, StoreError> {
    // What can't be read is reported by the part's check; here it is as if it were not there.
    Ok(read.get(account, key)?.and_then(|value| M::decode(value).ok()).unwrap_or_default())
}

/// The scripts of accounts. Cheap to clone.
#[derive(Clone)]
pub struct Rules {
    pub(crate) store: Store,
    checked: Arc<Mutex<HashMap<BodyId, Script>>>,
}

impl Rules {
    /// In that store.
    pub fn new(store: Store) -> Self {
        Self { store, checked: Arc::default() }
    }

    /// All scripts of an account, by name.
    ///
    /// # Errors
    /// Those of reading.
    pub fn list(&self, account: RealmId) -> Result<Vec<ScriptSummary>> {
        let snapshot = self.store.snapshot();
        let state: StateRecord = load(&snapshot, account, &[STATE])?;
        Ok(scripts(&snapshot, account)?
            .into_iter()
            .map(|(name, record)| ScriptSummary {
                bytes: record.text.len() as u64,
                active: name == state.active,
                changed_ms: record.changed_ms,
                version: version(&name, &record.text),
                name,
            })
            .collect())
    }

    /// The text of a script.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn get(&self, account: RealmId, name: &str) -> Result<String> {
        let found = self.store.snapshot().get(account, &script_key(name))?;
        let record = found.and_then(|value| ScriptRecord::decode(value).ok());
        record.map(|record| record.text).ok_or_else(|| RulesError::NoSuchScript(name.to_owned()))
    }

    /// Keeps a script under a name, in place of one that has it. It must be right.
    ///
    /// # Errors
    /// What is wrong with it, and limits.
    pub async fn put(&self, account: RealmId, name: &str, text: &str) -> Result<()> {
        check_name(name)?;
        if text.len() > MAX_SCRIPT_BYTES {
            return Err(RulesError::ScriptTooLarge);
        }
        check(text).map_err(RulesError::Invalid)?;
        let (name, text) = (name.to_owned(), text.to_owned());
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let all = scripts(tx, account)?;
                put_in(tx, account, &all, &name, text)
            })
            .await
    }

    /// Whether a script of that size could be put under a name now.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub fn check_room(&self, account: RealmId, name: &str, bytes: u64) -> Result<()> {
        check_name(name)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        check_room(&scripts(&self.store.snapshot(), account)?, name, bytes)
    }

    /// Makes a script the active one; without a name, none is.
    ///
    /// # Errors
    /// There is none of that name, or it is no longer right.
    pub async fn activate(&self, account: RealmId, name: Option<&str>) -> Result<()> {
        if let Some(name) = name {
            check(&self.get(account, name)?).map_err(RulesError::Invalid)?;
        }
        let active = name.unwrap_or_default().to_owned();
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                if !active.is_empty() && tx.get(account, &script_key(&active))?.is_none() {
                    return Err(RulesError::NoSuchScript(active));
                }
                tx.put(account, vec![STATE], StateRecord { active }.encode_to_vec());
                Ok(())
            })
            .await
    }

    /// Deletes a script that is not active.
    ///
    /// # Errors
    /// It is active, or there is none of that name.
    pub async fn delete(&self, account: RealmId, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let state: StateRecord = load(tx, account, &[STATE])?;
                if tx.get(account, &script_key(&name))?.is_none() {
                    return Err(RulesError::NoSuchScript(name));
                }
                if state.active == name {
                    return Err(RulesError::Active(name));
                }
                tx.delete(account, script_key(&name));
                Ok(())
            })
            .await
    }

    /// Gives a script another name. The active one stays active.
    ///
    /// # Errors
    /// There is none of the old name, or one of the new.
    pub async fn rename(&self, account: RealmId, from: &str, to: &str) -> Result<()> {
        check_name(to)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let Some(value) = tx.get(account, &script_key(&from))? else {
                    return Err(RulesError::NoSuchScript(from));
                };
                if tx.get(account, &script_key(&to))?.is_some() {
                    return Err(RulesError::Exists(to));
                }
                let record = ScriptRecord::decode(value).map_err(|_| RulesError::NoSuchScript(from.clone()))?;
                put_under(tx, account, &to, record);
                tx.delete(account, script_key(&from));
                let state: StateRecord = load(tx, account, &[STATE])?;
                if state.active == from {
                    tx.put(account, vec![STATE], StateRecord { active: to }.encode_to_vec());
                }
                Ok(())
            })
            .await
    }

    /// The name of the active script, if there is one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn active_name(&self, account: RealmId) -> Result<Option<String>> {
        let state: StateRecord = load(&self.store.snapshot(), account, &[STATE])?;
        Ok(Some(state.active).filter(|name| !name.is_empty()))
    }

    /// The active script with its name, if there is one.
    ///
    /// # Errors
    /// Those of reading; [`RulesError::Invalid`] if this version can't run it.
    pub fn active(&self, account: RealmId) -> Result<Option<(String, Script)>> {
        let Some(name) = self.active_name(account)? else { return Ok(None) };
        let text = self.get(account, &name)?;
        let id = BodyId::of(text.as_bytes());
        if let Some(script) = self.checked.lock().get(&id) {
            return Ok(Some((name, script.clone())));
        }
        let script = check(&text).map_err(RulesError::Invalid)?;
        let mut checked = self.checked.lock();
        if checked.len() >= MAX_CHECKED {
            checked.clear();
        }
        checked.insert(id, script.clone());
        Ok(Some((name, script)))
    }

    /// Whether what that key stands for is remembered still.
    ///
    /// # Errors
    /// Those of reading.
    pub fn remembers(&self, account: RealmId, key: &[u8], now_ms: i64) -> Result<bool> {
        Ok(load::<_, UntilRecord>(&self.store.snapshot(), account, key)?.until_ms > now_ms)
    }

    /// Forgets what was to be remembered until now.
    pub(crate) async fn forget_old(&self, account: RealmId) -> Result<(), StoreError> {
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let now_ms = tx.now_ms();
                for kind in [REPLIED, SEEN] {
                    let rows: Vec<_> = tx.prefix(account, &[kind], Order::Ascending)?.collect::<Result<_, _>>()?;
                    for (key, value) in rows {
                        if UntilRecord::decode(value).is_ok_and(|record| record.until_ms <= now_ms) {
                            tx.delete(account, key.to_vec());
                        }
                    }
                }
                Ok::<_, StoreError>(())
            })
            .await
    }
}

/// RFC 5804 section 1.6.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let is_forbidden = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let wrong = name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(is_forbidden);
    if wrong { Err(RulesError::BadName) } else { Ok(()) }
}

fn check_room(all: &[(String, ScriptRecord)], name: &str, bytes: usize) -> Result<()> {
    if bytes > MAX_SCRIPT_BYTES {
        return Err(RulesError::ScriptTooLarge);
    }
    let others = || all.iter().filter(|(other, _)| other != name);
    if others().count() >= MAX_SCRIPTS {
        return Err(RulesError::TooMany);
    }
    if others().map(|(_, record)| record.text.len()).sum::<usize>() + bytes > MAX_TOTAL_BYTES {
        return Err(RulesError::TooLarge);
    }
    Ok(())
}

/// Keeps a script that was checked, among all that there are.
pub(crate) fn put_in(
    tx: &mut Tx<'_>,
    account: RealmId,
    all: &[(String, ScriptRecord)],
    name: &str,
    text: String,
) -> Result<()> {
    check_room(all, name, text.len())?;
    let record = ScriptRecord { text, changed_ms: tx.now_ms(), long_name: String::new() };
    put_under(tx, account, name, record);
    Ok(())
}

fn put_under(tx: &mut Tx<'_>, account: RealmId, name: &str, record: ScriptRecord) {
    let long_name = if is_long(name) { name.to_owned() } else { String::new() };
    tx.put(account, script_key(name), ScriptRecord { long_name, ..record }.encode_to_vec());
}

pub(crate) fn scripts<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Vec<(String, ScriptRecord)>, StoreError> {
    let mut out = Vec::new();
    for row in read.prefix(account, &[SCRIPT], Order::Ascending)? {
        let (key, value) = row?;
        if let Ok(record) = ScriptRecord::decode(value)
            && let Some(name) = name_of(&key, &record)
        {
            out.push((name, record));
        }
    }
    Ok(out)
}
