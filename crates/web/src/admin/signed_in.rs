//! Who signed in to an account, or tried to: the last time in a few words, and the list of the last two weeks.

use directory::{Account, AccountId, SIGN_INS_FOR_MS, Service, SignIn};

use crate::caller::Caller;
use crate::error::Result;
use crate::settings::said_of;
use crate::time::{Calendar, When};

/// Sign-ins on the page of an account before all of them are asked for.
pub const SHOWN: usize = 10;

/// A line of the list.
pub struct SignInLine {
    pub when: When,
    /// By which protocol, with which program.
    pub how: String,
    pub app_password: Option<String>,
    pub from: String,
    pub result: &'static str,
    /// The result, as in `holdfast account sign-ins`.
    pub code: &'static str,
    pub count: u64,
    pub new: bool,
}

impl SignInLine {
    fn of(one: SignIn, calendar: &Calendar) -> Self {
        let mut how = one.service.map_or("Several", Service::title).to_owned();
        for program in &one.programs {
            how.push_str(", ");
            how.push_str(program);
        }
        Self {
            when: calendar.when(one.last_ms),
            how,
            app_password: one.app_password,
            from: one.peer.map_or_else(|| "several networks".to_owned(), |peer| peer.to_string()),
            result: said_of(one.result),
            code: one.result.name(),
            count: one.count,
            new: one.new,
        }
    }
}

/// The last sign-ins of an account, and how many more there are.
pub fn shown(caller: &Caller, id: AccountId, all: bool) -> Result<(Vec<SignInLine>, usize)> {
    let calendar = caller.calendar();
    let mut found = caller.site.directory.sign_ins(id)?;
    let more = if all { 0 } else { found.len().saturating_sub(SHOWN) };
    found.truncate(found.len() - more);
    Ok((found.into_iter().map(|one| SignInLine::of(one, &calendar)).collect(), more))
}

/// When an account was last signed in to, and by what; empty while that is not known.
pub fn last(caller: &Caller, account: &Account) -> String {
    let (directory, calendar) = (&caller.site.directory, caller.calendar());
    match directory.last_sign_in(account.id) {
        Ok(Some(one)) => {
            let ago = calendar.ago(one.last_ms);
            one.service.map_or_else(|| ago.clone(), |service| format!("{ago}, {}", service.title()))
        }
        // A browser may stay signed in for longer than the history goes back.
        Ok(None) => match session_seen(caller, account.id) {
            Some(seen_ms) => format!("web session seen {}", calendar.ago(seen_ms)),
            None if directory.now_ms() - account.created_ms < SIGN_INS_FOR_MS => "never".to_owned(),
            None => "not for two weeks".to_owned(),
        },
        // It is being restored.
        Err(_) => String::new(),
    }
}

/// When a browser that is signed in to an account was last seen.
pub fn session_seen(caller: &Caller, id: AccountId) -> Option<i64> {
    caller.site.directory.sessions(id).ok()?.iter().map(|session| session.seen_ms).max()
}
