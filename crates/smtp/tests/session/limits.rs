//! What a client hears whose account has sent as much as it may.

use delivery::{DeliveryOptions, SendingLimits};

use super::{PLAIN, World};
use smtp::Role;

fn limited(recipients_per_day: u32) -> DeliveryOptions {
    let sending = SendingLimits { recipients_per_day, at_first_percent: 100, ..SendingLimits::default() };
    DeliveryOptions { sending, ..DeliveryOptions::default() }
}

fn to(number: usize) -> String {
    format!("RCPT TO:<p{number}@far.example>")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_the_limits_is_refused_whole_before_its_bytes_come() {
    let world = World::with(limited(5)).await;
    let mut client = world.connect(Role::Submission).await;
    client.say(&["EHLO x", &format!("AUTH PLAIN {PLAIN}")]).await;
    // Six at once never fit.
    let mail = "MAIL FROM:<anna@here.example>";
    assert!(client.say(&[mail, &to(0), &to(1), &to(2), &to(3), &to(4)]).await.starts_with("250"));
    assert!(client.say(&[&to(5)]).await.starts_with("452 4.5.3"));
    assert!(client.say(&["RCPT TO:<anna@here.example>"]).await.starts_with("452 4.5.3"), "for all or for none");
    assert!(client.say(&["DATA"]).await.starts_with("452 4.5.3"));
    // The transaction is over.
    assert!(client.say(&["DATA"]).await.starts_with("503"));
    // Chunks that were announced are read, and not taken.
    client.say(&[mail, &to(0), &to(1), &to(2), &to(3), &to(4), &to(5)]).await;
    assert!(client.say(&["BDAT 6 LAST\r\nabcd"]).await.starts_with("452 4.5.3"));
    let message = "From: anna@here.example\r\n\r\nx\r\n.";
    let reply = client.say(&[mail, &to(0), &to(1), &to(2), &to(3), "DATA", message]).await;
    assert!(reply.starts_with("250"), "{reply}");
    // One more fits, two don't, later they do.
    assert!(client.say(&[mail, &to(0)]).await.starts_with("250"));
    let reply = client.say(&[&to(1)]).await;
    assert!(reply.starts_with("451 4.7.1") && reply.contains("Try again in "), "{reply}");
    assert!(client.say(&["RSET", mail, "RCPT TO:<anna@here.example>", "DATA", message]).await.starts_with("250"));
    assert_eq!(world.delivery.queue_stats().unwrap().recipients, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_counted() {
    let world = World::with(limited(1)).await;
    let mut client = world.connect(Role::Mx).await;
    for _ in 0..3 {
        client.begin().await;
        assert!(client.say(&["DATA", "Subject: x\r\n\r\nx\r\n."]).await.starts_with("250"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_stopped_is_told_so_and_still_receives() {
    let world = World::new().await;
    let mut client = world.connect(Role::Submission).await;
    client.say(&["EHLO x", &format!("AUTH PLAIN {PLAIN}")]).await;
    assert!(world.delivery.stop_sending(world.anna, "test", "of a test", "").await.unwrap());
    let reply = client.say(&["MAIL FROM:<anna@here.example>"]).await;
    assert!(reply.starts_with("451 4.7.1") && reply.contains("of a test"), "{reply}");
    let mut stranger = world.connect(Role::Mx).await;
    stranger.begin().await;
    assert!(stranger.say(&["DATA", "Subject: x\r\n\r\nx\r\n."]).await.starts_with("250"));
    world.delivery.allow_sending(world.anna).await.unwrap();
    assert!(client.say(&["MAIL FROM:<anna@here.example>"]).await.starts_with("250"));
}
