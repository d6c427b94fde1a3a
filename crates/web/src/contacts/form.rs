//! The form of a contact: all its fields, what is wrong in them, and what was changed elsewhere since it was opened.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use mailkit::EmailAddress;
use people::{
    Address, Card, ContactId, Edit, Further, GroupId, Labelled, MAX_ADDRESSES, MAX_OF_A_KIND, PeopleError, Phone,
    Postal, ShelfId, When,
};

use super::choices::{Book, Choice, books, groups};
use super::outcome::{problem, told};
use super::says::rows;
use super::wanted::{Wanted, contact_id, shelf};
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::{notice, shell};

/// A field of several, with its label and what is wrong with it.
#[derive(Debug, Default)]
struct Several {
    value: String,
    label: String,
    wrong: Option<Problem>,
    /// It was asked for just now.
    new: bool,
}

/// A postal address of several.
#[derive(Debug, Default)]
struct Place {
    postal: Postal,
    new: bool,
}

/// A day in three fields, or a text.
#[derive(Debug, Default)]
struct Day {
    name: &'static str,
    title: &'static str,
    day: String,
    month: usize,
    year: String,
    text: String,
    wrong: Option<Problem>,
}

/// A part of a name: name of the field, what it is called, value.
type NamePart = (&'static str, &'static str, String);

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
    title: String,
    parts: Vec<NamePart>,
    /// Some part says more than the name.
    parts_open: bool,
    addresses: Vec<Several>,
    phones: Vec<Several>,
    places: Vec<Place>,
    websites: Vec<Several>,
    chats: Vec<Several>,
    days: Vec<Day>,
    groups: Vec<Choice>,
    books: Vec<Book>,
    /// The contact that the form was made from.
    seen: String,
    /// Somebody changed it since: what it says now.
    theirs: Option<Vec<(String, Vec<String>)>>,
    /// What is wrong with none of the fields in particular.
    problem: Option<Problem>,
    /// The name is what is wrong.
    name_wrong: Option<Problem>,
}

/// What a form holds.
#[derive(Clone, Debug, Default)]
struct Filled {
    card: Card,
    further: Further,
    groups: Vec<GroupId>,
    #[expect(clippy::option_option, reason = "without a book none is meant; without an id it is the first")]
    shelf: Option<Option<ShelfId>>,
    seen: String,
    /// It has all fields, not only those of names, addresses and numbers.
    is_full: bool,
    /// Names of days that were not understood.
    wrong_days: Vec<&'static str>,
}

/// Names of the fields of a name's parts, what they are called, and their places in a vCard.
const PARTS: [(&str, &str, usize); 5] = [
    ("prefix", "Prefix", 3),
    ("given", "Given name", 1),
    ("additional", "Further names", 2),
    ("family", "Family name", 0),
    ("suffix", "Suffix", 4),
];
/// Fields of a postal address, in the order of its parts.
const PLACE: [&str; 7] = ["box", "extended", "street", "city", "region", "code", "country"];
/// The months, for choosing.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn several(all: impl Iterator<Item = (String, String)>, limit: usize) -> Vec<Several> {
    let mut out: Vec<_> = all.map(|(value, label)| Several { value, label, ..Several::default() }).collect();
    if out.len() < limit {
        out.push(Several::default());
    }
    out
}

fn day(name: &'static str, title: &'static str, when: Option<&When>) -> Day {
    let plain = Day { name, title, ..Day::default() };
    match when {
        Some(When::Day { year, month, day }) => Day {
            day: day.to_string(),
            month: usize::from(month.unsigned_abs()),
            year: year.map(|year| year.to_string()).unwrap_or_default(),
            ..plain
        },
        Some(When::Text(text)) => Day { text: text.clone(), ..plain },
        None => plain,
    }
}

fn name_parts(filled: &Filled) -> Vec<NamePart> {
    let parts = people::vcard::name_parts(&filled.card.parts);
    let named = PARTS.map(|(name, called, at)| (name, called, parts.get(at).cloned().unwrap_or_default()));
    let phonetic = [
        ("phonetic-given", "Given name, phonetic", filled.further.phonetic_given.clone()),
        ("phonetic-family", "Family name, phonetic", filled.further.phonetic_family.clone()),
    ];
    named.into_iter().chain(phonetic).collect()
}

