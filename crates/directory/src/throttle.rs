//! Limits password guessing without locking anyone out.
//!
//! Each guess is paid in advance from the budget of its login, its network, or both; a right password is refunded. If
//! the budget is used up, a login is not refused but waits: one guess every [`ThrottleLimits::pace`]. The budget
//! depends on what is known about the client, so that an attacker's guesses never use the owner's budget:
//!
//! * from a network that has logged in to this account in the last thirty days: the budget of this network and this
//!   account alone;
//! * from another network: the budget of all unknown networks for this login, and the budget of the network. Networks
//!   without recent failures have a separate budget, so that a traveller doesn't wait behind attackers.
//!
//! A password that was wrong before is wrong again: repeating it is not a guess, and costs nothing. Recently verified
//! passwords (see `remember`) and app passwords, which can't be guessed, are not throttled at all.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use doorkit::network_of;
use parking_lot::Mutex;

/// Limits of guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleLimits {
    /// Wrong passwords for one login that are looked at without delay: from one network that is known to it, and from all
    /// others together. Default 20.
    pub per_login: u32,
    /// The same from one network, for all logins that it is not known to. Default 50.
    pub per_network: u32,
    /// The same for one login from networks that have not failed lately. Default 100.
    pub per_login_from_elsewhere: u32,
    /// Beyond these, one is looked at each so long, and so long after each one there is room for one more. Default 5 seconds.
    pub pace: Duration,
    /// The longest wait: a login that would wait longer is refused with "try again later". Default 20 seconds.
    pub patience: Duration,
    /// For how long a network that has failed counts as one that has. Default 15 minutes.
    pub window: Duration,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        Self {
            per_login: 20,
            per_network: 50,
            per_login_from_elsewhere: 100,
            pace: Duration::from_secs(5),
            patience: Duration::from_secs(20),
            window: Duration::from_secs(15 * 60),
        }
    }
}

/// Entries of each kind that are kept; more means an attack from everywhere, and those that say the least go.
const MAX_ENTRIES: usize = 100_000;
/// Logins that wait at once, over all.
const MAX_WAITING: usize = 1_000;
/// For how long a wrong password is known to be wrong.
const WRONG_FOR: Duration = Duration::from_secs(24 * 3600);

/// The budget that guesses are paid from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Purse {
    /// A login, from a network that is known to it.
    Known(String, IpAddr),
    /// A login, from networks that have failed lately.
    Login(String),
    /// A login, from others.
    Elsewhere(String),
    /// A network.
    Network(IpAddr),
}

/// The client.
#[derive(Debug, Clone)]
pub(crate) struct Asks {
    /// What the login is counted as.
    pub(crate) login: String,
    pub(crate) peer: IpAddr,
    /// The network is known to the login.
    pub(crate) known: bool,
}

#[derive(Default)]
struct State {
    /// Until when each purse is in debt: the moment at which all is paid back.
    debts: HashMap<Purse, Instant>,
    /// Networks that have failed, and when.
    failed: HashMap<IpAddr, Instant>,
    /// Wrong passwords, and when.
    wrong: HashMap<[u8; 16], Instant>,
    waiting: HashSet<(String, IpAddr)>,
}

pub(crate) struct Throttle {
    limits: ThrottleLimits,
    state: Arc<Mutex<State>>,
}

/// A guess that was paid for.
#[derive(Debug)]
pub(crate) struct Paid {
    purses: Vec<Purse>,
    network: IpAddr,
}

impl Throttle {
    pub(crate) fn new(limits: ThrottleLimits) -> Self {
        Self { limits, state: Arc::default() }
    }

    /// Waits until a guess may be made.
    ///
    /// # Errors
    /// When to try again: it would be too long, or this one waits already.
    pub(crate) async fn pay(&self, asks: &Asks) -> Result<Paid, Duration> {
        let (paid, wait) = self.pay_at(asks, Instant::now())?;
        if wait.is_zero() {
            return Ok(paid);
        }
        let Some(waiting) = Waiting::begin(self, asks, paid) else { return Err(self.limits.pace) };
        metrics::counter!("holdfast_directory_logins_delayed_total").increment(1);
        tokio::time::sleep(wait).await;
        Ok(waiting.end())
    }

    fn burst(&self, purse: &Purse) -> u32 {
        let burst = match purse {
            Purse::Known(..) | Purse::Login(_) => self.limits.per_login,
            Purse::Elsewhere(_) => self.limits.per_login_from_elsewhere,
            Purse::Network(_) => self.limits.per_network,
        };
        burst.max(1)
    }

