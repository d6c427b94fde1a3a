//! `cargo xtask bench`: Holdfast beside Postfix and Dovecot, on this machine, in one run.
//!
//! Both sides listen on loopback ports of their own, keep their data on the file system of the repository's `target`
//! folder, and sync what they acknowledge. Each comparison alternates between the sides, several rounds; what is
//! printed are medians, ranges and ratios, so that a busy moment of the machine weighs on both. Everything is bounded in
//! count and time, and both sides are stopped at the end, also after a failure.

mod drain;
mod holdfast;
mod imap;
mod load;
mod peer;
mod side;
mod table;

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{root, run};
use holdfast::Holdfast;
use load::{Load, quiet};
use peer::Peer;
use side::{ACCOUNTS, PASSWORD, Side};
use table::{Better, Table};

/// Connections at once in the delivery comparisons.
const CONNECTIONS: u32 = 50;
/// How long mail may take from its acceptance to its mailbox.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(180);

/// What is measured, in this order.
const PARTS: [&str; 6] = ["deliver", "source", "imap", "web", "disk", "idle"];

/// Who is compared.
const SIDES: [Side; 2] = [holdfast::SIDE, peer::SIDE];

/// How much of everything.
#[derive(Clone, Copy)]
struct Scale {
    rounds: usize,
    /// Messages of a delivery round, for the smallest size.
    deliveries: u64,
    /// Messages in the mailbox that IMAP reads.
    mailbox: u64,
    /// Connections that idle.
    idle: u32,
    /// Messages in the mailbox that the webmail lists.
    list: u64,
}

const FULL: Scale = Scale { rounds: 5, deliveries: 3_000, mailbox: 20_000, idle: 1_000, list: 100_000 };
const QUICK: Scale = Scale { rounds: 1, deliveries: 500, mailbox: 1_000, idle: 100, list: 2_000 };

/// Runs the comparison. Arguments: `--rounds N`, `--quick`, and names of [`PARTS`]; or `drain` and its own.
pub fn bench(args: &[&str]) -> Result<()> {
    if let ["drain", args @ ..] = args {
        return drain::drain(args);
    }
    let (scale, parts) = parse(args)?;
    peer::install()?;
    println!("building the release");
    run(Command::new("cargo").args(["build", "--release", "--locked", "--package", "holdfast"]).current_dir(root()))?;
    let scratch = scratch()?;
    let mut holdfast = Holdfast::start(&scratch)?;
    let peer = Peer::start(&scratch, &holdfast.certificate())?;
    let load = Load::new(holdfast.binary());
    let mut tables = Vec::new();
    for part in PARTS.into_iter().filter(|part| parts.is_empty() || parts.contains(part)) {
        println!("\n== {part}");
        let start = Instant::now();
        if part == "idle" {
            // What mail that came before has left in caches is no matter of idle connections; "disk" tells of it.
            holdfast.restart()?;
        }
        let run = Run { scale, load: load.clone(), holdfast: &holdfast, peer: &peer };
        match part {
            "deliver" => tables.push(run.deliver()?),
            "source" => tables.push(run.source()?),
            "imap" => tables.push(run.imap()?),
            "idle" => tables.push(run.idle()?),
            "web" => tables.push(run.web()?),
            _ => tables.push(run.disk()?),
        }
        println!("   {} s", start.elapsed().as_secs());
    }
    println!();
    for table in &tables {
        println!("{table}");
    }
    Ok(())
}

fn parse<'a>(args: &[&'a str]) -> Result<(Scale, Vec<&'a str>)> {
    let mut scale = FULL;
    let mut parts = Vec::new();
    let mut args = args.iter().copied();
    while let Some(word) = args.next() {
        match word {
            "--quick" => scale = QUICK,
            "--rounds" => {
                let number = args.next().context("--rounds wants a number")?;
                scale.rounds = number.parse().with_context(|| format!("--rounds {number}"))?;
                ensure!((1..=99).contains(&scale.rounds), "--rounds goes from 1 to 99");
            }
            part if PARTS.contains(&part) => parts.push(part),
            other => bail!("`{other}` is unknown; there are --quick, --rounds N and {}", PARTS.join(" ")),
        }
    }
    Ok((scale, parts))
}

