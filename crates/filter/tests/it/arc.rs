//! ARC, by the public suite of validations.

use std::collections::HashMap;

use dnskit::DnsError;
use filter::sender::{Keys, Outcome, Reading};

use crate::vectors;
use crate::yaml::Yaml;

/// Cases of the public suite.
const CASES: usize = 175;

/// Cases that are judged otherwise here, each with the reason.
const OPEN: [(&str, Outcome, &str); 3] = [
    ("cv_fail_i1_as_cv_fail", Outcome::Fail, CV_FAIL),
    ("cv_fail_i2_as2_fail", Outcome::Fail, CV_FAIL),
    ("cv_fail_i2_as1_fail", Outcome::Fail, CV_FAIL),
];

/// The suite says nothing there.
const CV_FAIL: &str = "a seal says that the chain has failed: RFC 8617 section 5.2 step 2 ends with \"fail\"";

#[test]
fn every_case_of_the_public_suite_has_its_result() {
    let Some(text) = vectors("arc/arc-draft-validation-tests.yml") else { return };
    let (mut cases, mut wrong) = (0, Vec::new());
    for scenario in Yaml::documents(&text) {
        let records = scenario.get("txt-records").map(Yaml::entries).unwrap_or_default();
        let records: HashMap<String, Vec<u8>> =
            records.iter().map(|(name, text)| (name.clone(), text.text().trim().as_bytes().to_vec())).collect();
        for (name, case) in scenario.get("tests").unwrap().entries() {
            cases += 1;
            let message = case.get("message").unwrap().text().trim_start_matches('\n').replace('\n', "\r\n");
            let mut reading = Reading::default();
            message.as_bytes().chunks(100).for_each(|piece| {
                reading.push(piece);
            });
            let read = reading.finish();
            let key = |name: String| {
                let found = records.get(&name).map(|text| vec![text.clone()]).ok_or(DnsError::NoSuchDomain);
                (name, found)
            };
            let keys = Keys(read.key_names().into_iter().map(key).collect());
            let found = read.arc(&keys, 1_500_000_000).outcome;
            let open = OPEN.iter().find(|(open, ..)| open == name).map(|(_, outcome, _)| *outcome);
            let wanted = case.get("cv").unwrap().text().trim();
            let wanted =
                open.unwrap_or_else(|| Outcome::read(if wanted.is_empty() { "none" } else { wanted }).unwrap());
            if found != wanted {
                wrong.push(format!("{name}: {} instead of {}", found.code(), wanted.code()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(cases, CASES);
}
