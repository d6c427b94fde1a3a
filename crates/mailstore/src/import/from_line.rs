//! The line that begins a message in an mbox: `From sender Mon Nov 23 14:50:10 2026`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Stands as sender in what we export. It tells the reader that every message is followed by exactly one line end that
/// is not its own, so that messages which do not end with a line end come back byte for byte.
pub const EXPORT_SENDER: &str = "exported@holdfast";

/// Longer lines are text.
const MAX_LINE: usize = 1_000;
/// Words of a line that are looked at; more means that it is text.
const MAX_WORDS: usize = 24;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The line for a message, without its line end.
pub fn from_line(date_ms: i64) -> String {
    let date = Timestamp::from_millisecond(date_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let date = TimeZone::UTC.to_datetime(date);
    format!("From {EXPORT_SENDER} {}", date.strftime("%a %b %e %H:%M:%S %Y"))
}

/// What a `From ` line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromLine {
    /// Its date, taken as UTC.
    pub date_ms: Option<i64>,
    /// Whether we wrote it.
    pub ours: bool,
}

/// How sure it is that a line begins a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It ends with a date as C's asctime writes it: it does, wherever it stands.
    Certain(FromLine),
    /// It has another kind of date, or a sender and no date: it does where an empty line stands before it and a header
    /// field after it.
    Perhaps(FromLine),
}

/// Read a line (without line end) as the beginning of a message. `None` if it is none: text may begin with `From `.
pub fn read(line: &[u8]) -> Option<Reading> {
    let line = line.strip_prefix(b"From ").filter(|rest| rest.len() <= MAX_LINE)?;
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split_ascii_whitespace().take(MAX_WORDS + 1).collect();
    if words.len() > MAX_WORDS {
        return None;
    }
    if let Some(start) = words.iter().rposition(|word| WEEKDAYS.contains(&&*word.to_ascii_lowercase()))
        && let Some(date_ms) = classic(&words[start + 1..])
    {
        return Some(Reading::Certain(FromLine {
            date_ms: Some(date_ms),
            ours: words.first() == Some(&EXPORT_SENDER),
        }));
    }
    // The sender may be missing or consist of several words; the date is all that follows.
    if let Some(date_ms) = (0..words.len()).find_map(|start| any_date(&words[start..])) {
        return Some(Reading::Perhaps(FromLine { date_ms: Some(date_ms), ours: false }));
    }
    let sender = |word: &str| word.contains('@') || matches!(word, "-" | "MAILER-DAEMON" | "<>");
    match words[..] {
        [word] if sender(word) => Some(Reading::Perhaps(FromLine { date_ms: None, ours: false })),
        _ => None,
    }
}

/// `Nov 23 14:50:10 2026`, seconds left out or a zone before or after the year: a zone is rarely right, and the date is
/// only a fallback.
fn classic(words: &[&str]) -> Option<i64> {
    let [month_name, day, time, rest @ ..] = words else { return None };
    let year = rest.iter().find(|word| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()))?;
    instant(number(year)?, month(month_name)?, number(day)?, clock(time)?, None)
}

/// A date in another order, made of nothing but what dates are made of: `Tue, 03 Mar 2020 08:32:00 +0100`,
/// `2020-03-03T08:32:00Z`, `3-Mar-2020 8:32 PM`.
fn any_date(words: &[&str]) -> Option<i64> {
    let (mut day, mut month_, mut year, mut time, mut zone, mut afternoon) = (None, None, None, None, None, None);
    // `remote from host` ends the lines of UUCP.
    let words = words.iter().position(|word| *word == "remote").map_or(words, |end| &words[..end]);
    for word in words {
        let word = word.trim_end_matches(',');
        let lower = word.to_ascii_lowercase();
        if word.starts_with('(') && word.ends_with(')') || WEEKDAYS.iter().any(|known| is_name(&lower, known)) {
        } else if let Some(when) = clock(word) {
            put(&mut time, when)?;
        } else if let Some((date, rest)) = iso(word) {
            put(&mut year, i64::from(date.year()))?;
            put(&mut month_, date.month())?;
            put(&mut day, i64::from(date.day()))?;
            if let Some(rest) = rest {
                put(&mut time, clock(rest)?)?;
            }
        } else if let Some(known) = month(word) {
            put(&mut month_, known)?;
        } else if matches!(&*lower, "am" | "pm") {
            put(&mut afternoon, lower == "pm")?;
        } else if let Some(minutes) = offset(word) {
            put(&mut zone, minutes)?;
        } else if let [d, m, y] = word.split('-').collect::<Vec<_>>()[..] {
            put(&mut day, number(d)?)?;
            put(&mut month_, month(m)?)?;
            put(&mut year, number(y)?)?;
        } else if word.bytes().all(|b| b.is_ascii_digit()) && !word.is_empty() {
            let slot = if word.len() <= 2 && day.is_none() { &mut day } else { &mut year };
            put(slot, number(word)?)?;
        } else if !(time.is_some() && word.len() <= 5 && word.bytes().all(|b| b.is_ascii_uppercase())) {
            return None;
        }
    }
    let (mut hour, minute, second) = time?;
    match afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    instant(year?, month_?, day?, (hour, minute, second), zone)
}

/// Sets what is not set yet.
fn put<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.is_none().then(|| *slot = Some(value))
}

fn is_name(lower: &str, known: &str) -> bool {
    lower.strip_prefix(known).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_lowercase())) && lower.len() <= 9
}

