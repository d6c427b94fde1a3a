//! Simulation: a disk and an index that lose everything not made durable, driven by a seed.

mod bodies;
mod crashes;
mod disk;
mod gate;
mod index;
mod log;
mod moments;
mod seals;

use std::{path::Path, sync::Arc};

use crate::{Result, Store, StoreOptions, index::IndexEngine, options::Role};

/// The store in `/store` of a simulated disk.
fn open(options: StoreOptions, index: Arc<dyn IndexEngine>) -> Result<Store> {
    Store::open_on(Path::new("/store"), options, index, None, Role::Whole)
}

/// A small generator whose whole state is its seed, so that a failure is repeated by the number it prints.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which must not be 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in `times`.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
