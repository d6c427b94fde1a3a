//! Who really sent a message, in words: what the check at its arrival wrote above it.
//!
//! Only header lines that this service wrote are looked at, never those that came with the message.

use mailkit::results::{self, MethodResult};

use crate::language::texts;

/// The longest name of a list (RFC 2919 section 3).
const MAX_LIST_BYTES: usize = 255;

/// What is told about the sender of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// A stable name of what is told.
    pub code: &'static str,
    /// What a reader should know before believing the message; empty if nothing is odd.
    pub warning: String,
    /// It is dangerous, not only unproved.
    pub is_bad: bool,
    /// The whole in one line, for the details.
    pub summary: String,
}

impl Proof {
    /// Of a message with those lines above it, by `host`, and that author; `list` is the value of its `List-Id` field. `None`: it
    /// was not checked here.
    pub fn of(above: &[u8], host: &str, author: &str, list: Option<&[u8]>) -> Option<Self> {
        let results = results::read(above, host)?;
        let domain = author.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
        let signers = signers(&results);
        let aligned = |name: &str| is_below(name, &domain) || is_below(&domain, name) && name.contains('.');
        let dmarc = of(&results, "dmarc");
        let is_verified = dmarc == Some("pass")
            || dmarc != Some("fail")
                && (signers.iter().any(|name| aligned(name)) || envelope(&results).is_some_and(aligned));
        let others: Vec<&str> = signers.iter().map(String::as_str).filter(|name| !aligned(name)).collect();
        let list = list.and_then(list_of).filter(|list| {
            // Anyone can write the name of a list: its domain must have signed the message, or sent it.
            signers.iter().map(String::as_str).chain(envelope(&results)).any(|name| is_below(list, name))
        });
        let is_unsure = results.iter().any(|result| result.result == "temperror");
        let t = texts();
        let named = if domain.is_empty() { t.proof_sender().into_owned() } else { domain.clone() };
        let (code, is_bad, warning) = match () {
            () if of(&results, "x-own-domain").is_some() => {
                ("forged-own", true, t.proof_forged_own(author).into_owned())
            }
            () if is_verified => ("verified", false, String::new()),
            () if list.is_some() => {
                ("list", false, t.proof_list(&named, list.as_deref().unwrap_or_default()).into_owned())
            }
            () if dmarc == Some("fail") => ("failed", true, t.proof_failed(&named).into_owned()),
            () if is_unsure => ("unchecked", false, t.proof_unchecked(&named).into_owned()),
            () if !others.is_empty() => {
                ("other-signer", false, t.proof_other_signer(&named, others.join(", ")).into_owned())
            }
            () => ("unverified", false, t.proof_unverified(&named).into_owned()),
        };
        let mut summary = summary(&results, is_verified, &named, &signers);
        if let Some(list) = list {
            summary.push_str("; ");
            summary.push_str(&t.proof_through_list(list));
        }
        Some(Self { code, warning, is_bad, summary })
    }
}

/// The list of a `List-Id` field (RFC 2919), in lower case: a domain name.
fn list_of(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let name = text.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(text, |(name, _)| name).trim();
    let is_name = name.contains('.')
        && name.len() <= MAX_LIST_BYTES
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte));
    is_name.then(|| name.to_ascii_lowercase())
}

/// The first result of a method.
fn of<'a>(results: &'a [MethodResult], method: &str) -> Option<&'a str> {
    results.iter().find(|result| result.method == method).map(|result| result.result.as_str())
}

/// The domains whose signatures are right, each once.
fn signers(results: &[MethodResult]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for result in results.iter().filter(|result| result.method == "dkim" && result.result == "pass") {
        if let Some(name) = result.get("header.d").map(str::to_ascii_lowercase)
            && !found.contains(&name)
        {
            found.push(name);
        }
    }
    found
}

/// The domain that the sending server may send for.
fn envelope(results: &[MethodResult]) -> Option<&str> {
    let passed = results.iter().filter(|result| result.method == "spf" && result.result == "pass");
    passed.filter_map(|result| result.get("smtp.mailfrom")).find_map(|from| Some(from.rsplit_once('@')?.1))
}

