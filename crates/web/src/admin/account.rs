//! One account: its page, and what is changed of it.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use delivery::AccessChange;
use directory::{Account, AccountId, AppPasswordId, DirectoryError, Role, SessionId};
use mailkit::EmailAddress;
use serde::Deserialize;

use super::entry::{self, Line, line, new_password, quota};
use super::frame::{TABS, Tabs, admin, counted, domain_of, failed, note_of, surroundings};
use super::sending::{self, Shown};
use super::signed_in::{self, SignInLine};
use super::trail;
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::settings::browser;
use crate::templates::Shell;
use crate::time::{size, size_typed};
use crate::view::{self, Page};
use crate::wrong::{Wrong, readable};
use crate::{notice, options::MIN_PASSWORD};

/// Entries of the audit trail on the page of an account.
const LATEST: usize = 8;

#[derive(Template)]
#[template(path = "admin_account.html")]
struct AccountPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    wrong: Wrong,
    min_password: usize,
    line: Line,
    created: String,
    quota: String,
    default_quota: String,
    /// A password that was made for it, to be shown once.
    made: Option<String>,
    /// What was typed and not taken.
    typed_alias: String,
    typed_address: String,
    /// Its further addresses, as the DNS has them and as people read them; catch-alls begin with `@`.
    aliases: Vec<(String, String)>,
    totp: bool,
    /// Its owner has to choose a new password.
    must_change: bool,
    domain: String,
    sessions: Vec<SessionLine>,
    apps: Vec<AppLine>,
    sign_ins: Vec<SignInLine>,
    /// Sign-ins that are not shown.
    more_sign_ins: usize,
    sending: Shown,
    /// Where its mail is forwarded to: the address, as people read it, and its state.
    forwards: Vec<(String, String, &'static str)>,
    /// Relays take what it sends while this machine is away.
    sends_by_relay: bool,
    trail: Vec<trail::Line>,
    messages: String,
}

struct SessionLine {
    id: String,
    browser: String,
    address: String,
    seen: String,
}

struct AppLine {
    id: u32,
    name: String,
    used: String,
}

/// What the page shows besides itself.
#[derive(Default)]
pub struct Aside {
    pub wrong: Wrong,
    pub done: Option<String>,
    pub made: Option<String>,
    pub typed_alias: String,
    pub typed_address: String,
    pub typed_quota: Option<String>,
    /// All sign-ins are shown.
    pub all_sign_ins: bool,
}

/// What the page shows all of.
#[derive(Deserialize)]
pub struct Wish {
    sign_ins: Option<String>,
}

/// `GET /admin/accounts/{id}`
pub async fn one(
    caller: Caller,
    Path(id): Path<String>,
    Query(place): Query<Place>,
    Query(wish): Query<Wish>,
) -> Result<Response> {
    let id = id.parse().map(AccountId).map_err(|_| Fault::NotFound("There is no such account."))?;
    page(admin(caller)?, id, Aside { done: place.done, all_sign_ins: wish.sign_ins.is_some(), ..Aside::default() })
        .await
}

