//! The log in an archive, as one that has commits that are missing here: each of its lines is a history.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use store::{
    BodyId, Seq,
    log::{RunWriter, read_run},
};

use crate::{
    archive::{
        ArchiveError, Result, blocking,
        catalog::Catalog,
        codec::Identities,
        format::{self, RunName},
        line::Line,
        restorable::run_with,
        target::{Target, fetch},
    },
    mending::{Bodies, Donor, log::History},
};

/// Gives the log of an archive alone: where the store of this machine can't be opened.
pub struct ArchiveLog {
    data_dir: PathBuf,
    target: Target,
    identities: Identities,
}

impl ArchiveLog {
    /// For the folder of a store that shipped to `target`.
    pub fn new(data_dir: &Path, target: Target, identities: Identities) -> Self {
        Self { data_dir: data_dir.to_owned(), target, identities }
    }
}

impl Donor for ArchiveLog {
    fn name(&self) -> String {
        format!("the archive {}", self.target.name())
    }

    fn bodies<'a>(&'a self, _: &'a [BodyId]) -> BoxFuture<'a, std::result::Result<Bodies, String>> {
        Box::pin(async { Ok(Bodies::new()) })
    }

    fn histories(&self) -> BoxFuture<'_, std::result::Result<Vec<Arc<dyn History>>, String>> {
        Box::pin(histories(&self.data_dir, &self.target, &self.identities))
    }
}

/// The histories that an archive has: this folder's own line first, then those that no other goes on from.
pub(super) async fn histories(
    data_dir: &Path,
    target: &Target,
    identities: &Identities,
) -> std::result::Result<Vec<Arc<dyn History>>, String> {
    let own = Line::name_in(data_dir);
    let read = async {
        let catalog = match Catalog::read(target).await {
            Err(ArchiveError::Nothing(_)) => return Ok(Vec::new()),
            other => Arc::new(other?),
        };
        let own = own.and_then(|name| catalog.lines.get(&name));
        let newest = catalog.newest_lines();
        let others = newest.into_iter().filter(|record| own.is_none_or(|own| own.line != record.line));
        let mut all: Vec<Arc<dyn History>> = Vec::new();
        for record in own.into_iter().chain(others) {
            let upto = catalog.path(record)?.into_iter().map(|(record, upto)| (record.line, upto)).collect();
            all.push(Arc::new(ArchivedLine {
                line: record.line.clone(),
                target: target.clone(),
                identities: identities.clone(),
                catalog: catalog.clone(),
                upto,
                broken: Mutex::default(),
            }));
        }
        Ok(all)
    };
    read.await.map_err(|error: ArchiveError| error.to_string())
}

/// A line of an archive, with those that it goes on from.
struct ArchivedLine {
    line: String,
    target: Target,
    identities: Identities,
    catalog: Arc<Catalog>,
    /// The last commit of each line that belongs to it.
    upto: HashMap<String, Seq>,
    /// Runs that were read and are damaged.
    broken: Mutex<BTreeSet<String>>,
}

impl ArchivedLine {
    async fn read(&self, run: &RunName) -> Result<Vec<u8>> {
        let object = run.to_string();
        let sealed = self.catalog.sealed_run(run, &fetch(&self.target, &object).await?)?;
        let (identities, upto) = (self.identities.clone(), self.upto[&run.line]);
        let goes_on = run.last > upto;
        blocking(move || {
            let bytes = identities.open(&object, &sealed, format::MAX_RUN_BYTES)?;
            if goes_on { cut(bytes, upto).map_err(|error| ArchiveError::of_run(object, error)) } else { Ok(bytes) }
        })
        .await
    }
}

/// A run without what comes after the commit at which another line began.
fn cut(bytes: Vec<u8>, upto: Seq) -> std::result::Result<Vec<u8>, store::StoreError> {
    let mut commits = Vec::new();
    let run = read_run(bytes, |commit, _| {
        commits.push(commit);
        Ok(())
    })?;
    let mut shorter = RunWriter::new(run.first, run.before);
    for commit in commits.iter().filter(|commit| commit.seq() <= upto) {
        shorter.push(commit)?;
    }
    Ok(shorter.finish())
}

impl History for ArchivedLine {
    fn name(&self) -> String {
        format!("the archive {} (line {})", self.target.name(), self.line)
    }

    fn run(&self, from: Seq) -> BoxFuture<'_, std::result::Result<Option<Vec<u8>>, String>> {
        Box::pin(async move {
            loop {
                let broken = self.broken.lock().clone();
                let Some(run) = run_with(&self.catalog, &self.upto, from, &broken) else { return Ok(None) };
                match self.read(run).await {
                    Ok(bytes) => return Ok(Some(bytes)),
                    // Another run may have it too.
                    Err(error) if matches!(error, ArchiveError::Damaged { .. }) || error.is_not_found() => {
                        tracing::warn!(%error, "commits that are missing here are not read from it");
                        self.broken.lock().insert(run.to_string());
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
        })
    }
}
