//! A mailbox as it is now.

use std::sync::Arc;

use store::{Order, Read, RealmId};

use super::{Builder, MailboxView};
use crate::{
    MailStore, MailboxId, ModSeq, Result, Uid,
    mailbox::{counters_of, mailbox_record},
    schema::{self, EntryRecord, key},
};

impl MailStore {
    /// The mailbox as it is now. Shared while someone holds it; brought up to date from the last one by what changed.
    /// The first of a large mailbox visits all its messages.
    ///
    /// # Errors
    /// [`crate::MailError::MailboxGone`].
    pub fn view(&self, account: RealmId, mailbox: MailboxId) -> Result<Arc<MailboxView>> {
        let snapshot = self.store().snapshot();
        let highest = ModSeq(counters_of(&snapshot, account, mailbox)?.highest_modseq);
        if let Some(view) = self.inner.views.get(account, mailbox) {
            if view.highest_modseq >= highest {
                return Ok(view);
            }
            let changes = Self::changes_since_in(&snapshot, account, mailbox, view.highest_modseq)?;
            return Ok(self.inner.views.put(account, view.updated(&changes)));
        }
        let view = Self::build_view(&snapshot, account, mailbox)?;
        Ok(self.inner.views.put(account, view))
    }

    pub(crate) fn build_view<R: Read + ?Sized>(read: &R, account: RealmId, mailbox: MailboxId) -> Result<MailboxView> {
        let counters = counters_of(read, account, mailbox)?;
        let uid_validity = mailbox_record(read, account, mailbox)?.uid_validity;
        let mut builder = Builder::new(mailbox, uid_validity, counters.total as usize);
        for row in read.prefix(account, &key::entries(mailbox), Order::Ascending)? {
            let (at, value) = row?;
            let entry: EntryRecord = schema::decode(&at, value)?;
            let flags = builder.flag_set(&entry.flags());
            builder.push(key::entry_uid(&at)?, ModSeq(entry.modseq), flags);
        }
        Ok(builder.finish(Uid(counters.last_uid + 1), ModSeq(counters.highest_modseq)))
    }
}
