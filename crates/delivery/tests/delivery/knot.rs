//! A name server with signed zones: Debian's `knot`. What it signs, the service's own resolver proves.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use dnskit::SystemResolver;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::dnssec::TrustAnchors;
use tempfile::TempDir;

use crate::world::PATIENCE;

const SERVER: &str = "/usr/sbin/knotd";
const KEYS: &str = "/usr/sbin/keymgr";

/// Whether it is there. Without it a test says so, visibly, and passes over; where all tests are run it must be there.
pub fn is_here(test: &str) -> bool {
    let found = Path::new(SERVER).is_file() && Path::new(KEYS).is_file();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "knot is not installed; cargo xtask test installs it");
        eprintln!("NOT RUN: {test}: knot is not installed (apt-get install knot)");
    }
    found
}

/// A zone: its name, whether it is signed, and its records besides SOA and NS.
pub struct Zone<'a> {
    pub name: &'a str,
    pub signed: bool,
    pub records: String,
}

/// The server. Its root is the only one that its resolver trusts.
pub struct Knot {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Knot {
    /// Serves `zones`. The first is the root; it gets a DS record of each zone that `secure` names.
    pub fn start(zones: &mut [Zone<'_>], secure: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("db")).unwrap();
        std::fs::write(config_of(dir.path()), configuration(dir.path(), free_port(), zones)).unwrap();
        for zone in zones.iter().filter(|zone| zone.signed) {
            let arguments = ["generate", "algorithm=ecdsap256sha256", "ksk=yes", "zsk=yes"];
            keys(dir.path(), zone.name, &arguments);
        }
        for name in secure {
            let ds = keys(dir.path(), name, &["ds"]);
            zones[0].records += &ds;
        }
        for zone in &*zones {
            let name = zone.name;
            let text =
                format!("$TTL 60\n{name} SOA ns. hostmaster. 1 3600 600 86400 60\n{name} NS ns.\n{}", zone.records);
            std::fs::write(zone_file(dir.path(), name), text).unwrap();
        }
        // Another process may take the port between the look and the start.
        for _ in 0..20 {
            let port = free_port();
            std::fs::write(config_of(dir.path()), configuration(dir.path(), port, zones)).unwrap();
            if let Some(child) = started(dir.path(), port) {
                return Self { child, port, dir };
            }
        }
        panic!("knot does not start: {}", log(dir.path()));
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What the service uses for DANE, with this server's root key for the root's.
    pub fn resolver(&self) -> SystemResolver {
        let anchors: TrustAnchors =
            keys(self.dir.path(), ".", &["dnskey"]).replace(". DNSKEY", ". IN DNSKEY").parse().unwrap();
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = self.port;
            connection
        });
        let server = NameServerConfig::new([127, 0, 0, 1].into(), true, connections.into());
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_trust_anchor(Arc::new(anchors));
        builder.options_mut().validate = true;
        SystemResolver::from_resolver(builder.build().unwrap())
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config_of(dir: &Path) -> PathBuf {
    dir.join("knot.conf")
}

fn zone_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{}zone", if name == "." { "root." } else { name }))
}

fn configuration(dir: &Path, port: u16, zones: &[Zone<'_>]) -> String {
    use std::fmt::Write as _;
    let place = dir.display();
    let mut text = format!(
        "server:\n    listen: 127.0.0.1@{port}\n    rundir: {place}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
         database:\n    storage: {place}/db\npolicy:\n  - id: one\n    single-type-signing: on\n    manual: on\nzone:\n"
    );
    for zone in zones {
        let file = zone_file(dir, zone.name);
        write!(text, "  - domain: {}\n    file: {}\n    zonefile-sync: -1\n", zone.name, file.display()).unwrap();
        if zone.signed {
            text += "    journal-content: none\n    dnssec-signing: on\n    dnssec-policy: one\n";
        }
    }
    text
}

fn keys(dir: &Path, zone: &str, arguments: &[&str]) -> String {
    let done = Command::new(KEYS).arg("-c").arg(config_of(dir)).arg(zone).args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A port that is free for UDP and TCP.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// The server, once it says that it serves its zones; `None` if it ended.
fn started(dir: &Path, port: u16) -> Option<Child> {
    let written = std::fs::File::create(dir.join("log")).unwrap();
    let mut child = Command::new(SERVER)
        .arg("-c")
        .arg(config_of(dir))
        .stdout(written.try_clone().unwrap())
        .stderr(written)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !log(dir).contains("server started") || TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(begun.elapsed() < PATIENCE, "knot does not answer: {}", log(dir));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Some(child)
}
