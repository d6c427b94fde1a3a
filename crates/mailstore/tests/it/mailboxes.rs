//! Promises about mailboxes: names, roles, what deleting leaves behind, and what time forgets.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Waker};

use crate::world::{World, text};
use bytes::Bytes;
use mailstore::schema::{DELIVERY_KEY_DAYS, VANISHED_DAYS};
use mailstore::{
    Children, EntryName, MAX_MAILBOXES, MAX_METADATA_BYTES, MAX_METADATA_ENTRIES, MAX_METADATA_OF_ONE,
    MAX_METADATA_VALUE_BYTES, MailError, MailStore, MailboxName, MetadataDepth, ModSeq, Role, SPECIAL_USE_ENTRY, Uid,
};
use store::{Clock, RealmId, Store, StoreOptions};

fn name(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

/// A clock that stands still until it is moved.
struct Watch(AtomicI64);

impl Clock for Watch {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn an_account_begins_with_the_standard_mailboxes_and_keeps_what_it_has() {
    let world = World::new().await;
    let names: Vec<_> = world.mail.mailboxes(world.account).unwrap().iter().map(|m| m.name.to_string()).collect();
    assert_eq!(names, ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]);
    assert!(Role::STANDARD.iter().all(|role| world.mailbox(*role).subscribed));
    let before = world.mail.mailboxes(world.account).unwrap();
    world.mail.create_standard_mailboxes(world.account).await.unwrap();
    assert_eq!(world.mail.mailboxes(world.account).unwrap(), before);
}

#[tokio::test]
async fn a_role_belongs_to_one_mailbox() {
    let world = World::new().await;
    let taken = world.mail.create_mailbox(world.account, name("Outbox"), Some(Role::Sent)).await;
    assert!(matches!(taken, Err(MailError::RoleTaken(Role::Sent))));
    let outbox = world.create("Outbox").await;
    assert!(matches!(
        world.mail.set_role(world.account, outbox, Some(Role::Sent)).await,
        Err(MailError::RoleTaken(Role::Sent))
    ));
    let sent = world.mailbox(Role::Sent).id;
    world.mail.set_role(world.account, sent, None).await.unwrap();
    world.mail.set_role(world.account, outbox, Some(Role::Sent)).await.unwrap();
    assert_eq!(world.mailbox(Role::Sent).id, outbox);
    // A deleted mailbox gives its role back.
    world.mail.delete_mailbox(world.account, name("Outbox"), Children::Keep).await.unwrap();
    world.mail.set_role(world.account, sent, Some(Role::Sent)).await.unwrap();
    for forbidden in [
        world.mail.set_role(world.account, world.inbox(), None).await,
        world.mail.set_role(world.account, sent, Some(Role::Inbox)).await,
        world.mail.delete_mailbox(world.account, name("inbox"), Children::Keep).await,
    ] {
        assert!(matches!(forbidden, Err(MailError::Forbidden(_))), "{forbidden:?}");
    }
    world.assert_in_order();
}

#[tokio::test]
async fn a_name_given_again_is_another_mailbox() {
    let world = World::new().await;
    let first = world.create("a/b").await;
    world.append(first, &text("1@x", "", "Hello", "text")).await;
    let old = world.mail.mailbox(world.account, first).unwrap().unwrap();
    world.mail.delete_mailbox(world.account, name("a"), Children::Delete).await.unwrap();
    let second = world.create("a/b").await;
    let new = world.mail.mailbox(world.account, second).unwrap().unwrap();
    assert_ne!(first, second);
    assert!(new.uid_validity > old.uid_validity);
    assert_eq!((new.total, new.uid_next), (0, Uid(1)));
    assert!(matches!(
        world.mail.append(world.account, first, world.message(b"x")).await,
        Err(MailError::MailboxGone(gone)) if gone == first
    ));
    world.assert_in_order();
}

#[tokio::test]
async fn renaming_inbox_moves_its_messages_and_leaves_it_empty() {
    let world = World::new().await;
    let below = world.create("INBOX/Lists").await;
    let appended = world.append(world.inbox(), &text("1@x", "", "Hello", "text")).await;
    world.mail.rename_mailbox(world.account, name("INBOX"), name("Old/2026")).await.unwrap();
    let moved = world.mail.mailbox_by_name(world.account, &name("Old/2026")).unwrap().unwrap();
    assert_eq!((moved.total, moved.role), (1, None));
    assert_eq!(world.mail.places(world.account, appended.email_id).unwrap(), [(moved.id, appended.uid)]);
    let inbox = world.mailbox(Role::Inbox);
    assert_eq!((inbox.total, inbox.name.as_str()), (0, "INBOX"));
    assert!(inbox.uid_validity > moved.uid_validity);
    assert_eq!(world.mail.mailbox(world.account, below).unwrap().unwrap().name.as_str(), "INBOX/Lists");
    world.assert_in_order();
}

#[tokio::test]
async fn the_number_of_mailboxes_is_bounded() {
    let world = World::new().await;
    let (mail, account) = (world.mail.clone(), world.account);
    let full: mailstore::Result<()> = world
        .store
        .transact(move |tx| {
            for n in 6..MAX_MAILBOXES {
                mail.create_mailbox_in(tx, account, &name(&format!("m{n}")), None)?;
            }
            Ok(())
        })
        .await;
    full.unwrap();
    let refused = world.mail.create_mailbox(account, name("one more"), None).await;
    assert!(matches!(refused, Err(MailError::TooManyMailboxes(MAX_MAILBOXES))));
    assert_eq!(world.mail.mailboxes(account).unwrap().len(), MAX_MAILBOXES);
}

#[tokio::test]
async fn what_an_interrupted_delete_left_is_cleared_away_later() {
    let world = World::new().await;
    let doomed = world.create("doomed").await;
    for n in 0..3 {
        world.append(doomed, &text(&format!("{n}@x"), "", "Hello", "text")).await;
    }
    {
        // The first commit is on its way when the rest is given up.
        let mut deleting = pin!(world.mail.delete_mailbox(world.account, name("doomed"), Children::Keep));
        assert!(deleting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    // Commits are in order: after this one the first is done.
    world.create("later").await;
    assert!(world.mail.mailbox(world.account, doomed).unwrap().is_none(), "it is gone at once");
    assert_eq!(world.mail.quota(world.account).unwrap().messages, 3);
    world.assert_in_order();
    world.mail.maintain(world.account).await.unwrap();
    assert_eq!(world.mail.quota(world.account).unwrap().messages, 0);
    world.assert_in_order();
}

#[tokio::test]
async fn time_forgets_expunges_and_deliveries_but_answers_stay_honest() {
    let clock = Arc::new(Watch(AtomicI64::new(1_795_445_410_000)));
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { clock: Arc::<Watch>::clone(&clock), ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let mail = MailStore::new(store.clone());
    let account = RealmId::account(crate::world::ACCOUNT);
    mail.create_standard_mailboxes(account).await.unwrap();
    let world = World { store, mail: mail.clone(), account, dir };
    let inbox = world.inbox();
    let mut message = world.message(&text("1@x", "", "Hello", "text"));
    message.delivery_key = Some(b"key".to_vec());
    mail.append(account, inbox, message.clone()).await.unwrap();
    let second = world.append(inbox, &text("2@x", "", "Hello", "text")).await;
    mail.expunge(account, inbox, &[Uid(1)]).await.unwrap();
    let knows_both = second.modseq;

    mail.maintain(account).await.unwrap();
    let changes = mail.changes_since(account, inbox, knows_both).unwrap();
    assert!(changes.exact && changes.vanished.contains(Uid(1)));
    assert!(mail.append(account, inbox, message.clone()).await.unwrap().duplicate);

    let days = VANISHED_DAYS.max(DELIVERY_KEY_DAYS) + 1;
    clock.0.fetch_add(days * 24 * 60 * 60 * 1000, Ordering::Relaxed);
    let third = world.append(inbox, &text("3@x", "", "Hello", "text")).await;
    mail.maintain(account).await.unwrap();
    let changes = mail.changes_since(account, inbox, knows_both).unwrap();
    assert!(!changes.exact, "the history does not reach back so far");
    assert_eq!(changes.vanished.to_string(), "1", "so all that is gone is told");
    assert_eq!(changes.changed.iter().map(|(uid, ..)| *uid).collect::<Vec<_>>(), [third.uid]);
    let recent = mail.changes_since(account, inbox, ModSeq(third.modseq.0 - 1)).unwrap();
    assert!(recent.exact && recent.vanished.is_empty());
    assert!(!mail.append(account, inbox, message).await.unwrap().duplicate);
    world.assert_in_order();
}

#[tokio::test]
async fn a_purged_account_has_nothing_left() {
    let world = World::new().await;
    let mut message = world.message(&text("1@x", "", "Hello", "text"));
    message.delivery_key = Some(b"key".to_vec());
    world.mail.append(world.account, world.inbox(), message).await.unwrap();
    world.mail.purge(world.account).await.unwrap();
    assert!(world.mail.mailboxes(world.account).unwrap().is_empty());
    assert!(world.mail.subscriptions(world.account).unwrap().is_empty());
    let quota = world.mail.quota(world.account).unwrap();
    assert_eq!((quota.used_bytes, quota.messages), (0, 0));
    world.assert_in_order();
}

#[tokio::test]
async fn a_broken_count_is_found_by_verify() {
    let world = World::new().await;
    world.append(world.inbox(), &text("1@x", "", "Hello", "text")).await;
    let check =
        |world: &World| realm::RealmPart::check(&mailstore::MailPart, world.account, &world.store.snapshot()).unwrap();
    assert!(check(&world).is_empty());
    let account = world.account;
    // The counters of INBOX, the first mailbox.
    let broken: mailstore::Result<()> = world
        .store
        .transact(move |tx| {
            tx.put(account, vec![0x12, 0, 0, 0, 1], vec![0x08, 0x01, 0x10, 0x09, 0x18, 0x02]);
            Ok(())
        })
        .await;
    broken.unwrap();
    let found = check(&world);
    assert!(found.iter().any(|what| what.contains("mailbox m1")), "{found:?}");
}

fn entry(name: &str) -> EntryName {
    EntryName::new(name).unwrap()
}

#[tokio::test]
async fn metadata_stays_with_a_renamed_mailbox_and_goes_with_a_deleted_one() {
    let world = World::new().await;
    let (mail, account) = (&world.mail, world.account);
    let lists = world.create("Lists/rust").await;
    let modseq = world.mailbox(Role::Inbox).highest_modseq;
    let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let values = |of, name: &str, depth| mail.metadata(account, of, &[entry(name)], depth);
    for (of, text) in [(None, "account"), (Some(lists), "lists"), (Some(world.inbox()), "inbox")] {
        let changes = vec![
            (entry("/private/Comment"), value("first")),
            (entry("/private/comment"), value(text)),
            (entry("/private/none"), None),
        ];
        mail.set_metadata(account, of, changes).await.unwrap();
    }
    world.assert_in_order();
    assert_eq!(world.mailbox(Role::Inbox).highest_modseq, modseq);
    mail.rename_mailbox(account, name("Lists"), name("Groups")).await.unwrap();
    let told = |text| vec![("/private/COMMENT".to_owned(), value(text))];
    let zero = MetadataDepth::Zero;
    assert_eq!(values(Some(lists), "/private/COMMENT", zero).unwrap(), told("lists"));
    let inbox = world.inbox();
    mail.rename_mailbox(account, name("INBOX"), name("Old")).await.unwrap();
    assert_eq!(values(Some(inbox), "/private/COMMENT", zero).unwrap(), told("inbox"), "with the messages");
    assert_eq!(values(Some(world.inbox()), "/private", MetadataDepth::Infinity).unwrap(), []);
    world.assert_in_order();
    mail.delete_mailbox(account, name("Groups"), Children::Delete).await.unwrap();
    assert!(matches!(values(Some(lists), "/private", zero), Err(MailError::MailboxGone(_))));
    let late = mail.set_metadata(account, Some(lists), vec![(entry("/private/a"), value("x"))]).await;
    assert!(matches!(late, Err(MailError::MailboxGone(_))));
    assert_eq!(mail.metadata_marks(account).unwrap().len(), 2);
    world.assert_in_order();
    mail.set_metadata(account, None, vec![(entry("/PRIVATE/comment"), None)]).await.unwrap();
    assert_eq!(values(None, "/private/COMMENT", zero).unwrap(), [("/private/COMMENT".to_owned(), None)]);
    world.assert_in_order();
    mail.purge(account).await.unwrap();
    assert!(mail.metadata_marks(account).unwrap().is_empty());
    world.assert_in_order();
}

#[tokio::test]
async fn metadata_has_limits_and_a_refused_change_leaves_all_as_it_was() {
    let world = World::new().await;
    let (mail, account, inbox) = (&world.mail, world.account, Some(world.inbox()));
    let many = |count: usize, size: usize| -> Vec<_> {
        (0..count).map(|n| (entry(&format!("/private/n{n}")), Some(Bytes::from(vec![0; size])))).collect()
    };
    for (changes, limit) in [
        (many(1, MAX_METADATA_VALUE_BYTES + 1), MAX_METADATA_VALUE_BYTES),
        (many(17, MAX_METADATA_VALUE_BYTES), MAX_METADATA_BYTES),
    ] {
        let refused = mail.set_metadata(account, inbox, changes).await;
        assert!(matches!(refused, Err(MailError::TooLarge { limit: l, .. }) if l == limit as u64), "{refused:?}");
    }
    let refused = mail.set_metadata(account, inbox, many(MAX_METADATA_OF_ONE + 1, 1)).await;
    assert!(matches!(refused, Err(MailError::TooManyEntries(MAX_METADATA_OF_ONE))));
    assert!(mail.metadata_marks(account).unwrap().is_empty());
    let top = mail.set_metadata(account, inbox, vec![(entry("/private"), Some(Bytes::new()))]).await;
    assert!(matches!(top, Err(MailError::Forbidden(_))));
    for n in 0..MAX_METADATA_ENTRIES / MAX_METADATA_OF_ONE {
        let mailbox = world.create(&format!("m{n}")).await;
        mail.set_metadata(account, Some(mailbox), many(MAX_METADATA_OF_ONE, 1)).await.unwrap();
        // Over again: nothing is counted twice.
        mail.set_metadata(account, Some(mailbox), many(MAX_METADATA_OF_ONE, 2)).await.unwrap();
    }
    let refused = mail.set_metadata(account, None, many(1, 1)).await;
    assert!(matches!(refused, Err(MailError::TooManyEntries(MAX_METADATA_ENTRIES))));
    world.assert_in_order();
    mail.delete_mailbox(account, name("m0"), Children::Keep).await.unwrap();
    mail.set_metadata(account, None, many(MAX_METADATA_OF_ONE, 1)).await.unwrap();
    world.assert_in_order();
}

#[tokio::test]
async fn the_special_use_of_a_mailbox_is_an_entry_of_it() {
    let world = World::new().await;
    let (mail, account) = (&world.mail, world.account);
    let (sent, own) = (world.mailbox(Role::Sent).id, world.create("Own").await);
    let set = |of, value: Option<&'static str>| {
        let value = value.map(|value| Bytes::from_static(value.as_bytes()));
        mail.set_metadata(account, Some(of), vec![(entry(SPECIAL_USE_ENTRY), value)])
    };
    let all = |of| mail.metadata(account, Some(of), &[entry("/private")], MetadataDepth::Infinity).unwrap();
    assert_eq!(all(sent), [(SPECIAL_USE_ENTRY.to_owned(), Some(Bytes::from_static(b"\\Sent")))]);
    assert_eq!((all(own), all(world.inbox())), (vec![], vec![]));
    assert!(matches!(set(own, Some("\\sent")).await, Err(MailError::RoleTaken(Role::Sent))));
    assert!(matches!(set(own, Some("\\Flagged")).await, Err(MailError::Forbidden(_))));
    assert!(matches!(set(world.inbox(), Some("\\Sent")).await, Err(MailError::Forbidden(_))));
    set(world.inbox(), None).await.unwrap();
    set(sent, None).await.unwrap();
    set(own, Some("\\sent")).await.unwrap();
    assert_eq!(world.mailbox(Role::Sent).id, own);
    assert_eq!(all(sent), []);
    world.assert_in_order();
}
