//! What is demanded of the way to a domain and to each of its hosts: DANE (RFC 7672) before MTA-STS (RFC 8461), what the
//! sender asks for (RFC 8689), and the operator's exceptions.

use std::sync::Arc;

use dnskit::{DnsError, Kind, Resolver};
use store::Store;

use super::connection::Connection;
use super::dane;
use super::hosts::Host;
use super::problem::{TlsFailure, TlsProblem};
use super::sts::known::{Found, Known};
use super::sts::{Mode, Policy};
use super::tally::{PolicyKind, Tally};
use super::tls::TlsClients;
use super::transaction::TlsWish;
use crate::schema::SecurityRecord;
use crate::{DaneUse, DeliveryOptions, Result, TlsPolicy};

/// Knows what is demanded.
pub struct Security {
    known: Known,
    /// Whose answers are proved; `None` where DANE is off.
    validating: Option<Arc<dyn Resolver>>,
    options: DeliveryOptions,
    store: Store,
    /// What became of each connection, for reports.
    pub tally: Tally,
}

/// What is demanded of the way to a domain.
#[derive(Debug, Default)]
pub struct Demands {
    domain: String,
    wish: TlsWish,
    /// It has a policy of its own, or none: it is not a fixed route, a smarthost or an address.
    by_dns: bool,
    sts: Found,
    /// Whether its MX record is proved.
    mx: Option<std::result::Result<bool, String>>,
    exception: String,
}

/// What is demanded of a connection to a host.
#[derive(Debug)]
pub struct HostDemand {
    /// The host, with what is demanded.
    pub host: Host,
    /// By which policy.
    pub policy: PolicyKind,
    /// What is wrong with the host before anything was sent, where nothing depends on it.
    pub flaw: Option<TlsProblem>,
}

/// Why a host is not connected to.
#[derive(Debug)]
pub struct Unfit {
    /// By which policy.
    pub policy: PolicyKind,
    /// Why.
    pub problem: TlsProblem,
    /// Waiting does not help.
    pub is_final: bool,
}

impl Security {
    /// With the policies that `store` keeps. `validating` is asked where DANE is on.
    pub fn load(
        store: Store,
        resolver: Arc<dyn Resolver>,
        validating: Option<Arc<dyn Resolver>>,
        options: DeliveryOptions,
        tls: &TlsClients,
    ) -> Result<Self> {
        let known = Known::load(store.clone(), resolver, tls.verified.clone())?;
        let validating = validating.filter(|_| options.dane != DaneUse::Off);
        Ok(Self { known, validating, options, tally: Tally::new(store.clone()), store })
    }

    /// Fetches policies that are near their end, and writes down what was counted.
    pub async fn upkeep(&self) {
        self.known.refresh(&self.options).await;
        self.tally.write().await;
    }

    /// What is demanded of mail to `domain` with these hosts, whose sender wishes so.
    pub async fn of_domain(&self, domain: &str, hosts: &[Host], wish: TlsWish) -> Demands {
        let by_dns = hosts.first().is_some_and(|host| host.from_dns) && !domain.starts_with('[');
        let mut demands = Demands { domain: domain.to_owned(), wish, by_dns, ..Demands::default() };
        if !by_dns {
            return demands;
        }
        if let Some(exception) = self.options.tls_exceptions.get(domain) {
            let now_ms = self.store.clock().now_ms();
            if exception.until_ms.is_none_or(|until_ms| now_ms < until_ms) {
                demands.exception = exception.to_string();
                return demands;
            }
        }
        if self.options.mta_sts {
            demands.sts = self.known.of(domain, &self.options).await;
        }
        if let Some(problem) = &demands.sts.problem {
            self.tally.failure(domain, &PolicyKind::Sts(None), "", "", problem);
        }
        if let Some(resolver) = &self.validating {
            demands.mx = Some(match resolver.lookup(domain, Kind::Mx).await {
                Ok(answer) => Ok(answer.secure),
                // The domain is its own host: its address says whether anything is proved.
                Err(DnsError::NoRecords) => Ok(true),
                Err(DnsError::NoSuchDomain) => Ok(false),
                Err(DnsError::Temporary(why)) => Err(why),
            });
        }
        demands
    }

    /// What is demanded of a connection to one of the hosts.
    pub async fn of_host(&self, demands: &Demands, host: &Host) -> std::result::Result<HostDemand, Unfit> {
        let mut demand = HostDemand { host: host.clone(), policy: PolicyKind::None, flaw: None };
        if demands.wish == TlsWish::Optional && demands.by_dns {
            return Ok(demand);
        }
        if demands.by_dns && demands.exception.is_empty() {
            self.by_policies(demands, &mut demand).await?;
        }
        if demands.wish == TlsWish::Required {
            demanded_by_sender(demands, &mut demand)?;
        }
        Ok(demand)
    }

