//! Accounts: the list, making one, and what is done to them.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use directory::{AccountId, DirectoryError, NewAccount, Role};
use mailkit::EmailAddress;

use super::account::{self, Aside};
use super::confirm;
use super::entry::{in_full, new_password, quota};
use super::frame::{TABS, Tabs, admin, counted, domain_of, failed, note_of, surroundings};
use super::listed::{Listed, STATES, Wanted, listed};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::templates::Shell;
use crate::time::size;
use crate::view::{self, Page};
use crate::wrong::{Wrong, readable};
use crate::{notice, options::MIN_PASSWORD};

/// Deleted accounts that are shown, the newest ones.
const DELETED: usize = 50;

#[derive(Template)]
#[template(path = "admin_accounts.html")]
struct ListPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    wrong: Wrong,
    typed: Typed,
    /// The service's domains: as the DNS has them, and as people read them.
    domains: Vec<(String, String)>,
    min_password: usize,
    default_quota: String,
    /// The address and the password of an account that was just made, where the password was made too.
    made: Option<(String, String)>,
    wanted: Wanted,
    /// What the list can be narrowed to: value, and in words.
    states: [(&'static str, &'static str); STATES.len()],
    filtered: bool,
    /// `3 accounts`: how many match.
    heading: String,
    list: Listed,
    deleted: Vec<Deleted>,
    deleted_further: usize,
}

struct Deleted {
    id: u32,
    address: String,
    when: String,
}

/// What was typed into the form for a new account.
#[derive(Clone, Default)]
struct Typed {
    address: String,
    domain: String,
    name: String,
    quota: String,
    admin: bool,
}

/// What the list shows besides itself.
#[derive(Default)]
struct Beside {
    wrong: Wrong,
    typed: Typed,
    made: Option<(String, String)>,
}

/// `GET /admin`
pub async fn list(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Response> {
    list_page(admin(caller)?, wanted, Beside::default()).await
}

async fn list_page(caller: Caller, wanted: Wanted, beside: Beside) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let list = listed(caller, &wanted)?;
            let heading = counted(list.total as u64, "account", "accounts");
            let filtered = wanted.is_filtered();
            let calendar = caller.calendar();
            let deleted = caller.site.directory.deleted()?;
            let mut typed = beside.typed;
            if typed.domain.is_empty() {
                typed.domain = domain_of(caller);
            }
            let domains = caller.site.directory.domains()?.into_iter();
            let default_quota = caller.site.options.default_quota_bytes;
            let page = ListPage {
                page: caller.page("Accounts"),
                shell: surroundings(caller, wanted.done.as_deref(), "/admin")?,
                tabs: TABS,
                here: "/admin",
                problem: None,
                wrong: beside.wrong,
                typed,
                domains: domains.map(|domain| (domain.name.clone(), readable(&domain.name))).collect(),
                min_password: MIN_PASSWORD,
                default_quota: if default_quota > 0 { size(default_quota) } else { String::new() },
                made: beside.made,
                wanted,
                states: STATES,
                filtered,
                heading,
                list,
                deleted_further: deleted.len().saturating_sub(DELETED),
                deleted: deleted
                    .into_iter()
                    .take(DELETED)
                    .map(|(id, address, ms)| Deleted {
                        id: id.0,
                        address: readable(&address),
                        when: calendar.when(ms).full,
                    })
                    .collect(),
            };
            let wrong = !page.wrong.is_empty();
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

/// `POST /admin/accounts`
pub async fn change(caller: Caller, form: Posted) -> Result<Response> {
    let caller = admin(caller)?;
    let verb = form.get("do");
    if needs_password(&caller, &form)?
        && let Some(response) = confirm::password_first(&caller, &form, "/admin/accounts").await?
    {
        return Ok(response);
    }
    if verb == "create" {
        return create(caller, &form).await;
    }
    let gone = || Fault::NotFound("There is no such account.");
    let id = form.get("id").parse().map(AccountId).map_err(|_| gone())?;
    match verb {
        "disable" | "delete" if id == caller.account => {
            Err(Fault::Forbidden("You can\u{2019}t disable or delete your own account."))
        }
        "restore" => bring_back(caller, id).await,
        "delete" => delete(caller, id).await,
        _ => account::change(caller, id, &form).await,
    }
}

/// Whether a form gives someone access to what they had none to, or takes it from its owner.
fn needs_password(caller: &Caller, form: &Posted) -> Result<bool> {
    Ok(match form.get("do") {
        "password" | "totp-off" | "delete" => true,
        "create" => form.get("admin") == "1",
        "save" if form.get("admin") == "1" => {
            let account = form.get("id").parse().map(AccountId).ok();
            let account = account.map(|id| caller.site.directory.account(id)).transpose()?.flatten();
            account.is_some_and(|account| account.role == Role::User)
        }
        _ => false,
    })
}

async fn delete(caller: Caller, id: AccountId) -> Result<Response> {
    match caller.site.directory.delete_account(id).await {
        Ok(()) => {
            let peer = caller.peer.addr.to_string();
            caller.site.directory.audit_deleted(id, &caller.address, "deleted the account", &peer).await?;
            Ok(Redirect::to(&notice::with("/admin", "accountgone")).into_response())
        }
        Err(error @ DirectoryError::Store(_)) => Err(error.into()),
        Err(DirectoryError::NoSuchAccount(_)) => {
            list_page(caller, Wanted::default(), Beside { wrong: gone(), ..Beside::default() }).await
        }
        Err(error) => account::page(caller, id, Aside { wrong: Wrong::of("", error), ..Aside::default() }).await,
    }
}

fn gone() -> Wrong {
    Wrong::of("", "This account no longer exists.")
}

async fn create(caller: Caller, form: &Posted) -> Result<Response> {
    let typed = Typed {
        address: form.get("address").trim().to_owned(),
        domain: form.get("domain").to_owned(),
        name: form.get("name").trim().to_owned(),
        quota: form.get("quota").trim().to_owned(),
        admin: form.get("admin") == "1",
    };
    let full = in_full(&caller, &typed.address, &typed.domain);
    let key = form.act_key(&format!("account {full}"));
    let turn = caller.site.answers.turn(caller.account, &key).await;
    let created = notice::with("/admin", "created");
    match turn.before() {
        None => {}
        Some(answer) if answer.is_empty() => return Ok(Redirect::to(&created).into_response()),
        Some(password) => {
            let made = Some((readable(&full), password));
            return list_page(caller, Wanted::default(), Beside { made, ..Beside::default() }).await;
        }
    }
    let (generated, password) = match form.get("password") {
        "" => (true, new_password()),
        given => (false, given.to_owned()),
    };
    let new = match checked(&caller, &typed, &full, &password) {
        Ok(new) => new,
        Err(wrong) => return list_page(caller, Wanted::default(), Beside { wrong, typed, made: None }).await,
    };
    match caller.site.directory.create_account(new).await {
        Ok(id) => {
            let answer = if generated { password.clone() } else { String::new() };
            turn.done(&answer);
            let what = if typed.admin { "created the account, an administrator" } else { "created the account" };
            note_of(&caller, Some(id), what).await?;
            if !generated {
                return Ok(Redirect::to(&created).into_response());
            }
            let made = Some((readable(&full), password));
            list_page(caller, Wanted::default(), Beside { made, ..Beside::default() }).await
        }
        Err(error @ DirectoryError::Store(_)) => Err(error.into()),
        Err(error) => {
            let wrong = Wrong::of(field_of(&error), error);
            list_page(caller, Wanted::default(), Beside { wrong, typed, made: None }).await
        }
    }
}

/// The field that an error is about.
const fn field_of(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::AddressTaken(_) | DirectoryError::NoSuchDomain(_) | DirectoryError::BadAddress(_) => "address",
        DirectoryError::BadPassword(_) => "password",
        DirectoryError::TooLong { .. } => "name",
        _ => "",
    }
}

