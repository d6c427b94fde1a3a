//! Promises about snoozed messages: they return at their time, once, unread, wherever the service was in between.

use mailstore::{ActChange, ActStep, Flags, MailboxId, MailboxName, Role, Snooze, Snoozes, Uid};

use crate::world::{World, text};

const LATER: i64 = 5_000_000_000_000;

async fn snoozed(world: &World, uids: &[Uid], key: &[u8], until_ms: i64) -> MailboxId {
    let to = world.mail.snoozed_mailbox(world.account).await.unwrap();
    let change = ActChange::Snooze(to, until_ms);
    let steps = vec![ActStep { mailbox: world.inbox(), uids: uids.to_vec(), change }];
    world.mail.act(world.account, key, "snoozed", steps).await.unwrap();
    to
}

fn totals(world: &World) -> (u32, u32) {
    (world.mailbox(Role::Inbox).total, world.mailbox(Role::Snoozed).total)
}

#[tokio::test]
async fn a_message_returns_unread_at_its_time_and_not_before() {
    let world = World::new().await;
    let mut uids = Vec::new();
    for n in 0..3 {
        uids.push(world.append(world.inbox(), &text(&format!("{n}@x"), "", "Hello", "text")).await.uid);
    }
    world.mail.mark_seen(world.account, world.inbox(), &uids).await.unwrap();
    let to = snoozed(&world, &uids[..2], b"1", LATER).await;
    assert_eq!(totals(&world), (1, 2));
    assert_eq!(world.mail.snoozed_until(world.account).unwrap().values().copied().collect::<Vec<_>>(), [LATER; 2]);
    assert_eq!(world.mail.wake(world.account, LATER - 1).await.unwrap(), Some(LATER));
    assert_eq!(totals(&world), (1, 2));
    // Another time for one of them.
    let first = world.mail.entries(world.account, to, &[Uid(1)]).unwrap();
    assert_eq!(first.len(), 1);
    let change = ActChange::Snooze(to, LATER + 10);
    let steps = vec![ActStep { mailbox: to, uids: vec![Uid(1)], change }];
    world.mail.act(world.account, b"2", "", steps).await.unwrap();
    assert_eq!(world.mail.wake(world.account, LATER).await.unwrap(), Some(LATER + 10));
    assert_eq!((totals(&world), world.mailbox(Role::Inbox).unread), ((2, 1), 1));
    assert_eq!(world.mail.wake(world.account, LATER + 10).await.unwrap(), None);
    assert_eq!((totals(&world), world.mailbox(Role::Inbox).unread), ((3, 0), 2));
    assert_eq!(world.mail.wake(world.account, LATER + 99).await.unwrap(), None);
    assert_eq!(totals(&world), (3, 0));
    world.assert_in_order();
}

#[tokio::test]
async fn what_was_moved_elsewhere_or_taken_back_stays_where_it_is() {
    let world = World::new().await;
    let mut uids = Vec::new();
    for n in 0..2 {
        uids.push(world.append(world.inbox(), &text(&format!("{n}@x"), "", "Hello", "text")).await.uid);
    }
    let to = snoozed(&world, &uids[..1], b"1", LATER).await;
    let archive = world.mailbox(Role::Archive).id;
    world.mail.move_(world.account, to, &[Uid(1)], archive).await.unwrap();
    snoozed(&world, &uids[1..], b"2", LATER).await;
    world.mail.undo(world.account, b"2").await.unwrap();
    assert_eq!(totals(&world), (1, 0));
    assert_eq!(world.mail.wake(world.account, LATER).await.unwrap(), None);
    assert_eq!((totals(&world), world.mailbox(Role::Archive).total), ((1, 0), 1));
    assert!(world.mail.snoozed_until(world.account).unwrap().is_empty());
    world.assert_in_order();
}

#[tokio::test]
async fn a_rule_says_where_a_message_returns_to_and_with_which_flags() {
    let world = World::new().await;
    let to = world.mail.snoozed_mailbox(world.account).await.unwrap();
    let name = MailboxName::new("Later").unwrap();
    let later = world.mail.create_mailbox(world.account, name, None).await.unwrap();
    for (n, mailbox) in ["Later", "Nowhere", "", "Snoozed"].iter().enumerate() {
        let email = world.append(to, &text(&format!("{n}@x"), "", &format!("Hello {n}"), "text")).await.email_id;
        let add = vec!["\\Flagged".to_owned(), "Work".to_owned()];
        let snooze = Snooze { until_ms: LATER, mailbox: (*mailbox).to_owned(), add, remove: Vec::new() };
        let (mail, account) = (world.mail.clone(), world.account);
        world
            .store
            .transact(move |tx| {
                mail.note_snoozed_in(tx, account, email, &snooze);
                Ok::<_, mailstore::MailError>(())
            })
            .await
            .unwrap();
    }
    world.mail.wake(world.account, LATER).await.unwrap();
    assert_eq!(totals(&world), (3, 0));
    let entries = world.mail.entries(world.account, later, &[Uid(1)]).unwrap();
    assert_eq!(entries[0].flags, Flags::parse(["\\Flagged", "Work"]).unwrap());
    world.assert_in_order();
}

#[tokio::test]
async fn messages_return_while_it_runs_and_those_that_became_due_before() {
    let world = World::new().await;
    let uid = world.append(world.inbox(), &text("1@x", "", "Hello", "text")).await.uid;
    snoozed(&world, &[uid], b"1", 1).await;
    assert_eq!(totals(&world), (0, 1));
    let snoozes = Snoozes::of(&world.store);
    let run = async {
        until(&world, 1).await;
        let uid = world.append(world.inbox(), &text("2@x", "", "Other", "text")).await.uid;
        snoozed(&world, &[uid], b"2", 2).await;
        until(&world, 2).await;
    };
    tokio::select! {
        () = snoozes.run(&world.mail, || 1_000) => unreachable!("it runs until it is dropped"),
        () = run => {}
    }
    assert_eq!(totals(&world), (2, 0));
}

async fn until(world: &World, inbox: u32) {
    let mut watch = world.mail.watch(world.account);
    while world.mailbox(Role::Inbox).total != inbox {
        watch.changed().await;
    }
}