fn is_below(name: &str, domain: &str) -> bool {
    !domain.is_empty() && (name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

fn summary(results: &[MethodResult], is_verified: bool, domain: &str, signers: &[String]) -> String {
    let t = texts();
    let first = if is_verified { t.proof_is_verified(domain) } else { t.proof_is_not_verified(domain) };
    let mut parts = vec![first.into_owned()];
    if !signers.is_empty() {
        parts.push(t.proof_signed_by(signers.join(", ")).into_owned());
    }
    if let Some(name) = envelope(results) {
        parts.push(t.proof_sent_by(name).into_owned());
    }
    for method in ["dmarc", "dkim", "spf"] {
        if let Some(result) = of(results, method).filter(|result| !matches!(*result, "pass" | "none")) {
            parts.push(format!("{}: {result}", method.to_ascii_uppercase()));
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(results: &str, author: &str) -> Option<Proof> {
        let above =
            format!("Return-Path: <x@y>\r\nAuthentication-Results: mx.hold.test;\r\n\t{results}\r\nReceived: x\r\n");
        Proof::of(above.as_bytes(), "mx.hold.test", author, None)
    }

    #[test]
    fn each_kind_of_mail_is_told_apart() {
        for (results, code, has_warning, is_bad) in [
            ("dkim=pass header.d=a.test; dmarc=pass header.from=a.test", "verified", false, false),
            ("dkim=pass header.d=mail.a.test; dmarc=none header.from=a.test", "verified", false, false),
            ("spf=pass smtp.mailfrom=b@a.test; dkim=none; dmarc=none", "verified", false, false),
            ("spf=pass smtp.mailfrom=b@evil.test; dkim=none; dmarc=fail", "failed", true, true),
            ("dkim=pass header.d=a.test; dmarc=fail", "failed", true, true),
            ("dkim=none; dmarc=fail; x-own-domain=fail", "forged-own", true, true),
            ("spf=temperror smtp.mailfrom=b@a.test; dkim=none; dmarc=temperror", "unchecked", true, false),
            ("dkim=pass header.d=news.test; dmarc=none", "other-signer", true, false),
            ("spf=none smtp.mailfrom=b@a.test; dkim=none; dmarc=none", "unverified", true, false),
            ("dkim=pass header.d=nota.test; dmarc=none", "other-signer", true, false),
            ("none", "unverified", true, false),
        ] {
            let proof = told(results, "Ann@A.test").unwrap();
            assert_eq!((proof.code, !proof.warning.is_empty(), proof.is_bad), (code, has_warning, is_bad), "{results}");
            assert!(!proof.summary.is_empty());
        }
        assert_eq!(
            Proof::of(b"Authentication-Results: mx.evil.test; dmarc=pass\r\n", "mx.hold.test", "a@b.test", None),
            None
        );
        assert_eq!(Proof::of(b"Received: x\r\n", "mx.hold.test", "a@b.test", None), None);
    }

    #[test]
    fn a_list_is_named_that_has_signed_or_sent_what_it_says_is_its_own() {
        let told = |results: &str, list: &str| {
            let above = format!("Authentication-Results: mx.hold.test;\r\n\t{results}\r\n");
            Proof::of(above.as_bytes(), "mx.hold.test", "ann@a.test", Some(list.as_bytes())).unwrap()
        };
        let list = "Talk of the town <talk.lists.town.test>";
        for (results, list, code, is_bad) in [
            ("dkim=pass header.d=lists.town.test; dmarc=fail", list, "list", false),
            ("dkim=pass header.d=town.test; dmarc=none", list, "list", false),
            (
                "spf=pass smtp.mailfrom=talk-bounces@lists.town.test; dkim=none; dmarc=fail",
                "TALK.Lists.Town.test",
                "list",
                false,
            ),
            // It left the message as it was.
            ("dkim=pass header.d=a.test; dkim=pass header.d=town.test; dmarc=pass", list, "verified", false),
            // Its name is somebody else's, or none.
            ("dkim=pass header.d=evil.test; dmarc=fail", list, "failed", true),
            ("dkim=fail header.d=town.test; dmarc=fail", list, "failed", true),
            ("dkim=pass header.d=nottown.test; dmarc=none", list, "other-signer", false),
            ("dkim=pass header.d=town.test; dmarc=fail", "Talk <talk town.test>", "failed", true),
            ("dkim=pass header.d=town.test; dmarc=fail", "<b>town.test</b>", "failed", true),
            // One who writes as an account of ours is not let off by a list of their own.
            ("dkim=pass header.d=town.test; dmarc=fail; x-own-domain=fail", list, "forged-own", true),
        ] {
            let proof = told(results, list);
            assert_eq!((proof.code, proof.is_bad), (code, is_bad), "{results} {list}");
        }
        let proof = told("dkim=pass header.d=town.test; dmarc=fail", list);
        assert!(proof.warning.contains("talk.lists.town.test") && proof.summary.contains("talk.lists.town.test"));
    }
}
