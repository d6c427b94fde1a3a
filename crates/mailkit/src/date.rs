//! RFC 5322 dates.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// First and last instant given for a date, in milliseconds: the years 1970 to 9999.
const RANGE_MS: std::ops::RangeInclusive<i64> = 0..=253_402_207_200_000;

/// Tokens of a date looked at; more means that it is none.
const MAX_TOKENS: usize = 16;

/// Before this no mail was sent that anyone still has: a Date field that says so is wrong.
const FIRST_PLAUSIBLE_MS: i64 = 315_532_800_000;

/// How far a Date field may be ahead of the delivery: zones that were lost, and clocks that are a little wrong.
const MAX_AHEAD_MS: i64 = 2 * 24 * 3_600_000;

/// When a message was sent, as it is shown and as it stands in quotes: what its Date field says
/// ([`crate::Parsed::date_ms`]), or the time of delivery if that can't be.
pub fn sent_ms(date_ms: Option<i64>, delivered_ms: i64) -> i64 {
    let latest = if delivered_ms < FIRST_PLAUSIBLE_MS { i64::MAX } else { delivered_ms.saturating_add(MAX_AHEAD_MS) };
    date_ms.filter(|ms| (FIRST_PLAUSIBLE_MS..=latest).contains(ms)).unwrap_or(delivered_ms)
}

/// Reads a Date field leniently; milliseconds since the epoch, within the years 1970 to 9999.
///
/// The weekday is not looked at; two- and three-digit years, missing seconds and zones, zone names and comments are
/// taken as RFC 5322 section 4.3 says. Read besides are ISO 8601, months in the languages of mail programs, dates in
/// digits, and clocks with AM and PM.
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
        let mut pieces = Pieces::default();
        for (at, word) in words(value).into_iter().enumerate() {
            if at > MAX_TOKENS {
                return None;
            }
            pieces.take(&word)?;
        }
        let day = Date::new(pieces.year?, pieces.month?, i8::try_from(pieces.day?).ok()?).ok()?;
        let (hour, minute, second) = pieces.clock.unwrap_or_default();
        let hour = match pieces.afternoon {
            Some(true) if hour < 12 => hour + 12,
            Some(false) if hour == 12 => 0,
            _ => hour,
        };
        let time = Time::new(hour as i8, minute as i8, second as i8, 0).ok()?;
        Some(Self { day, time, offset_minutes: pieces.offset_minutes.unwrap_or_default() })
    }
}

/// What has been read of a date so far.
#[derive(Default)]
struct Pieces {
    day: Option<u32>,
    month: Option<i8>,
    year: Option<i16>,
    clock: Option<(u32, u32, u32)>,
    afternoon: Option<bool>,
    offset_minutes: Option<i32>,
}

impl Pieces {
    /// Takes a word. `None` if it makes a date impossible; a word that means nothing is passed over.
    fn take(&mut self, word: &str) -> Option<()> {
        let word = word.trim_matches([';', '"', '\'']);
        let lower = word.to_lowercase();
        match lower.as_str() {
            "am" | "a.m." | "a.m" => self.afternoon = Some(false),
            "pm" | "p.m." | "p.m" => self.afternoon = Some(true),
            _ => return self.take_other(word.trim_end_matches('.')),
        }
        Some(())
    }

    fn take_other(&mut self, word: &str) -> Option<()> {
        let first = word.chars().next().unwrap_or(' ');
        if matches!(first, '+' | '-' | '\u{2212}') {
            if self.clock.is_some() {
                self.offset_minutes = self.offset_minutes.or_else(|| offset(word));
            }
            return Some(());
        }
        if !first.is_ascii_digit() {
            // A weekday may look like a month of another language (`mar, 10 nov`): the later one counts.
            match month(word) {
                Some(found) if self.month.is_none() || self.clock.is_none() => self.month = Some(found),
                _ => self.offset_minutes = self.offset_minutes.or_else(|| self.clock.and_then(|_| zone(word))),
            }
            return Some(());
        }
        if let Some((date, clock)) = word.split_once(['T', 't'])
            && date.len() >= 8
        {
            // ISO 8601
            self.numeric(date)?;
            return self.take(clock);
        }
        if word.contains(':') {
            return self.clock(word);
        }
        if word.contains(['-', '/', '.']) {
            return self.numeric(word);
        }
        self.number(word)
    }

