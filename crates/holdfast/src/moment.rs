//! Moments, as people write them.

use anyhow::bail;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// A moment as people write it: `2026-11-23T17:00:00Z`, or by this machine's clock `2026-11-23 18:00[:00]`; or `2 h ago`.
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
        // The end of what was written: `18:00` includes all of that second.
        return Ok(TimeZone::system().to_timestamp(at)?.as_millisecond());
    }
    bail!("`{text}` is not a moment: write it as \"2026-11-23 18:00\", \"2026-11-23T17:00:00Z\" or \"2 h ago\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        assert_eq!(parse_moment("2026-11-23T17:00:00Z").unwrap(), 1_795_453_200_000);
        let local = parse_moment("2026-11-23 18:00").unwrap();
        assert_eq!(parse_moment("2026-11-23 18:00:30").unwrap(), local + 30_000);
        assert!(parse_moment("2 h ago").unwrap() < Timestamp::now().as_millisecond() - 7_199_000);
        assert!(parse_moment("yesterday").unwrap_err().to_string().contains("ago"));
    }
}
