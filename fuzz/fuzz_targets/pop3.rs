//! POP3 command lines, and messages made ready to be sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pop3::fuzzing::{is_command, stuffed};

fuzz_target!(|input: (u8, Option<u8>, &[u8])| {
    let (step, top, bytes) = input;
    is_command(bytes);
    let top = top.map(u64::from);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(step).max(1)).collect();
    let sent = stuffed(&pieces, top);
    assert_eq!(sent, stuffed(&[bytes], top), "the same wherever the pieces are cut");
    // The client must not see an end before the end.
    assert!(sent.ends_with(b".\r\n"));
    let first = if sent.starts_with(b".\r\n") {
        Some(3)
    } else {
        sent.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 5)
    };
    assert_eq!(first, Some(sent.len()));
});
