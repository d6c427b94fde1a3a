//! How a group's certificate is, for people.

use crate::{
    names::Group,
    patience::{FAILING_ALARM_MS, FIRST_ALARM_MS, alarm_at, renew_at},
    run::Entry,
};

/// A group's certificate, with times in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What the group is called.
    pub group: String,
    /// Its names.
    pub names: Vec<ShownName>,
    /// Who issued the certificate; none when there is no certificate.
    pub issuer: Option<String>,
    /// When it ends.
    pub not_after_ms: Option<i64>,
    /// When it will be renewed, if nothing is wrong.
    pub renew_ms: Option<i64>,
    /// When something will be tried next.
    pub next_ms: Option<i64>,
    /// Since when orders fail.
    pub failing_since_ms: Option<i64>,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// Why an operator should look.
    pub alarm: Option<String>,
}

/// A name of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownName {
    /// The name.
    pub name: String,
    /// Whether the certificate is for it.
    pub covered: bool,
    /// Why it is not ordered, or was refused.
    pub problem: Option<String>,
}

impl Shown {
    /// Days until the certificate ends; below zero when it has ended.
    pub fn days_left(&self, now_ms: i64) -> Option<i64> {
        Some((self.not_after_ms? - now_ms).div_euclid(86_400_000))
    }

    /// Whether any of its names is wanted here.
    pub fn is_wanted(&self) -> bool {
        self.issuer.is_some() || self.next_ms.is_some() || self.last_error.is_some()
    }
}

/// How a group is.
pub(crate) fn shown(group: &Group, entry: &Entry, next_ms: Option<i64>, now_ms: i64) -> Shown {
    let own = entry.presented.as_ref().map(|one| one.certificate().clone());
    let names = group.names.iter().map(|name| ShownName {
        name: name.clone(),
        covered: own.as_ref().is_some_and(|own| own.covers(name)),
        problem: entry.elsewhere.get(name).cloned().or_else(|| Some(entry.state.refused.get(name)?.why.clone())),
    });
    let life = own.as_ref().map(|own| (own.not_before * 1000, own.not_after * 1000));
    Shown {
        group: group.id.clone(),
        names: names.collect(),
        issuer: own.as_ref().map(|own| own.issuer.clone()),
        not_after_ms: life.map(|life| life.1),
        renew_ms: life.map(|(from, to)| renew_at(from, to, entry.state.window.as_ref())),
        next_ms,
        failing_since_ms: entry.state.failing_since_ms,
        last_error: entry.locked.clone().or_else(|| entry.state.last_error.clone()),
        alarm: alarm(entry, life, now_ms),
    }
}

fn alarm(entry: &Entry, life: Option<(i64, i64)>, now_ms: i64) -> Option<String> {
    if let Some(why) = &entry.locked {
        return Some(format!("its private key can't be opened: {why}"));
    }
    let days = |ms: i64| ms.div_euclid(86_400_000);
    let why = entry.state.last_error.clone().unwrap_or_else(|| "it was not tried yet".to_owned());
    let failing_ms = entry.state.failing_since_ms.map_or(0, |since| now_ms - since);
    match life {
        None if failing_ms >= FIRST_ALARM_MS => Some(format!("there is no certificate yet: {why}")),
        None => None,
        Some((_, to)) if now_ms >= to => Some(format!("expired {} days ago: {why}", days(now_ms - to))),
        Some((from, _)) if now_ms < from - 3_600_000 => {
            Some("is not valid yet at this machine's time: check the clock".to_owned())
        }
        Some((from, to)) if now_ms >= alarm_at(from, to) => {
            Some(format!("expires in {} days, and is not renewed: {why}", days(to - now_ms)))
        }
        Some(_) if failing_ms >= FAILING_ALARM_MS => {
            Some(format!("has not been renewed for {} days: {why}", days(failing_ms)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn failing(since_ms: i64) -> Entry {
        let mut entry = Entry::default();
        entry.state.failing_since_ms = Some(since_ms);
        entry.state.last_error = Some("away".to_owned());
        entry
    }

    #[test]
    fn alarms_come_before_the_end_and_when_it_fails_for_long() {
        let life = Some((0, 90 * DAY));
        let quiet = Entry::default();
        assert_eq!(alarm(&quiet, None, DAY), None, "nothing was tried");
        assert_eq!(alarm(&failing(DAY), None, DAY + 1), None, "it has just begun to fail");
        assert!(alarm(&failing(0), None, DAY).is_some());
        assert_eq!(alarm(&quiet, life, 75 * DAY), None);
        assert!(alarm(&quiet, life, 77 * DAY).is_some_and(|why| why.contains("13 days")));
        assert!(alarm(&quiet, life, 91 * DAY).is_some_and(|why| why.contains("expired")));
        assert_eq!(alarm(&failing(60 * DAY), life, 62 * DAY), None);
        assert!(alarm(&failing(60 * DAY), life, 68 * DAY).is_some_and(|why| why.contains("away")));
        assert!(alarm(&quiet, Some((10 * DAY, 100 * DAY)), 0).is_some_and(|why| why.contains("clock")));
    }
}
