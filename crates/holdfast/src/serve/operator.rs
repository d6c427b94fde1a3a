//! What administrators see and start of the whole service by the pages: the same code as the commands.

use std::{collections::VecDeque, sync::Arc};

use anyhow::Context as _;
use continuity::{
    archive::line::Line as ArchiveLine,
    stage::{Feature, Health, Plan, Progress, Situation, Stage, WhyOff},
    standby::StandbyStatus,
};
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::mpsc};
use web::{Job, JobReport, OpenAlarm, Operator, Paired, PairedKind};

use crate::{
    admin::{self, status},
    alarms,
    cli::{AdminCommand, ArchiveCommand, CertificateCommand, ReportsCommand, SecretsCommand},
    drill,
    gates::Gates,
    output::{Output, Reply},
    running::Running,
};

/// Reports of jobs that are kept, the last ones.
const KEPT_REPORTS: usize = 20;
/// Lines of what a job said that are kept, the last ones.
const KEPT_LINES: usize = 40;
/// Lines on their way from a job.
const LINES_IN_FLIGHT: usize = 64;

type Reports = Mutex<VecDeque<JobReport>>;

/// See the module.
pub struct Operating {
    running: Arc<Running>,
    runtime: Handle,
    /// The last one first.
    reports: Arc<Reports>,
}

impl Operating {
    /// On the services of this process. To be called within its runtime, where jobs run.
    pub fn new(running: Arc<Running>) -> Arc<Self> {
        Arc::new(Self { running, runtime: Handle::current(), reports: Arc::default() })
    }
}

