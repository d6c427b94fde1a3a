//! Metadata of an account and of its mailboxes (RFC 5464): named values that clients store.
//!
//! Values of the account itself are stored under mailbox number 0, which no mailbox has. Values of a mailbox stay when
//! it is renamed, and are deleted with it. MODSEQs of messages are not affected.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use store::{Read, RealmId, Tx};

use crate::mailbox::{mailbox_record, state_of};
use crate::schema::{self, MetadataRecord, State, key};
use crate::{
    MailError, MailStore, MailboxId, Result, Role,
    counter::{less, stepped},
};

/// Longest name of an entry, in bytes. Names are keys in the store, hence the bound.
pub const MAX_ENTRY_NAME_BYTES: usize = 255;
/// Most parts the name of an entry may have: `/private/comment` has two.
pub const MAX_ENTRY_DEPTH: usize = 20;
/// Longest value of an entry, in bytes.
pub const MAX_METADATA_VALUE_BYTES: usize = 64 << 10;
/// Most entries that a mailbox may have, and most that the account itself may have.
pub const MAX_METADATA_OF_ONE: usize = 100;
/// Most entries that an account and all its mailboxes may have together.
pub const MAX_METADATA_ENTRIES: usize = 1_000;
/// How many bytes names and values of all entries of an account may have together.
pub const MAX_METADATA_BYTES: usize = 1 << 20;

/// The entry that tells, and sets, the special use of a mailbox (RFC 6154 section 4).
pub const SPECIAL_USE_ENTRY: &str = "/private/specialuse";

/// What is wrong with the name of an entry (RFC 5464 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryNameError {
    /// It begins with neither `/private` nor `/shared`.
    #[error("a name that begins with /private/ or /shared/")]
    Scope,
    /// A part of it is empty: two slashes together, or one at its end.
    #[error("a name without empty parts")]
    Empty,
    /// It has a wildcard, a control character, or something that is not ASCII.
    #[error("a name of ASCII characters without wildcards")]
    Character,
    /// Longer than [`MAX_ENTRY_NAME_BYTES`].
    #[error("a name of at most 255 bytes")]
    TooLong,
    /// Deeper than [`MAX_ENTRY_DEPTH`].
    #[error("a name of at most 20 parts")]
    TooDeep,
}

/// The name of an entry, such as `/private/comment`, or one of the two tops alone. Case does not tell names apart.
#[derive(Clone, Debug)]
pub struct EntryName {
    spelled: String,
    folded: String,
}

impl EntryName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, EntryNameError> {
        if name.len() > MAX_ENTRY_NAME_BYTES {
            return Err(EntryNameError::TooLong);
        }
        if name.bytes().any(|b| !(b' '..=b'~').contains(&b) || matches!(b, b'*' | b'%')) {
            return Err(EntryNameError::Character);
        }
        let folded = name.to_ascii_lowercase();
        let Some(path) = folded.strip_prefix('/') else { return Err(EntryNameError::Scope) };
        let mut parts = path.split('/');
        if !matches!(parts.next(), Some("private" | "shared")) {
            return Err(EntryNameError::Scope);
        }
        if parts.any(str::is_empty) {
            return Err(EntryNameError::Empty);
        }
        if path.split('/').count() > MAX_ENTRY_DEPTH {
            return Err(EntryNameError::TooDeep);
        }
        Ok(Self { spelled: name.to_owned(), folded })
    }

    /// As it was spelled.
    pub fn as_str(&self) -> &str {
        &self.spelled
    }

    /// Whether it is `/private` or `/shared` itself, which hold entries and no value.
    pub fn is_top(&self) -> bool {
        !self.folded[1..].contains('/')
    }

    /// Whether it is below `/shared`.
    pub fn is_shared(&self) -> bool {
        self.folded.starts_with("/shared")
    }

    /// Whether `entry` is this one, or as far below it as `depth` says. Gives how it is told: in the spelling that was
    /// asked for, as far as it was.
    pub fn reaches(&self, entry: &str, depth: MetadataDepth) -> Option<String> {
        let (start, rest) = entry.split_at_checked(self.folded.len())?;
        let hit = start.eq_ignore_ascii_case(&self.folded)
            && match (rest.strip_prefix('/'), depth) {
                (None, _) => rest.is_empty(),
                (Some(_), MetadataDepth::Zero) => false,
                (Some(below), MetadataDepth::One) => !below.contains('/'),
                (Some(_), MetadataDepth::Infinity) => true,
            };
        hit.then(|| format!("{}{rest}", self.spelled))
    }
}

