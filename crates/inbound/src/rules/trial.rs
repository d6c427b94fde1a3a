//! Rules tried on messages that are here already: which ones they would act on. Nothing is done.

use std::time::{Duration, Instant};

use directory::{AccountId, Directory};
use mailkit::{EmailAddress, headers};
use mailstore::{MailStore, MailboxId, MailboxName};
use people::People;
use rules::Rules;
use sieve::{Envelope, Host, Location, Message, Script};

use super::host::{annotation, in_list, spam_share};
use super::means::Means;

/// Longest time that one message takes.
const MAX_TIME: Duration = Duration::from_secs(1);

/// Tries rules.
#[derive(Clone)]
pub struct Trial(Means);

/// A message that is here already.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its beginning, or all of it.
    pub raw: Vec<u8>,
    /// The size of all of it, in bytes.
    pub bytes: u64,
    /// When it came, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// It lies in Spam.
    pub is_junk: bool,
}

impl Trial {
    /// On these.
    pub fn new(rules: Rules, directory: Directory, mailstore: MailStore, people: People) -> Self {
        Self(Means { rules, directory, mailstore, people, hostname: String::new() })
    }

    /// Whether a script files the message anywhere but in the inbox.
    ///
    /// # Errors
    /// Why the script can't be run over it.
    pub fn files(&self, account: AccountId, script: &Script, message: Stored) -> Result<bool, String> {
        let own = self.0.directory.addresses_of(account).map_err(|error| error.to_string())?;
        let mut host = Past { means: &self.0, account, at_ms: message.at_ms, began: Instant::now(), spam: None };
        let header = &message.raw[..headers::header_range(&message.raw).end];
        host.spam = spam_share(header, message.is_junk);
        let envelope = envelope(header, &own);
        let given = Message::new(message.raw).of_size(message.bytes);
        let outcome = sieve::run(script, given, envelope, &mut host).map_err(|error| error.to_string())?;
        let files = |taken: &sieve::Taken| matches!(&taken.action, sieve::Action::FileInto(to) if !to.is_inbox());
        Ok(outcome.actions.iter().any(files))
    }
}

/// The envelope as far as the header still tells it.
fn envelope(header: &[u8], own: &[String]) -> Envelope {
    let addresses = |name: &str| -> Vec<String> {
        let value = headers::value(header, name).map(|value| String::from_utf8_lossy(&value).into_owned());
        let people = mailkit::read_typed(&value.unwrap_or_default()).people;
        people.iter().map(|person| person.address.canonical()).collect()
    };
    let is_own = |address: &String| {
        EmailAddress::parse(address).is_ok_and(|address| own.iter().any(|own| *own == address.canonical()))
    };
    let to = ["Delivered-To", "X-Original-To", "To", "Cc"].iter().flat_map(|name| addresses(name)).find(is_own);
    let from = ["Return-Path", "From"].iter().flat_map(|name| addresses(name)).next();
    Envelope {
        from: from.unwrap_or_default(),
        to: to.or_else(|| own.first().cloned()).unwrap_or_default(),
        ..Envelope::default()
    }
}

/// What surrounds a message that came some time ago.
struct Past<'a> {
    means: &'a Means,
    account: AccountId,
    at_ms: i64,
    began: Instant,
    spam: Option<f64>,
}

impl Past<'_> {
    fn mailbox(&self, name: &str) -> Option<MailboxId> {
        let name = MailboxName::new(name).ok()?;
        let mailboxes = self.means.mailstore.mailboxes(self.account.realm()).ok()?;
        mailboxes.into_iter().find(|mailbox| mailbox.name == name).map(|mailbox| mailbox.id)
    }
}

impl Host for Past<'_> {
    fn now_ms(&self) -> i64 {
        self.at_ms
    }

    fn is_late(&self) -> bool {
        self.began.elapsed() > MAX_TIME
    }

    fn mailbox_exists(&mut self, _name: &str) -> bool {
        true
    }

    fn metadata(&mut self, mailbox: Option<&str>, name: &str) -> Option<String> {
        let of = match mailbox {
            Some(mailbox) => Some(self.mailbox(mailbox)?),
            None => None,
        };
        annotation(self.means, self.account, of, name)
    }

    fn list_contains(&mut self, list: &str, value: &str) -> Option<bool> {
        in_list(self.means, self.account, list, value)
    }

    fn script(&mut self, location: Location, name: &str) -> Option<String> {
        match location {
            Location::Personal => self.means.rules.get(self.account.realm(), name).ok(),
            Location::Global => None,
        }
    }

    fn spam(&mut self) -> Option<f64> {
        self.spam
    }
}
