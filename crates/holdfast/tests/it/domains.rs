//! `holdfast domain check`: a postmaster's first day, from the records that the service prints to a check without problems, with
//! the exit codes and words that scripts go by.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::support::{Server, dns::Dns, limited};

const DOMAIN: &str = "hold.test";
const HOST: &str = "mx.example.org";
/// The public address of the service's machine.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// The report that a check prints, its exit code, and the code of its error.
fn check(server: &Server) -> (Value, i32, String) {
    let output = server.command(&["--json", "domain", "check", DOMAIN]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
    (report, output.status.code().unwrap(), error["code"].as_str().unwrap_or_default().to_owned())
}

/// The codes of the faults in these states.
fn codes(report: &Value, states: &[&str]) -> Vec<String> {
    let items = report["items"].as_array().unwrap().iter();
    let faults = items.flat_map(|item| item["faults"].as_array().unwrap());
    let of_state = faults.filter(|fault| states.contains(&fault["state"].as_str().unwrap()));
    of_state.map(|fault| fault["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_domain_is_set_up_by_what_the_service_prints_and_checked_by_its_own_name_servers() {
    let dns = Dns::start();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &format!("{}[domains]\naddresses = [\"{ADDRESS}\"]\n", dns.config()));
    assert!(server.command(&["domain", "add", DOMAIN]).status.success());

    let (report, exit, code) = check(&server);
    assert_eq!((exit, code.as_str()), (1, "domain-problems"), "{report:#}");
    assert_eq!(report["state"], "problem");
    assert!(codes(&report, &["problem"]).contains(&"no-such-domain".to_owned()), "{report:#}");

    dns.zone(DOMAIN);
    dns.a(HOST, ADDRESS);
    dns.ptr(ADDRESS, HOST);
    let shown = server.command(&["--json", "domain", "show", DOMAIN]).stdout;
    for line in String::from_utf8(shown).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| record[key].as_str().unwrap_or_else(|| panic!("{record}"));
        // Those of the host itself are set above.
        if !matches!(text("type"), "A" | "PTR" | "TLSA") {
            dns.paste(text("name"), text("type"), text("value"));
        }
    }
    let (report, exit, code) = check(&server);
    assert_eq!((exit, code.as_str()), (0, ""), "{report:#}");
    // The service's own certificate is self-signed.
    assert_eq!(codes(&report, &["warning", "unanswered", "problem"]), ["sts-certificate"], "{report:#}");
    let servers = report["items"].as_array().unwrap().iter().find(|item| item["type"] == "NS").unwrap();
    assert_eq!(servers["found"], serde_json::json!([format!("ns.{DOMAIN}.")]), "its own name servers were asked");
    assert!(server.command(&["domain", "check"]).status.success(), "all domains");

    // No answer is another thing than no record.
    let dmarc = format!("_dmarc.{DOMAIN}");
    dns.fail(&dmarc);
    let (report, exit, code) = check(&server);
    assert_eq!(
        (exit, code.as_str(), &report["state"]),
        (1, "dns-unanswered", &Value::from("unanswered")),
        "{report:#}"
    );
    assert_eq!(codes(&report, &["unanswered", "problem"]), ["unanswered"]);

    dns.remove(DOMAIN);
    dns.zone(DOMAIN);
    let (report, exit, code) = check(&server);
    assert_eq!((exit, code.as_str()), (1, "domain-problems"));
    assert_eq!(codes(&report, &["problem"]), ["mx-missing", "spf-missing"], "{report:#}");

    let none = server.command(&["--json", "domain", "check", "not-here.test"]);
    let error: Value = serde_json::from_slice(&none.stderr).unwrap();
    assert_eq!((none.status.code(), &error["code"]), (Some(1), &Value::from("not-found")));
}

/// Whether Postfix's `posttls-finger` finds that a server has a key with this SHA-256 hash: what a TLSA record `3 1 1` says.
fn has_key(server: &Server, hash: &str) -> (bool, String) {
    let bytes: Vec<&str> = (0..hash.len()).step_by(2).map(|at| &hash[at..at + 2]).collect();
    let output = limited("posttls-finger")
        .args(["-c", "-l", "fingerprint", "-d", "sha256", "-t", "30", "-L", "certmatch,summary"])
        .arg(format!("[127.0.0.1]:{}", server.address("smtp").port()))
        .arg(bytes.join(":"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (said.contains("Verified TLS connection established"), said)
}

#[test]
fn postfix_verifies_a_running_service_by_the_tlsa_record_that_it_prints() {
    if !std::path::Path::new("/usr/sbin/posttls-finger").exists() {
        assert!(std::env::var_os("CI").is_none(), "posttls-finger is not installed; cargo xtask test installs postfix");
        eprintln!("NOT RUN: no posttls-finger (apt-get install postfix)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert!(server.command(&["domain", "add", DOMAIN]).status.success());
    let shown = server.command(&["--json", "domain", "show", DOMAIN]).stdout;
    let records: Vec<Value> =
        String::from_utf8(shown).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let value = |record: &Value| record["value"].as_str().unwrap().to_owned();
    let tlsa: Vec<String> = records.iter().filter(|record| record["type"] == "TLSA").map(value).collect();
    assert!(!tlsa.is_empty(), "{records:?}");
    for value in &tlsa {
        let hash = value.strip_prefix("3 1 1 ").unwrap_or_else(|| panic!("{value}")).replace(' ', "");
        let (verifies, said) = has_key(&server, &hash);
        assert!(verifies, "{value}: {said}");
        // One letter is another.
        let other = if hash.starts_with('0') { "1" } else { "0" };
        let (verifies, said) = has_key(&server, &format!("{other}{}", &hash[1..]));
        assert!(!verifies, "{said}");
    }
}
