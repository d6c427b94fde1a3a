//! Processes the queue: finds due legs, starts attempts, checks deadlines, until cancelled.

mod agenda;

use std::collections::{HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message as _;
use store::{Order, Read};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::hint::Hint;
use crate::options::LOOK_AGAIN_MS;
use crate::outbound::attempt::Outbound;
use crate::schema::{self, DueRecord, LegId, due_prefix, due_time_prefix};
use crate::{Delivery, Result, queue};
use agenda::{Agenda, Fresh, Limits, Slot};

/// Due entries of a destination that are compared for fairness between senders.
const FAIRNESS_WINDOW: usize = 64;
/// The queue is looked through at least this often, whatever hints say: nothing is ever forgotten.
const RESCAN_EVERY: Duration = Duration::from_mins(5);
/// Results that may wait to be recorded, for each attempt that may run.
const UNSETTLED_PER_SLOT: usize = 4;
/// What is due is counted so often while there is something to do; a count may take one part in twenty of the time.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How long running attempts may continue after a shutdown request.
const GRACE: Duration = Duration::from_secs(30);

impl Delivery {
    pub(crate) fn hint(&self, hints: &[Hint]) {
        self.inner.hints.give(hints);
    }

    /// Processes the queue until `shutdown`; returns when running attempts have ended or 30 seconds have passed. Run it
    /// once per store. Attempts interrupted by a crash are repeated.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<()> {
        let mut runner = Runner::new(self.clone())?;
        let mut stops = std::pin::pin!(self.look_after_stops());
        let mut owed = std::pin::pin!(self.look_after_owed());
        runner.scan();
        runner.set_gauges();
        runner.upkeep();
        loop {
            runner.hear();
            runner.begin_due();
            runner.count_due().await;
            let pause = runner.pause();
            let Runner { attempts, deadlines, looking, answers, .. } = &mut runner;
            let heard = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some((id, reached)) = answers.recv() => Heard::Answer(id, reached),
                Some(ended) = attempts.join_next_with_id(), if !attempts.is_empty() => Heard::End(ended),
                never = &mut stops => match never {},
                never = &mut owed => match never {},
                () = self.inner.hints.wake.notified() => Heard::Hint,
                looked = deadlines, if *looking => {
                    *looking = false;
                    Heard::Looked { again: looked.unwrap_or(false) }
                }
                () = tokio::time::sleep(pause) => Heard::Hint,
            };
            match heard {
                Heard::Hint => {}
                Heard::Answer(id, reached) => runner.free(id, Some(reached)),
                Heard::End(ended) => runner.end(ended),
                Heard::Looked { again } => {
                    let earliest = if again { self.now_ms() + LOOK_AGAIN_MS } else { i64::MIN };
                    let next = runner.read_first_deadline().max(earliest);
                    runner.first_deadline_ms = runner.first_deadline_ms.min(next);
                }
            }
        }
        runner.stop().await;
        Ok(())
    }
}

/// The event that woke the runner.
enum Heard {
    Hint,
    Answer(Id, bool),
    End(std::result::Result<(Id, ()), tokio::task::JoinError>),
    /// All deadlines that had come were looked at, perhaps not for the last time.
    Looked {
        again: bool,
    },
}

/// The work at a destination.
struct Choice {
    /// The leg to attempt, and its owner.
    leg: Option<(LegId, u64)>,
    /// When to look at the destination again.
    next_due_ms: Option<i64>,
}

struct Runner {
    delivery: Delivery,
    outbound: Arc<Outbound>,
    agenda: Agenda,
    attempts: JoinSet<()>,
    /// What each attempt takes up, until somebody answered or it is over.
    slots: HashMap<Id, Slot>,
    /// Where each attempt that is not over goes.
    running: HashMap<Id, Arc<str>>,
    /// Destinations where something due was passed over because an attempt held it: looked at again when one there is over.
    passed_over: HashSet<Arc<str>>,
    /// Tells of attempts at which somebody answered, or nobody did; their results may not be recorded yet.
    answers: mpsc::UnboundedReceiver<(Id, bool)>,
    answering: mpsc::UnboundedSender<(Id, bool)>,
    deadlines: tokio::task::JoinHandle<bool>,
    looking: bool,
    /// No deadline comes before.
    first_deadline_ms: i64,
    /// Nothing due before is left at a destination: its entries are read from there on. What was deleted before would
    /// otherwise be passed over again and again.
    floors: HashMap<Arc<str>, i64>,
    scanned: tokio::time::Instant,
    /// How much of the backlog was tried since what is due was counted.
    tried: u64,
    counted: tokio::time::Instant,
    /// Counts what is due, and says how long that took.
    counting: Option<tokio::task::JoinHandle<Duration>>,
    count_every: Duration,
}

