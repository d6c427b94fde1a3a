//! All scripts of the account: which one is used, each as text, to a file and from one.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use rules::{Edit, MAX_SCRIPTS, RulesError, ScriptSummary, version};
use serde::Deserialize;

use super::text::errors;
use super::{HERE, free_name, refused};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::{Posted, PostedFiles};
use crate::listing::Place;
use crate::message::download;
use crate::notice;
use crate::problem::Problem;
use crate::settings::common::{Ask, TABS, Tabs, surroundings};
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::Wrong;

const SCRIPTS: &str = "/settings/rules/scripts";

#[derive(Template)]
#[template(path = "settings_scripts.html")]
struct ScriptsPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    wrong: Wrong,
    scripts: Vec<Line>,
    limit: usize,
}

struct Line {
    name: String,
    link: String,
    active: bool,
    size: String,
    changed: String,
}

#[derive(Template)]
#[template(path = "settings_script.html")]
struct ScriptPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    /// Empty for a new one.
    name: String,
    new_name: String,
    seen: String,
    text: String,
    theirs: Option<String>,
    errors: Vec<String>,
}

/// Which script.
#[derive(Default, Deserialize)]
pub struct Named {
    #[serde(default)]
    name: String,
}

/// `GET /settings/rules/scripts`
pub async fn list(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    show_list(caller, None, Wrong::default(), place.done).await
}

async fn show_list(caller: Caller, problem: Option<Problem>, wrong: Wrong, done: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let calendar = caller.calendar();
            let line = |script: ScriptSummary| Line {
                link: crate::error::form_urlencoded(&script.name),
                size: crate::time::size(script.bytes),
                changed: calendar.stamp(script.changed_ms),
                active: script.active,
                name: script.name,
            };
            let status = match &problem {
                Some(problem) => refused(problem),
                None if wrong.is_empty() => StatusCode::OK,
                None => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let mut response = view::html(&ScriptsPage {
                page: caller.page("Scripts"),
                shell: surroundings(caller, done.as_deref(), SCRIPTS)?,
                tabs: TABS,
                here: HERE,
                problem,
                ask: None,
                wrong,
                scripts: caller.site.rules.list(caller.realm)?.into_iter().map(line).collect(),
                limit: MAX_SCRIPTS,
            });
            *response.status_mut() = status;
            Ok(response)
        })
        .await
}

/// `POST /settings/rules/scripts`: one press on a script.
pub async fn manage(caller: Caller, form: Posted) -> Result<Response> {
    let (rules, name) = (&caller.site.rules, form.get("name"));
    let (done, to, note) = match form.get("verb") {
        "activate" => (rules.activate(caller.realm, Some(name)).await, SCRIPTS, "scripton"),
        "deactivate" => (rules.activate(caller.realm, None).await, SCRIPTS, "scriptoff"),
        "delete" => (rules.delete(caller.realm, name).await, SCRIPTS, "scriptgone"),
        "beside" => {
            return beside(caller, form).await;
        }
        _ => return Err(Fault::nothing_to_do()),
    };
    match done {
        Ok(()) => Ok(Redirect::to(&notice::with(to, note)).into_response()),
        Err(RulesError::Store(error)) => Err(RulesError::Store(error).into()),
        Err(error) => show_list(caller, Some(Problem::Rules(error)), Wrong::default(), None).await,
    }
}

/// A new active script for the page's rules, which runs the one that was written by hand first.
async fn beside(caller: Caller, form: Posted) -> Result<Response> {
    let by_hand = form.get("name").to_owned();
    let name = free_name(&caller)?;
    let quoted = by_hand.replace('\\', "\\\\").replace('"', "\\\"");
    let key = form.act_key(&format!("beside {by_hand}"));
    let edit = Edit {
        text: format!(
            "require \"include\";\r\n\r\n# The script that was written by hand runs first.\r\ninclude :personal \"{quoted}\";\r\n"
        ),
        name,
        seen: String::new(),
        active: Some(by_hand),
        key: key.clone(),
        note: "Your script runs first; rules that you add here run after it.".to_owned(),
    };
    match caller.site.rules.edit(caller.realm, edit).await {
        Ok(()) => Ok(Redirect::to(&notice::with(HERE, &format!("rules:{}", hex::encode(key)))).into_response()),
        Err(RulesError::Store(error)) => Err(RulesError::Store(error).into()),
        Err(error) => show_list(caller, Some(Problem::Rules(error)), Wrong::default(), None).await,
    }
}

/// `GET /settings/rules/script`
pub async fn editor(caller: Caller, Query(named): Query<Named>) -> Result<Response> {
    let name = named.name;
    let text = if name.is_empty() { String::new() } else { caller.site.rules.get(caller.realm, &name)? };
    let seen = if name.is_empty() { String::new() } else { version(&name, &text) };
    show_editor(caller, Editing { new_name: name.clone(), name, seen, text, ..Editing::default() }).await
}

