//! Contacts that are there twice: what looks alike, what merging makes of it, and merging.

use askama::Template;
use axum::extract::{Query, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;
use people::{Contact, ContactId};

use super::outcome::problem;
use super::says::{Line, rows};
use super::wanted::Wanted;
use crate::caller::Caller;
use crate::error::Result;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page, fresh_key};
use crate::{notice, shell};

/// Contacts that look like one.
struct Set {
    lines: Vec<Line>,
    look: String,
    key: String,
}

#[derive(Template)]
#[template(path = "people_double.html")]
struct DoublePage {
    page: Page,
    shell: Shell,
    sets: Vec<Set>,
    more: bool,
}

/// `GET /people/duplicates`
pub async fn page(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let found = caller.site.people.duplicates(caller.realm)?;
            let ids = |set: &[Contact]| set.iter().map(|one| format!("id={}", one.id)).collect::<Vec<_>>().join("&");
            let sets = found.sets.iter().map(|set| Set {
                lines: set.iter().map(Line::of).collect(),
                look: ids(set),
                key: fresh_key(),
            });
            let sets = sets.collect();
            let mut shell = shell::build(caller, "page", None)?;
            shell.notice = notice::find(caller, wanted.done.as_deref(), "/people/duplicates")?;
            Ok(view::html(&DoublePage { page: caller.page("Duplicates"), shell, sets, more: found.more }))
        })
        .await
}

#[derive(Template)]
#[template(path = "people_merge.html")]
struct MergePage {
    page: Page,
    shell: Shell,
    lines: Vec<Line>,
    /// What the merged contact says: what it is, and each value.
    rows: Vec<(String, Vec<String>)>,
    back: String,
    problem: Option<Problem>,
}

/// `GET /people/merge?id=…&id=…`: what merging would make.
pub async fn preview(caller: Caller, RawQuery(query): RawQuery) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let query = query.unwrap_or_default();
            let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let ids: Vec<ContactId> =
                pairs.iter().filter(|(name, _)| name == "id").filter_map(|(_, id)| id.parse().ok()).collect();
            let from = pairs.iter().find(|(name, _)| name == "from").map_or("", |(_, from)| from.as_str());
            let back = if from == "list" { "/people" } else { "/people/duplicates" }.to_owned();
            let shell = shell::build(caller, "page", None)?;
            let page = caller.page("Merge contacts");
            match caller.site.people.merged(caller.realm, &ids) {
                Ok((contacts, card)) => {
                    let lines = contacts.iter().map(Line::of).collect();
                    Ok(view::html(&MergePage { page, shell, lines, rows: rows(&card), back, problem: None }))
                }
                Err(error) => {
                    let problem = Some(problem(error)?);
                    let mut response =
                        view::html(&MergePage { page, shell, lines: Vec::new(), rows: Vec::new(), back, problem });
                    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
                    Ok(response)
                }
            }
        })
        .await
}
