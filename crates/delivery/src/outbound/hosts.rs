//! To which hosts mail for a domain goes, and in which order (RFC 5321 §5.1, RFC 7505).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use doorkit::Reach;
use rand::seq::SliceRandom;

use super::dane::Dane;
use crate::{Credentials, DeliveryOptions, TlsPolicy};
use dnskit::{DnsError, Mx, Resolver};

/// Most hosts of a domain that are tried in one attempt.
pub const MAX_HOSTS: usize = 8;
/// Most addresses of one host that are tried in one attempt.
pub const MAX_ADDRESSES: usize = 4;

/// A host to try.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name, for TLS, logs and reports.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Where the name leads is for the DNS to say; from there, loopback addresses are suspicious.
    pub from_dns: bool,
    /// How the connection must be secured.
    pub tls: TlsPolicy,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// How to sign in, if at all.
    pub credentials: Option<Credentials>,
    /// What the certificate must fit by DANE; goes before `tls`.
    pub dane: Option<Arc<Dane>>,
    /// Whether the certificate is a true one is looked at, although nothing depends on it.
    pub watched: bool,
}

impl Host {
    /// A host that the DNS names, without any demand.
    pub fn named(name: String, port: u16) -> Self {
        Self {
            name,
            port,
            from_dns: true,
            tls: TlsPolicy::Opportunistic,
            implicit_tls: false,
            credentials: None,
            dane: None,
            watched: false,
        }
    }

    /// Whether mail may go there in plain text if there is no TLS to be had.
    pub fn may_be_plain(&self) -> bool {
        let lenient = matches!(self.tls, TlsPolicy::Off | TlsPolicy::Opportunistic);
        lenient && self.dane.is_none() && !self.implicit_tls
    }

    /// How the connection is secured: what a kept connection must have been opened with to be used again.
    pub fn grade(&self) -> Grade {
        Grade { tls: self.tls, dane: self.dane.clone(), watched: self.watched }
    }
}

/// How a connection is secured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grade {
    tls: TlsPolicy,
    dane: Option<Arc<Dane>>,
    watched: bool,
}

