//! The overview of a service in words: what needs a person first, then the rest.

use std::time::Duration;

use continuity::stage::Stage;

use super::{Archive, Daily, Follower, Queue, Status, Verify, bytes};
use crate::{
    drill,
    told::counted,
    told::{ago, moment},
    verifying::Progress,
};

/// A line of the overview: what, in a column, then how it is.
pub fn line(what: &str, how: impl AsRef<str>) -> String {
    format!("  {what:<12} {}", how.as_ref())
}

/// The overview, line by line: the machine, what needs a person, then everything else.
pub fn lines(status: &Status) -> Vec<String> {
    let mut all = vec![heading(status)];
    all.extend(status.alarms.iter().map(|alarm| format!("ALARM: {alarm}")));
    all.extend(wants(status).into_iter().chain(rows(status)).map(|(what, how)| line(what, how)));
    all
}

/// What, and how. Without a word for it the row belongs to the one before.
type Row = (&'static str, String);

fn heading(status: &Status) -> String {
    let memory = status.memory_bytes.map_or_else(String::new, |memory| format!(", {}", bytes(memory)));
    let running = ago(Duration::from_secs(status.running_seconds));
    format!("Holdfast {} on {}: pid {}, running for {running}{memory}", status.version, status.hostname, status.pid)
}

/// What is no alarm, and yet not as it should be: it stands before what is.
pub fn wants(status: &Status) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    all.extend(status.stopped.iter().map(|why| ("STOPPED", why.clone())));
    all.extend(status.waiting.iter().map(|why| ("WAITING", why.clone())));
    if status.damage.count > 0 {
        all.push(("damage", status.damage.summary.clone()));
        all.extend(status.damage.named.iter().map(|named| ("", named.clone())));
    }
    if status.archives.is_empty() {
        all.push(("archive", "none: there is no off-site copy, see `holdfast help continuity Archive`".to_owned()));
    }
    if status.standbys.is_empty() {
        all.push(("standby", "none: nothing takes over if this machine fails".to_owned()));
    }
    all
}

/// Everything else.
pub fn rows(status: &Status) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    all.push(("stage", format!("{}: {}", status.stage, status.works)));
    if status.chosen_stage != status.stage {
        all.push(("", format!("moving to {}", status.chosen_stage)));
    }
    all.extend(status.plan.iter().map(|plan| ("", format!("plan: {plan}"))));
    if !status.off.is_empty() && status.stage == Stage::Open.name() {
        all.push(("off", status.off.join(", ")));
    }
    if !status.people_are_told.is_empty() {
        all.push(("announcement", status.people_are_told.clone()));
    }
    all.extend(status.restoring.iter().map(|restoring| ("restore", restoring.clone())));
    all.extend(status.standbys.iter().map(|standby| ("standby", follower(standby))));
    all.extend(status.archives.iter().flat_map(kept));
    all.push(("queue", queue(&status.queue)));
    all.push(("maintenance", daily(status.daily_work.as_ref(), status.running_seconds)));
    all.extend(
        verify(&status.verify).into_iter().enumerate().map(|(at, how)| (if at == 0 { "verify" } else { "" }, how)),
    );
    if status.damage.count == 0 {
        all.push(("damage", status.damage.summary.clone()));
    }
    let room = match (status.disk_free_bytes, status.disk_size_bytes) {
        (Some(free), Some(size)) => format!(", {} of {} free", bytes(free), bytes(size)),
        _ => String::new(),
    };
    all.push(("data", format!("{}: {}{room}", status.data_dir, bytes(status.data_bytes))));
    if let Some(found) = &status.certificate {
        let by = if found.self_signed { "self-signed".to_owned() } else { format!("by {}", found.issuer) };
        all.push(("certificate", format!("{}, {by}, {} left", found.names.join(", "), days(found.days_left))));
    }
    all.extend(status.certificates.iter().map(|line| ("", line.clone())));
    all.push(("secrets", status.secrets.clone()));
    let disabled =
        if status.accounts_disabled > 0 { format!(", {} disabled", status.accounts_disabled) } else { String::new() };
    all.push(("accounts", format!("{}{disabled}", status.accounts)));
    for (number, door) in status.doors.iter().enumerate() {
        let what = if number == 0 { "listeners" } else { "" };
        let connections = counted(door.connections as u64, "connection");
        all.push((what, format!("{:<12} {:<24} {connections:>18}", door.name, door.address)));
    }
    all
}

