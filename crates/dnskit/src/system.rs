//! The resolver of the machine.

use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as HickoryDnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::{Answer, BOGUS, Caa, Data, DnsError, Kind, Mx, Resolver, Srv, Tlsa, plain};

/// The resolver of the machine's configuration (`/etc/resolv.conf`), with a cache. Cheap to clone.
#[derive(Clone)]
pub struct SystemResolver {
    resolver: TokioResolver,
}

impl SystemResolver {
    /// Reads the machine's configuration. Needs a tokio runtime only when asked.
    ///
    /// # Errors
    /// A configuration that can't be read or used.
    pub fn new() -> Result<Self, DnsError> {
        Self::build(&[], |_| {})
    }

    /// Asks these servers instead of those of the machine's configuration, unless there are none.
    ///
    /// # Errors
    /// A configuration that can't be read or used.
    pub fn asking(servers: &[SocketAddr]) -> Result<Self, DnsError> {
        Self::build(servers, |_| {})
    }

    /// The same without a memory of its own: each answer is asked for, so that a record that was just set is seen as soon as
    /// the servers see it.
    ///
    /// # Errors
    /// A configuration that can't be read or used.
    pub fn forgetful(servers: &[SocketAddr]) -> Result<Self, DnsError> {
        Self::build(servers, |options| options.cache_size = 0)
    }

    fn build(servers: &[SocketAddr], change: impl FnOnce(&mut ResolverOpts)) -> Result<Self, DnsError> {
        let temporary = |error: NetError| DnsError::Temporary(error.to_string());
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(temporary)?
        } else {
            let at = |server: &SocketAddr| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            };
            let config = ResolverConfig::from_name_servers(servers.iter().map(at).collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        change(builder.options_mut());
        Ok(Self { resolver: builder.build().map_err(temporary)? })
    }

    /// The same, checking all answers by DNSSEC from the root on: [`Answer::secure`] is true of what is proved, and what is proved
    /// to be false is an error.
    ///
    /// # Errors
    /// A configuration that can't be read or used.
    pub fn validating(servers: &[SocketAddr]) -> Result<Self, DnsError> {
        Self::build(servers, |options| options.validate = true)
    }

    /// Over a resolver that was made elsewhere, to share its cache.
    pub fn from_resolver(resolver: TokioResolver) -> Self {
        Self { resolver }
    }

    /// The resolver itself, for libraries that want this one.
    pub fn tokio(&self) -> &TokioResolver {
        &self.resolver
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        let lookup = self.resolver.lookup(absolute(name), record_type(kind)).await.map_err(|e| dns_error(&e))?;
        let answers = lookup.answers();
        let of_kind = answers.iter().filter(|record| record.record_type() == record_type(kind));
        let records: Vec<Data> = of_kind.filter_map(|record| data(&record.data)).collect();
        if records.is_empty() {
            return Err(DnsError::NoRecords);
        }
        let mut proved = answers.iter().filter(|record| record.record_type() != RecordType::RRSIG);
        Ok(Answer { records, secure: proved.all(|record| record.proof.is_secure()) })
    }

    /// Also those of the machine's hosts file.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let lookup = self.resolver.lookup_ip(absolute(host)).await.map_err(|e| dns_error(&e))?;
        let found: Vec<IpAddr> = lookup.iter().collect();
        if found.is_empty() { Err(DnsError::NoRecords) } else { Ok(found) }
    }
}

/// Stands in where the machine has no usable DNS configuration: everything waits.
pub struct NoResolver(pub DnsError);

#[async_trait]
impl Resolver for NoResolver {
    async fn lookup(&self, _name: &str, _kind: Kind) -> Result<Answer, DnsError> {
        Err(self.0.clone())
    }
}

pub(crate) const fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
        Kind::Cname => RecordType::CNAME,
        Kind::Mx => RecordType::MX,
        Kind::Txt => RecordType::TXT,
        Kind::Ptr => RecordType::PTR,
        Kind::Ns => RecordType::NS,
        Kind::Tlsa => RecordType::TLSA,
        Kind::Srv => RecordType::SRV,
        Kind::Caa => RecordType::CAA,
    }
}

pub(crate) fn data(record: &RData) -> Option<Data> {
    Some(match record {
        RData::A(address) => Data::Address(IpAddr::V4(address.0)),
        RData::AAAA(address) => Data::Address(IpAddr::V6(address.0)),
        RData::CNAME(name) => Data::Name(plain(&name.0.to_ascii())),
        RData::PTR(name) => Data::Name(plain(&name.0.to_ascii())),
        RData::NS(name) => Data::Name(plain(&name.0.to_ascii())),
        RData::MX(mx) => Data::Mx(Mx { preference: mx.preference, host: plain(&mx.exchange.to_ascii()) }),
        RData::TXT(text) => Data::Text(text.txt_data.concat()),
        RData::TLSA(tlsa) => Data::Tlsa(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        RData::SRV(srv) => Data::Srv(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            host: plain(&srv.target.to_ascii()),
        }),
        RData::CAA(caa) => Data::Caa(Caa {
            critical: caa.issuer_critical,
            tag: caa.tag.to_ascii_lowercase(),
            value: caa.value.clone(),
        }),
        _ => return None,
    })
}

/// Without the search list of the machine's configuration.
fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}

fn dns_error(error: &NetError) -> DnsError {
    match error {
        NetError::Dns(HickoryDnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => DnsError::NoSuchDomain,
            ResponseCode::NoError => DnsError::NoRecords,
            code => DnsError::Temporary(code.to_string()),
        },
        // That there is nothing is not proved. Where nothing can be proved that is an answer, elsewhere a lie.
        NetError::Dns(HickoryDnsError::Nsec { response, proof, .. }) if proof.is_insecure() => {
            match response.response_code {
                ResponseCode::NXDomain => DnsError::NoSuchDomain,
                ResponseCode::NoError => DnsError::NoRecords,
                code => DnsError::Temporary(code.to_string()),
            }
        }
        NetError::Dns(HickoryDnsError::Nsec { .. } | HickoryDnsError::DnssecBogus) => {
            DnsError::Temporary(BOGUS.to_owned())
        }
        other => DnsError::Temporary(other.to_string()),
    }
}
