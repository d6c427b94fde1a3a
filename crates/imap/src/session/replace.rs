//! REPLACE (RFC 8508): a message replaces another in one commit. The arguments are parsed as for APPEND.

use mailstore::{MailboxId, NewMessage, Uid};

use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax::{MessageSet, Ranges, Replaced, SeqRange};

impl Session {
    /// The message that is to go: known before the new one comes.
    pub(super) fn replaced(&self, replaced: Replaced) -> Outcome<(MailboxId, Uid)> {
        if self.enabled.uid_only && !replaced.uid {
            let text = "UIDONLY is enabled: use UIDs, not message sequence numbers";
            return Err(Failure::Bad(Some(Code::UID_REQUIRED), text.into()));
        }
        let selected = self.writable()?;
        let range = SeqRange { start: replaced.number, end: replaced.number };
        let picked = selected.pick(replaced.uid, &MessageSet::Ranges(vec![range]))?;
        match picked.uids(&selected.known).as_slice() {
            [uid] => Ok((selected.mailbox, *uid)),
            _ => Err(Failure::no(Code::NONEXISTENT, "No such message to replace")),
        }
    }

    /// Files the new message and takes the other away.
    pub(super) async fn file_replacement(
        &mut self,
        mailbox: MailboxId,
        messages: Vec<NewMessage>,
        from: MailboxId,
        replaced: Uid,
    ) -> Outcome {
        let realm = self.realm()?;
        let Ok([message]) = <[NewMessage; 1]>::try_from(messages) else {
            return Err(Failure::bad("REPLACE requires exactly one message"));
        };
        let filed = self.door.mailstore.replace_existing(realm, mailbox, message, from, replaced).await;
        let filed = filed.map_err(|error| Failure::from(error).try_create())?;
        // Before the EXPUNGE, so that a client knows what came for what went.
        let code = Code::AppendUid(filed.uid_validity, Ranges::from_sorted([filed.uid.0]));
        self.untagged_ok(&code, "Replacement message stored");
        Ok(Done::token("REPLACE completed"))
    }
}
