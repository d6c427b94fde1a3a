//! Promises about what is sent on in an account's name: once, unchanged, in the commit of the copy, within the account's limits;
//! and its reports find their way back.

use std::io::Write as _;
use std::sync::Arc;

use delivery::{
    Asked, Case, DeliveryOptions, Envelope, FileInto, ForwardError, Hearing, Judge, JudgeError,
    MAX_CONFIRMATIONS_PER_DAY, MAX_FORWARD_TARGETS, MAX_FORWARDS, PAUSED_AFTER, QueueFilter, QueueId, RecipientOutcome,
    RecipientRoute, Refusal, Relayed, SendingLimits, Spooled, Taken, Verdict,
};
use mailkit::EmailAddress;
use mailstore::Role;
use store::{Clock as _, RealmId};

use crate::fake::{Answer, Fake};
use crate::world::{DAY_MS, MESSAGE, World, address, envelope, options, submission};

type Plan = dyn Fn(&EmailAddress) -> Verdict + Send + Sync;

/// Decides by recipient.
struct Rules(Arc<Plan>);

struct Heard(Arc<Plan>, Arc<Case>);

impl Judge for Rules {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        Some(Box::new(Heard(Arc::clone(&self.0), Arc::clone(case))))
    }
}

#[async_trait::async_trait]
impl Hearing for Heard {
    async fn verdicts(self: Box<Self>, _: &Spooled, _: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let recipients = self.1.envelope.recipients.iter().zip(&self.1.accounts);
        Ok(recipients.map(|(to, account)| account.map(|_| (self.0)(&to.address)).unwrap_or_default()).collect())
    }
}

fn forwards(to: &[&str], no_copy: bool) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.forwards = to.iter().map(|to| address(to)).collect();
    verdict.no_copy = no_copy;
    verdict
}

/// As the sender checks write it.
fn with_results(mut verdict: Verdict, results: &str) -> Verdict {
    verdict.add_header("Authentication-Results", &format!("mx.here.example; {results}")).unwrap();
    verdict
}

async fn world(options: DeliveryOptions, plan: impl Fn(&EmailAddress) -> Verdict + Send + Sync + 'static) -> World {
    World::stopped(options.clone()).await.with_judges(options, vec![Arc::new(Rules(Arc::new(plan)))])
}

fn from_far(to: &[&str]) -> Envelope {
    envelope("sender@far.example", to, None)
}

/// The address in a command.
fn path(command: &str) -> &str {
    command.split_once('<').unwrap().1.split_once('>').unwrap().0
}