    async fn by_policies(&self, demands: &Demands, demand: &mut HostDemand) -> std::result::Result<(), Unfit> {
        let host = &mut demand.host;
        match self.by_dane(demands, host).await {
            dane::Demand::Nothing => {}
            dane::Demand::Untrusted(why) => {
                let problem = TlsProblem::new(TlsFailure::DnssecInvalid, format!("DNSSEC: {why}"));
                return Err(Unfit { policy: PolicyKind::Tlsa(Vec::new()), problem, is_final: false });
            }
            dane::Demand::Certificate(dane) => {
                demand.policy = PolicyKind::tlsa(&dane);
                host.dane = Some(dane);
                return Ok(());
            }
            dane::Demand::Encryption => {
                demand.policy = PolicyKind::Tlsa(Vec::new());
                host.tls = TlsPolicy::Require;
            }
        }
        let Some(policy) = &demands.sts.policy else { return Ok(()) };
        let problem = (!policy.covers(&host.name)).then(|| {
            let text = format!("the MTA-STS policy of {} does not allow the mail host {}", demands.domain, host.name);
            TlsProblem::new(TlsFailure::ValidationFailure, text)
        });
        match policy.mode {
            Mode::None => return Ok(()),
            Mode::Enforce => {
                host.tls = TlsPolicy::Verify;
                if let Some(problem) = problem {
                    return Err(Unfit { policy: sts(policy), problem, is_final: false });
                }
            }
            Mode::Testing => {
                host.watched = true;
                demand.flaw = problem;
            }
        }
        demand.policy = sts(policy);
        Ok(())
    }

    async fn by_dane(&self, demands: &Demands, host: &Host) -> dane::Demand {
        match (&self.validating, &demands.mx) {
            (Some(_), Some(Err(why))) => {
                dane::Demand::Untrusted(format!("the MX record of {} can't be validated: {why}", demands.domain))
            }
            (Some(resolver), Some(Ok(true))) => dane::demand(&**resolver, &host.name, host.port, &demands.domain).await,
            _ => dane::Demand::Nothing,
        }
    }
}

fn sts(policy: &Arc<Policy>) -> PolicyKind {
    PolicyKind::Sts(Some(Arc::clone(policy)))
}

/// The sender demands TLS all the way (RFC 8689 §4.2.1): the host's name is proved, and its certificate is true.
fn demanded_by_sender(demands: &Demands, demand: &mut HostDemand) -> std::result::Result<(), Unfit> {
    let by_sts = demands.sts.policy.as_ref().is_some_and(|policy| policy.covers(&demand.host.name));
    let is_proved = !demands.by_dns || by_sts || demands.mx == Some(Ok(true));
    if !is_proved {
        let text = format!(
            "the sender demands secure transport (REQUIRETLS), but neither DNSSEC nor MTA-STS proves the mail hosts of {}",
            demands.domain
        );
        let problem = TlsProblem::new(TlsFailure::ValidationFailure, text);
        return Err(Unfit { policy: demand.policy.clone(), problem, is_final: true });
    }
    if demand.host.dane.is_none() {
        demand.host.tls = TlsPolicy::Verify;
    }
    Ok(())
}

impl Demands {
    /// For the queue: what was demanded, and that it failed.
    pub fn failed(&self, policy: &PolicyKind, problem: &TlsProblem) -> SecurityRecord {
        SecurityRecord { result: problem.text.clone(), failed: true, ..self.record(policy) }
    }

    /// For the queue: what was demanded, and what was had.
    pub fn done(&self, policy: &PolicyKind, connection: &Connection, flaw: Option<&TlsProblem>) -> SecurityRecord {
        let how = if connection.is_tls() { connection.agreed() } else { "not encrypted" };
        let result = flaw.map_or_else(|| how.to_owned(), |problem| format!("{how}; {}", problem.text));
        SecurityRecord { result, ..self.record(policy) }
    }

    fn record(&self, policy: &PolicyKind) -> SecurityRecord {
        let policy = match (policy, self.wish) {
            (_, TlsWish::Optional) if self.by_dns => "TLS-Required: No".to_owned(),
            (PolicyKind::None, TlsWish::Required) => "REQUIRETLS".to_owned(),
            (policy, TlsWish::Required) => format!("REQUIRETLS, {policy}"),
            (policy, _) => policy.to_string(),
        };
        SecurityRecord { policy, exception: self.exception.clone(), ..SecurityRecord::default() }
    }

    /// The sender demands secure transport.
    pub fn is_required(&self) -> bool {
        self.wish == TlsWish::Required
    }

    /// Whose policy it is, in reports; `None` where there is nothing to report.
    pub fn counted(&self) -> Option<&str> {
        self.by_dns.then_some(self.domain.as_str())
    }
}
