//! Starts the tasks of the service, starts those again that fail, and stops all of them in order.
//!
//! A task either is essential, so that the service stops when it fails, or is kept up: after a failure it begins again,
//! after a while that grows with each failure. A panic is a failure like any other. What failed is on the [`TaskBoard`],
//! for the status, `/health`, the alarms and the metrics.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::told::told;

/// From a task's first failure until it begins again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause: it doubles with each failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A task that ran for so long before it failed begins again after the first pause.
const RAN_WELL: Duration = Duration::from_secs(600);
/// For how long a failure is an alarm.
const RECENT: Duration = Duration::from_secs(3600);

/// When a task is stopped: those of a phase once all of the phases before have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Listeners and their sessions: first, so that nothing new comes in.
    Sessions,
    /// The queue, maintenance, measuring.
    Work,
    /// Standbys and archives: they take what the others have committed last.
    Copies,
    /// The admin socket: a command that waits for the end is answered.
    Commands,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Sessions, Self::Work, Self::Copies, Self::Commands];
}

/// What is known of a task that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedTask {
    pub name: &'static str,
    /// How often it has failed since the process began.
    pub failures: u64,
    /// When it failed last, in milliseconds since 1970.
    pub at_ms: i64,
    /// Why.
    pub why: String,
    /// Whether it runs again.
    pub runs: bool,
}

/// The tasks that have failed.
#[derive(Debug, Default)]
pub struct TaskBoard {
    failed: Mutex<BTreeMap<&'static str, (FailedTask, Instant)>>,
}

impl TaskBoard {
    /// Each task that failed since the process began, by its name.
    pub fn failed(&self) -> Vec<FailedTask> {
        self.failed.lock().values().map(|(task, _)| task.clone()).collect()
    }

    /// Those that failed lately, or do not run again yet: they need a person.
    pub fn alarming(&self) -> Vec<FailedTask> {
        let is_recent = |(task, at): &&(FailedTask, Instant)| !task.runs || at.elapsed() < RECENT;
        self.failed.lock().values().filter(is_recent).map(|(task, _)| task.clone()).collect()
    }

    fn note(&self, name: &'static str, why: &str) {
        tracing::error!(task = name, why, "a task of the service failed");
        metrics::counter!("holdfast_task_failures_total", "task" => name).increment(1);
        let at_ms = jiff::Timestamp::now().as_millisecond();
        let mut failed = self.failed.lock();
        let failures = failed.get(name).map_or(0, |(task, _)| task.failures) + 1;
        let task = FailedTask { name, failures, at_ms, why: why.to_owned(), runs: false };
        failed.insert(name, (task, Instant::now()));
    }

    fn runs_again(&self, name: &'static str) {
        if let Some((task, _)) = self.failed.lock().get_mut(name) {
            task.runs = true;
        }
    }
}

struct Ended {
    phase: Phase,
    name: &'static str,
    outcome: anyhow::Result<()>,
}

/// The tasks of one process.
pub struct Supervisor {
    tasks: JoinSet<Ended>,
    /// How many tasks of each phase have not ended.
    open: BTreeMap<Phase, usize>,
    stops: BTreeMap<Phase, CancellationToken>,
    board: Arc<TaskBoard>,
    first_pause: Duration,
}

impl Supervisor {
    /// Without tasks.
    pub fn new(board: Arc<TaskBoard>) -> Self {
        let stops = Phase::ALL.map(|phase| (phase, CancellationToken::new())).into();
        Self { tasks: JoinSet::new(), open: BTreeMap::new(), stops, board, first_pause: FIRST_PAUSE }
    }

    /// What tells the tasks of a phase to stop.
    pub fn stop_of(&self, phase: Phase) -> CancellationToken {
        self.stops[&phase].clone()
    }

    /// Starts a task whose failure stops the service.
    pub fn essential<F, Fut>(&mut self, phase: Phase, name: &'static str, task: F)
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (stop, board) = (self.stop_of(phase), self.board.clone());
        let running = caught(task(stop.clone()));
        *self.open.entry(phase).or_default() += 1;
        self.tasks.spawn(async move {
            let outcome = running.await;
            match &outcome {
                Err(error) => board.note(name, &told(error)),
                Ok(()) if !stop.is_cancelled() => tracing::warn!(task = name, "ended although nobody stopped it"),
                Ok(()) => {}
            }
            Ended { phase, name, outcome }
        });
    }

