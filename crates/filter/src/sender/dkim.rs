//! DKIM (RFC 6376, RFC 8463): each signature of a message with its result.

use dnskit::DnsError;

use super::canon::{BodyForm, BodyHash};
use super::header::Header;
use super::outcome::Outcome;
use super::signature::{Algorithm, Flaw, Signature, verify_with};

/// Most signatures of a message that are looked at, from the top.
pub const MAX_SIGNATURES: usize = 8;

/// The result of one signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureResult {
    /// The result.
    pub outcome: Outcome,
    /// Why it isn't `pass`.
    pub flaw: Option<Flaw>,
    /// `d=`; empty if it can't be read.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// The first characters of `b=`.
    pub mark: String,
    /// Signed with Ed25519, else with RSA.
    pub is_ed25519: bool,
}

/// The signatures of a message, read, as many as are looked at.
pub fn signatures(header: &Header<'_>) -> Vec<Result<Signature, Flaw>> {
    let read = |field: &mailkit::headers::Field<'_>| Signature::dkim(field.value);
    header.named("dkim-signature").iter().take(MAX_SIGNATURES).map(read).collect()
}

/// What is known of a body and of keys when signatures are checked.
pub trait Facts {
    /// The body's hash; `None` if that form was not hashed.
    fn body(&self, form: BodyForm) -> Option<&BodyHash>;
    /// The texts under a key's name.
    fn key(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError>;
}

/// The result of each of [`signatures`], in their order. `now` is in seconds since 1970 UTC.
pub fn verify(
    header: &Header<'_>,
    signatures: &[Result<Signature, Flaw>],
    facts: &dyn Facts,
    now: u64,
) -> Vec<SignatureResult> {
    let own = header.named("dkim-signature");
    let result = |(signature, field): (&Result<Signature, Flaw>, &mailkit::headers::Field<'_>)| match signature {
        Err(flaw) => SignatureResult { outcome: outcome(*flaw), flaw: Some(*flaw), ..SignatureResult::default() },
        Ok(signature) => {
            let checked = check(signature, facts, now, || signature.signed_bytes(header, field));
            SignatureResult {
                outcome: checked.map_or_else(outcome, |()| Outcome::Pass),
                flaw: checked.err(),
                domain: signature.domain.clone(),
                selector: signature.selector.clone(),
                mark: signature.mark.clone(),
                is_ed25519: signature.algorithm == Algorithm::Ed25519,
            }
        }
    };
    signatures.iter().zip(own).map(result).collect()
}

/// Checks a signature of either kind, cheapest first.
pub fn check(signature: &Signature, facts: &dyn Facts, now: u64, signed: impl FnOnce() -> Vec<u8>) -> Result<(), Flaw> {
    if signature.expires.is_some_and(|expires| expires < now) {
        return Err(Flaw::Expired);
    }
    if signature.algorithm == Algorithm::RsaSha1 {
        return Err(Flaw::Sha1);
    }
    let body = facts.body(signature.form).ok_or(Flaw::TooMany)?;
    if body.hash != signature.body_hash {
        return Err(Flaw::BodyHash);
    }
    let keys = facts.key(&signature.key_name());
    let bytes = signed();
    verify_with(&keys, |key| {
        if !key.allows(signature) {
            return Err(Flaw::Identity);
        }
        key.verify(signature.algorithm, &bytes, &signature.signature)
    })?;
    match signature.form.length {
        Some(length) if length > body.bytes => Err(Flaw::BodyHash),
        // Anybody could have added what follows.
        Some(length) if length < body.bytes => Err(Flaw::PartOfBody),
        _ => Ok(()),
    }
}

/// The result of RFC 8601 section 2.7.1 for a flaw.
const fn outcome(flaw: Flaw) -> Outcome {
    match flaw {
        Flaw::BodyHash | Flaw::Mismatch | Flaw::Expired => Outcome::Fail,
        Flaw::PartOfBody | Flaw::Sha1 | Flaw::ShortKey | Flaw::TooMany => Outcome::Policy,
        Flaw::Dns => Outcome::TempError,
        Flaw::Unreadable | Flaw::Unknown => Outcome::Neutral,
        Flaw::FromUnsigned | Flaw::Identity | Flaw::NoKey | Flaw::Revoked | Flaw::BadKey => Outcome::PermError,
    }
}
