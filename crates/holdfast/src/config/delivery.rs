//! `[delivery]`: mail on its way out.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::Span;

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
    /// What happens to outgoing mail that can't be signed because the secrets key is missing.
    pub unsigned: UnsignedMail,
    /// Whether certificates that DNSSEC proves are demanded of mail servers (RFC 7672).
    pub dane: Dane,
    /// Whether policies of domains about the way to their mail servers are obeyed (RFC 8461).
    pub mta_sts: bool,
    /// PEM file with authorities whose certificates are trusted beyond those that the machine trusts.
    pub authorities: Option<PathBuf>,
    /// Domains to which mail goes without regard to their policies.
    pub tls_exceptions: BTreeMap<String, TlsException>,
}

/// Whether certificates that DNSSEC proves are demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dane {
    /// Never.
    Off,
    /// Where this machine's name servers pass on signatures.
    Opportunistic,
    /// Mail waits while they don't.
    On,
}

/// Mail to a domain goes without regard to its policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsException {
    /// Why, for whoever sees it in the queue.
    pub reason: String,
    /// The last day of it, `2026-12-31`, to its end in UTC.
    pub until: Option<String>,
}

impl TlsException {
    /// When it ends, milliseconds since 1970; `None`: never.
    ///
    /// # Errors
    /// When `until` is no date.
    pub fn ends_ms(&self) -> Result<Option<i64>, String> {
        let Some(until) = &self.until else { return Ok(None) };
        let day: jiff::civil::Date = until.parse().map_err(|_| "is not a date".to_owned())?;
        let next = day.tomorrow().map_err(|error| error.to_string())?.to_datetime(jiff::civil::Time::midnight());
        let ends = jiff::tz::TimeZone::UTC.to_timestamp(next).map_err(|error| error.to_string())?;
        Ok(Some(ends.as_millisecond()))
    }
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

/// What happens to outgoing mail whose DKIM keys are sealed under a key that is not at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnsignedMail {
    /// It waits in the queue.
    Defer,
    /// It goes out without a signature.
    Send,
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
            unsigned: UnsignedMail::Defer,
            dane: Dane::Opportunistic,
            mta_sts: true,
            authorities: None,
            tls_exceptions: BTreeMap::new(),
        }
    }
}
