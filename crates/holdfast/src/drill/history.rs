//! The results of drills: one JSON object per line in the data folder, and what they say to people and programs.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use continuity::archive::target::Deletable;
use serde::{Deserialize, Serialize};

use crate::told::moment;

/// The file with the results in the data folder: one JSON object per line.
const HISTORY: &str = "drills.jsonl";

/// The result of a drill.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drilled {
    /// When it began, in milliseconds since 1970.
    pub at_ms: i64,
    /// Of which archive.
    pub archive: String,
    /// The last commit that was restored.
    pub seq: u64,
    /// How long the restore took, in seconds.
    pub restore_seconds: f64,
    /// How long all of it took.
    pub seconds: f64,
    /// Realms, bodies, records that were checked.
    pub realms: usize,
    /// See `realms`.
    pub bodies: u64,
    /// See `realms`.
    pub records: u64,
    /// Accounts of which a message was read and found by a search.
    pub sampled: usize,
    /// The problems.
    pub problems: Vec<String>,
    /// Whether this machine's keys could delete something there; none when it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletes: Option<Deletes>,
}

/// What became of the try to delete something in an archive, with the keys of the machine that ships there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deletes {
    /// It was refused, as it should be.
    Refused,
    /// It went, and stays as a version of its own.
    KeepsVersions,
    /// It is gone.
    Deleted,
    /// It is a folder, which refuses nothing.
    Folder,
}

impl From<Deletable> for Deletes {
    fn from(deletable: Deletable) -> Self {
        match deletable {
            Deletable::No => Self::Refused,
            Deletable::KeepsVersions => Self::KeepsVersions,
            Deletable::Yes => Self::Deleted,
        }
    }
}

impl Drilled {
    /// One that could not run.
    pub fn failed(at_ms: i64, archive: &str, problem: String) -> Self {
        Self {
            at_ms,
            archive: archive.to_owned(),
            seq: 0,
            restore_seconds: 0.0,
            seconds: 0.0,
            realms: 0,
            bodies: 0,
            records: 0,
            sampled: 0,
            problems: vec![problem],
            deletes: None,
        }
    }
}

/// Records a result.
///
/// # Errors
/// Those of the disk.
pub fn note(data_dir: &Path, drilled: &Drilled) -> anyhow::Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(history(data_dir))?;
    let mut line = serde_json::to_string(drilled)?;
    line.push('\n');
    file.write_all(line.as_bytes())?;
    Ok(file.sync_all()?)
}

fn history(data_dir: &Path) -> PathBuf {
    data_dir.join(HISTORY)
}

/// The latest drills of an archive, the newest last.
pub fn latest(data_dir: &Path, archive: &str, count: usize) -> Vec<Drilled> {
    let text = std::fs::read_to_string(history(data_dir)).unwrap_or_default();
    let mut all: Vec<Drilled> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|drilled: &Drilled| drilled.archive == archive)
        .collect();
    all.drain(..all.len().saturating_sub(count));
    all
}

/// Sets the metrics from the recorded results of an archive's drills, also from before a restart.
pub fn measure(data_dir: &Path, archive: &str) {
    let all = latest(data_dir, archive, usize::MAX);
    let target = archive.to_owned();
    if let Some(last) = all.last() {
        metrics::gauge!("holdfast_drill_seconds", "target" => target.clone()).set(last.seconds);
        metrics::gauge!("holdfast_drill_problems", "target" => target.clone()).set(last.problems.len() as f64);
    }
    if let Some(deletes) = all.iter().rev().find_map(|drilled| drilled.deletes) {
        let can = matches!(deletes, Deletes::Deleted | Deletes::Folder);
        metrics::gauge!("holdfast_drill_could_delete", "target" => target.clone()).set(f64::from(u8::from(can)));
    }
    let well = all.iter().rfind(|drilled| drilled.problems.is_empty()).map_or(0, |drilled| drilled.at_ms);
    metrics::gauge!("holdfast_drill_last_success_timestamp_seconds", "target" => target).set(well as f64 / 1000.0);
}

/// The result of a drill as text.
pub fn described(drilled: &Drilled) -> String {
    let could_delete = match drilled.deletes {
        Some(Deletes::Refused) => "; deleting was refused, as it should be",
        Some(Deletes::KeepsVersions) => "; what was deleted stays as a version",
        Some(Deletes::Deleted) => "; WARNING: this machine's keys could delete there",
        Some(Deletes::Folder) | None => "",
    };
    let result = if drilled.problems.is_empty() {
        format!("ok{could_delete}")
    } else {
        format!("PROBLEMS: {}, the first: {}{could_delete}", drilled.problems.len(), drilled.problems[0])
    };
    format!(
        "drill {}: commit {} restored in {:.1} s, {} realms, {} records, {} bodies, {} accounts tested, {:.1} s in total: {result}",
        moment(drilled.at_ms),
        drilled.seq,
        drilled.restore_seconds,
        drilled.realms,
        drilled.records,
        drilled.bodies,
        drilled.sampled,
        drilled.seconds
    )
}
