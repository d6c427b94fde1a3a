//! One exchange over HTTPS with a host that the DNS names: certificate checked, no redirect followed, bounded in time and size.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dnskit::Resolver;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::http::request;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::connect;
use super::hosts::{self, Host, NoHost};
use super::problem::{TlsFailure, TlsProblem};
use crate::DeliveryOptions;

/// Longest answer.
pub const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How long an exchange may take in all (RFC 8461 §3.3 suggests a minute).
const EXCHANGE_TIME: Duration = Duration::from_mins(1);
/// How long each address may take to connect.
const CONNECT_TIME: Duration = Duration::from_secs(15);

/// With whom, and by which means.
#[derive(Clone, Copy)]
pub struct Peer<'a> {
    /// Its name.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// For private networks, and where connections come from.
    pub options: &'a DeliveryOptions,
    /// Finds it.
    pub resolver: &'a dyn Resolver,
    /// Checks its certificate.
    pub tls: &'a TlsConnector,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its media type without parameters.
    pub media: String,
    /// Its body.
    pub body: Bytes,
}

/// Sends `request` with `body`, and gives the answer; its body is read only if the status is 200.
pub async fn exchange(peer: Peer<'_>, request: request::Builder, body: Bytes) -> Result<Answer, TlsProblem> {
    let slow = |_| failed(format!("no whole answer within {EXCHANGE_TIME:?}"));
    timeout(EXCHANGE_TIME, exchanged(peer, request, body)).await.map_err(slow)?
}

async fn exchanged(peer: Peer<'_>, request: request::Builder, body: Bytes) -> Result<Answer, TlsProblem> {
    let Peer { host: name, port, options, resolver, tls } = peer;
    let server = ServerName::try_from(name.to_owned()).map_err(|error| failed(error.to_string()))?;
    let host = Host::named(name.to_owned(), port);
    let addresses = hosts::addresses_of(&host, options, resolver).await.map_err(|error| match error {
        NoHost::Permanent(_, text) | NoHost::Temporary(_, text) => failed(text),
    })?;
    let tcp = connected(&addresses, options).await?;
    let stream = tls.connect(server, tcp).await.map_err(|error| {
        let problem = TlsProblem::of(&error, &format!("TLS with {name} failed"));
        TlsProblem::new(TlsFailure::StsWebpkiInvalid, problem.text)
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_ANSWER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let _ended = Ended(connection.abort_handle());
    let authority = if port == 443 { name.to_owned() } else { format!("{name}:{port}") };
    let request = request
        .header(HOST, authority)
        .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(body))
        .map_err(|error| failed(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    let (status, media) = (response.status(), media(&response));
    if status != StatusCode::OK {
        return Ok(Answer { status, media, body: Bytes::new() });
    }
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    Ok(Answer { status, media, body: body.map_err(|error| failed(format!("its body: {error}")))?.to_bytes() })
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
        match timeout(CONNECT_TIME, connect(*address, options)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("no connection within {CONNECT_TIME:?}"),
        }
    }
    Err(failed(last))
}

fn media<B>(response: &Response<B>) -> String {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn failed(why: String) -> TlsProblem {
    TlsProblem::new(TlsFailure::StsPolicyFetchError, why)
}
