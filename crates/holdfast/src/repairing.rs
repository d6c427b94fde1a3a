//! Whom to ask for what is damaged here, and what to type for it.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use continuity::{archive::donor::log::ArchiveLog, mending::Donor};
use serde::Serialize;
use store::StoreError;

use crate::{
    archive::{Archives, Place},
    cli::RepairArgs,
    config::Config,
    failure::Code,
    told::{counted_are, told},
    verifying::Verified,
};

/// What a repair has done.
#[derive(Debug, Default, Serialize)]
pub struct Repaired {
    /// What was read first, and what was found damaged.
    pub found: Verified,
    /// What was mended, and how.
    pub mended: Vec<String>,
    /// What is still damaged.
    pub left: Vec<String>,
}

impl Repaired {
    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut all: Vec<String> = self.mended.iter().map(|what| format!("REPAIRED: {what}")).collect();
        all.extend(self.left.iter().map(|what| format!("STILL DAMAGED: {what}")));
        if self.left.is_empty() {
            let nothing = if self.mended.is_empty() { " found" } else { " is left" };
            all.push(format!("ok: no damage{nothing}"));
        }
        all
    }

    /// An error when something is still damaged, so that scripts see it.
    ///
    /// # Errors
    /// That is it.
    pub fn outcome(&self) -> anyhow::Result<()> {
        match self.left.len() {
            0 => Ok(()),
            count => Err(Code::Damaged.error(format!("{} still damaged", counted_are(count as u64, "item")))),
        }
    }
}

/// The archives that were asked for, and that this machine can read.
///
/// # Errors
/// There is none.
pub fn archives(config: &Config, args: &RepairArgs) -> anyhow::Result<Vec<Arc<Place>>> {
    let mut config = config.clone();
    // What is no URL can only be a configured one.
    let url = args.archive.as_deref().filter(|name| name.contains("://"));
    config.read_archives(url, args.identity.as_deref())?;
    let places = Archives::new(&config).places(args.archive.as_deref())?;
    let (can_be_read, others): (Vec<_>, Vec<_>) =
        places.into_iter().partition(|place| place.config.identity_file.is_some());
    let names = others.iter().map(|place| place.name()).collect::<Vec<_>>().join(", ");
    let first = can_be_read.first();
    first.with_context(|| format!("archive {names}: this machine can't read it: add --identity FILE"))?;
    Ok(can_be_read)
}

/// What can be typed when a data folder is damaged, each with when.
pub fn ways(config: &Config) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let listens = !config.listen.standby.is_empty();
    if listens && continuity::standby::has_standbys(&config.data_dir.join("standby")) {
        all.push(("to fetch damaged data from a standby", "holdfast repair --from-standby".to_owned()));
    }
    for place in &config.archive {
        let name = if config.archive.len() > 1 { format!(" --archive {}", place.name()) } else { String::new() };
        let identity = if place.identity_file.is_none() { " --identity FILE" } else { "" };
        all.push(("to fetch damaged data from an archive", format!("holdfast repair --from-archive{name}{identity}")));
    }
    all.push(("to repair what can be rebuilt from this machine's data", "holdfast verify --repair".to_owned()));
    all
}

/// Archives that have the log, by name: the store need not be open. Those without an identity can't be read here.
///
/// # Errors
/// An identity can't be read, or the target is none.
pub async fn logs(data_dir: &Path, places: &[Arc<Place>]) -> anyhow::Result<Vec<Arc<dyn Donor>>> {
    let mut donors: Vec<Arc<dyn Donor>> = Vec::new();
    for place in places {
        if let Some(identities) = place.identities()? {
            donors.push(Arc::new(ArchiveLog::new(data_dir, place.target().await?, identities)));
        }
    }
    Ok(donors)
}

/// Whether a store could not be opened because it is damaged.
pub fn is_damage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<StoreError>(), Some(StoreError::Damaged { .. }))
}

/// Why a store could not be opened, and when that is damage, what can be typed.
pub fn with_ways(error: anyhow::Error, ways: &[(&'static str, String)]) -> anyhow::Error {
    if !is_damage(&error) {
        return error;
    }
    let ways: Vec<String> = ways.iter().map(|(what, command)| format!("{what}: {command}")).collect();
    anyhow::anyhow!("{}\ncommands that may help:\n  {}", told(&error), ways.join("\n  "))
}
