//! Who acts, and on whose account.

use anyhow::Context as _;
use directory::Account;
use mailkit::EmailAddress;

use crate::{failure::Code, services::Services};

/// The actor in the audit trail.
pub(super) const WHO: &str = "command line";

/// The account with a login, once its data are there (see [`directory::Directory::restored`]).
pub(super) async fn find(services: &Services, address: &str) -> anyhow::Result<Account> {
    let parsed = EmailAddress::parse(address).with_context(|| address.to_owned())?;
    let account = services.directory.account_by_address(&parsed)?.ok_or_else(|| {
        Code::NotFound.error(format!("there is no account {address}; `holdfast account list` lists the accounts"))
    })?;
    services.directory.restored(account.id).await?;
    Ok(account)
}
