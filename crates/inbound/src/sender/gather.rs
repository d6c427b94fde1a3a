//! Asking the DNS about a message, while it comes in.

use std::net::IpAddr;
use std::sync::Arc;

use delivery::Case;
use dnskit::{DnsError, Resolver as _};
use filter::sender::dmarc::{self, DmarcResult};
use filter::sender::iprev::{self, IprevResult};
use filter::sender::spf::{self, Query, SpfResult};
use filter::sender::{Findings, Keys, Lookups, Outcome};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// What the client said.
#[derive(Clone, Debug)]
pub struct Words {
    ip: IpAddr,
    helo: String,
    /// Local part and domain of the envelope's sender.
    from: Option<(String, String)>,
    receiver: String,
    now: i64,
}

impl Words {
    pub fn of(case: &Case, ip: IpAddr, receiver: &str) -> Self {
        let from = case.envelope.from.as_ref();
        Self {
            ip,
            helo: case.envelope.origin.helo.clone().unwrap_or_default(),
            from: from.map(|address| (address.local().to_owned(), address.domain().to_owned())),
            receiver: receiver.to_owned(),
            now: case.at_ms / 1000,
        }
    }

    fn query<'a>(&'a self, local: &'a str, domain: &'a str) -> Query<'a> {
        Query { ip: self.ip, helo: &self.helo, local, domain, receiver: &self.receiver, now: self.now }
    }
}

/// The answers so far.
#[derive(Default)]
pub struct Gathered {
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    iprev: Option<IprevResult>,
    spf_helo: Option<SpfResult>,
    spf: Option<SpfResult>,
    keys: Keys,
}

impl Gathered {
    /// What is known now; what isn't is `temperror`.
    pub fn findings(&self, words: &Words) -> Findings {
        let answers = self.answers.lock();
        let unknown = |domain: &str| SpfResult {
            outcome: Outcome::TempError,
            domain: domain.to_ascii_lowercase(),
            explanation: None,
        };
        Findings {
            ip: Some(words.ip),
            helo: words.helo.clone(),
            mail_from: words.from.as_ref().map(|(local, domain)| format!("{local}@{domain}")),
            iprev: answers.iprev.clone().unwrap_or(IprevResult { outcome: Outcome::TempError, name: None }),
            spf_helo: answers.spf_helo.clone().unwrap_or_else(|| unknown(&words.helo)),
            spf: match &words.from {
                None => SpfResult::default(),
                Some((_, domain)) => answers.spf.clone().unwrap_or_else(|| unknown(domain)),
            },
            ..Findings::default()
        }
    }

    pub fn keys(&self) -> Keys {
        self.answers.lock().keys.clone()
    }
}

/// About the client and its words.
pub async fn client(words: Words, lookups: Arc<Lookups>, gathered: Arc<Gathered>) {
    let iprev = async {
        let found = iprev::check(words.ip, &*lookups).await;
        gathered.answers.lock().iprev = Some(found);
    };
    let helo = async {
        let found = spf::check(&words.query("", &words.helo), &*lookups).await;
        gathered.answers.lock().spf_helo = Some(found);
    };
    let from = async {
        if let Some((local, domain)) = &words.from {
            let found = spf::check(&words.query(local, domain), &*lookups).await;
            gathered.answers.lock().spf = Some(found);
        }
    };
    tokio::join!(iprev, helo, from);
}

/// About what the header section names: keys, and the records of the author's domain.
pub async fn header(names: Vec<String>, author: Option<String>, lookups: Arc<Lookups>, gathered: Arc<Gathered>) {
    let mut asked = JoinSet::new();
    for name in names {
        let (lookups, gathered) = (Arc::clone(&lookups), Arc::clone(&gathered));
        asked.spawn(async move {
            let found: Result<Vec<Vec<u8>>, DnsError> = lookups.txt(&name).await;
            gathered.answers.lock().keys.0.insert(name, found);
        });
    }
    if let Some(author) = author {
        // `lookups` remembers what is said.
        let _ = dmarc::walk(&author, &*lookups).await;
    }
    while asked.join_next().await.is_some() {}
}

/// What the author's domain says; the time may be over.
pub async fn dmarc(findings: &Findings, lookups: &Lookups, until: Instant) -> DmarcResult {
    let Some(author) = findings.author.domain() else {
        // Nothing can be said about no author, or several.
        let outcome = if findings.author.domains.len() > 1 && findings.author.fields == 1 {
            Outcome::None
        } else {
            Outcome::PermError
        };
        return DmarcResult { outcome, ..DmarcResult::default() };
    };
    let proofs = findings.proofs();
    let unknown = || DmarcResult { outcome: Outcome::TempError, domain: author.to_owned(), ..DmarcResult::default() };
    let asked = dmarc::check(author, &proofs, lookups);
    timeout_at(until, asked).await.unwrap_or_else(|_| unknown())
}
