//! An archive in a real S3-compatible server over HTTP, behind a line that does everything wrong.
//!
//! The server is moto, from PyPI; `cargo xtask test` puts it into `target/python`. `HOLDFAST_S3_SEED` repeats a run.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    ops::Bound,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use continuity::archive::{
    ArchiveError,
    catalog::Catalog,
    codec::{Identities, Recipients, new_identity},
    line::Line,
    restore::{At, Wish, restore},
    ship::{ShipStatus, Shipper},
    snapshot::Snapshotter,
    target::{Deletable, Target, TargetOptions},
    verify::{self, Scope},
};
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use store::{Order, Read as _, RealmId, Store, StoreError, StoreOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(120);

/// How far a shipper is, what stops it, and what it comes to.
type Shipping = (Arc<Mutex<ShipStatus>>, CancellationToken, JoinHandle<Result<(), ArchiveError>>);

/// A server of the test's own.
struct Moto {
    child: Child,
    address: SocketAddr,
}

impl Moto {
    /// None when moto is not there, which CI does not accept.
    fn start() -> Option<Self> {
        let packages = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/python");
        let mut child = Command::new("python3")
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONPATH", packages)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let lines = BufReader::new(child.stderr.take()?).lines().map_while(Result::ok);
        let (found, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines {
                if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    let _ = found.send(digits);
                }
            }
        });
        let Ok(port) = address.recv_timeout(PATIENCE) else {
            assert!(std::env::var_os("CI").is_none(), "moto is not installed; cargo xtask test installs it");
            eprintln!("moto is not installed: passed over");
            return None;
        };
        let moto = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())) };
        moto.put("/bucket", "");
        moto.put("/locked", "x-amz-bucket-object-lock-enabled: true\r\n");
        Some(moto)
    }

    fn put(&self, path: &str, header: &str) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n{header}\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the line does to a request, each in so many of a hundred.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    /// 500, and the server has heard nothing.
    refused: u32,
    /// 500, and the server has done it.
    done_and_refused: u32,
    /// The connection ends in the middle of the request.
    cut_request: u32,
    /// The connection ends in the middle of the answer.
    cut_answer: u32,
    /// The answer comes late.
    slow: u32,
    /// A byte of what is read is another.
    wrong: u32,
    /// Nothing can be stored.
    full: bool,
    /// Nothing can be deleted, as with keys that may only create and read.
    create_only: bool,
}

const BAD: Faults = Faults {
    refused: 6,
    done_and_refused: 6,
    cut_request: 4,
    cut_answer: 4,
    slow: 10,
    wrong: 3,
    full: false,
    create_only: false,
};

/// The line.
struct Proxy {
    address: SocketAddr,
    faults: Arc<Mutex<Faults>>,
    met: Arc<AtomicU64>,
}

impl Proxy {
    fn start(server: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (faults, met) = (Arc::new(Mutex::new(Faults::default())), Arc::new(AtomicU64::new(0)));
        let random = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let (shared, count) = (faults.clone(), met.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (faults, random, met) = (shared.clone(), random.clone(), count.clone());
                std::thread::spawn(move || {
                    let _ = pass(client, server, &faults, &random, &met);
                });
            }
        });
        Self { address, faults, met }
    }

    fn set(&self, faults: Faults) {
        *self.faults.lock() = faults;
    }
}

