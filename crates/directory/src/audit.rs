//! The audit trail: who did what, to whom, from where, when.
//!
//! There are two kinds of trail: the service's, in the directory realm, and one of each account, in its own realm. What is done
//! to an account stands in both, with the account's number and the address that it had then, so that a reader finds a name
//! even when the account has another one now, or is gone.

use std::ops::Bound;

use prost::Message as _;
use store::{Order, Read, RealmId, StoreError, Tx};

use crate::{
    AccountId, Directory, DirectoryError, Result, account,
    schema::{self, AuditRecord, decode},
};

const DAY_MS: i64 = 86_400_000;
/// How long entries are kept.
const KEEP_MS: i64 = 400 * DAY_MS;
/// Entries past their time that are forgotten when one is written.
const FORGET_AT_ONCE: usize = 4;
/// The longest text of an entry.
const MAX_TEXT_BYTES: usize = 500;
/// What an account does to itself stands in the service's trail too, but not more often in a day: nobody can fill the
/// service's trail with acts of their own. The account's trail has all of them.
const OWN_ACTS_A_DAY: usize = 20;
/// Entries of a trail that one call looks at for those that a filter lets through.
const MAX_LOOKED_AT: usize = 200_000;

/// An entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The actor: an address, `command line`, or `service`.
    pub who: String,
    /// What.
    pub what: String,
    /// From which address; empty when from none.
    pub peer: String,
    /// The account that it was done to, if to one.
    pub about: Option<About>,
}

/// The account that something was done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its number.
    pub account: AccountId,
    /// The address that it had then.
    pub then: String,
    /// The address that it has now; none once it is deleted.
    pub now: Option<String>,
}

/// As `ann@example.org`, `ann@example.org (now anna@example.org)` or `ann@example.org (deleted)`.
impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.now {
            None => write!(f, "{} (deleted)", self.then),
            Some(now) if *now == self.then => f.write_str(now),
            Some(now) => write!(f, "{} (now {now})", self.then),
        }
    }
}

/// Which entries are wanted; all of them by default.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only what was done to this account, wherever it stands. It may be a deleted one.
    pub account: Option<AccountId>,
    /// Only from this moment on, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Only before this moment.
    pub before_ms: Option<i64>,
    /// Only by an actor whose name contains this, in upper or lower case; empty is everybody.
    pub who: String,
    /// Only entries that say this, in upper or lower case; empty is everything.
    pub what: String,
}

impl AuditFilter {
    /// Whether a record is of those that are wanted; which account it stands at and when is looked at elsewhere.
    fn admits(&self, record: &AuditRecord) -> bool {
        let holds = |text: &str, part: &str| part.is_empty() || text.to_lowercase().contains(&part.to_lowercase());
        holds(&record.who, self.who.trim()) && holds(&record.what, self.what.trim())
    }
}

/// Realm and first key byte of an account's trail, or of the service's.
const fn place(account: Option<AccountId>) -> (RealmId, u8) {
    match account {
        Some(account) => (account.realm(), schema::ACCOUNT_AUDIT),
        None => (RealmId::DIRECTORY, schema::AUDIT),
    }
}

fn cut(text: &str) -> String {
    text.chars()
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= MAX_TEXT_BYTES).then_some(c)
        })
        .collect()
}

fn key_at(first: u8, at_ms: i64) -> Vec<u8> {
    [&[first][..], &at_ms.to_be_bytes()].concat()
}

