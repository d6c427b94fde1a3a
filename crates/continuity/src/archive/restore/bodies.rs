//! The archived bodies: their locations, and reading them.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use store::{BodyId, Cause, Restore};

use super::source::{READS, Source, is_damage};
use crate::archive::{
    ArchiveError, Event, Result, blocking,
    bodies::read_index,
    codec::MAX_BODY_BYTES,
    format::{self, Manifest, PackedBody},
    target::{TRIES, fetch},
};

/// Adjacent bodies in a pack are fetched together, up to this many bytes.
const RANGE_BYTES: u64 = 4 << 20;
/// Gaps between two bodies up to this size are fetched too.
const GAP_BYTES: u64 = 64 << 10;

/// Fetches missing bodies that the records refer to; returns the total number of bodies.
pub(super) async fn fetch_all(
    source: &Source<'_>,
    base: Option<&Manifest>,
    restore: &mut Restore,
    places: &mut Vec<(BodyId, String)>,
    lost: &mut Vec<String>,
) -> Result<u64> {
    let needed = restore.bodies()?;
    let total = needed.len() as u64;
    let mut missing = HashSet::new();
    for id in needed.keys() {
        if !restore.has_body(id)? {
            missing.insert(*id);
        }
    }
    if (missing.len() as u64) < total {
        source.line_out(format!("{} of {total} bodies already exist here", total - missing.len() as u64));
    }
    let missing = Mutex::new(missing);
    let mut problems: BTreeMap<BodyId, String> = BTreeMap::new();
    let mut done = total - missing.lock().len() as u64;
    for indexes in indexes_of(source, base).await? {
        let wanted = &missing;
        let ranges = stream::iter(indexes)
            .map(|name| async move { wanted_in(source, &name, wanted).await })
            .buffer_unordered(READS)
            .map_ok(|ranges| stream::iter(ranges.into_iter().map(Ok::<_, ArchiveError>)))
            .try_flatten();
        let bodies = ranges
            .map(|range| async move {
                let (pack, bodies) = range?;
                read_range(source, &pack, bodies, wanted).await
            })
            .buffer_unordered(READS);
        let mut bodies = std::pin::pin!(bodies);
        while let Some(read) = bodies.next().await {
            let (pack, read) = read?;
            for (id, outcome) in read {
                match outcome {
                    Ok(bytes) => {
                        if missing.lock().remove(&id) {
                            restore.put_body(&bytes)?;
                            places.push((id, format::hash_of_pack(&pack).to_owned()));
                            done += 1;
                        }
                    }
                    Err(error) => drop(problems.insert(id, error.to_string())),
                }
            }
            (source.say)(Event::Progress { what: "bodies", done, total });
        }
    }
    let missing = missing.lock();
    for id in missing.iter() {
        let why = problems.get(id).map_or("it is in no pack", String::as_str);
        lost.push(format!("{}: body {id}: {why}", needed[id]));
    }
    Ok(total - missing.len() as u64)
}

/// The indexes of packs: first of those that the snapshot needs, since there is no need to look further when they have
/// everything.
async fn indexes_of(source: &Source<'_>, base: Option<&Manifest>) -> Result<[Vec<String>; 2]> {
    let of_snapshot: HashSet<&str> =
        base.into_iter().flat_map(|base| &base.objects).map(|object| object.name.as_str()).collect();
    let mut indexes = [Vec::new(), Vec::new()];
    for object in source.wish.target.list("bodies").await? {
        if let Some(pack) = format::pack_of_index(&object.name) {
            let is_needed = of_snapshot.contains(format::pack_name(pack).as_str());
            indexes[usize::from(!is_needed)].push(object.name);
        }
    }
    Ok(indexes)
}

