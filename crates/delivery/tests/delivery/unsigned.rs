//! Mail whose DKIM keys are sealed under a key that is not at hand.

use std::sync::Arc;

use delivery::{DeliveryOptions, Unsigned};
use directory::{Keyring, Keys};
use store::RealmId;

use crate::fake::Fake;
use crate::world::{MESSAGE, World, envelope, options, submission};

fn keys() -> Arc<Keys> {
    Arc::new(Keys::Ring(Keyring::parse(&Keyring::new_line().1).unwrap()))
}

/// A service that has sealed its DKIM keys; whether it can open them is up to the test.
async fn sealed(options: DeliveryOptions) -> (World, Arc<Keys>) {
    let (world, keys) = (World::stopped(options).await, keys());
    world.directory.set_keys(Arc::clone(&keys)).unwrap();
    assert!(world.directory.seal_secrets().await.unwrap().changed >= 2);
    (world, keys)
}

/// From a mail app, and from the webmail.
async fn send_both(world: &World) {
    let app = envelope("alice@here.example", &["x@there.example"], Some(world.alice));
    world.delivery.accept(app, MESSAGE).await.unwrap();
    world.delivery.submit(submission(world, b"key", &["y@there.example", "z@there.example"])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_keys_sign_as_open_ones_do() {
    let fake = Fake::obliging().await;
    let (mut world, _) = sealed(options(Some(&fake))).await;
    send_both(&world).await;
    world.start();
    for taken in fake.wait_for(2).await {
        assert_eq!(taken.message.matches("DKIM-Signature: ").count(), 2, "{}", taken.message);
    }
    world.until_queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_mail_waits_and_goes_out_signed_once_it_is_back_also_after_a_crash() {
    for (case, wrong) in [("none", Arc::default()), ("another", keys())] {
        let fake = Fake::obliging().await;
        let (mut world, right) = sealed(options(Some(&fake))).await;
        world.directory.set_keys(Arc::clone(&wrong)).unwrap();
        send_both(&world).await;
        world.start();
        let was_deferred = |world: &World| {
            let page = world.delivery.queue_list(&delivery::QueueFilter::default(), None, 10).unwrap();
            page.messages.len() == 2
                && page.messages.iter().all(|message| message.recipients.iter().all(|to| to.last_error.is_some()))
        };
        world.until(RealmId::QUEUE, was_deferred).await;
        assert_eq!(fake.commands().len(), 0, "{case}: nobody was bothered");
        world.stop().await;
        world = world.crash_and_return(options(Some(&fake))).await;
        world.directory.set_keys(right).unwrap();
        world.start();
        // Some may be on their way already.
        world.delivery.queue_retry_unsigned().await.unwrap();
        for taken in fake.wait_for(2).await {
            assert_eq!(taken.message.matches("DKIM-Signature: ").count(), 2, "{case}: {}", taken.message);
            assert!(taken.message.as_bytes().ends_with(MESSAGE));
        }
        world.until_queue_is_empty().await;
        world.check();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_out_unsigned_only_where_that_was_chosen() {
    let fake = Fake::obliging().await;
    let chosen = DeliveryOptions { unsigned: Unsigned::Send, ..options(Some(&fake)) };
    let (mut world, _) = sealed(chosen).await;
    world.directory.set_keys(Arc::default()).unwrap();
    send_both(&world).await;
    world.start();
    for taken in fake.wait_for(2).await {
        assert!(!taken.message.contains("DKIM-Signature"));
        assert!(taken.message.as_bytes().ends_with(MESSAGE));
    }
    world.until_queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_signature_does_not_wait() {
    let fake = Fake::obliging().await;
    let (mut world, _) = sealed(options(Some(&fake))).await;
    world.directory.set_keys(Arc::default()).unwrap();
    world.start();
    // Mail for people here, from a stranger and from one of ours.
    world.delivery.accept(envelope("x@there.example", &["bob@here.example"], None), MESSAGE).await.unwrap();
    world.delivery.submit(submission(&world, b"key", &["bob@here.example"])).await.unwrap();
    assert_eq!(world.until_inbox_has(world.bob, 2).await.len(), 2);
    world.until_queue_is_empty().await;
    world.check();
}