impl PartialEq for EntryName {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for EntryName {}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelled)
    }
}

/// How far below the entries that are named values are wanted, too (RFC 5464 section 4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetadataDepth {
    /// The entries themselves.
    #[default]
    Zero,
    /// Those right below them, too.
    One,
    /// All below them, too.
    Infinity,
}

/// An entry and its value; `None`: there is none.
pub type MetadataValue = (String, Option<Bytes>);

/// Which entries there are, by their names in lower case, each with the realm's sequence number when it was set: to see by what changed.
pub type MetadataMarks = BTreeMap<(Option<MailboxId>, String), u64>;

impl MailStore {
    /// Values of entries of a mailbox, or with `None` of the account, all of one moment. Each entry is told once. Of an
    /// entry that was asked for without those below it, it is told that there is none.
    ///
    /// # Errors
    /// [`MailError::MailboxGone`].
    pub fn metadata(
        &self,
        account: RealmId,
        of: Option<MailboxId>,
        entries: &[EntryName],
        depth: MetadataDepth,
    ) -> Result<Vec<MetadataValue>> {
        let snapshot = self.store().snapshot();
        let special_use = match of {
            Some(id) => Role::from_number(mailbox_record(&snapshot, account, id)?.role).and_then(Role::attribute),
            None => None,
        };
        let mut found: Vec<MetadataValue> = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        for entry in entries {
            let start = key::metadata(number_of(of), &entry.folded);
            let mut values = Vec::new();
            if depth == MetadataDepth::Zero {
                let record = schema::load::<MetadataRecord, _>(&snapshot, account, &start)?;
                values.push((entry.spelled.clone(), record.map(|record| record.value)));
            } else {
                for (at, value) in schema::rows(&snapshot, account, &start, MAX_METADATA_OF_ONE)? {
                    let record: MetadataRecord = schema::decode(&at, value)?;
                    if let Some(name) = entry.reaches(&record.name, depth) {
                        values.push((name, Some(record.value)));
                    }
                }
            }
            if let Some((attribute, name)) = special_use.zip(entry.reaches(SPECIAL_USE_ENTRY, depth)) {
                values.retain(|(other, _)| !other.eq_ignore_ascii_case(SPECIAL_USE_ENTRY));
                values.push((name, Some(Bytes::from_static(attribute.as_bytes()))));
            }
            for (name, value) in values {
                let folded = name.to_ascii_lowercase();
                if !seen.contains(&folded) {
                    seen.push(folded);
                    found.push((name, value));
                }
            }
        }
        Ok(found)
    }

