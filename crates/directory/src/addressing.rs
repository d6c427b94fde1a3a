//! Addresses with a detail: `anna+lists@example.org`, and `lists@anna.example.org` where a domain wants that; and what becomes of mail to
//! masked addresses that are blocked.

use mailkit::EmailAddress;
use store::{Read, RealmId};

use crate::{
    AccountId, Directory, Result,
    address::{DETAIL_SEPARATOR, Resolved, lookup},
    schema::{DomainRecord, Settings, decode, domain_key},
};

/// What becomes of mail to a masked address that is blocked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BlockedMail {
    /// It is refused, as if the address did not exist.
    #[default]
    Refuse,
    /// It is filed in Spam.
    Spam,
    /// It is taken, and nobody sees it.
    Discard,
}

impl BlockedMail {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refuse, Self::Spam, Self::Discard];

    /// For forms and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Spam => "spam",
            Self::Discard => "discard",
        }
    }

    /// As an account's settings have it.
    pub fn of(settings: &Settings) -> Self {
        Self::ALL.into_iter().find(|one| one.number() == settings.blocked_masks).unwrap_or_default()
    }

    /// As stored.
    pub const fn number(self) -> u32 {
        match self {
            Self::Refuse => 0,
            Self::Spam => 1,
            Self::Discard => 2,
        }
    }
}

/// What the address says that mail came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Came {
    /// It is a masked address that is blocked, and its mail is taken all the same.
    pub blocked: Option<BlockedMail>,
    /// The detail, where the account wants mail filed by it.
    pub detail: Option<String>,
}

/// Where an address is looked for.
struct Ways {
    /// What it is without the subdomain.
    base: EmailAddress,
    /// Under which names, in this order.
    names: Vec<String>,
    /// What it says besides the account.
    detail: Option<String>,
}

fn domain(reader: &impl Read, name: &str) -> Result<Option<DomainRecord>> {
    let value = reader.get(RealmId::DIRECTORY, &domain_key(name))?;
    value.map(|value| decode(&format!("the domain {name}"), &value)).transpose()
}

/// `None`: the domain is not ours.
fn ways(reader: &impl Read, address: &EmailAddress) -> Result<Option<Ways>> {
    if let Some(record) = domain(reader, address.domain())? {
        let plain = address.split_detail(DETAIL_SEPARATOR).filter(|_| !record.without_plus);
        let mut names = vec![address.canonical()];
        names.extend(plain.as_ref().map(|(plain, _)| plain.canonical()));
        names.push(format!("@{}", address.domain()));
        return Ok(Some(Ways { base: address.clone(), names, detail: plain.map(|(_, detail)| detail) }));
    }
    let Some((user, parent)) = address.domain().split_once('.') else { return Ok(None) };
    if !domain(reader, parent)?.is_some_and(|record| record.subdomains) {
        return Ok(None);
    }
    let Ok(base) = EmailAddress::from_parts(user, parent) else { return Ok(None) };
    let names = vec![base.canonical()];
    Ok(Some(Ways { base, names, detail: Some(address.local().to_owned()) }))
}

impl Directory {
    /// The account of an address: the address itself, then without its detail, then the domain's catch-all.
    ///
    /// # Errors
    /// Those of the store.
    pub fn resolve(&self, address: &EmailAddress) -> Result<Resolved> {
        self.resolved(address, true)
    }

    /// The same; without `blocked` nobody has a masked address that is blocked.
    pub(crate) fn resolved(&self, address: &EmailAddress, blocked: bool) -> Result<Resolved> {
        let snapshot = self.store().snapshot();
        let Some(ways) = ways(&snapshot, address)? else { return Ok(Resolved::NoSuchDomain) };
        for canonical in &ways.names {
            if let Some(found) = lookup(&snapshot, canonical)? {
                let account = AccountId(found.account);
                // A masked address that was deleted has no other owner, and a catch-all is one.
                let is_elsewhere = canonical.starts_with('@') && self.is_mask_of_other(&ways.base.canonical(), None)?;
                let is_refused =
                    found.blocked && (!blocked || BlockedMail::of(&self.settings(account)?) == BlockedMail::Refuse);
                if is_refused || is_elsewhere {
                    return Ok(Resolved::NoSuchAddress);
                }
                return Ok(Resolved::Account(account));
            }
        }
        Ok(Resolved::NoSuchAddress)
    }

    /// What an address says that mail for an account came to.
    ///
    /// # Errors
    /// Those of the store.
    pub fn came(&self, account: AccountId, address: &EmailAddress) -> Result<Came> {
        let snapshot = self.store().snapshot();
        let Some(ways) = ways(&snapshot, address)? else { return Ok(Came::default()) };
        for (at, canonical) in ways.names.iter().enumerate() {
            let Some(found) = lookup(&snapshot, canonical)? else { continue };
            if found.account != account.0 {
                break;
            }
            let settings = self.settings(account)?;
            let blocked = Some(BlockedMail::of(&settings)).filter(|one| found.blocked && *one != BlockedMail::Refuse);
            // An address that is the account's as it stands has no detail, and a catch-all's has none that it chose.
            let is_plain = at == 0 && ways.names.len() > 1;
            let detail = ways.detail.filter(|_| settings.files_by_detail && !is_plain && !canonical.starts_with('@'));
            return Ok(Came { blocked, detail: detail.filter(|detail| !detail.is_empty()) });
        }
        Ok(Came::default())
    }

    /// Says which addresses with a detail a domain has: `user+detail@domain`, `detail@user.domain`. `None` leaves it as it is.
    ///
    /// # Errors
    /// The domain is not ours.
    pub async fn set_addressing(
        &self,
        name: &str,
        plus: Option<bool>,
        subdomains: Option<bool>,
    ) -> Result<crate::Domain> {
        let set = move |_: &mut store::Tx<'_>, _: &crate::Keys, _: &str, record: &mut DomainRecord| {
            record.without_plus = plus.map_or(record.without_plus, |plus| !plus);
            record.subdomains = subdomains.unwrap_or(record.subdomains);
            Ok(())
        };
        Ok(self.change_domain(name, set).await?.0)
    }
}
