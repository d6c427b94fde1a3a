//! The settings and limits of an IMAP server.

use std::{sync::Arc, time::Duration};

use doorkit::PlaintextLogins;
use tokio_util::sync::CancellationToken;

/// Settings of the door. All limits are per connection.
#[derive(Debug, Clone)]
pub struct ImapOptions {
    /// The name in the greeting. Default `localhost`.
    pub host_name: String,
    /// Our other names: a client that came by one of them (SNI) is greeted with it. Default none.
    pub also_known_as: Arc<[String]>,
    /// Name and version for ID. Default: this crate's version of Holdfast.
    pub version: String,
    /// Who may log in without TLS; others are told `LOGINDISABLED`. Default [`PlaintextLogins::Never`].
    pub plaintext_logins: PlaintextLogins,
    /// Largest message that APPEND takes, in bytes. Default 50 MiB.
    pub max_message_bytes: u64,
    /// Longest command before login, literals included, in bytes. Default 40 KiB: an ID may have 30 fields of 1024 bytes
    /// (RFC 2971 section 3.3).
    pub max_command_before_login_bytes: usize,
    /// Longest command after login, literals included but not the message of an APPEND, in bytes. Default 256 KiB.
    pub max_command_bytes: usize,
    /// How much more a command may have that puts messages together (CATENATE), in bytes: the texts that it brings itself.
    /// Default 4 MiB.
    pub max_catenate_text_bytes: usize,
    /// How many searches of a session have their results kept up to date at a time (`RETURN (UPDATE)`); of further ones the
    /// client is told `NOUPDATE`. Default 16.
    pub max_search_contexts: usize,
    /// How many numbers these results may take together in memory, four bytes each: one for each message of a SORT, and two
    /// for each stretch of UIDs that a result has. Default 1,000,000.
    pub max_context_numbers: usize,
    /// Longest refused `LITERAL+` message that is read and thrown away rather than ending the connection, in bytes.
    /// Default 64 MiB.
    pub max_discarded_bytes: u64,
    /// How many wrong commands in a row end the connection. Default 20.
    pub max_mistakes: u32,
    /// How many failed logins end the connection. Default 5.
    pub max_failed_logins: u32,
    /// How long a connection may take to log in, whatever it says meanwhile. Default 2 minutes.
    pub login_timeout: Duration,
    /// How long a client may be silent. RFC 9051 section 5.4 wants at least 30 minutes, which is the default.
    pub idle_timeout: Duration,
    /// How long IDLE may last. Default 29 minutes, the time after which RFC 2177 has clients begin anew; the connection
    /// gets one more minute to do so.
    pub idle_command_timeout: Duration,
    /// How long a client may take to read what it was sent. Default 5 minutes.
    pub write_timeout: Duration,
    /// After how long a client is told that its command is still in progress, and again each time. Default 10 seconds.
    pub progress_interval: Duration,
    /// Ends every connection with BYE at its next quiet moment. Default: never.
    pub shutdown: CancellationToken,
}

impl Default for ImapOptions {
    fn default() -> Self {
        Self {
            host_name: "localhost".into(),
            also_known_as: Arc::default(),
            version: env!("CARGO_PKG_VERSION").into(),
            plaintext_logins: PlaintextLogins::default(),
            max_message_bytes: 50 << 20,
            max_command_before_login_bytes: 40 << 10,
            max_command_bytes: 256 << 10,
            max_catenate_text_bytes: 4 << 20,
            max_search_contexts: 16,
            max_context_numbers: 1_000_000,
            max_discarded_bytes: 64 << 20,
            max_mistakes: 20,
            max_failed_logins: 5,
            login_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(30 * 60),
            idle_command_timeout: Duration::from_secs(29 * 60),
            write_timeout: Duration::from_secs(300),
            progress_interval: Duration::from_secs(10),
            shutdown: CancellationToken::new(),
        }
    }
}