fn words(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

impl Operator for Operating {
    fn overview(&self) -> Vec<(String, String)> {
        status::overview(&self.running).unwrap_or_else(|error| vec![("state".to_owned(), words(error))])
    }

    fn alarms(&self) -> Vec<OpenAlarm> {
        let all = alarms::look(&self.running).into_iter();
        all.map(|alarm| OpenAlarm { line: alarm.line, more: alarm.more, remedy: alarm.look.to_owned() }).collect()
    }

    fn situation(&self) -> Situation {
        self.running.services.stages.now()
    }

    fn chosen(&self) -> (Stage, Option<String>) {
        let plan = self.running.services.stages.progress().filter(|progress| *progress != Progress::Done);
        (self.running.services.stages.chosen(), plan.map(|progress| format!("Plan: {progress}.")))
    }

    fn set_stage(&self, stage: Stage) -> Result<(), String> {
        self.running.services.stages.next_plan();
        self.running.services.stages.set(stage).map_err(words)
    }

    fn follow_plan(&self) -> Result<(), String> {
        let (ends, running) = (self.running.services.stages.next_plan(), self.running.clone());
        self.runtime.spawn(async move {
            let health: Arc<dyn Health> = Arc::new(Gates::new(running.clone()));
            if let Err(error) = running.services.stages.follow(&Plan::usual(), &health, true, &ends).await {
                tracing::error!(%error, "the stage was not kept");
            }
        });
        Ok(())
    }

    fn switch(&self, feature: Feature, off: Option<WhyOff>) -> Result<(), String> {
        let stages = &self.running.services.stages;
        let done = off.map_or_else(|| stages.switch(feature, true), |why| stages.switch_off(feature, &why));
        done.map_err(words)
    }

    fn say(&self, text: &str) -> Result<(), String> {
        self.running.services.stages.say(text).map_err(words)
    }

    fn certificates(&self) -> Vec<String> {
        let now_ms = self.running.services.store.clock().now_ms();
        let all = self.running.certificates.get().map(|certificates| certificates.list()).unwrap_or_default();
        all.iter().flat_map(|one| admin::certificate_lines(one, now_ms)).collect()
    }

    fn paired(&self) -> Vec<Paired> {
        let standbys = self.running.primary.get().map(|primary| primary.standbys()).unwrap_or_default();
        let relays = self.running.relays.get().map(|receiver| receiver.relays()).unwrap_or_default();
        let standby =
            |one: StandbyStatus| Paired { kind: PairedKind::Standby, name: one.name, connected: one.connected };
        let relay = |one: relay::OfRelay| Paired { kind: PairedKind::Relay, name: one.name, connected: one.connected };
        standbys.into_iter().map(standby).chain(relays.into_iter().map(relay)).collect()
    }

    fn forget(&self, kind: PairedKind, name: &str) -> Result<(), String> {
        match kind {
            PairedKind::Standby => match self.running.primary.get() {
                Some(primary) => primary.forget(name).map(|_| ()).map_err(words),
                None => Ok(()),
            },
            PairedKind::Relay => match self.running.relays.get() {
                Some(receiver) => receiver.remove(name).map(|_| ()).map_err(words),
                None => Ok(()),
            },
        }
    }

    fn waits_for_standby(&self) -> Option<String> {
        Some(self.running.primary.get()?.waiting()?.to_string())
    }

    fn go_on_alone(&self) -> Result<(), String> {
        let primary = self.running.primary.get().ok_or_else(|| "no standby can connect to this machine".to_owned())?;
        primary.go_on_alone().map(|_| ()).map_err(words)
    }

    fn archives(&self) -> Vec<String> {
        let places = self.running.archives.places(None).unwrap_or_default();
        places.iter().map(|place| place.name().to_owned()).collect()
    }

    fn start(&self, job: Job) -> Result<(), String> {
        if let Job::Snapshot(name) | Job::Drill(name) | Job::VerifyArchive(name) | Job::ArchiveStatus(name) = &job {
            self.running.archives.places(Some(name)).map_err(words)?;
        }
        let mut reports = self.reports.lock();
        if reports.iter().any(|report| report.job == job && report.ended_ms.is_none()) {
            return Err("this is under way already".to_owned());
        }
        let began_ms = self.running.services.store.clock().now_ms();
        reports.push_front(JobReport { job: job.clone(), began_ms, ended_ms: None, error: None, lines: Vec::new() });
        // One that is under way is not forgotten.
        while reports.len() > KEPT_REPORTS
            && let Some(at) = reports.iter().rposition(|report| report.ended_ms.is_some())
        {
            reports.remove(at);
        }
        drop(reports);
        let (running, reports) = (self.running.clone(), self.reports.clone());
        self.runtime.spawn(run(running, job, began_ms, reports));
        Ok(())
    }

    fn jobs(&self) -> Vec<JobReport> {
        self.reports.lock().iter().cloned().collect()
    }
}

/// Runs a job to its end, and keeps what it says in its report.
async fn run(running: Arc<Running>, job: Job, began_ms: i64, reports: Arc<Reports>) {
    let change = |change: &dyn Fn(&mut JobReport)| {
        if let Some(report) = reports.lock().iter_mut().find(|one| one.job == job && one.began_ms == began_ms) {
            change(report);
        }
    };
    let (lines, mut said) = mpsc::channel(LINES_IN_FLIGHT);
    let work = done(&running, &job, Output::new(lines, false));
    let listen = async {
        while let Some(line) = said.recv().await {
            if let Reply::Out(text) = line {
                change(&|report| {
                    report.lines.push(text.clone());
                    let over = report.lines.len().saturating_sub(KEPT_LINES);
                    report.lines.drain(..over);
                });
            }
        }
    };
    let (outcome, ()) = tokio::join!(work, listen);
    if let Err(error) = &outcome {
        tracing::error!(error = format!("{error:#}"), "{}", job.words());
    }
    let (now_ms, error) = (running.services.store.clock().now_ms(), outcome.err().map(words));
    change(&|report| (report.ended_ms, report.error) = (Some(now_ms), error.clone()));
}

async fn done(running: &Arc<Running>, job: &Job, output: Output) -> anyhow::Result<()> {
    let command = match job {
        Job::Maintain => AdminCommand::Maintain,
        Job::VerifyData => AdminCommand::Verify { repair: false },
        Job::RenewCertificates => AdminCommand::Certificate(CertificateCommand::Renew { name: None }),
        Job::CheckNames => AdminCommand::Certificate(CertificateCommand::Check),
        Job::Secrets => AdminCommand::Secrets(SecretsCommand::Status),
        Job::SendReports => AdminCommand::Reports(ReportsCommand::Send { now: false }),
        Job::ArchiveStatus(name) => AdminCommand::Archive(ArchiveCommand::Status { target: Some(name.clone()) }),
        Job::Snapshot(name) => AdminCommand::Archive(ArchiveCommand::Snapshot { target: Some(name.clone()) }),
        Job::VerifyArchive(name) => {
            AdminCommand::Archive(ArchiveCommand::Verify { target: Some(name.clone()), newest: false })
        }
        Job::Drill(name) => return drilled(running, name, &output).await,
    };
    admin::execute(running, command, &output).await
}

async fn drilled(running: &Running, name: &str, output: &Output) -> anyhow::Result<()> {
    for place in running.archives.places(Some(name))? {
        let dir = place.config.drill_dir.as_deref();
        let dir =
            dir.context("the configuration names no drill_dir for this archive: a folder with room for everything")?;
        let line = ArchiveLine::name_in(running.services.store.dir());
        let drilled = drill::run(&running.services.config, &place, dir, line, true, &|_| {}).await;
        output.line(drill::described(&drilled)).await;
        for problem in &drilled.problems {
            output.line(format!("PROBLEM: {problem}")).await;
        }
        anyhow::ensure!(drilled.problems.is_empty(), "the drill found problems");
    }
    Ok(())
}
