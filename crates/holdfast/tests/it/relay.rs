//! A relay takes mail while the primary is away, and gives it back: all of it, once each, whatever happens on the way.

mod postfix;
mod submissions;

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use crate::support::{
    Server,
    dns::Dns,
    holdfast,
    imap::Imap,
    ms, port, proved,
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
    /// The configuration of each.
    configs: [String; 2],
}

fn env_of(address: SocketAddr) -> [(&'static str, String); 1] {
    [("HOLDFAST_LISTEN__RELAY", address.to_string())]
}

impl Pair {
    fn new(accounts: &[&str]) -> Self {
        Self::configured(accounts, [String::new(), String::new()])
    }

    fn configured(accounts: &[&str], configs: [String; 2]) -> Self {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let address = SocketAddr::from(([127, 0, 0, 1], port()));
        let primary = Server::start_with_env(dirs[0].path(), &configs[0], &env_of(address));
        for account in accounts {
            primary.add_account(account);
        }
        let wire = Wire::before(address);
        let code = said(dirs[0].path(), &["relay", "pair"]).lines().next().unwrap().to_owned();
        let to = wire.address.to_string();
        let command = ["relay", "--primary", &to, "--code", &code, "--name", "two"];
        let relay = Server::start_as(dirs[1].path(), &configs[1], &command, &[]);
        let pair = Self { dirs, primary: Some(primary), relay: Some(relay), address, wire, configs };
        pair.has_the_list();
        pair
    }

    fn has_the_list(&self) {
        wait_for("the relay has the list", || status(self.dirs[0].path())["relays"][0]["list_is_current"] == true);
    }

    fn start_primary(&mut self) {
        self.primary = Some(Server::start_with_env(self.dirs[0].path(), &self.configs[0], &env_of(self.address)));
    }

    fn start_relay(&mut self) {
        self.relay = Some(Server::start_as(self.dirs[1].path(), &self.configs[1], &["relay"], &[]));
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

/// How many messages a test gives, unless the variable says so.
fn count_of(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// Sends messages over several connections at once: of ten, three are for nobody, and of the others four in ten are spam. Gives
/// how often each account was sent a message with which subject.
fn send_many(smtp: SocketAddr, accounts: &[&str], count: usize) -> BTreeMap<String, BTreeMap<String, usize>> {
    const SENDERS: usize = 4;
    let one_of = |sender: usize| {
        let mut sent: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        let (mut connection, mut given) = (Smtp::connect(smtp).unwrap(), 0);
        for number in (sender..count).step_by(SENDERS) {
            if number % 10 < 3 {
                // As from many networks: one that tries many unknown recipients is held back.
                let [_, a, b, c] = u32::try_from(number).unwrap().to_be_bytes();
                let mut stranger = Smtp::connect_from([127, a + 1, b, c].into(), smtp).unwrap();
                stranger.command("MAIL FROM:<x@sender.example>").unwrap();
                let reply = stranger.command(&format!("RCPT TO:<nobody{number}@example.org>")).unwrap();
                assert!(reply.starts_with("550 5.1.1"), "{reply}");
                continue;
            }
            // One connection takes so many messages.
            given += 1;
            if given % 900 == 0 {
                connection = Smtp::connect(smtp).unwrap();
            }
            let text = if number % 5 < 2 { "Buy cheap watches now, click here\r\n" } else { "See you on Monday.\r\n" };
            let subject = format!("m {number}");
            let to: Vec<&str> =
                if number % 7 == 0 { accounts[..2].to_vec() } else { vec![accounts[number / 10 % accounts.len()]] };
            let reply = connection.send("x@sender.example", &to, &(message(&subject) + text)).unwrap();
            assert!(reply.starts_with("250"), "{reply}");
            for account in to {
                sent.entry(account.to_owned()).or_default().insert(subject.clone(), 1);
            }
        }
        sent
    };
    let mut all: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || one_of(sender))).collect();
        for sender in senders {
            for (account, sent) in sender.join().unwrap() {
                all.entry(account).or_default().extend(sent);
            }
        }
    });
    all
}

/// How often the link is cut, and after which of the cuts a machine is killed.
const CUTS: u64 = 100;
const KILL_EVERY: u64 = 16;
/// What a connection needs for itself, and what a message does at least, in bytes on the wire: the cuts come while there is mail.
const HANDSHAKE_BYTES: u64 = 2_500;
const MESSAGE_BYTES: u64 = 200;

