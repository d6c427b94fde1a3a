//! What a machine that follows another one needs somebody for. `holdfast status`, `holdfast standby status`, `/health` and
//! `/metrics` there all say the same.

use std::path::Path;

use continuity::standby::Status;

use crate::{admin::status::short_of_room, machine::Room};

/// Clocks that differ by more are an alarm.
const CLOCKS_DIFFER_MS: i64 = 10_000;

/// What keeps it from having what the primary has, as far as that does not mend itself.
pub fn held(status: &Status) -> Vec<String> {
    let mut all = Vec::new();
    if status.full {
        all.push("the disk is full: it receives nothing, and goes on when there is room".to_owned());
    }
    all.extend(status.apply_fails.clone());
    if let Some(tripped) = &status.tripped {
        all.push(format!(
            "commit {} and what follows it is not applied: {}; when that was meant: holdfast standby release",
            tripped.seq, tripped.why
        ));
    }
    if status.damaged > 0 {
        all.push(format!(
            "{} messages are damaged here, and were not fetched from the primary yet; the first: {}",
            status.damaged, status.first_damaged
        ));
    }
    all.extend(status.held.iter().map(|(realm, why)| format!("{realm} is not applied any more: {why}")));
    all
}

/// All of it, with what is only going to be trouble.
pub fn alarms(status: &Status, data_dir: &Path) -> Vec<String> {
    let mut all = held(status);
    if status.primary_ahead_ms.abs() > CLOCKS_DIFFER_MS {
        let seconds = status.primary_ahead_ms as f64 / 1000.0;
        all.push(format!("the primary's clock is {seconds:+.1} s from this machine's: set both"));
    }
    all.extend(Room::at(data_dir).ok().filter(|room| room.is_short()).map(short_of_room));
    all
}

/// Why it does not follow; none when it does.
pub fn away(status: &Status) -> Option<String> {
    let doing = if status.doing.is_empty() { "it has only just begun" } else { &status.doing };
    (!status.connected).then(|| format!("it does not follow the primary: {doing}"))
}
