//! Sealing (RFC 8617 section 5.1): what we saw of a message is put above it before it is passed on.
//!
//! The tags of both signatures are written in the order of their names and folded after semicolons, so that two who seal alike
//! write alike.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailkit::headers::{self, Field};

use super::arc::MAX_SETS;
use super::canon::{BodyForm, BodyHasher, Canon, Digest};
use super::header::Header;
use super::outcome::Outcome;
use super::signature::Algorithm;
use super::tags::Tags;

/// Longest line of a seal, where it can be folded.
const LINE_BYTES: usize = 76;
/// The fields that a seal signs where they are there, as often as they are there. Traces and results are none: those who pass a
/// message on add them.
const SIGNED: [&str; 20] = [
    "From",
    "Reply-To",
    "Sender",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Id",
    "List-Post",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Archive",
    "Feedback-ID",
    "DKIM-Signature",
];

/// Who seals.
pub struct Sealer<'a> {
    /// `d=`, in ASCII.
    pub domain: &'a str,
    /// `s=`.
    pub selector: &'a str,
    /// How `sign` signs.
    pub algorithm: Algorithm,
    /// Signs bytes with the selector's key.
    pub sign: &'a dyn Fn(&[u8]) -> Option<Vec<u8>>,
    /// `t=`, seconds since 1970 UTC.
    pub at: u64,
    /// The value of `b=` is written over several lines. The seal covers the white space in that of the message's signature.
    pub folds: bool,
}

/// Why a message is not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSealed {
    /// Somebody before has marked its chain as failed, so nobody seals it again (section 5.1.2).
    #[error("its chain has failed already")]
    Failed,
    /// It has as many sets as a chain may have.
    #[error("its chain is full")]
    Full,
    /// It has a chain, and it is not known what that comes to.
    #[error("its chain was not checked")]
    Unchecked,
    /// Its sets can't be told apart, so there is no number for another one.
    #[error("its chain can't be read")]
    Unreadable,
    /// The key does not sign.
    #[error("the key could not be used")]
    Key,
}

impl Sealer<'_> {
    /// The three fields of the next set, to be put above `message`. `results` is the value of our own `Authentication-Results`
    /// field; `chain` is what the message's chain came to when it was checked, `none` if it has none.
    ///
    /// A chain that failed is marked as such, once.
    ///
    /// # Errors
    /// Why there is no set.
    pub fn seal(&self, message: &[u8], results: &str, chain: Outcome) -> Result<String, NotSealed> {
        let present: Vec<&str> = {
            let header = Header::read(&message[headers::header_range(message)]);
            SIGNED.iter().flat_map(|name| header.named(name).iter().map(|_| *name)).collect()
        };
        self.seal_fields(message, results, chain, &present)
    }

    /// [`Self::seal`] with the names of the signed fields given.
    ///
    /// # Errors
    /// Why there is no set.
    pub fn seal_fields(
        &self,
        message: &[u8],
        results: &str,
        chain: Outcome,
        signed: &[&str],
    ) -> Result<String, NotSealed> {
        let range = headers::header_range(message);
        let header = Header::read(&message[range.clone()]);
        let sets = sets(&header)?;
        let instance = sets.len() + 1;
        let state = match chain {
            _ if sets.is_empty() => "none",
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            _ => return Err(NotSealed::Unchecked),
        };
        if sets.last().is_some_and(|set| set.is_failed) {
            return Err(NotSealed::Failed);
        }
        if instance > MAX_SETS {
            return Err(NotSealed::Full);
        }
        let results = results.trim().replace("; ", ";\r\n\t");
        let results = format!("ARC-Authentication-Results: i={instance}; {results}\r\n");
        let message = self.message_signature(&header, &message[range.end..], instance, signed)?;
        let mut bytes = Vec::new();
        if state != "fail" {
            for field in sets.iter().flat_map(|set| &set.fields) {
                Canon::Relaxed.field(&mut bytes, field, field.value, true);
            }
        }
        for text in [&results, &message] {
            for field in headers::fields(text.as_bytes()) {
                Canon::Relaxed.field(&mut bytes, &field, field.value, true);
            }
        }
        let tags = |signature: &str| {
            let mut tags = self.tags(instance, signature);
            tags.push(("cv", state.to_owned()));
            tags
        };
        let seal = self.signed("ARC-Seal", bytes, tags)?;
        Ok([seal, message, results].concat())
    }

    fn message_signature(
        &self,
        header: &Header<'_>,
        body: &[u8],
        instance: usize,
        signed: &[&str],
    ) -> Result<String, NotSealed> {
        let form = BodyForm { canon: Canon::Relaxed, digest: Digest::Sha256, length: None };
        let mut hasher = BodyHasher::new(form);
        hasher.push(body);
        let hash = STANDARD.encode(hasher.finish().hash);
        let mut bytes = Vec::new();
        for (at, name) in signed.iter().enumerate() {
            let earlier = signed[..at].iter().filter(|before| before.eq_ignore_ascii_case(name)).count();
            if let Some(field) = header.named(name).iter().rev().nth(earlier) {
                Canon::Relaxed.field(&mut bytes, field, field.value, true);
            }
        }
        let names = signed.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>().join(":");
        let tags = |signature: &str| {
            let mut tags = self.tags(instance, signature);
            tags.push(("bh", hash.clone()));
            tags.push(("c", "relaxed/relaxed".to_owned()));
            tags.push(("h", names.clone()));
            tags
        };
        self.signed("ARC-Message-Signature", bytes, tags)
    }

    /// The tags that both signatures have.
    fn tags(&self, instance: usize, signature: &str) -> Vec<(&'static str, String)> {
        let algorithm = if self.algorithm == Algorithm::Ed25519 { "ed25519-sha256" } else { "rsa-sha256" };
        vec![
            ("a", algorithm.to_owned()),
            ("b", signature.to_owned()),
            ("d", self.domain.to_owned()),
            ("i", instance.to_string()),
            ("s", self.selector.to_owned()),
            ("t", self.at.to_string()),
        ]
    }

    /// A field that signs `before` and itself.
    fn signed(
        &self,
        name: &str,
        mut before: Vec<u8>,
        tags: impl Fn(&str) -> Vec<(&'static str, String)>,
    ) -> Result<String, NotSealed> {
        let unsigned = field(name, tags(""), self.folds);
        for field in headers::fields(unsigned.as_bytes()) {
            Canon::Relaxed.field(&mut before, &field, field.value, false);
        }
        let signature = (self.sign)(&before).ok_or(NotSealed::Key)?;
        Ok(field(name, tags(&STANDARD.encode(signature)), self.folds))
    }
}

