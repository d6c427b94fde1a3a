//! Adding a message.

use std::sync::Arc;

use bytes::Bytes;
use mailkit::{Envelope, Parsed};
use prost::Message;
use store::{RealmId, Tx};

use crate::mailbox::{counters_of, mailbox_record, state_of};
use crate::schema::{
    self, DAY_MS, DELIVERY_KEY_DAYS, DeliveryRecord, EmailRecord, EntryRecord, MAX_DELIVERY_KEY_BYTES, key,
};
use crate::{
    EmailId, Flags, MAX_ROWS_PER_COMMIT, MailError, MailStore, MailboxId, ModSeq, Result, StagedBody, ThreadId, Uid,
    threads,
};

/// A message to be filed. Parse and stage before; nothing of that is done within the commit.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The bytes, staged by [`MailStore::stage`] or [`MailStore::stage_writer`]. A message to many accounts is staged
    /// once and its `StagedBody` cloned; what differs lies in its prefix ([`StagedBody::under`]).
    pub body: StagedBody,
    /// `mailkit::parse` of the bytes, the prefix included.
    pub parsed: Arc<Parsed>,
    /// With which flags.
    pub flags: Flags,
    /// INTERNALDATE, milliseconds since 1970 UTC.
    pub internal_date_ms: i64,
    /// What names this delivery, at most [`crate::schema::MAX_DELIVERY_KEY_BYTES`]: a second append with the same key
    /// in the account files nothing and returns what the first one did, for at least
    /// [`crate::schema::DELIVERY_KEY_DAYS`] days.
    pub delivery_key: Option<Vec<u8>>,
    /// File it even if the quota is used up: for what must not be lost, such as the copy of a sent message.
    pub ignore_quota: bool,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// In which mailbox.
    pub mailbox: MailboxId,
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// Its UID there.
    pub uid: Uid,
    /// Its identity in the account.
    pub email_id: EmailId,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// MODSEQ that it got.
    pub modseq: ModSeq,
    /// The delivery key was seen before: nothing was written, and the rest tells what was, at that time.
    pub duplicate: bool,
}

