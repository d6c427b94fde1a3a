//! Moments, as people write them.

use anyhow::{Context as _, bail};
use continuity::archive::restore::At;
use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use store::Seq;

/// A time as people write it: `2026-11-23T17:00:00Z`, or in local time `2026-11-23 18:00[:00]`, or `2 h ago`.
pub fn parse_moment(text: &str) -> anyhow::Result<i64> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    if let Some(span) = text.strip_suffix("ago") {
        let span: crate::config::Span = span.trim().parse().map_err(anyhow::Error::msg)?;
        let ago = Timestamp::now().checked_sub(span.0);
        return Ok(ago?.as_millisecond());
    }
    if let Ok(at) = text.parse::<DateTime>() {
        // The end of the given second: `18:00` includes all of it.
        return Ok(TimeZone::system().to_timestamp(at)?.as_millisecond());
    }
    bail!("`{text}` is not a valid time: write it as \"2026-11-23 18:00\", \"2026-11-23T17:00:00Z\" or \"2 h ago\"")
}

/// Up to where something is restored, as people write it: a moment, or a commit's number, as `1234` or `commit:1234`. Eight
/// digits that are a day too are refused: either could be meant.
pub fn parse_at(text: &str) -> anyhow::Result<At> {
    let text = text.trim();
    let named = text.strip_prefix("commit").map(|rest| rest.trim_start_matches([':', ' ']));
    let number = named.unwrap_or(text);
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        anyhow::ensure!(named.is_none(), "`{text}` names no commit: write its number, as commit:1234");
        return parse_moment(text).map(At::Moment);
    }
    if named.is_none()
        && number.len() == 8
        && let Ok(day) = number.parse::<Date>()
    {
        bail!("`{text}` may be a commit or a day: write it as \"commit:{number}\" or as \"{day}\"");
    }
    let seq: u64 = number.parse().with_context(|| format!("`{text}`: no commit has so long a number"))?;
    anyhow::ensure!(seq > 0, "`{text}`: the first commit is number 1");
    Ok(At::Commit(Seq(seq)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_commit_and_what_may_be_a_day_too_is_refused() {
        for (text, seq) in [
            ("1", 1),
            ("1234", 1234),
            (" 1234 ", 1234),
            ("commit:1234", 1234),
            ("commit 1234", 1234),
            ("commit: 1234", 1234),
            ("2026", 2026),
            ("202611", 202_611),
            ("20269923", 20_269_923),
            ("commit:20261123", 20_261_123),
            ("1795453200000", 1_795_453_200_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_at(text).unwrap(), At::Commit(Seq(seq)), "{text}");
        }
        for text in
            ["0", "commit:0", "commit:", "commit", "commit:x", "commit:-1", "18446744073709551616", "20261123", ""]
        {
            assert!(parse_at(text).is_err(), "{text}");
        }
        let both = parse_at("20261123").unwrap_err().to_string();
        assert!(both.contains("commit:20261123") && both.contains("2026-11-23"), "{both}");
        for text in ["2026-11-23T17:00:00Z", "2026-11-23 18:00", "2026-11-23", "2 h ago", "2026-11-23T17:00:00.123Z"] {
            assert_eq!(parse_at(text).unwrap(), At::Moment(parse_moment(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_noted_of_a_wish_is_read_as_the_same_wish() {
        for at in [At::Moment(1_795_453_200_123), At::Moment(0), At::Commit(Seq(1)), At::Commit(Seq(20_261_123))] {
            assert_eq!(parse_at(&at.to_string()).unwrap(), at);
        }
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        assert_eq!(parse_moment("2026-11-23T17:00:00Z").unwrap(), 1_795_453_200_000);
        let local = parse_moment("2026-11-23 18:00").unwrap();
        assert_eq!(parse_moment("2026-11-23 18:00:30").unwrap(), local + 30_000);
        assert!(parse_moment("2 h ago").unwrap() < Timestamp::now().as_millisecond() - 7_199_000);
        assert!(parse_moment("yesterday").unwrap_err().to_string().contains("ago"));
    }
}
