//! What is printed.

use std::{fmt, time::Duration};

/// Messages, how long they took, and the processor time of the primary and the relay.
pub struct Usage {
    pub messages: u64,
    pub took: Duration,
    pub cpu: [Option<Duration>; 2],
}

/// What the service said of the time that is left.
pub struct Estimate {
    /// When, since the primary began to start.
    pub at: Duration,
    /// What part was done.
    pub done: f64,
    /// How long the rest takes, in seconds.
    pub left: f64,
}

impl Estimate {
    /// How far it was off: a part of the time in all, more or less.
    fn off(&self, all: Duration) -> f64 {
        (self.at.as_secs_f64() + self.left) / all.as_secs_f64() - 1.0
    }
}

pub struct Report {
    pub tried: u64,
    pub intake: Usage,
    pub drain: Usage,
    /// When the primary was ready.
    pub ready: Duration,
    pub estimates: Vec<Estimate>,
    /// How long new mail took from its 250 until a client saw it, ascending.
    pub fresh: Vec<Duration>,
    pub lost: u64,
    pub twice: u64,
    /// Of primary and relay, in MiB: the most, and in the end.
    pub memory: [[f64; 2]; 2],
}

impl Usage {
    fn rate(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    fn cpu(&self, side: usize) -> String {
        self.cpu[side].map_or_else(String::new, |cpu| {
            format!("{:.2} ms each", cpu.as_secs_f64() * 1_000.0 / self.messages.max(1) as f64)
        })
    }
}

fn ms(took: Option<&Duration>) -> String {
    took.map_or_else(|| "none".to_owned(), |took| format!("{:.0} ms", took.as_secs_f64() * 1_000.0))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (intake, drain) = (&self.intake, &self.drain);
        let tries = self.tried as f64 / intake.took.as_secs_f64();
        let percent = |estimate: &Estimate| format!("{:+.0} %", 100.0 * estimate.off(drain.took));
        let first = self.estimates.first();
        let worst = self.estimates.iter().max_by(|a, b| a.off(drain.took).abs().total_cmp(&b.off(drain.took).abs()));
        let quantile = |part: usize| ms(self.fresh.get(self.fresh.len() * part / 100));
        let rows: [(&str, String); 14] = [
            ("tried while the primary was dark", format!("{} messages, {tries:.0} a second", self.tried)),
            ("taken in", format!("{} messages, {:.0} a second", intake.messages, intake.rate())),
            ("processor time of the relay, taking in", intake.cpu(1)),
            ("the primary was ready after", ms(Some(&self.ready))),
            ("drained in", format!("{:.1} s, {:.0} messages a second", drain.took.as_secs_f64(), drain.rate())),
            ("processor time of the primary, draining", drain.cpu(0)),
            ("processor time of the relay, draining", drain.cpu(1)),
            ("new mail from its 250 to IDLE", format!("{} messages, p50 {}", self.fresh.len(), quantile(50))),
            ("… p95", quantile(95)),
            ("… the slowest", ms(self.fresh.last())),
            (
                "estimate after a tenth",
                first.map_or_else(
                    || "none: it was over too soon".to_owned(),
                    |first| {
                        let worst = worst.map_or_else(String::new, percent);
                        format!(
                            "off by {} at {:.0} % done; at most by {worst} from there on",
                            percent(first),
                            first.done * 100.0
                        )
                    },
                ),
            ),
            ("lost, twice", format!("{}, {}", self.lost, self.twice)),
            (
                "memory of the primary",
                format!("at most {:.0} MiB, in the end {:.0} MiB", self.memory[0][0], self.memory[0][1]),
            ),
            (
                "memory of the relay",
                format!("at most {:.0} MiB, in the end {:.0} MiB", self.memory[1][0], self.memory[1][1]),
            ),
        ];
        writeln!(f, "\n### A relay's backlog\n\n| | |\n|---|---|")?;
        rows.iter().try_for_each(|(name, value)| writeln!(f, "| {name} | {value} |"))
    }
}
