//! `[secrets]`: what stored secrets are sealed under.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The name of the systemd credential that holds the keys.
pub const CREDENTIAL: &str = "holdfast-secrets";

/// What stored secrets are sealed under.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    /// The file with the keys, from `holdfast secrets new-key`. Default: the systemd credential `holdfast-secrets`, if there is
    /// one. Without either, secrets are stored as they are. Re-read on SIGHUP.
    pub key_file: Option<PathBuf>,
}

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySource {
    /// The file.
    pub path: PathBuf,
    /// The system made it for this service alone: its mode is the system's affair.
    pub is_credential: bool,
}

impl Secrets {
    /// Where the keys are, if they are anywhere.
    pub fn source(&self) -> Option<KeySource> {
        self.source_with(std::env::var_os("CREDENTIALS_DIRECTORY").as_deref())
    }

    fn source_with(&self, credentials: Option<&OsStr>) -> Option<KeySource> {
        if let Some(path) = &self.key_file {
            return Some(KeySource { path: path.clone(), is_credential: false });
        }
        let path = Path::new(credentials?).join(CREDENTIAL);
        path.exists().then_some(KeySource { path, is_credential: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_file_goes_before_a_credential() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = Some(dir.path().as_os_str());
        let none = Secrets::default();
        let configured = Secrets { key_file: Some("/etc/keys".into()) };
        assert_eq!(none.source_with(None), None);
        assert_eq!(none.source_with(credentials), None, "others may have credentials there");
        let path = dir.path().join(CREDENTIAL);
        std::fs::write(&path, "").unwrap();
        assert_eq!(none.source_with(credentials), Some(KeySource { path, is_credential: true }));
        let file = KeySource { path: "/etc/keys".into(), is_credential: false };
        assert_eq!(configured.source_with(credentials), Some(file));
    }
}
