//! Days as people type them.

use std::ops::Range;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

/// What a text means that has several meanings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Custom {
    /// The day that weeks begin with; Monday by default.
    pub first_weekday: Option<Weekday>,
    /// In `4/3/2026` the day comes first, or the month; `None` is the month, and that it is a guess.
    pub day_first: Option<bool>,
}

/// [`read_as`] without customs.
pub fn read(text: &str, today: Date) -> Option<Range<Date>> {
    read_as(text, today, Custom::default())
}

/// The days that a text names, up to and without the second: `2026-11-23` and `23.11.2026` are one day, `2026-11` is a
/// month, `2026` a year; `today`, `yesterday`, `monday` (the last one), `nov`, `7d` ago, `last week`, `this month`.
///
/// `11/23/2026` is understood where one number can't be a month; where both can, the custom says which comes first.
pub fn read_as(text: &str, today: Date, custom: Custom) -> Option<Range<Date>> {
    let text = text.trim().to_lowercase();
    let day = |date: Date| Some(date..date.tomorrow().ok()?);
    match text.as_str() {
        "today" => return day(today),
        "yesterday" => return day(today.yesterday().ok()?),
        "tomorrow" => return day(today.tomorrow().ok()?),
        _ => {}
    }
    if let Some(days) = relative(&text, today, custom.first_weekday.unwrap_or(Weekday::Monday)) {
        return Some(days);
    }
    if let Some(weekday) = weekday(&text) {
        return day(today.nth_weekday(-1, weekday).ok()?);
    }
    if let Some(date) = ago(&text, today) {
        return day(date);
    }
    let parts: Vec<&str> = text.split(['-', '/', '.', ' ']).filter(|part| !part.is_empty()).collect();
    match parts[..] {
        [year] if year.len() == 4 && number(year).is_some() => span(number(year)?, None),
        [name] => {
            let month = month(name)?;
            let year = if month > today.month() { today.year() - 1 } else { today.year() };
            span(year, Some(month))
        }
        [year, month_] if year.len() == 4 => span(number(year)?, Some(month_number(month_)?)),
        [month_, year] if year.len() == 4 => span(number(year)?, Some(month_number(month_)?)),
        [one, two, three] => day(whole(text.contains('.'), custom.day_first == Some(true), [one, two, three])?),
        _ => None,
    }
}

/// `last week`, `this month`, `lastyear`.
fn relative(text: &str, today: Date, first_weekday: Weekday) -> Option<Range<Date>> {
    let (is_last, unit) = match (text.strip_prefix("last"), text.strip_prefix("this")) {
        (Some(unit), _) => (true, unit),
        (None, Some(unit)) => (false, unit),
        (None, None) => return None,
    };
    let (start, length) = match unit.trim_start_matches([' ', '-', '_']) {
        "week" => (today.checked_sub(i64::from(today.weekday().since(first_weekday)).days()).ok()?, 1.week()),
        "month" => (today.first_of_month(), 1.month()),
        "year" => (today.first_of_year(), 1.year()),
        name if is_last => {
            let day = today.nth_weekday(-1, weekday(name)?).ok()?;
            return Some(day..day.tomorrow().ok()?);
        }
        _ => return None,
    };
    let start = if is_last { start.checked_sub(length).ok()? } else { start };
    Some(start..start.checked_add(length).ok()?)
}

/// Whether day and month of a date can be taken for each other: `4/3/2026`.
pub fn is_ambiguous(text: &str) -> bool {
    let parts: Vec<&str> = text.trim().split(['-', '/']).collect();
    let [one, two, year] = parts[..] else { return false };
    let month = |text: &str| number(text).filter(|n| text.len() <= 2 && (1..=12).contains(n));
    matches!((month(one), month(two)), (Some(one), Some(two)) if one != two) && number(year).is_some()
}

/// The day so long before today: `7d`, `2w`, `3m`, `1y`.
pub fn ago(text: &str, today: Date) -> Option<Date> {
    let text = text.trim().to_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: i32 = digits.parse().ok().filter(|n| (0..=10_000).contains(n))?;
    let span = match &text[digits.len()..] {
        "d" | "day" | "days" => count.days(),
        "w" | "week" | "weeks" => count.weeks(),
        "m" | "mo" | "month" | "months" => count.months(),
        "y" | "year" | "years" => count.years(),
        _ => return None,
    };
    today.checked_sub(span).ok()
}

/// Three numbers; with dots the day comes first.
fn whole(dots: bool, day_first: bool, [one, two, three]: [&str; 3]) -> Option<Date> {
    let (year, month, day) = if one.len() == 4 {
        (number(one)?, month_number(two)?, number(three)?)
    } else {
        let year = match three.len() {
            4 => number(three)?,
            2 => 2000 + number(three)?,
            _ => return None,
        };
        match (number(one), number(two)) {
            (Some(day), None) => (year, month(two)?, day),
            (None, Some(day)) => (year, month(one)?, day),
            (Some(day), Some(other)) if dots || day > 12 || day_first && other <= 12 => (year, month_number(two)?, day),
            (Some(_), Some(day)) => (year, month_number(one)?, day),
            (None, None) => return None,
        }
    };
    Date::new(year, month, i8::try_from(day).ok()?).ok()
}

