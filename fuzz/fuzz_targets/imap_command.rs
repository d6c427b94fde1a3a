//! IMAP commands, fed in pieces, literals and all.
#![no_main]

use imap::syntax::{Frame, Progress, append_head, append_next, is_catenate, is_set_metadata, parse, tag_of};
use libfuzzer_sys::fuzz_target;

/// As large as a fuzzing input gets, so that the limit is met too.
const LIMIT: usize = 2_048;

fuzz_target!(|input: (u8, &[u8])| {
    let (step, mut bytes) = input;
    let step = usize::from(step).max(1);
    let mut frame = Frame::new(LIMIT);
    while !bytes.is_empty() {
        let piece = &bytes[..bytes.len().min(step)];
        let Ok((taken, progress)) = frame.feed(piece) else {
            return;
        };
        assert!(taken <= piece.len());
        bytes = &bytes[taken..];
        match progress {
            Progress::More => {}
            Progress::Literal(header) => {
                let _ = append_head(frame.bytes());
                let _ = append_next(frame.bytes());
                let _ = is_catenate(frame.bytes());
                let _ = is_set_metadata(frame.bytes());
                let _ = tag_of(frame.bytes());
                if usize::try_from(header.len).is_ok_and(|len| len <= frame.room()) {
                    frame.accept_literal(header);
                } else {
                    frame.discard(header);
                }
            }
            Progress::Complete => {
                let _ = tag_of(frame.bytes());
                let _ = parse(frame.bytes());
                frame.reset();
            }
        }
    }
});
