//! SPF (RFC 7208): whether a host may send in a domain's name.

mod evaluate;
mod macros;
mod record;

use std::net::IpAddr;

use dnskit::Resolver;

use super::outcome::Outcome;
pub use evaluate::{MAX_LOOKUPS, MAX_VOID_LOOKUPS};

/// Who is asked about.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The client.
    pub ip: IpAddr,
    /// What it called itself.
    pub helo: &'a str,
    /// The local part of the sender; empty is `postmaster`.
    pub local: &'a str,
    /// The domain that is asked about: the sender's, or the HELO name.
    pub domain: &'a str,
    /// Our own name, for explanations.
    pub receiver: &'a str,
    /// The time, seconds since 1970 UTC, for explanations.
    pub now: i64,
}

/// What SPF says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpfResult {
    /// The result.
    pub outcome: Outcome,
    /// Who was asked about.
    pub domain: String,
    /// Why, if it is `fail` and the domain says so. A stranger's words, printable ASCII.
    pub explanation: Option<String>,
}

/// Asks about a host (`check_host()` of RFC 7208 section 4).
pub async fn check(query: &Query<'_>, resolver: &dyn Resolver) -> SpfResult {
    let domain = query.domain.trim_end_matches('.').to_ascii_lowercase();
    if !macros::is_domain(&domain) || !domain.contains('.') {
        return SpfResult { domain, ..SpfResult::default() };
    }
    let (outcome, explanation) = evaluate::Evaluation::new(query, resolver).whole(&domain).await;
    SpfResult { outcome, domain, explanation }
}