    /// Pays for a guess; returns how long it has to wait.
    fn pay_at(&self, asks: &Asks, now: Instant) -> Result<(Paid, Duration), Duration> {
        let (login, network) = (asks.login.clone(), network_of(asks.peer));
        let mut state = self.state.lock();
        let purses = if asks.known {
            vec![Purse::Known(login, network)]
        } else {
            let has_failed = state.failed.get(&network).is_some_and(|at| now.duration_since(*at) < self.limits.window);
            let of_login = if has_failed { Purse::Login(login) } else { Purse::Elsewhere(login) };
            vec![of_login, Purse::Network(network)]
        };
        let wait = |purse: &Purse| {
            let debt = state.debts.get(purse).map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
            debt.saturating_sub(self.limits.pace * (self.burst(purse) - 1))
        };
        let wait = purses.iter().map(wait).max().unwrap_or_default();
        if wait > self.limits.patience {
            return Err(wait);
        }
        for purse in &purses {
            make_room(&mut state.debts, |until| *until > now, |until| *until);
            let until = state.debts.entry(purse.clone()).or_insert(now);
            *until = (*until).max(now) + self.limits.pace;
        }
        Ok((Paid { purses, network }, wait))
    }

    /// It was not a guess, or a right one: refunds the payment.
    pub(crate) fn give_back(&self, paid: Paid) {
        give_back(&mut self.state.lock(), &paid, self.limits.pace);
    }

    /// It was wrong.
    pub(crate) fn failed(&self, paid: &Paid) {
        self.failed_at(paid, Instant::now());
    }

    fn failed_at(&self, paid: &Paid, now: Instant) {
        let mut state = self.state.lock();
        let window = self.limits.window;
        make_room(&mut state.failed, |at| now.duration_since(*at) < window, |at| *at);
        state.failed.insert(paid.network, now);
    }

    /// Whether this very password was found wrong before. `guess` stands for login, password and what it was compared with.
    pub(crate) fn is_known_wrong(&self, guess: &[u8; 16]) -> bool {
        self.state.lock().wrong.get(guess).is_some_and(|at| at.elapsed() < WRONG_FOR)
    }

    pub(crate) fn note_wrong(&self, guess: [u8; 16]) {
        let mut state = self.state.lock();
        make_room(&mut state.wrong, |at| at.elapsed() < WRONG_FOR, |at| *at);
        state.wrong.insert(guess, Instant::now());
    }
}

fn give_back(state: &mut State, paid: &Paid, pace: Duration) {
    for purse in &paid.purses {
        if let Some(until) = state.debts.get_mut(purse) {
            *until = until.checked_sub(pace).unwrap_or(*until);
        }
    }
}

/// Forgets what is over once there is too much, and then the half that says the least.
fn make_room<K: Eq + Hash + Clone, V>(
    all: &mut HashMap<K, V>,
    counts: impl Fn(&V) -> bool,
    weight: impl Fn(&V) -> Instant,
) {
    if all.len() < MAX_ENTRIES {
        return;
    }
    all.retain(|_, value| counts(value));
    if all.len() >= MAX_ENTRIES {
        let mut weights: Vec<Instant> = all.values().map(&weight).collect();
        let (_, middle, _) = weights.select_nth_unstable(MAX_ENTRIES / 2);
        let middle = *middle;
        all.retain(|_, value| weight(value) > middle);
    }
}

/// A waiting login. If it is dropped, its payment is refunded.
struct Waiting {
    state: Arc<Mutex<State>>,
    who: (String, IpAddr),
    pace: Duration,
    paid: Option<Paid>,
}

impl Waiting {
    /// `None` when one from the same network waits for the same login, or too many wait.
    fn begin(throttle: &Throttle, asks: &Asks, paid: Paid) -> Option<Self> {
        let who = (asks.login.clone(), paid.network);
        let mut state = throttle.state.lock();
        if state.waiting.len() >= MAX_WAITING || !state.waiting.insert(who.clone()) {
            give_back(&mut state, &paid, throttle.limits.pace);
            return None;
        }
        drop(state);
        Some(Self { state: throttle.state.clone(), who, pace: throttle.limits.pace, paid: Some(paid) })
    }

    fn end(mut self) -> Paid {
        self.paid.take().expect("it is taken once, here or when this is dropped")
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.waiting.remove(&self.who);
        if let Some(paid) = self.paid.take() {
            give_back(&mut state, &paid, self.pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0A00_0000 + number).to_be_bytes())
    }

    fn asks(login: &str, number: u32, known: bool) -> Asks {
        Asks { login: login.to_owned(), peer: address(number), known }
    }

    /// Guesses of attackers in so many networks, each of which tries again as soon as it has its answer, within a time.
    fn guesses(networks: u32, logins: u32, time: Duration) -> u32 {
        let throttle = Throttle::new(ThrottleLimits::default());
        let begun = Instant::now();
        let mut next: BinaryHeap<_> = (0..networks).map(|number| Reverse((begun, number))).collect();
        let mut looked_at = 0;
        while let Some(Reverse((now, number))) = next.pop()
            && now < begun + time
        {
            let login = format!("login{}", (number + looked_at) % logins);
            let again = match throttle.pay_at(&asks(&login, number, false), now) {
                Ok((paid, wait)) => {
                    looked_at += 1;
                    throttle.failed_at(&paid, now + wait);
                    now + wait + Duration::from_millis(1)
                }
                Err(_) => now + Duration::from_secs(2),
            };
            next.push(Reverse((again, number)));
        }
        looked_at
    }

