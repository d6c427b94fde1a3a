//! A part of the script that was written by hand, as text.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use rules::{RulesError, Shown};
use serde::Deserialize;

use super::{HERE, Opened, keep, open, refused};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::notice;
use crate::problem::Problem;
use crate::settings::common::{Ask, TABS, Tabs, surroundings};
use crate::templates::Shell;
use crate::view::{self, Page};

#[derive(Template)]
#[template(path = "settings_rule_text.html")]
struct TextPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    at: usize,
    seen: String,
    text: String,
    /// What is kept now, where it was changed by someone else.
    theirs: Option<String>,
    /// What is wrong, line by line.
    errors: Vec<String>,
}

/// Which part.
#[derive(Deserialize)]
pub struct Asked {
    at: usize,
}

/// `GET /settings/rules/text`
pub async fn page(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    let Opened { current, book } = open(&caller)?;
    let part = book.parts().get(asked.at).filter(|part| !matches!(part.shown, Shown::Vacation(_)));
    let text = part.ok_or(Fault::NotFound("There is no such rule."))?.source.clone();
    show(caller, Showing { at: asked.at, seen: current.version, text, ..Showing::default() }).await
}

/// What is shown.
#[derive(Default)]
struct Showing {
    at: usize,
    seen: String,
    text: String,
    problem: Option<Problem>,
    theirs: Option<String>,
}

/// What is wrong with a script, a line each.
pub(super) fn errors(problem: Option<&Problem>) -> Vec<String> {
    match problem {
        Some(Problem::Rules(RulesError::Invalid(problems))) => {
            problems.0.iter().map(|problem| crate::wording::capital(&problem.to_string())).collect()
        }
        _ => Vec::new(),
    }
}

async fn show(caller: Caller, showing: Showing) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let Showing { at, seen, text, problem, theirs } = showing;
            let status = problem.as_ref().map_or(StatusCode::OK, refused);
            let errors = errors(problem.as_ref());
            let problem = problem.filter(|_| errors.is_empty());
            let mut response = view::html(&TextPage {
                page: caller.page("Written by hand"),
                shell: surroundings(caller, None, HERE)?,
                tabs: TABS,
                here: HERE,
                problem,
                ask: None,
                at,
                seen,
                text,
                theirs,
                errors,
            });
            *response.status_mut() = status;
            Ok(response)
        })
        .await
}

/// `POST /settings/rules/text`
pub async fn save(caller: Caller, form: Posted) -> Result<Response> {
    let at: usize = form.get("at").parse().map_err(|_| Fault::nothing_to_do())?;
    let text = form.get("text").to_owned();
    let key = form.act_key(&format!("text {at} {text}"));
    if caller.site.rules.last_edit(caller.realm, &key)?.is_some() {
        return Ok(Redirect::to(&notice::with(HERE, &format!("rules:{}", hex::encode(key)))).into_response());
    }
    let mut opened = open(&caller)?;
    if opened.current.version != form.get("seen") || at >= opened.book.parts().len() {
        let now = opened.book.parts().get(at).map_or(opened.current.text, |part| part.source.clone());
        let problem = Some(Problem::Rules(RulesError::Changed(opened.current.name)));
        return show(caller, Showing { at, seen: opened.current.version, text, problem, theirs: Some(now) }).await;
    }
    let seen = opened.current.version.clone();
    // What is wrong is told with its line in the text that is shown, not in the whole script.
    let checked = match opened.book.set_text(at, &text) {
        Ok(()) => rules::check(&with_requirements(&opened, &text)).map(drop),
        Err(problems) => Err(problems),
    };
    if let Err(problems) = checked {
        let problem = Some(Problem::Rules(RulesError::Invalid(problems)));
        return show(caller, Showing { at, seen, text, problem, theirs: None }).await;
    }
    match keep(&caller, opened, key, "Rule changed.").await? {
        Ok(done) => Ok(Redirect::to(&notice::with(HERE, &done)).into_response()),
        Err(problem) => show(caller, Showing { at, seen, text, problem: Some(problem), theirs: None }).await,
    }
}

/// The text below what the script requires, on one line with the text's first, so that lines are counted from the text.
fn with_requirements(opened: &Opened, text: &str) -> String {
    let whole = opened.book.text().unwrap_or_default();
    let require = whole.lines().find(|line| line.starts_with("require")).unwrap_or_default();
    format!("{require} {text}")
}
