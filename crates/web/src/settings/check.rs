//! "Test my account": what keeps it from working, and a button that mends it.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use selfcheck::{Arrived, Finding, SelfcheckError, State};

use super::common::{Ask, TABS, Tabs, fresh, note, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wording::capital;

const HERE: &str = "/settings/check";

#[derive(Template)]
#[template(path = "settings_check.html")]
struct CheckPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    lines: Vec<Finding>,
    wrong: usize,
    notes: usize,
    /// What became of the message to oneself.
    arrived: Option<Arrived>,
}

#[derive(Default)]
struct Aside {
    done: Option<String>,
    ask: Option<Ask>,
    problem: Option<Problem>,
    arrived: Option<Arrived>,
}

/// `GET /settings/check`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    show(caller, Aside { done: place.done, ..Aside::default() }).await
}

async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let mut lines = caller.site.selfcheck.look(caller.account).map_err(failed)?;
            // What is wrong stands first; the rest keeps its order.
            lines.sort_by_key(|line| std::cmp::Reverse(line.state));
            let count = |state: State| lines.iter().filter(|line| line.state == state).count();
            Ok(view::html(&CheckPage {
                page: caller.page("Test my account"),
                shell: surroundings(caller, aside.done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: aside.problem,
                ask: aside.ask,
                wrong: count(State::Wrong),
                notes: count(State::Note),
                lines,
                arrived: aside.arrived,
            }))
        })
        .await
}

fn failed(error: SelfcheckError) -> Fault {
    match error {
        SelfcheckError::Directory(error) => error.into(),
        SelfcheckError::Mail(error) => error.into(),
        SelfcheckError::Delivery(error) => error.into(),
        other => Fault::internal(other),
    }
}

/// `POST /settings/check/mend`
pub async fn mend(caller: Caller, form: Posted) -> Result<Response> {
    let (code, about) = (form.get("code").to_owned(), form.get("about").to_owned());
    // Someone who finds a browser open must not lead the mail away.
    if code.starts_with("forward-")
        && let Err(wrong) = fresh(&caller, &form).await?
    {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/check/mend", "Continue", &form, &["code", "about"]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    match caller.site.selfcheck.mend(caller.account, &code, &about).await {
        Ok(Some(finding)) => {
            let what = format!("mended what the test of the account found: {} {}", finding.code, finding.about);
            note(&caller, what.trim()).await?;
            Ok(Redirect::to(&notice::with(HERE, "mended")).into_response())
        }
        Ok(None) => Ok(Redirect::to(HERE).into_response()),
        Err(error @ (SelfcheckError::Directory(directory::DirectoryError::Store(_)) | SelfcheckError::Delivery(_))) => {
            Err(failed(error))
        }
        Err(error) => {
            let problem = Some(Problem::Field(capital(&format!("{error}."))));
            show(caller, Aside { problem, ..Aside::default() }).await
        }
    }
}

/// `POST /settings/check/message`: sends a message to oneself.
pub async fn message(caller: Caller, form: Posted) -> Result<Response> {
    let site = caller.site.clone();
    let turn = site.answers.turn(caller.account, &form.act_key("test message")).await;
    // Pressed twice, it is sent once.
    if turn.before().is_some() {
        return Ok(Redirect::to(HERE).into_response());
    }
    let arrived = site.selfcheck.send_test(caller.account, Some(caller.peer.addr)).await.map_err(failed)?;
    turn.done(arrived.name());
    show(caller, Aside { arrived: Some(arrived), ..Aside::default() }).await
}
