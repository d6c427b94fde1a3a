//! Sizes and spans of time as people write them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes, written as `50 MB`, `50 MiB` or a plain number. People are told decimal units ([`ByteSize::rounded`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A span of time, written as `30 days`, `4 h`, `90 s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

const SPANS: [(&[&str], u64); 4] = [
    (&["d", "day", "days"], 86_400),
    (&["h", "hour", "hours"], 3_600),
    (&["m", "min", "minute", "minutes"], 60),
    (&["s", "second", "seconds"], 1),
];

impl ByteSize {
    /// `n` mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

impl ByteSize {
    /// For people: about how much, in decimal units, as the pages say it.
    pub fn rounded(self) -> String {
        web::size(self.0)
    }
}

impl Span {
    /// `n` seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// `n` hours.
    pub const fn hours(n: u64) -> Self {
        Self(Duration::from_secs(n * 3_600))
    }

    /// `n` days of 24 hours.
    pub const fn days(n: u64) -> Self {
        Self(Duration::from_secs(n * 86_400))
    }
}

/// Number and unit of a text such as `50 MiB`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write it as \"50 MiB\"");
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let factor = if unit.is_empty() {
            1
        } else {
            SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?.1
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a span of time; write it as \"30 days\", \"4 h\" or \"90 s\"");
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let factor = SPANS.iter().find(|(names, _)| names.contains(&unit)).ok_or_else(wrong)?.1;
        number.checked_mul(factor).map(Self::seconds).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZES.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(f, "{} {name}", self.0 / factor),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let unit = SPANS.iter().find(|(_, factor)| seconds >= *factor && seconds.is_multiple_of(*factor));
        match unit {
            Some((names, factor)) => {
                let number = seconds / factor;
                write!(f, "{number} {}", if number == 1 { names[names.len() - 2] } else { names[names.len() - 1] })
            }
            None => write!(f, "{seconds} seconds"),
        }
    }
}

macro_rules! serde_by_text {
    ($name:ident, $expected:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    };
}

serde_by_text!(ByteSize, "a size such as \"50 MiB\"");
serde_by_text!(Span, "a span of time such as \"30 days\"");

/// Whether a text is HOST:PORT.
pub fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_read_back_what_they_print() {
        for text in ["50 MiB", "1 GB", "0 B", "1234 B", "64 KiB"] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }
        for text in ["30 days", "1 day", "4 h", "90 s", "5 minutes", "0 s"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
        assert_eq!(Span::days(30).to_string(), "30 days");
        assert_eq!(ByteSize(1_700_000_000).rounded(), "1.7 GB");
        assert_eq!("2 GiB".parse::<ByteSize>().unwrap().rounded(), "2.1 GB");
        assert_eq!(ByteSize(999).rounded(), "999 bytes");
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "many", "12 parsecs", "-1 MiB", "99999999999999999999 GiB"] {
            assert!(text.parse::<ByteSize>().unwrap_err().contains("50 MiB"));
        }
        assert!("12".parse::<Span>().unwrap_err().contains("30 days"));
    }
}