    /// Starts a task that begins again when it fails.
    pub fn kept_up<F, Fut>(&mut self, phase: Phase, name: &'static str, task: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (stop, board, first_pause) = (self.stop_of(phase), self.board.clone(), self.first_pause);
        *self.open.entry(phase).or_default() += 1;
        self.tasks.spawn(async move {
            let mut pause = first_pause;
            loop {
                let began = Instant::now();
                let Err(error) = caught(task(stop.clone())).await else { break };
                if stop.is_cancelled() {
                    tracing::warn!(task = name, error = told(&error), "failed while stopping");
                    break;
                }
                board.note(name, &told(&error));
                if began.elapsed() >= RAN_WELL {
                    pause = first_pause;
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                tracing::warn!(task = name, "starting the task again");
                board.runs_again(name);
            }
            Ended { phase, name, outcome: Ok(()) }
        });
    }

    /// Waits for the failure of an essential task.
    pub async fn failure(&mut self) -> anyhow::Error {
        loop {
            match self.next().await {
                Some(Ended { name, outcome: Err(error), .. }) => return error.context(name),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Stops all tasks, phase by phase: `patience` for the sessions and for the work after them, and as much as they
    /// need for those that then remain. Gives whether all have ended by themselves; others are cut off.
    pub async fn stop(mut self, patience: impl Fn(Phase) -> Duration) -> bool {
        let mut all_ended = true;
        for phase in Phase::ALL {
            self.stops[&phase].cancel();
            let ended =
                async { while self.open.get(&phase).is_some_and(|open| *open > 0) && self.next().await.is_some() {} };
            all_ended &= tokio::time::timeout(patience(phase), ended).await.is_ok();
        }
        all_ended
    }

    async fn next(&mut self) -> Option<Ended> {
        // Panics are caught within, and nobody else can end a task.
        let ended = self.tasks.join_next().await?.expect("a task of the supervisor is not cut off");
        *self.open.get_mut(&ended.phase).expect("it was counted when it began") -= 1;
        Some(ended)
    }
}

/// A task with its panic as an error.
async fn caught(task: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    match AssertUnwindSafe(task).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(anyhow::anyhow!("panicked: {}", said.unwrap_or_else(|| "without a text".to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::bail;
    use tokio::sync::{Notify, mpsc};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn supervisor() -> (Supervisor, Arc<TaskBoard>) {
        let board = Arc::<TaskBoard>::default();
        let mut supervisor = Supervisor::new(board.clone());
        supervisor.first_pause = Duration::from_millis(1);
        (supervisor, board)
    }

    #[tokio::test]
    async fn a_kept_up_task_begins_again_after_an_error_and_after_a_panic_and_both_are_told() {
        let (mut supervisor, board) = supervisor();
        let (begins, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, runs) = (begins.clone(), again.clone());
        supervisor.kept_up(Phase::Work, "worker", move |stop| {
            let (number, runs) = (count.fetch_add(1, Ordering::SeqCst), runs.clone());
            async move {
                match number {
                    0 => bail!("first"),
                    1 => panic!("second {number}"),
                    _ => {
                        runs.notify_one();
                        stop.cancelled().await;
                        Ok(())
                    }
                }
            }
        });
        again.notified().await;
        let failed = board.failed();
        assert_eq!((failed.len(), failed[0].name, failed[0].failures, failed[0].runs), (1, "worker", 2, true));
        assert!(failed[0].why.contains("panicked: second 1"), "{failed:?}");
        assert_eq!(board.alarming(), failed);
        assert!(supervisor.stop(|_| LONG).await);
        assert_eq!(begins.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn the_failure_of_an_essential_task_is_given_with_its_name_however_it_fails() {
        for (panics, why) in [(false, "broken"), (true, "panicked: broken")] {
            let (mut supervisor, board) = supervisor();
            supervisor.essential(Phase::Sessions, "ends well", |_| async { Ok(()) });
            supervisor.essential(Phase::Sessions, "listener", move |_| async move {
                assert!(!panics, "broken");
                bail!("broken")
            });
            let error = told(&supervisor.failure().await);
            assert!(error.starts_with("listener: ") && error.contains(why), "{error}");
            assert_eq!(board.alarming().len(), 1);
            assert!(supervisor.stop(|_| LONG).await);
        }
    }

    #[tokio::test]
    async fn a_phase_is_stopped_once_those_before_it_have_ended() {
        let (mut supervisor, board) = supervisor();
        let (ends, mut ended) = mpsc::unbounded_channel();
        for phase in Phase::ALL.into_iter().rev() {
            for _ in 0..3 {
                let ends = ends.clone();
                let earlier: Vec<_> = Phase::ALL
                    .into_iter()
                    .filter(|other| *other > phase)
                    .map(|other| supervisor.stop_of(other))
                    .collect();
                supervisor.essential(phase, "task", move |stop| async move {
                    stop.cancelled().await;
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                        anyhow::ensure!(earlier.iter().all(|stop| !stop.is_cancelled()), "stopped too early");
                    }
                    ends.send(phase)?;
                    Ok(())
                });
            }
        }
        assert!(supervisor.stop(|_| LONG).await);
        drop(ends);
        let mut order = Vec::new();
        while let Some(phase) = ended.recv().await {
            order.push(phase);
        }
        assert_eq!(order, Phase::ALL.into_iter().flat_map(|phase| [phase; 3]).collect::<Vec<_>>());
        assert_eq!(board.failed(), []);
    }

    #[tokio::test]
    async fn a_task_that_does_not_stop_is_cut_off_and_that_is_told() {
        let (mut supervisor, _) = supervisor();
        let held = Arc::new(());
        let holds = held.clone();
        supervisor.essential(Phase::Sessions, "deaf", move |_| async move {
            std::future::pending::<()>().await;
            drop(holds);
            Ok(())
        });
        assert!(!supervisor.stop(|_| Duration::from_millis(1)).await);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_task_that_waits_to_begin_again_is_stopped_at_once() {
        let board = Arc::<TaskBoard>::default();
        let mut supervisor = Supervisor::new(board.clone());
        supervisor.first_pause = LONG * 60;
        let tried = Arc::new(Notify::new());
        let tries = tried.clone();
        supervisor.kept_up(Phase::Copies, "fails", move |_| {
            tries.notify_one();
            async { bail!("always") }
        });
        tried.notified().await;
        assert!(supervisor.stop(|_| LONG).await);
        assert!(board.failed().iter().all(|task| !task.runs));
    }
}
