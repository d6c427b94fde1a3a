//! A plan: steps through the stages, each with the gates that must be open first and the time it is held.

use std::{fmt, io, str::FromStr, sync::Arc, time::Duration};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{Stage, Stages};

/// How often gates are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a gate may stay closed before the plan stops, unless the step says otherwise.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(300);
/// Steps of one plan.
const MAX_STEPS: usize = 50;

/// A condition for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// What the service cannot do without was read and found to be what it must be.
    Verified,
    /// There is a checkpoint of the last day.
    Snapshot,
    /// A standby has everything.
    Replica,
    /// Fewer logins in a second, over the last ten seconds.
    LoginsBelow(u64),
    /// Fewer messages wait in the queue.
    QueueBelow(u64),
}

/// No gate is written like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gate {0:?} is unknown; choose one of: verified, snapshot, replica, logins<N, queue<N")]
pub struct ParseGateError(String);

impl FromStr for Gate {
    type Err = ParseGateError;

    fn from_str(text: &str) -> Result<Self, ParseGateError> {
        let number = |rest: &str| rest.trim().parse().map_err(|_| ParseGateError(text.to_owned()));
        match text.split_once('<') {
            None if text == "verified" => Ok(Self::Verified),
            None if text == "snapshot" => Ok(Self::Snapshot),
            None if text == "replica" => Ok(Self::Replica),
            Some(("logins", rest)) => number(rest).map(Self::LoginsBelow),
            Some(("queue", rest)) => number(rest).map(Self::QueueBelow),
            _ => Err(ParseGateError(text.to_owned())),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified => f.write_str("verified"),
            Self::Snapshot => f.write_str("snapshot"),
            Self::Replica => f.write_str("replica"),
            Self::LoginsBelow(count) => write!(f, "logins<{count}"),
            Self::QueueBelow(count) => write!(f, "queue<{count}"),
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The target stage.
    pub stage: Stage,
    /// The conditions for the step.
    pub gates: Vec<Gate>,
    /// How long a gate may stay closed before the plan stops.
    pub patience: Duration,
    /// How long the stage is held before the next step.
    pub hold: Duration,
}

/// The way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// Why a plan can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is not TOML, or has other keys.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A step is wrong.
    #[error("step {number}: {what}")]
    Step {
        /// Which, from 1.
        number: usize,
        /// What.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    step: Vec<StepFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    stage: String,
    #[serde(default)]
    gates: Vec<String>,
    hold_seconds: Option<u64>,
    patience_seconds: Option<u64>,
}

impl Plan {
    /// From checks to everything, with a pause after each stage in which people log in again.
    pub fn usual() -> Self {
        let step = |stage, gates: &[Gate], hold| Step {
            stage,
            gates: gates.to_vec(),
            patience: DEFAULT_PATIENCE,
            hold: Duration::from_secs(hold),
        };
        Self {
            steps: vec![
                step(Stage::Checks, &[], 0),
                step(Stage::Web, &[Gate::Verified], 300),
                step(Stage::Clients, &[Gate::Verified, Gate::LoginsBelow(20)], 600),
                step(Stage::Queues, &[Gate::LoginsBelow(20)], 60),
                step(Stage::Open, &[Gate::QueueBelow(1_000)], 0),
            ],
        }
    }

    /// After a stop that was not in order: checks, then straight to where the service was.
    pub fn after_unclean_stop(to: Stage) -> Self {
        let step = |stage, gates| Step { stage, gates, patience: Duration::ZERO, hold: Duration::ZERO };
        Self { steps: vec![step(Stage::Checks, vec![]), step(to, vec![Gate::Verified])] }
    }

    /// A plan from TOML: `[[step]]` with `stage`, `gates`, `hold_seconds`, `patience_seconds`.
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        let file: PlanFile = toml::from_str(text)?;
        if file.step.is_empty() || file.step.len() > MAX_STEPS {
            let what = format!("a plan must have 1 to {MAX_STEPS} steps, not {}", file.step.len());
            return Err(PlanError::Step { number: file.step.len(), what });
        }
        let mut steps = Vec::new();
        for (at, step) in file.step.into_iter().enumerate() {
            let wrong = |what: String| PlanError::Step { number: at + 1, what };
            steps.push(Step {
                stage: step.stage.parse().map_err(|error: super::UnknownName| wrong(error.to_string()))?,
                gates: step
                    .gates
                    .iter()
                    .map(|gate| gate.parse().map_err(|error: ParseGateError| wrong(error.to_string())))
                    .collect::<Result<_, _>>()?,
                hold: Duration::from_secs(step.hold_seconds.unwrap_or(0)),
                patience: step.patience_seconds.map_or(DEFAULT_PATIENCE, Duration::from_secs),
            });
        }
        Ok(Self { steps })
    }
}

/// Checks gates.
#[async_trait::async_trait]
pub trait Health: Send + Sync {
    /// `Err` with the reason if the gate is closed.
    async fn check(&self, gate: Gate) -> Result<(), String>;
}

/// How far a plan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Waiting for a gate before a step.
    Waiting {
        /// The stage that the step leads to.
        stage: Stage,
        /// Why the gate is closed.
        why: String,
    },
    /// Holding a stage.
    Holding {
        /// Which.
        stage: Stage,
    },
    /// A gate stayed closed: the service stays where it is until the operator decides.
    Stopped {
        /// The stage that was not reached.
        stage: Stage,
        /// Why.
        why: String,
    },
    /// All steps were taken.
    Done,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { stage, why } => write!(f, "waiting before stage {stage}: {why}"),
            Self::Holding { stage } => write!(f, "holding stage {stage}"),
            Self::Stopped { stage, why } => write!(f, "stopped before stage {stage}: {why}"),
            Self::Done => f.write_str("done"),
        }
    }
}

