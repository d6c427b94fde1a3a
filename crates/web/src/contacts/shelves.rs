//! The books: making, renaming and deleting them; and the one that fills by itself, "People written to".

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};

use super::choices::{Book, books};
use super::list::list_again;
use super::outcome::told;
use super::wanted::Wanted;
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::templates::Shell;
use crate::text::avatar;
use crate::view::{self, Page, fresh_key};
use crate::{notice, shell};

/// People written to that are listed.
const SHOWN: usize = 500;

/// `POST /people/books`
pub async fn act(caller: Caller, form: Posted) -> Result<Response> {
    let bad =
        || Fault::Bad("The form doesn’t say what to do with which book. Reload the page and try again.".to_owned());
    let (people, realm, name) = (&caller.site.people, caller.realm, form.get("name"));
    let id = || form.get("book").parse::<people::ShelfId>().map_err(|_| bad());
    let key = form.act_key(&format!("people book {} {} {name}", form.get("do"), form.get("book")));
    let (done, to) = match form.get("do") {
        "create" => (people.create_shelf(realm, &key, name).await, "/people".to_owned()),
        "rename" => (people.rename_shelf(realm, &key, id()?, name).await, format!("/people?book={}", id()?)),
        "delete" => (people.delete_shelf(realm, &key, id()?).await, "/people".to_owned()),
        _ => return Err(bad()),
    };
    match done {
        Ok(_) => Ok(Redirect::to(&notice::with(&to, &told(&key))).into_response()),
        Err(error) => list_again(caller, error).await,
    }
}

/// Someone who was written to and is no contact.
struct Written {
    name: String,
    address: String,
    told: String,
    initial: String,
    hue: &'static str,
    key: String,
}

#[derive(Template)]
#[template(path = "people_written.html")]
struct WrittenPage {
    page: Page,
    shell: Shell,
    books: Vec<Book>,
    people: Vec<Written>,
    hidden: bool,
}

/// `GET /people/written`
pub async fn written(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let hidden = caller.site.people.hides_written(caller.realm)?;
            let calendar = caller.calendar();
            let mut people = Vec::new();
            let all =
                if hidden { Vec::new() } else { caller.site.mailstore.correspondents(caller.realm, "", usize::MAX)? };
            for who in all {
                if people.len() == SHOWN {
                    break;
                }
                if caller.is_me(&who.address) || !caller.site.people.by_address(caller.realm, &who.address)?.is_empty()
                {
                    continue;
                }
                let times = if who.count == 1 { "Once".to_owned() } else { format!("{} times", who.count) };
                let (initial, hue) = avatar(&who.name, &who.address);
                people.push(Written {
                    told: format!("{times}, last {}", calendar.when(who.last_ms).short),
                    name: mailkit::visible::on_one_line(&who.name),
                    address: who.address,
                    initial,
                    hue,
                    key: fresh_key(),
                });
            }
            let mut shell = shell::build(caller, "page", None)?;
            shell.notice = notice::find(caller, wanted.done.as_deref(), "/people/written")?;
            let page = caller.page("People written to");
            Ok(view::html(&WrittenPage { page, shell, books: books(caller, None)?, people, hidden }))
        })
        .await
}

/// `POST /people/written`
pub async fn change_written(caller: Caller, form: Posted) -> Result<Response> {
    let done = match form.get("do") {
        verb @ ("hide" | "show") => {
            caller.site.people.set_hides_written(caller.realm, verb == "hide").await?;
            "saved"
        }
        "forget" => {
            caller.site.mailstore.forget_correspondent(caller.realm, form.get("address").to_owned()).await?;
            "writtenforgotten"
        }
        _ => return Err(Fault::Bad("The form doesn’t say what to do. Reload the page and try again.".to_owned())),
    };
    Ok(Redirect::to(&notice::with("/people/written", done)).into_response())
}
