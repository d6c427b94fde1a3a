//! Two-step sign-in: someone who has typed the right password need not type it again with the code.
//!
//! The password is kept in memory for some minutes and a few attempts; the page has a ticket that names it. If the
//! process ends, the person types the password again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::view::fresh_key;

/// How long a code may take.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// How many codes may be tried with one ticket.
const TRIES: u32 = 5;
/// Most sign-ins that wait for a code at once; beyond that, the password is asked for again.
const MAX_WAITING: usize = 10_000;

/// Sign-ins with a right password that still need a code. Not `Debug`: it holds passwords.
#[derive(Default)]
pub struct SecondSteps(Mutex<HashMap<String, Waiting>>);

struct Waiting {
    login: String,
    password: String,
    since: Instant,
    tries: u32,
}

impl SecondSteps {
    /// A ticket for a sign-in with the right password; empty if there are too many.
    pub fn ticket(&self, login: &str, password: &str) -> String {
        let mut waiting = self.0.lock();
        if waiting.len() >= MAX_WAITING {
            waiting.retain(|_, one| one.since.elapsed() < PATIENCE);
        }
        if waiting.len() >= MAX_WAITING {
            return String::new();
        }
        let ticket = fresh_key();
        let one =
            Waiting { login: login.to_owned(), password: password.to_owned(), since: Instant::now(), tries: TRIES };
        waiting.insert(ticket.clone(), one);
        ticket
    }

    /// The password of a ticket and login, for one attempt with a code.
    pub fn password(&self, ticket: &str, login: &str) -> Option<String> {
        let mut waiting = self.0.lock();
        waiting.retain(|_, one| one.since.elapsed() < PATIENCE && one.tries > 0);
        let one = waiting.get_mut(ticket).filter(|one| one.login == login)?;
        one.tries -= 1;
        Some(one.password.clone())
    }

    /// Whether a ticket can still be used.
    pub fn holds(&self, ticket: &str) -> bool {
        self.0.lock().get(ticket).is_some_and(|one| one.tries > 0 && one.since.elapsed() < PATIENCE)
    }

    /// Forget a ticket.
    pub fn end(&self, ticket: &str) {
        self.0.lock().remove(ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_serves_its_login_for_a_few_tries() {
        let steps = SecondSteps::default();
        let ticket = steps.ticket("ann@example.org", "secret");
        assert_eq!(steps.password(&ticket, "bob@example.org"), None);
        assert_eq!(steps.password("", "ann@example.org"), None);
        for _ in 0..TRIES {
            assert!(steps.holds(&ticket));
            assert_eq!(steps.password(&ticket, "ann@example.org").as_deref(), Some("secret"));
        }
        assert!(!steps.holds(&ticket));
        assert_eq!(steps.password(&ticket, "ann@example.org"), None);
        let other = steps.ticket("ann@example.org", "secret");
        steps.end(&other);
        assert_eq!(steps.password(&other, "ann@example.org"), None);
    }
}
