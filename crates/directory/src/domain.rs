//! Domains that mail is received for.

use prost::Message as _;
use store::{Order, Read, RealmId};

use crate::{
    AccountId, Directory, DirectoryError, Keys, Result,
    dkim::{self, DkimKey},
    schema::{self, AddressRecord, DomainRecord, decode, domain_key},
    secrets,
};

/// A domain.
#[derive(Clone)]
pub struct Domain {
    /// Its name: ASCII, lower case.
    pub name: String,
    /// The DKIM keys that mail is signed with now, RSA first.
    pub dkim: Vec<DkimKey>,
    /// All its DKIM keys: also new ones that wait for their DNS record, and retired ones.
    pub all_dkim: Vec<DkimKey>,
    /// What other servers are told about TLS to this service (MTA-STS).
    pub mta_sts: MtaSts,
    /// `user+detail@domain` is `user@domain`.
    pub plus: bool,
    /// `detail@user.domain` is `user@domain`.
    pub subdomains: bool,
    /// When it was added, in milliseconds since 1970.
    pub created_ms: i64,
}

impl Domain {
    pub(crate) fn from_record(keys: &Keys, name: &str, record: &DomainRecord) -> Result<Self> {
        let all_dkim =
            record.dkim.iter().map(|key| DkimKey::from_record(keys, name, key)).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            name: name.to_owned(),
            dkim: dkim::signing(&all_dkim),
            all_dkim,
            mta_sts: MtaSts::from_number(record.mta_sts),
            plus: !record.without_plus,
            subdomains: record.subdomains,
            created_ms: record.created_ms,
        })
    }
}

fn addresses_in_domain(reader: &impl Read, name: &str) -> Result<DomainAddresses> {
    let of_it = format!("@{name}");
    let mut found = DomainAddresses::default();
    for row in reader.prefix(RealmId::DIRECTORY, &[schema::ADDRESS], Order::Ascending)? {
        let (key, value) = row?;
        let address = String::from_utf8_lossy(&key[1..]).into_owned();
        if !address.ends_with(&of_it) {
            continue;
        }
        let record: AddressRecord = decode(&format!("the address {address}"), &value)?;
        let place = if record.alias { &mut found.aliases } else { &mut found.logins };
        place.push((address, AccountId(record.account)));
    }
    Ok(found)
}

/// Whether other servers could deliver to a domain of that name: no single word such as `localhost`, and no IP address.
fn is_public(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    name.contains('.') && !name.starts_with('[') && !last.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a domain of that name could be added, as far as the name tells.
///
/// # Errors
/// Those of [`Directory::add_domain`] about the name.
pub fn check_domain(name: &str) -> Result<()> {
    let normal = mailkit::address::normal_domain(name)?;
    if is_public(&normal) { Ok(()) } else { Err(DirectoryError::NotPublic(normal)) }
}

/// What other servers are told about TLS when they deliver to a domain (RFC 8461).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MtaSts {
    /// Deliver all the same where TLS fails, and report it.
    #[default]
    Testing,
    /// Deliver by TLS with a valid certificate or not at all.
    Enforce,
    /// There is no policy (any more).
    None,
}

impl MtaSts {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Testing, Self::Enforce, Self::None];

    /// As policies have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Testing => "testing",
            Self::Enforce => "enforce",
            Self::None => "none",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Enforce,
            2 => Self::None,
            _ => Self::Testing,
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Testing => 0,
            Self::Enforce => 1,
            Self::None => 2,
        }
    }
}

/// The addresses of a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainAddresses {
    /// Those that accounts log in with, with the account.
    pub logins: Vec<(String, AccountId)>,
    /// The others, and the catch-all as `@domain`.
    pub aliases: Vec<(String, AccountId)>,
}

impl Directory {
    /// Adds a domain and makes its keys.
    ///
    /// # Errors
    /// The domain exists, its name is malformed, or it is one that no mail can come to ([`DirectoryError::NotPublic`]).
    pub async fn add_domain(&self, name: &str) -> Result<Domain> {
        let normal = mailkit::address::normal_domain(name)?;
        if !is_public(&normal) {
            return Err(DirectoryError::NotPublic(normal));
        }
        self.make_domain(normal).await
    }

    /// The same for an operator at the command line, who may add one that is known on this network only. Gives also
    /// whether it is such a one.
    ///
    /// # Errors
    /// The domain exists, or its name is malformed.
    pub async fn add_domain_as_operator(&self, name: &str) -> Result<(Domain, bool)> {
        let normal = mailkit::address::normal_domain(name)?;
        let is_local = !is_public(&normal);
        Ok((self.make_domain(normal).await?, is_local))
    }

    async fn make_domain(&self, name: String) -> Result<Domain> {
        let mut dkim = dkim::new_keys([]).await?;
        let keys = self.keys();
        self.store()
            .transact(move |tx| {
                let key = domain_key(&name);
                if tx.get(RealmId::DIRECTORY, &key)?.is_some() {
                    return Err(DirectoryError::DomainTaken(name));
                }
                for key in &mut dkim {
                    secrets::close_dkim_in(tx, &keys, &name, key)?;
                }
                let now_ms = tx.now_ms();
                for key in &mut dkim {
                    (key.created_ms, key.since_ms) = (now_ms, now_ms);
                }
                let record = DomainRecord { created_ms: now_ms, dkim, ..DomainRecord::default() };
                tx.put(RealmId::DIRECTORY, key, record.encode_to_vec());
                Domain::from_record(&keys, &name, &record)
            })
            .await
    }

