//! Whose an archived account is, and who that is here now.
//!
//! An account is known by its number and by when it was made, never by its address alone: that may be somebody else's
//! by now, who must not get another one's mail.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use continuity::archive::restore::Excerpt;
use directory::{
    AccountId, DirectoryError, ListedAccount, NewAccount, Role, listed, listed_accounts, listed_by_address,
};
use mailkit::EmailAddress;
use rand::RngExt as _;
use store::{Past, StoreError};

use crate::{services::Services, told::moment};

/// Addresses that are named when the one that was asked for was not there.
const NAMED: usize = 20;

/// An account then, and what becomes of it.
pub(super) struct Who {
    /// As the archive has it.
    pub(super) then: ListedAccount,
    /// Where it goes.
    pub(super) target: Target,
    /// It goes into the same account.
    pub(super) is_same: bool,
}

/// Where an account's things go.
pub(super) enum Target {
    /// Into the account that it is.
    There(ListedAccount),
    /// Into another account, which was named.
    Other(ListedAccount),
    /// Into the account that it is, which was deleted, and whose data are still here.
    Deleted(ListedAccount, i64),
    /// It is made again.
    Gone,
}

impl Target {
    /// The account, if it is there.
    pub(super) const fn id(&self) -> Option<AccountId> {
        match self {
            Self::There(account) | Self::Other(account) | Self::Deleted(account, _) => Some(account.id),
            Self::Gone => None,
        }
    }

    /// Nobody can log in to it yet.
    pub(super) const fn is_disabled(&self) -> bool {
        matches!(self, Self::Deleted(..) | Self::Gone)
    }

    pub(super) fn address<'a>(&'a self, then: &'a str) -> &'a str {
        match self {
            Self::There(account) | Self::Other(account) | Self::Deleted(account, _) => &account.address,
            Self::Gone => then,
        }
    }

    /// For programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::There(_) => "there",
            Self::Other(_) => "another",
            Self::Deleted(..) => "deleted",
            Self::Gone => "gone",
        }
    }

    pub(super) fn told(&self, then: &str, preview: bool) -> String {
        let comes = if preview { "would be restored" } else { "is restored" };
        match self {
            Self::There(account) if account.address == then => format!("it {comes} into {then}"),
            Self::There(account) => format!("it {comes} into {}, the present address of {then}", account.address),
            Self::Other(account) => format!("it {comes} into {}", account.address),
            Self::Deleted(_, deleted_ms) => format!(
                "{then} was deleted {}: it {comes} with its password and addresses, disabled",
                moment(*deleted_ms)
            ),
            Self::Gone => {
                format!("{then} no longer exists here: it {comes} as a new account, disabled and without a password")
            }
        }
    }
}

/// Finds an account in the directory of then, by the address that it had or has.
pub(super) fn find(
    services: &Services,
    then: &Excerpt,
    address: &EmailAddress,
    into: Option<&str>,
) -> anyhow::Result<Who> {
    let (records, now) = (then.records(), services.store.snapshot());
    let known_now = listed_by_address(&now, address)?;
    let mut found = listed_by_address(&records, address)?;
    if found.is_none()
        && let Some(known) = &known_now
    {
        // It was renamed since.
        found = listed(&records, known.id)?.filter(|other| other.is(known) && other.deleted_ms.is_none());
    }
    let Some(account) = found else { return Err(nobody(&records, then, address)?) };
    let same = listed(&now, account.id)?.filter(|other| other.is(&account));
    if let Some(into) = into {
        let parsed = EmailAddress::parse(into).with_context(|| into.to_owned())?;
        let other = listed_by_address(&now, &parsed)?.with_context(|| {
            format!("there is no account {into} to restore it into; `holdfast account list` lists the accounts")
        })?;
        let is_same = other.is(&account);
        return Ok(Who {
            then: account,
            target: if is_same { Target::There(other) } else { Target::Other(other) },
            is_same,
        });
    }
    match same {
        Some(same) if same.deleted_ms.is_none() => {
            Ok(Who { then: account, target: Target::There(same), is_same: true })
        }
        same => {
            let login = EmailAddress::parse(&account.address).with_context(|| account.address.clone())?;
            if let Some(other) = listed_by_address(&now, &login)? {
                bail!(
                    "{login} now belongs to another account ({}, created {}): to restore the old account's data into it, or into any \
                     other account, give --into {}",
                    other.address,
                    moment(other.created_ms),
                    other.address
                );
            }
            let deleted = same.filter(|same| !same.purged).and_then(|same| Some((same.deleted_ms?, same)));
            let is_same = deleted.is_some();
            let target = deleted.map_or(Target::Gone, |(deleted_ms, same)| Target::Deleted(same, deleted_ms));
            Ok(Who { then: account, target, is_same })
        }
    }
}

