//! Puts questions about names in the domain's zone to the zone's own name servers, and compares what they say.

use std::collections::BTreeMap;

use dnskit::{Answer, Data, DnsError, Kind, NameServer, Resolver, Said, ServerError, ZoneServers};
use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::Sources;
use crate::answers::{NotAccepted, Question, Seen, Servers};

/// Servers that each question is put to.
const ASKED: usize = 4;
/// Most CNAMEs that are followed from one answer to the next.
const MAX_HOPS: usize = 8;

/// Asks about a domain.
pub(crate) struct ZoneAsker<'a> {
    resolver: &'a dyn Resolver,
    /// The zone's servers, and those of them that answer.
    zone: Option<(ZoneServers, Vec<NameServer>)>,
    /// How all of them are.
    pub servers: Option<Servers>,
    differing: Mutex<BTreeMap<String, Vec<String>>>,
}

impl<'a> ZoneAsker<'a> {
    /// Finds the servers of the domain's zone. Without them the resolver is asked alone.
    pub async fn of(sources: &'a Sources, domain: &str) -> Self {
        let mut asker = Self::without_servers(sources);
        let Some(authorities) = &sources.authorities else { return asker };
        // That the domain is not there, or can't be looked up, is said by its records.
        let Ok(zone) = authorities.of(domain).await else { return asker };
        let greeted = join_all(zone.servers.iter().map(|server| zone.greet(server))).await;
        let mut answering = Vec::new();
        let mut seen = Vec::new();
        for (server, greeted) in zone.servers.iter().zip(greeted) {
            let how = match greeted {
                Ok(()) => {
                    answering.push(server.clone());
                    Seen::Answers
                }
                Err(ServerError::Lame(why)) => Seen::Lame(why),
                Err(ServerError::Silent(why)) => Seen::Silent(why),
                Err(ServerError::NoRoute) => Seen::NoRoute,
            };
            seen.push((server.name.clone(), how));
        }
        seen.extend(zone.without_address.iter().map(|name| (name.clone(), Seen::NoAddress)));
        answering.truncate(ASKED);
        asker.servers = Some(Servers { zone: zone.zone.clone(), seen });
        asker.zone = Some((zone, answering));
        asker
    }

    /// The resolver alone.
    pub fn without_servers(sources: &'a Sources) -> Self {
        Self { resolver: &*sources.resolver, zone: None, servers: None, differing: Mutex::default() }
    }

    /// What the servers don't agree about.
    pub fn differing(&self) -> BTreeMap<String, Vec<String>> {
        self.differing.lock().clone()
    }

    /// The answer to a question: by the zone's servers if the name is there, otherwise by the resolver.
    pub async fn ask(&self, question: &Question) -> Result<Answer, DnsError> {
        let mut name = question.name.clone();
        for _ in 0..MAX_HOPS {
            match self.said(&name, question.kind).await {
                Some(Said::Records(records)) => return Ok(Answer { records, secure: false }),
                Some(Said::NoRecords) => return Err(DnsError::NoRecords),
                Some(Said::NoSuchDomain) => return Err(DnsError::NoSuchDomain),
                Some(Said::Elsewhere(next)) => name = next,
                Some(Said::Delegated) | None => return self.resolver.lookup(&name, question.kind).await,
            }
        }
        Err(DnsError::Temporary("too many CNAMEs".to_owned()))
    }

    /// What the zone's servers say; none if the name is not theirs, or none answers.
    async fn said(&self, name: &str, kind: Kind) -> Option<Said> {
        let (zone, answering) = self.zone.as_ref().filter(|(zone, _)| zone.has(name))?;
        let asked = answering.iter().map(|server| async move { (server, zone.ask(server, name, kind).await.ok()) });
        let said = join_all(asked).await;
        let said: Vec<(&NameServer, Said)> =
            said.into_iter().filter_map(|(server, said)| Some((server, sorted(said?)))).collect();
        let most = commonest(&said)?;
        let others: Vec<String> =
            said.iter().filter(|(_, one)| *one != most).map(|(server, _)| server.name.clone()).collect();
        if !others.is_empty() {
            self.differing.lock().insert(format!("{name} {}", kind.name()), others);
        }
        Some(most)
    }

    /// Whether resolvers accept what the zone's servers say.
    pub async fn acceptance(&self, proving: Option<&dyn Resolver>, domain: &str) -> Option<NotAccepted> {
        let (_, answering) = self.zone.as_ref()?;
        if answering.is_empty() {
            return None;
        }
        if let Some(proving) = proving
            && proving.lookup(domain, Kind::Mx).await.is_err_and(|error| error.is_bogus())
        {
            return Some(NotAccepted::Bogus);
        }
        match self.resolver.lookup(domain, Kind::Mx).await {
            Err(error) if error.is_bogus() => Some(NotAccepted::Bogus),
            // A resolver that gives no answer about the root does not work at all.
            Err(DnsError::Temporary(why)) if self.resolver.lookup(".", Kind::Ns).await.is_ok() => {
                Some(NotAccepted::Refused(why))
            }
            _ => None,
        }
    }
}

/// Records come in any order.
fn sorted(said: Said) -> Said {
    match said {
        Said::Records(mut records) => {
            records.sort_by_cached_key(|data: &Data| format!("{data:?}"));
            Said::Records(records)
        }
        other => other,
    }
}

/// What most of them say; if there is no majority, the one with records: a record that was just added is on its way.
fn commonest(said: &[(&NameServer, Said)]) -> Option<Said> {
    let votes = |one: &Said| said.iter().filter(|(_, other)| other == one).count();
    let best = said.iter().map(|(_, one)| one).max_by_key(|one| (votes(one), matches!(one, Said::Records(_))));
    best.cloned()
}
