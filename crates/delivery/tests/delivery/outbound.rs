//! The way out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use delivery::{Credentials, DeliveryOptions, NextHop, Notify, Smarthost, Timeouts, TlsPolicy};
use store::RealmId;

use crate::fake::{Answer, Fake, IMPLICIT_TLS};
use crate::world::{MESSAGE, World, envelope, options, route, submission};

async fn send(world: &World, to: &[&str]) {
    let envelope = envelope("alice@here.example", to, Some(world.alice));
    world.delivery.accept(envelope, MESSAGE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_out_signed_with_its_trace_and_as_it_was_written() {
    let fake = Fake::obliging().await;
    let world = World::new(options(Some(&fake))).await;
    send(&world, &["x@there.example", "bob@here.example"]).await;
    let taken = fake.wait_for(1).await.remove(0);
    world.until_queue_is_empty().await;
    assert_eq!(taken.from, "MAIL FROM:<alice@here.example>");
    assert_eq!(taken.recipients, ["RCPT TO:<x@there.example>"]);
    assert!(taken.message.starts_with("DKIM-Signature: "), "{}", taken.message);
    assert_eq!(taken.message.matches("DKIM-Signature: ").count(), 2, "RSA and Ed25519");
    assert_eq!(taken.message.matches("\r\nReceived: ").count(), 1);
    assert!(!taken.message.contains("Return-Path"), "that is for the last server to add");
    assert!(taken.message.as_bytes().ends_with(MESSAGE));
    let here = world.inbox(world.bob).remove(0);
    assert!(here.starts_with("Return-Path: ") && !here.contains("DKIM-Signature"));
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_of_a_domain_share_one_transaction_and_each_has_its_fate() {
    let fake = Fake::start(&["PIPELINING"], |turn| match turn.command.as_str() {
        "RCPT TO:<no@there.example>" => Some(Answer::Say("550-5.1.1 no such\r\n550 5.1.1 person")),
        _ => None,
    })
    .await;
    let world = World::new(options(Some(&fake))).await;
    send(&world, &["a@there.example", "no@there.example", "b@there.example"]).await;
    let taken = fake.wait_for(1).await;
    assert_eq!(taken[0].recipients, ["RCPT TO:<a@there.example>", "RCPT TO:<b@there.example>"]);
    let report = world.until_inbox_has(world.alice, 1).await.remove(0);
    assert!(report.contains("no@there.example") && report.contains("550 5.1.1 no such 5.1.1 person"), "{report}");
    assert!(!report.contains("a@there.example\r\nAction"));
    world.until_queue_is_empty().await;
    assert_eq!(fake.taken().len(), 1);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn greylisting_is_waited_out() {
    let tries = AtomicUsize::new(0);
    let fake = Fake::start(&["PIPELINING"], move |turn| {
        let early = turn.command.starts_with("RCPT") && tries.fetch_add(1, Ordering::SeqCst) < 3;
        early.then_some(Answer::Say("450 4.7.1 greylisted, come back later"))
    })
    .await;
    let world = World::new(options(Some(&fake))).await;
    send(&world, &["x@there.example"]).await;
    assert_eq!(fake.wait_for(1).await.len(), 1);
    world.until_queue_is_empty().await;
    assert!(world.inbox(world.alice).is_empty(), "nobody is bothered with it");
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_refusal_is_kept_word_for_word_until_it_works() {
    let fake = Fake::start(&[], |turn| (turn.command == ".").then_some(Answer::Say("452 4.3.1 disk is full"))).await;
    let world = World::new(options(Some(&fake))).await;
    send(&world, &["x@there.example"]).await;
    world.until(RealmId::QUEUE, |world| world.only_queued().recipients[0].attempts >= 3).await;
    let queued = world.only_queued();
    assert_eq!(queued.recipients[0].last_error.as_deref(), Some("452 4.3.1 disk is full"));
    assert!(queued.recipients[0].next_attempt_ms > queued.created_ms);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_the_answer_is_tried_again() {
    let fake =
        Fake::start(&["PIPELINING"], |turn| (turn.command == "." && turn.connection == 0).then_some(Answer::Close))
            .await;
    let world = World::new(options(Some(&fake))).await;
    send(&world, &["x@there.example"]).await;
    assert_eq!(fake.wait_for(2).await.len(), 2, "SMTP can not know that the first one arrived");
    world.until_queue_is_empty().await;
    assert!(world.inbox(world.alice).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_given_up_in_time_and_another_destination_does_not_wait_for_it() {
    let silent = Fake::start(&[], |turn| turn.command.starts_with("MAIL").then_some(Answer::Silence)).await;
    let quick = Fake::obliging().await;
    let mut options = options(Some(&quick));
    route(&mut options, "silent.example", &silent);
    options.timeouts = Timeouts { command: Duration::from_millis(300), ..options.timeouts };
    let world = World::new(options).await;
    for _ in 0..6 {
        send(&world, &["x@silent.example"]).await;
    }
    send(&world, &["x@there.example"]).await;
    quick.wait_for(1).await;
    world
        .until(RealmId::QUEUE, |world| {
            let page = world.delivery.queue_list(&delivery::QueueFilter::default(), None, 10).unwrap();
            page.messages.iter().any(|m| m.recipients[0].last_error.as_ref().is_some_and(|e| e.contains("no reply")))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_greeted_in_the_old_way() {
    let fake =
        Fake::start(&[], |turn| turn.command.starts_with("EHLO").then_some(Answer::Say("502 what is that"))).await;
    let world = World::new(options(Some(&fake))).await;
    send(&world, &["x@there.example"]).await;
    fake.wait_for(1).await;
    let commands = fake.commands();
    let expected = ["(greeting)", "EHLO mx.here.example", "HELO mx.here.example", "MAIL FROM:<alice@here.example>"];
    assert_eq!(commands[..4], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_and_replaced_when_it_has_died() {
    let fake = Fake::obliging().await;
    let world = World::new(options(Some(&fake))).await;
    for count in 1..=3 {
        send(&world, &["x@there.example"]).await;
        fake.wait_for(count).await;
        world.until_queue_is_empty().await;
    }
    assert_eq!(fake.connections(), 1);

    let dying =
        Fake::start(&["PIPELINING"], |turn| (turn.command == ".").then_some(Answer::SayAndClose("250 ok, bye"))).await;
    let world = World::new(options(Some(&dying))).await;
    for count in 1..=3 {
        send(&world, &["x@there.example"]).await;
        dying.wait_for(count).await;
        world.until_queue_is_empty().await;
    }
    assert_eq!(dying.taken().len(), 3, "and nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_used_when_offered_whatever_the_certificate() {
    let fake = Fake::start(&["STARTTLS", "PIPELINING"], |_| None).await;
    let world = World::new(options(Some(&fake))).await;
    send(&world, &["x@there.example"]).await;
    assert!(fake.wait_for(1).await[0].tls);
    assert_eq!(fake.commands().iter().filter(|c| c.starts_with("EHLO")).count(), 2, "asked again under TLS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_handshake_falls_back_to_plain_text_unless_tls_is_demanded() {
    let broken = || Fake::start(&["STARTTLS"], |turn| (turn.command == "STARTTLS").then_some(Answer::BreakTls));
    let fake = broken().await;
    let world = World::new(options(Some(&fake))).await;
    send(&world, &["x@there.example"]).await;
    assert!(!fake.wait_for(1).await[0].tls);
    world.until_queue_is_empty().await;

    let fake = broken().await;
    let world = World::new(DeliveryOptions { tls: TlsPolicy::Require, ..options(Some(&fake)) }).await;
    send(&world, &["x@there.example"]).await;
    world.until(RealmId::QUEUE, |world| world.only_queued().recipients[0].last_error.is_some()).await;
    assert!(world.only_queued().recipients[0].last_error.as_ref().unwrap().contains("TLS"));
    assert!(!fake.commands().iter().any(|c| c.starts_with("MAIL")), "nothing went out in plain text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_where_that_is_demanded() {
    let fake = Fake::start(&["STARTTLS"], |_| None).await;
    let world = World::new(DeliveryOptions { tls: TlsPolicy::Verify, ..options(Some(&fake)) }).await;
    send(&world, &["x@there.example"]).await;
    world.until(RealmId::QUEUE, |world| world.only_queued().recipients[0].last_error.is_some()).await;
    assert!(fake.taken().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smarthost_gets_everything_and_the_password_only_under_tls() {
    let fake = Fake::start(&["STARTTLS", "AUTH PLAIN LOGIN"], |_| None).await;
    let smarthost = Smarthost {
        hop: NextHop::new("127.0.0.1", fake.address.port()),
        tls: TlsPolicy::Require,
        credentials: Some(Credentials { username: "user".into(), password: "secret".into() }),
    };
    let world = World::new(DeliveryOptions { smarthost: Some(smarthost), ..options(None) }).await;
    send(&world, &["x@one.example", "y@two.example", "bob@here.example"]).await;
    let taken = fake.wait_for(2).await;
    assert!(taken.iter().all(|t| t.tls));
    assert!(fake.commands().contains(&"AUTH PLAIN AHVzZXIAc2VjcmV0".to_owned()));
    assert_eq!(world.inbox(world.bob).len(), 1, "mail between accounts here never leaves");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smarthost_with_tls_from_the_first_byte_and_an_old_way_of_signing_in() {
    let fake = Fake::start(&[IMPLICIT_TLS, "AUTH LOGIN"], |turn| match turn.command.as_str() {
        "AUTH LOGIN" => Some(Answer::Say("334 VXNlcm5hbWU6")),
        "dXNlcg==" => Some(Answer::Say("334 UGFzc3dvcmQ6")),
        "c2VjcmV0" => Some(Answer::Say("235 welcome")),
        _ => None,
    })
    .await;
    let hop = NextHop { implicit_tls: true, ..NextHop::new("127.0.0.1", fake.address.port()) };
    let credentials = Some(Credentials { username: "user".into(), password: "secret".into() });
    let smarthost = Some(Smarthost { hop, tls: TlsPolicy::Require, credentials });
    let world = World::new(DeliveryOptions { smarthost, ..options(None) }).await;
    send(&world, &["x@one.example"]).await;
    assert!(fake.wait_for(1).await[0].tls);
    assert!(fake.commands().contains(&"c2VjcmV0".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smarthost_that_does_not_know_us_keeps_mail_waiting_and_says_why() {
    let fake = Fake::start(&["STARTTLS", "AUTH PLAIN"], |turn| {
        turn.command.starts_with("AUTH").then_some(Answer::Say("535 5.7.8 who are you"))
    })
    .await;
    let hop = NextHop::new("127.0.0.1", fake.address.port());
    let credentials = Some(Credentials { username: "user".into(), password: "wrong".into() });
    let smarthost = Some(Smarthost { hop, tls: TlsPolicy::Require, credentials });
    let world = World::new(DeliveryOptions { smarthost, ..options(None) }).await;
    send(&world, &["x@one.example"]).await;
    world.until(RealmId::QUEUE, |world| world.only_queued().recipients[0].last_error.is_some()).await;
    assert_eq!(world.only_queued().recipients[0].last_error.as_deref(), Some("535 5.7.8 who are you"));
    assert!(world.inbox(world.alice).is_empty(), "a wrong password is no reason to return everybody's mail");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_line_ends_go_out_as_line_ends_and_8_bit_is_announced() {
    let fake = Fake::obliging().await;
    let world = World::new(options(Some(&fake))).await;
    let smuggler = b"From: alice@here.example\r\n\r\nh\xc3\xa9\n.\r\nMAIL FROM:<evil@here.example>\r.\rDATA\nend";
    let to = envelope("alice@here.example", &["x@there.example"], Some(world.alice));
    world.delivery.accept(to, smuggler).await.unwrap();
    let taken = fake.wait_for(1).await;
    world.until_queue_is_empty().await;
    assert!(taken[0].message.ends_with("\r\n\r\nhé\r\n.\r\nMAIL FROM:<evil@here.example>\r\n.\r\nDATA\r\nend\r\n"));
    assert_eq!(taken[0].from, "MAIL FROM:<alice@here.example> BODY=8BITMIME");
    assert_eq!(fake.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_for_reports_are_passed_on() {
    let fake = Fake::start(&["DSN"], |_| None).await;
    let world = World::new(options(Some(&fake))).await;
    let mut to = envelope("alice@here.example", &["x@there.example"], Some(world.alice));
    to.envid = Some("id+1".into());
    to.ret = Some(delivery::Ret::Headers);
    to.recipients[0].notify = Notify { success: true, failure: true, delay: false, explicit: true };
    world.delivery.accept(to, MESSAGE).await.unwrap();
    let taken = fake.wait_for(1).await;
    assert_eq!(taken[0].from, "MAIL FROM:<alice@here.example> RET=HDRS ENVID=id+2B1");
    assert_eq!(taken[0].recipients, ["RCPT TO:<x@there.example> NOTIFY=SUCCESS,FAILURE"]);
    world.until_queue_is_empty().await;
    assert!(world.inbox(world.alice).is_empty(), "the other server reports");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_use_few_connections_at_once_and_all_arrive_once() {
    let fake = Fake::obliging().await;
    let world = World::new(options(Some(&fake))).await;
    let sends = (0..60).map(|n| {
        let submission = submission(&world, format!("key number {n}").as_bytes(), &["x@there.example"]);
        let delivery = world.delivery.clone();
        tokio::spawn(async move { delivery.submit(submission).await.unwrap() })
    });
    let sends: Vec<_> = sends.collect();
    for send in sends {
        send.await.unwrap();
    }
    fake.wait_for(60).await;
    world.until_queue_is_empty().await;
    assert_eq!(fake.taken().len(), 60);
    assert!(fake.connections() <= 8, "{} connections", fake.connections());
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_listeners_are_never_connected_to() {
    let fake = Fake::obliging().await;
    let mut options = options(Some(&fake));
    options.own_addresses = vec![fake.address];
    let world = World::new(options).await;
    send(&world, &["x@there.example"]).await;
    let report = world.until_inbox_has(world.alice, 1).await.remove(0);
    assert!(report.contains("5.4.6") && report.contains("mail loop"), "{report}");
    assert_eq!(fake.connections(), 0);
}

/// Sends a message that has bytes above 127, or whatever `message` says, to a server with these keywords.
async fn sent_to(ehlo: &[&'static str], message: &str) -> (Fake, World) {
    let fake = Fake::start(ehlo, |_| None).await;
    let world = World::new(options(Some(&fake))).await;
    let envelope = envelope("alice@here.example", &["x@there.example"], Some(world.alice));
    world.delivery.accept(envelope, message.as_bytes()).await.unwrap();
    (fake, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_seven_bits_gets_seven_bits_with_a_signature_of_them() {
    let message = "From: alice@here.example\r\nTo: x@there.example\r\nSubject: x\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: \
                   <1@here.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                   Gr\u{fc}\u{df}e aus der Ferne, und sonst nichts Neues\r\n";
    let (fake, world) = sent_to(&["8BITMIME"], message).await;
    let taken = fake.wait_for(1).await.remove(0);
    assert!(taken.from.contains("BODY=8BITMIME") && taken.message.contains("Gr\u{fc}\u{df}e"), "{}", taken.message);
    world.until_queue_is_empty().await;
    let (fake, world) = sent_to(&["SIZE"], message).await;
    let taken = fake.wait_for(1).await.remove(0);
    assert!(taken.message.is_ascii() && taken.message.contains("Gr=C3=BC=C3=9Fe"), "{}", taken.message);
    assert_eq!(taken.from, format!("MAIL FROM:<alice@here.example> SIZE={}", taken.message.len()));
    assert!(taken.message.starts_with("DKIM-Signature: "), "signed again as it is sent");
    assert!(taken.message.contains("Content-Transfer-Encoding: quoted-printable\r\n"));
    world.until_queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lines_are_encoded_and_what_must_not_be_changed_comes_back() {
    let head = "From: alice@here.example\r\nTo: x@there.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n";
    let long = format!("{head}Content-Type: text/html\r\n\r\n{}\r\n", "<p>word</p>".repeat(300));
    let (fake, _world) = sent_to(&["8BITMIME"], &long).await;
    let taken = fake.wait_for(1).await.remove(0);
    assert!(taken.message.lines().all(|line| line.len() <= 998), "{}", taken.message);
    let signed = format!(
        "{head}Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ncaf\u{e9}\r\n--b\r\n\
         Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
    );
    let (fake, world) = sent_to(&["PIPELINING"], &signed).await;
    let report = world.until_inbox_has(world.alice, 1).await.remove(0);
    assert!(report.contains("Status: 5.6.3") && report.contains("signed or encrypted"), "{report}");
    assert_eq!(fake.taken().len(), 0);
    let (fake, _world) = sent_to(&["8BITMIME"], &signed).await;
    assert!(fake.wait_for(1).await[0].message.contains("caf\u{e9}"));
}
