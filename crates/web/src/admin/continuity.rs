//! What makes the service survive: standbys, relays and archives, how they are and what is done to them.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};

use super::confirm::{self, Question};
use super::frame::{TABS, Tabs, admin, failed, note, surroundings};
use super::service::{JobLine, job_line, on_thread, operator};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::operate::{Job, Paired, PairedKind};
use crate::options::Panel;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wording::capital;

const HERE: &str = "/admin/continuity";

#[derive(Template)]
#[template(path = "admin_continuity.html")]
struct ContinuityPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    panels: Vec<Panel>,
    /// Standbys and relays.
    paired: Vec<Paired>,
    /// Why nothing is acknowledged.
    waits: Option<String>,
    /// Those that work can be started for.
    archives: Vec<String>,
    jobs: Vec<JobLine>,
    under_way: bool,
}

/// `GET /admin/continuity`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    continuity_page(admin(caller)?, None, place.done).await
}

async fn continuity_page(caller: Caller, problem: Option<String>, done: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let panels = caller.site.options.continuity.borrow().clone();
            let operator = caller.site.options.operator.clone();
            let calendar = caller.calendar();
            let mut jobs = operator.as_ref().map(|operator| operator.jobs()).unwrap_or_default();
            jobs.retain(|report| report.job.is_of_an_archive());
            let page = ContinuityPage {
                page: caller.page("Continuity"),
                shell: surroundings(caller, done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem,
                panels,
                paired: operator.as_ref().map(|operator| operator.paired()).unwrap_or_default(),
                waits: operator.as_ref().and_then(|operator| operator.waits_for_standby()),
                archives: operator.map(|operator| operator.archives()).unwrap_or_default(),
                under_way: jobs.iter().any(|report| report.ended_ms.is_none()),
                jobs: jobs.into_iter().map(|report| job_line(report, &calendar)).collect(),
            };
            let wrong = page.problem.is_some();
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

/// `POST /admin/continuity`: starts work on an archive, ends a pairing, or goes on without a standby.
pub async fn change(caller: Caller, form: Posted) -> Result<Response> {
    let caller = admin(caller)?;
    match form.get("do") {
        "forget" => forget(caller, &form).await,
        "alone" => alone(caller, &form).await,
        _ => start(caller, &form).await,
    }
}

async fn start(caller: Caller, form: &Posted) -> Result<Response> {
    let operator = operator(&caller)?;
    let archive = form.get("archive").to_owned();
    let (job, audited) = match form.get("do") {
        "snapshot" => (Job::Snapshot(archive.clone()), format!("started a snapshot into the archive {archive}")),
        "drill" => (Job::Drill(archive.clone()), format!("started a drill of the archive {archive}")),
        "verify" => (Job::VerifyArchive(archive.clone()), format!("started to read back the archive {archive}")),
        "status" => (Job::ArchiveStatus(archive), String::new()),
        _ => return Err(Fault::nothing_to_do()),
    };
    match on_thread(&operator, move |it| it.start(job)).await? {
        Ok(()) => {
            if !audited.is_empty() {
                note(&caller, &audited).await?;
            }
            Ok(Redirect::to(&notice::with(HERE, "started")).into_response())
        }
        Err(problem) => continuity_page(caller, Some(capital(&problem)), None).await,
    }
}

/// What an act came to: noted and told, or why not.
async fn ended(caller: Caller, outcome: Result<(), String>, audited: &str, done: &str) -> Result<Response> {
    match outcome {
        Ok(()) => {
            note(&caller, audited).await?;
            Ok(Redirect::to(&notice::with(HERE, done)).into_response())
        }
        Err(problem) => continuity_page(caller, Some(capital(&problem)), None).await,
    }
}

async fn forget(caller: Caller, form: &Posted) -> Result<Response> {
    let operator = operator(&caller)?;
    let kind = PairedKind::ALL.into_iter().find(|kind| kind.name() == form.get("kind"));
    let kind = kind.ok_or_else(Fault::nothing_to_do)?;
    let name = form.get("name").to_owned();
    if !operator.paired().iter().any(|one| one.kind == kind && one.name == name) {
        // Pressed twice: it is done.
        return Ok(Redirect::to(HERE).into_response());
    }
    let is_typed = form.get("typed").trim() == name;
    if form.get("sure") != "1" || !is_typed {
        let mistyped = form.get("sure") == "1";
        return confirm::ask(caller, Question { mistyped, ..forgetting(kind, &name) }).await;
    }
    if let Some(response) = confirm::password_first(&caller, form, HERE).await? {
        return Ok(response);
    }
    let audited = format!("removed the {} {name}", kind.name());
    let outcome = on_thread(&operator, move |it| it.forget(kind, &name)).await?;
    ended(caller, outcome, &audited, "pairedgone").await
}

fn forgetting(kind: PairedKind, name: &str) -> Question {
    let mut facts = vec![match kind {
        PairedKind::Standby => "It gets no more changes, and can\u{2019}t take over if this machine fails.".to_owned(),
        PairedKind::Relay => {
            "It takes no more mail for this service while this machine is away. Mail that waits there stays there."
                .to_owned()
        }
    }];
    if kind == PairedKind::Standby {
        facts.push(
            "If changes are acknowledged only with a standby and this is the last one, nothing is acknowledged until another \
             one is paired, or you continue without."
                .to_owned(),
        );
    }
    facts.push(format!("To pair it again, run holdfast {} on both machines.", kind.name()));
    Question {
        heading: format!("Remove the {} {name}?", kind.name()),
        facts,
        fields: vec![("do", "forget".to_owned()), ("kind", kind.name().to_owned()), ("name", name.to_owned())],
        typed: Some(name.to_owned()),
        button: "Remove",
        action: HERE.to_owned(),
        back: HERE.to_owned(),
        here: HERE,
        ..Question::default()
    }
}

async fn alone(caller: Caller, form: &Posted) -> Result<Response> {
    let operator = operator(&caller)?;
    if form.get("sure") != "1" {
        let facts = vec![
            "Changes are acknowledged when they are on this machine alone, until a standby has caught up.".to_owned(),
            "If this machine is lost before that, these changes are lost too.".to_owned(),
        ];
        let question = Question {
            heading: "Continue without a standby?".to_owned(),
            facts,
            fields: vec![("do", "alone".to_owned())],
            button: "Continue without a standby",
            action: HERE.to_owned(),
            back: HERE.to_owned(),
            here: HERE,
            ..Question::default()
        };
        return confirm::ask(caller, question).await;
    }
    let outcome = on_thread(&operator, |it| it.go_on_alone()).await?;
    ended(caller, outcome, "continued without a standby", "saved").await
}
