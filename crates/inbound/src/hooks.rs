//! Scanners of others: rspamd by HTTP, ClamAV by its socket, milters. Each is a [`delivery::Judge`] with a time limit and
//! a fallback, so that no message is lost because one of them is away.

mod clamav;
mod endpoint;
mod milter;
mod rspamd;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use delivery::{Case, Fallback, Hearing, Judge, JudgeError, Spooled, Verdict};

pub use clamav::ClamAv;
pub use endpoint::{BadEndpoint, Endpoint};
pub use milter::Milter;
pub use rspamd::Rspamd;

/// A program that is asked about whole messages.
#[async_trait]
pub trait Scanner: Send + Sync + 'static {
    /// A short name: `rspamd`.
    fn name(&self) -> &'static str;

    /// What it says about a message, for each recipient.
    async fn scan(&self, case: &Case, message: &Spooled) -> Result<Vec<Verdict>, JudgeError>;
}

/// A scanner as a judge.
pub struct Hook<S> {
    scanner: Arc<S>,
    timeout: Duration,
    fallback: Fallback,
}

impl<S: Scanner> Hook<S> {
    /// Asks `scanner`, which has `timeout` for an answer.
    pub fn new(scanner: S, timeout: Duration, fallback: Fallback) -> Self {
        Self { scanner: Arc::new(scanner), timeout, fallback }
    }
}

impl<S: Scanner> Judge for Hook<S> {
    fn name(&self) -> &'static str {
        self.scanner.name()
    }

    fn fallback(&self) -> Fallback {
        self.fallback
    }

    fn needs(&self) -> Duration {
        self.timeout
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        Some(Box::new(Asking { scanner: Arc::clone(&self.scanner), case: Arc::clone(case), timeout: self.timeout }))
    }
}

/// A message that a scanner is asked about.
struct Asking<S> {
    scanner: Arc<S>,
    case: Arc<Case>,
    timeout: Duration,
}

#[async_trait]
impl<S: Scanner> Hearing for Asking<S> {
    async fn verdicts(self: Box<Self>, message: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        if so_far.iter().all(|verdict| verdict.refusal.is_some()) && !so_far.is_empty() {
            // Nobody gets it anyway.
            return Ok(vec![Verdict::default(); so_far.len()]);
        }
        let asked = tokio::time::timeout(self.timeout, self.scanner.scan(&self.case, message));
        let answer = asked.await.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs_f32();
            Err(JudgeError(format!("no answer within {seconds} seconds")))
        });
        answer.inspect_err(|error| tracing::warn!(scanner = self.scanner.name(), %error, "a scanner gave no answer"))
    }
}

/// Reads a message off the async threads, where it is on disk.
async fn whole(message: &Spooled) -> Result<bytes::Bytes, JudgeError> {
    let message = message.clone();
    let read = tokio::task::spawn_blocking(move || message.read_all()).await;
    let read = read.map_err(|error| JudgeError(error.to_string()))?;
    read.map_err(|error| JudgeError(format!("the message can't be read: {error}")))
}

/// Text from elsewhere as one short line.
fn line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect::<String>().trim().to_owned()
}
