//! What administrators see and start of the whole service, which the doors know nothing of: the process that serves gives
//! it to the pages.

use continuity::stage::{Feature, Situation, Stage, WhyOff};

/// The process behind the pages, as administrators see it. Calls may block for a moment.
pub trait Operator: Send + Sync {
    /// How the service is: what, and how, line by line.
    fn overview(&self) -> Vec<(String, String)>;
    /// What needs a person now.
    fn alarms(&self) -> Vec<OpenAlarm>;
    /// What is on now.
    fn situation(&self) -> Situation;
    /// The stage that was chosen, which may be ahead of the present one, and how far a plan is that is under way.
    fn chosen(&self) -> (Stage, Option<String>);
    /// Goes to a stage; a plan that is under way is given up.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn set_stage(&self, stage: Stage) -> Result<(), String>;
    /// Goes through the usual plan to the stage in which everything is on.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn follow_plan(&self) -> Result<(), String>;
    /// Switches a feature on, or off with why and until when.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn switch(&self, feature: Feature, off: Option<WhyOff>) -> Result<(), String>;
    /// Tells people something, above every page.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn say(&self, text: &str) -> Result<(), String>;
    /// The service's certificates, line by line.
    fn certificates(&self) -> Vec<String>;
    /// The machines that are paired with this one.
    fn paired(&self) -> Vec<Paired>;
    /// Ends the pairing with a machine: it gets nothing from now on. Nothing happens if there is none of that name.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn forget(&self, kind: PairedKind, name: &str) -> Result<(), String>;
    /// Why nothing is acknowledged: it waits for a standby.
    fn waits_for_standby(&self) -> Option<String>;
    /// Acknowledges changes without a standby until one has caught up.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn go_on_alone(&self) -> Result<(), String>;
    /// Names of the archives that are configured.
    fn archives(&self) -> Vec<String>;
    /// Starts a job in the background, unless the same one is under way.
    ///
    /// # Errors
    /// Why it was not started, in words.
    fn start(&self, job: Job) -> Result<(), String>;
    /// The jobs that were started since the service began, the last one first.
    fn jobs(&self) -> Vec<JobReport>;
}

/// Something that needs a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenAlarm {
    /// In one line.
    pub line: String,
    /// What else is known.
    pub more: String,
    /// What to do.
    pub remedy: String,
}

/// What a paired machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairedKind {
    /// It follows this one.
    Standby,
    /// It takes mail while this one is away.
    Relay,
}

impl PairedKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Standby, Self::Relay];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Relay => "relay",
        }
    }
}

/// A machine that is paired with this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paired {
    /// What it is for.
    pub kind: PairedKind,
    /// What it is called.
    pub name: String,
    /// Whether it is connected.
    pub connected: bool,
}

/// Work that an administrator may start by the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// The daily work.
    Maintain,
    /// Checking all stored data.
    VerifyData,
    /// Obtaining new certificates for all names.
    RenewCertificates,
    /// Checking whether the names of certificates lead here.
    CheckNames,
    /// Looking at what is sealed under which key.
    Secrets,
    /// Sending reports to the owners of others' domains.
    SendReports,
    /// How far an archive is.
    ArchiveStatus(String),
    /// A snapshot into the archive of that name.
    Snapshot(String),
    /// A drill of it.
    Drill(String),
    /// Reading everything in it back.
    VerifyArchive(String),
}

impl Job {
    /// Whether it is about an archive.
    pub const fn is_of_an_archive(&self) -> bool {
        matches!(self, Self::Snapshot(_) | Self::Drill(_) | Self::VerifyArchive(_) | Self::ArchiveStatus(_))
    }

    /// Whether it changes nothing.
    pub const fn only_looks(&self) -> bool {
        matches!(self, Self::CheckNames | Self::Secrets | Self::ArchiveStatus(_))
    }

    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Maintain => "The daily work".to_owned(),
            Self::VerifyData => "A check of all stored data".to_owned(),
            Self::RenewCertificates => "Renewal of all certificates".to_owned(),
            Self::CheckNames => "A check of the names of certificates".to_owned(),
            Self::Secrets => "A look at stored secrets".to_owned(),
            Self::SendReports => "Sending of DMARC reports".to_owned(),
            Self::ArchiveStatus(archive) => format!("Status of the archive {archive}"),
            Self::Snapshot(archive) => format!("A snapshot into the archive {archive}"),
            Self::Drill(archive) => format!("A drill of the archive {archive}"),
            Self::VerifyArchive(archive) => format!("Verification of the archive {archive}"),
        }
    }
}

/// How a job is going, or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// Which.
    pub job: Job,
    /// When it began, in milliseconds since 1970.
    pub began_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// What went wrong.
    pub error: Option<String>,
    /// What it said, the last lines.
    pub lines: Vec<String>,
}
