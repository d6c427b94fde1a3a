//! `cargo xtask bench drain`: a relay takes mail while the primary is dark, and the backlog drains while new mail comes.
//!
//! Two services of one binary, on loopback. Of ten messages tried, three are for nobody; of the others four in ten look
//! like spam. All checks of incoming mail are on. What is counted in the end is what the mailboxes have.

mod accounts;
mod dns;
mod imap;
mod machines;
mod mail;
mod report;

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{root, run};
use machines::{Machine, Pair, Ports};
use mail::Fresh;
use report::{Estimate, Report, Usage};

/// Messages that are tried, unless another number is given.
const MESSAGES: u64 = 20_000;
/// The most that is asked for.
const MOST: u64 = 5_000_000;
/// Between two looks at the backlog.
const LOOK_EVERY: Duration = Duration::from_millis(1_000);
/// How long nothing may move before the run is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is asked for.
struct Options {
    messages: u64,
    binary: Option<PathBuf>,
    port: u16,
}

/// Arguments: `--messages N`, `--binary PATH`, `--port FIRST`.
pub fn drain(args: &[&str]) -> Result<()> {
    let options = parse(args)?;
    let binary = match options.binary {
        Some(binary) => binary,
        None => {
            println!("building the release");
            let mut build = Command::new("cargo");
            run(build.args(["build", "--release", "--locked", "--package", "holdfast"]).current_dir(root()))?;
            root().join("target/release/holdfast")
        }
    };
    println!("{}", measure(&binary, options.messages, options.port)?);
    Ok(())
}

fn parse(args: &[&str]) -> Result<Options> {
    let mut options = Options { messages: MESSAGES, binary: None, port: 4_700 };
    let mut args = args.iter().copied();
    while let Some(word) = args.next() {
        let mut value = || args.next().with_context(|| format!("{word} wants a value"));
        match word {
            "--messages" => {
                options.messages = value()?.replace('_', "").parse().context("--messages")?;
                ensure!((100..=MOST).contains(&options.messages), "--messages goes from 100 to {MOST}");
            }
            "--binary" => options.binary = Some(PathBuf::from(value()?)),
            "--port" => options.port = value()?.parse().context("--port")?,
            other => bail!("`{other}` is unknown; there are --messages N, --binary PATH and --port FIRST"),
        }
    }
    Ok(options)
}

fn measure(binary: &Path, messages: u64, port: u16) -> Result<Report> {
    let scratch = root().join("target/bench-drain");
    match std::fs::remove_dir_all(&scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("target/bench-drain"),
        _ => {}
    }
    let ports = Ports::from(port);
    let mut pair = Pair::start(binary, &scratch, ports, &dns::start()?)?;

    println!("the primary is dark; {messages} messages are tried at the relay");
    pair.primary.kill();
    let (before, begun) = (pair.relay.cpu()?, Instant::now());
    let sent = mail::send_all(&ports.relay_smtp(), messages)?;
    let took_in = begun.elapsed();
    let intake =
        Usage { messages: sent.count(), took: took_in, cpu: [None, Some(pair.relay.cpu()?.saturating_sub(before))] };
    println!("   {} taken in {:.1} s", sent.count(), took_in.as_secs_f64());

    println!("the primary starts");
    let (before, begun) = (pair.relay.cpu()?, Instant::now());
    pair.primary.start()?;
    let ready = begun.elapsed();
    let fresh = Fresh::start(&ports.relay_smtp(), &ports.imap())?;
    let (estimates, took) = watch(&pair.primary, begun, sent.count())?;
    let cpu = [Some(pair.primary.cpu()?), Some(pair.relay.cpu()?.saturating_sub(before))];
    let memory = [pair.primary.memory()?, pair.relay.memory()?];
    let fresh = fresh.stop()?;
    println!("   drained in {:.1} s; looking into all mailboxes", took.as_secs_f64());

    let (lost, twice) = sent.compare(&imap::subjects(&ports.imap())?);
    Ok(Report {
        tried: messages,
        intake,
        drain: Usage { messages: sent.count(), took, cpu },
        ready,
        estimates,
        fresh,
        lost,
        twice,
        memory,
    })
}

/// Looks at the backlog until nothing waits. Gives the estimates from a tenth on, and how long it took.
fn watch(primary: &Machine, begun: Instant, all: u64) -> Result<(Vec<Estimate>, Duration)> {
    let (mut estimates, mut least, mut moved) = (Vec::new(), u64::MAX, Instant::now());
    loop {
        let status = primary.status()?;
        let at = begun.elapsed();
        if status["all_clear"] == true {
            return Ok((estimates, at));
        }
        let backlog = &status["relays"][0]["backlog"];
        if let (Some(given), Some(left)) = (backlog["given"].as_u64(), backlog["left_seconds"].as_f64())
            && given * 10 >= all
        {
            estimates.push(Estimate { at, done: given as f64 / all as f64, left });
        }
        if let Some(waiting) = backlog["waiting"].as_u64().filter(|waiting| *waiting < least) {
            (least, moved) = (waiting, Instant::now());
        }
        ensure!(moved.elapsed() < PATIENCE, "nothing moved for {} s: {status}", PATIENCE.as_secs());
        thread::sleep(LOOK_EVERY);
    }
}
