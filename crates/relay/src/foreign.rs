//! A primary of another make: its mail is given to it by SMTP, at a pace that its answers set.
//!
//! SMTP knows no delivery id: if the connection is lost between the end of a message and the server's answer, or this machine
//! dies before it has stored that answer, the message is given again. All else is as with a primary of ours: nothing is lost,
//! nobody is sent a bounce, what the primary refuses for good is held.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use delivery::{Handed, Handover, HandoverMail};
use rand::RngExt as _;
use store::StoreError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    address_file::Addresses,
    agenda::Item,
    given::Given,
    keeper::Core,
    link::Link,
    list::{Recipients, SenderPolicy},
    pace::{Pace, Seen},
    spool,
    wire::Letter,
};

/// Between two looks at the pace, and at what may be given.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two looks at the file of recipients.
const FILE_EVERY: Duration = Duration::from_secs(5);
/// The first wait before the primary is tried again, and the longest.
const WAIT: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(20)];
/// A primary that answered within this is not asked whether it is there.
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// The first wait for a message that the primary did not take, in milliseconds, and how often it doubles at most.
const LATER_MS: i64 = 10_000;
const LATER_DOUBLES: u32 = 7;
/// When one that can't be read here is tried again.
const UNREADABLE_MS: i64 = 3_600_000;

/// How the primary of another make is reached, and whom it has.
pub struct ForeignOptions {
    /// HOST:PORT, for people.
    pub address: String,
    /// The way there.
    pub handover: Handover,
    /// The file with its recipients; see [`crate::address_file`].
    pub recipients: Option<PathBuf>,
    /// Domains about whose other addresses it is asked.
    pub ask_domains: Vec<String>,
    /// How senders are checked here.
    pub senders: Option<SenderPolicy>,
    /// The largest message that it takes.
    pub max_message_bytes: u64,
    /// Connections to it, at most.
    pub streams: u32,
}

impl ForeignOptions {
    /// The list as the file has it now. Blocking.
    ///
    /// # Errors
    /// The file can't be used.
    pub fn list(&self) -> std::io::Result<Recipients> {
        let addresses = match &self.recipients {
            Some(file) => Addresses::read(file)?,
            None => Addresses(Vec::new()),
        };
        let mut domains = addresses.domains();
        domains.extend(self.ask_domains.iter().filter(|domain| !domains.contains(domain)).cloned().collect::<Vec<_>>());
        Ok(Recipients::own(&addresses.0, domains, self.senders.clone(), self.max_message_bytes))
    }
}

/// What became of an attempt.
enum Attempt {
    /// It does not wait any longer.
    Gone,
    /// It can't be read here.
    Unreadable,
    /// The primary can't be reached.
    Unreachable(String),
    /// The primary has answered, about each recipient of the letter.
    Answered(Box<Letter>, Vec<Handed>),
}

/// Gives what waits until stopped.
pub async fn run(core: &Arc<Core>, link: &Link, foreign: &Arc<ForeignOptions>, shutdown: &CancellationToken) {
    let asked = core.asked.lock().take();
    let asking = async {
        match (&core.asking, asked) {
            (Some(asking), Some(asked)) => asking.run(&core.store, &foreign.handover, asked).await,
            _ => std::future::pending().await,
        }
    };
    let mut giving = Giving {
        core,
        link,
        foreign,
        pace: Pace::new(foreign.streams, 0),
        seen: Seen::default(),
        attempts: HashMap::new(),
        way: Way::default(),
        under_way: JoinSet::new(),
    };
    tokio::select! {
        () = giving.run(shutdown) => {}
        () = keep_list(core, foreign) => {}
        () = asking => {}
    }
}

/// Reads the file again and again, and takes a change over.
async fn keep_list(core: &Core, foreign: &Arc<ForeignOptions>) {
    let mut failed = String::new();
    let mut every = tokio::time::interval(FILE_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let options = Arc::clone(foreign);
        let read = tokio::task::spawn_blocking(move || options.list());
        match read.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(list) => {
                failed.clear();
                core.use_own_list(list);
            }
            Err(error) if error.to_string() != failed => {
                failed = error.to_string();
                tracing::error!(%error, "the file of recipients can't be used; the list as it was stays in use");
            }
            Err(_) => {}
        }
    }
}

/// Whether the primary can be reached.
#[derive(Default)]
struct Way {
    is_open: bool,
    /// When it is tried again.
    next: Option<Instant>,
    wait: Duration,
    /// When it last answered.
    heard: Option<Instant>,
}

