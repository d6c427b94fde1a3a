//! Restoring while serving: the system's own realms are restored first, then the store serves. An account is restored
//! when it is requested, or else the most recently used first; a message's body when it is read; the rest in the
//! background.
//!
//! Requests don't wait for background work. A stop at any time loses no progress: the same restore resumes, and
//! everything written since the listeners opened is in the store's own log like any other commit.
//!
//! * [`first`]: the part that must be done before the listeners open.
//! * [`behind`]: the rest and its order; [`realms`] one by one, and [`messages`].

mod behind;
mod first;
mod messages;
mod plan;
mod realms;

use std::sync::Arc;

use parking_lot::Mutex;
use store::Store;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::source::Wish;
use crate::archive::{ArchiveError, Event, Result, format::Parent};

pub use plan::{Prepare, Progress};

use behind::Behind;
use first::{First, first_part};

/// Where long work's [`Event`]s go, kept by a thread.
pub type Says = Arc<dyn Fn(Event) + Send + Sync>;

/// A store that can serve, and its state.
pub struct Opened {
    /// The store. See [`Store::is_partial`].
    pub store: Store,
    /// The line that it continues.
    pub parent: Parent,
    /// The last commit's time, in milliseconds since 1970, where known.
    pub time_ms: Option<i64>,
    /// Whether it had served before it was stopped.
    pub resumed: bool,
    /// Notes: realms restored from other sources, commits that may be missing.
    pub notes: Vec<String>,
    /// Bytes fetched so far.
    pub fetched: u64,
}

struct Start {
    prepare: Prepare,
    stop: CancellationToken,
}

/// The background part of a restore.
pub struct Serving {
    /// How far it is.
    pub progress: watch::Receiver<Progress>,
    start: Option<oneshot::Sender<Start>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Serving {
    /// Restores missing data until everything is restored or `stop`.
    pub fn start(&mut self, prepare: Prepare, stop: CancellationToken) {
        if let Some(start) = self.start.take() {
            let _ = start.send(Start { prepare, stop });
        }
    }

    /// Waits for the end of it. Blocks.
    pub fn join(&mut self) {
        self.start.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("internal error in the restore");
        }
    }
}

/// Restores as far as that the store can serve.
///
/// # Errors
/// As [`super::restore`].
pub async fn begin(wish: Wish, says: Says) -> Result<(Opened, Serving)> {
    let (opened, open) = oneshot::channel();
    let (start, started) = oneshot::channel();
    let (progress, watching) = watch::channel(Progress::default());
    // A thread of its own: those who wait for a body must not keep it from coming.
    let thread = std::thread::Builder::new()
        .name("restore".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(work(wish, says, opened, started, progress)),
                Err(error) => drop(opened.send(Err(ArchiveError::io("the restore's thread")(error)))),
            }
        })
        .map_err(ArchiveError::io("the restore's thread"))?;
    let opened = match open.await {
        Ok(opened) => opened?,
        Err(_) => return Err(ArchiveError::Stopped),
    };
    Ok((opened, Serving { progress: watching, start: Some(start), thread: Some(thread) }))
}

async fn work(
    wish: Wish,
    says: Says,
    opened: oneshot::Sender<Result<Opened>>,
    started: oneshot::Receiver<Start>,
    progress: watch::Sender<Progress>,
) {
    let first = match Box::pin(first_part(wish, &*says)).await {
        Ok(first) => first,
        Err(error) => return drop(opened.send(Err(error))),
    };
    let First { source, manifest, store, plan, recent, resumed, notes } = first;
    let said = Opened {
        store: store.clone(),
        parent: plan.parent.clone(),
        time_ms: plan.time_ms,
        resumed,
        notes,
        fetched: source.fetched(),
    };
    if opened.send(Ok(said)).is_err() {
        return;
    }
    let Ok(Start { prepare, stop }) = started.await else { return };
    let behind =
        Behind { source, manifest, store, plan, prepare, progress, places: Mutex::default(), changed: Notify::new() };
    behind.run(recent.into_iter(), stop).await;
}
