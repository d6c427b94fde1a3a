//! Retention: snapshots by day, week and month; objects that no kept snapshot needs are deleted. The newest good
//! snapshot is always kept. Only this module deletes, so only the machine that runs it needs the right to delete.
//!
//! The log is kept from the oldest daily snapshot on: since then any second can be restored, before that only the times
//! of the weekly and monthly snapshots.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::{Timestamp, tz::TimeZone};
use store::Seq;

use super::{
    ArchiveError, Event, Result, Say,
    catalog::{Catalog, Listed},
    target::{Object, Target},
};

/// Retention. Days, weeks and months are in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The last snapshot of each of so many days; at least 2.
    pub daily: usize,
    /// The last snapshot of each of so many weeks.
    pub weekly: usize,
    /// The last snapshot of each of so many months.
    pub monthly: usize,
}

/// The deleted objects, or those that would be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Snapshots that are kept.
    pub kept: Vec<Listed>,
    /// Snapshots that went.
    pub snapshots: u64,
    /// Objects that went, snapshots among them.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Which of the good snapshots stay, by day, and in all.
fn kept<'a>(good: &[&'a Listed], keep: Keep) -> (Vec<&'a Listed>, Vec<&'a Listed>) {
    let mut newest_first: Vec<&Listed> = good.to_vec();
    newest_first.sort_by_key(|listed| std::cmp::Reverse(listed.name.made_ms));
    let by = |count: usize, period: &dyn Fn(i64) -> (i16, i16)| {
        let mut periods: BTreeMap<(i16, i16), &'a Listed> = BTreeMap::new();
        for listed in &newest_first {
            periods.entry(period(listed.name.made_ms)).or_insert(listed);
        }
        periods.into_values().rev().take(count).collect::<Vec<_>>()
    };
    let date = |ms: i64| TimeZone::UTC.to_datetime(Timestamp::from_millisecond(ms).unwrap_or_default()).date();
    let daily = by(keep.daily.max(2), &|ms| (date(ms).year(), date(ms).day_of_year()));
    let weekly = by(keep.weekly, &|ms| {
        let week = date(ms).iso_week_date();
        (week.year(), i16::from(week.week()))
    });
    let monthly = by(keep.monthly, &|ms| (date(ms).year(), i16::from(date(ms).month())));
    let mut all: Vec<&Listed> = daily.clone();
    all.extend(weekly);
    all.extend(monthly);
    all.extend(newest_first.first());
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.dedup();
    (daily, all)
}

/// Deletes everything beyond the retention; with `dry_run` only lists it. Deletes nothing while there is no good snapshot,
/// or while the manifest of a kept one can't be read. A crash at any point only leaves more than needed.
///
/// # Errors
/// [`ArchiveError::Damaged`], [`ArchiveError::Target`].
pub async fn prune(target: &Target, keep: Keep, dry_run: bool, say: Say<'_>) -> Result<Pruned> {
    let catalog = Catalog::read(target).await?;
    let good: Vec<&Listed> = catalog.snapshots.iter().filter(|listed| listed.good).collect();
    let Some(newest) = good.iter().map(|listed| listed.stored_ms).max() else { return Ok(Pruned::default()) };
    let (daily, kept) = kept(&good, keep);
    let mut needed: HashSet<String> = HashSet::new();
    for listed in &kept {
        let manifest = catalog.manifest(target, &listed.name).await?;
        needed.extend(manifest.objects.into_iter().map(|object| object.name));
    }
    let mut going = going_snapshots(target, &kept, newest).await?;
    let snapshots = going.iter().filter(|object| object.name.ends_with(".manifest")).count() as u64;
    going.extend(unneeded(target, &daily, &needed, newest).await?);
    // Manifests first, so that none is left whose objects are gone; an index before its pack, for the same reason.
    going.sort_by_key(|object| {
        (!object.name.starts_with("snapshots/"), super::format::pack_of_index(&object.name).is_none())
    });
    let mut pruned = Pruned { kept: kept.into_iter().cloned().collect(), snapshots, ..Pruned::default() };
    let total = going.len() as u64;
    for object in going {
        if dry_run {
            say(Event::Line(format!("would be deleted: {} ({} bytes)", object.name, object.bytes)));
        } else {
            delete(target, &object.name).await?;
        }
        pruned.objects += 1;
        pruned.bytes += object.bytes;
        say(Event::Progress { what: "objects", done: pruned.objects, total });
    }
    Ok(pruned)
}

