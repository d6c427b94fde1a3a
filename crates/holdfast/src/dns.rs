//! The DNS: whom this service asks, and what the DNS should say of it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use delivery::Delivery;
use directory::Directory;
use dnskit::{Authorities, NoResolver, Resolver, SystemResolver, ValidatingResolver};
use domaincheck::{Certificate, Checks, MailService, Policies, ServedPolicy, Service, Sources, UnreadPolicy};
use doorkit::Tls;
use relay::Receiver;

use crate::{config::Config, listeners::Kind};

/// The file in the data folder that has the last reports.
const REPORTS: &str = "domain-checks";

/// The resolver of this service, as configured.
pub fn resolver(config: &Config) -> Arc<dyn Resolver> {
    usable(SystemResolver::asking(&config.dns.addresses()).inspect_err(|error| {
        tracing::error!(%error, "DNS is not available: mail for other domains waits in the queue");
    }))
}

fn usable(made: Result<SystemResolver, dnskit::DnsError>) -> Arc<dyn Resolver> {
    match made {
        Ok(resolver) => Arc::new(resolver),
        Err(error) => Arc::new(NoResolver(error)),
    }
}

/// Reads policies by the means with which those of others are read before mail goes out.
struct ByDelivery(Delivery);

#[async_trait]
impl Policies for ByDelivery {
    async fn read(&self, domain: &str) -> Result<ServedPolicy, UnreadPolicy> {
        match self.0.look_at_policy(domain).await {
            Ok((mode, hosts)) => Ok(ServedPolicy { mode: mode.to_owned(), hosts }),
            Err(unread) => Err(UnreadPolicy { why: unread.why, reached: unread.reached }),
        }
    }
}

/// Whom the checks ask. The resolver has no memory: a record that was just set is to be seen.
fn sources(config: &Config, delivery: &Delivery) -> Sources {
    let servers = config.dns.addresses();
    // That the DNS can't be used was said of the other.
    let resolver = usable(SystemResolver::forgetful(&servers));
    let proving = ValidatingResolver::asking(&servers, false).ok();
    let port = Some(config.dns.authority_port).filter(|port| *port > 0);
    Sources {
        authorities: port.map(|port| Authorities::at_port(resolver.clone(), port)),
        proving: proving.map(|resolver| Arc::new(resolver) as Arc<dyn Resolver>),
        policies: Some(Arc::new(ByDelivery(delivery.clone()))),
        resolver,
    }
}

/// The checks of all domains. `tls` is set once the certificate was read, `relays` once relays may connect.
pub fn checks(
    (directory, delivery): (&Directory, &Delivery),
    config: &Config,
    tls: Arc<OnceLock<Tls>>,
    relays: Arc<OnceLock<Arc<Receiver>>>,
) -> Checks {
    let (directory, config) = (directory.clone(), config.clone());
    let sources = sources(&config, delivery);
    let file = config.data_dir.join(REPORTS);
    Checks::asking(directory, sources, move || {
        let paired = relays.get().map(|receiver| receiver.relays()).unwrap_or_default();
        service(&config, tls.get(), &paired.into_iter().map(|relay| relay.name).collect::<Vec<_>>())
    })
    .kept_in(&file)
}

/// This service as the DNS should tell it to others.
fn service(config: &Config, tls: Option<&Tls>, paired: &[String]) -> Service {
    let labels = [
        (Kind::Imaps, "_imaps"),
        (Kind::Imap, "_imap"),
        (Kind::Pop3s, "_pop3s"),
        (Kind::ManageSieve, "_sieve"),
        (Kind::Submissions, "_submissions"),
        (Kind::Submission, "_submission"),
    ];
    let mail = labels.into_iter().filter_map(|(kind, label)| {
        let address = config.listen.of(kind).first()?;
        Some(MailService { label, port: address.port() })
    });
    // Certificates by ACME are several, for all names, and change their keys: nothing is to be said of one.
    let certificate = tls.filter(|_| config.tls.acme.settings.is_none()).map(|tls| {
        let found = tls.certificate();
        let key_digest = found.key_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let names = if found.self_signed { Vec::new() } else { found.names.clone() };
        Certificate { names, key_digest }
    });
    let addresses =
        if config.domains.addresses.is_empty() { public_addresses() } else { config.domains.addresses.clone() };
    let behind_proxy = config.web.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    Service {
        hostname: config.hostname.to_ascii_lowercase(),
        also_known_as: config.also_known_as.clone(),
        addresses,
        mail: mail.collect(),
        web: behind_proxy || !config.listen.https.is_empty(),
        relays: relays(&config.domains.relays, paired),
        smarthost: config.delivery.smarthost.as_ref().map(|target| {
            let host = target.rsplit_once(':').map_or(target.as_str(), |(host, _)| host);
            host.trim_matches(['[', ']']).to_owned()
        }),
        authority: authority(config),
        certificate,
    }
}

