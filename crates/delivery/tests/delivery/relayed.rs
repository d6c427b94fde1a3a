//! What a relay took is filed once, by the client and the time that the relay saw, and nobody is sent a report.

use std::io::Write as _;
use std::sync::Arc;

use delivery::{
    Case, DeliveryError, Envelope, Hearing, Judge, JudgeError, QueueId, Refusal, Relayed, Spooled, Taken, Verdict,
};
use mailstore::Role;

use crate::world::{World, envelope, options};

const MESSAGE: &[u8] = b"From: x@far.example\r\nSubject: hello\r\n\r\nHi\r\n";
const AT_MS: i64 = 1_700_000_000_000;

fn relayed(relay: u8, id: u64) -> Relayed {
    Relayed {
        relay: [relay; 16],
        id: QueueId(id),
        at_ms: AT_MS,
        trace: "Received: from client.example by relay.example;\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n".to_owned(),
        name: "relay.example".to_owned(),
        peer: "192.0.2.9".parse().ok(),
        findings: bytes::Bytes::new(),
    }
}

async fn give(world: &World, envelope: Envelope, from: Relayed, message: &[u8]) -> Result<Taken, DeliveryError> {
    let mut incoming = world.delivery.incoming_relayed(envelope, from)?;
    incoming.write_all(message).unwrap();
    incoming.finish_relayed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_given_again_is_filed_once() {
    let world = World::stopped(options(None)).await;
    let whose = || envelope("x@far.example", &["alice@here.example", "bob@here.example"], None);
    // Twice at once, and again later.
    let (one, other) =
        tokio::join!(give(&world, whose(), relayed(1, 7), MESSAGE), give(&world, whose(), relayed(1, 7), MESSAGE));
    let mut taken = [one.unwrap(), other.unwrap()];
    taken.sort_by_key(|taken| *taken == Taken::Before);
    assert_eq!(taken, [Taken::Now, Taken::Before]);
    assert_eq!(give(&world, whose(), relayed(1, 7), MESSAGE).await.unwrap(), Taken::Before);
    assert_eq!([world.inbox(world.alice).len(), world.inbox(world.bob).len()], [1, 1]);
    // Another message with the same bytes, and another relay's with the same id, are others.
    assert_eq!(give(&world, whose(), relayed(1, 8), MESSAGE).await.unwrap(), Taken::Now);
    assert_eq!(give(&world, whose(), relayed(2, 7), MESSAGE).await.unwrap(), Taken::Now);
    assert_eq!(world.inbox(world.alice).len(), 3);
    world.check();

    let ids = || [6, 7, 8, 9].map(QueueId).to_vec();
    let lacks = |relay| world.delivery.lacks([relay; 16], ids());
    assert_eq!(lacks(1).await.unwrap(), [6, 9].map(QueueId));
    assert_eq!(lacks(2).await.unwrap(), [6, 8, 9].map(QueueId));
    world.delivery.forget_relayed([1; 16], QueueId(8)).await.unwrap();
    assert_eq!(lacks(1).await.unwrap(), [6, 7, 9].map(QueueId));
    assert_eq!(lacks(2).await.unwrap(), [6, 8, 9].map(QueueId), "another relay's stay");
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_the_time_and_the_trace_of_the_relay() {
    let world = World::stopped(options(None)).await;
    for (number, message) in [MESSAGE, b"no header at all\r\n", b"", b"\r\nonly a body\r\n"].into_iter().enumerate() {
        let whose = envelope("x@far.example", &["alice@here.example"], None);
        let mut from = relayed(1, number as u64);
        if !message.starts_with(b"From") {
            // As the relay makes it where there is no header.
            from.trace += if message.starts_with(b"no") { "\r\n" } else { "" };
        }
        give(&world, whose, from, message).await.unwrap();
        let filed = world.inbox(world.alice).remove(number);
        assert!(filed.starts_with("Return-Path: <x@far.example>\r\nReceived: from relay.example"), "{filed}");
        assert!(filed.contains("HOLDFAST-RELAY") && filed.ends_with(std::str::from_utf8(message).unwrap()), "{filed}");
        assert_eq!(filed.matches("Received: ").count(), 2, "{filed}");
        let ours = filed.find("Received: from relay.example").unwrap();
        assert!(ours < filed.find("Received: from client.example").unwrap());
    }
    let inbox = world.mail.mailbox_by_role(world.alice.realm(), Role::Inbox).unwrap().unwrap();
    let view = world.mail.view(world.alice.realm(), inbox.id).unwrap();
    let entries = world.mail.entries(world.alice.realm(), inbox.id, view.uids()).unwrap();
    assert!(entries.iter().all(|entry| entry.internal_date_ms == AT_MS));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_when_a_recipient_is_gone() {
    let world = World::new(options(None)).await;
    // Alice's address may have been forged.
    let some = envelope("alice@here.example", &["bob@here.example", "gone@here.example"], None);
    assert_eq!(give(&world, some, relayed(1, 1), MESSAGE).await.unwrap(), Taken::Now);
    world.until_queue_is_empty().await;
    let all = envelope("alice@here.example", &["gone@here.example"], None);
    match give(&world, all, relayed(1, 2), MESSAGE).await {
        Err(DeliveryError::Refused(refusal)) => assert_eq!(refusal.enhanced, (5, 1, 1)),
        other => panic!("{other:?}"),
    }
    world.until_queue_is_empty().await;
    assert_eq!([world.inbox(world.alice).len(), world.inbox(world.bob).len()], [0, 1]);
}

/// Refuses everything, and wants to know of whom.
struct Refuses(u16);

struct Refusing(u16, Arc<Case>);

impl Judge for Refuses {
    fn name(&self) -> &'static str {
        "refuses"
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        Some(Box::new(Refusing(self.0, case.clone())))
    }
}

#[async_trait::async_trait]
impl Hearing for Refusing {
    async fn verdicts(self: Box<Self>, _: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        assert_eq!(self.1.envelope.origin.peer, "198.51.100.7".parse().ok(), "the client, not the relay");
        assert_eq!((self.1.envelope.origin.helo.as_deref(), self.1.at_ms), (Some("client.example"), AT_MS));
        let class = u8::try_from(self.0 / 100).unwrap();
        let refusal = Refusal::new(self.0, (class, 7, 1), "bad sender");
        Ok(so_far.iter().map(|_| Verdict::refuse(refusal.clone())).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn judges_see_the_client_and_what_they_refuse_is_kept_with_the_reason() {
    for (code, junk, inbox) in [(550, 1, 0), (451, 0, 1)] {
        let world = World::stopped(options(None)).await;
        let world = world.with_judges(options(None), vec![Arc::new(Refuses(code))]);
        let mut whose = envelope("x@far.example", &["alice@here.example"], None);
        whose.origin.peer = "198.51.100.7".parse().ok();
        whose.origin.helo = Some("client.example".to_owned());
        assert_eq!(give(&world, whose, relayed(1, 1), MESSAGE).await.unwrap(), Taken::Now);
        assert_eq!(world.mailbox(world.alice, Role::Junk).len(), junk);
        assert_eq!(world.inbox(world.alice).len(), inbox);
        let all = [world.mailbox(world.alice, Role::Junk), world.inbox(world.alice)].concat();
        assert!(all[0].contains(&format!("X-Holdfast-Refused: {code}")), "{all:?}");
    }
}
