//! MTA-STS: a web server with policies, a mail server with certificates, and what becomes of mail between them.

use std::sync::Arc;

use delivery::{DeliveryOptions, TlsException};
use dnskit::Zone;
use store::RealmId;

use crate::fake::Fake;
use crate::secured::{Authority, Server, Web};
use crate::world::{MESSAGE, Still, World, envelope, options};

pub const WEEK: u32 = 604_800;
pub const MX: &str = "mx.far.example";

/// A domain with a policy, and a service that sends to it.
pub struct Far {
    pub authority: Authority,
    pub web: Web,
    pub zone: Arc<Zone>,
    pub fake: Fake,
    pub options: DeliveryOptions,
}

impl Far {
    /// Whose mail server has this certificate.
    pub async fn new(ehlo: &[&'static str], mail: impl FnOnce(&Authority) -> Server) -> Self {
        let authority = Authority::new();
        let web = Web::start(authority.server(&["mta-sts.far.example"]).acceptor).await;
        let fake = Fake::secured(ehlo, mail(&authority).acceptor, |_| None).await;
        Self::of(authority, web, fake)
    }

    fn of(authority: Authority, web: Web, fake: Fake) -> Self {
        let zone = Arc::new(Zone::new());
        zone.receiver("far.example", 10, MX);
        zone.address(MX, "127.0.0.1");
        zone.address("mta-sts.far.example", "127.0.0.1");
        zone.text("_mta-sts.far.example", "v=STSv1; id=1;");
        let options = DeliveryOptions {
            mx_port: fake.address.port(),
            sts_port: web.address.port(),
            allow_loopback_mx: true,
            further_authorities: vec![authority.certificate.clone()],
            ..options(None)
        };
        Self { authority, web, zone, fake, options }
    }

    /// A service whose time passes when it is told to.
    pub async fn world_with_clock(&self) -> (World, Arc<Still>) {
        let (world, clock) = World::with_clock(self.options.clone()).await;
        let resolver = Arc::clone(&self.zone) as Arc<dyn dnskit::Resolver>;
        let mut world = world.with_resolver(self.options.clone(), resolver);
        world.start();
        (world, clock)
    }

    pub async fn world(&self) -> World {
        let mut world = World::stopped(self.options.clone()).await;
        world = world.with_resolver(self.options.clone(), Arc::clone(&self.zone) as Arc<dyn dnskit::Resolver>);
        world.start();
        world
    }
}

pub async fn send(world: &World) {
    world
        .delivery
        .accept(envelope("alice@here.example", &["x@far.example"], Some(world.alice)), MESSAGE)
        .await
        .unwrap();
}

/// Waits until the only message was tried, and gives what is said of it.
pub async fn secured(world: &World) -> (delivery::Secured, String) {
    let tried = |world: &World| {
        let page = world.delivery.queue_list(&delivery::QueueFilter::default(), None, 10).unwrap();
        page.messages.iter().flat_map(|m| &m.recipients).any(|r| r.security.is_some() && r.last_error.is_some())
    };
    world.until(RealmId::QUEUE, tried).await;
    let recipient = world.only_queued().recipients.remove(0);
    (recipient.security.unwrap(), recipient.last_error.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enforced_policy_is_fetched_once_and_obeyed() {
    let far = Far::new(&["STARTTLS"], |authority| authority.server(&[MX])).await;
    far.web.policy("enforce", MX, WEEK);
    let world = far.world().await;
    send(&world).await;
    far.fake.wait_for(1).await;
    send(&world).await;
    let taken = far.fake.wait_for(2).await;
    assert!(taken.iter().all(|taken| taken.tls));
    assert_eq!(far.web.requests(), 1);
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_an_enforced_policy_waits_and_says_why() {
    type Make = fn(&Authority) -> Server;
    let cases: [(&[&'static str], Make, &str, &str); 5] = [
        (&["STARTTLS"], |authority| authority.server(&["other.example"]), MX, "not for mx.far.example"),
        (&["STARTTLS"], |authority| authority.expired(&[MX]), MX, "has expired"),
        (&["STARTTLS"], |_| Authority::new().server(&[MX]), MX, "not from a trusted authority"),
        (&["PIPELINING"], |authority| authority.server(&[MX]), MX, "does not offer STARTTLS"),
        (&["STARTTLS"], |authority| authority.server(&[MX]), "*.elsewhere.example", "does not allow the mail host"),
    ];
    for (ehlo, mail, mx, why) in cases {
        let far = Far::new(ehlo, mail).await;
        far.web.policy("enforce", mx, WEEK);
        let world = far.world().await;
        send(&world).await;
        let (secured, error) = secured(&world).await;
        assert_eq!((secured.policy.as_str(), secured.failed), ("MTA-STS enforce", true), "{why}");
        assert!(secured.result.contains(why), "{secured:?}");
        assert!(error.starts_with("451 4.7.5 ") && error.contains(why), "{error}");
        assert_eq!(far.fake.taken().len(), 0, "{why}");
        assert!(!far.fake.commands().iter().any(|command| command.starts_with("MAIL")), "{why}");
        world.check();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_in_testing_and_an_exception_let_mail_pass() {
    for (mode, exception) in [("testing", false), ("none", false), ("enforce", true)] {
        let mut far = Far::new(&["STARTTLS"], |authority| authority.expired(&[MX])).await;
        far.web.policy(mode, MX, WEEK);
        if exception {
            let exception = TlsException { reason: "they know".into(), until_ms: None, until: None };
            far.options.tls_exceptions.insert("far.example".into(), exception);
        }
        let world = far.world().await;
        send(&world).await;
        assert!(far.fake.wait_for(1).await[0].tls, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_is_over_when_its_time_is() {
    let mut far = Far::new(&["STARTTLS"], |authority| authority.expired(&[MX])).await;
    far.web.policy("enforce", MX, WEEK);
    let exception = TlsException { reason: "they knew".into(), until_ms: Some(1), until: Some("long ago".into()) };
    far.options.tls_exceptions.insert("far.example".into(), exception);
    let world = far.world().await;
    send(&world).await;
    let (secured, _) = secured(&world).await;
    assert_eq!((secured.policy.as_str(), secured.exception), ("MTA-STS enforce", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_policy_is_looked_at_as_others_read_it() {
    let far = Far::new(&["STARTTLS"], |authority| authority.server(&[MX])).await;
    let world = far.world().await;
    let look = async || world.delivery.look_at_policy("far.example").await;
    far.web.policy("testing", MX, WEEK);
    assert_eq!(look().await, Ok(("testing", vec![MX.to_owned()])));
    far.web.policy("enforce", MX, WEEK);
    assert_eq!(look().await, Ok(("enforce", vec![MX.to_owned()])), "nothing is kept");
    for (status, kind, body) in
        [("404 Not Found", "text/plain", ""), ("200 OK", "text/html", "x"), ("200 OK", "text/plain", "x")]
    {
        far.web.say(status, kind, body);
        assert!(look().await.is_err_and(|unread| unread.reached), "{status} {kind}");
    }
    far.zone.remove("mta-sts.far.example");
    assert!(look().await.is_err_and(|unread| !unread.reached));
    let far = Far::new(&["STARTTLS"], |authority| authority.server(&[MX])).await;
    let other = Web::start(far.authority.server(&["other.example"]).acceptor).await;
    let far = Far::of(far.authority, other, far.fake);
    let world = far.world().await;
    assert!(world.delivery.look_at_policy("far.example").await.is_err_and(|unread| unread.reached), "a certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_policy_is_not_obeyed_and_not_asked_for_again_at_once() {
    let long = format!("version: STSv1\nmode: enforce\nmx: other.example\nmax_age: 1\nx: {}\n", "y".repeat(65 << 10));
    let good = "version: STSv1\nmode: enforce\nmx: other.example\nmax_age: 604800\n";
    let cases: [(&str, &str, &str); 6] = [
        ("301 Moved", "text/plain", good),
        ("404 Not Found", "text/plain", good),
        ("200 OK", "text/html", good),
        ("200 OK", "text/plain", &long),
        ("200 OK", "text/plain", "version: STSv2\nmode: enforce\nmx: other.example\nmax_age: 604800\n"),
        ("200 OK", "text/plain", ""),
    ];
    for (status, kind, body) in cases {
        let far = Far::new(&["STARTTLS"], |authority| authority.expired(&[MX])).await;
        far.web.say(status, kind, body);
        let world = far.world().await;
        send(&world).await;
        far.fake.wait_for(1).await;
        send(&world).await;
        far.fake.wait_for(2).await;
        assert_eq!(far.web.requests(), 1, "{status} {kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_from_a_server_without_a_true_certificate_is_none() {
    let (authority, other) = (Authority::new(), Authority::new());
    for server in [
        authority.server(&["far.example"]),
        authority.expired(&["mta-sts.far.example"]),
        other.server(&["mta-sts.far.example"]),
    ] {
        let authority = Authority::new();
        let web = Web::start(server.acceptor).await;
        web.policy("enforce", "other.example", WEEK);
        let fake = Fake::secured(&["STARTTLS"], authority.expired(&[MX]).acceptor, |_| None).await;
        let far = Far::of(authority, web, fake);
        let world = far.world().await;
        send(&world).await;
        far.fake.wait_for(1).await;
        assert_eq!(far.web.requests(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_outlives_a_restart_its_record_and_its_web_server() {
    let far = Far::new(&["STARTTLS"], |authority| authority.server(&[MX])).await;
    far.web.policy("enforce", MX, WEEK);
    let world = far.world().await;
    send(&world).await;
    far.fake.wait_for(1).await;
    world.until_queue_is_empty().await;
    far.zone.remove("_mta-sts.far.example");
    far.web.say("404 Not Found", "text/plain", "");
    let bad = Fake::secured(&["STARTTLS"], far.authority.expired(&[MX]).acceptor, |_| None).await;
    let options = DeliveryOptions { mx_port: bad.address.port(), ..far.options.clone() };
    let world = world.crash_and_return(options.clone()).await;
    let mut world = world.with_resolver(options, Arc::clone(&far.zone) as Arc<dyn dnskit::Resolver>);
    world.start();
    send(&world).await;
    let (secured, _) = secured(&world).await;
    assert_eq!((secured.policy.as_str(), secured.failed), ("MTA-STS enforce", true));
    assert_eq!((bad.taken().len(), far.web.requests()), (0, 1));
    world.check();
}

/// Sends with what the sender wishes of the way: REQUIRETLS, or a header field.
pub async fn send_wishing(world: &World, require_tls: bool, field: &str) {
    let mut envelope = envelope("alice@here.example", &["x@far.example"], Some(world.alice));
    envelope.require_tls = require_tls;
    let message = [field.as_bytes(), MESSAGE].concat();
    world.delivery.accept(envelope, &message[..]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requiretls_goes_only_where_it_is_promised() {
    let far = Far::new(&["STARTTLS", "REQUIRETLS"], |authority| authority.server(&[MX])).await;
    far.web.policy("testing", MX, WEEK);
    let world = far.world().await;
    send_wishing(&world, true, "").await;
    let taken = far.fake.wait_for(1).await.remove(0);
    assert!(taken.tls && taken.from.ends_with(" REQUIRETLS"), "{taken:?}");
    // A server without it, and one that nothing proves: the sender hears of it at once.
    let without = Far::new(&["STARTTLS"], |authority| authority.server(&[MX])).await;
    without.web.policy("testing", MX, WEEK);
    let unproved = Far::new(&["STARTTLS", "REQUIRETLS"], |authority| authority.server(&[MX])).await;
    unproved.zone.remove("_mta-sts.far.example");
    for far in [without, unproved] {
        let world = far.world().await;
        send_wishing(&world, true, "").await;
        let report = world.until_inbox_has(world.alice, 1).await.remove(0);
        assert!(report.contains("Status: 5.7.30") && report.contains("REQUIRETLS"), "{report}");
        assert_eq!(far.fake.taken().len(), 0);
    }
    // One whose certificate is no good: it waits.
    let bad = Far::new(&["STARTTLS", "REQUIRETLS"], |authority| authority.expired(&[MX])).await;
    bad.web.policy("testing", MX, WEEK);
    let world = bad.world().await;
    send_wishing(&world, true, "").await;
    let (secured, _) = secured(&world).await;
    assert!(secured.failed && secured.policy.starts_with("REQUIRETLS"), "{secured:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_required_no_lets_mail_pass_that_a_policy_holds() {
    let far = Far::new(&["STARTTLS"], |authority| authority.expired(&[MX])).await;
    far.web.policy("enforce", MX, WEEK);
    let world = far.world().await;
    send_wishing(&world, false, "TLS-Required: No\r\n").await;
    far.fake.wait_for(1).await;
    for other in ["TLS-Required: Yes\r\n", "TLS-Required: No\r\nTLS-Required: No\r\n"] {
        let world = far.world().await;
        send_wishing(&world, false, other).await;
        assert_eq!(secured(&world).await.0.policy, "MTA-STS enforce", "{other}");
    }
}
