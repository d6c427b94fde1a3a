//! Filing into a mailbox here: the one place where a message enters an account.

use std::sync::Arc;

use bytes::Bytes;
use directory::AccountId;
use mailkit::Parsed;
use mailstore::{Appended, Flags, MailError, MailStore, MailboxId, NewMessage, Role};
use store::{StagedBody, Tx};

use crate::judge::FileInto;
use crate::schema::VerdictRecord;

/// A message as it is filed here: its body, what is put above each copy, and what was parsed of both.
#[derive(Clone)]
pub struct LocalCopy {
    body: StagedBody,
    /// The Return-Path line, or nothing.
    return_path: Bytes,
    /// The rest of what stands above every copy: the trace.
    trace: Bytes,
    /// Of a changed message: the fields between the two, instead of so many bytes of those that a verdict adds.
    changed: Option<(Bytes, u64)>,
    parsed: Arc<Parsed>,
    /// INTERNALDATE, milliseconds since 1970 UTC.
    at_ms: i64,
    delivery_key: Option<Vec<u8>>,
    ignore_quota: bool,
}

impl LocalCopy {
    /// `body` was staged of `bytes`, above which `return_path` and `trace` are put. Parses all of it; blocking.
    pub fn new(body: StagedBody, bytes: &[u8], above: [Bytes; 2], at_ms: i64) -> Self {
        if above.iter().all(Bytes::is_empty) || begins_with_a_field(bytes) {
            return Self::of_parsed(body, (bytes, &mailkit::parse(bytes)), above, at_ms);
        }
        // What does not begin with a field reads otherwise below one.
        let whole = [&above[0][..], &above[1], bytes].concat();
        Self::with(body, mailkit::parse(&whole), above, at_ms)
    }

    /// [`Self::new`] of bytes that were parsed already, as they came.
    pub fn of_parsed(body: StagedBody, (bytes, parsed): (&[u8], &Parsed), above: [Bytes; 2], at_ms: i64) -> Self {
        let added: usize = above.iter().map(Bytes::len).sum();
        if added > 0 && !begins_with_a_field(bytes) {
            return Self::new(body, bytes, above, at_ms);
        }
        Self::with(body, parsed.with_more_above(added as u64), above, at_ms)
    }

    fn with(body: StagedBody, parsed: Parsed, [return_path, trace]: [Bytes; 2], at_ms: i64) -> Self {
        Self {
            body,
            return_path,
            trace,
            changed: None,
            parsed: Arc::new(parsed),
            at_ms,
            delivery_key: None,
            ignore_quota: false,
        }
    }

    /// The same message as an account's rules changed it: the fields `above` its trace stand for the first `added_bytes` of
    /// those that the verdict adds, and `bytes`, staged as `body` if they are not those that came, stand below.
    pub fn changed(&self, above: Vec<u8>, body: Option<StagedBody>, bytes: &[u8], added_bytes: u64) -> Self {
        let whole = [&self.return_path[..], &above, &self.trace, bytes].concat();
        Self {
            body: body.unwrap_or_else(|| self.body.clone()),
            changed: Some((above.into(), added_bytes)),
            parsed: Arc::new(mailkit::parse(&whole)),
            ..self.clone()
        }
    }

    /// Filed only once under that key.
    #[must_use]
    pub fn once(mut self, delivery_key: Vec<u8>) -> Self {
        self.delivery_key = Some(delivery_key);
        self
    }

    /// Filed even into a full mailbox.
    #[must_use]
    pub fn whatever_the_quota(mut self) -> Self {
        self.ignore_quota = true;
        self
    }

    /// The copy of a recipient about whom that was decided.
    fn message(&self, verdict: &VerdictRecord) -> Result<NewMessage, MailError> {
        let added = verdict.headers.as_bytes();
        let (changed, added) = match &self.changed {
            Some((changed, instead)) => (&changed[..], &added[added.len().min(*instead as usize)..]),
            None => (&[][..], added),
        };
        let prefix = [&self.return_path[..], changed, added, &self.trace].concat();
        let body: mailstore::StagedBody = self.body.clone().into();
        Ok(NewMessage {
            body: body.under(prefix.into())?,
            parsed: if added.is_empty() {
                Arc::clone(&self.parsed)
            } else {
                Arc::new(self.parsed.with_more_above(added.len() as u64))
            },
            flags: Flags::parse(verdict.flags.iter().map(String::as_str))?,
            internal_date_ms: self.at_ms,
            delivery_key: self.delivery_key.clone(),
            ignore_quota: self.ignore_quota,
        })
    }
}

