//! App passwords: one for each mail program.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use delivery::AccessChange;
use directory::{AppPasswordId, DirectoryError};

use super::common::{Ask, TABS, Tabs, fresh, note, surroundings, tell_self};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::options::Server;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::Wrong;

#[derive(Template)]
#[template(path = "settings_apps.html")]
struct AppsPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    wrong: Wrong,
    ask: Option<Ask>,
    made: Option<(String, String)>,
    apps: Vec<App>,
    hostname: String,
    servers: Vec<Server>,
}

struct App {
    id: u32,
    name: String,
    created: String,
    used: String,
}

pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    show(caller, Aside { done: place.done, ..Aside::default() }).await
}

/// What the page of app passwords shows besides itself.
#[derive(Default)]
struct Aside {
    made: Option<(String, String)>,
    wrong: Wrong,
    ask: Option<Ask>,
    done: Option<String>,
}

async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    let Aside { made, wrong, ask, done } = aside;
    caller
        .blocking(move |caller| {
            let failed = ask.is_some() || !wrong.is_empty();
            let calendar = caller.calendar();
            let apps = caller.site.directory.app_passwords(caller.account)?.into_iter().map(|app| App {
                id: app.id.0,
                name: app.name,
                created: calendar.when(app.created_ms).short,
                used: app.last_used_ms.map_or_else(|| "never".to_owned(), |ms| calendar.ago(ms)),
            });
            let mut response = view::html(&AppsPage {
                page: caller.page("App passwords"),
                shell: surroundings(caller, done.as_deref(), "/settings/apps")?,
                tabs: TABS,
                here: "/settings/apps",
                problem: None,
                wrong,
                ask,
                made,
                apps: apps.collect(),
                servers: caller.site.options.servers.clone(),
                hostname: if caller.host.is_empty() { "localhost".to_owned() } else { caller.host.clone() },
            });
            if failed {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

pub async fn create(caller: Caller, form: Posted) -> Result<Response> {
    let refuse = |problem: Problem| Aside { wrong: Wrong::of("name", problem), ..Aside::default() };
    let name = form.get("name").trim().to_owned();
    if name.is_empty() {
        return show(caller, refuse(Problem::DeviceNameMissing)).await;
    }
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/apps", "Create", &form, &["name", "key"]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    let key = form.act_key(&format!("app password {name}"));
    let site = caller.site.clone();
    let turn = site.answers.turn(caller.account, &key).await;
    if let Some(password) = turn.before() {
        drop(turn);
        return show(caller, Aside { made: Some((name, password)), ..Aside::default() }).await;
    }
    match site.directory.create_app_password(caller.account, &name).await {
        Ok(made) => {
            turn.done(&made.password);
            note(&caller, &format!("made the app password {name}")).await?;
            tell_self(&caller, AccessChange::AppPasswordMade(name.clone())).await;
            show(caller, Aside { made: Some((name, made.password)), ..Aside::default() }).await
        }
        Err(error @ DirectoryError::Store(_)) => Err(error.into()),
        Err(error) => show(caller, refuse(Problem::Directory(error))).await,
    }
}

/// One of them, or all.
pub async fn revoke(caller: Caller, form: Posted) -> Result<Response> {
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/apps/revoke", "Revoke", &form, &["id"]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    let directory = &caller.site.directory;
    let mut revoked = directory.app_passwords(caller.account)?;
    if form.get("id") != "all" {
        let id = form.get("id").parse().map_err(|_| {
            Fault::Bad("The form doesn’t say which password to revoke. Reload the page and try again.".to_owned())
        })?;
        revoked.retain(|app| app.id == AppPasswordId(id));
    }
    for app in &revoked {
        directory.revoke_app_password(caller.account, app.id).await?;
    }
    if !revoked.is_empty() {
        let names: Vec<String> = revoked.into_iter().map(|app| app.name).collect();
        note(&caller, &format!("revoked the app password {}", names.join(", "))).await?;
        tell_self(&caller, AccessChange::AppPasswordsRevoked(names)).await;
    }
    Ok(Redirect::to("/settings/apps").into_response())
}
