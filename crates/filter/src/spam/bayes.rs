//! What was learned says of a message.
//!
//! Naive Bayes over the features that occur, each by how surely it tells (the more evenly it is spread the less, and the
//! seldomer it was seen the less), in sections ([`super::words::Section`]): a long text must not outvote all that the
//! header says, so the sum of each section is divided by the root of how many features it has, and ends at [`MOST`]:
//! a hundred signs of one kind, such as the letters of a foreign script, are one sign. What was never seen before counts
//! more than what is known: a message of which little is known is not judged with certainty.

use super::counts::{Counts, Totals};
use super::words::Section;

/// How much weighs what is expected of a feature before anything is known of it, in messages.
const STRENGTH: f64 = 0.1;
/// How fast the weight of features falls that are in mail of both kinds.
const SPREAD: f64 = 20.0;
/// Features that each section has at least, for its root.
const FEW: f64 = 10.0;
/// How many known features one counts for that was never seen.
const UNSEEN: f64 = 2.0;
/// Most that one section can say for or against spam; it gets there gradually.
const MOST: f64 = 6.0;
/// Messages of the rarer kind at which half of the weight is reached.
const HALF_AT: f64 = 2.0;
/// Messages of the rarer kind from which on an account needs no base.
const ENOUGH: f64 = 50.0;
/// How much each section counts.
const WEIGHTS: [f64; Section::ALL] = [1.5, 1.0, 1.0, 1.5, 2.0, 1.0, 0.0, 2.5];

/// For or against spam, above 0 for spam; what is no sign at all is 0. Rough size: 12 is a clear case, 42 the end.
pub fn evidence(counts: &Counts, features: &[u32]) -> f64 {
    let totals = counts.totals();
    let seldom = Seldom::of(totals);
    let mut sections = [(0.0, 0.0); Section::ALL];
    for feature in features {
        let section = &mut sections[Section::of(*feature)];
        let of = counts.of(*feature);
        if of == Totals::default() {
            section.1 += UNSEEN;
        } else {
            section.0 += seldom.weight(of).unwrap_or_else(|| weight(of, totals));
            section.1 += 1.0;
        }
    }
    let said = sections.iter().zip(WEIGHTS).map(|((sum, size), weight)| weight * sum / (size + FEW).sqrt());
    let sum: f64 = said.map(|said| MOST * (said / MOST).tanh()).sum();
    sum * trust(totals)
}

/// Counts below which weights are worked out once for all features of a message: most features are that rare.
const FEW_COUNTS: usize = 6;

/// The weights of rare features.
struct Seldom([[f64; FEW_COUNTS]; FEW_COUNTS]);

impl Seldom {
    fn of(totals: Totals) -> Self {
        let mut of = Totals::default();
        Self(std::array::from_fn(|spam| {
            of.spam = spam as u32;
            std::array::from_fn(|ham| weight(Totals { ham: ham as u32, ..of }, totals))
        }))
    }

    fn weight(&self, of: Totals) -> Option<f64> {
        self.0.get(of.spam as usize)?.get(of.ham as usize).copied()
    }
}

/// How far few messages are believed: from the first one on, but not as much as many.
fn trust(totals: Totals) -> f64 {
    let fewer = f64::from(totals.spam.min(totals.ham));
    (fewer + 0.5) / (fewer + 0.5 + HALF_AT)
}

/// How far the base of all accounts is asked by one that has learned that much: less and less, and in the end not at all.
pub fn asks_base(own: Totals) -> f64 {
    let fewer = f64::from(own.spam.min(own.ham));
    if fewer >= ENOUGH { 0.0 } else { 1.0 - fewer / ENOUGH }
}

/// How much one feature tells.
pub(crate) fn weight(of: Totals, totals: Totals) -> f64 {
    let (spam, ham) = (f64::from(of.spam), f64::from(of.ham));
    let (all_spam, all_ham) = (f64::from(totals.spam.max(1)), f64::from(totals.ham.max(1)));
    let odds = ((spam + STRENGTH) / (all_spam + 2.0 * STRENGTH)) / ((ham + STRENGTH) / (all_ham + 2.0 * STRENGTH));
    let (in_spam, in_ham) = (spam / all_spam, ham / all_ham);
    let both = in_spam * in_ham;
    let sure = (in_spam - in_ham).powi(2) / ((in_spam + in_ham).powi(2) + SPREAD * both);
    odds.ln() * sure * (1.0 - 1.0 / (1.0 + spam + ham))
}

/// The features that told most, for (`true`) or against spam, and how much.
pub fn strongest(counts: &Counts, features: &[u32], for_spam: bool, most: usize) -> Vec<u32> {
    let totals = counts.totals();
    let mut told: Vec<(f64, u32)> = features
        .iter()
        .filter(|feature| matches!(Section::of(**feature), 0 | 3 | 5 | 7))
        .map(|feature| (weight(counts.of(*feature), totals), *feature))
        .filter(|(weight, _)| weight.is_finite() && *weight != 0.0 && (*weight > 0.0) == for_spam)
        .collect();
    told.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()).then(a.1.cmp(&b.1)));
    told.into_iter().take(most).map(|(_, feature)| feature).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_learned_says_nothing_and_one_message_of_each_kind_says_something() {
        let mut counts = Counts::default();
        let (spam, ham): (Vec<u32>, Vec<u32>) = ((0..200).collect(), (100..300).collect());
        assert!(evidence(&counts, &spam).abs() < f64::EPSILON);
        counts.learn(&spam, true);
        assert!(evidence(&counts, &spam) > 0.0);
        counts.learn(&ham, false);
        assert!(evidence(&counts, &spam) > 1.0 && evidence(&counts, &ham) < -1.0);
        assert_eq!(strongest(&counts, &spam, true, 500).len(), 100);
    }

    #[test]
    fn evidence_is_finite_whatever_was_counted() {
        for (spam, ham) in [(0, 1), (1, 0), (1, 1), (1_000, 0), (0, 1_000), (3, 5_000)] {
            let mut counts = Counts::default();
            (0..spam).for_each(|n| counts.learn(&[n, 7_000], true));
            (0..ham).for_each(|n| counts.learn(&[n, 7_000], false));
            let all: Vec<u32> = (0..8_000).collect();
            assert!(evidence(&counts, &all).is_finite(), "{spam} {ham}");
        }
    }
}
