//! The options of delivery, each with its default.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::sending::SendingLimits;
use rustls::pki_types::CertificateDer;

use crate::{DeliveryError, Result};

/// How mail is accepted, queued and sent. `Default` fits a machine that delivers by MX itself.
#[derive(Clone, Debug)]
pub struct DeliveryOptions {
    /// Our name in EHLO, Received lines and reports. It should resolve to this machine and back. Default `localhost`.
    pub hostname: String,
    /// Waits between attempts. Default [`RetrySchedule::default`].
    pub retry: RetrySchedule,
    /// After how long the sender gets one delay warning. Default 4 hours.
    pub delay_warning: Duration,
    /// After how long a message is given up and returned. Default 5 days (RFC 5321 §4.5.4.1: at least 4 to 5).
    pub expiry: Duration,
    /// Attempts running at once. Default 64.
    pub max_concurrent: usize,
    /// How many of them backlog may take; the rest is kept for fresh mail. Default 48.
    pub max_concurrent_backlog: usize,
    /// Connections to one destination at once. Default 4.
    pub max_per_destination: usize,
    /// Most recipients of one message on one connection; more go in further turns. Default 100 (RFC 5321 §4.5.3.1.8).
    pub max_recipients_per_transaction: usize,
    /// The most recipients of one message. Default 1,000.
    pub max_recipients: usize,
    /// The largest accepted message. Default 50 MiB.
    pub max_message_bytes: u64,
    /// Memory for messages that are coming in, in all. Beyond it even small ones are spooled to disk, so that thousands
    /// of clients that stall in the middle of a message can't fill the memory. Default 256 MiB.
    pub max_incoming_memory_bytes: usize,
    /// Most `Received:` lines a message may have before it counts as looping. Default 100 (RFC 5321 §6.3).
    pub max_hops: usize,
    /// Most `Received:` lines that say `by` this host. Default 10.
    pub max_own_hops: usize,
    /// Shortest and longest pause of a next hop that does not respond; doubled each time in a row.
    /// Default 30 seconds and 15 minutes.
    pub rest_of_dead_hosts: (Duration, Duration),
    /// How long an idle connection is kept for the next message to the same host. Default 10 seconds.
    pub keep_connection: Duration,
    /// Most messages over one connection. Default 100.
    pub max_messages_per_connection: usize,
    /// Waits of the SMTP client. Default as RFC 5321 §4.5.3.2.
    pub timeouts: Timeouts,
    /// TLS towards other servers. Default [`TlsPolicy::Opportunistic`].
    pub tls: TlsPolicy,
    /// Whether certificates that DNSSEC proves are demanded (RFC 7672). Default [`DaneUse::Opportunistic`].
    pub dane: DaneUse,
    /// Whether policies of domains about the way to their servers are obeyed (RFC 8461). Default true.
    pub mta_sts: bool,
    /// Port of the web servers that have these policies. Default 443; other values are for laboratories.
    pub sts_port: u16,
    /// Authorities that are trusted beyond those of the machine, DER. Default none.
    pub further_authorities: Vec<CertificateDer<'static>>,
    /// Domains (lower case, ASCII form) to which mail goes without regard to their policies. Default empty.
    pub tls_exceptions: BTreeMap<String, TlsException>,
    /// Everything for other domains goes here instead of to their MX. Default none.
    pub smarthost: Option<Smarthost>,
    /// Domains (lower case, ASCII form) with a fixed next hop; goes before the smarthost and MX. Default empty.
    pub static_routes: BTreeMap<String, NextHop>,
    /// Local address of outgoing connections. Default: the system's choice.
    pub bind: Option<IpAddr>,
    /// Addresses we listen on: never connected to, so that a wrong route can not loop. Default empty.
    pub own_addresses: Vec<SocketAddr>,
    /// Port of MX hosts. Default 25; other values are for laboratories.
    pub mx_port: u16,
    /// Connect to loopback and unspecified addresses that the DNS gave for an MX. Default false.
    pub allow_loopback_mx: bool,
    /// Connect to addresses of private networks that the DNS or an address literal gave. Off, so that nobody can feel out
    /// the network behind the server with mail; fixed routes and the smarthost may be there all the same. Default false.
    pub allow_private_networks: bool,
    /// The From addresses allowed for authenticated senders. Default [`Authors::Own`].
    pub authors: Authors,
    /// What happens to a message that can't be signed because its domain's DKIM keys are sealed and the key to them is missing.
    /// Default [`Unsigned::Defer`].
    pub unsigned: Unsigned,
    /// What accounts may send to other servers. Default [`SendingLimits::default`].
    pub sending: SendingLimits,
    /// Most reports within an hour about mail from strangers that go to one domain elsewhere: their sender may be forged.
    /// Default 100.
    pub max_reports_per_destination: u32,
    /// The same about mail from one network (/24 or /64). Default 50.
    pub max_reports_per_peer: u32,
    /// How long the judges of a message may take in all, from its last byte on. Default 20 seconds: a client waits 10
    /// minutes for the reply (RFC 5321 §4.5.3.2.6).
    pub verdict_time: Duration,
    /// By LMTP another server gives us mail whose `Authentication-Results` in our name it wrote itself: they stay. Default
    /// false.
    pub trust_lmtp_results: bool,
    /// How long the receipt of a submission answers a repeated Send. Default 14 days.
    pub keep_receipts: Duration,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            retry: RetrySchedule::default(),
            delay_warning: Duration::from_hours(4),
            expiry: Duration::from_hours(5 * 24),
            max_concurrent: 64,
            max_concurrent_backlog: 48,
            max_per_destination: 4,
            max_recipients_per_transaction: 100,
            max_recipients: 1_000,
            max_message_bytes: 50 << 20,
            max_incoming_memory_bytes: 256 << 20,
            max_hops: 100,
            max_own_hops: 10,
            rest_of_dead_hosts: (Duration::from_secs(30), Duration::from_mins(15)),
            keep_connection: Duration::from_secs(10),
            max_messages_per_connection: 100,
            timeouts: Timeouts::default(),
            tls: TlsPolicy::Opportunistic,
            dane: DaneUse::Opportunistic,
            mta_sts: true,
            sts_port: 443,
            further_authorities: Vec::new(),
            tls_exceptions: BTreeMap::new(),
            smarthost: None,
            static_routes: BTreeMap::new(),
            bind: None,
            own_addresses: Vec::new(),
            mx_port: 25,
            allow_loopback_mx: false,
            allow_private_networks: false,
            authors: Authors::Own,
            unsigned: Unsigned::Defer,
            sending: SendingLimits::default(),
            max_reports_per_destination: 100,
            max_reports_per_peer: 50,
            verdict_time: Duration::from_secs(20),
            trust_lmtp_results: false,
            keep_receipts: Duration::from_hours(14 * 24),
        }
    }
}

