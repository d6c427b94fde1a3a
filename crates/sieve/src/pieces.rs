//! What a changed message is made of: pieces of the message as it came, and texts that a script put in. It is short however
//! large the message is, so that it can be kept instead of the whole.

use std::ops::Range;

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// These bytes of the message as it came.
    Original(Range<u64>),
    /// These bytes.
    Text(Vec<u8>),
}

impl Stretch {
    fn len(&self) -> u64 {
        match self {
            Self::Original(range) => range.end - range.start,
            Self::Text(text) => text.len() as u64,
        }
    }

    /// A part of it, by places within it.
    fn part(&self, range: Range<u64>) -> Self {
        match self {
            Self::Original(of) => Self::Original(of.start + range.start..of.start + range.end),
            Self::Text(text) => Self::Text(text[range.start as usize..range.end as usize].to_vec()),
        }
    }
}

/// Adds a piece behind others; what belongs together becomes one.
pub(crate) fn push(pieces: &mut Vec<Stretch>, piece: Stretch) {
    if piece.len() == 0 {
        return;
    }
    match (pieces.last_mut(), piece) {
        (Some(Stretch::Original(before)), Stretch::Original(range)) if before.end == range.start => {
            before.end = range.end;
        }
        (Some(Stretch::Text(before)), Stretch::Text(text)) => before.extend_from_slice(&text),
        (_, piece) => pieces.push(piece),
    }
}

/// Pieces of something that is itself made of pieces, as pieces of what those are of.
pub(crate) fn within(pieces: &[Stretch], made_of: &[Stretch]) -> Vec<Stretch> {
    let mut out = Vec::new();
    for piece in pieces {
        let Stretch::Original(wanted) = piece else {
            push(&mut out, piece.clone());
            continue;
        };
        let mut at = 0;
        for inner in made_of {
            let (begin, end) = (wanted.start.max(at), wanted.end.min(at + inner.len()));
            if begin < end {
                push(&mut out, inner.part(begin - at..end - at));
            }
            at += inner.len();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    fn join(pieces: &[Stretch], original: &[u8]) -> Vec<u8> {
        let bytes = pieces.iter().map(|piece| match piece {
            Stretch::Original(range) => &original[range.start as usize..range.end as usize],
            Stretch::Text(text) => &text[..],
        });
        bytes.collect::<Vec<_>>().concat()
    }

    #[test]
    fn the_pieces_of_a_changed_message_make_it() {
        let mails: [&[u8]; 9] = [
            b"A: 1\r\nB: 2\r\nA: 3\r\n\r\nbody\r\n",
            b"A: 1\nB: 2\n\nbody\n",
            b"A: 1\r\nno field\r\nB: 2\r\n\r\nbody",
            b"A: 1\r\nB: 2",
            b"\r\nonly a body\r\n",
            b"text alone\r\n\r\nmore text\r\n",
            b"text alone",
            b"",
            b"A: 1\r\n b\r\n\r\n",
        ];
        for mail in mails {
            let original = Message::new(mail);
            assert_eq!(join(&original.pieces(), mail), mail);
            let mut changed = original.clone();
            changed.add("X", b"X: y\r\n".to_vec(), false);
            assert_eq!(join(&changed.pieces(), mail), &*changed.bytes());
            for line in mail.split(|&c| c == b'\n').filter(|line| !line.is_empty()) {
                assert!(memchr::memmem::find(&changed.bytes(), line).is_some(), "{mail:?}: {line:?} is gone");
            }
            changed.add("Z", b"Z: z\r\n".to_vec(), true);
            let names: Vec<bool> = changed.all().iter().map(|field| field.name == "A").collect();
            changed.retain(|at| !names[at]);
            assert_eq!(join(&changed.pieces(), mail), &*changed.bytes());
            assert_eq!(changed.header("A"), None);
            let now = changed.bytes();
            let all = Stretch::Original(0..now.len() as u64);
            changed.become_pieces(&[
                Stretch::Text(b"New: 1\r\n\r\n".to_vec()),
                all.clone(),
                Stretch::Text(b"!".to_vec()),
            ]);
            assert_eq!(*changed.bytes(), [b"New: 1\r\n\r\n", &now[..], b"!"].concat());
            assert_eq!(join(&changed.pieces(), mail), &*changed.bytes());
            changed.add("Top", b"Top: 1\r\n".to_vec(), false);
            assert_eq!(join(&changed.pieces(), mail), &*changed.bytes());
        }
    }

    #[test]
    fn what_is_not_looked_at_stays_behind_what_is() {
        let mut message = Message::new(&b"A: 1\r\nB: 2\r\n\r\nbegin"[..]).of_size(1_000);
        message.retain(|at| at != 0);
        assert_eq!(message.pieces(), [Stretch::Original(6..1_000)]);
        message.become_pieces(&[Stretch::Original(0..13), Stretch::Text(b"end".to_vec())]);
        assert_eq!(message.pieces(), [Stretch::Original(6..1_000), Stretch::Text(b"end".to_vec())]);
    }
}
