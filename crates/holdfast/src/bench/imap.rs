//! `bench imap`: the things mail programs do all day, and connections that do nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use tokio::sync::watch;

use super::net::{Dialer, Lines};
use super::report::{Report, Samples};
use super::{
    common::{Common, Encryption, Login},
    gather::gather,
    smtp,
};

/// Arguments of `bench imap`.
#[derive(Debug, Clone, Args)]
pub(super) struct ImapArgs {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    login: Login,
    /// What to do on each connection, in this order, in every round.
    #[arg(long = "do", value_enum, value_delimiter = ',', default_values_t = [Task::Select, Task::Fetch, Task::Search])]
    tasks: Vec<Task>,
    /// Rounds on each connection.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Log in anew for every round.
    #[arg(long)]
    reconnect: bool,
    /// The mailbox.
    #[arg(long, default_value = "INBOX")]
    mailbox: String,
    /// Messages fetched, as a sequence set.
    #[arg(long, default_value = "1:*")]
    set: String,
    /// What is fetched of them.
    #[arg(
        long,
        default_value = "UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID)]"
    )]
    items: String,
    /// The search.
    #[arg(long, default_value = "SUBJECT \"bench\" UNSEEN")]
    query: String,
    /// Size of an appended message's body, in bytes.
    #[arg(long, default_value_t = 4_096)]
    size: u32,
    /// How long idle connections are held, once all of them are.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    hold: u64,
    /// While connections idle: report the memory of all processes of this name (proportional set size; needs the right to
    /// read it). May be repeated.
    #[arg(long = "memory-of", value_name = "PROCESS")]
    memory_of: Vec<String>,
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Task {
    /// SELECT the mailbox.
    Select,
    /// FETCH the set's items.
    Fetch,
    /// SEARCH.
    Search,
    /// APPEND a message.
    Append,
    /// STORE a flag on one message, and take it off again.
    Store,
    /// SELECT, then IDLE until all connections do, and for --hold seconds more.
    Idle,
}

pub(super) async fn run(args: &ImapArgs) -> Result<Report> {
    let dialer = Dialer::new(&args.common)?;
    let idles = args.tasks.contains(&Task::Idle);
    ensure!(!idles || args.rounds == 1, "idle connections require --rounds 1");
    let all_idle = Arc::new(Gathering::of(args.common.connections));
    let observer = tokio::spawn(observe(idles, args.memory_of.clone(), args.hold, Arc::clone(&all_idle)));
    let text = Arc::new(smtp::body(args.size as usize));
    let before = memory(&args.memory_of);
    let mut report = gather(&args.common, "session", |connection, mut samples| {
        let session = Worker {
            args: args.clone(),
            dialer: dialer.clone(),
            connection,
            text: Arc::clone(&text),
            all_idle: Arc::clone(&all_idle),
        };
        async move {
            let outcome = session.work(&mut samples).await;
            if outcome.is_err() {
                // Nobody shall wait for a connection that failed.
                session.all_idle.arrive();
            }
            (samples, outcome)
        }
    })
    .await?;
    if idles {
        observer.abort();
        if let Ok(Some(during)) = observer.await {
            report.note("memory before", format!("{:.1} MiB", mib(before)));
            report.note("memory with idle connections", format!("{:.1} MiB", mib(during)));
            let each = during.saturating_sub(before) as f64 / report.count("idle").max(1) as f64 / 1_024.0;
            report.note("memory per connection", format!("{each:.1} KiB"));
        }
    }
    Ok(report)
}

/// Waits until all connections idle, then looks at the server's memory. `None` if there is nothing to look at.
async fn observe(idles: bool, names: Vec<String>, hold: u64, all_idle: Arc<Gathering>) -> Option<u64> {
    if !idles {
        return None;
    }
    all_idle.wait().await;
    // Half of the time for the server to settle.
    tokio::time::sleep(Duration::from_secs(hold) / 2).await;
    (!names.is_empty()).then(|| memory(&names))
}