impl Way {
    /// Whether it is to be tried whether the primary is there.
    fn is_due(&self, now: Instant) -> bool {
        if self.is_open {
            self.heard.is_none_or(|heard| now.duration_since(heard) >= PROBE_EVERY)
        } else {
            self.next.is_none_or(|next| now >= next)
        }
    }

    fn opens(&mut self, now: Instant) {
        *self = Self { is_open: true, heard: Some(now), ..Self::default() };
    }

    fn closes(&mut self, now: Instant) {
        if !self.is_open && self.next.is_some_and(|next| now < next) {
            // Several were under way.
            return;
        }
        let wait = if self.is_open { WAIT[0] } else { (self.wait * 2).clamp(WAIT[0], WAIT[1]) };
        let jitter = rand::rng().random_range(0.5..1.5);
        *self = Self { is_open: false, next: Some(now + wait.mul_f64(jitter)), wait, heard: None };
    }
}

struct Giving<'a> {
    core: &'a Arc<Core>,
    link: &'a Link,
    foreign: &'a Arc<ForeignOptions>,
    pace: Pace,
    seen: Seen,
    /// How often a message was put off by the primary.
    attempts: HashMap<u64, u32>,
    way: Way,
    under_way: JoinSet<(Item, Duration, Attempt)>,
}

impl Giving<'_> {
    async fn run(&mut self, shutdown: &CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.fill();
            tokio::select! {
                Some(done) = self.under_way.join_next() => self.heard(done).await,
                () = self.core.wake.notified() => {}
                _ = look.tick() => self.look().await,
                () = shutdown.cancelled() => break,
            }
        }
        // What the primary is answering just now is heard, as far as there is time: it would be given twice.
        while let Some(done) = self.under_way.join_next().await {
            self.heard(done).await;
        }
    }

    /// Looks at the pace, and whether the primary is there.
    async fn look(&mut self) {
        self.foreign.handover.sweep();
        self.core.look_at_backlog();
        self.pace.adjust(std::mem::take(&mut self.seen));
        if self.under_way.is_empty() && self.way.is_due(Instant::now()) {
            match self.foreign.handover.probe().await {
                Ok(()) => self.opens(),
                Err(why) => self.closes(why),
            }
        }
        self.link.grants(if self.way.is_open { self.streams() } else { 0 });
    }

    fn streams(&self) -> u32 {
        self.pace.grant(1, false).streams
    }

    fn opens(&mut self) {
        if !self.way.is_open {
            self.link.opens();
            self.link.grants(self.streams());
        }
        self.way.opens(Instant::now());
        self.core.runs.store(true, Ordering::Relaxed);
    }

    fn closes(&mut self, why: String) {
        self.way.closes(Instant::now());
        self.seen.trouble = true;
        self.core.runs.store(false, Ordering::Relaxed);
        self.link.ends(Some(Error::NotNow(why)));
    }

    /// Begins to give as many as the pace allows.
    fn fill(&mut self) {
        while self.way.is_open && self.under_way.len() < self.streams() as usize {
            let core = self.core;
            let now_ms = core.store.clock().now_ms();
            let Some(item) = core.agenda.lock().next(now_ms, |_| true) else { return };
            let (core, foreign) = (Arc::clone(core), Arc::clone(self.foreign));
            self.under_way.spawn(async move {
                let begun = Instant::now();
                let attempt = give(&core, &foreign.handover, item.id).await;
                (item, begun.elapsed(), attempt)
            });
        }
    }

    async fn heard(&mut self, done: Result<(Item, Duration, Attempt), tokio::task::JoinError>) {
        let (item, took, attempt) = match done {
            Ok(done) => done,
            Err(error) => {
                // What it was giving waits until the next start: nothing is lost.
                tracing::error!(%error, "an attempt to give a message to the primary failed");
                return;
            }
        };
        let core = self.core;
        let now_ms = core.store.clock().now_ms();
        match attempt {
            Attempt::Gone => drop(core.agenda.lock().done(item.id)),
            Attempt::Unreadable => core.agenda.lock().postpone(item.id, now_ms + UNREADABLE_MS),
            Attempt::Unreachable(why) => {
                core.agenda.lock().postpone(item.id, now_ms);
                self.closes(why);
            }
            Attempt::Answered(letter, handed) => {
                self.opens();
                self.seen.slowest = self.seen.slowest.max(took);
                self.seen.taken += 1;
                if let Err(error) = self.settle(&letter, handed).await {
                    tracing::error!(%error, "could not store what became of a message: it is given again");
                    self.put_off(item.id);
                }
            }
        }
    }

    /// Stores what became of a message.
    async fn settle(&mut self, letter: &Letter, handed: Vec<Handed>) -> Result<(), StoreError> {
        let (core, id) = (self.core, letter.id);
        let taken = handed.iter().filter(|one| **one == Handed::Taken).count();
        let later = handed.iter().find_map(|one| if let Handed::Later(why) = one { Some(why.clone()) } else { None });
        let outcomes: Vec<_> = letter.recipients.iter().cloned().zip(handed).collect();
        let is_settled = outcomes.iter().any(|(_, one)| !matches!(one, Handed::Later(_)));
        let ended =
            if is_settled { core.store.transact(move |tx| spool::settle_in(tx, id, &outcomes)).await? } else { None };
        metrics::counter!("holdfast_relay_given_total", "result" => "taken").increment(u64::from(taken > 0));
        if let Some(why) = later {
            tracing::info!(id = %delivery::QueueId(id), why, "the primary takes a message later");
            metrics::counter!("holdfast_relay_given_total", "result" => "later").increment(1);
            self.seen.trouble = true;
        }
        let Some(refused) = ended else {
            self.put_off(id);
            return Ok(());
        };
        if !refused.is_empty() {
            tracing::warn!(id = %delivery::QueueId(id), refused, "the primary refused a message for good");
            metrics::counter!("holdfast_relay_given_total", "result" => "refused").increment(1);
        }
        self.attempts.remove(&id);
        let at_ms = core.store.clock().now_ms();
        let mut given = core.given.lock();
        if core.agenda.lock().done(id).is_some() {
            given.insert(id, Given { seq: 0, at_ms, refused: !refused.is_empty() });
        }
        drop(given);
        core.look_at_backlog();
        Ok(())
    }

    /// It is tried again after a wait that grows.
    fn put_off(&mut self, id: u64) {
        let attempts = self.attempts.entry(id).or_default();
        let wait_ms = LATER_MS << (*attempts).min(LATER_DOUBLES);
        *attempts += 1;
        let until_ms = self.core.store.clock().now_ms() + rand::rng().random_range(wait_ms / 2..wait_ms * 3 / 2);
        self.core.agenda.lock().postpone(id, until_ms);
    }
}

