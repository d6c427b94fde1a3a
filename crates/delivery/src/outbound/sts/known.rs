//! The policies that are known: found when mail goes out, kept in the store, refreshed before they end (RFC 8461 §3.3, §5).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dnskit::{DnsError, Resolver};
use parking_lot::Mutex;
use prost::Message as _;
use store::{Order, Read as _, Store};
use tokio_rustls::TlsConnector;

use super::{Mode, Policy, fetch, record_id};
use crate::outbound::problem::TlsProblem;
use crate::schema::{StsRecord, policy_key, policy_key_domain};
use crate::{DeliveryOptions, Result, queue};

/// Most policies that are kept; the one that ends first makes room.
pub const MAX_KEPT: usize = 10_000;
/// Most domains that something is remembered of, beyond those with a policy that is kept.
const MAX_REMEMBERED: usize = 20_000;
/// A policy is not fetched again sooner than this, whatever came of it; doubled with each failure in a row.
pub const SHORTEST_PAUSE: Duration = Duration::from_mins(5);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// A policy is fetched again when less than this is left of its time, or than a quarter of it.
const REFRESH_BEFORE: Duration = Duration::from_hours(24 * 7);
/// Policies refreshed at a time by [`Known::refresh`].
const REFRESHED_AT_ONCE: usize = 20;

/// What is known of a domain's policy when mail goes out.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The policy to obey.
    pub policy: Option<Arc<Policy>>,
    /// It could not be fetched: the domain announces one, or one with another id.
    pub problem: Option<TlsProblem>,
}

/// The policies.
pub struct Known {
    store: Store,
    resolver: Arc<dyn Resolver>,
    tls: TlsConnector,
    domains: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Domain>>>>,
}

/// What is known of a domain.
#[derive(Default)]
struct Domain {
    kept: Option<Kept>,
    /// Not fetched before.
    not_before_ms: i64,
    failures: u32,
    problem: Option<TlsProblem>,
}

#[derive(Clone)]
struct Kept {
    id: String,
    policy: Arc<Policy>,
    fetched_ms: i64,
    /// In memory a little longer than the policy says, where it says nothing at all.
    until_ms: i64,
}

impl Kept {
    fn is_near_its_end(&self, now_ms: i64) -> bool {
        let whole = self.until_ms - self.fetched_ms;
        self.until_ms - now_ms < ms(REFRESH_BEFORE).min(whole / 4)
    }
}

impl Known {
    /// Those that are kept in `store`.
    pub fn load(store: Store, resolver: Arc<dyn Resolver>, tls: TlsConnector) -> Result<Self> {
        let mut domains = HashMap::new();
        for row in store.snapshot().prefix(queue::QUEUE, b"p", Order::Ascending)? {
            let (key, value) = row?;
            let (Some(domain), Ok(record)) = (policy_key_domain(&key), StsRecord::decode(value)) else { continue };
            if let Some(kept) = kept_from(&record) {
                let known = Domain { kept: Some(kept), ..Domain::default() };
                domains.insert(domain.to_owned(), Arc::new(tokio::sync::Mutex::new(known)));
            }
        }
        Ok(Self { store, resolver, tls, domains: Mutex::new(domains) })
    }

    /// The policy that mail to `domain` obeys now.
    pub async fn of(&self, domain: &str, options: &DeliveryOptions) -> Found {
        let announced = match self.resolver.txt(&format!("_mta-sts.{domain}")).await {
            Ok(texts) => record_id(&texts),
            Err(error) => {
                if let DnsError::Temporary(why) = error {
                    tracing::debug!(domain, why, "could not look up the MTA-STS record");
                }
                None
            }
        };
        let Some(entry) = self.entry(domain, announced.is_some()) else { return Found::default() };
        let mut entry = entry.lock().await;
        let now_ms = self.store.clock().now_ms();
        if entry.kept.as_ref().is_some_and(|kept| kept.until_ms <= now_ms) {
            entry.kept = None;
            self.forget(domain).await;
        }
        let Some(id) = announced else {
            // Whoever takes the record away does not take the policy away (RFC 8461 §5.1).
            return Found { policy: entry.kept.as_ref().map(|kept| Arc::clone(&kept.policy)), problem: None };
        };
        let is_known = entry.kept.as_ref().is_some_and(|kept| kept.id == id && !kept.is_near_its_end(now_ms));
        if !is_known && entry.not_before_ms <= now_ms {
            self.fetch(domain, id, &mut entry, options).await;
        }
        Found { policy: entry.kept.as_ref().map(|kept| Arc::clone(&kept.policy)), problem: entry.problem.clone() }
    }

    /// Fetches policies that are near their end, so that they go on also where nobody sends for a while.
    pub async fn refresh(&self, options: &DeliveryOptions) {
        let now_ms = self.store.clock().now_ms();
        let all: Vec<_> =
            self.domains.lock().iter().map(|(domain, entry)| (domain.clone(), Arc::clone(entry))).collect();
        let mut left = REFRESHED_AT_ONCE;
        for (domain, entry) in all {
            let Ok(entry) = entry.try_lock() else { continue };
            let is_due = entry.not_before_ms <= now_ms
                && entry.kept.as_ref().is_some_and(|k| k.is_near_its_end(now_ms) && k.policy.mode != Mode::None);
            drop(entry);
            if is_due {
                left -= 1;
                self.of(&domain, options).await;
            }
            if left == 0 {
                return;
            }
        }
    }

