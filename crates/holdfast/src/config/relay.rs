//! Relays: backup MX on other machines.

use serde::{Deserialize, Serialize};

/// How this machine takes mail back from its relays.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// Messages of all relays that are taken at once, at most. It begins low, grows while all is well, and halves with trouble.
    pub streams: u32,
    /// Messages of all relays that are taken in a second, at most; 0 is as many as go.
    pub messages_per_second: u32,
}

impl Default for Relay {
    fn default() -> Self {
        Self { streams: 32, messages_per_second: 0 }
    }
}
