//! Changes since a MODSEQ: CONDSTORE and QRESYNC (RFC 7162), and updating views.

use std::ops::Bound;

use store::{Order, Read, RealmId};

use crate::mailbox::counters_of;
use crate::rows::entry_records;
use crate::schema::{self, VanishedRecord, key};
use crate::view::Changes;
use crate::{MailStore, MailboxId, ModSeq, Result, Uid, UidSet};

impl MailStore {
    /// What changed in a mailbox after `since`. Visits as many rows as changed.
    pub fn changes_since(&self, account: RealmId, mailbox: MailboxId, since: ModSeq) -> Result<Changes> {
        let snapshot = self.store().snapshot();
        Self::changes_since_in(&snapshot, account, mailbox, since)
    }

    pub(crate) fn changes_since_in<R: Read + ?Sized>(
        read: &R,
        account: RealmId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<Changes> {
        let counters = counters_of(read, account, mailbox)?;
        let mut changes = Changes {
            exact: since.0 >= counters.vanished_floor,
            highest_modseq: ModSeq(counters.highest_modseq),
            uid_next: Uid(counters.last_uid + 1),
            ..Changes::default()
        };
        if since >= changes.highest_modseq {
            return Ok(changes);
        }
        let after = key::by_modseq(mailbox, ModSeq(since.0.saturating_add(1)), Uid(0));
        let range = (Bound::Included(after), Bound::Excluded(key::after(key::by_modseqs(mailbox))));
        let mut uids = Vec::new();
        for row in read.range(account, range, Order::Ascending)? {
            uids.push(key::modseq_and_uid(&row?.0)?.1);
        }
        for (uid, entry) in entry_records(read, account, mailbox, &uids)? {
            changes.changed.push((uid, entry.flags(), ModSeq(entry.modseq)));
        }
        changes.vanished = if changes.exact {
            let after = key::vanished(mailbox, ModSeq(since.0.saturating_add(1)));
            let range = (Bound::Included(after), Bound::Excluded(key::after(key::vanisheds(mailbox))));
            let mut ranges = Vec::new();
            for row in read.range(account, range, Order::Ascending)? {
                let (key, value) = row?;
                ranges.extend_from_slice(schema::decode::<VanishedRecord>(&key, value)?.uids().ranges());
            }
            UidSet::from_ranges(ranges)
        } else {
            let mut present = Vec::new();
            for row in read.prefix(account, &key::entries(mailbox), Order::Ascending)? {
                present.push(key::entry_uid(&row?.0)?);
            }
            present.into_iter().collect::<UidSet>().complement(Uid(1), Uid(counters.last_uid))
        };
        Ok(changes)
    }
}
