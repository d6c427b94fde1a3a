//! Sort orders (RFC 5256 section 3 `SORT`, RFC 5957 for display names).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use store::RealmId;
use unicode_normalization::UnicodeNormalization;

use crate::{EncodedRow, MailError, MailStore, MailboxId, Result, Uid};

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortField {
    /// Internal date.
    Arrival,
    /// `Date:`, or the internal date where it can't be read.
    Date,
    /// Size in bytes.
    Size,
    /// Base subject.
    Subject,
    /// Local part of the first author.
    From,
    /// Local part of the first primary recipient.
    To,
    /// Local part of the first carbon-copy recipient.
    Cc,
    /// Name of the first author, or the address if there is no name.
    DisplayFrom,
    /// Name of the first primary recipient, or the address if there is no name.
    DisplayTo,
    /// How well it matches, the best first (RFC 6203 section 6): [`MailStore::sort_scored`].
    Relevancy,
}

/// How well messages match, from 1 to 100.
pub type Scores = HashMap<Uid, u8>;

/// One criterion; those that follow decide where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// By what.
    pub field: SortField,
    /// From the last to the first.
    pub reverse: bool,
}

/// What one message has for one key.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(String),
}

/// A message with what it has for each key.
type Valued = (Uid, Vec<Value>);

/// Messages whose records are read together, some KB each.
const TOGETHER: usize = 256;

impl MailStore {
    /// The messages `uids` of a mailbox, ascending when given, in the order of `keys`; ties stay ascending. Those that
    /// are gone are left out. Reads every one of them: call it from a blocking thread. With them, those that are left out
    /// because what is stored of them is damaged.
    ///
    /// # Errors
    /// [`MailError::Cancelled`] once `cancel` is set.
    pub fn sort_uids(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        uids: &[Uid],
        keys: &[SortKey],
        cancel: &AtomicBool,
    ) -> Result<(Vec<Uid>, Vec<Uid>)> {
        self.sort_scored((account, mailbox), uids, (keys, &Scores::new()), cancel)
    }

    /// [`Self::sort_uids`] where keys may ask for how well messages match.
    ///
    /// # Errors
    /// Those of [`Self::sort_uids`].
    pub fn sort_scored(
        &self,
        (account, mailbox): (RealmId, MailboxId),
        uids: &[Uid],
        (keys, scores): (&[SortKey], &Scores),
        cancel: &AtomicBool,
    ) -> Result<(Vec<Uid>, Vec<Uid>)> {
        let (mut sorted, damaged) = self.valued(account, mailbox, uids, (keys, scores), cancel)?;
        sorted.sort_by(|(_, one), (_, other)| compare(one, other, keys));
        Ok((sorted.into_iter().map(|(uid, _)| uid).collect(), damaged))
    }

    /// Where the messages `new` (ascending) go among `sorted`, which [`Self::sort_uids`] arranged by the same keys: each
    /// with its index in the list that results, ascending. Those that are gone or damaged are left out. Reads of `sorted`
    /// as few messages as are needed to find the places.
    ///
    /// # Errors
    /// [`MailError::Cancelled`] once `cancel` is set.
    pub fn sort_into(
        &self,
        (account, mailbox): (RealmId, MailboxId),
        sorted: &[Uid],
        new: &[Uid],
        keys: &[SortKey],
        cancel: &AtomicBool,
    ) -> Result<Vec<(usize, Uid)>> {
        let (mut new, _) = self.valued(account, mailbox, new, (keys, &Scores::new()), cancel)?;
        new.sort_by(|(_, one), (_, other)| compare(one, other, keys));
        let mut there = Values::new(self, (account, mailbox), sorted, keys);
        // Where a search would read nearly all of them, they are read together.
        let steps = sorted.len().checked_ilog2().map_or(1, |log| log as usize + 1);
        if new.len().saturating_mul(steps) > sorted.len() / 4 {
            there.read_all(cancel)?;
        }
        let mut placed: Vec<(usize, Uid)> = Vec::with_capacity(new.len());
        let mut from = 0;
        for (before, (uid, values)) in new.iter().enumerate() {
            if cancel.load(Relaxed) {
                return Err(MailError::Cancelled);
            }
            // What is placed later comes later: the search goes on from here.
            from = there.place(from, *uid, values)?;
            placed.push((from + before, *uid));
        }
        Ok(placed)
    }

    /// What messages have for the keys, in the order of `uids`, and which could not be read.
    fn valued(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        uids: &[Uid],
        (keys, scores): (&[SortKey], &Scores),
        cancel: &AtomicBool,
    ) -> Result<(Vec<Valued>, Vec<Uid>)> {
        let mut all_damaged = Vec::new();
        let mut valued: Vec<Valued> = Vec::with_capacity(uids.len());
        for uids in uids.chunks(TOGETHER) {
            if cancel.load(Relaxed) {
                return Err(MailError::Cancelled);
            }
            let (rows, damaged) = self.readable_rows(account, mailbox, uids)?;
            all_damaged.extend(damaged);
            for row in rows {
                match values(&row, keys, scores) {
                    Err(error) if error.is_damage() => all_damaged.push(row.entry.uid),
                    values => valued.push((row.entry.uid, values?)),
                }
            }
        }
        Ok((valued, all_damaged))
    }
}