    #[test]
    fn guessing_has_a_rate_from_one_network_from_many_and_over_many_logins() {
        let hour = Duration::from_secs(3600);
        // Networks, logins, guesses in an hour at the most. 720 is one each 5 seconds.
        for (networks, logins, most) in [(1, 1, 750), (1, 1000, 780), (10, 1, 790), (100, 1, 1_600)] {
            let made = guesses(networks, logins, hour);
            assert!(made <= most, "{networks} networks, {logins} logins: {made} guesses in an hour");
            assert!(made >= 700, "{networks} networks, {logins} logins: {made}, a delay and no refusal");
        }
    }

    #[test]
    fn others_never_use_up_what_a_known_network_has() {
        let throttle = Throttle::new(ThrottleLimits::default());
        let now = Instant::now();
        for number in 0..5_000 {
            for login in ["anna", "bert"] {
                if let Ok((paid, _)) = throttle.pay_at(&asks(login, number % 700, false), now) {
                    throttle.failed_at(&paid, now);
                }
            }
        }
        // Even from a network that itself is full of failures for others.
        let (_, wait) = throttle.pay_at(&asks("anna", 3, true), now).unwrap();
        assert_eq!(wait, Duration::ZERO);
        assert!(throttle.pay_at(&asks("anna", 3, false), now).is_err());
    }

    #[test]
    fn a_network_that_has_not_failed_does_not_stand_in_the_guessers_line() {
        let throttle = Throttle::new(ThrottleLimits::default());
        let now = Instant::now();
        for round in 0..100 {
            for number in 0..20 {
                if let Ok((paid, _)) = throttle.pay_at(&asks("anna", number, false), now) {
                    throttle.failed_at(&paid, now);
                }
            }
            let (paid, wait) = throttle.pay_at(&asks("anna", 1_000, false), now).unwrap();
            assert_eq!(wait, Duration::ZERO, "round {round}");
            throttle.give_back(paid);
        }
    }

    #[test]
    fn what_was_right_costs_nothing_and_what_is_over_is_forgotten() {
        let throttle = Throttle::new(ThrottleLimits { per_login: 2, ..ThrottleLimits::default() });
        let now = Instant::now();
        for _ in 0..100 {
            let (paid, wait) = throttle.pay_at(&asks("anna", 1, true), now).unwrap();
            assert_eq!(wait, Duration::ZERO);
            throttle.give_back(paid);
        }
        let pace = throttle.limits.pace;
        let waits: Vec<_> = (0..4).map(|_| throttle.pay_at(&asks("anna", 1, true), now).unwrap().1).collect();
        assert_eq!(waits, [Duration::ZERO, Duration::ZERO, pace, pace * 2]);
        let later = now + pace * 4;
        assert_eq!(throttle.pay_at(&asks("anna", 1, true), later).unwrap().1, Duration::ZERO);
    }

    #[tokio::test]
    async fn one_waits_for_a_login_from_a_network_and_who_goes_away_gets_it_back() {
        let limits = ThrottleLimits { per_login: 1, pace: Duration::from_secs(10), ..ThrottleLimits::default() };
        let throttle = Arc::new(Throttle::new(limits));
        let who = asks("anna", 1, true);
        drop(throttle.pay(&who).await.unwrap());
        let (own, asked) = (throttle.clone(), who.clone());
        let first = tokio::spawn(async move { own.pay(&asked).await.map(drop) });
        while throttle.state.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(throttle.pay(&who).await.is_err(), "one waits already");
        first.abort();
        assert!(first.await.is_err());
        assert!(throttle.state.lock().waiting.is_empty());
        let debt = throttle.state.lock().debts[&Purse::Known("anna".to_owned(), address(1))];
        assert!(debt <= Instant::now() + limits.pace, "what those paid who did not wait has come back");
    }

    #[test]
    fn memory_is_bounded_and_those_deepest_in_debt_stay() {
        let throttle = Throttle::new(ThrottleLimits::default());
        let now = Instant::now();
        for _ in 0..20 {
            throttle.pay_at(&asks("victim", 0, true), now).unwrap();
        }
        let count = u32::try_from(MAX_ENTRIES).unwrap() + 10;
        for number in 0..count {
            let (paid, _) = throttle.pay_at(&asks(&format!("x{number}"), number, false), now).unwrap();
            throttle.failed_at(&paid, now + Duration::from_nanos(u64::from(number)));
        }
        let state = throttle.state.lock();
        assert!(state.debts.len() <= MAX_ENTRIES && state.failed.len() <= MAX_ENTRIES);
        assert!(state.debts.contains_key(&Purse::Known("victim".to_owned(), address(0))));
    }
}
