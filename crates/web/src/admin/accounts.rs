//! Accounts: the list, one of them, and what is done to them.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use delivery::AccessChange;
use directory::{Account, AccountId, DirectoryError, NewAccount, Role};
use mailkit::EmailAddress;
use serde::Deserialize;

use super::{TABS, Tabs, admin, failed, note, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::forms::Posted;
use crate::listing::count;
use crate::templates::Shell;
use crate::time::{size, size_exact};
use crate::view::{self, Page};
use crate::wording::capital;
use crate::{notice, options::MIN_PASSWORD, query};

/// Accounts on a page of the list.
const PAGE: usize = 50;
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
    typed: (String, String),
    domain: String,
    min_password: usize,
    query: String,
    total: String,
    /// There are so many that one looks for them.
    many: bool,
    accounts: Vec<Line>,
    next: Option<String>,
    deleted: Vec<Deleted>,
    deleted_further: usize,
}

struct Deleted {
    id: u32,
    address: String,
    when: String,
}

struct Line {
    id: u32,
    address: String,
    name: String,
    admin: bool,
    disabled: bool,
    this: bool,
    used: String,
}

#[derive(Template)]
#[template(path = "admin_account.html")]
struct AccountPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    min_password: usize,
    line: Line,
    created: String,
    quota: String,
    default_quota: String,
    /// Its further addresses; catch-alls begin with `@`.
    aliases: Vec<String>,
    totp: bool,
    domain: String,
}

/// Which page of the list.
#[derive(Clone, Default, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
    done: Option<String>,
}

fn line(caller: &Caller, account: Account) -> Line {
    // While it is being restored nobody knows.
    let used = caller.site.mailstore.quota(account.id.realm()).ok();
    Line {
        id: account.id.0,
        this: account.id == caller.account,
        address: account.address.to_string(),
        name: account.name,
        admin: account.role == Role::Admin,
        disabled: !account.enabled,
        used: used.map_or_else(String::new, |quota| match quota.limit_bytes.filter(|limit| *limit > 0) {
            Some(limit) => format!("{} of {}", size(quota.used_bytes), size(limit)),
            None => size(quota.used_bytes),
        }),
    }
}

fn domain_of(caller: &Caller) -> String {
    caller.address.rsplit('@').next().unwrap_or_default().to_owned()
}