const SPF: &str = "spf=pass smtp.mailfrom=sender@far.example; dmarc=pass header.from=far.example";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_on_goes_out_once_and_unchanged_beside_the_copy_or_without_one() {
    for no_copy in [false, true] {
        let fake = Fake::obliging().await;
        let plan =
            move |_: &EmailAddress| with_results(forwards(&["x@there.example", "y@there.example"], no_copy), SPF);
        let mut world = world(options(Some(&fake)), plan).await;
        let message =
            b"DKIM-Signature: v=1; d=far.example; b=AA==\r\nFrom: a@far.example\r\nSubject: =?x? odd\r\n folded\r\n\
            \r\nOne \r\n.two\r\n\r\n";
        let accepted = world.delivery.accept(from_far(&["alice@here.example"]), message).await.unwrap();
        assert_eq!(accepted.recipients, [RecipientOutcome::Filed(world.alice)]);
        world.check();
        assert_eq!(world.inbox(world.alice).len(), usize::from(!no_copy));
        assert_eq!(world.stats().messages, 1, "one message to both");
        // The copy and what is sent on are one commit: they are both there after a crash.
        world = world.crash_and_return(options(Some(&fake))).await;
        assert_eq!((world.stats().messages, world.inbox(world.alice).len()), (1, usize::from(!no_copy)));
        world.start();
        let taken = fake.wait_for(1).await.remove(0);
        world.until_queue_is_empty().await;
        assert_eq!(fake.taken().len(), 1);
        assert_eq!(taken.recipients.len(), 2);
        let text = String::from_utf8_lossy(message);
        assert!(taken.message.ends_with(&*text), "{}", taken.message);
        let above = taken.message.strip_suffix(&*text).unwrap();
        for (field, count) in [
            ("ARC-Seal: ", 1),
            ("cv=none", 1),
            ("ARC-Message-Signature: ", 1),
            ("ARC-Authentication-Results: i=1; mx.here.example;", 1),
            ("Delivered-To: alice@here.example", 1),
            ("Received: ", 1),
            ("DKIM-Signature", 0),
            ("Return-Path", 0),
            ("\nAuthentication-Results", 0),
        ] {
            assert_eq!(above.matches(field).count(), count, "{field} in {above}");
        }
        let from = path(&taken.from);
        assert!(from.starts_with("SRS0=") && from.ends_with("=far.example=sender@here.example"), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_from_a_relay_is_sent_on_once_however_often_it_is_given() {
    let fake = Fake::obliging().await;
    let mut world = world(options(Some(&fake)), |_| forwards(&["x@there.example"], false)).await;
    for expected in [Taken::Now, Taken::Before] {
        let relayed = Relayed {
            relay: [1; 16],
            id: QueueId(7),
            at_ms: 1_700_000_000_000,
            trace: "Received: from a by b; Tue, 14 Nov 2023 22:13:20 +0000\r\n".to_owned(),
            name: "relay.example".to_owned(),
            peer: None,
            findings: bytes::Bytes::new(),
        };
        let mut incoming = world.delivery.incoming_relayed(from_far(&["alice@here.example"]), relayed).unwrap();
        incoming.write_all(MESSAGE).unwrap();
        assert_eq!(incoming.finish_relayed().await.unwrap(), expected);
    }
    assert_eq!((world.stats().messages, world.inbox(world.alice).len()), (1, 1));
    world.start();
    fake.wait_for(1).await;
    world.until_queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_or_a_limit_leaves_a_copy_that_says_so() {
    let full = SendingLimits { messages_per_day: 1, ..SendingLimits::none() };
    let limited = DeliveryOptions { sending: full, ..options(None) };
    let world = world(limited, |_| forwards(&["x@there.example"], true)).await;
    let give = async |message: &str| {
        world.delivery.accept(from_far(&["alice@here.example"]), message.as_bytes()).await.unwrap();
        world.check();
        (world.stats().messages, world.inbox(world.alice))
    };
    for mark in ["alice@here.example", "ALICE@here.example", " <alice@here.example> "] {
        let (queued, inbox) =
            give(&format!("Delivered-To: {mark}\r\nFrom: a@far.example\r\n\r\nloop {mark}\r\n")).await;
        assert_eq!(queued, 0);
        assert!(inbox.last().unwrap().contains("X-Holdfast-Not-Forwarded: "), "{inbox:?}");
    }
    // Somebody else's mark is none of ours.
    let (queued, inbox) = give("Delivered-To: bob@here.example\r\nFrom: a@far.example\r\n\r\none\r\n").await;
    assert_eq!((queued, inbox.len()), (1, 3));
    let (queued, inbox) = give("From: a@far.example\r\n\r\ntwo\r\n").await;
    assert_eq!((queued, inbox.len()), (1, 4));
    assert!(inbox[3].contains("X-Holdfast-Not-Forwarded: Sending limit reached"), "{}", inbox[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_verdict_is_decides_what_is_sent_on() {
    let refused = || {
        let mut verdict = forwards(&["x@there.example"], true);
        verdict.refusal = Some(Refusal::new(550, (5, 7, 1), "no"));
        verdict
    };
    let plan = move |to: &EmailAddress| match to.local() {
        "alice" => refused(),
        _ => Verdict::file(FileInto::Role(Role::Archive)),
    };
    let world_ = world(options(None), plan).await;
    // Refused for one, taken for the other.
    let both = from_far(&["alice@here.example", "bob@here.example"]);
    world_.delivery.accept(both, MESSAGE).await.unwrap();
    assert_eq!(world_.stats().messages, 0);
    assert_eq!(world_.mailbox(world_.alice, Role::Junk).len(), 1);

    // Discarded: taken, and nowhere.
    let world_ = world(options(None), |_| forwards(&[], true)).await;
    world_.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
    assert_eq!((world_.stats().messages, world_.inbox(world_.alice).len()), (0, 0));

    // Too many: the judge is at fault, and the message is filed.
    let many: Vec<String> = (0..=MAX_FORWARDS).map(|number| format!("x{number}@there.example")).collect();
    let plan = move |_: &EmailAddress| forwards(&many.iter().map(String::as_str).collect::<Vec<_>>(), true);
    let world_ = world(options(None), plan).await;
    world_.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
    assert_eq!((world_.stats().messages, world_.inbox(world_.alice).len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn to_an_address_here_it_is_filed_there() {
    let plan = |to: &EmailAddress| {
        if to.local() == "alice" { forwards(&["bob@here.example"], true) } else { Verdict::default() }
    };
    let mut world = world(options(None), plan).await;
    world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
    world.start();
    let inbox = world.until_inbox_has(world.bob, 1).await;
    assert!(inbox[0].contains("Delivered-To: alice@here.example\r\n"), "{}", inbox[0]);
    assert!(world.inbox(world.alice).is_empty());
    world.until_queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_an_address_here_is_judged_for_its_account_as_what_comes_from_elsewhere() {
    let fake = Fake::obliging().await;
    // Alice sends on to Bob, whose own verdicts come on top of what was found out about the sender.
    for (bobs, roles) in [
        (Verdict::file(FileInto::Role(Role::Archive)), (0, 1, 0)),
        (Verdict::refuse(Refusal::new(550, (5, 7, 1), "no")), (0, 0, 1)),
        (forwards(&["x@there.example"], true), (0, 0, 0)),
        (forwards(&["x@there.example"], false), (1, 0, 0)),
    ] {
        let before = fake.taken().len();
        let goes_on = !bobs.forwards.is_empty();
        let plan = move |to: &EmailAddress| match to.local() {
            "alice" => with_results(forwards(&["bob@here.example"], true), SPF),
            _ => bobs.clone(),
        };
        let mut world = world(options(Some(&fake)), plan).await;
        world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
        world.start();
        world.until_queue_is_empty().await;
        let of_bob = [Role::Inbox, Role::Archive, Role::Junk].map(|role| world.mailbox(world.bob, role));
        assert_eq!((of_bob[0].len(), of_bob[1].len(), of_bob[2].len()), roles);
        for copy in of_bob.iter().flatten() {
            assert!(copy.contains("Delivered-To: alice@here.example\r\n") && copy.contains("spf=pass"), "{copy}");
        }
        if goes_on {
            let taken = fake.wait_for(before + 1).await;
            let message = &taken[before].message;
            for mark in ["Delivered-To: alice@here.example\r\n", "Delivered-To: bob@here.example\r\n"] {
                assert!(message.contains(mark), "{message}");
            }
        }
        assert_eq!(fake.taken().len(), before + usize::from(goes_on));
        assert!(world.inbox(world.alice).is_empty());
        world.check();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_send_on_to_each_other_end_with_one_copy_that_says_so() {
    let plan = |to: &EmailAddress| match to.local() {
        "alice" => forwards(&["bob@here.example"], true),
        _ => forwards(&["alice@here.example"], true),
    };
    let mut world = world(options(None), plan).await;
    world.start();
    world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
    let copy = world.until_inbox_has(world.alice, 1).await.remove(0);
    assert!(copy.contains("X-Holdfast-Not-Forwarded: ") && copy.contains("mail loop"), "{copy}");
    world.until_queue_is_empty().await;
    assert_eq!((world.inbox(world.alice).len(), world.inbox(world.bob).len()), (1, 0));
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_our_own_users_is_sent_on_signed_also_when_it_was_held() {
    for hold in [0, 1] {
        let fake = Fake::obliging().await;
        let plan = |to: &EmailAddress| {
            if to.local() == "bob" { forwards(&["x@there.example"], false) } else { Verdict::default() }
        };
        let mut world = world(options(Some(&fake)), plan).await;
        let mut sent = submission(&world, b"one key for all", &["bob@here.example"]);
        sent.hold = std::time::Duration::from_millis(hold);
        world.delivery.submit(sent.clone()).await.unwrap();
        world.delivery.submit(sent).await.unwrap();
        world.start();
        let taken = fake.wait_for(1).await.remove(0);
        world.until_queue_is_empty().await;
        assert_eq!((fake.taken().len(), world.inbox(world.bob).len()), (1, 1), "{hold}");
        assert_eq!(path(&taken.from), "alice@here.example");
        assert_eq!(taken.message.matches("DKIM-Signature: ").count(), 2, "{}", taken.message);
        assert!(!taken.message.contains("ARC-Seal"), "{}", taken.message);
    }
}

/// Refuses recipients for good.
async fn refusing() -> Fake {
    Fake::start(&["PIPELINING"], |turn| {
        turn.command.starts_with("RCPT").then_some(Answer::Say("550 5.1.1 no x@there.example here"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_reported_to_a_sender_who_is_proved_and_otherwise_to_the_owner() {
    // Results, and whether they prove the sender of the envelope.
    let kinds = [
        (SPF, true),
        ("spf=fail smtp.mailfrom=sender@far.example; dkim=pass header.d=far.example", true),
        ("spf=fail smtp.mailfrom=sender@far.example", false),
        ("spf=pass smtp.mailfrom=sender@other.example; dkim=pass header.d=other.example", false),
        ("spf=pass smtp.helo=far.example; dkim=none", false),
        ("spf=softfail smtp.mailfrom=sender@far.example; dkim=fail header.d=far.example", false),
        ("none", false),
    ];
    for (results, proved) in kinds {
        let (fake, far) = (refusing().await, Fake::obliging().await);
        let mut options = options(Some(&fake));
        crate::world::route(&mut options, "far.example", &far);
        let mut world = world(options, move |_| with_results(forwards(&["x@there.example"], true), results)).await;
        world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
        world.start();
        let report = if proved {
            let report = far.wait_for(1).await.remove(0);
            assert_eq!(path(&report.recipients[0]), "sender@far.example");
            assert!(!report.message.contains("there.example"), "where it was sent on to is told: {}", report.message);
            report.message
        } else {
            world.until_inbox_has(world.alice, 1).await.remove(0)
        };
        assert!(report.contains("alice@here.example") && report.contains("5.1.1"), "{report}");
        world.until_queue_is_empty().await;
        assert_eq!(
            (far.taken().len(), world.inbox(world.alice).len()),
            (usize::from(proved), usize::from(!proved)),
            "{results}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_to_a_return_address_finds_its_way_and_nothing_else_does() {
    let (fake, far) = (Fake::obliging().await, Fake::obliging().await);
    let mut options = options(Some(&fake));
    crate::world::route(&mut options, "far.example", &far);
    let plan = |to: &EmailAddress| match to.local() {
        "alice" => with_results(forwards(&["x@there.example"], true), SPF),
        _ => forwards(&["y@there.example"], true),
    };
    let mut world = world(options, plan).await;
    world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
    world.delivery.accept(from_far(&["bob@here.example"]), MESSAGE).await.unwrap();
    world.delivery.accept(Envelope { from: None, ..from_far(&["bob@here.example"]) }, MESSAGE).await.unwrap();
    world.start();
    let taken = fake.wait_for(3).await;
    world.until_queue_is_empty().await;
    let sender_for = |to: &str| {
        let found =
            taken.iter().filter(|taken| path(&taken.recipients[0]) == to).map(|taken| path(&taken.from).to_owned());
        let mut found: Vec<String> = found.collect();
        found.sort();
        found
    };
    let proved = address(&sender_for("x@there.example")[0]);
    let [nobody, unproved] = <[String; 2]>::try_from(sender_for("y@there.example")).unwrap();
    assert_eq!(nobody, "", "a report is sent on as one");
    let unproved = address(&unproved);

    let rcpt = |to: &EmailAddress, from: Option<&EmailAddress>| world.delivery.rcpt_from(to, from, None);
    assert_eq!(rcpt(&proved, None).unwrap(), RecipientRoute::Remote);
    assert_eq!(rcpt(&unproved, None).unwrap(), RecipientRoute::Local(world.bob));
    let letter = rcpt(&proved, Some(&address("postmaster@there.example"))).unwrap_err();
    assert_eq!((letter.code, letter.enhanced), (550, (5, 7, 1)));
    let changed = |from: &str, to: &str| {
        let text = proved.to_string();
        assert!(text.contains(from));
        address(&text.replacen(from, to, 1))
    };
    for forged in [
        changed("sender", "sanders"),
        changed("far.example", "fir.example"),
        changed("SRS0=", "SRS0=x"),
        changed("SRS0=", "SRS1="),
        address("SRS0=aaaa=AA=far.example=sender@here.example"),
        address("srs0+aaaa=AA=far.example=sender@here.example"),
        address("SRS1=aaaa=far.example==bbbb=AA=x.example=y@here.example"),
    ] {
        let refusal = rcpt(&forged, None).unwrap_err();
        assert_eq!((refusal.code, refusal.enhanced), (550, (5, 1, 1)), "{forged}");
    }
    // In a domain that isn't ours it is no return address of ours.
    assert_eq!(rcpt(&address("SRS0=a=b=c=d@far.example"), None).unwrap_err().enhanced, (5, 7, 1));

    let report = |to: &EmailAddress| Envelope { from: None, ..envelope("x@there.example", &[&to.to_string()], None) };
    let text = b"From: MAILER-DAEMON@there.example\r\nSubject: no\r\n\r\nno\r\n";
    world.delivery.accept(report(&proved), text).await.unwrap();
    let back = far.wait_for(1).await.remove(0);
    assert_eq!((path(&back.from), path(&back.recipients[0])), ("", "sender@far.example"));
    world.delivery.accept(report(&unproved), text).await.unwrap();
    assert!(world.until_inbox_has(world.bob, 1).await[0].contains("MAILER-DAEMON@there.example"));
    world.until_queue_is_empty().await;
    assert_eq!(fake.taken().len(), 3, "a report that was led back is not sent on again");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_what_is_sent_on_do_not_look_like_a_stolen_account() {
    let fake = refusing().await;
    let sending = SendingLimits { stop_at_bounces: 1, ..SendingLimits::none() };
    let mut world =
        world(DeliveryOptions { sending, ..options(Some(&fake)) }, |_| forwards(&["x@there.example"], true)).await;
    world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
    world.start();
    world.until_inbox_has(world.alice, 1).await;
    world.until_queue_is_empty().await;
    assert!(world.directory.sending(world.alice).unwrap().unwrap().stopped.is_none());
    let listed = world.delivery.queue_list(&QueueFilter::default(), None, 10).unwrap();
    assert!(listed.messages.is_empty());
    world.until(RealmId::QUEUE, |world| world.stats().messages == 0).await;
}

/// What a confirmation mail has to confirm with.
fn code_in(message: &str) -> String {
    let text = message.replace("=\r\n", "").replace("=3D", "=");
    text.split_once("/forwarding?code=").unwrap().1.split_whitespace().next().unwrap().to_owned()
}

fn states(world: &World) -> Vec<&'static str> {
    let forwarding = world.delivery.forwarding(world.alice).unwrap();
    forwarding.targets.iter().map(|target| target.state.name()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_to_an_address_that_has_not_agreed_and_a_later_code_ends_an_earlier_one() {
    let fake = Fake::obliging().await;
    let mut world = World::new(options(Some(&fake))).await;
    let target = address("x@there.example");
    let own = world.delivery.add_forward(world.alice, &address("alice@here.example")).await;
    assert!(matches!(own, Err(ForwardError::Own(_))), "{own:?}");
    assert_eq!(world.delivery.add_forward(world.alice, &target).await.unwrap(), Asked::Sent);
    let first = code_in(&fake.wait_for(1).await[0].message);
    assert_eq!(path(&fake.taken()[0].from), "", "nobody is told when it can't be delivered");
    assert!(world.delivery.forwarding(world.alice).unwrap().active().is_empty());
    assert_eq!(world.delivery.add_forward(world.alice, &address("X@There.Example")).await.unwrap(), Asked::Sent);
    let second = code_in(&fake.wait_for(2).await[1].message);
    assert_eq!(states(&world), ["unconfirmed"]);
    assert!(!world.delivery.confirm_forward(&first).await.unwrap());
    let other = second.replacen(&world.alice.0.to_string(), &world.bob.0.to_string(), 1);
    assert!(!world.delivery.confirm_forward(&other).await.unwrap());
    assert_eq!(world.delivery.forward_of_code(&other).unwrap(), None);
    assert!(world.delivery.forward_of_code(&second).unwrap().is_some());
    // After a crash it still holds.
    world = world.crash_and_return(options(Some(&fake))).await;
    assert!(world.delivery.confirm_forward(&second).await.unwrap());
    assert_eq!(states(&world), ["on"]);
    let told = world.inbox(world.alice).remove(0);
    assert!(told.replace("=\r\n", "").to_lowercase().contains("x@there.example"), "its owner is told: {told}");
    assert_eq!(world.delivery.add_forward(world.alice, &target).await.unwrap(), Asked::Already);
    assert!(world.delivery.remove_forward(world.alice, &target).await.unwrap());
    assert!(!world.delivery.remove_forward(world.alice, &target).await.unwrap());
    assert!(!world.delivery.confirm_forward(&second).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmations_expire_and_are_limited() {
    let fake = Fake::obliging().await;
    let mut world = World::new(options(Some(&fake))).await;
    let mut sent = 0;
    let refusal = loop {
        let target = address(&format!("x{}@there.example", sent % 2));
        match world.delivery.add_forward(world.alice, &target).await {
            Ok(asked) => assert_eq!(asked, Asked::Sent),
            Err(refusal) => break refusal,
        }
        sent += 1;
    };
    assert!(matches!(refusal, ForwardError::TooOften), "{refusal}");
    assert_eq!(sent, MAX_CONFIRMATIONS_PER_DAY);
    let taken = fake.wait_for(sent as usize).await;
    let code = code_in(&taken.last().unwrap().message);
    world.until_queue_is_empty().await;
    world = world.tomorrow(options(Some(&fake)), Arc::new(dnskit::Zone::new())).await;
    assert_eq!(states(&world), ["unconfirmed"; 2]);
    assert!(world.delivery.forward_of_code(&code).unwrap().is_some());
    // Another day has its own number.
    assert_eq!(world.delivery.add_forward(world.alice, &address("x9@there.example")).await.unwrap(), Asked::Sent);
    for number in 10..10 + MAX_FORWARD_TARGETS {
        let asked = world.delivery.add_forward(world.alice, &address(&format!("x{number}@there.example"))).await;
        match asked {
            Ok(Asked::Sent) => {}
            other => {
                assert!(matches!(other, Err(ForwardError::TooMany)), "{other:?}");
                break;
            }
        }
    }
    assert_eq!(states(&world).len(), MAX_FORWARD_TARGETS);
}

/// A server that refuses all recipients while the switch is off.
async fn fake_that_may_refuse() -> (Fake, Arc<std::sync::atomic::AtomicBool>) {
    let is_open = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let open = Arc::clone(&is_open);
    let fake = Fake::start(&["PIPELINING"], move |turn| {
        let refuses = !open.load(std::sync::atomic::Ordering::SeqCst) && turn.command.starts_with("RCPT");
        refuses.then_some(Answer::Say("550 5.1.1 gone"))
    })
    .await;
    (fake, is_open)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_refuses_everything_is_paused_and_its_owner_told_once() {
    let (fake, is_open) = fake_that_may_refuse().await;
    let mut world = world(options(Some(&fake)), |_| with_results(forwards(&["x@there.example"], false), "none")).await;
    world.start();
    let target = address("x@there.example");
    world.delivery.add_forward(world.alice, &target).await.unwrap();
    let code = code_in(&fake.wait_for(1).await[0].message);
    assert!(world.delivery.confirm_forward(&code).await.unwrap());
    let give = async |world: &World| {
        world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
        world.until_queue_is_empty().await;
    };
    // A success in between begins the count again.
    for round in [PAUSED_AFTER - 1, PAUSED_AFTER - 1] {
        is_open.store(false, std::sync::atomic::Ordering::SeqCst);
        for _ in 0..round {
            give(&world).await;
        }
        assert_eq!(states(&world), ["on"]);
        is_open.store(true, std::sync::atomic::Ordering::SeqCst);
        give(&world).await;
    }
    is_open.store(false, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..PAUSED_AFTER + 2 {
        give(&world).await;
    }
    assert_eq!(states(&world), ["paused"]);
    assert!(world.delivery.forwarding(world.alice).unwrap().active().is_empty());
    let told = |world: &World| world.inbox(world.alice).iter().filter(|message| message.contains("is paused")).count();
    world.until(world.alice.realm(), |world| told(world) == 1).await;
    assert_eq!(told(&world), 1);
    assert_eq!(world.delivery.add_forward(world.alice, &target).await.unwrap(), Asked::Resumed);
    assert_eq!(states(&world), ["on"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_an_address_was_paused_does_not_lose_the_notice() {
    let (fake, is_open) = fake_that_may_refuse().await;
    let plan = |_: &EmailAddress| with_results(forwards(&["x@there.example"], false), "none");
    let mut world = world(options(Some(&fake)), plan).await;
    world.start();
    world.delivery.add_forward(world.alice, &address("x@there.example")).await.unwrap();
    let code = code_in(&fake.wait_for(1).await[0].message);
    assert!(world.delivery.confirm_forward(&code).await.unwrap());
    is_open.store(false, std::sync::atomic::Ordering::SeqCst);
    for _ in 1..PAUSED_AFTER {
        world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
        world.until_queue_is_empty().await;
    }
    world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
    // At the very commit that pauses it, or soon after.
    world.until(world.alice.realm(), |world| states(world) == ["paused"]).await;
    let told = |world: &World| world.inbox(world.alice).iter().filter(|message| message.contains("is paused")).count();
    for _ in 0..2 {
        world = world.crash_and_return(options(Some(&fake))).await;
        world.start();
        world.until(world.alice.realm(), |world| told(world) > 0).await;
    }
    // What is looked at after it is looked at after everything that was owed before.
    world.delivery.remove_forward(world.alice, &address("x@there.example")).await.unwrap();
    assert_eq!(told(&world), 1);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_address_is_good_for_three_weeks_whatever_new_secret_was_made_since() {
    let fake = Fake::obliging().await;
    let (stopped, clock) = World::with_clock(options(Some(&fake))).await;
    let plan = |_: &EmailAddress| with_results(forwards(&["x@there.example"], true), SPF);
    let mut world = stopped.with_judges(options(Some(&fake)), vec![Arc::new(Rules(Arc::new(plan)))]);
    world.start();
    let secrets = |world: &World| world.directory.service_records("srs/").unwrap().len();
    let mut made = Vec::new();
    // How many days pass before each message, and how many secrets there are then: one is made when the newest is 30 days old, and one
    // is dropped with the next, once no address of it is good any more.
    for (days, count) in [(0, 1), (29, 1), (1, 2), (20, 2), (2, 2), (8, 2)] {
        clock.pass(std::time::Duration::from_hours(24 * days));
        world.delivery.accept(from_far(&["alice@here.example"]), MESSAGE).await.unwrap();
        let taken = fake.wait_for(made.len() + 1).await;
        world.until_queue_is_empty().await;
        made.push((clock.now_ms(), address(path(&taken.last().unwrap().from))));
        assert_eq!(secrets(&world), count, "after {days} more days");
        for (at_ms, address) in &made {
            let age = (clock.now_ms() - at_ms) / DAY_MS;
            let led_back = world.delivery.rcpt_from(address, None, None);
            assert_eq!(led_back.is_ok(), age <= 21, "{age} days old: {led_back:?}");
        }
    }
    // What was made with a secret that another service has is nobody's here.
    let other = World::stopped(options(None)).await;
    let refusal = other.delivery.rcpt_from(&made.last().unwrap().1, None, None).unwrap_err();
    assert_eq!((refusal.code, refusal.enhanced), (550, (5, 1, 1)));
}
