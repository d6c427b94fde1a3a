//! What a script can ask when mail is delivered.

use std::time::{Duration, Instant};

use delivery::{Case, FileInto, Mark, Verdict};
use directory::AccountId;
use filter::spam::FIELD;
use mailkit::headers;
use mailstore::{EntryName, Mailbox, MailboxId, MailboxName, MetadataDepth, Role};
use rules::duplicate_key;
use sieve::{Host, Location};

use super::means::{Means, role_of};

/// Longest time that one script takes.
const MAX_TIME: Duration = Duration::from_secs(2);
/// The names of the address book as a list (RFC 6134 section 2.6).
const ADDRESS_BOOK: [&str; 2] = ["urn:ietf:params:sieve:addrbook:default", ":addrbook:default"];

/// What surrounds one run.
pub(super) struct Surroundings<'a> {
    means: &'a Means,
    case: &'a Case,
    account: AccountId,
    before: &'a Verdict,
    began: Instant,
    mailboxes: Option<Vec<Mailbox>>,
    marks: Vec<Mark>,
}

impl<'a> Surroundings<'a> {
    pub fn new(means: &'a Means, case: &'a Case, account: AccountId, before: &'a Verdict) -> Self {
        Self { means, case, account, before, began: Instant::now(), mailboxes: None, marks: Vec::new() }
    }

    /// The messages that are remembered as seen from now on.
    pub fn marks(self) -> Vec<Mark> {
        self.marks
    }

    fn mailboxes(&mut self) -> &[Mailbox] {
        let read = || self.means.mailstore.mailboxes(self.account.realm()).unwrap_or_default();
        self.mailboxes.get_or_insert_with(read)
    }

    fn named(&mut self, name: &str) -> Option<&Mailbox> {
        let name = MailboxName::new(name).ok()?;
        self.mailboxes().iter().find(|mailbox| mailbox.name == name)
    }
}

impl Host for Surroundings<'_> {
    fn now_ms(&self) -> i64 {
        self.case.at_ms
    }

    fn is_late(&self) -> bool {
        self.began.elapsed() > MAX_TIME
    }

    fn mailbox_exists(&mut self, name: &str) -> bool {
        self.named(name).is_some()
    }

    fn mailbox_id_exists(&mut self, id: &str) -> bool {
        self.mailboxes().iter().any(|mailbox| mailbox.id.to_string() == id)
    }

    fn special_use_exists(&mut self, mailbox: Option<&str>, flags: &[String]) -> bool {
        let roles: Option<Vec<Role>> = flags.iter().map(|flag| role_of(flag)).collect();
        let Some(roles) = roles else { return false };
        match mailbox {
            Some(name) => {
                let role = self.named(name).and_then(|mailbox| mailbox.role);
                roles.iter().all(|wanted| role == Some(*wanted))
            }
            None => roles.iter().all(|wanted| self.mailboxes().iter().any(|mailbox| mailbox.role == Some(*wanted))),
        }
    }

    fn metadata(&mut self, mailbox: Option<&str>, name: &str) -> Option<String> {
        let of = match mailbox {
            Some(mailbox) => Some(self.named(mailbox)?.id),
            None => None,
        };
        annotation(self.means, self.account, of, name)
    }

    fn is_duplicate(&mut self, handle: &str, id: &str, seconds: u64, last: bool) -> bool {
        let key = duplicate_key(handle, id);
        let now_ms = self.case.at_ms;
        let is_known = self.means.rules.remembers(self.account.realm(), &key, now_ms).unwrap_or(false);
        if !is_known || last {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX / 2_000);
            self.marks.push(Mark { key, until_ms: now_ms.saturating_add(seconds * 1_000) });
        }
        is_known
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

    fn environment(&mut self, name: &str) -> Option<String> {
        let value = match name {
            "name" => "Holdfast".to_owned(),
            "version" => env!("CARGO_PKG_VERSION").to_owned(),
            "location" => "MDA".to_owned(),
            "phase" => "during".to_owned(),
            "host" => self.means.hostname.clone(),
            "domain" => self.means.hostname.split_once('.').map_or("", |(_, domain)| domain).to_owned(),
            "remote-ip" => self.case.envelope.origin.peer?.to_string(),
            _ => return None,
        };
        Some(value)
    }

    /// Certain, where a judge found malware; else it is not known whether anyone has looked.
    fn virus(&mut self) -> Option<u8> {
        self.before.found_malware.then_some(5)
    }

    fn spam(&mut self) -> Option<f64> {
        let is_junk = self.before.mailbox == Some(FileInto::Role(Role::Junk));
        spam_share(self.before.headers().as_bytes(), is_junk)
    }
}

/// An annotation of a mailbox or of the account (RFC 5490, RFC 5464).
pub(super) fn annotation(means: &Means, account: AccountId, of: Option<MailboxId>, name: &str) -> Option<String> {
    let entry = EntryName::new(name).ok()?;
    let values = means.mailstore.metadata(account.realm(), of, &[entry], MetadataDepth::Zero).ok()?;
    let (_, value) = values.into_iter().next()?;
    value.map(|value| String::from_utf8_lossy(&value).into_owned())
}

/// Whether an address is in a list of the account.
pub(super) fn in_list(means: &Means, account: AccountId, list: &str, value: &str) -> Option<bool> {
    if !ADDRESS_BOOK.iter().any(|name| name.eq_ignore_ascii_case(list)) {
        return None;
    }
    let Ok(address) = mailkit::EmailAddress::parse(value) else { return Some(false) };
    let found = means.people.by_address(account.realm(), &address.canonical());
    Some(found.is_ok_and(|contacts| !contacts.is_empty()))
}

/// How sure the filter was that a message is spam, by the field that it wrote: half is where spam begins.
pub(super) fn spam_share(header: &[u8], is_junk: bool) -> Option<f64> {
    let field = headers::value(header, FIELD)?;
    let field = String::from_utf8_lossy(&field).into_owned();
    let number = |name: &str| {
        let item = field.split(';').find_map(|item| item.trim().strip_prefix(name));
        item.and_then(|text| text.trim().parse::<f64>().ok())
    };
    match (number("score="), number("limit=")) {
        (Some(score), Some(limit)) if limit > 0.0 => Some((score / limit / 2.0).clamp(0.0, 1.0)),
        _ => Some(if is_junk { 1.0 } else { 0.0 }),
    }
}
