//! The records in the directory: the account at each authority, the certificate of each group, the order that is under way.

use std::collections::BTreeMap;

use directory::{Directory, ServiceChange, ServiceEntry};
use doorkit::Presented;
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{state::State, trouble::Trouble};

const ACCOUNT: &str = "acme/account/";
const CERTIFICATE: &str = "acme/certificate/";
const ORDER: &str = "acme/order/";

/// Reads and writes them. Cheap to clone.
#[derive(Clone)]
pub struct Keep {
    directory: Directory,
}

/// What is kept of a group.
pub struct Kept {
    /// The group's id.
    pub group: String,
    pub state: State,
    /// The certificate with its key; an error when there is one that can't be presented.
    pub presented: Result<Option<Presented>, String>,
}

/// An order that was begun. Its key is made with it, so that a service that was killed goes on with the same.
#[derive(Serialize, Deserialize)]
pub struct Begun {
    /// Where the authority has it.
    pub url: String,
    /// What was ordered.
    pub names: Vec<String>,
    /// The authority.
    pub authority: String,
    /// The private key, PEM.
    #[serde(skip)]
    pub key: Zeroizing<String>,
}

fn own(error: &impl std::fmt::Display) -> Trouble {
    Trouble::Own(error.to_string())
}

fn text(entry: &ServiceEntry) -> Result<Zeroizing<String>, Trouble> {
    let secret = entry.secret.as_ref().map_err(own)?;
    std::str::from_utf8(secret)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| Trouble::Own(format!("the stored {} is damaged", entry.name)))
}

impl Keep {
    pub const fn new(directory: Directory) -> Self {
        Self { directory }
    }

    fn one(&self, name: &str) -> Result<Option<ServiceEntry>, Trouble> {
        Ok(self.directory.service_records(name)?.into_iter().find(|entry| entry.name == name))
    }

    /// The account at an authority.
    pub fn account(&self, authority: &str) -> Result<Option<AccountCredentials>, Trouble> {
        let Some(entry) = self.one(&format!("{ACCOUNT}{authority}"))? else { return Ok(None) };
        serde_json::from_str(&text(&entry)?)
            .map(Some)
            .map_err(|_| Trouble::Own("the stored account is damaged".to_owned()))
    }

    pub async fn put_account(&self, authority: &str, account: &AccountCredentials) -> Result<(), Trouble> {
        let secret = Zeroizing::new(serde_json::to_vec(account).map_err(|error| own(&error))?);
        let name = format!("{ACCOUNT}{authority}");
        Ok(self.directory.change_service_records(vec![ServiceChange::Put { name, open: Vec::new(), secret }]).await?)
    }

    /// The authority doesn't know the account any more.
    pub async fn forget_account(&self, authority: &str) -> Result<(), Trouble> {
        Ok(self.directory.change_service_records(vec![ServiceChange::Remove(format!("{ACCOUNT}{authority}"))]).await?)
    }

    /// Everything that is kept of groups.
    pub fn all(&self) -> Result<BTreeMap<String, Kept>, Trouble> {
        let mut all = BTreeMap::new();
        for entry in self.directory.service_records(CERTIFICATE)? {
            let group = entry.name[CERTIFICATE.len()..].to_owned();
            // A record that makes no sense is as good as none: a new certificate takes its place.
            let state: State = serde_json::from_slice(&entry.open).unwrap_or_default();
            let presented = if state.chain.is_empty() {
                Ok(None)
            } else {
                let key = text(&entry).map_err(|error| error.to_string());
                key.and_then(|key| {
                    Presented::from_pem(state.chain.as_bytes(), key.as_bytes())
                        .map(Some)
                        .map_err(|error| error.to_string())
                })
            };
            all.insert(group.clone(), Kept { group, state, presented });
        }
        Ok(all)
    }

    /// Keeps a group's state; its key stays as it is.
    pub async fn put_state(&self, group: &str, state: &State) -> Result<(), Trouble> {
        let open = serde_json::to_vec(state).map_err(|error| own(&error))?;
        let change = ServiceChange::PutOpen { name: format!("{CERTIFICATE}{group}"), open };
        Ok(self.directory.change_service_records(vec![change]).await?)
    }

    /// Keeps a new certificate with its key. In the same commit the order ends.
    pub async fn put_certificate(&self, group: &str, state: &State, key: &Zeroizing<String>) -> Result<(), Trouble> {
        let open = serde_json::to_vec(state).map_err(|error| own(&error))?;
        let secret = Zeroizing::new(key.as_bytes().to_vec());
        let put = ServiceChange::Put { name: format!("{CERTIFICATE}{group}"), open, secret };
        let end = ServiceChange::Remove(format!("{ORDER}{group}"));
        Ok(self.directory.change_service_records(vec![put, end]).await?)
    }

    /// Forgets a group that is not wanted any more.
    pub async fn remove(&self, group: &str) -> Result<(), Trouble> {
        let gone = [CERTIFICATE, ORDER].map(|kind| ServiceChange::Remove(format!("{kind}{group}")));
        Ok(self.directory.change_service_records(gone.into()).await?)
    }

    /// The order that is under way for a group. One that can't be read is none.
    pub fn order(&self, group: &str) -> Result<Option<Begun>, Trouble> {
        let Some(entry) = self.one(&format!("{ORDER}{group}"))? else { return Ok(None) };
        let (Ok(begun), Ok(key)) = (serde_json::from_slice::<Begun>(&entry.open), text(&entry)) else {
            return Ok(None);
        };
        Ok(Some(Begun { key, ..begun }))
    }

    pub async fn put_order(&self, group: &str, begun: &Begun) -> Result<(), Trouble> {
        let open = serde_json::to_vec(begun).map_err(|error| own(&error))?;
        let secret = Zeroizing::new(begun.key.as_bytes().to_vec());
        let put = ServiceChange::Put { name: format!("{ORDER}{group}"), open, secret };
        Ok(self.directory.change_service_records(vec![put]).await?)
    }

    pub async fn end_order(&self, group: &str) -> Result<(), Trouble> {
        Ok(self.directory.change_service_records(vec![ServiceChange::Remove(format!("{ORDER}{group}"))]).await?)
    }
}
