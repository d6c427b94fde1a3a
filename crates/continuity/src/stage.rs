//! The stages of a service's return, the features of each stage, and the plans that move through them.

mod plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::durable;

pub use plan::{Gate, Health, ParseGateError, Plan, PlanError, Progress, Step};

/// How much of the service is on. Each stage has all that those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Only the "service unavailable" page.
    Dark,
    /// The service checks itself; it does not act on the world.
    Checks,
    /// Webmail works; messages to others wait.
    Web,
    /// IMAP, POP3, ManageSieve and submission.
    Clients,
    /// Mail from other servers arrives, and waiting mail is delivered.
    Queues,
    /// Everything.
    Open,
}

impl Stage {
    /// All stages, in their order.
    pub const ALL: [Self; 6] = [Self::Dark, Self::Checks, Self::Web, Self::Clients, Self::Queues, Self::Open];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Checks => "checks",
            Self::Web => "web",
            Self::Clients => "clients",
            Self::Queues => "queues",
            Self::Open => "open",
        }
    }

    /// What works, as text for people.
    pub const fn works(self) -> &'static str {
        match self {
            Self::Dark => "The mail service is not available right now.",
            Self::Checks => "The mail service is starting up and checking its data.",
            Self::Web => "Webmail works. Messages to other servers are delayed.",
            Self::Clients => "Webmail and mail apps work. Mail from and to other servers is delayed.",
            Self::Queues => "Mail works. Delayed messages are being delivered.",
            Self::Open => "Everything works.",
        }
    }

    /// What will work next, as text for people.
    pub const fn next(self) -> &'static str {
        match self {
            Self::Dark | Self::Checks => "Next: webmail.",
            Self::Web => "Next: mail apps.",
            Self::Clients => "Next: delivery of delayed mail.",
            Self::Queues => "Next: settings.",
            Self::Open => "",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no stage or feature has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is unknown; choose one of: {known}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: String,
}

impl FromStr for Stage {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|stage| stage.name() == name).ok_or_else(|| UnknownName {
            what: "stage",
            name: name.to_owned(),
            known: known(),
        })
    }
}

/// Features that can be turned off individually, at any stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// The first account, by the setup page.
    SignUp,
    /// Changing one's settings.
    Options,
    /// The administration pages.
    Administration,
    /// Searching on the web.
    Search,
    /// Sending from the web.
    Sending,
    /// Rewind on the web.
    Rewind,
    /// The address book's pages.
    AddressBook,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SignUp,
        Self::Options,
        Self::Administration,
        Self::Search,
        Self::Sending,
        Self::Rewind,
        Self::AddressBook,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignUp => "sign-up",
            Self::Options => "options",
            Self::Administration => "administration",
            Self::Search => "search",
            Self::Sending => "sending",
            Self::Rewind => "rewind",
            Self::AddressBook => "address-book",
        }
    }

    /// Whether stages below [`Stage::Open`] turn it off.
    const fn waits_for_open(self) -> bool {
        matches!(self, Self::SignUp | Self::Options)
    }
}

impl FromStr for Feature {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|feature| feature.name() == name).ok_or_else(|| UnknownName {
            what: "feature",
            name: name.to_owned(),
            known: known(),
        })
    }
}

/// The current situation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Situation {
    /// The stage.
    pub stage: Stage,
    /// Features turned off individually.
    #[serde(default)]
    pub off: BTreeSet<Feature>,
    /// The operator's announcement; may be empty.
    #[serde(default)]
    pub say: String,
    /// Why features are off and until when, as far as that was said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub why_off: BTreeMap<Feature, WhyOff>,
}

/// Why a feature is off, and until when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyOff {
    /// For people to read; may be empty.
    #[serde(default)]
    pub reason: String,
    /// When it is turned on again without being asked, in milliseconds since 1970.
    #[serde(default)]
    pub until_ms: Option<i64>,
}

impl WhyOff {
    /// The longest reason, in characters.
    pub const MAX_REASON_CHARACTERS: usize = 200;

    /// Whether it says nothing.
    fn is_empty(&self) -> bool {
        self.reason.is_empty() && self.until_ms.is_none()
    }
}

impl Default for Situation {
    fn default() -> Self {
        Self { stage: Stage::Open, off: BTreeSet::new(), say: String::new(), why_off: BTreeMap::new() }
    }
}

