//! Mailboxes: made, listed, renamed, subscribed to, deleted.

use store::{Read, RealmId, Tx};

use crate::role::Role;
use crate::schema::{self, Counters, MailboxRecord, State, key};
use crate::{MAX_MAILBOXES, MailError, MailStore, MailboxId, MailboxName, ModSeq, Result, Uid};

/// A mailbox and its counts, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its identity; stays when it is renamed.
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// What it is for.
    pub role: Option<Role>,
    /// UIDVALIDITY: unique within the account, for ever.
    pub uid_validity: u32,
    /// UIDNEXT: the UID that the next message gets, or a larger one.
    pub uid_next: Uid,
    /// HIGHESTMODSEQ: of the latest change to the mailbox's messages, expunges included.
    pub highest_modseq: ModSeq,
    /// How many messages there are.
    pub total: u32,
    /// How many of them are not `\Seen`.
    pub unread: u32,
    /// How many of them are `\Deleted`.
    pub deleted: u32,
    /// The sum of their sizes, in bytes.
    pub size: u64,
    /// Whether its name is subscribed to.
    pub subscribed: bool,
}

impl MailStore {
    /// All mailboxes: INBOX first, the others by name.
    pub fn mailboxes(&self, account: RealmId) -> Result<Vec<Mailbox>> {
        self.mailboxes_in(&self.store().snapshot(), account)
    }

    /// [`Self::mailboxes`] as `read` sees them.
    pub fn mailboxes_in<R: Read + ?Sized>(&self, read: &R, account: RealmId) -> Result<Vec<Mailbox>> {
        let mut mailboxes = Vec::new();
        for (key, value) in schema::rows(read, account, &[key::NAME], MAX_MAILBOXES)? {
            let id = MailboxId(u32::from_be_bytes(schema::number(&key, &value)?));
            mailboxes.push(self.mailbox_in(read, account, id)?.ok_or_else(|| {
                MailError::damaged(
                    store::Cause::Reference,
                    format!("the name at {key:02x?} leads to mailbox {id}, which does not exist"),
                )
            })?);
        }
        mailboxes.sort_by_key(|mailbox| !mailbox.name.is_inbox());
        Ok(mailboxes)
    }

    /// The mailbox `id`, if it is still there.
    pub fn mailbox(&self, account: RealmId, id: MailboxId) -> Result<Option<Mailbox>> {
        self.mailbox_in(&self.store().snapshot(), account, id)
    }

    /// [`Self::mailbox`] as `read` sees it.
    pub fn mailbox_in<R: Read + ?Sized>(&self, read: &R, account: RealmId, id: MailboxId) -> Result<Option<Mailbox>> {
        let Some(record) = schema::load::<MailboxRecord, _>(read, account, &key::mailbox(id))? else {
            return Ok(None);
        };
        let counters = counters_of(read, account, id)?;
        let subscribed = read.get(account, &key::subscription(&record.name))?.is_some();
        Ok(Some(Mailbox {
            id,
            name: MailboxName::from_stored(record.name),
            role: Role::from_number(record.role),
            uid_validity: record.uid_validity,
            uid_next: Uid(counters.last_uid.saturating_add(1)),
            highest_modseq: ModSeq(counters.highest_modseq),
            total: counters.total,
            unread: counters.unread,
            deleted: counters.deleted,
            size: counters.size,
            subscribed,
        }))
    }

    /// The mailbox of that name.
    pub fn mailbox_by_name(&self, account: RealmId, name: &MailboxName) -> Result<Option<Mailbox>> {
        self.mailbox_by_name_in(&self.store().snapshot(), account, name)
    }

    /// [`Self::mailbox_by_name`] as `read` sees it.
    pub fn mailbox_by_name_in<R: Read + ?Sized>(
        &self,
        read: &R,
        account: RealmId,
        name: &MailboxName,
    ) -> Result<Option<Mailbox>> {
        match id_at(read, account, &key::name(name.as_str()))? {
            Some(id) => self.mailbox_in(read, account, id),
            None => Ok(None),
        }
    }

    /// The mailbox that has `role`.
    pub fn mailbox_by_role(&self, account: RealmId, role: Role) -> Result<Option<Mailbox>> {
        self.mailbox_by_role_in(&self.store().snapshot(), account, role)
    }

