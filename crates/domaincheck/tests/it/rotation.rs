//! New DKIM keys wait for the DNS, and a DNS that is silent changes nothing.

use directory::DkimState;
use dnskit::Kind;
use domaincheck::{Checks, DKIM_VANISHED};

use crate::world::{DOMAIN, World};

fn selectors(world: &World) -> Vec<String> {
    world.domain().dkim.iter().map(|key| key.selector().to_owned()).collect()
}

#[tokio::test]
async fn new_keys_are_used_once_their_records_are_seen() {
    let world = World::new().await;
    world.check().await;
    let old = selectors(&world);
    world.directory.prepare_dkim(DOMAIN).await.unwrap();
    let report = world.check().await;
    assert_eq!(report.codes(), ["dkim-waiting", "dkim-waiting"]);
    assert_eq!(selectors(&world), old);
    let waiting: Vec<_> = world.domain().all_dkim.into_iter().filter(|key| key.state() == DkimState::Waiting).collect();
    for key in &waiting {
        world.silence(&key.dns_name(DOMAIN), Kind::Txt);
    }
    assert_eq!(world.check().await.codes(), ["unanswered", "unanswered"]);
    assert_eq!(selectors(&world), old);
    for key in &waiting {
        world.set_text(&key.dns_name(DOMAIN), &[&key.dns_record().replace(';', " ; ")]);
    }
    let (report, began) = world.checks.check(DOMAIN).await.unwrap();
    assert_eq!(report.codes(), [""; 0], "{report:#?}");
    let new: Vec<String> = waiting.iter().map(|key| key.selector().to_owned()).collect();
    assert_eq!(began, new);
    assert_eq!(selectors(&world), new);
    // The old record stays for a while; one that goes at once is noticed.
    for selector in &old {
        world.set_text(&format!("{selector}._domainkey.{DOMAIN}"), &[]);
    }
    assert_eq!(world.check().await.codes(), ["dkim-old-missing", "dkim-old-missing"]);
}

#[tokio::test]
async fn a_record_that_vanishes_is_told_from_one_that_was_never_there() {
    let world = World::new().await;
    let name = world.domain().dkim[0].dns_name(DOMAIN);
    world.set_text(&name, &[]);
    for _ in 0..2 {
        assert_eq!(world.check().await.codes(), ["dkim-missing"]);
    }
    world.set_all();
    assert_eq!(world.check().await.codes(), [""; 0]);
    world.silence(&name, Kind::Txt);
    assert_eq!(world.check().await.codes(), ["unanswered"]);
    world.set_text(&name, &[]);
    for _ in 0..2 {
        assert_eq!(world.check().await.codes(), [DKIM_VANISHED]);
    }
}

#[tokio::test]
async fn reports_outlast_the_process_and_a_damaged_file_is_begun_again() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reports");
    let again = || Checks::new(world.directory.clone(), world.zone.clone(), crate::world::service).kept_in(&file);
    let (report, _) = again().check(DOMAIN).await.unwrap();
    assert_eq!(again().last(DOMAIN), Some(report));
    std::fs::write(&file, b"[{").unwrap();
    assert_eq!(again().last(DOMAIN), None);
    again().check(DOMAIN).await.unwrap();
    world.directory.add_domain("other.example").await.unwrap();
    world.directory.remove_domain(DOMAIN).await.unwrap();
    let checks = again();
    checks.check("other.example").await.unwrap();
    assert_eq!(checks.last(DOMAIN), None);
    assert!(checks.check(DOMAIN).await.is_err());
}
