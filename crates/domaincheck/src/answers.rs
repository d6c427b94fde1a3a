//! What the DNS has said so far, and what it has still to be asked.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use dnskit::{Answer, Data, DnsError, Kind, Mx};

/// Most questions about one domain: a hostile SPF record can't make us ask without end.
pub const MAX_QUESTIONS: usize = 300;

/// A question to the DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The name, in lower case and without its last dot.
    pub name: String,
    /// The kind of record.
    pub kind: Kind,
}

/// What is known about a name and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// There are records.
    Records(Vec<Data>),
    /// There are none of that kind.
    Nothing,
    /// There is no such name.
    NoName,
    /// The DNS did not answer, or has not been asked yet.
    Silent(String),
}

impl Told {
    /// Those records that `pick` takes.
    pub fn map<T>(&self, pick: impl Fn(&Data) -> Option<T>) -> Vec<T> {
        match self {
            Self::Records(records) => records.iter().filter_map(pick).collect(),
            _ => Vec::new(),
        }
    }
}

/// How a name server of the domain's zone is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It answers for the zone.
    Answers,
    /// It answers, and not for the zone: why.
    Lame(String),
    /// It does not answer: why.
    Silent(String),
    /// Its name has no address.
    NoAddress,
    /// This machine has no way to it.
    NoRoute,
}

/// The name servers of the domain's zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers {
    /// The zone's name.
    pub zone: String,
    /// Each with how it is.
    pub seen: Vec<(String, Seen)>,
}

/// A TLS policy (MTA-STS) as others read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedPolicy {
    /// `testing`, `enforce` or `none`.
    pub mode: String,
    /// The hosts that it allows.
    pub hosts: Vec<String>,
}

/// Why a policy can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadPolicy {
    /// In words.
    pub why: String,
    /// Its host was reached: others can't read it either.
    pub reached: bool,
}

/// The answers so far. A question without an answer is noted and counts as silence.
#[derive(Debug, Default)]
pub struct Answers {
    said: HashMap<Question, Result<Answer, DnsError>>,
    open: RefCell<BTreeMap<(String, u8), Question>>,
    /// The name servers of the domain's zone; none where they were not looked for.
    pub servers: Option<Servers>,
    /// What the name servers don't agree about: name and type, and those that say something else than the others.
    pub differing: BTreeMap<String, Vec<String>>,
    /// Resolvers don't accept what the name servers say: why.
    pub not_accepted: Option<NotAccepted>,
    policy: Option<Result<ServedPolicy, UnreadPolicy>>,
    policy_wanted: Cell<bool>,
}

/// Why resolvers don't accept what the name servers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAccepted {
    /// DNSSEC proves it false.
    Bogus,
    /// They don't say why.
    Refused(String),
}

impl Answers {
    /// What is known about a name and kind.
    pub fn ask(&self, name: &str, kind: Kind) -> Told {
        let question = Question { name: name.trim_end_matches('.').to_ascii_lowercase(), kind };
        match self.said.get(&question) {
            Some(Ok(answer)) => Told::Records(answer.records.clone()),
            Some(Err(DnsError::NoSuchDomain)) => Told::NoName,
            Some(Err(DnsError::NoRecords)) => Told::Nothing,
            Some(Err(DnsError::Temporary(why))) => Told::Silent(why.clone()),
            None if self.said.len() >= MAX_QUESTIONS => {
                Told::Silent("there are too many records to look up".to_owned())
            }
            None => {
                self.open.borrow_mut().insert((question.name.clone(), kind as u8), question);
                Told::Silent("not asked yet".to_owned())
            }
        }
    }

    /// The questions that were noted since the last time.
    pub fn take_open(&self) -> Vec<Question> {
        std::mem::take(&mut *self.open.borrow_mut()).into_values().collect()
    }

    /// The TLS policy as others read it; none if it was not read yet, which is noted.
    pub fn policy(&self) -> Option<&Result<ServedPolicy, UnreadPolicy>> {
        self.policy_wanted.set(self.policy.is_none());
        self.policy.as_ref()
    }

    /// Whether the TLS policy was asked for and is not there.
    pub fn wants_policy(&self) -> bool {
        self.policy_wanted.get()
    }

    /// Takes the TLS policy in.
    pub fn put_policy(&mut self, read: Result<ServedPolicy, UnreadPolicy>) {
        self.policy_wanted.set(false);
        self.policy = Some(read);
    }

    /// Takes an answer in.
    pub fn put(&mut self, question: Question, said: Result<Answer, DnsError>) {
        self.said.insert(question, said);
    }

    /// The TXT records of a name as texts; `Err` if the DNS is silent.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        match self.ask(name, Kind::Txt) {
            Told::Silent(why) => Err(why),
            told => Ok(told.map(|data| match data {
                Data::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                _ => None,
            })),
        }
    }

    /// The addresses of a host, of both families; empty if it has none.
    pub fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let address = |data: &Data| if let Data::Address(address) = data { Some(*address) } else { None };
        let (four, six) = (self.ask(host, Kind::A), self.ask(host, Kind::Aaaa));
        let found: BTreeSet<IpAddr> = four.map(address).into_iter().chain(six.map(address)).collect();
        match (four, six) {
            (Told::Silent(why), _) | (_, Told::Silent(why)) if found.is_empty() => Err(why),
            _ => Ok(found.into_iter().collect()),
        }
    }

    /// The MX records of a domain, by preference.
    pub fn mx(&self, domain: &str) -> Result<Vec<Mx>, String> {
        match self.ask(domain, Kind::Mx) {
            Told::Silent(why) => Err(why),
            told => {
                let mut found = told.map(|data| if let Data::Mx(mx) = data { Some(mx.clone()) } else { None });
                found.sort_by(|a, b| (a.preference, &a.host).cmp(&(b.preference, &b.host)));
                Ok(found)
            }
        }
    }

    /// The name that a name stands for by a CNAME.
    pub fn cname(&self, name: &str) -> Result<Option<String>, String> {
        match self.ask(name, Kind::Cname) {
            Told::Silent(why) => Err(why),
            told => {
                let names = told.map(|data| if let Data::Name(name) = data { Some(name.clone()) } else { None });
                Ok(names.into_iter().next())
            }
        }
    }
}