/// Why there are no hosts to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoHost {
    /// There never will be: code, enhanced code with text.
    Permanent(&'static str, String),
    /// There may be later.
    Temporary(&'static str, String),
}

impl NoHost {
    fn permanent(status: &'static str, text: impl Into<String>) -> Self {
        Self::Permanent(status, text.into())
    }

    fn temporary(status: &'static str, text: impl Into<String>) -> Self {
        Self::Temporary(status, text.into())
    }
}

/// The hosts for `domain`: a static route, the smarthost, an address literal, or its MX in order of preference.
pub async fn hosts_for(domain: &str, options: &DeliveryOptions, resolver: &dyn Resolver) -> Result<Vec<Host>, NoHost> {
    if let Some(hop) = options.static_routes.get(domain) {
        return Ok(vec![Host {
            from_dns: false,
            tls: options.tls,
            implicit_tls: hop.implicit_tls,
            ..Host::named(hop.host.clone(), hop.port)
        }]);
    }
    if let Some(smarthost) = &options.smarthost {
        return Ok(vec![Host {
            from_dns: false,
            tls: smarthost.tls,
            implicit_tls: smarthost.hop.implicit_tls,
            credentials: smarthost.credentials.clone(),
            ..Host::named(smarthost.hop.host.clone(), smarthost.hop.port)
        }]);
    }
    let by_dns = |name: String| Host { tls: options.tls, ..Host::named(name, options.mx_port) };
    if domain.starts_with('[') {
        let ip = literal(domain).ok_or_else(|| NoHost::permanent("5.1.2", format!("{domain} is not an IP address")))?;
        return Ok(vec![by_dns(ip.to_string())]);
    }
    let records = match resolver.mx(domain).await {
        Ok(records) => records,
        // No MX: the domain itself is its host (RFC 5321 §5.1, "implicit MX").
        Err(DnsError::NoRecords) => vec![Mx { preference: 0, host: domain.to_owned() }],
        Err(DnsError::NoSuchDomain) => {
            return Err(NoHost::permanent("5.1.2", format!("the domain {domain} does not exist")));
        }
        Err(DnsError::Temporary(why)) => {
            return Err(NoHost::temporary("4.4.3", format!("MX lookup for {domain} failed: {why}")));
        }
    };
    if records.iter().all(|mx| mx.host.is_empty()) {
        return Err(NoHost::permanent("5.1.10", format!("the domain {domain} does not accept mail (null MX)")));
    }
    let hosts = order(records, &options.hostname, &mut rand::rng());
    if hosts.is_empty() {
        let text = format!("the DNS names this server as the best MX of {domain}, but the domain is not set up here");
        return Err(NoHost::permanent("5.4.6", text));
    }
    Ok(hosts.into_iter().take(MAX_HOSTS).map(by_dns).collect())
}

/// Hosts by preference, in random order among equals; those at or behind ourselves are left out (RFC 5321 §5.1).
fn order(mut records: Vec<Mx>, own_name: &str, rng: &mut impl rand::Rng) -> Vec<String> {
    let own = own_name.trim_end_matches('.');
    if let Some(limit) = records.iter().filter(|mx| mx.host.eq_ignore_ascii_case(own)).map(|mx| mx.preference).min() {
        records.retain(|mx| mx.preference < limit);
    }
    records.retain(|mx| !mx.host.is_empty());
    records.shuffle(rng);
    records.sort_by_key(|mx| mx.preference);
    let mut hosts: Vec<String> = Vec::with_capacity(records.len());
    for mx in records {
        if !hosts.contains(&mx.host) {
            hosts.push(mx.host);
        }
    }
    hosts
}

/// The addresses of a host that may be connected to.
pub async fn addresses_of(
    host: &Host,
    options: &DeliveryOptions,
    resolver: &dyn Resolver,
) -> Result<Vec<SocketAddr>, NoHost> {
    let found = match host.name.parse::<IpAddr>() {
        Ok(ip) => vec![ip],
        Err(_) if !host.from_dns && host.name == "localhost" => vec![IpAddr::from([127, 0, 0, 1])],
        Err(_) => resolver.addresses(&host.name).await.map_err(|error| match error {
            DnsError::Temporary(why) => {
                NoHost::temporary("4.4.3", format!("address lookup for {} failed: {why}", host.name))
            }
            // A host named by an MX: the domain exists, so this may be a temporary mistake.
            DnsError::NoSuchDomain | DnsError::NoRecords => {
                NoHost::temporary("4.4.3", format!("the mail host {} has no address", host.name))
            }
        })?,
    };
    let mut usable = Vec::new();
    let mut refused = None;
    for ip in found {
        let address = SocketAddr::new(ip, host.port);
        if options.own_addresses.iter().any(|own| leads_to(address, *own)) {
            refused = Some(NoHost::permanent("5.4.6", format!("mail loop: {} is this server itself", host.name)));
        } else if host.from_dns && !is_allowed(ip, options) {
            // Which address it is, and what answers there, is not for the sender to learn.
            let text =
                format!("the mail host {} is in a network that this server is not allowed to send mail to", host.name);
            refused = Some(NoHost::permanent("5.4.4", text));
        } else if options.bind.is_none_or(|bind| bind.is_ipv4() == ip.is_ipv4()) {
            usable.push(address);
        }
    }
    if usable.is_empty() {
        let none = || {
            NoHost::temporary("4.4.4", format!("the mail host {} has no address that this server can reach", host.name))
        };
        return Err(refused.unwrap_or_else(none));
    }
    let mut usable = alternating(usable);
    usable.truncate(MAX_ADDRESSES);
    Ok(usable)
}

/// The two families in turn, so that neither is left out where the other does not work.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let (one, other) = (first.next(), second.next());
        if one.is_none() && other.is_none() {
            return turns;
        }
        turns.extend(one);
        turns.extend(other);
    }
}

fn leads_to(address: SocketAddr, own: SocketAddr) -> bool {
    let same_ip = address.ip() == own.ip() || (own.ip().is_unspecified() && address.ip().is_loopback());
    same_ip && address.port() == own.port()
}

