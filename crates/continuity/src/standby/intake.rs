//! Input from a standby's connection: bodies in pieces, and the runs of commits that refer to them.

use std::{collections::VecDeque, io};

use store::{BodyId, StagedBody, Store, StoreError, log::read_run};

use super::{
    error::{Error, blocking},
    primary::bodies_of,
    wire::{self, plain},
};

/// Runs that wait for bodies. What was asked for comes before many more of them.
const MAX_WAITING_BYTES: usize = 512 << 20;
/// The largest body: as large as anything that is archived.
const MAX_BODY_BYTES: u64 = 1 << 30;

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
    current: Option<Coming>,
    /// Runs that are to be taken in, in order.
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// Bodies of the first of them that were asked for and have not come.
    pub missing: usize,
    /// Its bodies were asked for.
    pub asked: bool,
}

/// A body, as far as it has come.
struct Coming {
    id: Vec<u8>,
    bytes: u64,
    writer: store::BodyWriter,
}

impl<'a> Intake<'a> {
    pub const fn new(store: &'a Store) -> Self {
        let waiting = VecDeque::new();
        Self { store, staged: Vec::new(), current: None, waiting, waiting_bytes: 0, missing: 0, asked: false }
    }

    /// A run of commits has arrived.
    pub fn run(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        if self.waiting_bytes + bytes.len() > MAX_WAITING_BYTES {
            return Err(Error::NotNow("the primary sent commits instead of the requested bodies".to_owned()));
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push_back(bytes);
        Ok(())
    }

    /// The next run to store.
    pub fn next_run(&mut self) -> Option<Vec<u8>> {
        let run = self.waiting.pop_front();
        self.waiting_bytes -= run.as_ref().map_or(0, Vec::len);
        run
    }

    /// It has to wait.
    pub fn put_back(&mut self, run: Vec<u8>) {
        self.waiting_bytes += run.len();
        self.waiting.push_front(run);
    }

    pub async fn body(&mut self, piece: wire::BodyPiece) -> Result<(), Error> {
        if !piece.damaged.is_empty() {
            tracing::error!(reason = plain(&piece.damaged), "the primary can't send a body");
            self.current = None;
            self.missing = self.missing.saturating_sub(1);
            return Ok(());
        }
        let mut coming = match self.current.take() {
            Some(coming) if coming.id == piece.id => coming,
            _ => Coming { id: piece.id.clone(), bytes: 0, writer: self.store.body_writer()? },
        };
        coming.bytes += piece.bytes.len() as u64;
        if coming.bytes > MAX_BODY_BYTES {
            return Err(Error::NotNow("received a body larger than the limit".to_owned()));
        }
        let (bytes, last) = (piece.bytes, piece.last);
        let (coming, staged) = blocking(move || {
            io::Write::write_all(&mut coming.writer, &bytes).map_err(StoreError::io("body"))?;
            if !last {
                return Ok((Some(coming), None));
            }
            let staged = coming.writer.finish()?;
            Ok((None, Some((coming.id, staged))))
        })
        .await?;
        self.current = coming;
        if let Some((id, staged)) = staged {
            if staged.id().as_bytes().as_slice() != id {
                return Err(Error::NotNow("received a body that does not match its hash".to_owned()));
            }
            self.staged.push(staged);
            self.missing = self.missing.saturating_sub(1);
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
    })
    .map_err(StoreError::of_peer)?;
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
        tracing::error!(%id, "the primary can't send a message body");
    }
    metrics::counter!("holdfast_standby_bodies_missing_total").increment(missing.len() as u64);
    store.receive(commits, run.after)?;
    Ok(None)
}