/// An empty folder on the file system of `target`.
fn scratch() -> Result<PathBuf> {
    let dir = root().join("target/bench");
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("target/bench"),
        _ => {}
    }
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

struct Run<'a> {
    scale: Scale,
    load: Load,
    holdfast: &'a Holdfast,
    peer: &'a Peer,
}

impl Run<'_> {
    /// Calls `measure` for one side, then the other, in each round; the first to go takes turns.
    fn alternate(&self, mut measure: impl FnMut(usize, Side) -> Result<()>) -> Result<()> {
        for round in 0..self.scale.rounds {
            let mut sides = SIDES;
            if round % 2 == 1 {
                sides.reverse();
            }
            for side in sides {
                quiet();
                measure(round, side).with_context(|| format!("{}, round {}", side.name, round + 1))?;
            }
        }
        Ok(())
    }

    /// Messages of a round of that size: the larger, the fewer.
    fn deliveries(&self, size: u32) -> u64 {
        (self.scale.deliveries * 1_024 / u64::from(size.max(1_024)) * 4)
            .clamp(self.scale.deliveries.min(1_000), self.scale.deliveries)
    }

    /// Mail by our own load generator, to all accounts in turn.
    fn deliver(&self) -> Result<Table> {
        let mut table = Table::new("Durable deliveries, 50 connections, `holdfast bench smtp`", SIDES);
        let kinds = [
            ("1 KiB", 1 << 10, 0_u32, "none"),
            ("10 KiB", 10 << 10, 0, "none"),
            ("100 KiB", 100 << 10, 0, "none"),
            ("10 KiB, a connection each", 10 << 10, 1, "none"),
            ("10 KiB, STARTTLS, a connection each", 10 << 10, 1, "starttls"),
        ];
        for (name, size, each, tls) in kinds {
            let count = self.deliveries(size);
            self.alternate(|_, side| {
                let arguments = vec![
                    format!("--messages={count}"),
                    format!("--size={size}"),
                    format!("--messages-per-connection={each}"),
                    format!("--tls={tls}"),
                ];
                let before = Self::messages(side)?;
                let start = Instant::now();
                let report = self.load.smtp(side.smtp, CONNECTIONS, ACCOUNTS, &arguments)?;
                let in_mailbox = self.arrived(side, before, count, start)?;
                let (rate, p99) = (report.rate("message")?, report.p99("message")?);
                Self::note_deliveries(&mut table, name, side, count, rate, in_mailbox);
                table.add(&format!("{name}: p99 of the 250"), "ms", Better::Lower, side, p99);
                Ok(())
            })?;
        }
        Ok(table)
    }

    /// Mail by Postfix's own load generator: ten processes of five sessions, each to an account of its own.
    fn source(&self) -> Result<Table> {
        let mut table = Table::new("Durable deliveries, 50 sessions, Postfix's `smtp-source`", SIDES);
        let kinds = [
            ("1 KiB", 1 << 10, true),
            ("10 KiB", 10 << 10, true),
            ("100 KiB", 100 << 10, true),
            ("10 KiB, a connection each", 10 << 10, false),
        ];
        for (name, size, keep) in kinds {
            let count = self.deliveries(size) / 10 * 10;
            self.alternate(|_, side| {
                let before = Self::messages(side)?;
                let start = Instant::now();
                load::smtp_source(side.smtp, 10, CONNECTIONS / 10, count / 10, size, keep)?;
                let rate = count as f64 / start.elapsed().as_secs_f64();
                let in_mailbox = self.arrived(side, before, count, start)?;
                Self::note_deliveries(&mut table, name, side, count, rate, in_mailbox);
                Ok(())
            })?;
        }
        Ok(table)
    }

    fn note_deliveries(table: &mut Table, name: &str, side: Side, count: u64, rate: f64, took: Duration) {
        let delivered = count as f64 / took.as_secs_f64();
        println!("   {name}, {}: accepted {rate:.0}/s, in the mailbox {delivered:.0}/s", side.name);
        table.add(&format!("{name}: in the mailbox"), "/s", Better::Higher, side, delivered);
        table.add(&format!("{name}: accepted (250)"), "/s", Better::Higher, side, rate);
    }

    /// Messages in all mailboxes together.
    fn messages(side: Side) -> Result<u64> {
        imap::messages(side.imap, ACCOUNTS, PASSWORD)
    }

    /// Waits until all are in their mailboxes; gives how long that took since `start`.
    fn arrived(&self, side: Side, before: u64, count: u64, start: Instant) -> Result<Duration> {
        let took = if side == peer::SIDE {
            self.peer.drained(DELIVERY_PATIENCE)?;
            start.elapsed()
        } else {
            // The 250 says that it is there.
            start.elapsed()
        };
        let now = Self::messages(side)?;
        ensure!(now == before + count, "{} messages should have come, {} did", count, now - before);
        Ok(took)
    }

    /// One large mailbox, read as mail programs do.
    fn imap(&self) -> Result<Table> {
        let user = format!("bench{ACCOUNTS}@bench.example");
        self.holdfast.add_account(&user)?;
        for side in SIDES {
            println!("   filling {user} on {}", side.name);
            self.fill(side, &user, self.scale.mailbox)?;
        }
        let count = self.scale.mailbox;
        let mut table = Table::new(&format!("IMAP, one connection, {count} messages of 4 KiB"), SIDES);
        let fetches = [
            (
                "headers (DATE FROM TO CC SUBJECT MESSAGE-ID)",
                "UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID)]",
            ),
            (
                "headers as Thunderbird asks",
                "UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)]",
            ),
            ("whole headers (BODY.PEEK[HEADER])", "UID BODY.PEEK[HEADER]"),
            ("ENVELOPE", "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE"),
            ("BODYSTRUCTURE", "UID BODYSTRUCTURE"),
            ("UID FLAGS", "UID FLAGS"),
            ("whole messages (BODY.PEEK[])", "UID BODY.PEEK[]"),
        ];
        for (name, items) in fetches {
            for (tls, address) in [("none", 0), ("implicit", 1)] {
                // TLS costs the same whatever is in it: told once.
                if tls == "implicit" && !name.starts_with("headers (") {
                    continue;
                }
                let what = format!("FETCH 1:* {name}{}", if tls == "none" { "" } else { ", TLS" });
                self.alternate(|round, side| {
                    let target = [side.imap, side.imaps][address];
                    let arguments =
                        ["--do=select,fetch".to_owned(), format!("--items={items}"), format!("--tls={tls}")];
                    if round == 0 {
                        // Once before: what is read first is read from cold caches, on either side.
                        self.load.imap(target, 1, &user, &arguments)?;
                    }
                    let report = self.load.imap(target, 1, &user, &arguments)?;
                    ensure!(report.items("fetch")? == count, "{} messages were fetched", report.items("fetch")?);
                    table.add(&what, "ms", Better::Lower, side, report.p50("fetch")?);
                    Ok(())
                })?;
            }
        }
        let searches = [
            ("SEARCH SUBJECT", "SUBJECT \"bench message 77\""),
            ("SEARCH BODY, a word that is nowhere", "BODY \"zzyzx-nowhere\""),
            ("SEARCH UNSEEN", "UNSEEN"),
        ];
        for (name, query) in searches {
            self.alternate(|_, side| {
                let arguments = ["--do=select,search".to_owned(), format!("--query={query}")];
                let report = self.load.imap(side.imap, 1, &user, &arguments)?;
                table.add(name, "ms", Better::Lower, side, report.p50("search")?);
                Ok(())
            })?;
        }
        self.alternate(|_, side| {
            let arguments = ["--do=append".to_owned(), "--rounds=40".to_owned()];
            let report = self.load.imap_all(side.imap, 50, ACCOUNTS, &arguments)?;
            table.add("APPEND, 50 connections", "/s", Better::Higher, side, report.rate("append")?);
            Ok(())
        })?;
        Ok(table)
    }

    /// Delivers so many messages to one mailbox.
    fn fill(&self, side: Side, user: &str, count: u64) -> Result<()> {
        let (mut left, size) = (count, 4 << 10);
        while left > 0 {
            let now = left.min(10_000);
            self.load.smtp_to(side.smtp, 20, user, now, size)?;
            if side == peer::SIDE {
                self.peer.drained(DELIVERY_PATIENCE)?;
            }
            left -= now;
        }
        Ok(())
    }

    /// Connections that do nothing.
    fn idle(&self) -> Result<Table> {
        let count = self.scale.idle;
        let mut table = Table::new(
            &format!("{count} IMAP connections in IDLE, over {ACCOUNTS} accounts, Holdfast just started"),
            SIDES,
        );
        let rounds = Scale { rounds: self.scale.rounds.min(3), ..self.scale };
        let run = Run { scale: rounds, load: self.load.clone(), ..*self };
        for (name, tls, address) in [("plain", "none", 0), ("TLS", "implicit", 1)] {
            run.alternate(|_, side| {
                let target = [side.imap, side.imaps][address];
                let mut arguments = vec![
                    "--do=idle".to_owned(),
                    "--hold=6".to_owned(),
                    format!("--tls={tls}"),
                    "--timeout=120".to_owned(),
                ];
                arguments.extend(side.processes.iter().map(|process| format!("--memory-of={process}")));
                let report = self.load.imap_all(target, count, ACCOUNTS, &arguments)?;
                let (before, during) =
                    (report.note_mib("memory before")?, report.note_mib("memory with idle connections")?);
                println!("   {name}, {}: {before:.1} MiB before, {during:.1} MiB with all idle", side.name);
                table.add(&format!("{name}: memory in all"), "MiB", Better::Lower, side, during);
                table.add(&format!("{name}: more than before"), "MiB", Better::Lower, side, during - before);
                Ok(())
            })?;
        }
        Ok(table)
    }

    /// The webmail over a large mailbox; there is nothing to compare it with.
    fn web(&self) -> Result<Table> {
        let user = "list@bench.example";
        self.holdfast.add_account(user)?;
        let side = holdfast::SIDE;
        let count = self.scale.list;
        println!("   filling {user}");
        self.fill(side, user, count)?;
        let mut table = Table::new(&format!("Webmail, one browser, a mailbox of {count} messages"), [side, side]);
        for _ in 0..self.scale.rounds {
            quiet();
            let report = self.load.web(holdfast::HTTP, user, &["--pages=200".to_owned()])?;
            for (step, name) in [("list", "message list, first page"), ("message", "a message")] {
                table.add(&format!("{name}, p50"), "ms", Better::Lower, side, report.p50(step)?);
                table.add(&format!("{name}, p99"), "ms", Better::Lower, side, report.p99(step)?);
            }
            let walk = ["--pages=0".to_owned(), "--walk=1000".to_owned()];
            let report = self.load.web(holdfast::HTTP, user, &walk)?;
            table.add("message list, page after page to the end, p50", "ms", Better::Lower, side, report.p50("walk")?);
            table.add("message list, page after page to the end, p99", "ms", Better::Lower, side, report.p99("walk")?);
            let word = format!("/search?q=zzyzx{}", std::process::id());
            let search = ["--pages=3".to_owned(), format!("--list={word}"), "--message=".to_owned()];
            let report = self.load.web(holdfast::HTTP, user, &search)?;
            table.add("search for a word that is nowhere", "ms", Better::Lower, side, report.max("list")?);
        }
        Ok(table)
    }

    /// What the disk and the processes hold when all is done.
    fn disk(&self) -> Result<Table> {
        let mut table = Table::new("At the end of the run", SIDES);
        for (side, dir) in [(holdfast::SIDE, self.holdfast.dir()), (peer::SIDE, self.peer.dir())] {
            let output = Command::new("du").arg("-sk").arg(dir).output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let kib: f64 = text.split_whitespace().next().unwrap_or_default().parse().context("du")?;
            table.add("data folder", "MiB", Better::Lower, side, kib / 1_024.0);
            table.add("memory", "MiB", Better::Lower, side, load::memory_mib(side.processes));
        }
        Ok(table)
    }
}
