//! What is shown of an account, and what is typed about one: addresses, storage limits, passwords.

use delivery::AccessChange;
use directory::{Account, AccountId, Role};

use super::frame::domain_of;
use super::signed_in;
use crate::caller::Caller;
use crate::query;
use crate::time::size;
use crate::wrong::readable;

/// An account, as lists show it.
pub struct Line {
    pub id: u32,
    /// As people read it.
    pub address: String,
    /// As mail programs write it, where that is another.
    pub ascii: String,
    pub name: String,
    pub admin: bool,
    pub disabled: bool,
    pub this: bool,
    /// Its sending is stopped; only lists look.
    pub stopped: bool,
    pub used: String,
    /// When it was last signed in to, and by what.
    pub seen: String,
    pub created: String,
}

impl Line {
    /// Its address as mail programs write it.
    pub fn ascii_or_address(&self) -> &str {
        if self.ascii.is_empty() { &self.address } else { &self.ascii }
    }
}

/// An account, with what it uses.
pub fn line(caller: &Caller, account: &Account) -> Line {
    // While it is being restored nobody knows.
    let used = caller.site.mailstore.quota(account.id.realm()).ok();
    let ascii = account.address.to_string();
    let address = readable(&ascii);
    Line {
        id: account.id.0,
        this: account.id == caller.account,
        ascii: if ascii == address { String::new() } else { ascii },
        address,
        name: account.name.clone(),
        admin: account.role == Role::Admin,
        disabled: !account.enabled,
        stopped: false,
        seen: signed_in::last(caller, account),
        created: caller.calendar().when(account.created_ms).short,
        used: used.map_or_else(String::new, |quota| match quota.limit_bytes.filter(|limit| *limit > 0) {
            Some(limit) => format!("{} of {}", size(quota.used_bytes), size(limit)),
            None => size(quota.used_bytes),
        }),
    }
}

/// An address as it was typed: the part before the @ alone is one of the domain that was chosen, else of the administrator's
/// own.
pub fn in_full(caller: &Caller, typed: &str, domain: &str) -> String {
    let typed = typed.trim();
    if typed.is_empty() || typed.contains('@') {
        return typed.to_owned();
    }
    let own = domain_of(caller);
    format!("{typed}@{}", if domain.is_empty() { &own } else { domain })
}

/// Tells the account by mail of what an administrator has changed of its access.
pub async fn tell(caller: &Caller, id: AccountId, change: AccessChange) {
    crate::settings::tell_by(&caller.site, id, change, "by an administrator").await;
}

/// Bytes as they were typed; nothing is `empty`.
pub fn quota(typed: &str, empty: u64) -> Result<u64, String> {
    match typed.replace(char::is_whitespace, "").as_str() {
        "" => Ok(empty),
        given => query::size(given).ok_or_else(|| "Write a size such as 500 MB or 5 GB.".to_owned()),
    }
}

/// A password nobody has thought of.
pub fn new_password() -> String {
    hex::encode(rand::random::<[u8; 10]>())
}