/// A field of tags, in the order of their names, folded only where that changes nothing of what is signed.
fn field(name: &str, mut tags: Vec<(&'static str, String)>, folds: bool) -> String {
    tags.sort_by_key(|(tag, _)| *tag);
    let mut out = format!("{name}:");
    let mut column = out.len();
    let last = tags.len() - 1;
    for (at, (tag, value)) in tags.iter().enumerate() {
        let mut piece = format!("{tag}={value}");
        if at < last {
            piece.push(';');
        }
        if *tag == "b" && !value.is_empty() && folds {
            // White space in a signature is no part of it.
            piece = folded(tag, value, at < last);
        } else if *tag == "h" && piece.len() >= LINE_BYTES {
            piece = piece.replace(':', ": ");
        }
        let width = piece.find('\r').unwrap_or(piece.len());
        // Every gap is one blank or one fold, which are the same in relaxed form.
        if column + 1 + width > LINE_BYTES && at > 0 {
            out.push_str("\r\n\t");
            column = 1;
        } else {
            out.push(' ');
            column += 1;
        }
        for (word_at, word) in piece.split(' ').enumerate() {
            if word_at > 0 {
                if column + 1 + word.len() > LINE_BYTES {
                    out.push_str("\r\n\t");
                    column = 1;
                } else {
                    out.push(' ');
                    column += 1;
                }
            }
            out.push_str(word);
            column = word.rsplit_once('\n').map_or(column + word.len(), |(_, rest)| rest.len());
        }
    }
    out.push_str("\r\n");
    out
}

/// `b=` over several lines.
fn folded(tag: &str, value: &str, more: bool) -> String {
    let mut out = String::new();
    for (at, chunk) in format!("{tag}={value}").as_bytes().chunks(LINE_BYTES - 4).enumerate() {
        let gap = if at > 0 { "\r\n\t" } else { "" };
        let _ = write!(out, "{gap}{}", String::from_utf8_lossy(chunk));
    }
    if more {
        out.push(';');
    }
    out
}

/// One set of a chain, in the order in which it is signed.
struct Set<'a> {
    fields: [Field<'a>; 3],
    is_failed: bool,
}

/// The sets of a message, the first one first.
fn sets<'a>(header: &Header<'a>) -> Result<Vec<Set<'a>>, NotSealed> {
    let named = |name| header.named(name);
    let (results, messages, seals) =
        (named("arc-authentication-results"), named("arc-message-signature"), named("arc-seal"));
    let count = seals.len();
    if results.len() != count || messages.len() != count {
        return Err(NotSealed::Unreadable);
    }
    (1..=count)
        .map(|instance| {
            let is_it = |field: &&Field<'a>| instance_of(field.value) == Some(instance);
            let find = |fields: &[Field<'a>]| fields.iter().find(is_it).copied().ok_or(NotSealed::Unreadable);
            let seal = find(seals)?;
            let is_failed = Tags::read(seal.value).is_some_and(|tags| tags.get("cv") == Some("fail"));
            Ok(Set { fields: [find(results)?, find(messages)?, seal], is_failed })
        })
        .collect()
}

/// `i=`, wherever it stands.
fn instance_of(value: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(value);
    text.split(';')
        .find_map(|piece| piece.trim().strip_prefix('i')?.trim_start().strip_prefix('=')?.trim().parse().ok())
}
