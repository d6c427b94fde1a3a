//! A door with one account behind it, and a client.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use directory::{AccountId, Directory, NewAccount, Role};
use doorkit::{ListenOptions, Listener, PlaintextLogins, Security, Tls};
use mailkit::EmailAddress;
use mailstore::{Flags, MailStore, MailboxId, NewMessage, Role as MailboxRole, Uid};
use pop3::{Pop3Door, Pop3Options};
use tempfile::TempDir;
use testkit::House;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

pub const LOGIN: &str = "anna@here.example";
pub const PASSWORD: &str = "correct horse battery";
/// How long a test waits for what must happen, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    pub directory: Directory,
    pub mail: MailStore,
    pub account: AccountId,
    pub inbox: MailboxId,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    shutdown: CancellationToken,
    _dir: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    /// A door that takes logins in plain text.
    pub async fn new() -> Self {
        Self::with(Pop3Options { plaintext_logins: PlaintextLogins::Loopback, ..Pop3Options::default() }).await
    }

    pub async fn with(options: Pop3Options) -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let House { directory, mailstore: mail, .. } = House::open(&dir.path().join("data")).await;
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
        mail.create_standard_mailboxes(account.realm()).await.unwrap();
        let inbox = mail.mailbox_by_role(account.realm(), MailboxRole::Inbox).unwrap().unwrap().id;
        let tls = Tls::self_signed(&dir.path().join("tls"), &["localhost".to_owned()]).unwrap();
        let shutdown = options.shutdown.clone();
        let door = Pop3Door::with_tls(directory.clone(), mail.clone(), options, tls.clone());
        let serve = |security| {
            let options = ListenOptions { security, grace: Duration::from_millis(100), ..ListenOptions::default() };
            let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
            let address = listener.local_addr().unwrap();
            let door = door.clone();
            tokio::spawn(listener.serve(tls.clone(), shutdown.clone(), move |conn| {
                let door = door.clone();
                async move { door.serve_connection(conn).await }
            }));
            address
        };
        let (plain, tls) = (serve(Security::Plain), serve(Security::Tls));
        Self { directory, mail, account, inbox, plain, tls, shutdown, _dir: dir }
    }

    /// Files a message.
    pub async fn file(&self, message: &[u8]) -> Uid {
        let new = NewMessage {
            body: self.mail.stage(message).unwrap(),
            parsed: Arc::new(mailkit::parse(message)),
            flags: Flags::default(),
            internal_date_ms: 0,
            delivery_key: None,
            ignore_quota: false,
        };
        self.mail.append(self.account.realm(), self.inbox, new).await.unwrap().uid
    }

    pub fn uids(&self) -> Vec<Uid> {
        self.mail.view(self.account.realm(), self.inbox).unwrap().uids().to_vec()
    }

    /// A client that has read the greeting.
    pub async fn connect(&self) -> Client {
        let mut client = Client { stream: BufReader::new(TcpStream::connect(self.plain).await.unwrap()) };
        let greeting = client.line().await.unwrap();
        assert!(greeting.starts_with("+OK "), "{greeting}");
        client
    }

    /// A client that has logged in.
    pub async fn logged_in(&self) -> Client {
        let mut client = self.connect().await;
        client.ok(&format!("USER {LOGIN}")).await;
        client.ok(&format!("PASS {PASSWORD}")).await;
        client
    }
}

pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.unwrap();
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

    pub async fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes()).await;
        self.line().await.expect("an answer")
    }

    pub async fn ok(&mut self, command: &str) -> String {
        let answer = self.say(command).await;
        let text = answer.strip_prefix("+OK ");
        text.unwrap_or_else(|| panic!("{command}: {answer}")).to_owned()
    }

    pub async fn err(&mut self, command: &str) -> String {
        let answer = self.say(command).await;
        let text = answer.strip_prefix("-ERR ");
        text.unwrap_or_else(|| panic!("{command}: {answer}")).to_owned()
    }

    /// The bytes after `+OK` up to the dot, with dots undone.
    pub async fn data(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = tokio::time::timeout(PATIENCE, self.stream.read_until(b'\n', &mut line));
            assert_ne!(read.await.expect("the server goes on").unwrap(), 0, "closed within an answer");
            match line.as_slice() {
                b".\r\n" => return data,
                [b'.', rest @ ..] => data.extend_from_slice(rest),
                line => data.extend_from_slice(line),
            }
        }
    }

    pub async fn multi(&mut self, command: &str) -> Vec<u8> {
        self.ok(command).await;
        self.data().await
    }

    pub async fn lines(&mut self, command: &str) -> Vec<String> {
        String::from_utf8(self.multi(command).await).unwrap().lines().map(str::to_owned).collect()
    }

    /// All that comes until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is a close too.
        let _ = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("the server closes");
        rest
    }

    /// Waits until the server closes.
    pub async fn closed(mut self) {
        let mut rest = Vec::new();
        // A reset is a close too.
        let _ = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("the server closes");
    }
}
