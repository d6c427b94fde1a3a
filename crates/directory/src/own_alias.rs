//! Aliases that people make themselves, as many as the administrator allows.

use mailkit::EmailAddress;
use store::RealmId;

use crate::{
    AccountId, Directory, DirectoryError, Result,
    address::{self, DETAIL_SEPARATOR},
    schema::{self, AddressRecord, OF_OWNER, domain_key},
};

/// How many addresses people may make themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnAddresses {
    /// Aliases. Default 0.
    pub aliases: usize,
    /// Masked addresses. Default 100.
    pub masked: usize,
}

impl Default for OwnAddresses {
    fn default() -> Self {
        Self { aliases: 0, masked: 100 }
    }
}

/// Characters before the `@` that an alias of one's own needs.
const MIN_LOCAL_CHARS: usize = 3;

/// What others take for the administrator, a service or a role (RFC 2142 and what certificate authorities write to): for
/// administrators to give.
const RESERVED: [&str; 41] = [
    "abuse",
    "accounting",
    "accounts",
    "admin",
    "administrator",
    "billing",
    "bounce",
    "bounces",
    "ceo",
    "cert",
    "contact",
    "daemon",
    "dmarc",
    "ftp",
    "help",
    "helpdesk",
    "hostmaster",
    "hr",
    "info",
    "it",
    "mail",
    "mailer-daemon",
    "marketing",
    "news",
    "no-reply",
    "noc",
    "noreply",
    "office",
    "postmaster",
    "privacy",
    "root",
    "sales",
    "security",
    "ssladmin",
    "sslwebmaster",
    "staff",
    "support",
    "sysadmin",
    "usenet",
    "webmaster",
    "www",
];

fn is_reserved(local: &str) -> bool {
    let plain: String = local.chars().filter(|c| !matches!(c, '.' | '_')).flat_map(char::to_lowercase).collect();
    RESERVED.iter().any(|reserved| plain == *reserved || plain == reserved.replace('-', ""))
}

impl Directory {
    /// How many addresses people may make themselves.
    pub fn own_addresses(&self) -> OwnAddresses {
        self.inner.own_addresses
    }

    /// The aliases that an account's owner has made.
    ///
    /// # Errors
    /// Those of the store.
    pub fn own_aliases(&self, id: AccountId) -> Result<Vec<String>> {
        let records = address::records_in(&self.store().snapshot(), id)?;
        Ok(records.into_iter().filter(|(_, record)| record.origin == OF_OWNER).map(|(address, _)| address).collect())
    }

    /// Adds an alias for its owner, in a domain in which the account has an address.
    ///
    /// # Errors
    /// It is malformed, in use, or not for people to take; or the account has as many as it may.
    pub async fn add_own_alias(&self, id: AccountId, alias: &str) -> Result<()> {
        let parsed = EmailAddress::parse(alias)?;
        parsed.check_own()?;
        let (canonical, domain) = (parsed.canonical(), parsed.domain().to_owned());
        let local = parsed.local();
        // With a detail it would take mail away from whom the address without it belongs to.
        if local.contains(DETAIL_SEPARATOR) || local.chars().count() < MIN_LOCAL_CHARS || is_reserved(local) {
            return Err(DirectoryError::Reserved(canonical));
        }
        if self.is_mask_of_other(&canonical, None)? {
            return Err(DirectoryError::AddressTaken(canonical));
        }
        let limit = self.inner.own_addresses.aliases;
        self.store()
            .transact(move |tx| {
                address::live_in(tx, id)?;
                let records = address::records_in(tx, id)?;
                let is_own =
                    records.iter().any(|(address, _)| address.rsplit_once('@').is_some_and(|(_, own)| own == domain));
                if !is_own || store::Read::get(tx, RealmId::DIRECTORY, &domain_key(&domain))?.is_none() {
                    return Err(DirectoryError::NoSuchDomain(domain));
                }
                if address::lookup(tx, &canonical)?.is_some() {
                    return Err(DirectoryError::AddressTaken(canonical));
                }
                if records.iter().filter(|(_, record)| record.origin == OF_OWNER).count() >= limit {
                    return Err(DirectoryError::TooMany { what: "aliases of your own", limit });
                }
                if address::count_in(tx, id)? >= address::MAX_ADDRESSES {
                    return Err(DirectoryError::TooMany { what: "addresses", limit: address::MAX_ADDRESSES });
                }
                let record = AddressRecord { account: id.0, alias: true, origin: schema::OF_OWNER, blocked: false };
                address::put_record_in(tx, &canonical, record);
                Ok(())
            })
            .await
    }

    /// Removes an alias that its owner has made.
    ///
    /// # Errors
    /// It is not one of those.
    pub async fn remove_own_alias(&self, id: AccountId, alias: &str) -> Result<()> {
        let canonical = EmailAddress::parse(alias)?.canonical();
        self.store()
            .transact(move |tx| match address::lookup(tx, &canonical)? {
                Some(record) if record.account == id.0 && record.origin == OF_OWNER => {
                    address::delete_in(tx, id, &canonical);
                    Ok(())
                }
                _ => Err(DirectoryError::NoSuchAccount(canonical)),
            })
            .await
    }
}
