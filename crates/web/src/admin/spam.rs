//! The spam filter of the service: whom it and its domains always allow or block, and what the accounts taught together.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use filter::spam::Entry;
use serde::Deserialize;

use super::frame::{TABS, Tabs, admin, counted, failed, note, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::notice;
use crate::settings::spam::typed_entries;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::{Wrong, readable};

const HERE: &str = "/admin/spam";

#[derive(Template)]
#[template(path = "admin_spam.html")]
struct SpamPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    /// Whose lists are shown: a domain, or nothing for the service.
    domain: String,
    readable: String,
    /// The hosted domains: name, in words, whether it is this one.
    domains: Vec<(String, String, bool)>,
    allowed: String,
    blocked: String,
    wrong: Wrong,
    base: Vec<(&'static str, String)>,
}

/// Which lists, and what was done.
#[derive(Default, Deserialize)]
pub struct Which {
    #[serde(default)]
    domain: String,
    done: Option<String>,
}

/// What is shown: what is stored, or what was typed.
struct Shown {
    domain: Option<String>,
    lists: [String; 2],
    wrong: Wrong,
    done: Option<String>,
}

/// The domain that a form or an address names, if it is hosted here; `None` is the service.
fn hosted(caller: &Caller, name: &str) -> Result<Option<String>> {
    if name.is_empty() {
        return Ok(None);
    }
    let domain = caller.site.directory.domain(name)?.ok_or(Fault::NotFound("There is no such domain."))?;
    Ok(Some(domain.name))
}

fn address_of(domain: Option<&str>) -> String {
    domain.map_or_else(|| HERE.to_owned(), |domain| format!("{HERE}?domain={domain}"))
}

fn lines(entries: &[Entry], allowed: bool) -> String {
    let of = entries.iter().filter(|entry| entry.allowed == allowed);
    of.map(|entry| readable(&entry.pattern.to_string())).collect::<Vec<_>>().join("\n")
}

/// `GET /admin/spam`
pub async fn page(caller: Caller, Query(which): Query<Which>) -> Result<Response> {
    let caller = admin(caller)?;
    let domain = hosted(&caller, &which.domain)?;
    let entries = caller.site.spam.lists_of(domain.as_deref())?;
    let lists = [true, false].map(|allowed| lines(&entries, allowed));
    show(caller, Shown { domain, lists, wrong: Wrong::default(), done: which.done }).await
}

async fn show(caller: Caller, shown: Shown) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let Shown { domain, lists: [allowed, blocked], wrong, done } = shown;
            let is_wrong = !wrong.is_empty();
            let here = address_of(domain.as_deref());
            let domain = domain.unwrap_or_default();
            let hosted = caller.site.directory.domains()?;
            let response = view::html(&SpamPage {
                page: caller.page("Spam filter"),
                shell: surroundings(caller, done.as_deref(), &here)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                domains: hosted
                    .into_iter()
                    .map(|one| (one.name.clone(), readable(&one.name), one.name == domain))
                    .collect(),
                readable: readable(&domain),
                domain,
                allowed,
                blocked,
                wrong,
                base: base(caller),
            });
            Ok(failed(response, is_wrong))
        })
        .await
}

/// The state of what the accounts taught together.
fn base(caller: &Caller) -> Vec<(&'static str, String)> {
    let base = caller.site.spam.base();
    if base.gathered_ms == 0 {
        return vec![("Gathered", "not yet".to_owned())];
    }
    let (totals, number) = (base.counts.totals(), |count: usize| count as u64);
    vec![
        ("Gathered", caller.calendar().ago(base.gathered_ms)),
        ("From", counted(number(base.accounts), "account", "accounts")),
        ("Spam", counted(totals.spam.into(), "message", "messages")),
        ("Wanted mail", counted(totals.ham.into(), "message", "messages")),
        ("Signs in common", counted(number(base.counts.len()), "sign", "signs")),
        ("Reputation of", counted(number(base.reputation.len()), "domain or network", "domains and networks")),
    ]
}

/// `POST /admin/spam`: sets both lists of a domain, or of the service.
pub async fn change(caller: Caller, form: Posted) -> Result<Response> {
    let caller = admin(caller)?;
    let domain = hosted(&caller, form.get("domain"))?;
    let mut wrong = Wrong::default();
    let entries = typed_entries(&form, &mut wrong);
    if !wrong.is_empty() {
        let lists = ["allowed", "blocked"].map(|field| form.get(field).replace("\r\n", "\n"));
        return show(caller, Shown { domain, lists, wrong, done: None }).await;
    }
    let before = caller.site.spam.lists_of(domain.as_deref())?;
    if before != entries {
        let whose = domain.as_deref().map_or_else(|| "the service".to_owned(), readable);
        let count = counted(entries.len() as u64, "entry", "entries");
        caller.site.spam.change_lists(domain.as_deref(), move |lists| lists.entries = entries).await?;
        note(&caller, &format!("changed allowed and blocked senders of {whose}: {count}")).await?;
    }
    Ok(Redirect::to(&notice::with(&address_of(domain.as_deref()), "saved")).into_response())
}