    /// Set entries of a mailbox, or with `None` of the account: all of them or none. `None` as a value takes the entry
    /// away; the last change of an entry counts.
    ///
    /// # Errors
    /// [`MailError::MailboxGone`], [`MailError::TooLarge`] for a value or for all together,
    /// [`MailError::TooManyEntries`], [`MailError::RoleTaken`] and [`MailError::Forbidden`] for the special use.
    pub fn set_metadata_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        of: Option<MailboxId>,
        changes: &[(EntryName, Option<Bytes>)],
    ) -> Result<()> {
        let id = number_of(of);
        let inbox = match of {
            Some(id) => mailbox_record(tx, account, id)?.name == "INBOX",
            None => false,
        };
        let mut state = state_of(tx, account)?;
        let mut here = schema::rows(tx, account, &key::metadata_of(id), usize::MAX)?.len();
        for (entry, value) in changes {
            if entry.is_top() {
                return Err(MailError::Forbidden("/private and /shared have no value themselves"));
            }
            if let Some(id) = of.filter(|_| entry.folded == SPECIAL_USE_ENTRY) {
                match value.as_deref().filter(|value| !value.trim_ascii().is_empty()) {
                    // It has none, and nothing to lose.
                    None if inbox => {}
                    None => self.set_role_in(tx, account, id, None)?,
                    Some(attribute) => self.set_role_in(tx, account, id, Some(role_named(attribute)?))?,
                }
                continue;
            }
            let at = key::metadata(id, &entry.folded);
            if let Some(old) = schema::load::<MetadataRecord, _>(tx, account, &at)? {
                state.leave(&old);
                here -= 1;
            }
            let Some(value) = value else {
                tx.delete(account, at);
                continue;
            };
            if value.len() > MAX_METADATA_VALUE_BYTES {
                let what = "the bytes of a metadata value";
                return Err(MailError::TooLarge { what, limit: MAX_METADATA_VALUE_BYTES as u64 });
            }
            let revision = tx.next_realm_seq(account).0;
            let record = MetadataRecord { name: entry.spelled.clone(), value: value.clone(), revision };
            state.metadata_entries += 1;
            state.metadata_bytes += record.bytes();
            here += 1;
            schema::save(tx, account, at, &record);
        }
        if here > MAX_METADATA_OF_ONE {
            return Err(MailError::TooManyEntries(MAX_METADATA_OF_ONE));
        }
        if state.metadata_entries as usize > MAX_METADATA_ENTRIES {
            return Err(MailError::TooManyEntries(MAX_METADATA_ENTRIES));
        }
        if state.metadata_bytes > MAX_METADATA_BYTES as u64 {
            let what = "the bytes of all metadata of an account";
            return Err(MailError::TooLarge { what, limit: MAX_METADATA_BYTES as u64 });
        }
        schema::save(tx, account, key::state(), &state);
        Ok(())
    }

    /// [`Self::set_metadata_in`] as a commit of its own.
    pub async fn set_metadata(
        &self,
        account: RealmId,
        of: Option<MailboxId>,
        changes: Vec<(EntryName, Option<Bytes>)>,
    ) -> Result<()> {
        self.commit(move |this, tx| this.set_metadata_in(tx, account, of, &changes)).await
    }

    /// Which entries there are, and when each was set.
    pub fn metadata_marks(&self, account: RealmId) -> Result<MetadataMarks> {
        let rows = schema::rows(&self.store().snapshot(), account, &[key::METADATA], usize::MAX)?;
        let mut marks = MetadataMarks::new();
        for (at, value) in rows {
            let of = Some(key::mailbox_of(&at)?).filter(|id| id.0 != 0);
            let name = String::from_utf8_lossy(key::metadata_name(&at)).into_owned();
            marks.insert((of, name), schema::decode::<MetadataRecord>(&at, value)?.revision);
        }
        Ok(marks)
    }

    /// Give a mailbox that is made again what it had. If the account has become too full for that, it begins without.
    pub(crate) fn restore_metadata_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        mailbox: MailboxId,
        records: &[MetadataRecord],
    ) -> Result<()> {
        let state = state_of(tx, account)?;
        let bytes: u64 = records.iter().map(MetadataRecord::bytes).sum();
        if state.metadata_entries as usize + records.len() > MAX_METADATA_ENTRIES
            || state.metadata_bytes + bytes > MAX_METADATA_BYTES as u64
        {
            return Ok(());
        }
        let change = |record: &MetadataRecord| Some((EntryName::new(&record.name).ok()?, Some(record.value.clone())));
        let changes: Vec<_> = records.iter().filter_map(change).collect();
        self.set_metadata_in(tx, account, Some(mailbox), &changes)
    }

    /// Take away all entries of a mailbox that goes.
    pub(crate) fn drop_metadata(tx: &mut Tx<'_>, account: RealmId, state: &mut State, of: MailboxId) -> Result<()> {
        for (at, value) in schema::rows(tx, account, &key::metadata_of(of), usize::MAX)? {
            state.leave(&schema::decode(&at, value)?);
            tx.delete(account, at.to_vec());
        }
        Ok(())
    }
}

