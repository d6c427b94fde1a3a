//! The newest messages of some mailboxes, one after the other, from their lists of conversations: a search that soon has
//! enough reads no more of a mailbox than it shows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;

use store::{Order, Read, RealmId, Snapshot};

use crate::schema::key;
use crate::{MailboxId, Result, ThreadId, Uid};

/// Members of conversations that are read in all: in longer conversations, reading the mailbox is quicker.
const MAX_READ: usize = 8_000;

/// Date, mailbox and UID of a message.
pub(super) type Dated = (i64, MailboxId, Uid);

/// The conversations of one mailbox, newest first.
type List<'a> = Box<dyn Iterator<Item = Result<(i64, ThreadId)>> + 'a>;

/// Messages, newest first.
pub(super) struct Newest<'a> {
    snapshot: &'a Snapshot,
    account: RealmId,
    lists: Vec<(MailboxId, List<'a>)>,
    /// The next conversation of each list.
    next: BinaryHeap<(i64, Reverse<usize>, ThreadId)>,
    /// Members of conversations that were read, as far as they were not given.
    held: BinaryHeap<Dated>,
    read: usize,
}

impl<'a> Newest<'a> {
    pub fn new(snapshot: &'a Snapshot, account: RealmId, mailboxes: &[MailboxId]) -> Result<Self> {
        let mut lists: Vec<(MailboxId, List<'a>)> = Vec::new();
        for mailbox in mailboxes {
            let rows = snapshot.prefix(account, &key::orders(*mailbox), Order::Ascending)?;
            lists.push((*mailbox, Box::new(rows.map(|row| key::order_of(&row?.0)))));
        }
        let (next, held) = Default::default();
        let mut newest = Self { snapshot, account, lists, next, held, read: 0 };
        for list in 0..newest.lists.len() {
            newest.advance(list)?;
        }
        Ok(newest)
    }

    fn advance(&mut self, list: usize) -> Result<()> {
        if let Some((date_ms, thread)) = self.lists[list].1.next().transpose()? {
            self.next.push((date_ms, Reverse(list), thread));
        }
        Ok(())
    }

    /// The next ones, about `count`: all that are as new as the last of them are among these or were given before.
    /// `None` if it is quicker to read the mailboxes.
    pub fn take(&mut self, count: usize) -> Result<Option<Vec<Dated>>> {
        let mut taken = Vec::new();
        while taken.len() < count {
            // What is newer than each conversation that was not read is complete.
            let open = self.next.peek().map(|next| next.0);
            while let Some(first) = self.held.peek().filter(|first| open.is_none_or(|open| first.0 > open)) {
                taken.push(*first);
                self.held.pop();
            }
            let Some((_, Reverse(list), thread)) = self.next.pop() else { break };
            let mailbox = self.lists[list].0;
            let start = key::members(thread);
            let range = (Bound::Included(start.clone()), Bound::Excluded(key::after(start)));
            for row in self.snapshot.range(self.account, range, Order::Ascending)? {
                self.read += 1;
                if self.read > MAX_READ {
                    return Ok(None);
                }
                let member = key::member_of(&row?.0)?;
                if member.1 == mailbox {
                    self.held.push(member);
                }
            }
            self.advance(list)?;
        }
        Ok(Some(taken))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::{Store, StoreOptions};

    use super::*;
    use crate::{Flags, MailStore, NewMessage, Role, SearchOptions, SearchQuery as Q, SearchScope};

    fn filled(dates: &[i64]) -> (tempfile::TempDir, MailStore, RealmId) {
        let dir = tempfile::tempdir().unwrap();
        let mail = MailStore::new(Store::open(dir.path(), StoreOptions::default()).unwrap());
        let account = RealmId::account(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(mail.create_standard_mailboxes(account)).unwrap();
        let boxes = [Role::Inbox, Role::Archive].map(|role| mail.mailbox_by_role(account, role).unwrap().unwrap().id);
        let mut all: [Vec<NewMessage>; 2] = Default::default();
        for (n, date) in dates.iter().enumerate() {
            let raw = format!(
                "From: a@x.example\r\nSubject: about {}\r\nMessage-ID: <{n}@x>\r\nReferences: <{}@x>\r\n\r\nword{} every\r\n",
                n % 40,
                n % 40,
                n % 7
            );
            all[n % 3 % 2].push(NewMessage {
                body: mail.stage(raw.as_bytes()).unwrap(),
                parsed: Arc::new(mailkit::parse(raw.as_bytes())),
                flags: Flags::NONE,
                internal_date_ms: *date,
                delivery_key: None,
                ignore_quota: false,
            });
        }
        for (mailbox, all) in boxes.into_iter().zip(all) {
            runtime.block_on(mail.append_all(account, mailbox, all)).unwrap();
        }
        (dir, mail, account)
    }

    #[test]
    fn a_search_that_ends_early_finds_the_newest_in_the_same_order() {
        let many = 400i64;
        for dates in [
            (0..many).collect::<Vec<_>>(),
            (0..many).map(|n| n * 7919 % 401).collect(),
            (0..many).map(|n| n % 3).collect(),
            vec![5; 400],
        ] {
            let (_dir, mail, account) = filled(&dates);
            for query in [Q::All, Q::Text("every".into()), Q::Text("word3".into()), Q::Subject("about 17".into())] {
                let find = |limit| {
                    let options = SearchOptions { limit, ..SearchOptions::default() };
                    mail.search(account, &SearchScope::Mail, &query, options).unwrap()
                };
                let all = find(None);
                assert!(!all.is_empty());
                for limit in [1, 5, 13, 19] {
                    assert_eq!(find(Some(limit)), all[..limit.min(all.len())], "{query:?} {limit}");
                }
            }
        }
    }
}