    /// [`Self::mailbox_by_role`] as `read` sees it.
    pub fn mailbox_by_role_in<R: Read + ?Sized>(
        &self,
        read: &R,
        account: RealmId,
        role: Role,
    ) -> Result<Option<Mailbox>> {
        match id_at(read, account, &key::role(role.number()))? {
            Some(id) => self.mailbox_in(read, account, id),
            None => Ok(None),
        }
    }

    /// Names subscribed to, also of mailboxes that are no more (RFC 9051 §6.3.7), sorted.
    pub fn subscriptions(&self, account: RealmId) -> Result<Vec<MailboxName>> {
        let rows = schema::rows(&self.store().snapshot(), account, &[key::SUBSCRIPTION], usize::MAX)?;
        rows.iter().map(|(key, _)| name_in(key)).collect()
    }

    /// Make those of the standard mailboxes (one for each of [`Role::STANDARD`]) that the account does not have yet, subscribed.
    /// A mailbox that has the name already gets the role.
    pub fn create_standard_mailboxes_in(&self, tx: &mut Tx<'_>, account: RealmId) -> Result<()> {
        for role in Role::STANDARD {
            if id_at(tx, account, &key::role(role.number()))?.is_some() {
                continue;
            }
            let name = MailboxName::from_stored(role.standard_name().to_owned());
            match id_at(tx, account, &key::name(name.as_str()))? {
                Some(id) => self.set_role_in(tx, account, id, Some(role))?,
                None => _ = self.create_mailbox_in(tx, account, &name, Some(role))?,
            }
            tx.put(account, key::subscription(name.as_str()), Vec::new());
        }
        Ok(())
    }

    /// [`Self::create_standard_mailboxes_in`] as a commit of its own.
    pub async fn create_standard_mailboxes(&self, account: RealmId) -> Result<()> {
        self.commit(move |this, tx| this.create_standard_mailboxes_in(tx, account)).await
    }

    /// Make a mailbox, and those above it that are not there yet.
    ///
    /// # Errors
    /// [`MailError::MailboxExists`], [`MailError::TooManyMailboxes`], [`MailError::RoleTaken`].
    pub fn create_mailbox_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        name: &MailboxName,
        role: Option<Role>,
    ) -> Result<MailboxId> {
        if tx.get(account, &key::name(name.as_str()))?.is_some() {
            return Err(MailError::MailboxExists(name.to_string()));
        }
        Self::create_superiors(tx, account, name)?;
        Self::create_one(tx, account, name, role)
    }

    /// [`Self::create_mailbox_in`] as a commit of its own.
    pub async fn create_mailbox(&self, account: RealmId, name: MailboxName, role: Option<Role>) -> Result<MailboxId> {
        self.commit(move |this, tx| this.create_mailbox_in(tx, account, &name, role)).await
    }

    /// Give a mailbox a role, or take it away.
    ///
    /// # Errors
    /// [`MailError::RoleTaken`]; [`MailError::Forbidden`] for INBOX, whose role is fixed.
    pub fn set_role_in(&self, tx: &mut Tx<'_>, account: RealmId, id: MailboxId, role: Option<Role>) -> Result<()> {
        let mut record = mailbox_record(tx, account, id)?;
        let old = Role::from_number(record.role);
        if old == role {
            return Ok(());
        }
        if old == Some(Role::Inbox) || (role == Some(Role::Inbox) && record.name != "INBOX") {
            return Err(MailError::Forbidden("INBOX is always the inbox"));
        }
        if let Some(old) = old {
            tx.delete(account, key::role(old.number()));
        }
        claim_role(tx, account, id, role)?;
        record.role = role.map_or(0, |role| u32::from(role.number()));
        schema::save(tx, account, key::mailbox(id), &record);
        Ok(())
    }

    /// [`Self::set_role_in`] as a commit of its own.
    pub async fn set_role(&self, account: RealmId, id: MailboxId, role: Option<Role>) -> Result<()> {
        self.commit(move |this, tx| this.set_role_in(tx, account, id, role)).await
    }

    /// Subscribe to a mailbox that was just made.
    pub fn subscribe_in(&self, tx: &mut Tx<'_>, account: RealmId, name: &MailboxName) {
        tx.put(account, key::subscription(name.as_str()), Vec::new());
    }

    /// Subscribe to a name or end it. The name need not be a mailbox.
    ///
    /// # Errors
    /// [`MailError::TooLarge`] beyond twice [`MAX_MAILBOXES`] subscriptions.
    pub async fn subscribe(&self, account: RealmId, name: MailboxName, subscribed: bool) -> Result<()> {
        self.commit(move |_, tx| {
            let key = key::subscription(name.as_str());
            if !subscribed {
                tx.delete(account, key);
                return Ok(());
            }
            let limit = 2 * MAX_MAILBOXES;
            if schema::rows(tx, account, &[key::SUBSCRIPTION], limit)?.len() >= limit {
                return Err(MailError::TooLarge { what: "the number of subscriptions", limit: limit as u64 });
            }
            tx.put(account, key, Vec::new());
            Ok(())
        })
        .await
    }

    pub(crate) fn create_superiors(tx: &mut Tx<'_>, account: RealmId, name: &MailboxName) -> Result<()> {
        for superior in name.ancestors() {
            if tx.get(account, &key::name(superior.as_str()))?.is_none() {
                Self::create_one(tx, account, &superior, None)?;
            }
        }
        Ok(())
    }

    pub(crate) fn create_one(
        tx: &mut Tx<'_>,
        account: RealmId,
        name: &MailboxName,
        role: Option<Role>,
    ) -> Result<MailboxId> {
        let mut state = state_of(tx, account)?;
        if state.mailboxes as usize >= MAX_MAILBOXES {
            return Err(MailError::TooManyMailboxes(MAX_MAILBOXES));
        }
        let role = if name.is_inbox() { Some(Role::Inbox) } else { role };
        if role == Some(Role::Inbox) && !name.is_inbox() {
            return Err(MailError::Forbidden("only the mailbox named INBOX can be the inbox"));
        }
        state.mailboxes += 1;
        state.last_mailbox += 1;
        // Larger than any before in this account, and than any that a lost later state may have given out.
        let now_s = u32::try_from(tx.now_ms() / 1000).unwrap_or(u32::MAX);
        state.last_uid_validity = state.last_uid_validity.saturating_add(1).max(now_s);
        let id = MailboxId(state.last_mailbox);
        claim_role(tx, account, id, role)?;
        let record = MailboxRecord {
            name: name.to_string(),
            role: role.map_or(0, |role| u32::from(role.number())),
            uid_validity: state.last_uid_validity,
            created_ms: tx.now_ms(),
        };
        let modseq = tx.next_realm_seq(account).0;
        // Nothing was expunged before now: the history is complete from here.
        let counters = Counters { highest_modseq: modseq, vanished_floor: modseq, ..Counters::default() };
        schema::save(tx, account, key::state(), &state);
        schema::save(tx, account, key::mailbox(id), &record);
        schema::save(tx, account, key::counters(id), &counters);
        tx.put(account, key::name(name.as_str()), id.0.to_be_bytes().to_vec());
        Ok(id)
    }
}

