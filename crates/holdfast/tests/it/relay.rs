//! A relay takes mail while the primary is away, and gives it back: all of it, once each, whatever happens on the way.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use crate::support::{
    Server, holdfast,
    imap::Imap,
    port, proved,
    smtp::Smtp,
    standby::{run, said},
    wait_for,
    wire::Wire,
};

const ANNA: &str = "anna@example.org";
const BERT: &str = "bert@example.org";

/// A primary with its listener for relays, and the wire by which they reach it.
struct Pair {
    dirs: [tempfile::TempDir; 2],
    primary: Option<Server>,
    relay: Option<Server>,
    address: SocketAddr,
    wire: Wire,
}

fn env_of(address: SocketAddr) -> [(&'static str, String); 1] {
    [("HOLDFAST_LISTEN__RELAY", address.to_string())]
}

impl Pair {
    fn new(accounts: &[&str]) -> Self {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let address = SocketAddr::from(([127, 0, 0, 1], port()));
        let primary = Server::start_with_env(dirs[0].path(), "", &env_of(address));
        for account in accounts {
            primary.add_account(account);
        }
        let wire = Wire::before(address);
        let code = said(dirs[0].path(), &["relay", "pair"]).lines().next().unwrap().to_owned();
        let to = wire.address.to_string();
        let command = ["relay", "--primary", &to, "--code", &code, "--name", "two"];
        let relay = Server::start_as(dirs[1].path(), "", &command, &[]);
        let pair = Self { dirs, primary: Some(primary), relay: Some(relay), address, wire };
        pair.has_the_list();
        pair
    }

    fn has_the_list(&self) {
        wait_for("the relay has the list", || status(self.dirs[0].path())["relays"][0]["list_is_current"] == true);
    }

    fn start_primary(&mut self) {
        self.primary = Some(Server::start_with_env(self.dirs[0].path(), "", &env_of(self.address)));
    }

    fn start_relay(&mut self) {
        self.relay = Some(Server::start_as(self.dirs[1].path(), "", &["relay"], &[]));
    }

    fn smtp(&self) -> SocketAddr {
        self.relay.as_ref().unwrap().address("smtp")
    }

    fn is_clear(&self) {
        wait_for("nothing waits on the relay", || {
            let said = status(self.dirs[0].path());
            said["all_clear"] == true
        });
    }

    /// What the mailbox of an account has, by subject.
    fn subjects(&self, account: &str) -> BTreeMap<String, usize> {
        let primary = self.primary.as_ref().unwrap();
        let mut found = BTreeMap::new();
        for subject in crate::support::standby::subjects(primary.address("imap"), account) {
            *found.entry(subject).or_default() += 1;
        }
        found
    }
}

/// `relay status --json` of the machine in `dir`.
fn status(dir: &Path) -> Value {
    let output = run(dir, &["relay", "status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn message(subject: &str) -> String {
    format!("From: x@sender.example\r\nSubject: {subject}\r\n\r\nHello\r\n")
}

#[test]
fn a_relay_takes_mail_while_the_primary_is_away_and_gives_it_back_once() {
    let mut pair = Pair::new(&[ANNA, BERT]);
    said(pair.dirs[0].path(), &["account", "alias", ANNA, "info@example.org"]);
    wait_for("the list follows", || {
        let mut smtp = Smtp::connect(pair.smtp()).unwrap();
        smtp.command("MAIL FROM:<x@sender.example>").unwrap();
        smtp.command("RCPT TO:<info@example.org>").unwrap().starts_with("250")
    });
    pair.primary.take().unwrap().kill();
    let mut smtp = Smtp::connect(pair.smtp()).unwrap();
    assert!(smtp.command("MAIL FROM:<x@sender.example>").unwrap().starts_with("250"));
    for (to, reply) in [
        ("nobody@example.org", "550 5.1.1"),
        ("anna@elsewhere.example", "550 5.7.1"),
        ("Anna+Lists@example.org", "250"),
        ("postmaster@example.org", "250"),
        ("postmaster", "250"),
    ] {
        let said = smtp.command(&format!("RCPT TO:<{to}>")).unwrap();
        assert!(said.starts_with(reply), "{to}: {said}");
    }
    smtp.command("RSET").unwrap();
    let mut sent = BTreeMap::new();
    for number in 0..30 {
        let subject = format!("dark {number}");
        let (to, from) =
            ([&[ANNA][..], &["info@example.org", BERT]][number % 2], ["x@sender.example", ""][number % 3 % 2]);
        assert!(smtp.send(from, to, &message(&subject)).unwrap().starts_with("250"));
        sent.insert(subject, 1);
    }
    assert_eq!(status(pair.dirs[1].path())["backlog"]["waiting"], 30);
    // Neither its end nor the primary's loses anything.
    pair.relay.take().unwrap().kill();
    pair.start_relay();
    assert_eq!(status(pair.dirs[1].path())["backlog"]["waiting"], 30);
    let begun_ms = jiff::Timestamp::now().as_millisecond();
    pair.start_primary();
    pair.is_clear();
    assert_eq!(pair.subjects(ANNA), sent);
    let of_bert = sent.into_iter().filter(|(subject, _)| subject[5..].parse::<u32>().unwrap() % 2 == 1).collect();
    assert_eq!(pair.subjects(BERT), of_bert);

    // The relay's trace is there, the client it saw is, and the message has the time when it came.
    let mut imap = Imap::login(pair.primary.as_ref().unwrap().address("imap"), ANNA).unwrap();
    imap.command("EXAMINE INBOX").unwrap();
    let said = imap.command("FETCH 1 (INTERNALDATE BODY.PEEK[HEADER])").unwrap();
    let said = said.untagged.concat();
    assert_eq!(said.matches("Received: ").count(), 2, "{said}");
    assert!(said.contains("HOLDFAST-RELAY") && said.contains("from client.example.net ([127.0.0.1])"), "{said}");
    let date = said.split("INTERNALDATE \"").nth(1).and_then(|rest| rest.get(..26)).unwrap().trim().to_owned();
    let date = jiff::Timestamp::strptime("%d-%b-%Y %H:%M:%S %z", &date).unwrap().as_millisecond();
    assert!(date <= begun_ms, "the arrival at the relay");
    // Nobody was sent a report.
    let queue = holdfast(pair.dirs[0].path(), &["queue", "list", "--json"], "");
    assert!(!String::from_utf8_lossy(&queue.stdout).contains("sender.example"), "{queue:?}");
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_when_links_break_and_machines_are_killed() {
    const MESSAGES: usize = 600;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut pair = Pair::new(&[ANNA, BERT]);
    pair.primary.take().unwrap().kill();
    let mut smtp = Smtp::connect(pair.smtp()).unwrap();
    let mut sent = [BTreeMap::new(), BTreeMap::new()];
    for number in 0..MESSAGES {
        let subject = format!("m {number}");
        let whose = random.random_range(0..3);
        let to = [&[ANNA][..], &[BERT], &[ANNA, BERT]][whose];
        assert!(smtp.send("x@sender.example", to, &message(&subject)).unwrap().starts_with("250"));
        for (account, sent) in sent.iter_mut().enumerate() {
            if whose == 2 || whose == account {
                sent.insert(subject.clone(), 1);
            }
        }
    }
    let begun = std::time::Instant::now();
    pair.start_primary();
    let mut cuts = 0;
    while status(pair.dirs[0].path())["all_clear"] != true {
        match random.random_range(0..12) {
            0 => {
                pair.primary.take().unwrap().kill();
                pair.start_primary();
            }
            1 => {
                pair.relay.take().unwrap().kill();
                pair.start_relay();
            }
            _ => {}
        }
        if cuts < 100 {
            pair.wire.break_all();
            cuts += 1;
        }
    }
    assert_eq!([pair.subjects(ANNA), pair.subjects(BERT)], sent);
    proved(
        "relay: drained while links broke and machines were killed",
        "0 lost, 0 twice",
        &format!("{} s", begun.elapsed().as_secs()),
    );
}
