//! What is remembered of a group between tries, also across restarts.

use std::collections::BTreeMap;

use doorkit::Certificate;
use serde::{Deserialize, Serialize};

use crate::patience::{self, Cause, LONGEST_HOLD_MS, LONGEST_WAIT_MS, Window};

/// Of one group of names. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The certificate in use with its chain, as PEM; empty when there is none.
    pub chain: String,
    /// Whose it is.
    pub authority: String,
    /// When it was obtained.
    pub obtained_ms: i64,
    /// When its authority wants it renewed.
    pub window: Option<Window>,
    /// When it was asked for that last.
    pub asked_ms: Option<i64>,
    /// Failures since the last success.
    pub in_a_row: u32,
    /// When the first of these was.
    pub failing_since_ms: Option<i64>,
    /// Not before.
    pub next_try_ms: Option<i64>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// Names that the authority refused, and that have not been certified since.
    pub refused: BTreeMap<String, Refused>,
}

/// Of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    /// What the authority said.
    pub why: String,
    /// Refusals since the last success.
    pub in_a_row: u32,
    /// Those within the last hour.
    pub failures_ms: Vec<i64>,
    /// Not before.
    pub next_try_ms: i64,
}

/// What is to be done for a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// A certificate for these names is to be ordered now.
    Now(Vec<String>),
    /// Nothing until then.
    At(i64),
    /// Nothing: there is no name to order.
    Never,
}

impl State {
    /// What is to be done for `names`; `in_use` is the certificate there is.
    pub fn due(&self, names: &[String], in_use: Option<&Certificate>, authority: &str, now_ms: i64) -> Due {
        let waits = |name: &String| {
            let refused = self.refused.get(name)?;
            Some(patience::sane(refused.next_try_ms, LONGEST_WAIT_MS, now_ms)).filter(|at| *at > now_ms)
        };
        let open: Vec<String> = names.iter().filter(|name| waits(name).is_none()).cloned().collect();
        let opens = names.iter().filter_map(waits).min();
        if open.is_empty() {
            return opens.map_or(Due::Never, Due::At);
        }
        let wanted_at = match in_use {
            Some(in_use) if self.authority == authority && open.iter().all(|name| in_use.covers(name)) => {
                let (from, to) = (in_use.not_before * 1000, in_use.not_after * 1000);
                patience::renew_at(from, to, self.window.as_ref()).max(self.renewable_at(to - from, now_ms))
            }
            _ => now_ms,
        };
        let free = self.next_try_ms.map(|at| patience::sane(at, LONGEST_HOLD_MS, now_ms));
        match wanted_at.max(free.unwrap_or(now_ms)) {
            at if at <= now_ms => Due::Now(open),
            at => Due::At(opens.map_or(at, |opens| opens.min(at))),
        }
    }

    /// One that was just obtained is not renewed at once, even if it seems to be over by our clock: another one would be so too.
    fn renewable_at(&self, life_ms: i64, now_ms: i64) -> i64 {
        let at = self.obtained_ms + patience::LONGEST_WAIT_MS.min(life_ms.max(0) / 4);
        // A clock that was ahead has obtained it in the future.
        if self.obtained_ms > now_ms { now_ms } else { at }
    }

    /// Whether another authority is to issue the certificates from now on.
    pub fn is_to_be_replaced(&self, authority: &str) -> bool {
        self.authority != authority
    }

    /// When the authority is to be asked about renewal: when it said so, or once a day.
    pub fn ask_renewal_ms(&self, now_ms: i64) -> i64 {
        match (&self.window, self.asked_ms) {
            (Some(window), _) => patience::sane(window.ask_again_ms, LONGEST_WAIT_MS, now_ms),
            (None, Some(asked)) if asked <= now_ms => asked + LONGEST_WAIT_MS,
            (None, _) => now_ms,
        }
    }

    /// Notes that nothing can be ordered yet, which is nobody's failure: why.
    pub fn waits(&mut self, why: String, now_ms: i64) {
        self.failing_since_ms = self.failing_since_ms.filter(|since| *since <= now_ms).or(Some(now_ms));
        self.last_error = Some(why);
    }

