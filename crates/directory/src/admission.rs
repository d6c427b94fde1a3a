//! Admission control for password hashing. A hash takes a core for about 30 ms and 19 MiB: after an outage, everyone
//! needs one at once.
//!
//! Hashing runs in separate low-priority threads. At most as many hashes as there are cores run at once, fewer while
//! the service responds late. Waiting logins are queued by network and, within a network, by login: each gets its turn
//! in rotation, so that neither a network nor a login with thousands of attempts delays others. The queues are bounded;
//! if they are full, or a login has waited too long, the client must try again later.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How much of the processor hashing threads leave to others: the `nice` value.
const NICENESS: i32 = 10;
/// No network may fill more of the lines than one part in so many.
const NETWORK_SHARE: usize = 4;
/// The service is late from here on, and well again below.
const LATE: Duration = Duration::from_millis(25);
const WELL: Duration = Duration::from_millis(8);
/// Between two changes of how many hash at once.
const SETTLE: Duration = Duration::from_millis(500);

/// Limits of password hashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Hashes at once. Default: as many as there are cores.
    pub at_once: usize,
    /// Logins that wait. Default 1,000.
    pub waiting: usize,
    /// How long one waits. Default 20 seconds.
    pub patience: Duration,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { at_once: cores, waiting: 1_000, patience: Duration::from_secs(20) }
    }
}

/// Refused: too many logins are waiting, or this one has waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins at once; try again soon")]
pub struct Busy;

type Job = Box<dyn FnOnce() + Send>;

/// The one gate of a directory.
pub(crate) struct Admission {
    limits: AdmissionLimits,
    lines: Arc<Mutex<Lines>>,
    jobs: mpsc::Sender<Job>,
}

struct Lines {
    /// How many may hash at once now.
    allowed: usize,
    running: usize,
    waiting: usize,
    networks: HashMap<IpAddr, Network>,
    /// Networks with someone waiting, the next one first.
    rotation: VecDeque<IpAddr>,
    changed: Instant,
}

#[derive(Default)]
struct Network {
    waiting: usize,
    logins: HashMap<String, VecDeque<oneshot::Sender<Turn>>>,
    rotation: VecDeque<String>,
}

impl Network {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let login = self.rotation.pop_front()?;
        let line = self.logins.get_mut(&login)?;
        let next = line.pop_front();
        if line.is_empty() {
            self.logins.remove(&login);
        } else {
            self.rotation.push_back(login);
        }
        self.waiting -= 1;
        next
    }
}

impl Lines {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let network = self.rotation.pop_front()?;
        let line = self.networks.get_mut(&network)?;
        let next = line.next();
        if line.waiting == 0 {
            self.networks.remove(&network);
        } else {
            self.rotation.push_back(network);
        }
        self.waiting -= 1;
        next
    }

    /// Lets in whom there is room for.
    fn let_in(lines: &Arc<Mutex<Self>>) {
        loop {
            let mut now = lines.lock();
            if now.running >= now.allowed {
                return;
            }
            let Some(next) = now.next() else { return };
            now.running += 1;
            now.measure();
            drop(now);
            // Who has gone meanwhile gives the turn back by dropping it.
            drop(next.send(Turn { lines: lines.clone() }));
        }
    }

    fn measure(&self) {
        metrics::gauge!("holdfast_directory_logins_waiting").set(self.waiting as f64);
        metrics::gauge!("holdfast_directory_hashing").set(self.running as f64);
    }
}

