//! What primary and standby hear from each other, and runs of commits that another program has made.
#![no_main]

use continuity::standby::fuzzing::{LIMITS, commits, frames};
use libfuzzer_sys::fuzz_target;
use store::fuzzing::run_of;

fuzz_target!(|input: (u8, &[u8])| {
    let (what, bytes) = input;
    if let Some(limit) = LIMITS.get(usize::from(what)) {
        let read = frames(bytes, *limit);
        // Who may say less hears no other frames.
        assert!(
            LIMITS.iter().filter(|smaller| *smaller < limit).all(|smaller| read.starts_with(&frames(bytes, *smaller)))
        );
        return;
    }
    // The first number, then records, each behind its length.
    let Some((first, mut rest)) = bytes.split_first_chunk() else { return };
    let mut records = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk() {
        let (record, more) = more.split_at(usize::from(u16::from_le_bytes(*length)).min(more.len()));
        records.push(record);
        rest = more;
    }
    commits(run_of(u64::from_le_bytes(*first), &records, i64::from(what)));
    commits(bytes.to_vec());
});