/// What the editor shows.
#[derive(Default)]
struct Editing {
    name: String,
    new_name: String,
    seen: String,
    text: String,
    problem: Option<Problem>,
    theirs: Option<String>,
}

async fn show_editor(caller: Caller, editing: Editing) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let Editing { name, new_name, seen, text, problem, theirs } = editing;
            let status = problem.as_ref().map_or(StatusCode::OK, refused);
            let errors = errors(problem.as_ref());
            let problem = problem.filter(|_| errors.is_empty());
            let mut response = view::html(&ScriptPage {
                page: caller.page(if name.is_empty() { "New script" } else { &name }),
                shell: surroundings(caller, None, HERE)?,
                tabs: TABS,
                here: HERE,
                problem,
                ask: None,
                name,
                new_name,
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

/// `POST /settings/rules/script`
pub async fn save(caller: Caller, form: Posted) -> Result<Response> {
    let (name, new_name) = (form.get("name").to_owned(), form.get("newname").trim().to_owned());
    let (seen, text) = (form.get("seen").to_owned(), form.get("text").to_owned());
    let rules = &caller.site.rules;
    let target = if name.is_empty() { new_name.clone() } else { name.clone() };
    let key = form.act_key(&format!("script {target} {text}"));
    let edit = Edit {
        name: target.clone(),
        text: text.clone(),
        seen: seen.clone(),
        active: None,
        key: key.clone(),
        note: "Script saved.".to_owned(),
    };
    let mut done = rules.edit(caller.realm, edit).await;
    if done.is_ok() && target != new_name && !new_name.is_empty() {
        done = rules.rename(caller.realm, &target, &new_name).await;
    }
    match done {
        Ok(()) => Ok(Redirect::to(&notice::with(SCRIPTS, &format!("rules:{}", hex::encode(key)))).into_response()),
        Err(RulesError::Store(error)) => Err(RulesError::Store(error).into()),
        Err(error) => {
            let now = rules.get(caller.realm, &target).ok();
            let changed = matches!(error, RulesError::Changed(_));
            let error = match (changed, name.is_empty()) {
                (true, true) => RulesError::Exists(target.clone()),
                _ => error,
            };
            let changed = matches!(error, RulesError::Changed(_));
            let seen = match &now {
                Some(now) if changed => version(&target, now),
                _ => seen,
            };
            let theirs = now.filter(|_| changed);
            let problem = Some(Problem::Rules(error));
            show_editor(caller, Editing { name, new_name, seen, text, problem, theirs }).await
        }
    }
}

/// `GET /settings/rules/export`
pub async fn export(caller: Caller, Query(named): Query<Named>) -> Result<Response> {
    let text = caller.site.rules.get(caller.realm, &named.name)?;
    Ok(download(text, &format!("{}.sieve", named.name), "application/sieve"))
}

/// `POST /settings/rules/scripts/import`: a file becomes a script of its name, which is not used before it is activated.
pub async fn import(caller: Caller, posted: PostedFiles) -> Result<Response> {
    let Some(file) = posted.files.into_iter().next() else {
        return show_list(caller, None, Wrong::of("file", Problem::FileMissing), None).await;
    };
    let name = file.name.rsplit_once('.').map_or(file.name.as_str(), |(name, _)| name).to_owned();
    let Ok(text) = String::from_utf8(file.content) else {
        return show_list(caller, None, Wrong::of("file", "The file isn’t a text in UTF-8."), None).await;
    };
    let new = Editing { new_name: name, text, ..Editing::default() };
    if new.text.len() > sieve::limits::MAX_SCRIPT_BYTES {
        let problem = Problem::TextTooLong(sieve::limits::MAX_SCRIPT_BYTES);
        return show_list(caller, None, Wrong::of("file", problem), None).await;
    }
    let key = posted.form.act_key(&format!("import {} {}", new.new_name, new.text));
    let edit = Edit {
        name: new.new_name.clone(),
        text: new.text.clone(),
        key: key.clone(),
        note: format!("Script {} imported. Activate it to use it.", new.new_name),
        ..Edit::default()
    };
    match caller.site.rules.edit(caller.realm, edit).await {
        Ok(()) => Ok(Redirect::to(&notice::with(SCRIPTS, &format!("rules:{}", hex::encode(key)))).into_response()),
        Err(RulesError::Store(error)) => Err(RulesError::Store(error).into()),
        // What is in the file is in the editor, where it can be mended or get another name.
        Err(RulesError::Changed(name)) => {
            show_editor(caller, Editing { problem: Some(Problem::Rules(RulesError::Exists(name))), ..new }).await
        }
        Err(error) => show_editor(caller, Editing { problem: Some(Problem::Rules(error)), ..new }).await,
    }
}