impl DeliveryOptions {
    /// Whether the options make sense together.
    pub fn check(&self) -> Result<()> {
        let bad = |option, problem: &str| Err(DeliveryError::BadOption { option, problem: problem.to_owned() });
        if self.hostname.is_empty()
            || !self.hostname.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.[]:_".contains(&b))
        {
            return bad("hostname", "must be a host name in ASCII form, such as mail.example.com");
        }
        if self.retry.waits.is_empty() {
            return bad("retry", "needs at least one wait");
        }
        if self.max_concurrent == 0 || self.max_per_destination == 0 {
            return bad("max_concurrent", "must be at least 1");
        }
        if self.max_recipients == 0 || self.max_recipients_per_transaction == 0 {
            return bad("max_recipients", "must be at least 1");
        }
        self.sending.check()?;
        if let Some(smarthost) = &self.smarthost
            && smarthost.credentials.is_some()
            && matches!(smarthost.tls, TlsPolicy::Off | TlsPolicy::Opportunistic)
            && !smarthost.hop.implicit_tls
        {
            return bad("smarthost", "a password is only sent under TLS: set its TLS policy to require or verify");
        }
        Ok(())
    }
}

/// How long to wait before each next attempt. The last wait repeats until the message expires.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySchedule {
    /// Waits after the first, second, ... failed attempt.
    pub waits: Vec<Duration>,
    /// Each wait is made longer or shorter by up to this share, so that a burst does not come back as a burst. 0..=1.
    pub jitter: f64,
}

impl Default for RetrySchedule {
    /// 1, 5, 15, 30 minutes; 1, 2, 4 hours, then every 4 hours; jitter of 10 %. Short at first for greylisting.
    fn default() -> Self {
        let waits = [1, 5, 15, 30, 60, 120, 240].map(Duration::from_mins).to_vec();
        Self { waits, jitter: 0.1 }
    }
}

impl RetrySchedule {
    /// The wait after failed attempt number `attempt` (from 1), with `random` in 0..1 deciding the jitter.
    pub fn wait(&self, attempt: u32, random: f64) -> Duration {
        let index = (attempt.max(1) as usize - 1).min(self.waits.len().saturating_sub(1));
        let wait = self.waits.get(index).copied().unwrap_or(Duration::from_hours(4));
        let jitter = self.jitter.clamp(0.0, 1.0) * (random.clamp(0.0, 1.0) * 2.0 - 1.0);
        wait.mul_f64(1.0 + jitter)
    }
}

