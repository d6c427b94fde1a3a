//! New UIDVALIDITYs after an account was set back to an earlier time.

use store::{RealmId, Tx};

use crate::mailbox::{counters_of, mailbox_record, state_of};
use crate::schema::{self, key};
use crate::{MailStore, Result};

/// How far mailbox ids jump: more mailboxes than anyone makes between two moments.
const MAILBOXES: u32 = 1 << 16;
/// How far email ids jump.
const EMAILS: u64 = 1 << 32;

impl MailStore {
    /// Makes sure that no number that clients may have seen in a later state, which is lost, is given to anything else:
    /// every mailbox gets a new UIDVALIDITY (RFC 9051 §2.3.1.1: clients then forget UIDs and MODSEQs), the ids of
    /// mailboxes and emails (RFC 8474) go on far above, and the change feed begins again. Gives how many mailboxes there are.
    pub fn renumber_in(&self, tx: &mut Tx<'_>, account: RealmId) -> Result<usize> {
        realm::feed::renumber_in(tx, account)?;
        let mailboxes = self.mailboxes_in(tx, account)?;
        if mailboxes.is_empty() {
            return Ok(0);
        }
        let mut state = state_of(tx, account)?;
        state.last_mailbox = state.last_mailbox.saturating_add(MAILBOXES);
        state.last_email = state.last_email.saturating_add(EMAILS);
        let now_s = u32::try_from(tx.now_ms() / 1000).unwrap_or(u32::MAX);
        let modseq = tx.next_realm_seq(account).0;
        for mailbox in &mailboxes {
            // The lost state gave out such as were no later than its clock.
            state.last_uid_validity = state.last_uid_validity.saturating_add(1).max(now_s);
            let mut record = mailbox_record(tx, account, mailbox.id)?;
            record.uid_validity = state.last_uid_validity;
            schema::save(tx, account, key::mailbox(mailbox.id), &record);
            let mut counters = counters_of(tx, account, mailbox.id)?;
            counters.highest_modseq = modseq;
            counters.vanished_floor = modseq;
            schema::save(tx, account, key::counters(mailbox.id), &counters);
        }
        schema::save(tx, account, key::state(), &state);
        Ok(mailboxes.len())
    }

    /// [`Self::renumber_in`] as a commit of its own.
    pub async fn renumber(&self, account: RealmId) -> Result<usize> {
        self.commit(move |this, tx| {
            tx.keeps_books();
            // A deleted account may be brought back, and must not then give a number a second time.
            tx.clears(account);
            this.renumber_in(tx, account)
        })
        .await
    }
}
