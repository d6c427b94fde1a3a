//! Forwarders and lists that an account knows: their mail fails DMARC although nobody means harm.

use delivery::JudgeError;
use directory::AccountId;
use filter::sender::names::{is_same_or_below, name_of};
use filter::sender::{Findings, Outcome, Read};
use mailkit::headers;

use super::options::{Inner, Place};

/// Most addresses of a message that could be the list's or the forwarder's.
const MAX_ADDRESSES: usize = 20;
/// Fields in which such an address stands.
const FIELDS: [&str; 6] = ["list-post", "to", "cc", "delivered-to", "x-original-to", "x-forwarded-for"];

/// Who handed a message on, as far as that is proved.
pub struct Intermediary {
    /// A sealer that is trusted and says that the author was proved.
    sealer: Option<String>,
    /// Addresses in the message whose domain is proved to have sent or sealed it.
    addresses: Vec<String>,
}

impl Intermediary {
    pub fn of(inner: &Inner, read: &Read, findings: &Findings) -> Self {
        let trusted = |sealer: &String| {
            inner
                .options
                .trusted_sealers
                .iter()
                .any(|known| name_of(known).is_some_and(|known| is_same_or_below(sealer, &known)))
        };
        let sealer = findings.arc.sealers.first().filter(|_| findings.arc.outcome == Outcome::Pass);
        Self {
            sealer: sealer.filter(|sealer| trusted(sealer) && saw_it_proved(findings)).cloned(),
            addresses: addresses(read, findings),
        }
    }
}

impl Intermediary {
    /// Whether some account may know who handed the message on, or is to take it anyhow.
    pub fn may_be_known(&self) -> bool {
        self.sealer.is_some() || !self.addresses.is_empty()
    }
}

/// Whether the newest sealer says, of the From field that is here, that DMARC passed when the message came to them.
fn saw_it_proved(findings: &Findings) -> bool {
    if !findings.arc.signs_author {
        return false;
    }
    let mut clauses = findings.arc.results.split(';').map(str::trim_start);
    clauses.any(|clause| {
        let word = clause.split(|c: char| c.is_ascii_whitespace() || c == '(').next().unwrap_or_default();
        word.eq_ignore_ascii_case("dmarc=pass")
    })
}

/// The addresses that could be a list's or a forwarder's, whose domain is proved and is not the author's.
fn addresses(read: &Read, findings: &Findings) -> Vec<String> {
    let mut proved: Vec<&str> = findings.signers();
    if findings.spf.outcome == Outcome::Pass {
        proved.push(&findings.spf.domain);
    }
    if findings.arc.outcome == Outcome::Pass && saw_it_proved(findings) {
        proved.extend(findings.arc.sealers.first().map(String::as_str));
    }
    let is_proved = |domain: &str| {
        let same = |proved: &&str| {
            is_same_or_below(domain, proved) || is_same_or_below(proved, domain) && proved.contains('.')
        };
        proved.iter().any(same)
    };
    let mut found: Vec<String> = Vec::new();
    for field in headers::fields(read.header()) {
        if !FIELDS.iter().any(|name| field.is(name)) {
            continue;
        }
        let value = String::from_utf8_lossy(&headers::unfold(field.value)).to_lowercase();
        for address in value.split(|c: char| c.is_ascii_whitespace() || "<>,;\"()".contains(c)) {
            let address = address.strip_prefix("mailto:").unwrap_or(address);
            let address = address.split('?').next().unwrap_or_default();
            let domain = address.rsplit_once('@').and_then(|(_, domain)| name_of(domain));
            if domain.is_some_and(|domain| is_proved(&domain)) && !found.iter().any(|known| known == address) {
                found.push(address.to_owned());
                if found.len() >= MAX_ADDRESSES {
                    return found;
                }
            }
        }
    }
    found
}

/// Whom the account knows of those who handed the message on.
pub fn is_known(
    inner: &Inner,
    account: Option<AccountId>,
    through: &Intermediary,
) -> Result<Option<String>, JudgeError> {
    if let Some(sealer) = &through.sealer {
        return Ok(Some(sealer.clone()));
    }
    let (Some(account), Place::Home { mailstore, .. }) = (account, &inner.place) else { return Ok(None) };
    for address in &through.addresses {
        let written_to = mailstore.has_written_to(account.realm(), address);
        if written_to.map_err(|error| JudgeError(error.to_string()))? {
            return Ok(Some(address.clone()));
        }
    }
    Ok(None)
}
