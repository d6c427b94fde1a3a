//! Consistency rules between the directory's records.

use store::{Invariants, Order, Read as _, RealmId, Snapshot, StoreError, Violation};

use crate::{
    AccountId,
    schema::{
        self, AddressRecord, AppPasswordRecord, DomainRecord, HistoryRecord, KnownRecord, MaskRecord, PasskeyRecord,
        SessionRecord, SignInRecord, decode,
    },
};

/// Checks the directory realm: every address leads to a live account of ours and is known to it, every account has its
/// login, numbers to come are above all that were given. What is in accounts' realms is [`crate::DirectoryPart`]'s.
#[derive(Debug, Clone, Copy, Default)]
pub struct DirectoryInvariants;

impl Invariants for DirectoryInvariants {
    fn check(&self, realm: RealmId, snapshot: &Snapshot) -> Result<Vec<Violation>, StoreError> {
        if realm != RealmId::DIRECTORY {
            return Ok(Vec::new());
        }
        let mut violations = Vec::new();
        let mut say = |what: String| violations.push(Violation { realm, what });
        for row in snapshot.prefix(realm, &[schema::ADDRESS], Order::Ascending)? {
            let (key, value) = row?;
            let text = String::from_utf8_lossy(&key[1..]).into_owned();
            let Ok(record) = decode::<AddressRecord>("an address", &value) else {
                say(format!("the record of {text} can't be decoded"));
                continue;
            };
            match crate::account::record(snapshot, AccountId(record.account)) {
                Ok(Some(account)) if account.deleted_ms.is_none() => {
                    let own = AccountId(record.account).realm();
                    if snapshot.get(own, &schema::account_address_key(&text))?.is_none() {
                        say(format!("{text} leads to account {}, which does not have it", record.account));
                    }
                }
                Ok(_) => say(format!("{text} leads to account {}, which does not exist", record.account)),
                Err(error) => say(error.to_string()),
            }
            let domain = text.rsplit_once('@').map_or("", |(_, domain)| domain);
            if snapshot.get(realm, &schema::domain_key(domain))?.is_none() {
                say(format!("{text} is in a domain that does not exist here"));
            }
        }
        let next = snapshot
            .get(realm, schema::NEXT_ACCOUNT)?
            .and_then(|value| Some(u32::from_le_bytes(value[..].try_into().ok()?)))
            .unwrap_or(1);
        for row in snapshot.prefix(realm, &[schema::ACCOUNT], Order::Ascending)? {
            let (key, _) = row?;
            let number = key[1..].try_into().map_or(u32::MAX, u32::from_be_bytes);
            if number >= next {
                say(format!("account {number} is not below the next number, {next}"));
            }
            match crate::account::record(snapshot, AccountId(number)) {
                Ok(Some(account)) if account.deleted_ms.is_none() => {
                    let canonical = mailkit::EmailAddress::parse(&account.address).map(|address| address.canonical());
                    let leads = canonical.ok().and_then(|address| crate::address::lookup(snapshot, &address).ok()?);
                    if leads.is_none_or(|leads| leads.account != number) {
                        say(format!("account {number}'s login {} does not lead to it", account.address));
                    }
                }
                Ok(_) => {}
                Err(error) => say(error.to_string()),
            }
        }
        for row in snapshot.prefix(realm, &[schema::DOMAIN], Order::Ascending)? {
            let (key, value) = row?;
            if decode::<DomainRecord>("a domain", &value).is_err() {
                say(format!("the record of the domain {} can't be decoded", String::from_utf8_lossy(&key[1..])));
            }
        }
        Ok(violations)
    }
}

/// What must hold in an account's own realm: its addresses lead to it, what it logs in with can be read.
pub(crate) fn check_account(account: AccountId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
    let realm = account.realm();
    let mut violations = Vec::new();
    let mut say = |what: String| violations.push(what);
    for row in snapshot.prefix(realm, &[schema::ACCOUNT_ADDRESS], Order::Ascending)? {
        let text = String::from_utf8_lossy(&row?.0[1..]).into_owned();
        match crate::address::lookup(snapshot, &text) {
            Ok(Some(found)) if found.account == account.0 => {}
            Ok(_) => say(format!("its address {text} does not lead to it")),
            Err(error) => say(error.to_string()),
        }
    }
    if let Err(error) = crate::schema::credentials(snapshot, account) {
        say(error.to_string());
    }
    for (prefix, what) in [
        (schema::APP_PASSWORD, "an app password"),
        (schema::SESSION, "a session"),
        (schema::KNOWN_NETWORK, "a known network"),
        (schema::SIGN_IN, "a sign-in"),
        (schema::MASK, "a masked address"),
        (schema::PASSKEY, "a passkey"),
    ] {
        for row in snapshot.prefix(realm, &[prefix], Order::Ascending)? {
            let (key, value) = row?;
            let readable = match prefix {
                schema::SIGN_IN if key.len() == 1 => decode::<HistoryRecord>(what, &value).is_ok(),
                schema::SIGN_IN => decode::<SignInRecord>(what, &value).is_ok(),
                schema::MASK => decode::<MaskRecord>(what, &value).is_ok(),
                schema::PASSKEY => decode::<PasskeyRecord>(what, &value).is_ok(),
                schema::APP_PASSWORD => decode::<AppPasswordRecord>(what, &value).is_ok(),
                schema::KNOWN_NETWORK => decode::<KnownRecord>(what, &value).is_ok(),
                _ => decode::<SessionRecord>(what, &value).is_ok(),
            };
            if !readable {
                say(format!("the record of {what} can't be decoded"));
            }
        }
    }
    Ok(violations)
}
