//! The settings and limits of a POP3 server.

use std::{sync::Arc, time::Duration};

use doorkit::PlaintextLogins;
use tokio_util::sync::CancellationToken;

/// Settings of a POP3 server. Limits are per connection unless stated otherwise.
#[derive(Debug, Clone)]
pub struct Pop3Options {
    /// Our name in the greeting. Default `localhost`.
    pub hostname: String,
    /// Our other names: a client that came by one of them (SNI) is greeted with it. Default none.
    pub also_known_as: Arc<[String]>,
    /// Who may log in without TLS. Default [`PlaintextLogins::Never`].
    pub plaintext_logins: PlaintextLogins,
    /// Give messages that were retrieved the flag `\Seen`, at QUIT. Default true.
    pub mark_seen: bool,
    /// Longest command line in bytes, with its line end. Default 1,024 (RFC 2449 §4 asks for 255).
    pub max_line_bytes: usize,
    /// Longest line of a SASL exchange. Default 12,288 (RFC 4954 §4 asks as much).
    pub max_sasl_line_bytes: usize,
    /// Commands that could not be understood before the connection is closed. Default 20.
    pub max_errors: u32,
    /// Failed logins before the connection is closed. Default 3.
    pub max_failed_logins: u32,
    /// Concurrent connections of one account; further ones get `[IN-USE]`. Default 10.
    pub max_sessions_per_account: usize,
    /// How long a client may take to log in in total. Default 3 minutes.
    pub login_timeout: Duration,
    /// How long a client may be silent once logged in. Default 10 minutes (RFC 1939 §3 asks for no less).
    pub idle_timeout: Duration,
    /// How long a client may take to read a piece of 64 KiB. Default 5 minutes.
    pub write_timeout: Duration,
    /// Ends every connection when it is between commands. Default: never.
    pub shutdown: CancellationToken,
}

impl Default for Pop3Options {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            also_known_as: Arc::default(),
            plaintext_logins: PlaintextLogins::default(),
            mark_seen: true,
            max_line_bytes: 1_024,
            max_sasl_line_bytes: 12_288,
            max_errors: 20,
            max_failed_logins: 3,
            max_sessions_per_account: 10,
            login_timeout: Duration::from_secs(180),
            idle_timeout: Duration::from_secs(600),
            write_timeout: Duration::from_secs(300),
            shutdown: CancellationToken::new(),
        }
    }
}
