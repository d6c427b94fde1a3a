//! What relay and primary hear from each other, and a list of recipients that was signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::fuzzing::{LIMITS, frames, recipients};

fuzz_target!(|input: (u8, &[u8])| {
    let (what, bytes) = input;
    let Some(limit) = LIMITS.get(usize::from(what)) else { return recipients(bytes) };
    let read = frames(bytes, *limit);
    // Who may say less hears no other frames.
    assert!(LIMITS.iter().filter(|smaller| *smaller < limit).all(|smaller| read.starts_with(&frames(bytes, *smaller))));
});
