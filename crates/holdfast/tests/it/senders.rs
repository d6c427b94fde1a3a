//! Who really sent a message, as the whole service judges it: mail comes in over SMTP, the answers come from a DNS on loopback.

use std::net::{Ipv4Addr, UdpSocket};

use mailkit::dkim::{KeyKind, SigningKey, sign};

use crate::support::{Server, dns::Dns, imap::Imap, smtp::Smtp};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const BOB: &str = "bob@hold.test";

/// Mail from this machine is judged like any other.
fn judging(dns: &Dns, more: &str) -> String {
    format!("{}[senders]\ntrusted_networks = []\n{more}", dns.config())
}

fn start(more: &str, dns: &Dns) -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &judging(dns, more));
    server.add_account(BOB);
    server.add_account("boss@hold.test");
    (dir, server)
}

/// The headers of all messages in a mailbox, in their order.
fn headers(server: &Server, mailbox: &str) -> Vec<String> {
    let mut imap = Imap::login(server.address("imap"), BOB).unwrap();
    let selected = imap.command(&format!("SELECT {mailbox}")).unwrap().ok();
    let exists = |line: &String| line.trim_end().strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok();
    let count = selected.untagged.iter().find_map(exists);
    let header = |number: u32| {
        let bytes = imap.literal(&format!("FETCH {number} BODY.PEEK[HEADER]")).unwrap();
        String::from_utf8(bytes).unwrap().replace("\r\n\t", " ")
    };
    (1..=count.unwrap_or(0)).map(header).collect()
}

fn send(server: &Server, from: &str, message: &str) -> String {
    Smtp::connect(server.address("smtp")).unwrap().send(from, &[BOB], message).unwrap()
}

fn message(from: &str, subject: &str) -> String {
    format!(
        "From: {from}\r\nTo: {BOB}\r\nSubject: {subject}\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n\r\nHello.\r\n"
    )
}

fn signed(dns: &Dns, domain: &str, message: &str) -> String {
    let mut lines = String::new();
    for kind in [KeyKind::Ed25519, KeyKind::Rsa2048] {
        let key = SigningKey::generate(kind, &format!("s{kind:?}").to_lowercase()).unwrap();
        dns.txt(&key.dns_name(domain), &key.dns_record().unwrap());
        lines += &sign(message.as_bytes(), &[key], domain).unwrap();
    }
    lines + message
}

