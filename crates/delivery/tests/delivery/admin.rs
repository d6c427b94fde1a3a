//! The queue in an operator's hands.

use std::time::Duration;

use delivery::{DeliveryError, DeliveryOptions, DropMode, QueueFilter, QueueId, RetrySchedule};

use crate::fake::{Answer, Fake};
use crate::world::{MESSAGE, World, envelope, options, route};

async fn send(world: &World, to: &[&str]) -> QueueId {
    let envelope = envelope("alice@here.example", to, Some(world.alice));
    world.delivery.accept(envelope, MESSAGE).await.unwrap().id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_listed_in_pages_and_by_filter() {
    let world = World::stopped(options(None)).await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(send(&world, &[&format!("x@d{}.example", number % 2), "y@all.example"]).await);
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = world.delivery.queue_list(&QueueFilter::default(), after, 3).unwrap();
        seen.extend(page.messages.iter().map(|message| message.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids, "oldest first, each once");
    let count = |filter: QueueFilter| world.delivery.queue_list(&filter, None, 100).unwrap().messages.len();
    assert_eq!(count(QueueFilter { domain: Some("d0.example".into()), ..QueueFilter::default() }), 4);
    assert_eq!(count(QueueFilter { sender: Some("Alice@here.example".into()), ..QueueFilter::default() }), 7);
    assert_eq!(count(QueueFilter { sender: Some("<>".into()), ..QueueFilter::default() }), 0);
    assert_eq!(count(QueueFilter { account: Some(world.bob), ..QueueFilter::default() }), 0);
    let stats = world.stats();
    assert_eq!((stats.messages, stats.recipients, stats.destinations, stats.held), (7, 14, 3, 0));
    assert!(stats.oldest_ms.is_some());
    let shown = world.delivery.queue_show(ids[0]).unwrap();
    assert_eq!((shown.from.as_deref(), shown.recipients.len()), (Some("alice@here.example"), 2));
    let content = world.delivery.queue_content(ids[0], 1 << 20).unwrap();
    assert_eq!(content.len() as u64, shown.size);
    assert!(content.ends_with(MESSAGE));
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_message_stays_until_it_is_released() {
    let fake = Fake::obliging().await;
    let mut world = World::stopped(options(Some(&fake))).await;
    let (held, free) = (send(&world, &["held@there.example"]).await, send(&world, &["free@there.example"]).await);
    world.delivery.queue_hold(held).await.unwrap();
    world.delivery.queue_hold(held).await.unwrap();
    world.check();
    world.start();
    fake.wait_for(1).await;
    world.until(store::RealmId::QUEUE, |world| world.stats().messages == 1).await;
    world.delivery.queue_retry(held).await.unwrap();
    assert_eq!(world.only_queued().id, held);
    assert!(world.only_queued().held);
    assert!(matches!(world.delivery.queue_show(free), Err(DeliveryError::NotQueued(id)) if id == free));
    world.check();
    world.delivery.queue_release(held).await.unwrap();
    fake.wait_for(2).await;
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_does_not_wait_for_the_schedule() {
    let fake = Fake::start(&[], |turn| {
        (turn.connection == 0 && turn.command.starts_with("MAIL")).then_some(Answer::SayAndClose("450 later"))
    })
    .await;
    let retry = RetrySchedule { waits: vec![Duration::from_hours(1)], jitter: 0.0 };
    let world = World::new(DeliveryOptions { retry, ..options(Some(&fake)) }).await;
    let id = send(&world, &["x@there.example"]).await;
    world.until(store::RealmId::QUEUE, |world| world.only_queued().recipients[0].last_error.is_some()).await;
    world.delivery.queue_retry(id).await.unwrap();
    fake.wait_for(1).await;
    world.until_queue_is_empty().await;
    assert!(matches!(world.delivery.queue_retry(id).await, Err(DeliveryError::NotQueued(_))));
    assert_eq!(world.delivery.queue_retry_all().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_message_is_gone_and_its_sender_is_told_if_wanted() {
    let world = World::stopped(options(None)).await;
    let (silent, told) = (send(&world, &["x@there.example"]).await, send(&world, &["y@there.example"]).await);
    world.delivery.queue_drop(silent, DropMode::Silent).await.unwrap();
    assert!(world.inbox(world.alice).is_empty());
    world.delivery.queue_drop(told, DropMode::Bounce).await.unwrap();
    let inbox = world.inbox(world.alice);
    assert!(inbox[0].contains("y@there.example") && inbox[0].contains("administrator"), "{}", inbox[0]);
    assert_eq!(world.stats().messages, 0);
    assert!(matches!(world.delivery.queue_drop(told, DropMode::Silent).await, Err(DeliveryError::NotQueued(_))));
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_under_way_can_not_be_dropped() {
    let fake = Fake::start(&[], |turn| turn.command.starts_with("RCPT").then_some(Answer::Silence)).await;
    let mut options = options(None);
    route(&mut options, "stuck.example", &fake);
    let world = World::new(options).await;
    let id = send(&world, &["x@stuck.example"]).await;
    fake.wait_for_command("RCPT TO:<x@stuck.example>").await;
    assert!(matches!(world.delivery.queue_drop(id, DropMode::Silent).await, Err(DeliveryError::InFlight(_))));
    let is_under_way = |world: &World| world.only_queued().recipients[0].in_flight_since_ms.is_some();
    world.until(store::RealmId::QUEUE, is_under_way).await;
}