fn days(days: i64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

fn queue(queue: &Queue) -> String {
    let Some(oldest) = queue.oldest_seconds else { return "empty".to_owned() };
    let held = if queue.held > 0 { format!(" ({} on hold)", queue.held) } else { String::new() };
    let oldest = ago(Duration::from_secs(oldest));
    let messages = counted(queue.messages, "message");
    let due = queue.due_line.as_ref().map(|line| format!("; {line}")).unwrap_or_default();
    format!("{messages}{held} for {}, the oldest waiting for {oldest}{due}", counted(queue.destinations, "destination"))
}

fn daily(daily: Option<&Daily>, running_seconds: u64) -> String {
    match daily {
        None if running_seconds < 3600 => "not run yet since the start".to_owned(),
        None => "not run yet since the start; to run it now: holdfast maintain".to_owned(),
        Some(daily) if daily.failed.is_empty() => format!("{}: ok", moment(daily.at_ms)),
        Some(daily) => format!("{}: FAILED: {}", moment(daily.at_ms), daily.failed.join("; ")),
    }
}

/// How far reading everything is, and what came of it last.
fn verify(verify: &Verify) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(Progress { started_ms, percent, reading }) = verify.running {
        all.push(format!("running since {}: {percent} % ({reading})", moment(started_ms)));
    }
    if let Some(last) = verify.last.as_ref().filter(|last| last.ended_ms.is_some() || verify.running.is_none()) {
        all.push(last.described());
        all.extend(last.damage.first().cloned());
    }
    if all.is_empty() {
        all.push("never; `holdfast verify` checks all data while the service runs".to_owned());
    }
    all
}

fn follower(standby: &Follower) -> String {
    let Follower { name, received, applied, behind, .. } = standby;
    let mut text = if let Some(copy) = &standby.first_copy {
        format!("{name}: {}", copy.summary)
    } else if standby.connected {
        format!("{name}: received commit {received} ({behind} behind), applied {applied}")
    } else {
        format!("{name}: NOT CONNECTED; the last commit it received is {received} ({behind} behind)")
    };
    if !standby.tripwire.is_empty() {
        text += &format!("; holds back changes: {}", standby.tripwire);
    }
    if !standby.not_applied.is_empty() {
        text += &format!("; can't apply changes to {}", counted(standby.not_applied.len() as u64, "realm"));
    }
    text
}

fn kept(archive: &Archive) -> Vec<Row> {
    let shipped = match (archive.shipped, archive.lag_seconds) {
        (Some(shipped), Some(lag)) => format!("shipped up to commit {shipped}, {lag:.1} s behind"),
        _ => "nothing shipped yet".to_owned(),
    };
    let good = archive.last_good_ms.map_or_else(|| "none yet".to_owned(), moment);
    let mut all = vec![
        ("archive", format!("{}: {shipped}", archive.name)),
        ("", archive.restorable.clone().unwrap_or_else(|| "not checked yet how far it can be restored".to_owned())),
        ("", format!("newest good snapshot: {good}")),
    ];
    all.extend(archive.on_its_way.iter().map(|one| ("", one.summary.clone())));
    all.extend(archive.warning.iter().map(|warning| ("", format!("WARNING: {warning}"))));
    all.extend(archive.failing.iter().map(|failing| ("", format!("FAILING: {failing}"))));
    all.push(("", archive.last_drill.as_ref().map_or_else(|| "drill: never".to_owned(), drill::described)));
    all
}
