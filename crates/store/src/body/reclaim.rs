//! Reclaims the disk space of bodies that nothing refers to.
//!
//! If little of a pack is still in use, that part is copied into a new pack and the old pack is deleted. The order
//! makes it safe: the copies are synced, then the index records their new locations and forgets the dropped bodies,
//! that is synced, and only then is the old file deleted. The next run cleans up anything a crash leaves behind.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    CHUNK_BYTES, PACK_MAGIC, Pack, Packs, Place, create_pack, frame::scan_frame, next_frame, pack_name, pack_path,
    place_key,
};
use crate::{
    BODY_REFERENCE, BodyId, Cause, Damaged, Order, Part, Read as _, RealmId, Result, Seq, Snapshot, Store, StoreError,
    disk::File,
    index::{Batch, Space, meta},
    log::{self, Met, SegmentReader},
};

/// How [`Store::reclaim_bodies`] goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Reclaim {
    /// A pack is rewritten if less than this percentage of it is in use. Default 60.
    pub live_percent: u64,
    /// Bytes read and written in a second, at most. Default 64 MiB.
    pub bytes_per_second: u64,
}

impl Default for Reclaim {
    fn default() -> Self {
        Self { live_percent: 60, bytes_per_second: 64 << 20 }
    }
}

/// The result of [`Store::reclaim_bodies`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Closed packs that were looked at.
    pub packs: u64,
    /// Packs that went.
    pub removed: u64,
    /// Bodies that went.
    pub bodies: u64,
    /// Bytes that became free.
    pub bytes: u64,
    /// Packs that stay although little of them is in use, because something in them is not whole.
    pub damaged: Vec<String>,
}

/// The bodies to keep, by the first 8 bytes of their names: another body with the same ones is kept for nothing, which
/// is rare and harmless.
pub(crate) struct Keep(Vec<u64>);

impl Keep {
    pub(crate) fn contains(&self, id: &BodyId) -> bool {
        self.0.binary_search(&short(id)).is_ok()
    }
}

/// A body's name, short: bodies are spread evenly by it.
pub(crate) fn short(id: &BodyId) -> u64 {
    u64::from_le_bytes(id.as_bytes()[..8].try_into().expect("8 of 32 bytes"))
}

/// The body that a reference's key names.
fn referred(key: &[u8]) -> Option<BodyId> {
    if key.first() != Some(&BODY_REFERENCE) {
        return None;
    }
    Some(BodyId::from_bytes(key.get(1..33)?.try_into().ok()?))
}

/// Ends the time in which requests for bodies are noted, however the run ends.
struct Noting<'a>(&'a Packs);

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().touched = None;
    }
}

/// Sleeps to limit the number of bytes moved per second.
struct Pace {
    start: Instant,
    bytes: u64,
    bytes_per_second: u64,
}

impl Pace {
    fn moved(&mut self, bytes: u64) {
        self.bytes += bytes;
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second.max(1) as f64);
        if let Some(early) = due.checked_sub(self.start.elapsed()) {
            std::thread::sleep(early);
        }
    }
}

/// A body in a pack.
struct Frame {
    id: BodyId,
    place: Place,
    bytes: u64,
}

impl Store {
    /// Reclaims the space of bodies that nothing refers to, neither now nor in any commit still in the log, so that every
    /// time you can go back to is still readable. Deliveries and readers continue; a crash at any point loses nothing.
    /// `go_on` is called between bodies. Blocks for long: not for async threads.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if log or index can't tell what is in use: then nothing is removed.
    /// [`StoreError::Stopped`] if `go_on` returned false.
    pub fn reclaim_bodies(&self, how: Reclaim, go_on: &dyn Fn() -> bool) -> Result<Reclaimed> {
        let inner = &self.inner;
        let _alone = inner.maintenance.lock();
        let packs = &inner.packs;
        let closed = packs.begin_noting();
        let _noting = Noting(packs);
        // A group that is being made looked for its bodies before requests were noted: it must be seen by what follows.
        inner.writer.barrier()?;
        let keep = self.bodies_to_keep(go_on)?;
        let mut pace = Pace { start: Instant::now(), bytes: 0, bytes_per_second: how.bytes_per_second };
        let mut done = Reclaimed::default();
        for (number, file) in closed {
            done.packs += 1;
            packs.reclaim((number, &*file), &keep, how, &mut pace, &mut done, go_on)?;
        }
        metrics::counter!("holdfast_store_reclaimed_bytes_total").increment(done.bytes);
        if done.removed > 0 {
            tracing::info!(packs = done.removed, bodies = done.bodies, bytes = done.bytes, "reclaimed disk space");
        }
        Ok(done)
    }

