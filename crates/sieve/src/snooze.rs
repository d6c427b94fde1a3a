//! `snooze` (`vnd.cyrus.snooze`, after draft-ietf-extra-sieve-snooze): a message is put away until a time of day.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// Most times of one `snooze`.
pub const MAX_TIMES: usize = 24;
/// Days that are looked at for the next time: a week, and the same day again.
const DAYS: i64 = 8;

/// What `snooze` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snooze {
    /// `:mailbox`: where the message returns to; INBOX if it is `None`.
    pub mailbox: Option<String>,
    /// `:addflags`: the flags that it gets then.
    pub add: Vec<String>,
    /// `:removeflags`: the flags that it loses then.
    pub remove: Vec<String>,
    /// `:weekdays`: the days, 0 is Sunday; empty for every day.
    pub weekdays: Vec<u8>,
    /// `:tzid`: the time zone of the times.
    pub zone: Option<String>,
    /// Times of day, in seconds.
    pub times: Vec<u32>,
}

impl Snooze {
    /// The next of its times, milliseconds since 1970 UTC; `zone` is that of a script that names none. `None` if there is none
    /// within a week.
    pub fn next(&self, after_ms: i64, zone: &str) -> Option<i64> {
        let named = self.zone.as_deref().unwrap_or(zone);
        let zone = TimeZone::get(named).unwrap_or(TimeZone::UTC);
        let after = Timestamp::from_millisecond(after_ms).ok()?;
        let today = zone.to_datetime(after).date();
        let mut next: Option<Timestamp> = None;
        for ahead in 0..=DAYS {
            let date = today.checked_add(ahead.days()).ok()?;
            let weekday = date.weekday().to_sunday_zero_offset() as u8;
            if !self.weekdays.is_empty() && !self.weekdays.contains(&weekday) {
                continue;
            }
            let at = |seconds: &u32| {
                let part = |of: u32| i8::try_from(of).unwrap_or_default();
                let time = Time::new(part(seconds / 3_600), part(seconds / 60 % 60), part(seconds % 60), 0).ok()?;
                zone.to_timestamp(date.to_datetime(time)).ok()
            };
            let later = self.times.iter().filter_map(at).filter(|at| *at > after);
            next = later.chain(next).min();
        }
        next.map(Timestamp::as_millisecond)
    }
}

/// A time of day, `08:30` or `08:30:15`, in seconds.
pub(crate) fn time_of_day(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is not a time of day: write it as 08:30");
    let parts: Vec<&str> = text.split(':').collect();
    let is_written = matches!(parts.len(), 2 | 3) && parts.iter().all(|part| part.len() == 2);
    let numbers: Option<Vec<u32>> = parts
        .iter()
        .map(|part| part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse().ok()).flatten())
        .collect();
    match numbers.as_deref() {
        Some([hours @ 0..24, minutes @ 0..60]) if is_written => Ok(hours * 3_600 + minutes * 60),
        Some([hours @ 0..24, minutes @ 0..60, seconds @ 0..60]) if is_written => {
            Ok(hours * 3_600 + minutes * 60 + seconds)
        }
        _ => Err(wrong()),
    }
}

/// A day of the week, `0` (Sunday) to `6`.
pub(crate) fn weekday(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [day @ b'0'..=b'6'] => Ok(day - b'0'),
        _ => Err(format!("{text:?} is not a day of the week: 0 is Sunday, 6 is Saturday")),
    }
}

/// Whether there is a time zone of that name.
pub(crate) fn zone_name(text: &str) -> Result<(), String> {
    TimeZone::get(text).map(drop).map_err(|_| format!("there is no time zone named {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn the_next_time_is_that_of_the_zone_and_of_the_days_named() {
        let times = |weekdays: &[u8], times: &[&str]| Snooze {
            weekdays: weekdays.to_vec(),
            times: times.iter().map(|time| time_of_day(time).unwrap()).collect(),
            ..Snooze::default()
        };
        // 2026-11-30 is a Monday.
        for (snooze, zone, after, next) in [
            (times(&[], &["08:00"]), "UTC", "2026-11-30T07:59:59Z", "2026-11-30T08:00:00Z"),
            (times(&[], &["08:00"]), "UTC", "2026-11-30T08:00:00Z", "2026-12-01T08:00:00Z"),
            (times(&[], &["18:00", "08:00"]), "UTC", "2026-11-30T09:00:00Z", "2026-11-30T18:00:00Z"),
            (times(&[], &["08:00"]), "Europe/Berlin", "2026-11-30T06:00:00Z", "2026-11-30T07:00:00Z"),
            (times(&[1], &["08:00"]), "UTC", "2026-11-30T08:00:00Z", "2026-12-07T08:00:00Z"),
            (times(&[6, 0], &["10:30:15"]), "UTC", "2026-11-30T08:00:00Z", "2026-12-05T10:30:15Z"),
            // The clocks go forward over it.
            (times(&[], &["02:30"]), "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
        ] {
            assert_eq!(snooze.next(at(after), zone), Some(at(next)), "{snooze:?} {after}");
        }
        assert_eq!(Snooze::default().next(0, "UTC"), None);
    }

    #[test]
    fn times_and_days_are_written_in_one_way() {
        for bad in ["", "8:00", "24:00", "08:60", "08", "08:00:00:00", "aa:bb", "+8:00", "08:00 "] {
            assert!(time_of_day(bad).is_err(), "{bad}");
        }
        for bad in ["", "7", "-1", "Mon", "01"] {
            assert!(weekday(bad).is_err(), "{bad}");
        }
        assert!(zone_name("Europe/Berlin").is_ok() && zone_name("Europe/Nowhere").is_err());
    }
}
