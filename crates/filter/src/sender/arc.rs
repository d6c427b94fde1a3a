//! ARC (RFC 8617): who handed a message on, and what they saw before they changed it.

use mailkit::headers::Field;

use super::canon::Canon;
use super::dkim::{Facts, check};
use super::header::Header;
use super::outcome::Outcome;
use super::signature::{Algorithm, Flaw, Signature, place, verify_with, without_signature};
use super::tags::Tags;

/// Most sets of one chain (RFC 8617 section 4.2.1).
pub const MAX_SETS: usize = 50;
/// Longest chain that is checked here: each set costs a key and a signature.
pub const MAX_CHECKED_SETS: usize = 20;

/// What a chain comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArcResult {
    /// `none`, `pass` or `fail`; `temperror` where the DNS gave no answer.
    pub outcome: Outcome,
    /// How many sets there are.
    pub sets: u32,
    /// Who sealed, the newest first. All of them are proved if the outcome is `pass`.
    pub sealers: Vec<String>,
    /// The newest set signs the From field.
    pub signs_author: bool,
    /// The newest set's results as they stand, without its `i=`.
    pub results: String,
    /// What the first who sealed saw, for the same.
    pub first_results: String,
}

/// One set of a chain.
struct Set<'a> {
    results: Field<'a>,
    message: Field<'a>,
    seal: Field<'a>,
    tags: Tags,
}

/// A chain whose form is right.
pub struct Chain<'a> {
    /// From the first to the newest.
    sets: Vec<Set<'a>>,
    newest: Signature,
}

/// The chain of a message: none, or one whose form is wrong, or one to check.
pub fn chain<'a>(header: &Header<'a>) -> Result<Option<Chain<'a>>, u32> {
    let (results, messages, seals) =
        (header.named("arc-authentication-results"), header.named("arc-message-signature"), header.named("arc-seal"));
    let count = results.len().max(messages.len()).max(seals.len());
    let told = u32::try_from(count).unwrap_or(u32::MAX);
    if count == 0 {
        return Ok(None);
    }
    if results.len() != count || messages.len() != count || seals.len() != count || count > MAX_SETS {
        return Err(told);
    }
    let by_instance = |fields: &[Field<'a>], instance: fn(&[u8]) -> Option<usize>| {
        let mut sorted: Vec<Option<Field<'a>>> = vec![None; count];
        for field in fields {
            let slot = instance(field.value).and_then(|instance| sorted.get_mut(instance.checked_sub(1)?))?;
            if slot.replace(*field).is_some() {
                return None;
            }
        }
        sorted.into_iter().collect::<Option<Vec<_>>>()
    };
    let sorted = (
        by_instance(results, instance_of_results),
        by_instance(messages, instance_of_tags),
        by_instance(seals, instance_of_tags),
    );
    let (Some(results), Some(messages), Some(seals)) = sorted else { return Err(told) };
    let mut sets = Vec::with_capacity(count);
    for (at, ((results, message), seal)) in results.into_iter().zip(messages).zip(seals).enumerate() {
        let tags = Tags::read(seal.value).filter(|tags| is_seal(tags, at)).ok_or(told)?;
        sets.push(Set { results, message, seal, tags });
    }
    let newest = sets.last().and_then(|set| message_signature(set.message.value)).ok_or(told)?;
    // The others are not checked again (section 5.2), but they have to be signatures.
    if sets.iter().any(|set| message_signature(set.message.value).is_none()) {
        return Err(told);
    }
    Ok(Some(Chain { sets, newest }))
}

/// A seal's tags: none that only signatures of messages have, and the state of the chain that belongs there.
fn is_seal(tags: &Tags, at: usize) -> bool {
    let expected = if at == 0 { "none" } else { "pass" };
    let is_expected = tags.get("cv").is_some_and(|cv| cv.eq_ignore_ascii_case(expected));
    let has_foreign = ["h", "bh", "v"].iter().any(|name| tags.get(name).is_some());
    is_expected && !has_foreign && place(tags).is_ok() && tags.base64("b").is_some() && is_time(tags)
}

fn is_time(tags: &Tags) -> bool {
    tags.get("t").is_none() || tags.number("t").is_some()
}