impl Runner {
    fn new(delivery: Delivery) -> Result<Self> {
        let options = &delivery.inner.options;
        let limits = Limits {
            total: options.max_concurrent,
            backlog: options.max_concurrent_backlog.clamp(1, options.max_concurrent),
            per_hop: options.max_per_destination,
            rest: options.rest_of_dead_hosts,
            shared_hop_except: options.smarthost.as_ref().map(|_| options.static_routes.keys().cloned().collect()),
        };
        let (answering, answers) = mpsc::unbounded_channel();
        let outbound = delivery.outbound()?;
        Ok(Self {
            outbound: Arc::new(outbound),
            agenda: Agenda::new(limits),
            attempts: JoinSet::new(),
            answers,
            answering,
            slots: HashMap::new(),
            deadlines: tokio::spawn(async { false }),
            looking: false,
            first_deadline_ms: i64::MAX,
            floors: HashMap::new(),
            running: HashMap::new(),
            passed_over: HashSet::new(),
            scanned: tokio::time::Instant::now(),
            tried: 0,
            counted: tokio::time::Instant::now(),
            counting: None,
            count_every: COUNT_EVERY,
            delivery,
        })
    }

    /// Look through the whole queue. What can not be read is tried again with the next look.
    fn scan(&mut self) {
        if let Err(error) = self.find_destinations() {
            tracing::error!(%error, "could not read the queue");
        }
    }

    /// Find all destinations and when each has something to do: one read per destination.
    fn find_destinations(&mut self) -> Result<()> {
        self.scanned = tokio::time::Instant::now();
        self.floors.clear();
        self.first_deadline_ms = self.read_first_deadline();
        let snapshot = self.delivery.inner.store.snapshot();
        let mut from = b"d".to_vec();
        let mut found: HashSet<Arc<str>> = HashSet::new();
        loop {
            let range = (Bound::Included(from), Bound::Excluded(b"e".to_vec()));
            let Some(row) = snapshot.range(queue::QUEUE, range, Order::Ascending)?.next() else { break };
            let (key, _) = row?;
            let Some((destination, due_ms, _)) = schema::due_key_parts(&key) else {
                tracing::error!("skipping an invalid queue entry: run `holdfast verify`");
                from = [&key, [0].as_slice()].concat();
                continue;
            };
            let destination: Arc<str> = destination.into();
            self.agenda.note(&destination, due_ms);
            from = due_prefix(&destination);
            if let Some(last) = from.last_mut() {
                *last = 1;
            }
            found.insert(destination);
        }
        metrics::gauge!("holdfast_delivery_queue_destinations").set(found.len() as f64);
        Ok(())
    }

    /// Processes hints from the rest of the process.
    fn hear(&mut self) {
        self.outbound.sweep(false);
        let hints = std::mem::take(&mut *self.delivery.inner.hints.waiting.lock());
        let now_ms = self.delivery.now_ms();
        if !hints.is_empty() {
            // They may be of a new message.
            let options = &self.delivery.inner.options;
            let wait = options.delay_warning.min(options.expiry);
            let earliest = now_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
            self.first_deadline_ms = self.first_deadline_ms.min(earliest);
        }
        for hint in hints {
            if let Some(floor) = self.floors.get_mut(&hint.destination) {
                *floor = hint.due_ms.min(*floor);
            }
            match hint.fresh {
                Some((leg, owner)) if hint.due_ms <= now_ms => {
                    self.agenda.note_fresh(Fresh { leg, destination: hint.destination, owner }, hint.due_ms);
                }
                _ => self.agenda.note(&hint.destination, hint.due_ms),
            }
        }
        if self.delivery.inner.hints.rescan.swap(false, Ordering::Relaxed) || self.scanned.elapsed() >= RESCAN_EVERY {
            if self.scanned.elapsed() >= RESCAN_EVERY {
                self.set_gauges();
                self.upkeep();
            }
            self.scan();
        }
    }

