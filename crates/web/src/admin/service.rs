//! The service as a whole: what needs a person, stages, what people are told, work that can be started.

use std::str::FromStr as _;
use std::sync::Arc;

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use continuity::stage::{Feature, Situation, Stage, WhyOff};

use super::confirm::{self, Question};
use super::frame::{TABS, Tabs, admin, failed, note, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::operate::{Job, JobReport, OpenAlarm, Operator};
use crate::templates::Shell;
use crate::time::Calendar;
use crate::view::{self, Page};
use crate::wording::capital;

const HERE: &str = "/admin/service";
/// The longest text for people.
const MAX_SAY_CHARACTERS: usize = 500;
/// Work that is shown, the last that was started.
const SHOWN_JOBS: usize = 8;

#[derive(Template)]
#[template(path = "admin_service.html")]
struct ServicePage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    alarms: Vec<OpenAlarm>,
    overview: Vec<(String, String)>,
    stages: Vec<StageLine>,
    coming: String,
    below_open: bool,
    features: Vec<FeatureLine>,
    /// For how long one can be switched off: value, and in words.
    off_for: [(&'static str, &'static str); OFF_FOR.len()],
    say: String,
    max_say: usize,
    certificates: Vec<String>,
    jobs: Vec<JobLine>,
    under_way: bool,
}

struct StageLine {
    name: &'static str,
    works: &'static str,
    now: bool,
}

struct FeatureLine {
    name: &'static str,
    what: &'static str,
    on: bool,
    /// Why it is off, and until when; may be empty.
    why: String,
    /// Switching it off would close these pages.
    own: bool,
}

/// Work that was started, as pages show it.
pub struct JobLine {
    pub what: String,
    pub when: String,
    pub state: &'static str,
    pub error: String,
    pub lines: String,
}

/// A report, for a page.
pub fn job_line(report: JobReport, calendar: &Calendar) -> JobLine {
    JobLine {
        what: report.job.words(),
        when: calendar.stamp(report.began_ms),
        state: match (&report.error, report.ended_ms) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "done",
            (None, None) => "under way",
        },
        error: report.error.unwrap_or_default(),
        lines: report.lines.join("\n"),
    }
}

const fn what_is(feature: Feature) -> &'static str {
    match feature {
        Feature::SignUp => "The setup page",
        Feature::Options => "Settings",
        Feature::Administration => "Administration",
        Feature::Search => "Search",
        Feature::Sending => "Sending from the web",
        Feature::Rewind => "Rewind",
        Feature::AddressBook => "Address book",
    }
}

fn why_off(now: &Situation, feature: Feature, calendar: &Calendar) -> String {
    let Some(why) = now.why_off.get(&feature) else { return String::new() };
    let until = why.until_ms.map(|until_ms| format!("until {}", calendar.stamp(until_ms)));
    let reason = Some(why.reason.clone()).filter(|reason| !reason.is_empty());
    reason.into_iter().chain(until).collect::<Vec<_>>().join(", ")
}

/// For how long a feature is switched off: hours, and in words.
const OFF_FOR: [(&str, &str); 5] =
    [("", "Until switched on"), ("1", "For 1 hour"), ("4", "For 4 hours"), ("24", "For 1 day"), ("168", "For 7 days")];
const HOUR_MS: i64 = 3_600_000;

/// Why a feature is to be off, and until when, as the form says.
fn off_by(caller: &Caller, form: &Posted) -> Result<WhyOff, String> {
    let reason = form.get("reason").trim().to_owned();
    let (length, limit) = (reason.chars().count(), WhyOff::MAX_REASON_CHARACTERS);
    if length > limit {
        return Err(format!("The reason has {length} characters. It can have at most {limit}."));
    }
    let hours = OFF_FOR.iter().find(|(hours, _)| *hours == form.get("for")).and_then(|(hours, _)| hours.parse().ok());
    Ok(WhyOff { reason, until_ms: hours.map(|hours: i64| caller.now_ms() + hours * HOUR_MS) })
}

/// The process behind the pages.
pub fn operator(caller: &Caller) -> Result<Arc<dyn Operator>> {
    let operator = caller.site.options.operator.clone();
    operator.ok_or(Fault::NotFound("This process has no such page."))
}

/// `GET /admin/service`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    service_page(admin(caller)?, None, place.done).await
}

