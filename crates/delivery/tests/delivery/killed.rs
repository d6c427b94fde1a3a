//! kill -9 in the middle of everything: what was acknowledged is there, once.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use directory::AccountId;
use mailstore::Role;

use crate::fake::Fake;
use crate::world::{World, address, envelope, options, submission};

/// Tells the child where its data is: and that it is one.
const DIR: &str = "DELIVERY_TEST_DIR";
const PORT: &str = "DELIVERY_TEST_PORT";
const ROUND: &str = "DELIVERY_TEST_ROUND";
/// Kills.
const ROUNDS: usize = 5;
/// Messages that may be between the other server's answer and its record when a kill comes.
const MOST_UNDER_WAY: usize = 16;

fn message(subject: &str) -> Vec<u8> {
    format!("From: alice@here.example\r\nSubject: {subject}\r\nMessage-ID: <{subject}@here.example>\r\n\r\nx\r\n")
        .into_bytes()
}

fn subject(message: &str) -> String {
    let (_, rest) = message.split_once("\r\nSubject: ").expect("a subject");
    rest.split("\r\n").next().unwrap_or_default().to_owned()
}

/// What the child process does: sends without end, and says what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let (port, round) = (std::env::var(PORT).unwrap().parse().unwrap(), std::env::var(ROUND).unwrap());
    let mut options = options(None);
    options.static_routes.insert("there.example".into(), delivery::NextHop::new("127.0.0.1", port));
    let mut world = World::reopen(dir.as_ref(), AccountId(1), AccountId(2), options);
    world.start();
    let world = Arc::new(world);
    let senders = (0..4).map(|sender| {
        let (world, round) = (Arc::clone(&world), round.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let key = format!("{round}-{sender}-{number}");
                if sender % 2 == 0 {
                    let mut send = submission(&world, key.as_bytes(), &["bob@here.example", "x@there.example"]);
                    send.message = message(&key).into();
                    world.delivery.submit(send).await.unwrap();
                } else {
                    let to =
                        envelope("alice@here.example", &["x@there.example", "bob@here.example"], Some(world.alice));
                    world.delivery.accept(to, &message(&key)).await.unwrap();
                }
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {key}").unwrap();
                out.flush().unwrap();
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
}

/// Runs a child until it has acknowledged `count` messages, then kills it. Gives all that it acknowledged.
fn run_and_kill(dir: &std::path::Path, port: u16, round: usize, count: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["killed::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(PORT, port.to_string())
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The last line may be cut off by the kill; then nobody was told.
        let Ok(line) = line else { break };
        if let Some((_, key)) = line.split_once("acknowledged ") {
            acknowledged.push(key.to_owned());
        }
        if acknowledged.len() == count {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= count, "the child sent what it should before it was killed");
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_and_is_there_once() {
    let fake = Fake::obliging().await;
    let world = World::stopped(options(None)).await;
    let (alice, bob, dir) = (world.alice, world.bob, world.close());
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let (path, port, count) = (dir.path().to_owned(), fake.address.port(), 5 + 13 * round);
        let run = tokio::task::spawn_blocking(move || run_and_kill(&path, port, round, count));
        acknowledged.extend(run.await.unwrap());
    }
    let mut world = World::reopen(dir.path(), alice, bob, options(Some(&fake)));
    world.check();
    world.start();
    world.until_queue_is_empty().await;
    world.check();

    let count = |messages: Vec<String>| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for message in &messages {
            *counts.entry(subject(message)).or_default() += 1;
        }
        counts
    };
    let filed = count(world.inbox(bob));
    let sent = count(world.mailbox(alice, Role::Sent));
    let arrived = count(fake.taken().into_iter().map(|taken| taken.message).collect());
    for key in &acknowledged {
        assert_eq!(filed.get(key), Some(&1), "{key} is in the mailbox here");
        assert!(arrived.contains_key(key), "{key} went out");
    }
    assert!(filed.values().chain(sent.values()).all(|&count| count == 1), "nothing is filed twice");
    assert_eq!(filed.keys().collect::<Vec<_>>(), arrived.keys().collect::<Vec<_>>(), "all of a message or nothing");
    for (key, _) in filed.iter().filter(|(key, _)| key.split('-').nth(1).is_some_and(|s| s == "0" || s == "2")) {
        assert!(sent.contains_key(key), "{key} has its copy");
        assert!(world.delivery.receipt(alice, key.as_bytes()).unwrap().is_some(), "{key} has its receipt");
    }
    // Sent twice can only be what the other server had taken a moment before the kill: a commit's worth, each time.
    let twice: usize = arrived.values().map(|count| count - 1).sum();
    assert!(twice <= ROUNDS * MOST_UNDER_WAY, "{twice} arrived twice");
    assert!(world.inbox(alice).is_empty(), "no reports");
    assert!(world.delivery.rcpt(&address("bob@here.example"), None).is_ok());
}

const HESITATE: &str = "DELIVERY_TEST_HESITATE";

/// Has decided, and is killed before it can say so.
struct Decided;

impl delivery::Judge for Decided {
    fn name(&self) -> &'static str {
        "decided"
    }

    fn begin(&self, _: &Arc<delivery::Case>) -> Option<Box<dyn delivery::Hearing>> {
        Some(Box::new(Self))
    }
}

#[async_trait::async_trait]
impl delivery::Hearing for Decided {
    async fn verdicts(
        self: Box<Self>,
        _: &delivery::Spooled,
        so_far: &[delivery::Verdict],
    ) -> Result<Vec<delivery::Verdict>, delivery::JudgeError> {
        println!("decided about {}", so_far.len());
        std::io::stdout().flush().unwrap();
        std::future::pending().await
    }
}

/// What the other child does: takes a message, large or small, up to its verdict.
#[tokio::test(flavor = "multi_thread")]
async fn hesitating_child() {
    let (Some(dir), Ok(bytes)) = (std::env::var_os(DIR), std::env::var(HESITATE)) else { return };
    let options = options(None);
    let world = World::reopen(dir.as_ref(), AccountId(1), AccountId(2), options.clone());
    let world = world.with_judges(options, vec![Arc::new(Decided)]);
    let text = [message("undecided"), b"0123456789\r\n".repeat(bytes.parse().unwrap())].concat();
    let to = envelope("x@far.example", &["alice@here.example", "bob@here.example"], None);
    world.delivery.accept(to, &text).await.unwrap();
    unreachable!("it is killed before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_verdict_and_commit_leaves_nothing_and_the_next_try_arrives_once() {
    let world = World::stopped(options(None)).await;
    let (alice, bob, dir) = (world.alice, world.bob, world.close());
    for lines in ["1", "200000"] {
        let path = dir.path().to_owned();
        let run = tokio::task::spawn_blocking(move || {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["killed::hesitating_child", "--exact", "--nocapture", "--test-threads=1"])
                .env(DIR, path)
                .env(HESITATE, lines)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let decided = lines.map_while(Result::ok).any(|line| line.contains("decided about 2"));
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(decided, "it came that far");
        });
        run.await.unwrap();
    }
    let world = World::reopen(dir.path(), alice, bob, options(None));
    assert!(world.inbox(alice).is_empty() && world.inbox(bob).is_empty());
    assert_eq!(world.stats().messages, 0);
    let to = envelope("x@far.example", &["alice@here.example", "bob@here.example"], None);
    world.delivery.accept(to, &message("undecided")).await.unwrap();
    assert_eq!((world.inbox(alice).len(), world.inbox(bob).len()), (1, 1));
    world.check();
}
