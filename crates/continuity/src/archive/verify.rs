//! Reads an archive back and compares it with its names, its manifests and the log's chain.
//!
//! Without an identity, the stored bytes are compared with the hashes in their names. With one, everything is also
//! decrypted: realms must match their digests, bodies their hashes, and commits must follow each other.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use store::{BodyId, Cause, Digest, RealmId, Seq, log::read_run};

use super::{
    ArchiveError, Event, Result, Say, blocking,
    bodies::read_index,
    catalog::Catalog,
    codec::{Identities, MAX_BODY_BYTES},
    format::{self, Chunk, Manifest, PackIndex, PackedBody, RealmPart, SnapshotName},
    target::{Target, fetch},
};

/// Objects that are read at once.
const READS: usize = 4;

/// The report of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Objects read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Realms whose digest was compared.
    pub realms: u64,
    /// Bodies compared with their names.
    pub bodies: u64,
    /// Commits whose chain was compared.
    pub commits: u64,
    /// Everything was decrypted; else stored bytes were compared with their hashes.
    pub decrypted: bool,
    /// The damage found.
    pub damage: Vec<String>,
    /// The objects that are damaged or missing, as far as one of them is to blame.
    #[serde(skip)]
    pub broken: BTreeSet<String>,
}

impl Report {
    /// Takes in what else was read.
    pub fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.realms += other.realms;
        self.bodies += other.bodies;
        self.commits += other.commits;
        self.damage.extend(other.damage);
        self.broken.extend(other.broken);
    }
}

/// How much of a snapshot is read.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    /// The chunks of the realms that have changed since another good snapshot. Packs were read back when they were
    /// stored; that they are there with their sizes is checked.
    Since(Option<&'a Manifest>),
    /// Everything.
    All,
}

/// The contents of a `.good` object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Good {
    /// When it was read back, in milliseconds since 1970.
    pub checked_ms: i64,
    /// What was read.
    pub report: Report,
}

/// Marks a snapshot as verified in the archive.
pub(super) async fn mark_good(target: &Target, name: &SnapshotName, report: &Report, now_ms: i64) -> Result<()> {
    let good = Good { checked_ms: now_ms, report: report.clone() };
    let text = serde_json::to_vec_pretty(&good).expect("it is plain data");
    target.create_or_get(&name.good(), text.into()).await.map(drop)
}

