//! The list of contacts, and what is done to those that are ticked and to groups.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use people::{Contact, ContactId, Filter, GroupId, PeopleError};

use super::choices::{Book, Choice, books, groups};
use super::outcome::{problem, told};
use super::says::{Line, named};
use super::wanted::{Wanted, shelf};
use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::forms::Posted;
use crate::listing::count;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::{notice, shell};

/// Contacts on a page of the list, and results of a search that are shown.
const PAGE: usize = 100;
/// Days ahead of which birthdays are shown.
const BIRTHDAY_DAYS: i32 = 30;
/// Birthdays that are shown.
const MAX_BIRTHDAYS: usize = 8;

/// A letter of the list.
struct Letter {
    shown: String,
    href: String,
}

/// A birthday that is near.
struct Near {
    id: ContactId,
    name: String,
    told: String,
}

/// The letters of the list; all signs and digits are one.
fn letters(caller: &Caller) -> Result<Vec<Letter>> {
    let mut letters: Vec<Letter> = Vec::new();
    for letter in caller.site.people.letters(caller.realm)? {
        let shown = if letter.is_alphabetic() { letter.to_uppercase().to_string() } else { "#".to_owned() };
        if letters.last().is_none_or(|last| last.shown != shown) {
            let href = format!("/people?from={}", form_urlencoded(&letter.to_string()));
            letters.push(Letter { shown, href });
        }
    }
    Ok(letters)
}

/// The birthdays that are next.
fn birthdays(caller: &Caller) -> Result<Vec<Near>> {
    let today = caller.calendar().today();
    let near = caller.site.people.birthdays(caller.realm, today, BIRTHDAY_DAYS)?;
    let told = |birthday: &people::Birthday| {
        let day = if birthday.on == today { "today".to_owned() } else { birthday.on.strftime("%-d %B").to_string() };
        birthday.turns.map_or_else(|| day.clone(), |turns| format!("{day}, turns {turns}"))
    };
    Ok(near
        .iter()
        .take(MAX_BIRTHDAYS)
        .map(|one| Near { id: one.id, name: one.name.clone(), told: told(one) })
        .collect())
}

#[derive(Template)]
#[template(path = "people.html")]
struct ListPage {
    page: Page,
    shell: Shell,
    query: String,
    group: Option<Choice>,
    groups: Vec<Choice>,
    books: Vec<Book>,
    /// The book that is shown, if one is.
    book: Option<Book>,
    letters: Vec<Letter>,
    birthdays: Vec<Near>,
    /// What is exported and printed: the book or group that is shown.
    scope: String,
    lines: Vec<Line>,
    subtitle: String,
    /// Nothing at all, rather than nothing found.
    empty: bool,
    next: Option<String>,
    can_write: bool,
    here: String,
    problem: Option<Problem>,
}