    /// What [`Self::waits`] noted is over. Failures of orders stay.
    pub fn waits_no_more(&mut self) {
        if self.in_a_row == 0 {
            (self.failing_since_ms, self.last_error) = (None, None);
        }
    }

    /// Notes a failure.
    pub fn failed(&mut self, why: String, cause: Cause, now_ms: i64, chance: f64) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.failing_since_ms = self.failing_since_ms.filter(|since| *since <= now_ms).or(Some(now_ms));
        self.next_try_ms = Some(patience::next_try(now_ms, cause, self.in_a_row, chance));
        self.last_error = Some(why);
    }

    /// Notes that the authority refused a name.
    pub fn refuse(&mut self, name: &str, why: String, now_ms: i64, chance: f64) {
        let refused = self.refused.entry(name.to_owned()).or_default();
        patience::forget_old(&mut refused.failures_ms, now_ms);
        refused.failures_ms.push(now_ms);
        refused.in_a_row = refused.in_a_row.saturating_add(1);
        refused.why = why;
        let next = patience::next_try(now_ms, Cause::Refused, refused.in_a_row, chance);
        refused.next_try_ms = patience::free_from(&refused.failures_ms, now_ms).map_or(next, |free| free.max(next));
    }

    /// Notes a new certificate for `names`.
    pub fn succeeded(&mut self, chain: String, names: &[String], authority: &str, now_ms: i64) {
        self.refused.retain(|name, _| !names.contains(name));
        *self = Self {
            chain,
            authority: authority.to_owned(),
            obtained_ms: now_ms,
            refused: std::mem::take(&mut self.refused),
            ..Self::default()
        };
    }

    /// From when on a name may be tried, however much it is wanted: authorities stop looking after some failures an hour.
    pub fn free_from(&self, names: &[String], now_ms: i64) -> Option<i64> {
        let of = |name: &String| patience::free_from(&self.refused.get(name)?.failures_ms, now_ms);
        names.iter().filter_map(of).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const CA: &str = "https://ca.example/dir";

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    fn certificate(all: &[&str], from_day: i64, days: i64) -> Certificate {
        Certificate {
            names: names(all),
            issuer: String::new(),
            self_signed: false,
            key_sha256: [0; 32],
            not_before: from_day * DAY / 1000,
            not_after: (from_day + days) * DAY / 1000,
        }
    }

    #[test]
    fn a_missing_name_a_new_authority_and_the_time_make_it_due() {
        let state = State { authority: CA.to_owned(), ..State::default() };
        let (one, two) = (names(&["a.example"]), names(&["a.example", "b.example"]));
        let has = certificate(&["a.example"], 0, 90);
        assert_eq!(state.due(&one, None, CA, 5), Due::Now(one.clone()));
        assert_eq!(state.due(&one, Some(&has), CA, 5), Due::At(60 * DAY));
        assert_eq!(state.due(&two, Some(&has), CA, 5), Due::Now(two.clone()));
        assert_eq!(state.due(&one, Some(&has), "https://other.example/dir", 5), Due::Now(one.clone()));
        assert_eq!(state.due(&one, Some(&has), CA, 60 * DAY), Due::Now(one.clone()));
        assert_eq!(state.due(&one, Some(&has), CA, 3_650 * DAY), Due::Now(one.clone()), "long over");
        assert_eq!(state.due(&[], Some(&has), CA, 5), Due::Never);
    }

    #[test]
    fn a_certificate_that_seems_to_be_over_when_it_comes_is_not_renewed_over_and_over() {
        let one = names(&["a.example"]);
        let old = certificate(&["a.example"], 0, 90);
        let ahead = 400 * DAY;
        let mut state = State::default();
        state.succeeded(String::new(), &one, CA, ahead);
        assert_eq!(state.due(&one, Some(&old), CA, ahead + 1), Due::At(ahead + DAY));
        assert_eq!(state.due(&one, Some(&old), CA, ahead + DAY), Due::Now(one.clone()));
        assert_eq!(state.due(&one, Some(&old), CA, 61 * DAY), Due::Now(one.clone()), "the clock was set right");
        let two = names(&["a.example", "b.example"]);
        assert_eq!(state.due(&two, Some(&old), CA, ahead + 1), Due::Now(two.clone()), "a new name need not wait");
    }

    #[test]
    fn a_refused_name_costs_the_others_nothing() {
        let mut state = State { authority: CA.to_owned(), ..State::default() };
        let two = names(&["a.example", "b.example"]);
        state.refuse("b.example", "no such host".to_owned(), 0, 0.5);
        let opens = state.refused["b.example"].next_try_ms;
        assert_eq!(state.due(&two, None, CA, 1), Due::Now(names(&["a.example"])));
        let has = certificate(&["a.example"], 0, 90);
        assert_eq!(state.due(&two, Some(&has), CA, 1), Due::At(opens));
        assert_eq!(state.due(&two, Some(&has), CA, opens), Due::Now(two.clone()));
        assert_eq!(state.due(&names(&["b.example"]), None, CA, 1), Due::At(opens));
        state.succeeded(String::new(), &two, CA, opens);
        assert!(state.refused.is_empty());
    }

    #[test]
    fn no_name_fails_more_than_five_times_within_an_hour_even_when_it_is_forced() {
        let mut state = State::default();
        let one = names(&["a.example"]);
        let (mut now, mut times) = (0, Vec::new());
        // Someone asks for a renewal every minute, whatever the waiting time.
        while now < 5 * 3_600_000 {
            if state.free_from(&one, now).is_none() {
                state.refuse("a.example", String::new(), now, 0.0);
                times.push(now);
            }
            now += 60_000;
        }
        for at in &times {
            let within = times.iter().filter(|other| (0..3_600_000).contains(&(at - **other))).count();
            assert!(within <= patience::FAILURES_PER_HOUR);
        }
        assert!(times.len() >= 20);
    }

    #[test]
    fn a_clock_that_was_wrong_delays_nothing_for_long() {
        let mut state = State { authority: CA.to_owned(), ..State::default() };
        let one = names(&["a.example"]);
        let wrong = 3_650 * DAY;
        state.failed("its certificate is not valid".to_owned(), Cause::Away, wrong, 0.5);
        state.refuse("a.example", String::new(), wrong, 0.5);
        assert_eq!(state.due(&one, None, CA, 0), Due::Now(one.clone()), "the clock was set right");
        assert_eq!(state.free_from(&one, 0), None);
        state.failed("again".to_owned(), Cause::Away, 0, 0.5);
        assert_eq!(state.failing_since_ms, Some(0));
    }

    #[test]
    fn renewal_is_asked_about_when_the_authority_said_and_otherwise_once_a_day() {
        let mut state = State::default();
        assert_eq!(state.ask_renewal_ms(5), 5, "it was never asked");
        state.asked_ms = Some(DAY);
        assert_eq!(state.ask_renewal_ms(DAY + 1), 2 * DAY);
        assert_eq!(state.ask_renewal_ms(5), 5, "the clock was set right");
        state.window = Some(Window { at_ms: 0, start_ms: 0, end_ms: 0, ask_again_ms: DAY + 7 });
        assert_eq!(state.ask_renewal_ms(DAY + 1), DAY + 7);
    }

    #[test]
    fn a_name_that_has_no_address_yet_is_a_failure_of_no_order() {
        let mut state = State::default();
        state.waits("a.example has no address in the DNS".to_owned(), 5);
        assert_eq!((state.failing_since_ms, state.in_a_row, state.next_try_ms), (Some(5), 0, None));
        state.waits_no_more();
        assert_eq!(state, State::default());
        state.failed("refused".to_owned(), Cause::Refused, 5, 0.5);
        state.waits_no_more();
        assert!(state.last_error.is_some());
    }

    #[test]
    fn what_an_older_version_wrote_can_be_read() {
        let read: State = serde_json::from_str(r#"{"chain":"x","something_newer":1}"#).unwrap();
        assert_eq!((read.chain.as_str(), read.in_a_row), ("x", 0));
    }
}
