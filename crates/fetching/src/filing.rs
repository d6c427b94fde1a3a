//! What was fetched is filed: a batch of messages and the note that they were fetched are one commit.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use delivery::{Delivery, DeliveryError};
use directory::AccountId;
use mailstore::{Flags, MailError, MailStore, MailboxId, NewMessage, StagedBody};
use prost::Message as _;
use store::{Read, RealmId, Store, Tx};

use crate::imap::names::To;
use crate::schema::{Mark, RemoteRecord, SeenRecord, SourceRecord, remote_key, seen_key, source_key};
use crate::trouble::Trouble;

/// Reasons that are kept of what was left out.
const MAX_REASONS: usize = 20;

/// A message that was fetched and staged.
#[derive(Clone)]
pub(crate) struct Fetched {
    pub body: StagedBody,
    pub parsed: Arc<mailkit::Parsed>,
    pub flags: Flags,
    pub internal_date_ms: i64,
    /// POP3's name of it.
    pub uidl: Option<Vec<u8>>,
    /// Gmail's number of it.
    pub gmail: Option<u64>,
}

/// Where of a source.
#[derive(Clone)]
pub(crate) struct Place {
    pub account: AccountId,
    pub source: u64,
    /// The mailbox as the server writes it.
    pub raw: Vec<u8>,
    pub name: String,
    pub to: To,
    /// A message that is anywhere here already is not filed once more.
    pub anywhere: bool,
}

impl Place {
    fn realm(&self) -> RealmId {
        self.account.realm()
    }
}

/// What a batch changes besides.
#[derive(Clone, Default)]
pub(crate) struct Note {
    pub uid_validity: u32,
    /// All up to this UID are done.
    pub through: u32,
    /// Messages there.
    pub total: u64,
    /// Of these not done after the batch.
    pub left: u64,
    /// Messages that were known without being read.
    pub known: u64,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// What is to be deleted there, now that it is here.
    pub to_delete: Vec<u32>,
    /// POP3's names of what was left out.
    pub left_out_uidls: Vec<Vec<u8>>,
}

pub(crate) fn load<R: Read + ?Sized, M: prost::Message + Default>(
    read: &R,
    account: RealmId,
    key: &[u8],
) -> Result<Option<M>, store::StoreError> {
    Ok(read.get(account, key)?.and_then(|value| M::decode(value).ok()))
}

/// The source, if it is still to be fetched.
fn active<R: Read + ?Sized>(read: &R, place: &Place) -> Result<SourceRecord, Trouble> {
    let source: Option<SourceRecord> = load(read, place.realm(), &source_key(place.source))?;
    source.filter(|source| source.state == 0).ok_or(Trouble::Stopped)
}

/// Notes what a look at a mailbox has shown, and gives what is known of it. With another UIDVALIDITY than before the UIDs mean nothing
/// any more: all is looked at again, and what was fetched is known by its bytes.
pub(crate) async fn looked_at(store: &Store, place: &Place, note: Note) -> Result<RemoteRecord, Trouble> {
    let place = place.clone();
    store
        .transact(move |tx| {
            tx.keeps_books();
            active(tx, &place)?;
            let key = remote_key(place.source, &place.raw);
            let before: RemoteRecord = load(tx, place.realm(), &key)?.unwrap_or_default();
            let mut record = before.clone();
            if record.uid_validity != note.uid_validity {
                (record.uid_validity, record.last_uid) = (note.uid_validity, 0);
                (record.stuck, record.stuck_uid) = (0, 0);
                record.to_delete.clear();
            }
            record.name.clone_from(&place.name);
            (record.total, record.left) = (note.total, note.left);
            if record != before {
                tx.put(place.realm(), key, record.encode_to_vec());
            }
            Ok::<_, Trouble>(record)
        })
        .await
}

