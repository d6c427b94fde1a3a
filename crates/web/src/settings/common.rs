//! What all pages of the settings need: their tabs, the password asked for again, and mail about changes of access.

use std::net::IpAddr;

use delivery::AccessChange;
use directory::{AccountId, AuthError};

use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;
use crate::problem::Problem;
use crate::site::Site;
use crate::templates::Shell;
use crate::wrong::Wrong;
use crate::{notice, shell};

/// Addresses and names of the pages.
pub type Tabs = &'static [(&'static str, &'static str)];
pub const TABS: Tabs = &[
    ("/settings", "General"),
    ("/settings/display", "Display"),
    ("/settings/addresses", "Addresses"),
    ("/settings/aliases", "Aliases"),
    ("/settings/rules", "Rules"),
    ("/settings/vacation", "Vacation"),
    ("/settings/spam", "Spam"),
    ("/settings/forwarding", "Forwarding"),
    ("/settings/fetching", "Other accounts"),
    ("/settings/export", "Export"),
    ("/settings/security", "Security"),
    ("/settings/apps", "App passwords"),
    ("/settings/sessions", "Sign-ins"),
    ("/rewind", "Rewind"),
    ("/settings/check", "Test"),
];
pub fn surroundings(caller: &Caller, done: Option<&str>, here: &str) -> Result<Shell> {
    let mut shell = shell::build(caller, "page", None)?;
    shell.notice = notice::find(caller, done, here)?;
    Ok(shell)
}

/// Whether the password typed is the account's own; else what to say.
pub async fn confirm(caller: &Caller, password: &str) -> Result<(), Problem> {
    match caller.site.directory.confirm_password(caller.account, password, caller.peer.addr).await {
        Ok(()) => Ok(()),
        Err(AuthError::Throttled { retry_after }) => Err(Problem::TooManyAttempts(retry_after)),
        Err(AuthError::Unavailable) => Err(Problem::PasswordNotChecked),
        Err(_) => Err(Problem::WrongCurrentPassword),
    }
}

/// Tells an account by mail that its access has changed. That it could not be told undoes nothing.
pub async fn tell(site: &Site, account: AccountId, change: AccessChange, addr: IpAddr, browser: &str) {
    tell_by(site, account, change, &format!("from {addr}, {browser}")).await;
}

/// The same for what was not done at the account's own browser.
pub async fn tell_by(site: &Site, account: AccountId, change: AccessChange, how: &str) {
    if let Err(error) = site.delivery.tell_of_access(account, &change, how).await {
        tracing::warn!(%error, account = account.0, "an account was not told of a change of its access");
    }
}

pub async fn tell_self(caller: &Caller, change: AccessChange) {
    tell(&caller.site, caller.account, change, caller.peer.addr, &browser(&caller.session.agent)).await;
}

/// Asks for the password again, before something that lasts: the form that was sent waits with what was typed into it.
pub struct Ask {
    /// Where it goes.
    pub action: &'static str,
    /// What was typed.
    pub fields: Vec<(&'static str, String)>,
    /// What the button says.
    pub button: &'static str,
    /// What is wrong with the password that was typed, if one was.
    pub wrong: Wrong,
}

impl Ask {
    pub fn new(action: &'static str, button: &'static str, form: &Posted, names: &[&'static str]) -> Self {
        let fields = names.iter().map(|name| (*name, form.get(name).to_owned())).collect();
        Self { action, fields, button, wrong: Wrong::default() }
    }
}

/// Whether the password was typed in this browser within the last minutes, or with this form; otherwise what is wrong.
pub async fn fresh(caller: &Caller, form: &Posted) -> Result<Result<(), Wrong>> {
    let directory = &caller.site.directory;
    let typed = form.get("password");
    if typed.is_empty() {
        return Ok(if directory.is_confirmed(&caller.session) { Ok(()) } else { Err(Wrong::default()) });
    }
    if let Err(problem) = confirm(caller, typed).await {
        return Ok(Err(Wrong::of("ask-password", problem)));
    }
    directory.confirm_session(caller.account, caller.session.id).await?;
    Ok(Ok(()))
}

pub async fn note(caller: &Caller, what: &str) -> Result<()> {
    let peer = caller.peer.addr.to_string();
    Ok(caller.site.directory.audit(Some(caller.account), &caller.address, what, &peer).await?)
}

/// What a browser calls itself, in the words its user knows.
pub fn browser(agent: &str) -> String {
    let find = |names: &[(&'static str, &'static str)]| {
        names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    let name = find(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = find(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (name, system) {
        (Some(name), Some(system)) => format!("{name} on {system}"),
        (Some(name), None) => name.to_owned(),
        _ if agent.is_empty() => "Unknown browser".to_owned(),
        _ => agent.chars().filter(|c| !c.is_control()).take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::browser;

    #[test]
    fn browsers_go_by_the_names_people_know() {
        let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";
        assert_eq!(browser(agent), "Chrome on Linux");
        assert_eq!(browser(""), "Unknown browser");
    }
}
