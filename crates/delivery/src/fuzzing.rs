//! Ways into the private parsers, for the fuzzer alone.

use crate::outbound::{
    reply::{MAX_KEPT_BYTES, MAX_LINES, ReplyParser},
    wire::WireEncoder,
};

/// The replies that a server's bytes are, fed in pieces of `step` bytes: code and text of each. Ends at what is none.
pub fn replies(bytes: &[u8], step: usize) -> Vec<(u16, String)> {
    let (mut parser, mut all) = (ReplyParser::default(), Vec::new());
    for mut piece in bytes.chunks(step.max(1)) {
        while !piece.is_empty() {
            let Ok((taken, reply)) = parser.push(piece) else { return all };
            assert!(taken > 0 || reply.is_some(), "no way on");
            piece = &piece[taken..];
            if let Some(reply) = reply {
                assert!(reply.lines.len() <= MAX_LINES);
                assert!(reply.lines.iter().map(String::len).sum::<usize>() <= 4 * MAX_KEPT_BYTES);
                let _ = reply.enhanced();
                all.push((reply.code, reply.to_string()));
            }
        }
    }
    all
}

/// A message as it goes over the wire after DATA, made of pieces of `step` bytes.
pub fn on_the_wire(message: &[u8], step: usize) -> Vec<u8> {
    let (mut encoder, mut out) = (WireEncoder::default(), Vec::new());
    for piece in message.chunks(step.max(1)) {
        encoder.encode(piece, &mut out);
    }
    encoder.finish(&mut out);
    out
}
