//! `/health` and `/metrics` of a standby, so that monitoring notices if it fails. The other listeners are closed; this
//! is a separate address (`listen.standby_http`), which closes when the machine is promoted.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use continuity::{down_page::STAGE_HEADER, standby::Standby};
use doorkit::{ListenOptions, Listener};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use super::alarms;
use crate::{
    config::Config,
    listeners::Kind,
    machine,
    serve::http,
    supervisor::{Phase, Supervisor},
};

/// Concurrent connections: only monitoring connects here.
const MAX_CONNECTIONS: usize = 100;
/// How long a response in progress may delay the shutdown.
const GRACE: Duration = Duration::from_millis(200);
/// How often measurements are gathered into their summaries.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Watched {
    standby: Arc<Standby>,
    config: Arc<Config>,
    metrics: PrometheusHandle,
}

/// Binds the configured addresses.
pub fn bind(config: &Config) -> anyhow::Result<Vec<Listener>> {
    let row = Kind::StandbyHttp.row();
    let mut listeners = Vec::new();
    for &address in config.listen.of(row.kind) {
        let options = ListenOptions {
            name: row.name,
            max_connections: MAX_CONNECTIONS,
            max_per_network: MAX_CONNECTIONS,
            grace: GRACE,
            ..ListenOptions::default()
        };
        let bound = Listener::bind(address, options);
        let listener = bound.map_err(|error| anyhow::anyhow!(row.refused_with_remedy(address, &error)))?;
        println!("{}", row.line(listener.local_addr()?));
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Answers and measures until stopped. The addresses are free once all of it has ended.
pub fn serve(
    listeners: Vec<Listener>,
    standby: Arc<Standby>,
    config: Arc<Config>,
    metrics: PrometheusHandle,
    supervisor: &mut Supervisor,
) {
    let patience = http::Patience::of(&config.limits);
    let watched = Watched { standby, config, metrics };
    let router = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(async |State(watched): State<Watched>| measured(&watched)))
        .with_state(watched.clone());
    for listener in listeners {
        let router = router.clone();
        supervisor.essential(Phase::Sessions, Kind::StandbyHttp.row().name, move |stop| async move {
            let ends = stop.clone();
            let serve =
                move |conn| http::serve_connection(router.clone(), conn, patience, Arc::default(), ends.clone());
            listener.serve_plain(stop, serve).await;
            Ok(())
        });
    }
    supervisor.kept_up(Phase::Work, "metrics", move |stop| keep_measuring(watched.clone(), stop));
}

async fn keep_measuring(watched: Watched, stop: CancellationToken) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = every.tick() => {
                measure(&watched);
                watched.metrics.run_upkeep();
            }
        }
    }
    leave_off();
    Ok(())
}

/// 200 while it follows, and nothing is held or damaged; 503 with the reason otherwise.
async fn health(State(watched): State<Watched>) -> Response {
    let status = watched.standby.status();
    let (away, held) = (alarms::away(&status), alarms::held(&status));
    let state = match (&away, held.is_empty()) {
        _ if status.full => "full",
        (None, true) => "ok",
        (None, false) => "held",
        (Some(_), _) => "away",
    };
    let code = if state == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reason: Vec<String> = away.into_iter().chain(held).collect();
    let body = serde_json::json!({
        "status": state,
        "role": "standby",
        "reason": (!reason.is_empty()).then(|| reason.join("; ")),
        "received": status.received.0,
        "applied": status.applied.0,
        "behind": status.behind(),
        "alarms": alarms::alarms(&status, &watched.config, watched.standby.store().as_ref()).len(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    // Nobody is to be sent here to read mail.
    let stage = (HeaderName::from_static(STAGE_HEADER), "off");
    (code, [(header::CACHE_CONTROL, "no-store"), stage], axum::Json(body)).into_response()
}

fn measured(watched: &Watched) -> Response {
    measure(watched);
    http::prometheus_text(&watched.metrics)
}

fn measure(watched: &Watched) {
    let (standby, dir) = (&watched.standby, &watched.config.data_dir);
    let status = standby.status();
    machine::measure_process(dir, machine::Role::Standby);
    metrics::gauge!("holdfast_standby_following").set(f64::from(u8::from(status.connected)));
    // Absent until it is known: no number would be true.
    if let Some(complete_ms) = status.complete_ms {
        let behind_ms = jiff::Timestamp::now().as_millisecond().saturating_sub(complete_ms).max(0);
        metrics::gauge!("holdfast_standby_behind_seconds").set(behind_ms as f64 / 1000.0);
    }
    let unapplied = status.received.0.saturating_sub(status.applied.0);
    metrics::gauge!("holdfast_standby_unapplied_commits").set(unapplied as f64);
    metrics::gauge!("holdfast_standby_tripped").set(f64::from(u8::from(status.tripped.is_some())));
    metrics::gauge!("holdfast_standby_held_realms").set(status.held.len() as f64);
    metrics::gauge!("holdfast_standby_damaged_bodies").set(status.damaged as f64);
    if let Some(epoch) = standby.store().and_then(|store| store.snapshot().epoch().ok()) {
        metrics::gauge!("holdfast_standby_epoch").set(epoch as f64);
    }
    metrics::gauge!("holdfast_alarms")
        .set(alarms::alarms(&status, &watched.config, standby.store().as_ref()).len() as f64);
}

/// Resets the gauges of a process that is no longer a standby.
fn leave_off() {
    for name in [
        "holdfast_standby_following",
        "holdfast_standby_behind_seconds",
        "holdfast_standby_behind_commits",
        "holdfast_standby_unapplied_commits",
        "holdfast_standby_tripped",
        "holdfast_standby_held_realms",
        "holdfast_standby_damaged_bodies",
    ] {
        metrics::gauge!(name).set(0.0);
    }
}