impl State {
    /// An entry is taken away, or replaced.
    fn leave(&mut self, record: &MetadataRecord) {
        self.metadata_entries = stepped("metadata entries", self.metadata_entries, -1);
        self.metadata_bytes = less("metadata bytes", self.metadata_bytes, record.bytes());
    }
}

/// All entries of a mailbox as they are stored.
pub(crate) fn metadata_of<R: Read + ?Sized>(read: &R, account: RealmId, of: MailboxId) -> Result<Vec<MetadataRecord>> {
    let rows = schema::rows(read, account, &key::metadata_of(of), usize::MAX)?;
    rows.into_iter().map(|(at, value)| schema::decode(&at, value)).collect()
}

fn number_of(of: Option<MailboxId>) -> MailboxId {
    of.unwrap_or(MailboxId(0))
}

/// The role that an attribute names. A mailbox has one at most.
fn role_named(attribute: &[u8]) -> Result<Role> {
    let named =
        |role: &Role| role.attribute().is_some_and(|a| a.as_bytes().eq_ignore_ascii_case(attribute.trim_ascii()));
    Role::ALL.into_iter().find(named).ok_or(MailError::Forbidden("a mailbox can't have that special use"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_entries_follow_the_rules() {
        for good in ["/private/comment", "/SHARED/vendor/x y", "/private", "/shared", "/private/vendor/a.b/c-d"] {
            assert_eq!(EntryName::new(good).map(|name| name.to_string()), Ok(good.to_owned()));
        }
        assert_eq!(EntryName::new("/private/Comment"), EntryName::new("/PRIVATE/comment"));
        let (long, deep) = (format!("/private/{}", "a".repeat(250)), format!("/shared{}", "/a".repeat(20)));
        for (wrong, why) in [
            ("", EntryNameError::Scope),
            ("/", EntryNameError::Scope),
            ("comment", EntryNameError::Scope),
            ("private/comment", EntryNameError::Scope),
            ("/privately/comment", EntryNameError::Scope),
            ("//private/comment", EntryNameError::Scope),
            ("/private/", EntryNameError::Empty),
            ("/private//comment", EntryNameError::Empty),
            ("/private/comment/", EntryNameError::Empty),
            ("/private/com*", EntryNameError::Character),
            ("/private/%", EntryNameError::Character),
            ("/private/a\u{7}", EntryNameError::Character),
            ("/private/\u{e9}", EntryNameError::Character),
            (&long, EntryNameError::TooLong),
            (&deep, EntryNameError::TooDeep),
        ] {
            assert_eq!(EntryName::new(wrong).err(), Some(why), "{wrong}");
        }
    }

    #[test]
    fn an_entry_reaches_as_far_down_as_was_asked() {
        use MetadataDepth::{Infinity, One, Zero};
        let name = EntryName::new("/private/A").unwrap();
        for (entry, depth, told) in [
            ("/private/a", Zero, Some("/private/A")),
            ("/private/a", Infinity, Some("/private/A")),
            ("/private/a/b", Zero, None),
            ("/private/a/B", One, Some("/private/A/B")),
            ("/private/a/b/c", One, None),
            ("/private/a/b/c", Infinity, Some("/private/A/b/c")),
            ("/private/ab", Infinity, None),
            ("/private", Infinity, None),
            ("/shared/a/b", Infinity, None),
        ] {
            assert_eq!(name.reaches(entry, depth).as_deref(), told, "{entry} {depth:?}");
        }
    }
}
