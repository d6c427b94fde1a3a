//! What the findings mean for each recipient.

use delivery::{Case, FileInto, JudgeError, Refusal, Verdict};
use filter::sender::dmarc::Policy;
use filter::sender::names::is_same_or_below;
use filter::sender::{Findings, Outcome, Read};
use mailstore::Role;

use super::known::{Intermediary, is_known};
use super::options::{Enforce, Inner};

/// Whether a stranger writes in the name of a domain of ours without proof. DNS trouble about a name that could prove it is
/// no forgery.
pub fn is_forged(findings: &Findings, is_header_too_long: bool, is_ours: impl Fn(&str) -> bool) -> bool {
    if is_header_too_long {
        // Whatever it says about its author, it is where nobody looks.
        return true;
    }
    let may_be = |author: &str| {
        let mut proofs = findings.proofs().into_iter();
        findings.author.domains.len() == 1
            && proofs.any(|proof| {
                is_same_or_below(proof.domain, author)
                    || is_same_or_below(author, proof.domain) && is_ours(proof.domain)
            })
    };
    findings.author.domains.iter().any(|author| is_ours(author) && !may_be(author))
}

/// What is wrong with a message, and what may be done about it at most.
struct Fault {
    wanted: Enforce,
    /// For the log and the queue.
    reason: String,
    /// For the client.
    text: String,
}

impl Fault {
    fn of(inner: &Inner, findings: &Findings) -> Option<Self> {
        let by_policy = Self::by_policy(findings).map(|fault| fault.at_most(inner.options.dmarc));
        let by_forgery = Self::by_forgery(findings, inner.options.own_domains);
        [by_policy, by_forgery].into_iter().flatten().max_by_key(|fault| fault.wanted)
    }

    fn by_policy(findings: &Findings) -> Option<Self> {
        let dmarc = &findings.dmarc;
        if dmarc.outcome != Outcome::Fail {
            return None;
        }
        let wanted = match dmarc.policy {
            Policy::None => return None,
            Policy::Quarantine => Enforce::Quarantine,
            Policy::Reject => Enforce::Reject,
        };
        let (domain, policy) = (&dmarc.domain, dmarc.policy.code());
        let text = format!(
            "Message rejected due to the DMARC policy of {}: {} is not authorized to send mail from {domain} (SPF {}, DKIM {})",
            dmarc.record_of,
            findings.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            findings.spf.outcome.code(),
            dkim_in_a_word(findings),
        );
        Some(Self { wanted, reason: format!("DMARC of {domain} failed, policy {policy}"), text })
    }

    fn by_forgery(findings: &Findings, wanted: Enforce) -> Option<Self> {
        if !findings.is_forged {
            return None;
        }
        let domain = findings.author.domains.first().map_or("this service", String::as_str);
        let text = format!("Message rejected: sign in to send mail from {domain}");
        Some(Self { wanted, reason: format!("From of our own domain {domain} without proof"), text })
    }

    fn at_most(mut self, most: Enforce) -> Self {
        self.wanted = self.wanted.min(most);
        self
    }
}

fn dkim_in_a_word(findings: &Findings) -> &'static str {
    match findings.dkim.as_slice() {
        [] => "none",
        some if some.iter().any(|signature| signature.outcome == Outcome::Pass) => "not aligned",
        some => some[0].outcome.code(),
    }
}

/// The verdict on a relay, the same for each recipient. What some account may spare, and what goes to Junk, is decided
/// where the mailboxes are, by the findings that travel with the message.
pub fn on_relay(inner: &Inner, case: &Case, read: &Read, findings: &Findings) -> Vec<Verdict> {
    let fault = Fault::of(inner, findings).filter(|fault| fault.wanted == Enforce::Reject);
    let mut verdict = match fault {
        Some(fault) if !Intermediary::of(inner, read, findings).may_be_known() => {
            Verdict::refuse(Refusal::new(550, (5, 7, 1), fault.text)).because(fault.reason)
        }
        _ => Verdict::default().because(findings.dmarc.outcome.code()),
    };
    verdict.findings = findings.to_carry().unwrap_or_default().into();
    vec![verdict; case.accounts.len()]
}

/// The verdict for each recipient.
pub fn verdicts(inner: &Inner, case: &Case, read: &Read, findings: &Findings) -> Result<Vec<Verdict>, JudgeError> {
    let field = findings.field(&inner.options.hostname);
    let fault = Fault::of(inner, findings).filter(|fault| fault.wanted > Enforce::Observe);
    let through = fault.as_ref().map(|_| Intermediary::of(inner, read, findings));
    let verdict = |account: &Option<directory::AccountId>| {
        let mut verdict = match (&fault, &through) {
            (Some(fault), Some(through)) => match is_known(inner, *account, through)? {
                Some(who) => Verdict::default().because(format!("{}, spared: came through {who}", fault.reason)),
                None if fault.wanted == Enforce::Reject => {
                    Verdict::refuse(Refusal::new(550, (5, 7, 1), fault.text.clone())).because(fault.reason.clone())
                }
                None => Verdict::file(FileInto::Role(Role::Junk)).because(fault.reason.clone()),
            },
            _ => Verdict::default().because(findings.dmarc.outcome.code()),
        };
        verdict.add_header("Authentication-Results", &field)?;
        Ok(verdict)
    };
    case.accounts.iter().map(verdict).collect()
}
