//! People send by a relay while the primary is away: who may, as whom, and that it goes out once.

use std::collections::BTreeMap;

use base64::Engine as _;

use super::{ANNA, BERT, Pair, headers, message, objects, status};
use crate::support::{PASSWORD, Server, smtp::Smtp, standby::said, wait_for, web::Web, wire};

/// Makes an app password on the web.
fn app_password(server: &Server, account: &str, name: &str) -> String {
    let mut web = Web::sign_in(server.address("http"), account).unwrap();
    let page = web.get("/settings/apps").unwrap();
    let (csrf, key) = (page.input("csrf").unwrap(), page.input("key").unwrap());
    let fields = [("csrf", csrf.as_str()), ("key", &key), ("name", name), ("password", PASSWORD)];
    let page = web.post("/settings/apps", &fields).unwrap();
    let secret = page.body.split("class=\"secret\">").nth(1).and_then(|rest| rest.split('<').next());
    secret.unwrap_or_else(|| panic!("no app password: {}", page.body)).to_owned()
}

/// Revokes all of them.
fn revoke_all(server: &Server, account: &str) {
    let mut web = Web::sign_in(server.address("http"), account).unwrap();
    let csrf = web.get("/settings/apps").unwrap().input("csrf").unwrap();
    let fields = [("csrf", csrf.as_str()), ("id", "all"), ("password", PASSWORD)];
    assert_eq!(web.post("/settings/apps/revoke", &fields).unwrap().status, 303);
}

fn sign_in(smtp: &mut Smtp, login: &str, password: &str) -> String {
    let words = base64::engine::general_purpose::STANDARD.encode(format!("\0{login}\0{password}"));
    smtp.command(&format!("AUTH PLAIN {words}")).unwrap()
}

fn once(subject: &str) -> BTreeMap<String, usize> {
    BTreeMap::from([(subject.to_owned(), 1)])
}

fn from(author: &str, subject: &str) -> String {
    message(subject).replace("x@sender.example", author)
}

