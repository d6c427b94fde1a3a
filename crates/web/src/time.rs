//! Dates as people read them, in their own time zone.

use directory::Display;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use texts::Texts;

use crate::language::texts;
use crate::query::day::Custom;

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

/// How a day is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dates {
    /// `30 November 2026`.
    #[default]
    Words,
    /// `2026-11-30`.
    Iso,
    /// `30.11.2026`.
    Dots,
    /// `30/11/2026`.
    DayFirst,
    /// `11/30/2026`.
    MonthFirst,
}

/// How a reader wants days and times to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forms {
    /// Days.
    pub dates: Dates,
    /// `2:02 PM` rather than `14:02`.
    pub twelve_hours: bool,
    /// The day that weeks begin with.
    pub first_weekday: Weekday,
    /// In which language.
    pub texts: Texts,
}

impl Default for Forms {
    fn default() -> Self {
        Self { dates: Dates::Words, twelve_hours: false, first_weekday: Weekday::Monday, texts: Texts::default() }
    }
}

impl Forms {
    /// As an account's owner has chosen.
    pub fn of(display: &Display, texts: Texts) -> Self {
        let usual = texts.language().first_weekday();
        let first = i8::try_from(display.first_weekday).ok().filter(|first| *first > 0).unwrap_or(usual);
        Self {
            dates: match display.dates.as_str() {
                "iso" => Dates::Iso,
                "dots" => Dates::Dots,
                "day-first" => Dates::DayFirst,
                "month-first" => Dates::MonthFirst,
                _ => Dates::Words,
            },
            twelve_hours: display.clock == 12,
            texts,
            first_weekday: Weekday::from_monday_one_offset(first).unwrap_or(Weekday::Monday),
        }
    }

    /// How days are understood that the reader types.
    pub fn custom(self) -> Custom {
        let day_first = match self.dates {
            Dates::DayFirst => Some(true),
            Dates::MonthFirst => Some(false),
            _ => None,
        };
        Custom { first_weekday: Some(self.first_weekday), day_first }
    }

    fn time(self, then: &ZonedDateTime) -> String {
        if !self.twelve_hours {
            return then.strftime("%H:%M").to_string();
        }
        let time = then.strftime("%-I:%M").to_string();
        if then.hour() < 12 { self.texts.time_am(time) } else { self.texts.time_pm(time) }.into_owned()
    }

    /// A day in numbers, if that is how days are written.
    fn numbers(self, day: Date) -> Option<String> {
        let form = match self.dates {
            Dates::Words => return None,
            Dates::Iso => "%Y-%m-%d",
            Dates::Dots => "%d.%m.%Y",
            Dates::DayFirst => "%d/%m/%Y",
            Dates::MonthFirst => "%m/%d/%Y",
        };
        Some(day.strftime(form).to_string())
    }

    /// A day in few letters, with the year unless it is this one.
    fn short_day(self, day: Date, this_year: i16) -> String {
        self.numbers(day).unwrap_or_else(|| {
            let month = self.texts.month_short(day.month());
            if day.year() == this_year {
                self.texts.date_short(day.day(), month)
            } else {
                self.texts.date_short_year(day.day(), month, day.year().to_string())
            }
            .into_owned()
        })
    }

    /// A day: `23 November 2026`.
    pub fn day(self, day: Date) -> String {
        self.numbers(day).unwrap_or_else(|| {
            let month = self.texts.month(day.month());
            self.texts.date_day(day.day(), month, day.year().to_string()).into_owned()
        })
    }
}

/// What turns timestamps into text: a zone, the present, and how the reader wants it.
#[derive(Clone, Debug)]
pub struct Calendar {
    now: ZonedDateTime,
    forms: Forms,
}

impl Calendar {
    /// A calendar for the named zone (IANA, as `Europe/Athens`); UTC if there is none of that name.
    pub fn new(zone: &str, now: Timestamp) -> Self {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        Self { now: now.to_zoned_datetime(zone), forms: Forms::default() }
    }

    /// The same with days and times written in these forms.
    pub fn showing(self, forms: Forms) -> Self {
        Self { forms, ..self }
    }

    /// How days and times are written.
    pub const fn forms(&self) -> Forms {
        self.forms
    }

