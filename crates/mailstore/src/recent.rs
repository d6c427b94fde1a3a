//! In-memory `\Recent` high-water marks (RFC 3501 section 2.3.2): messages that no session has been told of yet.
//!
//! Each mailbox has a mark among its UIDs: all messages above it are recent for the next session. The mark moves in
//! memory, so that no message is recent for two sessions, and is stored when a session ends, so that a restart moves it
//! back only a little.

mod lines;

pub(crate) use lines::Lines;

use store::{Order, Read, RealmId};

use crate::mailbox::counters_of;
use crate::schema::{self, key};
use crate::{MailStore, Mailbox, MailboxId, MailboxView, Result, Uid};

impl MailStore {
    /// The last UID that is recent for nobody any more.
    pub fn recent_line(&self, account: RealmId, mailbox: MailboxId) -> Result<Uid> {
        let written = counters_of(&self.store().snapshot(), account, mailbox)?.recent_line;
        let ahead = self.inner.recent.lines.lock().get(&(account, mailbox)).copied();
        Ok(Uid(ahead.map_or(written, |line| line.max(written))))
    }

    /// Takes all messages that are in `view`: those above the answer were recent, and are so for the caller alone.
    pub fn claim_recent(&self, account: RealmId, view: &MailboxView) -> Result<Uid> {
        let mailbox = view.mailbox();
        let last = view.uid_next().0.saturating_sub(1);
        let written = counters_of(&self.store().snapshot(), account, mailbox)?.recent_line;
        let mut lines = self.inner.recent.lines.lock();
        let before = lines.get(&(account, mailbox)).map_or(written, |line| (*line).max(written));
        if last > before {
            lines.insert((account, mailbox), last);
        }
        Ok(Uid(before))
    }

    /// How many messages of a mailbox are recent. Visits these.
    pub fn count_recent(&self, account: RealmId, mailbox: &Mailbox) -> Result<u32> {
        let line = self.recent_line(account, mailbox.id)?;
        if line.0.saturating_add(1) >= mailbox.uid_next.0 {
            return Ok(0);
        }
        let range = key::entry(mailbox.id, Uid(line.0 + 1))..=key::entry(mailbox.id, mailbox.uid_next);
        let (start, end) = range.into_inner();
        let range = (std::ops::Bound::Included(start), std::ops::Bound::Included(end));
        let mut count = 0;
        for row in self.store().snapshot().range(account, range, Order::Ascending)? {
            row?;
            count += 1;
        }
        Ok(count)
    }

    /// Writes the line of a mailbox down, if it has moved. Changes nothing that clients see.
    pub async fn keep_recent(&self, account: RealmId, mailbox: MailboxId) -> Result<()> {
        let Some(line) = self.inner.recent.lines.lock().get(&(account, mailbox)).copied() else { return Ok(()) };
        self.commit(move |_, tx| {
            tx.keeps_books();
            let mut counters = counters_of(tx, account, mailbox)?;
            counters.recent_line = counters.recent_line.max(line);
            schema::save(tx, account, key::counters(mailbox), &counters);
            Ok(())
        })
        .await?;
        let mut lines = self.inner.recent.lines.lock();
        if lines.get(&(account, mailbox)) == Some(&line) {
            lines.remove(&(account, mailbox));
        }
        Ok(())
    }
}
