//! Networks and browsers that have logged in to an account: stored with the account, so that they are known after a
//! restart and after a failover.

use std::net::{IpAddr, Ipv6Addr};

use doorkit::network_of;
use prost::Message as _;
use store::{Order, Read};

use crate::{
    AccountId, Directory, DirectoryError, Result,
    schema::{self, KnownRecord, decode},
    sign_in::neighbourhood,
};

/// For how long after the last login.
pub(crate) const KNOWN_FOR_MS: i64 = 30 * 86_400_000;
/// Of one account; those not seen for the longest time go when there are more.
const MAX_NETWORKS: usize = 100;
/// Between two notes of the same.
const NOTE_EVERY_MS: i64 = 86_400_000;
/// Browsers that are remembered with a network.
const MAX_BROWSERS: usize = 20;
/// The longest name of a browser.
const MAX_BROWSER_BYTES: usize = 100;

fn key(network: IpAddr) -> Vec<u8> {
    let bytes = match network_of(network) {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    [&[schema::KNOWN_NETWORK][..], &bytes].concat()
}

fn is_fresh(record: &KnownRecord, now_ms: i64) -> bool {
    // Nor what was seen in the future: the clock was put back.
    (0..KNOWN_FOR_MS).contains(&now_ms.saturating_sub(record.last_ms).max(0))
}

fn record(reader: &impl Read, account: AccountId, peer: IpAddr) -> Result<Option<KnownRecord>> {
    let value = reader.get(account.realm(), &key(peer))?;
    value.map(|value| decode("a known network", &value)).transpose()
}

/// Whether an account has been logged in to from this network in the last thirty days.
pub(crate) fn is_known(reader: &impl Read, account: AccountId, peer: IpAddr, now_ms: i64) -> Result<bool> {
    Ok(record(reader, account, peer)?.is_some_and(|record| is_fresh(&record, now_ms)))
}

/// Whether an account was first signed in to from the neighbourhood of an address at this time or later, and from
/// elsewhere before.
pub(crate) fn is_new_neighbourhood(reader: &impl Read, account: AccountId, peer: IpAddr, at_ms: i64) -> Result<bool> {
    let (mut here_before, mut elsewhere_before) = (false, false);
    for row in reader.prefix(account.realm(), &[schema::KNOWN_NETWORK], Order::Ascending)? {
        let (key, value) = row?;
        let record: KnownRecord = decode("a known network", &value)?;
        let Ok(bytes) = <[u8; 16]>::try_from(&key[1..]) else { continue };
        if is_fresh(&record, at_ms) && record.first_ms < at_ms {
            let is_here = neighbourhood(Ipv6Addr::from(bytes).into()) == neighbourhood(peer);
            here_before |= is_here;
            elsewhere_before |= !is_here;
        }
    }
    Ok(elsewhere_before && !here_before)
}

impl Directory {
    /// Notes a login, at most once a day for each network. Nobody waits for it.
    pub(crate) fn note_network(&self, account: AccountId, peer: IpAddr) {
        let now = self.now_ms();
        let noted = record(&self.store().snapshot(), account, peer);
        if noted.is_ok_and(|record| record.is_some_and(|record| (0..NOTE_EVERY_MS).contains(&(now - record.last_ms)))) {
            return;
        }
        drop(self.note(account, peer, None));
    }

    /// Records a browser's sign-in; `true` if the account was used before, but not from this network or not with a browser
    /// of that name: then its owner should get a notice.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn note_browser(&self, account: AccountId, peer: IpAddr, browser: &str) -> Result<bool> {
        let is_new = self.note(account, peer, Some(browser)).await?;
        if is_new {
            self.mark_new(account, peer, browser);
        }
        Ok(is_new)
    }

    fn note(&self, account: AccountId, peer: IpAddr, browser: Option<&str>) -> store::Ticket<bool, DirectoryError> {
        let mut end = browser.map_or(0, str::len).min(MAX_BROWSER_BYTES);
        while browser.is_some_and(|browser| !browser.is_char_boundary(end)) {
            end -= 1;
        }
        let browser = browser.map(|browser| browser[..end].to_owned());
        // The time of the login, not of the commit.
        let now = self.now_ms();
        // This record may be lost with the machine; signing in does not wait for a standby.
        self.store().transact_here(move |tx| {
            // A look at a restored machine is no history of its own.
            tx.keeps_books();
            let realm = account.realm();
            let own = key(peer);
            let mut others = Vec::new();
            let (mut here, mut browser_known, mut first) = (None, false, true);
            for row in tx.prefix(realm, &[schema::KNOWN_NETWORK], Order::Ascending)? {
                let (key, value) = row?;
                let record: KnownRecord = decode("a known network", &value)?;
                let fresh = is_fresh(&record, now);
                let browsers = &record.browsers;
                first &= !fresh || browsers.is_empty();
                browser_known |= fresh && browser.as_ref().is_some_and(|browser| browsers.contains(browser));
                if key[..] == own[..] {
                    here = Some(record).filter(|_| fresh);
                } else {
                    others.push((if fresh { record.last_ms } else { i64::MIN }, key.to_vec()));
                }
            }
            let network_known = here.is_some();
            let mut record = here.unwrap_or_else(|| KnownRecord { first_ms: now, ..KnownRecord::default() });
            record.last_ms = now;
            if let Some(browser) = browser.filter(|browser| !record.browsers.contains(browser)) {
                record.browsers.push(browser);
                let excess = record.browsers.len().saturating_sub(MAX_BROWSERS);
                record.browsers.drain(..excess);
            }
            tx.put(realm, own, record.encode_to_vec());
            others.sort_unstable();
            let excess = (others.len() + 1).saturating_sub(MAX_NETWORKS);
            for (number, (seen, key)) in others.into_iter().enumerate() {
                if seen == i64::MIN || number < excess {
                    tx.delete(realm, key);
                }
            }
            Ok(!(first || network_known && browser_known))
        })
    }
}
