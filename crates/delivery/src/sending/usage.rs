//! What an account has sent, in its own realm.
//!
//! | key | value |
//! |---|---|
//! | `0x48` start | [`UseRecord`]: what was sent in the ten minutes from then on |
//! | `0x49` hash | [`WrittenRecord`]: someone who was written to |
//! | `0x4A` day | [`UseRecord`]: what was sent on that day, counted from 1970 |
//! | `0x4B` | [`ToldRecord`]: how full the account was told that its mailbox is |

use std::collections::HashSet;
use std::ops::Bound;

use directory::AccountId;
use mailstore::MailStore;
use prost::Message as _;
use store::{BodyId, Order, Read, RealmId, Tx};

use super::limits::{Counted, Limits, Over, Window};
use crate::quota_notice::{QUOTA_TOLD, ToldRecord};
use crate::{DeliveryError, Result};

/// First byte of the keys of what was sent within ten minutes.
pub const BUCKET: u8 = 0x48;
/// First byte of the keys of people who were written to.
pub const WRITTEN: u8 = 0x49;
/// First byte of the keys of what was sent within a day.
pub const DAY: u8 = 0x4A;

/// Windows move by this: a limit holds for every hour and day, and is free again up to ten minutes later.
pub const BUCKET_MS: i64 = 600_000;
const DAY_MS: i64 = 86_400_000;
/// Days by which it is known what an account usually sends.
pub const USUAL_DAYS: i64 = 30;
/// Someone not written to for so many days is new again.
const REMEMBER_DAYS: u32 = 730;
/// How old the note that someone was written to may get before it is written again.
const RENEW_DAYS: u32 = 30;

/// What was sent in some time.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct UseRecord {
    /// Messages with a recipient elsewhere.
    #[prost(uint32, tag = "1")]
    pub messages: u32,
    /// Recipients elsewhere.
    #[prost(uint32, tag = "2")]
    pub recipients: u32,
    /// Those of them who were written to for the first time.
    #[prost(uint32, tag = "3")]
    pub new: u32,
    /// Recipients that were refused for good.
    #[prost(uint32, tag = "4")]
    pub bounced: u32,
    /// Messages that were refused because of the limits.
    #[prost(uint32, tag = "5")]
    pub refused: u32,
}

impl UseRecord {
    const fn of(&self, counted: Counted) -> u32 {
        match counted {
            Counted::Messages => self.messages,
            Counted::Recipients => self.recipients,
            Counted::New => self.new,
        }
    }

    const fn and(&self, other: &Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            recipients: self.recipients.saturating_add(other.recipients),
            new: self.new.saturating_add(other.new),
            bounced: self.bounced.saturating_add(other.bounced),
            refused: self.refused.saturating_add(other.refused),
        }
    }
}

/// Someone who was written to.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct WrittenRecord {
    /// On which day last, counted from 1970; told only roughly.
    #[prost(uint32, tag = "1")]
    pub day: u32,
}

/// How much an account has sent lately.
#[derive(Clone, Debug)]
pub struct Standing {
    pub now_ms: i64,
    /// Of the last day, with the start of each, oldest first.
    buckets: Vec<(i64, UseRecord)>,
}

impl Standing {
    /// As it is in `read`.
    pub fn read(read: &(impl Read + ?Sized), account: AccountId, now_ms: i64) -> Result<Self> {
        let from = now_ms - DAY_MS - BUCKET_MS;
        let range = (Bound::Excluded(time_key(BUCKET, from)), Bound::Excluded(vec![BUCKET + 1]));
        let mut buckets = Vec::new();
        for row in read.range(account.realm(), range, Order::Ascending)? {
            let (key, value) = row?;
            buckets.push((key_time(&key).ok_or_else(damaged)?, decode(value)?));
        }
        Ok(Self { now_ms, buckets })
    }

    /// What was sent within a window.
    pub fn within(&self, window: Window) -> UseRecord {
        let since = self.now_ms - window.ms() - BUCKET_MS;
        let recent = self.buckets.iter().filter(|(start, _)| *start > since);
        recent.fold(UseRecord::default(), |sum, (_, bucket)| sum.and(bucket))
    }

