//! What is given to the primary next: mail that comes now goes first; of what waited, the oldest first, one message of
//! each account in turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use delivery::Amount;

/// Fresh messages that wait at most: there is a flood of them, or they come faster than they go, so more of them go the
/// way of the backlog, which is fair.
const MAX_FRESH: usize = 1_000;

/// A message that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its id: ascending by arrival.
    pub id: u64,
    /// Whose it is.
    pub account: u32,
    /// How large it is.
    pub bytes: u64,
}

/// The messages that wait, in two lanes.
#[derive(Debug, Default)]
pub struct Agenda {
    fresh: VecDeque<Item>,
    /// By account, the oldest first.
    backlog: BTreeMap<u32, BTreeMap<u64, Item>>,
    /// Whose turn it is: how often each account was served since it last had nothing, its oldest message, the account.
    turns: BTreeSet<(u64, u64, u32)>,
    /// The turn in which each account is.
    served: BTreeMap<u32, u64>,
    /// Those that are tried again later, by time in milliseconds.
    later: BTreeMap<(i64, u64), Item>,
    /// Of each account that has any: how many bytes wait, on their way included.
    bytes: BTreeMap<u32, u64>,
    /// On their way; the bool: it is one of the backlog.
    given: BTreeMap<u64, (Item, bool)>,
    count: u64,
    /// Of these, what is of the backlog.
    behind: Amount,
    /// What was done of the backlog since somebody asked.
    worked: Amount,
}

impl Agenda {
    /// A message that came while the primary takes mail.
    pub fn add_fresh(&mut self, item: Item) {
        if self.fresh.len() >= MAX_FRESH {
            return self.add(item);
        }
        self.count_in(item);
        self.fresh.push_back(item);
    }

    /// A message that waits.
    pub fn add(&mut self, item: Item) {
        self.count_in(item);
        self.fall_behind(item);
        self.put(item);
    }

    /// It is one of the backlog from now on.
    const fn fall_behind(&mut self, item: Item) {
        self.behind.count += 1;
        self.behind.bytes += item.bytes;
    }

    fn count_in(&mut self, item: Item) {
        self.count += 1;
        *self.bytes.entry(item.account).or_default() += item.bytes;
    }

    fn put(&mut self, item: Item) {
        let queue = self.backlog.entry(item.account).or_default();
        // One that had nothing begins with those who were served least.
        let least = self.turns.first().map_or(0, |(turn, ..)| *turn);
        let turn = if queue.is_empty() {
            let turn = self.served.get(&item.account).copied().unwrap_or(0).max(least);
            self.served.insert(item.account, turn);
            turn
        } else {
            self.served.get(&item.account).copied().unwrap_or(least)
        };
        if let Some(head) = queue.keys().next() {
            self.turns.remove(&(turn, *head, item.account));
        }
        queue.insert(item.id, item);
        let head = queue.keys().next().copied().unwrap_or(item.id);
        self.turns.insert((turn, head, item.account));
    }