    /// `14:50:10`, and what is glued to it: `08:30PM`, `14:50:10+01:00`, `14:50:10Z`.
    fn clock(&mut self, word: &str) -> Option<()> {
        let end = word.find(|c: char| !(c.is_ascii_digit() || ":.".contains(c))).unwrap_or(word.len());
        let (digits, rest) = word.split_at(end);
        if self.clock.is_none() {
            self.clock = Some(clock(digits)?);
        }
        if rest.is_empty() { Some(()) } else { self.take(rest) }
    }

    /// A day, or a year.
    fn number(&mut self, word: &str) -> Option<()> {
        let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        let (digits, suffix) = word.split_at(end);
        if suffix.chars().count() > 2 {
            return Some(());
        }
        match digits.len() {
            1 | 2 if self.day.is_none() => self.day = Some(number(digits, 31)?),
            2..=4 if self.year.is_none() => self.year = Some(full_year(digits)?),
            _ => {}
        }
        Some(())
    }

    /// `23-Nov-2026`, `2026-11-23`, `23.11.2026`, `11/23/2026`.
    fn numeric(&mut self, word: &str) -> Option<()> {
        let mut parts = word.split(['-', '/', '.']).filter(|part| !part.is_empty());
        let (Some(first), Some(second), third) = (parts.next(), parts.next(), parts.next()) else {
            return self.number(word.trim_end_matches(['-', '/', '.']));
        };
        let Some(third) = third else {
            // `23-Nov 2026`
            self.number(first)?;
            return self.take(second);
        };
        if let Some(found) = month(second) {
            (self.day, self.month, self.year) = (Some(number(first, 31)?), Some(found), Some(full_year(third)?));
            return Some(());
        }
        let (day, found, year) = match (first.len(), word.contains('/')) {
            (4, _) => (third, second, first),
            // Only Americans write slashes and put the month first.
            (_, true) if number(first, 12).is_some() => (second, first, third),
            _ => (first, second, third),
        };
        self.day = Some(number(day, 31)?);
        self.month = Some(number(found, 12)? as i8);
        self.year = Some(full_year(year)?);
        Some(())
    }
}

/// The words of a date: comments left out, and the signs of East Asia made like those of others.
fn words(value: &str) -> Vec<String> {
    let mut plain = String::with_capacity(value.len());
    let mut depth = 0usize;
    for c in value.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            '\u{5e74}' | '\u{6708}' | '\u{b144}' | '\u{c6d4}' => plain.push('/'),
            '\u{65e5}' | '\u{c77c}' | ',' => plain.push(' '),
            ' ' if plain.ends_with('/') => {}
            c => plain.push(c),
        }
    }
    plain.split_whitespace().take(MAX_TOKENS + 2).map(str::to_owned).collect()
}

fn number(text: &str, max: u32) -> Option<u32> {
    if text.is_empty() || text.len() > 2 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| *n <= max)
}

/// Beginnings of the months' names, longer ones before what they begin with.
const MONTHS: [(i8, &[&str]); 15] = [
    (11, &["marras"]),
    (7, &["\u{10d}ervenec", "\u{10d}ervence", "cervenec"]),
    (1, &["jan", "ene", "gen", "ian", "янв", "січ", "sty", "led", "oca", "tammi", "ιαν", "jän"]),
    (2, &["feb", "fev", "fév", "фев", "лют", "lut", "úno", "\u{15f}ub", "helmi", "φεβ"]),
    (3, &["mar", "mär", "mae", "mrz", "mrt", "maa", "már", "мар", "бер", "b\u{159}e", "μαρ"]),
    (4, &["apr", "avr", "abr", "ápr", "апр", "кві", "kwi", "dub", "nis", "huhti", "απρ"]),
    (5, &["may", "mai", "mei", "maj", "mag", "máj", "май", "мая", "тра", "kv\u{11b}", "touko", "μαι", "μάι"]),
    (6, &["jun", "juin", "giu", "iun", "jún", "июн", "чер", "cze", "\u{10d}er", "\u{10d}vn", "haz", "kesä", "ιουν"]),
    (7, &["jul", "juil", "lug", "iul", "júl", "июл", "лип", "lip", "\u{10d}vc", "tem", "heinä", "ιουλ"]),
    (8, &["aug", "aoû", "aou", "ago", "авг", "сер", "sie", "srp", "a\u{11f}u", "elo", "αυγ", "αύγ"]),
    (9, &["sep", "set", "сен", "вер", "wrz", "zá\u{159}", "eyl", "syys", "szep", "σεπ"]),
    (10, &["oct", "okt", "ott", "out", "окт", "жов", "pa\u{17a}", "\u{159}íj", "eki", "loka", "οκτ"]),
    (11, &["nov", "noi", "noy", "ноя", "лис", "lis", "kas", "νοε", "νοέ"]),
    (12, &["dec", "dez", "dic", "déc", "des", "дек", "гру", "gru", "pro", "ara", "joulu", "δεκ"]),
    (3, &["mr"]),
];

