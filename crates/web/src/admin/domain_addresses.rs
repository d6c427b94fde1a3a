//! The addresses of a domain: whose they are, and which account gets the mail to all others.

use directory::{AccountId, DirectoryError, Domain};
use mailkit::EmailAddress;

use super::entry::in_full;
use super::frame::note_of;
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;
use crate::wrong::{Wrong, readable};

/// Addresses on the page of a domain.
const SHOWN: usize = 200;

/// An address of the domain.
pub struct AddressLine {
    pub address: String,
    pub account: u32,
    /// The login of its account, if it is an alias.
    pub login: String,
}

/// What the page shows of them.
#[derive(Default)]
pub struct Addresses {
    pub lines: Vec<AddressLine>,
    /// How many are not shown.
    pub more: usize,
    /// The login of the account that gets the mail to all other addresses; empty if that is refused.
    pub catch_all: String,
    pub catch_all_account: u32,
}

fn login_of(caller: &Caller, id: AccountId) -> Result<String> {
    let account = caller.site.directory.account(id)?;
    Ok(account.map_or_else(String::new, |account| readable(&account.address.to_string())))
}

/// The addresses of a domain, logins first.
pub fn shown(caller: &Caller, domain: &Domain) -> Result<Addresses> {
    let found = caller.site.directory.domain_addresses(&domain.name)?;
    let mut addresses = Addresses::default();
    let total = found.logins.len() + found.aliases.len();
    for (address, id) in found.logins.into_iter().take(SHOWN) {
        addresses.lines.push(AddressLine { address: readable(&address), account: id.0, login: String::new() });
    }
    for (address, id) in found.aliases {
        if address.starts_with('@') {
            (addresses.catch_all, addresses.catch_all_account) = (login_of(caller, id)?, id.0);
        } else if addresses.lines.len() < SHOWN {
            let login = login_of(caller, id)?;
            addresses.lines.push(AddressLine { address: readable(&address), account: id.0, login });
        }
    }
    let catch_alls = usize::from(!addresses.catch_all.is_empty());
    addresses.more = total - catch_alls - addresses.lines.len();
    Ok(addresses)
}

/// Sets which account gets the mail to addresses that nobody has, or with an empty field that it is refused.
pub async fn set_catch_all(caller: &Caller, domain: &Domain, form: &Posted) -> Result<Result<(), Wrong>> {
    let directory = &caller.site.directory;
    let (typed, every) = (form.get("catch-all").trim(), format!("@{}", domain.name));
    let found = directory.domain_addresses(&domain.name)?;
    let before = found.aliases.into_iter().find(|(alias, _)| alias.starts_with('@')).map(|(_, id)| id);
    let wrong = |problem: String| Ok(Err(Wrong::of("catch-all", problem)));
    let new = if typed.is_empty() {
        None
    } else {
        let address = EmailAddress::parse(&in_full(caller, typed, &domain.name)).ok();
        let account = address.map(|address| directory.account_by_address(&address)).transpose()?.flatten();
        let Some(account) = account else {
            return wrong(format!("No account has the address \u{201c}{typed}\u{201d}."));
        };
        Some(account.id)
    };
    if before == new {
        return Ok(Ok(()));
    }
    let shown = readable(&domain.name);
    if let Some(id) = before {
        directory.remove_alias(id, &every).await?;
        note_of(caller, Some(id), &format!("ended the catch-all of the domain {shown}")).await?;
    }
    if let Some(id) = new {
        match directory.add_alias(id, &every).await {
            Err(error @ DirectoryError::Store(_)) => return Err(error.into()),
            Err(error) => return Ok(Err(Wrong::of("catch-all", error))),
            Ok(()) => {}
        }
        note_of(caller, Some(id), &format!("made it the catch-all of the domain {shown}")).await?;
    }
    Ok(Ok(()))
}
