//! The page of rules: what there is, in which order, on or off. A script that was written by hand is shown as it is.
//!
//! Each form says on which version of the script it was made. One made on another than the kept one changes nothing.

mod rule;
mod scripts;
mod text;
mod trial;
mod typed;
mod words;

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use mailstore::Mailbox;
use rules::{Book, Current, Edit, RulesError, Shown};

use super::common::{Ask, TABS, Tabs, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};

pub use rule::{page as rule_page, save as save_rule};
pub use scripts::{editor, export, import, list as scripts_page, manage as manage_script, save as save_script};
pub use text::{page as text_page, save as save_text};
pub use trial::{apply, page as try_page};

const HERE: &str = "/settings/rules";
/// The name of the script that the page makes.
const OWN_SCRIPT: &str = "Rules";

#[derive(Template)]
#[template(path = "settings_rules.html")]
struct RulesPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    /// The active script; empty: there is none.
    script: String,
    seen: String,
    parts: Vec<Line>,
    /// All of it was written by hand: it is shown as text.
    by_hand: Option<String>,
    /// Scripts that are not active.
    others: usize,
}

/// A part of the script.
struct Line {
    at: usize,
    /// `rule`, `vacation` or `text`.
    kind: &'static str,
    name: String,
    which: String,
    done: String,
    off: bool,
    up: bool,
    down: bool,
    source: String,
}

/// The active script, read.
pub struct Opened {
    pub current: Current,
    pub book: Book,
}

/// The active script in parts.
pub fn open(caller: &Caller) -> Result<Opened> {
    let current = caller.site.rules.current(caller.realm)?;
    // What is kept was checked; should a later version not understand it, it is still all text.
    let book = Book::read(&current.text).map_err(|problems| Fault::internal(&problems))?;
    Ok(Opened { current, book })
}

/// Keeps the changed script, on the version that was looked at. The active script is made if there is none.
pub async fn keep(caller: &Caller, opened: Opened, key: Vec<u8>, note: &str) -> Result<Result<String, Problem>> {
    let Opened { current, book } = opened;
    let text = match book.text() {
        Ok(text) => text,
        Err(clash) => return Ok(Err(Problem::RulesClash(clash))),
    };
    let rules = &caller.site.rules;
    let name = if current.name.is_empty() { free_name(caller)? } else { current.name.clone() };
    let edit = Edit {
        seen: if current.name.is_empty() { String::new() } else { current.version },
        active: Some(current.name),
        name,
        text,
        key: key.clone(),
        note: note.to_owned(),
    };
    match rules.edit(caller.realm, edit).await {
        Ok(()) => Ok(Ok(format!("rules:{}", hex::encode(key)))),
        Err(RulesError::Store(error)) => Err(RulesError::Store(error).into()),
        Err(error) => Ok(Err(Problem::Rules(error))),
    }
}

/// A name that no script has.
fn free_name(caller: &Caller) -> Result<String> {
    let taken = caller.site.rules.list(caller.realm)?;
    let names = std::iter::once(OWN_SCRIPT.to_owned()).chain((2..).map(|at| format!("{OWN_SCRIPT} {at}")));
    Ok(names.into_iter().find(|name| taken.iter().all(|script| script.name != *name)).unwrap_or_default())
}

/// `GET /settings/rules`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    show(caller, None, place.done).await
}

async fn show(caller: Caller, problem: Option<Problem>, done: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let Opened { current, book } = open(caller)?;
            let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
            let scripts = caller.site.rules.list(caller.realm)?;
            let status = problem.as_ref().map_or(StatusCode::OK, refused);
            let mut response = view::html(&RulesPage {
                page: caller.page("Rules"),
                shell: surroundings(caller, done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem,
                ask: None,
                parts: (0..book.parts().len()).map(|at| line(&book, at, &mailboxes)).collect(),
                by_hand: book.is_by_hand().then(|| current.text.clone()),
                script: current.name,
                seen: current.version,
                others: scripts.iter().filter(|script| !script.active).count(),
            });
            *response.status_mut() = status;
            Ok(response)
        })
        .await
}

/// What a page with that problem is answered with.
pub fn refused(problem: &Problem) -> StatusCode {
    match problem {
        Problem::Rules(RulesError::Changed(_)) => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

fn line(book: &Book, at: usize, mailboxes: &[Mailbox]) -> Line {
    let part = &book.parts()[at];
    let mut line = Line {
        at,
        kind: "text",
        name: String::new(),
        which: String::new(),
        done: String::new(),
        off: false,
        up: book.can_shift(at, true),
        down: book.can_shift(at, false),
        source: part.source.clone(),
    };
    match &part.shown {
        Shown::Rule(rule) => {
            (line.kind, line.off) = ("rule", rule.off);
            (line.which, line.done) = words::sentences(rule, mailboxes);
            line.name = if rule.name.is_empty() { line.which.clone() } else { rule.name.clone() };
        }
        Shown::Vacation(vacation) => {
            (line.kind, line.off, line.name) = ("vacation", vacation.off, "Vacation reply".to_owned());
        }
        Shown::ByHand(name) => line.name = if name.is_empty() { "Written by hand".to_owned() } else { name.clone() },
    }
    line
}

/// `POST /settings/rules`: one press on a rule of the list.
pub async fn act(caller: Caller, form: Posted) -> Result<Response> {
    let verb = form.get("verb").to_owned();
    let at: usize = form.get("at").parse().map_err(|_| Fault::nothing_to_do())?;
    let key = form.act_key(&format!("rules {verb} {at}"));
    if caller.site.rules.last_edit(caller.realm, &key)?.is_some() {
        return Ok(Redirect::to(&notice::with(HERE, &format!("rules:{}", hex::encode(key)))).into_response());
    }
    let mut opened = open(&caller)?;
    if opened.current.version != form.get("seen") || at >= opened.book.parts().len() {
        return show(caller, Some(Problem::Rules(RulesError::Changed(opened.current.name))), None).await;
    }
    let note = match verb.as_str() {
        "up" | "down" => {
            opened.book.shift(at, verb == "up");
            "Rule moved."
        }
        "on" | "off" => {
            opened.book.switch(at, verb == "off");
            if verb == "on" { "Rule turned on." } else { "Rule turned off." }
        }
        "delete" => {
            opened.book.remove(at);
            "Rule deleted."
        }
        _ => return Err(Fault::nothing_to_do()),
    };
    match keep(&caller, opened, key, note).await? {
        Ok(done) => Ok(Redirect::to(&notice::with(HERE, &done)).into_response()),
        Err(problem) => show(caller, Some(problem), None).await,
    }
}