/// Reads a head and as much body as it announces.
fn read_message(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if head.ends_with("\r\n\r\n") {
            break;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok((head, body))
}

fn refusal(status: &str, code: &str) -> Vec<u8> {
    let text = format!("<Error><Code>{code}</Code><Message>as the test wishes</Message></Error>");
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

fn pass(
    client: TcpStream,
    server: SocketAddr,
    faults: &Mutex<Faults>,
    random: &Mutex<StdRng>,
    met: &AtomicU64,
) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut client = BufReader::new(client);
    let (head, body) = read_message(&mut client)?;
    let faults = *faults.lock();
    let mut draw = random.lock().random_range(0..100_u32);
    let mut hit = |share: u32| {
        let is_hit = draw < share;
        draw = draw.wrapping_sub(share);
        if is_hit {
            met.fetch_add(1, Ordering::Relaxed);
            draw = 1000;
        }
        is_hit
    };
    if faults.full && head.starts_with("PUT") {
        return client.get_mut().write_all(&refusal("403 Forbidden", "QuotaExceeded"));
    }
    let deletes = head.starts_with("DELETE")
        || (head.starts_with("POST") && head.lines().next().unwrap_or("").contains("delete"));
    let overwrites = head.starts_with("PUT") && !head.to_ascii_lowercase().contains("if-none-match");
    if faults.create_only && (deletes || (overwrites && !head.contains("/probe/"))) {
        return client.get_mut().write_all(&refusal("403 Forbidden", "AccessDenied"));
    }
    if hit(faults.refused) {
        return client.get_mut().write_all(&refusal("500 Internal Server Error", "InternalError"));
    }
    let head = head
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:") && !line.is_empty())
        .fold(String::new(), |all, line| all + line + "\r\n");
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    if hit(faults.cut_request) {
        return upstream.write_all(&body[..body.len() / 2]);
    }
    upstream.write_all(&body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    if hit(faults.done_and_refused) {
        return client.get_mut().write_all(&refusal("500 Internal Server Error", "InternalError"));
    }
    if hit(faults.cut_answer) {
        return client.get_mut().write_all(&answer[..answer.len() / 2]);
    }
    if hit(faults.slow) {
        std::thread::sleep(Duration::from_millis(u64::from(random.lock().random_range(10..150_u32))));
    } else if head.starts_with("GET") && !head.contains("list-type") && hit(faults.wrong) {
        let begin = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
        if begin < answer.len() {
            let at = random.lock().random_range(begin..answer.len());
            answer[at] ^= 1;
        }
    }
    client.get_mut().write_all(&answer)
}

struct World {
    dir: tempfile::TempDir,
    recipients: Recipients,
    identities: Identities,
    proxy: Proxy,
    _moto: Moto,
}

impl World {
    fn new(seed: u64) -> Option<Self> {
        let _ = rustls_provider();
        let moto = Moto::start()?;
        let dir = tempfile::tempdir().unwrap();
        let (text, recipient) = new_identity();
        std::fs::write(dir.path().join("identity"), text).unwrap();
        let identities = Identities::read(&dir.path().join("identity")).unwrap();
        let recipients = Recipients::parse(&[recipient]).unwrap();
        let proxy = Proxy::start(moto.address, seed);
        Some(Self { dir, recipients, identities, proxy, _moto: moto })
    }

    fn open(&self) -> Store {
        Store::open(&self.dir.path().join("primary"), StoreOptions::default()).unwrap()
    }

    fn target_options(&self) -> TargetOptions {
        TargetOptions {
            name: "s3".to_owned(),
            url: "s3://bucket/some/prefix".to_owned(),
            endpoint: Some(format!("http://{}", self.proxy.address)),
            access_key_id: Some("test".to_owned()),
            secret_access_key: Some("test".to_owned()),
            ..TargetOptions::default()
        }
    }

    fn target(&self) -> Target {
        Target::open(&self.target_options()).unwrap()
    }

    fn line(store: &Store) -> Line {
        Line::open(store.dir(), store.clock().now_ms()).unwrap()
    }

    fn shipper(&self, store: &Store) -> Shipper {
        let every = Duration::from_millis(20);
        Shipper::new(store.clone(), self.target(), self.recipients.clone(), Self::line(store), every)
    }

    /// Ships until it is told to stop.
    fn shipping(&self, store: &Store) -> Shipping {
        let shipper = self.shipper(store);
        let (status, stop) = (shipper.status(), CancellationToken::new());
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { shipper.run(stop).await }
        });
        (status, stop, running)
    }

    fn snapshotter(&self, store: &Store) -> Snapshotter {
        Snapshotter {
            store: store.clone(),
            target: self.target(),
            recipients: self.recipients.clone(),
            identities: Some(self.identities.clone()),
            line: Self::line(store),
        }
    }

    fn wish(&self, to: &str) -> Wish {
        Wish {
            target: self.target(),
            identities: self.identities.clone(),
            dir: self.dir.path().join(to),
            options: StoreOptions::default(),
            at: At::Last,
            line: None,
            without_damaged: false,
            signed_by: Vec::new(),
        }
    }
}

/// Plain HTTP needs none, but the client wants one.
fn rustls_provider() -> Result<(), Arc<rustls::crypto::CryptoProvider>> {
    rustls::crypto::aws_lc_rs::default_provider().install_default()
}

