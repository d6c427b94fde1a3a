//! A date and a time as people type them, in the form in which the page shows moments.

use jiff::civil::{Date, Time};

use crate::query::day;
use crate::time::Calendar;

/// Longest date or time that is read, in bytes.
const MAX_TYPED: usize = 60;

/// The moment that a date and a time name, in milliseconds since 1970 UTC; or what to type instead, in words.
///
/// The date may be `29 November 2026`, with the day of the week before it or without, `2026-11-29`, `29.11.2026`,
/// `yesterday`, `monday` (the last one) or `3 days ago`. Three numbers with slashes are read where they can mean one day only.
/// The time may be `18:05`, `18.05`, `18`, `6 pm`, `6:05 p.m.`, `noon` or `midnight`.
///
/// # Errors
/// A sentence about the field that was not understood.
pub fn read(date: &str, time: &str, calendar: &Calendar) -> Result<i64, String> {
    let date = date_of(date, calendar.today())?;
    let time = time_of(time)
        .ok_or_else(|| format!("\u{201c}{}\u{201d} isn\u{2019}t a time. Enter one such as 18:05.", short(time)))?;
    calendar.at(date, time).ok_or_else(|| "This time is out of range.".to_owned())
}

fn short(text: &str) -> String {
    mailkit::visible::on_one_line(text).trim().chars().take(MAX_TYPED).collect()
}

fn date_of(typed: &str, today: Date) -> Result<Date, String> {
    let wrong = || format!("\u{201c}{}\u{201d} isn\u{2019}t a date. Enter one such as 29 November 2026.", short(typed));
    if typed.trim().is_empty() {
        return Err("Enter a date such as 29 November 2026.".to_owned());
    }
    if typed.len() > MAX_TYPED {
        return Err(wrong());
    }
    let plain = typed.trim().to_lowercase().replace(',', " ");
    let plain = plain.strip_suffix(" ago").unwrap_or(&plain);
    let words: Vec<&str> = plain.split_whitespace().collect();
    if let [number, unit] = words[..]
        && let Some(date) = day::ago(&format!("{number}{unit}"), today)
    {
        return Ok(date);
    }
    // `Sunday 29 November 2026`: the day of the week says nothing more.
    let words = if words.len() == 4 { &words[1..] } else { &words[..] };
    let joined = words.join(" ");
    let joined = joined.as_str();
    if let Some((month_first, day_first)) = both_ways(joined) {
        return Err(format!(
            "\u{201c}{}\u{201d} can be {} or {}. Enter the month as a word.",
            short(typed),
            month_first.strftime("%-d %B %Y"),
            day_first.strftime("%-d %B %Y")
        ));
    }
    let days = day::read(joined, today).ok_or_else(wrong)?;
    // A month or a year is no day.
    if days.start.tomorrow().ok() == Some(days.end) { Ok(days.start) } else { Err(wrong()) }
}

/// The two days that `11/12/2026` can mean.
fn both_ways(text: &str) -> Option<(Date, Date)> {
    let numbers: Vec<i16> = text.split('/').map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
    let [one, two, year] = numbers[..] else { return None };
    let year = if year < 100 { 2000 + year } else { year };
    let date = |month: i16, day: i16| Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok();
    (one != two).then_some((date(one, two)?, date(two, one)?))
}

