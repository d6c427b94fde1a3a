//! The configuration: one TOML file, every key with a default, environment variables on top.
//!
//! `Config::load` gives either a whole, checked configuration or a [`ConfigError`] that names file, line, key and
//! remedy. Nothing is read lazily: a server that has started has understood every key.

mod acme;
mod archive;
mod check;
mod delivery;
mod diagnose;
mod disk;
mod domains;
mod environment;
mod external_key;
mod fetch;
mod finding;
mod hooks;
mod incoming;
mod loading;
mod relay;
mod reports;
mod secrets;
mod senders;
mod sending;
mod spam;
mod units;

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use acme::{Acme, AcmeSettings};
pub use archive::Archive;
pub use check::{ends as certificate_ends, host_of};
pub use delivery::{Dane, Delivery, HeaderFrom, TlsException, UnsignedMail};
pub use diagnose::{ConfigError, doubt};
pub use disk::{Repair, Store};
pub use domains::{Dns, Domains};
pub use external_key::external_key;
pub use fetch::Fetch;
pub use finding::Finding;
pub use hooks::Hooks;
pub use incoming::Incoming;
pub use relay::Relay;
pub use reports::Reports;
pub use secrets::{KeySource, Secrets};
pub use senders::Senders;
pub use sending::Sending;
pub use spam::Spam;
pub use units::{ByteSize, Span};

use crate::listeners::{Kind, LISTENERS, Row};

/// Everything that can be configured. Each field's comment is its documentation in `docs/configuration.md`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder that holds all of the service's state. One process at a time may own it.
    pub data_dir: PathBuf,
    /// The name this server gives itself: in SMTP greetings, `Received` fields, Message-IDs and certificates.
    pub hostname: String,
    /// Other names of this server, best under another top-level domain: each has its certificate, its greeting and its pages.
    pub also_known_as: Vec<String>,
    /// The addresses of each listener. An empty list disables it.
    pub listen: Listen,
    /// Certificates.
    pub tls: Tls,
    /// How much, how long, how many.
    pub limits: Limits,
    /// The store, its retention and its cache.
    pub store: Store,
    /// What is damaged here and others have.
    pub repair: Repair,
    /// Mail on its way out.
    pub delivery: Delivery,
    /// Programs of others that are asked about messages.
    pub hooks: Hooks,
    /// How much strangers may give.
    pub incoming: Incoming,
    /// What each account may send.
    pub sending: Sending,
    /// Whom the DNS is asked.
    pub dns: Dns,
    /// Hosted domains.
    pub domains: Domains,
    /// Who really sent a message.
    pub senders: Senders,
    /// The spam filter of the service.
    pub spam: Spam,
    /// Reports to the owners of others' domains.
    pub reports: Reports,
    /// Mail from accounts elsewhere.
    pub fetch: Fetch,
    /// What stored secrets are sealed under.
    pub secrets: Secrets,
    /// Standbys that follow this machine, and this machine as one.
    pub standby: Standby,
    /// Mail that relays took for this machine.
    pub relay: Relay,
    /// The webmail.
    pub web: Web,
    /// The log output.
    pub log: Log,
    /// Where the log and the snapshots go.
    pub archive: Vec<Archive>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("holdfast-data"),
            hostname: "localhost".to_owned(),
            also_known_as: Vec::new(),
            listen: Listen::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            store: Store::default(),
            repair: Repair::default(),
            delivery: Delivery::default(),
            hooks: Hooks::default(),
            incoming: Incoming::default(),
            sending: Sending::default(),
            dns: Dns::default(),
            domains: Domains::default(),
            senders: Senders::default(),
            spam: Spam::default(),
            reports: Reports::default(),
            fetch: Fetch::default(),
            secrets: Secrets::default(),
            standby: Standby::default(),
            relay: Relay::default(),
            web: Web::default(),
            log: Log::default(),
            archive: Vec::new(),
        }
    }
}

