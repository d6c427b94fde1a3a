//! Promises about messages: filed once, kept byte for byte, counted, bounded.

use std::io::Read as _;
use std::sync::Arc;

use crate::world::{World, text};
use mailstore::{
    FlagChange, Flags, MailError, ModSeq, Role, SystemFlag, Uid,
    schema::{MAX_DELIVERY_KEY_BYTES, MAX_THREAD_MESSAGES},
};

#[tokio::test]
async fn a_message_is_given_back_byte_for_byte_whatever_it_is() {
    let world = World::new().await;
    let large: Vec<u8> = (0..50_000_000_u32).map(|n| (n ^ (n >> 9) ^ (n >> 17)) as u8).collect();
    let bodies = [b"".as_slice(), b"\0", b"\r", b"no header\0 and \xff\xfe 8-bit", b"A: b\n\nbare\rcr\nlf\n", &large];
    for raw in bodies {
        let appended = world.append(world.inbox(), raw).await;
        let mut read = Vec::new();
        world.mail.body(world.account, appended.email_id).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == raw, "{} bytes came back as {}", raw.len(), read.len());
        let rows = world.mail.rows(world.account, world.inbox(), &[appended.uid]).unwrap();
        assert_eq!(rows[0].size, raw.len() as u64);
    }
    world.assert_in_order();
}

#[tokio::test]
async fn a_delivery_key_files_once_and_answers_the_same() {
    let world = World::new().await;
    let mut message = world.message(&text("1@x", "", "Hello", "text"));
    message.delivery_key = Some(b"queue 17 to bob".to_vec());
    let first = world.mail.append(world.account, world.inbox(), message.clone()).await.unwrap();
    // Also if the message has gone elsewhere meanwhile, and whichever mailbox is asked for.
    let archive = world.mailbox(Role::Archive).id;
    world.mail.move_(world.account, world.inbox(), &[first.uid], archive).await.unwrap();
    let second = world.mail.append(world.account, archive, message.clone()).await.unwrap();
    assert!(!first.duplicate && second.duplicate);
    assert_eq!((first.mailbox, first.uid, first.email_id), (second.mailbox, second.uid, second.email_id));
    assert_eq!(world.mail.quota(world.account).unwrap().messages, 1);

    message.delivery_key = Some(vec![0; MAX_DELIVERY_KEY_BYTES + 1]);
    let refused = world.mail.append(world.account, archive, message).await;
    assert!(matches!(refused, Err(MailError::TooLarge { .. })));
    world.assert_in_order();
}

#[tokio::test]
async fn the_same_delivery_at_once_files_once() {
    let world = Arc::new(World::new().await);
    let mut message = world.message(&text("1@x", "", "Hello", "text"));
    message.delivery_key = Some(b"k".to_vec());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (world, message) = (Arc::clone(&world), message.clone());
            tokio::spawn(async move { world.mail.append(world.account, world.inbox(), message).await.unwrap() })
        })
        .collect();
    let mut filed = 0;
    for task in tasks {
        filed += u32::from(!task.await.unwrap().duplicate);
    }
    assert_eq!((filed, world.mailbox(Role::Inbox).total), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_at_once_get_different_ascending_uids() {
    let world = Arc::new(World::new().await);
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let raw = text(&format!("{n}@x"), "", "Hello", "text");
                world.append(world.inbox(), &raw).await
            })
        })
        .collect();
    let mut uids = Vec::new();
    for task in tasks {
        let appended = task.await.unwrap();
        uids.push((appended.modseq, appended.uid));
    }
    uids.sort();
    assert!(uids.iter().map(|(_, uid)| *uid).eq((1..=40).map(Uid)), "UIDs are in the order of the commits");
    world.assert_in_order();
}

#[tokio::test]
async fn over_quota_is_refused_by_name_unless_told_to_ignore_it() {
    let world = World::with(Some(Arc::new(|_| Some(1_000)))).await;
    let raw = text("1@x", "", "Hello", &"x".repeat(500));
    let first = world.append(world.inbox(), &raw).await;
    let mut message = world.message(&raw);
    let refused = world.mail.append(world.account, world.inbox(), message.clone()).await;
    let size = raw.len() as u64;
    assert!(matches!(
        refused,
        Err(MailError::OverQuota { used, limit: 1_000, needed }) if used == size && needed == size
    ));
    // Copies share the body and cost nothing.
    let archive = world.mailbox(Role::Archive).id;
    world.mail.copy(world.account, world.inbox(), &[first.uid], archive).await.unwrap();
    assert_eq!(world.mail.quota(world.account).unwrap().used_bytes, size);
    message.ignore_quota = true;
    world.mail.append(world.account, world.inbox(), message).await.unwrap();
    assert_eq!(world.mail.quota(world.account).unwrap().used_bytes, 2 * size);
    world.mail.expunge(world.account, world.inbox(), &[Uid(1), Uid(2)]).await.unwrap();
    assert_eq!(world.mail.quota(world.account).unwrap().used_bytes, size, "the copy still has it");
    world.assert_in_order();
}

