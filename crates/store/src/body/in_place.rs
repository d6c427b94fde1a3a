//! Packs that were removed or replaced while they are open.

use std::sync::Arc;

use super::{Packs, pack_name, pack_path};
use crate::{
    Cause, Damaged, Part,
    disk::{File, put_back},
};

impl Packs {
    /// Whether a pack is still what its name names.
    fn is_in_place(&self, number: u32, file: &dyn File) -> bool {
        // One that can't be looked at is told by who reads it.
        file.is_at(&pack_path(&self.dir, number)).unwrap_or(true)
    }

    /// Why writes must stop: the active pack was removed or replaced. Its contents are restored for the next start.
    pub(crate) fn unlinked_active(&self) -> Option<String> {
        let written: Vec<(u32, Arc<dyn File>)> = {
            let state = self.state.lock();
            let unsynced = state.unsynced.iter().map(|(number, file)| (*number, file.clone()));
            unsynced.chain([(state.active.number, state.active.file.clone())]).collect()
        };
        let (number, file) = written.into_iter().find(|(number, file)| !self.is_in_place(*number, &**file))?;
        let path = pack_path(&self.dir, number);
        let outcome = file.len().and_then(|len| put_back(&*self.disk, &path, &*file, len));
        let what =
            outcome.map_or_else(|error| format!("could not be restored: {error}"), |_| "was restored".to_owned());
        Some(format!(
            "the pack {} was removed or replaced while the service was running, and {what}; start the service again",
            path.display()
        ))
    }

    /// Puts back closed packs that are not where they were; gives what to say of each.
    pub(crate) fn put_closed_back(&self) -> Vec<(String, Damaged)> {
        let closed: Vec<(u32, Arc<dyn File>)> = {
            let state = self.state.lock();
            let is_busy = |number: u32| {
                number == state.active.number
                    || state.unsynced.contains_key(&number)
                    || state.writing.iter().any(|(pack, _)| *pack == number)
            };
            let files = state.files.iter().filter(|(number, _)| !is_busy(**number));
            files.map(|(number, file)| (*number, file.clone())).collect()
        };
        let mut said = Vec::new();
        for (number, file) in closed {
            if self.is_in_place(number, &*file) {
                continue;
            }
            let path = pack_path(&self.dir, number);
            let mut state = self.state.lock();
            // A reclaimed pack is not damage.
            if !state.files.contains_key(&number) {
                continue;
            }
            let what = match file.len().and_then(|len| put_back(&*self.disk, &path, &*file, len)) {
                Ok(again) => {
                    state.files.insert(number, again);
                    "it was restored".to_owned()
                }
                Err(error) => format!("it could not be restored: {error}"),
            };
            drop(state);
            let damage = Damaged::new(Part::Pack, Cause::Replaced).file(pack_name(number));
            said.push((pack_name(number), damage.because(what)));
        }
        said
    }
}