struct Worker {
    args: ImapArgs,
    dialer: Dialer,
    connection: u32,
    text: Arc<String>,
    all_idle: Arc<Gathering>,
}

impl Worker {
    async fn work(&self, samples: &mut Samples) -> Result<()> {
        let mut session = None;
        for round in 0..self.args.rounds {
            let mut open = match session.take() {
                Some(open) if !self.args.reconnect => open,
                _ => self.log_in(samples).await?,
            };
            for task in &self.args.tasks {
                self.task(*task, round, &mut open, samples).await.with_context(|| format!("{task:?}"))?;
            }
            if self.args.reconnect {
                open.command("LOGOUT").await?;
            } else {
                session = Some(open);
            }
        }
        if let Some(mut open) = session {
            open.command("LOGOUT").await?;
        }
        Ok(())
    }

    async fn log_in(&self, samples: &mut Samples) -> Result<Session> {
        let began = Instant::now();
        let mut lines = self.dialer.lines().await?;
        let greeting = lines.line().await?;
        ensure!(greeting.starts_with("* OK"), "the server replied: {greeting}");
        let mut session = Session { lines, tag: 0 };
        if self.dialer.encryption == Encryption::Starttls {
            session.command("STARTTLS").await?;
            session.lines = session.lines.encrypt(&self.dialer).await?;
        }
        let user = quoted(self.args.login.user(self.connection))?;
        let password = quoted(&self.args.login.password)?;
        session.command(&format!("LOGIN {user} {password}")).await?;
        samples.done("login", began);
        Ok(session)
    }

    async fn task(&self, task: Task, round: u64, session: &mut Session, samples: &mut Samples) -> Result<()> {
        let began = Instant::now();
        let mailbox = quoted(&self.args.mailbox)?;
        match task {
            Task::Select => {
                session.command(&format!("SELECT {mailbox}")).await?;
                samples.done("select", began);
            }
            Task::Fetch => {
                let got = session.command(&format!("FETCH {} ({})", self.args.set, self.args.items)).await?;
                samples.done_with("fetch", began, got.fetched, got.bytes);
            }
            Task::Search => {
                let got = session.command(&format!("SEARCH {}", self.args.query)).await?;
                samples.done_with("search", began, 1, got.bytes);
            }
            Task::Append => {
                let message = self.message(round);
                session.append(&mailbox, &message).await?;
                samples.done_with("append", began, 1, message.len() as u64);
            }
            Task::Store => {
                session.command("STORE 1 +FLAGS.SILENT (\\Flagged)").await?;
                session.command("STORE 1 -FLAGS.SILENT (\\Flagged)").await?;
                samples.done_with("store", began, 2, 0);
            }
            Task::Idle => {
                session.command(&format!("SELECT {mailbox}")).await?;
                session.idle(&self.all_idle, Duration::from_secs(self.args.hold)).await?;
                samples.done("idle", began);
            }
        }
        Ok(())
    }

    fn message(&self, round: u64) -> String {
        let id = format!("{:016x}.{}.{round}", rand::random::<u64>(), self.connection);
        format!(
            "From: <bench@example.net>\r\nTo: <bench@example.net>\r\nSubject: bench append {round}\r\nDate: {}\r\n\
             Message-ID: <{id}@bench.example.net>\r\n\r\n{id}\r\n{}",
            mailkit::date::format(jiff::Timestamp::now().as_millisecond()),
            self.text,
        )
    }
}

/// A place where all connections meet.
struct Gathering {
    arrived: watch::Sender<u32>,
    expected: u32,
}

impl Gathering {
    fn of(expected: u32) -> Self {
        Self { arrived: watch::Sender::new(0), expected }
    }

    fn arrive(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
    }

    /// Until all have arrived.
    async fn wait(&self) {
        // The sender lives in `self`: there is no error to come.
        let _ = self.arrived.subscribe().wait_for(|arrived| *arrived >= self.expected).await;
    }
}

/// What a command brought.
#[derive(Default)]
struct Got {
    fetched: u64,
    bytes: u64,
}

