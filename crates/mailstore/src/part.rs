//! The mail as a part of an account's realm.

use prost::Message as _;
use realm::feed::{Kind, Touched, Write, damaged};
use realm::{Found, Keys, Loss, Merged, Merging, PartError, RealmPart, Rewindable, SalvageFrom, Work};
use store::{Op, Read as _, RealmId, Snapshot, Store, StoreError, body_of_key};

use crate::salvage::{SalvageFiled, SalvageReading, SalvagedMail, salvaged_mail};
use crate::schema::key;
use crate::{MailError, MailStore};

/// Emails, in the change feed: where they are and with which flags.
pub const EMAIL: Kind = Kind { number: 1, name: "email" };
/// Mailboxes, in the change feed, with their counts and subscriptions.
pub const MAILBOX: Kind = Kind { number: 2, name: "mailbox" };
/// Conversations, in the change feed: which emails they have.
pub const THREAD: Kind = Kind { number: 3, name: "thread" };

/// Characters of a subject that a line shows.
const SUBJECT_CHARS: usize = 120;

/// The mail: mailboxes, messages, what is remembered of deliveries and acts, and the records of rewinds.
#[derive(Clone, Copy, Debug, Default)]
pub struct MailPart;

impl From<MailError> for PartError {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Store(error) => Self::Store(error),
            other => Self::own(other),
        }
    }
}

impl RealmPart for MailPart {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn title(&self) -> &'static str {
        "the mail"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x10..=0x3F, kinds: &key::KINDS }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        match crate::invariants::check_account(snapshot, account) {
            Err(MailError::Store(error)) => Err(error),
            Err(error) => Ok(vec![error.to_string()]),
            Ok(findings) => Ok(findings),
        }
    }

    fn rewindable(&self) -> Rewindable<'_> {
        Rewindable::Leads
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        let here = MailStore::new(from.store.clone());
        let name = |id| here.mailbox(from.same_ids?, id).ok().flatten().map(|mailbox| mailbox.name);
        let reading = SalvageReading { names: &name, keeps_deleted: from.keeps_deleted };
        let mail = salvaged_mail(from.read, from.realm, reading)?;
        Ok(Some(Box::new(FoundMail { mail, is_complete: !from.is_part })))
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move { Ok(MailStore::new(store.clone()).purge(account).await?) })
    }

    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move { Ok(MailStore::new(store.clone()).maintain(account).await?) })
    }

    fn loss(&self, op: &Op) -> Option<Loss> {
        // A message is there as long as its body is referred to. What is moved is referred to by another email.
        body_of_key(&op.key).map(|_| Loss { of: Loss::MESSAGES, by: if op.value.is_none() { 1 } else { -1 } })
    }

    fn things(&self) -> &'static [Kind] {
        &[EMAIL, MAILBOX, THREAD]
    }

    fn touches(&self, write: &Write<'_>, touched: &mut Touched) -> Result<(), StoreError> {
        match write.key[0] {
            key::EMAIL => touched.record(EMAIL, write.number(1)?, write)?,
            key::PLACE => touched.updated(EMAIL, write.number(1)?),
            key::ENTRY => {
                if let Some(email) = email_of(write)? {
                    touched.updated(EMAIL, email);
                }
            }
            key::THREAD => touched.record(THREAD, write.number(1)?, write)?,
            key::MAILBOX => touched.record(MAILBOX, write.short_number(1)?, write)?,
            key::COUNTERS if write.value.is_some() => touched.updated(MAILBOX, write.short_number(1)?),
            key::SUBSCRIPTION => {
                let name = [&[key::NAME], &write.key[1..]].concat();
                if let Some(id) = write.tx.get(write.account, &name)?.and_then(|id| id[..].try_into().ok()) {
                    touched.updated(MAILBOX, u64::from(u32::from_be_bytes(id)));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The email of an entry; the rest of it is passed over.
#[derive(Clone, PartialEq, prost::Message)]
struct EmailOfEntry {
    #[prost(uint64, tag = "1")]
    email: u64,
}

/// The email of the entry that is written.
fn email_of(write: &Write<'_>) -> Result<Option<u64>, StoreError> {
    // An entry goes together with its place, which has the email in its key.
    let Some(value) = write.value else { return Ok(None) };
    let entry = EmailOfEntry::decode(value.clone());
    entry.map(|entry| Some(entry.email)).map_err(|_| damaged(write.account, write.key))
}

/// Mail that was salvaged.
struct FoundMail {
    mail: SalvagedMail,
    /// It is from a whole store: an entry that nothing else is known of is one that is lost.
    is_complete: bool,
}

impl FoundMail {
    /// How a message is named in a line.
    fn called(&self, number: usize) -> String {
        let message = &self.mail.messages[number];
        let subject = message.subject.as_deref().unwrap_or_default();
        let subject: String =
            subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SUBJECT_CHARS).collect();
        let mailbox = message.places.first().map_or("INBOX", |place| place.mailbox.as_str());
        format!("\u{201c}{subject}\u{201d} in {mailbox} ({})", message.body)
    }

    fn lines(&self, filed: &SalvageFiled, preview: bool) -> Vec<Vec<String>> {
        let verb = if preview { "would be merged" } else { "merged" };
        let (new, known, unreadable) = (filed.filed, filed.known, filed.unreadable.len());
        let mut first = vec![format!("{new} messages {verb}, {known} already exist, {unreadable} unreadable")];
        let created = if preview { "would be created" } else { "created" };
        first.extend(filed.made.iter().map(|name| format!("mailbox {name} {created}")));
        let not_made = |(name, why): &(_, String)| {
            format!("mailbox {name} could not be created ({why}): its messages are in INBOX")
        };
        first.extend(filed.not_made.iter().map(not_made));
        let unreadable = filed.unreadable.iter().map(|number| format!("UNREADABLE: {}", self.called(*number)));
        let refused = filed.refused.iter().map(|(number, why)| format!("NOT MERGED: {}: {why}", self.called(*number)));
        vec![first, unreadable.collect(), refused.collect()]
    }
}

impl Found for FoundMail {
    fn title(&self) -> String {
        format!("{} messages", self.mail.messages.len())
    }

    fn is_empty(&self) -> bool {
        self.mail.messages.is_empty() && self.mail.nothing_known.is_empty()
    }

    fn unreadable(&self) -> Vec<Vec<String>> {
        if !self.is_complete || self.mail.nothing_known.is_empty() {
            return Vec::new();
        }
        let lines = self.mail.nothing_known.iter().map(|(mailbox, uid)| {
            let mailbox = mailbox.as_ref().map_or("an unknown mailbox", |name| name.as_str());
            format!("the record of message {uid} of {mailbox}")
        });
        vec![lines.collect()]
    }

    fn passed_over(&self) -> Vec<String> {
        let count = self.mail.nothing_known.len();
        if self.is_complete || count == 0 {
            return Vec::new();
        }
        vec![format!("{count} changes to flags or mailboxes of existing messages were not merged")]
    }

    fn merge(&self, into: &mut Merging<'_>) -> realm::Result<Merged> {
        let (messages, progress) = (&self.mail.messages, &mut *into.progress);
        let mut tell = |done: u64| progress("messages", done, messages.len() as u64);
        let mail = MailStore::new(into.store.clone());
        let filed = mail.file_salvaged(into.account, messages, into.preview, into.body, &mut tell)?;
        Ok(Merged {
            lines: self.lines(&filed, into.preview),
            audit: (!into.preview).then(|| format!("{} messages", filed.filed)),
            is_all: filed.unreadable.is_empty() && filed.refused.is_empty(),
        })
    }
}
