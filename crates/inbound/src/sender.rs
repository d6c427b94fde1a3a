//! The judge that finds out who really sent a message.
//!
//! What needs only the client and its words is asked while the message comes in, the rest as soon as its header section is
//! here. What has no answer [`SenderOptions::patience`] after the last byte is `temperror`. The results go into an
//! `Authentication-Results` field above the message, in our name; fields of others in our name were taken out on the way
//! in (see `mailkit::results`).
//!
//! On a relay ([`SenderCheck::at_relay`]) the same is found out when a message arrives there, and travels with it: where it
//! is delivered nobody is asked again, and the relay is never taken for the sender.
//!
//! Not judged: what people who are signed in send, what comes from trusted networks, and LMTP, where the client is a
//! server of our own that has judged already.

mod decide;
mod gather;
mod known;
mod observe;
mod options;
mod patience;

use std::sync::Arc;
use std::time::Duration;

use delivery::{Case, Hearing, Judge, JudgeError, Spooled, Verdict};
use directory::Directory;
use dnskit::Resolver;
use filter::sender::{Findings, Lookups, Read, Reading};
use mailstore::MailStore;
use reports::Observed;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use gather::{Gathered, Words};
pub use options::{Enforce, SenderOptions};
use options::{Inner, Place};
pub use patience::DnsPatience;

/// The judge.
pub struct SenderCheck {
    inner: Arc<Inner>,
}

impl SenderCheck {
    /// A judge that asks `resolver`.
    pub fn new(
        options: SenderOptions,
        resolver: Arc<dyn Resolver>,
        directory: Directory,
        mailstore: MailStore,
    ) -> Self {
        Self {
            inner: Arc::new(Inner { options, resolver, place: Place::Home { directory, mailstore }, observed: None }),
        }
    }

    /// A judge on a relay, which is told whether a domain is ours.
    pub fn at_relay(
        options: SenderOptions,
        resolver: Arc<dyn Resolver>,
        is_ours: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    ) -> Self {
        Self { inner: Arc::new(Inner { options, resolver, place: Place::Relay { is_ours }, observed: None }) }
    }

    /// Has what DMARC says counted there, for reports to the owners of the domains. For the start: before any message.
    #[must_use]
    pub fn counting(mut self, observed: Arc<Observed>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.observed = Some(observed);
        }
        self
    }
}

impl Judge for SenderCheck {
    fn name(&self) -> &'static str {
        "sender"
    }

    fn needs(&self) -> Duration {
        // Waiting for the DNS, and then saying what was found.
        self.inner.options.patience.whole().mul_f32(1.2)
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        let origin = &case.envelope.origin;
        let ip = origin.peer.filter(|_| origin.auth.is_none() && !origin.lmtp)?.to_canonical();
        if self.inner.options.trusted_networks.iter().any(|network| network.contains(ip)) {
            return None;
        }
        let carried = origin.relay.as_ref().and_then(|relay| Findings::from_carried(&relay.findings));
        if let Some(findings) = carried {
            let (inner, case) = (Arc::clone(&self.inner), Arc::clone(case));
            return Some(Box::new(Recalled { inner, case, reading: Reading::default(), findings }));
        }
        let lookups = Arc::new(Lookups::new(Arc::clone(&self.inner.resolver)));
        let words = Words::of(case, ip, &self.inner.options.hostname);
        let gathered = Arc::new(Gathered::default());
        let client = tokio::spawn(gather::client(words.clone(), Arc::clone(&lookups), Arc::clone(&gathered)));
        Some(Box::new(Examined {
            inner: Arc::clone(&self.inner),
            case: Arc::clone(case),
            words,
            lookups,
            gathered,
            reading: Reading::default(),
            client: AbortOnDropHandle::new(client),
            header: None,
            allotted: Duration::MAX,
        }))
    }
}

/// One message.
struct Examined {
    inner: Arc<Inner>,
    case: Arc<Case>,
    words: Words,
    lookups: Arc<Lookups>,
    gathered: Arc<Gathered>,
    reading: Reading,
    /// Asks about the client and its words.
    client: AbortOnDropHandle<()>,
    /// Asks for keys and the author's domain, once the header section is here.
    header: Option<AbortOnDropHandle<()>>,
    /// The most that it may take in all.
    allotted: Duration,
}

impl Examined {
    fn ask_about_header(&mut self) {
        let (names, domain) = (self.reading.key_names(), self.reading.author().domain().map(ToOwned::to_owned));
        let asked = gather::header(names, domain, Arc::clone(&self.lookups), Arc::clone(&self.gathered));
        self.header = Some(AbortOnDropHandle::new(tokio::spawn(asked)));
    }
}

#[async_trait::async_trait]
impl Hearing for Examined {
    fn bytes(&mut self, bytes: &[u8]) {
        if self.reading.push(bytes) {
            self.ask_about_header();
        }
    }

    fn allot(&mut self, time: Duration) {
        // What was found until then is to be said in time.
        self.allotted = time.mul_f32(0.9);
    }

    async fn verdicts(
        mut self: Box<Self>,
        _message: &Spooled,
        _so_far: &[Verdict],
    ) -> Result<Vec<Verdict>, JudgeError> {
        let until = Instant::now() + self.inner.options.patience.next().min(self.allotted);
        if self.header.is_none() {
            // There was no end of the header section before the message's.
            self.ask_about_header();
        }
        let Self { inner, case, words, lookups, gathered, reading, client, header, .. } = *self;
        let in_time = async {
            let _ = client.await;
            if let Some(header) = header {
                let _ = header.await;
            }
        };
        // What is not there in time has no answer.
        let answered = tokio::time::timeout_at(until, in_time).await.is_ok();
        inner.options.patience.learn(answered);
        let read = reading.finish();
        let mut findings = gathered.findings(&words);
        let keys = gathered.keys();
        let now = u64::try_from(case.at_ms / 1000).unwrap_or_default();
        findings.author = read.author();
        findings.dkim = read.dkim(&keys, now);
        findings.arc = read.arc(&keys, now);
        findings.dmarc = gather::dmarc(&findings, &lookups, until).await;
        judged(&inner, &case, &read, findings)
    }
}

/// One message that was examined when it came to a relay.
struct Recalled {
    inner: Arc<Inner>,
    case: Arc<Case>,
    reading: Reading,
    findings: Findings,
}

#[async_trait::async_trait]
impl Hearing for Recalled {
    fn bytes(&mut self, bytes: &[u8]) {
        self.reading.push(bytes);
    }

    async fn verdicts(self: Box<Self>, _message: &Spooled, _so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let Self { inner, case, reading, mut findings } = *self;
        let read = reading.finish();
        findings.author = read.author();
        judged(&inner, &case, &read, findings)
    }
}

/// What the findings mean here.
fn judged(inner: &Inner, case: &Case, read: &Read, mut findings: Findings) -> Result<Vec<Verdict>, JudgeError> {
    let own = inner.own_domains(&findings)?;
    findings.is_forged = decide::is_forged(&findings, read.is_too_long, |name| own.iter().any(|own| own == name));
    tracing::debug!(id = %case.id, results = findings.field(&inner.options.hostname), "examined");
    match inner.place {
        Place::Home { .. } => {
            let verdicts = decide::verdicts(inner, case, read, &findings)?;
            if let Some(observed) = &inner.observed
                && let Some(observation) = observe::observation(&findings, read, &verdicts)
            {
                observed.count(observation);
            }
            Ok(verdicts)
        }
        Place::Relay { .. } => Ok(decide::on_relay(inner, case, read, &findings)),
    }
}
