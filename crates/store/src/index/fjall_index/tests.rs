//! A disk without space for the engine's background work, and one where that work failed.

use std::{fs::File, sync::atomic::Ordering};

use super::*;
use crate::room::tests::Said;

struct World {
    disk: Arc<Said>,
    options: StoreOptions,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let disk = Arc::new(Said::default());
        disk.free.store(u64::MAX, Ordering::SeqCst);
        let options = StoreOptions { disk: disk.clone(), reserve_bytes: 1_000, ..StoreOptions::default() };
        Self { disk, options, dir: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> FjallIndex {
        FjallIndex::open(&self.dir.path().join("index"), &self.options).unwrap()
    }

    fn free(&self, bytes: u64) {
        self.disk.free.store(bytes, Ordering::SeqCst);
    }
}

fn put(index: &FjallIndex, number: u32) -> Result<()> {
    index.apply(vec![(Space::Records, number.to_be_bytes().to_vec(), Some(vec![7; 100]))])
}

fn is_there(index: &FjallIndex, number: u32) -> bool {
    index.view().get(Space::Records, &number.to_be_bytes()).unwrap().is_some()
}

fn has_workers(index: &FjallIndex) -> bool {
    index.engine().unwrap().has_workers
}

/// Files of the key space of records that were not compacted yet.
fn young_files(index: &FjallIndex) -> usize {
    index.engine().unwrap().spaces.records.l0_table_count()
}

fn write_out(index: &FjallIndex) {
    index.engine().unwrap().spaces.records.rotate_memtable_and_wait().unwrap();
}

/// An index whose files are to be compacted as soon as it is opened; rows 0 to 9.
fn with_work_to_do(world: &World) {
    for number in 0..10 {
        let index = world.open();
        put(&index, number).unwrap();
        write_out(&index);
    }
}

#[test]
fn without_space_nothing_is_done_in_the_background_until_there_is_some() {
    let world = World::new();
    with_work_to_do(&world);
    world.free(499);
    let index = world.open();
    assert!(!has_workers(&index));
    let young = young_files(&index);
    assert!((0..10).all(|number| is_there(&index, number)));
    // Should something be written all the same, it is kept.
    put(&index, 10).unwrap();
    assert!(!has_workers(&index));
    assert_eq!(young_files(&index), young);
    drop(index);
    let index = world.open();
    assert!(is_there(&index, 10));
    world.free(500);
    // A reader that goes on for longer than a write waits for is not disturbed; the write does not fail.
    let view = index.view();
    put(&index, 11).unwrap();
    assert!(!has_workers(&index));
    assert!(view.get(Space::Records, &10_u32.to_be_bytes()).unwrap().is_some());
    assert!(view.get(Space::Records, &11_u32.to_be_bytes()).unwrap().is_none());
    drop(view);
    put(&index, 12).unwrap();
    assert!(has_workers(&index));
    assert!((0..=12).all(|number| is_there(&index, number)));
    // And they work.
    write_out(&index);
    assert!(index.lost().is_none());
    index.persist().unwrap();
}

#[test]
fn readers_and_writers_see_every_row_while_it_is_opened_again() {
    let world = World::new();
    with_work_to_do(&world);
    world.free(0);
    let index = world.open();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let view = index.view();
                    let rows = view.range(Space::Records, (Bound::Unbounded, Bound::Unbounded), Order::Ascending);
                    assert!(rows.collect::<Result<Vec<_>>>().unwrap().len() >= 10);
                }
            });
        }
        scope.spawn(|| {
            for number in 10..200 {
                put(&index, number).unwrap();
                if number == 100 {
                    world.free(u64::MAX);
                }
            }
        });
        scope.spawn(|| {
            for number in 200..400 {
                put(&index, number).unwrap();
            }
        });
    });
    put(&index, 400).unwrap();
    assert!(has_workers(&index));
    assert!((0..=400).all(|number| is_there(&index, number)));
}

/// Something is in the way of the next file that the engine writes out, as a full disk is.
fn break_background_work(world: &World, index: &FjallIndex) -> Vec<PathBuf> {
    let tables = world.dir.path().join("index/keyspaces");
    let trees = std::fs::read_dir(&tables).unwrap().map(|entry| entry.unwrap().path().join("tables"));
    let mut stones = Vec::new();
    for tree in trees.filter(|tree| tree.is_dir()) {
        for number in 0..200 {
            let path = tree.join(number.to_string());
            if File::open(&path).is_err() {
                std::fs::create_dir(&path).unwrap();
                stones.push(path);
            }
        }
    }
    index.engine().unwrap().spaces.records.rotate_memtable().unwrap();
    stones
}

#[test]
fn after_background_work_failed_the_next_write_goes_on() {
    let world = World::new();
    let index = world.open();
    put(&index, 0).unwrap();
    let stones = break_background_work(&world, &index);
    let engine = index.engine().unwrap();
    // Until it has failed.
    while !matches!(engine.write(&vec![(Space::Meta, vec![1], Some(vec![1]))]), Err(fjall::Error::Poisoned)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(engine);
    // As long as there is no space nothing is tried.
    world.free(0);
    let refused = put(&index, 1);
    assert!(matches!(refused, Err(StoreError::Stopped { .. })), "{refused:?}");
    assert!(is_there(&index, 0), "people read on");
    for stone in stones {
        std::fs::remove_dir(stone).unwrap();
    }
    world.free(u64::MAX);
    put(&index, 1).unwrap();
    assert!(is_there(&index, 0) && is_there(&index, 1));
    write_out(&index);
    drop(index);
    let index = world.open();
    assert!(is_there(&index, 0) && is_there(&index, 1));
}
