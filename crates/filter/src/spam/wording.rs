//! What runs of characters tell of a message: a linear classifier for each view, trained until each known message lies on its side of
//! a thick margin (online passive-aggressive training, PA-I of Crammer et al. 2006). Each run counts by how much oftener it is in mail
//! of one kind than in that of the other (the log-count ratio of Wang and Manning 2012): what all mail has hardly moves anything.
//!
//! It errs on other messages than [`super::bayes`], which counts words, so the two together err less often than each alone.

use std::sync::LazyLock;

use super::counts::Totals;
use super::grams::{BUCKETS, Grams, VIEWS};

/// How often all that was learned is gone through.
const PASSES: usize = 10;
/// Most that one message changes at once.
const MOST_AT_ONCE: f32 = 0.5;
/// How far from the border a message should lie.
const MARGIN: f32 = 1.0;
/// What a message at the margin says in one view, in the units of [`super::bayes::evidence`].
const UNIT: f64 = 9.0;
/// Messages of the rarer kind at which half of the weight is reached.
const HALF_AT: f64 = 2.0;
/// What a run is taken to have been seen in, in messages of each kind, before it was.
const SEEN_BEFORE: f32 = 0.5;

/// Logarithms of numbers of messages.
static LOGS: LazyLock<Vec<f32>> = LazyLock::new(|| (0..4_096u16).map(logarithm).collect());

/// What is known of one run.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    weight: f32,
    /// Messages that have it.
    spam: u16,
    ham: u16,
}

/// Weights of runs of characters. Nothing is kept of one that learned nothing.
#[derive(Clone, Debug, Default)]
pub struct Wording {
    runs: Vec<Run>,
    totals: Totals,
}

impl Wording {
    /// Learned from these messages, which are in no order: those of one kind must not lie together.
    pub(super) fn of(lessons: &[(Grams, bool)]) -> Self {
        let mut wording = Self::default();
        for (grams, is_spam) in lessons {
            wording.note(grams, *is_spam);
        }
        for _ in 0..PASSES {
            let mut moved = false;
            for (grams, is_spam) in lessons {
                moved |= wording.move_towards(grams, *is_spam);
            }
            if !moved {
                break;
            }
        }
        wording
    }

    /// One more message is learned at once, until it lies on its side. Learning all together gives nearly the same weights.
    pub fn learn(&mut self, grams: &Grams, is_spam: bool) {
        self.note(grams, is_spam);
        for _ in 0..PASSES {
            if !self.move_towards(grams, is_spam) {
                break;
            }
        }
    }

    /// For or against spam, above 0 for spam, in the units of [`super::bayes::evidence`].
    pub fn evidence(&self, grams: &Grams) -> f64 {
        if self.runs.is_empty() {
            return 0.0;
        }
        let fewer = f64::from(self.totals.spam.min(self.totals.ham));
        let sum: f64 = (0..VIEWS).map(|view| f64::from(self.looked_at(view, &grams.0[view]).says)).sum();
        UNIT * sum * fewer / (fewer + HALF_AT)
    }

    fn note(&mut self, grams: &Grams, is_spam: bool) {
        if grams.is_empty() {
            return;
        }
        self.totals.add(is_spam);
        self.runs.resize(VIEWS * BUCKETS, Run::default());
        for (runs, grams) in self.runs.chunks_exact_mut(BUCKETS).zip(&grams.0) {
            for gram in grams {
                let run = &mut runs[usize::from(*gram)];
                let count = if is_spam { &mut run.spam } else { &mut run.ham };
                *count = count.saturating_add(1);
            }
        }
    }

    fn looked_at(&self, view: usize, grams: &[u16]) -> View {
        let (runs, ratios) = (&self.runs[view * BUCKETS..][..BUCKETS], Ratios::of(self.totals));
        let (mut says, mut square) = (0.0, 0.0);
        for gram in grams {
            let run = &runs[usize::from(*gram)];
            let ratio = ratios.ratio(*run);
            says += run.weight * ratio;
            square += ratio * ratio;
        }
        // Each message is as long as any other: a text of many runs says no more than one of few.
        let length = square.sqrt();
        View { says: if length > 0.0 { says / length } else { 0.0 }, length }
    }

