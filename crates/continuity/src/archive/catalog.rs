//! The contents of an archive: its lines, their runs of commits, their snapshots.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use store::{Cause, Seq};

use super::{
    ArchiveError, Result,
    format::{ARCHIVE, Archive, LineRecord, Manifest, PutRight, RunName, SnapshotName},
    target::{Object, Target, fetch},
};

/// A snapshot there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: SnapshotName,
    /// It was read back.
    pub good: bool,
    /// When its manifest was stored, by the target's clock, in milliseconds since 1970.
    pub stored_ms: i64,
}

/// The newest good snapshot of a line.
#[derive(Debug, Clone)]
pub(super) struct Newest {
    pub manifest: Manifest,
    /// When it was stored, by the target's clock.
    stored_ms: i64,
    needed: HashSet<String>,
}

impl Newest {
    /// Whether an object is needed by this snapshot, or newer: what may be relied on.
    pub(super) fn keeps(&self, object: &Object) -> bool {
        object.modified_ms >= self.stored_ms || self.needed.contains(&object.name)
    }
}

/// The contents of an archive.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Its lines, by name.
    pub lines: BTreeMap<String, LineRecord>,
    /// Its runs, by line and first commit.
    pub runs: Vec<RunName>,
    /// Bytes of the runs.
    pub run_bytes: u64,
    /// Of each run, by its object's name: its bytes, and when it was stored, in milliseconds since 1970.
    pub run_objects: HashMap<String, (u64, i64)>,
    /// Its snapshots, by line and commit.
    pub snapshots: Vec<Listed>,
    /// Marks of corrected clocks that had been ahead.
    pub put_right: Vec<PutRight>,
    /// Missing or unreadable objects that are not essential.
    pub notes: Vec<String>,
    /// Lines that have no record, and whose snapshots don't repeat it: see [`Catalog::adopt`].
    pub unrecorded: BTreeSet<String>,
}

impl Catalog {
    /// Asks the archive.
    ///
    /// # Errors
    /// [`ArchiveError::Nothing`] when there is no archive.
    pub async fn read(target: &Target) -> Result<Self> {
        let mut catalog = Self::default();
        let is_archive = catalog.read_head(target).await?;
        catalog.read_lines(target).await?;
        for object in target.list("log").await? {
            // A full disk leaves an empty object.
            if object.bytes > 0
                && let Ok(run) = object.name.parse()
            {
                catalog.runs.push(run);
                catalog.run_bytes += object.bytes;
                catalog.run_objects.insert(object.name, (object.bytes, object.modified_ms));
            }
        }
        let places = target.list("clock").await?;
        catalog.put_right = places.into_iter().filter_map(|object| object.name.parse().ok()).collect();
        let names = target.list("snapshots").await?;
        let good: HashSet<&str> = names.iter().filter_map(|object| object.name.strip_suffix(".good")).collect();
        for object in &names {
            if let Some(stem) = object.name.strip_suffix(".manifest")
                && let Ok(name) = object.name.parse()
            {
                catalog.snapshots.push(Listed { name, good: good.contains(stem), stored_ms: object.modified_ms });
            }
        }
        catalog.runs.sort();
        catalog.snapshots.sort_by(|a, b| a.name.cmp(&b.name));
        if !is_archive && catalog.lines.is_empty() && catalog.runs.is_empty() && catalog.snapshots.is_empty() {
            return Err(ArchiveError::Nothing(format!("{}: there is no archive", target.name())));
        }
        catalog.complete_lines(target).await?;
        Ok(catalog)
    }

    /// Reads `archive.json`; says whether it is there. What it says beside the format is of no use to a reader.
    async fn read_head(&mut self, target: &Target) -> Result<bool> {
        let head = match target.get_settings(ARCHIVE).await {
            Err(error) if error.is_not_found() => {
                self.notes.push(format!("{ARCHIVE} is missing"));
                return Ok(false);
            }
            other => other?,
        };
        match serde_json::from_slice::<Archive>(&head) {
            Ok(head) => head.check_format(target.name())?,
            Err(error) => self.notes.push(format!("{ARCHIVE} can't be read: {error}")),
        }
        Ok(true)
    }

    async fn read_lines(&mut self, target: &Target) -> Result<()> {
        for object in target.list("lines").await? {
            let text = target.get_settings(&object.name).await?;
            let record: LineRecord = match serde_json::from_slice(&text) {
                Ok(record) => record,
                Err(error) => {
                    self.notes.push(format!("{} can't be read: {error}", object.name));
                    continue;
                }
            };
            // Another object could else put its key in the place of a line's.
            if object.name != LineRecord::object(&record.line) {
                tracing::error!(
                    target = target.name(),
                    object = object.name,
                    "a line's record under another's name: ignored"
                );
                continue;
            }
            self.lines.insert(record.line.clone(), record);
        }
        Ok(())
    }

