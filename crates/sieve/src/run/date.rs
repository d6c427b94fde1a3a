//! Date parts (RFC 5260 section 4).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

const PARTS: &[&str] = &[
    "year", "month", "day", "date", "julian", "hour", "minute", "second", "time", "iso8601", "std11", "zone", "weekday",
];

/// Whether there is such a part.
pub(crate) fn check_part(name: &str) -> Result<(), String> {
    if PARTS.iter().any(|part| part.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(format!("'{name}' is not a part of a date: it is one of {}", PARTS.join(", ")))
}

/// `+hhmm` or `-hhmm` in minutes.
pub(crate) fn zone_minutes(zone: &str) -> Option<i32> {
    let sign = match zone.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = &zone[1..];
    if digits.len() != 4 || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// The zone that a date field was written in, in minutes.
pub(crate) fn written_zone(value: &str) -> i32 {
    let bare = value.split('(').next().unwrap_or_default().trim();
    let last = bare.rsplit([' ', '\t']).next().unwrap_or_default();
    zone_minutes(last).unwrap_or_else(|| match last.to_ascii_uppercase().as_str() {
        "EDT" => -240,
        "EST" | "CDT" => -300,
        "CST" | "MDT" => -360,
        "MST" | "PDT" => -420,
        "PST" => -480,
        _ => 0,
    })
}

/// A part of a moment in a zone.
pub(crate) fn part(ms: i64, zone: i32, name: &str) -> Option<String> {
    let offset = Offset::from_seconds(zone * 60).ok()?;
    let at: DateTime = TimeZone::fixed(offset).to_datetime(Timestamp::from_millisecond(ms).ok()?);
    let sign = if zone < 0 { '-' } else { '+' };
    let (hours, minutes) = (zone.abs() / 60, zone.abs() % 60);
    let two = |number: i8| format!("{number:02}");
    let date = || format!("{:04}-{:02}-{:02}", at.year(), at.month(), at.day());
    let time = || format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
    Some(match name.to_ascii_lowercase().as_str() {
        "year" => format!("{:04}", at.year()),
        "month" => two(at.month()),
        "day" => two(at.day()),
        "date" => date(),
        "julian" => julian(at.date()).to_string(),
        "hour" => two(at.hour()),
        "minute" => two(at.minute()),
        "second" => two(at.second()),
        "time" => time(),
        "iso8601" => format!("{}T{}{sign}{hours:02}:{minutes:02}", date(), time()),
        "std11" => format!("{} {sign}{hours:02}{minutes:02}", at.strftime("%a, %d %b %Y %H:%M:%S")),
        "zone" => format!("{sign}{hours:02}{minutes:02}"),
        "weekday" => at.date().weekday().to_sunday_zero_offset().to_string(),
        _ => return None,
    })
}

/// The modified Julian day.
fn julian(date: Date) -> i64 {
    const EPOCH: Date = Date::constant(1858, 11, 17);
    i64::from(date.duration_since(EPOCH).as_hours() as i32 / 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_zone() {
        let ms = mailkit::date::parse("Wed, 12 Nov 2014 23:18:31 +0000").unwrap();
        for (name, zone, text) in [
            ("year", 0, "2014"),
            ("day", 60, "13"),
            ("julian", 0, "56973"),
            ("iso8601", -90, "2014-11-12T21:48:31-01:30"),
            ("STD11", 60, "Thu, 13 Nov 2014 00:18:31 +0100"),
            ("weekday", 60, "4"),
            ("zone", -90, "-0130"),
        ] {
            assert_eq!(part(ms, zone, name).as_deref(), Some(text), "{name}");
        }
        assert_eq!(written_zone("Wed, 12 Nov 2014 23:18:31 -0130 (X)"), -90);
    }
}
