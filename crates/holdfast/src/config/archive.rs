//! `[[archive]]`: where the log and the snapshots go.

use std::path::{Path, PathBuf};

use continuity::archive::{
    codec::{Identities, Recipients},
    prune::Keep,
    target::{TargetOptions, check_url},
};
use serde::{Deserialize, Serialize};

use super::{Config, Span};

/// One place to archive to. There can be several, each of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Archive {
    /// The name in messages, metrics and commands. Default: the URL.
    pub name: Option<String>,
    /// `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Public keys of those who can read it: age recipients (`age1…`), from `holdfast archive new-identity`.
    pub recipients: Vec<String>,
    /// The file with an identity. Without one this machine can write the archive and not read it.
    pub identity_file: Option<PathBuf>,
    /// S3, Azure: the service's address, where it is not Amazon's or Microsoft's.
    pub endpoint: Option<String>,
    /// S3: the region.
    pub region: Option<String>,
    /// S3: the id of the access key; Azure: the account. Default: `AWS_ACCESS_KEY_ID`, `AZURE_STORAGE_ACCOUNT_NAME`.
    pub access_key_id: Option<String>,
    /// The file with the secret access key (its first line). Default: `AWS_SECRET_ACCESS_KEY`,
    /// `AZURE_STORAGE_ACCOUNT_KEY`.
    pub secret_access_key_file: Option<PathBuf>,
    /// Google: the service account's JSON file. Default: `GOOGLE_SERVICE_ACCOUNT`.
    pub service_account_file: Option<PathBuf>,
    /// How long commits are gathered before they are shipped.
    pub ship_every: Span,
    /// The local time of the nightly snapshot.
    pub snapshot_at: String,
    /// For how many days the last snapshot of each day is kept, and any second can be restored; at least 2.
    pub keep_daily: usize,
    /// For how many weeks the last snapshot of each week is kept.
    pub keep_weekly: usize,
    /// For how many months the last snapshot of each month is kept.
    pub keep_monthly: usize,
    /// Delete old snapshots after each nightly snapshot. Needs credentials that are allowed to delete.
    pub prune: bool,
    /// When the newest good snapshot is older, that is an alarm.
    pub alarm_after: Span,
    /// A folder for a drill after each nightly snapshot: it needs as much disk space as the data, preferably on another
    /// disk. None: no nightly drill.
    pub drill_dir: Option<PathBuf>,
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            name: None,
            url: String::new(),
            recipients: Vec::new(),
            identity_file: None,
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key_file: None,
            service_account_file: None,
            ship_every: Span::seconds(2),
            snapshot_at: "03:30".to_owned(),
            keep_daily: 14,
            keep_weekly: 8,
            keep_monthly: 12,
            prune: false,
            alarm_after: Span::hours(26),
            drill_dir: None,
        }
    }
}

impl Config {
    /// For a command that reads archives: one that is named by its URL need not be configured, and `identity` goes before
    /// the configured ones.
    ///
    /// # Errors
    /// Those of [`Archive::check_readable`], of one that is not configured.
    pub fn read_archives(&mut self, named: Option<&str>, identity: Option<&Path>) -> anyhow::Result<()> {
        if let Some(url) = named
            && !self.archive.iter().any(|place| place.is_named(url))
        {
            let place = Archive::at(url);
            place.check_readable()?;
            self.archive.push(place);
        }
        if let Some(identity) = identity {
            for place in &mut self.archive {
                place.identity_file = Some(identity.to_owned());
            }
        }
        Ok(())
    }
}

impl Archive {
    /// The name in messages, metrics and commands.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.url)
    }

    /// One that is in no configuration.
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }

    /// Whether a command means it: by its name or by its URL.
    pub fn is_named(&self, named: &str) -> bool {
        [self.name(), &self.url].contains(&named)
    }

    /// Whether it can be opened to be read: opening a folder would make it.
    ///
    /// # Errors
    /// The URL is none, or the folder that it names is not there.
    pub fn check_readable(&self) -> anyhow::Result<()> {
        let url = check_url(&self.url).map_err(anyhow::Error::msg)?;
        if let Ok(path) = url.to_file_path() {
            anyhow::ensure!(path.is_dir(), "{}: no such folder", path.display());
        }
        Ok(())
    }

    /// The retention settings.
    pub const fn keep(&self) -> Keep {
        Keep { daily: self.keep_daily, weekly: self.keep_weekly, monthly: self.keep_monthly }
    }

    /// When the nightly snapshot is due.
    pub fn snapshot_time(&self) -> Option<jiff::civil::Time> {
        self.snapshot_at.parse().ok()
    }

    /// How the target is opened. Reads the secret.
    pub fn target_options(&self) -> anyhow::Result<TargetOptions> {
        let secret_access_key = match &self.secret_access_key_file {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| anyhow::anyhow!("archive {}: {}: {error}", self.name(), file.display()))?;
                Some(text.lines().next().unwrap_or_default().trim().to_owned())
            }
            None => None,
        };
        Ok(TargetOptions {
            name: self.name().to_owned(),
            url: self.url.clone(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key,
            service_account_file: self.service_account_file.clone(),
        })
    }

    /// The first error: key, message, remedy.
    pub(super) fn check(&self) -> Option<(&'static str, String, &'static str)> {
        const URL: &str = "write it as \"file:///var/backups/holdfast\" or \"s3://bucket/holdfast\"";
        if self.url.is_empty() {
            return Some(("url", "is missing".to_owned(), URL));
        }
        if let Err(error) = check_url(&self.url) {
            return Some(("url", format!("is wrong: {error}"), URL));
        }
        if let Err(error) = Recipients::parse(&self.recipients) {
            let remedy =
                "create an identity with `holdfast archive new-identity FILE` and write the recipient it prints";
            return Some(("recipients", format!("is wrong: {error}"), remedy));
        }
        if let Some(file) = &self.identity_file
            && let Err(error) = Identities::read(file)
        {
            let remedy = "correct the path, or remove the key: this machine can then write the archive but not read it";
            return Some(("identity_file", format!("cannot be used: {error}"), remedy));
        }
        for (key, file) in [
            ("secret_access_key_file", &self.secret_access_key_file),
            ("service_account_file", &self.service_account_file),
        ] {
            if let Some(file) = file
                && let Err(error) = std::fs::File::open(file)
            {
                let what = format!("cannot be read: {}: {error}", file.display());
                return Some((key, what, "correct the path, or let the service's user read the file"));
            }
        }
        if let Some(dir) = &self.drill_dir {
            if !dir.is_dir() {
                let what = format!("is not a folder: {}", dir.display());
                return Some(("drill_dir", what, "create it, with enough disk space for all stored data"));
            }
            if self.identity_file.is_none() {
                let what = "is set, but there is no identity to restore with".to_owned();
                return Some((
                    "drill_dir",
                    what,
                    "add identity_file, or run `holdfast drill` on a machine that has it",
                ));
            }
        }
        if self.snapshot_time().is_none() {
            return Some(("snapshot_at", "is not a time of day".to_owned(), "write it as \"03:30\""));
        }
        if self.keep_daily < 2 {
            return Some(("keep_daily", "is less than 2".to_owned(), "keep at least two days"));
        }
        None
    }
}