/// `GET /people`
pub async fn page(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Response> {
    caller.blocking(move |caller| Ok(view::html(&fill_list(caller, &wanted, None)?))).await
}

/// Contacts that the list shows.
struct Found {
    contacts: Vec<Contact>,
    /// How many there are, in a few words.
    subtitle: String,
    /// Where the next page is.
    next: Option<String>,
}

/// A page of all contacts, or of those in a book. There are `total` in all.
fn in_order(caller: &Caller, wanted: &Wanted, total: u32) -> Result<Found> {
    let shelf = wanted.filter().shelf;
    let page = caller.site.people.page_of(caller.realm, shelf, wanted.after.parse().ok(), &wanted.from, PAGE)?;
    let book = if wanted.book.is_empty() { String::new() } else { format!("book={}&", form_urlencoded(&wanted.book)) };
    let next = page.contacts.last().filter(|_| page.more).map(|last| format!("/people?{book}after={}", last.id));
    let subtitle = if shelf.is_none() { count(total, "contact") } else { String::new() };
    Ok(Found { contacts: page.contacts, subtitle, next })
}

/// Those that a search or a group has.
fn searched(caller: &Caller, query: &str, filter: Filter) -> Result<Found> {
    let (contacts, all) = caller.site.people.search(caller.realm, query, filter, people::MAX_PAGE)?;
    let shown = contacts.len();
    let cut = if shown < all { format!(", showing the first {shown}") } else { String::new() };
    Ok(Found { contacts, subtitle: format!("{}{cut}", count(all as u32, "contact")), next: None })
}

/// The groups, and the one that is shown, if one is.
fn groups_of(caller: &Caller, wanted: Option<GroupId>) -> Result<(Vec<Choice>, Option<Choice>)> {
    let mut groups = groups(caller, wanted.as_slice())?;
    let group = groups.iter().find(|group| group.chosen).cloned();
    if wanted.is_some() && group.is_none() {
        return Err(PeopleError::NoSuchGroup.into());
    }
    groups.truncate(people::MAX_GROUPS as usize);
    Ok((groups, group))
}

/// The books, and the one that is shown, if one is.
fn books_of(caller: &Caller, filter: Filter) -> Result<(Vec<Book>, Option<Book>)> {
    let books = books(caller, filter.shelf)?;
    let book = books.iter().find(|book| book.chosen).cloned();
    if filter.shelf.is_some() && book.is_none() {
        return Err(PeopleError::NoSuchBook.into());
    }
    Ok((books, book))
}

/// The page of the list, with what was wrong with an act.
fn fill_list(caller: &Caller, wanted: &Wanted, problem: Option<Problem>) -> Result<ListPage> {
    let total = caller.site.people.count(caller.realm)?;
    let query: String = wanted.q.chars().take(200).collect();
    let filter = wanted.filter();
    let plain = query.trim().is_empty() && filter.group.is_none();
    let Found { contacts, subtitle, next } =
        if plain { in_order(caller, wanted, total)? } else { searched(caller, &query, filter)? };
    let (groups, group) = groups_of(caller, filter.group)?;
    let (books, book) = books_of(caller, filter)?;
    let is_first = plain && wanted.after.is_empty() && wanted.from.is_empty() && filter.shelf.is_none();
    // A large group has more members than the list shows.
    let can_write = contacts.iter().any(|contact| named(contact).is_some());
    let mut shell = shell::build(caller, "page", None)?;
    shell.notice = notice::find(caller, wanted.done.as_deref(), &wanted.here())?;
    Ok(ListPage {
        page: caller.page(match (&group, &book) {
            (Some(group), _) => &group.name,
            (None, Some(book)) => &book.name,
            (None, None) => "Address book",
        }),
        shell,
        lines: contacts.iter().map(Line::of).collect(),
        query,
        groups,
        letters: if plain && filter.shelf.is_none() && total as usize > PAGE { letters(caller)? } else { Vec::new() },
        birthdays: if is_first { birthdays(caller)? } else { Vec::new() },
        scope: wanted.scope(),
        books,
        book,
        subtitle,
        empty: total == 0,
        next,
        can_write,
        group,
        here: wanted.here(),
        problem,
    })
}

/// `POST /people`: to those that are ticked.
pub async fn bulk(caller: Caller, form: Posted) -> Result<Response> {
    let bad =
        || Fault::Bad("The form doesn’t say what to do with which contacts. Reload the page and try again.".to_owned());
    let ids: Vec<ContactId> = form.all("id").map(str::parse).collect::<Result<_, _>>().map_err(|_| bad())?;
    let verb = form.get("do").to_owned();
    let back = form.back();
    let key = form.act_key(&format!("people {verb} {ids:?}"));
    let (people, realm) = (&caller.site.people, caller.realm);
    let done = match verb.as_str() {
        _ if ids.is_empty() => return Ok(Redirect::to(&back).into_response()),
        "delete" => people.delete(realm, &key, ids).await.map(|_| told(&key)),
        "merge" => people.merge(realm, &key, ids).await.map(|_| told(&key)),
        "look" => {
            let ids: Vec<String> = ids.iter().map(|id| format!("id={id}")).collect();
            return Ok(Redirect::to(&format!("/people/merge?{}&from=list", ids.join("&"))).into_response());
        }
        "apart" => people.keep_apart(realm, &key, ids).await.map(|_| told(&key)),
        other => {
            let (member, group) = other.split_once(':').ok_or_else(bad)?;
            if matches!(member, "move" | "copy") {
                let to = shelf(group).ok_or_else(bad)?;
                let moved = if member == "move" {
                    people.move_to(realm, &key, ids, to).await
                } else {
                    people.copy_to(realm, &key, ids, to).await
                };
                return match moved {
                    Ok(_) => Ok(Redirect::to(&notice::with(&back, &told(&key))).into_response()),
                    Err(error) => list_again(caller, error).await,
                };
            }
            let group: GroupId = group.parse().map_err(|_| bad())?;
            people.set_members(realm, group, ids, member == "join").await.map(|()| "saved".to_owned())
        }
    };
    match done {
        Ok(done) => Ok(Redirect::to(&notice::with(&back, &done)).into_response()),
        Err(error) => list_again(caller, error).await,
    }
}

/// The list again, saying what was wrong.
pub async fn list_again(caller: Caller, error: PeopleError) -> Result<Response> {
    let problem = problem(error)?;
    caller
        .blocking(move |caller| {
            let mut response = view::html(&fill_list(caller, &Wanted::default(), Some(problem))?);
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        })
        .await
}

/// `POST /people/groups`
pub async fn group(caller: Caller, form: Posted) -> Result<Response> {
    let bad =
        || Fault::Bad("The form doesn’t say what to do with which group. Reload the page and try again.".to_owned());
    let id = || form.get("group").parse::<GroupId>().map_err(|_| bad());
    let (people, realm, name) = (&caller.site.people, caller.realm, form.get("name"));
    let done = match form.get("do") {
        "create" => {
            let key = form.act_key(&format!("people group {name}"));
            let made = people.create_group(realm, &key, name).await;
            made.map(|_| notice::with("/people", &told(&key)))
        }
        "rename" => {
            let id = id()?;
            let renamed = people.rename_group(realm, id, name).await;
            renamed.map(|()| notice::with(&format!("/people?group={id}"), "saved"))
        }
        "delete" => {
            let id = id()?;
            let key = form.act_key(&format!("people group gone {id}"));
            people.delete_group(realm, &key, id).await.map(|_| notice::with("/people", &told(&key)))
        }
        _ => return Err(bad()),
    };
    match done {
        Ok(to) => Ok(Redirect::to(&to).into_response()),
        Err(error) => list_again(caller, error).await,
    }
}