/// Looks at all fields before anything is done, so that all that is wrong is told at once.
fn checked(caller: &Caller, typed: &Typed, full: &str, password: &str) -> Result<NewAccount, Wrong> {
    let mut wrong = Wrong::default();
    let directory = &caller.site.directory;
    let address = EmailAddress::parse(full).and_then(|address| address.check_own().map(|()| address));
    match &address {
        Err(_) if full.is_empty() => wrong.add("address", "Enter an address, or the part before the @."),
        Err(error) => wrong.check::<()>("address", Err(error.clone().into())),
        Ok(address) => {
            if !directory.domain(address.domain()).is_ok_and(|domain| domain.is_some()) {
                wrong.check::<()>("address", Err(DirectoryError::NoSuchDomain(address.domain().to_owned())));
            } else if directory.account_by_address(address).is_ok_and(|taken| taken.is_some()) {
                wrong.check::<()>("address", Err(DirectoryError::AddressTaken(readable(full))));
            }
        }
    }
    wrong.check("password", directory::check_password(password, &[full, &typed.name]));
    let quota = quota(&typed.quota, caller.site.options.default_quota_bytes);
    if let Err(problem) = &quota {
        wrong.add("quota", problem.as_str());
    }
    match (address, quota) {
        (Ok(address), Ok(quota_bytes)) if wrong.is_empty() => Ok(NewAccount {
            address,
            name: typed.name.clone(),
            password: password.to_owned(),
            role: if typed.admin { Role::Admin } else { Role::User },
            quota_bytes,
        }),
        _ => Err(wrong),
    }
}

/// Brings a deleted account back.
async fn bring_back(caller: Caller, id: AccountId) -> Result<Response> {
    let found = caller.site.directory.deleted()?.into_iter().find(|(one, _, _)| *one == id);
    let Some((_, _, deleted_ms)) = found else {
        return list_page(caller, Wanted::default(), Beside { wrong: gone(), ..Beside::default() }).await;
    };
    match caller.site.directory.bring_back(id, deleted_ms).await {
        Ok(taken) => {
            let what = match taken.as_slice() {
                [] => "brought the deleted account back".to_owned(),
                without => format!("brought the deleted account back, without {}", without.join(", ")),
            };
            note_of(&caller, Some(id), &what).await?;
            Ok(Redirect::to(&notice::with("/admin", "broughtback")).into_response())
        }
        Err(error @ DirectoryError::Store(_)) => Err(error.into()),
        Err(error) => {
            let wrong = Wrong::of("", error);
            list_page(caller, Wanted::default(), Beside { wrong, ..Beside::default() }).await
        }
    }
}
