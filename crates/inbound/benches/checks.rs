//! How many messages a second an account's mailbox takes with all checks and without any, in turns: SPF, DKIM (both kinds of keys),
//! DMARC, the spam filter, reports, a script of each account, forwarding. The DNS answers from memory, so that what is measured is
//! work and not waiting. Every message is durable before it counts. Run with `cargo bench -p inbound`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use delivery::{Delivery, DeliveryOptions, Envelope, Judge, Origin, Recipient};
use directory::{NewAccount, Role};
use dnskit::{Resolver, Zone};
use inbound::forwarding::ForwardingJudge;
use inbound::reports::ReportJudge;
use inbound::rules::RulesJudge;
use inbound::sender::{DnsPatience, Enforce, SenderCheck, SenderOptions};
use inbound::spam::SpamJudge;
use mailkit::dkim::{KeyKind, SigningKey, sign};
use testkit::House;

const ACCOUNTS: usize = 20;
const TASKS: usize = 50;
/// Messages that are sent over and over.
const MESSAGES: usize = 500;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(4);
const HOST: &str = "mx.here.example";
const SCRIPT: &str =
    "require \"fileinto\";\r\nif header :contains \"Subject\" \"unwanted\" { fileinto \"Trash\"; }\r\n";

fn address(number: usize) -> String {
    format!("u{number}@here.example")
}

/// Signed by their domain, whose records are in `zone`.
fn messages(zone: &Zone) -> Vec<Bytes> {
    let keys = [KeyKind::Ed25519, KeyKind::Rsa2048]
        .map(|kind| SigningKey::generate(kind, &format!("{kind:?}").to_ascii_lowercase()).expect("a key"));
    for key in &keys {
        zone.text(&key.dns_name("far.example"), &key.dns_record().expect("a record"));
    }
    zone.text("far.example", "v=spf1 ip4:192.0.2.0/24 -all");
    zone.text("_dmarc.far.example", "v=DMARC1; p=reject");
    zone.ptr("192.0.2.7", "mx.far.example");
    zone.address("mx.far.example", "192.0.2.7");
    let message = |number: usize| {
        let words: String = (0..600).map(|at| format!("word{} ", number.wrapping_mul(31) % 97 * at % 2_003)).collect();
        let lines: Vec<&str> =
            words.as_bytes().chunks(72).map(|line| std::str::from_utf8(line).expect("words")).collect();
        let text = format!(
            "From: Ann <ann@far.example>\r\nTo: someone\r\nSubject: News {number}\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
             Message-ID: <{number}@far.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n{}\r\n",
            lines.join("\r\n")
        );
        Bytes::from(sign(text.as_bytes(), &keys, "far.example").expect("a signature") + &text)
    };
    (0..MESSAGES).map(message).collect()
}

fn judges(house: &House, zone: &Arc<Zone>) -> Vec<Arc<dyn Judge>> {
    let House { store, directory, mailstore } = house;
    let resolver = Arc::clone(zone) as Arc<dyn Resolver>;
    let options = SenderOptions {
        hostname: HOST.to_owned(),
        dmarc: Enforce::Reject,
        own_domains: Enforce::Reject,
        trusted_networks: Vec::new(),
        trusted_sealers: Vec::new(),
        patience: DnsPatience::new(Duration::from_secs(5)),
    };
    let people = people::People::new(store.clone());
    let scripts = rules::Rules::new(store.clone());
    vec![
        Arc::new(SenderCheck::new(options, Arc::clone(&resolver), directory.clone(), mailstore.clone())),
        Arc::new(ReportJudge::new(HOST.to_owned(), directory.clone(), resolver)),
        Arc::new(SpamJudge::new(filter::spam::Spam::new(store.clone()), mailstore.clone(), people.clone())),
        Arc::new(RulesJudge::new(scripts, directory.clone(), mailstore.clone(), people, HOST)),
        Arc::new(ForwardingJudge::new(HOST.to_owned(), store.clone())),
    ]
}

/// Messages a second, within one round.
async fn round(delivery: &Delivery, messages: &[Bytes], first: usize) -> f64 {
    let began = Instant::now();
    let (mut running, mut number, mut done) = (tokio::task::JoinSet::new(), first, 0_u32);
    while began.elapsed() < ROUND || !running.is_empty() {
        while began.elapsed() < ROUND && running.len() < TASKS {
            let (delivery, message) = (delivery.clone(), messages[number % messages.len()].clone());
            let envelope = Envelope {
                from: Some("ann@far.example".parse().expect("an address")),
                recipients: vec![Recipient::new(address(number % ACCOUNTS).parse().expect("an address"))],
                ret: None,
                envid: None,
                body_8bit: false,
                require_tls: false,
                smtputf8: false,
                origin: Origin {
                    peer: Some([192, 0, 2, 7].into()),
                    helo: Some("mx.far.example".to_owned()),
                    esmtp: true,
                    ..Origin::default()
                },
            };
            running.spawn(async move { delivery.accept(envelope, &message).await.map(drop) });
            number += 1;
        }
        if let Some(taken) = running.join_next().await {
            taken.expect("no panic").expect("it is taken");
            done += 1;
        }
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

async fn run() {
    let dir = tempfile::tempdir().expect("a folder");
    let house = House::open(dir.path()).await;
    house.directory.add_domain("here.example").await.expect("a domain");
    let scripts = rules::Rules::new(house.store.clone());
    for number in 0..ACCOUNTS {
        let account = house.directory.create_account(NewAccount {
            address: address(number).parse().expect("an address"),
            name: String::new(),
            password: "correct horse battery".to_owned(),
            role: Role::User,
            quota_bytes: 0,
        });
        let realm = account.await.expect("an account").realm();
        scripts.put(realm, "main", SCRIPT).await.expect("a script");
        scripts.activate(realm, Some("main")).await.expect("it is active");
    }
    let zone = Arc::new(Zone::new());
    let messages = messages(&zone);
    let delivery = || {
        let options = DeliveryOptions { hostname: HOST.to_owned(), ..DeliveryOptions::default() };
        Delivery::new(house.store.clone(), house.directory.clone(), house.mailstore.clone(), options).expect("delivery")
    };
    let without = delivery();
    let with = delivery().with_judges(judges(&house, &zone)).expect("judges");
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        off.push(round(&without, &messages, number * MESSAGES).await);
        on.push(round(&with, &messages, number * MESSAGES).await);
        println!("round {number}: {:>7.0} a second without checks, {:>7.0} with all", off[number], on[number]);
    }
    let (off, on) = (middle(off), middle(on));
    println!("{off:.0} a second without checks, {on:.0} with all of them: {:.0} %", on / off * 100.0);
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}
