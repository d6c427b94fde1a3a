//! Pages of administrators: accounts, domains with their DNS records, the queue, continuity, the audit trail.

mod accounts;

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use delivery::QueueFilter;
use directory::DirectoryError;
use serde::Deserialize;

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::options::Panel;
use crate::site::Site;
use crate::templates::Shell;
use crate::time::When;
use crate::view::{self, Page};
use crate::wording::capital;
use crate::{notice, shell};

type Tabs = &'static [(&'static str, &'static str)];
pub const TABS: Tabs = &[
    ("/admin", "Accounts"),
    ("/admin/domains", "Domains"),
    ("/admin/queue", "Queue"),
    ("/admin/continuity", "Continuity"),
    ("/admin/audit", "Audit trail"),
];
/// Entries of the audit trail on a page.
const AUDIT_ROWS: usize = 100;
/// Messages of the queue that are shown.
const QUEUE_ROWS: usize = 100;

/// The routes below `/admin`.
pub fn routes() -> Router<Site> {
    Router::new()
        .route("/admin", get(accounts::list))
        .route("/admin/accounts", get(accounts::list).post(accounts::change))
        .route("/admin/accounts/{id}", get(accounts::one))
        .route("/admin/domains", get(domains).post(add_domain))
        .route("/admin/queue", get(queue))
        .route("/admin/continuity", get(continuity))
        .route("/admin/audit", get(audit))
}

#[derive(Template)]
#[template(path = "admin_domains.html")]
struct DomainsPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    typed: String,
    domains: Vec<DomainLine>,
}

struct DomainLine {
    name: String,
    records: Vec<(String, &'static str, String, &'static str)>,
}

#[derive(Template)]
#[template(path = "admin_queue.html")]
struct QueuePage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    summary: String,
    messages: Vec<QueueLine>,
}

struct QueueLine {
    from: String,
    to: String,
    since: String,
    next: String,
    error: String,
}

#[derive(Template)]
#[template(path = "admin_audit.html")]
struct AuditPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    entries: Vec<AuditLine>,
    next: Option<String>,
}

struct AuditLine {
    when: When,
    who: String,
    what: String,
    from: String,
}

fn admin(caller: Caller) -> Result<Caller> {
    if caller.admin { Ok(caller) } else { Err(Fault::Forbidden("These pages are for administrators.")) }
}

fn surroundings(caller: &Caller, done: Option<&str>, here: &str) -> Result<Shell> {
    let mut shell = shell::build(caller, "page", None)?;
    shell.notice = notice::find(caller, done, here)?;
    Ok(shell)
}

