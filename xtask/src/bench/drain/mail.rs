//! The mail: what is tried while the primary is dark, and what comes while the backlog drains.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use socket2::{Domain, Socket, Type};

use super::accounts::{ACCOUNTS, FRESH, account, fresh};
use super::imap::Imap;

/// Servers that give mail at once.
const SENDERS: u64 = 8;
/// Messages of one connection: the service closes it after a thousand.
const OF_ONE_CONNECTION: u64 = 500;
/// Unknown recipients of one connection.
const TRIES: u64 = 3;
/// Between two new messages to one account.
const FRESH_EVERY: Duration = Duration::from_millis(500);

const HAM: [&str; 24] = [
    "meeting", "monday", "report", "attached", "thanks", "project", "garden", "schedule", "regards", "question",
    "draft", "train", "dinner", "invoice", "library", "weather", "budget", "children", "review", "printer", "holiday",
    "answer", "chapter", "minutes",
];
const SPAM: [&str; 16] = [
    "cheap",
    "watches",
    "click",
    "winner",
    "million",
    "lottery",
    "viagra",
    "casino",
    "unsubscribe",
    "guaranteed",
    "offer",
    "free",
    "credit",
    "urgent",
    "transfer",
    "bonus",
];

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

/// What was taken, by account.
pub struct Sent(Vec<Vec<String>>);

impl Sent {
    pub fn count(&self) -> u64 {
        self.0.iter().map(|of_one| of_one.len() as u64).sum()
    }

    /// How many are not there, and how many are more than once.
    pub fn compare(&self, found: &[HashMap<String, u32>]) -> (u64, u64) {
        let (mut lost, mut twice) = (0, 0);
        for (sent, found) in self.0.iter().zip(found) {
            lost += sent.iter().filter(|subject| !found.contains_key(*subject)).count() as u64;
            twice += found.values().map(|count| u64::from(count - 1)).sum::<u64>();
        }
        (lost, twice)
    }
}

/// Tries so many messages: three of ten are for nobody.
pub fn send_all(smtp: &str, messages: u64) -> Result<Sent> {
    let next = Arc::new(AtomicU64::new(0));
    let senders: Vec<JoinHandle<Result<Vec<Vec<String>>>>> = (0..SENDERS)
        .map(|sender| {
            let (next, smtp) = (Arc::clone(&next), smtp.to_owned());
            thread::spawn(move || send_some(&smtp, sender, &next, messages))
        })
        .collect();
    let mut all = vec![Vec::new(); ACCOUNTS];
    for sender in senders {
        let sent = sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        for (all, sent) in all.iter_mut().zip(sent) {
            all.extend(sent);
        }
    }
    Ok(Sent(all))
}

fn send_some(smtp: &str, sender: u64, next: &AtomicU64, messages: u64) -> Result<Vec<Vec<String>>> {
    let mut sent = vec![Vec::new(); ACCOUNTS];
    let mut dice = Dice(sender + 1);
    let (mut open, mut given, mut unknown): (Option<Smtp>, u64, Vec<u64>) = (None, 0, Vec::new());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let is_over = number >= messages;
        if !is_over && number % 10 < 3 {
            unknown.push(number);
        }
        if unknown.len() as u64 >= TRIES || is_over {
            try_nobody(smtp, std::mem::take(&mut unknown))?;
        }
        if is_over {
            return Ok(sent);
        }
        if number % 10 < 3 {
            continue;
        }
        if given % OF_ONE_CONNECTION == 0 {
            open = Some(Smtp::connect_from(smtp, network(number))?);
        }
        given += 1;
        let smtp = open.as_mut().context("a connection")?;
        let (to, is_spam) = (dice.below(ACCOUNTS), dice.below(10) < 4);
        let subject = format!("message {number}");
        smtp.give(&account(to), &message(&mut dice, &subject, is_spam))?;
        sent[to].push(subject);
    }
}

/// An address of this machine, in a network of its own for each of many.
fn network(number: u64) -> Ipv4Addr {
    let [.., a, b, c] = number.to_be_bytes();
    Ipv4Addr::new(127, a + 1, b, c.max(1))
}

/// Recipients that nobody has.
fn try_nobody(smtp: &str, numbers: Vec<u64>) -> Result<()> {
    let Some(first) = numbers.first() else { return Ok(()) };
    let mut smtp = Smtp::connect_from(smtp, network(*first))?;
    smtp.say("MAIL FROM:<x@sender.example>", "250")?;
    for number in numbers {
        smtp.say(&format!("RCPT TO:<nobody{number}@drain.example>"), "550 5.1.1")?;
    }
    smtp.say("QUIT", "221")
}

