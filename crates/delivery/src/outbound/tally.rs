//! What became of the connections to each domain, day by day, until it is reported (RFC 8460).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message as _;
use store::{Read as _, Store};

use super::dane::Dane;
use super::problem::TlsProblem;
use super::sts::Policy;
use crate::schema::{TallyDetailRecord, TallyRecord, tally_key};
use crate::{DeliveryError, Result, queue};

/// Most domains that are counted a day.
pub const MAX_DOMAINS: usize = 20_000;
/// Most different failures that are told apart in one domain's day; further ones count in all alone.
pub const MAX_DETAILS: usize = 100;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The policy under which a connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// MTA-STS; `None`: one that could not be had.
    Sts(Option<Arc<Policy>>),
    /// DANE, with the host's records as text.
    Tlsa(Vec<String>),
    /// None.
    None,
}

impl PolicyKind {
    /// Of a host's records.
    pub fn tlsa(dane: &Dane) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let text = |(usage, selector, matching, data): &(u8, u8, u8, Vec<u8>)| {
            format!("{usage} {selector} {matching} {}", hex(&data[..data.len().min(64)]))
        };
        Self::Tlsa(dane.records.iter().map(text).collect())
    }

    /// The `policy-type` of a report.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sts(_) => "sts",
            Self::Tlsa(_) => "tlsa",
            Self::None => "no-policy-found",
        }
    }

    /// `policy-string` and `mx-host` of a report.
    fn strings(&self) -> (Vec<String>, Vec<String>) {
        match self {
            Self::Sts(Some(policy)) => {
                let mut strings = vec!["version: STSv1".to_owned(), format!("mode: {}", policy.mode.name())];
                strings.extend(policy.mx.iter().map(|mx| format!("mx: {mx}")));
                strings.push(format!("max_age: {}", policy.max_age.as_secs()));
                (strings, policy.mx.clone())
            }
            Self::Tlsa(records) => (records.clone(), Vec::new()),
            Self::Sts(None) | Self::None => (Vec::new(), Vec::new()),
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sts(Some(policy)) => write!(f, "MTA-STS {}", policy.mode.name()),
            Self::Sts(None) => f.write_str("MTA-STS, policy not available"),
            Self::Tlsa(records) if records.is_empty() => f.write_str("DANE without usable records"),
            Self::Tlsa(_) => f.write_str("DANE"),
            Self::None => f.write_str("none"),
        }
    }
}

/// Day, domain, and kind of policy.
type Key = (u32, String, &'static str);

/// The counts. Those since the last [`Self::write`] are in memory only.
pub struct Tally {
    store: Store,
    counts: Mutex<HashMap<Key, TallyRecord>>,
}

impl Tally {
    /// Kept in `store`.
    pub fn new(store: Store) -> Self {
        Self { store, counts: Mutex::default() }
    }

    /// A connection was as demanded.
    pub fn success(&self, domain: &str, policy: &PolicyKind) {
        metrics::counter!("holdfast_delivery_tls_sessions_total", "policy" => policy.name(), "result" => "ok")
            .increment(1);
        self.count(domain, policy, |record| record.successes += 1);
    }

    /// A connection was not, or would not have been.
    pub fn failure(&self, domain: &str, policy: &PolicyKind, host: &str, address: &str, problem: &TlsProblem) {
        metrics::counter!("holdfast_delivery_tls_sessions_total", "policy" => policy.name(), "result" => "failed")
            .increment(1);
        let detail = TallyDetailRecord {
            kind: problem.kind.name().to_owned(),
            host: host.to_owned(),
            address: address.to_owned(),
            text: problem.text.chars().take(200).collect(),
            count: 1,
        };
        self.count(domain, policy, |record| {
            record.failures += 1;
            add_detail(record, detail);
        });
    }

    fn count(&self, domain: &str, policy: &PolicyKind, add: impl FnOnce(&mut TallyRecord)) {
        let key = (day_of(self.store.clock().now_ms()), domain.to_owned(), policy.name());
        let mut counts = self.counts.lock();
        if counts.len() >= MAX_DOMAINS && !counts.contains_key(&key) {
            return;
        }
        let record = counts.entry(key).or_default();
        let (strings, hosts) = policy.strings();
        if !strings.is_empty() {
            (record.policy, record.hosts) = (strings, hosts);
        }
        add(record);
    }

    /// Writes down what was counted since the last time. What can't be written is kept for the next time.
    pub async fn write(&self) {
        let counts: Vec<(Key, TallyRecord)> = self.counts.lock().drain().collect();
        if counts.is_empty() {
            return;
        }
        let counts = Arc::new(counts);
        let writing = Arc::clone(&counts);
        let written = self.store.transact(move |tx| {
            tx.keeps_books();
            for ((day, domain, policy), new) in &*writing {
                add_in(tx, *day, domain, policy, new)?;
            }
            Ok::<_, DeliveryError>(())
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "could not write down the results of connections");
            let mut waiting = self.counts.lock();
            for (key, new) in counts.iter() {
                merge(waiting.entry(key.clone()).or_default(), new);
            }
        }
    }
}

fn add_in(tx: &mut store::Tx<'_>, day: u32, domain: &str, policy: &str, new: &TallyRecord) -> Result<()> {
    let key = tally_key(day, domain, policy);
    let mut record = match tx.get(queue::QUEUE, &key)? {
        Some(value) => TallyRecord::decode(value).unwrap_or_default(),
        None => TallyRecord::default(),
    };
    merge(&mut record, new);
    tx.put(queue::QUEUE, key, record.encode_to_vec());
    Ok(())
}

fn merge(record: &mut TallyRecord, new: &TallyRecord) {
    record.successes += new.successes;
    record.failures += new.failures;
    if !new.policy.is_empty() {
        (record.policy, record.hosts) = (new.policy.clone(), new.hosts.clone());
    }
    for detail in &new.details {
        add_detail(record, detail.clone());
    }
}

fn add_detail(record: &mut TallyRecord, detail: TallyDetailRecord) {
    let same = |known: &&mut TallyDetailRecord| {
        (&known.kind, &known.host, &known.address) == (&detail.kind, &detail.host, &detail.address)
    };
    if let Some(known) = record.details.iter_mut().find(same) {
        known.count += detail.count;
    } else if record.details.len() < MAX_DETAILS {
        record.details.push(detail);
    }
}

/// The day of a time, counted from 1970 (UTC).
pub fn day_of(ms: i64) -> u32 {
    u32::try_from(ms.div_euclid(DAY_MS)).unwrap_or(0)
}
