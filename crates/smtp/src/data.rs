//! Finds the end of a message (RFC 5321 §4.1.1.4) and removes the stuffed dots (§4.5.2).
//!
//! Only `CRLF . CRLF` ends a message. A bare CR or LF is recorded, so that the message can be refused once its true end
//! was read: interpreting either as a line end would allow one message to pass for two. Authenticated clients may send
//! bare LFs: [`LineMender`] turns them into CRLF in the message, but they don't end a message either.

use std::borrow::Cow;

/// Reads the bytes after DATA, in pieces of any size.
#[derive(Debug, Default)]
pub struct DataReader {
    state: State,
    bare: BareLineEnds,
}

/// Which bare line end characters a message has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct BareLineEnds {
    /// A CR without LF.
    pub cr: bool,
    /// An LF without CR.
    pub lf: bool,
}

impl BareLineEnds {
    /// Whether there are any.
    pub const fn any(self) -> bool {
        self.cr || self.lf
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// After CRLF, or at the beginning.
    #[default]
    LineStart,
    /// Within a line.
    Middle,
    /// After a CR that was not written to the output yet.
    Cr,
    /// After a dot at the start of a line.
    Dot,
    /// After that dot and a CR.
    DotCr,
}

impl DataReader {
    /// Reads a piece and appends the message's bytes to `out`. Returns how many bytes of the piece were used, and whether
    /// it contained the end of the message: the rest then belongs to the next command.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        let mut at = 0;
        while at < input.len() {
            if self.state == State::Middle {
                let run = memchr::memchr2(b'\r', b'\n', &input[at..]).unwrap_or(input.len() - at);
                out.extend_from_slice(&input[at..at + run]);
                at += run;
                if at == input.len() {
                    break;
                }
            }
            let byte = input[at];
            at += 1;
            if self.step(byte, out) {
                return (at, true);
            }
        }
        (at, false)
    }

    /// The lone CRs and LFs that the message had.
    pub const fn bare_line_ends(&self) -> BareLineEnds {
        self.bare
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        self.state = match (self.state, byte) {
            (State::LineStart, b'.') => State::Dot,
            (State::Dot, b'\r') => State::DotCr,
            (State::DotCr, b'\n') => return true,
            (State::DotCr, _) => {
                self.bare.cr = true;
                out.push(b'\r');
                self.within(byte, out)
            }
            (State::Cr, b'\n') => {
                out.extend_from_slice(b"\r\n");
                State::LineStart
            }
            (State::Cr, _) => {
                self.bare.cr = true;
                out.push(b'\r');
                self.within(byte, out)
            }
            // A stuffed dot goes; what follows it stays.
            (State::LineStart | State::Middle | State::Dot, _) => self.within(byte, out),
        };
        false
    }

    fn within(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        if byte == b'\r' {
            return State::Cr;
        }
        self.bare.lf |= byte == b'\n';
        out.push(byte);
        State::Middle
    }
}

/// Whether bytes that came by BDAT, in pieces of any size, have bare line ends.
#[derive(Debug, Default)]
pub struct LineEndCheck {
    after_cr: bool,
    bare: BareLineEnds,
}

impl LineEndCheck {
    /// Looks at a piece.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bare.cr |= self.after_cr && byte != b'\n';
            self.bare.lf |= !self.after_cr && byte == b'\n';
            self.after_cr = byte == b'\r';
        }
    }

    /// The lone CRs and LFs that there were.
    pub const fn bare_line_ends(&self) -> BareLineEnds {
        BareLineEnds { cr: self.bare.cr || self.after_cr, lf: self.bare.lf }
    }
}

/// Makes line ends of lone LFs, in pieces of any size.
#[derive(Debug, Default)]
pub struct LineMender {
    after_cr: bool,
}

