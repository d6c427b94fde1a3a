//! A door on a port of its own, with one account.

use std::net::SocketAddr;

use directory::{AccountId, Directory, NewAccount, Role};
use doorkit::{Conn, PlaintextLogins, Tls};
use imap::{ImapDoor, ImapOptions};
use tempfile::TempDir;
use testkit::{House, Store};
use tokio::net::TcpListener;

use super::client::Client;

pub const USER: &str = "user@example.org";
pub const PASSWORD: &str = "correct-horse";
pub const MESSAGE: &[u8] = b"From: Ann <ann@example.org>\r\nTo: user@example.org\r\nSubject: hello\r\n\
Date: Mon, 1 Jun 2026 10:00:00 +0000\r\nMessage-ID: <m1@example.org>\r\n\r\nhello world\r\n";

#[allow(dead_code, reason = "not every test needs all of it")]
pub struct Server {
    pub address: SocketAddr,
    pub directory: Directory,
    pub mailstore: mailstore::MailStore,
    pub account: AccountId,
    pub store: Store,
    pub realm: directory::AccountRealm,
    stop: tokio_util::sync::CancellationToken,
    dir: TempDir,
}

#[allow(dead_code, reason = "not every test needs all of it")]
impl Server {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut ImapOptions)) -> Self {
        Self::open(change, false).await
    }

    /// One that offers STARTTLS, and takes no password without.
    pub async fn start_secure() -> Self {
        Self::open(|options| options.plaintext_logins = PlaintextLogins::Never, true).await
    }

    async fn open(change: impl FnOnce(&mut ImapOptions), secure: bool) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let House { store, directory, mailstore } = House::open(dir.path()).await;
        directory.add_domain("example.org").await.expect("a domain");
        let account = NewAccount {
            address: USER.parse().expect("an address"),
            name: "User".to_owned(),
            password: PASSWORD.to_owned(),
            role: Role::User,
            quota_bytes: 0,
        };
        let account = directory.create_account(account).await.expect("an account");
        let realm = account.realm();
        mailstore.create_standard_mailboxes(realm).await.expect("mailboxes");
        let mut options = ImapOptions { plaintext_logins: PlaintextLogins::Loopback, ..ImapOptions::default() };
        change(&mut options);
        let stop = options.shutdown.clone();
        let door = if secure {
            // Installed once; the others find it there.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let tls = Tls::self_signed(dir.path(), &["localhost".to_owned()]).expect("a certificate");
            ImapDoor::with_tls(directory.clone(), mailstore.clone(), options, tls)
        } else {
            ImapDoor::new(directory.clone(), mailstore.clone(), options)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let accepting = stop.clone();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = accepting.cancelled() => return,
                };
                let (stream, _) = accepted.expect("a connection");
                let door = door.clone();
                tokio::spawn(async move { door.serve_connection(Conn::from_tcp(stream).expect("connected")).await });
            }
        });
        Self { address, directory, mailstore, account, store, realm, stop, dir }
    }

    /// A client that has logged in.
    pub async fn login(&self) -> Client {
        let (mut client, _) = Client::connect(self.address).await;
        client.run(format!("LOGIN {USER} {PASSWORD}")).await.ok();
        client
    }

    /// Where its store lies.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub fn stop(&self) {
        self.stop.cancel();
    }
}