    /// Gives whether it did not lie where it should.
    fn move_towards(&mut self, grams: &Grams, is_spam: bool) -> bool {
        if self.runs.is_empty() {
            return false;
        }
        let (side, ratios) = (if is_spam { 1.0 } else { -1.0 }, Ratios::of(self.totals));
        let mut moved = false;
        for (view, grams) in grams.0.iter().enumerate() {
            let View { says, length } = self.looked_at(view, grams);
            let missing = MARGIN - side * says;
            // What is missing by a hair is nothing.
            if length <= f32::EPSILON || missing <= MARGIN / 1_000.0 {
                continue;
            }
            moved = true;
            let step = missing.min(MOST_AT_ONCE) * side / length;
            let runs = &mut self.runs[view * BUCKETS..][..BUCKETS];
            for gram in grams {
                let run = &mut runs[usize::from(*gram)];
                run.weight += step * ratios.ratio(*run);
            }
        }
        moved
    }
}

/// What a view of a message says, and how much is known of it.
struct View {
    says: f32,
    length: f32,
}

/// How much oftener spam has a run than wanted mail.
#[derive(Clone, Copy)]
struct Ratios {
    logs: &'static [f32],
    /// What is added for there being more messages of one kind.
    evenly: f32,
}

impl Ratios {
    fn of(totals: Totals) -> Self {
        let log = |count: u32| (count as f32 + 2.0 * SEEN_BEFORE).ln();
        Self { logs: &LOGS, evenly: log(totals.ham) - log(totals.spam) }
    }

    /// As a logarithm; 0 of a run that was never seen.
    fn ratio(self, run: Run) -> f32 {
        if run.spam == 0 && run.ham == 0 {
            return 0.0;
        }
        self.log(run.spam) - self.log(run.ham) + self.evenly
    }

    fn log(self, count: u16) -> f32 {
        self.logs.get(usize::from(count)).copied().unwrap_or_else(|| logarithm(count))
    }
}

fn logarithm(count: u16) -> f32 {
    (f32::from(count) + SEEN_BEFORE).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grams(range: std::ops::Range<u16>) -> Grams {
        Grams([range.clone().collect(), range.collect()])
    }

    #[test]
    fn nothing_is_said_before_both_kinds_are_known_and_then_what_is_alike_is_told_apart() {
        let mut wording = Wording::default();
        assert!(wording.evidence(&grams(0..100)).abs() < f64::EPSILON);
        wording.learn(&grams(0..100), true);
        assert!(wording.evidence(&grams(0..100)).abs() < f64::EPSILON, "all mail would look like it");
        wording.learn(&grams(50..150), false);
        assert!(wording.evidence(&grams(0..90)) > 1.0 && wording.evidence(&grams(60..150)) < -1.0);
        assert!(wording.evidence(&grams(500..600)).abs() < f64::EPSILON, "what is not known says nothing");
    }

    #[test]
    fn learning_together_or_one_after_the_other_comes_to_the_same_sides() {
        let lessons: Vec<(Grams, bool)> = (0..40u16).map(|n| (grams(n * 50..n * 50 + 120), n % 2 == 0)).collect();
        let together = Wording::of(&lessons);
        let mut single = Wording::default();
        for (grams, is_spam) in &lessons {
            single.learn(grams, *is_spam);
        }
        for (grams, is_spam) in &lessons {
            assert_eq!(together.evidence(grams) > 0.0, *is_spam);
        }
        let (last, is_spam) = lessons.last().unwrap();
        assert_eq!(single.evidence(last) > 0.0, *is_spam);
    }

    #[test]
    fn evidence_is_finite_and_bounded_by_what_was_learned() {
        let empty = Grams::default();
        let mut wording = Wording::of(&[(empty.clone(), true), (empty.clone(), false)]);
        assert!(wording.evidence(&grams(0..10)).abs() < f64::EPSILON);
        for n in 0..500u16 {
            wording.learn(&grams(n % 7..n % 7 + 1), n % 2 == 0);
        }
        for said in [&empty, &grams(0..8), &grams(0..65_535)] {
            assert!(wording.evidence(said).is_finite());
        }
    }
}
