//! Senders are told, once, and only those who should be.

use std::time::Duration;

use delivery::{DeliveryOptions, Notify, Ret};
use store::RealmId;

use crate::fake::{Answer, Fake};
use crate::world::{MESSAGE, World, address, envelope, options, route, submission};

async fn refusing() -> Fake {
    Fake::start(&[], |turn| {
        turn.command.starts_with("RCPT").then_some(Answer::Say("550-5.1.1 We do not know\r\n550 5.1.1 this person"))
    })
    .await
}

async fn down() -> Fake {
    Fake::start(&[], |turn| (turn.command == "(greeting)").then_some(Answer::SayAndClose("421 4.3.2 not now"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_reported_in_the_other_servers_words_with_the_message() {
    let fake = refusing().await;
    let world = World::new(options(Some(&fake))).await;
    let mut to = envelope("alice@here.example", &["x@there.example"], Some(world.alice));
    to.envid = Some("my-id".into());
    to.recipients[0].orcpt = Some("rfc822;first@there.example".into());
    world.delivery.accept(to, MESSAGE).await.unwrap();
    let report = world.until_inbox_has(world.alice, 1).await.remove(0);
    for wanted in [
        "Return-Path: <>\r\n",
        "multipart/report",
        "Auto-Submitted: auto-replied",
        "Reporting-MTA: dns;mx.here.example",
        "Original-Envelope-Id: my-id",
        "Original-Recipient: rfc822;first@there.example",
        "Final-Recipient: rfc822;x@there.example",
        "Action: failed",
        "Status: 5.1.1",
        "550 5.1.1 We do not know 5.1.1 this person",
        "How are you?",
        "From: ",
        "mailer-daemon@here.example",
    ] {
        assert!(report.to_lowercase().contains(&wanted.to_lowercase()), "{wanted:?} in {report}");
    }
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_headers_are_returned_if_the_sender_says_so() {
    let fake = refusing().await;
    let world = World::new(options(Some(&fake))).await;
    let mut to = envelope("alice@here.example", &["x@there.example"], Some(world.alice));
    to.ret = Some(Ret::Headers);
    world.delivery.accept(to, MESSAGE).await.unwrap();
    let report = world.until_inbox_has(world.alice, 1).await.remove(0);
    assert!(report.contains("Subject: Hello") && !report.contains("How are you?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_want_to_know_is_not_told() {
    let fake = refusing().await;
    let world = World::new(options(Some(&fake))).await;
    let mut to = envelope("alice@here.example", &["x@there.example"], Some(world.alice));
    to.recipients[0].notify = Notify::NEVER;
    world.delivery.accept(to, MESSAGE).await.unwrap();
    world.until_queue_is_empty().await;
    assert!(world.inbox(world.alice).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_can_not_be_delivered_is_dropped_not_reported() {
    let fake = refusing().await;
    let world = World::new(options(Some(&fake))).await;
    let to = envelope("", &["x@there.example"], Some(world.alice));
    world.delivery.accept(to, MESSAGE).await.unwrap();
    world.until_queue_is_empty().await;
    assert!(world.inbox(world.alice).is_empty() && world.inbox(world.bob).is_empty());
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_elsewhere_is_told_by_mail_with_the_null_sender() {
    let sender = Fake::obliging().await;
    let mut options = options(Some(&sender));
    options.expiry = Duration::from_millis(100);
    let world = World::new(options).await;
    world.directory.set_quota(world.bob, 1).await.unwrap();
    let to = envelope("x@there.example", &["bob@here.example", "alice@here.example"], None);
    world.delivery.accept(to, MESSAGE).await.unwrap();
    let report = sender.wait_for(1).await.remove(0);
    assert_eq!((report.from.as_str(), report.recipients.len()), ("MAIL FROM:<>", 1));
    assert!(report.message.starts_with("DKIM-Signature: "));
    assert!(!report.message.contains("Return-Path: <>"));
    assert!(report.message.contains("bob@here.example") && report.message.contains("full"));
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_make_nobody_get_what_they_wrote() {
    let sender = Fake::obliging().await;
    let mut options = options(Some(&sender));
    options.expiry = Duration::from_millis(100);
    let world = World::new(options).await;
    let wish = Notify { success: true, failure: true, delay: false, explicit: true };
    let text = "advert ".repeat(90);
    let message = format!(
        "From: s@spam.example\r\nTo: bob@here.example\r\nDate: today\r\nMessage-ID: <m@spam.example>\r\nSubject: short\r\n\
         Subject: a second {text}\r\nX-Text: {text}\r\nReply-To: {text}\r\n\r\n{text}\r\n"
    );
    let mut to = envelope("victim@there.example", &["bob@here.example"], None);
    (to.ret, to.envid) = (Some(Ret::Full), Some("BUY".to_owned()));
    to.recipients[0].notify = wish;
    to.recipients[0].orcpt = Some("rfc822;Buy@now.example".to_owned());
    // A success is not reported: it is filed at once, and nothing is queued for a report.
    world.delivery.accept(to.clone(), message.as_bytes()).await.unwrap();
    assert_eq!(world.inbox(world.bob).len(), 1);
    assert_eq!(world.stats().messages, 0);
    // A failure is, with what names the message.
    world.directory.set_quota(world.bob, 1).await.unwrap();
    world.delivery.accept(to, message.as_bytes()).await.unwrap();
    let report = sender.wait_for(1).await.remove(0).message;
    for told in ["bob@here.example", "<m@spam.example>", "Subject: short", "From: s@spam.example"] {
        assert!(report.contains(told), "{told} in {report}");
    }
    for untold in ["advert", "X-Text", "\r\nReply-To: ", "BUY", "now.example"] {
        assert!(!report.contains(untold), "{untold} in {report}");
    }
    world.until_queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_so_many_reports_and_no_more() {
    let sender = Fake::obliging().await;
    let mut options = options(Some(&sender));
    options.expiry = Duration::from_millis(100);
    options.max_reports_per_destination = 2;
    let world = World::new(options).await;
    world.delivery.accept(envelope("x@there.example", &["bob@here.example"], None), MESSAGE).await.unwrap();
    world.directory.set_quota(world.bob, 1).await.unwrap();
    for number in 0..5 {
        let to = envelope(&format!("victim{number}@there.example"), &["bob@here.example"], None);
        world.delivery.accept(to, MESSAGE).await.unwrap();
    }
    world.until_queue_is_empty().await;
    assert_eq!(sender.wait_for(2).await.len(), 2);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_long_is_told_of_once_and_given_up_in_the_end() {
    let fake = down().await;
    // Long enough for the first attempt to have met its answer, which the warning tells.
    let warning = DeliveryOptions { delay_warning: Duration::from_secs(3), ..options(Some(&fake)) };
    let mut world = World::new(warning).await;
    let sent = world.delivery.submit(submission(&world, b"key", &["x@there.example"])).await.unwrap();
    let warned = world.until_inbox_has(world.alice, 1).await.remove(0);
    assert!(warned.contains("Action: delayed") && warned.contains("Will-Retry-Until"), "{warned}");
    assert!(warned.contains("421 4.3.2 not now"));
    assert_eq!(world.only_queued().id, sent.id, "it is tried on");
    world.check();
    world.stop().await;

    // Its time is over while nobody works on the queue.
    let options = DeliveryOptions { expiry: Duration::ZERO, ..options(Some(&fake)) };
    let mut world = world.crash_and_return(options).await;
    world.delivery.submit(submission(&world, b"another", &["y@there.example"])).await.unwrap();
    world.start();
    let reports = world.until_inbox_has(world.alice, 2).await;
    assert!(reports[1].contains("Action: failed") && reports[1].contains("Status: 5.4.7"), "{}", reports[1]);
    assert_eq!(world.only_queued().id, sent.id);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_when_its_time_is_over_gets_no_more_of_it() {
    let silent = Fake::start(&[], |turn| turn.command.starts_with("RCPT").then_some(Answer::Silence)).await;
    let mut options = options(Some(&down().await));
    route(&mut options, "silent.example", &silent);
    options.expiry = Duration::from_millis(500);
    options.timeouts.command = Duration::from_secs(2);
    let world = World::new(options).await;
    let to = envelope("alice@here.example", &["x@there.example", "x@silent.example"], Some(world.alice));
    let id = world.delivery.accept(to, MESSAGE).await.unwrap().id;
    let expires_ms = world.delivery.queue_show(id).unwrap().expires_ms;
    silent.wait_for_command("RCPT TO:<x@silent.example>").await;
    let first = world.until_inbox_has(world.alice, 1).await.remove(0);
    assert!(first.contains("x@there.example") && first.contains("Status: 5.4.7"), "{first}");
    if let Ok(left) = world.delivery.queue_show(id) {
        assert_eq!(left.expires_ms, expires_ms);
    }
    let reports = world.until_inbox_has(world.alice, 2).await;
    assert!(reports[1].contains("x@silent.example") && reports[1].contains("Status: 5.4.7"), "{}", reports[1]);
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn success_is_reported_to_those_who_ask() {
    let fake = Fake::obliging().await;
    let mut options = options(Some(&fake));
    route(&mut options, "second.example", &fake);
    let world = World::new(options).await;
    let wish = Notify { success: true, failure: true, delay: false, explicit: true };
    let mut to = envelope("alice@here.example", &["bob@here.example", "x@there.example"], Some(world.alice));
    to.recipients.iter_mut().for_each(|recipient| recipient.notify = wish);
    world.delivery.accept(to, MESSAGE).await.unwrap();
    let reports = world.until_inbox_has(world.alice, 2).await.join("\n");
    assert!(reports.contains("Action: delivered") && reports.contains("Action: relayed"), "{reports}");
    assert_eq!(world.inbox(world.bob).len(), 1);
    world.until_queue_is_empty().await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_whose_address_is_gone() {
    let fake = refusing().await;
    let mut world = World::stopped(options(Some(&fake))).await;
    world.directory.add_alias(world.alice, "old@here.example").await.unwrap();
    let to = envelope("old@here.example", &["x@there.example"], Some(world.alice));
    world.delivery.accept(to, b"From: old@here.example\r\n\r\nx\r\n").await.unwrap();
    world.directory.remove_alias(world.alice, "old@here.example").await.unwrap();
    assert!(world.delivery.rcpt(&address("old@here.example"), None).is_err());
    world.start();
    world.until(RealmId::QUEUE, |world| world.stats().messages == 0).await;
    assert!(world.inbox(world.alice).is_empty());
}
