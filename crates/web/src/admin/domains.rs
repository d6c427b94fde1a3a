//! Domains: their DNS records, adding and removing.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use directory::DirectoryError;

use super::confirm::{self, Question};
use super::domain::summary;
use super::frame::{TABS, Tabs, admin, counted, failed, note, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::{Wrong, readable};

const HERE: &str = "/admin/domains";
/// Addresses that are named when a domain is to be removed.
const NAMED: usize = 20;

#[derive(Template)]
#[template(path = "admin_domains.html")]
struct DomainsPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    wrong: Wrong,
    typed: String,
    domains: Vec<DomainLine>,
}

struct DomainLine {
    /// In ASCII, as the DNS has it.
    name: String,
    /// As people read it.
    readable: String,
    addresses: String,
    /// How its DNS records are, with the kind of badge; none before the first check.
    state: Option<(String, &'static str)>,
}

/// `GET /admin/domains`
pub async fn list(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    page(admin(caller)?, Wrong::default(), String::new(), place.done).await
}

async fn page(caller: Caller, wrong: Wrong, typed: String, done: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let directory = &caller.site.directory;
            let mut lines = Vec::new();
            for domain in directory.domains()? {
                let found = directory.domain_addresses(&domain.name)?;
                let number = (found.logins.len() + found.aliases.len()) as u64;
                lines.push(DomainLine {
                    readable: readable(&domain.name),
                    state: caller.site.checks.last(&domain.name).map(|report| summary(&report)),
                    name: domain.name,
                    addresses: counted(number, "address", "addresses"),
                });
            }
            let page = DomainsPage {
                page: caller.page("Domains"),
                shell: surroundings(caller, done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                wrong,
                typed,
                domains: lines,
            };
            let wrong = !page.wrong.is_empty();
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

/// `POST /admin/domains`: adds one, or with `do=remove` removes one.
pub async fn change(caller: Caller, form: Posted) -> Result<Response> {
    let caller = admin(caller)?;
    match form.get("do") {
        "" | "add" => add(caller, &form).await,
        "remove" => remove(caller, &form).await,
        _ => Err(Fault::nothing_to_do()),
    }
}

async fn add(caller: Caller, form: &Posted) -> Result<Response> {
    let typed = form.get("domain").trim().trim_start_matches('@').to_owned();
    if typed.is_empty() {
        return page(caller, Wrong::of("domain", "Enter a domain, such as example.org."), typed, None).await;
    }
    let key = form.act_key(&format!("domain {typed}"));
    let turn = caller.site.answers.turn(caller.account, &key).await;
    let to = notice::with(HERE, "created");
    if turn.before().is_some() {
        return Ok(Redirect::to(&to).into_response());
    }
    match caller.site.directory.add_domain(&typed).await {
        Ok(domain) => {
            turn.done("created");
            note(&caller, &format!("added the domain {}", readable(&domain.name))).await?;
            Ok(Redirect::to(&to).into_response())
        }
        Err(error @ DirectoryError::Store(_)) => Err(error.into()),
        Err(error) => page(caller, Wrong::of("domain", error), typed, None).await,
    }
}

/// Asks first, always: keys are lost, and with addresses the name must be typed.
async fn remove(caller: Caller, form: &Posted) -> Result<Response> {
    let directory = &caller.site.directory;
    let Some(domain) = directory.domain(form.get("domain"))? else {
        return Ok(Redirect::to(HERE).into_response());
    };
    let question = question(&caller, &domain.name)?;
    let typed = form.get("typed").trim().trim_end_matches('.');
    let fits = |wanted: &str| typed.to_lowercase() == wanted.to_lowercase() || typed.eq_ignore_ascii_case(&domain.name);
    let is_typed = question.typed.as_deref().is_none_or(fits);
    if form.get("sure") != "1" || !is_typed || !question.hindrances.is_empty() {
        let mistyped = form.get("sure") == "1" && !is_typed;
        return confirm::ask(caller, Question { mistyped, ..question }).await;
    }
    if let Some(response) = confirm::password_first(&caller, form, HERE).await? {
        return Ok(response);
    }
    match directory.remove_domain_with_aliases(&domain.name).await {
        Ok(()) => {}
        Err(error @ DirectoryError::Store(_)) => return Err(error.into()),
        // Somebody made an account there at this moment: the question says so now.
        Err(DirectoryError::DomainInUse { .. }) => return confirm::ask(caller, question).await,
        Err(error) => return page(caller, Wrong::of("", error), String::new(), None).await,
    }
    note(&caller, &format!("removed the domain {}", readable(&domain.name))).await?;
    Ok(Redirect::to(&notice::with(HERE, "domaingone")).into_response())
}

fn question(caller: &Caller, name: &str) -> Result<Question> {
    let directory = &caller.site.directory;
    let found = directory.domain_addresses(name)?;
    let shown = readable(name);
    let mut facts = vec![
        format!("Mail to addresses in {shown} will be refused."),
        "Its DKIM keys are destroyed: signatures on mail that is still under way can no longer be checked. If you add the \
         domain again it gets new keys, and its DNS records change."
            .to_owned(),
        "Remove its DNS records too.".to_owned(),
    ];
    if !found.aliases.is_empty() {
        let named: Vec<String> = found.aliases.iter().take(NAMED).map(|(alias, _)| readable(alias)).collect();
        let more = found.aliases.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let these = counted(found.aliases.len() as u64, "alias ends", "aliases end");
        facts.insert(0, format!("{these}: {}{more}.", named.join(", ")));
    }
    let hindrances = found.logins.iter().take(NAMED).map(|(login, account)| {
        (
            format!("The account {} signs in with this domain: rename or delete it first", readable(login)),
            format!("/admin/accounts/{account}"),
        )
    });
    Ok(Question {
        heading: format!("Remove the domain {shown}?"),
        facts,
        hindrances: hindrances.collect(),
        fields: vec![("do", "remove".to_owned()), ("domain", name.to_owned())],
        typed: (!found.aliases.is_empty()).then_some(shown),
        mistyped: false,
        button: "Remove domain",
        action: HERE.to_owned(),
        back: HERE.to_owned(),
        here: HERE,
    })
}
