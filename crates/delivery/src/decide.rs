//! What verdicts on recipients come to for a message: RFC 2033 answers each recipient, RFC 5321 answers once for all.

use mailstore::Role;

use crate::dispatch::{Destination, RecipientOutcome, Routed};
use crate::judge::{FileInto, Verdict};
use crate::schema::VerdictRecord;
use crate::{Origin, Refusal};

/// The field that tells why a message was refused for a recipient who has it all the same.
const REFUSED_FIELD: &str = "X-Holdfast-Refused";

/// What the client is told if no recipient's copy is taken: nothing more is to be done then. LMTP has an outcome for
/// each recipient. One reply for all is "later" if that may still help one of them.
pub fn nothing_to_take(verdicts: &[Verdict], lmtp: bool) -> Option<Result<Vec<RecipientOutcome>, Refusal>> {
    let refusals: Option<Vec<&Refusal>> = verdicts.iter().map(|verdict| verdict.refusal.as_ref()).collect();
    let refusals = refusals.filter(|refusals| !refusals.is_empty())?;
    if lmtp {
        return Some(Ok(refusals.into_iter().cloned().map(RecipientOutcome::Refused).collect()));
    }
    let later = refusals.iter().find(|refusal| refusal.is_temporary());
    Some(Err((*later.unwrap_or(&refusals[0])).clone()))
}

/// Whether the client hears of this recipient's refusal, so that nothing more is done for it.
pub fn is_answered(verdict: &Verdict, lmtp: bool) -> bool {
    lmtp && verdict.refusal.is_some()
}

/// One outcome per recipient of the envelope, in its order: of those who were `taken`, and of those who were `refused`.
pub fn outcomes(taken: Vec<RecipientOutcome>, refused: Vec<Option<Refusal>>) -> Vec<RecipientOutcome> {
    if refused.is_empty() {
        return taken;
    }
    let mut taken = taken.into_iter();
    let outcome = |refusal: Option<Refusal>| refusal.map(RecipientOutcome::Refused).or_else(|| taken.next());
    refused.into_iter().filter_map(outcome).collect()
}

/// What happens to a recipient of a message that is taken, if not for this one then for another.
///
/// A sender who is signed in gets a report about a refusal for good. A stranger's address may be forged, so that a report
/// would be unwanted mail itself: the copy goes to Junk. A refusal for now ends with the message being taken.
pub fn apply(routed: &mut Routed, mut verdict: Verdict, origin: &Origin) {
    let is_elsewhere = matches!(routed.destination, Destination::Domain(_));
    if let Some(refusal) = verdict.refusal.take() {
        verdict.forwards.clear();
        verdict.changed_forwards.clear();
        verdict.no_copy = false;
        if origin.auth.is_some() {
            if !refusal.is_temporary() {
                // The queue fails it at once and reports.
                routed.destination = Destination::LocalQueue;
                verdict.refusal = Some(refusal);
            }
        } else {
            // A text that is not ASCII is left out; the log has it.
            drop(verdict.add_header(REFUSED_FIELD, &refusal.to_string()));
            if !refusal.is_temporary() {
                verdict.mailbox = Some(FileInto::Role(Role::Junk));
            }
        }
    }
    if is_elsewhere && verdict.refusal.is_none() {
        return;
    }
    routed.record.verdict = (!verdict.is_nothing()).then(|| VerdictRecord::from(&verdict));
}

/// The verdicts in a few words, for the log.
pub fn summary(verdicts: &[Verdict]) -> String {
    /// Longest summary; what goes to a thousand recipients must not make a line of a hundred thousand characters.
    const MAX_CHARS: usize = 400;
    let mut said: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.is_nothing())
        .map(|verdict| VerdictRecord::from(verdict).summary())
        .collect();
    said.dedup();
    said.join(" | ").chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_for_all_is_later_if_that_may_help_anyone() {
        let refusal = |code: u16| Verdict::refuse(Refusal::new(code, ((code / 100) as u8, 7, 1), code.to_string()));
        let code = |verdicts: &[Verdict]| match nothing_to_take(verdicts, false) {
            Some(Err(refusal)) => refusal.code,
            Some(Ok(_)) => panic!("one answer"),
            None => 250,
        };
        assert_eq!(code(&[]), 250);
        assert_eq!(code(&[Verdict::default()]), 250);
        assert_eq!(code(&[refusal(550)]), 550);
        assert_eq!(code(&[refusal(550), refusal(554)]), 550);
        assert_eq!(code(&[refusal(550), refusal(451)]), 451);
        assert_eq!(code(&[refusal(450), refusal(550)]), 450);
        assert_eq!(code(&[refusal(550), Verdict::default()]), 250);
        let each = nothing_to_take(&[refusal(550), refusal(451)], true).unwrap().unwrap();
        assert_eq!(each.len(), 2);
        assert!(nothing_to_take(&[refusal(550), Verdict::default()], true).is_none());
    }
}
