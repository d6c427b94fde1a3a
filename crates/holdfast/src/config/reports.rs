//! `[reports]`: reports to the owners of others' domains.

use serde::{Deserialize, Serialize};

/// Reports to the owners of others' domains.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reports {
    /// Domains whose DMARC record asks for it get a report once a day.
    pub send_dmarc: bool,
}

impl Default for Reports {
    fn default() -> Self {
        Self { send_dmarc: true }
    }
}
