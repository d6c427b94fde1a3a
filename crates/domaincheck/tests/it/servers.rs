//! The domain's own name servers are asked, by real questions: what they say counts, and what is wrong with them is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dnskit::{Authorities, BOGUS, Data, DnsError, Kind, Zone};
use domaincheck::{Checks, Report, Sources, State};
use hickory_server::Server;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::rr::{LowerName, Name};
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

use crate::world::{DOMAIN, World};

/// Servers at several addresses of this machine, all at one port.
struct NameServers {
    port: u16,
    sockets: Vec<Option<(UdpSocket, TcpListener)>>,
    running: Vec<Server<Catalog>>,
}

/// The addresses of the servers.
fn at(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(number).unwrap())
}

impl NameServers {
    /// Room for so many, at a port that is free for all of them.
    async fn bind(count: usize) -> Self {
        loop {
            let first = UdpSocket::bind((at(0), 0)).await.unwrap();
            let port = first.local_addr().unwrap().port();
            drop(first);
            let mut sockets = Vec::new();
            for number in 0..count {
                let address = SocketAddr::from((at(number), port));
                let bound = (UdpSocket::bind(address).await, TcpListener::bind(address).await);
                let (Ok(udp), Ok(tcp)) = bound else { break };
                sockets.push(Some((udp, tcp)));
            }
            if sockets.len() == count {
                return Self { port, sockets, running: Vec::new() };
            }
        }
    }

    /// Has one of them answer for a zone; without a text it has no zone.
    fn serve(&mut self, number: usize, origin: &str, text: Option<&str>) {
        let mut catalog = Catalog::new();
        if let Some(text) = text {
            let origin = Name::from_ascii(format!("{origin}.")).unwrap();
            let parsed = Parser::new(text.to_owned(), None, Some(origin.clone())).parse();
            let (_, records) = parsed.unwrap_or_else(|error| panic!("{error}\n{text}"));
            let zone = InMemoryZoneHandler::<TokioRuntimeProvider>::new(
                origin.clone(),
                records,
                ZoneType::Primary,
                AxfrPolicy::Deny,
            );
            catalog.upsert(LowerName::new(&origin), vec![Arc::new(zone.unwrap())]);
        }
        let (udp, tcp) = self.sockets[number].take().expect("not served yet");
        let mut server = Server::new(catalog);
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 1 << 16);
        self.running.push(server);
    }

    /// Nobody answers there.
    fn close(&mut self, number: usize) {
        self.sockets[number] = None;
    }
}

/// A world whose domain has two name servers.
struct Delegated {
    world: World,
    servers: NameServers,
    /// What resolvers see.
    seen: Arc<Zone>,
    proving: Arc<Zone>,
}

const HEAD: &str = "@ 3600 IN SOA ns1.ns.test. postmaster.ns.test. 1 3600 600 86400 300\n\
    @ 3600 IN NS ns1.ns.test.\n@ 3600 IN NS ns2.ns.test.\n";

impl Delegated {
    async fn new() -> Self {
        let world = World::new().await;
        let (seen, proving) = (world.zone.clone(), Arc::new(Zone::new()));
        for (number, host) in ["ns1.ns.test", "ns2.ns.test", "ns.parent.test"].into_iter().enumerate() {
            seen.address(host, &at(number).to_string());
        }
        for host in ["ns1.ns.test", "ns2.ns.test"] {
            seen.add(DOMAIN, Kind::Ns, Data::Name(host.to_owned()));
        }
        seen.add(".", Kind::Ns, Data::Name("a.root.test".to_owned()));
        Self { world, servers: NameServers::bind(3).await, seen, proving }
    }

    /// The domain's zone as its owner pastes it.
    fn pasted(&self) -> String {
        format!("{HEAD}{}", self.world.checks.zone(DOMAIN).unwrap())
    }

    /// The same without the records of one name.
    fn without(&self, name: &str) -> String {
        self.pasted().lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n")).collect()
    }

    /// Resolvers remember nothing of the domain but who answers for it.
    fn forget(&self) {
        for wanted in self.world.wanted().iter().filter(|wanted| wanted.name.ends_with(DOMAIN)) {
            self.seen.remove(&wanted.name);
        }
        for host in ["ns1.ns.test", "ns2.ns.test"] {
            self.seen.add(DOMAIN, Kind::Ns, Data::Name(host.to_owned()));
        }
    }

    async fn check(&self) -> Arc<Report> {
        let sources = Sources {
            authorities: Some(Authorities::at_port(self.seen.clone(), self.servers.port)),
            proving: Some(self.proving.clone()),
            ..Sources::only(self.seen.clone())
        };
        let checks = Checks::asking(self.world.directory.clone(), sources, crate::world::service);
        checks.check(DOMAIN).await.unwrap().0
    }
}

