//! The page of forwarding, and the page on which someone at another address agrees to it.

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use delivery::{Asked, ForwardError, ForwardState, MAX_FORWARD_TARGETS};
use mailkit::EmailAddress;
use serde::Deserialize;

use super::common::{Ask, TABS, Tabs, fresh, note, surroundings};
use crate::caller::Caller;
use crate::cookies::Peer;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::problem::Problem;
use crate::signin::{jar, visitor_page};
use crate::site::Site;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::{notice, wrong::Wrong, wrong::readable};

const HERE: &str = "/settings/forwarding";

#[derive(Template)]
#[template(path = "settings_forwarding.html")]
struct ForwardingPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    wrong: Wrong,
    targets: Vec<Line>,
    keep_copy: bool,
    typed: String,
    is_full: bool,
    limit: usize,
}

struct Line {
    address: String,
    shown: String,
    /// Its code, and what it means.
    state: &'static str,
    says: String,
    why: String,
    /// What the button says that asks again.
    again: &'static str,
}

#[derive(Template)]
#[template(path = "forwarding_confirm.html")]
struct ConfirmPage {
    page: Page,
    /// Whose mail, and where to; `None`: the link is not good.
    what: Option<(String, String)>,
    code: String,
    done: bool,
}

/// The code of a link.
#[derive(Default, Deserialize)]
pub struct Code {
    code: Option<String>,
}

/// What is shown besides what is stored.
#[derive(Default)]
struct Aside {
    wrong: Wrong,
    ask: Option<Ask>,
    typed: String,
    done: Option<String>,
}

/// `GET /settings/forwarding`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    show(caller, Aside { done: place.done, ..Aside::default() }).await
}

async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let failed = !aside.wrong.is_empty() || aside.ask.is_some();
            let forwarding = caller.site.delivery.forwarding(caller.account)?;
            let line = |target: delivery::ForwardTarget| {
                let (says, why, again) = match &target.state {
                    ForwardState::On => ("Mail is forwarded".to_owned(), String::new(), ""),
                    ForwardState::Unconfirmed { .. } => {
                        ("Waiting for confirmation".to_owned(), String::new(), "Send again")
                    }
                    ForwardState::Expired => ("Not confirmed in time".to_owned(), String::new(), "Send again"),
                    ForwardState::Paused { why } => ("Paused: it refuses mail".to_owned(), why.clone(), "Resume"),
                };
                let address = target.address.to_string();
                Line { shown: readable(&address), address, state: target.state.name(), says, why, again }
            };
            let is_full = forwarding.targets.len() >= MAX_FORWARD_TARGETS;
            let mut response = view::html(&ForwardingPage {
                page: caller.page("Forwarding"),
                shell: surroundings(caller, aside.done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                ask: aside.ask,
                wrong: aside.wrong,
                targets: forwarding.targets.into_iter().map(line).collect(),
                keep_copy: forwarding.keep_copy,
                typed: aside.typed,
                is_full,
                limit: MAX_FORWARD_TARGETS,
            });
            if failed {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// `POST /settings/forwarding/add`: a new address, the confirmation once more, or mail again after a pause.
pub async fn add(caller: Caller, form: Posted) -> Result<Response> {
    let typed = form.get("address").trim().to_owned();
    let address = match EmailAddress::parse(&typed) {
        Ok(address) => address,
        Err(_) if typed.is_empty() => return refused(caller, typed, "Enter an email address.".into()).await,
        Err(reason) => {
            let problem = Problem::WrongAddress(typed.clone(), reason);
            return refused(caller, typed, problem).await;
        }
    };
    // Someone who finds a browser open must not lead the mail away.
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/forwarding/add", "Continue", &form, &["address"]) });
        return show(caller, Aside { ask, typed, ..Aside::default() }).await;
    }
    let done = match caller.site.delivery.add_forward(caller.account, &address).await {
        Ok(Asked::Sent) => "forwardasked",
        Ok(Asked::Resumed) => "forwardresumed",
        Ok(Asked::Already) => "settings",
        Err(ForwardError::Failed(error)) => return Err(Fault::from(error)),
        Err(refusal) => return refused(caller, typed, crate::wording::capital(&format!("{refusal}.")).into()).await,
    };
    note(&caller, &format!("asked for forwarding to {address}")).await?;
    Ok(Redirect::to(&notice::with(HERE, done)).into_response())
}

async fn refused(caller: Caller, typed: String, problem: Problem) -> Result<Response> {
    show(caller, Aside { wrong: Wrong::of("address", problem), typed, ..Aside::default() }).await
}

/// `POST /settings/forwarding/remove`
pub async fn remove(caller: Caller, form: Posted) -> Result<Response> {
    if let Ok(address) = EmailAddress::parse(form.get("address"))
        && caller.site.delivery.remove_forward(caller.account, &address).await?
    {
        note(&caller, &format!("ended forwarding to {address}")).await?;
    }
    Ok(Redirect::to(&notice::with(HERE, "forwardgone")).into_response())
}

/// `POST /settings/forwarding`: whether a copy stays.
pub async fn save(caller: Caller, form: Posted) -> Result<Response> {
    caller.site.delivery.keep_forward_copies(caller.account, form.get("copy") != "no").await?;
    Ok(Redirect::to(&notice::with(HERE, "settings")).into_response())
}

/// `GET /forwarding?code=…`: the link of a confirmation mail. Opening it changes nothing: programs open links, too.
pub async fn asked(
    State(site): State<Site>,
    Query(code): Query<Code>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
) -> Result<Response> {
    let code = code.code.unwrap_or_default();
    let what = site.delivery.forward_of_code(&code)?;
    let jar = jar(&site, &headers, peer);
    let status = if what.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let what = what.map(|(owner, target)| (readable(&owner.to_string()), readable(&target.to_string())));
    Ok(visitor_page(&jar, "Forwarding", status, |page| ConfirmPage { page, what, code, done: false }))
}

/// `POST /forwarding`
pub async fn agreed(
    State(site): State<Site>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    form: Posted,
) -> Result<Response> {
    let code = form.get("code").to_owned();
    let what = site.delivery.forward_of_code(&code)?;
    let done = site.delivery.confirm_forward(&code).await?;
    let jar = jar(&site, &headers, peer);
    let status = if done { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let what =
        what.filter(|_| done).map(|(owner, target)| (readable(&owner.to_string()), readable(&target.to_string())));
    Ok(visitor_page(&jar, "Forwarding", status, |page| ConfirmPage { page, what, code: String::new(), done }))
}
