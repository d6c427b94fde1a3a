//! Puts the questions of a check to the domain's name servers and to a resolver.

use std::time::Duration;

use directory::Domain;
use dnskit::DnsError;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use crate::answers::UnreadPolicy;
use crate::zone_asker::ZoneAsker;
use crate::{Answers, Report, Service, Sources, judge};

/// Each answer leads to new questions at most so often.
const MAX_ROUNDS: usize = 24;
/// Questions of one domain at once.
const AT_ONCE: usize = 8;
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long the name servers are looked for.
const PATIENCE_SERVERS: Duration = Duration::from_secs(8);
/// How long a check may take in all; what is not answered by then counts as unanswered. People wait for it on a page.
const DEADLINE: Duration = Duration::from_secs(20);

/// Checks a domain: asks until all that is wanted to know is known, or is known not to be answered. Gives the answers too.
pub async fn check(sources: &Sources, service: &Service, domain: &Domain, now_ms: i64) -> (Report, Answers) {
    let end = Instant::now() + DEADLINE;
    let found = timeout_at(Instant::now() + PATIENCE_SERVERS, ZoneAsker::of(sources, &domain.name)).await;
    let asker = found.unwrap_or_else(|_| ZoneAsker::without_servers(sources));
    let mut answers = Answers::default();
    answers.servers.clone_from(&asker.servers);
    let mut report = judge(service, domain, &answers, now_ms);
    for _ in 0..MAX_ROUNDS {
        let open = answers.take_open();
        if open.is_empty() {
            break;
        }
        let asker = &asker;
        let asked = open.into_iter().map(|question| async move {
            let said = timeout_at(end.min(Instant::now() + PATIENCE), asker.ask(&question)).await;
            (question, said.unwrap_or_else(|_| Err(DnsError::Temporary("no answer in time".to_owned()))))
        });
        let said: Vec<_> = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        for (question, said) in said {
            answers.put(question, said);
        }
        report = judge(service, domain, &answers, now_ms);
    }
    let accepted = asker.acceptance(sources.proving.as_deref(), &domain.name);
    answers.not_accepted = timeout_at(end, accepted).await.unwrap_or_default();
    answers.differing = asker.differing();
    if let Some(policies) = sources.policies.as_ref().filter(|_| answers.wants_policy()) {
        let late = UnreadPolicy { why: "no answer in time".to_owned(), reached: false };
        let read = timeout_at(Instant::now() + PATIENCE, policies.read(&domain.name)).await;
        answers.put_policy(read.unwrap_or(Err(late)));
    }
    (judge_known(service, domain, &answers, now_ms, report), answers)
}

/// The last word: with what was learned besides the DNS.
fn judge_known(service: &Service, domain: &Domain, answers: &Answers, now_ms: i64, before: Report) -> Report {
    let is_more = answers.not_accepted.is_some() || !answers.differing.is_empty() || answers.policy().is_some();
    if is_more { judge(service, domain, answers, now_ms) } else { before }
}
