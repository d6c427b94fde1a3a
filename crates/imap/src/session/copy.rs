//! COPY and MOVE (RFC 9051 sections 6.4.7 and 6.4.8, RFC 4315 for COPYUID).

use mailstore::{Copied, MailError, MailboxId, Uid};

use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax::{MessageSet, Ranges};

impl Session {
    pub(super) async fn copy(&mut self, tag: &str, uid: bool, set: &MessageSet, to: &str) -> Outcome {
        let realm = self.realm()?;
        let to = self.target(to)?;
        let selected = self.selected()?;
        let uids = selected.pick(uid, set)?.uids(&selected.known);
        let from = selected.mailbox;
        let mailstore = self.door.mailstore.clone();
        let copied = self.patiently(tag, mailstore.copy(realm, from, &uids, to)).await??;
        match copy_uid(&copied) {
            Some(code) => Ok(Done::code(code, "COPY completed")),
            None => nothing_there(uid, &uids, "COPY completed: no such messages"),
        }
    }

    pub(super) async fn move_(&mut self, tag: &str, uid: bool, set: &MessageSet, to: &str) -> Outcome {
        let realm = self.realm()?;
        let to = self.target(to)?;
        let selected = self.writable()?;
        let uids = selected.pick(uid, set)?.uids(&selected.known);
        let from = selected.mailbox;
        let mailstore = self.door.mailstore.clone();
        let moved = self.patiently(tag, mailstore.move_(realm, from, &uids, to)).await??;
        let Some(code) = copy_uid(&moved) else {
            return nothing_there(uid, &uids, "MOVE completed: no such messages");
        };
        // Before the EXPUNGEs, so that a client knows where its messages went (RFC 6851 section 4.3).
        self.untagged_ok(&code, "Moved");
        Ok(if self.enabled.qresync { Done::token("MOVE completed") } else { Done::text("MOVE completed") })
    }

    /// The mailbox to put messages into.
    pub(super) fn target(&self, name: &str) -> Outcome<MailboxId> {
        let name = self.mailbox_name(name)?;
        match self.door.mailstore.mailbox_by_name(self.realm()?, &name)? {
            Some(mailbox) => Ok(mailbox.id),
            None => Err(Failure::from(MailError::NoSuchMailbox(name.to_string())).try_create()),
        }
    }
}

/// The answer when none of the messages named was there. UIDs, and an empty `$` (RFC 5182 section 2.1), may name none;
/// one who names messages by number believes them to be there (RFC 2180 section 4.4).
fn nothing_there(by_uid: bool, named: &[Uid], text: &'static str) -> Outcome {
    if by_uid || named.is_empty() {
        return Ok(Done::text(text));
    }
    Err(Failure::no(Code::EXPUNGE_ISSUED, "These messages no longer exist"))
}

fn copy_uid(copied: &Copied) -> Option<Code> {
    if copied.uids.is_empty() {
        return None;
    }
    let from = Ranges::from_sorted(copied.uids.iter().map(|pair| pair.0.0));
    let to = Ranges::from_sorted(copied.uids.iter().map(|pair| pair.1.0));
    Some(Code::CopyUid(copied.uid_validity, from, to))
}