impl Situation {
    /// Whether a feature is on now.
    pub fn has(&self, feature: Feature) -> bool {
        !self.off.contains(&feature) && (self.stage == Stage::Open || !feature.waits_for_open())
    }

    fn turn_on(&mut self, feature: Feature) {
        self.off.remove(&feature);
        self.why_off.remove(&feature);
    }

    /// Why a feature is off; empty if nobody said.
    pub fn reason(&self, feature: Feature) -> &str {
        self.why_off.get(&feature).map_or("", |why| why.reason.as_str())
    }

    /// A feature that is off, with the reason.
    fn named(&self, feature: Feature) -> String {
        match self.reason(feature) {
            "" => feature.name().to_owned(),
            reason => format!("{} ({reason})", feature.name()),
        }
    }

    /// The line above every page while not everything is on.
    pub fn line(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.stage < Stage::Open {
            parts.extend([self.stage.works(), self.stage.next()].map(str::to_owned));
        } else if !self.off.is_empty() {
            let names: Vec<_> = self.off.iter().map(|feature| self.named(*feature)).collect();
            parts.push(format!("Turned off for now: {}.", names.join(", ")));
        }
        if !self.say.is_empty() {
            parts.push(self.say.clone());
        }
        parts.retain(|part| !part.is_empty());
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

const FILE: &str = "stage.json";

/// The stage of a service: kept in its data folder, so that a restart does not forget what the operator chose, and
/// watched by everything that it switches.
#[derive(Debug)]
pub struct Stages {
    file: PathBuf,
    now: watch::Sender<Situation>,
    /// The stage chosen by the operator, which may be ahead of `now` while a plan is running.
    chosen: parking_lot::Mutex<Situation>,
    progress: watch::Sender<Option<Progress>>,
    /// Ends the plan that is under way.
    plan: parking_lot::Mutex<CancellationToken>,
}

impl Stages {
    /// Reads the chosen stage; the default is open. An invalid file is an error: it is better not to start than to send and
    /// deliver mail against the operator's choice.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let file = data_dir.join(FILE);
        let chosen: Situation = match std::fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                let what = format!("{}: {error}; remove the file to start with everything open", file.display());
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Situation::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            file,
            now: watch::channel(chosen.clone()).0,
            chosen: parking_lot::Mutex::new(chosen),
            progress: watch::channel(None).0,
            plan: parking_lot::Mutex::default(),
        })
    }

    /// The current situation.
    pub fn now(&self) -> Situation {
        self.now.borrow().clone()
    }

    /// Told of each change.
    pub fn watch(&self) -> watch::Receiver<Situation> {
        self.now.subscribe()
    }

    /// How far the plan is that is under way, or how the last one ended.
    pub fn progress(&self) -> Option<Progress> {
        self.progress.borrow().clone()
    }

    /// The stage that the service is to reach after a start.
    pub fn chosen(&self) -> Stage {
        self.chosen.lock().stage
    }

    /// Gives up the plan that is under way, if there is one, and gives what ends the next.
    pub fn next_plan(&self) -> CancellationToken {
        let next = CancellationToken::new();
        std::mem::replace(&mut *self.plan.lock(), next.clone()).cancel();
        next
    }

    /// Goes to a stage, and remembers it over a restart.
    pub fn set(&self, stage: Stage) -> io::Result<()> {
        self.change(|situation| situation.stage = stage)
    }

    /// Switches a feature on or off, and remembers it over a restart.
    pub fn switch(&self, feature: Feature, on: bool) -> io::Result<()> {
        if on {
            self.change(|situation| situation.turn_on(feature))
        } else {
            self.switch_off(feature, &WhyOff::default())
        }
    }

    /// Switches a feature off, and remembers why and until when.
    pub fn switch_off(&self, feature: Feature, why: &WhyOff) -> io::Result<()> {
        self.change(|situation| {
            situation.off.insert(feature);
            if why.is_empty() {
                situation.why_off.remove(&feature);
            } else {
                situation.why_off.insert(feature, why.clone());
            }
        })
    }

    /// Switches on what was off until a moment that has come; gives what that was.
    pub fn switch_on_due(&self, now_ms: i64) -> io::Result<Vec<Feature>> {
        let is_due = |why: &WhyOff| why.until_ms.is_some_and(|until| until <= now_ms);
        let due: Vec<Feature> =
            self.chosen.lock().why_off.iter().filter(|(_, why)| is_due(why)).map(|(feature, _)| *feature).collect();
        if !due.is_empty() {
            self.change(|situation| due.iter().for_each(|feature| situation.turn_on(*feature)))?;
        }
        Ok(due)
    }

    /// The announcement; may be empty.
    pub fn say(&self, text: &str) -> io::Result<()> {
        self.change(|situation| text.clone_into(&mut situation.say))
    }

    /// Goes to a stage for now: after a restart it is the chosen one that counts.
    pub fn go(&self, stage: Stage) {
        self.now.send_modify(|situation| situation.stage = stage);
        metrics::gauge!("holdfast_stage").set(f64::from(stage as u8));
        tracing::info!(%stage, "stage");
    }

    fn change(&self, change: impl Fn(&mut Situation)) -> io::Result<()> {
        let mut chosen = self.chosen.lock();
        let mut next = chosen.clone();
        change(&mut next);
        durable::replace(&self.file, &serde_json::to_vec_pretty(&next)?)?;
        *chosen = next;
        drop(chosen);
        self.now.send_modify(|situation| change(situation));
        let stage = self.now().stage;
        metrics::gauge!("holdfast_stage").set(f64::from(stage as u8));
        tracing::info!(%stage, "stage");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_outlives_a_restart_and_where_a_plan_is_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let stages = Stages::open(dir.path()).unwrap();
        assert_eq!(stages.now(), Situation::default());
        stages.set(Stage::Clients).unwrap();
        stages.switch(Feature::Search, false).unwrap();
        stages.say("We are moving house.").unwrap();
        stages.go(Stage::Checks);
        assert_eq!((stages.now().stage, stages.chosen()), (Stage::Checks, Stage::Clients));
        let again = Stages::open(dir.path()).unwrap();
        assert_eq!(again.now().stage, Stage::Clients);
        assert!(!again.now().has(Feature::Search) && again.now().has(Feature::Sending));
        assert!(!again.now().has(Feature::Options), "it waits for the last stage");
        assert!(again.now().line().unwrap().ends_with("We are moving house."));
    }

    #[test]
    fn a_feature_that_is_off_until_a_moment_is_on_from_then() {
        let dir = tempfile::tempdir().unwrap();
        let stages = Stages::open(dir.path()).unwrap();
        let why = |reason: &str, until_ms| WhyOff { reason: reason.to_owned(), until_ms };
        stages.switch_off(Feature::Search, &why("the index is rebuilt", Some(2_000))).unwrap();
        stages.switch_off(Feature::Rewind, &why("", Some(3_000))).unwrap();
        stages.switch_off(Feature::Sending, &why("we look into something", None)).unwrap();
        assert!(stages.now().line().unwrap().contains("search (the index is rebuilt)"));
        assert_eq!(stages.switch_on_due(1_999).unwrap(), []);
        // It is remembered over a restart.
        let stages = Stages::open(dir.path()).unwrap();
        assert_eq!(stages.now().reason(Feature::Sending), "we look into something");
        assert_eq!(stages.switch_on_due(2_000).unwrap(), [Feature::Search]);
        assert!(stages.now().has(Feature::Search) && !stages.now().has(Feature::Rewind));
        // Switched off again without an end, it stays off; switched on, nothing of why stays.
        stages.switch(Feature::Rewind, false).unwrap();
        assert_eq!(stages.switch_on_due(i64::MAX).unwrap(), []);
        stages.switch(Feature::Sending, true).unwrap();
        assert_eq!(stages.now().reason(Feature::Sending), "");
        assert!(!Stages::open(dir.path()).unwrap().now().has(Feature::Rewind));
    }

    #[test]
    fn a_file_that_cannot_be_understood_keeps_the_service_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{\"stage\": \"bright\"}").unwrap();
        let error = Stages::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("stage.json"), "{error}");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for stage in Stage::ALL {
            assert_eq!(stage.name().parse(), Ok(stage));
        }
        for feature in Feature::ALL {
            assert_eq!(feature.name().parse(), Ok(feature));
        }
        assert!("midnight".parse::<Stage>().unwrap_err().to_string().contains("dark, checks"));
    }
}