/// Listening addresses, one list per listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Mail from other servers (port 25 in production). STARTTLS offered.
    pub smtp: Vec<SocketAddr>,
    /// Mail from people's programs with STARTTLS (port 587).
    pub submission: Vec<SocketAddr>,
    /// Mail from people's programs over TLS (port 465).
    pub submissions: Vec<SocketAddr>,
    /// Local delivery by LMTP (RFC 2033), for another MTA in front. Never expose it.
    pub lmtp: Vec<SocketAddr>,
    /// IMAP with STARTTLS (port 143).
    pub imap: Vec<SocketAddr>,
    /// IMAP over TLS (port 993).
    pub imaps: Vec<SocketAddr>,
    /// POP3 with STLS (port 110).
    pub pop3: Vec<SocketAddr>,
    /// POP3 over TLS (port 995).
    pub pop3s: Vec<SocketAddr>,
    /// ManageSieve with STARTTLS (port 4190), for the scripts of accounts.
    pub managesieve: Vec<SocketAddr>,
    /// The webmail without TLS: for this machine, or behind a proxy that does TLS.
    pub http: Vec<SocketAddr>,
    /// The webmail over TLS (port 443).
    pub https: Vec<SocketAddr>,
    /// `/metrics` and `/health` for machines. They are served on the web listeners too, `/metrics` only to loopback.
    pub metrics: Vec<SocketAddr>,
    /// Standbys that follow this machine: TLS, only for machines that were paired.
    pub standby: Vec<SocketAddr>,
    /// As a standby: `/metrics` and `/health` of its own, while it follows.
    pub standby_http: Vec<SocketAddr>,
    /// Relays of this machine (backup MX): TLS, only for machines that were paired.
    pub relay: Vec<SocketAddr>,
}

impl Default for Listen {
    /// On this machine only, with the trial ports of the table.
    fn default() -> Self {
        let local = |kind: Kind| {
            kind.row().trial_port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).into_iter().collect()
        };
        Self {
            smtp: local(Kind::Smtp),
            submission: local(Kind::Submission),
            submissions: local(Kind::Submissions),
            lmtp: local(Kind::Lmtp),
            imap: local(Kind::Imap),
            imaps: local(Kind::Imaps),
            pop3: local(Kind::Pop3),
            pop3s: local(Kind::Pop3s),
            managesieve: local(Kind::ManageSieve),
            http: local(Kind::Http),
            https: local(Kind::Https),
            metrics: local(Kind::Metrics),
            standby: local(Kind::Standby),
            standby_http: local(Kind::StandbyHttp),
            relay: local(Kind::Relay),
        }
    }
}

impl Listen {
    /// The addresses of one listener.
    pub const fn of(&self, kind: Kind) -> &Vec<SocketAddr> {
        match kind {
            Kind::Smtp => &self.smtp,
            Kind::Submission => &self.submission,
            Kind::Submissions => &self.submissions,
            Kind::Lmtp => &self.lmtp,
            Kind::Imap => &self.imap,
            Kind::Imaps => &self.imaps,
            Kind::Pop3 => &self.pop3,
            Kind::Pop3s => &self.pop3s,
            Kind::ManageSieve => &self.managesieve,
            Kind::Http => &self.http,
            Kind::Https => &self.https,
            Kind::Metrics => &self.metrics,
            Kind::Standby => &self.standby,
            Kind::StandbyHttp => &self.standby_http,
            Kind::Relay => &self.relay,
        }
    }

    /// All listeners with their addresses, in the order of the table.
    pub fn all(&self) -> impl Iterator<Item = (&'static Row, &Vec<SocketAddr>)> {
        LISTENERS.iter().map(|row| (row, self.of(row.kind)))
    }
}

/// Certificates. Without them a self-signed one is created in the data folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file with the certificate chain, leaf first. Re-read on SIGHUP.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key. Re-read on SIGHUP.
    pub key: Option<PathBuf>,
    /// Certificates are obtained from an authority, and renewed.
    pub acme: Acme,
}