/// A message as it is: some kilobytes of text, a few much larger.
fn message(dice: &mut Dice, subject: &str, is_spam: bool) -> String {
    let size = match dice.below(100) {
        0..70 => 500 + dice.below(2_500),
        70..97 => 3_000 + dice.below(7_000),
        _ => 20_000 + dice.below(60_000),
    };
    let words: &[&str] = if is_spam { &SPAM } else { &HAM };
    let who = dice.below(2_000);
    let mut text = format!(
        "From: Sender {who} <s{who}@sender{}.example>\r\nTo: <someone@drain.example>\r\nSubject: {subject}\r\n\
         Date: Mon, 30 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{subject}.{who}@sender.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
        who % 200
    )
    .replace("<message ", "<message.");
    while text.len() < size {
        for _ in 0..10 {
            let _ = write!(text, "{} ", words[dice.below(words.len())]);
        }
        let _ = write!(text, "{}\r\n", dice.below(1_000_000));
    }
    text
}

/// A connection to the relay, greeted.
struct Smtp(BufReader<TcpStream>);

impl Smtp {
    fn connect_from(address: &str, own: Ipv4Addr) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((own, 0)).into())?;
        socket.connect(&address.parse::<SocketAddr>()?.into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let mut smtp = Self(BufReader::new(stream));
        smtp.expect("220")?;
        smtp.say("EHLO client.example.net", "250")?;
        Ok(smtp)
    }

    /// Reads one reply, which must be that.
    fn expect(&mut self, reply: &str) -> Result<()> {
        loop {
            let mut line = String::new();
            ensure!(self.0.read_line(&mut line)? > 0, "the connection was closed");
            if line.as_bytes().get(3) == Some(&b' ') {
                ensure!(line.starts_with(reply), "{reply} was expected, not {line}");
                return Ok(());
            }
        }
    }

    fn say(&mut self, command: &str, reply: &str) -> Result<()> {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
        self.expect(reply)
    }

    /// One message, its commands at once (RFC 2920).
    fn give(&mut self, to: &str, message: &str) -> Result<()> {
        let commands = format!("MAIL FROM:<x@sender.example>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        self.0.get_mut().write_all(commands.as_bytes())?;
        for reply in ["250", "250", "354"] {
            self.expect(reply)?;
        }
        self.0.get_mut().write_all(format!("{message}\r\n.\r\n").as_bytes())?;
        self.expect("250")
    }
}

/// New mail: when each message got its 250, and when a client that waits saw it.
pub struct Fresh {
    is_over: Arc<AtomicBool>,
    sender: JoinHandle<Result<Vec<Vec<Instant>>>>,
    clients: Vec<(TcpStream, JoinHandle<Vec<Instant>>)>,
    seen: Arc<Mutex<u64>>,
}

impl Fresh {
    pub fn start(smtp: &str, imap: &str) -> Result<Self> {
        let (is_over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let mut clients = Vec::new();
        for number in 0..FRESH {
            let mut imap = Imap::login(imap, &fresh(number))?;
            imap.command("EXAMINE INBOX")?;
            let handle = imap.handle()?;
            let seen = Arc::clone(&seen);
            clients.push((handle, thread::spawn(move || idle(imap, &seen))));
        }
        let (over, smtp) = (Arc::clone(&is_over), smtp.to_owned());
        let sender = thread::spawn(move || {
            let mut taken = vec![Vec::new(); FRESH];
            let mut dice = Dice(4_711);
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                let mut open = Smtp::connect_from(&smtp, Ipv4Addr::LOCALHOST)?;
                for _ in 0..OF_ONE_CONNECTION {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let to = number % FRESH;
                    open.give(&fresh(to), &message(&mut dice, &format!("fresh {number}"), false))?;
                    taken[to].push(Instant::now());
                    number += 1;
                    thread::sleep(FRESH_EVERY / FRESH as u32);
                }
            }
            Ok(taken)
        });
        Ok(Self { is_over, sender, clients, seen })
    }

    /// Stops; gives how long each message took from its 250 until it was seen, in ascending order.
    pub fn stop(self) -> Result<Vec<Duration>> {
        self.is_over.store(true, Ordering::Relaxed);
        let taken = self.sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        let all: u64 = taken.iter().map(|of_one| of_one.len() as u64).sum();
        let begun = Instant::now();
        while *self.seen.lock().expect("it does not panic") < all {
            ensure!(begun.elapsed() < Duration::from_secs(60), "new mail was not seen");
            thread::sleep(Duration::from_millis(20));
        }
        let mut took = Vec::new();
        for ((handle, client), taken) in self.clients.into_iter().zip(taken) {
            let _ = handle.shutdown(Shutdown::Both);
            let seen = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
            took.extend(taken.iter().zip(seen).map(|(taken, seen)| seen.saturating_duration_since(*taken)));
        }
        took.sort();
        Ok(took)
    }
}

/// Waits for mail until the connection ends; gives when the first, the second, and so on was there.
fn idle(mut imap: Imap, all: &Mutex<u64>) -> Vec<Instant> {
    let mut seen = Vec::new();
    if imap.send("a IDLE").is_err() {
        return seen;
    }
    while let Ok(line) = imap.line() {
        let exists = line.trim_end().strip_prefix("* ").and_then(|line| line.strip_suffix(" EXISTS"));
        let Some(count) = exists.and_then(|count| count.parse::<usize>().ok()) else { continue };
        *all.lock().expect("it does not panic") += count.saturating_sub(seen.len()) as u64;
        seen.resize(count.max(seen.len()), Instant::now());
    }
    seen
}
