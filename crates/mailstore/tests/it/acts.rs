//! Promises about acts: done once under their key, and taken back.

use crate::world::{World, text};
use mailstore::{ActChange, ActStep, FlagChange, Flags, Role, SystemFlag, Uid};

fn step(world: &World, uids: &[Uid], change: ActChange) -> Vec<ActStep> {
    vec![ActStep { mailbox: world.inbox(), uids: uids.to_vec(), change }]
}

#[tokio::test]
async fn an_act_is_done_once_however_often_it_is_asked_for() {
    let world = World::new().await;
    let uid = world.append(world.inbox(), &text("1@x", "", "Hello", "text")).await.uid;
    let archive = world.mailbox(Role::Archive).id;
    let all =
        futures_util::future::join_all((0..10).map(|_| {
            world.mail.act(world.account, b"key", "archived", step(&world, &[uid], ActChange::Move(archive)))
        }))
        .await;
    let receipts: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.changed == 1 && receipt.note == "archived" && receipt.undoable));
    assert_eq!((world.mailbox(Role::Inbox).total, world.mailbox(Role::Archive).total), (0, 1));
    world.assert_in_order();
}

#[tokio::test]
async fn a_move_is_taken_back_once() {
    let world = World::new().await;
    let mut uids = Vec::new();
    for n in 0..3 {
        uids.push(world.append(world.inbox(), &text(&format!("{n}@x"), "", "Hello", "text")).await.uid);
    }
    let trash = world.mailbox(Role::Trash).id;
    world.mail.act(world.account, b"key", "", step(&world, &uids, ActChange::Move(trash))).await.unwrap();
    for _ in 0..2 {
        let receipt = world.mail.undo(world.account, b"key").await.unwrap().unwrap();
        assert!(receipt.undone && !receipt.undoable);
        assert_eq!((world.mailbox(Role::Inbox).total, world.mailbox(Role::Trash).total), (3, 0));
    }
    // The act is not done again under its key, even now.
    world.mail.act(world.account, b"key", "", step(&world, &uids, ActChange::Move(trash))).await.unwrap();
    assert_eq!(world.mailbox(Role::Inbox).total, 3);
    assert!(world.mail.undo(world.account, b"other").await.unwrap().is_none());
    world.assert_in_order();
}

#[tokio::test]
async fn undoing_a_flag_leaves_those_alone_that_had_it_before() {
    let world = World::new().await;
    let a = world.append(world.inbox(), &text("1@x", "", "Hello", "text")).await.uid;
    let b = world.append(world.inbox(), &text("2@x", "", "Other", "text")).await.uid;
    let seen = || FlagChange::Add(Flags::of(&[SystemFlag::Seen]));
    world.mail.set_flags(world.account, world.inbox(), &[a], seen(), None).await.unwrap();
    let receipt =
        world.mail.act(world.account, b"key", "", step(&world, &[a, b], ActChange::Flags(seen()))).await.unwrap();
    assert_eq!(receipt.changed, 1);
    world.mail.undo(world.account, b"key").await.unwrap();
    let entries = world.mail.entries(world.account, world.inbox(), &[a, b]).unwrap();
    assert_eq!(entries.iter().map(|e| e.flags.seen()).collect::<Vec<_>>(), [true, false]);
    world.assert_in_order();
}

#[tokio::test]
async fn undo_gives_each_message_the_flags_it_had() {
    let world = World::new().await;
    let flags = |names: &[&str]| Flags::parse(names.iter().copied()).unwrap();
    let had = [flags(&["\\Seen", "work"]), flags(&[]), flags(&["\\Flagged"])];
    let mut uids = Vec::new();
    for (n, flags) in had.iter().enumerate() {
        let mut message = world.message(&text(&format!("{n}@x"), "", "Hello", "text"));
        message.flags = flags.clone();
        uids.push(world.mail.append(world.account, world.inbox(), message).await.unwrap().uid);
    }
    for (key, change) in [
        (b"1", FlagChange::Add(flags(&["\\Seen", "\\Flagged", "play"]))),
        (b"2", FlagChange::Remove(flags(&["\\Seen", "work"]))),
        (b"3", FlagChange::Replace(flags(&["\\Seen", "play"]))),
    ] {
        let act = step(&world, &uids, ActChange::Flags(change));
        assert!(world.mail.act(world.account, key, "", act).await.unwrap().undoable);
        world.mail.undo(world.account, key).await.unwrap();
        let now = world.mail.entries(world.account, world.inbox(), &uids).unwrap();
        assert_eq!(now.into_iter().map(|entry| entry.flags).collect::<Vec<_>>(), had);
    }
    world.assert_in_order();
}

#[tokio::test]
async fn undo_passes_over_what_has_gone_elsewhere() {
    let world = World::new().await;
    let uid = world.append(world.inbox(), &text("1@x", "", "Hello", "text")).await.uid;
    let place = world.create("Place").await;
    world.mail.act(world.account, b"key", "", step(&world, &[uid], ActChange::Move(place))).await.unwrap();
    let name = mailstore::MailboxName::new("Place").unwrap();
    world.mail.delete_mailbox(world.account, name, mailstore::Children::Keep).await.unwrap();
    assert!(world.mail.undo(world.account, b"key").await.unwrap().unwrap().undone);
    world.assert_in_order();
}

#[tokio::test]
async fn a_draft_saved_twice_is_there_once() {
    let world = World::new().await;
    let drafts = world.mailbox(Role::Drafts).id;
    let first =
        world.mail.replace(world.account, drafts, None, world.message(&text("1@x", "", "A", "a"))).await.unwrap();
    let mut again = world.message(&text("1@x", "", "B", "b"));
    again.delivery_key = Some(b"draft b".to_vec());
    let old = Some((drafts, first.uid));
    let second = world.mail.replace(world.account, drafts, old, again.clone()).await.unwrap();
    let third = world.mail.replace(world.account, drafts, old, again).await.unwrap();
    assert_eq!((second.uid, third.duplicate), (third.uid, true));
    assert_eq!(world.mailbox(Role::Drafts).total, 1);
    world.assert_in_order();
}