/// Limits on external input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest message that is accepted.
    pub message_size: ByteSize,
    /// Connections at once, for each listener.
    pub connections: usize,
    /// Connections at once from one address (an IPv6 /64 counts as one), for each listener.
    pub connections_per_address: usize,
    /// Space of an account whose creator did not say otherwise; 0 is unlimited.
    pub default_quota: ByteSize,
    /// Who may log in without TLS.
    pub plaintext_logins: PlaintextLogins,
    /// How long a client may read nothing of what it was sent before its connection is closed.
    pub client_patience: Span,
    /// How long a web client may take for the header of a request, and over HTTP/2 for the answer to a ping.
    pub request_header_patience: Span,
    /// How long a stopping service waits for open connections to finish.
    pub shutdown_grace: Span,
    /// Passwords checked at once; 0 is one for each core.
    pub password_checks: usize,
    /// Logins that wait for their password to be checked.
    pub logins_waiting: usize,
    /// How long a login waits before it is refused with "try again later".
    pub login_patience: Span,
    /// For how long a verified password need not be checked slowly again; 0 is never.
    pub remember_logins: Span,
    /// Aliases that people may make themselves; 0 is none.
    pub own_aliases: usize,
    /// Masked addresses that an account may have.
    pub masked_addresses: usize,
}

/// Who may log in without TLS, by IMAP, POP3, ManageSieve and submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaintextLogins {
    /// Nobody.
    Never,
    /// Programs on this machine.
    Loopback,
    /// Everybody. Only for closed networks and for listeners behind a TLS proxy.
    Always,
}

impl From<PlaintextLogins> for doorkit::PlaintextLogins {
    fn from(who: PlaintextLogins) -> Self {
        match who {
            PlaintextLogins::Never => Self::Never,
            PlaintextLogins::Loopback => Self::Loopback,
            PlaintextLogins::Always => Self::Always,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: ByteSize::mib(50),
            connections: 4000,
            connections_per_address: 100,
            default_quota: ByteSize(0),
            plaintext_logins: PlaintextLogins::Loopback,
            client_patience: Span(doorkit::PATIENCE),
            request_header_patience: Span::seconds(30),
            shutdown_grace: Span::seconds(10),
            password_checks: 0,
            logins_waiting: 1000,
            login_patience: Span::seconds(20),
            remember_logins: Span::days(7),
            own_aliases: 0,
            masked_addresses: 100,
        }
    }
}

/// Standbys that follow this machine, and this machine as one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Standby {
    /// When a commit is acknowledged: once it is durable here, or once a standby has it too.
    pub mode: StandbyMode,
    /// In mode `sync`, while no standby is following: wait for one, or continue without one, with an alarm.
    pub when_away: WhenAway,
    /// A standby that has not answered for so long, with commits waiting for it, is away.
    pub away_after: Span,
    /// As a standby: how long after it was committed a commit is applied. It is received at once.
    pub apply_delay: Span,
    /// As a standby: the time over which deletions are added up.
    pub tripwire_window: Span,
    /// Deleted messages of one account within the window that stop applying; 0 turns the tripwire off.
    pub tripwire_account_messages: u64,
    /// The same of all accounts.
    pub tripwire_messages: u64,
    /// Records of address books, of all accounts.
    pub tripwire_contacts: u64,
    /// Accounts.
    pub tripwire_accounts: u64,
}

impl Default for Standby {
    fn default() -> Self {
        Self {
            mode: StandbyMode::Async,
            when_away: WhenAway::Degrade,
            away_after: Span::seconds(5),
            apply_delay: Span::seconds(0),
            tripwire_window: Span::seconds(600),
            tripwire_account_messages: 2_000,
            tripwire_messages: 10_000,
            tripwire_contacts: 200,
            tripwire_accounts: 10,
        }
    }
}

/// When a commit is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StandbyMode {
    /// Once it is durable here.
    Async,
    /// Once a standby has it too.
    Sync,
}

/// The behaviour in mode `sync` while no standby is following.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenAway {
    /// Nothing is acknowledged.
    Wait,
    /// Commits are acknowledged once they are durable here, with an alarm.
    Degrade,
}

/// The webmail.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// The address people type, as `https://mail.example.org`. Default: the first web listener.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, by address.
    pub trusted_proxies: Vec<std::net::IpAddr>,
}

/// The log output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,imap=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// Print one JSON object per line.
    Json,
}
