//! The MTA-STS policies of hosted domains (RFC 8461 section 3.3), by the host that is asked: `mta-sts.example.org`.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use domaincheck::Policy;

use super::ways::{answer, host, unknown};
use crate::site::Site;

pub async fn show(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Response {
    let host = host(&uri, &headers);
    let mode = host.strip_prefix("mta-sts.").and_then(|domain| site.directory.mta_sts_of(domain).ok()?);
    match mode {
        Some(mode) => answer("text/plain; charset=us-ascii", Policy::of(&site.checks.service(), mode).text),
        None => unknown(),
    }
}