/// Damage goes into the report; everything else ends the check.
fn noted<T>(report: &mut Report, outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error @ ArchiveError::Damaged { .. }) => {
            report.damage.push(error.to_string());
            Ok(None)
        }
        Err(error) if error.is_not_found() => {
            report.damage.push(error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Verifies a snapshot.
///
/// # Errors
/// Those that prevent the check from continuing; damage is in the report instead.
pub async fn snapshot(
    target: &Target,
    manifest: &Manifest,
    identities: Option<&Identities>,
    scope: Scope<'_>,
    say: Say<'_>,
) -> Result<Report> {
    let mut report = Report { decrypted: identities.is_some(), ..Report::default() };
    let mut there: HashMap<String, u64> = HashMap::new();
    for folder in ["chunks", "bodies"] {
        there.extend(target.list(folder).await?.into_iter().map(|object| (object.name, object.bytes)));
    }
    for needed in &manifest.objects {
        match there.get(&needed.name) {
            None => report.damage.push(format!("{} is missing", needed.name)),
            Some(bytes) if *bytes != needed.bytes => {
                report.broken.insert(needed.name.clone());
                report.damage.push(format!("{} is {bytes} bytes, not {}", needed.name, needed.bytes));
            }
            Some(_) => {}
        }
    }
    let known: HashSet<Vec<&str>> = match scope {
        Scope::All | Scope::Since(None) => HashSet::new(),
        Scope::Since(Some(before)) => before.realms.iter().map(|part| chunk_names(before, part)).collect(),
    };
    let parts: Vec<&RealmPart> =
        manifest.realms.iter().filter(|part| !known.contains(&chunk_names(manifest, part))).collect();
    let total = parts.len() as u64;
    for (number, part) in parts.into_iter().enumerate() {
        say(Event::Progress { what: "verifying realms", done: number as u64, total });
        let outcome = realm(target, manifest, part, identities, &mut report).await;
        if noted(&mut report, outcome)?.is_none() {
            // Which chunk it was is in the words; none of them can be relied on.
            report.broken.extend(chunk_names(manifest, part).into_iter().map(str::to_owned));
        }
    }
    if matches!(scope, Scope::All) {
        let packs: Vec<&str> =
            manifest.objects.iter().map(|needed| needed.name.as_str()).filter(|name| format::is_pack(name)).collect();
        packs_of(target, &packs, identities, &there, &mut report, say).await?;
    }
    Ok(report)
}

fn chunk_names<'a>(manifest: &'a Manifest, part: &'a RealmPart) -> Vec<&'a str> {
    manifest.at(&part.chunks).map(|needed| needed.name.as_str()).collect()
}

async fn realm(
    target: &Target,
    manifest: &Manifest,
    part: &RealmPart,
    identities: Option<&Identities>,
    report: &mut Report,
) -> Result<()> {
    let realm = RealmId::from_raw(part.realm);
    let mut digest = Digest::default();
    let names: Vec<String> = manifest.at(&part.chunks).map(|needed| needed.name.clone()).collect();
    let mut chunks = stream::iter(names)
        .map(|name| {
            let target = target.clone();
            async move {
                let bytes = fetch(&target, &name).await?;
                Ok::<_, ArchiveError>((name, bytes))
            }
        })
        .buffered(READS);
    while let Some((name, bytes)) = chunks.try_next().await? {
        report.objects += 1;
        report.bytes += bytes.len() as u64;
        if let Some(identities) = identities {
            let identities = identities.clone();
            let chunk = blocking(move || open_chunk(&identities, &name, realm, &bytes)).await?;
            for record in &chunk.records {
                digest.add_record(realm, &record.key, &record.value);
            }
        }
    }
    if identities.is_some() {
        report.realms += 1;
        if digest.to_bytes() != part.digest.as_slice() {
            return Err(ArchiveError::damaged(
                Cause::Digest,
                realm.to_string(),
                format!("its records have the wrong digest {digest}"),
            ));
        }
    }
    Ok(())
}

/// A chunk's records.
pub(super) fn open_chunk(identities: &Identities, name: &str, realm: RealmId, bytes: &[u8]) -> Result<Chunk> {
    let plain = identities.open(name, bytes, format::MAX_CHUNK_BYTES)?;
    let chunk = Chunk::decode(plain.as_slice()).map_err(|error| ArchiveError::damaged(Cause::Decoding, name, error))?;
    if chunk.realm == realm.raw() {
        Ok(chunk)
    } else {
        Err(ArchiveError::damaged(Cause::Order, name, "it belongs to another realm"))
    }
}

async fn packs_of(
    target: &Target,
    packs: &[&str],
    identities: Option<&Identities>,
    there: &HashMap<String, u64>,
    report: &mut Report,
    say: Say<'_>,
) -> Result<()> {
    let indexes: HashMap<String, &str> = there
        .keys()
        .filter_map(|name| Some((format::pack_name(format::pack_of_index(name)?), name.as_str())))
        .collect();
    let total = packs.len() as u64;
    for (number, pack) in packs.iter().enumerate() {
        say(Event::Progress { what: "verifying packs", done: number as u64, total });
        let Some(index) = indexes.get(*pack) else {
            report.damage.push(format!("{pack} has no index"));
            continue;
        };
        let read = async { Ok((fetch(target, pack).await?, fetch(target, index).await?)) };
        let Some((bytes, index_bytes)) = noted(report, read.await)? else {
            report.broken.extend([(*pack).to_owned(), (*index).to_owned()]);
            continue;
        };
        report.objects += 2;
        report.bytes += (bytes.len() + index_bytes.len()) as u64;
        let Some(identities) = identities.cloned() else { continue };
        let index_name = (*index).to_owned();
        let checked = blocking(move || {
            let plain = identities.open(&index_name, &index_bytes, format::MAX_INDEX_BYTES)?;
            bodies_in(&identities, &read_index(&index_name, &plain)?, &bytes)
        });
        match noted(report, checked.await)? {
            Some(bodies) => report.bodies += bodies,
            None => report.broken.extend([(*pack).to_owned(), (*index).to_owned()]),
        }
    }
    Ok(())
}

/// The bytes of a body in its pack.
pub(super) fn place_in<'a>(entry: &PackedBody, pack: &'a [u8]) -> Option<&'a [u8]> {
    pack.get(usize::try_from(entry.offset).ok()?..usize::try_from(entry.end()?).ok()?)
}

