//! Alarms of a standby. `holdfast status`, `holdfast standby status`, `/health` and `/metrics` of the standby all use
//! them.

use continuity::standby::Status;
use store::Store;

use crate::{alarm::short_of_room, config::Config, machine::Room, secrets};

/// Clocks that differ by more are an alarm.
const CLOCKS_DIFFER_MS: i64 = 10_000;

/// Alarms about problems that keep the standby out of sync and are not fixed automatically.
pub fn held(status: &Status) -> Vec<String> {
    let mut all = Vec::new();
    if status.full {
        all.push("the disk is full: this standby can't receive changes until disk space is free".to_owned());
    }
    all.extend(status.apply_fails.clone());
    if let Some(tripped) = &status.tripped {
        all.push(format!(
            "a tripwire holds back commit {} and the later ones: {}; if the change was intended: holdfast standby release",
            tripped.seq, tripped.why
        ));
    }
    if status.damaged > 0 {
        all.push(format!(
            "{} messages are damaged here and not yet fetched from the primary; the first: {}",
            status.damaged, status.first_damaged
        ));
    }
    all.extend(status.held.iter().map(|(realm, why)| format!("changes to {realm} can't be applied: {why}")));
    all
}

/// All alarms, including those about future problems.
pub fn alarms(status: &Status, config: &Config, store: Option<&Store>) -> Vec<String> {
    let mut all = held(status);
    if let Some(wrong) = store.and_then(|store| secrets::wrong(&secrets::keys(&config.secrets), store)) {
        all.push(format!("{wrong}: give this machine the primary's key file before it has to take over"));
    }
    if status.primary_ahead_ms.abs() > CLOCKS_DIFFER_MS {
        let seconds = status.primary_ahead_ms as f64 / 1000.0;
        all.push(format!("the clocks of the primary and this machine differ by {seconds:+.1} s: set both"));
    }
    all.extend(Room::of_data(&config.data_dir).ok().filter(|room| room.is_short()).map(short_of_room));
    all
}

/// Why it does not follow; none when it does.
pub fn away(status: &Status) -> Option<String> {
    let doing = if status.doing.is_empty() { "just started" } else { &status.doing };
    (!status.connected).then(|| format!("not following the primary: {doing}"))
}
