//! A door with one account behind it, and a client.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use directory::{AccountId, Directory, NewAccount, Role};
use doorkit::{ListenOptions, Listener, PlaintextLogins, Security, Tls};
use mailkit::EmailAddress;
use managesieve::{ManageSieveDoor, ManageSieveOptions};
use rules::Rules;
use store::RealmId;
use tempfile::TempDir;
use testkit::House;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

pub const LOGIN: &str = "anna@here.example";
pub const PASSWORD: &str = "correct horse battery";
/// How long a test waits for what must happen, on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub directory: Directory,
    pub rules: Rules,
    pub account: AccountId,
    pub address: SocketAddr,
    shutdown: CancellationToken,
    dir: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    /// A door that takes logins in plain text.
    pub async fn new() -> Self {
        Self::with(ManageSieveOptions { plaintext_logins: PlaintextLogins::Loopback, ..ManageSieveOptions::default() })
            .await
    }

    pub async fn with(options: ManageSieveOptions) -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let House { directory, store, mailstore, .. } = House::open(&dir.path().join("data")).await;
        directory.add_domain("here.example").await.unwrap();
        let account = directory
            .create_account(NewAccount {
                address: EmailAddress::parse(LOGIN).unwrap(),
                name: "Anna".to_owned(),
                password: PASSWORD.to_owned(),
                role: Role::User,
                quota_bytes: 0,
            })
            .await
            .unwrap();
        let rules = Rules::new(store);
        let tls = Tls::self_signed(&dir.path().join("tls"), &["localhost".to_owned()]).unwrap();
        let shutdown = options.shutdown.clone();
        mailstore.create_standard_mailboxes(account.realm()).await.unwrap();
        let door =
            ManageSieveDoor::with_tls(directory.clone(), rules.clone(), options, tls.clone()).with_mailboxes(mailstore);
        let options =
            ListenOptions { security: Security::Plain, grace: Duration::from_millis(100), ..ListenOptions::default() };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(listener.serve(tls, shutdown.clone(), move |conn| {
            let door = door.clone();
            async move { door.serve_connection(conn).await }
        }));
        Self { directory, rules, account, address, shutdown, dir }
    }

    pub const fn realm(&self) -> RealmId {
        self.account.realm()
    }

    /// The certificate that clients are to trust.
    pub fn certificate(&self) -> PathBuf {
        let files = std::fs::read_dir(self.dir.path().join("tls")).unwrap().map(|entry| entry.unwrap().path());
        let is_certificate =
            |path: &PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.contains("BEGIN CERTIFICATE"));
        files.into_iter().find(is_certificate).expect("a certificate")
    }

    /// A folder for what a client needs.
    pub fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// A client that has read the greeting.
    pub async fn connect(&self) -> Client {
        let stream: Box<dyn Stream> = Box::new(TcpStream::connect(self.address).await.unwrap());
        let mut client = Client { stream: BufReader::new(stream) };
        let greeting = client.answer().await;
        assert!(greeting.last().unwrap().starts_with("OK "), "{greeting:?}");
        client
    }

    /// A client that has logged in.
    pub async fn logged_in(&self) -> Client {
        let mut client = self.connect().await;
        client.ok(&format!("AUTHENTICATE \"PLAIN\" \"{}\"", plain(LOGIN, PASSWORD))).await;
        client
    }
}

/// What PLAIN sends.
pub fn plain(login: &str, password: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("\0{login}\0{password}"))
}

pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

/// A connection, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Client {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.unwrap();
    }

    /// Goes on under TLS, as a client that wants the server of that name and trusts whichever certificate it has.
    pub async fn starttls(mut self, name: &str) -> Self {
        self.ok("STARTTLS").await;
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(doorkit::CertificateCheck::any(provider))
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let name = rustls_pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let stream = connector.connect(name, self.stream.into_inner()).await.unwrap();
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// The next line without its end; `None` when the server has closed.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_until(b'\n', &mut line));
        if read.await.expect("the server answers").unwrap_or(0) == 0 {
            return None;
        }
        Some(String::from_utf8(line.strip_suffix(b"\r\n").expect("CRLF").to_vec()).unwrap())
    }

    /// A whole answer; literals stand in it as they are, after the line that announces them and with its rest.
    pub async fn answer(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = self.line().await.expect("an answer");
            let is_last = ["OK", "NO", "BYE"].iter().any(|word| line.starts_with(word));
            if let Some(length) = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')) {
                let mut literal = vec![0; length.1.parse().unwrap()];
                let read = tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut literal));
                read.await.expect("the server goes on").unwrap();
                line = length.0.to_owned() + &String::from_utf8(literal).unwrap();
                line += &self.line().await.expect("the rest of the line");
            }
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// The last line of the answer to a command.
    pub async fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes()).await;
        self.answer().await.pop().unwrap()
    }

    /// The lines before `OK`.
    pub async fn ok(&mut self, command: &str) -> Vec<String> {
        self.send(format!("{command}\r\n").as_bytes()).await;
        let mut answer = self.answer().await;
        let last = answer.pop().unwrap();
        assert!(last.starts_with("OK"), "{command}: {last}");
        answer
    }

    /// What follows `NO `.
    pub async fn no(&mut self, command: &str) -> String {
        let answer = self.say(command).await;
        let text = answer.strip_prefix("NO ");
        text.unwrap_or_else(|| panic!("{command}: {answer}")).to_owned()
    }

    /// Waits until the server closes; what it said until then.
    pub async fn closed(mut self) -> String {
        let mut rest = Vec::new();
        // A reset is a close too.
        let _ = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("the server closes");
        String::from_utf8(rest).unwrap()
    }
}

/// A literal of a client.
pub fn literal(text: &str) -> String {
    format!("{{{}+}}\r\n{text}", text.len())
}