async fn write(store: &Store, step: u32) {
    let realm = RealmId::account(step % 5);
    let text = format!("body {step}: {}", "text ".repeat(step as usize * 20));
    let body = store.put_body(text.as_bytes()).unwrap();
    let key = format!("k{step:04}").into_bytes();
    store
        .transact(move |tx| {
            tx.ref_body(realm, &body.id(), &key);
            tx.put(realm, key, b"there".to_vec());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn all(store: &Store) -> Vec<(RealmId, Records)> {
    let snapshot = store.snapshot();
    let records = |realm| {
        let rows = snapshot.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap();
        rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    };
    store.realms().into_iter().map(|realm| (realm, records(realm))).collect()
}

fn seed() -> u64 {
    let seed = std::env::var("HOLDFAST_S3_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("HOLDFAST_S3_SEED={seed}");
    seed
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_refuses_cuts_delays_and_falsifies_changes_nothing_in_what_is_restored() {
    let seed = seed();
    let Some(world) = World::new(seed) else { return };
    let store = world.open();
    let (status, stop, shipping) = world.shipping(&store);
    world.proxy.set(BAD);
    for step in 0..150 {
        write(&store, step).await;
        if step % 50 == 25 {
            // A snapshot that fails is tried again; one that is taken was read back.
            let mut tries = 0;
            while let Err(error) = world.snapshotter(&store).take(&|_| {}, &CancellationToken::new()).await {
                tries += 1;
                assert!(tries < 20, "seed {seed}: {error}");
            }
        }
    }
    let last = store.seq();
    until("everything is shipped", || {
        assert!(!shipping.is_finished(), "seed {seed}: {:?}", status.lock());
        status.lock().shipped >= last
    })
    .await;
    assert!(world.proxy.met.load(Ordering::Relaxed) > 20, "the line was too good");

    // Through the same line back again.
    let restored = restore(&world.wish("second"), &|_| {}).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(all(&restored.store), all(&store), "seed {seed}");
    world.proxy.set(Faults::default());
    stop.cancel();
    shipping.await.unwrap().unwrap();
    let target = world.target();
    let catalog = Catalog::read(&target).await.unwrap();
    assert!(catalog.snapshots.iter().filter(|listed| listed.good).count() >= 3);
    for listed in catalog.snapshots.iter().filter(|listed| listed.good) {
        let manifest = catalog.manifest(&target, &listed.name).await.unwrap();
        let report = verify::snapshot(&target, &manifest, Some(&world.identities), Scope::All, &|_| {}).await.unwrap();
        assert!(report.damage.is_empty(), "seed {seed}: {:?}", report.damage);
    }
    let runs = verify::runs(&target, &catalog, Some(&world.identities), &|_| {}).await.unwrap();
    assert!(runs.damage.is_empty(), "seed {seed}: {:?}", runs.damage);
    restored.store.close();
    drop(restored);
    std::fs::remove_file(world.dir.path().join("second/restoring")).unwrap();
    let dir = world.dir.path().join("second");
    let report = tokio::task::spawn_blocking(move || store::verify(&dir, StoreOptions::default(), &[], |_, _, _| {}));
    let report = report.await.unwrap().unwrap();
    assert!(report.is_sound() && report.bodies == 150, "seed {seed}: {:?}", report.damage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_target_is_said_holds_up_nobody_and_is_caught_up_with_when_there_is_room() {
    let seed = seed();
    let Some(world) = World::new(seed) else { return };
    let store = world.open();
    let (status, stop, shipping) = world.shipping(&store);
    write(&store, 0).await;
    until("the first commit is shipped", || status.lock().shipped >= store.seq()).await;
    world.proxy.set(Faults { full: true, ..Faults::default() });
    for step in 1..60 {
        write(&store, step).await;
    }
    until("it is said", || status.lock().failing.is_some()).await;
    assert!(status.lock().lag_seconds(store.clock().now_ms() + 1000) >= 1.0);
    let full = world.snapshotter(&store).take(&|_| {}, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(full, ArchiveError::Target { .. }), "{full}");
    world.proxy.set(Faults::default());
    let last = store.seq();
    until("it has caught up", || status.lock().shipped >= last && status.lock().failing.is_none()).await;
    world.snapshotter(&store).take(&|_| {}, &CancellationToken::new()).await.unwrap();
    stop.cancel();
    shipping.await.unwrap().unwrap();
    let restored = restore(&world.wish("second"), &|_| {}).await.unwrap();
    assert_eq!(all(&restored.store), all(&store));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_may_only_create_are_enough_and_it_is_noticed_when_they_may_delete() {
    let Some(world) = World::new(seed()) else { return };
    assert_eq!(world.target().try_delete().await.unwrap(), Deletable::Yes);
    let locked = TargetOptions { url: "s3://locked/archive".into(), ..world.target_options() };
    assert_eq!(Target::open(&locked).unwrap().try_delete().await.unwrap(), Deletable::KeepsVersions);
    world.proxy.set(Faults { create_only: true, ..Faults::default() });
    assert_eq!(world.target().try_delete().await.unwrap(), Deletable::No);
    // Everything that a service does.
    let store = world.open();
    for step in 0..10 {
        write(&store, step).await;
        world.shipper(&store).catch_up().await.unwrap();
    }
    world.snapshotter(&store).take(&|_| {}, &CancellationToken::new()).await.unwrap();
    write(&store, 10).await;
    world.shipper(&store).catch_up().await.unwrap();
    let found = world.shipper(&store).restorable().await.unwrap();
    assert!(found.is_whole() && found.seq == store.seq(), "{found:?}");
    let restored = restore(&world.wish("second"), &|_| {}).await.unwrap();
    assert_eq!(all(&restored.store), all(&store));
    // Nobody can take anything of it away with these keys.
    let target = world.target();
    for folder in ["log", "bodies", "chunks", "snapshots", "lines"] {
        for object in target.list(folder).await.unwrap() {
            assert!(target.delete(&object.name).await.is_err(), "{}", object.name);
        }
    }
}
