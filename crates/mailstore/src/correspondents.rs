//! People written to, for completing addresses.

use store::{Order, Read, RealmId, Tx};

use crate::mailbox::state_of;
use crate::schema::{self, CorrespondentRecord, DAY_MS, key};
use crate::{MailStore, Result, counter::stepped};

/// Longest address that is remembered: what fits a key, and more than RFC 5321 lets through.
const MAX_ADDRESS_BYTES: usize = 320;
/// Longest name that is remembered, in characters.
const MAX_NAME_CHARS: usize = 120;

/// Most correspondents that an account remembers; the one longest not written to makes room.
pub const MAX_CORRESPONDENTS: usize = 2_000;

/// Someone written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correspondent {
    /// The name as last written; may be empty.
    pub name: String,
    /// The address as last written.
    pub address: String,
    /// How many messages went there.
    pub count: u32,
    /// When the last one did, milliseconds since 1970 UTC.
    pub last_ms: i64,
}

impl MailStore {
    /// Remember that the account wrote to these (name, address) pairs now. Addresses that are too long for a key
    /// (RFC 5321 allows 254 bytes) are passed over.
    pub fn remember_correspondents_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        people: &[(String, String)],
    ) -> Result<()> {
        let mut state = state_of(tx, account)?;
        let now_ms = tx.now_ms();
        for (name, address) in people.iter().take(MAX_CORRESPONDENTS) {
            if address.is_empty() || address.len() > MAX_ADDRESS_BYTES {
                continue;
            }
            let at = key::correspondent(&address.to_lowercase());
            let old: Option<CorrespondentRecord> = schema::load(tx, account, &at)?;
            if old.is_none() {
                if state.correspondents as usize >= MAX_CORRESPONDENTS {
                    forget_oldest(tx, account)?;
                } else {
                    state.correspondents += 1;
                }
            }
            let mut record = old.unwrap_or_default();
            if !name.is_empty() {
                record.name = name.chars().take(MAX_NAME_CHARS).collect();
            }
            record.address.clone_from(address);
            record.count = record.count.saturating_add(1);
            record.last_ms = now_ms;
            schema::save(tx, account, at, &record);
        }
        schema::save(tx, account, key::state(), &state);
        Ok(())
    }

    /// Whether an address, in any case, is among the remembered. Quick: for use inside commits.
    pub fn is_correspondent_in(&self, read: &(impl Read + ?Sized), account: RealmId, address: &str) -> Result<bool> {
        if address.is_empty() || address.len() > MAX_ADDRESS_BYTES {
            return Ok(false);
        }
        Ok(read.get(account, &key::correspondent(&address.to_lowercase()))?.is_some())
    }

    /// Correspondents whose address, or a word of whose name, begins with `prefix` in any case: often and lately
    /// written to first. All, for an empty prefix.
    pub fn correspondents(&self, account: RealmId, prefix: &str, limit: usize) -> Result<Vec<Correspondent>> {
        let snapshot = self.store().snapshot();
        let in_address = prefix.to_lowercase();
        let prefix = mailkit::fold::loose(prefix);
        let mut found = Vec::new();
        for row in snapshot.prefix(account, &[key::CORRESPONDENT], Order::Ascending)? {
            let (at, value) = row?;
            let record: CorrespondentRecord = schema::decode(&at, value)?;
            let name = mailkit::fold::loose(&record.name);
            let mut words = name.split(|c: char| !c.is_alphanumeric());
            if at[1..].starts_with(in_address.as_bytes())
                || name.starts_with(&prefix)
                || words.any(|word| !word.is_empty() && word.starts_with(&prefix))
            {
                found.push(record);
            }
        }
        let now_ms = self.store().clock().now_ms();
        let rank = |record: &CorrespondentRecord| {
            // A message counts half as much for every 30 days that have passed since the last one.
            let months = now_ms.saturating_sub(record.last_ms).max(0) / (30 * DAY_MS);
            (u64::from(record.count.min(1 << 20)) << 30) >> months.min(60)
        };
        found.sort_by(|a, b| rank(b).cmp(&rank(a)).then(b.last_ms.cmp(&a.last_ms)));
        found.truncate(limit);
        let correspondent = |r: CorrespondentRecord| Correspondent {
            name: r.name,
            address: r.address,
            count: r.count,
            last_ms: r.last_ms,
        };
        Ok(found.into_iter().map(correspondent).collect())
    }

    /// Whether the account wrote to that very address: it is remembered, or among the newest messages in Sent.
    pub fn has_written_to(&self, account: RealmId, address: &str) -> Result<bool> {
        let address = address.to_lowercase();
        if address.is_empty() || address.len() > MAX_ADDRESS_BYTES {
            return Ok(false);
        }
        let known: Option<CorrespondentRecord> =
            schema::load(&self.store().snapshot(), account, &key::correspondent(&address))?;
        if known.is_some() {
            return Ok(true);
        }
        self.is_in_sent(account, &address)
    }

    /// Whether an address, in any case, is remembered as one that was written to. One look-up.
    pub fn is_correspondent(&self, account: RealmId, address: &str) -> Result<bool> {
        let is_key = !address.is_empty() && address.len() <= MAX_ADDRESS_BYTES;
        Ok(is_key && self.store().snapshot().get(account, &key::correspondent(&address.to_lowercase()))?.is_some())
    }

    /// Forget a correspondent.
    pub async fn forget_correspondent(&self, account: RealmId, address: String) -> Result<()> {
        self.commit(move |_, tx| {
            let at = key::correspondent(&address.to_lowercase());
            if tx.get(account, &at)?.is_some() {
                let mut state = state_of(tx, account)?;
                state.correspondents = stepped("correspondents", state.correspondents, -1);
                tx.delete(account, at);
                schema::save(tx, account, key::state(), &state);
            }
            Ok(())
        })
        .await
    }
}

fn forget_oldest(tx: &mut Tx<'_>, account: RealmId) -> Result<()> {
    let mut oldest: Option<(i64, Vec<u8>)> = None;
    for (at, value) in schema::rows(tx, account, &[key::CORRESPONDENT], usize::MAX)? {
        let last_ms = schema::decode::<CorrespondentRecord>(&at, value)?.last_ms;
        if oldest.as_ref().is_none_or(|(oldest, _)| last_ms < *oldest) {
            oldest = Some((last_ms, at.to_vec()));
        }
    }
    if let Some((_, at)) = oldest {
        tx.delete(account, at);
    }
    Ok(())
}
