//! The way in.

use std::io::Write as _;

use delivery::{Authors, DeliveryError, DeliveryOptions, QueueFilter, RecipientOutcome, RecipientRoute, Refusal};

use crate::fake::Fake;
use crate::world::{MESSAGE, World, address, envelope, options};

fn code(error: &DeliveryError) -> (u16, (u8, u16, u16)) {
    let Refusal { code, enhanced, .. } = error.refusal();
    (code, enhanced)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_for_accounts_here_is_filed_in_one_commit_and_never_queued() {
    let world = World::stopped(options(None)).await;
    let before = world.store.seq().0;
    let to = ["alice@here.example", "bob@here.example", "bob+tag@here.example"];
    let accepted = world.delivery.accept(envelope("x@far.example", &to, None), MESSAGE).await.unwrap();
    assert_eq!(world.store.seq().0, before + 1);
    let filed = RecipientOutcome::Filed;
    assert_eq!(accepted.recipients, [filed(world.alice), filed(world.bob), filed(world.bob)]);
    assert_eq!(world.stats().messages, 0);
    for account in [world.alice, world.bob] {
        let inbox = world.inbox(account);
        assert_eq!(inbox.len(), 1, "one copy, however many addresses lead there");
        let (head, rest) = inbox[0].split_once("From: Alice").unwrap();
        assert!(head.starts_with("Return-Path: <x@far.example>\r\nReceived: from client.example"), "{head}");
        assert!(head.contains(&accepted.id.to_string()));
        assert!(!head.contains("bob@") && !head.contains("alice@"), "recipients do not see each other: {head}");
        assert!(MESSAGE.ends_with(rest.as_bytes()));
    }
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_reach_our_addresses_and_nothing_else() {
    let world = World::stopped(options(None)).await;
    let rcpt = |text: &str, auth| world.delivery.rcpt(&address(text), auth);
    assert_eq!(rcpt("Bob@HERE.example", None), Ok(RecipientRoute::Local(world.bob)));
    assert_eq!(rcpt("x@far.example", None).unwrap_err().enhanced, (5, 7, 1));
    assert_eq!(rcpt("nobody@here.example", None).unwrap_err().enhanced, (5, 1, 1));
    assert_eq!(rcpt("x@far.example", Some(world.bob)), Ok(RecipientRoute::Remote));
    assert_eq!(rcpt("Postmaster@here.example", None), Ok(RecipientRoute::Local(world.alice)), "the administrator");
    assert_eq!(world.delivery.postmaster(), Some(address("postmaster@here.example")));
    world.directory.set_enabled(world.bob, false).await.unwrap();
    assert_eq!(rcpt("bob@here.example", None), Ok(RecipientRoute::Local(world.bob)), "his mail is kept for him");
    let relay = world.delivery.accept(envelope("x@far.example", &["y@far.example"], None), MESSAGE).await;
    assert_eq!(code(&relay.unwrap_err()), (550, (5, 7, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_in_senders_write_as_themselves() {
    let world = World::stopped(options(None)).await;
    let (alice, bob) = (address("alice@here.example"), address("bob@here.example"));
    assert!(world.delivery.mail_from(Some(&alice), Some(world.alice)).is_ok());
    assert!(world.delivery.mail_from(Some(&bob), Some(world.alice)).is_err());
    assert!(world.delivery.mail_from(None, Some(world.alice)).is_ok());
    assert!(world.delivery.mail_from(Some(&bob), None).is_ok(), "strangers are judged elsewhere");
    let forged = b"From: Bob <bob@here.example>\r\n\r\nx\r\n";
    let from_alice = envelope("alice@here.example", &["bob@here.example"], Some(world.alice));
    assert_eq!(code(&world.delivery.accept(from_alice.clone(), forged).await.unwrap_err()), (550, (5, 7, 1)));
    let elsewhere = b"From: a@else.example\r\n\r\nx\r\n";
    assert_eq!(code(&world.delivery.accept(from_alice.clone(), elsewhere).await.unwrap_err()), (550, (5, 7, 1)));

    for (authors, elsewhere_taken, forged_taken) in [(Authors::Foreign, true, false), (Authors::Any, true, true)] {
        let world = World::stopped(DeliveryOptions { authors, ..options(None) }).await;
        let from_alice = envelope("alice@here.example", &["bob@here.example"], Some(world.alice));
        assert_eq!(world.delivery.accept(from_alice.clone(), elsewhere).await.is_ok(), elsewhere_taken, "{authors:?}");
        assert_eq!(world.delivery.accept(from_alice, forged).await.is_ok(), forged_taken, "{authors:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reader_sees_another_author_than_the_one_who_signed_in() {
    let world = World::stopped(options(None)).await;
    let from_alice = || envelope("alice@here.example", &["bob@here.example"], Some(world.alice));
    let padding = format!("X-Pad: {}\r\n", "x".repeat(900)).repeat(700);
    for (header, refused) in [
        ("From: alice@here.example", None),
        ("From: \"Liddell, Alice\" <ALICE+tag@here.example> (me)", None),
        ("From: alice@here.example.", None),
        ("Subject: none: it is added", None),
        ("From: bob@here.example", Some((5, 7, 1))),
        ("From: bob@here.example.", Some((5, 7, 1))),
        ("From: alice@here.example, bob@here.example", Some((5, 7, 1))),
        ("From: \"alice@here.example\" <bob@here.example>", Some((5, 7, 1))),
        ("From: =?utf-8?Q?alice=40here.example?= <bob@here.example>", Some((5, 7, 1))),
        ("From:\r\n bob@here.example", Some((5, 7, 1))),
        ("From : bob@here.example", Some((5, 7, 1))),
        ("From: \\\"x\\\" <bob@here.example>", Some((5, 6, 0))),
        ("From: \"alice@here.example <bob@here.example>", Some((5, 6, 0))),
        ("From: alice@here.example\r\nFrom: bob@here.example", Some((5, 6, 0))),
        ("From: bob@here.example\r\nfrom: alice@here.example", Some((5, 6, 0))),
        ("From: bob@here.example <alice@here.example>", Some((5, 6, 0))),
        ("From: =?utf-8?Q?bob=40here.example?=", Some((5, 6, 0))),
        ("From: We: alice@here.example, bob@here.example;", Some((5, 6, 0))),
        ("From: <@bob.here.example:alice@here.example>", Some((5, 6, 0))),
        ("From: bob@here.example\0", Some((5, 6, 0))),
        ("From:", Some((5, 6, 0))),
        ("From: alice", Some((5, 6, 0))),
        (&format!("{padding}From: bob@here.example"), Some((5, 6, 0))),
        (&format!("From: alice@here.example\r\n{padding}Bcc: secret@far.example"), Some((5, 6, 0))),
    ] {
        let shown: String = header.chars().take(80).collect();
        let message = format!("{header}\r\n\r\nx\r\n");
        match (world.delivery.accept(from_alice(), message.as_bytes()).await, refused) {
            (Ok(_), None) => {}
            (Err(error), Some(enhanced)) => assert_eq!(code(&error), (550, enhanced), "{shown}"),
            (outcome, _) => panic!("{shown}: {outcome:?}"),
        }
    }
    let nobody = envelope("", &["bob@here.example"], Some(world.alice));
    assert_eq!(code(&world.delivery.accept(nobody, b"Subject: s\r\n\r\nx\r\n").await.unwrap_err()), (550, (5, 6, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_gets_what_it_lacks_and_loses_its_blind_copies() {
    let world = World::stopped(options(None)).await;
    let bare = b"Subject: s\r\nBcc: secret@far.example\r\n\r\nBcc: not a header\r\n";
    let to = envelope("alice@here.example", &["bob@here.example"], Some(world.alice));
    world.delivery.accept(to, bare).await.unwrap();
    let inbox = world.inbox(world.bob);
    for wanted in ["\r\nDate: ", "\r\nMessage-ID: <", "\r\nFrom: <alice@here.example>\r\n", "\r\n\r\nBcc: not a header"]
    {
        assert!(inbox[0].contains(wanted), "{wanted} in {}", inbox[0]);
    }
    assert!(!inbox[0].contains("secret"));
    assert!(!inbox[0].contains("192.0.2.7"), "where a user is stays private");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_from_strangers_is_kept_byte_for_byte_below_the_trace() {
    let world = World::stopped(options(None)).await;
    let messages: [&[u8]; 6] = [
        b"Bcc: kept@x.example\r\nX: \xff\xfe\0\r\n\r\nbare\nlf and\rcr\0\xff",
        b"\r\nno header",
        b"no header at all",
        b"",
        b"Subject: unix\nFrom: x\n\nlines\n",
        b"X-Endless: header without an end",
    ];
    for message in messages {
        let to = envelope("", &["bob@here.example"], None);
        world.delivery.accept(to, message).await.unwrap();
    }
    let realm = world.bob.realm();
    let inbox = world.mail.mailbox_by_role(realm, mailstore::Role::Inbox).unwrap().unwrap();
    let view = world.mail.view(realm, inbox.id).unwrap();
    let entries = world.mail.entries(realm, inbox.id, view.uids()).unwrap();
    assert_eq!(entries.len(), messages.len());
    for (entry, message) in entries.iter().zip(messages) {
        let kept = world.mail.body(realm, entry.email_id).unwrap().read_all().unwrap();
        assert!(kept.starts_with(b"Return-Path: <>\r\nReceived: "));
        assert!(kept.ends_with(message));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_is_spooled_and_arrives_whole() {
    let fake = Fake::obliging().await;
    let world = World::new(options(Some(&fake))).await;
    let line = "0123456789 abcdefghijklmnopqrstuvwxyz. \r\n";
    let text = format!("From: alice@here.example\r\nSubject: big\r\n\r\n{}", line.repeat(120_000));
    let to = envelope("alice@here.example", &["bob@here.example", "x@there.example"], Some(world.alice));
    let mut incoming = world.delivery.incoming(to).unwrap();
    for piece in text.as_bytes().chunks(7_777) {
        incoming.write_all(piece).unwrap();
    }
    incoming.finish().await.unwrap();
    let taken = fake.wait_for(1).await;
    let kept = world.inbox(world.bob).remove(0);
    assert!(taken[0].message.ends_with(&text[text.len() - 4_000_000..]));
    assert!(kept.ends_with(&text[text.len() - 4_000_000..]));
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_by_name_and_leaves_nothing() {
    let options = DeliveryOptions { max_message_bytes: 1_000, max_recipients: 3, ..options(None) };
    let world = World::stopped(options).await;
    let before = world.store.seq();
    let to = envelope("x@far.example", &["bob@here.example"], None);
    assert_eq!(code(&world.delivery.accept(to, &[b'x'; 1_001]).await.unwrap_err()), (552, (5, 3, 4)));
    let many = envelope("x@far.example", &["bob@here.example"; 4], None);
    assert_eq!(code(&world.delivery.accept(many, b"x").await.unwrap_err()), (452, (4, 5, 3)));
    let none = envelope("x@far.example", &[], None);
    assert_eq!(code(&world.delivery.accept(none, b"x").await.unwrap_err()), (554, (5, 5, 1)));
    assert_eq!(world.store.seq(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_looping_message_is_refused() {
    let world = World::stopped(options(None)).await;
    let to = || envelope("x@far.example", &["bob@here.example"], None);
    let hops = |count, by: &str| format!("{}\r\n", format!("Received: from a by {by} with X\r\n").repeat(count));
    let refused = world.delivery.accept(to(), hops(101, "other.example").as_bytes()).await;
    assert_eq!(code(&refused.unwrap_err()), (554, (5, 4, 6)));
    let refused = world.delivery.accept(to(), hops(11, "mx.here.example").as_bytes()).await;
    assert_eq!(code(&refused.unwrap_err()), (554, (5, 4, 6)));
    world.delivery.accept(to(), hops(100, "other.example").as_bytes()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_refuses_for_now_and_does_not_stand_in_the_way_of_others() {
    let world = World::new(options(None)).await;
    world.directory.set_quota(world.bob, 2_000).await.unwrap();
    let big = [MESSAGE, &[b'x'; 3_000]].concat();
    let only_bob = envelope("x@far.example", &["bob@here.example"], None);
    assert_eq!(code(&world.delivery.accept(only_bob, &big).await.unwrap_err()), (452, (4, 2, 2)));
    assert_eq!(world.stats().messages, 0);
    let both = envelope("x@far.example", &["bob@here.example", "alice@here.example"], None);
    let accepted = world.delivery.accept(both, &big).await.unwrap();
    assert_eq!(accepted.recipients, [RecipientOutcome::Queued, RecipientOutcome::Filed(world.alice)]);
    assert_eq!(world.inbox(world.alice).len(), 1);
    world
        .until(store::RealmId::QUEUE, |world| {
            let page = world.delivery.queue_list(&QueueFilter::default(), None, 1).unwrap();
            page.messages[0].recipients[0].attempts > 1
        })
        .await;
    assert!(world.only_queued().recipients[0].last_error.as_ref().unwrap().contains("full"));
    world.directory.set_quota(world.bob, 0).await.unwrap();
    assert_eq!(world.until_inbox_has(world.bob, 1).await.len(), 1);
    world.until_queue_is_empty().await;
    world.check();
}

/// Finds every account wanting.
struct NeverHolds;

impl store::Invariants for NeverHolds {
    fn check(&self, realm: store::RealmId, _: &store::Snapshot) -> store::Result<Vec<store::Violation>> {
        Ok(vec![store::Violation { realm, what: "a test says so".to_owned() }])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_to_a_quarantined_account_waits_and_everyone_else_gets_theirs() {
    let mut world = World::stopped(options(None)).await;
    let to = ["alice@here.example", "bob@here.example"];
    world.delivery.accept(envelope("x@far.example", &to, None), MESSAGE).await.unwrap();
    let (store, bob) = (world.store.clone(), world.bob.realm());
    tokio::task::spawn_blocking(move || store.scrub_realm(bob, &[&NeverHolds], false, &|| true))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(world.store.quarantined().len(), 1);

    let accepted = world.delivery.accept(envelope("x@far.example", &to, None), MESSAGE).await.unwrap();
    assert_eq!(accepted.recipients[0], RecipientOutcome::Filed(world.alice));
    assert_eq!((world.inbox(world.alice).len(), world.inbox(world.bob).len()), (2, 1), "what is there can be read");
    assert_eq!(world.stats().messages, 1, "his waits");
    world.check();

    let store = world.store.clone();
    tokio::task::spawn_blocking(move || store.release_realm(bob, &[])).await.unwrap().unwrap();
    world.start();
    world.until_inbox_has(world.bob, 2).await;
    world.until_queue_is_empty().await;
    assert_eq!(world.inbox(world.alice).len(), 2, "and nobody has it twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_stall_on_their_way_in_fill_the_memory_no_further_than_allowed() {
    let most = 1 << 20;
    let world = World::new(DeliveryOptions { max_incoming_memory_bytes: most, ..options(None) }).await;
    let line = [&[b'x'; 98][..], b"\r\n"].concat();
    let text = |number: usize| [format!("Subject: {number}\r\n\r\n").into_bytes(), line.repeat(6_000)].concat();
    let mut coming: Vec<_> = (0..12)
        .map(|_| world.delivery.incoming(envelope("x@there.example", &["bob@here.example"], None)).unwrap())
        .collect();
    for (number, incoming) in coming.iter_mut().enumerate() {
        for piece in text(number).chunks(16 << 10) {
            incoming.write_all(piece).unwrap();
        }
    }
    // And one that never ends its header.
    let mut endless = world.delivery.incoming(envelope("x@there.example", &["bob@here.example"], None)).unwrap();
    for _ in 0..40 {
        endless.write_all(format!("X-Long: {}\r\n", "x".repeat(16 << 10)).as_bytes()).unwrap();
    }
    let held = world.delivery.incoming_bytes();
    assert!(held <= most + delivery::MAX_IN_MEMORY_BYTES + 13 * (96 << 10), "{held}");
    drop(endless);
    for incoming in coming {
        incoming.finish().await.unwrap();
    }
    assert_eq!(world.delivery.incoming_bytes(), 0);
    for (number, message) in world.inbox(world.bob).into_iter().enumerate() {
        assert!(message.as_bytes().ends_with(&text(number)), "{number}");
    }
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_masked_address_counts_its_mail_however_many_recipients_there_are() {
    let world = World::new(options(None)).await;
    let directory = &world.directory;
    let mut accounts = vec![world.alice, world.bob];
    for number in 0..32 {
        let new = directory::NewAccount {
            address: address(&format!("one{number}@here.example")),
            name: String::new(),
            password: "correct horse battery".to_owned(),
            role: directory::Role::User,
            quota_bytes: 0,
        };
        accounts.push(directory.create_account(new).await.unwrap());
    }
    let mut masks = Vec::new();
    for account in &accounts {
        masks.push(directory.create_mask(*account, "shop").await.unwrap());
    }
    // Two of one account in the same message, one of them with a detail.
    let second = directory.create_mask(world.bob, "other").await.unwrap().replace('@', "+x@");
    let to: Vec<&str> = masks.iter().map(String::as_str).chain([second.as_str()]).collect();
    let accepted = world.delivery.accept(envelope("x@far.example", &to, None), MESSAGE).await.unwrap();
    let queued = accepted.recipients.iter().filter(|outcome| **outcome == RecipientOutcome::Queued).count();
    assert!(queued > 0, "some have to wait");
    world.until_queue_is_empty().await;
    for account in &accounts {
        let counts: Vec<u64> = directory.masks(*account).unwrap().iter().map(|mask| mask.count).collect();
        assert!(counts.iter().all(|count| *count == 1), "{account}: {counts:?}");
    }
    world.check();
}
