//! Snoozing from the pages: the times that are offered, and the time that a form says.

use std::collections::BTreeMap;

use jiff::civil::{Time, Weekday};
use jiff::{Timestamp, ToSpan as _};
use mailstore::{EmailId, Mailbox, Role};

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::language::texts;
use crate::time::Calendar;

/// The hour at which messages return in the morning.
const MORNING: i8 = 8;
/// And in the evening.
const EVENING: i8 = 18;
/// Longest time for which a message is snoozed, in days.
const MAX_DAYS: i64 = 5 * 366;

/// A time that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What the button says: `Tomorrow`.
    pub name: String,
    /// The moment: `1 Dec 08:00`.
    pub when: String,
    /// The button's value: `snooze:1796112000000`.
    pub verb: String,
}

/// The times that are offered to someone with that calendar.
pub fn choices(calendar: &Calendar) -> Vec<Choice> {
    let now = calendar.now();
    let today = now.date();
    let at = |ahead: i64, hour: i8| {
        let date = today.checked_add(ahead.days()).unwrap_or(today);
        calendar.at(date, Time::constant(hour, 0, 0, 0))
    };
    let until = |weekday: Weekday| {
        let days = i64::from(today.weekday().until(weekday));
        if days == 0 { 7 } else { days }
    };
    // After the afternoon it is three hours, in the evening nothing is left of today.
    let later = match now.hour() {
        0..16 => at(0, EVENING),
        hour @ 16..20 => at(0, hour + 3),
        _ => None,
    };
    let t = texts();
    let offered = [
        (t.snooze_later(), later),
        (t.snooze_tomorrow(), at(1, MORNING)),
        (t.snooze_saturday(), at(until(Weekday::Saturday), MORNING)),
        (t.snooze_next_week(), at(until(Weekday::Monday), MORNING)),
        (t.snooze_month(), at(30, MORNING)),
    ];
    let mut choices: Vec<Choice> = Vec::new();
    for (name, at) in offered {
        let Some(at) = at.filter(|at| *at > now.timestamp().as_millisecond()) else { continue };
        let verb = format!("snooze:{at}");
        if choices.iter().all(|choice| choice.verb != verb) {
            choices.push(Choice { name: name.into_owned(), when: calendar.stamp(at), verb });
        }
    }
    choices
}

/// The moment that a form says: that of its button, or with `date` that of its field.
///
/// # Errors
/// It is none, it has passed, or it is too far away.
pub fn moment(calendar: &Calendar, said: &str, field: &str) -> Result<i64> {
    let bad = || Fault::Bad(texts().snooze_no_time().into_owned());
    let until_ms = if said == "date" { calendar.of_field(field) } else { said.parse().ok() }.ok_or_else(bad)?;
    let now_ms = Timestamp::now().as_millisecond();
    let is_ahead = until_ms > now_ms && until_ms <= now_ms.saturating_add(MAX_DAYS * 86_400_000);
    if is_ahead { Ok(until_ms) } else { Err(bad()) }
}

/// When the messages of that mailbox return; nothing for others than that of snoozed messages.
///
/// # Errors
/// Those of reading.
pub fn times(caller: &Caller, mailbox: &Mailbox) -> Result<BTreeMap<EmailId, i64>> {
    if mailbox.role != Some(Role::Snoozed) {
        return Ok(BTreeMap::new());
    }
    Ok(caller.site.mailstore.snoozed_until(caller.realm)?)
}

/// `Snoozed until Tuesday 1 December 2026, 08:00`
pub fn told(calendar: &Calendar, until_ms: i64) -> String {
    texts().snoozed_until(calendar.when(until_ms).full).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_ahead_and_each_once() {
        for (zone, now, offered) in [
            (
                "Europe/Berlin",
                "2026-11-30T08:12:00Z",
                "30 Nov 18:00, 1 Dec 08:00, 5 Dec 08:00, 7 Dec 08:00, 30 Dec 08:00",
            ),
            (
                "Europe/Berlin",
                "2026-11-30T16:30:00Z",
                "30 Nov 20:00, 1 Dec 08:00, 5 Dec 08:00, 7 Dec 08:00, 30 Dec 08:00",
            ),
            // Friday night: tomorrow is Saturday.
            ("Europe/Berlin", "2026-12-04T21:00:00Z", "5 Dec 08:00, 7 Dec 08:00, 3 Jan 2027 08:00"),
            // Sunday: tomorrow is Monday.
            ("UTC", "2026-12-06T22:00:00Z", "7 Dec 08:00, 12 Dec 08:00, 5 Jan 2027 08:00"),
        ] {
            let choices = choices(&Calendar::new(zone, now.parse().unwrap()));
            let told: Vec<&str> = choices.iter().map(|choice| choice.when.as_str()).collect();
            assert_eq!(told.join(", "), offered, "{now}");
        }
    }

    #[test]
    fn a_moment_is_ahead_and_within_some_years() {
        let calendar = Calendar::new("Europe/Berlin", Timestamp::now());
        let now_ms = Timestamp::now().as_millisecond();
        assert_eq!(moment(&calendar, &(now_ms + 60_000).to_string(), "").unwrap(), now_ms + 60_000);
        assert_eq!(moment(&calendar, "date", "2030-01-02T08:00").unwrap(), 1_893_567_600_000);
        for (said, field) in
            [("", ""), ("x", ""), ("1", ""), ("date", ""), ("date", "2001-01-01T08:00"), ("date", "3000-01-01T08:00")]
        {
            assert!(moment(&calendar, said, field).is_err(), "{said} {field}");
        }
    }
}
