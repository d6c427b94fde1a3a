//! STORE (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3 for UNCHANGEDSINCE).

use mailstore::{FlagChange, Flags, FlagsChanged, Keyword, MAX_KEYWORDS, MailboxView, ModSeq, SystemFlag};

use super::selected::{FlagsLine, Selected};
use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax::{Flag, Ranges, Store, StoreMode};

impl Session {
    pub(super) async fn store(&mut self, tag: &str, store: Store) -> Outcome {
        let realm = self.realm()?;
        if store.unchanged_since.is_some() {
            self.enable_condstore();
        }
        let selected = self.writable()?;
        let mailbox = selected.mailbox;
        let wanted = selected.pick(store.uid, &store.set)?;
        let uids = wanted.uids(&selected.known);
        let flags = flags(&store.flags)?;
        if store.mode != StoreMode::Remove {
            let new = flags.keywords().iter().filter(|keyword| selected.keywords().binary_search(keyword).is_err());
            let new = new.count();
            if new > 0 && selected.keywords().len() + new > MAX_KEYWORDS {
                let text = format!("Too many keywords: the limit is {MAX_KEYWORDS} per mailbox");
                return Err(Failure::no(Code::LIMIT, text));
            }
        }
        let change = match store.mode {
            StoreMode::Replace => FlagChange::Replace(flags),
            StoreMode::Add => FlagChange::Add(flags),
            StoreMode::Remove => FlagChange::Remove(flags),
        };
        let since = store.unchanged_since.map(ModSeq);
        let mailstore = self.door.mailstore.clone();
        let result = self.patiently(tag, mailstore.set_flags(realm, mailbox, &uids, change.clone(), since)).await??;

        let enabled = self.enabled;
        let condstore = enabled.condstore;
        let (selected, wire) = self.selected_and_wire()?;
        // A client that wants to hear nothing works the flags out by what it knows, which others may have changed.
        let works_out = |selected: &Selected, index: usize, flags: &Flags| {
            store.silent && selected.told_flags(index).changed(&change).is_ok_and(|expected| expected == *flags)
        };
        let shown = result.changed.iter().filter(|(uid, flags, _)| {
            selected.known.index_of(*uid).is_some_and(|index| !works_out(selected, index, flags))
        });
        let shown = shown.flat_map(|(_, flags, _)| flags.keywords());
        let new: Vec<Keyword> =
            shown.filter(|keyword| selected.keywords().binary_search(keyword).is_err()).cloned().collect();
        selected.tell_keywords(&new, &mut wire.out);
        if condstore {
            selected.shows_modseq();
        }
        for (uid, flags, modseq) in &result.changed {
            let Some(index) = selected.known.index_of(*uid) else { continue };
            let shown = (!works_out(selected, index, flags)).then_some(flags);
            selected.has_told(*uid, *modseq, flags);
            // A silent STORE still tells the new MODSEQ, which the client could not know (RFC 7162 section 3.1.3).
            let modseq = condstore.then_some(*modseq);
            if shown.is_some() || modseq.is_some() {
                let line = FlagsLine { index, uid: *uid, flags: shown, modseq };
                line.write(&mut wire.out, &selected.recent, enabled);
                wire.flush_if_full().await?;
            }
        }
        completed(&store, &selected.known, uids.len(), &result)
    }
}

/// The answer after the flags were told: which of the `wanted` messages were left as they are.
fn completed(store: &Store, known: &MailboxView, wanted: usize, result: &FlagsChanged) -> Outcome {
    if !result.modified.is_empty() {
        let left: Vec<u32> = if store.uid {
            result.modified.iter().map(|uid| uid.0).collect()
        } else {
            let number = |uid| known.index_of(uid).map(|index| index as u32 + 1);
            result.modified.iter().filter_map(|uid| number(*uid)).collect()
        };
        return Ok(Done::code(Code::Modified(Ranges::from_sorted(left)), "STORE did not change these messages"));
    }
    if !store.uid && result.changed.len() < wanted {
        // As for FETCH. A client that asked for flags and gets those of no message is told NO; one that wants to hear
        // nothing has nothing to miss (RFC 2180 sections 4.2.1 and 4.2.2).
        let text = "Some of the messages no longer exist";
        return if result.changed.is_empty() && !store.silent {
            Err(Failure::no(Code::EXPUNGE_ISSUED, text))
        } else {
            Ok(Done::code(Code::EXPUNGE_ISSUED, text))
        };
    }
    Ok(Done::text("STORE completed"))
}

/// Flags as the mailstore keeps them.
pub(super) fn flags(list: &[Flag]) -> Outcome<Flags> {
    let mut flags = Flags::NONE;
    for flag in list {
        match flag {
            Flag::Seen => flags.insert(SystemFlag::Seen),
            Flag::Answered => flags.insert(SystemFlag::Answered),
            Flag::Flagged => flags.insert(SystemFlag::Flagged),
            Flag::Deleted => flags.insert(SystemFlag::Deleted),
            Flag::Draft => flags.insert(SystemFlag::Draft),
            Flag::Recent => {}
            Flag::Keyword(name) => flags.insert_keyword(Keyword::new(name)?)?,
        }
    }
    Ok(flags)
}