/// Gives one message.
async fn give(core: &Arc<Core>, handover: &Handover, id: u64) -> Attempt {
    let read = Arc::clone(core);
    let read = tokio::task::spawn_blocking(move || spool::waiting(&read.store.snapshot(), id));
    let letter = match read.await {
        Ok(Ok(Some(letter))) => letter,
        Ok(Ok(None)) => return Attempt::Gone,
        Ok(Err(error)) => {
            tracing::error!(id = %delivery::QueueId(id), %error, "a message that waits for the primary can't be read here");
            return Attempt::Unreadable;
        }
        Err(_) => return Attempt::Unreadable,
    };
    let Ok(body) = spool::body_of(&letter) else { return Attempt::Unreadable };
    let mail = HandoverMail {
        from: letter.from.clone(),
        recipients: letter.recipients.clone(),
        smtputf8: letter.smtputf8,
        trace: Bytes::copy_from_slice(&letter.trace),
        body,
    };
    match handover.give(&mail).await {
        Ok(handed) => Attempt::Answered(Box::new(letter), handed),
        Err(why) => Attempt::Unreachable(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_that_is_away_is_tried_less_and_less_often_and_one_that_answers_is_not_asked() {
        let begun = Instant::now();
        let mut way = Way::default();
        assert!(way.is_due(begun));
        let mut now = begun;
        let mut waits = Vec::new();
        for _ in 0..12 {
            way.closes(now);
            let next = way.next.unwrap();
            assert!(!way.is_due(now) && way.is_due(next));
            // The others that were under way say the same, and count no more.
            way.closes(now);
            assert_eq!(way.next, Some(next));
            waits.push(next - now);
            now = next;
        }
        assert!(waits[0] <= WAIT[0] * 3 && waits[11] >= WAIT[1] / 2 && waits[11] <= WAIT[1] * 2, "{waits:?}");
        way.opens(now);
        assert!(!way.is_due(now) && way.is_due(now + PROBE_EVERY));
        way.closes(now);
        assert!(way.next.unwrap() <= now + WAIT[0] * 2, "it begins anew");
    }
}