/// Who issues this service's certificates, as CAA records name it: as configured, or else the authority that is asked.
fn authority(config: &Config) -> Option<String> {
    let configured = config.domains.certificate_authority.clone();
    configured.or_else(|| config.tls.acme.settings.as_ref()?.issuer().map(str::to_owned))
}

/// The relays by host name: those of the configuration, and those that are paired and have a host's name.
fn relays(configured: &[String], paired: &[String]) -> Vec<String> {
    let same = |one: &str, other: &str| one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'));
    let mut all = configured.to_vec();
    for name in paired.iter().filter(|name| name.contains('.') && name.parse::<IpAddr>().is_err()) {
        if !all.iter().any(|known| same(known, name)) {
            all.push(name.clone());
        }
    }
    all
}

/// The public addresses that this machine sends from. Nothing is sent to learn them.
fn public_addresses() -> Vec<IpAddr> {
    let towards = [("0.0.0.0:0", "198.41.0.4:53"), ("[::]:0", "[2001:503:ba3e::2:30]:53")];
    let own = towards.into_iter().filter_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to.parse::<SocketAddr>().ok()?).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    own.filter(is_public).collect()
}

/// Whether the rest of the world can reach an address.
fn is_public(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(four) => {
            let [a, b, ..] = four.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let test = four.is_documentation() || (a == 198 && (b == 18 || b == 19));
            !(four.is_private() || four.is_loopback() || four.is_link_local() || four.is_multicast() || shared || test)
                && four != Ipv4Addr::UNSPECIFIED
                && a < 240
        }
        IpAddr::V6(six) => {
            let documentation = six.segments()[..2] == [0x2001, 0x0db8];
            six.segments()[0] & 0xe000 == 0x2000 && !documentation
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paired_relays_are_expected_in_the_dns_by_their_host_names() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let configured = names(&["mx2.example.net."]);
        let paired = names(&["MX2.example.net", "mx3.example.com", "two", "192.0.2.1"]);
        assert_eq!(super::relays(&configured, &paired), names(&["mx2.example.net.", "mx3.example.com"]));
    }

    #[test]
    fn only_addresses_that_others_can_reach_are_public() {
        for public in ["8.8.8.8", "100.128.0.1", "2a00::1", "::ffff:8.8.8.8"] {
            assert!(is_public(&public.parse().unwrap()), "{public}");
        }
        for own in [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(&own.parse().unwrap()), "{own}");
        }
    }

    #[test]
    fn what_listens_is_what_programs_are_sent_to() {
        let config: Config = toml::from_str(
            "hostname = \"Mail.example.org\"\n[listen]\nimap = []\nimaps = [\"0.0.0.0:993\"]\npop3 = []\npop3s = []\nmanagesieve = [\"0.0.0.0:4190\"]\n\
             submission = [\"0.0.0.0:10587\"]\nsubmissions = []\nhttps = []\n[delivery]\nsmarthost = \"[::1]:25\"\n",
        )
        .unwrap();
        let service = service(&config, None, &[]);
        let mail: Vec<_> = service.mail.iter().map(|one| (one.label, one.port)).collect();
        assert_eq!(mail, [("_imaps", 993), ("_sieve", 4190), ("_submission", 10_587)]);
        assert_eq!((service.hostname.as_str(), service.web), ("mail.example.org", false));
        assert_eq!(service.smarthost.as_deref(), Some("::1"));
    }
}
