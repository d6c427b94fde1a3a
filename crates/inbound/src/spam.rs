//! The judge of spam: gathers what is known of a message and its sender, and has `filter` judge for each recipient.
//!
//! It never keeps mail away: what goes wrong here leaves the message where it was. [`Training`] learns from what users do.

mod checked;
mod circle;
mod dns_lists;
mod greylist;
mod training;

use std::sync::Arc;

use delivery::{Case, FileInto, Hearing, Judge, JudgeError, Spooled, Verdict};
use directory::AccountId;
use filter::spam::{FIELD, Facts, Judgement, Known, Sender, Spam, judge};
use mailkit::{Parsed, bounce};
use mailstore::{MailStore, Role};
use people::People;
use store::RealmId;
use tokio_util::task::AbortOnDropHandle;

use checked::Checked;
use circle::Circles;
pub use dns_lists::{DnsLists, ListState, MAX_DNS_LISTS};
use greylist::Asked;
pub use greylist::Greylist;
pub use training::Training;

/// Most of a message that is looked at, in bytes; what follows counts only for its name.
const MAX_LOOKED_AT: usize = 1024 * 1024;
/// Bytes that are read at once for its name.
const PIECE: usize = 256 * 1024;

/// Why a message could not be judged.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Judges whether mail is wanted.
#[derive(Clone)]
pub struct SpamJudge {
    spam: Spam,
    mailstore: MailStore,
    people: People,
    lists: Option<DnsLists>,
    circles: Arc<Circles>,
    greylist: Option<Greylist>,
}

impl SpamJudge {
    /// On these, without asking DNS lists.
    pub fn new(spam: Spam, mailstore: MailStore, people: People) -> Self {
        Self { spam, mailstore, people, lists: None, circles: Arc::default(), greylist: None }
    }

    /// Asks these lists about the networks that mail comes from.
    #[must_use]
    pub fn asking(self, lists: DnsLists) -> Self {
        Self { lists: Some(lists), ..self }
    }

    /// Asks senders of suspicious mail to try again.
    #[must_use]
    pub fn greylisting(self, greylist: Greylist) -> Self {
        Self { greylist: Some(greylist), ..self }
    }
}

impl Judge for SpamJudge {
    fn name(&self) -> &'static str {
        "spam"
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        // What users of the service send, and what it sends itself, is no spam.
        let origin = &case.envelope.origin;
        let is_stranger = origin.auth.is_none() && (origin.peer.is_some() || origin.passed_on);
        let is_for_us = case.accounts.iter().any(Option::is_some);
        (is_stranger && is_for_us).then(|| {
            // They are asked while the message comes in.
            let asked = self.lists.clone().zip(case.envelope.origin.peer);
            let listing = asked
                .map(|(lists, peer)| AbortOnDropHandle::new(tokio::spawn(async move { lists.listing(peer).await })));
            Box::new(Trial { judge: self.clone(), case: Arc::clone(case), listing }) as _
        })
    }
}

/// One message.
struct Trial {
    judge: SpamJudge,
    case: Arc<Case>,
    /// The DNS lists that list the client.
    listing: Option<AbortOnDropHandle<Vec<String>>>,
}

#[async_trait::async_trait]
impl Hearing for Trial {
    async fn verdicts(mut self: Box<Self>, message: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let (message, so_far) = (message.clone(), so_far.to_vec());
        let listed_by = match self.listing.take() {
            Some(listing) => listing.await.unwrap_or_default(),
            None => Vec::new(),
        };
        let judged = tokio::task::spawn_blocking(move || self.judge_all(&message, &so_far, listed_by)).await;
        judged.map_err(|error| JudgeError(error.to_string()))?
    }
}

impl Trial {
    fn judge_all(
        &self,
        message: &Spooled,
        so_far: &[Verdict],
        listed_by: Vec<String>,
    ) -> Result<Vec<Verdict>, JudgeError> {
        let (raw, name) = looked_at(message).map_err(|error| JudgeError(error.to_string()))?;
        let parsed = mailkit::parse(&raw);
        let nothing = Verdict::default();
        let before = so_far.first().unwrap_or(&nothing);
        let checked = Checked::of(before.headers().as_bytes());
        let facts =
            Facts::of(name, &raw, &parsed, sender_of(&checked, before, listed_by)).beside(self.judge.spam.base());
        let answer = Answer { parsed: &parsed, returned: returned(&raw, &parsed) };
        let recipients = self.case.accounts.iter().zip(so_far).zip(&self.case.envelope.recipients);
        let mut is_suspicious = true;
        let verdicts: Vec<Verdict> = recipients
            .map(|((account, before), recipient)| match account {
                Some(account) if before.refusal.is_none() => {
                    let whom = Recipient { account: *account, domain: recipient.address.domain() };
                    match self.judge_one(whom, &facts, &answer, before) {
                        Ok((verdict, suspicious)) => {
                            is_suspicious &= suspicious;
                            verdict
                        }
                        // A filter that can't judge for one account must not keep its mail, nor that of the others.
                        Err(error) => {
                            tracing::warn!(id = %self.case.id, %account, %error, "a message could not be judged");
                            is_suspicious = false;
                            Verdict::default()
                        }
                    }
                }
                _ => {
                    is_suspicious = false;
                    Verdict::default()
                }
            })
            .collect();
        Ok(if is_suspicious { self.greylisted(verdicts, &checked) } else { verdicts })
    }

