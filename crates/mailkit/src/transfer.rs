//! Content transfer encodings, undone piece by piece, so that a large part is given out without being held in memory. An
//! answer that must begin with its size, as in BINARY (RFC 3516), has the part decoded twice.

use crate::opened::uuencode;

/// A content transfer encoding (RFC 2045 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit, binary.
    Identity,
    /// Base64.
    Base64,
    /// Quoted-printable.
    QuotedPrintable,
    /// Uuencode, which is no standard of mail and yet is sent.
    Uuencode,
}

impl Encoding {
    /// The encoding of that name; `None` if it is unknown. No name is 7bit.
    pub fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "7bit" | "8bit" | "binary" => Some(Self::Identity),
            "base64" => Some(Self::Base64),
            "quoted-printable" => Some(Self::QuotedPrintable),
            "x-uuencode" | "x-uue" | "uuencode" | "uue" => Some(Self::Uuencode),
            _ => None,
        }
    }
}

/// Decodes a stream. Broken input never fails: what is no encoding stands for itself (quoted-printable) or for nothing
/// (base64), as RFC 2045 sections 6.7 and 6.8 advise.
#[derive(Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Debug)]
enum State {
    Identity,
    Base64 { bits: u32, count: u8 },
    Quoted { held: Vec<u8> },
    Uuencode(uuencode::Decoder),
}

/// Longest run held back by quoted-printable before it is given out as it is; lines have at most 76 characters.
const MAX_HELD: usize = 1_000;

impl Decoder {
    /// Of the beginning of a part.
    pub fn new(encoding: Encoding) -> Self {
        let state = match encoding {
            Encoding::Identity => State::Identity,
            Encoding::Base64 => State::Base64 { bits: 0, count: 0 },
            Encoding::QuotedPrintable => State::Quoted { held: Vec::new() },
            Encoding::Uuencode => State::Uuencode(uuencode::Decoder::default()),
        };
        Self { state }
    }

    /// Appends to `out` what `input` decodes to.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match &mut self.state {
            State::Identity => out.extend_from_slice(input),
            State::Base64 { bits, count } => {
                for &byte in input {
                    let Some(value) = sextet(byte) else {
                        if byte == b'=' {
                            (*bits, *count) = (0, 0);
                        }
                        continue;
                    };
                    *bits = (*bits << 6) | value;
                    *count += 6;
                    if *count >= 8 {
                        *count -= 8;
                        out.push((*bits >> *count) as u8);
                        *bits &= (1 << *count) - 1;
                    }
                }
            }
            State::Uuencode(decoder) => decoder.feed(input, out),
            State::Quoted { held } => {
                for &byte in input {
                    quoted(held, byte, out);
                }
            }
        }
    }

    /// The end of the input.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let State::Uuencode(decoder) = &mut self.state {
            decoder.finish(out);
        }
        if let State::Quoted { held } = &mut self.state {
            // White space at the end of the text was added on the way; a last `=` is a soft line break.
            if !held.iter().all(|b| matches!(b, b' ' | b'\t' | b'=')) {
                out.append(held);
            }
            held.clear();
        }
    }
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// One byte of quoted-printable. `held` is what can not be decided yet: white space that may end the line, or `=` and
/// what follows it.
fn quoted(held: &mut Vec<u8>, byte: u8, out: &mut Vec<u8>) {
    if let Some(start) = held.iter().position(|&b| b == b'=') {
        let after = &held[start + 1..];
        match byte {
            // A soft line break, with white space between forgiven.
            b'\n' if after.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r')) => {
                out.extend_from_slice(&held[..start]);
                held.clear();
                return;
            }
            b' ' | b'\t' | b'\r' if held.len() < MAX_HELD && after.iter().all(|b| matches!(b, b' ' | b'\t')) => {
                held.push(byte);
                return;
            }
            _ if byte.is_ascii_hexdigit() && after.is_empty() => {
                held.push(byte);
                return;
            }
            _ => {}
        }
        if let (&[high], true) = (after, byte.is_ascii_hexdigit())
            && high.is_ascii_hexdigit()
        {
            out.extend_from_slice(&held[..start]);
            out.push(hex(high) << 4 | hex(byte));
            held.clear();
            return;
        }
        // No escape after all.
        out.append(held);
    }
    match byte {
        b' ' | b'\t' | b'=' if held.len() < MAX_HELD => held.push(byte),
        b'\r' | b'\n' => {
            held.clear();
            out.push(byte);
        }
        _ => {
            out.append(held);
            out.push(byte);
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use proptest::prelude::*;

    use super::*;

    fn decoded(encoding: Encoding, pieces: &[&[u8]]) -> Vec<u8> {
        let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
        for piece in pieces {
            decoder.feed(piece, &mut out);
        }
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn quoted_printable_forgives_what_mailers_break() {
        let text = |input: &str| String::from_utf8(decoded(Encoding::QuotedPrintable, &[input.as_bytes()])).unwrap();
        assert_eq!(text("d=C3=A9j=\r\na vu  \r\n=3d"), "d\u{e9}ja vu\r\n=");
        assert_eq!(text("soft=  \r\nbreak"), "softbreak");
        assert_eq!(text("a =zz b=4"), "a =zz b=4");
        assert_eq!(text("end="), "end");
        assert_eq!(text("a =\r\nb"), "a b");
        assert_eq!(text("1+1=2 =41"), "1+1=2 A");
    }

    proptest! {
        #[test]
        fn base64_in_any_pieces_gives_the_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..300) {
            let mut text = base64::engine::general_purpose::STANDARD.encode(&bytes);
            if text.len() > 76 { text.insert_str(76, "\r\n"); }
            let cut = cut.min(text.len());
            prop_assert_eq!(decoded(Encoding::Base64, &[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]), bytes);
        }

        #[test]
        fn quoted_printable_does_not_depend_on_the_pieces(text in "[=A-F0-9 \t\r\nx]{0,60}", cut in 0usize..60) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let whole = decoded(Encoding::QuotedPrintable, &[bytes]);
            prop_assert_eq!(decoded(Encoding::QuotedPrintable, &[&bytes[..cut], &bytes[cut..]]), whole);
        }
    }
}
