//! Domains that mail is received for, their DKIM keys, and the DNS records to set.

use mailkit::dkim::{self, KeyKind, SigningKey};
use prost::Message as _;
use store::{Order, Read, RealmId};

use crate::{
    AccountId, Directory, DirectoryError, Keys, Result, SealError,
    schema::{self, AddressRecord, DkimRecord, DomainRecord, decode, domain_key},
    secrets,
};

const RSA_SELECTOR: &str = "hf-rsa";
const ED25519_SELECTOR: &str = "hf-ed25519";

/// A DNS record to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecord {
    /// Its full name, without the last dot.
    pub name: String,
    /// `MX`, `TXT`, `SRV`.
    pub kind: &'static str,
    /// Its value as a zone file has it.
    pub value: String,
    /// Its purpose in a few words.
    pub purpose: &'static str,
}

/// A DKIM key of a domain. Its public part is always known.
#[derive(Debug, Clone)]
pub struct DkimKey {
    kind: KeyKind,
    selector: String,
    public: Vec<u8>,
    signing: Result<SigningKey, SealError>,
}

impl DkimKey {
    fn from_record(keys: &Keys, domain: &str, record: &DkimRecord) -> Result<Self> {
        let kind = if record.kind == 1 { KeyKind::Ed25519 } else { KeyKind::Rsa2048 };
        let signing = match secrets::dkim(keys, domain, record) {
            Ok(secret) => Ok(SigningKey::from_pkcs8(kind, &record.selector, &secret.unwrap_or_default())?),
            Err(error) => Err(error),
        };
        let public = match &signing {
            Ok(key) if record.public.is_empty() => key.public_key()?,
            _ => record.public.clone(),
        };
        Ok(Self { kind, selector: record.selector.clone(), public, signing })
    }

    /// The key to sign with.
    ///
    /// # Errors
    /// It is sealed and can't be opened.
    pub fn signing(&self) -> Result<&SigningKey, SealError> {
        self.signing.as_ref().map_err(|error| *error)
    }

    /// Its selector.
    pub fn selector(&self) -> &str {
        &self.selector
    }
}

/// A domain.
#[derive(Clone)]
pub struct Domain {
    /// Its name: ASCII, lower case.
    pub name: String,
    /// Its DKIM keys.
    pub dkim: Vec<DkimKey>,
    /// When it was added, in milliseconds since 1970.
    pub created_ms: i64,
}

impl Domain {
    fn from_record(keys: &Keys, name: &str, record: &DomainRecord) -> Result<Self> {
        let dkim = record.dkim.iter().map(|key| DkimKey::from_record(keys, name, key)).collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_owned(), dkim, created_ms: record.created_ms })
    }

    /// The records that make others deliver to `hostname`, believe its signatures, and find it.
    pub fn dns_records(&self, hostname: &str) -> Vec<DnsRecord> {
        let name = &self.name;
        let record = |name: String, kind, value: String, purpose| DnsRecord { name, kind, value, purpose };
        let mut records = vec![
            record(name.clone(), "MX", format!("10 {hostname}."), "the server that receives mail for the domain"),
            record(
                name.clone(),
                "TXT",
                "\"v=spf1 mx -all\"".to_owned(),
                "the servers allowed to send mail for the domain",
            ),
        ];
        for key in &self.dkim {
            records.push(record(
                dkim::dns_name(&key.selector, name),
                "TXT",
                quoted(&dkim::dns_record(key.kind, &key.public)),
                "the public key of its DKIM signatures",
            ));
        }
        let dmarc = format!("\"v=DMARC1; p=quarantine; rua=mailto:postmaster@{name}\"");
        records.push(record(
            format!("_dmarc.{name}"),
            "TXT",
            dmarc,
            "what other servers do with mail that fails both checks",
        ));
        for (service, port) in [("_imaps", 993), ("_submissions", 465), ("_submission", 587), ("_pop3s", 995)] {
            records.push(record(
                format!("{service}._tcp.{name}"),
                "SRV",
                format!("0 1 {port} {hostname}."),
                "how mail apps find the server",
            ));
        }
        records
    }
}

/// New keys, not sealed yet.
async fn new_dkim(rsa: String, ed25519: String) -> Result<Vec<DkimRecord>> {
    let make = move || {
        [(KeyKind::Rsa2048, rsa), (KeyKind::Ed25519, ed25519)]
            .into_iter()
            .map(|(kind, selector)| {
                let key = SigningKey::generate(kind, &selector)?;
                Ok(DkimRecord {
                    kind: u32::from(kind == KeyKind::Ed25519),
                    selector,
                    pkcs8: key.to_pkcs8().to_vec(),
                    public: key.public_key()?,
                    sealed: Vec::new(),
                })
            })
            .collect()
    };
    tokio::task::spawn_blocking(make).await.map_err(|error| DirectoryError::Dkim(error.to_string()))?
}

/// The selector after those that there are: `hf-rsa`, `hf-rsa-2`, `hf-rsa-3`.
fn next_selector<'a>(base: &str, there: impl Iterator<Item = &'a str>) -> String {
    let number = |selector: &str| match selector.strip_prefix(base)? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse::<u32>().ok(),
    };
    match there.filter_map(number).max() {
        None => base.to_owned(),
        Some(last) => format!("{base}-{}", last.saturating_add(1)),
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

/// A TXT value in strings of at most 255 bytes.
fn quoted(value: &str) -> String {
    let strings: Vec<String> =
        value.as_bytes().chunks(255).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece))).collect();
    strings.join(" ")
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
        let mut dkim = new_dkim(RSA_SELECTOR.to_owned(), ED25519_SELECTOR.to_owned()).await?;
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
                let record = DomainRecord { created_ms: tx.now_ms(), dkim };
                tx.put(RealmId::DIRECTORY, key, record.encode_to_vec());
                Domain::from_record(&keys, &name, &record)
            })
            .await
    }

    /// Makes new DKIM keys for a domain, under new selectors: mail is signed with them from now on. What was signed before can
    /// be verified as long as the old DNS records stay.
    ///
    /// # Errors
    /// The domain is not ours; [`DirectoryError::NoSecretsKey`].
    pub async fn renew_dkim(&self, name: &str) -> Result<Domain> {
        let name = mailkit::address::normal_domain(name)?;
        let old = self.domain(&name)?.ok_or_else(|| DirectoryError::NoSuchDomain(name.clone()))?;
        let next = |base: &str| next_selector(base, old.dkim.iter().map(DkimKey::selector));
        let mut dkim = new_dkim(next(RSA_SELECTOR), next(ED25519_SELECTOR)).await?;
        let keys = self.keys();
        self.store()
            .transact(move |tx| {
                let key = domain_key(&name);
                let Some(value) = tx.get(RealmId::DIRECTORY, &key)? else {
                    return Err(DirectoryError::NoSuchDomain(name));
                };
                for key in &mut dkim {
                    secrets::close_dkim_in(tx, &keys, &name, key)?;
                }
                let record = DomainRecord { dkim, ..decode(&format!("the domain {name}"), &value)? };
                tx.put(RealmId::DIRECTORY, key, record.encode_to_vec());
                Domain::from_record(&keys, &name, &record)
            })
            .await
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

    /// The DNS records to set for a domain.
    ///
    /// # Errors
    /// The domain is not ours.
    pub fn dns_records(&self, name: &str) -> Result<Vec<DnsRecord>> {
        let domain = self.domain(name)?.ok_or_else(|| DirectoryError::NoSuchDomain(name.to_owned()))?;
        Ok(domain.dns_records(&self.inner.hostname))
    }
}
