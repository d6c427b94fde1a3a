//! A small mail service with two accounts, and ways to look at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use delivery::{
    Delivery, DeliveryOptions, Envelope, Judge, NextHop, Origin, QueueFilter, QueueInvariants, QueueStats, Recipient,
    RetrySchedule, Submission, Timeouts,
};
use directory::{AccountId, Directory, DirectoryOptions, NewAccount, Role};
use mailkit::EmailAddress;
use mailstore::{MailStore, Role as MailboxRole};
use store::{Clock, Invariants as _, RealmId, Store, StoreError, StoreOptions};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake::Fake;

/// How long a test waits for what must happen, on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    /// Goes when the test is over.
    dir: Option<Arc<TempDir>>,
    pub store: Store,
    pub directory: Directory,
    pub mail: MailStore,
    pub delivery: Delivery,
    pub alice: AccountId,
    pub bob: AccountId,
    running: Option<(JoinHandle<()>, CancellationToken)>,
}

/// Options for tests: quick retries, `there.example` at `fake`.
pub fn options(fake: Option<&Fake>) -> DeliveryOptions {
    let mut options = DeliveryOptions {
        hostname: "mx.here.example".into(),
        retry: RetrySchedule { waits: vec![Duration::from_millis(20)], jitter: 0.0 },
        rest_of_dead_hosts: (Duration::from_millis(20), Duration::from_millis(40)),
        timeouts: Timeouts { quit: Duration::from_millis(200), ..Timeouts::default() },
        ..DeliveryOptions::default()
    };
    if let Some(fake) = fake {
        route(&mut options, "there.example", fake);
    }
    options
}

pub fn route(options: &mut DeliveryOptions, domain: &str, fake: &Fake) {
    options.static_routes.insert(domain.into(), NextHop::new("127.0.0.1", fake.address.port()));
}

pub const DAY_MS: i64 = 86_400_000;

/// A clock that stands.
pub struct Still(pub AtomicI64);

impl Still {
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl World {
    /// A service that is not running, whose time passes when it is told to.
    pub async fn with_clock(options: DeliveryOptions) -> (Self, Arc<Still>) {
        let clock = Arc::new(Still(AtomicI64::new(20_000 * DAY_MS)));
        let store = StoreOptions { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..StoreOptions::default() };
        (Self::stopped_with(options, store).await, clock)
    }

    /// A service that is running.
    pub async fn new(options: DeliveryOptions) -> Self {
        let mut world = Self::stopped(options).await;
        world.start();
        world
    }

    /// A service whose queue is not worked off yet.
    pub async fn stopped(options: DeliveryOptions) -> Self {
        Self::stopped_with(options, StoreOptions::default()).await
    }

    /// The same over a store of one's own choice.
    pub async fn stopped_with(options: DeliveryOptions, store: StoreOptions) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let store = Store::open(dir.path(), store).unwrap();
        let directory = directory_over(&store);
        directory.add_domain("here.example").await.unwrap();
        let account = |name: &str, role| NewAccount {
            address: address(&format!("{name}@here.example")),
            name: name.to_owned(),
            password: "correct horse battery".to_owned(),
            role,
            quota_bytes: 0,
        };
        let alice = directory.create_account(account("alice", Role::Admin)).await.unwrap();
        let bob = directory.create_account(account("bob", Role::User)).await.unwrap();
        Self::over(Some(dir), store, directory, alice, bob, options)
    }

    fn over(
        dir: Option<Arc<TempDir>>,
        store: Store,
        directory: Directory,
        alice: AccountId,
        bob: AccountId,
        options: DeliveryOptions,
    ) -> Self {
        let limits = directory.clone();
        let limit = move |realm: RealmId| {
            [alice, bob].into_iter().find(|id| id.realm() == realm).and_then(|id| limits.quota_limit(id))
        };
        let mail = MailStore::with_quota_limit(store.clone(), Arc::new(limit));
        let delivery = Delivery::with_resolver(
            store.clone(),
            directory.clone(),
            mail.clone(),
            options,
            Arc::new(dnskit::Zone::new()),
        )
        .unwrap();
        Self { dir, store, directory, mail, delivery, alice, bob, running: None }
    }

