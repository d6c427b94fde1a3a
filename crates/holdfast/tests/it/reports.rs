//! Reports about domains: they come in by SMTP and are shown, and go out to those who want them, between two services.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::support::{Server, dns::Dns, imap::Imap, smtp::Smtp, wait_for};

const BOB: &str = "bob@hold.test";
const FAR: &str = "ann@far.test";

fn start(dns: &Dns, account: &str, more: &str) -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let host = format!("mx.{}", account.split_once('@').unwrap().1);
    let config = format!("{}[senders]\ntrusted_networks = []\n{more}", dns.config());
    let server = Server::start_with_env(dir.path(), &config, &[("HOLDFAST_HOSTNAME", host)]);
    server.add_account(account);
    (dir, server)
}

fn json(server: &Server, args: &[&str]) -> Value {
    let output = server.command(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn shown(server: &Server, domain: &str) -> Value {
    json(server, &["domain", "reports", domain])
}

fn count_in(server: &Server, account: &str, mailbox: &str, what: &str) -> usize {
    let mut imap = Imap::login(server.address("imap"), account).unwrap();
    imap.command(&format!("SELECT {mailbox}")).unwrap().ok();
    let found = imap.command(&format!("SEARCH {what}")).unwrap().ok();
    let line = found.untagged.iter().find(|line| line.starts_with("* SEARCH")).cloned().unwrap_or_default();
    line.split_whitespace().skip(2).count()
}

/// A report of `far.test` about `hold.test` for the last day, as mail.
fn report(id: &str) -> String {
    let end = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let begin = end - 3_600;
    let xml = format!(
        "<?xml version=\"1.0\"?><feedback><report_metadata><org_name>Far</org_name><email>dmarc@far.test</email>\
         <report_id>{id}</report_id><date_range><begin>{begin}</begin><end>{end}</end></date_range></report_metadata>\
         <policy_published><domain>hold.test</domain><p>none</p></policy_published>\
         <record><row><source_ip>192.0.2.7</source_ip><count>5</count><policy_evaluated><disposition>none</disposition>\
         <dkim>fail</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>hold.test</header_from>\
         </identifiers><auth_results><spf><domain>hold.test</domain><result>fail</result></spf></auth_results></record>\
         </feedback>"
    );
    format!(
        "From: <dmarc@far.test>\r\nTo: <postmaster@hold.test>\r\nSubject: Report domain: hold.test Submitter: far.test \
         Report-ID: {id}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: \
         text/plain\r\n\r\nA report.\r\n--b\r\nContent-Type: application/octet-stream; name=\"far.test!hold.test!1!2.xml\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        BASE64.encode(xml)
    )
}

#[test]
fn a_report_that_comes_by_mail_is_shown_once() {
    let dns = Dns::start();
    dns.txt("far.test", "v=spf1 ip4:127.0.0.1 -all");
    dns.txt("_dmarc.far.test", "v=DMARC1; p=reject");
    let (dir, server) = start(&dns, BOB, "");
    let send = |from: &str, id: &str| {
        let text = report(id).replace("<dmarc@far.test>\r\nTo", &format!("<{from}>\r\nTo"));
        let sent = Smtp::connect(server.address("smtp")).unwrap().send(from, &["postmaster@hold.test"], &text).unwrap();
        assert!(sent.starts_with("250"), "{sent}");
    };
    assert_eq!(shown(&server, "hold.test")["reports"], 0);
    for _ in 0..2 {
        send("dmarc@far.test", "one");
    }
    // A sender that can't prove to be who the report says is not counted.
    send("dmarc@evil.test", "two");
    let found = shown(&server, "hold.test");
    assert_eq!((&found["reports"], &found["unverified"], &found["messages"]), (&1.into(), &1.into(), &5.into()));
    assert_eq!(found["reporters"][0]["name"], "far.test");
    let source = &found["sources"][0];
    assert_eq!((&source["name"], &source["advice"]), (&"192.0.2.0/24".into(), &"forged".into()));
    assert_eq!((count_in(&server, BOB, "Archive", "SEEN"), count_in(&server, BOB, "INBOX", "UNSEEN")), (2, 1));
    let none = server.command(&["domain", "reports", "nowhere.test"]);
    assert!(!none.status.success());
    server.kill();
    let again = Server::start_with_env(dir.path(), &dns.config(), &[]);
    assert_eq!(shown(&again, "hold.test")["reports"], 1, "it is there after a crash");
}

#[test]
fn what_came_in_a_domain_s_name_is_reported_to_it() {
    let dns = Dns::start();
    dns.txt("far.test", "v=spf1 -all");
    dns.txt("_dmarc.far.test", "v=DMARC1; p=none; rua=mailto:postmaster@far.test, mailto:x@elsewhere.test");
    dns.txt("_dmarc.hold.test", "v=DMARC1; p=none");
    dns.txt("_dmarc.silent.test", "v=DMARC1; p=none");
    let (_far_dir, far) = start(&dns, FAR, "");
    let routes =
        format!("[delivery]\nprivate_networks = true\n[delivery.routes]\n\"far.test\" = \"{}\"\n", far.address("smtp"));
    let (_dir, here) = start(&dns, BOB, &routes);
    let records = here.command(&["domain", "show", "hold.test", "--json"]);
    for record in String::from_utf8(records.stdout).unwrap().lines() {
        let record: Value = serde_json::from_str(record).unwrap();
        let name = record["name"].as_str().unwrap();
        if name.contains("._domainkey.") {
            let value: String = record["value"].as_str().unwrap().split('"').skip(1).step_by(2).collect();
            dns.txt(name, &value);
        }
    }
    let send = |from: &str, subject: &str| {
        let text = format!("From: <{from}>\r\nTo: <{BOB}>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
        let sent = Smtp::connect(here.address("smtp")).unwrap().send(from, &[BOB], &text).unwrap();
        assert!(sent.starts_with("250"), "{sent}");
    };
    for from in [FAR, FAR, "a@silent.test"] {
        send(from, "Hello");
    }
    // No report about a report.
    send(FAR, "Report Domain: hold.test Submitter: far.test Report-ID: <1>");
    assert_eq!(json(&here, &["reports", "send"])["sent"], 0, "the day isn't over");
    assert_eq!(json(&here, &["reports", "send", "--now"])["sent"], 1);
    wait_for("the report", || shown(&far, "far.test")["reports"] == 1);
    let found = shown(&far, "far.test");
    assert_eq!((&found["messages"], &found["passed"], &found["unverified"]), (&2.into(), &0.into(), &0.into()));
    assert_eq!((&found["reporters"][0]["name"], &found["policy"]), (&"hold.test".into(), &"none".into()));
    assert_eq!(found["sources"][0]["addresses"][0], "127.0.0.1");
    assert_eq!(json(&here, &["reports", "send", "--now"])["sent"], 0, "it was reported");
    assert_eq!(count_in(&far, FAR, "Archive", "SUBJECT \"Report Domain: far.test\""), 1);
}
