//! An account is told when its mailbox is nearly full, and when it is full: once each time.

use delivery::DeliveryError;
use mailstore::Role;
use prost::Message as _;
use store::Read as _;

use crate::world::{World, envelope, options};

const LIMIT: u64 = 1_000_000;

/// A message of so many bytes, more or less.
fn message(bytes: usize) -> Vec<u8> {
    let line = format!("{}\r\n", "x".repeat(74));
    let head = "From: far@far.example\r\nSubject: big\r\n\r\n";
    [head.as_bytes(), line.repeat(bytes / line.len()).as_bytes()].concat()
}

impl World {
    async fn fill(&self, bytes: usize) -> Result<(), DeliveryError> {
        let envelope = envelope("far@far.example", &["alice@here.example"], None);
        self.delivery.accept(envelope, &message(bytes)).await.map(drop)
    }

    /// How many letters say that it is almost full, and how many that it is full.
    fn told(&self) -> (usize, usize) {
        let inbox = self.inbox(self.alice);
        let count = |subject: &str| inbox.iter().filter(|message| message.contains(subject)).count();
        (count("Subject: Your mailbox is almost full\r\n"), count("Subject: Your mailbox is full\r\n"))
    }

    async fn until_told(&self, expected: (usize, usize)) {
        self.until(self.alice.realm(), |world| world.told() == expected).await;
    }

    /// What was noted that it was told: 1 almost full, 2 full.
    fn level(&self) -> u32 {
        #[derive(prost::Message)]
        struct Told {
            #[prost(uint32, tag = "1")]
            level: u32,
        }
        let value = self.store.snapshot().get(self.alice.realm(), &[0x4B]).unwrap();
        value.map_or(0, |value| Told::decode(value).unwrap().level)
    }

    /// Removes all mail that is not a letter of the service.
    async fn make_space(&self) {
        let realm = self.alice.realm();
        let inbox = self.mail.mailbox_by_role(realm, Role::Inbox).unwrap().unwrap();
        let view = self.mail.view(realm, inbox.id).unwrap();
        let entries = self.mail.entries(realm, inbox.id, view.uids()).unwrap();
        let big = |id| self.mail.body(realm, id).unwrap().read_all().unwrap().len() > 50_000;
        let uids: Vec<_> = entries.iter().filter(|entry| big(entry.email_id)).map(|entry| entry.uid).collect();
        self.mail.expunge(realm, inbox.id, &uids).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_crossing_is_told_once_across_crashes_and_again_after_there_was_space() {
    let mut world = World::stopped(options(None)).await;
    world.directory.set_quota(world.alice, LIMIT).await.unwrap();
    world.start();
    world.fill(800_000).await.unwrap();
    world.fill(120_000).await.unwrap();
    world.until_told((1, 0)).await;
    // What comes next is below the limit, and after a crash everything is looked at again.
    world.fill(10_000).await.unwrap();
    let mut world = world.crash_and_return(options(None)).await;
    world.start();
    let refused = world.fill(300_000).await.unwrap_err();
    assert_eq!(refused.refusal().enhanced, (4, 2, 2), "{refused:?}");
    world.until_told((1, 1)).await;
    assert!(world.fill(300_000).await.is_err());
    world.make_space().await;
    // Filled again: what was told before counts no longer.
    world.fill(100_000).await.unwrap();
    world.until(world.alice.realm(), |world| world.level() == 0).await;
    world.fill(850_000).await.unwrap();
    world.until_told((2, 1)).await;
    world.directory.set_quota(world.alice, 2 * LIMIT).await.unwrap();
    world.fill(10_000).await.unwrap();
    world.directory.set_quota(world.alice, LIMIT / 2).await.unwrap();
    let route = world.delivery.rcpt(&crate::world::address("alice@here.example"), None);
    assert_eq!(route.unwrap_err().enhanced, (4, 2, 2));
    world.until_told((2, 2)).await;
    assert_eq!(world.inbox(world.bob).len(), 0, "it is nobody else's business");
    world.check();
}
