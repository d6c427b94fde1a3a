//! What was taken survives: crashes, restarts, and failures of the other side in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    stuck.store(false, Ordering::SeqCst);
    let mut world = world.crash_and_return(options(Some(&fake))).await;
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