fn fill(caller: &Caller, id: Option<ContactId>, filled: &Filled) -> Result<EditPage> {
    let Filled { card, further, .. } = filled;
    let heading = if id.is_some() { card.title().to_owned() } else { "New contact".to_owned() };
    let labelled =
        |all: &[Labelled]| several(all.iter().map(|one| (one.text.clone(), one.label.clone())), MAX_OF_A_KIND);
    let mut places: Vec<Place> =
        further.postal.iter().map(|postal| Place { postal: postal.clone(), new: false }).collect();
    if places.len() < MAX_OF_A_KIND {
        places.push(Place::default());
    }
    let parts = name_parts(filled);
    Ok(EditPage {
        page: caller.page(&heading),
        shell: shell::build(caller, "page", None)?,
        id,
        heading,
        others: card.other_names.join(", "),
        title: further.title.clone(),
        parts_open: parts
            .iter()
            .filter(|(name, ..)| !matches!(*name, "given" | "family"))
            .any(|part| !part.2.is_empty()),
        parts,
        addresses: several(card.addresses.iter().map(|a| (a.address.clone(), a.label.clone())), MAX_ADDRESSES),
        phones: several(card.phones.iter().map(|p| (p.number.clone(), p.label.clone())), MAX_ADDRESSES),
        places,
        websites: labelled(&further.websites),
        chats: labelled(&further.chats),
        days: vec![
            day("birthday", "Birthday", further.birthday.as_ref()),
            day("anniversary", "Anniversary", further.anniversary.as_ref()),
        ],
        groups: groups(caller, &filled.groups)?,
        books: books(caller, filled.shelf)?,
        seen: filled.seen.clone(),
        card: card.clone(),
        theirs: None,
        problem: None,
        name_wrong: None,
    })
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
            let filled = Filled { card, shelf: shelf(&wanted.book), ..Filled::default() };
            Ok(view::html(&fill(caller, None, &filled)?))
        })
        .await
}

/// The contact as a form would hold it.
fn stored(caller: &Caller, id: ContactId) -> Result<Filled> {
    let people = &caller.site.people;
    let seen = people.version(caller.realm, id)?.unwrap_or_default();
    let card = people.contact(caller.realm, id)?.ok_or(PeopleError::NoSuchContact)?.card;
    let shelves = people.shelves(caller.realm)?;
    let is_in = shelves.iter().find(|shelf| shelf.id.0 == card.shelf).map(|shelf| shelf.id);
    Ok(Filled {
        further: card.further(),
        groups: people.groups_of(caller.realm, id)?,
        shelf: Some(is_in),
        card,
        seen,
        ..Filled::default()
    })
}

/// `GET /people/{id}/edit`
pub async fn edit(caller: Caller, Path(id): Path<String>) -> Result<Response> {
    let id = contact_id(&id)?;
    caller.blocking(move |caller| Ok(view::html(&fill(caller, Some(id), &stored(caller, id)?)?))).await
}

/// Values and labels of a kind of field, as many as there may be and one too many.
fn pairs(form: &Posted, value: &str, label: &str) -> Vec<(String, String)> {
    let pairs = form.all(value).zip(form.all(label)).filter(|(value, _)| !value.trim().is_empty());
    pairs.take(MAX_ADDRESSES + 1).map(|(value, label)| (value.trim().to_owned(), label.trim().to_owned())).collect()
}

/// Postal addresses; the fields of each stand together.
fn places(form: &Posted) -> Vec<Postal> {
    let columns = PLACE.map(|part| form.all_of(&format!("place-{part}")));
    let labels = form.all_of("place-label");
    let count = columns.iter().map(Vec::len).max().unwrap_or(0).min(MAX_OF_A_KIND);
    let cell = |column: &Vec<String>, at: usize| column.get(at).map(|text| text.trim().to_owned()).unwrap_or_default();
    let all = (0..count)
        .map(|at| Postal { label: cell(&labels, at), parts: columns.each_ref().map(|column| cell(column, at)) });
    all.filter(|postal| !postal.is_empty()).collect()
}

