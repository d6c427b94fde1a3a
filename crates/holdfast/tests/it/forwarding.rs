//! Mail that is forwarded, from one whole service to another: what the first vouches for, and what the second makes of it.

use std::net::Ipv4Addr;

use mailkit::dkim::{KeyKind, SigningKey, sign};
use serde_json::Value;

use crate::support::{Server, dns::Dns, imap::Imap, smtp::Smtp, wait_for};

const ANNA: &str = "anna@hold.test";
const BOB: &str = "bob@keep.test";
const CARL: &str = "carl@hold.test";

/// The service that forwards and the one that gets it.
struct Two {
    _dirs: (tempfile::TempDir, tempfile::TempDir),
    first: Server,
    second: Server,
}

/// The header sections of a mailbox.
fn headers(server: &Server, user: &str, mailbox: &str) -> Vec<String> {
    let mut imap = Imap::login(server.address("imap"), user).unwrap();
    let selected = imap.command(&format!("SELECT {mailbox}")).unwrap().ok();
    let exists = |line: &String| line.trim_end().strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok();
    let count: u32 = selected.untagged.iter().find_map(exists).unwrap_or(0);
    let header = |number: u32| {
        let bytes = imap.literal(&format!("FETCH {number} BODY.PEEK[HEADER]")).unwrap();
        String::from_utf8(bytes).unwrap().replace("\r\n\t", " ").replace("\r\n ", " ")
    };
    (1..=count).map(header).collect()
}

fn script(server: &Server, account: &str, text: &str) {
    let file = server.dir().join("script.sieve");
    std::fs::write(&file, text).unwrap();
    for args in
        [&["sieve", "put", account, "main", file.to_str().unwrap()][..], &["sieve", "activate", account, "main"]]
    {
        let done = server.command(args);
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Who the reports are for that wait in the queue.
fn waiting(server: &Server) -> String {
    String::from_utf8(server.command(&["queue", "list", "--json"]).stdout).unwrap()
}

impl Two {
    /// Whose second service trusts seals of these domains.
    fn start(dns: &Dns, sealers: &str) -> Self {
        let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let judging = |more: &str| format!("{}[senders]\ntrusted_networks = []\n{more}", dns.config());
        let second = Server::start_with(dirs.1.path(), &judging(&format!("trusted_sealers = [{sealers}]\n")));
        second.add_account(BOB);
        let route = format!("[delivery.routes]\n\"keep.test\" = \"{}\"\n", second.address("smtp"));
        let first = Server::start_with(dirs.0.path(), &judging(&route));
        first.add_account(ANNA);
        first.add_account(CARL);
        let records = first.command(&["domain", "show", "hold.test", "--json"]);
        for record in String::from_utf8(records.stdout).unwrap().lines() {
            let record: Value = serde_json::from_str(record).unwrap();
            let name = record["name"].as_str().unwrap();
            if name.contains("._domainkey.") {
                let value: String = record["value"].as_str().unwrap().split('"').skip(1).step_by(2).collect();
                dns.txt(name, &value);
            }
        }
        Self { _dirs: dirs, first, second }
    }

    fn give(&self, from: &str, message: &str) {
        let reply = Smtp::connect(self.first.address("smtp")).unwrap().send(from, &[ANNA], message).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
}

fn from_the_bank(subject: &str) -> String {
    format!(
        "From: Bank <a@bank.test>\r\nTo: {ANNA}\r\nSubject: {subject}\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{subject}@bank.test>\r\n\r\nHello.\r\n"
    )
}

/// With the signature of its domain.
fn signed(dns: &Dns, text: &str) -> String {
    let key = SigningKey::generate(KeyKind::Ed25519, "s1").unwrap();
    dns.txt(&key.dns_name("bank.test"), &key.dns_record().unwrap());
    sign(text.as_bytes(), &[key], "bank.test").unwrap() + text
}

fn bank(dns: &Dns) {
    dns.txt("bank.test", "v=spf1 ip4:127.0.0.1 -all");
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject");
    dns.txt("hold.test", "v=spf1 ip4:127.0.0.1 -all");
    dns.a("mx.bank.test", Ipv4Addr::LOCALHOST);
}

#[test]
fn forwarded_mail_passes_by_its_signature_or_by_the_seal_of_someone_trusted_and_by_nothing_else() {
    for (sealers, spared) in [("\"hold.test\"", true), ("", false)] {
        let dns = Dns::start();
        bank(&dns);
        let two = Two::start(&dns, sealers);
        script(&two.first, ANNA, "redirect \"bob@keep.test\";\r\n");
        // The bank's own server gave it to us, which a second server can't see any more.
        two.give("a@bank.test", &from_the_bank("unsigned"));
        if spared {
            wait_for("the message", || headers(&two.second, BOB, "INBOX").len() == 1);
            let header = headers(&two.second, BOB, "INBOX").remove(0);
            for part in ["Subject: unsigned", "; arc=pass", "; dmarc=fail", "Delivered-To: anna@hold.test", "SRS0="] {
                assert!(header.contains(part), "{part} is not in {header}");
            }
        } else {
            // Its sender was proved, so the report is for the bank.
            wait_for("the report", || waiting(&two.first).contains("a@bank.test"));
        }
        two.give("a@bank.test", &signed(&dns, &from_the_bank("signed")));
        let expected = 1 + usize::from(spared);
        wait_for("the message", || headers(&two.second, BOB, "INBOX").len() == expected);
        let header = headers(&two.second, BOB, "INBOX").pop().unwrap();
        for part in ["Subject: signed", "; arc=pass", "; dkim=pass header.d=bank.test", "; dmarc=pass"] {
            assert!(header.contains(part), "{part} is not in {header}");
        }
        assert!(headers(&two.second, BOB, "Junk").is_empty() && headers(&two.first, ANNA, "INBOX").is_empty());
    }
}

#[test]
fn mail_for_another_account_of_the_service_meets_its_rules_and_a_circle_ends() {
    let dns = Dns::start();
    bank(&dns);
    let two = Two::start(&dns, "");
    script(&two.first, ANNA, "redirect \"bob@keep.test\"; redirect \"carl@hold.test\";\r\n");
    let rules = "require [\"fileinto\", \"mailbox\", \"copy\"];\r\n\
                 if header :contains \"Authentication-Results\" \"dmarc=pass\" {\r\n\
                 fileinto :create \"Bank\"; redirect :copy \"anna@hold.test\"; }\r\n";
    script(&two.first, CARL, rules);
    two.give("a@bank.test", &signed(&dns, &from_the_bank("signed")));
    wait_for("the end of the circle", || headers(&two.first, ANNA, "INBOX").len() == 1);
    wait_for("the copy elsewhere", || headers(&two.second, BOB, "INBOX").len() == 1);
    let kept = headers(&two.first, CARL, "Bank");
    assert_eq!((kept.len(), headers(&two.first, CARL, "INBOX").len()), (1, 0));
    assert!(kept[0].contains("Delivered-To: anna@hold.test") && kept[0].contains("X-Holdfast-Spam: "), "{}", kept[0]);
    let last = headers(&two.first, ANNA, "INBOX").remove(0);
    for part in ["X-Holdfast-Not-Forwarded: ", "Delivered-To: carl@hold.test", "Delivered-To: anna@hold.test"] {
        assert!(last.contains(part), "{part} is not in {last}");
    }
}