    /// When a day begins in the zone, in milliseconds since 1970 UTC; the earliest or the latest moment if it is out of range.
    pub fn begin_of(&self, date: Date) -> i64 {
        let out_of_range = if date.year() < 0 { i64::MIN } else { i64::MAX };
        self.at(date, Time::midnight()).unwrap_or(out_of_range)
    }

    /// How far the clock is from UTC when that day begins.
    pub fn offset_on(&self, date: Date) -> jiff::tz::Offset {
        let zone = self.now.time_zone();
        let begins = zone.to_timestamp(date.to_datetime(Time::midnight()));
        begins.map_or(jiff::tz::Offset::UTC, |at| zone.to_offset(at))
    }

    /// Now, in the zone.
    pub fn now(&self) -> &ZonedDateTime {
        &self.now
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
            0 => self.forms.time(&then),
            1 => self.forms.texts.yesterday().into_owned(),
            2..=6 => self.weekday(&then),
            _ => self.forms.short_day(then.date(), self.now.year()),
        };
        When {
            iso: then.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            short,
            full: {
                let (date, time) = (self.forms.day(then.date()), self.forms.time(&then));
                self.forms.texts.date_full(date, time, self.weekday(&then)).into_owned()
            },
        }
    }

    fn weekday(&self, then: &ZonedDateTime) -> String {
        self.forms.texts.weekday(then.weekday().to_monday_one_offset()).into_owned()
    }

    /// How long ago, roughly, for lists of devices.
    pub fn ago(&self, ms: i64) -> String {
        let minutes = (self.now.timestamp().as_millisecond().saturating_sub(ms)) / 60_000;
        let t = self.forms.texts;
        match minutes {
            ..=1 => t.ago_now().into_owned(),
            2..=59 => t.ago_minutes(minutes).into_owned(),
            60..=1439 => t.ago_hours(minutes / 60).into_owned(),
            1440..=2879 => t.ago_yesterday().into_owned(),
            2880..=43_199 => t.ago_days(minutes / 1440).into_owned(),
            _ => self.when(ms).short,
        }
    }

    /// The day and the time of a moment, as they stand in fields: `23 November 2026` and `18:00`. A day is written so that it
    /// can't be read in two ways when it comes back.
    pub fn day_and_time(&self, ms: i64) -> (String, String) {
        let then = self.zoned(ms);
        let forms = match self.forms.dates {
            Dates::DayFirst | Dates::MonthFirst => Forms { dates: Dates::Iso, ..self.forms },
            // Names of months are read in English alone.
            Dates::Words if self.forms.texts != Texts::default() => Forms { dates: Dates::Iso, ..self.forms },
            _ => self.forms,
        };
        (forms.day(then.date()), Forms { texts: Texts::default(), ..forms }.time(&then))
    }

    /// Day and time in few letters: `23 Nov 14:02`, with the year unless it is this one.
    pub fn stamp(&self, ms: i64) -> String {
        let at = self.zoned(ms);
        format!("{} {}", self.forms.short_day(at.date(), self.now.year()), self.forms.time(&at))
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
        let at = self.zoned(ms);
        self.forms.texts.attribution(self.forms.day(at.date()), self.forms.time(&at), who).into_owned()
    }

    fn zoned(&self, ms: i64) -> ZonedDateTime {
        let timestamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        timestamp.to_zoned_datetime(self.now.time_zone().clone())
    }
}

