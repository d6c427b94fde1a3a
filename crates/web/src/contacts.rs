//! The address book: the list, a contact, groups, import and export, 'add to address book', what completes an address.

mod person;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use mailkit::{EmailAddress, NamedAddress};
use people::import::{Imported, MAX_IMPORT_BYTES};
use people::{Contact, ContactId, GroupId, PeopleError, Suggestion};

use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::forms::{Posted, PostedFiles};
use crate::listing::count;
use crate::message::download;
use crate::problem::Problem;
use crate::site::Site;
use crate::templates::Shell;
use crate::text::avatar;
use crate::view::{self, Page};
use crate::{notice, shell};

/// Contacts on a page of the list, and results of a search that are shown.
const PAGE: usize = 100;
/// Members of a group that a link to write to all of them names: more do not fit an address.
const MAX_WRITE_TO: usize = 100;

/// The pages of the address book.
pub fn routes() -> Router<Site> {
    let upload = DefaultBodyLimit::max(MAX_IMPORT_BYTES + 64 * 1024);
    Router::new()
        .route("/people", get(list).post(bulk))
        .route("/people/new", get(person::new_page).post(person::create))
        .route("/people/add", post(add_sender))
        .route("/people/groups", post(group))
        .route("/people/import", get(import_page).post(import).layer(upload))
        .route("/people/export/{name}", get(export))
        .route("/people/{id}", get(person::page).post(person::save))
        .route("/people/{id}/edit", get(person::edit))
        .route("/people/{id}/picture", get(person::picture))
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

#[derive(Template)]
#[template(path = "people.html")]
struct ListPage {
    page: Page,
    shell: Shell,
    query: String,
    group: Option<Choice>,
    groups: Vec<Choice>,
    lines: Vec<Line>,
    subtitle: String,
    /// Nothing at all, rather than nothing found.
    empty: bool,
    next: Option<String>,
    write_to: String,
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
    after: String,
    done: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    address: String,
}

impl Wanted {
    fn here(&self) -> String {
        let mut here = "/people".to_owned();
        for (name, value) in [("q", &self.q), ("group", &self.group), ("after", &self.after)] {
            if !value.is_empty() {
                here.push(if here.contains('?') { '&' } else { '?' });
                here.push_str(&format!("{name}={}", form_urlencoded(value)));
            }
        }
        here
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
    let (contacts, subtitle, next) = if query.trim().is_empty() && wanted_group.is_none() {
        let page = people.page(realm, wanted.after.parse().ok(), PAGE)?;
        let next = page.contacts.last().filter(|_| page.more).map(|last| format!("/people?after={}", last.id));
        (page.contacts, count(total, "contact"), next)
    } else {
        let (found, all) = people.search(realm, &query, wanted_group, people::MAX_PAGE)?;
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
    let with_address = contacts.iter().filter_map(named).take(MAX_WRITE_TO).map(|who| who.to_string());
    let write_to = with_address.collect::<Vec<_>>().join(", ");
    let mut shell = shell::build(caller, "page", None)?;
    shell.notice = notice::find(caller, wanted.done.as_deref(), &wanted.here())?;
    Ok(ListPage {
        page: caller.page(group.as_ref().map_or("Address book", |group| &group.name)),
        shell,
        lines: contacts.iter().map(Line::of).collect(),
        query,
        groups,
        subtitle,
        empty: total == 0,
        next,
        write_to: form_urlencoded(&write_to),
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
        other => {
            let (member, group) = other.split_once(':').ok_or_else(bad)?;
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
        "delete" => people.delete_group(realm, id()?).await.map(|()| notice::with("/people", "groupgone")),
        _ => return Err(bad()),
    };
    match done {
        Ok(to) => Ok(Redirect::to(&to).into_response()),
        Err(error) => list_again(caller, error).await,
    }
}

/// `POST /people/add`: someone who wrote.
async fn add_sender(caller: Caller, form: Posted) -> Result<Response> {
    let (name, address) = (form.get("name"), form.get("address"));
    let key = form.act_key(&format!("people add {name} {address}"));
    caller.site.people.add_sender(caller.realm, &key, name, address).await?;
    Ok(Redirect::to(&notice::with(&form.back(), &told(&key))).into_response())
}

#[derive(Template)]
#[template(path = "people_import.html")]
struct ImportPage {
    page: Page,
    shell: Shell,
    done: Option<Imported>,
    problem: Option<Problem>,
}

/// `GET /people/import`
async fn import_page(caller: Caller) -> Result<Response> {
    caller.blocking(|caller| imported(caller, None, None)).await
}

fn imported(caller: &Caller, done: Option<Imported>, problem: Option<Problem>) -> Result<Response> {
    let refused = problem.is_some();
    let page = caller.page("Import contacts");
    let mut response = view::html(&ImportPage { page, shell: shell::build(caller, "page", None)?, done, problem });
    if refused {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

/// `POST /people/import`. Sent twice it changes nothing the second time, so it needs no key.
async fn import(caller: Caller, posted: Result<PostedFiles>) -> Result<Response> {
    let mut files = posted?.files;
    files.retain(|file| !file.content.is_empty());
    let Some(file) = files.into_iter().next() else {
        return caller.blocking(|caller| imported(caller, None, Some(Problem::FileMissing))).await;
    };
    let (caller, incoming) =
        caller.blocking_owned(move |caller| Ok((caller, people::import::read(&file.content)))).await?;
    let done = caller.site.people.import(caller.realm, incoming, &mut |_| {}).await;
    let (done, problem) = match done {
        Ok(done) => (Some(done), None),
        Err(error @ (PeopleError::Store(_) | PeopleError::Damaged(_))) => return Err(error.into()),
        Err(error) => (None, Some(Problem::People(error))),
    };
    caller.blocking(move |caller| imported(caller, done, problem)).await
}

/// `GET /people/export/{name}`
async fn export(caller: Caller, Path(name): Path<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let book = caller.site.people.book(caller.realm)?;
            match name.as_str() {
                "people.vcf" => Ok(download(Body::from(people::vcard::write(&book)), &name, "text/vcard")),
                "people.csv" => Ok(download(Body::from(people::csv::write(&book)), &name, "text/csv")),
                _ => Err(Fault::NotFound("There is no such file.")),
            }
        })
        .await
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
