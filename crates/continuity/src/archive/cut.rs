//! Content-defined chunking of a realm's records. A cut depends only on the records near it, so that a change does not
//! move cuts elsewhere, and unchanged chunks need not be stored again.

use super::format::{Chunk, Record};

/// No chunk is smaller, unless it is a realm's last.
const LEAST_BYTES: usize = 32 << 10;
/// The average size of chunks above the minimum.
const USUAL_BYTES: u64 = 128 << 10;
/// A chunk that has become larger is cut wherever it is.
const MOST_BYTES: usize = 1 << 20;

/// Gathers a realm's records.
pub(super) struct Cutter {
    chunk: Chunk,
    bytes: usize,
}

impl Cutter {
    pub(super) fn new(realm: u64) -> Self {
        Self { chunk: Chunk { realm, records: Vec::new() }, bytes: 0 }
    }

    /// Takes a record; gives the chunk that it ends, if it does.
    pub(super) fn push(&mut self, key: Vec<u8>, value: Vec<u8>) -> Option<Chunk> {
        let len = key.len() + value.len();
        // A record's chance to be the last of its chunk goes with its size; its key decides.
        let draw = u64::from_le_bytes(blake3::hash(&key).as_bytes()[..8].try_into().expect("8 bytes"));
        let is_end = draw < (u64::MAX / USUAL_BYTES).saturating_mul(len as u64);
        self.bytes += len;
        self.chunk.records.push(Record { key, value });
        (self.bytes >= LEAST_BYTES && (is_end || self.bytes >= MOST_BYTES)).then(|| self.take())
    }

    /// What is left, if anything.
    pub(super) fn finish(mut self) -> Option<Chunk> {
        (!self.chunk.records.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Chunk {
        self.bytes = 0;
        let next = Chunk { realm: self.chunk.realm, records: Vec::new() };
        std::mem::replace(&mut self.chunk, next)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn chunks(records: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Chunk> {
        let mut cutter = Cutter::new(1);
        let mut all: Vec<Chunk> =
            records.iter().filter_map(|(key, value)| cutter.push(key.clone(), value.clone())).collect();
        all.extend(cutter.finish());
        all
    }

    #[test]
    fn one_changed_record_changes_a_few_chunks_only() {
        let mut records: BTreeMap<Vec<u8>, Vec<u8>> =
            (0_u32..20_000).map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; 150])).collect();
        let before = chunks(&records);
        assert!(before.len() > 10, "{}", before.len());
        assert_eq!(before.iter().map(|chunk| chunk.records.len()).sum::<usize>(), 20_000);
        for change in 0..50_u32 {
            let key = (change * 397).to_be_bytes().to_vec();
            match change % 3 {
                0 => drop(records.insert(key, b"changed".to_vec())),
                1 => drop(records.remove(&key)),
                _ => drop(records.insert([key, b"new".to_vec()].concat(), vec![1; 100])),
            }
            let after = chunks(&records);
            let new = after.iter().filter(|chunk| !before.contains(chunk)).count();
            // Each round adds one change to those before it.
            assert!(new <= 3 * (change as usize + 1), "{new} new chunks after {} changes", change + 1);
        }
    }

    #[test]
    fn chunks_stay_within_their_bounds() {
        let records = (0_u32..100).map(|n| (n.to_be_bytes().to_vec(), vec![0; 300_000])).collect();
        for chunk in chunks(&records) {
            let bytes: usize = chunk.records.iter().map(|record| record.key.len() + record.value.len()).sum();
            assert!(bytes < MOST_BYTES + 300_100);
        }
    }
}
