//! Fetching a policy over HTTPS (RFC 8461 §3.3).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dnskit::Resolver;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Policy;
use crate::DeliveryOptions;
use crate::outbound::hosts::{self, Host, NoHost};
use crate::outbound::problem::{TlsFailure, TlsProblem};

/// Longest policy.
pub const MAX_POLICY_BYTES: usize = 64 << 10;
/// How long a fetch may take in all (RFC 8461 §3.3 suggests a minute).
const FETCH_TIME: Duration = Duration::from_mins(1);
/// How long each address may take to connect.
const CONNECT_TIME: Duration = Duration::from_secs(15);

/// Fetches the policy of `domain`: with a certificate for the policy host's name, following no redirect.
pub async fn policy(
    domain: &str,
    options: &DeliveryOptions,
    resolver: &dyn Resolver,
    tls: &TlsConnector,
) -> Result<Policy, TlsProblem> {
    let slow = |_| failed(format!("no whole answer within {FETCH_TIME:?}"));
    let body = timeout(FETCH_TIME, fetched(domain, options, resolver, tls)).await.map_err(slow)??;
    Policy::parse(&body).map_err(|error| {
        TlsProblem::new(TlsFailure::StsPolicyInvalid, format!("the MTA-STS policy of {domain} is not valid: {error}"))
    })
}

async fn fetched(
    domain: &str,
    options: &DeliveryOptions,
    resolver: &dyn Resolver,
    tls: &TlsConnector,
) -> Result<Bytes, TlsProblem> {
    let name = format!("mta-sts.{domain}");
    let server = ServerName::try_from(name.clone()).map_err(|error| failed(error.to_string()))?;
    let host = Host::named(name.clone(), options.sts_port);
    let addresses = hosts::addresses_of(&host, options, resolver).await.map_err(|error| match error {
        NoHost::Permanent(_, text) | NoHost::Temporary(_, text) => failed(text),
    })?;
    let tcp = connected(&addresses, options).await?;
    let stream = tls.connect(server, tcp).await.map_err(|error| {
        let problem = TlsProblem::of(&error, &format!("TLS with {name} failed"));
        TlsProblem::new(TlsFailure::StsWebpkiInvalid, problem.text)
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_POLICY_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(error.to_string()))?;
    // It ends with the sender, or with its task.
    let connection = tokio::spawn(connection);
    let _ended = Ended(connection.abort_handle());
    let authority = if options.sts_port == 443 { name } else { format!("{name}:{}", options.sts_port) };
    let request = Request::get("/.well-known/mta-sts.txt")
        .header(HOST, authority)
        .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    check(&response)?;
    let body = Limited::new(response.into_body(), MAX_POLICY_BYTES).collect().await;
    Ok(body.map_err(|error| failed(format!("its body: {error}")))?.to_bytes())
}

/// Ends the task of a connection.
struct Ended(tokio::task::AbortHandle);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connected(addresses: &[SocketAddr], options: &DeliveryOptions) -> Result<TcpStream, TlsProblem> {
    let mut last = "it has no address".to_owned();
    for address in addresses {
        match timeout(CONNECT_TIME, crate::outbound::connection::connect(*address, options)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("no connection within {CONNECT_TIME:?}"),
        }
    }
    Err(failed(last))
}

/// 200 with text, and nothing else.
fn check<B>(response: &Response<B>) -> Result<(), TlsProblem> {
    if response.status() != StatusCode::OK {
        let more = if response.status().is_redirection() { " (redirects are not followed)" } else { "" };
        return Err(failed(format!("HTTP status {}{more}", response.status().as_u16())));
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("text/plain") {
        return Ok(());
    }
    Err(failed("the answer is not text/plain".to_owned()))
}

fn failed(why: String) -> TlsProblem {
    TlsProblem::new(TlsFailure::StsPolicyFetchError, format!("the MTA-STS policy could not be fetched: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_text_with_200_is_a_policy() {
        let answer = |status: u16, kind: Option<&str>| {
            let mut response = Response::builder().status(status);
            if let Some(kind) = kind {
                response = response.header(CONTENT_TYPE, kind);
            }
            check(&response.body(()).unwrap()).is_ok()
        };
        assert!(answer(200, Some("text/plain")) && answer(200, Some("Text/Plain; charset=us-ascii")));
        for status in [201, 204, 301, 302, 307, 308, 404, 500] {
            assert!(!answer(status, Some("text/plain")), "{status}");
        }
        for kind in [None, Some("text/html"), Some("text/plainer"), Some("application/octet-stream")] {
            assert!(!answer(200, kind), "{kind:?}");
        }
    }
}
