//! One contact: its card and its picture.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use mailkit::{EmailAddress, NamedAddress};
use people::pictures::PictureError;
use people::{Card, ContactId, Detail, DetailKind, Edit, PeopleError, PictureChange};

use super::choices::{Choice, groups};
use super::outcome::{problem, told};
use super::says::{called, named, position};
use super::wanted::{Wanted, contact_id};
use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::forms::PostedFiles;
use crate::message::PICTURE_POLICY;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::text::avatar;
use crate::view::{self, Page};
use crate::{notice, shell};

/// What a contact is shown as.
#[derive(Template)]
#[template(path = "person.html")]
struct CardPage {
    page: Page,
    shell: Shell,
    id: ContactId,
    heading: String,
    card: Card,
    /// Address, label, and the link that writes to it.
    addresses: Vec<(String, String, String)>,
    /// Number, label, and the link that calls it.
    phones: Vec<(String, String, String)>,
    position: String,
    further: Vec<Further>,
    groups: Vec<Choice>,
    write_to: String,
    /// What is searched for to find what they wrote.
    find: String,
    /// The book it is in, if that is not the first.
    book: Option<String>,
    /// Largest picture.
    limit: String,
    problem: Option<Problem>,
    picture: bool,
    initial: String,
    hue: &'static str,
}

/// A further line of the card.
struct Further {
    called: &'static str,
    label: String,
    text: String,
    /// The text is an address of the web.
    link: bool,
}

impl Further {
    fn of(detail: &Detail) -> Self {
        let text = detail.text.clone();
        let web = text.starts_with("https://") || text.starts_with("http://");
        let link = detail.kind == DetailKind::Web && web;
        Self { called: called(detail.kind), label: detail.label.clone(), text, link }
    }
}

/// `GET /people/{id}`
pub async fn page(caller: Caller, Path(id): Path<String>, Query(wanted): Query<Wanted>) -> Result<Response> {
    let id = contact_id(&id)?;
    caller.blocking(move |caller| Ok(view::html(&shown(caller, id, wanted.done.as_deref())?))).await
}

fn shown(caller: &Caller, id: ContactId, done: Option<&str>) -> Result<CardPage> {
    let contact = caller.site.people.contact(caller.realm, id)?.ok_or(PeopleError::NoSuchContact)?;
    let chosen = caller.site.people.groups_of(caller.realm, id)?;
    let write_to = named(&contact).map(|who| form_urlencoded(&who.to_string())).unwrap_or_default();
    let card = contact.card;
    let (initial, hue) = avatar(card.title(), card.addresses.first().map_or("", |a| a.address.as_str()));
    let write = |address: &str| match EmailAddress::parse(address) {
        Ok(address) => form_urlencoded(&NamedAddress { name: card.name.clone(), address }.to_string()),
        Err(_) => form_urlencoded(address),
    };
    let addresses = card.addresses.iter().map(|a| (a.address.clone(), a.label.clone(), write(&a.address))).collect();
    let phones = card.phones.iter().map(|p| (p.number.clone(), p.label.clone(), dialled(&p.number))).collect();
    let mut shell = shell::build(caller, "page", None)?;
    shell.notice = notice::find(caller, done, "/people")?;
    let shelves = caller.site.people.shelves(caller.realm)?;
    let book = shelves.into_iter().find(|shelf| shelf.id.0 == card.shelf).map(|shelf| shelf.name);
    let heading = card.title().to_owned();
    let details = card.details();
    Ok(CardPage {
        page: caller.page(&heading),
        shell,
        id,
        heading,
        addresses,
        phones,
        position: position(&card, &details),
        further: details.iter().filter(|d| d.kind != DetailKind::Title).map(Further::of).collect(),
        groups: groups(caller, &chosen)?.into_iter().filter(|group| group.chosen).collect(),
        write_to,
        find: form_urlencoded(&format!("from:{}", card.addresses.first().map_or("", |a| a.address.as_str()))),
        picture: card.has_picture(),
        book,
        limit: crate::time::size(people::pictures::MAX_PICTURE_BYTES as u64),
        problem: None,
        initial,
        hue,
        card,
    })
}

/// A number as a `tel:` link has it.
fn dialled(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_digit() || "+*#".contains(*c)).collect()
}

/// `POST /people/{id}/picture`: another picture, or none.
pub async fn set_picture(caller: Caller, Path(id): Path<String>, posted: Result<PostedFiles>) -> Result<Response> {
    let id = contact_id(&id)?;
    let posted = match posted {
        Ok(posted) => posted,
        Err(Fault::TooLarge(_)) => return refused(caller, id, PictureError::TooLarge.into()).await,
        Err(fault) => return Err(fault),
    };
    let PostedFiles { form, mut files, room: _room } = posted;
    files.retain(|file| !file.content.is_empty());
    let picture = match (form.get("do"), files.into_iter().next()) {
        ("remove", _) => PictureChange::Remove,
        (_, Some(file)) => PictureChange::Set(file.content.into()),
        (_, None) => return refused(caller, id, PictureError::Unknown.into()).await,
    };
    let key = form.act_key(&format!("people picture {id} {picture:?}"));
    let card = caller.site.people.contact(caller.realm, id)?.ok_or(PeopleError::NoSuchContact)?.card;
    let edit = Edit { card, picture, ..Edit::default() };
    match caller.site.people.edit(caller.realm, &key, Some(id), edit).await {
        Ok(_) => Ok(Redirect::to(&notice::with(&format!("/people/{id}"), &told(&key))).into_response()),
        Err(error @ PeopleError::NoSuchContact) => Err(error.into()),
        Err(error) => refused(caller, id, error).await,
    }
}

/// The card again, saying what was wrong with a picture.
async fn refused(caller: Caller, id: ContactId, error: PeopleError) -> Result<Response> {
    let problem = problem(error)?;
    caller
        .blocking(move |caller| {
            let mut page = shown(caller, id, None)?;
            page.problem = Some(problem);
            let mut response = view::html(&page);
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        })
        .await
}

/// `GET /people/{id}/picture`
pub async fn picture(caller: Caller, Path(id): Path<String>) -> Result<Response> {
    let id = contact_id(&id)?;
    caller
        .blocking(move |caller| {
            let picture = caller.site.people.picture(caller.realm, id)?;
            let (kind, bytes) = picture.ok_or(Fault::NotFound("This contact has no picture."))?;
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
                (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PICTURE_POLICY)),
                (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=300")),
            ];
            Ok((headers, bytes).into_response())
        })
        .await
}