/// The day that a form has under a name; `Err` if it is none.
fn day_of(form: &Posted, name: &'static str) -> Result<Option<When>, &'static str> {
    let field = |part: &str| form.get(&format!("{name}-{part}")).trim().to_owned();
    let (day, month, year, text) = (field("day"), field("month"), field("year"), field("text"));
    if day.is_empty() && matches!(month.as_str(), "" | "0") && year.is_empty() {
        return Ok((!text.is_empty()).then_some(When::Text(text)));
    }
    let year = if year.is_empty() { None } else { Some(year.parse().map_err(|_| name)?) };
    let day = When::day(year, month.parse().map_err(|_| name)?, day.parse().map_err(|_| name)?);
    day.map(Some).ok_or(name)
}

/// What the form says.
fn read(form: &Posted) -> Filled {
    let labelled = |value: &str, label: &str| -> Vec<Labelled> {
        pairs(form, value, label).into_iter().map(|(text, label)| Labelled { text, label }).collect()
    };
    let mut parts = [const { String::new() }; 5];
    for (name, _, at) in PARTS {
        form.get(name).trim().clone_into(&mut parts[at]);
    }
    let mut wrong_days = Vec::new();
    let mut when = |name| {
        day_of(form, name).unwrap_or_else(|wrong| {
            wrong_days.push(wrong);
            None
        })
    };
    let further = Further {
        title: form.get("title").trim().to_owned(),
        phonetic_given: form.get("phonetic-given").trim().to_owned(),
        phonetic_family: form.get("phonetic-family").trim().to_owned(),
        birthday: when("birthday"),
        anniversary: when("anniversary"),
        postal: places(form),
        websites: labelled("website", "website-label"),
        chats: labelled("chat", "chat-label"),
    };
    let addresses = pairs(form, "address", "address-label").into_iter();
    let phones = pairs(form, "phone", "phone-label").into_iter();
    let card = Card {
        name: form.get("name").trim().to_owned(),
        other_names: form.get("others").split(',').map(|name| name.trim().to_owned()).collect(),
        addresses: addresses.map(|(address, label)| Address { address, label }).collect(),
        phones: phones.map(|(number, label)| Phone { number, label }).collect(),
        organisation: form.get("organisation").trim().to_owned(),
        note: form.get("note").replace("\r\n", "\n"),
        parts: people::vcard::parts_of_name(&parts),
        ..Card::default()
    };
    Filled {
        card,
        further,
        groups: form.all("group").filter_map(|id| id.parse().ok()).collect(),
        shelf: shelf(form.get("book")),
        seen: form.get("seen").to_owned(),
        is_full: form.get("full") == "1",
        wrong_days,
    }
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
    let filled = read(&form);
    if let Some(more) = form.get("do").strip_prefix("more-") {
        return another(caller, id, filled, more.to_owned(), form.get("key").to_owned()).await;
    }
    if is_wrong(&filled) {
        return again(caller, id, filled, None).await;
    }
    let key = form.act_key(&format!("people save {id:?} {filled:?}"));
    let edit = Edit {
        card: filled.card.clone(),
        further: filled.is_full.then(|| filled.further.clone()),
        groups: Some(filled.groups.clone()),
        shelf: filled.shelf,
        seen: Some(filled.seen.clone()).filter(|seen| !seen.is_empty()),
        ..Edit::default()
    };
    match caller.site.people.edit(caller.realm, &key, id, edit).await {
        Ok(receipt) => {
            let to = receipt.contact.map_or_else(|| "/people".to_owned(), |id| format!("/people/{id}"));
            Ok(Redirect::to(&notice::with(&to, &told(&key))).into_response())
        }
        Err(error @ PeopleError::NoSuchContact) => Err(error.into()),
        Err(error) => {
            let problem = Some((matches!(error, PeopleError::Changed), problem(error)?));
            again(caller, id, filled, problem).await
        }
    }
}

/// The form with one more row of a kind; nothing is saved.
async fn another(caller: Caller, id: Option<ContactId>, filled: Filled, kind: String, key: String) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let mut page = fill(caller, id, &filled)?;
            page.page.key = key;
            let last = match kind.as_str() {
                "phone" => page.phones.last_mut().map(|row| &mut row.new),
                "place" => page.places.last_mut().map(|row| &mut row.new),
                "website" => page.websites.last_mut().map(|row| &mut row.new),
                "chat" => page.chats.last_mut().map(|row| &mut row.new),
                _ => page.addresses.last_mut().map(|row| &mut row.new),
            };
            if let Some(new) = last {
                *new = true;
            }
            page.parts_open = true;
            Ok(view::html(&page))
        })
        .await
}

/// Whether a field is wrong, so that the form is shown again with a word beside each that is.
fn is_wrong(filled: &Filled) -> bool {
    let card = &filled.card;
    let untitled = card.title().is_empty() && (!filled.is_full || card.parts.is_empty());
    untitled || !filled.wrong_days.is_empty() || card.addresses.iter().any(|a| EmailAddress::parse(&a.address).is_err())
}

/// The form again, with what was typed and all that is wrong with it; and if someone else changed the contact, with what
/// it says now.
async fn again(
    caller: Caller,
    id: Option<ContactId>,
    mut filled: Filled,
    problem: Option<(bool, Problem)>,
) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let untitled = filled.card.title().is_empty() && (!filled.is_full || filled.card.parts.is_empty());
            let mut theirs = None;
            if let (Some(id), Some((true, _))) = (id, &problem) {
                let now = stored(caller, id)?;
                theirs = Some(rows(&now.card));
                // Saved again, this form takes the place of what is there now.
                filled.seen = now.seen;
            }
            let mut page = fill(caller, id, &filled)?;
            for field in page.addresses.iter_mut().filter(|field| !field.value.is_empty()) {
                let reason = EmailAddress::parse(&field.value).err();
                field.wrong = reason.map(|reason| Problem::WrongAddress(field.value.clone(), reason));
            }
            for day in page.days.iter_mut().filter(|day| filled.wrong_days.contains(&day.name)) {
                let text = "This is not a day of the calendar. The year may be left out.";
                day.wrong = Some(Problem::Field(text.to_owned()));
            }
            page.name_wrong = (untitled && problem.is_none()).then_some(Problem::ContactNameMissing);
            page.problem = problem.map(|(_, problem)| problem);
            let status = if theirs.is_some() { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
            page.theirs = theirs;
            let mut response = view::html(&page);
            *response.status_mut() = status;
            Ok(response)
        })
        .await
}
