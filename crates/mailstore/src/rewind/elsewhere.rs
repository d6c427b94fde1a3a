//! Going back to what another store holds of an account: an archive has more than the log here reaches.
//!
//! A message is the same when it has the same bytes: then it has the number that it has here. One that is not here keeps
//! its own number where that can't mean anything else, and else gets one that was set aside for it. Mailboxes of another
//! account are found by their names.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use bytes::Bytes;
use prost::Message as _;
use store::{BodyId, Order, Past, Read, RealmId, RealmSeq, Rows, Seq, Snapshot, StagedBody, StoreError, body_of_key};

use super::{EmailId, EntryRecord, Kind, MailStore, RewindPlan, key};
use crate::Result;
use crate::mailbox::state_of;
use crate::rows::{body_id, email_record};
use crate::schema::{self, State};

/// Where the numbers of another account's mailboxes begin: far above those that are given out.
const MAILBOXES: u32 = 1 << 31;

/// What another store holds of an account.
pub struct HeldElsewhere {
    /// Its records.
    pub records: Snapshot,
    /// The account's realm there.
    pub realm: RealmId,
    /// The last commit that counts.
    pub seq: Seq,
    /// It is this account, and not one that had its address.
    pub same: bool,
}

/// Gives the bytes of messages that are not here.
pub trait BodySource: Sync {
    /// Puts into `keep` what it has of some bodies; those that it does not have are left out. Blocks.
    ///
    /// # Errors
    /// When they could not be asked for: trying again later may help.
    fn bring(&self, ids: &[BodyId]) -> store::Result<Vec<StagedBody>>;
}

/// The numbers of emails there, as they are here.
#[derive(Debug, Default)]
struct Numbers {
    /// Those that are another number here, and back.
    here: HashMap<u64, u64>,
    there: HashMap<u64, u64>,
    /// Added to what stands in neither.
    emails: u64,
    mailboxes: u32,
}

impl Numbers {
    const fn is_same(&self) -> bool {
        self.emails == 0 && self.mailboxes == 0
    }

    fn pair(&mut self, there: u64, here: u64) {
        self.here.insert(there, here);
        self.there.insert(here, there);
    }

    fn email_here(&self, there: u64) -> u64 {
        self.here.get(&there).copied().unwrap_or_else(|| there.saturating_add(self.emails))
    }

    fn email_there(&self, here: u64) -> Option<u64> {
        self.there.get(&here).copied().or_else(|| {
            let there = here.checked_sub(self.emails)?;
            (!self.here.contains_key(&there)).then_some(there)
        })
    }
}

