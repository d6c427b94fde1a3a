//! Puts the questions of a check to a resolver.

use std::time::Duration;

use directory::Domain;
use dnskit::{DnsError, Resolver};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::{Answers, Report, Service, judge};

/// Each answer leads to new questions at most so often.
const MAX_ROUNDS: usize = 24;
/// Questions of one domain at once.
const AT_ONCE: usize = 8;
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long a check may take in all; what is not answered by then counts as unanswered. People wait for it on a page.
const DEADLINE: Duration = Duration::from_secs(20);

/// Checks a domain: asks until all that is wanted to know is known, or is known not to be answered. Gives the answers too.
pub async fn check(resolver: &dyn Resolver, service: &Service, domain: &Domain, now_ms: i64) -> (Report, Answers) {
    let end = Instant::now() + DEADLINE;
    let mut answers = Answers::default();
    let mut report = judge(service, domain, &answers, now_ms);
    for _ in 0..MAX_ROUNDS {
        let open = answers.take_open();
        if open.is_empty() {
            break;
        }
        let asked = open.into_iter().map(|question| async move {
            let until = end.min(Instant::now() + PATIENCE);
            let looking = resolver.lookup(&question.name, question.kind);
            let said = tokio::time::timeout_at(until, looking).await;
            (question, said.unwrap_or_else(|_| Err(DnsError::Temporary("no answer in time".to_owned()))))
        });
        let said: Vec<_> = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        for (question, said) in said {
            answers.put(question, said);
        }
        report = judge(service, domain, &answers, now_ms);
    }
    (report, answers)
}