    /// Renews policies, writes down counts and reports them, in the background.
    fn upkeep(&self) {
        let (delivery, outbound) = (self.delivery.clone(), Arc::clone(&self.outbound));
        tokio::spawn(async move {
            outbound.upkeep().await;
            delivery.report_tls(&outbound).await;
        });
    }

    /// Counts the queue, in the background.
    fn set_gauges(&self) {
        let delivery = self.delivery.clone();
        tokio::task::spawn_blocking(move || delivery.queue_stats().map(drop));
    }

    /// Counts what is due, in the background, for the estimate.
    async fn count_due(&mut self) {
        if let Some(counting) = self.counting.take_if(|counting| counting.is_finished()) {
            self.count_every = counting.await.map_or(COUNT_EVERY, |took| COUNT_EVERY.max(took * 20));
        }
        let is_idle = self.tried == 0 && self.slots.is_empty() && !self.is_busy();
        if is_idle || self.counting.is_some() || self.counted.elapsed() < self.count_every {
            return;
        }
        self.counted = tokio::time::Instant::now();
        let (delivery, tried) = (self.delivery.clone(), std::mem::take(&mut self.tried));
        let is_resting = self.agenda.resting(delivery.now_ms());
        self.counting = Some(tokio::task::spawn_blocking(move || {
            let begun = std::time::Instant::now();
            if let Err(error) = delivery.count_due(tried, is_resting) {
                tracing::error!(%error, "could not count what is due in the queue");
            }
            begun.elapsed()
        }));
    }

    /// Whether something was due when that was counted.
    fn is_busy(&self) -> bool {
        self.delivery.inner.progress.lock().is_busy()
    }

    fn begin_due(&mut self) {
        let now_ms = self.delivery.now_ms();
        let most = self.delivery.inner.options.max_concurrent * UNSETTLED_PER_SLOT;
        while self.attempts.len() < most
            && let Some(fresh) = self.agenda.next_fresh(now_ms)
        {
            let slot = Slot { destination: fresh.destination, owner: fresh.owner, fresh: true };
            self.begin(fresh.leg, slot);
        }
        while self.attempts.len() < most
            && let Some(destination) = self.agenda.next_backlog(now_ms)
        {
            match self.choose(&destination, now_ms) {
                Ok(Choice { leg, next_due_ms }) => {
                    if let Some((leg, owner)) = leg {
                        self.begin(leg, Slot { destination: Arc::clone(&destination), owner, fresh: false });
                    }
                    if let Some(due_ms) = next_due_ms {
                        self.agenda.note(&destination, due_ms);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, destination = &*destination, "could not read the queue");
                    self.agenda.note(&destination, now_ms + 60_000);
                }
            }
        }
        if !self.looking && self.first_deadline_ms <= now_ms {
            let delivery = self.delivery.clone();
            self.deadlines = tokio::spawn(async move { delivery.look_at_deadlines().await });
            self.looking = true;
            self.first_deadline_ms = i64::MAX;
        }
    }

    /// The oldest due leg of the sender who has least under way; and when to look at the destination again.
    fn choose(&mut self, destination: &Arc<str>, now_ms: i64) -> Result<Choice> {
        let snapshot = self.delivery.inner.store.snapshot();
        let floor = self.floors.get(destination).copied().unwrap_or(0);
        let (start, mut end) = (due_time_prefix(destination, floor), due_prefix(destination));
        if let Some(last) = end.last_mut() {
            *last = 1;
        }
        let mut first_due_ms = None;
        let mut best: Option<(usize, LegId, u64)> = None;
        let mut next_due_ms = None;
        let mut seen = 0;
        for row in snapshot.range(queue::QUEUE, (Bound::Included(start), Bound::Excluded(end)), Order::Ascending)? {
            let (key, value) = row?;
            let Some((_, due_ms, leg)) = schema::due_key_parts(&key) else { continue };
            first_due_ms = first_due_ms.or(Some(due_ms));
            if due_ms > now_ms {
                // If something else is due now, that comes first.
                next_due_ms = next_due_ms.or(Some(due_ms));
                break;
            }
            if self.delivery.inner.claims.is_claimed(leg) {
                // Its result may be recorded already, and an operator may have asked for it again since.
                self.passed_over.insert(Arc::clone(destination));
                continue;
            }
            let owner = DueRecord::decode(value).map(|record| record.owner).unwrap_or_default();
            let running = self.agenda.running_of(owner);
            if best.is_none_or(|(least, ..)| running < least) {
                if best.is_some() || seen > 0 {
                    next_due_ms = Some(now_ms);
                }
                best = Some((running, leg, owner));
            } else {
                next_due_ms = Some(now_ms);
            }
            seen += 1;
            if seen >= FAIRNESS_WINDOW || (running == 0 && seen > 1) {
                next_due_ms = Some(now_ms);
                break;
            }
        }
        // What comes into the queue from now on is due from now on, or comes with a hint.
        self.floors.insert(Arc::clone(destination), first_due_ms.unwrap_or(now_ms).min(now_ms));
        Ok(Choice { leg: best.map(|(_, leg, owner)| (leg, owner)), next_due_ms })
    }