#[test]
fn results_stand_above_each_message_and_forged_ones_are_gone() {
    let dns = Dns::start();
    dns.txt("good.test", "v=spf1 ip4:127.0.0.1 -all");
    dns.txt("_dmarc.good.test", "v=DMARC1; p=reject");
    dns.a("mx.good.test", HERE);
    dns.ptr(HERE, "mx.good.test");
    let (_dir, server) = start("", &dns);
    let forged = "Authentication-Results: (x) MX.example.org 1; dmarc=pass header.from=good.test\r\n\
                  Authentication-Results: mx.elsewhere.test; dkim=fail\r\n";
    // What is taken out is signed, and the signature holds.
    let text = format!("{forged}{}", message("Ann <ann@good.test>", "one"));
    let reply = send(&server, "ann@good.test", &signed(&dns, "good.test", &text));
    assert!(reply.starts_with("250"), "{reply}");
    let inbox = headers(&server, "INBOX");
    let [header] = inbox.as_slice() else { panic!("{inbox:?}") };
    assert_eq!(header.matches("Authentication-Results:").count(), 2, "{header}");
    assert!(header.contains("Authentication-Results: mx.elsewhere.test; dkim=fail"), "{header}");
    let lines: Vec<&str> =
        header.lines().filter(|line| line.starts_with("Authentication-Results: mx.example.org;")).collect();
    let [line] = lines.as_slice() else { panic!("{header}") };
    for part in [
        // The machine's own name for the address goes before the DNS.
        "; iprev=pass (",
        " policy.iprev=127.0.0.1;",
        "; spf=pass smtp.mailfrom=ann@good.test;",
        "; dkim=pass header.d=good.test header.s=sed25519 ",
        "; dkim=pass header.d=good.test header.s=srsa2048 ",
        "; dmarc=pass (p=reject of good.test) header.from=good.test policy.dmarc=reject",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(header.find("Return-Path") < header.find("Authentication-Results: mx.example.org"), "{header}");
    assert!(header.find("Authentication-Results: mx.example.org") < header.find("Received:"), "{header}");
}

#[test]
fn the_owner_of_a_domain_decides_about_mail_that_is_not_theirs() {
    let dns = Dns::start();
    dns.txt("evil.test", "v=spf1 ip4:127.0.0.1 -all");
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject; sp=quarantine");
    dns.txt("_dmarc.shop.test", "v=DMARC1; p=quarantine; pct=0");
    dns.txt("_dmarc.blog.test", "v=DMARC1; p=none");
    dns.a("www.bank.test", HERE);
    let (_dir, server) = start("", &dns);
    let refused = send(&server, "x@evil.test", &message("Bank <a@bank.test>", "refused"));
    assert!(refused.starts_with("550 5.7.1 ") && refused.contains("bank.test"), "{refused}");
    for (from, subject) in [("a@www.bank.test", "sub"), ("a@shop.test", "shop"), ("boss@hold.test", "own")] {
        let reply = send(&server, "x@evil.test", &message(from, subject));
        assert!(reply.starts_with("250"), "{from}: {reply}");
    }
    for (from, subject) in [("a@blog.test", "blog"), ("a@evil.test", "itself"), ("a@nowhere.test", "nothing said")] {
        let reply = send(&server, "x@evil.test", &message(from, subject));
        assert!(reply.starts_with("250"), "{from}: {reply}");
    }
    let subjects = |mailbox: &str| -> Vec<String> {
        let subject = |header: &String| header.lines().find_map(|l| l.strip_prefix("Subject: ")).unwrap().to_owned();
        headers(&server, mailbox).iter().map(subject).collect()
    };
    assert_eq!(subjects("INBOX"), ["blog", "itself", "nothing said"]);
    assert_eq!(subjects("Junk"), ["sub", "shop", "own"]);
    let own = headers(&server, "Junk").pop().unwrap();
    assert!(own.contains("; x-own-domain=fail"), "{own}");
    // Those who sign in are not strangers.
    let mut smtp = Smtp::connect(server.address("submission")).unwrap();
    smtp.auth("boss@hold.test").unwrap();
    let reply = smtp.send("boss@hold.test", &[BOB], &message("Boss <boss@hold.test>", "really")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(subjects("INBOX").last().unwrap(), "really");
}

#[test]
fn forgers_of_our_own_addresses_are_refused_where_that_is_set() {
    let dns = Dns::start();
    let (_dir, server) = start("own_domains = \"reject\"\n", &dns);
    for from in ["boss@hold.test", "\"Boss\" <BOSS@Hold.Test>", "a@other.test, boss@hold.test"] {
        let reply = send(&server, "x@evil.test", &message(from, "own"));
        assert!(reply.starts_with("550 5.7.1 "), "{from}: {reply}");
    }
}

#[test]
fn a_dns_that_is_silent_costs_no_mail() {
    // Bound, and nobody reads it.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "[dns]\nservers = [\"{}\"]\n[senders]\ntrusted_networks = []\ndns_patience = \"1 second\"\n",
        silent.local_addr().unwrap()
    );
    let server = Server::start_with(dir.path(), &config);
    server.add_account(BOB);
    let text = signed(&Dns::start(), "bank.test", &message("a@bank.test", "slow"));
    let reply = send(&server, "a@bank.test", &text);
    assert!(reply.starts_with("250"), "{reply}");
    let inbox = headers(&server, "INBOX");
    let [header] = inbox.as_slice() else { panic!("{inbox:?}") };
    for part in ["; spf=temperror smtp.mailfrom", "; dkim=temperror", "; dmarc=temperror"] {
        assert!(header.contains(part), "{part} is not in {header}");
    }
}