    /// What is remembered of a domain. A domain without a policy leaves no trace.
    fn entry(&self, domain: &str, announced: bool) -> Option<Arc<tokio::sync::Mutex<Domain>>> {
        let mut domains = self.domains.lock();
        if let Some(entry) = domains.get(domain) {
            return Some(Arc::clone(entry));
        }
        if !announced {
            return None;
        }
        if domains.len() >= MAX_REMEMBERED {
            domains.retain(|_, entry| entry.try_lock().is_ok_and(|entry| entry.kept.is_some()));
        }
        Some(Arc::clone(domains.entry(domain.to_owned()).or_default()))
    }

    async fn fetch(&self, domain: &str, id: String, entry: &mut Domain, options: &DeliveryOptions) {
        let fetched = fetch::policy(domain, options, &*self.resolver, &self.tls).await;
        let now_ms = self.store.clock().now_ms();
        match fetched {
            Ok(policy) => {
                metrics::counter!("holdfast_delivery_sts_fetches_total", "result" => "ok").increment(1);
                tracing::info!(domain, id, mode = policy.mode.name(), "fetched an MTA-STS policy");
                let (until_ms, policy) = (now_ms + ms(policy.max_age.max(SHORTEST_PAUSE)), Arc::new(policy));
                let kept = Kept { id, policy, fetched_ms: now_ms, until_ms };
                self.keep(domain, &kept).await;
                *entry = Domain { kept: Some(kept), not_before_ms: now_ms + ms(SHORTEST_PAUSE), ..Domain::default() };
            }
            Err(problem) => {
                metrics::counter!("holdfast_delivery_sts_fetches_total", "result" => "failed").increment(1);
                tracing::warn!(domain, problem = problem.text, "could not get an MTA-STS policy");
                entry.failures = entry.failures.saturating_add(1);
                let pause = SHORTEST_PAUSE.saturating_mul(1 << (entry.failures - 1).min(10)).min(LONGEST_PAUSE);
                entry.not_before_ms = now_ms + ms(pause);
                entry.problem = Some(problem);
            }
        }
    }

    /// Keeps a policy across restarts, for as long as it says.
    async fn keep(&self, domain: &str, kept: &Kept) {
        if kept.policy.max_age < SHORTEST_PAUSE {
            return self.forget(domain).await;
        }
        let record = StsRecord {
            id: kept.id.clone(),
            mode: kept.policy.mode.name().to_owned(),
            mx: kept.policy.mx.clone(),
            max_age_seconds: kept.policy.max_age.as_secs(),
            fetched_ms: kept.fetched_ms,
        };
        let key = policy_key(domain);
        let written = self.store.transact(move |tx| {
            tx.keeps_books();
            make_room_in(tx, &key)?;
            tx.put(queue::QUEUE, key, record.encode_to_vec());
            Ok::<_, crate::DeliveryError>(())
        });
        if let Err(error) = written.await {
            tracing::warn!(domain, %error, "could not keep an MTA-STS policy: it is fetched again after a restart");
        }
    }

    async fn forget(&self, domain: &str) {
        let key = policy_key(domain);
        let written = self.store.transact(move |tx| {
            tx.keeps_books();
            if tx.get(queue::QUEUE, &key)?.is_some() {
                tx.delete(queue::QUEUE, key);
            }
            Ok::<_, crate::DeliveryError>(())
        });
        if let Err(error) = written.await {
            tracing::warn!(domain, %error, "could not remove an MTA-STS policy");
        }
    }
}

/// Removes the policy that ends first if there are too many.
fn make_room_in(tx: &mut store::Tx<'_>, key: &[u8]) -> Result<()> {
    if tx.get(queue::QUEUE, key)?.is_some() {
        return Ok(());
    }
    let (mut count, mut first): (usize, Option<(i64, Vec<u8>)>) = (0, None);
    for row in tx.prefix(queue::QUEUE, b"p", Order::Ascending)? {
        let (key, value) = row?;
        count += 1;
        let until = StsRecord::decode(value).ok().and_then(|record| kept_from(&record)).map_or(0, |kept| kept.until_ms);
        if first.as_ref().is_none_or(|(least, _)| until < *least) {
            first = Some((until, key.to_vec()));
        }
    }
    if count >= MAX_KEPT
        && let Some((_, key)) = first
    {
        tx.delete(queue::QUEUE, key);
    }
    Ok(())
}

fn kept_from(record: &StsRecord) -> Option<Kept> {
    let max_age = Duration::from_secs(record.max_age_seconds).min(super::MAX_AGE);
    let policy = Policy { mode: Mode::from_name(&record.mode)?, mx: record.mx.clone(), max_age };
    let until_ms = record.fetched_ms.saturating_add(ms(max_age));
    Some(Kept { id: record.id.clone(), policy: Arc::new(policy), fetched_ms: record.fetched_ms, until_ms })
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
