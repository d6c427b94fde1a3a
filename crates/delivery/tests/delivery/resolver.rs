//! Mail finds its way by the DNS: a server in this process, asked by the real resolver.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use delivery::{DeliveryOptions, QueueFilter};
use dnskit::{DnsError, Mx, Resolver as _, SystemResolver};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_server::Server;
use hickory_server::proto::rr::rdata::{A, CNAME, MX, SOA};
use hickory_server::proto::rr::{LowerName, Name, RData, Record};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::UdpSocket;

use crate::fake::Fake;
use crate::world::{MESSAGE, World, envelope, options};

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

/// The zone `far.example`, and a resolver that asks for it.
async fn dns() -> (Server<Catalog>, SystemResolver) {
    let origin = name("far.example");
    let mut zone =
        InMemoryZoneHandler::<TokioRuntimeProvider>::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(origin.clone(), origin.clone(), 1, 60, 60, 60, 60);
    let mut add = |owner: &str, data: RData| {
        assert!(zone.upsert_mut(Record::from_rdata(name(owner), 60, data), 1));
    };
    add("far.example", RData::SOA(soa));
    let mx = |preference, host: Name| RData::MX(MX::new(preference, host));
    let a = |ip: [u8; 4]| RData::A(A(Ipv4Addr::from(ip)));
    add("two.far.example", mx(10, name("dead.far.example")));
    add("two.far.example", mx(20, name("alias.far.example")));
    add("dead.far.example", a([127, 0, 0, 2]));
    add("alias.far.example", RData::CNAME(CNAME(name("alive.far.example"))));
    add("alive.far.example", a([127, 0, 0, 1]));
    add("plain.far.example", a([127, 0, 0, 1]));
    add("null.far.example", mx(0, Name::root()));
    let mut catalog = Catalog::new();
    catalog.upsert(LowerName::new(&origin), vec![Arc::new(zone)]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    let mut server = Server::new(catalog);
    server.register_socket(socket);
    let mut upstream = NameServerConfig::udp(address.ip());
    upstream.connections.iter_mut().for_each(|connection| connection.port = address.port());
    let config = ResolverConfig::from_name_servers(vec![upstream]);
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap();
    (server, SystemResolver::from_resolver(resolver))
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_told_apart() {
    let (_server, resolver) = dns().await;
    let mut records = resolver.mx("two.far.example").await.unwrap();
    records.sort_by_key(|mx| mx.preference);
    assert_eq!(records[0], Mx { preference: 10, host: "dead.far.example".into() });
    assert_eq!(resolver.mx("null.far.example").await.unwrap(), [Mx { preference: 0, host: String::new() }]);
    assert_eq!(resolver.mx("plain.far.example").await, Err(DnsError::NoRecords));
    assert_eq!(resolver.mx("none.far.example").await, Err(DnsError::NoSuchDomain));
    assert!(matches!(resolver.mx("not.served").await, Err(DnsError::Temporary(_))));
    assert_eq!(resolver.addresses("alias.far.example").await.unwrap(), [Ipv4Addr::LOCALHOST]);
    assert!(resolver.addresses("none.far.example").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_to_the_best_host_that_lives_and_what_can_not_go_comes_back() {
    let (_server, resolver) = dns().await;
    let fake = Fake::obliging().await;
    let options = DeliveryOptions { mx_port: fake.address.port(), allow_loopback_mx: true, ..options(None) };
    let mut world = World::stopped(options.clone()).await.with_resolver(options, Arc::new(resolver));
    world.start();
    let to = ["a@two.far.example", "b@plain.far.example", "c@null.far.example", "d@none.far.example", "e@not.served"];
    world.delivery.accept(envelope("alice@here.example", &to, Some(world.alice)), MESSAGE).await.unwrap();
    let taken = fake.wait_for(2).await;
    let mut recipients: Vec<String> = taken.into_iter().flat_map(|taken| taken.recipients).collect();
    recipients.sort();
    assert_eq!(recipients, ["RCPT TO:<a@two.far.example>", "RCPT TO:<b@plain.far.example>"]);
    let reports = world.until_inbox_has(world.alice, 2).await.join("\n");
    assert!(reports.contains("Status: 5.1.10") && reports.contains("null MX"), "{reports}");
    assert!(reports.contains("Status: 5.1.2") && reports.contains("does not exist"), "{reports}");
    world
        .until(store::RealmId::QUEUE, |world| {
            let page = world.delivery.queue_list(&QueueFilter::default(), None, 10).unwrap();
            let left: Vec<_> = page.messages.iter().flat_map(|message| &message.recipients).collect();
            left.len() == 1 && left[0].last_error.is_some()
        })
        .await;
    assert_eq!(world.only_queued().recipients[0].address, "e@not.served", "no answer is no reason to return mail");
    world.check();
}
