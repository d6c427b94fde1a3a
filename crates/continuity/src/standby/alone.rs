//! Whether a primary that should wait for a standby continues without one for now: stored in a file, so that it
//! survives restarts.

use std::{io, path::Path};

use super::connect::state_dir;
use crate::durable;

const FILE: &str = "alone";

/// Whether the machine with this `standby` folder should continue without a standby.
pub(super) fn is_alone(state_dir: &Path) -> bool {
    state_dir.join(FILE).exists()
}

/// Stores in the data folder `dir` whether it continues without a standby.
pub(super) fn set(dir: &Path, alone: bool) -> io::Result<()> {
    let file = state_dir(dir).join(FILE);
    if alone {
        return durable::replace(&file, b"commits are acknowledged without a standby until one is in sync\n");
    }
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