/// The page of an account.
pub async fn page(caller: Caller, id: AccountId, aside: Aside) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let directory = &caller.site.directory;
            let account = directory.account(id)?.ok_or(Fault::NotFound("There is no such account."))?;
            let calendar = caller.calendar();
            let here = format!("/admin/accounts/{id}");
            let default_quota = caller.site.options.default_quota_bytes;
            let line = line(caller, &account);
            let sessions = directory.sessions(id)?.into_iter().map(|session| SessionLine {
                id: hex::encode(session.id.0),
                browser: browser(&session.agent),
                seen: calendar.ago(session.seen_ms),
                address: session.peer,
            });
            let apps = directory.app_passwords(id)?.into_iter().map(|app| AppLine {
                id: app.id.0,
                name: app.name,
                used: app.last_used_ms.map_or_else(|| "never".to_owned(), |ms| calendar.ago(ms)),
            });
            let aliases = directory.addresses_of(id)?.into_iter().skip(1);
            let (sign_ins, more_sign_ins) = signed_in::shown(caller, id, aside.all_sign_ins)?;
            let messages = caller.site.mailstore.quota(account.id.realm()).ok();
            let own_quota = if account.quota_bytes > 0 { size_typed(account.quota_bytes) } else { String::new() };
            let page = AccountPage {
                page: caller.page(&line.address),
                shell: surroundings(caller, aside.done.as_deref(), &here)?,
                tabs: TABS,
                here: "/admin",
                problem: None,
                wrong: aside.wrong,
                min_password: MIN_PASSWORD,
                created: calendar.when(account.created_ms).full,
                quota: aside.typed_quota.unwrap_or(own_quota),
                default_quota: if default_quota > 0 { size(default_quota) } else { String::new() },
                made: aside.made,
                typed_alias: aside.typed_alias,
                typed_address: aside.typed_address,
                aliases: aliases.map(|alias| (alias.clone(), readable(&alias))).collect(),
                totp: directory.totp_enabled(id)?,
                must_change: account.must_change_password,
                domain: readable(&domain_of(caller)),
                sessions: sessions.collect(),
                apps: apps.collect(),
                sign_ins,
                more_sign_ins,
                sending: sending::shown(caller, id)?,
                forwards: forwards(caller, id),
                sends_by_relay: directory.sends_by_relay(id)?,
                trail: directory
                    .audit_trail(Some(id), None, LATEST)?
                    .into_iter()
                    .take(LATEST)
                    .map(|entry| trail::Line::of(entry, &calendar, directory))
                    .collect(),
                messages: messages.map_or_else(String::new, |quota| counted(quota.messages, "message", "messages")),
                line,
            };
            let wrong = !page.wrong.is_empty();
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

/// Where the mail of an account is forwarded to; nothing while that is being restored.
fn forwards(caller: &Caller, id: AccountId) -> Vec<(String, String, &'static str)> {
    let Ok(forwarding) = caller.site.delivery.forwarding(id) else { return Vec::new() };
    let line = |target: delivery::ForwardTarget| {
        let address = target.address.to_string();
        (address.clone(), readable(&address), target.state.name())
    };
    forwarding.targets.into_iter().map(line).collect()
}

/// What was done: what the audit trail says, which notice is shown, and what the account is told by mail.
pub struct Done {
    pub audited: Vec<String>,
    pub notice: &'static str,
    pub told: Option<AccessChange>,
    pub made: Option<String>,
}

impl Done {
    pub fn new(audited: impl Into<String>) -> Self {
        Self { audited: vec![audited.into()], notice: "saved", told: None, made: None }
    }

    fn telling(self, change: AccessChange) -> Self {
        Self { told: Some(change), ..self }
    }
}

