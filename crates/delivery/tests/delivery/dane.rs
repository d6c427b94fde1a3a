//! DANE: what the DNS proves of a mail server's certificate, and what becomes of mail to it.

use std::sync::Arc;

use delivery::{DeliveryOptions, Secured};
use dnskit::{Answer, Data, DnsError, Kind, Mx, Resolver, Tlsa, Zone};
use store::RealmId;

use crate::fake::Fake;
use crate::secured::{Authority, Server, Web};
use crate::world::{MESSAGE, World, envelope, options};

const MX: &str = "mx.far.example";

#[expect(clippy::unnecessary_wraps, reason = "what a zone is told")]
fn proved(records: Vec<Data>) -> Result<Answer, DnsError> {
    Ok(Answer { records, secure: true })
}

fn itself(certificate: &[u8]) -> Data {
    Data::Tlsa(Tlsa { usage: 3, selector: 0, matching: 0, data: certificate.to_vec() })
}

/// A zone in which everything about `far.example` is proved.
fn zone(fake: &Fake, tlsa: Result<Answer, DnsError>) -> Zone {
    let zone = Zone::new();
    zone.say("far.example", Kind::Mx, proved(vec![Data::Mx(Mx { preference: 10, host: MX.into() })]));
    zone.say(MX, Kind::A, proved(vec![Data::Address([127, 0, 0, 1].into())]));
    zone.say(&format!("_{}._tcp.{MX}", fake.address.port()), Kind::Tlsa, tlsa);
    zone
}

async fn world(fake: &Fake, zone: Zone, options: DeliveryOptions) -> World {
    let options = DeliveryOptions { mx_port: fake.address.port(), allow_loopback_mx: true, ..options };
    let mut world = World::stopped(options.clone()).await.with_validating(options, Arc::new(zone));
    world.start();
    world
}

async fn send(world: &World) {
    world
        .delivery
        .accept(envelope("alice@here.example", &["x@far.example"], Some(world.alice)), MESSAGE)
        .await
        .unwrap();
}

/// Waits until the only message was tried, and gives what is said of it.
async fn secured(world: &World) -> Secured {
    let tried = |world: &World| {
        let page = world.delivery.queue_list(&delivery::QueueFilter::default(), None, 10).unwrap();
        page.messages.iter().flat_map(|m| &m.recipients).any(|r| r.security.is_some() && r.last_error.is_some())
    };
    world.until(RealmId::QUEUE, tried).await;
    world.only_queued().recipients.remove(0).security.unwrap()
}

fn server() -> Server {
    // No authority that anybody trusts, for another name, and out of date.
    Authority::new().expired(&["other.example"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_proved_is_taken_and_no_other() {
    let good = server();
    let fake = Fake::secured(&["STARTTLS"], good.acceptor.clone(), |_| None).await;
    let proved_one = zone(&fake, proved(vec![itself(&good.certificate), itself(&server().certificate)]));
    let to_it = world(&fake, proved_one, options(None)).await;
    send(&to_it).await;
    assert!(fake.wait_for(1).await[0].tls);
    to_it.until_queue_is_empty().await;
    let other = world(&fake, zone(&fake, proved(vec![itself(&server().certificate)])), options(None)).await;
    send(&other).await;
    let secured = secured(&other).await;
    assert_eq!((secured.policy.as_str(), secured.failed), ("DANE", true), "{secured:?}");
    assert!(secured.result.contains("no TLSA record fits"), "{secured:?}");
    assert_eq!(fake.taken().len(), 1);
    other.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_validated_waits_and_plain_text_is_no_way_out() {
    let plain = Fake::start(&["PIPELINING"], |_| None).await;
    let cases = [
        Err(DnsError::Temporary("DNSSEC validation failed".into())),
        Err(DnsError::Temporary("SERVFAIL".into())),
        proved(vec![itself(&server().certificate)]),
        proved(vec![Data::Tlsa(Tlsa { usage: 3, selector: 9, matching: 9, data: vec![1] })]),
    ];
    for tlsa in cases {
        let world = world(&plain, zone(&plain, tlsa.clone()), options(None)).await;
        send(&world).await;
        let secured = secured(&world).await;
        assert!(secured.failed && secured.policy.starts_with("DANE"), "{tlsa:?}: {secured:?}");
        assert_eq!(plain.taken().len(), 0, "{tlsa:?}");
    }
    let zone = zone(&plain, Err(DnsError::NoRecords));
    zone.say(
        "far.example",
        Kind::Mx,
        Ok(Answer { secure: false, ..zone.lookup("far.example", Kind::Mx).await.unwrap() }),
    );
    let world = world(&plain, zone, options(None)).await;
    send(&world).await;
    plain.wait_for(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proved_or_switched_off_demands_nothing() {
    let fake = Fake::secured(&["STARTTLS"], server().acceptor, |_| None).await;
    let wrong = vec![itself(&server().certificate)];
    let unproved = zone(&fake, Ok(Answer { records: wrong.clone(), secure: false }));
    let first = world(&fake, unproved, options(None)).await;
    send(&first).await;
    fake.wait_for(1).await;
    let off = DeliveryOptions { dane: delivery::DaneUse::Off, ..options(None) };
    let second = world(&fake, zone(&fake, proved(wrong)), off).await;
    send(&second).await;
    fake.wait_for(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dane_goes_before_mta_sts_whether_it_helps_or_not() {
    for fits in [true, false] {
        let (authority, unknown) = (Authority::new(), server());
        // By MTA-STS alone the one would fail and the other pass.
        let mail = if fits { server() } else { authority.server(&[MX]) };
        let web = Web::start(authority.server(&["mta-sts.far.example"]).acceptor).await;
        web.policy("enforce", MX, 604_800);
        let fake = Fake::secured(&["STARTTLS"], mail.acceptor.clone(), |_| None).await;
        let certificate = if fits { &mail.certificate } else { &unknown.certificate };
        let zone = zone(&fake, proved(vec![itself(certificate)]));
        zone.text("_mta-sts.far.example", "v=STSv1; id=1;");
        zone.address("mta-sts.far.example", "127.0.0.1");
        let further_authorities = vec![authority.certificate.clone()];
        let options = DeliveryOptions { sts_port: web.address.port(), further_authorities, ..options(None) };
        let world = world(&fake, zone, options).await;
        send(&world).await;
        if fits {
            fake.wait_for(1).await;
        } else {
            assert_eq!(secured(&world).await.policy, "DANE");
            assert_eq!(fake.taken().len(), 0);
        }
    }
}
