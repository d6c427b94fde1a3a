//! Certificates are obtained and renewed, whatever happens to the authority, to a name, to the clock and to the service. The
//! authority is pebble, which looks for every proof.

mod between;
mod fake;
mod pebble;
mod tls;

use std::{
    future::Future,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use base64::Engine as _;
use between::Between;
use certificates::{CHALLENGE_PATH, Certificates, ExternalAccount, Options, Proof, Shown, Trouble};
use directory::{Directory, DirectoryOptions};
use dnskit::Zone;
use doorkit::{ListenOptions, Listener, Security, Tls};
use fake::Fake;
use pebble::{Looks, Pebble, free_port, is_here, seen};
use store::{Store, StoreOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;

const NAME: &str = "mx.example.org";
const DAY: i64 = 86_400_000;
const LIFE: Duration = Duration::from_secs(90 * 86_400);
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something holds of the certificates, or of whom they asked.
async fn until<F: Future<Output = bool>>(certificates: &Certificates, what: &str, mut holds: impl FnMut() -> F) {
    let mut changes = certificates.changes();
    let waiting = async {
        while !holds().await {
            changes.changed().await.unwrap();
        }
    };
    let come = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(come.is_ok(), "it does not come about: {what}: {:?}", certificates.list());
}

/// A service as far as its certificates are concerned.
struct House {
    dir: tempfile::TempDir,
    store: Store,
    directory: Directory,
    tls: Tls,
    zone: Arc<Zone>,
    ahead_ms: Arc<AtomicI64>,
    door: SocketAddr,
    stop: CancellationToken,
}

impl House {
    async fn new(tls_port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("data");
        let (store, directory) = tokio::task::spawn_blocking(move || {
            let store = Store::open(&at, StoreOptions::default()).unwrap();
            let directory = Directory::new(store.clone(), DirectoryOptions::default()).unwrap();
            (store, directory)
        })
        .await
        .unwrap();
        let tls = Tls::self_signed(&dir.path().join("tls"), &[NAME.to_owned()]).unwrap();
        let options = ListenOptions { security: Security::Tls, ..ListenOptions::default() };
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], tls_port)), options).unwrap();
        let (door, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(listener.serve(tls.clone(), stop.clone(), |mut conn| async move {
            let _ = conn.read(&mut [0; 64]).await;
        }));
        let zone = Arc::new(Zone::new());
        zone.address(NAME, "127.0.0.1");
        Self { dir, store, directory, tls, zone, ahead_ms: Arc::default(), door, stop }
    }

    fn options(&self, authority: String, ca_file: PathBuf, proofs: &[Proof]) -> Options {
        let ahead = self.ahead_ms.clone();
        Options {
            authority,
            ca_file: Some(ca_file),
            proofs: proofs.to_vec(),
            own_names: vec![NAME.to_owned()],
            clock: Arc::new(move || jiff::Timestamp::now().as_millisecond() + ahead.load(Ordering::SeqCst)),
            ..Options::default()
        }
    }

    fn open(&self, options: Options) -> Certificates {
        Certificates::open(self.directory.clone(), self.tls.clone(), self.zone.clone(), Vec::new(), options).unwrap()
    }

    fn run(&self, certificates: &Certificates) -> tokio::task::JoinHandle<()> {
        let (certificates, stop) = (certificates.clone(), self.stop.clone());
        tokio::spawn(async move { certificates.run(stop).await })
    }

    /// The certificate that a client sees who trusts the authority.
    async fn seen(&self, name: &str, roots: rustls::RootCertStore) -> Option<Vec<u8>> {
        let (door, name) = (self.door, name.to_owned());
        tokio::task::spawn_blocking(move || seen(door, &name, roots).ok()).await.unwrap()
    }

    /// Lets time pass, and waits for what is done then.
    async fn pass(&self, certificates: &Certificates, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
        certificates.look();
        let now = || jiff::Timestamp::now().as_millisecond() + self.ahead_ms.load(Ordering::SeqCst);
        until(certificates, "everything due is done", || async {
            certificates.list().iter().all(|one| one.next_ms.is_none_or(|at| at > now()))
        })
        .await;
    }

    async fn close(self) {
        self.stop.cancel();
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.close()).await.unwrap();
    }
}

