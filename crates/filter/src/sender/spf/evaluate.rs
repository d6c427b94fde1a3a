//! Evaluating a record: `check_host()` (RFC 7208 section 4), within its limits.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

use dnskit::{Data, DnsError, Kind, Resolver};

use super::super::outcome::Outcome;
use super::Query;
use super::macros::{Text, Values, is_domain};
use super::record::{Lengths, Mechanism, Record, claims};

/// Most terms that ask the DNS (section 4.6.4).
pub const MAX_LOOKUPS: usize = 10;
/// Most questions that find nothing (section 4.6.4).
pub const MAX_VOID_LOOKUPS: usize = 2;
/// Most hosts of one `mx`; more is an error.
const MAX_MX: usize = 10;
/// Most names of the client that are looked at.
const MAX_NAMES: usize = 10;
/// Longest explanation that is kept.
const MAX_EXPLANATION_BYTES: usize = 400;

/// One evaluation with what it has used up.
pub struct Evaluation<'a> {
    query: &'a Query<'a>,
    ip: IpAddr,
    resolver: &'a dyn Resolver,
    lookups: usize,
    voids: usize,
    /// The names of the client that lead back to it, once they were asked for.
    names: Option<Vec<String>>,
}

/// A result that ends everything.
struct Stop(Outcome);

type Matched = Result<bool, Stop>;

/// The result of one domain, and the `exp=` of the record that gave it with the domain it was for.
type OfHost = (Outcome, Option<(Text, String)>);

impl<'a> Evaluation<'a> {
    pub fn new(query: &'a Query<'a>, resolver: &'a dyn Resolver) -> Self {
        Self { query, ip: query.ip.to_canonical(), resolver, lookups: 0, voids: 0, names: None }
    }

    /// The result for a domain, and the explanation of a `fail`.
    pub async fn whole(mut self, domain: &str) -> (Outcome, Option<String>) {
        let (outcome, record_of) = match self.host(domain.to_owned()).await {
            Ok(found) => found,
            Err(Stop(outcome)) => return (outcome, None),
        };
        let explanation = match record_of {
            Some((text, domain)) if outcome == Outcome::Fail => self.explain(&text, &domain).await,
            _ => None,
        };
        (outcome, explanation)
    }

