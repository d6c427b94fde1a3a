//! Groups: a name for several contacts.

use std::collections::BTreeSet;

use store::{Order, Read, RealmId, Tx};

use crate::ids::fresh_uid;
use crate::merge::BookGroup;
use crate::schema::{self, GroupRecord, RecordBack, state_of};
use crate::{
    ContactId, GroupId, MAX_GROUPS, MAX_LINE_BYTES, MAX_MEMBERS, MAX_ROWS_PER_COMMIT, People, PeopleError, Receipt,
    Result,
};

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Its members.
    pub members: Vec<ContactId>,
    /// vCard UID.
    pub uid: String,
}

impl From<Group> for BookGroup {
    fn from(group: Group) -> Self {
        Self { name: group.name, uid: group.uid, members: group.members.into_iter().collect() }
    }
}

impl People {
    /// All groups, by name.
    pub fn groups(&self, account: RealmId) -> Result<Vec<Group>> {
        let mut groups = all(&self.store.snapshot(), account)?;
        groups.sort_by_cached_key(|group| group.name.to_lowercase());
        Ok(groups)
    }

    /// The groups that a contact is in.
    pub fn groups_of(&self, account: RealmId, contact: ContactId) -> Result<Vec<GroupId>> {
        of_contact(&self.store.snapshot(), account, contact)
    }

    /// Make a group. Once for each `act_key`.
    ///
    /// # Errors
    /// [`PeopleError::NoName`], [`PeopleError::GroupExists`], [`PeopleError::TooMany`].
    pub async fn create_group(&self, account: RealmId, act_key: &[u8], name: &str) -> Result<Receipt> {
        let name = checked(name)?;
        self.act(account, act_key, move |tx, act| {
            free(tx, account, &name, None)?;
            act.note = format!("Group {name} created.");
            create_in(tx, account, name)?;
            Ok(())
        })
        .await
    }

    /// Rename a group.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchGroup`], [`PeopleError::NoName`], [`PeopleError::GroupExists`].
    pub async fn rename_group(&self, account: RealmId, id: GroupId, name: &str) -> Result<()> {
        let name = checked(name)?;
        self.commit(move |tx| {
            let mut group = load(tx, account, id)?;
            free(tx, account, &name, Some(id))?;
            group.name = name;
            schema::save(tx, account, schema::group(id), &group);
            Ok(())
        })
        .await
    }

    /// Delete a group. Its members stay. Once for each `act_key`; one that is gone already changes nothing.
    pub async fn delete_group(&self, account: RealmId, act_key: &[u8], id: GroupId) -> Result<Receipt> {
        self.act(account, act_key, move |tx, act| {
            let key = schema::group(id);
            let Some(before) = tx.get(account, &key)? else { return Ok(()) };
            let name = schema::decode::<GroupRecord>(&key, before.clone())?.name;
            act.note = format!("Group {name} deleted. Its members are still in your address book.");
            act.records.push(RecordBack { key, before: Some(before.to_vec()), after: None });
            write(tx, account, id, None)
        })
        .await
    }

    /// Put contacts into a group, or take them out. Idempotent.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchGroup`], [`PeopleError::NoSuchContact`], [`PeopleError::TooMany`].
    pub async fn set_members(&self, account: RealmId, id: GroupId, who: Vec<ContactId>, member: bool) -> Result<()> {
        if who.len() > MAX_ROWS_PER_COMMIT {
            return Err(PeopleError::TooMany { what: "contacts at once", limit: MAX_ROWS_PER_COMMIT as u64 });
        }
        self.commit(move |tx| if member { join(tx, account, id, &who) } else { leave(tx, account, id, &who) }).await
    }
}

pub(crate) fn checked(name: &str) -> Result<String> {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match name.trim() {
        "" => Err(PeopleError::NoName),
        name if name.len() > MAX_LINE_BYTES => Err(PeopleError::TooLong { what: "a name", limit: MAX_LINE_BYTES }),
        name => Ok(name.to_owned()),
    }
}

fn free(tx: &Tx<'_>, account: RealmId, name: &str, but: Option<GroupId>) -> Result<()> {
    match named(tx, account, name)?.filter(|group| Some(group.id) != but) {
        Some(group) => Err(PeopleError::GroupExists(group.name)),
        None => Ok(()),
    }
}

/// The group of that name in any case.
pub(crate) fn named<R: Read + ?Sized>(read: &R, account: RealmId, name: &str) -> Result<Option<Group>> {
    let name = name.to_lowercase();
    Ok(all(read, account)?.into_iter().find(|group| group.name.to_lowercase() == name))
}

pub(crate) fn create_in(tx: &mut Tx<'_>, account: RealmId, name: String) -> Result<GroupId> {
    let id = GroupId::random();
    write(tx, account, id, Some(BookGroup { name, uid: fresh_uid(), members: BTreeSet::new() }))?;
    Ok(id)
}

/// The group of that name, made if there is none.
pub(crate) fn get_or_create_in(tx: &mut Tx<'_>, account: RealmId, name: &str) -> Result<GroupId> {
    let name = checked(name)?;
    match named(tx, account, &name)? {
        Some(group) => Ok(group.id),
        None => create_in(tx, account, name),
    }
}

