//! SELECT, EXAMINE, CLOSE, EXPUNGE.

use mailstore::{Mailbox, MailboxView, ModSeq, Uid, UidSet};

use super::selected::{Selected, recent_of, write_flag_lists, write_flags_fetch};
use super::{Done, Outcome, Session};
use crate::failure::Failure;
use crate::response::{Code, mailbox_name, text};
use crate::syntax::{MessageSet, Qresync, Select};

impl Session {
    /// RFC 9051 sections 6.3.2 and 6.3.3, RFC 7162 for the parameters.
    pub(super) async fn select(&mut self, select: Select) -> Outcome {
        if select.qresync.is_some() && !self.enabled.qresync {
            return Err(Failure::bad("ENABLE QRESYNC first"));
        }
        if self.leave_mailbox() {
            self.untagged_ok(&Code::CLOSED, "The mailbox selected before is closed");
        }
        self.enabled.condstore |= select.condstore || select.qresync.is_some();
        let realm = self.realm()?;
        let name = self.mailbox_name(&select.mailbox)?;
        let mailstore = self.door.mailstore.clone();
        let Some(mailbox) = mailstore.mailbox_by_name(realm, &name)? else {
            return Err(mailstore::MailError::NoSuchMailbox(name.to_string()).into());
        };
        // Watched before it is read, so that nothing falls in between.
        let mut changes = mailstore.watch(realm);
        changes.mark_unchanged();
        let view = self.blocking(move || mailstore.view(realm, mailbox.id)).await?;
        let recent = if self.enabled.rev2 {
            UidSet::EMPTY
        } else {
            recent_of(&self.door.mailstore, realm, &view, select.read_only)?
        };
        let selected = Selected::new(mailbox.id, select.read_only, view, changes, recent);
        self.describe(&mailbox, &selected);
        self.selected = Some(Box::new(selected));
        if let Some(qresync) = select.qresync
            && qresync.uid_validity == mailbox.uid_validity
        {
            self.resynchronise(&qresync)?;
        }
        Ok(if select.read_only {
            Done::code(Code::READ_ONLY, "EXAMINE completed")
        } else {
            Done::code(Code::READ_WRITE, "SELECT completed")
        })
    }