    /// Bodies referred to now, or by a commit still in the log.
    pub(crate) fn bodies_to_keep(&self, go_on: &dyn Fn() -> bool) -> Result<Keep> {
        let mut keep = Vec::new();
        let snapshot = self.snapshot();
        for realm in snapshot.realms()? {
            keep_referred(&snapshot, realm, &mut keep)?;
        }
        let last = snapshot.seq()?;
        drop(snapshot);
        self.keep_mentioned(last, &mut keep, go_on)?;
        keep.sort_unstable();
        keep.dedup();
        Ok(Keep(keep))
    }

    /// The bodies that any commit up to `last` began or ceased to refer to, as far as the log goes back.
    fn keep_mentioned(&self, last: Seq, keep: &mut Vec<u64>, go_on: &dyn Fn() -> bool) -> Result<()> {
        let (disk, dir) = (&*self.inner.options.disk, self.inner.dir.join("log"));
        let mut next = None;
        for first in log::segments(disk, &dir)? {
            if next.is_some_and(|next| next != first) {
                return Err(log::not_following(first).into());
            }
            let mut reader = SegmentReader::open(disk, &dir, first)?;
            loop {
                if !go_on() {
                    return Err(StoreError::Stopped { reason: "reclaiming disk space was cancelled".to_owned() });
                }
                match reader.read()? {
                    Met::Record(commit) => {
                        let ops = commit.realms.iter().flat_map(|part| &part.ops);
                        keep.extend(ops.filter_map(|op| referred(&op.key)).map(|id| short(&id)));
                    }
                    Met::Sealed => break,
                    // Where the writer is writing right now; what it commits is noted.
                    Met::End | Met::Invalid(_) if reader.next_seq() > last => return Ok(()),
                    Met::End => return Err(log::ends_before(last)),
                    Met::Invalid(what) => return Err(StoreError::Damaged(what)),
                }
            }
            // Many segments mention the same bodies.
            keep.sort_unstable();
            keep.dedup();
            next = Some(reader.next_seq());
        }
        Ok(())
    }
}

fn keep_referred(snapshot: &Snapshot, realm: RealmId, keep: &mut Vec<u64>) -> Result<()> {
    for row in snapshot.prefix(realm, &[BODY_REFERENCE], Order::Ascending)? {
        keep.extend(referred(&row?.0).map(|id| short(&id)));
    }
    Ok(())
}

impl Packs {
    /// Starts recording requests for bodies. Returns the closed packs.
    fn begin_noting(&self) -> Vec<(u32, Arc<dyn File>)> {
        let mut state = self.state.lock();
        state.touched = Some(state.pins.keys().chain(state.fresh.keys()).copied().collect());
        let busy: Vec<u32> = state.writing.iter().map(|(pack, _)| *pack).collect();
        let is_closed = |number: &u32| *number != state.active.number && !busy.contains(number);
        let mut closed: Vec<_> = state.files.iter().map(|(number, file)| (*number, file.clone())).collect();
        closed.retain(|(number, _)| is_closed(number));
        closed.sort_unstable_by_key(|(number, _)| *number);
        closed
    }