struct Session {
    lines: Lines,
    tag: u64,
}

impl Session {
    async fn send(&mut self, command: &str) -> Result<String> {
        self.tag += 1;
        let tag = format!("b{}", self.tag);
        self.lines.send(format!("{tag} {command}\r\n").as_bytes()).await?;
        Ok(tag)
    }

    async fn command(&mut self, command: &str) -> Result<Got> {
        let tag = self.send(command).await?;
        self.finish(&tag).await
    }

    /// Reads to the tagged response.
    async fn finish(&mut self, tag: &str) -> Result<Got> {
        let before = self.lines.bytes;
        let mut got = Got::default();
        loop {
            let line = self.lines.line().await?;
            if let Some(status) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                ensure!(status.starts_with("OK"), "the server replied: {line}");
                got.bytes = self.lines.bytes - before;
                return Ok(got);
            }
            // `* 17 FETCH (...`; the lines after a literal begin otherwise.
            let mut words = line.splitn(4, ' ');
            if words.next() == Some("*") && words.next().is_some() && words.next() == Some("FETCH") {
                got.fetched += 1;
            }
            if let Some(len) = literal(line) {
                self.lines.skip(len).await?;
            }
        }
    }

    async fn append(&mut self, mailbox: &str, message: &str) -> Result<()> {
        let tag = self.send(&format!("APPEND {mailbox} (\\Seen) {{{}}}", message.len())).await?;
        loop {
            let line = self.lines.line().await?;
            if line.starts_with('+') {
                break;
            }
            if line.starts_with(&tag) {
                bail!("the server replied: {line}");
            }
        }
        self.lines.send(format!("{message}\r\n").as_bytes()).await?;
        self.finish(&tag).await?;
        Ok(())
    }

    async fn idle(&mut self, all_idle: &Gathering, hold: Duration) -> Result<()> {
        let tag = self.send("IDLE").await?;
        while !self.lines.line().await?.starts_with('+') {}
        all_idle.arrive();
        all_idle.wait().await;
        // Replies are read during sending, so that the server never waits for us.
        let until = tokio::time::Instant::now() + hold;
        while let Ok(line) = tokio::time::timeout_at(until, self.lines.line_within(hold * 2)).await {
            line?;
        }
        self.lines.send(b"DONE\r\n").await?;
        self.finish(&tag).await?;
        Ok(())
    }
}

/// The length of the literal that a line announces at its end.
fn literal(line: &str) -> Option<u64> {
    let (_, number) = line.strip_suffix('}')?.rsplit_once('{')?;
    number.parse().ok()
}

fn quoted(text: &str) -> Result<String> {
    ensure!(!text.contains(['\r', '\n', '\0']), "a value has a line break");
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// Memory of all processes with one of these names, in bytes: shared pages are counted in shares.
fn memory(names: &[String]) -> u64 {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0;
    };
    let mut total = 0;
    for process in processes.flatten() {
        let folder = process.path();
        let Ok(name) = std::fs::read_to_string(folder.join("comm")) else {
            continue;
        };
        // This process may bear the server's name.
        let is_own = process.file_name().to_str().is_some_and(|number| number == std::process::id().to_string());
        if is_own || !names.iter().any(|wanted| wanted == name.trim()) {
            continue;
        }
        let rollup = std::fs::read_to_string(folder.join("smaps_rollup")).unwrap_or_default();
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
        let kilobytes: u64 = pss.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
        total += kilobytes * 1_024;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_found_at_line_ends_only() {
        assert_eq!(literal("* 1 FETCH (BODY[] {12}"), Some(12));
        assert_eq!(literal("* 1 FETCH (X \"{12}\")"), None);
        assert_eq!(literal("plain"), None);
    }

    #[test]
    fn quoted_values_can_not_add_commands() {
        assert_eq!(quoted("a\"b\\").unwrap(), "\"a\\\"b\\\\\"");
        assert!(quoted("a\r\nb LOGOUT").is_err());
    }
}
