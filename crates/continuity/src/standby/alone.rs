//! Whether a primary that is to wait for a standby goes on alone until it has one: kept in a file, over restarts.

use std::{io, path::Path};

use super::connect::state_dir;
use crate::durable;

const FILE: &str = "alone";

/// Whether the machine of a data folder's directory `standby` was told to go on alone.
pub(super) fn is_alone(state_dir: &Path) -> bool {
    state_dir.join(FILE).exists()
}

/// Notes in the data folder `dir` whether it goes on alone.
pub(super) fn set(dir: &Path, alone: bool) -> io::Result<()> {
    let file = state_dir(dir).join(FILE);
    if alone {
        return durable::replace(&file, b"commits are acknowledged here alone until a standby has everything\n");
    }
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