/// The account's counters; all zero for an account that has no mail yet.
pub(crate) fn state_of<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<State> {
    Ok(schema::load(read, account, &key::state())?.unwrap_or_default())
}

/// A mailbox's counts.
///
/// # Errors
/// [`MailError::MailboxGone`].
pub(crate) fn counters_of<R: Read + ?Sized>(read: &R, account: RealmId, id: MailboxId) -> Result<Counters> {
    schema::load(read, account, &key::counters(id))?.ok_or(MailError::MailboxGone(id))
}

pub(crate) fn mailbox_record<R: Read + ?Sized>(read: &R, account: RealmId, id: MailboxId) -> Result<MailboxRecord> {
    schema::load(read, account, &key::mailbox(id))?.ok_or(MailError::MailboxGone(id))
}

pub(crate) fn id_at<R: Read + ?Sized>(read: &R, account: RealmId, key: &[u8]) -> Result<Option<MailboxId>> {
    let value = read.get(account, key)?;
    value.map(|value| schema::number(key, &value).map(|id| MailboxId(u32::from_be_bytes(id)))).transpose()
}

pub(crate) fn name_in(key: &[u8]) -> Result<MailboxName> {
    let name = std::str::from_utf8(&key[1..])
        .map_err(|_| MailError::damaged(store::Cause::Decoding, format!("the name in {key:02x?}")))?;
    Ok(MailboxName::from_stored(name.to_owned()))
}

fn claim_role(tx: &mut Tx<'_>, account: RealmId, id: MailboxId, role: Option<Role>) -> Result<()> {
    if let Some(role) = role {
        let key = key::role(role.number());
        if tx.get(account, &key)?.is_some() {
            return Err(MailError::RoleTaken(role));
        }
        tx.put(account, key, id.0.to_be_bytes().to_vec());
    }
    Ok(())
}
