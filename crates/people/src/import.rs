//! Taking a file in: the same file twice changes nothing the second time.

pub use crate::incoming::{Incoming, IncomingCard, IncomingGroup, MAX_PROBLEMS, Problem};

use std::collections::{BTreeMap, BTreeSet};

use store::{Read, RealmId, Tx};

use crate::image::left_out;
use crate::pictures::{self, MAX_ALL_PICTURES_BYTES};
use crate::schema;
use crate::{
    Card, ContactId, GroupId, MAX_MEMBERS, MAX_ROWS_PER_COMMIT, People, PeopleError, Result, ShelfId, csv, groups,
    records, shelves, vcard,
};

/// The largest file that is imported, in bytes.
pub const MAX_IMPORT_BYTES: usize = 32 << 20;

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// New contacts.
    pub added: usize,
    /// Contacts that learnt something.
    pub changed: usize,
    /// Contacts that were there, just so.
    pub known: usize,
    /// Skipped entries, and why: at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more_problems: usize,
}

/// What an import would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Contacts that are new.
    pub new: usize,
    /// Contacts that would learn something.
    pub changed: usize,
    /// Contacts that are there, just so.
    pub known: usize,
}

/// Whether a file looks like vCards.
pub fn is_vcard(file: &[u8]) -> bool {
    let start = crate::incoming::utf8(&file[..file.len().min(4096)]).to_ascii_uppercase();
    start.windows(11).any(|part| part == b"BEGIN:VCARD")
}

/// Read a file: vCard if it looks like it, else a table.
pub fn read(file: &[u8]) -> Incoming {
    if is_vcard(file) { vcard::read(file) } else { csv::read(file) }
}

