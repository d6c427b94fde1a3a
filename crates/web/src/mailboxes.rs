//! Making, renaming and deleting mailboxes.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use mailstore::{ActChange, ActStep, Children, MailError, MailboxId, MailboxName, Role};

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::Place;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::{notice, shell};

#[derive(Template)]
#[template(path = "mailboxes.html")]
struct MailboxesPage {
    page: Page,
    shell: Shell,
    typed: String,
    /// What is wrong with the name of a new mailbox.
    wrong: Option<Problem>,
    /// What is wrong with anything else.
    problem: Option<Problem>,
}

/// `GET /mailboxes`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let mut shell = shell::build(caller, "page", None)?;
            shell.notice = notice::find(caller, place.done.as_deref(), "/mailboxes")?;
            let page = caller.page("Mailboxes");
            Ok(view::html(&MailboxesPage { page, shell, typed: String::new(), wrong: None, problem: None }))
        })
        .await
}

/// `POST /mailboxes`
pub async fn post(caller: Caller, form: Posted) -> Result<Response> {
    let typed = form.get("name").trim().to_owned();
    let id: Option<MailboxId> = form.get("id").parse().ok();
    let creating = form.get("do") == "create";
    let done = match form.get("do") {
        "create" => {
            let key = form.act_key(&format!("mailbox {typed}"));
            let turn = caller.site.answers.turn(caller.account, &key).await;
            if turn.before().is_some() {
                Ok("created")
            } else {
                let made = create(&caller, &typed).await;
                if made.is_ok() {
                    turn.done("created");
                }
                made.map(|()| "created")
            }
        }
        "rename" => rename(&caller, id, &typed).await.map(|()| "saved"),
        "delete" => delete(&caller, id).await.map(|()| "deleted"),
        _ => return Err(Fault::nothing_to_do()),
    };
    match done {
        Ok(done) => Ok(Redirect::to(&notice::with("/mailboxes", done)).into_response()),
        Err(error @ MailError::Store(_)) => Err(error.into()),
        Err(error) => {
            caller
                .blocking(move |caller| {
                    let shell = shell::build(caller, "page", None)?;
                    let told = match error {
                        MailError::BadName { .. } if typed.is_empty() => Problem::MailboxNameMissing,
                        error => Problem::Mail(error),
                    };
                    let page = caller.page("Mailboxes");
                    let (wrong, problem, typed) =
                        if creating { (Some(told), None, typed) } else { (None, Some(told), String::new()) };
                    let mut response = view::html(&MailboxesPage { page, shell, typed, wrong, problem });
                    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
                    Ok(response)
                })
                .await
        }
    }
}

async fn create(caller: &Caller, name: &str) -> Result<(), MailError> {
    let name = MailboxName::new(name)?;
    match caller.site.mailstore.create_mailbox(caller.realm, name, None).await {
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn rename(caller: &Caller, id: Option<MailboxId>, name: &str) -> Result<(), MailError> {
    let mailbox = ordinary(caller, id)?;
    let name = MailboxName::new(name)?;
    if name == mailbox.name {
        return Ok(());
    }
    caller.site.mailstore.rename_mailbox(caller.realm, mailbox.name, name).await
}

/// Its messages go to Trash first: deleting a mailbox by mistake loses nothing.
async fn delete(caller: &Caller, id: Option<MailboxId>) -> Result<(), MailError> {
    let mailbox = ordinary(caller, id)?;
    let mail = &caller.site.mailstore;
    if let Some(trash) = mail.mailbox_by_role(caller.realm, Role::Trash)? {
        loop {
            let uids: Vec<_> =
                mail.view(caller.realm, mailbox.id)?.uids().iter().copied().take(mailstore::MAX_ACT_MESSAGES).collect();
            if uids.is_empty() {
                break;
            }
            let step = ActStep { mailbox: mailbox.id, uids, change: ActChange::Move(trash.id) };
            mail.act(caller.realm, view::fresh_key().as_bytes(), "", vec![step]).await?;
        }
    }
    mail.delete_mailbox(caller.realm, mailbox.name, Children::Keep).await
}

fn ordinary(caller: &Caller, id: Option<MailboxId>) -> Result<mailstore::Mailbox, MailError> {
    let id = id.unwrap_or_default();
    let mailbox = caller.site.mailstore.mailbox(caller.realm, id)?.ok_or(MailError::MailboxGone(id))?;
    if mailbox.role.is_some() {
        Err(MailError::Forbidden("you can’t rename or delete a standard mailbox"))
    } else {
        Ok(mailbox)
    }
}
