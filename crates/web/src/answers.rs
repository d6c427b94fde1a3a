//! What was answered lately to forms that make something: the same form sent again, or twice at once, makes nothing new
//! and gets the same answer.
//!
//! For what keeps no receipt of its own in the store: mailboxes, accounts, domains, app passwords. Kept in memory only;
//! after a restart the second press is told that what it makes exists already.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use directory::AccountId;
use tokio::sync::{Mutex, MutexGuard};

/// How long a form may be sent again.
const KEEP: Duration = Duration::from_secs(10 * 60);
/// Most answers that are kept.
const MAX_KEPT: usize = 10_000;

type Kept = HashMap<(AccountId, Vec<u8>), (Instant, String)>;

/// See the module. Not `Debug`: an answer may be a password.
#[derive(Default)]
pub struct Answers(Mutex<Kept>);

/// The turn of one form: others wait until it is dropped.
pub struct Turn<'a> {
    kept: MutexGuard<'a, Kept>,
    name: (AccountId, Vec<u8>),
}

impl Answers {
    /// Waits for the turn of a form: whose, and the key of its act.
    pub async fn turn(&self, account: AccountId, key: &[u8]) -> Turn<'_> {
        let mut kept = self.0.lock().await;
        kept.retain(|_, (at, _)| at.elapsed() < KEEP);
        Turn { kept, name: (account, key.to_vec()) }
    }
}

impl Turn<'_> {
    /// What was answered before.
    pub fn before(&self) -> Option<String> {
        self.kept.get(&self.name).map(|(_, answer)| answer.clone())
    }

    /// Keep what is answered.
    pub fn done(mut self, answer: &str) {
        if self.kept.len() < MAX_KEPT {
            self.kept.insert(self.name, (Instant::now(), answer.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_form_has_the_same_answer() {
        let answers = Answers::default();
        let turn = answers.turn(AccountId(1), b"k").await;
        assert_eq!(turn.before(), None);
        turn.done("made");
        assert_eq!(answers.turn(AccountId(1), b"k").await.before().as_deref(), Some("made"));
        assert_eq!(answers.turn(AccountId(2), b"k").await.before(), None);
        assert_eq!(answers.turn(AccountId(1), b"other").await.before(), None);
    }
}