/// What is said when nobody had an address.
fn nobody(records: &store::Snapshot, then: &Excerpt, address: &EmailAddress) -> anyhow::Result<anyhow::Error> {
    let all = listed_accounts(records)?;
    let when = then.time_ms.map_or_else(|| format!("commit {}", then.seq), moment);
    let canonical = address.canonical();
    let was = all.iter().find(|one| {
        one.deleted_ms.is_some() && EmailAddress::parse(&one.address).is_ok_and(|own| own.canonical() == canonical)
    });
    if let Some(deleted_ms) = was.and_then(|was| was.deleted_ms) {
        return Ok(anyhow::anyhow!(
            "{address} was already deleted at {when}: give a time before {}",
            moment(deleted_ms)
        ));
    }
    let mut there: Vec<&str> =
        all.iter().filter(|one| one.deleted_ms.is_none()).map(|one| one.address.as_str()).collect();
    there.sort_unstable();
    let more = there.len().saturating_sub(NAMED);
    there.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let there = if there.is_empty() { "nobody".to_owned() } else { format!("{}{more}", there.join(", ")) };
    Ok(anyhow::anyhow!("there was no account {address} at {when}; existing accounts: {there}"))
}

/// Makes the account ready that things are brought into. Gives it, and the addresses that it is left without.
pub(super) async fn ready(
    services: &Arc<Services>,
    who: &Who,
    held: &Excerpt,
) -> anyhow::Result<(AccountId, Vec<String>)> {
    match &who.target {
        Target::There(account) | Target::Other(account) => {
            services.directory.restored(account.id).await?;
            Ok((account.id, Vec::new()))
        }
        Target::Deleted(account, deleted_ms) => {
            let (store, realm, moment_ms) = (services.store.clone(), account.id.realm(), deleted_ms - 1);
            let past = match tokio::task::spawn_blocking(move || store.realm_at(realm, moment_ms)).await? {
                Err(StoreError::BeforeWindow { .. }) => {
                    Past::elsewhere(services.store.snapshot(), realm, Box::new(held.records()), held.seq)
                }
                other => other?,
            };
            let taken = services.directory.bring_back_account(account.id, &past).await?;
            services.directory.set_enabled(account.id, false).await?;
            Ok((account.id, taken))
        }
        Target::Gone => {
            let address = EmailAddress::parse(&who.then.address).with_context(|| who.then.address.clone())?;
            let password: String =
                rand::rng().sample_iter(rand::distr::Alphanumeric).take(40).map(char::from).collect();
            let new = NewAccount {
                address,
                name: who.then.name.clone(),
                password,
                role: Role::User,
                quota_bytes: who.then.quota_bytes,
            };
            let id = match services.directory.create_account(new).await {
                Err(DirectoryError::NoSuchDomain(domain)) => {
                    bail!("mail for {domain} is no longer received here: run `holdfast domain add {domain}` first")
                }
                other => other?,
            };
            services.directory.set_enabled(id, false).await?;
            Ok((id, Vec::new()))
        }
    }
}