pub(crate) fn all<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for row in read.prefix(account, &[schema::GROUP], Order::Ascending)? {
        let (at, value) = row?;
        let record: GroupRecord = schema::decode(&at, value)?;
        let members = record.members.into_iter().map(ContactId).collect();
        groups.push(Group { id: GroupId(schema::last_number(&at)?), name: record.name, members, uid: record.uid });
    }
    Ok(groups)
}

pub(crate) fn of_contact<R: Read + ?Sized>(read: &R, account: RealmId, contact: ContactId) -> Result<Vec<GroupId>> {
    let mut groups = Vec::new();
    for row in read.prefix(account, &schema::members_of(contact), Order::Ascending)? {
        groups.push(GroupId(schema::last_number(&row?.0)?));
    }
    Ok(groups)
}

fn load(tx: &Tx<'_>, account: RealmId, id: GroupId) -> Result<GroupRecord> {
    schema::load(tx, account, &schema::group(id))?.ok_or(PeopleError::NoSuchGroup)
}

pub(crate) fn join(tx: &mut Tx<'_>, account: RealmId, id: GroupId, who: &[ContactId]) -> Result<()> {
    let mut group = load(tx, account, id)?;
    for contact in who {
        if tx.get(account, &schema::contact(*contact))?.is_none() {
            return Err(PeopleError::NoSuchContact);
        }
        if let Err(at) = group.members.binary_search(&contact.0) {
            group.members.insert(at, contact.0);
            tx.put(account, schema::member(*contact, id), Vec::new());
        }
    }
    if group.members.len() > MAX_MEMBERS {
        return Err(PeopleError::TooMany { what: "members of a group", limit: MAX_MEMBERS as u64 });
    }
    schema::save(tx, account, schema::group(id), &group);
    Ok(())
}

pub(crate) fn leave(tx: &mut Tx<'_>, account: RealmId, id: GroupId, who: &[ContactId]) -> Result<()> {
    let mut group = load(tx, account, id)?;
    for contact in who {
        if let Ok(at) = group.members.binary_search(&contact.0) {
            group.members.remove(at);
            tx.delete(account, schema::member(*contact, id));
        }
    }
    schema::save(tx, account, schema::group(id), &group);
    Ok(())
}

/// Put a contact into these groups, and out of all others.
pub(crate) fn set_groups(
    tx: &mut Tx<'_>,
    account: RealmId,
    id: ContactId,
    was_in: &[GroupId],
    groups: Vec<GroupId>,
) -> Result<()> {
    let wanted: BTreeSet<GroupId> = groups.into_iter().collect();
    for group in was_in.iter().filter(|group| !wanted.contains(group)) {
        leave(tx, account, *group, &[id])?;
    }
    for group in wanted.iter().filter(|group| !was_in.contains(group)) {
        join(tx, account, *group, &[id])?;
    }
    Ok(())
}

pub(crate) fn exists<R: Read + ?Sized>(read: &R, account: RealmId, id: GroupId) -> Result<bool> {
    Ok(read.get(account, &schema::group(id))?.is_some())
}

/// Make the group at `key` what it was.
pub(crate) fn restore(tx: &mut Tx<'_>, account: RealmId, key: &[u8], before: Option<Vec<u8>>) -> Result<()> {
    let group = match before {
        Some(before) => {
            let GroupRecord { name, members, uid } = schema::decode(key, before.into())?;
            Some(BookGroup { name, uid, members: members.into_iter().map(ContactId).collect() })
        }
        None => None,
    };
    write(tx, account, GroupId(schema::last_number(key)?), group)
}

/// Writes a whole group, or deletes it. Members that are not contacts are skipped.
pub(crate) fn write(tx: &mut Tx<'_>, account: RealmId, id: GroupId, group: Option<BookGroup>) -> Result<()> {
    let at = schema::group(id);
    let old: Option<GroupRecord> = schema::load(tx, account, &at)?;
    for contact in old.iter().flat_map(|old| &old.members) {
        tx.delete(account, schema::member(ContactId(*contact), id));
    }
    let mut state = state_of(tx, account)?;
    match group {
        Some(group) => {
            if old.is_none() {
                if state.groups >= MAX_GROUPS {
                    return Err(PeopleError::TooMany { what: "groups", limit: u64::from(MAX_GROUPS) });
                }
                state.groups += 1;
            }
            let mut members = Vec::new();
            for contact in group.members {
                if tx.get(account, &schema::contact(contact))?.is_some() {
                    members.push(contact.0);
                    tx.put(account, schema::member(contact, id), Vec::new());
                }
            }
            schema::save(tx, account, at, &GroupRecord { name: group.name, members, uid: group.uid });
        }
        None if old.is_some() => {
            state.groups = state.groups.saturating_sub(1);
            tx.delete(account, at);
        }
        None => {}
    }
    schema::save(tx, account, schema::state(), &state);
    Ok(())
}