/// Whether the first thing in `bytes` is a header field: then fields above it change nothing but where it is.
fn begins_with_a_field(bytes: &[u8]) -> bool {
    mailkit::headers::fields(bytes).next().is_some_and(|field| field.raw.as_ptr() == bytes.as_ptr())
}

/// Files a message for `account`, in INBOX unless the verdict says otherwise. `versions` are the messages that its rules
/// made of it.
///
/// [`MailError::OverQuota`] is returned before anything is written to the account; after any other error the commit must
/// be abandoned.
pub fn file_local_in(
    tx: &mut Tx<'_>,
    mailstore: &MailStore,
    account: AccountId,
    (copy, versions): (&LocalCopy, &[LocalCopy]),
    verdict: &VerdictRecord,
) -> Result<Appended, MailError> {
    let realm = account.realm();
    let mailbox = mailbox_in(tx, mailstore, account, verdict.file_into(), verdict.create)?;
    let version = |number: u32| (number as usize).checked_sub(1).and_then(|at| versions.get(at)).unwrap_or(copy);
    let message = version(verdict.version).message(verdict)?;
    let appended = mailstore.append_in(tx, realm, mailbox, &message)?;
    if let Some(snooze) = &verdict.snooze {
        mailstore.note_snoozed_in(tx, realm, appended.email_id, snooze);
    }
    for (number, further) in verdict.copies.iter().enumerate() {
        let mailbox = mailbox_in(tx, mailstore, account, further.file_into(), verdict.create)?;
        // Each copy is filed once, under a key of its own. That it was filed at all was decided by the first.
        let delivery_key = message.delivery_key.as_ref().map(|key| [key, &b"/copy"[..], &[number as u8]].concat());
        let flags = Flags::parse(further.flags.iter().map(String::as_str))?;
        let message = version(further.version).message(verdict)?;
        let message = NewMessage { flags, delivery_key, ignore_quota: true, ..message };
        let copied = mailstore.append_in(tx, realm, mailbox, &message)?;
        if let Some(snooze) = &further.snooze {
            mailstore.note_snoozed_in(tx, realm, copied.email_id, snooze);
        }
    }
    Ok(appended)
}

/// The mailbox that something is filed in: INBOX where it can't be the one that is wanted.
fn mailbox_in(
    tx: &mut Tx<'_>,
    mailstore: &MailStore,
    account: AccountId,
    wanted: Option<FileInto>,
    create: bool,
) -> Result<MailboxId, MailError> {
    let realm = account.realm();
    let mailbox = match wanted {
        Some(FileInto::Role(role)) => mailbox_of_role_in(tx, mailstore, account, role)?,
        Some(FileInto::Named(name)) => match mailstore.mailbox_by_name_in(tx, realm, &name)? {
            Some(mailbox) => Some(mailbox.id),
            // Whatever is in the way, such as the limit of mailboxes, the message is not lost by it.
            None if create => mailstore.create_mailbox_in(tx, realm, &name, None).ok(),
            None => None,
        },
        None => None,
    };
    match mailbox {
        Some(mailbox) => Ok(mailbox),
        None => mailbox_of_role_in(tx, mailstore, account, Role::Inbox)?
            .ok_or_else(|| MailError::NoSuchMailbox(Role::Inbox.standard_name().to_owned())),
    }
}

/// The account's mailbox of a role, made if there is none yet; `None` if that can't be.
pub fn mailbox_of_role_in(
    tx: &mut Tx<'_>,
    mailstore: &MailStore,
    account: AccountId,
    role: Role,
) -> Result<Option<MailboxId>, MailError> {
    let realm = account.realm();
    if let Some(mailbox) = mailstore.mailbox_by_role_in(tx, realm, role)? {
        return Ok(Some(mailbox.id));
    }
    if role == Role::Snoozed {
        return mailstore.snoozed_mailbox_in(tx, realm).map(Some);
    }
    mailstore.create_standard_mailboxes_in(tx, realm)?;
    Ok(mailstore.mailbox_by_role_in(tx, realm, role)?.map(|mailbox| mailbox.id))
}
