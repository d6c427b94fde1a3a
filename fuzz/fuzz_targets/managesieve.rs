//! Streams of ManageSieve commands, with literals.
#![no_main]

use libfuzzer_sys::fuzz_target;
use managesieve::fuzzing::commands;

fuzz_target!(|bytes: &[u8]| {
    let count = commands(bytes);
    assert!(count <= bytes.iter().filter(|byte| **byte == b'\n').count(), "a command has a line of its own");
});
