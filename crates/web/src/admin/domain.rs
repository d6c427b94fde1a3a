//! One domain: its DNS records, what is wrong with them, its TLS policy and its DKIM keys.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use directory::{DirectoryError, DkimState, Domain, MtaSts};
use domaincheck::{Item, Need, Report, State, Wanted, zone};
use mailkit::dkim::split_txt;

use super::confirm::{self, Question};
use super::domain_addresses::{self, Addresses};
use super::frame::{TABS, Tabs, admin, counted, failed, note, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::{Wrong, readable};

#[derive(Template)]
#[template(path = "admin_domain.html")]
struct DomainPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    name: String,
    readable: String,
    summary: Option<(String, &'static str)>,
    checked: Option<String>,
    groups: Vec<(&'static str, Vec<Line>)>,
    zone: String,
    mode: &'static str,
    /// The modes of MTA-STS: value, words, whether it is this one.
    modes: [(&'static str, &'static str, bool); 3],
    keys: Vec<(String, &'static str, String)>,
    addresses: Addresses,
    /// What was typed for the catch-all, or what is set.
    catch_all: String,
    wrong: Wrong,
}

/// A record on the page.
struct Line {
    title: String,
    name: String,
    kind: String,
    purpose: String,
    badge: (&'static str, &'static str),
    faults: Vec<FaultLine>,
    wanted: Vec<String>,
    found: Vec<String>,
    shows_found: bool,
    state: State,
    /// It isn't there, and that is no fault.
    is_open: bool,
}

struct FaultLine {
    class: &'static str,
    code: String,
    says: String,
    remedy: String,
}

/// What a badge says of a state, and its kind.
const fn badge(state: State) -> (&'static str, &'static str) {
    match state {
        State::Ok => ("ok", "on"),
        State::Advice => ("recommended", ""),
        State::Warning => ("warning", "bad"),
        State::Unanswered => ("no answer", ""),
        State::Problem => ("problem", "bad"),
    }
}

/// How a domain is, in a badge.
pub(super) fn summary(report: &Report) -> (String, &'static str) {
    let count = |state| report.count(state) as u64;
    match report.state() {
        State::Problem => (counted(count(State::Problem), "problem", "problems"), "bad"),
        State::Unanswered => ("DNS did not answer".to_owned(), ""),
        State::Warning => (counted(count(State::Warning), "warning", "warnings"), "bad"),
        State::Advice => (counted(count(State::Advice), "recommendation", "recommendations"), ""),
        State::Ok => ("DNS ok".to_owned(), "on"),
    }
}

fn line(item: &Item) -> Line {
    let state = item.state();
    let class = |state| match state {
        State::Problem => "bad",
        State::Warning => "warn",
        _ => "",
    };
    let faults = item.faults.iter().map(|fault| FaultLine {
        class: class(fault.state),
        code: fault.code.clone(),
        says: fault.says.clone(),
        remedy: fault.remedy.clone(),
    });
    // Without an answer and without a fault nothing is known to be right: it may be left out, or can't be looked at yet.
    let is_open = state == State::Ok && item.found.is_empty();
    let is_said = item.faults.iter().any(|fault| fault.says.contains(&item.purpose));
    let value = |data: &String| if item.kind == "TXT" { split_txt(data) } else { data.clone() };
    Line {
        title: item.title.clone(),
        name: item.name.clone(),
        kind: item.kind.clone(),
        purpose: if is_said { String::new() } else { item.purpose.clone() },
        badge: if is_open { ("not set", "") } else { badge(state) },
        faults: faults.collect(),
        wanted: item.wanted.iter().map(value).collect(),
        found: item.found.clone(),
        shows_found: !item.found.is_empty()
            && item.found != item.wanted
            && (state > State::Ok || item.wanted.is_empty()),
        state,
        is_open,
    }
}

/// A record before the first check.
fn unchecked(wanted: &Wanted) -> Line {
    let badge = if wanted.need == Need::Optional { ("optional", "") } else { ("", "") };
    Line {
        title: wanted.title.clone(),
        name: wanted.name.clone(),
        kind: wanted.kind.to_owned(),
        purpose: wanted.purpose.to_owned(),
        badge,
        faults: Vec::new(),
        wanted: wanted.values(),
        found: Vec::new(),
        shows_found: false,
        state: State::Ok,
        is_open: true,
    }
}

/// Records by what is to be done about them.
fn groups(report: Option<&Report>, wanted: &[Wanted]) -> Vec<(&'static str, Vec<Line>)> {
    let Some(report) = report else {
        let lines = wanted.iter().filter(|one| !one.records.is_empty()).map(unchecked);
        return vec![("Records to set", lines.collect())];
    };
    let headings = ["To correct", "Recommended", "In order", "Optional, or not checked yet"];
    let mut groups = Vec::from(headings.map(|heading| (heading, Vec::new())));
    for line in report.items.iter().map(line) {
        let at = match line.state {
            State::Ok if line.is_open => 3,
            State::Ok => 2,
            State::Advice => 1,
            State::Warning | State::Unanswered | State::Problem => 0,
        };
        groups[at].1.push(line);
    }
    groups.retain(|(_, lines)| !lines.is_empty());
    groups
}

fn address_of(name: &str) -> String {
    format!("/admin/domains/{name}")
}

/// `GET /admin/domains/{name}`
pub async fn one(caller: Caller, Path(name): Path<String>, Query(place): Query<Place>) -> Result<Response> {
    page(admin(caller)?, name, place.done, None).await
}

/// The page; with what is wrong with a catch-all, and what was typed for it.
async fn page(
    caller: Caller,
    name: String,
    done: Option<String>,
    refused: Option<(Wrong, String)>,
) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let domain = found(caller, &name)?;
            let checks = &caller.site.checks;
            let report = checks.last(&domain.name);
            let wanted = checks.wanted(&domain.name)?;
            let calendar = caller.calendar();
            let keys = domain.all_dkim.iter().map(|key| {
                let since = Some(key.since_ms()).filter(|at| *at > 0).unwrap_or(domain.created_ms);
                let state = match key.state() {
                    DkimState::InUse => "signs mail",
                    DkimState::Waiting => "waits for its DNS record",
                    DkimState::Retired => "retired",
                };
                (key.selector().to_owned(), state, calendar.when(since).short)
            });
            let addresses = domain_addresses::shown(caller, &domain)?;
            let is_wrong = refused.is_some();
            let (wrong, catch_all) = refused.unwrap_or_else(|| (Wrong::default(), addresses.catch_all.clone()));
            let page = view::html(&DomainPage {
                page: caller.page(&format!("{} · Domains", readable(&domain.name))),
                shell: surroundings(caller, done.as_deref(), &address_of(&domain.name))?,
                tabs: TABS,
                here: "/admin/domains",
                problem: None,
                readable: readable(&domain.name),
                summary: report.as_deref().map(summary),
                checked: report.as_ref().map(|report| calendar.ago(report.checked_ms)),
                groups: groups(report.as_deref(), &wanted),
                zone: zone(&wanted),
                mode: domain.mta_sts.name(),
                modes: [
                    ("testing", "Testing: deliver all the same, and report"),
                    ("enforce", "Enforce: valid TLS or no delivery"),
                    ("none", "None: no policy"),
                ]
                .map(|(mode, words)| (mode, words, mode == domain.mta_sts.name())),
                keys: keys.collect(),
                addresses,
                catch_all,
                wrong,
                name: domain.name,
            });
            Ok(failed(page, is_wrong))
        })
        .await
}