    /// Reclaims one pack as far as possible.
    fn reclaim(
        &self,
        (number, file): (u32, &dyn File),
        keep: &Keep,
        how: Reclaim,
        pace: &mut Pace,
        done: &mut Reclaimed,
        go_on: &dyn Fn() -> bool,
    ) -> Result<()> {
        let name = pack_path(&self.dir, number).display().to_string();
        let len = file.len().map_err(StoreError::io(name.clone()))?;
        let (frames, is_whole) = frames_of(number, file, len, pace, go_on)?;
        // A crash leaves bodies that are not whole, which nobody refers to; damage leaves others.
        let broken = if is_whole { Some(Vec::new()) } else { self.unneeded_remains(number, &frames, keep)? };
        let Some(broken) = broken else {
            done.damaged.push(format!("{name}: it contains incomplete data"));
            return Ok(());
        };
        let in_use = |frame: &Frame| -> Result<bool> {
            Ok(self.indexed_place(&frame.id)? == Some(frame.place) && keep.contains(&frame.id))
        };
        let mut live_bytes = 0;
        for frame in &frames {
            live_bytes += if in_use(frame)? { frame.bytes } else { 0 };
        }
        if live_bytes * 100 >= how.live_percent * len {
            return Ok(());
        }
        let live = self.forget_dead(frames, keep, done)?;
        let copies = if live.is_empty() { None } else { Some(self.copy(file, &live, pace, go_on)?) };
        // Durable before the file goes: the index must never name a pack that is not there for a body that is in use.
        self.index.persist()?;
        let mut state = self.state.lock();
        if let Some(copies) = copies {
            state.writing.remove(&beginning(copies));
        }
        state.files.remove(&number);
        let mut gone: Batch = broken.into_iter().map(|id| (Space::Meta, place_key(&id), None)).collect();
        gone.push(meta::forget_pack(number));
        self.index.apply(gone)?;
        drop(state);
        let path = pack_path(&self.dir, number);
        self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.dir)).map_err(StoreError::io(name))?;
        done.removed += 1;
        done.bytes += len.saturating_sub(live.iter().map(|frame| frame.bytes).sum());
        Ok(())
    }

    /// Of a pack in which something is not whole: the bodies that the index has there and that can't be read. `None` when
    /// one of them is in use, or when some body in use is nowhere else: what is not whole may be what is left of it.
    fn unneeded_remains(&self, number: u32, frames: &[Frame], keep: &Keep) -> Result<Option<Vec<BodyId>>> {
        let whole: HashSet<u64> = frames.iter().map(|frame| frame.place.offset).collect();
        let there: HashSet<u32> = self.state.lock().files.keys().copied().collect();
        let (mut broken, mut known) = (Vec::new(), Vec::new());
        for row in self.indexed_places() {
            let (id, place) = row?;
            if place.pack == number && !whole.contains(&place.offset) {
                if keep.contains(&id) {
                    return Ok(None);
                }
                broken.push(id);
            } else if there.contains(&place.pack) {
                known.push(short(&id));
            }
        }
        known.sort_unstable();
        Ok(keep.0.iter().all(|short| known.binary_search(short).is_ok()).then_some(broken))
    }

    /// Takes the bodies that are not in use out of the index; gives the others that the index has in this pack. Under
    /// the lock, so that nobody who asks for a body meanwhile is told that it is there.
    fn forget_dead(&self, frames: Vec<Frame>, keep: &Keep, done: &mut Reclaimed) -> Result<Vec<Frame>> {
        /// Bodies looked up in one hold of the lock.
        const AT_ONCE: usize = 256;
        let mut live = Vec::new();
        let mut frames = frames.into_iter().peekable();
        while frames.peek().is_some() {
            let state = self.state.lock();
            let mut batch = Batch::new();
            for frame in frames.by_ref().take(AT_ONCE) {
                if self.indexed_place(&frame.id)? != Some(frame.place) {
                    continue;
                }
                let touched = state.touched.as_ref().is_none_or(|touched| touched.contains(&frame.id));
                if touched || keep.contains(&frame.id) {
                    live.push(frame);
                } else {
                    done.bodies += 1;
                    batch.push((Space::Meta, place_key(&frame.id), None));
                }
            }
            self.index.apply(batch)?;
            drop(state);
        }
        Ok(live)
    }

    /// Copies bodies into a new pack, durably, and has the index say that they are there. On error the new pack goes.
    fn copy(&self, file: &dyn File, live: &[Frame], pace: &mut Pace, go_on: &dyn Fn() -> bool) -> Result<u32> {
        let mut pack = self.pack_for_copies()?;
        let number = pack.number;
        match fill(&mut pack, file, live, pace, go_on) {
            Ok(places) => {
                self.index.apply(places)?;
                Ok(number)
            }
            Err(error) => {
                let mut state = self.state.lock();
                state.writing.remove(&beginning(number));
                state.files.remove(&number);
                drop(state);
                let _ = self.disk.remove(&pack_path(&self.dir, number));
                Err(error)
            }
        }
    }

    /// A new pack beside the active one. Until the index durably knows what is in it, it counts as being written to, so
    /// that it is looked through after a crash.
    fn pack_for_copies(&self) -> Result<Pack> {
        let mut state = self.state.lock();
        let pack = create_pack(&*self.disk, &self.dir, state.next_number)?;
        state.next_number += 1;
        state.writing.insert(beginning(pack.number));
        state.files.insert(pack.number, pack.file.clone());
        Ok(pack)
    }
}