/// `HOLDFAST_RELAY_CUT_MESSAGES`: how many messages there are.
#[test]
fn nothing_is_lost_and_nothing_comes_twice_when_links_break_and_machines_are_killed() {
    let messages = count_of("HOLDFAST_RELAY_CUT_MESSAGES", 600);
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut pair = Pair::new(&[ANNA, BERT]);
    pair.primary.take().unwrap().kill();
    let sent = send_many(pair.smtp(), &[ANNA, BERT], messages);
    let begun = Instant::now();
    pair.start_primary();
    let share = messages as u64 * 7 / 10 * MESSAGE_BYTES / CUTS;
    let mut kills = [0, 0];
    for cut in 1..=CUTS {
        // In the middle of what it gives, wherever that is.
        let after = HANDSHAKE_BYTES + random.random_range(0..share * 2);
        wait_for("some of it is given", || pair.wire.passed() > after);
        pair.wire.break_all();
        if cut % KILL_EVERY == 0 {
            let which = usize::try_from(cut / KILL_EVERY % 2).unwrap();
            kills[which] += 1;
            if which == 0 {
                pair.primary.take().unwrap().kill();
                pair.start_primary();
            } else {
                pair.relay.take().unwrap().kill();
                pair.start_relay();
            }
        }
    }
    pair.is_clear();
    for account in [ANNA, BERT] {
        assert_eq!(pair.subjects(account), sent[account], "{account}");
    }
    proved(
        &format!("relay: {messages} messages drained while the link broke {CUTS} times and machines were killed"),
        "0 lost, 0 twice",
        &format!("{} s, the primary killed {} times, the relay {}", begun.elapsed().as_secs(), kills[0], kills[1]),
    );
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn what_a_restored_primary_lacks_is_given_again_and_what_it_has_is_not() {
    let mut pair = Pair::new(&[ANNA]);
    let mut smtp = Smtp::connect(pair.smtp()).unwrap();
    let mut sent = BTreeMap::new();
    let mut send = |smtp: &mut Smtp, subject: String| {
        assert!(smtp.send("x@sender.example", &[ANNA], &message(&subject)).unwrap().starts_with("250"));
        sent.insert(subject, 1);
    };
    for number in 0..5 {
        send(&mut smtp, format!("before {number}"));
    }
    pair.is_clear();
    pair.primary.take().unwrap().stop();
    let (data, kept) = (pair.dirs[0].path().join("data"), pair.dirs[0].path().join("kept"));
    copy_folder(&data, &kept);
    pair.start_primary();
    for number in 0..5 {
        send(&mut smtp, format!("after {number}"));
    }
    pair.is_clear();
    // What the primary acknowledges after the moment that it goes back to, and before the relay connects again.
    pair.primary.take().unwrap().stop();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&kept, &data).unwrap();
    pair.start_primary();
    wait_for("the lost messages are there again", || pair.subjects(ANNA) == sent);
    pair.is_clear();
    assert_eq!(pair.subjects(ANNA), sent, "once each");
    // The relay ends in order, and goes on.
    pair.relay.take().unwrap().stop();
    pair.start_relay();
    pair.is_clear();
    assert_eq!(pair.subjects(ANNA), sent);
}