    /// Lines whose record is gone, from the snapshots that repeat it.
    async fn complete_lines(&mut self, target: &Target) -> Result<()> {
        let named = self.runs.iter().map(|run| &run.line).chain(self.snapshots.iter().map(|listed| &listed.name.line));
        let without: BTreeSet<String> = named.filter(|line| !self.lines.contains_key(*line)).cloned().collect();
        for line in without {
            let mut found = None;
            let of_line: Vec<SnapshotName> =
                self.snapshots.iter().filter(|listed| listed.name.line == line).map(|l| l.name.clone()).collect();
            for name in of_line.iter().rev() {
                match fetch(target, &name.manifest()).await.and_then(|stored| Manifest::line_record_in(name, &stored)) {
                    Ok(Some(record)) => {
                        found = Some((record, name.seq));
                        break;
                    }
                    Ok(None) => {}
                    Err(error) if matches!(error, ArchiveError::Damaged { .. }) || error.is_not_found() => {
                        tracing::warn!(%error, "looking for a line's record");
                    }
                    Err(error) => return Err(error),
                }
            }
            let object = LineRecord::object(&line);
            match found {
                Some((record, seq)) => {
                    self.notes.push(format!("{object} is missing: using the copy in its snapshot of commit {seq}"));
                    self.lines.insert(line, record);
                }
                None => {
                    self.notes.push(format!("{object} is missing, and no snapshot of the line repeats it"));
                    self.unrecorded.insert(line);
                }
            }
        }
        Ok(())
    }

