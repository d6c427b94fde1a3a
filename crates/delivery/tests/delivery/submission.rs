//! Send is pressed: once, twice, twenty times, and taken back.

use std::time::Duration;

use delivery::{DeliveryError, QueueFilter, RecipientOutcome, RespondsTo, Submission};
use mailstore::{FlagChange, Flags, NewMessage, Role, SystemFlag};

use crate::fake::Fake;
use crate::world::{MESSAGE, World, address, envelope, options, submission};

#[tokio::test(flavor = "multi_thread")]
async fn a_send_files_queues_and_keeps_a_copy_in_one_commit() {
    let fake = Fake::obliging().await;
    let mut world = World::stopped(options(Some(&fake))).await;
    let before = world.store.seq().0;
    let send = Submission {
        correspondents: vec![("Bob".into(), "bob@here.example".into())],
        ..submission(&world, b"key", &["bob@here.example", "x@there.example"])
    };
    let receipt = world.delivery.submit(send).await.unwrap();
    assert_eq!(world.store.seq().0, before + 1);
    assert_eq!(receipt.recipients, [RecipientOutcome::Filed(world.bob), RecipientOutcome::Queued]);
    assert!(!receipt.repeated && !receipt.cancelled && receipt.held_until_ms.is_none());
    let sent = world.mailbox(world.alice, Role::Sent);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].as_bytes(), MESSAGE, "the copy is what was written");
    assert!(world.inbox(world.bob)[0].starts_with("Return-Path: <alice@here.example>"));
    let known = world.mail.correspondents(world.alice.realm(), "bo", 5).unwrap();
    assert_eq!(known[0].address, "bob@here.example");
    world.start();
    assert_eq!(fake.wait_for(1).await[0].message.matches("\r\nReceived: ").count(), 1);
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_copy_of_the_sender_tells_of_blind_copies() {
    let fake = Fake::obliging().await;
    let mut world = World::stopped(options(Some(&fake))).await;
    let to = ["bob@here.example", "alice@here.example", "x@there.example"];
    let long = format!("Bcc: x@there.example{}\r\n", ",\r\n\ty@there.example".repeat(4_000));
    for (number, bcc) in [long.as_str(), "Bcc: x@there.example\r\n"].into_iter().enumerate() {
        let send = Submission {
            copy_prefix: bcc.to_owned().into(),
            ..submission(&world, format!("key {number}").as_bytes(), if number == 0 { &to[..1] } else { &to })
        };
        world.delivery.submit(send).await.unwrap();
        let copy = [bcc.as_bytes(), MESSAGE].concat();
        assert_eq!(world.mailbox(world.alice, Role::Sent)[number].as_bytes(), copy);
        let is_apart = world.store.body(&store::BodyId::of(&copy)).is_ok();
        assert_eq!(is_apart, number == 0, "only what is too long to be a prefix makes another body");
    }
    let (bob, alice) = (world.inbox(world.bob), world.inbox(world.alice));
    assert_eq!((bob.len(), alice.len()), (2, 1));
    assert!(!bob.iter().chain(&alice).any(|filed| filed.contains("Bcc:")), "{bob:?} {alice:?}");
    world.start();
    assert!(!fake.wait_for(1).await[0].message.contains("Bcc:"));
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_sends_once_however_many_press_at_once() {
    let fake = Fake::obliging().await;
    let world = World::new(options(Some(&fake))).await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (delivery, send) = (world.delivery.clone(), submission(&world, b"key", &["x@there.example"]));
            tokio::spawn(async move { delivery.submit(send).await.unwrap() })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.push(task.await.unwrap());
    }
    assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.id == receipts[0].id && receipt.sent_copy == receipts[0].sent_copy));
    world.until_queue_is_empty().await;
    assert_eq!(fake.taken().len(), 1);
    assert_eq!(world.mailbox(world.alice, Role::Sent).len(), 1);
    let other = world.delivery.submit(submission(&world, b"other key", &["x@there.example"])).await.unwrap();
    assert!(!other.repeated);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_after_a_crash_gives_the_same_receipt_and_sends_nothing() {
    let world = World::stopped(options(None)).await;
    let receipt = world.delivery.submit(submission(&world, b"key", &["bob@here.example"])).await.unwrap();
    let world = world.crash_and_return(options(None)).await;
    let again = world.delivery.submit(submission(&world, b"key", &["bob@here.example"])).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.id, again.sent_copy), (receipt.id, receipt.sent_copy));
    assert_eq!(world.inbox(world.bob).len(), 1);
    assert_eq!(world.mailbox(world.alice, Role::Sent).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_send_leaves_nothing_and_its_key_free() {
    let world = World::stopped(options(None)).await;
    let wrong = submission(&world, b"key", &["bob@here.example", "nobody@here.example"]);
    let refused = world.delivery.submit(wrong).await.unwrap_err();
    assert!(matches!(&refused, DeliveryError::Refused(refusal) if refusal.text.contains("nobody@here.example")));
    let forged = Submission { from: address("bob@here.example"), ..submission(&world, b"key", &["bob@here.example"]) };
    assert!(matches!(world.delivery.submit(forged).await, Err(DeliveryError::Refused(_))));
    assert!(world.delivery.receipt(world.alice, b"key").unwrap().is_none());
    assert!(world.mailbox(world.alice, Role::Sent).is_empty() && world.inbox(world.bob).is_empty());
    let right = world.delivery.submit(submission(&world, b"key", &["bob@here.example"])).await.unwrap();
    assert!(!right.repeated);
}

async fn draft(world: &World) -> (mailstore::MailboxId, mailstore::Uid) {
    let realm = world.alice.realm();
    world.mail.create_standard_mailboxes(realm).await.unwrap();
    let drafts = world.mail.mailbox_by_role(realm, Role::Drafts).unwrap().unwrap().id;
    let message = NewMessage {
        body: world.mail.stage(MESSAGE).unwrap(),
        parsed: mailkit::parse(MESSAGE).into(),
        flags: Flags::of(&[SystemFlag::Draft]),
        internal_date_ms: 0,
        delivery_key: None,
        ignore_quota: false,
    };
    (drafts, world.mail.append(realm, drafts, message).await.unwrap().uid)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_send_can_be_taken_back_and_is_a_draft_again() {
    let fake = Fake::obliging().await;
    let world = World::new(options(Some(&fake))).await;
    let held = Submission {
        hold: Duration::from_hours(1),
        remove_draft: Some(draft(&world).await),
        ..submission(&world, b"key", &["bob@here.example", "x@there.example"])
    };
    let receipt = world.delivery.submit(held).await.unwrap();
    assert!(receipt.held_until_ms.unwrap() > receipt.submitted_ms);
    assert_eq!(receipt.recipients, [RecipientOutcome::Queued, RecipientOutcome::Queued]);
    assert!(world.mailbox(world.alice, Role::Drafts).is_empty() && world.inbox(world.bob).is_empty());
    world.check();
    let cancelled = world.delivery.cancel_submission(world.alice, b"key").await.unwrap();
    assert!(cancelled.cancelled);
    assert!(world.delivery.cancel_submission(world.alice, b"key").await.unwrap().cancelled, "as often as one likes");
    assert!(world.delivery.receipt(world.alice, b"key").unwrap().unwrap().cancelled);
    assert_eq!(world.stats().messages, 0);
    assert!(world.mailbox(world.alice, Role::Sent).is_empty());
    assert_eq!(world.mailbox(world.alice, Role::Drafts).len(), 1);
    assert!(matches!(
        world.delivery.cancel_submission(world.alice, b"no such key").await,
        Err(DeliveryError::UnknownSubmission)
    ));
    assert_eq!(fake.connections(), 0);
    world.check();
}

/// The flags of a message in every mailbox where it is, by mailbox.
fn flags_of(world: &World, email: mailstore::EmailId) -> Vec<Flags> {
    let realm = world.alice.realm();
    let mut places = world.mail.places(realm, email).unwrap();
    places.sort_unstable();
    let entries = places.iter().map(|(mailbox, uid)| world.mail.entries(realm, *mailbox, &[*uid]).unwrap().remove(0));
    entries.map(|entry| entry.flags).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_or_forwarded_is_marked_with_the_send_and_unmarked_with_its_recall() {
    let world = World::stopped(options(None)).await;
    let (realm, keyword) = (world.alice.realm(), |name: &str| mailstore::Keyword::new(name).unwrap());
    let (drafts, uid) = draft(&world).await;
    let trash = world.mail.mailbox_by_role(realm, Role::Trash).unwrap().unwrap().id;
    let copied = world.mail.copy(realm, drafts, &[uid], trash).await.unwrap();
    let email = world.mail.entries(realm, drafts, &[uid]).unwrap()[0].email_id;
    let is_marked = |flags: &Flags, forward: bool| {
        if forward { flags.contains_keyword(&keyword("$Forwarded")) } else { flags.contains(SystemFlag::Answered) }
    };
    for forward in [false, true] {
        let responds_to = Some(if forward { RespondsTo::Forward(email) } else { RespondsTo::Reply(email) });
        // One of the two places has the mark already: a recall leaves it.
        let mut before = Flags::of(&[SystemFlag::Answered]);
        if forward {
            before = Flags::NONE;
            before.insert_keyword(keyword("$Forwarded")).unwrap();
        }
        let had = FlagChange::Replace(before);
        world.mail.set_flags(realm, trash, &[copied.uids[0].1], had, None).await.unwrap();
        let key = if forward { b"forward" as &[u8] } else { b"reply" };
        let hold = Duration::from_hours(1);
        let send = || Submission { responds_to, hold, ..submission(&world, key, &["bob@here.example"]) };
        let seq = world.store.seq();
        world.delivery.submit(send()).await.unwrap();
        assert_eq!(world.store.seq().0, seq.0 + 1, "one commit");
        assert!(flags_of(&world, email).iter().all(|flags| is_marked(flags, forward)));
        assert!(world.delivery.submit(send()).await.unwrap().repeated);
        world.delivery.cancel_submission(world.alice, key).await.unwrap();
        let left = flags_of(&world, email).iter().filter(|flags| is_marked(flags, forward)).count();
        assert_eq!(left, 1, "what was marked before");
    }
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_does_not_fail_because_what_it_answers_can_not_be_marked() {
    let world = World::stopped(options(None)).await;
    let (drafts, uid) = draft(&world).await;
    let realm = world.alice.realm();
    let email = world.mail.entries(realm, drafts, &[uid]).unwrap()[0].email_id;
    let mut full = Flags::NONE;
    for n in 0.. {
        if full.insert_keyword(mailstore::Keyword::new(&format!("k{n}")).unwrap()).is_err() {
            break;
        }
    }
    world.mail.set_flags(realm, drafts, &[uid], FlagChange::Replace(full.clone()), None).await.unwrap();
    let send = |key: &[u8], responds_to| Submission {
        responds_to: Some(responds_to),
        ..submission(&world, key, &["bob@here.example"])
    };
    world.delivery.submit(send(b"full", RespondsTo::Forward(email))).await.unwrap();
    assert_eq!(flags_of(&world, email), [full]);
    world.mail.expunge(realm, drafts, &[uid]).await.unwrap();
    world.delivery.submit(send(b"gone", RespondsTo::Reply(email))).await.unwrap();
    world.delivery.submit(send(b"never", RespondsTo::Reply(mailstore::EmailId(u64::MAX)))).await.unwrap();
    assert_eq!(world.inbox(world.bob).len(), 3);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_send_goes_out_by_itself_and_then_it_is_too_late() {
    let fake = Fake::obliging().await;
    let world = World::new(options(Some(&fake))).await;
    let held = Submission {
        hold: Duration::from_millis(150),
        ..submission(&world, b"key", &["bob@here.example", "x@there.example"])
    };
    let receipt = world.delivery.submit(held).await.unwrap();
    fake.wait_for(1).await;
    let kept = world.until_inbox_has(world.bob, 1).await.remove(0);
    assert!(kept.starts_with("Return-Path: <alice@here.example>\r\nReceived: "));
    assert!(!kept.contains("DKIM-Signature"));
    world.until_queue_is_empty().await;
    assert!(matches!(world.delivery.cancel_submission(world.alice, b"key").await, Err(DeliveryError::TooLate)));
    assert_eq!(world.mailbox(world.alice, Role::Sent).len(), 1);
    let shown = world.delivery.queue_list(&QueueFilter::default(), None, 10).unwrap();
    assert!(shown.messages.is_empty(), "{} is done", receipt.id);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_through_smtp_keeps_no_copy() {
    let world = World::stopped(options(None)).await;
    let to = envelope("alice@here.example", &["bob@here.example"], Some(world.alice));
    world.delivery.accept(to, MESSAGE).await.unwrap();
    assert!(world.mailbox(world.alice, Role::Sent).is_empty(), "the client keeps its own");
}

/// Returns once `task` waits for another machine, as one more than `others`; fails when it answers instead.
async fn waits<T>(world: &World, others: usize, task: &tokio::task::JoinHandle<T>) {
    while world.store.waiting_for_acknowledgement() <= others {
        assert!(!task.is_finished(), "answered before the other machine had it");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_pressed_again_is_answered_no_earlier_than_the_first() {
    let world = World::stopped(options(None)).await;
    let held = |key: &'static [u8]| Submission {
        hold: Duration::from_hours(1),
        ..submission(&world, key, &["bob@here.example", "x@there.example"])
    };
    world.store.hold_acknowledgements(true);
    world.store.acknowledge(world.store.seq());
    for cancels in [false, true] {
        let press = || {
            let (delivery, alice, send) = (world.delivery.clone(), world.alice, held(b"key"));
            tokio::spawn(async move {
                if cancels { delivery.cancel_submission(alice, b"key").await } else { delivery.submit(send).await }
            })
        };
        let seq = world.store.seq();
        let first = press();
        waits(&world, 0, &first).await;
        assert!(world.store.seq() > seq, "it can be read");
        let mut again = Vec::new();
        for others in 1..4 {
            again.push(press());
            waits(&world, others, &again[others - 1]).await;
        }
        assert!(!first.is_finished());
        world.store.acknowledge(world.store.seq());
        assert!(!first.await.unwrap().unwrap().repeated);
        for again in again {
            assert!(again.await.unwrap().unwrap().repeated);
        }
    }
    world.store.hold_acknowledgements(false);
    world.check();
}
