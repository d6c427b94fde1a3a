//! All that was found out about the sender of a message, and how it is written down.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::arc::ArcResult;
use super::author::Author;
use super::dkim::SignatureResult;
use super::dmarc::{DmarcResult, Proof};
use super::iprev::IprevResult;
use super::names::name_of;
use super::outcome::Outcome;
use super::spf::SpfResult;

/// Longest word of a stranger's that is written down.
const MAX_WORD_BYTES: usize = 320;
/// Most sealers that are written down.
const MAX_SEALERS: usize = 5;

/// All that was found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The client.
    pub ip: Option<IpAddr>,
    /// What it called itself.
    pub helo: String,
    /// The envelope's sender; `None` is the null sender.
    pub mail_from: Option<String>,
    /// The name of the client's address.
    pub iprev: IprevResult,
    /// SPF of the HELO name.
    pub spf_helo: SpfResult,
    /// SPF of the envelope's sender; `none` for the null sender.
    pub spf: SpfResult,
    /// Each signature, in the message's order.
    pub dkim: Vec<SignatureResult>,
    /// The chain of those who handed it on.
    pub arc: ArcResult,
    /// What the author's domain wants.
    pub dmarc: DmarcResult,
    /// The author.
    pub author: Author,
    /// Its From field is of a domain of ours, and it came from a stranger who could not prove it.
    pub is_forged: bool,
}

impl Findings {
    /// The names that are proved, or may be, for DMARC: by SPF the envelope's sender, or the HELO name if there is none.
    pub fn proofs(&self) -> Vec<Proof<'_>> {
        let counts = |outcome: Outcome| matches!(outcome, Outcome::Pass | Outcome::TempError);
        let spf = if self.mail_from.is_some() { &self.spf } else { &self.spf_helo };
        let spf = counts(spf.outcome).then(|| Proof { domain: &spf.domain, spf: true, outcome: spf.outcome });
        let signed = self.dkim.iter().filter(|signature| counts(signature.outcome) && !signature.domain.is_empty());
        let signed =
            signed.map(|signature| Proof { domain: &signature.domain, spf: false, outcome: signature.outcome });
        spf.into_iter().chain(signed).collect()
    }

    /// The value of the `Authentication-Results` field (RFC 8601), with folds: what was found, in the name of `host`.
    pub fn field(&self, host: &str) -> String {
        let mut out = word(host);
        let mut clause = |text: String| {
            out.push_str(";\r\n\t");
            out.push_str(&text);
        };
        if let Some(ip) = self.ip {
            let name = self.iprev.name.as_deref().map(|name| format!(" ({})", comment(name))).unwrap_or_default();
            clause(format!("iprev={}{name} policy.iprev={}", self.iprev.outcome.code(), value(&ip.to_string())));
        }
        if self.spf_helo.outcome != Outcome::None {
            clause(format!("spf={} smtp.helo={}", self.spf_helo.outcome.code(), value(&self.helo)));
        }
        if let Some(from) = &self.mail_from {
            clause(format!("spf={} smtp.mailfrom={}", self.spf.outcome.code(), value(from)));
        }
        if self.dkim.is_empty() {
            clause("dkim=none".to_owned());
        }
        for signature in &self.dkim {
            clause(dkim_clause(signature));
        }
        if self.arc.outcome != Outcome::None {
            clause(self.arc_clause());
        }
        clause(self.dmarc_clause());
        if self.is_forged {
            clause("x-own-domain=fail".to_owned());
        }
        out
    }

    fn arc_clause(&self) -> String {
        let mut text = format!("arc={} (i={})", self.arc.outcome.code(), self.arc.sets);
        if self.arc.outcome == Outcome::Pass {
            let sealers: Vec<&str> = self.arc.sealers.iter().take(MAX_SEALERS).map(String::as_str).collect();
            let _ = write!(text, "\r\n\tpolicy.sealers={}", value(&sealers.join(":")));
        }
        text
    }

    fn dmarc_clause(&self) -> String {
        let dmarc = &self.dmarc;
        let mut text = format!("dmarc={}", dmarc.outcome.code());
        if !dmarc.record_of.is_empty() {
            let _ = write!(text, " (p={} of {})", dmarc.policy.code(), comment(&dmarc.record_of));
        }
        let domain = if dmarc.domain.is_empty() { self.author.domains.first() } else { Some(&dmarc.domain) };
        if let Some(domain) = domain {
            let _ = write!(text, "\r\n\theader.from={}", value(domain));
        }
        if !dmarc.record_of.is_empty() {
            let _ = write!(text, " policy.dmarc={}", dmarc.policy.code());
        }
        text
    }

    /// The domains whose signatures are right, each once.
    pub fn signers(&self) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for signature in &self.dkim {
            if signature.outcome == Outcome::Pass && !found.contains(&signature.domain.as_str()) {
                found.push(&signature.domain);
            }
        }
        found
    }

    /// The domain of the envelope's sender, in lower case and ASCII.
    pub fn envelope_domain(&self) -> Option<String> {
        name_of(self.mail_from.as_deref()?.rsplit_once('@')?.1)
    }
}

fn dkim_clause(signature: &SignatureResult) -> String {
    let mut text = format!("dkim={}", signature.outcome.code());
    if let Some(flaw) = signature.flaw {
        let _ = write!(text, " ({flaw})");
    }
    let SignatureResult { domain, selector, mark, .. } = signature;
    for (name, said) in [("header.d", domain), ("header.s", selector), ("header.b", mark)] {
        if !said.is_empty() {
            let _ = write!(text, " {name}={}", value(said));
        }
    }
    if !domain.is_empty() {
        text.push_str(if signature.is_ed25519 { " header.a=ed25519-sha256" } else { " header.a=rsa-sha256" });
    }
    text
}

/// A host's name: nothing else fits there.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(MAX_WORD_BYTES).collect()
}

fn comment(text: &str) -> String {
    text.chars().filter(|c| (c.is_ascii_graphic() || *c == ' ') && !"()\\".contains(*c)).take(MAX_WORD_BYTES).collect()
}

/// A value as RFC 8601 section 2.2 has it: as it stands if nothing in it could be read otherwise, else quoted. What is not
/// ASCII is written as `?`.
fn value(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$&*+-._@/:^`{|}~'%".contains(c);
    let text: String = text.chars().take(MAX_WORD_BYTES).collect();
    if !text.is_empty() && text.chars().all(|c| is_plain(c) && c != ':') {
        return text;
    }
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_ascii_graphic() || c == ' ' => out.push(c),
            _ => out.push('?'),
        }
    }
    out.push('"');
    out
}
