//! Files mail that was salvaged from a damaged store, or that only another machine had: everything the account does not
//! have yet, in its original mailboxes and state, without duplicates.
//!
//! A message is recognized by its bytes, wherever its prefix ends: if a message of the account has the same, it exists. All copies of a
//! message are filed by one commit, with delivery keys that are remembered for [`IMPORT_KEY_DAYS`] days: neither a
//! crash in between nor a second run files anything twice, and messages deleted after the first run stay deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use mailkit::Parsed;
use prost::Message as _;
use store::{BodyId, Order, Read, RealmId, StoreError, Tx, body_of_key};

use crate::rows::{emails_of_body, prefix_of};
use crate::schema::{EmailRecord, EntryRecord, IMPORT_KEY_DAYS, MailboxRecord, key};
use crate::{EmailId, Flags, MailError, MailStore, MailboxId, MailboxName, NewMessage, Result, SystemFlag, Uid};

/// What makes two salvaged messages the same: body and header lines before it, if those are known.
type Content = (BodyId, Option<Bytes>);

/// Messages filed by one commit.
const BATCH_MESSAGES: usize = 64;
/// Bytes filed by one commit, unless a single message has more.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// Where a salvaged message was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvagedPlace {
    /// In which mailbox; INBOX when that is not known.
    pub mailbox: MailboxName,
    /// With which flags.
    pub flags: Flags,
    /// INTERNALDATE, milliseconds since 1970 UTC.
    pub internal_date_ms: i64,
}

/// A message that records name; whether its bytes are there is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvagedMessage {
    /// The name of its body.
    pub body: BodyId,
    /// What stands before the body; `None` where its record is not there: then a message of that body is this one.
    pub prefix: Option<Bytes>,
    /// Its subject, where its record is there.
    pub subject: Option<String>,
    /// Where it was: at least one place.
    pub places: Vec<SalvagedPlace>,
}

/// The mail that records name.
#[derive(Clone, Debug, Default)]
pub struct SalvagedMail {
    /// The messages, in the order of their mailboxes.
    pub messages: Vec<SalvagedMessage>,
    /// Entries of messages that nothing else is known of, by their mailbox.
    pub nothing_known: Vec<(Option<MailboxName>, Uid)>,
}

/// How records are read.
#[derive(Clone, Copy)]
pub struct SalvageReading<'a> {
    /// The names of mailboxes that the records do not tell.
    pub names: &'a dyn Fn(MailboxId) -> Option<MailboxName>,
    /// What was deleted is still there: only the newest place of each message counts, and `\Deleted` does not.
    pub keeps_deleted: bool,
}

/// What became of salvaged messages, or would.
#[derive(Clone, Debug, Default)]
pub struct SalvageFiled {
    /// Messages that were filed.
    pub filed: u64,
    /// Messages that the account has, or had since an earlier run.
    pub known: u64,
    /// Those whose bytes are nowhere, by their number.
    pub unreadable: Vec<usize>,
    /// Those that could not be filed, by their number, and why.
    pub refused: Vec<(usize, String)>,
    /// Mailboxes that were made.
    pub made: Vec<MailboxName>,
    /// Mailboxes that could not be made, and why: their messages are in INBOX.
    pub not_made: Vec<(MailboxName, String)>,
}

