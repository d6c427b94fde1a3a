//! SELECT, EXAMINE, CLOSE, EXPUNGE.

use mailstore::{Mailbox, MailboxView, ModSeq, Uid, UidSet};

use super::selected::{FlagsLine, Selected, recent_of, write_flag_lists};
use super::{
    Session,
    outcome::{Done, Enabled, Outcome},
};
use crate::failure::Failure;
use crate::response::{Code, mailbox_name, text};
use crate::syntax::{MessageSet, Qresync, Select};

impl Session {
    /// RFC 9051 sections 6.3.2 and 6.3.3, RFC 7162 for the parameters.
    pub(super) async fn select(&mut self, select: Select) -> Outcome {
        if select.qresync.is_some() && !self.enabled.qresync {
            return Err(Failure::bad("ENABLE QRESYNC first"));
        }
        if self.leave_mailbox().is_some() {
            self.untagged_ok(&Code::CLOSED, "Previous mailbox closed");
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
        changes.mark_seen();
        let view = self.blocking(move || mailstore.view(realm, mailbox.id)).await?;
        let recent = if self.enabled.rev2 {
            UidSet::EMPTY
        } else {
            recent_of(&self.door.mailstore, realm, &view, select.read_only)?
        };
        let selected = Selected::new(mailbox.id, select.read_only, view, changes, recent);
        self.describe(&mailbox, &selected);
        let token = selected.token();
        self.selected = Some(Box::new(selected));
        if let Some(qresync) = select.qresync
            && qresync.uid_validity == mailbox.uid_validity
        {
            self.resynchronise(&qresync)?;
        }
        // Last: a client that is cut off before has not been told all up to here.
        self.untagged_ok(&Code::HighestModSeq(token.0), "Highest");
        Ok(if select.read_only {
            Done::code(Code::READ_ONLY, "EXAMINE completed")
        } else {
            Done::code(Code::READ_WRITE, "SELECT completed")
        })
    }

    /// The untagged answers of SELECT.
    fn describe(&mut self, mailbox: &Mailbox, selected: &Selected) {
        let view = &selected.known;
        let Enabled { rev2, uid_only, .. } = self.enabled;
        let out = &mut self.wire.out;
        write_flag_lists(out, selected.keywords(), selected.read_only);
        out.extend_from_slice(b"* ");
        text::number(out, view.len() as u64);
        out.extend_from_slice(b" EXISTS\r\n");
        if !rev2 {
            out.extend_from_slice(b"* ");
            text::number(out, selected.count_recent() as u64);
            out.extend_from_slice(b" RECENT\r\n");
            if let Some(index) = view.first_unseen().filter(|_| !uid_only) {
                let line = format!("* OK [UNSEEN {}] First unseen message\r\n", index + 1);
                out.extend_from_slice(line.as_bytes());
            }
        }
        let lines = format!(
            "* OK [UIDVALIDITY {}] UIDs valid\r\n* OK [UIDNEXT {}] Predicted next UID\r\n* OK [MAILBOXID ({})] Ok\r\n",
            view.uid_validity(),
            view.uid_next(),
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
        let (view, recent, enabled) = (selected.known.clone(), selected.recent.clone(), self.enabled);
        let changes = self.door.mailstore.changes_since(realm, selected.mailbox, ModSeq(known.modseq))?;
        let interesting = known.known_uids.as_ref().map(|set| selected.uid_ranges_below(set, view.uid_next()));
        let vanished = vanished_of(&changes.vanished, &view, interesting.as_ref());
        let out = &mut self.wire.out;
        if !vanished.is_empty() {
            out.extend_from_slice(format!("* VANISHED (EARLIER) {vanished}\r\n").as_bytes());
        }
        // By the view, which may be older than the changes by now: what is newer is told as always, afterwards.
        let is_wanted = |index: &usize| {
            view.modseq(*index).0 > known.modseq
                && interesting.as_ref().is_none_or(|set| set.contains(view.uids()[*index]))
        };
        let mut changed: Vec<usize> = (0..view.len()).filter(is_wanted).collect();
        changed.sort_by_key(|&index| view.modseq(index));
        for index in changed {
            let uid = view.uids()[index];
            let line = FlagsLine { index, uid, flags: Some(view.flags(index)), modseq: Some(view.modseq(index)) };
            line.write(out, &recent, enabled);
        }
        Ok(())
    }

    /// CLOSE: takes away what is `\Deleted`, without telling (RFC 9051 section 6.4.1).
    pub(super) async fn close(&mut self) -> Outcome {
        let realm = self.realm()?;
        self.selected()?;
        let Some(closed) = self.leave_mailbox() else { return Ok(Done::text("CLOSE completed")) };
        if closed.read_only {
            return Ok(Done::text("CLOSE completed"));
        }
        let gone = self.door.mailstore.expunge_deleted(realm, closed.mailbox, None).await?;
        if self.enabled.condstore && !gone.is_empty() {
            let token = self.token_after_close(&closed)?;
            return Ok(Done::code(Code::HighestModSeq(token.0), "CLOSE completed"));
        }
        Ok(Done::text("CLOSE completed"))
    }

    /// EXPUNGE and UID EXPUNGE. What is gone is told with all other changes, before the tagged answer.
    pub(super) async fn expunge(&mut self, tag: &str, set: Option<&MessageSet>) -> Outcome {
        let realm = self.realm()?;
        let selected = self.writable()?;
        let mailbox = selected.mailbox;
        let uids = match set {
            Some(set) => Some(selected.pick(true, set)?.uids(&selected.known)),
            None => None,
        };
        let mailstore = self.door.mailstore.clone();
        self.patiently(tag, mailstore.expunge_deleted(realm, mailbox, uids.as_deref())).await??;
        Ok(Done::token("EXPUNGE completed"))
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
    let last = view.uid_next().0.saturating_sub(1);
    let all = UidSet::from_ranges([(1, last.max(1))]);
    let gone = common(vanished, interesting.unwrap_or(&all));
    // What goes while this is worked out is still in the view, and told as always, afterwards.
    let is_there = |uid: &Uid| gone.contains(*uid);
    let there: UidSet = view.uids().iter().copied().filter(is_there).collect();
    let not_there = there.complement(Uid(1), Uid(last));
    common(&gone, &not_there)
}

/// UIDs that are in both sets.
fn common(one: &UidSet, other: &UidSet) -> UidSet {
    let mut common = Vec::new();
    let (mut a, mut b) = (one.ranges().iter().peekable(), other.ranges().iter().peekable());
    while let (Some(&&(a1, a2)), Some(&&(b1, b2))) = (a.peek(), b.peek()) {
        let (first, last) = (a1.max(b1), a2.min(b2));
        if first <= last {
            common.push((first, last));
        }
        if a2 <= b2 {
            a.next();
        } else {
            b.next();
        }
    }
    UidSet::from_ranges(common)
}
