//! Gauges of the running service.

use crate::{domains, machine, running::Running};

/// Sets the gauges of the machine, of this process, of open connections and of the certificate.
pub fn measure(running: &Running) {
    machine::measure_process(&running.services.config.data_dir, machine::Role::Primary);
    for door in running.doors.get().into_iter().flatten() {
        metrics::gauge!("holdfast_connections", "door" => door.name, "address" => door.address.to_string())
            .set(door.connections.open() as f64);
    }
    if let Some(tls) = running.tls.get() {
        metrics::gauge!("holdfast_certificate_expires_timestamp_seconds").set(tls.certificate().not_after as f64);
    }
    domains::measure(&running.checks);
    metrics::gauge!("holdfast_dns_silent").set(f64::from(u8::from(running.services.dns_patience.is_silent())));
    metrics::gauge!("holdfast_stage").set(f64::from(running.services.stages.now().stage as u8));
    metrics::gauge!("holdfast_alarms").set(running.alarms.borrow().len() as f64);
}
