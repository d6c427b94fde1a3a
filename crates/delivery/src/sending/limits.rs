//! The limits on what an account sends, and the words in which it is told that one is reached.

use std::time::Duration;

use directory::{OwnLimits, Sending, Stopped};

use crate::{DeliveryError, Refusal, Result};

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// What an account may send to recipients at other servers, where it has no limits of its own, and what stops its sending
/// because it looks stolen. 0 is unlimited, or never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendingLimits {
    /// Messages within an hour. Default 500.
    pub messages_per_hour: u32,
    /// Messages within a day. Default 1,000.
    pub messages_per_day: u32,
    /// Recipients within an hour. Default 500.
    pub recipients_per_hour: u32,
    /// Recipients within a day. Default 1,000.
    pub recipients_per_day: u32,
    /// Recipients within an hour who were never written to before. Default 200.
    pub new_per_hour: u32,
    /// The same within a day. Default 200.
    pub new_per_day: u32,
    /// The share of these limits that a new account has, in percent. Default 50.
    pub at_first_percent: u32,
    /// How long it takes until an account has all of it. Default 30 days.
    pub grow_over: Duration,
    /// Bounces within a day from which on sending is stopped, if they are at least a third of all recipients. Default 20.
    pub stop_at_bounces: u32,
    /// Attempts within a day to send more than the limits allow, from which on sending is stopped. Default 50.
    pub stop_at_refusals: u32,
    /// Sending is stopped once an account writes within a day to so many times more new people than it usually does (and
    /// to at least half of what it may). Default 10.
    pub stop_at_jump: u32,
}

impl Default for SendingLimits {
    fn default() -> Self {
        Self {
            messages_per_hour: 500,
            messages_per_day: 1_000,
            recipients_per_hour: 500,
            recipients_per_day: 1_000,
            new_per_hour: 200,
            new_per_day: 200,
            at_first_percent: 50,
            grow_over: Duration::from_hours(30 * 24),
            stop_at_bounces: 20,
            stop_at_refusals: 50,
            stop_at_jump: 10,
        }
    }
}

impl SendingLimits {
    /// No limit at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            messages_per_hour: 0,
            messages_per_day: 0,
            recipients_per_hour: 0,
            recipients_per_day: 0,
            new_per_hour: 0,
            new_per_day: 0,
            at_first_percent: 100,
            grow_over: Duration::ZERO,
            stop_at_bounces: 0,
            stop_at_refusals: 0,
            stop_at_jump: 0,
        }
    }

    /// Whether the limits make sense.
    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=100).contains(&self.at_first_percent) {
            let problem = "must be between 1 and 100".to_owned();
            return Err(DeliveryError::BadOption { option: "sending.at_first_percent", problem });
        }
        Ok(())
    }

    /// What an account may send now: its own limits, or the share that it has grown to of those for all. A plan that sets
    /// limits for its accounts would go between the two.
    pub(crate) fn of(&self, sending: &Sending, now_ms: i64) -> Limits {
        let share = self.share(now_ms.saturating_sub(sending.since_ms));
        let grown = |all: u32| if all == 0 { 0 } else { ((u64::from(all) * share / 1_000) as u32).max(1) };
        let own: &OwnLimits = &sending.limits;
        let limit = |own: Option<u32>, all: u32| own.unwrap_or_else(|| grown(all));
        Limits([
            (Counted::Messages, Window::Hour, limit(own.messages_per_hour, self.messages_per_hour)),
            (Counted::Messages, Window::Day, limit(own.messages_per_day, self.messages_per_day)),
            (Counted::Recipients, Window::Hour, limit(own.recipients_per_hour, self.recipients_per_hour)),
            (Counted::Recipients, Window::Day, limit(own.recipients_per_day, self.recipients_per_day)),
            (Counted::New, Window::Hour, limit(own.new_per_hour, self.new_per_hour)),
            (Counted::New, Window::Day, limit(own.new_per_day, self.new_per_day)),
        ])
    }

    /// The share of the limits at an age, in thousandths.
    fn share(&self, age_ms: i64) -> u64 {
        let first = u64::from(self.at_first_percent.min(100)) * 10;
        let whole_ms = u64::try_from(self.grow_over.as_millis()).unwrap_or(u64::MAX);
        let age_ms = u64::try_from(age_ms).unwrap_or(0);
        if age_ms >= whole_ms {
            return 1_000;
        }
        // Whole days, so that a limit that is told doesn't change from one minute to the next.
        let grown_ms = if age_ms >= DAY_MS as u64 { age_ms - age_ms % DAY_MS as u64 } else { 0 };
        first + (u128::from(1_000 - first) * u128::from(grown_ms) / u128::from(whole_ms)) as u64
    }
}

/// The limits of one account at one moment; 0 is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits(pub [(Counted, Window, u32); 6]);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Messages with a recipient elsewhere.
    Messages,
    /// Recipients elsewhere.
    Recipients,
    /// Those of them who were never written to before.
    New,
}

/// Within which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Sixty minutes.
    Hour,
    /// 24 hours.
    Day,
}

impl Window {
    /// Its length.
    #[must_use]
    pub const fn ms(self) -> i64 {
        match self {
            Self::Hour => 60 * MINUTE_MS,
            Self::Day => DAY_MS,
        }
    }