    /// Changes a domain's record by `change`, which gives what it found; the record is written only if it is changed.
    pub(crate) async fn change_domain<T: Send + 'static>(
        &self,
        name: &str,
        change: impl FnOnce(&mut store::Tx<'_>, &Keys, &str, &mut DomainRecord) -> Result<T> + Send + 'static,
    ) -> Result<(Domain, T)> {
        let name = mailkit::address::normal_domain(name)?;
        let keys = self.keys();
        self.store()
            .transact(move |tx| {
                let key = domain_key(&name);
                let Some(value) = tx.get(RealmId::DIRECTORY, &key)? else {
                    return Err(DirectoryError::NoSuchDomain(name));
                };
                let before: DomainRecord = decode(&format!("the domain {name}"), &value)?;
                let mut record = before.clone();
                let found = change(tx, &keys, &name, &mut record)?;
                if record != before {
                    tx.put(RealmId::DIRECTORY, key, record.encode_to_vec());
                }
                Ok((Domain::from_record(&keys, &name, &record)?, found))
            })
            .await
    }

    /// What other servers are told about TLS when they deliver to a domain; `None` of a domain that is not ours. Opens no keys.
    ///
    /// # Errors
    /// Those of the store.
    pub fn mta_sts_of(&self, name: &str) -> Result<Option<MtaSts>> {
        let Ok(name) = mailkit::address::normal_domain(name) else { return Ok(None) };
        let value = self.store().snapshot().get(RealmId::DIRECTORY, &domain_key(&name))?;
        let mode = |value: &[u8]| {
            let record: DomainRecord = decode(&format!("the domain {name}"), value)?;
            Ok(MtaSts::from_number(record.mta_sts))
        };
        value.map(|value| mode(&value)).transpose()
    }

    /// Sets what other servers are told about TLS when they deliver to a domain.
    ///
    /// # Errors
    /// The domain is not ours.
    pub async fn set_mta_sts(&self, name: &str, mode: MtaSts) -> Result<Domain> {
        let set = move |_: &mut store::Tx<'_>, _: &Keys, _: &str, record: &mut DomainRecord| {
            record.mta_sts = mode.number();
            Ok(())
        };
        Ok(self.change_domain(name, set).await?.0)
    }

    /// Removes a domain and its keys.
    ///
    /// # Errors
    /// The domain is not ours, or addresses of it are left.
    pub async fn remove_domain(&self, name: &str) -> Result<()> {
        self.take_domain(name, false).await
    }

    /// Removes a domain with its keys, its aliases and its catch-all, in one commit.
    ///
    /// # Errors
    /// The domain is not ours, or accounts log in with addresses of it.
    pub async fn remove_domain_with_aliases(&self, name: &str) -> Result<()> {
        self.take_domain(name, true).await
    }

    async fn take_domain(&self, name: &str, with_aliases: bool) -> Result<()> {
        let name = mailkit::address::normal_domain(name)?;
        self.store()
            .transact(move |tx| {
                if tx.get(RealmId::DIRECTORY, &domain_key(&name))?.is_none() {
                    return Err(DirectoryError::NoSuchDomain(name));
                }
                let DomainAddresses { logins, aliases } = addresses_in_domain(tx, &name)?;
                let mut staying = logins.into_iter().chain(aliases.iter().filter(|_| !with_aliases).cloned());
                if let Some((address, _)) = staying.next() {
                    return Err(DirectoryError::DomainInUse { domain: name, address });
                }
                for (alias, account) in aliases {
                    crate::address::delete_in(tx, account, &alias);
                }
                tx.delete(RealmId::DIRECTORY, domain_key(&name));
                Ok(())
            })
            .await
    }

    /// All addresses of a domain.
    ///
    /// # Errors
    /// Those of the store.
    pub fn domain_addresses(&self, name: &str) -> Result<DomainAddresses> {
        addresses_in_domain(&self.store().snapshot(), &mailkit::address::normal_domain(name)?)
    }

    /// The domain, where there is only one.
    pub(crate) fn only_domain(&self) -> Result<Option<String>> {
        let snapshot = self.store().snapshot();
        let mut rows = snapshot.prefix(RealmId::DIRECTORY, &[schema::DOMAIN], Order::Ascending)?;
        let Some((key, _)) = rows.next().transpose()? else { return Ok(None) };
        let only = rows.next().is_none();
        Ok(only.then(|| String::from_utf8_lossy(&key[1..]).into_owned()))
    }

    /// A domain, if it is one of ours.
    ///
    /// # Errors
    /// Those of the store.
    pub fn domain(&self, name: &str) -> Result<Option<Domain>> {
        let Ok(name) = mailkit::address::normal_domain(name) else { return Ok(None) };
        let value = self.store().snapshot().get(RealmId::DIRECTORY, &domain_key(&name))?;
        let read =
            |value: &[u8]| Domain::from_record(&self.keys(), &name, &decode(&format!("the domain {name}"), value)?);
        value.map(|value| read(&value)).transpose()
    }

    /// All domains, by name.
    ///
    /// # Errors
    /// Those of the store.
    pub fn domains(&self) -> Result<Vec<Domain>> {
        let (snapshot, keys) = (self.store().snapshot(), self.keys());
        snapshot
            .prefix(RealmId::DIRECTORY, &[schema::DOMAIN], Order::Ascending)?
            .map(|row| {
                let (key, value) = row?;
                let name = String::from_utf8_lossy(&key[1..]).into_owned();
                Domain::from_record(&keys, &name, &decode(&format!("the domain {name}"), &value)?)
            })
            .collect()
    }
}
