//! What the administrators' pages have in common: who may see them, their tabs, and what they note in the audit trail.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::templates::Shell;
use crate::{notice, shell};

/// The pages, and what they are called.
pub type Tabs = &'static [(&'static str, &'static str)];
/// See [`Tabs`].
pub const TABS: Tabs = &[
    ("/admin", "Accounts"),
    ("/admin/domains", "Domains"),
    ("/admin/queue", "Queue"),
    ("/admin/spam", "Spam"),
    ("/admin/service", "Service"),
    ("/admin/continuity", "Continuity"),
    ("/admin/audit", "Audit trail"),
    ("/admin/help", "Help"),
];

/// Lets administrators pass.
pub fn admin(caller: Caller) -> Result<Caller> {
    if caller.admin { Ok(caller) } else { Err(Fault::Forbidden("These pages are for administrators.")) }
}

/// The door of all these pages: visitors sign in first, and nobody but administrators gets further.
pub async fn only_administrators(caller: Caller, request: Request, next: Next) -> Result<Response> {
    admin(caller)?;
    Ok(next.run(request).await)
}

/// What surrounds a page, with the notice of what was done.
pub fn surroundings(caller: &Caller, done: Option<&str>, here: &str) -> Result<Shell> {
    let mut shell = shell::build(caller, "page", None)?;
    shell.notice = notice::find(caller, done, here)?;
    Ok(shell)
}

/// Marks a page that tells what is wrong.
pub fn failed(mut response: Response, problem: bool) -> Response {
    if problem {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    response
}

/// Writes what the caller has done to the service into the audit trail.
pub async fn note(caller: &Caller, what: &str) -> Result<()> {
    note_of(caller, None, what).await
}

/// The same for what was done to an account.
pub async fn note_of(caller: &Caller, account: Option<directory::AccountId>, what: &str) -> Result<()> {
    let peer = caller.peer.addr.to_string();
    Ok(caller.site.directory.audit(account, &caller.address, what, &peer).await?)
}

/// The domain of the administrator's own address.
pub fn domain_of(caller: &Caller) -> String {
    caller.address.rsplit('@').next().unwrap_or_default().to_owned()
}

/// `1 message`, `2 messages`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    let number_text = crate::listing::grouped(u32::try_from(number).unwrap_or(u32::MAX));
    format!("{number_text} {}", if number == 1 { one } else { many })
}
