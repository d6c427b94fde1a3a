//! Further addresses that people make themselves: aliases, as far as they may, and masked addresses.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use directory::{BlockedMail, DirectoryError, MAX_MASK_NAME_BYTES, Settings};

use super::common::{Ask, TABS, Tabs, note, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::Wrong;

const HERE: &str = "/settings/aliases";

#[derive(Template)]
#[template(path = "settings_aliases.html")]
struct AliasesPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    wrong: Wrong,
    /// The masked address that was just made.
    made: Option<String>,
    masks: Vec<MaskLine>,
    /// How many there may be.
    most_masks: usize,
    aliases: Vec<String>,
    most_aliases: usize,
    typed: String,
    domain: String,
    /// Whether `user+detail@` is the account's.
    plus: bool,
    files_by_detail: bool,
    /// What becomes of mail to blocked masked addresses: names, texts, which is chosen.
    blocked: Vec<(&'static str, &'static str, bool)>,
}

struct MaskLine {
    address: String,
    name: String,
    created: String,
    used: String,
    count: u64,
    blocked: bool,
}

/// What the page shows besides itself.
#[derive(Default)]
struct Aside {
    wrong: Wrong,
    made: Option<String>,
    typed: String,
    done: Option<String>,
}

/// `GET /settings/aliases`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    show(caller, Aside { done: place.done, ..Aside::default() }).await
}

async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    let Aside { wrong, made, typed, done } = aside;
    caller
        .blocking(move |caller| {
            let (directory, calendar) = (&caller.site.directory, caller.calendar());
            let most = directory.own_addresses();
            let masks = directory.masks(caller.account)?.into_iter().map(|mask| MaskLine {
                address: mask.address,
                name: mask.name,
                created: calendar.when(mask.created_ms).short,
                used: mask.last_ms.map_or_else(|| "never".to_owned(), |ms| calendar.ago(ms)),
                count: mask.count,
                blocked: mask.blocked,
            });
            let refused = !wrong.is_empty();
            let domain = caller.address.rsplit_once('@').map_or("", |(_, domain)| domain).to_owned();
            let chosen = BlockedMail::of(&caller.settings);
            let mut response = view::html(&AliasesPage {
                page: caller.page("Aliases"),
                shell: surroundings(caller, done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                ask: None,
                wrong,
                made,
                masks: masks.collect(),
                most_masks: most.masked,
                aliases: directory.own_aliases(caller.account)?,
                most_aliases: most.aliases,
                typed,
                plus: directory.domain(&domain)?.is_none_or(|domain| domain.plus),
                domain,
                files_by_detail: caller.settings.files_by_detail,
                blocked: BlockedMail::ALL.map(|one| (one.name(), in_words(one), one == chosen)).to_vec(),
            });
            if refused {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

const fn in_words(one: BlockedMail) -> &'static str {
    match one {
        BlockedMail::Refuse => "Refuse it, as if the address didn’t exist",
        BlockedMail::Spam => "File it in Spam",
        BlockedMail::Discard => "Discard it; its sender isn’t told",
    }
}

/// `POST /settings/aliases/arriving`: what becomes of mail by the address that it came to.
pub async fn arriving(caller: Caller, form: Posted) -> Result<Response> {
    let wanted = BlockedMail::ALL.into_iter().find(|one| one.name() == form.get("blocked")).unwrap_or_default();
    let settings = Settings {
        files_by_detail: form.get("by-detail") == "1",
        blocked_masks: wanted.number(),
        ..caller.settings.clone()
    };
    caller.site.directory.set_settings(caller.account, settings).await?;
    Ok(Redirect::to(&notice::with(HERE, "settings")).into_response())
}

/// `POST /settings/aliases/mask`: makes a masked address. Sent twice it makes one.
pub async fn mask(caller: Caller, form: Posted) -> Result<Response> {
    let name = form.get("site").trim().to_owned();
    if name.len() > MAX_MASK_NAME_BYTES {
        let wrong = Wrong::of("site", Problem::TextTooLong(MAX_MASK_NAME_BYTES));
        return show(caller, Aside { wrong, ..Aside::default() }).await;
    }
    let site = caller.site.clone();
    let turn = site.answers.turn(caller.account, &form.act_key(&format!("masked address {name}"))).await;
    if let Some(made) = turn.before() {
        drop(turn);
        return show(caller, Aside { made: Some(made), ..Aside::default() }).await;
    }
    match site.directory.create_mask(caller.account, &name).await {
        Ok(made) => {
            turn.done(&made);
            note(&caller, &format!("made the masked address {made}")).await?;
            show(caller, Aside { made: Some(made), ..Aside::default() }).await
        }
        Err(error @ DirectoryError::Store(_)) => Err(error.into()),
        Err(error) => show(caller, Aside { wrong: Wrong::of("site", error), ..Aside::default() }).await,
    }
}

/// `POST /settings/aliases/change`: blocks, unblocks or deletes a masked address.
pub async fn change(caller: Caller, form: Posted) -> Result<Response> {
    let (directory, address) = (&caller.site.directory, form.get("address"));
    let (changed, what, done) = match form.get("act") {
        "block" => (directory.block_mask(caller.account, address, true).await, "blocked", "maskblocked"),
        "unblock" => (directory.block_mask(caller.account, address, false).await, "unblocked", "maskunblocked"),
        "delete" => (directory.delete_mask(caller.account, address).await, "deleted", "maskdeleted"),
        _ => return Err(Fault::Bad("The form doesn’t say what to change. Reload the page and try again.".to_owned())),
    };
    match changed {
        Ok(()) => {}
        Err(error @ DirectoryError::Store(_)) => return Err(error.into()),
        Err(_) => return Err(Fault::Bad("You have no such masked address. Reload the page.".to_owned())),
    }
    note(&caller, &format!("{what} the masked address {address}")).await?;
    Ok(Redirect::to(&notice::with(HERE, done)).into_response())
}

/// `POST /settings/aliases/add`
pub async fn add(caller: Caller, form: Posted) -> Result<Response> {
    let typed = form.get("alias").trim().to_owned();
    let domain = caller.address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let whole = if typed.contains('@') { typed.clone() } else { format!("{typed}@{domain}") };
    let added = if typed.is_empty() {
        Err(Wrong::of("alias", "Type the part before the @."))
    } else {
        match caller.site.directory.add_own_alias(caller.account, &whole).await {
            Err(error @ DirectoryError::Store(_)) => return Err(error.into()),
            added => added.map_err(|error| Wrong::of("alias", error)),
        }
    };
    if let Err(wrong) = added {
        return show(caller, Aside { wrong, typed, ..Aside::default() }).await;
    }
    note(&caller, &format!("added the alias {whole}")).await?;
    Ok(Redirect::to(&notice::with(HERE, "aliasadded")).into_response())
}

/// `POST /settings/aliases/remove`
pub async fn remove(caller: Caller, form: Posted) -> Result<Response> {
    let alias = form.get("alias");
    match caller.site.directory.remove_own_alias(caller.account, alias).await {
        Ok(()) => {}
        Err(error @ DirectoryError::Store(_)) => return Err(error.into()),
        Err(_) => return Err(Fault::Bad("You have no such alias. Reload the page.".to_owned())),
    }
    note(&caller, &format!("removed the alias {alias}")).await?;
    Ok(Redirect::to(&notice::with(HERE, "aliasremoved")).into_response())
}
