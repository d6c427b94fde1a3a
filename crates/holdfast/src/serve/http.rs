//! HTTP on doorkit's connections: the webmail's router, and the pages for machines.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, HeaderName, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use continuity::{down_page::STAGE_HEADER, stage::Stage};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{proxy, unread::Unread};
use crate::{config::Limits, running::Running};

/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 100;
/// Bytes of a response that wait in memory for an HTTP/2 client, for each request.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// The largest header of a request over HTTP/2, in bytes, decoded.
const HEADER_BYTES: u32 = 16 << 10;
/// Requests that a client resets before they were looked at, until its HTTP/2 connection is closed.
const RESETS: usize = 20;
/// Requests that we reset because of a client's errors, until its HTTP/2 connection is closed.
const ERRORS: usize = 200;

/// How long clients are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For reading something of what was sent.
    read: Duration,
    /// For the header of a request, and for the answer to a ping.
    header: Duration,
}

impl Patience {
    /// As configured.
    pub const fn of(limits: &Limits) -> Self {
        Self { read: limits.client_patience.0, header: limits.request_header_patience.0 }
    }

    /// How long a connection may be open without any request on it. Until its first bytes tell which HTTP it speaks, no
    /// other limit counts.
    fn first_request(self) -> Duration {
        self.header + self.header / 3
    }
}

/// Who can read the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Every client that reaches the listener.
    Everyone,
    /// This machine itself, and not through a proxy: the listener is open to the world.
    ThisMachine,
}

/// `/health` and `/metrics`.
pub fn machine_pages(running: Arc<Running>, metrics: PrometheusHandle, told: Told) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(async move |peer, headers| self::metrics(told, &peer, &headers, &metrics)))
        .with_state(running)
}

/// 200 while people can use the web and writes are acknowledged, otherwise 503 with the reason.
async fn health(State(running): State<Arc<Running>>) -> Response {
    let services = &running.services;
    let (damage, verify) = (services.store.damage(), running.verifying.now());
    let (stopped, waiting) = (services.store.stopped(), running.primary.get().and_then(|primary| primary.waiting()));
    let full = !services.store.has_room();
    let stage = services.stages.now().stage;
    let on = stopped.is_none() && stage >= Stage::Web;
    let durable = waiting.is_none() && !full;
    let status = if on && durable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "status": match (&stopped, &waiting, full, damage.is_none()) {
            (Some(_), ..) => "stopped",
            (None, Some(_), ..) => "waiting",
            (None, None, true, _) => "full",
            (None, None, false, false) => "degraded",
            (None, None, false, true) => "ok",
        },
        "reason": stopped
            .or_else(|| waiting.map(|waiting| waiting.to_string()))
            .or_else(|| full.then(|| "the disk is full: no new data is accepted until disk space is free".to_owned()))
            .or_else(|| (!damage.is_none()).then(|| damage.to_string())),
        "damage": damage.count(),
        "verify": {
            "running_percent": verify.running.map(|running| running.percent),
            "ended_ms": verify.last.as_ref().and_then(|last| last.ended_ms),
            "damage": verify.last.as_ref().map(|last| last.damage_count),
        },
        "quarantined": damage.realms.len(),
        "stage": stage.name(),
        "tasks_failed": running.tasks.alarming().iter().map(|task| task.name).collect::<Vec<_>>(),
        "alarms": running.alarms.borrow().len(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    let stage = (HeaderName::from_static(STAGE_HEADER), if on { "on" } else { "off" });
    (status, [(header::CACHE_CONTROL, "no-store"), stage], axum::Json(body)).into_response()
}

/// Prometheus text.
fn metrics(
    told: Told,
    Extension(peer): &Extension<web::Peer>,
    headers: &HeaderMap,
    metrics: &PrometheusHandle,
) -> Response {
    if told == Told::ThisMachine && !is_this_machine(peer.addr, headers) {
        return StatusCode::NOT_FOUND.into_response();
    }
    prometheus_text(metrics)
}

/// The metrics.
pub fn prometheus_text(metrics: &PrometheusHandle) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}

fn is_this_machine(address: IpAddr, headers: &HeaderMap) -> bool {
    let forwarded = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
    address.to_canonical().is_loopback() && !forwarded
}

/// How connections are spoken with.
fn builder(patience: Patience) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.header);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(HEADER_BYTES)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERRORS)
        .keep_alive_interval(patience.header)
        .keep_alive_timeout(patience.header);
    builder
}

/// Serves one connection until it ends or the service stops. `proxies` are believed when they say whom they speak for.
pub async fn serve_connection(
    router: Router,
    conn: doorkit::Conn,
    patience: Patience,
    proxies: Arc<[IpAddr]>,
    shutdown: CancellationToken,
) {
    let peer = web::Peer { addr: conn.peer().ip().to_canonical(), tls: conn.is_tls() };
    let asked = Arc::new(AtomicBool::new(false));
    let note = asked.clone();
    let unread = Unread::new(patience.read);
    let watched = unread.clone();
    let service = TowerToHyperService::new(tower::service_fn(move |mut request: Request<Incoming>| {
        note.store(true, Ordering::Relaxed);
        let caller = proxy::caller(peer, request.headers(), &proxies);
        request.extensions_mut().insert(caller);
        let (answer, watched) = (router.clone().oneshot(request), watched.clone());
        async move {
            let response = answer.await.unwrap_or_else(|never| match never {});
            match response.extensions().get::<web::EndsWithoutAnswer>() {
                Some(_) => Err(std::io::Error::other("the outcome is unknown")),
                None => Ok(response.map(|body| watched.watch(body))),
            }
        }
    }));
    let builder = builder(patience);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(conn), service);
    tokio::pin!(connection);
    let first_request = tokio::time::sleep(patience.first_request());
    tokio::pin!(first_request);
    let look = tokio::time::sleep(patience.read);
    tokio::pin!(look);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "http connection");
                }
                return;
            }
            () = &mut first_request, if !first_request.is_elapsed() => {
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
            }
            () = &mut look => match unread.check(Instant::now()) {
                Some(next) => look.as_mut().reset(next),
                None => {
                    metrics::counter!("holdfast_doorkit_deaf_clients_total").increment(1);
                    return;
                }
            },
            () = shutdown.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_web_listener_only_this_machine_is_told_the_measurements() {
        let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
        let code = |told, peer: &str, headers: &HeaderMap| {
            let peer = Extension(web::Peer { addr: peer.parse().unwrap(), tls: false });
            super::metrics(told, &peer, headers, &metrics).status()
        };
        let (direct, mut forwarded) = (HeaderMap::new(), HeaderMap::new());
        forwarded.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        assert_eq!(code(Told::ThisMachine, "::ffff:127.0.0.1", &direct), StatusCode::OK);
        assert_eq!(code(Told::ThisMachine, "127.0.0.1", &forwarded), StatusCode::NOT_FOUND);
        assert_eq!(code(Told::ThisMachine, "192.0.2.1", &direct), StatusCode::NOT_FOUND);
        assert_eq!(code(Told::Everyone, "192.0.2.1", &direct), StatusCode::OK);
    }
}
