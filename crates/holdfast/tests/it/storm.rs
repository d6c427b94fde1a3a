//! The morning after: everybody logs in at once, while those who are in go on working.
//!
//! `HOLDFAST_STORM=5000 cargo test --release -p holdfast --test it storm:: -- --nocapture` is the whole of it; the suite runs
//! a short one. The clients share the machine's cores with the service.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::{PASSWORD, Server, imap::Imap, smtp::Smtp, web::Web};
use directory::{AdmissionLimits, Directory, DirectoryOptions, NewAccount, OnCreate, Role};
use mailstore::MailStore;
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use store::{Store, StoreOptions};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::TlsConnector;

/// Sessions that are in before the storm, and go on.
const WORKERS: usize = 50;
/// Between two commands of a worker.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a mail program waits for a greeting.
const GREETING: Duration = Duration::from_secs(30);
/// How long the workers work before the storm.
const QUIET: Duration = Duration::from_secs(3);
/// What the service may hold in memory, whatever comes.
const MAX_RESIDENT_KIB: u64 = 600 * 1024;
/// So many commands of each session in a storm are enough for a median.
const ENOUGH: usize = 20;
/// The whole storm, with everyone's password hashed.
const EVERYONE_IN: Duration = Duration::from_secs(600);

fn user(number: usize) -> String {
    format!("user{number}@example.org")
}

/// Makes many accounts in a folder that nothing serves.
async fn accounts(dir: &Path, count: usize) {
    let data = dir.join("data");
    let store =
        tokio::task::spawn_blocking(move || Store::open(&data, StoreOptions::default()).unwrap()).await.unwrap();
    let standard = MailStore::new(store.clone());
    let on_create: OnCreate = Arc::new(move |tx, account| {
        standard.create_standard_mailboxes_in(tx, account.realm()).map_err(mailstore::MailError::into_store_error)
    });
    let options = DirectoryOptions {
        on_create: Some(on_create),
        admission: AdmissionLimits { waiting: 4 * count + 4, patience: EVERYONE_IN, ..AdmissionLimits::default() },
        ..DirectoryOptions::default()
    };
    let own = store.clone();
    let directory = tokio::task::spawn_blocking(move || Directory::new(own, options).unwrap()).await.unwrap();
    directory.add_domain("example.org").await.unwrap();
    let mut made = tokio::task::JoinSet::new();
    for number in 0..count {
        let directory = directory.clone();
        made.spawn(async move {
            let new = NewAccount {
                address: user(number).parse().unwrap(),
                name: String::new(),
                password: PASSWORD.to_owned(),
                role: Role::User,
                quota_bytes: 0,
            };
            directory.create_account(new).await.unwrap();
        });
    }
    while let Some(one) = made.join_next().await {
        one.unwrap();
    }
    tokio::task::spawn_blocking(move || {
        drop(directory);
        store.close();
    })
    .await
    .unwrap();
}

/// An address of this machine for each client: limits count by network.
fn home(number: usize) -> IpAddr {
    let [_, _, high, low] = u32::try_from(number + 2).unwrap().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 1, high, low))
}

type Connection = BufReader<TcpStream>;

async fn connect(to: SocketAddr, from: IpAddr) -> std::io::Result<Connection> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    line(&mut stream).await?;
    Ok(stream)
}

async fn line(stream: &mut Connection) -> std::io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

/// One command; its tagged answer.
async fn command(stream: &mut Connection, command: &str) -> std::io::Result<String> {
    stream.get_mut().write_all(format!("a {command}\r\n").as_bytes()).await?;
    loop {
        let line = line(stream).await?;
        if let Some(tagged) = line.strip_prefix("a ") {
            return Ok(tagged.to_owned());
        }
    }
}

/// What happened to all clients of a storm.
#[derive(Default)]
struct Outcome {
    /// When each was in, from the beginning.
    times: Mutex<Vec<Duration>>,
    told_later: AtomicU64,
    cut: AtomicU64,
}