impl Stages {
    /// Runs a plan until it is done, a gate stays closed, or it is cancelled. `keeps`: store the reached stages, so that
    /// they survive a restart.
    ///
    /// # Errors
    /// The reached stage could not be stored.
    pub async fn follow(
        &self,
        plan: &Plan,
        health: &Arc<dyn Health>,
        keeps: bool,
        cancelled: &CancellationToken,
    ) -> io::Result<Progress> {
        for step in &plan.steps {
            if let Some(why) = self.wait_for(step, health, cancelled).await {
                let stopped = Progress::Stopped { stage: step.stage, why };
                tracing::error!(%stopped, "plan");
                self.progress.send_replace(Some(stopped.clone()));
                return Ok(stopped);
            }
            if keeps {
                self.set(step.stage)?;
            } else {
                self.go(step.stage);
            }
            self.progress.send_replace(Some(Progress::Holding { stage: step.stage }));
            tokio::select! {
                () = tokio::time::sleep(step.hold) => {}
                () = cancelled.cancelled() => {}
            }
        }
        self.progress.send_replace(Some(Progress::Done));
        Ok(Progress::Done)
    }

    /// Waits until a step's gates are open; gives why they stayed closed.
    async fn wait_for(&self, step: &Step, health: &Arc<dyn Health>, cancelled: &CancellationToken) -> Option<String> {
        let deadline = tokio::time::Instant::now() + step.patience;
        for gate in &step.gates {
            loop {
                if cancelled.is_cancelled() {
                    return Some("the plan was cancelled".to_owned());
                }
                let Err(why) = health.check(*gate).await else { break };
                let why = format!("{gate}: {why}");
                if tokio::time::Instant::now() >= deadline {
                    return Some(why);
                }
                self.progress.send_replace(Some(Progress::Waiting { stage: step.stage, why }));
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = cancelled.cancelled() => {}
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Says no so many times.
    struct Reluctant(AtomicU64);

    #[async_trait::async_trait]
    impl Health for Reluctant {
        async fn check(&self, gate: Gate) -> Result<(), String> {
            match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(left) if gate == Gate::QueueBelow(10) => Err(format!("{left} wait")),
                _ => Ok(()),
            }
        }
    }

    fn plan(patience: u64) -> Plan {
        let text = format!(
            "[[step]]\nstage = \"web\"\n[[step]]\nstage = \"open\"\ngates = [\"queue<10\"]\npatience_seconds = {patience}"
        );
        Plan::from_toml(&text).unwrap()
    }

    async fn run(plan: Plan, refusals: u64) -> (Progress, Stage, Stage) {
        let dir = tempfile::tempdir().unwrap();
        let stages = Stages::open(dir.path()).unwrap();
        let health: Arc<dyn Health> = Arc::new(Reluctant(AtomicU64::new(refusals)));
        let ended = stages.follow(&plan, &health, true, &CancellationToken::new()).await.unwrap();
        (ended, stages.now().stage, Stages::open(dir.path()).unwrap().chosen())
    }

    #[tokio::test]
    async fn a_plan_waits_for_its_gates_and_remembers_where_it_came() {
        assert_eq!(run(plan(60), 3).await, (Progress::Done, Stage::Open, Stage::Open));
    }

    #[tokio::test]
    async fn a_gate_that_stays_closed_stops_the_plan_with_the_reason() {
        let (ended, stage, chosen) = run(plan(0), 1_000).await;
        let Progress::Stopped { stage: Stage::Open, why } = ended else { panic!("{ended:?}") };
        assert!(why.starts_with("queue<10: ") && why.ends_with(" wait"), "{why}");
        assert_eq!((stage, chosen), (Stage::Web, Stage::Web));
    }

    #[test]
    fn a_plan_with_a_mistake_names_the_step() {
        let error = Plan::from_toml("[[step]]\nstage = \"web\"\n[[step]]\nstage = \"opne\"").unwrap_err();
        assert!(error.to_string().starts_with("step 2: stage \"opne\" is unknown"), "{error}");
        let error = Plan::from_toml("[[step]]\nstage = \"web\"\ngates = [\"queue\"]").unwrap_err();
        assert!(error.to_string().contains("queue<N"), "{error}");
        assert!(Plan::from_toml("[[step]]\nstage = \"web\"\nhold = 3").is_err());
    }
}