impl People {
    /// Imports parsed contacts. An existing contact (same UID, else same name and an address) gets the new data and keeps
    /// its own. Uses commits of [`MAX_ROWS_PER_COMMIT`] contacts: after a crash or an error it can be repeated without
    /// duplicates. `tell` receives the number of processed cards.
    ///
    /// # Errors
    /// [`PeopleError::TooMany`] if the book is full; contacts imported before that stay.
    pub async fn import(
        &self,
        account: RealmId,
        incoming: Incoming,
        tell: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Imported> {
        self.import_into(account, None, incoming, tell).await
    }

    /// The same; new contacts go into this book, or into the first.
    ///
    /// # Errors
    /// As [`People::import`]; [`PeopleError::NoSuchBook`].
    pub async fn import_into(
        &self,
        account: RealmId,
        shelf: Option<ShelfId>,
        incoming: Incoming,
        tell: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Imported> {
        shelves::name_of(&self.store.snapshot(), account, shelf)?;
        let Incoming { mut cards, groups: sets, problems, more_problems } = incoming;
        let mut done = Imported { problems, more_problems, ..Imported::default() };
        let mut count = 0;
        while !cards.is_empty() {
            let rest = cards.split_off(cards.len().min(MAX_ROWS_PER_COMMIT));
            let step = std::mem::replace(&mut cards, rest);
            count += step.len();
            let report = self
                .commit(move |tx| {
                    let mut report = Imported::default();
                    let mut joins = Joins::default();
                    for incoming in step {
                        take(tx, account, incoming, (shelf, &mut joins), &mut report)?;
                    }
                    joins.finish(tx, account, &mut report)?;
                    Ok(report)
                })
                .await?;
            done.added += report.added;
            done.changed += report.changed;
            done.known += report.known;
            done.problems.extend(report.problems);
            tell(count);
        }
        for set in sets {
            let line = set.line;
            match self.import_group(account, set).await {
                Ok(()) => {}
                Err(PeopleError::Store(error)) => return Err(error.into()),
                Err(error) => done.problems.push(Problem { line, what: error.to_string() }),
            }
        }
        done.problems.sort_by_key(|problem| problem.line);
        done.more_problems += done.problems.len().saturating_sub(MAX_PROBLEMS);
        done.problems.truncate(MAX_PROBLEMS);
        Ok(done)
    }

    async fn import_group(&self, account: RealmId, set: IncomingGroup) -> Result<()> {
        if set.members.len() > MAX_MEMBERS {
            return Err(PeopleError::TooMany { what: "members of a group", limit: MAX_MEMBERS as u64 });
        }
        self.commit(move |tx| {
            let group = groups::get_or_create_in(tx, account, &set.name)?;
            let mut who = Vec::new();
            for uid in &set.members {
                // Apple writes the UID of a card plainly, and of a member as an urn.
                let plain = uid.strip_prefix("urn:uuid:").unwrap_or(uid);
                for uid in [uid, plain] {
                    who.extend(records::numbers(tx, account, &schema::uid_prefix(uid))?);
                }
            }
            groups::join(tx, account, group, &who)
        })
        .await
    }
}

/// The groups into which the contacts of one commit go: each group is written once.
#[derive(Default)]
struct Joins {
    names: BTreeMap<String, Option<GroupId>>,
    groups: BTreeMap<GroupId, (usize, Vec<ContactId>)>,
}

impl Joins {
    /// Put a contact into groups. Gives whether it was not in all of them.
    fn add(
        &mut self,
        tx: &mut Tx<'_>,
        account: RealmId,
        (line, contact, wanted): (usize, ContactId, Vec<String>),
        report: &mut Imported,
    ) -> Result<bool> {
        if wanted.is_empty() {
            return Ok(false);
        }
        let is_in = groups::of_contact(tx, account, contact)?;
        let mut joined = false;
        for name in wanted {
            let group = match self.names.get(&name) {
                Some(group) => *group,
                None => {
                    let group = match groups::get_or_create_in(tx, account, &name) {
                        Ok(group) => Some(group),
                        Err(PeopleError::Store(error)) => return Err(error.into()),
                        Err(error) => {
                            let what = format!("group \u{201c}{name}\u{201d}: {error}");
                            report.problems.push(Problem { line, what });
                            None
                        }
                    };
                    *self.names.entry(name).or_insert(group)
                }
            };
            if let Some(group) = group.filter(|group| !is_in.contains(group)) {
                self.groups.entry(group).or_insert((line, Vec::new())).1.push(contact);
                joined = true;
            }
        }
        Ok(joined)
    }

    fn finish(self, tx: &mut Tx<'_>, account: RealmId, report: &mut Imported) -> Result<()> {
        for (group, (line, contacts)) in self.groups {
            match groups::join(tx, account, group, &contacts) {
                Err(error @ PeopleError::TooMany { .. }) => {
                    report.problems.push(Problem { line, what: format!("not put into its group: {error}") });
                }
                other => other?,
            }
        }
        Ok(())
    }
}

/// Store the pictures of a card; those for which there is no room are left out.
fn take_pictures(
    tx: &mut Tx<'_>,
    account: RealmId,
    line: usize,
    (card, photos): (&mut Card, Vec<bytes::Bytes>),
    report: &mut Imported,
) -> Result<()> {
    for photo in photos {
        let hash = pictures::hash(&photo);
        match pictures::put(tx, account, photo, MAX_ALL_PICTURES_BYTES) {
            Err(PeopleError::Picture(error)) => {
                card.pictures.retain(|picture| picture.hash != hash);
                report.problems.push(Problem { line, what: left_out(error) });
            }
            other => other?,
        }
    }
    Ok(())
}

fn take(
    tx: &mut Tx<'_>,
    account: RealmId,
    incoming: IncomingCard,
    (shelf, joins): (Option<ShelfId>, &mut Joins),
    report: &mut Imported,
) -> Result<()> {
    let IncomingCard { line, mut card, groups: wanted, photos } = incoming;
    take_pictures(tx, account, line, (&mut card, photos), report)?;
    let found = find(tx, account, &card)?;
    let (id, mut changed) = match found {
        Some(id) => {
            let mut mine = records::load(tx, account, id)?;
            pictures::lift_in(tx, account, &mut mine)?;
            let changed = mine.absorb(&card);
            if changed {
                match mine.checked() {
                    Ok(mine) => {
                        records::write(tx, account, id, Some(mine))?;
                    }
                    Err(error) => {
                        report.problems.push(Problem { line, what: format!("skipped: {error}") });
                        return Ok(());
                    }
                }
            }
            (id, changed)
        }
        None => {
            let id = ContactId::random();
            card.shelf = shelves::number(shelf);
            records::write(tx, account, id, Some(card))?;
            (id, false)
        }
    };
    changed |= joins.add(tx, account, (line, id, wanted), report)?;
    *match (found, changed) {
        (None, _) => &mut report.added,
        (Some(_), true) => &mut report.changed,
        (Some(_), false) => &mut report.known,
    } += 1;
    Ok(())
}

impl People {
    /// What an import would do, for a preview: contacts that are twice in the file count once as new. Blocks.
    ///
    /// # Errors
    /// Those of reading.
    pub fn plan_import(&self, account: RealmId, incoming: &Incoming) -> Result<Planned> {
        let snapshot = self.store.snapshot();
        let mut planned = Planned::default();
        let mut seen = BTreeSet::new();
        for IncomingCard { card, .. } in &incoming.cards {
            match find(&snapshot, account, card)? {
                Some(id) => {
                    let mut mine = records::load(&snapshot, account, id)?;
                    mine.lift_pictures();
                    let changed = mine.absorb(card);
                    *if changed { &mut planned.changed } else { &mut planned.known } += 1;
                }
                None => {
                    let address = card.addresses.first().map_or("", |address| address.address.as_str());
                    let is_new = seen.insert(if card.uid.is_empty() {
                        format!("{}\0{}", card.title(), address.to_lowercase())
                    } else {
                        card.uid.clone()
                    });
                    *if is_new { &mut planned.new } else { &mut planned.known } += 1;
                }
            }
        }
        Ok(planned)
    }
}

/// The contact that a card is of.
fn find<R: Read + ?Sized>(tx: &R, account: RealmId, card: &Card) -> Result<Option<ContactId>> {
    if !card.uid.is_empty()
        && let Some(id) = records::numbers(tx, account, &schema::uid_prefix(&card.uid))?.first()
    {
        return Ok(Some(*id));
    }
    let same = |known: &Card| known.title() == card.title() || known.other_names.contains(&card.name);
    for address in &card.addresses {
        for id in records::holders(tx, account, &address.address)? {
            if same(&records::load(tx, account, id)?) {
                return Ok(Some(id));
            }
        }
    }
    if card.addresses.is_empty() {
        for id in records::numbers(tx, account, &schema::sorted_prefix(card))? {
            let known = records::load(tx, account, id)?;
            if known.addresses.is_empty() && same(&known) {
                return Ok(Some(id));
            }
        }
    }
    Ok(None)
}