impl MailStore {
    /// The past of an account as another store holds it, for [`MailStore::plan_rewind`]. With `only_look` nothing is set
    /// aside for what would come back, and the result is for looking only. Blocks; memory grows with the messages whose
    /// numbers differ.
    ///
    /// # Errors
    /// Those of the stores.
    pub fn past_elsewhere(&self, account: RealmId, held: HeldElsewhere, only_look: bool) -> Result<Past> {
        let HeldElsewhere { records, realm, seq, same } = held;
        let (numbers, aside) = numbers(&self.store().snapshot(), account, &records, realm, same)?;
        let mut numbers = numbers;
        if let Some(aside) = aside {
            // Messages that arrive during this get higher numbers.
            let first = if only_look {
                state_of(&self.store().snapshot(), account)?.last_email
            } else {
                let set_aside = move |tx: &mut store::Tx<'_>| {
                    let mut state = state_of(tx, account)?;
                    let first = state.last_email;
                    state.last_email = first.saturating_add(aside.width);
                    schema::save(tx, account, key::state(), &state);
                    Ok::<_, crate::MailError>(first)
                };
                self.store().transact(set_aside).wait()?
            };
            if same {
                for there in aside.emails {
                    numbers.pair(there, first.saturating_add(there));
                }
            } else {
                numbers.emails = first;
            }
        }
        let now = self.store().snapshot();
        let is_plain = numbers.is_same() && numbers.here.is_empty() && realm == account;
        let then: Box<dyn Read + Send + Sync> =
            if is_plain { Box::new(records) } else { Box::new(Renumbered { records, realm, account, numbers }) };
        Ok(Past::elsewhere(now, account, then, seq))
    }

    /// The bodies that a plan needs and that are not here.
    ///
    /// # Errors
    /// Those of the stores.
    pub fn bodies_missing(&self, account: RealmId, past: &Past, plan: &RewindPlan) -> Result<HashSet<BodyId>> {
        let emails: BTreeSet<u64> =
            plan.steps.iter().filter(|step| matches!(step.kind, Kind::Add)).map(|step| step.entry.email).collect();
        let mut missing = HashSet::new();
        for email in emails.into_iter().map(EmailId) {
            let body = body_id(email, &email_record(past, account, email)?)?;
            match self.store().body_as_it_is(&body) {
                Ok(_) => {}
                Err(StoreError::BodyMissing { .. } | StoreError::BodyDamaged { .. }) => drop(missing.insert(body)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(missing)
    }
}

/// Numbers that have to be set aside here: so many, for emails of these numbers there.
struct Aside {
    width: u64,
    emails: Vec<u64>,
}

/// References to bodies, body by body: which emails have it.
struct Bodies<'a> {
    rows: std::iter::Peekable<Rows<'a>>,
}

impl<'a> Bodies<'a> {
    fn of(read: &'a Snapshot, realm: RealmId) -> Result<Self> {
        Ok(Self { rows: read.prefix(realm, &[store::BODY_REFERENCE], Order::Ascending)?.peekable() })
    }

    fn next(&mut self) -> Result<Option<(BodyId, Vec<u64>)>> {
        let mut found: Option<(BodyId, Vec<u64>)> = None;
        loop {
            match self.rows.peek() {
                Some(Ok((at, _))) => {
                    let (id, owner) = (body_of_key(at), at.get(33..).and_then(|owner| <[u8; 8]>::try_from(owner).ok()));
                    match (id, &mut found) {
                        (Some(id), Some((body, _))) if id != *body => return Ok(found),
                        (Some(id), found) => {
                            let (_, emails) = found.get_or_insert_with(|| (id, Vec::new()));
                            emails.extend(owner.map(u64::from_be_bytes));
                        }
                        (None, _) => {}
                    }
                    self.rows.next();
                }
                Some(Err(_)) => {
                    self.rows.next().transpose()?;
                }
                None => return Ok(found),
            }
        }
    }
}

/// Emails with what stands before their bodies.
fn with_prefixes(read: &Snapshot, account: RealmId, emails: Vec<u64>) -> Result<Vec<(u64, Option<Bytes>)>> {
    emails.into_iter().map(|email| Ok((email, crate::rows::prefix_of(read, account, EmailId(email))?))).collect()
}

/// Which emails are the same, by their bytes.
fn numbers(
    now: &Snapshot,
    account: RealmId,
    then: &Snapshot,
    realm: RealmId,
    same: bool,
) -> Result<(Numbers, Option<Aside>)> {
    let last_here = state_of(now, account)?.last_email;
    let last_there = schema::load::<State, _>(then, realm, &key::state())?.unwrap_or_default().last_email;
    let mut numbers = Numbers { mailboxes: if same { 0 } else { MAILBOXES }, ..Numbers::default() };
    let mut without = Vec::new();
    let (mut there, mut here) = (Bodies::of(then, realm)?, Bodies::of(now, account)?);
    let mut at_here = here.next()?;
    while let Some((body, mut emails)) = there.next()? {
        while at_here.as_ref().is_some_and(|(other, _)| *other < body) {
            at_here = here.next()?;
        }
        let mut known = at_here.as_ref().filter(|(other, _)| *other == body).map_or_else(Vec::new, |(_, e)| e.clone());
        // The same number first: what has it here is the same message.
        if same {
            emails.retain(|email| match known.iter().position(|other| other == email) {
                Some(at) => {
                    known.swap_remove(at);
                    false
                }
                None => true,
            });
        }
        known.sort_unstable();
        let mut known = if emails.is_empty() { Vec::new() } else { with_prefixes(now, account, known)? };
        for email in emails {
            // Those that share a body are told apart by what stands before it.
            let prefix = if known.is_empty() { None } else { crate::rows::prefix_of(then, realm, EmailId(email))? };
            match known.iter().position(|(_, other)| *other == prefix) {
                Some(at) => numbers.pair(email, known.remove(at).0),
                None if same && email <= last_here && now.get(account, &key::email(EmailId(email)))?.is_none() => {}
                None => without.push(email),
            }
        }
    }
    // A number that means another message here must not be kept by one that only happens to have it there.
    let aside = match (same, without.is_empty()) {
        (true, true) => None,
        (true, false) => {
            Some(Aside { width: last_there.max(without.iter().copied().max().unwrap_or(0)) + 1, emails: without })
        }
        (false, _) => Some(Aside { width: last_there.saturating_add(1), emails: Vec::new() }),
    };
    Ok((numbers, aside))
}

/// Another store's records of an account, with the numbers that they have here. Reads what a rewind reads.
struct Renumbered {
    records: Snapshot,
    realm: RealmId,
    account: RealmId,
    numbers: Numbers,
}

/// Where a key has the number of its mailbox right behind the kind.
const fn has_mailbox(kind: u8) -> bool {
    matches!(kind, key::MAILBOX | key::COUNTERS | key::METADATA | key::ENTRY)
}

impl Renumbered {
    fn of(&self, realm: RealmId) -> store::Result<()> {
        if realm == self.account {
            Ok(())
        } else {
            Err(StoreError::refused(format!("{realm}: it is not held elsewhere")))
        }
    }

    /// A key of here as it is there; none when there can be no such.
    fn there(&self, at: &[u8]) -> Option<Vec<u8>> {
        let mut at = at.to_vec();
        match at.first() {
            Some(kind) if has_mailbox(*kind) && at.len() >= 5 => {
                let here = u32::from_be_bytes(at[1..5].try_into().ok()?);
                at[1..5].copy_from_slice(&here.checked_sub(self.numbers.mailboxes)?.to_be_bytes());
            }
            Some(&(key::EMAIL | key::PLACE)) if at.len() >= 9 => {
                let here = u64::from_be_bytes(at[1..9].try_into().ok()?);
                at[1..9].copy_from_slice(&self.numbers.email_there(here)?.to_be_bytes());
                if at.len() >= 13 {
                    let here = u32::from_be_bytes(at[9..13].try_into().ok()?);
                    at[9..13].copy_from_slice(&here.checked_sub(self.numbers.mailboxes)?.to_be_bytes());
                }
            }
            _ => {}
        }
        Some(at)
    }

    /// A row of there as it is here.
    fn here(&self, (at, value): (Bytes, Bytes)) -> (Bytes, Bytes) {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("4 bytes"));
        let mailbox = |bytes: &[u8]| number(bytes).saturating_add(self.numbers.mailboxes).to_be_bytes();
        let mut key = at.to_vec();
        match at.first() {
            Some(&kind) if has_mailbox(kind) && at.len() >= 5 => {
                key[1..5].copy_from_slice(&mailbox(&at[1..5]));
            }
            Some(&(key::EMAIL | key::PLACE)) if at.len() >= 9 => {
                let there = u64::from_be_bytes(at[1..9].try_into().expect("8 bytes"));
                key[1..9].copy_from_slice(&self.numbers.email_here(there).to_be_bytes());
                if at.len() >= 13 {
                    key[9..13].copy_from_slice(&mailbox(&at[9..13]));
                }
            }
            _ => {}
        }
        let value = match at.first() {
            Some(&key::ENTRY) => match EntryRecord::decode(value.clone()) {
                Ok(mut entry) => {
                    entry.email = self.numbers.email_here(entry.email);
                    entry.encode_to_vec().into()
                }
                Err(_) => value,
            },
            Some(&(key::NAME | key::ROLE)) if value.len() == 4 => Bytes::copy_from_slice(&mailbox(&value)),
            _ => value,
        };
        (key.into(), value)
    }
}

impl Read for Renumbered {
    fn get(&self, realm: RealmId, at: &[u8]) -> store::Result<Option<Bytes>> {
        self.of(realm)?;
        let Some(there) = self.there(at) else { return Ok(None) };
        let value = self.records.get(self.realm, &there)?;
        Ok(value.map(|value| self.here((there.into(), value)).1))
    }

    /// Bounds are those of there: what has other numbers is read by prefix.
    fn range(&self, realm: RealmId, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> store::Result<Rows<'_>> {
        self.of(realm)?;
        let rows = self.records.range(self.realm, range, order)?;
        Ok(Rows::new(rows.map(|row| row.map(|row| self.here(row)))))
    }

    fn realm_seq(&self, realm: RealmId) -> RealmSeq {
        if realm == self.account { self.records.realm_seq(self.realm) } else { RealmSeq(0) }
    }

    fn prefix(&self, realm: RealmId, prefix: &[u8], order: Order) -> store::Result<Rows<'_>> {
        self.of(realm)?;
        let Some(there) = self.there(prefix) else { return Ok(Rows::new(std::iter::empty())) };
        let rows = self.records.prefix(self.realm, &there, order)?;
        Ok(Rows::new(rows.map(|row| row.map(|row| self.here(row)))))
    }
}
