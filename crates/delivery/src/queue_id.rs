//! The id of a message in the queue.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// The id of an accepted message: unique, ascending by time, short enough to read out (13 letters and digits).
///
/// It is in the `Received:` line and in the SMTP reply, so that people can refer to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

/// Crockford's base 32, lower case: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Bits below the milliseconds: random, so that ids of two runs within one millisecond differ.
const RANDOM_BITS: u32 = 20;

impl QueueId {
    /// Text form: 13 characters.
    const CHARS: u32 = 13;

    /// The id's bytes; ordered as the ids are.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// When it was given, in milliseconds since 1970 UTC.
    pub const fn time_ms(self) -> u64 {
        self.0 >> RANDOM_BITS
    }

    /// The next id: the time in the upper bits, above all ids this generator gave before even if the clock goes back.
    pub(crate) fn next(last: &AtomicU64, now_ms: i64, random: u64) -> Self {
        let fresh = (u64::try_from(now_ms).unwrap_or(0) << RANDOM_BITS) | (random & ((1 << RANDOM_BITS) - 1));
        let before = last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(fresh.max(last + 1)))
            .unwrap_or_else(|last| last);
        Self(fresh.max(before + 1))
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for position in (0..Self::CHARS).rev() {
            let digit = (self.0 >> (5 * position)) & 31;
            fmt::Write::write_char(f, char::from(ALPHABET[digit as usize]))?;
        }
        Ok(())
    }
}

/// The text is not a queue id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a queue id: expected 13 letters and digits, as shown by `holdfast queue list`")]
pub struct ParseQueueIdError;

impl FromStr for QueueId {
    type Err = ParseQueueIdError;

    fn from_str(text: &str) -> Result<Self, ParseQueueIdError> {
        if text.len() != Self::CHARS as usize {
            return Err(ParseQueueIdError);
        }
        let mut value: u128 = 0;
        for byte in text.bytes().map(|b| b.to_ascii_lowercase()) {
            let digit = ALPHABET.iter().position(|&c| c == byte).ok_or(ParseQueueIdError)?;
            value = (value << 5) | digit as u128;
        }
        u64::try_from(value).map(Self).map_err(|_| ParseQueueIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        for id in [0, 1, 0x1234_5678_9abc_def0, u64::MAX] {
            assert_eq!(QueueId(id).to_string().parse(), Ok(QueueId(id)));
        }
        for text in ["", "0", "00000000000000", "zzzzzzzzzzzzz", "000000000000u", "00000000000é"] {
            assert_eq!(text.parse::<QueueId>(), Err(ParseQueueIdError), "{text}");
        }
    }

    #[test]
    fn ids_ascend_even_when_the_clock_goes_back() {
        let last = AtomicU64::new(0);
        let first = QueueId::next(&last, 1_000_000, 7);
        let second = QueueId::next(&last, 1_000_000, 7);
        let third = QueueId::next(&last, 5, 0);
        assert!(first < second && second < third);
    }
}