    /// Close the store and give back its folder.
    pub fn close(self) -> Arc<TempDir> {
        let Self { dir, store, directory, mail, delivery, .. } = self;
        drop((directory, mail, delivery));
        store.close();
        dir.expect("a folder of its own")
    }

    /// The service in a folder that another process made.
    pub fn reopen(dir: &std::path::Path, alice: AccountId, bob: AccountId, options: DeliveryOptions) -> Self {
        let store = open_when_free(dir);
        let directory = directory_over(&store);
        Self::over(None, store, directory, alice, bob, options)
    }

    /// The same service with another resolver.
    pub fn with_resolver(mut self, options: DeliveryOptions, resolver: Arc<dyn dnskit::Resolver>) -> Self {
        assert!(self.running.is_none());
        let (store, directory, mail) = (self.store.clone(), self.directory.clone(), self.mail.clone());
        self.delivery = Delivery::with_resolver(store, directory, mail, options, resolver).unwrap();
        self
    }

    /// The same service with a resolver whose word on what is proved counts.
    pub fn with_validating(mut self, options: DeliveryOptions, resolver: Arc<dyn dnskit::Resolver>) -> Self {
        self = self.with_resolver(options.clone(), Arc::clone(&resolver));
        let (store, directory, mail) = (self.store.clone(), self.directory.clone(), self.mail.clone());
        let delivery = Delivery::with_resolver(store, directory, mail, options, Arc::clone(&resolver)).unwrap();
        self.delivery = delivery.with_validating(resolver).unwrap();
        self
    }

    /// The same service with judges.
    pub fn with_judges(mut self, options: DeliveryOptions, judges: Vec<Arc<dyn Judge>>) -> Self {
        assert!(self.running.is_none());
        let (store, directory, mail) = (self.store.clone(), self.directory.clone(), self.mail.clone());
        let delivery = Delivery::with_resolver(store, directory, mail, options, Arc::new(dnskit::Zone::new())).unwrap();
        self.delivery = delivery.with_judges(judges).unwrap();
        self
    }

