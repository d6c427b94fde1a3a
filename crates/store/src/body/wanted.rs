//! The bodies that readers wait for because they are damaged here.

use std::{
    collections::HashMap,
    sync::mpsc::SyncSender,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::BodyId;

/// How long a reader waits for a donor to supply a damaged body.
pub const RESCUE_WAIT: Duration = Duration::from_secs(5);

/// A body that a reader waits for.
pub struct WantedBody {
    /// Its name.
    pub id: BodyId,
    /// Gets `true` once the body is stored again, `false` if nobody has it.
    pub told: SyncSender<bool>,
}

/// The queue of wanted bodies.
#[derive(Default)]
pub(super) struct Rescue {
    pub wanted: Mutex<Option<mpsc::UnboundedSender<WantedBody>>>,
    pub failed: Mutex<HashMap<BodyId, Instant>>,
}
