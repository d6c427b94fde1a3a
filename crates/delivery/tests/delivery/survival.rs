//! What was taken survives: crashes, restarts, and failures of the other side in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use delivery::RetrySchedule;
use store::RealmId;

use crate::fake::{Answer, Fake};
use crate::world::{MESSAGE, World, envelope, options};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_at_a_crash_is_tried_again() {
    let stuck = Arc::new(AtomicBool::new(true));
    let is_stuck = Arc::clone(&stuck);
    let fake = Fake::start(&["PIPELINING"], move |turn| {
        (turn.command.starts_with("RCPT") && is_stuck.load(Ordering::SeqCst)).then_some(Answer::Silence)
    })
    .await;
    let world = World::new(options(Some(&fake))).await;
    for _ in 0..5 {
        let to = envelope("alice@here.example", &["x@there.example", "bob@here.example"], Some(world.alice));
        world.delivery.accept(to, MESSAGE).await.unwrap();
    }
    fake.wait_for_command("RCPT TO:<x@there.example>").await;
    let mut world = world.crash_and_return(options(Some(&fake))).await;
    // Not before nobody is left who would go on.
    stuck.store(false, Ordering::SeqCst);
    world.check();
    assert_eq!(world.stats().messages, 5);
    world.start();
    fake.wait_for(5).await;
    world.until_queue_is_empty().await;
    assert_eq!(fake.taken().len(), 5, "nothing was sent before, so nothing is sent twice");
    assert_eq!(world.inbox(world.bob).len(), 5);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_waits_for_what_is_under_way() {
    let fake = Fake::obliging().await;
    let mut world = World::new(options(Some(&fake))).await;
    let to = envelope("alice@here.example", &["x@there.example"], Some(world.alice));
    world.delivery.accept(to, MESSAGE).await.unwrap();
    fake.wait_for_command("(greeting)").await;
    world.stop().await;
    let (taken, left) = (fake.taken().len(), world.stats().messages);
    assert_eq!((taken, left), (1, 0), "taken over there and done here");
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_taken_while_the_queue_rests_goes_out_afterwards_oldest_first() {
    let fake = Fake::obliging().await;
    let mut options = options(Some(&fake));
    options.max_per_destination = 1;
    let world = World::stopped(options.clone()).await;
    for number in 0..10 {
        let to = envelope("alice@here.example", &["x@there.example"], Some(world.alice));
        let message = format!("From: alice@here.example\r\nSubject: number {number}\r\n\r\n");
        world.delivery.accept(to, message.as_bytes()).await.unwrap();
    }
    let mut world = world.crash_and_return(options).await;
    world.start();
    let taken = fake.wait_for(10).await;
    for (number, message) in taken.iter().enumerate() {
        assert!(message.message.contains(&format!("Subject: number {number}\r\n")));
    }
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_has_to_wait_keeps_none_waiting_that_is_due_at_the_same_place() {
    let fake = Fake::start(&["PIPELINING"], |turn| {
        turn.command.contains("<wait@").then_some(Answer::Say("450 4.7.1 greylisted, come back later"))
    })
    .await;
    let mut options = options(Some(&fake));
    options.retry = RetrySchedule { waits: vec![Duration::from_hours(1)], jitter: 0.0 };
    let mut world = World::new(options.clone()).await;
    let send = async |world: &World, to: &str| {
        let envelope = envelope("alice@here.example", &[to], Some(world.alice));
        world.delivery.accept(envelope, MESSAGE).await.unwrap();
    };
    send(&world, "wait@there.example").await;
    world.until(RealmId::QUEUE, |world| world.only_queued().recipients[0].last_error.is_some()).await;
    world.stop().await;
    for _ in 0..12 {
        send(&world, "x@there.example").await;
    }
    let mut world = world.crash_and_return(options).await;
    world.start();
    assert_eq!(fake.wait_for(12).await.len(), 12);
    world.until(RealmId::QUEUE, |world| world.stats().messages == 1).await;
    world.check();
}
