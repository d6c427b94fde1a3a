//! The table of listeners: what each is called, what it is for, and how it treats those who connect.
//!
//! The configuration, the printed list, the status, the error for a port in use and the tests of the documents all go by
//! this table: a new listener is a row here, and a field of [`crate::config::Listen`].

use std::{io, net::SocketAddr};

use continuity::stage::Stage;
use doorkit::Security;

/// A listener, by the key that it has in the configuration's `listen` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Smtp,
    Submission,
    Submissions,
    Lmtp,
    Imap,
    Imaps,
    Pop3,
    Pop3s,
    ManageSieve,
    Http,
    Https,
    Metrics,
    Standby,
    StandbyHttp,
    Relay,
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Mail from other servers, or from another mail server in front.
    Smtp,
    /// Mail from mail apps, with a login.
    Submission,
    Imap,
    Pop3,
    /// The scripts of accounts.
    ManageSieve,
    /// The webmail.
    Web,
    /// `/metrics` and `/health`.
    Machines,
    /// Standbys of this machine.
    Standby,
    /// Relays of this machine.
    Relay,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    pub kind: Kind,
    /// The key in the configuration; also its name in the status, the log and the metrics.
    pub name: &'static str,
    /// What it is for, in the list that `holdfast serve` prints.
    pub purpose: &'static str,
    /// Whether a connection begins with TLS.
    pub security: Security,
    pub protocol: Protocol,
    /// The port on the Internet; none for those that have no standard port.
    #[cfg_attr(not(test), expect(dead_code, reason = "the documents are held against it by a test"))]
    pub port: Option<u16>,
    /// The port on this machine when nothing is configured; none is off.
    pub trial_port: Option<u16>,
    /// The first stage in which it is open.
    pub stage: Stage,
    /// What a client reads while the stage does not include it.
    pub off: &'static [u8],
    /// What a client over a limit reads, where that can be said before TLS.
    pub busy: &'static [u8],
}

const SMTP_OFF: &[u8] = b"421 4.3.2 Service starting up, try again in a few minutes\r\n";
const IMAP_OFF: &[u8] = b"* BYE [UNAVAILABLE] Service starting up, try again in a few minutes\r\n";
const POP3_OFF: &[u8] = b"-ERR [SYS/TEMP] Service starting up, try again in a few minutes\r\n";
const SIEVE_OFF: &[u8] = b"BYE (TRYLATER) \"Service starting up, try again in a few minutes\"\r\n";
const SMTP_BUSY: &[u8] = b"421 4.7.0 Error: too many connections, try again later\r\n";
const IMAP_BUSY: &[u8] = b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n";
const POP3_BUSY: &[u8] = b"-ERR [SYS/TEMP] Too many connections, try again later\r\n";
const SIEVE_BUSY: &[u8] = b"BYE (TRYLATER) \"Too many connections, try again later\"\r\n";
const HTTP_BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// All listeners, in the order in which they are printed.
pub static LISTENERS: [Row; 15] = [
    row(Kind::Http, "http", "webmail, no TLS", Protocol::Web).on(None, Some(8080)).says(b"", HTTP_BUSY),
    row(Kind::Https, "https", "webmail, TLS", Protocol::Web).on(Some(443), Some(8443)).tls(),
    row(Kind::Imap, "imap", "IMAP clients, STARTTLS", Protocol::Imap)
        .on(Some(143), Some(2143))
        .says(IMAP_OFF, IMAP_BUSY),
    row(Kind::Imaps, "imaps", "IMAP clients, TLS", Protocol::Imap).on(Some(993), Some(2993)).says(IMAP_OFF, b"").tls(),
    row(Kind::Pop3, "pop3", "POP3 clients, STLS", Protocol::Pop3).on(Some(110), Some(2110)).says(POP3_OFF, POP3_BUSY),
    row(Kind::Pop3s, "pop3s", "POP3 clients, TLS", Protocol::Pop3).on(Some(995), Some(2995)).says(POP3_OFF, b"").tls(),
    row(Kind::ManageSieve, "managesieve", "Sieve scripts, STARTTLS", Protocol::ManageSieve)
        .on(Some(4190), Some(4190))
        .says(SIEVE_OFF, SIEVE_BUSY),
    row(Kind::Submission, "submission", "submission, STARTTLS", Protocol::Submission)
        .on(Some(587), Some(2587))
        .says(SMTP_OFF, SMTP_BUSY),
    row(Kind::Submissions, "submissions", "submission, TLS", Protocol::Submission)
        .on(Some(465), Some(2465))
        .says(SMTP_OFF, b"")
        .tls(),
    row(Kind::Smtp, "smtp", "incoming mail, STARTTLS", Protocol::Smtp)
        .on(Some(25), Some(2525))
        .says(SMTP_OFF, SMTP_BUSY),
    row(Kind::Lmtp, "lmtp", "local delivery, no login", Protocol::Smtp).says(SMTP_OFF, SMTP_BUSY),
    row(Kind::Metrics, "metrics", "/metrics and /health", Protocol::Machines).says(b"", HTTP_BUSY),
    // It begins TLS of its own, with the keys of paired machines.
    row(Kind::Standby, "standby", "paired standbys", Protocol::Standby),
    row(Kind::Relay, "relay", "paired relays", Protocol::Relay),
    row(Kind::StandbyHttp, "standby_http", "/metrics and /health", Protocol::Machines),
];

