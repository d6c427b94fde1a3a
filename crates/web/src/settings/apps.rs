//! App passwords: one for each mail program.

use std::time::Duration;

use askama::Template;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use delivery::AccessChange;
use directory::{AppPasswordId, DirectoryError, Scopes, Service};

use super::common::{Ask, TABS, Tabs, fresh, note, surroundings, tell_self};
use crate::caller::Caller;
use crate::discovery::{self, apple};
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::options::Server;
use crate::problem::Problem;
use crate::qr;
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
    /// The protocols that a new one may be for, and which are chosen.
    uses: Vec<Use>,
    apps: Vec<App>,
    hostname: String,
    servers: Vec<Server>,
    /// Whether a profile for Apple's Mail can be made.
    apple: bool,
    /// The one that was just made.
    profile: Option<Profile>,
}

/// A configuration profile that waits to be fetched.
struct Profile {
    path: String,
    qr: String,
    signed: bool,
    minutes: u64,
}

struct App {
    id: u32,
    name: String,
    created: String,
    used: String,
    /// What it is for.
    scope: String,
}

/// A protocol that an app password may be for.
struct Use {
    name: &'static str,
    title: &'static str,
    chosen: bool,
}

/// What people do with a protocol.
const fn purpose(service: Service) -> &'static str {
    match service {
        Service::Imap => "Read mail (IMAP)",
        Service::Pop3 => "Fetch mail (POP3)",
        Service::Smtp => "Send mail (SMTP)",
        Service::ManageSieve => "Edit filter rules (ManageSieve)",
        Service::Web => "Webmail",
    }
}

/// The field of a protocol in the form.
const fn field_of(service: Service) -> &'static str {
    match service {
        Service::Imap => "use-imap",
        Service::Pop3 => "use-pop3",
        Service::Smtp => "use-smtp",
        Service::ManageSieve => "use-managesieve",
        Service::Web => "use-web",
    }
}

/// What was chosen; `None` if nothing was. A form without any of the fields, as of a page that was opened before there
/// were some, means everything.
fn chosen(form: &Posted) -> Option<Scopes> {
    let services: Vec<Service> =
        Scopes::SERVICES.into_iter().filter(|service| form.get(field_of(*service)) == "1").collect();
    if services.is_empty() && form.get("uses") != "1" { Some(Scopes::ALL) } else { Scopes::of(&services) }
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
    profile: Option<Profile>,
    /// What was chosen and is to be chosen again.
    protocols: Option<Vec<Service>>,
}

async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    let Aside { made, wrong, ask, done, profile, protocols } = aside;
    caller
        .blocking(move |caller| {
            let failed = ask.is_some() || !wrong.is_empty();
            let calendar = caller.calendar();
            let apps = caller.site.directory.app_passwords(caller.account)?.into_iter().map(|app| App {
                id: app.id.0,
                name: app.name,
                scope: if app.scopes.is_all() {
                    "everything".to_owned()
                } else {
                    app.scopes.services().map(Service::title).collect::<Vec<_>>().join(", ")
                },
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
                uses: Scopes::SERVICES
                    .into_iter()
                    .map(|service| Use {
                        name: field_of(service),
                        title: purpose(service),
                        chosen: protocols.as_ref().is_none_or(|protocols| protocols.contains(&service)),
                    })
                    .collect(),
                apps: apps.collect(),
                servers: caller.site.options.servers.clone(),
                apple: apple::is_possible(&caller.site),
                profile,
                hostname: if caller.host.is_empty() { "localhost".to_owned() } else { caller.host.clone() },
            });
            if failed {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// What of the form waits while the password is asked for again.
const ASKED: [&str; 7] = ["name", "key", "uses", "use-imap", "use-pop3", "use-smtp", "use-managesieve"];

pub async fn create(caller: Caller, form: Posted) -> Result<Response> {
    let scopes = chosen(&form);
    let protocols: Vec<Service> = scopes.iter().flat_map(|scopes| scopes.services()).collect();
    let refuse = |problem: Problem| Aside {
        wrong: Wrong::of("name", problem),
        protocols: Some(protocols.clone()),
        ..Aside::default()
    };
    let name = form.get("name").trim().to_owned();
    if name.is_empty() {
        return show(caller, refuse(Problem::DeviceNameMissing)).await;
    }
    let Some(scopes) = scopes else {
        let wrong = Wrong::of("uses", "Choose at least one use.");
        return show(caller, Aside { wrong, protocols: Some(Vec::new()), ..Aside::default() }).await;
    };
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/apps", "Create", &form, &ASKED) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    let key = form.act_key(&format!("app password {name} {scopes:?}"));
    let site = caller.site.clone();
    let turn = site.answers.turn(caller.account, &key).await;
    if let Some(password) = turn.before() {
        drop(turn);
        return show(caller, Aside { made: Some((name, password)), ..Aside::default() }).await;
    }
    match site.directory.create_scoped_app_password(caller.account, &name, scopes).await {
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

/// Makes an app password and a configuration profile with it, which the page shows as a link and a code.
pub async fn profile(caller: Caller, headers: HeaderMap, form: Posted) -> Result<Response> {
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/apps/profile", "Create profile", &form, &["key"]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    let site = caller.site.clone();
    let turn = site.answers.turn(caller.account, &form.act_key("profile for Apple Mail")).await;
    let token = match turn.before() {
        Some(token) => {
            drop(turn);
            token
        }
        None => match made_profile(&caller, &site.options.name_for(&headers)).await? {
            Ok(token) => {
                turn.done(&token);
                token
            }
            Err(problem) => {
                let wrong = Wrong::of("profile", problem);
                return show(caller, Aside { wrong, ..Aside::default() }).await;
            }
        },
    };
    let path = apple::path_of(&token);
    let url = discovery::ways::absolute(&site, &headers, caller.peer.tls, &path);
    let qr = qr::svg_of(&url, "QR code of the profile").unwrap_or_default();
    let signed = site.profiles.is_signed(&token);
    let profile = Some(Profile { path, qr, signed, minutes: discovery::profiles::MINUTES });
    show(caller, Aside { profile, ..Aside::default() }).await
}

/// The name of the profile, or why there is none.
async fn made_profile(caller: &Caller, host: &str) -> Result<Result<String, Problem>> {
    let site = &caller.site;
    if !apple::is_possible(site) {
        return Err(Fault::nothing_to_do());
    }
    let name = "Apple Mail".to_owned();
    let scopes = Scopes::of(&[Service::Imap, Service::Smtp]).unwrap_or(Scopes::ALL);
    let made = match site.directory.create_scoped_app_password(caller.account, &name, scopes).await {
        Ok(made) => made,
        Err(error @ DirectoryError::Store(_)) => return Err(error.into()),
        Err(error) => return Ok(Err(Problem::Directory(error))),
    };
    note(caller, &format!("made the app password {name}")).await?;
    tell_self(caller, AccessChange::AppPasswordMade(name)).await;
    let profile = apple::profile(site, host, (&caller.address, &caller.name), &made.password);
    let token = profile.and_then(|profile| site.profiles.keep(profile));
    let full = || {
        Fault::Unavailable(Duration::from_secs(60), "Too many profiles wait to be fetched. Try again later.".to_owned())
    };
    Ok(Ok(token.ok_or_else(full)?))
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