impl MailStore {
    /// File a message. Quick: about a dozen key writes, no body is read.
    ///
    /// # Errors
    /// [`crate::MailError::MailboxGone`], [`crate::MailError::OverQuota`], [`crate::MailError::OutOfUids`].
    pub fn append_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        mailbox: MailboxId,
        message: &NewMessage,
    ) -> Result<Appended> {
        let keep_days = DELIVERY_KEY_DAYS;
        self.append_keeping_key(tx, account, mailbox, message, keep_days)
    }

    /// [`Self::append_in`], remembering the delivery key for so many days.
    pub(crate) fn append_keeping_key(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        mailbox: MailboxId,
        message: &NewMessage,
        keep_days: i64,
    ) -> Result<Appended> {
        let delivery = match &message.delivery_key {
            Some(key) if key.len() > MAX_DELIVERY_KEY_BYTES => {
                return Err(MailError::TooLarge { what: "a delivery key", limit: MAX_DELIVERY_KEY_BYTES as u64 });
            }
            Some(key) => Some(key::delivery(blake3::hash(key).as_bytes())),
            None => None,
        };
        if let Some(key) = &delivery
            && let Some(done) = schema::load::<DeliveryRecord, _>(tx, account, key)?
        {
            return Ok(done.appended());
        }
        let uid_validity = mailbox_record(tx, account, mailbox)?.uid_validity;
        let size = message.body.len();
        let mut state = state_of(tx, account)?;
        if !message.ignore_quota
            && let Some(limit) = self.quota_limit(account)
            && state.used_bytes.saturating_add(size) > limit
        {
            return Err(MailError::OverQuota { used: state.used_bytes, limit, needed: size });
        }
        state.last_email += 1;
        state.used_bytes += size;
        state.emails += 1;
        let email_id = EmailId(state.last_email);
        schema::save(tx, account, key::state(), &state);

        let body = message.body.body.id();
        let email = EmailRecord {
            body: Bytes::copy_from_slice(body.as_bytes()),
            size,
            filed_ms: tx.now_ms(),
            parsed: encode_parsed(&message.parsed).into(),
            prefix: message.body.prefix.clone(),
        };
        schema::save(tx, account, key::email(email_id), &email);
        tx.ref_body(account, &body, &email_id.0.to_be_bytes());

        let thread_id = threads::find(tx, account, email_id, &threads::hashes(&message.parsed))?;
        let modseq = ModSeq::from(tx.next_realm_seq(account));
        let entry = EntryRecord {
            email: email_id.0,
            thread: thread_id.0,
            modseq: modseq.0,
            internal_date_ms: message.internal_date_ms,
            size,
            system: message.flags.system_bits(),
            keywords: message.flags.keyword_names(),
            has_attachment: message.parsed.has_attachment,
            saved_ms: 0,
        };
        let uid = Self::add_entries(tx, account, mailbox, &[entry])?[0];
        let appended = Appended { mailbox, uid_validity, uid, email_id, thread_id, modseq, duplicate: false };
        if let Some(key) = delivery {
            let keep_until_ms = tx.now_ms().saturating_add(keep_days * DAY_MS);
            schema::save(tx, account, key, &DeliveryRecord::new(&appended, keep_until_ms));
        }
        Ok(appended)
    }

    /// Write entries with their indexes into a mailbox; their emails are there already. Gives the UIDs they got.
    pub(crate) fn add_entries(
        tx: &mut Tx<'_>,
        account: RealmId,
        mailbox: MailboxId,
        entries: &[EntryRecord],
    ) -> Result<Vec<Uid>> {
        let mut counters = counters_of(tx, account, mailbox)?;
        let modseq = ModSeq::from(tx.next_realm_seq(account));
        let mut uids = Vec::with_capacity(entries.len());
        for entry in entries {
            // The largest number can not be handed out: UIDNEXT must still name one.
            if counters.last_uid >= u32::MAX - 1 {
                return Err(MailError::OutOfUids(mailbox));
            }
            counters.last_uid += 1;
            counters.count(entry, 1);
            let uid = Uid(counters.last_uid);
            let entry = EntryRecord { modseq: modseq.0, saved_ms: tx.now_ms(), ..entry.clone() };
            schema::save(tx, account, key::entry(mailbox, uid), &entry);
            tx.put(account, key::place(EmailId(entry.email), mailbox, uid), Vec::new());
            tx.put(account, key::by_modseq(mailbox, modseq, uid), Vec::new());
            threads::join(tx, account, mailbox, uid, &entry)?;
            uids.push(uid);
        }
        counters.highest_modseq = modseq.0;
        schema::save(tx, account, key::counters(mailbox), &counters);
        Ok(uids)
    }

    /// [`Self::append_in`] as a commit of its own. When it returns the message is durable.
    pub async fn append(&self, account: RealmId, mailbox: MailboxId, message: NewMessage) -> Result<Appended> {
        // Held until the commit is durable, so that the bytes stay staged as long.
        let _body = message.body.clone();
        let appended = self.commit(move |this, tx| this.append_in(tx, account, mailbox, &message)).await?;
        metrics::counter!("holdfast_mailstore_appends_total", "duplicate" => if appended.duplicate { "yes" } else { "no" })
            .increment(1);
        Ok(appended)
    }
}