/// Logs in as a mail program does: told to come back later, it does.
async fn come_in(to: SocketAddr, number: usize, begun: Instant, outcome: Arc<Outcome>) -> Connection {
    let mut random = StdRng::seed_from_u64(number as u64);
    let mut pause = Duration::from_millis(500);
    loop {
        let tried: std::io::Result<Option<Connection>> = async {
            let greeted = tokio::time::timeout(GREETING, connect(to, home(number))).await;
            let mut stream = greeted.map_err(|_| std::io::ErrorKind::TimedOut)??;
            let answer = command(&mut stream, &format!("LOGIN {} \"{PASSWORD}\"", user(number))).await?;
            if answer.starts_with("OK") {
                return Ok(Some(stream));
            }
            assert!(answer.starts_with("NO [UNAVAILABLE]"), "{answer}");
            outcome.told_later.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        }
        .await;
        match tried {
            Ok(Some(stream)) => {
                outcome.times.lock().push(begun.elapsed());
                return stream;
            }
            Ok(None) => {}
            Err(_) => drop(outcome.cut.fetch_add(1, Ordering::Relaxed)),
        }
        assert!(begun.elapsed() < EVERYONE_IN, "client {number} does not get in");
        tokio::time::sleep(pause.mul_f64(random.random_range(0.5..1.5))).await;
        pause = (pause * 2).min(Duration::from_secs(8));
    }
}

/// What those who work send, in turn.
const COMMANDS: [&str; 4] = ["NOOP", "STATUS INBOX (MESSAGES UNSEEN)", "UID SEARCH ALL", "LIST \"\" *"];

/// When a command was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum When {
    Before,
    Meanwhile,
    /// Between storms: not counted.
    Else,
}

/// How long one command took.
struct Sample {
    when: When,
    session: usize,
    /// Which of [`COMMANDS`].
    command: usize,
    took: Duration,
}

/// What those who work share.
struct AtWork {
    /// A [`When`].
    now: AtomicU8,
    stop: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

impl AtWork {
    fn now(&self) -> When {
        [When::Before, When::Meanwhile, When::Else][usize::from(self.now.load(Ordering::Relaxed))]
    }

    fn is(&self, when: When) {
        self.now.store(when as u8, Ordering::Relaxed);
    }