/// Reads what mail the records of an account name, in a store that may lack any of them. Blocks; memory grows with the
/// number of messages, some 300 bytes each.
///
/// # Errors
/// If `read` fails; a record that can't be decoded is passed over.
pub fn salvaged_mail<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    reading: SalvageReading<'_>,
) -> Result<SalvagedMail> {
    let names = names(read, account)?;
    let name = |id: MailboxId| names.get(&id).cloned().or_else(|| (reading.names)(id));
    let mut bodies: BTreeMap<u64, BodyId> = BTreeMap::new();
    each(read, account, store::BODY_REFERENCE, |at, _| {
        if let (Some(id), Some(Ok(owner))) = (body_of_key(at), at.get(33..).map(<[u8; 8]>::try_from)) {
            bodies.insert(u64::from_be_bytes(owner), id);
        }
    })?;
    let mut emails = emails(read, account, &mut bodies)?;
    let mut mail = SalvagedMail::default();
    // By email: its places, with what they are sorted by.
    let mut places: BTreeMap<u64, Vec<(u64, MailboxId, Uid, SalvagedPlace)>> = BTreeMap::new();
    each(read, account, key::ENTRY, |at, value| {
        let (Ok(mailbox), Ok(uid)) = (key::mailbox_of(at), key::entry_uid(at)) else { return };
        let entry = EntryRecord::decode(value).ok().filter(|entry| bodies.contains_key(&entry.email));
        let Some(entry) = entry else {
            mail.nothing_known.push((name(mailbox), uid));
            return;
        };
        let mut flags = entry.flags();
        if reading.keeps_deleted {
            flags.remove(SystemFlag::Deleted);
        }
        let place = SalvagedPlace {
            mailbox: name(mailbox).unwrap_or_else(MailboxName::inbox),
            flags,
            internal_date_ms: entry.internal_date_ms,
        };
        places.entry(entry.email).or_default().push((entry.modseq, mailbox, uid, place));
    })?;
    let mut messages: HashMap<Content, ((MailboxId, Uid), SalvagedMessage)> = HashMap::new();
    for (email, body) in bodies {
        let (subject, filed_ms, prefix) = emails.remove(&email).unwrap_or_default();
        let mut found = places.remove(&email).unwrap_or_default();
        if reading.keeps_deleted {
            found.sort_by_key(|(modseq, ..)| std::cmp::Reverse(*modseq));
            found.truncate(1);
        }
        let first = found.iter().map(|(_, mailbox, uid, _)| (*mailbox, *uid)).min();
        let mut found: Vec<SalvagedPlace> = found.into_iter().map(|(.., place)| place).collect();
        if found.is_empty() {
            // Where it was is lost.
            let (flags, internal_date_ms) = (Flags::NONE, filed_ms.unwrap_or_default());
            found.push(SalvagedPlace { mailbox: MailboxName::inbox(), flags, internal_date_ms });
        }
        let at = first.unwrap_or((MailboxId(u32::MAX), Uid(email as u32)));
        let (least, message) = messages
            .entry((body, prefix.clone()))
            .or_insert_with(|| (at, SalvagedMessage { body, prefix, subject: subject.clone(), places: Vec::new() }));
        *least = at.min(*least);
        message.subject = message.subject.take().or(subject);
        message.places.append(&mut found);
    }
    let mut messages: Vec<_> = messages.into_values().collect();
    messages.sort_by(|(at, message), (other_at, other)| {
        (at, message.body, &message.prefix).cmp(&(other_at, other.body, &other.prefix))
    });
    mail.messages = messages.into_iter().map(|(_, message)| message).collect();
    Ok(mail)
}

/// What the record of an email tells, if it is there: subject, when it was filed, prefix.
type EmailFacts = (Option<String>, Option<i64>, Option<Bytes>);

/// What the records of emails tell; adds to `bodies` what references lack.
fn emails<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    bodies: &mut BTreeMap<u64, BodyId>,
) -> Result<HashMap<u64, EmailFacts>> {
    let mut emails = HashMap::new();
    each(read, account, key::EMAIL, |at, value| {
        if let (Ok(email), Ok(record)) = (key::long_id(at), EmailRecord::decode(value)) {
            if let Ok(body) = record.body[..].try_into() {
                bodies.entry(email).or_insert_with(|| BodyId::from_bytes(body));
            }
            let subject = Parsed::decode(record.parsed).map(|parsed| parsed.subject).unwrap_or_default();
            emails.insert(email, (Some(subject), Some(record.filed_ms), Some(record.prefix)));
        }
    })?;
    Ok(emails)
}

/// The names of mailboxes: each stands in two records.
fn names<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<HashMap<MailboxId, MailboxName>> {
    let mut names = HashMap::new();
    each(read, account, key::NAME, |at, value| {
        if let (Ok(name), Ok(id)) = (crate::mailbox::name_in(at), <[u8; 4]>::try_from(&value[..])) {
            names.insert(MailboxId(u32::from_be_bytes(id)), name);
        }
    })?;
    each(read, account, key::MAILBOX, |at, value| {
        if let (Ok(id), Ok(record)) = (key::mailbox_of(at), MailboxRecord::decode(value))
            && let Ok(name) = MailboxName::new(&record.name)
        {
            names.insert(id, name);
        }
    })?;
    Ok(names)
}

fn each<R: Read + ?Sized>(read: &R, account: RealmId, kind: u8, mut visit: impl FnMut(&[u8], Bytes)) -> Result<()> {
    for row in read.prefix(account, &[kind], Order::Ascending)? {
        let (at, value) = row?;
        visit(&at, value);
    }
    Ok(())
}

