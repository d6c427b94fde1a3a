//! The address book: the list, a contact, groups, import and export, 'add to address book', what completes an address.

mod double;
mod files;
mod form;
mod person;
mod print;
mod shelves;
pub mod staged;

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use mailkit::{EmailAddress, NamedAddress};
use people::import::MAX_IMPORT_BYTES;
use people::{Contact, ContactId, Filter, GroupId, PeopleError, ShelfId, Suggestion};

use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::forms::Posted;
use crate::listing::count;
use crate::problem::Problem;
use crate::site::Site;
use crate::templates::Shell;
use crate::text::avatar;
use crate::view::{self, Page};
use crate::{notice, shell};

/// Contacts on a page of the list, and results of a search that are shown.
const PAGE: usize = 100;
/// The largest file that is received to be a picture: beyond it the form is not read.
const MAX_FACE_UPLOAD_BYTES: usize = 20 << 20;
/// Days ahead of which birthdays are shown.
const BIRTHDAY_DAYS: i32 = 30;
/// Birthdays that are shown.
const MAX_BIRTHDAYS: usize = 8;

/// The pages of the address book.
pub fn routes() -> Router<Site> {
    let upload = DefaultBodyLimit::max(MAX_IMPORT_BYTES + 64 * 1024);
    let face = DefaultBodyLimit::max(MAX_FACE_UPLOAD_BYTES);
    Router::new()
        .route("/people", get(list).post(bulk))
        .route("/people/new", get(form::new_page).post(form::create))
        .route("/people/add", post(files::add_sender))
        .route("/people/groups", post(group))
        .route("/people/books", post(shelves::act))
        .route("/people/written", get(shelves::written).post(shelves::change_written))
        .route("/people/duplicates", get(double::page))
        .route("/people/merge", get(double::preview))
        .route("/people/print", get(print::page))
        .route("/people/import", get(files::page).post(files::import).layer(upload))
        .route("/people/export/{name}", get(files::export))
        .route("/people/{id}", get(person::page).post(form::save))
        .route("/people/{id}/edit", get(form::edit))
        .route("/people/{id}/picture", get(person::picture).post(person::set_picture).layer(face))
}

/// A line of the list.
struct Line {
    id: ContactId,
    name: String,
    details: String,
    initial: String,
    hue: &'static str,
    picture: bool,
}

impl Line {
    fn of(contact: &Contact) -> Self {
        let card = &contact.card;
        let address = card.addresses.first().map_or("", |address| address.address.as_str());
        let (initial, hue) = avatar(card.title(), address);
        let further = match card.addresses.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let details = if address.is_empty() {
            card.phones.first().map(|phone| phone.number.clone()).unwrap_or_default()
        } else {
            format!("{address}{further}")
        };
        Self { id: contact.id, name: card.title().to_owned(), details, initial, hue, picture: card.has_picture() }
    }
}

/// A group, for choosing.
struct Choice {
    id: GroupId,
    name: String,
    members: usize,
    chosen: bool,
}

/// A book, for choosing.
#[derive(Clone)]
pub struct Book {
    /// `first`, or an id.
    id: String,
    name: String,
    chosen: bool,
}

/// The books, the first one first.
#[expect(clippy::option_option, reason = "without a book none is meant; without an id it is the first")]
fn books(caller: &Caller, chosen: Option<Option<ShelfId>>) -> Result<Vec<Book>> {
    let first = Book { id: "first".to_owned(), name: people::FIRST.to_owned(), chosen: chosen == Some(None) };
    let others = caller.site.people.shelves(caller.realm)?.into_iter().map(|shelf| Book {
        id: shelf.id.to_string(),
        name: shelf.name,
        chosen: chosen == Some(Some(shelf.id)),
    });
    Ok(std::iter::once(first).chain(others).collect())
}

/// The book that a form or an address means; `None` for none.
#[expect(clippy::option_option, reason = "without a book none is meant; without an id it is the first")]
fn shelf(text: &str) -> Option<Option<ShelfId>> {
    match text {
        "" => None,
        "first" => Some(None),
        id => id.parse().ok().map(Some),
    }
}

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