    fn count(&self, when: When) -> usize {
        self.samples.lock().iter().filter(|sample| sample.when == when).count()
    }
}

/// Works in a session that is in, and notes how long each command took. The pauses are of random length: were they
/// equal, each session would keep its place behind the same others, and a storm would only seem to move it.
async fn work(session: usize, mut stream: Connection, all: Arc<AtWork>) {
    let mut random = StdRng::seed_from_u64(session as u64);
    assert!(command(&mut stream, "SELECT INBOX").await.unwrap().starts_with("OK"));
    for number in session.. {
        tokio::time::sleep(PAUSE.mul_f64(random.random_range(0.5..1.5))).await;
        if all.stop.load(Ordering::Relaxed) {
            return;
        }
        let (when, which, begun) = (all.now(), number % COMMANDS.len(), Instant::now());
        let answer = command(&mut stream, COMMANDS[which]).await.unwrap();
        assert!(answer.starts_with("OK"), "{answer}");
        all.samples.lock().push(Sample { when, session, command: which, took: begun.elapsed() });
    }
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How much slower each session became, the least first: its median meanwhile by its median before. Commands are not
/// equally dear: each counts as how many times the median of its kind it took.
fn slowed(samples: &[Sample]) -> Vec<f64> {
    let kinds = [0, 1, 2, 3].map(|kind| {
        let before = samples.iter().filter(|sample| sample.when == When::Before && sample.command == kind);
        median(before.map(|sample| sample.took.as_secs_f64()))
    });
    let of = |session: usize, when: When| {
        let own = samples.iter().filter(|sample| sample.session == session && sample.when == when);
        median(own.map(|sample| sample.took.as_secs_f64() / kinds[sample.command]))
    };
    let ratios = (0..WORKERS).map(|session| of(session, When::Meanwhile) / of(session, When::Before));
    let mut ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn metric(server: &Server, name: &str) -> f64 {
    let page = Web::new(server.address("http")).get("/metrics").unwrap().body;
    page.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Storms on a running service, one after the other: prints their figures. Those who work have a thread of their own, so
/// that what the storm costs its own clients is not counted against the service.
async fn storm(server: &Server, clients: usize, storms: usize, what: &str, at_work: &tokio::runtime::Handle) {
    let to = server.address("imap");
    let working = WORKERS.min(clients);
    let all = Arc::new(AtWork {
        now: AtomicU8::new(When::Else as u8),
        stop: AtomicBool::new(false),
        samples: Mutex::default(),
    });
    let mut workers = tokio::task::JoinSet::new();
    let warm = Arc::new(Outcome::default());
    for number in 0..working {
        let stream = at_work.spawn(come_in(to, number, Instant::now(), warm.clone())).await.unwrap();
        workers.spawn_on(work(number, stream, all.clone()), at_work);
    }
    all.is(When::Before);
    tokio::time::sleep(if clients < 1_000 { QUIET } else { 5 * QUIET }).await;
    let outcome = Arc::new(Outcome::default());
    let mut all_in = Duration::ZERO;
    for number in 0..storms {
        let begun = Instant::now();
        all.is(When::Meanwhile);
        let mut arriving = tokio::task::JoinSet::new();
        for number in working..clients {
            arriving.spawn(come_in(to, number, begun, outcome.clone()));
        }
        let mut inside = Vec::new();
        while let Some(one) = arriving.join_next().await {
            inside.push(one.unwrap());
        }
        all_in = all_in.max(begun.elapsed());
        // A storm may be over before everyone inside has noticed.
        while all.count(When::Meanwhile) < working {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        all.is(When::Else);
        drop(inside);
        if number + 1 < storms {
            tokio::time::sleep(QUIET).await;
        }
    }
    all.stop.store(true, Ordering::Relaxed);
    while let Some(one) = workers.join_next().await {
        one.unwrap();
    }
    let samples = std::mem::take(&mut *all.samples.lock());
    let took = |when: When| {
        let mut took: Vec<Duration> =
            samples.iter().filter(|sample| sample.when == when).map(|sample| sample.took).collect();
        took.sort_unstable();
        move |percent: usize| took[took.len() * percent / 100]
    };
    let (before, meanwhile, slowed) = (took(When::Before), took(When::Meanwhile), slowed(&samples));
    let ratio = meanwhile(50).as_secs_f64() / before(50).as_secs_f64();
    let (usual, worst) = (slowed[slowed.len() / 2], slowed[slowed.len() - 1]);
    let mut times = std::mem::take(&mut *outcome.times.lock());
    times.sort_unstable();
    let (half, arrived) = (times[times.len() / 2], times.len());
    println!(
        "{what}, storms: {storms}, {arrived} clients: all in after {all_in:.1?} at most (half after {half:.1?}), told to come \
         later {} times, cut {} times; {working} sessions: median {:.2?} before, {:.2?} meanwhile ({ratio:.2} times), 95 % \
         {:.2?} and {:.2?}; half of the sessions {usual:.2} times as slow at most, nine in ten {:.2}, the worst {worst:.2}; \
         {} commands before, {} meanwhile; {} MiB at most",
        outcome.told_later.load(Ordering::Relaxed),
        outcome.cut.load(Ordering::Relaxed),
        before(50),
        meanwhile(50),
        before(95),
        meanwhile(95),
        slowed[slowed.len() * 9 / 10],
        samples.iter().filter(|sample| sample.when == When::Before).count(),
        samples.iter().filter(|sample| sample.when == When::Meanwhile).count(),
        resident_kib(server) / 1024
    );
    assert_eq!(arrived, storms * (clients - working), "everyone is in");
    // Of a few commands the median says nothing about a session.
    let counts = samples.iter().filter(|sample| sample.when == When::Meanwhile).count() >= ENOUGH * working;
    let worst = if counts { format!("; the session that suffered most {worst:.2}") } else { String::new() };
    crate::support::proved(
        &format!("the morning after, {what}"),
        &format!("0 of {arrived} clients kept out"),
        &format!(
            "all in after {all_in:.1?}; {working} sessions at work {ratio:.2} times as slow (median{worst}); {} MiB",
            resident_kib(server) / 1024
        ),
    );
}

#[test]
fn everyone_gets_in_after_an_outage_in_bounded_memory_and_faster_after_a_restart() {
    let clients: usize = std::env::var("HOLDFAST_STORM").map_or(150, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let more = "connections = 20000\nlogins_waiting = 200\n";
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (runtime, at_work) = (runtime(), runtime());
    runtime.block_on(accounts(dir.path(), clients));
    let server = Server::start_with(dir.path(), more);
    runtime.block_on(storm(&server, clients, 1, "every password hashed", at_work.handle()));
    assert!(resident_kib(&server) < MAX_RESIDENT_KIB, "{} KiB", resident_kib(&server));
    assert!(metric(&server, "holdfast_directory_logins_remembered_total") < 1.0);
    server.stop();
    let server = Server::start_with(dir.path(), more);
    // One is over in seconds: too few commands of each session for a median.
    let storms = if clients < 1_000 { 1 } else { 5 };
    runtime.block_on(storm(&server, clients, storms, "after a restart", at_work.handle()));
    assert!(resident_kib(&server) < MAX_RESIDENT_KIB, "{} KiB", resident_kib(&server));
    let remembered = metric(&server, "holdfast_directory_logins_remembered_total");
    assert!(remembered >= clients as f64, "{remembered} of {clients} needed no hash");
}

#[test]
fn who_can_not_be_looked_at_now_is_told_so_in_the_words_of_the_protocol() {
    const AT_ONCE: usize = 24;
    let dir = tempfile::tempdir().unwrap();
    let more =
        "password_checks = 1\nlogins_waiting = 1\nlogin_patience = \"1 second\"\nremember_logins = \"0 seconds\"\n";
    let server = Server::start_with(dir.path(), more);
    server.add_account("anna@example.org");
    // Once may be too few at once, where the clients themselves have to wait for a core.
    let check = |door: &str, good: &str, later: &str, one: &(dyn Fn() -> String + Sync)| {
        let (mut in_once, mut later_once) = (false, false);
        crate::support::wait_for(door, || {
            let said: Vec<String> = std::thread::scope(|scope| {
                let all: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            for answer in said {
                let (is_in, is_later) = (answer.starts_with(good), answer.starts_with(later));
                assert!(is_in || is_later, "{door}: {answer}");
                (in_once, later_once) = (in_once | is_in, later_once | is_later);
            }
            in_once && later_once
        });
    };
    let login = format!("LOGIN anna@example.org \"{PASSWORD}\"");
    check("imap", "OK", "NO [UNAVAILABLE]", &|| {
        Imap::connect(server.address("imap")).unwrap().command(&login).unwrap().tagged
    });

    use base64::Engine as _;
    let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0anna@example.org\0{PASSWORD}"));
    check("submission", "235", "454 4.7.0", &|| {
        let mut smtp = Smtp::connect(server.address("submission")).unwrap();
        smtp.command(&format!("AUTH PLAIN {plain}")).unwrap()
    });

    check("pop3", "+OK", "-ERR [SYS/TEMP]", &|| {
        use std::io::{BufRead as _, Write as _};
        let stream = std::net::TcpStream::connect(server.address("pop3")).unwrap();
        let mut answers = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
        (&stream).write_all(format!("USER anna@example.org\r\nPASS {PASSWORD}\r\n").as_bytes()).unwrap();
        // A mailbox is one session's at a time.
        answers.by_ref().nth(2).unwrap().unwrap().replace("-ERR [IN-USE]", "+OK [IN-USE]")
    });

    check("web", "303 -", "503 15", &|| {
        let mut web = Web::new(server.address("http"));
        let csrf = web.get("/signin").unwrap().input("csrf").unwrap_or_default();
        let fields = [("csrf", csrf.as_str()), ("login", "anna@example.org"), ("password", PASSWORD), ("next", "/")];
        let page = web.post("/signin", &fields).unwrap();
        format!("{} {}", page.status, page.header("retry-after").unwrap_or("-"))
    });
}

/// Connects by TLS, reads the greeting, and leaves; how the handshake went.
async fn handshake(server: &Server, client: &TlsConnector) -> HandshakeKind {
    let stream = TcpStream::connect(server.address("imaps")).await.unwrap();
    let mut stream = client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(b"a LOGOUT\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("* OK") && said.contains("a OK"), "{said}");
    stream.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_program_goes_on_with_its_tls_session_after_a_restart_of_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let server = tokio::task::block_in_place(|| Server::start(dir.path()));
    let certificate = CertificateDer::from_pem_file(dir.path().join("data/tls/certificate.pem")).unwrap();
    let client = |version| -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config).into()
    };
    let clients = [client(&TLS12), client(&TLS13)];
    for client in &clients {
        assert_eq!(handshake(&server, client).await, HandshakeKind::Full);
    }
    tokio::task::block_in_place(|| server.stop());
    let server = tokio::task::block_in_place(|| Server::start(dir.path()));
    for client in &clients {
        assert_eq!(handshake(&server, client).await, HandshakeKind::Resumed);
    }
    tokio::task::block_in_place(|| server.kill());
    let server = tokio::task::block_in_place(|| Server::start(dir.path()));
    for client in &clients {
        assert_eq!(handshake(&server, client).await, HandshakeKind::Resumed);
    }
}