/// The month that a word names, in one of the languages of mail programs. A letter that was lost (U+FFFD) matches any
/// that is not ASCII.
fn month(text: &str) -> Option<i8> {
    let lower = text.trim_end_matches('.').to_lowercase();
    let begins = |name: &&str| {
        let mut letters = lower.chars();
        let same = |c: char, other: Option<char>| other == Some(c) || (other == Some('\u{fffd}') && !c.is_ascii());
        name.chars().all(|c| same(c, letters.next())) && (name.chars().count() > 2 || letters.next().is_none())
    };
    MONTHS.iter().find(|(_, names)| names.iter().any(&begins)).map(|(month, _)| *month)
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

fn clock(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(':');
    let hour = number(parts.next()?, 23)?;
    // Fractions of a second are no part of the format, and harmless.
    let minute = number(parts.next()?.split('.').next()?, 59)?;
    let second = match parts.next() {
        Some(text) => number(text.split('.').next()?, 60)?.min(59),
        None => 0,
    };
    Some((hour, minute, second))
}

/// `+0100`, `+01:00`, `+1`: minutes east of UTC.
fn offset(text: &str) -> Option<i32> {
    let mut chars = text.chars();
    let sign = if chars.next()? == '+' { 1 } else { -1 };
    let (hours, minutes) = match chars.as_str().split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None => match chars.as_str() {
            digits if digits.len() <= 2 => (digits, "0"),
            digits if digits.len() <= 4 && digits.is_ascii() => digits.split_at(digits.len() - 2),
            _ => return None,
        },
    };
    let (hours, minutes) = (number(hours, 99)? as i32, number(minutes, 99)? as i32);
    Some(sign * (hours * 60 + minutes))
}

