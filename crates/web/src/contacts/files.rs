//! Import, with a preview, and export.

use std::sync::Arc;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use people::PeopleError;
use people::csv::Guess;
use people::import::{Imported, Incoming, MAX_IMPORT_BYTES, Planned};
use people::vcard::Version;
use tokio::sync::mpsc;

use super::choices::{Book, books};
use super::outcome::told;
use super::wanted::{Wanted, shelf};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::{Posted, PostedFiles};
use crate::message::download;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page, fresh_key};
use crate::{notice, shell};

/// Contacts of a file that its preview names.
const SHOWN: usize = 12;
/// Texts that wait to be sent while an export is written.
const WAITING: usize = 64;

#[derive(Template)]
#[template(path = "people_import.html")]
struct ImportPage {
    page: Page,
    shell: Shell,
    books: Vec<Book>,
    preview: Option<Preview>,
    done: Option<Imported>,
    problem: Option<Problem>,
    limit: String,
}

/// What a file holds, and what importing it would do.
struct Preview {
    key: String,
    file: String,
    planned: Planned,
    /// Names and addresses of the first contacts.
    first: Vec<(String, String)>,
    total: usize,
    groups: Vec<String>,
    guesses: Vec<Guess>,
    problems: Vec<people::import::Problem>,
    more_problems: usize,
}

/// `GET /people/import`
pub async fn page(caller: Caller) -> Result<Response> {
    caller.blocking(|caller| shown(caller, None, None, None)).await
}

fn shown(
    caller: &Caller,
    preview: Option<Preview>,
    done: Option<Imported>,
    problem: Option<Problem>,
) -> Result<Response> {
    let refused = problem.is_some();
    let page = caller.page("Import contacts");
    let books = books(caller, None)?;
    let limit = crate::time::size(MAX_IMPORT_BYTES as u64);
    let shell = shell::build(caller, "page", None)?;
    let mut response = view::html(&ImportPage { page, shell, books, preview, done, problem, limit });
    if refused {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

fn preview(caller: &Caller, key: String, file: String, content: &[u8], incoming: &Incoming) -> Result<Preview> {
    let planned = caller.site.people.plan_import(caller.realm, incoming)?;
    let address = |card: &people::Card| card.addresses.first().map(|a| a.address.clone()).unwrap_or_default();
    let mut groups: Vec<String> = incoming.cards.iter().flat_map(|card| card.groups.iter().cloned()).collect();
    groups.extend(incoming.groups.iter().map(|group| group.name.clone()));
    groups.sort_by_cached_key(|name| name.to_lowercase());
    groups.dedup();
    groups.truncate(SHOWN);
    let first = incoming.cards.iter().take(SHOWN);
    Ok(Preview {
        key,
        file,
        planned,
        first: first.map(|one| (one.card.title().to_owned(), address(&one.card))).collect(),
        total: incoming.cards.len(),
        groups,
        guesses: if people::import::is_vcard(content) { Vec::new() } else { people::csv::guesses(content) },
        problems: incoming.problems.clone(),
        more_problems: incoming.more_problems,
    })
}

/// `POST /people/import`. Sent twice it changes nothing the second time, so it needs no key.
pub async fn import(caller: Caller, posted: Result<PostedFiles>) -> Result<Response> {
    let posted = match posted {
        Ok(posted) => posted,
        Err(Fault::TooLarge(_)) => {
            let problem = Problem::Field(format!(
                "The file is larger than {}. Split it, or ask the administrator to import it.",
                crate::time::size(MAX_IMPORT_BYTES as u64)
            ));
            return caller.blocking(|caller| shown(caller, None, None, Some(problem))).await;
        }
        Err(fault) => return Err(fault),
    };
    let PostedFiles { form, mut files, room: _room } = posted;
    files.retain(|file| !file.content.is_empty());
    let waiting = caller.site.staged.get(caller.account, form.get("staged"));
    let (name, content) = match (files.into_iter().next(), waiting) {
        (Some(file), _) => (file.name, Arc::new(file.content)),
        (None, Some(waiting)) => waiting,
        (None, None) => {
            let late = !form.get("staged").is_empty();
            let problem = if late {
                Problem::Field("The file has expired. Choose it again.".to_owned())
            } else {
                Problem::FileMissing
            };
            return caller.blocking(|caller| shown(caller, None, None, Some(problem))).await;
        }
    };
    if form.get("do") == "preview" {
        let key = fresh_key();
        caller.site.staged.put(caller.account, key.clone(), name.clone(), content.clone());
        return caller
            .blocking(move |caller| {
                let incoming = people::import::read(&content);
                let preview = preview(caller, key, name, &content, &incoming)?;
                shown(caller, Some(preview), None, None)
            })
            .await;
    }
    let shelf = shelf(form.get("book")).flatten();
    let (caller, incoming) = caller.blocking_owned(move |caller| Ok((caller, people::import::read(&content)))).await?;
    let done = caller.site.people.import_into(caller.realm, shelf, incoming, &mut |_| {}).await;
    let (done, problem) = match done {
        Ok(done) => (Some(done), None),
        Err(error @ (PeopleError::Store(_) | PeopleError::Damaged(_))) => return Err(error.into()),
        Err(error) => (None, Some(Problem::People(error))),
    };
    if done.is_some() {
        caller.site.staged.forget(caller.account);
    }
    caller.blocking(move |caller| shown(caller, None, done, problem)).await
}

/// `GET /people/export/{name}`: all contacts, or those of a book or a group.
pub async fn export(caller: Caller, Path(name): Path<String>, Query(wanted): Query<Wanted>) -> Result<Response> {
    let filter = wanted.filter();
    let version = match name.as_str() {
        "people.csv" => {
            return caller
                .blocking(move |caller| {
                    let book = caller.site.people.filtered(caller.realm, filter)?;
                    Ok(download(Body::from(people::csv::write(&book)), &name, "text/csv"))
                })
                .await;
        }
        "people.vcf" => Version::V4,
        "people-3.vcf" => Version::V3,
        _ => return Err(Fault::NotFound("There is no such file.")),
    };
    let (send, receive) = mpsc::channel::<Result<Bytes, std::io::Error>>(WAITING);
    let (people, realm) = (caller.site.people.clone(), caller.realm);
    doorkit::span::spawn_blocking(move || {
        let mut put = |text: String| send.blocking_send(Ok(Bytes::from(text))).is_ok();
        if let Err(error) = people.export(realm, filter, version, &mut put) {
            tracing::error!(%error, "an export of contacts failed");
            // Cut off, so that nobody takes it for complete.
            let _ = send.blocking_send(Err(std::io::Error::other("the export failed")));
        }
    });
    let texts =
        futures_util::stream::unfold(receive, async |mut receive| receive.recv().await.map(|text| (text, receive)));
    Ok(download(Body::from_stream(texts), &name, "text/vcard"))
}

/// `POST /people/add`: someone who wrote, or who was written to.
pub async fn add_sender(caller: Caller, form: Posted) -> Result<Response> {
    let (name, address) = (form.get("name"), form.get("address"));
    let key = form.act_key(&format!("people add {name} {address}"));
    caller.site.people.add_sender(caller.realm, &key, name, address).await?;
    Ok(Redirect::to(&notice::with(&form.back(), &told(&key))).into_response())
}
