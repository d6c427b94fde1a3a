//! How long a message waits for the DNS. A resolver that answers nothing would hold up each message for the whole time that one
//! may take; after some in a row the next ones wait a moment only, until one is answered in time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Messages in a row whose questions were not answered in time, until the DNS counts as silent.
const IN_A_ROW: u32 = 3;
/// What a message waits while the DNS is silent. A question is asked all the same: who makes the DNS look silent by slow names of
/// their own does not get the answers about other names left out.
const WHILE_SILENT: Duration = Duration::from_millis(500);
/// How often one message waits the whole time while the DNS is silent: it may be slow rather than dead.
const TRY_EVERY: Duration = Duration::from_secs(30);

/// The patience with the DNS, of all messages together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DnsPatience(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    whole: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    unanswered: u32,
    tried: Option<Instant>,
}

impl DnsPatience {
    /// Messages wait `whole` as long as the DNS answers.
    pub fn new(whole: Duration) -> Self {
        Self(Arc::new(Inner { whole, state: Mutex::default() }))
    }

    /// The longest that a message waits.
    pub fn whole(&self) -> Duration {
        self.0.whole
    }

    /// How long the next message waits.
    pub fn next(&self) -> Duration {
        self.next_at(Instant::now())
    }

    fn next_at(&self, now: Instant) -> Duration {
        let mut state = self.0.state.lock();
        if state.unanswered < IN_A_ROW {
            return self.0.whole;
        }
        if state.tried.is_some_and(|tried| now.duration_since(tried) < TRY_EVERY) {
            return self.0.whole.min(WHILE_SILENT);
        }
        state.tried = Some(now);
        self.0.whole
    }

    /// Whether all that was asked about a message was answered in its time.
    pub fn learn(&self, in_time: bool) {
        let mut state = self.0.state.lock();
        let was_silent = state.unanswered >= IN_A_ROW;
        if in_time {
            *state = State::default();
        } else {
            state.unanswered = state.unanswered.saturating_add(1);
            if state.unanswered == IN_A_ROW {
                state.tried = Some(Instant::now());
            }
        }
        match (was_silent, state.unanswered >= IN_A_ROW) {
            (false, true) => tracing::error!("the DNS is silent: senders of incoming mail can't be checked"),
            (true, false) => tracing::info!("the DNS answers again"),
            _ => {}
        }
    }

    /// Whether the DNS is silent: none of the last messages was answered.
    pub fn is_silent(&self) -> bool {
        self.0.state.lock().unanswered >= IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Duration = Duration::from_secs(5);

    #[test]
    fn a_silent_dns_is_tried_now_and_then_and_one_answer_ends_the_silence() {
        let patience = DnsPatience::new(WHOLE);
        for _ in 0..IN_A_ROW {
            assert!(!patience.is_silent());
            assert_eq!(patience.next(), WHOLE);
            patience.learn(false);
        }
        let now = Instant::now();
        for _ in 0..3 {
            assert!(patience.is_silent());
            assert_eq!(patience.next_at(now), WHILE_SILENT);
            patience.learn(false);
        }
        let later = now + TRY_EVERY;
        assert_eq!(patience.next_at(later), WHOLE);
        assert_eq!(patience.next_at(later), WHILE_SILENT, "one alone tries");
        patience.learn(true);
        assert!(!patience.is_silent());
        assert_eq!(patience.next(), WHOLE);
    }

    #[test]
    fn answers_in_between_and_a_short_patience_are_no_silence() {
        let patience = DnsPatience::new(WHOLE);
        for at in 0..20 {
            patience.learn(at % 3 == 0);
            assert!(!patience.is_silent());
        }
        let short = DnsPatience::new(Duration::from_millis(100));
        for _ in 0..=IN_A_ROW {
            short.learn(false);
        }
        assert_eq!(short.next(), Duration::from_millis(100));
    }
}