/// Bytes in the unit people would use.
pub fn size(bytes: u64) -> String {
    let t = texts();
    let units = [Texts::size_kb, Texts::size_mb, Texts::size_gb, Texts::size_tb];
    let mut value = bytes as f64;
    let mut unit = None;
    for name in units {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = Some(name);
    }
    let Some(unit) = unit else { return t.size_bytes(bytes).into_owned() };
    let number = if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    unit(t, t.decimal(&number)).into_owned()
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
    fn days_and_times_are_written_as_their_reader_wants() {
        let (at, old) = (ms("2026-11-12T12:02:00Z"), ms("2024-01-05T22:30:00Z"));
        for (dates, clock, short, full, stamp) in [
            ("", 0, "12 Nov", "Thursday 12 November 2026, 14:02", "6 Jan 2024 00:30"),
            ("iso", 24, "2026-11-12", "Thursday 2026-11-12, 14:02", "2024-01-06 00:30"),
            ("dots", 12, "12.11.2026", "Thursday 12.11.2026, 2:02 PM", "06.01.2024 12:30 AM"),
            ("day-first", 0, "12/11/2026", "Thursday 12/11/2026, 14:02", "06/01/2024 00:30"),
            ("month-first", 12, "11/12/2026", "Thursday 11/12/2026, 2:02 PM", "01/06/2024 12:30 AM"),
        ] {
            let display = Display { dates: dates.to_owned(), clock, ..Display::default() };
            let calendar = calendar().showing(Forms::of(&display, Texts::default()));
            let when = calendar.when(at);
            assert_eq!((when.short.as_str(), when.full.as_str()), (short, full), "{dates}");
            assert_eq!(calendar.stamp(old), stamp, "{dates}");
            assert!(
                calendar.attribution(at, "Ann").contains(calendar.forms().day(Date::constant(2026, 11, 12)).as_str())
            );
        }
    }

    #[test]
    fn a_day_begins_when_its_zone_says() {
        for (zone, day, begins) in [
            ("UTC", "2026-03-29", "2026-03-29T00:00:00Z"),
            ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z"),
            ("Europe/Berlin", "2026-03-30", "2026-03-29T22:00:00Z"),
            ("Europe/Berlin", "2026-10-26", "2026-10-25T23:00:00Z"),
            ("Asia/Kolkata", "2026-11-30", "2026-11-29T18:30:00Z"),
            ("Asia/Kathmandu", "2026-11-30", "2026-11-29T18:15:00Z"),
            ("Australia/Lord_Howe", "2026-11-30", "2026-11-29T13:00:00Z"),
            ("Pacific/Kiritimati", "2026-11-30", "2026-11-29T10:00:00Z"),
            ("Pacific/Pago_Pago", "2026-11-30", "2026-11-30T11:00:00Z"),
            // Its clocks go from midnight to one: the day begins at one.
            ("America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"),
            // A day that never was: the next one begins at once.
            ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
            // Rules go on for ever.
            ("Europe/Berlin", "2345-07-01", "2345-06-30T22:00:00Z"),
            ("America/New_York", "9000-01-01", "9000-01-01T05:00:00Z"),
            ("No/Where", "2026-11-30", "2026-11-30T00:00:00Z"),
        ] {
            let calendar = Calendar::new(zone, "2026-11-23T13:00:00Z".parse().unwrap());
            assert_eq!(calendar.begin_of(day.parse().unwrap()), ms(begins), "{zone} {day}");
        }
        let calendar = calendar();
        assert!(calendar.begin_of(Date::MIN) < calendar.begin_of(Date::constant(1, 1, 1)));
        assert!(calendar.begin_of(Date::MAX) > calendar.begin_of(Date::constant(9999, 1, 1)));
    }

    #[test]
    fn moments_are_shown_in_their_zone_on_both_sides_of_a_change_of_clocks() {
        for (zone, at, full) in [
            ("Europe/Berlin", "2026-03-29T00:59:00Z", "Sunday 29 March 2026, 01:59"),
            ("Europe/Berlin", "2026-03-29T01:00:00Z", "Sunday 29 March 2026, 03:00"),
            ("Europe/Berlin", "2026-10-25T00:30:00Z", "Sunday 25 October 2026, 02:30"),
            ("Europe/Berlin", "2026-10-25T01:30:00Z", "Sunday 25 October 2026, 02:30"),
            ("Asia/Kolkata", "2026-11-29T18:30:00Z", "Monday 30 November 2026, 00:00"),
            ("Australia/Lord_Howe", "2026-06-01T00:00:00Z", "Monday 1 June 2026, 10:30"),
            ("America/New_York", "2500-07-01T12:00:00Z", "Thursday 1 July 2500, 08:00"),
        ] {
            let calendar = Calendar::new(zone, "2026-11-23T13:00:00Z".parse().unwrap());
            assert_eq!(calendar.when(ms(at)).full, full, "{zone}");
        }
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
