//! The wire form of a message after DATA: CRLF line ends only, dots stuffed (RFC 5321 §4.5.2, §2.3.8).
//!
//! A bare LF or CR becomes CRLF. If it were sent unchanged, servers that treat it as a line end could see the message
//! end early and read the rest as commands: SMTP smuggling.

/// Converts the bytes of a message to their wire form, piece by piece.
#[derive(Debug)]
pub struct WireEncoder {
    at_line_start: bool,
    after_cr: bool,
    stuff_dots: bool,
}

impl Default for WireEncoder {
    /// For DATA.
    fn default() -> Self {
        Self { at_line_start: true, after_cr: false, stuff_dots: true }
    }
}

impl WireEncoder {
    /// Line ends fixed, dots unchanged: the form that is signed.
    pub fn without_dots() -> Self {
        Self { stuff_dots: false, ..Self::default() }
    }

    /// Append the encoded form of the next `bytes` to `out`.
    pub fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() + bytes.len() / 32);
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            if self.after_cr {
                self.after_cr = false;
                self.end_line(out);
                if first == b'\n' {
                    rest = after;
                    continue;
                }
            }
            match first {
                b'\r' => {
                    self.after_cr = true;
                    rest = after;
                }
                b'\n' => {
                    self.end_line(out);
                    rest = after;
                }
                _ => {
                    if self.at_line_start && first == b'.' && self.stuff_dots {
                        out.push(b'.');
                    }
                    self.at_line_start = false;
                    let run = rest.iter().position(|&b| b == b'\r' || b == b'\n').unwrap_or(rest.len());
                    out.extend_from_slice(&rest[..run]);
                    rest = &rest[run..];
                }
            }
        }
    }

    /// End the last line if it is open.
    pub fn finish_lines(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.after_cr) || !self.at_line_start {
            self.end_line(out);
        }
    }

    /// End the message: the last line, then the dot.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.finish_lines(out);
        out.extend_from_slice(b".\r\n");
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.at_line_start = true;
    }
}

/// Whether `bytes` has a CR or LF that is not part of a CRLF.
pub fn has_bare_line_ends(bytes: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in bytes {
        if (byte == b'\n') != (previous == b'\r') {
            return true;
        }
        previous = byte;
    }
    previous == b'\r'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(bytes: &[u8], step: usize) -> Vec<u8> {
        let mut encoder = WireEncoder::default();
        let mut out = Vec::new();
        for piece in bytes.chunks(step.max(1)) {
            encoder.encode(piece, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn dots_are_stuffed_and_the_end_is_marked_once() {
        assert_eq!(encoded(b"a\r\n.\r\n..b\r\n", 1), b"a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(encoded(b"", 1), b".\r\n");
        assert_eq!(encoded(b"no end", 2), b"no end\r\n.\r\n");
        assert_eq!(encoded(b"half\r", 2), b"half\r\n.\r\n");
    }

    #[test]
    fn a_smuggled_end_of_data_stays_inside_the_message() {
        for smuggled in [&b"x\n.\nMAIL"[..], b"x\n.\r\nMAIL", b"x\r\n.\nMAIL", b"x\r.\rMAIL", b"x\r\n.\rMAIL"] {
            assert_eq!(encoded(smuggled, 1), b"x\r\n..\r\nMAIL\r\n.\r\n", "{smuggled:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_exactly_once(
            bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), any::<u8>()], 0..200),
            step in 1usize..20,
        ) {
            let out = encoded(&bytes, step);
            prop_assert_eq!(&out, &encoded(&bytes, bytes.len()));
            prop_assert!(!has_bare_line_ends(&out));
            let lines: Vec<&[u8]> = out.split(|&b| b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect();
            prop_assert_eq!(lines.iter().filter(|l| **l == b".").count(), 1);
            prop_assert_eq!(lines[lines.len() - 2], b".");
        }

        #[test]
        fn clean_messages_go_through_unchanged_but_for_dots(lines in prop::collection::vec("[ -~]{0,40}", 0..20)) {
            let message = lines.join("\r\n") + if lines.is_empty() { "" } else { "\r\n" };
            let expected = if message.starts_with('.') { format!(".{message}") } else { message.clone() };
            let expected = expected.replace("\r\n.", "\r\n..");
            prop_assert_eq!(encoded(message.as_bytes(), 7), format!("{expected}.\r\n").into_bytes());
            prop_assert!(!has_bare_line_ends(message.as_bytes()));
        }
    }
}
