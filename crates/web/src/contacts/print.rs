//! The address book on paper.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;

use super::says::rows;
use super::wanted::Wanted;
use crate::caller::Caller;
use crate::error::Result;
use crate::listing::count;
use crate::shell;
use crate::templates::Shell;
use crate::view::{self, Page};

/// Contacts on paper: some fifty pages.
const MAX_PRINTED: usize = 1_000;

/// A contact: its name, and what else it says.
type Printed = (String, Vec<(String, Vec<String>)>);

#[derive(Template)]
#[template(path = "people_print.html")]
struct PrintPage {
    page: Page,
    shell: Shell,
    contacts: Vec<Printed>,
    subtitle: String,
    back: String,
}

/// `GET /people/print`: all contacts, those of a book or a group, or those that are found.
pub async fn page(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let (found, all) = caller.site.people.search(caller.realm, &wanted.q, wanted.filter(), MAX_PRINTED)?;
            let cut = if found.len() < all { format!(", showing the first {}", found.len()) } else { String::new() };
            let contacts = found.into_iter().map(|contact| {
                let rows = rows(&contact.card).into_iter().filter(|(what, _)| what != "Name").collect();
                (contact.card.title().to_owned(), rows)
            });
            Ok(view::html(&PrintPage {
                page: caller.page("Address book"),
                shell: shell::build(caller, "page", None)?,
                contacts: contacts.collect(),
                subtitle: format!("{}{cut}", count(all as u32, "contact")),
                back: format!("/people{}", wanted.scope()),
            }))
        })
        .await
}
