//! What comes in over a standby's connection: bodies in pieces, and the runs of commits that refer to them.

use std::{collections::VecDeque, io};

use store::{BodyId, StagedBody, Store, StoreError, log::read_run};

use super::{
    primary::bodies_of,
    replica::{Error, blocking},
    wire,
};

/// A run that can't be taken in yet.
pub(super) struct Lacks {
    pub bytes: Vec<u8>,
    /// The bodies that it refers to and that are not here.
    pub missing: Vec<BodyId>,
}

/// What comes in over a connection.
pub(super) struct Intake<'a> {
    pub store: &'a Store,
    /// Bodies that no commit refers to yet.
    pub staged: Vec<StagedBody>,
    /// The body whose pieces are coming.
    current: Option<(Vec<u8>, store::BodyWriter)>,
    /// Runs that are to be taken in, in order.
    pub waiting: VecDeque<Vec<u8>>,
    /// Bodies of the first of them that were asked for and have not come.
    pub missing: usize,
    /// Its bodies were asked for.
    pub asked: bool,
}

impl<'a> Intake<'a> {
    pub const fn new(store: &'a Store) -> Self {
        Self { store, staged: Vec::new(), current: None, waiting: VecDeque::new(), missing: 0, asked: false }
    }

    pub async fn body(&mut self, piece: wire::BodyPiece) -> Result<(), Error> {
        if !piece.damaged.is_empty() {
            tracing::error!(reason = piece.damaged, "the primary can't give a body");
            self.current = None;
            self.missing = self.missing.saturating_sub(1);
            return Ok(());
        }
        let (id, mut writer) = match self.current.take() {
            Some((id, writer)) if id == piece.id => (id, writer),
            _ => (piece.id.clone(), self.store.body_writer()?),
        };
        let last = piece.last;
        let wrote = blocking(move || {
            io::Write::write_all(&mut writer, &piece.bytes).map_err(StoreError::io("body"))?;
            if last { Ok((None, Some(writer.finish()?))) } else { Ok((Some(writer), None)) }
        })
        .await?;
        match wrote {
            (Some(writer), _) => self.current = Some((id, writer)),
            (None, Some(staged)) => {
                if staged.id().as_bytes().as_slice() != id {
                    return Err(Error::NotNow("a body came that is not what its name says".to_owned()));
                }
                self.staged.push(staged);
                self.missing = self.missing.saturating_sub(1);
            }
            (None, None) => {}
        }
        Ok(())
    }
}

/// Makes a run of commits durable. Gives it back with the bodies that it lacks, unless they were asked for before: what
/// did not come then can't be had, and the records are right all the same.
pub(super) fn receive(store: &Store, bytes: Vec<u8>, asked: bool) -> Result<Option<Lacks>, StoreError> {
    let mut commits = Vec::new();
    let run = read_run(bytes.clone(), |commit, _| {
        commits.push(commit);
        Ok(())
    })?;
    let mut missing = Vec::new();
    for id in commits.iter().flat_map(bodies_of) {
        if !store.has_body(&id)? && !missing.contains(&id) {
            missing.push(id);
        }
    }
    if !missing.is_empty() && !asked {
        return Ok(Some(Lacks { bytes, missing }));
    }
    for id in &missing {
        tracing::error!(%id, "the primary can't give a message's bytes");
    }
    metrics::counter!("holdfast_standby_bodies_missing_total").increment(missing.len() as u64);
    store.receive(commits, run.after)?;
    Ok(None)
}
