//! NOTIFY (RFC 5465): a client is notified of changes in other mailboxes, and at once of those in the selected one.
//!
//! It watches the account's realm, as IDLE does, and finds changes by comparing the list of mailboxes with the previous
//! one. So it costs nothing while nothing happens, and one look at the list for all changes that happened at once.

use std::collections::{BTreeMap, BTreeSet};

use directory::AccountRealm;
use mailstore::{Mailbox, MailboxId, MailboxName, MetadataMarks, SPECIAL_USE_ENTRY, Uid};

use super::metadata::{changed_entries, special_use_changed};
use super::notified::{Filter, Notified, SelectedEvents};
use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::{Code, mailbox_name, text};
use crate::syntax::{Fetch, MessageSet, Notify, NotifyFilter, SeqRange};

impl Session {
    /// Sets what is told, or with `None` that nothing is.
    pub(super) fn notify(&mut self, wanted: Option<Notify>) -> Outcome {
        let Some(Notify { status, groups: wanted }) = wanted else {
            self.notified = None;
            return Ok(Done::text("NOTIFY completed"));
        };
        if wanted.iter().any(|group| group.events.unknown) {
            let code = Code::Word(
                "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
                 MailboxMetadataChange ServerMetadataChange)",
            );
            return Err(Failure::no(code, "Unsupported events"));
        }
        let mut groups = Vec::new();
        let mut selected = None;
        for group in wanted {
            let names =
                |names: Vec<String>| names.iter().map(|name| self.mailbox_name(name)).collect::<Outcome<Vec<_>>>();
            let filter = match group.filter {
                NotifyFilter::Selected | NotifyFilter::SelectedDelayed => {
                    let expunges = group.filter == NotifyFilter::Selected;
                    if group.events.message_new {
                        selected.get_or_insert(SelectedEvents { expunges, fetch: group.events.fetch });
                    }
                    continue;
                }
                NotifyFilter::Inboxes => Filter::Inbox,
                NotifyFilter::Personal => Filter::All,
                NotifyFilter::Subscribed => Filter::Subscribed,
                NotifyFilter::Subtree(tops) => Filter::Subtrees(names(tops)?),
                NotifyFilter::Mailboxes(mailboxes) => Filter::Named(names(mailboxes)?),
            };
            groups.push((filter, group.events));
        }
        let realm = self.realm()?;
        // Watched before it is read, so that nothing falls in between.
        let mut changes = self.door.mailstore.watch(realm);
        changes.mark_seen();
        let (mailboxes, subscriptions) = self.all_mailboxes(realm)?;
        let metadata = MetadataMarks::new();
        let mut notified = Notified { groups, selected, changes, mailboxes, subscriptions, metadata };
        if notified.wants_metadata() {
            notified.metadata = self.door.mailstore.metadata_marks(realm)?;
        }
        if status {
            let selected = self.selected.as_ref().map(|selected| selected.mailbox);
            for mailbox in notified.mailboxes.values().filter(|mailbox| Some(mailbox.id) != selected) {
                if let Some(events) = notified.events(&mailbox.name, mailbox.subscribed).filter(|e| e.message_new) {
                    self.write_changed(mailbox, events.flag_change, false);
                }
            }
        }
        self.notified = Some(Box::new(notified));
        Ok(Done::text("NOTIFY completed"))
    }

    fn all_mailboxes(&self, realm: AccountRealm) -> Outcome<(BTreeMap<MailboxId, Mailbox>, BTreeSet<MailboxName>)> {
        let mailboxes = self.door.mailstore.mailboxes(realm)?;
        let subscriptions = self.door.mailstore.subscriptions(realm)?;
        Ok((mailboxes.into_iter().map(|mailbox| (mailbox.id, mailbox)).collect(), subscriptions.into_iter().collect()))
    }

    fn has_selected(&self, mailbox: MailboxId) -> bool {
        self.selected.as_ref().is_some_and(|selected| selected.mailbox == mailbox)
    }

    /// Tells what is new, between commands: of the selected mailbox if that is wanted, and of the others.
    pub(super) async fn tell_notified(&mut self) -> Outcome<()> {
        let Some(notified) = &self.notified else { return Ok(()) };
        if let Some(SelectedEvents { expunges, .. }) = notified.selected {
            self.tell_changes(expunges).await?;
        }
        self.tell_others()?;
        self.fetch_new().await
    }

    /// Tells what is new about mailboxes that are not selected, and about the names of all.
    pub(super) fn tell_others(&mut self) -> Outcome<()> {
        let Some(mut notified) = self.notified.take() else { return Ok(()) };
        let outcome = if notified.changes.has_changed() {
            notified.changes.mark_seen();
            self.compare(&mut notified)
        } else {
            Ok(())
        };
        self.notified = Some(notified);
        match outcome {
            // Told another time.
            Err(failure @ (Failure::No(..) | Failure::Bad(..))) => {
                tracing::warn!(?failure, "could not read the mailboxes");
                Ok(())
            }
            other => other,
        }
    }

    fn compare(&mut self, notified: &mut Notified) -> Outcome<()> {
        let (mailboxes, subscriptions) = self.all_mailboxes(self.realm()?)?;
        for (id, old) in &notified.mailboxes {
            let wanted = notified.events(&old.name, old.subscribed).is_some_and(|events| events.mailbox_name);
            if wanted && !mailboxes.contains_key(id) {
                self.write_name("\\NonExistent", &old.name, None);
            }
        }
        for mailbox in mailboxes.values() {
            let Some(events) = notified.events(&mailbox.name, mailbox.subscribed) else { continue };
            let old = notified.mailboxes.get(&mailbox.id);
            let renamed_from = old.map(|old| &old.name).filter(|name| **name != mailbox.name);
            if events.mailbox_name && (old.is_none() || renamed_from.is_some()) {
                let special = mailbox.role.and_then(|role| role.attribute()).unwrap_or_default();
                self.write_name(special, &mailbox.name, renamed_from);
            }
            if self.has_selected(mailbox.id) {
                continue;
            }
            let (had, last) = old.map_or((0, Uid(1)), |old| (old.total, old.uid_next));
            let messages = events.message_new && (mailbox.total != had || mailbox.uid_next != last);
            let flags = events.flag_change && old.is_some_and(|old| old.highest_modseq != mailbox.highest_modseq);
            if messages || flags {
                self.write_changed(mailbox, events.flag_change, true);
            }
        }
        let (before, now) = (&notified.subscriptions, &subscriptions);
        for name in before.symmetric_difference(now) {
            let is_now = now.contains(name);
            if notified.events(name, true).is_some_and(|events| events.subscription_change) {
                self.write_name(if is_now { "\\Subscribed" } else { "" }, name, None);
            }
        }
        if notified.wants_metadata() {
            self.compare_metadata(notified, &mailboxes)?;
        }
        (notified.mailboxes, notified.subscriptions) = (mailboxes, subscriptions);
        Ok(())
    }

    /// Tells which entries have changed of the server and of mailboxes, not with what values.
    fn compare_metadata(&mut self, notified: &mut Notified, mailboxes: &BTreeMap<MailboxId, Mailbox>) -> Outcome<()> {
        let now = self.door.mailstore.metadata_marks(self.realm()?)?;
        if notified.groups.iter().any(|(_, events)| events.server_metadata_change) {
            self.write_metadata_changed("", &changed_entries(&notified.metadata, &now, None));
        }
        for mailbox in mailboxes.values() {
            let events = notified.events(&mailbox.name, mailbox.subscribed);
            if events.is_some_and(|events| events.mailbox_metadata_change) {
                let mut changed = changed_entries(&notified.metadata, &now, Some(mailbox.id));
                changed.extend(special_use_changed(notified.mailboxes.get(&mailbox.id), mailbox));
                self.write_metadata_changed(mailbox.name.as_str(), &changed);
            }
        }
        notified.metadata = now;
        Ok(())
    }

    /// The client has changed these entries itself, and is not told of them.
    pub(super) fn knows_metadata(&mut self, of: Option<MailboxId>, names: &BTreeSet<String>) -> Outcome<()> {
        let realm = self.realm()?;
        let Some(notified) = self.notified.as_mut().filter(|notified| notified.wants_metadata()) else {
            return Ok(());
        };
        let now = self.door.mailstore.metadata_marks(realm)?;
        for name in names {
            let at = (of, name.clone());
            match now.get(&at) {
                Some(revision) => notified.metadata.insert(at, *revision),
                None => notified.metadata.remove(&at),
            };
        }
        if let Some(id) = of.filter(|_| names.contains(SPECIAL_USE_ENTRY))
            && let Some(known) = notified.mailboxes.get_mut(&id)
            && let Some(mailbox) = self.door.mailstore.mailbox(realm, id)?
        {
            known.role = mailbox.role;
        }
        Ok(())
    }

    /// `* LIST (\Subscribed) "/" name ("OLDNAME" (old))`.
    fn write_name(&mut self, attribute: &str, name: &MailboxName, old: Option<&MailboxName>) {
        let utf8 = self.enabled.utf8;
        let out = &mut self.wire.out;
        out.extend_from_slice(b"* LIST (");
        out.extend_from_slice(attribute.as_bytes());
        out.extend_from_slice(b") \"/\" ");
        mailbox_name::write(out, name.as_str(), utf8);
        if let Some(old) = old {
            out.extend_from_slice(b" (\"OLDNAME\" (");
            mailbox_name::write(out, old.as_str(), utf8);
            out.extend_from_slice(b"))");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// `* STATUS name (MESSAGES n UIDNEXT n UIDVALIDITY n UNSEEN n HIGHESTMODSEQ n)`.
    fn write_changed(&mut self, mailbox: &Mailbox, with_modseq: bool, with_unseen: bool) {
        let utf8 = self.enabled.utf8;
        let out = &mut self.wire.out;
        out.extend_from_slice(b"* STATUS ");
        mailbox_name::write(out, mailbox.name.as_str(), utf8);
        for (start, number) in [
            (&b" (MESSAGES "[..], u64::from(mailbox.total)),
            (b" UIDNEXT ", u64::from(mailbox.uid_next.0)),
            (b" UIDVALIDITY ", u64::from(mailbox.uid_validity)),
        ] {
            out.extend_from_slice(start);
            text::number(out, number);
        }
        if with_unseen {
            out.extend_from_slice(b" UNSEEN ");
            text::number(out, u64::from(mailbox.unread));
        }
        if with_modseq {
            out.extend_from_slice(b" HIGHESTMODSEQ ");
            text::number(out, mailbox.highest_modseq.0.max(1));
        }
        out.extend_from_slice(b")\r\n");
    }

    /// What NOTIFY has fetched of messages that were just told of in the selected mailbox.
    pub(super) async fn fetch_new(&mut self) -> Outcome<()> {
        let Some(SelectedEvents { fetch, .. }) = self.notified.as_ref().and_then(|n| n.selected.as_ref()) else {
            return Ok(());
        };
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let (from, next) = (selected.fetched_below, selected.known.uid_next());
        selected.fetched_below = next;
        if fetch.is_empty() || from >= next {
            return Ok(());
        }
        let range = SeqRange { start: Some(from.0), end: Some(next.0 - 1) };
        let set = MessageSet::Ranges(vec![range]);
        let fetch = Fetch { uid: true, set, items: fetch.clone(), changed_since: None, vanished: false, partial: None };
        match Box::pin(self.fetch(fetch)).await {
            // The client did not ask now, so there is nothing to answer.
            Ok(_) | Err(Failure::No(..) | Failure::Bad(..)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}