/// `GET /admin`
pub async fn list(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Response> {
    list_page(admin(caller)?, wanted, None, Default::default()).await
}

async fn list_page(
    caller: Caller,
    wanted: Wanted,
    problem: Option<String>,
    typed: (String, String),
) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let mut all = caller.site.directory.accounts()?;
            let many = all.len() > PAGE;
            let query = wanted.q.trim().to_lowercase();
            all.retain(|a| a.address.canonical().contains(&query) || a.name.to_lowercase().contains(&query));
            let total = count(all.len() as u32, "account");
            all.sort_by_cached_key(|account| account.address.canonical());
            all.retain(|account| account.address.canonical() > wanted.after);
            let more = all.len() > PAGE;
            all.truncate(PAGE);
            let next = all.last().filter(|_| more).map(|last| {
                format!("/admin?q={}&after={}", form_urlencoded(&query), form_urlencoded(&last.address.canonical()))
            });
            let calendar = caller.calendar();
            let deleted = caller.site.directory.deleted()?;
            let wrong = problem.is_some();
            let page = ListPage {
                page: caller.page("Accounts"),
                shell: surroundings(caller, wanted.done.as_deref(), "/admin")?,
                tabs: TABS,
                here: "/admin",
                problem,
                typed,
                domain: domain_of(caller),
                min_password: MIN_PASSWORD,
                query: wanted.q.trim().to_owned(),
                total,
                many,
                accounts: all.into_iter().map(|account| line(caller, account)).collect(),
                next,
                deleted_further: deleted.len().saturating_sub(DELETED),
                deleted: deleted
                    .into_iter()
                    .take(DELETED)
                    .map(|(id, address, ms)| Deleted { id: id.0, address, when: calendar.when(ms).full })
                    .collect(),
            };
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

/// `GET /admin/accounts/{id}`
pub async fn one(caller: Caller, Path(id): Path<String>, Query(wanted): Query<Wanted>) -> Result<Response> {
    let id = id.parse().map(AccountId).map_err(|_| Fault::NotFound("There is no such account."))?;
    one_page(admin(caller)?, id, None, wanted.done).await
}

async fn one_page(caller: Caller, id: AccountId, problem: Option<String>, done: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let directory = &caller.site.directory;
            let account = directory.account(id)?.ok_or(Fault::NotFound("There is no such account."))?;
            let here = format!("/admin/accounts/{id}");
            let default_quota = caller.site.options.default_quota_bytes;
            let wrong = problem.is_some();
            let page = AccountPage {
                page: caller.page(&account.address.to_string()),
                shell: surroundings(caller, done.as_deref(), &here)?,
                tabs: TABS,
                here: "/admin",
                problem,
                min_password: MIN_PASSWORD,
                created: caller.calendar().when(account.created_ms).full,
                quota: if account.quota_bytes > 0 { size_exact(account.quota_bytes) } else { String::new() },
                default_quota: if default_quota > 0 { size(default_quota) } else { String::new() },
                aliases: directory.addresses_of(id)?.into_iter().skip(1).collect(),
                totp: directory.totp_enabled(id)?,
                domain: domain_of(caller),
                line: line(caller, account),
            };
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

/// What was done, for the audit trail and for the notice.
type Done = Result<(String, &'static str), DirectoryError>;

/// `POST /admin/accounts`
pub async fn change(caller: Caller, form: Posted) -> Result<Response> {
    let caller = admin(caller)?;
    let verb = form.get("do");
    let address = in_full(&caller, form.get("address"));
    let gone = || DirectoryError::NoSuchAccount(form.get("id").to_owned());
    let id = form.get("id").parse().map(AccountId).map_err(|_| gone());
    let done = match (verb, id) {
        ("create", _) => {
            let key = form.act_key(&format!("account {address}"));
            let turn = caller.site.answers.turn(caller.account, &key).await;
            if turn.before().is_some() {
                return Ok(Redirect::to(&notice::with("/admin", "created")).into_response());
            }
            let made = create(&caller, &form, &address).await;
            if made.is_ok() {
                turn.done("created");
            }
            made.map(|()| (format!("made the account {address}"), "created"))
        }
        ("disable" | "delete", Ok(id)) if id == caller.account => {
            return Err(Fault::Forbidden("You can not disable or delete yourself."));
        }
        ("restore", Ok(id)) => bring_back(&caller, id).await?.map(|what| (what, "broughtback")),
        (_, Ok(id)) => change_one(&caller, id, &form).await?,
        (_, Err(error)) => Err(error),
    };
    let id = form.get("id").parse().map(AccountId).ok();
    let of_one = id.filter(|_| !matches!(verb, "create" | "restore" | "delete"));
    match done {
        Ok((what, done)) => {
            note(&caller, &what).await?;
            if let Some((id, change)) = id.zip(access_change(verb)) {
                crate::settings::tell_by(&caller.site, id, change, "by an administrator").await;
            }
            let to = of_one.map_or_else(|| "/admin".to_owned(), |id| format!("/admin/accounts/{id}"));
            Ok(Redirect::to(&notice::with(&to, done)).into_response())
        }
        Err(error @ DirectoryError::Store(_)) => Err(error.into()),
        Err(error) => {
            let problem = Some(capital(&error.to_string()));
            match of_one {
                Some(id) if caller.site.directory.account(id)?.is_some() => one_page(caller, id, problem, None).await,
                _ => {
                    let typed = (form.get("address").to_owned(), form.get("name").to_owned());
                    list_page(caller, Wanted::default(), problem, typed).await
                }
            }
        }
    }
}

/// An address as it was typed: the part before the @ alone is one of the administrator's own domain, as at the set-up.
fn in_full(caller: &Caller, typed: &str) -> String {
    let typed = typed.trim();
    if typed.is_empty() || typed.contains('@') { typed.to_owned() } else { format!("{typed}@{}", domain_of(caller)) }
}

/// What an account is told of.
fn access_change(verb: &str) -> Option<AccessChange> {
    match verb {
        "password" => Some(AccessChange::Password),
        "totp-off" => Some(AccessChange::SecondFactorOff),
        _ => None,
    }
}

async fn change_one(caller: &Caller, id: AccountId, form: &Posted) -> Result<Done> {
    let directory = &caller.site.directory;
    let alias = form.get("alias").trim();
    Ok(match form.get("do") {
        "save" => save(caller, id, form).await?.map(|()| (format!("changed account {id}"), "saved")),
        "password" => directory
            .set_password(id, form.get("password"))
            .await
            .map(|()| (format!("set a password for account {id}"), "saved")),
        "totp-off" => directory
            .disable_totp(id)
            .await
            .map(|()| (format!("turned the second factor of account {id} off"), "saved")),
        "enable" => directory.set_enabled(id, true).await.map(|()| (format!("enabled account {id}"), "saved")),
        "disable" => directory.set_enabled(id, false).await.map(|()| (format!("disabled account {id}"), "saved")),
        "delete" => directory.delete_account(id).await.map(|()| (format!("deleted account {id}"), "accountgone")),
        "alias" => {
            directory.add_alias(id, alias).await.map(|()| (format!("gave account {id} the address {alias}"), "saved"))
        }
        "rename" => {
            let Ok(new) = EmailAddress::parse(alias) else {
                return Err(Fault::Bad(format!("\u{201c}{alias}\u{201d} isn\u{2019}t a valid email address.")));
            };
            let before = directory.account(id)?.map(|account| account.address.to_string()).unwrap_or_default();
            directory
                .rename_account(id, &new, true)
                .await
                .map(|()| (format!("renamed account {id} from {before} to {alias}"), "saved"))
        }
        "unalias" => directory
            .remove_alias(id, alias)
            .await
            .map(|()| (format!("took the address {alias} from account {id}"), "saved")),
        _ => return Err(Fault::Bad("The form did not say what to do.".to_owned())),
    })
}

/// Name, role and quota.
async fn save(caller: &Caller, id: AccountId, form: &Posted) -> Result<Result<(), DirectoryError>> {
    let directory = &caller.site.directory;
    let Some(before) = directory.account(id)? else {
        return Ok(Err(DirectoryError::NoSuchAccount(id.to_string())));
    };
    let quota = match form.get("quota").replace(' ', "").as_str() {
        "" => 0,
        typed => query::size(typed)
            .ok_or_else(|| Fault::Bad(format!("\u{201c}{typed}\u{201d} is no size; they look like 500 MB or 5 GB.")))?,
    };
    let role = if form.get("admin") == "1" { Role::Admin } else { Role::User };
    let name = form.get("name").trim();
    let done = async {
        if role != before.role {
            directory.set_role(id, role).await?;
        }
        if name != before.name {
            directory.set_name(id, name).await?;
        }
        if quota != before.quota_bytes {
            directory.set_quota(id, quota).await?;
        }
        Ok(())
    };
    Ok(done.await)
}

/// Brings a deleted account back; gives what the audit trail says.
async fn bring_back(caller: &Caller, id: AccountId) -> Result<Result<String, DirectoryError>> {
    let found = caller.site.directory.deleted()?.into_iter().find(|(one, _, _)| *one == id);
    let Some((_, address, deleted_ms)) = found else { return Ok(Err(DirectoryError::NoSuchAccount(id.to_string()))) };
    Ok(caller.site.directory.bring_back(id, deleted_ms).await.map(|taken| match taken.as_slice() {
        [] => format!("brought the deleted account {address} back"),
        without => format!("brought the deleted account {address} back, without {}", without.join(", ")),
    }))
}

async fn create(caller: &Caller, form: &Posted, address: &str) -> Result<(), DirectoryError> {
    let new = NewAccount {
        address: EmailAddress::parse(address)?,
        name: form.get("name").trim().to_owned(),
        password: form.get("password").to_owned(),
        role: if form.get("admin") == "1" { Role::Admin } else { Role::User },
        quota_bytes: caller.site.options.default_quota_bytes,
    };
    caller.site.directory.create_account(new).await.map(|_| ())
}
