//! An account is told when its mailbox is nearly full and when it is full, once each time.

use directory::AccountId;
use mailstore::Quota;
use prost::Message as _;

use crate::{Delivery, DeliveryError, Result};

/// The key of the record in an account's realm.
pub const QUOTA_TOLD: u8 = 0x4B;
/// From so many hundredths on a mailbox is nearly full.
const NEARLY_PERCENT: u64 = 90;
/// It has to fall by one part in so many of the limit below what it was before the same is told again.
const FALL: u64 = 20;

/// How full a mailbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Free,
    Nearly,
    Full,
}

impl Level {
    const fn number(self) -> u32 {
        match self {
            Self::Free => 0,
            Self::Nearly => 1,
            Self::Full => 2,
        }
    }

    const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Free,
            1 => Self::Nearly,
            _ => Self::Full,
        }
    }
}

/// What an account was told of its space.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ToldRecord {
    #[prost(uint32, tag = "1")]
    level: u32,
    /// How much it used then, or what a lower level began with.
    #[prost(uint64, tag = "2")]
    used_bytes: u64,
}

/// What has to be done about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// The record is changed, and nobody told: there is space again.
    Note(Level),
    Tell(Level),
}

fn step(quota: &Quota, refused: bool, told: ToldRecord) -> Step {
    let (used, before) = (u128::from(quota.used_bytes), Level::from_number(told.level));
    let Some(limit) = quota.limit_bytes.map(u128::from).filter(|limit| *limit > 0) else {
        return if before == Level::Free { Step::Nothing } else { Step::Note(Level::Free) };
    };
    let is_nearly = used * 100 >= limit * u128::from(NEARLY_PERCENT);
    let level = if used >= limit || (refused && is_nearly) {
        Level::Full
    } else if is_nearly {
        Level::Nearly
    } else {
        Level::Free
    };
    let has_fallen = used + limit / u128::from(FALL) <= u128::from(told.used_bytes);
    match level.cmp(&before) {
        std::cmp::Ordering::Greater => Step::Tell(level),
        std::cmp::Ordering::Less if has_fallen => Step::Note(level),
        _ => Step::Nothing,
    }
}

impl Delivery {
    /// Tells an account how full its mailbox is, if it has to know. `refused`: a message did not fit.
    pub(crate) async fn tell_of_quota(&self, account: AccountId, refused: bool) -> Result<()> {
        let (quota, told) =
            (self.inner.mailstore.quota(account.realm())?, told(&self.inner.store.snapshot(), account)?);
        let level = match step(&quota, refused, told) {
            Step::Nothing => return Ok(()),
            Step::Note(level) | Step::Tell(level) => level,
        };
        let record = ToldRecord { level: level.number(), used_bytes: quota.used_bytes };
        let write = move |tx: &mut store::Tx<'_>| {
            let is_new = self::told(tx, account)? == told;
            if is_new {
                tx.put(account.realm(), vec![QUOTA_TOLD], record.encode_to_vec());
            }
            Ok::<_, DeliveryError>(is_new)
        };
        if matches!(step(&quota, refused, told), Step::Note(_)) {
            let noted = self.inner.store.transact(move |tx| {
                tx.keeps_books();
                write(tx)
            });
            return noted.await.map(drop);
        }
        let Some(owner) = self.inner.directory.account(account)? else { return Ok(()) };
        let (subject, what) = match level {
            Level::Full => (
                "Your mailbox is full",
                "There is no space left, so new mail can't be delivered. The servers of its senders keep it and try again \
                 for some days; after that it is returned to its senders.",
            ),
            _ => (
                "Your mailbox is almost full",
                "When there is no space left, new mail can't be delivered: the servers of its senders try again for some \
                 days, and then return it.",
            ),
        };
        let text = format!(
            "The mailbox of {} uses {} of {}. {what}\n\nTo make space, delete messages that you don't need (search for \
             larger:5M to find the big ones), and empty Trash and Spam. Or ask your administrator for more space.\n",
            owner.address,
            size(quota.used_bytes),
            size(quota.limit_bytes.unwrap_or(0)),
        );
        tracing::info!(%account, subject, used = quota.used_bytes, "telling an account how full its mailbox is");
        metrics::counter!("holdfast_delivery_quota_notices_total").increment(1);
        self.file_notice(&owner, subject, text, write).await
    }
}