fn number(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn month(name: &str) -> Option<i8> {
    let lower = name.to_ascii_lowercase();
    let at = MONTHS.iter().position(|known| is_name(&lower, known))?;
    i8::try_from(at + 1).ok()
}

/// Hours, minutes, seconds.
fn clock(word: &str) -> Option<(i64, i64, i64)> {
    let word = word.strip_suffix(['Z', 'z']).unwrap_or(word);
    let word = word.split_once('.').map_or(word, |(whole, _)| whole);
    let mut parts = word.split(':');
    let (hour, minute) = (parts.next()?, parts.next()?);
    let second = parts.next().unwrap_or("0");
    let fits = |text: &str| (1..=2).contains(&text.len());
    if parts.next().is_some() || ![hour, minute, second].iter().all(|text| fits(text)) {
        return None;
    }
    Some((number(hour)?, number(minute)?, number(second)?))
}

/// `2020-03-03`, and what follows its `T`.
fn iso(word: &str) -> Option<(Date, Option<&str>)> {
    let (date, rest) = word.split_once('T').map_or((word, None), |(date, rest)| (date, Some(rest)));
    let (year, rest_of_date) = date.split_once('-')?;
    let (month, day) = rest_of_date.split_once('-')?;
    let year = i16::try_from(number(year).filter(|_| year.len() == 4)?).ok()?;
    let date = Date::new(year, i8::try_from(number(month)?).ok()?, i8::try_from(number(day)?).ok()?).ok()?;
    Some((date, rest))
}

/// Minutes east of UTC: `+0100`, `-05:30`.
fn offset(word: &str) -> Option<i64> {
    let (sign, digits) = match word.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let value = number(&digits).filter(|_| digits.len() == 4)?;
    Some(sign * (value / 100 * 60 + value % 100))
}

fn instant(year: i64, month: i8, day: i64, time: (i64, i64, i64), zone: Option<i64>) -> Option<i64> {
    let year = match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        _ => year,
    };
    let date = Date::new(i16::try_from(year).ok()?, month, i8::try_from(day).ok()?).ok()?;
    let (hour, minute, second) = time;
    let part = |value: i64| i8::try_from(value).ok();
    // A leap second counts as the one before it.
    let at = date.to_datetime(jiff::civil::Time::new(part(hour)?, part(minute)?, part(second.min(59))?, 0).ok()?);
    let ms = TimeZone::UTC.to_timestamp(at).ok()?.as_millisecond();
    Some(ms - zone.unwrap_or(0) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE_MS: i64 = 1_795_445_410_000;

    #[test]
    fn what_is_written_is_read() {
        for date_ms in [0, DATE_MS, 951_782_400_000] {
            let line = from_line(date_ms);
            let read = read(line.as_bytes());
            assert_eq!(read, Some(Reading::Certain(FromLine { date_ms: Some(date_ms), ours: true })), "{line}");
        }
        assert_eq!(from_line(DATE_MS), "From exported@holdfast Mon Nov 23 14:50:10 2026");
    }

    #[test]
    fn lines_of_other_programs_are_read() {
        for line in [
            "From ann@example.org Mon Nov 23 14:50:10 2026",
            "From ann@example.org  Mon Nov 23 14:50 2026",
            "From \"Ann B\" Mon Nov 23 14:50:10 +0100 2026",
            "From ann Mon Nov 23 14:50:10 2026 +0100",
            "From Mon Nov 23 14:50:10 2026",
            "From 1234@xxx Mon Nov 23 14:50:10 UTC 2026",
            "From ???@??? Mon Nov 23 14:50:10 2026",
            "From - mon nov 23 14:50:10 2026",
            "From uucp Mon Nov 23 14:50:10 2026 remote from host",
        ] {
            let Some(Reading::Certain(read)) = read(line.as_bytes()) else { panic!("{line}") };
            let date = read.date_ms.unwrap();
            assert!(!read.ours && (DATE_MS - 10_000..=DATE_MS).contains(&date), "{line}");
        }
    }

    #[test]
    fn other_kinds_of_dates_begin_a_message_where_one_can_begin() {
        for line in [
            "From ann@example.org Mon, 23 Nov 2026 15:50:10 +0100",
            "From ann@example.org Mon, 23 Nov 2026 14:50:10 GMT (winter)",
            "From ann@example.org 2026-11-23T14:50:10Z",
            "From ann@example.org 2026-11-23 14:50:10.123",
            "From ann@example.org 2026-11-23T14:50:10 +00:00",
            "From ann@example.org 23-Nov-2026 2:50:10 PM",
            "From ann@example.org Monday, November 23, 2026 14:50:10",
            "From Mon, 23 Nov 26 14:50:10",
            "From Ann Example Mon, 23 Nov 2026 14:50:10 UTC",
        ] {
            let read = read(line.as_bytes());
            assert_eq!(read, Some(Reading::Perhaps(FromLine { date_ms: Some(DATE_MS), ours: false })), "{line}");
        }
        for line in ["From ann@example.org", "From -", "From MAILER-DAEMON"] {
            let read = read(line.as_bytes());
            assert_eq!(read, Some(Reading::Perhaps(FromLine { date_ms: None, ours: false })), "{line}");
        }
    }

    #[test]
    fn text_is_no_from_line() {
        for line in [
            "From now on",
            "From Monday at 10:00 to 2026",
            "From the desk of Ines",
            "From 10:00 to 11:00 on 3 March 2026",
            "From here Mon Nov 23 2026",
            ">From a Mon Nov 23 14:50:10 2026",
            "From: a",
            "From ",
            "From 31 Feb 2026 10:00",
            "",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
        assert_eq!(read(format!("From {}", "x ".repeat(400)).as_bytes()), None);
    }
}