impl LineMender {
    /// The piece with a CR before each LF that lacks one.
    pub fn mend<'a>(&mut self, piece: &'a [u8]) -> Cow<'a, [u8]> {
        let mut out: Vec<u8> = Vec::new();
        let mut copied = 0;
        for at in memchr::memchr_iter(b'\n', piece) {
            let has_cr = if at == 0 { self.after_cr } else { piece[at - 1] == b'\r' };
            if !has_cr {
                out.extend_from_slice(&piece[copied..at]);
                out.push(b'\r');
                copied = at;
            }
        }
        if let Some(last) = piece.last() {
            self.after_cr = *last == b'\r';
        }
        if copied == 0 && out.is_empty() {
            return Cow::Borrowed(piece);
        }
        out.extend_from_slice(&piece[copied..]);
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: &[u8]) -> (Vec<u8>, usize, bool, bool) {
        let (mut reader, mut out) = (DataReader::default(), Vec::new());
        let (used, done) = reader.push(input, &mut out);
        (out, used, done, reader.bare_line_ends().any())
    }

    #[test]
    fn a_message_ends_at_a_dot_alone_on_its_line_and_nowhere_else() {
        assert_eq!(read(b"a\r\n.\r\nNEXT"), (b"a\r\n".to_vec(), 6, true, false));
        assert_eq!(read(b".\r\nNEXT"), (Vec::new(), 3, true, false));
        assert_eq!(read(b"..a\r\n.b\r\n.\r\n"), (b".a\r\nb\r\n".to_vec(), 12, true, false));
        for smuggled in [
            &b"a\n.\nX"[..],
            b"a\n.\r\nX",
            b"a\r\n.\nX",
            b"a\r.\rX",
            b"a\r\n.\rX",
            b"a\r.\r\nX",
            b"a\n.\rX",
            b"a\r\n.\r\rX",
        ] {
            let (_, _, done, bare) = read(smuggled);
            assert!(!done && bare, "{}", smuggled.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_was_stuffed_comes_back_however_it_is_cut(
            lines in prop::collection::vec("[.a ]{0,5}", 0..8),
            cuts in prop::collection::vec(0_usize..60, 0..6),
        ) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let stuffed: String = lines
                .iter()
                .map(|line| if line.starts_with('.') { format!(".{line}\r\n") } else { format!("{line}\r\n") })
                .collect();
            let wire = format!("{stuffed}.\r\nQUIT\r\n").into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(wire.len())).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let (mut reader, mut out) = (DataReader::default(), Vec::new());
            let mut total = 0;
            let mut ended = false;
            for pair in cuts.windows(2) {
                if !ended {
                    let (used, done) = reader.push(&wire[pair[0]..pair[1]], &mut out);
                    total += used;
                    ended = done;
                }
            }
            prop_assert!(ended);
            prop_assert_eq!(total, wire.len() - 6);
            prop_assert_eq!(String::from_utf8(out).unwrap(), message);
            prop_assert!(!reader.bare_line_ends().any());
        }

        #[test]
        fn only_crlf_dot_crlf_ends_a_message(bytes in prop::collection::vec(prop::sample::select(b"\r\n.a".to_vec()), 0..40)) {
            let (_, used, done, _) = read(&bytes);
            let whole = [b"\r\n", &bytes[..]].concat();
            let expected = whole.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 3);
            prop_assert_eq!(done.then_some(used), expected);
        }

        #[test]
        fn bare_line_ends_are_seen_across_pieces(bytes in prop::collection::vec(prop::sample::select(b"\r\na".to_vec()), 0..20), cut in 0_usize..20) {
            let mut check = LineEndCheck::default();
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            check.push(a);
            check.push(b);
            let mut mender = LineMender::default();
            let mended = [mender.mend(a).into_owned(), mender.mend(b).into_owned()].concat();
            let text = String::from_utf8(bytes).unwrap();
            let clean = text.replace("\r\n", "");
            let bare = check.bare_line_ends();
            prop_assert_eq!((bare.cr, bare.lf), (clean.contains('\r'), clean.contains('\n')));
            prop_assert_eq!(String::from_utf8(mended).unwrap(), text.replace("\r\n", "\n").replace('\n', "\r\n"));
        }
    }
}