const fn row(kind: Kind, name: &'static str, purpose: &'static str, protocol: Protocol) -> Row {
    let stage = match protocol {
        Protocol::Web | Protocol::Machines | Protocol::Standby | Protocol::Relay => Stage::Dark,
        Protocol::Imap | Protocol::Pop3 | Protocol::ManageSieve | Protocol::Submission => Stage::Clients,
        Protocol::Smtp => Stage::Queues,
    };
    Row {
        kind,
        name,
        purpose,
        security: Security::Plain,
        protocol,
        port: None,
        trial_port: None,
        stage,
        off: b"",
        busy: b"",
    }
}

impl Row {
    const fn on(self, port: Option<u16>, trial_port: Option<u16>) -> Self {
        Self { port, trial_port, ..self }
    }

    const fn says(self, off: &'static [u8], busy: &'static [u8]) -> Self {
        Self { off, busy, ..self }
    }

    const fn tls(self) -> Self {
        Self { security: Security::Tls, ..self }
    }

    /// Whether it has long sessions that all reconnect at once after an outage.
    pub const fn has_sessions(&self) -> bool {
        matches!(self.protocol, Protocol::Imap | Protocol::Pop3)
    }

    /// Whether mail apps log in here.
    pub const fn has_logins(&self) -> bool {
        matches!(self.protocol, Protocol::Imap | Protocol::Pop3 | Protocol::ManageSieve | Protocol::Submission)
    }

    /// The error when an address can't be listened on.
    pub fn refused(&self, address: SocketAddr, error: &io::Error) -> String {
        format!("{}: can't listen on {address}: {error}", self.name)
    }

    /// The same with what to do.
    pub fn refused_with_remedy(&self, address: SocketAddr, error: &io::Error) -> String {
        format!("{}\n  {REMEDY}", self.refused(address, error))
    }

    /// Its line in the list of open listeners: programs can parse it, the name and the address come first.
    pub fn line(&self, address: SocketAddr) -> String {
        format!("  {:<12} {:<21} {}", self.name, address.to_string(), self.purpose)
    }
}

/// What to do about an address that can't be listened on.
pub const REMEDY: &str =
    "remedy: stop the program that uses the port, or choose another port in the configuration (listen.NAME)";

impl Kind {
    /// Its row of the table.
    pub fn row(self) -> &'static Row {
        LISTENERS.iter().find(|row| row.kind == self).expect("each listener has a row: the test below goes through all")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Listen;

    #[test]
    fn each_listener_has_a_row_and_each_row_is_configured_by_its_name() {
        let keys = toml::Table::try_from(Listen::default()).unwrap();
        let names: BTreeSet<&str> = LISTENERS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), LISTENERS.len(), "no name is there twice");
        assert_eq!(names, keys.keys().map(String::as_str).collect());
        for (number, row) in LISTENERS.iter().enumerate() {
            assert_eq!(row.kind.row().name, row.name);
            // Only the list of this row's key is set, so that each reads its own.
            let address = SocketAddr::from(([192, 0, 2, 1], 10_000 + u16::try_from(number).unwrap()));
            let mut table = toml::Table::new();
            for name in &names {
                table.insert((*name).to_owned(), toml::Value::Array(Vec::new()));
            }
            table.insert(row.name.to_owned(), toml::Value::Array(vec![address.to_string().into()]));
            let listen: Listen = table.try_into().unwrap();
            for other in &LISTENERS {
                let expected: &[SocketAddr] = if other.kind == row.kind { &[address] } else { &[] };
                assert_eq!(listen.of(other.kind), expected, "{} {}", row.name, other.name);
            }
        }
    }

    #[test]
    fn what_is_said_fits_the_protocol_and_nothing_is_said_in_the_clear_to_those_who_expect_tls() {
        for row in &LISTENERS {
            assert!(row.security == Security::Plain || row.busy.is_empty(), "{}", row.name);
            let starts = match row.protocol {
                Protocol::Smtp | Protocol::Submission => "421 ",
                Protocol::Imap => "* BYE ",
                Protocol::Pop3 => "-ERR ",
                Protocol::ManageSieve => "BYE (TRYLATER) ",
                Protocol::Web | Protocol::Machines | Protocol::Standby | Protocol::Relay => "HTTP/1.1 503 ",
            };
            for said in [row.off, row.busy].into_iter().filter(|said| !said.is_empty()) {
                assert!(said.starts_with(starts.as_bytes()) && said.ends_with(b"\r\n"), "{}", row.name);
            }
        }
    }

    /// The documents name each listener, and each port beside the listener that has it.
    #[test]
    fn the_documents_go_by_the_table() {
        let (install, all_keys) =
            (include_str!("../../../docs/install.md"), include_str!("../../../docs/holdfast.toml"));
        let firewall: Vec<&str> = install.lines().filter(|line| line.starts_with('|')).collect();
        for row in &LISTENERS {
            let key = format!("{} ", row.name);
            let set = |line: &str| line.trim_start_matches("#: ").starts_with(&key);
            assert!(all_keys.lines().any(set), "holdfast.toml: {}", row.name);
            let quoted = format!("`{}`", row.name);
            let Some(port) = row.port.map(|port| port.to_string()) else { continue };
            let has = |line: &&str| {
                line.contains(&quoted) && line.split(|c: char| !c.is_ascii_digit()).any(|number| number == port)
            };
            assert!(firewall.iter().any(has), "install.md: {} has port {port}", row.name);
        }
    }
}
