//! RFC 5322 dates.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// First and last instant given for a date, in milliseconds: the years 1970 to 9999.
const RANGE_MS: std::ops::RangeInclusive<i64> = 0..=253_402_207_200_000;

/// Tokens of a date looked at; more means that it is none.
const MAX_TOKENS: usize = 16;

/// Reads a Date field leniently; milliseconds since the epoch, within the years 1970 to 9999.
///
/// The weekday is not looked at; two- and three-digit years, missing seconds and zones, zone names and comments are
/// taken as RFC 5322 section 4.3 says.
pub fn parse(value: &str) -> Option<i64> {
    let read = Written::read(value)?;
    let local = read.day.to_datetime(read.time);
    let utc = local.checked_sub(SignedDuration::from_mins(read.offset_minutes.into())).ok()?;
    let ms = TimeZone::UTC.to_timestamp(utc).ok()?.as_millisecond();
    RANGE_MS.contains(&ms).then_some(ms)
}

/// Writes an RFC 5322 date in UTC: `Mon, 23 Nov 2026 14:50:10 +0000`. Times out of range are brought to its ends.
pub fn format(ms: i64) -> String {
    let ms = ms.clamp(*RANGE_MS.start(), *RANGE_MS.end());
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Calendar day as written in the Date field, zone disregarded (IMAP `SENTON` and its like): days since 1970-01-01.
pub fn written_day(value: &str) -> Option<i32> {
    let day = Written::read(value)?.day;
    let epoch = Date::constant(1970, 1, 1);
    Some(day.duration_since(epoch).as_hours() as i32 / 24)
}

/// A date as it was written.
struct Written {
    day: Date,
    time: Time,
    offset_minutes: i32,
}

impl Written {
    fn read(value: &str) -> Option<Self> {
        let tokens = tokens(value)?;
        let mut tokens = tokens.iter().map(String::as_str).peekable();
        // The weekday: letters, before the day's number.
        while tokens.next_if(|t| !t.starts_with(|c: char| c.is_ascii_digit()) && month(t).is_none()).is_some() {}
        let first = tokens.next()?;
        // "23 Nov 2026", or as C's asctime has it, "Nov 23 14:50:10 2026".
        let (day, month, mut year) = match month(first) {
            Some(month) => (number(tokens.next()?, 31)?, month, None),
            None => {
                let day = number(first, 31)?;
                let month = month(tokens.next()?)?;
                (day, month, Some(full_year(tokens.next()?)?))
            }
        };
        let mut time = Time::midnight();
        let mut offset_minutes = 0;
        for token in tokens {
            if token.contains(':') {
                time = clock(token)?;
            } else if year.is_none() && token.len() == 4 && !token.starts_with(['+', '-']) {
                year = full_year(token);
            } else if let Some(minutes) = zone(token) {
                offset_minutes = minutes;
                break;
            }
        }
        let day = Date::new(year?, month, i8::try_from(day).ok()?).ok()?;
        Some(Self { day, time, offset_minutes })
    }
}

/// Words of a date, comments left out, `23-Nov-2026` taken apart.
fn tokens(value: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut depth = 0usize;
    for c in value.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => continue,
            c if c.is_whitespace() || c == ',' => {}
            // A minus inside a word separates; at its start it belongs to the zone.
            '-' if !word.is_empty() && !word.contains(':') => {}
            // 14:50:10+0100
            '+' | '-' if !word.is_empty() => {}
            c => {
                word.push(c);
                continue;
            }
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
            if tokens.len() > MAX_TOKENS {
                return None;
            }
        }
        if matches!(c, '+' | '-') && depth == 0 && tokens.last().is_some_and(|t| t.contains(':')) {
            word.push(c);
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    Some(tokens)
}

fn number(text: &str, max: u32) -> Option<u32> {
    if text.is_empty() || text.len() > 2 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| *n <= max)
}

fn month(text: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = text.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.iter().position(|m| *m == start)?;
    Some(at as i8 + 1)
}

fn full_year(text: &str) -> Option<i16> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let year: i16 = text.parse().ok()?;
    match text.len() {
        2 if year < 50 => Some(2000 + year),
        2 | 3 => Some(1900 + year),
        4 => Some(year),
        _ => None,
    }
}

fn clock(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let hour = number(parts.next()?, 23)?;
    let minute = number(parts.next()?, 59)?;
    let second = match parts.next() {
        // Fractions of a second are no part of the format, and harmless.
        Some(text) => number(text.split('.').next()?, 60)?.min(59),
        None => 0,
    };
    Time::new(hour as i8, minute as i8, second as i8, 0).ok()
}

/// Offset of a zone in minutes east of UTC.
fn zone(text: &str) -> Option<i32> {
    let hours = match text.to_ascii_uppercase().as_str() {
        "UT" | "UTC" | "GMT" | "Z" => 0,
        "EST" | "CDT" => -5,
        "EDT" => -4,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        other => {
            let (sign, digits) = match other.split_at_checked(1)? {
                ("+", digits) => (1, digits),
                ("-", digits) => (-1, digits),
                // Other names, military ones among them, are as good as unknown: UTC.
                _ => return other.bytes().all(|b| b.is_ascii_alphabetic()).then_some(0),
            };
            if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let (hours, minutes) = digits.split_at(2);
            let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
            return Some(sign * (hours * 60 + minutes));
        }
    };
    Some(hours * 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: i64 = 1_795_445_410_000;

    #[test]
    fn the_forms_of_real_mail_are_read() {
        assert_eq!(format(AT), "Mon, 23 Nov 2026 14:50:10 +0000");
        for text in [
            "Mon, 23 Nov 2026 14:50:10 +0000",
            "23 Nov 2026 14:50:10 +0000",
            "Mon, 23 Nov 2026 15:50:10 +0100 (CET)",
            "Mon, 23 Nov 2026 09:50:10 EST",
            "Mon, 23 Nov 26 14:50:10 GMT",
            "Mon, 23 Nov 2026 14:50:10",
            "Mon 23-Nov-2026 14:50:10 -0000",
            "Mon Nov 23 14:50:10 2026",
            "Mon, 23 Nov 2026 14:50:10.123 Z",
            "Wrongday, 23 November 2026 20:20:10+0530",
            "Mon, (c) 23 (d (e)) Nov 2026 14:50:10 +0000",
        ] {
            assert_eq!(parse(text), Some(AT), "{text}");
        }
        assert_eq!(parse("23 Nov 2026 14:50 +0000"), Some(AT - 10_000));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "today", "32 Nov 2026 14:50:10", "30 Feb 2026 1:1:1", "1 Jan 1900 0:0", "99", "1 2 3"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_written_day_disregards_the_zone() {
        let days = (AT / 86_400_000) as i32;
        assert_eq!(written_day("23 Nov 2026 23:59:00 -1200"), Some(days));
        assert_eq!(written_day("23 Nov 2026 00:01:00 +1400"), Some(days));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in 0i64..253_402_207_200) {
            prop_assert_eq!(parse(&format(seconds * 1000)), Some(seconds * 1000));
        }

        #[test]
        fn any_text_is_taken_without_panic(text: String, ms: i64) {
            parse(&text);
            written_day(&text);
            format(ms);
        }
    }
}
