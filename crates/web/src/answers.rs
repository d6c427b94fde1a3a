//! What was answered lately to forms that make something: the same form sent again, or twice at once, makes nothing new
//! and gets the same answer.
//!
//! For what keeps no receipt of its own in the store: mailboxes, accounts, domains, app passwords. Kept in memory only;
//! after a restart the second press is told that what it makes exists already.
//!
//! Only presses of one and the same form wait for each other: each form has a lock of its own, and the lock over all of
//! them is never held while anything is waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use directory::AccountId;
use parking_lot::Mutex as Lock;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How long a form may be sent again.
const KEEP: Duration = Duration::from_secs(10 * 60);
/// Most forms that are known, over all accounts. One more is answered and not remembered.
const MAX_KEPT: usize = 10_000;
/// And of one account.
const MAX_KEPT_EACH: usize = 500;

type Answer = Arc<Mutex<Option<String>>>;

/// A form that was sent: since when it is known, and what it was answered.
struct Form {
    since: Instant,
    answer: Answer,
}

/// Forms of one account, by the key of their act.
type Forms = HashMap<Vec<u8>, Form>;

/// See the module. Not `Debug`: an answer may be a password.
#[derive(Default)]
pub struct Answers(Lock<HashMap<AccountId, Forms>>);

/// The turn of one form: the same form, sent again, waits until it is dropped.
pub struct Turn(OwnedMutexGuard<Option<String>>);

impl Answers {
    /// Waits for the turn of a form: whose, and the key of its act.
    pub async fn turn(&self, account: AccountId, key: &[u8]) -> Turn {
        let answer = self.form(account, key);
        Turn(answer.lock_owned().await)
    }

    fn form(&self, account: AccountId, key: &[u8]) -> Answer {
        let mut all = self.0.lock();
        for forms in all.values_mut() {
            // One that is under way stays, however long it takes.
            forms.retain(|_, form| form.since.elapsed() < KEEP || Arc::strong_count(&form.answer) > 1);
        }
        all.retain(|_, forms| !forms.is_empty());
        if let Some(form) = all.get(&account).and_then(|forms| forms.get(key)) {
            return form.answer.clone();
        }
        let answer = Answer::default();
        let kept: usize = all.values().map(HashMap::len).sum();
        let forms = all.entry(account).or_default();
        if kept < MAX_KEPT && forms.len() < MAX_KEPT_EACH {
            forms.insert(key.to_vec(), Form { since: Instant::now(), answer: answer.clone() });
        }
        answer
    }
}

impl Turn {
    /// What was answered before.
    pub fn before(&self) -> Option<String> {
        self.0.clone()
    }

    /// Keep what is answered.
    pub fn done(mut self, answer: &str) {
        *self.0 = Some(answer.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

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

    #[tokio::test]
    async fn a_form_under_way_makes_nobody_wait_but_itself_sent_again() {
        let answers = Answers::default();
        let slow = answers.turn(AccountId(1), b"slow").await;
        // Another form of the same account, and the same key of another account: at once.
        for (account, key) in [(1, &b"quick"[..]), (2, b"slow"), (2, b"quick")] {
            assert!(answers.turn(AccountId(account), key).now_or_never().is_some(), "{account} {key:?}");
        }
        let mut again = std::pin::pin!(answers.turn(AccountId(1), b"slow"));
        assert!(again.as_mut().now_or_never().is_none());
        slow.done("made");
        assert_eq!(again.await.before().as_deref(), Some("made"));
    }

    #[tokio::test]
    async fn one_that_failed_may_be_tried_again() {
        let answers = Answers::default();
        drop(answers.turn(AccountId(1), b"k").await);
        assert_eq!(answers.turn(AccountId(1), b"k").await.before(), None);
    }

    #[tokio::test]
    async fn one_account_cant_take_the_room_of_all() {
        let answers = Answers::default();
        for number in 0..2 * MAX_KEPT_EACH {
            answers.turn(AccountId(1), &number.to_be_bytes()).await.done("x");
        }
        answers.turn(AccountId(2), b"k").await.done("made");
        assert_eq!(answers.turn(AccountId(2), b"k").await.before().as_deref(), Some("made"));
        assert!(answers.0.lock()[&AccountId(1)].len() <= MAX_KEPT_EACH);
    }
}