fn failed(mut response: Response, problem: bool) -> Response {
    if problem {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    response
}

async fn note(caller: &Caller, what: &str) -> Result<()> {
    let peer = caller.peer.addr.to_string();
    Ok(caller.site.directory.audit(None, &caller.address, what, &peer).await?)
}

async fn domains(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    domains_page(admin(caller)?, None, String::new(), place.done).await
}

async fn domains_page(
    caller: Caller,
    problem: Option<String>,
    typed: String,
    done: Option<String>,
) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let directory = &caller.site.directory;
            let mut lines = Vec::new();
            for domain in directory.domains()? {
                let records = directory.dns_records(&domain.name)?.into_iter();
                let records = records.map(|record| (record.name, record.kind, record.value, record.purpose)).collect();
                lines.push(DomainLine { name: domain.name, records });
            }
            let wrong = problem.is_some();
            let page = DomainsPage {
                page: caller.page("Domains"),
                shell: surroundings(caller, done.as_deref(), "/admin/domains")?,
                tabs: TABS,
                here: "/admin/domains",
                problem,
                typed,
                domains: lines,
            };
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

async fn add_domain(caller: Caller, form: Posted) -> Result<Response> {
    let caller = admin(caller)?;
    let typed = form.get("domain").trim().trim_start_matches('@').to_owned();
    let key = form.act_key(&format!("domain {typed}"));
    let turn = caller.site.answers.turn(caller.account, &key).await;
    let to = notice::with("/admin/domains", "created");
    if turn.before().is_some() {
        return Ok(Redirect::to(&to).into_response());
    }
    let made = caller.site.directory.add_domain(&typed).await;
    if made.is_ok() {
        turn.done("created");
    } else {
        drop(turn);
    }
    match made {
        Ok(domain) => {
            note(&caller, &format!("added the domain {}", domain.name)).await?;
            Ok(Redirect::to(&to).into_response())
        }
        Err(error @ DirectoryError::Store(_)) => Err(error.into()),
        Err(error) => domains_page(caller, Some(capital(&error.to_string())), typed, None).await,
    }
}

async fn queue(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    admin(caller)?
        .blocking(move |caller| {
            let delivery = &caller.site.delivery;
            let calendar = caller.calendar();
            let stats = delivery.queue_stats()?;
            let shown = delivery.queue_list(&QueueFilter::default(), None, QUEUE_ROWS)?;
            let messages = shown.messages.into_iter().map(|message| {
                let to: Vec<&str> = message.recipients.iter().take(3).map(|r| r.address.as_str()).collect();
                let further = message.recipients.len().saturating_sub(to.len());
                let next = message.recipients.iter().map(|r| r.next_attempt_ms).min();
                QueueLine {
                    from: message.from.unwrap_or_else(|| "(a report)".to_owned()),
                    to: if further > 0 { format!("{} and {further} more", to.join(", ")) } else { to.join(", ") },
                    since: calendar.ago(message.created_ms),
                    next: if message.held {
                        "held".to_owned()
                    } else {
                        next.map_or_else(String::new, |ms| calendar.when(ms).short)
                    },
                    error: message.recipients.into_iter().find_map(|r| r.last_error).unwrap_or_default(),
                }
            });
            let summary = if stats.messages == 0 {
                "Nothing is waiting to go out.".to_owned()
            } else {
                format!(
                    "{} messages for {} recipients wait to go out; {} are held.",
                    stats.messages, stats.recipients, stats.held
                )
            };
            Ok(view::html(&QueuePage {
                page: caller.page("Queue"),
                shell: surroundings(caller, place.done.as_deref(), "/admin/queue")?,
                tabs: TABS,
                here: "/admin/queue",
                problem: None,
                summary,
                messages: messages.collect(),
            }))
        })
        .await
}

#[derive(Deserialize)]
struct Before {
    before: Option<i64>,
}

async fn audit(caller: Caller, Query(asked): Query<Before>) -> Result<Response> {
    admin(caller)?
        .blocking(move |caller| {
            let calendar = caller.calendar();
            let entries = caller.site.directory.audit_trail(None, asked.before, AUDIT_ROWS)?;
            let next = entries.last().filter(|_| entries.len() == AUDIT_ROWS);
            Ok(view::html(&AuditPage {
                page: caller.page("Audit trail"),
                shell: surroundings(caller, None, "/admin/audit")?,
                tabs: TABS,
                here: "/admin/audit",
                problem: None,
                next: next.map(|entry| format!("/admin/audit?before={}", entry.at_ms)),
                entries: entries
                    .into_iter()
                    .map(|entry| AuditLine {
                        when: calendar.when(entry.at_ms),
                        who: entry.who,
                        what: entry.what,
                        from: entry.peer,
                    })
                    .collect(),
            }))
        })
        .await
}

#[derive(Template)]
#[template(path = "admin_continuity.html")]
struct ContinuityPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    panels: Vec<Panel>,
}

/// `GET /admin/continuity`
async fn continuity(caller: Caller) -> Result<Response> {
    admin(caller)?
        .blocking(move |caller| {
            let panels = caller.site.options.continuity.borrow().clone();
            Ok(view::html(&ContinuityPage {
                page: caller.page("Continuity"),
                shell: surroundings(caller, None, "/admin/continuity")?,
                tabs: TABS,
                here: "/admin/continuity",
                problem: None,
                panels,
            }))
        })
        .await
}