/// An `ARC-Message-Signature`: as of DKIM, without `v`, and not over ARC seals.
fn message_signature(value: &[u8]) -> Option<Signature> {
    let tags = Tags::read(value)?;
    if tags.get("v").is_some() {
        return None;
    }
    let signature = Signature::read(&tags, Canon::Relaxed).ok()?;
    (!signature.signs("arc-seal")).then_some(signature)
}

fn instance_of_tags(value: &[u8]) -> Option<usize> {
    instance(Tags::read(value)?.get("i")?)
}

/// `i=` is the first thing in an `ARC-Authentication-Results` field.
fn instance_of_results(value: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(value);
    let (first, _) = text.split_once(';')?;
    let (name, value) = first.split_once('=')?;
    (name.trim() == "i").then(|| instance(value.trim()))?
}

fn instance(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?.filter(|instance| (1..=MAX_SETS).contains(instance))
}

impl Chain<'_> {
    /// How the newest set hashes the body.
    pub const fn form(&self) -> super::canon::BodyForm {
        self.newest.form
    }

    /// The names of all keys that are needed.
    pub fn key_names(&self) -> Vec<String> {
        if self.sets.len() > MAX_CHECKED_SETS {
            return Vec::new();
        }
        let seals = self.sets.iter().filter_map(|set| place(&set.tags).ok());
        let mut names: Vec<String> =
            seals.map(|(domain, selector)| mailkit::dkim::dns_name(&selector, &domain)).collect();
        names.push(self.newest.key_name());
        names
    }

    /// Checks the newest signature and all seals (section 5.2).
    pub fn verify(&self, header: &Header<'_>, facts: &dyn Facts, now: u64) -> ArcResult {
        let sealers = self.sets.iter().rev().filter_map(|set| Some(place(&set.tags).ok()?.0)).collect();
        let outcome = match self.check(header, facts, now) {
            Ok(()) => Outcome::Pass,
            Err(Flaw::Dns) => Outcome::TempError,
            Err(_) => Outcome::Fail,
        };
        let results = |set: Option<&Set<'_>>| {
            let text =
                set.map(|set| String::from_utf8_lossy(&mailkit::headers::unfold(set.results.value)).into_owned());
            text.and_then(|text| text.split_once(';').map(|(_, rest)| rest.trim().to_owned())).unwrap_or_default()
        };
        ArcResult {
            outcome,
            sets: u32::try_from(self.sets.len()).unwrap_or(u32::MAX),
            sealers,
            signs_author: self.newest.signs("from"),
            results: results(self.sets.last()),
            first_results: results(self.sets.first()),
        }
    }

    fn check(&self, header: &Header<'_>, facts: &dyn Facts, now: u64) -> Result<(), Flaw> {
        let Some(last) = self.sets.last() else { return Err(Flaw::Unreadable) };
        if self.sets.len() > MAX_CHECKED_SETS {
            return Err(Flaw::TooMany);
        }
        check(&self.newest, facts, now, || self.newest.signed_bytes(header, &last.message))?;
        // The newest first: it is the likeliest to be wrong.
        (0..self.sets.len()).rev().try_for_each(|at| self.check_seal(at, facts))
    }

    fn check_seal(&self, at: usize, facts: &dyn Facts) -> Result<(), Flaw> {
        let seal = &self.sets[at];
        let algorithm = match seal.tags.get("a").map(str::to_ascii_lowercase).as_deref() {
            Some("rsa-sha256") => Algorithm::RsaSha256,
            Some("ed25519-sha256") => Algorithm::Ed25519,
            _ => return Err(Flaw::Unknown),
        };
        let signature = seal.tags.base64("b").ok_or(Flaw::Unreadable)?;
        let (domain, selector) = place(&seal.tags)?;
        let mut bytes = Vec::new();
        for set in &self.sets[..at] {
            for field in [&set.results, &set.message, &set.seal] {
                Canon::Relaxed.field(&mut bytes, field, field.value, true);
            }
        }
        Canon::Relaxed.field(&mut bytes, &seal.results, seal.results.value, true);
        Canon::Relaxed.field(&mut bytes, &seal.message, seal.message.value, true);
        Canon::Relaxed.field(&mut bytes, &seal.seal, &without_signature(seal.seal.value), false);
        let keys = facts.key(&mailkit::dkim::dns_name(&selector, &domain));
        verify_with(&keys, |key| key.verify(algorithm, &bytes, &signature))
    }
}