fn of<'a>(report: &'a Report, code: &str) -> &'a domaincheck::Fault {
    let mut all = report.items.iter().flat_map(|item| &item.faults);
    all.find(|fault| fault.code == code).unwrap_or_else(|| panic!("no {code} in {report:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_name_servers_say_counts_whatever_resolvers_remember() {
    let mut all = Delegated::new().await;
    let pasted = all.pasted();
    // Many texts at the domain itself don't fit into one packet.
    let more: String = (0..40).map(|n| format!("@ 3600 IN TXT \"some-site-verification={n:040}\"\n")).collect();
    for number in [0, 1] {
        all.servers.serve(number, DOMAIN, Some(&format!("{pasted}{more}")));
    }
    all.forget();
    let report = all.check().await;
    assert_eq!(report.codes(), [""; 0], "{report:#?}");
    assert_eq!(report.items[0].found, ["ns1.ns.test.", "ns2.ns.test."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_only_resolvers_remember_is_missing() {
    let mut all = Delegated::new().await;
    let without = all.without("_dmarc");
    for number in [0, 1] {
        all.servers.serve(number, DOMAIN, Some(&without));
    }
    assert_eq!(all.check().await.codes(), ["dmarc-missing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_agree_are_named_with_the_record() {
    let mut all = Delegated::new().await;
    let (pasted, without) = (all.pasted(), all.without("_dmarc"));
    all.servers.serve(0, DOMAIN, Some(&pasted));
    all.servers.serve(1, DOMAIN, Some(&without));
    let report = all.check().await;
    assert_eq!(report.codes(), ["ns-differ"], "{report:#?}");
    let says = &of(&report, "ns-differ").says;
    assert!(says.contains("_dmarc.example.org TXT (ns2.ns.test)"), "{says}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lame_and_silent_servers_are_told_apart_and_silence_is_never_a_missing_record() {
    let mut all = Delegated::new().await;
    let pasted = all.pasted();
    all.servers.serve(0, DOMAIN, Some(&pasted));
    all.servers.serve(1, DOMAIN, None);
    all.forget();
    let report = all.check().await;
    assert_eq!((report.codes(), report.state()), (vec!["ns-lame"], State::Warning), "{report:#?}");
    assert!(of(&report, "ns-lame").says.contains("ns2.ns.test"));

    // Both lame: what resolvers still remember is checked, and it is said that nobody else finds anything.
    let mut both = Delegated::new().await;
    both.servers.serve(0, DOMAIN, None);
    both.servers.serve(1, DOMAIN, None);
    let report = both.check().await;
    assert_eq!((report.codes(), report.state()), (vec!["ns-lame"], State::Problem), "{report:#?}");

    let mut one = Delegated::new().await;
    let pasted = one.pasted();
    one.servers.serve(0, DOMAIN, Some(&pasted));
    one.servers.close(1);
    assert_eq!(one.check().await.codes(), ["ns-silent"]);

    // This machine may not ask: the resolver is believed.
    let mut none = Delegated::new().await;
    none.servers.close(0);
    none.servers.close(1);
    let report = none.check().await;
    assert_eq!((report.codes(), report.state()), (vec!["ns-not-asked"], State::Advice), "{report:#?}");
    for wanted in none.world.wanted() {
        for kind in [Kind::Mx, Kind::Txt, Kind::A, Kind::Aaaa, Kind::Srv, Kind::Cname, Kind::Caa, Kind::Ptr, Kind::Tlsa]
        {
            none.world.silence(&wanted.name, kind);
        }
    }
    let report = none.check().await;
    assert_eq!(report.state(), State::Unanswered, "{report:#?}");
    assert!(report.codes().iter().all(|code| *code == "unanswered"), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_signatures_are_a_problem_though_the_name_servers_answer() {
    let mut all = Delegated::new().await;
    let pasted = all.pasted();
    for number in [0, 1] {
        all.servers.serve(number, DOMAIN, Some(&pasted));
    }
    assert_eq!(all.check().await.codes(), [""; 0]);
    all.proving.say(DOMAIN, Kind::Mx, Err(DnsError::Temporary(BOGUS.to_owned())));
    let report = all.check().await;
    assert_eq!((report.codes(), report.state()), (vec!["dnssec-bogus"], State::Problem));
    // A resolver that checks, and says no more than that it failed.
    all.proving.remove(DOMAIN);
    all.world.silence(DOMAIN, Kind::Mx);
    assert_eq!(all.check().await.codes(), ["ns-not-accepted"]);
    // One that gives no answers at all proves nothing.
    all.world.silence(".", Kind::Ns);
    assert_eq!(all.check().await.codes(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zone_above_says_who_answers_and_that_nobody_does() {
    let mut all = Delegated::new().await;
    let pasted = all.pasted();
    all.servers.serve(0, DOMAIN, Some(&pasted));
    all.servers.serve(1, DOMAIN, Some(&pasted));
    let head =
        "@ 3600 IN SOA ns.parent.test. postmaster.parent.test. 1 3600 600 86400 300\n@ 3600 IN NS ns.parent.test.\n";
    let parent = format!("{head}example 3600 IN NS ns2.ns.test.\n");
    all.servers.serve(2, "org", Some(&parent));
    all.seen.add("org", Kind::Ns, Data::Name("ns.parent.test".to_owned()));
    all.forget();
    let report = all.check().await;
    assert_eq!(report.codes(), [""; 0], "{report:#?}");
    assert_eq!(report.items[0].found, ["ns2.ns.test."], "as delegated, not as resolvers remember");
    all.world.directory.add_domain("not-there.org").await.unwrap();
    let sources = Sources {
        authorities: Some(Authorities::at_port(all.seen.clone(), all.servers.port)),
        ..Sources::only(all.seen.clone())
    };
    let checks = Checks::asking(all.world.directory.clone(), sources, crate::world::service);
    let (report, _) = checks.check("not-there.org").await.unwrap();
    assert!(report.codes().contains(&"no-such-domain"), "{report:#?}");
}
