//! Quoting what looks like the beginning of a message.

use std::io::{self, Write};

const FROM: &[u8] = b"From ";

/// Puts a `>` before every line that begins with `From `, or with any number of `>` and then `From ` (mboxrd). Works on
/// pieces of any size; lines may be as long as they like. Call [`Self::finish`] at the end.
pub struct FromQuoter<W> {
    out: W,
    at: Place,
}

/// Where in a line we are.
enum Place {
    /// So many `>` and so many letters of `From ` have been seen of this line, and are not yet written.
    Start { quotes: usize, letters: usize },
    /// What comes up to the line end is written as it is.
    Rest,
}

impl<W: Write> FromQuoter<W> {
    /// Write to `out`.
    pub fn new(out: W) -> Self {
        Self { out, at: Place::Start { quotes: 0, letters: 0 } }
    }

    /// Write what was held back.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn finish(mut self) -> io::Result<()> {
        self.release()
    }

    fn release(&mut self) -> io::Result<()> {
        if let Place::Start { quotes, letters } = std::mem::replace(&mut self.at, Place::Rest) {
            io::copy(&mut io::Read::take(io::repeat(b'>'), quotes as u64), &mut self.out)?;
            self.out.write_all(&FROM[..letters])?;
        }
        Ok(())
    }
}

impl<W: Write> Write for FromQuoter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            match &mut self.at {
                Place::Start { quotes, letters: 0 } if first == b'>' => {
                    *quotes += 1;
                    rest = &rest[1..];
                }
                Place::Start { letters, .. } if first == FROM[*letters] => {
                    *letters += 1;
                    rest = &rest[1..];
                    if *letters == FROM.len() {
                        self.out.write_all(b">")?;
                        self.release()?;
                    }
                }
                Place::Start { .. } => self.release()?,
                Place::Rest => {
                    let line = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |end| end + 1);
                    self.out.write_all(&rest[..line])?;
                    if rest[line - 1] == b'\n' {
                        self.at = Place::Start { quotes: 0, letters: 0 };
                    }
                    rest = &rest[line..];
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::{from_line, mbox::Reader};

    fn quoted(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut quoter = FromQuoter::new(&mut out);
        for piece in pieces {
            quoter.write_all(piece).unwrap();
        }
        quoter.finish().unwrap();
        out
    }

    #[test]
    fn lines_that_look_like_from_lines_are_quoted() {
        let text = b"From a\n>From b\nFrom\nFro\n> From\n>>>From c\nx From d\nFrom";
        let expected = b">From a\n>>From b\nFrom\nFro\n> From\n>>>>From c\nx From d\nFrom";
        assert_eq!(quoted(&[text.to_vec()]), expected);
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let text = prop::sample::select(vec![
            "From ",
            "From",
            "F",
            ">",
            "\n",
            "\r\n",
            "x",
            "\0",
            "From a Mon Nov 23 14:50:10 2026\n",
            " ",
            "",
        ]);
        prop_oneof![4 => text.prop_map(|t| t.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..20)]
    }

    proptest! {
        #[test]
        fn messages_of_any_bytes_come_back_from_an_mbox_as_they_were(
            messages in prop::collection::vec(prop::collection::vec(piece(), 0..12), 1..4)
        ) {
            let mut mbox = Vec::new();
            for pieces in &messages {
                mbox.extend_from_slice(from_line(0).as_bytes());
                mbox.push(b'\n');
                mbox.extend_from_slice(&quoted(pieces));
                mbox.push(b'\n');
            }
            let mut reader = Reader::new(&mbox[..], 1 << 20);
            for pieces in &messages {
                prop_assert_eq!(reader.next_message().unwrap().unwrap().bytes, pieces.concat());
            }
            prop_assert!(reader.next_message().unwrap().is_none());
        }
    }
}
