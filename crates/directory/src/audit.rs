//! The audit trail: who did what, from where, when.

use std::ops::Bound;

use prost::Message as _;
use store::{Order, Read as _, RealmId};

use crate::{
    AccountId, Directory, DirectoryError, Result,
    schema::{self, AuditRecord, decode},
};

/// How long entries are kept.
const KEEP_MS: i64 = 400 * 86_400_000;
/// Entries past their time that are forgotten when one is written.
const FORGET_AT_ONCE: usize = 4;
/// The longest text of an entry.
const MAX_TEXT_BYTES: usize = 500;

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

impl Directory {
    /// Writes an entry into an account's trail, or into the service's. Entries are kept for 400 days.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit(&self, account: Option<AccountId>, who: &str, what: &str, peer: &str) -> Result<()> {
        let record = AuditRecord { who: cut(who), what: cut(what), peer: cut(peer) };
        self.store()
            .transact(move |tx| {
                // The action itself has its own commits.
                tx.keeps_books();
                let (realm, first) = place(account);
                let mut key = [&[first][..], &tx.now_ms().to_be_bytes()].concat();
                let same_moment = tx.prefix(realm, &key, Order::Ascending)?.count();
                key.extend_from_slice(&u16::try_from(same_moment).unwrap_or(u16::MAX).to_be_bytes());
                tx.put(realm, key, record.encode_to_vec());
                let past = [&[first][..], &(tx.now_ms() - KEEP_MS).to_be_bytes()].concat();
                let old: Vec<_> = tx
                    .range(realm, (Bound::Included(vec![first]), Bound::Excluded(past)), Order::Ascending)?
                    .take(FORGET_AT_ONCE)
                    .collect::<Result<_, _>>()?;
                for (key, _) in old {
                    tx.delete(realm, key.to_vec());
                }
                Ok(())
            })
            .await
    }

    /// At most `limit` entries of a trail before a moment, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn audit_trail(
        &self,
        account: Option<AccountId>,
        before_ms: Option<i64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>> {
        let (realm, first) = place(account);
        let end = match before_ms {
            Some(moment) => [&[first][..], &moment.to_be_bytes()].concat(),
            None => vec![first + 1],
        };
        let snapshot = self.store().snapshot();
        snapshot
            .range(realm, (Bound::Included(vec![first]), Bound::Excluded(end)), Order::Descending)?
            .take(limit)
            .map(|row| {
                let (key, value) = row?;
                let at = key
                    .get(1..9)
                    .and_then(|bytes| bytes.try_into().ok())
                    .ok_or_else(|| DirectoryError::Damaged("an audit entry's key".to_owned()))?;
                let AuditRecord { who, what, peer } = decode("an audit entry", &value)?;
                Ok(AuditEntry { at_ms: i64::from_be_bytes(at), who, what, peer })
            })
            .collect()
    }
}
