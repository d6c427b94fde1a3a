//! `bench smtp`: messages through SMTP, one transaction after another on each connection.

use std::time::Instant;

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::net::{Dialer, Lines};
use super::report::{Report, Samples};
use super::{
    common::{Common, Encryption, Work},
    gather::gather,
};

/// Arguments of `bench smtp`.
#[derive(Debug, Clone, Args)]
pub(super) struct SmtpArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Messages in all.
    #[arg(long, default_value_t = 1_000)]
    messages: u64,
    /// Size of a message's body, in bytes.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=104_857_600))]
    size: u32,
    /// Envelope sender.
    #[arg(long, default_value = "bench@example.net")]
    from: String,
    /// Recipient; several are used in turn.
    #[arg(long = "to", required = true, value_name = "ADDRESS")]
    recipients: Vec<String>,
    /// Recipients of each message.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    recipients_each: u32,
    /// A new connection after this many messages; 0 keeps one connection.
    #[arg(long, default_value_t = 0)]
    messages_per_connection: u64,
    /// Send MAIL, RCPT and DATA at once (RFC 2920).
    #[arg(long)]
    pipelining: bool,
    /// Log in by AUTH PLAIN.
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// Its password.
    #[arg(long, env = "HOLDFAST_BENCH_PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

pub(super) async fn run(args: &SmtpArgs) -> Result<Report> {
    let dialer = Dialer::new(&args.common)?;
    let work = Work::of(args.messages);
    let text = body(args.size as usize);
    // Tells the messages of this run from those of others.
    let run = rand::random::<u64>();
    gather(&args.common, "connect", |_, mut samples| {
        let (args, dialer, work, text) = (args.clone(), dialer.clone(), work.clone(), text.clone());
        async move {
            let sender = Sender { args: &args, dialer, text: &text, run };
            let outcome = sender.send_all(&work, &mut samples).await;
            (samples, outcome)
        }
    })
    .await
}

struct Sender<'a> {
    args: &'a SmtpArgs,
    dialer: Dialer,
    text: &'a str,
    run: u64,
}

impl Sender<'_> {
    async fn send_all(&self, work: &Work, samples: &mut Samples) -> Result<()> {
        let mut open: Option<(Lines, u64)> = None;
        while let Some(number) = work.take() {
            let (mut lines, sent) = match open.take() {
                Some(connection) => connection,
                None => {
                    let began = Instant::now();
                    let lines = self.connect().await?;
                    samples.done("connect", began);
                    (lines, 0)
                }
            };
            let began = Instant::now();
            match self.send(&mut lines, number).await {
                Ok(bytes) => samples.done_with("message", began, u64::from(self.args.recipients_each), bytes),
                Err(error) => {
                    // What state the transaction is in is unknown: the next message gets a new connection.
                    samples.error("message", &error);
                    continue;
                }
            }
            let sent = sent + 1;
            if self.args.messages_per_connection > 0 && sent >= self.args.messages_per_connection {
                quit(lines).await;
            } else {
                open = Some((lines, sent));
            }
        }
        if let Some((lines, _)) = open {
            quit(lines).await;
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Lines> {
        let mut lines = self.dialer.lines().await?;
        expect(&mut lines, '2').await?;
        command(&mut lines, "EHLO bench.example.net", '2').await?;
        if self.dialer.encryption == Encryption::Starttls {
            command(&mut lines, "STARTTLS", '2').await?;
            lines = lines.encrypt(&self.dialer).await?;
            command(&mut lines, "EHLO bench.example.net", '2').await?;
        }
        if let (Some(user), Some(password)) = (&self.args.user, &self.args.password) {
            let response = STANDARD.encode(format!("\0{user}\0{password}"));
            command(&mut lines, &format!("AUTH PLAIN {response}"), '2').await?;
        }
        Ok(lines)
    }

    /// One transaction; gives the bytes of its message.
    async fn send(&self, lines: &mut Lines, number: u64) -> Result<u64> {
        let mail = format!("MAIL FROM:<{}>", self.args.from);
        let all = &self.args.recipients;
        let each = u64::from(self.args.recipients_each);
        let chosen: Vec<_> = (0..each)
            .map(|n| format!("RCPT TO:<{}>", all[((number * each + n) % all.len() as u64) as usize]))
            .collect();
        if self.args.pipelining {
            let batch = format!("{mail}\r\n{}\r\nDATA\r\n", chosen.join("\r\n"));
            lines.send(batch.as_bytes()).await?;
            for _ in 0..=each {
                expect(lines, '2').await?;
            }
            expect(lines, '3').await?;
        } else {
            command(lines, &mail, '2').await?;
            for recipient in &chosen {
                command(lines, recipient, '2').await?;
            }
            command(lines, "DATA", '3').await?;
        }
        let message = self.message(number, &all[(number % all.len() as u64) as usize]);
        lines.send(message.as_bytes()).await?;
        expect(lines, '2').await?;
        Ok(message.len() as u64)
    }

    /// Every message is different, as real ones are: equal ones would be stored once by some servers.
    fn message(&self, number: u64, to: &str) -> String {
        let id = format!("{:016x}.{number}", self.run);
        format!(
            "From: Bench <{}>\r\nTo: <{to}>\r\nSubject: bench message {number}\r\nDate: {}\r\n\
             Message-ID: <{id}@bench.example.net>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\r\n{id}\r\n{}.\r\n",
            self.args.from,
            mailkit::date::format(jiff::Timestamp::now().as_millisecond()),
            self.text,
        )
    }
}

/// Words at random in lines, so that compression works as on text, no better.
pub(super) fn body(size: usize) -> String {
    const WORDS: [&str; 16] = [
        "the", "mail", "that", "arrives", "in", "time", "and", "whole", "is", "what", "people", "count", "on", "every",
        "single", "day",
    ];
    let mut out = String::with_capacity(size + 80);
    let mut column = 0;
    while out.len() < size {
        let number = rand::random::<u32>();
        let word = WORDS[number as usize % WORDS.len()];
        out.push_str(word);
        column += word.len() + 1;
        if column > 70 {
            // A number in each line keeps lines from repeating.
            out.push_str(&(number >> 8).to_string());
            out.push_str("\r\n");
            column = 0;
        } else {
            out.push(' ');
        }
    }
    out.push_str("\r\n");
    out
}

async fn command(lines: &mut Lines, command: &str, class: char) -> Result<()> {
    lines.send(format!("{command}\r\n").as_bytes()).await?;
    expect(lines, class).await
}

/// Reads a reply, of all its lines, and checks its first digit.
async fn expect(lines: &mut Lines, class: char) -> Result<()> {
    loop {
        let line = lines.line().await?;
        if line.as_bytes().get(3) == Some(&b'-') {
            continue;
        }
        if !line.starts_with(class) {
            bail!("the server replied: {line}");
        }
        return Ok(());
    }
}

/// Sends QUIT; the result does not matter.
async fn quit(mut lines: Lines) {
    let _ = command(&mut lines, "QUIT", '2').await;
}
