//! The settings and limits of an SMTP server.

use std::{sync::Arc, time::Duration};

use doorkit::{Network, PlaintextLogins};
use tokio_util::sync::CancellationToken;

use crate::Intake;

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Mail from other servers (port 25): for our own addresses only.
    Mx,
    /// Mail from people's mail apps (ports 587 and 465): after a login.
    Submission,
    /// Mail from another MTA on this machine (RFC 2033): for our own addresses only.
    Lmtp,
}

/// Settings of an SMTP server. All limits are per connection.
#[derive(Debug, Clone)]
pub struct SmtpOptions {
    /// What the listener is for.
    pub role: Role,
    /// Our name in greetings. Default `localhost`.
    pub hostname: String,
    /// Our other names: a client that came by one of them (SNI) is greeted with it. Default none.
    pub also_known_as: Arc<[String]>,
    /// Which clients may log in without TLS. Default [`PlaintextLogins::Never`].
    pub plaintext_logins: PlaintextLogins,
    /// Longest command line in bytes, with its line end. Default 4,096 (RFC 5321 §4.5.3.1.4 asks for 512, and more for
    /// parameters); AUTH responses may be three times as long (RFC 4954 §4).
    pub max_line_bytes: usize,
    /// Recipients of one message. Default 1,000 (RFC 5321 §4.5.3.1.8 asks for 100).
    pub max_recipients: usize,
    /// Messages over one connection. Default 1,000.
    pub max_messages: usize,
    /// Failed commands since the last accepted message, before the connection is closed. Default 20.
    pub max_errors: u32,
    /// Commands that are not part of sending a message (NOOP, RSET, VRFY, EHLO and the like) since the last accepted
    /// message; each further one counts as an error. Default 100.
    pub max_idle_commands: u32,
    /// Failed logins before the connection is closed. Default 5.
    pub max_failed_logins: u32,
    /// How long a client may be silent between commands. Default 5 minutes (RFC 5321 §4.5.3.2.7).
    pub command_timeout: Duration,
    /// How long a client may be silent within a message. Default 5 minutes (RFC 5321 §4.5.3.2.5 asks for 3).
    pub data_timeout: Duration,
    /// How long a client may take to read a reply. Default 2 minutes.
    pub write_timeout: Duration,
    /// How long a connection may last. Default 2 hours.
    pub session_timeout: Duration,
    /// How much strangers may give; the same for all MX listeners. Default [`Intake::default`].
    pub intake: Intake,
    /// Servers that keep our mail while we are away (backup MX) and give it to us later: they say by XFORWARD from whom they
    /// have it, nothing that they give is counted against them, and no check refuses it. Default none.
    pub backups: Arc<[Network]>,
    /// Ends every connection with 421 between two commands. Default: never.
    pub shutdown: CancellationToken,
}

impl Default for SmtpOptions {
    fn default() -> Self {
        Self {
            role: Role::Mx,
            hostname: "localhost".to_owned(),
            also_known_as: Arc::default(),
            plaintext_logins: PlaintextLogins::default(),
            max_line_bytes: 4_096,
            max_recipients: 1_000,
            max_messages: 1_000,
            max_errors: 20,
            max_idle_commands: 100,
            max_failed_logins: 5,
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(300),
            write_timeout: Duration::from_secs(120),
            session_timeout: Duration::from_secs(7_200),
            intake: Intake::default(),
            backups: Arc::default(),
            shutdown: CancellationToken::new(),
        }
    }
}
