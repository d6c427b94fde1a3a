//! SPF, by the suite of RFC 7208.

use std::net::IpAddr;

use dnskit::{Answer, Data, DnsError, Kind, Mx, Zone};
use filter::sender::spf::{Query, check};

use crate::yaml::Yaml;
use crate::{now, vectors};

/// Cases of the public suite.
const CASES: usize = 203;

/// Text of a suite as bytes: it is written in Latin-1.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn joined(value: &Yaml) -> Vec<u8> {
    match value {
        Yaml::Text(text) => bytes(text),
        list => list.items().into_iter().flat_map(|item| bytes(item.text())).collect(),
    }
}

/// A scenario's DNS. `SPF` records stand for TXT ones, unless there are TXT records at that name.
fn zone(data: &Yaml) -> Zone {
    let zone = Zone::new();
    for (name, records) in data.entries() {
        let records = records.items();
        let has_txt = records.iter().any(|record| matches!(record, Yaml::Map(e) if e[0].0 == "TXT"));
        let mut is_silent = false;
        for record in &records {
            let Yaml::Map(entries) = record else {
                assert_eq!(record.text(), "TIMEOUT");
                is_silent = true;
                continue;
            };
            let (kind, value) = &entries[0];
            match kind.as_str() {
                "TXT" if *value == Yaml::Text("NONE".to_owned()) => {}
                "TXT" => zone.add(name, Kind::Txt, Data::Text(joined(value))),
                "SPF" if has_txt => {}
                "SPF" => zone.add(name, Kind::Txt, Data::Text(joined(value))),
                "A" | "AAAA" => zone.address(name, value.text()),
                "CNAME" => zone.cname(name, value.text()),
                "PTR" => zone.add(name, Kind::Ptr, Data::Name(value.text().to_ascii_lowercase())),
                "MX" => {
                    let fields = value.items();
                    let host = fields[1].text().to_ascii_lowercase();
                    let mx = Mx { preference: fields[0].text().trim().parse().unwrap(), host };
                    zone.add(name, Kind::Mx, Data::Mx(mx));
                }
                other => panic!("a record of kind {other}"),
            }
        }
        if is_silent {
            silence(&zone, name);
        }
    }
    zone
}

/// Of what has no records nothing is known.
fn silence(zone: &Zone, name: &str) {
    for kind in [Kind::A, Kind::Aaaa, Kind::Mx, Kind::Txt, Kind::Ptr] {
        let found: Result<Answer, DnsError> = now(dnskit::Resolver::lookup(zone, name, kind));
        if found.is_err() {
            zone.say(name, kind, Err(DnsError::Temporary("nobody answered".to_owned())));
        }
    }
}

#[test]
fn every_case_of_the_public_suite_has_its_first_result() {
    let Some(text) = vectors("spf/rfc7208-tests.yml") else { return };
    let (mut cases, mut wrong) = (0, Vec::new());
    for scenario in Yaml::documents(&text) {
        let zone = zone(scenario.get("zonedata").unwrap());
        for (name, case) in scenario.get("tests").unwrap().entries() {
            cases += 1;
            let text = |key: &str| case.get(key).map(Yaml::text).unwrap_or_default();
            let ip: IpAddr = text("host").parse().unwrap();
            let (local, domain) = match text("mailfrom").rsplit_once('@') {
                Some(parts) => parts,
                None if text("mailfrom").is_empty() => ("", text("helo")),
                None => ("", text("mailfrom")),
            };
            let query = Query { ip, helo: text("helo"), local, domain, receiver: "receiver.test", now: 1_262_304_000 };
            let found = now(check(&query, &zone));
            let wanted: Vec<&str> = case.get("result").unwrap().items().into_iter().map(Yaml::text).collect();
            // What the suite prefers is what is wanted, where it allows several.
            if found.outcome.code() != wanted[0] {
                wrong.push(format!("{name}: {} instead of {wanted:?}", found.outcome.code()));
            }
            let explanation = case.get("explanation").map(Yaml::text).filter(|text| *text != "DEFAULT");
            if found.outcome.code() == "fail"
                && let Some(explanation) = explanation
                && found.explanation.as_deref() != Some(explanation)
            {
                wrong.push(format!("{name}: says {:?} instead of {explanation:?}", found.explanation));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(cases, CASES);
}
