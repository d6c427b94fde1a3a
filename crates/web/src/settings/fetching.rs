//! The page of accounts elsewhere that mail is fetched from.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use fetching::{FetchError, Protocol, Security, Settings, Source, State};

use super::common::{Ask, TABS, Tabs, note, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wording::capital;
use crate::{notice, wrong::Wrong};

const HERE: &str = "/settings/fetching";

#[derive(Template)]
#[template(path = "settings_fetching.html")]
struct FetchingPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    wrong: Wrong,
    lines: Vec<Line>,
    /// Something is fetched now: the page can be read again.
    under_way: bool,
    typed: Typed,
    enabled: bool,
    is_full: bool,
    limit: usize,
    plain: bool,
}

/// A source as the page shows it.
struct Line {
    id: u64,
    user: String,
    host: String,
    /// `IMAP, once`.
    how: String,
    state: &'static str,
    says: String,
    error: String,
    done: u64,
    total: u64,
    filed: u64,
    left_out: u64,
    mailboxes: Vec<Mailbox>,
    reasons: Vec<String>,
    can_pause: bool,
    wants_password: bool,
}

struct Mailbox {
    name: String,
    done: u64,
    total: u64,
}

/// What was typed, but for the password.
#[derive(Default)]
struct Typed {
    user: String,
    host: String,
    port: String,
    protocol: String,
    security: String,
    keep: bool,
    inbox_only: bool,
    rules: bool,
    delete: bool,
    /// The fields of the server are to be seen.
    by_hand: bool,
}

/// What is shown besides what is stored.
#[derive(Default)]
struct Aside {
    wrong: Wrong,
    problem: Option<Problem>,
    typed: Typed,
    done: Option<String>,
}

/// `GET /settings/fetching`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    show(caller, Aside { done: place.done, ..Aside::default() }).await
}