fn bodies_in(identities: &Identities, index: &PackIndex, bytes: &[u8]) -> Result<u64> {
    for entry in &index.bodies {
        let id = hex::encode(&entry.id);
        let stored = place_in(entry, bytes)
            .ok_or_else(|| ArchiveError::damaged(Cause::CutOff, id.clone(), "its pack is too short"))?;
        let plain = identities.open(&id, stored, MAX_BODY_BYTES)?;
        if BodyId::of(&plain).as_bytes() != entry.id.as_slice() {
            return Err(ArchiveError::damaged(Cause::Checksum, id, "its bytes do not match its hash"));
        }
    }
    Ok(index.bodies.len() as u64)
}

/// Verifies existing packs that none of `read` needs: those of other snapshots, and those shipped since.
///
/// # Errors
/// Those that prevent the check from continuing; damage is in the report instead.
pub async fn other_packs(
    target: &Target,
    read: &BTreeSet<String>,
    identities: Option<&Identities>,
    say: Say<'_>,
) -> Result<Report> {
    let mut report = Report { decrypted: identities.is_some(), ..Report::default() };
    let there: HashMap<String, u64> =
        target.list("bodies").await?.into_iter().map(|object| (object.name, object.bytes)).collect();
    let indexed: HashSet<String> =
        there.keys().filter_map(|name| Some(format::pack_name(format::pack_of_index(name)?))).collect();
    // One without an index was cut off while it was stored, and does not count.
    let mut packs: Vec<&str> =
        there.keys().filter(|name| indexed.contains(*name) && !read.contains(*name)).map(String::as_str).collect();
    packs.sort_unstable();
    packs_of(target, &packs, identities, &there, &mut report, say).await?;
    Ok(report)
}

/// Verifies all runs of commits, and checks that those of each line follow each other.
///
/// # Errors
/// Those that prevent the check from continuing; damage is in the report instead.
pub async fn runs(target: &Target, catalog: &Catalog, identities: Option<&Identities>, say: Say<'_>) -> Result<Report> {
    let mut report = Report { decrypted: identities.is_some(), ..Report::default() };
    let total = catalog.runs.len() as u64;
    let mut reached: HashMap<&str, Seq> = HashMap::new();
    for (number, name) in catalog.runs.iter().enumerate() {
        say(Event::Progress { what: "verifying the log", done: number as u64, total });
        if let Some(last) = reached.get(name.line.as_str())
            && name.first.0 > last.0 + 1
        {
            report.damage.push(format!(
                "line {}: commits {} to {} are missing",
                name.line,
                last.0 + 1,
                name.first.0 - 1
            ));
        }
        let reach = reached.entry(&name.line).or_default();
        *reach = name.last.max(*reach);
        let object = name.to_string();
        report.broken.insert(object.clone());
        let Some(bytes) = noted(&mut report, fetch(target, &object).await)? else { continue };
        report.objects += 1;
        report.bytes += bytes.len() as u64;
        let Some(bytes) = noted(&mut report, catalog.sealed_run(name, &bytes))? else { continue };
        let Some(identities) = identities.cloned() else {
            report.broken.remove(&object);
            continue;
        };
        let (chain, whole) = (name.chain, object.clone());
        let checked = blocking(move || {
            let mut commits = 0;
            let run = read_run(identities.open(&object, &bytes, format::MAX_RUN_BYTES)?, |_, _| {
                commits += 1;
                Ok(())
            })
            .map_err(|error| ArchiveError::of_run(&object, error))?;
            if run.after == chain {
                Ok(commits)
            } else {
                Err(ArchiveError::damaged(Cause::Chain, object, "its chain does not match"))
            }
        });
        if let Some(commits) = noted(&mut report, checked.await)? {
            report.commits += commits;
            report.broken.remove(&whole);
        }
    }
    Ok(report)
}