fn told(read: &(impl store::Read + ?Sized), account: AccountId) -> Result<ToldRecord> {
    let value = read.get(account.realm(), &[QUOTA_TOLD])?;
    Ok(value.and_then(|value| ToldRecord::decode(value).ok()).unwrap_or_default())
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    let (unit, name) = [(1_000_000_000_u64, "GB"), (1_000_000, "MB"), (1_000, "KB")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit)
        .unwrap_or((1, "bytes"));
    match (bytes / unit, bytes % unit * 10 / unit) {
        (whole, 0) => format!("{whole} {name}"),
        (whole, tenth) => format!("{whole}.{tenth} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told while use changes like this, of 1,000.
    fn told_of(uses: &[(u64, bool)]) -> Vec<(u64, Level)> {
        let (mut record, mut told) = (ToldRecord::default(), Vec::new());
        for &(used_bytes, refused) in uses {
            let quota = Quota { used_bytes, messages: 1, limit_bytes: Some(1_000) };
            match step(&quota, refused, record) {
                Step::Nothing => {}
                Step::Tell(level) => {
                    told.push((used_bytes, level));
                    record = ToldRecord { level: level.number(), used_bytes };
                }
                Step::Note(level) => record = ToldRecord { level: level.number(), used_bytes },
            }
        }
        told
    }

    #[test]
    fn each_crossing_is_told_once_and_again_only_after_there_was_space() {
        use Level::{Full, Nearly};
        let up = |uses: &[u64]| told_of(&uses.iter().map(|used| (*used, false)).collect::<Vec<_>>());
        assert_eq!(up(&[0, 500, 899]), []);
        assert_eq!(up(&[900, 899, 900, 870, 999]), [(900, Nearly)]);
        assert_eq!(up(&[899, 950, 1_000, 1_200, 999, 1_000]), [(950, Nearly), (1_000, Full)]);
        assert_eq!(up(&[1_000]), [(1_000, Full)], "never both at once");
        assert_eq!(
            up(&[900, 850, 900, 1_000, 950, 1_000]),
            [(900, Nearly), (900, Nearly), (1_000, Full), (1_000, Full)]
        );
        assert_eq!(up(&[1_000, 400, 900]), [(1_000, Full), (900, Nearly)]);
    }

    #[test]
    fn what_did_not_fit_tells_that_it_is_full_unless_there_is_much_space() {
        use Level::{Full, Nearly};
        assert_eq!(told_of(&[(500, true), (899, true)]), []);
        assert_eq!(told_of(&[(910, true), (910, false), (910, true), (960, true)]), [(910, Full)]);
        assert_eq!(told_of(&[(910, false), (910, true)]), [(910, Nearly), (910, Full)]);
    }

    #[test]
    fn without_a_limit_nothing_is_told_and_what_was_told_is_forgotten() {
        let quota = Quota { used_bytes: u64::MAX, messages: 1, limit_bytes: None };
        assert_eq!(step(&quota, true, ToldRecord::default()), Step::Nothing);
        assert_eq!(step(&quota, true, ToldRecord { level: 2, used_bytes: 5 }), Step::Note(Level::Free));
    }

    #[test]
    fn sizes_are_read_by_people() {
        let sizes = [0, 999, 1_000, 1_500, 2_000_000, 5_300_000_000].map(size);
        assert_eq!(sizes, ["0 bytes", "999 bytes", "1 KB", "1.5 KB", "2 MB", "5.3 GB"]);
    }
}
