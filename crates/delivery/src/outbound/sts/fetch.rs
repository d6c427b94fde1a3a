//! Fetching a policy over HTTPS (RFC 8461 §3.3).

use bytes::Bytes;
use dnskit::Resolver;
use hyper::{Request, StatusCode};
use tokio_rustls::TlsConnector;

use super::Policy;
use crate::DeliveryOptions;
use crate::outbound::https::{self, Answer, Peer};
use crate::outbound::problem::{TlsFailure, TlsProblem};

/// Fetches the policy of `domain`: with a certificate for the policy host's name, following no redirect.
pub async fn policy(
    domain: &str,
    options: &DeliveryOptions,
    resolver: &dyn Resolver,
    tls: &TlsConnector,
) -> Result<Policy, TlsProblem> {
    let host = format!("mta-sts.{domain}");
    let peer = Peer { host: &host, port: options.sts_port, options, resolver, tls };
    let request = Request::get("/.well-known/mta-sts.txt");
    let answer = https::exchange(peer, request, Bytes::new()).await;
    let answer = answer.map_err(|problem| TlsProblem { text: not_fetched(&problem.text), ..problem })?;
    check(&answer)?;
    parsed(domain, &answer.body)
}

fn parsed(domain: &str, body: &[u8]) -> Result<Policy, TlsProblem> {
    Policy::parse(body).map_err(|error| {
        TlsProblem::new(TlsFailure::StsPolicyInvalid, format!("the MTA-STS policy of {domain} is not valid: {error}"))
    })
}

/// A policy that can't be read: why, and whether its host was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// In words.
    pub why: String,
    /// Something answered there: others can't read it either.
    pub reached: bool,
}

/// The policy of `domain` as others read it now, to check one's own.
pub async fn looked_at(
    domain: &str,
    options: &DeliveryOptions,
    resolver: &dyn Resolver,
    tls: &TlsConnector,
) -> Result<Policy, Unread> {
    let host = format!("mta-sts.{domain}");
    let peer = Peer { host: &host, port: options.sts_port, options, resolver, tls };
    let answer = https::exchange(peer, Request::get("/.well-known/mta-sts.txt"), Bytes::new()).await;
    let answer = answer
        .map_err(|problem| Unread { reached: problem.kind == TlsFailure::StsWebpkiInvalid, why: problem.text })?;
    let unread = |problem: TlsProblem| Unread { why: problem.text, reached: true };
    check(&answer).map_err(unread)?;
    parsed(domain, &answer.body).map_err(unread)
}

/// 200 with text, and nothing else.
fn check(answer: &Answer) -> Result<(), TlsProblem> {
    let status = answer.status;
    let why = if status != StatusCode::OK {
        let more = if status.is_redirection() { " (redirects are not followed)" } else { "" };
        format!("HTTP status {}{more}", status.as_u16())
    } else if answer.media != "text/plain" {
        "the answer is not text/plain".to_owned()
    } else {
        return Ok(());
    };
    Err(TlsProblem::new(TlsFailure::StsPolicyFetchError, not_fetched(&why)))
}

fn not_fetched(why: &str) -> String {
    format!("the MTA-STS policy could not be fetched: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_text_with_200_is_a_policy() {
        let passes = |status: u16, media: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            check(&Answer { status, media: media.to_owned(), body: Bytes::new() }).is_ok()
        };
        assert!(passes(200, "text/plain"));
        for status in [201, 204, 301, 302, 307, 308, 404, 500] {
            assert!(!passes(status, "text/plain"), "{status}");
        }
        for media in ["", "text/html", "text/plainer", "application/octet-stream"] {
            assert!(!passes(200, media), "{media}");
        }
    }
}