#[test]
fn people_send_by_a_relay_while_the_primary_is_away_as_themselves_and_once() {
    let both = "[relay]\nsubmissions = true\n".to_owned();
    // Nobody answers there, so that what goes there waits.
    let home = format!("{both}[delivery.routes]\n\"elsewhere.example\" = \"127.0.0.1:1\"\n");
    let mut pair = Pair::configured(&[ANNA, BERT], [home, both]);
    let [home, relay] = [pair.dirs[0].path().to_owned(), pair.dirs[1].path().to_owned()];
    let primary = pair.primary.as_ref().unwrap();
    let (phone, berts) = (app_password(primary, ANNA, "Phone"), app_password(primary, BERT, "Phone"));
    let port = pair.relay.as_ref().unwrap().address("submission");
    let try_it = |login: &str, password: &str| sign_in(&mut Smtp::connect(port).unwrap(), login, password);
    assert!(try_it(ANNA, &phone).starts_with("454 4.7.0"), "the service is up");
    said(&home, &["account", "set", ANNA, "--sends-by-relay", "on"]);
    wait_for("the relay knows the app password", || status(&relay)["app_passwords"] == 1);
    assert!(try_it(ANNA, &phone).starts_with("454 4.7.0"), "the service is up");
    pair.primary.take().unwrap().kill();
    wait_for("the relay notices", || status(&relay)["connected"] == false);

    for (login, password, reply) in [
        (ANNA, PASSWORD, "535 5.7.8"),
        (BERT, &berts, "535 5.7.8"),
        (BERT, &phone, "535 5.7.8"),
        ("nobody@example.org", &phone, "535 5.7.8"),
        ("anna", &phone, "535 5.7.8"),
        ("Anna@Example.org", &phone.replace('-', " "), "235"),
    ] {
        let said = try_it(login, password);
        assert!(said.starts_with(reply), "{login}: {said}");
    }
    // Nobody sends on either port without it, and port 25 does not sign in.
    let mut smtp = Smtp::connect(port).unwrap();
    assert!(smtp.command("MAIL FROM:<anna@example.org>").unwrap().starts_with("530"));
    assert!(sign_in(&mut Smtp::connect(pair.smtp()).unwrap(), ANNA, &phone).starts_with("503"));

    assert!(sign_in(&mut smtp, ANNA, &phone).starts_with("235"));
    for sender in ["bert@example.org", "anna@elsewhere.example", ""] {
        let said = smtp.command(&format!("MAIL FROM:<{sender}>")).unwrap();
        assert!(said.starts_with("55"), "{sender}: {said}");
    }
    let forged = smtp.send(ANNA, &[BERT], &from(BERT, "forged")).unwrap();
    assert!(forged.starts_with("55"), "{forged}");
    let unknown = smtp.send(ANNA, &["nobody@example.org"], &from(ANNA, "unknown")).unwrap();
    assert!(unknown.starts_with("550 5.1.1"), "{unknown}");
    smtp.command("RSET").unwrap();
    let to = [BERT, "friend@elsewhere.example"];
    assert!(smtp.send(ANNA, &to, &from("Anna <anna@example.org>", "by the relay")).unwrap().starts_with("250"));
    assert_eq!(status(&relay)["backlog"]["waiting"], 1);
    // What is given over a link that breaks is sent once.
    pair.start_primary();
    for _ in 0..10 {
        pair.wire.break_all();
        status(&home);
    }
    pair.is_clear();
    // Beside the notice of his app password.
    let got = |pair: &Pair| -> BTreeMap<String, usize> {
        pair.subjects(BERT).into_iter().filter(|(subject, _)| !subject.contains("app password")).collect()
    };
    assert_eq!(got(&pair), once("by the relay"));
    let primary = pair.primary.as_ref().unwrap();
    let sent = headers(primary, ANNA, "Sent");
    assert_eq!(sent.len(), 1, "a copy is in Sent: {sent:?}");
    assert!(sent[0].contains("Message-ID: ") && sent[0].contains("Date: "), "{sent:?}");
    let received = headers(primary, BERT, "INBOX").pop().unwrap();
    assert!(!received.contains("client.example.net ([127"), "where a sender is, is private: {received}");
    let queued = objects(&home, &["queue", "list"]);
    assert_eq!(queued.len(), 1, "{queued:?}");
    assert!(queued[0].to_string().contains("friend@elsewhere.example"), "{queued:?}");

    // Revoked before the primary gets what was sent with it: it is held, and not sent.
    pair.primary.take().unwrap().kill();
    wait_for("the relay notices", || status(&relay)["connected"] == false);
    let mut smtp = Smtp::connect(port).unwrap();
    assert!(sign_in(&mut smtp, ANNA, &phone).starts_with("235"));
    assert!(smtp.send(ANNA, &[BERT], &from(ANNA, "stolen")).unwrap().starts_with("250"));
    pair.wire.hold(&wire::BOTH);
    pair.start_primary();
    revoke_all(pair.primary.as_ref().unwrap(), ANNA);
    pair.wire.heal();
    wait_for("it is refused", || status(&relay)["backlog"]["refused"] == 1);
    assert!(objects(&relay, &["relay", "held"])[0]["refused"].as_str().unwrap().starts_with("550 5.7.1"));
    assert_eq!(got(&pair), once("by the relay"));
}

#[test]
fn a_relay_signs_nobody_in_unless_both_machines_are_configured_to() {
    let on = "[relay]\nsubmissions = true\n".to_owned();
    let mut pair = Pair::configured(&[ANNA], [String::new(), on]);
    let phone = app_password(pair.primary.as_ref().unwrap(), ANNA, "Phone");
    said(pair.dirs[0].path(), &["account", "set", ANNA, "--sends-by-relay", "on"]);
    pair.has_the_list();
    pair.primary.take().unwrap().kill();
    let relay = pair.dirs[1].path().to_owned();
    wait_for("the relay notices", || status(&relay)["connected"] == false);
    let mut smtp = Smtp::connect(pair.relay.as_ref().unwrap().address("submission")).unwrap();
    let said = sign_in(&mut smtp, ANNA, &phone);
    assert!(said.starts_with("454 4.7.0"), "{said}");
    assert_eq!(status(&relay)["app_passwords"], 0);
    // Without the setting on the relay, nothing listens.
    pair.relay.take().unwrap().stop();
    pair.configs[1] = String::new();
    pair.start_relay();
    assert!(!pair.relay.as_ref().unwrap().listens("submission"));
}
