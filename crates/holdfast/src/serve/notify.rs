//! Telling systemd (`Type=notify`) that the service is up, or on its way down: `sd_notify(3)`'s protocol, one datagram.

use std::os::unix::net::UnixDatagram;

/// The listeners are open.
pub fn ready() {
    send("READY=1");
}

/// The service still answers: for units with `WatchdogSec`.
pub fn alive() {
    if std::env::var_os("WATCHDOG_USEC").is_some() {
        send("WATCHDOG=1");
    }
}

/// The service is not up yet, and goes on: systemd is to wait for so much longer.
pub fn still_starting(longer: std::time::Duration) {
    send(&format!("EXTEND_TIMEOUT_USEC={}", longer.as_micros()));
}

/// The service has begun to stop.
pub fn stopping() {
    send("STOPPING=1");
}

fn send(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = UnixDatagram::unbound().and_then(|datagram| datagram.send_to(state.as_bytes(), &socket));
    if let Err(error) = sent {
        tracing::warn!(%error, "could not send {state} to systemd");
    }
}
