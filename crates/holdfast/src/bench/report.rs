//! Counting and printing.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::common::Common;

/// Different error texts kept of each step.
const MAX_ERROR_TEXTS: usize = 3;

/// What one connection measured.
#[derive(Debug, Default)]
pub(super) struct Samples {
    steps: BTreeMap<&'static str, Step>,
}

#[derive(Debug, Default)]
struct Step {
    micros: Vec<u64>,
    /// Things done in all: messages fetched, recipients accepted. As many as samples unless said otherwise.
    items: u64,
    bytes: u64,
    errors: u64,
    error_texts: Vec<String>,
}

impl Samples {
    /// One step done, which took since `began`.
    pub(super) fn done(&mut self, step: &'static str, began: Instant) {
        self.done_with(step, began, 1, 0);
    }

    /// One step done, which handled that many items and bytes.
    pub(super) fn done_with(&mut self, step: &'static str, began: Instant, items: u64, bytes: u64) {
        let entry = self.steps.entry(step).or_default();
        entry.micros.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        entry.items += items;
        entry.bytes += bytes;
    }

    /// One step failed.
    pub(super) fn error(&mut self, step: &'static str, error: &anyhow::Error) {
        let entry = self.steps.entry(step).or_default();
        entry.errors += 1;
        let text = format!("{error:#}");
        if entry.error_texts.len() < MAX_ERROR_TEXTS && !entry.error_texts.contains(&text) {
            entry.error_texts.push(text);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (name, step) in other.steps {
            let entry = self.steps.entry(name).or_default();
            entry.micros.extend(step.micros);
            entry.items += step.items;
            entry.bytes += step.bytes;
            entry.errors += step.errors;
            for text in step.error_texts {
                if entry.error_texts.len() < MAX_ERROR_TEXTS && !entry.error_texts.contains(&text) {
                    entry.error_texts.push(text);
                }
            }
        }
    }
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    target: String,
    connections: u32,
    seconds: f64,
    steps: Vec<Line>,
    notes: BTreeMap<String, String>,
}

/// The figures of one step. Times are milliseconds; rates are per second of the whole run.
#[derive(Debug, Serialize)]
struct Line {
    step: &'static str,
    count: u64,
    items: u64,
    errors: u64,
    per_second: f64,
    items_per_second: f64,
    mib_per_second: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    error_texts: Vec<String>,
}

impl Report {
    pub(super) fn new(common: &Common, took: Duration, samples: Samples) -> Self {
        let seconds = took.as_secs_f64();
        let steps = samples.steps.into_iter().map(|(name, step)| Line::new(name, step, seconds)).collect();
        Self { target: common.target.clone(), connections: common.connections, seconds, steps, notes: BTreeMap::new() }
    }

    /// Adds something worth saying beside the figures.
    pub(super) fn note(&mut self, name: &str, value: String) {
        self.notes.insert(name.to_owned(), value);
    }

    /// How often a step was done.
    pub(super) fn count(&self, step: &str) -> u64 {
        self.steps.iter().filter(|line| line.step == step).map(|line| line.count).sum()
    }

    /// Prints it to standard output.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            writeln!(out)?;
            return Ok(());
        }
        writeln!(out, "{}, {} connections, {:.2} s", self.target, self.connections, self.seconds)?;
        writeln!(
            out,
            "{:<10} {:>9} {:>7} {:>10} {:>11} {:>8} {:>9} {:>9} {:>9} {:>9}",
            "step", "count", "errors", "per s", "items/s", "MiB/s", "p50 ms", "p95 ms", "p99 ms", "max ms"
        )?;
        for line in &self.steps {
            writeln!(
                out,
                "{:<10} {:>9} {:>7} {:>10.1} {:>11.1} {:>8.1} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
                line.step,
                line.count,
                line.errors,
                line.per_second,
                line.items_per_second,
                line.mib_per_second,
                line.p50_ms,
                line.p95_ms,
                line.p99_ms,
                line.max_ms,
            )?;
        }
        for (name, value) in &self.notes {
            writeln!(out, "{name}: {value}")?;
        }
        for line in &self.steps {
            for text in &line.error_texts {
                writeln!(out, "error in {}: {text}", line.step)?;
            }
        }
        Ok(())
    }
}

impl Line {
    fn new(step: &'static str, mut measured: Step, seconds: f64) -> Self {
        measured.micros.sort_unstable();
        let count = measured.micros.len() as u64;
        let at = |percent| percentile(&measured.micros, percent) as f64 / 1_000.0;
        Self {
            step,
            count,
            items: measured.items,
            errors: measured.errors,
            per_second: count as f64 / seconds,
            items_per_second: measured.items as f64 / seconds,
            mib_per_second: measured.bytes as f64 / seconds / 1_048_576.0,
            p50_ms: at(50),
            p95_ms: at(95),
            p99_ms: at(99),
            max_ms: at(100),
            error_texts: measured.error_texts,
        }
    }
}

/// The smallest value that this many percent of the sorted values do not exceed (nearest rank); 0 if there is none.
fn percentile(sorted: &[u64], percent: u64) -> u64 {
    let rank = (sorted.len() as u64 * percent).div_ceil(100).max(1);
    sorted.get(rank as usize - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!(percentile(&values, 50), 100);
        assert_eq!(percentile(&values, 95), 190);
        assert_eq!(percentile(&values, 99), 198);
        assert_eq!(percentile(&values, 100), 200);
        assert_eq!(percentile(&[7], 50), 7);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn merged_samples_keep_every_count_and_few_texts() {
        let mut all = Samples::default();
        for number in 0..10 {
            let mut one = Samples::default();
            one.done_with("x", Instant::now(), 2, 3);
            one.error("x", &anyhow::anyhow!("text {number}"));
            all.merge(one);
        }
        let step = &all.steps["x"];
        assert_eq!((step.micros.len(), step.items, step.bytes, step.errors), (10, 20, 30, 10));
        assert_eq!(step.error_texts.len(), MAX_ERROR_TEXTS);
    }
}
