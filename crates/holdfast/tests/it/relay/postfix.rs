//! A foreign server on either side: Postfix keeps our mail while we are away, and our relay keeps Postfix's.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;

use super::{ANNA, BERT, headers, message, objects, status};
use crate::support::{
    Server,
    dns::Dns,
    holdfast, port,
    postfix::Postfix,
    smtp::Smtp,
    standby::{run, subjects},
    wait_for,
};

fn counted(all: Vec<String>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for one in all {
        *counted.entry(one).or_insert(0) += 1;
    }
    counted
}

#[test]
fn a_foreign_postfix_that_kept_our_mail_drains_whole_and_is_not_judged_as_the_sender() {
    const MESSAGES: usize = 120;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let settings = format!(
        "relay_domains = example.org\ntransport_maps = inline:{{example.org=smtp:[127.0.0.1]:{}}}\n\
         relay_recipient_maps = inline:{{ {ANNA}=ok, {BERT}=ok }}\n\
         smtpd_relay_restrictions = reject_unauth_destination\nsmtp_bind_address = 127.0.0.9\n\
         smtp_send_xforward_command = yes\n",
        address.port()
    );
    let test = "a foreign Postfix that kept our mail drains whole";
    let Some(postfix) = Postfix::configured(test, &settings) else { return };
    postfix.start();
    let dns = Dns::start();
    // Right for who sent it to Postfix, wrong for Postfix.
    dns.txt("good.test", "v=spf1 ip4:127.0.0.1 -all");
    dns.txt("_dmarc.good.test", "v=DMARC1; p=reject");
    dns.txt("evil.test", "v=spf1 ip4:127.0.0.1 -all");
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject");
    let config = format!(
        "{}[senders]\ntrusted_networks = []\n[incoming]\ntrusted_networks = []\nmessages_per_network = 5\n\
         messages_per_recipient = 5\nbackup_mx = [\"127.0.0.9\"]\n",
        dns.config()
    );
    let dir = tempfile::tempdir().unwrap();
    let env = [("HOLDFAST_LISTEN__SMTP", address.to_string())];
    let server = Server::start_with_env(dir.path(), &config, &env);
    for account in [ANNA, BERT] {
        server.add_account(account);
    }
    server.kill();

    let mut sent = [BTreeMap::new(), BTreeMap::new()];
    let mut smtp = Smtp::connect(postfix.address).unwrap();
    for number in 0..MESSAGES {
        let subject = format!("kept {number}");
        let to = [&[ANNA][..], &[BERT], &[ANNA, BERT]][number % 3];
        let text = message(&subject).replace("x@sender.example", "x@good.test");
        assert!(smtp.send("x@good.test", to, &text).unwrap().starts_with("250"));
        for (account, sent) in [ANNA, BERT].iter().zip(&mut sent) {
            if to.contains(account) {
                sent.insert(subject.clone(), 1);
            }
        }
    }
    let forged = message("forged").replace("x@sender.example", "a@bank.test");
    assert!(smtp.send("x@evil.test", &[ANNA], &forged).unwrap().starts_with("250"));
    let unknown = smtp.send("x@good.test", &["nobody@example.org"], &forged).unwrap();
    assert!(unknown.starts_with("550"), "{unknown}");

    let server = Server::start_with_env(dir.path(), &config, &env);
    wait_for("Postfix has nothing any more", || postfix.queued() == 0);
    let imap = server.address("imap");
    assert_eq!([counted(subjects(imap, ANNA)), counted(subjects(imap, BERT))], sent, "all of it, once each");
    let inbox = headers(&server, ANNA, "INBOX");
    for header in &inbox {
        let results = header.lines().find(|line| line.starts_with("Authentication-Results: ")).unwrap_or_default();
        assert!(results.contains("; spf=pass ") && results.contains("policy.iprev=127.0.0.1"), "{header}");
        assert!(results.contains("; dmarc=pass "), "{header}");
        // The way that it took is told as it was.
        let received: Vec<_> = header.lines().filter(|line| line.starts_with("Received: ")).collect();
        assert!(received[0].contains("from mx2.example.net ([127.0.0.9])"), "{header}");
        assert!(received[1].contains("client.example.net") && received[1].contains("by mx2.example.net"), "{header}");
    }
    // Postfix could only have sent a bounce, to somebody who has not sent it.
    let junk = headers(&server, ANNA, "Junk");
    let [forged] = junk.as_slice() else { panic!("{junk:?}") };
    assert!(forged.contains("X-Holdfast-Refused: 550 5.7.1") && forged.contains("; dmarc=fail "), "{forged}");
    let log = postfix.log();
    assert!(!log.contains("status=bounced") && log.contains("status=sent"), "{log}");

    // A stranger can't say that he is somebody else, and has the limits.
    let mut stranger = Smtp::connect(address).unwrap();
    let said = stranger.command("XFORWARD ADDR=192.0.2.7").unwrap();
    assert!(said.starts_with("550 5.7.0"), "{said}");
    let mut replies = Vec::new();
    for number in 0..5 {
        let said = Smtp::connect(address).unwrap().send("x@good.test", &[BERT], &message(&format!("strange {number}")));
        replies.push(said.unwrap()[..3].to_owned());
    }
    replies.push(Smtp::connect(address).unwrap().command("MAIL FROM:<x@good.test>").unwrap()[..3].to_owned());
    assert_eq!(replies, ["250", "250", "250", "250", "250", "421"]);
    let wrong = holdfast(dir.path(), &["check-config", "--json"], "");
    assert!(wrong.status.success(), "{wrong:?}");
    let queue = holdfast(dir.path(), &["queue", "list", "--json"], "");
    let lines =
        String::from_utf8_lossy(&queue.stdout).lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    assert_eq!(lines.unwrap(), Vec::<Value>::new(), "no report is on its way");
}

