//! DKIM keys of domains: made in pairs (RSA and Ed25519), used once their record is in the DNS, retired when newer ones are in use.
//!
//! A key waits, is in use, or is retired. What the DNS says of each key's record is told by [`Directory::dkim_seen`], which
//! takes the next step; it asks nobody itself.

use mailkit::dkim::{self, KeyKind, SigningKey};

use crate::{
    Directory, DirectoryError, Domain, Keys, Result, SealError,
    schema::{DkimRecord, DomainRecord},
    secrets,
};

const RSA_SELECTOR: &str = "hf-rsa";
const ED25519_SELECTOR: &str = "hf-ed25519";
/// A retired key's record stays in the DNS for so long: mail that was signed with it is still under way.
const RETIRED_MS: i64 = 7 * 86_400_000;

/// What a DKIM key is for at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DkimState {
    /// Mail is signed with it.
    InUse,
    /// Mail will be signed with it once its record is in the DNS.
    Waiting,
    /// A newer one took its place; what was signed with it can still be verified while its record is in the DNS.
    Retired,
}

/// What the DNS said of a key's record. A DNS that gave no answer has said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DkimSeen {
    /// It is there, and right.
    There,
    /// It is not there, or not right.
    Missing,
}

/// What changed because of what the DNS said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DkimTurn {
    /// Mail is signed with the key of this selector from now on.
    Began(String),
    /// The retired key of this selector is forgotten: its record is gone.
    Forgot(String),
}

/// A DKIM key of a domain. Its public part is always known.
#[derive(Debug, Clone)]
pub struct DkimKey {
    kind: KeyKind,
    selector: String,
    public: Vec<u8>,
    signing: Result<SigningKey, SealError>,
    state: DkimState,
    created_ms: i64,
    since_ms: i64,
    seen: Option<DkimSeen>,
    was_there: bool,
}

impl DkimKey {
    pub(crate) fn from_record(keys: &Keys, domain: &str, record: &DkimRecord) -> Result<Self> {
        let kind = kind_of(record);
        let signing = match secrets::dkim(keys, domain, record) {
            Ok(secret) => Ok(SigningKey::from_pkcs8(kind, &record.selector, &secret.unwrap_or_default())?),
            Err(error) => Err(error),
        };
        let public = match &signing {
            Ok(key) if record.public.is_empty() => key.public_key()?,
            _ => record.public.clone(),
        };
        Ok(Self {
            kind,
            selector: record.selector.clone(),
            public,
            signing,
            state: state_of(record),
            created_ms: record.created_ms,
            since_ms: record.since_ms,
            seen: seen_of(record),
            was_there: matches!(record.dns, 1 | 3),
        })
    }

    /// The key to sign with.
    ///
    /// # Errors
    /// It is sealed and can't be opened.
    pub fn signing(&self) -> Result<&SigningKey, SealError> {
        self.signing.as_ref().map_err(|error| *error)
    }

    /// Its kind.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Its selector.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// What it is for at the moment.
    pub const fn state(&self) -> DkimState {
        self.state
    }

    /// When it was made, in milliseconds since 1970; `None` of keys of older versions.
    pub fn created_ms(&self) -> Option<i64> {
        Some(self.created_ms).filter(|at| *at != 0)
    }

    /// Since when it is in this state, in milliseconds since 1970.
    pub const fn since_ms(&self) -> i64 {
        self.since_ms
    }

    /// What the DNS said of it last.
    pub const fn seen(&self) -> Option<DkimSeen> {
        self.seen
    }

    /// Whether the DNS has ever had its record.
    pub const fn was_there(&self) -> bool {
        self.was_there
    }

    /// The name of its DNS record.
    pub fn dns_name(&self, domain: &str) -> String {
        dkim::dns_name(&self.selector, domain)
    }

    /// The text of its DNS record, in one piece.
    pub fn dns_record(&self) -> String {
        dkim::dns_record(self.kind, &self.public)
    }

    /// When the DNS record of a retired key may go, in milliseconds since 1970.
    pub fn removable_ms(&self) -> Option<i64> {
        (self.state == DkimState::Retired).then(|| self.since_ms.saturating_add(RETIRED_MS))
    }
}

const fn kind_of(record: &DkimRecord) -> KeyKind {
    if record.kind == 1 { KeyKind::Ed25519 } else { KeyKind::Rsa2048 }
}

const fn state_of(record: &DkimRecord) -> DkimState {
    match record.state {
        1 => DkimState::Waiting,
        2 => DkimState::Retired,
        _ => DkimState::InUse,
    }
}

