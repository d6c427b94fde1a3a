//! The end of DATA: the same wherever the pieces are cut, and only at CRLF . CRLF.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::data::{DataReader, LineEndCheck};

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    let (mut whole, mut out) = (DataReader::default(), Vec::new());
    let (used, done) = whole.push(bytes, &mut out);
    let (mut cut, mut pieces_out, mut pieces_used, mut pieces_done) = (DataReader::default(), Vec::new(), 0, false);
    for piece in bytes.chunks(usize::from(step).max(1)) {
        let (taken, end) = cut.push(piece, &mut pieces_out);
        pieces_used += taken;
        if end {
            pieces_done = true;
            break;
        }
    }
    assert_eq!((used, done, &out), (pieces_used, pieces_done, &pieces_out));
    assert_eq!(whole.bare_line_ends(), cut.bare_line_ends());
    // A model: the end is the first CRLF . CRLF, the beginning counting as after a CRLF.
    let end = if bytes.starts_with(b".\r\n") {
        Some(3)
    } else {
        bytes.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 5)
    };
    assert_eq!(done.then_some(used), end);
    if done {
        let mut check = LineEndCheck::default();
        check.push(&out);
        assert_eq!(check.bare_line_ends(), whole.bare_line_ends());
    }
});
