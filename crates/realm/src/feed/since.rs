//! What has changed since a position.

use std::{collections::BTreeMap, ops::Bound};

use prost::Message as _;
use store::{Order, Read, RealmId, RealmSeq, Result};

use super::thing::{Change, Id, Kind};
use super::{FEED, FeedRecord, Position, ROW, damaged, feed_of, row::RowRecord, row_key, row_seq};

/// Most changes of one answer, whatever is asked for.
pub const MAX_CHANGES: usize = 10_000;
/// Most commits that one answer covers.
const MAX_ROWS_PER_ANSWER: usize = 10_000;

/// What has changed since a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// This.
    Changes(Changes),
    /// That is too long ago, or not a position of this feed: read everything again, from [`super::position`] on.
    CantTell,
}

/// Changes, each thing at most once: one that was created and destroyed in between is not there at all (RFC 8620 section
/// 5.2), one that was destroyed and is there again is updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// What, which, and what happened to it.
    pub changes: Vec<(Kind, Id, Change)>,
    /// Up to where these are all.
    pub until: Position,
    /// There are more: ask again from `until` on.
    pub has_more: bool,
}

/// The last commit that did something.
pub(super) fn position_of<R: Read + ?Sized>(read: &R, account: RealmId, feed: Option<&FeedRecord>) -> Result<Position> {
    let Some(feed) = feed else {
        return Ok(Position { validity: 0, seq: read.realm_seq(account), taken: 0 });
    };
    let last = read.prefix(account, &[ROW], Order::Descending)?.next().transpose()?;
    let last = last.map(|(key, _)| row_seq(&key).ok_or_else(|| damaged(account, &key))).transpose()?;
    let seq = last.unwrap_or(RealmSeq(0)).max(RealmSeq(feed.floor));
    Ok(Position { validity: feed.validity, seq, taken: 0 })
}

/// What was created, updated and destroyed of `kinds` since a position: at most `max` things ([`MAX_CHANGES`], if that is
/// less), the oldest changes first. Blocks, for as long as the answer is large.
///
/// # Errors
/// Those of reading.
pub fn changes_since<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    since: Position,
    kinds: &[Kind],
    max: usize,
) -> Result<Since> {
    let feed = feed_of(read, account)?;
    let now = position_of(read, account, feed.as_ref())?;
    let floor = feed.as_ref().map_or(now.seq.0, |feed| feed.floor);
    if since.validity != now.validity || since.seq.0 < floor || since.seq > read.realm_seq(account) {
        return Ok(Since::CantTell);
    }
    let mut page = Page { folded: BTreeMap::new(), max: max.clamp(1, MAX_CHANGES) };
    // Positions are of commits that did something, but for those that came from elsewhere: they stay as they are.
    let mut until = Position { taken: 0, ..since };
    let range = (Bound::Excluded(row_key(since.seq)), Bound::Excluded(vec![ROW + 1]));
    for (number, row) in read.range(account, range, Order::Ascending)?.enumerate() {
        if number == MAX_ROWS_PER_ANSWER {
            return Ok(page.end(kinds, until, true));
        }
        let (key, value) = row?;
        let seq = row_seq(&key).ok_or_else(|| damaged(account, &key))?;
        let row = RowRecord::decode(value).map_err(|_| damaged(account, &key))?;
        let already = if number == 0 { since.taken } else { 0 };
        for ((kind, id, change), nth) in row.into_changes().zip(0..) {
            let is_wanted = kinds.iter().any(|wanted| u32::from(wanted.number) == kind);
            if nth >= already && is_wanted && !page.take(kind, id, change) {
                return Ok(page.end(kinds, Position { taken: nth, ..until }, true));
            }
        }
        until.seq = seq;
    }
    Ok(page.end(kinds, until, false))
}

/// An answer in the making: whether each thing was there at its beginning, and is at its end.
struct Page {
    folded: BTreeMap<(u32, Id), (bool, bool)>,
    max: usize,
}

impl Page {
    /// Adds a change; `false` if there is no room for it.
    fn take(&mut self, kind: u32, id: Id, change: Change) -> bool {
        let is_full = self.folded.len() >= self.max;
        match self.folded.entry((kind, id)) {
            std::collections::btree_map::Entry::Vacant(_) if is_full => return false,
            entry => entry.or_insert((change != Change::Created, true)).1 = change != Change::Destroyed,
        }
        true
    }

    fn end(self, kinds: &[Kind], until: Position, has_more: bool) -> Since {
        let told = self.folded.into_iter().filter_map(|((number, id), was_and_is)| {
            let kind = *kinds.iter().find(|kind| u32::from(kind.number) == number)?;
            let change = match was_and_is {
                (false, true) => Change::Created,
                (true, true) => Change::Updated,
                (true, false) => Change::Destroyed,
                (false, false) => return None,
            };
            Some((kind, id, change))
        });
        Since::Changes(Changes { changes: told.collect(), until, has_more })
    }
}

/// What does not hold in an account's feed.
pub(super) fn check<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let feed = match feed_of(read, account) {
        Ok(feed) => feed,
        Err(error) => return Ok(vec![error.to_string()]),
    };
    let last = read.realm_seq(account);
    if feed.as_ref().is_some_and(|feed| feed.floor > last.0) {
        findings.push(format!("the change feed begins after the account's last commit, {last}"));
    }
    for row in read.prefix(account, &[ROW], Order::Ascending)? {
        let (key, value) = row?;
        let seq = row_seq(&key).filter(|seq| *seq <= last);
        if feed.is_none() || seq.is_none() || RowRecord::decode(value).is_err() {
            findings.push(format!("the change feed has {key:02x?}, which is not a commit of the account"));
            break;
        }
    }
    if read.prefix(account, &[FEED], Order::Ascending)?.count() > 1 {
        findings.push("the change feed has two beginnings".to_owned());
    }
    Ok(findings)
}