/// The authors (`From:`) allowed for authenticated senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authors {
    /// The account's own addresses.
    Own,
    /// These, and addresses in domains that are not ours.
    Foreign,
    /// Anybody.
    Any,
}

/// What happens to a message that can't be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// It waits in the queue until it can be.
    Defer,
    /// It goes out without a signature.
    Send,
}

/// TLS towards another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsPolicy {
    /// Plain text only.
    Off,
    /// STARTTLS when offered, whatever the certificate; plain text when there is none or the handshake fails.
    /// Protects against eavesdropping, not against impersonation: DANE and MTA-STS do.
    Opportunistic,
    /// STARTTLS or nothing, whatever the certificate.
    Require,
    /// STARTTLS with a certificate for the host's name from a public authority, or nothing.
    Verify,
}

/// Whether certificates that DNSSEC proves are demanded (RFC 7672).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaneUse {
    /// Never.
    Off,
    /// Where the resolver gives answers that can be validated.
    Opportunistic,
    /// Mail waits while the resolver gives none.
    On,
}

/// Mail to a domain goes without regard to its policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsException {
    /// Why, for whoever sees it in the queue.
    pub reason: String,
    /// When it ends, milliseconds since 1970 UTC; `None`: never.
    pub until_ms: Option<i64>,
    /// The same for people.
    pub until: Option<String>,
}

impl std::fmt::Display for TlsException {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.until {
            Some(until) => write!(f, "{} (until {until})", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// A server to hand mail to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS from the first byte (port 465), rather than STARTTLS.
    pub implicit_tls: bool,
}

impl NextHop {
    /// A hop without implicit TLS.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, implicit_tls: false }
    }
}

/// A server that relays all our mail for other domains.
#[derive(Clone, Debug)]
pub struct Smarthost {
    /// Where.
    pub hop: NextHop,
    /// How it must be secured.
    pub tls: TlsPolicy,
    /// With which user name and password, if any.
    pub credentials: Option<Credentials>,
}

/// User name and password for a smarthost.
#[derive(Clone)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, …)", self.username)
    }
}

/// How long the SMTP client waits for each answer (RFC 5321 §4.5.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TCP connection. Default 30 seconds.
    pub connect: Duration,
    /// For the greeting. Default 5 minutes.
    pub greeting: Duration,
    /// For the TLS handshake. Default 1 minute.
    pub tls: Duration,
    /// For EHLO, AUTH, MAIL, RCPT. Default 5 minutes.
    pub command: Duration,
    /// For the answer to DATA. Default 2 minutes.
    pub data: Duration,
    /// For each block of the message to go out. Default 3 minutes.
    pub block: Duration,
    /// For the answer to the message. Default 10 minutes.
    pub done: Duration,
    /// For QUIT. Default 5 seconds: nothing depends on it.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            greeting: Duration::from_mins(5),
            tls: Duration::from_mins(1),
            command: Duration::from_mins(5),
            data: Duration::from_mins(2),
            block: Duration::from_mins(3),
            done: Duration::from_mins(10),
            quit: Duration::from_secs(5),
        }
    }
}

/// When messages whose time is over, but that are being delivered at this moment, are looked at again.
pub(crate) const LOOK_AGAIN_MS: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_start_quickly_and_never_stop_before_expiry() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.wait(1, 0.5), Duration::from_mins(1));
        assert_eq!(schedule.wait(7, 0.5), Duration::from_hours(4));
        assert_eq!(schedule.wait(1_000, 0.5), Duration::from_hours(4));
        assert_eq!(schedule.wait(0, 0.5), Duration::from_mins(1));
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let schedule = RetrySchedule::default();
        for random in [0.0, 0.3, 1.0] {
            let wait = schedule.wait(2, random).as_secs_f64();
            assert!((269.9..=330.1).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn a_password_is_never_configured_over_plain_text() {
        let credentials = Some(Credentials { username: "u".into(), password: "p".into() });
        let hop = NextHop::new("relay.example", 587);
        let smarthost = Some(Smarthost { hop, tls: TlsPolicy::Opportunistic, credentials });
        let options = DeliveryOptions { smarthost, ..DeliveryOptions::default() };
        assert!(matches!(options.check(), Err(DeliveryError::BadOption { option: "smarthost", .. })));
        assert!(!format!("{options:?}").contains("\"p\""));
    }
}
