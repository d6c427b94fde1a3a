//! What the operator allows: where connections go, how many there are.

use std::time::Duration;

/// The ports of IMAP and POP3.
pub const USUAL_PORTS: [u16; 4] = [110, 143, 993, 995];

/// What the operator allows.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Accounts may be fetched from at all.
    pub enabled: bool,
    /// Servers in private networks, on this wire or on this machine may be asked. Otherwise people could look around there.
    pub allow_private: bool,
    /// Passwords and mail may go in plain text.
    pub allow_plaintext: bool,
    /// Ports that may be asked besides [`USUAL_PORTS`].
    pub ports: Vec<u16>,
    /// Connections at once.
    pub at_once: usize,
    /// Accounts elsewhere that one account may have.
    pub each: usize,
    /// How often new mail is looked for.
    pub interval: Duration,
    /// The largest message.
    pub max_message_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enabled: true,
            allow_private: false,
            allow_plaintext: false,
            ports: Vec::new(),
            at_once: 8,
            each: 10,
            interval: Duration::from_mins(10),
            max_message_bytes: 50 << 20,
        }
    }
}

impl Policy {
    /// Whether a port may be asked; else why not.
    pub(crate) fn check(&self, port: u16) -> Result<(), String> {
        if USUAL_PORTS.contains(&port) || self.ports.contains(&port) {
            return Ok(());
        }
        Err(format!("port {port} is not allowed; use 993 or 143 for IMAP, 995 or 110 for POP3"))
    }
}