    /// Verdicts about a message that all recipients find suspicious.
    fn greylisted(&self, verdicts: Vec<Verdict>, checked: &Checked) -> Vec<Verdict> {
        let Some(greylist) = &self.judge.greylist else { return verdicts };
        let (result, verdicts) = match greylist.ask(&self.case, checked) {
            Asked::Passed => return verdicts,
            Asked::Retried => ("retried", verdicts),
            Asked::Later => {
                let later = || Verdict::refuse(greylist.refusal()).because("greylisted");
                ("refused", verdicts.iter().map(|_| later()).collect())
            }
        };
        metrics::counter!("holdfast_spam_greylisted_total", "result" => result).increment(1);
        verdicts
    }

    fn judge_one(
        &self,
        whom: Recipient<'_>,
        facts: &Facts,
        answer: &Answer<'_>,
        before: &Verdict,
    ) -> Result<(Verdict, bool), Failure> {
        let mut judged = self.judge.judged(whom, facts, answer)?;
        let is_suspicious = judged.is_suspicious();
        let was_junk = before.mailbox == Some(FileInto::Role(Role::Junk));
        if was_junk && !judged.is_spam && !judged.score.has("allowed") {
            // An earlier check has decided: the reasons say so, and still add up.
            let missing = judged.limit.map_or(0, |limit| limit.0 - judged.score.total().0);
            judged.score.add("check", missing, "A check of the sender filed it here");
            judged.is_spam = true;
        }
        let mut verdict = Verdict::default();
        let total = judged.score.total();
        if judged.is_spam {
            verdict = Verdict::file(FileInto::Role(Role::Junk)).because(format!("score {total}"));
        } else if judged.score.has("allowed") && was_junk {
            verdict = Verdict::file(FileInto::Role(Role::Inbox)).because("the sender is on an allow list");
        }
        let field = judged.score.to_field(judged.is_spam, judged.limit);
        verdict.add_header(FIELD, &field)?;
        let result = if judged.is_spam { "spam" } else { "ham" };
        metrics::counter!("holdfast_spam_judged_total", "result" => result).increment(1);
        Ok((verdict, is_suspicious))
    }
}

impl SpamJudge {
    /// How a message would be judged for an account if it came now, without network checks. Blocks.
    ///
    /// # Errors
    /// Those of reading.
    pub fn explain(&self, whom: Recipient<'_>, raw: &[u8]) -> Result<Judgement, Failure> {
        let looked_at = &raw[..raw.len().min(MAX_LOOKED_AT)];
        let parsed = mailkit::parse(looked_at);
        let name = *blake3::hash(raw).as_bytes();
        let facts = Facts::of(name, looked_at, &parsed, Sender::default()).beside(self.spam.base());
        let answer = Answer { parsed: &parsed, returned: returned(looked_at, &parsed) };
        self.judged(whom, &facts, &answer)
    }

    fn judged(&self, whom: Recipient<'_>, facts: &Facts, answer: &Answer<'_>) -> Result<Judgement, Failure> {
        let realm = whom.account.realm();
        let settings = self.spam.settings(realm)?;
        let model = self.spam.model(realm)?;
        let domain_entries = self.spam.lists_for(whom.domain)?;
        let known = Known { domain_entries, ..self.known(realm, facts, answer)? };
        Ok(judge(facts, &known, &model, &settings))
    }

    /// What an account has to do with the sender.
    fn known(&self, account: RealmId, facts: &Facts, answer: &Answer<'_>) -> Result<Known, Failure> {
        let circle = self.circles.of(account, &self.mailstore, &self.people)?;
        let mut known = Known::default();
        if let Some(from) = &facts.from {
            let address = from.canonical();
            known.contact = !self.people.by_address(account, &address)?.is_empty();
            known.written_to = self.mailstore.is_correspondent(account, &address)? || circle.has_written_to(&address);
            if !known.contact && !known.written_to {
                known.name_of = circle.namesake(&facts.from_name, from);
                known.looks_like = circle.imitated(from.domain());
            }
        }
        if facts.is_report {
            // What a report returns has to be known here, whoever sent the report. Many return nothing.
            known.report_of_own = match &answer.returned {
                Some(returned) => Some(self.mailstore.is_about_sent(account, returned)?),
                None => None,
            };
        } else if !answer.parsed.references.is_empty() {
            known.answers_own = self.mailstore.is_about_sent(account, answer.parsed)?;
        }
        Ok(known)
    }
}

/// For whom a message is judged.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// The account.
    pub account: AccountId,
    /// The domain of the address that the message came to.
    pub domain: &'a str,
}

/// What a message answers or reports about.
struct Answer<'a> {
    parsed: &'a Parsed,
    returned: Option<Parsed>,
}

/// The message that a delivery report returns, or its header.
fn returned(raw: &[u8], parsed: &Parsed) -> Option<Parsed> {
    let part = bounce::returned_part(parsed)?;
    let bytes = raw.get(part.body_start as usize..part.body_end as usize)?;
    let returned = mailkit::parse(bytes);
    (!returned.message_id.is_empty()).then_some(returned)
}

/// The beginning of a message, and the name of all of it.
fn looked_at(message: &Spooled) -> std::io::Result<(Vec<u8>, [u8; 32])> {
    let (mut raw, mut hasher) = (Vec::new(), blake3::Hasher::new());
    let mut at = 0;
    while at < message.len() {
        let piece = message.read_range(at, PIECE)?;
        if piece.is_empty() {
            break;
        }
        at += piece.len() as u64;
        hasher.update(&piece);
        let room = MAX_LOOKED_AT.saturating_sub(raw.len());
        raw.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok((raw, *hasher.finalize().as_bytes()))
}

/// What was found out about the sender, and by the DNS lists.
fn sender_of(checked: &Checked, before: &Verdict, listed_by: Vec<String>) -> Sender {
    Sender {
        is_genuine: checked.is_genuine,
        spf_failed: checked.spf_failed,
        listed_by,
        has_malware: before.found_malware,
        origin: checked.origin.clone(),
    }
}