    pub fn start(&mut self) {
        let (delivery, shutdown) = (self.delivery.clone(), CancellationToken::new());
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { delivery.run(stop).await.unwrap() });
        self.running = Some((task, shutdown));
    }

    /// Stop in order.
    pub async fn stop(&mut self) {
        if let Some((task, shutdown)) = self.running.take() {
            shutdown.cancel();
            task.await.unwrap();
        }
    }

    /// Die without any order, and come back from what is on disk.
    pub async fn crash_and_return(mut self, options: DeliveryOptions) -> Self {
        if let Some((task, _)) = self.running.take() {
            task.abort();
            let _ = task.await;
        }
        let (alice, bob, dir) = (self.alice, self.bob, self.close());
        Self { dir: Some(Arc::clone(&dir)), ..Self::reopen(dir.path(), alice, bob, options) }
    }

    /// Stop in order, and come back a day later, not running yet.
    pub async fn tomorrow(mut self, options: DeliveryOptions, resolver: Arc<dyn dnskit::Resolver>) -> Self {
        struct Tomorrow;
        impl store::Clock for Tomorrow {
            fn now_ms(&self) -> i64 {
                store::SystemClock.now_ms() + 24 * 60 * 60 * 1_000
            }
        }
        self.stop().await;
        let (alice, bob, dir) = (self.alice, self.bob, self.close());
        let store =
            Store::open(dir.path(), StoreOptions { clock: Arc::new(Tomorrow), ..StoreOptions::default() }).unwrap();
        let directory = directory_over(&store);
        Self::over(Some(dir), store, directory, alice, bob, options.clone()).with_resolver(options, resolver)
    }

    /// Wait until `seen` holds, looking again after every commit to `realm`.
    pub async fn until(&self, realm: RealmId, seen: impl Fn(&Self) -> bool) {
        let mut commits = self.store.watch(realm);
        let looking = async {
            while !seen(self) {
                commits.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("it happens in time");
    }

    pub async fn until_queue_is_empty(&self) {
        self.until(RealmId::QUEUE, |world| world.stats().messages == 0).await;
    }

    pub async fn until_inbox_has(&self, account: AccountId, count: usize) -> Vec<String> {
        self.until(account.realm(), |world| world.inbox(account).len() >= count).await;
        self.inbox(account)
    }

    pub fn stats(&self) -> QueueStats {
        self.delivery.queue_stats().unwrap()
    }

    pub fn inbox(&self, account: AccountId) -> Vec<String> {
        self.mailbox(account, MailboxRole::Inbox)
    }

    /// The messages of a mailbox, oldest first.
    pub fn mailbox(&self, account: AccountId, role: MailboxRole) -> Vec<String> {
        let realm = account.realm();
        let Some(mailbox) = self.mail.mailbox_by_role(realm, role).unwrap() else { return Vec::new() };
        let view = self.mail.view(realm, mailbox.id).unwrap();
        let entries = self.mail.entries(realm, mailbox.id, view.uids()).unwrap();
        let read = |id| String::from_utf8_lossy(&self.mail.body(realm, id).unwrap().read_all().unwrap()).into_owned();
        entries.iter().map(|entry| read(entry.email_id)).collect()
    }

    /// Everything that must hold does hold.
    pub fn check(&self) {
        let snapshot = self.store.snapshot();
        assert_eq!(QueueInvariants.check(RealmId::QUEUE, &snapshot).unwrap(), []);
    }

    pub fn only_queued(&self) -> delivery::QueuedMessage {
        let page = self.delivery.queue_list(&QueueFilter::default(), None, 10).unwrap();
        assert_eq!(page.messages.len(), 1);
        page.messages[0].clone()
    }
}

/// A child process that another test starts shares the folder's lock from its fork to its exec: wait that out.
fn open_when_free(dir: &std::path::Path) -> Store {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        match Store::open(dir, StoreOptions::default()) {
            Err(StoreError::Locked { .. }) if std::time::Instant::now() < until => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// Making the directory waits for a commit.
fn directory_over(store: &Store) -> Directory {
    tokio::task::block_in_place(|| Directory::new(store.clone(), DirectoryOptions::default()).unwrap())
}

pub fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

/// An envelope as a door would make it.
pub fn envelope(from: &str, recipients: &[&str], auth: Option<AccountId>) -> Envelope {
    Envelope {
        from: (!from.is_empty()).then(|| address(from)),
        recipients: recipients.iter().map(|r| Recipient::new(address(r))).collect(),
        ret: None,
        envid: None,
        body_8bit: false,
        require_tls: false,
        smtputf8: false,
        origin: Origin {
            peer: Some([192, 0, 2, 7].into()),
            helo: Some("client.example".into()),
            auth,
            esmtp: true,
            ..Origin::default()
        },
    }
}

pub fn submission(world: &World, key: &[u8], recipients: &[&str]) -> Submission {
    Submission {
        account: world.alice,
        idempotency_key: key.to_vec(),
        from: address("alice@here.example"),
        recipients: recipients.iter().map(|r| Recipient::new(address(r))).collect(),
        ret: None,
        message: bytes::Bytes::from_static(MESSAGE),
        keep_copy: true,
        copy_prefix: bytes::Bytes::new(),
        remove_draft: None,
        responds_to: None,
        hold: Duration::ZERO,
        correspondents: Vec::new(),
    }
}

pub const MESSAGE: &[u8] = b"From: Alice <alice@here.example>\r\nTo: someone\r\nSubject: Hello\r\n\
    Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <one@here.example>\r\n\r\nHow are you?\r\n.\r\n..dots\r\n";
