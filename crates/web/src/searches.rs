//! Saved searches and recent ones: the page on which they are kept, and what the search field suggests while one types.

use askama::Template;
use axum::Json;
use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use saved::{MAX_QUERY_CHARS, SavedError};
use serde::Deserialize;

use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::forms::Posted;
use crate::listing::Place;
use crate::problem::Problem;
use crate::shell::label;
use crate::site::Site;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::Wrong;
use crate::{complete, notice, shell};

const HERE: &str = "/searches";
/// Most suggestions at once.
const OFFERED: usize = 8;

/// The routes below `/searches`, and `/search/suggest`.
pub fn routes() -> Router<Site> {
    Router::new().route(HERE, get(page).post(act)).route("/search/suggest", get(suggest))
}

#[derive(Template)]
#[template(path = "searches.html")]
struct SearchesPage {
    page: Page,
    shell: Shell,
    problem: Option<Problem>,
    wrong: Wrong,
    name: String,
    query: String,
    lines: Vec<Line>,
    recent: Vec<(String, String)>,
}

struct Line {
    id: u64,
    name: String,
    query: String,
    href: String,
    first: bool,
    last: bool,
}

/// The address of a search.
pub fn href(query: &str) -> String {
    format!("/search?q={}", form_urlencoded(query))
}

/// What is shown besides what is kept.
#[derive(Default)]
struct Aside {
    wrong: Wrong,
    problem: Option<Problem>,
    name: String,
    query: String,
    done: Option<String>,
}

/// `GET /searches`, with a search to be kept in `q`.
async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    let query = place.q.unwrap_or_default();
    let name = query.chars().take(saved::MAX_NAME_CHARS).collect();
    show(caller, Aside { name, query, done: place.done, ..Aside::default() }).await
}

async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let failed = !aside.wrong.is_empty() || aside.problem.is_some();
            let all = caller.site.saved.list(caller.realm)?;
            let count = all.len();
            let lines = all.into_iter().enumerate().map(|(at, it)| Line {
                href: href(&it.query),
                first: at == 0,
                last: at + 1 == count,
                id: it.id,
                name: it.name,
                query: it.query,
            });
            let mut shell = shell::build(caller, "page", None)?;
            shell.notice = notice::find(caller, aside.done.as_deref(), HERE)?;
            let recent = caller.site.saved.recent(caller.realm)?;
            let mut response = view::html(&SearchesPage {
                page: caller.page("Searches"),
                shell,
                problem: aside.problem,
                wrong: aside.wrong,
                name: aside.name,
                query: aside.query,
                lines: lines.collect(),
                recent: recent.into_iter().map(|query| (href(&query), query)).collect(),
            });
            if failed {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// `POST /searches`
async fn act(caller: Caller, form: Posted) -> Result<Response> {
    let (saved, realm) = (&caller.site.saved, caller.realm);
    let id: u64 = form.get("id").parse().unwrap_or_default();
    let (name, query) = (form.get("name").to_owned(), form.get("query").to_owned());
    let (done, to, note) = match form.get("verb") {
        "save" => (saved.save(realm, &name, &query).await.map(drop), href(&query), "searchsaved".to_owned()),
        "change" => (saved.change(realm, id, &name, &query).await, HERE.to_owned(), "saved".to_owned()),
        verb @ ("up" | "down") => (saved.shift(realm, id, verb == "up").await, HERE.to_owned(), String::new()),
        "delete" => {
            (saved.remove(realm, id).await, HERE.to_owned(), format!("search:{}", hex::encode(id.to_be_bytes())))
        }
        "forget" => (saved.forget_recent(realm).await, HERE.to_owned(), "recentgone".to_owned()),
        _ => return Err(Fault::nothing_to_do()),
    };
    let is_new = form.get("verb") == "save";
    match done {
        Ok(()) => Ok(Redirect::to(&notice::with(&to, &note)).into_response()),
        Err(SavedError::BadName) if is_new => {
            let wrong = Wrong::of("name", "Enter a name, up to 100 characters.");
            show(caller, Aside { wrong, name, query, ..Aside::default() }).await
        }
        Err(SavedError::BadQuery) if is_new => {
            let wrong = Wrong::of("query", "Enter a search, up to 400 characters.");
            show(caller, Aside { wrong, name, query, ..Aside::default() }).await
        }
        Err(SavedError::Store(error)) => Err(SavedError::Store(error).into()),
        Err(SavedError::NoSuchSearch) => Err(Fault::NotFound("There is no such saved search.")),
        Err(error) => {
            let problem = Some(Problem::Field(crate::wording::capital(&error.to_string())));
            show(caller, Aside { problem, name, query, ..Aside::default() }).await
        }
    }
}

/// Notes that a search was made, if one of our own pages was where that happened: links of others note nothing.
pub async fn note(caller: &Caller, headers: &HeaderMap, query: &str) {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site != Some("same-origin") {
        return;
    }
    // That it could not be noted is no reason not to search.
    if let Err(error) = caller.site.saved.note(caller.realm, query).await {
        tracing::debug!(%error, "a search was not noted");
    }
}

/// What was typed so far.
#[derive(Deserialize)]
struct Typed {
    #[serde(default)]
    q: String,
}

/// Words that look in one place, and what they find.
const WORDS: [(&str, &str); 16] = [
    ("from:", "sender"),
    ("to:", "recipient"),
    ("cc:", "recipient of a copy"),
    ("subject:", "word in the subject"),
    ("in:", "mailbox"),
    ("has:attachment", "with a file"),
    ("has:image", "with a picture"),
    ("has:pdf", "with a PDF"),
    ("filename:", "name of a file"),
    ("is:unread", "not read yet"),
    ("is:starred", "with a star"),
    ("is:answered", "answered"),
    ("before:", "older than a day"),
    ("after:", "newer than a day"),
    ("larger:", "larger than 5m, 200k"),
    ("label:", "with a label"),
];

/// A suggestion: all of the field with it, and what it is.
struct Offer {
    query: String,
    hint: String,
    kind: &'static str,
}

/// `GET /search/suggest?q=`: the searches that what was typed could become.
async fn suggest(caller: Caller, Query(typed): Query<Typed>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let typed: String = typed.q.chars().take(MAX_QUERY_CHARS).collect();
            let mut offers = kept(caller, &typed)?;
            offers.extend(completed(caller, &typed)?);
            let mut seen = std::collections::HashSet::new();
            offers.retain(|offer| offer.query.trim() != typed.trim() && seen.insert(offer.query.clone()));
            offers.truncate(OFFERED);
            let json = offers
                .into_iter()
                .map(|offer| serde_json::json!({ "query": offer.query, "hint": offer.hint, "kind": offer.kind }));
            Ok(Json(json.collect::<Vec<_>>()).into_response())
        })
        .await
}