    /// The next one, which is on its way from then on. `fits` says whether one of that size may go now.
    pub fn next(&mut self, now_ms: i64, fits: impl Fn(u64) -> bool) -> Option<Item> {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now_ms {
                break;
            }
            let item = entry.remove();
            self.put(item);
        }
        if let Some(item) = self.fresh.front().copied() {
            if !fits(item.bytes) {
                return None;
            }
            self.fresh.pop_front();
            self.given.insert(item.id, (item, false));
            return Some(item);
        }
        let (turn, head, account) = *self.turns.first()?;
        let queue = self.backlog.get_mut(&account)?;
        let item = *queue.get(&head)?;
        if !fits(item.bytes) {
            return None;
        }
        queue.remove(&head);
        self.turns.remove(&(turn, head, account));
        match queue.keys().next() {
            Some(next) => {
                self.turns.insert((turn + 1, *next, account));
                self.served.insert(account, turn + 1);
            }
            None => {
                self.backlog.remove(&account);
                self.served.remove(&account);
            }
        }
        self.given.insert(item.id, (item, true));
        Some(item)
    }

    /// It was taken, or refused for good.
    pub fn done(&mut self, id: u64) -> Option<Item> {
        let (item, was_behind) = self.given.remove(&id)?;
        self.count -= 1;
        if was_behind {
            self.behind.count -= 1;
            self.behind.bytes -= item.bytes;
            self.worked.count += 1;
            self.worked.bytes += item.bytes;
        }
        if let Some(bytes) = self.bytes.get_mut(&item.account) {
            *bytes -= item.bytes;
            if *bytes == 0 {
                self.bytes.remove(&item.account);
            }
        }
        Some(item)
    }

    /// It is tried again at that time.
    pub fn postpone(&mut self, id: u64, until_ms: i64) {
        if let Some((item, was_behind)) = self.given.remove(&id) {
            if !was_behind {
                self.fall_behind(item);
            }
            self.later.insert((until_ms, id), item);
        }
    }

    /// The connection is gone: what was on its way waits again.
    pub fn take_back(&mut self) {
        let fresh = std::mem::take(&mut self.fresh).into_iter().map(|item| (item, false));
        for (item, was_behind) in std::mem::take(&mut self.given).into_values().chain(fresh) {
            if !was_behind {
                self.fall_behind(item);
            }
            self.put(item);
        }
    }

    /// How much of the backlog waits, on its way included: all but what came while the primary took mail and goes at once.
    pub const fn behind(&self) -> Amount {
        self.behind
    }

    /// How much of the backlog was done since this was asked last.
    pub fn take_worked(&mut self) -> Amount {
        std::mem::take(&mut self.worked)
    }

    /// How many wait, on their way included.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes wait, on their way included.
    pub fn bytes(&self) -> u64 {
        self.bytes.values().sum()
    }

    /// How many bytes wait for that account.
    pub fn bytes_of(&self, account: u32) -> u64 {
        self.bytes.get(&account).copied().unwrap_or(0)
    }

    /// The least id of all.
    pub fn oldest(&self) -> Option<u64> {
        let heads = self.turns.iter().map(|(_, head, _)| *head);
        let others = self.given.keys().copied().chain(self.later.keys().map(|(_, id)| *id));
        heads.chain(others).chain(self.fresh.front().map(|item| item.id)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: u64, account: u32) -> Item {
        Item { id, account, bytes: 10 }
    }

    fn ids(agenda: &mut Agenda) -> Vec<u64> {
        std::iter::from_fn(|| agenda.next(0, |_| true)).map(|item| item.id).collect()
    }

    #[test]
    fn fresh_mail_goes_first_and_accounts_take_turns_the_oldest_first() {
        let mut agenda = Agenda::default();
        // One account has nearly everything.
        for id in 1..=6 {
            agenda.add(item(id, 1));
        }
        agenda.add(item(7, 2));
        agenda.add(item(8, 3));
        agenda.add(item(9, 2));
        agenda.add_fresh(item(10, 1));
        assert_eq!(agenda.oldest(), Some(1));
        assert_eq!(ids(&mut agenda), [10, 1, 7, 8, 2, 9, 3, 4, 5, 6]);
        assert_eq!((agenda.count(), agenda.bytes()), (10, 100), "what is on its way is not done");
    }

    #[test]
    fn what_was_on_its_way_waits_again_and_what_was_postponed_waits_for_its_time() {
        let mut agenda = Agenda::default();
        for id in 1..=3 {
            agenda.add(item(id, 1));
        }
        assert_eq!(agenda.next(0, |_| true), Some(item(1, 1)));
        assert_eq!(agenda.next(0, |_| true), Some(item(2, 1)));
        assert_eq!(agenda.done(1), Some(item(1, 1)));
        assert_eq!(agenda.done(1), None, "only once");
        agenda.take_back();
        assert_eq!(agenda.oldest(), Some(2));
        assert_eq!(agenda.next(0, |_| true), Some(item(2, 1)));
        agenda.postpone(2, 100);
        assert_eq!(agenda.next(0, |_| true), Some(item(3, 1)));
        assert_eq!(agenda.next(99, |_| true), None);
        assert_eq!(agenda.next(100, |bytes| bytes < 10), None, "it does not fit");
        assert_eq!(agenda.next(100, |_| true), Some(item(2, 1)));
        agenda.done(2);
        agenda.done(3);
        assert_eq!((agenda.count(), agenda.bytes(), agenda.oldest()), (0, 0, None));
    }

    #[test]
    fn fresh_mail_is_none_of_the_backlog_until_it_has_to_wait() {
        let some = |count: u64| Amount { count, bytes: 10 * count };
        let mut agenda = Agenda::default();
        for id in 1..=3 {
            agenda.add(item(id, 1));
        }
        for id in 4..=8 {
            agenda.add_fresh(item(id, 2));
        }
        assert_eq!((agenda.count(), agenda.behind()), (8, some(3)));
        for _ in 0..6 {
            agenda.next(0, |_| true);
        }
        assert_eq!((agenda.done(4), agenda.done(1)), (Some(item(4, 2)), Some(item(1, 1))));
        assert_eq!((agenda.behind(), agenda.take_worked(), agenda.take_worked()), (some(2), some(1), some(0)));
        // One is to be tried later, and then all others wait again.
        agenda.postpone(5, 100);
        assert_eq!(agenda.behind(), some(3));
        agenda.take_back();
        assert_eq!((agenda.count(), agenda.behind()), (6, some(6)));
        while let Some(item) = agenda.next(100, |_| true) {
            agenda.done(item.id);
        }
        assert_eq!((agenda.count(), agenda.behind(), agenda.take_worked()), (0, some(0), some(6)));
    }

    #[test]
    fn a_flood_of_fresh_mail_does_not_keep_others_from_their_turn() {
        let mut agenda = Agenda::default();
        let flood = MAX_FRESH as u64 * 3;
        for id in 1..=flood {
            agenda.add_fresh(item(id, 1));
        }
        agenda.add_fresh(item(flood + 1, 2));
        let before = std::iter::from_fn(|| agenda.next(0, |_| true)).take_while(|item| item.account == 1).count();
        assert!(before <= MAX_FRESH + 1, "{before}");
    }
}