/// Files a batch, and notes it. Which messages were filed, in their order.
///
/// # Errors
/// Nothing was done then.
pub(crate) async fn file(
    store: &Store,
    mail: &MailStore,
    place: &Place,
    batch: Vec<Fetched>,
    note: Note,
) -> Result<u64, Trouble> {
    // Held until the commit is durable, so that the bytes stay staged as long.
    let held: Vec<StagedBody> = batch.iter().map(|one| one.body.clone()).collect();
    let (mail, place) = (mail.clone(), place.clone());
    let filed = store.transact(move |tx| filed_in(tx, &mail, &place, batch, note)).await;
    drop(held);
    filed.map_err(Trouble::of_filing)
}

fn filed_in(tx: &mut Tx<'_>, mail: &MailStore, place: &Place, batch: Vec<Fetched>, note: Note) -> Result<u64, Trouble> {
    active(tx, place)?;
    let (realm, key) = (place.realm(), remote_key(place.source, &place.raw));
    let mut record: RemoteRecord = load(tx, realm, &key)?.unwrap_or_default();
    let mut filed = 0;
    for one in batch {
        let is_known = is_known_in(tx, mail, place, &mut record, &one)?;
        if is_known {
            record.known += 1;
        } else {
            let mailbox = local_in(tx, mail, place, &mut record)?;
            let message = NewMessage {
                body: one.body.clone(),
                parsed: Arc::clone(&one.parsed),
                flags: one.flags.clone(),
                internal_date_ms: one.internal_date_ms,
                delivery_key: None,
                ignore_quota: false,
            };
            mail.append_in(tx, realm, mailbox, &message)?;
            filed += 1;
        }
        mark_in(tx, place, &one);
    }
    record.filed += filed;
    put_note_in(tx, place, record, note);
    Ok(filed)
}

/// Files one message by the account's rules, in one commit with its note.
///
/// # Errors
/// Nothing was done then.
pub(crate) async fn file_by_rules(
    (mail, delivery): (&MailStore, &Delivery),
    place: &Place,
    one: Fetched,
    note: Note,
) -> Result<bool, Trouble> {
    let mut incoming = delivery.incoming_fetched(place.account, one.internal_date_ms)?;
    let (reading, body) = (mail.clone(), one.body.clone());
    let bytes = tokio::task::spawn_blocking(move || reading.read_staged(&body)).await;
    let bytes = bytes.unwrap_or(Err(MailError::Cancelled))?;
    // Too large is found again by `finish`, which has the right words.
    let _ = incoming.write_all(&bytes);
    let (mail, place) = (mail.clone(), place.clone());
    let stopped = Arc::new(AtomicBool::new(false));
    let is_stopped = Arc::clone(&stopped);
    let finished = incoming.finish_fetched(move |tx| match noted_in(tx, &mail, &place, &one, note.clone()) {
        Ok(is_new) => Ok(is_new),
        Err(Trouble::Mail(error)) => Err(error.into_store_error()),
        Err(_) => {
            is_stopped.store(true, Ordering::Relaxed);
            Ok(false)
        }
    });
    match finished.await {
        _ if stopped.load(Ordering::Relaxed) => Err(Trouble::Stopped),
        Err(DeliveryError::Refused(refusal)) if refusal.is_temporary() => {
            Err(Trouble::Full { needed: bytes.len() as u64 })
        }
        finished => Ok(finished?),
    }
}

/// Notes one message; whether it is new. Writes nothing if the source is not to be fetched any more.
fn noted_in(tx: &mut Tx<'_>, mail: &MailStore, place: &Place, one: &Fetched, note: Note) -> Result<bool, Trouble> {
    active(tx, place)?;
    let (realm, key) = (place.realm(), remote_key(place.source, &place.raw));
    let mut record: RemoteRecord = load(tx, realm, &key)?.unwrap_or_default();
    let is_known = is_known_in(tx, mail, place, &mut record, one)?;
    record.known += u64::from(is_known);
    record.filed += u64::from(!is_known);
    mark_in(tx, place, one);
    put_note_in(tx, place, record, note);
    Ok(!is_known)
}

