//! One contact: the card, the form that changes it, and what is wrong in it.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use mailkit::{EmailAddress, NamedAddress};
use people::{Address, Card, Contact, ContactId, Detail, DetailKind, GroupId, MAX_ADDRESSES, PeopleError, Phone};

use super::{Choice, Wanted, named, problem, told};
use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::forms::Posted;
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

/// What they do, and where.
fn position(card: &Card, details: &[Detail]) -> String {
    let titles = details.iter().filter(|detail| detail.kind == DetailKind::Title).map(|detail| detail.text.clone());
    let all = titles.chain([card.organisation.clone()]).filter(|text| !text.is_empty());
    all.collect::<Vec<_>>().join(", ")
}

/// What a detail is called on the page.
fn called(kind: DetailKind) -> &'static str {
    match kind {
        DetailKind::Postal => "Postal address",
        DetailKind::Birthday => "Birthday",
        DetailKind::Anniversary => "Anniversary",
        DetailKind::Title => "Title",
        DetailKind::Web => "Website",
        DetailKind::Chat => "Chat",
    }
}

/// A field of several, with its label and what is wrong with it.
#[derive(Debug, Default)]
struct Several {
    value: String,
    label: String,
    wrong: Option<Problem>,
    /// It was asked for just now.
    new: bool,
}

/// The form.
#[derive(Template)]
#[template(path = "person_edit.html")]
struct EditPage {
    page: Page,
    shell: Shell,
    id: Option<ContactId>,
    heading: String,
    card: Card,
    others: String,
    addresses: Vec<Several>,
    phones: Vec<Several>,
    groups: Vec<Choice>,
    /// What is wrong with none of the fields in particular.
    problem: Option<Problem>,
    /// The name is what is wrong.
    name_wrong: Option<Problem>,
}

fn several(all: impl Iterator<Item = (String, String)>, limit: usize) -> Vec<Several> {
    let mut out: Vec<_> = all.map(|(value, label)| Several { value, label, ..Several::default() }).collect();
    if out.len() < limit {
        out.push(Several::default());
    }
    out
}

fn fill(caller: &Caller, id: Option<ContactId>, card: Card, chosen: &[GroupId]) -> Result<EditPage> {
    let heading = if id.is_some() { card.title().to_owned() } else { "New contact".to_owned() };
    Ok(EditPage {
        page: caller.page(&heading),
        shell: shell::build(caller, "page", None)?,
        id,
        heading,
        others: card.other_names.join(", "),
        addresses: several(card.addresses.iter().map(|a| (a.address.clone(), a.label.clone())), MAX_ADDRESSES),
        phones: several(card.phones.iter().map(|p| (p.number.clone(), p.label.clone())), MAX_ADDRESSES),
        groups: groups(caller, chosen)?,
        card,
        problem: None,
        name_wrong: None,
    })
}

fn groups(caller: &Caller, chosen: &[GroupId]) -> Result<Vec<Choice>> {
    let all = caller.site.people.groups(caller.realm)?.into_iter().map(|group| Choice {
        chosen: chosen.contains(&group.id),
        id: group.id,
        name: group.name,
        members: group.members.len(),
    });
    Ok(all.collect())
}

/// `GET /people/new`
pub async fn new_page(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let card = if wanted.address.is_empty() {
                Card { name: wanted.name, ..Card::default() }
            } else {
                Card::of(&wanted.name, &wanted.address)
            };
            Ok(view::html(&fill(caller, None, card, &[])?))
        })
        .await
}

/// `GET /people/{id}`
pub async fn page(caller: Caller, Path(id): Path<String>, Query(wanted): Query<Wanted>) -> Result<Response> {
    let id = contact_id(&id)?;
    caller
        .blocking(move |caller| {
            let contact = caller.site.people.contact(caller.realm, id)?.ok_or(PeopleError::NoSuchContact)?;
            let chosen = caller.site.people.groups_of(caller.realm, id)?;
            let write_to = named(&contact).map(|who| form_urlencoded(&who.to_string())).unwrap_or_default();
            let card = contact.card;
            let (initial, hue) = avatar(card.title(), card.addresses.first().map_or("", |a| a.address.as_str()));
            let write = |address: &str| match EmailAddress::parse(address) {
                Ok(address) => form_urlencoded(&NamedAddress { name: card.name.clone(), address }.to_string()),
                Err(_) => form_urlencoded(address),
            };
            let addresses =
                card.addresses.iter().map(|a| (a.address.clone(), a.label.clone(), write(&a.address))).collect();
            let phones = card.phones.iter().map(|p| (p.number.clone(), p.label.clone(), dialled(&p.number))).collect();
            let mut shell = shell::build(caller, "page", None)?;
            shell.notice = notice::find(caller, wanted.done.as_deref(), "/people")?;
            let heading = card.title().to_owned();
            let details = card.details();
            Ok(view::html(&CardPage {
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
                picture: card.picture().is_some(),
                initial,
                hue,
                card,
            }))
        })
        .await
}

/// A number as a `tel:` link has it.
fn dialled(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_digit() || "+*#".contains(*c)).collect()
}

