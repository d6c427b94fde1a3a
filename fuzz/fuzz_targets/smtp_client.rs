//! What other servers say to us, and what we send them: the same wherever the pieces are cut.
#![no_main]

use delivery::fuzzing::{on_the_wire, replies};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    let step = usize::from(step).max(1);
    let whole = replies(bytes, bytes.len());
    assert_eq!(whole, replies(bytes, step));
    for (code, text) in whole {
        assert!((200..600).contains(&code));
        assert!(!text.contains(['\r', '\n', '\0']), "a reply goes into reports and logs");
    }
    let sent = on_the_wire(bytes, step);
    assert_eq!(sent, on_the_wire(bytes, bytes.len()));
    // The server must not see an end before the end, whatever it takes for a line end.
    assert!(sent.ends_with(b".\r\n"));
    let end = if sent.starts_with(b".\r\n") {
        Some(3)
    } else {
        sent.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 5)
    };
    assert_eq!(end, Some(sent.len()));
    let mut before = 0;
    for &byte in &sent {
        assert_eq!(byte == b'\n', before == b'\r', "a bare line end");
        before = byte;
    }
});