fn time_of(typed: &str) -> Option<Time> {
    let text: String = typed.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    match text.as_str() {
        "noon" | "midday" => return Time::new(12, 0, 0, 0).ok(),
        "midnight" => return Some(Time::midnight()),
        _ => {}
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '.');
    let half = text[digits.len()..].replace('.', "");
    let (hour, minute) = match digits.split_once([':', '.', 'h']) {
        Some((hour, minute)) if minute.len() == 2 => (hour, minute),
        // Seconds are more than the page shows, and are passed over.
        Some((hour, rest)) if rest.len() == 5 && rest.as_bytes()[2] == b':' => {
            rest[3..].parse::<u8>().ok().filter(|seconds| *seconds < 60)?;
            (hour, rest.get(..2)?)
        }
        Some(_) => return None,
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i8>().ok())?;
    let (hour, minute) = (number(hour)?, number(minute)?);
    let hour = match half.as_str() {
        "" | "h" | "uhr" => hour,
        "am" | "a" if (1..=12).contains(&hour) => hour % 12,
        "pm" | "p" if (1..=12).contains(&hour) => hour % 12 + 12,
        _ => return None,
    };
    Time::new(hour, minute, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn calendar() -> Calendar {
        // A Sunday.
        Calendar::new("Europe/Athens", Timestamp::from_second(1_795_954_800).unwrap())
    }

    #[test]
    fn what_the_page_writes_into_the_fields_is_understood_when_it_comes_back() {
        for texts in texts::Language::ALL.map(texts::Texts::of) {
            for dates in ["", "iso", "dots", "day-first", "month-first"] {
                for clock in [0, 12, 24] {
                    let display = directory::Display { dates: dates.to_owned(), clock, ..Default::default() };
                    let calendar = calendar().showing(crate::time::Forms::of(&display, texts));
                    // In summer and in winter, at midnight, at noon, on days that other forms take for months.
                    for at in
                        ["2026-07-04T09:05:00Z", "2026-01-02T22:00:00Z", "2025-12-11T10:00:00Z", "2024-02-29T23:59:00Z"]
                    {
                        let at = at.parse::<Timestamp>().unwrap().as_millisecond();
                        let (day, time) = calendar.day_and_time(at);
                        assert_eq!(read(&day, &time, &calendar), Ok(at), "{day} {time}");
                    }
                }
            }
        }
    }

    #[test]
    fn dates_are_read_as_people_type_them() {
        let today = calendar().today();
        assert_eq!(today, Date::constant(2026, 11, 29));
        for (typed, (month, day)) in [
            ("29 November 2026", (11, 29)),
            ("Sunday 29 November 2026", (11, 29)),
            ("Sunday, 29 November 2026", (11, 29)),
            ("november 9, 2026", (11, 9)),
            ("9 nov 2026", (11, 9)),
            ("2026-11-09", (11, 9)),
            ("9.11.2026", (11, 9)),
            ("09.11.26", (11, 9)),
            ("23/11/2026", (11, 23)),
            ("11/23/2026", (11, 23)),
            ("11/11/2026", (11, 11)),
            (" Yesterday ", (11, 28)),
            ("today", (11, 29)),
            ("friday", (11, 27)),
            ("3 days ago", (11, 26)),
            ("2 weeks ago", (11, 15)),
            ("3d", (11, 26)),
        ] {
            assert_eq!(date_of(typed, today), Ok(Date::constant(2026, month, day)), "{typed}");
        }
        let long = "1".repeat(5_000);
        for typed in [
            "",
            " ",
            "soon",
            "2026",
            "november",
            "31 November 2026",
            "11/12/2026",
            "1/2/26",
            "x 1 2 3 4",
            "2026-13-01",
            "é/é/é",
            &long,
        ] {
            let why = date_of(typed, today).unwrap_err();
            assert!(why.contains("29 November 2026") || why.contains("as a word"), "{typed}: {why}");
            assert!(why.len() < 300, "{why}");
        }
        let both = date_of("11/12/2026", today).unwrap_err();
        assert!(both.contains("12 November 2026") && both.contains("11 December 2026"), "{both}");
    }

    #[test]
    fn times_are_read_as_people_type_them() {
        for (typed, (hour, minute)) in [
            ("18:05", (18, 5)),
            ("6:05", (6, 5)),
            ("18.05", (18, 5)),
            ("18h05", (18, 5)),
            ("1805", (18, 5)),
            ("18", (18, 0)),
            ("18:05:30", (18, 5)),
            ("6 pm", (18, 0)),
            ("6:05pm", (18, 5)),
            ("6:05 p.m.", (18, 5)),
            ("12 am", (0, 0)),
            ("12:30 PM", (12, 30)),
            ("noon", (12, 0)),
            ("Midnight", (0, 0)),
            ("18 Uhr", (18, 0)),
        ] {
            assert_eq!(time_of(typed), Time::new(hour, minute, 0, 0).ok(), "{typed}");
        }
        for typed in [
            "", "24:00", "18:60", "18:5", "13 pm", "0 am", "six", "-1", "18:05:", "18:05:99", "é", "1é05", "999",
            "18:05 x",
        ] {
            assert_eq!(time_of(typed), None, "{typed}");
        }
    }

    #[test]
    fn what_the_page_shows_is_understood() {
        let calendar = calendar();
        for ms in [1_795_954_800_000, 1_770_000_000_000, 1_782_000_060_000] {
            let (date, time) = calendar.day_and_time(ms);
            assert_eq!(read(&date, &time, &calendar), Ok(ms), "{date} {time}");
        }
        // An hour that a change of clocks leaves out, and one that it repeats, name a moment all the same.
        assert!(read("29 March 2026", "03:30", &calendar).is_ok());
        assert!(read("25 October 2026", "03:30", &calendar).is_ok());
    }
}