/// What the messages of a sorted list have for its keys, read as needed.
struct Values<'a> {
    mail: &'a MailStore,
    of: (RealmId, MailboxId),
    sorted: &'a [Uid],
    keys: &'a [SortKey],
    /// By index. `None`: it can't be read, or is gone.
    read: HashMap<usize, Option<Vec<Value>>>,
}

impl<'a> Values<'a> {
    fn new(mail: &'a MailStore, of: (RealmId, MailboxId), sorted: &'a [Uid], keys: &'a [SortKey]) -> Self {
        Self { mail, of, sorted, keys, read: HashMap::new() }
    }

    fn read_all(&mut self, cancel: &AtomicBool) -> Result<()> {
        let mut uids = self.sorted.to_vec();
        uids.sort_unstable();
        let (valued, _) = self.mail.valued(self.of.0, self.of.1, &uids, (self.keys, &Scores::new()), cancel)?;
        let mut valued: HashMap<Uid, Vec<Value>> = valued.into_iter().collect();
        self.read = self.sorted.iter().enumerate().map(|(index, uid)| (index, valued.remove(uid))).collect();
        Ok(())
    }

    fn at(&mut self, index: usize) -> Result<Option<&[Value]>> {
        if !self.read.contains_key(&index) {
            let uids = [self.sorted[index]];
            let by = (self.keys, &Scores::new());
            let (mut valued, _) = self.mail.valued(self.of.0, self.of.1, &uids, by, &AtomicBool::new(false))?;
            self.read.insert(index, valued.pop().map(|(_, values)| values));
        }
        Ok(self.read[&index].as_deref())
    }

    /// The index, `from` or above, before which a message belongs. Those that can't be read are passed over.
    fn place(&mut self, from: usize, uid: Uid, values: &[Value]) -> Result<usize> {
        let (mut low, mut high) = (from, self.sorted.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let mut at = middle;
            let order = loop {
                let (there, keys) = (self.sorted[at], self.keys);
                match self.at(at)? {
                    Some(other) => break Some(compare(other, values, keys).then(there.cmp(&uid))),
                    None if at + 1 < high => at += 1,
                    None => break None,
                }
            };
            match order {
                Some(Ordering::Less) => low = at + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

fn values(row: &EncodedRow, keys: &[SortKey], scores: &Scores) -> Result<Vec<Value>> {
    let parsed = row.ordering()?;
    let value = |key: &SortKey| match key.field {
        SortField::Arrival => Value::Number(row.entry.internal_date_ms),
        SortField::Date => Value::Number(parsed.date_ms.unwrap_or(row.entry.internal_date_ms)),
        SortField::Size => Value::Number(i64::try_from(row.entry.size).unwrap_or(i64::MAX)),
        SortField::Subject => Value::Text(collated(&parsed.base_subject)),
        SortField::From => Value::Text(collated(&parsed.from().mailbox)),
        SortField::To => Value::Text(collated(&parsed.to().mailbox)),
        SortField::Cc => Value::Text(collated(&parsed.cc().mailbox)),
        SortField::DisplayFrom => Value::Text(collated(&parsed.from().shown)),
        SortField::DisplayTo => Value::Text(collated(&parsed.to().shown)),
        SortField::Relevancy => Value::Number(-i64::from(scores.get(&row.entry.uid).copied().unwrap_or_default())),
    };
    Ok(keys.iter().map(value).collect())
}

fn compare(one: &[Value], other: &[Value], keys: &[SortKey]) -> Ordering {
    let by = |((one, other), key): ((&Value, &Value), &SortKey)| {
        if key.reverse { other.cmp(one) } else { one.cmp(other) }
    };
    one.iter().zip(other).zip(keys).map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// The form in which texts are compared: `i;unicode-casemap` (RFC 5051), octet by octet.
fn collated(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    text.chars().flat_map(char::to_uppercase).nfkd().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_without_case_and_in_one_spelling() {
        assert_eq!(collated("stra\u{df}e"), "STRASSE");
        assert_eq!(collated("\u{e9}"), collated("E\u{301}"));
        assert!(collated("[x]") < collated("_") && collated("z") < collated("_"), "capitals decide");
    }

    #[test]
    fn later_keys_decide_ties_and_reverse_is_theirs_alone() {
        let keys =
            [SortKey { field: SortField::Size, reverse: true }, SortKey { field: SortField::Subject, reverse: false }];
        let row = |size, text: &str| [Value::Number(size), Value::Text(text.to_owned())];
        assert_eq!(compare(&row(2, "b"), &row(1, "a"), &keys), Ordering::Less);
        assert_eq!(compare(&row(1, "b"), &row(1, "a"), &keys), Ordering::Greater);
        assert_eq!(compare(&row(1, "a"), &row(1, "a"), &keys), Ordering::Equal);
    }
}