const fn seen_of(record: &DkimRecord) -> Option<DkimSeen> {
    match record.dns {
        1 => Some(DkimSeen::There),
        2 | 3 => Some(DkimSeen::Missing),
        _ => None,
    }
}

/// The keys to sign with: of each kind the one in use. If its record is not in the DNS and that of a retired one still is, then
/// that one, the last to be retired.
pub(crate) fn signing(all: &[DkimKey]) -> Vec<DkimKey> {
    let of_kind = |kind: KeyKind| {
        let of_it = || all.iter().filter(move |key| key.kind == kind);
        let in_use = of_it().find(|key| key.state == DkimState::InUse);
        if in_use.is_some_and(|key| key.seen != Some(DkimSeen::Missing)) {
            return in_use;
        }
        let usable = |key: &&DkimKey| {
            key.state == DkimState::Retired && key.seen == Some(DkimSeen::There) && key.signing.is_ok()
        };
        of_it().filter(usable).max_by_key(|key| key.since_ms).or(in_use)
    };
    [KeyKind::Rsa2048, KeyKind::Ed25519].into_iter().filter_map(of_kind).cloned().collect()
}

/// A new pair of keys, not sealed yet, under selectors that come after those that are `taken`.
pub(crate) async fn new_keys<'a>(taken: impl IntoIterator<Item = &'a str> + Clone) -> Result<Vec<DkimRecord>> {
    let rsa = next_selector(RSA_SELECTOR, taken.clone());
    let ed25519 = next_selector(ED25519_SELECTOR, taken);
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
                    ..DkimRecord::default()
                })
            })
            .collect()
    };
    tokio::task::spawn_blocking(make).await.map_err(|error| DirectoryError::Dkim(error.to_string()))?
}

/// The selector after those that there are: `hf-rsa`, `hf-rsa-2`, `hf-rsa-3`.
fn next_selector<'a>(base: &str, there: impl IntoIterator<Item = &'a str>) -> String {
    let number = |selector: &str| match selector.strip_prefix(base)? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse::<u32>().ok(),
    };
    match there.into_iter().filter_map(number).max() {
        None => base.to_owned(),
        Some(last) => format!("{base}-{}", last.saturating_add(1)),
    }
}

/// Takes note of what the DNS said, and takes the step that follows.
fn advance(keys: &mut Vec<DkimRecord>, seen: &[(String, DkimSeen)], now_ms: i64) -> Vec<DkimTurn> {
    for (selector, seen) in seen {
        for key in keys.iter_mut().filter(|key| key.selector == *selector) {
            key.dns = match (seen, key.dns) {
                (DkimSeen::There, _) => 1,
                (DkimSeen::Missing, 1 | 3) => 3,
                (DkimSeen::Missing, _) => 2,
            };
        }
    }
    let mut turns = Vec::new();
    for kind in [0, 1] {
        let is_seen = |key: &DkimRecord| key.kind == kind && key.state == 1 && key.dns == 1;
        // The newest: an older one that also waits is not needed any more.
        let Some(next) = keys.iter().rposition(is_seen) else { continue };
        for (at, key) in keys.iter_mut().enumerate().filter(|(_, key)| key.kind == kind) {
            if at == next {
                (key.state, key.since_ms) = (0, now_ms);
                turns.push(DkimTurn::Began(key.selector.clone()));
            } else if key.state == 0 || (key.state == 1 && at < next) {
                (key.state, key.since_ms) = (2, now_ms);
            }
        }
    }
    keys.retain(|key| {
        let over = key.state == 2 && matches!(key.dns, 2 | 3) && now_ms.saturating_sub(key.since_ms) >= RETIRED_MS;
        if over {
            turns.push(DkimTurn::Forgot(key.selector.clone()));
        }
        !over
    });
    turns
}

