//! What IMAP servers elsewhere answer, cut into lines and literals as the client does it.
#![no_main]

use fetching::imap::response::{Piece, is_message, literal_of, parse};
use libfuzzer_sys::fuzz_target;

/// The largest literal that is kept.
const MOST: u64 = 4096;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Some(first) = line(&mut rest) {
        let mut pieces = vec![Piece::Text(first.clone())];
        let mut last = first.clone();
        while let Some(length) = literal_of(&first, &last) {
            let _ = is_message(&last);
            let count = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
            let (literal, after) = rest.split_at(count);
            rest = after;
            pieces.push(if length > MOST { Piece::Passed(length) } else { Piece::Literal(literal.to_vec()) });
            let Some(next) = line(&mut rest) else { return };
            pieces.push(Piece::Text(next.clone()));
            last = next;
        }
        let _ = parse(&pieces);
    }
});

fn line(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]).to_vec();
    *rest = &rest[end + 1..];
    Some(line)
}