async fn service_page(caller: Caller, problem: Option<String>, done: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let operator = operator(caller)?;
            let now = operator.situation();
            let (chosen, plan) = operator.chosen();
            let mut coming = Vec::new();
            if chosen != now.stage {
                coming.push(format!("On its way to {chosen}."));
            }
            coming.extend(plan);
            let calendar = caller.calendar();
            let mut jobs = operator.jobs();
            jobs.retain(|report| !report.job.is_of_an_archive());
            let mut page = ServicePage {
                page: caller.page("Service"),
                shell: surroundings(caller, done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem,
                alarms: operator.alarms(),
                overview: operator.overview(),
                stages: Stage::ALL
                    .map(|stage| StageLine { name: stage.name(), works: stage.works(), now: stage == now.stage })
                    .into(),
                coming: coming.join(" "),
                below_open: now.stage < Stage::Open,
                features: Feature::ALL
                    .map(|feature| FeatureLine {
                        name: feature.name(),
                        what: what_is(feature),
                        on: !now.off.contains(&feature),
                        why: why_off(&now, feature, &calendar),
                        own: feature == Feature::Administration,
                    })
                    .into(),
                off_for: OFF_FOR,
                say: now.say,
                max_say: MAX_SAY_CHARACTERS,
                certificates: operator.certificates(),
                under_way: jobs.iter().any(|report| report.ended_ms.is_none()),
                jobs: jobs.into_iter().take(SHOWN_JOBS).map(|report| job_line(report, &calendar)).collect(),
            };
            // Here they stand with what to do.
            page.page.alarms.clear();
            let wrong = page.problem.is_some();
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

/// `POST /admin/service`
pub async fn change(caller: Caller, form: Posted) -> Result<Response> {
    let caller = admin(caller)?;
    let operator = operator(&caller)?;
    // What is done, what the audit trail says, and the notice.
    let (outcome, audited, done) = match form.get("do") {
        "stage" => {
            let stage = Stage::from_str(form.get("stage")).map_err(unclear)?;
            let question = stage_question(stage);
            let is_typed = question.typed.as_deref().is_none_or(|typed| form.get("typed").trim() == typed);
            if form.get("sure") != "1" || !is_typed {
                let mistyped = form.get("sure") == "1";
                return confirm::ask(caller, Question { mistyped, ..question }).await;
            }
            (on_thread(&operator, move |it| it.set_stage(stage)).await?, format!("set the stage {stage}"), "stage")
        }
        "plan" => {
            let outcome = on_thread(&operator, |it| it.follow_plan()).await?;
            (outcome, "started the usual plan to the stage open".to_owned(), "stage")
        }
        "switch" => return switch(caller, &form).await,
        "say" => {
            let text = form.get("text").trim().to_owned();
            let length = text.chars().count();
            if length > MAX_SAY_CHARACTERS {
                let problem =
                    format!("The announcement has {length} characters. It can have at most {MAX_SAY_CHARACTERS}.");
                return service_page(caller, Some(problem), None).await;
            }
            let audited = match text.as_str() {
                "" => "took the announcement away".to_owned(),
                text => format!("announced: {text}"),
            };
            (on_thread(&operator, move |it| it.say(&text)).await?, audited, "saved")
        }
        verb => {
            let (job, audited) = job_of(verb).ok_or_else(Fault::nothing_to_do)?;
            let audited = if job.only_looks() { String::new() } else { audited.to_owned() };
            (on_thread(&operator, move |it| it.start(job)).await?, audited, "started")
        }
    };
    match outcome {
        Ok(()) => {
            if !audited.is_empty() {
                note(&caller, &audited).await?;
            }
            Ok(Redirect::to(&notice::with(HERE, done)).into_response())
        }
        Err(problem) => service_page(caller, Some(capital(&problem)), None).await,
    }
}

/// The work that a button starts, and what the audit trail says.
fn job_of(verb: &str) -> Option<(Job, &'static str)> {
    Some(match verb {
        "maintain" => (Job::Maintain, "started the daily work"),
        "verify-data" => (Job::VerifyData, "started a check of all stored data"),
        "renew" => (Job::RenewCertificates, "started to renew all certificates"),
        "check-names" => (Job::CheckNames, ""),
        "secrets" => (Job::Secrets, ""),
        "send-reports" => (Job::SendReports, "started to send DMARC reports"),
        _ => return None,
    })
}

/// Switches a part on, or off with a reason and an end.
async fn switch(caller: Caller, form: &Posted) -> Result<Response> {
    let operator = operator(&caller)?;
    let feature = Feature::from_str(form.get("feature")).map_err(unclear)?;
    let on = form.get("on") == "1";
    if feature == Feature::Administration && !on {
        let text = "These pages can\u{2019}t switch themselves off. On the server: holdfast stage off administration";
        return service_page(caller, Some(text.to_owned()), None).await;
    }
    let off = if on { Ok(None) } else { off_by(&caller, form).map(Some) };
    let off = match off {
        Ok(off) => off,
        Err(problem) => return service_page(caller, Some(problem), None).await,
    };
    let reason = off.as_ref().map_or("", |off| off.reason.as_str());
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let audited = format!("switched {} {}{reason}", feature.name(), if on { "on" } else { "off" });
    match on_thread(&operator, move |it| it.switch(feature, off)).await? {
        Ok(()) => {
            note(&caller, &audited).await?;
            Ok(Redirect::to(&notice::with(HERE, "saved")).into_response())
        }
        Err(problem) => service_page(caller, Some(capital(&problem)), None).await,
    }
}

fn unclear(error: continuity::stage::UnknownName) -> Fault {
    Fault::Bad(format!("The form is wrong: {error}."))
}

/// Does something with the process on a thread that may block.
pub async fn on_thread<T: Send + 'static>(
    operator: &Arc<dyn Operator>,
    work: impl FnOnce(&dyn Operator) -> T + Send + 'static,
) -> Result<T> {
    let operator = operator.clone();
    tokio::task::spawn_blocking(move || work(&*operator)).await.map_err(Fault::internal)
}

/// What a stage means, before one goes there.
fn stage_question(stage: Stage) -> Question {
    let mut facts = vec![format!("People are told: {}", stage.works())];
    if stage < Stage::Web {
        let text =
            "The web pages close, including these. You can go back only on the server: run holdfast stage set open";
        facts.push(text.to_owned());
    }
    if stage < Stage::Clients {
        facts.push("IMAP, POP3, ManageSieve and submission close; open sessions end.".to_owned());
    }
    if stage < Stage::Queues {
        facts.push("No mail comes in from other servers, and none goes out. It waits: nothing is lost.".to_owned());
    }
    if stage < Stage::Open {
        facts.push("Settings can\u{2019}t be changed until the stage is open.".to_owned());
    }
    Question {
        heading: format!("Switch to the stage {stage}?"),
        facts,
        fields: vec![("do", "stage".to_owned()), ("stage", stage.name().to_owned())],
        typed: (stage < Stage::Web).then(|| stage.name().to_owned()),
        button: "Switch to this stage",
        action: HERE.to_owned(),
        back: HERE.to_owned(),
        here: HERE,
        ..Question::default()
    }
}
