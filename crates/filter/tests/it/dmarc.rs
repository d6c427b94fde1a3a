//! DMARC: the walk up the tree, the organization's domain, and the policy that applies (RFC 9989).

use dnskit::{DnsError, Kind, Zone};
use filter::sender::Outcome;
use filter::sender::dmarc::{Policy, Proof, check, names_up, organization, walk};

use crate::now;

fn zone(records: &[(&str, &str)]) -> Zone {
    let zone = Zone::new();
    for (domain, record) in records {
        zone.text(&format!("_dmarc.{domain}"), record);
    }
    zone
}

#[test]
fn a_walk_has_at_most_eight_questions() {
    assert_eq!(names_up("a.mail.example.com"), ["a.mail.example.com", "mail.example.com", "example.com", "com"]);
    // The example of RFC 9989 section 4.10: from ten labels down to seven at once.
    let long = "a.b.c.d.e.f.g.h.i.j.mail.example.com";
    let names = names_up(long);
    assert_eq!(names.len(), 8);
    assert_eq!((names[0], names[1], names[7]), (long, "g.h.i.j.mail.example.com", "com"));
    assert_eq!(names_up("a.b.c.d.e.f.example.com").len(), 8);
    assert_eq!(names_up("com"), ["com"]);
}

#[test]
fn the_organization_is_found_by_what_is_published() {
    for (records, domain, expected) in [
        (&[("example.com", "v=DMARC1; p=none")][..], "a.mail.example.com", "example.com"),
        (
            &[("example.com", "v=DMARC1; p=none"), ("mail.example.com", "v=DMARC1; p=reject")],
            "a.mail.example.com",
            "example.com",
        ),
        (
            &[("mail.example.com", "v=DMARC1; p=none; psd=n"), ("example.com", "v=DMARC1; p=none")],
            "a.mail.example.com",
            "mail.example.com",
        ),
        (&[("com", "v=DMARC1; p=none; psd=y")], "a.mail.example.com", "example.com"),
        (
            &[("giant.bank.example", "v=DMARC1; p=none"), ("bank.example", "v=DMARC1; p=reject; psd=y")],
            "mail.giant.bank.example",
            "giant.bank.example",
        ),
        (&[("bank.example", "v=DMARC1; p=reject; psd=y")], "bank.example", "bank.example"),
        (&[], "a.mail.example.com", "a.mail.example.com"),
        (
            &[("example.com", "v=DMARC1; p=none"), ("example.com", "v=DMARC1; p=reject")],
            "mail.example.com",
            "mail.example.com",
        ),
        (&[("example.com", "v=spf1 -all")], "mail.example.com", "mail.example.com"),
    ] {
        let walked = now(walk(domain, &zone(records))).unwrap();
        assert_eq!(organization(&walked, domain), expected, "{records:?}");
    }
}

