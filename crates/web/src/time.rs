//! Dates as people read them, in their own time zone.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// A moment in the forms that a page needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// For `<time datetime>`.
    pub iso: String,
    /// The shortest that is clear: `14:02`, `Yesterday`, `12 Nov`, `12 Nov 2024`.
    pub short: String,
    /// Everything: `Monday 23 November 2026, 14:02`.
    pub full: String,
}

/// What turns timestamps into text: a zone and the present.
#[derive(Clone, Debug)]
pub struct Calendar {
    now: ZonedDateTime,
}

impl Calendar {
    /// A calendar for the named zone (IANA, as `Europe/Athens`); UTC if there is none of that name.
    pub fn new(zone: &str, now: Timestamp) -> Self {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        Self { now: now.to_zoned_datetime(zone) }
    }

    /// How far the clock is from UTC when that day begins.
    pub fn offset_on(&self, date: Date) -> jiff::tz::Offset {
        let zone = self.now.time_zone();
        let begins = zone.to_timestamp(date.to_datetime(Time::midnight()));
        begins.map_or(jiff::tz::Offset::UTC, |at| zone.to_offset(at))
    }

    /// The day that it is in the zone.
    pub fn today(&self) -> Date {
        self.now.date()
    }

    /// The moment `ms` milliseconds after 1970 UTC. Out of range counts as 1970.
    pub fn when(&self, ms: i64) -> When {
        let then = self.zoned(ms);
        let days = match then.date().until(self.now.date()) {
            Ok(span) => span.get_days(),
            Err(_) => i32::MAX,
        };
        let short = match days {
            0 => then.strftime("%H:%M").to_string(),
            1 => "Yesterday".to_owned(),
            2..=6 => then.strftime("%A").to_string(),
            _ if then.year() == self.now.year() => then.strftime("%-d %b").to_string(),
            _ => then.strftime("%-d %b %Y").to_string(),
        };
        When {
            iso: then.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            short,
            full: then.strftime("%A %-d %B %Y, %H:%M").to_string(),
        }
    }

    /// How long ago, roughly, for lists of devices.
    pub fn ago(&self, ms: i64) -> String {
        let minutes = (self.now.timestamp().as_millisecond().saturating_sub(ms)) / 60_000;
        match minutes {
            ..=1 => "just now".to_owned(),
            2..=59 => format!("{minutes} minutes ago"),
            60..=119 => "an hour ago".to_owned(),
            120..=1439 => format!("{} hours ago", minutes / 60),
            1440..=2879 => "yesterday".to_owned(),
            2880..=43_199 => format!("{} days ago", minutes / 1440),
            _ => self.when(ms).short,
        }
    }

    /// The day and the time of a moment, as they stand in fields: `23 November 2026` and `18:00`.
    pub fn day_and_time(&self, ms: i64) -> (String, String) {
        let then = self.zoned(ms);
        (then.strftime("%-d %B %Y").to_string(), then.strftime("%H:%M").to_string())
    }

    /// Day and time in few letters: `23 Nov 14:02`, with the year unless it is this one.
    pub fn stamp(&self, ms: i64) -> String {
        let at = self.zoned(ms);
        let form = if at.date().year() == self.now.date().year() { "%-d %b %H:%M" } else { "%-d %b %Y %H:%M" };
        at.strftime(form).to_string()
    }

    /// The moment of that day and time in the zone, in milliseconds since 1970 UTC.
    pub fn at(&self, date: Date, time: Time) -> Option<i64> {
        Some(self.now.time_zone().to_timestamp(date.to_datetime(time)).ok()?.as_millisecond())
    }

    /// The moment that a field for date and time says, in milliseconds since 1970 UTC; `None` if it says none.
    pub fn of_field(&self, text: &str) -> Option<i64> {
        let at: jiff::civil::DateTime = text.trim().parse().ok()?;
        Some(self.now.time_zone().to_timestamp(at).ok()?.as_millisecond())
    }

