//! The settings and limits of a ManageSieve server.

use std::{sync::Arc, time::Duration};

use doorkit::PlaintextLogins;
use sieve::limits::MAX_SCRIPT_BYTES;
use tokio_util::sync::CancellationToken;

/// Settings of a ManageSieve server. Limits are per connection unless stated otherwise.
#[derive(Debug, Clone)]
pub struct ManageSieveOptions {
    /// Our name in the greeting. Default `localhost`.
    pub hostname: String,
    /// Our other names: a client that came by one of them (SNI) is greeted with it. Default none.
    pub also_known_as: Arc<[String]>,
    /// Who may log in without TLS. Default [`PlaintextLogins::Never`].
    pub plaintext_logins: PlaintextLogins,
    /// Longest line in bytes, with its line end. Default 12,288: a response of SASL is one line.
    pub max_line_bytes: usize,
    /// Longest literal before the login, and of what is no script. Default 8,192.
    pub max_literal_bytes: u64,
    /// Largest script. Default what the language allows, 256 KiB.
    pub max_script_bytes: u64,
    /// Longest literal over its limit that is read over, so that it can be refused; for a longer one the connection is
    /// closed. Default 16 MiB, and before the login [`Self::max_literal_bytes`].
    pub max_skipped_bytes: u64,
    /// Commands that could not be understood before the connection is closed. Default 20.
    pub max_errors: u32,
    /// Failed logins before the connection is closed. Default 3.
    pub max_failed_logins: u32,
    /// Concurrent connections of one account; further ones get `TRYLATER`. Default 10.
    pub max_sessions_per_account: usize,
    /// How long a client may take to log in in total. Default 3 minutes.
    pub login_timeout: Duration,
    /// How long a client may be silent once logged in. Default 30 minutes (RFC 5804 §1.2 asks for no less).
    pub idle_timeout: Duration,
    /// How long a client may take to read a piece of 64 KiB. Default 5 minutes.
    pub write_timeout: Duration,
    /// Ends every connection when it is between commands. Default: never.
    pub shutdown: CancellationToken,
}

impl Default for ManageSieveOptions {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            also_known_as: Arc::default(),
            plaintext_logins: PlaintextLogins::default(),
            max_line_bytes: 12_288,
            max_literal_bytes: 8_192,
            max_script_bytes: MAX_SCRIPT_BYTES as u64,
            max_skipped_bytes: 16 << 20,
            max_errors: 20,
            max_failed_logins: 3,
            max_sessions_per_account: 10,
            login_timeout: Duration::from_secs(180),
            idle_timeout: Duration::from_secs(1_800),
            write_timeout: Duration::from_secs(300),
            shutdown: CancellationToken::new(),
        }
    }
}
