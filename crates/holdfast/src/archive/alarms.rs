//! What is wrong with the archives, and what is to be said of them.

use std::{path::Path, time::Duration};

use super::{
    Archives,
    place::{Place, is_folder},
    reach::described,
    try_out::{TRY_OUT_SAID, is_try_out},
};
use crate::{
    alarm::Alarm,
    drill::{self, Deletes},
    told::{ago, moment},
};

/// An archive that is further behind is an alarm.
const LAG_ALARM: Duration = Duration::from_secs(3600);
/// The time allowed for a nightly drill, which runs after the snapshot.
const DRILL_TAKES: Duration = Duration::from_secs(12 * 3600);
/// A snapshot dated further ahead of now than this was made while the clock was wrong.
pub(super) const CLOCK_PATIENCE_MS: i64 = 300_000;

impl Archives {
    /// The current alarms.
    pub fn alarms(&self, now_ms: i64, data_dir: &Path) -> Vec<Alarm> {
        let mut all = Vec::new();
        if is_try_out(data_dir) && !self.places.is_empty() {
            all.push(Alarm {
                key: "archive/try-out".to_owned(),
                line: format!("Archive: {TRY_OUT_SAID}"),
                more: String::new(),
                subject: "Holdfast alarm: a restore is being tried out".to_owned(),
                look: "Run `holdfast help continuity Restore`.",
            });
            return all;
        }
        for place in &self.places {
            for (what, alarm) in place.alarms(now_ms, data_dir) {
                all.push(Alarm {
                    key: format!("archive/{}/{what}", place.name()),
                    line: alarm.replacen("archive", "Archive", 1),
                    more: place.failing().join("\n"),
                    subject: format!("Holdfast alarm: archive ({what})"),
                    look: "Run `holdfast archive status`. For what to do: `holdfast help continuity 3 a.m. page`.",
                });
            }
        }
        all
    }
}

impl Place {
    /// An alarm if the last check, or later shipping, shows that the archive is incomplete.
    fn not_restorable(&self) -> Option<String> {
        let found = self.ship_status()?.restorable?;
        (!found.is_whole()).then(|| format!("archive {}: {}", self.name(), described(&found)))
    }

    /// A warning about this machine's rights to the archive, as far as they were tested: by a snapshot since the start, else
    /// by the last drill.
    pub fn warning(&self, data_dir: &Path) -> Option<String> {
        let tried = self.state.lock().deletable.map(Deletes::from);
        let drilled = || drill::latest(data_dir, self.name(), 1).pop().and_then(|drilled| drilled.deletes);
        match tried.or_else(drilled)? {
            Deletes::Refused | Deletes::Folder => None,
            Deletes::KeepsVersions => Some(format!(
                "archive {}: this machine's keys are allowed to delete. Deleted objects are kept as versions: make sure that object \
                 lock protects those",
                self.name()
            )),
            Deletes::Deleted => Some(format!(
                "archive {}: this machine's keys are allowed to delete it. Give them only the rights to create, read and list, \
                 see `holdfast help continuity Who could forge`",
                self.name()
            )),
        }
    }
    /// A note about a folder, which can't refuse anything to a process that may write there.
    pub fn note(&self) -> Option<&'static str> {
        is_folder(&self.config).then_some(
            "it is a folder: every process that can write there can delete, also on this machine. Keep another archive where this machine can't delete",
        )
    }

    /// Why the newest good snapshot is an alarm, if it is.
    pub fn alarm(&self, last_good_ms: Option<i64>, now_ms: i64) -> Option<String> {
        let after = self.config.alarm_after;
        match last_good_ms {
            None => Some(format!("archive {}: there is no good snapshot", self.name())),
            // Its age would stay unknown until then.
            Some(last) if last > now_ms + CLOCK_PATIENCE_MS => Some(format!(
                "archive {}: the newest good snapshot has a time in the future, {}: check this machine's clock, then take a new \
                 snapshot with `holdfast archive snapshot`",
                self.name(),
                moment(last)
            )),
            Some(last) => {
                let age = Duration::from_millis(u64::try_from(now_ms - last).unwrap_or(0));
                (age > after.0).then(|| {
                    format!("archive {}: the newest good snapshot is {} old, more than {after}", self.name(), ago(age))
                })
            }
        }
    }

    /// The archive's current alarms, each with a keyword.
    fn alarms(&self, now_ms: i64, data_dir: &Path) -> Vec<(&'static str, String)> {
        let mut alarms = Vec::new();
        let (looked, last_good_ms, snapshot_failing) = {
            let state = self.state.lock();
            (state.looked, state.last_good_ms, state.snapshot_failing.is_some())
        };
        // There are no alarms before the first attempt.
        if (looked && last_good_ms.is_some()) || snapshot_failing {
            alarms.extend(self.alarm(last_good_ms, now_ms).map(|alarm| ("snapshot", alarm)));
        }
        alarms.extend(self.not_restorable().map(|alarm| ("restorable", alarm)));
        let lag = self.ship_status().map_or(0.0, |ship| ship.lag_seconds(now_ms));
        if lag > LAG_ALARM.as_secs_f64() {
            let lag = ago(Duration::from_secs_f64(lag));
            alarms.push(("shipping", format!("archive {}: {lag} behind", self.name())));
        }
        if self.config.drill_dir.is_some()
            && let Some(drilled) = drill::latest(data_dir, self.name(), 1).pop()
        {
            let age = Duration::from_millis(u64::try_from(now_ms - drilled.at_ms).unwrap_or(0));
            if !drilled.problems.is_empty() {
                alarms.push(("drill", format!("archive {}: {}", self.name(), drill::described(&drilled))));
            } else if age > self.config.alarm_after.0 + DRILL_TAKES {
                let age = ago(age);
                alarms.push(("drill", format!("archive {}: the last drill was {age} ago", self.name())));
            }
        }
        alarms
    }
}
