//! Who really sent a message, in words: what the check at its arrival wrote above it.
//!
//! Only header lines that this service wrote are looked at, never those that came with the message.

use mailkit::results::{self, MethodResult};

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
    /// Of a message with those lines above it, by `host`, and that author. `None`: it was not checked here.
    pub fn of(above: &[u8], host: &str, author: &str) -> Option<Self> {
        let results = results::read(above, host)?;
        let domain = author.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
        let signers = signers(&results);
        let aligned = |name: &str| is_below(name, &domain) || is_below(&domain, name) && name.contains('.');
        let dmarc = of(&results, "dmarc");
        let is_verified = dmarc == Some("pass")
            || dmarc != Some("fail")
                && (signers.iter().any(|name| aligned(name)) || envelope(&results).is_some_and(aligned));
        let others: Vec<&str> = signers.iter().map(String::as_str).filter(|name| !aligned(name)).collect();
        let is_unsure = results.iter().any(|result| result.result == "temperror");
        let named = if domain.is_empty() { "its sender".to_owned() } else { domain.clone() };
        let (code, is_bad, warning) = match () {
            () if of(&results, "x-own-domain").is_some() => (
                "forged-own",
                true,
                format!(
                    "This message was not sent by {author}: it came from outside without a sign-in. Don’t trust it."
                ),
            ),
            () if is_verified => ("verified", false, String::new()),
            () if dmarc == Some("fail") => {
                ("failed", true, format!("This message could not be verified to come from {named}. It may be forged."))
            }
            () if is_unsure => (
                "unchecked",
                false,
                format!(
                    "This message could not be verified to come from {named}: the check didn’t get an answer in time."
                ),
            ),
            () if !others.is_empty() => {
                ("other-signer", false, format!("Signed by {}, sent for {named}.", others.join(", ")))
            }
            () => ("unverified", false, format!("This message could not be verified to come from {named}.")),
        };
        Some(Self { code, warning, is_bad, summary: summary(&results, is_verified, &named, &signers) })
    }
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
    let mut parts = vec![if is_verified { format!("{domain}, verified") } else { format!("{domain}, not verified") }];
    if !signers.is_empty() {
        parts.push(format!("signed by {}", signers.join(", ")));
    }
    if let Some(name) = envelope(results) {
        parts.push(format!("sent by a server of {name}"));
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
        Proof::of(above.as_bytes(), "mx.hold.test", author)
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
            Proof::of(b"Authentication-Results: mx.evil.test; dmarc=pass\r\n", "mx.hold.test", "a@b.test"),
            None
        );
        assert_eq!(Proof::of(b"Received: x\r\n", "mx.hold.test", "a@b.test"), None);
    }
}
