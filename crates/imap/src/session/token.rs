//! How far a client knows the selected mailbox: the one place that decides which mod-sequence a session reports.
//!
//! A disconnected client reconnects with such a token and gets the changes after it (RFC 7162 section 3.2.5). So a
//! token must not cover a change that was not reported to the client. The known view is what was reported; but while
//! expunges are held back (they must not be sent in response to a command that uses message numbers), responses can
//! show `MODSEQ`s of later changes, which a client takes as its token at the end of the command. Then `HIGHESTMODSEQ`
//! states the real token (RFC 7162 section 3.2, by erratum 1810 of RFC 5162), and is sent once more when everything was
//! reported.

use mailstore::{Changes, Mailbox, ModSeq, Uid};

use super::selected::Selected;
use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::Code;

impl Selected {
    /// A `MODSEQ` is about to be written.
    pub(super) fn shows_modseq(&mut self) {
        self.shown.any = true;
    }

    /// The mod-sequence up to which the client has been told everything.
    pub(super) fn token(&self) -> ModSeq {
        ModSeq(self.known.highest_modseq().0.max(1))
    }

    /// The token to say with a tagged answer, if one is due.
    fn due(&mut self, wanted: bool) -> Option<ModSeq> {
        let shown = std::mem::take(&mut self.shown.any);
        let is_due = if self.is_behind() {
            self.shown.lowered |= shown;
            shown || wanted
        } else {
            std::mem::take(&mut self.shown.lowered) || wanted
        };
        is_due.then(|| self.token())
    }

    /// Whether a client that takes away what it knows to be `\Deleted`, as CLOSE says, has all of these changes.
    fn knows_after_close(&self, changes: &Changes) -> bool {
        let view = &self.known;
        let went = |uid: &Uid| changes.vanished.contains(*uid);
        changes.exact
            && changes.changed.is_empty()
            && (0..view.len()).all(|index| view.flags(index).deleted() == went(&view.uids()[index]))
    }
}

impl Session {
    /// Adds the token to a tagged answer where one is due: as its code, or in a line before it.
    pub(super) fn say_token(&mut self, outcome: &mut Outcome) {
        if !self.enabled.condstore {
            return;
        }
        let Some(selected) = &mut self.selected else { return };
        let wanted = matches!(outcome, Ok(Done { token: true, .. }));
        let Some(token) = selected.due(wanted) else { return };
        let code = Code::HighestModSeq(token.0);
        match outcome {
            Ok(done) if done.code.is_none() => done.code = Some(code),
            Err(Failure::Bye(..) | Failure::Gone(_)) => {}
            _ => self.untagged_ok(&code, "All changes up to here were reported"),
        }
    }

    /// The `HIGHESTMODSEQ` of a mailbox as this session may tell it: of the selected one, what it was told of it.
    pub(super) fn token_of(&self, mailbox: &Mailbox) -> ModSeq {
        match &self.selected {
            Some(selected) if selected.mailbox == mailbox.id => selected.token(),
            _ => ModSeq(mailbox.highest_modseq.0.max(1)),
        }
    }

    /// What a client knows of a mailbox after its CLOSE has taken messages away (RFC 7162 section 3.2.8). CLOSE tells
    /// nothing, so all of it, if nobody else changed anything; else what was told before.
    pub(super) fn token_after_close(&self, closed: &Selected) -> Outcome<ModSeq> {
        let known = closed.known.highest_modseq();
        let changes = self.door.mailstore.changes_since(self.realm()?, closed.mailbox, known)?;
        Ok(if closed.knows_after_close(&changes) { changes.highest_modseq } else { closed.token() })
    }
}
