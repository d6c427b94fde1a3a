//! Session tickets over real sockets: what of a TLS session outlives the process that began it, and for how long.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use doorkit::{Conn, TICKET_PERIOD, TicketKeys, Tls};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

/// A service on one folder, which restarts when it is told to.
struct Service {
    dir: tempfile::TempDir,
    now_ms: Arc<AtomicU64>,
    tls: Tls,
}

impl Service {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now_ms = Arc::new(AtomicU64::new(1_795_445_410_000));
        let tls = Self::start(dir.path(), &now_ms);
        Self { dir, now_ms, tls }
    }

    fn start(dir: &Path, now_ms: &Arc<AtomicU64>) -> Tls {
        let now_ms = now_ms.clone();
        let clock = Arc::new(move || now_ms.load(Ordering::Relaxed));
        let keys = TicketKeys::with_clock(Some(&dir.join("tickets")), b"service", clock);
        Tls::self_signed(dir, &["localhost".to_owned()]).unwrap().with_tickets(keys).unwrap()
    }

    /// Nothing of the process before is left but its files.
    fn restart(&mut self) {
        self.tls = Self::start(self.dir.path(), &self.now_ms);
    }

    fn pass_a_period(&self) {
        self.now_ms.fetch_add(u64::try_from(TICKET_PERIOD.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// A mail program that knows the service's certificate, and keeps tickets in memory.
    fn client(&self, version: &'static SupportedProtocolVersion) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.dir.path().join("certificate.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config).into()
    }

    /// Connects once; how the handshake went, as client and server saw it.
    async fn connect(&self, client: &TlsConnector) -> HandshakeKind {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = self.tls.clone();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut conn = Conn::from_tcp(stream).unwrap().starttls(&tls).await.unwrap();
            conn.write_all(b"hello").await.unwrap();
            conn.shutdown().await.unwrap();
            conn.handshake().unwrap().resumed
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = client.connect(name, stream).await.unwrap();
        let mut said = String::new();
        // The ticket of TLS 1.3 comes with what is read.
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        assert_eq!(server.await.unwrap(), kind == HandshakeKind::Resumed);
        kind
    }
}

#[tokio::test]
async fn sessions_of_both_versions_of_tls_outlive_a_restart() {
    for version in [&TLS12, &TLS13] {
        let mut service = Service::new();
        let client = service.client(version);
        assert_eq!(service.connect(&client).await, HandshakeKind::Full);
        assert_eq!(service.connect(&client).await, HandshakeKind::Resumed);
        service.restart();
        assert_eq!(service.connect(&client).await, HandshakeKind::Resumed, "{version:?}");
        service.tls.reload().unwrap();
        assert_eq!(service.connect(&client).await, HandshakeKind::Resumed, "{version:?}");
    }
}

#[tokio::test]
async fn without_its_keys_no_session_is_gone_on_with() {
    for version in [&TLS12, &TLS13] {
        let mut service = Service::new();
        let client = service.client(version);
        assert_eq!(service.connect(&client).await, HandshakeKind::Full);
        std::fs::remove_file(service.dir.path().join("tickets")).unwrap();
        service.restart();
        assert_eq!(service.connect(&client).await, HandshakeKind::Full, "{version:?}");
    }
}

#[tokio::test]
async fn a_session_ends_with_the_period_after_that_of_its_ticket() {
    for version in [&TLS12, &TLS13] {
        let mut service = Service::new();
        let (early, late) = (service.client(version), service.client(version));
        for client in [&early, &late] {
            assert_eq!(service.connect(client).await, HandshakeKind::Full);
        }
        service.pass_a_period();
        service.restart();
        assert_eq!(service.connect(&early).await, HandshakeKind::Resumed, "{version:?}");
        service.pass_a_period();
        assert_eq!(service.connect(&late).await, HandshakeKind::Full, "its key is rotated out: {version:?}");
        service.restart();
        let other = service.client(version);
        assert_eq!(service.connect(&other).await, HandshakeKind::Full);
    }
}
