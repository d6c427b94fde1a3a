//! People in the newest mail of an account, for completing addresses: those it wrote to, by whatever program, and those who
//! wrote to it.
//!
//! Looked up, not kept: strangers who send much could push people out of a list that is kept. The work is bounded by the
//! number of messages looked at, however large the account is.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;

use mailkit::Parsed;
use mailkit::parsed::DisplayAddress;
use store::{Order, Read, RealmId};

use crate::schema::{DAY_MS, key};
use crate::{EncodedRow, Keyword, MailStore, Mailbox, MailboxId, Result, Role, Uid};

/// Newest messages of Inbox and Sent that are looked at, each.
pub const MAX_LOOKED_AT: usize = 1_000;
/// Newest messages of each other mailbox, and of all of them together.
const MAX_LOOKED_AT_ELSEWHERE: (usize, usize) = (200, 1_000);
/// Newest messages of Junk: their senders are offered only if the account wrote to them.
const MAX_JUNK: usize = 500;
/// People of one message that count: a letter to a whole town introduces nobody.
const MAX_OF_ONE: usize = 20;
/// Most people that are known at once.
const MAX_ACQUAINTANCES: usize = 5_000;
/// Longest address and name, in bytes and characters.
const LONGEST: (usize, usize) = (320, 120);
/// Addresses of machines that read no answers begin with one of these.
const MACHINES: [&str; 7] =
    ["noreply", "no-reply", "no_reply", "donotreply", "do-not-reply", "mailer-daemon", "postmaster-bounce"];
/// A message to somebody says more than one from them.
const WRITTEN_WEIGHT: u64 = 4;

/// Someone with whom mail was exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    /// The name as the newest message has it; may be empty.
    pub name: String,
    /// The address as the newest message has it.
    pub address: String,
    /// How many messages went there.
    pub written: u32,
    /// How many came from there.
    pub received: u32,
    /// When the last of these was, milliseconds since 1970 UTC.
    pub last_ms: i64,
}

impl Acquaintance {
    /// How much they matter now: messages count half as much for every 30 days since the last one.
    pub fn rank(&self, now_ms: i64) -> u64 {
        let months = now_ms.saturating_sub(self.last_ms).max(0) / (30 * DAY_MS);
        let count = WRITTEN_WEIGHT * u64::from(self.written.min(1 << 20)) + u64::from(self.received.min(1 << 20));
        (count << 30) >> months.min(60)
    }
}

/// What is gathered on the way.
#[derive(Default)]
struct Gathered {
    people: HashMap<String, Acquaintance>,
    junk: HashSet<String>,
}

impl MailStore {
    /// People in the newest mail, unordered. Nobody who is only in Junk or Trash, nobody whose mail lies in Junk unless the
    /// account wrote to them, no machines that read no answers. Addresses are as strangers wrote them.
    pub fn acquaintances(&self, account: RealmId) -> Result<Vec<Acquaintance>> {
        let mut gathered = Gathered::default();
        let mut elsewhere = MAX_LOOKED_AT_ELSEWHERE.1;
        let mut mailboxes = self.mailboxes(account)?;
        // Junk first: it says who is not wanted. Among the others those that were added to last.
        mailboxes.sort_by_key(|m| (m.role != Some(Role::Junk), std::cmp::Reverse(m.highest_modseq)));
        for Mailbox { id, role, .. } in mailboxes {
            let most = match role {
                Some(Role::Junk) => MAX_JUNK,
                Some(Role::Inbox | Role::Sent) => MAX_LOOKED_AT,
                Some(Role::Trash | Role::Drafts) => continue,
                _ => elsewhere.min(MAX_LOOKED_AT_ELSEWHERE.0),
            };
            let uids = self.newest_uids(account, id, most)?;
            if !matches!(role, Some(Role::Junk | Role::Inbox | Role::Sent)) {
                elsewhere -= uids.len();
            }
            for row in self.readable_rows(account, id, &uids)?.0 {
                gathered.take(&row, role)?;
            }
        }
        let Gathered { people, junk } = gathered;
        let wanted = |(address, who): &(String, Acquaintance)| who.written > 0 || !junk.contains(address);
        Ok(people.into_iter().filter(wanted).map(|(_, who)| who).collect())
    }

    /// Whether one of the newest messages in Sent went to that address, which is in lower case: programs that send by SMTP
    /// put them there.
    pub(crate) fn is_in_sent(&self, account: RealmId, address: &str) -> Result<bool> {
        let Some(sent) = self.mailboxes(account)?.into_iter().find(|mailbox| mailbox.role == Some(Role::Sent)) else {
            return Ok(false);
        };
        let uids = self.newest_uids(account, sent.id, MAX_LOOKED_AT)?;
        for row in self.readable_rows(account, sent.id, &uids)?.0 {
            let parsed: Parsed = row.decode()?;
            if parsed.to.iter().chain(&parsed.cc).any(|who| who.address.to_lowercase() == address) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The last UIDs of a mailbox, without reading what is before them.
    fn newest_uids(&self, account: RealmId, mailbox: MailboxId, most: usize) -> Result<Vec<Uid>> {
        let range = (Bound::Included(key::entry(mailbox, Uid(0))), Bound::Included(key::entry(mailbox, Uid(u32::MAX))));
        let snapshot = self.store().snapshot();
        let rows = snapshot.range(account, range, Order::Descending)?;
        rows.take(most).map(|row| key::entry_uid(&row?.0)).collect()
    }
}

impl Gathered {
    fn take(&mut self, row: &EncodedRow, role: Option<Role>) -> Result<()> {
        let is_junk =
            role == Some(Role::Junk) || Keyword::new("$Junk").is_ok_and(|junk| row.entry.flags.contains_keyword(&junk));
        let parsed: Parsed = row.decode()?;
        let date_ms = row.entry.internal_date_ms;
        if is_junk {
            self.junk.extend(parsed.from.iter().take(MAX_OF_ONE).map(|who| who.address.to_lowercase()));
        } else if role == Some(Role::Sent) {
            for who in parsed.to.iter().chain(&parsed.cc).take(MAX_OF_ONE) {
                self.meet(who, date_ms, (1, 0));
            }
        } else {
            for who in parsed.from.iter().take(MAX_OF_ONE) {
                self.meet(who, date_ms, (0, 1));
            }
        }
        Ok(())
    }

    fn meet(&mut self, who: &DisplayAddress, date_ms: i64, (written, received): (u32, u32)) {
        let address = who.address.to_lowercase();
        let machine = written == 0 && MACHINES.iter().any(|start| address.starts_with(start));
        if machine || !address.contains('@') || address.len() > LONGEST.0 {
            return;
        }
        let full = self.people.len() >= MAX_ACQUAINTANCES;
        let known = match self.people.entry(address) {
            std::collections::hash_map::Entry::Vacant(_) if full => return,
            entry => entry.or_insert_with(|| Acquaintance {
                name: String::new(),
                address: who.address.clone(),
                written: 0,
                received: 0,
                last_ms: i64::MIN,
            }),
        };
        known.written += written;
        known.received += received;
        // The newest name is the one that is in use; a message without one takes none away.
        if !who.name.is_empty() && (known.name.is_empty() || date_ms >= known.last_ms) {
            known.name = who.name.chars().take(LONGEST.1).collect();
        }
        known.last_ms = known.last_ms.max(date_ms);
    }
}
