//! The configuration: one TOML file, every key with a default, environment variables on top.
//!
//! `Config::load` gives either a whole, checked configuration or a [`ConfigError`] that names file, line, key and
//! remedy. Nothing is read lazily: a server that has started has understood every key.

mod archive;
mod check;
mod diagnose;
mod environment;
mod units;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use archive::Archive;
pub use check::ends as certificate_ends;
pub use diagnose::{ConfigError, doubt};
pub use units::{ByteSize, Span};

/// Everything that can be configured. Each field's comment is its documentation in `docs/configuration.md`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder that holds all of the service's state. One process at a time may own it.
    pub data_dir: PathBuf,
    /// The name this server gives itself: in SMTP greetings, `Received` fields, Message-IDs and certificates.
    pub hostname: String,
    /// The addresses of each listener. An empty list disables it.
    pub listen: Listen,
    /// Certificates.
    pub tls: Tls,
    /// How much, how long, how many.
    pub limits: Limits,
    /// The store, its retention and its cache.
    pub store: Store,
    /// Mail on its way out.
    pub delivery: Delivery,
    /// Standbys that follow this machine, and this machine as one.
    pub standby: Standby,
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
            listen: Listen::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            store: Store::default(),
            delivery: Delivery::default(),
            standby: Standby::default(),
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
}

impl Default for Listen {
    fn default() -> Self {
        let local = |port| vec![SocketAddr::from(([127, 0, 0, 1], port))];
        Self {
            smtp: local(2525),
            submission: local(2587),
            submissions: local(2465),
            lmtp: Vec::new(),
            imap: local(2143),
            imaps: local(2993),
            pop3: local(2110),
            pop3s: local(2995),
            http: local(8080),
            https: local(8443),
            metrics: Vec::new(),
            standby: Vec::new(),
            standby_http: Vec::new(),
        }
    }
}

impl Listen {
    /// All listeners, by the name of their key.
    pub const fn doors(&self) -> [(&'static str, &Vec<SocketAddr>); 13] {
        [
            ("smtp", &self.smtp),
            ("submission", &self.submission),
            ("submissions", &self.submissions),
            ("lmtp", &self.lmtp),
            ("imap", &self.imap),
            ("imaps", &self.imaps),
            ("pop3", &self.pop3),
            ("pop3s", &self.pop3s),
            ("http", &self.http),
            ("https", &self.https),
            ("metrics", &self.metrics),
            ("standby", &self.standby),
            ("standby_http", &self.standby_http),
        ]
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
}

/// Who may log in without TLS, by IMAP, POP3 and submission.
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
            shutdown_grace: Span::seconds(10),
            password_checks: 0,
            logins_waiting: 1000,
            login_patience: Span::seconds(20),
            remember_logins: Span::days(7),
        }
    }
}

/// The commit log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// How long commits, and bodies that nothing refers to, can be restored.
    pub retention: Span,
    /// Memory for cached index blocks.
    pub cache: ByteSize,
}

impl Default for Store {
    fn default() -> Self {
        Self { retention: Span::days(30), cache: ByteSize::mib(64) }
    }
}

/// Mail on its way out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// Send everything that is not local through this server: `host:port`.
    pub smarthost: Option<String>,
    /// Login at the smarthost.
    pub smarthost_user: Option<String>,
    /// File that holds the password for the smarthost (its first line).
    pub smarthost_password_file: Option<PathBuf>,
    /// Fixed routes that go before MX records: domain = `host:port`.
    pub routes: BTreeMap<String, String>,
    /// When undeliverable mail is given back to its sender.
    pub give_up_after: Span,
    /// When the sender gets a delay warning.
    pub warn_after: Span,
    /// Deliveries at once to one destination.
    pub connections_per_destination: usize,
    /// Deliveries at once in all.
    pub connections: usize,
    /// Send to hosts in private networks, too, that the DNS names or an address has in brackets.
    pub private_networks: bool,
    /// The addresses that people may use in `From:`: `own`, also `foreign` ones, or `any`.
    pub header_from: HeaderFrom,
}

/// The addresses that an authenticated client may use in `From:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderFrom {
    /// The account's own addresses.
    Own,
    /// These, and addresses in domains that are not of this service.
    Foreign,
    /// Anybody.
    Any,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            smarthost: None,
            smarthost_user: None,
            smarthost_password_file: None,
            routes: BTreeMap::new(),
            give_up_after: Span::days(5),
            warn_after: Span::hours(4),
            connections_per_destination: 5,
            connections: 50,
            private_networks: false,
            header_from: HeaderFrom::Own,
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