fn of<'a>(all: &'a [Shown], group: &str) -> &'a Shown {
    all.iter().find(|one| one.group == group).unwrap_or_else(|| panic!("no {group} in {all:?}"))
}

async fn authority(house: &House, http: u16, life: Duration, env: &[(&str, &str)]) -> Pebble {
    let looks = Looks { http, tls: house.door.port(), life };
    let (dir, env): (PathBuf, Vec<(String, String)>) = (
        house.dir.path().to_owned(),
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    );
    tokio::task::spawn_blocking(move || {
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Pebble::start(&dir, &looks, free_port, &env)
    })
    .await
    .unwrap()
}

/// A web listener that has the answers to questions, and nothing else.
async fn answers(certificates: Certificates, listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let certificates = certificates.clone();
        tokio::spawn(async move {
            let mut head = vec![0; 4096];
            let got = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..got]).into_owned();
            let token = head.split(' ').nth(1).and_then(|path| path.strip_prefix(CHALLENGE_PATH));
            let answer = token.and_then(|token| certificates.http_answer(token));
            let (status, body) = answer.map_or(("404 Not Found", String::new()), |answer| ("200 OK", answer));
            let reply =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(reply.as_bytes()).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_on_our_own_listener_is_proof_and_clients_notice_nothing() {
    if !is_here("TLS-ALPN-01") {
        return;
    }
    let house = House::new(0).await;
    let authority = authority(&house, free_port(), LIFE, &[]).await;
    let certificates = house.open(house.options(authority.directory(), authority.ca_file(), &[Proof::TlsAlpn01]));
    house.run(&certificates);
    let roots = authority.issues_under();
    until(&certificates, "there is a certificate", || async { house.seen(NAME, roots.clone()).await.is_some() }).await;
    let all = certificates.list();
    assert_eq!((all.len(), all[0].last_error.as_ref(), all[0].alarm.as_ref()), (1, None, None), "{all:?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_wrong_costs_no_other_name_its_certificate() {
    if !is_here("a wrong name among others") {
        return;
    }
    let house = House::new(0).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = authority(&house, listener.local_addr().unwrap().port(), LIFE, &[]).await;
    house.directory.add_domain("example.com").await.unwrap();
    for name in ["mta-sts.example.com", "autoconfig.example.com"] {
        house.zone.address(name, "127.0.0.1");
    }
    house.zone.address("autodiscover.example.com", "192.0.2.7");
    // It leads here as far as we know; the authority is told something else.
    authority.tell_dns("/add-a", r#"{"host":"autoconfig.example.com.","addresses":["127.0.0.99"]}"#);
    let certificates = house.open(house.options(authority.directory(), authority.ca_file(), &[Proof::Http01]));
    tokio::spawn(answers(certificates.clone(), listener));
    house.run(&certificates);
    let roots = authority.issues_under();
    for name in [NAME, "mta-sts.example.com"] {
        until(&certificates, name, || async { house.seen(name, roots.clone()).await.is_some() }).await;
    }
    let all = certificates.list();
    let domain = of(&all, "domain:example.com");
    let problem = |label: &str| {
        let name = format!("{label}.example.com");
        let found = domain.names.iter().find(|found| found.name == name).unwrap();
        (found.covered, found.problem.is_some())
    };
    assert_eq!(problem("mta-sts"), (true, false), "{all:?}");
    assert_eq!(problem("autoconfig"), (false, true), "refused");
    assert_eq!(problem("autodiscover"), (false, true), "leads elsewhere");
    assert_eq!(problem("mail"), (false, true), "has no address");
    assert!(domain.next_ms.is_some_and(|at| at > jiff::Timestamp::now().as_millisecond()), "it is tried again, later");
    // Once it is right, it is ordered with the others.
    authority.tell_dns("/clear-a", r#"{"host":"autoconfig.example.com."}"#);
    house.pass(&certificates, 2 * 3_600_000).await;
    assert!(house.seen("autoconfig.example.com", roots.clone()).await.is_some(), "{:?}", certificates.list());
    assert!(house.seen("mta-sts.example.com", roots).await.is_some());
    house.close().await;
}

/// A hook that tells pebble's DNS. In the middle of the order it asks at `gate`, and goes on when it is let.
fn hook(dir: &Path, dns: SocketAddr, gate: SocketAddr) -> PathBuf {
    let script = format!(
        "#!/bin/sh\nset -e\ncurl -s http://{gate}/ || true\ncase $1 in add) to=set-txt;; *) to=clear-txt;; esac\n\
         curl -sf -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" http://{dns}/$to\n"
    );
    let file = dir.join("hook");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_cut_off_in_the_middle_is_gone_on_with() {
    if !is_here("DNS-01, and an order that is cut off") {
        return;
    }
    let house = House::new(0).await;
    let authority = authority(&house, free_port(), LIFE, &[]).await;
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dns_hook = Some(hook(house.dir.path(), authority.dns_management(), gate.local_addr().unwrap()));
    let options = Options { dns_hook, ..house.options(authority.directory(), authority.ca_file(), &[Proof::Dns01]) };
    let certificates = house.open(options.clone());
    let running = house.run(&certificates);
    let (waits, _) = gate.accept().await.unwrap();
    running.abort();
    let _ = running.await;
    drop((certificates, waits));
    // Everyone may go on from now on.
    tokio::spawn(async move { while gate.accept().await.is_ok() {} });
    // As a process that starts then.
    let certificates = house.open(options);
    house.run(&certificates);
    let roots = authority.issues_under();
    until(&certificates, "there is a certificate", || async { house.seen(NAME, roots.clone()).await.is_some() }).await;
    let orders = authority.log().matches("POST /order-plz").count();
    // A nonce that was refused makes it one more of the same.
    let issued = authority.log().matches("Issued certificate").count();
    assert!(orders >= 1 && issued == 1, "{orders} orders, {issued} certificates");
    let added = authority.log().matches("Added order").count();
    assert_eq!(added, 1, "it was gone on with");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_away_for_forty_days_and_forgets_us_costs_nothing() {
    if !is_here("renewal, and an authority that is away") {
        return;
    }
    let house = House::new(0).await;
    let mut authority = authority(&house, free_port(), LIFE, &[]).await;
    let certificates = house.open(house.options(authority.directory(), authority.ca_file(), &[Proof::TlsAlpn01]));
    house.run(&certificates);
    let roots = authority.issues_under();
    until(&certificates, "the first", || async { house.seen(NAME, roots.clone()).await.is_some() }).await;
    let first = house.seen(NAME, roots.clone()).await.unwrap();

    house.pass(&certificates, 59 * DAY).await;
    assert_eq!(house.seen(NAME, roots.clone()).await.as_ref(), Some(&first), "not before its time");
    house.pass(&certificates, 2 * DAY).await;
    let second = house.seen(NAME, roots.clone()).await.unwrap();
    assert_ne!(second, first, "renewed at two thirds of its life");

    // Ours is dated by the authority, whose clock stands still: it ends ninety days after it was made, thirty from now.
    authority.go_away();
    for day in 0..40 {
        house.pass(&certificates, DAY).await;
        let all = certificates.list();
        assert!(all[0].last_error.is_some(), "day {day}: {all:?}");
        assert_eq!(
            house.seen(NAME, roots.clone()).await.as_ref(),
            Some(&second),
            "day {day}: the old one is presented"
        );
    }
    assert!(certificates.list()[0].alarm.is_some());
    tokio::task::block_in_place(|| authority.come_back());
    // It has another root now, and knows no account.
    let roots = authority.issues_under();
    certificates.look();
    house.pass(&certificates, DAY).await;
    assert!(house.seen(NAME, roots).await.is_some(), "{:?}", certificates.list());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_asks_to_wait_is_not_asked_before() {
    let house = House::new(0).await;
    let fake = Fake::start(
        house.dir.path(),
        "429 Too Many Requests",
        "Retry-After: 7200\r\nContent-Type: application/problem+json\r\n",
        r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates"}"#,
    );
    let certificates = house.open(house.options(fake.directory(), fake.ca_file(), &[Proof::TlsAlpn01]));
    house.run(&certificates);
    until(&certificates, "it was asked", || async { fake.orders() == 1 }).await;
    for _ in 0..5 {
        house.pass(&certificates, 20 * 60_000).await;
        let asked = certificates.renew(None).await.unwrap();
        assert!(asked.iter().all(|(_, outcome)| matches!(outcome, Err(Trouble::Hold { .. }))), "{asked:?}");
        assert_eq!(fake.orders(), 1);
    }
    house.pass(&certificates, 30 * 60_000).await;
    until(&certificates, "it is asked again", || async { fake.orders() == 2 }).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_named_and_delays_nothing_once_it_is_right() {
    let house = House::new(0).await;
    let fake = Fake::start(
        house.dir.path(),
        "403 Forbidden",
        "Date: Mon, 30 Nov 2026 00:00:00 GMT\r\nContent-Type: application/problem+json\r\n",
        r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"no"}"#,
    );
    house.ahead_ms.store(3_650 * DAY, Ordering::SeqCst);
    let certificates = house.open(house.options(fake.directory(), fake.ca_file(), &[Proof::TlsAlpn01]));
    house.run(&certificates);
    until(&certificates, "it was asked", || async { certificates.list()[0].last_error.is_some() }).await;
    let why = certificates.list()[0].last_error.clone().unwrap();
    assert!(why.contains("clock") && why.contains("ahead of"), "{why}");
    let before = fake.orders();
    house.pass(&certificates, -3_650 * DAY).await;
    until(&certificates, "it is asked again at once", || async { fake.orders() > before }).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_wants_an_account_made_elsewhere_gets_its_key() {
    if !is_here("external account binding") {
        return;
    }
    let house = House::new(0).await;
    let authority = authority(&house, free_port(), LIFE, &[("EXTERNAL", "1")]).await;
    let plain = house.options(authority.directory(), authority.ca_file(), &[Proof::TlsAlpn01]);
    let key = |bytes: Vec<u8>| Some(ExternalAccount { id: "kid-1".to_owned(), key: bytes.into() });
    let right = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(pebble::EXTERNAL_KEY).unwrap();
    for external_account in [None, key(b"another key that is long enough".to_vec())] {
        let certificates = house.open(Options { external_account, ..plain.clone() });
        let outcome = certificates.renew(None).await.unwrap();
        assert!(matches!(&outcome[..], [(_, Err(Trouble::Refused(why)))] if !why.is_empty()), "{outcome:?}");
    }
    let certificates = house.open(Options { external_account: key(right), ..plain });
    let outcome = certificates.renew(None).await.unwrap();
    assert!(outcome.iter().all(|(_, outcome)| outcome.is_ok()), "{outcome:?}");
    assert!(house.seen(NAME, authority.issues_under()).await.is_some());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_in_the_window_that_the_authority_says() {
    if !is_here("the authority's window for renewal") {
        return;
    }
    let house = House::new(0).await;
    let authority = authority(&house, free_port(), LIFE, &[]).await;
    let between = Between::start(house.dir.path(), &authority);
    let certificates = house.open(house.options(between.directory(), between.ca_file(), &[Proof::TlsAlpn01]));
    house.run(&certificates);
    let roots = authority.issues_under();
    until(&certificates, "the first", || async { house.seen(NAME, roots.clone()).await.is_some() }).await;
    let first = house.seen(NAME, roots.clone()).await.unwrap();
    let begun = jiff::Timestamp::now().as_millisecond();
    let day = |day: i64| jiff::Timestamp::from_millisecond(begun + day * DAY).unwrap().to_string();
    // The authority's times have whole seconds.
    let renew_day = || (certificates.list()[0].renew_ms.unwrap() - begun + DAY / 2) / DAY;
    assert_eq!(renew_day(), 60, "at two thirds");
    // It learns to say when. Who asked it before asks again within a day.
    between.says.lock().window = Some((day(30), day(30)));
    house.pass(&certificates, DAY + 60_000).await;
    until(&certificates, "it was asked", || async { renew_day() == 30 }).await;
    let asked = between.asked("/ari/");
    assert!(asked >= 1);
    house.pass(&certificates, 3_600_000).await;
    assert_eq!(between.asked("/ari/"), asked, "not before the time that it said");
    // It has revoked the certificate, say: the window is over.
    between.says.lock().window = Some((day(-2), day(-1)));
    house.pass(&certificates, 7 * 3_600_000).await;
    until(&certificates, "renewed", || async {
        house.seen(NAME, roots.clone()).await.is_some_and(|seen| seen != first)
    })
    .await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_in_the_middle_of_an_order_put_it_off_and_it_is_gone_on_with() {
    if !is_here("too many requests in the middle of an order") {
        return;
    }
    let house = House::new(0).await;
    let authority = authority(&house, free_port(), LIFE, &[]).await;
    let between = Between::start(house.dir.path(), &authority);
    let problem = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"slow down"}"#;
    let status = "429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Type: application/problem+json";
    between.says.lock().refuses = Some(("/finalize-order", status, problem, 1));
    let certificates = house.open(house.options(between.directory(), between.ca_file(), &[Proof::TlsAlpn01]));
    house.run(&certificates);
    until(&certificates, "it was refused", || async { certificates.list()[0].last_error.is_some() }).await;
    assert_eq!(between.asked("/finalize-order"), 1);
    house.pass(&certificates, 30 * 60_000).await;
    assert_eq!(between.asked("/finalize-order"), 1, "not before the time that it said");
    house.pass(&certificates, 60 * 60_000).await;
    let roots = authority.issues_under();
    until(&certificates, "there is one", || async { house.seen(NAME, roots.clone()).await.is_some() }).await;
    assert_eq!(authority.log().matches("Added order").count(), 1, "the same order");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_an_address_costs_the_authority_no_question() {
    let house = House::new(0).await;
    house.zone.remove(NAME);
    let fake = Fake::start(house.dir.path(), "500 Fault", "", "");
    let certificates = house.open(house.options(fake.directory(), fake.ca_file(), &[Proof::TlsAlpn01]));
    house.run(&certificates);
    until(&certificates, "it was looked up", || async { certificates.list()[0].last_error.is_some() }).await;
    let shown = certificates.list()[0].clone();
    assert!(shown.last_error.is_some_and(|why| why.contains(NAME) && why.contains("no address")));
    house.pass(&certificates, 2 * 3_600_000).await;
    assert_eq!(fake.orders(), 0);
    assert!(certificates.list()[0].alarm.is_some(), "after an hour someone should look");
    // Who asks for it is believed.
    assert!(certificates.renew(None).await.unwrap()[0].1.is_err());
    assert_eq!(fake.orders(), 1);
    // No answer is not "no address".
    let failed = dnskit::DnsError::Temporary("SERVFAIL".to_owned());
    for kind in [dnskit::Kind::A, dnskit::Kind::Aaaa] {
        house.zone.say(NAME, kind, Err(failed.clone()));
    }
    house.pass(&certificates, 12 * 3_600_000).await;
    until(&certificates, "it is ordered", || async { fake.orders() > 1 }).await;
    house.close().await;
}