    fn begin(&mut self, leg: LegId, slot: Slot) {
        // Somebody else works on it: the leg is hinted at again when they are done.
        let Some(claim) = self.delivery.inner.claims.claim(leg) else { return };
        self.agenda.begin(&slot);
        let (delivery, outbound) = (self.delivery.clone(), Arc::clone(&self.outbound));
        let answering = self.answering.clone();
        let task = self.attempts.spawn(async move {
            let _claim = claim;
            let me = tokio::task::id();
            let answered = move |reached| {
                // The runner may have stopped listening.
                let _ = answering.send((me, reached));
            };
            delivery.attempt(&outbound, leg, answered).await;
        });
        self.running.insert(task.id(), Arc::clone(&slot.destination));
        self.slots.insert(task.id(), slot);
        metrics::gauge!("holdfast_delivery_attempts_running").set(self.attempts.len() as f64);
    }

    fn end(&mut self, ended: std::result::Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a delivery attempt was interrupted");
                error.id()
            }
        };
        // Its answer may wait to be heard still.
        while let Ok((id, reached)) = self.answers.try_recv() {
            self.free(id, Some(reached));
        }
        self.free(id, None);
        if let Some(destination) = self.running.remove(&id)
            && self.passed_over.remove(&destination)
        {
            self.floors.remove(&destination);
            self.agenda.note(&destination, self.delivery.now_ms());
        }
        metrics::gauge!("holdfast_delivery_attempts_running").set(self.attempts.len() as f64);
    }

    /// Give back what an attempt took up, unless that was done.
    fn free(&mut self, id: Id, reached: Option<bool>) {
        if let Some(slot) = self.slots.remove(&id) {
            let now_ms = self.delivery.now_ms();
            self.agenda.end(&slot, reached, now_ms);
            self.tried += u64::from(!slot.fresh && reached.is_some());
            if reached.is_none() {
                // It was not due, gone, or could not be begun: the queue knows.
                self.floors.remove(&slot.destination);
                self.agenda.note(&slot.destination, now_ms + 1_000);
            }
        }
    }

    fn read_first_deadline(&self) -> i64 {
        let snapshot = self.delivery.inner.store.snapshot();
        let first = || {
            let row = snapshot.prefix(queue::QUEUE, b"x", Order::Ascending).ok()?.next()?.ok()?;
            schema::deadline_key_parts(&row.0).map(|(when, _)| when)
        };
        first().unwrap_or(i64::MAX)
    }

    /// How long to sleep without an event.
    fn pause(&self) -> Duration {
        let most = self.delivery.inner.options.max_concurrent * UNSETTLED_PER_SLOT;
        // With too many unrecorded results it is their recording that is waited for.
        let due = self.agenda.wake_ms().filter(|_| self.attempts.len() < most);
        let deadline = (!self.looking && self.first_deadline_ms < i64::MAX).then_some(self.first_deadline_ms);
        let next = [due, deadline].into_iter().flatten().min();
        let until = |ms: i64| Duration::from_millis(u64::try_from(ms - self.delivery.now_ms()).unwrap_or(0));
        let keep = self.delivery.inner.options.keep_connection.max(Duration::from_secs(1));
        let count = if self.is_busy() { self.count_every } else { RESCAN_EVERY };
        next.map_or(RESCAN_EVERY, until).min(count).min(keep)
    }

    async fn stop(mut self) {
        let all = async { while self.attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            // Their legs are due still: they are attempted again after the next start.
            tracing::warn!(left = self.attempts.len(), "shutdown interrupted delivery attempts");
            self.attempts.shutdown().await;
        }
        if self.looking {
            let _ = self.deadlines.await;
        }
        self.outbound.sweep(true);
        self.outbound.write_down().await;
    }
}
