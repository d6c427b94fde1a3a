//! Who is signed in, and who has signed in or tried to in the last two weeks.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use directory::{SessionId, SignIn, SignInResult};

use super::common::{Ask, TABS, Tabs, browser, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::time::{Calendar, When};
use crate::view::{self, Page};

const HERE: &str = "/settings/sessions";
/// Sign-ins on the page before all of them are asked for.
const SHOWN: usize = 30;

#[derive(Template)]
#[template(path = "settings_sessions.html")]
struct SessionsPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    sessions: Vec<SessionLine>,
    /// Those that the owner has not said to know.
    new: Vec<SignInLine>,
    sign_ins: Vec<SignInLine>,
    /// How many are not shown.
    more: usize,
}

struct SessionLine {
    id: String,
    agent: String,
    address: String,
    began: String,
    seen: String,
    this: bool,
}

/// A row of the list of sign-ins.
#[derive(Clone)]
struct SignInLine {
    id: String,
    when: When,
    /// `Web`, `IMAP`, `Several`.
    how: &'static str,
    /// The programs; may be empty.
    program: String,
    app_password: Option<String>,
    from: String,
    result: &'static str,
    code: &'static str,
    count: u64,
    new: bool,
}

impl SignInLine {
    fn of(sign_in: SignIn, calendar: &Calendar) -> Self {
        Self {
            id: sign_in.id,
            when: calendar.when(sign_in.last_ms),
            how: sign_in.service.map_or("Several", directory::Service::title),
            program: sign_in.programs.join(", "),
            app_password: sign_in.app_password,
            from: sign_in.peer.map_or_else(|| "several networks".to_owned(), |peer| peer.to_string()),
            result: said(sign_in.result),
            code: sign_in.result.name(),
            count: sign_in.count,
            new: sign_in.new,
        }
    }
}

/// How a sign-in ended, in words.
pub const fn said(result: SignInResult) -> &'static str {
    match result {
        SignInResult::Ok => "Signed in",
        SignInResult::Wrong => "Wrong password or code",
        SignInResult::CodeMissing => "Right password, no code",
        SignInResult::Disabled => "Account disabled",
        SignInResult::NotAllowed => "App password not allowed for this",
        SignInResult::Throttled => "Too many attempts",
    }
}

/// `GET /settings/sessions`
pub async fn page(caller: Caller, Query(place): Query<Place>, Query(wish): Query<Wish>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let calendar = caller.calendar();
            let sessions = caller.site.directory.sessions(caller.account)?.into_iter().map(|session| SessionLine {
                id: hex::encode(session.id.0),
                agent: browser(&session.agent),
                began: calendar.when(session.created_ms).short,
                seen: calendar.ago(session.seen_ms),
                this: session.id == caller.session.id,
                address: session.peer,
            });
            let all = caller.site.directory.sign_ins(caller.account)?;
            let mut all: Vec<_> = all.into_iter().map(|sign_in| SignInLine::of(sign_in, &calendar)).collect();
            let new = all.iter().filter(|line| line.new).cloned().collect();
            let more = if wish.all.is_some() { 0 } else { all.len().saturating_sub(SHOWN) };
            all.truncate(all.len() - more);
            Ok(view::html(&SessionsPage {
                page: caller.page("Sign-ins"),
                shell: surroundings(caller, place.done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                ask: None,
                sessions: sessions.collect(),
                new,
                sign_ins: all,
                more,
            }))
        })
        .await
}

/// Whether all sign-ins are asked for.
#[derive(serde::Deserialize)]
pub struct Wish {
    all: Option<String>,
}

/// `POST /settings/sessions/known`: the owner knows a sign-in, or all of them.
pub async fn known(caller: Caller, form: Posted) -> Result<Response> {
    let id = Some(form.get("id")).filter(|id| *id != "all");
    caller.site.directory.know_sign_ins(caller.account, id).await?;
    Ok(Redirect::to(&notice::with(HERE, "signinknown")).into_response())
}

/// `POST /settings/sessions/end`: one of them, or all but this one.
pub async fn end(caller: Caller, form: Posted) -> Result<Response> {
    let directory = &caller.site.directory;
    if form.get("id") == "others" {
        directory.end_all_sessions(caller.account, Some(caller.session.id)).await?;
    } else {
        let mut id = [0; 32];
        hex::decode_to_slice(form.get("id"), &mut id).map_err(|_| {
            Fault::Bad("The form doesn’t say which session to end. Reload the page and try again.".to_owned())
        })?;
        directory.end_session(caller.account, SessionId(id)).await?;
    }
    Ok(Redirect::to(HERE).into_response())
}
