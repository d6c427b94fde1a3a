//! The judge that sends mail on to where its recipients want it forwarded.
//!
//! It is the last: what was refused, is spam, or failed the check of its author stays here, and so does what a rule has
//! discarded. An account's forwarding that can't be read keeps nothing away: the copy is filed.

use std::sync::Arc;

use delivery::{Case, FileInto, Forwarding, Hearing, Judge, JudgeError, Spooled, Verdict};
use directory::AccountId;
use mailkit::results;
use mailstore::Role;
use store::Store;

/// Forwards mail as accounts want it.
#[derive(Clone)]
pub struct ForwardingJudge {
    hostname: String,
    store: Store,
}

impl ForwardingJudge {
    /// On that store; `hostname` is whose `Authentication-Results` are ours.
    pub const fn new(hostname: String, store: Store) -> Self {
        Self { hostname, store }
    }

    fn of(&self, account: AccountId, id: delivery::QueueId, before: &Verdict) -> Verdict {
        let mut verdict = Verdict::default();
        let is_discarded = before.no_copy && before.forwards.is_empty() && before.changed_forwards.is_empty();
        let is_spam = before.mailbox == Some(FileInto::Role(Role::Junk));
        if before.refusal.is_some() || is_discarded || is_spam {
            return verdict;
        }
        let forwarding = match Forwarding::read(&self.store.snapshot(), account, self.store.clock().now_ms()) {
            Ok(forwarding) => forwarding,
            Err(error) => {
                tracing::error!(%id, %account, %error, "could not read where an account's mail is forwarded to");
                return verdict;
            }
        };
        let targets = forwarding.active();
        if targets.is_empty() || self.has_failed(before) {
            return verdict;
        }
        verdict.forwards = targets;
        // Where a rule has filed it, it stays.
        verdict.no_copy = !forwarding.keep_copy && before.mailbox.is_none();
        verdict
    }

    /// Whether the author is not who it says.
    fn has_failed(&self, before: &Verdict) -> bool {
        let found = results::read(before.headers().as_bytes(), &self.hostname).unwrap_or_default();
        found.iter().any(|result| {
            matches!((result.method.as_str(), result.result.as_str()), ("dmarc" | "x-own-domain", "fail"))
        })
    }
}

impl Judge for ForwardingJudge {
    fn name(&self) -> &'static str {
        "forwarding"
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        let is_for_us = case.accounts.iter().any(Option::is_some);
        is_for_us.then(|| Box::new(Waiting { judge: self.clone(), case: Arc::clone(case) }) as _)
    }
}

struct Waiting {
    judge: ForwardingJudge,
    case: Arc<Case>,
}

#[async_trait::async_trait]
impl Hearing for Waiting {
    async fn verdicts(self: Box<Self>, _: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let recipients = self.case.accounts.iter().zip(so_far);
        let one = |(account, before): (&Option<AccountId>, &Verdict)| {
            account.map(|account| self.judge.of(account, self.case.id, before)).unwrap_or_default()
        };
        Ok(recipients.map(one).collect())
    }
}