/// How a server answers RCPT.
fn rcpt(smtp: SocketAddr, to: &str) -> String {
    let mut smtp = Smtp::connect(smtp).unwrap();
    smtp.command("MAIL FROM:<x@sender.example>").unwrap();
    smtp.command(&format!("RCPT TO:<{to}>")).unwrap()
}

#[test]
fn a_foreign_postfix_behind_our_relay_gets_all_that_waited_and_nobody_gets_a_bounce() {
    const MESSAGES: usize = 120;
    const GONE: &str = "gone@example.org";
    const CARL: &str = "carl@asked.example";
    let nobody = std::process::Command::new("id").args(["-u", "nobody"]).output();
    let nobody = nobody.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let settings = format!(
        "virtual_mailbox_domains = example.org, asked.example\nvirtual_mailbox_base = DIR/mail\n\
         virtual_mailbox_maps = inline:{{ {ANNA}=anna/, {BERT}=bert/, {CARL}=carl/ }}\n\
         virtual_uid_maps = static:{nobody}\nvirtual_gid_maps = static:{nobody}\n\
         smtpd_relay_restrictions = reject_unauth_destination\nrecipient_delimiter = +\n"
    );
    let test = "a foreign Postfix behind our relay gets all that waited";
    let Some(postfix) = Postfix::configured(test, &settings) else { return };
    postfix.give_mailboxes_to("nobody");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("recipients");
    // As a Postfix map has it.
    std::fs::write(&file, format!("# who has mail here\n{ANNA} OK\n{BERT} OK\n")).unwrap();
    let config = format!(
        "[relay]\nsmtp_primary = \"{}\"\nrecipients = \"{}\"\nask_domains = [\"asked.example\"]\n",
        postfix.address,
        file.display()
    );
    let start = || Server::start_as(dir.path(), &config, &["relay"], &[]);
    let relay = start();
    let smtp = relay.address("smtp");
    let backlog = || status(dir.path())["backlog"].clone();

    // What is not in the file is asked, in that domain only, and remembered.
    assert!(rcpt(smtp, CARL).starts_with("450 4.1.1"), "nobody knows yet");
    postfix.start();
    wait_for("the primary has been asked", || rcpt(smtp, CARL).starts_with("250"));
    wait_for("and about others", || rcpt(smtp, "nobody@asked.example").starts_with("550 5.1.1"));
    wait_for("it is connected", || status(dir.path())["connected"] == true);
    assert!(rcpt(smtp, GONE).starts_with("550 5.1.1") && rcpt(smtp, "x@other.example").starts_with("550 5.7.1"));
    // The file is followed.
    std::fs::write(&file, format!("{ANNA}\n{BERT}\n{GONE}\n")).unwrap();
    wait_for("the file is read again", || rcpt(smtp, GONE).starts_with("250"));
    postfix.stop();

    let mut sent = [BTreeMap::new(), BTreeMap::new()];
    let mut client = Smtp::connect(smtp).unwrap();
    for number in 0..MESSAGES {
        let subject = format!("kept {number}");
        let to = [&[ANNA][..], &["Bert+Lists@example.org"], &[ANNA, BERT], &[BERT, GONE]][number % 4];
        assert!(
            client.send(["x@sender.example", ""][number % 5 / 4], to, &message(&subject)).unwrap().starts_with("250")
        );
        for (whose, sent) in sent.iter_mut().enumerate() {
            if [[1, 0, 1, 0], [0, 1, 1, 1]][whose][number % 4] == 1 {
                sent.insert(subject.clone(), 1);
            }
        }
    }
    assert!(client.send("x@sender.example", &[CARL], &message("carl")).unwrap().starts_with("250"));
    assert!(rcpt(smtp, "new@asked.example").starts_with("450"), "nobody can be asked");
    assert_eq!(backlog()["waiting"], MESSAGES + 1);
    relay.kill();
    let relay = start();
    assert_eq!(backlog()["waiting"], MESSAGES + 1);

    postfix.start();
    wait_for("nothing waits on the relay", || backlog()["waiting"] == 0);
    wait_for("Postfix has filed it", || postfix.queued() == 0);
    let subjects = |name: &str| {
        let subject = |text: &String| text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned();
        counted(postfix.mailbox(name).iter().map(subject).collect())
    };
    assert_eq!([subjects("anna"), subjects("bert")], sent, "all of it, once each");
    assert_eq!(subjects("carl"), BTreeMap::from([("carl".to_owned(), 1)]));
    let one = postfix.mailbox("carl").remove(0);
    assert!(one.starts_with("Return-Path: <x@sender.example>"), "{one}");
    assert!(one.contains("from client.example.net ([127.0.0.1])") && one.contains("by mx2.example.net"), "{one}");

    // Whom the primary does not have is held, without those who got it, and can be given again.
    let held = objects(dir.path(), &["relay", "held"]);
    assert_eq!(held.len(), MESSAGES / 4, "{held:?}");
    for held in &held {
        assert_eq!(held["recipients"], serde_json::json!([GONE]), "{held}");
        assert!(held["refused"].as_str().unwrap().starts_with("550 5.1.1"), "{held}");
    }
    assert_eq!(objects(dir.path(), &["relay", "retry", "all"])[0]["retried"], MESSAGES / 4);
    wait_for("it was refused again", || backlog()["waiting"] == 0 && backlog()["refused"] == MESSAGES / 4);
    assert_eq!([subjects("anna"), subjects("bert")], sent, "nobody else has it twice");
    assert!(!postfix.log().contains("status=bounced"), "{}", postfix.log());

    // Mail that comes while the primary is there goes on at once.
    let mut client = Smtp::connect(relay.address("smtp")).unwrap();
    assert!(client.send("x@sender.example", &[ANNA], &message("fresh")).unwrap().starts_with("250"));
    wait_for("the fresh message is there", || subjects("anna").contains_key("fresh"));
    // A file that is wrong is not used, nor is a folder of the relay for the service.
    std::fs::write(&file, "anna\n").unwrap();
    relay.stop();
    assert!(!run(dir.path(), &["relay"]).status.success(), "the file is wrong");
    assert!(!run(dir.path(), &["serve"]).status.success(), "the folder is a relay's");
}
