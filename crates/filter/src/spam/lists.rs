//! Lists of senders whose mail is always wanted, or never.

use std::fmt;

use mailkit::{EmailAddress, address::normal_domain};

/// Most entries of one account or domain.
pub const MAX_ENTRIES: usize = 1_000;

/// Which senders are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// One address, in its canonical form.
    Address(String),
    /// All addresses of a domain and of the domains below it.
    Domain(String),
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => f.write_str(address),
            Self::Domain(domain) => f.write_str(domain),
        }
    }
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose mail.
    pub pattern: Pattern,
    /// Always wanted, or else never.
    pub allowed: bool,
}

/// What was typed is neither an address nor a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is neither an address (name@example.org) nor a domain (example.org)")]
pub struct NotASender(pub String);

impl Entry {
    /// Reads an address (`name@example.org`) or a domain (`example.org`, `@example.org`, `*.example.org`).
    ///
    /// # Errors
    /// It is neither.
    pub fn new(text: &str, allowed: bool) -> Result<Self, NotASender> {
        let text = text.trim();
        let wrong = || NotASender(text.chars().take(80).collect());
        let domain = text.strip_prefix('@').or_else(|| text.strip_prefix("*@")).or_else(|| text.strip_prefix("*."));
        let pattern = match domain {
            None if text.contains('@') => Pattern::Address(canonical(&EmailAddress::parse(text).map_err(|_| wrong())?)),
            domain => {
                let domain = normal_domain(domain.unwrap_or(text)).map_err(|_| wrong())?;
                if !domain.contains('.') {
                    return Err(wrong());
                }
                Pattern::Domain(domain)
            }
        };
        Ok(Self { pattern, allowed })
    }
}

/// In the form in which addresses are compared: senders' local parts in lower case, as people type them.
pub(crate) fn canonical(address: &EmailAddress) -> String {
    address.canonical().to_lowercase()
}

/// What lists say of a sender: the most exact entry counts, and of two that are alike the one of the first list.
pub(crate) fn says(lists: &[&[Entry]], address: &EmailAddress) -> Option<bool> {
    let canonical = canonical(address);
    let domain = address.domain().to_ascii_lowercase();
    let mut best: Option<(usize, bool)> = None;
    for entry in lists.iter().copied().flatten() {
        let exactness = match &entry.pattern {
            Pattern::Address(one) if *one == canonical => usize::MAX,
            Pattern::Domain(one) if is_within(&domain, one) => one.len(),
            _ => continue,
        };
        if best.is_none_or(|(known, _)| exactness > known) {
            best = Some((exactness, entry.allowed));
        }
    }
    best.map(|(_, allowed)| allowed)
}

fn is_within(domain: &str, of: &str) -> bool {
    domain.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_entry_wins_and_then_the_accounts_own() {
        let list = |entries: &[(&str, bool)]| -> Vec<Entry> {
            entries.iter().map(|(text, allowed)| Entry::new(text, *allowed).unwrap()).collect()
        };
        let own = list(&[("example.org", false), ("Ann@Example.org", true), ("good.example.net", true)]);
        let domain = list(&[("example.net", false), ("example.org", true), ("ann@example.org", false)]);
        for (address, said) in [
            ("ann@example.org", Some(true)),
            ("ANN@example.org", Some(true)),
            ("bob@example.org", Some(false)),
            ("bob@sub.example.org", Some(false)),
            ("bob@notexample.org", None),
            ("x@example.net", Some(false)),
            ("x@good.example.net", Some(true)),
            ("x@very.good.example.net", Some(true)),
            ("x@example.com", None),
        ] {
            let address = EmailAddress::parse(address).unwrap();
            assert_eq!(says(&[&own, &domain], &address), said, "{address:?}");
        }
    }

    #[test]
    fn only_addresses_and_domains_are_entries() {
        for (text, pattern) in [
            ("example.org", Some("example.org")),
            (" @Example.ORG ", Some("example.org")),
            ("*.example.org", Some("example.org")),
            ("*@example.org", Some("example.org")),
            ("m\u{fc}ller.example", Some("xn--mller-kva.example")),
            ("ann@example.org", Some("ann@example.org")),
            ("", None),
            ("com", None),
            ("a b.example", None),
            ("ann@", None),
            ("*", None),
        ] {
            assert_eq!(
                Entry::new(text, true).ok().map(|entry| entry.pattern.to_string()).as_deref(),
                pattern,
                "{text}"
            );
        }
    }
}
