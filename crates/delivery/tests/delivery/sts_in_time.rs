//! MTA-STS policies as time passes: when they are fetched again, and what becomes of mail that waits.

use std::sync::Arc;
use std::time::Duration;

use dnskit::Resolver;
use store::RealmId;

use crate::fake::{Answer, Fake};
use crate::sts::{Far, MX, WEEK, secured, send, send_wishing};
use crate::world::{Still, World};

fn announce(far: &Far, id: &str) {
    far.zone.remove("_mta-sts.far.example");
    far.zone.text("_mta-sts.far.example", &format!("v=STSv1; id={id};"));
}

/// Waits for something while seconds pass: a host that failed rests a little.
async fn while_time_passes<T>(clock: &Still, what: impl Future<Output = T>) -> T {
    let ticks = async {
        loop {
            clock.pass(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        done = what => done,
        () = ticks => unreachable!("time does not end"),
    }
}

/// Sends, and waits until nothing of it is left.
async fn arrives(far: &Far, world: &World) {
    let before = far.fake.taken().len();
    send(world).await;
    far.fake.wait_for(before + 1).await;
    world.until_queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_fetched_again_when_its_id_changes_or_its_end_is_near_and_not_before() {
    let mut far = Far::new(&["STARTTLS"], |authority| authority.server(&[MX])).await;
    far.options.keep_connection = Duration::ZERO;
    far.web.policy("enforce", MX, 40 * 86_400);
    let (world, clock) = far.world_with_clock().await;
    arrives(&far, &world).await;
    // The id is the same: what the web server says now is not looked at.
    far.web.policy("enforce", "other.example", WEEK);
    clock.pass(Duration::from_hours(24 * 20));
    arrives(&far, &world).await;
    assert_eq!(far.web.requests(), 1);
    // Less than a week is left of it.
    far.web.policy("enforce", MX, 40 * 86_400);
    clock.pass(Duration::from_hours(24 * 14));
    arrives(&far, &world).await;
    assert_eq!(far.web.requests(), 2);
    announce(&far, "2");
    arrives(&far, &world).await;
    assert_eq!(far.web.requests(), 2, "it was fetched a moment ago");
    clock.pass(Duration::from_mins(5));
    arrives(&far, &world).await;
    assert_eq!(far.web.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_that_fails_is_asked_less_and_less_and_what_is_known_holds() {
    let mut far = Far::new(&["STARTTLS"], |authority| authority.server(&[MX])).await;
    far.options.keep_connection = Duration::ZERO;
    far.web.policy("enforce", MX, WEEK);
    let (world, clock) = far.world_with_clock().await;
    arrives(&far, &world).await;
    announce(&far, "2");
    far.web.say("500 No", "text/plain", "");
    let mut asked = Vec::new();
    for minute in (5..=200).step_by(5) {
        clock.pass(Duration::from_mins(5));
        let before = far.web.requests();
        arrives(&far, &world).await;
        if far.web.requests() > before {
            asked.push(minute);
        }
    }
    assert_eq!(asked, [5, 10, 20, 40, 80, 140, 200], "after 5 minutes, then 5, 10, 20, 40, 60 and 60");
    let bad = Fake::secured(&["STARTTLS"], far.authority.expired(&[MX]).acceptor, |_| None).await;
    far.options.mx_port = bad.address.port();
    let resolver = Arc::clone(&far.zone) as Arc<dyn Resolver>;
    let (mut world, options) = (world, far.options.clone());
    world.stop().await;
    let mut world = world.with_resolver(options, resolver);
    world.start();
    send(&world).await;
    assert_eq!(secured(&world).await.0.policy, "MTA-STS enforce", "the policy that was fetched last");
    assert_eq!(bad.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_waits_for_a_policy_goes_when_the_policy_is_changed() {
    for (change, goes) in [("none", true), ("testing", true), ("enforce", false), ("gone", false)] {
        let far = Far::new(&["STARTTLS"], |authority| authority.expired(&[MX])).await;
        far.web.policy("enforce", MX, WEEK);
        let (world, clock) = far.world_with_clock().await;
        send(&world).await;
        assert!(secured(&world).await.0.failed, "{change}");
        if change == "gone" {
            // Record and policy are removed; the policy that was fetched holds to its end (RFC 8461 section 5.1).
            far.zone.remove("_mta-sts.far.example");
            far.web.say("404 Not Found", "text/plain", "");
        } else {
            announce(&far, "2");
            far.web.policy(change, MX, WEEK);
        }
        let attempts = |world: &World| world.only_queued().recipients[0].attempts;
        let before = attempts(&world);
        clock.pass(Duration::from_mins(6));
        if goes {
            while_time_passes(&clock, far.fake.wait_for(1)).await;
            world.until_queue_is_empty().await;
        } else {
            while_time_passes(&clock, world.until(RealmId::QUEUE, |world| attempts(world) > before)).await;
            assert_eq!((secured(&world).await.0.failed, far.fake.taken().len()), (true, 0), "{change}");
        }
        if change == "gone" {
            clock.pass(Duration::from_secs(u64::from(WEEK)));
            // The message has expired too by then: another one goes.
            send(&world).await;
            while_time_passes(&clock, far.fake.wait_for(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_without_any_time_holds_for_the_moment_and_is_not_kept() {
    let far = Far::new(&["STARTTLS"], |authority| authority.expired(&[MX])).await;
    far.web.policy("enforce", MX, 0);
    let world = far.world().await;
    send(&world).await;
    assert!(secured(&world).await.0.failed, "it says so now");
    assert_eq!((far.fake.taken().len(), far.web.requests()), (0, 1));
    // After a restart nothing is known of it.
    far.web.say("404 Not Found", "text/plain", "");
    let world = world.crash_and_return(far.options.clone()).await;
    let mut world = world.with_resolver(far.options.clone(), Arc::clone(&far.zone) as Arc<dyn Resolver>);
    world.start();
    far.fake.wait_for(1).await;
    world.until_queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sender_wishes_of_the_way_survives_a_crash() {
    // The server puts everything off until the service has come back.
    let is_open = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for (field, required) in [("", true), ("TLS-Required: No\r\n", false)] {
        is_open.store(false, std::sync::atomic::Ordering::SeqCst);
        let mut far = Far::new(&["STARTTLS", "REQUIRETLS"], |authority| authority.server(&[MX])).await;
        let open = Arc::clone(&is_open);
        let server = if required { far.authority.server(&[MX]) } else { far.authority.expired(&[MX]) };
        far.fake = Fake::secured(&["STARTTLS", "REQUIRETLS"], server.acceptor, move |turn| {
            let later = !open.load(std::sync::atomic::Ordering::SeqCst) && turn.command.starts_with("RCPT");
            later.then_some(Answer::Say("450 4.2.0 later"))
        })
        .await;
        far.options.mx_port = far.fake.address.port();
        far.web.policy("enforce", MX, WEEK);
        let world = far.world().await;
        send_wishing(&world, required, field).await;
        far.fake.wait_for_command("RCPT TO:<x@far.example>").await;
        let world = world.crash_and_return(far.options.clone()).await;
        let mut world = world.with_resolver(far.options.clone(), Arc::clone(&far.zone) as Arc<dyn Resolver>);
        is_open.store(true, std::sync::atomic::Ordering::SeqCst);
        world.start();
        let taken = far.fake.wait_for(1).await.remove(0);
        assert_eq!((taken.tls, taken.from.ends_with(" REQUIRETLS")), (true, required), "{taken:?}");
        assert_eq!(taken.message.contains("TLS-Required: No"), !required);
        world.until_queue_is_empty().await;
        world.check();
    }
}
