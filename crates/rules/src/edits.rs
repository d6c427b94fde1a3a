//! Edits by a page: each says which version it was made on, and the last one can be taken back.

use prost::Message as _;
use store::{BodyId, Read, RealmId, StoreError, Tx};

use crate::schema::{LAST_EDIT, LastEditRecord, STATE, ScriptRecord, StateRecord, script_key};
use crate::scripts::{Result, Rules, RulesError, check, check_name, load, put_in, scripts};

/// The active script as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Current {
    /// Its name; empty if none is active.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Which version of it this is; empty if there is none.
    pub version: String,
}

/// A change of one script.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// The script.
    pub name: String,
    /// Its new text.
    pub text: String,
    /// The version that was looked at; empty: there was none of that name.
    pub seen: String,
    /// The script that was active then, if that matters. The edited one becomes the active one.
    pub active: Option<String>,
    /// Which edit this is: done twice, it is done once.
    pub key: Vec<u8>,
    /// What was done, as a sentence.
    pub note: String,
}

/// The last edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEdit {
    /// Which it is.
    pub key: Vec<u8>,
    /// What was done.
    pub note: String,
    /// It was taken back.
    pub undone: bool,
    /// The script is still as the edit left it: it can be taken back.
    pub undoable: bool,
}

/// Stands for a script's text under its name.
pub fn version(name: &str, text: &str) -> String {
    let hash = BodyId::of(format!("{}:{name}{text}", name.len()).as_bytes());
    hash.as_bytes()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of a script, if there is one of that name.
fn text_of<R: Read + ?Sized>(read: &R, account: RealmId, name: &str) -> Result<Option<String>, StoreError> {
    let found = read.get(account, &script_key(name))?;
    Ok(found.and_then(|value| ScriptRecord::decode(value).ok()).map(|record| record.text))
}

fn version_of<R: Read + ?Sized>(read: &R, account: RealmId, name: &str) -> Result<String, StoreError> {
    Ok(text_of(read, account, name)?.map(|text| version(name, &text)).unwrap_or_default())
}

impl Rules {
    /// The active script.
    ///
    /// # Errors
    /// Those of reading.
    pub fn current(&self, account: RealmId) -> Result<Current> {
        let snapshot = self.store.snapshot();
        let state: StateRecord = load(&snapshot, account, &[STATE])?;
        let text = text_of(&snapshot, account, &state.active)?.filter(|_| !state.active.is_empty());
        Ok(match text {
            Some(text) => Current { version: version(&state.active, &text), name: state.active, text },
            None => Current::default(),
        })
    }

    /// Changes a script that is still as it was looked at.
    ///
    /// # Errors
    /// [`RulesError::Changed`] if it is not; what is wrong with the text, and limits.
    pub async fn edit(&self, account: RealmId, edit: Edit) -> Result<()> {
        check_name(&edit.name)?;
        check(&edit.text).map_err(RulesError::Invalid)?;
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let last: LastEditRecord = load(tx, account, &LAST_EDIT)?;
                if !edit.key.is_empty() && last.key == edit.key {
                    return Ok(());
                }
                let state: StateRecord = load(tx, account, &[STATE])?;
                let before = text_of(tx, account, &edit.name)?;
                if version_of(tx, account, &edit.name)? != edit.seen
                    || edit.active.as_ref().is_some_and(|active| *active != state.active)
                {
                    return Err(RulesError::Changed(edit.name));
                }
                let record = LastEditRecord {
                    key: edit.key,
                    made: version(&edit.name, &edit.text),
                    before,
                    active_before: state.active.clone(),
                    note: edit.note,
                    undone: false,
                    name: edit.name.clone(),
                };
                let all = scripts(tx, account)?;
                put_in(tx, account, &all, &edit.name, edit.text)?;
                if edit.active.is_some() && state.active != edit.name {
                    tx.put(account, vec![STATE], StateRecord { active: edit.name }.encode_to_vec());
                }
                tx.put(account, LAST_EDIT.to_vec(), record.encode_to_vec());
                Ok(())
            })
            .await
    }

    /// The last edit, if it has that key.
    ///
    /// # Errors
    /// Those of reading.
    pub fn last_edit(&self, account: RealmId, key: &[u8]) -> Result<Option<LastEdit>> {
        let snapshot = self.store.snapshot();
        let record: LastEditRecord = load(&snapshot, account, &LAST_EDIT)?;
        if record.key != key || key.is_empty() {
            return Ok(None);
        }
        let undoable = !record.undone && version_of(&snapshot, account, &record.name)? == record.made;
        Ok(Some(LastEdit { key: record.key, note: record.note, undone: record.undone, undoable }))
    }

    /// Takes the last edit back, if it has that key and nothing has changed since. Whether it is taken back.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn undo_edit(&self, account: RealmId, key: &[u8]) -> Result<bool> {
        let key = key.to_vec();
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let mut last: LastEditRecord = load(tx, account, &LAST_EDIT)?;
                if last.key != key || (!last.undone && version_of(tx, account, &last.name)? != last.made) {
                    return Ok(false);
                }
                if last.undone {
                    return Ok(true);
                }
                let state: StateRecord = load(tx, account, &[STATE])?;
                match last.before.clone() {
                    Some(text) => {
                        let all = scripts(tx, account)?;
                        put_in(tx, account, &all, &last.name, text)?;
                    }
                    None => tx.delete(account, script_key(&last.name)),
                }
                if state.active == last.name && last.active_before != last.name {
                    let is_there = text_of(tx, account, &last.active_before)?.is_some();
                    let active = if is_there { last.active_before.clone() } else { String::new() };
                    tx.put(account, vec![STATE], StateRecord { active }.encode_to_vec());
                }
                last.undone = true;
                tx.put(account, LAST_EDIT.to_vec(), last.encode_to_vec());
                Ok(true)
            })
            .await
    }
}
