//! A certificate authority of the test's own: Debian's `pebble`, with its DNS.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether pebble is there. Without it a test says so, visibly, and passes over; where all tests are run it must be there.
pub fn is_here(test: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .any(|dir| dir.join("pebble").is_file() && dir.join("pebble-challtestsrv").is_file())
    });
    if !found {
        assert!(std::env::var_os("CI").is_none(), "pebble is not installed; cargo xtask test installs it");
        eprintln!("NOT RUN: {test}: pebble is not installed (apt-get install pebble)");
    }
    found
}

/// The authority.
pub struct Pebble {
    authority: Option<Child>,
    dns: Child,
    dir: PathBuf,
    ports: Ports,
    env: Vec<(String, String)>,
}

struct Ports {
    directory: u16,
    management: u16,
    dns_management: u16,
    dns: u16,
}

/// Where the authority looks for proofs, and how long what it issues is good.
pub struct Looks {
    pub http: u16,
    pub tls: u16,
    pub life: Duration,
}

impl Pebble {
    /// Starts it with its files in `dir`. `port` gives ports that are free.
    pub fn start(dir: &Path, looks: &Looks, port: impl Fn() -> u16, env: &[(&str, &str)]) -> Self {
        let ports = Ports { directory: port(), management: port(), dns_management: port(), dns: port() };
        let dir = dir.join("pebble");
        std::fs::create_dir_all(&dir).unwrap();
        server_certificate(&dir);
        let config = format!(
            r#"{{"pebble":{{"listenAddress":"127.0.0.1:{}","managementListenAddress":"127.0.0.1:{}","certificate":"{2}/server.pem",
            "privateKey":"{2}/server.key","httpPort":{3},"tlsPort":{4},"ocspResponderURL":"","externalAccountBindingRequired":{5},
            "certificateValidityPeriod":{6},"externalAccountMACKeys":{{"kid-1":"{EXTERNAL_KEY}"}}}}}}"#,
            ports.directory,
            ports.management,
            dir.display(),
            looks.http,
            looks.tls,
            env.iter().any(|(name, _)| *name == "EXTERNAL"),
            looks.life.as_secs(),
        );
        std::fs::write(dir.join("config.json"), config).unwrap();
        let any = |port: u16| format!("127.0.0.1:{port}");
        let dns = Command::new("pebble-challtestsrv")
            .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"])
            .args(["-dns01", &any(ports.dns), "-management", &any(ports.dns_management)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut this = Self { authority: None, dns, dir, ports, env };
        this.come_back();
        this
    }

    /// Ends the authority: nobody answers there.
    pub fn go_away(&mut self) {
        if let Some(mut child) = self.authority.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts the authority again. It has forgotten everything, accounts and orders too.
    pub fn come_back(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let child = Command::new("pebble")
            .args(["-config", self.dir.join("config.json").to_str().unwrap()])
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.ports.dns)])
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")])
            .envs(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.authority = Some(child);
        for port in [self.ports.directory, self.ports.management, self.ports.dns_management] {
            let begun = Instant::now();
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(begun.elapsed() < PATIENCE, "pebble does not start:\n{}", self.log());
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    }

    /// What the authority has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.ports.directory)
    }

    /// Where its directory is.
    #[allow(dead_code, reason = "not every program that has this file needs it")]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.directory))
    }

    /// The file with the root of its own server.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The address for changes of its DNS.
    pub fn dns_management(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.dns_management))
    }

    /// Tells its DNS something: `/add-a` and the like, with JSON.
    #[allow(dead_code, reason = "not every program that has this file needs it")]
    pub fn tell_dns(&self, path: &str, json: &str) {
        let mut stream = TcpStream::connect(self.dns_management()).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: dns\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
            json.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// The root that what it issues is checked against.
    pub fn issues_under(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root_pem().as_bytes()).unwrap()).unwrap();
        roots
    }

    /// The same as PEM.
    pub fn root_pem(&self) -> String {
        let mut own = RootCertStore::empty();
        own.add(CertificateDer::from_pem_file(self.ca_file()).unwrap()).unwrap();
        let management = SocketAddr::from(([127, 0, 0, 1], self.ports.management));
        let mut stream = handshake(management, "127.0.0.1", own).unwrap();
        write!(stream, "GET /roots/0 HTTP/1.1\r\nHost: pebble\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // It ends without a goodbye.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        answer[answer.find("-----BEGIN").expect("a certificate")..].to_owned()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.go_away();
        let _ = self.dns.kill();
        let _ = self.dns.wait();
    }
}

/// The key of the account `kid-1`, as authorities give it.
pub const EXTERNAL_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// The certificate of the authority's own server, under a root of its own.
pub fn server_certificate(dir: &Path) {
    let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.distinguished_name.push(rcgen::DnType::CommonName, "root of the test");
    let root_key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::from_params(&root, &root_key);
    std::fs::write(dir.join("ca.pem"), root.self_signed(&root_key).unwrap().pem()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(dir.join("server.pem"), leaf.pem()).unwrap();
    std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

/// A client of `address` who asks for `name` and trusts what these roots vouch for.
pub fn handshake(
    address: SocketAddr,
    name: &str,
    roots: RootCertStore,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    secured(TcpStream::connect(address)?, name, roots)
}

/// The same over a connection that there is already: after STARTTLS.
pub fn secured(
    stream: TcpStream,
    name: &str,
    roots: RootCertStore,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// The certificate that a client sees who asks `address` for `name` and trusts the authority; the error why it doesn't.
pub fn seen(address: SocketAddr, name: &str, roots: RootCertStore) -> std::io::Result<Vec<u8>> {
    let stream = handshake(address, name, roots)?;
    Ok(stream.conn.peer_certificates().unwrap()[0].to_vec())
}

/// A port that nobody listens on.
#[allow(dead_code, reason = "not every program that has this file needs it")]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