impl Directory {
    /// Makes new DKIM keys for a domain, under new selectors: mail is signed with them from now on. What was signed before can
    /// be verified as long as the old DNS records stay.
    ///
    /// # Errors
    /// The domain is not ours; [`DirectoryError::NoSecretsKey`].
    pub async fn renew_dkim(&self, name: &str) -> Result<Domain> {
        let mut fresh = self.fresh_dkim(name).await?;
        let replace = move |tx: &mut store::Tx<'_>, keys: &Keys, name: &str, record: &mut DomainRecord| {
            let now_ms = tx.now_ms();
            for key in &mut fresh {
                secrets::close_dkim_in(tx, keys, name, key)?;
                (key.created_ms, key.since_ms) = (now_ms, now_ms);
            }
            record.dkim = fresh;
            Ok(())
        };
        Ok(self.change_domain(name, replace).await?.0)
    }

    /// Makes new DKIM keys that wait for their DNS records: mail is signed with the present ones until [`Self::dkim_seen`] is
    /// told that the new records are there. Keys that wait already are replaced.
    ///
    /// # Errors
    /// Those of [`Self::renew_dkim`].
    pub async fn prepare_dkim(&self, name: &str) -> Result<Domain> {
        let mut fresh = self.fresh_dkim(name).await?;
        let add = move |tx: &mut store::Tx<'_>, keys: &Keys, name: &str, record: &mut DomainRecord| {
            let now_ms = tx.now_ms();
            for key in &mut fresh {
                secrets::close_dkim_in(tx, keys, name, key)?;
                (key.state, key.created_ms, key.since_ms) = (1, now_ms, now_ms);
            }
            record.dkim.retain(|key| key.state != 1);
            record.dkim.extend(fresh);
            Ok(())
        };
        Ok(self.change_domain(name, add).await?.0)
    }

    /// Takes note of what the DNS said of a domain's DKIM records, by selector. A new key whose record is there is used from now
    /// on, and the one before is retired; a retired one whose record is gone after a week is forgotten.
    ///
    /// # Errors
    /// The domain is not ours.
    pub async fn dkim_seen(&self, name: &str, seen: Vec<(String, DkimSeen)>) -> Result<Vec<DkimTurn>> {
        let step = move |tx: &mut store::Tx<'_>, _: &Keys, _: &str, record: &mut DomainRecord| {
            Ok(advance(&mut record.dkim, &seen, tx.now_ms()))
        };
        Ok(self.change_domain(name, step).await?.1)
    }

    async fn fresh_dkim(&self, name: &str) -> Result<Vec<DkimRecord>> {
        let domain = self.domain(name)?.ok_or_else(|| DirectoryError::NoSuchDomain(name.to_owned()))?;
        new_keys(domain.all_dkim.iter().map(DkimKey::selector)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn record(kind: u32, selector: &str, state: u32) -> DkimRecord {
        DkimRecord { kind, selector: selector.to_owned(), state, ..DkimRecord::default() }
    }

    fn states(keys: &[DkimRecord]) -> Vec<(&str, u32)> {
        keys.iter().map(|key| (key.selector.as_str(), key.state)).collect()
    }

    fn told(seen: &[(&str, DkimSeen)]) -> Vec<(String, DkimSeen)> {
        seen.iter().map(|(selector, seen)| ((*selector).to_owned(), *seen)).collect()
    }

    #[test]
    fn a_new_key_is_used_once_its_record_is_there_and_not_before() {
        use DkimSeen::{Missing, There};
        let mut keys = vec![record(0, "r", 0), record(1, "e", 0), record(0, "r2", 1), record(1, "e2", 1)];
        let turns = advance(&mut keys, &told(&[("r", There), ("e", There), ("r2", Missing), ("e2", Missing)]), DAY);
        assert_eq!(turns, []);
        assert_eq!(states(&keys), [("r", 0), ("e", 0), ("r2", 1), ("e2", 1)]);
        // One kind may come before the other.
        assert_eq!(advance(&mut keys, &told(&[("r2", There)]), 2 * DAY), [DkimTurn::Began("r2".to_owned())]);
        assert_eq!(states(&keys), [("r", 2), ("e", 0), ("r2", 0), ("e2", 1)]);
        // Said twice changes nothing.
        assert_eq!(advance(&mut keys, &told(&[("r2", There)]), 3 * DAY), []);
        assert_eq!((keys[0].since_ms, keys[2].since_ms), (2 * DAY, 2 * DAY));
        // A retired one is forgotten when its record is gone, not before a week is over.
        assert_eq!(advance(&mut keys, &told(&[("r", Missing)]), 9 * DAY - 1), []);
        assert_eq!(advance(&mut keys, &[], 9 * DAY), [DkimTurn::Forgot("r".to_owned())]);
        assert_eq!(states(&keys), [("e", 0), ("r2", 0), ("e2", 1)]);
    }

    #[test]
    fn selectors_count_on() {
        for (there, next) in [
            (&[][..], "hf-rsa"),
            (&["hf-rsa"], "hf-rsa-2"),
            (&["hf-rsa-9", "hf-rsa", "hf-ed25519-40"], "hf-rsa-10"),
            (&["other", "hf-rsa-x"], "hf-rsa"),
        ] {
            assert_eq!(next_selector("hf-rsa", there.iter().copied()), next);
        }
    }
}