    /// As in "20 an hour".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Hour => "an hour",
            Self::Day => "a day",
        }
    }
}

impl Counted {
    /// In metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Recipients => "recipients",
            Self::New => "new_recipients",
        }
    }
}

/// A limit that a message would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    pub counted: Counted,
    pub window: Window,
    pub limit: u32,
    /// When the message would fit; `None` if it has more recipients than ever fit.
    pub again_ms: Option<i64>,
    pub now_ms: i64,
}

impl Over {
    /// What the sender is told, on every way out in the same words.
    pub fn refusal(&self) -> Refusal {
        let Self { counted, window, limit, .. } = *self;
        let plural = |one: &'static str, many: &'static str| if limit == 1 { one } else { many };
        let what = match counted {
            Counted::Messages => format!("send at most {limit} {}", plural("message", "messages")),
            Counted::Recipients => format!("send to at most {limit} {}", plural("recipient", "recipients")),
            Counted::New => format!("write to at most {limit} {} for the first time", plural("person", "people")),
        };
        let per = window.words();
        match self.again_ms {
            None => {
                let text = format!("Too many recipients: this account can {what} {per}; send to fewer people at once");
                Refusal::new(452, (4, 5, 3), text)
            }
            Some(at_ms) => {
                let when = when(at_ms, self.now_ms);
                let text = format!("Sending limit reached: this account can {what} {per}. Try again {when}");
                Refusal::new(451, (4, 7, 1), text)
            }
        }
    }
}

/// What the sender is told whose sending is stopped.
pub fn stopped_refusal(stopped: &Stopped) -> Refusal {
    let text = format!(
        "Sending is stopped for this account because {}. Check that nobody else uses it, change the password, and ask your \
         administrator to allow sending again",
        stopped.why
    );
    Refusal::new(451, (4, 7, 1), text)
}

/// `in 35 minutes, after 14:20 UTC`
fn when(at_ms: i64, now_ms: i64) -> String {
    // The next whole minute: it is true then.
    let at = at_ms.div_euclid(MINUTE_MS) + i64::from(at_ms.rem_euclid(MINUTE_MS) > 0);
    let left = (at - now_ms.div_euclid(MINUTE_MS)).max(1);
    let minute = at.rem_euclid(24 * 60);
    let clock = format!("{:02}:{:02} UTC", minute / 60, minute % 60);
    let many = |count: i64, what: &str| if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") };
    if left < 120 {
        format!("in {}, after {clock}", many(left, "minute"))
    } else {
        format!("in {}, after {clock}", many((left + 59) / 60, "hour"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(age_days: i64, now_ms: i64) -> Sending {
        Sending { limits: OwnLimits::default(), stopped: None, since_ms: now_ms - age_days * DAY_MS, told: false }
    }

    #[test]
    fn limits_grow_with_age_and_never_shrink() {
        let (limits, now_ms) = (SendingLimits::default(), 1_800_000_000_000);
        let mut before = [0; 6];
        for age in 0..40 {
            let now = limits.of(&sending(age, now_ms), now_ms).0.map(|(_, _, limit)| limit);
            assert!(now.iter().zip(before).all(|(now, before)| *now >= before), "{age}: {now:?}");
            before = now;
        }
        assert_eq!(before, [500, 1_000, 500, 1_000, 200, 200]);
        let first = limits.of(&sending(0, now_ms), now_ms).0.map(|(_, _, limit)| limit);
        assert_eq!(first, [250, 500, 250, 500, 100, 100]);
        // An account from the future is a new one.
        assert_eq!(limits.of(&sending(-5, now_ms), now_ms), limits.of(&sending(0, now_ms), now_ms));
    }

    #[test]
    fn an_accounts_own_limits_do_not_grow_and_may_be_none() {
        let mut own = sending(0, 0);
        own.limits = OwnLimits { recipients_per_day: Some(7), new_per_day: Some(0), ..OwnLimits::default() };
        let limits = SendingLimits::default().of(&own, 0).0;
        assert_eq!((limits[3].2, limits[5].2, limits[4].2), (7, 0, 100));
        let none = SendingLimits::none().of(&sending(0, 0), 0).0;
        assert!(none.iter().all(|(_, _, limit)| *limit == 0));
        let tiny = SendingLimits { recipients_per_day: 1, ..SendingLimits::default() };
        assert_eq!(tiny.of(&sending(0, 0), 0).0[3].2, 1, "a limit that grows never begins as unlimited");
    }

    #[test]
    fn what_is_told_has_a_code_and_a_time() {
        let over = |again_ms| Over { counted: Counted::New, window: Window::Day, limit: 1, again_ms, now_ms: 90_000 };
        let later = over(Some(3_600_000 + 30_000)).refusal();
        assert_eq!((later.code, later.enhanced), (451, (4, 7, 1)));
        assert!(later.text.ends_with("in 60 minutes, after 01:01 UTC"), "{later}");
        let never = over(None).refusal();
        assert_eq!((never.code, never.enhanced), (452, (4, 5, 3)));
        assert_eq!(when(86_400_000, 0), "in 24 hours, after 00:00 UTC");
        assert_eq!(when(0, 5), "in 1 minute, after 00:00 UTC");
    }
}