impl Directory {
    /// Writes an entry into the service's trail, and into that of the account that it was done to. Entries are kept for 400
    /// days.
    ///
    /// # Errors
    /// Those of the store; the account's realm may be closed.
    pub async fn audit(&self, account: Option<AccountId>, who: &str, what: &str, peer: &str) -> Result<()> {
        let record = Self::entry(account, who, what, peer);
        let transaction = move |tx: &mut Tx<'_>| {
            // What it tells of has commits of its own.
            tx.keeps_books();
            let mut record = record;
            let Some(id) = account else { return write(tx, None, &record) };
            record.address = account::record(tx, id)?.map(|account| account.address).unwrap_or_default();
            let own_acts = record.who.eq_ignore_ascii_case(&record.address);
            let many = own_acts && acts_of_today(tx, id)? >= OWN_ACTS_A_DAY;
            write(tx, account, &record)?;
            if many { Ok(()) } else { write(tx, None, &record) }
        };
        self.store().transact(transaction).await
    }

    /// The same about an account that is deleted: it stands in the service's trail only, since nothing is added to what such
    /// an account holds.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit_deleted(&self, account: AccountId, who: &str, what: &str, peer: &str) -> Result<()> {
        let record = Self::entry(Some(account), who, what, peer);
        let transaction = move |tx: &mut Tx<'_>| {
            tx.keeps_books();
            let address = account::record(tx, account)?.map(|account| account.address).unwrap_or_default();
            write(tx, None, &AuditRecord { address, ..record })
        };
        self.store().transact(transaction).await
    }

    fn entry(account: Option<AccountId>, who: &str, what: &str, peer: &str) -> AuditRecord {
        let account = account.map(|account| account.0);
        AuditRecord { who: cut(who), what: cut(what), peer: cut(peer), account, address: String::new() }
    }

    /// At most `limit` entries of a trail before a moment, newest first; some more when the last ones are of one moment, so
    /// that going on before that moment leaves none out.
    ///
    /// # Errors
    /// Those of the store.
    pub fn audit_trail(
        &self,
        account: Option<AccountId>,
        before_ms: Option<i64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>> {
        let filter = AuditFilter { before_ms, ..AuditFilter::default() };
        page(read(&self.store().snapshot(), account, &filter)?, limit)
    }

    /// At most `limit` entries that a filter lets through, newest first (see [`Self::audit_trail`]): of the service's trail,
    /// and for one account also of its own.
    ///
    /// # Errors
    /// Those of the store.
    pub fn audit_search(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditEntry>> {
        let snapshot = self.store().snapshot();
        let is_of_it = |row: &Result<(i64, AuditRecord)>| {
            row.as_ref().map_or(true, |(_, record)| filter.account.is_none_or(|one| record.account == Some(one.0)))
        };
        let services = wanted(&snapshot, None, filter)?.filter(is_of_it);
        let mut found = page(services.map(|row| shown(&snapshot, row?)), limit)?;
        let Some(account) = filter.account else { return Ok(found) };
        match read(&snapshot, Some(account), filter) {
            Ok(own) => {
                for entry in page(own, limit)? {
                    if !found.contains(&entry) {
                        found.push(entry);
                    }
                }
            }
            // Its own trail is not there yet; the service's is.
            Err(DirectoryError::Store(StoreError::NotRestored { .. })) => {}
            Err(error) => return Err(error),
        }
        found.sort_by_key(|entry| std::cmp::Reverse(entry.at_ms));
        page(found.into_iter().map(Ok), limit)
    }
}

/// The first `limit` entries, and those of the same moment as the last of them.
fn page(entries: impl Iterator<Item = Result<AuditEntry>>, limit: usize) -> Result<Vec<AuditEntry>> {
    let mut found: Vec<AuditEntry> = Vec::new();
    for entry in entries {
        let entry = entry?;
        if found.len() >= limit && found.last().is_none_or(|last| last.at_ms != entry.at_ms) {
            break;
        }
        found.push(entry);
    }
    Ok(found)
}

/// Adds an entry to a trail, and forgets a few that are past their time.
fn write(tx: &mut Tx<'_>, account: Option<AccountId>, record: &AuditRecord) -> Result<()> {
    let (realm, first) = place(account);
    let mut key = key_at(first, tx.now_ms());
    let same_moment = tx.prefix(realm, &key, Order::Ascending)?.count();
    key.extend_from_slice(&u16::try_from(same_moment).unwrap_or(u16::MAX).to_be_bytes());
    tx.put(realm, key, record.encode_to_vec());
    let past = key_at(first, tx.now_ms() - KEEP_MS);
    let old: Vec<_> = tx
        .range(realm, (Bound::Included(vec![first]), Bound::Excluded(past)), Order::Ascending)?
        .take(FORGET_AT_ONCE)
        .collect::<Result<_, _>>()?;
    for (key, _) in old {
        tx.delete(realm, key.to_vec());
    }
    Ok(())
}

/// Writes an entry about an account into its trail and the service's, in the commit that does what it tells of.
pub(crate) fn write_both_in(tx: &mut Tx<'_>, account: AccountId, record: &AuditRecord) -> Result<()> {
    write(tx, Some(account), record)?;
    write(tx, None, record)
}

/// Entries of an account's trail within the last day, counted up to [`OWN_ACTS_A_DAY`].
fn acts_of_today(tx: &Tx<'_>, account: AccountId) -> Result<usize> {
    let (realm, first) = place(Some(account));
    let since = key_at(first, tx.now_ms() - DAY_MS);
    let rows = tx.range(realm, (Bound::Included(since), Bound::Excluded(vec![first + 1])), Order::Descending)?;
    Ok(rows.take(OWN_ACTS_A_DAY).count())
}

/// A trail between the moments of a filter, newest first.
fn read<'a, R: Read>(
    snapshot: &'a R,
    account: Option<AccountId>,
    filter: &AuditFilter,
) -> Result<impl Iterator<Item = Result<AuditEntry>> + use<'a, R>> {
    Ok(wanted(snapshot, account, filter)?.map(move |row| shown(snapshot, row?)))
}

