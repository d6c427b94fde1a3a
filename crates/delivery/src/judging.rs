//! Asking the judges about a message: in their order, each within its time, whatever they do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use crate::judge::{Case, Fallback, Hearing, Judge, JudgeError, Spooled, Verdict};
use crate::{Delivery, Envelope, QueueId, Refusal};

/// A message before all judges.
pub struct Bench {
    case: Arc<Case>,
    seats: Vec<Seat>,
    /// What was said of the recipients before; empty if nothing was.
    before: Vec<Verdict>,
}

/// A judge with what it has of the message.
struct Seat {
    judge: Arc<dyn Judge>,
    /// `None`: it panicked.
    hearing: Option<Box<dyn Hearing>>,
}

/// Why a judge gave no verdict.
enum Failure {
    Slow,
    Panicked,
    Failed(JudgeError),
}

impl Failure {
    /// For metrics.
    const fn name(&self) -> &'static str {
        match self {
            Self::Slow => "timeout",
            Self::Panicked => "panic",
            Self::Failed(_) => "error",
        }
    }
}

impl Delivery {
    /// Tells the judges that a message is about to come. `None` if none of them wants to see it.
    pub(crate) fn bench(&self, id: QueueId, envelope: &Envelope, at_ms: i64) -> Option<Bench> {
        let judges = &self.inner.judges;
        if judges.is_empty() {
            return None;
        }
        let account = |recipient: &crate::Recipient| {
            // A report that is led back is nobody's letter.
            if self.is_return(&recipient.address) { None } else { self.lookup(&recipient.address).ok().flatten() }
        };
        let accounts = envelope.recipients.iter().map(account).collect();
        let case = Arc::new(Case { id, envelope: envelope.clone(), accounts, at_ms });
        let seat = |judge: &Arc<dyn Judge>| {
            let hearing = match catch_unwind(AssertUnwindSafe(|| judge.begin(&case))) {
                Ok(hearing) => Some(hearing?),
                Err(_) => None,
            };
            Some(Seat { judge: Arc::clone(judge), hearing })
        };
        let seats: Vec<Seat> = judges.iter().filter_map(seat).collect();
        (!seats.is_empty()).then_some(Bench { case, seats, before: Vec::new() })
    }
}

impl Bench {
    /// Bytes of the message as they come.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for seat in &mut self.seats {
            if let Some(hearing) = &mut seat.hearing
                && catch_unwind(AssertUnwindSafe(|| hearing.bytes(bytes))).is_err()
            {
                seat.hearing = None;
            }
        }
    }

    /// The judges go by what was said of each recipient before.
    pub fn after(self, before: Vec<Verdict>) -> Self {
        Self { before, ..self }
    }

    /// One verdict for each recipient, within `time`. What a judge leaves of its share goes to the ones after it.
    pub async fn verdicts(self, message: &Spooled, time: Duration) -> Vec<Verdict> {
        let until = Instant::now() + time;
        let mut so_far = self.before;
        so_far.resize(self.case.envelope.recipients.len(), Verdict::default());
        let needs: Vec<Duration> = self.seats.iter().map(|seat| seat.judge.needs()).collect();
        for (at, seat) in self.seats.into_iter().enumerate() {
            let share = share(until.saturating_duration_since(Instant::now()), &needs[at..]);
            let (name, fallback) = (seat.judge.name(), seat.judge.fallback());
            let begun = Instant::now();
            let asked = ask(seat, message, &so_far, share);
            let said = asked.instrument(tracing::info_span!("verdict", id = %self.case.id, judge = name)).await;
            metrics::histogram!("holdfast_delivery_verdict_seconds", "judge" => name)
                .record(begun.elapsed().as_secs_f64());
            let result = said.as_ref().map_or_else(Failure::name, |_| "verdict");
            metrics::counter!("holdfast_delivery_verdicts_total", "judge" => name, "result" => result).increment(1);
            match said {
                Ok(joined) => so_far = joined,
                Err(failure) => {
                    let why = match &failure {
                        Failure::Failed(error) => error.to_string(),
                        Failure::Slow => format!("no verdict within {share:?}"),
                        Failure::Panicked => "it panicked".to_owned(),
                    };
                    tracing::warn!(id = %self.case.id, judge = name, why, ?fallback, "a check of a message failed");
                    if fallback == Fallback::Defer {
                        for verdict in &mut so_far {
                            defer(verdict, name);
                        }
                    }
                }
            }
        }
        so_far
    }
}

