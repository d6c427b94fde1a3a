//! Ways into the private parsers, for the fuzzer alone.

use crate::command::Command;
use crate::stuffing::Stuffing;

/// Whether a line is a command.
pub fn is_command(line: &[u8]) -> bool {
    Command::parse(line).is_ok()
}

/// What is sent for a message that comes in pieces: all of it, or its header and so many lines.
pub fn stuffed(pieces: &[&[u8]], top: Option<u64>) -> Vec<u8> {
    let mut stuffing = top.map_or_else(Stuffing::whole, Stuffing::top);
    let mut out = Vec::new();
    for piece in pieces {
        if !stuffing.is_full() {
            stuffing.push(piece, &mut out);
        }
    }
    stuffing.finish(&mut out);
    out
}