    /// Accepts lines without a record if one of the given keys (64 hexadecimal digits each) signed their objects. The
    /// parent of such a line is unknown, and so is everything before its first snapshot.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn adopt(&mut self, target: &Target, keys: &[String]) -> Result<()> {
        for line in std::mem::take(&mut self.unrecorded) {
            let run = self.runs.iter().find(|run| run.line == line).cloned();
            let snapshot = self.snapshots.iter().rfind(|listed| listed.name.line == line).map(|l| l.name.clone());
            let mut adopted = false;
            for key in keys {
                let record = LineRecord {
                    format: super::format::FORMAT,
                    line: line.clone(),
                    created_ms: 0,
                    parent: None,
                    public_key: key.to_ascii_lowercase(),
                };
                let public = record.key()?;
                let signed = match (&snapshot, &run) {
                    (Some(name), _) => {
                        Manifest::from_stored(name, &fetch(target, &name.manifest()).await?, &public).is_ok()
                    }
                    (None, Some(name)) => name.sealed(&fetch(target, &name.to_string()).await?, &public).is_ok(),
                    (None, None) => false,
                };
                if signed {
                    self.notes.push(format!("line {line} has no record: it is signed by {key}"));
                    self.lines.insert(line.clone(), record);
                    adopted = true;
                    break;
                }
            }
            if !adopted {
                self.unrecorded.insert(line);
            }
        }
        Ok(())
    }

    /// The lines that no other line continues.
    pub fn newest_lines(&self) -> Vec<&LineRecord> {
        let parents: HashSet<&str> =
            self.lines.values().filter_map(|record| Some(record.parent.as_ref()?.line.as_str())).collect();
        self.lines.values().filter(|record| !parents.contains(record.line.as_str())).collect()
    }

    /// The line of that name, or the only one that no other line continues.
    ///
    /// # Errors
    /// [`ArchiveError::Nothing`] if there is none, or if there are several: a data folder started by mistake also ships
    /// as a line, and must not hide the right one.
    pub fn line(&self, name: Option<&str>) -> Result<&LineRecord> {
        match name {
            Some(name) => self.lines.get(name).ok_or_else(|| {
                let known: Vec<&str> = self.lines.keys().map(String::as_str).collect();
                ArchiveError::Nothing(format!("there is no line {name}; existing lines: {}", known.join(", ")))
            }),
            None => {
                let mut last = self.newest_lines().into_iter();
                match (last.next(), last.count()) {
                    (None, _) if !self.unrecorded.is_empty() => {
                        let names: Vec<&str> = self.unrecorded.iter().map(String::as_str).collect();
                        Err(ArchiveError::Nothing(format!(
                            "the record of line {} is missing: give the key that signs it with --signed-by",
                            names.join(", ")
                        )))
                    }
                    (None, _) => Err(ArchiveError::Nothing("the archive has no line yet".to_owned())),
                    (Some(record), 0) => Ok(record),
                    (Some(_), more) => Err(ArchiveError::Nothing(format!(
                        "the archive holds {} histories: look with `holdfast archive list`, and say which with --line",
                        more + 1
                    ))),
                }
            }
        }
    }

    /// A line and its ancestors, the newest first, each with the last commit of it that belongs to this history.
    ///
    /// # Errors
    /// [`ArchiveError::Nothing`] when one of them is not there.
    pub fn path(&self, line: &LineRecord) -> Result<Vec<(LineRecord, Seq)>> {
        let mut path = vec![(line.clone(), Seq(u64::MAX))];
        while let Some(parent) = path.last().and_then(|(record, _)| record.parent.clone()) {
            // A missing line does no harm as long as none of its data is needed.
            let Some(record) = self.lines.get(&parent.line) else { break };
            if path.len() > self.lines.len() {
                return Err(ArchiveError::damaged(
                    Cause::Order,
                    LineRecord::object(&parent.line),
                    "it is its own parent",
                ));
            }
            let upto = path.last().map_or(parent.seq, |(_, upto)| upto.0.min(parent.seq));
            path.push((record.clone(), Seq(upto)));
        }
        Ok(path)
    }

    /// The newest snapshot that was read back.
    pub fn newest_good(&self) -> Option<&SnapshotName> {
        self.snapshots.iter().filter(|listed| listed.good).map(|listed| &listed.name).max_by_key(|name| name.made_ms)
    }

    /// Keeps only the lines that one of some keys signs, each of 64 hexadecimal digits, and what belongs to them; gives the
    /// others.
    pub fn trust_only(&mut self, keys: &[String]) -> Vec<LineRecord> {
        let is_trusted = |record: &LineRecord| keys.iter().any(|key| key.eq_ignore_ascii_case(&record.public_key));
        let (trusted, others) = std::mem::take(&mut self.lines).into_iter().partition(|(_, record)| is_trusted(record));
        self.lines = trusted;
        self.runs.retain(|run| self.lines.contains_key(&run.line));
        self.snapshots.retain(|listed| self.lines.contains_key(&listed.name.line));
        let others: BTreeMap<String, LineRecord> = others;
        others.into_values().collect()
    }

    /// The sealed segment of a run that was fetched, checked against the key of its line.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`].
    pub fn sealed_run(&self, name: &RunName, stored: &Bytes) -> Result<Bytes> {
        let line = self.lines.get(&name.line);
        let line =
            line.ok_or_else(|| ArchiveError::damaged(Cause::Missing, name.to_string(), "its line is not known"))?;
        name.sealed(stored, &line.key()?).map(|sealed| stored.slice_ref(sealed))
    }

    /// A snapshot's manifest, checked.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`].
    pub async fn manifest(&self, target: &Target, name: &SnapshotName) -> Result<Manifest> {
        let line = self.line(Some(&name.line))?;
        Manifest::from_stored(name, &fetch(target, &name.manifest()).await?, &line.key()?)
    }

    /// The good snapshots of a line and its ancestors, of commits in its history; the newest last.
    ///
    /// # Errors
    /// As [`Catalog::path`].
    pub fn good_of(&self, line: &LineRecord) -> Result<Vec<&Listed>> {
        let upto: BTreeMap<String, Seq> =
            self.path(line)?.into_iter().map(|(record, upto)| (record.line, upto)).collect();
        let belongs = |listed: &&Listed| upto.get(&listed.name.line).is_some_and(|upto| listed.name.seq <= *upto);
        let mut good: Vec<&Listed> = self.snapshots.iter().filter(|listed| listed.good).filter(belongs).collect();
        good.sort_by_key(|listed| (listed.name.seq, listed.name.made_ms));
        Ok(good)
    }

    /// The newest good snapshot of a line or its ancestors.
    pub(super) async fn newest_of(&self, target: &Target, line: &LineRecord) -> Result<Option<Newest>> {
        for listed in self.good_of(line)?.into_iter().rev() {
            match self.manifest(target, &listed.name).await {
                Ok(manifest) => {
                    let needed = manifest.objects.iter().map(|needed| needed.name.clone()).collect();
                    return Ok(Some(Newest { manifest, stored_ms: listed.stored_ms, needed }));
                }
                Err(error @ ArchiveError::Damaged { .. }) => tracing::error!(%error, "an earlier snapshot"),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
