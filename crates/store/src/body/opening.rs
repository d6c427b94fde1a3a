//! Opens the packs: adds bodies that the index does not know yet, and reports missing ones.
//!
//! If a pack is shorter than before, or missing, only the bodies in the missing part are lost: they count as damaged
//! from then on, and new bodies go into a new pack.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    PACK_MAGIC, Pack, Packs, Place, State,
    broken::Broken,
    create_pack,
    frame::{next_frame, scan_frame},
    pack_name, pack_numbers, pack_path, packed_mark, place_key,
    wanted::Rescue,
};
use crate::{
    BodyId, Cause, Damaged, Part, Result, StoreError,
    damage::Tally,
    disk::{Disk, File},
    index::{Batch, IndexEngine, meta},
    room::Room,
};

/// Findings during the opening of packs.
struct Opened {
    files: HashMap<u32, Arc<dyn File>>,
    /// Packs that lack something they had: how long each is now, or that it is gone; and what to say.
    short: BTreeMap<u32, (Option<u64>, Damaged)>,
    batch: Batch,
}

impl Packs {
    /// Opens the packs and adds bodies to the index that it does not know yet.
    pub(crate) fn open(
        room: Arc<Room>,
        dir: &Path,
        index: Arc<dyn IndexEngine>,
        pack_bytes: u64,
        tally: Arc<Tally>,
    ) -> Result<Self> {
        let disk = room.disk.clone();
        disk.create_dir(dir).map_err(StoreError::io(dir.display().to_string()))?;
        let packed = meta::read(&*index.view(), meta::PACKED)?.and_then(|value| Place::from_bytes(&value));
        let mut numbers = pack_numbers(&*disk, dir)?;
        // Created at the time of a crash: it is empty.
        while let Some(&last) = numbers.last()
            && packed.is_none_or(|packed| packed.pack < last)
            && is_torn(&*disk, dir, last)?
        {
            disk.remove(&pack_path(dir, last)).and_then(|()| disk.sync_dir(dir)).map_err(StoreError::io("pack"))?;
            numbers.pop();
        }
        let mut opened = Opened { files: HashMap::new(), short: BTreeMap::new(), batch: Batch::new() };
        let mut active = None;
        for &number in &numbers {
            active = opened.pack(&*disk, dir, number, packed)?;
        }
        opened.compare(&*index, dir, packed)?;
        let unknown = opened.unmeasured(&*index, packed)?;
        // Nothing is put where something else has been.
        let last = numbers.last().copied().max(packed.map(|packed| packed.pack)).unwrap_or(0);
        let active = match active.filter(|active| active.number == last && !opened.short.contains_key(&last)) {
            Some(active) => active,
            None => create_pack(&*disk, dir, last + 1)?,
        };
        opened.files.insert(active.number, active.file.clone());
        let state = State {
            next_number: active.number + 1,
            active,
            writing: BTreeSet::new(),
            fresh: HashMap::new(),
            unsynced: BTreeMap::new(),
            pins: HashMap::new(),
            touched: None,
            files: opened.files,
            closed: Vec::new(),
        };
        opened.batch.push(packed_mark(state.mark()));
        // The process that made a pack may have been killed before its name was durable.
        disk.sync_dir(dir).map_err(StoreError::io(dir.display().to_string()))?;
        index.apply(opened.batch)?;
        let broken = Arc::new(Broken::load(index.clone(), tally)?);
        let packs = Self {
            disk,
            room,
            dir: dir.to_owned(),
            index,
            pack_bytes,
            state: Mutex::new(state),
            broken,
            rescue: Rescue::default(),
        };
        packs.name_lost(opened.short, unknown)?;
        Ok(packs)
    }

    /// Records the bodies in missing parts of packs, or in packs of unknown size.
    fn name_lost(&self, mut short: BTreeMap<u32, (Option<u64>, Damaged)>, unknown: bool) -> Result<()> {
        if short.is_empty() && !unknown {
            return Ok(());
        }
        let mut lost: BTreeMap<u32, Vec<BodyId>> = BTreeMap::new();
        for row in self.indexed_places() {
            // Errors of the index are reported by its readers.
            let Ok((id, place)) = row else { continue };
            let file = self.state.lock().files.get(&place.pack).cloned();
            let is_lost = match (file, short.get(&place.pack)) {
                (None, None) => {
                    short.insert(place.pack, (None, missing(place.pack)));
                    true
                }
                (None, _) => true,
                (Some(_), None) => false,
                (Some(file), Some((Some(len), _))) if place.offset < *len => {
                    // Whole frames before the cut are well; which one it goes through is seen by reading it.
                    !matches!(scan_frame(&*file, place.offset), Ok(Some(_)))
                }
                (Some(_), Some(_)) => true,
            };
            if is_lost {
                lost.entry(place.pack).or_default().push(id);
            }
        }
        let mut known = Batch::new();
        for (number, (len, what)) in short {
            self.broken.note_all(lost.remove(&number).unwrap_or_default(), &what);
            // Looked through once: what is lost is noted.
            known.push(len.map_or_else(|| meta::forget_pack(number), |len| meta::set_pack_bytes(number, len)));
        }
        self.index.apply(known)
    }
}