/// Leave to hash one password.
pub(crate) struct Turn {
    lines: Arc<Mutex<Lines>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        lines.running -= 1;
        lines.measure();
        drop(lines);
        Lines::let_in(&self.lines);
    }
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        let limits = AdmissionLimits { at_once: limits.at_once.max(1), ..limits };
        let (jobs, work) = mpsc::channel::<Job>();
        let work = Arc::new(Mutex::new(work));
        for _ in 0..limits.at_once {
            let work = work.clone();
            let spawned = std::thread::Builder::new().name("hash".to_owned()).spawn(move || {
                // Only a courtesy: without it sessions are slower while many log in.
                if let Err(error) = rustix::process::nice(NICENESS) {
                    tracing::debug!(%error, "could not lower the priority of hashing threads");
                }
                loop {
                    let job = work.lock().recv();
                    let Ok(job) = job else { return };
                    job();
                }
            });
            if let Err(error) = spawned {
                tracing::error!(%error, "a hashing thread failed");
            }
        }
        let lines = Lines {
            allowed: limits.at_once,
            running: 0,
            waiting: 0,
            networks: HashMap::new(),
            rotation: VecDeque::new(),
            changed: Instant::now(),
        };
        Self { limits, lines: Arc::new(Mutex::new(lines)), jobs }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Busy`].
    pub(crate) async fn turn(&self, network: IpAddr, login: &str) -> Result<Turn, Busy> {
        let begun = Instant::now();
        let waits = {
            let mut lines = self.lines.lock();
            if lines.running < lines.allowed && lines.waiting == 0 {
                lines.running += 1;
                lines.measure();
                return Ok(Turn { lines: self.lines.clone() });
            }
            let own = lines.networks.get(&network).map_or(0, |line| line.waiting);
            if lines.waiting >= self.limits.waiting || own >= (self.limits.waiting / NETWORK_SHARE).max(1) {
                metrics::counter!("holdfast_directory_logins_turned_away_total", "why" => "full").increment(1);
                return Err(Busy);
            }
            let (sender, waits) = oneshot::channel();
            lines.waiting += 1;
            if own == 0 {
                lines.rotation.push_back(network);
            }
            let line = lines.networks.entry(network).or_default();
            line.waiting += 1;
            let of_login = line.logins.entry(login.to_owned()).or_default();
            if of_login.is_empty() {
                line.rotation.push_back(login.to_owned());
            }
            of_login.push_back(sender);
            lines.measure();
            waits
        };
        let turn = tokio::time::timeout(self.limits.patience, waits).await;
        metrics::histogram!("holdfast_directory_login_wait_seconds").record(begun.elapsed().as_secs_f64());
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                metrics::counter!("holdfast_directory_logins_turned_away_total", "why" => "patience").increment(1);
                Err(Busy)
            }
        }
    }

    /// Runs work on a hashing thread for the holder of a turn. `None` on an internal failure.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            drop(turn);
            if let Ok(outcome) = outcome {
                let _ = done.send(outcome);
            }
        });
        self.jobs.send(job).ok()?;
        result.await.ok()
    }

    /// Learns how late the service answers, and hashes less at once while it is late.
    pub(crate) fn answers_late(&self, late: Duration, now: Instant) {
        let mut lines = self.lines.lock();
        if now.duration_since(lines.changed) < SETTLE {
            return;
        }
        let allowed = match late {
            late if late >= LATE => lines.allowed.saturating_sub(1).max(1),
            late if late <= WELL => (lines.allowed + 1).min(self.limits.at_once),
            _ => lines.allowed,
        };
        if allowed != lines.allowed {
            lines.allowed = allowed;
            lines.changed = now;
            metrics::gauge!("holdfast_directory_hashing_allowed").set(allowed as f64);
            drop(lines);
            Lines::let_in(&self.lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    fn gate(waiting: usize, patience: Duration) -> Arc<Admission> {
        Arc::new(Admission::new(AdmissionLimits { at_once: 1, waiting, patience }))
    }

    /// Queues a login; the channel yields the order of turns.
    async fn stand(gate: &Arc<Admission>, order: &Arc<Mutex<Vec<&'static str>>>, at: u8, login: &'static str) {
        let before = gate.lines.lock().waiting;
        let (own, order) = (gate.clone(), order.clone());
        tokio::spawn(async move {
            let turn = own.turn(network(at), login).await.unwrap();
            order.lock().push(login);
            drop(turn);
        });
        while gate.lines.lock().waiting == before {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn networks_and_logins_take_turns_however_many_tries_one_of_them_makes() {
        let gate = gate(100, Duration::from_secs(60));
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = gate.turn(network(9), "first").await.unwrap();
        for _ in 0..10 {
            stand(&gate, &order, 1, "guesser").await;
        }
        stand(&gate, &order, 1, "neighbour").await;
        stand(&gate, &order, 2, "other").await;
        drop(first);
        while order.lock().len() < 12 {
            tokio::task::yield_now().await;
        }
        assert_eq!(order.lock()[..4], ["guesser", "other", "neighbour", "guesser"]);
    }

    #[tokio::test]
    async fn the_lines_are_bounded_for_all_and_for_one_network() {
        let gate = gate(8, Duration::from_secs(60));
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = gate.turn(network(9), "first").await.unwrap();
        stand(&gate, &order, 1, "a").await;
        stand(&gate, &order, 1, "b").await;
        assert!(gate.turn(network(1), "c").await.is_err(), "one network has a quarter of the places");
        for at in 2..8 {
            stand(&gate, &order, at, "d").await;
        }
        assert!(gate.turn(network(8), "e").await.is_err(), "all places are taken");
        drop(first);
        while order.lock().len() < 8 {
            tokio::task::yield_now().await;
        }
        gate.turn(network(8), "e").await.unwrap();
        assert_eq!(gate.lines.lock().waiting, 0);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_and_takes_no_turn() {
        let gate = gate(8, Duration::from_millis(20));
        let first = gate.turn(network(9), "first").await.unwrap();
        assert_eq!(gate.turn(network(1), "late").await.err(), Some(Busy));
        drop(first);
        // The turn that nobody took has come back.
        gate.turn(network(2), "next").await.unwrap();
    }

    #[tokio::test]
    async fn a_service_that_answers_late_hashes_less_at_once() {
        let gate = Admission::new(AdmissionLimits { at_once: 4, ..AdmissionLimits::default() });
        let mut now = Instant::now();
        for expected in [3, 2, 1, 1] {
            now += SETTLE;
            gate.answers_late(Duration::from_millis(100), now);
            assert_eq!(gate.lines.lock().allowed, expected);
        }
        now += SETTLE;
        gate.answers_late(Duration::from_millis(1), now);
        assert_eq!(gate.lines.lock().allowed, 2);
        gate.answers_late(Duration::from_millis(1), now + SETTLE / 2);
        assert_eq!(gate.lines.lock().allowed, 2, "not at once again");
        let turn = gate.turn(network(1), "a").await.unwrap();
        assert_eq!(gate.run(turn, || 7).await, Some(7));
        let turn = gate.turn(network(1), "a").await.unwrap();
        assert_eq!(gate.run(turn, || panic!("a hash that fails")).await, None::<()>);
        assert_eq!(gate.lines.lock().running, 0);
    }
}
