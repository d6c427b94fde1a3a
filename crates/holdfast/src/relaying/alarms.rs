//! Alarms of a relay. `holdfast status`, `holdfast relay status`, `/health` and `/metrics` of the relay all use them.

use std::time::Duration;

use relay::{HOLD, LIST_FOR, RelayStatus};

use crate::{
    alarm::short_of_room,
    config::Config,
    machine::Room,
    told::{ago, counted},
};

/// A list that the primary has not confirmed for longer is an alarm: there is time to act before it expires.
const LIST_OLD: Duration = Duration::from_secs(2 * 86_400);

/// Why no mail is taken; none if it is.
pub fn closed(status: &RelayStatus) -> Option<String> {
    if status.full {
        return Some("the disk is full: mail is refused for now".to_owned());
    }
    if status.revoked {
        return Some(format!("the primary does not accept this relay, so mail is refused for now: {}", status.why));
    }
    match status.list_age {
        None => Some("the list of recipients has not come yet: mail is refused for now".to_owned()),
        Some(age) if age > LIST_FOR => {
            Some(format!("the list of recipients is {} old: mail is refused for now", ago(age)))
        }
        Some(_) => None,
    }
}

/// All alarms.
pub fn alarms(status: &RelayStatus, config: &Config, now_ms: i64) -> Vec<String> {
    let mut all: Vec<String> = closed(status).into_iter().collect();
    if let Some(age) = status.list_age.filter(|age| *age > LIST_OLD && *age <= LIST_FOR) {
        let left = ago(LIST_FOR.saturating_sub(age));
        all.push(format!("the primary confirmed the list of recipients {} ago; it is good for {left} more", ago(age)));
    }
    if let Some(age) = age_of(status.backlog.oldest_ms, now_ms).filter(|age| *age > HOLD) {
        all.push(format!("the oldest message has waited for {}; nothing is dropped", ago(age)));
    }
    if status.backlog.refused > 0 {
        let refused = counted(status.backlog.refused, "message");
        all.push(format!("the primary refused {refused} for good: see `holdfast relay held`"));
    }
    all.extend(Room::of_data(&config.data_dir).ok().filter(|room| room.is_short()).map(short_of_room));
    all
}

/// How old the oldest message is.
pub fn age_of(oldest_ms: Option<i64>, now_ms: i64) -> Option<Duration> {
    oldest_ms.map(|oldest_ms| Duration::from_millis(u64::try_from(now_ms.saturating_sub(oldest_ms)).unwrap_or(0)))
}