/// The entries of a trail that a filter lets through, as they are stored.
fn wanted<'a, R: Read>(
    snapshot: &'a R,
    account: Option<AccountId>,
    filter: &AuditFilter,
) -> Result<impl Iterator<Item = Result<(i64, AuditRecord)>> + use<'a, R>> {
    let filter = filter.clone();
    let rows = records(snapshot, account, &filter)?.take(MAX_LOOKED_AT);
    Ok(rows.filter(move |row| row.as_ref().map_or(true, |(_, record)| filter.admits(record))))
}

/// The same as it is stored.
fn records<'a, R: Read>(
    snapshot: &'a R,
    account: Option<AccountId>,
    filter: &AuditFilter,
) -> Result<impl Iterator<Item = Result<(i64, AuditRecord)>> + use<'a, R>> {
    let (realm, first) = place(account);
    let begin = filter.since_ms.map_or_else(|| vec![first], |moment| key_at(first, moment));
    let end = filter.before_ms.map_or_else(|| vec![first + 1], |moment| key_at(first, moment));
    let end = end.max(begin.clone());
    let rows = snapshot.range(realm, (Bound::Included(begin), Bound::Excluded(end)), Order::Descending)?;
    Ok(rows.map(|row| {
        let (key, value) = row?;
        let at = key
            .get(1..9)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| DirectoryError::damaged(store::Cause::Decoding, "an audit entry's key".to_owned()))?;
        Ok((i64::from_be_bytes(at), decode("an audit entry", &value)?))
    }))
}

fn shown(snapshot: &impl Read, (at_ms, record): (i64, AuditRecord)) -> Result<AuditEntry> {
    let AuditRecord { who, what, peer, account, address } = record;
    let Some(number) = account else {
        return Ok(AuditEntry { at_ms, who, what: named(snapshot, &what)?, peer, about: None });
    };
    let account = AccountId(number);
    let known = account::record(snapshot, account)?;
    let now = known.filter(|account| account.deleted_ms.is_none()).map(|account| account.address);
    Ok(AuditEntry { at_ms, who, what, peer, about: Some(About { account, then: address, now }) })
}

/// What older versions wrote names accounts by number; a reader knows them by their address, which the number keeps when
/// the account is deleted.
fn named(snapshot: &impl Read, what: &str) -> Result<String> {
    let mut words = Vec::new();
    for word in what.split(' ') {
        let number = word.parse::<u32>().ok().filter(|_| words.last().is_some_and(|before| before == "account"));
        match number.map(|number| account::record(snapshot, AccountId(number))).transpose()?.flatten() {
            Some(account) => words.push(account.address),
            None => words.push(word.to_owned()),
        }
    }
    Ok(words.join(" "))
}
