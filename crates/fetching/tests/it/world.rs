//! A store with an account, and fetching for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use delivery::{Delivery, DeliveryOptions};
use directory::{AccountId, DirectoryOptions, NewAccount, Role};
use fetching::{Fetching, Policy, Protocol, Security, Services, Settings};
use mailkit::EmailAddress;
use mailstore::{MailStore, MailboxName};
use testkit::House;

pub const SECRET: &str = "pass \"word\" of elsewhere";

pub struct World {
    pub house: House,
    pub mail: MailStore,
    pub fetching: Fetching,
    pub account: AccountId,
    pub zone: Arc<dnskit::Zone>,
    /// What the account may use; 0 is unlimited.
    pub quota: Arc<AtomicU64>,
}

impl World {
    pub async fn open(dir: &Path, change: impl FnOnce(&mut Policy)) -> Self {
        Self::open_with(dir, DirectoryOptions::default(), change).await
    }

    pub async fn open_with(dir: &Path, options: DirectoryOptions, change: impl FnOnce(&mut Policy)) -> Self {
        let house = House::with_mailboxes(dir, options).await;
        let quota = Arc::new(AtomicU64::new(0));
        let limit = Arc::clone(&quota);
        let mail = MailStore::with_quota_limit(
            house.store.clone(),
            Arc::new(move |_| Some(limit.load(Ordering::Relaxed)).filter(|limit| *limit > 0)),
        );
        let address = EmailAddress::parse("ann@example.org").unwrap();
        let there = house.directory.account_by_address(&address).unwrap();
        let account = match there {
            Some(account) => account.id,
            None => {
                house.directory.add_domain("example.org").await.unwrap();
                let new = NewAccount {
                    address,
                    name: "Ann".to_owned(),
                    password: "correct horse battery".to_owned(),
                    role: Role::User,
                    quota_bytes: 0,
                };
                house.directory.create_account(new).await.unwrap()
            }
        };
        let options = DeliveryOptions { hostname: "mail.example.org".to_owned(), ..DeliveryOptions::default() };
        let delivery = Delivery::new(house.store.clone(), house.directory.clone(), mail.clone(), options).unwrap();
        let zone = Arc::new(dnskit::Zone::new());
        let services = Services {
            store: house.store.clone(),
            directory: house.directory.clone(),
            mailstore: mail.clone(),
            delivery,
            resolver: zone.clone(),
        };
        let mut policy = Policy { allow_private: true, ports: (1024..=u16::MAX).collect(), ..Policy::default() };
        change(&mut policy);
        let fetching = Fetching::new(services, policy).unwrap();
        Self { house, mail, fetching, account, zone, quota }
    }

    pub fn settings(port: u16) -> Settings {
        Settings {
            protocol: Protocol::Imap,
            host: "127.0.0.1".to_owned(),
            port,
            security: Security::Plain,
            user: "old@example.net".to_owned(),
            keeps_on: true,
            inbox_only: false,
            rules: false,
            delete: false,
        }
    }

    pub async fn add(&self, settings: Settings) -> u64 {
        self.fetching.add(self.account, settings, SECRET).await.unwrap()
    }

    /// Runs a source once, whatever its state is.
    pub async fn fetch(&self, id: u64) -> fetching::Fetched {
        self.fetching.resume(self.account, id).await.unwrap();
        self.fetching.fetch(self.account, id).await.unwrap()
    }

    /// The subjects in a mailbox, in the order of UIDs; empty if it is not there.
    pub fn subjects(&self, mailbox: &str) -> Vec<String> {
        self.rows(mailbox).into_iter().map(|row| row.parsed.subject.clone()).collect()
    }

    pub fn rows(&self, mailbox: &str) -> Vec<mailstore::MessageRow> {
        let realm = self.account.realm();
        let name = MailboxName::new(mailbox).unwrap();
        let Some(found) = self.mail.mailbox_by_name(realm, &name).unwrap() else { return Vec::new() };
        let view = self.mail.view(realm, found.id).unwrap();
        let uids = view.uids().to_vec();
        self.mail.rows(realm, found.id, &uids).unwrap()
    }

    pub async fn close(self) {
        let store = self.house.store.clone();
        drop(self);
        tokio::task::spawn_blocking(move || store.close()).await.unwrap();
    }
}

pub fn message(subject: &str) -> Vec<u8> {
    format!("From: bob@example.net\r\nTo: old@example.net\r\nSubject: {subject}\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\nMessage-ID: <{}@x>\r\n\r\nText of {subject}\r\n", subject.replace(' ', ".")).into_bytes()
}
