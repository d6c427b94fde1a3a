//! Numbers, times and words as strangers write them.

use jiff::Timestamp;

/// Most messages or connections that one line of a report can have: what claims more is nonsense, and sums stay exact.
pub const MAX_COUNT: u64 = 1_000_000_000;
/// Longest word that is kept, in characters.
pub const MAX_WORD_CHARS: usize = 253;
/// From here on a number of seconds is one of milliseconds.
const MILLISECONDS_FROM: f64 = 100_000_000_000.0;
/// The latest time that is believed: the year 2200.
const LATEST: f64 = 7_258_118_400.0;

/// A count; `None` if it is none.
pub fn count(text: &str) -> Option<u64> {
    let text = text.trim();
    let number = match text.parse::<u64>() {
        Ok(number) => number,
        Err(_) => text.parse::<f64>().ok().filter(|number| *number >= 0.0 && number.is_finite())? as u64,
    };
    Some(number.min(MAX_COUNT))
}

/// A time in seconds since 1970: as a number, whole or not, or as RFC 3339 has it.
pub fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let number = if number >= MILLISECONDS_FROM { number / 1000.0 } else { number };
        return (number.is_finite() && (0.0..LATEST).contains(&number)).then_some(number as i64);
    }
    let read = text.parse::<Timestamp>().or_else(|_| {
        let zoned = format!("{}Z", text.replacen(' ', "T", 1));
        zoned.parse::<Timestamp>()
    });
    let seconds = read.ok()?.as_second();
    (0..LATEST as i64).contains(&seconds).then_some(seconds)
}

/// A stranger's words on one short line.
pub fn word(text: &str) -> String {
    let printable = text.trim().chars().filter(|c| !c.is_control() && !is_hidden(*c));
    printable.take(MAX_WORD_CHARS).collect()
}

/// Characters that change how others are shown.
const fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// A domain's name in lower case and ASCII, without the final dot; empty if it is none.
pub fn domain(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    mailkit::address::normal_domain(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_as_they_come() {
        for (text, wanted) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("7.0", Some(7)),
            ("-1", None),
            ("", None),
            ("99999999999", Some(MAX_COUNT)),
        ] {
            assert_eq!(count(text), wanted, "{text}");
        }
        for (text, wanted) in [
            ("1700000000", Some(1_700_000_000)),
            ("1700000000.25", Some(1_700_000_000)),
            ("1700000000000", Some(1_700_000_000)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000)),
            ("2023-11-14 22:13:20", Some(1_700_000_000)),
            ("2023-11-15T00:13:20+02:00", Some(1_700_000_000)),
            ("-5", None),
            ("NaN", None),
            ("1e300", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(text), wanted, "{text}");
        }
        assert_eq!(word(" a\u{202E}b\r\nc "), "abc");
        assert_eq!((domain("Example.ORG."), domain("")), ("example.org".to_owned(), String::new()));
    }
}
