//! DNS lookups for a domain's mail, behind a trait, so that tests and other resolvers can replace them.

use std::net::IpAddr;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError as HickoryDnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;

/// An MX record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Lower is preferred.
    pub preference: u16,
    /// Host name, lower case, without the final dot; empty is the root: "this domain takes no mail" (RFC 7505).
    pub host: String,
}

/// Why the DNS gave no answer to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist.
    #[error("the domain does not exist")]
    NoSuchDomain,
    /// The name exists, without records of that kind.
    #[error("no such DNS records")]
    NoRecords,
    /// No answer, or one that can not be trusted: ask again later.
    #[error("DNS lookup failed: {0}")]
    Temporary(String),
}

/// Asks the DNS.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// MX records of a domain, in any order; not empty.
    async fn mx(&self, domain: &str) -> Result<Vec<Mx>, DnsError>;
    /// Addresses of a host, CNAMEs followed; not empty.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError>;
}

/// The resolver of the machine's configuration (`/etc/resolv.conf`), with a cache.
pub struct SystemResolver {
    resolver: TokioResolver,
}

impl SystemResolver {
    /// Reads the machine's configuration. Needs a tokio runtime only when asked.
    pub fn new() -> Result<Self, DnsError> {
        let temporary = |error: NetError| DnsError::Temporary(error.to_string());
        let builder = TokioResolver::builder_tokio().map_err(temporary)?;
        Ok(Self { resolver: builder.build().map_err(temporary)? })
    }

    /// Over a resolver that was made elsewhere, to share its cache.
    pub fn from_resolver(resolver: TokioResolver) -> Self {
        Self { resolver }
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn mx(&self, domain: &str) -> Result<Vec<Mx>, DnsError> {
        let lookup = self.resolver.mx_lookup(absolute(domain)).await.map_err(|e| dns_error(&e))?;
        let records = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, host: host_name(&mx.exchange.to_ascii()) }),
            _ => None,
        });
        some(records.collect())
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let lookup = self.resolver.lookup_ip(absolute(host)).await.map_err(|e| dns_error(&e))?;
        some(lookup.iter().collect())
    }
}

/// Stands in where the machine has no usable DNS configuration: everything waits.
pub struct NoResolver(pub DnsError);

#[async_trait]
impl Resolver for NoResolver {
    async fn mx(&self, _domain: &str) -> Result<Vec<Mx>, DnsError> {
        Err(self.0.clone())
    }

    async fn addresses(&self, _host: &str) -> Result<Vec<IpAddr>, DnsError> {
        Err(self.0.clone())
    }
}

/// Without the search list of the machine's configuration.
fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}

fn host_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn some<T>(found: Vec<T>) -> Result<Vec<T>, DnsError> {
    if found.is_empty() { Err(DnsError::NoRecords) } else { Ok(found) }
}

fn dns_error(error: &NetError) -> DnsError {
    match error {
        NetError::Dns(HickoryDnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => DnsError::NoSuchDomain,
            ResponseCode::NoError => DnsError::NoRecords,
            code => DnsError::Temporary(code.to_string()),
        },
        other => DnsError::Temporary(other.to_string()),
    }
}
