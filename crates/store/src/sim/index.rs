//! An in-memory index that keeps an arbitrary prefix of the batches applied since the last flush.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::Dice;
use crate::{
    Order, Result,
    index::{Batch, IndexEngine, IndexView, RowIter, Space},
};

type Map = BTreeMap<(Space, Vec<u8>), Bytes>;

fn write(map: &mut Map, batch: &Batch) {
    for (space, key, value) in batch {
        match value {
            Some(value) => map.insert((*space, key.clone()), Bytes::copy_from_slice(value)),
            None => map.remove(&(*space, key.clone())),
        };
    }
}

#[derive(Default)]
struct State {
    now: Arc<Map>,
    kept: Arc<Map>,
    batches: Vec<Batch>,
    panics: bool,
}

#[derive(Default)]
pub(super) struct SimIndex(Mutex<State>);

impl SimIndex {
    /// Lets the next batch meet a bug.
    pub(super) fn panic_at_the_next_batch(&self) {
        self.0.lock().panics = true;
    }

    /// What is left of it once the power is back.
    pub(super) fn after_power_loss(&self, dice: &mut Dice) -> Self {
        let state = self.0.lock();
        let mut map = (*state.kept).clone();
        let count = dice.below(state.batches.len() as u64 + 1) as usize;
        for batch in &state.batches[..count] {
            write(&mut map, batch);
        }
        let kept = Arc::new(map);
        Self(Mutex::new(State { now: kept.clone(), kept, batches: Vec::new(), panics: false }))
    }
}

impl IndexEngine for SimIndex {
    fn view(&self) -> Box<dyn IndexView> {
        Box::new(View(self.0.lock().now.clone()))
    }

    fn apply(&self, batch: Batch) -> Result<()> {
        let mut state = self.0.lock();
        assert!(!std::mem::take(&mut state.panics), "simulated");
        write(Arc::make_mut(&mut state.now), &batch);
        state.batches.push(batch);
        Ok(())
    }

    fn persist(&self) -> Result<()> {
        let mut state = self.0.lock();
        state.kept = state.now.clone();
        state.batches.clear();
        Ok(())
    }
}

struct View(Arc<Map>);

impl IndexView for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(&(space, key.to_vec())).cloned())
    }

    fn range(&self, space: Space, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> RowIter<'_> {
        let start = match range.0 {
            Bound::Included(key) => Bound::Included((space, key)),
            Bound::Excluded(key) => Bound::Excluded((space, key)),
            Bound::Unbounded => Bound::Included((space, Vec::new())),
        };
        let end = match range.1 {
            Bound::Included(key) => Bound::Included((space, key)),
            Bound::Excluded(key) => Bound::Excluded((space, key)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let rows = self
            .0
            .range((start, end))
            .filter(move |((found, _), _)| *found == space)
            .map(|((_, key), value)| Ok((Bytes::copy_from_slice(key), value.clone())));
        match order {
            Order::Ascending => Box::new(rows),
            Order::Descending => Box::new(rows.rev()),
        }
    }
}