impl Opened {
    /// Opens one pack; the index takes what it does not know of it. Gives it as the one that bodies go to.
    fn pack(&mut self, disk: &dyn Disk, dir: &Path, number: u32, packed: Option<Place>) -> Result<Option<Pack>> {
        let path = pack_path(dir, number);
        let file = disk.open(&path).map_err(StoreError::io(path.display().to_string()))?;
        self.files.insert(number, file.clone());
        let known = match packed {
            Some(packed) if packed.pack > number => return Ok(None),
            Some(packed) if packed.pack == number => packed.offset,
            _ => PACK_MAGIC.len() as u64,
        };
        let len = file.len().map_err(StoreError::io(path.display().to_string()))?;
        if len < known {
            let what = too_short(number, len).because(format_args!("{known} bytes of it had been synced"));
            self.short.insert(number, (Some(len), what));
            return Ok(None);
        }
        let mut end = known;
        while let Some((header, start, next)) = next_frame(&*file, end, len)? {
            if start > end {
                let bytes = start - end;
                tracing::warn!(pack = number, offset = end, bytes, "skipping an incomplete body");
            }
            if let Ok(id) = header.id.as_slice().try_into().map(BodyId::from_bytes) {
                let place = Place { pack: number, offset: start };
                self.batch.push(meta::write(place_key(&id), place.to_bytes()));
            }
            end = next;
        }
        // What is not whole stays where it is: it may have been torn by a crash, or it may be a damaged body that
        // someone can still make sense of. New bodies go behind it.
        if end < len {
            let bytes = len - end;
            tracing::warn!(pack = number, offset = end, bytes, "a pack ends with an incomplete body");
            end = len;
        }
        file.sync().map_err(StoreError::io(path.display().to_string()))?;
        Ok(Some(Pack { number, file, len: end, written: end }))
    }

    /// Compares the packs with the sizes in the index.
    fn compare(&mut self, index: &dyn IndexEngine, dir: &Path, packed: Option<Place>) -> Result<()> {
        if let Some(packed) = packed.filter(|packed| !self.files.contains_key(&packed.pack)) {
            self.short.insert(packed.pack, (None, missing(packed.pack)));
        }
        for (number, bytes) in meta::pack_bytes(&*index.view())? {
            let path = pack_path(dir, number);
            let len = self.files.get(&number).map(|file| file.len()).transpose();
            match len.map_err(StoreError::io(path.display().to_string()))? {
                None => drop(self.short.insert(number, (None, missing(number)))),
                Some(len) if len < bytes => {
                    let what = too_short(number, len).because(format_args!("it was {bytes} bytes"));
                    self.short.entry(number).or_insert((Some(len), what));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Notes the sizes of closed packs of which the index says nothing; says whether it does not know which there were.
    fn unmeasured(&mut self, index: &dyn IndexEngine, packed: Option<Place>) -> Result<bool> {
        let known: BTreeSet<u32> = meta::pack_bytes(&*index.view())?.into_iter().map(|(number, _)| number).collect();
        let last = self.files.keys().copied().max();
        let mut closed: Vec<u32> = self.files.keys().copied().filter(|number| Some(*number) != last).collect();
        closed.retain(|number| !known.contains(number) && !self.short.contains_key(number));
        for number in &closed {
            let len = self.files[number].len().map_err(StoreError::io("body pack"))?;
            self.batch.push(meta::set_pack_bytes(*number, len));
        }
        // An index of before, which did not say it: any pack may be gone.
        Ok(known.is_empty() && packed.is_some_and(|packed| packed.pack > 1))
    }
}

fn missing(number: u32) -> Damaged {
    Damaged::new(Part::Pack, Cause::Missing).file(pack_name(number))
}

fn too_short(number: u32, len: u64) -> Damaged {
    Damaged::new(Part::Pack, Cause::CutOff).file(pack_name(number)).at(len)
}

/// Whether a pack has not even its first bytes.
fn is_torn(disk: &dyn Disk, dir: &Path, number: u32) -> Result<bool> {
    let path = pack_path(dir, number);
    let name = path.display().to_string();
    let file = disk.open(&path).map_err(StoreError::io(name.clone()))?;
    if file.len().map_err(StoreError::io(name.clone()))? > PACK_MAGIC.len() as u64 {
        return Ok(false);
    }
    let mut magic = [0; PACK_MAGIC.len()];
    let read = file.read_full(&mut magic, 0).map_err(StoreError::io(name))?;
    Ok(read < magic.len() || &magic != PACK_MAGIC)
}
