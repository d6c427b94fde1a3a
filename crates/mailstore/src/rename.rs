//! Renaming mailboxes.

use store::{Read, RealmId, Tx};

use crate::mailbox::{id_at, mailbox_record, name_in};
use crate::schema::{self, key};
use crate::{MAX_MAILBOXES, MailError, MailStore, MailboxId, MailboxName, Result, Role};

impl MailStore {
    /// Give a mailbox another name; those below it move along, and so do subscriptions. Mailboxes above the new name
    /// are made if needed. `from` may be a mere level that has mailboxes below it. Renaming INBOX moves its messages
    /// to the new mailbox and leaves INBOX empty, with those below it where they are (RFC 9051 §6.3.6); INBOX then has
    /// a new id and UIDVALIDITY.
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`], [`MailError::MailboxExists`], [`MailError::BadName`] if a name below gets too
    /// long, [`MailError::Forbidden`] for a move below itself.
    pub fn rename_mailbox_in(
        &self,
        tx: &mut Tx<'_>,
        account: RealmId,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<()> {
        if tx.get(account, &key::name(to.as_str()))?.is_some() {
            return Err(MailError::MailboxExists(to.to_string()));
        }
        if from.is_inbox() {
            return Self::rename_inbox(tx, account, to);
        }
        if to.is_below(from) || from == to {
            return Err(MailError::Forbidden("a mailbox can't be moved into itself"));
        }
        let mut moving = Vec::new();
        if let Some(id) = id_at(tx, account, &key::name(from.as_str()))? {
            moving.push((from.clone(), id));
        }
        let below = key::name(&format!("{from}/"));
        for (key, value) in schema::rows(tx, account, &below, MAX_MAILBOXES)? {
            moving.push((name_in(&key)?, MailboxId(u32::from_be_bytes(schema::number(&key, &value)?))));
        }
        if moving.is_empty() {
            return Err(MailError::NoSuchMailbox(from.to_string()));
        }
        let mut renamed = Vec::new();
        for (old, id) in moving {
            let new = MailboxName::new(&old.moved(from, to).unwrap_or_default())?;
            if tx.get(account, &key::name(new.as_str()))?.is_some() {
                return Err(MailError::MailboxExists(new.to_string()));
            }
            renamed.push((old, new, id));
        }
        for (old, new, id) in &renamed {
            let mut record = mailbox_record(tx, account, *id)?;
            new.as_str().clone_into(&mut record.name);
            schema::save(tx, account, key::mailbox(*id), &record);
            tx.delete(account, key::name(old.as_str()));
            tx.put(account, key::name(new.as_str()), id.0.to_be_bytes().to_vec());
            if tx.get(account, &key::subscription(old.as_str()))?.is_some() {
                tx.delete(account, key::subscription(old.as_str()));
                tx.put(account, key::subscription(new.as_str()), Vec::new());
            }
        }
        Self::create_superiors(tx, account, to)
    }

    /// [`Self::rename_mailbox_in`] as a commit of its own.
    pub async fn rename_mailbox(&self, account: RealmId, from: MailboxName, to: MailboxName) -> Result<()> {
        self.commit(move |this, tx| this.rename_mailbox_in(tx, account, &from, &to)).await
    }

    /// INBOX's mailbox becomes `to` as it is, and a new one takes its place: one small commit, whatever its size.
    fn rename_inbox(tx: &mut Tx<'_>, account: RealmId, to: &MailboxName) -> Result<()> {
        let inbox = MailboxName::inbox();
        let id = id_at(tx, account, &key::name(inbox.as_str()))?
            .ok_or_else(|| MailError::NoSuchMailbox(inbox.to_string()))?;
        let mut record = mailbox_record(tx, account, id)?;
        to.as_str().clone_into(&mut record.name);
        record.role = 0;
        schema::save(tx, account, key::mailbox(id), &record);
        tx.delete(account, key::name(inbox.as_str()));
        tx.delete(account, key::role(Role::Inbox.number()));
        tx.put(account, key::name(to.as_str()), id.0.to_be_bytes().to_vec());
        Self::create_superiors(tx, account, to)?;
        Self::create_one(tx, account, &inbox, Some(Role::Inbox))?;
        Ok(())
    }
}