impl MailStore {
    /// File a message and take another away from `from`, whatever its flags, in one commit (RFC 8508): no moment has both
    /// or neither. What the other leaves free counts for the quota.
    ///
    /// # Errors
    /// As [`Self::append_in`]; [`MailError::NoSuchMessage`] if the other is gone.
    pub async fn replace_existing(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        message: NewMessage,
        from: MailboxId,
        replaced: Uid,
    ) -> Result<Appended> {
        // Held until the commit is durable, so that the bytes stay staged as long.
        let _body = message.body.clone();
        let appended = self
            .commit(move |this, tx| {
                let gone = || MailError::NoSuchMessage { mailbox: from, uid: replaced };
                let old: EntryRecord = schema::load(tx, account, &key::entry(from, replaced))?.ok_or_else(gone)?;
                let is_last = schema::rows(tx, account, &key::places(EmailId(old.email)), 2)?.len() == 1;
                let freed = if is_last { old.size } else { 0 };
                let (used, needed) = (state_of(tx, account)?.used_bytes, message.body.len());
                if !message.ignore_quota
                    && let Some(limit) = this.quota_limit(account)
                    && used.saturating_sub(freed).saturating_add(needed) > limit
                {
                    return Err(MailError::OverQuota { used, limit, needed });
                }
                // The new one first, so that its conversation lives on.
                let message = NewMessage { ignore_quota: true, ..message };
                let appended = this.append_in(tx, account, mailbox, &message)?;
                this.expunge_in(tx, account, from, &[replaced])?;
                Ok(appended)
            })
            .await?;
        metrics::counter!("holdfast_mailstore_appends_total", "duplicate" => "no").increment(1);
        Ok(appended)
    }

    /// [`Self::append`] for several messages, at most [`crate::MAX_ROWS_PER_COMMIT`]: all are filed, in their order, or
    /// none (RFC 3502 section 6.3.11).
    ///
    /// # Errors
    /// As [`Self::append_in`]; [`MailError::TooLarge`] for more messages.
    pub async fn append_all(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Appended>> {
        if messages.len() > MAX_ROWS_PER_COMMIT {
            return Err(MailError::TooLarge { what: "the number of messages", limit: MAX_ROWS_PER_COMMIT as u64 });
        }
        // Held until the commit is durable, so that the bytes stay staged as long.
        let _bodies: Vec<StagedBody> = messages.iter().map(|message| message.body.clone()).collect();
        let count = messages.len() as u64;
        let appended = self
            .commit(move |this, tx| {
                messages.iter().map(|message| this.append_in(tx, account, mailbox, message)).collect::<Result<Vec<_>>>()
            })
            .await?;
        metrics::counter!("holdfast_mailstore_appends_total", "duplicate" => "no").increment(count);
        Ok(appended)
    }
}

/// Largest stored form of what was parsed; a value of the store holds it with room to spare.
const MAX_PARSED_BYTES: usize = 900 * 1024;

/// What was parsed, in its stored form. The parser has limits of its own, far below; should they grow, what is least
/// missed goes first: no message is refused for its envelope.
fn encode_parsed(parsed: &Parsed) -> Vec<u8> {
    let bytes = parsed.encode_to_vec();
    if bytes.len() <= MAX_PARSED_BYTES {
        return bytes;
    }
    let mut parsed = Parsed { truncated: true, ..parsed.clone() };
    parsed.envelope = Envelope::default();
    for list in [&mut parsed.to, &mut parsed.cc, &mut parsed.bcc, &mut parsed.reply_to] {
        list.truncate(100);
    }
    let bytes = parsed.encode_to_vec();
    if bytes.len() <= MAX_PARSED_BYTES {
        return bytes;
    }
    parsed.root.parts.clear();
    parsed.references.clear();
    parsed.encode_to_vec()
}

impl DeliveryRecord {
    fn new(appended: &Appended, keep_until_ms: i64) -> Self {
        Self {
            mailbox: appended.mailbox.0,
            uid_validity: appended.uid_validity,
            uid: appended.uid.0,
            email: appended.email_id.0,
            thread: appended.thread_id.0,
            modseq: appended.modseq.0,
            keep_until_ms,
        }
    }

    fn appended(&self) -> Appended {
        Appended {
            mailbox: MailboxId(self.mailbox),
            uid_validity: self.uid_validity,
            uid: Uid(self.uid),
            email_id: EmailId(self.email),
            thread_id: ThreadId(self.thread),
            modseq: ModSeq(self.modseq),
            duplicate: true,
        }
    }
}
