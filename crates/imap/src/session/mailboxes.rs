//! CREATE, DELETE, RENAME, SUBSCRIBE, STATUS.

use mailstore::{Children, MailError, Mailbox, Role};

use super::{
    Session, asks_for_modseq,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::{Code, mailbox_name, text};
use crate::syntax::StatusItem;

impl Session {
    /// RFC 9051 section 6.3.4, RFC 6154 section 3 for `USE`, RFC 8474 for MAILBOXID.
    pub(super) async fn create(&mut self, name: &str, special_use: &[String]) -> Outcome {
        let realm = self.realm()?;
        let name = self.mailbox_name(name)?;
        let role = match special_use {
            [] => None,
            [one] => Some(role(one)?),
            _ => return Err(Failure::no(Code::USE_ATTR, "A mailbox can have only one special use")),
        };
        let id = self.door.mailstore.create_mailbox(realm, name, role).await?;
        Ok(Done::code(Code::MailboxId(id.to_string()), "CREATE completed"))
    }

    pub(super) async fn delete(&mut self, name: &str) -> Outcome {
        let realm = self.realm()?;
        let name = self.mailbox_name(name)?;
        let mailstore = self.door.mailstore.clone();
        let doomed = mailstore.mailbox_by_name(realm, &name)?;
        mailstore.delete_mailbox(realm, name, Children::Keep).await?;
        if let (Some(doomed), Ok(selected)) = (doomed, self.selected())
            && doomed.id == selected.mailbox
        {
            self.selected = None;
            self.untagged_ok(&Code::CLOSED, "The selected mailbox was deleted");
        }
        Ok(Done::text("DELETE completed"))
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Outcome {
        let realm = self.realm()?;
        let (from, to) = (self.mailbox_name(from)?, self.mailbox_name(to)?);
        self.door.mailstore.rename_mailbox(realm, from, to).await?;
        // Renaming INBOX leaves a new one behind (RFC 9051 section 6.3.6): the one selected is no more.
        if let Ok(selected) = self.selected()
            && self.door.mailstore.mailbox(realm, selected.mailbox)?.is_none()
        {
            self.selected = None;
            self.untagged_ok(&Code::CLOSED, "The selected mailbox was renamed");
        }
        Ok(Done::text("RENAME completed"))
    }

    pub(super) async fn subscribe(&mut self, name: &str, subscribed: bool) -> Outcome {
        let realm = self.realm()?;
        let name = self.mailbox_name(name)?;
        self.door.mailstore.subscribe(realm, name, subscribed).await?;
        Ok(Done::text(if subscribed { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" }))
    }

    pub(super) async fn status(&mut self, name: &str, items: &[StatusItem]) -> Outcome {
        let realm = self.realm()?;
        let name = self.mailbox_name(name)?;
        // Of the selected mailbox the client is told before what is counted here.
        self.is_behind();
        self.tell_changes(true).await?;
        let Some(mailbox) = self.door.mailstore.mailbox_by_name(realm, &name)? else {
            return Err(MailError::NoSuchMailbox(name.to_string()).into());
        };
        if asks_for_modseq(items) {
            self.enable_condstore();
        }
        self.write_status(&mailbox, items)?;
        Ok(Done::text("STATUS completed"))
    }

    /// `* STATUS name (...)`.
    pub(super) fn write_status(&mut self, mailbox: &Mailbox, items: &[StatusItem]) -> Outcome<()> {
        let recent = if items.contains(&StatusItem::Recent) && !self.enabled.rev2 {
            self.door.mailstore.count_recent(self.realm()?, mailbox)?
        } else {
            0
        };
        let limit = self.door.options.max_message_bytes;
        let token = self.token_of(mailbox).0;
        let deleted_bytes = if items.contains(&StatusItem::DeletedStorage) && mailbox.deleted > 0 {
            self.door.mailstore.deleted_bytes(self.realm()?, mailbox.id)?
        } else {
            0
        };
        let utf8 = self.enabled.utf8;
        let out = &mut self.wire.out;
        out.extend_from_slice(b"* STATUS ");
        mailbox_name::write(out, mailbox.name.as_str(), utf8);
        out.extend_from_slice(b" (");
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            let (name, value) = match item {
                StatusItem::Messages => ("MESSAGES", u64::from(mailbox.total)),
                StatusItem::Recent => ("RECENT", u64::from(recent)),
                StatusItem::UidNext => ("UIDNEXT", u64::from(mailbox.uid_next.0)),
                StatusItem::UidValidity => ("UIDVALIDITY", u64::from(mailbox.uid_validity)),
                StatusItem::Unseen => ("UNSEEN", u64::from(mailbox.unread)),
                StatusItem::Deleted => ("DELETED", u64::from(mailbox.deleted)),
                StatusItem::DeletedStorage => ("DELETED-STORAGE", deleted_bytes),
                StatusItem::Size => ("SIZE", mailbox.size),
                StatusItem::HighestModSeq => ("HIGHESTMODSEQ", token),
                StatusItem::AppendLimit => ("APPENDLIMIT", limit),
                StatusItem::MailboxId => {
                    out.extend_from_slice(format!("MAILBOXID ({})", mailbox.id).as_bytes());
                    continue;
                }
            };
            out.extend_from_slice(name.as_bytes());
            out.push(b' ');
            text::number(out, value);
        }
        out.extend_from_slice(b")\r\n");
        Ok(())
    }
}

/// The special use named, without its backslash.
fn role(name: &str) -> Outcome<Role> {
    let is = |role: &Role| role.attribute().is_some_and(|attribute| attribute[1..].eq_ignore_ascii_case(name));
    Role::ALL.into_iter().find(is).ok_or_else(|| Failure::no(Code::USE_ATTR, format!("Unknown special use \\{name}")))
}
