//! A trial restore ships nothing until it is kept.

use std::path::Path;

use anyhow::Context as _;

/// The alarm about a trial restore.
pub(super) const TRY_OUT_SAID: &str =
    "this is a trial restore, so nothing is shipped; run `holdfast archive keep` to keep it";

/// Marks a folder that is a try-out of a restore: nothing of it is shipped.
const TRY_OUT: &str = "archive/try-out";

/// Marks a data folder as a try-out of a restore.
pub fn begin_try_out(data_dir: &Path) -> anyhow::Result<()> {
    let path = data_dir.join(TRY_OUT);
    std::fs::create_dir_all(data_dir.join("archive"))
        .and_then(|()| std::fs::write(&path, b""))
        .context(path.display().to_string())
}

/// Whether a data folder is a try-out of a restore.
pub fn is_try_out(data_dir: &Path) -> bool {
    data_dir.join(TRY_OUT).exists()
}

/// Ends a try-out: the folder is the service's from now on. Gives whether it was one.
pub fn keep(data_dir: &Path) -> anyhow::Result<bool> {
    let path = data_dir.join(TRY_OUT);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context(path.display().to_string()),
    }
}
