//! Ways into the private parsers, for the fuzzer alone.

use crate::frame::{Follows, Frame};
use crate::request::Command;

/// How many commands a stream of bytes has that can be understood. A literal that is longer than what is left ends it.
pub fn commands(mut bytes: &[u8]) -> usize {
    let (mut count, mut frame) = (0, Frame::default());
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        bytes = rest;
        match frame.line(line.strip_suffix(b"\r").unwrap_or(line)) {
            Follows::End => count += usize::from(frame.take().is_ok_and(|words| Command::read(words).is_ok())),
            Follows::Literal(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let Some((literal, rest)) = bytes.split_at_checked(length) else { break };
                frame.literal(literal.to_vec());
                bytes = rest;
            }
        }
    }
    count
}