async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let failed = !aside.wrong.is_empty() || aside.problem.is_some();
            let fetching = &caller.site.fetching;
            let sources = fetching.list(caller.account)?;
            let policy = fetching.policy();
            let mut response = view::html(&FetchingPage {
                page: caller.page("Other accounts"),
                shell: surroundings(caller, aside.done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: aside.problem,
                ask: None,
                wrong: aside.wrong,
                under_way: sources.iter().any(|source| source.now.is_some() || source.state == State::Active),
                is_full: sources.len() >= policy.each,
                lines: sources.into_iter().map(|source| line(source, caller)).collect(),
                typed: aside.typed,
                enabled: policy.enabled,
                limit: policy.each,
                plain: policy.allow_plaintext,
            });
            if failed {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

fn line(source: Source, caller: &Caller) -> Line {
    let (done, total) = source.progress();
    let when = |ms: i64| caller.calendar().stamp(ms);
    let says = match (&source.state, &source.now) {
        (_, Some(mailbox)) if mailbox.is_empty() => "Connecting".to_owned(),
        (_, Some(mailbox)) => format!("Fetching {mailbox}"),
        (State::Active, None) if source.error.is_some() => format!("Trying again {}", when(source.due_ms)),
        (State::Active, None) if source.complete_ms > 0 => format!("Up to date {}", when(source.complete_ms)),
        (State::Active, None) => "Waiting for its turn".to_owned(),
        (State::Paused, None) => "Paused".to_owned(),
        (State::Refused, None) => "Paused: it refuses to sign in".to_owned(),
        (State::Broken, None) => "Paused: it can’t be fetched".to_owned(),
        (State::Done, None) => format!("Done {}", when(source.complete_ms)),
    };
    let settings = &source.settings;
    let protocol = if settings.protocol == Protocol::Pop3 { "POP3" } else { "IMAP" };
    let mut how = format!("{protocol}, {}", if settings.keeps_on { "new mail again and again" } else { "once" });
    for (is_so, what) in [
        (settings.inbox_only && settings.protocol == Protocol::Imap, "inbox only"),
        (settings.rules, "through your rules"),
        (settings.delete, "deleted there"),
    ] {
        if is_so {
            how.push_str(", ");
            how.push_str(what);
        }
    }
    Line {
        id: source.id,
        user: settings.user.clone(),
        host: settings.host.clone(),
        how,
        state: source.state.name(),
        says,
        error: source.error.as_ref().map(|(why, _)| format!("{}.", capital(why))).unwrap_or_default(),
        done,
        total,
        filed: source.filed(),
        left_out: source.left_out(),
        reasons: source
            .mailboxes
            .iter()
            .flat_map(|one| one.reasons.iter().map(|why| format!("{}, {why}", one.name)))
            .collect(),
        can_pause: source.state == State::Active,
        wants_password: source.state == State::Refused,
        mailboxes: source
            .mailboxes
            .into_iter()
            .map(|one| Mailbox { done: one.total.saturating_sub(one.left), total: one.total, name: one.name })
            .collect(),
    }
}

fn typed_in(form: &Posted) -> Typed {
    let text = |name: &str| form.get(name).trim().to_owned();
    Typed {
        user: text("user"),
        host: text("host"),
        port: text("port"),
        protocol: text("protocol"),
        security: text("security"),
        keep: form.get("keep") == "yes",
        inbox_only: !form.get("inbox_only").is_empty(),
        rules: !form.get("rules").is_empty(),
        delete: !form.get("delete").is_empty(),
        by_hand: !text("host").is_empty(),
    }
}

/// `POST /settings/fetching/add`
pub async fn add(caller: Caller, form: Posted) -> Result<Response> {
    let typed = typed_in(&form);
    let password = form.get("secret").to_owned();
    let mut wrong = Wrong::default();
    if typed.user.is_empty() {
        wrong.add("user", "Enter the address or user name there.");
    }
    if password.is_empty() {
        wrong.add("secret", "Enter the password there.");
    }
    if !wrong.is_empty() {
        return show(caller, Aside { wrong, typed, ..Aside::default() }).await;
    }
    let settings = match settings_of(&caller, &typed).await {
        Ok(settings) => settings,
        Err((field, text)) => {
            let wrong = Wrong::of(field, text);
            return show(caller, Aside { wrong, typed: Typed { by_hand: true, ..typed }, ..Aside::default() }).await;
        }
    };
    let (user, host) = (settings.user.clone(), settings.host.clone());
    match caller.site.fetching.add(caller.account, settings, &password).await {
        Ok(_) => {
            note(&caller, &format!("began to fetch from {user} at {host}")).await?;
            Ok(Redirect::to(&notice::with(HERE, "fetchadded")).into_response())
        }
        Err(error) => refused(caller, error, typed).await,
    }
}

async fn settings_of(caller: &Caller, typed: &Typed) -> Result<Settings, (&'static str, &'static str)> {
    let wanted = match typed.protocol.as_str() {
        "pop3" => Some(Protocol::Pop3),
        "imap" => Some(Protocol::Imap),
        _ => None,
    };
    let chosen = match typed.security.as_str() {
        "starttls" => Some(Security::StartTls),
        "plain" => Some(Security::Plain),
        "tls" => Some(Security::Tls),
        _ => None,
    };
    let guess = if typed.host.is_empty() { caller.site.fetching.guess(&typed.user).await } else { None };
    let (host, protocol, security, port) = match guess {
        Some(guess) if wanted.is_none_or(|wanted| wanted == guess.protocol) => {
            (guess.host, guess.protocol, guess.security, guess.port)
        }
        _ if typed.host.is_empty() => {
            return Err((
                "host",
                "The server could not be found from the address. Enter its name, such as imap.example.org.",
            ));
        }
        _ => {
            let protocol = wanted.unwrap_or(Protocol::Imap);
            let security = chosen.unwrap_or(Security::Tls);
            (typed.host.clone(), protocol, security, protocol.port(security))
        }
    };
    let port = match typed.port.as_str() {
        "" => port,
        text => text.parse().map_err(|_| ("port", "A port is a number, such as 993."))?,
    };
    Ok(Settings {
        protocol,
        host,
        port,
        security,
        user: typed.user.clone(),
        keeps_on: typed.keep,
        inbox_only: typed.inbox_only,
        rules: typed.rules && typed.keep,
        delete: typed.delete,
    })
}

async fn refused(caller: Caller, error: FetchError, typed: Typed) -> Result<Response> {
    let field = match &error {
        FetchError::Store(_) | FetchError::Directory(_) => return Err(error.into()),
        FetchError::BadHost => "host",
        FetchError::BadPort(_) => "port",
        FetchError::PlainText => "security",
        FetchError::BadUser | FetchError::Already(_) => "user",
        FetchError::BadPassword => "secret",
        FetchError::Off | FetchError::NoSuchSource | FetchError::TooMany(_) => "",
    };
    let text = format!("{}.", capital(&error.to_string()));
    let by_hand = typed.by_hand || matches!(field, "host" | "port" | "security");
    let typed = Typed { by_hand, ..typed };
    if field.is_empty() {
        return show(caller, Aside { problem: Some(Problem::Field(text)), typed, ..Aside::default() }).await;
    }
    show(caller, Aside { wrong: Wrong::of(field, text), typed, ..Aside::default() }).await
}

/// `POST /settings/fetching`: what is done with a source.
pub async fn act(caller: Caller, form: Posted) -> Result<Response> {
    let fetching = &caller.site.fetching;
    let id: u64 = form.get("id").parse().map_err(|_| Fault::NotFound("There is no such account to fetch from."))?;
    let source = fetching.source(caller.account, id)?;
    let from = format!("from {} at {}", source.settings.user, source.settings.host);
    let (done, what, code) = match form.get("verb") {
        "pause" => (fetching.pause(caller.account, id).await, "paused fetching", "fetchpaused"),
        "resume" => (fetching.resume(caller.account, id).await, "resumed fetching", "fetchresumed"),
        "remove" => (fetching.remove(caller.account, id).await, "stopped fetching", "fetchgone"),
        "password" => {
            let password = form.get("secret").to_owned();
            let changed = fetching.change(caller.account, id, source.settings, Some(&password)).await;
            (changed, "changed the password for fetching", "fetchresumed")
        }
        _ => return Err(Fault::nothing_to_do()),
    };
    match done {
        Ok(()) => {
            note(&caller, &format!("{what} {from}")).await?;
            Ok(Redirect::to(&notice::with(HERE, code)).into_response())
        }
        Err(error @ (FetchError::Store(_) | FetchError::Directory(_) | FetchError::NoSuchSource)) => Err(error.into()),
        Err(error) => {
            let problem = Some(Problem::Field(format!("{}.", capital(&error.to_string()))));
            show(caller, Aside { problem, ..Aside::default() }).await
        }
    }
}
