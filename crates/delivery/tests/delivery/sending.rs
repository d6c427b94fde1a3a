//! What accounts may send, and what stops them.

use std::sync::atomic::Ordering;

use delivery::{Counted, DeliveryError, DeliveryOptions, QueueFilter, Refusal, SendingLimits, Window};
use directory::OwnLimits;
use store::RealmId;

use crate::fake::{Answer, Fake};
use crate::world::{DAY_MS, MESSAGE, World, envelope, options, submission};

fn limited(fake: Option<&Fake>, sending: SendingLimits) -> DeliveryOptions {
    DeliveryOptions { sending, ..options(fake) }
}

/// So many recipients a day, and no other limit.
fn recipients(recipients_per_day: u32) -> SendingLimits {
    SendingLimits { recipients_per_day, ..SendingLimits::none() }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, DeliveryError>) -> Refusal {
    match result {
        Err(DeliveryError::Refused(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

impl World {
    async fn send(&self, key: &str, to: &[&str]) -> Result<(), DeliveryError> {
        self.delivery.submit(submission(self, key.as_bytes(), to)).await.map(drop)
    }

    fn used(&self, counted: Counted) -> u32 {
        let used = self.delivery.sending_use(self.alice).unwrap();
        used.iter().find(|row| row.counted == counted && row.window == Window::Day).unwrap().used
    }

    fn is_stopped(&self) -> bool {
        self.directory.sending(self.alice).unwrap().unwrap().stopped.is_some()
    }

    fn held(&self) -> usize {
        let filter = QueueFilter { held: Some(true), ..QueueFilter::default() };
        self.delivery.queue_list(&filter, None, 100).unwrap().messages.len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_send_at_once_a_limit_is_never_exceeded() {
    let world = World::stopped(limited(None, recipients(50))).await;
    let tasks: Vec<_> = (0..30)
        .map(|number| {
            let delivery = world.delivery.clone();
            let to: Vec<String> = (0..4).map(|n| format!("p{number}-{n}@far.example")).collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            let send = submission(&world, format!("key {number}").as_bytes(), &to);
            let envelope = envelope("alice@here.example", &to, Some(world.alice));
            tokio::spawn(async move {
                // Over the web and by submission.
                if number % 2 == 0 {
                    delivery.submit(send).await.map(drop)
                } else {
                    delivery.accept(envelope, MESSAGE).await.map(drop)
                }
            })
        })
        .collect();
    let mut taken = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => taken += 1,
            refused => assert_eq!(refusal(refused).enhanced, (4, 7, 1)),
        }
    }
    assert_eq!(taken, 12, "12 times 4 recipients are the most that fit into 50");
    assert_eq!(world.stats().recipients, 48);
    assert_eq!(world.used(Counted::Recipients), 48);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_survives_a_crash_and_what_was_refused_was_not_counted() {
    let options = || limited(None, recipients(5));
    let world = World::stopped(options()).await;
    world.send("one", &["a@far.example", "b@far.example", "c@far.example"]).await.unwrap();
    let too_many: Vec<String> = (0..6).map(|n| format!("p{n}@far.example")).collect();
    let too_many: Vec<&str> = too_many.iter().map(String::as_str).collect();
    assert_eq!(refusal(world.send("two", &too_many).await).enhanced, (4, 5, 3));
    assert_eq!(refusal(world.send("two", &too_many[..3]).await).enhanced, (4, 7, 1));
    let world = world.crash_and_return(options()).await;
    assert_eq!(refusal(world.send("two", &too_many[..3]).await).enhanced, (4, 7, 1));
    world.send("two", &too_many[..2]).await.unwrap();
    // The same Send again is the same message.
    world.send("two", &too_many[..2]).await.unwrap();
    assert_eq!(world.used(Counted::Recipients), 5);
    assert_eq!(refusal(world.send("three", &["a@far.example"]).await).enhanced, (4, 7, 1));
    // Mail to accounts here is not counted.
    world.send("four", &["bob@here.example"]).await.unwrap();
    assert_eq!((world.used(Counted::Recipients), world.used(Counted::Messages)), (5, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn someone_is_new_once() {
    let world = World::stopped(limited(None, SendingLimits { new_per_day: 3, ..SendingLimits::none() })).await;
    world.send("one", &["a@far.example", "A@far.example", "b@far.example"]).await.unwrap();
    assert_eq!(world.used(Counted::New), 2);
    world.send("two", &["a@FAR.example", "b@far.example", "c@far.example"]).await.unwrap();
    assert_eq!(world.used(Counted::New), 3);
    assert_eq!(refusal(world.send("three", &["a@far.example", "d@far.example"]).await).enhanced, (4, 7, 1));
    world.send("four", &["a@far.example", "b@far.example", "c@far.example"]).await.unwrap();
    // Who is in the list for completion was written to.
    let known = vec![(String::new(), "d@far.example".to_owned())];
    let (mail, realm) = (world.mail.clone(), world.alice.realm());
    let remember = move |tx: &mut store::Tx<'_>| mail.remember_correspondents_in(tx, realm, &known);
    world.store.transact::<_, mailstore::MailError, _>(remember).await.unwrap();
    world.send("five", &["d@far.example"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_later_and_with_limits_of_its_own_an_account_can_send_again() {
    let (world, clock) = World::with_clock(limited(None, recipients(2))).await;
    world.send("one", &["a@far.example", "b@far.example"]).await.unwrap();
    clock.0.fetch_add(DAY_MS - 1, Ordering::SeqCst);
    assert_eq!(refusal(world.send("two", &["a@far.example"]).await).code, 451);
    clock.0.fetch_add(600_001, Ordering::SeqCst);
    world.send("two", &["a@far.example"]).await.unwrap();
    let own = OwnLimits { recipients_per_day: Some(4), ..OwnLimits::default() };
    world.directory.set_sending_limits(world.alice, own).await.unwrap();
    world.send("three", &["a@far.example", "b@far.example", "c@far.example"]).await.unwrap();
    assert!(world.send("four", &["a@far.example"]).await.is_err());
    let own = OwnLimits { recipients_per_day: Some(0), ..OwnLimits::default() };
    world.directory.set_sending_limits(world.alice, own).await.unwrap();
    world.send("five", &["a@far.example"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_mail_bounces_is_stopped_told_and_keeps_what_waits() {
    let fake = Fake::start(&[], |turn| {
        turn.command.starts_with("RCPT TO:<gone").then_some(Answer::Say("550 5.1.1 no such user"))
    })
    .await;
    let sending = SendingLimits { stop_at_bounces: 4, ..SendingLimits::default() };
    let mut world = World::stopped(limited(Some(&fake), sending)).await;
    world.start();
    // Three of seven are not many enough, however large their share.
    for number in 0..7 {
        let to = if number < 3 { format!("gone{number}@there.example") } else { "kept@there.example".to_owned() };
        world.send(&format!("few {number}"), &[&to]).await.unwrap();
    }
    world.until_queue_is_empty().await;
    assert!(!world.is_stopped());
    world.send("last", &["gone1@there.example", "gone2@there.example"]).await.unwrap();
    world.until(RealmId::DIRECTORY, World::is_stopped).await;
    let told = "Subject: Sending from your account is stopped";
    world.until(world.alice.realm(), |world| world.inbox(world.alice).iter().any(|mail| mail.contains(told))).await;
    assert_eq!(refusal(world.send("more", &["kept@there.example"]).await).enhanced, (4, 7, 1));
    let trail = world.directory.audit_trail(Some(world.alice), None, 10).unwrap();
    assert!(trail.iter().any(|entry| entry.who == "service" && entry.what.starts_with("stopped sending: ")));
    world.delivery.allow_sending(world.alice).await.unwrap();
    world.send("again", &["kept@there.example"]).await.unwrap();
    world.until_queue_is_empty().await;
    assert_eq!(fake.taken().len(), 5, "four before, one afterwards");
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_of_a_stopped_account_is_held_and_released_with_it() {
    let fake = Fake::obliging().await;
    let mut world = World::stopped(options(Some(&fake))).await;
    for number in 0..3 {
        world.send(&format!("key {number}"), &["x@there.example"]).await.unwrap();
    }
    // An operator's hold stays when the account may send again.
    let held = world.delivery.queue_list(&QueueFilter::default(), None, 1).unwrap().messages[0].id;
    world.delivery.queue_hold(held).await.unwrap();
    world.delivery.accept(envelope("", &["bob@here.example"], None), MESSAGE).await.unwrap();
    assert!(world.delivery.stop_sending(world.alice, "test", "of a test", "").await.unwrap());
    assert!(!world.delivery.stop_sending(world.alice, "test", "of a test", "").await.unwrap());
    assert_eq!(world.held(), 3);
    // One that is released by hand is held again, not sent.
    let other = world.delivery.queue_list(&QueueFilter::default(), None, 3).unwrap().messages[1].id;
    world.delivery.queue_release(other).await.unwrap();
    world.start();
    world.until(RealmId::QUEUE, |world| world.held() == 3).await;
    let (stopped, released) = world.delivery.allow_sending(world.alice).await.unwrap();
    assert_eq!((stopped.unwrap().why.as_str(), released), ("of a test", 2));
    fake.wait_for(2).await;
    assert_eq!(world.inbox(world.alice).len(), 1, "told once");
    world.until(RealmId::QUEUE, |world| world.stats().messages == 1).await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_keeps_trying_is_stopped() {
    let sending = SendingLimits { stop_at_refusals: 3, ..recipients(1) };
    let world = World::stopped(limited(None, sending)).await;
    world.send("one", &["a@far.example"]).await.unwrap();
    for number in 0..3 {
        assert!(!world.is_stopped());
        assert!(world.send(&format!("more {number}"), &["a@far.example"]).await.is_err());
    }
    assert!(world.is_stopped());
    let told = refusal(world.send("last", &["bob@here.example"]).await);
    assert!(told.text.contains("3 times"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_in_new_recipients_stops_and_holds_the_message_that_shows_it() {
    let sending = SendingLimits { new_per_day: 40, stop_at_jump: 5, ..SendingLimits::none() };
    let (world, clock) = World::with_clock(limited(None, sending)).await;
    let people = |from: usize, to: usize| (from..to).map(|n| format!("p{n}@far.example")).collect::<Vec<_>>();
    for day in 0..4 {
        let to = people(day * 2, day * 2 + 2);
        world.send(&format!("day {day}"), &to.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
        clock.0.fetch_add(DAY_MS, Ordering::SeqCst);
    }
    // Usually two a day. One invitation to many is none of a thief's.
    let send = async |key: &str, from, to| {
        let to = people(from, to);
        world.send(key, &to.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    send("invitation", 100, 122).await.unwrap();
    assert!(!world.is_stopped());
    send("second", 122, 124).await.unwrap();
    assert!(!world.is_stopped());
    send("third", 124, 126).await.unwrap();
    assert!(world.is_stopped());
    assert_eq!(world.held(), 1, "the message that showed it was taken, and doesn't go out");
    assert!(send("fourth", 126, 127).await.is_err());
    world.check();
}