/// Why something was not done: the field that is wrong, and what is wrong with it.
pub type Refused = (&'static str, DirectoryError);

/// What the form asks for, to one account.
pub async fn change(caller: Caller, id: AccountId, form: &Posted) -> Result<Response> {
    let Some(account) = caller.site.directory.account(id)? else {
        return Err(Fault::NotFound("There is no such account."));
    };
    let outcome = match form.get("do") {
        // What comes back as it was shown changes nothing: it may have been rounded.
        "save" if account.quota_bytes > 0 && form.get("quota") == size_typed(account.quota_bytes) => {
            save(&caller, &account, form, account.quota_bytes).await
        }
        "save" => match quota(form.get("quota"), 0) {
            Ok(bytes) => save(&caller, &account, form, bytes).await,
            Err(problem) => {
                let typed_quota = Some(form.get("quota").to_owned());
                let aside = Aside { wrong: Wrong::of("quota", problem), typed_quota, ..Aside::default() };
                return page(caller, id, aside).await;
            }
        },
        "limits" => match sending::typed(form) {
            Ok(limits) => sending::save(&caller, id, limits).await,
            Err((field, problem)) => {
                return page(caller, id, Aside { wrong: Wrong::of(field, problem), ..Aside::default() }).await;
            }
        },
        verb @ ("stop-sending" | "allow-sending") => Ok(sending::switch(&caller, id, verb == "allow-sending").await?),
        "password" => password(&caller, id, form).await,
        "end-forward" => end_forward(&caller, id, form).await?,
        verb @ ("relay-on" | "relay-off") => by_relay(&caller, id, verb == "relay-on").await,
        "alias" | "rename" | "readdress" | "unalias" => addresses(&caller, &account, form).await,
        verb => access(&caller, id, verb, form).await?,
    };
    match outcome {
        Ok(done) => {
            for what in &done.audited {
                note_of(&caller, Some(id), what).await?;
            }
            if let Some(change) = done.told {
                entry::tell(&caller, id, change).await;
            }
            if done.made.is_some() {
                return page(caller, id, Aside { made: done.made, ..Aside::default() }).await;
            }
            Ok(Redirect::to(&notice::with(&format!("/admin/accounts/{id}"), done.notice)).into_response())
        }
        Err((_, error @ DirectoryError::Store(_))) => Err(error.into()),
        Err((field, error)) => {
            let wrong = Wrong::of(field, error);
            let typed_alias = if field == "alias" { form.get("alias").to_owned() } else { String::new() };
            let typed_address = if field == "address" { form.get("address").to_owned() } else { String::new() };
            page(caller, id, Aside { wrong, typed_alias, typed_address, ..Aside::default() }).await
        }
    }
}

/// Name, role and storage limit.
async fn save(caller: &Caller, before: &Account, form: &Posted, bytes: u64) -> Result<Done, Refused> {
    let directory = &caller.site.directory;
    let role = if form.get("admin") == "1" { Role::Admin } else { Role::User };
    let name = form.get("name").trim();
    let mut audited = Vec::new();
    if role != before.role {
        directory.set_role(before.id, role).await.map_err(|error| ("admin", error))?;
        audited.push(match role {
            Role::Admin => "made it an administrator".to_owned(),
            Role::User => "took the administrator\u{2019}s rights away".to_owned(),
        });
    }
    if name != before.name {
        directory.set_name(before.id, name).await.map_err(|error| ("name", error))?;
        audited.push(format!("set the name to \u{201c}{name}\u{201d}"));
    }
    if bytes != before.quota_bytes {
        directory.set_quota(before.id, bytes).await.map_err(|error| ("quota", error))?;
        audited.push(match bytes {
            0 => "set the storage limit to unlimited".to_owned(),
            bytes => format!("set the storage limit to {}", size(bytes)),
        });
    }
    Ok(Done { audited, ..Done::new("") })
}

async fn password(caller: &Caller, id: AccountId, form: &Posted) -> Result<Done, Refused> {
    let (made, password) = match form.get("password") {
        "" => {
            let made = new_password();
            (Some(made.clone()), made)
        }
        given => (None, given.to_owned()),
    };
    let directory = &caller.site.directory;
    // Nobody is asked for another password in the middle of their own work.
    let is_temporary = form.get("must") == "1" && id != caller.account;
    let set = if is_temporary {
        directory.set_temporary_password(id, &password).await
    } else {
        directory.set_password(id, &password).await
    };
    set.map_err(|error| ("password", error))?;
    let audited = if is_temporary { "set a password that must be changed" } else { "set the password" };
    Ok(Done { made, ..Done::new(audited).telling(AccessChange::Password) })
}

/// Ends the forwarding to an address. Pressed twice, it is done.
async fn end_forward(caller: &Caller, id: AccountId, form: &Posted) -> Result<Result<Done, Refused>> {
    let target = EmailAddress::parse(form.get("target"));
    let target = target.map_err(|error| Fault::Bad(format!("The form is wrong: {error}.")))?;
    let is_ended = caller.site.delivery.remove_forward(id, &target).await?;
    let audited = format!("ended forwarding to {}", readable(&target.to_string()));
    Ok(Ok(Done { audited: is_ended.then_some(audited).into_iter().collect(), ..Done::new("") }))
}

async fn by_relay(caller: &Caller, id: AccountId, allowed: bool) -> Result<Done, Refused> {
    let directory = &caller.site.directory;
    if directory.sends_by_relay(id).map_err(|error| ("", error))? == allowed {
        return Ok(Done { audited: Vec::new(), ..Done::new("") });
    }
    directory.set_sends_by_relay(id, allowed).await.map_err(|error| ("", error))?;
    let what = if allowed { "allowed" } else { "forbade" };
    Ok(Done::new(format!("{what} relays to take its mail while this server is away")))
}

async fn addresses(caller: &Caller, account: &Account, form: &Posted) -> Result<Done, Refused> {
    let (directory, id) = (&caller.site.directory, account.id);
    match form.get("do") {
        "alias" => {
            let alias = entry::in_full(caller, form.get("alias"), "");
            directory.add_alias(id, &alias).await.map_err(|error| ("alias", error))?;
            Ok(Done::new(format!("added the address {}", readable(&alias))))
        }
        "unalias" => {
            let alias = form.get("alias").trim();
            directory.remove_alias(id, alias).await.map_err(|error| ("alias", error))?;
            Ok(Done::new(format!("removed the address {}", readable(alias))))
        }
        verb => {
            // One of its aliases becomes the login, or a new address does.
            let (field, keep) = if verb == "rename" { ("alias", true) } else { ("address", form.get("keep") == "1") };
            let typed = entry::in_full(caller, form.get(field), account.address.domain());
            let new = EmailAddress::parse(&typed).map_err(|error| (field, error.into()))?;
            new.check_own().map_err(|error| (field, error.into()))?;
            directory.rename_account(id, &new, keep).await.map_err(|error| (field, error))?;
            let before = readable(&account.address.to_string());
            Ok(Done::new(format!("renamed it from {before} to {}", readable(&new.to_string()))))
        }
    }
}

/// Who may come in, and what is open.
async fn access(caller: &Caller, id: AccountId, verb: &str, form: &Posted) -> Result<Result<Done, Refused>> {
    let directory = &caller.site.directory;
    let whole = |error| ("", error);
    Ok(match verb {
        "totp-off" => directory
            .disable_totp(id)
            .await
            .map(|()| Done::new("turned the second factor off").telling(AccessChange::SecondFactorOff))
            .map_err(whole),
        "enable" => directory.set_enabled(id, true).await.map(|()| Done::new("enabled the account")).map_err(whole),
        "disable" => directory.set_enabled(id, false).await.map(|()| Done::new("disabled the account")).map_err(whole),
        "end-session" => {
            let mut session = [0; 32];
            hex::decode_to_slice(form.get("session"), &mut session).map_err(|_| {
                Fault::Bad("The form doesn’t say which session to end. Reload the page and try again.".to_owned())
            })?;
            directory.end_session(id, SessionId(session)).await?;
            Ok(Done::new("ended a web session"))
        }
        "end-sessions" => {
            // One's own goes on: everything else is signed out.
            let own = (id == caller.account).then_some(caller.session.id);
            directory.end_all_sessions(id, own).await?;
            Ok(Done::new("ended all web sessions"))
        }
        "revoke" | "shut-out" => {
            let mut revoked = directory.app_passwords(id)?;
            if verb == "revoke" && form.get("app") != "all" {
                let app = form.get("app").parse().map(AppPasswordId);
                let app = app.map_err(|_| {
                    Fault::Bad(
                        "The form doesn’t say which password to revoke. Reload the page and try again.".to_owned(),
                    )
                })?;
                revoked.retain(|one| one.id == app);
            }
            for app in &revoked {
                directory.revoke_app_password(id, app.id).await?;
            }
            let mut audited = Vec::new();
            if verb == "shut-out" {
                let own = (id == caller.account).then_some(caller.session.id);
                directory.end_all_sessions(id, own).await?;
                audited.push("ended all web sessions".to_owned());
                let keys = directory.remove_all_passkeys(id).await?;
                if !keys.is_empty() {
                    audited.push(format!("removed the passkeys {}", keys.join(", ")));
                }
            }
            let names: Vec<String> = revoked.into_iter().map(|app| app.name).collect();
            let mut done = Done { audited, ..Done::new("") };
            if !names.is_empty() {
                done.audited.push(format!("revoked the app password {}", names.join(", ")));
                done.told = Some(AccessChange::AppPasswordsRevoked(names));
            }
            Ok(done)
        }
        _ => return Err(Fault::nothing_to_do()),
    })
}