#[test]
fn the_policy_is_of_the_record_that_applies() {
    let org = |record: &'static str| vec![("example.com", record)];
    for (records, author, outcome, policy) in [
        (org("v=DMARC1; p=reject"), "example.com", Outcome::Fail, Policy::Reject),
        (org("v=DMARC1; p=reject"), "there.example.com", Outcome::Fail, Policy::Reject),
        (org("v=DMARC1; p=reject; sp=none"), "there.example.com", Outcome::Fail, Policy::None),
        (org("v=DMARC1; p=none; sp=quarantine"), "example.com", Outcome::Fail, Policy::None),
        (org("v=DMARC1; p=none; sp=quarantine; np=reject"), "there.example.com", Outcome::Fail, Policy::Quarantine),
        (org("v=DMARC1; p=none; sp=quarantine; np=reject"), "gone.example.com", Outcome::Fail, Policy::Reject),
        (org("v=DMARC1; p=none; np=reject"), "gone.example.com", Outcome::Fail, Policy::Reject),
        (org("v=DMARC1; p=none; sp=reject"), "gone.example.com", Outcome::Fail, Policy::Reject),
        // Testing is one level less; `pct` is nothing.
        (org("v=DMARC1; p=reject; t=y"), "example.com", Outcome::Fail, Policy::Quarantine),
        (org("v=DMARC1; p=quarantine; t=y"), "example.com", Outcome::Fail, Policy::None),
        (org("v=DMARC1; p=reject; t=n; pct=0"), "example.com", Outcome::Fail, Policy::Reject),
        (org("v=DMARC1;p=reject;rf=afrf;ri=3600;pct=10"), "example.com", Outcome::Fail, Policy::Reject),
        (org("v=DMARC1; P=x; p = Reject ;"), "example.com", Outcome::Fail, Policy::Reject),
        // A policy that can't be used.
        (org("v=DMARC1; p=what; rua=mailto:a@example.com"), "example.com", Outcome::Fail, Policy::None),
        (org("v=DMARC1; p=what"), "example.com", Outcome::None, Policy::None),
        (org("v=DMARC1"), "example.com", Outcome::None, Policy::None),
        (org("v=DMARC1; sp=reject; rua=mailto:a@example.com"), "there.example.com", Outcome::Fail, Policy::None),
        // No records of DMARC.
        (org("v=dmarc1; p=reject"), "example.com", Outcome::None, Policy::None),
        (org("v=DMARC12; p=reject"), "example.com", Outcome::None, Policy::None),
        (org("p=reject; v=DMARC1"), "example.com", Outcome::None, Policy::None),
        (org("v=DMARC1; p=reject; psd=n"), "there.example.com", Outcome::Fail, Policy::Reject),
        // The author's own record goes first, the public suffix's is the last resort.
        (
            vec![("example.com", "v=DMARC1; p=reject"), ("there.example.com", "v=DMARC1; p=none")],
            "there.example.com",
            Outcome::Fail,
            Policy::None,
        ),
        (vec![("com", "v=DMARC1; p=none; sp=reject; psd=y")], "example.com", Outcome::Fail, Policy::Reject),
    ] {
        let zone = zone(&records);
        zone.address("there.example.com", "192.0.2.1");
        zone.address("example.com", "192.0.2.1");
        let found = now(check(author, &[], &zone));
        assert_eq!((found.outcome, found.policy), (outcome, policy), "{records:?} {author}");
    }
}

#[test]
fn what_is_proved_has_to_be_of_the_same_organization() {
    for (record, proved, spf, outcome) in [
        ("v=DMARC1; p=reject", "example.com", true, Outcome::Pass),
        ("v=DMARC1; p=reject", "a.example.com", true, Outcome::Pass),
        ("v=DMARC1; p=reject", "a.example.com", false, Outcome::Pass),
        ("v=DMARC1; p=reject; aspf=s", "a.example.com", true, Outcome::Fail),
        ("v=DMARC1; p=reject; aspf=s", "a.example.com", false, Outcome::Pass),
        ("v=DMARC1; p=reject; adkim=s", "a.example.com", false, Outcome::Fail),
        ("v=DMARC1; p=reject; adkim=s", "mail.example.com", false, Outcome::Pass),
        ("v=DMARC1; p=reject", "notexample.com", true, Outcome::Fail),
        ("v=DMARC1; p=reject", "example.com.evil.test", true, Outcome::Fail),
        ("v=DMARC1; p=reject", "com", true, Outcome::Fail),
        ("v=DMARC1; p=reject", "own.example.com", true, Outcome::Fail),
    ] {
        let zone = zone(&[("example.com", record), ("own.example.com", "v=DMARC1; p=none; psd=n")]);
        let proof = Proof { domain: proved, spf, outcome: Outcome::Pass };
        let found = now(check("mail.example.com", &[proof], &zone));
        assert_eq!(found.outcome, outcome, "{record} {proved} {spf}");
        let unsure = Proof { domain: proved, spf, outcome: Outcome::TempError };
        let expected = if outcome == Outcome::Pass { Outcome::TempError } else { outcome };
        assert_eq!(now(check("mail.example.com", &[unsure], &zone)).outcome, expected, "{record} {proved} {spf}");
    }
}

#[test]
fn a_silent_dns_is_no_answer() {
    let zone = zone(&[("example.com", "v=DMARC1; p=reject")]);
    for silent in ["_dmarc.mail.example.com", "_dmarc.example.com", "_dmarc.com"] {
        zone.say(silent, Kind::Txt, Err(DnsError::Temporary("SERVFAIL".to_owned())));
        assert_eq!(now(check("mail.example.com", &[], &zone)).outcome, Outcome::TempError, "{silent}");
        zone.remove(silent);
    }
}