/// What it means to sign with new keys at once.
fn replacing(domain: &Domain) -> Question {
    let shown = readable(&domain.name);
    Question {
        heading: format!("Replace the DKIM keys of {shown} now?"),
        facts: vec![
            "Do this only if the keys were stolen. Otherwise make new keys: they are used once their DNS records are seen."
                .to_owned(),
            "The present keys are destroyed. Remove their DNS records, so that nobody signs with them any more.".to_owned(),
            "Mail is signed with the new keys at once. Until you have set their DNS records, other servers can\u{2019}t \
             check the signatures, and some mail may go to spam."
                .to_owned(),
        ],
        fields: vec![("do", "replace-keys".to_owned())],
        button: "Replace keys now",
        action: address_of(&domain.name),
        back: address_of(&domain.name),
        here: "/admin/domains",
        ..Question::default()
    }
}

fn found(caller: &Caller, name: &str) -> Result<Domain> {
    caller.site.directory.domain(name)?.ok_or(Fault::NotFound("There is no such domain."))
}

/// `POST /admin/domains/{name}`: checks it, sets its TLS policy, or makes new keys.
pub async fn change(caller: Caller, Path(name): Path<String>, form: Posted) -> Result<Response> {
    let caller = admin(caller)?;
    let domain = found(&caller, &name)?;
    let directory = &caller.site.directory;
    let shown = readable(&domain.name);
    let done = match form.get("do") {
        "check" => "checked",
        "sts" => {
            let mode = MtaSts::named(form.get("mode")).ok_or_else(Fault::nothing_to_do)?;
            if mode != domain.mta_sts {
                directory.set_mta_sts(&domain.name, mode).await?;
                note(&caller, &format!("set MTA-STS of the domain {shown} to {}", mode.name())).await?;
            }
            "saved"
        }
        "catch-all" => {
            if let Err(wrong) = domain_addresses::set_catch_all(&caller, &domain, &form).await? {
                let typed = form.get("catch-all").to_owned();
                return page(caller, name, None, Some((wrong, typed))).await;
            }
            return Ok(Redirect::to(&notice::with(&address_of(&domain.name), "saved")).into_response());
        }
        "replace-keys" => {
            if form.get("sure") != "1" {
                return confirm::ask(caller, replacing(&domain)).await;
            }
            if let Some(response) = confirm::password_first(&caller, &form, &address_of(&domain.name)).await? {
                return Ok(response);
            }
            directory.renew_dkim(&domain.name).await?;
            note(&caller, &format!("replaced the DKIM keys of the domain {shown} at once")).await?;
            "created"
        }
        "keys" => {
            // Pressed twice, the keys that wait already are the new ones.
            if !domain.all_dkim.iter().any(|key| key.state() == DkimState::Waiting) {
                match directory.prepare_dkim(&domain.name).await {
                    Err(DirectoryError::NoSecretsKey(why)) => {
                        return Err(Fault::Bad(DirectoryError::NoSecretsKey(why).to_string()));
                    }
                    made => made?,
                };
                note(&caller, &format!("made new DKIM keys for the domain {shown}")).await?;
            }
            "created"
        }
        _ => return Err(Fault::nothing_to_do()),
    };
    let (report, began) = caller.site.checks.check(&domain.name).await?;
    for selector in began {
        let what =
            format!("mail of the domain {} is now signed with the DKIM key {selector}", readable(&report.domain));
        directory.audit(None, "service", &what, "").await?;
    }
    Ok(Redirect::to(&notice::with(&address_of(&domain.name), done)).into_response())
}