impl Config {
    /// Reads `file` (if given), applies the environment and checks the keys and their combinations.
    ///
    /// # Errors
    /// All errors that can be found at once.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        match Self::read(file)? {
            (config, None) => Ok(config),
            (_, Some(wrong)) => Err(wrong),
        }
    }

    /// The same for commands that don't serve: the configuration as far as it can be read, and its errors. A broken
    /// certificate must not prevent commands on the running service.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn read(file: Option<&Path>) -> Result<(Self, Option<ConfigError>), ConfigError> {
        let env = std::env::vars().filter(|(name, _)| name.starts_with(environment::PREFIX));
        match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
                Self::from_text(&text, path, env)
            }
            None => Self::from_text("", Path::new("(no file)"), env),
        }
    }

    /// Parses `text`; returns the configuration and its errors. `path` is only for messages.
    fn from_text(
        text: &str,
        path: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<(Self, Option<ConfigError>), ConfigError> {
        // The file alone first, so that its errors are reported with their lines.
        diagnose::read::<Self>(text, path)?;
        let mut table: toml::Table = text.parse().expect("it parsed a moment ago");
        let set = environment::overlay(&mut table, env)?;
        let config: Self = table.try_into().expect("it was read with each variable");
        let mut wrong: Vec<ConfigError> =
            config.mistakes().into_iter().map(|finding| diagnose::wrong(text, path, &set, finding)).collect();
        let wrong = match wrong.len() {
            0 => None,
            1 => wrong.pop(),
            _ => Some(ConfigError::Several(wrong)),
        };
        Ok((config, wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        with_env(text, &[])
    }

    fn with_env(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (config, wrong) = Config::from_text(text, Path::new("holdfast.toml"), env)?;
        wrong.map_or(Ok(config), Err)
    }

    #[test]
    fn nothing_configured_listens_on_this_machine_only() {
        let config = load("").unwrap();
        let listen = &config.listen;
        for addresses in [&listen.smtp, &listen.submission, &listen.imap, &listen.imaps, &listen.http, &listen.https] {
            assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() > 1024));
        }
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_nearest_key() {
        let message = load("hostname = \"mx.example\"\n\n[listen]\nsmpt = []\n").unwrap_err().to_string();
        assert!(message.contains("holdfast.toml:4"), "{message}");
        assert!(message.contains("smpt"), "{message}");
        assert!(message.contains("did you mean `smtp`"), "{message}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let message = load("[limits]\nmessage_size = \"huge\"\n").unwrap_err().to_string();
        assert!(message.contains("holdfast.toml:2") && message.contains("50 MiB"), "{message}");
        let message = load("[listen]\nimap = [\"here\"]\n").unwrap_err().to_string();
        assert!(message.contains("holdfast.toml:2"), "{message}");
    }

    #[test]
    fn what_a_key_takes_is_said_with_an_example() {
        for (wrong, remedy) in [
            ("[listen]\nsmtp = [\"0.0.0.0\"]\n", "\"0.0.0.0:25\""),
            ("[listen]\nsmtp = \"0.0.0.0:25\"\n", "write a list"),
            ("[limits]\nconnections = \"many\"\n", "a whole number"),
            ("[limits]\nplaintext_logins = true\n", "in quotes"),
            ("[limits]\nplaintext_logins = \"local\"\n", "loopback"),
            ("[log]\nformat = \"jsn\"\n", "did you mean `json`"),
            ("[log]\nlevel = 5\n", "in quotes"),
            ("[web]\ntrusted_proxies = [\"localhost\"]\n", "\"192.0.2.1\""),
            ("[log]\nlevel = info\n", "in quotes"),
            ("[log]\nlevel = \"a\"\nlevel = \"b\"\n", "twice"),
            ("[listen\n", "[section]"),
        ] {
            let message = load(wrong).unwrap_err().to_string();
            assert!(message.contains(remedy), "{wrong}{message}");
        }
    }

    #[test]
    fn a_certificate_without_its_key_is_refused_by_name() {
        let message = load("[tls]\ncertificate = \"/nowhere.pem\"\n").unwrap_err().to_string();
        assert!(message.contains("add tls.key") && message.contains("holdfast.toml:2"), "{message}");
    }

    #[test]
    fn an_archive_is_explained_by_the_line_of_its_own_table() {
        let recipient = continuity::archive::codec::new_identity().1;
        let good = format!("[[archive]]\nurl = \"file:///tmp/a\"\nrecipients = [\"{recipient}\"]\n");
        assert_eq!(load(&good).unwrap().archive[0].name(), "file:///tmp/a");
        let refused = |second: &str| load(&format!("{good}\n[[archive]]\n{second}")).unwrap_err().to_string();
        let message = refused("url = \"ftp://there\"\n");
        assert!(message.contains("holdfast.toml:6") && message.contains("s3://bucket"), "{message}");
        let message = refused("name = \"b\"\nurl = \"s3://bucket/x\"\n");
        assert!(message.contains("holdfast.toml:5") && message.contains("new-identity"), "{message}");
        let message = refused(&format!("url = \"file:///tmp/a\"\nrecipients = [\"{recipient}\"]\n"));
        assert!(message.contains("its own name"), "{message}");
        let message = refused("url = \"s3://bucket\"\nrecipients = [\"AGE-SECRET-KEY-1QQQ\"]\n");
        assert!(message.contains("holdfast.toml:7") && message.contains("secret"), "{message}");
        let message = refused("urll = \"s3://bucket\"\n");
        assert!(message.contains("did you mean `url`"), "{message}");
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let env = [
            ("HOLDFAST_HOSTNAME", "mx.example.org"),
            ("HOLDFAST_LISTEN__SMTP", "127.0.0.1:25, 127.0.0.2:25"),
            ("HOLDFAST_LIMITS__MESSAGE_SIZE", "10 MiB"),
            ("HOLDFAST_URL", "http://elsewhere"),
        ];
        let config = with_env("hostname = \"other\"", &env).unwrap();
        assert_eq!(config.hostname, "mx.example.org");
        assert_eq!(config.listen.smtp.len(), 2);
        assert_eq!(config.limits.message_size, ByteSize::mib(10));
    }

    fn from_environment(name: &str, value: &str) -> Result<Config, ConfigError> {
        with_env("", &[(name, value)])
    }

    #[test]
    fn a_variable_that_is_wrong_is_named() {
        let message = |name, value| from_environment(name, value).unwrap_err().to_string();
        let misspelt = message("HOLDFAST_LISTN__SMTP", "127.0.0.1:25");
        assert!(misspelt.contains("HOLDFAST_LISTN__SMTP") && misspelt.contains("HOLDFAST_LISTEN__SMTP"), "{misspelt}");
        let key = message("HOLDFAST_LISTEN__SMPT", "127.0.0.1:25");
        assert!(key.contains("HOLDFAST_LISTEN__SMPT") && key.contains("did you mean HOLDFAST_LISTEN__SMTP"), "{key}");
        let value = message("HOLDFAST_LIMITS__MESSAGE_SIZE", "huge");
        assert!(value.contains("HOLDFAST_LIMITS__MESSAGE_SIZE") && value.contains("50 MiB"), "{value}");
        let checked = message("HOLDFAST_LIMITS__CONNECTIONS", "0");
        assert!(checked.contains("HOLDFAST_LIMITS__CONNECTIONS") && checked.contains("zero"), "{checked}");
    }

    #[test]
    fn every_value_that_is_wrong_is_told_with_its_own_remedy() {
        let text = "hostname = 5\n[limits]\nmessage_size = \"huge\"\nshutdown_grace = \"soon\"\nconections = 5\n[log]\nlevel = 5\n";
        let message = load(text).unwrap_err().to_string();
        for line in [1, 3, 4, 5, 7] {
            assert!(message.contains(&format!("holdfast.toml:{line}:")), "{line}: {message}");
        }
        for remedy in ["write it as \"50 MiB\"", "\"90 s\"", "did you mean `connections`"] {
            assert!(message.contains(remedy), "{remedy}: {message}");
        }
        assert!(!message.contains("key = value"), "{message}");
        // A line that can't be skipped ends it; no error is reported twice.
        let message = load("[limits]\nmessage_size = \"huge\"\n[listen\n").unwrap_err().to_string();
        assert_eq!(message.matches("holdfast.toml:").count(), 1, "{message}");
    }

    #[test]
    fn a_data_folder_that_can_not_be_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for wrong in [file.clone(), file.join("below")] {
            let message = load(&format!("data_dir = {:?}\n", wrong.display().to_string())).unwrap_err().to_string();
            assert!(message.contains("holdfast.toml:1") && message.contains("not a folder"), "{message}");
        }
        load(&format!("data_dir = {:?}\n", dir.path().join("new/one").display().to_string())).unwrap();
    }

    #[test]
    fn several_mistakes_are_told_each_with_its_line() {
        let text = "hostname = \"a b\"\n[limits]\nconnections = 0\n";
        let message = load(text).unwrap_err().to_string();
        assert!(message.contains("holdfast.toml:1") && message.contains("holdfast.toml:3"), "{message}");
    }

    #[test]
    fn the_documented_configuration_is_the_default() {
        let documented = include_str!("../../../docs/holdfast.toml");
        let uncommented: String = documented
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let config = load(&uncommented).unwrap();
        assert_eq!(toml::to_string(&config).unwrap(), toml::to_string(&Config::default()).unwrap());
    }
}
