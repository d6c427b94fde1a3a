//! A message on the wire: dots doubled at line starts, ended by a line with a dot (RFC 1939 §3).
//!
//! A line start is what follows any LF, not only CRLF: clients that take a bare LF for a line end must not take a line
//! with a dot in the message for its end, and read it byte for byte too.

/// Where in the message the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    /// Within a line that so far is nothing but CR, if `true`.
    Line {
        blank: bool,
        after_cr: bool,
    },
}

/// Converts a message, given in pieces, to its wire form.
#[derive(Debug)]
pub(crate) struct Stuffing {
    at: At,
    /// Whether the last two bytes were CRLF; so too before the first.
    ended: bool,
    in_header: bool,
    /// Lines of the body to give yet; `None` for all.
    body_lines: Option<u64>,
    full: bool,
}

impl Stuffing {
    /// Of a whole message.
    pub(crate) const fn whole() -> Self {
        Self::new(None)
    }

    /// Of a message's header and the first `lines` of its body.
    pub(crate) const fn top(lines: u64) -> Self {
        Self::new(Some(lines))
    }

    const fn new(body_lines: Option<u64>) -> Self {
        Self { at: At::LineStart, ended: true, in_header: true, body_lines, full: false }
    }

    /// Whether the rest of the message is not needed.
    pub(crate) const fn is_full(&self) -> bool {
        self.full
    }

    /// Appends what is to be sent for a piece of the message.
    pub(crate) fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while !piece.is_empty() && !self.full {
            let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |lf| lf + 1);
            let (line, rest) = piece.split_at(end);
            self.push_line(line, out);
            piece = rest;
        }
    }

    /// Appends a line, or a part of one.
    fn push_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let (mut blank, after_cr) = match self.at {
            At::LineStart => {
                if line[0] == b'.' {
                    out.push(b'.');
                }
                (true, false)
            }
            At::Line { blank, after_cr } => (blank, after_cr),
        };
        out.extend_from_slice(line);
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        blank &= text.is_empty() || (text == b"\r" && !after_cr);
        let ends_with_cr = text.last().map_or(after_cr, |byte| *byte == b'\r');
        if text.len() == line.len() {
            self.at = At::Line { blank, after_cr: ends_with_cr };
            self.ended = false;
            return;
        }
        self.at = At::LineStart;
        self.ended = ends_with_cr;
        if let Some(lines) = &mut self.body_lines {
            if self.in_header {
                self.in_header = !blank;
            } else {
                *lines -= 1;
            }
            self.full = !self.in_header && *lines == 0;
        }
    }

    /// Appends the end: a line end only where the message has none, and the dot.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.ended { b".\r\n" } else { b"\r\n.\r\n" });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(mut stuffing: Stuffing, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in pieces {
            stuffing.push(piece, &mut out);
        }
        stuffing.finish(&mut out);
        out
    }

    #[test]
    fn dots_at_line_starts_are_doubled_across_pieces() {
        assert_eq!(sent(Stuffing::whole(), &[b".a\r", b"\n", b".", b".\r\n"]), b"..a\r\n...\r\n.\r\n");
        assert_eq!(sent(Stuffing::whole(), &[b"a.\n.\n"]), b"a.\n..\n\r\n.\r\n");
    }

    #[test]
    fn a_line_end_is_added_only_where_it_is_missing() {
        assert_eq!(sent(Stuffing::whole(), &[]), b".\r\n");
        assert_eq!(sent(Stuffing::whole(), &[b"a"]), b"a\r\n.\r\n");
        assert_eq!(sent(Stuffing::whole(), &[b"a\r", b"\n"]), b"a\r\n.\r\n");
        assert_eq!(sent(Stuffing::whole(), &[b"a\r"]), b"a\r\r\n.\r\n");
    }

    #[test]
    fn top_gives_the_header_and_so_many_lines() {
        let message: &[u8] = b"A: b\r\nC: d\r\n\r\none\r\n\r\nthree\r\n";
        assert_eq!(sent(Stuffing::top(0), &[message]), b"A: b\r\nC: d\r\n\r\n.\r\n");
        assert_eq!(sent(Stuffing::top(2), &[message]), b"A: b\r\nC: d\r\n\r\none\r\n\r\n.\r\n");
        assert_eq!(sent(Stuffing::top(99), &[message]), [message, b".\r\n"].concat());
        assert_eq!(sent(Stuffing::top(0), &[b"A: b\n", b"\r", b"\n", b"x"]), b"A: b\n\r\n.\r\n");
        assert_eq!(sent(Stuffing::top(5), &[b"no body\r\n"]), b"no body\r\n.\r\n");
    }

    /// What a client makes of it: lines end with LF, the first dot of a line that has more goes.
    fn received(sent: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        let mut lines = sent.split_inclusive(|byte| *byte == b'\n');
        for line in lines.by_ref() {
            match line {
                b".\r\n" | b".\n" => break,
                [b'.', rest @ ..] => message.extend_from_slice(rest),
                line => message.extend_from_slice(line),
            }
        }
        assert_eq!(lines.next(), None, "the message ended early");
        message
    }

    proptest! {
        #[test]
        fn whatever_a_message_holds_comes_through(
            pieces in proptest::collection::vec(proptest::collection::vec(
                prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..40), 0..6)
        ) {
            let message = pieces.concat();
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let got = received(&sent(Stuffing::whole(), &pieces));
            let added = if message.is_empty() || message.ends_with(b"\r\n") { &b""[..] } else { b"\r\n" };
            prop_assert_eq!(got, [&message[..], added].concat());
        }

        #[test]
        fn the_top_does_not_depend_on_the_pieces(
            message in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'x')], 0..60),
            cut in 0..60_usize,
            lines in 0..4_u64,
        ) {
            let (a, b) = message.split_at(cut.min(message.len()));
            prop_assert_eq!(sent(Stuffing::top(lines), &[&message]), sent(Stuffing::top(lines), &[a, b]));
        }
    }
}