/// Offset of a zone by its name, in minutes east of UTC. Other names, military ones among them, are as good as unknown.
fn zone(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    for name in ["GMT", "UTC", "UT"] {
        if let Some(rest) = upper.strip_prefix(name)
            && rest.starts_with(['+', '-'])
        {
            return offset(rest);
        }
    }
    let hours = match upper.as_str() {
        "UT" | "UTC" | "GMT" | "Z" | "WET" => 0,
        "CET" | "MET" | "MEZ" | "BST" | "WEST" => 1,
        "CEST" | "MEST" | "MESZ" | "EET" | "SAST" => 2,
        "EEST" | "MSK" => 3,
        "JST" | "KST" => 9,
        "AEST" => 10,
        "AEDT" => 11,
        "NZST" => 12,
        "NZDT" => 13,
        "EST" | "CDT" => -5,
        "EDT" => -4,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        "HST" => -10,
        _ => return None,
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
    fn the_forms_of_careless_programs_are_read() {
        let at = 1_583_220_600_000;
        assert_eq!(format(at), "Tue, 03 Mar 2020 07:30:00 +0000");
        for text in [
            "Tue, 03 Mar 2020 08:30:00 +01:00",
            "Tue, 03 Mar 2020 08:30:00+01:00",
            "Tue, 03 Mar 2020 08:30:00 +1",
            "Tue, 03 Mar 2020 08:30:00 GMT+0100",
            "Tue, 03 Mar 2020 08:30:00 UTC+1 (CET)",
            "Tue, 03 Mar 2020 08:30:00 CET",
            "Tue, 03 Mar 2020 08:30 +0100",
            "Tue, 03 Mar 2020 08:30:00 AM +0100",
            "Tue, 03 Mar 2020 08:30:00AM +0100",
            "Tue, 03 Mar 2020 08:30:00 a.m. +0100",
            "Tuesday, March 3, 2020 8:30 AM +0100",
            "Tue, 3rd March 2020 08:30 +0100",
            "Tue Mar  3 08:30:00 CET 2020",
            "Tue Mar 3 08:30:00 2020 +0100",
            "Di, 03 M\u{e4}r 2020 08:30:00 +0100",
            "Di, 03 M\u{fffd}r 2020 08:30:00 +0100",
            "Di, 3. M\u{e4}rz 2020 08:30:00 +0100",
            "Di, 03 Mrz 2020 08:30:00 MEZ",
            "mar., 03 mars 2020 08:30:00 +0100",
            "mar, 03 mar 2020 08:30:00 +0100",
            "martes, 3 marzo 2020 08:30:00 +0100",
            "di, 03 mrt 2020 08:30:00 +0100",
            "wt., 03 mar 2020 08:30:00 +0100",
            "Вт, 03 мар 2020 08:30:00 +0100",
            "ti, 03 maalis 2020 08:30:00 +0100",
            "2020-03-03T08:30:00+01:00",
            "2020-03-03T07:30:00Z",
            "2020-03-03T07:30:00.000Z",
            "2020-03-03 08:30:00 +0100",
            "2020-03-03 07:30:00",
            "2020/03/03 07:30",
            "03.03.2020 07:30:00",
            "3/3/2020 7:30 AM",
            "03-03-2020 07:30",
            "Tue, 03-Mar-20 07:30:00 GMT",
            "2020\u{5e74}3\u{6708}3\u{65e5} 07:30",
            "2020\u{b144} 3\u{c6d4} 3\u{c77c} 07:30",
            "Tue, 03 Mar 2020 07:30:00 \"GMT\"",
            "Tue, 03 Mar 120 07:30:00 -0000",
            "Tue,03 Mar 2020 07:30:00",
            "Tue, 03 Mar 2020 02:30:00 -0500 (EST) (x)",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
        for (text, pm) in [
            ("Tue, 03 Mar 2020 08:30:00 PM +0100", "Tue, 03 Mar 2020 19:30:00 +0000"),
            ("3/3/2020 12:30 AM", "Tue, 03 Mar 2020 00:30:00 +0000"),
            ("3/3/2020 12:30PM", "Tue, 03 Mar 2020 12:30:00 +0000"),
            ("25/12/2020 12:30", "Fri, 25 Dec 2020 12:30:00 +0000"),
            ("mar., 10 nov. 2020 08:30:00 +0000", "Tue, 10 Nov 2020 08:30:00 +0000"),
            ("ven., 14 ao\u{fb}t 2020 08:30:00 +0000", "Fri, 14 Aug 2020 08:30:00 +0000"),
            ("ke, 18 marras 2020 08:30:00 +0000", "Wed, 18 Nov 2020 08:30:00 +0000"),
            ("qui, 1 out 2020 08:30:00 +0000", "Thu, 01 Oct 2020 08:30:00 +0000"),
            ("Mi, 9 Dez 2020 08:30:00 Uhr", "Wed, 09 Dec 2020 08:30:00 +0000"),
        ] {
            assert_eq!(parse(text).map(format).as_deref(), Some(pm), "{text}");
        }
    }

    #[test]
    fn a_date_that_can_not_be_gives_way_to_the_delivery() {
        let now = AT;
        for (date, sent) in [
            (Some(AT - 86_400_000 * 4000), AT - 86_400_000 * 4000),
            (Some(AT + 86_400_000), AT + 86_400_000),
            (Some(AT + 86_400_000 * 30), now),
            (Some(253_402_207_200_000), now),
            (Some(0), now),
            (Some(86_400_000), now),
            (None, now),
        ] {
            assert_eq!(sent_ms(date, now), sent, "{date:?}");
        }
        assert_eq!(sent_ms(Some(AT), 0), AT, "a delivery that can't be gives way, too");
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