/// Saved and recent searches that have what was typed in them.
fn kept(caller: &Caller, typed: &str) -> Result<Vec<Offer>> {
    let typed = typed.trim().to_lowercase();
    let fits = |text: &str| text.to_lowercase().contains(&typed);
    let saved = caller.site.saved.list(caller.realm)?;
    let saved = saved.into_iter().filter(|it| fits(&it.name) || fits(&it.query)).take(3);
    let saved = saved.map(|it| Offer { query: it.query, hint: it.name, kind: "saved" });
    let recent = caller.site.saved.recent(caller.realm)?.into_iter().filter(|query| fits(query));
    let recent = recent.map(|query| Offer { query, hint: "recent".to_owned(), kind: "recent" });
    Ok(saved.chain(recent.take(if typed.is_empty() { 5 } else { 2 })).collect())
}

/// What the last word of what was typed could become.
fn completed(caller: &Caller, typed: &str) -> Result<Vec<Offer>> {
    let at = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, word) = typed.split_at(at);
    if word.is_empty() {
        return Ok(Vec::new());
    }
    let with = |word: String, hint: String, kind| Offer { query: format!("{before}{word}"), hint, kind };
    let lower = word.to_lowercase();
    Ok(match lower.split_once(':') {
        Some((field @ ("from" | "to" | "cc" | "bcc"), name)) => {
            let mut out: Vec<Offer> = complete::people(caller, name)?
                .into_iter()
                .map(|(name, address)| with(format!("{field}:{address}"), name, "person"))
                .collect();
            if field != "from" && "me".starts_with(name) {
                out.insert(0, with(format!("{field}:me"), "yourself".to_owned(), "person"));
            }
            out
        }
        Some(("in", name)) => {
            let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
            let named = mailboxes.iter().map(label).filter(|label| label.to_lowercase().contains(name));
            let quoted = |label: String| if label.contains(' ') { format!("\"{label}\"") } else { label };
            named
                .map(|label| with(format!("in:{}", quoted(label.to_lowercase())), "mailbox".to_owned(), "mailbox"))
                .collect()
        }
        _ => {
            let words = WORDS.iter().filter(|(name, _)| name.starts_with(&lower));
            let words = words.map(|(name, hint)| with((*name).to_owned(), (*hint).to_owned(), "word"));
            let people = if lower.contains(':') { Vec::new() } else { complete::people(caller, &lower)? };
            let people = people.into_iter().map(|(name, address)| with(format!("from:{address}"), name, "person"));
            words.chain(people.take(4)).collect()
        }
    })
}
