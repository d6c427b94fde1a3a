//! A message that an account's rules change: header fields added and deleted, a part replaced, the whole enclosed in another.
//!
//! A verdict keeps what a changed message is made of, pieces of the message as it came and texts, so that it is small and
//! outlives a wait in the queue. The bytes are made when the message is about to be filed or sent on. Where only fields at the
//! top were added or taken away, the copy has another prefix and shares its body with all others; otherwise it has a body of
//! its own.

use std::ops::Range;

use crate::schema::{PieceRecord, VersionRecord};

/// Most versions of one message that an account's rules make.
pub const MAX_VERSIONS: usize = 4;

/// A piece of a changed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes of the message as the judge saw it: the header fields that were added before, then what came.
    Original(Range<u64>),
    /// These bytes.
    Text(Vec<u8>),
}

/// A message as rules changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// What it is made of.
    pub pieces: Vec<Piece>,
    /// It is another message, of which the old one is a part at most.
    pub is_rebuilt: bool,
    /// How many bytes of [`Piece::Original`] are header fields that were added before, not what came.
    pub added_bytes: u64,
}

impl From<&Version> for VersionRecord {
    fn from(version: &Version) -> Self {
        let piece = |piece: &Piece| match piece {
            Piece::Original(range) => PieceRecord { from: range.start, to: range.end, text: Vec::new() },
            Piece::Text(text) => PieceRecord { text: text.clone(), ..PieceRecord::default() },
        };
        Self {
            pieces: version.pieces.iter().map(piece).collect(),
            is_rebuilt: version.is_rebuilt,
            added_bytes: version.added_bytes,
        }
    }
}

/// The bytes of a changed message.
pub struct Changed {
    /// The header fields above the trace.
    pub above: Vec<u8>,
    /// What is below it; `None` if it is what came.
    pub below: Option<Vec<u8>>,
}

/// A part of a changed message.
enum Part<'a> {
    /// Header fields that were added here before.
    Added(&'a [u8]),
    /// Of what came.
    Came(&'a [u8]),
    Text(&'a [u8]),
}

impl<'a> Part<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Added(bytes) | Self::Came(bytes) | Self::Text(bytes) => bytes,
        }
    }
}

impl VersionRecord {
    /// Makes it of the fields that were added and of what came.
    pub(crate) fn made(&self, added: &[u8], came: &[u8]) -> Changed {
        let parts = self.parts(added, came);
        if self.is_rebuilt {
            return Changed { above: Vec::new(), below: Some(joined(&parts)) };
        }
        let first = parts.iter().position(|part| matches!(part, Part::Came(_))).unwrap_or(parts.len());
        let (mut above, below) = (joined(&parts[..first]), joined(&parts[first..]));
        // The trace ends a header that did not come with one.
        while above.ends_with(b"\r\n\r\n") || *above == *b"\r\n" {
            above.truncate(above.len() - 2);
        }
        Changed { above, below: (below != came).then_some(below) }
    }

    /// All of it without the fields that were added here: as it is sent on.
    pub(crate) fn sent_on(&self, came: &[u8]) -> Vec<u8> {
        joined(&self.parts(&[], came))
    }

    fn parts<'a>(&'a self, added: &'a [u8], came: &'a [u8]) -> Vec<Part<'a>> {
        let begin = self.added_bytes;
        let mut parts = Vec::new();
        for piece in &self.pieces {
            if !piece.text.is_empty() {
                parts.push(Part::Text(&piece.text));
                continue;
            }
            parts.push(Part::Added(slice(added, piece.from.min(begin)..piece.to.min(begin))));
            parts.push(Part::Came(slice(came, piece.from.saturating_sub(begin)..piece.to.saturating_sub(begin))));
        }
        parts.retain(|part| !part.bytes().is_empty());
        parts
    }
}

fn joined(parts: &[Part<'_>]) -> Vec<u8> {
    parts.iter().map(Part::bytes).collect::<Vec<_>>().concat()
}

fn slice(bytes: &[u8], range: Range<u64>) -> &[u8] {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(place(range.start)..place(range.end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(added_bytes: u64, pieces: &[Piece]) -> VersionRecord {
        VersionRecord::from(&Version { pieces: pieces.to_vec(), is_rebuilt: false, added_bytes })
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn fields_above_are_a_prefix_and_share_the_body() {
        let (added, came) = (b"Y: 1\r\nZ: 2\r\n", b"A: 1\r\nB: 2\r\n\r\ntext");
        let all = added.len() as u64 + came.len() as u64;
        for (pieces, above) in [
            (vec![Piece::Original(0..all)], "Y: 1\r\nZ: 2\r\n"),
            (vec![text("X: 0\r\n"), Piece::Original(0..all)], "X: 0\r\nY: 1\r\nZ: 2\r\n"),
            (vec![Piece::Original(6..all)], "Z: 2\r\n"),
            (vec![text("X: 0\r\n"), Piece::Original(12..all)], "X: 0\r\n"),
        ] {
            let made = version(12, &pieces).made(added, came);
            assert_eq!((String::from_utf8_lossy(&made.above).as_ref(), made.below), (above, None), "{pieces:?}");
        }
    }

    #[test]
    fn a_header_field_that_came_can_be_taken_out() {
        let (added, came) = (b"Y: 1\r\n", b"A: 1\r\nB: 2\r\n\r\ntext");
        let pieces = [text("X: 0\r\n"), Piece::Original(0..6), Piece::Original(12..24), text("W: 9\r\n")];
        let record = version(6, &pieces);
        let made = record.made(added, came);
        assert_eq!(made.above, b"X: 0\r\nY: 1\r\n");
        assert_eq!(made.below.unwrap(), b"B: 2\r\n\r\ntextW: 9\r\n");
        assert_eq!(record.sent_on(came), b"X: 0\r\nB: 2\r\n\r\ntextW: 9\r\n");
        let rebuilt = VersionRecord { is_rebuilt: true, ..record };
        assert_eq!(rebuilt.made(added, came).above, b"");
        assert_eq!(rebuilt.made(added, came).below.unwrap(), b"X: 0\r\nY: 1\r\nB: 2\r\n\r\ntextW: 9\r\n");
    }

    #[test]
    fn a_message_without_a_header_gets_one_above_the_trace() {
        let made = version(0, &[text("X: 0\r\n\r\n"), Piece::Original(0..4)]).made(b"", b"text");
        assert_eq!((&made.above[..], made.below), (&b"X: 0\r\n"[..], None));
    }

    #[test]
    fn places_beyond_the_message_are_nothing() {
        let made = version(0, &[Piece::Original(2..99), Piece::Original(50..60)]).made(b"", b"text");
        assert_eq!(made.below.unwrap(), b"xt");
    }
}
