//! The people whom an account has to do with: their names and domains, so that imitations are noticed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use filter::spam::{same_looks, skeleton};
use mailkit::EmailAddress;
use mailstore::MailStore;
use parking_lot::Mutex;
use people::People;
use store::RealmId;

/// For how long what was gathered is used. Contacts and people written to are looked up besides, so nobody new waits.
const FRESH: Duration = Duration::from_secs(300);
/// Accounts whose circles are kept.
const MAX_KEPT: usize = 500;
/// Contacts that are gathered.
const MAX_CONTACTS: usize = 5_000;
/// Domains that imitations are looked for of.
const MAX_DOMAINS: usize = 500;
/// Shortest name that can be imitated, in characters of its skeleton: `Jo` is many people.
const SHORTEST_NAME: usize = 5;

/// What is gathered of an account.
#[derive(Default)]
pub(super) struct Circle {
    /// By what a name looks like: the addresses that go by it, in lower case.
    names: HashMap<String, Vec<String>>,
    /// Addresses that were written to, in lower case.
    written: HashSet<String>,
    domains: Vec<String>,
}

impl Circle {
    /// Whether mail in the account shows that it wrote to an address.
    pub(super) fn has_written_to(&self, address: &str) -> bool {
        self.written.contains(&address.to_lowercase())
    }

    /// An address of somebody of that name, where none of theirs is this one.
    pub(super) fn namesake(&self, name: &str, address: &EmailAddress) -> Option<String> {
        let addresses = self.names.get(&skeleton(name))?;
        let own = address.canonical().to_lowercase();
        (!addresses.contains(&own)).then(|| addresses.first().cloned()).flatten()
    }

    /// A domain of somebody that this one only looks like.
    pub(super) fn imitated(&self, domain: &str) -> Option<String> {
        let domain = domain.to_ascii_lowercase();
        if self.domains.contains(&domain) {
            return None;
        }
        self.domains.iter().find(|own| same_looks(own, &domain)).cloned()
    }

    fn meet(&mut self, name: &str, address: &str) {
        let address = address.to_lowercase();
        let Some((_, domain)) = address.rsplit_once('@') else { return };
        if self.domains.len() < MAX_DOMAINS && !self.domains.iter().any(|known| known == domain) {
            self.domains.push(domain.to_owned());
        }
        let looks = skeleton(name);
        if looks.chars().count() >= SHORTEST_NAME {
            self.names.entry(looks).or_default().push(address);
        }
    }
}

/// Circles that were gathered lately.
#[derive(Default)]
pub(super) struct Circles(Mutex<HashMap<RealmId, (Instant, Arc<Circle>)>>);

impl Circles {
    /// That of an account. Reads its address book and its newest mail, now and then.
    pub(super) fn of(
        &self,
        account: RealmId,
        mailstore: &MailStore,
        people: &People,
    ) -> Result<Arc<Circle>, Box<dyn std::error::Error + Send + Sync>> {
        if let Some((at, circle)) = self.0.lock().get(&account)
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(circle));
        }
        let mut circle = Circle::default();
        let (mut after, mut count) = (None, 0);
        loop {
            let page = people.page(account, after, people::MAX_PAGE)?;
            for contact in &page.contacts {
                for address in &contact.card.addresses {
                    circle.meet(&contact.card.name, &address.address);
                }
            }
            count += page.contacts.len();
            after = page.contacts.last().map(|contact| contact.id);
            if !page.more || count >= MAX_CONTACTS {
                break;
            }
        }
        for known in mailstore.acquaintances(account)? {
            if known.written > 0 {
                circle.meet(&known.name, &known.address);
                circle.written.insert(known.address.to_lowercase());
            }
        }
        let circle = Arc::new(circle);
        let mut kept = self.0.lock();
        if kept.len() >= MAX_KEPT {
            kept.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if kept.len() < MAX_KEPT {
            kept.insert(account, (Instant::now(), Arc::clone(&circle)));
        }
        Ok(circle)
    }
}