/// The objects of snapshots that are not kept.
async fn going_snapshots(target: &Target, kept: &[&Listed], newest_ms: i64) -> Result<Vec<Object>> {
    let keep_stems: BTreeSet<String> = kept.iter().map(|listed| listed.name.to_string()).collect();
    let mut going = target.list("snapshots").await?;
    going.retain(|object| {
        let stem = object.name.rsplit_once('.').map_or(object.name.as_str(), |(stem, _)| stem);
        // One that is not good may be in the making, as long as none after it is.
        !keep_stems.contains(stem) && object.modified_ms < newest_ms
    });
    Ok(going)
}

/// Log, chunks and packs that no kept snapshot needs, nor what was stored after the oldest daily one.
async fn unneeded(target: &Target, daily: &[&Listed], needed: &HashSet<String>, newest_ms: i64) -> Result<Vec<Object>> {
    // By the target's clock on both sides: what is younger may belong to a commit that is kept, or to a snapshot that
    // is being taken.
    let young_ms = daily.iter().map(|listed| listed.stored_ms).min().unwrap_or(newest_ms);
    // Of the lines that have daily snapshots, where their log begins to be needed.
    let mut from: BTreeMap<&str, Seq> = BTreeMap::new();
    for listed in daily {
        let first = from.entry(listed.name.line.as_str()).or_insert(listed.name.seq);
        *first = listed.name.seq.min(*first);
    }
    let mut going = Vec::new();
    for object in target.list("log").await? {
        let Ok(run) = object.name.parse::<super::format::RunName>() else { continue };
        let is_needed = match from.get(run.line.as_str()) {
            Some(first) => run.last > *first,
            None => object.modified_ms >= young_ms,
        };
        if !is_needed {
            going.push(object);
        }
    }
    for object in target.list("chunks").await? {
        if object.modified_ms < young_ms && !needed.contains(&object.name) {
            going.push(object);
        }
    }
    for object in target.list("bodies").await? {
        let pack = super::format::pack_of_index(&object.name).map(super::format::pack_name);
        let is_needed = needed.contains(pack.as_ref().unwrap_or(&object.name));
        if object.modified_ms < young_ms && !is_needed {
            going.push(object);
        }
    }
    Ok(going)
}

/// Deletes an object; a refusal says what is usually behind it.
async fn delete(target: &Target, object: &str) -> Result<()> {
    target.delete(object).await.map_err(|error| match error {
        ArchiveError::Target { name, what, error } => {
            let what = format!("{what} (are the credentials allowed to delete?)");
            ArchiveError::Target { name, what, error }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::format::SnapshotName;

    #[test]
    fn days_weeks_and_months_keep_their_last_snapshot_and_the_newest_stays() {
        let day = 86_400_000_i64;
        let begin = 1_767_225_600_000; // 2026-01-01T00:00:00Z
        let listed: Vec<Listed> = (0..400)
            .map(|n| {
                // Two a day.
                let made_ms = begin + n * day / 2;
                let name = SnapshotName { line: "a".into(), seq: Seq(n as u64), made_ms, hash: n.to_string() };
                Listed { name, good: true, stored_ms: made_ms }
            })
            .collect();
        let good: Vec<&Listed> = listed.iter().collect();
        let (daily, all) = kept(&good, Keep { daily: 7, weekly: 4, monthly: 3 });
        assert_eq!(daily.len(), 7);
        assert!(daily.iter().all(|listed| listed.name.seq.0 % 2 == 1), "the later one of each day");
        assert_eq!(all.last().unwrap().name.seq, Seq(399));
        assert!(all.len() <= 14 && all.len() > 8, "{}", all.len());
        let (_, all) = kept(&good[..1], Keep { daily: 0, weekly: 0, monthly: 0 });
        assert_eq!(all.len(), 1, "never the last good one");
    }
}