    /// Whether `wanted` is still within the limits; if it isn't, by which limit one has to wait longest.
    pub fn check(&self, limits: &Limits, wanted: &UseRecord) -> Result<(), Over> {
        let mut worst: Option<Over> = None;
        for &(counted, window, limit) in &limits.0 {
            let more = wanted.of(counted);
            if limit == 0 || more == 0 {
                continue;
            }
            if u64::from(self.within(window).of(counted)) + u64::from(more) <= u64::from(limit) {
                continue;
            }
            let again_ms = self.fits_at(counted, window, limit, more);
            let over = Over { counted, window, limit, again_ms, now_ms: self.now_ms };
            let waits = |over: &Over| over.again_ms.unwrap_or(i64::MAX);
            if worst.as_ref().is_none_or(|worst| waits(&over) > waits(worst)) {
                worst = Some(over);
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// When `more` fits into a limit, if it ever does.
    fn fits_at(&self, counted: Counted, window: Window, limit: u32, more: u32) -> Option<i64> {
        let room = limit.checked_sub(more)?;
        let mut used = u64::from(self.within(window).of(counted));
        let since = self.now_ms - window.ms() - BUCKET_MS;
        for (start, bucket) in self.buckets.iter().filter(|(start, _)| *start > since) {
            used -= u64::from(bucket.of(counted));
            if used <= u64::from(room) {
                return Some(start + BUCKET_MS + window.ms());
            }
        }
        Some(self.now_ms)
    }
}

/// Adds to what an account has sent.
pub fn add_in(tx: &mut Tx<'_>, account: AccountId, more: &UseRecord) -> Result<()> {
    let now_ms = tx.now_ms();
    let bucket = time_key(BUCKET, now_ms - now_ms.rem_euclid(BUCKET_MS));
    for key in [bucket, day_key(now_ms.div_euclid(DAY_MS))] {
        let before = tx.get(account.realm(), &key)?.map(decode).transpose()?.unwrap_or_default();
        tx.put(account.realm(), key, before.and(more).encode_to_vec());
    }
    Ok(())
}

/// What an account did on the days before today on which it sent anything, at most [`USUAL_DAYS`] ago.
pub fn usual(read: &impl Read, account: AccountId, now_ms: i64) -> Result<Vec<UseRecord>> {
    let today = now_ms.div_euclid(DAY_MS);
    let range = (Bound::Included(day_key(today - USUAL_DAYS)), Bound::Excluded(day_key(today)));
    let rows = read.range(account.realm(), range, Order::Ascending)?;
    rows.map(|row| decode(row?.1)).collect()
}

/// What an account did today.
pub fn today(read: &impl Read, account: AccountId, now_ms: i64) -> Result<UseRecord> {
    let found = read.get(account.realm(), &day_key(now_ms.div_euclid(DAY_MS)))?;
    Ok(found.map(decode).transpose()?.unwrap_or_default())
}

/// Whether an account has written to an address before.
pub fn is_known(read: &(impl Read + ?Sized), mailstore: &MailStore, account: AccountId, address: &str) -> Result<bool> {
    if read.get(account.realm(), &written_key(address))?.is_some() {
        return Ok(true);
    }
    Ok(mailstore.is_correspondent_in(read, account.realm(), address)?)
}

/// Those of a message's recipients whom an account has never written to, each once.
pub fn new_among<'a>(
    read: &(impl Read + ?Sized),
    mailstore: &MailStore,
    account: AccountId,
    addresses: &[&'a str],
) -> Result<HashSet<&'a str>> {
    let mut new = HashSet::new();
    let mut seen = HashSet::new();
    for address in addresses {
        if seen.insert(address.to_lowercase()) && !is_known(read, mailstore, account, address)? {
            new.insert(*address);
        }
    }
    Ok(new)
}

/// Remembers that an account has written to these.
pub fn remember_in(tx: &mut Tx<'_>, account: AccountId, addresses: &[&str]) -> Result<()> {
    let today = u32::try_from(tx.now_ms().div_euclid(DAY_MS)).unwrap_or(0);
    for address in addresses {
        let key = written_key(address);
        let known = tx.get(account.realm(), &key)?.map(|value| WrittenRecord::decode(value).map_err(|_| damaged()));
        match known.transpose()? {
            Some(known) if known.day.saturating_add(RENEW_DAYS) > today => {}
            _ => tx.put(account.realm(), key, WrittenRecord { day: today }.encode_to_vec()),
        }
    }
    Ok(())
}

/// The keys of an account whose time is over, at most `limit`.
pub fn past(read: &impl Read, account: RealmId, now_ms: i64, limit: usize) -> Result<Vec<Vec<u8>>> {
    let today = now_ms.div_euclid(DAY_MS);
    let mut keys = Vec::new();
    for (first, end) in
        [(BUCKET, time_key(BUCKET, now_ms - DAY_MS - 2 * BUCKET_MS)), (DAY, day_key(today - USUAL_DAYS - 1))]
    {
        let rows = read.range(account, (Bound::Included(vec![first]), Bound::Excluded(end)), Order::Ascending)?;
        for row in rows.take(limit) {
            keys.push(row?.0.to_vec());
        }
    }
    let forget = u32::try_from(today).unwrap_or(0).saturating_sub(REMEMBER_DAYS);
    for row in read.prefix(account, &[WRITTEN], Order::Ascending)? {
        if keys.len() >= limit {
            break;
        }
        let (key, value) = row?;
        if WrittenRecord::decode(value).map_err(|_| damaged())?.day < forget {
            keys.push(key.to_vec());
        }
    }
    keys.truncate(limit);
    Ok(keys)
}

/// Whether a row is as this version writes it.
pub fn is_sound(key: &[u8], value: &[u8]) -> bool {
    match key.first() {
        Some(&BUCKET) => key.len() == 9 && UseRecord::decode(value).is_ok(),
        Some(&WRITTEN) => key.len() == 17 && WrittenRecord::decode(value).is_ok(),
        Some(&DAY) => key.len() == 9 && UseRecord::decode(value).is_ok(),
        Some(&QUOTA_TOLD) => key.len() == 1 && ToldRecord::decode(value).is_ok(),
        _ => false,
    }
}

fn time_key(first: u8, ms: i64) -> Vec<u8> {
    [&[first][..], &u64::try_from(ms).unwrap_or(0).to_be_bytes()].concat()
}

fn day_key(day: i64) -> Vec<u8> {
    time_key(DAY, day)
}

fn key_time(key: &[u8]) -> Option<i64> {
    i64::try_from(u64::from_be_bytes(key.get(1..)?.try_into().ok()?)).ok()
}

fn written_key(address: &str) -> Vec<u8> {
    // Half of a BLAKE3 hash: addresses can be longer than keys should be.
    let hash = BodyId::of(address.to_lowercase().as_bytes());
    [&[WRITTEN][..], &hash.as_bytes()[..16]].concat()
}

fn decode(value: impl prost::bytes::Buf) -> Result<UseRecord> {
    UseRecord::decode(value).map_err(|_| damaged())
}

fn damaged() -> DeliveryError {
    DeliveryError::damaged(store::Cause::Decoding, "the record of what an account has sent".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn standing(now_ms: i64, used: &[(i64, u32)]) -> Standing {
        let bucket = |&(start, recipients)| (start, UseRecord { recipients, ..UseRecord::default() });
        Standing { now_ms, buckets: used.iter().map(bucket).collect() }
    }

    fn limits(hour: u32, day: u32) -> Limits {
        let (counted, none) = (Counted::Recipients, (Counted::Messages, Window::Hour, 0));
        Limits([(counted, Window::Hour, hour), (counted, Window::Day, day), none, none, none, none])
    }

    fn recipients(recipients: u32) -> UseRecord {
        UseRecord { recipients, ..UseRecord::default() }
    }

    #[test]
    fn what_was_sent_counts_for_its_whole_time() {
        let now = 100 * DAY_MS;
        for (start, hour, day) in [
            (now, 5, 5),
            (now - HOUR, 5, 5),
            (now - HOUR - BUCKET_MS + 1, 5, 5),
            (now - HOUR - BUCKET_MS, 0, 5),
            (now - DAY_MS, 0, 5),
            (now - DAY_MS - BUCKET_MS, 0, 0),
        ] {
            let standing = standing(now, &[(start, 5)]);
            assert_eq!(standing.within(Window::Hour).recipients, hour, "{start}");
            assert_eq!(standing.within(Window::Day).recipients, day, "{start}");
        }
    }

    #[test]
    fn the_time_that_is_told_is_when_it_fits() {
        let now = 100 * DAY_MS;
        let used = [(now - 3 * BUCKET_MS, 4), (now - 2 * BUCKET_MS, 4), (now - BUCKET_MS, 2)];
        for (more, fits) in
            [(1, Some(0)), (4, Some(0)), (5, Some(1)), (8, Some(1)), (9, Some(2)), (10, Some(2)), (11, None)]
        {
            let over = standing(now, &used).check(&limits(10, 0), &recipients(more)).unwrap_err();
            let at = fits.map(|index: usize| used[index].0 + BUCKET_MS + HOUR);
            assert_eq!(over.again_ms, at, "{more}");
            if let Some(at) = at {
                let then = standing(at, &used);
                assert_eq!(then.check(&limits(10, 0), &recipients(more)), Ok(()), "{more}");
                assert!(standing(at - 1, &used).check(&limits(10, 0), &recipients(more)).is_err(), "{more}");
            }
        }
        assert_eq!(standing(now, &used).check(&limits(0, 0), &recipients(u32::MAX)), Ok(()), "unlimited");
    }

    #[test]
    fn of_several_limits_the_longest_wait_is_told() {
        let now = 100 * DAY_MS;
        let over = standing(now, &[(now - BUCKET_MS, 10)]).check(&limits(10, 10), &recipients(1)).unwrap_err();
        assert_eq!((over.window, over.again_ms), (Window::Day, Some(now + DAY_MS)));
    }
}
