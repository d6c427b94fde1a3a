//! A score: reasons with points, which add up to it.

use std::fmt::{self, Write as _};

/// The header field in which a score is kept above the message.
pub const FIELD: &str = "X-Holdfast-Spam";
/// Most reasons of one score.
const MAX_REASONS: usize = 40;
/// Longest line of a reason, in characters.
const MAX_LINE_CHARS: usize = 160;

/// Tenths of a point: whole numbers, so that sums are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Points(pub i32);

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let tenths = self.0.unsigned_abs();
        write!(f, "{sign}{}.{}", tenths / 10, tenths % 10)
    }
}

impl std::str::FromStr for Points {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, tenths) = text.split_once('.').unwrap_or((text, "0"));
        let (negative, whole) = whole.strip_prefix('-').map_or((false, whole), |whole| (true, whole));
        let sum = i32::from(whole.parse::<i16>()?) * 10 + i32::from(tenths.parse::<u8>()?.min(9));
        Ok(Self(if negative { -sum } else { sum }))
    }
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its stable code: `contact`.
    pub code: String,
    /// What it counts; above 0 for spam.
    pub points: Points,
    /// In words.
    pub line: String,
}

/// A score.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    reasons: Vec<Reason>,
}

impl Score {
    /// One more reason. A reason of no points is one that is told but doesn't count.
    pub fn add(&mut self, code: &str, tenths: i32, line: impl AsRef<str>) {
        if self.reasons.len() < MAX_REASONS {
            let clean = |c: char| if c.is_control() || matches!(c, ';' | '(' | ')' | '\\' | '"') { ' ' } else { c };
            let line: String = line.as_ref().chars().map(clean).take(MAX_LINE_CHARS).collect();
            self.reasons.push(Reason { code: code.to_owned(), points: Points(tenths), line });
        }
    }

    /// The reasons, in the order in which they were found.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// The sum.
    pub fn total(&self) -> Points {
        Points(self.reasons.iter().map(|reason| reason.points.0).sum())
    }

    /// Whether there is a reason of that code.
    pub fn has(&self, code: &str) -> bool {
        self.reasons.iter().any(|reason| reason.code == code)
    }

    /// The reason that counts most in the direction of `is_spam`.
    pub fn main(&self, is_spam: bool) -> Option<&Reason> {
        let in_favour = |reason: &&Reason| if is_spam { reason.points.0 > 0 } else { reason.points.0 < 0 };
        self.reasons.iter().filter(in_favour).max_by_key(|reason| reason.points.0.abs())
    }

    /// As the value of [`FIELD`]: `spam; score=6.2; limit=5.0; similar=4.1 (line); …`.
    pub fn to_field(&self, is_spam: bool, limit: Option<Points>) -> String {
        let mut out = format!("{}; score={}", if is_spam { "spam" } else { "ham" }, self.total());
        if let Some(limit) = limit {
            let _ = write!(out, "; limit={limit}");
        }
        for Reason { code, points, line } in &self.reasons {
            let _ = write!(out, "; {code}={points} ({line})");
        }
        out
    }

    /// Reads what [`Self::to_field`] wrote: whether it was spam, the limit, and the score.
    pub fn from_field(value: &str) -> Option<(bool, Option<Points>, Self)> {
        let mut items = value.split(';').map(str::trim);
        let is_spam = match items.next()? {
            "spam" => true,
            "ham" => false,
            _ => return None,
        };
        let (mut score, mut limit) = (Self::default(), None);
        for item in items.take(MAX_REASONS + 2) {
            let (code, rest) = item.split_once('=')?;
            let (points, line) = rest.split_once(' ').unwrap_or((rest, ""));
            let points: Points = points.parse().ok()?;
            match code {
                "score" => {}
                "limit" => limit = Some(points),
                _ => score.add(code, points.0, line.trim_matches(['(', ')'])),
            }
        }
        Some((is_spam, limit, score))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_the_sum_of_its_reasons_and_is_read_as_it_was_written() {
        let mut score = Score::default();
        score.add("similar", 47, "It is like mail that you reported as spam (very); \"yes\"\r\n");
        score.add("contact", -30, "The sender is in your address book");
        score.add("told", 0, "Nothing");
        assert_eq!(score.total(), Points(17));
        let field = score.to_field(true, Some(Points(50)));
        assert!(
            !field.contains(['\r', '\n']) && field.starts_with("spam; score=1.7; limit=5.0; similar=4.7 ("),
            "{field}"
        );
        assert_eq!(Score::from_field(&field), Some((true, Some(Points(50)), score)));
        for wrong in ["", "maybe; score=1", "spam; x", "spam; a=b (c)", "spam; a=99999999.0 (c)"] {
            assert_eq!(Score::from_field(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn points_are_written_with_one_digit() {
        for (tenths, text) in [(0, "0.0"), (-1, "-0.1"), (49, "4.9"), (-120, "-12.0")] {
            assert_eq!((Points(tenths).to_string().as_str(), text.parse()), (text, Ok(Points(tenths))));
        }
    }
}