    /// One domain: its result, and the `exp=` of the record that gave it with the domain it was for.
    fn host<'b>(&'b mut self, domain: String) -> Pin<Box<dyn Future<Output = Result<OfHost, Stop>> + Send + 'b>> {
        Box::pin(async move {
            let Some(record) = self.record(&domain).await? else { return Ok((Outcome::None, None)) };
            for directive in &record.directives {
                if self.matches(&directive.mechanism, &domain).await? {
                    return Ok((directive.outcome, record.explanation.map(|text| (text, domain))));
                }
            }
            let Some(redirect) = &record.redirect else { return Ok((Outcome::Neutral, None)) };
            self.count()?;
            let target = self.name(redirect, &domain).await?;
            if !is_domain(&target) {
                return Err(Stop(Outcome::PermError));
            }
            match self.host(target).await? {
                (Outcome::None, _) => Err(Stop(Outcome::PermError)),
                found => Ok(found),
            }
        })
    }

    async fn record(&self, domain: &str) -> Result<Option<Record>, Stop> {
        let texts = match self.resolver.txt(domain).await {
            Ok(texts) => texts,
            Err(error) if error.is_final() => return Ok(None),
            Err(_) => return Err(Stop(Outcome::TempError)),
        };
        let mut records = texts.iter().filter(|text| claims(text));
        match (records.next(), records.next()) {
            (None, _) => Ok(None),
            (Some(record), None) => Record::read(record).map(Some).ok_or(Stop(Outcome::PermError)),
            (Some(_), Some(_)) => Err(Stop(Outcome::PermError)),
        }
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Matched {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network, length) => Ok(self.is_in(IpAddr::V4(*network), Lengths(*length, 0))),
            Mechanism::Ip6(network, length) => Ok(self.is_in(IpAddr::V6(*network), Lengths(0, *length))),
            Mechanism::Include(target) => {
                self.count()?;
                let target = self.name(target, domain).await?;
                if !is_domain(&target) {
                    return Err(Stop(Outcome::PermError));
                }
                match self.host(target).await?.0 {
                    Outcome::Pass => Ok(true),
                    Outcome::None => Err(Stop(Outcome::PermError)),
                    _ => Ok(false),
                }
            }
            Mechanism::A(target, lengths) => {
                self.count()?;
                let target = self.target(target.as_ref(), domain).await?;
                self.is_host(&target, *lengths).await
            }
            Mechanism::Mx(target, lengths) => {
                self.count()?;
                let target = self.target(target.as_ref(), domain).await?;
                let hosts = self.ask(&target, Kind::Mx).await?;
                if hosts.len() > MAX_MX {
                    return Err(Stop(Outcome::PermError));
                }
                for host in hosts {
                    if let Data::Mx(mx) = host
                        && self.is_host(&mx.host, *lengths).await?
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Ptr(target) => {
                self.count()?;
                let target = self.target(target.as_ref(), domain).await?.to_ascii_lowercase();
                let names = self.names().await?;
                Ok(names.iter().any(|name| super::super::names::is_same_or_below(name, &target)))
            }
            Mechanism::Exists(target) => {
                self.count()?;
                let target = self.name(target, domain).await?;
                Ok(!self.ask(&target, Kind::A).await?.is_empty())
            }
        }
    }

    /// A term that asks the DNS.
    fn count(&mut self) -> Result<(), Stop> {
        self.lookups += 1;
        if self.lookups > MAX_LOOKUPS { Err(Stop(Outcome::PermError)) } else { Ok(()) }
    }

    /// The records of a name; none if there are none.
    async fn ask(&mut self, name: &str, kind: Kind) -> Result<Vec<Data>, Stop> {
        let found = if is_domain(name) { self.resolver.lookup(name, kind).await } else { Err(DnsError::NoSuchDomain) };
        match found {
            Ok(answer) => Ok(answer.records),
            Err(error) if error.is_final() => {
                self.voids += 1;
                if self.voids > MAX_VOID_LOOKUPS { Err(Stop(Outcome::PermError)) } else { Ok(Vec::new()) }
            }
            Err(_) => Err(Stop(Outcome::TempError)),
        }
    }

    const fn address_kind(&self) -> Kind {
        if self.ip.is_ipv4() { Kind::A } else { Kind::Aaaa }
    }

    async fn is_host(&mut self, host: &str, lengths: Lengths) -> Matched {
        let addresses = self.ask(host, self.address_kind()).await?;
        Ok(addresses.iter().any(|data| matches!(data, Data::Address(address) if self.is_in(*address, lengths))))
    }

    fn is_in(&self, network: IpAddr, lengths: Lengths) -> bool {
        match (self.ip, network) {
            (IpAddr::V4(ip), IpAddr::V4(network)) => is_in_four(ip, network, lengths.0),
            (IpAddr::V6(ip), IpAddr::V6(network)) => is_in_six(ip, network, lengths.1),
            _ => false,
        }
    }

    /// The names of the client that lead back to it. Trouble means none (section 5.5).
    async fn names(&mut self) -> Result<Vec<String>, Stop> {
        if let Some(names) = &self.names {
            return Ok(names.clone());
        }
        let mut proved = Vec::new();
        let claimed = match self.resolver.names_of(self.ip).await {
            Ok(names) => names,
            Err(error) => {
                if error.is_final() {
                    self.voids += 1;
                    if self.voids > MAX_VOID_LOOKUPS {
                        return Err(Stop(Outcome::PermError));
                    }
                }
                Vec::new()
            }
        };
        for name in claimed.into_iter().take(MAX_NAMES) {
            let found = self.resolver.lookup(&name, self.address_kind()).await;
            let leads_back = |data: &Data| matches!(data, Data::Address(address) if *address == self.ip);
            if found.is_ok_and(|answer| answer.records.iter().any(leads_back)) {
                proved.push(name);
            }
        }
        self.names = Some(proved.clone());
        Ok(proved)
    }

    async fn target(&mut self, target: Option<&Text>, domain: &str) -> Result<String, Stop> {
        match target {
            Some(target) => self.name(target, domain).await,
            None => Ok(domain.to_owned()),
        }
    }

    async fn name(&mut self, text: &Text, domain: &str) -> Result<String, Stop> {
        let validated = self.validated(text, domain).await?;
        Ok(text.expand_domain(&self.values(domain, &validated)))
    }

    /// The client's name for `%{p}`: the domain itself if it is one, one below it, any, or `unknown`.
    async fn validated(&mut self, text: &Text, domain: &str) -> Result<String, Stop> {
        if !text.needs_name() {
            return Ok(String::new());
        }
        let names = self.names().await?;
        let below = |name: &&String| super::super::names::is_same_or_below(name, domain);
        let best = names.iter().find(|name| *name == domain).or_else(|| names.iter().find(below));
        Ok(best.or_else(|| names.first()).cloned().unwrap_or_else(|| "unknown".to_owned()))
    }

    fn values<'b>(&'b self, domain: &'b str, validated: &'b str) -> Values<'b> {
        let query = self.query;
        Values {
            local: if query.local.is_empty() { "postmaster" } else { query.local },
            sender_domain: query.domain,
            domain,
            ip: self.ip,
            helo: query.helo,
            receiver: query.receiver,
            now: query.now,
            validated,
        }
    }

    /// What the domain says about a `fail` (section 6.2); trouble means nothing.
    async fn explain(&mut self, text: &Text, domain: &str) -> Option<String> {
        let name = self.name(text, domain).await.ok()?;
        let texts = self.resolver.txt(&name).await.ok()?;
        let [only] = texts.as_slice() else { return None };
        let text = Text::explanation(std::str::from_utf8(only).ok()?)?;
        let validated = self.validated(&text, domain).await.ok()?;
        let said = text.expand(&self.values(domain, &validated));
        let is_plain = said.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        (is_plain && said.len() <= MAX_EXPLANATION_BYTES).then_some(said)
    }
}

fn is_in_four(ip: Ipv4Addr, network: Ipv4Addr, length: u8) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
    ip.to_bits() & mask == network.to_bits() & mask
}

fn is_in_six(ip: Ipv6Addr, network: Ipv6Addr, length: u8) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    ip.to_bits() & mask == network.to_bits() & mask
}
