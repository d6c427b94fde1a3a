//! The messages of a session: those that were in INBOX at login, numbered from 1.

use directory::AccountRealm;
use mailstore::{EmailId, MailError, MailStore, MailboxId, Role, Uid};

use crate::command::Number;

/// A message of the session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) uid: Uid,
    pub(crate) email: EmailId,
    /// In bytes.
    pub(crate) size: u64,
    deleted: bool,
    retrieved: bool,
}

/// INBOX at the time of login, and the client's changes. 24 bytes per message.
#[derive(Debug)]
pub(crate) struct Maildrop {
    account: AccountRealm,
    mailbox: MailboxId,
    uid_validity: u32,
    messages: Vec<Message>,
}

/// The work of QUIT.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) account: AccountRealm,
    pub(crate) mailbox: MailboxId,
    pub(crate) expunge: Vec<Uid>,
    pub(crate) mark_seen: Vec<Uid>,
}

impl Maildrop {
    /// Reads INBOX: all its messages, so call it from a blocking thread.
    ///
    /// # Errors
    /// Those of the mail store; [`MailError::NoSuchMailbox`] for an account without INBOX.
    pub(crate) fn open(mail: &MailStore, account: AccountRealm) -> Result<Self, MailError> {
        let inbox =
            mail.mailbox_by_role(account, Role::Inbox)?.ok_or_else(|| MailError::NoSuchMailbox("INBOX".to_owned()))?;
        let view = mail.view(account, inbox.id)?;
        let messages = mail
            .entries(account, inbox.id, view.uids())?
            .into_iter()
            .map(|entry| Message {
                uid: entry.uid,
                email: entry.email_id,
                size: entry.size,
                deleted: false,
                retrieved: false,
            })
            .collect();
        Ok(Self { account, mailbox: inbox.id, uid_validity: view.uid_validity(), messages })
    }

    pub(crate) const fn account(&self) -> AccountRealm {
        self.account
    }

    /// The messages that are not deleted, with their numbers.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (Number, &Message)> {
        (1..).zip(&self.messages).filter(|(_, message)| !message.deleted)
    }

    /// How many are not deleted, and their bytes.
    pub(crate) fn total(&self) -> (usize, u64) {
        self.messages().fold((0, 0), |(count, bytes), (_, message)| (count + 1, bytes + message.size))
    }

    fn at(&mut self, number: Number) -> Option<&mut Message> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.messages.get_mut(index).filter(|message| !message.deleted)
    }

    /// A message, unless it is deleted or never was.
    pub(crate) fn message(&self, number: Number) -> Option<Message> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.messages.get(index).filter(|message| !message.deleted).copied()
    }

    /// The message's name for ever: no two messages that are or were in this INBOX have the same.
    pub(crate) fn unique_id(&self, message: &Message) -> String {
        format!("{:08x}{:08x}", self.uid_validity, message.uid.0)
    }

    /// Marks a message as deleted; false when it is not there.
    pub(crate) fn delete(&mut self, number: Number) -> bool {
        self.at(number).is_some_and(|message| {
            message.deleted = true;
            true
        })
    }

    /// Notes that a message was sent as a whole.
    pub(crate) fn note_retrieved(&mut self, number: Number) {
        if let Some(message) = self.at(number) {
            message.retrieved = true;
        }
    }

    /// Takes all deletions back.
    pub(crate) fn reset(&mut self) {
        for message in &mut self.messages {
            message.deleted = false;
        }
    }

    /// The work of QUIT.
    pub(crate) fn update(&self) -> Update {
        let uids = |wanted: fn(&Message) -> bool| {
            self.messages.iter().filter(|message| wanted(message)).map(|message| message.uid).collect()
        };
        Update {
            account: self.account,
            mailbox: self.mailbox,
            expunge: uids(|message| message.deleted),
            mark_seen: uids(|message| message.retrieved && !message.deleted),
        }
    }

    /// One with messages of these sizes.
    #[cfg(test)]
    pub(crate) fn of_sizes(sizes: &[u64]) -> Self {
        let message = |(uid, size): (u32, &u64)| Message {
            uid: Uid(uid),
            email: EmailId(uid.into()),
            size: *size,
            deleted: false,
            retrieved: false,
        };
        let messages = (1..).zip(sizes).map(message).collect();
        Self { account: directory::AccountId(1).realm(), mailbox: MailboxId(1), uid_validity: 9, messages }
    }
}