/// Writes what a batch changes besides.
pub(crate) fn put_note_in(tx: &mut Tx<'_>, place: &Place, mut record: RemoteRecord, note: Note) {
    if note.uid_validity == record.uid_validity {
        record.last_uid = record.last_uid.max(note.through);
    }
    record.name.clone_from(&place.name);
    (record.total, record.left) = (note.total, note.left);
    record.known += note.known;
    record.to_delete = note.to_delete;
    record.left_out += note.left_out.len() as u64;
    for uidl in &note.left_out_uidls {
        let seen = SeenRecord { at_ms: tx.now_ms(), left_out: true };
        tx.put(place.realm(), seen_key(place.source, Mark::Uidl(uidl)), seen.encode_to_vec());
    }
    let space = MAX_REASONS.saturating_sub(record.reasons.len());
    record.reasons.extend(note.left_out.into_iter().take(space));
    tx.put(place.realm(), remote_key(place.source, &place.raw), record.encode_to_vec());
}

/// Notes by what a message is known again.
pub(crate) fn mark_in(tx: &mut Tx<'_>, place: &Place, one: &Fetched) {
    let seen = SeenRecord { at_ms: tx.now_ms(), left_out: false }.encode_to_vec();
    let name = one.body.name_of_body();
    let mut put = |mark: Mark<'_>| tx.put(place.realm(), seen_key(place.source, mark), seen.clone());
    put(Mark::Body(&place.raw, &name));
    if let Some(uidl) = &one.uidl {
        put(Mark::Uidl(uidl));
    }
    if let Some(number) = one.gmail {
        put(Mark::Gmail(number));
    }
}

/// Whether a message was fetched before, or is here anyway. One that its owner has deleted or moved since is not fetched again.
pub(crate) fn is_known_in(
    tx: &mut Tx<'_>,
    mail: &MailStore,
    place: &Place,
    record: &mut RemoteRecord,
    one: &Fetched,
) -> Result<bool, Trouble> {
    let name = one.body.name_of_body();
    if tx.get(place.realm(), &seen_key(place.source, Mark::Body(&place.raw, &name)))?.is_some() {
        return Ok(true);
    }
    let there = mail.mailboxes_with_in(tx, place.realm(), &one.body)?;
    if there.is_empty() || place.anywhere {
        return Ok(!there.is_empty());
    }
    let local = local_in(tx, mail, place, record)?;
    Ok(there.contains(&local))
}

/// The mailbox that messages of a place go to, made if need be. One that was renamed here stays the one.
pub(crate) fn local_in(
    tx: &mut Tx<'_>,
    mail: &MailStore,
    place: &Place,
    record: &mut RemoteRecord,
) -> Result<MailboxId, MailError> {
    let realm = place.realm();
    if record.local != 0
        && let Some(mailbox) = mail.mailbox_in(tx, realm, MailboxId(record.local))?
    {
        return Ok(mailbox.id);
    }
    let (role, name) = match &place.to {
        To::Role(role, name) => (Some(*role), name),
        To::Name(name) => (None, name),
    };
    let by_role = role.map(|role| mail.mailbox_by_role_in(tx, realm, role)).transpose()?.flatten();
    let found = match by_role {
        Some(mailbox) => Some(mailbox),
        None => mail.mailbox_by_name_in(tx, realm, name)?,
    };
    let id = match found {
        Some(mailbox) => mailbox.id,
        None => {
            let id = mail.create_mailbox_in(tx, realm, name, None)?;
            mail.subscribe_in(tx, realm, name);
            id
        }
    };
    record.local = id.0;
    Ok(id)
}

/// Notes that the connection broke at a message; how often by now.
pub(crate) async fn stuck_at(store: &Store, place: &Place, uid: u32) -> Result<u32, Trouble> {
    let place = place.clone();
    store
        .transact(move |tx| {
            tx.keeps_books();
            active(tx, &place)?;
            let key = remote_key(place.source, &place.raw);
            let mut record: RemoteRecord = load(tx, place.realm(), &key)?.unwrap_or_default();
            record.stuck = if record.stuck_uid == uid { record.stuck + 1 } else { 1 };
            record.stuck_uid = uid;
            let stuck = record.stuck;
            tx.put(place.realm(), key, record.encode_to_vec());
            Ok::<_, Trouble>(stuck)
        })
        .await
}
