//! The configured archives: shipping, nightly snapshots, and alarms if they fail.

mod alarms;
mod place;
mod reach;
mod serving;
mod shipping;
mod snapshots;
mod try_out;

use std::sync::Arc;

use anyhow::bail;
pub use place::{Place, is_folder};
pub use reach::{described, restorable_of};
pub use serving::serve;
pub use shipping::LAST_SHIPPING;
pub use try_out::{begin_try_out, is_try_out, keep};

use crate::config::Config;

/// All configured archives.
#[derive(Clone)]
pub struct Archives {
    places: Vec<Arc<Place>>,
}

impl Archives {
    /// Opens nothing yet: an unreachable archive does not prevent the start.
    pub fn new(config: &Config) -> Self {
        Self { places: config.archive.iter().map(|one| Arc::new(Place::new(one))).collect() }
    }

    /// All, or the one of that name or URL.
    pub fn places(&self, name: Option<&str>) -> anyhow::Result<Vec<Arc<Place>>> {
        if self.places.is_empty() {
            bail!("no archive is configured: add an [[archive]] table, see `holdfast help continuity Archive`");
        }
        let Some(name) = name else { return Ok(self.places.clone()) };
        let found: Vec<_> = self.places.iter().filter(|place| place.config.is_named(name)).cloned().collect();
        if found.is_empty() {
            let known: Vec<&str> = self.places.iter().map(|place| place.name()).collect();
            bail!("there is no archive named {name}; configured archives: {}", known.join(", "));
        }
        Ok(found)
    }
}