/// The offset of a pack's first body.
const fn beginning(pack: u32) -> (u32, u64) {
    (pack, PACK_MAGIC.len() as u64)
}

/// Copies bodies to a pack's end and syncs it; gives what the index must say then.
fn fill(pack: &mut Pack, file: &dyn File, live: &[Frame], pace: &mut Pace, go_on: &dyn Fn() -> bool) -> Result<Batch> {
    let mut places = Batch::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    for frame in live {
        if !go_on() {
            return Err(StoreError::Stopped { reason: "reclaiming disk space was cancelled".to_owned() });
        }
        let place = Place { pack: pack.number, offset: pack.len };
        let mut copied = 0;
        while copied < frame.bytes {
            let piece = &mut buffer[..CHUNK_BYTES.min((frame.bytes - copied) as usize)];
            let read = file.read_full(piece, frame.place.offset + copied).map_err(StoreError::io("body pack"))?;
            if read < piece.len() {
                return Err(Damaged::new(Part::Pack, Cause::CutOff)
                    .file(pack_name(frame.place.pack))
                    .at(frame.place.offset)
                    .into());
            }
            pack.file.write_at(piece, pack.len).map_err(StoreError::io("body pack"))?;
            pack.len += read as u64;
            copied += read as u64;
        }
        // What was copied is what counts from now on: it must be whole.
        if scan_frame(&*pack.file, place.offset)?.is_none() {
            let damage = Damaged::new(Part::Body, Cause::Checksum).body(frame.id).file(pack_name(frame.place.pack));
            return Err(damage.at(frame.place.offset).because("it changed while it was copied").into());
        }
        pace.moved(frame.bytes);
        places.push(meta::write(place_key(&frame.id), place.to_bytes()));
    }
    pack.file.sync().map_err(StoreError::io("body pack"))?;
    places.push(meta::set_pack_bytes(pack.number, pack.len));
    Ok(places)
}

/// The bodies in a pack, each read and compared with its name, and whether there is nothing else in it.
fn frames_of(
    number: u32,
    file: &dyn File,
    len: u64,
    pace: &mut Pace,
    go_on: &dyn Fn() -> bool,
) -> Result<(Vec<Frame>, bool)> {
    let (mut frames, mut is_whole) = (Vec::new(), true);
    let mut at = PACK_MAGIC.len() as u64;
    while at < len {
        if !go_on() {
            return Err(StoreError::Stopped { reason: "reclaiming disk space was cancelled".to_owned() });
        }
        let Some((header, start, next)) = next_frame(file, at, len)? else { return Ok((frames, false)) };
        is_whole &= start == at;
        let id = header.id.as_slice().try_into().expect("a frame is whole when its name is the hash of its body");
        pace.moved(next - start);
        frames.push(Frame {
            id: BodyId::from_bytes(id),
            place: Place { pack: number, offset: start },
            bytes: next - start,
        });
        at = next;
    }
    Ok((frames, is_whole))
}