#[test]
fn a_relay_answers_for_the_primary_and_only_as_long_as_it_is_one_of_its_own() {
    let mut pair = Pair::new(&[ANNA, BERT]);
    let rcpt = |smtp: SocketAddr, to: &str| -> String {
        let mut smtp = Smtp::connect(smtp).unwrap();
        smtp.command("MAIL FROM:<x@sender.example>").unwrap();
        smtp.command(&format!("RCPT TO:<{to}>")).unwrap()
    };
    // A full mailbox, an address that goes, a catch-all that comes.
    assert!(rcpt(pair.smtp(), BERT).starts_with("250"));
    let large = format!("Subject: large\r\n\r\n{}\r\n", "x".repeat(70).repeat(20));
    let primary = pair.primary.as_ref().unwrap().address("smtp");
    let reply = Smtp::connect(primary).unwrap().send("x@sender.example", &[BERT], &large).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    said(pair.dirs[0].path(), &["account", "set", BERT, "--quota", "1 KB"]);
    wait_for("the mailbox is full", || rcpt(pair.smtp(), BERT).starts_with("452 4.2.2"));
    said(pair.dirs[0].path(), &["domain", "add", "all.example"]);
    said(pair.dirs[0].path(), &["account", "alias", ANNA, "@all.example"]);
    wait_for("the catch-all is known", || rcpt(pair.smtp(), "any+thing@all.example").starts_with("250"));
    said(pair.dirs[0].path(), &["account", "alias", ANNA, "@all.example", "--remove"]);
    wait_for("the catch-all is gone", || rcpt(pair.smtp(), "any+thing@all.example").starts_with("550 5.1.1"));

    // The wrong folder for each command.
    let folder = run(pair.dirs[1].path(), &["account", "list"]);
    assert!(!folder.status.success(), "{folder:?}");
    let name = status(pair.dirs[0].path())["relays"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(status(pair.dirs[0].path())["relays"][0]["is_near"], true, "both are on this machine");
    said(pair.dirs[0].path(), &["relay", "remove", &name]);
    wait_for("it takes nothing that nobody would get", || rcpt(pair.smtp(), ANNA).starts_with("451"));
    assert!(run(pair.dirs[1].path(), &["relay", "status"]).status.code() == Some(1), "an alarm");
    pair.relay.take().unwrap().stop();
    // A code that is wrong, and one for each.
    let to = pair.wire.address.to_string();
    let code = said(pair.dirs[0].path(), &["relay", "pair"]).lines().next().unwrap().to_owned();
    let changed: String = code.chars().rev().map(|c| if c == '0' { '1' } else { '0' }).take(4).collect();
    let wrong = format!("{}{changed}", &code[..code.len() - 4]);
    let refused = run(pair.dirs[1].path(), &["relay", "--primary", &to, "--code", &wrong]);
    assert!(!refused.status.success(), "{refused:?}");
    let command = ["relay", "--primary", &to, "--code", &code];
    pair.relay = Some(Server::start_as(pair.dirs[1].path(), "", &command, &[]));
    pair.has_the_list();
    wait_for("it takes mail again", || rcpt(pair.smtp(), ANNA).starts_with("250"));
}

/// `HOLDFAST_RELAY_MESSAGES`: how many messages are tried while the primary is away; seven of ten are taken.
#[test]
fn what_waited_is_drained_while_new_mail_is_there_within_seconds() {
    const FRESH: &str = "fresh@example.org";
    let messages = count_of("HOLDFAST_RELAY_MESSAGES", 600);
    let accounts: Vec<String> = (0..10).map(|number| format!("a{number}@example.org")).collect();
    let mut names: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let mut pair = Pair::new(&[&names[..], &[FRESH]].concat());
    pair.primary.take().unwrap().kill();
    let smtp = pair.smtp();
    let begun = Instant::now();
    let sent = send_many(smtp, &names, messages);
    let taking = begun.elapsed();
    let waiting = status(pair.dirs[1].path())["backlog"]["waiting"].as_u64().unwrap();
    pair.start_primary();
    let begun = Instant::now();
    let imap = pair.primary.as_ref().unwrap().address("imap");
    let (mut took, mut said) = (Vec::new(), Vec::new());
    let mut connection = Smtp::connect(smtp).unwrap();
    let mut inbox = Imap::login(imap, FRESH).unwrap();
    inbox.command("EXAMINE INBOX").unwrap().ok();
    inbox.send("IDLE").unwrap();
    assert!(inbox.response().unwrap().starts_with('+'));
    let drained = loop {
        let now = status(pair.dirs[0].path());
        let (left, given) = (&now["relays"][0]["backlog"]["waiting"], &now["relays"][0]["backlog"]["given"]);
        if left == 0 && now["all_clear"] == true {
            break begun.elapsed();
        }
        if let (Some(left), true) =
            (now["relays"][0]["backlog"]["left_seconds"].as_f64(), given.as_u64() >= Some(waiting / 10))
        {
            said.push((begun.elapsed().as_secs_f64(), left));
        }
        let exists = format!("* {} EXISTS", took.len() + 1);
        assert!(connection.send("x@sender.example", &[FRESH], &message("fresh")).unwrap().starts_with("250"));
        let taken = Instant::now();
        while inbox.response().unwrap() != exists {}
        took.push(taken.elapsed());
    };
    took.sort();
    let p95 = took.get(took.len() * 95 / 100).copied().unwrap_or_default();
    let all = drained.as_secs_f64();
    let worst = said.iter().map(|(at, left)| ((at + left) / all - 1.0).abs()).fold(0.0, f64::max);
    names.sort_unstable();
    for account in names {
        assert_eq!(&pair.subjects(account), &sent[account], "{account}");
    }
    let worst = format!("{} estimates after a tenth were off by at most {:.0} %", said.len(), worst * 100.0);
    proved(
        &format!("relay: {messages} messages tried while the primary was away, {waiting} taken"),
        "0 lost, 0 twice",
        &format!("tried in {:.1} s, drained in {all:.1} s, fresh mail p95 {}; {worst}", taking.as_secs_f64(), ms(p95)),
    );
}

/// The headers of all messages in a mailbox of an account, in their order, each field on one line.
fn headers(server: &Server, account: &str, mailbox: &str) -> Vec<String> {
    let mut imap = Imap::login(server.address("imap"), account).unwrap();
    let selected = imap.command(&format!("SELECT {mailbox}")).unwrap().ok();
    let exists = |line: &String| line.trim_end().strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok();
    let count: u32 = selected.untagged.iter().find_map(exists).unwrap_or(0);
    let header = |number: u32| {
        let bytes = imap.literal(&format!("FETCH {number} BODY.PEEK[HEADER]")).unwrap();
        String::from_utf8(bytes).unwrap().replace("\r\n\t", " ")
    };
    (1..=count).map(header).collect()
}

#[test]
fn senders_are_checked_when_mail_arrives_at_the_relay_and_nobody_is_asked_again() {
    let (at_relay, at_home) = (Dns::start(), Dns::start());
    at_relay.txt("good.test", "v=spf1 ip4:127.0.0.1 -all");
    at_relay.txt("evil.test", "v=spf1 ip4:127.0.0.1 -all");
    for domain in ["good", "bank", "list"] {
        at_relay.txt(&format!("_dmarc.{domain}.test"), "v=DMARC1; p=reject");
    }
    at_relay.txt("_dmarc.shop.test", "v=DMARC1; p=quarantine");
    // The world has changed by the time when the primary is back: what it would hear then is wrong for this mail.
    for domain in ["good", "evil"] {
        at_home.txt(&format!("{domain}.test"), "v=spf1 -all");
        at_home.txt(&format!("_dmarc.{domain}.test"), "v=DMARC1; p=reject");
    }
    // The relay does as the primary is configured, not as its own configuration has it.
    let home = format!("{}[senders]\ntrusted_networks = []\nown_domains = \"reject\"\n", at_home.config());
    let mut pair = Pair::configured(&[ANNA], [home, at_relay.config()]);
    pair.primary.take().unwrap().kill();
    let list = "List-Post: <mailto:all@evil.test>\r\n";
    let mut smtp = Smtp::connect(pair.smtp()).unwrap();
    for (subject, sender, author, more, reply) in [
        ("good", "ann@good.test", "Ann <ann@good.test>", "", "250"),
        ("refused", "x@evil.test", "Bank <a@bank.test>", "", "550 5.7.1"),
        ("shop", "x@evil.test", "a@shop.test", "", "250"),
        ("own", "x@evil.test", "boss@example.org", "", "550 5.7.1"),
        // A list that one of the accounts may know.
        ("list", "bounces@evil.test", "a@bank.test", list, "250"),
        ("itself", "x@evil.test", "x@evil.test", "", "250"),
        ("no domain", "x@nowhere.test", "x@nowhere.test", "", "250"),
    ] {
        let text = format!("From: {author}\r\nTo: {ANNA}\r\n{more}Subject: {subject}\r\n\r\nHello.\r\n");
        let said = smtp.send(sender, &[ANNA], &text).unwrap();
        assert!(said.starts_with(reply), "{subject}: {said}");
    }
    pair.start_primary();
    pair.is_clear();
    let primary = pair.primary.as_ref().unwrap();
    let found = |mailbox: &str| -> BTreeMap<String, String> {
        let with_subject = |header: String| {
            (header.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned(), header)
        };
        headers(primary, ANNA, mailbox).into_iter().map(with_subject).collect()
    };
    let (inbox, junk) = (found("INBOX"), found("Junk"));
    assert_eq!(inbox.keys().collect::<Vec<_>>(), ["good", "itself", "no domain"]);
    assert_eq!(junk.keys().collect::<Vec<_>>(), ["list", "shop"]);
    for (header, parts) in [
        (&inbox["good"], ["; spf=pass smtp.mailfrom=ann@good.test", "; dmarc=pass (p=reject of good.test)"]),
        (&inbox["itself"], ["; spf=pass smtp.mailfrom=x@evil.test", "; dmarc=none header.from=evil.test"]),
        (&inbox["no domain"], ["; spf=none smtp.mailfrom=x@nowhere.test", "; dmarc=none"]),
        (&junk["shop"], ["; spf=pass smtp.mailfrom=x@evil.test", "; dmarc=fail (p=quarantine of shop.test)"]),
        (&junk["list"], ["; dmarc=fail (p=reject of bank.test)", "X-Holdfast-Refused: 550 5.7.1"]),
    ] {
        let results: Vec<_> = header.lines().filter(|line| line.starts_with("Authentication-Results: ")).collect();
        let [results] = results.as_slice() else { panic!("{header}") };
        assert!(results.contains("; iprev=") && results.contains("policy.iprev=127.0.0.1"), "{results}");
        for part in parts {
            assert!(header.contains(part), "{part} is not in {header}");
        }
    }
}

/// The objects that a command prints with `--json`.
fn objects(dir: &Path, args: &[&str]) -> Vec<Value> {
    let output = run(dir, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_the_primary_refused_can_be_looked_at_exported_and_given_again() {
    let mut pair = Pair::new(&[ANNA, BERT]);
    let [primary, relay] = [pair.dirs[0].path().to_owned(), pair.dirs[1].path().to_owned()];
    pair.primary.take().unwrap().kill();
    let mut smtp = Smtp::connect(pair.smtp()).unwrap();
    let large = format!("{}{}", message("large"), "x".repeat(70).as_str().to_owned() + "\r\n");
    for (to, text) in [(ANNA, message("anna")), (BERT, message("bert")), (BERT, large)] {
        assert!(smtp.send("x@sender.example", &[to], &text).unwrap().starts_with("250"));
    }
    let waiting = objects(&relay, &["relay", "held", "--waiting"]);
    assert_eq!(waiting.len(), 3);
    assert!(waiting.iter().all(|held| held["refused"].is_null() && held["from"] == "x@sender.example"), "{waiting:?}");
    assert!(objects(&relay, &["relay", "held"]).is_empty());
    // The account goes while nobody can tell the relay.
    said(&primary, &["account", "delete", BERT, "--yes"]);
    pair.start_primary();
    pair.is_clear();
    let refused = objects(&relay, &["relay", "held"]);
    assert_eq!(refused.len(), 2, "{refused:?}");
    for held in &refused {
        assert_eq!(held["recipients"], serde_json::json!([BERT]));
        assert!(held["refused"].as_str().unwrap().starts_with("550 5.1.1"), "{held}");
    }
    assert_eq!(status(&relay)["backlog"]["refused"], 2);
    let id = |held: &Value| held["id"].as_str().unwrap().to_owned();
    let (first, second) = (id(&refused[0]), id(&refused[1]));
    let folder = relay.join("out");
    said(&relay, &["relay", "export", folder.to_str().unwrap()]);
    let exported = std::fs::read_to_string(folder.join(format!("{first}.eml"))).unwrap();
    assert!(exported.starts_with(&format!("Return-Path: <x@sender.example>\r\nX-Envelope-To: {BERT}\r\nReceived: ")));
    assert!(exported.trim_end().ends_with(message("bert").trim_end()), "{exported}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    // These are for the relay, and for what is there.
    assert!(!run(&primary, &["relay", "retry", "all"]).status.success());
    assert!(!run(&relay, &["relay", "retry", "nonsense"]).status.success());
    assert_eq!(objects(&relay, &["relay", "retry", &id(&waiting[0])])[0]["retried"], 0, "the primary has it");
    // The account is there again.
    pair.primary.as_ref().unwrap().add_account(BERT);
    assert_eq!(objects(&relay, &["relay", "drop", &second])[0]["deleted"], 1);
    assert_eq!(objects(&relay, &["relay", "retry", "all"])[0]["retried"], 1);
    wait_for("it is filed", || pair.subjects(BERT).len() == 1);
    pair.is_clear();
    assert_eq!(pair.subjects(BERT), BTreeMap::from([("bert".to_owned(), 1)]));
    assert!(objects(&relay, &["relay", "held"]).is_empty());
    assert_eq!(pair.subjects(ANNA).len(), 1);
}