    /// Yesterday at that hour.
    pub fn yesterday_at(&self, hour: i8) -> i64 {
        let day = self.now.date().yesterday().unwrap_or_else(|_| self.now.date());
        let then = self.now.time_zone().to_timestamp(day.at(hour, 0, 0, 0));
        then.unwrap_or_else(|_| self.now.timestamp()).as_millisecond()
    }

    /// The line above a quoted message.
    pub fn attribution(&self, ms: i64, who: &str) -> String {
        format!("On {}, {who} wrote:", self.zoned(ms).strftime("%-d %B %Y at %H:%M"))
    }

    fn zoned(&self, ms: i64) -> ZonedDateTime {
        let timestamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        timestamp.to_zoned_datetime(self.now.time_zone().clone())
    }
}

/// Bytes in the unit people would use.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64;
    let mut unit = "";
    for name in UNITS {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = name;
    }
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// Bytes as people type them into a field: in the largest decimal unit, with up to three decimals. What was not typed in such
/// a unit is rounded, so a field that comes back as it was changes nothing.
pub fn size_typed(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
    let Some((name, unit)) = UNITS.into_iter().find(|(_, unit)| bytes >= *unit) else { return bytes.to_string() };
    let thousandths = (u128::from(bytes) * 1_000 + u128::from(unit) / 2) / u128::from(unit);
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    format!("{} {name}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar() -> Calendar {
        Calendar::new("Europe/Athens", "2026-11-23T13:00:00Z".parse().unwrap())
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn the_short_form_says_no_more_than_needed() {
        let short = |text| calendar().when(ms(text)).short;
        assert_eq!(short("2026-11-23T12:02:00Z"), "14:02");
        assert_eq!(short("2026-11-22T21:59:00Z"), "Yesterday");
        assert_eq!(short("2026-11-22T22:01:00Z"), "00:01", "midnight is the reader's");
        assert_eq!(short("2026-11-20T12:00:00Z"), "Friday");
        assert_eq!(short("2026-11-12T12:00:00Z"), "12 Nov");
        assert_eq!(short("2024-11-12T12:00:00Z"), "12 Nov 2024");
    }

    #[test]
    fn a_field_for_date_and_time_is_read_as_it_was_written() {
        let at = ms("2026-11-22T16:00:00Z");
        assert_eq!(calendar().of_field("2026-11-22T18:00"), Some(at));
        assert_eq!(calendar().yesterday_at(18), at);
        assert_eq!(calendar().of_field("yesterday"), None);
        assert_eq!(calendar().of_field(""), None);
    }

    #[test]
    fn any_number_is_some_date() {
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            assert!(!calendar().when(ms).full.is_empty());
            assert!(!calendar().ago(ms).is_empty());
        }
        assert_eq!(Calendar::new("No/Where", Timestamp::UNIX_EPOCH).when(0).short, "00:00", "UTC stands in");
    }

    #[test]
    fn sizes_are_in_the_unit_people_use() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1_234), "1.2 KB");
        assert_eq!(size(999_900), "1.0 MB");
        assert_eq!(size(48_000_000), "48 MB");
        assert_eq!(size(u64::MAX), "18446744 TB");
    }

    #[test]
    fn a_size_in_a_field_is_decimal_and_is_read_as_it_was_typed() {
        for (bytes, text) in [
            (5_000_000_000, "5 GB"),
            (1_500_000_000, "1.5 GB"),
            (250_000, "250 KB"),
            (999, "999"),
            (1_000, "1 KB"),
            (7_000_000_000_000, "7 TB"),
            (10_000_000_000, "10 GB"),
        ] {
            assert_eq!(size_typed(bytes), text);
            assert_eq!(crate::query::size(&text.replace(' ', "")), Some(bytes));
        }
        assert_eq!(size_typed(2 << 30), "2.147 GB");
        assert_eq!(size_typed(u64::MAX), "18446744.074 TB");
    }
}