/// `GET /people/{id}/edit`
pub async fn edit(caller: Caller, Path(id): Path<String>) -> Result<Response> {
    let id = contact_id(&id)?;
    caller
        .blocking(move |caller| {
            let contact = caller.site.people.contact(caller.realm, id)?.ok_or(PeopleError::NoSuchContact)?;
            let chosen = caller.site.people.groups_of(caller.realm, id)?;
            Ok(view::html(&fill(caller, Some(id), contact.card, &chosen)?))
        })
        .await
}

/// `GET /people/{id}/picture`
pub async fn picture(caller: Caller, Path(id): Path<String>) -> Result<Response> {
    let id = contact_id(&id)?;
    caller
        .blocking(move |caller| {
            let Contact { card, .. } =
                caller.site.people.contact(caller.realm, id)?.ok_or(PeopleError::NoSuchContact)?;
            let (kind, bytes) = card.picture().ok_or(Fault::NotFound("This contact has no picture."))?;
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
                (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PICTURE_POLICY)),
                (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=300")),
            ];
            Ok((headers, bytes).into_response())
        })
        .await
}

fn contact_id(text: &str) -> Result<ContactId> {
    text.parse().map_err(|_| PeopleError::NoSuchContact.into())
}

/// Values and labels of a kind of field, as many as there may be and one too many.
fn pairs(form: &Posted, value: &str, label: &str) -> Vec<(String, String)> {
    let pairs = form.all(value).zip(form.all(label)).filter(|(value, _)| !value.trim().is_empty());
    pairs.take(MAX_ADDRESSES + 1).map(|(value, label)| (value.trim().to_owned(), label.trim().to_owned())).collect()
}

/// What the form says, and the groups chosen in it.
fn card_of(form: &Posted) -> (Card, Vec<GroupId>) {
    let addresses = pairs(form, "address", "address-label").into_iter();
    let phones = pairs(form, "phone", "phone-label").into_iter();
    let card = Card {
        name: form.get("name").trim().to_owned(),
        other_names: form.get("others").split(',').map(|name| name.trim().to_owned()).collect(),
        addresses: addresses.map(|(address, label)| Address { address, label }).collect(),
        phones: phones.map(|(number, label)| Phone { number, label }).collect(),
        organisation: form.get("organisation").trim().to_owned(),
        note: form.get("note").replace("\r\n", "\n"),
        ..Card::default()
    };
    (card, form.all("group").filter_map(|id| id.parse().ok()).collect())
}

/// `POST /people/new`
pub async fn create(caller: Caller, form: Posted) -> Result<Response> {
    write(caller, form, None).await
}

/// `POST /people/{id}`
pub async fn save(caller: Caller, Path(id): Path<String>, form: Posted) -> Result<Response> {
    let id = contact_id(&id)?;
    if form.get("do") == "delete" {
        let key = form.act_key(&format!("people delete {id}"));
        caller.site.people.delete(caller.realm, &key, vec![id]).await?;
        return Ok(Redirect::to(&notice::with("/people", &told(&key))).into_response());
    }
    write(caller, form, Some(id)).await
}

async fn write(caller: Caller, form: Posted, id: Option<ContactId>) -> Result<Response> {
    let (card, groups) = card_of(&form);
    if matches!(form.get("do"), "more-address" | "more-phone") {
        let phone = form.get("do") == "more-phone";
        let key = form.get("key").to_owned();
        return caller
            .blocking(move |caller| {
                let mut page = fill(caller, id, card, &groups)?;
                page.page.key = key;
                let fields = if phone { &mut page.phones } else { &mut page.addresses };
                if let Some(last) = fields.last_mut() {
                    last.new = true;
                }
                Ok(view::html(&page))
            })
            .await;
    }
    if is_wrong(&card) {
        return again(caller, id, card, groups, None).await;
    }
    let key = form.act_key(&format!("people save {id:?} {card:?} {groups:?}"));
    match caller.site.people.save(caller.realm, &key, id, card.clone(), Some(groups.clone())).await {
        Ok(receipt) => {
            let to = receipt.contact.map_or_else(|| "/people".to_owned(), |id| format!("/people/{id}"));
            Ok(Redirect::to(&notice::with(&to, &told(&key))).into_response())
        }
        Err(error @ PeopleError::NoSuchContact) => Err(error.into()),
        Err(error) => {
            let problem = problem(error)?;
            again(caller, id, card, groups, Some(problem)).await
        }
    }
}

/// Whether a field is wrong, so that the form is shown again with a word beside each that is.
fn is_wrong(card: &Card) -> bool {
    card.title().is_empty() || card.addresses.iter().any(|a| EmailAddress::parse(&a.address).is_err())
}

/// The form again, with what was typed and all that is wrong with it.
async fn again(
    caller: Caller,
    id: Option<ContactId>,
    card: Card,
    groups: Vec<GroupId>,
    problem: Option<Problem>,
) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let untitled = card.title().is_empty();
            let mut page = fill(caller, id, card, &groups)?;
            for field in page.addresses.iter_mut().filter(|field| !field.value.is_empty()) {
                let reason = EmailAddress::parse(&field.value).err();
                field.wrong = reason.map(|reason| Problem::WrongAddress(field.value.clone(), reason));
            }
            page.name_wrong = (untitled && problem.is_none()).then_some(Problem::ContactNameMissing);
            page.problem = problem;
            let mut response = view::html(&page);
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        })
        .await
}