/// A message of a batch: its number, what is known of it, where it goes.
type Ready = (usize, SalvagedMessage, Vec<(MailboxId, NewMessage)>);

/// The messages of an account that have prefixes, by their sizes: what was uploaded as a whole may be one of them.
struct There(HashMap<u64, Vec<EmailId>>);

impl There {
    fn of<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Self> {
        let mut sizes: HashMap<u64, Vec<EmailId>> = HashMap::new();
        each(read, account, key::EMAIL, |at, value| {
            if let (Ok(email), Ok(record)) = (key::long_id(at), EmailRecord::decode(value))
                && !record.prefix.is_empty()
            {
                sizes.entry(record.size).or_default().push(EmailId(email));
            }
        })?;
        Ok(Self(sizes))
    }

    /// Whether a message of these bytes is there, with another prefix or none.
    fn has<R: Read + ?Sized>(&self, read: &R, account: RealmId, whole: &[u8]) -> Result<bool> {
        for email in emails_of_body(read, account, &BodyId::of(whole))? {
            if prefix_of(read, account, email)?.is_none_or(|prefix| prefix.is_empty()) {
                return Ok(true);
            }
        }
        for email in self.0.get(&(whole.len() as u64)).into_iter().flatten() {
            let Some(value) = read.get(account, &key::email(*email))? else { continue };
            let Ok(record) = EmailRecord::decode(value) else { continue };
            if whole.strip_prefix(&record.prefix[..]).is_some_and(|rest| BodyId::of(rest).as_bytes()[..] == record.body)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the account has the message: one of the same bytes.
fn has_message<R: Read + ?Sized>(read: &R, account: RealmId, message: &SalvagedMessage) -> Result<bool> {
    for email in emails_of_body(read, account, &message.body)? {
        match (&message.prefix, prefix_of(read, account, email)?) {
            (Some(prefix), Some(other)) if *prefix != other => {}
            _ => return Ok(true),
        }
    }
    Ok(false)
}

impl MailStore {
    /// Files those of `messages` that the account does not have; with `only_look` only says what it would do. `bytes_of`
    /// gives the bytes of a message, if they are to be had. No quota is asked. Blocks: for a blocking thread. `tell` gets
    /// the number of messages done after each.
    ///
    /// # Errors
    /// Those of the store and of `bytes_of`; what was filed until then stays, and a second run goes on.
    pub fn file_salvaged(
        &self,
        account: RealmId,
        messages: &[SalvagedMessage],
        only_look: bool,
        bytes_of: &dyn Fn(&BodyId) -> Result<Option<Bytes>, StoreError>,
        tell: &mut dyn FnMut(u64),
    ) -> Result<SalvageFiled> {
        let mut report = SalvageFiled::default();
        let mut mailboxes: BTreeMap<MailboxName, MailboxId> = BTreeMap::new();
        let mut wanted: BTreeSet<MailboxName> = BTreeSet::new();
        let (mut batch, mut batch_bytes): (Vec<Ready>, u64) = (Vec::new(), 0);
        let there = There::of(&self.store().snapshot(), account)?;
        for (number, message) in messages.iter().enumerate() {
            tell(number as u64);
            // Looked at before anything is read: a second run is quick.
            let snapshot = self.store().snapshot();
            let at = key::delivery(blake3::hash(&delivery_key(message, 0)).as_bytes());
            if has_message(&snapshot, account, message)? || snapshot.get(account, &at)?.is_some() {
                report.known += 1;
                continue;
            }
            let Some(bytes) = bytes_of(&message.body)? else {
                report.unreadable.push(number);
                continue;
            };
            let prefix = message.prefix.clone().unwrap_or_default();
            let whole = if prefix.is_empty() { bytes.clone() } else { [&prefix[..], &bytes].concat().into() };
            if there.has(&snapshot, account, &whole)? {
                report.known += 1;
                continue;
            }
            if only_look {
                report.filed += 1;
                wanted.extend(message.places.iter().map(|place| place.mailbox.clone()));
                continue;
            }
            let body = match self.stage(&bytes) {
                Ok(body) => body.under(prefix)?,
                Err(MailError::Store(error @ StoreError::TooLarge { .. })) => {
                    report.refused.push((number, error.to_string()));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let first = NewMessage {
                body,
                parsed: Arc::new(mailkit::parse(&whole)),
                flags: Flags::NONE,
                internal_date_ms: 0,
                delivery_key: None,
                ignore_quota: true,
            };
            let places = self.in_its_places(account, message, &first, &mut mailboxes, &mut report)?;
            batch_bytes += whole.len() as u64;
            batch.push((number, message.clone(), places));
            if batch.len() >= BATCH_MESSAGES || batch_bytes >= BATCH_BYTES {
                batch_bytes = 0;
                self.file_batch(account, std::mem::take(&mut batch), &mut report)?;
            }
        }
        self.file_batch(account, batch, &mut report)?;
        for name in wanted {
            if self.mailbox_by_name(account, &name)?.is_none() {
                report.made.push(name);
            }
        }
        tell(messages.len() as u64);
        Ok(report)
    }

    /// The message as it is filed in each of its places.
    fn in_its_places(
        &self,
        account: RealmId,
        message: &SalvagedMessage,
        new: &NewMessage,
        mailboxes: &mut BTreeMap<MailboxName, MailboxId>,
        report: &mut SalvageFiled,
    ) -> Result<Vec<(MailboxId, NewMessage)>> {
        let mut places = Vec::new();
        for (nth, place) in message.places.iter().enumerate() {
            let new = NewMessage {
                flags: place.flags.clone(),
                internal_date_ms: place.internal_date_ms,
                delivery_key: Some(delivery_key(message, nth)),
                ..new.clone()
            };
            places.push((self.salvage_mailbox(account, &place.mailbox, mailboxes, report)?, new));
        }
        Ok(places)
    }

    fn file_batch(&self, account: RealmId, batch: Vec<Ready>, report: &mut SalvageFiled) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        // The bytes stay staged until the commit is durable.
        let batch = Arc::new(batch);
        let (this, messages) = (self.clone(), batch.clone());
        let filed: Result<(u64, u64)> = self
            .store()
            .transact(move |tx| {
                let (mut filed, mut known) = (0, 0);
                for (_, message, places) in messages.iter() {
                    // It may have come in meanwhile.
                    if has_message(tx, account, message)? {
                        known += 1;
                        continue;
                    }
                    let mut is_new = false;
                    for (mailbox, message) in places {
                        is_new |= !this.append_keeping_key(tx, account, *mailbox, message, IMPORT_KEY_DAYS)?.duplicate;
                    }
                    filed += u64::from(is_new);
                    known += u64::from(!is_new);
                }
                Ok((filed, known))
            })
            .wait();
        let (filed, known) = filed?;
        report.filed += filed;
        report.known += known;
        Ok(())
    }

    /// The mailbox of that name, made and subscribed to if need be; INBOX if it can't be.
    fn salvage_mailbox(
        &self,
        account: RealmId,
        name: &MailboxName,
        known: &mut BTreeMap<MailboxName, MailboxId>,
        report: &mut SalvageFiled,
    ) -> Result<MailboxId> {
        if let Some(id) = known.get(name) {
            return Ok(*id);
        }
        let (this, wanted) = (self.clone(), name.clone());
        let made = move |tx: &mut Tx<'_>| -> Result<(MailboxId, bool)> {
            if let Some(mailbox) = this.mailbox_by_name_in(tx, account, &wanted)? {
                return Ok((mailbox.id, false));
            }
            let id = this.create_mailbox_in(tx, account, &wanted, None)?;
            tx.put(account, key::subscription(wanted.as_str()), Vec::new());
            Ok((id, true))
        };
        let id = match self.store().transact(made).wait() {
            Ok((id, is_new)) => {
                if is_new {
                    report.made.push(name.clone());
                }
                id
            }
            Err(error @ MailError::Store(_)) => return Err(error),
            Err(error) if name.is_inbox() => return Err(error),
            Err(error) => {
                report.not_made.push((name.clone(), error.to_string()));
                self.salvage_mailbox(account, &MailboxName::inbox(), known, report)?
            }
        };
        known.insert(name.clone(), id);
        Ok(id)
    }
}

/// What names the filing of a message's nth place.
fn delivery_key(message: &SalvagedMessage, nth: usize) -> Vec<u8> {
    let mailbox = message.places.get(nth).map_or("", |place| place.mailbox.as_str());
    let mut key =
        [b"salvage\0".as_slice(), message.body.as_bytes(), &(nth as u64).to_be_bytes(), mailbox.as_bytes()].concat();
    if let Some(prefix) = message.prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
        // Its length is fixed and a name has no NUL: no two keys are alike.
        key.push(0);
        key.extend_from_slice(blake3::hash(prefix).as_bytes());
    }
    key
}
