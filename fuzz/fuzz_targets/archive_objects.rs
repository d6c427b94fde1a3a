//! What is read back from an archive's target, which may be broken or somebody else's.
#![no_main]

use continuity::archive::fuzzing as archive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (what, bytes) = input;
    match what {
        0 => archive::manifest(bytes, false),
        1 => archive::manifest(bytes, true),
        2 => archive::stored_manifest(bytes),
        3 => archive::run(bytes),
        4 => archive::chunk(bytes),
        5 => archive::unpacked(bytes, 1 << 20),
        6 => archive::catalog(&String::from_utf8_lossy(bytes)),
        7 => String::from_utf8_lossy(bytes).lines().for_each(archive::name),
        _ => archive::index(bytes, usize::from(what)),
    }
});
