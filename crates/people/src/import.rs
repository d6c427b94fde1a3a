//! Taking a file in: the same file twice changes nothing the second time.

pub use crate::incoming::{Incoming, IncomingCard, IncomingGroup, MAX_PROBLEMS, Problem};

use std::collections::BTreeMap;

use store::{RealmId, Tx};

use crate::schema;
use crate::{
    Card, ContactId, GroupId, MAX_MEMBERS, MAX_ROWS_PER_COMMIT, People, PeopleError, Result, book, csv, groups, vcard,
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
    /// Skipped entries, and why.
    pub problems: Vec<Problem>,
}

/// Read a file: vCard if it looks like it, else a table.
pub fn read(file: &[u8]) -> Incoming {
    let start = crate::incoming::utf8(&file[..file.len().min(4096)]).to_ascii_uppercase();
    if start.windows(11).any(|part| part == b"BEGIN:VCARD") { vcard::read(file) } else { csv::read(file) }
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
        let Incoming { mut cards, groups: sets, problems } = incoming;
        let mut done = Imported { problems, ..Imported::default() };
        let mut count = 0;
        while !cards.is_empty() {
            let rest = cards.split_off(cards.len().min(MAX_ROWS_PER_COMMIT));
            let step = std::mem::replace(&mut cards, rest);
            count += step.len();
            let report = self
                .commit(move |tx| {
                    let mut report = Imported::default();
                    let mut names: BTreeMap<String, GroupId> = BTreeMap::new();
                    for incoming in step {
                        take(tx, account, incoming, &mut names, &mut report)?;
                    }
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
                    who.extend(book::numbers(tx, account, &schema::uid_prefix(uid))?);
                }
            }
            groups::join(tx, account, group, &who)
        })
        .await
    }
}

fn take(
    tx: &mut Tx<'_>,
    account: RealmId,
    incoming: IncomingCard,
    names: &mut BTreeMap<String, GroupId>,
    report: &mut Imported,
) -> Result<()> {
    let IncomingCard { line, card, groups: wanted } = incoming;
    let found = find(tx, account, &card)?;
    let (id, mut changed) = match found {
        Some(id) => {
            let mut mine = book::load(tx, account, id)?;
            let changed = mine.absorb(&card);
            if changed {
                match mine.checked() {
                    Ok(mine) => {
                        book::write(tx, account, id, Some(mine))?;
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
            book::write(tx, account, id, Some(card))?;
            (id, false)
        }
    };
    let is_in = groups::of_contact(tx, account, id)?;
    for name in wanted {
        let group = match names.get(&name) {
            Some(group) => *group,
            None => match groups::get_or_create_in(tx, account, &name) {
                Ok(group) => *names.entry(name).or_insert(group),
                Err(PeopleError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    report.problems.push(Problem { line, what: format!("group \u{201c}{name}\u{201d}: {error}") });
                    continue;
                }
            },
        };
        if !is_in.contains(&group) {
            groups::join(tx, account, group, &[id])?;
            changed = true;
        }
    }
    *match (found, changed) {
        (None, _) => &mut report.added,
        (Some(_), true) => &mut report.changed,
        (Some(_), false) => &mut report.known,
    } += 1;
    Ok(())
}

/// The contact that a card is of.
fn find(tx: &Tx<'_>, account: RealmId, card: &Card) -> Result<Option<ContactId>> {
    if !card.uid.is_empty()
        && let Some(id) = book::numbers(tx, account, &schema::uid_prefix(&card.uid))?.first()
    {
        return Ok(Some(*id));
    }
    let same = |known: &Card| known.title() == card.title() || known.other_names.contains(&card.name);
    for address in &card.addresses {
        for id in book::holders(tx, account, &address.address)? {
            if same(&book::load(tx, account, id)?) {
                return Ok(Some(id));
            }
        }
    }
    if card.addresses.is_empty() {
        for id in book::numbers(tx, account, &schema::sorted_prefix(card))? {
            let known = book::load(tx, account, id)?;
            if known.addresses.is_empty() && same(&known) {
                return Ok(Some(id));
            }
        }
    }
    Ok(None)
}
