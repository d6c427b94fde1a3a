//! Errors, counts and times as people read them.

use std::time::Duration;

use delivery::QueueProgress;
use jiff::{Timestamp, tz::TimeZone};

/// An error with its causes, each once: many say in their own words what their cause says.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A count with its noun: "1 message", "2 messages".
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("{count} {noun}") } else { format!("{count} {noun}s") }
}

/// A count with its noun and verb: "1 message is", "2 messages are".
pub fn counted_are(count: u64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if count == 1 { "is" } else { "are" })
}

/// A span of time for people: its largest unit.
pub fn ago(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What is due and how long that takes, in words; none if nothing is due.
pub fn due_line(progress: &QueueProgress) -> Option<String> {
    let due = match (progress.due, progress.left) {
        (0, _) => None,
        (due, None) => Some(format!("{due} due now")),
        (due, Some(left)) => Some(format!("{due} due now, about {} left", ago(left))),
    };
    let resting = (progress.resting > 0).then(|| format!("{} due at servers that don't answer", progress.resting));
    let parts: Vec<String> = [due, resting].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A time for people, in local time, with UTC if that differs.
pub fn moment(ms: i64) -> String {
    moment_in(ms, &TimeZone::system())
}

fn moment_in(ms: i64, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(ms) else { return "an invalid time".to_owned() };
    let local = at.to_zoned_datetime(zone.clone());
    let text = local.strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
    if local.offset().seconds() == 0 { text } else { format!("{text} ({} UTC)", at.strftime("%H:%M:%S")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_has_no_plural() {
        assert_eq!(counted(1, "message") + ", " + &counted(0, "alarm"), "1 message, 0 alarms");
        assert_eq!(counted_are(1, "realm") + ", " + &counted_are(2, "realm"), "1 realm is, 2 realms are");
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no room").context("a.mbox: no room").context("importing");
        assert_eq!(told(&error), "importing: a.mbox: no room");
    }

    #[test]
    fn moments_are_told_in_local_time_and_in_utc_and_never_in_milliseconds() {
        let zone = |name: &str| TimeZone::get(name).unwrap_or(TimeZone::UTC);
        assert_eq!(moment_in(1_577_836_800_000, &TimeZone::UTC), "2020-01-01 00:00:00 +00:00");
        let fixed = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(moment_in(1_577_836_800_000, &fixed), "2020-01-01 02:00:00 +02:00 (00:00:00 UTC)");
        for ms in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert!(!moment_in(ms, &zone("UTC")).contains("577836800000"));
            assert!(!moment_in(ms, &zone("UTC")).contains(&i64::MAX.to_string()));
        }
    }
}
