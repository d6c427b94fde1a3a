//! How senders are checked, and by what.

use std::sync::Arc;

use delivery::JudgeError;
use directory::Directory;
use dnskit::Resolver;
use filter::sender::Findings;
use mailstore::MailStore;

use super::DnsPatience;
use doorkit::Network;

/// What is done about mail whose author is not who it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Enforce {
    /// Nothing: it is written above the message.
    Observe,
    /// It goes to Junk.
    Quarantine,
    /// It is refused.
    Reject,
}

/// How senders are checked.
#[derive(Clone, Debug)]
pub struct SenderOptions {
    /// Our name: whose `Authentication-Results` these are.
    pub hostname: String,
    /// The most that is done because a domain's DMARC policy asks for it.
    pub dmarc: Enforce,
    /// What is done about mail from strangers whose From field is of a domain of ours and who can't prove it.
    pub own_domains: Enforce,
    /// Whose mail is not judged.
    pub trusted_networks: Vec<Network>,
    /// Domains whose ARC seals are believed, with those below them. Empty: none.
    pub trusted_sealers: Vec<String>,
    /// How long the DNS may take after the message has come.
    pub patience: DnsPatience,
}

/// What the judge works with.
pub struct Inner {
    pub options: SenderOptions,
    pub resolver: Arc<dyn Resolver>,
    pub place: Place,
    /// Counts what DMARC says, where that is reported.
    pub observed: Option<Arc<reports::Observed>>,
}

/// Where the judge is.
pub enum Place {
    /// Where the mailboxes are.
    Home {
        /// Says which domains are ours.
        directory: Directory,
        /// Knows to whom an account has written.
        mailstore: MailStore,
    },
    /// On a relay. It knows our domains, and nothing of what the accounts do.
    Relay {
        /// Whether a domain is ours.
        is_ours: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    },
}

impl Place {
    fn is_ours(&self, name: &str) -> Result<bool, JudgeError> {
        match self {
            Self::Home { directory, .. } => {
                Ok(directory.domain(name).map_err(|error| JudgeError(error.to_string()))?.is_some())
            }
            Self::Relay { is_ours } => Ok(is_ours(name)),
        }
    }
}

impl Inner {
    /// Which of the domains that matter for a message are ours.
    pub fn own_domains(&self, findings: &Findings) -> Result<Vec<String>, JudgeError> {
        let proofs = findings.proofs();
        let names = findings.author.domains.iter().map(String::as_str).chain(proofs.iter().map(|proof| proof.domain));
        let mut own = Vec::new();
        for name in names {
            if self.place.is_ours(name)? {
                own.push(name.to_owned());
            }
        }
        Ok(own)
    }
}