fn span(year: i16, month: Option<i8>) -> Option<Range<Date>> {
    let start = Date::new(year, month.unwrap_or(1), 1).ok()?;
    let end = start.checked_add(if month.is_some() { 1.month() } else { 1.year() }).ok()?;
    Some(start..end)
}

fn number(text: &str) -> Option<i16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn month_number(text: &str) -> Option<i8> {
    match number(text) {
        Some(n) => i8::try_from(n).ok().filter(|n| (1..=12).contains(n)),
        None => month(text),
    }
}

fn month(name: &str) -> Option<i8> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let at = NAMES.iter().position(|full| name.len() >= 3 && full.starts_with(name))?;
    i8::try_from(at + 1).ok()
}

fn weekday(name: &str) -> Option<Weekday> {
    const NAMES: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    NAMES.iter().find(|(full, _)| name.len() >= 3 && full.starts_with(name)).map(|(_, day)| *day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_people_type_them() {
        // A Sunday.
        let today = Date::constant(2026, 11, 29);
        for (text, start, end) in [
            ("2026-11-23", "2026-11-23", "2026-11-24"),
            ("2026/11/23", "2026-11-23", "2026-11-24"),
            ("23.11.2026", "2026-11-23", "2026-11-24"),
            ("3.4.26", "2026-04-03", "2026-04-04"),
            ("11/23/2026", "2026-11-23", "2026-11-24"),
            ("23/11/2026", "2026-11-23", "2026-11-24"),
            ("4/3/2026", "2026-04-03", "2026-04-04"),
            ("23-nov-2026", "2026-11-23", "2026-11-24"),
            ("nov 23 2026", "2026-11-23", "2026-11-24"),
            ("2026-02", "2026-02-01", "2026-03-01"),
            ("11/2026", "2026-11-01", "2026-12-01"),
            ("nov-2025", "2025-11-01", "2025-12-01"),
            ("2024", "2024-01-01", "2025-01-01"),
            ("march", "2026-03-01", "2026-04-01"),
            ("dec", "2025-12-01", "2026-01-01"),
            ("today", "2026-11-29", "2026-11-30"),
            ("Yesterday", "2026-11-28", "2026-11-29"),
            ("monday", "2026-11-23", "2026-11-24"),
            ("sun", "2026-11-22", "2026-11-23"),
            ("7d", "2026-11-22", "2026-11-23"),
            ("2w", "2026-11-15", "2026-11-16"),
            ("1y", "2025-11-29", "2025-11-30"),
            ("last week", "2026-11-16", "2026-11-23"),
            ("this week", "2026-11-23", "2026-11-30"),
            ("Last-Month", "2026-10-01", "2026-11-01"),
            ("thismonth", "2026-11-01", "2026-12-01"),
            ("last_year", "2025-01-01", "2026-01-01"),
            ("last friday", "2026-11-27", "2026-11-28"),
        ] {
            let days = read(text, today).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((days.start.to_string(), days.end.to_string()), (start.to_owned(), end.to_owned()), "{text}");
        }
    }

    #[test]
    fn customs_say_when_a_week_begins_and_which_number_is_the_month() {
        // A Sunday.
        let today = Date::constant(2026, 11, 29);
        for (text, first_weekday, day_first, start, end) in [
            ("this week", Weekday::Sunday, None, "2026-11-29", "2026-12-06"),
            ("last week", Weekday::Sunday, None, "2026-11-22", "2026-11-29"),
            ("this week", Weekday::Saturday, None, "2026-11-28", "2026-12-05"),
            ("last week", Weekday::Saturday, None, "2026-11-21", "2026-11-28"),
            ("this week", Weekday::Monday, None, "2026-11-23", "2026-11-30"),
            ("4/3/2026", Weekday::Monday, Some(true), "2026-03-04", "2026-03-05"),
            ("4/3/2026", Weekday::Monday, Some(false), "2026-04-03", "2026-04-04"),
            ("11/23/2026", Weekday::Monday, Some(true), "2026-11-23", "2026-11-24"),
            ("23/11/2026", Weekday::Monday, Some(false), "2026-11-23", "2026-11-24"),
            ("2026-11-23", Weekday::Sunday, Some(true), "2026-11-23", "2026-11-24"),
            ("3.4.26", Weekday::Sunday, Some(false), "2026-04-03", "2026-04-04"),
        ] {
            let custom = Custom { first_weekday: Some(first_weekday), day_first };
            let days = read_as(text, today, custom).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((days.start.to_string(), days.end.to_string()), (start.to_owned(), end.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_day_is_none() {
        let today = Date::constant(2026, 11, 29);
        for text in [
            "",
            "foo",
            "last",
            "this",
            "last foo",
            "2026-13",
            "2026-02-30",
            "31.2.2026",
            "12",
            "0",
            "-",
            "1-2-3-4",
            "99999d",
            "d",
            "m",
            "m\u{e9}",
            "32.1.2026",
        ] {
            assert_eq!(read(text, today), None, "{text}");
        }
    }
}