/// Where those of the wanted bodies lie that an index names. One that is damaged is passed over.
async fn wanted_in(
    source: &Source<'_>,
    index: &str,
    wanted: &Mutex<HashSet<BodyId>>,
) -> Result<Vec<(String, Vec<PackedBody>)>> {
    if wanted.lock().is_empty() {
        return Ok(Vec::new());
    }
    match source.index(index).await {
        Ok(bodies) => {
            let pack = format::pack_name(format::pack_of_index(index).unwrap_or_default());
            let wanted = wanted.lock();
            let here = bodies.into_iter().filter(|body| id_of(body).is_some_and(|id| wanted.contains(&id)));
            Ok(ranges_of(&pack, here))
        }
        Err(error) if is_damage(&error) => {
            source.line_out(format!("SKIPPED: {error}"));
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Where the bodies of an archive lie, as far as its indexes were read: the newest packs first.
#[derive(Default)]
pub(super) struct Places {
    packs: Vec<String>,
    /// By the first 128 bits of their names: what is read is compared with the whole.
    by_id: HashMap<u128, Place>,
    pub(super) complete: bool,
}

#[derive(Clone, Copy)]
struct Place {
    pack: u32,
    offset: u64,
    stored: u64,
}

fn short(id: &BodyId) -> u128 {
    u128::from_be_bytes(*id.as_bytes().first_chunk().expect("a name is 32 bytes"))
}

impl Places {
    pub(super) fn add(&mut self, pack: String, bodies: &[PackedBody]) {
        let number = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        self.packs.push(pack);
        for body in bodies {
            if let Some(id) = id_of(body) {
                let place = Place { pack: number, offset: body.offset, stored: body.stored };
                self.by_id.entry(short(&id)).or_insert(place);
            }
        }
    }

    /// A body's pack and place, if it is known.
    pub(super) fn of(&self, id: &BodyId) -> Option<(String, PackedBody)> {
        let place = self.by_id.get(&short(id))?;
        let body = PackedBody { id: id.as_bytes().to_vec(), offset: place.offset, stored: place.stored, plain: 0 };
        Some((self.packs.get(place.pack as usize)?.clone(), body))
    }

    /// What has to be read for some bodies, the newest packs first; and those that are nowhere.
    pub(super) fn ranges(&self, wanted: &HashSet<BodyId>) -> (Vec<(String, Vec<PackedBody>)>, Vec<BodyId>) {
        let (mut by_pack, mut nowhere) = (BTreeMap::<u32, Vec<PackedBody>>::new(), Vec::new());
        for id in wanted {
            match self.by_id.get(&short(id)) {
                Some(place) => by_pack.entry(place.pack).or_default().push(PackedBody {
                    id: id.as_bytes().to_vec(),
                    offset: place.offset,
                    stored: place.stored,
                    plain: 0,
                }),
                None => nowhere.push(*id),
            }
        }
        let mut ranges = Vec::new();
        for (pack, mut bodies) in by_pack {
            bodies.sort_by_key(|body| body.offset);
            ranges.extend(ranges_of(&self.packs[pack as usize], bodies.into_iter()));
        }
        (ranges, nowhere)
    }
}

impl Source<'_> {
    /// Reads all indexes, the newest first; says when there is something new to look at.
    pub(super) async fn read_places(&self, places: &Mutex<Places>, changed: &tokio::sync::Notify) -> Result<()> {
        let indexes = stream::iter(self.indexes().await?)
            .map(|(pack, index)| async move { (pack, self.index(&index).await) })
            .buffered(READS);
        let mut indexes = std::pin::pin!(indexes);
        while let Some((pack, bodies)) = indexes.next().await {
            match bodies {
                Ok(bodies) => {
                    places.lock().add(pack, &bodies);
                    changed.notify_waiters();
                }
                Err(error) if is_damage(&error) => self.line_out(format!("SKIPPED: {error}")),
                Err(error) => return Err(error),
            }
        }
        places.lock().complete = true;
        changed.notify_waiters();
        Ok(())
    }
}

pub(super) fn id_of(body: &PackedBody) -> Option<BodyId> {
    body.id.as_slice().try_into().ok().map(BodyId::from_bytes)
}

impl Source<'_> {
    /// The packs that are there, each with its index, the newest first. An index whose pack is gone would hide where else its
    /// bodies lie.
    pub(super) async fn indexes(&self) -> Result<Vec<(String, String)>> {
        let mut objects = self.wish.target.list("bodies").await?;
        objects.sort_by_key(|object| std::cmp::Reverse(object.modified_ms));
        let packs: HashSet<String> = objects
            .iter()
            .filter(|object| object.bytes > 0 && format::is_pack(&object.name))
            .map(|object| object.name.clone())
            .collect();
        let pack_of = |index: &str| format::pack_of_index(index).map(format::pack_name);
        let indexes = objects.into_iter().filter_map(|object| Some((pack_of(&object.name)?, object.name)));
        Ok(indexes.filter(|(pack, _)| packs.contains(pack)).collect())
    }

    /// What lies in the pack of an index.
    pub(super) async fn index(&self, name: &str) -> Result<Vec<PackedBody>> {
        let bytes = fetch(&self.wish.target, name).await?;
        self.count(bytes.len());
        let (identities, name) = (self.wish.identities.clone(), name.to_owned());
        let bodies = blocking(move || read_index(&name, &identities.open(&name, &bytes, format::MAX_INDEX_BYTES)?))
            .await?
            .bodies;
        Ok::<_, ArchiveError>(possible(bodies))
    }
}

/// What lies where nothing can is not there.
fn possible(mut bodies: Vec<PackedBody>) -> Vec<PackedBody> {
    bodies.retain(|body| body.end().is_some());
    bodies
}

/// For the fuzzer alone.
pub(in crate::archive) fn ranges_in(index: format::PackIndex) {
    for (_, bodies) in ranges_of("pack", possible(index.bodies).into_iter()) {
        let (first, last) = (&bodies[0], &bodies[bodies.len() - 1]);
        assert!(last.offset >= first.offset && last.end() >= Some(first.offset));
    }
}

/// Bodies of a pack, gathered by what is fetched at once.
fn ranges_of(pack: &str, bodies: impl Iterator<Item = PackedBody>) -> Vec<(String, Vec<PackedBody>)> {
    let mut ranges: Vec<(String, Vec<PackedBody>)> = Vec::new();
    for body in bodies {
        if let Some((_, range)) = ranges.last_mut()
            && let (Some(first), Some(last)) = (range.first(), range.last())
            && body.offset >= last.offset
            && body.offset.saturating_sub(last.offset + last.stored) < GAP_BYTES
            && (body.offset + body.stored).saturating_sub(first.offset) < RANGE_BYTES
        {
            range.push(body);
        } else {
            ranges.push((pack.to_owned(), vec![body]));
        }
    }
    ranges
}

/// Bodies, and the pack that they lie in.
pub(super) type Read = (String, Vec<(BodyId, Result<Vec<u8>>)>);

/// As [`read_range_once`]; bodies that came wrong are asked for again: it may have been the line.
pub(super) async fn read_range(
    source: &Source<'_>,
    pack: &str,
    bodies: Vec<PackedBody>,
    wanted: &Mutex<HashSet<BodyId>>,
) -> Result<Read> {
    let mut tries = 0;
    loop {
        tries += 1;
        let read = read_range_once(source, pack, bodies.clone(), wanted).await?;
        let wrong = read.1.iter().find_map(|(_, outcome)| outcome.as_ref().err());
        match wrong {
            Some(error) if tries < TRIES => tracing::warn!(%error, "retrying a read from the archive"),
            _ => return Ok(read),
        }
    }
}

async fn read_range_once(
    source: &Source<'_>,
    pack: &str,
    bodies: Vec<PackedBody>,
    wanted: &Mutex<HashSet<BodyId>>,
) -> Result<Read> {
    let bodies: Vec<(BodyId, PackedBody)> = {
        let wanted = wanted.lock();
        bodies
            .into_iter()
            .filter_map(|body| Some((id_of(&body)?, body)))
            .filter(|(id, _)| wanted.contains(id))
            .collect()
    };
    let (Some((_, first)), Some((_, last))) = (bodies.first(), bodies.last()) else {
        return Ok((String::new(), Vec::new()));
    };
    let start = first.offset;
    let end = (last.offset + last.stored).max(first.offset + first.stored);
    let bytes = match source.wish.target.get_range(pack, start..end).await {
        Ok(bytes) => bytes,
        Err(error) if is_damage(&error) => {
            let what = error.to_string();
            let none = bodies.into_iter().map(|(id, _)| (id, Err(ArchiveError::damaged(Cause::Decoding, pack, &what))));
            return Ok((String::new(), none.collect()));
        }
        Err(error) => return Err(error),
    };
    source.count(bytes.len());
    let (identities, pack) = (source.wish.identities.clone(), pack.to_owned());
    Ok(blocking(move || {
        let open = |id: BodyId, body: &PackedBody| {
            let from = body.offset.saturating_sub(start) as usize;
            let stored = bytes.get(from..from.saturating_add(body.stored as usize)).unwrap_or_default();
            let plain = identities.open(&pack, stored, MAX_BODY_BYTES)?;
            if BodyId::of(&plain) == id {
                Ok(plain)
            } else {
                Err(ArchiveError::damaged(Cause::Checksum, &pack, "a body does not match its hash"))
            }
        };
        let bodies = bodies.iter().map(|(id, body)| (*id, open(*id, body))).collect();
        (pack, bodies)
    })
    .await)
}
