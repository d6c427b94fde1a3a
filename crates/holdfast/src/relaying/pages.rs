//! `/health` and `/metrics` of a relay, on `listen.metrics`.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use doorkit::Listener;
use metrics_exporter_prometheus::PrometheusHandle;
use relay::Relay;

use super::alarms;
use crate::{
    config::Config,
    listeners::Kind,
    machine,
    serve::{self, http},
    supervisor::{Phase, Supervisor},
};

#[derive(Clone)]
struct Watched {
    relay: Arc<Relay>,
    config: Arc<Config>,
    metrics: PrometheusHandle,
}

/// Binds the configured addresses.
pub fn bind(config: &Config) -> anyhow::Result<Vec<Listener>> {
    let row = Kind::Metrics.row();
    let mut listeners = Vec::new();
    for &address in config.listen.of(row.kind) {
        let bound = Listener::bind(address, serve::listen_options(row, config));
        let listener = bound.map_err(|error| anyhow::anyhow!(row.refused_with_remedy(address, &error)))?;
        println!("{}", row.line(listener.local_addr()?));
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Answers until stopped.
pub fn serve(
    listeners: Vec<Listener>,
    relay: Arc<Relay>,
    config: Arc<Config>,
    metrics: PrometheusHandle,
    supervisor: &mut Supervisor,
) {
    let patience = http::Patience::of(&config.limits);
    let router = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(async |State(watched): State<Watched>| measured(&watched)))
        .with_state(Watched { relay, config, metrics });
    for listener in listeners {
        let router = router.clone();
        supervisor.essential(Phase::Sessions, Kind::Metrics.row().name, move |stop| async move {
            let ends = stop.clone();
            let serve =
                move |conn| http::serve_connection(router.clone(), conn, patience, Arc::default(), ends.clone());
            listener.serve_plain(stop, serve).await;
            Ok(())
        });
    }
}

/// 200 while mail is taken; 503 with the reason otherwise. That the primary is away is what a relay is for.
async fn health(State(watched): State<Watched>) -> Response {
    let status = watched.relay.status();
    let closed = alarms::closed(&status);
    let code = if closed.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let body = serde_json::json!({
        "status": if closed.is_none() { "ok" } else { "closed" },
        "role": "relay",
        "reason": closed,
        "connected": status.connected,
        "waiting": status.backlog.waiting,
        "alarms": alarms::alarms(&status, &watched.config, now_ms).len(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    (code, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

fn measured(watched: &Watched) -> Response {
    let status = watched.relay.status();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    machine::measure_process(&watched.config.data_dir, machine::Role::Relay);
    let backlog = &status.backlog;
    metrics::gauge!("holdfast_relay_primary_connected").set(f64::from(u8::from(status.connected)));
    metrics::gauge!("holdfast_relay_backlog").set(backlog.waiting as f64);
    metrics::gauge!("holdfast_relay_backlog_bytes").set(backlog.bytes as f64);
    metrics::gauge!("holdfast_relay_backlog_age_seconds")
        .set(alarms::age_of(backlog.oldest_ms, now_ms).unwrap_or_default().as_secs_f64());
    metrics::gauge!("holdfast_relay_clear_seconds").set(backlog.left.unwrap_or_default().as_secs_f64());
    metrics::gauge!("holdfast_relay_refused").set(backlog.refused as f64);
    // Absent until there is a list: no number would be true.
    if let Some(age) = status.list_age {
        metrics::gauge!("holdfast_relay_list_age_seconds").set(age.as_secs_f64());
    }
    metrics::gauge!("holdfast_alarms").set(alarms::alarms(&status, &watched.config, now_ms).len() as f64);
    http::prometheus_text(&watched.metrics)
}
