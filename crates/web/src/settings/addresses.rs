//! The page of one's addresses: how one writes as each of them, and which one new messages are from.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use directory::{Identity, MAX_COPIES_BYTES, MAX_IDENTITIES, MAX_SHORT_BYTES, MAX_SIGNATURE_BYTES, Settings};
use mailkit::{EmailAddress, read_typed};

use super::common::{Ask, TABS, Tabs, surroundings};
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;
use crate::listing::Place;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::Wrong;
use crate::{identity, notice};

const HERE: &str = "/settings/addresses";
/// Copies of each message that one address sends.
const MAX_COPIES: usize = 5;

#[derive(Template)]
#[template(path = "settings_addresses.html")]
struct AddressesPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    rows: Vec<Row>,
    wrong: Wrong,
    /// What all addresses have that say nothing of their own.
    name: String,
    signature: String,
}

/// An address of the account, with what is stored or was typed.
struct Row {
    address: String,
    first: bool,
    chosen: bool,
    own: Identity,
}

/// `GET /settings/addresses`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    let rows = rows(&caller);
    show(caller, rows, Wrong::default(), place.done).await
}

/// The addresses that can differ, with what is stored of each.
fn rows(caller: &Caller) -> Vec<Row> {
    let from = caller.writes_from();
    let all = caller.senders().into_iter().take(MAX_IDENTITIES).enumerate();
    all.map(|(at, address)| Row {
        first: at == 0,
        chosen: address == from,
        own: identity::own(&caller.settings, &address).cloned().unwrap_or_default(),
        address,
    })
    .collect()
}

async fn show(caller: Caller, rows: Vec<Row>, wrong: Wrong, done: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let refused = !wrong.is_empty();
            let mut response = view::html(&AddressesPage {
                page: caller.page("Addresses"),
                shell: surroundings(caller, done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                ask: None,
                rows,
                wrong,
                name: caller.name.clone(),
                signature: caller.settings.signature.clone(),
            });
            if refused {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// What was typed of one address; notes what is wrong with its fields. `at` counts addresses from 1.
fn typed(form: &Posted, address: &str, at: usize, wrong: &mut Wrong) -> Identity {
    let field = |name: &str| form.get(&format!("{name}:{address}")).trim().replace("\r\n", "\n");
    let own = Identity {
        address: address.to_lowercase(),
        display_name: field("name"),
        reply_to: field("reply"),
        bcc: field("bcc"),
        signature: field("signature"),
        without_signature: field("unsigned") == "1",
    };
    if own.display_name.len() > MAX_SHORT_BYTES {
        wrong.add(format!("name-{at}"), Problem::TextTooLong(MAX_SHORT_BYTES));
    }
    if own.signature.len() > MAX_SIGNATURE_BYTES {
        wrong.add(format!("signature-{at}"), Problem::TextTooLong(MAX_SIGNATURE_BYTES));
    }
    if !own.reply_to.is_empty()
        && let Err(error) = EmailAddress::parse(&own.reply_to)
    {
        wrong.add(format!("reply-{at}"), Problem::WrongAddress(own.reply_to.clone(), error));
    }
    let copies = read_typed(&own.bcc);
    if let Some(entry) = copies.wrong.first() {
        wrong.add(format!("bcc-{at}"), Problem::WrongRecipients(vec![entry.to_string()], copies.wrong.len() - 1));
    }
    if copies.people.len() > MAX_COPIES {
        wrong.add(format!("bcc-{at}"), Problem::TooManyRecipients { limit: MAX_COPIES, count: copies.people.len() });
    }
    if own.bcc.len() > MAX_COPIES_BYTES {
        wrong.add(format!("bcc-{at}"), Problem::TextTooLong(MAX_COPIES_BYTES));
    }
    own
}

/// `POST /settings/addresses`
pub async fn save(caller: Caller, form: Posted) -> Result<Response> {
    let from = form.get("from").to_lowercase();
    let mut rows = rows(&caller);
    let mut wrong = Wrong::default();
    for (row, at) in rows.iter_mut().zip(1..) {
        row.chosen = row.address.to_lowercase() == from;
        row.own = typed(&form, &row.address, at, &mut wrong);
    }
    if !wrong.is_empty() {
        return show(caller, rows, wrong, None).await;
    }
    let chosen = rows.iter().find(|row| row.chosen && !row.first).map(|row| row.address.to_lowercase());
    let settings = Settings {
        identities: rows.into_iter().map(|row| row.own).filter(|own| !own.is_empty()).collect(),
        writes_from: chosen.unwrap_or_default(),
        ..caller.site.directory.settings(caller.account)?
    };
    caller.site.directory.set_settings(caller.account, settings).await?;
    Ok(Redirect::to(&notice::with(HERE, "settings")).into_response())
}
