//! The judge that runs an account's rules: its active Sieve script. It comes after the other judges, so that scripts see what
//! they found.
//!
//! What a script decides becomes a verdict, and with it part of the commit that files the message. A script that fails leaves
//! the message where it was, and the account gets one letter about it.

mod host;
mod means;
mod outcome;
mod trial;

use std::sync::Arc;

use delivery::{Case, Hearing, Judge, JudgeError, Spooled, Verdict};
use directory::{AccountId, Directory};
use mailstore::MailStore;
use people::People;
use rules::{Rules, RulesError};
use sieve::{Envelope, Message};

pub use trial::{Stored, Trial};

use host::Surroundings;
use means::Means;
use outcome::Decided;

/// Most of a message that scripts look at, in bytes; its size is told as it is.
const MAX_LOOKED_AT: usize = 8 * 1024 * 1024;

/// Runs the rules of accounts.
#[derive(Clone)]
pub struct RulesJudge(Means);

impl RulesJudge {
    /// On these.
    pub fn new(rules: Rules, directory: Directory, mailstore: MailStore, people: People, hostname: &str) -> Self {
        Self(Means { rules, directory, mailstore, people, hostname: hostname.to_owned() })
    }
}

impl Judge for RulesJudge {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        case.accounts
            .iter()
            .any(Option::is_some)
            .then(|| Box::new(Session { means: self.0.clone(), case: Arc::clone(case) }) as _)
    }
}

/// One message.
struct Session {
    means: Means,
    case: Arc<Case>,
}

#[async_trait::async_trait]
impl Hearing for Session {
    async fn verdicts(self: Box<Self>, message: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let (message, so_far) = (message.clone(), so_far.to_vec());
        let judged = tokio::task::spawn_blocking(move || self.run_all(&message, &so_far)).await;
        judged.map_err(|error| JudgeError(error.to_string()))?
    }
}

impl Session {
    fn run_all(&self, message: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let mut raw = None;
        let mut verdicts = Vec::with_capacity(so_far.len());
        for (index, before) in so_far.iter().enumerate() {
            let account = self.case.accounts.get(index).copied().flatten().filter(|_| before.refusal.is_none());
            // What came to an address that its owner has blocked is no mail of theirs: no rule, no reply.
            let account = account.filter(|account| !self.is_blocked(*account, index));
            let Some(account) = account else {
                verdicts.push(Verdict::default());
                continue;
            };
            let verdict = match self.means.rules.active(account.realm()) {
                Ok(None) => Verdict::default(),
                Ok(Some((name, script))) => {
                    if raw.is_none() {
                        let read = message.read_range(0, MAX_LOOKED_AT);
                        raw = Some(read.map_err(|error| JudgeError(error.to_string()))?);
                    }
                    let bytes = raw.as_deref().unwrap_or_default();
                    let added = before.headers().as_bytes();
                    let given = Message::new([added, bytes].concat()).of_size(added.len() as u64 + message.len());
                    self.run_one(account, index, (&name, &script), given, before)
                }
                Err(RulesError::Invalid(problems)) => {
                    let name = self.means.rules.active_name(account.realm()).ok().flatten().unwrap_or_default();
                    self.failed(account, index, &name, &problems.0.first().map(ToString::to_string).unwrap_or_default())
                }
                Err(error) => {
                    tracing::warn!(id = %self.case.id, %account, %error, "the rules could not be read");
                    Verdict::default()
                }
            };
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    fn is_blocked(&self, account: AccountId, index: usize) -> bool {
        let address = &self.case.envelope.recipients[index].address;
        self.means.directory.came(account, address).is_ok_and(|came| came.blocked.is_some())
    }

    fn run_one(
        &self,
        account: AccountId,
        index: usize,
        (name, script): (&str, &sieve::Script),
        message: Message,
        before: &Verdict,
    ) -> Verdict {
        let envelope = Envelope {
            from: self.case.envelope.from.as_ref().map(ToString::to_string).unwrap_or_default(),
            to: self.case.envelope.recipients[index].address.to_string(),
            original_to: String::new(),
            auth: self.case.envelope.origin.auth.map(|account| account.to_string()).unwrap_or_default(),
        };
        let mut host = Surroundings::new(&self.means, &self.case, account, before);
        let done = sieve::run(script, message.clone(), envelope.clone(), &mut host).map_err(|error| error.to_string());
        let decided = done.and_then(|outcome| {
            let marks = host.marks();
            Decided { means: &self.means, case: &self.case, account, message: &message, envelope: &envelope, before }
                .verdict(&outcome, marks)
        });
        let result = if decided.is_ok() { "ok" } else { "error" };
        metrics::counter!("holdfast_rules_runs_total", "result" => result).increment(1);
        decided.unwrap_or_else(|error| self.failed(account, index, name, &error))
    }

    /// The message stays where it was, and the account is told once.
    fn failed(&self, account: AccountId, index: usize, name: &str, error: &str) -> Verdict {
        tracing::info!(id = %self.case.id, %account, script = name, error, "a script failed");
        let to = &self.case.envelope.recipients[index].address;
        let mut verdict = Verdict::default().because(format!("the script failed: {error}"));
        verdict.replies.extend(outcome::letter(&self.means, account, to, (name, error), self.case.at_ms));
        verdict
    }
}
