//! Which addresses a primary of another make takes, where it is asked: answers are remembered for the time when it is away.
//!
//! RCPT never waits: an address that nobody has asked about yet is answered "try again later", and asked about. A server
//! that tries again hears the answer.

use std::collections::{HashMap, HashSet};

use delivery::{AskedOf, Handover};
use mailkit::EmailAddress;
use parking_lot::Mutex;
use store::{Read, Store, StoreError};
use tokio::sync::mpsc;

use crate::spool;

/// How long an answer is used, in milliseconds, by whether the address is taken.
const GOOD_FOR_MS: [i64; 2] = [3 * 86_400_000, 31 * 86_400_000];
/// After how long it is asked again when it is needed.
const ASK_AGAIN_MS: [i64; 2] = [3 * 3_600_000, 7 * 86_400_000];
/// Answers that are remembered: a stranger can have us ask about any address.
const MAX_ANSWERS: [usize; 2] = [20_000, 100_000];
/// Addresses that wait to be asked about.
const MAX_WANTED: usize = 1_000;

/// What the primary said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// It takes mail for the address.
    pub taken: bool,
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
}

/// What was asked, and what is to be.
pub struct Asking {
    domains: Vec<String>,
    answers: Mutex<HashMap<String, Answer>>,
    wanted: Mutex<HashSet<String>>,
    ask: mpsc::Sender<EmailAddress>,
}

impl Asking {
    /// Asks about addresses of these domains; also gives what [`Self::run`] reads.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(domains: Vec<String>, read: &impl Read) -> Result<(Self, mpsc::Receiver<EmailAddress>), StoreError> {
        let (ask, asked) = mpsc::channel(MAX_WANTED);
        let answers = Mutex::new(spool::answers(read)?.into_iter().collect());
        Ok((Self { domains, answers, wanted: Mutex::default(), ask }, asked))
    }

    /// Whether it asks about addresses of a domain.
    pub fn covers(&self, domain: &str) -> bool {
        self.domains.iter().any(|own| own == domain)
    }

    /// Whether the primary takes mail for an address; none while that is not known. What is old is asked again.
    pub fn answer(&self, address: &EmailAddress, now_ms: i64) -> Option<bool> {
        let name = address.canonical();
        let known = self.answers.lock().get(&name).copied();
        let age_ms = known.map(|known| now_ms.saturating_sub(known.at_ms));
        let is_usable = |known: &Answer| age_ms.is_some_and(|age| age < GOOD_FOR_MS[usize::from(known.taken)]);
        let is_fresh = |known: &Answer| age_ms.is_some_and(|age| age < ASK_AGAIN_MS[usize::from(known.taken)]);
        if !known.as_ref().is_some_and(is_fresh) && self.wanted.lock().insert(name.clone()) {
            // Those for whom there is no room are asked about when they are needed again.
            if self.ask.try_send(address.clone()).is_err() {
                self.wanted.lock().remove(&name);
            }
        }
        known.filter(is_usable).map(|known| known.taken)
    }

    /// Asks the primary, one address after another, and remembers what it says.
    pub async fn run(&self, store: &Store, handover: &Handover, mut asked: mpsc::Receiver<EmailAddress>) {
        while let Some(address) = asked.recv().await {
            let answer = handover.ask(&address).await;
            let name = address.canonical();
            let taken = match &answer {
                AskedOf::Known => Some(true),
                AskedOf::Unknown(_) => Some(false),
                AskedOf::NotNow(why) => {
                    tracing::debug!(why, "the primary does not say whether it takes mail for an address");
                    None
                }
            };
            let result = taken.map_or("not_now", |taken| if taken { "taken" } else { "unknown" });
            metrics::counter!("holdfast_relay_asked_total", "result" => result).increment(1);
            if let Some(taken) = taken {
                let now_ms = store.clock().now_ms();
                if let Err(error) = self.remember(store, name.clone(), Answer { taken, at_ms: now_ms }).await {
                    tracing::warn!(%error, "could not store what the primary said of an address");
                }
            }
            self.wanted.lock().remove(&name);
        }
    }

    async fn remember(&self, store: &Store, name: String, answer: Answer) -> Result<(), StoreError> {
        let forgotten = {
            let mut answers = self.answers.lock();
            answers.insert(name.clone(), answer);
            forget_oldest(&mut answers, answer.taken)
        };
        store
            .transact(move |tx| {
                spool::put_answer_in(tx, &name, answer);
                for old in &forgotten {
                    spool::forget_answer_in(tx, old);
                }
                Ok(())
            })
            .await
    }
}

/// Where there are too many of one kind, the oldest quarter of them goes; gives their names.
fn forget_oldest(answers: &mut HashMap<String, Answer>, taken: bool) -> Vec<String> {
    let most = MAX_ANSWERS[usize::from(taken)];
    let mut of_kind: Vec<(i64, String)> = Vec::new();
    if answers.len() > most {
        let same = answers.iter().filter(|(_, answer)| answer.taken == taken);
        of_kind.extend(same.map(|(name, answer)| (answer.at_ms, name.clone())));
    }
    if of_kind.len() <= most {
        return Vec::new();
    }
    of_kind.sort_unstable();
    of_kind.truncate(most / 4);
    let names: Vec<String> = of_kind.into_iter().map(|(_, name)| name).collect();
    for name in &names {
        answers.remove(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answers_of_a_kind_make_room_and_the_other_kind_stays() {
        let mut answers = HashMap::new();
        for number in 0..=MAX_ANSWERS[0] {
            let answer = Answer { taken: false, at_ms: i64::try_from(number).unwrap() };
            answers.insert(format!("{number}@a.example"), answer);
        }
        answers.insert("anna@a.example".to_owned(), Answer { taken: true, at_ms: -1 });
        assert!(forget_oldest(&mut answers, true).is_empty());
        let gone = forget_oldest(&mut answers, false);
        assert_eq!(gone.len(), MAX_ANSWERS[0] / 4);
        assert_eq!(gone[0], "0@a.example");
        assert!(answers.contains_key("anna@a.example") && forget_oldest(&mut answers, false).is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_used_while_it_is_good_and_asked_again_before() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), store::StoreOptions::default()).unwrap();
        let (asking, mut asked) = Asking::open(vec!["a.example".to_owned()], &store.snapshot()).unwrap();
        assert!(asking.covers("a.example") && !asking.covers("b.example"));
        let address = EmailAddress::parse("Anna@A.example").unwrap();
        assert_eq!(asking.answer(&address, 0), None);
        assert_eq!(asking.answer(&address, 0), None, "it is asked about once");
        assert_eq!(asked.try_recv().unwrap(), address);
        assert!(asked.try_recv().is_err());
        for taken in [false, true] {
            let kind = usize::from(taken);
            asking.wanted.lock().clear();
            asking.remember(&store, "anna@a.example".to_owned(), Answer { taken, at_ms: 0 }).await.unwrap();
            // A new start knows it.
            let (asking, mut asked) = Asking::open(vec!["a.example".to_owned()], &store.snapshot()).unwrap();
            assert_eq!(asking.answer(&address, ASK_AGAIN_MS[kind] - 1), Some(taken));
            assert!(asked.try_recv().is_err());
            assert_eq!(asking.answer(&address, GOOD_FOR_MS[kind] - 1), Some(taken));
            assert_eq!(asked.try_recv().unwrap(), address);
            assert_eq!(asking.answer(&address, GOOD_FOR_MS[kind]), None, "it is too old");
        }
        store.close();
    }
}