/// Whether an address that the DNS or an address literal gave may be connected to.
fn is_allowed(ip: IpAddr, options: &DeliveryOptions) -> bool {
    match Reach::of(ip) {
        Reach::Public => true,
        Reach::Private => options.allow_private_networks,
        Reach::Machine => options.allow_loopback_mx,
    }
}

/// `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => inner[5..].parse().ok().map(IpAddr::V6),
        _ => inner.parse().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A DNS that knows what it is told.
    #[derive(Default)]
    struct Zone {
        mx: BTreeMap<&'static str, Result<Vec<Mx>, DnsError>>,
        addresses: BTreeMap<&'static str, Result<Vec<IpAddr>, DnsError>>,
    }

    #[async_trait::async_trait]
    impl Resolver for Zone {
        async fn lookup(&self, _name: &str, _kind: dnskit::Kind) -> Result<dnskit::Answer, DnsError> {
            Err(DnsError::NoSuchDomain)
        }
        async fn mx(&self, domain: &str) -> Result<Vec<Mx>, DnsError> {
            self.mx.get(domain).cloned().unwrap_or(Err(DnsError::NoSuchDomain))
        }
        async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
            self.addresses.get(host).cloned().unwrap_or(Err(DnsError::NoSuchDomain))
        }
    }

    fn mx(preference: u16, host: &str) -> Mx {
        Mx { preference, host: host.to_owned() }
    }

    fn options() -> DeliveryOptions {
        DeliveryOptions { hostname: "me.example".into(), ..DeliveryOptions::default() }
    }

    async fn names(zone: &Zone, domain: &str) -> Result<Vec<String>, NoHost> {
        Ok(hosts_for(domain, &options(), zone).await?.into_iter().map(|h| h.name).collect())
    }

    #[tokio::test]
    async fn hosts_come_by_preference_and_equals_in_turn() {
        let mut zone = Zone::default();
        let records = vec![mx(20, "c.example"), mx(10, "a.example"), mx(10, "b.example"), mx(30, "a.example")];
        zone.mx.insert("x.example", Ok(records));
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..64 {
            let hosts = names(&zone, "x.example").await.unwrap();
            assert_eq!(hosts.len(), 3);
            assert_eq!(hosts[2], "c.example");
            firsts.insert(hosts[0].clone());
        }
        assert_eq!(firsts.len(), 2, "equal preference shares the load");
    }

    #[tokio::test]
    async fn a_domain_without_mx_is_its_own_host_and_a_null_mx_takes_no_mail() {
        let mut zone = Zone::default();
        zone.mx.insert("plain.example", Err(DnsError::NoRecords));
        zone.mx.insert("null.example", Ok(vec![mx(0, "")]));
        zone.mx.insert("later.example", Err(DnsError::Temporary("timeout".into())));
        assert_eq!(names(&zone, "plain.example").await.unwrap(), ["plain.example"]);
        assert!(matches!(names(&zone, "null.example").await, Err(NoHost::Permanent("5.1.10", _))));
        assert!(matches!(names(&zone, "none.example").await, Err(NoHost::Permanent("5.1.2", _))));
        assert!(matches!(names(&zone, "later.example").await, Err(NoHost::Temporary("4.4.3", _))));
    }

    #[tokio::test]
    async fn hosts_at_or_behind_ourselves_are_not_tried() {
        let mut zone = Zone::default();
        zone.mx.insert("x.example", Ok(vec![mx(10, "a.example"), mx(20, "Me.example"), mx(20, "b.example")]));
        zone.mx.insert("loop.example", Ok(vec![mx(10, "me.example"), mx(20, "b.example")]));
        assert_eq!(names(&zone, "x.example").await.unwrap(), ["a.example"]);
        assert!(matches!(names(&zone, "loop.example").await, Err(NoHost::Permanent("5.4.6", _))));
    }

    #[tokio::test]
    async fn loopback_from_the_dns_and_our_own_listeners_are_refused() {
        let mut zone = Zone::default();
        let ips = |list: &[&str]| Ok(list.iter().map(|ip| ip.parse().unwrap()).collect());
        zone.addresses.insert("evil.example", ips(&["127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1"]));
        zone.addresses.insert("half.example", ips(&["127.0.0.1", "192.0.2.1"]));
        zone.addresses.insert("me.example", ips(&["192.0.2.9"]));
        let own = "192.0.2.9:25".parse().unwrap();
        let options = DeliveryOptions { own_addresses: vec![own], ..options() };
        let host = |name: &str| Host { tls: TlsPolicy::Off, ..Host::named(name.to_owned(), 25) };
        let evil = addresses_of(&host("evil.example"), &options, &zone).await;
        assert!(matches!(evil, Err(NoHost::Permanent("5.4.4", _))));
        let half = addresses_of(&host("half.example"), &options, &zone).await.unwrap();
        assert_eq!(half, ["192.0.2.1:25".parse().unwrap()]);
        zone.addresses.insert("six.example", ips(&["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"]));
        let six = addresses_of(&host("six.example"), &options, &zone).await.unwrap();
        assert_eq!(six[1], "192.0.2.1:25".parse().unwrap(), "both families get their turn");
        let me = addresses_of(&host("me.example"), &options, &zone).await;
        assert!(matches!(me, Err(NoHost::Permanent("5.4.6", _))));
    }

    #[tokio::test]
    async fn private_networks_are_not_felt_out() {
        let inner = [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "fd00::1",
            "fc00::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::1",
        ];
        let never = [
            "127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.1.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
        ];
        let outer = [
            "192.0.2.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2001:db8::1",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ];
        let private = DeliveryOptions { allow_private_networks: true, ..options() };
        for (ips, by_default, allowed) in
            [(&inner[..], false, true), (&never[..], false, false), (&outer[..], true, true)]
        {
            for ip in ips {
                let parsed: IpAddr = ip.parse().unwrap();
                assert_eq!(is_allowed(parsed, &options()), by_default, "{ip}");
                assert_eq!(is_allowed(parsed, &private), allowed, "{ip}");
                let literal = if parsed.is_ipv6() { format!("[IPv6:{ip}]") } else { format!("[{ip}]") };
                let host = &hosts_for(&literal, &options(), &Zone::default()).await.unwrap()[0];
                let found = addresses_of(host, &options(), &Zone::default()).await;
                assert_eq!(found.is_ok(), by_default, "{literal}");
            }
        }
        // A name that leads there tells nothing of where.
        let mut zone = Zone::default();
        zone.mx.insert("inner.example", Err(DnsError::NoRecords));
        zone.addresses.insert("inner.example", Ok(vec!["10.0.0.1".parse().unwrap()]));
        let host = &hosts_for("inner.example", &options(), &zone).await.unwrap()[0];
        let Err(NoHost::Permanent("5.4.4", text)) = addresses_of(host, &options(), &zone).await else { panic!() };
        assert!(!text.contains("10.0"), "{text}");
    }

    #[tokio::test]
    async fn address_literals_need_no_dns() {
        let zone = Zone::default();
        assert_eq!(names(&zone, "[192.0.2.1]").await.unwrap(), ["192.0.2.1"]);
        assert_eq!(names(&zone, "[IPv6:2001:db8::1]").await.unwrap(), ["2001:db8::1"]);
        assert!(matches!(names(&zone, "[what]").await, Err(NoHost::Permanent("5.1.2", _))));
    }

    #[tokio::test]
    async fn static_routes_go_before_the_smarthost_and_that_before_mx() {
        let zone = Zone::default();
        let smarthost = crate::Smarthost {
            hop: crate::NextHop::new("relay.example", 587),
            tls: TlsPolicy::Require,
            credentials: None,
        };
        let static_routes = [("x.example".to_owned(), crate::NextHop::new("127.0.0.1", 2525))].into();
        let options = DeliveryOptions { smarthost: Some(smarthost), static_routes, ..options() };
        let fixed = hosts_for("x.example", &options, &zone).await.unwrap();
        assert_eq!((fixed[0].name.as_str(), fixed[0].port), ("127.0.0.1", 2525));
        let relayed = hosts_for("y.example", &options, &zone).await.unwrap();
        assert_eq!((relayed[0].name.as_str(), relayed[0].tls), ("relay.example", TlsPolicy::Require));
    }
}
