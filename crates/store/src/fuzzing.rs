//! Ways to what another program could send, for the fuzzer alone.

use crate::{
    Seq,
    log::segment::{FRAME_BYTES, Footer, chained, header_bytes},
};

/// A run of commits whose checksums and chain are right, whatever its records are.
pub fn run_of(first: u64, payloads: &[&[u8]], time_ms: i64) -> Vec<u8> {
    let mut chain = [7; 32];
    let mut bytes = header_bytes(Seq(first), &chain);
    for payload in payloads {
        chain = chained(&chain, payload);
        let start = bytes.len();
        bytes.resize(start + FRAME_BYTES, 0);
        bytes[start..start + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes[start + 8..].copy_from_slice(&chain);
        bytes.extend_from_slice(payload);
        let crc = crc32c::crc32c(&bytes[start + 8..]);
        bytes[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }
    let last = Seq(first.wrapping_add(payloads.len() as u64).wrapping_sub(1));
    bytes.extend_from_slice(&Footer { chain, last, time_ms }.to_bytes());
    bytes
}