    /// The untagged answers of SELECT.
    fn describe(&mut self, mailbox: &Mailbox, selected: &Selected) {
        let view = &selected.known;
        let rev2 = self.enabled.rev2;
        let out = &mut self.wire.out;
        write_flag_lists(out, selected.keywords(), selected.read_only);
        out.extend_from_slice(b"* ");
        text::number(out, view.len() as u64);
        out.extend_from_slice(b" EXISTS\r\n");
        if !rev2 {
            out.extend_from_slice(b"* ");
            text::number(out, selected.count_recent() as u64);
            out.extend_from_slice(b" RECENT\r\n");
            if let Some(index) = view.first_unseen() {
                let line = format!("* OK [UNSEEN {}] The first message not seen\r\n", index + 1);
                out.extend_from_slice(line.as_bytes());
            }
        }
        let lines = format!(
            "* OK [UIDVALIDITY {}] UIDs are valid\r\n* OK [UIDNEXT {}] The next UID\r\n* OK [HIGHESTMODSEQ {}] The \
             latest change\r\n* OK [MAILBOXID ({})] Stays when the mailbox is renamed\r\n",
            view.uid_validity(),
            view.uid_next(),
            view.highest_modseq().0.max(1),
            mailbox.id,
        );
        out.extend_from_slice(lines.as_bytes());
        if rev2 {
            out.extend_from_slice(b"* LIST () \"/\" ");
            mailbox_name::write(out, mailbox.name.as_str(), self.enabled.utf8);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// What happened since the client was here last (RFC 7162 section 3.2.5).
    fn resynchronise(&mut self, known: &Qresync) -> Outcome<()> {
        let realm = self.realm()?;
        let selected = self.selected()?;
        let (view, recent) = (selected.known.clone(), selected.recent.clone());
        let changes = self.door.mailstore.changes_since(realm, selected.mailbox, ModSeq(known.modseq))?;
        let interesting = known.known_uids.as_ref().map(|set| selected.uid_ranges_below(set, view.uid_next()));
        let vanished = vanished_of(&changes.vanished, &view, interesting.as_ref());
        let out = &mut self.wire.out;
        if !vanished.is_empty() {
            out.extend_from_slice(format!("* VANISHED (EARLIER) {vanished}\r\n").as_bytes());
        }
        for (uid, flags, modseq) in &changes.changed {
            let wanted = interesting.as_ref().is_none_or(|set| set.contains(*uid));
            if let Some(index) = view.index_of(*uid).filter(|_| wanted) {
                write_flags_fetch(out, index + 1, *uid, Some(flags), &recent, Some(*modseq));
            }
        }
        Ok(())
    }

    /// CLOSE: takes away what is `\Deleted`, without telling (RFC 9051 section 6.4.1).
    pub(super) async fn close(&mut self) -> Outcome {
        let realm = self.realm()?;
        let selected = self.selected()?;
        let (mailbox, read_only) = (selected.mailbox, selected.read_only);
        self.leave_mailbox();
        if read_only {
            return Ok(Done::text("CLOSE completed"));
        }
        let gone = self.door.mailstore.expunge_deleted(realm, mailbox, None).await?;
        if self.enabled.condstore && !gone.is_empty() {
            // What a client that keeps this mailbox in step knows it up to now (RFC 7162 section 3.2.8).
            if let Some(mailbox) = self.door.mailstore.mailbox(realm, mailbox)? {
                return Ok(Done::code(Code::HighestModSeq(mailbox.highest_modseq.0), "CLOSE completed"));
            }
        }
        Ok(Done::text("CLOSE completed"))
    }

    /// EXPUNGE and UID EXPUNGE. What is gone is told with all other changes, before the tagged answer.
    pub(super) async fn expunge(&mut self, set: Option<&MessageSet>) -> Outcome {
        let realm = self.realm()?;
        let selected = self.writable()?;
        let mailbox = selected.mailbox;
        let uids = match set {
            Some(set) => Some(selected.pick(true, set)?.uids(&selected.known)),
            None => None,
        };
        self.door.mailstore.expunge_deleted(realm, mailbox, uids.as_deref()).await?;
        if self.enabled.condstore {
            let modseq = self.door.mailstore.view(realm, mailbox)?.highest_modseq();
            return Ok(Done::code(Code::HighestModSeq(modseq.0), "EXPUNGE completed"));
        }
        Ok(Done::text("EXPUNGE completed"))
    }
}

impl Selected {
    /// UIDs meant by `set` where `*` is the last UID ever given out.
    pub(super) fn uid_ranges_below(&self, set: &MessageSet, uid_next: Uid) -> UidSet {
        match set.resolve(uid_next.0.saturating_sub(1)) {
            Some(ranges) => UidSet::from_ranges(ranges.as_slice().iter().copied()),
            None => self.saved.clone(),
        }
    }
}

/// Of the UIDs that are no more, those to tell: not in the view, and among the interesting ones.
pub(super) fn vanished_of(vanished: &UidSet, view: &MailboxView, interesting: Option<&UidSet>) -> UidSet {
    let Some(interesting) = interesting else { return vanished.clone() };
    // The smaller side is walked; both are bounded by UIDNEXT.
    let mut common = Vec::new();
    let (mut a, mut b) = (vanished.ranges().iter().peekable(), interesting.ranges().iter().peekable());
    while let (Some(&&(a1, a2)), Some(&&(b1, b2))) = (a.peek(), b.peek()) {
        let (first, last) = (a1.max(b1), a2.min(b2));
        if first <= last && first < view.uid_next().0 {
            common.push((first, last.min(view.uid_next().0 - 1)));
        }
        if a2 <= b2 {
            a.next();
        } else {
            b.next();
        }
    }
    UidSet::from_ranges(common)
}
