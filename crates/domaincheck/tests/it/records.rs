//! Each kind of wrong record is told apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use directory::MtaSts;
use dnskit::{Caa, Data, Kind, Mx, Srv};
use domaincheck::{Checks, Policies, Record, ServedPolicy, Sources, State, UnreadPolicy};

use crate::world::{ADDRESS, DOMAIN, HOST, SIX, World};

fn mx(all: &[(u16, &str)]) -> Vec<Data> {
    all.iter().map(|(preference, host)| Data::Mx(Mx { preference: *preference, host: (*host).to_owned() })).collect()
}

#[tokio::test]
async fn a_zone_with_all_that_was_pasted_is_right() {
    let world = World::new().await;
    let report = world.check().await;
    assert_eq!(report.codes(), [""; 0], "{report:#?}");
    assert_eq!(report.state(), State::Ok);
    assert!(report.items.iter().all(|item| !item.found.is_empty()), "{report:#?}");
    assert_eq!(world.checks.last(DOMAIN).as_deref(), Some(&*report));
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_what_is_not_answered_is_not() {
    let world = World::new().await;
    let everything: Vec<(String, Kind)> = world
        .wanted()
        .into_iter()
        .filter(|wanted| wanted.kind != "PTR" && !matches!(wanted.record, Record::NotOffered(_)))
        .map(|wanted| {
            let kind = match wanted.kind {
                "MX" => Kind::Mx,
                "SRV" => Kind::Srv,
                "CAA" => Kind::Caa,
                "TLSA" => Kind::Tlsa,
                "CNAME" | "A" => Kind::A,
                _ => Kind::Txt,
            };
            (wanted.name, kind)
        })
        .collect();
    for (name, kind) in &everything {
        world.set_all();
        world.silence(name, *kind);
        if *kind == Kind::A {
            world.silence(name, Kind::Aaaa);
        }
        let report = world.check().await;
        let codes: BTreeSet<&str> = report.codes().into_iter().collect();
        assert_eq!(codes, BTreeSet::from(["unanswered"]), "{name} {kind:?}: {report:#?}");
        assert_eq!(report.state(), State::Unanswered, "{name} {kind:?}");
    }
    world.set_all();
    for wanted in world.wanted() {
        world.zone.remove(&wanted.name);
    }
    let report = world.check().await;
    let expected = [
        "no-such-domain",
        "spf-missing",
        "dkim-vanished",
        "dkim-vanished",
        "dmarc-missing",
        "sts-missing",
        "sts-host-missing",
        "tlsrpt-missing",
        "srv-missing",
        "srv-missing",
        "discovery-missing",
        "discovery-missing",
        "host-missing",
    ];
    assert_eq!(report.codes(), expected, "{report:#?}");
}

#[tokio::test]
async fn mx_records_that_do_not_lead_here_are_told_apart() {
    let world = World::new().await;
    world.zone.address("other.example", "198.51.100.9");
    world.zone.address("alias.example", ADDRESS);
    world.zone.address("alias.example", SIX);
    world.zone.cname("cname.example", HOST);
    world.zone.address("relay.example", "198.51.100.10");
    world.service.lock().relays = vec!["relay.example".to_owned()];
    world.set_all();
    for (records, expected) in [
        (mx(&[(10, HOST), (20, "relay.example")]), &[][..]),
        (mx(&[(0, "alias.example")]), &["mx-relay-missing", "sts-mx"][..]),
        (mx(&[(10, "other.example")]), &["mx-elsewhere", "spf-not-listed", "sts-mx"]),
        (mx(&[(10, "relay.example")]), &["mx-elsewhere", "spf-not-listed"]),
        (mx(&[(10, HOST), (5, "other.example")]), &["mx-stranger-first", "mx-relay-missing", "sts-mx"]),
        (mx(&[(10, HOST), (10, "other.example")]), &["mx-stranger-first", "mx-relay-missing", "sts-mx"]),
        (mx(&[(10, HOST), (50, "other.example")]), &["mx-stranger", "mx-relay-missing", "sts-mx"]),
        (mx(&[(10, HOST), (10, "relay.example")]), &["mx-relay-first"]),
        (mx(&[(10, "cname.example")]), &["mx-cname", "mx-relay-missing", "sts-mx"]),
        (mx(&[(10, ADDRESS)]), &["mx-address", "spf-not-listed", "sts-mx"]),
        (mx(&[(10, "nowhere.example")]), &["mx-no-address", "spf-not-listed", "sts-mx"]),
        (mx(&[(0, "")]), &["mx-null", "spf-not-listed", "sts-mx"]),
        (mx(&[]), &["mx-missing", "spf-not-listed"]),
    ] {
        world.set(DOMAIN, Kind::Mx, records.clone());
        assert_eq!(world.codes().await, expected, "{records:?}");
    }
}

#[tokio::test]
async fn spf_records_that_do_not_let_us_send_are_told_apart() {
    let world = World::new().await;
    world.set_text("ok.example", &["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"]);
    world.set_text("loop.example", &["v=spf1 include:loop.example -all"]);
    world.set_text("none.example", &["hello"]);
    let many: String = (0..11).map(|n| format!(" include:i{n}.example")).collect();
    for n in 0..11 {
        world.set_text(&format!("i{n}.example"), &["v=spf1 ip4:198.51.100.1 ~all"]);
    }
    world.set_text(
        "nest.example",
        &["v=spf1 include:i1.example include:i2.example include:i3.example include:i4.example ?all"],
    );
    world.silence("silent.example", Kind::Txt);
    world.zone.address("web.example", ADDRESS);
    world.zone.address("web.example", SIX);
    for (record, expected) in [
        ("v=spf1 mx -all", &[][..]),
        ("V=SPF1 MX ~ALL", &[]),
        ("v=spf1 a:mail.example.net -all", &[]),
        ("v=spf1 a:web.example/28//64 -all", &[]),
        ("v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all", &[]),
        ("v=spf1 include:ok.example -all", &[]),
        ("v=spf1 redirect=ok.example", &[]),
        ("v=spf1 exists:%{i}._spf.example -all", &[]),
        ("v=spf1 -all", &["spf-not-listed"]),
        ("v=spf1 ip4:192.0.2.25 -all", &["spf-not-listed"]),
        ("v=spf1 -ip4:192.0.2.0/24 mx -all", &["spf-not-listed"]),
        ("v=spf1 ~mx -all", &["spf-not-listed"]),
        ("v=spf1 a -all", &["spf-not-listed"]),
        ("v=spf1 include:i1.example -all", &["spf-not-listed"]),
        ("v=spf1 mx", &["spf-no-all"]),
        ("v=spf1 mx -all include:ok.example", &["spf-after-all"]),
        ("v=spf1 mx +all", &["spf-all"]),
        ("v=spf1 all", &["spf-all"]),
        ("v=spf1 mx ptr -all", &["spf-ptr"]),
        ("v=spf1 mx ip4:mail.example.net -all", &["spf-syntax"]),
        ("v=spf1 mx ip4:192.0.2.0/33 -all", &["spf-syntax"]),
        ("v=spf1 mx; -all", &["spf-syntax"]),
        ("v=spf1 mx incldue:ok.example -all", &["spf-syntax"]),
        ("v=spf1 mx include:none.example -all", &["spf-include"]),
        ("v=spf1 mx include:nowhere.example -all", &["spf-include"]),
        ("v=spf1 mx include:loop.example -all", &["spf-deep", "spf-lookups"]),
        (&format!("v=spf1 mx{many} -all"), &["spf-lookups"]),
        ("v=spf1 mx include:nest.example include:nest.example -all", &["spf-lookups"]),
        ("v=spf1 mx include:nest.example a a a a -all", &[]),
        ("v=spf1 mx include:silent.example -all", &["unanswered"]),
        ("\"v=spf1 mx -all\"", &["spf-typo"]),
        (" v=spf1 mx -all", &["spf-typo"]),
        ("spf1 mx -all", &["spf-typo"]),
        ("v=spf2 mx -all", &["spf-typo"]),
        ("google-site-verification=x", &["spf-missing"]),
    ] {
        world.set_text(DOMAIN, &[record, "another=text"]);
        assert_eq!(world.codes().await, expected, "{record}");
    }
    world.set_text(DOMAIN, &["v=spf1 include:ok.example ~all", "v=spf1 a:web.example -all"]);
    let report = world.check().await;
    assert_eq!(report.codes(), ["spf-two"]);
    let spf = report.items.iter().find(|item| item.title == "SPF").unwrap();
    assert_eq!(spf.wanted, ["v=spf1 mx include:ok.example a:web.example ~all"]);
    // What is to be pasted is right.
    world.set_text(DOMAIN, &[&spf.wanted[0]]);
    assert_eq!(world.codes().await, [""; 0]);
}

#[tokio::test]
async fn mail_through_another_server_is_listed_by_its_addresses() {
    let world = World::new().await;
    world.zone.address("smart.example", "203.0.113.5");
    world.service.lock().smarthost = Some("smart.example".to_owned());
    world.set_text(DOMAIN, &["v=spf1 mx -all"]);
    let report = world.check().await;
    assert_eq!(report.codes(), ["spf-not-listed"]);
    world.set_text(DOMAIN, &[&report.items.iter().find(|item| item.title == "SPF").unwrap().wanted[0]]);
    assert_eq!(world.codes().await, [""; 0]);
}

#[tokio::test]
async fn dmarc_records_are_read_and_mail_that_would_fail_is_noticed() {
    let world = World::new().await;
    let name = format!("_dmarc.{DOMAIN}");
    world.set_text(&format!("{DOMAIN}._report._dmarc.reports.example"), &["v=DMARC1"]);
    for (records, expected) in [
        (&["v=DMARC1; p=reject; rua=mailto:a@example.org"][..], &[][..]),
        (&["v=DMARC1;p=quarantine;rua=mailto:a@reports.example"], &[]),
        (&["v=DMARC1; p=quarantine; rua=mailto:a@sub.example.org!10m, MAILTO:b@example.org"], &[]),
        (&["v=DMARC1; p=none; rua=mailto:a@example.org"], &["dmarc-none"]),
        (&["v=DMARC1; p=reject"], &["dmarc-no-reports"]),
        (&["v=DMARC1; p=reject; rua=a@example.org"], &["dmarc-reports"]),
        (&["v=DMARC1; p=reject; rua=mailto:a@other.example"], &["dmarc-reports-refused"]),
        (&["v=DMARC1; p=rejct; rua=mailto:a@example.org"], &["dmarc-policy"]),
        (&["v=DMARC1; rua=mailto:a@example.org"], &["dmarc-policy"]),
        (&["dmarc1; p=reject"], &["dmarc-typo"]),
        (&["\"v=DMARC1; p=reject\""], &["dmarc-typo"]),
        (&["v=DMARC1; p=none", "v=DMARC1; p=reject"], &["dmarc-two"]),
        (&["something else"], &["dmarc-missing"]),
    ] {
        world.set_text(&name, records);
        assert_eq!(world.codes().await, expected, "{records:?}");
    }
    world.set_all();
    world.set_text(DOMAIN, &["v=spf1 -all"]);
    let names = world.domain().dkim.iter().map(|key| key.dns_name(DOMAIN)).collect::<Vec<_>>();
    world.set_text(&names[0], &["v=DKIM1; k=rsa; p="]);
    assert_eq!(world.codes().await, ["spf-not-listed", "dkim-revoked"], "one signature still is right");
    world.set_text(&names[1], &[]);
    assert_eq!(world.codes().await, ["spf-not-listed", "dkim-revoked", "dkim-vanished", "dmarc-unaligned"]);
    world.set_text(&name, &["v=DMARC1; p=none; rua=mailto:a@example.org"]);
    assert_eq!(world.codes().await, ["spf-not-listed", "dkim-revoked", "dkim-vanished", "dmarc-none"]);
}

#[tokio::test]
async fn keys_at_the_wrong_place_or_twice_are_found() {
    let world = World::new().await;
    let key = world.domain().dkim[0].clone();
    let (name, text) = (key.dns_name(DOMAIN), key.dns_record());
    world.set_text(&name, &[]);
    world.zone.text(&format!("{name}.{DOMAIN}"), &text);
    assert_eq!(world.codes().await, ["name-twice"]);
    world.set_text(&name, &[&text, "v=DKIM1; k=rsa; p=AAAA"]);
    assert_eq!(world.codes().await, ["dkim-two"]);
}

#[tokio::test]
async fn the_host_has_addresses_with_names_that_lead_back() {
    let world = World::new().await;
    let reverse = dnskit::reverse_name(ADDRESS.parse().unwrap());
    let name = |name: &str| vec![Data::Name(name.to_owned())];
    world.zone.address("pool.provider.example", ADDRESS);
    world.zone.address("wrong.provider.example", "203.0.113.99");
    for (records, expected) in [
        (name(HOST), &[][..]),
        (vec![], &["ptr-missing"][..]),
        (name("pool.provider.example"), &["ptr-other"]),
        (name("wrong.provider.example"), &["ptr-forward"]),
        (name("nowhere.example"), &["ptr-forward"]),
        ([name("nowhere.example"), name(HOST)].concat(), &[]),
    ] {
        world.set(&reverse, Kind::Ptr, records.clone());
        assert_eq!(world.codes().await, expected, "{records:?}");
    }
    world.silence(&reverse, Kind::Ptr);
    assert_eq!(world.codes().await, ["unanswered"]);
    world.set_all();
    world.service.lock().addresses = vec!["198.51.100.1".parse().unwrap()];
    let codes = world.codes().await;
    assert!(codes.contains(&"host-address".to_owned()) && codes.contains(&"ptr-missing".to_owned()), "{codes:?}");
    world.service.lock().addresses = vec![ADDRESS.parse().unwrap(), SIX.parse().unwrap()];
    assert_eq!(world.codes().await, [""; 0]);
    world.service.lock().hostname = "localhost".to_owned();
    assert!(world.codes().await.contains(&"host-local".to_owned()));
}

#[tokio::test]
async fn caa_tlsa_srv_and_tls_reports() {
    let world = World::new().await;
    let caa = |tag: &str, value: &str, critical| {
        vec![Data::Caa(Caa { critical, tag: tag.to_owned(), value: value.as_bytes().to_vec() })]
    };
    for (records, expected) in [
        (caa("issue", "ca.example", false), &[][..]),
        (caa("issue", "CA.example; validationmethods=dns-01", false), &[]),
        (caa("issue", "other.example", false), &["caa-forbids"][..]),
        (caa("issue", ";", false), &["caa-forbids"]),
        (caa("issuewild", ";", false), &[]),
        (caa("iodef", "mailto:a@example.org", true), &[]),
        (caa("strange", "x", true), &["caa-forbids"]),
        (caa("strange", "x", false), &[]),
        (vec![], &[]),
    ] {
        world.set(DOMAIN, Kind::Caa, records.clone());
        assert_eq!(world.codes().await, expected, "{records:?}");
    }
    // The host's own zone may forbid it too.
    world.set("example.net", Kind::Caa, caa("issue", "other.example", false));
    assert_eq!(world.codes().await, ["caa-forbids"]);
    world.set(HOST, Kind::Caa, caa("issue", "ca.example", false));
    assert_eq!(world.codes().await, [""; 0], "the nearer record counts");
    world.zone.remove("example.net");

    world.zone.remove(&format!("_25._tcp.{HOST}"));
    assert_eq!(world.codes().await, [""; 0]);
    world.tlsa(&"cd".repeat(32));
    assert_eq!(world.codes().await, ["tlsa-other"]);
    world.tlsa(&"ab".repeat(32));
    assert_eq!(world.codes().await, [""; 0], "the next key may be there already");

    let srv = |priority, port, host: &str| Data::Srv(Srv { priority, weight: 1, port, host: host.to_owned() });
    let name = format!("_imaps._tcp.{DOMAIN}");
    for (records, expected) in [
        (vec![srv(5, 993, HOST), srv(10, 993, "other.example")], &[][..]),
        (vec![srv(0, 1993, HOST)], &["srv-port"][..]),
        (vec![srv(0, 993, "other.example"), srv(5, 993, HOST)], &["srv-elsewhere"]),
        (vec![srv(0, 0, "")], &["srv-none"]),
        (vec![], &["srv-missing"]),
    ] {
        world.set(&name, Kind::Srv, records.clone());
        assert_eq!(world.codes().await, expected, "{records:?}");
    }
    let off = format!("_pop3s._tcp.{DOMAIN}");
    for (record, expected) in
        [(srv(0, 995, HOST), &["srv-off"][..]), (srv(0, 995, "other.example"), &[]), (srv(0, 0, ""), &[])]
    {
        world.set_all();
        world.set(&off, Kind::Srv, vec![record.clone()]);
        assert_eq!(world.codes().await, expected, "{record:?}");
    }
    world.zone.remove(&off);
    world.set_all();
    let name = format!("_smtp._tls.{DOMAIN}");
    for (texts, expected) in [
        (&["v=TLSRPTv1; rua=https://a.example/x"][..], &[][..]),
        (&["v=TLSRPTv1"], &["tlsrpt-address"]),
        (&["TLSRPTv1; rua=mailto:a@b.example"], &["tlsrpt-typo"]),
        (&["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@b.example"], &["tlsrpt-two"]),
    ] {
        world.set_text(&name, texts);
        assert_eq!(world.codes().await, expected, "{texts:?}");
    }
    world.set_all();
    let name = format!("autoconfig.{DOMAIN}");
    world.zone.remove(&name);
    world.zone.address(&name, "203.0.113.77");
    assert_eq!(world.codes().await, ["discovery-elsewhere"]);
}

#[tokio::test]
async fn an_mta_sts_record_fits_the_policy_and_the_policy_fits_the_mx_records() {
    let world = World::new().await;
    let (record, host) = (format!("_mta-sts.{DOMAIN}"), format!("mta-sts.{DOMAIN}"));
    for (texts, expected) in [
        (&["v=STSv1; id=1"][..], &["sts-id"][..]),
        (&["v=STSv1"], &["sts-id"]),
        (&["STSv1; id=1"], &["sts-typo"]),
        (&["v=STSv1; id=1", "v=STSv1; id=2"], &["sts-two"]),
    ] {
        world.set_text(&record, texts);
        assert_eq!(world.codes().await, expected, "{texts:?}");
    }
    world.set_all();
    // The mode belongs to the policy: its id is another one.
    world.directory.set_mta_sts(DOMAIN, MtaSts::Enforce).await.unwrap();
    assert_eq!(world.codes().await, ["sts-id"]);
    world.set_all();
    assert_eq!(world.codes().await, [""; 0]);
    world.zone.address("backup.example", "203.0.113.1");
    world.set(DOMAIN, Kind::Mx, mx(&[(10, HOST), (20, "backup.example")]));
    assert_eq!(world.codes().await, ["mx-stranger", "sts-mx"]);
    world.set_all();
    world.zone.remove(&host);
    assert_eq!(world.codes().await, ["sts-host-missing"]);
    world.zone.address(&host, "203.0.113.1");
    assert_eq!(world.codes().await, ["sts-host-elsewhere"]);
    world.set_all();
    world.service.lock().certificate.as_mut().unwrap().names = vec![HOST.to_owned()];
    assert_eq!(world.codes().await, ["sts-certificate"]);
    world.service.lock().certificate = None;
    assert_eq!(world.codes().await, [""; 0], "what is not known is not wrong");
    world.directory.set_mta_sts(DOMAIN, MtaSts::None).await.unwrap();
    assert_eq!(world.codes().await, [""; 0]);
}

#[tokio::test]
async fn a_zone_file_has_each_record_and_long_texts_in_strings() {
    let world = World::new().await;
    let zone = world.checks.zone(DOMAIN).unwrap();
    for wanted in world.wanted().iter().filter(|wanted| !wanted.elsewhere) {
        for value in wanted.values() {
            let line = format!("{}. 3600 IN {} {value}", wanted.name, wanted.kind);
            assert!(zone.lines().any(|there| there == line), "{line}\n{zone}");
        }
    }
    for line in zone.lines().filter(|line| !line.starts_with(';')) {
        for string in line.split('"').skip(1).step_by(2) {
            assert!(string.len() <= 255, "{line}");
        }
    }
    assert!(zone.lines().any(|line| line.contains("hf-rsa") && line.matches('"').count() == 4), "{zone}");
}

#[tokio::test]
async fn hostile_records_cost_a_limited_number_of_questions() {
    let world = World::new().await;
    // Each record includes ten others, without end.
    for n in 0..2000 {
        let includes: String = (1..=10).map(|k| format!(" include:h{}.example", n * 10 + k)).collect();
        world.set_text(&format!("h{n}.example"), &[&format!("v=spf1{includes} -all")]);
    }
    world.set_text(DOMAIN, &["v=spf1 mx include:h0.example -all"]);
    let report = world.check().await;
    assert!(report.codes().contains(&"spf-lookups"), "{:?}", report.codes());
}

#[tokio::test]
async fn the_services_other_names_are_wanted_beside_the_first_and_looked_for() {
    let world = World::new().await;
    world.service.lock().also_known_as = vec!["mail2.example.com".to_owned()];
    let wanted = world.wanted();
    let of = |name: &str| {
        let found = wanted.iter().find(|wanted| wanted.name == name && wanted.kind != "NS");
        found.map(|wanted| wanted.records.clone()).unwrap_or_default()
    };
    assert_eq!(of(DOMAIN), [format!("10 {HOST}."), "11 mail2.example.com.".to_owned()]);
    assert_eq!(of("_imaps._tcp.example.org"), [format!("0 1 993 {HOST}."), "10 1 993 mail2.example.com.".to_owned()]);
    // Only the first name is in the zone.
    let codes = world.codes().await;
    assert!(codes.contains(&"host-missing".to_owned()) && codes.contains(&"srv-other-name".to_owned()), "{codes:?}");
    world.set_all();
    world.zone.address("mail2.example.com", ADDRESS);
    assert_eq!(world.codes().await, [""; 0]);
    // An address that is another machine's.
    world.service.lock().addresses = vec![ADDRESS.parse().unwrap(), SIX.parse().unwrap()];
    world.zone.remove("mail2.example.com");
    world.zone.address("mail2.example.com", "192.0.2.99");
    assert!(world.codes().await.contains(&"host-address".to_owned()));
}

#[tokio::test]
async fn relays_are_in_the_dns_with_an_address_in_another_network() {
    let world = World::new().await;
    world.service.lock().relays = vec!["relay.example.".to_owned()];
    world.set_all();
    for (address, expected) in [
        ("198.51.100.10", &[][..]),
        ("192.0.2.200", &["mx-relay-near"][..]),
        ("2001:db8:0:9::1", &["mx-relay-near"]),
        ("2001:db8:1::1", &[]),
    ] {
        world.zone.remove("relay.example");
        world.zone.address("relay.example", address);
        assert_eq!(world.codes().await, expected, "{address}");
    }
    world.zone.remove("relay.example");
    assert_eq!(world.codes().await, ["mx-relay-no-address"]);
    world.silence("relay.example", Kind::A);
    world.silence("relay.example", Kind::Aaaa);
    assert_eq!(world.codes().await, ["unanswered"; 2], "for MX and SPF");
}

#[tokio::test]
async fn a_domain_that_is_only_another_name_can_have_no_mail() {
    let world = World::new().await;
    world.zone.address("web.example", "198.51.100.80");
    world.zone.remove(DOMAIN);
    world.zone.cname(DOMAIN, "web.example");
    let codes = world.codes().await;
    assert_eq!(codes[0], "domain-cname", "{codes:?}");
    assert!(!codes.contains(&"mx-missing".to_owned()), "{codes:?}");
}

#[tokio::test]
async fn what_a_wildcard_record_answers_is_not_taken_for_a_record() {
    let world = World::new().await;
    let everywhere = "v=spf1 -all";
    let names = [format!("_dmarc.{DOMAIN}"), format!("_mta-sts.{DOMAIN}"), format!("_smtp._tls.{DOMAIN}")];
    let key = world.domain().dkim[0].dns_name(DOMAIN);
    for name in names.iter().chain([&key, &format!("_holdfast-no-such-name.{DOMAIN}")]) {
        world.set_text(name, &[everywhere]);
    }
    let report = world.check().await;
    let codes: BTreeSet<&str> = report.codes().into_iter().collect();
    assert_eq!(codes, BTreeSet::from(["dkim-missing", "dmarc-missing", "sts-missing", "tlsrpt-missing"]));
    let faults: Vec<_> = report.items.iter().flat_map(|item| &item.faults).collect();
    assert!(faults.iter().all(|fault| fault.says.contains("*.example.org")), "{report:#?}");
    // The right record may come from a wildcard too.
    world.set_text(&names[2], &["v=TLSRPTv1; rua=mailto:a@example.org"]);
    world.set_text(&format!("_holdfast-no-such-name.{DOMAIN}"), &["v=TLSRPTv1; rua=mailto:a@example.org"]);
    assert!(!world.codes().await.contains(&"tlsrpt-missing".to_owned()));
}

#[tokio::test]
async fn an_address_of_this_machine_that_the_dns_lacks_is_named() {
    let world = World::new().await;
    world.service.lock().addresses = vec![ADDRESS.parse().unwrap(), SIX.parse().unwrap()];
    assert_eq!(world.codes().await, [""; 0]);
    world.zone.remove(HOST);
    world.zone.address(HOST, ADDRESS);
    assert!(world.codes().await.contains(&"host-address-missing".to_owned()));
}

/// A web server as others find it.
struct Web(Result<ServedPolicy, UnreadPolicy>);

#[async_trait::async_trait]
impl Policies for Web {
    async fn read(&self, domain: &str) -> Result<ServedPolicy, UnreadPolicy> {
        assert_eq!(domain, DOMAIN);
        self.0.clone()
    }
}

#[tokio::test]
async fn the_policy_is_read_as_others_read_it_once_it_is_announced() {
    let world = World::new().await;
    let served = |mode: &str, hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Ok(ServedPolicy { mode: mode.to_owned(), hosts })
    };
    let unread = |reached| Err(UnreadPolicy { why: "HTTP status 404".to_owned(), reached });
    let check = async |policy| {
        let sources = Sources { policies: Some(Arc::new(Web(policy))), ..Sources::only(world.zone.clone()) };
        let checks = Checks::asking(world.directory.clone(), sources, crate::world::service);
        let report = checks.check(DOMAIN).await.unwrap().0;
        (report.codes().join(" "), report.state())
    };
    for (policy, expected) in [
        (served("testing", &[HOST]), ("", State::Ok)),
        (served("enforce", &[HOST]), ("sts-policy-other", State::Warning)),
        (served("testing", &[HOST, "old.example"]), ("sts-policy-other", State::Warning)),
        (unread(true), ("sts-policy-unread", State::Warning)),
        (unread(false), ("sts-policy-unread", State::Advice)),
    ] {
        let found = check(policy.clone()).await;
        assert_eq!((found.0.as_str(), found.1), expected, "{policy:?}");
    }
    world.set_text(&format!("_mta-sts.{DOMAIN}"), &[]);
    assert_eq!(check(unread(true)).await.0, "sts-missing", "it is not announced");
}