/// Where in the list.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct Wanted {
    #[serde(default)]
    q: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    book: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    from: String,
    done: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    address: String,
}

impl Wanted {
    fn here(&self) -> String {
        let mut here = "/people".to_owned();
        for (name, value) in
            [("q", &self.q), ("group", &self.group), ("book", &self.book), ("from", &self.from), ("after", &self.after)]
        {
            if !value.is_empty() {
                here.push(if here.contains('?') { '&' } else { '?' });
                here.push_str(&format!("{name}={}", form_urlencoded(value)));
            }
        }
        here
    }

    /// The book or group that is meant.
    fn filter(&self) -> Filter {
        Filter { shelf: shelf(&self.book), group: self.group.parse().ok() }
    }

    /// The same for an address: `?book=…`.
    fn scope(&self) -> String {
        let all = [("group", &self.group), ("book", &self.book)].into_iter().filter(|(_, value)| !value.is_empty());
        let all: Vec<String> = all.map(|(name, value)| format!("{name}={}", form_urlencoded(value))).collect();
        if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
    }
}

/// `GET /people`
async fn list(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Response> {
    caller.blocking(move |caller| Ok(view::html(&fill_list(caller, &wanted, None)?))).await
}

fn fill_list(caller: &Caller, wanted: &Wanted, problem: Option<Problem>) -> Result<ListPage> {
    let people = &caller.site.people;
    let realm = caller.realm;
    let wanted_group: Option<GroupId> = wanted.group.parse().ok();
    let total = people.count(realm)?;
    let query: String = wanted.q.chars().take(200).collect();
    let filter = wanted.filter();
    let plain = query.trim().is_empty() && wanted_group.is_none();
    let (contacts, subtitle, next) = if plain {
        let page = people.page_of(realm, filter.shelf, wanted.after.parse().ok(), &wanted.from, PAGE)?;
        let book =
            if wanted.book.is_empty() { String::new() } else { format!("book={}&", form_urlencoded(&wanted.book)) };
        let next = page.contacts.last().filter(|_| page.more).map(|last| format!("/people?{book}after={}", last.id));
        let told = if filter.shelf.is_none() { count(total, "contact") } else { String::new() };
        (page.contacts, told, next)
    } else {
        let (found, all) = people.search(realm, &query, filter, people::MAX_PAGE)?;
        let shown = found.len();
        let cut = if shown < all { format!(", showing the first {shown}") } else { String::new() };
        (found, format!("{}{cut}", count(all as u32, "contact")), None)
    };
    let mut groups: Vec<Choice> = people
        .groups(realm)?
        .into_iter()
        .map(|group| Choice {
            chosen: wanted_group == Some(group.id),
            id: group.id,
            name: group.name,
            members: group.members.len(),
        })
        .collect();
    let group = groups.iter().position(|group| group.chosen).map(|at| {
        let group = &groups[at];
        Choice { id: group.id, name: group.name.clone(), members: group.members, chosen: true }
    });
    if wanted_group.is_some() && group.is_none() {
        return Err(PeopleError::NoSuchGroup.into());
    }
    groups.truncate(people::MAX_GROUPS as usize);
    let books = books(caller, filter.shelf)?;
    let book = books.iter().find(|book| book.chosen).cloned();
    if filter.shelf.is_some() && book.is_none() {
        return Err(PeopleError::NoSuchBook.into());
    }
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

/// The name and first address of a contact.
fn named(contact: &Contact) -> Option<NamedAddress> {
    let address = EmailAddress::parse(&contact.card.addresses.first()?.address).ok()?;
    Some(NamedAddress { name: contact.card.name.clone(), address })
}

/// `POST /people`: to those that are ticked.
async fn bulk(caller: Caller, form: Posted) -> Result<Response> {
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

fn told(key: &[u8]) -> String {
    format!("people:{}", hex::encode(key))
}

/// The list again, saying what was wrong.
async fn list_again(caller: Caller, error: PeopleError) -> Result<Response> {
    let problem = problem(error)?;
    caller
        .blocking(move |caller| {
            let mut response = view::html(&fill_list(caller, &Wanted::default(), Some(problem))?);
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        })
        .await
}

/// What can be told beside the form; the rest are faults.
fn problem(error: PeopleError) -> Result<Problem> {
    match error {
        PeopleError::Store(_) | PeopleError::Damaged(_) => Err(error.into()),
        refused => Ok(Problem::People(refused)),
    }
}

/// `POST /people/groups`
async fn group(caller: Caller, form: Posted) -> Result<Response> {
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

/// All members of a group, as a field of recipients has them: each with the first address.
pub fn recipients(caller: &Caller, group: &str) -> Result<String> {
    let group: GroupId = group.parse().map_err(|_| PeopleError::NoSuchGroup)?;
    let filter = Filter { group: Some(group), ..Filter::default() };
    let (members, _) = caller.site.people.search(caller.realm, "", filter, people::MAX_MEMBERS)?;
    let all = members.iter().filter_map(named).map(|who| who.to_string());
    Ok(all.collect::<Vec<_>>().join(", "))
}

/// How someone is shown beside their address.
pub struct Face {
    /// The letter in place of a picture.
    pub initial: String,
    /// And its colour.
    pub hue: &'static str,
    /// Where the picture is; empty without one.
    pub picture: String,
    /// The book they are in; empty if they are no contact.
    pub book: String,
}

/// How the owner of an address is shown: with the picture of the contact that has it.
pub fn face(caller: &Caller, name: &str, address: &str) -> Result<Face> {
    let (initial, hue) = avatar(name, address);
    let mut face = Face { initial, hue, picture: String::new(), book: String::new() };
    if !address.contains('@') {
        return Ok(face);
    }
    let people = &caller.site.people;
    let Some(id) = people.by_address(caller.realm, address)?.into_iter().next() else { return Ok(face) };
    let Some(Contact { card, .. }) = people.contact(caller.realm, id)? else { return Ok(face) };
    if card.has_picture() {
        face.picture = format!("/people/{id}/picture");
    }
    let shelves = people.shelves(caller.realm)?;
    let shelf = shelves.into_iter().find(|shelf| shelf.id.0 == card.shelf);
    face.book = shelf.map_or_else(|| people::FIRST.to_owned(), |shelf| shelf.name);
    Ok(face)
}

/// The contact who wrote a message, in short.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Which.
    pub id: ContactId,
    /// The name in the address book.
    pub name: String,
    /// What they do, and where.
    pub position: String,
    /// All their addresses.
    pub addresses: Vec<String>,
    /// And numbers.
    pub phones: Vec<String>,
    /// There is a picture.
    pub picture: bool,
}

/// The contact that has an address.
pub fn sender(caller: &Caller, address: &str) -> Result<Option<Sender>> {
    let people = &caller.site.people;
    let Some(id) = people.by_address(caller.realm, address)?.into_iter().next() else { return Ok(None) };
    let Some(Contact { card, .. }) = people.contact(caller.realm, id)? else { return Ok(None) };
    Ok(Some(Sender {
        id,
        name: card.title().to_owned(),
        position: person::position(&card, &card.details()),
        addresses: card.addresses.iter().map(|address| address.address.clone()).collect(),
        phones: card.phones.iter().map(|phone| phone.number.clone()).collect(),
        picture: card.has_picture(),
    }))
}

/// What the address book offers to complete an address: name, address or what a group holds, and what to put in.
pub fn suggestions(caller: &Caller, prefix: &str, limit: usize) -> Result<Vec<(String, String, String)>> {
    let value = |name: &str, address: &str| match EmailAddress::parse(address) {
        Ok(valid) => NamedAddress { name: name.to_owned(), address: valid }.to_string(),
        Err(_) => address.to_owned(),
    };
    let found = caller.site.people.complete(caller.realm, prefix, limit)?;
    Ok(found
        .into_iter()
        .map(|found| match found {
            Suggestion::Person { name, address } => {
                let value = value(&name, &address);
                (name, address, value)
            }
            Suggestion::Group { name, members } => {
                let all: Vec<String> = members.iter().map(|(name, address)| value(name, address)).collect();
                (name, format!("group, {}", count(members.len() as u32, "member")), all.join(", "))
            }
        })
        .collect())
}