/// What the first of those who need so much gets of the time that is left.
fn share(left: Duration, needs: &[Duration]) -> Duration {
    let all: f64 = needs.iter().map(Duration::as_secs_f64).sum();
    match needs.first() {
        Some(first) if all > 0.0 => left.mul_f64(first.as_secs_f64() / all),
        _ => left / u32::try_from(needs.len().max(1)).unwrap_or(u32::MAX),
    }
}

/// What the judge says on top of what was said. It runs as a task of its own: if it panics or blocks, only it does.
async fn ask(seat: Seat, message: &Spooled, so_far: &[Verdict], time: Duration) -> Result<Vec<Verdict>, Failure> {
    let name = seat.judge.name();
    let mut hearing = seat.hearing.ok_or(Failure::Panicked)?;
    let (message, before) = (message.clone(), so_far.to_vec());
    let count = before.len();
    let task = tokio::spawn(async move {
        hearing.allot(time);
        let said = hearing.verdicts(&message, &before).await?;
        if said.len() != count {
            return Err(JudgeError(format!("{} verdicts for {count} recipients", said.len())));
        }
        let join = |(before, said): (Verdict, Verdict)| before.join(said.checked(name)?)?.fits();
        before.into_iter().zip(said).map(join).collect::<Result<Vec<_>, _>>()
    });
    let abort = AbortOnDrop(task.abort_handle());
    let done = tokio::time::timeout(time, task).await;
    drop(abort);
    match done {
        Err(_) => Err(Failure::Slow),
        Ok(Err(_)) => Err(Failure::Panicked),
        Ok(Ok(Err(error))) => Err(Failure::Failed(error)),
        Ok(Ok(Ok(joined))) => Ok(joined),
    }
}

/// Nobody waits for the judge's task any longer.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The refusal for now when a check that must not be left out could not be made.
fn defer(verdict: &mut Verdict, judge: &str) {
    verdict.refusal.get_or_insert_with(|| {
        Refusal::new(451, (4, 3, 0), "The message could not be checked at the moment, try again later")
    });
    if !verdict.reason.is_empty() {
        verdict.reason.push_str("; ");
    }
    verdict.reason.push_str(judge);
    verdict.reason.push_str(": no verdict");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(needs: &[u64]) -> Vec<Duration> {
        needs.iter().copied().map(Duration::from_secs).collect()
    }

    #[test]
    fn everyone_gets_what_it_needs_where_there_is_enough() {
        // Each takes all that it gets: sender checks, a scanner, and four quick ones.
        let (needs, mut left) = (seconds(&[6, 8, 1, 1, 1, 1]), Duration::from_secs(20));
        for (at, need) in needs.iter().enumerate() {
            let got = share(left, &needs[at..]);
            assert!(got >= *need && got <= left, "{at}: {got:?}");
            left -= got;
        }
    }

    #[test]
    fn where_there_is_too_little_all_get_less_in_proportion_and_nobody_nothing() {
        let (needs, mut left) = (seconds(&[6, 30, 30, 30, 1]), Duration::from_secs(20));
        for at in 0..needs.len() {
            let got = share(left, &needs[at..]);
            let fair = needs[at].mul_f64(20.0 / 97.0);
            assert!(got.abs_diff(fair) < Duration::from_millis(1), "{at}: {got:?}");
            left -= got;
        }
        assert_eq!(share(Duration::from_secs(6), &seconds(&[0, 0])), Duration::from_secs(3));
        assert_eq!(share(Duration::from_secs(6), &[]), Duration::from_secs(6));
    }
}
