//! Telling the client what changed in the selected mailbox.

use std::sync::Arc;

use directory::AccountRealm;
use doorkit::Wire;
use mailstore::{MailError, MailboxView, ViewDiff};

use super::selected::Selected;
use crate::{
    failure::Failure,
    session::{Session, outcome::Outcome},
};

impl Session {
    pub(super) fn selected(&self) -> Outcome<&Selected> {
        self.selected.as_deref().ok_or_else(|| Failure::bad("No mailbox selected"))
    }

    pub(super) fn selected_mut(&mut self) -> Outcome<&mut Selected> {
        self.selected.as_deref_mut().ok_or_else(|| Failure::bad("No mailbox selected"))
    }

    pub(super) fn selected_and_wire(&mut self) -> Outcome<(&mut Selected, &mut Wire)> {
        let Self { selected: Some(selected), wire, .. } = self else {
            return Err(Failure::bad("No mailbox selected"));
        };
        Ok((selected, wire))
    }

    /// The selected mailbox, if it may be changed.
    pub(super) fn writable(&self) -> Outcome<&Selected> {
        let selected = self.selected()?;
        if selected.read_only {
            return Err(Failure::no(crate::response::Code::NO_PERM, "Mailbox is read-only: it was opened by EXAMINE"));
        }
        Ok(selected)
    }

    /// Tells the client what others changed in the selected mailbox. Without `expunges` it is told nothing as long as
    /// there are messages to take away, since all numbers would have to wait with them. What can not be read now is
    /// told another time: only what ends the connection comes back as an error.
    pub(super) async fn tell_changes(&mut self, expunges: bool) -> Outcome<()> {
        match self.try_to_tell(expunges).await {
            Err(failure @ (Failure::No(..) | Failure::Bad(..))) => {
                tracing::warn!(?failure, "could not read the changes of a mailbox");
                Ok(())
            }
            other => other,
        }
    }

    pub(super) async fn try_to_tell(&mut self, expunges: bool) -> Outcome<()> {
        let realm = self.realm()?;
        let Self { selected: Some(selected), wire, enabled, door, .. } = self else { return Ok(()) };
        // A closed channel means that the store is stopping; commands will say so.
        if !selected.behind && !selected.changes.has_changed() {
            return Ok(());
        }
        // Marked as seen before it is read: what comes in between is told next time.
        selected.changes.mark_seen();
        let newer = match door.mailstore.view(realm, selected.mailbox) {
            Ok(view) => view,
            Err(MailError::MailboxGone(_)) => {
                return Err(Failure::Bye(
                    Some(crate::response::Code::NONEXISTENT),
                    "The selected mailbox was deleted".into(),
                ));
            }
            Err(error) => {
                selected.behind = true;
                return Err(error.into());
            }
        };
        selected.behind = false;
        if Arc::ptr_eq(&newer, &selected.known) {
            return Ok(());
        }
        selected.take_recent(&door.mailstore, realm, &newer, enabled.rev2)?;
        let diff = selected.known.diff(&newer);
        if !diff.vanished.is_empty() && !expunges {
            selected.behind = true;
            return Ok(());
        }
        if selected.contexts.is_empty() {
            selected.tell(&newer, diff, *enabled, &mut wire.out);
            return Ok(());
        }
        Box::pin(self.tell_with_contexts(realm, newer, diff)).await
    }

    /// Tells with the changes of the mailbox those of results that are kept up to date: what goes as long as its numbers
    /// hold, what comes once it has numbers (RFC 5267 sections 4.3.3 and 4.3.4).
    pub(super) async fn tell_with_contexts(
        &mut self,
        realm: AccountRealm,
        newer: Arc<MailboxView>,
        diff: ViewDiff,
    ) -> Outcome<()> {
        let updates = self.context_updates(realm, &newer, &diff).await?;
        let Self { selected: Some(selected), wire, enabled, .. } = self else { return Ok(()) };
        updates.write_removed(&selected.known, *enabled, &mut wire.out);
        selected.tell(&newer, diff, *enabled, &mut wire.out);
        updates.write_added(&newer, *enabled, &mut wire.out);
        for (tag, reason) in updates.refused() {
            self.no_update(tag, reason);
        }
        Ok(())
    }
}

impl Session {
    /// This session has written, or was told that others have: what is known may be old.
    pub(super) fn is_behind(&mut self) {
        if let Some(selected) = &mut self.selected {
            selected.behind = true;
        }
    }
}
