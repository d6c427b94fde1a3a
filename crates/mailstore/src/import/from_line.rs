//! The line that begins a message in an mbox: `From sender Mon Nov 23 14:50:10 2026`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// Stands as sender in what we export. It tells the reader that every message is followed by exactly one line end that
/// is not its own, so that messages which do not end with a line end come back byte for byte.
pub const EXPORT_SENDER: &str = "exported@holdfast";

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
    pub date_ms: i64,
    /// Whether we wrote it.
    pub ours: bool,
}

/// Read a line (without line end) as the beginning of a message. `None` if it is none: text may begin with `From `.
pub fn read(line: &[u8]) -> Option<FromLine> {
    /// Longer lines are text.
    const MAX: usize = 1_000;
    let line = line.strip_prefix(b"From ").filter(|rest| rest.len() <= MAX)?;
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    // The date begins with a day of the week; the sender may be empty or contain spaces.
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let start = words.iter().rposition(|word| days.contains(word))?;
    let [_, month, day, time, rest @ ..] = &words[start..] else { return None };
    // A zone may stand before the year or after it; it is rarely right and the date is only a fallback.
    let year = rest.iter().find(|word| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()))?;
    let seconds = if time.matches(':').count() == 1 { ":00" } else { "" };
    let date = format!("{month} {day} {time}{seconds} {year}");
    let date: DateTime = strtime::parse("%b %d %H:%M:%S %Y", date).ok()?.to_datetime().ok()?;
    let date_ms = TimeZone::UTC.to_timestamp(date).ok()?.as_millisecond();
    Some(FromLine { date_ms, ours: words.first() == Some(&EXPORT_SENDER) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for date_ms in [0, 1_795_445_410_000, 951_782_400_000] {
            let line = from_line(date_ms);
            assert_eq!(read(line.as_bytes()), Some(FromLine { date_ms, ours: true }), "{line}");
        }
        assert_eq!(from_line(1_795_445_410_000), "From exported@holdfast Mon Nov 23 14:50:10 2026");
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
        ] {
            let read = read(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            assert!(!read.ours && (1_795_445_400_000..=1_795_445_410_000).contains(&read.date_ms), "{line}");
        }
    }

    #[test]
    fn text_is_no_from_line() {
        for line in ["From now on", "From Monday at 10:00 to 2026", ">From a Mon Nov 23 14:50:10 2026", "From: a", ""] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