#[tokio::test]
async fn an_expunged_message_is_gone_with_its_last_copy() {
    let world = World::new().await;
    let appended = world.append(world.inbox(), &text("1@x", "", "Hello", "text")).await;
    let archive = world.mailbox(Role::Archive).id;
    let copied = world.mail.copy(world.account, world.inbox(), &[appended.uid], archive).await.unwrap();
    world.mail.expunge(world.account, world.inbox(), &[appended.uid]).await.unwrap();
    let email = appended.email_id;
    assert!(world.mail.body(world.account, email).is_ok());
    assert_eq!(world.mail.places(world.account, email).unwrap(), [(archive, copied.uids[0].1)]);
    world.mail.expunge(world.account, archive, &[copied.uids[0].1]).await.unwrap();
    assert!(matches!(world.mail.body(world.account, email), Err(MailError::NoSuchEmail(gone)) if gone == email));
    assert!(world.mail.email(world.account, email).unwrap().is_none());
    world.assert_in_order();
}

#[tokio::test]
async fn operations_on_many_messages_go_in_steps() {
    const MANY: u32 = 1_201;
    let world = World::new().await;
    let message = world.message(&text("1@x", "", "Hello", "text"));
    let (mail, account, inbox) = (world.mail.clone(), world.account, world.inbox());
    for step in 0..MANY.div_ceil(400) {
        let (mail, message) = (mail.clone(), message.clone());
        let (mail2, n) = (mail.clone(), 400.min(MANY - step * 400));
        let filed: mailstore::Result<()> = world
            .store
            .transact(move |tx| {
                for _ in 0..n {
                    mail2.append_in(tx, account, inbox, &message)?;
                }
                Ok(())
            })
            .await;
        filed.unwrap();
    }
    let uids: Vec<Uid> = (1..=MANY).map(Uid).collect();
    let archive = world.mailbox(Role::Archive).id;
    let seen = FlagChange::Add(Flags::of(&[SystemFlag::Seen]));
    let changed = mail.set_flags(account, inbox, &uids, seen.clone(), None).await.unwrap();
    assert_eq!(changed.changed.len(), MANY as usize);
    assert_eq!(world.mailbox(Role::Inbox).unread, 0);
    assert_eq!(mail.copy(account, inbox, &uids, archive).await.unwrap().uids.len(), MANY as usize);
    assert_eq!(mail.move_(account, archive, &uids, inbox).await.unwrap().uids.len(), MANY as usize);
    assert_eq!(world.mailbox(Role::Inbox).total, 2 * MANY);
    let refused: mailstore::Result<_> = {
        let (mail, uids) = (mail.clone(), uids.clone());
        let store = world.store.clone();
        store.transact(move |tx| mail.expunge_in(tx, account, inbox, &uids)).await
    };
    assert!(matches!(refused, Err(MailError::TooLarge { .. })), "one commit is bounded");
    assert_eq!(mail.expunge(account, inbox, &uids).await.unwrap().len(), MANY as usize);
    assert_eq!(world.mailbox(Role::Inbox).total, MANY);
    world.assert_in_order();
}

#[tokio::test]
async fn a_conditional_store_leaves_alone_what_changed_meanwhile() {
    let world = World::new().await;
    let first = world.append(world.inbox(), &text("1@x", "", "Hello", "text")).await;
    let second = world.append(world.inbox(), &text("2@x", "", "Hello", "text")).await;
    let flagged = FlagChange::Add(Flags::of(&[SystemFlag::Flagged]));
    let uids = [first.uid, second.uid];
    let done = world.mail.set_flags(world.account, world.inbox(), &uids, flagged, Some(first.modseq)).await.unwrap();
    assert_eq!(done.modified, [second.uid]);
    assert_eq!(done.changed.len(), 1);
    assert!(done.changed[0].2 > second.modseq);
    let changes = world.mail.changes_since(world.account, world.inbox(), second.modseq).unwrap();
    assert_eq!(changes.changed.iter().map(|(uid, ..)| *uid).collect::<Vec<_>>(), [first.uid]);
    assert!(world.mail.changes_since(world.account, world.inbox(), ModSeq(u64::MAX)).unwrap().changed.is_empty());
}

#[tokio::test]
async fn a_later_message_joins_two_conversations_into_one() {
    let world = World::new().await;
    let a = world.append(world.inbox(), &text("a@x", "", "Lunch", "one")).await;
    let b = world.append(world.mailbox(Role::Sent).id, &text("b@x", "", "Re: Lunch", "two")).await;
    assert_ne!(a.thread_id, b.thread_id);
    let c = world.append(world.inbox(), &text("c@x", "<a@x> <b@x>", "Re: Lunch", "three")).await;
    let rows = world.mail.thread(world.account, c.thread_id).unwrap();
    let emails: Vec<_> = rows.iter().map(|row| row.email_id).collect();
    assert_eq!(rows.len(), 3);
    assert!([a, b, c].iter().all(|one| emails.contains(&one.email_id)));
    let line = world.mail.conversation(world.account, world.inbox(), c.thread_id).unwrap().unwrap();
    assert_eq!((line.total, line.unread, line.subject.as_str()), (2, 2, "Re: Lunch"));
    // Another subject is another conversation, whatever it refers to.
    let d = world.append(world.inbox(), &text("d@x", "<a@x>", "Dinner", "four")).await;
    assert_ne!(d.thread_id, c.thread_id);
    world.assert_in_order();
}

#[tokio::test]
async fn a_full_conversation_is_followed_by_another() {
    let world = World::new().await;
    let message = |n| world.message(&text(&format!("{n}@x"), "<first@x>", "Re: On and on", "text"));
    let messages: Vec<_> = (0..MAX_THREAD_MESSAGES + 20).map(message).collect();
    let (mail, account, inbox) = (world.mail.clone(), world.account, world.inbox());
    let threads: mailstore::Result<Vec<_>> = world
        .store
        .transact(move |tx| {
            let file = |message| mail.append_in(tx, account, inbox, message).map(|appended| appended.thread_id);
            messages.iter().map(file).collect()
        })
        .await;
    let threads = threads.unwrap();
    assert!(threads[..MAX_THREAD_MESSAGES].iter().all(|thread| *thread == threads[0]));
    assert!(threads[MAX_THREAD_MESSAGES..].iter().all(|thread| *thread == threads[MAX_THREAD_MESSAGES]));
    assert_ne!(threads[0], threads[MAX_THREAD_MESSAGES]);
    world.assert_in_order();
    // The first one's end does not lose the second one's ids.
    let uids = world.mail.uids_of_threads(world.account, world.inbox(), &[threads[0]]).unwrap();
    world.mail.expunge(world.account, world.inbox(), &uids).await.unwrap();
    let raw = text("later@x", "<first@x>", "Re: On and on", "text");
    assert_eq!(world.append(world.inbox(), &raw).await.thread_id, threads[MAX_THREAD_MESSAGES]);
    world.assert_in_order();
}

#[tokio::test]
async fn sessions_of_a_mailbox_share_one_view() {
    let world = World::new().await;
    for n in 0..3 {
        world.append(world.inbox(), &text(&format!("{n}@x"), "", "Hello", "text")).await;
    }
    let (account, inbox) = (world.account, world.inbox());
    let view = world.mail.view(account, inbox).unwrap();
    assert!(Arc::ptr_eq(&view, &world.mail.view(account, inbox).unwrap()));
    world.mail.expunge(account, inbox, &[Uid(2)]).await.unwrap();
    let seen = FlagChange::Add(Flags::of(&[SystemFlag::Seen]));
    world.mail.set_flags(account, inbox, &[Uid(3)], seen, None).await.unwrap();
    let fourth = world.append(inbox, &text("4@x", "", "Hello", "text")).await;
    let newer = world.mail.view(account, inbox).unwrap();
    assert_eq!(view.len(), 3, "what a session holds does not change");
    let diff = view.diff(&newer);
    assert_eq!(diff.vanished, [(2, Uid(2))]);
    assert_eq!((diff.changed, diff.first_new), (vec![1], 2));
    assert_eq!(newer.uids(), [Uid(1), Uid(3), fourth.uid]);
    assert!(newer.flags(1).seen() && !newer.flags(2).seen());
    assert_eq!(newer.first_unseen(), Some(0));
}

#[tokio::test]
async fn correspondents_are_found_by_address_and_by_any_name() {
    let world = World::new().await;
    let (mail, account) = (world.mail.clone(), world.account);
    let store = &world.store;
    let write = |people: Vec<(&'static str, &'static str)>| {
        let mail = mail.clone();
        async move {
            let people: Vec<_> = people.iter().map(|(name, at)| ((*name).to_owned(), (*at).to_owned())).collect();
            let done: mailstore::Result<()> =
                store.transact(move |tx| mail.remember_correspondents_in(tx, account, &people)).await;
            done.unwrap();
        }
    };
    write(vec![("Ann \u{c9}clair", "ann@example.org"), ("", "zoe@example.org")]).await;
    write(vec![("", "Ann@Example.org"), ("Bo Annson", "bo@example.org")]).await;
    let found = |prefix: &str| -> Vec<String> {
        let found = world.mail.correspondents(account, prefix, 10).unwrap();
        found.into_iter().map(|c| format!("{} <{}> {}", c.name, c.address, c.count)).collect()
    };
    assert_eq!(found("ann"), ["Ann \u{c9}clair <Ann@Example.org> 2", "Bo Annson <bo@example.org> 1"]);
    assert_eq!(found("\u{e9}cl").len(), 1);
    assert_eq!(found("example"), [""; 0]);
    assert_eq!(found("").len(), 3);
    mail.forget_correspondent(account, "BO@example.org".into()).await.unwrap();
    assert!(found("bo").is_empty());
    world.assert_in_order();
}
